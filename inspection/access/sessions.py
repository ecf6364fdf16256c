"""Sessions: who is logged in, known by a secret that only their browser has."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from inspection.access.accounts import Account, folded
from inspection.access.book import AccessBook, written
from inspection.access.passwords import is_right
from inspection.access.roles import Role
from inspection.access.trail import Event, note
from inspection.access.tries import forgive, note_try
from inspection.errors import AccessError
from inspection.language import gettext as _

# A shift with what comes before and after it. Not by idleness: pages refresh by themselves.
LASTS = timedelta(hours=12)
_SECRET = 32  # bytes, of which none can be guessed: so their plain SHA-256 may be kept


def log_in(book: AccessBook, name: str, password: str, address: str) -> str:
    """Begin a session and return its secret.

    Raises AccessError where name or password is wrong, and does not say which; TooManyTriesError.
    """
    password_hash = check_password(book, name, password, address)
    secret, now = new_secret(), datetime.now(UTC)
    with book.writing() as connection:
        connection.execute("DELETE FROM sessions WHERE ends_at < ?", [written(now)])
        begun = connection.execute(
            "INSERT INTO sessions SELECT ?, account_id, ? FROM accounts "
            "WHERE folded = ? AND password_hash = ? RETURNING account_id",
            [hash_of(secret), written(now + LASTS), folded(name), password_hash],
        ).fetchone()
        if begun is None:  # removed or changed since it was checked
            raise AccessError(_wrong())
        (shown,) = connection.execute("SELECT name FROM accounts WHERE account_id = ?", [*begun]).fetchone()
        note(connection, Event.LOGGED_IN, shown, "", address)
    return secret


def check_password(book: AccessBook, name: str, password: str, address: str) -> str:
    """Return the hash of an account's password, where that is the one given.

    Raises AccessError where name or password is wrong, TooManyTriesError where too many were.
    """
    with book.writing() as connection:
        last = note_try(connection, folded(name), address, datetime.now(UTC))
        row = connection.execute(
            "SELECT name, password_hash FROM accounts WHERE folded = ?", [folded(name)]
        ).fetchone()
    right = is_right(password, row["password_hash"] if row else None)
    with book.writing() as connection:
        if row and right:
            forgive(connection, folded(name))
            return str(row["password_hash"])
        # Not the name as it was typed: it may be a password in the wrong field.
        who = row["name"] if row else ""
        note(connection, Event.WRONG_PASSWORD, who, "", address)
        if last:
            note(connection, Event.LOCKED, who, "", address)
    raise AccessError(_wrong())


def session_of(book: AccessBook, secret: str) -> Account | None:
    """Who has a session now; None where it has ended, or never was."""
    with book.reading() as connection:
        row = connection.execute(
            "SELECT name, role, made_at FROM sessions JOIN accounts USING (account_id) "
            "WHERE token_hash = ? AND ends_at > ?",
            [hash_of(secret), written(datetime.now(UTC))],
        ).fetchone()
    return Account(row["name"], Role(row["role"]), datetime.fromisoformat(row["made_at"])) if row else None


def log_out(book: AccessBook, secret: str, address: str) -> None:
    """End a session."""
    found = session_of(book, secret)
    with book.writing() as connection:
        connection.execute("DELETE FROM sessions WHERE token_hash = ?", [hash_of(secret)])
        if found:
            note(connection, Event.LOGGED_OUT, found.name, "", address)


def new_secret() -> str:
    """A secret that nobody guesses, as letters, digits, `-` and `_`."""
    return secrets.token_urlsafe(_SECRET)


def hash_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _wrong() -> str:
    return _("Name or password is wrong.")
