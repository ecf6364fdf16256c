"""Which logged errors belong together, and folds in which none of a group is trained on and judged."""

from collections.abc import Sequence

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from inspection.findings import LoggedError

# Bits of 64 in which the perceptual hashes of two pictures of one part differ at most. Of 250 parts each of
# steel, cells, paper and ball screws 0 to 3 % have another part so near, and a picture of the same part with
# 2 pixels' shift, 3 % of brightness and noise of 3 grey levels is found in 26 to 62 % (96 px); at 8 bits
# 69 to 94 % are, with 25 % of the cells.
ALIKE = 4
FOLDS = 3  # trainings of an arm; each is shown two thirds of the groups


def groups_of(errors: Sequence[LoggedError], images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The group of every image, from 0: of one part, one lot, or pictures that are nearly the same.

    Lots count where the errors are of at least as many as there are folds: else they would leave nothing to
    judge by. `images` is (n, height, width, channel): the errors', and others of which nothing is known.
    """
    lots = [error.context.lot for error in errors]
    by_lot = None not in lots and len(set(lots)) >= FOLDS
    same = _alike(images)
    for named in ([error.context.serial for error in errors], lots if by_lot else []):
        same[: len(named), : len(named)] |= _equal(named) if named else False
    rows, columns = np.nonzero(same)
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=same.shape)
    return connected_components(graph, directed=False)[1].astype(np.int64)


def folds_of(labels: NDArray[np.int64], groups: NDArray[np.int64], seed: int) -> list[NDArray[np.int64]]:
    """The rows that each fold judges, with the classes as even over the folds as the groups allow.

    Empty where all errors are of one group.
    """
    count = min(FOLDS, len(np.unique(groups)))
    if count < 2:
        return []
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    rows = np.zeros(len(labels))
    found = [judged for _, judged in splitter.split(rows, _common(labels, count), groups)]
    return [judged for judged in found if len(judged)]


def _common(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Labels, with classes of fewer errors than there are folds, which cannot be spread, as the largest."""
    sizes = np.bincount(labels)
    return np.where(sizes[labels] < count, sizes.argmax(), labels)


def _alike(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(errors, errors): whether the perceptual hashes are nearly the same."""
    grey = images.mean(3).round().astype(np.uint8)
    hashes = np.array([imagehash.phash(Image.fromarray(each)).hash.ravel() for each in grey], np.float32)
    apart = hashes @ (1 - hashes).T
    found: NDArray[np.bool_] = apart + apart.T <= ALIKE
    return found


def _equal(names: Sequence[str | None]) -> NDArray[np.bool_]:
    """(errors, errors): whether both have a name, and the same."""
    known = np.array([name is not None for name in names])
    text = np.array([name or "" for name in names])
    found: NDArray[np.bool_] = (text[:, None] == text) & known[:, None] & known
    return found
