"""A failure mode as its reviewer meets it."""

from dataclasses import replace

import pytest

from inspection.findings import (
    Cause,
    Diagnosis,
    ErrorKind,
    FailureMode,
    FlipRate,
    LoggedError,
    OperationMatch,
)
from inspection.nights.review import CHECKS, Sureness, confusions, how_sure, title, to_check
from inspection.operations.operation import FAMILIES

LAMP = OperationMatch("dimmer lamp", "darker", 1.15, "stops", 0.97, 0.9, 0.9)
GAMMA = replace(LAMP, operation="gamma darker", alternative=True)
DIMMED = Diagnosis(
    True, "darker", "dimmer lamp", 1.15, "stops", 0.97, (LAMP,), 0.66,
    nearer_share=1.0, cause=Cause.APPEARANCE, meaning="the light is dimmer",
)  # fmt: skip
HOLDS = FlipRate("layer2", 20, 128, 0.85, 0.57, 0.31, 0.12, 0.41, 0.03, 1.42)
UNKNOWN = Diagnosis(False, None, None, None, None, 0.2, reasons=("a", "b", "c", "d"))


def error(row: int, true: str, said: str) -> LoggedError:
    return LoggedError(row, f"{row}", f"/{row}.png", true, said, ErrorKind.CONFUSION, 1.0, "")


def mode(diagnosis: Diagnosis, *rates: FlipRate) -> FailureMode:
    errors = (error(1, "pit", "stain"), error(2, "scratch", "good"), error(3, "scratch", "good"))
    return FailureMode("n-1", "", errors, rates, (), diagnosis, None)


@pytest.mark.parametrize(
    ("diagnosis", "said"),
    [
        (DIMMED, "The light is dimmer: 45\u00a0% of the light"),
        (replace(DIMMED, meaning=""), "Dimmer lamp: 45\u00a0% of the light"),
        (replace(DIMMED, pair=(LAMP, GAMMA)), "Two changes at once: dimmer lamp and gamma darker"),
        (replace(DIMMED, operation="tone curve", measured="tone curve"), "Darker"),
        (UNKNOWN, "No cause claimed: scratch taken for good"),
        (replace(UNKNOWN, cause=Cause.LABELS), "Check the labels: scratch taken for good"),
        (replace(UNKNOWN, cause=Cause.INVISIBLE), "The defect cannot be seen: scratch taken for good"),
    ],
)
def test_the_cause_is_the_title(diagnosis: Diagnosis, said: str) -> None:
    assert title(mode(diagnosis)) == said


@pytest.mark.parametrize(
    ("found", "grade", "holds"),
    [
        (mode(DIMMED, HOLDS), Sureness.STRONG, [True, True, True]),
        (mode(DIMMED, replace(HOLDS, gain_lower=-0.1)), Sureness.FAIR, [True, True, False]),
        (mode(replace(DIMMED, matches=(LAMP, GAMMA)), HOLDS), Sureness.FAIR, [True, True, True, False]),
        (
            mode(replace(DIMMED, matches=(LAMP, GAMMA)), replace(HOLDS, gain_lower=-0.1)),
            *(Sureness.WEAK, [True, True, False, False]),
        ),
        (mode(UNKNOWN), Sureness.NONE, [False, False, False]),
    ],
)
def test_how_sure_a_finding_is(found: FailureMode, grade: Sureness, holds: list[bool]) -> None:
    sure = how_sure(found)
    assert (sure.grade, [sign.holds for sign in sure.signs]) == (grade, holds)


def test_what_was_taken_for_what_the_most_frequent_first() -> None:
    assert confusions(mode(DIMMED).errors) == [("scratch", "good", 2), ("pit", "stain", 1)]


def test_every_family_says_where_to_look_on_the_line() -> None:
    assert set(CHECKS) == set(FAMILIES)
    for family in FAMILIES:
        assert to_check(replace(DIMMED, family=family)) == CHECKS[family]
    assert "Look at the errors beside" in to_check(UNKNOWN)
