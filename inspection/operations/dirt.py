"""Operations of what lies on the part or the lens: dust."""

import math
from collections.abc import Iterator
from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from inspection.operations.operation import Above, Image, Operation, Plane, Share, Transform
from inspection.operations.planes import grey_values, like

STEP = 0.5  # pixels from one point of a fibre to the next


class Dust(Transform):
    """Small dark specks with a soft edge at random places.

    Args:
        share_range: area of all specks together, drawn uniformly, share of the image.
        radius_range: of a speck, drawn uniformly for each, share of the shorter side.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        share_range: Share
        radius_range: Above

    def __init__(
        self,
        share_range: tuple[float, float] = (0.005, 0.03),
        radius_range: tuple[float, float] = (0.005, 0.03),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.share_range = share_range
        self.radius_range = radius_range

    def get_params(self) -> dict[str, Any]:
        """Draw the area and the seed of the specks."""
        return {"share": self.py_random.uniform(*self.share_range), "seed": self.py_random.getrandbits(32)}

    def apply(self, img: Image, share: float, seed: int, **_: Any) -> Image:
        """Let half to nine tenths of the light be lost in a speck; specks over each other multiply."""
        rng, light = default_rng(seed), np.ones(img.shape[:2], np.float32)
        for row, column, radius in _blobs(img, share, self.radius_range, rng):
            edge, lost = max(radius / 2.0, 1.0), rng.uniform(0.5, 0.9)
            window, distance = _around(img, row, column, radius + edge)
            light[window] *= 1.0 - lost * np.clip((radius - distance) / edge + 0.5, 0.0, 1.0)
        return grey_values(img * like(light, img))


class Hairs(Transform):
    """Thin dark curled fibres at random places.

    Args:
        share_range: area of all fibres together, drawn uniformly, share of the image.
        length_range: of a fibre, drawn uniformly for each, share of the shorter side.
        width_range: of a fibre, drawn uniformly for each, share of the shorter side.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        share_range: Share
        length_range: Above
        width_range: Above

    def __init__(
        self,
        share_range: tuple[float, float] = (0.005, 0.03),
        length_range: tuple[float, float] = (0.2, 0.6),
        width_range: tuple[float, float] = (0.006, 0.014),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.share_range = share_range
        self.length_range = length_range
        self.width_range = width_range

    def get_params(self) -> dict[str, Any]:
        """Draw the area and the seed of the fibres."""
        return {"share": self.py_random.uniform(*self.share_range), "seed": self.py_random.getrandbits(32)}

    def apply(self, img: Image, share: float, seed: int, **_: Any) -> Image:
        """Let half to nine tenths of the light be lost under a fibre; fibres over each other multiply."""
        rng, light = default_rng(seed), np.ones(img.shape[:2], np.float32)
        left = share * light.size  # pixels
        while left > 0.0:
            width = rng.uniform(*self.width_range) * min(img.shape[:2])
            points = _fibre(img, self.length_range, rng)
            within = points[: math.ceil(left / (width * STEP))]
            light *= 1.0 - np.float32(rng.uniform(0.5, 0.9)) * _covered(img, within, width)
            left -= width * STEP * len(points)
        return grey_values(img * like(light, img))


def _fibre(image: Image, lengths: tuple[float, float], rng: Generator) -> NDArray[np.float64]:
    """Draw the points (points, 2), rows and columns half a pixel apart, of a fibre, as far as in the image.

    It starts anywhere, in any direction, turns by up to 200 degrees on its way, and curls by up to 60 degrees
    to either side of that in a wave as long as itself.
    """
    height, width = image.shape[:2]
    steps = math.ceil(rng.uniform(*lengths) * min(height, width) / STEP)
    start = rng.uniform(-0.5, height - 0.5), rng.uniform(-0.5, width - 0.5)
    first, turn, curl, phase = np.radians(rng.uniform((0, -200, -60, 0), (360, 200, 60, 360)))
    way = np.arange(steps) / steps
    heading = first + turn * way + curl * np.sin(2.0 * math.pi * way + phase)
    ahead = STEP * np.stack([np.sin(heading), np.cos(heading)], axis=1)
    points = start + np.cumsum(ahead, axis=0) - ahead
    inside = np.all((points >= -0.5) & (points < (height - 0.5, width - 0.5)), axis=1)
    return np.asarray(points[inside])


def _covered(image: Image, points: NDArray[np.float64], width: float) -> Plane:
    """The share of every pixel under a line of a width (pixels) through points, as if it ran straight."""
    reach = math.ceil(width / 2.0 + 0.5)
    near = np.full([size + 2 * reach for size in image.shape[:2]], np.inf, np.float32)
    offsets = np.arange(-reach, reach + 1)
    pixels = np.rint(points).astype(np.int64)[:, :, None] + offsets  # (points, rows and columns, offsets)
    squares = (pixels - points[:, :, None]) ** 2
    distance = np.sqrt(squares[:, 0, :, None] + squares[:, 1, None, :]).astype(np.float32)
    np.minimum.at(near, (pixels[:, 0, :, None] + reach, pixels[:, 1, None, :] + reach), distance)
    inner = near[reach:-reach, reach:-reach]
    return np.asarray(np.clip(width / 2.0 + 0.5 - inner, 0.0, min(width, 1.0)), dtype=np.float32)


class Droplets(Transform):
    """Drops of oil or water: blurred and a fifth brighter within, with a rim half as dark.

    Args:
        share_range: area of all drops together, drawn uniformly, share of the image.
        radius_range: of a drop, drawn uniformly for each, share of the shorter side.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        share_range: Share
        radius_range: Above

    def __init__(
        self,
        share_range: tuple[float, float] = (0.03, 0.12),
        radius_range: tuple[float, float] = (0.03, 0.08),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.share_range = share_range
        self.radius_range = radius_range

    def get_params(self) -> dict[str, Any]:
        """Draw the area and the seed of the drops."""
        return {"share": self.py_random.uniform(*self.share_range), "seed": self.py_random.getrandbits(32)}

    def apply(self, img: Image, share: float, seed: int, **_: Any) -> Image:
        """Put the blurred image into the drops and darken their rims, the outer quarter of the radius."""
        inside, rim = np.zeros(img.shape[:2], np.float32), np.zeros(img.shape[:2], np.float32)
        for row, column, radius in _blobs(img, share, self.radius_range, default_rng(seed)):
            window, distance = _around(img, row, column, radius + 1.0)
            within = np.clip(radius - distance + 0.5, 0.0, 1.0)
            inside[window] = np.maximum(inside[window], within)
            rim[window] = np.maximum(rim[window], within * np.clip(4.0 * distance / radius - 3.0, 0.0, 1.0))
        light = img.astype(np.float32)
        blurred = cv2.GaussianBlur(light, (0, 0), max(0.02 * min(img.shape[:2]), 0.5)).reshape(img.shape)
        light += like(inside, img) * (np.float32(1.2) * blurred - light)
        return grey_values(light * like(1.0 - np.float32(0.5) * rim, img))


def _blobs(
    image: Image, share: float, radii: tuple[float, float], rng: Generator
) -> Iterator[tuple[float, float, float]]:
    """Draw row, column and radius (pixels) of discs until their areas make up a share of the image.

    The last disc is as small as it must be for the exact area; more of a share adds discs to the same ones.
    """
    height, width = image.shape[:2]
    left = share * height * width
    while left > 0.0:
        drawn = rng.uniform(*radii) * min(height, width)
        radius = min(drawn, math.sqrt(left / math.pi))
        yield rng.uniform(-0.5, height - 0.5), rng.uniform(-0.5, width - 0.5), radius
        left -= math.pi * drawn**2


def _around(image: Image, row: float, column: float, reach: float) -> tuple[tuple[slice, slice], Plane]:
    """The part of an image that is near a place, and the distance (pixels) of its pixels from there."""
    rows, columns = (
        np.arange(max(math.ceil(at - reach), 0), min(math.floor(at + reach) + 1, size), dtype=np.float32)
        for at, size in zip((row, column), image.shape[:2], strict=True)
    )
    window = tuple(slice(int(each[0]), int(each[-1]) + 1) for each in (rows, columns))
    return (window[0], window[1]), np.hypot(rows[:, None] - row, columns[None, :] - column)


def _dust(lowest: float, highest: float) -> A.BasicTransform:
    return Dust(share_range=(lowest, highest), p=1.0)


def _hairs(lowest: float, highest: float) -> A.BasicTransform:
    return Hairs(share_range=(lowest, highest), p=1.0)


def _droplets(lowest: float, highest: float) -> A.BasicTransform:
    return Droplets(share_range=(lowest, highest), p=1.0)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="dust",
        family="dust",
        unit="of the area",
        grid=(0.005, 0.01, 0.02, 0.05),
        meaning="dark specks lie on the part or the lens",
        transform=_dust,
        limit=0.5,
    ),
    Operation(
        name="hairs",
        family="dust",
        unit="of the area",
        grid=(0.005, 0.01, 0.02, 0.05),
        meaning="dark thin fibres lie on the part or the lens",
        transform=_hairs,
        limit=0.5,
    ),
    Operation(
        name="droplets",
        family="dust",
        unit="of the area",
        grid=(0.02, 0.05, 0.1, 0.2),
        meaning="drops of oil or water lie on the part or the lens",
        transform=_droplets,
        limit=0.5,
    ),
)
