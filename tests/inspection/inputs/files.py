"""Image files made in a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

NOISE: NDArray[np.uint8] = np.random.default_rng(7).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def encoded(suffix: str, image: NDArray[np.generic], *options: int) -> bytes:
    done, data = cv2.imencode(suffix, image, options)
    assert done
    return bytes(data)


def saved(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@contextmanager
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[Path], list[int]]]:
    """The files that are read whole inside the block, one entry a reading, and the bytes of each decoding."""
    read: list[Path] = []
    decoded: list[int] = []
    read_bytes, imdecode = Path.read_bytes, cv2.imdecode

    def reading(path: Path) -> bytes:
        read.append(path)
        return read_bytes(path)

    def decoding(data: NDArray[np.uint8], flags: int) -> Any:
        decoded.append(len(data))
        return imdecode(data, flags)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", reading)
        patch.setattr(cv2, "imdecode", decoding)
        yield read, decoded
