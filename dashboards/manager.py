"""The manager's page: what happened in a month, what it cost, what was done and saved, and what is next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from dashboards.desk import AtDesk, Findings
from dashboards.inbox import Inbox, waiting
from inspection.findings import Retraining
from inspection.nights.month import month_of
from inspection.nights.poc import begun_in
from inspection.workspace.reader import REMEMBERED, WaitingMode

DAYS = 30  # that the page looks back

router = APIRouter(default_response_class=HTMLResponse)


@router.get("/manager")
def manager_page(desk: AtDesk, findings: Findings) -> Response:
    """Show the month on a page that prints on two sheets."""
    findings = desk.settled(findings)
    now = datetime.now(UTC)
    recent = findings.nights(REMEMBERED)
    return desk.pages.page(
        "manager.html",
        month=month_of(findings, desk.workspace.settings.worth, now - timedelta(days=DAYS)),
        steps=_next_steps(waiting(findings, recent)),
        called={model.model_hash: model.called for model in findings.models()},
        nights=recent,
        days=DAYS,
        now=now,
        first_month=begun_in(desk.workspace) is not None,
    )


@dataclass(frozen=True, slots=True)
class NextStep:
    """Something that is recommended, and where."""

    kind: str  # promote, look or review
    candidate: Retraining | None = None
    mode: WaitingMode | None = None


def _next_steps(inbox: Inbox, most: int = 5) -> Sequence[NextStep]:
    """What waits, by consequence: candidates that are ready first."""
    ready = [NextStep("promote" if each.accepted else "look", each) for each in inbox.candidates]
    return [*ready, *(NextStep("review", mode=each) for each in inbox.modes)][:most]
