"""Lookalikes: for every error the reference image that is most like it, as it is and under a change.

The parts of a class are not all alike, and a log holds those that a fault makes fail. So every error is set
against one part, the one that it resembles: a change of the world makes images that no reference image is
like until it is changed alike, while parts that are always hard, rare in their class or under a wrong label
resemble reference images as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from fmi_engine.types import FloatArray, Screening
from inspection.matching import LITTLE, Evidence, Shares, looked_at
from inspection.responses import Induced, Responses, standardised
from inspection.subject import Subject

Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Of 8-bit images (images, height, width, channel)."""

TRIED = 256  # reference images, about, that a change is tried on
OF_A_CLASS = 16  # of them of every class that the errors have, at least, where there are as many
SIGNIFICANCE = 0.05


@dataclass(frozen=True, slots=True)
class Rivals:
    """What explanations explain in which no image changed."""

    any_day: Shares  # errors that the model makes without a fault
    own: Shares  # for each error the reference image of its class that is most like it
    either: Shares  # the same, of its class or of the one that the model took it for
    mistaken: float  # share of the errors that are most like a reference image of the predicted class


@dataclass(frozen=True, slots=True)
class Likeness:
    """How well a change of the reference images accounts for errors, one by one."""

    shares: Shares  # explained by the changed reference images of their own classes most like them
    nearer: int  # errors that are nearer to those than to any that is as it was
    errors: int

    @property
    def nearer_share(self) -> float:
        """The share of the errors that are nearer to a changed reference image."""
        return self.nearer / self.errors

    @property
    def unexplained(self) -> float:
        """What the shares leave over, times the share of errors that are not nearer: at least a fiftieth."""
        return self.shares.unexplained * max(1 - self.nearer_share, 0.02)

    def exceeds(self, share: float) -> bool:
        """Whether that share is higher than one given, beyond chance: an exact binomial test, one-sided."""
        return bool(binomtest(self.nearer, self.errors, share, "greater").pvalue < SIGNIFICANCE)


@dataclass(frozen=True, slots=True)
class Example:
    """An error and the reference image of its class that is most like it under a change."""

    error: int  # its position in the group
    reference: NDArray[np.uint8]  # (height, width, channel)
    changed: NDArray[np.uint8]
    distance: float  # from the error, in times that to the nearest reference image as it is


@dataclass(frozen=True, slots=True)
class Lookalikes:
    """The errors of a group (a sample of many) and the reference images most like them."""

    subject: Subject
    responses: Responses
    evidence: Evidence
    seen: NDArray[np.int64]  # (errors,): which of the group's
    rows: FloatArray  # (errors, filters + entries of the look), in sigma, from the normal of their classes
    true: NDArray[np.int64]  # (errors,), classes
    distances: FloatArray  # (errors,) from the reference image most like each, of its class or the predicted
    rivals: Rivals

    def under(self, change: Change) -> Likeness:
        """The reference images of the errors' classes, changed, that are most like them."""
        found, _, distances = self._most_alike(change)
        nearer = int((distances < self.distances).sum())
        return Likeness(self.evidence.shares_alone(found.mean(0)), nearer, len(self.rows))

    def examples(self, change: Change, count: int) -> list[Example]:
        """Some errors with the changed reference images most like them, from the nearest to the farthest."""
        _, positions, distances = self._most_alike(change)
        ratios = np.sqrt(distances / np.maximum(self.distances, LITTLE))
        order = np.argsort(ratios, kind="stable")
        count = min(count, len(order))
        chosen = order[((np.arange(count) + 0.5) * len(order) / count).astype(int)]
        images = self.subject.labelled.images[positions[chosen]]
        return [
            Example(int(self.seen[i]), image, changed, float(ratios[i]))
            for i, image, changed in zip(chosen, images, change(images), strict=True)
        ]

    def _most_alike(self, change: Change) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
        """Rows (errors, filters + entries), positions among the labelled images, and distances."""
        tried = positions_tried(self.subject.labelled.labels, self.true)
        pool = self.subject.labelled.subset(tried)
        rows, _ = standardised(self.subject, change(pool.images), pool.labels)
        found, which, distances = most_alike(
            self.rows, self.evidence.weights, (self.true, self.true), rows, pool.labels, self.responses.normal
        )
        return found, tried[which], distances


def seek_lookalikes(
    subject: Subject,
    screening: Screening,
    images: NDArray[np.uint8],
    responses: Responses,
    evidence: Evidence,
) -> Lookalikes:
    """Find the reference images most like a group's errors; `images` are theirs, in the screening's order."""
    seen = looked_at(subject, len(images))
    true, predicted = screening.true[seen], screening.predicted[seen]
    energy = {name: values[seen] for name, values in screening.energy.items()}
    looks = subject.looks.standardise(images[seen], true)
    rows = np.concatenate([subject.standardise(energy, true), looks], axis=1)
    known = (responses.known, responses.labels, responses.normal)
    own, _, _ = most_alike(rows, evidence.weights, (true, true), *known)
    either, which, distances = most_alike(rows, evidence.weights, (true, predicted), *known)
    rivals = Rivals(
        evidence.shares(Induced(np.zeros_like(evidence.observed), responses.of_any_day(screening.true))),
        evidence.shares_alone(own.mean(0)),
        evidence.shares_alone(either.mean(0)),
        float((responses.labels[which] == predicted).mean()),
    )
    return Lookalikes(subject, responses, evidence, seen, rows, true, distances, rivals)


def most_alike(
    errors: FloatArray,
    weights: FloatArray,
    classes: tuple[NDArray[np.int64], NDArray[np.int64]],
    pool: FloatArray,
    labels: NDArray[np.int64],
    normal: FloatArray,
) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
    """The image of the pool, of either class of `classes`, most like each error: row, position, distance.

    `errors` (errors, filters + entries) are shifts from the normal of their classes, the first of the two,
    and so are the rows returned; `pool` (images, filters + entries) are shifts from the normal of `labels`.
    The distance is the sum of squared differences under `weights`. Where neither class has an image, those
    of all classes are looked at.
    """
    scale = np.sqrt(weights)
    found, which = np.zeros_like(errors), np.zeros(len(errors), np.int64)
    distances = np.zeros(len(errors), np.float32)
    true, other = classes
    for t, o in np.unique(np.stack([true, other], axis=1), axis=0):
        among = np.flatnonzero((labels == t) | (labels == o))
        among = among if len(among) else np.arange(len(labels))
        parts = pool[among] + normal[labels[among]] - normal[t]
        mine = np.flatnonzero((true == t) & (other == o))
        here, there = errors[mine] * scale, parts * scale
        best = ((there**2).sum(1) - 2 * here @ there.T).argmin(1)
        found[mine], which[mine] = parts[best], among[best]
        distances[mine] = ((here - there[best]) ** 2).sum(1)
    return found, which, distances


def positions_tried(labels: NDArray[np.int64], true: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the reference images that a change is tried on, each class as often as errors have it.

    Of classes `labels`, for errors of the classes `true`; of all classes where no error's has an image.
    """
    counts = np.bincount(true, minlength=labels.max() + 1)[: labels.max() + 1]
    counts = counts * np.isin(np.arange(len(counts)), labels)
    counts = counts if counts.any() else np.bincount(labels)
    rooms = np.maximum(np.ceil(TRIED * counts / counts.sum()), OF_A_CLASS).astype(int)
    chosen = []
    for label in np.flatnonzero(counts):
        mine = np.flatnonzero(labels == label)
        chosen.append(mine[np.linspace(0, len(mine) - 1, min(rooms[label], len(mine))).astype(int)])
    return np.sort(np.concatenate(chosen))
