"""What `fmi recipe show` and `fmi recipe check` do: a recipe drawn on real images, and told in words."""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np

from inspection.console import Console
from inspection.errors import InspectionError, RecipeError
from inspection.inputs.image_sets import read_image_set
from inspection.inputs.images import (
    AS_STORED,
    is_file,
    measured_bit_depth,
    read_image,
    reading,
    write_image,
)
from inspection.inputs.labelled import evenly
from inspection.operations.catalogue import find_operation
from inspection.pictures.sheet import Cell, Column, Line, Picture, Row, Sheet, draw
from inspection.pictures.sources import check_sheet
from inspection.recipes.overlays import OVERLAYS, TONE_CURVE
from inspection.recipes.recipe import (
    Coverage,
    Ingredient,
    Recipe,
    build_recipe,
    draw_examples,
    is_as_built,
    load_recipe,
    summarise,
)
from inspection.workspace.folder import Workspace
from inspection.workspace.settings import Settings
from inspection.workspace.store import Store

LONGEST_TITLE = 120  # characters; what is longer stands whole at the foot
LONGEST_NAME = 28  # characters of a file's name beside its row
FAINTEST = 0.01  # of the highest strength: where a range begins at 0, which is no change

READ = {
    "texture": "Of a texture, middle grey is no change; what is lighter brightens, what is darker darkens.",
    "curve": "Of a curve, the place from left to right is a grey level from black to white, and its tone is "
    "what became of it; an even ramp from black to white is no change.",
}
"""How the picture of an overlay's file is read."""

Choice = tuple[Ingredient, ...]
"""One ingredient of every group: what a recipe may draw for an image."""


@dataclass(frozen=True, slots=True)
class RecipeRequest:
    """What `fmi recipe show` is asked for."""

    recipe: Path
    out: Path
    images: Path | None = None  # a folder or a table; None: the examples beside the recipe
    where: str | None = None
    count: int = 6  # images, a row each
    draws: int = 5  # beside each image
    strengths: bool = False  # in place of draws the range, in even steps
    settings: Settings = field(default_factory=Settings)  # whose limits of images and tables count


@dataclass(frozen=True, slots=True)
class Example:
    """An image that the recipe is drawn on."""

    name: str
    label: str  # its class; empty where it is not known
    pixels: Picture


# --- which recipe ---


def find_recipe(given: str, open_site: Callable[[], Workspace]) -> Path:
    """The recipe's file: `given` is its path, or a failure mode of the workspace, opened only then.

    Raises RecipeError where there is no such file, no such failure mode, or no recipe for it.
    """
    path = Path(given)
    if is_file(path):
        return path
    if path.suffix.lower() in (".yaml", ".yml") or len(path.parts) > 1:
        raise RecipeError(
            f"{given}: there is no such file; give a recipe, such as recipe-20260102-1a2b3c4d-1.yaml of a "
            "night, or the id of a failure mode"
        )
    try:
        site = open_site()
        mode = Store(site.store_path).mode(given)
    except InspectionError as error:
        raise RecipeError(f"{given}: no such file, and no failure mode to be found: {error}") from None
    if mode.recipe is None:
        raise RecipeError(
            f"failure mode {given} has no recipe, for no cause was claimed ({mode.diagnosis.sentence}); name "
            "another failure mode"
        )
    return site.root / mode.recipe.path


# --- fmi recipe check ---


def print_check(console: Console, path: Path) -> None:
    """Check a recipe with every texture, and print what it does. Raises RecipeError where it is unsound."""
    recipe = load_recipe(path)
    for line in check_lines(path, recipe):
        console.print(line)


def check_lines(path: Path, recipe: Recipe) -> list[str]:
    """What is told of a recipe that was loaded, and with it checked."""
    height, width = recipe.input_size
    named = {each.operation: each for group in recipe.ingredients for each in group}
    overlays = [each for each in named.values() if each.textures]
    textures = f", and its {_files(overlays)} as they were written" if overlays else ""
    found = recipe.findings
    lines = [
        f"{path} is sound: whole and unchanged{textures}.",
        f"What it does: {summarise(recipe)}.",
        *(f"  {each.operation}: {_meaning(each)}" for each in named.values()),
        f"Made for uint8 images of {height} x {width} pixels (height x width) and "
        f"{_counted(recipe.channels, 'channel')}, with albumentations {recipe.libraries['albumentations']}.",
    ]
    if not is_as_built(recipe, path.parent):
        lines.append(
            "Its pipeline is not what this version builds of these ingredients: an earlier version wrote it, "
            "or a person. What it does to images is what the pipeline says; `fmi recipe show` draws it."
        )
    if "failure_mode" in found:
        lines.append(f"Written for failure mode {found['failure_mode']}: {found.get('diagnosis', '')}")
    return lines


def _meaning(ingredient: Ingredient) -> str:
    if ingredient.operation in OVERLAYS:
        return f"{OVERLAYS[ingredient.operation]} ({_of_files(ingredient)})"
    return find_operation(ingredient.operation).meaning


def _files(overlays: Sequence[Ingredient]) -> str:
    """How many textures and curves overlays have: a file that two of them name counts once."""
    files = {(_noun(each), file) for each in overlays for file in each.textures}
    nouns = [noun for noun, _ in files]
    return " and ".join(_counted(nouns.count(noun), noun) for noun in sorted(set(nouns), reverse=True))


def _of_files(overlay: Ingredient) -> str:
    return _counted(len(overlay.textures), _noun(overlay))


def _noun(overlay: Ingredient) -> str:
    return "curve" if overlay.operation == TONE_CURVE else "texture"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# --- fmi recipe show ---


def show_recipe(request: RecipeRequest) -> tuple[Recipe, Sheet]:
    """Draw the recipe on the images that are asked for, and write the sheet.

    Raises RecipeError, ImageSetError or ImageError.
    """
    check_sheet(request.out)
    recipe = load_recipe(request.recipe)
    sheet = recipe_sheet(recipe, request, find_examples(recipe, request))
    write_image(request.out, draw(sheet))
    return recipe, sheet


def find_examples(recipe: Recipe, request: RecipeRequest) -> list[Example]:
    """The images, in the recipe's size, evenly over the classes; without any named those of the night."""
    if request.images is None:
        if request.where is not None:
            raise RecipeError(
                f"--where {request.where!r} chooses among the images of --images: give both, or neither"
            )
        how = AS_STORED
        found = [(path, "") for path in _of_the_night(recipe, request.recipe)[: request.count]]
    else:
        labelled = read_image_set(request.images, request.where, limits=request.settings.tables)
        settings = request.settings.images
        how = reading(settings, measured_bit_depth((each.path for each in labelled), settings))
        _, codes = np.unique([each.label for each in labelled], return_inverse=True)
        found = [(labelled[i].path, labelled[i].label) for i in evenly(codes, request.count)]
    return [
        Example(path.name, label, read_image(path, recipe.input_size, recipe.channels, how))
        for path, label in found
    ]


def _of_the_night(recipe: Recipe, path: Path) -> list[Path]:
    """The reference images that the night's report shows before and after the recipe."""
    folder = path.parent / f"examples-{recipe.findings.get('failure_mode')}"
    found = sorted(folder.glob("*-before.png"))
    if not found:
        raise RecipeError(
            f"{path}: no example images of its night lie beside it (expected {folder.name}/*-before.png); "
            "name images of yours with --images DIR"
        )
    return found


def recipe_sheet(recipe: Recipe, request: RecipeRequest, examples: Sequence[Example]) -> Sheet:
    """The contact sheet: textures and curves first, then each image beside what the recipe makes of it."""
    height, width = recipe.input_size
    summary = summarise(recipe)
    title = textwrap.shorten(summary, LONGEST_TITLE, placeholder=" ...")
    rows = (_ranged if request.strengths else _drawn)(recipe, request, examples)
    return Sheet(
        title[0].upper() + title[1:],
        f"{request.recipe.name}   |   {height} x {width} pixels   |   here every picture is changed",
        recipe.input_size,
        _columns(recipe, request),
        (*_texture_rows(recipe, request), *rows),
        tuple(_notes(recipe, request, summary, title)),
    )


def _notes(recipe: Recipe, request: RecipeRequest, summary: str, title: str) -> list[str]:
    notes = [f"The recipe: {summary}."] if title != summary else []
    if request.strengths:
        notes.append("The strengths under the pictures are even steps from the lowest to the highest drawn.")
    nouns = {_noun(each) for each in _overlays(recipe)}
    return [*notes, *(note for noun, note in READ.items() if noun in nouns)]


# --- the rows ---


def _drawn(recipe: Recipe, request: RecipeRequest, examples: Sequence[Example]) -> list[Row]:
    """Each image, and what some draws of the recipe make of it."""
    images = [each.pixels for each in examples]
    folder = request.recipe.parent
    draws = [
        draw_examples(replace(recipe, seed=recipe.seed + i), images, folder) for i in range(request.draws)
    ]
    return [
        _row(example, (), [Cell(pictures[i]) for pictures in draws]) for i, example in enumerate(examples)
    ]


def _ranged(recipe: Recipe, request: RecipeRequest, examples: Sequence[Example]) -> list[Row]:
    """Each image, and what the recipe makes of it at even steps of its range; a row for each choice at least.

    In a row only the strength changes: what else is drawn (a place, a texture) stays.
    """
    choices = [*product(*recipe.ingredients)]
    rows = []
    for i in range(max(len(examples), len(choices))):
        example, choice = examples[i % len(examples)], choices[i % len(choices)]
        parts = np.linspace(1.0, 0.0, request.draws)[::-1].tolist()  # of one alone, the highest
        steps = [_at(choice, part) for part in parts]
        cells = [_strong(replace(recipe, seed=recipe.seed + i), request, example, step) for step in steps]
        rows.append(_row(example, [_named(each) for each in choice], cells))
    return rows


def _columns(recipe: Recipe, request: RecipeRequest) -> tuple[Column, ...]:
    group = "from its lowest strength to its highest" if request.strengths else "as the recipe changes it"
    nouns = sorted({_noun(each) for each in _overlays(recipe)}, reverse=True)
    if nouns:
        group = f"its {' and '.join(f'{noun}s' for noun in nouns)}; below, {group}"
    return (Column("unchanged"), *[Column(group)] * request.draws)


def _named(ingredient: Ingredient) -> str:
    """The operation, and what its strength counts."""
    overlay = ingredient.operation in OVERLAYS
    unit = "times as found" if overlay else find_operation(ingredient.operation).unit
    return f"{ingredient.operation}, {unit}"


def _at(choice: Choice, part: float) -> Choice:
    """The ingredients at one strength each, that part of the way from the lowest to the highest."""
    return tuple(_fixed(each, each.lowest + part * (each.highest - each.lowest)) for each in choice)


def _fixed(ingredient: Ingredient, strength: float) -> Ingredient:
    strength = max(strength, FAINTEST * ingredient.highest)
    return replace(ingredient, lowest=strength, highest=strength)


def _strong(recipe: Recipe, request: RecipeRequest, example: Example, step: Choice) -> Cell:
    fixed = build_recipe(
        [[each] for each in step],
        Coverage(1.0, recipe.seed, recipe.input_size, recipe.channels),
        {},
        request.recipe.parent,
    )
    (picture,) = draw_examples(fixed, [example.pixels], request.recipe.parent)
    return Cell(picture, (Line(" and ".join(f"{each.highest:.3g}" for each in step)),))


def _row(example: Example, details: Iterable[str], cells: Sequence[Cell]) -> Row:
    lines = [Line(text) for text in (example.label, *details) if text]
    return Row(_short(example.name), tuple(lines), (Cell(example.pixels), *cells))


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"...{name[-LONGEST_NAME + 3 :]}"


def _texture_rows(recipe: Recipe, request: RecipeRequest) -> list[Row]:
    """The textures of each overlay, as many as there are columns for."""
    rows = []
    for overlay in _overlays(recipe):
        files = overlay.textures[: request.draws]
        cells = [
            Cell(
                read_image(request.recipe.parent / file.path, None, recipe.channels),
                (Line(Path(file.path).stem),),
            )
            for file in files
        ]
        count = _of_files(overlay)
        details = (Line(count if len(files) == len(overlay.textures) else f"{len(files)} of {count}"),)
        rows.append(Row(overlay.operation, details, (None, *cells, *[None] * (request.draws - len(files)))))
    return rows


def _overlays(recipe: Recipe) -> list[Ingredient]:
    return [each for group in recipe.ingredients for each in group if each.textures]


def print_shown(console: Console, request: RecipeRequest, recipe: Recipe) -> None:
    """Print what the recipe does and where the sheet is."""
    console.print(f"The recipe: {summarise(recipe)}")
    console.print(f"Sheet: {request.out}")
