"""Jobs: what runs in a workspace now, at which step and how far, for whoever looks on from another process.

A job is announced under the lease that it holds: one whose lease nobody holds has ended, however it ended.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from inspection.workspace.files import write_whole
from inspection.workspace.lease import holder

EVERY = 1.0  # seconds after which progress is told anew


@dataclass(frozen=True, slots=True)
class Job:
    """A night or a retraining that runs now."""

    kind: str  # night or retrain
    of: tuple[str, ...]  # the night; or the failure modes and nights that are retrained for
    run_id: str  # of Prefect's flow run
    started_at: datetime  # UTC
    step: str = ""  # in words; empty: none has begun
    step_started_at: datetime | None = None  # UTC
    done: int = 0  # images or steps of it
    total: int | None = None  # None: not known beforehand
    holder: str = ""  # which process, in words

    def left(self, now: datetime) -> float | None:
        """Seconds until its step will be done; None where that cannot be told yet."""
        if not self.total or not self.done or self.step_started_at is None:
            return None
        return (now - self.step_started_at).total_seconds() * (self.total - self.done) / self.done


class _Announced:
    """A job of this process, told to others."""

    def __init__(self, file: Path, job: Job) -> None:
        self.file, self.job, self.told = file, job, 0.0

    def tell(self) -> None:
        fields = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self.job).items()
        }
        with suppress(OSError):  # nobody looks on then, and the work goes on
            write_whole(self.file, json.dumps(fields).encode(), durable=False)
        self.told = time.monotonic()

    def step(self, name: str, total: int | None) -> None:
        self.job = replace(self.job, step=name, step_started_at=datetime.now(UTC), done=0, total=total)
        self.tell()

    def advance(self, count: int) -> None:
        self.job = replace(self.job, done=self.job.done + count)
        if time.monotonic() - self.told >= EVERY:
            self.tell()


_current: list[_Announced] = []  # of this process, the innermost last


@contextmanager
def announced(folder: Path, lease: str, kind: str, of: Sequence[str], run_id: str = "") -> Iterator[None]:
    """Tell that a job runs for the block, in the folder of the leases; its own lease has to be held."""
    job = _Announced(folder / f"{lease}.job", Job(kind, tuple(of), run_id, datetime.now(UTC)))
    job.tell()
    _current.append(job)
    try:
        yield
    finally:
        _current.remove(job)
        job.file.unlink(missing_ok=True)


def begin_step(name: str, total: int | None) -> Callable[[int], None]:
    """Tell that this process's job begins a step; the function given tells how many more images are done."""
    if not _current:
        return lambda _: None
    job = _current[-1]
    job.step(name, total)
    return job.advance


def jobs_now(folder: Path) -> list[Job]:
    """The jobs that run now, the earliest first; what processes that were killed left is passed over."""
    found = []
    for file in folder.glob("*.job"):
        who = holder(folder, file.stem)
        job = _read(file) if who else None
        if job and who:
            found.append(replace(job, holder=who))
    return sorted(found, key=lambda job: job.started_at)


def _read(file: Path) -> Job | None:
    """None of a file that is gone by now, or that another version wrote."""
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        times = {
            name: datetime.fromisoformat(held[name]) if held[name] else None
            for name in ("started_at", "step_started_at")
        }
        return Job(**held | {"of": tuple(held["of"])} | times)
    except (OSError, ValueError, TypeError, KeyError):
        return None
