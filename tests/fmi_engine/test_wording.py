"""What failed in a trust test, in words: a sentence and a word for every part."""

import pytest

from fmi_engine.types import AblationCheck, Failure, Readable, Trust, TrustPart
from fmi_engine.wording import IN_A_WORD, ablation_reason, reasons

LOOSE = AblationCheck("l", images=20, right=9, exchanged=10, p_value=0.7, guessed=3, guess_p_value=0.001)


@pytest.mark.parametrize(
    ("part", "found", "needed", "sentence"),
    [
        (TrustPart.ABLATION, 0.7, 0.01, ablation_reason(LOOSE)),
        (TrustPart.ALIVE, 0.0, 0.1, "its filter is dead: it answers no reference image"),
        (TrustPart.RANK, 2, 1, "fed back, its filter ranks 2 of 8 (needed: 1)"),
        (TrustPart.AGREEMENT, 0.5, 0.8, "its pictures agree by 0.50 (needed: 0.80)"),
        (
            TrustPart.READABLE,
            0.55,
            0.625,
            "whoever sees its pictures does not know what excites its filter: real crops are told by 0.55 "
            "(needed: 0.62; by other real crops: 0.75)",
        ),
        (
            TrustPart.READABLE,
            float("nan"),
            0.5,
            "no other filter of its layer is alive, from whose real crops its own were to be told",
        ),
        (
            TrustPart.COPY,
            0.97,
            0.8,
            "it is like a place of a real image by 0.97, where real images of different parts are alike by "
            "0.80 at most",
        ),
    ],
)
def test_a_part_has_its_sentence(part: TrustPart, found: float, needed: float, sentence: str) -> None:
    failed, readable = (Failure(part, found, needed),), Readable(0.55, 0.75)
    trust = Trust(2, 8, 1.0, 0.5, 0.5, failed, ablation=LOOSE, readable=readable, copy=0.97)
    assert reasons(trust) == (sentence,)


def test_every_part_has_a_sentence_and_a_word() -> None:
    failed = tuple(Failure(part, 0.0, 1.0) for part in TrustPart)
    assert len({*reasons(Trust(2, 8, 1.0, 0.5, 0.5, failed, ablation=LOOSE))}) == len(TrustPart)
    assert [IN_A_WORD[part] for part in TrustPart] == [
        *("ablation", "dead", "rank", "energy", "agreement", "controls", "readable", "copy")
    ]


def test_what_is_not_known_of_other_real_crops_is_no_reason_to_be_silent() -> None:
    (said,) = reasons(Trust(2, 8, 1.0, 0.5, 0.5, (Failure(TrustPart.READABLE, 0.5, 0.6),)))
    assert said.endswith("real crops are told by 0.50 (needed: 0.60; by other real crops: nan)")


def test_what_passed_has_no_words() -> None:
    assert reasons(Trust(1, 8, 1.0, 0.5, 0.9)) == ()
