"""Operations of sharpness: defocus, motion blur.

albumentations' own MotionBlur and Defocus know whole odd or whole sizes only.
"""

import math
from functools import partial
from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.operations.operation import (
    ANY,
    COLUMNS,
    ROWS,
    Angles,
    Image,
    Operation,
    Plane,
    Range,
    Transform,
)
from inspection.operations.planes import along_angle, grey_values, like

DISC_PARTS = 16  # of a pixel's side, in which a disc is counted
FOCUS_STEPS = 5  # images, from sharp to blurred, that a tilted focus is blended from
NO_BLUR = 0.1  # pixels: a Gaussian of a smaller sigma is none


class LineBlur(Transform):
    """The smear of a part that moves straight while the shutter is open.

    Unlike MotionBlur its length is any number, not only 3, 5, 7, and its line is not stepped.

    Args:
        length_range: way that the part moves, drawn uniformly, in pixels.
        angle_range: direction of the way, drawn uniformly: 0 along the rows, 90 along the columns.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        length_range: Range
        angle_range: Angles

    def __init__(
        self,
        length_range: tuple[float, float] = (2.0, 6.0),
        angle_range: tuple[float, float] = (0.0, 180.0),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.length_range = length_range
        self.angle_range = angle_range

    def get_params(self) -> dict[str, Any]:
        """Draw the length (pixels) and the direction."""
        length = self.py_random.uniform(*self.length_range)
        return {"length": length, "angle": self.py_random.uniform(*self.angle_range)}

    def apply(self, img: Image, length: float, angle: float, **_: Any) -> Image:
        """Average the image along the line."""
        return _averaged(img, line_kernel(length, angle))


def line_kernel(length: float, angle: float, fading: bool = False) -> Plane:
    """Return the weights (size, size), summing to 1, of a line of a length (pixels) at an angle (degrees).

    Every point of the line is shared among its four nearest pixels, as in bilinear interpolation. All points
    weigh alike, or, where the line is `fading`, in proportion to how far they are from its nearer end.
    """
    half = int(length / 2.0) + 1
    points = 16 * half
    places = (np.arange(points) + 0.5) / points - 0.5
    weights = 0.5 - np.abs(places) if fading else np.ones(points)
    turn = math.radians(angle)
    across, columns = _shared(places * length, math.cos(turn), half)
    down, rows = _shared(places * length, math.sin(turn), half)
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    kernel[rows, columns] = down.T @ (weights[:, None] * across) / weights.sum()
    return kernel


def _shared(along: NDArray[np.float64], step: float, half: int) -> tuple[NDArray[np.float64], slice]:
    """What of each point (points, pixels) each pixel of an axis has, and which pixels the line reaches.

    The points are as far `along` the line; a step along it is `step` along the axis. A line along the rows
    reaches one row: long streaks on 224 pixels take 20 ms in place of 79 ms.
    """
    reach = min(half, int(abs(step) * float(np.abs(along).max())) + 1)
    pixels = np.arange(-reach, reach + 1)
    shares = np.clip(1.0 - np.abs(pixels - step * along[:, None]), 0.0, 1.0)
    return shares, slice(half - reach, half + reach + 1)


class DiscBlur(Transform):
    """A lens out of focus: every point becomes a disc, as wide as the aperture is open.

    Unlike Defocus its radius is any number, not only 1, 2, 3.

    Args:
        radius_range: radius of the disc, drawn uniformly, in pixels.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        radius_range: Range

    def __init__(self, radius_range: tuple[float, float] = (1.0, 4.0), p: float = 0.5):
        super().__init__(p=p)
        self.radius_range = radius_range

    def get_params(self) -> dict[str, Any]:
        """Draw the radius (pixels)."""
        return {"radius": self.py_random.uniform(*self.radius_range)}

    def apply(self, img: Image, radius: float, **_: Any) -> Image:
        """Average the image over the disc."""
        return _averaged(img, disc_kernel(radius))


def _averaged(img: Image, kernel: Plane) -> Image:
    return np.asarray(cv2.filter2D(img, -1, kernel), dtype=np.uint8).reshape(img.shape)


def disc_kernel(radius: float) -> Plane:
    """Return the weights (size, size), summing to 1, of a disc of a radius (pixels).

    Each pixel counts by how many of its 16 x 16 parts have their middle on the disc; where none has, for the
    disc is a point, the pixel in the middle counts alone.
    """
    half = math.ceil(max(radius - 0.5, 0.0))
    size = 2 * half + 1
    places = (np.arange(size * DISC_PARTS) + 0.5) / DISC_PARTS - size / 2.0
    inside = places[:, None] ** 2 + places**2 <= radius**2
    weights = inside.reshape(size, DISC_PARTS, size, DISC_PARTS).sum((1, 3)).astype(np.float32)
    weights[half, half] = max(weights[half, half], 1.0)
    return np.asarray(weights / weights.sum(), dtype=np.float32)


class TiltedFocus(Transform):
    """A tilted focal plane: sharp on one side, at random, and blurred more and more towards the other.

    Args:
        sigma_range: blur at the far side, drawn uniformly, pixels (sigma of a Gaussian).
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        sigma_range: Range

    def __init__(self, sigma_range: tuple[float, float] = (1.0, 4.0), p: float = 0.5):
        super().__init__(p=p)
        self.sigma_range = sigma_range

    def get_params(self) -> dict[str, Any]:
        """Draw the blur and the direction in which it grows."""
        return {"sigma": self.py_random.uniform(*self.sigma_range), "angle": self.py_random.uniform(0, 360)}

    def apply(self, img: Image, sigma: float, angle: float, **_: Any) -> Image:
        """Blend five images, each blurred by a quarter more of sigma than the one before, along the way."""
        way = along_angle(img, angle)
        share = (way - way.min()) / max(float(way.max() - way.min()), 1e-6) * (FOCUS_STEPS - 1)
        light = img.astype(np.float32)
        total = np.zeros_like(light)
        for step in range(FOCUS_STEPS):
            weight = np.maximum(1.0 - np.abs(share - step), 0.0)
            total += like(weight, img) * _blurred(light, sigma * step / (FOCUS_STEPS - 1))
        return grey_values(total)


def _blurred(light: Plane, sigma: float) -> Plane:
    if sigma < NO_BLUR:
        return light
    blurred = cv2.GaussianBlur(light, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32).reshape(light.shape)


class SpinBlur(Transform):
    """The smear of a part that turns about the image's middle while the shutter is open; mirrored border.

    Args:
        degrees_range: angle that the part sweeps, half of it to either side, drawn uniformly.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        degrees_range: Range

    def __init__(self, degrees_range: tuple[float, float] = (2.0, 8.0), p: float = 0.5):
        super().__init__(p=p)
        self.degrees_range = degrees_range

    def get_params(self) -> dict[str, Any]:
        """Draw the angle."""
        return {"sweep": self.py_random.uniform(*self.degrees_range)}

    def apply(self, img: Image, sweep: float, **_: Any) -> Image:
        """Average the image over turns by the middles of equal parts of the angle.

        There are at least three, and so many that the corners move by at most a pixel from one to the next.
        """
        light = img.astype(np.float32)
        corner = math.radians(sweep) * math.hypot(*img.shape[:2]) / 2.0  # its way in pixels
        turns = max(math.ceil(corner), 3)
        total = np.zeros_like(light)
        for each in range(turns):
            total += _turned(light, ((each + 0.5) / turns - 0.5) * sweep)
        return grey_values(total / np.float32(turns))


def _turned(light: Plane, degrees: float) -> Plane:
    """An image turned about its middle, clockwise; bilinear, mirrored at the border."""
    height, width = light.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2.0, (height - 1) / 2.0), -degrees, 1.0)
    turned = cv2.warpAffine(
        light, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(turned, dtype=np.float32).reshape(light.shape)


def _defocus(lowest: float, highest: float) -> A.BasicTransform:
    """A Gaussian. The kernel's size follows sigma; below a sigma of 0.29 it is a single pixel."""
    return A.GaussianBlur(blur_limit=0, sigma_limit=(lowest, highest), p=1.0)


def _disc_defocus(lowest: float, highest: float) -> A.BasicTransform:
    """A disc, of which more of the finest detail is left than of a Gaussian as wide (sigma r / 2)."""
    return DiscBlur(radius_range=(lowest, highest), p=1.0)


def _line_blur(angles: tuple[float, float], lowest: float, highest: float) -> A.BasicTransform:
    return LineBlur(length_range=(lowest, highest), angle_range=angles, p=1.0)


def _spin_blur(lowest: float, highest: float) -> A.BasicTransform:
    return SpinBlur(degrees_range=(lowest, highest), p=1.0)


def _tilted_focus(lowest: float, highest: float) -> A.BasicTransform:
    return TiltedFocus(sigma_range=(lowest, highest), p=1.0)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="defocus",
        family="defocus",
        unit="pixels (sigma)",
        grid=(0.5, 1.0, 1.5, 2.0, 3.0),
        meaning="the image is out of focus",
        transform=_defocus,
    ),
    Operation(
        name="disc defocus",
        family="defocus",
        unit="pixels (radius)",
        grid=(1.0, 2.0, 3.0, 4.0, 6.0),
        meaning="the image is out of focus, every point of it a disc",
        transform=_disc_defocus,
    ),
    Operation(
        name="tilted focus",
        family="defocus",
        unit="pixels (sigma) at the far side",
        grid=(1.0, 2.0, 3.0, 5.0),
        meaning="one side of the image is out of focus",
        transform=_tilted_focus,
    ),
    Operation(
        name="motion blur",
        family="motion blur",
        unit="pixels",
        grid=(2.0, 4.0, 6.0, 9.0, 12.0),
        meaning="the part or the camera moves while the shutter is open",
        transform=partial(_line_blur, ANY),
    ),
    Operation(
        name="horizontal motion blur",
        family="motion blur",
        unit="pixels",
        grid=(2.0, 4.0, 6.0, 9.0, 12.0),
        meaning="the part or the camera moves along the rows while the shutter is open",
        transform=partial(_line_blur, ROWS),
    ),
    Operation(
        name="vertical motion blur",
        family="motion blur",
        unit="pixels",
        grid=(2.0, 4.0, 6.0, 9.0, 12.0),
        meaning="the part or the camera moves along the columns while the shutter is open",
        transform=partial(_line_blur, COLUMNS),
    ),
    Operation(
        name="motion blur along the falling diagonal",
        family="motion blur",
        unit="pixels",
        grid=(2.0, 4.0, 6.0, 9.0, 12.0),
        meaning="the part or the camera moves along the falling diagonal while the shutter is open",
        transform=partial(_line_blur, (45.0, 45.0)),
    ),
    Operation(
        name="motion blur along the rising diagonal",
        family="motion blur",
        unit="pixels",
        grid=(2.0, 4.0, 6.0, 9.0, 12.0),
        meaning="the part or the camera moves along the rising diagonal while the shutter is open",
        transform=partial(_line_blur, (135.0, 135.0)),
    ),
    Operation(
        name="spin blur",
        family="motion blur",
        unit="degrees",
        grid=(2.0, 4.0, 8.0, 12.0),
        meaning="the part or the camera turns while the shutter is open",
        transform=_spin_blur,
        limit=180.0,
    ),
)
