"""The paper of a plant's first month: one HTML file of two or three sheets that asks for the next step."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inspection.errors import WorkspaceError
from inspection.language import speaking
from inspection.nights.phrases import NBSP, number
from inspection.nights.poc import SHOWN, WEEKS, Poc, ask_in_words, asked_for, command_for, steps
from inspection.nights.report import self_contained
from inspection.workspace.files import write_whole
from inspection.workspace.folder import Workspace


def _tenths(share: float) -> str:
    """A small share, whose interval whole percents would not show."""
    return f"{number(100 * share, 1)}{NBSP}%"


PAPER: dict[str, Callable[..., object]] = {
    "ask": ask_in_words,
    "ask_kind": asked_for,
    "command_for": command_for,
    "plan": steps,
    "tenths": _tenths,
}
"""What the templates of the paper use beside the report's filters."""


def write_paper(poc: Poc, workspace: Workspace) -> Path:
    """Write it in the language of the reports and return its path. Raises WorkspaceError."""
    path = workspace.report_path("poc")
    with speaking(workspace.settings.report.language):
        html = self_contained(workspace.root, "poc_paper.html", PAPER, **shown(poc))
    try:
        write_whole(path, html.encode())
    except OSError as error:
        raise WorkspaceError(
            f"the paper {path} cannot be written: {error.strerror}. Make room, or give the workspace to the "
            "user who runs fmi, and run `fmi poc` again"
        ) from None
    return path


def shown(poc: Poc) -> dict[str, Any]:
    """What the templates take."""
    return {"poc": poc, "most": SHOWN, "weeks": WEEKS, "written_at": datetime.now(UTC)}
