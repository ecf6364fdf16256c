"""The Prefect server and the worker that the dashboard's buttons need, as child processes."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from inspection.errors import FlowError

HOST = "127.0.0.1"
PR_SET_PDEATHSIG = 1  # of prctl(2)
STARTING = 120  # seconds a server may take to answer, the first time on a slow disk


@contextmanager
def prefect_server(home: Path, port: int, *, services: bool = True) -> Iterator[str]:
    """Run a Prefect server on loopback while the block lasts; gives its API's address.

    Without `services` it only keeps book of runs that this process makes, and starts sooner. Raises
    FlowError where the port is taken, and with the place of its log where it does not come up.
    """
    _check_free(port)
    url = f"http://{HOST}:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    with _child(command + ([] if services else ["--no-services"]), home / "server.log", {}) as server:
        _wait_for(url, server, home / "server.log")
        yield url


@contextmanager
def worker(home: Path, workspace: Path, url: str) -> Iterator[None]:
    """Run a worker that executes the flows of this workspace while the block lasts."""
    command = [sys.executable, "-m", "inspection.cli", "worker", "--workspace", str(workspace)]
    with _child(command, home / "worker.log", {"PREFECT_API_URL": url}):
        yield


@contextmanager
def _child(
    command: list[str], log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl+C in the terminal is for the parent, which ends its children
            preexec_fn=_ends_with_its_parent,
        )
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(timeout=20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _ends_with_its_parent() -> None:
    """In a child before it runs: have Linux end it when the parent is killed, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _check_free(port: int) -> None:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError:
            raise FlowError(
                f"port {port} of {HOST} is taken, perhaps by another `fmi serve`: end that, or set another "
                "prefect_port under [serve] in fmi.toml"
            ) from None


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTING
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise FlowError(f"the Prefect server stopped while starting; see {log}. Is its port taken?")
        if answers(url):
            return
        time.sleep(0.3)
    raise FlowError(f"the Prefect server did not answer within {STARTING} s; see {log}")


def answers(url: str) -> bool:
    """Whether a Prefect API answers at this address."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=3) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
