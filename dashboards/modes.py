"""A failure mode: what it is, how sure that is, a person's verdict, and the way to a promoted model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from dashboards.access import check_allowed
from dashboards.desk import (
    LONGEST_COMMENT,
    LONGEST_NAME,
    AnyName,
    AtDesk,
    Comment,
    Desk,
    Findings,
    Name,
    the_mode,
)
from dashboards.guard import own_form
from dashboards.retraining import RetrainingRun
from inspection.errors import FlowError
from inspection.findings import (
    WITHOUT_RECIPE,
    Cause,
    Decision,
    ErrorKind,
    FailureMode,
    FilterName,
    Judgement,
    LoggedError,
    Outcome,
    Promotion,
    Relabel,
    Retraining,
    Verdict,
    night_of,
)
from inspection.language import gettext as _
from inspection.nights.phrases import duration, moment
from inspection.nights.review import CHECKS
from inspection.workspace.jobs import Job, jobs_now
from inspection.workspace.reader import NightCount, Reader

PICTURES_SHOWN = 50  # on one page
SHOWN = 24  # images of one outcome, beside their number
SORTED: dict[str, Callable[[LoggedError], Any]] = {  # ways of sorting the pictures
    "margin": lambda error: -error.margin,
    "row": lambda error: error.row,
    "label": lambda error: (error.true_label, error.predicted_label, -error.margin),
}
ASKED = ("true", "said", "kind", "sort", "page")  # of an address of pictures
UNSURE, YES, BUT, NO = "unsure", "yes", "but", "no"  # answers to whether a finding is right
OTHERS = (Judgement.RELABEL, Judgement.NEW_DEFECT, Judgement.REMOVE)  # what is no cause of the catalogue

# What it means that a finding is right which says that the model is not to blame.
MEANT = {Cause.LABELS: Judgement.RELABEL, Cause.NEW_LOOK: Judgement.NEW_DEFECT}

router = APIRouter(default_response_class=HTMLResponse)


# --- what is known of the way from finding to promotion ---


@dataclass(frozen=True, slots=True)
class Stage:
    """One step on the way from a finding to a promoted model."""

    name: str
    detail: str
    state: str  # done, now, warn, bad or todo


@dataclass(frozen=True, slots=True)
class Way:
    """How far a failure mode has come."""

    verdicts: list[Verdict]
    runs: list[RetrainingRun]
    jobs: list[Job]  # that retrain for it now, whoever started them
    retrainings: list[Retraining]
    states: dict[str, str]  # of models: deployed, retired or candidate
    called: dict[str, str]  # names of models
    trail: list[Promotion]
    blocked: str  # why no retraining can start now; empty where it can
    usual_seconds: float | None = None  # that the last retraining of the workspace took

    @property
    def live(self) -> bool:
        """Whether a run may still change."""
        return bool(self.jobs) or any(run.live for run in self.runs)

    @property
    def judged(self) -> Retraining | None:
        """The newest retraining."""
        return self.retrainings[0] if self.retrainings else None

    @property
    def candidate(self) -> Retraining | None:
        """The newest retraining, where its candidate waits to be promoted."""
        done = self.judged
        return done if done and self.states.get(done.candidate_hash or "") == "candidate" else None

    @property
    def deployed(self) -> Promotion | None:
        """The promotion of its newest candidate, where that is deployed now."""
        done = self.judged
        if not done or self.states.get(done.candidate_hash or "") != "deployed":
            return None
        return next((each for each in reversed(self.trail) if each.model_hash == done.candidate_hash), None)

    @property
    def failed(self) -> RetrainingRun | None:
        """The newest run, where it ended without a result."""
        run = self.runs[0] if self.runs else None
        return run if run and not run.live and run.state not in ("Completed", "Cached") else None


def way_of(desk: Desk, findings: Reader, mode: FailureMode) -> Way:
    """How far a failure mode has come."""
    models = findings.models()
    jobs = [
        job
        for job in jobs_now(desk.workspace.leases)
        if job.kind == "retrain" and {mode.mode_id, mode.night_id} & set(job.of)
    ]
    try:
        runs, blocked = desk.retraining.runs(mode.mode_id), ""
    except FlowError as error:
        runs, blocked = [], str(error)
    if not blocked and (jobs or any(run.live for run in runs)):
        blocked = _("A retraining of this failure mode is on its way already.")
    return Way(
        findings.verdicts(mode.mode_id),
        runs,
        jobs,
        findings.retrainings(mode.mode_id),
        findings.model_states(),
        {model.model_hash: model.called for model in models},
        findings.promotions(),
        blocked,
        findings.last_retraining_took(),
    )


def stages(way: Way, found_at: datetime) -> list[Stage]:
    """The steps from finding to promotion, each with its state."""
    told = [_found(found_at), _reviewed(way), _retrained(way), _judged(way), _promoted(way)]
    first = next((i for i, stage in enumerate(told) if stage.state == "todo"), None)
    if first is not None and not any(stage.state == "now" for stage in told):
        told[first] = Stage(told[first].name, told[first].detail, "now")
    return told


def _found(found_at: datetime) -> Stage:
    return Stage(_("Found"), moment(found_at), "done")


def _reviewed(way: Way) -> Stage:
    if not way.verdicts:
        return Stage(_("Your verdict"), "", "todo")
    newest = way.verdicts[0]
    return Stage(_("Reviewed"), f"{_(newest.judgement.value)}, {newest.reviewer}", "done")


def _retrained(way: Way) -> Stage:
    if way.live:
        step = way.jobs[0].step if way.jobs else ""
        return Stage(_("Retraining"), _(step) or _("on its way"), "now")
    if way.failed and not way.judged:
        return Stage(_("Retraining"), _("failed"), "bad")
    if way.judged:
        return Stage(_("Retrained"), moment(way.judged.finished_at), "done")
    usual = way.usual_seconds
    return Stage(_("Retrain"), f"~{duration(usual)}" if usual else "", "todo")


def _judged(way: Way) -> Stage:
    if way.judged is None:
        return Stage(_("Candidate judged"), "", "todo")
    states = {Decision.REJECTED: "bad", Decision.UNDECIDED: "warn"}
    decision = way.judged.decision
    return Stage(_("Candidate judged"), _(decision.value), states.get(decision, "done"))


def _promoted(way: Way) -> Stage:
    if way.deployed:
        return Stage(_("Promoted"), moment(way.deployed.decided_at), "done")
    return Stage(_("Promote"), "", "todo")


# --- pages ---


@router.get("/modes/{mode_id}")
def overview_page(
    request: Request, mode_id: str, desk: AtDesk, findings: Findings, saved: str = ""
) -> Response:
    """Show what a failure mode is, and ask for a verdict."""
    mode = the_mode(findings, mode_id)
    return _page(request, desk, findings, mode, "mode_overview.html", saved=saved)


@router.get("/modes/{mode_id}/pictures")
def pictures_page(
    request: Request,
    mode_id: str,
    desk: AtDesk,
    findings: Findings,
    true: str = "",
    said: str = "",
    kind: str = "",
    sort: str = "margin",
    page: int = 1,
    saved: str = "",
) -> Response:
    """Show a failure mode's errors, some of them at a time."""
    mode = the_mode(findings, mode_id)
    chosen = [
        error
        for error in mode.errors
        if true in ("", error.true_label)
        and said in ("", error.predicted_label)
        and kind in ("", error.kind.value)
    ]
    chosen.sort(key=SORTED.get(sort, SORTED["margin"]))
    pages = max(1, -(-len(chosen) // PICTURES_SHOWN))
    page = min(max(1, page), pages)
    return _page(
        request,
        desk,
        findings,
        mode,
        "mode_pictures.html",
        chosen=chosen,
        shown=chosen[(page - 1) * PICTURES_SHOWN : page * PICTURES_SHOWN],
        here_page=page,
        pages=pages,
        asked={"true": true, "said": said, "kind": kind, "sort": sort},
        sorted_by=list(SORTED),
        kinds=[each.value for each in ErrorKind],
        relabelled=findings.relabels([mode_id]),
        names=_names(findings, mode),
        classes=_classes(findings, mode),
        saved=saved,
    )


@router.get("/modes/{mode_id}/evidence")
def evidence_page(
    request: Request, mode_id: str, desk: AtDesk, findings: Findings, saved: str = ""
) -> Response:
    """Show everything that a finding rests on."""
    mode = the_mode(findings, mode_id)
    names = _names(findings, mode)
    return _page(request, desk, findings, mode, "mode_evidence.html", names=names, saved=saved)


@router.get("/modes/{mode_id}/recipe")
def recipe_page(request: Request, mode_id: str, desk: AtDesk, findings: Findings) -> Response:
    """Show a failure mode's recipe, as pictures and as a file."""
    mode = the_mode(findings, mode_id)
    path = desk.workspace.root / mode.recipe.path if mode.recipe else None
    text = path.read_text(encoding="utf-8") if path and path.is_file() else ""
    names = _names(findings, mode)
    return _page(request, desk, findings, mode, "mode_recipe.html", recipe_text=text, names=names)


@router.get("/modes/{mode_id}/recipe.yaml")
def recipe_file(mode_id: str, desk: AtDesk, findings: Findings) -> Response:
    """Send a failure mode's recipe."""
    mode = the_mode(findings, mode_id)
    path = desk.workspace.root / mode.recipe.path if mode.recipe else None
    if path is None or not path.is_file():
        raise HTTPException(404, _("Failure mode {id} has no recipe.").format(id=mode_id))
    return FileResponse(path, media_type="application/yaml", filename=path.name)


@router.get("/modes/{mode_id}/history")
def history_page(request: Request, mode_id: str, desk: AtDesk, findings: Findings) -> Response:
    """Show a failure mode from night to night, its verdicts, and its retrainings."""
    mode = the_mode(findings, mode_id)
    newest = next((each for each in findings.retrainings(mode_id) if each.candidate_hash), None)
    judged = findings.judged_images(newest.retraining_id) if newest else []
    pictures = {error.image_path: error.picture for error in mode.errors}
    outcomes = {
        outcome.value: [
            (each, pictures.get(each.image_path, "")) for each in judged if each.outcome is outcome
        ]
        for outcome in Outcome
    }
    return _page(
        request, desk, findings, mode, "mode_history.html", newest=newest, outcomes=outcomes, shown=SHOWN
    )


@router.get("/modes/{mode_id}/next")
def next_fragment(request: Request, mode_id: str, desk: AtDesk, findings: Findings) -> Response:
    """Return what there is to do next, to refresh it without the rest."""
    mode = the_mode(findings, mode_id)
    return desk.pages.form_page(request, "mode_next.html", **_next(desk, findings, mode))


def _page(
    request: Request, desk: Desk, findings: Reader, mode: FailureMode, template: str, **more: Any
) -> Response:
    night = findings.overview(mode.night_id)
    counts = findings.errors_of_nights(night.model_hash, mode.lineage or mode.mode_id)
    asked = _next(desk, findings, mode)
    return desk.pages.form_page(
        request,
        template,
        night=night,
        counts=_oldest_first(counts),
        stages=stages(asked["way"], night.finished_at or night.started_at),
        **asked | {"saved": ""} | more,
    )


def _classes(findings: Reader, mode: FailureMode) -> tuple[str, ...]:
    """The classes of the model that made a failure mode's errors."""
    return findings.model(findings.overview(mode.night_id).model_hash).class_names


def _names(findings: Reader, mode: FailureMode) -> dict[str, tuple[FilterName, ...]]:
    """What experts have called the textures of the filters of the model that made a failure mode's errors."""
    return findings.filter_names(findings.overview(mode.night_id).model_hash)


def _oldest_first(counts: Sequence[NightCount]) -> list[NightCount]:
    return list(reversed(counts))


def _next(desk: Desk, findings: Reader, mode: FailureMode) -> dict[str, Any]:
    way = way_of(desk, findings, mode)
    return {
        "mode": mode,
        "way": way,
        "warnings": _warnings(mode, way.verdicts),
        "now": datetime.now(UTC),
        "longest_name": LONGEST_NAME,
        "longest_comment": LONGEST_COMMENT,
    }


def _warnings(mode: FailureMode, verdicts: list[Verdict]) -> list[str]:
    warnings = []
    if verdicts and verdicts[0].judgement in WITHOUT_RECIPE:  # the newest
        warnings.append(
            _("By the newest verdict the recipe of this failure mode is left out of a retraining.")
        )
    if mode.best and mode.best.withheld:
        warnings.append(_("The filters of this failure mode are withheld: they do not beat their controls."))
    return warnings


# --- forms ---


@router.post("/modes/{mode_id}/verdicts", dependencies=[Depends(own_form)])
def give_verdict(
    mode_id: str,
    desk: AtDesk,
    findings: Findings,
    answer: Annotated[str, Form()],
    reviewer: Name,
    comment: Comment = "",
    but: Annotated[str, Form()] = "",
    no: Annotated[str, Form()] = "",
    then: Annotated[str, Form()] = "",
) -> Response:
    """Add a reviewer's verdict, and start a retraining where that is asked for as well."""
    mode = the_mode(findings, mode_id)
    if then == "retrain":
        check_allowed("POST", f"/modes/{mode_id}/retraining")
    judgement, cause = _meant(mode, answer, but, no)
    judged(desk, Verdict(mode_id, judgement, comment, reviewer, datetime.now(UTC), cause))
    if then != "retrain":
        return RedirectResponse(f"/modes/{mode_id}?saved=verdict", 303)
    if way_of(desk, findings, mode).blocked:
        return RedirectResponse(f"/modes/{mode_id}?saved=verdictonly", 303)
    return _start(desk, findings, mode)


def judged(desk: Desk, verdict: Verdict) -> None:
    """Add a verdict; the night's report tells it, soon."""
    desk.live.add_verdict(verdict)
    desk.written.again([night_of(verdict.mode_id)])


def _meant(mode: FailureMode, answer: str, but: str, no: str) -> tuple[Judgement, str]:
    """The verdict that an answer is, and the cause that it names."""
    if answer == YES:
        return MEANT.get(mode.diagnosis.cause, Judgement.CONFIRM), ""
    if answer == BUT:
        return Judgement.CONFIRM, known_cause(mode, but)
    if answer == UNSURE:
        return Judgement.INVESTIGATE, ""
    if answer == NO:
        other = next((each for each in OTHERS if each.value == no), None)
        return (other, "") if other else (Judgement.OTHER_CAUSE, known_cause(mode, no))
    wrong = _("The answer is '{answer}'; it can be {possible}.")
    raise HTTPException(422, wrong.format(answer=answer, possible=", ".join((YES, BUT, NO, UNSURE))))


def known_cause(mode: FailureMode, named: str) -> str:
    """The operation or family that a reviewer names, or none; answers 422 for what there is not."""
    if named and named not in {*CHECKS, *(each.operation for each in mode.diagnosis.matches)}:
        wrong = _("'{cause}' is no cause that this failure mode was compared with, and no family of causes.")
        raise HTTPException(422, wrong.format(cause=named))
    return named


@router.post("/modes/{mode_id}/labels", dependencies=[Depends(own_form)])
def relabel(
    mode_id: str,
    desk: AtDesk,
    findings: Findings,
    reviewer: Name,
    rows: Annotated[list[int], Form()],
    label: Annotated[str, Form()] = "",
    back: Annotated[str, Form()] = "",
) -> Response:
    """Say what some logged images show; without a label they are not trained on."""
    mode = the_mode(findings, mode_id)
    desk.live.add_relabels(relabelled(findings, mode, rows, label or None, reviewer))
    asked = [(name, value) for name, value in parse_qsl(back) if name in ASKED]
    return RedirectResponse(f"/modes/{mode_id}/pictures?{urlencode([('saved', 'labels'), *asked])}", 303)


def relabelled(
    findings: Reader, mode: FailureMode, rows: Sequence[int], label: str | None, reviewer: str
) -> list[Relabel]:
    """What a reviewer says of some rows; answers 422 for a row or a label that is not the failure mode's."""
    names = _classes(findings, mode)
    strange = sorted(set(rows) - {error.row for error in mode.errors})
    if strange or (label is not None and label not in names):
        what = _("row {row}").format(row=strange[0]) if strange else f"'{label}'"
        wrong = _("{what} is none of this failure mode's. Nothing was changed.")
        raise HTTPException(422, wrong.format(what=what))
    now = datetime.now(UTC)
    return [Relabel(mode.mode_id, row, label, reviewer, now) for row in rows]


@router.post("/modes/{mode_id}/names", dependencies=[Depends(own_form)])
def name_texture(
    mode_id: str,
    desk: AtDesk,
    findings: Findings,
    filter_: Annotated[str, Form(alias="filter")],
    reviewer: Name,
    name: Annotated[AnyName, Form()] = "",
) -> Response:
    """Say what the texture of a blamed filter is called; an empty name takes the last one back."""
    mode = the_mode(findings, mode_id)
    named(desk, findings, mode, filter_, name, reviewer)
    return RedirectResponse(f"/modes/{mode_id}/evidence?saved=name#filter-{quote(filter_)}", 303)


def named(
    desk: Desk, findings: Reader, mode: FailureMode, filter_: str, name: str, author: str
) -> FilterName:
    """Call the texture of a filter so; answers 422 for a filter that is not blamed here.

    The reports of all nights that blame it tell the name, soon.
    """
    found = next((each for each in mode.filters if each.name == filter_), None)
    if found is None:
        wrong = _("'{filter}' is none of this failure mode's blamed filters. Nothing was changed.")
        raise HTTPException(422, wrong.format(filter=filter_))
    model_hash = findings.overview(mode.night_id).model_hash
    given = FilterName(model_hash, found.layer, found.channel, name, author, datetime.now(UTC))
    desk.live.add_filter_name(given)
    desk.written.again(findings.nights_blaming(given))
    return given


@router.post("/modes/{mode_id}/retraining", dependencies=[Depends(own_form)])
def start_retraining(mode_id: str, desk: AtDesk, findings: Findings) -> Response:
    """Start a targeted retraining."""
    return _start(desk, findings, the_mode(findings, mode_id))


def started(desk: Desk, findings: Reader, mode: FailureMode) -> str:
    """Start a retraining and return the id of its flow run; answers 409 where none can start now."""
    blocked = way_of(desk, findings, mode).blocked
    if blocked:
        raise HTTPException(409, blocked)
    return desk.retraining.start(mode.mode_id)


def _start(desk: Desk, findings: Reader, mode: FailureMode) -> Response:
    started(desk, findings, mode)
    return RedirectResponse(f"/modes/{mode.mode_id}?saved=retraining", 303)


@router.post("/modes/{mode_id}/retraining/stop", dependencies=[Depends(own_form)])
def stop_retraining(mode_id: str, desk: AtDesk, findings: Findings) -> Response:
    """Cancel the retrainings of a failure mode that this dashboard has started."""
    mode = the_mode(findings, mode_id)
    live = [run for run in desk.retraining.runs(mode.mode_id) if run.live]
    if not live:
        raise HTTPException(
            409,
            _("No retraining that was started here runs. One of the command line ends with Ctrl+C there."),
        )
    for run in live:
        desk.retraining.cancel(run.flow_run_id)
    return RedirectResponse(f"/modes/{mode_id}?saved=stopped", 303)
