"""Planes that images are multiplied with: places counted along them, bands, and grey values again."""

import math

import numpy as np

from inspection.operations.operation import Image, Plane


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


def soft_band(away: Plane, width: float, edge: float) -> Plane:
    """1 in a band about 0 and 0 beyond it, with straight ramps; all three in pixels.

    The width lies between the middles of the ramps. A band narrower than its edges is nowhere quite 1.
    """
    height = (np.float32(width / 2.0) - np.abs(away)) / np.float32(edge) + np.float32(0.5)
    return np.asarray(np.clip(height, 0.0, 1.0), dtype=np.float32)


def like(plane: Plane, image: Image) -> Plane:
    """A plane with the axes of an image."""
    return plane if image.ndim == 2 else plane[:, :, None]


def grey_values(light: Plane) -> Image:
    """Light as 8-bit grey values, rounded and clipped."""
    return np.asarray(np.rint(np.clip(light, 0.0, 255.0)), dtype=np.uint8)
