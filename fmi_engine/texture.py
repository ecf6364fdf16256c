"""The distance between textures, and how surely pictures of one filter are told from those of others."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from torch import Tensor

from fmi_engine.types import FloatArray

RADIAL_BINS = 8
ANGULAR_BINS = 8
BANK = ((32, 7), (64, 3), (64, 3))  # filters and side of the kernels of each stage of the random bank
SMALLEST_CONTRAST = 0.02  # of values in 0 to 1: below it a picture is not stretched to full contrast
FAINT = 0.01  # added before the logarithm of a statistic


def describe(image: FloatArray) -> FloatArray:
    """What tells textures apart: `spectral_statistics` followed by `filter_statistics`.

    `image` is (channel, height, width) in 0 to 1.
    """
    return np.concatenate([spectral_statistics(image), filter_statistics(image)])


def spectral_statistics(image: FloatArray) -> FloatArray:
    """The spectrum of a picture (channel, height, width) in 0 to 1, blind to where its pattern lies.

    The logarithm of the mean spectral power in 8 octave-spaced rings by 8 directions of the channel
    mean, followed by the mean of each channel, in units of 8-bit contrast; a shift of the pattern
    changes nothing. Of pictures (..., channel, height, width), one row each.
    """
    grey = image.mean(-3)
    height, width = grey.shape[-2:]
    power = np.abs(fft.rfft2(grey - grey.mean((-2, -1), keepdims=True))) ** 2 / (height * width)
    rings = _ring_means(power, width)
    return np.concatenate([np.log(rings + 1e-6), 4 * image.mean((-2, -1))], axis=-1).astype(np.float32)


def _ring_means(power: NDArray[np.floating], width: int) -> NDArray[np.float64]:
    """Mean power (..., cells) of spectra (..., height, width // 2 + 1) of real pictures, one half of each."""
    cell, inside, weight, total = _cells(power.shape[-2], width)
    cells, pictures = RADIAL_BINS * ANGULAR_BINS, int(np.prod(power.shape[:-2]))
    rows = np.arange(pictures)[:, None] * cells + cell
    summed = np.bincount(rows.ravel(), (power[..., inside] * weight).ravel(), pictures * cells)
    return np.asarray(summed.reshape(*power.shape[:-2], cells) / np.maximum(total, 1))


@cache
def _cells(
    height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float32], NDArray[np.float64]]:
    """The ring and sector of each frequency inside the rings, which those are, and how much each counts.

    Of the half spectrum of a real picture: what stands for its mirror image, too, counts twice. The last are
    the sums of a cell.
    """
    fy, fx = np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij")
    radius = np.hypot(fx, fy)
    edges = np.geomspace(1.5 / max(height, width), 0.5, RADIAL_BINS + 1)
    ring = np.digitize(radius, edges) - 1
    sector = np.floor(np.mod(np.arctan2(fy, fx), np.pi) / np.pi * ANGULAR_BINS).astype(int) % ANGULAR_BINS
    inside = (ring >= 0) & (ring < RADIAL_BINS)
    cell = (ring * ANGULAR_BINS + sector)[inside]
    weight = np.where(fx == 0, 1, 2)[inside].astype(np.float32)
    total = np.bincount(cell, weight, RADIAL_BINS * ANGULAR_BINS).astype(np.float64)
    return cell, inside, weight, total


def filter_statistics(image: FloatArray) -> FloatArray:
    """Means and spreads of what a fixed bank of random filters answers to a picture, in logarithms.

    Three stages of random kernels, each followed by a ReLU and a maximum pooling by two; the picture is
    first brought to mean 0 and contrast 1. Random filters describe textures nearly as well as trained
    ones (Ustyuzhaninov et al., Texture Synthesis Using Shallow Convolutional Networks with Random
    Filters, arXiv 1606.00021), and they know nothing of the network under test.
    """
    x = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None]
    x = x - x.mean((2, 3), keepdim=True)  # first, for the colours' distance is no contrast
    x = x / x.std(correction=0).clamp_min(SMALLEST_CONTRAST)
    found = []
    for kernels in _bank(image.shape[0]):
        x = torch.nn.functional.conv2d(x, kernels, padding="same").relu()
        found += [x.mean((2, 3))[0], x.std((2, 3), correction=0)[0]]
        x = torch.nn.functional.max_pool2d(x, 2, ceil_mode=True)
        x = x / x.std(correction=0).clamp_min(1e-3)
    return np.asarray(torch.log(torch.cat(found) + FAINT).numpy(), np.float32)


@cache
def _bank(channels: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    kernels, before = [], channels
    for filters, side in BANK:
        drawn = torch.randn(filters, before, side, side, generator=generator)
        kernels.append(drawn / (before * side * side) ** 0.5)
        before = filters
    first = kernels[0] - kernels[0].mean((1, 2, 3), keepdim=True)  # blind to the level
    return (first, *kernels[1:])


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
