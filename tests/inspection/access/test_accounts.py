"""People: their names, roles and passwords, and that what changes them is on record."""

import pytest

from inspection.access.accounts import accounts, add_account, change_password, change_role, remove_account
from inspection.access.book import AccessBook
from inspection.access.passwords import LONGEST, SHORTEST
from inspection.access.roles import Role
from inspection.access.sessions import log_in, session_of
from inspection.access.trail import entries
from inspection.errors import AccessError
from tests.inspection.access.conftest import HERE, PASSWORD

pytestmark = pytest.mark.usefixtures("cheap_passwords")


def test_what_each_role_holds() -> None:
    held = {role: [other for other in Role if role.includes(other)] for role in Role}
    assert held == {
        Role.VIEWER: [Role.VIEWER],
        Role.REVIEWER: [Role.VIEWER, Role.REVIEWER],
        Role.ENGINEER: [Role.VIEWER, Role.REVIEWER, Role.ENGINEER],
    }


def test_an_account_changes_and_goes(book: AccessBook) -> None:
    add_account(book, "青木 一", Role.VIEWER, PASSWORD, "root")
    change_role(book, "SATO", Role.ENGINEER, "root")
    assert [(each.name, each.role) for each in accounts(book)] == [
        ("Sato", Role.ENGINEER),
        ("青木 一", Role.VIEWER),
    ]
    change_password(book, "sato", PASSWORD + "!", "root")
    remove_account(book, "青木 一", "root")
    assert [each.name for each in accounts(book)] == ["Sato"]
    told = [f"{entry.event}, {entry.what}, {entry.who}" for entry in reversed(entries(book, 9))]
    assert told == [
        "account added, Sato: reviewer, root",
        "account added, 青木 一: viewer, root",
        "role changed, Sato: reviewer → engineer, root",
        "password changed, Sato, root",
        "account removed, 青木 一, root",
    ]


def test_a_role_counts_at_once_and_an_account_that_is_gone_does_not(book: AccessBook) -> None:
    secret = log_in(book, "Sato", PASSWORD, HERE)
    change_role(book, "Sato", Role.VIEWER, "root")
    held = session_of(book, secret)
    assert held is not None
    assert held.role is Role.VIEWER
    remove_account(book, "Sato", "root")
    assert session_of(book, secret) is None
    add_account(book, "Sato", Role.ENGINEER, PASSWORD, "root")
    assert session_of(book, secret) is None


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a  b", "mes (key)", "<b>", "a" * 65, "a\u202eb"])
def test_what_cannot_be_a_name(book: AccessBook, name: str) -> None:
    with pytest.raises(AccessError, match="cannot be a name: it takes 1 to 64 letters"):
        add_account(book, name, Role.VIEWER, PASSWORD, "root")


def test_a_name_is_taken_however_it_is_written(book: AccessBook) -> None:
    for name in ("sato", "ＳＡＴＯ", " Sato "):
        with pytest.raises(AccessError, match="already"):
            add_account(book, name, Role.VIEWER, PASSWORD, "root")


def test_who_there_is_not(book: AccessBook) -> None:
    words = "there is no account 'Aoki'; there are: Sato"
    with pytest.raises(AccessError, match=words):
        change_role(book, "Aoki", Role.VIEWER, "root")
    with pytest.raises(AccessError, match=words):
        change_password(book, "Aoki", PASSWORD, "root")
    with pytest.raises(AccessError, match=words):
        remove_account(book, "Aoki", "root")


@pytest.mark.parametrize("password", ["", "a" * (SHORTEST - 1), "a" * (LONGEST + 1)])
def test_a_password_is_neither_short_nor_endless(book: AccessBook, password: str) -> None:
    with pytest.raises(AccessError, match=f"12 to 256 characters; this one has {len(password)}"):
        change_password(book, "Sato", password, "root")
    assert log_in(book, "Sato", PASSWORD, HERE)
