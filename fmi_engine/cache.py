"""Primitives kept on disk: a filter that is known costs nothing a second time."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from fmi_engine.errors import EngineError
from fmi_engine.types import FilterRef, Inversion, Layout

VERSION = "3"  # of the descent: a change of what it makes of the same settings is a new version


class Asked(Protocol):
    """What a picture was asked for: a filter, a source, a seed and a layout."""

    @property
    def filter(self) -> FilterRef: ...  # noqa: D102
    @property
    def source(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def layout(self) -> Layout: ...  # noqa: D102


class PrimitiveCache:
    """Inversions in a folder, one file each, named by the hash of all that made them.

    A file that cannot be read counts as absent and is made again. Raises EngineError where the folder
    cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def key(*parts: str) -> str:
        """The name under which an inversion is kept: the hash of everything that it depends on."""
        return hashlib.sha256("\n".join((VERSION, *parts)).encode()).hexdigest()

    def read(self, key: str, asked: Asked) -> Inversion | None:
        """The inversion kept under a key, for the job that asks, or None."""
        try:
            with self._path(key).open("rb") as file, np.load(file, allow_pickle=False) as held:
                image, residual = held["image"], float(held["residual"])
        except Exception:  # of damaged bytes, zipfile, zlib and NumPy raise nearly anything
            return None
        return Inversion(asked.filter, asked.source, asked.seed, image, residual, asked.layout)

    def write(self, key: str, inversion: Inversion) -> None:
        """Keep an inversion, as a whole or not at all."""
        path = self._path(key)
        temporary = path.with_name(f".{key}.{uuid4().hex}.npz")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(temporary, image=inversion.image, residual=np.float64(inversion.residual))
            os.replace(temporary, path)  # noqa: PTH105  (atomic where the folder is on one file system)
        except OSError as error:
            reason = error.strerror or error
            raise EngineError(f"the cache {self.folder} cannot be written to: {reason}") from None
        finally:
            with suppress(OSError):  # it is not there, or its folder is none
                temporary.unlink()

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npz"


def hash_images(images: NDArray[np.generic]) -> list[str]:
    """The SHA-256 of each array of a stack, of its shape, type and values."""
    return [
        hashlib.sha256(
            f"{each.shape}|{each.dtype}|".encode() + np.ascontiguousarray(each).tobytes()
        ).hexdigest()
        for each in images
    ]
