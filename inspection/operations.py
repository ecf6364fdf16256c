"""The catalogue of operations: lighting and texture changes with a strength, on albumentations 2.0.8.

Where albumentations computes the change it is used; the rest are transforms of the same kind, below. Facts
about it that the catalogue rests on, each read in its source and confirmed by numbers:
- RandomBrightnessContrast multiplies about zero (its contrast_limit is a pure scaling of the light) and adds
  a share of full scale; only ColorJitter changes contrast about the image's mean.
- Its look-up tables cut grey values off instead of rounding them: up to one grey level, half a level on
  average, too dark. GaussNoise cuts its noise off too; _sensor_noise makes up for that.
- Illumination stops at an intensity of 0.2, MotionBlur and Defocus know whole odd or whole sizes only.

To add an operation, add one entry to CATALOGUE.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import albumentations as A
import cv2
import numpy as np
from albumentations.core.pydantic import check_range_bounds, nondecreasing
from numpy.typing import NDArray
from pydantic import AfterValidator

from inspection.errors import InspectionError

Image = NDArray[np.uint8]

FAMILIES = (
    "darker",
    "brighter",
    "contrast",
    "side light",
    "hot spot",
    "shadow",
    "vignette",
    "colour",
    "defocus",
    "sharpening",
    "motion blur",
    "noise",
    "compression",
    "line pattern",
    "dust",
    "texture",
    "geometry",
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One lighting or texture change with a strength, where 0 changes nothing and more is stronger."""

    name: str
    family: str  # one of FAMILIES
    unit: str  # of the strength, as it reads after the number
    grid: tuple[float, ...]  # ascending strengths to measure, all above 0
    meaning: str  # what has happened to the image, in plain words
    transform: Callable[[float, float], A.BasicTransform]
    """(lowest, highest strength) -> a transform with p=1 that draws its strength from that range.

    Uniformly in the unit where the transform is ours; uniformly in the factor, exponent or whole quality
    that albumentations draws where it is theirs. Equal bounds give exactly that strength.
    """
    channels: tuple[int, ...] = (1, 3)  # channel counts of the images it is for
    limit: float = math.inf  # strongest there is, in the unit

    def apply(self, image: Image, strength: float, seed: int) -> Image:
        """Return a changed copy of an image, the same for the same strength and seed (0 or above).

        The image is uint8 of shape (H, W) or (H, W, C) at the model's input size.
        Raises InspectionError for another kind of image or a strength outside 0 to the limit.
        """
        self._check(image, strength)
        if strength == 0.0:
            return image.copy()
        transform = self.transform(float(strength), float(strength))
        transform.set_random_seed(seed)
        return np.asarray(transform(image=image)["image"], dtype=np.uint8)

    def _check(self, image: Image, strength: float) -> None:
        if not 0.0 <= strength <= self.limit or strength == math.inf:
            raise InspectionError(
                f"{self.name} has no strength of {strength} {self.unit}; give 0 to {self.limit:g}"
            )
        channels = 1 if image.ndim == 2 else image.shape[-1]
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or channels not in self.channels:
            raise InspectionError(
                f"{self.name} was given an image of {image.dtype} with shape {image.shape}; give uint8 of "
                f"shape (height, width, channels) with {' or '.join(map(str, self.channels))} channels"
            )


# --- our own transforms -----------------------------------------------------------------------------------

Range = Annotated[
    tuple[float, float], AfterValidator(nondecreasing), AfterValidator(check_range_bounds(0, None))
]
Share = Annotated[
    tuple[float, float], AfterValidator(nondecreasing), AfterValidator(check_range_bounds(0, 1))
]
Side = Literal["left", "right", "top", "bottom"]


class SideLight(A.ImageOnlyTransform):  # type: ignore[misc]
    """Light that falls off in a straight ramp from one side to the other and keeps its mean.

    Args:
        side: where the light comes from, the brighter edge.
        stops_range: how much brighter that edge is than the one across, drawn uniformly, in stops.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        side: Side
        stops_range: Range

    def __init__(self, side: Side = "left", stops_range: tuple[float, float] = (0.5, 1.5), p: float = 0.5):
        super().__init__(p=p)
        self.side = side
        self.stops_range = stops_range

    def get_params(self) -> dict[str, Any]:
        """Draw the stops between the two edges."""
        return {"stops": self.py_random.uniform(*self.stops_range)}

    def apply(self, img: Image, stops: float, **_: Any) -> Image:
        """Multiply by a ramp from 1 + a to 1 - a, where (1 + a) / (1 - a) = 2 ** stops."""
        reach = math.tanh(stops * math.log(2.0) / 2.0)
        across = self.side in ("left", "right")
        ramp = np.linspace(1.0 + reach, 1.0 - reach, img.shape[1 if across else 0], dtype=np.float32)
        ramp = ramp if self.side in ("left", "top") else ramp[::-1]
        return _grey_values(img * _like(ramp[None, :] if across else ramp[:, None], img))


class HotSpot(A.ImageOnlyTransform):  # type: ignore[misc]
    """A round bright spot at a random place: half of its light shows the part, half is glare.

    Args:
        gain_range: light added in the middle of the spot, drawn uniformly, times the normal light.
        radius_range: sigma of the spot, drawn uniformly, share of the shorter side.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        gain_range: Range
        radius_range: Annotated[
            tuple[float, float],
            AfterValidator(nondecreasing),
            AfterValidator(check_range_bounds(0, None, min_inclusive=False)),
        ]

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
        spot = _like(down[:, None] * across[None, :], img)
        light = img.astype(np.float32)
        return _grey_values(light + np.float32(gain / 2.0) * spot * (light + light.mean()))


class LineBlur(A.ImageOnlyTransform):  # type: ignore[misc]
    """The smear of a part that moves straight, in a random direction, while the shutter is open.

    Unlike MotionBlur its length is any number, not only 3, 5, 7, and its line is not stepped.

    Args:
        length_range: way that the part moves, drawn uniformly, in pixels.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        length_range: Range

    def __init__(self, length_range: tuple[float, float] = (2.0, 6.0), p: float = 0.5):
        super().__init__(p=p)
        self.length_range = length_range

    def get_params(self) -> dict[str, Any]:
        """Draw the length (pixels) and the direction (radians)."""
        length = self.py_random.uniform(*self.length_range)
        return {"length": length, "angle": self.py_random.uniform(0.0, math.pi)}

    def apply(self, img: Image, length: float, angle: float, **_: Any) -> Image:
        """Average the image along the line."""
        blurred = cv2.filter2D(img, -1, line_kernel(length, angle))
        return np.asarray(blurred, dtype=np.uint8).reshape(img.shape)


def line_kernel(length: float, angle: float) -> NDArray[np.float32]:
    """Return the weights (size, size), summing to 1, of a line of a length (pixels) at an angle (radians).

    Every point of the line is shared among its four nearest pixels, as in bilinear interpolation.
    """
    half = int(length / 2.0) + 1
    points = 16 * half
    along = ((np.arange(points) + 0.5) / points - 0.5) * length
    pixels = np.arange(-half, half + 1)
    across = np.clip(1.0 - np.abs(pixels - math.cos(angle) * along[:, None]), 0.0, 1.0)
    down = np.clip(1.0 - np.abs(pixels - math.sin(angle) * along[:, None]), 0.0, 1.0)
    return np.asarray(down.T @ across / points, dtype=np.float32)


def _bell(size: int, middle: float, sigma: float) -> NDArray[np.float32]:
    """A Gaussian (size,) with its peak of 1 at a share of the size."""
    distance = np.arange(size, dtype=np.float32) - np.float32(middle * (size - 1))
    return np.asarray(np.exp(-0.5 * (distance / np.float32(sigma)) ** 2), dtype=np.float32)


def _like(field: NDArray[np.float32], image: Image) -> NDArray[np.float32]:
    return field if image.ndim == 2 else field[:, :, None]


def _grey_values(light: NDArray[np.float32]) -> Image:
    return np.asarray(np.rint(np.clip(light, 0.0, 255.0)), dtype=np.uint8)


# --- from strengths to albumentations' own ranges ---------------------------------------------------------


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


def _side_light(side: Side, lowest: float, highest: float) -> A.BasicTransform:
    return SideLight(side=side, stops_range=(lowest, highest), p=1.0)


def _hot_spot(lowest: float, highest: float) -> A.BasicTransform:
    return HotSpot(gain_range=(lowest, highest), p=1.0)


def _defocus(lowest: float, highest: float) -> A.BasicTransform:
    """A Gaussian, because its sigma is continuous: the disc of A.Defocus has whole radii only.

    On an image of some hundred pixels the two are hard to tell apart (a disc of radius r has a sigma of
    r / 2 along each axis). The kernel's size follows sigma; below a sigma of 0.29 it is a single pixel.
    """
    return A.GaussianBlur(blur_limit=0, sigma_limit=(lowest, highest), p=1.0)


def _line_blur(lowest: float, highest: float) -> A.BasicTransform:
    return LineBlur(length_range=(lowest, highest), p=1.0)


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


def _sharpening(lowest: float, highest: float) -> A.BasicTransform:
    """Mix in 3 x 3 sharpening that keeps the mean; A.UnsharpMask at its limit is still weak."""
    return A.Sharpen(alpha=(lowest, highest), lightness=(1.0, 1.0), method="kernel", p=1.0)


def _jpeg(lowest: float, highest: float) -> A.BasicTransform:
    return A.ImageCompression(quality_range=(round(100 - highest), round(100 - lowest)), p=1.0)


# --- the catalogue ----------------------------------------------------------------------------------------

CATALOGUE: tuple[Operation, ...] = (
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
        name="side light from the left",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light comes from the left",
        transform=partial(_side_light, "left"),
    ),
    Operation(
        name="side light from the right",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light comes from the right",
        transform=partial(_side_light, "right"),
    ),
    Operation(
        name="side light from the top",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light comes from the top",
        transform=partial(_side_light, "top"),
    ),
    Operation(
        name="side light from the bottom",
        family="side light",
        unit="stops",
        grid=(0.5, 1.0, 2.0, 3.0),
        meaning="the light comes from the bottom",
        transform=partial(_side_light, "bottom"),
    ),
    Operation(
        name="hot spot",
        family="hot spot",
        unit="times the normal light",
        grid=(0.25, 0.5, 1.0, 2.0, 4.0),
        meaning="a bright spot lies on the part",
        transform=_hot_spot,
    ),
    Operation(
        name="defocus",
        family="defocus",
        unit="pixels (sigma)",
        grid=(0.5, 1.0, 1.5, 2.0, 3.0),
        meaning="the image is out of focus",
        transform=_defocus,
    ),
    Operation(
        name="sharpening",
        family="sharpening",
        unit="of a full 3 x 3 sharpening",
        grid=(0.05, 0.1, 0.2, 0.4),
        meaning="the image is sharpened more",
        transform=_sharpening,
        limit=1.0,
    ),
    Operation(
        name="motion blur",
        family="motion blur",
        unit="pixels",
        grid=(2.0, 4.0, 6.0, 9.0, 12.0),
        meaning="the part or the camera moves while the shutter is open",
        transform=_line_blur,
    ),
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
        name="JPEG compression",
        family="compression",
        unit="points of quality below 100",
        grid=(20.0, 40.0, 60.0, 80.0, 90.0),
        meaning="the image is compressed more",
        transform=_jpeg,
        limit=99.0,
    ),
)


def operations_for(channels: int) -> tuple[Operation, ...]:
    """Return the operations for images of 1 or 3 channels. Raises InspectionError for another count."""
    chosen = tuple(operation for operation in CATALOGUE if channels in operation.channels)
    if not chosen:
        raise InspectionError(f"no operation is for images of {channels} channels; the catalogue has 1 and 3")
    return chosen


def find_operation(name: str) -> Operation:
    """Return the operation of a name. Raises InspectionError that lists the names there are."""
    for operation in CATALOGUE:
        if operation.name == name:
            return operation
    known = ", ".join(operation.name for operation in CATALOGUE)
    raise InspectionError(f"no operation '{name}'; the catalogue has: {known}")
