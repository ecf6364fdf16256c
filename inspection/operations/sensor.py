"""Operations of the camera and its files: noise, compression."""

import math
from functools import partial
from typing import Annotated, Any

import albumentations as A
import cv2
import numpy as np
from albumentations.core.pydantic import check_range_bounds, nondecreasing
from numpy.random import default_rng
from pydantic import AfterValidator

from inspection.operations.operation import Image, Operation, Share, Transform
from inspection.operations.planes import grey_values

Bits = Annotated[tuple[float, float], AfterValidator(nondecreasing), AfterValidator(check_range_bounds(0, 8))]


class PhotonNoise(Transform):
    """Noise of the counted light, whose variance grows with it; every channel counts by itself.

    Not ShotNoise: it takes the grey values for gamma-encoded ones, where this noise is nearly as strong in
    the dark as in the light; the cameras of plants are linear. A Gaussian stands for the Poisson counts.

    Args:
        deviation_range: standard deviation on white, drawn uniformly, share of full scale.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        deviation_range: Share

    def __init__(self, deviation_range: tuple[float, float] = (0.02, 0.08), p: float = 0.5):
        super().__init__(p=p)
        self.deviation_range = deviation_range

    def get_params(self) -> dict[str, Any]:
        """Draw the standard deviation on white and the seed of the noise."""
        return {
            "deviation": self.py_random.uniform(*self.deviation_range),
            "seed": self.py_random.getrandbits(32),
        }

    def apply(self, img: Image, deviation: float, seed: int, **_: Any) -> Image:
        """Add noise of the standard deviation 255 * deviation * sqrt(image / 255)."""
        light = img.astype(np.float32)
        noise = default_rng(seed).standard_normal(img.shape, dtype=np.float32)
        return grey_values(light + np.float32(255.0 * deviation) * np.sqrt(light / 255.0) * noise)


class Posterising(Transform):
    """Fewer grey levels, as a camera of fewer bits has them.

    Not Posterize: it knows whole bits only, and cuts off instead of rounding, which is half a step too dark.

    Args:
        bits_range: bits lost of the eight, drawn uniformly.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        bits_range: Bits

    def __init__(self, bits_range: tuple[float, float] = (2.0, 5.0), p: float = 0.5):
        super().__init__(p=p)
        self.bits_range = bits_range

    def get_params(self) -> dict[str, Any]:
        """Draw the bits lost."""
        return {"bits": self.py_random.uniform(*self.bits_range)}

    def apply(self, img: Image, bits: float, **_: Any) -> Image:
        """Round every grey value, a half upwards, to a multiple of 2 ** bits grey levels."""
        step = np.float32(2.0**bits)
        return grey_values(step * np.floor(img.astype(np.float32) / step + np.float32(0.5)))


def _sensor_noise(per_channel: bool, lowest: float, highest: float) -> A.BasicTransform:
    deviations = (_before_cut(lowest), _before_cut(highest))
    return A.GaussNoise(std_range=deviations, mean_range=(0.0, 0.0), per_channel=per_channel, p=1.0)


def _before_cut(deviation: float) -> float:
    """The standard deviation to ask GaussNoise for, so that the noise it adds has this one.

    It cuts every drawn value x off towards zero. What is cut is spread evenly over 0 to 1 grey level, so
    E[(|x| - u)^2] = s^2 - s sqrt(2 / pi) + 1 / 3 is left of s^2; solved here for s. Without this, noise of
    0.01 of full scale comes out 14 % too weak.
    """
    wanted, half = 255.0 * deviation, math.sqrt(2.0 / math.pi) / 2.0
    return (half + math.sqrt(max(half**2 - 1.0 / 3.0 + wanted**2, 0.0))) / 255.0


def _stuck_pixels(lowest: float, highest: float) -> A.BasicTransform:
    return A.SaltAndPepper(amount=(lowest, highest), salt_vs_pepper=(0.5, 0.5), p=1.0)


def _photon_noise(lowest: float, highest: float) -> A.BasicTransform:
    return PhotonNoise(deviation_range=(lowest, highest), p=1.0)


def _jpeg(lowest: float, highest: float) -> A.BasicTransform:
    return A.ImageCompression(quality_range=(round(100 - highest), round(100 - lowest)), p=1.0)


def _downscale(lowest: float, highest: float) -> A.BasicTransform:
    """Average down to fewer pixels, which then show as squares; INTER_NEAREST would move them as well."""
    ways = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_NEAREST_EXACT}
    return A.Downscale(scale_range=(1.0 - highest, 1.0 - lowest), interpolation_pair=ways, p=1.0)


def _posterising(lowest: float, highest: float) -> A.BasicTransform:
    return Posterising(bits_range=(lowest, highest), p=1.0)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="sensor noise",
        family="noise",
        unit="of full scale",
        grid=(0.01, 0.02, 0.04, 0.08),
        meaning="the image is noisier",
        transform=partial(_sensor_noise, False),
        limit=0.99,
    ),
    Operation(
        name="colour noise",
        family="noise",
        unit="of full scale",
        grid=(0.01, 0.02, 0.04, 0.08),
        meaning="the image is noisier, each colour by itself",
        transform=partial(_sensor_noise, True),
        channels=(3,),
        limit=0.99,
    ),
    Operation(
        name="shot noise",
        family="noise",
        unit="of full scale on white",
        grid=(0.02, 0.04, 0.08, 0.15),
        meaning="the image is noisier where it is brighter, as with less light and more gain",
        transform=_photon_noise,
        limit=1.0,
    ),
    Operation(
        name="stuck pixels",
        family="noise",
        unit="of the pixels",
        grid=(0.002, 0.01, 0.03, 0.1),
        meaning="single pixels are black or white",
        transform=_stuck_pixels,
        limit=1.0,
    ),
    Operation(
        name="JPEG compression",
        family="compression",
        unit="points of quality below 100",
        grid=(20.0, 40.0, 60.0, 80.0, 90.0),
        meaning="the image is compressed more",
        transform=_jpeg,
        limit=99.0,
    ),
    Operation(
        name="downscaling",
        family="compression",
        unit="of the pixels along a side lost",
        grid=(0.25, 0.5, 0.7, 0.8),
        meaning="the image has fewer and coarser pixels",
        transform=_downscale,
        limit=0.95,
    ),
    Operation(
        name="posterising",
        family="compression",
        unit="bits lost",
        grid=(2.0, 3.0, 4.0, 5.0, 6.0),
        meaning="the image has fewer grey levels",
        transform=_posterising,
        limit=8.0,
    ),
)
