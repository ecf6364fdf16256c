"""The dashboard's addresses: nights, failure modes, verdicts, retraining, models, pictures and reports."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, cast

from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import StringConstraints
from starlette.exceptions import HTTPException as StarletteHTTPException

from dashboards.guard import REPORT_POLICY, guard, own_form, secured
from dashboards.pages import Pages
from dashboards.retraining import RetrainingRun, RetrainingStarter
from inspection.errors import FlowError, InspectionError, StoreBusyError, UnknownIdError
from inspection.findings import FailureMode, Judgement, Night, NightState, Retraining, Verdict
from inspection.nights.night import Site, runs_now, settle
from inspection.nights.report import PICTURE_TYPE, stylesheet
from inspection.workspace.folder import Workspace
from inspection.workspace.live_copy import LiveCopy
from inspection.workspace.reader import Reader
from inspection.workspace.store import Store

NIGHTS_LISTED = 50  # on one page
LONGEST_NAME = 80  # characters of a reviewer's name
LONGEST_COMMENT = 2000  # characters
TITLES = {403: "Not accepted", 404: "Not found", 405: "Not possible", 409: "Not possible now"}


@dataclass(frozen=True, slots=True)
class Desk:
    """What the pages of one workspace work with."""

    workspace: Workspace
    live: LiveCopy
    retraining: RetrainingStarter
    pages: Pages


@dataclass(frozen=True, slots=True)
class Panel:
    """What is known about retraining for one failure mode."""

    runs: list[RetrainingRun]
    finished: list[Retraining]
    blocked: str  # why no retraining can start now; empty where it can
    warnings: list[str]

    @property
    def live(self) -> bool:
        """Whether a run may still change."""
        return any(run.live for run in self.runs)


def create_app(workspace: Workspace, store: Store, retraining: RetrainingStarter) -> FastAPI:
    """Return the dashboard of a workspace."""
    app = FastAPI(title="fmi", docs_url=None, redoc_url=None, openapi_url=None)
    live = LiveCopy(store)
    app.state.desk = Desk(workspace, live, retraining, Pages(workspace, lambda: live.behind))
    guard(app)
    _answer_problems(app)
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")))
    return app


def _desk(request: Request) -> Desk:
    return cast(Desk, request.app.state.desk)


def _findings(request: Request) -> Reader:
    """The findings of one moment for all of one page."""
    return _desk(request).live.newest()


router = APIRouter(default_response_class=HTMLResponse)
AtDesk = Annotated[Desk, Depends(_desk)]
Findings = Annotated[Reader, Depends(_findings)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME)]
Comment = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_COMMENT)]


# --- pages ---


@router.get("/")
def nights_page(desk: AtDesk, findings: Findings, before: str = "") -> Response:
    """List the nights, newest first, from the newest or from the first before a night."""
    findings = _settled(desk, findings)
    with _known(f"night {before}"):
        nights = findings.nights(NIGHTS_LISTED + 1, before or None)
    return desk.pages.page(
        "nights.html",
        nights=nights[:NIGHTS_LISTED],
        older=len(nights) > NIGHTS_LISTED,
        before=before,
        reports=_reports(desk),
    )


@router.get("/nights/{night_id}")
def night_page(night_id: str, desk: AtDesk, findings: Findings) -> Response:
    """Show a night with its failure modes."""
    night = _night(findings, night_id)
    if night.state is NightState.RUNNING:
        findings = _settled(desk, findings)
        night = _night(findings, night_id)
    return desk.pages.page(
        "night.html",
        night=night,
        model=findings.model(night.model_hash),
        judgements=findings.judgements(night_id),
        report=night_id in _reports(desk),
    )


@router.get("/modes/{mode_id}")
def mode_page(request: Request, mode_id: str, desk: AtDesk, findings: Findings, saved: str = "") -> Response:
    """Show a failure mode with its verdicts and retrainings."""
    mode = _mode(findings, mode_id)
    verdicts = findings.verdicts(mode_id)
    return desk.pages.form_page(
        request,
        "mode.html",
        mode=mode,
        started_at=findings.started_at(mode.night_id),
        verdicts=verdicts,
        panel=_panel(desk, findings, mode, verdicts),
        saved=saved,
        longest_name=LONGEST_NAME,
        longest_comment=LONGEST_COMMENT,
    )


@router.get("/modes/{mode_id}/retraining")
def retraining_fragment(request: Request, mode_id: str, desk: AtDesk, findings: Findings) -> Response:
    """Return the retraining part of a failure mode's page, to refresh it without the rest."""
    mode = _mode(findings, mode_id)
    panel = _panel(desk, findings, mode, findings.verdicts(mode_id))
    return desk.pages.form_page(request, "retraining.html", mode=mode, panel=panel)


@router.get("/models")
def models_page(desk: AtDesk, findings: Findings) -> Response:
    """List the models."""
    models, states = findings.models(), findings.model_states()
    trail = list(reversed(findings.promotions()))
    called = {model.model_hash: model.called for model in models}
    return desk.pages.page("models.html", models=models, states=states, trail=trail, called=called)


# --- forms ---


@router.post("/modes/{mode_id}/verdicts", dependencies=[Depends(own_form)])
def give_verdict(
    mode_id: str,
    desk: AtDesk,
    findings: Findings,
    judgement: Annotated[Judgement, Form()],
    reviewer: Annotated[Name, Form()],
    comment: Annotated[Comment, Form()] = "",
) -> Response:
    """Add a reviewer's verdict."""
    _mode(findings, mode_id)
    desk.live.add_verdict(Verdict(mode_id, judgement, comment, reviewer, datetime.now(UTC)))
    return RedirectResponse(f"/modes/{mode_id}?saved=verdict#verdicts", 303)


@router.post("/modes/{mode_id}/retraining", dependencies=[Depends(own_form)])
def start_retraining(mode_id: str, desk: AtDesk, findings: Findings) -> Response:
    """Start a targeted retraining."""
    blocked = _blocked(_mode(findings, mode_id), desk.retraining.runs(mode_id))
    if blocked:
        raise HTTPException(409, blocked)
    desk.retraining.start(mode_id)
    return RedirectResponse(f"/modes/{mode_id}?saved=retraining#retraining", 303)


# --- files ---


@router.get("/artifacts/{path:path}")
def artifact(path: str, desk: AtDesk) -> Response:
    """Send a picture of the artifacts folder, and nothing else."""
    file = desk.pages.picture(path)
    if file is None:
        raise HTTPException(404, "There is no such picture among the artifacts of this workspace.")
    kept = {"Cache-Control": "private, max-age=3600"}
    return FileResponse(file, media_type=PICTURE_TYPE, headers=kept)


@router.get("/reports/{night_id}")
def report(night_id: str, desk: AtDesk) -> Response:
    """Send a night's report."""
    if night_id not in _reports(desk):
        raise HTTPException(
            404, f"There is no report of night {night_id}. A night writes it when it finishes."
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


# --- what the pages need to know ---


def _settled(desk: Desk, findings: Reader) -> Reader:
    """The findings, after nights that were ended on the way have been marked as such."""
    running = [
        findings.night(name) for name, state in findings.states().items() if state is NightState.RUNNING
    ]
    if any(runs_now(desk.workspace, night) is None for night in running):
        with suppress(StoreBusyError):  # then the next reader does it
            settle(Site(desk.workspace, desk.live.store))
        return desk.live.newest()
    return findings


@contextmanager
def _known(what: str) -> Iterator[None]:
    try:
        yield
    except UnknownIdError:
        raise HTTPException(404, f"There is no {what} in this workspace.") from None


def _night(findings: Reader, night_id: str) -> Night:
    with _known(f"night {night_id}"):
        night = findings.night(night_id)
        if night.night_id != night_id:  # short ids are for the command line
            raise UnknownIdError(night_id)
        return night


def _mode(findings: Reader, mode_id: str) -> FailureMode:
    with _known(f"failure mode {mode_id}"):
        return findings.mode(mode_id)


def _reports(desk: Desk) -> set[str]:
    """Name the nights whose report is there."""
    return {path.stem for path in (desk.workspace.root / "reports").glob("*.html")}


def _panel(desk: Desk, findings: Reader, mode: FailureMode, verdicts: list[Verdict]) -> Panel:
    finished = findings.retrainings(mode.mode_id)
    warnings = _warnings(mode, verdicts)
    try:
        runs = desk.retraining.runs(mode.mode_id)
    except FlowError as error:
        return Panel([], finished, str(error), warnings)
    return Panel(runs, finished, _blocked(mode, runs), warnings)


def _blocked(mode: FailureMode, runs: list[RetrainingRun]) -> str:
    for run in runs:
        if run.live:
            return (
                f"A retraining of this failure mode is {run.state.lower()} already. Wait for it, "
                "or end `fmi serve` with Ctrl+C, which cancels it."
            )
    return ""


def _warnings(mode: FailureMode, verdicts: list[Verdict]) -> list[str]:
    warnings = []
    if verdicts and verdicts[0].judgement is Judgement.OTHER_CAUSE:  # the newest
        warnings.append("A reviewer rejected this failure mode: its recipe is left out of a retraining.")
    if mode.best and mode.best.withheld:
        warnings.append("The filters of this failure mode are withheld: they do not beat their controls.")
    return warnings


# --- problems, said without tracebacks ---


def _answer_problems(app: FastAPI) -> None:
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(InspectionError, _unavailable)
    app.add_exception_handler(Exception, _failed)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    title = TITLES.get(error.status_code, "Not possible")
    unknown = error.status_code == 404 and error.detail == "Not Found"
    message = f"There is no page {request.url.path} here." if unknown else error.detail
    return _desk(request).pages.problem(error.status_code, title, message)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    complaints = "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in error.errors())
    message = f"The form could not be used ({complaints}). Nothing was changed. Go back and mend it."
    return _desk(request).pages.problem(422, "Not complete", message)


def _unavailable(request: Request, error: Exception) -> Response:
    return _desk(request).pages.problem(503, "Not available now", str(error))


def _failed(request: Request, error: Exception) -> Response:
    message = (
        "The dashboard made a mistake. What happened is written where `fmi serve` runs; report it from there."
    )
    return secured(_desk(request).pages.problem(500, "Something went wrong", message))
