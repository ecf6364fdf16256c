"""What every command and every option has to say of itself."""

from collections.abc import Callable

import pytest
import typer

from inspection.cli.app import app
from inspection.cli.options import size_of
from inspection.errors import InspectionError
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


@pytest.mark.parametrize("text", ["4097", "224x100000", "224224"])
def test_an_input_size_beyond_any_network_is_refused(text: str) -> None:
    with pytest.raises(InspectionError, match=r"at most 4096 pixels\. Give the size that the network"):
        size_of(text)
    assert size_of("4096x12") == (4096, 12)
