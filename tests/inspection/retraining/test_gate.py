"""What accepts, rejects or leaves undecided a candidate model, by hand."""

import numpy as np
import pytest
from scipy import stats

from inspection.findings import CheckKind, Decision, GateCheck
from inspection.models.comparison import Judged, mcnemar
from inspection.nights.phrases import check_in_words
from inspection.retraining.gate import Gate, decide, less_known
from inspection.workspace.settings import AcceptanceSettings

GOOD, PIT, DENT = range(3)
NAMES = ("good", "pit", "dent")
SETTINGS = AcceptanceSettings(clean_margin=0.01, class_margin=0.05, significance=0.05)
GATE = Gate(NAMES, ("good",), SETTINGS)


def judged(*counts: tuple[int, int, int, int], name: str = "images") -> Judged:
    """So many images of a class, taken for one class before and for another after."""
    repeated = [each for *each, count in counts for _ in range(count)]
    labels, before, after = np.array(repeated, np.int64).reshape(-1, 3).T
    return Judged(name, labels, before, after)


HARMLESS = judged((GOOD, GOOD, GOOD, 100), (PIT, PIT, PIT, 100), (DENT, DENT, DENT, 100), name="clean")


def repaired(fixed: int, broken: int, same: int = 11) -> Judged:
    return judged((PIT, DENT, PIT, fixed), (PIT, PIT, DENT, broken), (PIT, DENT, DENT, same), name="failing")


def failed(checks: tuple[GateCheck, ...]) -> list[str]:
    return [check_in_words(check).replace("\u00a0", " ") for check in checks if check.passed is not True]


def test_a_candidate_that_repairs_and_harms_nothing_is_accepted() -> None:
    checks = (GATE.repair(repaired(8, 1)), *GATE.harm(HARMLESS))
    assert failed(checks) == []
    assert decide(checks) is Decision.ACCEPTED
    said = check_in_words(checks[0]).replace("\u00a0", " ")
    assert said == "failing: 1 of 20 right before, 8 after (p = 0.039)"


def test_more_broken_than_fixed_is_no_repair() -> None:
    check = GATE.repair(repaired(1, 8))
    assert decide([check]) is Decision.REJECTED
    assert failed((check,)) == [
        "failing: 8 of 20 right before, 1 after (p = 0.039); no repair beyond chance (p of 0.05 is needed)"
    ]


def test_too_few_to_be_sure_says_how_many_more_would_do() -> None:
    check = GATE.repair(repaired(5, 0, same=15))
    assert decide([check]) is Decision.UNDECIDED
    assert check.more_images == 2  # of 22 images 5.5, so 6, would be mended: p = 2 / 64
    assert mcnemar(6, 0) == pytest.approx(2 / 64)
    assert failed((check,)) == [
        "failing: 0 of 20 right before, 5 after (p = 0.062); too few to tell a repair from chance (p of 0.05 "
        "is needed); about 2 more such images would tell"
    ]


def test_what_further_training_alone_mends_is_no_repair() -> None:
    """Eight of twenty turned right, and six of them under further training, too."""
    failing = repaired(8, 0, same=12)
    control = np.array([PIT] * 6 + [DENT] * 14)
    check = GATE.beyond_control(failing, control)
    assert (check.kind, check.before, check.after, check.passed) == (CheckKind.CONTROL, 6, 8, None)
    assert failed((check,))[0].startswith(
        "failing: 6 of 20 right by further training alone, 8 after this (p = 0.50); too few to tell a repair"
    )
    assert GATE.beyond_control(failing, np.full(20, DENT)).passed
    assert GATE.beyond_control(failing, np.full(20, PIT)).passed is False


def test_without_any_image_the_fewest_that_could_tell_are_named() -> None:
    check = GATE.repair(judged(name="failing"))
    assert (check.passed, check.more_images) == (None, 6)
    assert failed((check,)) == ["failing: no image to judge by; about 6 would be enough"]


@pytest.mark.parametrize(
    ("clean", "expected"),
    [
        pytest.param(
            judged((PIT, PIT, PIT, 200), (PIT, PIT, DENT, 6), (GOOD, GOOD, GOOD, 90), (DENT, DENT, DENT, 90)),
            ["images: 386 of 386 right before, 380 after; at most 1 % may be lost"],
            id="accuracy falls",
        ),
        pytest.param(
            judged((PIT, PIT, PIT, 18), (PIT, PIT, DENT, 2), (GOOD, GOOD, GOOD, 180), (DENT, DENT, DENT, 90)),
            [
                "images, class pit: 20 of 20 right before, 18 after; at most 5 % may be lost, which may be "
                "chance; about 35 more such images would tell"
            ],
            id="one small class falls, which two of twenty are too few to tell",
        ),
        pytest.param(
            judged((PIT, PIT, PIT, 14), (PIT, PIT, DENT, 6), (GOOD, GOOD, GOOD, 700), (DENT, DENT, DENT, 90)),
            ["images, class pit: 20 of 20 right before, 14 after; at most 5 % may be lost"],
            id="one small class falls beyond chance",
        ),
        pytest.param(
            judged((PIT, PIT, PIT, 100), (GOOD, GOOD, GOOD, 100)),
            ["images, class dent: no image to judge by; about 20 would be enough"],
            id="a class without images",
        ),
        pytest.param(
            judged((PIT, PIT, PIT, 98), (PIT, DENT, GOOD, 2), (GOOD, GOOD, GOOD, 99), (DENT, DENT, DENT, 99)),
            [
                "images: 0 of 199 defects passed as good before, 2 after; at most 1 % may come to pass, "
                "which may be chance; about 349 more such images would tell"
            ],
            id="escapes rise while as many are right",
        ),
    ],
)
def test_what_has_to_stay_is_harmed(clean: Judged, expected: list[str]) -> None:
    settings = AcceptanceSettings(clean_margin=0.009, class_margin=0.05, significance=0.05)
    found = failed(Gate(NAMES, ("good",), settings).harm(clean))
    assert [each.replace("0.9 %", "1 %") for each in found] == expected


def test_a_fall_of_exactly_the_margin_is_accepted() -> None:
    rest = ((GOOD, GOOD, GOOD, 160), (DENT, DENT, DENT, 20))
    at_the_margin = judged((PIT, PIT, PIT, 18), (PIT, PIT, DENT, 1), (PIT, DENT, DENT, 1), *rest)
    assert failed(GATE.harm(at_the_margin)) == []  # 1 of 20 pits, 1 of 200
    beyond = judged((PIT, PIT, PIT, 197), (PIT, PIT, DENT, 3), *rest)
    assert len(failed(GATE.harm(beyond))) == 0  # 3 of 380 and of 200: below both margins
    assert len(failed(GATE.harm(judged((PIT, PIT, PIT, 196), (PIT, PIT, DENT, 4), *rest)))) == 1


def test_one_image_alone_is_no_evidence_of_harm() -> None:
    rest = ((GOOD, GOOD, GOOD, 5), (DENT, DENT, DENT, 5))
    assert failed(GATE.harm(judged((PIT, PIT, PIT, 4), (PIT, PIT, DENT, 1), *rest))) == []
    assert len(failed(GATE.harm(judged((PIT, PIT, PIT, 3), (PIT, PIT, DENT, 2), *rest)))) == 2


def test_what_was_mended_earlier_has_to_stay_mended() -> None:
    def others(right: int, lost: int) -> Judged:
        return judged((DENT, DENT, DENT, right - lost), (DENT, DENT, PIT, lost), name="others")

    assert failed(GATE.harm(HARMLESS, others(40, 2))) == []
    assert failed(GATE.harm(HARMLESS, others(40, 3))) == [
        "others: 40 of 40 right before, 37 after; at most 5 % may be lost, which may be chance; about 34 "
        "more such images would tell"
    ]
    assert failed(GATE.harm(HARMLESS, others(40, 6))) == [
        "others: 40 of 40 right before, 34 after; at most 5 % may be lost"
    ]


def test_under_the_new_condition_no_class_may_be_less_known_beyond_chance() -> None:
    def shifted(lost: int) -> Judged:
        return judged((GOOD, GOOD, GOOD, 30), (GOOD, GOOD, PIT, lost), (PIT, DENT, PIT, 40), name="changed")

    gate = Gate(NAMES, (), SETTINGS)
    assert failed(gate.harm(HARMLESS, None, [shifted(2)])) == []
    (said,) = failed(gate.harm(HARMLESS, None, [shifted(6)]))
    assert said.startswith("changed, class good: 36 of 36 right before, 30 after (p = 0.0")
    assert said.endswith("this class is told from the others less surely than before, beyond chance")


def test_it_is_the_fall_beside_the_others_that_counts() -> None:
    """Six pits were lost: by chance once in 64 times. Others are not called pits any more, either."""
    lost = ((PIT, PIT, PIT, 20), (PIT, PIT, GOOD, 6), (GOOD, GOOD, GOOD, 30))
    assert less_known(judged(*lost), PIT) == pytest.approx(1 / 64)
    assert less_known(judged(*lost, (GOOD, PIT, GOOD, 5)), PIT) > 0.05


def test_of_many_classes_one_falls_by_chance() -> None:
    """A class of six that lost one part is no harm; one that is beyond chance alone cannot be told."""
    small = judged(*((i, i, i, 20) for i in range(6)), (6, 6, 6, 5), (6, 6, 0, 1), (0, 3, 6, 1))
    gate, clean = Gate(tuple("abcdefg"), (), SETTINGS), judged(*((i, i, i, 20) for i in range(7)))
    assert failed(gate.harm(clean, None, [small])) == []
    kept = [(i, i, i, 20) for i in range(6)]
    falling = judged(*kept, (6, 6, 6, 14), *((6, 6, i, 1) for i in range(6)), name="changed")
    (check,) = (each for each in gate.harm(clean, None, [falling]) if each.passed is not True)
    assert (check.passed, check.class_name) == (None, "g")
    assert check.p_value == pytest.approx(7 / 64)
    assert check_in_words(check).endswith(
        "less surely than before, which may be chance; about 5 more such images would tell"
    )
    ruined = judged(*kept, (6, 6, 6, 10), (6, 6, 0, 10), name="changed")
    assert decide(gate.harm(clean, None, [ruined])) is Decision.REJECTED


def test_a_candidate_that_differs_by_chance_alone_is_hardly_ever_rejected() -> None:
    """Of 200 candidates whose answers are the deployed model's with other errors, 7 classes, 170 images."""
    rng, gate = np.random.default_rng(0), Gate(tuple("abcdefg"), (), SETTINGS)
    clean = judged(*((i, i, i, 20) for i in range(7)))
    labels = np.repeat(np.arange(7), [26, 10, 6, 32, 45, 34, 17])

    def answers() -> np.ndarray:
        return np.where(rng.random(170) < 0.08, rng.integers(0, 7, 170), labels)

    rejected = [
        any(each.passed is False for each in gate.harm(clean, None, [Judged("x", labels, *pair)]))
        for pair in ((answers(), answers()) for _ in range(200))
    ]
    assert np.mean(rejected) <= SETTINGS.significance


def test_of_good_parts_no_larger_share_may_be_rejected_than_usual() -> None:
    """Escapes are mended, at the price of good parts: a few are what clean images cost, 38 of 153 are not."""
    mended = ((PIT, GOOD, PIT, 44), (PIT, PIT, PIT, 104), (PIT, GOOD, GOOD, 9))

    def line(rejected: int) -> Judged:
        kept = (GOOD, GOOD, GOOD, 153 - rejected)
        return judged(*mended, kept, (GOOD, GOOD, PIT, rejected), name="line")

    clean = judged((GOOD, GOOD, GOOD, 53), (GOOD, PIT, PIT, 1), (PIT, PIT, PIT, 56), (DENT, DENT, DENT, 30))
    assert failed(GATE.harm(clean, None, [line(4)])) == []
    assert failed(GATE.harm(clean, None, [line(38)])) == [
        "line: 0 of 153 good parts rejected before, 38 after; that is beyond the 2 % that are rejected as it "
        "is, and beyond chance"
    ]
    blind = judged((GOOD, PIT, PIT, 90), (GOOD, PIT, GOOD, 60), (PIT, PIT, PIT, 100), name="line")
    assert failed(GATE.harm(clean, None, [blind])) == []  # it rejected more before


def test_what_every_part_was_taken_for_was_not_known() -> None:
    """Every part is called a dent: 20 of 20 dents are right. Mended, 14 are, and hardly another part is."""
    blind = judged((DENT, DENT, DENT, 14), (DENT, DENT, PIT, 6), (PIT, DENT, PIT, 38), (PIT, DENT, DENT, 2))
    assert less_known(blind, DENT) > 0.9
    assert [each for each in failed(GATE.harm(HARMLESS, None, [blind])) if "dent" in each] == []


def test_half_of_a_class_may_not_be_lost_however_it_was_right() -> None:
    """Every part was called a dent. A log with wrong labels mends the pits and loses the dents."""
    ruined = judged((DENT, DENT, DENT, 3), (DENT, DENT, PIT, 17), (PIT, DENT, PIT, 40), name="changed")
    assert less_known(ruined, DENT) > 0.05
    assert failed(GATE.harm(HARMLESS, None, [ruined])) == [
        "changed, class dent: 20 of 20 right before, 3 after (p < 0.001); more than half of this class is "
        "lost"
    ]
    few = judged((DENT, DENT, DENT, 1), (DENT, DENT, PIT, 3), (PIT, DENT, PIT, 40), name="changed")
    assert failed(GATE.harm(HARMLESS, None, [few])) == []  # three are no evidence


def test_where_nothing_changed_nothing_is_less_known() -> None:
    assert less_known(HARMLESS, PIT) == 1.0
    assert less_known(judged((PIT, PIT, GOOD, 5)), PIT) == 1.0  # without other parts nothing can be told


def test_who_rejects_every_part_lets_none_escape_and_is_no_measure() -> None:
    others = (GOOD, GOOD, GOOD, 100), (DENT, DENT, DENT, 100)
    clean = judged((PIT, PIT, PIT, 90), (PIT, GOOD, GOOD, 10), *others)  # 10 of 200 pass
    blind = ((PIT, DENT, PIT, 90), (GOOD, DENT, GOOD, 100))
    as_usual = judged(*blind, (PIT, DENT, GOOD, 8), name="changed")
    assert failed(GATE.harm(clean, None, [as_usual])) == []
    more = judged(*blind, (PIT, DENT, GOOD, 12), name="changed")
    assert (
        stats.binomtest(12, 102, 0.05, "greater").pvalue
        < 0.05
        < stats.binomtest(8, 98, 0.05, "greater").pvalue
    )
    assert failed(GATE.harm(clean, None, [more])) == [
        "changed: 0 of 102 defects passed as good before, 12 after; that is beyond the 5 % that pass as it "
        "is, and beyond chance"
    ]


def test_no_more_defects_escape_than_before() -> None:
    """Ball screws: 22 of 24 good parts that were rejected are mended, and 9 of 77 pits pass."""
    clean = judged((PIT, PIT, PIT, 36), (PIT, GOOD, GOOD, 4), (GOOD, GOOD, GOOD, 89), (DENT, DENT, DENT, 9))
    seeing = (GOOD, GOOD, GOOD, 164), (GOOD, PIT, GOOD, 22), (GOOD, PIT, PIT, 2)
    more = judged(*seeing, (PIT, PIT, PIT, 68), (PIT, PIT, GOOD, 9), name="line")
    assert failed(GATE.harm(clean, None, [more])) == [
        "line: 0 of 77 defects passed as good before, 9 after; that is beyond the 0 % that pass as it is, "
        "and beyond chance"
    ]
    by_chance = judged(*seeing, (PIT, PIT, PIT, 73), (PIT, PIT, GOOD, 4), name="line")
    assert failed(GATE.harm(clean, None, [by_chance])) == []
    fewer = judged(*seeing, (PIT, GOOD, PIT, 9), (PIT, PIT, PIT, 68), name="line")
    assert failed(GATE.harm(clean, None, [fewer])) == []


def test_without_a_good_class_nothing_can_escape() -> None:
    clean = judged((PIT, DENT, GOOD, 50), (GOOD, GOOD, GOOD, 9), (DENT, DENT, DENT, 9))
    checks = Gate(NAMES, (), SETTINGS).harm(clean)
    assert {check.kind for check in checks} == {CheckKind.ACCURACY, CheckKind.CLASS}


def test_harm_outweighs_what_cannot_be_told() -> None:
    unknown, harm = GATE.repair(judged()), GATE.repair(repaired(0, 3))
    assert decide([unknown]) is Decision.UNDECIDED
    assert decide([unknown, harm]) is Decision.REJECTED


def test_without_parts_that_go_right_nothing_is_known_of_them() -> None:
    check = GATE.enough_went_right(judged(name="parts of the log that went right"))
    assert check is not None
    assert (check.passed, check.images, check.more_images) == (None, 0, 20)
    assert decide([check]) is Decision.UNDECIDED
    few = GATE.enough_went_right(judged((GOOD, GOOD, GOOD, 19), (PIT, GOOD, PIT, 99)))
    assert few is not None
    assert (few.passed, few.images, few.more_images) == (None, 19, 1)
    assert GATE.enough_went_right(judged((GOOD, GOOD, PIT, 20), (PIT, GOOD, PIT, 99))) is None


def test_a_part_that_is_left_to_a_person_is_neither_passed_nor_rejected() -> None:
    unknown = len(NAMES)
    good, pits = (GOOD, unknown, GOOD, 10), (PIT, PIT, unknown, 10)
    left = judged(good, (GOOD, GOOD, unknown, 10), pits, (DENT, DENT, DENT, 80), name="line")
    checks = GATE.harm(left, shifted=[left])
    escapes = [check for check in checks if check.kind is CheckKind.ESCAPES]
    assert escapes
    assert all((check.before, check.after) == (0, 0) for check in escapes)
    assert (left.fixed, left.broken) == (10, 20)  # but it is not right either
    mask = np.array([True, False, False])
    assert [int(each.sum()) for each in (*left.passed(mask), *left.rejected(mask))] == [0, 0, 0, 0]
