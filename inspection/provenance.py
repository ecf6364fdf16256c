"""What a measurement that is kept rests on beside its images: the software that made it."""

import hashlib
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = (
    "albumentations",
    "numpy",
    "opencv-python-headless",
    "torch",
    "torchvision",
)  # that every measurement rests on


@cache
def measured_by(*names: str) -> list[str]:
    """The hash of the source of these modules and packages, and the versions of the libraries below them."""
    files = [path for name in names for path in _sources(name)]
    source = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    return [source, *(version(name) for name in LIBRARIES)]


def code_of(architecture: str) -> list[str]:
    """The same of a network's own module; none of a torchvision name, which the libraries' versions tell.

    A module that it imports in its turn does not count.
    """
    module, colon, _ = architecture.partition(":")
    return measured_by(module) if colon else measured_by()


def _sources(name: str) -> list[Path]:
    """The files of a module, or of a package; none of one that there is not."""
    try:
        found = find_spec(name)
    except (ImportError, ValueError):
        return []
    origin = Path((found and found.origin) or "")
    if not origin.is_file():
        return []
    return sorted(origin.parent.glob("*.py")) if origin.name == "__init__.py" else [origin]
