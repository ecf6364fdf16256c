"""The store: what the nights found, the verdicts and the retrainings, in one DuckDB file.

A DuckDB file is open in one writing process or in several reading ones, never both. So every method opens
the file, does one short transaction and closes it; where another process holds the file, it waits its turn.
"""

import json
import os
import random
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from inspection.errors import StoreError
from inspection.findings import (
    LOST,
    Cause,
    FailureMode,
    Judgement,
    KnownMode,
    LoggedError,
    Night,
    NightState,
    ReferenceImage,
    RegisteredModel,
    Retraining,
    Trend,
    Verdict,
)
from inspection.workspace.files import replacing
from inspection.workspace.rows import (
    Row,
    delete,
    error_of,
    fetch,
    grouped,
    insert,
    read_modes,
    read_night,
    read_retraining,
    record_of,
    row_of,
    select,
    write_model,
    write_night,
    write_retraining,
)
from inspection.workspace.schema import check_schema, migrate

WAIT_SECONDS = 10.0  # how long a method waits for a file that others hold
MOST_LISTED = 20  # ids that an error message lists
REMEMBERED = 30  # nights of a model in which a failure mode is recognised

# Nothing is fetched from the network, and a name in SQL never means a variable of the program.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "python_enable_replacements": False,
}
_BUSY = ("Could not set lock", "File is already open")  # DuckDB's words on POSIX and on Windows
_HOLDER = re.compile(r"(?:held in|open in)\s+(.+?\(PID \d+\))", re.DOTALL)

# In one process DuckDB refuses to open a file for reading while it is open for writing.
_TURN = threading.Lock()
# A generator of our own: the global one belongs to the night, whose draws must not depend on waiting.
_JITTER = random.Random()

_NIGHTS_OVER_A_LOG = """
SELECT night_id, settings FROM nights
WHERE model_hash = ? AND log_sha256 = ?
ORDER BY started_at DESC, night_id DESC
"""

_KNOWN_MODES = """
WITH earlier AS (
    SELECT
        night_id, started_at, gone,
        row_number() OVER (ORDER BY started_at DESC, night_id DESC)::INTEGER AS nights_ago,
        (
            SELECT count(*) FROM set_aside AS s
            WHERE s.night_id = night.night_id AND list_contains(?, s.reason)
        ) AS lost
    FROM nights AS night
    WHERE model_hash = ? AND started_at < ? AND state = 'finished'
)
SELECT
    mode.lineage,
    mode.signature,
    (SELECT count(*) FROM errors AS e WHERE e.mode_id = mode.mode_id) AS errors,
    earlier.started_at,
    earlier.nights_ago,
    earlier.lost,
    EXISTS (FROM earlier AS e WHERE e.nights_ago < earlier.nights_ago AND e.lost > 0)
    AND NOT EXISTS (
        FROM earlier AS e WHERE e.nights_ago < earlier.nights_ago AND list_contains(e.gone, mode.lineage)
    ) AS missed
FROM failure_modes AS mode
JOIN earlier USING (night_id)
WHERE earlier.nights_ago <= ? AND len(mode.signature) > 0
QUALIFY row_number() OVER (PARTITION BY mode.lineage ORDER BY earlier.nights_ago, mode.position) = 1
ORDER BY earlier.nights_ago, mode.position
"""

_OTHER_ERRORS = """
WITH RECURSIVE mine AS (
    SELECT mode.lineage, night.model_hash
    FROM failure_modes AS mode JOIN nights AS night USING (night_id)
    WHERE mode.mode_id = ?
), line AS (
    SELECT model_hash FROM mine
    UNION
    SELECT model.parent_hash FROM models AS model JOIN line USING (model_hash)
    WHERE model.parent_hash IS NOT NULL
), found AS (
    SELECT
        error.*,
        night.started_at,
        mode.lineage = (SELECT lineage FROM mine) AS own
    FROM errors AS error
    JOIN failure_modes AS mode USING (mode_id)
    JOIN nights AS night ON night.night_id = error.night_id
    WHERE night.state = 'finished' AND night.model_hash IN (SELECT model_hash FROM line)
)
SELECT * EXCLUDE (started_at, own)
FROM found
WHERE image_path NOT IN (SELECT image_path FROM found WHERE own)
QUALIFY row_number() OVER (PARTITION BY image_path ORDER BY started_at DESC, position) = 1
ORDER BY started_at DESC, night_id, mode_id, position
"""


@dataclass(frozen=True, slots=True)
class ModeOverview:
    """One failure mode on a page that lists nights; flip rates are those of its best layer."""

    mode_id: str
    title: str
    errors: int
    escapes: int
    overkills: int
    family: str | None  # None where no cause is claimed
    share: float  # explained share of the best operation
    flip_rate: float | None  # None where no layer was verified; so for the next two
    better_control: float | None
    withheld: bool | None
    judgement: Judgement | None  # the newest verdict's
    retrainings: int
    accepted: int  # retrainings whose candidate model was accepted
    lineage: str
    trend: Trend
    previous_errors: int | None  # on the night before that has it
    cause: Cause


@dataclass(frozen=True, slots=True)
class NightOverview:
    """One night on a page that lists nights."""

    night_id: str
    started_at: datetime  # UTC
    finished_at: datetime | None
    state: NightState
    message: str
    log_path: str
    model_hash: str
    rows_read: int
    errors_read: int
    set_aside: int  # rows
    modes: tuple[ModeOverview, ...]
    retrainings: int  # over all its modes
    accepted: int


class Store:
    """The findings of one workspace. Every method raises StoreError where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Make the file, or bring an older one up to date; what is in it is kept."""
        folder = self.path.parent
        if not folder.is_dir():
            raise StoreError(f"no folder {folder} for the store {self.path.name}. Make it with `fmi init`.")
        if not os.access(folder, os.W_OK):
            raise StoreError(
                f"the folder {folder} is read-only for this user, so no store can be kept in it. "
                "Give the folder to the user who runs fmi, or name another workspace."
            )
        with self._connection() as connection:
            migrate(connection)

    def add_model(self, model: RegisteredModel, references: Sequence[ReferenceImage]) -> None:
        """Register a model with its labelled images; the same hash replaces both."""
        with self._transaction() as connection:
            write_model(connection, model)
            delete(connection, ("reference_images",), "model_hash", model.model_hash)
            rows = [row_of(image, model_hash=model.model_hash) for image in references]
            insert(connection, "reference_images", rows)

    def model(self, model_hash: str | None = None) -> RegisteredModel:
        """Return the model whose hash begins so; None: the newest deployed one."""
        models = self.models()
        if model_hash is not None:
            known = [model.model_hash for model in models]
            return models[known.index(_resolve("model", model_hash, known))]
        for model in models:
            if model.role == "deployed":
                return model
        raise StoreError(f"no deployed model in the store {self.path}. Register one first.")

    def models(self) -> list[RegisteredModel]:
        """Return every model, newest first."""
        with self._transaction(read_only=True) as connection:
            rows = fetch(connection, "FROM models ORDER BY registered_at DESC, rowid DESC")
        return [record_of(RegisteredModel, row) for row in rows]

    def references(self, model_hash: str) -> list[ReferenceImage]:
        """Return the labelled images of a model, in the order registered."""
        with self._transaction(read_only=True) as connection:
            rows = select(connection, "reference_images", "model_hash", model_hash, order="rowid")
        return [record_of(ReferenceImage, row) for row in rows]

    def start_night(self, night: Night) -> None:
        """Say that a night runs. An unfinished attempt of the same id is replaced, a finished one refused."""
        with self._transaction() as connection:
            earlier = select(connection, "nights", "night_id", night.night_id, order="rowid")
            if any(row["state"] == NightState.FINISHED for row in earlier):
                raise StoreError(f"night '{night.night_id}' is finished. Give a new night another id.")
            write_night(connection, night)

    def finish_night(self, night: Night) -> None:
        """Write everything that a night found, all or nothing, in place of what its id held before."""
        with self._transaction() as connection:
            write_night(connection, night)

    def fail_night(self, night_id: str, message: str) -> None:
        """Say that a night ended now without a result, and why."""
        with self._transaction() as connection:
            _require("night", night_id, _night_ids(connection))
            connection.execute(
                "UPDATE nights SET state = ?, message = ?, finished_at = ? WHERE night_id = ?",
                [NightState.FAILED.value, message, datetime.now(UTC), night_id],
            )

    def night(self, night_id: str | None = None) -> Night:
        """Return the night whose id begins so, with everything found; None: the newest started."""
        with self._transaction(read_only=True) as connection:
            known = _night_ids(connection)
            if night_id is None and not known:
                raise StoreError(f"no night in the store {self.path}. Run one over a defect log first.")
            chosen = known[0] if night_id is None else _resolve("night", night_id, known)
            return read_night(connection, chosen)

    def nights(self) -> list[NightOverview]:
        """Return what a list of the nights shows, newest first."""
        with self._transaction(read_only=True) as connection:
            nights = fetch(connection, "FROM night_overview ORDER BY started_at DESC, night_id DESC")
            modes = grouped(fetch(connection, "FROM mode_overview ORDER BY position"), ("night_id",))
        return [_night_overview(row, modes[row["night_id"],]) for row in nights]

    def settings_of_nights(self, model_hash: str, log_sha256: str) -> dict[str, dict[str, Any]]:
        """Return the settings of every night over a log with a model, by the nights' ids, newest first."""
        with self._transaction(read_only=True) as connection:
            rows = fetch(connection, _NIGHTS_OVER_A_LOG, model_hash, log_sha256)
        return {row["night_id"]: json.loads(row["settings"]) for row in rows}

    def mode(self, mode_id: str) -> FailureMode:
        """Return one failure mode with everything found about it."""
        with self._transaction(read_only=True) as connection:
            _require("failure mode", mode_id, _mode_ids(connection))
            return read_modes(connection, "mode_id", mode_id)[0]

    def known_modes(self, model_hash: str, before: datetime) -> list[KnownMode]:
        """Return each lineage of a model's finished nights before a moment, as the latest of them saw it.

        The last 30 such nights count, and only failure modes with a signature; newest first.
        """
        with self._transaction(read_only=True) as connection:
            rows = fetch(connection, _KNOWN_MODES, list(LOST), model_hash, before, REMEMBERED)
        return [record_of(KnownMode, row) for row in rows]

    def other_errors(self, mode_id: str) -> list[LoggedError]:
        """Return the errors of the other failure modes that a model and those before it had, newest first.

        Those before it are the models that it was retrained from. An image that stands in several nights
        counts once, and none of the mode's own does, under whatever night it was found.
        """
        with self._transaction(read_only=True) as connection:
            _require("failure mode", mode_id, _mode_ids(connection))
            return [error_of(row) for row in fetch(connection, _OTHER_ERRORS, mode_id)]

    def add_verdict(self, verdict: Verdict) -> None:
        """Add a reviewer's verdict; earlier ones on the same failure mode stay."""
        with self._transaction() as connection:
            _require("failure mode", verdict.mode_id, _mode_ids(connection))
            insert(connection, "verdicts", [row_of(verdict)])

    def verdicts(self, mode_id: str) -> list[Verdict]:
        """Return the verdicts on a failure mode, newest first."""
        with self._transaction(read_only=True) as connection:
            rows = select(connection, "verdicts", "mode_id", mode_id, order="given_at DESC, rowid DESC")
        return [record_of(Verdict, row, judgement=Judgement(row["judgement"])) for row in rows]

    def add_retraining(self, retraining: Retraining, candidate: RegisteredModel) -> None:
        """Add a targeted retraining together with its candidate model; the same id replaces it."""
        with self._transaction() as connection:
            write_model(connection, candidate)
            write_retraining(connection, retraining)

    def retrainings(self, mode_id: str | None = None) -> list[Retraining]:
        """Return the retrainings of a failure mode, or all of them, newest first."""
        with self._transaction(read_only=True) as connection:
            rows = fetch(connection, "FROM retrainings ORDER BY started_at DESC, rowid DESC")
            return [read_retraining(connection, row) for row in rows if mode_id in (None, row["mode_id"])]

    def snapshot(self, target: Path) -> None:
        """Copy the store to `target` in one step, for readers that may hold the copy as long as they like."""
        if target.resolve() == self.path.resolve():
            raise StoreError(f"{target} is the store itself. Give another file for the snapshot.")
        try:
            with replacing(target) as unfinished, self._connection(read_only=True) as connection:
                _copy_database(connection, unfinished)
        except OSError as error:
            raise StoreError(f"the snapshot {target} cannot be written: {error.strerror}.") from error

    def query(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run SQL that reads the store; return the names of the columns and the rows."""
        with self._transaction(read_only=True) as connection:
            connection.execute(sql)
            return [column[0] for column in connection.description or ()], connection.fetchall()

    @contextmanager
    def _transaction(self, *, read_only: bool = False) -> Iterator[DuckDBPyConnection]:
        """Hold a transaction of the store: committed at the end, undone by any exception, always closed."""
        if not self.path.is_file():
            raise StoreError(f"no store {self.path}. Make one with `fmi init`.")
        with self._connection(read_only=read_only) as connection:
            check_schema(connection)
            connection.begin()
            yield connection
            connection.commit()

    @contextmanager
    def _connection(self, *, read_only: bool = False) -> Iterator[DuckDBPyConnection]:
        """Hold the only connection of this process; closing it undoes what was not committed."""
        deadline = time.monotonic() + WAIT_SECONDS
        if not _TURN.acquire(timeout=WAIT_SECONDS):
            raise self._busy("another thread of this program")
        try:
            with closing(self._open(deadline, read_only=read_only)) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                yield connection
        except duckdb.Error as error:
            raise StoreError(f"the store {self.path} refused: {error}") from error
        finally:
            _TURN.release()

    def _open(self, deadline: float, *, read_only: bool) -> DuckDBPyConnection:
        while True:
            try:
                return duckdb.connect(self.path, read_only=read_only, config=_CONFIG)
            except duckdb.Error as error:
                reason = str(error)
                if not any(words in reason for words in _BUSY):
                    raise self._unusable(reason) from error
                if time.monotonic() > deadline:
                    holder = _HOLDER.search(reason)
                    raise self._busy(holder[1] if holder else "another program") from error
            time.sleep(_JITTER.uniform(0.01, 0.06))

    def _busy(self, holder: str) -> StoreError:
        return StoreError(
            f"the store {self.path} is held by {holder} and did not come free within {WAIT_SECONDS:g} s. "
            "Wait for that program or end it, and try again."
        )

    def _unusable(self, reason: str) -> StoreError:
        return StoreError(
            f"the store {self.path} cannot be opened: {reason.splitlines()[0]} "
            "Check that the file may be read, is one that `fmi init` made, and that DuckDB is no older than "
            "the one that wrote it; a damaged store can be replaced by a snapshot of it."
        )


# Which ids there are, and what to say about one that is not among them.


def _night_ids(connection: DuckDBPyConnection) -> list[str]:
    rows = fetch(connection, "SELECT night_id FROM nights ORDER BY started_at DESC, night_id DESC")
    return [row["night_id"] for row in rows]


def _mode_ids(connection: DuckDBPyConnection) -> list[str]:
    ordered = "ORDER BY started_at DESC, night_id DESC, position"
    rows = fetch(connection, f"SELECT mode_id FROM failure_modes JOIN nights USING (night_id) {ordered}")
    return [row["mode_id"] for row in rows]


def _require(noun: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise StoreError(f"no {noun} '{given}'; the store has: {_listed(known)}")


def _resolve(noun: str, prefix: str, known: Sequence[str]) -> str:
    """Return the one id that is `prefix` or begins so."""
    found = [name for name in known if name.startswith(prefix)]
    if prefix in found or len(found) == 1:
        return prefix if prefix in found else found[0]
    if found:
        raise StoreError(f"{noun} '{prefix}' is ambiguous; so begin: {_listed(found)}. Give more of the id.")
    raise StoreError(f"no {noun} '{prefix}'; the store has: {_listed(known)}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return (", ".join(names[:MOST_LISTED]) or "none yet") + more


def _night_overview(row: Row, modes: Sequence[Row]) -> NightOverview:
    overviews = tuple(_mode_overview(mode) for mode in modes)
    return record_of(NightOverview, row, state=NightState(row["state"]), modes=overviews)


def _mode_overview(row: Row) -> ModeOverview:
    judgement = Judgement(row["judgement"]) if row["judgement"] else None
    trend, cause = Trend(row["trend"]), Cause(row["cause"])
    return record_of(ModeOverview, row, judgement=judgement, trend=trend, cause=cause)


def _copy_database(connection: DuckDBPyConnection, target: Path) -> None:
    source = connection.execute("SELECT current_database()").fetchall()[0][0].replace('"', '""')
    path = str(target).replace("'", "''")
    connection.execute(f"ATTACH '{path}' AS fmi_snapshot (READ_WRITE)")
    connection.execute(f'COPY FROM DATABASE "{source}" TO fmi_snapshot')
    connection.execute("DETACH fmi_snapshot")
