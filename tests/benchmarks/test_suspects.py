"""The benchmark of suspect labels: its nights and its scores, by hand."""

from typing import Any

import numpy as np
import pytest

from inspection import tuning
from inspection.inputs.labelled import Labelled
from tests.benchmarks.suspects import INVISIBLE, mix, scored, variants
from tests.benchmarks.world import Log


def log_of(count: int, label: int) -> Log:
    """That many errors, all of one label."""
    images = np.zeros((count, 2, 2, 1), np.uint8)
    return Log(Labelled(images, np.full(count, label)), np.full(count, -1))


@pytest.mark.parametrize(
    ("right", "wrong", "share", "expected"),
    [
        pytest.param(90, 40, 0.1, (90, 10), id="wrong labels enough"),
        pytest.param(90, 3, 0.1, (27, 3), id="too few wrong labels: fewer right ones"),
        pytest.param(70, 60, 0.3, (70, 30), id="three tenths"),
        pytest.param(5, 60, 0.1, (5, 1), id="at least one"),
    ],
)
def test_a_mixed_night_has_the_share_of_wrong_labels(
    right: int, wrong: int, share: float, expected: tuple[int, int]
) -> None:
    log, is_wrong = mix(log_of(right, 0), log_of(wrong, 1), share, 0)
    assert (int((~is_wrong).sum()), int(is_wrong.sum())) == expected
    assert log.errors.labels.tolist() == is_wrong.astype(int).tolist()


def test_scores_by_hand() -> None:
    def night(kind: str, errors: int, wrong: int, listed: int, hits: int) -> dict[str, Any]:
        return {
            "kind": kind,
            "errors": errors,
            "wrong": wrong,
            "listed": listed,
            "listed_wrong": hits,
        }

    found = scored(
        [
            night("mixed", 10, 4, 3, 2),
            night("mixed", 20, 6, 2, 2),
            night("hard", 8, 0, 1, 0),
            night("hard", 0, 0, 0, 0),
        ]
    )
    mixed, hard = found["mixed"], found["hard"]
    assert (mixed["nights"], mixed["errors"], mixed["wrong"], mixed["listed"]) == (2, 30, 10, 5)
    assert (mixed["precision"], mixed["recall"], mixed["right_listed"]) == (4 / 5, 4 / 10, 1 / 20)
    assert mixed["worst"] == 1 / 10
    assert (hard["nights"], hard["precision"], hard["right_listed"]) == (1, 0, 1 / 8)
    assert "recall" not in hard  # no label is wrong


@pytest.mark.parametrize("name", INVISIBLE)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_invisible_defect_no_longer_stands_out(name: str, channels: int) -> None:
    """Of a scratch of 90 grey levels on a grain of 3 less than a third is left; the surface stays."""
    rng = np.random.default_rng(0)
    light = 120 + 3 * rng.standard_normal((64, 64, channels))
    light[30:32, 10:54] += 90
    image = np.asarray(np.clip(light, 0, 255), np.uint8)
    kept = image.copy()
    changed = INVISIBLE[name](image, rng, 1.0)
    assert changed.dtype == np.uint8
    assert changed.shape == image.shape
    np.testing.assert_array_equal(image, kept)
    stands_out = changed[30:32, 12:52].astype(float).mean() - np.median(changed)
    assert -5 < stands_out < 30
    assert abs(float(np.median(changed)) - 120) < 5


def test_each_constant_named_is_halved_and_doubled_beside_the_night_as_it_is() -> None:
    assert dict(variants(["SUSPECT_FOLDS", "SUSPECT_TYPICAL"])) == {
        "": {},
        ", SUSPECT_FOLDS half": {"SUSPECT_FOLDS": tuning.SUSPECT_FOLDS // 2},
        ", SUSPECT_FOLDS double": {"SUSPECT_FOLDS": 2 * tuning.SUSPECT_FOLDS},
        ", SUSPECT_TYPICAL half": {"SUSPECT_TYPICAL": tuning.SUSPECT_TYPICAL / 2},
        ", SUSPECT_TYPICAL double": {"SUSPECT_TYPICAL": 2 * tuning.SUSPECT_TYPICAL},
    }
