"""Operations of the colour of the light: colour."""

from functools import partial
from typing import Any

import albumentations as A
import numpy as np

from inspection.operations.operation import Image, Operation, Range, Transform
from inspection.operations.planes import grey_values

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue, BT.601 as in OpenCV


class ColourCast(Transform):
    """Light of another colour, as bright on grey as before; images of three channels only, red first.

    Not PlanckianJitter: its kelvins are those of the light, not how far it has changed, and end at 3,000 and
    15,000. Not RGBShift: it adds to every grey value alike, also to black, and light multiplies.

    Args:
        direction: exponents of red, green and blue; (0.5, 0, -0.5) is warmer by one stop of red over blue.
        stops_range: factor on the direction, drawn uniformly.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        direction: tuple[float, float, float]
        stops_range: Range

    def __init__(
        self,
        direction: tuple[float, float, float] = (0.5, 0.0, -0.5),
        stops_range: tuple[float, float] = (0.2, 0.6),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.direction = direction
        self.stops_range = stops_range

    def get_params(self) -> dict[str, Any]:
        """Draw the stops."""
        return {"stops": self.py_random.uniform(*self.stops_range)}

    def apply(self, img: Image, stops: float, **_: Any) -> Image:
        """Multiply every channel by 2 ** (stops * direction), all divided by what that makes of grey."""
        if img.ndim != 3 or img.shape[2] != 3:
            raise ValueError(f"ColourCast was given an image of shape {img.shape}; give three channels")
        powers = stops * np.array(self.direction, np.float32)
        gains = np.exp2(powers - powers.max())
        return grey_values(img * (gains / (gains @ LUMINANCE)))


def _colour_cast(direction: tuple[float, float, float], lowest: float, highest: float) -> A.BasicTransform:
    return ColourCast(direction=direction, stops_range=(lowest, highest), p=1.0)


def _saturation(lowest: float, highest: float) -> A.BasicTransform:
    """Mix every pixel with its luminance."""
    left, unchanged = (1.0 - highest, 1.0 - lowest), (1.0, 1.0)
    return A.ColorJitter(brightness=unchanged, contrast=unchanged, saturation=left, hue=(0.0, 0.0), p=1.0)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="warmer light",
        family="colour",
        unit="stops of red over blue",
        grid=(0.1, 0.2, 0.4, 0.8),
        meaning="the light is warmer, towards red",
        transform=partial(_colour_cast, (0.5, 0.0, -0.5)),
        channels=(3,),
    ),
    Operation(
        name="cooler light",
        family="colour",
        unit="stops of blue over red",
        grid=(0.1, 0.2, 0.4, 0.8),
        meaning="the light is cooler, towards blue",
        transform=partial(_colour_cast, (-0.5, 0.0, 0.5)),
        channels=(3,),
    ),
    Operation(
        name="green tint",
        family="colour",
        unit="stops of green over red and blue",
        grid=(0.1, 0.2, 0.4, 0.8),
        meaning="the colours are tinted towards green",
        transform=partial(_colour_cast, (-0.5, 0.5, -0.5)),
        channels=(3,),
    ),
    Operation(
        name="magenta tint",
        family="colour",
        unit="stops of red and blue over green",
        grid=(0.1, 0.2, 0.4, 0.8),
        meaning="the colours are tinted towards magenta",
        transform=partial(_colour_cast, (0.5, -0.5, 0.5)),
        channels=(3,),
    ),
    Operation(
        name="lower saturation",
        family="colour",
        unit="of the saturation lost",
        grid=(0.25, 0.5, 0.75, 1.0),
        meaning="the colours are paler",
        transform=_saturation,
        channels=(3,),
        limit=1.0,
    ),
)
