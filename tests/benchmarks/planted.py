"""The faults that a benchmark plants in real inspection images, to see whether a diagnosis names them.

Image physics of its own, on NumPy, OpenCV and SciPy alone: nothing here comes from `inspection` or
albumentations, or the diagnosis would be tested against its own code.

A fault is a function `name(image, rng, strength=1.0) -> image` with an attribute `family`, one of
`FAMILIES`, and, where it does not suit every image, an attribute `channels`, the counts that it suits.
Images are uint8 of shape (H, W), (H, W, 1) or (H, W, 3), red first. Strength 1 is the fault as logged,
1.5 half as strong again, 0 (nearly) none. Faults of one's own are read from a file by `load_faults`.

The sensor is taken to be linear, as most cameras of plants are set: a grey value is proportional to the
light, 255 is the full well, and what exceeds it is clipped. Lengths are shares of the shorter side.
What stays all night (a camera's columns, the dust on its lens) is drawn from a seed of its own.
"""

import importlib.util
import inspect
import math
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft, ndimage

Image = NDArray[np.uint8]  # (H, W), (H, W, 1) or (H, W, 3)
Light = NDArray[np.float64]  # (H, W, channel); 1 is the full well
Field = NDArray[np.float64]  # (H, W)

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
NIGHT = 20  # the seed of what does not change within a night
VARIATION = 0.05  # of the strength, between the images of a night; standard deviation


class Fault(Protocol):
    """What a fault is, and what `load_faults` finds in a file."""

    family: str

    def __call__(self, image: Image, rng: Generator, strength: float = 1.0) -> Image: ...


# --- from an image to light and back ---


def on_light(
    family: str, channels: tuple[int, ...] = (1, 3)
) -> Callable[[Callable[[Light, Generator, float], Light]], Fault]:
    """Make a change of light a fault of `family`: light in, light out, a full well clips."""

    def decorate(change: Callable[[Light, Generator, float], Light]) -> Fault:
        @wraps(change)
        def fault(image: Image, rng: Generator, strength: float = 1.0) -> Image:
            light = _light(image, change.__name__, channels)
            strength *= 1 + VARIATION * float(np.clip(rng.standard_normal(), -2, 2))
            return _image(change(light, rng, strength), image.shape)

        found = cast("Fault", fault)
        found.family = family
        vars(fault)["channels"] = channels
        return found

    return decorate


def _light(image: Image, name: str, channels: tuple[int, ...]) -> Light:
    count = image.shape[2] if image.ndim == 3 else 1
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or count not in channels:
        raise ValueError(
            f"{name}: given {image.dtype} of shape {image.shape}; "
            f"expected uint8 of shape (H, W, C) with C one of {channels}"
        )
    return image.reshape(*image.shape[:2], count) / 255.0


def _image(light: Light, shape: tuple[int, ...]) -> Image:
    return np.rint(np.clip(light, 0, 1) * 255).astype(np.uint8).reshape(shape)


# --- the geometry and the randomness that several faults share ---


def _side(light: Light) -> int:
    return int(min(light.shape[:2]))


def _grid(light: Light) -> tuple[Field, Field]:
    """Rows and columns from the centre, in shares of the shorter side."""
    height, width = light.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(float)
    return (rows - (height - 1) / 2) / _side(light), (columns - (width - 1) / 2) / _side(light)


def _place(light: Light, rng: Generator, margin: float) -> tuple[float, float]:
    """A place at least `margin` of either side from the border, in the units of `_grid`."""
    reach = 0.5 - margin
    row, column = rng.uniform(-reach, reach, 2) * light.shape[:2] / _side(light)
    return float(row), float(column)


def _per_pixel(field: Field) -> Light:
    return field[:, :, None]


def _sigmoid(values: Field) -> Field:
    return 0.5 * (1 + np.tanh(values / 2))


def _spread(light: Light, kernel: Field) -> Light:
    """The light through a point spread function; the borders mirror."""
    kernel = kernel / kernel.sum()
    spread = cv2.filter2D(light, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return cast("Light", spread.reshape(light.shape))


def _disc(radius: float) -> Field:
    """A disc of that many pixels with soft rims; a point for radius 0."""
    reach = int(np.ceil(radius))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(float)
    disc: Field = np.clip(radius + 0.5 - np.hypot(rows, columns), 0, 1)
    return disc


def _relief(light: Light, rng: Generator, passes: Callable[[Field, Field], Field]) -> Field:
    """Random relief of unit deviation; `passes` is the amplitude at (rows', columns') cycles per side."""
    height, width = light.shape[:2]
    rows = fft.fftfreq(height)[:, None] * _side(light)
    columns = fft.fftfreq(width)[None, :] * _side(light)
    white = fft.fft2(rng.standard_normal((height, width)))
    relief = np.real(fft.ifft2(white * passes(rows, columns)))
    relief -= relief.mean()
    return cast("Field", relief / relief.std())


def _warp(light: Light, angle: float, scale: float, shift: tuple[float, float]) -> Light:
    """The part turned by degrees, enlarged and shifted by pixels; the borders mirror."""
    height, width = light.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
    matrix[:, 2] += shift
    warped = cv2.warpAffine(
        light, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return cast("Light", warped.reshape(light.shape))


# --- darker and brighter ---


@on_light("darker")
def dim_lamp(light: Light, rng: Generator, strength: float) -> Light:
    """A lamp that has aged to 45 % of its light."""
    return light * math.pow(0.45, strength)


@on_light("darker")
def gamma_dark(light: Light, rng: Generator, strength: float) -> Light:
    """A display's gamma of 2 applied to an image that had none: the shadows drown first."""
    return light ** math.pow(2.0, strength)


@on_light("brighter")
def overexposure(light: Light, rng: Generator, strength: float) -> Light:
    """An exposure half as long again; the full well clips."""
    return light * math.pow(1.5, strength)


@on_light("brighter")
def gamma_bright(light: Light, rng: Generator, strength: float) -> Light:
    """The camera's tone curve of 1 / 2 switched on: the shadows rise first, nothing clips."""
    return light ** math.pow(0.5, strength)


# --- contrast ---


@on_light("contrast")
def stray_light(light: Light, rng: Generator, strength: float) -> Light:
    """Veiling glare: the lens scatters 55 % of the light widely, which lifts black and keeps the mean."""
    kept = math.pow(0.45, strength)
    wide: Light = ndimage.gaussian_filter(light, (0.5 * _side(light),) * 2 + (0,), mode="reflect")
    veil: Light = 0.5 * wide + 0.5 * light.mean(axis=(0, 1))
    return kept * light + (1 - kept) * veil


@on_light("contrast")
def low_contrast(light: Light, rng: Generator, strength: float) -> Light:
    """A converter whose range is set too wide: everything draws towards mid-grey, to 45 %."""
    return 0.5 + (light - 0.5) * math.pow(0.45, strength)


# --- light that falls unevenly ---


@on_light("side light")
def side_lamp(light: Light, rng: Generator, strength: float) -> Light:
    """Of the lamps left and right the left one has failed; exposure is set again on the lit side."""
    columns = _grid(light)[1] * _side(light) / light.shape[1]
    reach = 0.7 + 0.03 * rng.standard_normal()  # of the width: where a lamp's light has halved
    left, right = (1 / (1 + ((0.5 + sign * columns) / reach) ** 2) for sign in (1, -1))
    share = right / (left + right)
    return light * _per_pixel((share / share.max()) ** strength)


@on_light("hot spot")
def hot_spot(light: Light, rng: Generator, strength: float) -> Light:
    """A specular reflection: a clipped core and a halo, somewhere on the part."""
    rows, columns = _grid(light)
    row, column = _place(light, rng, 0.2)
    stretch = np.exp(0.15 * rng.standard_normal())
    square = ((rows - row) * stretch) ** 2 + ((columns - column) / stretch) ** 2
    core, halo = np.exp(-square / (2 * 0.12**2)), np.exp(-square / (2 * 0.25**2))
    return light + strength * _per_pixel(0.6 * core + 0.25 * halo)


@on_light("shadow")
def shadow_bar(light: Light, rng: Generator, strength: float) -> Light:
    """A cable or strut before the lamp: a steep bar of shadow across the part, soft at its edges."""
    rows, columns = _grid(light)
    angle = 0.25 + 0.1 * rng.standard_normal()
    width = 0.4 * (1 + 0.1 * rng.standard_normal())
    across = (columns - _place(light, rng, 0.25)[1]) * np.cos(angle) + rows * np.sin(angle)
    depth = _sigmoid((width / 2 - np.abs(across)) / 0.025)
    return light * _per_pixel(0.25 ** (strength * depth))


@on_light("shadow")
def guard_shadow(light: Light, rng: Generator, strength: float) -> Light:
    """A guard left open shades the upper half of the part."""
    rows, columns = _grid(light)
    edge = 0.05 * rng.standard_normal() + columns * np.tan(0.08 * rng.standard_normal())
    return light * _per_pixel(0.28 ** (strength * _sigmoid((edge - rows) / 0.03)))


@on_light("vignette")
def dirty_vignette(light: Light, rng: Generator, strength: float) -> Light:
    """A film of dirt on the lens, thicker towards the rim: the corners get a fifth of the light."""
    rows, columns = _grid(light)
    row, column = 0.03 * rng.standard_normal(2)
    radius = np.hypot(rows - row, columns - column) / np.hypot(*_grid(light))[0, 0]
    return light * _per_pixel(0.2 ** (strength * radius**2))


@on_light("colour", channels=(3,))
def colour_cast(light: Light, rng: Generator, strength: float) -> Light:
    """A white LED whose phosphor has aged to a warmer light."""
    gains = np.array([1.25, 0.95, 0.5]) * (1 + 0.02 * rng.standard_normal(3)) ** min(strength, 1)
    return light * gains**strength


# --- sharpness ---


@on_light("defocus")
def defocus_disc(light: Light, rng: Generator, strength: float) -> Light:
    """The part out of focus: a point becomes a disc of radius 0.023 of the side."""
    return _spread(light, _disc(0.023 * _side(light) * strength))


@on_light("motion blur")
def conveyor_smear(light: Light, rng: Generator, strength: float) -> Light:
    """The conveyor moves on by 0.1 of the side while the shutter is open."""
    length = 1 + 0.1 * _side(light) * strength
    reach = int(np.ceil(length / 2))
    kernel = np.clip(length / 2 + 0.5 - np.abs(np.arange(-reach, reach + 1.0)), 0, 1)
    return _spread(light, kernel[None, :])


# --- the sensor and the wire ---


@on_light("noise")
def gain_noise(light: Light, rng: Generator, strength: float) -> Light:
    """A sensor at high gain: read noise of 3 % and shot noise of 7 % of the full well."""
    deviation = np.sqrt(0.03**2 + 0.07**2 * light)
    return light + strength * deviation * rng.standard_normal(light.shape)


@on_light("noise")
def dead_pixels(light: Light, rng: Generator, strength: float) -> Light:
    """A sensor damaged by heat: 4 % of its pixels stick at black or at white."""
    chance, stuck = rng.random(light.shape), rng.integers(0, 2, light.shape)
    return np.where(chance < 0.04 * strength, stuck, light)


@on_light("compression")
def jpeg_artifacts(light: Light, rng: Generator, strength: float) -> Light:
    """JPEG of quality 12 on the way to the archive; its quantisation steps grow with the strength."""
    quality = int(np.clip(round(100 / (1 + 7.3 * strength)), 1, 100))
    _, file = cv2.imencode(
        ".jpg", _image(light, light.shape)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    read = np.asarray(cv2.imdecode(file, cv2.IMREAD_UNCHANGED), np.uint8)
    return read.reshape(light.shape)[:, :, ::-1] / 255.0


@on_light("line pattern")
def line_scan_stripes(light: Light, rng: Generator, strength: float) -> Light:
    """A line-scan camera that has lost its flat field: column gains 10 % apart, the same all night."""
    night = np.random.default_rng(NIGHT)
    gains = ndimage.gaussian_filter1d(night.standard_normal(light.shape[1]), 0.006 * _side(light))
    gains = np.asarray(gains / gains.std() + 0.1 * rng.standard_normal(light.shape[1]), float)
    return light * (1 + 0.1 * strength * gains[None, :, None])


@on_light("line pattern")
def mains_flicker(light: Light, rng: Generator, strength: float) -> Light:
    """Rows read out one by one under a lamp that flickers with the mains: bands of any phase."""
    height = light.shape[0]
    bands = 6 * (1 + 0.02 * rng.standard_normal()) * height / _side(light)
    waves: Field = np.sin(2 * np.pi * (bands * np.arange(height) / height + rng.random()))
    return light * (1 + 0.22 * strength * waves[:, None, None])


# --- dirt ---


@on_light("dust")
def dust_on_lens(light: Light, rng: Generator, strength: float) -> Light:
    """Twenty-two specks on the cover glass, blurred and dark; they stay in place all night."""
    night, most = np.random.default_rng(NIGHT), 60
    rows, columns = _grid(light)
    passed = np.ones(light.shape[:2])
    shake = 0.01 * rng.standard_normal(2)
    for _ in range(min(most, round(22 * strength))):
        row, column = np.add(_place(light, night, 0.02), shake)
        radius, opacity = night.uniform(0.015, 0.045), night.uniform(0.4, 0.8)
        distance = np.hypot(rows - row, columns - column)
        passed *= 1 - opacity * _sigmoid((radius - distance) / 0.006)
    return light * _per_pixel(passed)


@on_light("dust")
def oil_drops(light: Light, rng: Generator, strength: float) -> Light:
    """Six drops of oil on the part: they swallow half the light, blur what is below, and gleam."""
    rows, columns = _grid(light)
    blurred = _spread(light, _disc(0.03 * _side(light) * min(strength, 2)))
    for row, column, radius, squeeze in _drops(light, rng)[: round(6 * strength)]:
        distance = np.hypot((rows - row) * squeeze, (columns - column) / squeeze)
        inside = _per_pixel(_sigmoid((radius - distance) / 0.008))
        gleam = np.exp(-((rows - row + radius / 2) ** 2 + (columns - column + radius / 2) ** 2) / 0.02**2)
        light = light * (1 - inside) + inside * (0.5 * blurred + 0.5 * _per_pixel(gleam))
    return light


def _drops(light: Light, rng: Generator) -> list[tuple[float, float, float, float]]:
    """Row, column, radius and squeeze of as many drops as any strength asks for."""
    return [
        (*_place(light, rng, 0.05), rng.uniform(0.05, 0.11), float(np.exp(0.15 * rng.standard_normal())))
        for _ in range(20)
    ]


# --- the surface ---


@on_light("texture")
def brushed_grain(light: Light, rng: Generator, strength: float) -> Light:
    """A worn brush: fine grain along the strip, 7 % of white deep."""
    tilt = math.radians(2) * rng.standard_normal()

    def passes(rows: Field, columns: Field) -> Field:
        along = columns * math.cos(tilt) + rows * math.sin(tilt)
        across = rows * math.cos(tilt) - columns * math.sin(tilt)
        return np.exp(-((along / 1.5) ** 2) - (across / 40) ** 2)

    return light + 0.07 * strength * _per_pixel(_relief(light, rng, passes))


@on_light("texture")
def orange_peel(light: Light, rng: Generator, strength: float) -> Light:
    """Coarse mottling of a skin-passed or painted surface: a tenth of the side, no direction."""
    centre = 10 * (1 + 0.03 * rng.standard_normal())

    def passes(rows: Field, columns: Field) -> Field:
        return np.exp(-(((np.hypot(rows, columns) - centre) / 3) ** 2))

    return light + 0.055 * strength * _per_pixel(_relief(light, rng, passes))


@on_light("texture")
def woven_texture(light: Light, rng: Generator, strength: float) -> Light:
    """The weave of a cloth pressed into the surface: sixteen threads to the side both ways."""
    rows, columns = (2 * np.pi * 8 * (1 + 0.02 * rng.standard_normal()) * axis for axis in _grid(light))
    warp, weft = rng.uniform(0, 2 * np.pi, 2)
    weave = np.sin(rows + warp) * np.sin(columns + weft)
    return light + 0.11 * strength * _per_pixel(weave)


# --- where the part lies ---


@on_light("geometry")
def tilted_part(light: Light, rng: Generator, strength: float) -> Light:
    """A loose guide rail: the part lies turned by 9 degrees."""
    shift = 0.01 * _side(light) * min(strength, 1) * rng.standard_normal(2)
    return _warp(light, 9 * strength, 1.0, (float(shift[0]), float(shift[1])))


@on_light("geometry")
def zoomed(light: Light, rng: Generator, strength: float) -> Light:
    """A camera knocked nearer to the part: everything is 12 % larger."""
    shift = 0.01 * _side(light) * min(strength, 1) * rng.standard_normal(2)
    return _warp(light, 0.0, math.pow(1.12, strength), (float(shift[0]), float(shift[1])))


# --- finding faults and planting them ---


def faults(module: ModuleType | None = None, channels: int = 1) -> dict[str, Fault]:
    """The faults of a module (this one by default) for images of that many channels, as defined there."""
    found = _collected(module or sys.modules[__name__])
    return {name: fault for name, fault in found.items() if suits(fault, channels)}


def suits(fault: Fault, channels: int) -> bool:
    """Whether a fault can be planted in images of that many channels; one that says nothing suits all."""
    return channels in getattr(fault, "channels", (1, 3))


def load_faults(path: Path) -> dict[str, Fault]:
    """The faults of another file; ValueError where it cannot be imported, holds none or names a stranger."""
    found = _collected(_imported(path))
    if not found:
        raise ValueError(
            f"{path} holds no fault; expected functions name(image, rng, strength=1.0) with an attribute "
            f"family: write `name.family = {FAMILIES[0]!r}` below one"
        )
    for name, fault in found.items():
        if fault.family not in FAMILIES:
            raise ValueError(
                f"{path}: the fault {name} has the family {fault.family!r}; "
                f"set {name}.family to one of: {', '.join(FAMILIES)}"
            )
    return found


def _collected(module: ModuleType) -> dict[str, Fault]:
    return {
        name: cast("Fault", value)
        for name, value in vars(module).items()
        if inspect.isfunction(value) and hasattr(value, "family") and not name.startswith("_")
    }


def _imported(path: Path) -> ModuleType:
    name = f"faults_of_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a Python file; expected a FILE.py with faults: check the path")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ValueError(
            f"{path} cannot be imported ({type(error).__name__}: {error}); expected a Python file with "
            f"faults: mend it until `python {path}` runs"
        ) from error
    return module


def plant(fault: Fault, image: Image, rng: Generator, strength: float = 1.0) -> Image:
    """The image with the fault in it, of the same shape.

    Raises ValueError, in one line that names the fault, where it raises or answers anything else.
    """
    name = getattr(fault, "__name__", repr(fault))
    try:
        planted = fault(image.copy(), rng, strength)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"the fault {name} raised {reason}; it was given {image.dtype} of shape {image.shape} at "
            f"strength {strength:g}, and the same type and shape are expected back"
        ) from error
    if not isinstance(planted, np.ndarray):
        raise ValueError(f"the fault {name} returned {type(planted).__name__}; return a uint8 array")
    if image.shape == (*planted.shape, 1):
        planted = planted[:, :, None]
    if planted.dtype != np.uint8 or planted.shape != image.shape:
        raise ValueError(
            f"the fault {name} returned {planted.dtype} of shape {planted.shape}; "
            f"expected uint8 of shape {image.shape}, as it was given at strength {strength:g}: clip to "
            "0..255, convert, keep the shape"
        )
    return planted
