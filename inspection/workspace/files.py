"""Files on disk: written whole or not at all, and known by their hash."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from inspection.errors import ImageError

# Why the file of an image is not read.
TOO_LARGE = (
    "{path}: the image file has {size:,.0f} MB, and at most {most} MB are read; if it is meant to be so "
    "large, raise most_megabytes under [images] in fmi.toml"
)
_EMPTY = "{path}: the image file is empty (0 bytes); copy it again from its source"
_NO_FILE = "{path}: there is no such image file"
_FOLDER = "{path}: this is a folder; expected an image file"
_CLOSED = "{path}: the image file cannot be opened: {said}"
SAID = (TOO_LARGE, _EMPTY, _NO_FILE, _FOLDER, _CLOSED)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal; ImageError where it cannot be read."""
    with _told(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Lend a temporary path in the same folder, and put it in the place of ``path`` when the block succeeds.

    After an exception ``path`` is as it was and the temporary file is gone. After a power cut it is the old
    file or the new one, never an empty one; that costs some milliseconds, which ``durable=False`` saves where
    the file is one of many that another run makes again.
    """
    temporary = path.with_name(temporary_name(path.name, uuid4().hex))
    try:
        yield temporary
        if durable:
            _flush(temporary)
        temporary.replace(path)
    finally:
        with suppress(OSError):  # it is not there, or its folder is none
            temporary.unlink()


def temporary_name(name: str, which: str = "*") -> str:
    """What a temporary file of `replacing` is called; of every one, as a pattern for `glob`.

    A process that is killed leaves one behind.
    """
    return f".{name}.{which}.tmp"


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file whole or not at all, in a folder that is made where it is missing; see ``replacing``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(data)


def _flush(path: Path) -> None:
    """Wait until the bytes of a file lie on the disk: a file system may rename before it writes."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def file_bytes(path: Path, most_megabytes: int) -> bytes:
    """The bytes of an image file. Raises ImageError where it is missing, empty, unreadable or too large."""
    with _told(path):
        size = path.stat().st_size
        if size > most_megabytes * 1_000_000:
            raise ImageError(TOO_LARGE.format(path=path, size=size / 1e6, most=most_megabytes))
        data = path.read_bytes()
    if not data:
        raise ImageError(_EMPTY.format(path=path))
    return data


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what the system says of a file that cannot be read into ImageError."""
    try:
        yield
    except FileNotFoundError:
        raise ImageError(_NO_FILE.format(path=path)) from None
    except IsADirectoryError:
        raise ImageError(_FOLDER.format(path=path)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise ImageError(_CLOSED.format(path=path, said=error)) from error


def bytes_of(path: Path) -> int:
    """How many bytes a file has, or all files in a folder."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.lstat().st_size for file in files if file.is_file())
