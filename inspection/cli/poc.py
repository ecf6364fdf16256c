"""The command of a plant's first month: poc."""

import json
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmi_engine.errors import EngineError
from inspection.cli.app import app, console, errors
from inspection.cli.options import (
    REFERENCE,
    DecisionOption,
    GoodOption,
    JsonOption,
    MeanOption,
    NameOption,
    OwnArchitectureOption,
    OwnChannelsOption,
    OwnClassesOption,
    OwnSizeOption,
    PreprocessOption,
    StdOption,
    WeightsOption,
    WhereOption,
    WorkspaceOption,
    open_given,
    store_made,
)
from inspection.cli.serving import prefect_at_hand
from inspection.cli.workspace import register
from inspection.errors import InspectionError, WorkspaceError
from inspection.workspace.folder import SETTINGS_FILE, Workspace, create_workspace, find_workspace

if TYPE_CHECKING:
    from inspection.nights.poc import Begun, Poc
    from inspection.workspace.store import Store

NEW = "fmi-poc"  # the folder of the workspace that is made where there is none
OWN_LOG = "labelled-images.csv"  # the log that is made of labelled images, where the plant has none


@app.command()
def poc(
    given: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="MODEL FOLDER",
            help="To begin: the weights to register, and the folder of the plant's logs and images; the "
            "folder alone where the workspace has a model. Nothing: go on.",
            show_default=False,
        ),
    ] = None,
    asked: Annotated[
        str, typer.Option(help="The plant's question, in a sentence: it stands on the paper.")
    ] = "",
    start: Annotated[
        str, typer.Option(help="The first day of the four weeks, as 2026-12-01; default: today.")
    ] = "",
    only_show: Annotated[
        bool, typer.Option("--show", help="Read no log; only show where the plan stands.")
    ] = False,
    architecture: OwnArchitectureOption = "",
    classes: OwnClassesOption = "",
    reference: Annotated[Path | None, REFERENCE] = None,
    good: GoodOption = "",
    input_size: OwnSizeOption = "224",
    channels: OwnChannelsOption = 3,
    mean: MeanOption = "",
    std: StdOption = "",
    preprocess: PreprocessOption = "",
    decision: DecisionOption = "",
    name: NameOption = "",
    weights: WeightsOption = "",
    where: WhereOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Lead a plant through its first month: look, confirm, retrain, judge, a week each.

    Begin it with a model, described as for fmi register, and the folder of the plant's defect logs:

    fmi poc resnet18.pt plant/ -a resnet18 --classes good,scratch,pit --good good --reference parts/

    It makes a workspace, registers the model and reads the logs, by name, one
    night each. Where the folder holds labelled images and no log, the model's
    errors on them are the log.

    Afterwards fmi poc alone reads what has come since, says what is done, due
    and late and what to do next, and writes a paper of two or three sheets that
    asks for it, with the figures measured so far, in the language of the reports.
    """
    from inspection.nights.paper import write_paper
    from inspection.nights.poc import look
    from inspection.nights.terminal import print_poc
    from inspection.workspace.store import Store

    named = given or []
    if len(named) > 2:
        raise InspectionError(f"fmi poc takes a model and a folder, or a folder; {len(named)} were given")
    first_day, folder = _day(start), _folder(named[-1]) if named else None
    if len(named) == 2 and not (architecture and classes and reference):
        raise InspectionError(
            f"to register {named[0]}, give --architecture, --classes and --reference, as for fmi register"
        )
    site = _workspace(workspace, new=len(named) == 2)
    store = Store(site.store_path)
    if len(named) == 2 and reference:
        register(
            named[0],
            architecture=architecture,
            classes=classes,
            reference=reference,
            good=good,
            input_size=input_size,
            channels=channels,
            mean=mean,
            std=std,
            preprocess=preprocess,
            decision=decision,
            name=name,
            weights=weights,
            where=where,
            workspace=site.root,
        )
    begun = _begun(site, store, folder, first_day, asked)
    failed = 0 if only_show else _read_logs(site, store, begun)
    stands = look(site, store, begun, _today())
    paper = write_paper(stands, site)
    if as_json:
        typer.echo(json.dumps(_summary(stands, paper), ensure_ascii=False, indent=2, default=str))
    else:
        print_poc(console, stands, paper)
        if not Path.cwd().is_relative_to(site.root):
            console.print(f"All of these commands are typed in {site.root}, or with --workspace {site.root}")
    if failed:
        raise typer.Exit(2)


def _today() -> date:
    """By the plant's clock."""
    return datetime.now().astimezone().date()


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text) if text else _today()
    except ValueError:
        raise InspectionError(f"--start is {text!r}; expected a day such as 2026-12-01") from None


def _folder(given: Path) -> Path:
    if not given.is_dir():
        kind = "is a file" if given.exists() else "does not exist"
        raise InspectionError(
            f"{given} {kind}; expected the folder that holds the plant's defect logs and images"
        )
    return given.resolve()


def _workspace(given: Path | None, *, new: bool) -> Workspace:
    """The workspace given or the nearest; where a model is given, one that is made if there is none."""
    site = _made(given) if new else open_given(given)
    store_made(site)
    return site


def _made(given: Path | None) -> Workspace:
    if given:
        return create_workspace(given)
    try:
        return find_workspace(Path.cwd())
    except WorkspaceError:
        if any((folder / SETTINGS_FILE).exists() for folder in (Path.cwd(), *Path.cwd().parents)):
            raise  # there is one, and it cannot be opened
        return create_workspace(Path.cwd() / NEW)


def _begun(site: Workspace, store: "Store", folder: Path | None, day: date, asked: str) -> "Begun":
    """The month that goes on, or that begins with a folder."""
    from inspection.nights.poc import Begun, begin, begun_in

    if folder:
        store.model()  # else it says that one has to be registered first
        begin(site, Begun(started=day, folder=folder, asked=asked))
    begun = begun_in(site)
    if begun is None:
        raise WorkspaceError(
            f"no first month has begun in {site.root}: begin it with `fmi poc FOLDER`, where FOLDER holds "
            "the plant's defect logs and images"
        )
    return begun


def _read_logs(site: Workspace, store: "Store", begun: "Begun") -> int:
    """Read the logs that no night has read yet; return how many nights failed, which others follow."""
    from inspection.nights.poc import look

    _log_of_images(site, store, begun)
    unread, failed = look(site, store, begun, _today()).unread, 0
    if not unread:
        return 0
    with prefect_at_hand(site):
        from flows.night import night as night_flow

        for number, log in enumerate(unread, 1):
            errors.print(f"Log {number} of {len(unread)}: {log}")
            try:
                night_flow(str(site.root), str(log))
            except (InspectionError, EngineError) as error:
                errors.print(f"{log} could not be read: {error}", style="yellow")
                failed += 1
    return failed


def _log_of_images(site: Workspace, store: "Store", begun: "Begun") -> None:
    """Where the plant has labelled images and no log: write the log of the model's answers on them, once.

    Images that the model was trained or validated on say nothing of the line, and are left out.
    """
    from flows.progress import remark, step
    from inspection.errors import ImageSetError
    from inspection.inputs.defect_log import write_defect_log
    from inspection.inputs.image_sets import read_image_set
    from inspection.inputs.log_folder import find_logs
    from inspection.nights.poc import OWN_LOGS

    own = site.root / OWN_LOGS / OWN_LOG
    if own.exists() or find_logs((begun.folder,), site.settings).logs:
        return
    try:
        labelled = read_image_set(begun.folder, tell=remark, limits=site.settings.tables)
    except ImageSetError as error:
        remark(f"{begun.folder} holds no defect log, and no labelled images in its place: {error}")
        return
    model = store.model()
    known = {each.image_path for each in store.references(model.model_hash)}
    fresh = [each for each in labelled if str(each.path) not in known]
    if not fresh:
        remark(
            f"{begun.folder} holds no defect log, and its {len(labelled)} labelled images are the model's own"
        )
        return
    from inspection.models.scoring import score  # loads torch

    with step("Scoring", len(fresh)) as advance:
        rows = score(site, model, fresh, advance)
    own.parent.mkdir(exist_ok=True)
    write_defect_log(own, rows)
    remark(f"{begun.folder} holds no defect log: {own} is made of its {len(fresh)} labelled images")


def _summary(stands: "Poc", paper: Path) -> dict[str, object]:
    """What `fmi poc --json` prints: plain values, paths absolute."""
    from inspection.nights.poc import ask_in_words, asked_for, command_for, steps

    return {
        "started": stands.begun.started,
        "folder": stands.begun.folder,
        "week": stands.week,
        "steps": [asdict(each) for each in steps(stands)],
        "logs": [log.path for log in stands.logs.logs],
        "unread": stands.unread,
        "asked_for": asked_for(stands).value,
        "said": ask_in_words(stands),
        "command": command_for(stands),
        "trial": asdict(stands.trial) if stands.trial else None,
        "paper": paper,
    }
