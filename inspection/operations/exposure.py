"""Operations of exposure: darker, brighter, contrast.

Facts of albumentations 2.0.8 that they rest on, each read in its source and confirmed by numbers:
- RandomBrightnessContrast multiplies about zero (its contrast_limit is a pure scaling of the light) and adds
  a share of full scale; only ColorJitter changes contrast about the image's mean.
- Its look-up tables cut grey values off instead of rounding them: up to one grey level, half a level on
  average, too dark.
"""

import math
from functools import partial
from typing import Any

import albumentations as A
import numpy as np
from numpy.random import default_rng

from inspection.operations.operation import Image, Operation, Range, Share, Transform
from inspection.operations.planes import grey_values

NORMAL = 1.4826  # standard deviations of a normal distribution in its median distance from the mean


class Veil(Transform):
    """Stray light or haze between part and camera: a share of the light shows nothing.

    Args:
        share_range: of the light that is stray, drawn uniformly.
        white: whether the stray light is white and added, as haze is; else it is the image's own light, which
            the lens scatters over all of it: the mean of each channel stays.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        share_range: Share
        white: bool

    def __init__(self, share_range: tuple[float, float] = (0.1, 0.4), white: bool = True, p: float = 0.5):
        super().__init__(p=p)
        self.share_range = share_range
        self.white = white

    def get_params(self) -> dict[str, Any]:
        """Draw the share."""
        return {"share": self.py_random.uniform(*self.share_range)}

    def apply(self, img: Image, share: float, **_: Any) -> Image:
        """Go that share of the way from every grey value to white, or to the mean of its channel."""
        stray = np.float32(255.0) if self.white else img.mean((0, 1), dtype=np.float32)
        return grey_values(img + np.float32(share) * (stray - img))


class DimmedLight(Transform):
    """Less light on a camera whose noise stays: the image is scaled, and its own noise is made up for.

    How noisy the camera is, each image tells: the standard deviation between neighbours along the rows or the
    columns, the lesser of the two, for a brushed surface varies along one of them only.

    Args:
        stops_range: light lost, drawn uniformly, in stops.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        stops_range: Range

    def __init__(self, stops_range: tuple[float, float] = (0.5, 1.5), p: float = 0.5):
        super().__init__(p=p)
        self.stops_range = stops_range

    def get_params(self) -> dict[str, Any]:
        """Draw the stops and the seed of the noise."""
        return {"stops": self.py_random.uniform(*self.stops_range), "seed": self.py_random.getrandbits(32)}

    def apply(self, img: Image, stops: float, seed: int, **_: Any) -> Image:
        """Scale the light, and add as much noise as the scaling took."""
        kept = 2.0**-stops
        lost = np.float32(noise_of(img) * math.sqrt(1.0 - kept * kept))
        noise = default_rng(seed).standard_normal(img.shape, dtype=np.float32)
        return grey_values(np.float32(kept) * img + lost * noise)


def noise_of(image: Image) -> float:
    """The standard deviation of an image's noise, grey levels: robust, from differences of neighbours."""
    steps = [np.abs(np.diff(image.astype(np.float32), axis=axis)) for axis in (0, 1)]
    least = min((float(np.median(each)) for each in steps if each.size), default=0.0)
    return least * NORMAL / math.sqrt(2.0)


def _dimmed(lowest: float, highest: float) -> A.BasicTransform:
    return DimmedLight(stops_range=(lowest, highest), p=1.0)


def _scaling(sign: int, lowest: float, highest: float) -> A.BasicTransform:
    """Multiply by 2 ** (sign * stops)."""
    factors = sorted(2.0 ** (sign * stops) - 1.0 for stops in (lowest, highest))
    return A.RandomBrightnessContrast(brightness_limit=(0.0, 0.0), contrast_limit=tuple(factors), p=1.0)


def _offset(sign: int, lowest: float, highest: float) -> A.BasicTransform:
    shares = tuple(sorted((sign * lowest, sign * highest)))
    return A.RandomBrightnessContrast(brightness_limit=shares, contrast_limit=(0.0, 0.0), p=1.0)


def _gamma(sign: int, lowest: float, highest: float) -> A.BasicTransform:
    """Raise to the power 2 ** (sign * doublings)."""
    percents = sorted(100.0 * 2.0 ** (sign * doublings) for doublings in (lowest, highest))
    return A.RandomGamma(gamma_limit=tuple(percents), p=1.0)


def _contrast(sign: int, lowest: float, highest: float) -> A.BasicTransform:
    """Scale the distance from the image's mean, for three channels the mean of its luminance."""
    factors = tuple(sorted((1.0 + sign * lowest, 1.0 + sign * highest)))
    unchanged = (1.0, 1.0)
    return A.ColorJitter(brightness=unchanged, contrast=factors, saturation=unchanged, hue=(0.0, 0.0), p=1.0)


def _sharpening(lowest: float, highest: float) -> A.BasicTransform:
    """Mix in 3 x 3 sharpening that keeps the mean; A.UnsharpMask at its limit is still weak."""
    return A.Sharpen(alpha=(lowest, highest), lightness=(1.0, 1.0), method="kernel", p=1.0)


def _veil(white: bool, lowest: float, highest: float) -> A.BasicTransform:
    return Veil(share_range=(lowest, highest), white=white, p=1.0)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="dimmer lamp",
        family="darker",
        unit="stops",
        grid=(0.25, 0.5, 1.0, 1.5, 2.0),
        meaning="the light is dimmer",
        transform=partial(_scaling, -1),
    ),
    Operation(
        name="dimmer lamp at the camera's noise",
        family="darker",
        unit="stops",
        grid=(0.25, 0.5, 1.0, 1.5, 2.0),
        meaning="the light is dimmer, and the camera as noisy as before",
        transform=_dimmed,
    ),
    Operation(
        name="brighter lamp",
        family="brighter",
        unit="stops",
        grid=(0.25, 0.5, 0.75, 1.0, 1.5),
        meaning="the light is brighter or the exposure longer, up to burnt-out highlights",
        transform=partial(_scaling, 1),
    ),
    Operation(
        name="gamma darker",
        family="darker",
        unit="doublings of gamma",
        grid=(0.25, 0.5, 1.0, 1.5),
        meaning="the mid-tones are darker while black and white stay",
        transform=partial(_gamma, 1),
        limit=6.0,
    ),
    Operation(
        name="gamma brighter",
        family="brighter",
        unit="halvings of gamma",
        grid=(0.25, 0.5, 1.0, 1.5),
        meaning="the mid-tones are brighter while black and white stay",
        transform=partial(_gamma, -1),
        limit=6.0,  # albumentations refuses a gamma below 0.01
    ),
    Operation(
        name="offset darker",
        family="darker",
        unit="of full scale",
        grid=(0.05, 0.1, 0.2, 0.3),
        meaning="every grey value is lower by the same amount, as after a change of the black level",
        transform=partial(_offset, -1),
        limit=1.0,
    ),
    Operation(
        name="offset brighter",
        family="brighter",
        unit="of full scale",
        grid=(0.05, 0.1, 0.2, 0.3),
        meaning="every grey value is higher by the same amount, as under stray light",
        transform=partial(_offset, 1),
        limit=1.0,
    ),
    Operation(
        name="lower contrast",
        family="contrast",
        unit="of the contrast lost",
        grid=(0.2, 0.4, 0.6, 0.8),
        meaning="the contrast is lower",
        transform=partial(_contrast, -1),
        limit=1.0,
    ),
    Operation(
        name="higher contrast",
        family="contrast",
        unit="of the contrast added",
        grid=(0.25, 0.5, 1.0, 2.0),
        meaning="the contrast is higher",
        transform=partial(_contrast, 1),
    ),
    Operation(
        name="veil of stray light",
        family="contrast",
        unit="of the light that shows nothing",
        grid=(0.1, 0.2, 0.4, 0.6),
        meaning="stray light or haze lies over the image",
        transform=partial(_veil, True),
        limit=1.0,
    ),
    Operation(
        name="light scattered by the lens",
        family="contrast",
        unit="of the light that shows nothing",
        grid=(0.2, 0.4, 0.6, 0.8),
        meaning="the lens scatters the image's own light over it: less contrast, the same colour",
        transform=partial(_veil, False),
        channels=(3,),  # of one channel it is lower contrast
        limit=1.0,
    ),
    Operation(
        name="sharpening",
        family="contrast",
        unit="of a full 3 x 3 sharpening",
        grid=(0.05, 0.1, 0.2, 0.4),
        meaning="the image is sharpened more",
        transform=_sharpening,
        limit=1.0,
    ),
)
