"""Keys of programs: shown once, taken back at once."""

from datetime import timedelta

import pytest

from inspection.access.book import AccessBook
from inspection.access.keys import MARK, add_key, key_of, keys, remove_key
from inspection.access.roles import Role
from inspection.access.trail import Event, entries
from inspection.access.tries import FROM_AN_ADDRESS
from inspection.errors import AccessError, TooManyTriesError
from tests.inspection.access.conftest import HERE
from tests.inspection.access.test_sessions import later

pytestmark = pytest.mark.usefixtures("cheap_passwords")


def test_a_key_counts_until_it_is_taken_back(book: AccessBook) -> None:
    given = add_key(book, "mes", Role.REVIEWER, "root")
    assert given.startswith(MARK)
    found = key_of(book, given, HERE)
    assert found is not None
    assert (found.name, found.role) == ("mes", Role.REVIEWER)
    remove_key(book, "MES", "root")
    assert key_of(book, given, HERE) is None
    told = [(entry.event, entry.who, entry.what) for entry in reversed(entries(book, 3))]
    assert told == [
        (Event.KEY_ADDED, "root", "mes: reviewer"),
        (Event.KEY_REMOVED, "root", "mes"),
        (Event.WRONG_KEY, "", ""),
    ]


def test_the_last_use_is_noted_to_the_hour(book: AccessBook) -> None:
    given = add_key(book, "mes", Role.VIEWER, "root")
    assert keys(book)[0].used_at is None
    key_of(book, given, HERE)
    first = keys(book)[0].used_at
    key_of(book, given, HERE)
    assert keys(book)[0].used_at == first
    later(book, "used_at", "keys", timedelta(hours=2))
    key_of(book, given, HERE)
    assert first is not None
    assert (keys(book)[0].used_at or first) > first


def test_a_name_is_taken_or_not_there(book: AccessBook) -> None:
    add_key(book, "mes", Role.VIEWER, "root")
    with pytest.raises(AccessError, match="there is a key 'mes' already"):
        add_key(book, "mes", Role.VIEWER, "root")
    with pytest.raises(AccessError, match="there is no key 'plc'; there are: mes"):
        remove_key(book, "plc", "root")


def test_guessing_ends(book: AccessBook) -> None:
    given = add_key(book, "mes", Role.VIEWER, "root")
    for number in range(FROM_AN_ADDRESS):
        assert key_of(book, f"{given}{number}", HERE) is None
    with pytest.raises(TooManyTriesError):
        key_of(book, "another", HERE)
    assert key_of(book, given, HERE) is not None  # which no guess is
