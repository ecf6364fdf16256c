"""The night as a Prefect flow: a task per step, over batches, each resumable and each one library call.

A task's result is kept under a key of the night's identity and of the software, so a night that was killed
goes on after its last finished step; after an update it starts again. What tasks hand to each other can be
pickled: their work is done by this process or by others (`flows.crew`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from prefect import flow, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.runtime import flow_run
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH
from prefect.tasks import Task

from flows import helped, steps
from flows.crew import crew, gathered
from flows.followed import show_night
from flows.progress import remark, step
from flows.scope import Errors, Scope
from flows.software import software
from fmi_engine.errors import EngineError, some
from inspection import tuning
from inspection.errors import InspectionError, interrupted
from inspection.evidence import heat_maps, reproduced, responses
from inspection.evidence.blame import LayerProbe
from inspection.evidence.reproduced import ReproducedErrors, put_together
from inspection.findings import (
    Comparison,
    Diagnosis,
    FailureMode,
    FlipRate,
    LoggedError,
    Night,
    NightState,
    SuspectLabel,
)
from inspection.inputs.defect_log import DefectLog
from inspection.inputs.held import BATCH, let_go
from inspection.inputs.labelled import sample
from inspection.modes import grouping
from inspection.modes.grouping import Grouping, Whole
from inspection.nights import night as nights
from inspection.nights.affected import Origins
from inspection.nights.phrases import all_errors
from inspection.workspace.jobs import announced

RESULT = re.compile(r"(\d{8}-[0-9a-f]{8}(?:-\d+)?)-[a-z_]+-")  # the name of what a step of a night kept
MADE_AGAIN = "files of the night were missing, {files} in all ({names}), and were made again"
NOT_MADE_AGAIN = (
    "files of the night were missing, {files} in all ({names}), and could not all be made again ({why}); "
    "what was found stays, --again begins anew"
)

Given = ParamSpec("Given")
Found = TypeVar("Found")


@flow(name="night", validate_parameters=False)
def night(
    workspace: str,
    log: str,
    model_hash: str | None = None,
    query: str | None = None,
    again: bool = False,
    line: str = "",
) -> str:
    """Diagnose one defect log, with the settings of a line where one is named; returns the night's id.

    A night that fails is marked as failed with the reason, and goes on from there when started again. Of one
    that is finished, files that are missing are made again.
    """
    site = nights.open_site(workspace, line)
    with nights.turn(site, Path(log), _say_who_runs_it), gathered(site.workspace.settings.spread):
        nights.settle(site)
        begun = nights.begin(site, Path(log), model_hash, query, again)
        seed = site.workspace.settings.compute.seed
        scope = Scope(str(site.workspace.root), begun.night_id, begun.model_hash, line=line, seed=seed)
        leases, mine = site.workspace.leases, nights.lease_of(begun.log_sha256)
        with announced(leases, mine, "night", (begun.night_id,), str(flow_run.id or "")):
            if begun.state is NightState.FINISHED:
                _mend(site, begun, scope, query)
            else:
                _run_or_fail(site, scope, query)
        _forget_ended(site)
    show_night(site.workspace, site.store.night(begun.night_id))
    return begun.night_id


def _run_or_fail(site: nights.Site, scope: Scope, query: str | None) -> None:
    try:
        _run(scope, query)
    except Exception as error:
        if not interrupted(error):
            site.store.fail_night(scope.night_id, f"{error}")
        raise


def _say_who_runs_it(holder: str) -> None:
    remark(f"This night is being run by {holder}; waiting until it has ended.")


def _forget_ended(site: nights.Site) -> None:
    """Remove what the steps of finished and of removed nights kept: nobody goes on there."""
    states = site.store.states() | dict.fromkeys(site.store.pruned_nights(), NightState.FINISHED)
    ended = {night_id for night_id, state in states.items() if state.ended}
    for path in PREFECT_LOCAL_STORAGE_PATH.value().glob("*"):
        known = RESULT.match(path.name)
        if known and known[1] in ended:
            path.unlink(missing_ok=True)
    let_go(site.workspace, ended)


# --- the night's order ---


def _run(scope: Scope, query: str | None) -> None:
    seconds = dict[str, float]()
    with nights.timed(seconds, "log"):
        log = read_log(scope, query)
    scope = helped.handed_over(scope)
    with nights.timed(seconds, "images"):
        found = reproduce_errors(scope, log)
    modes, unclustered = _find_modes(scope, log, found, seconds) if found.errors else ([], ())
    finish(scope, log, found, modes, unclustered, seconds)


def _mend(site: nights.Site, done: Night, scope: Scope, query: str | None) -> None:
    """Make the missing files of a finished night again; what it found stays, also where they cannot be."""
    missing = nights.missing_files(site, done)
    if not missing:
        return
    named = {"files": len(missing), "names": some(missing)}
    note = MADE_AGAIN.format(**named)
    if missing != (done.report_path,):
        try:
            if _made_again(replace(scope, making=uuid4().hex[:8]), done, query, note):
                return
            why = "the errors' images, or this software, are not what they were"
        except (InspectionError, EngineError) as error:
            why = f"{error}"
        note = NOT_MADE_AGAIN.format(**named, why=why)
    nights.keep(site, done, note)


def _made_again(scope: Scope, done: Night, query: str | None, note: str) -> bool:
    """Run a finished night again for its files; say whether it came to the same failure modes."""
    seconds = dict[str, float]()
    log = read_log(scope, query)
    scope = helped.handed_over(scope)
    found = reproduce_errors(scope, log)
    if sorted(_rows(found.errors)) != sorted(_rows(all_errors(done))):
        return False
    modes, unclustered = _find_modes(scope, log, found, seconds) if found.errors else ([], ())
    same = [_rows(mode.errors) for mode in modes] == [_rows(mode.errors) for mode in done.modes]
    if same:
        finish(scope, log, found, modes, unclustered, seconds, note)
    return same


def _rows(errors: Sequence[LoggedError]) -> list[int]:
    return [error.row for error in errors]


def _find_modes(
    scope: Scope, log: DefectLog, found: ReproducedErrors, seconds: dict[str, float]
) -> tuple[list[FailureMode], tuple[LoggedError, ...]]:
    with nights.timed(seconds, "blame"):
        batches = (
            partial(screen_errors, scope.part(f"{i}"), i, found.held, found.true[i : i + BATCH])
            for i in range(0, len(found.errors), BATCH)
        )
        crew().together("Blaming filters", [*batches])
    errors = Errors(found.held, np.arange(len(found.errors)))
    with nights.timed(seconds, "operations"):
        measure_responses(scope)
    with nights.timed(seconds, "grouping"):
        contexts = tuple(each.context for each in found.errors)
        right = tuple(row.said for row in log.right)
        groups = group_errors(scope, errors, Origins(contexts, right, nights.count_lost(found.set_aside)))
    studied = crew().together(
        steps.CAUSES,
        [
            partial(_study, scope.mode(number), found, errors.part(group.rows), group.diagnosis)
            for number, group in enumerate(groups.modes, 1)
        ],
    )
    with nights.timed(seconds, "primitives"):
        helped.make_pictures([(each.scope, each.best, each.errors) for each in studied])
    modes = crew().together("Inverting filters", [partial(_complete, each) for each in studied])
    for each in studied:
        nights.add_times(seconds, each.seconds)
    return modes, _logged(found, groups.unclustered)


def _logged(found: ReproducedErrors, rows: NDArray[np.int64]) -> tuple[LoggedError, ...]:
    return tuple(found.errors[i] for i in rows)


@dataclass(frozen=True, slots=True)
class _Studied:
    """A failure mode with its cause, before its pictures."""

    scope: Scope
    errors: Errors  # that are looked at
    whole: Errors
    logged: tuple[LoggedError, ...]  # of the whole
    best: LayerProbe
    flip_rates: list[FlipRate]
    diagnosis: Diagnosis
    signature: tuple[float, ...]
    suspects: tuple[SuspectLabel, ...]
    comparisons: tuple[Comparison, ...]
    seconds: dict[str, float]  # that its steps took, by what they are about


def _study(scope: Scope, reproduced: ReproducedErrors, whole: Errors, found: Diagnosis | None) -> _Studied:
    """Find which filters are to blame for a failure mode, and its cause."""
    logged, seconds = _logged(reproduced, whole.rows), dict[str, float]()
    errors = whole.part(sample(len(whole), tuning.SAMPLED_ERRORS, scope.seed))
    with nights.timed(seconds, "blame"):
        probes = probe_layers(scope, errors)
        verified = [partial(verify_layer, scope.part(each.layer), each, errors) for each in probes]
        flip_rates = nights.best_first(crew().together("", verified))
        best = next(each for each in probes if each.layer == flip_rates[0].layer)
    with nights.timed(seconds, "diagnosis"):
        found = found or diagnose(scope, errors)
        signature = sign_mode(scope, errors)
        suspects = list_suspects(scope, errors, _logged(reproduced, errors.rows))
        comparisons = compare(scope, errors, found)
    return _Studied(
        scope, errors, whole, logged, best, flip_rates, found, signature, suspects, comparisons, seconds
    )


def _complete(mode: _Studied) -> FailureMode:
    """Show what the filters see that are to blame for a failure mode, and write its recipe."""
    scope, errors, logged = mode.scope, mode.errors, mode.logged
    with nights.timed(mode.seconds, "primitives"):
        filters = invert_filters(scope, mode.best, errors)
        if not mode.flip_rates[0].withheld:
            logged = _with_heat_maps(scope, mode.best.layer, mode.whole, logged)
    with nights.timed(mode.seconds, "recipe"):
        written = write_recipe(scope, errors, mode.diagnosis, mode.flip_rates, filters)
    return nights.complete(
        FailureMode(
            mode_id=scope.mode_id,
            title="",
            errors=logged,
            flip_rates=tuple(mode.flip_rates),
            filters=filters,
            diagnosis=mode.diagnosis,
            recipe=written,
            signature=mode.signature,
            suspects=mode.suspects,
            comparisons=mode.comparisons,
        )
    )


def _with_heat_maps(
    scope: Scope, layer: str, errors: Errors, logged: tuple[LoggedError, ...]
) -> tuple[LoggedError, ...]:
    """The errors of a failure mode, with maps of those that get one."""
    drawn = heat_maps.which_get_one(logged)
    some = draw_heat_maps(scope, layer, errors.part(drawn), tuple(logged[i] for i in drawn))
    with_map = dict(zip(drawn.tolist(), some, strict=True))
    return tuple(with_map.get(i, each) for i, each in enumerate(logged))


# --- its steps ---


def _key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """The night, the step, the part of it and the software: what a stored result may be used again for."""
    scope: Scope = parameters["scope"]
    step_of = [scope.night_id, context.task.name, scope.place, scope.making, software()]
    return "-".join(part for part in step_of if part)


def _worth_retrying(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry what may pass by itself; never what a user has to mend."""
    try:
        state.result(raise_on_failure=True)
    except (InspectionError, EngineError):
        return False
    except Exception:  # a crash of any other kind may be a passing one: memory, disk, a network drive
        return True
    return False


night_task = task(
    persist_result=True,
    cache_key_fn=_key,
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=_worth_retrying,
)


def step_of(body: Callable[Given, Found]) -> Task[Given, Found]:
    """A step whose work is done by whoever does that of the night."""

    @wraps(body)
    def done(*given: Given.args, **named: Given.kwargs) -> Found:
        return crew().do(body, *given, **named)

    return night_task(done)


@night_task
def read_log(scope: Scope, query: str | None) -> DefectLog:
    """Read the log and check every row."""
    site = nights.open_site(scope.root, scope.line)
    with step("Checking the log", None) as advance:
        return nights.read_log(site, site.store.night(scope.night_id), query, advance, helped.decoding())


@night_task
def reproduce_errors(scope: Scope, log: DefectLog) -> ReproducedErrors:
    """Decode the images and keep the errors that the model makes again."""
    with step("Learning what is normal", None) as advance:
        subject = scope.subject(advance)
    with step("Reading the images", len(log.rows)) as advance:
        if crew().has_workers:
            return put_together(subject, log, helped.judged(scope, subject, log), advance)
        return reproduced.reproduce_errors(subject, scope.night_id, log, advance)


screen_errors = step_of(steps.screen_errors)


@night_task
def measure_responses(scope: Scope) -> None:
    """Measure every operation on the model coarsely, where that is not known yet."""
    subject = scope.subject()
    with step("Measuring operations", responses.count_measurements(subject)) as advance:
        responses.measure_responses(subject, advance, helped.measuring_coarsely(scope))


@night_task
def group_errors(scope: Scope, errors: Errors, origins: Origins) -> Grouping:
    """Group the errors of the night into failure modes: of many a sample, which the others join.

    Operations that come near a group are measured in full.
    """
    few = errors.part(sample(len(errors), tuning.SAMPLED_ERRORS, scope.seed))
    whole = Whole(len(errors), few.rows, errors.held.screening)
    with step(steps.CAUSES, None) as advance:
        case = scope.case(few, advance, helped.measuring_in_full(scope))
        return grouping.group_errors(case, origins, whole)


probe_layers = step_of(steps.probe_layers)
verify_layer = step_of(steps.verify_layer)
diagnose = step_of(steps.diagnose)
sign_mode = step_of(steps.sign_mode)
list_suspects = step_of(steps.list_suspects)
compare = step_of(steps.compare)
invert_filters = step_of(steps.invert_filters)
draw_heat_maps = step_of(steps.draw_heat_maps)
write_recipe = step_of(steps.write_recipe)


@task(retries=1, retry_delay_seconds=2, retry_condition_fn=_worth_retrying)
def finish(
    scope: Scope,
    log: DefectLog,
    found: ReproducedErrors,
    modes: Sequence[FailureMode],
    unclustered: Sequence[LoggedError],
    seconds: dict[str, float],
    note: str = "",
) -> Night:
    """Write the report and the findings."""
    site = nights.open_site(scope.root, scope.line)
    results = nights.Results(
        rows_read=len(log.rows) + len(log.set_aside),
        errors_read=len(found.errors),
        set_aside=found.set_aside,
        modes=tuple(modes),
        unclustered=tuple(unclustered),
        seconds=seconds,
        notes=(
            *log.notes,
            *found.notes,
            *filter(None, [nights.note_of_sample(len(found.errors), scope.seed), note]),
        ),
        right=log.right,
        parts_logged=nights.parts_logged(log),
    )
    return nights.finish(site, site.store.night(scope.night_id), results)
