"""The catalogue of operations: all that can happen to an image, found by name, and one after the other.

Where albumentations (2.0.8) computes the change it is used; the rest are transforms of the same kind, in the
file of their operations, beside what we know of albumentations' own.

To add an operation, add one entry to OPERATIONS of the file that it belongs to.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection.errors import InspectionError
from inspection.operations import (
    blur,
    colour,
    defect,
    dirt,
    exposure,
    geometry,
    hot_spot,
    light,
    relief,
    sensor,
    shadow,
    surface,
)
from inspection.operations.operation import Operation

CATALOGUE: tuple[Operation, ...] = (
    *exposure.OPERATIONS,
    *light.OPERATIONS,
    *relief.OPERATIONS,
    *hot_spot.OPERATIONS,
    *shadow.OPERATIONS,
    *colour.OPERATIONS,
    *blur.OPERATIONS,
    *sensor.OPERATIONS,
    *surface.OPERATIONS,
    *dirt.OPERATIONS,
    *defect.OPERATIONS,
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
