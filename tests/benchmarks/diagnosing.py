"""A night of the benchmark, diagnosed by the same library functions that the flow's tasks call."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspection.causes.diagnosis import diagnose
from inspection.evidence import blame
from inspection.evidence.case import Case
from inspection.evidence.responses import measure_responses
from inspection.findings import Diagnosis, FlipRate
from inspection.inputs.labelled import Labelled
from inspection.modes import mode_recipe
from inspection.modes.grouping import group_errors
from inspection.nights import night as nights
from inspection.nights.affected import Origins
from inspection.nights.phrases import doubt_in_words
from inspection.recipes.recipe import write_recipe
from tests.benchmarks.world import Log, World


@dataclass(frozen=True, slots=True)
class Mode:
    """A failure mode of a benchmark's night."""

    rows: NDArray[np.int64]
    case: Case
    found: Diagnosis


def case_of(world: World, errors: Labelled) -> Case:
    """Errors of the world's model with all that they are compared with."""
    subject = world.subject
    screening = blame.screen(subject, errors.images, errors.labels)
    return Case(subject, measure_responses(subject), screening, errors.images)


def find_modes(world: World, log: Log, origins: Origins | None = None) -> list[Mode]:
    """Group and diagnose a night's errors."""
    return modes_of(case_of(world, log.errors), origins)


def modes_of(case: Case, origins: Origins | None = None) -> list[Mode]:
    """The same of errors that were screened."""
    modes = []
    for group in group_errors(case, origins).modes:
        part = case.part(group.rows)
        modes.append(Mode(group.rows, part, group.diagnosis or diagnose(part)))
    return modes


def flip_rate(mode: Mode) -> FlipRate:
    """What patching the blamed filters of the best layer achieves for a mode, beside its controls."""
    probes = blame.probe_layers(mode.case)
    return nights.best_first([blame.verify(mode.case, each) for each in probes])[0]


def recipe_of(world: World, mode: Mode, path: Path) -> Path | None:
    """Write the mode's recipe to `path`; None where no cause is claimed."""
    if not mode.found.claimed:
        return None
    write_recipe(mode_recipe.compose(mode.case, mode.found, {"benchmark": world.name}, path), path)
    return path


def describe(world: World, log: Log, modes: list[Mode]) -> dict[str, Any]:
    """A night as it stands in the benchmark's answer."""
    return {
        "errors": len(log.errors),
        "unclustered": len(log.errors) - sum(len(mode.rows) for mode in modes),
        "modes": [_describe_mode(log, mode) for mode in modes],
    }


def explained(night: Mapping[str, Any]) -> float:
    """The share of the errors' shift that causes with a recipe explain, over all errors of a night."""
    found = sum(each["errors"] * each["explained"] for each in night["modes"] if each["recipe"])
    return float(found) / max(1, int(night["errors"]))


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
        "equals": {each.operation: each.strength for each in found.matches if each.alternative},
        "shares": [best.share, best.overall_share, best.look_share],
        "explained": found.mean_share,
        "measured": found.measured,
        "pair": [each.operation for each in found.pair],
        "pair_families": [each.family for each in found.pair],
        "families": families,  # best first
        "alternatives": sorted({each.family for each in found.matches if each.alternative}),
        "reasons": [doubt_in_words(each) for each in found.doubts],
    }
