"""The night as a Prefect flow: a task per step, over batches, each resumable and each one library call.

A task's result is kept under a key of the night's identity and of the software, so a night that was killed
goes on after its last finished step; after an update it starts again. What tasks hand to each other can be
pickled, so that they may run as they are called or be submitted to any of Prefect's task runners.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from prefect import flow, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.runtime import flow_run
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH
from prefect.tasks import Task

from flows.followed import show_night
from flows.progress import remark, step
from flows.scope import Errors, Scope
from fmi_engine.errors import EngineError, some
from fmi_engine.presets import find_preset
from inspection import tuning
from inspection.causes import diagnosis
from inspection.errors import InspectionError, interrupted
from inspection.evidence import blame, heat_maps, primitives, reproduced, responses, surface
from inspection.evidence.blame import LayerProbe
from inspection.evidence.reproduced import ReproducedErrors
from inspection.findings import (
    BlamedFilter,
    Comparison,
    Diagnosis,
    FailureMode,
    FlipRate,
    LoggedError,
    Night,
    NightState,
    RecipeFile,
    SuspectLabel,
)
from inspection.inputs.defect_log import DefectLog
from inspection.inputs.held import BATCH, HeldErrors, let_go
from inspection.inputs.labelled import sample
from inspection.modes import grouping, mode_recipe, side_by_side, suspect_labels
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
CAUSES = "Finding the causes"  # a step; it counts the strengths measured, how many is not known beforehand


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
    with nights.turn(site, Path(log), _say_who_runs_it):
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
        for first in range(0, len(found.errors), BATCH):
            screen_errors(scope.part(f"{first}"), first, found.held, found.true[first : first + BATCH])
    errors = Errors(found.held, np.arange(len(found.errors)))
    with nights.timed(seconds, "operations"):
        measure_responses(scope)
    with nights.timed(seconds, "grouping"):
        contexts = tuple(each.context for each in found.errors)
        right = tuple(row.said for row in log.right)
        groups = group_errors(scope, errors, Origins(contexts, right, nights.count_lost(found.set_aside)))
    modes = [
        _diagnose_mode(scope.mode(number), found, errors.part(group.rows), group.diagnosis, seconds)
        for number, group in enumerate(groups.modes, 1)
    ]
    return modes, _logged(found, groups.unclustered)


def _logged(found: ReproducedErrors, rows: NDArray[np.int64]) -> tuple[LoggedError, ...]:
    return tuple(found.errors[i] for i in rows)


def _diagnose_mode(
    scope: Scope,
    reproduced: ReproducedErrors,
    whole: Errors,
    found: Diagnosis | None,
    seconds: dict[str, float],
) -> FailureMode:
    logged = _logged(reproduced, whole.rows)
    errors = whole.part(sample(len(whole), tuning.SAMPLED_ERRORS, scope.seed))
    with nights.timed(seconds, "blame"):
        probes = probe_layers(scope, errors)
        flip_rates = nights.best_first(
            [verify_layer(scope.part(each.layer), each, errors) for each in probes]
        )
        best = next(each for each in probes if each.layer == flip_rates[0].layer)
    with nights.timed(seconds, "diagnosis"):
        found = found or diagnose(scope, errors)
        signature = sign_mode(scope, errors)
        suspects = list_suspects(scope, errors, _logged(reproduced, errors.rows))
        comparisons = compare(scope, errors, found)
    with nights.timed(seconds, "primitives"):
        filters = invert_filters(scope, best, errors)
        if not flip_rates[0].withheld:
            logged = _with_heat_maps(scope, best.layer, whole, logged)
    with nights.timed(seconds, "recipe"):
        written = write_recipe(scope, errors, found, flip_rates, filters)
    return nights.complete(
        FailureMode(
            mode_id=scope.mode_id,
            title="",
            errors=logged,
            flip_rates=tuple(flip_rates),
            filters=filters,
            diagnosis=found,
            recipe=written,
            signature=signature,
            suspects=suspects,
            comparisons=comparisons,
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


@cache
def software() -> str:
    """A short hash of this software's source: another version's results may mean something else."""
    root = Path(__file__).parents[1]
    packages = (Path(__file__).parent, root / "fmi_engine", root / "inspection")
    sources = sorted(path for package in packages for path in package.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:8]


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


@night_task
def read_log(scope: Scope, query: str | None) -> DefectLog:
    """Read the log and check every row."""
    site = nights.open_site(scope.root, scope.line)
    with step("Checking the log", None) as advance:
        return nights.read_log(site, site.store.night(scope.night_id), query, advance)


@night_task
def reproduce_errors(scope: Scope, log: DefectLog) -> ReproducedErrors:
    """Decode the images and keep the errors that the model makes again."""
    with step("Learning what is normal", None) as advance:
        subject = scope.subject(advance)
    with step("Reading the images", len(log.rows)) as advance:
        return reproduced.reproduce_errors(subject, scope.night_id, log, advance)


@night_task
def screen_errors(scope: Scope, first: int, held: HeldErrors, true: NDArray[np.int64]) -> None:
    """Blame every filter for one batch of errors, of these classes, and keep that beside their images."""
    images = held.images(np.arange(first, first + len(true)))
    with step("Blaming filters", len(images)) as advance:
        held.keep_screening(first, blame.screen(scope.subject(), images, true, advance))


@night_task
def measure_responses(scope: Scope) -> None:
    """Measure every operation on the model coarsely, where that is not known yet."""
    subject = scope.subject()
    with step("Measuring operations", responses.count_measurements(subject)) as advance:
        responses.measure_responses(subject, advance)


@night_task
def group_errors(scope: Scope, errors: Errors, origins: Origins) -> Grouping:
    """Group the errors of the night into failure modes: of many a sample, which the others join.

    Operations that come near a group are measured in full.
    """
    few = errors.part(sample(len(errors), tuning.SAMPLED_ERRORS, scope.seed))
    whole = Whole(len(errors), few.rows, errors.held.screening)
    with step(CAUSES, None) as advance:
        return grouping.group_errors(scope.case(few, advance), origins, whole)


@night_task
def probe_layers(scope: Scope, errors: Errors) -> tuple[LayerProbe, ...]:
    """Probe every layer and name those worth verifying."""
    return blame.probe_layers(scope.case(errors))


@night_task
def verify_layer(scope: Scope, probe: LayerProbe, errors: Errors) -> FlipRate:
    """Patch the top filters of one layer beside both controls."""
    with step(f"Patching {probe.layer}", len(errors)) as advance:
        return blame.verify(scope.case(errors), probe, advance)


@night_task
def diagnose(scope: Scope, errors: Errors) -> Diagnosis:
    """Match the errors' shift with the operations, those that come near it measured in full."""
    with step(CAUSES, None) as advance:
        return diagnosis.diagnose(scope.case(errors, advance))


@night_task
def sign_mode(scope: Scope, errors: Errors) -> tuple[float, ...]:
    """Note the direction of the errors' shift, by which other nights recognise the failure mode."""
    return grouping.sign(scope.case(errors))


@night_task
def list_suspects(scope: Scope, errors: Errors, logged: Sequence[LoggedError]) -> tuple[SuspectLabel, ...]:
    """List the labels that several signs say are wrong."""
    return suspect_labels.suspect_labels(scope.case(errors), logged)


@night_task
def compare(scope: Scope, errors: Errors, found: Diagnosis) -> tuple[Comparison, ...]:
    """Draw some errors beside the reference images most like them under the claimed cause."""
    return side_by_side.compare(scope.case(errors), scope.mode_id, found)


@night_task
def invert_filters(scope: Scope, probe: LayerProbe, errors: Errors) -> tuple[BlamedFilter, ...]:
    """Shortlist the most blamed filters and invert them to texture primitives."""
    case = scope.case(errors)
    filters = blame.shortlist(case, probe)
    if filters:
        preset = find_preset(case.subject.settings.inversion.preset)
        with step("Learning the surfaces", surface.steps_of(case.subject, preset)) as advance:
            surface.learn_surfaces(case.subject, preset, advance)
    with step("Inverting filters", primitives.count_pictures(case.subject, filters)) as advance:
        return primitives.invert_filters(case, scope.mode_id, filters, advance)


@night_task
def draw_heat_maps(
    scope: Scope, layer: str, errors: Errors, logged: Sequence[LoggedError]
) -> tuple[LoggedError, ...]:
    """Draw where on each error the filter of the best layer answers that is most to blame for it."""
    with step("Drawing heat maps", len(errors)) as advance:
        return heat_maps.draw_heat_maps(scope.case(errors), logged, scope.mode_id, layer, advance)


@night_task
def write_recipe(
    scope: Scope,
    errors: Errors,
    found: Diagnosis,
    flip_rates: Sequence[FlipRate],
    filters: Sequence[BlamedFilter],
) -> RecipeFile | None:
    """Turn a claimed diagnosis into a recipe."""
    return mode_recipe.write_mode_recipe(scope.case(errors), scope.mode_id, found, flip_rates, filters)


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
