"""The catalogue's own transforms: what albumentations 2.0.8 does not compute, or not in units of ours.

Each is an albumentations transform like any other: it draws from its own generators, can be written into a
recipe by its name and read back, and takes uint8 images of shape (H, W), (H, W, 1) or (H, W, 3). Values
beyond black and white are clipped. Angles are in degrees and turn clockwise, as rows count downwards.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import albumentations as A
import cv2
import numpy as np
from albumentations.core.pydantic import check_range_bounds, nondecreasing
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

Image = NDArray[np.uint8]
Plane = NDArray[np.float32]  # (H, W), or (H, 1) or (1, W) where it is the same along one side

Range = Annotated[
    tuple[float, float], AfterValidator(nondecreasing), AfterValidator(check_range_bounds(0, None))
]
Above = Annotated[
    tuple[float, float],
    AfterValidator(nondecreasing),
    AfterValidator(check_range_bounds(0, None, min_inclusive=False)),
]
Share = Annotated[
    tuple[float, float], AfterValidator(nondecreasing), AfterValidator(check_range_bounds(0, 1))
]
Pull = Annotated[
    tuple[float, float], AfterValidator(nondecreasing), AfterValidator(check_range_bounds(0, 0.4))
]
GreyLevels = Annotated[
    tuple[float, float], AfterValidator(nondecreasing), AfterValidator(check_range_bounds(0, 255))
]
Bits = Annotated[tuple[float, float], AfterValidator(nondecreasing), AfterValidator(check_range_bounds(0, 8))]
Angles = Annotated[
    tuple[float, float], AfterValidator(nondecreasing), AfterValidator(check_range_bounds(-360, 360))
]
Along = Literal["horizontal", "vertical"]
DISC_PARTS = 16  # of a pixel's side, in which a disc is counted
FOCUS_STEPS = 5  # images, from sharp to blurred, that a tilted focus is blended from
NO_BLUR = 0.1  # pixels: a Gaussian of a smaller sigma is none


# --- light ------------------------------------------------------------------------------------------------


class SideLight(A.ImageOnlyTransform):  # type: ignore[misc]
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
        way = _way(img, self.angle)
        ramp = 1.0 - np.float32(reach) * way / max(float(way.max()), 1e-6)
        return _grey_values(img * _like(ramp / np.float32(1.0 + reach) if self.lost else ramp, img))


class Veil(A.ImageOnlyTransform):  # type: ignore[misc]
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
        return _grey_values(img + np.float32(share) * (stray - img))


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
        radius_range: Above

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
        return _lit(img, gain, down[:, None] * across[None, :])


class Glint(A.ImageOnlyTransform):  # type: ignore[misc]
    """A thin bright streak, as an edge or a scratch throws it back: half shows the part, half is glare.

    Args:
        gain_range: light added in the middle of the streak, drawn uniformly, times the normal light.
        length_range: of the streak where it is at least half as bright as in its middle, drawn uniformly,
            share of the shorter side.
        radius_range: sigma across the streak, drawn uniformly, share of the shorter side; at least half a
            pixel.
        angle_range: direction of the streak, drawn uniformly: 0 along the rows, 90 along the columns.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        gain_range: Range
        length_range: Above
        radius_range: Above
        angle_range: Angles

    def __init__(
        self,
        gain_range: tuple[float, float] = (0.5, 1.5),
        length_range: tuple[float, float] = (0.3, 0.6),
        radius_range: tuple[float, float] = (0.02, 0.05),
        angle_range: tuple[float, float] = (0.0, 180.0),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.gain_range = gain_range
        self.length_range = length_range
        self.radius_range = radius_range
        self.angle_range = angle_range

    def get_params(self) -> dict[str, Any]:
        """Draw the gain, the length, the sigma, the direction and the middle (shares of width and height)."""
        return {
            "gain": self.py_random.uniform(*self.gain_range),
            "length": self.py_random.uniform(*self.length_range),
            "radius": self.py_random.uniform(*self.radius_range),
            "angle": self.py_random.uniform(*self.angle_range),
            "middle": (self.py_random.uniform(0.15, 0.85), self.py_random.uniform(0.15, 0.85)),
        }

    def apply(
        self,
        img: Image,
        gain: float,
        length: float,
        radius: float,
        angle: float,
        middle: tuple[float, float],
        **_: Any,
    ) -> Image:
        """Add gain * streak * (image + its mean) / 2, where the streak is an elliptic Gaussian."""
        short = min(img.shape[:2])
        along, across = _along_and_across(img, middle, angle)
        along /= np.float32(max(length * short / _HALF_WIDTH, 0.5))
        across /= np.float32(max(radius * short, 0.5))
        return _lit(img, gain, np.exp(np.float32(-0.5) * (along**2 + across**2)))


_HALF_WIDTH = 2.0 * math.sqrt(2.0 * math.log(2.0))  # of a Gaussian at half its peak, in sigmas: 2.35


class WindowReflection(A.ImageOnlyTransform):  # type: ignore[misc]
    """A bright rectangle with soft edges, as a window is mirrored: half shows the part, half is glare.

    Args:
        gain_range: light added in the rectangle, drawn uniformly, times the normal light.
        side_range: of the rectangle, drawn uniformly for each of the two, share of the shorter side.
        softness_range: width of its edges, drawn uniformly, share of the shorter side; at least one pixel.
        angle_range: direction of one of the sides, drawn uniformly: 0 along the rows, 90 along the columns.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        gain_range: Range
        side_range: Above
        softness_range: Range
        angle_range: Angles

    def __init__(
        self,
        gain_range: tuple[float, float] = (0.5, 1.5),
        side_range: tuple[float, float] = (0.12, 0.3),
        softness_range: tuple[float, float] = (0.04, 0.12),
        angle_range: tuple[float, float] = (0.0, 180.0),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.gain_range = gain_range
        self.side_range = side_range
        self.softness_range = softness_range
        self.angle_range = angle_range

    def get_params(self) -> dict[str, Any]:
        """Draw the gain, the sides, the softness, the direction and the middle (shares of both sides)."""
        return {
            "gain": self.py_random.uniform(*self.gain_range),
            "sides": (self.py_random.uniform(*self.side_range), self.py_random.uniform(*self.side_range)),
            "softness": self.py_random.uniform(*self.softness_range),
            "angle": self.py_random.uniform(*self.angle_range),
            "middle": (self.py_random.uniform(0.15, 0.85), self.py_random.uniform(0.15, 0.85)),
        }

    def apply(
        self,
        img: Image,
        gain: float,
        sides: tuple[float, float],
        softness: float,
        angle: float,
        middle: tuple[float, float],
        **_: Any,
    ) -> Image:
        """Add gain * pane * (image + its mean) / 2, where the pane is 1, and falls to 0 across its edges."""
        short = min(img.shape[:2])
        along, across = _along_and_across(img, middle, angle)
        edge = max(softness * short, 1.0)
        pane = _soft_band(along, sides[0] * short, edge) * _soft_band(across, sides[1] * short, edge)
        return _lit(img, gain, pane)


class ShadowEdge(A.ImageOnlyTransform):  # type: ignore[misc]
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
        beyond = (_way(img, angle) - np.float32(place * short)) / np.float32(max(softness * short, 1.0))
        shade = np.clip(beyond + np.float32(0.5), 0.0, 1.0)
        return _grey_values(img * _like(1.0 - np.float32(1.0 - 2.0**-stops) * shade, img))


class ShadowBand(A.ImageOnlyTransform):  # type: ignore[misc]
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
        away = _way(img, angle + 90.0) - np.float32(place * short)
        shade = _soft_band(away, width * short, max(softness * short, 1.0))
        return _grey_values(img * _like(1.0 - np.float32(1.0 - 2.0**-stops) * shade, img))


class Vignette(A.ImageOnlyTransform):  # type: ignore[misc]
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
        down, across = _from_the_middle(img)
        square = down**2 + across**2
        fall = np.exp2(np.float32(-stops) * square / max(float(square[0, 0]), 1e-6))
        return _grey_values(img * _like(fall, img))


class ColourCast(A.ImageOnlyTransform):  # type: ignore[misc]
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
        return _grey_values(img * (gains / (gains @ _LUMINANCE)))


_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue, BT.601 as in OpenCV


# --- sharpness and place ----------------------------------------------------------------------------------


class LineBlur(A.ImageOnlyTransform):  # type: ignore[misc]
    """The smear of a part that moves straight while the shutter is open.

    Unlike MotionBlur its length is any number, not only 3, 5, 7, and its line is not stepped.

    Args:
        length_range: way that the part moves, drawn uniformly, in pixels.
        angle_range: direction of the way, drawn uniformly: 0 along the rows, 90 along the columns.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        length_range: Range
        angle_range: Angles

    def __init__(
        self,
        length_range: tuple[float, float] = (2.0, 6.0),
        angle_range: tuple[float, float] = (0.0, 180.0),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.length_range = length_range
        self.angle_range = angle_range

    def get_params(self) -> dict[str, Any]:
        """Draw the length (pixels) and the direction."""
        length = self.py_random.uniform(*self.length_range)
        return {"length": length, "angle": self.py_random.uniform(*self.angle_range)}

    def apply(self, img: Image, length: float, angle: float, **_: Any) -> Image:
        """Average the image along the line."""
        return _averaged(img, line_kernel(length, angle))


def line_kernel(length: float, angle: float, fading: bool = False) -> Plane:
    """Return the weights (size, size), summing to 1, of a line of a length (pixels) at an angle (degrees).

    Every point of the line is shared among its four nearest pixels, as in bilinear interpolation. All points
    weigh alike, or, where the line is `fading`, in proportion to how far they are from its nearer end.
    """
    half = int(length / 2.0) + 1
    points = 16 * half
    places = (np.arange(points) + 0.5) / points - 0.5
    along = places * length
    weights = 0.5 - np.abs(places) if fading else np.ones(points)
    pixels = np.arange(-half, half + 1)
    turn = math.radians(angle)
    across = np.clip(1.0 - np.abs(pixels - math.cos(turn) * along[:, None]), 0.0, 1.0)
    down = np.clip(1.0 - np.abs(pixels - math.sin(turn) * along[:, None]), 0.0, 1.0)
    return np.asarray(down.T @ (weights[:, None] * across) / weights.sum(), dtype=np.float32)


class DiscBlur(A.ImageOnlyTransform):  # type: ignore[misc]
    """A lens out of focus: every point becomes a disc, as wide as the aperture is open.

    Unlike Defocus its radius is any number, not only 1, 2, 3.

    Args:
        radius_range: radius of the disc, drawn uniformly, in pixels.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        radius_range: Range

    def __init__(self, radius_range: tuple[float, float] = (1.0, 4.0), p: float = 0.5):
        super().__init__(p=p)
        self.radius_range = radius_range

    def get_params(self) -> dict[str, Any]:
        """Draw the radius (pixels)."""
        return {"radius": self.py_random.uniform(*self.radius_range)}

    def apply(self, img: Image, radius: float, **_: Any) -> Image:
        """Average the image over the disc."""
        return _averaged(img, disc_kernel(radius))


def _averaged(img: Image, kernel: Plane) -> Image:
    return np.asarray(cv2.filter2D(img, -1, kernel), dtype=np.uint8).reshape(img.shape)


def disc_kernel(radius: float) -> Plane:
    """Return the weights (size, size), summing to 1, of a disc of a radius (pixels).

    Each pixel counts by how many of its 16 x 16 parts have their middle on the disc; where none has, for the
    disc is a point, the pixel in the middle counts alone.
    """
    half = math.ceil(max(radius - 0.5, 0.0))
    size = 2 * half + 1
    places = (np.arange(size * DISC_PARTS) + 0.5) / DISC_PARTS - size / 2.0
    inside = places[:, None] ** 2 + places**2 <= radius**2
    weights = inside.reshape(size, DISC_PARTS, size, DISC_PARTS).sum((1, 3)).astype(np.float32)
    weights[half, half] = max(weights[half, half], 1.0)
    return np.asarray(weights / weights.sum(), dtype=np.float32)


class TiltedFocus(A.ImageOnlyTransform):  # type: ignore[misc]
    """A tilted focal plane: sharp on one side, at random, and blurred more and more towards the other.

    Args:
        sigma_range: blur at the far side, drawn uniformly, pixels (sigma of a Gaussian).
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        sigma_range: Range

    def __init__(self, sigma_range: tuple[float, float] = (1.0, 4.0), p: float = 0.5):
        super().__init__(p=p)
        self.sigma_range = sigma_range

    def get_params(self) -> dict[str, Any]:
        """Draw the blur and the direction in which it grows."""
        return {"sigma": self.py_random.uniform(*self.sigma_range), "angle": self.py_random.uniform(0, 360)}

    def apply(self, img: Image, sigma: float, angle: float, **_: Any) -> Image:
        """Blend five images, each blurred by a quarter more of sigma than the one before, along the way."""
        way = _way(img, angle)
        share = (way - way.min()) / max(float(way.max() - way.min()), 1e-6) * (FOCUS_STEPS - 1)
        light = img.astype(np.float32)
        total = np.zeros_like(light)
        for step in range(FOCUS_STEPS):
            weight = np.maximum(1.0 - np.abs(share - step), 0.0)
            total += _like(weight, img) * _blurred(light, sigma * step / (FOCUS_STEPS - 1))
        return _grey_values(total)


def _blurred(light: Plane, sigma: float) -> Plane:
    if sigma < NO_BLUR:
        return light
    blurred = cv2.GaussianBlur(light, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32).reshape(light.shape)


class SpinBlur(A.ImageOnlyTransform):  # type: ignore[misc]
    """The smear of a part that turns about the image's middle while the shutter is open; mirrored border.

    Args:
        degrees_range: angle that the part sweeps, half of it to either side, drawn uniformly.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        degrees_range: Range

    def __init__(self, degrees_range: tuple[float, float] = (2.0, 8.0), p: float = 0.5):
        super().__init__(p=p)
        self.degrees_range = degrees_range

    def get_params(self) -> dict[str, Any]:
        """Draw the angle."""
        return {"sweep": self.py_random.uniform(*self.degrees_range)}

    def apply(self, img: Image, sweep: float, **_: Any) -> Image:
        """Average the image over turns by the middles of equal parts of the angle.

        There are at least three, and so many that the corners move by at most a pixel from one to the next.
        """
        light = img.astype(np.float32)
        corner = math.radians(sweep) * math.hypot(*img.shape[:2]) / 2.0  # its way in pixels
        turns = max(math.ceil(corner), 3)
        total = np.zeros_like(light)
        for each in range(turns):
            total += _turned(light, ((each + 0.5) / turns - 0.5) * sweep)
        return _grey_values(total / np.float32(turns))


def _turned(light: Plane, degrees: float) -> Plane:
    """An image turned about its middle, clockwise; bilinear, mirrored at the border."""
    height, width = light.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2.0, (height - 1) / 2.0), -degrees, 1.0)
    turned = cv2.warpAffine(
        light, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(turned, dtype=np.float32).reshape(light.shape)


class Displacement(A.ImageOnlyTransform):  # type: ignore[misc]
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


class Keystone(A.ImageOnlyTransform):  # type: ignore[misc]
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


# --- noise, lines and textures ----------------------------------------------------------------------------


class PhotonNoise(A.ImageOnlyTransform):  # type: ignore[misc]
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
        return _grey_values(light + np.float32(255.0 * deviation) * np.sqrt(light / 255.0) * noise)


class Lines(A.ImageOnlyTransform):  # type: ignore[misc]
    """Every row, or column, of pixels brighter or darker by an amount of its own, the same along the line.

    Args:
        deviation_range: standard deviation of the amounts, drawn uniformly, share of full scale.
        along: where the lines run.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        deviation_range: Share
        along: Along

    def __init__(
        self,
        deviation_range: tuple[float, float] = (0.01, 0.05),
        along: Along = "horizontal",
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.deviation_range = deviation_range
        self.along = along

    def get_params(self) -> dict[str, Any]:
        """Draw the standard deviation and the seed of the amounts."""
        return {
            "deviation": self.py_random.uniform(*self.deviation_range),
            "seed": self.py_random.getrandbits(32),
        }

    def apply(self, img: Image, deviation: float, seed: int, **_: Any) -> Image:
        """Add the amounts, with a mean of zero."""
        amounts = default_rng(seed).standard_normal(_lines(img, self.along), dtype=np.float32)
        return _added(img, deviation, _standardised(_drawn_out(amounts, self.along)))


class Stripes(A.ImageOnlyTransform):  # type: ignore[misc]
    """A sinusoidal pattern of stripes, as flickering light leaves it on a line camera.

    Args:
        amplitude_range: amplitude of the sine, drawn uniformly, share of full scale.
        along: where the stripes run.
        period_range: from one stripe to the next, drawn uniformly, in pixels.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        amplitude_range: Share
        along: Along
        period_range: Above

    def __init__(
        self,
        amplitude_range: tuple[float, float] = (0.02, 0.1),
        along: Along = "horizontal",
        period_range: tuple[float, float] = (4.0, 16.0),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.amplitude_range = amplitude_range
        self.along = along
        self.period_range = period_range

    def get_params(self) -> dict[str, Any]:
        """Draw the amplitude, the period and the phase (radians)."""
        return {
            "amplitude": self.py_random.uniform(*self.amplitude_range),
            "period": self.py_random.uniform(*self.period_range),
            "phase": self.py_random.uniform(0.0, 2.0 * math.pi),
        }

    def apply(self, img: Image, amplitude: float, period: float, phase: float, **_: Any) -> Image:
        """Add the sine."""
        steps = np.arange(_lines(img, self.along)) * (2.0 * math.pi / period)
        return _added(img, amplitude, _drawn_out(np.sin(steps + phase).astype(np.float32), self.along))


class ObliqueStripes(A.ImageOnlyTransform):  # type: ignore[misc]
    """A sinusoidal pattern of straight stripes at an angle, as interference leaves it.

    Args:
        amplitude_range: amplitude of the sine, drawn uniformly, share of full scale.
        angle_range: direction of the stripes, drawn uniformly: 0 along the rows, 90 along the columns.
        period_range: from one stripe to the next, straight across them, drawn uniformly, in pixels.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        amplitude_range: Share
        angle_range: Angles
        period_range: Above

    def __init__(
        self,
        amplitude_range: tuple[float, float] = (0.02, 0.1),
        angle_range: tuple[float, float] = (0.0, 180.0),
        period_range: tuple[float, float] = (4.0, 16.0),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.amplitude_range = amplitude_range
        self.angle_range = angle_range
        self.period_range = period_range

    def get_params(self) -> dict[str, Any]:
        """Draw the amplitude, the direction, the period and the phase in the middle (radians)."""
        return {
            "amplitude": self.py_random.uniform(*self.amplitude_range),
            "angle": self.py_random.uniform(*self.angle_range),
            "period": self.py_random.uniform(*self.period_range),
            "phase": self.py_random.uniform(0.0, 2.0 * math.pi),
        }

    def apply(
        self, img: Image, amplitude: float, angle: float, period: float, phase: float, **_: Any
    ) -> Image:
        """Add the sine."""
        steps = _way(img, angle + 90.0) * np.float32(2.0 * math.pi / period)
        return _added(img, amplitude, np.sin(steps + np.float32(phase)))


class Mottle(A.ImageOnlyTransform):  # type: ignore[misc]
    """An added random texture without a direction, about one wavelength: grain when short, clouds when long.

    Args:
        deviation_range: standard deviation of the texture, drawn uniformly, share of full scale.
        wavelength_range: from one blotch to the next, drawn uniformly.
        relative: whether the wavelength is a share of the shorter side rather than pixels.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        deviation_range: Share
        wavelength_range: Above
        relative: bool

    def __init__(
        self,
        deviation_range: tuple[float, float] = (0.02, 0.08),
        wavelength_range: tuple[float, float] = (3.0, 3.0),
        relative: bool = False,
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.deviation_range = deviation_range
        self.wavelength_range = wavelength_range
        self.relative = relative

    def get_params(self) -> dict[str, Any]:
        """Draw the standard deviation, the wavelength and the seed of the texture."""
        return {
            "deviation": self.py_random.uniform(*self.deviation_range),
            "wavelength": self.py_random.uniform(*self.wavelength_range),
            "seed": self.py_random.getrandbits(32),
        }

    def apply(self, img: Image, deviation: float, wavelength: float, seed: int, **_: Any) -> Image:
        """Add white noise, of which a band half an octave (one sigma) about the wavelength is left."""
        height, width = img.shape[:2]
        pixels = wavelength * (min(height, width) if self.relative else 1.0)
        noise = default_rng(seed).standard_normal((height, width), dtype=np.float32)
        frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
        octaves = np.log2(np.maximum(frequency * pixels, 1e-9))  # the mean, at frequency 0, goes too
        passed = np.fft.rfft2(noise) * np.exp(-2.0 * octaves**2)
        return _added(img, deviation, _standardised(np.fft.irfft2(passed, s=(height, width))))


class BrushedGrain(A.ImageOnlyTransform):  # type: ignore[misc]
    """An added random texture of fine streaks along one direction, as brushing or grinding leaves it.

    Args:
        deviation_range: standard deviation of the texture, drawn uniformly, share of full scale.
        angle_range: direction of the streaks, drawn uniformly: 0 along the rows, 90 along the columns.
        length_range: of the streaks, drawn uniformly, share of the shorter side.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        deviation_range: Share
        angle_range: Angles
        length_range: Range

    def __init__(
        self,
        deviation_range: tuple[float, float] = (0.02, 0.08),
        angle_range: tuple[float, float] = (0.0, 180.0),
        length_range: tuple[float, float] = (0.07, 0.14),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.deviation_range = deviation_range
        self.angle_range = angle_range
        self.length_range = length_range

    def get_params(self) -> dict[str, Any]:
        """Draw the standard deviation, the direction, the length and the seed of the streaks."""
        return {
            "deviation": self.py_random.uniform(*self.deviation_range),
            "angle": self.py_random.uniform(*self.angle_range),
            "length": self.py_random.uniform(*self.length_range),
            "seed": self.py_random.getrandbits(32),
        }

    def apply(self, img: Image, deviation: float, angle: float, length: float, seed: int, **_: Any) -> Image:
        """Add white noise averaged along the line, less its own blur over half a streak.

        A streak fades towards its ends, from a line longer by the square root of 2, which has the same
        variance. Where it ends abruptly, its spectrum reaches beyond its own direction.
        """
        pixels = max(length * min(img.shape[:2]), 1.0)
        noise = default_rng(seed).standard_normal(img.shape[:2], dtype=np.float32)
        streaks = cv2.filter2D(noise, -1, line_kernel(math.sqrt(2.0) * pixels, angle, fading=True))
        return _added(img, deviation, _standardised(streaks - cv2.GaussianBlur(streaks, (0, 0), pixels / 2)))


class Posterising(A.ImageOnlyTransform):  # type: ignore[misc]
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
        return _grey_values(step * np.floor(img.astype(np.float32) / step + np.float32(0.5)))


# --- what lies on the part or the lens --------------------------------------------------------------------


class Dust(A.ImageOnlyTransform):  # type: ignore[misc]
    """Small dark specks with a soft edge at random places.

    Args:
        share_range: area of all specks together, drawn uniformly, share of the image.
        radius_range: of a speck, drawn uniformly for each, share of the shorter side.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        share_range: Share
        radius_range: Above

    def __init__(
        self,
        share_range: tuple[float, float] = (0.005, 0.03),
        radius_range: tuple[float, float] = (0.005, 0.03),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.share_range = share_range
        self.radius_range = radius_range

    def get_params(self) -> dict[str, Any]:
        """Draw the area and the seed of the specks."""
        return {"share": self.py_random.uniform(*self.share_range), "seed": self.py_random.getrandbits(32)}

    def apply(self, img: Image, share: float, seed: int, **_: Any) -> Image:
        """Let half to nine tenths of the light be lost in a speck; specks over each other multiply."""
        rng, light = default_rng(seed), np.ones(img.shape[:2], np.float32)
        for row, column, radius in _blobs(img, share, self.radius_range, rng):
            edge, lost = max(radius / 2.0, 1.0), rng.uniform(0.5, 0.9)
            window, distance = _around(img, row, column, radius + edge)
            light[window] *= 1.0 - lost * np.clip((radius - distance) / edge + 0.5, 0.0, 1.0)
        return _grey_values(img * _like(light, img))


class Hairs(A.ImageOnlyTransform):  # type: ignore[misc]
    """Thin dark curled fibres at random places.

    Args:
        share_range: area of all fibres together, drawn uniformly, share of the image.
        length_range: of a fibre, drawn uniformly for each, share of the shorter side.
        width_range: of a fibre, drawn uniformly for each, share of the shorter side.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        share_range: Share
        length_range: Above
        width_range: Above

    def __init__(
        self,
        share_range: tuple[float, float] = (0.005, 0.03),
        length_range: tuple[float, float] = (0.2, 0.6),
        width_range: tuple[float, float] = (0.006, 0.014),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.share_range = share_range
        self.length_range = length_range
        self.width_range = width_range

    def get_params(self) -> dict[str, Any]:
        """Draw the area and the seed of the fibres."""
        return {"share": self.py_random.uniform(*self.share_range), "seed": self.py_random.getrandbits(32)}

    def apply(self, img: Image, share: float, seed: int, **_: Any) -> Image:
        """Let half to nine tenths of the light be lost under a fibre; fibres over each other multiply."""
        rng, light = default_rng(seed), np.ones(img.shape[:2], np.float32)
        left = share * light.size  # pixels
        while left > 0.0:
            width = rng.uniform(*self.width_range) * min(img.shape[:2])
            points = _fibre(img, self.length_range, rng)
            within = points[: math.ceil(left / (width * _STEP))]
            light *= 1.0 - np.float32(rng.uniform(0.5, 0.9)) * _covered(img, within, width)
            left -= width * _STEP * len(points)
        return _grey_values(img * _like(light, img))


_STEP = 0.5  # pixels from one point of a fibre to the next


def _fibre(image: Image, lengths: tuple[float, float], rng: Generator) -> NDArray[np.float64]:
    """Draw the points (points, 2), rows and columns half a pixel apart, of a fibre, as far as in the image.

    It starts anywhere, in any direction, turns by up to 200 degrees on its way, and curls by up to 60 degrees
    to either side of that in a wave as long as itself.
    """
    height, width = image.shape[:2]
    steps = math.ceil(rng.uniform(*lengths) * min(height, width) / _STEP)
    start = rng.uniform(-0.5, height - 0.5), rng.uniform(-0.5, width - 0.5)
    first, turn, curl, phase = np.radians(rng.uniform((0, -200, -60, 0), (360, 200, 60, 360)))
    way = np.arange(steps) / steps
    heading = first + turn * way + curl * np.sin(2.0 * math.pi * way + phase)
    ahead = _STEP * np.stack([np.sin(heading), np.cos(heading)], axis=1)
    points = start + np.cumsum(ahead, axis=0) - ahead
    inside = np.all((points >= -0.5) & (points < (height - 0.5, width - 0.5)), axis=1)
    return np.asarray(points[inside])


def _covered(image: Image, points: NDArray[np.float64], width: float) -> Plane:
    """The share of every pixel under a line of a width (pixels) through points, as if it ran straight."""
    reach = math.ceil(width / 2.0 + 0.5)
    near = np.full([size + 2 * reach for size in image.shape[:2]], np.inf, np.float32)
    offsets = np.arange(-reach, reach + 1)
    pixels = np.rint(points).astype(np.int64)[:, :, None] + offsets  # (points, rows and columns, offsets)
    squares = (pixels - points[:, :, None]) ** 2
    distance = np.sqrt(squares[:, 0, :, None] + squares[:, 1, None, :]).astype(np.float32)
    np.minimum.at(near, (pixels[:, 0, :, None] + reach, pixels[:, 1, None, :] + reach), distance)
    inner = near[reach:-reach, reach:-reach]
    return np.asarray(np.clip(width / 2.0 + 0.5 - inner, 0.0, min(width, 1.0)), dtype=np.float32)


class Droplets(A.ImageOnlyTransform):  # type: ignore[misc]
    """Drops of oil or water: blurred and a fifth brighter within, with a rim half as dark.

    Args:
        share_range: area of all drops together, drawn uniformly, share of the image.
        radius_range: of a drop, drawn uniformly for each, share of the shorter side.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        share_range: Share
        radius_range: Above

    def __init__(
        self,
        share_range: tuple[float, float] = (0.03, 0.12),
        radius_range: tuple[float, float] = (0.03, 0.08),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.share_range = share_range
        self.radius_range = radius_range

    def get_params(self) -> dict[str, Any]:
        """Draw the area and the seed of the drops."""
        return {"share": self.py_random.uniform(*self.share_range), "seed": self.py_random.getrandbits(32)}

    def apply(self, img: Image, share: float, seed: int, **_: Any) -> Image:
        """Put the blurred image into the drops and darken their rims, the outer quarter of the radius."""
        inside, rim = np.zeros(img.shape[:2], np.float32), np.zeros(img.shape[:2], np.float32)
        for row, column, radius in _blobs(img, share, self.radius_range, default_rng(seed)):
            window, distance = _around(img, row, column, radius + 1.0)
            within = np.clip(radius - distance + 0.5, 0.0, 1.0)
            inside[window] = np.maximum(inside[window], within)
            rim[window] = np.maximum(rim[window], within * np.clip(4.0 * distance / radius - 3.0, 0.0, 1.0))
        light = img.astype(np.float32)
        blurred = cv2.GaussianBlur(light, (0, 0), max(0.02 * min(img.shape[:2]), 0.5)).reshape(img.shape)
        light += _like(inside, img) * (np.float32(1.2) * blurred - light)
        return _grey_values(light * _like(1.0 - np.float32(0.5) * rim, img))


def _blobs(
    image: Image, share: float, radii: tuple[float, float], rng: Generator
) -> Iterator[tuple[float, float, float]]:
    """Draw row, column and radius (pixels) of discs until their areas make up a share of the image.

    The last disc is as small as it must be for the exact area; more of a share adds discs to the same ones.
    """
    height, width = image.shape[:2]
    left = share * height * width
    while left > 0.0:
        drawn = rng.uniform(*radii) * min(height, width)
        radius = min(drawn, math.sqrt(left / math.pi))
        yield rng.uniform(-0.5, height - 0.5), rng.uniform(-0.5, width - 0.5), radius
        left -= math.pi * drawn**2


def _around(image: Image, row: float, column: float, reach: float) -> tuple[tuple[slice, slice], Plane]:
    """The part of an image that is near a place, and the distance (pixels) of its pixels from there."""
    rows, columns = (
        np.arange(max(math.ceil(at - reach), 0), min(math.floor(at + reach) + 1, size), dtype=np.float32)
        for at, size in zip((row, column), image.shape[:2], strict=True)
    )
    window = tuple(slice(int(each[0]), int(each[-1]) + 1) for each in (rows, columns))
    return (window[0], window[1]), np.hypot(rows[:, None] - row, columns[None, :] - column)


# --- planes that are multiplied with images or added to them ----------------------------------------------


def _from_the_middle(image: Image) -> tuple[Plane, Plane]:
    """Rows (H, 1) and columns (1, W), counted in pixels from the middle of the image."""
    height, width = image.shape[:2]
    down = np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2.0)
    across = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2.0)
    return down[:, None], across[None, :]


def _way(image: Image, angle: float) -> Plane:
    """How far (pixels) every pixel lies from the middle along a direction."""
    down, across = _from_the_middle(image)
    turn = math.radians(angle)
    return np.float32(math.cos(turn)) * across + np.float32(math.sin(turn)) * down


def _along_and_across(image: Image, middle: tuple[float, float], angle: float) -> tuple[Plane, Plane]:
    """How far (pixels) every pixel lies along a direction, and across it, from shares of width and height."""
    height, width = image.shape[:2]
    right, down = (middle[0] - 0.5) * (width - 1), (middle[1] - 0.5) * (height - 1)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along = _way(image, angle) - np.float32(cosine * right + sine * down)
    return along, _way(image, angle + 90.0) - np.float32(cosine * down - sine * right)


def _soft_band(away: Plane, width: float, edge: float) -> Plane:
    """1 in a band about 0 and 0 beyond it, with straight ramps; all three in pixels.

    The width lies between the middles of the ramps. A band narrower than its edges is nowhere quite 1.
    """
    height = (np.float32(width / 2.0) - np.abs(away)) / np.float32(edge) + np.float32(0.5)
    return np.asarray(np.clip(height, 0.0, 1.0), dtype=np.float32)


def _bell(size: int, middle: float, sigma: float) -> Plane:
    """A Gaussian (size,) with its peak of 1 at a share of the size."""
    distance = np.arange(size, dtype=np.float32) - np.float32(middle * (size - 1))
    return np.asarray(np.exp(-0.5 * (distance / np.float32(sigma)) ** 2), dtype=np.float32)


def _lines(image: Image, along: Along) -> int:
    """How many rows, or columns, an image has."""
    return int(image.shape[0 if along == "horizontal" else 1])


def _drawn_out(values: Plane, along: Along) -> Plane:
    """One value for every line, as a plane."""
    return values[:, None] if along == "horizontal" else values[None, :]


def _standardised(plane: NDArray[np.floating[Any]]) -> Plane:
    """With a mean of 0 and a standard deviation of 1; one that has none is 0."""
    centred = plane - plane.mean()
    return np.asarray(centred / max(float(centred.std()), 1e-6), dtype=np.float32)


def _added(image: Image, strength: float, plane: Plane) -> Image:
    """An image plus a strength (share of full scale) times a plane, the same in every channel."""
    return _grey_values(image + np.float32(255.0 * strength) * _like(plane, image))


def _lit(image: Image, gain: float, spot: Plane) -> Image:
    """An image plus the light of a spot (1 where it is brightest), half on the part and half as glare."""
    light = image.astype(np.float32)
    return _grey_values(light + np.float32(gain / 2.0) * _like(spot, image) * (light + light.mean()))


def _like(plane: Plane, image: Image) -> Plane:
    return plane if image.ndim == 2 else plane[:, :, None]


def _grey_values(light: Plane) -> Image:
    return np.asarray(np.rint(np.clip(light, 0.0, 255.0)), dtype=np.uint8)
