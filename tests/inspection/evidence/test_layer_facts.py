"""What is known of a layer is measured once for a model, and again where it may be something else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmi_engine import trust
from fmi_engine.patches import cut_out, exciting_patches
from fmi_engine.types import AblationCheck
from inspection.evidence import layer_facts
from inspection.evidence.layer_facts import ablation_on, check_ablation, find_peaks
from inspection.evidence.subject import Subject, open_subject
from tests.inspection.conftest import Plant


@pytest.fixture
def mine(plant: Plant, tmp_path: Path) -> Subject:
    """The subject of a workspace in which nothing is known of its layers."""
    copied = plant.copied(tmp_path / "workspace")
    for path in copied.workspace.model_folder(copied.model.model_hash).glob("*.npz"):
        path.unlink()
    return open_subject(copied.workspace, copied.model, copied.references)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The layers that are measured from here on."""
    layers = list[str]()

    def measuring(*given: Any) -> AblationCheck:
        layers.append(given[1].name)
        return trust.check_ablation(*given)

    monkeypatch.setattr(layer_facts, "ablation_on", lambda *given: measuring(*given[:2], _few(given), 16))
    return layers


def _few(given: tuple[Any, ...]) -> tuple[Any, Any]:
    return given[2].images[:20], given[2].labels[:20]


def test_an_ablation_check_is_read_as_it_was_measured(mine: Subject) -> None:
    layer = mine.layers[0]
    measured = ablation_on(mine.classifier, layer, mine.labelled, mine.settings.compute)
    assert check_ablation(mine, layer) == measured
    assert check_ablation(mine, layer) == measured


def test_each_layer_is_measured_once(mine: Subject, measured: list[str]) -> None:
    for _ in range(2):
        for layer in mine.layers[:2]:
            check_ablation(mine, layer)
    assert measured == [layer.name for layer in mine.layers[:2]]


def test_crops_at_kept_peaks_are_those_that_the_engine_finds(mine: Subject) -> None:
    layer, images, channels = mine.layers[-1], mine.correct.images, [3, 0]
    direct = exciting_patches(mine.classifier, layer, channels, images, 4, mine.settings.compute.batch_size)
    for _ in range(2):  # measured, then read
        kept = cut_out(layer, channels, images, 4, find_peaks(mine, layer).of(channels))
        assert list(kept) == channels
        for channel in channels:
            found = [(each.filter, each.image, each.activation) for each in kept[channel]]
            assert found == [(each.filter, each.image, each.activation) for each in direct[channel]]
            for one, other in zip(kept[channel], direct[channel], strict=True):
                np.testing.assert_array_equal(one.pixels, other.pixels)


def test_what_rests_on_something_else_is_measured_again(
    mine: Subject, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = mine.layers[0]
    check_ablation(mine, layer)
    check_ablation(replace(mine, rests_on="other images, or another network"), layer)
    assert len(measured) == 2
    monkeypatch.setattr(layer_facts, "measured_by", lambda *_: ["another"])
    check_ablation(mine, layer)
    assert len(measured) == 3


def test_fewer_reference_images_are_something_else(mine: Subject, plant: Plant) -> None:
    again = open_subject(mine.workspace, mine.model, plant.references)
    assert again.rests_on == mine.rests_on != ""
    assert open_subject(mine.workspace, mine.model, plant.references[::2]).rests_on != mine.rests_on


@pytest.mark.parametrize("damage", [b"", b"no archive"])
def test_a_damaged_file_is_measured_again(mine: Subject, measured: list[str], damage: bytes) -> None:
    layer = mine.layers[0]
    check_ablation(mine, layer)
    (path,) = mine.workspace.model_folder(mine.model.model_hash).glob("ablation-*.npz")
    path.write_bytes(damage)
    check_ablation(mine, layer)
    check_ablation(mine, layer)
    assert len(measured) == 2


def test_a_layer_of_any_name_is_kept_in_the_models_folder(
    mine: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = check_ablation(mine, mine.layers[0])
    monkeypatch.setattr(layer_facts, "ablation_on", lambda *_: check)
    assert check_ablation(mine, replace(mine.layers[0], name="../a/b")) == check
    kept = mine.workspace.model_folder(mine.model.model_hash).glob("ablation-*.npz")
    assert len([*kept]) == 2
