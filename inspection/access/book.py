"""The file of a workspace that holds accounts, sessions, keys and the record of what they did.

It is SQLite, and not part of the DuckDB store: a process that writes into DuckDB has the whole file for
itself, and nobody could log in as long as a night holds it. What is readable with `fmi sql`, or is given to a
colleague with the store, holds no password either.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from inspection.errors import AccessError

VERSION = 1  # of the tables
PATIENCE = 5.0  # seconds that one process waits while another writes, which takes it milliseconds
_OWNER_ONLY = 0o600  # mode of the file

# Times are UTC, written as `written` does, so that their order is the order of their text.
_TABLES = """
CREATE TABLE accounts (
    account_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL, -- as it is shown
    folded TEXT NOT NULL UNIQUE, -- as it is compared
    role TEXT NOT NULL CHECK (role IN ('viewer', 'reviewer', 'engineer')),
    password_hash TEXT NOT NULL, -- Argon2's, with its salt and cost
    made_at TEXT NOT NULL
) STRICT;
CREATE TABLE sessions (
    token_hash TEXT PRIMARY KEY, -- SHA-256
    account_id INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
    ends_at TEXT NOT NULL
) STRICT;
CREATE TABLE keys (
    key_hash TEXT PRIMARY KEY, -- SHA-256
    name TEXT NOT NULL,
    folded TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'reviewer', 'engineer')),
    made_at TEXT NOT NULL,
    used_at TEXT -- to the hour
) STRICT;
CREATE TABLE tries (
    tried_at TEXT NOT NULL,
    folded TEXT, -- of the account's name; of a key that does not exist there is none
    address TEXT NOT NULL -- as `tries.place_of` writes it
) STRICT;
CREATE TABLE trail (
    entry_id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    who TEXT NOT NULL,
    event TEXT NOT NULL,
    what TEXT NOT NULL,
    address TEXT NOT NULL -- empty: in a terminal
) STRICT;
CREATE TRIGGER trail_keeps BEFORE UPDATE ON trail BEGIN SELECT RAISE(ABORT, 'it is only added to'); END;
CREATE TRIGGER trail_stays BEFORE DELETE ON trail BEGIN SELECT RAISE(ABORT, 'it is only added to'); END;
"""


class AccessBook:
    """The file, made when it is first asked. Raises AccessError where it cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that nobody writes with."""
        with self._open() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection whose changes are kept together at the end of the block, or none of them."""
        with self._open() as connection, _together(connection):
            yield connection

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self.path.exists():  # SQLite would make it readable for others
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, _OWNER_ONLY))
            with closing(sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)) as connection:
                connection.row_factory = sqlite3.Row
                connection.execute("PRAGMA foreign_keys = ON")
                self._prepare(connection)
                yield connection
        except (OSError, sqlite3.Error) as error:
            raise AccessError(
                f"the accounts in {self.path} cannot be used: {error}. The file has to be the workspace's "
                "own, readable and writable for the user who runs fmi."
            ) from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if _version(connection) == 0:
            with _together(connection):
                if _version(connection) == 0:  # another process was faster
                    for statement in _statements(_TABLES):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {VERSION}")
        if _version(connection) > VERSION:
            raise AccessError(
                f"{self.path} was written by a newer fmi: this one knows version {VERSION} of it, and it has "
                f"{_version(connection)}. Update fmi."
            )


@contextmanager
def _together(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(text: str) -> Iterator[str]:
    """The statements of a script, which SQLite would run outside of a transaction."""
    held = ""
    for line in text.splitlines(keepends=True):
        held += line
        if sqlite3.complete_statement(held):
            yield held
            held = ""


def written(when: datetime) -> str:
    """A time as the file holds it."""
    return when.astimezone(UTC).isoformat(timespec="microseconds")
