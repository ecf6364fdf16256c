"""A night's steps on a real Prefect: which run, which are only read again, and what a failure leaves."""

from pathlib import Path

import pytest

from flows.night import night, software
from inspection.errors import ImageError
from inspection.findings import NightState
from inspection.nights import night as nights
from tests.conftest import Diagnosed

BEFORE_PRIMITIVES = (
    *("read_log-", "admit_errors-", "screen_errors-0", "group_errors-"),
    *("choose_layers-1", "diagnose-1", "sign_mode-1", "list_suspects-1"),
)


def test_a_night_that_failed_goes_on_after_its_last_finished_step(
    diagnosed: Diagnosed, tmp_path: Path, prefect: str
) -> None:
    """A file in the way of the primitives' folder fails that step; once it is gone, only the rest runs."""
    site = diagnosed.copied(tmp_path / "workspace")
    log = site.log(tmp_path / "log.csv", site.rows[:15])
    begun = nights.begin(nights.open_site(site.root), log, None, None, again=False)
    obstacle = in_the_way(site, begun.night_id)
    with pytest.raises(ImageError, match=r"primitives/.*cannot be written"):
        night(str(site.root), str(log))
    failed = site.store.night(begun.night_id)
    assert (failed.state, failed.modes) == (NightState.FAILED, ())
    assert str(obstacle) in failed.message
    finished = stamps(tmp_path / "results", begun.night_id)
    assert set(BEFORE_PRIMITIVES) <= set(finished)
    assert "invert_filters-1" not in finished

    obstacle.unlink()
    assert night(str(site.root), str(log)) == begun.night_id
    found = site.store.night(begun.night_id)
    assert (found.state, found.message, found.errors_read) == (NightState.FINISHED, "", 15)
    assert all((site.root / each.picture).is_file() for f in found.modes[0].filters for each in f.primitives)
    after = stamps(tmp_path / "results", begun.night_id)
    assert {name: after[name] for name in finished} == finished  # read, not written again
    assert "invert_filters-1" in after

    assert night(str(site.root), str(log)) == begun.night_id
    assert stamps(tmp_path / "results", begun.night_id) == after
    assert task_runs_of_the_newest_flow_run() == 0


def test_after_an_update_a_night_starts_again(
    diagnosed: Diagnosed, tmp_path: Path, prefect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another version of the software kept of a night that failed is left alone."""
    site = diagnosed.copied(tmp_path / "workspace")
    log = site.log(tmp_path / "log.csv", site.rows[:15])
    begun = nights.begin(nights.open_site(site.root), log, None, None, again=False)
    obstacle = in_the_way(site, begun.night_id)
    monkeypatch.setattr("flows.night.software", lambda: "older")
    with pytest.raises(ImageError):
        night(str(site.root), str(log))
    monkeypatch.undo()
    older = stamps(tmp_path / "results", begun.night_id, "older")
    assert set(BEFORE_PRIMITIVES) <= set(older)

    obstacle.unlink()
    assert night(str(site.root), str(log)) == begun.night_id
    assert site.store.night(begun.night_id).state is NightState.FINISHED
    assert set(BEFORE_PRIMITIVES) <= set(stamps(tmp_path / "results", begun.night_id))
    assert stamps(tmp_path / "results", begun.night_id, "older") == older


def in_the_way(site: Diagnosed, night_id: str) -> Path:
    """A file where the primitives' folder is to be."""
    obstacle = site.plant.workspace.night_folder(night_id) / "primitives"
    obstacle.parent.mkdir()
    obstacle.write_text("in the way", encoding="utf-8")
    return obstacle


def stamps(results: Path, night_id: str, version: str = "") -> dict[str, int]:
    """When the result of each step of a night was written, by this version of the software or another."""
    version = version or software()
    return {
        path.name.removeprefix(f"{night_id}-").removesuffix(f"-{version}"): path.stat().st_mtime_ns
        for path in results.glob(f"{night_id}-*-{version}")
    }


def task_runs_of_the_newest_flow_run() -> int:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        (newest,) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
        return len(client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[newest.id]))))
