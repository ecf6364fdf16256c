"""Which arm is taken, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from inspection.findings import CHANGED, LINE, LOGGED, Arm, ArmResult, CheckKind, GateCheck
from inspection.models.comparison import Judged
from inspection.retraining.competition import Tried, best

WRONG, RIGHT = 1, 0


def judged(name: str, fixed: int, broken: int, right: int, wrong: int) -> Judged:
    rows = (
        [(WRONG, RIGHT)] * fixed
        + [(RIGHT, WRONG)] * broken
        + [(RIGHT, RIGHT)] * right
        + [(WRONG, WRONG)] * wrong
    )
    before, after = np.array(rows, np.int64).reshape(-1, 2).T
    return Judged(name, np.zeros(len(rows), np.int64), before, after)


def tried(
    arm: Arm, fixed: int, wrong: int, kept: Judged | None = None, *checks: GateCheck, right_read: int = 0
) -> Tried:
    sets = {LOGGED: judged(LOGGED, fixed, 0, 0, wrong)} | ({kept.name: kept} if kept else {})
    return Tried(ArmResult(arm, 0, 3, 1.0, (), checks), sets, right_read)


def harm(p_value: float, passed: bool | None = False) -> GateCheck:
    return GateCheck(CheckKind.CLASS, "clean", 20, 20, 15, passed, "pit", p_value)


def test_the_arm_that_mends_most_is_taken_and_the_cheaper_of_equals() -> None:
    arms = [tried(Arm.RECIPES, 6, 4), tried(Arm.LOGGED, 7, 3), tried(Arm.BOTH, 7, 3)]
    found = best(arms)
    assert found is arms[1]


def test_what_ruins_the_parts_that_went_right_is_not_taken() -> None:
    """Measured on paper: logged images alone mend every logged error and ruin the good parts."""
    ruins, keeps = judged(CHANGED, 15, 24, 66, 5), judged(CHANGED, 16, 1, 89, 4)
    arms = [tried(Arm.LOGGED, 53, 0, ruins), tried(Arm.BOTH, 51, 2, keeps)]
    assert best(arms) is arms[1]


def test_what_the_log_holds_of_the_parts_that_went_right_is_believed_before_clean_images() -> None:
    """Of 1000 parts 20 went wrong: 2 of 100 that went right are worth more than all of them."""
    arms = [
        tried(Arm.LOGGED, 20, 0, judged(LINE, 0, 3, 97, 0), right_read=980),
        tried(Arm.BOTH, 15, 5, judged(LINE, 0, 0, 100, 0), right_read=980),
    ]
    assert best(arms) is arms[1]
    few = [replace(each, right_read=20) for each in arms]
    assert best(few) is few[0]
    for each in arms:
        each.judged[CHANGED] = judged(CHANGED, 0, 90, 10, 0)
    assert best(arms) is arms[1]


@pytest.mark.parametrize(
    ("check", "taken"),
    [
        pytest.param(harm(0.03), False, id="harm beyond chance"),
        pytest.param(harm(0.2), True, id="which the gate may still refuse"),
        pytest.param(harm(0.01, passed=True), True, id="no harm"),
        pytest.param(harm(1.0, passed=None), True, id="nothing to tell it by"),
    ],
)
def test_an_arm_that_harms_beyond_chance_is_not_taken(check: GateCheck, taken: bool) -> None:
    arms = [tried(Arm.RECIPES, 3, 7), tried(Arm.LOGGED, 9, 1, None, check)]
    assert best(arms) is arms[taken]


def test_an_arm_that_mends_nothing_is_not_taken() -> None:
    assert best([tried(Arm.FIRST_AID, 0, 9), tried(Arm.RECIPES, 0, 9)]) is None
    assert best([]) is None
