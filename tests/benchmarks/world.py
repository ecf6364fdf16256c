"""One data set, one seed: a model trained as `fmi train` does, and the line's images it never saw."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection.evidence.subject import Subject, open_subject
from inspection.findings import RegisteredModel
from inspection.inputs.image_sets import LabelledImage, read_image_set
from inspection.inputs.images import Reading
from inspection.inputs.labelled import Labelled, load_images
from inspection.models import first_model
from inspection.models import registry as models
from inspection.models.training import forget_unfinished
from inspection.workspace.folder import create_workspace
from inspection.workspace.settings import Settings
from inspection.workspace.store import Store

Progress = Callable[[int], None] | None
LINE_SHARE = 0.4  # of the images: they stand in for the line, and the model never sees them
MOST_ERRORS = 200  # of a night
JUDGE_SHARE = 0.5  # of the line's images that no log ever holds: they judge the candidates


@dataclass(frozen=True, slots=True)
class World:
    """A deployed model, what it was trained on, and the line's images before any fault."""

    name: str  # of the data set
    seed: int
    subject: Subject
    train: Labelled
    clean: Labelled  # validation images
    logs: Labelled  # the line's images that logs are drawn from
    judge: Labelled  # the line's images that judge candidate models

    @property
    def model(self) -> RegisteredModel:
        """The deployed model."""
        return self.subject.model

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.model.class_names)


@dataclass(frozen=True, slots=True)
class Log:
    """The errors of one night, as the operator corrected them."""

    errors: Labelled  # images as the camera took them, and the verdicts' labels
    planted: NDArray[np.int64]  # (errors,): which of the night's faults lies on each; -1 for none
    accuracy: float = float("nan")  # of the deployed model on the night's parts
    right: Labelled | None = None  # the parts that the model had right


def logged_rows(world: World, line: Labelled) -> tuple[NDArray[np.int64], float]:
    """Which parts of the line a night's log holds (rows), and how many the model gets right (accuracy).

    Of more than `MOST_ERRORS` every second, every third and so on.
    """
    wrong = np.flatnonzero(~_right(world, line))
    accuracy = 1 - len(wrong) / len(line)
    return wrong[:: _every(len(wrong))], accuracy


def right_rows(world: World, line: Labelled) -> NDArray[np.int64]:
    """Which parts that the model has right a night's log holds (rows): as large a share as of its errors."""
    right = _right(world, line)
    return np.flatnonzero(right)[:: _every(int((~right).sum()))]


def _right(world: World, line: Labelled) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = world.subject.classifier.predict(line.images).argmax(1) == line.labels
    return found


def _every(wrong: int) -> int:
    return max(1, -(-wrong // MOST_ERRORS))


@dataclass(frozen=True, slots=True)
class Deployed:
    """A model that was trained and registered as a plant does it, with the images it rests on."""

    subject: Subject
    train: Labelled
    clean: Labelled  # validation images
    how: Reading  # of the images, one decision for all

    def load(self, images: Sequence[LabelledImage]) -> Labelled:
        """Decode images as those that it was trained on; those of a class that it lacks are left out."""
        names = self.subject.model.class_names
        known = [each for each in images if each.label in names]
        labels = np.array([names.index(each.label) for each in known], np.int64)
        paths = [each.path for each in known]
        preprocessing = self.subject.classifier.preprocessing
        return Labelled(load_images(paths, preprocessing, how=self.how), labels)


def deploy(
    root: Path,
    seed: int,
    references: Sequence[LabelledImage],
    request: first_model.FirstModelRequest,
    progress: Progress = None,
) -> Deployed:
    """Train a first model in the workspace `root` as `fmi train` does, or take the one kept there."""
    workspace = create_workspace(root)
    workspace = type(workspace)(workspace.root, Settings(compute={"seed": seed}))
    store = Store(workspace.store_path)
    store.create()
    plan = first_model.plan_training(workspace.settings, references, request)
    data = first_model.load_splits(plan)
    if not store.models():
        unfinished = workspace.unfinished
        network, spec = first_model.train(workspace.settings, plan, data, progress, unfinished)
        store.add_model(models.keep(workspace, network, spec), plan.references)
        forget_unfinished(unfinished, first_model.UNFINISHED)
    model = store.model()
    subject = open_subject(workspace, model, store.references(model.model_hash))
    return Deployed(subject, *data, plan.how)


def open_world(
    source: Path,
    seed: int,
    size: int,
    epochs: int,
    cache: Path,
    where: str | None = None,
    architecture: str = "",
    progress: Progress = None,
) -> World:
    """Train the base model of a data set and a seed, or take the one that an earlier run left."""
    images = read_image_set(source, where)
    references, line = split_line(images)
    root = cache / f"world-{key_of(images, size, epochs, architecture)}-{seed}"
    request = first_model.FirstModelRequest((), architecture, (size, size), 0, epochs)
    base = deploy(root, seed, references, request, progress)
    pool = base.load(line)
    judged = _judging(pool.labels, seed)
    logs, judge = pool.subset(~judged), pool.subset(judged)
    return World(source.name, seed, base.subject, base.train, base.clean, logs, judge)


def some_images(
    source: Path, size: int, where: str | None = None, architecture: str = "", count: int = 4
) -> NDArray[np.uint8]:
    """A few images of a data set, as its world will have them: (count, size, size, channel)."""
    references, _ = split_line(read_image_set(source, where))
    request = first_model.FirstModelRequest((), architecture, (size, size))
    plan = first_model.plan_training(Settings(), references, request)
    few = plan.references[:: -(-len(plan.references) // count)]
    return np.concatenate([each.images for each in first_model.load_splits(replace(plan, references=few))])


def split_line(images: Sequence[LabelledImage]) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Images to train and validate on, and those of the line, drawn anew whatever splits there are.

    A set's own test images may differ from the rest by more than the planted fault (other cells, another
    camera), and a night without a fault has to be one.
    """
    drawn = [LabelledImage(each.path, each.label, None) for each in images]
    line = [each for each in drawn if _share_of(each) < LINE_SHARE]
    return [each for each in drawn if _share_of(each) >= LINE_SHARE], line


def _share_of(image: LabelledImage) -> float:
    name = f"line/{image.label}/{image.path.name}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:4]) / 2**32


def _judging(labels: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Which images judge: the same share of every class."""
    rng = np.random.default_rng([seed, 1])
    judging = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        judging[rows[: round(JUDGE_SHARE * len(rows))]] = True
    return judging


def key_of(
    images: Sequence[LabelledImage], size: int, epochs: int, architecture: str, good: Sequence[str] = ()
) -> str:
    """What tells one base model from another: what its images hold, whatever they are called."""
    listed = [[hashlib.sha256(each.path.read_bytes()).hexdigest(), each.label, each.split] for each in images]
    text = json.dumps([listed, size, epochs, architecture, *good])
    return hashlib.sha256(text.encode()).hexdigest()[:10]
