"""The real image patches that excite a filter most: people predict a filter best from those.

Borowski et al., Exemplary Natural Images Explain CNN Activations Better than State-of-the-Art Feature
Visualization, arXiv 2010.12606.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from fmi_engine.classifier import Classifier
from fmi_engine.probe import truncated
from fmi_engine.types import FilterRef, Layer

SMALLEST = 24  # pixels: smaller crops cannot be recognised
SIDES = 5  # a crop spans this many positions of the layer's grid


@dataclass(frozen=True, slots=True)
class Patch:
    """A crop of a real image around the position where a filter answers most."""

    filter: FilterRef
    image: int  # position of the image in the set given
    pixels: NDArray[np.uint8]  # (height, width, channel)
    activation: float


def exciting_patches(
    classifier: Classifier,
    layer: Layer,
    channels: Sequence[int],
    images: NDArray[np.uint8],
    count: int,
    batch_size: int = 32,
) -> dict[int, list[Patch]]:
    """For each channel the crops of the `count` images that excite it most, strongest first.

    One crop an image, so that a single odd image cannot fill the row. `images` is (n, height, width,
    channel).
    """
    return cut_out(
        layer, channels, images, count, find_peaks(classifier, layer, channels, images, batch_size)
    )


@dataclass(frozen=True, slots=True)
class Peaks:
    """Where images excite filters most, and how much."""

    values: NDArray[np.float32]  # (images, channels)
    places: NDArray[np.int64]  # (images, channels), on the layer's grid, row by row

    def of(self, channels: Sequence[int]) -> "Peaks":
        """Those of some channels, in their order."""
        return Peaks(self.values[:, list(channels)], self.places[:, list(channels)])


@dataclass(frozen=True, slots=True)
class Box:
    """Where a square crop lies."""

    image: int  # position of the image in the set given
    top: int  # pixels
    left: int  # pixels
    side: int  # pixels
    activation: float  # the largest of the filter in the image

    def of(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crop (height, width, channel) of the set's image."""
        return images[self.image, self.top : self.top + self.side, self.left : self.left + self.side]


def boxes(
    layer: Layer,
    channels: Sequence[int],
    images: NDArray[np.uint8],
    count: int,
    peaks: Peaks,
    smallest: int = SMALLEST,
) -> dict[int, list[Box]]:
    """Where the crops of `exciting_patches` lie, the channels' peaks on the images being known."""
    side = side_of(images[0], layer, smallest)
    return {
        channel: [
            Box(
                int(i),
                *_corner(images[i], layer, int(peaks.places[i, column]), side),
                side,
                float(peaks.values[i, column]),
            )
            for i in np.argsort(-peaks.values[:, column], kind="stable")[:count]
        ]
        for column, channel in enumerate(channels)
    }


def cut_out(
    layer: Layer, channels: Sequence[int], images: NDArray[np.uint8], count: int, peaks: Peaks
) -> dict[int, list[Patch]]:
    """The crops of `exciting_patches`, where the channels' peaks on the images are known."""
    return {
        channel: [Patch(FilterRef(layer.name, channel), b.image, b.of(images), b.activation) for b in found]
        for channel, found in boxes(layer, channels, images, count, peaks).items()
    }


@torch.no_grad()
def find_peaks(
    classifier: Classifier,
    layer: Layer,
    channels: Sequence[int],
    images: NDArray[np.uint8],
    batch_size: int = 32,
) -> Peaks:
    """The largest activation of each channel on each image (n, height, width, channel), and where it is."""
    values, places = [], []
    with truncated(classifier.network, layer.name) as code:
        for i in range(0, len(images), batch_size):
            maps: Float[Tensor, "batch picked position"] = code(
                classifier.prepare(images[i : i + batch_size])
            )[:, list(channels)].flatten(2)
            peak = maps.max(2)
            values.append(peak.values.cpu().numpy())
            places.append(peak.indices.cpu().numpy())
    return Peaks(np.concatenate(values), np.concatenate(places))


def _corner(image: NDArray[np.uint8], layer: Layer, place: int, side: int) -> tuple[int, int]:
    """The upper left corner of a crop centred as nearly on a place as the image's border allows."""
    row, column = divmod(place, layer.width)
    height, width = image.shape[:2]
    centre = round((row + 0.5) * height / layer.height), round((column + 0.5) * width / layer.width)
    top, left = (
        min(max(middle - side // 2, 0), length - side)
        for middle, length in zip(centre, (height, width), strict=True)
    )
    return top, left


def side_of(image: NDArray[np.uint8], layer: Layer, smallest: int = SMALLEST) -> int:
    """The side of a crop in pixels: five positions of the layer, so many at least, at most the image."""
    height, width = image.shape[:2]
    stride = max(height / layer.height, width / layer.width)
    return int(min(max(smallest, round(SIDES * stride)), height, width))
