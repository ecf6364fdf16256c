"""What a retraining is given: references, logged errors, recipes, and images that judge."""

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection import tuning
from inspection.errors import ModelError, RecipeError, UnknownIdError
from inspection.findings import Judgement, LoggedError, Relabel, RightPart, SuspectLabel, Verdict
from inspection.inputs.addresses import Copies
from inspection.inputs.defect_log import read_defect_log, write_defect_log
from inspection.inputs.image_sets import LabelledImage
from inspection.inputs.images import AS_STORED, read_image
from inspection.inputs.labelled import Labelled
from inspection.recipes.recipe import RecipeTransform, load_recipe
from inspection.retraining import arms
from inspection.retraining.arms import Workshop, epochs, with_recipe
from inspection.retraining.material import RetrainingRequest, Sources, gather_material, workspace_of
from inspection.workspace.settings import Settings, TrainingSettings
from tests.inspection.conftest import DIMMED, FinishedNight
from tests.inspection.retraining.conftest import gathered, mode_of

pytestmark = pytest.mark.numeric


def pixels(paths: list[str]) -> NDArray[np.uint8]:
    return np.stack([read_image(Path(path), (32, 32), 1) for path in paths])


def test_the_training_and_the_clean_images_are_the_references(finished: FinishedNight) -> None:
    material, plant = gathered(finished), finished.plant
    for data, split in ((material.train, "train"), (material.clean, "val")):
        mine = [each for each in plant.references if each.split == split]
        np.testing.assert_array_equal(data.images, pixels([each.image_path for each in mine]))
        assert [plant.model.class_names[i] for i in data.labels] == [each.label for each in mine]
    assert material.model == plant.model
    assert material.modes == (mode_of(finished),)
    folder = plant.workspace.root / "artifacts" / finished.night.night_id
    (recipe,) = material.recipes
    assert recipe.recipe == load_recipe(folder / f"recipe-{finished.night.night_id}-1.yaml")
    assert (recipe.folder, recipe.errors) == (folder, len(mode_of(finished).errors))
    np.testing.assert_array_equal(
        material.logged.images, pixels([error.image_path for error in mode_of(finished).errors])
    )


def test_a_retraining_has_the_settings_of_the_line_of_its_night(
    finished: FinishedNight, tmp_path: Path
) -> None:
    mine = finished.copied(tmp_path / "plant")
    store, night, mode = mine.plant.store, mine.night, mode_of(finished).mode_id
    for number, line in enumerate(("front", "rear", "gone"), 1):
        store.finish_night(replace(night, night_id=f"n{number}", of_line=line, modes=()))
    lines = {"front": {"logs": "a", "images": {"bit_depth": 12}}, "rear": {"logs": "b"}}
    settings = Settings(**mine.plant.settings.model_dump() | {"lines": lines})
    workspace = replace(mine.plant.workspace, settings=settings)
    assert workspace_of(workspace, store, [mode]) == workspace
    assert workspace_of(workspace, store, ["n1"]).settings.images.bit_depth == 12
    assert workspace_of(workspace, store, ["n2", mode]).settings.images.bit_depth == 0
    assert workspace_of(workspace, store, ["n3"]) == workspace  # fmi.toml has no such line any more
    with pytest.raises(RecipeError, match=r"n1, n2 are of lines whose settings differ \(front, rear\)"):
        workspace_of(workspace, store, ["n1", "n2"])
    with pytest.raises(UnknownIdError):
        workspace_of(workspace, store, ["n9-1"])


def test_holdout_images_that_stand_in_the_log_are_left_out(finished: FinishedNight) -> None:
    aged = finished.plant.labelled("aged")
    logged = {error.image_path for error in mode_of(finished).errors}
    material = gathered(finished, aged)
    rest = [str(each.path) for each in aged if str(each.path) not in logged]
    assert 0 < len(rest) < len(aged)
    np.testing.assert_array_equal(material.holdout.images, pixels(rest))


def test_of_many_logged_images_a_sample_takes_part_and_none_of_the_others_judges(
    finished: FinishedNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged = finished.plant.labelled("aged")
    everybody = gathered(finished, aged)
    monkeypatch.setattr(tuning, "SAMPLED_ERRORS", 5)
    material = gathered(finished, aged)
    assert (len(material.errors), len(material.logged)) == (5, 5)
    np.testing.assert_array_equal(
        material.logged.images, pixels([error.image_path for error in material.errors])
    )
    np.testing.assert_array_equal(material.holdout.images, everybody.holdout.images)
    count = len(everybody.errors)
    assert material.notes == (f"5 of {count} logged images take part, drawn with seed 0", *everybody.notes)


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
    np.testing.assert_array_equal(found.holdout.images, expected.holdout.images)


def with_right(night: FinishedNight, parts: list[RightPart]) -> FinishedNight:
    """The night as the store holds it when its log holds these parts that went right."""
    done = replace(night.night, right=tuple(parts), right_read=3 * len(parts))
    night.plant.store.finish_night(done)
    return replace(night, night=done)


def test_parts_of_the_log_that_went_right_judge_too(mine: FinishedNight, tmp_path: Path) -> None:
    """But for errors, images that it was trained on, and what cannot be read: no night looks at them."""
    unseen = mine.plant.labelled("unseen")
    trained = next(each for each in mine.plant.references if each.split == "train")
    torn = tmp_path / "torn.png"
    torn.write_bytes(unseen[0].path.read_bytes()[:50])
    parts = [
        *((str(each.path), each.label) for each in unseen),
        (str(torn), "good"),
        (str(tmp_path / "gone.png"), "good"),
        (trained.image_path, trained.label),
        (mode_of(mine).errors[0].image_path, mode_of(mine).errors[0].true_label),
    ]
    night = with_right(mine, [RightPart(row, path, label) for row, (path, label) in enumerate(parts, 1)])
    material = gathered(night)
    assert list(material.paths["right"]) == [each.path for each in unseen]
    np.testing.assert_array_equal(material.right.images, pixels([str(each.path) for each in unseen]))
    assert material.right_read == 3 * len(parts)
    told = " ".join(material.notes)
    assert f"2 of {len(parts)} parts of the log that went right are gone or cannot be read" in told
    assert f"2 of {len(parts) - 2} parts of the log that went right stand in the log as errors" in told


def test_a_part_that_went_right_is_fetched_from_its_address(mine: FinishedNight, tmp_path: Path) -> None:
    path = mine.plant.labelled("unseen")[0].path
    sources = Sources(AS_STORED, Copies(tmp_path, (f"local://{path.parent}",)))
    copy = sources.readable(f"local://{path}")
    assert copy is not None
    assert copy.is_relative_to(tmp_path)
    assert copy.read_bytes() == path.read_bytes()
    assert sources.readable(f"local://{path}.gone") is None
    assert sources.readable(f"s3://plant/{path.name}") is None


def test_a_copy_of_a_logged_image_is_left_out_too(finished: FinishedNight, tmp_path: Path) -> None:
    """A log's images are often exported into a folder of their own."""
    aged = finished.plant.labelled("aged")
    copies = [
        LabelledImage(Path(shutil.copy(each.path, tmp_path / each.path.name)), each.label, None)
        for each in aged
    ]
    found = gathered(finished, copies)
    np.testing.assert_array_equal(found.holdout.images, gathered(finished, aged).holdout.images)


def test_holdout_images_that_the_model_was_trained_on_are_left_out(finished: FinishedNight) -> None:
    """The candidate sees the training images; only what it never sees may judge it."""
    plant = finished.plant
    trained = {each.image_path for each in plant.references if each.split == "train"}
    commissioned = plant.labelled("commissioned")
    found = gathered(finished, [*plant.labelled("unseen"), *commissioned])
    unseen = [str(each.path) for each in plant.labelled("unseen")]
    rest = [str(each.path) for each in commissioned if str(each.path) not in trained]
    np.testing.assert_array_equal(found.holdout.images, pixels([*unseen, *rest]))


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
    request = RetrainingRequest((mode_of(finished).mode_id,))
    material = gather_material(plant.workspace, plant.store, request, counted.append)
    groups = (material.train, material.logged, material.clean)
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


# --- a night, and what is left out ---


def test_a_night_is_all_of_its_failure_modes_and_the_errors_by_themselves(mine: FinishedNight) -> None:
    mode = mode_of(mine)
    halves = mode.errors[::2], mode.errors[1::2]
    modes = tuple(
        replace(mode, mode_id=f"{mine.night.night_id}-{n}", errors=errors[1:])
        for n, errors in enumerate(halves, 1)
    )
    alone = (halves[0][0], halves[1][0])
    mine.plant.store.finish_night(replace(mine.night, modes=modes, unclustered=alone))
    material = gathered(mine, targets=(mine.night.night_id,))
    assert [each.mode_id for each in material.modes] == [each.mode_id for each in modes]
    assert {error.image_path for error in material.errors} == {error.image_path for error in mode.errors}
    of = [material.mode_of.get(row) for row in range(len(material.errors))]
    assert of.count(None) == 2
    assert of.count(modes[0].mode_id) == len(modes[0].errors)
    assert len(material.recipes) == 2


def test_suspect_labels_and_images_that_are_gone_are_left_out_and_told(
    mine: FinishedNight, tmp_path: Path
) -> None:
    mode = mode_of(mine)
    suspect = SuspectLabel("i", mode.errors[0].image_path, "", "good", "pit", 0.9)
    errors = (
        mode.errors[0],
        replace(mode.errors[1], image_path=str(tmp_path / "gone.png")),
        *mode.errors[2:],
    )
    done = replace(mine.night, modes=(replace(mode, errors=errors, suspects=(suspect,)),))
    mine.plant.store.finish_night(done)
    material = gathered(mine)
    assert [error.image_path for error in material.errors] == [error.image_path for error in errors[2:]]
    assert material.notes == (
        "1\N{NO-BREAK SPACE}logged image not trained on: their labels are suspect; review them",
        f"1\N{NO-BREAK SPACE}logged image gone, and left out: {tmp_path / 'gone.png'}",
    )


def judged(night: FinishedNight, judgement: Judgement) -> None:
    verdict = Verdict(mode_of(night).mode_id, judgement, "", "Aoki", datetime.now(UTC))
    night.plant.store.add_verdict(verdict)


@pytest.mark.parametrize("judgement", [Judgement.OTHER_CAUSE, Judgement.NEW_DEFECT])
def test_the_recipe_of_a_cause_that_is_not_believed_is_left_out(
    mine: FinishedNight, judgement: Judgement
) -> None:
    judged(mine, judgement)
    material = gathered(mine)
    assert material.recipes == ()
    assert len(material.errors) == len(mode_of(mine).errors)
    assert material.notes == (
        f"the recipe of {mode_of(mine).mode_id} is left out: a reviewer's verdict is '{judgement}'",
    )


@pytest.mark.parametrize("judgement", [Judgement.CONFIRM, Judgement.INVESTIGATE])
def test_what_is_confirmed_or_not_yet_said_leaves_nothing_out(
    mine: FinishedNight, judgement: Judgement
) -> None:
    judged(mine, judgement)
    material = gathered(mine)
    assert (len(material.recipes), material.notes) == (1, ())


@pytest.mark.parametrize("judgement", [Judgement.RELABEL, Judgement.REMOVE])
def test_of_wrong_labels_only_what_is_relabelled_is_trained_on(
    mine: FinishedNight, judgement: Judgement
) -> None:
    judged(mine, judgement)
    with pytest.raises(RecipeError, match=r"no recipe .* and no logged image to train with"):
        gathered(mine)
    first = mode_of(mine).errors[0]
    word = Relabel(mode_of(mine).mode_id, first.row, first.true_label, "Aoki", datetime.now(UTC))
    mine.plant.store.add_relabels([word])
    assert [error.image_path for error in gathered(mine).errors] == [first.image_path]


def test_an_image_is_trained_on_as_a_reviewer_labels_it(mine: FinishedNight) -> None:
    mode, names = mode_of(mine), mine.plant.model.class_names
    first, removed, right, unknown, suspect, *others = mode.errors
    third = next(each for each in names if each not in (first.true_label, first.predicted_label))
    listed = SuspectLabel("i", suspect.image_path, "", suspect.true_label, suspect.predicted_label, 0.9)
    mine.plant.store.finish_night(replace(mine.night, modes=(replace(mode, suspects=(listed,)),)))
    words = {
        first.row: third,
        removed.row: None,
        right.row: right.predicted_label,
        unknown.row: "crack",
        suspect.row: suspect.true_label,  # looked at again, and right
    }
    now = datetime.now(UTC)
    mine.plant.store.add_relabels(
        [Relabel(mode.mode_id, row, label, "Aoki", now) for row, label in words.items()]
    )
    material = gathered(mine)
    kept = {error.row: error.true_label for error in material.errors}
    assert kept == {first.row: third} | {each.row: each.true_label for each in (suspect, *others)}
    assert [names[i] for i in material.logged.labels] == list(kept.values())
    blank = "\N{NO-BREAK SPACE}"
    assert set(material.notes) == {
        f"1{blank}logged image not trained on: a reviewer removed them",
        f"1{blank}logged image not trained on: by a reviewer's label the model was right",
        f"1{blank}logged image not trained on: a reviewer labelled them 'crack', which is no class of the "
        "model",
    }


def test_without_a_recipe_and_without_logged_images_nothing_would_change(mine: FinishedNight) -> None:
    night = unclaimed(mine)
    gone = [replace(error, image_path="/gone.png") for error in mode_of(night).errors]
    with pytest.raises(
        RecipeError, match=r"-1: there is no recipe \(No appearance cause is claimed\.\) and no log"
    ):
        gathered(with_errors(night, tuple(gone)))


def test_failure_modes_of_two_models_are_refused(mine: FinishedNight) -> None:
    store, night = mine.plant.store, mine.night
    store.add_model(replace(mine.plant.model, model_hash="ee" * 32), [])
    mode = replace(mode_of(mine), mode_id="other-1")
    store.finish_night(replace(night, night_id="other", model_hash="ee" * 32, modes=(mode,)))
    with pytest.raises(RecipeError, match=r"are of 2 models .* one retraining starts from one model"):
        gathered(mine, targets=(mode_of(mine).mode_id, "other-1"))


def test_a_model_without_training_images_cannot_be_retrained(mine: FinishedNight) -> None:
    kept = [each for each in mine.plant.references if each.split == "val"]
    mine.plant.store.add_model(mine.plant.model, kept)
    with pytest.raises(ModelError, match=r"no training images among its references.*train split"):
        gathered(mine)


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


def test_the_recipe_is_a_step_of_the_training(finished: FinishedNight) -> None:
    material = gathered(finished)
    (recipe,) = material.recipes
    step, change = with_recipe(recipe.recipe, recipe.folder), RecipeTransform(recipe.recipe)
    image = material.train.images[0]
    for epoch, index in ((0, 0), (0, 1), (3, 5)):
        np.testing.assert_array_equal(step(image, epoch, index), change(image, epoch=epoch, index=index))


def test_several_recipes_are_drawn_as_often_as_their_modes_have_errors(
    finished: FinishedNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    (recipe,) = gathered(finished).recipes
    adding = {Path("one"): np.uint8(1), Path("two"): np.uint8(2)}
    monkeypatch.setattr(arms, "with_recipe", lambda _, folder: lambda image, *_: image + adding[folder])
    both = [replace(recipe, folder=Path(name), errors=errors) for name, errors in (("one", 80), ("two", 20))]
    change, black = arms.with_recipes(both, seed=3), np.zeros((2, 2, 1), np.uint8)
    drawn = [int(change(black, epoch, index)[0, 0, 0]) for epoch in range(5) for index in range(200)]
    assert drawn.count(1) == pytest.approx(800, abs=50)
    assert drawn[:200] != drawn[200:400]
    assert drawn[:200] == [int(change(black, 0, index)[0, 0, 0]) for index in range(200)]


def test_clean_images_are_shown_as_the_recipes_change_them(finished: FinishedNight) -> None:
    material = gathered(finished)
    workshop = Workshop.opened(finished.plant.workspace, material)
    changed = workshop.changed(material.clean)
    assert (changed.labels == material.clean.labels).all()
    assert (changed.images != material.clean.images).any((1, 2, 3)).all()  # every one, not the recipe's share
    assert changed.images.mean() < material.clean.images.mean()  # the lamp is dimmer


def test_parts_that_went_right_even_out_the_classes_of_the_errors(mine: FinishedNight) -> None:
    material = gathered(mine)
    classes = len(mine.plant.model.class_names)
    errors, right = [0] * 6 + [1] * 2, [0] * 5 + [1] * 3 + [2] * 40
    labels = np.array([*errors, *right, *range(3, classes)], np.int64)
    held = Labelled(np.zeros((len(labels), 4, 4, 1), np.uint8), labels)
    lopsided = replace(
        material, logged=held.subset(np.arange(8)), right=held.subset(np.arange(8, len(labels)))
    )
    rows = lopsided.evened(np.arange(len(labels)))
    assert rows[:8].tolist() == list(range(8))
    joined = labels[rows[8:]]
    assert np.bincount(joined, minlength=3)[:3].tolist() == [0, 3, 6]  # of class 1 there are no more
    assert len(np.unique(rows)) == len(rows)
    some = np.array([0, 1, 6, 8, 20])  # a part of class 0 that went right, and one of class 2
    assert lopsided.evened(some).tolist() == [0, 1, 6, 20]
