"""Wrong labels: the signs by hand, and how far down errors are listed."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from fmi_engine.types import FloatArray
from inspection import tuning
from inspection.evidence.wrong_labels import LabelEvidence, LabelSigns, View, out_of_sample


def signs(*margins: float, issue: bool = True, neighbours: float = 1.0, typical: float = 1.0) -> LabelSigns:
    """All signs of images with these margins; by default they all agree."""
    count = len(margins)
    return LabelSigns(
        np.array(margins, np.float32),
        np.full(count, issue),
        np.full(count, neighbours, np.float32),
        np.full(count, typical, np.float32),
    )


NONE = signs()


def joined(one: LabelSigns, other: LabelSigns) -> LabelSigns:
    """The signs of the images of both."""
    names = ("margin", "issue", "neighbours", "typical")
    return LabelSigns(*(np.concatenate([getattr(each, name) for each in (one, other)]) for name in names))


def hard(agreeing: list[float], others: int) -> LabelSigns:
    """Hard reference images, some of which the rule would list."""
    margins = np.array([*agreeing, *[0.9] * others], np.float32)
    ones = np.ones(len(margins), np.float32)
    return LabelSigns(margins, np.arange(len(margins)) < len(agreeing), ones, ones)


# --- which errors are listed ---


@pytest.mark.parametrize(
    "against",
    [
        pytest.param({"issue": False}, id="confident learning finds nothing"),
        pytest.param({"neighbours": 0.6}, id="two of five neighbours are of another class"),
        pytest.param({"typical": 0.1}, id="nine of ten of the class lie nearer to it"),
    ],
)
def test_one_sign_against_it_is_enough(against: dict[str, Any]) -> None:
    assert signs(0.9).agree.tolist() == [True]
    assert signs(0.9, **against).agree.tolist() == [False]
    assert len(LabelEvidence(signs(*[0.9] * 20, **against), hard([], 40)).listed) == 0


def test_errors_are_listed_as_far_down_as_enough_are_expected_to_be_wrong() -> None:
    """Of 95 hard images, and 5 taken for granted, those with margins of .2 and .1 agree, and 6 of 10 errors.

    Of the first 4 there are expected to be right 10 * .5 / 100, of the fifth on 10 * 1.5 / 100, then 2.5.
    """
    errors = signs(0.5, 0.9, 0.15, 0.8, 0.3, 0.05)
    others = signs(*[1.0] * 4, issue=False)
    both = joined(errors, others)
    evidence = LabelEvidence(both, hard([0.2, 0.1], 93))
    assert evidence.listed.tolist() == [1, 3, 0, 4, 2, 5]
    assert_allclose(evidence.expected, [1 - 0.05 / 4] * 4 + [1 - 0.15 / 5, 1 - 0.25 / 6], rtol=1e-6)


def test_none_is_listed_where_hard_parts_would_be_as_often() -> None:
    """A fifth of the hard reference images agree, and a fifth of the errors."""
    errors = LabelSigns(
        np.full(50, 0.9, np.float32), np.arange(50) < 10, np.ones(50, np.float32), np.ones(50, np.float32)
    )
    assert len(LabelEvidence(errors, hard([0.9] * 10, 40)).listed) == 0
    assert len(LabelEvidence(errors, hard([], 50)).listed) == 10


def test_few_hard_parts_promise_little() -> None:
    """Of six usual images two agree; .5 / 5 of six may be right with no hard part, .5 / 15 with ten."""
    both = joined(signs(0.9, 0.9), signs(*[0.9] * 4, issue=False))
    assert len(LabelEvidence(both, NONE).listed) == 0
    assert len(LabelEvidence(both, hard([], 10)).listed) == 2


def test_errors_that_are_no_usual_ones_expect_no_hard_parts() -> None:
    """Two errors under wrong labels among a hundred of a fault, which look like no class."""
    both = joined(signs(0.9, 0.9), signs(*[0.9] * 100, typical=0.0))
    assert LabelEvidence(both, hard([], 10)).listed.tolist() == [0, 1]


# --- the signs of one view, on a line ---


def on_a_line(places: list[float], labels: list[int], references: int, probabilities: FloatArray) -> View:
    return View(
        np.array(places, np.float32)[:, None], np.array(labels), references, probabilities.astype(np.float32)
    )


def even(labels: list[int]) -> FloatArray:
    return np.full((len(labels), 2), 0.5, np.float32)


def test_neighbours_are_the_five_nearest_reference_images_and_never_the_image_itself() -> None:
    labels = [0, 0, 0, 1, 1, 1, 0]
    view = on_a_line([0, 1, 2, 3, 4, 9, 2.4], labels, 6, even(labels))
    asked = np.array([6, 2])
    assert_allclose(view.neighbours(asked, np.array([1, 1])), [2 / 5, 3 / 5])


def test_typical_is_the_share_of_the_class_that_lies_as_far_from_its_three_nearest() -> None:
    """Of 0, 1, 2, 3 and 7 the mean distances are 2, 4/3, 4/3, 2 and 5; of the error at 5 it is 7/3."""
    labels = [0, 0, 0, 0, 0, 1, 1]
    view = on_a_line([0, 1, 2, 3, 7, 5, 30], labels, 5, even(labels))
    assert_allclose(view.typical(np.array([5, 6]), np.array([0, 0])), [1 / 5, 0])
    assert_allclose(view.typical(np.array([5]), np.array([1])), [0])  # no reference image is of that class


def test_the_margin_is_of_the_suggestion_over_the_label() -> None:
    view = on_a_line([0, 1], [0, 1], 1, np.array([[0.7, 0.3], [0.9, 0.1]]))
    assert_allclose(view.margin(np.array([0, 1]), np.array([1, 0])), [-0.4, 0.8], rtol=1e-6)


def two_heaps(seed: int) -> tuple[FloatArray, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], 30)
    return (rng.normal(size=(60, 2)) + 6 * labels[:, None]).astype(np.float32), labels


def test_confident_learning_finds_the_exchanged_labels_of_two_heaps() -> None:
    rows, labels = two_heaps(0)
    given = labels.copy()
    given[[4, 40]] = 1 - given[[4, 40]]
    view = View(rows, given, 50, out_of_sample(rows, given, 2, 0))
    assert np.flatnonzero(view.issues).tolist() == [4, 40]
    assert view.issue(np.array([4, 40, 40]), np.array([0, 1, 0])).tolist() == [True, True, False]


def test_an_image_is_classified_without_itself_and_a_class_of_few_by_none() -> None:
    rows, labels = two_heaps(1)
    labels[: tuning.SUSPECT_FOLDS - 1] = 2
    found = out_of_sample(rows, labels, 4, 0)
    assert (found[: tuning.SUSPECT_FOLDS - 1] == 0).all()
    assert_allclose(found[tuning.SUSPECT_FOLDS - 1 :].sum(1), 1, rtol=1e-5)
    assert (found[:, 2:] == 0).all()
    assert (found[tuning.SUSPECT_FOLDS - 1 :].argmax(1) == labels[tuning.SUSPECT_FOLDS - 1 :]).all()
    assert not View(rows, labels, 60, found).issues[: tuning.SUSPECT_FOLDS - 1].any()


def test_nothing_is_known_of_a_single_class() -> None:
    rows, _ = two_heaps(2)
    alone = np.zeros(60, np.int64)
    found = out_of_sample(rows, alone, 2, 0)
    assert not found.any()
    assert not View(rows, alone, 60, found).issues.any()
