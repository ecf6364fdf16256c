"""Commands that fill a workspace, ask it and empty it: init, register, train, evaluate, sql, prune, move."""

import json
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inspection.cli.app import app, console, errors
from inspection.cli.described import DescribedModel
from inspection.cli.options import (
    REFERENCE,
    AnswerOption,
    DecisionOption,
    GoodOption,
    JsonOption,
    MeanOption,
    ModelOption,
    NameOption,
    OwnArchitectureOption,
    OwnChannelsOption,
    OwnClassesOption,
    OwnSizeOption,
    PreprocessOption,
    SplitOption,
    StdOption,
    WeightsOption,
    WhereOption,
    WorkspaceOption,
    names_of,
    open_given,
    size_of,
    store_made,
    with_part,
)
from inspection.console import bytes_in_words
from inspection.errors import InspectionError
from inspection.findings import ReferenceImage, RegisteredModel
from inspection.workspace.folder import Workspace, create_workspace

if TYPE_CHECKING:
    from inspection.workspace.store import Store


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="The folder to make a workspace of.")]) -> None:
    """Make a workspace: settings, the DuckDB store, and folders for artifacts, reports and models."""
    workspace = create_workspace(folder)
    store_made(workspace)
    console.print(f"Workspace {workspace.root} is ready. Settings: {workspace.root / 'fmi.toml'}")
    console.print("Next: fmi register (you have a model) or fmi train IMAGES (you have labelled images).")


@app.command()
def register(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="The weights: a state dict saved by torch.save, safetensors, or an ONNX file."),
    ],
    architecture: OwnArchitectureOption,
    classes: OwnClassesOption,
    reference: Annotated[Path, REFERENCE],
    good: GoodOption = "",
    input_size: OwnSizeOption = "224",
    channels: OwnChannelsOption = 3,
    mean: MeanOption = "",
    std: StdOption = "",
    preprocess: PreprocessOption = "",
    decision: DecisionOption = "",
    name: NameOption = "",
    weights: WeightsOption = "",
    answer: AnswerOption = "",
    where: WhereOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Register the model that the line runs, with the images it was trained or validated on.

    Blame and matching compare errors with the reference images that the model classifies correctly, so
    its class order, input size and normalisation must be those it was trained with: the share of right
    answers printed at the end is the check.
    """
    from flows.progress import remark
    from inspection.inputs.image_sets import read_image_set
    from inspection.models import registry as models

    site = open_given(workspace)
    site.check_writable()
    named = with_part(architecture, answer)
    given = DescribedModel(named, checkpoint, classes, input_size, channels, mean, std)
    spec = given.spec(good, decision, preprocess)
    labelled = read_image_set(reference, where, tell=remark, limits=site.settings.tables)
    references = models.reference_images(labelled)
    record = models.register(site, spec, checkpoint, references, models.Origin(name=name), weights, remark)
    _keep_registered(site, record, models.as_decided(references, record.rule))


@app.command()
def train(
    images: Annotated[
        Path,
        typer.Argument(
            help="Folders per class (train/val/test folders are respected), or a table with image and label."
        ),
    ],
    good: GoodOption = "",
    architecture: Annotated[str, typer.Option("--architecture", "-a", help="Default: the setting.")] = "",
    input_size: Annotated[str, typer.Option(help="Pixels; default: the setting.")] = "",
    channels: Annotated[int, typer.Option(help="1 for grey images, 3 for RGB; 0 looks at the images.")] = 0,
    epochs: Annotated[int, typer.Option(min=0, help="Passes over the images; 0 takes the setting.")] = 0,
    where: WhereOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Train a model for those who have none, and register it with its images as the reference set."""
    from flows.progress import remark, step
    from inspection.inputs.image_sets import read_image_set
    from inspection.models import first_model
    from inspection.models import registry as models
    from inspection.models.training import forget_unfinished

    site = open_given(workspace)
    site.check_writable()
    labelled = read_image_set(images, where, tell=remark, limits=site.settings.tables)
    size = size_of(input_size) if input_size else None
    request = first_model.FirstModelRequest(names_of(good), architecture, size, channels, epochs)
    plan = first_model.plan_training(site.settings, labelled, request)
    with step("Reading the images", len(plan.train) + len(plan.validation)) as advance:
        data = first_model.load_splits(plan, advance)
    with step("Training", len(plan.train) * plan.epochs) as advance:
        network, spec = first_model.train(site.settings, plan, data, advance, site.unfinished)
    record = models.keep(site, network, spec, models.Origin(note=f"trained on {images}"))
    _keep_registered(site, record, plan.references)
    forget_unfinished(site.unfinished, first_model.UNFINISHED)


def _keep_registered(workspace: Workspace, record: RegisteredModel, references: list[ReferenceImage]) -> None:
    from fmi_engine.fitness import FEW
    from fmi_engine.probe import stages_of
    from inspection.evidence.room import room_for
    from inspection.models.registry import examined, load_model, reference_accuracy

    store = store_made(workspace)
    device = workspace.settings.compute.device
    layers = examined(workspace, record, references)
    accuracies = reference_accuracy(workspace, record, references)
    room = room_for(workspace.settings, load_model(workspace.root, record, device), references)
    store.add_model(record, references)
    console.print(f"Model {record.model_hash[:12]} is registered with {len(references)} reference images.")
    maps = [f"{each.name} ({each.channels} of {each.height} x {each.width})" for each in stages_of(layers)]
    console.print(f"  {len(layers)} layers with filters; the last of each size: {', '.join(maps)}")
    if len(layers) < FEW:
        errors.print(
            "Blame looks at layers whose code is maps of the image's positions, of which this network has "
            "few: it will say little about where in it an error arises. The causes, which also go by the "
            "look of the images, are named all the same.",
            style="yellow",
        )
    if record.bit_depth and record.bit_depth < 16:
        console.print(
            f"  16-bit images are read as {record.bit_depth} bits: {2**record.bit_depth - 1} is white; "
            "bit_depth under [images] in fmi.toml sets it otherwise"
        )
    settings = workspace.settings
    console.print(
        f"  a night takes about {bytes_in_words(room.batch_bytes)} of memory for {room.batch} images at "
        f"once, and {bytes_in_words(room.reference_bytes)} for reference images"
    )
    if room.batch < settings.compute.batch_size:
        errors.print(
            f"{settings.compute.batch_size} images at once (batch_size) would not fit in a quarter of this "
            f"machine's memory: {room.batch} are taken.",
            style="yellow",
        )
    if room.per_class < settings.reference.images_per_class:
        errors.print(
            f"{settings.reference.images_per_class} reference images of each class (images_per_class) would "
            f"not fit: {room.per_class} are taken.",
            style="yellow",
        )
    if record.decision:
        open_to = f"; '{record.rule.undecided}' are left to a person" if record.rule.undecided else ""
        console.print(f"  decides by {record.decision}: {' or '.join(record.class_names)}{open_to}")
    for split, (right, count, undecided) in accuracies.items():
        left = f", {undecided} left to a person" if undecided else ""
        console.print(f"  right on {right} of {count} {split} images ({right / count:.1%}){left}")
        if right <= 1.5 / len(record.class_names) * (count - undecided):
            errors.print(
                "That is hardly better than guessing: check the order of --classes, the input size, the "
                "normalisation and, where one is given, the decision.",
                style="yellow",
            )
    console.print("Next: fmi night LOG")


@app.command()
def evaluate(
    images: Annotated[Path, typer.Argument(help="Labelled images: folders per class, or a table.")],
    log: Annotated[Path, typer.Option(help="Where to write the log: .csv, .parquet or .jsonl.")],
    every: Annotated[
        bool, typer.Option("--all", help="Log the correct images too, not only errors.")
    ] = False,
    where: WhereOption = None,
    split: SplitOption = None,
    model: ModelOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Score labelled images with a registered model and write its errors as a defect log."""
    from flows.progress import remark, step
    from inspection.inputs.defect_log import write_defect_log
    from inspection.inputs.image_sets import read_image_set
    from inspection.models.scoring import score
    from inspection.workspace.store import Store

    site = open_given(workspace)
    record = Store(site.store_path).model(model)
    labelled = read_image_set(images, where, split, remark, site.settings.tables)
    with step("Scoring", len(labelled)) as advance:
        rows = score(site, record, labelled, advance)
    wrong = [row for row in rows if row["predicted_label"] != row["true_label"]]
    left = sum(row["predicted_label"] == record.rule.undecided for row in rows)
    undecided = f", {left} left to a person" if left else ""
    write_defect_log(log, rows if every else wrong)
    console.print(
        f"{len(rows) - len(wrong)} of {len(rows)} images right ({1 - len(wrong) / len(rows):.1%})"
        f"{undecided}; "
        f"{len(rows) if every else len(wrong)} rows written to {log}"
    )


@app.command()
def sql(
    query: Annotated[
        str, typer.Argument(help="A SELECT on the store; try: SHOW TABLES", show_default=False)
    ] = "",
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV, as a pipe or a file gets it by itself.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, an object for each row.")] = False,
    parquet: Annotated[
        Path | None,
        typer.Option(
            help="Write the rows into this Parquet file; without a SELECT every table and view, a file each, "
            "into this folder."
        ),
    ] = None,
    files: Annotated[
        bool,
        typer.Option(
            "--files",
            help="Let the SQL also read and write files as this user (read_csv, COPY TO, ATTACH) and change "
            "DuckDB's settings. Without it the SQL reaches the store and nothing else.",
        ),
    ] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Ask the DuckDB store of the findings anything: it is read, and nothing is written.

    SHOW TABLES lists what there is to ask, DESCRIBE errors the columns of a table.
    Which confusions come most often?

    fmi sql "SELECT true_label, predicted_label, count(*) AS n FROM errors GROUP BY ALL ORDER BY n DESC"

    On a terminal the rows are a table; where that is too wide to be read, one record
    stands below the other. What goes into a pipe or a file is CSV:

    fmi sql "FROM errors" > errors.csv
    """
    from inspection.cli import answer
    from inspection.workspace.store import Store

    if as_csv and as_json:
        raise InspectionError("--csv and --json are two forms of one answer; give one of them")
    if parquet:
        _write_parquet(Store(open_given(workspace).store_path), query, parquet)
        return
    if not query:
        raise InspectionError('give a SELECT, as fmi sql "SHOW TABLES"; fmi help store says what there is')
    store, drawn = Store(open_given(workspace).store_path), console.is_terminal and not (as_csv or as_json)
    if drawn:
        answer.show(console, errors, *store.query(query, files=files, most=answer.MOST_ROWS))
        return
    written = answer.as_json if as_json else answer.as_csv
    with ExitStack() as held:
        with store.answer(query, files=files) as found:
            text = held.enter_context(answer.kept(written(*found)))
        for piece in text:
            typer.echo(piece, nl=False)


def _write_parquet(store: "Store", query: str, path: Path) -> None:
    """Write an answer, or all of the store, as Parquet."""
    if not query:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InspectionError(f"--parquet {path} cannot be a folder: {error.strerror}") from None
    wanted = {path: query} if query else {path / f"{name}.parquet": f"FROM {name}" for name in store.names()}
    for target, sql_of in wanted.items():
        console.print(f"{target}: {store.write_parquet(sql_of, target)} rows")


@app.command()
def prune(
    older_than: Annotated[int, typer.Option(min=1, help="Days since a night began.", show_default=False)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go, and how many bytes.")
    ] = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Remove old nights with their pictures and reports, but none that anything rests on.

    What stays, however old: nights of which a reviewer has said something, for which a model was retrained,
    and the last of each model and line, with which the next is compared. Models, recipes of retrainings,
    verdicts, defect logs and images of the plant are never touched.
    """
    from inspection.nights import prune as retention
    from inspection.nights.night import open_site, settle

    site = open_site(open_given(workspace).root)
    settle(site)
    before = datetime.now(UTC) - timedelta(days=older_than)
    done = (retention.plan if dry_run else retention.prune)(site, before)
    if as_json:
        typer.echo(
            json.dumps(asdict(done) | {"bytes": done.bytes}, ensure_ascii=False, indent=2, default=str)
        )
        return
    for each in done.goes:
        console.print(f"{each.night_id}: {done.bytes_of[each.night_id] / 1e6:.1f} MB, {each.log_path}")
    for night_id in done.left:
        console.print(f"{night_id}: {done.bytes_of[night_id] / 1e6:.1f} MB, left when it was removed")
    for each in done.stays:
        console.print(f"{each.night_id} stays: {each.rests}")
    told = "would go" if dry_run else "are gone"
    console.print(f"{len(done.goes)} nights and {done.bytes / 1e6:.1f} MB of files {told}")


@app.command()
def move(
    old: Annotated[Path, typer.Argument(help="The folder as the store names it.", show_default=False)],
    new: Annotated[Path, typer.Argument(help="Where it lies now.", show_default=False)],
    workspace: WorkspaceOption = None,
) -> None:
    """Say that a folder of images lies elsewhere now: renamed, mounted elsewhere, on another share.

    The images that say what is normal for a model, and those of the errors that were found, are read from
    there. No image is touched, and what nights found stays. Where logs go on naming the old folder, write
    both into [defect_log.paths] of fmi.toml.
    """
    from inspection.nights.moved import move_images
    from inspection.nights.night import open_site

    done = move_images(open_site(open_given(workspace).root), old, new)
    console.print(f"{done.images} images are read from {new}; the files were not touched.")
    if done.absent:
        errors.print(
            f"{len(done.absent)} of them are not there, such as {done.absent[0]}",
            style="yellow",
            soft_wrap=True,
        )
