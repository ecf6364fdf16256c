"""Operations of exposure: darker, brighter, contrast.

Facts of albumentations 2.0.8 that they rest on, each read in its source and confirmed by numbers:
- RandomBrightnessContrast multiplies about zero (its contrast_limit is a pure scaling of the light) and adds
  a share of full scale; only ColorJitter changes contrast about the image's mean.
- Its look-up tables cut grey values off instead of rounding them: up to one grey level, half a level on
  average, too dark.
"""

from functools import partial
from typing import Any

import albumentations as A
import numpy as np

from inspection.operations.operation import Image, Operation, Share, Transform
from inspection.operations.planes import grey_values


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
