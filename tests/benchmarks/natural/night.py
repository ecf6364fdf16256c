"""One seed's night: the model trained under the old condition, its errors under the new one, diagnosed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspection.causes.diagnosis import change_of
from inspection.findings import Affected, LogContext, OperationMatch
from inspection.inputs.images import write_image
from inspection.inputs.labelled import Labelled
from inspection.models.first_model import FirstModelRequest
from inspection.modes.mode_recipe import ingredient
from inspection.nights.affected import NOWHERE, Origins, affected_groups
from inspection.nights.phrases import affected_in_words
from inspection.progress import Progress
from inspection.recipes.recipe import Coverage, build_recipe, write_recipe
from inspection.workspace.files import write_whole
from tests.benchmarks.diagnosing import Mode, describe, find_modes, recipe_of
from tests.benchmarks.kept import Kept
from tests.benchmarks.natural.conditions import Conditions
from tests.benchmarks.world import Log, World, deploy, key_of, logged_rows, right_rows

NEAREST = 5  # operations of every mode that are listed
FORCED = 3  # of the largest mode's, each retrained with as if it had been claimed
SHOWN = 6  # errors of a mode that stand beside reference images
ACROSS = 12  # errors in a row of the picture that holds all of a mode
SIDE, GAP = 192, 4  # pixels: about what a picture is enlarged to, and between two
Described = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shift:
    """A world whose line runs under the new condition."""

    world: World  # its `logs` and `judge` are under the new condition
    old: Labelled  # judge the candidates under the old one
    paths: tuple[Path, ...]  # of the images of `world.logs`
    contexts: tuple[LogContext, ...]  # where they come from


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
    key = key_of(conditions.references, size, request.epochs, request.architecture, request.good_classes)
    base = deploy(cache / f"model-{key}-{seed}", seed, conditions.references, request, progress)
    line, judge, old = (
        base.load(each) for each in (conditions.line, conditions.judge_new, conditions.judge_old)
    )
    world = World(name, seed, base.subject, base.train, base.clean, line, judge)
    paths = tuple(each.path for each in conditions.line)
    return Shift(world, old, paths, tuple(conditions.origins[path] for path in paths))


def log_of(shift: Shift) -> tuple[Log, NDArray[np.int64]]:
    """What the model gets wrong under the new condition, of images that judge nothing, and their rows."""
    line = shift.world.logs
    rows, accuracy = logged_rows(shift.world, line)
    right = right_rows(shift.world, line)
    return Log(line.subset(rows), np.full(len(rows), -1), accuracy, line.subset(right)), rows


def origins_of(shift: Shift, rows: NDArray[np.int64]) -> Origins:
    """Where the logged errors come from, beside the parts that the model gets right."""
    right = right_rows(shift.world, shift.world.logs)
    errors, others = (tuple(shift.contexts[row] for row in each) for each in (rows, right))
    return Origins(errors, others)


def diagnosed(shift: Shift, kept: Kept) -> Described:
    """The night of a seed, kept with its recipes and pictures in a folder that a developer looks into."""
    world, folder = shift.world, kept.folder
    log, logged = log_of(shift)
    origins = origins_of(shift, logged)
    modes = find_modes(world, log, origins) if len(log.errors) > 1 else []
    affected = _affected(origins, modes)
    night: Described = {"accuracy_of_the_line": log.accuracy, "folder": str(folder)} | describe(
        world, log, modes
    )
    for number, (mode, said) in enumerate(zip(modes, night["modes"], strict=True), 1):
        recipe = recipe_of(world, mode, folder / f"recipe-{number}" / "recipe.yaml")
        said |= {"recipe": str(recipe) if recipe else None, "nearest": _nearest(mode)}
        said["images"] = [str(shift.paths[row]) for row in logged[mode.rows]]
        said["affected"] = affected_in_words(affected[number - 1])
        said["strength"] = mode.found.strength if mode.found.claimed else said["strength"]
        _draw_beside(mode, folder / f"mode-{number}.png")
        _draw_all(mode, folder / f"mode-{number}-errors.png")
    night["forced"] = _forced(world, modes[0], folder) if modes else {}
    write_whole(folder / "diagnosis.json", json.dumps(night, indent=1).encode())
    return night


def _affected(origins: Origins, modes: Sequence[Mode]) -> list[tuple[Affected, ...]]:
    groups = np.full(len(origins.errors), NOWHERE)
    for number, mode in enumerate(modes):
        groups[mode.rows] = number
    return affected_groups(origins, groups, len(modes))


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


def _draw_beside(mode: Mode, path: Path) -> None:
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
        (case.images[case.examined[each.error]], each.reference, each.changed)
        for each in case.nearest.examples(change_of(case, found), SHOWN)
    ]
    write_image(path, _tiled(rows, SIDE))


def _draw_all(mode: Mode, path: Path) -> None:
    """Every error of a mode, in the order of its images in the diagnosis."""
    images = list(mode.case.images[:])
    rows = [images[i : i + ACROSS] for i in range(0, len(images), ACROSS)]
    write_image(path, _tiled(rows, SIDE // 2))


def _tiled(rows: Sequence[Sequence[NDArray[np.uint8]]], side: int) -> NDArray[np.uint8]:
    """Pictures in rows, apart by white, enlarged by a whole number to about `side` pixels."""
    height, width, channels = rows[0][0].shape
    times, across = max(1, round(side / height)), max(map(len, rows))
    sheet = np.full((len(rows) * (times * height + GAP), across * (times * width + GAP), channels), 255)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (times * height + GAP), j * (times * width + GAP)
            large = picture.repeat(times, axis=0).repeat(times, axis=1)
            sheet[top : top + times * height, left : left + times * width] = large
    return sheet.astype(np.uint8)
