"""Targeted retraining on real images: what it is given, what it makes, and what it leaves alone."""

import os
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fmi_engine.classifier import build_network, freeze, hash_weights, load_weights, read_checkpoint
from inspection.errors import ModelError, RecipeError
from inspection.findings import FailureMode, LoggedError, RegisteredModel, Retraining
from inspection.inputs.defect_log import read_defect_log, write_defect_log
from inspection.inputs.image_sets import LabelledImage
from inspection.inputs.images import read_image
from inspection.models import registry as models
from inspection.models.acceptance import compare_answers, right
from inspection.models.retraining import (
    CLEAN,
    HOLDOUT,
    LOGGED,
    ONLY_ERRORS,
    OTHERS,
    Material,
    RetrainingRequest,
    epochs,
    gather_material,
    images_to_train,
    retrain,
    with_recipe,
)
from inspection.models.training import Teacher, Training, fit, mixed, plain_augmentation
from inspection.recipes.recipe import RecipeTransform, load_recipe
from inspection.workspace.files import sha256_of
from inspection.workspace.settings import Settings, TrainingSettings
from tests.inspection.conftest import DIMMED, FinishedNight, Plant

pytestmark = pytest.mark.numeric

LONG = """acceptance.clean_margin = 0.3
acceptance.class_margin = 0.9
training.batch_size = 32
training.fine_tune_steps = 500"""


@pytest.fixture
def mine(finished: FinishedNight, tmp_path: Path) -> FinishedNight:
    return finished.copied(tmp_path / "workspace")


def mode_of(night: FinishedNight) -> FailureMode:
    return night.night.modes[0]


def gathered(
    night: FinishedNight, holdout: list[LabelledImage] | None = None, logged: int | None = None
) -> Material:
    plant = night.plant
    request = RetrainingRequest(mode_of(night).mode_id, holdout or [], logged)
    return gather_material(plant.workspace, plant.store, request)


def pixels(paths: list[str]) -> NDArray[np.uint8]:
    return np.stack([read_image(Path(path), (32, 32), 1) for path in paths])


def bytes_of(images: NDArray[np.uint8]) -> list[bytes]:
    return [image.tobytes() for image in images]


# --- what is gathered ---


def test_the_training_and_the_clean_images_are_the_references(finished: FinishedNight) -> None:
    material, plant = gathered(finished), finished.plant
    for data, split in ((material.train, "train"), (material.clean, "val")):
        mine = [each for each in plant.references if each.split == split]
        np.testing.assert_array_equal(data.images, pixels([each.image_path for each in mine]))
        assert [plant.model.class_names[i] for i in data.labels] == [each.label for each in mine]
    assert material.model == plant.model
    assert material.mode == mode_of(finished)
    folder = plant.workspace.root / "artifacts" / finished.night.night_id
    assert material.recipe == load_recipe(folder / f"recipe-{finished.night.night_id}-1.yaml")
    assert material.recipe_folder == folder


def test_without_a_holdout_the_logged_images_judge(finished: FinishedNight) -> None:
    material, errors = gathered(finished), mode_of(finished).errors
    assert (material.failing_name, len(material.logged)) == (LOGGED, 0)
    np.testing.assert_array_equal(material.failing.images, pixels([error.image_path for error in errors]))
    names = finished.plant.model.class_names
    assert [names[i] for i in material.failing.labels] == [error.true_label for error in errors]


def test_logged_images_that_join_the_training_do_not_judge(finished: FinishedNight) -> None:
    material, errors = gathered(finished, logged=7), mode_of(finished).errors
    np.testing.assert_array_equal(material.train.images, gathered(finished).train.images)
    assert len(material.logged) == 7
    assert len(material.failing) == len(errors) - 7
    joined, judging = (bytes_of(images) for images in (material.logged.images, material.failing.images))
    by_pixels = {read_image(Path(e.image_path), (32, 32), 1).tobytes(): e.true_label for e in errors}
    assert not set(joined) & set(judging)
    assert set(joined) | set(judging) == set(by_pixels)
    names = finished.plant.model.class_names
    assert [names[i] for i in material.logged.labels] == [by_pixels[image] for image in joined]


def test_the_same_seed_lets_the_same_logged_images_join(finished: FinishedNight) -> None:
    first, again = gathered(finished, logged=7), gathered(finished, logged=7)
    np.testing.assert_array_equal(first.logged.images, again.logged.images)
    np.testing.assert_array_equal(first.failing.images, again.failing.images)


def test_more_logged_images_than_there_are_leaves_none_to_judge(finished: FinishedNight) -> None:
    material = gathered(finished, logged=1000)
    assert len(material.logged) == len(mode_of(finished).errors)
    assert material.failing.images.shape == (0, 32, 32, 1)


def test_a_holdout_judges_instead_of_the_log(finished: FinishedNight) -> None:
    unseen = finished.plant.labelled("unseen")
    material = gathered(finished, unseen, logged=5)
    assert (material.failing_name, len(material.logged)) == (HOLDOUT, 5)
    np.testing.assert_array_equal(material.failing.images, pixels([str(each.path) for each in unseen]))


def test_holdout_images_that_stand_in_the_log_are_left_out(finished: FinishedNight) -> None:
    aged = finished.plant.labelled("aged")
    logged = {error.image_path for error in mode_of(finished).errors}
    material = gathered(finished, aged)
    rest = [str(each.path) for each in aged if str(each.path) not in logged]
    assert 0 < len(rest) < len(aged)
    np.testing.assert_array_equal(material.failing.images, pixels(rest))


def with_errors(night: FinishedNight, errors: tuple[LoggedError, ...]) -> FinishedNight:
    """The night as the store holds it when its mode has these errors."""
    done = replace(night.night, modes=(replace(mode_of(night), errors=errors),))
    night.plant.store.finish_night(done)
    return replace(night, night=done)


def test_a_logged_image_under_another_spelling_is_left_out_too(mine: FinishedNight, tmp_path: Path) -> None:
    """A log that names ../images/x.png beside its own folder: the paths differ, the files are the same."""
    plant, log = mine.plant, tmp_path / "logs" / "spelt.csv"
    log.parent.mkdir()
    rows = [
        {
            "image_path": os.path.relpath(error.image_path, log.parent),
            "predicted_label": error.predicted_label,
            "true_label": error.true_label,
        }
        for error in mode_of(mine).errors
    ]
    write_defect_log(log, rows)
    errors = tuple(
        replace(error, image_path=str(row.image_path))
        for error, row in zip(
            mode_of(mine).errors, read_defect_log(log, {}, plant.model.class_names).rows, strict=True
        )
    )
    expected = gathered(mine, plant.labelled("aged"))
    found = gathered(with_errors(mine, errors), plant.labelled("aged"))
    np.testing.assert_array_equal(found.failing.images, expected.failing.images)


def test_a_copy_of_a_logged_image_is_left_out_too(finished: FinishedNight, tmp_path: Path) -> None:
    """A log's images are often exported into a folder of their own."""
    aged = finished.plant.labelled("aged")
    copies = [
        LabelledImage(Path(shutil.copy(each.path, tmp_path / each.path.name)), each.label, None)
        for each in aged
    ]
    found = gathered(finished, copies)
    np.testing.assert_array_equal(found.failing.images, gathered(finished, aged).failing.images)


def test_holdout_images_that_the_model_was_trained_on_are_left_out(finished: FinishedNight) -> None:
    """The candidate sees the training images; only what it never sees may judge it."""
    plant = finished.plant
    trained = {each.image_path for each in plant.references if each.split == "train"}
    commissioned = plant.labelled("commissioned")
    found = gathered(finished, [*plant.labelled("unseen"), *commissioned])
    unseen = [str(each.path) for each in plant.labelled("unseen")]
    rest = [str(each.path) for each in commissioned if str(each.path) not in trained]
    np.testing.assert_array_equal(found.failing.images, pixels([*unseen, *rest]))


def test_a_holdout_of_another_class_is_refused(finished: FinishedNight) -> None:
    odd = [LabelledImage(finished.plant.labelled("unseen")[0].path, "rust", None)]
    with pytest.raises(ModelError, match="does not know: rust"):
        gathered(finished, odd)


def unclaimed(night: FinishedNight) -> FinishedNight:
    """The night as the store holds it when it claimed no cause."""
    doubted = replace(DIMMED, claimed=False, sentence="No appearance cause is claimed.")
    done = replace(night.night, modes=(replace(mode_of(night), diagnosis=doubted, recipe=None),))
    night.plant.store.finish_night(done)
    return replace(night, night=done)


def test_without_a_recipe_half_of_the_logged_images_join_and_half_judge(mine: FinishedNight) -> None:
    errors = len(mode_of(mine).errors)
    material = gathered(unclaimed(mine))
    assert material.recipe is None
    assert len(material.logged) == errors // 2
    assert len(material.failing) == errors - errors // 2
    assert material.model == mine.plant.model


def test_without_a_recipe_and_without_logged_images_nothing_would_change(mine: FinishedNight) -> None:
    with pytest.raises(RecipeError, match=r"-1 has no recipe \(No appearance cause is claimed\.\).*logged"):
        gathered(unclaimed(mine), logged=0)


def test_without_a_recipe_images_are_only_turned_and_shifted(mine: FinishedNight) -> None:
    quick = unclaimed(
        mine.copied(mine.plant.workspace.root.parent / "quick", "training.fine_tune_steps = 10")
    )
    material = gathered(quick)
    done, candidate = retrain(quick.plant.workspace, material, "a run")
    assert done.logged_images == len(material.logged) > 0
    assert done.reasons[-1] == ONLY_ERRORS
    network = network_of(quick.plant)
    fit(
        network,
        models.spec_of(quick.plant.model).preprocessing,
        mixed(material.train, material.logged, quick.plant.settings.recipe.logged_share, 0),
        Training(
            epochs=epochs(material, quick.plant.settings),
            learning_rate=0.01,
            weight_decay=0.01,
            batch_size=16,
            seed=0,
            device=torch.device("cpu"),
            augmentations=(plain_augmentation(0),),
            teacher=Teacher(freeze(network_of(quick.plant)), 1.0),
        ),
    )
    assert hash_weights(network.state_dict()) == candidate.model_hash


def network_of(plant: Plant) -> nn.Module:
    """The deployed model's network, to train further."""
    network = build_network(plant.model.architecture, len(plant.model.class_names), 1)
    return load_weights(network, read_checkpoint(plant.workspace.root / plant.model.weights_path), "deployed")


def test_a_recipe_that_was_changed_is_refused(mine: FinishedNight) -> None:
    recipe = mode_of(mine).recipe
    assert recipe is not None
    path = mine.plant.workspace.root / recipe.path
    path.write_text(path.read_text(encoding="utf-8").replace("share: 0.5", "share: 0.9"), encoding="utf-8")
    with pytest.raises(RecipeError, match="changed or damaged"):
        gathered(mine)


def test_progress_counts_every_image(finished: FinishedNight) -> None:
    counted: list[int] = []
    plant = finished.plant
    request = RetrainingRequest(mode_of(finished).mode_id, logged_images=3)
    material = gather_material(plant.workspace, plant.store, request, counted.append)
    groups = (material.train, material.logged, material.clean, material.failing)
    assert sum(counted) == sum(map(len, groups))


def test_the_errors_of_other_failure_modes_judge_too(mine: FinishedNight) -> None:
    """Of an earlier night of the same model; an image that is gone or of a class it has not is left out."""
    store, errors = mine.plant.store, mode_of(mine).errors
    assert len(gathered(mine).others) == 0
    held = mine.plant.references[0]
    earlier = [
        replace(errors[0], image_path=held.image_path, true_label=held.label),
        replace(errors[0], image_path=str(Path(held.image_path).with_name("gone.png"))),
        replace(errors[0], image_path=mine.plant.references[1].image_path, true_label="no such class"),
    ]
    mode = replace(mode_of(mine), mode_id="earlier-1", lineage="earlier-1", errors=tuple(earlier))
    started = mine.night.started_at - timedelta(days=1)
    store.finish_night(replace(mine.night, night_id="earlier", started_at=started, modes=(mode,)))
    material = gathered(mine)
    np.testing.assert_array_equal(material.others.images, pixels([held.image_path]))
    assert [mine.plant.model.class_names[i] for i in material.others.labels] == [held.label]
    done, _ = retrain(
        mine.plant.workspace, replace(material, train=material.train.subset(np.arange(16))), "a run"
    )
    assert [each.name for each in done.accuracies] == [LOGGED, CLEAN, OTHERS]
    assert done.accuracies[2].images == 1


# --- how long it trains ---


@pytest.mark.parametrize(
    ("images", "batch", "least_epochs", "least_steps", "expected"),
    [
        pytest.param(96, 16, 2, 60, 10, id="6 steps an epoch, so 60 are 10"),
        pytest.param(95, 16, 2, 60, 12, id="5 whole batches an epoch, so 60 are 12"),
        pytest.param(95, 16, 2, 61, 13, id="a step more takes an epoch more"),
        pytest.param(960, 16, 2, 60, 2, id="enough images: the epochs that are set"),
        pytest.param(10, 16, 2, 60, 60, id="less than a batch is one step"),
    ],
)
def test_epochs_by_hand(
    finished: FinishedNight, images: int, batch: int, least_epochs: int, least_steps: int, expected: int
) -> None:
    some = finished.plant.settings.training
    settings = Settings(
        training=TrainingSettings(
            architecture=some.architecture,
            batch_size=batch,
            fine_tune_epochs=least_epochs,
            fine_tune_steps=least_steps,
        )
    )
    material = gathered(finished)
    material = replace(material, train=material.train.subset(np.arange(images) % len(material.train)))
    assert epochs(material, settings) == expected
    assert images_to_train(material, settings) == images * expected


def test_the_recipe_is_a_step_of_the_training(finished: FinishedNight) -> None:
    material = gathered(finished)
    assert material.recipe is not None
    step, change = with_recipe(material.recipe, material.recipe_folder), RecipeTransform(material.recipe)
    image = material.train.images[0]
    for epoch, index in ((0, 0), (0, 1), (3, 5)):
        np.testing.assert_array_equal(step(image, epoch, index), change(image, epoch=epoch, index=index))


# --- retrained ---


@pytest.fixture(scope="module")
def retrained(
    finished: FinishedNight, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Plant, Material, Retraining, RegisteredModel, list[int]]:
    """One retraining, judged on unseen images under the aged lamp, with margins that it can keep."""
    night = finished.copied(tmp_path_factory.mktemp("retrained") / "workspace", LONG)
    material, counted = gathered(night, night.plant.labelled("unseen")), list[int]()
    done, candidate = retrain(night.plant.workspace, material, "a run", counted.append)
    return night.plant, material, done, candidate, counted


Retrained = tuple[Plant, Material, Retraining, RegisteredModel, list[int]]


def test_the_candidate_is_written_and_the_deployed_model_is_not_touched(
    retrained: Retrained, finished: FinishedNight
) -> None:
    plant, _, done, candidate, _ = retrained
    deployed = plant.workspace.root / plant.model.weights_path
    assert sha256_of(deployed) == sha256_of(finished.plant.workspace.root / plant.model.weights_path)
    assert models.load_model(plant.workspace.root, plant.model, "cpu").weights_hash == plant.model.model_hash
    assert plant.store.model() == plant.model
    assert (candidate.role, candidate.parent_hash) == ("candidate", plant.model.model_hash)
    assert done.mode_id in candidate.note
    assert candidate.model_hash != plant.model.model_hash
    loaded = models.load_model(plant.workspace.root, candidate, "cpu")
    assert loaded.weights_hash == candidate.model_hash == done.candidate_hash


def test_the_candidate_is_measured_beside_the_deployed_model(retrained: Retrained) -> None:
    plant, material, done, candidate, _ = retrained
    size = plant.settings.compute.batch_size
    before, after = (
        models.load_model(plant.workspace.root, each, "cpu") for each in (plant.model, candidate)
    )
    for found, name, data in zip(
        done.accuracies, (HOLDOUT, CLEAN), (material.failing, material.clean), strict=True
    ):
        assert found == compare_answers(
            name, data.labels, plant.model.class_names, right(before, data, size), right(after, data, size)
        )


def test_the_recipe_repairs_what_the_lamp_broke(retrained: Retrained) -> None:
    _, _, done, _, _ = retrained
    failing = done.accuracies[0]
    assert failing.images == 120
    assert failing.after >= failing.before + 20
    assert done.accepted, done.reasons
    assert done.reasons[0].startswith(
        f"{HOLDOUT}: {failing.before} of 120 right before, {failing.after} after"
    )


def test_the_retraining_says_what_it_was(retrained: Retrained) -> None:
    plant, material, done, _, counted = retrained
    assert done.retraining_id.startswith(f"{material.mode.mode_id}-")
    assert (done.mode_id, done.model_hash) == (material.mode.mode_id, plant.model.model_hash)
    assert done.settings == plant.settings.model_dump(mode="json")
    assert done.started_at < done.finished_at
    assert done.logged_images == 0
    steps = len(material.train) // 32
    assert counted == [32] * steps * epochs(material, plant.settings)
    assert len(counted) >= 500


def test_the_store_gives_the_retraining_back(
    retrained: Retrained, finished: FinishedNight, tmp_path: Path
) -> None:
    _, _, done, candidate, _ = retrained
    store = finished.copied(tmp_path / "workspace").plant.store
    store.add_retraining(done, candidate)
    assert store.retrainings(done.mode_id) == [done]
    assert store.model(candidate.model_hash) == candidate
    assert store.model() == finished.plant.model  # a candidate is not deployed by being stored


def test_the_same_seed_makes_the_same_candidate(mine: FinishedNight) -> None:
    quick = mine.copied(mine.plant.workspace.root.parent / "quick", "training.fine_tune_steps = 10")
    material = gathered(quick)
    first, again = (retrain(quick.plant.workspace, material, run) for run in ("first", "again"))
    assert first[1].model_hash == again[1].model_hash
    assert first[0].retraining_id != again[0].retraining_id
    assert first[0].accuracies == again[0].accuracies


def test_a_candidate_that_learned_nothing_is_refused(mine: FinishedNight) -> None:
    idle = mine.copied(
        mine.plant.workspace.root.parent / "idle",
        "training.fine_tune_steps = 10\ntraining.fine_tune_learning_rate = 1e-9",
    )
    unseen = idle.plant.labelled("unseen")
    done, _ = retrain(idle.plant.workspace, gathered(idle, unseen[:1]), "a run")
    assert not done.accepted
    assert "not a significant repair" in done.reasons[0]


def test_a_model_without_training_images_cannot_be_retrained(mine: FinishedNight) -> None:
    material = gathered(mine)
    none = replace(material, train=material.train.subset(np.zeros(0, np.int64)))
    with pytest.raises(ModelError, match=r"no training images among its references.*train split"):
        retrain(mine.plant.workspace, none, "a run")
    assert len(list((mine.plant.workspace.root / "models").iterdir())) == 1
