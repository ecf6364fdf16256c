"""Targeted retraining: the deployed model, the recipe, and the measurements that judge the candidate."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from fmi_engine.classifier import Classifier, build_network, load_weights
from inspection.errors import ModelError, RecipeError
from inspection.findings import (
    Accuracy,
    FailureMode,
    LoggedError,
    ReferenceImage,
    RegisteredModel,
    Retraining,
)
from inspection.inputs.image_sets import LabelledImage
from inspection.inputs.images import Reading, reading
from inspection.inputs.labelled import Labelled, load_images
from inspection.models.acceptance import compare_models, judge
from inspection.models.registry import Origin, check_references, keep, load_model, spec_of
from inspection.models.training import Augmentation, Training, fit, mixed, unfinished_training
from inspection.progress import Progress
from inspection.provenance import code_of, measured_by
from inspection.recipes.recipe import Recipe, RecipeTransform, load_recipe
from inspection.workspace.files import sha256_of
from inspection.workspace.folder import Workspace
from inspection.workspace.settings import Settings
from inspection.workspace.store import Store

HOLDOUT = "images not in the log"
LOGGED = "logged images not trained on"
CLEAN = "clean validation images"
OTHERS = "errors of other failure modes"
MOST_OTHERS = 500  # of them, the newest, judge a candidate
ONLY_ERRORS = (
    "the logged images are all errors of the deployed model: they show the repair, not what it may break on "
    "the line; --holdout with labelled images of the line shows both"
)


@dataclass(frozen=True, slots=True)
class RetrainingRequest:
    """What is asked of a retraining."""

    mode_id: str
    holdout: Sequence[LabelledImage] = ()  # judge the repair; where none are given, the mode's own do
    logged_images: int | None = None
    """How many of the mode's errors join the training set, with the operators' labels.

    None: none where there is a recipe, and half of them where no cause was claimed and so no recipe written.
    """


@dataclass(frozen=True, slots=True)
class Material:
    """Everything a retraining needs, decoded."""

    mode: FailureMode
    model: RegisteredModel
    recipe: Recipe | None  # None: the logged images alone have to mend it
    recipe_folder: Path  # where the recipe's textures lie
    train: Labelled
    logged: Labelled  # logged images that join the training set
    clean: Labelled  # validation images the model was never trained on
    failing: Labelled  # images like the mode's that the candidate never sees
    failing_name: str
    others: Labelled  # errors of other failure modes, of this model and of those that it was retrained from


def gather_material(
    workspace: Workspace, store: Store, request: RetrainingRequest, progress: Progress = None
) -> Material:
    """Load the recipe, the training set and the images that will judge the candidate.

    Images of the holdout that stand in the log, or were trained on, are left out. Raises RecipeError where
    nothing is left to train with.
    """
    mode = store.mode(request.mode_id)
    recipe_path = workspace.root / mode.recipe.path if mode.recipe else workspace.root
    recipe = load_recipe(recipe_path) if mode.recipe else None
    model = store.model(store.night(mode.night_id).model_hash)
    count = _joining_count(request, mode)
    check_references(request.holdout, model.class_names)
    references = store.references(model.model_hash)
    how = reading(workspace.settings.images, model.bit_depth)
    train, clean = (_of_split(references, split) for split in ("train", "val"))
    joining, rest = _split_log(mode.errors, count, workspace.settings.compute.seed)
    failing = _unseen(request.holdout, [*_logged(mode.errors), *train]) if request.holdout else _logged(rest)
    return Material(
        mode=mode,
        model=model,
        recipe=recipe,
        recipe_folder=recipe_path.parent,
        train=_decoded(train, model, how, progress),
        logged=_decoded(_logged(joining), model, how, progress),
        clean=_decoded(clean, model, how, progress),
        failing=_decoded(failing, model, how, progress),
        failing_name=HOLDOUT if request.holdout else LOGGED,
        others=_decoded(_others(store.other_errors(request.mode_id), model), model, how, progress),
    )


def _joining_count(request: RetrainingRequest, mode: FailureMode) -> int:
    """How many logged images join the training set. Raises RecipeError where that changes nothing."""
    count = request.logged_images
    if count is None:
        count = 0 if mode.recipe else len(mode.errors) // 2
    if mode.recipe is None and count == 0:
        raise RecipeError(
            f"failure mode {mode.mode_id} has no recipe ({mode.diagnosis.sentence}) and no logged image is "
            "to join the training set: nothing would change. Give --logged-images a number."
        )
    return count


def _split_log(
    errors: Sequence[LoggedError], joining: int, seed: int
) -> tuple[list[LoggedError], list[LoggedError]]:
    """Those that join the training set, drawn at random, and the rest; both in their order."""
    order = np.random.default_rng(seed).permutation(len(errors))
    chosen = set(order[:joining].tolist())
    return (
        [error for i, error in enumerate(errors) if i in chosen],
        [error for i, error in enumerate(errors) if i not in chosen],
    )


def _unseen(holdout: Sequence[LabelledImage], seen: Sequence[LabelledImage]) -> list[LabelledImage]:
    """The holdout without the images that were seen before, under whatever name."""
    known = {sha256_of(each.path) for each in seen}
    return [each for each in holdout if sha256_of(each.path) not in known]


def _others(errors: Sequence[LoggedError], model: RegisteredModel) -> list[LabelledImage]:
    """The newest of other modes' errors whose images are still there and whose class the model knows."""
    held = [each for each in _logged(errors) if each.path.is_file() and each.label in model.class_names]
    return held[:MOST_OTHERS]


def _logged(errors: Sequence[LoggedError]) -> list[LabelledImage]:
    return [LabelledImage(Path(error.image_path), error.true_label, None) for error in errors]


def _of_split(references: Sequence[ReferenceImage], split: str) -> list[LabelledImage]:
    chosen = [each for each in references if each.split == split]
    return [LabelledImage(Path(each.image_path), each.label, split) for each in chosen]


def _decoded(
    images: Sequence[LabelledImage], model: RegisteredModel, how: Reading, progress: Progress
) -> Labelled:
    labels = np.array([model.class_names.index(each.label) for each in images], np.int64)
    pixels = load_images([each.path for each in images], spec_of(model).preprocessing, progress, how)
    return Labelled(pixels, labels)


def retraining_id(mode_id: str, run: str) -> str:
    """The id of the retraining that a run of a failure mode's retraining makes: the same for the same run."""
    return f"{mode_id}-{hashlib.sha256(run.encode()).hexdigest()[:8]}"


def retrain(
    workspace: Workspace, material: Material, run: str, progress: Progress = None
) -> tuple[Retraining, RegisteredModel]:
    """Fine-tune a copy of the deployed model and judge it; the deployed model is not touched.

    Returns the retraining and the candidate's record; the caller stores both. `run` tells this retraining
    from others of the same failure mode. `progress` receives the number of images after every step.
    """
    started, settings, model = datetime.now(UTC), workspace.settings, material.model
    mode_id = material.mode.mode_id
    if not len(material.train):
        raise ModelError(
            f"model {model.model_hash[:12]} has no training images among its references; register it with a "
            "reference set that has a train split (or none, and one image in five is kept for validation)"
        )
    deployed = load_model(workspace.root, model, settings.compute.device)
    candidate = _fine_tuned(workspace, deployed, material, progress)
    origin = Origin("candidate", model.model_hash, f"retrained for {mode_id}")
    record = keep(workspace, candidate.network, spec_of(model), origin)
    failing, clean, *others = accuracies = _accuracies(
        material, deployed, candidate, settings.compute.batch_size
    )
    accepted, reasons = judge(failing, clean, settings.acceptance, others[0] if others else None)
    if material.failing_name == LOGGED:
        reasons += (ONLY_ERRORS,)
    done = Retraining(
        retraining_id=retraining_id(mode_id, run),
        mode_id=mode_id,
        model_hash=model.model_hash,
        candidate_hash=record.model_hash,
        started_at=started,
        finished_at=datetime.now(UTC),
        accepted=accepted,
        reasons=reasons,
        accuracies=accuracies,
        settings=settings.model_dump(mode="json"),
        logged_images=len(material.logged),
    )
    return done, record


def _fine_tuned(
    workspace: Workspace, deployed: Classifier, material: Material, progress: Progress
) -> Classifier:
    """A copy of the deployed model, trained on the training images, the logged ones and the recipe."""
    settings = workspace.settings
    data = mixed(material.train, material.logged, settings.recipe.logged_share, settings.compute.seed)
    changes = [with_recipe(material.recipe, material.recipe_folder)] if material.recipe else []
    training = Training.fine_tuning(settings, epochs(material, settings), deployed, changes)
    model, recipe = material.model, material.mode.recipe
    made_of = [model.model_hash, recipe.sha256 if recipe else "", *code_of(model.architecture)]
    made_of += measured_by("inspection.operations", "inspection.recipes")
    unfinished = unfinished_training(workspace.unfinished, material.mode.mode_id, data, training, made_of)
    return fine_tune(material.model, deployed, data, training, progress, unfinished)


def fine_tune(
    model: RegisteredModel,
    deployed: Classifier,
    data: Labelled,
    training: Training,
    progress: Progress = None,
    unfinished: Path | None = None,
) -> Classifier:
    """A copy of a deployed model, trained further; see `fit`."""
    spec = spec_of(model)
    network = build_network(spec.architecture, len(spec.class_names), spec.preprocessing.channels)
    load_weights(network, deployed.network.state_dict(), model.weights_path)
    fit(network, spec.preprocessing, data, training, progress, unfinished)
    return Classifier(network, spec.class_names, spec.preprocessing, deployed.device)


def with_recipe(recipe: Recipe, folder: Path) -> Augmentation:
    """The recipe, whose file lies in `folder`, as a step of training."""
    transform = RecipeTransform(recipe, folder)
    return lambda image, epoch, index: transform(image, epoch=epoch, index=index)


def epochs(material: Material, settings: Settings) -> int:
    """Passes over the training images: as set, and more where they are so few that the steps would be."""
    steps = max(1, len(material.train) // settings.training.batch_size)
    return max(settings.training.fine_tune_epochs, math.ceil(settings.training.fine_tune_steps / steps))


def images_to_train(material: Material, settings: Settings) -> int:
    """How many images the fine-tuning passes over, for a progress bar."""
    return len(material.train) * epochs(material, settings)


def _accuracies(
    material: Material, deployed: Classifier, candidate: Classifier, batch_size: int
) -> tuple[Accuracy, ...]:
    """On the failing images, on the clean ones and, where there are any, on errors of other modes."""
    judging = [(material.failing_name, material.failing), (CLEAN, material.clean)]
    judging += [(OTHERS, material.others)] if len(material.others) else []
    return tuple(compare_models(name, data, deployed, candidate, batch_size) for name, data in judging)
