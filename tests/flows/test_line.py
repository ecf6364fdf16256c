"""Lines on a real Prefect and by real clocks: dropped logs, one that fails, restarts, what Prefect shows."""

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterName,
)
from prefect.client.schemas.sorting import FlowRunSort

from flows.line import line
from inspection.findings import NightState
from inspection.nights.lines import state_of, waiting
from inspection.nights.night import open_site
from tests.conftest import Diagnosed, fmi_process, started

KEEP = "import sys; open(sys.argv[1], 'a', encoding='utf-8').write(sys.stdin.read() + chr(10))"


@pytest.fixture
def site(diagnosed: Diagnosed, tmp_path: Path) -> Diagnosed:
    return diagnosed.copied(tmp_path / "workspace")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "plant's logs"
    folder.mkdir()
    return folder


def with_line(site: Diagnosed, folder: Path, more: str = "") -> Path:
    """Write a line into the workspace's settings; gives the file into which everything is told."""
    told = site.root / "told.jsonl"
    command = shlex.join([sys.executable, "-c", KEEP, str(told)])
    text = (site.root / "fmi.toml").read_text(encoding="utf-8")
    text += f"[schedule]\nquiet_seconds = 0.5\n[notify]\ncommand = {json.dumps(command)}\n"
    text += f"[lines.front]\nlogs = {json.dumps(str(folder))}\n{more}"
    (site.root / "fmi.toml").write_text(text, encoding="utf-8")
    return told


def told_in(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def nights_of(site: Diagnosed) -> list[str]:
    """The logs of the line's finished nights, by name."""
    _, rows = site.store.query("SELECT log_path FROM nights WHERE of_line = 'front' AND state = 'finished'")
    return sorted(Path(path).name for (path,) in rows)


def wait_until(holds: Callable[[], bool], seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.3)


@pytest.mark.usefixtures("prefect")
def test_two_logs_at_once_are_read_once_each_and_one_that_fails_is_set_aside(
    site: Diagnosed, folder: Path
) -> None:
    told = with_line(site, folder)
    site.log(folder / "a.csv", site.rows[:8])
    site.log(folder / "b.csv", site.rows[8:15])
    site.log(folder / "b again.csv", site.rows[8:15])
    (folder / "broken.csv").write_text("part,price\n1,2\n", encoding="utf-8")
    gone = [row.replace(".png", ".gone.png") for row in site.rows[:3]]
    site.log(folder / "unmounted.csv", gone)

    read = line(str(site.root), "front")

    assert [site.store.night(each).state for each in read] == [NightState.FINISHED] * 2
    assert len(nights_of(site)) == 2
    state = state_of(open_site(site.root, "front"))
    assert (state.waiting, state.read) == ((), 3)  # with the one that was read by hand before
    reasons = {Path(each.log_path).name: each.reason for each in state.set_aside}
    assert set(reasons) == {"broken.csv", "unmounted.csv"}
    assert "no column image_path" in reasons["broken.csv"]
    assert "3 missing_image" in reasons["unmounted.csv"]
    assert sorted(each["events"] for each in told_in(told)) == [["failure"]] * 2 + [["findings"]] * 2
    assert line(str(site.root), "front") == []
    assert len(told_in(told)) == 4


@pytest.mark.usefixtures("prefect")
def test_a_night_is_followed_in_prefect_by_its_artifacts(site: Diagnosed, folder: Path) -> None:
    with_line(site, folder)
    site.log(folder / "a.csv", site.rows[:9])
    (night_id,) = line(str(site.root), "front")
    found = site.store.night(night_id)
    with get_client(sync_client=True) as client:
        (of_line, *_) = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=["front"])),
            sort=FlowRunSort.START_TIME_DESC,
        )
        assert of_line.state is not None
        assert of_line.state.is_completed()
        runs = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=3)
        nights = [run.id for run in runs if run.parent_task_run_id]
        mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=nights))
        shown = client.read_artifacts(artifact_filter=mine)
    by_key = {each.key: each for each in shown}
    rows = json.loads(str(by_key["failure-modes"].data))
    assert [row["failure mode"] for row in rows] == [mode.mode_id for mode in found.modes]
    assert rows[0]["errors"] == len(found.modes[0].errors)
    assert (site.root / (found.report_path or "")).as_uri() in str(by_key["report"].data)
    steps = {each.description: each.data for each in shown if each.key == "progress"}
    assert steps["Reading the images"] == 100.0
    assert set(steps.values()) == {100.0}


@pytest.mark.slow
def test_a_folder_is_watched_without_a_prefect_server_and_what_was_read_is_known_after_a_kill(
    site: Diagnosed, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    told = with_line(site, folder)
    with started("schedule", "--workspace", site.root):  # kill -9 at the end of the block
        site.log(folder / "a.csv", site.rows[:8])
        site.log(folder / "b.csv", site.rows[8:15])
        wait_until(lambda: len(told_in(told)) == 2)
    assert nights_of(site) == ["a.csv", "b.csv"]
    with started("schedule", "--workspace", site.root) as watch:
        site.log(folder / "c.csv", site.rows[:5])
        wait_until(lambda: len(told_in(told)) == 3)
        os.kill(watch.pid, signal.SIGINT)
        _, said = watch.communicate(timeout=30)
    assert watch.returncode == 130, said
    assert nights_of(site) == ["a.csv", "b.csv", "c.csv"]
    _, rows = site.store.query("SELECT count(*) FROM nights WHERE of_line = 'front'")
    assert rows == [(3,)]


@pytest.mark.slow
def test_a_log_that_ends_its_process_is_set_aside_and_the_watch_goes_on(
    site: Diagnosed, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that reads it is killed, as for lack of memory, twice."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    told = with_line(site, folder)
    site.log(folder / "a.csv", site.rows[:15])
    with started("schedule", "--workspace", site.root):
        for count in (1, 2):
            wait_until(lambda count=count: _tries(site.root) == count)  # type: ignore[misc]
            for pid in _reading(site.root):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(told_in(told)) == 1)
        site.log(folder / "b.csv", site.rows[:5])
        wait_until(lambda: len(told_in(told)) == 2)
    failure, finding = told_in(told)
    assert failure["events"] == ["failure"]
    assert failure["reason"].startswith("the process that read it was ended 2 times")
    assert Path(finding["log"]).name == "b.csv"
    assert nights_of(site) == ["b.csv"]


def _tries(root: Path) -> int:
    try:
        return sum(json.loads((root / ".prefect" / "leases" / "line-front.reading").read_bytes()).values())
    except OSError:
        return 0


def _reading(root: Path) -> list[int]:
    """The processes that read the logs of a workspace's line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--once" in command and str(root).encode() in command:
            found.append(int(process.name))
    return found


@pytest.mark.slow
def test_prefects_clock_fires_a_line_and_what_was_missed_is_caught_up(
    site: Diagnosed, folder: Path, prefect: str
) -> None:
    """A line that comes every minute, on a server that this process names, as a plant's own."""
    told = with_line(site, folder, 'cron = "* * * * *"\ntimezone = "Europe/Berlin"\n')
    log = site.log(folder / "missed.csv", site.rows[:6])
    yesterday = time.time() - 86400
    os.utime(log, (yesterday, yesterday))
    with started("schedule", "--workspace", site.root):
        wait_until(lambda: len(told_in(told)) == 1)
        site.log(folder / "tonight.csv", site.rows[6:12])
        wait_until(lambda: len(told_in(told)) == 2)
        with get_client(sync_client=True) as client:
            (mine,) = client.read_deployments(
                deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=["front"]))
            )
        (schedule,) = mine.schedules
        assert (schedule.schedule.cron, schedule.schedule.timezone) == ("* * * * *", "Europe/Berlin")  # type: ignore[union-attr]
        assert schedule.active
        assert mine.parameters == {"workspace": str(site.root), "name": "front"}
    assert nights_of(site) == ["missed.csv", "tonight.csv"]


def test_a_clock_of_the_system_reads_what_is_due_and_leaves(
    site: Diagnosed, folder: Path, prefect: str
) -> None:
    with_line(site, folder)
    nothing = fmi_process("schedule", "--once", "--workspace", site.root)
    assert (nothing.returncode, nothing.stdout) == (0, "")
    site.log(folder / "a.csv", site.rows[:5])
    shown = json.loads(fmi_process("schedule", "--show", "--json", "--workspace", site.root).stdout)
    assert [Path(log["path"]).name for log in shown[0]["waiting"]] == ["a.csv"]
    once = fmi_process("schedule", "--once", "--workspace", site.root)
    assert once.stdout.startswith("Line front: night "), once.stderr
    assert waiting(open_site(site.root, "front")) == []
    by_hand = fmi_process("night", folder / "a.csv", "--line", "front", "--json", "--workspace", site.root)
    assert json.loads(by_hand.stdout)["night_id"] == once.stdout.split()[-1]
