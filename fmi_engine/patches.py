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


def cut_out(
    layer: Layer, channels: Sequence[int], images: NDArray[np.uint8], count: int, peaks: Peaks
) -> dict[int, list[Patch]]:
    """The crops of `exciting_patches`, where the channels' peaks on the images are known."""
    return {
        channel: [
            Patch(
                FilterRef(layer.name, channel),
                int(i),
                crop(
                    images[i],
                    *_centre(images[i], layer, int(peaks.places[i, column])),
                    _side(images[i], layer),
                ),
                float(peaks.values[i, column]),
            )
            for i in np.argsort(-peaks.values[:, column], kind="stable")[:count]
        ]
        for column, channel in enumerate(channels)
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


def _centre(image: NDArray[np.uint8], layer: Layer, place: int) -> tuple[int, int]:
    row, column = divmod(place, layer.width)
    height, width = image.shape[:2]
    return round((row + 0.5) * height / layer.height), round((column + 0.5) * width / layer.width)


def _side(image: NDArray[np.uint8], layer: Layer) -> int:
    height, width = image.shape[:2]
    stride = max(height / layer.height, width / layer.width)
    return int(min(max(SMALLEST, round(SIDES * stride)), height, width))


def crop(image: NDArray[np.uint8], row: int, column: int, side: int) -> NDArray[np.uint8]:
    """A square crop centred as nearly as the image's border allows."""
    top = min(max(row - side // 2, 0), image.shape[0] - side)
    left = min(max(column - side // 2, 0), image.shape[1] - side)
    return image[top : top + side, left : left + side]
