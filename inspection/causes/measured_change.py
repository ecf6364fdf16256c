"""What changed on failing images, measured on themselves: a pattern, textures, primitives, a tone curve.

A fixed pattern lies at the same place on every image of the night (dust on the lens, a lamp that failed on
one side, the columns of a camera); a residual texture lies anywhere (grain, noise, flicker), but for parts
that all lie alike, whose own shape is at the same place, too; so does a texture primitive, which is no
error's own but what over-active filters see on all of them; a tone curve lies nowhere, but gives every grey
level another (a bent response of the camera, a veil, an unknown gamma).
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from fmi_engine.types import FloatArray
from inspection import tuning
from inspection.evidence.failing_textures import FailingTextures
from inspection.inputs.labelled import Labelled
from inspection.operations.defect import standing_out
from inspection.recipes.overlays import (
    BLACK,
    FIXED_PATTERN,
    LEVELS,
    RESIDUAL_TEXTURE,
    TEXTURE_PRIMITIVE,
    TONE_CURVE,
    light_around,
    overlay,
    retone,
    shine,
)

Values = TypeVar("Values", NDArray[np.uint8], FloatArray)
BOTH = "fixed pattern and residual texture"
EITHER = f"{RESIDUAL_TEXTURE} or {TEXTURE_PRIMITIVE}"


class Parts(NamedTuple):
    """Which parts of a measured change are meant."""

    tones: bool = False
    pattern: bool = False
    residual: bool = False
    primitive: bool = False


PARTS = {
    FIXED_PATTERN: Parts(pattern=True),
    RESIDUAL_TEXTURE: Parts(residual=True),
    BOTH: Parts(pattern=True, residual=True),
    TONE_CURVE: Parts(tones=True),
    TEXTURE_PRIMITIVE: Parts(primitive=True),
    EITHER: Parts(residual=True, primitive=True),  # one of them on each image
}


@dataclass(frozen=True, slots=True)
class MeasuredChange:
    """What sets failing images apart from the normal ones of their classes.

    The pattern and the residuals are two parts of one change; the tones are another account of all of it, and
    the primitives another one of the residuals.
    """

    tones: FloatArray  # (256, channel), grey level that each grey level became
    pattern: FloatArray  # (height, width, channel), natural logarithm of light against normal light
    residuals: FloatArray  # (images, height, width, channel), grey levels on mid-grey, the pattern undone
    in_place: bool = False  # the parts lie alike: a residual is part of their change where it was found
    beyond: FloatArray | None = None  # (height, width, channel), of every frequency the share beyond normal
    primitives: FloatArray | None = None  # as the residuals, which stand for them where there are none
    filters: tuple[str, ...] = ()  # behind each of the primitives


def measure_change(
    images: NDArray[np.uint8], true: NDArray[np.int64], correct: Labelled, good: Collection[int] = ()
) -> MeasuredChange:
    """Part what failing images hold beside the normal into a fixed pattern and residuals; match their tones.

    `images` (n, height, width, channel) are errors of the classes `true`; the normal is that of correct
    images of the same classes. Where the classes `good` of parts without a defect are known, residuals are
    read off the background of all others: what stands out of it may be the defect, which is no texture to
    lay on other parts.
    """
    pattern = fixed_pattern(images, true, correct)
    undone = np.stack([shine(image, -pattern) for image in images])
    around = np.stack([light_around(image) for image in undone])
    normal = Labelled(without_defects(correct.images, correct.labels, good), correct.labels)
    plain = without_defects(undone, true, good)
    beyond = beyond_normal(plain, true, normal)
    residuals = passed(plain, beyond) / around
    return MeasuredChange(tone_curve(images, true, correct), pattern, residuals, lie_alike(correct), beyond)


def with_primitives(change: MeasuredChange, found: FailingTextures) -> MeasuredChange:
    """The same with the texture primitives of the failing images, as strong as the residuals are.

    What they hold that is normal is taken off them as it is off the images.
    """
    assert change.beyond is not None
    if not found.filters:
        return change
    fields = passed(found.pictures, change.beyond) / np.stack([light_around(each) for each in found.pictures])
    strength = np.sqrt(np.square(fields).mean((1, 2, 3), keepdims=True))
    wanted = np.sqrt(np.square(change.residuals).mean())
    primitives = np.asarray(fields * wanted / np.maximum(strength, 1e-6), np.float32)
    return replace(change, primitives=primitives, filters=found.filters)


def without_defects(images: Values, labels: NDArray[np.int64], good: Collection[int]) -> Values:
    """Images without what stands out of the background of parts that are not good."""
    if not good:
        return images
    found = images.copy()
    for row in np.flatnonzero(~np.isin(labels, list(good))):
        detail, sure = standing_out(np.rint(images[row]).astype(np.uint8))
        found[row] = np.clip(np.rint(images[row] - sure * detail), 0, 255)
    return found


def lie_alike(correct: Labelled) -> bool:
    """Whether the mean images of their classes hold most of what varies over correct images.

    A cell has its corners and its busbars at the same place as any other (the mean of a class holds .5 to
    .8); a strip of steel has nothing there (.2 at most), and a ball screw little (.4). The mean of n images
    holds 1 / n of what each has for itself: that is taken off. A recipe moves residuals all the same: cells
    from mono to poly, right of 260 unseen with the recipe alone .45 in place, .50 moved, .49 with both.
    """
    counts = np.bincount(correct.labels)[correct.labels]
    few = correct.subset(np.flatnonzero(counts > 1))
    if not len(few):
        return False
    away = few.images - few.images.mean((1, 2), keepdims=True, dtype=np.float32)
    own = away - _class_means(away, few.labels, few.labels)[few.labels]
    counts = np.bincount(few.labels)[few.labels]
    by_itself = float(((own**2).mean((1, 2, 3)) * counts / (counts - 1)).mean())
    return by_itself < (1 - tuning.MOSTLY) * float((away**2).mean())


def apply_measured(
    images: NDArray[np.uint8], change: MeasuredChange, parts: Parts, seed: int = 0
) -> NDArray[np.uint8]:
    """Images under a measured change: each with its tones, the pattern, one of the residuals or primitives.

    A texture is moved at random, but a residual of parts that lie alike.
    """
    rng = np.random.default_rng(seed)
    changed = []
    for i, image in enumerate(images):
        if parts.tones:
            image = retone(image, change.tones)
        if parts.pattern:
            image = np.rint(shine(image, change.pattern)).astype(np.uint8)
        kinds = _textures(change, parts)
        if kinds:
            textures, in_place = kinds[i % len(kinds)]
            texture = textures[i // len(kinds) % len(textures)]
            if not in_place:
                moved = tuple(int(rng.integers(side)) for side in texture.shape[:2])
                texture = np.roll(texture, moved, (0, 1))
            image = overlay(image, texture)
        changed.append(image)
    return np.stack(changed)


def _textures(change: MeasuredChange, parts: Parts) -> list[tuple[FloatArray, bool]]:
    """The kinds of textures of which each image is given one, and whether they stay where they were found."""
    kinds = []
    if parts.residual or (parts.primitive and change.primitives is None):
        kinds.append((change.residuals, change.in_place))
    if parts.primitive and change.primitives is not None:
        kinds.append((change.primitives, False))
    return kinds


def tone_curve(images: NDArray[np.uint8], true: NDArray[np.int64], correct: Labelled) -> FloatArray:
    """The grey level that each normal grey level became on the failing images: (256, channel).

    Histogram specification (Gonzalez and Woods, Digital Image Processing, 3.3.2), channel by channel:
    curve(v) = F_failing^-1(F_normal(v)) with the cumulative histograms F, the normal one of the errors' mix
    of classes. Beyond the 1 % darkest and brightest normal pixels curve(v) - v stays what it is there.
    """
    normal = _class_means(_histograms(correct.images), correct.labels, true)[true].mean(0)
    failing = _histograms(images).mean(0)
    matched = [_matched(*pair) for pair in zip(normal.T, failing.T, strict=True)]
    return np.stack(matched, axis=-1).astype(np.float32)


def _histograms(images: NDArray[np.uint8]) -> FloatArray:
    """How many pixels of each image have each grey level: (images, 256, channel)."""
    count, _, _, channels = images.shape
    counts = [cv2.calcHist([image], [c], None, [256], [0, 256]) for image in images for c in range(channels)]
    return np.asarray(counts, np.float32).reshape(count, channels, 256).transpose(0, 2, 1)


def _matched(normal: FloatArray, failing: FloatArray) -> NDArray[np.float64]:
    """The tone curve (256,) between two histograms (256,).

    Level v has the pixels of the shares F(v - 1) to F(v), and F_failing^-1 is the mean level of the failing
    pixels of those shares: equal histograms give no change whatever gaps and peaks they have, and a level
    that several became is met exactly. A level that no normal pixel has lies between its neighbours.
    """
    levels = LEVELS[:, 0].astype(np.float64)
    of_normal, of_failing = (each / each.sum(dtype=np.float64) for each in (normal, failing))
    share = np.cumsum(of_normal)
    light = np.cumsum(of_failing * levels)  # of the pixels up to each level
    reached = np.interp(share, [0.0, *np.cumsum(of_failing)], [0.0, *light])  # of the failing pixels up to it
    seen = normal > 0
    became = np.diff(reached[seen], prepend=0.0) / np.diff(share[seen], prepend=0.0)
    curve = np.maximum.accumulate(np.interp(levels, levels[seen], became))
    ends = np.clip(np.arange(256), *np.searchsorted(share, (tuning.RESOLUTION, 1 - tuning.RESOLUTION)))
    return np.clip(curve[ends] + levels - levels[ends], 0, 255)


def fixed_pattern(images: NDArray[np.uint8], true: NDArray[np.int64], correct: Labelled) -> FloatArray:
    """How much lighter or darker than normal each place is on all the images, as a natural logarithm.

    The mean over the images of log(image) - mean log(correct images of its class). Each of its cosine
    frequencies is shrunk by the power that the mean of as many correct images has there by chance
    (a Wiener filter: Wiener, Extrapolation, Interpolation, and Smoothing of Stationary Time Series, 1949).
    """
    logs = np.asarray(np.log(correct.images + BLACK), np.float32)
    means = _class_means(logs, correct.labels, true)
    within = logs - _class_means(logs, correct.labels, correct.labels)[correct.labels]
    mean = (np.log(images + BLACK) - means[true]).mean(0)
    spectrum = fft.dctn(mean, axes=(0, 1), norm="ortho")
    by_chance = _smooth((fft.dctn(within, axes=(1, 2), norm="ortho") ** 2).mean(0)) / len(images)
    ratio = _smooth(spectrum**2) / np.maximum(by_chance, 1e-9)
    kept = spectrum * np.maximum(0.0, 1.0 - tuning.BEYOND_CHANCE / np.maximum(ratio, 1e-9))
    return np.asarray(fft.idctn(kept, axes=(0, 1), norm="ortho"), np.float32)


def beyond_normal(images: FloatArray, true: NDArray[np.int64], correct: Labelled) -> FloatArray:
    """The share of each cosine frequency of failing images beyond normal, 0 to 1: (height, width, channel).

    The gain of a Wiener filter, W^2 = 1 - 1.5 / ratio, of the mean power spectrum of the images and that of
    correct images of the same classes; of what is coarser than texture nothing. An image that passes it keeps
    what it holds beside the normal, in grey levels, wherever that lies: phases stay, so lines stay lines and
    specks stay specks. The cosine transform has no seam at the border.
    """
    normal = np.asarray(
        fft.dctn(correct.images.astype(np.float32), axes=(1, 2), norm="ortho") ** 2, np.float32
    )
    expected = _class_means(normal, correct.labels, true)[true].mean(0)
    spectra = fft.dctn(images.astype(np.float32), axes=(1, 2), norm="ortho")
    ratio = _smooth((spectra**2).mean(0)) / np.maximum(_smooth(expected), 1e-6)
    gain = np.sqrt(np.maximum(0.0, 1.0 - tuning.BEYOND_CHANCE / np.maximum(ratio, 1e-6)))
    gain[_radius(gain) < tuning.COARSEST] = 0.0
    return np.asarray(gain, np.float32)


def passed(images: FloatArray, gain: FloatArray) -> FloatArray:
    """Images (n, height, width, channel) with every cosine frequency multiplied by a gain."""
    spectra = fft.dctn(images.astype(np.float32), axes=(1, 2), norm="ortho")
    return np.asarray(fft.idctn(spectra * gain, axes=(1, 2), norm="ortho"), np.float32)


def _class_means(values: FloatArray, labels: NDArray[np.int64], wanted: NDArray[np.int64]) -> FloatArray:
    """The mean of each class (classes, ...); of a class without images that of all."""
    everybody = values.mean(0)
    classes = range(int(max(max(wanted), labels.max())) + 1)
    return np.stack([values[labels == c].mean(0) if (labels == c).any() else everybody for c in classes])


def _radius(spectrum: FloatArray) -> FloatArray:
    """How many cosine periods each entry of a spectrum (height, width, ...) has, whatever its direction."""
    down, across = np.meshgrid(*(np.arange(side) for side in spectrum.shape[:2]), indexing="ij")
    return np.asarray(np.hypot(down, across), np.float32)


def _smooth(power: FloatArray) -> FloatArray:
    """Mean over each frequency and its eight neighbours: few images make a rough spectrum."""
    return np.stack([cv2.blur(power[..., c], (3, 3)) for c in range(power.shape[-1])], axis=-1)
