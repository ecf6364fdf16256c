"""The nights: which errors a planted fault, two of them, none, or wrong labels leave in a log."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inspection.inputs.labelled import Labelled
from tests.benchmarks.planted import Fault, plant
from tests.benchmarks.world import Log, World, logged_rows, right_rows


def planted_log(world: World, faults: Sequence[Fault], strength: float, seed: int) -> Log:
    """A night on which every part was taken under one of the faults, each for the same share of parts."""
    rng = np.random.default_rng([world.seed, seed])
    which = rng.permutation(np.arange(len(world.logs)) % len(faults))
    images = under(world.logs.images, [faults[i] for i in which], strength, rng)
    return _errors(world, Labelled(images, world.logs.labels), which)


def clean_log(world: World, seed: int) -> Log:
    """A night without a fault: a random part, from a half to all, of what the model gets wrong anyway."""
    rng = np.random.default_rng([world.seed, seed])
    line = _line(world)
    log = _errors(world, line, np.full(len(line), -1))
    kept = rng.random(len(log.errors)) < rng.uniform(0.5, 1.0)
    return Log(log.errors.subset(kept), log.planted[kept])


def mislabelled_log(world: World, seed: int) -> Log:
    """A night on which the model was right and the operator's verdicts were wrong.

    Half of these nights confuse one class with another, half slip at random.
    """
    rng = np.random.default_rng([world.seed, seed])
    line = _line(world)
    right = line.subset(world.subject.classifier.predict(line.images).argmax(1) == line.labels)
    labels = right.labels.copy()
    if rng.random() < 0.5 and world.classes > 2:
        true, said = rng.choice(np.unique(labels), 2, replace=False)
        rows = np.flatnonzero(labels == true)
        labels[rows] = said
    else:
        rows = np.arange(len(labels))
        labels = (labels + rng.integers(1, world.classes, len(labels))) % world.classes
    rows = rng.permutation(rows)[: int(rng.integers(10, 60))]
    return Log(Labelled(right.images[rows], labels[rows]), np.full(len(rows), -1))


def lopsided(world: World, log: Log, count: int, seed: int) -> tuple[Labelled, NDArray[np.int64]]:
    """At most `count` errors of the classes with most, as a real log holds them, and those classes.

    Three classes, or one fewer than there are, so that some are left that the log does not hold.
    """
    rng = np.random.default_rng([world.seed, seed])
    counts = np.bincount(log.errors.labels, minlength=world.classes)
    classes = np.argsort(-counts, kind="stable")[: min(3, world.classes - 1)]
    rows = rng.permutation(np.flatnonzero(np.isin(log.errors.labels, classes)))
    return log.errors.subset(np.sort(rows[:count])), classes


def under(
    images: NDArray[np.uint8], faults: Sequence[Fault], strength: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Images with a fault on each."""
    return np.stack([plant(fault, image, rng, strength) for fault, image in zip(faults, images, strict=True)])


def _line(world: World) -> Labelled:
    return Labelled(
        np.concatenate([world.logs.images, world.judge.images]),
        np.concatenate([world.logs.labels, world.judge.labels]),
    )


def _errors(world: World, line: Labelled, planted: NDArray[np.int64]) -> Log:
    wrong, accuracy = logged_rows(world, line)
    return Log(line.subset(wrong), planted[wrong], accuracy, line.subset(right_rows(world, line)))
