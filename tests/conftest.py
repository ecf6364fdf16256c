"""What every test stands on: Prefect at home in a temporary folder, the command line, the real data sets."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from inspection.workspace.folder import Workspace, create_workspace
from inspection.workspace.store import Store
from tests.inspection.conftest import Plant, one_thread, plant
from tests.shared import made_once

__all__ = ["one_thread", "plant"]

REPOSITORY = Path(__file__).resolve().parents[1]
DATA_SETS = ("xsdd_hot_rolled_steel", "elpv_solar_cells")
_HOME = Path(tempfile.mkdtemp(prefix="fmi-tests-"))

if "PYTEST_XDIST_WORKER" in os.environ:  # of several processes each computes in one thread, unless told else
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Set before anything imports Prefect, and inherited by every process that a test starts.
os.environ |= {
    "PREFECT_HOME": str(_HOME),
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "TZ": "UTC",  # pages tell the time of this machine
    "PYTHONPATH": str(REPOSITORY),  # so that a child process finds the tiny network
}
os.environ.pop("PREFECT_API_URL", None)
if hasattr(time, "tzset"):
    time.tzset()

Answer = subprocess.CompletedProcess[str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, real data before the others: none is left alone at the end."""
    slow = [*dict.fromkeys(item.path for item in items if item.get_closest_marker("slow"))]
    items.sort(key=lambda item: -slow.index(item.path) if item.path in slow else 1)


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A new workspace."""
    return create_workspace(tmp_path / "plant")


@pytest.fixture
def store(workspace: Workspace) -> Store:
    """Its store, empty."""
    store = Store(workspace.store_path)
    store.create()
    return store


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the real data sets, which are no part of the project."""
    given = os.environ.get("FMI_TEST_DATA")
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "data"
    missing = [name for name in DATA_SETS if not (folder / name).is_dir()]
    if missing:
        pytest.skip(f"no {' and '.join(missing)} in {folder}: name their folder in FMI_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def started_before(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], object]:
    """Makes a folder the home of a Prefect that was started there before: making a database takes 4 s."""
    home = made_once(tmp_path_factory, "prefect", _start_prefect)
    return lambda other: shutil.copytree(home, other, dirs_exist_ok=True)


def _start_prefect(folder: Path) -> Path:
    from flows.server import prefect_server

    home = folder / "home"
    with prefect_server(home, services=False):
        pass
    (template,) = home.glob("fresh-*")
    shutil.copytree(template, home, dirs_exist_ok=True)  # for a server that keeps its database, too
    return home


@pytest.fixture(scope="session")
def prefect_api(started_before: Callable[[Path], object]) -> Iterator[str]:
    """One real Prefect server for the session; gives its address, and makes this process use it."""
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    from flows.server import prefect_server

    started_before(_HOME)
    with prefect_server(_HOME):
        settings = {
            PREFECT_API_URL: os.environ["PREFECT_API_URL"],
            PREFECT_API_AUTH_STRING: os.environ["PREFECT_API_AUTH_STRING"],
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,  # costs 1 s a flow
        }
        with temporary_settings(settings):
            yield os.environ["PREFECT_API_URL"]


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def prefect(prefect_api: str, tmp_path: Path) -> Iterator[str]:
    """Prefect, with the results of this test's steps in a folder of their own."""
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "results"}):
        yield prefect_api


@dataclass(frozen=True)
class Diagnosed:
    """The plant after one night; what the night measured of the model makes a second one quick."""

    plant: Plant
    night_id: str

    def copied(self, folder: Path, changes: str = "") -> "Diagnosed":
        """The same in a workspace of its own, with some settings changed; the images stay."""
        return replace(self, plant=self.plant.copied(folder, changes))

    @property
    def root(self) -> Path:
        return self.plant.workspace.root

    @property
    def store(self) -> Store:
        return self.plant.store

    def log(self, path: Path, rows: list[str]) -> Path:
        """Write a log of some of the plant's rows, or of rows made of them."""
        path.write_text("\n".join([self.header, *rows]) + "\n", encoding="utf-8")
        return path

    @property
    def header(self) -> str:
        return self.plant.log.read_text(encoding="utf-8").splitlines()[0]

    @property
    def rows(self) -> list[str]:
        return self.plant.log.read_text(encoding="utf-8").splitlines()[1:]


@pytest.fixture(scope="session")
def diagnosed(
    plant: Plant,
    prefect_api: str,
    started_before: Callable[[Path], object],
    tmp_path_factory: pytest.TempPathFactory,
) -> Diagnosed:
    """The plant after one night, made once: a test that writes works on a copy of it."""
    from flows.night import night

    def make(folder: Path) -> Diagnosed:
        done = plant.copied(folder / "workspace")
        started_before(done.workspace.prefect_home)
        return Diagnosed(done, night(str(done.workspace.root), str(done.log)))

    return made_once(tmp_path_factory, "diagnosed", make)


@pytest.fixture
def fmi(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run one command of the command line in this process, as a child process would be run."""
    from inspection.cli import entry

    def run(*arguments: object) -> Answer:
        command = ["fmi", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        capsys.readouterr()
        before = dict(os.environ)
        code = entry.run()
        for name in set(os.environ) - set(before):  # it sets Prefect's variables for its own process
            del os.environ[name]
        said = capsys.readouterr()
        return Answer(command, code, said.out, said.err)

    return run


def succeeded(answer: Answer) -> Answer:
    """The answer of a command that left with exit code 0."""
    assert answer.returncode == 0, answer.stderr
    return answer


def fmi_process(*arguments: object, seconds: float = 120) -> Answer:
    """Run one command of the command line in a process of its own; what takes longer is ended, and fails."""
    with started(*arguments) as process:
        out, err = process.communicate(timeout=seconds)
    return Answer(process.args, process.returncode, out, err)


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Let one command of the command line run while the block lasts, and none of its children after it."""
    with subprocess.Popen(
        [sys.executable, "-m", "inspection.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # several threads wait for each other on busy cores
        start_new_session=True,
        # A shell's background job, and so all that it starts, ignores Ctrl+C; a terminal's does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes of passwords that cost no time, for tests of what stands around them."""
    from argon2 import PasswordHasher

    from inspection.access import passwords

    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", cheap)
    monkeypatch.setattr(passwords, "_NOBODYS", cheap.hash("nobody's"))
