"""A night from its first to its last line: identity, assembly, and the summary that a script reads."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from fmi_engine.decision_rule import DecisionRule
from inspection import tuning
from inspection.errors import LogError
from inspection.findings import (
    ERRORS_LOST,
    FailureMode,
    FlipRate,
    LoggedError,
    Night,
    NightState,
    RegisteredModel,
    RightPart,
    SetAside,
)
from inspection.inputs.addresses import Copies, is_address
from inspection.inputs.defect_log import Decoding, DefectLog, LogReading, LogRow, read_defect_log
from inspection.inputs.held import hold
from inspection.inputs.images import reading
from inspection.nights.affected import tell_affected
from inspection.nights.decisions import decided_of
from inspection.nights.lineage import follow
from inspection.nights.phrases import worded
from inspection.nights.report import report_turn, write_report
from inspection.progress import Progress
from inspection.workspace.files import sha256_of
from inspection.workspace.folder import Workspace, open_workspace
from inspection.workspace.lease import holder, lease, lease_if_free
from inspection.workspace.settings import as_now, of_a_night
from inspection.workspace.store import Store

PARTS = "parts_inspected"  # column of a defect log
MOST_RIGHT = 500  # parts that went right: of a night that the store keeps, and that judge a candidate
INTERRUPTED = (
    "its process was ended before the night was; the same command goes on after the last finished step"
)


@dataclass(frozen=True, slots=True)
class Site:
    """A workspace with its store, as every step opens it."""

    workspace: Workspace
    store: Store


def open_site(root: str | Path, line: str = "") -> Site:
    """Open a workspace and its store, for one of its lines where one is named."""
    workspace = open_workspace(Path(root), line)
    return Site(workspace, Store(workspace.store_path))


def begin(site: Site, log: Path, model_hash: str | None, query: str | None, again: bool) -> Night:
    """Start a night over a log, take up the one that was interrupted, or return the one already finished.

    A night is known by its log, its model and its settings: the same three are the same night, so a
    second run resumes or costs nothing. `again` asks for a fresh one; one that could read nothing is
    followed by a fresh one, too. A log has one place, however its path is spelt, and none where
    `images_root` says where its paths start. Where images lie does not count, except for a night that
    missed some or has not ended, and looked for them elsewhere. Raises LogError or StoreError.
    """
    asked = _asked(site, log, model_hash, query)
    earlier = asked.nights(site.store)
    latest = site.store.night(earlier[0]) if earlier else None
    if latest and asked.is_answered_by(latest) and not again:
        if latest.state is NightState.FINISHED:
            return latest
        night = replace(latest, state=NightState.RUNNING, message="", finished_at=None)
    else:
        night = Night(
            night_id=_new_id(asked.mark, len(earlier)),
            model_hash=asked.model.model_hash,
            log_path=str(asked.log),
            log_sha256=asked.log_sha256,
            started_at=datetime.now(UTC),
            finished_at=None,
            state=NightState.RUNNING,
            settings=asked.settings,
            of_line=site.workspace.line,
        )
    site.store.start_night(night)
    return night


def finished(site: Site, log: Path, model_hash: str | None, query: str | None) -> Night | None:
    """The night that `begin` would start, where it is finished already. Raises as `begin`."""
    asked = _asked(site, log, model_hash, query)
    earlier = asked.nights(site.store)
    night = site.store.night(earlier[0]) if earlier else None
    is_done = night and night.state is NightState.FINISHED and asked.is_answered_by(night)
    return night if is_done else None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What tells the night that is asked for from any other."""

    model: RegisteredModel
    log: Path  # its one place, however its path is spelt
    spelt: Path  # absolute, as an earlier version took it
    log_sha256: str
    settings: dict[str, object]
    query: str | None

    @property
    def mark(self) -> str:
        """The fingerprint that a new night has in its id."""
        return fingerprint(
            self._place, self.log_sha256, self._registration, placeless(self.settings), self.query
        )

    @property
    def _place(self) -> str:
        return "" if _places(self.settings)[0] else str(self.log)

    @property
    def _registration(self) -> str:
        return f"{self.model.model_hash} {self.model.registered_at.isoformat()}"

    def _marks(self, held: dict[str, object]) -> list[str]:
        """Those that a night with these settings may have: ours, and an earlier version's."""
        known = [(self._place, placeless(held)), (str(self.log), held), (str(self.spelt), held)]
        return [
            fingerprint(place, self.log_sha256, self._registration, settings, self.query)
            for place, settings in known
        ]

    def nights(self, store: Store) -> list[str]:
        """The ids of those in the store, newest first."""
        return [
            night_id
            for night_id, held in store.settings_of_nights(self.model.model_hash, self.log_sha256).items()
            if any(f"-{mark}" in night_id for mark in self._marks(held))
            and placeless(as_now(held)) == placeless(self.settings)
        ]

    def is_answered_by(self, night: Night) -> bool:
        """Whether a night over it stays, or goes on: it read something, and looked where we would look."""
        missed = any(each.reason == "missing_image" for each in night.set_aside)
        is_whole = night.state is NightState.FINISHED and not missed
        looked_there = _places(as_now(night.settings)) == _places(self.settings)
        return night.state is not NightState.UNREADABLE and (is_whole or looked_there)


def _places(settings: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Where images lie here, by the settings of a night."""
    log = settings["defect_log"]
    return log["images_root"], log["paths"]


def placeless(settings: Mapping[str, Any]) -> dict[str, object]:
    """The settings of a night, without where images lie here: the same images are found elsewhere."""
    return {**settings, "defect_log": settings["defect_log"] | {"images_root": "", "paths": {}}}


def _asked(site: Site, log: Path, model_hash: str | None, query: str | None) -> _Asked:
    model = check_start(site, log, model_hash)
    settings = of_a_night(site.workspace.settings)
    return _Asked(model, log.resolve(), log.absolute(), sha256_of(log), settings, query)


@contextmanager
def turn(site: Site, log: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """The only right to run a night over this log, for the block.

    Waits while another process has it; `waiting` is told who that is.
    """
    content = sha256_of(log)
    while True:
        with lease(site.workspace.leases, lease_of(content), waiting):
            now = sha256_of(log)
            if now == content:
                yield
                return
        content = now  # it was replaced while another process had its turn


def settle(site: Site) -> None:
    """Mark nights that were ended on the way as failed: those that are said to run, and that nobody runs."""
    for night_id, state in site.store.states().items():
        if state is NightState.RUNNING:
            name = lease_of(site.store.night(night_id).log_sha256)
            # It may have ended since: whoever has the lease, nobody ends or begins it.
            with lease_if_free(site.workspace.leases, name) as free:
                if free and site.store.states().get(night_id) is NightState.RUNNING:
                    site.store.fail_night(night_id, INTERRUPTED)


def runs_now(workspace: Workspace, night: Night) -> str | None:
    """Which process runs a night now, in words; None where none does."""
    return holder(workspace.leases, lease_of(night.log_sha256))


def lease_of(log_sha256: str) -> str:
    """The name of the lease that a night over a log holds."""
    return f"night-{log_sha256[:16]}"


def check_start(site: Site, log: Path, model_hash: str | None) -> RegisteredModel:
    """The model a night would diagnose; raises at once what would stop the night before it began."""
    site.workspace.check_writable()
    if not log.is_file():
        raise LogError(f"no defect log at {log}; give a CSV, Parquet, JSON lines or DuckDB file")
    if log.stat().st_size == 0:
        raise LogError(f"{log}: the defect log is empty (0 bytes); export it again from its source")
    return site.store.model(model_hash or site.workspace.lines_model)


def fingerprint(
    place: str | Path, log_sha256: str, registration: str, settings: dict[str, object], query: str | None
) -> str:
    """Eight hexadecimal digits that tell this night from any other.

    The log's place counts beside its content where relative image paths start there; the registration is
    the model's hash and when it was registered, for that is when its references were given.
    """
    text = json.dumps([str(place), log_sha256, registration, settings, query], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _new_id(mark: str, earlier: int) -> str:
    day = datetime.now().astimezone().strftime("%Y%m%d")
    return f"{day}-{mark}" + (f"-{earlier + 1}" if earlier else "")


def read_log(
    site: Site,
    night: Night,
    query: str | None,
    progress: Progress = None,
    decoded: Decoding | None = None,
) -> DefectLog:
    """Read and check the night's log with the workspace's maps of columns, labels and paths.

    The images of its errors are held from then on; `decoded` has others decode them. Raises LogError where it
    is not the log that the night began with.
    """
    settings = site.workspace.settings.defect_log
    model = site.store.model(night.model_hash)
    rule, shape = model.rule, (model.height, model.width, model.channels)
    with hold(site.workspace, night.night_id, shape) as file:
        how = LogReading(
            images_root=_root(site.workspace, settings.images_root),
            label_map=_words(rule, settings.labels),
            paths=settings.paths,
            query=query,
            images=reading(site.workspace.settings.images, model.bit_depth, model.prepared),
            tables=site.workspace.settings.tables,
            sha256=night.log_sha256,
            undecided=rule.undecided,
            copies=copies(site.workspace),
            kept_in=file,
            decoded=decoded,
        )
        return read_defect_log(Path(night.log_path), settings.columns, model.class_names, how, progress)


def copies(workspace: Workspace) -> Copies:
    """The copies of images that have an address, and the stores that the settings name."""
    settings = workspace.settings.defect_log
    named = (settings.images_root, *settings.paths.values())
    return Copies(workspace.copies, tuple(each.rstrip("/") for each in named if is_address(each)))


def _root(workspace: Workspace, spelt: str) -> Path | str | None:
    """Where relative image paths start; a relative folder counts from the workspace."""
    if is_address(spelt):
        return spelt
    return workspace.root / Path(spelt).expanduser() if spelt else None


def _words(rule: DecisionRule, mapped: Mapping[str, str]) -> dict[str, str]:
    """What a log's words mean, in classes of the decision: a group's members mean the group."""
    members = {name: rule.class_of(name) or name for name in rule.outputs if name not in rule.classes}
    return members | {word: rule.class_of(name) or name for word, name in mapped.items()}


def mode_id(night_id: str, number: int) -> str:
    """The name of a night's failure mode; they count from 1, the largest."""
    return f"{night_id}-{number}"


def complete(mode: FailureMode) -> FailureMode:
    """A failure mode as it was found, with its title, a lineage of its own, and its diagnosis in words."""
    return replace(mode, title=_title(mode.errors), lineage=mode.mode_id, diagnosis=worded(mode.diagnosis))


def _title(errors: Sequence[LoggedError]) -> str:
    confusions = Counter((error.true_label, error.predicted_label) for error in errors)
    (true, predicted), count = confusions.most_common(1)[0]
    return f"{true} taken for {predicted} ({count} of {len(errors)} errors)"


def best_first(flip_rates: Sequence[FlipRate]) -> list[FlipRate]:
    """Layers in the order of what their patches achieve: those that beat both controls first."""
    return sorted(flip_rates, key=lambda each: (each.withheld, -(each.blame - each.better_control)))


@dataclass(frozen=True, slots=True)
class Results:
    """What a night's steps found."""

    rows_read: int
    errors_read: int  # that the model makes again
    set_aside: tuple[SetAside, ...] = ()
    modes: tuple[FailureMode, ...] = ()
    unclustered: tuple[LoggedError, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)  # wall time by step
    notes: tuple[str, ...] = ()  # what a person should know of how it was read
    right: tuple[LogRow, ...] = ()  # of parts whose verdict was right
    parts_logged: int | None = None  # inspected, as the log says it

    @property
    def state(self) -> NightState:
        """Finished; or unreadable, where rows are errors and none could be read, or no row says anything.

        A row whose labels agree says something. One that nobody has verified does not.
        """
        reasons = {each.reason for each in self.set_aside}
        nothing = all(each.lost or each.reason == "not_verified" for each in self.set_aside)
        if self.rows_read and not self.errors_read and (nothing or reasons & {*ERRORS_LOST}):
            return NightState.UNREADABLE
        return NightState.FINISHED

    @property
    def lost(self) -> int:
        """How many rows are or may be errors that the night knows nothing of."""
        return count_lost(self.set_aside)


def note_of_sample(errors: int, seed: int) -> str:
    """Of a night with more errors than are looked at, how many were and how they were drawn; else empty."""
    most = tuning.SAMPLED_ERRORS
    if errors <= most:
        return ""
    return "; ".join(_SAMPLED).format(errors=errors, most=most, seed=seed)


_SAMPLED = (
    "of {errors} errors {most}, drawn with seed {seed}, were grouped, and the others joined those that they "
    "are like",
    "of a failure mode of more than {most} so many were diagnosed",
)


def parts_logged(log: DefectLog) -> int | None:
    """How many parts were inspected, as the log says in every row that says it; None: it does not."""
    said = {row.more[PARTS] for row in (*log.rows, *log.right) if PARTS in row.more}
    told = said.pop() if len(said) == 1 else ""
    return int(told) if told.isdecimal() and int(told) else None


def _parts(site: Site, results: Results) -> int | None:
    """How many parts were inspected: as the log says, or holds them all, or as the line's setting says."""
    if results.parts_logged or not results.right:
        set_of_line = site.workspace.line_settings.parts if site.workspace.line else 0
        return results.parts_logged or set_of_line or None
    return results.errors_read + results.lost + len(results.right)


def count_lost(set_aside: Sequence[SetAside]) -> int:
    """How many rows that were set aside are or may be errors."""
    return sum(each.lost for each in set_aside)


def finish(site: Site, night: Night, results: Results) -> Night:
    """Follow the failure modes from earlier nights, tell whom they affect, write the report and store it."""
    known = site.store.known_modes(night.model_hash, night.started_at, night.of_line)
    parts = _parts(site, results)
    followed, gone = follow(results.modes, known, results.lost, results.errors_read, parts)
    report = site.workspace.report_path(night.night_id)
    done = replace(
        night,
        state=results.state,
        finished_at=datetime.now(UTC),
        message=_message(results),
        rows_read=results.rows_read,
        errors_read=results.errors_read,
        right_read=len(results.right),
        parts=parts,
        seconds={**night.seconds, **results.seconds},
        report_path=site.workspace.relative(report),
        set_aside=results.set_aside,
        modes=tell_affected(followed, results.unclustered, [row.said for row in results.right], results.lost),
        unclustered=results.unclustered,
        gone=gone,
        right=_some(results.right),
    )
    _keep(site, done)
    return done


def _keep(site: Site, done: Night) -> None:
    """Write a night's report and store the night; nobody writes that report meanwhile."""
    with report_turn(site.workspace, done.night_id):
        model, decided = site.store.model(done.model_hash), decided_of(site.store, done)
        write_report(done, site.workspace, model, decided)
        site.store.finish_night(done)


def _some(right: Sequence[LogRow]) -> tuple[RightPart, ...]:
    """As many of the parts that went right as the store keeps, every class by its share."""
    ordered = sorted(right, key=lambda row: (row.true_label, row.row))
    most = min(MOST_RIGHT, len(ordered))
    chosen = [ordered[i * len(ordered) // most] for i in range(most)]
    return tuple(RightPart(row.row, str(row.source), row.true_label) for row in chosen)


def _message(results: Results) -> str:
    """What the night could not do, and what to do about it; empty where all went well."""
    counted = Counter(each.reason for each in results.set_aside)
    counts = ", ".join(f"{count} {reason}" for reason, count in counted.most_common())
    told = list[str]()
    if not results.rows_read:
        told += [_NO_ROWS]
    elif not results.errors_read:
        told += [_NOTHING_LEFT.format(rows=results.rows_read, aside=len(results.set_aside), counts=counts)]
    elif results.lost:
        told += [_LOST.format(lost=results.lost, rows=results.errors_read + results.lost), *_OF_LOST]
    if results.state is NightState.UNREADABLE:
        remedies = [_REMEDIES[reason] for reason, _ in counted.most_common() if reason in _REMEDIES]
        told += [_NOT_EMPTY, *remedies, _READ_AGAIN]
    return "; ".join([*told, *results.notes])


_NO_ROWS = "the defect log has no rows: a night without errors"
_NOTHING_LEFT = "no error is left to diagnose: of {rows} rows {aside} were set aside ({counts})"
_LOST = "{lost} of {rows} rows that are or may be errors could not be used"
_OF_LOST = (
    "a failure mode is called gone or shrinking only if it is so with all of them counted to it",
    "once they are mended, run the night with --again",
)
_NOT_EMPTY, _READ_AGAIN = "this is not a night without errors", "then run the same command: it reads again"
_REMEDIES = {
    "malformed": "export the log again",
    "not_verified": "have an operator verify the rows",
    "unknown_class": "say which classes the log's labels mean, under [defect_log.labels] in fmi.toml",
    "missing_image": "mount the folder of the images, or say where they lie, by defect_log.images_root or "
    "[defect_log.paths] in fmi.toml",
    "unreadable_image": "copy the images again from their source",
    "hash_mismatch": "bring back the images that were inspected",
    "conflicting": "settle which label is right, or log verified_at: the later verdict counts",
    "not_reproduced": "register the model that the line runs, or name it with --model",
}
SAID = (_NO_ROWS, _NOTHING_LEFT, _LOST, *_OF_LOST, _NOT_EMPTY, *_REMEDIES.values(), _READ_AGAIN, *_SAMPLED)
"""What a night's message is made of."""


# --- the files of a finished night ---


def missing_files(site: Site, night: Night) -> tuple[str, ...]:
    """The files that a night made and that are no longer there, relative to the workspace."""
    root = site.workspace.root
    made = dict.fromkeys(path for path in (*_files(night), *_textures(night, root)) if path)
    return tuple(path for path in made if not (root / path).is_file())


def _textures(night: Night, root: Path) -> Iterator[str]:
    """What the recipes that are there name beside them."""
    for recipe in (mode.recipe for mode in night.modes if mode.recipe):
        if (root / recipe.path).is_file():
            folder, name = Path(recipe.path).parent.as_posix(), re.escape(Path(recipe.path).stem)
            text = (root / recipe.path).read_text(encoding="utf-8", errors="replace")
            yield from (f"{folder}/{each}" for each in re.findall(rf"{name}-textures/[\w.-]+\.png", text))


def _files(night: Night) -> Iterator[str]:
    yield night.report_path or ""
    yield from (error.picture for error in night.unclustered)
    for mode in night.modes:
        yield from (path for error in mode.errors for path in (error.picture, error.heat))
        yield from (path for each in mode.filters for path in (*each.patches, each.excited, each.answers))
        for primitive in (primitive for each in mode.filters for primitive in each.primitives):
            yield from (primitive.picture, primitive.close, primitive.source_picture)
        for each in mode.comparisons:
            yield from (each.error, each.reference, each.changed)
        if mode.recipe:
            yield from (mode.recipe.path, *(path for pair in mode.recipe.examples for path in pair))


def keep(site: Site, night: Night, note: str) -> Night:
    """Write the report of a finished night again, with one more note; what it found stays."""
    told = night.message if note in night.message else "; ".join(filter(None, (night.message, note)))
    kept = replace(night, message=told)
    _keep(site, kept)
    return kept


def add_times(seconds: dict[str, float], more: Mapping[str, float]) -> None:
    """Add what steps took to `seconds`, by their names."""
    for step, some in more.items():
        seconds[step] = round(seconds.get(step, 0.0) + some, 3)


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Add the wall time of a block to `seconds` under the step's name."""
    start = perf_counter()
    try:
        yield
    finally:
        seconds[step] = round(seconds.get(step, 0.0) + perf_counter() - start, 3)
