"""Leases: who does a piece of work in a workspace, so that no other process does it too.

A lease is a lock that the operating system takes back when the process ends, however it ends: work whose
lease nobody holds is not being done, whatever the store says of it.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PATIENCE = 1.0  # seconds before others are told to wait: a look at a lease takes it for a moment
LOOKING = 0.1  # seconds that one look waits for another


@contextmanager
def lease(folder: Path, name: str, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lease `name` of a folder for the block; waits while another process has it.

    `waiting` is told once who has it, in words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        if waiting:
            waiting(_said(folder, name) or "another process")
        lock.acquire()
    try:
        _note(folder, name).write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        lock.release()


@contextmanager
def lease_if_free(folder: Path, name: str) -> Iterator[bool]:
    """Hold the lease `name` for the block where nobody else has it; gives whether it is held."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=LOOKING)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def holder(folder: Path, name: str) -> str | None:
    """Who has a lease now, in words; None where nobody has it."""
    with lease_if_free(folder, name) as free:
        return None if free else _said(folder, name) or "another process"


def _note(folder: Path, name: str) -> Path:
    return folder / f"{name}.holder"


def _said(folder: Path, name: str) -> str:
    try:
        return _note(folder, name).read_text(encoding="utf-8")
    except OSError:
        return ""
