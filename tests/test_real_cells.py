"""The night on real images: a natural failure on solar cells.

The images are no part of the project: the test is skipped, with the reason, where they are absent.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Answer, succeeded

Fmi = Callable[..., Answer]


@pytest.mark.slow
def test_errors_on_poly_cells_of_a_mono_model_go_through_the_night_and_retraining(
    shared_data: Path, tmp_path: Path, fmi: Fmi, prefect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cause is asked for: few reference images, no pairs of causes and a short retraining are enough."""
    for name, value in (("REFERENCE_IMAGES", "24"), ("PAIR_GAIN", "0.9")):
        monkeypatch.setenv(f"FMI_MATCHING__{name}", value)
    monkeypatch.setenv("FMI_TRAINING__FINE_TUNE_EPOCHS", "2")
    monkeypatch.setenv("FMI_TRAINING__FINE_TUNE_STEPS", "20")
    monkeypatch.setenv("FMI_INVERSION__SOURCES", "2")
    monkeypatch.setenv("FMI_INVERSION__DENOISER_STEPS", "100")
    monkeypatch.setenv("FMI_INVERSION__FILTERS", "1")
    cells, at = shared_data / "elpv_solar_cells", ("--workspace", tmp_path / "cells")
    certain = "label_certainty = 'certain' AND cell_type"
    mono, poly = ("--where", f"{certain} = 'mono'"), ("--where", f"{certain} = 'poly'")
    succeeded(fmi("init", tmp_path / "cells"))
    succeeded(fmi("train", cells, *mono, "--good", "functional", "--epochs", 6, "--input-size", 48, *at))
    log = tmp_path / "poly.csv"
    succeeded(fmi("evaluate", cells, *poly, "--split", "test", "--log", log, *at))
    night = json.loads(succeeded(fmi("night", log, "--json", *at)).stdout)
    errors = len(log.read_text(encoding="utf-8").splitlines()) - 1
    assert (night["errors_read"], night["rows_set_aside"]) == (errors, 0)
    kinds = night["errors_by_kind"]
    assert kinds["confusion"] == 0
    assert kinds["escape"] + kinds["overkill"] == errors
    modes, unclustered = night["failure_modes"], night["unclustered"]
    assert sum(mode["errors"] for mode in modes) + unclustered == errors
    done = json.loads(succeeded(fmi("retrain", "--arm", "logged images", "--json", *at)).stdout)
    assert done["mode_ids"] == [mode["mode_id"] for mode in modes]
    assert done["logged_images"] == errors - sum(mode["suspects"] for mode in modes)
    assert done["accuracies"][0]["images"] == done["logged_images"]  # each judged by who was not shown it
    assert done["candidate_hash"] != done["model_hash"]
