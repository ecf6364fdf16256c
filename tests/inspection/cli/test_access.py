"""user, key: accounts and keys from a terminal, with passwords that stand in no list of processes."""

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inspection.access.accounts import accounts
from inspection.access.book import AccessBook
from inspection.access.keys import key_of
from inspection.access.roles import Role
from inspection.access.sessions import log_in
from tests.conftest import Answer, succeeded
from tests.inspection.cli.test_bad_input import refused

Fmi = Callable[..., Answer]
PASSWORD = "correct horse 電池"

pytestmark = pytest.mark.usefixtures("cheap_passwords")


@pytest.fixture
def plant(fresh: Path) -> AccessBook:
    return AccessBook(fresh / "access.sqlite")


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_an_account_is_made_changed_and_removed(
    fmi: Fmi, fresh: Path, plant: AccessBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(monkeypatch, f"{PASSWORD}\n")
    said = succeeded(fmi("user", "add", "Sato", "--role", "reviewer", "-w", fresh))
    assert said.stdout.startswith("Sato may log in as reviewer.")
    assert log_in(plant, "sato", PASSWORD, "10.0.0.1")
    assert "Sato is engineer now." in succeeded(fmi("user", "role", "Sato", "engineer", "-w", fresh)).stdout
    piped(monkeypatch, "another password\r\n")
    succeeded(fmi("user", "password", "Sato", "-w", fresh))
    assert log_in(plant, "sato", "another password", "10.0.0.1")
    rows = succeeded(fmi("user", "list", "-w", fresh)).stdout.splitlines()
    assert rows[0].split() == ["name", "role", "made", "at"]
    assert rows[1].startswith("Sato  engineer")
    assert "sato has no account any more." in succeeded(fmi("user", "remove", "sato", "-w", fresh)).stdout
    assert "No account: fmi user add NAME makes one." in fmi("user", "list", "-w", fresh).stdout
    told = json.loads(succeeded(fmi("user", "trail", "--json", "-w", fresh)).stdout)
    assert [entry["event"] for entry in told] == [
        *("account removed", "logged in", "password changed", "role changed", "logged in", "account added"),
    ]
    assert {entry["who"] for entry in told if entry["event"] == "account added"} == {told[0]["who"]}
    assert told[0]["who"].endswith(" (terminal)")
    assert "account removed" in succeeded(fmi("user", "trail", "--most", "1", "-w", fresh)).stdout


def test_a_key_is_printed_once(fmi: Fmi, fresh: Path, plant: AccessBook) -> None:
    given = succeeded(fmi("key", "add", "mes", "--role", "engineer", "-w", fresh)).stdout.strip()
    found = key_of(plant, given, "10.0.0.1")
    assert found is not None
    assert found.role is Role.ENGINEER
    listed = succeeded(fmi("key", "list", "-w", fresh)).stdout
    assert listed.splitlines()[1].startswith("mes   engineer")
    assert given not in listed
    assert "The key mes counts no more." in succeeded(fmi("key", "remove", "mes", "-w", fresh)).stdout
    assert key_of(plant, given, "10.0.0.1") is None
    assert "No key" in fmi("key", "list", "-w", fresh).stdout


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("user add Sato", "12 to 256 characters; this one has 5"),
        ("user add <b>", "cannot be a name"),
        ("user role Sato viewer", "there is no account 'Sato'; there are: none"),
        ("user remove Sato", "there is no account 'Sato'"),
        ("key remove mes", "there is no key 'mes'; there are: none"),
        ("serve --host 0.0.0.0", "it needs https"),
        ("serve --url https://fmi.plant.example", "fmi user add NAME --role engineer"),
        ("serve --url http://fmi.plant.example", "never sent unencrypted"),
    ],
)
def test_what_cannot_be_says_why(
    fmi: Fmi, fresh: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: str
) -> None:
    piped(monkeypatch, "short\n")
    refused(fmi(*command.split(), "-w", fresh), words)
    assert accounts(AccessBook(fresh / "access.sqlite")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminal")
@pytest.mark.parametrize("again", [PASSWORD, "something else"])
def test_in_a_terminal_the_password_is_typed_twice_and_not_shown(
    fresh: Path, plant: AccessBook, again: str
) -> None:
    """In a real terminal: a pseudo-terminal that a process of its own has as its own."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "inspection.cli", "user", "add", "Sato", "-w", str(fresh)]
    with subprocess.Popen(
        command, stdin=its, stdout=its, stderr=its, start_new_session=True, preexec_fn=_take_terminal
    ) as process:
        os.close(its)
        shown = b""
        for line in (PASSWORD, again):
            while not shown.rstrip().endswith(b":"):
                shown += os.read(ours, 1024)
            os.write(ours, f"{line}\n".encode())
            shown += b" answered "
        while True:
            try:
                shown += os.read(ours, 1024)
            except OSError:  # it has ended
                break
        os.close(ours)
    assert PASSWORD.encode() not in shown
    assert [each.name for each in accounts(plant)] == (["Sato"] if again == PASSWORD else [])
    assert process.returncode == (0 if again == PASSWORD else 2), shown


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
