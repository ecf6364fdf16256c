"""The model that pictures are drawn of: registered in a workspace, or described."""

from pathlib import Path

import pytest

from inspection.pictures.model import registered
from tests.inspection.conftest import Plant
from tests.inspection.pictures.command import TINY, Fmi, described, refused, sources


def test_a_model_is_either_registered_or_described(
    fmi: Fmi, site: Plant, tmp_path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ("invert", "stage2:3", *sources(images))
    refused(fmi(*command, "--architecture", TINY), "--checkpoint and --classes missing")
    refused(fmi(*command, "--input-size", 32), "--architecture and --checkpoint and --classes missing")
    refused(fmi(*command, *described(site), "-w", site.workspace.root), "give the one or the other")
    refused(fmi(*command, *described(site), "--model", "ab"), "give the one or the other")
    refused(fmi(*command), f"neither {tmp_path} nor a folder above it", "fmi init")
    refused(fmi(*command, *described(site), "--classes", "a,b"), "does not fit the architecture")
    refused(fmi(*command, *described(site), "--checkpoint", tmp_path / "w.pt"), "no checkpoint at")
    refused(fmi(*command, *described(site), "--input-size", "big"), "--input-size is 'big'")
    refused(fmi(*command, *described(site), "--channels", 2), "2 channels given")


def test_a_models_batches_are_those_of_its_workspace(site: Plant) -> None:
    assert registered(site.workspace, None, "cpu", None).batch_size == 16
