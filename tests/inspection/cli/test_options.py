"""What every command and every option has to say of itself."""

from collections.abc import Callable

import pytest
import typer

from inspection.cli.app import app
from tests.conftest import Answer

Fmi = Callable[..., Answer]


COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_every_option_has_its_help(fmi: Fmi, name: str) -> None:
    answer = fmi(name, "--help")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert COMMANDS[name].help.split("\n")[0][:40] in answer.stdout
    undescribed = [each.name for each in COMMANDS[name].params if not (each.help or "").strip()]
    assert undescribed == []
