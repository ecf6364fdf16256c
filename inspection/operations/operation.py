"""What an operation is: one change of an image with a strength; and what a transform of ours is."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import albumentations as A
import numpy as np
from albumentations.core.pydantic import check_range_bounds, nondecreasing
from numpy.typing import NDArray
from pydantic import AfterValidator

from inspection.errors import InspectionError

Image = NDArray[np.uint8]
Plane = NDArray[np.float32]  # (H, W), or (H, 1) or (1, W) where it is the same along one side

# What a transform's arguments may be: (lowest, highest), ascending.
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
Angles = Annotated[
    tuple[float, float], AfterValidator(nondecreasing), AfterValidator(check_range_bounds(-360, 360))
]
ANY, ROWS, COLUMNS = (0.0, 180.0), (0.0, 0.0), (90.0, 90.0)  # angles of lines, degrees

FAMILIES = (
    "geometry",
    "background",
    "texture",
    "defect contrast",
    "defect edges",
    "defect size",
    "side light",
    "hot spot",
    "shadow",
    "vignette",
    "darker",
    "brighter",
    "contrast",
    "colour",
    "dust",
    "defocus",
    "motion blur",
    "noise",
    "line pattern",
    "compression",
)
"""The words in which causes are named; every operation belongs to one of them.

In the order in which an image comes about: the part, its light, the optics, the sensor and what follows.
"""


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


class Transform(A.ImageOnlyTransform):  # type: ignore[misc]
    """A transform of ours, known in recipes by a name that stays whatever module it lives in.

    It is an albumentations transform like any other: it draws from its own generators, can be written into a
    recipe by its name and read back, and takes uint8 images of shape (H, W), (H, W, 1) or (H, W, 3). Values
    beyond black and white are clipped. Angles are in degrees and turn clockwise, as rows count downwards.
    """

    home: ClassVar[str] = "inspection.transforms"
    """Where recipes say that it lives: a part of their format, which old and new recipes share."""

    @classmethod
    def get_class_fullname(cls) -> str:
        """The name that albumentations writes into a recipe and looks up when it reads one."""
        return f"{cls.home}.{cls.__name__}"
