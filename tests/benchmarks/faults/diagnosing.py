"""A night of the benchmark, diagnosed by the same library functions that the flow's tasks call."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmi_engine.types import Screening
from inspection.causes import diagnosis
from inspection.evidence import blame, responses
from inspection.findings import Diagnosis, FlipRate
from inspection.modes import grouping as failure_modes
from inspection.modes import recipe as mode_recipe
from inspection.nights import night as nights
from inspection.recipes.recipe import write_recipe
from tests.benchmarks.faults.nights import Log
from tests.benchmarks.faults.world import World


@dataclass(frozen=True, slots=True)
class Mode:
    """A failure mode of a benchmark's night."""

    rows: NDArray[np.int64]
    screening: Screening
    found: Diagnosis


def find_modes(world: World, log: Log) -> list[Mode]:
    """Group and diagnose a night's errors."""
    subject, errors = world.subject, log.errors
    screening = blame.screen(subject, errors.images, errors.labels)
    known = responses.measure_responses(subject)
    groups = failure_modes.group_errors(subject, screening, errors.images, known)
    modes = []
    for rows in groups.modes:
        part = screening.subset(rows)
        found = diagnosis.diagnose(subject, part, errors.images[rows], known)
        modes.append(Mode(rows, part, found))
    return modes


def flip_rate(world: World, mode: Mode, log: Log) -> FlipRate:
    """What patching the blamed filters of the best layer achieves for a mode, beside its controls."""
    subject, images = world.subject, log.errors.images[mode.rows]
    probes = blame.probe_layers(subject, mode.screening, images)
    return nights.best_first([blame.verify(subject, each, mode.screening, images) for each in probes])[0]


def recipe_of(world: World, mode: Mode, log: Log, path: Path) -> Path | None:
    """Write the mode's recipe to `path`; None where no cause is claimed."""
    if not mode.found.claimed:
        return None
    images, true = log.errors.images[mode.rows], log.errors.labels[mode.rows]
    recipe = mode_recipe.compose(world.subject, images, true, mode.found, {"benchmark": world.name}, path)
    write_recipe(recipe, path)
    return path


def describe(world: World, log: Log, modes: list[Mode]) -> dict[str, Any]:
    """A night as it stands in the benchmark's answer."""
    return {
        "errors": len(log.errors),
        "unclustered": len(log.errors) - sum(len(mode.rows) for mode in modes),
        "modes": [_describe_mode(log, mode) for mode in modes],
    }


def _describe_mode(log: Log, mode: Mode) -> dict[str, Any]:
    found, best = mode.found, mode.found.matches[0]
    planted = log.planted[mode.rows]
    families = list(dict.fromkeys(each.family for each in found.matches))
    return {
        "errors": len(mode.rows),
        "planted": {int(which): int((planted == which).sum()) for which in np.unique(planted)},
        "claimed": found.claimed,
        "cause": found.cause.value,
        "family": found.family,
        "operation": found.operation or best.operation,
        "strength": best.strength,
        "shares": [best.share, best.overall_share, best.look_share],
        "measured": found.measured,
        "pair": [each.operation for each in found.pair],
        "pair_families": [each.family for each in found.pair],
        "families": families,  # best first
        "alternatives": sorted({each.family for each in found.matches if each.alternative}),
        "reasons": list(found.reasons),
    }
