"""A plant's surfaces are learnt once for a model, of the images that do not judge primitives."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fmi_engine.denoiser import learn_denoiser
from fmi_engine.presets import PRESETS, find_preset
from inspection.evidence import surface
from inspection.evidence.primitives import made_of
from inspection.evidence.subject import Subject, open_subject
from inspection.evidence.surface import learn_surfaces, steps_of
from tests.inspection.conftest import Plant

DEFAULT = PRESETS["default"]


def opened(plant: Plant, folder: Path, changes: str = "") -> Subject:
    copied = plant.copied(folder, changes)
    for path in copied.workspace.model_folder(copied.model.model_hash).glob("denoiser*.npz"):
        path.unlink()
    return open_subject(copied.workspace, copied.model, copied.references)


def test_surfaces_are_learnt_once_and_again_where_they_may_be_others(plant: Plant, tmp_path: Path) -> None:
    mine = opened(plant, tmp_path / "one")
    counted: list[int] = []
    first = learn_surfaces(mine, DEFAULT, counted.append)
    assert first is not None
    assert sum(counted) == steps_of(mine, DEFAULT) == 20
    again = learn_surfaces(mine, DEFAULT, counted.append)
    assert again is not None
    assert sum(counted) == 20
    assert again.weights_hash == first.weights_hash
    assert made_of(mine, mine.layers[0], DEFAULT).denoiser is not None
    assert made_of(mine, mine.layers[0], PRESETS["paper"]).denoiser is None
    learn_surfaces(replace(mine, rests_on="other images"), DEFAULT, counted.append)
    assert sum(counted) == 40


def test_images_that_judge_primitives_are_left_out(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = opened(plant, tmp_path / "one")
    seen: list[np.ndarray] = []

    def noting(images: np.ndarray, *rest: object) -> object:
        seen.append(images)
        return learn_denoiser(images, 1)

    monkeypatch.setattr(surface, "learn_denoiser", noting)
    learn_surfaces(mine, DEFAULT)
    np.testing.assert_array_equal(seen[0], mine.correct.images[::2])


@pytest.mark.parametrize("change", ["inversion.denoiser_steps = 0", 'inversion.preset = "paper"'])
def test_what_needs_no_denoiser_learns_none(plant: Plant, tmp_path: Path, change: str) -> None:
    mine = opened(plant, tmp_path / "one", change)
    preset = find_preset(mine.settings.inversion.preset)
    assert steps_of(mine, preset) == 0
    assert learn_surfaces(mine, preset) is None
