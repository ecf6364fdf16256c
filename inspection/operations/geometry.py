"""Operations of where the part lies: geometry."""

import math
from functools import partial
from typing import Annotated, Any

import albumentations as A
import cv2
import numpy as np
from albumentations.core.pydantic import check_range_bounds, nondecreasing
from numpy.typing import NDArray
from pydantic import AfterValidator

from inspection.operations.operation import Angles, Image, Operation, Range, Transform

GreyLevels = Annotated[
    tuple[float, float], AfterValidator(nondecreasing), AfterValidator(check_range_bounds(0, 255))
]
Pull = Annotated[
    tuple[float, float], AfterValidator(nondecreasing), AfterValidator(check_range_bounds(0, 0.4))
]
DARK = (0.0, 40.0)  # grey levels of a background


class Displacement(Transform):
    """A part that lies turned, to either side, or shifted, in any direction; the border is mirrored or dark.

    Not Affine: it draws from one interval, so that a given angle always turns to the same side, and draws the
    shifts along the two sides apart, so that no length of the way can be asked for.

    Args:
        degrees_range: size of the turn about the middle, drawn uniformly; its sign is random.
        shift_range: length of the way, drawn uniformly, share of the shorter side; its direction is random.
        fill_range: grey level of what enters at the border, drawn uniformly; None mirrors the image there.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        degrees_range: Range
        shift_range: Range
        fill_range: GreyLevels | None

    def __init__(
        self,
        degrees_range: tuple[float, float] = (0.0, 0.0),
        shift_range: tuple[float, float] = (0.0, 0.0),
        fill_range: tuple[float, float] | None = None,
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.degrees_range = degrees_range
        self.shift_range = shift_range
        self.fill_range = fill_range

    def get_params(self) -> dict[str, Any]:
        """Draw the turn, the way, its direction and the grey level of what enters."""
        return {
            "turn": self.py_random.choice((-1.0, 1.0)) * self.py_random.uniform(*self.degrees_range),
            "way": self.py_random.uniform(*self.shift_range),
            "towards": self.py_random.uniform(0.0, 360.0),
            "fill": None if self.fill_range is None else round(self.py_random.uniform(*self.fill_range)),
        }

    def apply(
        self, img: Image, turn: float, way: float, towards: float, fill: int | None = None, **_: Any
    ) -> Image:
        """Turn about the middle, then shift; bilinear, as the warp is by which most lines align their parts.

        Not BORDER_REFLECT_101, with which OpenCV never comes back from an image one pixel wide or high.
        """
        height, width = img.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2.0, (height - 1) / 2.0), -turn, 1.0)
        length, direction = way * min(height, width), math.radians(towards)
        matrix[:, 2] += length * math.cos(direction), length * math.sin(direction)
        border = cv2.BORDER_REFLECT if fill is None else cv2.BORDER_CONSTANT
        moved = cv2.warpAffine(
            img,
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=border,
            borderValue=(fill or 0,) * 4,
        )
        return np.asarray(moved, dtype=np.uint8).reshape(img.shape)


class Keystone(Transform):
    """A camera that looks at the part aslant, from any direction; the border is mirrored.

    The nearest corner stays and the furthest is pulled in, so that all of the part remains in the image.
    Not Perspective: it draws each corner's way by itself from a normal distribution of which its scale is the
    deviation, so that no pull can be asked for.

    Args:
        pull_range: how far the furthest corner is pulled towards the middle, drawn uniformly, share of the
            shorter side; at most 0.4, as the horizon comes into the image soon after.
        angle_range: where the part is further away, drawn uniformly: 0 to the right, 90 down.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        pull_range: Pull
        angle_range: Angles

    def __init__(
        self,
        pull_range: tuple[float, float] = (0.05, 0.15),
        angle_range: tuple[float, float] = (0.0, 360.0),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.pull_range = pull_range
        self.angle_range = angle_range

    def get_params(self) -> dict[str, Any]:
        """Draw the pull and where the part is further away."""
        pull = self.py_random.uniform(*self.pull_range)
        return {"pull": pull, "angle": self.py_random.uniform(*self.angle_range)}

    def apply(self, img: Image, pull: float, angle: float, **_: Any) -> Image:
        """Warp by the keystone; bilinear, as the warp is by which most lines align their parts."""
        height, width = img.shape[:2]
        warped = cv2.warpPerspective(
            img,
            keystone(height, width, pull, angle),
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        return np.asarray(warped, dtype=np.uint8).reshape(img.shape)


def keystone(height: int, width: int, pull: float, angle: float) -> NDArray[np.float64]:
    """Return the homography (3, 3) of pixels (column, row, 1) that pulls the furthest corner in by `pull`.

    From the middle of the image a place x goes to x (1 - k) / (1 + k t), where t runs from -1 in the nearest
    corner to 1 in the furthest: these stay, and come nearer by the factor (1 - k) / (1 + k).
    """
    turn = math.radians(angle)
    reach = (abs(math.cos(turn)) * width + abs(math.sin(turn)) * height) / 2.0
    lost = pull * min(height, width) / (math.hypot(height, width) / 2.0)  # of the corner's way to the middle
    slant = lost / (2.0 - lost)
    tilt = np.diag([1.0 - slant, 1.0 - slant, 1.0])
    tilt[2, :2] = slant * math.cos(turn) / reach, slant * math.sin(turn) / reach
    centre = np.array([[1.0, 0.0, (width - 1) / 2.0], [0.0, 1.0, (height - 1) / 2.0], [0.0, 0.0, 1.0]])
    return np.asarray(centre @ tilt @ np.linalg.inv(centre))


def _rotation(fill: tuple[float, float] | None, lowest: float, highest: float) -> A.BasicTransform:
    return Displacement(degrees_range=(lowest, highest), fill_range=fill, p=1.0)


def _shift(fill: tuple[float, float] | None, lowest: float, highest: float) -> A.BasicTransform:
    return Displacement(shift_range=(lowest, highest), fill_range=fill, p=1.0)


def _perspective(lowest: float, highest: float) -> A.BasicTransform:
    return Keystone(pull_range=(lowest, highest), p=1.0)


def _size(sign: int, lowest: float, highest: float) -> A.BasicTransform:
    """Scale about the middle; bilinear, as the warp is by which most lines align their parts."""
    factors = tuple(sorted((1.0 + sign * lowest, 1.0 + sign * highest)))
    return A.Affine(
        scale=factors,
        keep_ratio=True,
        interpolation=cv2.INTER_LINEAR,
        border_mode=cv2.BORDER_REFLECT,
        p=1.0,
    )


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="rotation",
        family="geometry",
        unit="degrees",
        grid=(1.0, 3.0, 7.0, 15.0),
        meaning="the part lies turned",
        transform=partial(_rotation, None),
        limit=180.0,
    ),
    Operation(
        name="shift",
        family="geometry",
        unit="of the shorter side",
        grid=(0.01, 0.03, 0.07, 0.15),
        meaning="the part lies elsewhere in the image",
        transform=partial(_shift, None),
        limit=0.5,
    ),
    Operation(
        name="rotation over a dark background",
        family="geometry",
        unit="degrees",
        grid=(1.0, 3.0, 7.0, 15.0),
        meaning="the part lies turned on a dark background",
        transform=partial(_rotation, DARK),
        limit=180.0,
    ),
    Operation(
        name="shift off the frame",
        family="geometry",
        unit="of the shorter side",
        grid=(0.01, 0.03, 0.07, 0.15),
        meaning="the part lies partly outside the image, with a dark background beside it",
        transform=partial(_shift, DARK),
        limit=0.5,
    ),
    Operation(
        name="perspective",
        family="geometry",
        unit="of the shorter side",
        grid=(0.03, 0.07, 0.15, 0.25),
        meaning="the camera looks at the part aslant",
        transform=_perspective,
        limit=0.4,
    ),
    Operation(
        name="scale up",
        family="geometry",
        unit="of the size added",
        grid=(0.03, 0.08, 0.2, 0.4),
        meaning="the part appears larger",
        transform=partial(_size, 1),
    ),
    Operation(
        name="scale down",
        family="geometry",
        unit="of the size lost",
        grid=(0.03, 0.08, 0.2, 0.4),
        meaning="the part appears smaller",
        transform=partial(_size, -1),
        limit=0.9,
    ),
)
