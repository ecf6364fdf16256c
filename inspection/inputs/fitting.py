"""How an image fills a network's input: what stands between the decoded file and the normalisation.

A plant says it in a few words, as `fmi register --preprocess` takes them:

    stretch               height and width each to the input's, whatever the shape (the default)
    crop, crop 256        the shorter side to the input's, or to 256 pixels, then the middle (torchvision)
    letterbox, letterbox 0
                          the whole image in the middle, beside it grey 114, or 0 (Ultralytics)
    module:function       the plant's own: called with (image, (height, width)), uint8 in and out
    area, nearest, linear, cubic, lanczos
                          interpolation, by OpenCV; default: area where it shrinks, linear where it grows
    pillow, pillow-cubic  bilinear or bicubic as Pillow and torchvision do it, smoothed where it shrinks
    BGR                   the network takes blue first
"""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fmi_engine.errors import first_line
from inspection.errors import ImageError, InspectionError

FILLED = 114  # grey beside a letterboxed image, as Ultralytics has it
OPENCV = {
    "area": cv2.INTER_AREA,
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
PILLOW = ("pillow", "pillow-cubic")
WAYS = ("stretch", "crop", "letterbox")
LARGEST = 4096  # pixels, of the shorter side before it is cropped
_OWN, _NUMBER = re.compile(r"[\w.]+:\w+"), re.compile(r"[0-9]{1,9}")
_Image = NDArray[np.uint8]
_Function = Callable[[_Image, tuple[int, int]], object]


@dataclass(frozen=True, slots=True)
class Fitting:
    """How an image of any size becomes one of the network's."""

    way: str = "stretch"  # one of WAYS, or module:function
    number: int | None = None  # of crop the shorter side in pixels, of letterbox the grey level beside
    method: str = ""  # of interpolation; empty: area where it shrinks, linear where it grows
    blue_first: bool = False  # the network's, of a colour image; the image itself stays RGB

    @classmethod
    def parse(cls, text: str) -> "Fitting":
        """What a plant says of it. Raises InspectionError for words that say nothing."""
        found = cls()
        for part in filter(None, map(str.strip, text.split(","))):
            found = _told(found, part, text)
        return found

    def __str__(self) -> str:
        number = "" if self.number is None else f" {self.number}"
        return ", ".join(filter(None, [self.way + number, self.method, "BGR" if self.blue_first else ""]))

    def __call__(self, image: _Image, size: tuple[int, int]) -> _Image:
        """An image (height, width, channel) in the size (height, width) of the input."""
        ways: dict[str, Callable[[_Image, tuple[int, int]], _Image]] = {
            "stretch": self.resized,
            "crop": self._cropped,
            "letterbox": self._letterboxed,
        }
        return ways[self.way](image, size) if self.way in ways else _by_function(self.way, image, size)

    def resized(self, image: _Image, size: tuple[int, int]) -> _Image:
        """Height and width each to the size, by the method."""
        height, width = size
        if self.method in PILLOW:
            return _by_pillow(image, size, self.method)
        shrinks = height * width < image.shape[0] * image.shape[1]
        method = OPENCV[self.method or ("area" if shrinks else "linear")]
        changed: _Image = cv2.resize(image, (width, height), interpolation=method)
        return np.reshape(changed, (height, width, image.shape[2]))

    def _cropped(self, image: _Image, size: tuple[int, int]) -> _Image:
        """As torchvision's Resize and CenterCrop: the longer side is cut down to whole pixels."""
        (height, width), (high, wide) = image.shape[:2], size
        if self.number is None:
            scale = max(high / height, wide / width)
            whole = max(high, int(height * scale)), max(wide, int(width * scale))
        else:
            shorter = min(height, width)
            whole = int(self.number * height / shorter), int(self.number * width / shorter)
        if whole[0] < high or whole[1] < wide:
            raise ImageError(
                f"an image of {height} x {width} pixels, its shorter side brought to {self.number}, is "
                f"smaller than the input of {high} x {wide}: 'crop' takes at least the input's size"
            )
        resized = self.resized(image, whole)
        top, left = (round((have - want) / 2) for have, want in zip(whole, size, strict=True))
        return np.ascontiguousarray(resized[top : top + high, left : left + wide])

    def _letterboxed(self, image: _Image, size: tuple[int, int]) -> _Image:
        """As Ultralytics' LetterBox: the odd pixel of what is filled lies below and on the right."""
        scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
        inner = tuple(max(1, round(side * scale)) for side in image.shape[:2])
        filled = np.full((*size, image.shape[2]), FILLED if self.number is None else self.number, np.uint8)
        top, left = (round((whole - part) / 2 - 0.1) for whole, part in zip(size, inner, strict=True))
        filled[top : top + inner[0], left : left + inner[1]] = self.resized(image, (inner[0], inner[1]))
        return filled


STRETCHED = Fitting()


def _told(found: Fitting, part: str, text: str) -> Fitting:
    """The fitting with what one part of the text says of it."""
    name, _, number = part.partition(" ")
    said: dict[str, object]
    if part.upper() == "BGR":
        said = {"blue_first": True}
    elif part in OPENCV or part in PILLOW:
        said = {"method": part}
    elif _OWN.fullmatch(part) or part in WAYS:
        said = {"way": part}
    elif name in WAYS[1:] and _NUMBER.fullmatch(number.strip()):
        said = {"way": name, "number": _bounded(name, int(number))}
    else:
        raise InspectionError(
            f"the preprocessing '{text}': '{part}' cannot be read; expected, by comma: one of stretch, crop, "
            "crop PIXELS, letterbox, letterbox GREY or your own module:function; one of "
            f"{', '.join([*OPENCV, *PILLOW])}; BGR"
        )
    again = [each for each in said if each != "number" and getattr(found, each) != getattr(Fitting(), each)]
    if again:
        raise InspectionError(
            f"the preprocessing '{text}': '{part}' comes after another of its kind; say one"
        )
    return replace(found, **said)  # type: ignore[arg-type]  # of the fields' own types


def _bounded(way: str, number: int) -> int:
    least, most = (1, LARGEST) if way == "crop" else (0, 255)
    if not least <= number <= most:
        what = "pixels of the shorter side are" if way == "crop" else "the grey beside the image is one of"
        raise InspectionError(f"{way} {number}: {what} {least} to {most}")
    return number


def _by_pillow(image: _Image, size: tuple[int, int], method: str) -> _Image:
    from PIL import Image  # which few lines ask for

    how = Image.Resampling.BICUBIC if method == "pillow-cubic" else Image.Resampling.BILINEAR
    held = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    return np.asarray(held.resize((size[1], size[0]), how)).reshape(*size, image.shape[2])


def _by_function(name: str, image: _Image, size: tuple[int, int]) -> _Image:
    """Ask the plant's own function. Raises ImageError for whatever it does wrong."""
    try:
        made = np.asarray(_function(name)(image, size))
    except InspectionError:
        raise
    except Exception as error:  # a user's function may raise anything
        said = f"{type(error).__name__}: {first_line(error)}"
        raise ImageError(f"{name} failed on an image of shape {image.shape}: {said}") from None
    expected = (*size, image.shape[2])
    if made.dtype != np.uint8 or made.shape != expected:
        raise ImageError(
            f"{name} made {made.dtype} of shape {made.shape}; expected uint8 of shape {expected}: the image "
            "before it is normalised"
        )
    return made


@cache
def _function(name: str) -> _Function:
    module, _, function = name.partition(":")
    try:
        found: _Function = getattr(importlib.import_module(module), function)
    except Exception as error:  # importing runs the user's module
        raise InspectionError(
            f"the preprocessing {name} cannot be imported: {first_line(error)}. Expected module:function, "
            "with the module installed, or in the workspace's folder"
        ) from None
    return found
