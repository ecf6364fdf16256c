"""Commands of the night: night, retrain, table, demo."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inspection.cli.app import NOTHING_READ, app, console, errors
from inspection.cli.options import (
    JsonOption,
    ModelOption,
    SplitOption,
    WhereOption,
    WorkspaceOption,
    open_given,
)
from inspection.cli.serving import prefect_at_hand
from inspection.findings import Arm
from inspection.nights.tables import Tool
from inspection.workspace.folder import create_workspace

if TYPE_CHECKING:
    from inspection.workspace.store import Store

DEMO = """\
# Settings of the demo, which takes less time with them. All others are as by default.
[training]
fine_tune_epochs = 4
fine_tune_steps = 100
"""
QUICK_DEMO = f"""\
{DEMO}[inversion]
filters = 4
sources = 2
denoiser_steps = 200
"""


@app.command()
def night(
    log: Annotated[Path, typer.Argument(help="The defect log: CSV, Parquet, JSON lines, or a DuckDB file.")],
    query: Annotated[
        str | None, typer.Option(help="For a DuckDB file: the SELECT that gives the log.")
    ] = None,
    model: ModelOption = None,
    again: Annotated[bool, typer.Option(help="Run anew although this night is finished already.")] = False,
    line: Annotated[
        str, typer.Option(help="A line of fmi.toml, whose settings and model it has.", show_default=False)
    ] = "",
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Diagnose a defect log: blame, texture primitives, the cause, a recipe, and a report.

    The same log with the same model and settings is the same night: started again, it resumes after the
    last finished step, or shows what it found. Bad rows are set aside with the reason. A night that could
    read no error of its log leaves with exit code 3, and reads again when it is started again.
    """
    from inspection.findings import NightState
    from inspection.nights.night import finished, missing_files, open_site
    from inspection.nights.summary import summary

    site, log = open_given(workspace), log.absolute()  # Prefect runs in a folder of its own
    opened = open_site(site.root, line)
    done = finished(opened, log, model, query)
    if done is None or again or missing_files(opened, done):
        with prefect_at_hand(site):
            from flows.night import night as night_flow

            night_id = night_flow(str(site.root), str(log), model, query, again, line)
        done = opened.store.night(night_id)
    if as_json:
        typer.echo(json.dumps(summary(done, site), ensure_ascii=False, indent=2))
    else:
        from inspection.nights.terminal import print_night

        print_night(console, done, site)
    if done.state is NightState.UNREADABLE:
        raise typer.Exit(NOTHING_READ)


@app.command()
def retrain(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Failure modes (20260102-1a2b3c4d-1), nights (20260102-1a2b3c4d), or the defect log of a "
            "night; default: the newest night.",
            show_default=False,
        ),
    ] = None,
    holdout: Annotated[
        Path | None,
        typer.Option(
            help="Labelled images of the line as it is now, not in the log: they judge the candidate."
        ),
    ] = None,
    where: WhereOption = None,
    split: SplitOption = None,
    arm: Annotated[
        Arm | None, typer.Option(help="Train this one, without a competition.", show_default=False)
    ] = None,
    again: Annotated[bool, typer.Option(help="Retrain although the very same was made before.")] = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Mend the deployed model of a night's failures, judge the candidate model, and touch nothing else.

    Four ways compete, the cheapest first: normalisation statistics of the logged images (first aid), the
    recipes of all claimed failure modes, the logged images with the operators' labels, and both. Each is
    judged by logged errors of parts that it was not shown, and by what it has to keep; the best that harms
    nothing is trained in full. So a recipe for a wrong cause costs nothing.

    The gate then accepts the candidate, rejects it, or says how many more images it takes to tell. With
    --holdout it judges the repair on those, else by cross-validation on the logged errors. After that:
    fmi promote. A run that was killed goes on where it stood.
    """
    from dataclasses import asdict

    from inspection.nights.terminal import newest_night, print_retraining
    from inspection.workspace.store import Store

    site = open_given(workspace)
    store = Store(site.store_path)
    judging = str(holdout.absolute()) if holdout else None  # Prefect runs in a folder of its own
    chosen = [_target(each, store) for each in targets or [newest_night(store)]]
    with prefect_at_hand(site):
        from flows.retrain import retrain as retrain_flow

        done_id = retrain_flow(str(site.root), chosen, judging, where, split, arm and arm.value, again)
    (done,) = store.retrainings(retraining_id=done_id)
    if as_json:
        typer.echo(json.dumps(asdict(done), ensure_ascii=False, indent=2, default=str))
    else:
        print_retraining(console, done)


def _target(given: str, store: "Store") -> str:
    """A failure mode or a night as it was given; of a defect log the newest night over it."""
    from inspection.errors import StoreError
    from inspection.workspace.files import sha256_of

    path = Path(given)
    if path.suffix and not path.is_file():  # ids have none
        raise StoreError(f"{given}: there is no such defect log; name a log, a night or a failure mode")
    if not path.is_file():
        return given

    night_id = store.night_over(sha256_of(path))
    if night_id is None:
        raise StoreError(f"no night over {path} has found a failure mode; run `fmi night {path}` first")
    return night_id


@app.command()
def table(
    tool: Annotated[Tool, typer.Option("--format", help="Who reads it.", show_default=False)],
    target: Annotated[
        str | None,
        typer.Argument(
            help="A night (20260102-1a2b3c4d), a failure mode (20260102-1a2b3c4d-1), or the defect log of a "
            "night; default: the newest night with a failure mode.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for the files; it is made.")] = Path("fmi-table"),
    copies: Annotated[
        bool,
        typer.Option(
            "--copy",
            help="Copy the images into the folder, which can then be moved; else the table names them where "
            "they lie.",
        ),
    ] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Write a night's errors as a table for FiftyOne, Renumics Spotlight or CleanVision.

    With labels, cause, verdicts and what the log says of each error. Beside the table goes a script that
    opens it in that tool, which is installed apart from fmi:

    fmi table --format spotlight --out errors && python errors/open.py
    """
    from inspection.nights.tables import Errors, write_table
    from inspection.nights.terminal import newest_night
    from inspection.workspace.store import Store

    site = open_given(workspace)
    store = Store(site.store_path)
    chosen = _target(target, store) if target else newest_night(store)
    written = write_table(Errors.of(store, site, chosen), tool, out, copies)
    for path in written.files:
        console.print(f"{path}")
    console.print(f"{written.errors} errors of {chosen}")
    if written.missing:
        errors.print(
            f"{written.missing} of their images are no longer where the log says; the column `picture` names "
            "what the night kept of them",
            style="yellow",
        )
    console.print(f"Open it with: python {written.files[0]}")


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where the demo's workspace and images go.")] = Path(
        "fmi-demo"
    ),
    quick: Annotated[
        bool, typer.Option(help="Smaller images and fewer of everything: some minutes.")
    ] = False,
) -> None:
    """Show the main job on a rendered production line with a known cause: no data of yours is needed.

    Trains a small model, ages the lamp and changes the finish, logs the errors, runs the nights,
    retrains, and prints what was found, before and after, and the report's path.
    """
    workspace = create_workspace(folder, QUICK_DEMO if quick else DEMO)
    with prefect_at_hand(workspace):
        from flows.demo import run_demo

        run_demo(console, workspace, quick)
