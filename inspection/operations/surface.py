"""Operations of the surface and of lines across the image: line pattern, texture."""

import math
from functools import partial
from typing import Any, Literal

import albumentations as A
import cv2
import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from inspection.operations.blur import line_kernel
from inspection.operations.operation import (
    ANY,
    COLUMNS,
    ROWS,
    Above,
    Angles,
    Image,
    Operation,
    Plane,
    Range,
    Share,
    Transform,
)
from inspection.operations.planes import along_angle, grey_values, like

Along = Literal["horizontal", "vertical"]


class Lines(Transform):
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
        amounts = default_rng(seed).standard_normal(_line_count(img, self.along), dtype=np.float32)
        return _added(img, deviation, _standardised(_drawn_out(amounts, self.along)))


class Stripes(Transform):
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
        steps = np.arange(_line_count(img, self.along)) * (2.0 * math.pi / period)
        return _added(img, amplitude, _drawn_out(np.sin(steps + phase).astype(np.float32), self.along))


class ObliqueStripes(Transform):
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
        steps = along_angle(img, angle + 90.0) * np.float32(2.0 * math.pi / period)
        return _added(img, amplitude, np.sin(steps + np.float32(phase)))


class Mottle(Transform):
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


class BrushedGrain(Transform):
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


def _line_count(image: Image, along: Along) -> int:
    """How many rows, or columns, an image has."""
    return int(image.shape[0 if along == "horizontal" else 1])


def _drawn_out(values: Plane, along: Along) -> Plane:
    """One value for every line, as a plane."""
    return values[:, None] if along == "horizontal" else values[None, :]


def _added(image: Image, strength: float, plane: Plane) -> Image:
    """An image plus a strength (share of full scale) times a plane, the same in every channel."""
    return grey_values(image + np.float32(255.0 * strength) * like(plane, image))


def _standardised(plane: NDArray[np.floating[Any]]) -> Plane:
    """With a mean of 0 and a standard deviation of 1; one that has none is 0."""
    centred = plane - plane.mean()
    return np.asarray(centred / max(float(centred.std()), 1e-6), dtype=np.float32)


def _lines(along: Along, lowest: float, highest: float) -> A.BasicTransform:
    return Lines(deviation_range=(lowest, highest), along=along, p=1.0)


def _stripes(along: Along, lowest: float, highest: float) -> A.BasicTransform:
    return Stripes(amplitude_range=(lowest, highest), along=along, p=1.0)


def _oblique_stripes(lowest: float, highest: float) -> A.BasicTransform:
    return ObliqueStripes(amplitude_range=(lowest, highest), p=1.0)


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


OPERATIONS: tuple[Operation, ...] = (
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
)
