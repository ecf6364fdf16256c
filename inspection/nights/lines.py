"""Lines whose logs are read unattended: which logs wait, which are due, and when the next night is.

What was read is known by its content: the store has the nights over it. So nothing is kept beside the store,
a log that is dropped twice is read once, and what was missed is simply still due.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from cronsim import CronSim

from inspection.errors import InspectionError, WorkspaceError
from inspection.findings import LogSetAside, NightState
from inspection.inputs.log_folder import find_logs
from inspection.nights.night import Site
from inspection.workspace.files import sha256_of, write_whole
from inspection.workspace.settings import LineSettings

TOLD_AHEAD = 366  # days: changes of the clock that are told beforehand
# A log that a night has come to an end with: it is not read again by itself.
DONE = (NightState.FINISHED,)


@dataclass(frozen=True, slots=True)
class WaitingLog:
    """A log of a line that no night has read."""

    path: Path
    sha256: str
    arrived: datetime  # UTC; when it last changed or was moved here
    why: str = ""  # it is no defect log; empty: it is one, as far as its columns tell


@dataclass(frozen=True, slots=True)
class Shifted:
    """A night that a change of the clock moves."""

    day: str  # of the change, as 2026-03-29
    usually: str  # as 02:30
    runs: datetime  # in the line's time zone
    skipped: bool  # its usual time is skipped that day; else it comes twice


@dataclass(frozen=True, slots=True)
class LineState:
    """Where a line stands, for whoever asks."""

    name: str
    logs: str
    model: str
    cron: str
    timezone: str
    next_firing: datetime | None  # in its time zone; None: its logs are read as they come
    shifted: tuple[Shifted, ...]
    waiting: tuple[WaitingLog, ...]
    due: int  # of them
    set_aside: tuple[LogSetAside, ...]
    read: int  # logs
    trouble: str = ""  # why its logs cannot be looked for; empty: they can


# --- logs ---


def waiting(site: Site) -> list[WaitingLog]:
    """The logs of a site's line that no night has read and that were not set aside, the first to come first.

    Raises WorkspaceError where the folder is not there, and StoreError where the line's model is not.
    """
    site.store.model(site.workspace.lines_model)  # else every log would be set aside for it
    line, name = site.workspace.line_settings, site.workspace.line
    place = Path(line.logs).expanduser()
    if not place.exists():
        raise WorkspaceError(
            f"line '{name}': {place} is not there; mount it, or mend `logs` under [lines.{name}] in fmi.toml"
        )
    found = find_logs((site.workspace.root / place,), site.workspace.settings)
    logs = [(log.path, log.sha256, "") for log in found.logs]
    logs += [(path, content, why) for path, why in found.passed_over for content in _content(path)]
    known = _known(site)
    new = [
        WaitingLog(path, content, _arrived(path), why) for path, content, why in logs if content not in known
    ]
    return sorted(new, key=lambda log: (log.arrived, log.path))


def _known(site: Site) -> set[str]:
    """The contents that are not to be read again by themselves."""
    store, line = site.store, site.workspace.line
    read = {content for content, log in store.logs(line).items() if log.state in DONE}
    return read | store.pruned_logs(line) | {log.log_sha256 for log in store.logs_set_aside(line)}


def _content(path: Path) -> Iterator[str]:
    """The file's SHA-256; nothing of one that is gone, or that holds nothing yet."""
    try:
        if path.stat().st_size:
            yield sha256_of(path)
    except OSError:
        return


def _arrived(path: Path) -> datetime:
    try:
        stat = path.stat()
    except OSError:
        return datetime.now(UTC)
    return datetime.fromtimestamp(max(stat.st_mtime, stat.st_ctime), UTC)


def due(site: Site, now: datetime | None = None) -> list[WaitingLog]:
    """The logs that wait and whose time has come: at once; of a cron expression, once it came after them.

    So a log whose night was missed is due until it is read, and several nights that were missed are caught up
    by one.
    """
    return _due(site.workspace.line_settings, waiting(site), now or datetime.now(UTC))


def _due(line: LineSettings, logs: Sequence[WaitingLog], now: datetime) -> list[WaitingLog]:
    last = last_firing(line, now)
    return [log for log in logs if last is None or log.arrived <= last]


def whole(site: Site) -> list[WaitingLog]:
    """The logs that are due and that nobody is copying any more: waits as long as they have to be still."""
    before = {(log.path, log.sha256) for log in due(site)}
    if not before:
        return []
    time.sleep(site.workspace.settings.schedule.quiet_seconds)
    return [log for log in due(site) if (log.path, log.sha256) in before]


def state_of(site: Site, now: datetime | None = None) -> LineState:
    """Where a site's line stands."""
    line, name, moment = site.workspace.line_settings, site.workspace.line, now or datetime.now(UTC)
    logs = site.store.logs(name)
    read = {content for content, log in logs.items() if log.state in DONE}
    try:
        logs_now, trouble = waiting(site), ""
    except InspectionError as error:
        logs_now, trouble = [], f"{error}"
    return LineState(
        name=name,
        logs=line.logs,
        model=line.model,
        cron=line.cron,
        timezone=f"{line.zone}",
        next_firing=next_firing(line, moment),
        shifted=tuple(shifted(line, moment)),
        waiting=tuple(logs_now),
        due=len(_due(line, logs_now, moment)),
        set_aside=tuple(site.store.logs_set_aside(name)),
        read=len(read),
        trouble=trouble,
    )


def set_aside(site: Site, log: WaitingLog, reason: str) -> LogSetAside:
    """Set a log aside: it is not read again until that is asked for."""
    why, now = reason.removeprefix(f"{log.path}: "), datetime.now(UTC)
    refused = LogSetAside(site.workspace.line, log.sha256, str(log.path), why, now)
    site.store.set_log_aside(refused)
    _note(site).unlink(missing_ok=True)
    return refused


@contextmanager
def tried(site: Site, log: WaitingLog) -> Iterator[None]:
    """Note for the block that a log is being read: what ends the process leaves the note, and it alone."""
    note, before = _note(site), tries(site, log)
    write_whole(note, json.dumps({log.sha256: before + 1}).encode())
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def tries(site: Site, log: WaitingLog) -> int:
    """How often reading a log has ended the process that read it, one after the other."""
    try:
        return int(json.loads(_note(site).read_bytes()).get(log.sha256, 0))
    except (OSError, ValueError, AttributeError, TypeError):  # there is none, or it is damaged
        return 0


def _note(site: Site) -> Path:
    return site.workspace.leases / f"line-{site.workspace.line}.reading"


# --- the clock ---


def last_firing(line: LineSettings, now: datetime) -> datetime | None:
    """When the line's cron expression last came; None: it has none."""
    if not line.cron:
        return None
    return next(CronSim(line.cron, now.astimezone(line.zone) + timedelta(seconds=1), reverse=True))


def next_firing(line: LineSettings, now: datetime) -> datetime | None:
    """When the line's cron expression comes next, in its time zone; None: it has none."""
    return next(CronSim(line.cron, now.astimezone(line.zone))) if line.cron else None


def shifted(line: LineSettings, now: datetime) -> list[Shifted]:
    """The nights of the next year that a change of the clock moves."""
    minute, hour = line.cron.split()[:2] if line.cron else ("*", "*")
    if "*" in minute + hour:  # it comes every hour or so, whatever the clock does
        return []
    return [moved for change in _changes(line.zone, now) for moved in _moved(line, change)]


def _moved(line: LineSettings, change: datetime) -> Iterator[Shifted]:
    """The nights whose time by the clock is skipped at a change, or comes twice."""
    moment = timedelta(seconds=1)
    before, after = (_clock(change - moment, line.zone) + moment, _clock(change, line.zone))
    for wall in CronSim(line.cron, min(before, after) - moment):
        if wall >= max(before, after):
            return
        usually = wall.replace(tzinfo=line.zone).astimezone(UTC)
        runs = next(CronSim(line.cron, (min(usually, change) - moment).astimezone(line.zone)))
        yield Shifted(f"{wall:%Y-%m-%d}", f"{wall:%H:%M}", runs, skipped=after > before)


def _clock(moment: datetime, zone: ZoneInfo) -> datetime:
    """What a clock on the wall shows."""
    return moment.astimezone(zone).replace(tzinfo=None)


def _changes(zone: ZoneInfo, now: datetime) -> Iterator[datetime]:
    """The next year's moments at which the clock is put forward or back, UTC, to the minute."""
    start = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = (start + timedelta(hours=count) for count in range(TOLD_AHEAD * 24))
    for hour in hours:
        if _offset(hour, zone) != _offset(hour + timedelta(hours=1), zone):
            minutes = (hour + timedelta(minutes=count) for count in range(1, 61))
            yield next(each for each in minutes if _offset(each, zone) != _offset(hour, zone))


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()
