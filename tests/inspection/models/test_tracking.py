"""Retrainings and promotions in a real MLflow: a database, and a server that is not there."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from inspection.errors import ModelError
from inspection.findings import Arm
from inspection.models.promotion import promote, roll_back
from inspection.models.registry import Origin, keep, load_model, spec_of
from inspection.models.tracking import PROMOTED, RETRAINING, track
from tests.inspection.conftest import FinishedNight
from tests.inspection.workspace.records import STARTED, a_retraining

mlflow = pytest.importorskip("mlflow", reason="needs fmi[mlflow]")


@pytest.fixture
def night(finished: FinishedNight, tmp_path: Path) -> FinishedNight:
    """A workspace that logs to a database, with one retraining of its failure mode."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mine = finished.copied(tmp_path / "workspace", f'mlflow.tracking_uri = "{uri}"')
    plant = mine.plant
    network = load_model(plant.workspace.root, plant.model, "cpu").network
    with_bias = {
        name: value + 0.01 for name, value in network.state_dict().items() if value.is_floating_point()
    }
    network.load_state_dict(with_bias, strict=False)
    origin = Origin(plant.model.model_hash, "recipes", plant.model.name)
    candidate = keep(plant.workspace, network, spec_of(plant.model), origin)
    load_model.cache_clear()  # whose network was just changed
    done = replace(
        a_retraining("r-1", mine.night.modes[0].mode_id),
        mode_ids=(mine.night.modes[0].mode_id,),
        model_hash=plant.model.model_hash,
        candidate_hash=candidate.model_hash,
        arm=Arm.RECIPES,
    )
    plant.store.add_retraining(done, candidate)
    return mine


def runs(night: FinishedNight) -> list[Any]:
    client = mlflow.tracking.MlflowClient(night.plant.workspace.settings.mlflow.tracking_uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    return list(client.search_runs(experiments, order_by=["start_time"]))


def test_a_retraining_is_a_run_with_its_figures_and_files(night: FinishedNight) -> None:
    plant = night.plant
    assert track(plant.workspace, plant.store) == 1
    (run,) = runs(night)
    (done,) = plant.store.retrainings()
    assert run.info.run_name == run.data.tags[RETRAINING] == "r-1"
    assert run.info.start_time == round(done.started_at.timestamp() * 1000)
    assert run.data.tags["fmi.decision"] == done.decision.value
    assert run.data.tags["fmi.candidate"] == done.candidate_hash
    for each in done.accuracies:
        name = each.name.replace("'", "")  # which MLflow does not take
        assert run.data.metrics[f"{name} - after"] == each.after / each.images
    assert run.data.params["logged_images"] == str(done.logged_images)
    held = Path(run.info.artifact_uri.removeprefix("file://"))
    assert held.is_relative_to(plant.workspace.root)
    recipe = night.night.modes[0].recipe
    assert recipe is not None
    assert {each.name for each in held.iterdir()} == {"MODEL_CARD.md", "weights.pt", Path(recipe.path).name}


def test_once_is_enough_and_what_was_missed_is_logged_later(night: FinishedNight) -> None:
    plant = night.plant
    assert [track(plant.workspace, plant.store) for _ in range(2)] == [1, 0]
    (done,) = plant.store.retrainings()
    later = replace(done, retraining_id="r-2", started_at=STARTED + timedelta(days=1), candidate_hash=None)
    plant.store.add_retraining(later, None)
    assert track(plant.workspace, plant.store) == 1
    assert [run.info.run_name for run in runs(night)] == ["r-1", "r-2"]


def test_a_run_that_was_torn_is_made_anew(night: FinishedNight, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = night.plant
    with monkeypatch.context() as broken:
        broken.setattr(mlflow.tracking.MlflowClient, "log_metric", lambda *_: 1 / 0)
        with pytest.raises(ModelError, match=r"could not be written to \(ZeroDivisionError"):
            track(plant.workspace, plant.store)
    assert [run.info.status for run in runs(night)] == ["RUNNING"]
    assert track(plant.workspace, plant.store) == 1
    assert [run.info.status for run in runs(night)] == ["FINISHED"]


def test_what_became_of_the_candidate_stands_on_its_run(night: FinishedNight) -> None:
    plant = night.plant
    (done,) = plant.store.retrainings()
    promote(plant.store, done.candidate_hash, "Aoki", "mends the lamp", anyway=True)
    track(plant.workspace, plant.store)
    roll_back(plant.store, "Sato", "worse on line 2")
    track(plant.workspace, plant.store)
    (run,) = runs(night)
    told = [(entry["kind"], entry["by"], entry["reason"]) for entry in json.loads(run.data.tags[PROMOTED])]
    assert told == [("promoted", "Aoki", "mends the lamp"), ("rolled back", "Sato", "worse on line 2")]


def test_a_server_that_is_not_there_is_told_soon(finished: FinishedNight, tmp_path: Path) -> None:
    mine = finished.copied(tmp_path / "workspace", 'mlflow.tracking_uri = "http://127.0.0.1:9"')
    mine.plant.store.add_retraining(
        replace(a_retraining("r-1", mine.night.modes[0].mode_id), model_hash=mine.plant.model.model_hash),
        None,
    )
    with pytest.raises(
        ModelError, match=r"MLflow at http://127\.0\.0\.1:9 could not be written to .* logged"
    ):
        track(mine.plant.workspace, mine.plant.store)


def test_without_a_server_nothing_is_logged(finished: FinishedNight) -> None:
    assert track(finished.plant.workspace, finished.plant.store) == 0
