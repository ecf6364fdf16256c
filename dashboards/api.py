"""The same for programs: JSON over HTTP, described by OpenAPI at /api/openapi.json.

Whoever changes something sends the header X-Fmi-Client with a name of its own: a page of another site cannot.
Where others reach the dashboard, a program sends its key (`fmi key add`) as well, as a bearer token.
"""

import json
import math
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Header, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field

from dashboards.desk import AnyName, AnyText, AtDesk, Findings, SomeText, known, signed, the_mode, the_night
from dashboards.guard import another_site, from_another_site
from dashboards.inbox import waiting
from dashboards.modes import judged, known_cause, named, relabelled, started
from dashboards.nights import NIGHTS_LISTED, table
from dashboards.search import found_of, wanted
from inspection.findings import (
    FailureMode,
    FilterName,
    Judgement,
    Night,
    Promotion,
    RegisteredModel,
    Relabel,
    Retraining,
    Verdict,
)
from inspection.language import gettext as _
from inspection.models import promotion
from inspection.nights.tables import Tool
from inspection.workspace.jobs import Job, jobs_now
from inspection.workspace.reader import REMEMBERED, Found, NightOverview, WaitingMode

PREFIX = "/api"
MOST_NIGHTS = 200  # of one answer


class Json(JSONResponse):
    """JSON in which a number that cannot be said is null."""

    def render(self, content: Any) -> bytes:
        """Write it; what is no number (NaN) of a record would be no JSON."""
        return json.dumps(_sayable(content), ensure_ascii=False, allow_nan=False).encode()


def _sayable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sayable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_sayable(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# It is described here; `access` says whom it lets in.
_KEY = HTTPBearer(
    auto_error=False, description="a key of `fmi key add`, where others than this machine reach the dashboard"
)
router = APIRouter(prefix=PREFIX, default_response_class=Json, dependencies=[Depends(_KEY)])


def _own_program(
    request: Request, client: Annotated[str, Header(alias="X-Fmi-Client", min_length=1, max_length=80)]
) -> None:
    """Let only programs through that a person has started: pages of other sites cannot send this header."""
    if from_another_site(request):
        raise HTTPException(403, another_site(request))


CHANGES = [Depends(_own_program)]
Signature = Annotated[
    AnyName, Field(description="who says it; where keys are asked for, the key's name counts instead")
]


class VerdictGiven(BaseModel):
    """A reviewer's verdict."""

    judgement: Judgement
    reviewer: Signature = ""
    comment: AnyText = ""
    cause: AnyText = Field("", description="the operation or family that the reviewer names")


class LabelsGiven(BaseModel):
    """What some logged images of a failure mode show."""

    rows: list[int] = Field(min_length=1, description="data rows of the log")
    label: str | None = Field(None, description="a class of the model; null: nothing to train on")
    reviewer: Signature = ""


class NameGiven(BaseModel):
    """What an expert calls the texture that a filter answers to."""

    filter: str = Field(description="one of the failure mode's blamed filters, as layer:channel")
    name: AnyName = Field("", description="for example roller marks; empty: the name before is taken back")
    author: Signature = ""


class DecisionGiven(BaseModel):
    """Why a model is promoted or rolled back, and who decides it."""

    reason: SomeText
    author: Signature = ""


class PromotionGiven(DecisionGiven):
    """The same of a promotion."""

    anyway: bool = Field(False, description="although the gate did not accept it; that stays on record")


class RollbackGiven(DecisionGiven):
    """The same of a rollback."""

    deployed: str = Field(description="the model that is deployed now, by its hash: another is not touched")


class ModelState(BaseModel):
    """A model with what has become of it."""

    model: RegisteredModel
    state: str = Field(description="deployed, retired or candidate")


class Waits(BaseModel):
    """What waits for a person."""

    modes: list[WaitingMode]
    candidates: list[Retraining]
    nights: list[NightOverview]


class Started(BaseModel):
    """A retraining that was started."""

    flow_run_id: str


# --- to read ---


@router.get("/inbox")
def inbox(findings: Findings) -> Waits:
    """What waits for a person, by consequence."""
    found = waiting(findings, findings.nights(REMEMBERED))
    return Waits(modes=found.modes, candidates=found.candidates, nights=found.nights)


@router.get("/search")
def search(findings: Findings, q: str) -> Found:
    """What is found of a text: the first 50 failure modes, errors and nights.

    Failure modes by their cause or a texture's name, errors by what is logged of them, nights by day or log.
    """
    return found_of(findings, wanted(q))


@router.get("/jobs")
def jobs(desk: AtDesk) -> list[Job]:
    """The nights and retrainings that run now, with step and progress."""
    return jobs_now(desk.workspace.leases)


@router.get("/nights")
def nights(findings: Findings, before: str | None = None, most: int = NIGHTS_LISTED) -> list[NightOverview]:
    """The nights, newest first; of more than 200 those before one that is named."""
    with known(_("night {id}").format(id=before)):
        return findings.nights(min(max(most, 1), MOST_NIGHTS), before)


@router.get("/nights/{night_id}")
def night(night_id: str, findings: Findings) -> Night:
    """A night with everything it found."""
    return the_night(findings, night_id)


@router.get("/modes/{mode_id}")
def mode(mode_id: str, findings: Findings) -> FailureMode:
    """A failure mode with everything found about it."""
    return the_mode(findings, mode_id)


@router.get("/modes/{mode_id}/verdicts")
def verdicts(mode_id: str, findings: Findings) -> list[Verdict]:
    """The verdicts on a failure mode, newest first."""
    return findings.verdicts(the_mode(findings, mode_id).mode_id)


@router.get("/modes/{mode_id}/names")
def names(mode_id: str, findings: Findings) -> list[FilterName]:
    """What experts have called the textures of a failure mode's blamed filters, the newest of each first.

    Filters of the models that were retrained from one another are the same.
    """
    mode = the_mode(findings, mode_id)
    given = findings.filter_names(findings.overview(mode.night_id).model_hash)
    return [name for blamed in mode.filters for name in given.get(blamed.name, ())]


@router.get("/modes/{mode_id}/retrainings")
def retrainings(mode_id: str, findings: Findings) -> list[Retraining]:
    """The retrainings for a failure mode, newest first."""
    return findings.retrainings(the_mode(findings, mode_id).mode_id)


@router.get("/models")
def models(findings: Findings) -> list[ModelState]:
    """The models, newest first, each with what has become of it."""
    states = findings.model_states()
    return [ModelState(model=each, state=states[each.model_hash]) for each in findings.models()]


ARCHIVE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": {}}, "description": "the table and a script that opens it"}
}


@router.get("/nights/{night_id}/tables/{tool}", response_class=Response, responses=ARCHIVE)
def table_of_night(night_id: str, tool: Tool, desk: AtDesk, findings: Findings) -> Response:
    """A night's errors as a table for FiftyOne, Renumics Spotlight or CleanVision."""
    return table(desk, findings, the_night(findings, night_id).night_id, tool)


@router.get("/modes/{mode_id}/tables/{tool}", response_class=Response, responses=ARCHIVE)
def table_of_mode(mode_id: str, tool: Tool, desk: AtDesk, findings: Findings) -> Response:
    """A failure mode's errors as a table for FiftyOne, Renumics Spotlight or CleanVision."""
    return table(desk, findings, the_mode(findings, mode_id).mode_id, tool)


@router.get("/promotions")
def promotions(findings: Findings) -> list[Promotion]:
    """Which model was deployed when, by whom and why, the first first."""
    return findings.promotions()


# --- to change ---


@router.post("/modes/{mode_id}/verdicts", status_code=201, dependencies=CHANGES)
def give_verdict(mode_id: str, given: VerdictGiven, desk: AtDesk, findings: Findings) -> Verdict:
    """Add a verdict."""
    mode, now = the_mode(findings, mode_id), datetime.now(UTC)
    cause = known_cause(mode, given.cause)
    verdict = Verdict(mode.mode_id, given.judgement, given.comment, signed(given.reviewer), now, cause)
    judged(desk, verdict)
    return verdict


@router.post("/modes/{mode_id}/labels", status_code=201, dependencies=CHANGES)
def relabel(mode_id: str, given: LabelsGiven, desk: AtDesk, findings: Findings) -> list[Relabel]:
    """Say what some logged images show."""
    mode, reviewer = the_mode(findings, mode_id), signed(given.reviewer)
    relabels = relabelled(findings, mode, given.rows, given.label, reviewer)
    desk.live.add_relabels(relabels)
    return relabels


@router.post("/modes/{mode_id}/names", status_code=201, dependencies=CHANGES)
def name_texture(mode_id: str, given: NameGiven, desk: AtDesk, findings: Findings) -> FilterName:
    """Say what the texture of a blamed filter is called."""
    return named(desk, findings, the_mode(findings, mode_id), given.filter, given.name, signed(given.author))


@router.post("/modes/{mode_id}/retraining", status_code=202, dependencies=CHANGES)
def retrain(mode_id: str, desk: AtDesk, findings: Findings) -> Started:
    """Start a targeted retraining."""
    return Started(flow_run_id=started(desk, findings, the_mode(findings, mode_id)))


@router.post("/models/rollback", status_code=201, dependencies=CHANGES)
def roll_back(given: RollbackGiven, desk: AtDesk, findings: Findings, after: BackgroundTasks) -> Promotion:
    """Go back to the model that was deployed before."""
    entry = promotion.roll_back(desk.live.store, signed(given.author), given.reason, given.deployed)
    desk.promoted(findings, entry)
    after.add_task(desk.track)
    return entry


@router.post("/models/{model_hash}/promotion", status_code=201, dependencies=CHANGES)
def promote(
    model_hash: str, given: PromotionGiven, desk: AtDesk, findings: Findings, after: BackgroundTasks
) -> Promotion:
    """Make a model the deployed one."""
    after.add_task(desk.track)
    with known(_("model {id}").format(id=model_hash[:12])):
        findings.model(model_hash)
    entry = promotion.promote(desk.live.store, model_hash, signed(given.author), given.reason, given.anyway)
    desk.promoted(findings, entry)
    return entry
