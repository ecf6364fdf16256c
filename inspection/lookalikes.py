"""Lookalikes: for every error the reference image that is most like it, as it is and under a change.

The parts of a class are not all alike, and a log holds those that a fault makes fail. So every error is set
against one part, the one that it resembles: a change of the world makes images that no reference image is
like until it is changed alike, while parts that are always hard, rare in their class or under a wrong label
resemble reference images as they are.

The same parts stand on both sides: those that a change is tried on, and those parts as they are, beside as
many of the class that the model took the error for. Where a change has nothing to do with the errors, it is a
toss-up at best which of the two is nearer.
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

TRIED = 128  # reference images, about, that a change is tried on
OF_A_CLASS = 16  # of them of every class that the errors have, at least, where there are as many
SIGNIFICANCE = 0.1  # eight of ten errors, or all of four
Candidates = Callable[[int, int], NDArray[np.int64]]
"""Positions of the images that an error of one class, taken for another, may be most like."""


@dataclass(frozen=True, slots=True)
class Rivals:
    """What explanations explain in which no image changed."""

    any_day: Shares  # errors that the model makes without a fault
    own: Shares  # for each error the most like of the images of its class that a change is tried on
    either: Shares  # the same, of its class or of the one that the model took it for
    mistaken: float  # share of the errors that are most like a reference image of the predicted class


@dataclass(frozen=True, slots=True)
class Likeness:
    """How well a change of the reference images accounts for errors, one by one."""

    shares: Shares  # explained by the changed reference images of their own classes most like them
    nearer: int  # errors that are nearer to those than to any of as many as they are
    errors: int

    @property
    def nearer_share(self) -> float:
        """The share of the errors that are nearer to a changed reference image."""
        return self.nearer / self.errors

    @property
    def unexplained(self) -> float:
        """What the shares leave over, times the share of errors that are not nearer: at least a fiftieth."""
        return self.shares.unexplained * max(1 - self.nearer_share, 0.02)

    @property
    def beyond_chance(self) -> bool:
        """Whether that share is above a half: a sign test (an exact binomial test, one-sided)."""
        return bool(binomtest(self.nearer, self.errors, 0.5, "greater").pvalue < SIGNIFICANCE)


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
    tried: NDArray[np.int64]  # positions of the known images that a change is tried on
    distances: FloatArray  # (errors,) from the most like of them and of as many of the predicted class
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
        positions = self.responses.drawn[self.tried]
        pool = self.subject.labelled.subset(positions)
        rows, _ = standardised(self.subject, change(pool.images), pool.labels)
        found, which, distances = most_alike(
            self.rows,
            self.evidence.weights,
            (self.true, self.true),
            (rows, pool.labels, self.responses.normal),
            _of_classes(pool.labels),
        )
        return found, positions[which], distances


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
    tried = positions_tried(responses.labels, true)
    mine, both = (true, true), (true, predicted)
    own, _, _ = most_alike(rows, evidence.weights, mine, known, _of_classes(responses.labels, tried))
    either, which, _ = most_alike(rows, evidence.weights, both, known, _of_classes(responses.labels))
    _, _, distances = most_alike(rows, evidence.weights, both, known, _as_many(responses.labels, tried))
    rivals = Rivals(
        evidence.shares(Induced(np.zeros_like(evidence.observed), responses.of_any_day(screening.true))),
        evidence.shares_alone(own.mean(0)),
        evidence.shares_alone(either.mean(0)),
        float((responses.labels[which] == predicted).mean()),
    )
    return Lookalikes(subject, responses, evidence, seen, rows, true, tried, distances, rivals)


def most_alike(
    errors: FloatArray,
    weights: FloatArray,
    classes: tuple[NDArray[np.int64], NDArray[np.int64]],
    pool: tuple[FloatArray, NDArray[np.int64], FloatArray],
    candidates: Candidates,
) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
    """The image of a pool most like each error: row, position in the pool, distance.

    `errors` (errors, filters + entries) are shifts from the normal of their classes, the first of
    `classes`, and so are the rows returned; the second are other classes, which `candidates` is asked with.
    `pool` has shifts (images, filters + entries), the labels from whose normal they are, and what is normal
    (classes, filters + entries). The distance is the sum of squared differences under `weights`.
    """
    scale = np.sqrt(weights)
    known, labels, normal = pool
    found, which = np.zeros_like(errors), np.zeros(len(errors), np.int64)
    distances = np.zeros(len(errors), np.float32)
    true, other = classes
    for t, o in np.unique(np.stack([true, other], axis=1), axis=0).tolist():
        among = candidates(t, o)
        parts = known[among] + normal[labels[among]] - normal[t]
        mine = np.flatnonzero((true == t) & (other == o))
        here, there = errors[mine] * scale, parts * scale
        best = ((there**2).sum(1) - 2 * here @ there.T).argmin(1)
        found[mine], which[mine] = parts[best], among[best]
        distances[mine] = ((here - there[best]) ** 2).sum(1)
    return found, which, distances


def _of_classes(labels: NDArray[np.int64], among: NDArray[np.int64] | None = None) -> Candidates:
    """All images of either class, or those of them at some positions; where there is none, of all classes."""
    everybody = np.arange(len(labels)) if among is None else among

    def candidates(true: int, other: int) -> NDArray[np.int64]:
        found = everybody[np.isin(labels[everybody], (true, other))]
        return found if len(found) else everybody

    return candidates


def _as_many(labels: NDArray[np.int64], tried: NDArray[np.int64]) -> Candidates:
    """The images that a change is tried on, and as many of the other class."""
    of_class = _of_classes(labels, tried)

    def candidates(true: int, other: int) -> NDArray[np.int64]:
        own = of_class(true, true)
        return np.unique(np.concatenate([own, _spread(np.flatnonzero(labels == other), len(own))]))

    return candidates


def _spread(positions: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """So many of the positions, or all, evenly from first to last."""
    chosen = np.linspace(0, len(positions) - 1, min(count, len(positions))).astype(int)
    return np.asarray(positions[chosen], np.int64)


def positions_tried(labels: NDArray[np.int64], true: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the images that a change is tried on, of classes as often as errors have them.

    Among images of classes `labels`, for errors of the classes `true`; of all classes where no error's has
    an image.
    """
    counts = np.bincount(true, minlength=labels.max() + 1)[: labels.max() + 1]
    counts = counts * np.isin(np.arange(len(counts)), labels)
    counts = counts if counts.any() else np.bincount(labels)
    rooms = np.maximum(np.ceil(TRIED * counts / counts.sum()), OF_A_CLASS).astype(int)
    chosen = [_spread(np.flatnonzero(labels == label), rooms[label]) for label in np.flatnonzero(counts)]
    return np.sort(np.concatenate(chosen))
