"""Logging in: by the right password, for a time, and not by trying."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from inspection.access.accounts import add_account, change_password
from inspection.access.book import AccessBook, written
from inspection.access.roles import Role
from inspection.access.sessions import LASTS, hash_of, log_in, log_out, session_of
from inspection.access.trail import Event, entries
from inspection.access.tries import FROM_AN_ADDRESS, OF_AN_ACCOUNT, WINDOW, note_try, place_of
from inspection.errors import AccessError, TooManyTriesError
from tests.inspection.access.conftest import HERE, PASSWORD

pytestmark = pytest.mark.usefixtures("cheap_passwords")


def wrong(book: AccessBook, name: str = "Sato", address: str = HERE) -> None:
    with pytest.raises(AccessError, match="Name or password is wrong"):
        log_in(book, name, "a wrong password", address)


def later(book: AccessBook, column: str, table: str, by: timedelta) -> None:
    """Let time go by for what a table holds."""
    with book.writing() as connection:
        for row in connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
            earlier = written(datetime.fromisoformat(row[1]) - by)
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", [earlier, row[0]])


def test_a_session_begins_and_ends(book: AccessBook) -> None:
    secret = log_in(book, " sato ", PASSWORD, HERE)
    held = session_of(book, secret)
    assert held is not None
    assert (held.name, held.role) == ("Sato", Role.REVIEWER)
    log_out(book, secret, HERE)
    assert session_of(book, secret) is None
    told = [(entry.event, entry.who, entry.address) for entry in entries(book, 2)]
    assert told == [(Event.LOGGED_OUT, "Sato", HERE), (Event.LOGGED_IN, "Sato", HERE)]


@pytest.mark.parametrize("secret", ["", "x", "'; DROP TABLE sessions; --"])
def test_a_secret_that_never_was(book: AccessBook, secret: str) -> None:
    assert session_of(book, secret) is None


def test_a_password_is_the_same_however_it_was_typed(book: AccessBook) -> None:
    change_password(book, "Sato", "ﾊﾟｽﾜｰﾄﾞは長い文です。", "root")
    assert log_in(book, "Sato", "パスワードは長い文です。", HERE)


def test_it_ends_by_itself(book: AccessBook) -> None:
    secret = log_in(book, "Sato", PASSWORD, HERE)
    later(book, "ends_at", "sessions", LASTS - timedelta(minutes=1))
    assert session_of(book, secret) is not None
    later(book, "ends_at", "sessions", timedelta(minutes=2))
    assert session_of(book, secret) is None
    log_in(book, "Sato", PASSWORD, HERE)  # which clears up
    with book.reading() as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone()[0] == 1


def test_another_password_ends_every_session(book: AccessBook) -> None:
    secrets = [log_in(book, "Sato", PASSWORD, HERE) for _ in range(2)]
    change_password(book, "Sato", PASSWORD + "!", "root")
    assert [session_of(book, secret) for secret in secrets] == [None, None]
    with pytest.raises(AccessError):
        log_in(book, "Sato", PASSWORD, HERE)


def test_a_password_in_the_wrong_field_is_not_written_down(book: AccessBook) -> None:
    wrong(book)
    wrong(book, "my secret passphrase")
    assert [(entry.who, entry.what) for entry in entries(book, 2)] == [("", ""), ("Sato", "")]


def test_an_account_takes_so_many_tries_and_a_restart_forgives_none(book: AccessBook) -> None:
    for number in range(OF_AN_ACCOUNT):
        wrong(AccessBook(book.path), address=f"10.0.1.{number}")
    with pytest.raises(TooManyTriesError, match="Wait 15 minutes"):
        log_in(AccessBook(book.path), "SATO", PASSWORD, "10.0.2.1")
    assert [entry.event for entry in entries(book, 2)] == [Event.LOCKED, Event.WRONG_PASSWORD]
    later(book, "tried_at", "tries", WINDOW)
    assert log_in(book, "Sato", PASSWORD, HERE)


def test_an_address_takes_so_many_tries_at_all_accounts(book: AccessBook) -> None:
    """Also where who tries has an account of their own, whose right password changes nothing."""
    add_account(book, "Aoki", Role.VIEWER, PASSWORD, "root")
    with book.writing() as connection:
        for number in range(FROM_AN_ADDRESS - 1):
            note_try(connection, f"name {number}", HERE, datetime.now(UTC))
    log_in(book, "Aoki", PASSWORD, HERE)
    wrong(book, "nobody")
    with pytest.raises(TooManyTriesError):
        log_in(book, "Aoki", PASSWORD, HERE)
    assert log_in(book, "Aoki", PASSWORD, "10.0.0.8")


def test_tries_at_once_gain_nothing(book: AccessBook) -> None:
    def tried(number: int) -> type[Exception]:
        with pytest.raises(AccessError) as error:
            log_in(book, "Sato", "a wrong password", f"10.0.1.{number}")
        return error.type

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(tried, range(OF_AN_ACCOUNT + 6)))
    assert (found.count(AccessError), found.count(TooManyTriesError)) == (OF_AN_ACCOUNT, 6)


def test_a_right_password_clears_the_account(book: AccessBook) -> None:
    for _ in range(2):
        for number in range(OF_AN_ACCOUNT - 1):
            wrong(book, address=f"10.0.1.{number}")
        assert log_in(book, "Sato", PASSWORD, HERE)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("testclient", "testclient"),
    ],
)
def test_what_counts_as_one_address(address: str, place: str) -> None:
    assert place_of(address) == place


def test_what_is_kept_of_a_secret() -> None:
    """SHA-256 of FIPS 180-2, appendix B.1."""
    assert hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
