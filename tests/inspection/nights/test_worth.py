"""What a retraining is worth, by hand."""

from dataclasses import replace

import pytest

from inspection.findings import LINE, Accuracy, Retraining
from inspection.findings import LOGGED as OF_LOG
from inspection.nights.worth import worth_in_words, worth_of
from inspection.workspace.settings import Settings, WorthSettings
from tests.inspection.workspace.records import a_retraining

LOGGED = Accuracy(OF_LOG, 50, 0, 40, 40, 0, 1e-9, 0.66, 0.89, {}, (20, 4), (30, 6))
CLEAN = Accuracy("clean", 100, 99, 99, 0, 0, 1.0, 0.0, 0.0)


def retrained(**prices: float) -> Retraining:
    settings = Settings(worth=WorthSettings(**prices)).model_dump(mode="json")
    return replace(a_retraining("r1", "n-1"), accuracies=(CLEAN, LOGGED), settings=settings)


def test_the_figures_by_hand() -> None:
    found = worth_of(
        retrained(nights_per_month=20, escape_price=100, overkill_price=5, retraining_price=1720)
    )
    assert found is not None
    assert (found.errors, found.escapes, found.overkills) == (800, 320, 480)
    assert [found.errors_lower, found.errors_upper] == pytest.approx([660, 890])
    assert found.saved == 100 * 320 + 5 * 480
    assert found.saved_lower == pytest.approx(34_400 * 0.66 / 0.8)
    assert found.payback == pytest.approx(30.4 * 1720 / 34_400)
    assert worth_in_words(found) == (
        "Worth: about 800 errors a month avoided (660 to 890): 320 fewer escapes and 480 fewer overkills; "
        "EUR 34,400 a month saved (28,380 to 38,270), at 100 an escape and 5 an overkill; the EUR 1,720 of a "
        "retraining come back in a day or two. Assumed: 20 nights a month with as many such errors as this "
        "log, and no change on other parts; prices and nights stand under [worth] in fmi.toml."
    )


def test_without_prices_only_errors_are_counted() -> None:
    found = worth_of(retrained())
    assert found is not None
    assert (found.saved, found.payback) == (0, None)
    assert "EUR" not in worth_in_words(found)


def test_nothing_is_said_without_a_candidate_or_of_an_earlier_versions_retraining() -> None:
    assert worth_of(replace(retrained(), candidate_hash=None)) is None
    assert worth_of(replace(retrained(), settings={})) is None


def with_line(line: Accuracy) -> Retraining:
    done = retrained(nights_per_month=10, escape_price=100, overkill_price=5)
    return replace(done, accuracies=(*done.accuracies, line))


def test_what_is_broken_of_the_parts_that_went_right_is_counted() -> None:
    """Of 50 errors and 400 right parts a fifth judge: 8 of 10 errors are mended, and 3 of 80 parts break."""
    line = Accuracy(LINE, 90, 80, 85, 8, 3, 0.2, -0.02, 0.13, {}, (4, 2), (6, 3))
    found = worth_of(with_line(line))
    assert found is not None
    assert (found.errors, found.escapes, found.overkills) == (250, 100, 150)
    assert [found.errors_lower, found.errors_upper] == pytest.approx([-90, 585])
    assert found.saved == 100 * 100 + 5 * 150
    assert found.right == 80
    assert worth_in_words(found).endswith(
        "Assumed: 10 nights a month like this log, of whose parts that went right 80 were looked at for what "
        "the candidate breaks; prices and nights stand under [worth] in fmi.toml."
    )


def test_more_escapes_may_cost_what_fewer_overkills_save() -> None:
    line = Accuracy(LINE, 90, 80, 76, 6, 10, 0.4, -0.15, 0.06, {}, (1, 7), (9, 7))
    found = worth_of(with_line(line))
    assert found is not None
    assert (found.errors, found.saved, found.payback) == (-200, -100 * 300 + 5 * 100, None)
    said = worth_in_words(found)
    assert "about 200 errors a month more (-270 to 675): 300 more escapes and 100 fewer overkills" in said
    assert "EUR 29,500 a month lost (" in said
