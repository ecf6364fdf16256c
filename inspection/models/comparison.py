"""Two models on the same images: how many each gets right, and whether the difference is more than chance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmi_engine.chance import as_uneven
from fmi_engine.classifier import Classifier
from inspection.findings import Accuracy
from inspection.inputs.labelled import Labelled

BINS = 15  # of confidence, in which calibration is looked at: as Guo et al. do


@dataclass(frozen=True, slots=True)
class Judged:
    """A set of images with what two models take them for, as class indices."""

    name: str
    labels: NDArray[np.int64]  # (n,)
    before: NDArray[np.int64]  # (n,), the deployed model's answers; beyond the classes: left to a person
    after: NDArray[np.int64]  # (n,), the candidate's

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> "Judged":
        """Some of the images, by position or mask."""
        return Judged(self.name, self.labels[index], self.before[index], self.after[index])

    def beside(self, other: "Judged", name: str) -> "Judged":
        """These images, and then others."""
        return Judged(
            name,
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.before, other.before]),
            np.concatenate([self.after, other.after]),
        )

    @property
    def fixed(self) -> int:
        """Images that were wrong before and are right after."""
        return int(((self.before != self.labels) & (self.after == self.labels)).sum())

    @property
    def broken(self) -> int:
        """Images that were right before and are wrong after."""
        return int(((self.before == self.labels) & (self.after != self.labels)).sum())

    @property
    def right(self) -> tuple[int, int]:
        """How many are right, before and after."""
        return int((self.before == self.labels).sum()), int((self.after == self.labels).sum())

    def passed(self, good: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which images are escapes, before and after; `good` says of every class whether it means good."""
        defect = ~good[self.labels]
        return defect & called(self.before, good), defect & called(self.after, good)

    def rejected(self, good: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which images are overkills, before and after."""
        part = good[self.labels]
        return part & called(self.before, ~good), part & called(self.after, ~good)


def called(answers: NDArray[np.int64], classes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which answers are some of the classes; an answer beyond them leaves the part to a person."""
    return np.append(classes, False)[answers]


def right(classifier: Classifier, data: Labelled, batch_size: int) -> NDArray[np.bool_]:
    """Which images the model classifies correctly."""
    return np.asarray(answers(classifier, data, batch_size) == data.labels)


def answers(classifier: Classifier, data: Labelled, batch_size: int) -> NDArray[np.int64]:
    """The class that the model takes every image for."""
    return np.asarray(classifier.predict(data.images, batch_size).argmax(1), np.int64)


def calibration_error(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Expected calibration error, 0 to 1: how far confidence and accuracy lie apart, over bins of confidence.

    Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks, arXiv 1706.04599, equation 3.
    `probabilities` is (n, classes). NaN where there are no images.
    """
    if not len(labels):
        return float("nan")
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    gaps = np.bincount(bins, confidence - hit, BINS)  # of a bin: its images times what they lie apart
    return float(np.abs(gaps).sum() / len(labels))


def accuracy_of(judged: Judged, class_names: tuple[str, ...], good_classes: tuple[str, ...] = ()) -> Accuracy:
    """Set the right answers before and after side by side: exact McNemar test, paired 95 % interval.

    McNemar, Note on the sampling error of the difference between correlated proportions, 1947; the
    interval is Agresti and Min's adjusted Wald interval for paired proportions, 2005.
    """
    fixed, broken = judged.fixed, judged.broken
    before, after = judged.right
    lower, upper = paired_interval(fixed, broken, len(judged))
    good = good_mask(class_names, good_classes)
    escapes, overkills = judged.passed(good), judged.rejected(good)
    return Accuracy(
        name=judged.name,
        images=len(judged),
        before=before,
        after=after,
        fixed=fixed,
        broken=broken,
        p_value=mcnemar(fixed, broken),
        gain_lower=lower,
        gain_upper=upper,
        per_class={
            class_name: (len(mine), *mine.right)
            for i, class_name in enumerate(class_names)
            if len(mine := judged.subset(judged.labels == i))
        },
        escapes=(int(escapes[0].sum()), int(escapes[1].sum())) if good.any() else None,
        overkills=(int(overkills[0].sum()), int(overkills[1].sum())) if good.any() else None,
    )


def good_mask(class_names: tuple[str, ...], good_classes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Of every class whether it means that the part is good."""
    return np.array([name in good_classes for name in class_names])


def mcnemar(fixed: int, broken: int) -> float:
    """Two-sided exact p-value that as many images were fixed as broken; 1 where none changed."""
    return as_uneven(fixed, broken)


def paired_interval(fixed: int, broken: int, n: int) -> tuple[float, float]:
    """95 % interval of (fixed - broken) / n with Agresti and Min's half observation in each cell."""
    if n == 0:
        return 0.0, 0.0
    up, down, total = fixed + 0.5, broken + 0.5, n + 2
    change = (up - down) / total
    half = 1.959964 * float(np.sqrt(up + down - (up - down) ** 2 / total)) / total
    return max(change - half, -1.0), min(change + half, 1.0)
