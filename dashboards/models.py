"""The models, which of them is deployed, and recipes with their candidates as a board."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from dashboards.desk import LONGEST_COMMENT, LONGEST_NAME, AtDesk, Findings, Name, Reason, known
from dashboards.guard import own_form
from inspection.language import gettext as _
from inspection.models import promotion
from inspection.models.promotion import deployed_in_turn

router = APIRouter(default_response_class=HTMLResponse)


@router.get("/models")
def models_page(request: Request, desk: AtDesk, findings: Findings, saved: str = "") -> Response:
    """List the models, and who deployed which when and why."""
    models, states, trail = findings.models(), findings.model_states(), findings.promotions()
    return desk.pages.form_page(
        request,
        "models.html",
        models=models,
        states=states,
        trail=list(reversed(trail)),
        called={model.model_hash: model.called for model in models},
        judged={done.candidate_hash: done for done in reversed(findings.retrainings())},
        turns=deployed_in_turn(findings),
        saved=saved,
        longest_name=LONGEST_NAME,
        longest_comment=LONGEST_COMMENT,
    )


@router.get("/candidates")
def candidates_page(desk: AtDesk, findings: Findings) -> Response:
    """Show the retrainings as a board: candidates by what has become of them."""
    models = findings.models()
    return desk.pages.page(
        "candidates.html",
        retrainings=findings.retrainings(),
        states=findings.model_states(),
        called={model.model_hash: model.called for model in models},
    )


@router.post("/models/{model_hash}/promotion", dependencies=[Depends(own_form)])
def promote(
    model_hash: str,
    desk: AtDesk,
    findings: Findings,
    reason: Reason,
    reviewer: Name,
    after: BackgroundTasks,
    anyway: Annotated[bool, Form()] = False,
    back: Annotated[str, Form()] = "",
) -> Response:
    """Make a model the deployed one."""
    after.add_task(desk.track)
    with known(_("model {id}").format(id=model_hash[:12])):
        findings.model(model_hash)
    desk.promoted(findings, promotion.promote(desk.live.store, model_hash, reviewer, reason, anyway))
    return RedirectResponse(_back(findings, back, "promoted"), 303)


@router.post("/models/rollback", dependencies=[Depends(own_form)])
def roll_back(
    desk: AtDesk,
    findings: Findings,
    reason: Reason,
    reviewer: Name,
    deployed: Annotated[str, Form()],
    after: BackgroundTasks,
    back: Annotated[str, Form()] = "",
) -> Response:
    """Go back to the model that was deployed before the one that the page has shown."""
    desk.promoted(findings, promotion.roll_back(desk.live.store, reviewer, reason, deployed))
    after.add_task(desk.track)
    return RedirectResponse(_back(findings, back, "rolledback"), 303)


def _back(findings: Findings, mode_id: str, saved: str) -> str:
    """The page that the form was on: a failure mode's, or that of the models."""
    if mode_id:
        with known(_("failure mode {id}").format(id=mode_id)):
            return f"/modes/{findings.mode(mode_id).mode_id}?saved={saved}"
    return f"/models?saved={saved}"
