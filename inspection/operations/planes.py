"""Fields over an image that transforms are drawn with: distances, bands, bells, and grey values again."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspection.operations.operation import Image, Plane


def around(image: Image, row: float, column: float, reach: float) -> tuple[tuple[slice, slice], Plane]:
    """The part of an image that is near a place, and the distance (pixels) of its pixels from there."""
    rows, columns = (
        np.arange(max(math.ceil(at - reach), 0), min(math.floor(at + reach) + 1, size), dtype=np.float32)
        for at, size in zip((row, column), image.shape[:2], strict=True)
    )
    window = tuple(slice(int(each[0]), int(each[-1]) + 1) for each in (rows, columns))
    return (window[0], window[1]), np.hypot(rows[:, None] - row, columns[None, :] - column)


# --- planes that are multiplied with images or added to them ----------------------------------------------


def from_the_middle(image: Image) -> tuple[Plane, Plane]:
    """Rows (H, 1) and columns (1, W), counted in pixels from the middle of the image."""
    height, width = image.shape[:2]
    down = np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2.0)
    across = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2.0)
    return down[:, None], across[None, :]


def along_angle(image: Image, angle: float) -> Plane:
    """How far (pixels) every pixel lies from the middle along a direction."""
    down, across = from_the_middle(image)
    turn = math.radians(angle)
    return np.float32(math.cos(turn)) * across + np.float32(math.sin(turn)) * down


def along_and_across(image: Image, middle: tuple[float, float], angle: float) -> tuple[Plane, Plane]:
    """How far (pixels) every pixel lies along a direction, and across it, from shares of width and height."""
    height, width = image.shape[:2]
    right, down = (middle[0] - 0.5) * (width - 1), (middle[1] - 0.5) * (height - 1)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along = along_angle(image, angle) - np.float32(cosine * right + sine * down)
    return along, along_angle(image, angle + 90.0) - np.float32(cosine * down - sine * right)


def soft_band(away: Plane, width: float, edge: float) -> Plane:
    """1 in a band about 0 and 0 beyond it, with straight ramps; all three in pixels.

    The width lies between the middles of the ramps. A band narrower than its edges is nowhere quite 1.
    """
    height = (np.float32(width / 2.0) - np.abs(away)) / np.float32(edge) + np.float32(0.5)
    return np.asarray(np.clip(height, 0.0, 1.0), dtype=np.float32)


def bell(size: int, middle: float, sigma: float) -> Plane:
    """A Gaussian (size,) with its peak of 1 at a share of the size."""
    distance = np.arange(size, dtype=np.float32) - np.float32(middle * (size - 1))
    return np.asarray(np.exp(-0.5 * (distance / np.float32(sigma)) ** 2), dtype=np.float32)


def standardised(plane: NDArray[np.floating[Any]]) -> Plane:
    """With a mean of 0 and a standard deviation of 1; one that has none is 0."""
    centred = plane - plane.mean()
    return np.asarray(centred / max(float(centred.std()), 1e-6), dtype=np.float32)


def added(image: Image, strength: float, plane: Plane) -> Image:
    """An image plus a strength (share of full scale) times a plane, the same in every channel."""
    return grey_values(image + np.float32(255.0 * strength) * like(plane, image))


def like(plane: Plane, image: Image) -> Plane:
    """A plane with the axes of an image."""
    return plane if image.ndim == 2 else plane[:, :, None]


def grey_values(light: Plane) -> Image:
    """Light as 8-bit grey values, rounded and clipped."""
    return np.asarray(np.rint(np.clip(light, 0.0, 255.0)), dtype=np.uint8)
