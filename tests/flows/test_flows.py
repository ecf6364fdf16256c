"""The flows on a real Prefect server: end to end, again, killed and resumed."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from threading import Timer

import pytest
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH
from prefect.states import Running

from flows.night import night
from flows.retrain import retrain
from flows.server import take_up_left_runs
from inspection.errors import LogError
from inspection.findings import NightState
from inspection.nights.night import INTERRUPTED
from inspection.nights.summary import summary
from inspection.recipes.recipe import load_recipe
from inspection.workspace.lease import PATIENCE
from tests.conftest import Diagnosed, fmi_process, started


@pytest.fixture
def site(diagnosed: Diagnosed, tmp_path: Path, prefect: str) -> Diagnosed:
    return diagnosed.copied(tmp_path / "workspace")


def test_a_night_leaves_findings_pictures_recipe_and_report(site: Diagnosed) -> None:
    found = site.store.night(site.night_id)
    assert (found.state, found.errors_read) == (NightState.FINISHED, len(site.rows))
    mode = found.modes[0]
    assert mode.diagnosis.family == "darker"
    assert mode.recipe is not None
    assert load_recipe(site.root / mode.recipe.path).findings["night"] == found.night_id
    pictures = [error.picture for error in mode.errors]
    pictures += [p.picture for each in mode.filters for p in each.primitives]
    pictures += [p for each in mode.filters for p in each.patches]
    assert [name for name in pictures if not (site.root / name).is_file()] == []
    assert found.report_path is not None
    assert "data:image/png;base64," in (site.root / found.report_path).read_text(encoding="utf-8")
    steps = ("log", "images", "blame", "operations", "grouping", "diagnosis", "primitives", "recipe")
    assert set(found.seconds) == set(steps)


def test_the_summary_is_plain_json_with_the_figures_of_the_store(site: Diagnosed) -> None:
    found = site.store.night(site.night_id)
    told = json.loads(json.dumps(summary(found, site.plant.workspace)))
    mode, best = told["failure_modes"][0], found.modes[0].flip_rates[0]
    assert told["errors_read"] == found.errors_read
    assert mode["explained_share"] == found.modes[0].diagnosis.share
    assert mode["flip_rates"][0]["flip_rate"] == best.blame
    assert mode["flip_rates"][0]["control_random"] == best.random
    assert Path(mode["recipe"]).is_file()


def test_the_same_night_again_costs_nothing(site: Diagnosed) -> None:
    log = site.log(site.root / "some.csv", site.rows[:12])
    first = night(str(site.root), str(log))
    before = site.store.night(first)
    assert night(str(site.root), str(log)) == first
    assert site.store.night(first) == before  # not even a second was added
    assert night(str(site.root), str(log), again=True) == f"{first}-2"


def test_a_night_that_was_killed_goes_on_after_its_last_finished_step(site: Diagnosed) -> None:
    log = site.log(site.root / "killed.csv", site.rows[:14])
    with started("night", log, "--workspace", site.root):  # kill -9 at the end of the block
        thumbnails = _wait_for(site.root / "artifacts", "*/errors/000014.png")
        time.sleep(0.5)  # into the steps after the images
    stopped = site.store.nights()[0]
    assert stopped.state is NightState.RUNNING
    written = thumbnails.stat().st_mtime_ns
    resumed = fmi_process("night", log, "--workspace", site.root, "--json")
    assert json.loads(resumed.stdout)["night_id"] == stopped.night_id
    assert site.store.night(stopped.night_id).state is NightState.FINISHED
    assert thumbnails.stat().st_mtime_ns == written  # the images were not read a second time


def test_what_steps_kept_goes_when_the_night_is_finished(site: Diagnosed) -> None:
    kept = PREFECT_LOCAL_STORAGE_PATH.value()
    kept.mkdir(parents=True, exist_ok=True)
    (kept / f"{site.night_id}-read_log---00000000").touch()  # of a finished night, by an earlier version
    (kept / "20260101-0a1b2c3d-read_log---00000000").touch()  # of a night that this store does not know
    (kept / "somebody-elses").touch()
    finished = night(str(site.root), str(site.log(site.root / "some.csv", site.rows[:12])))
    assert sorted(path.name for path in kept.iterdir()) == [
        "20260101-0a1b2c3d-read_log---00000000",
        "somebody-elses",
    ]
    assert site.store.night(finished).state is NightState.FINISHED


def test_a_night_that_another_process_runs_is_waited_for_and_not_run_twice(
    site: Diagnosed, capfd: pytest.CaptureFixture[str]
) -> None:
    log = site.log(site.root / "twice.csv", site.rows[:13])
    with started("night", log, "--workspace", site.root) as other:
        _wait_for(site.root / "artifacts", "*/errors/000013.png")
        running = site.store.nights()[0]
        os.kill(other.pid, signal.SIGSTOP)  # for longer than another waits without a word
        Timer(3 * PATIENCE, os.kill, (other.pid, signal.SIGCONT)).start()
        mine = night(str(site.root), str(log))
        other.wait(60)
    assert mine == running.night_id
    assert f"This night is being run by process {other.pid} on " in " ".join(capfd.readouterr().err.split())
    assert len([each for each in site.store.nights() if each.log_path == str(log)]) == 1
    assert site.store.night(mine).state is NightState.FINISHED


def test_the_next_start_says_of_a_killed_night_what_happened(site: Diagnosed) -> None:
    killed = site.log(site.root / "killed.csv", site.rows[:14])
    with started("night", killed, "--workspace", site.root):  # kill -9 at the end of the block
        _wait_for(site.root / "artifacts", "*/errors/000014.png")
    left = site.store.nights()[0]
    assert left.state is NightState.RUNNING
    night(str(site.root), str(site.log(site.root / "other.csv", site.rows[:12])))
    told = site.store.night(left.night_id)
    assert (told.state, told.message) == (NightState.FAILED, INTERRUPTED)
    assert night(str(site.root), str(killed)) == left.night_id
    resumed = site.store.night(left.night_id)
    assert (resumed.state, resumed.message) == (NightState.FINISHED, "")


def _wait_for(folder: Path, pattern: str) -> Path:
    known = set(folder.glob(pattern))
    for _ in range(600):
        if new := set(folder.glob(pattern)) - known:
            return new.pop()
        time.sleep(0.1)
    raise AssertionError(f"nothing like {pattern} appeared in {folder}")


def test_a_night_that_fails_is_stored_with_its_reason_and_can_be_mended(site: Diagnosed) -> None:
    log = site.root / "wrong.csv"
    log.write_text("File,Verdict\na.png,pit\n", encoding="utf-8")
    with pytest.raises(LogError, match="image_path"):
        night(str(site.root), str(log))
    failed = site.store.nights()[0]
    assert failed.state is NightState.FAILED
    assert "image_path" in failed.message


def test_a_night_that_was_interrupted_while_prefect_cleared_up_has_not_failed(
    site: Diagnosed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where Ctrl+C comes while a task is set up: the flow sees only the error that follows."""

    def interrupted(*_: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise ValueError("Task run is not set")

    log = site.log(site.root / "interrupted.csv", site.rows[:12])
    with monkeypatch.context() as patched:
        patched.setattr("flows.night._run", interrupted)
        with pytest.raises(ValueError, match="Task run is not set"):
            night(str(site.root), str(log))
    left = site.store.night()
    assert (left.state, left.message, left.log_path) == (NightState.RUNNING, "", str(log.absolute()))
    assert night(str(site.root), str(log)) == left.night_id
    assert site.store.night(left.night_id).state is NightState.FINISHED


def test_errors_of_another_model_are_set_aside_and_counted(site: Diagnosed) -> None:
    predicted, true = (site.header.split(",").index(name) for name in ("predicted_label", "true_label"))
    cells = site.rows[0].split(",")
    other = next(c for c in site.plant.model.class_names if c not in (cells[predicted], cells[true]))
    cells[predicted] = other
    log = site.log(site.root / "other.csv", [",".join(cells)])
    found = site.store.night(night(str(site.root), str(log)))
    assert [each.reason for each in found.set_aside] == ["not_reproduced"]
    assert (found.errors_read, found.modes) == (0, ())
    assert "1 not_reproduced" in found.message


def test_retraining_stores_the_candidate_and_leaves_the_deployed_model(site: Diagnosed) -> None:
    mode_id = f"{site.night_id}-1"
    site.store.finish_night(replace(site.store.night(site.night_id), of_line="front"))
    with (site.root / "fmi.toml").open("a", encoding="utf-8") as settings:
        settings.write('[lines.front]\nlogs = "/logs"\n[lines.front.training]\nfine_tune_steps = 61\n')
    weights = site.root / site.plant.model.weights_path
    before = weights.read_bytes()
    done_id = retrain(str(site.root), [mode_id], str(site.plant.images / "unseen"), arm="recipes")
    done = site.store.retrainings(mode_id)[0]
    assert done.retraining_id == done_id
    assert "'fine_tune_steps': 61" in f"{done.settings['training']}"  # the line's
    report = (site.root / "reports" / f"{site.night_id}.html").read_text(encoding="utf-8")
    assert f"{site.store.model(done.candidate_hash).called} (candidate)" in report
    assert done.accuracies[0].after > done.accuracies[0].before
    assert done.candidate_hash
    assert site.store.model(done.candidate_hash).parent_hash == site.plant.model.model_hash
    assert list((site.root / "cache" / "training").iterdir()) == []
    assert weights.read_bytes() == before


def test_a_run_that_is_taken_up_after_its_last_step_retrains_once(site: Diagnosed) -> None:
    """Its process put the candidate into the store and was killed before Prefect heard of it."""
    mode_id = f"{site.night_id}-1"
    given = {"workspace": str(site.root), "targets": [mode_id], "arm": "recipes"}
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(retrain, parameters=given)
        first = run_flow(retrain, flow_run=run, parameters=given)
        (done,) = site.store.retrainings(mode_id)
        client.set_flow_run_state(run.id, Running(), force=True)
        take_up_left_runs()
        again = client.read_flow_run(run.id)
    assert again.state is not None
    assert again.state.is_scheduled()
    assert run_flow(retrain, flow_run=again, parameters=given) == first == done.retraining_id
    assert site.store.retrainings(mode_id) == [done]
    assert retrain(str(site.root), [mode_id], arm="recipes") == first  # the very same was made before
    once_more = retrain(str(site.root), [mode_id], arm="recipes", again=True)
    assert once_more != first
    assert [each.candidate_hash for each in site.store.retrainings(mode_id)] == [done.candidate_hash] * 2
