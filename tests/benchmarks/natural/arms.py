"""The arms: what each way of mending makes of the model, on images that nobody trained on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import torch
from numpy.typing import NDArray

import inspection.operations
from fmi_engine.classifier import Classifier
from inspection.inputs.labelled import Labelled
from inspection.models.training import Augmentation, mixed
from inspection.progress import Progress
from inspection.recipes.recipe import load_recipe, sample_generators
from inspection.retraining.arms import logged_share, with_recipes
from inspection.retraining.material import ModeRecipe
from inspection.workspace.files import sha256_of, write_whole
from tests.benchmarks.candidates import epochs_of, fine_tune
from tests.benchmarks.diagnosing import explained
from tests.benchmarks.natural.night import Shift, log_of

FEW, SOME = 10, 35  # logged images
ARMS = (
    "before",
    "nothing",
    "generic",
    f"logged_{FEW}",
    f"logged_{SOME}",
    "logged_all",
    "recipe",
    "recipe_logged",
    "ceiling",
)
TRAINING = (
    "fmi_engine.classifier",
    "inspection.retraining.arms",
    "inspection.models.training",
    "inspection.networks",
    "inspection.recipes.overlays",
    "inspection.recipes.recipe",
    "tests.benchmarks.candidates",
    "tests.benchmarks.natural.arms",
)  # modules that say what a training is, beside the operations
Night = Mapping[str, Any]
Answers = dict[str, list[int]]  # of the images of `judging`, by name: the class that each is taken for


@dataclass(frozen=True, slots=True)
class Arm:
    """What one arm trains with, beside the training images of the old condition."""

    recipes: tuple[tuple[str, int], ...] = ()  # files, and how many errors each is for
    generic: bool = False
    logged: int = 0  # of the night's errors, drawn at random; those of a larger arm hold those of a smaller
    share: float = 0.0  # of the training images that logged ones take
    ceiling: bool = False  # every image of the line, with its label, logged or not


def arms_of(night: Night, share: float) -> dict[str, Arm]:
    """The arms of a night that train, by name; `forced NAME` for each of its operations that is forced.

    Without a claim the night's recipes are none: that arm does nothing, and with the log it is
    the log alone. `share` is that of the settings: see `logged_share`.
    """
    errors = int(night["errors"])
    recipes = tuple((each["recipe"], each["errors"]) for each in night["modes"] if each["recipe"])
    claims = {f"claim {number}": ((recipe, 1),) for number, recipe in claimed(night).items()}
    forced = {f"forced {name}": ((recipe, 1),) for name, recipe in night["forced"].items()}
    logged = {"logged_10": FEW, "logged_35": SOME, "logged_all": errors}
    return {
        "nothing": Arm(),
        "generic": Arm(generic=True),
        **{name: _logged(min(count, errors), share) for name, count in logged.items()},
        "recipe": Arm(recipes),
        "recipe_logged": Arm(recipes, logged=errors, share=logged_share(share, explained(night)))
        if recipes
        else _logged(errors, share),
        "ceiling": Arm(ceiling=True),
        **{name: Arm(alone) for name, alone in (claims | forced).items()},
    }


def claimed(night: Night) -> dict[int, str]:
    """The recipes of a night's claims, by the number of their modes, counted from 1."""
    return {number: each["recipe"] for number, each in enumerate(night["modes"], 1) if each["recipe"]}


def _logged(count: int, share: float) -> Arm:
    return Arm(logged=count, share=logged_share(share, 0.0)) if count else Arm()


# --- training ---


def judging(shift: Shift) -> dict[str, Labelled]:
    """Unseen images under the new condition and the old, and what the gate of a retraining judges by."""
    world = shift.world
    return {"new": world.judge, "old": shift.old, "clean": world.clean, "line": world.logs}


def answers_of(shift: Shift, classifier: Classifier) -> Answers:
    """What a model makes of all of them."""
    size = shift.world.subject.settings.compute.batch_size
    return {
        name: classifier.predict(data.images, size).argmax(1).tolist()
        for name, data in judging(shift).items()
    }


def trained(shift: Shift, arm: Arm, steps: int, folder: Path, progress: Progress = None) -> Answers:
    """The answers of an arm's candidate, or those that an earlier run kept."""
    path = kept_at(shift, arm, steps, folder)
    found = read_answers(path)
    if found is None:
        changes, data = _changes(shift, arm), _data(shift, arm)
        epochs = epochs_of(shift.world, data, steps)
        found = answers_of(shift, fine_tune(shift.world, changes, data, epochs, progress))
        write_whole(path, json.dumps(found).encode())
    return found


def read_answers(path: Path) -> Answers | None:
    """Answers that were kept; None where there are none."""
    if not path.is_file():
        return None
    found: Answers = json.loads(path.read_text(encoding="utf-8"))
    return found


def kept_at(shift: Shift, arm: Arm, steps: int, folder: Path) -> Path:
    """Where the answers of a training are kept: by all that decides them, whatever diagnosis asked for it.

    But for the code, which the name of the folder tells.
    """
    world, settings = shift.world, shift.world.subject.settings
    judged = hashlib.sha256(b"".join(each.images.tobytes() for each in judging(shift).values())).hexdigest()
    data = _data(shift, arm)
    held = hashlib.sha256(data.images.tobytes() + data.labels.tobytes()).hexdigest()
    recipes = [[_content(Path(path)), weight] for path, weight in arm.recipes]
    made_of = [
        world.model.model_hash,
        steps,
        settings.training.model_dump(mode="json"),
        settings.compute.seed,
        torch.__version__,
        judged,
        held,
        recipes if len(recipes) > 1 else recipes and recipes[0][0],
        arm.generic and A.to_dict(_generic()),
    ]
    key = hashlib.sha256(json.dumps(made_of, default=str).encode()).hexdigest()[:16]
    return folder / f"{key}.json"


def _content(path: Path) -> list[object]:
    """What a recipe does, without what it says of where it comes from."""
    recipe = load_recipe(path)
    return [recipe.pipeline, recipe.share, recipe.seed]


def training_code() -> str:
    """The hash of the code that a training rests on, which that of a diagnosis is no part of."""
    files = [Path(import_module(name).__file__ or "") for name in TRAINING]
    files += sorted(Path(inspection.operations.__path__[0]).rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:10]


def _data(shift: Shift, arm: Arm) -> Labelled:
    world = shift.world
    if arm.ceiling:
        return Labelled(
            np.concatenate([world.train.images, world.logs.images]),
            np.concatenate([world.train.labels, world.logs.labels]),
        )
    if not arm.logged:
        return world.train
    log, _ = log_of(shift)
    drawn = np.random.default_rng([world.seed, 8]).permutation(len(log.errors))[: arm.logged]
    return mixed(world.train, log.errors.subset(np.sort(drawn)), arm.share, world.seed)


def _changes(shift: Shift, arm: Arm) -> list[Augmentation]:
    seed = shift.world.seed
    if arm.generic:
        return [generic_augmentation(seed)]
    if not arm.recipes:
        return []
    recipes = [
        ModeRecipe(load_recipe(path), Path(path).parent, sha256_of(Path(path)), errors)
        for path, errors in arm.recipes
    ]
    return [with_recipes(recipes, seed)]


def generic_augmentation(seed: int) -> Augmentation:
    """What an engineer puts in who does not know the cause; flips and shifts are in every training here."""
    transform = _generic()

    def augment(image: NDArray[np.uint8], epoch: int, index: int) -> NDArray[np.uint8]:
        transform.set_random_state(*sample_generators(seed, epoch, index))
        changed: NDArray[np.uint8] = transform(image=image)["image"]
        return changed.reshape(image.shape)

    return augment


def _generic() -> A.Compose:
    return A.Compose(
        [
            A.RandomBrightnessContrast(0.2, 0.2, p=0.5),
            A.GaussianBlur(blur_limit=0, sigma_limit=(0.3, 1.5), p=0.3),
            A.GaussNoise(std_range=(0.01, 0.06), p=0.3),
        ]
    )
