"""What failed in a trust test, in words: a sentence and a word for every part."""

import pytest

from fmi_engine.types import AblationCheck, Failure, Trust, TrustPart
from fmi_engine.wording import IN_A_WORD, ablation_reason, reasons

LOOSE = AblationCheck("l", images=20, right=9, exchanged=10, p_value=0.7, guessed=3, guess_p_value=0.001)


@pytest.mark.parametrize(
    ("part", "found", "needed", "sentence"),
    [
        (TrustPart.ABLATION, 0.7, 0.01, ablation_reason(LOOSE)),
        (TrustPart.ALIVE, 0.0, 0.1, "its filter is dead: it answers no reference image"),
        (TrustPart.RANK, 2, 1, "fed back, its filter ranks 2 of 8 (needed: 1)"),
        (TrustPart.AGREEMENT, 0.5, 0.8, "its pictures agree by 0.50 (needed: 0.80)"),
    ],
)
def test_a_part_has_its_sentence(part: TrustPart, found: float, needed: float, sentence: str) -> None:
    trust = Trust(2, 8, 1.0, 0.5, 0.5, (Failure(part, found, needed),), ablation=LOOSE)
    assert reasons(trust) == (sentence,)


def test_every_part_has_a_sentence_and_a_word() -> None:
    failed = tuple(Failure(part, 0.0, 1.0) for part in TrustPart)
    assert len({*reasons(Trust(2, 8, 1.0, 0.5, 0.5, failed, ablation=LOOSE))}) == len(TrustPart)
    assert [IN_A_WORD[part] for part in TrustPart] == [
        *("ablation", "dead", "rank", "energy", "agreement", "controls")
    ]


def test_what_passed_has_no_words() -> None:
    assert reasons(Trust(1, 8, 1.0, 0.5, 0.9)) == ()
