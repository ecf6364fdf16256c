"""What the steps of a night do, each by one library function: as Dask workers do it, too, without Prefect.

Those at the end do a piece of what one step does, as helpers of the process that runs the night.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flows.progress import step
from flows.scope import Errors, Scope
from fmi_engine.inversion import Job
from fmi_engine.presets import find_preset
from inspection.causes import diagnosis
from inspection.evidence import blame, heat_maps, primitives, reproduced, responses, surface
from inspection.evidence.blame import LayerProbe
from inspection.evidence.reproduced import Judged
from inspection.findings import (
    BlamedFilter,
    Comparison,
    Diagnosis,
    FlipRate,
    LoggedError,
    RecipeFile,
    SuspectLabel,
)
from inspection.inputs.defect_log import LogRow
from inspection.inputs.held import HeldErrors, HeldImages
from inspection.modes import grouping, mode_recipe, side_by_side, suspect_labels

CAUSES = "Finding the causes"  # a step; it counts the strengths measured, how many is not known beforehand


def screen_errors(scope: Scope, first: int, held: HeldErrors, true: NDArray[np.int64]) -> None:
    """Blame every filter for one batch of errors, of these classes, and keep that beside their images."""
    images = held.images(np.arange(first, first + len(true)))
    with step("Blaming filters", len(images)) as advance:
        held.keep_screening(first, blame.screen(scope.subject(), images, true, advance))


def probe_layers(scope: Scope, errors: Errors) -> tuple[LayerProbe, ...]:
    """Probe every layer and name those worth verifying."""
    return blame.probe_layers(scope.case(errors))


def verify_layer(scope: Scope, probe: LayerProbe, errors: Errors) -> FlipRate:
    """Patch the top filters of one layer beside both controls."""
    with step(f"Patching {probe.layer}", len(errors)) as advance:
        return blame.verify(scope.case(errors), probe, advance)


def diagnose(scope: Scope, errors: Errors) -> Diagnosis:
    """Match the errors' shift with the operations, those that come near it measured in full."""
    with step(CAUSES, None) as advance:
        return diagnosis.diagnose(scope.case(errors, advance))


def sign_mode(scope: Scope, errors: Errors) -> tuple[float, ...]:
    """Note the direction of the errors' shift, by which other nights recognise the failure mode."""
    return grouping.sign(scope.case(errors))


def list_suspects(scope: Scope, errors: Errors, logged: Sequence[LoggedError]) -> tuple[SuspectLabel, ...]:
    """List the labels that several signs say are wrong."""
    return suspect_labels.suspect_labels(scope.case(errors), logged)


def compare(scope: Scope, errors: Errors, found: Diagnosis) -> tuple[Comparison, ...]:
    """Draw some errors beside the reference images most like them under the claimed cause."""
    return side_by_side.compare(scope.case(errors), scope.mode_id, found)


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


def draw_heat_maps(
    scope: Scope, layer: str, errors: Errors, logged: Sequence[LoggedError]
) -> tuple[LoggedError, ...]:
    """Draw where on each error the filter of the best layer answers that is most to blame for it."""
    with step("Drawing heat maps", len(errors)) as advance:
        return heat_maps.draw_heat_maps(scope.case(errors), logged, scope.mode_id, layer, advance)


def write_recipe(
    scope: Scope,
    errors: Errors,
    found: Diagnosis,
    flip_rates: Sequence[FlipRate],
    filters: Sequence[BlamedFilter],
) -> RecipeFile | None:
    """Turn a claimed diagnosis into a recipe."""
    return mode_recipe.write_mode_recipe(scope.case(errors), scope.mode_id, found, flip_rates, filters)


# --- pieces of a step ---


def judge_errors(scope: Scope, rows: Sequence[LogRow], images: HeldImages) -> Judged:
    """Ask the model for some rows of a log."""
    return reproduced.judge(scope.subject(), scope.night_id, rows, images)


def measure_coarsely(scope: Scope, operations: Sequence[str]) -> None:
    """Measure some operations on the model coarsely."""
    responses.help_coarsely(scope.subject(), operations)


def measure_in_full(scope: Scope, operation: str) -> None:
    """Measure one operation on the model in full."""
    responses.help_in_full(scope.subject(), scope.responses(), operation)


def shortlist_filters(scope: Scope, probe: LayerProbe, errors: Errors) -> tuple[BlamedFilter, ...]:
    """Name the filters of a failure mode that are inverted."""
    return blame.shortlist(scope.case(errors), probe)


def plan_pictures(scope: Scope, shortlists: Sequence[Sequence[BlamedFilter]]) -> list[list[Job]]:
    """Say which pictures of filters are left to make, in batches; the surfaces are learnt for all."""
    return primitives.batches_left(scope.subject(), shortlists)


def invert_batch(scope: Scope, jobs: Sequence[Job]) -> None:
    """Make one batch of them."""
    primitives.invert_batch(scope.subject(), jobs)
