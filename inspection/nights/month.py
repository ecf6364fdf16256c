"""What happened in a plant since a moment: nights, errors, causes, what was done, and what it cost."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from inspection.findings import ErrorKind, NightState, Promotion, PromotionKind, Retraining
from inspection.workspace.settings import WorthSettings

if TYPE_CHECKING:  # it loads DuckDB, which reads the findings
    from inspection.workspace.reader import NightOverview, Reader, WaitingMode


@dataclass(frozen=True, slots=True)
class Month:
    """What happened since a moment."""

    since: datetime  # UTC
    nights: "list[NightOverview]"  # that finished, the newest of each log, the oldest first
    kinds: dict[str, int]  # errors, by their kind
    modes: "list[WaitingMode]"  # failure modes as their newest night saw them
    retrainings: list[Retraining]  # newest first
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


def month_of(findings: "Reader", prices: WorthSettings, since: datetime) -> Month:
    """What happened since a moment."""
    nights = [each for each in findings.nights() if each.started_at >= since]
    return Month(
        since,
        list(
            {each.log_path: each for each in reversed(nights) if each.state is NightState.FINISHED}.values()
        ),
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
