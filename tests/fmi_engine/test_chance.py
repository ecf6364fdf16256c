"""Exact tests of counts, against SciPy's."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, binomtest, poisson

from fmi_engine.chance import (
    Changes,
    as_fallen,
    as_uneven,
    at_least,
    holm,
    pairs_to_show,
    share_interval,
)


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


@pytest.mark.parametrize("share", [0.2, 0.5, 0.75])
def test_as_uneven_for_a_share_is_twice_the_smaller_tail(share: float) -> None:
    for one in range(13):
        tails = [binomtest(one, 12, share, side).pvalue for side in ("less", "greater")]
        assert as_uneven(one, 12 - one, share) == pytest.approx(min(1, 2 * min(tails)), abs=1e-12)


def test_three_of_three_by_hand() -> None:
    assert at_least(3, 3, 0.5) == pytest.approx(1 / 8)
    assert as_uneven(3, 0) == pytest.approx(2 / 8)


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (7, 7), (3, 11), (40, 2000)])
def test_the_interval_of_a_share(successes: int, trials: int) -> None:
    expected = binomtest(successes, trials).proportion_ci(0.95, "exact")
    assert share_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("share", [0.7, 0.9, 1.0])
def test_pairs_that_show_a_difference_summed_slowly(share: float) -> None:
    """The power at the number found: every count of pairs, every split of it, its test asked by itself."""
    mean = pairs_to_show(share, 0.05, 0.8, 500)
    assert mean is not None
    power = 0.0
    for count in range(200):
        for first in range(count // 2 + 1, count + 1):
            if as_uneven(first, count - first) <= 0.05:
                power += poisson.pmf(count, mean) * binom.pmf(first, count, share)
    assert power == pytest.approx(0.8, abs=1e-3)
    assert pairs_to_show(share, 0.05, 0.8, int(mean) - 2) is None


def test_corrected_p_values_are_holm_s() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("own", "others"),
    [((0, 4, 9), (1, 2, 40)), ((1, 3, 6), (3, 0, 7)), ((2, 0, 5), (0, 5, 30)), ((0, 1, 6), (3, 1, 164))],
)
def test_a_share_that_fell_beside_another_is_judged_by_every_way_of_swapping(
    own: tuple[int, int, int], others: tuple[int, int, int]
) -> None:
    def fall(signs: tuple[int, ...]) -> float:
        mine = own[0] + own[1]
        return sum(signs[:mine]) / own[2] - sum(signs[mine:]) / others[2]

    found = (1,) * own[0] + (-1,) * own[1] + (1,) * others[0] + (-1,) * others[1]
    swapped = [fall(signs) for signs in product((1, -1), repeat=len(found))]
    expected = np.mean([each <= fall(found) + 1e-12 for each in swapped])
    assert as_fallen(Changes(*own), Changes(*others)) == pytest.approx(expected)


def test_nothing_changed_is_no_fall_and_many_that_fell_are_one() -> None:
    assert as_fallen(Changes(0, 0, 5), Changes(0, 0, 50)) == 1.0
    assert as_fallen(Changes(0, 400, 1000), Changes(0, 0, 9)) == pytest.approx(0, abs=1e-100)
    assert as_fallen(Changes(400, 0, 1000), Changes(0, 0, 9)) == pytest.approx(1)
