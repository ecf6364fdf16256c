import shutil
from pathlib import Path

import pytest

from inspection.workspace.store import Store


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> Store:
    return Store(Path(shutil.copy(empty_store, tmp_path / "fmi.duckdb")))
