"""The nights: all of them, and one with its failure modes."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from dashboards.desk import AtDesk, Findings, known, the_night
from inspection.findings import NightState
from inspection.language import gettext as _
from inspection.nights.report import errors_csv

NIGHTS_LISTED = 50  # on one page

router = APIRouter(default_response_class=HTMLResponse)


@router.get("/nights")
def nights_page(desk: AtDesk, findings: Findings, before: str = "") -> Response:
    """List the nights, newest first, from the newest or from the first before a night."""
    findings = desk.settled(findings)
    with known(_("night {id}").format(id=before)):
        nights = findings.nights(NIGHTS_LISTED + 1, before or None)
    return desk.pages.page(
        "nights.html",
        nights=nights[:NIGHTS_LISTED],
        older=len(nights) > NIGHTS_LISTED,
        modes=findings.listed_modes([mode.mode_id for night in nights for mode in night.modes]),
        before=before,
        reports=desk.reports(),
    )


@router.get("/nights/{night_id}")
def night_page(night_id: str, desk: AtDesk, findings: Findings) -> Response:
    """Show a night with its failure modes."""
    night = the_night(findings, night_id)
    if night.state is NightState.RUNNING:
        findings = desk.settled(findings)
        night = the_night(findings, night_id)
    return desk.pages.page(
        "night.html",
        night=night,
        model=findings.model(night.model_hash),
        judgements=findings.judgements(night_id),
        report=night_id in desk.reports(),
    )


@router.get("/nights/{night_id}/errors.csv")
def errors_file(night_id: str, findings: Findings) -> Response:
    """Send every error of a night as CSV."""
    text = errors_csv(the_night(findings, night_id)).encode("utf-8-sig")  # as Excel takes UTF-8
    named = {"Content-Disposition": f'attachment; filename="{night_id}-errors.csv"'}
    return Response(text, media_type="text/csv", headers=named)
