"""A file of accounts with one person in it."""

from pathlib import Path

import pytest

from inspection.access.accounts import add_account
from inspection.access.book import AccessBook
from inspection.access.roles import Role

PASSWORD = "correct horse 電池"
HERE = "10.0.0.7"


@pytest.fixture
def book(tmp_path: Path) -> AccessBook:
    book = AccessBook(tmp_path / "access.sqlite")
    add_account(book, "Sato", Role.REVIEWER, PASSWORD, "root")
    return book
