"""One retraining on real images: who competes, who wins, what the candidate is, and what is left alone."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch

from fmi_engine.checkpoint import load_checkpoint
from fmi_engine.classifier import build_network, freeze, hash_weights
from inspection.errors import RecipeError
from inspection.findings import (
    CHANGED,
    CLEAN,
    HOLDOUT,
    LINE,
    LOGGED,
    RIGHT,
    Arm,
    CheckKind,
    Decision,
    Outcome,
    RightPart,
)
from inspection.models import registry as models
from inspection.models.comparison import Judged, accuracy_of, answers
from inspection.models.training import Teacher, Training, fit, mixed, plain_augmentation
from inspection.nights.phrases import check_in_words
from inspection.retraining import retrain as retraining
from inspection.retraining.arms import Workshop, epochs, logged_share
from inspection.retraining.gate import decide
from inspection.retraining.retrain import NO_ARM, NOTHING_TO_JUDGE_BY, ONLY_ERRORS
from inspection.workspace.files import sha256_of
from tests.inspection.conftest import FinishedNight, Plant
from tests.inspection.retraining.conftest import Retrained, gathered, mode_of, retrained_of

pytestmark = [pytest.mark.numeric, pytest.mark.slow]


def network_of(plant: Plant) -> torch.nn.Module:
    """The deployed model's network, to train further."""
    network = build_network(plant.model.architecture, len(plant.model.class_names), 1)
    load_checkpoint(network, plant.workspace.root / plant.model.weights_path)
    return network


# --- the competition ---


def test_every_arm_competes_and_is_judged_by_what_it_was_not_shown(retrained: Retrained) -> None:
    done, material = retrained.done.retraining, retrained.workshop.material
    assert [each.arm for each in done.arms] == list(Arm)
    assert [each.folds for each in done.arms] == [3, 1, 3, 3]
    logged = len(material.logged)
    assert [each.logged_images for each in done.arms] == [logged, 0, logged, logged]
    for each in done.arms:
        names = [accuracy.name for accuracy in each.accuracies]
        assert names == [LOGGED, CLEAN, CHANGED]  # the holdout is kept for the candidate
        sizes = [accuracy.images for accuracy in each.accuracies]
        assert sizes == [logged, len(material.clean), len(material.clean)]
        assert each.accuracies[0].before == 0  # they are the deployed model's errors
        assert each.seconds > 0


def test_the_best_that_harms_nothing_is_trained_in_full(retrained: Retrained) -> None:
    done = retrained.done.retraining
    harmless = [each for each in done.arms if not each.harm]
    mended = [each.accuracies[0].after for each in harmless]
    assert done.arm == harmless[mended.index(max(mended))].arm
    assert max(mended) >= 0.5 * len(retrained.workshop.material.logged)


@pytest.mark.parametrize(
    ("explained", "share"), [(1.0, 0.1), (0.95, 0.125), (0.9, 0.15), (0.8, 0.2), (0.3, 0.2), (-1.0, 0.2)]
)
def test_the_less_recipes_explain_the_more_logged_images_join_them(explained: float, share: float) -> None:
    assert logged_share(0.1, explained) == pytest.approx(share)


def test_progress_tells_every_image_that_is_trained_on(retrained: Retrained) -> None:
    told, material = retrained.steps.told, retrained.workshop.material
    one = len(material.train) * epochs(material, retrained.plant.settings)
    totals = {name: total for name, (total, _) in told.items()}
    full = totals.pop("Training the best in full")
    assert totals.pop("Training further, as a control") == one
    assert totals == {
        "Trying first aid": 0,
        "Trying recipes": one,
        "Trying logged images": 3 * one,
        "Trying recipes and logged images": 3 * one,
    }
    assert full == one
    for name in ("Trying logged images", "Trying recipes and logged images"):
        batches = len(material.train) // 32 * 32
        assert sum(told[name][1]) == 3 * batches * epochs(material, retrained.plant.settings)


# --- the candidate ---


def test_the_candidate_is_written_and_the_deployed_model_is_not_touched(
    retrained: Retrained, finished: FinishedNight
) -> None:
    plant, done, candidate = retrained.plant, retrained.done.retraining, retrained.done.candidate
    assert candidate is not None
    deployed = plant.workspace.root / plant.model.weights_path
    assert sha256_of(deployed) == sha256_of(finished.plant.workspace.root / plant.model.weights_path)
    assert models.load_model(plant.workspace.root, plant.model, "cpu").weights_hash == plant.model.model_hash
    assert plant.store.model() == plant.model
    assert candidate.parent_hash == plant.model.model_hash
    assert mode_of(retrained.night).mode_id in candidate.note
    assert candidate.model_hash != plant.model.model_hash
    loaded = models.load_model(plant.workspace.root, candidate, "cpu")
    assert loaded.weights_hash == candidate.model_hash == done.candidate_hash


def test_the_candidate_is_measured_beside_the_deployed_model(retrained: Retrained) -> None:
    plant, material, done = retrained.plant, retrained.workshop.material, retrained.done
    size, found = plant.settings.compute.batch_size, {each.name: each for each in done.retraining.accuracies}
    assert list(found) == [HOLDOUT, LOGGED, CLEAN, CHANGED]
    assert done.candidate is not None
    both = [models.load_model(plant.workspace.root, each, "cpu") for each in (plant.model, done.candidate)]
    for name, data in ((HOLDOUT, material.holdout), (CLEAN, material.clean)):
        before, after = (answers(each, data, size) for each in both)
        judged = Judged(name, data.labels, before, after)
        assert found[name] == accuracy_of(judged, plant.model.class_names, ("good",))


def test_what_the_lamp_broke_is_mended_and_what_the_gate_finds_is_told(retrained: Retrained) -> None:
    """Three small layers mend a third or more, and let some pass of what they rejected blindly."""
    done = retrained.done.retraining
    failing = done.accuracies[0]
    assert (failing.images, failing.before) == (96, 0)
    assert failing.after >= 32
    repair, control = done.checks[:2]
    assert (repair.kind, repair.passed, repair.images_of) == (CheckKind.REPAIR, True, HOLDOUT)
    assert (control.kind, control.passed) == (CheckKind.CONTROL, True)
    assert control.before < failing.after
    escapes = next(
        each for each in done.checks if (each.kind, each.images_of) == (CheckKind.ESCAPES, HOLDOUT)
    )
    assert (escapes.before, escapes.images) == (0, 72)
    assert failing.escapes == (0, escapes.after)
    assert done.decision is decide(done.checks)
    against = tuple(check_in_words(each) for each in done.checks if each.passed is not True)
    assert done.reasons == (against or (check_in_words(repair), check_in_words(control)))


def test_the_filters_that_were_to_blame_come_back_to_normal(retrained: Retrained) -> None:
    found = retrained.done.retraining.filters
    blamed = mode_of(retrained.night).filters
    assert [(each.layer, each.channel) for each in found] == [(each.layer, each.channel) for each in blamed]
    before, after = (
        sum(abs(x) for x in shifts) for shifts in zip(*((f.before, f.after) for f in found), strict=True)
    )
    assert after < before


def test_every_image_that_judged_is_kept_with_what_became_of_it(retrained: Retrained) -> None:
    done, material, names = retrained.done, retrained.workshop.material, retrained.plant.model.class_names
    by_set = {
        name: [each for each in done.pictures if each.images_of == name] for name in (HOLDOUT, LOGGED, CLEAN)
    }
    assert sum(map(len, by_set.values())) == len(done.pictures)
    accuracies = {each.name: each for each in done.retraining.accuracies}
    for name, images in by_set.items():
        outcomes = [each.outcome for each in images]
        assert outcomes.count(Outcome.FIXED) == accuracies[name].fixed
        assert outcomes.count(Outcome.REGRESSED) == accuracies[name].broken
    first = by_set[LOGGED][0]
    assert first.image_path == material.errors[0].image_path
    assert first.image_sha256 == sha256_of(material.paths["logged"][0])
    assert (first.true_label, first.before) == (
        material.errors[0].true_label,
        material.errors[0].predicted_label,
    )
    assert {each.mode_id for each in by_set[LOGGED]} == {mode_of(retrained.night).mode_id}
    assert {each.mode_id for each in by_set[CLEAN]} == {None}
    assert {each.after for each in done.pictures} <= set(names)


def test_the_store_gives_the_retraining_back(retrained: Retrained, mine: FinishedNight) -> None:
    done, store = retrained.done, mine.plant.store
    store.add_retraining(done.retraining, done.candidate, done.pictures)
    assert store.retrainings(mode_of(mine).mode_id) == [done.retraining]
    assert store.judged_images(done.retraining.retraining_id) == list(done.pictures)
    assert done.candidate is not None
    assert store.model(done.candidate.model_hash) == replace(done.candidate, name="model", version=2)
    assert store.model() == mine.plant.model  # a candidate is not deployed by being stored
    assert store.model("v2").model_hash == done.candidate.model_hash


# --- one arm, and none ---


def test_the_logged_images_alone_are_trained_as_any_other(quick: FinishedNight) -> None:
    """The candidate is what the training by hand makes of the same images."""
    material = gathered(quick, arm=Arm.LOGGED)
    found = retrained_of(quick, material).done
    assert [each.arm for each in found.retraining.arms] == [Arm.LOGGED]
    assert (found.retraining.arm, found.retraining.logged_images) == (Arm.LOGGED, len(material.logged))
    assert ONLY_ERRORS in found.retraining.notes
    unseen = found.retraining.checks[-1]  # of the parts that go right a log of errors tells nothing
    assert (unseen.images_of, unseen.images, unseen.passed) == (RIGHT, 0, None)
    network = network_of(quick.plant)
    fit(
        network,
        models.spec_of(quick.plant.model).preprocessing,
        mixed(
            material.train, material.logged, logged_share(quick.plant.settings.recipe.logged_share, 0.0), 0
        ),
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
    assert hash_weights(network.state_dict()) == found.retraining.candidate_hash


def test_the_line_is_its_right_parts_and_as_large_a_share_of_its_errors(quick: FinishedNight) -> None:
    """A third of the parts that went right judge, so a third of the errors do beside them.

    A model is shown both, and judges neither: of the line stands what cross-validation has found.
    """
    plant, mode = quick.plant, mode_of(quick)
    parts = [RightPart(i, str(each.path), each.label) for i, each in enumerate(plant.labelled("unseen"))]
    night = replace(quick.night, right=tuple(parts), right_read=3 * len(parts))
    plant.store.finish_night(night)
    done = retrained_of(quick, gathered(quick, arm=Arm.LOGGED)).done
    found = {each.name: each for each in done.retraining.accuracies}
    assert RIGHT not in found
    assert found[LINE].images == len(parts) + round(len(mode.errors) / 3)
    (arm,) = done.retraining.arms
    assert arm.logged_images == done.retraining.logged_images
    assert len(mode.errors) < arm.logged_images < len(mode.errors) + len(parts)
    assert next(each for each in arm.accuracies if each.name == LINE) == found[LINE]
    assert [each.images_of for each in done.retraining.checks].count(RIGHT) == 0
    assert ONLY_ERRORS not in done.retraining.notes
    of_line = [each for each in done.pictures if each.images_of == LINE]
    assert [each.image_path for each in of_line] == [part.image_path for part in parts]


def test_first_aid_changes_the_statistics_and_no_weight(quick: FinishedNight) -> None:
    found = retrained_of(quick, gathered(quick, arm=Arm.FIRST_AID)).done
    assert found.candidate is not None
    before, after = (
        models.load_model(quick.plant.workspace.root, each, "cpu").network.state_dict()
        for each in (quick.plant.model, found.candidate)
    )
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(
        name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked") for name in changed
    )


def test_first_aid_has_the_statistics_of_its_images(quick: FinishedNight) -> None:
    """Of the first normalisation, computed by hand of the input that it gets."""
    workshop = Workshop.opened(quick.plant.workspace, gathered(quick))
    rows = np.arange(16)
    mended = workshop.candidate(Arm.FIRST_AID, rows).network
    first = next(each for each in mended.modules() if isinstance(each, torch.nn.BatchNorm2d))
    seen: list[torch.Tensor] = []
    network = workshop.deployed.network
    norm = next(each for each in network.modules() if isinstance(each, torch.nn.BatchNorm2d))
    hook = norm.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        network(workshop.deployed.prepare(workshop.material.logged.images[rows]))
    hook.remove()
    torch.testing.assert_close(first.running_mean, seen[0].mean((0, 2, 3)))
    torch.testing.assert_close(first.running_var, seen[0].var((0, 2, 3)))


def test_where_no_arm_mends_anything_nothing_is_trained_in_full(
    quick: FinishedNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = quick.copied(quick.plant.workspace.root.parent / "idle", "training.fine_tune_learning_rate = 1e-9")
    monkeypatch.setattr(Workshop, "arms", lambda _: (Arm.RECIPES, Arm.LOGGED))
    done = retrained_of(idle, gathered(idle)).done
    assert [each.accuracies[0].after for each in done.retraining.arms] == [0, 0]
    assert (done.candidate, done.retraining.candidate_hash, done.pictures) == (None, None, ())
    assert (done.retraining.decision, done.retraining.reasons) == (Decision.REJECTED, (NO_ARM,))


def test_errors_of_one_part_leave_nothing_to_judge_logged_images_by(quick: FinishedNight) -> None:
    material = gathered(quick)
    one = replace(material, recipes=())
    one.__dict__["groups"] = np.zeros(len(material.logged), np.int64)
    found = retrained_of(quick, one).done
    assert (found.candidate, found.pictures, found.retraining.arms) == (None, (), ())
    assert found.retraining.decision is Decision.UNDECIDED
    assert found.retraining.reasons == (NO_ARM, NOTHING_TO_JUDGE_BY)


def test_an_arm_that_there_is_nothing_for_is_refused(quick: FinishedNight) -> None:
    none = replace(gathered(quick, arm=Arm.RECIPES), recipes=())
    with pytest.raises(
        RecipeError, match=r"nothing for the arm 'recipes' here; there is for 'first aid', 'log"
    ):
        retrained_of(quick, none)


# --- the same, and killed ---


def test_the_same_training_twice_is_known_and_makes_the_same(quick: FinishedNight) -> None:
    material = gathered(quick, arm=Arm.BOTH)
    first, again = (retrained_of(quick, material, run).done.retraining for run in ("first", "again"))
    assert first.candidate_hash == again.candidate_hash
    assert first.retraining_id != again.retraining_id
    assert first.accuracies == again.accuracies
    assert first.identity == again.identity
    workshop, store = Workshop.opened(quick.plant.workspace, material), quick.plant.store
    assert retraining.made_before(store, workshop) is None
    candidate = models.keep(quick.plant.workspace, network_of(quick.plant), models.spec_of(quick.plant.model))
    store.add_retraining(first, candidate)
    assert retraining.made_before(store, workshop) == first
    others = gathered(quick, arm=Arm.LOGGED)
    assert retraining.made_before(store, Workshop.opened(quick.plant.workspace, others)) is None


def test_a_training_that_has_ended_is_not_repeated(
    quick: FinishedNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the last training: what the folds gave is kept, and the result is the same."""
    material = gathered(quick, arm=Arm.LOGGED)
    workshop = Workshop.opened(quick.plant.workspace, material)
    trained: list[int] = []
    real = Workshop.candidate

    def killed(self: Workshop, arm: Arm, rows: "np.ndarray", progress: object = None) -> object:
        trained.append(len(rows))
        if len(rows) == len(material.logged):
            raise KeyboardInterrupt
        return real(self, arm, rows, cast(None, progress))

    monkeypatch.setattr(Workshop, "candidate", killed)
    with pytest.raises(KeyboardInterrupt):
        retrained_of(quick, material)
    assert len(trained) == 4
    assert workshop.unfinished.is_dir()
    monkeypatch.setattr(Workshop, "candidate", real)
    resumed = retrained_of(quick, material)
    told = resumed.steps.told["Trying logged images"]
    assert told[1] == [told[0] // 3] * 3  # each at once
    retraining.forget_unfinished(workshop)
    assert not workshop.unfinished.exists()
    undisturbed = retrained_of(quick, material)
    assert resumed.done.retraining.candidate_hash == undisturbed.done.retraining.candidate_hash
    assert resumed.done.retraining.accuracies == undisturbed.done.retraining.accuracies
