"""A night from its first to its last line: identity, assembly, and the summary that a script reads."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from inspection.errors import LogError
from inspection.findings import (
    FailureMode,
    FlipRate,
    LoggedError,
    Night,
    NightState,
    RegisteredModel,
    SetAside,
)
from inspection.inputs.defect_log import DefectLog, read_defect_log
from inspection.inputs.images import reading
from inspection.nights.lineage import follow
from inspection.nights.phrases import worded
from inspection.nights.report import write_report
from inspection.progress import Progress
from inspection.workspace.files import sha256_of
from inspection.workspace.folder import Workspace, open_workspace
from inspection.workspace.lease import holder, lease
from inspection.workspace.settings import as_now
from inspection.workspace.store import Store

INTERRUPTED = (
    "its process was ended before the night was; the same command goes on after the last finished step"
)


@dataclass(frozen=True, slots=True)
class Site:
    """A workspace with its store, as every step opens it."""

    workspace: Workspace
    store: Store


def open_site(root: str | Path) -> Site:
    """Open a workspace and its store."""
    workspace = open_workspace(Path(root))
    return Site(workspace, Store(workspace.store_path))


def begin(site: Site, log: Path, model_hash: str | None, query: str | None, again: bool) -> Night:
    """Start a night over a log, take up the one that was interrupted, or return the one already finished.

    A night is known by its log, its model and its settings: the same three are the same night, so a
    second run resumes or costs nothing. `again` asks for a fresh one. Raises LogError or StoreError.
    """
    asked = _asked(site, log, model_hash, query)
    earlier = asked.nights(site.store)
    if earlier and not again:
        night = site.store.night(earlier[0])
        if night.state is NightState.FINISHED:
            return night
        night = replace(night, state=NightState.RUNNING, message="", finished_at=None)
    else:
        night = Night(
            night_id=_new_id(asked.mark(asked.settings), len(earlier)),
            model_hash=asked.model.model_hash,
            log_path=str(log.absolute()),
            log_sha256=asked.log_sha256,
            started_at=datetime.now(UTC),
            finished_at=None,
            state=NightState.RUNNING,
            settings=asked.settings,
        )
    site.store.start_night(night)
    return night


def finished(site: Site, log: Path, model_hash: str | None, query: str | None) -> Night | None:
    """The night that `begin` would start, where it is finished already. Raises as `begin`."""
    earlier = _asked(site, log, model_hash, query).nights(site.store)
    night = site.store.night(earlier[0]) if earlier else None
    return night if night and night.state is NightState.FINISHED else None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What tells the night that is asked for from any other."""

    model: RegisteredModel
    log: Path
    log_sha256: str
    settings: dict[str, object]
    query: str | None

    def mark(self, settings: dict[str, object]) -> str:
        """The fingerprint that a night with these settings has in its id."""
        registration = f"{self.model.model_hash} {self.model.registered_at.isoformat()}"
        return fingerprint(self.log.absolute(), self.log_sha256, registration, settings, self.query)

    def nights(self, store: Store) -> list[str]:
        """The ids of those in the store, newest first."""
        return [
            night_id
            for night_id, held in store.settings_of_nights(self.model.model_hash, self.log_sha256).items()
            if f"-{self.mark(held)}" in night_id and as_now(held) == self.settings
        ]


def _asked(site: Site, log: Path, model_hash: str | None, query: str | None) -> _Asked:
    model = check_start(site, log, model_hash)
    return _Asked(model, log, sha256_of(log), site.workspace.settings.model_dump(mode="json"), query)


@contextmanager
def turn(site: Site, log: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """The only right to run a night over this log, for the block.

    Waits while another process has it; `waiting` is told who that is.
    """
    with lease(site.workspace.leases, _lease_of(sha256_of(log)), waiting):
        yield


def settle(site: Site) -> None:
    """Mark nights that were ended on the way as failed: those that are said to run, and that nobody runs."""
    for night_id, state in site.store.states().items():
        if state is NightState.RUNNING and runs_now(site, night_id) is None:
            site.store.fail_night(night_id, INTERRUPTED)


def runs_now(site: Site, night_id: str) -> str | None:
    """Which process runs a night now, in words; None where none does."""
    return holder(site.workspace.leases, _lease_of(site.store.night(night_id).log_sha256))


def _lease_of(log_sha256: str) -> str:
    return f"night-{log_sha256[:16]}"


def check_start(site: Site, log: Path, model_hash: str | None) -> RegisteredModel:
    """The model a night would diagnose; raises at once what would stop the night before it began."""
    site.workspace.check_writable()
    if not log.is_file():
        raise LogError(f"no defect log at {log}; give a CSV, Parquet, JSON lines or DuckDB file")
    if log.stat().st_size == 0:
        raise LogError(f"{log}: the defect log is empty (0 bytes); export it again from its source")
    return site.store.model(model_hash)


def fingerprint(
    log: Path, log_sha256: str, registration: str, settings: dict[str, object], query: str | None
) -> str:
    """Eight hexadecimal digits that tell this night from any other.

    The log's place counts beside its content, for relative image paths start there; the registration is
    the model's hash and when it was registered, for that is when its references were given.
    """
    text = json.dumps([str(log), log_sha256, registration, settings, query], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _new_id(mark: str, earlier: int) -> str:
    day = datetime.now().astimezone().strftime("%Y%m%d")
    return f"{day}-{mark}" + (f"-{earlier + 1}" if earlier else "")


def read_log(site: Site, night: Night, query: str | None, progress: Progress = None) -> DefectLog:
    """Read and check the night's log with the workspace's column and label maps."""
    settings = site.workspace.settings.defect_log
    model = site.store.model(night.model_hash)
    return read_defect_log(
        Path(night.log_path),
        settings.columns,
        model.class_names,
        Path(settings.images_root) if settings.images_root else None,
        settings.labels,
        query,
        progress,
        reading(site.workspace.settings.images, model.bit_depth),
    )


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


def finish(site: Site, night: Night, results: Results) -> Night:
    """Follow the failure modes from earlier nights, write the report and store everything the night found."""
    followed, gone = follow(results.modes, site.store.known_modes(night.model_hash, night.started_at))
    report = site.workspace.report_path(night.night_id)
    done = replace(
        night,
        state=NightState.FINISHED,
        finished_at=datetime.now(UTC),
        message="" if results.errors_read else _nothing_left(results.rows_read, results.set_aside),
        rows_read=results.rows_read,
        errors_read=results.errors_read,
        seconds={**night.seconds, **results.seconds},
        report_path=site.workspace.relative(report),
        set_aside=results.set_aside,
        modes=followed,
        unclustered=results.unclustered,
        gone=gone,
    )
    write_report(done, site.workspace, site.store.model(night.model_hash))
    site.store.finish_night(done)
    return done


def _nothing_left(rows_read: int, set_aside: Sequence[SetAside]) -> str:
    reasons = Counter(each.reason for each in set_aside)
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return f"no error is left to diagnose: of {rows_read} rows {len(set_aside)} were set aside ({counts})"


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Add the wall time of a block to `seconds` under the step's name."""
    start = perf_counter()
    try:
        yield
    finally:
        seconds[step] = round(seconds.get(step, 0.0) + perf_counter() - start, 3)
