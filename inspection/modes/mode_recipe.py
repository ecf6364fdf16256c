"""From the diagnosis to the recipe: which operations, how strong, with examples to look at."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np

from inspection.causes.measured_change import PARTS
from inspection.causes.measured_match import measured_on
from inspection.evidence.case import Case
from inspection.evidence.subject import Subject
from inspection.findings import (
    BlamedFilter,
    Diagnosis,
    FlipRate,
    OperationMatch,
    RecipeFile,
    RecipeStep,
    night_of,
)
from inspection.inputs.images import write_image
from inspection.inputs.labelled import evenly, sample
from inspection.nights.phrases import sentence
from inspection.operations.catalogue import find_operation
from inspection.recipes.overlays import (
    FIXED_PATTERN,
    OVERLAYS,
    RESIDUAL_TEXTURE,
    TEXTURE_PRIMITIVE,
    TONE_CURVE,
    write_pattern,
    write_texture,
    write_tones,
)
from inspection.recipes.recipe import (
    Coverage,
    Ingredient,
    Recipe,
    build_recipe,
    draw_examples,
    summarise,
    write_recipe,
)
from inspection.workspace.settings import RecipeSettings


def write_mode_recipe(
    case: Case,
    mode_id: str,
    diagnosis: Diagnosis,
    flip_rates: Sequence[FlipRate],
    filters: Sequence[BlamedFilter],
) -> RecipeFile | None:
    """Write the recipe of a claimed diagnosis into the night's folder; None where nothing is claimed.

    What was measured on the errors goes along as textures beside the recipe.
    """
    if not diagnosis.claimed:
        return None
    workspace = case.subject.workspace
    path = workspace.night_folder(night_of(mode_id)) / f"recipe-{mode_id}.yaml"
    recipe = compose(case, diagnosis, _findings(case, mode_id, diagnosis, flip_rates, filters), path)
    sha256 = write_recipe(recipe, path)
    examples = _examples(case.subject, recipe, path.parent / f"examples-{mode_id}")
    steps = tuple(tuple(_step(each) for each in group) for group in recipe.ingredients)
    return RecipeFile(workspace.relative(path), sha256, summarise(recipe), examples, steps, recipe.share)


def compose(case: Case, diagnosis: Diagnosis, findings: Mapping[str, object], path: Path) -> Recipe:
    """The recipe of a claimed diagnosis; not yet written.

    A change that was measured on the errors writes its textures into a folder beside `path`.
    """
    settings, model = case.subject.settings, case.subject.model
    return build_recipe(
        _groups(case, diagnosis, path),
        Coverage(settings.recipe.share, settings.compute.seed, (model.height, model.width), model.channels),
        findings,
        path.parent,
    )


def _groups(case: Case, diagnosis: Diagnosis, path: Path) -> list[list[Ingredient]]:
    settings = case.subject.settings.recipe
    named = [[ingredient(each, settings) for each in group] for group in indistinguishable(diagnosis)]
    if diagnosis.measured is None:
        return named
    laid = _laid_over(case, diagnosis.measured, path)
    return laid if diagnosis.measured_alone else [[*named[0], *laid[0]]]


def _laid_over(case: Case, measured: str, path: Path) -> list[list[Ingredient]]:
    """The parts of a measured change, one after the other; their files are written beside `path`."""
    settings = case.subject.settings.recipe
    change, parts = measured_on(case, measured), PARTS[measured]
    folder = f"{path.stem}-textures"
    strengths = (settings.weakest, settings.strongest)
    groups = []
    if parts.tones:
        file = write_tones(change.tones, path.parent, f"{folder}/tones.png")
        groups.append([Ingredient(TONE_CURVE, *strengths, (file,))])
    if parts.pattern:
        file = write_pattern(change.pattern, path.parent, f"{folder}/pattern.png")
        groups.append([Ingredient(FIXED_PATTERN, *strengths, (file,))])
    textures = []
    if parts.residual or (parts.primitive and change.primitives is None):
        chosen = sample(len(change.residuals), settings.textures, case.subject.settings.compute.seed)
        files = [
            write_texture(change.residuals[i], path.parent, f"{folder}/residual-{i}.png") for i in chosen
        ]
        textures.append(Ingredient(RESIDUAL_TEXTURE, *strengths, tuple(files)))
    if parts.primitive and change.primitives is not None:
        files = [
            write_texture(texture, path.parent, f"{folder}/{_file_name(filter_)}-{i}.png")
            for i, (texture, filter_) in enumerate(zip(change.primitives, change.filters, strict=True))
        ]
        textures.append(Ingredient(TEXTURE_PRIMITIVE, *strengths, tuple(files)))
    if textures:
        groups.append(textures)
    return groups


def _file_name(filter_: str) -> str:
    """The name of a filter, layer:channel, as a file's: a plant may name its modules as it likes."""
    return quote(filter_.replace(":", "-"), safe="")


def _filter_of(file: str) -> str:
    """The filter, layer:channel, whose texture a file is: what `_file_name` and its number were made of."""
    layer, _, channel = unquote(Path(file).stem.rpartition("-")[0]).rpartition("-")
    return f"{layer}:{channel}"


def _step(part: Ingredient) -> RecipeStep:
    """A part of the recipe as the store keeps it."""
    unit = "" if part.operation in OVERLAYS else find_operation(part.operation).unit
    files = part.textures if part.operation == TEXTURE_PRIMITIVE else ()
    filters = tuple(dict.fromkeys(_filter_of(each.path) for each in files))
    return RecipeStep(part.operation, part.lowest, part.highest, unit, filters)


def indistinguishable(diagnosis: Diagnosis) -> list[list[OperationMatch]]:
    """The operations that follow each other, each with those that cannot be distinguished from it."""
    if diagnosis.pair:
        return [[each] for each in diagnosis.pair]
    return [[each for i, each in enumerate(diagnosis.matches) if i == 0 or each.alternative]]


def ingredient(match: OperationMatch, settings: RecipeSettings) -> Ingredient:
    """An operation with its strength drawn from a fifth to 1.6 times the fitted one (by default)."""
    return Ingredient(match.operation, settings.weakest * match.strength, settings.strongest * match.strength)


def _findings(
    case: Case,
    mode_id: str,
    diagnosis: Diagnosis,
    flip_rates: Sequence[FlipRate],
    filters: Sequence[BlamedFilter],
) -> dict[str, object]:
    if not diagnosis.measured_alone:
        named = [each for group in indistinguishable(diagnosis) for each in group]
        shares = {each.operation: each.share for each in named}
        strengths = {each.operation: each.strength for each in named}
    else:
        name = diagnosis.measured or ""
        shares, strengths = {name: diagnosis.share}, {name: 1.0}
    return {
        "night": night_of(mode_id),
        "failure_mode": mode_id,
        "model": case.subject.model.model_hash,
        "diagnosis": sentence(diagnosis),
        "explained_shares": shares,
        "fitted_strengths": strengths,
        "control_share": diagnosis.control_share,
        "flip_rates": [
            {
                "layer": each.layer,
                "filters": each.k,
                "blame": each.blame,
                "deviation": each.deviation,
                "random": each.random,
                "withheld": each.withheld,
            }
            for each in flip_rates
        ],
        "blamed_filters": [each.name for each in filters],
    }


def _examples(subject: Subject, recipe: Recipe, folder: Path) -> tuple[tuple[str, str], ...]:
    chosen = evenly(subject.correct.labels, subject.settings.recipe.examples)
    before = list(subject.correct.images[chosen])
    pairs = []
    for i, (image, changed) in enumerate(
        zip(before, draw_examples(recipe, before, folder.parent), strict=True)
    ):
        names = (folder / f"{i}-before.png", folder / f"{i}-after.png")
        for path, picture in zip(names, (image, changed), strict=True):
            write_image(path, np.ascontiguousarray(picture))
        pairs.append((subject.workspace.relative(names[0]), subject.workspace.relative(names[1])))
    return tuple(pairs)
