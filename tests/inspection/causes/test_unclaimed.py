"""What errors are put down to that no cause explains: each played on the plant's own parts."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection import tuning
from inspection.causes.ranking import Ranking, match_of
from inspection.causes.unclaimed import cause_without_claim
from inspection.evidence.blame import screen
from inspection.evidence.case import Case
from inspection.evidence.nearest import Baselines
from inspection.evidence.place import describe_patches
from inspection.evidence.responses import Responses
from inspection.evidence.shift import Shares
from inspection.evidence.subject import Subject
from inspection.findings import Cause

NOTHING = Ranking((match_of("dimmer lamp", 1.0, Shares(0.1, 0.1, 0.1)),), None)


def case_of(here: Subject, responses: Responses, images: NDArray[np.uint8], label: str) -> Case:
    true = np.full(len(images), here.model.class_names.index(label))
    return Case(here, responses, screen(here, images, true), images)


def correct(here: Subject, label: str) -> NDArray[np.uint8]:
    wanted = here.model.class_names.index(label)
    return np.asarray(here.correct.images[here.correct.labels == wanted][:12])


def test_good_parts_logged_as_defects_that_others_show_cannot_be_seen(
    here: Subject, responses: Responses
) -> None:
    """Nothing stands out on them; on the reference images of the class something does."""
    for label in ("scratch", "pit"):
        found = cause_without_claim(case_of(here, responses, correct(here, "good"), label), NOTHING)
        assert found is Cause.INVISIBLE


@pytest.mark.parametrize(("others", "cannot"), [(1, True), (6, False)])
def test_a_few_that_were_taken_for_another_defect_do_not_make_the_rest_visible(
    here: Subject, responses: Responses, others: int, cannot: bool
) -> None:
    images = np.concatenate([correct(here, "good")[others:], correct(here, "pit")[:others]])
    found = cause_without_claim(case_of(here, responses, images, "scratch"), NOTHING)
    assert (found is Cause.INVISIBLE) is cannot


def test_good_parts_logged_as_defects_are_not_called_new(here: Subject, responses: Responses) -> None:
    found = cause_without_claim(case_of(here, responses, correct(here, "scratch"), "pit"), NOTHING)
    assert found in (Cause.LABELS, Cause.UNKNOWN)  # as they pass for no good part, nothing is invisible


def test_parts_with_what_no_reference_part_has_are_new(here: Subject, responses: Responses) -> None:
    images = correct(here, "good").copy()
    rows, columns = np.mgrid[: images.shape[1], : images.shape[2]]
    rings = (np.hypot(rows - 20, columns - 20).astype(int) // 3 % 2 == 0) & (rows < 40) & (columns < 40)
    images[:, rings] = 255
    assert cause_without_claim(case_of(here, responses, images, "pit"), NOTHING) is Cause.NEW_LOOK


def test_reference_patches_are_described_once_for_a_subject(
    here: Subject, responses: Responses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second failure mode of the same model describes its own errors alone, in the same words."""
    described: list[int] = []

    def counted(subject: Subject, images: NDArray[np.uint8]) -> object:
        described.append(len(images))
        return describe_patches(subject, images)

    monkeypatch.setattr("inspection.evidence.newness.describe_patches", counted)
    fresh, found = replace(here), list[Cause]()
    for _ in range(2):
        described.clear()
        found.append(cause_without_claim(case_of(fresh, responses, correct(here, "scratch"), "pit"), NOTHING))
    assert described == [12]
    assert found[0] is found[1]


@pytest.mark.parametrize(
    ("like", "either", "cause"),
    [
        (0.1, 0.1, Cause.UNKNOWN),
        (0.8, 0.4, Cause.LABELS),
        (0.79, 0.4, Cause.UNKNOWN),
        (0.8, 0.09, Cause.UNKNOWN),  # less than the best operation
    ],
)
def test_errors_that_look_like_the_predicted_class_are_a_matter_of_labels(
    here: Subject, responses: Responses, like: float, either: float, cause: Cause
) -> None:
    """As scratches that pass for pits do: nothing is new on them, and they pass for no good part."""
    case = case_of(here, responses, correct(here, "scratch"), "pit")
    little, alike = Shares(0.05, 0.05, 0.05), Shares(either, either, either)
    found = Baselines(little, little, alike, like)
    vars(case)["nearest"] = replace(case.nearest, baselines=found)
    assert cause_without_claim(case, NOTHING) is cause


def test_without_a_suspect_label_nothing_is_a_matter_of_labels(
    here: Subject, responses: Responses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the errors look like: the advice to check labels comes with the list of them."""
    monkeypatch.setattr(tuning, "SUSPECT_PRECISION", 1.01)
    case = case_of(here, responses, correct(here, "scratch"), "pit")
    little, alike = Shares(0.05, 0.05, 0.05), Shares(0.4, 0.4, 0.4)
    vars(case)["nearest"] = replace(case.nearest, baselines=Baselines(little, little, alike, 0.9))
    assert cause_without_claim(case, NOTHING) is Cause.UNKNOWN


@pytest.mark.parametrize("count", [1, 4])
def test_of_too_few_nothing_is_said(here: Subject, responses: Responses, count: int) -> None:
    case = case_of(here, responses, correct(here, "good")[:count], "scratch")
    assert cause_without_claim(case, NOTHING) is Cause.UNKNOWN
