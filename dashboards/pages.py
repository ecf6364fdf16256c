"""The pages: the shared macros of the report, with pictures served instead of embedded."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse

from dashboards.access import asker
from dashboards.guard import COOKIE, FIELD, form_token, keep
from inspection.access.roles import Role
from inspection.language import LANGUAGES
from inspection.nights.paper import PAPER
from inspection.nights.phrases import check_in_words
from inspection.nights.report import environment, picture_file
from inspection.nights.review import CHECKS, cause_title, unclaimed_title
from inspection.workspace.folder import Workspace
from inspection.workspace.reader import NightCount, NightOverview, WaitingMode


def _with(asked: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """What an address asks for, with some of it changed."""
    return {**asked, **changes}


def _waiting_title(waits: WaitingMode) -> str:
    """The title of a failure mode in a list."""
    found = waits.diagnosis
    return cause_title(found) if found.claimed else unclaimed_title(found, waits.confusion)


def _night_counts(nights: Sequence[NightOverview]) -> list[NightCount]:
    """Nights, newest first, as a chart takes them."""
    return [
        NightCount(each.night_id, each.started_at, each.errors_read, each.errors_read, None)
        for each in reversed(nights)
    ]


FILTERS: dict[str, Callable[..., object]] = {
    "check_in_words": check_in_words,
    "dict_with": _with,
    "night_counts": _night_counts,
    "waiting_title": _waiting_title,
}


class Pages:
    """Renders the templates of one workspace."""

    def __init__(self, workspace: Workspace, behind: Callable[[], str]) -> None:
        self.artifacts = workspace.root / "artifacts"
        self._templates = environment(self.picture_url, "dashboards")
        self._templates.globals["workspace_name"] = workspace.root.name
        self._templates.globals["workspace_path"] = str(workspace.root)
        self._templates.filters.update(FILTERS | PAPER)
        self._templates.globals["behind"] = behind
        self._templates.globals["asker"] = asker
        self._templates.globals["roles"] = Role
        self._templates.globals["languages"] = LANGUAGES
        self._templates.globals["families"] = list(CHECKS)

    def picture_url(self, path: str) -> str | None:
        """Map a picture's path, relative to the workspace, to its address; None where it is missing."""
        folder, _, name = path.partition("/")
        if folder != self.artifacts.name or self.picture(name) is None:
            return None
        return f"/artifacts/{quote(name)}"

    def picture(self, name: str) -> Path | None:
        """Find a picture of the artifacts folder; None where there is none of that name."""
        return picture_file(self.artifacts, name)

    def page(self, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """Render a page without forms."""
        return HTMLResponse(self._templates.get_template(template).render(context), status)

    def form_page(self, request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """Render a page with forms, which carry the browser's token."""
        token = form_token(request)
        response = self.page(template, status, csrf_field=FIELD, csrf_token=token, **context)
        keep(request, response, COOKIE, token)
        return response

    def problem(self, status: int, title: str, message: str, posted: bool = False) -> HTMLResponse:
        """Render a page that says what went wrong and what to do; `posted`: its address takes forms alone."""
        return self.page("problem.html", status, title=title, message=message, posted=posted)
