"""Commands about who may use the dashboard from elsewhere: user, key."""

import getpass
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inspection.access.roles import Role
from inspection.cli.app import console, key, user
from inspection.cli.options import JsonOption, WorkspaceOption, open_given
from inspection.console import Table
from inspection.errors import AccessError

if TYPE_CHECKING:
    from inspection.access.book import AccessBook

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of the account.")]
KeyArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of the key: which program has it.")]
RoleOption = Annotated[Role, typer.Option("--role", help="What it may do.")]
RoleArgument = Annotated[Role, typer.Argument(help="What it may do from now on.")]


@user.command("add")
def add_user(name: NameArgument, role: RoleOption = Role.VIEWER, workspace: WorkspaceOption = None) -> None:
    """Make an account; the password is asked for, or read as one line of a pipe."""
    from inspection.access.accounts import add_account

    add_account(_book(workspace), name, role, _new_password(), _by())
    console.print(f"{name} may log in as {role}. Next: fmi serve --help says how others reach the dashboard.")


@user.command("list")
def list_users(as_json: JsonOption = False, workspace: WorkspaceOption = None) -> None:
    """List the accounts and their roles."""
    from inspection.access.accounts import accounts

    _print(accounts(_book(workspace)), as_json, "No account: fmi user add NAME makes one.")


@user.command("role")
def change_users_role(name: NameArgument, role: RoleArgument, workspace: WorkspaceOption = None) -> None:
    """Give an account another role; it counts at once."""
    from inspection.access.accounts import change_role

    change_role(_book(workspace), name, role, _by())
    console.print(f"{name} is {role} now.")


@user.command("password")
def change_users_password(name: NameArgument, workspace: WorkspaceOption = None) -> None:
    """Give an account another password, asked for or read as one line of a pipe; its sessions end."""
    from inspection.access.accounts import change_password

    change_password(_book(workspace), name, _new_password(), _by())
    console.print(f"{name} has another password now, and is logged in nowhere.")


@user.command("remove")
def remove_user(name: NameArgument, workspace: WorkspaceOption = None) -> None:
    """Remove an account, and end its sessions; what it did stays on record."""
    from inspection.access.accounts import remove_account

    remove_account(_book(workspace), name, _by())
    console.print(f"{name} has no account any more.")


@user.command("trail")
def list_trail(
    most: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """List who logged in, who failed to, and who changed what, the newest first."""
    from inspection.access.trail import entries

    _print(entries(_book(workspace), most), as_json, "Nothing has happened yet.")


@key.command("add")
def add_program(name: KeyArgument, role: RoleOption = Role.VIEWER, workspace: WorkspaceOption = None) -> None:
    """Make a key for a program and print it: it is kept nowhere, so this is the only time.

    The program sends it as a header: Authorization: Bearer KEY. What it changes is written down under
    the key's name.
    """
    from inspection.access.keys import add_key

    typer.echo(add_key(_book(workspace), name, role, _by()))


@key.command("list")
def list_keys(as_json: JsonOption = False, workspace: WorkspaceOption = None) -> None:
    """List the keys, without what they are, and when each was last used."""
    from inspection.access.keys import keys

    _print(keys(_book(workspace)), as_json, "No key: fmi key add NAME makes one.")


@key.command("remove")
def remove_program(name: KeyArgument, workspace: WorkspaceOption = None) -> None:
    """Take a key back: its next request is refused."""
    from inspection.access.keys import remove_key

    remove_key(_book(workspace), name, _by())
    console.print(f"The key {name} counts no more.")


def _book(workspace: Path | None) -> "AccessBook":
    from inspection.access.book import AccessBook

    return AccessBook(open_given(workspace).access_path)


def _by() -> str:
    """Who works in this terminal, as the record has it."""
    from inspection.workspace.store import user as running

    return f"{running()} (terminal)"


def _new_password() -> str:
    """A password typed twice and not shown, or the line of a pipe; never an argument, which others see."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("New password: ")
    if getpass.getpass("The same again: ") != password:
        raise AccessError("the password was not the same twice, so nothing was changed; try again")
    return password


def _print(records: list[Any], as_json: bool, none: str) -> None:
    """Print records as a table, a column for each field, or as JSON."""
    if as_json:
        rows = [asdict(each) for each in records]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2, default=str))
        return
    if not records:
        console.print(none)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in asdict(records[0]):
        table.add_column(name.replace("_", " "))
    for each in records:
        table.add_row(*(_cell(value) for value in asdict(each).values()))
    console.print(table)


def _cell(value: Any) -> str:
    from datetime import datetime

    from inspection.nights.phrases import moment

    if isinstance(value, datetime):
        return moment(value)
    return "-" if value in (None, "") else str(value)
