"""Operations of what stands in the light: shadow."""

from functools import partial
from typing import Any

import albumentations as A
import numpy as np

from inspection.operations.operation import Above, Angles, Image, Operation, Range, Transform
from inspection.operations.planes import along_angle, grey_values, like, soft_band


class ShadowEdge(Transform):
    """A shadow with one straight edge, hard or soft, at a random angle and place.

    Not RandomShadow: its polygons of random corners cross themselves, and have hard edges only.
    Not PlasmaShadow: it has no edge, and darkens fully at one place only, as its pattern runs from 0 to 1.

    Args:
        stops_range: how much darker it is in the shadow, drawn uniformly, in stops.
        softness_range: width of the edge, drawn uniformly, share of the shorter side; at least one pixel.
        angle_range: from the light into the shadow, drawn uniformly: 0 to the right, 90 down.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        stops_range: Range
        softness_range: Range
        angle_range: Angles

    def __init__(
        self,
        stops_range: tuple[float, float] = (0.5, 1.5),
        softness_range: tuple[float, float] = (0.0, 0.3),
        angle_range: tuple[float, float] = (0.0, 360.0),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.stops_range = stops_range
        self.softness_range = softness_range
        self.angle_range = angle_range

    def get_params(self) -> dict[str, Any]:
        """Draw the stops, the width, the side that the shadow lies on, and how far from the middle."""
        return {
            "stops": self.py_random.uniform(*self.stops_range),
            "softness": self.py_random.uniform(*self.softness_range),
            "angle": self.py_random.uniform(*self.angle_range),
            "place": self.py_random.uniform(-0.25, 0.25),  # of the shorter side
        }

    def apply(self, img: Image, stops: float, softness: float, angle: float, place: float, **_: Any) -> Image:
        """Multiply by 2 ** -stops beyond the edge, and by a straight ramp from 1 to that across it."""
        short = min(img.shape[:2])
        beyond = (along_angle(img, angle) - np.float32(place * short)) / np.float32(
            max(softness * short, 1.0)
        )
        shade = np.clip(beyond + np.float32(0.5), 0.0, 1.0)
        return grey_values(img * like(1.0 - np.float32(1.0 - 2.0**-stops) * shade, img))


class ShadowBand(Transform):
    """A dark straight band with soft edges across the image, as a cable or a gantry throws it.

    Args:
        stops_range: how much darker it is in the band, drawn uniformly, in stops.
        width_range: from the middle of one edge to that of the other, drawn uniformly, share of the shorter
            side.
        softness_range: width of its edges, drawn uniformly, share of the shorter side; at least one pixel.
        angle_range: direction of the band, drawn uniformly: 0 along the rows, 90 along the columns.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        stops_range: Range
        width_range: Above
        softness_range: Range
        angle_range: Angles

    def __init__(
        self,
        stops_range: tuple[float, float] = (0.5, 1.5),
        width_range: tuple[float, float] = (0.1, 0.3),
        softness_range: tuple[float, float] = (0.02, 0.1),
        angle_range: tuple[float, float] = (0.0, 180.0),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.stops_range = stops_range
        self.width_range = width_range
        self.softness_range = softness_range
        self.angle_range = angle_range

    def get_params(self) -> dict[str, Any]:
        """Draw the stops, the width, the softness, the direction, and how far from the middle it lies."""
        return {
            "stops": self.py_random.uniform(*self.stops_range),
            "width": self.py_random.uniform(*self.width_range),
            "softness": self.py_random.uniform(*self.softness_range),
            "angle": self.py_random.uniform(*self.angle_range),
            "place": self.py_random.uniform(-0.35, 0.35),  # of the shorter side
        }

    def apply(
        self,
        img: Image,
        stops: float,
        width: float,
        softness: float,
        angle: float,
        place: float,
        **_: Any,
    ) -> Image:
        """Multiply by 2 ** -stops in the band, and by straight ramps from that to 1 across its edges."""
        short = min(img.shape[:2])
        away = along_angle(img, angle + 90.0) - np.float32(place * short)
        shade = soft_band(away, width * short, max(softness * short, 1.0))
        return grey_values(img * like(1.0 - np.float32(1.0 - 2.0**-stops) * shade, img))


def _shadow(angles: tuple[float, float], lowest: float, highest: float) -> A.BasicTransform:
    return ShadowEdge(stops_range=(lowest, highest), angle_range=angles, p=1.0)


def _shadow_band(lowest: float, highest: float) -> A.BasicTransform:
    return ShadowBand(stops_range=(lowest, highest), p=1.0)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="shadow edge",
        family="shadow",
        unit="stops",
        grid=(0.25, 0.5, 1.0, 2.0),
        meaning="a shadow lies across the part",
        transform=partial(_shadow, (0.0, 360.0)),
    ),
    Operation(
        name="shadow on the left",
        family="shadow",
        unit="stops",
        grid=(0.25, 0.5, 1.0, 2.0),
        meaning="a shadow lies on the left",
        transform=partial(_shadow, (180.0, 180.0)),
    ),
    Operation(
        name="shadow on the right",
        family="shadow",
        unit="stops",
        grid=(0.25, 0.5, 1.0, 2.0),
        meaning="a shadow lies on the right",
        transform=partial(_shadow, (0.0, 0.0)),
    ),
    Operation(
        name="shadow at the top",
        family="shadow",
        unit="stops",
        grid=(0.25, 0.5, 1.0, 2.0),
        meaning="a shadow lies at the top",
        transform=partial(_shadow, (270.0, 270.0)),
    ),
    Operation(
        name="shadow at the bottom",
        family="shadow",
        unit="stops",
        grid=(0.25, 0.5, 1.0, 2.0),
        meaning="a shadow lies at the bottom",
        transform=partial(_shadow, (90.0, 90.0)),
    ),
    Operation(
        name="shadow band",
        family="shadow",
        unit="stops",
        grid=(0.25, 0.5, 1.0, 2.0),
        meaning="the shadow of a cable or a beam lies across the part",
        transform=_shadow_band,
    ),
)
