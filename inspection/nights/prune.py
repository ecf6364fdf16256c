"""Retention: nights that are old and that nothing rests on are removed, with their pictures and reports.

A night leaves the store in one step, which notes that it was there; its files go after that. So a night is
there as a whole or not at all, whenever the process ends: files that were left are removed the next time.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from inspection.findings import OldNight
from inspection.nights.night import Site
from inspection.workspace.files import bytes_of
from inspection.workspace.folder import Workspace

DAY = 24 * 60 * 60  # seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """What is old: what goes, and what stays and why."""

    goes: tuple[OldNight, ...]
    stays: tuple[OldNight, ...]
    left: tuple[str, ...]  # nights removed before of which files were left
    bytes_of: dict[str, int]  # of the files, by night

    @property
    def bytes(self) -> int:
        """Of all files that go."""
        return sum(self.bytes_of[night] for night in (*(each.night_id for each in self.goes), *self.left))


def plan(site: Site, before: datetime) -> Plan:
    """What `prune` would do with the nights that started before a moment."""
    old = site.store.old_nights(before)
    left = tuple(each for each in site.store.pruned_nights() if any(_files(site.workspace, each)))
    return Plan(
        goes=tuple(each for each in old if not each.rests),
        stays=tuple(each for each in old if each.rests),
        left=left,
        bytes_of={
            night: sum(map(bytes_of, _files(site.workspace, night)))
            for night in (*(each.night_id for each in old), *left)
        },
    )


def prune(site: Site, before: datetime) -> Plan:
    """Remove what is old and nothing rests on; what was given a verdict or retrained for meanwhile stays."""
    planned = plan(site, before)
    removed = site.store.prune([each.night_id for each in planned.goes], before)
    for night in (*removed, *planned.left):
        for path in _files(site.workspace, night):
            _remove(path)
    if removed:
        _forget_copies(site)
    return Plan(
        goes=tuple(each for each in planned.goes if each.night_id in removed),
        stays=planned.stays,
        left=planned.left,
        bytes_of=planned.bytes_of,
    )


def _forget_copies(site: Site) -> None:
    """Remove copies of images in object stores that no error of a night is any more.

    A night that runs may have fetched what it has not stored yet: copies of the last day stay.
    """
    known, recent = site.store.image_paths(), time.time() - DAY
    for path in site.workspace.copies.glob("*/*/*"):
        if str(path) not in known and path.stat().st_mtime < recent:
            path.unlink(missing_ok=True)
            for folder in (path.parent, path.parent.parent):
                with suppress(OSError):  # it holds others
                    folder.rmdir()


def _files(workspace: Workspace, night_id: str) -> Iterator[Path]:
    """A night's files and folders that are there."""
    report = workspace.report_path(night_id)
    made = (
        report,
        report.with_suffix(".csv"),
        workspace.night_folder(night_id),
        *workspace.held_of((night_id,)),
    )
    return (path for path in made if path.exists())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
