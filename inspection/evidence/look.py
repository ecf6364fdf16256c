"""How images look, by themselves and without any network: a claim about the world must show here too."""

import hashlib
from dataclasses import dataclass
from threading import Lock

import cv2
import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from fmi_engine.reference import summarise
from fmi_engine.texture import ANGULAR_BINS, RADIAL_BINS, spectral_statistics
from fmi_engine.types import FloatArray, Images
from inspection import tuning
from inspection.inputs.labelled import Labelled

TOGETHER = 16  # images that are described at a time; of more, the arrays leave the cache
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BLOCK = 8  # pixels, of JPEG
GREY_LEVEL = 1 / 255  # of full scale; added before a logarithm: fainter light, or steps, are none


@dataclass(frozen=True, slots=True)
class Looks:
    """The normal look of each class."""

    mean: FloatArray  # (classes, entries of the descriptor)
    sigma: FloatArray  # (entries,): spread between images of one class
    weights: FloatArray  # (entries,): every group of entries has the same total

    def standardise(self, images: Images, true: NDArray[np.int64]) -> FloatArray:
        """The shift (images, entries) of images against the look of their true class, in sigma."""
        return np.asarray((describe_images(images) - self.mean[true]) / self.sigma, np.float32)


def normal_looks(correct: Labelled, classes: int, minimum_per_class: int) -> Looks:
    """Measure the look of correct reference images (a class with too few takes that of all)."""
    descriptors = describe_images(correct.images)
    normal = summarise(descriptors, descriptors, correct.labels, classes, minimum_per_class)
    sizes = [values.shape[1] for values in _groups(correct.images[:1]).values()]
    weights = np.concatenate([np.full(size, 1 / size / len(sizes)) for size in sizes])
    return Looks(normal.energy, normal.sigma, weights.astype(np.float32))


def describe_images(images: Images) -> FloatArray:
    """The descriptors (images, entries) of 8-bit images (images, height, width, channel).

    To the last bit, that of an image depends on no other: measurements are kept under a hash of them.
    """
    keys = [
        (hashlib.blake2b(image.tobytes(), digest_size=16).digest(), image.shape)
        for start in range(0, len(images), TOGETHER)
        for image in images[start : start + TOGETHER]
    ]
    with _LOCK:
        found = {key: _DESCRIBED[key] for key in keys if key in _DESCRIBED}
    missing = list({key: i for i, key in enumerate(keys) if key not in found}.items())
    for start in range(0, len(missing), TOGETHER):
        some = missing[start : start + TOGETHER]
        groups = _groups(images[np.array([i for _, i in some])])
        rows = np.concatenate(list(groups.values()), axis=1).astype(np.float32)
        found |= {key: row for (key, _), row in zip(some, rows, strict=True)}
    with _LOCK:
        _DESCRIBED.update((key, found[key]) for key, _ in missing)
    return np.stack([found[key] for key in keys])


# A night looks at the same images in its groups, its modes and their halves.
_DESCRIBED: LRUCache[tuple[bytes, tuple[int, ...]], FloatArray] = LRUCache(4096)
_LOCK = Lock()


def forget() -> None:
    """Forget the descriptors of images that were looked at, after what they rest on has changed."""
    with _LOCK:
        _DESCRIBED.clear()


def _groups(images: NDArray[np.uint8]) -> dict[str, FloatArray]:
    """The look of images (images, height, width, channel), by what each part (images, entries) tells."""
    light = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / np.float32(255)
    grey = np.asarray(light.mean(1), np.float32)
    spectrum = spectral_statistics(light)
    cells = RADIAL_BINS * ANGULAR_BINS
    groups = {
        "spectrum": spectrum[:, :cells],
        "level": spectrum[:, cells:],
        "direction": _direction(spectrum[:, :cells]),
        "field": _field(grey),
        "unevenness": _unevenness(grey),
        "tones": _tones(grey),
        "specks": _specks(grey),
        "blocks": _blocks(grey),
        "lines": _lines(grey),
    }
    return {**groups, "colour": _colour(light)} if light.shape[1] == 3 else groups


def _direction(spectra: FloatArray) -> FloatArray:
    """How much the spectrum (rings x sectors, logarithms) depends on direction, ring by ring."""
    spread = spectra.reshape(-1, RADIAL_BINS, ANGULAR_BINS).std(2)
    return np.asarray(spread[:, RADIAL_BINS // 2 :], np.float32)


def _block_means(grey: FloatArray, side: int) -> FloatArray:
    """The means (images, side * side) of blocks of each image."""
    small = [cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA).ravel() for each in grey]
    return np.asarray(np.stack(small), np.float32)


def _field(grey: FloatArray) -> FloatArray:
    """Where the light falls: the logarithm of 4 x 4 block means against the image's mean."""
    level = grey.mean((1, 2))[:, None]
    return np.asarray(np.log((_block_means(grey, 4) + GREY_LEVEL) / (level + GREY_LEVEL)))


def _unevenness(grey: FloatArray) -> FloatArray:
    """How unevenly, wherever: spread, highest and lowest of 8 x 8 block means against their median."""
    blocks = _block_means(grey, 8)
    stops = np.log((blocks + GREY_LEVEL) / (np.median(blocks, axis=1, keepdims=True) + GREY_LEVEL))
    return np.stack([stops.std(1), stops.max(1), stops.min(1)], axis=1)


def _tones(grey: FloatArray) -> FloatArray:
    """Quantiles of the grey values, and the logarithm of the shares that are burnt out and black."""
    clipped = np.stack([(grey >= 1 - GREY_LEVEL).mean((1, 2)), (grey <= GREY_LEVEL).mean((1, 2))], axis=1)
    quantiles = np.quantile(grey.reshape(len(grey), -1), QUANTILES, axis=1).T
    return np.concatenate([4 * quantiles, np.log(clipped + GREY_LEVEL)], axis=1)


def _specks(grey: FloatArray) -> FloatArray:
    """Noise or specks: the Laplacian's spread, median size, their ratio, kurtosis and skewness.

    Not at the border, whose look is a matter of what a blur takes to lie beyond it: a frame that is mirrored
    with its last pixel and one that is mirrored without it lay 2.8 sigma apart in kurtosis.
    """
    edges = np.stack([_inside(cv2.Laplacian(each, cv2.CV_32F)).ravel() for each in grey])
    spread, middle = edges.std(1) + 1e-3, np.median(np.abs(edges), axis=1) + 1e-3
    scaled = edges / spread[:, None]
    squares = scaled * scaled
    kurtosis, skewness = (squares * squares).mean(1), (squares * scaled).mean(1)
    return np.stack(
        [
            np.log(spread),
            np.log(middle),
            np.log(spread / middle),
            np.log(kurtosis + 1e-3),
            np.clip(skewness, -3, 3),
        ],
        axis=1,
    )


def _inside(image: FloatArray) -> FloatArray:
    """An image (height, width) without a margin of half a window."""
    height, width = image.shape
    margin = min(tuning.LOOK_WINDOW, height // 2, width // 2) // 2
    return image[margin : height - margin, margin : width - margin]


def _blocks(grey: FloatArray) -> FloatArray:
    """The blocks of JPEG: steps at every eighth pixel against the rest, mean steps, and flat pixels."""
    across, down = np.abs(np.diff(grey, axis=2)), np.abs(np.diff(grey, axis=1))
    found = []
    for steps in (across, down.transpose(0, 2, 1)):
        seam = (np.arange(steps.shape[2]) + 1) % BLOCK == 0
        at_seams = steps[..., seam] if seam.any() else steps
        found.append(np.log((_means(at_seams) + GREY_LEVEL) / (_means(steps[..., ~seam]) + GREY_LEVEL)))
    found += [np.log(_means(steps) + GREY_LEVEL) for steps in (across, down)]
    return np.stack([*found, np.log((across < GREY_LEVEL).mean((1, 2)) + GREY_LEVEL)], axis=1)


def _means(values: FloatArray) -> FloatArray:
    """The mean (images,) of what each image holds, added up in the same order however many there are."""
    return np.asarray(np.ascontiguousarray(values).reshape(len(values), -1).mean(1))


def _lines(grey: FloatArray) -> FloatArray:
    """Fixed lines: how much the means of rows and of columns vary from one to the next."""
    found = []
    for axis in (2, 1):
        means = grey.mean(axis)
        slow = np.stack([cv2.blur(each[:, None], (1, tuning.LOOK_WINDOW))[:, 0] for each in means])
        found.append(np.log((means - slow).std(1) + 1e-3))
    return np.stack(found, axis=1)


def _colour(light: FloatArray) -> FloatArray:
    """Red and blue against green, and the distance between the strongest and the weakest channel."""
    red, green, blue = (light.mean((2, 3)) + GREY_LEVEL).T
    vivid = (light.max(1) - light.min(1)).mean((1, 2)) + GREY_LEVEL
    return np.asarray(np.log(np.stack([red / green, blue / green, vivid], axis=1)))
