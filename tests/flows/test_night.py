"""A night's steps on a real Prefect: which run, which are only read again, and what a failure leaves."""

import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect import flow
from prefect.tasks import Task

import flows.night
from flows.night import night
from flows.scope import Scope
from flows.software import software
from fmi_engine.types import Screening
from inspection.causes import diagnosis
from inspection.errors import ImageError
from inspection.evidence.case import Case
from inspection.findings import Diagnosis, FailureMode, LoggedError, NightState
from inspection.inputs.images import read_image
from inspection.modes import grouping
from inspection.modes.split import Split
from inspection.nights import night as nights
from inspection.nights.phrases import all_errors, worded
from tests.conftest import Diagnosed
from tests.inspection.conftest import DIMMED

BEFORE_PRIMITIVES = (
    *("read_log--", "reproduce_errors--", "screen_errors--0", "group_errors--"),
    *("probe_layers-1-", "diagnose-1-", "sign_mode-1-", "list_suspects-1-", "compare-1-"),
)


@pytest.fixture
def kept_results() -> Iterator[None]:
    """What the steps of a finished night kept, which goes at its end, stays here to be looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flows.night, "_forget_ended", lambda _: None)
        yield


@pytest.mark.usefixtures("kept_results")
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
    assert "invert_filters-1-" not in finished

    obstacle.unlink()
    assert night(str(site.root), str(log)) == begun.night_id
    found = site.store.night(begun.night_id)
    assert (found.state, found.message, found.errors_read) == (NightState.FINISHED, "", 15)
    assert all((site.root / each.picture).is_file() for f in found.modes[0].filters for each in f.primitives)
    after = stamps(tmp_path / "results", begun.night_id)
    assert {name: after[name] for name in finished} == finished  # read, not written again
    assert "invert_filters-1-" in after

    assert night(str(site.root), str(log)) == begun.night_id
    assert stamps(tmp_path / "results", begun.night_id) == after
    assert task_runs_of_the_newest_flow_run() == 0


@pytest.mark.usefixtures("prefect")
def test_missing_files_of_a_finished_night_are_made_again(diagnosed: Diagnosed, tmp_path: Path) -> None:
    site = diagnosed.copied(tmp_path / "workspace")
    before = site.store.night(site.night_id)
    (mode,) = before.modes
    assert mode.recipe is not None
    report, recipe, thumbnail = before.report_path or "", mode.recipe.path, mode.errors[0].picture
    kept = {path: (site.root / path).read_bytes() for path in (recipe, thumbnail)}

    (site.root / report).unlink()
    assert night(str(site.root), str(site.plant.log)) == site.night_id
    assert site.store.night(site.night_id) == replace(
        before, message=f"files of the night were missing, 1 in all ({report}), and were made again"
    )
    assert (site.root / report).is_file()

    for path in kept:
        (site.root / path).unlink()
    assert night(str(site.root), str(site.plant.log)) == site.night_id
    after = site.store.night(site.night_id)
    assert after.message == (
        f"files of the night were missing, 2 in all ({thumbnail}, {recipe}), and were made again"
    )
    assert (after.modes, after.state) == (before.modes, NightState.FINISHED)
    assert {path: (site.root / path).read_bytes() for path in kept} == kept


@pytest.mark.usefixtures("prefect")
def test_files_that_cannot_be_made_again_cost_no_finding(diagnosed: Diagnosed, tmp_path: Path) -> None:
    """The images of the night are gone, too."""
    site = diagnosed.copied(tmp_path / "workspace")
    copies = [shutil.copy(row.split(",")[0], tmp_path / f"{i}.png") for i, row in enumerate(site.rows[:6])]
    rows = [f"{path},{row.split(',', 1)[1]}" for path, row in zip(copies, site.rows[:6], strict=True)]
    log = site.log(tmp_path / "log.csv", rows)
    before = site.store.night(night(str(site.root), str(log)))
    lost = next(each.picture for each in all_errors(before))
    (site.root / lost).unlink()
    Path(copies[3]).unlink()
    assert night(str(site.root), str(log)) == before.night_id
    after = site.store.night(before.night_id)
    assert after == replace(before, message=after.message)
    assert after.message.startswith(
        f"files of the night were missing, 1 in all ({lost}), and could not all be"
    )


@pytest.mark.usefixtures("prefect")
def test_an_image_that_vanishes_on_the_way_counts_as_it_was_read(
    diagnosed: Diagnosed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = diagnosed.copied(tmp_path / "workspace")
    path, labels = site.rows[0].split(",", 1)
    mine = Path(shutil.copy(path, tmp_path / "mine.png"))
    log = site.log(tmp_path / "log.csv", [f"{mine},{labels}", *site.rows[1:8]])
    read_log = flows.night.read_log

    def read_and_lose(*given: Any) -> Any:
        found = read_log(*given)
        mine.unlink()
        return found

    monkeypatch.setattr(flows.night, "read_log", read_and_lose)
    found = site.store.night(night(str(site.root), str(log)))
    assert (found.state, found.errors_read, found.set_aside) == (NightState.FINISHED, 8, ())


@pytest.mark.usefixtures("prefect")
def test_errors_are_compared_with_the_parts_whose_verdict_was_right(
    diagnosed: Diagnosed, tmp_path: Path
) -> None:
    site = diagnosed.copied(tmp_path / "workspace")
    wrong, (label, *_) = site.rows[:8], site.plant.model.class_names
    log, empty = tmp_path / "log.csv", "," * (site.header.count(",") - 2)
    lines = [f"{site.header},camera", *(f"{row},2" for row in wrong)]
    lines += [f"right-{i}.png,{label},{label}{empty},{1 + i % 4}" for i in range(40)]
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = site.store.night(night(str(site.root), str(log)))
    (mode,) = found.modes
    (camera,) = mode.affected
    assert (camera.value, camera.errors, camera.of_mode) == ("2", 8, 8)
    assert (camera.others, camera.of_others, camera.right_parts, camera.claimed) == (10, 40, 40, True)


@pytest.mark.usefixtures("kept_results")
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


# --- what the steps hand to each other ---


def night_tasks() -> dict[str, Task[..., Any]]:
    return {name: each for name, each in vars(flows.night).items() if isinstance(each, Task)}


@pytest.mark.usefixtures("prefect")
def test_a_night_comes_to_the_same_with_all_that_its_steps_are_given_pickled(
    diagnosed: Diagnosed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a task runner in other processes does it; no step is given images, and none gives any."""
    site, tasks, pickled = diagnosed.copied(tmp_path / "workspace"), night_tasks(), set[str]()
    model = site.plant.model
    paths = (Path(row.split(",", 1)[0]) for row in site.rows)
    images = [read_image(path, (model.height, model.width), model.channels).tobytes() for path in paths]

    def through(name: str) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            pickled.add(name)
            handed = pickle.dumps(given)
            found = tasks[name](*pickle.loads(handed))
            handed += pickle.dumps(found)
            assert not any(image in handed for image in images), f"{name} handles images"
            return found

        return run

    for name in tasks:
        monkeypatch.setattr(flows.night, name, through(name))
    again = night(str(site.root), str(site.plant.log), again=True)
    small = site.log(tmp_path / "small.csv", site.rows[:9])  # too few to be grouped: the night diagnoses them
    night(str(site.root), str(small))
    assert pickled | {"draw_heat_maps"} == set(tasks)  # which are drawn where a layer beats its controls
    found, before = site.store.night(again), site.store.night(site.night_id)
    assert (found.state, found.errors_read) == (NightState.FINISHED, before.errors_read)
    assert [mode.errors for mode in found.modes] == [with_pictures_of(again, mode) for mode in before.modes]
    assert [mode.diagnosis for mode in found.modes] == [mode.diagnosis for mode in before.modes]
    assert [mode.flip_rates for mode in found.modes] == [mode.flip_rates for mode in before.modes]


def with_pictures_of(night_id: str, mode: FailureMode) -> tuple[LoggedError, ...]:
    """The errors of another night's failure mode, with their pictures in this night's folder."""
    return tuple(
        replace(error, picture=error.picture.replace(mode.night_id, night_id)) for error in mode.errors
    )


@pytest.mark.usefixtures("prefect")
def test_a_step_can_be_submitted(diagnosed: Diagnosed, tmp_path: Path) -> None:
    """To Prefect's own task runner: its future stands for what the step gives where it is called."""
    site = diagnosed.copied(tmp_path / "workspace")
    log = site.log(tmp_path / "log.csv", site.rows[:12])
    begun = nights.begin(nights.open_site(site.root), log, None, None, again=False)
    scope = Scope(str(site.root), begun.night_id, begun.model_hash)

    @flow
    def screened() -> list[Screening]:
        found = flows.night.reproduce_errors(scope, flows.night.read_log(scope, None))
        given, everybody = (0, found.held, found.true), np.arange(len(found.errors))
        flows.night.screen_errors.submit(scope.part("submitted"), *given).result()
        submitted = found.held.screening(everybody)
        flows.night.screen_errors(scope.part("called"), *given)
        return [submitted, found.held.screening(everybody)]

    submitted, called = screened()
    assert len(submitted.true) == 12
    np.testing.assert_array_equal(submitted.true, called.true)
    np.testing.assert_array_equal(submitted.predicted, called.predicted)
    for layer in called.blame:
        np.testing.assert_allclose(submitted.blame[layer], called.blame[layer], rtol=1e-4, atol=1e-5)
    steps = {name for name in stamps(tmp_path / "results", begun.night_id) if name.startswith("screen")}
    assert steps == {"screen_errors--submitted", "screen_errors--called"}


@pytest.mark.usefixtures("prefect", "kept_results")
@pytest.mark.parametrize("on_the_way", [True, False])
def test_a_group_that_was_diagnosed_on_the_way_is_not_diagnosed_again(
    diagnosed: Diagnosed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_the_way: bool
) -> None:
    site, counted = diagnosed.copied(tmp_path / "workspace"), list[int]()
    whole = replace(DIMMED, share=0.875)

    def counting(case: Case) -> Diagnosis:
        counted.append(len(case))
        return DIMMED

    monkeypatch.setattr(diagnosis, "diagnose", counting)
    monkeypatch.setattr(grouping, "_clusters", lambda shifts, _: np.zeros(len(shifts), np.int64))
    monkeypatch.setattr(grouping, "split", lambda _: Split(None, whole))
    log = site.log(tmp_path / "log.csv", site.rows[: 15 if on_the_way else 9])  # nine are not grouped
    found = site.store.night(night(str(site.root), str(log)))
    (mode,) = found.modes
    assert counted == ([] if on_the_way else [9])
    assert mode.diagnosis == worded(whole if on_the_way else DIMMED)
    assert ("diagnose-1-" in stamps(tmp_path / "results", found.night_id)) is not on_the_way
    assert mode.recipe is not None


# --- what a night leaves with Prefect ---


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


def test_a_night_starts_without_what_it_may_never_ask() -> None:
    """Statistics and classifiers take as long to import as a small model to answer."""
    later = "('sklearn', 'scipy.stats', 'scipy.spatial', 'scipy.optimize', 'skimage', 'cleanlab')"
    code = f"import sys, flows.night; print([m for m in {later} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
