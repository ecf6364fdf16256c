"""Images by address, `s3://plant/lot7/a.png`: object stores and servers, read through fsspec.

fsspec reads each kind of store through a package of its own (s3fs for S3 and what is like it, gcsfs, adlfs,
paramiko for SFTP). Where it is and who may read there, those packages know as ever: from the environment, and
from fsspec's own settings.

A log is written by others than the settings: it names images, and no address is read that does not lie below
one that the settings name.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import fsspec

from fmi_engine.errors import first_line
from inspection.errors import ImageError
from inspection.workspace.files import TOO_LARGE, write_whole
from inspection.workspace.settings import toml_text

_ADDRESS = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # two letters: C:// is a drive
# Why an image is not read that has an address.
NO_OBJECT = "{address}: there is no such image"
NO_PACKAGE = "{address}: addresses of this kind need a package that is not installed ({said})"
NOT_REACHED = (
    "{address}: it cannot be read ({said}); check the connection, and that this machine may read there"
)
NOT_NAMED = (
    "{address}: the settings name no such store, and none else is read; where its images are those of the "
    "line, name its folder under [defect_log] in fmi.toml: paths = {{ {folder} = {folder} }}"
)
SAID = (NO_OBJECT, NO_PACKAGE, NOT_REACHED, NOT_NAMED)
NOTHING = "{address}: nothing lies there, or this machine may not see it"


class NotThereError(ImageError):
    """There is no image at an address, or its store cannot be read."""


class NoAnswerError(NotThereError):
    """A store cannot be read, for a reason that is not one image's."""

    def __init__(self, address: str, said: str) -> None:
        super().__init__(NOT_REACHED.format(address=address, said=said))
        self.said = said


def is_address(spelt: str) -> bool:
    """Whether an image path of a log, or a folder of the settings, is an address."""
    return bool(_ADDRESS.match(spelt))


def joined(folder: str, spelt: str) -> str:
    """The address of an image that is named relative to an address."""
    return f"{folder.rstrip('/')}/{spelt.replace(chr(92), '/').removeprefix('./')}"


@dataclass(frozen=True)
class Copies:
    """A folder of copies of images that have an address.

    A copy is named by its content and never changes: what a night found rests on the very image that it saw,
    whatever is written to that address later.
    """

    folder: Path
    stores: tuple[str, ...]  # addresses that the settings name, without a slash at the end: no other is read
    unreachable: dict[str, str] = field(default_factory=dict, compare=False)  # store -> what it said

    def fetch(self, address: str, most_megabytes: int) -> Path:
        """Copy an image from its address; the copy's path.

        Raises NotThereError where there is none and where its store cannot be read, and ImageError where it
        is too large. A store that did not answer is not asked again for the next image.
        """
        if not any(_is_below(address, store) for store in self.stores):
            folder = toml_text(address.rpartition("/")[0])
            raise NotThereError(NOT_NAMED.format(address=address, folder=folder))
        parts = urlsplit(address)
        store = f"{parts.scheme}://{parts.netloc}"
        if store in self.unreachable:
            raise NoAnswerError(address, self.unreachable[store])
        try:
            with _told(address):
                system, path = fsspec.url_to_fs(address)
                size = system.size(path)
                if size is not None and size > most_megabytes * 1_000_000:
                    raise ImageError(TOO_LARGE.format(path=address, size=size / 1e6, most=most_megabytes))
                data = system.cat_file(path)
        except NoAnswerError as error:
            self.unreachable[store] = error.said
            raise
        digest = sha256(data).hexdigest()
        copy = self.folder / digest[:2] / digest[:32] / (Path(parts.path).name or "image")
        if not copy.is_file():
            write_whole(copy, data)
        return copy


def look(address: str) -> None:
    """Raise NotThereError where nothing lies at an address, or its store cannot be read."""
    with _told(address):
        system, path = fsspec.url_to_fs(address)
        if not system.exists(path):
            raise NotThereError(NOTHING.format(address=address))


@contextmanager
def _told(address: str) -> Iterator[None]:
    """Turn what fsspec and its packages say into NotThereError."""
    try:
        yield
    except ImageError:
        raise
    except (FileNotFoundError, IsADirectoryError):
        raise NotThereError(NO_OBJECT.format(address=address)) from None
    except PermissionError as error:  # it may be of one image
        said = f"{type(error).__name__}: {first_line(error)}"
        raise NotThereError(NOT_REACHED.format(address=address, said=said)) from error
    except Exception as error:  # each store's package has errors of its own
        if isinstance(error, ImportError) or not _is_known(address):
            raise NotThereError(NO_PACKAGE.format(address=address, said=first_line(error))) from None
        raise NoAnswerError(address, f"{type(error).__name__}: {first_line(error)}") from error


def _is_known(address: str) -> bool:
    """Whether fsspec has heard of such addresses."""
    return urlsplit(address).scheme.lower() in fsspec.available_protocols()


def _is_below(address: str, folder: str) -> bool:
    """Whether an address is a folder's or lies below it; `::` would chain it to an address elsewhere."""
    start, rest = address[: len(folder)], address[len(folder) :]
    return start == folder and rest[:1] == "/" and "::" not in rest and ".." not in rest.split("/")
