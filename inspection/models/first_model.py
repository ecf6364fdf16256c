"""A first model for those who have none: planned from labelled images, trained, and described."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from fmi_engine.classifier import Preprocessing, build_network
from inspection.errors import ModelError
from inspection.findings import ReferenceImage
from inspection.inputs.image_sets import LabelledImage, class_names
from inspection.inputs.images import Reading, measured_bit_depth, read_image, reading
from inspection.inputs.labelled import Labelled, load_images
from inspection.models.registry import ModelSpec, check_classes, reference_images, with_answer
from inspection.models.training import Training, fit, unfinished_training
from inspection.progress import Progress
from inspection.provenance import code_of
from inspection.workspace.settings import Settings

UNFINISHED = "first"  # the name of a first model's unfinished training
LOOKED_AT = 16  # images that tell whether a set is grey


@dataclass(frozen=True, slots=True)
class FirstModelRequest:
    """What is asked of a first model; what is left empty, or 0, the settings or the images decide."""

    good_classes: tuple[str, ...] = ()
    architecture: str = ""
    size: tuple[int, int] | None = None  # height, width, pixels
    channels: int = 0
    epochs: int = 0


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What will be trained on what."""

    architecture: str
    class_names: tuple[str, ...]
    good_classes: tuple[str, ...]
    height: int  # pixels
    width: int  # pixels
    channels: int
    epochs: int
    references: list[ReferenceImage]
    how: Reading  # of the images, one decision for all

    @property
    def train(self) -> list[ReferenceImage]:
        """The images to train on."""
        return [each for each in self.references if each.split == "train"]

    @property
    def validation(self) -> list[ReferenceImage]:
        """The images kept for validation."""
        return [each for each in self.references if each.split == "val"]


def plan_training(
    settings: Settings, images: Sequence[LabelledImage], request: FirstModelRequest
) -> TrainingPlan:
    """Decide what to train: splits respected, test images left out, grey sets recognised by looking.

    Raises ModelError where a class has no training image.
    """
    references = reference_images(images)
    names = tuple(class_names(images))
    check_classes(names, request.good_classes)
    trained = {each.label for each in references if each.split == "train"}
    if set(names) - trained:
        raise ModelError(
            f"no training image of class {', '.join(sorted(set(names) - trained))}; every class needs "
            "some in the train split"
        )
    measured = measured_bit_depth((each.path for each in images), settings.images)
    how = reading(settings.images, measured)
    height, width = request.size or (settings.training.input_size, settings.training.input_size)
    return TrainingPlan(
        architecture=request.architecture or settings.training.architecture,
        class_names=names,
        good_classes=request.good_classes,
        height=height,
        width=width,
        channels=request.channels or (1 if _are_grey(references, how) else 3),
        epochs=request.epochs or settings.training.epochs,
        references=references,
        how=how,
    )


def _are_grey(references: Sequence[ReferenceImage], how: Reading) -> bool:
    step = max(1, len(references) // LOOKED_AT)
    return all(_is_grey(Path(each.image_path), how) for each in references[::step])


def _is_grey(path: Path, how: Reading) -> bool:
    image = read_image(path, (64, 64), 3, how)
    return bool(cv2.absdiff(image[..., 0], image[..., 1]).max() == 0) and bool(
        cv2.absdiff(image[..., 1], image[..., 2]).max() == 0
    )


def load_splits(plan: TrainingPlan, progress: Progress = None) -> tuple[Labelled, Labelled]:
    """Decode the training and the validation images."""
    blank = Preprocessing(
        plan.height, plan.width, plan.channels, (0.0,) * plan.channels, (1.0,) * plan.channels
    )
    train, validation = (
        Labelled(
            load_images([Path(each.image_path) for each in part], blank, progress, plan.how),
            np.array([plan.class_names.index(each.label) for each in part], np.int64),
        )
        for part in (plan.train, plan.validation)
    )
    return train, validation


def train(
    settings: Settings,
    plan: TrainingPlan,
    data: tuple[Labelled, Labelled],
    progress: Progress = None,
    unfinished: Path | None = None,
) -> tuple[nn.Module, ModelSpec]:
    """Train the planned network, normalised by the training images' own mean and spread.

    Where a folder for what is `unfinished` is given, a training that ended on the way goes on after its last
    epoch.
    """
    images = data[0].images
    preprocessing = Preprocessing(
        plan.height,
        plan.width,
        plan.channels,
        tuple(float(value) / 255 for value in images.mean((0, 1, 2))),
        tuple(max(float(value) / 255, 1e-3) for value in images.std((0, 1, 2))),
    )
    torch.manual_seed(settings.compute.seed)
    network = build_network(plan.architecture, len(plan.class_names), plan.channels)
    spec = ModelSpec(
        plan.architecture, plan.class_names, plan.good_classes, preprocessing, plan.how.bit_depth
    )
    spec = with_answer(network, spec, len(plan.class_names))
    training = Training.first(settings, plan.epochs)
    made_of = [plan.architecture, *plan.class_names, *code_of(plan.architecture)]
    path = unfinished and unfinished_training(unfinished, UNFINISHED, data[0], training, made_of)
    fit(network, preprocessing, data[0], training, progress, path)
    return network, spec
