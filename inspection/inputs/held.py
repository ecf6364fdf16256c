"""What a night holds of its errors while it runs, on disk: their images as the network takes them, and blame.

A step is told which errors it is about, by position, and reads those that it looks at: however many there
are, none hands their images to another, and none has all of them in memory. The files lie beside what the
night's other steps keep, are whole or not there, and go when the night has ended.
"""

import math
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from fmi_engine.types import Screening
from inspection.errors import ImageError
from inspection.workspace.files import replacing
from inspection.workspace.folder import Workspace

BATCH = 256  # errors screened in one step, and kept in one file
IMAGES = "images.raw"  # one after the other, uncompressed


@dataclass(frozen=True, slots=True)
class HeldImages:
    """The images of some errors, in a file; those are read that are asked for, by position."""

    path: Path
    shape: tuple[int, int, int]  # of an image: height, width, channel
    rows: NDArray[np.int64]  # where they stand in the file

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Some of the images (images, height, width, channel), read into memory."""
        rows = self.rows[which]
        if not len(rows):
            return np.zeros((0, *self.shape), np.uint8)
        with _there(self.path):
            return np.array(np.memmap(self.path, np.uint8, "r").reshape(-1, *self.shape)[rows])

    def part(self, which: slice | NDArray[np.int64]) -> "HeldImages":
        """Some of them, still in the file."""
        return HeldImages(self.path, self.shape, self.rows[which])


@dataclass(slots=True)
class ImageFile:
    """A file that images are written to, one after the other, as the network takes them."""

    path: Path  # where it lies once it is whole
    shape: tuple[int, int, int]  # of an image: height, width, channel
    file: BinaryIO
    count: int = 0

    def keep(self, image: NDArray[np.uint8]) -> int:
        """Write one more image; returns where it stands."""
        self.file.write(image.tobytes())
        self.count += 1
        return self.count - 1

    def make_room(self, count: int) -> Path:
        """Make room for so many images; returns the file that they are written to."""
        self.file.truncate(count * math.prod(self.shape))
        return Path(self.file.name)

    def go_to(self, place: int) -> None:
        """Go on at a place of the room that was made; other processes may write elsewhere meanwhile."""
        self.file.seek(place * math.prod(self.shape))
        self.count = place


@dataclass(frozen=True, slots=True)
class HeldErrors:
    """Where the errors of a night lie while it runs."""

    every: HeldImages  # of the errors, in order

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.every.path.parent

    def images(self, rows: NDArray[np.int64]) -> HeldImages:
        """The images of some of the errors, by position."""
        return self.every.part(rows)

    def keep_screening(self, first: int, screening: Screening) -> None:
        """Keep the screening of a batch of errors, which begins with the error at a position."""
        with replacing(self._screening_at(first)) as temporary, temporary.open("wb") as file:
            np.save(file, _records(screening))

    def screening(self, rows: NDArray[np.int64]) -> Screening:
        """The screening of some of the errors, by position. Raises ImageError where it is gone."""
        batches, found = rows // BATCH, None
        for batch in np.unique(batches):
            mine = batches == batch
            with _there(path := self._screening_at(batch * BATCH)):
                some = np.load(path, mmap_mode="r")[rows[mine] - batch * BATCH]
            found = np.empty(len(rows), some.dtype) if found is None else found
            found[mine] = some
        assert found is not None, "of no error there is no screening"
        return _screening(found)

    def _screening_at(self, first: int) -> Path:
        return self.folder / f"screening-{first:08d}.npy"


@contextmanager
def hold(workspace: Workspace, night_id: str, shape: tuple[int, int, int]) -> Iterator[ImageFile]:
    """Begin to hold a night's errors anew, and lend the file of their images."""
    let_go(workspace, (night_id,))
    folder = workspace.held_errors / f"{night_id}-{uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    try:
        with replacing(folder / IMAGES) as temporary, temporary.open("wb") as file:
            yield ImageFile(folder / IMAGES, shape, file)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def let_go(workspace: Workspace, nights: Collection[str]) -> None:
    """Remove what is held of the errors of nights, half-written or whole."""
    for folder in workspace.held_of(nights):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _there(path: Path) -> Iterator[None]:
    """Say what to do where a file is gone that an earlier step of the night wrote."""
    try:
        yield
    except FileNotFoundError:
        raise ImageError(
            f"{path} is gone, which this night wrote and still needs; run the night with --again"
        ) from None


# --- a screening as records, one an error ---


def _records(screening: Screening) -> NDArray[Any]:
    kinds = [(kind, _of_layers(values)) for kind, values in _by_layer(screening)]
    single = [("margin", np.float32), ("predicted", np.int64), ("true", np.int64)]
    records = np.zeros(len(screening.true), np.dtype([*kinds, *single]))
    for kind, values in _by_layer(screening):
        for layer, some in values.items():
            records[kind][layer] = some
    for name, _ in single:
        records[name] = getattr(screening, name)
    return records


def _by_layer(screening: Screening) -> Sequence[tuple[str, dict[str, NDArray[np.float32]]]]:
    return (("blame", screening.blame), ("energy", screening.energy))


def _of_layers(values: dict[str, NDArray[np.float32]]) -> list[tuple[str, Any, tuple[int]]]:
    return [(layer, np.float32, (some.shape[1],)) for layer, some in values.items()]


def _screening(records: NDArray[Any]) -> Screening:
    def by_layer(kind: str) -> dict[str, NDArray[np.float32]]:
        values = records[kind]
        return {layer: np.ascontiguousarray(values[layer]) for layer in values.dtype.names or ()}

    single = (np.ascontiguousarray(records[name]) for name in ("margin", "predicted", "true"))
    return Screening(by_layer("blame"), by_layer("energy"), *single)
