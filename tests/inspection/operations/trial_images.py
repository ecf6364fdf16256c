"""Images that operations are tried on, and what a changed one is measured with."""

import itertools
import math
from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.operations.operation import Image


def constant(value: int, height: int = 24, width: int = 24, channels: int = 1) -> Image:
    return np.full((height, width, channels), value, np.uint8)


def textured(channels: int) -> Image:
    """A picture with coarse and fine structure, coloured where it has three channels."""
    rng = np.random.default_rng(5)
    noise = [rng.standard_normal((96, 96, channels)) for _ in range(2)]
    coarse, fine = (
        cv2.GaussianBlur(each, (0, 0), sigma) for each, sigma in zip(noise, (6, 0.8), strict=True)
    )
    grey = [field.reshape(96, 96, channels).mean(axis=2, keepdims=True) for field in (coarse, fine)]
    tint = fine.reshape(96, 96, channels) - grey[1]
    light = 115 + 25 * grey[0] / grey[0].std() + 12 * grey[1] / grey[1].std() + 12 * tint
    return np.asarray(np.clip(light, 0, 255), np.uint8)


def scratched(channels: int) -> Image:
    """A quiet ground with bright scratches, three pixels wide, and dark pits."""
    image = np.asarray(100 + textured(channels) / 16, np.uint8)
    for row in (12, 40, 71):
        image[row : row + 3, 10:80] = 200
    for row, column in ((25, 20), (25, 60), (55, 30), (85, 70)):
        image[row : row + 7, column : column + 7] = 30
    return image


def stark(height: int, width: int, channels: int = 1) -> Image:
    """Grey values from black to white, so that whatever is added runs into both ends."""
    rng = np.random.default_rng(4)
    return rng.choice(np.array([0, 3, 90, 200, 252, 255], np.uint8), (height, width, channels))


def applied(transform: A.BasicTransform, image: Image, seed: int = 2) -> tuple[Image, dict[str, Any]]:
    """The changed image, and what the transform drew for it."""
    transform.set_random_seed(seed)
    return transform(image=image)["image"], transform.get_applied_params()


def distance(one: Image, other: Image) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def close(changed: Image, wanted: NDArray[np.float64]) -> bool:
    return bool(np.abs(changed - np.clip(wanted, 0, 255)).max() < 0.51)


def middles(height: int, width: int) -> list[tuple[int, int, float, float]]:
    """Row and column of every pixel, and the same counted from the middle."""
    places = itertools.product(range(height), range(width))
    return [(y, x, y - (height - 1) / 2, x - (width - 1) / 2) for y, x in places]


def between(image: Image, y: float, x: float) -> NDArray[np.float64]:
    """The grey values (channels,) at a place between pixels, bilinear; mirrored beyond the border."""
    top, left = math.floor(y), math.floor(x)
    total = np.zeros(image.shape[2])
    for row, column in itertools.product((top, top + 1), (left, left + 1)):
        weight = (1 - abs(y - row)) * (1 - abs(x - column))
        inside = (mirrored(row, image.shape[0]), mirrored(column, image.shape[1]))
        total += weight * image[inside].astype(float)
    return total


def mirrored(place: int, size: int) -> int:
    """Where a row or column beyond the border is read: 1, 0 | 0, 1, 2, ..."""
    place %= 2 * size
    return min(place, 2 * size - 1 - place)
