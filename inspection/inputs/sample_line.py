"""A rendered production line with known causes, for the demo and tests.

Every part is a height map and an albedo; its grey values come from surface normals, a lamp and a camera and
are never painted on. So a lamp that ages or turns is a physical cause, independent of the catalogue of
operations that has to find it.

Axes: x grows to the right, y down, height towards the camera, all in pixels. Light is a share of full scale.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.errors import ImageSetError, InspectionError
from inspection.workspace.files import write_whole

FINISHES = ("brushed", "cast", "woven")
DEFECTS = ("good", "scratch", "pit", "dent", "stain")

Field = NDArray[np.float32]

LAMP_DISTANCE = 6.0  # sides of the image, from its centre to the lamp
FULL_WELL = 8000.0  # electrons that a pixel holds at full scale


def _require(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InspectionError(f"{what} is {value}; expected a number from {low:g} to {high:g}")


def _require_known(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise InspectionError(f"no {what} '{name}'; this line has: {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Lamp:
    """One lamp over the line and the scattered light that comes with it."""

    azimuth: float = 135.0  # degrees, 0 is from the right and 90 from the top of the image
    elevation: float = 50.0  # degrees above the part
    strength: float = 1.0  # 1 is the lamp as commissioned
    ambient: float = 0.25  # share of its light that arrives from everywhere

    def __post_init__(self) -> None:
        _require("a lamp's strength", self.strength, 0.0, math.inf)
        _require("a lamp's elevation", self.elevation, 0.0, 90.0)
        _require("a lamp's ambient share", self.ambient, 0.0, 1.0)

    @property
    def direction(self) -> Field:
        """The unit vector (x, y, height) from the part to the lamp."""
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        level = math.cos(elevation)
        # y grows down the image, so a lamp above the top edge has a negative y.
        vector = (level * math.cos(azimuth), -level * math.sin(azimuth), math.sin(elevation))
        return np.array(vector, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Camera:
    """The camera over the line."""

    defocus: float = 0.0  # sigma of the blur, pixels
    noise: float = 0.01  # standard deviation of the read noise, share of full scale
    exposure: float = 1.0  # 1 is the exposure as commissioned

    def __post_init__(self) -> None:
        _require("a camera's defocus", self.defocus, 0.0, math.inf)
        _require("a camera's noise", self.noise, 0.0, math.inf)
        _require("a camera's exposure", self.exposure, 0.0, math.inf)

    def capture(self, signal: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Turn light (H, W), share of full scale, into grey values (H, W): exposure, blur, noise, 8 bits.

        The shot noise is the square root of the electrons counted, so a dim image is relatively noisier.
        """
        light = _blur(signal * self.exposure, self.defocus, self.defocus)
        deviation = np.sqrt(self.noise**2 + light / FULL_WELL)
        noisy = light + deviation * rng.standard_normal(light.shape, dtype=np.float32)
        return np.asarray(np.rint(np.clip(noisy, 0.0, 1.0) * 255.0), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class SampleLine:
    """A line that makes grey parts of one finish under one lamp and one camera."""

    finish: str = "brushed"  # one of FINISHES
    lamp: Lamp = Lamp()
    camera: Camera = Camera()
    size: int = 96  # pixels, both sides of the image

    def __post_init__(self) -> None:
        _require_known("finish", self.finish, FINISHES)
        _require("an image's size", self.size, 16, 4096)

    def aged(self, strength: float) -> "SampleLine":
        """The same line with its lamp at a strength, where 1 is as commissioned."""
        return replace(self, lamp=replace(self.lamp, strength=strength))

    def turned(self, degrees: float) -> "SampleLine":
        """The same line with its lamp turned around the camera's axis, anticlockwise."""
        return replace(self, lamp=replace(self.lamp, azimuth=(self.lamp.azimuth + degrees) % 360.0))

    def with_finish(self, finish: str) -> "SampleLine":
        """The same line with parts of another finish."""
        return replace(self, finish=finish)

    def render(self, defect: str, rng: np.random.Generator) -> NDArray[np.uint8]:
        """One part as the camera sees it: grey values (H, W).

        Two lines that differ only in lamp or camera show the same part where the generators start alike.
        Raises InspectionError for a defect that the line cannot make.
        """
        height = self.height_map(defect, rng)
        albedo = self.albedo(defect, rng)
        return self.camera.capture(self.signal(height, albedo), rng)

    def height_map(self, defect: str, rng: np.random.Generator) -> Field:
        """The part's relief (H, W), pixels: its finish plus the defect's own relief, where it has one."""
        _require_known("defect", defect, DEFECTS)
        finish = _SURFACES[self.finish].relief(self.size, rng)
        relief = _RELIEFS.get(defect)
        return finish if relief is None else finish + relief(self.size, rng)

    def albedo(self, defect: str, rng: np.random.Generator) -> Field:
        """The share of light that the part scatters back (H, W): a stain darkens it, nothing else does."""
        _require_known("defect", defect, DEFECTS)
        level = _SURFACES[self.finish].albedo * (1.0 + 0.03 * rng.standard_normal())
        mottled = level * (1.0 + 0.02 * _noise(self.size, 6.0, 6.0, rng))
        return mottled * (1.0 - _stain(self.size, rng)) if defect == "stain" else mottled

    def signal(self, height: Field, albedo: Field) -> Field:
        """The light that reaches the camera (H, W), without noise, share of full scale.

        Lambert's law for the scattered part and Blinn's halfway vector for the mirrored part (Blinn 1977,
        Models of light reflection for computer synthesized pictures).
        """
        surface, lamp = _SURFACES[self.finish], self.lamp
        slopes = normals(height)
        sky = 0.5 * (1.0 + slopes[2])  # a steep flank sees less of everywhere
        scattered = albedo * (lamp.ambient * sky + (1.0 - lamp.ambient) * lambert(slopes, lamp))
        mirrored = surface.gloss * (1.0 - lamp.ambient) * _highlight(slopes, lamp, surface.shininess)
        return np.asarray(
            (scattered + mirrored) * _fall_off(self.size, lamp) * lamp.strength, dtype=np.float32
        )


def write_images(
    line: SampleLine,
    folder: Path,
    per_class: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> list[Path]:
    """Render per_class parts of every class as folder/<class>/<class>-0001.png and so on; return the paths.

    The same line and seed give the same bytes, and every file appears whole or not at all: a stopped run is
    mended by repeating it. progress is told how many images are written so far.
    Raises InspectionError for a count below 1 or a seed below 0, ImageSetError where nothing can be written.
    """
    _require("the number of images per class", per_class, 1, math.inf)
    _require("the seed", seed, 0, math.inf)
    written: list[Path] = []
    for number, defect in enumerate(DEFECTS):
        for index in range(1, per_class + 1):
            image = line.render(defect, np.random.default_rng([seed, number, index]))
            written.append(_write_png(folder / defect / f"{defect}-{index:04d}.png", image))
            if progress is not None:
                progress(len(written))
    return written


def normals(height: Field) -> Field:
    """The unit normals (3, H, W), as (x, y, height), of a height map (H, W)."""
    down, right = np.gradient(height)
    length = np.sqrt(right**2 + down**2 + 1.0)
    return np.asarray(np.stack([-right, -down, np.ones_like(height)]) / length, dtype=np.float32)


def lambert(slopes: Field, lamp: Lamp) -> Field:
    """The cosine (H, W) between the normals (3, H, W) and the lamp; 0 where a flank turns away from it."""
    return np.asarray(np.maximum(np.tensordot(lamp.direction, slopes, axes=1), 0.0), dtype=np.float32)


def _highlight(slopes: Field, lamp: Lamp, shininess: float) -> Field:
    halfway = lamp.direction + np.array([0.0, 0.0, 1.0], dtype=np.float32)
    halfway /= np.linalg.norm(halfway)
    cosine = np.maximum(np.tensordot(halfway, slopes, axes=1), 0.0)
    return np.asarray(cosine**shininess, dtype=np.float32)


def _fall_off(size: int, lamp: Lamp) -> Field:
    """The inverse square of the distance to the lamp (H, W), 1 in the middle of the image."""
    place = LAMP_DISTANCE * size * lamp.direction
    x, y = _grid(size)
    squared = (x - place[0]) ** 2 + (y - place[1]) ** 2 + place[2] ** 2
    return np.asarray((LAMP_DISTANCE * size) ** 2 / squared, dtype=np.float32)


@functools.lru_cache(maxsize=8)
def _grid(size: int) -> tuple[Field, Field]:
    """The x and y of every pixel (H, W), counted from the middle of the image."""
    middle = np.arange(size, dtype=np.float32) - (size - 1) / 2
    x, y = np.meshgrid(middle, middle)
    return x, y


def _turned_grid(size: int, angle: float, x: float = 0.0, y: float = 0.0) -> tuple[Field, Field]:
    """Coordinates along and across an axis at an angle (radians) through a point."""
    right, down = _grid(size)
    right, down = right - x, down - y
    cosine, sine = math.cos(angle), math.sin(angle)
    return right * cosine + down * sine, down * cosine - right * sine


def _blur(field: Field, along: float, across: float) -> Field:
    if along == 0.0 and across == 0.0:
        return field
    blurred = cv2.GaussianBlur(field, (0, 0), along, sigmaY=across, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, dtype=np.float32)


def _noise(size: int, along: float, across: float, rng: np.random.Generator) -> Field:
    """Smooth noise (H, W) of mean 0 and standard deviation 1, with its grain's sigmas in pixels."""
    grain = _blur(rng.standard_normal((size, size), dtype=np.float32), along, across)
    return np.asarray((grain - grain.mean()) / grain.std(), dtype=np.float32)


# --- finishes: height maps (H, W) in pixels ---------------------------------------------------------------


def _brushed(size: int, rng: np.random.Generator) -> Field:
    """Fine grooves from left to right, each part's a degree or two askew."""
    wide = math.ceil(size * 1.25)  # the corners stay filled when the grain is turned
    grooves = 0.12 * _noise(wide, 40.0, 0.6, rng) + 0.09 * _noise(wide, 12.0, 0.5, rng)
    middle = (wide - 1) / 2
    turn = cv2.getRotationMatrix2D((middle, middle), rng.normal(0.0, 2.0), 1.0)
    turned = np.asarray(cv2.warpAffine(grooves, turn, (wide, wide), flags=cv2.INTER_CUBIC), dtype=np.float32)
    start = (wide - size) // 2
    return turned[start : start + size, start : start + size]


def _cast(size: int, rng: np.random.Generator) -> Field:
    """The orange peel of a casting: the same in all directions."""
    return 0.32 * _noise(size, 2.4, 2.4, rng) + 0.06 * _noise(size, 0.9, 0.9, rng)


def _woven(size: int, rng: np.random.Generator) -> Field:
    """A plain weave: round threads that dive over and under each other."""
    along, across = _turned_grid(
        size, rng.normal(0.0, 0.035), rng.uniform(-10.0, 10.0), rng.uniform(-10.0, 10.0)
    )
    period = 8.0  # pixels from one thread to the next
    along = along / period + 0.06 * _noise(size, 8.0, 8.0, rng)
    across = across / period + 0.06 * _noise(size, 8.0, 8.0, rng)
    weave = np.maximum(_threads(along, across, 1.0), _threads(across, along, -1.0))
    return _blur(weave, 0.6, 0.6) + 0.05 * _noise(size, 0.8, 0.8, rng)


def _threads(position: Field, length: Field, side: float) -> Field:
    """Height of parallel threads, one per unit of position, that cross one other per unit of length."""
    index = np.floor(position)
    round_top = np.sqrt(np.maximum(1.0 - (2.0 * (position - index) - 1.0) ** 2, 0.0))
    over = side * np.where(index % 2 == 0, 1.0, -1.0) * np.sin(np.pi * length)
    return np.asarray(1.1 * round_top + 1.3 * over, dtype=np.float32)


# --- defects: reliefs (H, W) in pixels, and the stain's darkening -----------------------------------------


def _place(size: int, rng: np.random.Generator) -> tuple[float, float]:
    """A point well inside the image, counted from its middle."""
    return size * rng.uniform(-0.28, 0.28), size * rng.uniform(-0.28, 0.28)


def _scratch(size: int, rng: np.random.Generator) -> Field:
    """A thin groove, slightly bent, with the burrs that the tool pushed up on both sides."""
    along, across = _turned_grid(size, rng.uniform(0.0, math.pi), *_place(size, rng))
    half = size * rng.uniform(0.2, 0.42)
    width = rng.uniform(1.0, 1.4)
    across = across + rng.uniform(-0.06, 0.06) * along**2 / half
    groove = np.exp(-0.5 * (across / width) ** 2)
    burrs = np.exp(-0.5 * ((np.abs(across) - 2.4 * width) / (0.8 * width)) ** 2)
    inside = np.clip((half - np.abs(along)) / (0.3 * half), 0.0, 1.0)
    return np.asarray(rng.uniform(0.55, 1.2) * inside * (0.4 * burrs - groove), dtype=np.float32)


def _pit(size: int, rng: np.random.Generator) -> Field:
    """A few small deep holes, close together."""
    x, y = _place(size, rng)
    relief = np.zeros((size, size), dtype=np.float32)
    for _ in range(rng.integers(2, 6)):
        right, down = rng.normal(0.0, 0.06 * size), rng.normal(0.0, 0.06 * size)
        relief -= _hollow(size, x + right, y + down, rng.uniform(1.3, 2.3), rng.uniform(1.4, 2.8))
    return relief


def _hollow(size: int, x: float, y: float, radius: float, depth: float) -> Field:
    right, down = _grid(size)
    squared = (right - x) ** 2 + (down - y) ** 2
    return np.asarray(depth * np.exp(-squared / radius**2), dtype=np.float32)


def _dent(size: int, rng: np.random.Generator) -> Field:
    """A wide shallow depression, somewhat longer than broad."""
    along, across = _turned_grid(size, rng.uniform(0.0, math.pi), *_place(size, rng))
    radius = size * rng.uniform(0.08, 0.13)
    shape = rng.uniform(1.0, 1.4)
    squared = (along / (radius * shape)) ** 2 + (across * shape / radius) ** 2
    return np.asarray(-radius * rng.uniform(0.24, 0.48) * np.exp(-0.5 * squared), dtype=np.float32)


def _stain(size: int, rng: np.random.Generator) -> Field:
    """The share of albedo (H, W) that an irregular patch takes away."""
    along, across = _turned_grid(size, rng.uniform(0.0, math.pi), *_place(size, rng))
    radius = size * rng.uniform(0.11, 0.19)
    distance = np.sqrt(along**2 + (1.3 * across) ** 2) / radius
    edge = 1.0 + 0.3 * _noise(size, 5.0, 5.0, rng) - distance
    return np.asarray(rng.uniform(0.15, 0.3) * np.clip(0.5 + 2.0 * edge, 0.0, 1.0), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Surface:
    """What a finish is made of."""

    relief: Callable[[int, np.random.Generator], Field]
    albedo: float  # share of light scattered back
    gloss: float  # share of light mirrored at the peak of the highlight
    shininess: float  # exponent of the highlight


_SURFACES = {
    "brushed": _Surface(_brushed, albedo=0.5, gloss=0.35, shininess=24.0),
    "cast": _Surface(_cast, albedo=0.55, gloss=0.2, shininess=16.0),
    "woven": _Surface(_woven, albedo=0.66, gloss=0.05, shininess=8.0),
}
_RELIEFS = {"scratch": _scratch, "pit": _pit, "dent": _dent}


def _write_png(path: Path, image: NDArray[np.uint8]) -> Path:
    _, png = cv2.imencode(".png", image)
    try:
        write_whole(path, png.tobytes(), durable=False)
    except OSError as error:
        raise ImageSetError(
            f"cannot write {path}: {error.strerror}; give a folder that can be written"
        ) from error
    return path
