"""What the processes of one run of the tests share: made by the first that needs it."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from filelock import FileLock

Made = TypeVar("Made")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Made]) -> Made:
    """What `make` leaves in a folder and returns, done once for all processes of this run.

    Nobody may write to that folder afterwards.
    """
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # of which each process has a folder
    kept = root / name / "made.pickle"
    with FileLock(root / f"{name}.lock"):
        if not kept.is_file():
            kept.parent.mkdir()
            kept.write_bytes(pickle.dumps(make(kept.parent)))
        made: Made = pickle.loads(kept.read_bytes())
    return made
