"""Wrong labels: the errors whose label, rather than the model, is wrong, by signs that have to agree.

No single sign is enough. A network is surest of what lies far from all that it learned (Hein, Andriushchenko,
Bitterwolf, arXiv 1812.05720), a fault makes parts look like another class to it, and a hard part lies between
two classes under its right label. So three signs are asked, each of the network's filters and of the look of
the images without a network, and all six have to say the same: confident learning on cross-validated
probabilities (Northcutt, Jiang, Chuang, arXiv 1911.00068; cleanlab as it is), the classes of the nearest
reference images, and whether the image is a usual one of the suggested class, as the distances of images of
that class from one another say (conformal prediction).

How often the same rule is wrong is counted where the truth is known: on reference images that a
cross-validated classifier gets wrong. They are hard parts under their right labels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fmi_engine.types import FloatArray
from inspection import tuning
from inspection.evidence.case import Case


@dataclass(frozen=True, slots=True)
class LabelSigns:
    """What speaks for wrong labels, image by image; each number is the lesser of filters and look."""

    margin: FloatArray  # (images,): p(suggested class) - p(label), by a classifier that never saw the image
    issue: NDArray[np.bool_]  # (images,): confident learning finds the label wrong, and the suggestion right
    neighbours: FloatArray  # (images,): share of the nearest reference images that are of the suggested class
    typical: FloatArray  # (images,): share of the suggested class's images that lie as far from the others

    def __len__(self) -> int:
        return len(self.margin)

    @property
    def agree(self) -> NDArray[np.bool_]:
        """Whether all signs of an image (images,) say that its label is wrong."""
        return self.issue & (self.neighbours >= tuning.SUSPECT_NEIGHBOURS) & self.usual

    @property
    def usual(self) -> NDArray[np.bool_]:
        """Which images (images,) are usual ones of the suggested class, as those of a fault are not."""
        return np.asarray(self.typical >= tuning.SUSPECT_TYPICAL)


@dataclass(frozen=True, slots=True)
class LabelEvidence:
    """The signs of a group's errors, with what the same rule does where the truth is known."""

    errors: LabelSigns
    hard: LabelSigns  # of reference images that are taken for another class, under their right labels

    @property
    def listed(self) -> NDArray[np.int64]:
        """Positions of the errors whose labels are suspect, the most suspect first; often none.

        Those on which all signs agree, as far down as enough of them are expected to be wrong.
        """
        return self._agreeing[: len(self.expected)]

    @property
    def expected(self) -> FloatArray:
        """The share that is expected to be wrong of the errors listed (listed,) down to each.

        As if all that are usual ones of their suggested class were hard parts, listed as often as the
        reference images that are known to be such: false discoveries are controlled as Benjamini and Hochberg
        do, with those for the null. A few are taken for granted beside those that were counted, so that a
        model with hardly any hard reference image promises little.
        """
        margins = self.errors.margin[self._agreeing]
        null = self.hard.margin[self.hard.agree]
        as_suspect = (null[None, :] >= margins[:, None]).sum(1)
        listed, hard = (
            as_suspect + tuning.SUSPECT_GRANTED * tuning.SUSPECT_HARD,
            self.hard.usual.sum() + tuning.SUSPECT_GRANTED,
        )
        falsely = listed / hard * self.errors.usual.sum()
        right = 1 - falsely / np.arange(1, len(margins) + 1)
        best = np.maximum.accumulate(right[::-1])[::-1]
        return np.asarray(best[best >= tuning.SUSPECT_PRECISION], np.float32)

    @property
    def _agreeing(self) -> NDArray[np.int64]:
        agreeing = np.flatnonzero(self.errors.agree)
        return agreeing[np.argsort(-self.errors.margin[agreeing], kind="stable")]


def any_suspicious(case: Case) -> bool:
    """Whether the signs that need no classifier agree on any error: where they do not, none can be listed."""
    asked, suggested = len(case.responses.labels) + np.arange(len(case)), case.screening.predicted
    agree = np.ones(len(case), bool)
    for seen in _seen(case):
        agree &= seen.neighbours(asked, suggested) >= tuning.SUSPECT_NEIGHBOURS
        agree &= seen.typical(asked, suggested) >= tuning.SUSPECT_TYPICAL
    return bool(agree.any())


def find_evidence(case: Case) -> LabelEvidence:
    """What speaks for wrong labels among the errors of a case.

    The reference images and the errors, these under their operators' labels, are classified together, each by
    a classifier that was fitted without it: errors that a fault made are then known by one another.
    """
    views = tuple(_views(case))
    references = case.responses.labels
    first = len(references)
    errors = first + np.arange(len(case))
    taken_for = views[0].probabilities[:first].argmax(1)
    hard = np.flatnonzero(taken_for != references)
    return LabelEvidence(
        _signs(views, errors, case.screening.predicted),
        _signs(views, hard, taken_for[hard]),
    )


def _signs(views: Sequence["View"], asked: NDArray[np.int64], suggested: NDArray[np.int64]) -> LabelSigns:
    """The signs of some images, by position, that they are of the classes suggested."""
    return LabelSigns(
        np.min([each.margin(asked, suggested) for each in views], axis=0),
        np.all([each.issue(asked, suggested) for each in views], axis=0),
        np.min([each.neighbours(asked, suggested) for each in views], axis=0),
        np.min([each.typical(asked, suggested) for each in views], axis=0),
    )


def _views(case: Case) -> Iterator["View"]:
    """The images as `_seen`, with what a classifier says of each that never saw it."""
    classes, seed = len(case.responses.normal), case.subject.settings.compute.seed
    for seen in _seen(case):
        probabilities = out_of_sample(seen.rows, seen.labels, classes, seed)
        yield View(seen.rows, seen.labels, seen.references, probabilities)


def _seen(case: Case) -> Iterator["Seen"]:
    """The reference images, then the errors: as the filters of all layers see them, and as they look.

    Squared distances are means over layers, or over groups of the look, in sigma.
    """
    responses, subject = case.responses, case.subject
    looks = subject.looks.standardise(case.images, case.true)
    errors = np.concatenate([subject.standardise(case.screening.energy, case.true), looks], axis=1)
    labels = np.concatenate([responses.labels, case.true])
    rows = np.concatenate([responses.references, errors]) + responses.normal[labels]
    weights = np.concatenate([np.full(each.channels, 1 / each.channels) for each in subject.layers])
    filters = len(weights)
    for part, scale in (
        (rows[:, :filters], weights / len(subject.layers)),
        (rows[:, filters:], subject.looks.weights),
    ):
        yield Seen(np.asarray(part * np.sqrt(scale), np.float32), labels, len(responses.labels))


@dataclass(frozen=True)
class Seen:
    """Reference images, then errors, seen in one way."""

    rows: FloatArray  # (images, entries)
    labels: NDArray[np.int64]  # (images,), the operators' for errors
    references: int  # how many come first

    def neighbours(self, asked: NDArray[np.int64], suggested: NDArray[np.int64]) -> FloatArray:
        """The share of the reference images nearest to each that are of the class suggested."""
        nearest = self.distances[asked].argsort(1, kind="stable")[:, : tuning.SUSPECT_NEAREST]
        return np.asarray((self.labels[nearest] == suggested[:, None]).mean(1), np.float32)

    def typical(self, asked: NDArray[np.int64], suggested: NDArray[np.int64]) -> FloatArray:
        """The share of the images of the class suggested that lie as far from the others of it."""
        found = np.zeros(len(asked), np.float32)
        for label in np.unique(suggested):
            members = np.flatnonzero(self.labels[: self.references] == label)
            if len(members) > tuning.SUSPECT_AROUND:
                mine = suggested == label
                usual, seen = self._apart(members, members), self._apart(asked[mine], members)
                found[mine] = (usual[None, :] >= seen[:, None]).mean(1)
        return found

    def _apart(self, asked: NDArray[np.int64], members: NDArray[np.int64]) -> FloatArray:
        """How far (images,) some images are from the few nearest of some reference images."""
        nearest = np.sort(self.distances[np.ix_(asked, members)], axis=1)[:, : tuning.SUSPECT_AROUND]
        return np.asarray(np.sqrt(nearest).mean(1), np.float32)

    @cached_property
    def distances(self) -> FloatArray:
        """Squared distances (images, reference images); from itself none is taken."""
        there = self.rows[: self.references]
        squares = (self.rows**2).sum(1)[:, None] + (there**2).sum(1)[None, :] - 2 * self.rows @ there.T
        found = np.maximum(squares, 0)
        found[np.arange(self.references), np.arange(self.references)] = np.inf
        return np.asarray(found, np.float32)


@dataclass(frozen=True)
class View(Seen):
    """The same, and what classifiers say of them."""

    probabilities: FloatArray  # (images, classes), each by a classifier that was fitted without the image

    def margin(self, asked: NDArray[np.int64], suggested: NDArray[np.int64]) -> FloatArray:
        """p(suggested class) - p(label) of some images, by position."""
        found = self.probabilities[asked, suggested] - self.probabilities[asked, self.labels[asked]]
        return np.asarray(found, np.float32)

    def issue(self, asked: NDArray[np.int64], suggested: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether confident learning finds their labels wrong, and the classifier suggests the same class."""
        return np.asarray(self.issues[asked] & (self.probabilities[asked].argmax(1) == suggested))

    @cached_property
    def issues(self) -> NDArray[np.bool_]:
        """Which labels (images,) confident learning finds wrong."""
        from cleanlab.filter import find_label_issues  # seconds, which only a night should wait for

        known = self.probabilities.any(1)
        found = np.zeros(len(self.labels), bool)
        if known.any():
            classes, numbered = np.unique(self.labels[known], return_inverse=True)
            found[known] = find_label_issues(numbered, self.probabilities[known][:, classes], n_jobs=1)
        return found


def out_of_sample(rows: FloatArray, labels: NDArray[np.int64], classes: int, seed: int) -> FloatArray:
    """Probabilities (images, classes) of each image by a classifier that was fitted to the others.

    A class with fewer images than there are folds is suggested for none, and its images have none.
    """
    found = np.zeros((len(labels), classes), np.float32)
    known = np.flatnonzero(np.bincount(labels, minlength=classes)[labels] >= tuning.SUSPECT_FOLDS)
    among = np.unique(labels[known])
    if len(among) > 1:
        from sklearn.decomposition import PCA  # seconds, which only a night should wait for
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold, cross_val_predict

        components = PCA(min(tuning.SUSPECT_COMPONENTS, *rows[known].shape), random_state=seed)
        classifier = LogisticRegression(C=tuning.SUSPECT_WEIGHT, solver="newton-cholesky")
        folds = StratifiedKFold(tuning.SUSPECT_FOLDS, shuffle=True, random_state=seed)
        found[np.ix_(known, among)] = cross_val_predict(
            classifier,
            components.fit_transform(rows[known].astype(np.float64)),
            labels[known],
            cv=folds,
            method="predict_proba",
        )
    return found
