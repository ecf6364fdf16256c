"""Operations of the defect or its ground alone: defect contrast, defect edges, defect size, background.

What stands out is told apart without a label of pixels: it differs from the local background, a median over
a quarter of the shorter side, by more than the image's own texture does. A scratch or a pit is far narrower
than that window, a band of shadow is not.
"""

from functools import partial
from typing import Any, Literal

import albumentations as A
import cv2
import numpy as np

from inspection import tuning
from inspection.operations.blur import NO_BLUR
from inspection.operations.operation import Image, Operation, Plane, Range, Transform
from inspection.operations.planes import grey_values, like

LEAST = 1.0  # grey level: the texture of an image is never taken for less than its rounding
Polarity = Literal["both", "bright", "dark"]


def local_background(image: Image) -> Image:
    """The median of an image around every pixel."""
    side = max(3, round(tuning.DEFECT_WINDOW * min(image.shape[:2])) | 1)
    return np.asarray(cv2.medianBlur(np.ascontiguousarray(image), side)).reshape(image.shape)


def standing_out(image: Image) -> tuple[Plane, Plane]:
    """What stands out of the background (grey levels, H x W x C), and how surely (0 to 1, H x W x 1)."""
    image = image[:, :, None] if image.ndim == 2 else image
    background = local_background(image).astype(np.float32)
    detail = image.astype(np.float32) - background
    away = cv2.GaussianBlur(np.abs(detail).max(2), (0, 0), 1.0)
    texture = max(float(np.median(away)), LEAST)
    quiet, loud = tuning.DEFECT_QUIET, tuning.DEFECT_LOUD
    sure = np.asarray(np.clip((away / texture - quiet) / (loud - quiet), 0.0, 1.0), np.float32)
    return detail, sure[:, :, None]


def _of(detail: Plane, polarity: Polarity) -> Plane:
    """The part of a detail that is brighter than its background, or darker, or both."""
    if polarity == "bright":
        return np.maximum(detail, 0.0)
    return np.minimum(detail, 0.0) if polarity == "dark" else detail


class DefectContrast(Transform):
    """Multiply what stands out from the local background: below 1 fainter, below 0 reversed.

    Args:
        factor_range: factor, drawn uniformly; 1 changes nothing.
        polarity: of which details: "both", "bright" ones or "dark" ones.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        factor_range: tuple[float, float]
        polarity: Polarity

    def __init__(
        self, factor_range: tuple[float, float] = (0.0, 1.0), polarity: Polarity = "both", p: float = 0.5
    ):
        super().__init__(p=p)
        self.factor_range = factor_range
        self.polarity = polarity

    def get_params(self) -> dict[str, Any]:
        """Draw the factor."""
        return {"factor": self.py_random.uniform(*self.factor_range)}

    def apply(self, img: Image, factor: float, **_: Any) -> Image:
        """Scale the details."""
        detail, sure = standing_out(img)
        added = np.float32(factor - 1.0) * sure * _of(detail, self.polarity)
        return grey_values(img + added.reshape(img.shape))


class DefectEdges(Transform):
    """Blur or sharpen what stands out, and leave its background.

    Args:
        radius_range: sigma of the Gaussian, drawn uniformly, in pixels.
        sharpen: add what the blur would take away.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        radius_range: Range
        sharpen: bool

    def __init__(self, radius_range: tuple[float, float] = (0.5, 2.0), sharpen: bool = False, p: float = 0.5):
        super().__init__(p=p)
        self.radius_range = radius_range
        self.sharpen = sharpen

    def get_params(self) -> dict[str, Any]:
        """Draw the sigma."""
        return {"sigma": self.py_random.uniform(*self.radius_range)}

    def apply(self, img: Image, sigma: float, **_: Any) -> Image:
        """Blur or sharpen the details."""
        if sigma < NO_BLUR:
            return img.copy()
        detail, sure = standing_out(img)
        mine = sure * detail
        away = cv2.GaussianBlur(mine, (0, 0), sigma).reshape(mine.shape) - mine
        return grey_values(img + (-away if self.sharpen else away).reshape(img.shape))


class DefectSize(Transform):
    """Widen or narrow what stands out by a number of pixels on every side.

    Args:
        pixels_range: how far, drawn uniformly, in pixels.
        narrow: narrow it.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        pixels_range: Range
        narrow: bool

    def __init__(self, pixels_range: tuple[float, float] = (0.5, 2.0), narrow: bool = False, p: float = 0.5):
        super().__init__(p=p)
        self.pixels_range = pixels_range
        self.narrow = narrow

    def get_params(self) -> dict[str, Any]:
        """Draw how far."""
        return {"pixels": self.py_random.uniform(*self.pixels_range)}

    def apply(self, img: Image, pixels: float, **_: Any) -> Image:
        """Widen or narrow the details, bright and dark ones alike."""
        detail, sure = standing_out(img)
        mine = sure * detail
        bright, dark = (self._moved(np.maximum(each, 0), pixels) for each in (mine, -mine))
        moved: Plane = bright - dark - mine
        return grey_values(img + moved.reshape(img.shape))

    def _moved(self, height: Plane, pixels: float) -> Plane:
        """A morphological dilation or erosion, between two whole numbers of pixels a mix of both."""
        turn = cv2.erode if self.narrow else cv2.dilate
        below = int(pixels)
        near, far = (
            turn(height, _disc(each)).reshape(height.shape) if each else height for each in (below, below + 1)
        )
        return near + np.float32(pixels - below) * (far - near)


def _disc(radius: int) -> Image:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


class Background(Transform):
    """Scale the light of the background, and leave what stands out as it is.

    Args:
        stops_range: change of the light, drawn uniformly, in stops; below 0 it is darker.
        p: probability of applying it.

    """

    class InitSchema(A.ImageOnlyTransform.InitSchema):  # type: ignore[misc]
        """What the arguments may be."""

        stops_range: tuple[float, float]

    def __init__(self, stops_range: tuple[float, float] = (-1.0, 0.0), p: float = 0.5):
        super().__init__(p=p)
        self.stops_range = stops_range

    def get_params(self) -> dict[str, Any]:
        """Draw the stops."""
        return {"stops": self.py_random.uniform(*self.stops_range)}

    def apply(self, img: Image, stops: float, **_: Any) -> Image:
        """Scale what does not stand out."""
        sure = standing_out(img)[1]
        factor = np.asarray(1.0 + (2.0**stops - 1.0) * (1.0 - sure), np.float32)
        return grey_values(img * like(factor[:, :, 0], img))


def _contrast(sign: int, polarity: Polarity, lowest: float, highest: float) -> A.BasicTransform:
    factors = (1.0 + sign * lowest, 1.0 + sign * highest)
    return DefectContrast(factor_range=(min(factors), max(factors)), polarity=polarity, p=1.0)


def _edges(sharpen: bool, lowest: float, highest: float) -> A.BasicTransform:
    return DefectEdges(radius_range=(lowest, highest), sharpen=sharpen, p=1.0)


def _size(narrow: bool, lowest: float, highest: float) -> A.BasicTransform:
    return DefectSize(pixels_range=(lowest, highest), narrow=narrow, p=1.0)


def _background(sign: int, lowest: float, highest: float) -> A.BasicTransform:
    stops = (sign * lowest, sign * highest)
    return Background(stops_range=(min(stops), max(stops)), p=1.0)


def _contrast_entry(name: str, meaning: str, sign: int, polarity: Polarity, reverses: bool) -> Operation:
    fainter = sign < 0
    return Operation(
        name=name,
        family="defect contrast",
        unit="of the defect's contrast " + ("lost" if fainter else "added"),
        grid=(1.25, 1.5, 2.0) if reverses else (0.25, 0.5, 0.75, 1.0) if fainter else (0.5, 1.0, 2.0),
        meaning=meaning,
        transform=partial(_contrast, sign, polarity),
        limit=3.0 if reverses else 1.0 if fainter else float("inf"),
    )


OPERATIONS: tuple[Operation, ...] = (
    _contrast_entry("fainter defects", "defects stand out less from their background", -1, "both", False),
    _contrast_entry(
        "fainter bright defects", "bright defects are fainter, dark ones are not", -1, "bright", False
    ),
    _contrast_entry(
        "fainter dark defects", "dark defects are fainter, bright ones are not", -1, "dark", False
    ),
    _contrast_entry("reversed defects", "bright defects turn dark, and dark ones bright", -1, "both", True),
    _contrast_entry("bright defects turned dark", "bright defects turn dark", -1, "bright", True),
    _contrast_entry("dark defects turned bright", "dark defects turn bright", -1, "dark", True),
    _contrast_entry("stronger defects", "defects stand out more from their background", 1, "both", False),
    Operation(
        name="softer defects",
        family="defect edges",
        unit="pixels (sigma)",
        grid=(0.5, 1.0, 2.0),
        meaning="the edges of defects are softer while the background is as sharp as before",
        transform=partial(_edges, False),
    ),
    Operation(
        name="sharper defects",
        family="defect edges",
        unit="pixels (sigma)",
        grid=(0.5, 1.0, 2.0),
        meaning="the edges of defects are sharper while the background is as sharp as before",
        transform=partial(_edges, True),
    ),
    Operation(
        name="larger defects",
        family="defect size",
        unit="pixels on every side",
        grid=(0.5, 1.0, 2.0),
        meaning="defects are larger",
        transform=partial(_size, False),
    ),
    Operation(
        name="smaller defects",
        family="defect size",
        unit="pixels on every side",
        grid=(0.5, 1.0, 2.0),
        meaning="defects are smaller",
        transform=partial(_size, True),
    ),
    Operation(
        name="darker background",
        family="background",
        unit="stops",
        grid=(0.25, 0.5, 1.0),
        meaning="the background is darker while defects keep their light",
        transform=partial(_background, -1),
    ),
    Operation(
        name="brighter background",
        family="background",
        unit="stops",
        grid=(0.25, 0.5, 1.0),
        meaning="the background is brighter while defects keep their light",
        transform=partial(_background, 1),
    ),
)
