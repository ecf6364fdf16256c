"""Operations of where the light falls: side light, vignette.

Not albumentations' Illumination, which stops at an intensity of 0.2.
"""

import math
from functools import partial
from typing import Annotated, Any

import albumentations as A
import numpy as np
from pydantic import Field

from inspection.operations.operation import Image, Operation, Range, Transform
from inspection.operations.planes import along_angle, from_the_middle, grey_values, like


class SideLight(Transform):
    """Light that falls off in a straight ramp from one side, or corner, to the one across.

    Args:
        angle: where the light comes from: 0 the left, 90 the top, 180 the right, 270 the bottom, 45 between
            the left and the top.
        stops_range: how much brighter that side is than the one across, drawn uniformly, in stops.
        lost: whether the side across lost its lamp, so that the bright side stays as it was; else the mean
            of the light does.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        angle: Annotated[float, Field(ge=-360, le=360)]
        stops_range: Range
        lost: bool

    def __init__(
        self,
        angle: float = 0.0,
        stops_range: tuple[float, float] = (0.5, 1.5),
        lost: bool = False,
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.angle = angle
        self.stops_range = stops_range
        self.lost = lost

    def get_params(self) -> dict[str, Any]:
        """Draw the stops between the two sides."""
        return {"stops": self.py_random.uniform(*self.stops_range)}

    def apply(self, img: Image, stops: float, **_: Any) -> Image:
        """Multiply by a ramp from 1 + a to 1 - a, where (1 + a) / (1 - a) = 2 ** stops; lost: over 1 + a."""
        reach = math.tanh(stops * math.log(2.0) / 2.0)
        way = along_angle(img, self.angle)
        ramp = 1.0 - np.float32(reach) * way / max(float(way.max()), 1e-6)
        return grey_values(img * like(ramp / np.float32(1.0 + reach) if self.lost else ramp, img))


class Vignette(Transform):
    """Light that falls off from the middle of the image towards its corners.

    Args:
        stops_range: how much darker the corners are than the middle, drawn uniformly, in stops.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        stops_range: Range

    def __init__(self, stops_range: tuple[float, float] = (0.5, 1.5), p: float = 0.5):
        super().__init__(p=p)
        self.stops_range = stops_range

    def get_params(self) -> dict[str, Any]:
        """Draw the stops between the middle and the corners."""
        return {"stops": self.py_random.uniform(*self.stops_range)}

    def apply(self, img: Image, stops: float, **_: Any) -> Image:
        """Multiply by 2 ** (-stops r^2), where r is the distance from the middle, 1 in the corners."""
        down, across = from_the_middle(img)
        square = down**2 + across**2
        fall = np.exp2(np.float32(-stops) * square / max(float(square[0, 0]), 1e-6))
        return grey_values(img * like(fall, img))


def _side_light(angle: float, lowest: float, highest: float) -> A.BasicTransform:
    return SideLight(angle=angle, stops_range=(lowest, highest), p=1.0)


def _lost_lamp(angle: float, lowest: float, highest: float) -> A.BasicTransform:
    return SideLight(angle=angle, stops_range=(lowest, highest), lost=True, p=1.0)


def _vignette(lowest: float, highest: float) -> A.BasicTransform:
    return Vignette(stops_range=(lowest, highest), p=1.0)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="side light from the left",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light comes from the left",
        transform=partial(_side_light, 0.0),
    ),
    Operation(
        name="side light from the right",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light comes from the right",
        transform=partial(_side_light, 180.0),
    ),
    Operation(
        name="side light from the top",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light comes from the top",
        transform=partial(_side_light, 90.0),
    ),
    Operation(
        name="side light from the bottom",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light comes from the bottom",
        transform=partial(_side_light, 270.0),
    ),
    Operation(
        name="side light from the top left",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light comes from the top left",
        transform=partial(_side_light, 45.0),
    ),
    Operation(
        name="side light from the top right",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light comes from the top right",
        transform=partial(_side_light, 135.0),
    ),
    Operation(
        name="side light from the bottom right",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light comes from the bottom right",
        transform=partial(_side_light, 225.0),
    ),
    Operation(
        name="side light from the bottom left",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light comes from the bottom left",
        transform=partial(_side_light, 315.0),
    ),
    Operation(
        name="lamp lost on the left",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light on the left is gone",
        transform=partial(_lost_lamp, 180.0),
    ),
    Operation(
        name="lamp lost on the right",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light on the right is gone",
        transform=partial(_lost_lamp, 0.0),
    ),
    Operation(
        name="lamp lost at the top",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light at the top is gone",
        transform=partial(_lost_lamp, 270.0),
    ),
    Operation(
        name="lamp lost at the bottom",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light at the bottom is gone",
        transform=partial(_lost_lamp, 90.0),
    ),
    Operation(
        name="vignette",
        family="vignette",
        unit="stops",
        grid=(0.25, 0.5, 1.0, 2.0),
        meaning="the corners are darker than the middle",
        transform=_vignette,
    ),
)
