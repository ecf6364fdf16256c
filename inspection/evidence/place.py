"""Where images differ: patches of errors set against patches of reference images, each wherever it lies.

Filters' energies and the look of whole images tell how much changed. Their patches tell where: what an error
holds that no reference image of its class holds under a change, and what those would hold that no error does.
A band of shadow that is to explain a dark line is refuted by the band, and a dimmer lamp by a background that
kept its light. Nobody has to mark a defect: as in memory banks of patches (Roth et al., Towards Total Recall
in Industrial Anomaly Detection, arXiv 2106.08265), a patch is as new as the nearest one known is far.

Two views are kept apart: the maps of the model's middle layer, and the images themselves without any network.

SciPy's trees are imported where they are asked, for that takes long.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d

from fmi_engine.probe import truncated
from fmi_engine.types import FloatArray, Layer
from inspection import tuning
from inspection.evidence.subject import Subject

LITTLE = 1e-3  # spread of an entry, in place of none
FEW = 16  # entries of a patch, at most, among which a tree finds the nearest sooner than comparing all
TOGETHER = 128  # patches that are compared with all others at a time: bounds the memory
LEAF = 48  # patches that such a tree compares one by one: 0.12 s a query in place of 0.16 with SciPy's 10

Views = tuple[FloatArray, ...]  # of each view the patches (images, places, entries)


@dataclass(frozen=True, slots=True)
class PlaceMatch:
    """How far patches of errors and of reference images are apart under a change, error by error."""

    left: FloatArray  # (views, errors): distance, in times the mean distance to unchanged reference images
    in_times: FloatArray  # (errors,): distance, in times that of the same error, the mean of the views

    @property
    def share(self) -> float:
        """How much of the distance the change takes away, the mean of the views: at most 1."""
        return float(1 - self.left.mean())

    @property
    def least(self) -> float:
        """The same in the view in which it is less."""
        return float(1 - self.left.mean(1).max())


@dataclass(frozen=True)
class Places:
    """Some errors and the unchanged reference images that are most like them, as patches."""

    subject: Subject
    errors: NDArray[np.uint8]  # (errors, height, width, channel)
    true: NDArray[np.int64]  # (errors,), classes
    unchanged: NDArray[np.uint8]  # the reference image most like each, of its class or the predicted

    def under(self, changed: NDArray[np.uint8]) -> PlaceMatch:
        """Set the errors against changed reference images (errors, height, width, channel), one for each."""
        distances = self._distances_to(describe_patches(self.subject, changed))
        before = np.maximum(self._before, LITTLE)
        return PlaceMatch(distances / before.mean(1, keepdims=True), (distances / before).mean(0))

    def where(self, changed: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Maps of what differs on each error, from the unchanged reference images and from changed ones.

        Both are (errors, rows, columns), as images look without the network, in the same unit.
        """
        height, width = (len(range(*_places(side, self.errors.shape))) for side in self.errors.shape[1:3])
        theirs = np.stack([_look(image) for image in changed])
        before, after = (
            self._by_class(nearest_apart, (self._of_errors[0], views), self._scales[0])
            for views in (self._of_unchanged[0], theirs)
        )
        return before.reshape(-1, height, width), after.reshape(-1, height, width)

    @cached_property
    def _before(self) -> FloatArray:
        return self._distances_to(self._of_unchanged)

    @cached_property
    def _of_errors(self) -> Views:
        return describe_patches(self.subject, self.errors)

    @cached_property
    def _of_unchanged(self) -> Views:
        return describe_patches(self.subject, self.unchanged)

    @cached_property
    def _scales(self) -> Views:
        """The spread of every entry over the patches of unchanged reference images."""
        return tuple(spreads(view) for view in self._of_unchanged)

    def _distances_to(self, views: Views) -> FloatArray:
        """Distances (views, errors) of patches, there and back, among the images of each class."""
        pairs = zip(self._of_errors, views, strict=True)
        return np.stack(
            [
                self._by_class(there_and_back, pair, scale)
                for pair, scale in zip(pairs, self._scales, strict=True)
            ]
        )

    def _by_class(
        self,
        measure: Callable[[FloatArray, FloatArray], FloatArray],
        pair: tuple[FloatArray, FloatArray],
        scale: FloatArray,
    ) -> FloatArray:
        """What is measured (errors, ...) between the patches of errors and of references, class by class."""
        ours, theirs = pair
        rows = [np.flatnonzero(self.true == label) for label in np.unique(self.true)]
        found = [measure(ours[mine] / scale, theirs[mine] / scale) for mine in rows]
        return np.asarray(np.concatenate(found)[np.argsort(np.concatenate(rows))])


def there_and_back(images: FloatArray, others: FloatArray) -> FloatArray:
    """How far the patches of images (images,) are from the nearest of the others, and the other way round."""
    if images.shape[2] <= FEW:
        there, back = nearest_apart(images, others), nearest_apart(others, images)
    else:
        there, back = _compared(images, others)
    return np.asarray(there.mean(1) + back.mean(1))


def spreads(view: FloatArray) -> FloatArray:
    """The spread of every entry (entries,) over patches (images, places, entries).

    An entry that hardly varies, such as a filter that is silent on them, counts as if it varied by the
    resolution of the one that varies most: it would rule every distance otherwise.
    """
    found = view.std((0, 1))
    return np.asarray(np.maximum(found, max(tuning.RESOLUTION * found.max(), LITTLE)), np.float32)


def nearest_apart(images: FloatArray, others: FloatArray) -> FloatArray:
    """The distance (images, places) of every patch of images to the nearest patch of any of the others."""
    count, places, entries = images.shape
    if entries > FEW:
        return _compared(images, others)[0]
    from scipy.spatial import KDTree

    ours, theirs = images.reshape(-1, entries), others.reshape(-1, entries)
    tree = KDTree(np.unique(theirs, axis=0), leafsize=LEAF)  # of equal ones it would ask each
    distances, _ = tree.query(ours)
    return np.asarray(distances, np.float32).reshape(count, places)


def _compared(images: FloatArray, others: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The same (images, places) and (others, places), both ways round, by comparing all patches once.

    |a - b|^2 = (-2 a, |a|^2, 1) . (b, 1, |b|^2), in double precision.
    """
    ours, theirs = (each.reshape(-1, each.shape[2]).astype(np.float64) for each in (images, others))
    rows = np.column_stack([-2 * ours, (ours**2).sum(1), np.ones(len(ours))])
    columns = np.vstack([theirs.T, np.ones(len(theirs)), (theirs**2).sum(1)])
    there, back = np.empty(len(ours)), np.full(len(theirs), np.inf)
    for start in range(0, len(rows), TOGETHER):
        squares = rows[start : start + TOGETHER] @ columns
        there[start : start + TOGETHER] = squares.min(1)
        np.minimum(back, squares.min(0), out=back)
    near, far = (np.sqrt(np.maximum(each, 0).astype(np.float32)) for each in (there, back))
    return near.reshape(images.shape[:2]), far.reshape(others.shape[:2])


def _places(side: int, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Where the places along a side of images (n, height, width, channel) lie: start, stop and step."""
    step = -(-max(shape[1:3]) // tuning.PATCH_GRID)
    return step // 2, side, step


def describe_patches(subject: Subject, images: NDArray[np.uint8]) -> Views:
    """The patches of images (n, height, width, channel): as they look, and in the model's middle layer."""
    look = np.stack([_look(image) for image in images])
    return look, _maps(subject, images)


def _look(image: NDArray[np.uint8]) -> FloatArray:
    """Level, bands from fine to coarse, steepness and colour around every place: (places, entries)."""
    light = image.astype(np.float32)
    grey = light.mean(2)
    levels = [grey, *(cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in tuning.PATCH_BLURS)]
    bands = [finer - coarser for finer, coarser in itertools.pairwise(levels)]
    steep = [
        np.hypot(*(cv2.Sobel(each, cv2.CV_32F, *way) for way in ((1, 0), (0, 1)))) for each in levels[1:3]
    ]
    entries = [levels[3], *bands, *steep]
    if image.shape[2] == 3:
        red, green, blue = (
            cv2.GaussianBlur(np.ascontiguousarray(light[..., c]), (0, 0), 2) for c in range(3)
        )
        entries += [red - green, blue - green]
    down, across = (slice(*_places(side, (1, *grey.shape))) for side in grey.shape)
    chosen = np.stack(entries, axis=-1)[down, across]
    return np.asarray(chosen.reshape(-1, chosen.shape[-1]), np.float32)


def _maps(subject: Subject, images: NDArray[np.uint8]) -> FloatArray:
    """The code of the middle layer, the mean of 3 x 3 places around each: (images, places, filters)."""
    layer, size = _middle(subject.layers, images.shape[1]), subject.settings.compute.batch_size
    step = -(-max(layer.height, layer.width) // tuning.PATCH_MAPS)
    rows = []
    with truncated(subject.classifier.network, layer.name) as code:
        for start in range(0, len(images), size):
            maps = code(subject.classifier.prepare(images[start : start + size]))
            around = avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)[..., ::step, ::step]
            rows.append(around.flatten(2).transpose(1, 2).cpu().numpy())
    return np.concatenate(rows)


def _middle(layers: tuple[Layer, ...], height: int) -> Layer:
    """The last layer whose maps are not much coarser than the image; the first where all are."""
    fine = [layer for layer in layers if layer.height * tuning.MIDDLE_LAYER >= height]
    return fine[-1] if fine else layers[0]
