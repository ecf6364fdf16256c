"""The retraining comparison: what each way of mending does to images that nobody trained on."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fmi_engine.classifier import Classifier
from fmi_engine.vision import torchvision
from inspection.inputs.labelled import Labelled
from inspection.models.comparison import right
from inspection.models.training import Augmentation, mixed
from inspection.recipes.recipe import load_recipe, sample_generators
from inspection.retraining.arms import logged_share, renormalised, with_recipe
from inspection.workspace.settings import Settings
from tests.benchmarks.candidates import fine_tune
from tests.benchmarks.faults.nights import under
from tests.benchmarks.planted import Fault, plant
from tests.benchmarks.world import World

ARMS = (
    "plain",
    "generic",
    "logged",
    "generic_logged",
    "normalisation",
    "recipe",
    "recipe_logged",
    "ceiling",
)
MEASURES = ("faulted", "drifted", "unlogged_classes", "clean")
DRIFT = 1.5  # of the strength as logged
CHANGED_SHARE = 0.5  # of the images that the true fault changes in the ceiling, as the recipe does
WEAKEST, STRONGEST = 0.2, 1.3  # of the fault's strength in the ceiling, as in the recipe
JUDGING = 99  # the seed of the faults on the images that judge


@dataclass(frozen=True, slots=True)
class Material:
    """What the arms of one fault, one seed and one count of logged images have to work with."""

    fault: Fault
    strength: float
    logged: Labelled
    classes: NDArray[np.int64]  # that the log holds
    unlabelled: NDArray[np.uint8]  # the line's images under the fault
    judging: Mapping[str, Labelled]  # images that nobody trained on: faulted, drifted and clean
    recipe: Path | None  # None: the night claimed no cause
    explained: float  # share of the errors' shift that the recipe's cause explains


def train_arm(world: World, material: Material, arm: str, epochs: int) -> Classifier:
    """The candidate of one arm. Every arm that trains takes the same number of steps of the same size."""
    if arm == "normalisation":
        return renormalised(world.subject.classifier, material.unlabelled, world.subject.settings)
    recipe = [with_recipe(load_recipe(material.recipe), material.recipe.parent)] if material.recipe else []
    changes: Mapping[str, list[Augmentation]] = {
        "generic": [generic_augmentation(world.seed)],
        "generic_logged": [generic_augmentation(world.seed)],
        "recipe": recipe,
        "recipe_logged": recipe,
        "ceiling": [_true_fault(material, world.seed)],
    }
    share = 0.0
    if arm.endswith("logged"):  # as `fmi retrain` does; without a recipe the log has to mend it alone
        explained = material.explained if arm == "recipe_logged" and recipe else 0.0
        share = logged_share(world.subject.settings.recipe.logged_share, explained)
    data = mixed(world.train, material.logged, share, world.seed)
    return fine_tune(world, changes.get(arm, []), data, epochs)


def judging_images(world: World, fault: Fault, strength: float) -> dict[str, Labelled]:
    """Images that nobody trained on: with the fault as logged, with the fault drifted, and clean."""
    judge, found = world.judge, {"clean": world.judge}
    for name, times in (("faulted", 1.0), ("drifted", DRIFT)):
        rng = np.random.default_rng([world.seed, JUDGING])
        images = under(judge.images, [fault] * len(judge), times * strength, rng)
        found[name] = Labelled(images, judge.labels)
    return found


def measure(material: Material, candidate: Classifier) -> dict[str, float]:
    """Accuracy on images that nobody trained on; `unlogged_classes` is that of the faulted ones."""
    size = Settings().compute.batch_size
    hits = {name: right(candidate, images, size) for name, images in material.judging.items()}
    unlogged = ~np.isin(material.judging["faulted"].labels, material.classes)
    of_unlogged = hits["faulted"][unlogged]
    found = {name: float(each.mean()) for name, each in hits.items()}
    return found | {"unlogged_classes": float(of_unlogged.mean()) if len(of_unlogged) else float("nan")}


def generic_augmentation(seed: int) -> Augmentation:
    """One of TrivialAugment, RandAugment and AugMix for every image, drawn anew each time.

    Mueller and Hutter, arXiv 2103.10158; Cubuk et al., arXiv 1909.13719; Hendrycks et al., arXiv 1912.02781.
    """
    torchvision()  # first: beside a CPU build of torch it needs help to import
    v2 = importlib.import_module("torchvision.transforms.v2")
    policies: list[Callable[[torch.Tensor], torch.Tensor]] = [
        v2.TrivialAugmentWide(),
        v2.RandAugment(),
        v2.AugMix(),
    ]

    def augment(image: NDArray[np.uint8], epoch: int, index: int) -> NDArray[np.uint8]:
        generator, _ = sample_generators(seed, epoch, index)
        colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(generator.integers(2**31)))
            policy = policies[int(generator.integers(len(policies)))]
            changed = policy(torch.from_numpy(colour.transpose(2, 0, 1).copy())).numpy().transpose(1, 2, 0)
        return np.ascontiguousarray(changed[..., : image.shape[2]])

    return augment


def _true_fault(material: Material, seed: int) -> Augmentation:
    def augment(image: NDArray[np.uint8], epoch: int, index: int) -> NDArray[np.uint8]:
        generator, _ = sample_generators(seed, epoch, index)
        if generator.random() >= CHANGED_SHARE:
            return image
        strength = material.strength * generator.uniform(WEAKEST, STRONGEST)
        return plant(material.fault, image, generator, strength)

    return augment
