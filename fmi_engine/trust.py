"""The trust test: which texture primitives may be shown, and why the others may not.

Such pictures can mislead (Geirhos et al., Don't Trust Your Eyes, arXiv 2306.04719): a primitive is
withheld unless it passes every part.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from fmi_engine.classifier import Classifier
from fmi_engine.probe import resumption
from fmi_engine.reference import Reference, measure_energies
from fmi_engine.texture import agreement, auroc, describe, distances
from fmi_engine.types import FloatArray, Hinge, Inversion, Layer, Trust


def trust_test(
    classifier: Classifier,
    layer: Layer,
    reference: Reference,
    inversions: Sequence[Inversion],
    top_share: float = 0.01,
    least_agreement: float = 0.8,
    batch_size: int = 32,
    hinge: Hinge | None = None,
) -> list[Trust]:
    """Test the primitives of one layer; one verdict for each inversion whose layout is its source's.

    1. The network's right answers hinge on the layer (`hinge`, of `hinges_on`): in an untrained network
       they do not, and its filters show textures all the same.
    2. The filter is alive on the reference images.
    3. Fed back as an 8-bit image, its standardised energy ranks first, or within the top share, of its
       layer, and is above normal.
    4. Pictures of the filter from different sources and seeds resemble each other more than those of
       the layer's other filters (AUROC of the texture distance).
    5. So do its pictures from shuffled and constant maps, where there are such inversions: the texture is
       the filter's, and not the layout of the source.

    Parts 3 to 5 are judged by filter where they compare pictures: of a few pictures of noise one alone
    often scores high by chance.
    """
    primitives = [each for each in inversions if each.layout == "source"]
    if not primitives:
        return []
    controls = [each for each in inversions if each.layout != "source"]
    standardised = fed_back(classifier, layer, reference, primitives, batch_size)
    likeness = _Likeness(primitives, controls)
    live = reference.layers[layer.name].live
    most = max(1, int(top_share * layer.channels))
    return [
        _judge(row, each, likeness, bool(live[each.filter.channel]), most, least_agreement, hinge)
        for row, each in zip(standardised, primitives, strict=True)
    ]


def fed_back(
    classifier: Classifier,
    layer: Layer,
    reference: Reference,
    inversions: Sequence[Inversion],
    batch_size: int = 32,
) -> FloatArray:
    """The standardised energies (pictures, channels), in sigma, of the pictures as 8-bit images."""
    pictures = np.stack([each.image for each in inversions])
    eight_bit = np.round(pictures.transpose(0, 2, 3, 1) * 255).astype(np.uint8)
    energy, _, _ = measure_energies(classifier, [layer.name], eight_bit, batch_size, with_spread=False)
    normal = reference.layers[layer.name]
    return np.asarray((energy[layer.name] - normal.energy.mean(0)) / normal.sigma, np.float32)


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


def _judge(
    standardised: FloatArray,
    inversion: Inversion,
    likeness: _Likeness,
    live: bool,
    most: int,
    least: float,
    hinge: Hinge | None,
) -> Trust:
    channel = inversion.filter.channel
    own = float(standardised[channel])
    rank = int((standardised > own).sum()) + 1
    score, layout = likeness.agreement(channel), likeness.layout(channel)
    failed = [
        *([hinge.complaint] if hinge is not None and not hinge.holds else []),
        *([] if live else ["its filter is dead: it answers no reference image"]),
        *_feeding_complaints(rank, own, len(standardised), most),
        *_likeness_complaints(score, layout, least),
    ]
    return Trust(rank, own, inversion.residual, score, tuple(failed), layout)


def _feeding_complaints(rank: int, own: float, channels: int, most: int) -> list[str]:
    failed = []
    if rank > most:
        failed.append(f"fed back, its filter ranks {rank} of {channels} (needed: {most})")
    if own <= 0:
        failed.append(f"fed back, its filter stays at or below its normal energy ({own:.1f} sigma)")
    return failed


def _likeness_complaints(score: float, layout: float | None, least: float) -> list[str]:
    failed = []
    if np.isnan(score):
        failed.append("it has no second picture of its filter, or none of another, to be compared with")
    elif score < least:
        failed.append(f"its pictures agree by {score:.2f} (needed: {least:.2f})")
    if layout is not None and layout < least:
        failed.append(
            f"its texture is the layout of the source: from shuffled and constant maps it agrees by "
            f"{layout:.2f} (needed: {least:.2f})"
        )
    return failed


@torch.no_grad()
def hinges_on(
    classifier: Classifier,
    layer: Layer,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    batch_size: int = 32,
    seed: int = 0,
) -> Hinge:
    """Whether the network's right answers hinge on a layer: its codes are exchanged between images.

    `images` are labelled ones, right and wrong alike, (n, height, width, channel); only the layers after
    `layer` run twice. The fall in right answers is tested by McNemar's exact test, one-sided; and an exact
    binomial test asks whether the network is right oftener than the most frequent class is. By luck an
    untrained network may answer two classes so that exchanging its codes costs right answers; it does not
    beat that guess.
    """
    cut = resumption(classifier.network, layer.name)
    order = np.random.default_rng(seed).permutation(len(images))  # so that a batch mixes the classes
    before, after = [], []
    for rows in np.array_split(order, -(-len(images) // batch_size)):  # evenly: one alone has no other's code
        code, *values = cut.head(classifier.prepare(images[rows]))
        before.append(cut.tail(code, *values).argmax(1).cpu().numpy() == labels[rows])
        after.append(cut.tail(code.roll(1, 0), *values).argmax(1).cpu().numpy() == labels[rows])
    right, exchanged = np.concatenate(before), np.concatenate(after)
    lost, won = int((right & ~exchanged).sum()), int((exchanged & ~right).sum())
    p = float(stats.binomtest(lost, lost + won, alternative="greater").pvalue) if lost + won else 1.0
    guessed = int(np.bincount(labels).max())
    guess_p = stats.binomtest(int(right.sum()), len(images), guessed / len(images), alternative="greater")
    return Hinge(
        layer.name, len(images), int(right.sum()), int(exchanged.sum()), p, guessed, float(guess_p.pvalue)
    )
