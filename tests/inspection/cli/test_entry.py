"""One command run: help, faults of ours, and interruptions."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from inspection.cli.app import app
from tests.conftest import Answer, fmi_process

Fmi = Callable[..., Answer]


def test_without_a_command_the_help_is_shown() -> None:
    answer = fmi_process()
    assert answer.returncode == 2
    assert "First steps: fmi demo" in re.sub(r"[│\s]+", " ", answer.stdout + answer.stderr)


def test_a_fault_of_ours_leaves_its_details_in_a_file(
    fmi: Fmi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("of [ours]")

    faulty = typer.models.CommandInfo("broken", callback=broken)
    monkeypatch.setattr(app, "registered_commands", [*app.registered_commands, faulty])
    monkeypatch.chdir(tmp_path)
    answer = fmi("broken")
    (details,) = tmp_path.glob("fmi-crash-*.txt")
    assert answer.returncode == 1
    assert "ZeroDivisionError: of [ours]" in answer.stderr
    assert str(details) in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "Traceback" in details.read_text(encoding="utf-8")


def test_an_interruption_that_fails_at_clearing_up_is_an_interruption(
    fmi: Fmi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Prefect does where Ctrl+C comes while it sets up a task: "Task run is not set"."""

    def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise ValueError("Task run is not set")

    halting = typer.models.CommandInfo("halt", callback=interrupted)
    monkeypatch.setattr(app, "registered_commands", [*app.registered_commands, halting])
    monkeypatch.chdir(tmp_path)
    answer = fmi("halt")
    assert answer.returncode == 130
    assert answer.stderr == "fmi: interrupted\n"  # what this command cannot keep is not promised
    assert not list(tmp_path.glob("fmi-crash-*.txt"))
