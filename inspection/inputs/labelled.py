"""Labelled images in memory: decoded in order, and drawn the same for the same seed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmi_engine.classifier import Preprocessing
from inspection.inputs.images import AS_STORED, Reading, each_read, read_image
from inspection.progress import Progress


@dataclass(frozen=True, slots=True)
class Labelled:
    """Decoded images with their class indices."""

    images: NDArray[np.uint8]  # (n, height, width, channel)
    labels: NDArray[np.int64]  # (n,)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def digest(self) -> bytes:
        """The SHA-256 of images and labels, read where they lie: a copy would take as much memory again."""
        held = hashlib.sha256(np.ascontiguousarray(self.images).data)
        held.update(np.ascontiguousarray(self.labels).data)
        return held.digest()

    def subset(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> "Labelled":
        """Some of the images, by position or mask."""
        return Labelled(self.images[index], self.labels[index])


def load_images(
    paths: Sequence[Path],
    preprocessing: Preprocessing,
    progress: Progress = None,
    how: Reading = AS_STORED,
) -> NDArray[np.uint8]:
    """Decode images to the network's size and channels, in order. Raises ImageError."""
    size = (preprocessing.height, preprocessing.width)

    def read(path: Path) -> NDArray[np.uint8]:
        return read_image(path, size, preprocessing.channels, how)

    images = list(each_read(read, paths, progress))
    return np.stack(images) if images else np.zeros((0, *size, preprocessing.channels), np.uint8)


def sample(count: int, most: int, seed: int) -> NDArray[np.int64]:
    """Positions of at most `most` of `count` things, the same for the same seed."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


def evenly(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Positions of about `count` images, as even over the classes as the classes allow."""
    order = np.argsort([(labels[:i] == labels[i]).sum() for i in range(len(labels))], kind="stable")
    return np.sort(order[:count])
