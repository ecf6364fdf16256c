r"""Image paths that another machine wrote: `C:\lot\a.png`, `\\server\share\a.png`, `file:///lot/a.png`.

A map in the settings says where the folders of that machine lie on this one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from inspection.errors import LogError
from inspection.inputs.addresses import is_address
from inspection.workspace.settings import toml_text

_WINDOWS = re.compile(r"[A-Za-z]:|//")  # a drive or a share begins so
_WHOLE = re.compile(
    r"[A-Za-z]:[\\/]|[\\/]|~[^\\/]*[\\/]|[A-Za-z][A-Za-z0-9+.-]+:/"
)  # not relative to the log
ADVICE = (
    "; mount the drive, or where it is a path of another machine, say where its folder lies here, "
    "in the map [defect_log.paths] of fmi.toml: paths = {{ {folder} = '/folder/here' }}"
)


@dataclass(frozen=True, slots=True)
class PathMap:
    """Where folders of another machine lie here, the longest first."""

    folders: tuple[tuple[str, str], ...]  # (theirs, with forward slashes and none at the end; ours)

    def here(self, spelt: str) -> str:
        """A path as a log spells it, by the folder that it has on this machine; else as it is."""
        slashed = _slashed(spelt)
        for theirs, ours in self.folders:
            if _is_in(slashed, theirs):
                return f"{ours}/{slashed[len(theirs) :].lstrip('/')}"
        return slashed if _is_file_address(spelt) else spelt

    def advice(self, spelt: str) -> str:
        """What to do where an image is not there; empty for one that is mapped, or relative to the log."""
        slashed = _slashed(spelt)
        if not _WHOLE.match(spelt) or any(_is_in(slashed, theirs) for theirs, _ in self.folders):
            return ""
        folder = re.sub(r"[\\/][^\\/]*$", "", spelt) or "/"
        return ADVICE.format(folder=toml_text(folder))


def path_map(folders: Mapping[str, str]) -> PathMap:
    """The map of the settings. Raises LogError where it maps an empty path, or to one."""
    if not all(theirs.strip() and ours.strip() for theirs, ours in folders.items()):
        raise LogError(
            "[defect_log.paths] maps an empty path, or to one; expected for example "
            "'Z:\\images' = '/mnt/images'. defect_log.images_root says where relative paths start"
        )
    pairs = [(_slashed(theirs).rstrip("/"), _ours(ours)) for theirs, ours in folders.items()]
    return PathMap(tuple(sorted(pairs, key=lambda pair: -len(pair[0]))))


def _ours(spelt: str) -> str:
    return spelt.rstrip("/") if is_address(spelt) else str(Path(spelt).expanduser())


def _is_in(slashed: str, folder: str) -> bool:
    """Whether a path begins with the whole of a folder; a drive or a share knows no case."""
    start, rest = slashed[: len(folder)], slashed[len(folder) :]
    same = start.casefold() == folder.casefold() if _WINDOWS.match(folder) else start == folder
    return same and rest[:1] in ("", "/")


def _slashed(spelt: str) -> str:
    """With forward slashes, and as a path where it is an address."""
    slashed = spelt.replace("\\", "/")
    if not _is_file_address(spelt):
        return slashed
    path = unquote(re.sub("^file:(//localhost(?=/)|//(?=/))?", "", slashed, flags=re.IGNORECASE))
    return path[1:] if re.match("/[A-Za-z]:", path) else path


def _is_file_address(spelt: str) -> bool:
    return spelt.lower().startswith("file:")
