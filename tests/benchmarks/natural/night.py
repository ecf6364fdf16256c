"""One seed's night: the model trained under the old condition, its errors under the new one, diagnosed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inspection.causes.diagnosis import change_of
from inspection.findings import OperationMatch
from inspection.inputs.images import write_image
from inspection.inputs.labelled import Labelled
from inspection.models.first_model import FirstModelRequest
from inspection.modes.mode_recipe import ingredient
from inspection.progress import Progress
from inspection.recipes.recipe import Coverage, build_recipe, write_recipe
from inspection.workspace.files import write_whole
from tests.benchmarks.diagnosing import Mode, describe, find_modes, recipe_of
from tests.benchmarks.kept import Kept
from tests.benchmarks.natural.conditions import Conditions
from tests.benchmarks.world import Log, World, deploy, key_of, logged_rows

NEAREST = 5  # operations of every mode that are listed
FORCED = 3  # of the largest mode's, each retrained with as if it had been claimed
SHOWN = 6  # errors of a mode that stand beside reference images
Described = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shift:
    """A world whose line runs under the new condition."""

    world: World  # its `logs` and `judge` are under the new condition
    old: Labelled  # judge the candidates under the old one
    paths: tuple[Path, ...]  # of the images of `world.logs`


def open_shift(
    name: str,
    conditions: Conditions,
    seed: int,
    request: FirstModelRequest,
    cache: Path,
    progress: Progress = None,
) -> Shift:
    """Train the model under the old condition, or take the one that an earlier run left."""
    size = request.size[0] if request.size else 0
    key = key_of(conditions.references, size, request.epochs, request.architecture)
    base = deploy(cache / f"model-{key}-{seed}", seed, conditions.references, request, progress)
    line, judge, old = (
        base.load(each) for each in (conditions.line, conditions.judge_new, conditions.judge_old)
    )
    world = World(name, seed, base.subject, base.train, base.clean, line, judge)
    return Shift(world, old, tuple(each.path for each in conditions.line))


def log_of(shift: Shift) -> tuple[Log, list[Path]]:
    """What the model gets wrong under the new condition, of images that judge nothing, and their files."""
    rows, accuracy = logged_rows(shift.world, shift.world.logs)
    log = Log(shift.world.logs.subset(rows), np.full(len(rows), -1), accuracy)
    return log, [shift.paths[row] for row in rows]


def diagnosed(shift: Shift, kept: Kept) -> Described:
    """The night of a seed, kept with its recipes and pictures in a folder that a developer looks into."""
    world, folder = shift.world, kept.folder
    log, paths = log_of(shift)
    modes = find_modes(world, log) if len(log.errors) > 1 else []
    night: Described = {"accuracy_of_the_line": log.accuracy, "folder": str(folder)} | describe(
        world, log, modes
    )
    for number, (mode, said) in enumerate(zip(modes, night["modes"], strict=True), 1):
        recipe = recipe_of(world, mode, folder / f"recipe-{number}" / "recipe.yaml")
        said |= {"recipe": str(recipe) if recipe else None, "nearest": _nearest(mode)}
        said["images"] = [str(paths[row]) for row in mode.rows]
        said["strength"] = mode.found.strength if mode.found.claimed else said["strength"]
        _draw(mode, world, folder / f"mode-{number}.png")
    night["forced"] = _forced(world, modes[0], folder) if modes else {}
    write_whole(folder / "diagnosis.json", json.dumps(night, indent=1).encode())
    return night


def _nearest(mode: Mode) -> list[Described]:
    return [
        {
            "operation": each.operation,
            "family": each.family,
            "strength": each.strength,
            "unit": each.unit,
            "share": each.share,
            "overall_share": each.overall_share,
            "look_share": each.look_share,
            "alternative": each.alternative,
        }
        for each in mode.found.matches[:NEAREST]
    ]


def _forced(world: World, mode: Mode, folder: Path) -> Mapping[str, str]:
    """A recipe for each of the operations nearest to a mode, as if it alone had been claimed."""
    nearest = [each for each in mode.found.matches if each.strength > 0][:FORCED]
    return {each.operation: str(_recipe_for(world, each, folder)) for each in nearest}


def _recipe_for(world: World, match: OperationMatch, folder: Path) -> Path:
    settings, model = world.subject.settings, world.model
    scope = Coverage(
        settings.recipe.share, settings.compute.seed, (model.height, model.width), model.channels
    )
    findings = {"benchmark": world.name, "forced": match.operation, "share": match.share}
    path = folder / f"forced-{match.operation.replace(' ', '-')}" / "recipe.yaml"
    recipe = build_recipe([[ingredient(match, settings.recipe)]], scope, findings, path.parent)
    write_recipe(recipe, path)
    return path


def _draw(mode: Mode, world: World, path: Path) -> None:
    """Errors of a mode, from the nearest to the farthest, each beside the reference image most like it.

    From left to right: the error, the reference image as it is, and under the cause that is claimed, or else
    under the operation that came nearest.
    """
    found, case = mode.found, mode.case
    if not found.claimed:
        nearest = next((each for each in found.matches if each.strength > 0), None)
        if nearest is None:
            return
        found = replace(found, pair=(), matches=(nearest,))
    rows = [
        np.concatenate([case.images[case.examined[each.error]], each.reference, each.changed], axis=1)
        for each in case.nearest.examples(change_of(case, found), SHOWN)
    ]
    sheet = np.concatenate(rows)
    times = max(1, round(192 / world.model.height))
    large = cv2.resize(sheet, None, fx=times, fy=times, interpolation=cv2.INTER_NEAREST)
    write_image(path, large.reshape(*large.shape[:2], sheet.shape[2]))
