"""Exact tests of counts, against SciPy's."""

import pytest
from scipy.stats import binomtest

from fmi_engine.chance import as_uneven, at_least


@pytest.mark.parametrize("trials", [0, 1, 2, 7, 40])
@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.73, 1.0])
def test_so_many_or_more(trials: int, probability: float) -> None:
    for successes in range(trials + 1):
        expected = binomtest(successes, trials, probability, "greater").pvalue if trials else 1.0
        assert at_least(successes, trials, probability) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("trials", [1, 2, 7, 40])
def test_as_uneven_as_these(trials: int) -> None:
    for one in range(trials + 1):
        expected = binomtest(one, trials, 0.5).pvalue
        assert as_uneven(one, trials - one) == pytest.approx(expected, abs=1e-12)
    assert as_uneven(0, 0) == 1


def test_three_of_three_by_hand() -> None:
    assert at_least(3, 3, 0.5) == pytest.approx(1 / 8)
    assert as_uneven(3, 0) == pytest.approx(2 / 8)
