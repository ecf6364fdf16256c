"""A second set of planted faults, written after the diagnosis and with other physics than `planted`.

    python -m tests.benchmarks.faults --images DIR --faults tests/benchmarks/second_opinion.py --json OUT

Changes of grey values as an engineer would write them down: some in sRGB light, some on grey values, kernels
drawn on a finer grid, borders mirrored in ways of their own. Strength 1 is the fault as logged.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tests.benchmarks.planted import Fault, Image

Grey = NDArray[np.float64]  # (H, W, channel), grey levels from 0 to 255
Field = NDArray[np.float64]  # (H, W)
FINER = 4  # times as many pixels along a side in which specks, hairs and scratches are drawn
KERNEL_PARTS = 8  # the same for the kernel of a lens


def on_grey(
    family: str, channels: tuple[int, ...] = (1, 3)
) -> Callable[[Callable[[Grey, Generator, float], Any]], Fault]:
    """Make a change of grey values a fault of `family`; what exceeds black and white is clipped."""

    def decorate(change: Callable[[Grey, Generator, float], Any]) -> Fault:
        @wraps(change)
        def fault(image: Image, rng: Generator, strength: float = 1.0) -> Image:
            grey = image.astype(np.float64).reshape(*image.shape[:2], -1)
            changed = np.clip(np.rint(change(grey, rng, strength)), 0, 255)
            return np.asarray(changed, np.uint8).reshape(image.shape)

        found = cast("Fault", fault)
        found.family = family
        vars(fault)["channels"] = channels
        return found

    return decorate


def _places(grey: Grey) -> tuple[Field, Field]:
    """Where each pixel lies, down and across, from -0.5 to 0.5."""
    height, width = grey.shape[:2]
    down, across = np.mgrid[:height, :width]
    return down / (height - 1) - 0.5, across / (width - 1) - 0.5


def _linear(grey: Grey) -> Grey:
    share = grey / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def _srgb(light: Grey) -> Grey:
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _filtered(grey: Grey, kernel: Field, border: int = cv2.BORDER_REFLECT) -> Grey:
    found = cv2.filter2D(grey, -1, kernel / kernel.sum(), borderType=border)
    return np.asarray(found, np.float64).reshape(grey.shape)


def _warped(grey: Grey, matrix: Field) -> Grey:
    size = (grey.shape[1], grey.shape[0])
    found = cv2.warpAffine(grey, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(found, np.float64).reshape(grey.shape)


def _drawn(grey: Grey, draw: Callable[[NDArray[np.float32], int], None]) -> Grey:
    """A mask (H, W, 1) of what `draw` draws on a finer grid; it is told the grid's height."""
    height, width = grey.shape[:2]
    fine = np.zeros((height * FINER, width * FINER), np.float32)
    draw(fine, height * FINER)
    return np.asarray(cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)[..., None], np.float64)


def _anywhere(fine: NDArray[np.float32], rng: Generator) -> tuple[int, int]:
    return int(rng.integers(fine.shape[1])), int(rng.integers(fine.shape[0]))


# --- light ---


@on_grey("darker")
def srgb_underexposed(grey: Grey, rng: Generator, strength: float) -> Any:
    """Two stops less light, on a camera that encodes sRGB."""
    return _srgb(_linear(grey) * 2 ** (-2.2 * strength * rng.uniform(0.95, 1.05)))


@on_grey("darker")
def black_level(grey: Grey, rng: Generator, strength: float) -> Any:
    """The black level is set too high."""
    return grey - 55 * strength * rng.uniform(0.93, 1.07)


@on_grey("darker")
def smoked_window(grey: Grey, rng: Generator, strength: float) -> Any:
    """A window that takes light, and more of the dark."""
    return 255 * (grey / 255) ** (1 + 0.25 * strength) * max(1 - 0.38 * strength, 0)


@on_grey("brighter")
def srgb_overexposed(grey: Grey, rng: Generator, strength: float) -> Any:
    """Nearly two stops more light, on a camera that encodes sRGB."""
    return _srgb(_linear(grey) * 2 ** (1.8 * strength * rng.uniform(0.95, 1.05)))


@on_grey("brighter")
def pedestal(grey: Grey, rng: Generator, strength: float) -> Any:
    """Every grey value is higher by the same amount."""
    return grey + 50 * strength * rng.uniform(0.93, 1.07)


@on_grey("brighter")
def gain_up(grey: Grey, rng: Generator, strength: float) -> Any:
    """The camera's gain is too high."""
    return grey * (1 + 0.6 * strength)


@on_grey("contrast")
def milky(grey: Grey, rng: Generator, strength: float) -> Any:
    """A milky window before the lens."""
    share = min(0.95, 0.55 * strength)
    return grey * (1 - share) + share * 190


@on_grey("contrast")
def harsh(grey: Grey, rng: Generator, strength: float) -> Any:
    """An S-shaped tone curve."""
    steep = 1 + 7 * strength
    black, white, curve = (1 / (1 + np.exp(-steep * (x - 0.5))) for x in (0.0, 1.0, grey / 255))
    return np.asarray(255 * (curve - black) / (white - black))


@on_grey("contrast")
def flattened(grey: Grey, rng: Generator, strength: float) -> Any:
    """Grey values drawn towards the median."""
    middle = float(np.median(grey))
    return middle + (grey - middle) * (1 - min(0.95, 0.6 * strength))


@on_grey("side light")
def oblique_lamp(grey: Grey, rng: Generator, strength: float) -> Any:
    """Light that falls off along some 37 degrees."""
    down, across = _places(grey)
    turn = np.deg2rad(37 + rng.normal(0, 3))
    ramp = 1 + 1.3 * strength * (across * np.cos(turn) + down * np.sin(turn))
    return grey * np.clip(ramp, 0.03, None)[..., None]


@on_grey("side light")
def left_lamp_only(grey: Grey, rng: Generator, strength: float) -> Any:
    """The lamp on the right is out: light falls off exponentially."""
    _, across = _places(grey)
    return grey * np.exp(-1.6 * strength * (across + 0.5))[..., None]


@on_grey("hot spot")
def specular(grey: Grey, rng: Generator, strength: float) -> Any:
    """A highlight anywhere, with the wide skirts of a Lorentzian."""
    down, across = _places(grey)
    row, column = rng.uniform(-0.3, 0.3, 2)
    return grey + 190 * strength / (1 + ((down - row) ** 2 + (across - column) ** 2) / 0.012)[..., None]


@on_grey("hot spot")
def lamp_reflection(grey: Grey, rng: Generator, strength: float) -> Any:
    """A lamp mirrored at the same place on every part."""
    down, across = _places(grey)
    spot = np.exp(-((down + 0.1) ** 2 / 0.03 + (across - 0.15) ** 2 / 0.015))
    return grey * (1 + 2.2 * strength * spot)[..., None]


@on_grey("shadow")
def half_plane(grey: Grey, rng: Generator, strength: float) -> Any:
    """A shadow with a straight edge, from any side."""
    down, across = _places(grey)
    turn = rng.uniform(0, 2 * np.pi)
    away = across * np.cos(turn) + down * np.sin(turn) - rng.uniform(-0.15, 0.15)
    return grey * (1 - min(0.95, 0.72 * strength) / (1 + np.exp(-away / 0.02)))[..., None]


@on_grey("shadow")
def cable(grey: Grey, rng: Generator, strength: float) -> Any:
    """The shadow of a cable, more or less upright."""
    down, across = _places(grey)
    turn = np.deg2rad(rng.uniform(-25, 25))
    away = across * np.cos(turn) + down * np.sin(turn) - rng.uniform(-0.25, 0.25)
    return grey * (1 - min(0.95, 0.75 * strength) * np.exp(-((away / 0.11) ** 4)))[..., None]


@on_grey("vignette")
def cos4(grey: Grey, rng: Generator, strength: float) -> Any:
    """The fall-off of a wide lens: the fourth power of the cosine."""
    down, across = _places(grey)
    angle = np.arctan(np.hypot(across, down) * 1.9 * strength**0.5)
    return grey * np.cos(angle)[..., None] ** 4


@on_grey("vignette")
def lens_hood(grey: Grey, rng: Generator, strength: float) -> Any:
    """A hood that cuts off the corners."""
    down, across = _places(grey)
    shade = 1 / (1 + np.exp(-(np.hypot(across, down) - (0.62 - 0.14 * strength)) / 0.05))
    return grey * (1 - 0.95 * shade)[..., None]


# --- sharpness ---


@on_grey("defocus")
def soft_focus(grey: Grey, rng: Generator, strength: float) -> Any:
    """A slight Gaussian, in three passes."""
    found = grey
    for _ in range(3):
        sigma = 0.012 * strength * grey.shape[0] / 3**0.5
        found = np.asarray(cv2.GaussianBlur(found, (0, 0), max(sigma, 1e-3)), np.float64).reshape(grey.shape)
    return found


@on_grey("defocus")
def pillbox(grey: Grey, rng: Generator, strength: float) -> Any:
    """A lens wide open, out of focus."""
    radius = 0.022 * strength * grey.shape[0] * rng.uniform(0.95, 1.05)
    half = int(np.ceil(radius)) + 1
    size = 2 * half + 1
    places = (np.arange(size * KERNEL_PARTS) + 0.5) / KERNEL_PARTS - size / 2
    disc = (np.hypot(places[:, None], places) <= max(radius, 0.1)).astype(float)
    return _filtered(grey, disc.reshape(size, KERNEL_PARTS, size, KERNEL_PARTS).sum((1, 3)))


@on_grey("motion blur")
def shaken(grey: Grey, rng: Generator, strength: float) -> Any:
    """A vibration to and fro, in any direction: it dwells at both ends."""
    length, turn = 0.11 * strength * grey.shape[0], rng.uniform(0, np.pi)
    half = int(length / 2) + 2
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    for way in length / 2 * np.sin(np.linspace(-np.pi / 2, np.pi / 2, 200)):
        row, column = half + way * np.sin(turn), half + way * np.cos(turn)
        kernel[round(row), round(column)] += 1
    return _filtered(grey, kernel, cv2.BORDER_REPLICATE)


@on_grey("motion blur")
def vertical_drag(grey: Grey, rng: Generator, strength: float) -> Any:
    """A part that slides on while the flash dies away."""
    length = max(1, round(0.10 * strength * grey.shape[0]))
    return _filtered(grey, np.exp(-np.arange(length) / (length / 2))[:, None], cv2.BORDER_REPLICATE)


# --- sensor and transmission ---


@on_grey("noise")
def thermal(grey: Grey, rng: Generator, strength: float) -> Any:
    """Noise of a warm sensor, the same on dark and bright."""
    return grey + rng.normal(0, 17 * strength, grey.shape)


@on_grey("noise")
def salt_and_pepper(grey: Grey, rng: Generator, strength: float) -> Any:
    """Three pixels in a hundred are black or white."""
    share, drawn = 0.03 * strength, rng.random(grey.shape[:2])[..., None]
    return np.where(drawn < share / 2, 0, np.where(drawn > 1 - share / 2, 255, grey))


@on_grey("noise")
def speckle(grey: Grey, rng: Generator, strength: float) -> Any:
    """Speckle of a laser: a factor from a gamma distribution."""
    variance = max(0.03 * strength, 1e-6)
    return grey * rng.gamma(1 / variance, variance, grey.shape)


@on_grey("noise")
def few_photons(grey: Grey, rng: Generator, strength: float) -> Any:
    """Some 45 photons for white."""
    white = 45 / max(strength, 1e-3) ** 2
    return rng.poisson(grey / 255 * white) * 255 / white


@on_grey("compression")
def webcam(grey: Grey, rng: Generator, strength: float) -> Any:
    """JPEG of quality 14."""
    quality = int(np.clip(round(14 / max(strength, 0.14)), 1, 100))
    _, data = cv2.imencode(".jpg", grey.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.float64).reshape(grey.shape)


@on_grey("compression")
def blocky(grey: Grey, rng: Generator, strength: float) -> Any:
    """Blocks of 8 x 8 pixels whose cosine waves are kept in coarse steps."""
    height, width = grey.shape[:2]
    found = np.pad(grey, ((0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
    step = max(70 * strength, 1e-3)
    for row in range(0, height, 8):
        for column in range(0, width, 8):
            for block in np.moveaxis(found[row : row + 8, column : column + 8], 2, 0):
                waves = cv2.dct(np.ascontiguousarray(block))
                level = np.rint(waves[0, 0] / 24) * 24
                waves = np.rint(waves / step) * step
                waves[0, 0] = level
                block[:] = cv2.idct(waves)
    return found[:height, :width]


@on_grey("line pattern")
def oblique_moire(grey: Grey, rng: Generator, strength: float) -> Any:
    """The interference of a mesh with the camera's grid."""
    down, across = _places(grey)
    wave = np.sin(2 * np.pi * (9 * across + 6 * down) + rng.uniform(0, 2 * np.pi))
    return grey + 22 * strength * wave[..., None]


@on_grey("line pattern")
def row_banding(grey: Grey, rng: Generator, strength: float) -> Any:
    """Every row is read out with an offset of its own."""
    return grey + rng.normal(0, 13 * strength, (grey.shape[0], 1, 1))


@on_grey("line pattern")
def missing_columns(grey: Grey, rng: Generator, strength: float) -> Any:
    """One column in twenty is dead, the same all night."""
    width = grey.shape[1]
    dead = np.random.default_rng(4).choice(width, max(1, round(0.05 * strength * width)), replace=False)
    return np.where(np.isin(np.arange(width), dead)[None, :, None], 0, grey)


@on_grey("line pattern")
def vertical_hum(grey: Grey, rng: Generator, strength: float) -> Any:
    """Seven upright bands of any phase."""
    _, across = _places(grey)
    return grey * (1 + 0.22 * strength * np.sin(2 * np.pi * 7 * across + rng.uniform(0, 6.3)))[..., None]


# --- dirt and surface ---


@on_grey("dust")
def black_specks(grey: Grey, rng: Generator, strength: float) -> Any:
    """A dozen dark specks, elsewhere on every part."""

    def draw(fine: NDArray[np.float32], side: int) -> None:
        for _ in range(rng.poisson(14 * strength)):
            cv2.circle(fine, _anywhere(fine, rng), int(rng.uniform(0.01, 0.025) * side), 1.0, -1)

    return grey * (1 - 0.85 * _drawn(grey, draw))


@on_grey("dust")
def fibres(grey: Grey, rng: Generator, strength: float) -> Any:
    """A few dark fibres that wind over the part."""

    def draw(fine: NDArray[np.float32], side: int) -> None:
        for _ in range(rng.poisson(7 * strength)):
            turn = np.cumsum(rng.normal(0, 0.25, 25)) + rng.uniform(0, 6.3)
            steps = np.stack([np.cos(turn), np.sin(turn)], axis=1) * side * 0.015
            points = (np.cumsum(steps, 0) + rng.uniform(0, side, 2)).astype(np.int32)
            cv2.polylines(fine, [points], False, 1.0, max(2, side // 80))

    return grey * (1 - 0.7 * _drawn(grey, draw))


@on_grey("dust")
def white_flakes(grey: Grey, rng: Generator, strength: float) -> Any:
    """A dozen bright flakes."""

    def draw(fine: NDArray[np.float32], side: int) -> None:
        for _ in range(rng.poisson(12 * strength)):
            axes = (int(rng.uniform(0.01, 0.035) * side), int(rng.uniform(0.006, 0.02) * side))
            cv2.ellipse(fine, _anywhere(fine, rng), axes, rng.uniform(0, 180), 0, 360, 1.0, -1)

    mask = _drawn(grey, draw)
    return grey * (1 - mask) + 235 * mask


@on_grey("texture")
def sandblasted(grey: Grey, rng: Generator, strength: float) -> Any:
    """A fine even grain, a little coarser than the pixels."""
    grain = cv2.GaussianBlur(rng.normal(0, 1, grey.shape[:2]), (0, 0), 0.012 * grey.shape[0])
    return grey + 15 * strength * (grain / grain.std())[..., None]


@on_grey("texture")
def scratched(grey: Grey, rng: Generator, strength: float) -> Any:
    """Some twenty scratches along the rows, bright and dark."""

    def draw(fine: NDArray[np.float32], side: int) -> None:
        for _ in range(rng.poisson(22 * strength)):
            turn, half = rng.normal(0, 0.12), rng.uniform(0.1, 0.35) * side
            middle = np.array(_anywhere(fine, rng))
            way = (half * np.array([np.cos(turn), np.sin(turn)])).astype(int)
            one, other = (tuple((middle + sign * way).tolist()) for sign in (-1, 1))
            cv2.line(fine, one, other, float(rng.choice([-1, 1])), max(1, side // 96))

    return grey + 34 * _drawn(grey, draw)


@on_grey("texture")
def cloudy_coat(grey: Grey, rng: Generator, strength: float) -> Any:
    """A coat of uneven thickness: waves whose amplitude falls with their number."""
    height, width = grey.shape[:2]
    number = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.fftfreq(width) * width)
    number[0, 0] = np.inf
    coat = np.fft.ifft2(np.fft.fft2(rng.normal(0, 1, (height, width))) / number**1.2).real
    return grey + 26 * strength * (coat / coat.std())[..., None]


@on_grey("texture")
def knurled(grey: Grey, rng: Generator, strength: float) -> Any:
    """Waves that cross, as a knurling tool leaves them."""
    down, across = _places(grey)
    one, other = rng.uniform(0, 6.3, 2)
    waves = np.sin(22 * np.pi * (across + down) + one) + np.sin(22 * np.pi * (across - down) + other)
    return grey + 15 * strength * waves[..., None]


# --- where the part lies ---


@on_grey("geometry")
def slipped(grey: Grey, rng: Generator, strength: float) -> Any:
    """The camera was knocked: every part lies further right and down."""
    height, width = grey.shape[:2]
    return _warped(grey, np.array([[1, 0, 0.16 * strength * width], [0, 1, 0.09 * strength * height]]))


@on_grey("geometry")
def sheared(grey: Grey, rng: Generator, strength: float) -> Any:
    """A line-scan camera that stands askew to the belt."""
    askew = 0.38 * strength
    return _warped(grey, np.array([[1, askew, -askew * grey.shape[0] / 2], [0, 1, 0]], float))


@on_grey("geometry")
def far_away(grey: Grey, rng: Generator, strength: float) -> Any:
    """The part is further from the camera."""
    return _turned(grey, 0, 1 / (1 + 0.38 * strength))


@on_grey("geometry")
def counter_turn(grey: Grey, rng: Generator, strength: float) -> Any:
    """Every part lies turned, to the same side."""
    return _turned(grey, -13 * strength + rng.normal(0, 1), 1)


def _turned(grey: Grey, degrees: float, scale: float) -> Grey:
    middle = ((grey.shape[1] - 1) / 2, (grey.shape[0] - 1) / 2)
    return _warped(grey, np.asarray(cv2.getRotationMatrix2D(middle, degrees, scale), np.float64))


# --- colour ---


@on_grey("colour", channels=(3,))
def tungsten(grey: Grey, rng: Generator, strength: float) -> Any:
    """A lamp much warmer than the camera's balance."""
    return grey * np.array([1 + 0.18 * strength, 1, max(1 - 0.45 * strength, 0)])


@on_grey("colour", channels=(3,))
def fluorescent(grey: Grey, rng: Generator, strength: float) -> Any:
    """A lamp with a green line."""
    return grey * np.array([max(1 - 0.35 * strength, 0), 1 + 0.1 * strength, max(1 - 0.25 * strength, 0)])


@on_grey("colour", channels=(3,))
def faded(grey: Grey, rng: Generator, strength: float) -> Any:
    """Colours that faded to a tenth."""
    mean = grey.mean(2, keepdims=True)
    return mean + (grey - mean) * (1 - min(1, 0.9 * strength))
