"""The night on real images: a planted darkening on steel, a natural failure on solar cells.

The images are no part of the project: the tests are skipped, with the reason, where they are absent.
"""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from tests.conftest import Answer

Fmi = Callable[..., Answer]


def succeeded(answer: Answer) -> Answer:
    assert answer.returncode == 0, answer.stderr
    return answer


@pytest.mark.slow
def test_dimmed_steel_is_named_as_darker_and_mended_by_the_recipe_alone(
    shared_data: Path, tmp_path: Path, fmi: Fmi, prefect: str
) -> None:
    steel, at = shared_data / "xsdd_hot_rolled_steel", ("--workspace", tmp_path / "steel")
    _dim(steel / "test", tmp_path, 0.45)
    succeeded(fmi("init", tmp_path / "steel"))
    succeeded(fmi("train", steel, "--epochs", 8, "--input-size", 64, *at))
    succeeded(fmi("evaluate", tmp_path / "logged", "--log", tmp_path / "dim.csv", *at))
    night = json.loads(succeeded(fmi("night", tmp_path / "dim.csv", "--json", *at)).stdout)
    mode = night["failure_modes"][0]
    assert (mode["claimed"], mode["family"]) == (True, "darker")
    assert mode["operation"] in ("dimmer lamp", "gamma darker", "offset darker")
    clean = _accuracy(fmi, steel / "test", tmp_path, at)
    done = json.loads(succeeded(fmi("retrain", "--holdout", tmp_path / "outside", "--json", *at)).stdout)
    outside = done["accuracies"][0]
    before, after = outside["before"] / outside["images"], outside["after"] / outside["images"]
    assert after - before >= 0.5 * (clean - before), (before, after, clean)
    assert done["logged_images"] == 0


def _dim(source: Path, target: Path, factor: float) -> None:
    """Half of the images of each class go to the log, the other half stay outside it."""
    for folder in sorted(source.iterdir()):
        for i, path in enumerate(sorted(folder.iterdir())):
            image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            assert image is not None
            name = target / ("logged" if i % 2 == 0 else "outside") / folder.name / path.name
            name.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(name), cv2.convertScaleAbs(image, alpha=factor))


def _accuracy(fmi: Fmi, images: Path, tmp_path: Path, at: tuple[object, ...]) -> float:
    told = succeeded(fmi("evaluate", images, "--log", tmp_path / "all.csv", "--all", *at)).stdout
    right, _, count = told.split(" images")[0].split()[-3:]
    return int(right) / int(count)


@pytest.mark.slow
def test_errors_on_poly_cells_of_a_mono_model_go_through_the_night_and_retraining(
    shared_data: Path, tmp_path: Path, fmi: Fmi, prefect: str
) -> None:
    cells, at = shared_data / "elpv_solar_cells", ("--workspace", tmp_path / "cells")
    mono, poly = ("--where", "cell_type = 'mono'"), ("--where", "cell_type = 'poly'")
    succeeded(fmi("init", tmp_path / "cells"))
    succeeded(fmi("train", cells, *mono, "--good", "functional", "--epochs", 10, "--input-size", 64, *at))
    log = tmp_path / "poly.csv"
    succeeded(fmi("evaluate", cells, *poly, "--split", "test", "--log", log, *at))
    night = json.loads(succeeded(fmi("night", log, "--json", *at)).stdout)
    errors = len(log.read_text(encoding="utf-8").splitlines()) - 1
    assert (night["errors_read"], night["rows_set_aside"]) == (errors, 0)
    kinds = night["errors_by_kind"]
    assert kinds["confusion"] == 0
    assert kinds["escape"] + kinds["overkill"] == errors
    done = json.loads(succeeded(fmi("retrain", "--json", *at)).stdout)
    modes, unclustered = night["failure_modes"], night["unclustered"]
    assert sum(mode["errors"] for mode in modes) + unclustered == errors
    assert done["mode_id"] == modes[0]["mode_id"]
    images = done["accuracies"][0]["images"] + done["logged_images"]
    assert images == modes[0]["errors"]  # what joined the training set does not judge the candidate
    assert done["candidate_hash"] != done["model_hash"]
