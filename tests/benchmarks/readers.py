"""The dashboard under readers: how many pages fail and how long they take, while nights are written.

    python -m tests.benchmarks.readers --nights 62 --readers 20 --reads 2000

A workspace gets that many hand-made nights. The dashboard serves it in a process of its own, another process
writes nights and verdicts without a pause, and the readers ask for the pages in turn. `--no-writer` leaves
the writing process out. Prefect is left out, too: asking it for runs is no part of reading the store. With
`--errors` the failure modes have more errors or fewer, each kind of page with its own median:

    python -m tests.benchmarks.readers --nights 2 --readers 1 --reads 60 --no-writer --errors 5000
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import httpx

from dashboards.retraining import RetrainingRun
from inspection.findings import Night
from inspection.workspace.folder import Workspace, create_workspace
from inspection.workspace.store import Store
from tests.conftest import REPOSITORY, free_port
from tests.inspection.workspace.records import STARTED, a_model, a_night, an_error

ERRORS = 30  # of each failure mode, where nobody asks for another number
OLDER = "This is the store of"  # in a page that is older than the store
PATIENCE = 120.0  # seconds until a page counts as failed

_SERVE = """
import sys
from pathlib import Path
import uvicorn
from dashboards.app import create_app
from inspection.workspace.folder import open_workspace
from inspection.workspace.store import Store
from tests.benchmarks.readers import NoRuns
workspace = open_workspace(Path(sys.argv[1]))
app = create_app(workspace, Store(workspace.store_path), NoRuns())
uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
"""
_WRITE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from inspection.findings import Judgement, Verdict
from inspection.workspace.store import Store
from tests.benchmarks.readers import night_of
store, number = Store(Path(sys.argv[1])), int(sys.argv[2])
print("ready", flush=True)
while True:
    night = night_of(number)
    store.finish_night(night)
    for mode in night.modes:
        store.add_verdict(Verdict(mode.mode_id, Judgement.CONFIRM, "", "the writer", datetime.now(UTC)))
    print("written", flush=True)
"""


class NoRuns:
    """Retraining that nobody asks for."""

    def start(self, mode_id: str) -> str:
        raise NotImplementedError(mode_id)

    def cancel(self, flow_run_id: str) -> None:
        raise NotImplementedError(flow_run_id)

    def runs(self, mode_id: str) -> list[RetrainingRun]:
        return []


@dataclass(frozen=True, slots=True)
class Read:
    """One page asked for."""

    path: str
    status: int | str  # of HTTP, or the kind of failure
    seconds: float
    behind: bool = False  # whether it says that it is older than the store


@dataclass(frozen=True, slots=True)
class Measured:
    """What all readers met."""

    reads: list[Read]
    seconds: float  # all together
    written: int  # nights, each with its verdicts, meanwhile

    @property
    def failed(self) -> list[Read]:
        """The pages that did not come."""
        return [read for read in self.reads if read.status != 200]

    def lines(self) -> list[str]:
        """Say it, for a terminal."""
        times = sorted(read.seconds for read in self.reads)
        kinds = Counter(str(read.status) for read in self.failed)
        kept = {kind: [read.seconds for read in self.reads if _kind(read.path) == kind] for kind in _KINDS}
        return [
            *(f"{kind:<8} {statistics.median(found) * 1000:.0f} ms" for kind, found in kept.items() if found),
            f"reads    {len(times)} in {self.seconds:.1f} s",
            f"failed   {len(self.failed)} {dict(kinds) if kinds else ''}".rstrip(),
            f"median   {statistics.median(times) * 1000:.0f} ms",
            f"95 %     {times[int(0.95 * (len(times) - 1))] * 1000:.0f} ms",
            f"worst    {times[-1] * 1000:.0f} ms",
            f"behind   {sum(read.behind for read in self.reads)} said that they are older than the store",
            f"written  {self.written} nights with their verdicts meanwhile",
        ]


_KINDS = ("inbox", "models", "night", "mode", "pictures", "history")


def _kind(path: str) -> str:
    """The kind of page, in a word."""
    last = path.rsplit("/", 1)[-1]
    named = {"": "inbox", "models": "models", "pictures": "pictures", "history": "history"}
    return named.get(last, "mode" if path.startswith("/modes") else "night")


def night_of(number: int, count: int = ERRORS) -> Night:
    """The hand-made night of a day, with more errors than the tests' own."""
    night = a_night(f"night-{number:04}", STARTED + timedelta(days=number))
    errors = tuple(an_error(row) for row in range(count))
    return replace(night, modes=tuple(replace(mode, errors=errors) for mode in night.modes))


def fill(root: Path, nights: int, errors: int = ERRORS) -> Workspace:
    """Make a workspace that many nights old."""
    workspace = create_workspace(root)
    store = Store(workspace.store_path)
    store.create()
    store.add_model(a_model(), [])
    for number in range(nights):
        store.finish_night(night_of(number, errors))
    return workspace


def measure(workspace: Workspace, nights: int, readers: int, reads: int, *, writing: bool) -> Measured:
    """Let the readers read, beside a writer or alone."""
    paths = pages(nights)
    asked = [paths[number % len(paths)] for number in range(reads)]
    with ExitStack() as running:
        address = running.enter_context(_dashboard(workspace))
        writer = running.enter_context(_writer(workspace, nights)) if writing else None
        client = running.enter_context(httpx.Client(base_url=address, timeout=PATIENCE, limits=_LIMITS))
        threads = running.enter_context(ThreadPoolExecutor(readers))
        begun = time.perf_counter()
        done = list(threads.map(lambda path: _read(client, path), asked))
        seconds = time.perf_counter() - begun
        written = 0
        if writer:
            writer.kill()
            assert writer.stdout is not None
            written = writer.stdout.read().count("written")
    return Measured(done, seconds, written)


def pages(nights: int) -> list[str]:
    """Every kind of page, over all nights."""
    found = ["/", "/models"]
    for number in range(nights):
        night = night_of(number)
        found += [f"/nights/{night.night_id}", f"/modes/{night.modes[0].mode_id}"]
        found += [f"/modes/{night.modes[0].mode_id}/pictures"]
        found += ["/", f"/modes/{night.modes[1].mode_id}/history"]
    return found


_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)


def _read(client: httpx.Client, path: str) -> Read:
    begun = time.perf_counter()
    try:
        answer = client.get(path)
    except httpx.HTTPError as error:
        return Read(path, type(error).__name__, time.perf_counter() - begun)
    if answer.status_code != 200:
        print(path, answer.status_code, re.findall(r"<p>(.*?)</p>", answer.text, re.DOTALL)[:1], flush=True)
    return Read(path, answer.status_code, time.perf_counter() - begun, OLDER in answer.text)


@contextmanager
def _process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def _dashboard(workspace: Workspace) -> Iterator[str]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with _process(_SERVE, workspace.root, port) as process:
        while True:
            try:
                httpx.get(f"{address}/healthz")
                break
            except httpx.TransportError:
                assert process.poll() is None, "the dashboard ended"
                time.sleep(0.05)
        yield address


@contextmanager
def _writer(workspace: Workspace, number: int) -> Iterator[subprocess.Popen[str]]:
    with _process(_WRITE, workspace.store_path, number) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a page failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nights", type=int, default=62)
    parser.add_argument("--readers", type=int, default=20)
    parser.add_argument("--reads", type=int, default=2000)
    parser.add_argument("--errors", type=int, default=ERRORS, help="of each failure mode")
    parser.add_argument("--no-writer", action="store_true", help="only readers")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        workspace = fill(Path(folder) / "plant", given.nights, given.errors)
        done = measure(workspace, given.nights, given.readers, given.reads, writing=not given.no_writer)
    print("\n".join(done.lines()))
    return 1 if done.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
