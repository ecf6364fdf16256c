"""Targeted retraining: the deployed model, the recipe, and the measurements that judge the candidate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import numpy as np

from fmi_engine.classifier import Classifier, build_network, load_weights
from inspection.errors import ModelError, RecipeError
from inspection.findings import FailureMode, LoggedError, ReferenceImage, RegisteredModel, Retraining
from inspection.inputs.image_sets import LabelledImage
from inspection.inputs.labelled import Labelled, load_images
from inspection.models.acceptance import compare, judge, right
from inspection.models.registry import check_references, keep, load, spec_of
from inspection.models.training import Augmentation, Training, fit, mixed
from inspection.progress import Progress
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


def gather(
    workspace: Workspace,
    store: Store,
    mode_id: str,
    holdout: Sequence[LabelledImage] = (),
    logged_images: int | None = None,
    progress: Progress = None,
) -> Material:
    """Load the recipe, the training set and the images that will judge the candidate.

    Without `holdout`, the mode's own logged images that do not join the training set judge the repair.
    `logged_images` of the mode's errors, with the operators' labels, join the training set: by default
    none where there is a recipe, and half of them where no cause was claimed and so no recipe written.
    Images of the holdout that stand in the log are left out. Raises RecipeError where nothing is left to
    train with.
    """
    mode = store.mode(mode_id)
    recipe_path = workspace.root / mode.recipe.path if mode.recipe else workspace.root
    recipe = load_recipe(recipe_path) if mode.recipe else None
    model = store.model(store.night(mode.night_id).model_hash)
    if logged_images is None:
        logged_images = 0 if recipe else len(mode.errors) // 2
    if recipe is None and logged_images == 0:
        raise RecipeError(
            f"failure mode {mode_id} has no recipe ({mode.diagnosis.sentence}) and no logged image is to "
            "join the training set: nothing would change. Give --logged-images a number."
        )
    check_references(holdout, model.class_names)
    references = store.references(model.model_hash)
    joining, rest = _split_log(mode.errors, logged_images, workspace.settings.compute.seed)
    failing = [(Path(e.image_path), e.true_label) for e in rest]
    if holdout:
        seen = {sha256_of(path) for path, _ in (*_labels(mode.errors), *_of(references, "train"))}
        failing = [(each.path, each.label) for each in holdout if sha256_of(each.path) not in seen]
    return Material(
        mode=mode,
        model=model,
        recipe=recipe,
        recipe_folder=recipe_path.parent,
        train=_load(model, _of(references, "train"), progress),
        logged=_load(model, _labels(joining), progress),
        clean=_load(model, _of(references, "val"), progress),
        failing=_load(model, failing, progress),
        failing_name=HOLDOUT if holdout else LOGGED,
        others=_load(model, _others(store.other_errors(mode_id), model), progress),
    )


def _others(errors: Sequence[LoggedError], model: RegisteredModel) -> list[tuple[Path, str]]:
    """The newest of other modes' errors whose images are still there and whose class the model knows."""
    held = [each for each in _labels(errors) if each[0].is_file() and each[1] in model.class_names]
    return held[:MOST_OTHERS]


def _split_log(
    errors: Sequence[LoggedError], joining: int, seed: int
) -> tuple[list[LoggedError], list[LoggedError]]:
    order = np.random.default_rng(seed).permutation(len(errors))
    chosen = set(order[:joining].tolist())
    return (
        [error for i, error in enumerate(errors) if i in chosen],
        [error for i, error in enumerate(errors) if i not in chosen],
    )


def _labels(errors: Sequence[LoggedError]) -> list[tuple[Path, str]]:
    return [(Path(error.image_path), error.true_label) for error in errors]


def _of(references: Sequence[ReferenceImage], split: str) -> list[tuple[Path, str]]:
    return [(Path(each.image_path), each.label) for each in references if each.split == split]


def _load(model: RegisteredModel, images: Sequence[tuple[Path, str]], progress: Progress) -> Labelled:
    labels = np.array([model.class_names.index(label) for _, label in images], np.int64)
    return Labelled(load_images([path for path, _ in images], spec_of(model).preprocessing, progress), labels)


def retrain(
    workspace: Workspace, material: Material, progress: Progress = None
) -> tuple[Retraining, RegisteredModel]:
    """Fine-tune a copy of the deployed model and judge it; the deployed model is not touched.

    Returns the retraining and the candidate's record; the caller stores both. `progress` receives the
    number of images after every step.
    """
    started, settings, model = datetime.now(UTC), workspace.settings, material.model
    if not len(material.train):
        raise ModelError(
            f"model {model.model_hash[:12]} has no training images among its references; register it with a "
            "reference set that has a train split (or none, and one image in five is kept for validation)"
        )
    deployed = load(workspace.root, model, settings.compute.device)
    spec, device = spec_of(model), deployed.device
    network = build_network(spec.architecture, len(spec.class_names), spec.preprocessing.channels)
    load_weights(network, deployed.network.state_dict(), model.weights_path)
    fit(
        network,
        spec.preprocessing,
        mixed(material.train, material.logged, settings.recipe.logged_share, settings.compute.seed),
        Training.fine_tuning(
            settings,
            epochs(material, settings),
            deployed,
            [with_recipe(material.recipe, material.recipe_folder)] if material.recipe else [],
        ),
        progress,
    )
    candidate = Classifier(network, spec.class_names, spec.preprocessing, device)
    record = keep(
        workspace, network, spec, "candidate", model.model_hash, f"retrained for {material.mode.mode_id}"
    )
    return _judged(workspace.settings, material, deployed, candidate, record, started), record


def with_recipe(recipe: Recipe, folder: Path) -> Augmentation:
    """The recipe, whose file lies in `folder`, as a step of training."""
    transform = RecipeTransform(recipe, folder)
    return lambda image, epoch, index: transform(image, epoch=epoch, index=index)


def _judged(
    settings: Settings,
    material: Material,
    deployed: Classifier,
    candidate: Classifier,
    record: RegisteredModel,
    started: datetime,
) -> Retraining:
    judging = [(material.failing_name, material.failing), (CLEAN, material.clean)]
    judging += [(OTHERS, material.others)] if len(material.others) else []
    accuracies = tuple(
        compare(name, data.labels, deployed.class_names, right(deployed, data), right(candidate, data))
        for name, data in judging
    )
    others = accuracies[2] if len(accuracies) > 2 else None
    accepted, reasons = judge(accuracies[0], accuracies[1], settings.acceptance, others)
    if material.failing_name == LOGGED:
        reasons += (ONLY_ERRORS,)
    return Retraining(
        retraining_id=f"{material.mode.mode_id}-{uuid4().hex[:8]}",
        mode_id=material.mode.mode_id,
        model_hash=material.model.model_hash,
        candidate_hash=record.model_hash,
        started_at=started,
        finished_at=datetime.now(UTC),
        accepted=accepted,
        reasons=reasons,
        accuracies=accuracies,
        settings=settings.model_dump(mode="json"),
        logged_images=len(material.logged),
    )


def epochs(material: Material, settings: Settings) -> int:
    """Passes over the training images: as set, and more where they are so few that the steps would be."""
    steps = max(1, len(material.train) // settings.training.batch_size)
    return max(settings.training.fine_tune_epochs, math.ceil(settings.training.fine_tune_steps / steps))


def images_to_train(material: Material, settings: Settings) -> int:
    """How many images the fine-tuning passes over, for a progress bar."""
    return len(material.train) * epochs(material, settings)
