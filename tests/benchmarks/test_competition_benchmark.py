"""The benchmark of the arms: its scores by hand, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inspection.inputs.labelled import Labelled
from tests.benchmarks.competition import _over_all, _scored, main

UNSEEN = {"new": Labelled(np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 0, 1, 1]))}
BEFORE = {"new": np.array([0, 1, 0, 1])}  # half of them right


def arm(new: float, *falls: str, decision: str = "accepted") -> dict[str, Any]:
    return {"unseen": {"new": new}, "falls": list(falls), "decision": decision}


def test_regret_is_the_distance_to_the_best_that_harms_nothing() -> None:
    arms = {"recipes": arm(0.7), "logged images": arm(0.9, "good"), "recipes and logged images": arm(0.8)}
    found = _scored(arms, "recipes", BEFORE, UNSEEN)
    assert (found["best"], found["highest"]) == ("recipes and logged images", "logged images")
    assert found["regret"] == pytest.approx(10)
    assert found["regret_beside_all"] == pytest.approx(20)
    assert found["beyond"] == pytest.approx(-20)
    assert (found["falls"], found["decision"]) == ([], "accepted")


def test_none_has_the_accuracy_of_before() -> None:
    found = _scored({"recipes": arm(0.4, "good")}, "none", BEFORE, UNSEEN)
    assert (found["best"], found["regret"], found["decision"]) == ("none", 0, "none")
    assert found["beyond"] == 0  # without logged images it is set beside the model as it is


def test_over_all_nights() -> None:
    nights: list[dict[str, Any]] = [
        {"regret": 1.0, "regret_beside_all": 1.0, "beyond": 0.0, "decision": "accepted", "falls": ["good"]},
        {"regret": 3.0, "regret_beside_all": 5.0, "beyond": -2.0, "decision": "rejected", "falls": []},
        {"skipped": "too few errors"},
    ]
    nights[0]["poisoned"] = {"seed": 0, "one class only": {"decision": "accepted"}}
    assert _over_all(nights) == {
        "nights": 2,
        "regret": 2.0,
        "regret_beside_all": 3.0,
        "worse_than_logged_alone": 1,
        "accepted": 1,
        "accepted_that_harm_a_class": 1,
        "poisoned": 1,
        "poisoned_that_pass": 1,
    }


def test_a_change_needs_both_of_its_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--images", "x", "--json", f"{tmp_path / 'x.json'}", "--domain", "lighting", "--from", "ring"]
    with pytest.raises(SystemExit) as left:
        main(asked)
    assert left.value.code == 2
    assert "--domain goes with --from and --to" in capsys.readouterr().err


def test_images_that_are_not_there_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--images", f"{tmp_path / 'none'}", "--json", f"{tmp_path / 'x.json'}"]) == 2
    assert "there is no such folder" in capsys.readouterr().err
