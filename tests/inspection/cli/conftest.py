"""Workspaces that commands are tried in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Answer, Diagnosed
from tests.inspection.conftest import SETTINGS

Fmi = Callable[..., Answer]


@pytest.fixture
def fresh(fmi: Fmi, tmp_path: Path) -> Path:
    """A workspace without a model."""
    root = tmp_path / "plant"
    root.mkdir()
    (root / "fmi.toml").write_text(SETTINGS, encoding="utf-8")
    assert fmi("init", root).returncode == 0
    return root


@pytest.fixture
def site(diagnosed: Diagnosed, tmp_path: Path, prefect: str) -> Diagnosed:
    """A plant with one finished night, which nothing here may harm."""
    return diagnosed.copied(tmp_path / "workspace")
