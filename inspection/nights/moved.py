"""A folder of images that lies elsewhere now: renamed, mounted elsewhere, on another share.

The store names images by absolute paths: those that say what is normal for a model, and the errors that
retrainings learn from. Nothing else of what was found hangs on where they lie.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from fmi_engine.errors import some
from inspection.errors import WorkspaceError
from inspection.inputs.images import is_file
from inspection.nights.night import Site


@dataclass(frozen=True, slots=True)
class Moved:
    """What came of it."""

    images: int
    absent: tuple[str, ...]  # those of them that are not there, by their new path


def move_images(site: Site, old: Path, new: Path) -> Moved:
    """Let the store name the images below one folder in another.

    Raises WorkspaceError, and changes nothing, where it names none below `old`, or none is there below `new`.
    """
    before, after = _folder(old), _folder(new)
    images = site.store.images_below(before)
    if not images:
        folders = site.store.image_folders()
        raise WorkspaceError(
            f"the store names no image below {before}; its images lie in "
            f"{some(folders) or 'no folder: there are none'}"
        )
    moved = [after + path.removeprefix(before) for path in images]
    absent = tuple(path for path in moved if not is_file(Path(path)))
    if len(absent) == len(moved):
        raise WorkspaceError(
            f"none of the {len(moved)} images below {before} is there below {after}, such as {absent[0]}; "
            "give the folder that has taken its place, and mount it first"
        )
    site.store.move_images(before, after)
    return Moved(len(moved), absent)


def _folder(path: Path) -> str:
    """Absolute, as it is spelt: a link stays, as in the paths of the store."""
    return os.path.abspath(path.expanduser()).rstrip("/")  # noqa: PTH100
