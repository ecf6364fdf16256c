"""What no reference image has: errors that hold patches newer than those of nearly all reference images.

A change that explains errors makes reference images like them, patches included. Where most errors hold
patches that no reference image has under the change either, it is not what they have in common: a new
product may be greyer and sharper than the old one, and still be another product.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from fmi_engine.chance import at_least
from fmi_engine.types import FloatArray
from inspection import tuning
from inspection.evidence.place import Views, describe_patches, nearest_apart, spreads
from inspection.evidence.subject import Subject
from inspection.inputs.labelled import Labelled, evenly
from inspection.operations.catalogue import Change


@dataclass(frozen=True)
class Newness:
    """Known images as patches, by which the newest patches of others are told, and normal images for a bound.

    The known and the normal ones are two halves of some reference images.
    """

    subject: Subject
    known: NDArray[np.uint8]  # (images, height, width, channel)
    normal: NDArray[np.uint8]  # the same

    @classmethod
    def among(cls, subject: Subject, images: Labelled, changes: Sequence[Change] = ()) -> "Newness":
        """What is known of some reference images, even over their classes.

        Under changes, some of them stay as they are, and each change is seen on as many of the others.
        """
        chosen = evenly(images.labels, tuning.KNOWN_IMAGES)
        return cls(subject, *(_under(images.images[chosen[half::2]], changes) for half in (0, 1)))

    def tells(self, images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which images (images,) hold patches that are newer than those of nearly all normal ones."""
        return np.asarray(self.of(images) > self._most)

    def of(self, images: NDArray[np.uint8]) -> FloatArray:
        """How far the newest patches of each image are from all known ones: (images,).

        The mean over the farthest twentieth of its places, in spreads of the known patches; the mean of the
        views.
        """
        views = []
        for ours, theirs in zip(describe_patches(self.subject, images), self._patches, strict=True):
            scale = spreads(theirs)
            apart = np.sort(nearest_apart(ours / scale, theirs / scale), axis=1)
            views.append(apart[:, -max(1, apart.shape[1] // 20) :].mean(1))
        return np.asarray(np.mean(views, axis=0), np.float32)

    @cached_property
    def _patches(self) -> Views:
        return describe_patches(self.subject, self.known)

    @cached_property
    def _most(self) -> float:
        return float(np.quantile(self.of(self.normal), 1 - tuning.SIGNIFICANCE))


def _under(images: NDArray[np.uint8], changes: Sequence[Change]) -> NDArray[np.uint8]:
    """Images as they are and under changes, in turn."""
    found, step = images.copy(), len(changes) + 1
    for number, change in enumerate(changes, 1):
        found[number::step] = change(images[number::step])
    return found


@lru_cache(maxsize=2)  # of all classes and of the good ones: no earlier subject stays in memory
def unchanged(subject: Subject, classes: tuple[int, ...]) -> Newness | None:
    """By correct reference images of some classes as they are; None where there are not two.

    Described once for a subject, not for every failure mode.
    """
    mine = np.isin(subject.correct.labels, classes)
    return Newness.among(subject, subject.correct.subset(np.flatnonzero(mine))) if mine.sum() > 1 else None


def most(are: NDArray[np.bool_]) -> bool:
    """Whether more than half are, beyond chance."""
    return at_least(int(are.sum()), len(are), 0.5) < tuning.SIGNIFICANCE
