"""The manager's page: what happened in a month, what it cost, what was done and saved, and what is next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from dashboards.desk import AtDesk, Findings
from dashboards.inbox import Inbox, waiting
from inspection.findings import ErrorKind, NightState, Promotion, PromotionKind, Retraining
from inspection.workspace.reader import REMEMBERED, NightOverview, Reader, WaitingMode
from inspection.workspace.settings import WorthSettings

DAYS = 30  # that the page looks back

router = APIRouter(default_response_class=HTMLResponse)


@dataclass(frozen=True, slots=True)
class Month:
    """What happened since a moment."""

    since: datetime  # UTC
    nights: list[NightOverview]  # that finished, one of each log
    kinds: dict[str, int]  # errors, by their kind
    modes: list[WaitingMode]  # failure modes as their newest night saw them
    retrainings: list[Retraining]
    promotions: list[Promotion]  # and rollbacks; not registrations
    prices: WorthSettings

    @property
    def errors(self) -> int:
        """All of them."""
        return sum(self.kinds.values())

    @property
    def cost(self) -> float | None:
        """What the errors cost by the prices of the settings; None where no price is set."""
        if not (self.prices.escape_price or self.prices.overkill_price):
            return None
        escapes, overkills = (
            self.kinds.get(kind.value, 0) for kind in (ErrorKind.ESCAPE, ErrorKind.OVERKILL)
        )
        return escapes * self.prices.escape_price + overkills * self.prices.overkill_price


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
    )


def month_of(findings: Reader, prices: WorthSettings, since: datetime) -> Month:
    """What happened since a moment."""
    nights = [each for each in findings.nights() if each.started_at >= since]
    return Month(
        since,
        list({each.log_path: each for each in nights if each.state is NightState.FINISHED}.values()),
        findings.kinds_since(since),
        [each for each in findings.newest_of_lineages() if each.started_at >= since],
        [each for each in findings.retrainings() if each.finished_at >= since],
        [
            each
            for each in findings.promotions()
            if each.decided_at >= since and each.kind is not PromotionKind.REGISTERED
        ],
        prices,
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
