"""Operations of reflections: hot spot."""

import math
from typing import Any

import albumentations as A
import numpy as np

from inspection.operations.operation import Above, Angles, Image, Operation, Plane, Range, Transform
from inspection.operations.planes import along_angle, grey_values, like, soft_band

HALF_WIDTH = 2.0 * math.sqrt(2.0 * math.log(2.0))  # of a Gaussian at half its peak, in sigmas: 2.35


class HotSpot(Transform):
    """A round bright spot at a random place: half of its light shows the part, half is glare.

    Args:
        gain_range: light added in the middle of the spot, drawn uniformly, times the normal light.
        radius_range: sigma of the spot, drawn uniformly, share of the shorter side.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        gain_range: Range
        radius_range: Above

    def __init__(
        self,
        gain_range: tuple[float, float] = (0.5, 1.5),
        radius_range: tuple[float, float] = (0.12, 0.25),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.gain_range = gain_range
        self.radius_range = radius_range

    def get_params(self) -> dict[str, Any]:
        """Draw the gain, the sigma and the middle (shares of width and height) of the spot."""
        return {
            "gain": self.py_random.uniform(*self.gain_range),
            "radius": self.py_random.uniform(*self.radius_range),
            "middle": (self.py_random.uniform(0.15, 0.85), self.py_random.uniform(0.15, 0.85)),
        }

    def apply(self, img: Image, gain: float, radius: float, middle: tuple[float, float], **_: Any) -> Image:
        """Add gain * spot * (image + its mean) / 2: a constant image is 1 + gain times brighter there."""
        height, width = img.shape[:2]
        sigma = radius * min(height, width)
        across = _bell(width, middle[0], sigma)
        down = _bell(height, middle[1], sigma)
        return _lit(img, gain, down[:, None] * across[None, :])


class Glint(Transform):
    """A thin bright streak, as an edge or a scratch throws it back: half shows the part, half is glare.

    Args:
        gain_range: light added in the middle of the streak, drawn uniformly, times the normal light.
        length_range: of the streak where it is at least half as bright as in its middle, drawn uniformly,
            share of the shorter side.
        radius_range: sigma across the streak, drawn uniformly, share of the shorter side; at least half a
            pixel.
        angle_range: direction of the streak, drawn uniformly: 0 along the rows, 90 along the columns.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        gain_range: Range
        length_range: Above
        radius_range: Above
        angle_range: Angles

    def __init__(
        self,
        gain_range: tuple[float, float] = (0.5, 1.5),
        length_range: tuple[float, float] = (0.3, 0.6),
        radius_range: tuple[float, float] = (0.02, 0.05),
        angle_range: tuple[float, float] = (0.0, 180.0),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.gain_range = gain_range
        self.length_range = length_range
        self.radius_range = radius_range
        self.angle_range = angle_range

    def get_params(self) -> dict[str, Any]:
        """Draw the gain, the length, the sigma, the direction and the middle (shares of width and height)."""
        return {
            "gain": self.py_random.uniform(*self.gain_range),
            "length": self.py_random.uniform(*self.length_range),
            "radius": self.py_random.uniform(*self.radius_range),
            "angle": self.py_random.uniform(*self.angle_range),
            "middle": (self.py_random.uniform(0.15, 0.85), self.py_random.uniform(0.15, 0.85)),
        }

    def apply(
        self,
        img: Image,
        gain: float,
        length: float,
        radius: float,
        angle: float,
        middle: tuple[float, float],
        **_: Any,
    ) -> Image:
        """Add gain * streak * (image + its mean) / 2, where the streak is an elliptic Gaussian."""
        short = min(img.shape[:2])
        along, across = _along_and_across(img, middle, angle)
        along /= np.float32(max(length * short / HALF_WIDTH, 0.5))
        across /= np.float32(max(radius * short, 0.5))
        return _lit(img, gain, np.exp(np.float32(-0.5) * (along**2 + across**2)))


class WindowReflection(Transform):
    """A bright rectangle with soft edges, as a window is mirrored: half shows the part, half is glare.

    Args:
        gain_range: light added in the rectangle, drawn uniformly, times the normal light.
        side_range: of the rectangle, drawn uniformly for each of the two, share of the shorter side.
        softness_range: width of its edges, drawn uniformly, share of the shorter side; at least one pixel.
        angle_range: direction of one of the sides, drawn uniformly: 0 along the rows, 90 along the columns.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        gain_range: Range
        side_range: Above
        softness_range: Range
        angle_range: Angles

    def __init__(
        self,
        gain_range: tuple[float, float] = (0.5, 1.5),
        side_range: tuple[float, float] = (0.12, 0.3),
        softness_range: tuple[float, float] = (0.04, 0.12),
        angle_range: tuple[float, float] = (0.0, 180.0),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.gain_range = gain_range
        self.side_range = side_range
        self.softness_range = softness_range
        self.angle_range = angle_range

    def get_params(self) -> dict[str, Any]:
        """Draw the gain, the sides, the softness, the direction and the middle (shares of both sides)."""
        return {
            "gain": self.py_random.uniform(*self.gain_range),
            "sides": (self.py_random.uniform(*self.side_range), self.py_random.uniform(*self.side_range)),
            "softness": self.py_random.uniform(*self.softness_range),
            "angle": self.py_random.uniform(*self.angle_range),
            "middle": (self.py_random.uniform(0.15, 0.85), self.py_random.uniform(0.15, 0.85)),
        }

    def apply(
        self,
        img: Image,
        gain: float,
        sides: tuple[float, float],
        softness: float,
        angle: float,
        middle: tuple[float, float],
        **_: Any,
    ) -> Image:
        """Add gain * pane * (image + its mean) / 2, where the pane is 1, and falls to 0 across its edges."""
        short = min(img.shape[:2])
        along, across = _along_and_across(img, middle, angle)
        edge = max(softness * short, 1.0)
        pane = soft_band(along, sides[0] * short, edge) * soft_band(across, sides[1] * short, edge)
        return _lit(img, gain, pane)


def _lit(image: Image, gain: float, spot: Plane) -> Image:
    """An image plus the light of a spot (1 where it is brightest), half on the part and half as glare."""
    light = image.astype(np.float32)
    return grey_values(light + np.float32(gain / 2.0) * like(spot, image) * (light + light.mean()))


def _bell(size: int, middle: float, sigma: float) -> Plane:
    """A Gaussian (size,) with its peak of 1 at a share of the size."""
    distance = np.arange(size, dtype=np.float32) - np.float32(middle * (size - 1))
    return np.asarray(np.exp(-0.5 * (distance / np.float32(sigma)) ** 2), dtype=np.float32)


def _along_and_across(image: Image, middle: tuple[float, float], angle: float) -> tuple[Plane, Plane]:
    """How far (pixels) every pixel lies along a direction, and across it, from shares of width and height."""
    height, width = image.shape[:2]
    right, down = (middle[0] - 0.5) * (width - 1), (middle[1] - 0.5) * (height - 1)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along = along_angle(image, angle) - np.float32(cosine * right + sine * down)
    return along, along_angle(image, angle + 90.0) - np.float32(cosine * down - sine * right)


def _hot_spot(lowest: float, highest: float) -> A.BasicTransform:
    return HotSpot(gain_range=(lowest, highest), p=1.0)


def _glint(lowest: float, highest: float) -> A.BasicTransform:
    return Glint(gain_range=(lowest, highest), p=1.0)


def _window_reflection(lowest: float, highest: float) -> A.BasicTransform:
    return WindowReflection(gain_range=(lowest, highest), p=1.0)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="hot spot",
        family="hot spot",
        unit="times the normal light",
        grid=(0.25, 0.5, 1.0, 2.0, 4.0),
        meaning="a bright spot lies on the part",
        transform=_hot_spot,
    ),
    Operation(
        name="glint",
        family="hot spot",
        unit="times the normal light",
        grid=(0.25, 0.5, 1.0, 2.0, 4.0),
        meaning="a bright thin streak lies on the part",
        transform=_glint,
    ),
    Operation(
        name="window reflection",
        family="hot spot",
        unit="times the normal light",
        grid=(0.25, 0.5, 1.0, 2.0, 4.0),
        meaning="a window or a lamp with straight edges is mirrored on the part",
        transform=_window_reflection,
    ),
)
