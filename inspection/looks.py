"""How images look, by themselves and without any network: a claim about the world must show here too."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fmi_engine.reference import summarise
from fmi_engine.texture import ANGULAR_BINS, RADIAL_BINS, spectral_statistics
from fmi_engine.types import FloatArray
from inspection.training import Labelled

Group = tuple[str, FloatArray]
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BLOCK = 8  # pixels, of JPEG
FAINT = 0.02  # of full scale; added to a brightness before its logarithm
FINE = 0.002  # of full scale; added to a difference between pixels before its logarithm
LINE_WIDTH = 9  # pixels; what varies more slowly across the lines is lighting
WHITEST, BLACKEST = 254 / 255, 1 / 255


@dataclass(frozen=True, slots=True)
class Looks:
    """The normal look of each class."""

    mean: FloatArray  # (classes, entries of the descriptor)
    sigma: FloatArray  # (entries,): spread between images of one class
    weights: FloatArray  # (entries,): every group of entries has the same total

    def standardise(self, images: NDArray[np.uint8], true: NDArray[np.int64]) -> FloatArray:
        """The shift (images, entries) of images against the look of their true class, in sigma."""
        return np.asarray((describe_images(images) - self.mean[true]) / self.sigma, np.float32)


def normal_looks(correct: Labelled, classes: int, minimum_per_class: int) -> Looks:
    """Measure the look of correct reference images (a class with too few takes that of all)."""
    descriptors = describe_images(correct.images)
    normal = summarise(descriptors, descriptors, correct.labels, classes, minimum_per_class)
    sizes = [len(values) for _, values in _groups(correct.images[0])]
    weights = np.concatenate([np.full(size, 1 / size / len(sizes)) for size in sizes])
    return Looks(normal.energy, normal.sigma, weights.astype(np.float32))


def describe_images(images: NDArray[np.uint8]) -> FloatArray:
    """The descriptors (images, entries) of 8-bit images (images, height, width, channel)."""
    return np.stack([_described(image.tobytes(), image.shape) for image in images])


@lru_cache(maxsize=4096)  # a night looks at the same images in its groups, its modes and their halves
def _described(data: bytes, shape: tuple[int, ...]) -> FloatArray:
    image = np.frombuffer(data, np.uint8).reshape(shape)
    return np.concatenate([values for _, values in _groups(image)]).astype(np.float32)


def _groups(image: NDArray[np.uint8]) -> list[Group]:
    """The look of one image (height, width, channel), by what each part of it tells."""
    light = np.asarray(image / np.float32(255), np.float32)
    grey = np.ascontiguousarray(light.mean(2))
    spectrum = spectral_statistics(light.transpose(2, 0, 1))
    cells = RADIAL_BINS * ANGULAR_BINS
    groups = [
        ("spectrum", spectrum[:cells]),
        ("level", spectrum[cells:]),
        ("direction", _direction(spectrum[:cells])),
        ("field", _field(grey)),
        ("unevenness", _unevenness(grey)),
        ("tones", _tones(grey)),
        ("specks", _specks(grey)),
        ("blocks", _blocks(grey)),
        ("lines", _lines(grey)),
    ]
    return [*groups, ("colour", _colour(light))] if light.shape[2] == 3 else groups


def _direction(spectrum: FloatArray) -> FloatArray:
    """How much the spectrum (rings x sectors, logarithms) depends on direction, ring by ring."""
    spread = spectrum.reshape(RADIAL_BINS, ANGULAR_BINS).std(1)
    return np.asarray(spread[RADIAL_BINS // 2 :], np.float32)


def _field(grey: FloatArray) -> FloatArray:
    """Where the light falls: the logarithm of 4 x 4 block means against the image's mean."""
    blocks = cv2.resize(grey, (4, 4), interpolation=cv2.INTER_AREA).ravel()
    return np.asarray(np.log((blocks + FAINT) / (grey.mean() + FAINT)))


def _unevenness(grey: FloatArray) -> FloatArray:
    """How unevenly, wherever: spread, highest and lowest of 8 x 8 block means against their median."""
    blocks = cv2.resize(grey, (8, 8), interpolation=cv2.INTER_AREA)
    stops = np.log((blocks + FAINT) / (np.median(blocks) + FAINT))
    return np.array([stops.std(), stops.max(), stops.min()])


def _tones(grey: FloatArray) -> FloatArray:
    """Quantiles of the grey values, and the logarithm of the shares that are burnt out and black."""
    clipped = [(grey >= WHITEST).mean(), (grey <= BLACKEST).mean()]
    return np.concatenate([4 * np.quantile(grey, QUANTILES), np.log(np.add(clipped, FINE))])


def _specks(grey: FloatArray) -> FloatArray:
    """Noise or specks: the Laplacian's spread, median size, their ratio, kurtosis and skewness."""
    edges = cv2.Laplacian(grey, cv2.CV_32F)
    spread, middle = float(edges.std()) + 1e-3, float(np.median(np.abs(edges))) + 1e-3
    scaled = edges / spread
    squares = scaled * scaled
    kurtosis, skewness = float((squares * squares).mean()), float((squares * scaled).mean())
    return np.array(
        [
            np.log(spread),
            np.log(middle),
            np.log(spread / middle),
            np.log(kurtosis + 1e-3),
            np.clip(skewness, -3, 3),
        ]
    )


def _blocks(grey: FloatArray) -> FloatArray:
    """The blocks of JPEG: steps at every eighth pixel against the rest, mean steps, and flat pixels."""
    across, down = np.abs(np.diff(grey, axis=1)), np.abs(np.diff(grey, axis=0))
    found = []
    for steps in (across, down.T):
        seam = (np.arange(steps.shape[1]) + 1) % BLOCK == 0
        at_seams = steps[:, seam] if seam.any() else steps
        found.append(np.log((at_seams.mean() + FINE) / (steps[:, ~seam].mean() + FINE)))
    found += [np.log(across.mean() + FINE), np.log(down.mean() + FINE)]
    return np.array([*found, np.log((across < 1 / 255).mean() + FAINT)])


def _lines(grey: FloatArray) -> FloatArray:
    """Fixed lines: how much the means of rows and of columns vary from one to the next."""
    found = []
    for axis in (1, 0):
        means = grey.mean(axis)[:, None]
        found.append(np.log(float((means - cv2.blur(means, (1, LINE_WIDTH))).std()) + 1e-3))
    return np.array(found)


def _colour(light: FloatArray) -> FloatArray:
    """Red and blue against green, and the distance between the strongest and the weakest channel."""
    red, green, blue = light.mean((0, 1)) + FAINT
    vivid = (light.max(2) - light.min(2)).mean() + FAINT
    return np.asarray(np.log([red / green, blue / green, vivid]))
