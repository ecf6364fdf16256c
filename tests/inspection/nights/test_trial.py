"""How many parts a trial takes: against a simulation, and what cannot be reckoned."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from fmi_engine.chance import as_uneven
from inspection.findings import Accuracy, Decision, Retraining
from inspection.nights.trial import POWER, parts_needed, trial_of

NOW = datetime(2026, 7, 4, tzinfo=UTC)
LOGGED = Accuracy("logged errors", 200, 0, 160, 160, 0, 1e-9, 0.74, 0.85)
LINE = Accuracy("parts of the line", 230, 200, 221, 24, 3, 1e-5, 0.05, 0.13)
DONE = Retraining(
    "r", ("m-1",), "ab", "cd", NOW, NOW, Decision.ACCEPTED, (), (LOGGED, LINE)
)  # fmt: skip


@pytest.mark.parametrize(("fixed", "broken"), [(0.02, 0.0), (0.03, 0.01), (0.2, 0.1)])
def test_so_many_parts_show_the_difference_as_often_as_is_said(fixed: float, broken: float) -> None:
    """Of parts drawn as measured, the sign test is asked; a trial of half as many shows it less often."""
    size = parts_needed(fixed, broken, 0.05)
    assert size is not None
    rng = np.random.default_rng(0)

    def shown(parts: int) -> float:
        drawn = rng.multinomial(parts, [fixed, broken, 1 - fixed - broken], 3000)
        return float(np.mean([a > b and as_uneven(int(a), int(b)) <= 0.05 for a, b, _ in drawn]))

    assert shown(size) == pytest.approx(POWER, abs=0.04)
    assert shown(size // 2) < POWER - 0.1


def test_what_harms_as_much_as_it_mends_needs_no_trial() -> None:
    assert parts_needed(0.01, 0.01, 0.05) is None
    assert parts_needed(0.0, 0.0, 0.05) is None
    assert parts_needed(0.010001, 0.01, 0.05) is None  # more parts than a line makes


def test_without_a_loss_six_have_to_be_mended() -> None:
    """2 * 0.5 ** 6 is the first below 0.05. Six or more of 7.9 on average come in four of five trials."""
    assert parts_needed(1.0, 0.0, 0.05) == 8
    assert parts_needed(0.02, 0.0, 0.05) == 396


def test_a_trial_is_reckoned_from_what_was_measured() -> None:
    trial = trial_of(DONE, (40, 1960), 0.05)
    assert trial is not None
    assert (trial.errors, trial.parts, trial.rate.share, trial.judged_right) == (40, 2000, 0.02, 200)
    assert (trial.rate.lower, trial.rate.upper) == pytest.approx((0.01433, 0.02714), abs=1e-5)
    assert (trial.mended.share, trial.mended.lower, trial.mended.upper) == (0.8, 0.74, 0.85)
    assert (trial.lost.share, trial.lost.lower) == pytest.approx((0.015, 0.00310), abs=1e-5)
    assert trial.size == parts_needed(0.02 * 0.8, 0.98 * 0.015, 0.05)
    assert trial.size_lower is not None
    assert trial.size is None or trial.size_lower < trial.size
    assert trial.size_upper is None  # at that end more right parts are lost than errors mended


def test_nothing_is_reckoned_that_was_not_measured() -> None:
    assert trial_of(DONE, (40, 0), 0.05) is None  # a log of errors alone
    assert trial_of(DONE, (0, 0), 0.05) is None
    assert trial_of(replace(DONE, accuracies=(LINE,)), (40, 1960), 0.05) is None
    few = replace(LINE, before=19)
    assert trial_of(replace(DONE, accuracies=(LOGGED, few)), (40, 1960), 0.05) is None
