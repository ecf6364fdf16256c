"""The nights: all of them, and one with its failure modes, beside another."""

from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from dashboards.desk import AtDesk, Desk, Findings, known, the_mode, the_night
from inspection.findings import NightState, Trend
from inspection.language import gettext as _
from inspection.nights.lineage import trend
from inspection.nights.tables import Errors, Tool, errors_csv, zipped
from inspection.workspace.reader import ModeOverview, NightOverview, Reader

NIGHTS_LISTED = 50  # on one page, and to be set beside a night

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
def night_page(night_id: str, desk: AtDesk, findings: Findings, beside: str = "") -> Response:
    """Show a night with its failure modes, beside the last one before it or another that is asked for."""
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
        beside=_beside(findings, night_id, beside),
    )


@dataclass(frozen=True, slots=True)
class Both:
    """A failure mode on two nights; None: a night does not have it."""

    now: ModeOverview | None
    then: ModeOverview | None

    @property
    def became(self) -> str:
        """What became of it, in a word; growing and shrinking are beyond chance."""
        if self.now is None or self.then is None:
            return _("gone") if self.now is None else _(Trend.NEW.value)
        return _(trend(self.now.errors, self.then.errors).value)


@dataclass(frozen=True, slots=True)
class Beside:
    """A night beside another."""

    now: NightOverview
    then: NightOverview
    choice: list[NightOverview]  # nights that it may be set beside, newest first

    @property
    def modes(self) -> list[Both]:
        """The failure modes of both, by the larger number of errors."""
        now, then = ({mode.lineage: mode for mode in night.modes} for night in (self.now, self.then))
        both = [Both(now.get(name), then.get(name)) for name in dict.fromkeys([*now, *then])]
        return sorted(both, key=lambda each: -max(mode.errors for mode in (each.now, each.then) if mode))


def _beside(findings: Reader, night_id: str, wanted: str) -> Beside | None:
    """A night beside the one that is asked for, or else the last finished one before it."""
    now = findings.overview(night_id)
    before = findings.nights(NIGHTS_LISTED, night_id)
    choice = [night for night in before if night.state is NightState.FINISHED]
    if wanted:
        with known(_("night {id}").format(id=wanted)):
            then = findings.overview(wanted)
        if then not in choice:
            choice.insert(0, then)
    if now.state is not NightState.FINISHED or not choice:
        return None
    return Beside(now, then if wanted else choice[0], choice)


@router.get("/nights/{night_id}/errors.csv")
def errors_file(night_id: str, findings: Findings) -> Response:
    """Send every error of a night as CSV."""
    text = errors_csv(the_night(findings, night_id)).encode("utf-8-sig")  # as Excel takes UTF-8
    named = {"Content-Disposition": f'attachment; filename="{night_id}-errors.csv"'}
    return Response(text, media_type="text/csv", headers=named)


@router.get("/nights/{night_id}/tables/{tool}.zip")
def night_table(night_id: str, tool: Tool, desk: AtDesk, findings: Findings) -> Response:
    """Send a night's errors as a table for another tool."""
    return table(desk, findings, the_night(findings, night_id).night_id, tool)


@router.get("/modes/{mode_id}/tables/{tool}.zip")
def mode_table(mode_id: str, tool: Tool, desk: AtDesk, findings: Findings) -> Response:
    """Send a failure mode's errors as a table for another tool."""
    return table(desk, findings, the_mode(findings, mode_id).mode_id, tool)


def table(desk: Desk, findings: Reader, wanted: str, tool: Tool) -> Response:
    """The errors of a night or a failure mode with a script that opens them, as one archive."""
    content = zipped(Errors.of(findings, desk.workspace, wanted), tool)
    named = {"Content-Disposition": f'attachment; filename="{wanted}-{tool.value}.zip"'}
    return Response(content, media_type="application/zip", headers=named)
