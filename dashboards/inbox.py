"""The inbox: what waits for a person, by consequence, and what runs now."""

from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from dashboards.desk import AtDesk, Findings
from inspection.findings import Decision, LogSetAside, NightState, Retraining
from inspection.models.promotion import deployed_in_turn
from inspection.workspace.jobs import jobs_now
from inspection.workspace.reader import REMEMBERED, NightOverview, Reader, WaitingMode

router = APIRouter(default_response_class=HTMLResponse)


@dataclass(frozen=True, slots=True)
class Inbox:
    """What waits for a person."""

    modes: list[WaitingMode]  # without a verdict on their newest night
    candidates: list[Retraining]  # judged and not promoted, from a deployed model
    nights: list[NightOverview]  # that failed or could read nothing, and were followed by none that could
    logs: list[LogSetAside]  # of lines, that no night could read

    def __len__(self) -> int:
        return len(self.modes) + len(self.candidates) + len(self.nights) + len(self.logs)


@router.get("/")
def inbox_page(desk: AtDesk, findings: Findings) -> Response:
    """Show what waits for a person, and what runs."""
    findings = desk.settled(findings)
    nights = findings.nights(REMEMBERED)
    return desk.pages.page(
        "inbox.html",
        inbox=waiting(findings, nights),
        nights=nights,
        called={model.model_hash: model.called for model in findings.models()},
        jobs=jobs_now(desk.workspace.leases),
        known_nights=findings.states(),
        now=datetime.now(UTC),
    )


@router.get("/jobs")
def jobs_fragment(desk: AtDesk, findings: Findings) -> Response:
    """Return what runs now, to refresh it without the rest."""
    jobs, known = jobs_now(desk.workspace.leases), findings.states()
    return desk.pages.page("jobs.html", jobs=jobs, known_nights=known, now=datetime.now(UTC))


def waiting(findings: Reader, nights: list[NightOverview]) -> Inbox:
    """What waits for a person, in the order of its consequence."""
    recent = {night.night_id for night in nights}
    modes = [
        each
        for each in findings.newest_of_lineages()
        if each.overview.judgement is None and each.overview.mode_id.rpartition("-")[0] in recent
    ]
    failed = _failed(nights)
    told = {night.log_path for night in failed}
    aside = [log for log in findings.logs_set_aside() if log.log_path not in told]
    return Inbox(modes, _candidates(findings), failed, aside)


def _candidates(findings: Reader) -> list[Retraining]:
    seen = {entry.model_hash for entry in findings.promotions()}
    deployed = {hashes[-1] for hashes in deployed_in_turn(findings).values()}
    return [
        done
        for done in findings.retrainings()
        if done.candidate_hash
        and done.candidate_hash not in seen
        and done.decision is not Decision.REJECTED
        and done.model_hash in deployed
    ]


def _failed(nights: list[NightOverview]) -> list[NightOverview]:
    """The newest nights of each line as long as none of them finished."""
    found, fine = list[NightOverview](), set[str]()
    for night in nights:
        if night.state is NightState.FINISHED:
            fine.add(night.of_line)
        elif night.of_line not in fine and night.state in (NightState.FAILED, NightState.UNREADABLE):
            found.append(night)
    return found
