"""Nearest reference images: for every error the one most like it, as it is and under a change.

The parts of a class are not all alike, and a log holds those that a fault makes fail. So every error is set
against one part, the one that it resembles: a change of the world makes images that no reference image is
like until it is changed alike, while parts that are always hard, rare in their class or under a wrong label
resemble reference images as they are.

A change is tried on the reference images that the errors may have been before it: those most like an error
once the mean shift of all errors is taken off it. Any of a class may be among them, so that a change has as
many parts to choose from as there are unchanged ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from fmi_engine.chance import at_least
from fmi_engine.response import slope_at
from fmi_engine.types import FloatArray, Screening
from inspection import tuning
from inspection.evidence.place import PlaceMatch, Places
from inspection.evidence.responses import Induced, ResponsePaths, Responses, standardised
from inspection.evidence.shift import LITTLE, Evidence, Shares
from inspection.evidence.subject import Subject
from inspection.inputs.labelled import sample
from inspection.operations.catalogue import Change, Steps, find_operation

_LOCK = Lock()  # of what a subject keeps


@dataclass(frozen=True, slots=True)
class Baselines:
    """What is explained with no image changed."""

    baseline_errors: Shares  # by the errors that the model makes without any change
    unchanged: Shares  # by the reference image of its class nearest to each error
    either_class: Shares  # the same, of its class or of the one that the model took it for
    like_predicted: float  # share of the errors that are nearest to a reference image of the predicted class


@dataclass(frozen=True, slots=True)
class PatchEvidence:
    """What patches add to the account of a change, error by error."""

    nearer: int  # errors that are nearer to those, in their shift times in place, than to any as it was
    place: PlaceMatch  # how much nearer their patches are
    resample: Callable[[], FloatArray] = lambda: np.zeros(0, np.float32)
    """(resamples,): the natural logarithm of `unexplained` over errors that are drawn with replacement."""


@dataclass(frozen=True)
class NearestMatch:
    """How well a change of the reference images accounts for errors, one by one.

    Patches take longer than all else: they are looked at when something is asked that rests on them.
    """

    shares: Shares  # explained by the changed reference images of their own classes most like them
    errors: int
    look_closer: Callable[[], PatchEvidence] = field(compare=False)

    @property
    def nearer(self) -> int:
        """How many errors are nearer to changed reference images than to any as it was."""
        return self._patches.nearer

    @property
    def place(self) -> PlaceMatch:
        """How much nearer the patches of the errors are."""
        return self._patches.place

    @cached_property
    def resampled(self) -> FloatArray:
        """The natural logarithm of `unexplained` (resamples,) over errors drawn with replacement."""
        return self._patches.resample()

    @cached_property
    def _patches(self) -> PatchEvidence:
        return self.look_closer()

    @property
    def nearer_share(self) -> float:
        """The share of the errors that are nearer to a changed reference image."""
        return self.nearer / self.errors

    @property
    def unexplained(self) -> float:
        """What the shares leave over, and the patches, times the share of errors that are not nearer."""
        left = max(1 - self.place.share, tuning.RESOLUTION)
        return self.shares.unexplained * left * max(1 - self.nearer_share, tuning.RESOLUTION)

    def explains_as_much(self, other: "NearestMatch") -> bool:
        """Whether this is no worse an account of the errors than another, as far as resampling tells."""
        worse = np.quantile(self.resampled - other.resampled, tuning.SIGNIFICANCE)
        return bool(worse <= 0)

    def exceeds(self, share: float) -> bool:
        """Whether that share is higher than one given, beyond chance: an exact binomial test, one-sided."""
        return at_least(self.nearer, self.errors, share) < tuning.NEARER_SIGNIFICANCE


@dataclass(frozen=True, slots=True)
class Tried:
    """One operation, or two, as tried on the nearest reference images."""

    steps: Steps
    match: NearestMatch
    missing: FloatArray  # strengths that would have to be added for nothing to be unexplained along the paths

    @property
    def strength(self) -> float:
        """That of the only operation, or of the first."""
        return self.steps.named[0][1]


@dataclass(frozen=True, slots=True)
class NearestExample:
    """An error and the reference image of its class that is most like it under a change."""

    error: int  # its position among the errors
    reference: NDArray[np.uint8]  # (height, width, channel)
    changed: NDArray[np.uint8]
    distance: float  # from the error, in times that to the nearest reference image as it is
    before: FloatArray  # (rows, columns): what differs from reference images as they are
    after: FloatArray  # the same: from those under the change


@dataclass(frozen=True)
class NearestReferences:
    """Errors and the reference images nearest to them."""

    subject: Subject
    responses: Responses
    evidence: Evidence
    rows: FloatArray  # (errors, filters + entries of the look), in sigma, from the normal of their classes
    true: NDArray[np.int64]  # (errors,), classes
    candidates: NDArray[
        np.int64
    ]  # positions of the known images that an error may have been, likeliest first
    tried: int  # of them: those that a change is tried on
    distances: FloatArray  # (errors,) from the reference image most like each, of its class or the predicted
    baselines: Baselines
    placed: NDArray[np.int64]  # positions among the errors: those whose patches are looked at
    places: Places  # the patches of those

    def under(self, change: Change, everywhere: bool = False) -> NearestMatch:
        """The reference images of the errors' classes, changed, that are most like them.

        `everywhere` tries the change on all of them, which takes longer. It finds others where a change
        lies elsewhere on every image, so that no mean shift tells which image an error was.
        """
        return self._match(change, len(self.candidates) if everywhere else self.tried)[0]

    def _match(self, change: Change, tried: int) -> tuple[NearestMatch, FloatArray]:
        """The match, and what of the observed shift (filters + entries,) is left."""
        found, which, distances = self._nearest(change, tried)
        shift = found.mean(0)

        def look_closer() -> PatchEvidence:
            placed = self.placed
            place = self.places.under(self._changed(change, tried, which[placed])[1])
            apart = self._in_times(distances, self.distances)
            apart[placed] *= place.in_times
            nearer = apart < 1
            return PatchEvidence(int(nearer.sum()), place, lambda: self._resampled(found, nearer, place))

        match = NearestMatch(self.evidence.shares_alone(shift), len(self.rows), look_closer)
        return match, self.evidence.observed - shift

    def _resampled(self, found: FloatArray, nearer: NDArray[np.bool_], place: PlaceMatch) -> FloatArray:
        """The logarithm of what is unexplained, for every draw of errors: see `NearestMatch.resampled`."""
        drawn, placed = self._drawn, self._drawn[:, self.placed]
        placed = placed / np.maximum(placed.sum(1, keepdims=True), LITTLE)
        left = self.evidence.unexplained_each(drawn @ self.rows, drawn @ found)
        for share in (placed @ place.left.mean(0), 1 - drawn @ nearer.astype(np.float32)):
            left *= np.maximum(share, tuning.RESOLUTION)
        return np.asarray(np.log(left), np.float32)

    @cached_property
    def _drawn(self) -> FloatArray:
        """How often each error is drawn (resamples, errors), as a share of them all."""
        settings, count = self.subject.settings, len(self.rows)
        rng = np.random.default_rng(settings.compute.seed)
        drawn = rng.multinomial(count, np.full(count, 1 / count), settings.blame.bootstrap)
        return np.asarray(drawn / count, np.float32)

    def at(self, steps: Steps, effects: ResponsePaths) -> Tried:
        """Operations at their strengths; `effects` are their paths, by name."""
        match, left = self._match(steps, self.tried)
        slopes = np.stack(
            [
                slope_at(strength, effects[name][0], [each.shift for each in effects[name][1]])
                for name, strength in steps.named
            ]
        )
        scale = np.sqrt(self.evidence.weights)
        missing = np.linalg.lstsq((slopes * scale).T, left * scale, rcond=None)[0]
        return Tried(steps, match, missing)

    def refined(self, first: Tried, effects: ResponsePaths) -> Tried:
        """The operations as tried, or at the strengths near those that the trial tells, where that is better.

        The mean shift of all reference images tells a strength roughly: which of them a log holds changes
        with it. What the changed reference images leave of the shift tells how much further to go.
        """
        steps = first.steps
        better = tuple(
            (name, _moved(name, strength, float(missing)))
            for (name, strength), missing in zip(steps.named, first.missing, strict=True)
        )
        if all(
            abs(new - old) < tuning.RESOLUTION * old
            for (_, new), (_, old) in zip(better, steps.named, strict=True)
        ):
            return first
        return max(first, self.at(Steps(better), effects), key=lambda each: each.match.shares.mean)

    def ratios(self, change: Change) -> FloatArray:
        """How far each error (errors,) is from the changed reference image of its class most like it.

        In times the distance to the nearest reference image as it is: below 1, it is nearer to the changed.
        """
        _, _, distances = self._nearest(change, self.tried)
        return self._in_times(distances, self.distances)

    def misclassified(self, change: Change) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether the model errs on the reference image most like each error under the change: (errors,).

        On the image as it is, and under the change; of the errors whose patches are looked at.
        """
        _, which, _ = self._nearest(change, self.tried)
        before, after = (
            np.asarray(self.subject.classifier.predict(images).argmax(1) != self.true[self.placed])
            for images in self._changed(change, self.tried, which[self.placed])
        )
        return before, after

    def examples(self, change: Change, count: int) -> list[NearestExample]:
        """Some errors with the changed reference images most like them, from the nearest to the farthest."""
        _, which, distances = self._nearest(change, self.tried)
        ratios = self._in_times(distances, self.distances)[self.placed]
        order = np.argsort(ratios, kind="stable")
        count = min(count, len(order))
        chosen = order[((np.arange(count) + 0.5) * len(order) / count).astype(int)]
        references, changed = self._changed(change, self.tried, which[self.placed])
        before, after = self.places.where(changed)
        return [
            NearestExample(
                int(self.placed[i]), references[i], changed[i], float(ratios[i]), before[i], after[i]
            )
            for i in chosen
        ]

    @staticmethod
    def _in_times(distances: FloatArray, others: FloatArray) -> FloatArray:
        return np.asarray(np.sqrt(distances / np.maximum(others, LITTLE)), np.float32)

    def _changed(
        self, change: Change, tried: int, which: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Some of the images tried, by position among these, as they are and under the change.

        A change draws an image's place by where it stands among the images: all are changed, as they were
        when the nearest was found.
        """
        positions = self._positions(tried)
        before, after = (
            self.subject.labelled.images[positions],
            _changed_images(self.subject, change, positions),
        )
        return before[which], after[which]

    def _positions(self, tried: int) -> NDArray[np.int64]:
        """Where the images that a change is tried on stand among the labelled images."""
        return self.responses.drawn[np.sort(self.candidates[:tried])]

    def _nearest(self, change: Change, tried: int) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
        """Rows (errors, filters + entries), positions among the images tried, and distances."""
        positions = self._positions(tried)
        rows, labels = _under(self.subject, change, positions), self.subject.labelled.labels[positions]
        pool = Pool(rows, labels, self.responses.normal)
        found, which, distances = nearest_in(pool, self.rows, self.evidence.weights, (self.true, self.true))
        return found, which, distances


def _moved(name: str, strength: float, missing: float) -> float:
    """The strength that a refinement goes to, which does not lie far from that with which it begins."""
    strongest = min(strength * tuning.REFINED_RANGE, find_operation(name).limit)
    return float(np.clip(strength + missing, strength / tuning.REFINED_RANGE, strongest))


def _under(subject: Subject, change: Change, positions: NDArray[np.int64]) -> FloatArray:
    """Rows (images, filters + entries) of labelled images under a change, in sigma.

    Those under operations are kept for a while: the split of a group, its diagnosis and the examples of the
    report ask for the same.
    """
    key = (change, positions.tobytes())
    with _LOCK:
        rows = subject.changed.get(key)
    if rows is None:
        images = _changed_images(subject, change, positions)
        rows, _ = standardised(subject, images, subject.labelled.labels[positions])
        if isinstance(change, Steps):
            with _LOCK:
                subject.changed[key] = rows
    return rows


def _changed_images(subject: Subject, change: Change, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Labelled images under a change: under the last operation they are kept, for its patches ask again."""
    key = (change, positions.tobytes())
    with _LOCK:
        images = subject.pixels.get(key)
    if images is None:
        images = change(subject.labelled.images[positions])
        if isinstance(change, Steps):
            with _LOCK:
                subject.pixels[key] = images
    return images


def find_nearest(
    subject: Subject,
    responses: Responses,
    evidence: Evidence,
    screening: Screening,
    images: NDArray[np.uint8],
) -> NearestReferences:
    """Find the reference images nearest to errors `images`, which are those of the screening, in order.

    `evidence` is that of their group, of which they may be a sample.
    """
    true, predicted = screening.true, screening.predicted
    looks = subject.looks.standardise(images, true)
    rows = np.concatenate([subject.standardise(screening.energy, true), looks], axis=1)
    pool, weights = Pool(responses.references, responses.labels, responses.normal), evidence.weights
    own, _, _ = nearest_in(pool, rows, weights, (true, true))
    either, which, distances = nearest_in(pool, rows, weights, (true, predicted))
    candidates, tried = order_candidates(pool, rows - evidence.observed, weights, true)
    baselines = Baselines(
        evidence.shares(Induced(np.zeros_like(evidence.observed), responses.baseline_shift(true))),
        evidence.shares_alone(own.mean(0)),
        evidence.shares_alone(either.mean(0)),
        float((responses.labels[which] == predicted).mean()),
    )
    placed = sample(len(images), tuning.PLACED_ERRORS, subject.settings.compute.seed)
    unchanged = subject.labelled.images[responses.drawn[which[placed]]]
    places = Places(subject, images[placed], true[placed], unchanged)
    return NearestReferences(
        subject, responses, evidence, rows, true, candidates, tried, distances, baselines, placed, places
    )


@dataclass(frozen=True, slots=True)
class Pool:
    """Images among which the nearest are sought."""

    rows: FloatArray  # (images, filters + entries of the look), in sigma, from the normal of their classes
    labels: NDArray[np.int64]  # (images,), classes
    normal: FloatArray  # (classes, filters + entries): what is normal for each class, in sigma

    def of(self, label: int, *others: int) -> NDArray[np.int64]:
        """Positions of the images of these classes; of all where none has an image."""
        among = np.flatnonzero(np.isin(self.labels, (label, *others)))
        return among if len(among) else np.arange(len(self.labels))

    def seen_from(self, label: int, positions: NDArray[np.int64]) -> FloatArray:
        """Rows of some of the images, from the normal of one class."""
        rows = self.rows[positions] + self.normal[self.labels[positions]] - self.normal[label]
        return np.asarray(rows, np.float32)


def nearest_in(
    pool: Pool, errors: FloatArray, weights: FloatArray, classes: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
    """The image of the pool, of either class of `classes`, most like each error: row, position, distance.

    `errors` (errors, filters + entries) are shifts from the normal of their classes, the first of the two,
    and so are the rows returned. The distance is the sum of squared differences under `weights`.
    """
    scale = np.sqrt(weights)
    found, which = np.zeros_like(errors), np.zeros(len(errors), np.int64)
    distances = np.zeros(len(errors), np.float32)
    true, other = classes
    for t, o in np.unique(np.stack([true, other], axis=1), axis=0):
        among = pool.of(t, o)
        parts = pool.seen_from(t, among)
        mine = np.flatnonzero((true == t) & (other == o))
        here, there = errors[mine] * scale, parts * scale
        best = ((there**2).sum(1) - 2 * here @ there.T).argmin(1)
        found[mine], which[mine] = parts[best], among[best]
        distances[mine] = ((here - there[best]) ** 2).sum(1)
    return found, which, distances


def order_candidates(
    pool: Pool, errors: FloatArray, weights: FloatArray, true: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """Positions of the images of the pool that an error may have been, and how many of them to try first.

    `errors` (errors, filters + entries), of classes `true`, are without their mean shift.
    The images are of the errors' classes, for a class without any of all: the one most like each error, then
    the second of each, and so on. `TRIED_REFERENCES` are tried, or one an error.
    """
    scale, count = np.sqrt(weights), len(pool.labels)
    rank = np.full(count, count)  # the best place that an image takes among those like an error
    for t in np.unique(true):
        among = pool.of(t)
        parts = pool.seen_from(t, among) * scale
        apart = (parts**2).sum(1) - 2 * (errors[true == t] * scale) @ parts.T
        places = apart.argsort(1, kind="stable").argsort(1, kind="stable").min(0)
        rank[among] = np.minimum(rank[among], places)
    firsts, most = int((rank == 0).sum()), int((rank < count).sum())
    ordered = rank.argsort(kind="stable")[:most].astype(np.int64)
    return ordered, min(most, max(tuning.TRIED_REFERENCES, firsts))
