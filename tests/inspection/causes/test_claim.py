"""The claim: which accounts it takes, what it holds against the others, and that it says so in words."""

from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.causes.claim import claim, doubt_of_measured
from inspection.causes.diagnosis import diagnose
from inspection.causes.measured_match import MeasuredMatch
from inspection.causes.ranking import Ranking, match_of
from inspection.evidence.case import Case
from inspection.evidence.nearest import Baselines, NearestMatch, PatchEvidence
from inspection.evidence.place import PlaceMatch
from inspection.evidence.shift import Shares
from inspection.findings import Cause, Diagnosis, Doubt, DoubtKind, OperationMatch
from inspection.nights.phrases import doubt_in_words, worded
from inspection.operations.catalogue import Change
from inspection.recipes.overlays import FIXED_PATTERN
from inspection.workspace.settings import MatchingSettings
from tests.inspection.conftest import DIMMED

LAMP = ("dimmer lamp",)
LITTLE = Shares(0.1, 0.1, 0.1)
ENOUGH = Shares(0.9, 0.9, 0.9)
ELSEWHERE, HERE = (
    PlaceMatch(np.full((2, 20), left, np.float32), np.full(20, left, np.float32)) for left in (1.3, 0.3)
)


def nearest(shares: Shares, nearer: int, place: PlaceMatch = HERE) -> NearestMatch:
    """Of 20 errors."""
    return NearestMatch(shares, 20, lambda: PatchEvidence(nearer, place))


NEARER = nearest(ENOUGH, 18)


def alike(share: float) -> Shares:
    return Shares(share, share, share)


@dataclass
class Nearest:
    baselines: Baselines = field(default_factory=lambda: Baselines(LITTLE, LITTLE, LITTLE, 0.1))
    right: int = 0
    right_before: int = 20
    errors: int = 20

    def misclassified(self, _change: Change) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        which = np.arange(self.errors)
        return which >= self.right_before, which >= self.right


@dataclass
class Some:
    """As much of a case as a claim asks for."""

    errors: int = 20
    nearest: Nearest = field(default_factory=Nearest)
    settings: MatchingSettings = field(default_factory=MatchingSettings)
    new: int = 0

    def __len__(self) -> int:
        return self.errors

    def new_beside(self, *_: Change) -> NDArray[np.bool_]:
        return np.arange(self.errors) < self.new


def claimed(
    shares: Shares = ENOUGH,
    match: NearestMatch | None = NEARER,
    *,
    strength: float = 1.0,
    errors: int = 20,
    control: float = 0.2,
    baselines: Baselines | None = None,
    pair: tuple[OperationMatch, ...] = (),
    new: int = 0,
    right: int = 0,
    right_before: int = 20,
    name: str = "dimmer lamp",
) -> Diagnosis:
    """The claim of a dimmer lamp, which nothing speaks against but what is given."""
    around = Nearest(baselines or Nearest().baselines, right, right_before)
    some = Some(errors, around, new=new)
    ranking = Ranking((match_of(name, strength, shares),), match, pair)
    return claim(cast(Case, some), ranking, control)


def baselines(
    *, errors: float = 0.1, unchanged: float = 0.1, either: float = 0.1, like: float = 0.1
) -> Baselines:
    return Baselines(alike(errors), alike(unchanged), alike(either), like)


# --- what is claimed ---


def test_what_nothing_speaks_against_is_claimed() -> None:
    found = claimed()
    assert (found.claimed, found.cause, found.doubts) == (True, Cause.APPEARANCE, ())
    assert (found.family, found.operation, found.strength, found.unit) == ("darker", *LAMP, 1.0, "stops")
    assert (found.meaning, found.share, found.control_share) == ("the light is dimmer", 0.9, 0.2)
    assert (found.nearer_share, found.unchanged_share) == (0.9, 0.1)
    assert (found.sentence, found.reasons) == ("", ())  # the words are not the claim's


def test_of_a_pair_the_shares_and_the_names_count_that_it_has_together() -> None:
    pair = (match_of("dimmer lamp", 0.1, ENOUGH), match_of("defocus", 2.0, ENOUGH))
    found = claimed(alike(0.5), strength=0.1, pair=pair)  # alone too little, and faint
    assert (found.claimed, found.pair, found.share) == (True, pair, 0.9)
    assert (found.family, found.operation, found.strength) == ("darker", *LAMP[:1], 0.1)
    doubted = claimed(alike(0.5), nearest(ENOUGH, 1), pair=pair)
    assert (doubted.claimed, doubted.pair) == (False, ())
    assert [each.named for each in doubted.doubts] == [("dimmer lamp", "defocus")]


# --- what speaks against it ---

DOUBTED = {
    DoubtKind.TOO_FEW_ERRORS: (
        claimed(errors=4),
        Doubt(DoubtKind.TOO_FEW_ERRORS, (), 4, 5),
        "4 errors are too few: 5 are needed",
    ),
    DoubtKind.NO_STRENGTH: (
        claimed(match=None),
        Doubt(DoubtKind.NO_STRENGTH, LAMP, 0.0, 0.0),
        "“dimmer lamp” explains nothing at any strength",
    ),
    DoubtKind.UNCHANGED: (
        claimed(baselines=baselines(unchanged=0.88, errors=0.89)),
        Doubt(DoubtKind.UNCHANGED, LAMP, (0.9 - 0.88) / (1 - 0.88), 0.25),
        "of what the reference images nearest to these errors, as they are, leave unexplained, “dimmer lamp” "
        "explains 17\u00a0%; 25\u00a0% is needed",
    ),
    DoubtKind.BASELINE_ERRORS: (
        claimed(baselines=baselines(errors=0.85), match=nearest(ENOUGH, 0)),
        Doubt(DoubtKind.BASELINE_ERRORS, LAMP, (0.9 - 0.85) / (1 - 0.85), 0.4),
        "of what the errors that the model makes without any change leave unexplained, “dimmer lamp” "
        "explains 33\u00a0%; 40\u00a0% is needed",
    ),
    DoubtKind.PLACE: (
        claimed(match=nearest(ENOUGH, 18, ELSEWHERE)),
        Doubt(DoubtKind.PLACE, LAMP, -0.3, 0.0),
        "“dimmer lamp” changes other places of an image than those that changed on these errors: patch by "
        "patch, reference images under it are no nearer to them than reference images as they are",
    ),
    DoubtKind.NOT_NEARER: (
        claimed(match=nearest(ENOUGH, 11)),
        Doubt(DoubtKind.NOT_NEARER, LAMP, 11, 0.5, errors=20),
        "“dimmer lamp” explains what sets 11 of 20 errors apart from the reference images as they are, of "
        "their own classes and of those they were taken for; more than 50\u00a0%, beyond chance, are needed",
    ),
    DoubtKind.HARMLESS: (
        claimed(right=10, new=20),
        Doubt(DoubtKind.HARMLESS, LAMP, 10, 10, errors=20),
        "under “dimmer lamp” the model gets 10 of 20 reference images right, those most like these "
        "errors: most have to fail, and more than do as they are",
    ),
    DoubtKind.NEW: (
        claimed(new=15),
        Doubt(DoubtKind.NEW, LAMP, 15, 0.5, errors=20),
        "15 of 20 errors hold patches that no reference image has under “dimmer lamp” either, of any class: "
        "they differ in something else, too",
    ),
    DoubtKind.BLAMED_SHARE: (
        claimed(Shares(0.7, 0.9, 0.9)),
        Doubt(DoubtKind.BLAMED_SHARE, LAMP, 0.7, 0.75),
        "“dimmer lamp” explains 70\u00a0% of what moved the blamed filters; 75\u00a0% is needed",
    ),
    DoubtKind.OVERALL_SHARE: (
        claimed(Shares(0.9, 0.6, 0.9)),
        Doubt(DoubtKind.OVERALL_SHARE, LAMP, 0.6, 0.65),
        "over all filters alike “dimmer lamp” explains only 60\u00a0%, and 65\u00a0% is needed: a change of "
        "the image moves every filter, not only those that fooled the model",
    ),
    DoubtKind.LOOK_SHARE: (
        claimed(Shares(0.9, 0.9, -0.4)),
        Doubt(DoubtKind.LOOK_SHARE, LAMP, -0.4, 0.5),
        "“dimmer lamp” explains 0\u00a0% of how the images themselves look (brightness, its place, spectrum, "
        "tones, lines); 50\u00a0% is needed",
    ),
    DoubtKind.CHANCE: (
        claimed(control=0.9),
        Doubt(DoubtKind.CHANCE, LAMP, 0.9, 0.9),
        "logs without a change reach 90\u00a0% by chance",
    ),
    DoubtKind.FAINT: (
        claimed(strength=0.12),
        Doubt(DoubtKind.FAINT, LAMP, 0.12, 0.25, unit="stops"),
        "the fitted strength, 0.12 stops, is below 0.25, the least that can be distinguished from the parts' "
        "own variation",
    ),
}


@pytest.mark.parametrize("kind", DOUBTED)
def test_one_thing_that_speaks_against_an_account_is_enough(kind: DoubtKind) -> None:
    found, doubt, words = DOUBTED[kind]
    assert (found.claimed, found.cause) == (False, Cause.UNKNOWN)
    (mine,) = found.doubts
    assert mine == replace(doubt, found=mine.found)
    assert mine.found == pytest.approx(doubt.found)
    assert (found.family, found.operation, found.strength, found.unit) == (None, None, None, None)
    assert (found.meaning, found.share) == ("", found.matches[0].share)
    assert worded(found).reasons == (words,)


def test_one_view_in_which_the_change_lies_elsewhere_is_enough() -> None:
    """The images say yes and the maps no; of what is drawn anew on every part by a tenth."""
    for name, of_maps, expected in (
        ("dimmer lamp", 0.99, True),
        ("dimmer lamp", 1.01, False),
        ("brushed grain", 1.05, True),
        ("brushed grain", 1.15, False),
        ("dust", 1.05, True),
        ("shadow band", 1.05, False),
    ):
        left = np.stack([np.full(20, 0.3), np.full(20, of_maps)]).astype(np.float32)
        found = claimed(match=nearest(ENOUGH, 18, PlaceMatch(left, left.mean(0))), name=name)
        assert found.claimed is expected


def test_all_that_speaks_against_an_account_is_said() -> None:
    found = claimed(alike(0.3), nearest(alike(0.3), 3), strength=0.12, errors=4, control=0.5)
    assert [doubt.kind for doubt in found.doubts] == [
        DoubtKind.TOO_FEW_ERRORS,
        DoubtKind.UNCHANGED,
        DoubtKind.BLAMED_SHARE,
        DoubtKind.OVERALL_SHARE,
        DoubtKind.LOOK_SHARE,
        DoubtKind.CHANCE,
        DoubtKind.FAINT,
    ]


@pytest.mark.parametrize("count", [2, 4, 5])
def test_too_few_errors_are_not_diagnosed(lamp: Case, count: int) -> None:
    """Of a lamp that is named otherwise; five are enough to be judged, whatever is then found."""
    found = worded(diagnose(lamp.part(np.arange(count))))
    too_few = f"{count} errors are too few: 5 are needed"
    assert (too_few in found.reasons) == (count < 5)
    if count < 5:
        assert (found.claimed, found.operation, found.measured) == (False, None, None)


def test_a_change_has_to_make_the_model_fail_on_more_than_half() -> None:
    assert claimed(right=9).claimed
    assert not claimed(right=10).claimed


def test_a_change_has_to_make_the_model_fail_where_it_does_not_anyhow() -> None:
    assert claimed(right=4, right_before=5).claimed
    (doubt,) = claimed(right=5, right_before=5).doubts
    assert (doubt.kind, doubt.found, doubt.needed) == (DoubtKind.HARMLESS, 5, 5)


def test_half_of_the_errors_may_hold_what_is_new_by_chance() -> None:
    assert claimed(new=14).claimed
    assert not claimed(new=15).claimed


# --- of a change that was measured on the errors ---


@dataclass
class Half:
    """As much of half the errors, with what was measured on the others, as a doubt asks for."""

    case: Some

    def at_work(self, _name: str) -> Change:
        return np.asarray


def measured(
    shares: Shares, at_hand: int = 18, *, given: Baselines | None = None, new: int = 0, right: int = 0
) -> Doubt | None:
    halves = tuple(cast(Any, Half(Some(10, Nearest(right=right, errors=10), new=new))) for _ in range(2))
    match = MeasuredMatch(FIXED_PATTERN, nearest(shares, at_hand), given or baselines(), {}, halves)
    return doubt_of_measured(MatchingSettings(), match)


def test_a_measured_change_is_held_to_its_own_shares_and_to_the_same_baselines() -> None:
    assert measured(ENOUGH) is None
    assert measured(Shares(0.5, 0.8, 0.8)) is None
    for doubt, kind, words in (
        (
            measured(alike(0.69)),
            DoubtKind.MEASURED_SHARE,
            "the fixed pattern measured on one half of the errors explains 69\u00a0% of the evidence of the "
            "other half; 70\u00a0% is needed",
        ),
        (
            measured(Shares(0.95, 0.95, 0.4)),
            DoubtKind.MEASURED_VIEW,
            "the fixed pattern measured on one half of the errors explains 40\u00a0% of it in one of three "
            "views; 50\u00a0% is needed in each",
        ),
        (
            measured(ENOUGH, given=baselines(errors=0.85)),
            DoubtKind.BASELINE_ERRORS,
            "of what the errors that the model makes without any change leave unexplained, the fixed pattern "
            "measured on one half of the errors explains 33\u00a0%; 40\u00a0% is needed",
        ),
        (
            measured(ENOUGH, right=5, new=10),
            DoubtKind.HARMLESS,
            "under the fixed pattern measured on one half of the errors the model gets 10 of 20 reference "
            "images right, those most like these errors: most have to fail, and more than do as they are",
        ),
        (
            measured(ENOUGH, new=8),
            DoubtKind.NEW,
            "16 of 20 errors hold patches that no reference image has under the fixed pattern measured on "
            "one half of the errors either, of any class: they differ in something else, too",
        ),
        (
            measured(ENOUGH, 11),
            DoubtKind.NOT_NEARER,
            "the fixed pattern measured on one half of the errors explains what sets 11 of 20 errors apart "
            "from the reference images as they are, of their own classes and of those they were taken for; "
            "more than 50\u00a0%, beyond chance, are needed",
        ),
    ):
        assert doubt is not None
        assert (doubt.kind, doubt.named, doubt.measured) == (kind, (FIXED_PATTERN,), True)
        assert doubt_in_words(doubt) == words


# --- in words ---


def test_two_operations_together_are_many_and_one_is_one_whatever_it_is_called() -> None:
    one, two = (
        doubt_in_words(Doubt(DoubtKind.PLACE, named, -0.3, -0.1))
        for named in (("reversed defects",), ("dimmer lamp", "defocus"))
    )
    assert one.startswith("“reversed defects” changes other places")
    assert two.startswith("“dimmer lamp” and “defocus” together change other places")


def test_every_doubt_has_words_and_the_words_leave_the_numbers_as_they_are() -> None:
    doubts = tuple(
        Doubt(kind, LAMP, 0.456, 0.5, errors=20, unit="stops", measured=measured)
        for kind in DoubtKind
        for measured in (False, True)
    )
    said = [doubt_in_words(each) for each in doubts]
    assert [words for words in said if not words or "{" in words or "None" in words] == []
    assert len(
        {
            words.replace("the dimmer lamp measured on one half of the errors", "“dimmer lamp”")
            for words in said
        }
    ) == len(DoubtKind)
    for diagnosis in (
        replace(DIMMED, claimed=False, cause=Cause.UNKNOWN, doubts=doubts),
        replace(DIMMED, claimed=False, cause=Cause.LABELS, doubts=doubts[:1]),
        replace(DIMMED, pair=DIMMED.matches[:2]),
        replace(DIMMED, operation=FIXED_PATTERN, measured=FIXED_PATTERN, nearest_operation_share=0.4),
        DIMMED,
    ):
        found = worded(diagnosis)
        assert found.sentence
        assert found.reasons == tuple(map(doubt_in_words, diagnosis.doubts))
        assert replace(found, sentence="", reasons=()) == diagnosis
        assert worded(found) == found
