"""Texture in numbers: descriptors, the distance between textures, and the trust test of primitives."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fmi_engine.classifier import Classifier
from fmi_engine.reference import Reference, measure_energies
from fmi_engine.types import FloatArray, Inversion, Layer, Trust

RADIAL_BINS = 8
ANGULAR_BINS = 8


def describe(image: FloatArray) -> FloatArray:
    """The descriptor of a picture (channel, height, width) in 0 to 1, blind to where its pattern lies.

    The logarithm of the mean spectral power in 8 octave-spaced rings by 8 directions of the channel
    mean, followed by the mean of each channel, in units of 8-bit contrast; a shift of the pattern
    changes nothing.
    """
    grey = image.mean(0)
    power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2 / grey.size
    rings = _ring_means(power)
    return np.concatenate([np.log(rings + 1e-6), 4 * image.mean((1, 2))]).astype(np.float32)


def _ring_means(power: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = power.shape
    fy, fx = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    radius = np.hypot(fx, fy)
    edges = np.geomspace(1.5 / max(height, width), 0.5, RADIAL_BINS + 1)
    ring = np.digitize(radius, edges) - 1
    sector = np.floor(np.mod(np.arctan2(fy, fx), np.pi) / np.pi * ANGULAR_BINS).astype(int) % ANGULAR_BINS
    inside = (ring >= 0) & (ring < RADIAL_BINS)
    cell = (ring * ANGULAR_BINS + sector)[inside]
    total = np.bincount(cell, power[inside], RADIAL_BINS * ANGULAR_BINS)
    count = np.bincount(cell, minlength=RADIAL_BINS * ANGULAR_BINS)
    return np.asarray(total / np.maximum(count, 1))


def distances(descriptors: FloatArray) -> FloatArray:
    """Euclidean distances (n, n) between descriptors, each of whose entries is first standardised."""
    spread = descriptors.std(0)
    scaled = (descriptors - descriptors.mean(0)) / np.where(spread > 1e-6, spread, 1.0)
    return np.asarray(np.linalg.norm(scaled[:, None] - scaled[None], axis=-1), np.float32)


def agreement(distance: FloatArray, owner: Sequence[int]) -> FloatArray:
    """AUROC of each picture: how surely it is nearer to those of its own filter than to others'.

    `owner[i]` names the filter of picture i. 1 is always, 0.5 is chance; NaN where a picture has no
    companion or nothing to differ from.
    """
    owners = np.asarray(owner)
    scores = np.full(len(owners), np.nan, np.float32)
    for i in range(len(owners)):
        same = owners == owners[i]
        same[i] = False
        other = owners != owners[i]
        if same.any() and other.any():
            scores[i] = auroc(-distance[i, same], -distance[i, other])
    return scores


def auroc(positive: FloatArray, negative: FloatArray) -> float:
    """The chance that a positive scores above a negative, ties counted half (Mann and Whitney)."""
    above = positive[:, None] > negative[None]
    level = positive[:, None] == negative[None]
    return float((above + 0.5 * level).mean())


def trust_test(
    classifier: Classifier,
    layer: Layer,
    reference: Reference,
    inversions: Sequence[Inversion],
    top_share: float = 0.01,
    least_agreement: float = 0.8,
    batch_size: int = 32,
) -> list[Trust]:
    """Test the primitives of one layer: fed back, and set beside each other.

    Fed back, filter k's standardised energy must rank first, or within the top share, of its layer;
    primitives of one filter from different sources and seeds must resemble each other more than those of
    the other filters (`agreement`). A primitive without companions fails the second part.
    """
    pictures = np.stack([each.image for each in inversions])
    eight_bit = np.round(pictures.transpose(0, 2, 3, 1) * 255).astype(np.uint8)
    energy, _, _ = measure_energies(classifier, [layer.name], eight_bit, batch_size)
    normal = reference.layers[layer.name]
    standardised = (energy[layer.name] - normal.energy.mean(0)) / normal.sigma
    descriptors = np.stack([describe(each.image) for each in inversions])
    owners = np.array([each.filter.channel for each in inversions])
    by_picture = agreement(distances(descriptors), owners.tolist())
    # Judged by filter: of a few pictures of noise one alone often reaches a high score by chance.
    agreements = [by_picture[owners == owner].mean() for owner in owners]
    most = max(1, int(top_share * layer.channels))
    return [
        _judge(row, each, float(score), most, least_agreement)
        for row, each, score in zip(standardised, inversions, agreements, strict=True)
    ]


def _judge(
    standardised: FloatArray, inversion: Inversion, score: float, most: int, least_agreement: float
) -> Trust:
    own = float(standardised[inversion.filter.channel])
    rank = int((standardised > own).sum()) + 1
    failed = []
    if rank > most:
        failed.append(f"fed back, its filter ranks {rank} of {len(standardised)} (needed: {most})")
    if own <= 0:
        failed.append(f"fed back, its filter stays at or below its normal energy ({own:.1f} sigma)")
    if np.isnan(score):
        failed.append("it has no second picture of its filter, or none of another, to be compared with")
    elif score < least_agreement:
        failed.append(f"its pictures agree by {score:.2f} (needed: {least_agreement:.2f})")
    return Trust(rank, own, inversion.residual, score, tuple(failed))
