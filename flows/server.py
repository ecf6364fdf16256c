"""The Prefect server and the worker of one start, as child processes that answer nobody else."""

import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from typing import Any

from flows.environment import AUTH, SECRET, URL, authorization, environment, variables
from flows.log import Log
from flows.progress import remark
from inspection.errors import FlowError

HOST = "127.0.0.1"
PR_SET_PDEATHSIG = 1  # of prctl(2)
STARTING = 120  # seconds a server may take to answer, the first time on a slow disk
ENDING = 40  # seconds until a part that was asked to end is killed: Prefect gives a run 30
LOOKING = 0.5  # seconds between two looks whether the worker lives
PAUSE = 5.0  # seconds before a worker that ended is followed by another; twice as long each time
LONGEST_PAUSE = 300.0  # seconds: a worker that lasted longer was a sound one, and the pauses begin anew


@contextmanager
def prefect_server(
    home: Path, *, services: bool = True, meanwhile: Callable[[], object] | None = None
) -> Iterator[None]:
    """Run a Prefect server on loopback while the block lasts, reached by this process and its children.

    It answers only those who know the secret in their environment, which no other start has. With `services`
    its database is that of `home`, and it starts what is due; without, it keeps book of the runs that this
    process makes, in a copy that goes with it, and starts sooner. It takes seconds to come up, in which
    `meanwhile` is done. Raises FlowError with what it said last where it does not come up.
    """
    secret = f"fmi:{secrets.token_urlsafe(32)}"
    home.mkdir(parents=True, exist_ok=True)
    template = [] if services else ["--template", str(home / f"fresh-{version('prefect')}")]
    with socket.create_server((HOST, 0)) as listener:
        command = ["flows.api", str(listener.fileno()), str(home), *template]
        own = environment(home) | {SECRET: secret}
        with _child("the Prefect server", command, home / "server.log", own, [listener.fileno()]) as server:
            reached = {URL: f"http://{HOST}:{listener.getsockname()[1]}/api", AUTH: secret}
            with variables(reached):
                if meanwhile:
                    meanwhile()
                server.wait_until(lambda: answers(reached), STARTING)
                yield


def take_up_left_runs() -> None:
    """Have the worker run again what ran when everything was killed: runs go on after their last step.

    For a server of our own, which no other worker has. Ctrl+C cancels what runs: that is not taken up.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import State, StateType
    from prefect.states import Scheduled

    left = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=left))):
            state: State[Any] = Scheduled(
                message="its process was ended; it goes on after its last finished step"
            )
            client.set_flow_run_state(run.id, state, force=True)


@contextmanager
def worker(home: Path, workspace: Path, lost: Callable[[], object]) -> Iterator[None]:
    """Have a worker execute the flows of this workspace while the block lasts.

    One that ends is followed by another, after `lost`, which is to see to what it left. Why it ended is told,
    and the pauses grow while none lasts.
    """
    ending = Event()
    keeper = Thread(target=_keep_worker, args=(home, workspace, lost, ending), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ending.set()
        keeper.join()


def _keep_worker(home: Path, workspace: Path, lost: Callable[[], object], ending: Event) -> None:
    command = ["inspection.cli", "worker", "--workspace", str(workspace), "--parent", str(os.getpid())]
    log, pause, has_left = home / "worker.log", PAUSE, False
    while not ending.is_set():
        started = time.monotonic()
        try:
            if has_left:
                lost()
            with _child("the worker", command, log, environment(home)) as running:
                has_left = True
                while running.process.poll() is None and not ending.wait(LOOKING):
                    pass
                why = f"The worker has ended. It said last:\n{running.log.last_words()}"
        except Exception as error:  # whatever it is (a full disk, a server that is busy), it may pass
            why = f"The worker cannot be started: {error}"
        if not ending.is_set():
            pause = PAUSE if time.monotonic() - started > LONGEST_PAUSE else pause
            with suppress(OSError):  # of a terminal that is gone
                remark(f"{why}\nIt is started again in {pause:g} s. More of it is in {log}.")
            ending.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


class _Child:
    """A process started for ourselves, and what it has written since."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Log) -> None:
        self.name = name
        self.process = process
        self.log = log

    def wait_until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Wait for what it is to do. Raises FlowError with its last words where it stops, or takes longer."""
        deadline = time.monotonic() + seconds
        while not holds():
            if self.process.poll() is not None:
                raise FlowError(
                    f"{self.name} stopped while starting, with exit code {self.process.returncode}. "
                    f"It said:\n{self.log.last_words()}\nMore of it is in {self.log.path}."
                )
            if time.monotonic() > deadline:
                raise FlowError(
                    f"{self.name} was not ready within {seconds:.0f} s. It said:\n{self.log.last_words()}\n"
                    f"More of it is in {self.log.path}."
                )
            time.sleep(0.1)


@contextmanager
def _child(
    name: str, module: Sequence[str], path: Path, own: Mapping[str, str], lent: Sequence[int] = ()
) -> Iterator[_Child]:
    """Run a module of ours with these variables while the block lasts; it keeps the open files `lent`."""
    log = Log(path)
    with log.appended() as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", *module],  # -P: nothing is imported from the current folder
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            cwd=path.parent,
            env=dict(own),
            pass_fds=lent,
            start_new_session=True,  # Ctrl+C in the terminal is for the parent, which ends its children
            preexec_fn=_ends_with_its_parent,
        )
        try:
            yield _Child(name, process, log)
        finally:
            process.terminate()
            try:
                process.wait(timeout=ENDING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            with suppress(ProcessLookupError):  # what it started and did not end, as one that was killed
                os.killpg(process.pid, signal.SIGKILL)


def _ends_with_its_parent() -> None:
    """In a child before it runs: have Linux end it when the parent is killed, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def answers(reached: Mapping[str, str]) -> bool:
    """Whether a Prefect API answers where, and to whom, these variables say."""
    headers = {"Authorization": authorization(reached[AUTH])}
    question = urllib.request.Request(f"{reached[URL]}/health", headers=headers)
    try:
        with urllib.request.urlopen(question, timeout=3) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, urllib.error.URLError):
        return False
