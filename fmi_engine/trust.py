"""The trust test: which texture primitives may be shown, and why the others may not.

Such pictures can mislead (Geirhos et al., Don't Trust Your Eyes, arXiv 2306.04719): a primitive is
withheld unless it passes every part.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from fmi_engine.chance import at_least
from fmi_engine.classifier import Classifier
from fmi_engine.errors import EngineError
from fmi_engine.jury import Jury
from fmi_engine.probe import cut_at
from fmi_engine.reference import Batch, LayerReference, Reference, measure_energies
from fmi_engine.texture import agreement, auroc, describe, distances
from fmi_engine.types import (
    ABLATION_SIGNIFICANCE,
    AblationCheck,
    Failure,
    FloatArray,
    Inversion,
    Layer,
    Readable,
    Trust,
    TrustPart,
)


@dataclass(frozen=True, slots=True)
class TrustRules:
    """What the trust test asks for."""

    top_share: float = 0.01  # of the layer's filters: within it the filter has to rank, or first
    agreement: float = 0.8  # least AUROC of a filter's pictures, and of its controls

    def last_rank(self, channels: int) -> int:
        """The last rank that passes in a layer of that many filters."""
        return max(1, int(self.top_share * channels))


def trust_test(
    classifier: Classifier,
    reference: Reference,
    inversions: Sequence[Inversion],
    rules: TrustRules = TrustRules(),
    ablation: AblationCheck | None = None,
    jury: Jury | None = None,
    batch_size: int = 32,
) -> list[Trust]:
    """Test the primitives of one layer; one verdict for each inversion whose layout is its source's.

    1. The network's right answers depend on the layer (`ablation`, of `check_ablation`): in an untrained
       network they do not, and its filters show textures all the same.
    2. The filter is alive on the reference images.
    3. Fed back as an 8-bit image, its standardised energy ranks first, or within the top share, of its
       layer, and is above normal.
    4. Pictures of the filter from different sources and seeds resemble each other more than those of
       the layer's other filters (AUROC of the texture distance).
    5. So do its pictures from shuffled and constant maps, where there are such inversions: the texture is
       the filter's, and not the layout of the source.
    6. Somebody who sees them knows the real crops that excite the filter, at least half as surely as from
       other real crops, and beyond chance (Mann-Whitney, one-sided, 5 %): where a jury judges.
    7. It is no copy: the places of real images are less like it than some real crop is like another part.

    Parts 4 to 6, which compare pictures, are judged by filter: of a few pictures of noise one alone often
    scores high by chance. Raises EngineError where the inversions are of several layers.
    """
    primitives = [each for each in inversions if each.layout == "source"]
    if not primitives:
        return []
    layer = _only_layer(inversions)
    controls = [each for each in inversions if each.layout != "source"]
    seen: dict[int, Readable] = {}
    for channel in dict.fromkeys(each.filter.channel for each in primitives) if jury else ():
        assert jury is not None
        seen[channel] = jury.readable(classifier, [p for p in primitives if p.filter.channel == channel])
    copies = [jury.copy(classifier, each) for each in primitives] if jury else [None] * len(primitives)
    judge = _Judge(reference.layers[layer], _Likeness(primitives, controls), rules, ablation, seen, jury)
    standardised = fed_back(classifier, layer, reference, primitives, batch_size)
    return [judge.verdict(*each) for each in zip(standardised, primitives, copies, strict=True)]


def _only_layer(inversions: Sequence[Inversion]) -> str:
    layers = [*dict.fromkeys(each.filter.layer for each in inversions)]
    if len(layers) > 1:
        raise EngineError(f"inversions of the layers {', '.join(layers)} given; expected those of one")
    return layers[0]


def fed_back(
    classifier: Classifier,
    layer: str,
    reference: Reference,
    inversions: Sequence[Inversion],
    batch_size: int = 32,
) -> FloatArray:
    """The standardised energies (pictures, channels), in sigma, of the pictures as 8-bit images."""
    pictures = np.stack([each.image for each in inversions])
    eight_bit = np.round(pictures.transpose(0, 2, 3, 1) * 255).astype(np.uint8)
    energy, _, _ = measure_energies(classifier, [layer], eight_bit, batch_size, with_spread=False)
    normal = reference.layers[layer]
    return np.asarray((energy[layer] - normal.energy.mean(0)) / normal.sigma, np.float32)


class _Likeness:
    """How surely each filter's pictures are told from those of the others."""

    def __init__(self, primitives: Sequence[Inversion], controls: Sequence[Inversion]) -> None:
        self.owners = np.array([each.filter.channel for each in primitives])
        self.control_owners = np.array([each.filter.channel for each in controls])
        distance = distances(np.stack([describe(each.image) for each in (*primitives, *controls)]))
        count = len(primitives)
        self.by_picture = agreement(distance[:count, :count], self.owners.tolist())
        self.across = distance[count:, :count]

    def agreement(self, channel: int) -> float:
        """The AUROC of nearness over the pictures of one filter."""
        return float(self.by_picture[self.owners == channel].mean())

    def layout(self, channel: int) -> float | None:
        """The same of its pictures from shuffled and constant maps; None where there are none."""
        rows = self.across[self.control_owners == channel]
        mine = self.owners == channel
        if not len(rows) or mine.all():
            return None
        return float(np.mean([auroc(-row[mine], -row[~mine]) for row in rows]))


@dataclass(frozen=True, slots=True)
class _Judge:
    """Decides every part of the trust test for the primitives of a layer."""

    normal: LayerReference
    likeness: _Likeness
    rules: TrustRules
    ablation: AblationCheck | None
    readable: Mapping[int, Readable]  # by channel
    jury: Jury | None

    def verdict(self, standardised: FloatArray, inversion: Inversion, copy: float | None) -> Trust:
        """Of one primitive, whose fed-back energies (channels,) are given in sigma."""
        channel = inversion.filter.channel
        own = float(standardised[channel])
        trust = Trust(
            rank=int((standardised > own).sum()) + 1,
            channels=len(standardised),
            energy=own,
            residual=inversion.residual,
            agreement=self.likeness.agreement(channel),
            layout=self.likeness.layout(channel),
            ablation=self.ablation,
            readable=self.readable.get(channel),
            copy=copy,
        )
        return replace(trust, failed=(*self._failures_of_filter(channel), *self._failures(trust)))

    def _failures_of_filter(self, channel: int) -> Iterator[Failure]:
        if self.ablation is not None and not self.ablation.holds:
            yield Failure(TrustPart.ABLATION, self.ablation.chance, ABLATION_SIGNIFICANCE)
        if not self.normal.live[channel]:
            varies = float(self.normal.varies[channel])
            yield Failure(TrustPart.ALIVE, varies, self.normal.dead_below)

    def _failures(self, trust: Trust) -> Iterator[Failure]:
        last, least = self.rules.last_rank(trust.channels), self.rules.agreement
        if trust.rank > last:
            yield Failure(TrustPart.RANK, trust.rank, last)
        if trust.energy <= 0:
            yield Failure(TrustPart.ENERGY, trust.energy, 0.0)
        if not trust.agreement >= least:  # nor where it is not a number: nothing to compare with
            yield Failure(TrustPart.AGREEMENT, trust.agreement, least)
        if trust.layout is not None and trust.layout < least:
            yield Failure(TrustPart.LAYOUT, trust.layout, least)
        if trust.readable is not None:
            readable = trust.readable
            if not readable.auroc > readable.needed:
                yield Failure(TrustPart.READABLE, readable.auroc, readable.needed)
        if trust.copy is not None and self.jury is not None and trust.copy > self.jury.bound:
            yield Failure(TrustPart.COPY, trust.copy, self.jury.bound)


@torch.no_grad()
def check_ablation(
    classifier: Classifier,
    layer: Layer,
    labelled: Batch,
    batch_size: int = 32,
    seed: int = 0,
) -> AblationCheck:
    """Whether the network's right answers depend on a layer: its codes are exchanged between images.

    An ablation by permutation, as in Breiman, Random Forests, 2001: the codes are real, of other images.

    `labelled` are images (n, height, width, channel) and their classes, right and wrong alike; only the
    layers after `layer` run twice. The fall in right answers is tested by McNemar's exact test, one-sided;
    and an exact binomial test asks whether the network is right oftener than the most frequent class is. By
    luck an untrained network may answer two classes so that exchanging its codes costs right answers; it
    does not beat that guess.
    """
    images, labels = labelled
    cut = cut_at(classifier, layer.name)
    order = np.random.default_rng(seed).permutation(len(images))  # so that a batch mixes the classes
    before, after = [], []
    for rows in np.array_split(order, -(-len(images) // batch_size)):  # evenly: one alone has no other's code
        code, *values = cut.head(classifier.prepare(images[rows]))
        before.append(cut.tail(code, *values).argmax(1).cpu().numpy() == labels[rows])
        after.append(cut.tail(code.roll(1, 0), *values).argmax(1).cpu().numpy() == labels[rows])
    right, exchanged = np.concatenate(before), np.concatenate(after)
    lost, won = int((right & ~exchanged).sum()), int((exchanged & ~right).sum())
    p = at_least(lost, lost + won, 0.5)
    guessed = int(np.bincount(labels).max())
    guess_p = at_least(int(right.sum()), len(images), guessed / len(images))
    return AblationCheck(layer.name, len(images), int(right.sum()), int(exchanged.sum()), p, guessed, guess_p)
