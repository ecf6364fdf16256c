"""What keeps an inversion natural: its codes are distributed as those of real crops that excite the filter.

Gorgun, Schiele and Fischer, VITAL: More Understandable Feature Visualization through Distribution Alignment
and Relevant Information Flow, arXiv 2503.22399: the sorted activations of each filter follow those of real
images. Here the real images are crops around the places where the filter answers most, and the layers are
those of the network up to the filter's. What a network does not see it leaves to chance, so the pixels and
their differences at several scales follow those of the crops as well: real surfaces have few, sharp edges
(Simoncelli, Statistical Models for Images: Compression, Restoration and Synthesis, Asilomar 1997). All this
holds in windows of the size of a crop, anywhere in the picture: over the whole picture what is dark in every
crop may gather in one place. Which shapes there are a denoiser knows (`fmi_engine.denoiser`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fmi_engine.classifier import Classifier
from fmi_engine.denoiser import Denoiser
from fmi_engine.patches import SMALLEST, Box, Peaks, boxes, find_peaks
from fmi_engine.presets import Preset
from fmi_engine.probe import layers_of, stages_of, tapped
from fmi_engine.types import Layer

PIXELS = "pixels"  # among what is seen of a picture without a network: its values
SCALES = (1, 2, 4, 8)  # pixels that are averaged before their differences are taken
LEAST_SPREAD = 0.25  # of the median spread of a layer's filters: what varies less is compared in this unit
LEAST_CONTRAST = 1 / 255  # of full scale; the same for pixels and their differences
POINTS = 512  # positions of a code, or of the picture, that are sorted in a step, in all windows
ACROSS = 3  # positions across a window that are sorted at least, where it has as many

Codes = Mapping[str, Float[Tensor, "batch channel height width"]]


@dataclass(frozen=True, slots=True)
class Examples:
    """Real images (n, height, width, channel), and where they excite every filter of a layer most."""

    images: NDArray[np.uint8]
    peaks: Mapping[str, Peaks]  # by layer; of a layer that is missing they are looked for
    denoiser: Denoiser | None = None  # that has learnt what such images look like

    def at(self, classifier: Classifier, layer: Layer) -> "Examples":
        """The same with the peaks of a layer known."""
        if layer.name in self.peaks:
            return self
        found = find_peaks(classifier, layer, range(layer.channels), self.images)
        return replace(self, peaks={**self.peaks, layer.name: found})

    def of(self, classifier: Classifier, layer: Layer, channels: Sequence[int]) -> Peaks:
        """Where the images excite some filters of a layer most."""
        if layer.name in self.peaks:
            return self.peaks[layer.name].of(channels)
        return find_peaks(classifier, layer, channels, self.images)

    def boxes(
        self,
        classifier: Classifier,
        layer: Layer,
        channels: Sequence[int],
        count: int,
        smallest: int = SMALLEST,
    ) -> dict[int, list[Box]]:
        """Where the crops of `count` images that excite each filter most lie, no smaller than that."""
        peaks = self.of(classifier, layer, channels)
        return boxes(layer, channels, self.images, count, peaks, smallest)


def layers_up_to(classifier: Classifier, layer: str) -> list[Layer]:
    """The last layer of each resolution before a layer, and that layer, in the order of the pass."""
    layers = layers_of(classifier)
    place = next(i for i, each in enumerate(layers) if each.name == layer)
    return [each for each in stages_of(layers[: place + 1]) if each.name != layer] + [layers[place]]


class Distribution:
    """The distribution, layer by layer, of the codes of the crops that excite a filter, one for each picture.

    Where the preset asks for selectivity no other filter of the filter's own layer is as far above normal as
    it is: where in the crops another one is, its values are scaled down until it lies `lead` sigma behind.
    Of filters that answer together on every real surface the picture then shows what is the filter's own.
    """

    def __init__(
        self,
        found: Sequence[Mapping[str, Float[Tensor, "channel crop position"]]],
        window: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        """`found` are the codes of the crops of each picture's filter; `window` is their size.

        That is, how much of the height and of the width of an image a crop takes.
        """
        self._found = found
        self._window = window
        self._held: dict[tuple[str, int], Tensor] = {}
        self._scale = {name: torch.stack([_unit(name, each[name]) for each in found]) for name in found[0]}

    def distance(self, codes: Codes, picture: Tensor, step: int) -> Float[Tensor, " batch"]:
        """How far codes and look of each picture are from the distribution, in spreads of each filter.

        The mean over the layers, and over the filters of each, of the squared distance of the sorted values
        of each window from those of a typical crop; and the same of the pixels and their differences. Some
        windows are looked at, others in each step.
        """
        parts = [
            torch.stack([self._of(name, each, step) for name, each in seen.items()]).mean(0)
            for seen in (codes, look(picture))
        ]
        return parts[0] + parts[1]

    def _of(self, name: str, code: Tensor, step: int) -> Tensor:
        values = _windows(code, self._window, step).sort(-1).values
        key = name, values.shape[-1]
        if key not in self._held:
            self._held[key] = torch.stack([_typical(each[name], values.shape[-1]) for each in self._found])
        apart = (values - self._held[key][:, :, None]) / self._scale[name][..., None, None]
        return apart.square().mean((1, 2, 3))


def look(picture: Float[Tensor, "batch channel height width"]) -> dict[str, Tensor]:
    """What is seen of pictures without a network: their values, and their differences at several scales.

    Differences to the right come first among the channels, then those downwards; what is smaller than two
    pixels at a scale has none.
    """
    found = {PIXELS: picture}
    for scale in SCALES:
        if min(picture.shape[2:]) // scale > 1:
            coarse = avg_pool2d(picture, scale) if scale > 1 else picture
            across = coarse[..., :-1, 1:] - coarse[..., :-1, :-1]
            down = coarse[..., 1:, :-1] - coarse[..., :-1, :-1]
            found[f"differences at {scale}"] = torch.cat([across, down], 1)
    return found


def _unit(name: str, values: Float[Tensor, "channel crop position"]) -> Float[Tensor, " channel"]:
    spread = values.std((1, 2), correction=0)
    of_pixels = name == PIXELS or name.startswith("differences")
    least = LEAST_CONTRAST if of_pixels else float(LEAST_SPREAD * spread.median().clamp_min(1e-6))
    return spread.clamp_min(least)


def _windows(
    code: Float[Tensor, "batch channel height width"], size: tuple[float, float], step: int
) -> Float[Tensor, "batch channel window position"]:
    """What lies in some windows of a code, as many as cover it, at places that change with the step alone.

    `size` is that of a window, as shares of both sides. Of large windows every so many rows and columns.
    """
    sides = [max(1, min(n, round(share * n))) for n, share in zip(code.shape[2:], size, strict=True)]
    count = math.prod(max(1, round(1 / share)) for share in size)
    apart = round(math.sqrt(count * math.prod(sides) / POINTS))
    apart = max(1, min(apart, min(sides) // ACROSS))
    drawn = np.random.default_rng(step).random((count, 4))
    found = []
    for middle_down, middle_across, *start in drawn.tolist():
        rows, columns = (
            _inner(n, side, middle, int(first * apart), apart)
            for n, side, middle, first in zip(
                code.shape[2:], sides, (middle_down, middle_across), start, strict=True
            )
        )
        found.append(code[:, :, rows, columns].flatten(2))
    return torch.stack(found, 2)


def _inner(length: int, side: int, middle: float, first: int, apart: int) -> slice:
    """Every so many of `side` positions around one, of `length`; as many whichever is the first."""
    start = min(max(round(middle * length - side / 2), 0), length - side) + first
    return slice(start, start + side - apart + 1, apart)


def _typical(values: Float[Tensor, "channel crop position"], points: int) -> Float[Tensor, "channel point"]:
    """The sorted values of a typical crop, so many of them: the mean over the crops, place by place.

    That is the barycentre of their distributions in the Wasserstein distance (Agueh and Carlier, SIAM J.
    Math. Anal. 43, 2011).
    """
    ordered = values.sort(-1).values
    positions = ordered.shape[-1]
    place = ((torch.arange(points, device=values.device) + 0.5) / points * positions - 0.5).clamp(
        0, positions - 1
    )
    low = place.floor().long()
    high = (low + 1).clamp_max(positions - 1)
    return torch.lerp(ordered[..., low], ordered[..., high], place - low).mean(1)


@torch.no_grad()
def distributions(
    classifier: Classifier,
    layer: Layer,
    channels: Sequence[int],
    examples: Examples,
    normal: tuple[Float[Tensor, " channel"], Float[Tensor, " channel"]],
    preset: Preset,
) -> Distribution:
    """The distribution for each of the filters named, which may be named more than once.

    `normal` holds the layer's normal energies and their sigma.
    """
    every = sorted({*channels})
    cut = examples.boxes(classifier, layer, every, preset.crops)
    names = [each.name for each in layers_up_to(classifier, layer.name)]
    codes = {channel: _codes(classifier, names, examples.images, cut[channel]) for channel in every}
    for channel in every if preset.selectivity else ():
        own = codes[channel]
        own[layer.name] = _behind(own[layer.name], channel, *normal, preset.lead)
    side, (height, width) = cut[every[0]][0].side, examples.images.shape[1:3]
    return Distribution([codes[channel] for channel in channels], (side / height, side / width))


def _codes(
    classifier: Classifier, names: Sequence[str], images: NDArray[np.uint8], cut: Sequence[Box]
) -> dict[str, Float[Tensor, "channel crop position"]]:
    """What the crops hold at each layer: the codes of whole images, so that no crop has a border."""
    chosen = images[[box.image for box in cut]]
    x = classifier.prepare(chosen)
    with tapped(classifier.network, names) as tap:
        codes = {**tap(x), **look(classifier.preprocessing.restore(x))}
    size = chosen.shape[1:3]
    return {
        name: torch.stack([_inside(each, box, size) for each, box in zip(code, cut, strict=True)], 1)
        for name, code in codes.items()
    }


def _inside(
    code: Float[Tensor, "channel height width"], box: Box, size: tuple[int, int]
) -> Float[Tensor, "channel position"]:
    """The values of a code at the positions that a box of the image of that size covers, one at least."""
    ranges = []
    for start, length, positions in zip((box.top, box.left), size, code.shape[1:], strict=True):
        count = max(1, round(box.side * positions / length))
        first = min(int(start * positions / length), positions - count)
        ranges.append(slice(first, first + count))
    return code[:, ranges[0], ranges[1]].flatten(1)


def _behind(
    values: Float[Tensor, "channel crop position"],
    channel: int,
    energy: Float[Tensor, " channel"],
    sigma: Float[Tensor, " channel"],
    lead: float,
) -> Float[Tensor, "channel crop position"]:
    """The values of a layer with every filter at least `lead` sigma behind one."""
    found = values.mean((1, 2))
    shift = (found - energy) / sigma
    above = (shift - shift[channel] + lead).clamp_min(0) * sigma
    above[channel] = 0.0
    if (values < 0).any():
        return values - above[:, None, None]
    return values * (1 - above / found.clamp_min(1e-12)).clamp_min(0)[:, None, None]
