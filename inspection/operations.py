"""The catalogue of operations: what can happen to an image, each with a strength, on albumentations 2.0.8.

Where albumentations computes the change it is used; the rest are transforms of the same kind, in
`inspection.transforms`. Facts about it that the catalogue rests on, each read in its source and confirmed by
numbers:
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

import albumentations as A
import cv2
import numpy as np

from inspection.errors import InspectionError
from inspection.transforms import (
    Along,
    BrushedGrain,
    ColourCast,
    DiscBlur,
    Displacement,
    Droplets,
    Dust,
    Glint,
    Hairs,
    HotSpot,
    Image,
    Keystone,
    LineBlur,
    Lines,
    Mottle,
    ObliqueStripes,
    PhotonNoise,
    Posterising,
    ShadowBand,
    ShadowEdge,
    SideLight,
    SpinBlur,
    Stripes,
    TiltedFocus,
    Veil,
    Vignette,
    WindowReflection,
)

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
    "motion blur",
    "noise",
    "compression",
    "line pattern",
    "dust",
    "texture",
    "geometry",
)
"""The words in which causes are named; every operation belongs to one of them."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One change of an image with a strength, where 0 changes nothing and more is stronger."""

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


def _side_light(angle: float, lowest: float, highest: float) -> A.BasicTransform:
    return SideLight(angle=angle, stops_range=(lowest, highest), p=1.0)


def _lost_lamp(angle: float, lowest: float, highest: float) -> A.BasicTransform:
    return SideLight(angle=angle, stops_range=(lowest, highest), lost=True, p=1.0)


def _hot_spot(lowest: float, highest: float) -> A.BasicTransform:
    return HotSpot(gain_range=(lowest, highest), p=1.0)


def _glint(lowest: float, highest: float) -> A.BasicTransform:
    return Glint(gain_range=(lowest, highest), p=1.0)


def _window_reflection(lowest: float, highest: float) -> A.BasicTransform:
    return WindowReflection(gain_range=(lowest, highest), p=1.0)


def _shadow(angles: tuple[float, float], lowest: float, highest: float) -> A.BasicTransform:
    return ShadowEdge(stops_range=(lowest, highest), angle_range=angles, p=1.0)


def _shadow_band(lowest: float, highest: float) -> A.BasicTransform:
    return ShadowBand(stops_range=(lowest, highest), p=1.0)


def _vignette(lowest: float, highest: float) -> A.BasicTransform:
    return Vignette(stops_range=(lowest, highest), p=1.0)


def _colour_cast(direction: tuple[float, float, float], lowest: float, highest: float) -> A.BasicTransform:
    return ColourCast(direction=direction, stops_range=(lowest, highest), p=1.0)


def _saturation(lowest: float, highest: float) -> A.BasicTransform:
    """Mix every pixel with its luminance."""
    left, unchanged = (1.0 - highest, 1.0 - lowest), (1.0, 1.0)
    return A.ColorJitter(brightness=unchanged, contrast=unchanged, saturation=left, hue=(0.0, 0.0), p=1.0)


def _defocus(lowest: float, highest: float) -> A.BasicTransform:
    """A Gaussian. The kernel's size follows sigma; below a sigma of 0.29 it is a single pixel."""
    return A.GaussianBlur(blur_limit=0, sigma_limit=(lowest, highest), p=1.0)


def _disc_defocus(lowest: float, highest: float) -> A.BasicTransform:
    """A disc, of which more of the finest detail is left than of a Gaussian as wide (sigma r / 2).

    A.Defocus has whole radii only.
    """
    return DiscBlur(radius_range=(lowest, highest), p=1.0)


def _line_blur(angles: tuple[float, float], lowest: float, highest: float) -> A.BasicTransform:
    return LineBlur(length_range=(lowest, highest), angle_range=angles, p=1.0)


def _spin_blur(lowest: float, highest: float) -> A.BasicTransform:
    return SpinBlur(degrees_range=(lowest, highest), p=1.0)


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


def _sharpening(lowest: float, highest: float) -> A.BasicTransform:
    """Mix in 3 x 3 sharpening that keeps the mean; A.UnsharpMask at its limit is still weak."""
    return A.Sharpen(alpha=(lowest, highest), lightness=(1.0, 1.0), method="kernel", p=1.0)


def _photon_noise(lowest: float, highest: float) -> A.BasicTransform:
    return PhotonNoise(deviation_range=(lowest, highest), p=1.0)


def _jpeg(lowest: float, highest: float) -> A.BasicTransform:
    return A.ImageCompression(quality_range=(round(100 - highest), round(100 - lowest)), p=1.0)


def _downscale(lowest: float, highest: float) -> A.BasicTransform:
    """Average down to fewer pixels, which then show as squares; INTER_NEAREST would move them as well."""
    ways = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_NEAREST_EXACT}
    return A.Downscale(scale_range=(1.0 - highest, 1.0 - lowest), interpolation_pair=ways, p=1.0)


def _veil(white: bool, lowest: float, highest: float) -> A.BasicTransform:
    return Veil(share_range=(lowest, highest), white=white, p=1.0)


def _tilted_focus(lowest: float, highest: float) -> A.BasicTransform:
    return TiltedFocus(sigma_range=(lowest, highest), p=1.0)


def _posterising(lowest: float, highest: float) -> A.BasicTransform:
    return Posterising(bits_range=(lowest, highest), p=1.0)


def _lines(along: Along, lowest: float, highest: float) -> A.BasicTransform:
    return Lines(deviation_range=(lowest, highest), along=along, p=1.0)


def _stripes(along: Along, lowest: float, highest: float) -> A.BasicTransform:
    return Stripes(amplitude_range=(lowest, highest), along=along, p=1.0)


def _oblique_stripes(lowest: float, highest: float) -> A.BasicTransform:
    return ObliqueStripes(amplitude_range=(lowest, highest), p=1.0)


def _dust(lowest: float, highest: float) -> A.BasicTransform:
    return Dust(share_range=(lowest, highest), p=1.0)


def _hairs(lowest: float, highest: float) -> A.BasicTransform:
    return Hairs(share_range=(lowest, highest), p=1.0)


def _droplets(lowest: float, highest: float) -> A.BasicTransform:
    return Droplets(share_range=(lowest, highest), p=1.0)


def _fine_grain(lowest: float, highest: float) -> A.BasicTransform:
    return Mottle(deviation_range=(lowest, highest), wavelength_range=(3.0, 3.0), relative=False, p=1.0)


def _mottle(lowest: float, highest: float) -> A.BasicTransform:
    twelfth_to_sixth = (1.0 / 12.0, 1.0 / 6.0)
    return Mottle(deviation_range=(lowest, highest), wavelength_range=twelfth_to_sixth, relative=True, p=1.0)


def _clouds(lowest: float, highest: float) -> A.BasicTransform:
    sixth_to_third = (1.0 / 6.0, 1.0 / 3.0)
    return Mottle(deviation_range=(lowest, highest), wavelength_range=sixth_to_third, relative=True, p=1.0)


def _brushed_grain(angles: tuple[float, float], lowest: float, highest: float) -> A.BasicTransform:
    return BrushedGrain(deviation_range=(lowest, highest), angle_range=angles, p=1.0)


def _long_streaks(angles: tuple[float, float], lowest: float, highest: float) -> A.BasicTransform:
    lengths = (0.4, 1.0)
    return BrushedGrain(deviation_range=(lowest, highest), angle_range=angles, length_range=lengths, p=1.0)


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


ANY, ROWS, COLUMNS = (0.0, 180.0), (0.0, 0.0), (90.0, 90.0)  # directions, degrees
DARK = (0.0, 40.0)  # grey levels of a background


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
        name="hot spot",
        family="hot spot",
        unit="times the normal light",
        grid=(0.25, 0.5, 1.0, 2.0, 4.0),
        meaning="a bright spot lies on the part",
        transform=_hot_spot,
    ),
    Operation(
        name="glint",
        family="hot spot",
        unit="times the normal light",
        grid=(0.25, 0.5, 1.0, 2.0, 4.0),
        meaning="a bright thin streak lies on the part",
        transform=_glint,
    ),
    Operation(
        name="window reflection",
        family="hot spot",
        unit="times the normal light",
        grid=(0.25, 0.5, 1.0, 2.0, 4.0),
        meaning="a window or a lamp with straight edges is mirrored on the part",
        transform=_window_reflection,
    ),
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
    Operation(
        name="vignette",
        family="vignette",
        unit="stops",
        grid=(0.25, 0.5, 1.0, 2.0),
        meaning="the corners are darker than the middle",
        transform=_vignette,
    ),
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
    Operation(
        name="defocus",
        family="defocus",
        unit="pixels (sigma)",
        grid=(0.5, 1.0, 1.5, 2.0, 3.0),
        meaning="the image is out of focus",
        transform=_defocus,
    ),
    Operation(
        name="disc defocus",
        family="defocus",
        unit="pixels (radius)",
        grid=(1.0, 2.0, 3.0, 4.0, 6.0),
        meaning="the image is out of focus, every point of it a disc",
        transform=_disc_defocus,
    ),
    Operation(
        name="tilted focus",
        family="defocus",
        unit="pixels (sigma) at the far side",
        grid=(1.0, 2.0, 3.0, 5.0),
        meaning="one side of the image is out of focus",
        transform=_tilted_focus,
    ),
    Operation(
        name="motion blur",
        family="motion blur",
        unit="pixels",
        grid=(2.0, 4.0, 6.0, 9.0, 12.0),
        meaning="the part or the camera moves while the shutter is open",
        transform=partial(_line_blur, ANY),
    ),
    Operation(
        name="horizontal motion blur",
        family="motion blur",
        unit="pixels",
        grid=(2.0, 4.0, 6.0, 9.0, 12.0),
        meaning="the part or the camera moves along the rows while the shutter is open",
        transform=partial(_line_blur, ROWS),
    ),
    Operation(
        name="vertical motion blur",
        family="motion blur",
        unit="pixels",
        grid=(2.0, 4.0, 6.0, 9.0, 12.0),
        meaning="the part or the camera moves along the columns while the shutter is open",
        transform=partial(_line_blur, COLUMNS),
    ),
    Operation(
        name="motion blur along the falling diagonal",
        family="motion blur",
        unit="pixels",
        grid=(2.0, 4.0, 6.0, 9.0, 12.0),
        meaning="the part or the camera moves along the falling diagonal while the shutter is open",
        transform=partial(_line_blur, (45.0, 45.0)),
    ),
    Operation(
        name="motion blur along the rising diagonal",
        family="motion blur",
        unit="pixels",
        grid=(2.0, 4.0, 6.0, 9.0, 12.0),
        meaning="the part or the camera moves along the rising diagonal while the shutter is open",
        transform=partial(_line_blur, (135.0, 135.0)),
    ),
    Operation(
        name="spin blur",
        family="motion blur",
        unit="degrees",
        grid=(2.0, 4.0, 8.0, 12.0),
        meaning="the part or the camera turns while the shutter is open",
        transform=_spin_blur,
        limit=180.0,
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
    Operation(
        name="horizontal lines",
        family="line pattern",
        unit="of full scale",
        grid=(0.01, 0.02, 0.04, 0.08),
        meaning="every row of pixels has a brightness of its own",
        transform=partial(_lines, "horizontal"),
        limit=1.0,
    ),
    Operation(
        name="vertical lines",
        family="line pattern",
        unit="of full scale",
        grid=(0.01, 0.02, 0.04, 0.08),
        meaning="every column of pixels has a brightness of its own",
        transform=partial(_lines, "vertical"),
        limit=1.0,
    ),
    Operation(
        name="horizontal stripes",
        family="line pattern",
        unit="of full scale",
        grid=(0.01, 0.02, 0.05, 0.12),
        meaning="regular horizontal stripes lie over the image",
        transform=partial(_stripes, "horizontal"),
        limit=1.0,
    ),
    Operation(
        name="vertical stripes",
        family="line pattern",
        unit="of full scale",
        grid=(0.01, 0.02, 0.05, 0.12),
        meaning="regular vertical stripes lie over the image",
        transform=partial(_stripes, "vertical"),
        limit=1.0,
    ),
    Operation(
        name="oblique stripes",
        family="line pattern",
        unit="of full scale",
        grid=(0.01, 0.02, 0.05, 0.12),
        meaning="regular oblique stripes lie over the image",
        transform=_oblique_stripes,
        limit=1.0,
    ),
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
    Operation(
        name="fine grain",
        family="texture",
        unit="of full scale",
        grid=(0.01, 0.02, 0.05, 0.12),
        meaning="the surface is grainier",
        transform=_fine_grain,
        limit=1.0,
    ),
    Operation(
        name="mottled texture",
        family="texture",
        unit="of full scale",
        grid=(0.01, 0.02, 0.05, 0.12),
        meaning="the surface is mottled",
        transform=_mottle,
        limit=1.0,
    ),
    Operation(
        name="long streaks along the rows",
        family="texture",
        unit="of full scale",
        grid=(0.01, 0.02, 0.05, 0.12),
        meaning="the surface has long horizontal streaks",
        transform=partial(_long_streaks, ROWS),
        limit=1.0,
    ),
    Operation(
        name="long streaks along the columns",
        family="texture",
        unit="of full scale",
        grid=(0.01, 0.02, 0.05, 0.12),
        meaning="the surface has long vertical streaks",
        transform=partial(_long_streaks, COLUMNS),
        limit=1.0,
    ),
    Operation(
        name="brushed grain",
        family="texture",
        unit="of full scale",
        grid=(0.01, 0.02, 0.05, 0.12),
        meaning="the surface has fine streaks along one direction",
        transform=partial(_brushed_grain, ANY),
        limit=1.0,
    ),
    Operation(
        name="brushed grain along the rows",
        family="texture",
        unit="of full scale",
        grid=(0.01, 0.02, 0.05, 0.12),
        meaning="the surface has fine horizontal streaks",
        transform=partial(_brushed_grain, ROWS),
        limit=1.0,
    ),
    Operation(
        name="brushed grain along the columns",
        family="texture",
        unit="of full scale",
        grid=(0.01, 0.02, 0.05, 0.12),
        meaning="the surface has fine vertical streaks",
        transform=partial(_brushed_grain, COLUMNS),
        limit=1.0,
    ),
    Operation(
        name="cloudy texture",
        family="texture",
        unit="of full scale",
        grid=(0.01, 0.02, 0.05, 0.12),
        meaning="the surface has large brighter and darker blotches",
        transform=_clouds,
        limit=1.0,
    ),
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
