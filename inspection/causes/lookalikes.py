"""Lookalikes: for every error the reference image that is most like it, as it is and under a change.

The parts of a class are not all alike, and a log holds those that a fault makes fail. So every error is set
against one part, the one that it resembles: a change of the world makes images that no reference image is
like until it is changed alike, while parts that are always hard, rare in their class or under a wrong label
resemble reference images as they are.

A change is tried on the reference images that the errors may have been before it: those most like an error
once the mean shift of all errors is taken off it. Any of a class may be among them, so that a change has as
many parts to choose from as there are unchanged ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from fmi_engine.response import slope_at
from fmi_engine.types import FloatArray, Screening
from inspection.evidence.responses import Induced, Responses, standardised
from inspection.evidence.shift import LITTLE, Evidence, Path, Shares, looked_at
from inspection.evidence.subject import Subject
from inspection.operations.catalogue import Steps, find_operation

Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Of 8-bit images (images, height, width, channel)."""

TRIED = 128  # reference images that a change is tried on, or one for every error where those are more
REFINED = 2  # strengths, at most, that are tried after the first
FARTHEST = 2.0  # times the strength that a refinement begins with, or one part in as many, at most
TWEAK = 0.05  # of a strength: less is not worth another try
SIGNIFICANCE = 0.1  # of a sign test: eight of ten errors, or all of four
_LOCK = Lock()  # of what a subject keeps


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
class Trial:
    """An operation as it was tried on lookalikes."""

    strength: float
    likeness: Likeness
    further: float  # how much stronger it would have to be for nothing to be left along its path
    promise: Likeness  # what it would explain there, were the same reference images most like the errors


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
    candidates: NDArray[
        np.int64
    ]  # positions of the known images that an error may have been, likeliest first
    tried: int  # of them: those that a change is tried on
    distances: FloatArray  # (errors,) from the reference image most like each, of its class or the predicted
    rivals: Rivals

    def under(self, change: Change, everywhere: bool = False) -> Likeness:
        """The reference images of the errors' classes, changed, that are most like them.

        `everywhere` tries the change on all of them, which takes longer. It finds others where a change
        lies elsewhere on every image, so that no mean shift tells which image an error was.
        """
        return self._under(change, len(self.candidates) if everywhere else self.tried)[0]

    def _under(self, change: Change, tried: int) -> tuple[Likeness, FloatArray]:
        """The likeness, and what of the observed shift (filters + entries,) is left."""
        found, _, distances = self._most_alike(change, tried)
        shift, nearer = found.mean(0), int((distances < self.distances).sum())
        likeness = Likeness(self.evidence.shares_alone(shift), nearer, len(self.rows))
        return likeness, self.evidence.observed - shift

    def at(self, operation: str, strength: float, path: Path) -> Trial:
        """An operation, whose `path` is that of the catalogue, at a strength."""
        likeness, left = self._under(Steps(((operation, strength),)), self.tried)
        slope = slope_at(strength, path[0], [each.shift for each in path[1]])
        weighed = self.evidence.weights * slope
        further = float(weighed @ left) / max(float(weighed @ slope), LITTLE)
        shares = self.evidence.shares_alone(self.evidence.observed - left + np.float32(further) * slope)
        return Trial(strength, likeness, further, replace(likeness, shares=shares))

    def refined(self, operation: str, path: Path, first: Trial) -> Trial:
        """The operation at the strength, about that of a first trial, at which it accounts best.

        The mean shift of all reference images tells a strength roughly: which of them a log holds changes
        with it. What the changed lookalikes leave of the shift tells how much further to go, and again the
        same at two strengths (a secant).
        """
        weakest = first.strength / FARTHEST
        strongest = min(first.strength * FARTHEST, find_operation(operation).limit)
        trials = [first]
        while len(trials) <= REFINED:
            strength = float(np.clip(_next(trials), weakest, strongest))
            if any(abs(strength - each.strength) < TWEAK * each.strength for each in trials):
                break
            trials.append(self.at(operation, strength, path))
        return min(trials, key=lambda each: each.likeness.unexplained)

    def ratios(self, change: Change) -> FloatArray:
        """How far each error (errors,) is from the changed reference image of its class most like it.

        In times the distance to the nearest reference image as it is: below 1, it is nearer to the changed.
        """
        _, _, distances = self._most_alike(change, self.tried)
        return self._in_times(distances)

    def examples(self, change: Change, count: int) -> list[Example]:
        """Some errors with the changed reference images most like them, from the nearest to the farthest."""
        _, positions, distances = self._most_alike(change, self.tried)
        ratios = self._in_times(distances)
        order = np.argsort(ratios, kind="stable")
        count = min(count, len(order))
        chosen = order[((np.arange(count) + 0.5) * len(order) / count).astype(int)]
        images = self.subject.labelled.images[positions[chosen]]
        return [
            Example(int(self.seen[i]), image, changed, float(ratios[i]))
            for i, image, changed in zip(chosen, images, change(images), strict=True)
        ]

    def _in_times(self, distances: FloatArray) -> FloatArray:
        return np.asarray(np.sqrt(distances / np.maximum(self.distances, LITTLE)), np.float32)

    def _most_alike(self, change: Change, tried: int) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
        """Rows (errors, filters + entries), positions among the labelled images, and distances."""
        positions = self.responses.drawn[np.sort(self.candidates[:tried])]
        rows, labels = _under(self.subject, change, positions), self.subject.labelled.labels[positions]
        found, which, distances = most_alike(
            self.rows, self.evidence.weights, (self.true, self.true), rows, labels, self.responses.normal
        )
        return found, positions[which], distances


def _next(trials: Sequence[Trial]) -> float:
    """The strength to try next: where what is left along the path would be nothing."""
    last = trials[-1]
    if len(trials) > 1:
        fallen = trials[-2].further - last.further
        rise = last.strength - trials[-2].strength
        return last.strength + (last.further * rise / fallen if fallen else 0.0)
    return last.strength + last.further


def _under(subject: Subject, change: Change, positions: NDArray[np.int64]) -> FloatArray:
    """Rows (images, filters + entries) of labelled images under a change, in sigma.

    Those under operations are kept for a while: the division of a group, its diagnosis and the examples of
    the report ask for the same.
    """
    key = (change, positions.tobytes())
    with _LOCK:
        rows = subject.changed.get(key)
    if rows is None:
        pool = subject.labelled.subset(positions)
        rows, _ = standardised(subject, change(pool.images), pool.labels)
        if isinstance(change, Steps):
            with _LOCK:
                subject.changed[key] = rows
    return rows


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
    candidates, tried = order_candidates(rows - evidence.observed, evidence.weights, true, *known)
    rivals = Rivals(
        evidence.shares(Induced(np.zeros_like(evidence.observed), responses.of_any_day(screening.true))),
        evidence.shares_alone(own.mean(0)),
        evidence.shares_alone(either.mean(0)),
        float((responses.labels[which] == predicted).mean()),
    )
    return Lookalikes(subject, responses, evidence, seen, rows, true, candidates, tried, distances, rivals)


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


def order_candidates(
    before: FloatArray,
    weights: FloatArray,
    true: NDArray[np.int64],
    pool: FloatArray,
    labels: NDArray[np.int64],
    normal: FloatArray,
) -> tuple[NDArray[np.int64], int]:
    """Positions of the images of the pool that an error may have been, and how many of them to try first.

    `before` (errors, filters + entries) are the errors, of classes `true`, with the mean shift taken off;
    the pool is as in `most_alike`. The images are of the errors' classes, for a class without any of all:
    the one most like each error, then the second of each, and so on. `TRIED` are tried, or one an error.
    """
    scale = np.sqrt(weights)
    rank = np.full(len(labels), len(labels))  # the best place that an image takes among those like an error
    for t in np.unique(true):
        among = np.flatnonzero(labels == t)
        among = among if len(among) else np.arange(len(labels))
        parts = (pool[among] + normal[labels[among]] - normal[t]) * scale
        apart = (parts**2).sum(1) - 2 * (before[true == t] * scale) @ parts.T
        places = apart.argsort(1, kind="stable").argsort(1, kind="stable").min(0)
        rank[among] = np.minimum(rank[among], places)
    firsts, most = int((rank == 0).sum()), int((rank < len(labels)).sum())
    return rank.argsort(kind="stable")[:most].astype(np.int64), min(most, max(TRIED, firsts))
