"""Two models on the same images, by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from inspection.models.comparison import Judged, accuracy_of, calibration_error, mcnemar, paired_interval


@pytest.mark.parametrize(
    ("fixed", "broken", "p_value"),
    [
        pytest.param(8, 1, 2 * (1 + 9) / 512, id="eight to one: 0 or 1 of 9, both sides"),
        pytest.param(5, 0, 2 / 32, id="five to none"),
        pytest.param(6, 0, 2 / 64, id="six to none, the first below 0.05"),
        pytest.param(1, 8, 2 * (1 + 9) / 512, id="it is two-sided"),
        pytest.param(3, 3, 1.0, id="as many broken as fixed"),
        pytest.param(0, 0, 1.0, id="nothing changed"),
    ],
)
def test_mcnemar_by_hand(fixed: int, broken: int, p_value: float) -> None:
    assert mcnemar(fixed, broken) == pytest.approx(p_value, rel=1e-12)


def test_mcnemar_is_the_exact_binomial_test() -> None:
    for fixed in range(12):
        for broken in range(12):
            if fixed + broken:
                slow = 2 * sum(math.comb(fixed + broken, i) for i in range(min(fixed, broken) + 1))
                assert mcnemar(fixed, broken) == pytest.approx(min(1.0, slow / 2 ** (fixed + broken)))
                scipys = stats.binomtest(fixed, fixed + broken, 0.5).pvalue
                assert mcnemar(fixed, broken) == pytest.approx(float(scipys))


def test_paired_interval_by_hand() -> None:
    # 8 fixed and 1 broken of 20; half an observation more in each of the four cells: 8.5, 1.5 of 22.
    # Change 7 / 22; variance (10 - 7 * 7 / 22) / 22 ** 2 = 7.772727 / 484.
    lower, upper = paired_interval(8, 1, 20)
    assert lower == pytest.approx(0.318182 - 1.959964 * 2.787961 / 22, abs=1e-5)
    assert upper == pytest.approx(0.318182 + 1.959964 * 2.787961 / 22, abs=1e-5)
    assert (lower, upper) == pytest.approx((0.069806, 0.566557), abs=1e-5)


def test_paired_interval_is_even_handed() -> None:
    assert paired_interval(3, 3, 40)[0] == pytest.approx(-paired_interval(3, 3, 40)[1])
    assert paired_interval(1, 8, 20) == pytest.approx(tuple(-x for x in reversed(paired_interval(8, 1, 20))))
    assert paired_interval(0, 0, 0) == (0.0, 0.0)


@pytest.mark.parametrize(("fixed", "broken", "n"), [(5, 0, 5), (0, 5, 5), (1, 0, 1)])
def test_no_change_of_accuracy_is_larger_than_all_of_it(fixed: int, broken: int, n: int) -> None:
    lower, upper = paired_interval(fixed, broken, n)
    assert -1.0 <= lower < upper <= 1.0


def test_two_models_side_by_side() -> None:
    labels = np.array([0, 0, 0, 1, 1, 3, 3, 3])
    before = np.array([0, 0, 1, 0, 0, 3, 3, 0])
    after = np.array([0, 1, 0, 1, 3, 3, 3, 3])
    found = accuracy_of(Judged("clean", labels, before, after), ("good", "pit", "dent", "stain"), ("good",))
    assert (found.name, found.images, found.before, found.after) == ("clean", 8, 4, 6)
    assert (found.fixed, found.broken) == (3, 1)
    assert found.p_value == pytest.approx(2 * (1 + 4) / 16)
    # 3.5 and 1.5 of 10: change 0.2, variance (5 - 4 / 10) / 100
    assert found.gain_lower == pytest.approx(0.2 - 1.959964 * math.sqrt(4.6) / 10)
    assert found.gain_upper == pytest.approx(0.2 + 1.959964 * math.sqrt(4.6) / 10)
    assert found.per_class == {"good": (3, 2, 2), "pit": (2, 0, 1), "stain": (3, 2, 3)}
    assert found.escapes == (3, 0)  # both pits and a stain were passed as good
    assert found.overkills == (1, 1)


def test_where_no_class_is_good_nothing_escapes_and_nothing_is_known_of_it() -> None:
    labels = np.array([0, 1])
    found = accuracy_of(Judged("clean", labels, labels, labels), ("pit", "dent"))
    assert (found.escapes, found.overkills) == (None, None)


def test_no_images_compare_to_nothing() -> None:
    none = np.zeros(0, np.int64)
    found = accuracy_of(Judged("holdout", none, none, none), ("good", "pit"))
    assert (found.images, found.p_value, found.per_class) == (0, 1.0, {})


def test_calibration_by_hand() -> None:
    # Two images at 0.9, one of them right: apart by 0.4. One at 0.6 that is right: apart by 0.4.
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]], np.float32)
    assert calibration_error(probabilities, np.array([0, 0, 0])) == pytest.approx(0.4, abs=1e-6)


def test_who_is_always_sure_and_right_is_calibrated() -> None:
    assert calibration_error(np.eye(3, dtype=np.float32), np.arange(3)) == 0.0
    assert math.isnan(calibration_error(np.zeros((0, 3), np.float32), np.zeros(0, np.int64)))
