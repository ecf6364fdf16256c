"""The night as a Prefect flow: a task per step, over batches, each resumable and each one library call.

A task's result is kept under a key of the night's identity and of the software, so a night that was killed
goes on after its last finished step; after an update it starts again.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.tasks import Task

from flows.progress import step
from fmi_engine.blame import join
from fmi_engine.errors import EngineError
from fmi_engine.types import Screening
from inspection.causes import diagnosis
from inspection.errors import InspectionError, interrupted
from inspection.evidence import blame, primitives, responses
from inspection.evidence.blame import Sounding
from inspection.evidence.reproduced import Admitted, admit
from inspection.evidence.subject import subject_of
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
from inspection.modes import grouping as failure_modes
from inspection.modes import recipe as mode_recipe
from inspection.modes import side_by_side as comparisons
from inspection.modes import suspect_labels as suspects
from inspection.modes.grouping import Grouping
from inspection.nights import night as nights

BATCH = 256  # errors screened in one task


def _key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """The night, the step, the part of it and the software: what a stored result may be used again for."""
    part = str(parameters.get("part", ""))
    return "-".join([parameters["night_id"], context.task.name, part, software()])


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
def read_log(root: str, night_id: str, query: str | None) -> DefectLog:
    """Read the log and check every row."""
    site = nights.open_site(root)
    night = site.store.night(night_id)
    with step("Checking the log", None) as advance:
        return nights.read_log(site, night, query, advance)


@night_task
def admit_errors(root: str, night_id: str, log: DefectLog) -> Admitted:
    """Decode the images and keep the errors that the model reproduces."""
    site = nights.open_site(root)
    night = site.store.night(night_id)
    with step("Learning what is normal", None) as advance:
        subject = subject_of(Path(root), night.model_hash, advance)
    with step("Reading the images", len(log.rows)) as advance:
        return admit(site.workspace, night_id, subject.model, subject.classifier, log, advance)


@night_task
def screen_errors(root: str, night_id: str, model_hash: str, part: int, errors: Admitted) -> Screening:
    """Blame every filter for one batch of errors."""
    rows = slice(part, part + BATCH)
    images, true = errors.images[rows], errors.true[rows]
    with step("Blaming filters", len(images)) as advance:
        return blame.screen(subject_of(Path(root), model_hash), images, true, advance)


@night_task
def group_errors(
    root: str, night_id: str, model_hash: str, screening: Screening, errors: Admitted
) -> Grouping:
    """Group the errors into failure modes."""
    subject = subject_of(Path(root), model_hash)
    return failure_modes.group_errors(subject, screening, errors.images, responses.measure_responses(subject))


@night_task
def choose_layers(
    root: str, night_id: str, model_hash: str, part: int, screening: Screening, errors: Admitted
) -> tuple[Sounding, ...]:
    """Sound out every layer and name those worth verifying."""
    return blame.layers_to_verify(subject_of(Path(root), model_hash), screening, errors.images)


@night_task
def verify_layer(
    root: str,
    night_id: str,
    model_hash: str,
    part: str,
    sounding: Sounding,
    screening: Screening,
    errors: Admitted,
) -> FlipRate:
    """Patch the top filters of one layer beside both controls."""
    with step(f"Patching {sounding.layer}", len(errors.images)) as advance:
        return blame.verify(subject_of(Path(root), model_hash), sounding, screening, errors.images, advance)


@night_task
def measure_responses(root: str, night_id: str, model_hash: str) -> None:
    """Measure every operation on the model, where that is not known yet."""
    subject = subject_of(Path(root), model_hash)
    with step("Measuring operations", responses.count_measurements(subject)) as advance:
        responses.measure_responses(subject, advance)


@night_task
def diagnose(
    root: str, night_id: str, model_hash: str, part: int, screening: Screening, errors: Admitted
) -> Diagnosis:
    """Match the errors' shift with the operations."""
    subject = subject_of(Path(root), model_hash)
    return diagnosis.diagnose(subject, screening, errors.images, responses.measure_responses(subject))


@night_task
def sign_mode(
    root: str, night_id: str, model_hash: str, part: int, screening: Screening, errors: Admitted
) -> tuple[float, ...]:
    """Note the direction of the errors' shift, by which other nights recognise the failure mode."""
    return failure_modes.sign(subject_of(Path(root), model_hash), screening, errors.images)


@night_task
def compare(
    root: str,
    night_id: str,
    model_hash: str,
    part: int,
    screening: Screening,
    errors: Admitted,
    found: Diagnosis,
) -> tuple[Comparison, ...]:
    """Draw some errors beside the reference images most like them under the claimed cause."""
    subject = subject_of(Path(root), model_hash)
    known, mode_id = responses.measure_responses(subject), nights.mode_id(night_id, part)
    return comparisons.compare(subject, night_id, mode_id, screening, errors, found, known)


@night_task
def list_suspects(
    root: str,
    night_id: str,
    model_hash: str,
    part: int,
    screening: Screening,
    errors: Admitted,
    found: Diagnosis,
) -> tuple[SuspectLabel, ...]:
    """List the most suspect labels, where the appearance does not explain the errors."""
    return suspects.suspect_labels(subject_of(Path(root), model_hash), screening, errors, found)


@night_task
def invert_filters(
    root: str,
    night_id: str,
    model_hash: str,
    part: int,
    sounding: Sounding,
    screening: Screening,
    errors: Admitted,
) -> tuple[BlamedFilter, ...]:
    """Shortlist the most blamed filters and invert them to texture primitives."""
    subject = subject_of(Path(root), model_hash)
    filters = blame.shortlist(subject, sounding, screening, errors.images)
    with step("Inverting filters", primitives.count_pictures(subject, filters)) as advance:
        return primitives.invert_filters(subject, night_id, filters, advance)


@night_task
def write_recipe(
    root: str,
    night_id: str,
    model_hash: str,
    part: int,
    errors: Admitted,
    found: Diagnosis,
    flip_rates: list[FlipRate],
    filters: tuple[BlamedFilter, ...],
) -> RecipeFile | None:
    """Turn a claimed diagnosis into a recipe."""
    subject = subject_of(Path(root), model_hash)
    mode_id = nights.mode_id(night_id, part)
    return mode_recipe.write_mode_recipe(subject, night_id, mode_id, errors, found, flip_rates, filters)


@task(retries=1, retry_delay_seconds=2, retry_condition_fn=_worth_retrying)
def finish(
    root: str,
    night_id: str,
    log: DefectLog,
    errors: Admitted,
    modes: Sequence[FailureMode],
    unclustered: Sequence[LoggedError],
    seconds: dict[str, float],
) -> Night:
    """Write the report and the findings."""
    site = nights.open_site(root)
    rows_read = len(log.rows) + len(log.set_aside)
    return nights.finish(
        site,
        site.store.night(night_id),
        rows_read,
        len(errors.errors),
        errors.set_aside,
        modes,
        unclustered,
        seconds,
    )


@flow(name="night", validate_parameters=False)
def night(
    workspace: str, log: str, model_hash: str | None = None, query: str | None = None, again: bool = False
) -> str:
    """Diagnose one defect log; returns the night's id.

    A night that fails is marked as failed with the reason, and goes on from there when started again.
    """
    site = nights.open_site(workspace)
    begun = nights.begin(site, Path(log), model_hash, query, again)
    if begun.state is NightState.FINISHED:
        return begun.night_id
    try:
        _run(str(site.workspace.root), begun, query)
    except Exception as error:
        if not interrupted(error):
            site.store.fail_night(begun.night_id, f"{error}")
        raise
    return begun.night_id


def _run(root: str, begun: Night, query: str | None) -> None:
    night_id, seconds = begun.night_id, dict[str, float]()
    with nights.timed(seconds, "log"):
        log = read_log(root, night_id, query)
    with nights.timed(seconds, "images"):
        errors = admit_errors(root, night_id, log)
    modes, unclustered = _find_modes(root, begun, errors, seconds) if errors.errors else ([], ())
    finish(root, night_id, log, errors, modes, unclustered, seconds)


def _find_modes(
    root: str, begun: Night, errors: Admitted, seconds: dict[str, float]
) -> tuple[list[FailureMode], tuple[LoggedError, ...]]:
    about = (root, begun.night_id, begun.model_hash)
    with nights.timed(seconds, "blame"):
        batches = range(0, len(errors.errors), BATCH)
        screening = join([screen_errors(*about, part, errors) for part in batches])
    with nights.timed(seconds, "operations"):
        measure_responses(*about)
    with nights.timed(seconds, "grouping"):
        groups = group_errors(*about, screening, errors)
    modes = [
        _diagnose_mode(root, begun, part, screening.subset(rows), errors.subset(rows), seconds)
        for part, rows in enumerate(groups.modes, 1)
    ]
    return modes, errors.subset(groups.unclustered).errors


def _diagnose_mode(
    root: str, begun: Night, part: int, screening: Screening, errors: Admitted, seconds: dict[str, float]
) -> FailureMode:
    about = (root, begun.night_id, begun.model_hash)
    with nights.timed(seconds, "blame"):
        soundings = choose_layers(*about, part, screening, errors)
        flip_rates = nights.best_first(
            [verify_layer(*about, f"{part}-{each.layer}", each, screening, errors) for each in soundings]
        )
        best = next(each for each in soundings if each.layer == flip_rates[0].layer)
    with nights.timed(seconds, "diagnosis"):
        found = diagnose(*about, part, screening, errors)
        signature = sign_mode(*about, part, screening, errors)
        suspected = list_suspects(*about, part, screening, errors, found)
        compared = compare(*about, part, screening, errors, found)
    with nights.timed(seconds, "primitives"):
        filters = invert_filters(*about, part, best, screening, errors)
    with nights.timed(seconds, "recipe"):
        recipe = write_recipe(*about, part, errors, found, flip_rates, filters)
    mode_id = nights.mode_id(begun.night_id, part)
    return nights.failure_mode(
        mode_id, errors.errors, flip_rates, filters, found, recipe, signature, suspected, compared
    )
