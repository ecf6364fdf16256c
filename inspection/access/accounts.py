"""Accounts: people who may use the dashboard, each with a role and a password."""

import re
import sqlite3
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime

from inspection.access.book import AccessBook, written
from inspection.access.passwords import hashed
from inspection.access.roles import Role
from inspection.access.trail import Event, note
from inspection.access.tries import forgive
from inspection.errors import AccessError

LONGEST_NAME = 64  # characters
_NAME = re.compile(r"[\w.@-]+( [\w.@-]+)*")  # no parentheses: they mark keys as authors


@dataclass(frozen=True, slots=True)
class Account:
    """A person."""

    name: str
    role: Role
    made_at: datetime  # UTC


def accounts(book: AccessBook) -> list[Account]:
    """All accounts, by name."""
    with book.reading() as connection:
        rows = connection.execute("SELECT * FROM accounts ORDER BY folded").fetchall()
    return [Account(row["name"], Role(row["role"]), datetime.fromisoformat(row["made_at"])) for row in rows]


def add_account(book: AccessBook, name: str, role: Role, password: str, by: str) -> None:
    """Add an account. Raises AccessError for a name that is taken or cannot be one, and a short password."""
    name, password_hash = name_of(name), hashed(password)
    with book.writing() as connection:
        if connection.execute("SELECT 1 FROM accounts WHERE folded = ?", [folded(name)]).fetchone():
            raise AccessError(
                f"there is an account {name!r} already; `fmi user role` and `fmi user password` change it"
            )
        connection.execute(
            "INSERT INTO accounts (name, folded, role, password_hash, made_at) VALUES (?, ?, ?, ?, ?)",
            [name, folded(name), role.value, password_hash, written(datetime.now(UTC))],
        )
        note(connection, Event.ACCOUNT_ADDED, by, f"{name}: {role.value}")


def change_role(book: AccessBook, name: str, role: Role, by: str) -> None:
    """Give an account another role, which counts from its next request on. Raises AccessError."""
    with book.writing() as connection:
        found = the_account(connection, name)
        connection.execute(
            "UPDATE accounts SET role = ? WHERE account_id = ?", [role.value, found["account_id"]]
        )
        note(connection, Event.ROLE_CHANGED, by, f"{found['name']}: {found['role']} → {role.value}")


def change_password(book: AccessBook, name: str, password: str, by: str, address: str = "") -> None:
    """Give an account another password, and end its sessions. Raises AccessError."""
    password_hash = hashed(password)
    with book.writing() as connection:
        found = the_account(connection, name)
        connection.execute(
            "UPDATE accounts SET password_hash = ? WHERE account_id = ?", [password_hash, found["account_id"]]
        )
        connection.execute("DELETE FROM sessions WHERE account_id = ?", [found["account_id"]])
        forgive(connection, found["folded"])
        note(connection, Event.PASSWORD_CHANGED, by, found["name"], address)


def remove_account(book: AccessBook, name: str, by: str) -> None:
    """Remove an account with its sessions; what it did stays on record. Raises AccessError."""
    with book.writing() as connection:
        found = the_account(connection, name)
        connection.execute("DELETE FROM accounts WHERE account_id = ?", [found["account_id"]])
        note(connection, Event.ACCOUNT_REMOVED, by, found["name"])


def the_account(connection: sqlite3.Connection, name: str) -> sqlite3.Row:
    """The row of an account. Raises AccessError where there is none."""
    row = connection.execute("SELECT * FROM accounts WHERE folded = ?", [folded(name)]).fetchone()
    if row is None:
        known = [each for (each,) in connection.execute("SELECT name FROM accounts ORDER BY folded")]
        raise AccessError(f"there is no account {name!r}; there are: {', '.join(known) or 'none'}")
    assert isinstance(row, sqlite3.Row)
    return row


def name_of(given: str) -> str:
    """A name as it is kept, of an account or a key. Raises AccessError for what cannot be one."""
    name = unicodedata.normalize("NFKC", given).strip()
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise AccessError(
            f"{given!r} cannot be a name: it takes 1 to {LONGEST_NAME} letters, digits, '.', '@', '_', '-', "
            "and single spaces between them"
        )
    return name


def folded(name: str) -> str:
    """A name as it is compared: Sato is sato, however the keyboard wrote it."""
    return unicodedata.normalize("NFKC", name).strip().casefold()
