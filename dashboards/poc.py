"""A plant's first month: where its plan stands, with the figures so far."""

from datetime import datetime

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse, Response

from dashboards.desk import AtDesk, Findings
from inspection.language import gettext as _
from inspection.nights import poc
from inspection.nights.paper import shown

router = APIRouter(default_response_class=HTMLResponse)


@router.get("/poc")
def poc_page(desk: AtDesk, findings: Findings) -> Response:
    """Show the paper of the first month as it would be written now."""
    begun = poc.begun_in(desk.workspace)
    if begun is None:
        raise HTTPException(
            404, _("No first month has begun in this workspace: `fmi poc FOLDER` begins one.")
        )
    stands = poc.look(desk.workspace, desk.settled(findings), begun, datetime.now().astimezone().date())
    return desk.pages.page("poc.html", **shown(stands), written="poc" in desk.reports())
