"""A night on Dask workers: real processes, one of them killed, and findings as of a night on its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from flows import crew
from flows.night import night
from inspection.errors import FlowError
from inspection.findings import Night
from inspection.workspace.settings import SpreadSettings
from inspection.workspace.shared import HERE
from tests.conftest import Diagnosed
from tests.inspection.conftest import Plant

NEVER = datetime(2026, 1, 1, tzinfo=UTC)
WORKERS = 3
MEASURED = 8  # operations after which a worker is killed, of about a hundred
MOST = 40  # that may be measured when it is killed: it had work then
SECONDS = 600.0  # until it is
HAS_DASK = find_spec("distributed") is not None
dask = pytest.mark.skipif(not HAS_DASK, reason="fmi[dask] is not installed")


@contextmanager
def plants_workers(environment: dict[str, str]) -> Iterator[Any]:
    """Three worker processes and a scheduler, as a plant runs them on its machines."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=WORKERS,
        threads_per_worker=1,
        host=crew.HOST,
        dashboard_address=f"{crew.HOST}:0",
        memory_limit=0,
        env=environment,
    ) as cluster:
        yield cluster


def found(night: Night) -> Night:
    """All that a night found, without when and how long it took."""
    return replace(night, started_at=NEVER, finished_at=NEVER, seconds={})


def on_workers(plant: Plant, folder: Path, changes: str) -> Night:
    """The night of the plant's log, in a workspace of its own, on workers."""
    mine = plant.copied(folder, f'spread.runner = "dask"\n{changes}')
    return mine.store.night(night(str(folder), str(mine.log)))


class Killer:
    """Kills a process once a night has measured a few of its operations, and notes that it was so early."""

    def __init__(self, workspace: Path, pid: int) -> None:
        self.workspace, self.pid, self.measured = workspace, pid, 0
        self.thread = Thread(target=self._kill, daemon=True)
        self.thread.start()

    def _kill(self) -> None:
        deadline = time.monotonic() + SECONDS
        while self.measured < MEASURED and time.monotonic() < deadline:
            self.measured = len([*self.workspace.glob("models/*/measuring-*/[0-9]*.npy")])
            time.sleep(0.01)
        os.kill(self.pid, signal.SIGKILL)


class Pieces(crew.Alone):
    """Does the pieces that workers are given, one after the other, in this process."""

    has_workers = True


@pytest.mark.slow
def test_a_night_in_pieces_finds_what_it_finds_as_a_whole(
    diagnosed: Diagnosed, plant: Plant, tmp_path: Path
) -> None:
    mine = plant.copied(tmp_path / "workspace")
    with crew.working(Pieces()):
        night_id = night(str(mine.workspace.root), str(mine.log))
    assert found(mine.store.night(night_id)) == found(diagnosed.store.night(diagnosed.night_id))


@dask
@pytest.mark.slow
def test_of_three_workers_one_is_killed_and_a_night_finds_what_it_finds_by_itself(
    diagnosed: Diagnosed, plant: Plant, tmp_path: Path
) -> None:
    """The workers have the share, with the workspace and all images, at another path than the night."""
    share = Path(os.path.commonpath([tmp_path, plant.images]))
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "workspace"
    elsewhere.symlink_to(share)
    with plants_workers({HERE: str(elsewhere)}) as cluster:
        killed = cluster.workers[0].pid
        killer = Killer(folder, killed)
        changes = f'spread.address = "{cluster.scheduler_address}"\nspread.share = "{share}"'
        mine = on_workers(plant, folder, changes)
        killer.thread.join()
        with cluster.get_client() as client:
            paths, pids = client.run(lambda: list(sys.path)), client.run(os.getpid)
    assert found(mine) == found(diagnosed.store.night(diagnosed.night_id))
    assert MEASURED <= killer.measured < MOST
    assert killed not in pids.values()
    opened = str(elsewhere / folder.relative_to(share))
    assert sum(opened in each for each in paths.values()) >= WORKERS - 1


@dask
@pytest.mark.slow
def test_a_night_has_workers_of_its_own_which_end_with_it(
    diagnosed: Diagnosed, plant: Plant, tmp_path: Path
) -> None:
    """From the command line, whose terminal shows what Prefect shows of all that programs say."""
    mine = plant.copied(tmp_path / "workspace", 'spread.runner = "dask"\nspread.processes = 2')
    command = [sys.executable, "-m", "inspection.cli", "night", str(mine.log), "-w", str(mine.workspace.root)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, "distributed" in done.stdout + done.stderr) == (0, False), done.stderr
    (night_id,) = mine.store.states()
    assert found(mine.store.night(night_id)) == found(diagnosed.store.night(diagnosed.night_id))


@dask
def test_workers_that_are_not_there_are_told_before_the_night_begins(
    plant: Plant, tmp_path: Path, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "ANSWERING", 2)
    mine = plant.copied(
        tmp_path / "workspace", 'spread.runner = "dask"\nspread.address = "tcp://127.0.0.1:9"'
    )
    with pytest.raises(FlowError, match=r"no Dask workers at tcp://127\.0\.0\.1:9 .*Start `dask scheduler`"):
        night(str(mine.workspace.root), str(mine.log))
    assert mine.store.states() == {}


@pytest.mark.skipif(HAS_DASK, reason="fmi[dask] is installed")
def test_without_dask_a_night_says_what_to_install(plant: Plant, tmp_path: Path, prefect_api: str) -> None:
    mine = plant.copied(tmp_path / "workspace", 'spread.runner = "dask"')
    with pytest.raises(FlowError, match=r"needs Dask, which is not installed: pip install 'fmi\[dask\]'"):
        night(str(mine.workspace.root), str(mine.log))
    assert mine.store.states() == {}


def test_who_does_the_work_is_told() -> None:
    assert crew.look(SpreadSettings()) == "the night's own process"
