"""The numbers that accept or refuse a candidate model, by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from inspection.findings import Accuracy
from inspection.models.acceptance import compare_answers, judge, mcnemar, paired_interval
from inspection.workspace.settings import AcceptanceSettings

# --- the numbers that judge ---


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
    before = np.array([1, 1, 0, 0, 0, 1, 1, 0], bool)
    after = np.array([1, 0, 1, 1, 0, 1, 1, 1], bool)
    found = compare_answers("clean", labels, ("good", "pit", "dent", "stain"), before, after)
    assert (found.name, found.images, found.before, found.after) == ("clean", 8, 4, 6)
    assert (found.fixed, found.broken) == (3, 1)
    assert found.p_value == pytest.approx(2 * (1 + 4) / 16)
    # 3.5 and 1.5 of 10: change 0.2, variance (5 - 4 / 10) / 100
    assert found.gain_lower == pytest.approx(0.2 - 1.959964 * math.sqrt(4.6) / 10)
    assert found.gain_upper == pytest.approx(0.2 + 1.959964 * math.sqrt(4.6) / 10)
    assert found.per_class == {"good": (3, 2, 2), "pit": (2, 0, 1), "stain": (3, 2, 3)}


def test_no_images_compare_to_nothing() -> None:
    none = np.zeros(0, bool)
    found = compare_answers("holdout", np.zeros(0, np.int64), ("good", "pit"), none, none)
    assert (found.images, found.p_value, found.per_class) == (0, 1.0, {})


# --- accepted or refused ---

SETTINGS = AcceptanceSettings(clean_margin=0.01, class_margin=0.05, significance=0.05)


def failing(fixed: int, broken: int, images: int = 20) -> Accuracy:
    return Accuracy("failing", images, 2, 2 + fixed - broken, fixed, broken, mcnemar(fixed, broken), 0.0, 0.0)


def clean(**per_class: tuple[int, int, int]) -> Accuracy:
    images, before, after = (sum(counts[i] for counts in per_class.values()) for i in range(3))
    return Accuracy("clean", images, before, after, 0, before - after, 1.0, 0.0, 0.0, per_class)


HARMLESS = clean(good=(100, 98, 98), pit=(100, 95, 94))


def test_a_candidate_that_repairs_and_harms_nothing_is_accepted() -> None:
    accepted, reasons = judge(failing(8, 1), HARMLESS, SETTINGS)
    assert accepted
    assert reasons == (
        "failing: 2 of 20 right before, 9 after (p = 0.039)",
        "clean: 193 of 200 right before, 192 after",
    )


@pytest.mark.parametrize(
    ("repair", "harm", "expected"),
    [
        pytest.param(
            failing(5, 0),
            HARMLESS,
            ["failing: 5 fixed and 0 broken of 20; not a significant repair (p = 0.062, needed 0.05)"],
            id="too few to be sure",
        ),
        pytest.param(
            failing(1, 8),
            HARMLESS,
            ["failing: 1 fixed and 8 broken of 20; not a significant repair (p = 0.039, needed 0.05)"],
            id="significantly worse is no repair",
        ),
        pytest.param(
            failing(0, 0, images=0),
            HARMLESS,
            ["failing: no image to measure the repair on"],
            id="nothing to measure the repair on",
        ),
        pytest.param(
            failing(8, 1),
            clean(good=(100, 98, 97), pit=(100, 95, 93)),
            ["clean: accuracy falls by 1.5%; at most 1.0% is accepted"],
            id="clean images fall",
        ),
        pytest.param(
            failing(8, 1),
            clean(good=(980, 970, 970), pit=(20, 18, 16)),
            ["clean, class pit: 18 of 20 right before, 16 after; at most 5.0% may be lost"],
            id="one small class falls",
        ),
        pytest.param(
            failing(8, 1),
            clean(),
            ["clean: no clean image to measure harm on"],
            id="nothing to measure the harm on",
        ),
        pytest.param(
            failing(5, 0),
            clean(good=(10, 10, 5), pit=(10, 9, 10)),
            [
                "failing: 5 fixed and 0 broken of 20; not a significant repair (p = 0.062, needed 0.05)",
                "clean: accuracy falls by 20.0%; at most 1.0% is accepted",
                "clean, class good: 10 of 10 right before, 5 after; at most 5.0% may be lost",
            ],
            id="everything that is wrong is said",
        ),
    ],
)
def test_a_candidate_is_refused_with_every_reason(
    repair: Accuracy, harm: Accuracy, expected: list[str]
) -> None:
    assert judge(repair, harm, SETTINGS) == (False, tuple(expected))


def test_a_fall_of_exactly_the_margin_is_accepted() -> None:
    at_the_margin = clean(good=(180, 180, 179), pit=(20, 20, 19))  # 2 of 200, and 1 of 20
    assert judge(failing(8, 1), at_the_margin, SETTINGS)[0]
    beyond = clean(good=(180, 180, 178), pit=(20, 20, 19))
    assert not judge(failing(8, 1), beyond, SETTINGS)[0]


def test_one_image_alone_is_no_evidence_of_harm() -> None:
    assert judge(failing(8, 1), clean(good=(10, 10, 9), pit=(10, 9, 9)), SETTINGS)[0]  # 5 %, 10 % of a class
    accepted, reasons = judge(failing(8, 1), clean(good=(10, 10, 9), pit=(10, 9, 8)), SETTINGS)
    assert not accepted
    assert reasons == ("clean: accuracy falls by 10.0%; at most 1.0% is accepted",)


def other(before: int, after: int) -> Accuracy:
    return Accuracy("others", 40, before, after, 0, before - after, 1.0, 0.0, 0.0)


def test_what_was_mended_earlier_has_to_stay_mended() -> None:
    assert judge(failing(8, 1), HARMLESS, SETTINGS, other(30, 28))[0]  # 5 % of 40
    assert judge(failing(8, 1), HARMLESS, SETTINGS, other(0, 12))[0]
    accepted, reasons = judge(failing(8, 1), HARMLESS, SETTINGS, other(30, 27))
    assert not accepted
    assert reasons == ("others: 30 of 40 right before, 27 after; at most 5.0% may be lost",)


def test_the_margins_are_those_of_the_settings() -> None:
    harm = clean(good=(100, 98, 97), pit=(100, 95, 93))
    generous = AcceptanceSettings(clean_margin=0.02, class_margin=0.05, significance=0.05)
    strict = AcceptanceSettings(clean_margin=0.01, class_margin=0.05, significance=0.01)
    assert judge(failing(8, 1), harm, generous)[0]
    assert not judge(failing(8, 1), HARMLESS, strict)[0]
