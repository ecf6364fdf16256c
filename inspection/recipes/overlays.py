"""Overlays: transforms of a recipe that lay measured changes over training images, and the files they read.

A texture is a zero-mean field, added in proportion to the light around; a pattern is a field of light,
multiplied. Both are kept as PNG files whose value 128 is nothing, so that anyone can look at them: a step of
a texture is one grey level on a mid-grey part, a step of a pattern 1/32 of a stop. A tone curve gives every
grey level another, wherever it lies; its PNG is a wedge whose column v has the grey level that v became.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import albumentations as A
import cv2
import numpy as np
from albumentations.core.pydantic import check_range_bounds, nondecreasing
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from fmi_engine.types import FloatArray
from inspection.errors import ImageError, RecipeError
from inspection.inputs.images import AS_STORED, decoded, write_image
from inspection.operations.operation import Image, Transform
from inspection.workspace.files import file_bytes

FIXED_PATTERN = "fixed pattern"
RESIDUAL_TEXTURE = "residual texture"
TEXTURE_PRIMITIVE = "texture primitive"
TONE_CURVE = "tone curve"
OVERLAYS = {
    FIXED_PATTERN: "what lies at the same place on all the failing images",
    RESIDUAL_TEXTURE: "what the failing images hold beside the normal, anywhere",
    TEXTURE_PRIMITIVE: "what over-active filters see on the failing images, anywhere",
    TONE_CURVE: "what every grey level of the failing images became",
}
"""The ingredients that lay measured changes over the image; their strength is the amplitude, 1 as found."""

MIDDLE = 128  # the grey value of the PNG that stands for no change
AROUND = 1 / 16  # of the shorter side: sigma of the light around a place
NUDGE = 0.02  # of the side: how far a fixed pattern shakes
STOP = 32  # steps of a pattern's PNG to a stop, a doubling of the light
BLACK = np.float32(8.0)  # grey levels that a pattern takes for no light: what is black can change, too
LEVELS = np.arange(256, dtype=np.float32)[:, None]  # (256, 1): the tone curve of no change
WEDGE = 32  # rows of a tone curve's PNG
Amplitudes = Annotated[
    tuple[float, float], AfterValidator(nondecreasing), AfterValidator(check_range_bounds(0, None))
]


@dataclass(frozen=True, slots=True)
class TextureFile:
    """A texture on disk, beside the recipe that uses it."""

    path: str  # relative to the recipe's folder, with forward slashes
    sha256: str


def write_texture(texture: FloatArray, folder: Path, name: str) -> TextureFile:
    """Keep a texture (height, width, channel), in grey levels on mid-grey, as a PNG under `folder`."""
    return _write(np.rint(texture) + MIDDLE, folder, name)


def write_pattern(pattern: FloatArray, folder: Path, name: str) -> TextureFile:
    """Keep a pattern (height, width, channel), natural logarithms of light, as a PNG under `folder`."""
    return write_texture(pattern * np.float32(STOP / math.log(2.0)), folder, name)


def write_tones(tones: FloatArray, folder: Path, name: str) -> TextureFile:
    """Keep a tone curve (256, channel), in grey levels, as a PNG under `folder`: 32 rows, 256 columns."""
    return _write(np.repeat(np.rint(tones)[None], WEDGE, axis=0), folder, name)


def _write(values: FloatArray, folder: Path, name: str) -> TextureFile:
    write_image(folder / name, np.clip(values, 0, 255).astype(np.uint8))
    return TextureFile(name, hashlib.sha256((folder / name).read_bytes()).hexdigest())


def shine(image: Image, pattern: FloatArray) -> FloatArray:
    """The image (height, width, channel) under a pattern of light, in grey levels, not yet rounded."""
    light = (image + BLACK) * np.exp(pattern) - BLACK
    return np.asarray(np.clip(light, 0, 255), np.float32)


def light_around(image: Image | FloatArray) -> FloatArray:
    """The light around each place of an image (height, width, channel): 1 at mid-grey, never 0.

    A texture of the surface, or of the lamp, is as strong as the light that falls on it; what the sensor adds
    by itself is distinguished badly enough from it on parts that are not black.
    """
    sigma = min(image.shape[:2]) * AROUND
    around = cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray((around.reshape(image.shape) + BLACK) / (MIDDLE + BLACK), np.float32)


def overlay(image: Image, texture: FloatArray) -> Image:
    """An image (height, width, channel) with a texture laid over it; one channel of it meets every other."""
    light = image + texture * light_around(image)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def retone(image: Image, tones: FloatArray, amplitude: float = 1.0) -> Image:
    """An image (height, width, channel) whose grey level v is v + amplitude * (tones[v] - v), cut off.

    `tones` is (256, channel); that of one channel meets every other.
    """
    changed = LEVELS + np.float32(amplitude) * (tones - LEVELS)
    table = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(np.ascontiguousarray(image), table[None]), np.uint8).reshape(image.shape)


_folder = ContextVar("folder", default=Path())  # where the textures of the recipe being built lie


@contextmanager
def textures_in(folder: Path) -> Iterator[None]:
    """Have overlays that are built in the block find their textures under `folder`."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


class Overlay(Transform):
    """An overlay, as recipes name it."""

    home: ClassVar[str] = "inspection.overlays"


class TextureOverlay(Overlay):
    """Lay one of several textures over the image, mirrored and moved at random.

    Args:
        textures: (path under the recipe's folder, SHA-256) of each PNG whose value 128 is no change.
        amplitude_range: factor on the texture, drawn uniformly.
        p: probability of applying it.

    Raises RecipeError for a texture that is gone or was changed.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        textures: Annotated[list[tuple[str, str]], Field(min_length=1)]
        amplitude_range: Amplitudes

    def __init__(
        self,
        textures: Sequence[tuple[str, str]],
        amplitude_range: tuple[float, float] = (0.2, 1.3),
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.textures = [(path, digest) for path, digest in textures]
        self.amplitude_range = amplitude_range
        self._fields = [_read_texture(_folder.get(), *each) for each in self.textures]

    def get_params(self) -> dict[str, Any]:
        """Draw the texture, its mirrorings, its place (shares of the sides) and its amplitude."""
        return {
            "which": self.py_random.randrange(len(self._fields)),
            "mirrored": (self.py_random.random() < 0.5, self.py_random.random() < 0.5),
            "moved": (self.py_random.random(), self.py_random.random()),
            "amplitude": self.py_random.uniform(*self.amplitude_range),
        }

    def apply(
        self,
        img: Image,
        which: int,
        mirrored: tuple[bool, bool],
        moved: tuple[float, float],
        amplitude: float,
        **_: Any,
    ) -> Image:
        """Add the amplitude times the texture; a smaller one is repeated, a grey one meets every channel."""
        height, width = img.shape[:2]
        field = _mirrored(self._fields[which], mirrored)
        down, across = (
            (np.arange(n) + int(share * n)) % side
            for n, share, side in ((height, moved[0], field.shape[0]), (width, moved[1], field.shape[1]))
        )
        texture = np.float32(amplitude) * field[np.ix_(down, across)]
        return overlay(img.reshape(height, width, -1), texture).reshape(img.shape)


class FixedPattern(Overlay):
    """Change the light at each place as a measured pattern has it.

    Half of the time the pattern stays where it was found, give or take a fiftieth of the side; else it is
    mirrored and moved anywhere. A model that only ever saw it in one place learns the place and not the
    change: dust on steel, 10 logged images, accuracy under the fault 0.55 with the pattern fixed, 0.62 with
    the small moves, 0.64 with both (and 0.40, 0.41, 0.48 where the dust is half as strong again).

    Args:
        pattern: (path under the recipe's folder, SHA-256) of the PNG whose value 128 is no change.
        amplitude_range: factor on the pattern's stops, drawn uniformly.
        p: probability of applying it.

    Raises RecipeError for a pattern that is gone or was changed.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        pattern: tuple[str, str]
        amplitude_range: Amplitudes

    def __init__(
        self, pattern: tuple[str, str], amplitude_range: tuple[float, float] = (0.2, 1.3), p: float = 0.5
    ):
        super().__init__(p=p)
        self.pattern = tuple(pattern)
        self.amplitude_range = amplitude_range
        self._stops = _read_texture(_folder.get(), *self.pattern) / np.float32(STOP)

    def get_params(self) -> dict[str, Any]:
        """Draw the amplitude, the mirrorings and the way along both sides, as shares of them."""
        anywhere = self.py_random.random() < 0.5
        reach = 0.5 if anywhere else NUDGE
        return {
            "amplitude": self.py_random.uniform(*self.amplitude_range),
            "mirrored": tuple(anywhere and self.py_random.random() < 0.5 for _ in range(2)),
            "moved": tuple(self.py_random.uniform(-reach, reach) for _ in range(2)),
        }

    def apply(
        self,
        img: Image,
        amplitude: float,
        mirrored: tuple[bool, bool],
        moved: tuple[float, float],
        **_: Any,
    ) -> Image:
        """Multiply the light by 2 ** (amplitude * stops); the image has the pattern's size."""
        stops = _mirrored(self._stops, mirrored)
        way = [round(share * side) for share, side in zip(moved, stops.shape[:2], strict=True)]
        rows, columns = (
            _mirrored_places(side, step) for side, step in zip(stops.shape[:2], way, strict=True)
        )
        pattern = stops[np.ix_(rows, columns)] * np.float32(amplitude * math.log(2.0))
        changed = shine(img.reshape(*img.shape[:2], -1), pattern)
        return np.rint(changed).astype(np.uint8).reshape(img.shape)


class ToneCurve(Overlay):
    """Give every grey level what it became on the failing images, wherever it lies.

    Args:
        tones: (path under the recipe's folder, SHA-256) of the PNG whose column v has what level v became.
        amplitude_range: factor on the difference that the curve makes, drawn uniformly.
        p: probability of applying it.

    Raises RecipeError for a curve that is gone or was changed, or is not 256 grey levels wide.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        tones: tuple[str, str]
        amplitude_range: Amplitudes

    def __init__(
        self, tones: tuple[str, str], amplitude_range: tuple[float, float] = (0.2, 1.3), p: float = 0.5
    ):
        super().__init__(p=p)
        self.tones = tuple(tones)
        self.amplitude_range = amplitude_range
        self._curve = _read_tones(_folder.get(), *self.tones)

    def get_params(self) -> dict[str, Any]:
        """Draw the amplitude."""
        return {"amplitude": self.py_random.uniform(*self.amplitude_range)}

    def apply(self, img: Image, amplitude: float, **_: Any) -> Image:
        """Go the amplitude times the way from each grey level to that of the curve."""
        return retone(img, self._curve, amplitude)


def _mirrored(field: FloatArray, mirrored: tuple[bool, bool]) -> FloatArray:
    """A field (height, width, channel) upside down, left to right, both or neither."""
    return field[:: -1 if mirrored[0] else 1, :: -1 if mirrored[1] else 1]


def _mirrored_places(side: int, step: int) -> NDArray[np.int64]:
    """Where each of `side` places lies that moved by `step`; what comes in at the border is mirrored."""
    places = np.abs(np.arange(side) - step)
    return np.where(places >= side, 2 * side - 1 - places, places)


def _read_texture(folder: Path, name: str, digest: str) -> FloatArray:
    return _read_values(folder, name, digest) - MIDDLE


def _read_tones(folder: Path, name: str, digest: str) -> FloatArray:
    wedge = _read_values(folder, name, digest)
    if wedge.shape[1] != len(LEVELS):
        raise RecipeError(
            f"tone curve {folder / name} is {wedge.shape[1]} pixels wide; expected {len(LEVELS)}, a column "
            "for each grey level"
        )
    return np.asarray(wedge[0], np.float32)


def _read_values(folder: Path, name: str, digest: str) -> FloatArray:
    """What a PNG of the recipe's folder holds (height, width, channel), 0 to 255, once its hash is right."""
    path = folder / name
    outside = Path(name).is_absolute() or ".." in Path(name).parts
    if outside or not path.resolve().is_relative_to(folder.resolve()):  # by a link, too
        raise RecipeError(f"texture {name!r} lies outside the recipe's folder; a recipe names its own files")
    try:
        data = file_bytes(path, AS_STORED.most_megabytes)
    except ImageError as error:
        raise RecipeError(
            f"texture {path} cannot be read ({error}); keep it beside the recipe, as it was written"
        ) from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise RecipeError(f"texture {path} was changed or damaged since the recipe was written; restore it")
    try:
        values, _ = decoded(path, data, AS_STORED)
    except ImageError as error:
        raise RecipeError(f"texture {path} is no image that is read: {error}") from None
    field = values.astype(np.float32)
    return field[..., ::-1] if field.shape[2] == 3 else field  # OpenCV decodes blue first
