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
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
from duckdb import DuckDBPyConnection

from inspection.errors import StoreError
from inspection.findings import (
    Accuracy,
    BlamedFilter,
    Cause,
    Comparison,
    Diagnosis,
    ErrorKind,
    FailureMode,
    FlipRate,
    Judgement,
    KnownMode,
    LoggedError,
    Night,
    NightState,
    OperationMatch,
    Primitive,
    RecipeFile,
    ReferenceImage,
    RegisteredModel,
    Retraining,
    SetAside,
    SuspectLabel,
    Trend,
    Verdict,
)
from inspection.migrations import check_schema, migrate

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

# What hangs on a failure mode, and the columns by which a reader finds it again.
_MODE_DETAILS: dict[str, tuple[str, ...]] = {
    "errors": ("mode_id",),
    "flip_rates": ("mode_id",),
    "blamed_filters": ("mode_id",),
    "primitives": ("mode_id", "layer", "channel"),
    "patches": ("mode_id", "layer", "channel"),
    "matches": ("mode_id",),
    "pairs": ("mode_id",),
    "suspect_labels": ("mode_id",),
    "comparisons": ("mode_id",),
    "recipes": ("mode_id",),
}
_NIGHT_TABLES = ("nights", "set_aside", "failure_modes", *_MODE_DETAILS)
_RETRAINING_TABLES = ("retrainings", "accuracies", "class_accuracies")

_KNOWN_MODES = """
WITH earlier AS (
    SELECT
        night_id, started_at,
        row_number() OVER (ORDER BY started_at DESC, night_id DESC)::INTEGER AS nights_ago
    FROM nights
    WHERE model_hash = ? AND started_at < ? AND state = 'finished'
)
SELECT
    mode.lineage,
    mode.signature,
    (SELECT count(*) FROM errors AS e WHERE e.mode_id = mode.mode_id) AS errors,
    earlier.started_at,
    earlier.nights_ago
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

Row = dict[str, Any]
Groups = Mapping[tuple[Any, ...], list[Row]]
Record = TypeVar("Record")


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
            _write_model(connection, model)
            _delete(connection, ("reference_images",), "model_hash", model.model_hash)
            rows = [_row(image, model_hash=model.model_hash) for image in references]
            _insert(connection, "reference_images", rows)

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
            rows = _fetch(connection, "FROM models ORDER BY registered_at DESC, rowid DESC")
        return [_record(RegisteredModel, row) for row in rows]

    def references(self, model_hash: str) -> list[ReferenceImage]:
        """Return the labelled images of a model, in the order registered."""
        with self._transaction(read_only=True) as connection:
            rows = _select(connection, "reference_images", "model_hash", model_hash, order="rowid")
        return [_record(ReferenceImage, row) for row in rows]

    def start_night(self, night: Night) -> None:
        """Say that a night runs. An unfinished attempt of the same id is replaced, a finished one refused."""
        with self._transaction() as connection:
            earlier = _select(connection, "nights", "night_id", night.night_id, order="rowid")
            if any(row["state"] == NightState.FINISHED for row in earlier):
                raise StoreError(f"night '{night.night_id}' is finished. Give a new night another id.")
            _write_night(connection, night)

    def finish_night(self, night: Night) -> None:
        """Write everything that a night found, all or nothing, in place of what its id held before."""
        with self._transaction() as connection:
            _write_night(connection, night)

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
            return _read_night(connection, chosen)

    def nights(self) -> list[NightOverview]:
        """Return what a list of the nights shows, newest first."""
        with self._transaction(read_only=True) as connection:
            nights = _fetch(connection, "FROM night_overview ORDER BY started_at DESC, night_id DESC")
            modes = _grouped(_fetch(connection, "FROM mode_overview ORDER BY position"), ("night_id",))
        return [_night_overview(row, modes[row["night_id"],]) for row in nights]

    def mode(self, mode_id: str) -> FailureMode:
        """Return one failure mode with everything found about it."""
        with self._transaction(read_only=True) as connection:
            _require("failure mode", mode_id, _mode_ids(connection))
            return _read_modes(connection, "mode_id", mode_id)[0]

    def known_modes(self, model_hash: str, before: datetime) -> list[KnownMode]:
        """Return each lineage of a model's finished nights before a moment, as the latest of them saw it.

        The last 30 such nights count, and only failure modes with a signature; newest first.
        """
        with self._transaction(read_only=True) as connection:
            rows = _fetch(connection, _KNOWN_MODES, model_hash, before, REMEMBERED)
        return [_record(KnownMode, row) for row in rows]

    def other_errors(self, mode_id: str) -> list[LoggedError]:
        """Return the errors of the other failure modes that a model and those before it had, newest first.

        Those before it are the models that it was retrained from. An image that stands in several nights
        counts once, and none of the mode's own does, under whatever night it was found.
        """
        with self._transaction(read_only=True) as connection:
            _require("failure mode", mode_id, _mode_ids(connection))
            return [_error(row) for row in _fetch(connection, _OTHER_ERRORS, mode_id)]

    def add_verdict(self, verdict: Verdict) -> None:
        """Add a reviewer's verdict; earlier ones on the same failure mode stay."""
        with self._transaction() as connection:
            _require("failure mode", verdict.mode_id, _mode_ids(connection))
            _insert(connection, "verdicts", [_row(verdict)])

    def verdicts(self, mode_id: str) -> list[Verdict]:
        """Return the verdicts on a failure mode, newest first."""
        with self._transaction(read_only=True) as connection:
            rows = _select(connection, "verdicts", "mode_id", mode_id, order="given_at DESC, rowid DESC")
        return [_record(Verdict, row, judgement=Judgement(row["judgement"])) for row in rows]

    def add_retraining(self, retraining: Retraining, candidate: RegisteredModel) -> None:
        """Add a targeted retraining together with its candidate model; the same id replaces it."""
        with self._transaction() as connection:
            _write_model(connection, candidate)
            _write_retraining(connection, retraining)

    def retrainings(self, mode_id: str | None = None) -> list[Retraining]:
        """Return the retrainings of a failure mode, or all of them, newest first."""
        with self._transaction(read_only=True) as connection:
            rows = _fetch(connection, "FROM retrainings ORDER BY started_at DESC, rowid DESC")
            return [_read_retraining(connection, row) for row in rows if mode_id in (None, row["mode_id"])]

    def snapshot(self, target: Path) -> None:
        """Copy the store to `target` in one step, for readers that may hold the copy as long as they like."""
        if target.resolve() == self.path.resolve():
            raise StoreError(f"{target} is the store itself. Give another file for the snapshot.")
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with self._connection(read_only=True) as connection:
                unfinished.unlink(missing_ok=True)  # of a killed process that had our number
                _copy_database(connection, unfinished)
                unfinished.replace(target)
        except OSError as error:
            raise StoreError(f"the snapshot {target} cannot be written: {error.strerror}.") from error
        finally:
            unfinished.unlink(missing_ok=True)

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


# Between records and rows: a record's fields and a table's columns have the same names.


def _row(record: Any, /, **more: Any) -> Row:
    return {field.name: getattr(record, field.name) for field in fields(record)} | more


def _rows(records: Sequence[Any], **keys: Any) -> list[Row]:
    return [_row(record, position=position, **keys) for position, record in enumerate(records, 1)]


def _record(kind: type[Record], row: Row, /, **more: Any) -> Record:
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    values = {name: _value(value) for name, value in row.items() if name in names}
    return kind(**(values | more))


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _fetch(connection: DuckDBPyConnection, sql: str, *values: Any) -> list[Row]:
    connection.execute(sql, values)
    names = [column[0] for column in connection.description or ()]
    return [dict(zip(names, row, strict=True)) for row in connection.fetchall()]


def _select(
    connection: DuckDBPyConnection, table: str, column: str, value: str, order: str = "position"
) -> list[Row]:
    return _fetch(connection, f"FROM {table} WHERE {column} = ? ORDER BY {order}", value)


def _insert(connection: DuckDBPyConnection, table: str, rows: list[Row]) -> None:
    """Insert rows through Arrow; what the table has no column for is kept in tables of its own."""
    if not rows:
        return
    schema = connection.sql(f"FROM {table} LIMIT 0").to_arrow_table().schema
    try:
        connection.register("incoming", pa.Table.from_pylist(rows, schema=schema))
    except UnicodeEncodeError as error:  # a file name on Linux may be any bytes
        raise StoreError(f"{error.object!r} cannot be stored: it is no valid Unicode. Rename it.") from None
    connection.execute(f"INSERT INTO {table} BY NAME FROM incoming")
    connection.unregister("incoming")


def _delete(connection: DuckDBPyConnection, tables: Sequence[str], column: str, value: str) -> None:
    for table in tables:
        connection.execute(f"DELETE FROM {table} WHERE {column} = ?", [value])


def _grouped(rows: Sequence[Row], columns: Sequence[str]) -> Groups:
    groups: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[column] for column in columns)].append(row)
    return groups


# Which ids there are, and what to say about one that is not among them.


def _night_ids(connection: DuckDBPyConnection) -> list[str]:
    rows = _fetch(connection, "SELECT night_id FROM nights ORDER BY started_at DESC, night_id DESC")
    return [row["night_id"] for row in rows]


def _mode_ids(connection: DuckDBPyConnection) -> list[str]:
    ordered = "ORDER BY started_at DESC, night_id DESC, position"
    rows = _fetch(connection, f"SELECT mode_id FROM failure_modes JOIN nights USING (night_id) {ordered}")
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


# Models and retrainings.


def _write_model(connection: DuckDBPyConnection, model: RegisteredModel) -> None:
    _delete(connection, ("models",), "model_hash", model.model_hash)
    _insert(connection, "models", [_row(model)])


def _write_retraining(connection: DuckDBPyConnection, retraining: Retraining) -> None:
    retraining_id = retraining.retraining_id
    _delete(connection, _RETRAINING_TABLES, "retraining_id", retraining_id)
    _insert(connection, "retrainings", [_row(retraining, settings=json.dumps(retraining.settings))])
    _insert(connection, "accuracies", _rows(retraining.accuracies, retraining_id=retraining_id))
    for accuracy in retraining.accuracies:
        _insert(connection, "class_accuracies", _class_rows(retraining_id, accuracy))


def _class_rows(retraining_id: str, accuracy: Accuracy) -> list[Row]:
    key = {"retraining_id": retraining_id, "name": accuracy.name}
    return [
        {**key, "position": position, "class_name": name, "images": images, "before": before, "after": after}
        for position, (name, (images, before, after)) in enumerate(accuracy.per_class.items(), 1)
    ]


def _read_retraining(connection: DuckDBPyConnection, row: Row) -> Retraining:
    key = row["retraining_id"]
    classes = _grouped(_select(connection, "class_accuracies", "retraining_id", key), ("name",))
    accuracies = tuple(
        _record(Accuracy, accuracy, per_class=_per_class(classes[accuracy["name"],]))
        for accuracy in _select(connection, "accuracies", "retraining_id", key)
    )
    return _record(Retraining, row, settings=json.loads(row["settings"]), accuracies=accuracies)


def _per_class(rows: Sequence[Row]) -> dict[str, tuple[int, int, int]]:
    return {row["class_name"]: (row["images"], row["before"], row["after"]) for row in rows}


# Nights.


def _write_night(connection: DuckDBPyConnection, night: Night) -> None:
    _delete(connection, _NIGHT_TABLES, "night_id", night.night_id)
    for table, rows in _night_rows(night).items():
        _insert(connection, table, rows)


def _night_rows(night: Night) -> dict[str, list[Row]]:
    """Spread a night over the tables."""
    key = {"night_id": night.night_id}
    tables: dict[str, list[Row]] = defaultdict(list)
    settings, seconds = json.dumps(night.settings), json.dumps(night.seconds)
    tables["nights"] = [_row(night, settings=settings, seconds=seconds)]
    tables["set_aside"] = _rows(night.set_aside, **key)
    tables["errors"] = _rows(night.unclustered, mode_id=None, **key)
    for position, mode in enumerate(night.modes, 1):
        for table, rows in _mode_rows(mode, position).items():
            tables[table] += [row | key for row in rows]
    return tables


def _mode_rows(mode: FailureMode, position: int) -> dict[str, list[Row]]:
    key = {"mode_id": mode.mode_id}
    return {
        "failure_modes": [_row(mode, position=position) | _row(mode.diagnosis)],
        "errors": _rows(mode.errors, **key),
        "flip_rates": _rows(mode.flip_rates, **key),
        "blamed_filters": _rows(mode.filters, **key),
        "primitives": [row | key for blamed in mode.filters for row in _primitive_rows(blamed)],
        "patches": [row | key for blamed in mode.filters for row in _patch_rows(blamed)],
        "matches": _rows(mode.diagnosis.matches, **key),
        "pairs": _rows(mode.diagnosis.pair, **key),
        "suspect_labels": _rows(mode.suspects, **key),
        "comparisons": _rows(mode.comparisons, **key),
        "recipes": [_recipe_row(mode.recipe) | key] if mode.recipe else [],
    }


def _primitive_rows(blamed: BlamedFilter) -> list[Row]:
    return _rows(blamed.primitives, layer=blamed.layer, channel=blamed.channel)


def _patch_rows(blamed: BlamedFilter) -> list[Row]:
    key = {"layer": blamed.layer, "channel": blamed.channel}
    return [{**key, "position": position, "picture": path} for position, path in enumerate(blamed.patches, 1)]


def _recipe_row(recipe: RecipeFile) -> Row:
    examples = [{"before": before, "after": after} for before, after in recipe.examples]
    return _row(recipe, position=1, examples=examples)


def _read_night(connection: DuckDBPyConnection, night_id: str) -> Night:
    (row,) = _select(connection, "nights", "night_id", night_id, order="rowid")
    set_aside = _select(connection, "set_aside", "night_id", night_id)
    errors = _select(connection, "errors", "night_id", night_id)
    return _record(
        Night,
        row,
        state=NightState(row["state"]),
        settings=json.loads(row["settings"]),
        seconds=json.loads(row["seconds"]),
        set_aside=tuple(_record(SetAside, aside) for aside in set_aside),
        modes=_read_modes(connection, "night_id", night_id),
        unclustered=tuple(_error(error) for error in errors if error["mode_id"] is None),
    )


def _read_modes(connection: DuckDBPyConnection, column: str, value: str) -> tuple[FailureMode, ...]:
    """Read the failure modes whose `column`, night_id or mode_id, has this value."""
    details = {
        table: _grouped(_select(connection, table, column, value), columns)
        for table, columns in _MODE_DETAILS.items()
    }
    return tuple(_mode(row, details) for row in _select(connection, "failure_modes", column, value))


def _mode(row: Row, details: Mapping[str, Groups]) -> FailureMode:
    key = (row["mode_id"],)
    recipes = [_recipe(recipe) for recipe in details["recipes"][key]]
    return _record(
        FailureMode,
        row,
        errors=tuple(_error(error) for error in details["errors"][key]),
        flip_rates=tuple(_record(FlipRate, rate) for rate in details["flip_rates"][key]),
        filters=tuple(_filter(blamed, details) for blamed in details["blamed_filters"][key]),
        diagnosis=_diagnosis(row, details),
        recipe=recipes[0] if recipes else None,
        trend=Trend(row["trend"]),
        suspects=tuple(_record(SuspectLabel, suspect) for suspect in details["suspect_labels"][key]),
        comparisons=tuple(_record(Comparison, each) for each in details["comparisons"][key]),
    )


def _diagnosis(row: Row, details: Mapping[str, Groups]) -> Diagnosis:
    matches, pair = (
        tuple(_record(OperationMatch, match) for match in details[table][row["mode_id"],])
        for table in ("matches", "pairs")
    )
    return _record(Diagnosis, row, matches=matches, cause=Cause(row["cause"]), pair=pair)


def _error(row: Row) -> LoggedError:
    return _record(LoggedError, row, kind=ErrorKind(row["kind"]))


def _filter(row: Row, details: Mapping[str, Groups]) -> BlamedFilter:
    key = (row["mode_id"], row["layer"], row["channel"])
    primitives = tuple(_record(Primitive, primitive) for primitive in details["primitives"][key])
    patches = tuple(patch["picture"] for patch in details["patches"][key])
    return _record(BlamedFilter, row, primitives=primitives, patches=patches)


def _recipe(row: Row) -> RecipeFile:
    examples = tuple((example["before"], example["after"]) for example in row["examples"])
    return _record(RecipeFile, row, examples=examples)


def _night_overview(row: Row, modes: Sequence[Row]) -> NightOverview:
    overviews = tuple(_mode_overview(mode) for mode in modes)
    return _record(NightOverview, row, state=NightState(row["state"]), modes=overviews)


def _mode_overview(row: Row) -> ModeOverview:
    judgement = Judgement(row["judgement"]) if row["judgement"] else None
    trend, cause = Trend(row["trend"]), Cause(row["cause"])
    return _record(ModeOverview, row, judgement=judgement, trend=trend, cause=cause)


def _copy_database(connection: DuckDBPyConnection, target: Path) -> None:
    source = connection.execute("SELECT current_database()").fetchall()[0][0].replace('"', '""')
    path = str(target).replace("'", "''")
    connection.execute(f"ATTACH '{path}' AS fmi_snapshot (READ_WRITE)")
    connection.execute(f'COPY FROM DATABASE "{source}" TO fmi_snapshot')
    connection.execute("DETACH fmi_snapshot")
