"""Commands about a recipe: recipe show, recipe check."""

from pathlib import Path
from typing import Annotated

import typer

from inspection.cli.app import console, recipe
from inspection.cli.options import (
    RecipeArgument,
    SheetOption,
    WhereOption,
    WorkspaceOption,
    open_given,
    settings_at_hand,
)


@recipe.command()
def show(
    name: RecipeArgument,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Images to draw it on: folders per class, or a table; default: the examples of its night, "
            "where they lie beside it."
        ),
    ] = None,
    out: SheetOption = Path("recipe.png"),
    count: Annotated[int, typer.Option(min=1, max=40, help="Images, a row each, evenly of all classes.")] = 6,
    draws: Annotated[int, typer.Option(min=1, max=12, help="Changed pictures beside each image.")] = 5,
    strengths: Annotated[
        bool,
        typer.Option(
            "--strengths",
            help="In place of random draws, even steps from the lowest strength to the highest.",
        ),
    ] = False,
    where: WhereOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Draw what a recipe does to images, on a contact sheet.

    The first column holds the images as they are, the others what the recipe
    makes of them, each time with another draw. A recipe that lays textures
    over the images shows these in the first rows:

    fmi recipe show recipe-20260102-1a2b3c4d-1.yaml --images parts/

    Is the strongest too strong? Add --strengths. In a workspace a failure mode's
    id will do in place of the file:

    fmi recipe show 20260102-1a2b3c4d-1 --strengths --out strengths.png
    """
    from inspection.pictures import recipe_sheet

    path = recipe_sheet.find_recipe(name, lambda: open_given(workspace))
    settings = settings_at_hand(workspace)
    request = recipe_sheet.RecipeRequest(path, out, images, where, count, draws, strengths, settings)
    drawn, _ = recipe_sheet.show_recipe(request)
    recipe_sheet.print_shown(console, request, drawn)


@recipe.command()
def check(name: RecipeArgument, workspace: WorkspaceOption = None) -> None:
    """Check that a recipe and its textures are whole and unchanged, and say in words what it does.

    Exit code 0: it can be used. Exit code 2: it cannot, and the message says why. Example:

    fmi recipe check recipes/recipe-20260102-1a2b3c4d-1.yaml
    """
    from inspection.pictures import recipe_sheet

    recipe_sheet.print_check(console, recipe_sheet.find_recipe(name, lambda: open_given(workspace)))
