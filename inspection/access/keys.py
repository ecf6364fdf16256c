"""Keys: programs that may use the interface for programs, each with a role."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from inspection.access.accounts import folded, name_of
from inspection.access.book import AccessBook, written
from inspection.access.roles import Role
from inspection.access.sessions import hash_of, new_secret
from inspection.access.trail import Event, note
from inspection.access.tries import note_try
from inspection.errors import AccessError

MARK = "fmi_"  # begins every key, so that scanners of code and logs find one that was left there
_SELDOM = timedelta(hours=1)  # between two notes that a key was used


@dataclass(frozen=True, slots=True)
class Key:
    """A program."""

    name: str
    role: Role
    made_at: datetime  # UTC
    used_at: datetime | None  # UTC, to the hour; None: never


def keys(book: AccessBook) -> list[Key]:
    """All keys, by name."""
    with book.reading() as connection:
        rows = connection.execute("SELECT * FROM keys ORDER BY folded").fetchall()
    return [
        Key(row["name"], Role(row["role"]), datetime.fromisoformat(row["made_at"]), _time(row["used_at"]))
        for row in rows
    ]


def add_key(book: AccessBook, name: str, role: Role, by: str) -> str:
    """Make a key and return it: it is kept nowhere. Raises AccessError for a name that is taken."""
    name, key = name_of(name), MARK + new_secret()
    with book.writing() as connection:
        if connection.execute("SELECT 1 FROM keys WHERE folded = ?", [folded(name)]).fetchone():
            raise AccessError(f"there is a key {name!r} already; remove it first, or give another name")
        connection.execute(
            "INSERT INTO keys VALUES (?, ?, ?, ?, ?, NULL)",
            [hash_of(key), name, folded(name), role.value, written(datetime.now(UTC))],
        )
        note(connection, Event.KEY_ADDED, by, f"{name}: {role.value}")
    return key


def remove_key(book: AccessBook, name: str, by: str) -> None:
    """Take a key back: its next request is refused. Raises AccessError where there is none."""
    with book.writing() as connection:
        found = connection.execute(
            "DELETE FROM keys WHERE folded = ? RETURNING name", [folded(name)]
        ).fetchone()
        if found is None:
            known = [each for (each,) in connection.execute("SELECT name FROM keys ORDER BY folded")]
            raise AccessError(f"there is no key {name!r}; there are: {', '.join(known) or 'none'}")
        note(connection, Event.KEY_REMOVED, by, found["name"])


def key_of(book: AccessBook, given: str, address: str) -> Key | None:
    """The key that a program gives; None where there is none such. Raises TooManyTriesError."""
    now = datetime.now(UTC)
    with book.reading() as connection:
        row = connection.execute("SELECT * FROM keys WHERE key_hash = ?", [hash_of(given)]).fetchone()
    if row is None:
        with book.writing() as connection:
            note_try(connection, None, address, now)
            note(connection, Event.WRONG_KEY, "", "", address)
        return None
    used_at = _time(row["used_at"])
    if used_at is None or now - used_at > _SELDOM:
        with book.writing() as connection:
            connection.execute(
                "UPDATE keys SET used_at = ? WHERE key_hash = ?", [written(now), hash_of(given)]
            )
    return Key(row["name"], Role(row["role"]), datetime.fromisoformat(row["made_at"]), used_at)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
