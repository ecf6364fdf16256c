"""Commands of the night: night, retrain, demo."""

import json
from pathlib import Path
from typing import Annotated

import typer

from inspection.cli.app import NOTHING_READ, app, console
from inspection.cli.options import (
    JsonOption,
    ModelOption,
    SplitOption,
    WhereOption,
    WorkspaceOption,
    open_given,
)
from inspection.cli.serving import prefect_at_hand
from inspection.workspace.folder import create_workspace

QUICK_DEMO = """\
# Settings of the quick demo, which takes less time with them. All others are as by default.
[inversion]
sources = 2
denoiser_steps = 400
"""


@app.command()
def night(
    log: Annotated[Path, typer.Argument(help="The defect log: CSV, Parquet, JSON lines, or a DuckDB file.")],
    query: Annotated[
        str | None, typer.Option(help="For a DuckDB file: the SELECT that gives the log.")
    ] = None,
    model: ModelOption = None,
    again: Annotated[bool, typer.Option(help="Run anew although this night is finished already.")] = False,
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
    opened = open_site(site.root)
    done = finished(opened, log, model, query)
    if done is None or again or missing_files(opened, done):
        with prefect_at_hand(site):
            from flows.night import night as night_flow

            night_id = night_flow(str(site.root), str(log), model, query, again)
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
    mode: Annotated[
        str | None,
        typer.Argument(help="A failure mode, e.g. 20260102-1a2b3c4d-1; default: the newest night's."),
    ] = None,
    holdout: Annotated[
        Path | None,
        typer.Option(help="Labelled images like the failing ones, not in the log, that judge the candidate."),
    ] = None,
    where: WhereOption = None,
    split: SplitOption = None,
    logged_images: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="How many logged images join the training set with the operators' labels; "
            "default: none with a recipe, half of them without one.",
        ),
    ] = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Fine-tune the registered model with the recipe of a failure mode and judge the candidate model.

    The deployed model is not touched. Without --holdout, logged images that are not trained on judge the
    repair. Where no cause was claimed there is no recipe: half of the logged images join the training set
    instead, and the other half judge - check their labels first.
    """
    from dataclasses import asdict

    from inspection.nights.terminal import newest_mode, print_retraining
    from inspection.workspace.store import Store

    site = open_given(workspace)
    store = Store(site.store_path)
    chosen = mode or newest_mode(store)
    judging = str(holdout.absolute()) if holdout else None  # Prefect runs in a folder of its own
    with prefect_at_hand(site):
        from flows.retrain import retrain as retrain_flow

        done_id = retrain_flow(str(site.root), chosen, judging, where, split, logged_images)
    done = next(each for each in store.retrainings(chosen) if each.retraining_id == done_id)
    if as_json:
        typer.echo(json.dumps(asdict(done), ensure_ascii=False, indent=2, default=str))
    else:
        print_retraining(console, done)


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
    workspace = create_workspace(folder, QUICK_DEMO if quick else None)
    with prefect_at_hand(workspace):
        from flows.demo import run_demo

        run_demo(console, workspace, quick)
