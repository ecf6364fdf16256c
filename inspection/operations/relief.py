"""Operations of a relief under directed light: side light.

The lamp was turned about the part. Under a lamp from one side a shallow relief h shows its slope along the
way to the lamp, u . grad h, and so its spectrum times i k . u (Kube and Pentland, On the Imaging of Fractal
Surfaces, IEEE PAMI 10, 1988). From another side it is times i k . v: what an image shows by its slope is
multiplied by k . v / k . u. What ran along the light showed nothing, and is not made up.
"""

import math
from functools import partial
from typing import Annotated, Any

import albumentations as A
import numpy as np
from pydantic import Field
from scipy import fft

from inspection.operations.operation import Image, Operation, Range, Transform
from inspection.operations.planes import grey_values

# Of the square of the wave number: lines within asin(sqrt(.2)) = 27 degrees of the light's own direction are
# changed little. Rendered parts under a bar lamp and the same under it turned by 20, 45 and 90 degrees, the
# share of the difference that goes: dents .28, .48, .75 at .1 and .23, .40, .68 at .3; plain ground .06, .23,
# .40 and .10, .29, .52.
ALONG = 0.2
MARGIN = 0.25  # of the shorter side: mirrored on every side, as spectra take an image for periodic


class TurnedLamp(Transform):
    """The slopes of a relief under a lamp that was turned about the part.

    Args:
        start: where the lamp stood: 0 on the left or right, 90 at the top or bottom, 45 at the top left or
            bottom right, 135 at the top right or bottom left. On which of the two sides makes no difference.
        degrees_range: how far it was turned, drawn uniformly, in degrees.
        clockwise: else anticlockwise.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        start: Annotated[float, Field(ge=-360, le=360)]
        degrees_range: Range
        clockwise: bool

    def __init__(
        self,
        start: float = 90.0,
        degrees_range: tuple[float, float] = (30.0, 90.0),
        clockwise: bool = True,
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.start = start
        self.degrees_range = degrees_range
        self.clockwise = clockwise

    def get_params(self) -> dict[str, Any]:
        """Draw how far."""
        return {"degrees": self.py_random.uniform(*self.degrees_range)}

    def apply(self, img: Image, degrees: float, **_: Any) -> Image:
        """Multiply the spectrum of every channel."""
        before = math.radians(self.start)
        after = before + math.radians(degrees if self.clockwise else -degrees)
        channels = img.reshape(*img.shape[:2], -1)
        relit = np.dstack([_relit(channels[:, :, i], before, after) for i in range(channels.shape[2])])
        return grey_values(relit.reshape(img.shape))


def _relit(plane: Image, before: float, after: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """One channel (height, width) under light from another direction, in radians, where it came from one."""
    margin = max(1, round(MARGIN * min(plane.shape)))
    around = np.pad(plane.astype(np.float32), margin, "reflect")
    down, across = fft.fftfreq(around.shape[0])[:, None], fft.rfftfreq(around.shape[1])[None]
    was, now = (across * math.cos(way) + down * math.sin(way) for way in (before, after))
    least = np.maximum(ALONG * (down**2 + across**2), 1e-12)
    gain = 1 + (now - was) * was / (was**2 + least)
    spectrum = fft.rfft2(around) * gain.astype(np.float32)
    found = fft.irfft2(spectrum, around.shape)[margin:-margin, margin:-margin]
    return np.asarray(found, np.float32)


def _turned(start: float, clockwise: bool, lowest: float, highest: float) -> A.BasicTransform:
    return TurnedLamp(start=start, degrees_range=(lowest, highest), clockwise=clockwise, p=1.0)


_STARTS = {
    "the top or bottom": 90.0,
    "the left or right": 0.0,
    "the top left or bottom right": 45.0,
    "the top right or bottom left": 135.0,
}

OPERATIONS: tuple[Operation, ...] = tuple(
    Operation(
        name=f"lamp turned {way} from {start}",
        family="side light",
        unit="degrees",
        grid=(15.0, 45.0, 90.0),
        meaning=f"the lamp that stood at {start} was turned {way} about the part",
        transform=partial(_turned, angle, way == "clockwise"),
        limit=180.0,
    )
    for start, angle in _STARTS.items()
    for way in ("clockwise", "anticlockwise")
)
