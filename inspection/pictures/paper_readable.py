"""What `fmi bench paper` measures of readability: our preset beside the published ones, on the same filters.

Three witnesses that share nothing: an observer that knows no network (`fmi_engine.readability`), one that
looks through a network trained from another seed, and that network's own filters (`transfer`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fmi_engine.classifier import Classifier
from fmi_engine.energy import energies
from fmi_engine.jury import OWN, SHOWN, parted, shown_windows, unit_crops
from fmi_engine.natural import Examples
from fmi_engine.presets import PRESETS, Preset
from fmi_engine.probe import layers_of, stages_of, tapped
from fmi_engine.readability import SMALLEST, observer
from fmi_engine.reference import measure_energies
from fmi_engine.trust import TrustRules, fed_back
from fmi_engine.types import FloatArray, Inversion, Layer, Trust
from inspection.pictures.paper_networks import Net

LEAST_INPUT = 32  # pixels: what a network that looks on is shown at least
RIVALS = {
    "paper": PRESETS["paper"],
    "mahendran": PRESETS["mahendran"],
    # MACO's phases beside a margin over the layer's other filters.
    "phase": Preset("phase", standardised=True, selectivity=3.0, steps=96, learning_rate=0.06),
}
"""The presets that ours is set beside."""

LEAST_CEILING = 0.55  # AUROC: of 6 filters on steel 0.45 gave shares of 4 and 200,000, 0.58 one of 2.6


@dataclass(frozen=True, slots=True)
class Readability:
    """How readable the primitives of some filters of a stage are, means over the filters."""

    preset: str
    filters: int
    readable: float  # AUROC of the observer that knows no network
    readable_ceiling: float  # the same where other real crops of the filter are shown
    by_network: float  # AUROC of the observer that looks through another network
    by_network_ceiling: float
    transfer: float  # share of the other network's filters that the counterpart exceeds; chance is 0.5
    first_rank: float  # share of the filters whose pictures rank first, or in the top share
    nearest_copy: float  # highest correlation with a place of a real image, median
    copy_bound: float  # the highest that real crops of different parts reach

    @property
    def share(self) -> float:
        """The share of the way from chance to real crops; NaN where these tell hardly more than chance."""
        if self.readable_ceiling < LEAST_CEILING:
            return float("nan")
        return (self.readable - 0.5) / (self.readable_ceiling - 0.5)


@dataclass(frozen=True, slots=True)
class Onlooker:
    """A network trained from another seed, and its answers to the same real images."""

    net: Net
    layer: str
    counterpart: NDArray[np.int64]  # (channels,): its filter that answers real images most alike


def onlooker(net: Net, other: Net, layer: Layer) -> Onlooker:
    """Find for every filter of a layer the one of another network that answers real images most alike."""
    images = net.labelled.images
    mine, theirs = (
        measure_energies(each.classifier, [layer.name], images, with_spread=False)[0][layer.name]
        for each in (net, other)
    )
    alike = np.nan_to_num(np.corrcoef(mine.T, theirs.T)[: mine.shape[1], mine.shape[1] :], nan=-1.0)
    return Onlooker(other, layer.name, alike.argmax(1))


def measure_readability(
    preset: str,
    net: Net,
    beside: Onlooker,
    layer: Layer,
    pictures: Sequence[Inversion],
    trusts: Sequence[Trust],
    examples: Examples,
    bound: float,
) -> Readability:
    """The figures of the primitives of some filters, all of one preset, as the trust test found them."""
    channels = [*dict.fromkeys(each.filter.channel for each in pictures)]
    readable = {p.filter.channel: t.readable for p, t in zip(pictures, trusts, strict=True) if t.readable}
    made_of, others = parted(examples)
    own = unit_crops(net.classifier, layer, channels, others, OWN, SMALLEST)
    shown = unit_crops(net.classifier, layer, channels, made_of, SHOWN, SMALLEST)
    looking = observer(own, _seen_through(beside.net.classifier))
    side = shown[channels[0]][0].shape[0]
    through = [
        looking.readable(
            k,
            shown_windows(net.classifier, layer, [p for p in pictures if p.filter.channel == k], side),
            shown[k],
        )
        for k in channels
    ]
    last = TrustRules().last_rank(layer.channels)
    return Readability(
        preset,
        len(channels),
        float(np.mean([each.auroc for each in readable.values()])),
        float(np.mean([each.ceiling for each in readable.values()])),
        float(np.mean([each.auroc for each in through])),
        float(np.mean([each.ceiling for each in through])),
        _transfer(beside, pictures),
        float(np.mean([trust.rank <= last for trust in trusts])),
        float(np.median([trust.copy for trust in trusts if trust.copy is not None])),
        bound,
    )


def _seen_through(classifier: Classifier) -> Callable[[FloatArray], tuple[FloatArray, ...]]:
    """What an observer sees of a crop through a network: the energies of each of its stages."""
    names = [each.name for each in stages_of(layers_of(classifier))]

    def seen(crop: FloatArray) -> tuple[FloatArray, ...]:
        missing = [(0, max(0, LEAST_INPUT - length)) for length in crop.shape[:2]]
        large = np.pad(crop, [*missing, (0, 0)], "symmetric")
        x = torch.from_numpy(np.ascontiguousarray(large.transpose(2, 0, 1)[None], np.float32))
        with torch.no_grad(), tapped(classifier.network, names) as codes:
            found = codes(classifier.preprocessing.normalise(x.to(classifier.device)))
        return tuple(energies(code)[0].cpu().numpy() for code in found.values())

    return seen


def _transfer(beside: Onlooker, pictures: Sequence[Inversion]) -> float:
    """How far the counterpart of each picture's filter leads the other network's layer, 0 to 1."""
    standardised = fed_back(beside.net.classifier, beside.layer, beside.net.reference, pictures)
    mine = beside.counterpart[[each.filter.channel for each in pictures]]
    own = standardised[np.arange(len(mine)), mine][:, None]
    below = (standardised < own).sum(1) / (standardised.shape[1] - 1)
    return float(below.mean())
