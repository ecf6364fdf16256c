"""The README says what the code does: its settings are the code's, its commands exist."""

import re
from pathlib import Path

import typer

from inspection.cli import app
from inspection.config import settings_table

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_table_of_settings_is_the_one_that_the_code_gives() -> None:
    _, _, rest = README.partition("<!-- settings -->")
    table, _, _ = rest.partition("<!-- /settings -->")
    assert table.strip() == settings_table()


def test_every_command_of_the_readme_exists() -> None:
    group = typer.main.get_command(app)
    named = set(re.findall(r"\bfmi ([a-z]+)", README))
    assert {"demo", "init", "register", "night", "serve", "retrain", "sql"} <= named
    assert named - {"is"} <= set(group.commands)  # type: ignore[attr-defined]


def test_every_option_of_the_readme_exists() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    known = {option for each in commands.values() for parameter in each.params for option in parameter.opts}
    blocks = "\n".join(re.findall(r"^fmi (?:.*\\\n)*.*", README, re.M))
    used = set(re.findall(r"(?<!\S)--[a-z-]+", blocks))
    assert {"--architecture", "--reference"} <= used
    assert used <= known
