"""Who judges a layer's primitives by real images: one observer for readability, one comparison for copies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from fmi_engine.classifier import Classifier
from fmi_engine.copies import Copies
from fmi_engine.natural import Examples
from fmi_engine.patches import SMALLEST as DISPLAYED
from fmi_engine.patches import Box, Peaks
from fmi_engine.probe import truncated
from fmi_engine.readability import SMALLEST, Observer, observer, windows
from fmi_engine.types import FloatArray, Inversion, Layer, Readable

OWN = 40  # real crops of each filter that an observer sorts, each of another image
SHOWN = 27  # real crops of each filter that it is shown in place of a primitive, in turns
OTHERS = 16  # further filters of the layer whose crops it has to tell the filter's from ...
FEW = 12  # ... and how many of each
SAME = 0.995  # a correlation at and above which two crops are of one part, taken twice
COMPARED = 2  # windows of a picture, and crops of a filter, in which a copy is looked for


@dataclass(frozen=True, slots=True)
class Jury:
    """What is known of the real crops of a layer's filters."""

    layer: Layer
    observer: Observer
    real: Mapping[int, Sequence[FloatArray]]  # channel -> crops of the images that pictures are made of
    copies: Copies
    bound: float  # the highest correlation that a real crop has with a place of another real image
    side: int  # pixels, of what the observer is shown

    def readable(self, classifier: Classifier, pictures: Sequence[Inversion]) -> Readable:
        """How surely the observer tells the crops of a filter, shown all its pictures."""
        channel = pictures[0].filter.channel
        shown = shown_windows(classifier, self.layer, pictures, self.side)
        return self.observer.readable(channel, shown, self.real[channel])

    def copy(self, classifier: Classifier, picture: Inversion) -> float:
        """How like a picture, where its filter answers most, is to the place of a real image most like it."""
        (answer,) = answers_of(classifier, self.layer, [picture])
        found = windows(picture.image, self.copies.side, answer)[:COMPARED]
        return max((self.copies.nearest(each) for each in found), default=-1.0)


def shown_windows(
    classifier: Classifier, layer: Layer, pictures: Sequence[Inversion], side: int
) -> list[FloatArray]:
    """What an observer is shown of the pictures of a filter: where the filter answers most, 27 at most."""
    answers = answers_of(classifier, layer, pictures)
    found = [windows(each.image, side, answer) for each, answer in zip(pictures, answers, strict=True)]
    return [part for each in found for part in each][:SHOWN]


def answers_of(classifier: Classifier, layer: Layer, pictures: Sequence[Inversion]) -> list[FloatArray]:
    """The map of each picture's own filter."""
    x = torch.from_numpy(np.stack([each.image for each in pictures])).to(classifier.device)
    with torch.no_grad(), truncated(classifier.network, layer.name) as code:
        maps = code(classifier.preprocessing.normalise(x))
    return [maps[i, each.filter.channel].cpu().numpy() for i, each in enumerate(pictures)]


def parted(examples: Examples) -> tuple[Examples, Examples]:
    """Every second image, of which pictures are made, and the others, by which they are judged."""
    first, second = (
        replace(
            examples,
            images=examples.images[start::2],
            peaks={
                layer: Peaks(peaks.values[start::2], peaks.places[start::2])
                for layer, peaks in examples.peaks.items()
            },
        )
        for start in (0, 1)
    )
    return first, second


def summon(
    classifier: Classifier, layer: Layer, channels: Sequence[int], live: Sequence[int], examples: Examples
) -> Jury:
    """The jury of some filters of a layer, of which the `live` ones answer real images.

    The pictures that it judges are to be made of `parted(examples)[0]` alone.
    """
    made_of, others = parted(examples)
    rest = [each for each in live if each not in channels]
    asked = [*channels, *rest[:: max(1, -(-len(rest) // OTHERS))]]
    seen = {
        **unit_crops(classifier, layer, asked, others, FEW, SMALLEST),
        **unit_crops(classifier, layer, channels, others, OWN, SMALLEST),
    }
    shown = unit_crops(classifier, layer, channels, made_of, SHOWN, SMALLEST)
    compared = [box for mine in made_of.boxes(classifier, layer, channels, COMPARED).values() for box in mine]
    copies = Copies(examples.images, compared[0].side)
    among = [copies.nearest(_unit(box, made_of), without=2 * box.image) for box in compared]
    return Jury(layer, observer(seen), shown, copies, _most(among), shown[channels[0]][0].shape[0])


def _most(among: Sequence[float]) -> float:
    """The highest correlation among real crops, but for a part that was taken twice, and flat ones."""
    return max((each for each in among if -1 < each < SAME), default=SAME)


def unit_crops(
    classifier: Classifier,
    layer: Layer,
    channels: Sequence[int],
    examples: Examples,
    count: int,
    smallest: int = DISPLAYED,
) -> dict[int, list[FloatArray]]:
    """The crops (height, width, channel) in 0 to 1 that excite each filter most, of `count` images."""
    found = examples.boxes(classifier, layer, channels, count, smallest)
    return {channel: [_unit(box, examples) for box in mine] for channel, mine in found.items()}


def _unit(box: Box, examples: Examples) -> FloatArray:
    """A crop (height, width, channel) in 0 to 1."""
    return np.asarray(box.of(examples.images) / np.float32(255))
