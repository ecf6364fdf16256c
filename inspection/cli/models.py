"""Commands of the registry: models, promote, rollback, export."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inspection.cli.app import app, console, errors
from inspection.cli.options import JsonOption, WorkspaceOption, open_given

if TYPE_CHECKING:
    from inspection.findings import Promotion
    from inspection.workspace.folder import Workspace
    from inspection.workspace.store import Store

ReasonOption = Annotated[
    str, typer.Option(help="Why, in a sentence: it stays on record.", show_default=False)
]
AuthorOption = Annotated[
    str, typer.Option("--by", help="Who decides; default: the user who runs this.", show_default=False)
]
ModelArgument = Annotated[
    str | None,
    typer.Argument(help="A version (v3) or the beginning of a hash, as `fmi models` lists them."),
]


@app.command()
def models(as_json: JsonOption = False, workspace: WorkspaceOption = None) -> None:
    """List the models with their versions and origin, and who deployed which of them, when and why."""
    from dataclasses import asdict

    from inspection.nights.terminal import print_models
    from inspection.workspace.store import Store

    store = Store(open_given(workspace).store_path)
    if as_json:
        found = {
            "models": [asdict(each) for each in store.models()],
            "promotions": [asdict(each) for each in store.promotions()],
        }
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2, default=str))
    else:
        print_models(console, store)


@app.command()
def promote(
    model: ModelArgument = None,
    reason: ReasonOption = "",
    author: AuthorOption = "",
    anyway: Annotated[
        bool, typer.Option(help="Although the gate did not accept it; that stays on record, too.")
    ] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Make a candidate the deployed model, which the next night takes; default: the newest accepted one.

    It keeps the reference images of the model that it was retrained from, and the logged images that it was
    retrained with. fmi rollback goes back.
    """
    from inspection.models import promotion
    from inspection.workspace.store import Store

    site = open_given(workspace)
    store = Store(site.store_path)
    entry = promotion.promote(store, model, author, reason, anyway)
    _tell(site, store, entry)
    now = store.model(entry.model_hash)
    console.print(f"{now.called} ({now.model_hash[:12]}) is the deployed model now, by {entry.author}.")
    console.print("Next: fmi export, and fmi night with the next log")


@app.command()
def rollback(
    reason: ReasonOption = "",
    name: Annotated[
        str,
        typer.Option(
            help="Of the models that go back, where models of several names are deployed: all models of a "
            "line share one.",
            show_default=False,
        ),
    ] = "",
    author: AuthorOption = "",
    workspace: WorkspaceOption = None,
) -> None:
    """Go back to the model that was deployed before; once more goes back one further.

    The models of other names stay as they are.
    """
    from inspection.models import promotion
    from inspection.workspace.store import Store

    site = open_given(workspace)
    store = Store(site.store_path)
    entry = promotion.roll_back(store, author, reason, name=name)
    _tell(site, store, entry)
    now = store.model(entry.model_hash)
    console.print(f"{now.called} ({now.model_hash[:12]}) is the deployed model again, by {entry.author}.")


def _tell(site: "Workspace", store: "Store", entry: "Promotion") -> None:
    """Tell it in the reports, and log it to MLflow, where the settings name one.

    A report that cannot be written and a server that is not there stop nobody.
    """
    from inspection.errors import InspectionError
    from inspection.models.tracking import track
    from inspection.nights.decisions import nights_of_models
    from inspection.nights.report import rewrite_report

    try:
        for night_id in nights_of_models(store, entry.model_hash, entry.previous_hash):
            rewrite_report(site, lambda: store, night_id)
        track(site, store)
    except InspectionError as error:
        errors.print(f"{error}", style="yellow")


@app.command()
def export(
    model: ModelArgument = None,
    out: Annotated[Path, typer.Option(help="The folder for the files; it is made.")] = Path("fmi-model"),
    workspace: WorkspaceOption = None,
) -> None:
    """Write a model for another system: weights with a loader of ten lines, ONNX, and a model card.

    Default: the deployed model. The ONNX file holds the classes, the preprocessing and the decision rule in
    its metadata, and is compared with torch on reference images before it is written. It needs fmi[onnx].
    """
    from inspection.models.export import export as write
    from inspection.workspace.store import Store

    site = open_given(workspace)
    store = Store(site.store_path)
    done = write(site, store, store.model(model), out)
    for path in done.files:
        console.print(f"{path}")
    if done.difference is not None:
        console.print(f"ONNX Runtime agrees with torch within {done.difference:.1g} of a logit")
    if done.note:
        console.print(done.note)
