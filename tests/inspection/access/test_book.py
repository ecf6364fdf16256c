"""The file of the accounts: the owner's alone, whole or not at all, and without what lets anybody in."""

import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inspection.access.accounts import accounts, add_account
from inspection.access.book import VERSION, AccessBook
from inspection.access.keys import add_key
from inspection.access.roles import Role
from inspection.access.sessions import log_in
from inspection.access.trail import entries
from inspection.errors import AccessError
from tests.inspection.access.conftest import HERE, PASSWORD


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mode of a file")
def test_nobody_else_may_read_it(book: AccessBook) -> None:
    assert book.path.stat().st_mode & 0o777 == 0o600


def test_it_holds_no_secret(book: AccessBook) -> None:
    secrets = [log_in(book, "sato", PASSWORD, HERE), add_key(book, "mes", Role.VIEWER, "root"), PASSWORD]
    held = book.path.read_bytes()
    assert [secret for secret in secrets if secret.encode() in held] == []


def test_the_trail_cannot_be_changed(book: AccessBook) -> None:
    for statement in ("UPDATE trail SET who = 'x'", "DELETE FROM trail"):
        with pytest.raises(AccessError, match="it is only added to"), book.writing() as connection:
            connection.execute(statement)
    assert [entry.who for entry in entries(book, 9)] == ["root"]


def removed_and_failed(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM accounts")
    connection.execute("DELETE FROM nowhere")


def test_a_block_that_fails_changes_nothing(book: AccessBook) -> None:
    with pytest.raises(AccessError, match="no such table"), book.writing() as connection:
        removed_and_failed(connection)
    assert [each.name for each in accounts(book)] == ["Sato"]


def test_several_make_it_at_once(tmp_path: Path) -> None:
    book = AccessBook(tmp_path / "access.sqlite")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: add_key(book, f"k{n}", Role.VIEWER, "root"), range(8)))
    assert len(entries(book, 99)) == 8


@pytest.mark.parametrize(
    ("content", "words"), [(b"no database" * 99, "file is not a database"), (None, "newer fmi")]
)
def test_a_file_that_is_not_ours(book: AccessBook, content: bytes | None, words: str) -> None:
    if content is None:
        with sqlite3.connect(book.path) as connection:
            connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        connection.close()
    else:
        book.path.write_bytes(content)
    with pytest.raises(AccessError, match=words):
        add_account(book, "Aoki", Role.VIEWER, PASSWORD, "root")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="readable and writable for the user who runs fmi"):
        accounts(AccessBook(tmp_path / "none" / "access.sqlite"))
