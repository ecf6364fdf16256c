"""From the diagnosis to the recipe: which operations, how strong, with examples to look at."""

from collections.abc import Sequence

import numpy as np

from inspection.config import RecipeSettings
from inspection.findings import BlamedFilter, Diagnosis, FlipRate, OperationMatch, RecipeFile
from inspection.images import write_image
from inspection.recipes import Ingredient, Recipe, build_recipe, draw_examples, summarise, write_recipe
from inspection.subject import Subject, evenly


def write_mode_recipe(
    subject: Subject,
    night_id: str,
    mode_id: str,
    diagnosis: Diagnosis,
    flip_rates: Sequence[FlipRate],
    filters: Sequence[BlamedFilter],
) -> RecipeFile | None:
    """Write the recipe of a claimed diagnosis into the night's folder; None where nothing is claimed."""
    if not diagnosis.claimed:
        return None
    settings, model = subject.settings, subject.model
    recipe = build_recipe(
        [[ingredient(each, settings.recipe) for each in indistinguishable(diagnosis)]],
        settings.recipe.share,
        settings.compute.seed,
        (model.height, model.width),
        model.channels,
        _findings(subject, night_id, mode_id, diagnosis, flip_rates, filters),
    )
    path = subject.workspace.night_folder(night_id) / f"recipe-{mode_id}.yaml"
    sha256 = write_recipe(recipe, path)
    return RecipeFile(
        subject.workspace.relative(path),
        sha256,
        summarise(recipe),
        _examples(subject, night_id, mode_id, recipe),
    )


def indistinguishable(diagnosis: Diagnosis) -> list[OperationMatch]:
    """The best operation with the alternatives that cannot be told apart from it."""
    return [each for i, each in enumerate(diagnosis.matches) if i == 0 or each.alternative]


def ingredient(match: OperationMatch, settings: RecipeSettings) -> Ingredient:
    """An operation with its strength drawn from a fifth to 1.3 times the fitted one (by default)."""
    return Ingredient(match.operation, settings.weakest * match.strength, settings.strongest * match.strength)


def _findings(
    subject: Subject,
    night_id: str,
    mode_id: str,
    diagnosis: Diagnosis,
    flip_rates: Sequence[FlipRate],
    filters: Sequence[BlamedFilter],
) -> dict[str, object]:
    return {
        "night": night_id,
        "failure_mode": mode_id,
        "model": subject.model.model_hash,
        "diagnosis": diagnosis.sentence,
        "explained_shares": {each.operation: each.share for each in indistinguishable(diagnosis)},
        "fitted_strengths": {each.operation: each.strength for each in indistinguishable(diagnosis)},
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


def _examples(subject: Subject, night_id: str, mode_id: str, recipe: Recipe) -> tuple[tuple[str, str], ...]:
    chosen = evenly(subject.correct.labels, subject.settings.recipe.examples)
    before = list(subject.correct.images[chosen])
    folder = subject.workspace.night_folder(night_id) / f"examples-{mode_id}"
    pairs = []
    for i, (image, changed) in enumerate(zip(before, draw_examples(recipe, before), strict=True)):
        names = (folder / f"{i}-before.png", folder / f"{i}-after.png")
        for path, picture in zip(names, (image, changed), strict=True):
            write_image(path, np.ascontiguousarray(picture))
        pairs.append((subject.workspace.relative(names[0]), subject.workspace.relative(names[1])))
    return tuple(pairs)
