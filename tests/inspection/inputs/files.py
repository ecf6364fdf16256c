"""Image files made in a test."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

NOISE: NDArray[np.uint8] = np.random.default_rng(7).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def encoded(suffix: str, image: NDArray[np.generic], *options: int) -> bytes:
    done, data = cv2.imencode(suffix, image, options)
    assert done
    return bytes(data)


def saved(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
