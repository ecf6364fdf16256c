import shutil
from pathlib import Path

import pytest

from inspection.workspace.store import Store


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(tmp_path_factory.mktemp("fresh") / "fmi.duckdb")
    store.create()
    return store.path


@pytest.fixture
def store(fresh: Path, tmp_path: Path) -> Store:
    return Store(Path(shutil.copy(fresh, tmp_path / "fmi.duckdb")))
