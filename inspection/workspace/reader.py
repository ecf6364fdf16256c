"""What can be read of the findings, whatever connection they are read through."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from inspection.errors import StoreError, UnknownIdError
from inspection.findings import (
    LOST,
    Cause,
    Diagnosis,
    FailureMode,
    FilterName,
    JudgedImage,
    Judgement,
    KnownMode,
    LoggedError,
    LogSetAside,
    Night,
    NightState,
    OldNight,
    Promotion,
    ReferenceImage,
    RegisteredModel,
    Relabel,
    Retraining,
    Trend,
    Verdict,
)
from inspection.workspace.rows import (
    IMAGE_TABLES,
    Row,
    error_of,
    fetch,
    fetch_named,
    grouped,
    read_deployed,
    read_deployed_as,
    read_diagnoses,
    read_modes,
    read_night,
    read_promotions,
    read_retraining,
    record_of,
    select,
)

MOST_LISTED = 20  # ids that an error message lists
MOST_FOUND = 50  # failure modes, errors and nights that one search lists, each
REMEMBERED = 30  # nights of a model in which a failure mode is recognised

_NIGHTS_OVER_A_LOG = """
SELECT night_id, settings FROM nights
WHERE model_hash = ? AND log_sha256 = ?
ORDER BY started_at DESC, night_id DESC
"""

# Models of one family share their filters: each is retrained from another.
_FAMILY = """
WITH RECURSIVE before AS (
    SELECT ?::VARCHAR AS model_hash
    UNION
    SELECT model.parent_hash FROM models AS model JOIN before USING (model_hash)
    WHERE model.parent_hash IS NOT NULL
), family AS (
    FROM before
    UNION
    SELECT model.model_hash FROM models AS model JOIN family ON model.parent_hash = family.model_hash
)"""

_KNOWN_MODES = f"""
{_FAMILY}, earlier AS (
    SELECT
        night_id, started_at, gone, parts,
        row_number() OVER (ORDER BY started_at DESC, night_id DESC)::INTEGER AS nights_ago,
        (
            SELECT count(*) FROM set_aside AS s
            WHERE s.night_id = night.night_id AND list_contains(?, s.reason)
        ) AS lost
    FROM nights AS night
    WHERE model_hash IN (SELECT model_hash FROM family) AND started_at < ? AND state = 'finished'
        AND of_line IN ('', ?)
)
SELECT
    mode.lineage,
    mode.signature,
    (SELECT count(*) FROM errors AS e WHERE e.mode_id = mode.mode_id) AS errors,
    earlier.started_at,
    earlier.nights_ago,
    earlier.lost,
    earlier.parts,
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
), said AS (
    SELECT error.image_path, relabel.label
    FROM relabels AS relabel JOIN errors AS error USING (mode_id, row)
    QUALIFY row_number() OVER (
        PARTITION BY error.image_path ORDER BY relabel.given_at DESC, relabel.rowid DESC
    ) = 1
)
SELECT
    found.* EXCLUDE (started_at, own)
        REPLACE (CASE WHEN said.image_path IS NULL THEN found.true_label ELSE said.label END AS true_label)
FROM found LEFT JOIN said USING (image_path)
WHERE image_path NOT IN (SELECT image_path FROM found WHERE own)
    AND (said.image_path IS NULL OR said.label IS NOT NULL)
QUALIFY row_number() OVER (PARTITION BY image_path ORDER BY started_at DESC, position) = 1
ORDER BY started_at DESC, night_id, mode_id, position
"""

_NIGHTS_BEFORE = """
FROM night_overview
WHERE $1::VARCHAR IS NULL OR (started_at, night_id) < (
    SELECT (started_at, night_id) FROM nights WHERE night_id = $1
)
ORDER BY started_at DESC, night_id DESC
LIMIT $2
"""

_MODES_OF_NIGHTS = "FROM mode_overview WHERE list_contains(?, night_id) ORDER BY position"

_JUDGEMENTS = """
SELECT mode_id, judgement
FROM latest_verdicts JOIN failure_modes USING (mode_id)
WHERE night_id = ?
"""

_ERRORS_OF_NIGHTS = f"""
{_FAMILY}
SELECT
    night.night_id,
    night.started_at,
    night.errors_read,
    count(error.row) AS errors,
    any_value(mode.mode_id) AS mode_id
FROM nights AS night
LEFT JOIN failure_modes AS mode ON mode.night_id = night.night_id AND mode.lineage = ?
LEFT JOIN errors AS error ON error.mode_id = mode.mode_id
WHERE night.state = 'finished' AND night.model_hash IN (SELECT model_hash FROM family)
GROUP BY ALL
ORDER BY night.started_at DESC, night.night_id DESC
LIMIT ?
"""

_NEWEST_OF_LINEAGES = """
SELECT overview.*, night.started_at, night.errors_read, night.model_hash
FROM mode_overview AS overview JOIN nights AS night USING (night_id)
WHERE night.state = 'finished'
QUALIFY row_number() OVER (PARTITION BY overview.lineage ORDER BY night.started_at DESC, position) = 1
ORDER BY overview.escapes DESC, overview.errors DESC, night.started_at DESC, position
"""

_COUNTED_SINCE = """
WITH counted AS ( -- a log that was run again counts once
    SELECT night_id FROM nights
    WHERE state = 'finished' AND started_at >= ?
    QUALIFY row_number() OVER (PARTITION BY log_sha256 ORDER BY started_at DESC, night_id DESC) = 1
)"""

_KINDS_SINCE = f"""
{_COUNTED_SINCE}
SELECT error.kind, count(*) AS errors
FROM errors AS error JOIN counted USING (night_id)
GROUP BY error.kind
"""

_PARTS_SINCE = f"""
{_COUNTED_SINCE}
SELECT coalesce(sum(errors_read), 0)::BIGINT AS errors, coalesce(sum(right_read), 0)::BIGINT AS went_right
FROM nights JOIN counted USING (night_id)
WHERE right_read > 0
"""

_STATES_OF_LOGS = """
SELECT log_sha256, state, log_path, started_at FROM nights
WHERE $1::VARCHAR IS NULL OR of_line IN ('', $1)
QUALIFY row_number() OVER (
    PARTITION BY log_sha256 ORDER BY state = 'finished' DESC, started_at DESC, night_id DESC
) = 1
"""

_PRUNED_LOGS = "SELECT log_sha256 FROM pruned_nights WHERE line IN ('', ?)"

_LOGS_SET_ASIDE = """
FROM logs_set_aside AS aside
WHERE ($1::VARCHAR IS NULL OR line = $1) AND NOT EXISTS (
    FROM nights
    WHERE nights.log_sha256 = aside.log_sha256 AND state = 'finished' AND of_line IN ('', aside.line)
)
QUALIFY row_number() OVER (PARTITION BY line, log_sha256 ORDER BY set_aside_at DESC, rowid DESC) = 1
ORDER BY set_aside_at, log_path
"""

_RETURNED = f"""
{_FAMILY}, mine AS (SELECT * FROM nights WHERE night_id = ?)
SELECT mode.mode_id
FROM failure_modes AS mode, mine
WHERE mode.night_id = mine.night_id AND EXISTS (
    FROM nights AS night
    WHERE night.state = 'finished' AND night.started_at < mine.started_at
        AND night.model_hash IN (SELECT model_hash FROM family) AND night.of_line IN ('', mine.of_line)
        AND list_contains(night.gone, mode.lineage)
        AND NOT EXISTS (
            FROM nights AS later JOIN failure_modes AS seen USING (night_id)
            WHERE seen.lineage = mode.lineage AND later.started_at > night.started_at
                AND later.started_at < mine.started_at
        )
)
ORDER BY mode.position
"""

_IMAGES = (
    f"SELECT image_path FROM ({' UNION '.join(f'SELECT image_path FROM {each}' for each in IMAGE_TABLES)})"
)
_IMAGE_FOLDERS = (
    f"SELECT DISTINCT regexp_replace(image_path, '/[^/]*$', '') AS folder FROM ({_IMAGES}) ORDER BY ALL"
)

# What may not be removed: what people said of, what models were retrained for, what the next night is
# compared with, and what runs.
_OLD_NIGHTS = """
SELECT
    night_id,
    started_at,
    log_path,
    CASE
        WHEN state = 'running' THEN 'it runs, or goes on when it is started again'
        WHEN EXISTS (
            FROM failure_modes AS mode JOIN verdicts USING (mode_id) WHERE mode.night_id = night.night_id
        ) THEN 'a reviewer gave a verdict'
        WHEN EXISTS (
            FROM failure_modes AS mode JOIN relabels USING (mode_id) WHERE mode.night_id = night.night_id
        ) THEN 'a reviewer relabelled its images'
        WHEN EXISTS (
            FROM failure_modes AS mode JOIN retrained_modes USING (mode_id)
            WHERE mode.night_id = night.night_id
        ) THEN 'a model was retrained for it'
        WHEN state = 'finished' AND NOT EXISTS (
            FROM nights AS later
            WHERE later.state = 'finished' AND later.started_at > night.started_at
                AND later.model_hash = night.model_hash AND later.of_line = night.of_line
        ) THEN 'it is the last of its model: the next is compared with it'
        ELSE ''
    END AS rests
FROM nights AS night
WHERE started_at < ?
ORDER BY started_at, night_id
"""

_PRUNED_NIGHTS = """
SELECT DISTINCT night_id FROM pruned_nights
WHERE night_id NOT IN (SELECT night_id FROM nights)
ORDER BY night_id
"""

_IMAGE_PATHS = """
SELECT image_path FROM errors
UNION SELECT image_path FROM judged_images
UNION SELECT image_path FROM reference_images
"""

_CONFUSIONS = """
SELECT mode_id, true_label, predicted_label
FROM errors WHERE list_contains(?, mode_id)
GROUP BY mode_id, true_label, predicted_label
QUALIFY row_number() OVER (PARTITION BY mode_id ORDER BY count(*) DESC, min(position)) = 1
"""

_RELABELS = """
FROM relabels WHERE list_contains(?, mode_id)
QUALIFY row_number() OVER (PARTITION BY mode_id, row ORDER BY given_at DESC, rowid DESC) = 1
"""

_FILTER_NAMES = f"""
{_FAMILY}
SELECT * FROM filter_names
WHERE model_hash IN (SELECT model_hash FROM family)
ORDER BY given_at DESC, rowid DESC
"""

_NIGHTS_BLAMING = f"""
{_FAMILY}
SELECT night_id FROM nights JOIN blamed_filters USING (night_id)
WHERE model_hash IN (SELECT model_hash FROM family) AND layer = ? AND channel = ?
GROUP BY night_id, started_at
ORDER BY started_at DESC, night_id DESC
LIMIT ?
"""

_RETRAININGS = """
FROM retrainings
WHERE ($1::VARCHAR IS NULL
        OR retraining_id IN (SELECT retraining_id FROM retrained_modes WHERE mode_id = $1))
    AND ($2::VARCHAR IS NULL OR candidate_hash = $2)
    AND ($3::VARCHAR IS NULL OR retraining_id = $3)
ORDER BY started_at DESC, rowid DESC
"""

_LAST_RETRAINING_TOOK = """
SELECT epoch(finished_at - started_at) AS seconds
FROM retrainings ORDER BY started_at DESC, rowid DESC LIMIT 1
"""

_CALLED = "SELECT model_hash FROM models WHERE lower($1) IN (lower(name || ' v' || version), 'v' || version)"

# What experts call a texture goes with the filter of every model of a family: of all with one root.
_SEARCHED_MODES = """
WITH RECURSIVE rooted AS (
    SELECT model_hash, model_hash AS root FROM models
    WHERE parent_hash IS NULL OR parent_hash NOT IN (SELECT model_hash FROM models)
    UNION ALL
    SELECT model.model_hash, rooted.root
    FROM models AS model JOIN rooted ON model.parent_hash = rooted.model_hash
), called AS (
    SELECT root, layer, channel, name FROM filter_names JOIN rooted USING (model_hash)
    QUALIFY row_number() OVER (
        PARTITION BY root, layer, channel ORDER BY given_at DESC, filter_names.rowid DESC
    ) = 1
), found AS (
    SELECT mode_id FROM failure_modes
    WHERE contains(lower(mode_id), $text) OR contains(lower(lineage), $text)
        OR list_contains($causes, CASE WHEN claimed THEN NULL ELSE cause END)
        OR claimed AND len(list_intersect($causes, [family, operation, measured, meaning])) > 0
    UNION
    SELECT mode_id FROM verdicts WHERE list_contains($causes, cause)
    UNION
    SELECT blamed.mode_id
    FROM blamed_filters AS blamed
    JOIN nights USING (night_id)
    JOIN rooted USING (model_hash)
    JOIN called USING (root, layer, channel)
    WHERE contains(lower(called.name), $text)
)
SELECT mode_id, count(*) OVER () AS all_found
FROM found JOIN failure_modes USING (mode_id) JOIN nights USING (night_id)
WHERE nights.state = 'finished'
ORDER BY nights.started_at DESC, position
LIMIT $most
"""

_SEARCHED_IN = ("inspection_id", "part_number", "serial", "lot", "camera", "line", "station")

_EXACTLY = " OR ".join(f"coalesce(lower({name}) = $text, false)" for name in _SEARCHED_IN)
_HOLDING = " OR ".join(f"contains(lower({name}), $text)" for name in _SEARCHED_IN)

_SEARCHED_ERRORS = f"""
WITH found AS (
    SELECT * FROM errors WHERE {_EXACTLY} OR length($text) > 2 AND ({_HOLDING})
)
SELECT found.*, nights.started_at, count(*) OVER () AS all_found
FROM found JOIN nights USING (night_id)
WHERE state = 'finished'
ORDER BY {_EXACTLY} DESC, nights.started_at DESC, position
LIMIT $most
"""

_SEARCHED_NIGHTS = """
SELECT *, count(*) OVER () AS all_found
FROM night_overview
WHERE contains(lower(night_id), $text) OR contains(lower(log_path), $text)
    OR length($text) > 6 AND contains(night_id, replace($text, '-', '')) -- a night's id begins with its day
ORDER BY started_at DESC, night_id DESC
LIMIT $most
"""

_CAUSES = """
SELECT unnest([family, operation, measured, meaning]) AS cause FROM failure_modes WHERE claimed
UNION
SELECT cause FROM verdicts
"""

_MODES_NAMED = """
SELECT overview.*, night.started_at, night.errors_read, night.model_hash
FROM mode_overview AS overview JOIN nights AS night USING (night_id)
WHERE list_contains(?, mode_id)
ORDER BY night.started_at DESC, position
"""

_NIGHT_OVER_A_LOG = """
SELECT night_id FROM nights
WHERE log_sha256 = ? AND night_id IN (SELECT night_id FROM failure_modes)
ORDER BY started_at DESC, night_id DESC
LIMIT 1
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
    of_line: str = ""  # the line whose settings it has; empty: none in particular
    parts: int | None = None  # inspected for its log; None: not known


@dataclass(frozen=True, slots=True)
class WaitingMode:
    """The newest night of a lineage, for a list of what waits for a person."""

    overview: ModeOverview
    diagnosis: Diagnosis
    confusion: tuple[str, str]  # true and predicted label of most errors
    started_at: datetime  # of its night, UTC
    errors_read: int  # of that night
    model_hash: str


@dataclass(frozen=True, slots=True)
class FoundError:
    """An error that was searched for, with where it was found."""

    error: LoggedError
    night_id: str
    started_at: datetime  # of the night, UTC
    mode: WaitingMode | None  # None: it belongs to no failure mode


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of a text: the first of each kind, and how many there are."""

    modes: list[WaitingMode] = field(default_factory=list)
    errors: list[FoundError] = field(default_factory=list)
    nights: list[NightOverview] = field(default_factory=list)
    all_modes: int = 0
    all_errors: int = 0
    all_nights: int = 0


@dataclass(frozen=True, slots=True)
class NightCount:
    """How many errors of a lineage a night found, or of all."""

    night_id: str
    started_at: datetime  # UTC
    errors: int
    errors_read: int  # of the night
    mode_id: str | None  # None: the night has none


@dataclass(frozen=True, slots=True)
class ReadLog:
    """What became of a defect log: its newest finished night, or else the newest."""

    log_sha256: str
    log_path: str
    state: NightState
    started_at: datetime  # UTC


@dataclass(frozen=True, slots=True)
class Ids:
    """Where the ids of one kind of record stand, and how they are sorted: newest first."""

    noun: str
    table: str
    column: str
    order: str


NIGHT_IDS = Ids("night", "nights", "night_id", "started_at DESC, night_id DESC")
MODE_IDS = Ids(
    "failure mode",
    "failure_modes JOIN nights USING (night_id)",
    "mode_id",
    "started_at DESC, night_id DESC, position",
)
MODEL_IDS = Ids("model", "models", "model_hash", "registered_at DESC, rowid DESC")


class Reader(ABC):
    """The findings of one workspace, to be read. Every method raises StoreError where that is impossible."""

    path: Path  # of the store

    @abstractmethod
    def _reading(self) -> AbstractContextManager[DuckDBPyConnection]:
        """Lend a connection to the findings, of one moment."""

    def model(self, wanted: str | None = None) -> RegisteredModel:
        """Return the model whose hash begins so, or that is called so (`v3`, `front`, `front v3`).

        None: the deployed one.
        """
        with self._reading() as connection:
            chosen = read_deployed(connection) if wanted is None else _named_model(connection, wanted)
            if chosen is None:
                raise StoreError(f"no deployed model in the store {self.path}. Register one first.")
            rows = select(connection, "models", MODEL_IDS.column, chosen, MODEL_IDS.order)
        return record_of(RegisteredModel, rows[0])

    def model_states(self) -> dict[str, str]:
        """Return of every model whether it is deployed, retired, or a candidate, by its hash.

        One of each name is deployed.
        """
        with self._reading() as connection:
            rows = fetch(connection, "SELECT model_hash, state FROM model_overview")
        return {row["model_hash"]: row["state"] for row in rows}

    def promotions(self) -> list[Promotion]:
        """Return the audit trail of which model was deployed since when, oldest first."""
        with self._reading() as connection:
            return read_promotions(connection)

    def models(self) -> list[RegisteredModel]:
        """Return every model, newest first."""
        with self._reading() as connection:
            rows = fetch(connection, f"FROM models ORDER BY {MODEL_IDS.order}")
        return [record_of(RegisteredModel, row) for row in rows]

    def references(self, model_hash: str) -> list[ReferenceImage]:
        """Return the labelled images of a model, in the order registered."""
        with self._reading() as connection:
            rows = select(connection, "reference_images", "model_hash", model_hash, order="rowid")
        return [record_of(ReferenceImage, row) for row in rows]

    def night(self, night_id: str | None = None) -> Night:
        """Return the night whose id begins so, with everything found; None: the newest started."""
        with self._reading() as connection:
            if night_id is not None:
                return read_night(connection, _resolve(connection, NIGHT_IDS, night_id))
            for newest in _ids(connection, NIGHT_IDS):
                return read_night(connection, newest)
        raise StoreError(f"no night in the store {self.path}. Run one over a defect log first.")

    def nights(self, most: int | None = None, before: str | None = None) -> list[NightOverview]:
        """Return what a list of nights shows, newest first: at most so many, from before another night."""
        with self._reading() as connection:
            if before is not None:
                require(connection, NIGHT_IDS, before)
            nights = fetch(connection, _NIGHTS_BEFORE, before, most)
            listed = [row["night_id"] for row in nights]
            modes = grouped(fetch(connection, _MODES_OF_NIGHTS, listed), ("night_id",))
        return [_night_overview(row, modes[row["night_id"],]) for row in nights]

    def overview(self, night_id: str) -> NightOverview:
        """Return what a list of nights shows of one, without everything it found."""
        with self._reading() as connection:
            require(connection, NIGHT_IDS, night_id)
            (row,) = select(connection, "night_overview", "night_id", night_id, NIGHT_IDS.order)
            modes = fetch(connection, _MODES_OF_NIGHTS, [night_id])
        return _night_overview(row, modes)

    def last_retraining_took(self) -> float | None:
        """Return the seconds that the newest retraining took; None: there was none."""
        with self._reading() as connection:
            rows = fetch(connection, _LAST_RETRAINING_TOOK)
        return rows[0]["seconds"] if rows else None

    def night_over(self, log_sha256: str) -> str | None:
        """Return the id of the newest night over a log that has found a failure mode; None: there is none."""
        with self._reading() as connection:
            rows = fetch(connection, _NIGHT_OVER_A_LOG, log_sha256)
        return rows[0]["night_id"] if rows else None

    def states(self) -> dict[str, NightState]:
        """Return where every night stands, by its id."""
        with self._reading() as connection:
            rows = fetch(connection, "SELECT night_id, state FROM nights")
        return {row["night_id"]: NightState(row["state"]) for row in rows}

    def settings_of_nights(self, model_hash: str, log_sha256: str) -> dict[str, dict[str, Any]]:
        """Return the settings of every night over a log with a model, by the nights' ids, newest first."""
        with self._reading() as connection:
            rows = fetch(connection, _NIGHTS_OVER_A_LOG, model_hash, log_sha256)
        return {row["night_id"]: json.loads(row["settings"]) for row in rows}

    def mode(self, mode_id: str) -> FailureMode:
        """Return one failure mode with everything found about it."""
        with self._reading() as connection:
            require(connection, MODE_IDS, mode_id)
            return read_modes(connection, "mode_id", mode_id)[0]

    def known_modes(self, model_hash: str, before: datetime, line: str = "") -> list[KnownMode]:
        """Return each lineage of a model's finished nights before a moment, as the latest of them saw it.

        Nights of the line count, and those of none in particular. So do those of the models that it was
        retrained from or that were retrained from it. The last 30 such nights count, and only failure modes
        with a signature; newest first.
        """
        with self._reading() as connection:
            rows = fetch(connection, _KNOWN_MODES, model_hash, list(LOST), before, line, REMEMBERED)
        return [record_of(KnownMode, row) for row in rows]

    def error(self, mode_id: str, row: int) -> LoggedError:
        """Return one error of a failure mode, by its data row of the log."""
        with self._reading() as connection:
            rows = fetch(connection, "FROM errors WHERE mode_id = ? AND row = ? LIMIT 1", mode_id, row)
        if not rows:
            raise UnknownIdError(f"no row {row} in failure mode '{mode_id}'")
        return error_of(rows[0])

    def newest_of_lineages(self) -> list[WaitingMode]:
        """Return every lineage as its newest finished night saw it: most escapes first, then most errors."""
        with self._reading() as connection:
            rows = fetch(connection, _NEWEST_OF_LINEAGES)
            return _waiting(connection, rows)

    def listed_modes(self, mode_ids: Sequence[str]) -> dict[str, WaitingMode]:
        """Return some failure modes as a list shows them, by their ids."""
        with self._reading() as connection:
            found = _waiting(connection, fetch(connection, _MODES_NAMED, list(mode_ids)))
        return {each.overview.mode_id: each for each in found}

    def causes(self) -> list[str]:
        """Return every cause that a night has claimed or a reviewer has named, in the words of the store."""
        with self._reading() as connection:
            return [row["cause"] for row in fetch(connection, _CAUSES) if row["cause"]]

    def search(self, text: str, causes: Sequence[str], most: int = MOST_FOUND) -> Found:
        """Return what holds a text, in lower case: failure modes, errors and nights, so many of each at most.

        Failure modes of some causes, too, in the words of the store. Of up to two characters errors are found
        that are logged exactly so.
        """
        with self._reading() as connection:
            asked = {"text": text, "most": most}
            modes = fetch_named(connection, _SEARCHED_MODES, asked | {"causes": list(causes)})
            errors = fetch_named(connection, _SEARCHED_ERRORS, asked)
            nights = fetch_named(connection, _SEARCHED_NIGHTS, asked)
            ids = [row["mode_id"] for row in (*modes, *errors) if row["mode_id"]]
            known = _waiting(connection, fetch(connection, _MODES_NAMED, ids))
            overviews = grouped(
                fetch(connection, _MODES_OF_NIGHTS, [row["night_id"] for row in nights]), ("night_id",)
            )
        named = {each.overview.mode_id: each for each in known}
        return Found(
            [named[row["mode_id"]] for row in modes],
            [
                record_of(FoundError, row, error=error_of(row), mode=named.get(row["mode_id"]))
                for row in errors
            ],
            [_night_overview(row, overviews[row["night_id"],]) for row in nights],
            *(rows[0]["all_found"] if rows else 0 for rows in (modes, errors, nights)),
        )

    def kinds_since(self, moment: datetime) -> dict[str, int]:
        """Return how many errors of each kind the finished nights since a moment found.

        Of the nights over one log the newest counts.
        """
        with self._reading() as connection:
            return {row["kind"]: row["errors"] for row in fetch(connection, _KINDS_SINCE, moment)}

    def parts_since(self, moment: datetime) -> tuple[int, int]:
        """Return how many errors, and parts whose verdict was right, the logs that hold both have.

        Of finished nights since a moment; of the nights over one log the newest counts.
        """
        with self._reading() as connection:
            (row,) = fetch(connection, _PARTS_SINCE, moment)
        return row["errors"], row["went_right"]

    def returned(self, night: Night) -> list[str]:
        """Return the ids of a night's failure modes that were gone before it and are back."""
        with self._reading() as connection:
            rows = fetch(connection, _RETURNED, night.model_hash, night.night_id)
        return [row["mode_id"] for row in rows]

    def pruned_logs(self, line: str) -> set[str]:
        """Return the SHA-256 of logs of a line whose nights were removed."""
        with self._reading() as connection:
            return {row["log_sha256"] for row in fetch(connection, _PRUNED_LOGS, line)}

    def pruned_nights(self) -> list[str]:
        """Return the ids of nights that were removed, and not made again since."""
        with self._reading() as connection:
            return [row["night_id"] for row in fetch(connection, _PRUNED_NIGHTS)]

    def image_paths(self) -> set[str]:
        """Return the images that anything in the store names: errors, what judged, reference images."""
        with self._reading() as connection:
            return {row["image_path"] for row in fetch(connection, _IMAGE_PATHS)}

    def old_nights(self, before: datetime) -> list[OldNight]:
        """Return the nights that started before a moment, the oldest first, with what rests on them."""
        with self._reading() as connection:
            return read_old_nights(connection, before)

    def logs_set_aside(self, line: str | None = None) -> list[LogSetAside]:
        """Return the logs of a line, or of all, that no night could read until now, the first first."""
        with self._reading() as connection:
            return [record_of(LogSetAside, row) for row in fetch(connection, _LOGS_SET_ASIDE, line)]

    def logs(self, line: str | None = None) -> dict[str, ReadLog]:
        """Return what became of every log that a night began to read, by the SHA-256 of its content.

        Of a line: of nights of that line, and of none in particular.
        """
        with self._reading() as connection:
            rows = fetch(connection, _STATES_OF_LOGS, line)
        return {row["log_sha256"]: record_of(ReadLog, row, state=NightState(row["state"])) for row in rows}

    def errors_of_nights(self, model_hash: str, lineage: str, most: int = REMEMBERED) -> list[NightCount]:
        """Return how many errors of a lineage the last finished nights found, newest first.

        Nights of the model, of those that it was retrained from, and of those retrained from it.
        """
        with self._reading() as connection:
            rows = fetch(connection, _ERRORS_OF_NIGHTS, model_hash, lineage, most)
        return [record_of(NightCount, row) for row in rows]

    def other_errors(self, mode_id: str) -> list[LoggedError]:
        """Return the errors of the other failure modes that a model and those before it had, newest first.

        Those before it are the models that it was retrained from. An image that stands in several nights
        counts once, and none of the mode's own does, under whatever night it was found. Their labels are a
        reviewer's where one has relabelled the image, and none is there that one has removed.
        """
        with self._reading() as connection:
            require(connection, MODE_IDS, mode_id)
            return [error_of(row) for row in fetch(connection, _OTHER_ERRORS, mode_id)]

    def verdicts(self, mode_id: str) -> list[Verdict]:
        """Return the verdicts on a failure mode, newest first."""
        with self._reading() as connection:
            rows = select(connection, "verdicts", "mode_id", mode_id, order="given_at DESC, rowid DESC")
        return [record_of(Verdict, row, judgement=Judgement(row["judgement"])) for row in rows]

    def relabels(self, mode_ids: Sequence[str]) -> dict[tuple[str, int], Relabel]:
        """Return the newest word on each image of some failure modes that a reviewer has relabelled.

        By failure mode and data row of the log.
        """
        with self._reading() as connection:
            rows = fetch(connection, _RELABELS, list(mode_ids))
        return {(row["mode_id"], row["row"]): record_of(Relabel, row) for row in rows}

    def filter_names(self, model_hash: str) -> dict[str, tuple[FilterName, ...]]:
        """Return what experts have called a model's filters, by `layer:channel`, newest first.

        Filters of the models that it was retrained from, and of those retrained from it, are the same.
        """
        with self._reading() as connection:
            rows = fetch(connection, _FILTER_NAMES, model_hash)
        given = [record_of(FilterName, row) for row in rows]
        return {
            name: tuple(each for each in given if each.filter == name)
            for name in dict.fromkeys(each.filter for each in given)
        }

    def nights_blaming(self, named: FilterName, most: int = REMEMBERED) -> list[str]:
        """Return the last nights of a model and its family that blame the filter of a name, newest first."""
        with self._reading() as connection:
            asked = (named.model_hash, named.layer, named.channel, most)
            return [row["night_id"] for row in fetch(connection, _NIGHTS_BLAMING, *asked)]

    def judgements(self, night_id: str) -> dict[str, Judgement]:
        """Return the newest verdict's judgement on each failure mode of a night that has one."""
        with self._reading() as connection:
            rows = fetch(connection, _JUDGEMENTS, night_id)
        return {row["mode_id"]: Judgement(row["judgement"]) for row in rows}

    def retrainings(
        self, mode_id: str | None = None, candidate: str | None = None, retraining_id: str | None = None
    ) -> list[Retraining]:
        """Return the retrainings newest first: of a failure mode, of a candidate's hash, of an id, or all."""
        with self._reading() as connection:
            rows = fetch(connection, _RETRAININGS, mode_id, candidate, retraining_id)
            return [read_retraining(connection, row) for row in rows]

    def judged_images(self, retraining_id: str) -> list[JudgedImage]:
        """Return the images that judged a retraining's candidate, set by set."""
        with self._reading() as connection:
            rows = select(connection, "judged_images", "retraining_id", retraining_id)
        return [record_of(JudgedImage, row) for row in rows]

    def images_below(self, folder: str) -> list[str]:
        """Return the paths of all images in a folder and those in it, each once; no slash at its end."""
        with self._reading() as connection:
            rows = fetch(connection, f"{_IMAGES} WHERE starts_with(image_path, ?) ORDER BY ALL", f"{folder}/")
        return [row["image_path"] for row in rows]

    def image_folders(self) -> list[str]:
        """Return the folders that images lie in, each once."""
        with self._reading() as connection:
            rows = fetch(connection, _IMAGE_FOLDERS)
        return [row["folder"] for row in rows]


# Which ids there are, and what to say about one that is not among them.


def read_old_nights(connection: DuckDBPyConnection, before: datetime) -> list[OldNight]:
    """The nights that started before a moment, the oldest first, with what rests on them."""
    return [record_of(OldNight, row) for row in fetch(connection, _OLD_NIGHTS, before)]


def require(connection: DuckDBPyConnection, ids: Ids, given: str) -> None:
    """Raise UnknownIdError where there is no such id."""
    if not fetch(connection, f"SELECT 1 FROM {ids.table} WHERE {ids.column} = ? LIMIT 1", given):
        raise _unknown(connection, ids, given)


def _named_model(connection: DuckDBPyConnection, wanted: str) -> str:
    """Return the hash of the one model that is called so, or whose hash begins so.

    Of a name without a version it is the deployed one of that name.
    """
    deployed = read_deployed_as(connection, wanted)
    if deployed:
        return deployed
    called = fetch(connection, _CALLED, wanted)
    return called[0]["model_hash"] if len(called) == 1 else _resolve(connection, MODEL_IDS, wanted)


def _resolve(connection: DuckDBPyConnection, ids: Ids, prefix: str) -> str:
    """Return the one id that is `prefix` or begins so."""
    found = _ids(connection, ids, prefix)
    if prefix in found or len(found) == 1:
        return prefix if prefix in found else found[0]
    if found:
        raise StoreError(
            f"{ids.noun} '{prefix}' is ambiguous; so begin: {_listed(found)}. Give more of the id."
        )
    raise _unknown(connection, ids, prefix)


def _ids(connection: DuckDBPyConnection, ids: Ids, prefix: str = "") -> list[str]:
    """Return the ids that begin so, newest first."""
    beginning = (
        f"SELECT {ids.column} FROM {ids.table} WHERE starts_with({ids.column}, ?) ORDER BY {ids.order}"
    )
    return [row[ids.column] for row in fetch(connection, beginning, prefix)]


def _unknown(connection: DuckDBPyConnection, ids: Ids, given: str) -> UnknownIdError:
    return UnknownIdError(f"no {ids.noun} '{given}'; the store has: {_listed(_ids(connection, ids))}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return (", ".join(names[:MOST_LISTED]) or "none yet") + more


def _waiting(connection: DuckDBPyConnection, rows: Sequence[Row]) -> list[WaitingMode]:
    """Failure modes in a list, by their overviews."""
    ids = [row["mode_id"] for row in rows]
    found = read_diagnoses(connection, ids)
    most = {
        row["mode_id"]: (row["true_label"], row["predicted_label"])
        for row in fetch(connection, _CONFUSIONS, ids)
    }
    return [
        record_of(
            WaitingMode,
            row,
            overview=_mode_overview(row),
            diagnosis=found[row["mode_id"]],
            confusion=most.get(row["mode_id"], ("", "")),
        )
        for row in rows
    ]


def _night_overview(row: Row, modes: Sequence[Row]) -> NightOverview:
    overviews = tuple(_mode_overview(mode) for mode in modes)
    return record_of(NightOverview, row, state=NightState(row["state"]), modes=overviews)


def _mode_overview(row: Row) -> ModeOverview:
    judgement = Judgement(row["judgement"]) if row["judgement"] else None
    trend, cause = Trend(row["trend"]), Cause(row["cause"])
    return record_of(ModeOverview, row, judgement=judgement, trend=trend, cause=cause)
