"""Real images that pictures start from, and the files that pictures go to."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection.errors import ImageError, ImageSetError
from inspection.inputs.images import IMAGE_SUFFIXES, is_image_name

Step = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""Shows the progress of one step of the work: its name and how much there is to do."""
MOST_SOURCES = 8  # images that pictures are made from
MOST_IMAGES = 300  # of a folder; they are looked through for crops and for the filters with most energy


# --- the images, and where pictures go ---


@dataclass(frozen=True, slots=True)
class Given:
    """The real images at hand, and which of them pictures are made from."""

    paths: tuple[Path, ...]
    sources: tuple[int, ...]  # positions
    pixels: NDArray[np.uint8]  # (images, height, width, channel)

    @property
    def source_pixels(self) -> NDArray[np.uint8]:
        """The images that pictures are made from."""
        return self.pixels[list(self.sources)]

    def source_path(self, source: int) -> Path:
        """The file of a source, by its position among the sources."""
        return self.paths[self.sources[source]]


def find_images(given: Sequence[Path], per_folder: int) -> tuple[list[Path], list[int]]:
    """The image files named and those in the folders named, and the positions of the sources among them.

    Every file named is a source; of a folder, `per_folder` are, spread evenly over its images, those in
    folders below it included. Raises ImageError or ImageSetError.
    """
    sources: dict[Path, None] = {}
    paths: dict[Path, None] = {}
    for each in given:
        files = _files_of(each) if each.is_dir() else [_file(each)]
        chosen = _evenly(files, per_folder) if each.is_dir() else files
        sources |= dict.fromkeys(chosen)
        paths |= dict.fromkeys([*chosen, *_evenly(files, MOST_IMAGES)])
    if len(sources) > MOST_SOURCES:
        raise ImageSetError(
            f"{len(sources)} images to make pictures from; at most {MOST_SOURCES} fit on a sheet. Name fewer "
            "files, or a folder with --sources 2"
        )
    ordered = [*paths]
    return ordered, [ordered.index(source) for source in sources]


def _file(path: Path) -> Path:
    if not path.exists():
        raise ImageError(f"{path}: there is no such image file or folder")
    return path


def _files_of(folder: Path) -> list[Path]:
    try:
        files = sorted(path for path in folder.rglob("*") if is_image_name(path) and path.is_file())
    except OSError as error:
        raise ImageSetError(f"{folder}: the images cannot be listed: {error.strerror}") from error
    if not files:
        raise ImageSetError(
            f"{folder}: no images in this folder or below it; expected files in {', '.join(IMAGE_SUFFIXES)}"
        )
    return files


def _evenly(files: Sequence[Path], count: int) -> list[Path]:
    if len(files) <= count:
        return [*files]
    return [files[int((i + 0.5) * len(files) / count)] for i in range(count)]


def check_sheet(path: Path) -> None:
    """Raise ImageError where a sheet cannot be written to `path`: told before the work, not after it."""
    if path.suffix.lower() != ".png":
        raise ImageError(f"--out {path}: a sheet is a PNG file; give a name that ends in .png")
    if path.is_dir():
        raise ImageError(f"--out {path}: this is a folder; give the name of a file in it")
    check_folder("--out", path.parent)


def check_folder(option: str, folder: Path) -> None:
    """Make a folder where it is missing. Raises ImageError where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ImageError(f"{option}: {folder} cannot be written to: {error.strerror}") from None
