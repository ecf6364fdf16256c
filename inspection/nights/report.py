"""The night's report, one self-contained HTML file, and what its pages share with the dashboard's."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from inspection.errors import WorkspaceError
from inspection.findings import Night, RegisteredModel, Retraining
from inspection.language import gettext, language, ngettext, speaking
from inspection.nights.decisions import UNDECIDED, Decided, decided_of
from inspection.nights.phrases import FILTERS
from inspection.nights.review import REVIEW
from inspection.nights.tables import errors_csv
from inspection.nights.worth import worth_in_words, worth_of
from inspection.workspace.files import write_whole
from inspection.workspace.folder import Workspace
from inspection.workspace.lease import lease

if TYPE_CHECKING:
    from inspection.workspace.reader import Reader

PictureUrl = Callable[[str], str | None]
"""Maps a picture's path, relative to the workspace, to an address; None where there is no such picture."""

PICTURE_TYPE = "image/png"  # of every picture in a workspace: all are written by fmi


def write_report(
    night: Night, workspace: Workspace, model: RegisteredModel, decided: Decided = UNDECIDED
) -> Path:
    """Write the night's report and return its path; a reader sees the old file or the new one, never a part.

    Beside it goes a CSV file of all its errors: the report lists the first 200 of a failure mode.
    `decided` is what people have decided since the night.

    Raises WorkspaceError where the workspace cannot be written to.
    """
    path = workspace.report_path(night.night_id)
    with speaking(workspace.settings.report.language):
        shown = {"night": night, "model": model, "decided": decided, "written_at": datetime.now(UTC)}
        html = self_contained(workspace.root, "report.html", {}, **shown)
    try:
        write_whole(path.with_suffix(".csv"), errors_csv(night).encode("utf-8-sig"))  # as Excel takes UTF-8
        write_whole(path, html.encode())
    except OSError as error:
        raise WorkspaceError(
            f"the report {path} cannot be written: {error.strerror}. "
            "Make room, or give the workspace to the user who runs fmi, and run the night again."
        ) from None
    return path


def rewrite_report(workspace: Workspace, newest: "Callable[[], Reader]", night_id: str) -> None:
    """Write the report of a night that has ended again, with what was decided since.

    One writer at a time, of any process, and each reads `newest` when its turn has come: the last to write
    knows all. Of a night that runs nothing is written. Raises as `write_report`, and StoreError.
    """
    with report_turn(workspace, night_id):
        findings = newest()
        night = findings.night(night_id)
        if night.state.ended:
            model = findings.model(night.model_hash)
            write_report(night, workspace, model, decided_of(findings, night))


def report_turn(workspace: Workspace, night_id: str) -> AbstractContextManager[None]:
    """The only right to write a night's report, for the block; waits while another process has it."""
    return lease(workspace.leases, f"report-{night_id}")


def self_contained(
    root: Path, template: str, filters: Mapping[str, Callable[..., object]], **shown: object
) -> str:
    """Render a page as one file: its style and the workspace's pictures are inside it, and no script is."""
    style = stylesheet()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    pages = environment(lambda path: _embedded(root, path))
    pages.filters.update(filters)
    return pages.get_template(template).render(style=Markup(style), style_hash=digest, **shown)


# --- what the report and the dashboard share ---


def environment(picture_url: PictureUrl, *packages: str) -> Environment:
    """Return the Jinja environment of the shared macros; templates of `packages` are found before them."""
    loaders = [PackageLoader(package) for package in (*packages, "inspection.nights")]
    pages = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    pages.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    pages.filters.update(FILTERS | REVIEW)
    pages.filters["picture_url"] = picture_url
    pages.filters["worth"] = _worth
    pages.filters["t"] = gettext  # of what is no literal: `_` would take it for markup and for a format
    pages.globals["language"] = language
    return pages


def _worth(done: Retraining) -> str:
    """What a retraining is worth, in words; empty where it cannot be told."""
    worth = worth_of(done)
    return worth_in_words(worth) if worth else ""


@cache
def stylesheet() -> str:
    """Return the CSS of the shared macros."""
    return (
        resources.files("inspection.nights").joinpath("templates", "findings.css").read_text(encoding="utf-8")
    )


def picture_file(root: Path, path: str) -> Path | None:
    """Find a picture below `root`; None where it is missing, no picture, or outside `root`."""
    if Path(path).suffix.lower() != ".png":
        return None
    try:
        file = (root / path).resolve()
        found = file.is_relative_to(root.resolve()) and file.is_file()
    except (OSError, ValueError):  # for example a name that is too long, or one with a zero byte
        return None
    return file if found else None


def _embedded(root: Path, path: str) -> str | None:
    file = picture_file(root, path)
    if file is None:
        return None
    try:
        content = base64.b64encode(file.read_bytes()).decode()
    except OSError:
        return None
    return f"data:{PICTURE_TYPE};base64,{content}"
