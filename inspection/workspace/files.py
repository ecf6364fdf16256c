"""Files on disk: written whole or not at all, and known by their hash."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from inspection.errors import ImageError


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal; ImageError where it cannot be read."""
    return hashlib.sha256(file_bytes(path)).hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lend a temporary path in the same folder, and put it in the place of ``path`` when the block succeeds.

    After an exception ``path`` is as it was and the temporary file is gone.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def file_bytes(path: Path) -> bytes:
    """The bytes of a file. Raises ImageError where it is missing, empty or unreadable."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such image file") from None
    except IsADirectoryError:
        raise ImageError(f"{path}: this is a folder; expected an image file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise ImageError(f"{path}: the image file cannot be opened: {error}") from error
    if not data:
        raise ImageError(f"{path}: the image file is empty (0 bytes); copy it again from its source")
    return data
