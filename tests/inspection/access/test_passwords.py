"""What is kept of a password, and that a look at the clock tells nobody who has an account."""

import time

from argon2 import extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY

from inspection.access import passwords
from inspection.access.passwords import hashed, is_right
from tests.inspection.access.conftest import PASSWORD


def test_a_hash_costs_what_the_standard_asks_and_is_never_the_same() -> None:
    kept = [hashed(PASSWORD) for _ in range(2)]
    assert kept[0] != kept[1]
    costs = [extract_parameters(each) for each in (*kept, passwords._NOBODYS)]
    assert costs == [RFC_9106_LOW_MEMORY] * 3
    assert [is_right(PASSWORD, each) for each in kept] == [True, True]
    assert not is_right(PASSWORD + "!", kept[0])


def test_where_there_is_no_account_it_takes_as_long_and_is_wrong() -> None:
    """By the processor's clock, which other programs do not move."""
    kept = hashed(PASSWORD)

    def seconds(against: str | None) -> float:
        begun = time.process_time()
        assert not is_right("a wrong password", against)
        return time.process_time() - begun

    known, unknown = (min(seconds(against) for _ in range(3)) for against in (kept, None))
    assert unknown > known / 2


def test_a_password_of_any_length_is_checked() -> None:
    assert not is_right("x" * 1_000_000, hashed(PASSWORD))
