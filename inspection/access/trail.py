"""The record: who logged in, who failed to, and who changed what. It is added to, and never changed."""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from inspection.access.book import AccessBook, written


class Event(StrEnum):
    """What happened."""

    LOGGED_IN = "logged in"
    WRONG_PASSWORD = "wrong password"
    WRONG_KEY = "wrong key"
    LOCKED = "no more passwords are taken for a while"
    LOGGED_OUT = "logged out"
    ACCOUNT_ADDED = "account added"
    ACCOUNT_REMOVED = "account removed"
    ROLE_CHANGED = "role changed"
    PASSWORD_CHANGED = "password changed"
    KEY_ADDED = "key added"
    KEY_REMOVED = "key removed"
    CHANGED = "changed"  # through a page or the interface for programs
    REFUSED = "refused"  # what the role does not allow


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the record."""

    entry_id: int
    at: datetime  # UTC
    who: str  # an account, a key, or who worked in a terminal; empty: an account or key that there is not
    event: Event
    what: str  # the account or key that it was done to, or what was asked for
    address: str  # it came from; empty: a terminal of the machine


def note(connection: sqlite3.Connection, event: Event, who: str, what: str = "", address: str = "") -> None:
    """Add a line, together with what else the connection changes."""
    connection.execute(
        "INSERT INTO trail (at, who, event, what, address) VALUES (?, ?, ?, ?, ?)",
        [written(datetime.now(UTC)), who, event.value, what, address],
    )


def entries(book: AccessBook, most: int, before: int | None = None) -> list[Entry]:
    """The newest lines, the newest first; those before the line of an id."""
    with book.reading() as connection:
        rows = connection.execute(
            "SELECT * FROM trail WHERE entry_id < ? ORDER BY entry_id DESC LIMIT ?",
            [before if before is not None else _AFTER_ALL, most],
        ).fetchall()
    return [
        Entry(
            row["entry_id"],
            datetime.fromisoformat(row["at"]),
            row["who"],
            Event(row["event"]),
            row["what"],
            row["address"],
        )
        for row in rows
    ]


_AFTER_ALL = 2**63 - 1  # the largest id that SQLite has
