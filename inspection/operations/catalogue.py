"""The catalogue of operations: what can happen to an image, each with a strength, on albumentations 2.0.8.

Where albumentations computes the change it is used; the rest are transforms of the same kind, in
`inspection.transforms`. Facts about it that the catalogue rests on, each read in its source and confirmed by
numbers:
- RandomBrightnessContrast multiplies about zero (its contrast_limit is a pure scaling of the light) and adds
  a share of full scale; only ColorJitter changes contrast about the image's mean.
- Its look-up tables cut grey values off instead of rounding them: up to one grey level, half a level on
  average, too dark. GaussNoise cuts its noise off too; _sensor_noise makes up for that.
- Illumination stops at an intensity of 0.2, MotionBlur and Defocus know whole odd or whole sizes only.

To add an operation, add one entry to CATALOGUE.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection.errors import InspectionError
from inspection.operations import (
    blur,
    colour,
    dirt,
    exposure,
    geometry,
    hot_spot,
    light,
    sensor,
    shadow,
    surface,
)
from inspection.operations.operation import Operation

CATALOGUE: tuple[Operation, ...] = (
    *exposure.OPERATIONS,
    *light.OPERATIONS,
    *hot_spot.OPERATIONS,
    *shadow.OPERATIONS,
    *colour.OPERATIONS,
    *blur.OPERATIONS,
    *sensor.OPERATIONS,
    *surface.OPERATIONS,
    *dirt.OPERATIONS,
    *geometry.OPERATIONS,
)


def operations_for(channels: int) -> tuple[Operation, ...]:
    """Return the operations for images of 1 or 3 channels. Raises InspectionError for another count."""
    chosen = tuple(operation for operation in CATALOGUE if channels in operation.channels)
    if not chosen:
        raise InspectionError(f"no operation is for images of {channels} channels; the catalogue has 1 and 3")
    return chosen


def find_operation(name: str) -> Operation:
    """Return the operation of a name. Raises InspectionError that lists the names there are."""
    for operation in CATALOGUE:
        if operation.name == name:
            return operation
    known = ", ".join(operation.name for operation in CATALOGUE)
    raise InspectionError(f"no operation '{name}'; the catalogue has: {known}")


Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Of 8-bit images (images, height, width, channel)."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Operations of the catalogue at given strengths, one after the other: a change of images."""

    named: tuple[tuple[str, float], ...]

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The images (images, height, width, channel) under them."""
        for name, strength in self.named:
            operation = find_operation(name)
            strength = min(strength, operation.limit)
            images = np.stack([operation.apply(image, strength, seed) for seed, image in enumerate(images)])
        return images
