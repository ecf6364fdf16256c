"""A folder of a plant: which of its files are defect logs, and why the other tables are none."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from inspection.errors import InspectionError
from inspection.inputs.defect_log import check_columns
from inspection.inputs.tables import CSV, JSON_LINES, PARQUET
from inspection.workspace.files import sha256_of
from inspection.workspace.folder import SETTINGS_FILE
from inspection.workspace.settings import Settings, TableSettings

READ = (*CSV, *PARQUET, *JSON_LINES)  # suffixes; a DuckDB file needs a query, and a .json may be anything
LOOKED_AT = 1024  # files of which it is remembered what they are, until they change


@dataclass(frozen=True, slots=True)
class FoundLog:
    """A file that is a defect log."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class LogFolder:
    """The defect logs of some folders, and the tables that are none."""

    logs: tuple[FoundLog, ...] = ()  # by name; each content once
    passed_over: tuple[tuple[Path, str], ...] = ()  # each with the reason


def find_logs(folders: tuple[Path, ...], settings: Settings) -> LogFolder:
    """Look through folders and the folders in them; workspaces and hidden folders are left out.

    A file in place of a folder is looked at by itself.

    A file whose columns are those of a defect log, by the workspace's map, is one.
    """
    columns = tuple(sorted(settings.defect_log.columns.items()))
    logs: dict[str, FoundLog] = {}
    passed: list[tuple[Path, str]] = []
    for path in (path for folder in folders for path in _tables(folder)):
        try:
            stat = path.stat()
            sha256, why = _looked_at(path, (stat.st_mtime_ns, stat.st_size), columns, settings.tables)
        except (OSError, InspectionError) as error:
            sha256, why = "", f"{error}"
        if why:
            passed.append((path, why))
        else:
            logs.setdefault(sha256, FoundLog(path, sha256))
    return LogFolder(tuple(logs.values()), tuple(passed))


def _tables(folder: Path) -> Iterator[Path]:
    if folder.is_file():
        yield folder
    for place, folders, names in os.walk(folder):
        if SETTINGS_FILE in names:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if Path(name).suffix.lower() in READ and not name.startswith("."):
                yield Path(place, name)


@lru_cache(LOOKED_AT)
def _looked_at(
    path: Path, stamp: tuple[int, int], columns: tuple[tuple[str, str], ...], limits: TableSettings
) -> tuple[str, str]:
    """The file's SHA-256, and why it is no defect log; empty: it is one. `stamp` tells its versions apart."""
    try:
        check_columns(path, dict(columns), limits)
    except InspectionError as error:
        return "", f"{error}"
    return sha256_of(path), ""
