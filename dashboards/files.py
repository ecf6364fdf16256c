"""Files as they are: pictures, reports, the style that the pages share with the report."""

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, Response

from dashboards.desk import AtDesk
from dashboards.guard import REPORT_POLICY
from inspection.language import gettext as _
from inspection.nights.report import PICTURE_TYPE, stylesheet

router = APIRouter()


@router.get("/artifacts/{path:path}")
def artifact(path: str, desk: AtDesk) -> Response:
    """Send a picture of the artifacts folder, and nothing else."""
    file = desk.pages.picture(path)
    if file is None:
        raise HTTPException(404, _("There is no such picture among the artifacts of this workspace."))
    kept = {"Cache-Control": "private, max-age=3600"}
    return FileResponse(file, media_type=PICTURE_TYPE, headers=kept)


@router.get("/reports/{night_id}")
def report(night_id: str, desk: AtDesk) -> Response:
    """Send a night's report."""
    if night_id not in desk.reports():
        raise HTTPException(
            404,
            _("There is no report of night {id}. A night writes it when it finishes.").format(id=night_id),
        )
    policy = {"Content-Security-Policy": REPORT_POLICY}
    return FileResponse(desk.workspace.report_path(night_id), media_type="text/html", headers=policy)


@router.get("/static/findings.css")
def findings_css() -> Response:
    """Send the style that the pages share with the report."""
    return Response(stylesheet(), media_type="text/css", headers={"Cache-Control": "no-cache"})


@router.get("/healthz")
def health() -> Response:
    """Say that the dashboard answers."""
    return Response('{"status": "ok"}', media_type="application/json")
