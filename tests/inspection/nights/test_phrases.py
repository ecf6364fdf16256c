"""What is found, in words: strengths as people say them, and what a diagnosis says."""

import re

import pytest

from inspection.findings import Cause, Diagnosis, Doubt, DoubtKind, OperationMatch
from inspection.inputs.defect_log import REASONS
from inspection.nights.phrases import NBSP, SET_ASIDE, sentence, strength_in_words
from inspection.operations.catalogue import CATALOGUE, find_operation
from inspection.operations.operation import Operation


def match(name: str, strength: float, alternative: bool = False) -> OperationMatch:
    operation = find_operation(name)
    return OperationMatch(name, operation.family, strength, operation.unit, 0.8, 0.7, 0.6, alternative)


@pytest.mark.parametrize(
    ("name", "strength", "said"),
    [
        ("dimmer lamp", 1.152, "45 % of the light"),
        ("offset darker", 0.45, "115 of 255 grey levels"),
        ("sensor noise", 0.01, "2.6 of 255 grey levels"),
        ("defocus", 1.0, "a blur of 1 pixel"),
        ("defocus", 3.0, "a blur of 3 pixels"),
        ("motion blur", 2.0, "over 2 pixels"),
        ("softer defects", 1.0, "over 1 pixel"),
        ("sharper defects", 0.5, "over 0.5 pixels"),
        ("darker background", 1.0, "by 1 stop"),
        ("fainter defects", 0.75, "a quarter of the defect's contrast"),
        ("reversed defects", 1.5, "reversed, at half of the contrast"),
    ],
)
def test_strengths_are_said_as_people_say_them(name: str, strength: float, said: str) -> None:
    assert strength_in_words(match(name, strength)).replace(NBSP, " ") == said


@pytest.mark.parametrize("operation", CATALOGUE, ids=lambda each: each.name)
def test_no_strength_of_the_catalogue_is_said_with_an_exponent_or_one_of_many(operation: Operation) -> None:
    strongest = min(operation.limit, 2 * operation.grid[-1])
    for strength in (*operation.grid, strongest):
        said = strength_in_words(match(operation.name, strength))
        assert "e+" not in said
        assert not re.search(r"\b(?<!\.)1 (stops|pixels|degrees)", said)


def unclaimed(strength: float, kind: DoubtKind) -> Diagnosis:
    best = match("dimmer lamp", strength)
    return Diagnosis(
        False, None, None, None, None, 0.4, matches=(best,), doubts=(Doubt(kind, ("dimmer lamp",), 0, 1),)
    )


@pytest.mark.parametrize("kind", DoubtKind)
def test_what_came_nearest_is_told_with_what_spoke_against_it(kind: DoubtKind) -> None:
    said = sentence(unclaimed(1.0, kind)).replace(NBSP, " ")
    assert said.startswith(
        "No cause is claimed. The nearest operation is dimmer lamp (50 % of the light), but "
    )


def test_what_fits_at_no_strength_is_told_without_one() -> None:
    said = sentence(unclaimed(0.0, DoubtKind.NO_STRENGTH))
    assert "The nearest operation is dimmer lamp, but it fits at no strength." in said


def test_equals_are_named_together() -> None:
    others = (match("gamma darker", 0.5, True), match("veil of stray light", 0.1, True))
    equals = (match("dimmer lamp", 1.0), *others)
    found = Diagnosis(
        True, "darker", "dimmer lamp", 1.0, "stops", 0.8, matches=equals, cause=Cause.APPEARANCE,
        meaning="the lamp gives less light",
    )  # fmt: skip
    said = sentence(found).replace(NBSP, " ")
    assert said.startswith(
        "The lamp gives less light: dimmer lamp (50 % of the light), gamma darker (a gamma of 1.41) or "
        "veil of stray light (10 % of the light shows nothing). The first explains 80 % of"
    )
    assert said.endswith("These errors do not tell which of them it is; the recipe holds each.")


def test_why_a_row_is_set_aside_is_said_in_words() -> None:
    assert [*SET_ASIDE] == [*REASONS]
