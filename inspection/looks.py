"""How images look, by themselves and without any network: a claim about the world must show here too."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmi_engine.reference import summarise
from fmi_engine.texture import spectral_statistics
from fmi_engine.types import FloatArray
from inspection.training import Labelled


@dataclass(frozen=True, slots=True)
class Looks:
    """The normal look of each class: brightness and spectrum by scale and direction."""

    mean: FloatArray  # (classes, entries of the descriptor)
    sigma: FloatArray  # (entries,): spread between images of one class

    def standardise(self, images: NDArray[np.uint8], true: NDArray[np.int64]) -> FloatArray:
        """The shift (images, entries) of images against the look of their true class, in sigma."""
        return np.asarray((describe_images(images) - self.mean[true]) / self.sigma, np.float32)


def normal_looks(correct: Labelled, classes: int, minimum_per_class: int) -> Looks:
    """Measure the look of correct reference images (a class with too few takes that of all)."""
    descriptors = describe_images(correct.images)
    normal = summarise(descriptors, descriptors, correct.labels, classes, minimum_per_class)
    return Looks(normal.energy, normal.sigma)


def describe_images(images: NDArray[np.uint8]) -> FloatArray:
    """The descriptors (images, entries) of 8-bit images (images, height, width, channel)."""
    return np.stack(
        [spectral_statistics(image.transpose(2, 0, 1).astype(np.float32) / 255) for image in images]
    )
