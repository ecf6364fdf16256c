"""What is normal is measured once for a model, and again where it may be something else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmi_engine.reference import Reference, build_reference
from inspection.evidence import normal
from inspection.evidence.normal import Normal, learn_normal
from inspection.evidence.subject import Subject, open_subject
from inspection.models.registry import load_model
from tests.inspection.conftest import Plant


@pytest.fixture
def mine(plant: Plant, tmp_path: Path) -> Subject:
    """The subject of a workspace in which nothing was measured before it was opened."""
    copied = plant.copied(tmp_path / "workspace")
    kept_in(copied.workspace.model_folder(copied.model.model_hash)).unlink(missing_ok=True)
    return open_subject(copied.workspace, copied.model, copied.references)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The classes of every model that is measured from here on."""
    counts = list[int]()

    def measuring(*given: Any) -> Reference:
        counts.append(len(given[0].class_names))
        return build_reference(*given)

    monkeypatch.setattr(normal, "build_reference", measuring)
    return counts


def kept_in(folder: Path) -> Path:
    return folder / "normal.npz"


def learnt(subject: Subject, **changed: Any) -> Normal:
    given = {
        name: getattr(subject, name) for name in ("workspace", "model", "classifier", "layers", "labelled")
    }
    return learn_normal(**{**given, **changed})


def test_it_is_read_as_it_was_measured(mine: Subject, measured: list[int]) -> None:
    again = learnt(mine)
    assert measured == []
    np.testing.assert_array_equal(again.reference.correct, mine.reference.correct)
    np.testing.assert_array_equal(again.reference.counts, mine.reference.counts)
    assert list(again.reference.layers) == mine.layer_names
    for name, layer in mine.reference.layers.items():
        for part in ("energy", "spread", "sigma"):
            np.testing.assert_array_equal(getattr(again.reference.layers[name], part), getattr(layer, part))
    for part in ("mean", "sigma", "weights"):
        np.testing.assert_array_equal(getattr(again.looks, part), getattr(mine.looks, part))


def test_other_images_are_measured(mine: Subject, measured: list[int]) -> None:
    fewer = mine.labelled.subset(np.arange(0, len(mine.labelled), 2))
    assert len(learnt(mine, labelled=fewer).reference.correct) == len(fewer)
    assert len(measured) == 1


def test_a_network_that_answers_otherwise_is_measured(mine: Subject, measured: list[int]) -> None:
    """As where the plant has edited the module that its network comes from; the weights are the same."""
    classifier = load_model(mine.workspace.root, mine.model, "cpu")
    before = mine.reference.layers["stage1"].energy
    classifier.network.get_submodule("stage1").register_forward_hook(lambda *given: given[-1] * 1.01)
    found = learnt(mine, classifier=classifier)
    assert len(measured) == 1
    assert (found.reference.layers["stage1"].energy[before > 0] != before[before > 0]).all()


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_file_is_measured_again(mine: Subject, measured: list[int], damage: bytes | None) -> None:
    path = kept_in(mine.workspace.model_folder(mine.model.model_hash))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100] if damage is None else damage)
    learnt(mine)
    assert len(measured) == 1
    learnt(mine)
    assert len(measured) == 1


def test_another_version_of_what_measures_it_measures_again(
    mine: Subject, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normal, "measured_by", lambda *_: ["another"])
    learnt(mine)
    assert len(measured) == 1
