"""The command line, `fmi`: one command for each thing a plant does."""

import atexit
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fmi_engine.errors import EngineError
from inspection.errors import FlowError, InspectionError, WorkspaceError, interrupted
from inspection.workspace import Workspace, create_workspace, find_workspace

if TYPE_CHECKING:  # torch takes a second to import, and most commands do without
    from inspection.pictures import Model

app = typer.Typer(
    help="Learn every night why a visual-inspection model was wrong, and mend exactly that.\n\n"
    "First steps: fmi demo shows all of it on a rendered line. With your own data: fmi init, then "
    "fmi register (or fmi train), then fmi night LOG, then fmi serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
INTERRUPTED = 130  # exit code after Ctrl+C
bench = typer.Typer(help="Measurements of the method on your own images.", no_args_is_help=True)
app.add_typer(bench, name="bench")
recipe = typer.Typer(
    help="Look at an augmentation recipe, and check it, before you use it.", no_args_is_help=True
)
app.add_typer(recipe, name="recipe")
console = Console()
errors = Console(stderr=True)

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace", "-w", help="The workspace; by default this folder or the nearest above that is one."
    ),
]
WhereOption = Annotated[
    str | None,
    typer.Option(help="A SQL condition on the columns of the images' table, e.g. \"cell_type = 'mono'\"."),
]
SplitOption = Annotated[str | None, typer.Option(help="Only this split of the images: train, val or test.")]
GoodOption = Annotated[
    str,
    typer.Option(help="The classes that mean a good part, by comma: tells escapes from overkills."),
]
DeviceOption = Annotated[
    str, typer.Option(help="auto, cpu, cuda or cuda:1; default: the workspace's setting, or auto.")
]
PresetOption = Annotated[
    str,
    typer.Option(help="How the descent runs: default, or as published: paper (slow) or mahendran."),
]
_DESCRIBED = "A model in no workspace"
ArchitectureOption = Annotated[
    str,
    typer.Option(
        "--architecture",
        "-a",
        help="A torchvision name, or your own module:function. Goes with --checkpoint and --classes.",
        rich_help_panel=_DESCRIBED,
    ),
]
CheckpointOption = Annotated[
    Path | None,
    typer.Option(help="Its weights: a state dict saved by torch.save.", rich_help_panel=_DESCRIBED),
]
ClassesOption = Annotated[
    str,
    typer.Option(help="Its classes by comma, in the order of the logits.", rich_help_panel=_DESCRIBED),
]
SizeOption = Annotated[
    str,
    typer.Option(
        help="Its input in pixels: one number, or HEIGHTxWIDTH; default 224.", rich_help_panel=_DESCRIBED
    ),
]
ChannelsOption = Annotated[
    int,
    typer.Option(
        help="1 if it takes grey images, 3 for RGB; default 3.",
        show_default=False,
        rich_help_panel=_DESCRIBED,
    ),
]
NormalisationOption = Annotated[
    str,
    typer.Option(help="Its normalisation by comma, as for fmi register.", rich_help_panel=_DESCRIBED),
]
ModelOption = Annotated[
    str | None, typer.Option(help="A registered model's hash; default: the newest deployed.")
]
SheetOption = Annotated[Path, typer.Option(help="The contact sheet, a PNG file.")]
RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="The recipe's YAML file, or the id of the failure mode it was written for."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result for a script.")]


def main() -> None:
    """Run the command line and leave with its exit code."""
    _quiet_parts()
    code = run()
    if "prefect" in sys.modules:
        _leave(code)
    sys.exit(code)


def run() -> int:
    """Run one command; every error a user can cause ends in one message and exit code 2."""
    try:
        left = app(standalone_mode=False)
    except (InspectionError, EngineError) as error:
        errors.print(f"[bold red]fmi:[/] {escape(str(error))}", soft_wrap=True)
        return 2
    except (typer.Abort, KeyboardInterrupt):
        left = INTERRUPTED
    except Exception as error:  # the last net: a usage error of the command line, or a fault of ours
        if not interrupted(error):
            return _usage_or_crash(error)
        left = INTERRUPTED
    if left == INTERRUPTED:  # typer, too, turns Ctrl+C into this exit code
        word = "fmi: interrupted; what was finished is kept, and the same command goes on from there"
        errors.print(word, soft_wrap=True)
    return left if isinstance(left, int) else 0


def _leave(code: int) -> None:
    """Leave after what Prefect registered for the exit has run, without tearing the interpreter down.

    Prefect's threads outlive the exit and hold DuckDB's classes, whose teardown would then print pages
    of warnings about leaks to the user.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl+C would break off the cleaning up
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _usage_or_crash(error: Exception) -> int:
    show = getattr(error, "show", None)  # click's own usage errors know how to print themselves
    if show is not None:
        show()
        return 2
    path = _crash_file()
    errors.print(
        f"[bold red]fmi:[/] something went wrong that this software did not expect: {type(error).__name__}: "
        f"{escape(str(error))}. Details are in {path}; nothing that was finished is lost.",
        soft_wrap=True,
    )
    return 1


def _crash_file() -> str:
    name = f"fmi-crash-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.txt"
    for folder in (Path.cwd(), Path(os.environ.get("TMPDIR", "/tmp"))):
        try:
            (folder / name).write_text(traceback.format_exc(), encoding="utf-8")
        except OSError:
            continue
        return str(folder / name)
    return "no file, because none could be written"


def _quiet_parts() -> None:
    """Settings that the parts read from the environment, before any of them is imported."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # busy waiting starves whatever else runs here
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # errors are told here, once, in words
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # so that `module:function` finds the user's own file


def _workspace(given: Path | None) -> Workspace:
    if given and not given.is_dir():
        raise WorkspaceError(f"--workspace {given}: there is no such folder; make it with `fmi init {given}`")
    return find_workspace(given or Path.cwd())


@contextmanager
def _flows(workspace: Workspace, *, own_server: bool = True) -> Iterator[None]:
    """Run Prefect at home in the workspace, or against the server that PREFECT_API_URL names.

    With `own_server`, a server of this command's own keeps book while the block lasts. It ends with the
    command, killed or not, which the temporary one that Prefect would start by itself does not.
    """
    workspace.check_writable()
    os.environ.setdefault("PREFECT_HOME", str(workspace.prefect_home))
    os.environ.setdefault("PREFECT_LOCAL_STORAGE_PATH", str(workspace.prefect_home / "results"))
    url = os.environ.get("PREFECT_API_URL")
    if url:
        from flows.server import answers

        if not answers(url):
            raise FlowError(
                f"no Prefect server answers at {url} (PREFECT_API_URL). "
                "Start it with `prefect server start`, or unset PREFECT_API_URL: "
                "fmi then runs a server of its own."
            )
    logging.getLogger("prefect").setLevel(logging.CRITICAL)
    if url or not own_server:
        yield
        return
    from flows.server import free_port, prefect_server

    with ExitStack() as running:
        with errors.status("Starting Prefect ..."):
            own = prefect_server(workspace.prefect_home, free_port(), services=False)
            os.environ["PREFECT_API_URL"] = running.enter_context(own)
        running.callback(os.environ.pop, "PREFECT_API_URL")
        yield


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="The folder to make a workspace of.")]) -> None:
    """Make a workspace: settings, the DuckDB store, and folders for artifacts, reports and models."""
    from inspection.store import Store

    workspace = create_workspace(folder)
    Store(workspace.store_path).create()
    console.print(
        f"Workspace {workspace.root} is ready. Settings: {workspace.root / 'fmi.toml'}", soft_wrap=True
    )
    console.print("Next: fmi register (you have a model) or fmi train IMAGES (you have labelled images).")


@app.command()
def register(
    checkpoint: Annotated[Path, typer.Argument(help="The weights: a state dict saved by torch.save.")],
    architecture: Annotated[
        str,
        typer.Option(
            "--architecture", "-a", help="A torchvision name such as resnet18, or your own module:function."
        ),
    ],
    classes: Annotated[str, typer.Option(help="Class names by comma, in the order of the logits.")],
    reference: Annotated[
        Path,
        typer.Option(
            help="Labelled images the model was trained or validated on: folders per class, or a table."
        ),
    ],
    good: GoodOption = "",
    input_size: Annotated[str, typer.Option(help="Pixels: one number, or HEIGHTxWIDTH.")] = "224",
    channels: Annotated[int, typer.Option(help="1 for grey images, 3 for RGB.")] = 3,
    mean: Annotated[
        str,
        typer.Option(
            help="Normalisation by comma, of values in 0 to 1. Default: ImageNet's, or 0.5 for grey."
        ),
    ] = "",
    std: Annotated[str, typer.Option(help="Normalisation by comma. Default: ImageNet's; grey: 0.5.")] = "",
    where: WhereOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Register the model that the line runs, with the images it was trained or validated on.

    Blame and matching compare errors with the reference images that the model classifies correctly, so
    its class order, input size and normalisation must be those it was trained with: the share of right
    answers printed at the end is the check.
    """
    from fmi_engine.classifier import Preprocessing
    from inspection import models
    from inspection.image_sets import read_image_set

    site = _workspace(workspace)
    site.check_writable()
    height, width = _size(input_size)
    means, stds = _normalisation(channels, mean, std)
    spec = models.ModelSpec(
        architecture, _names(classes), _names(good), Preprocessing(height, width, channels, means, stds)
    )
    references = models.reference_images(read_image_set(reference, where))
    record = models.register(site, spec, checkpoint, references)
    _keep_registered(site, record, references)


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
    from flows.progress import step
    from inspection import first_model, models
    from inspection.image_sets import read_image_set

    site = _workspace(workspace)
    site.check_writable()
    labelled = read_image_set(images, where)
    plan = first_model.plan(
        site.settings,
        labelled,
        _names(good),
        architecture,
        _size(input_size) if input_size else None,
        channels,
        epochs,
    )
    with step("Reading the images", len(plan.train) + len(plan.validation)) as advance:
        data = first_model.load(plan, advance)
    with step("Training", len(plan.train) * plan.epochs) as advance:
        network, spec = first_model.train(site.settings, plan, data, advance)
    record = models.keep(site, network, spec, note=f"trained on {images}")
    _keep_registered(site, record, plan.references)


def _keep_registered(workspace: Workspace, record: object, references: object) -> None:
    from inspection.findings import ReferenceImage, RegisteredModel
    from inspection.models import reference_accuracy
    from inspection.store import Store

    assert isinstance(record, RegisteredModel)
    assert isinstance(references, list)
    held: list[ReferenceImage] = references
    store = Store(workspace.store_path)
    store.create()
    store.add_model(record, held)
    console.print(f"Model {record.model_hash[:12]} is registered with {len(held)} reference images.")
    for split, (right, count) in reference_accuracy(workspace, record, held).items():
        console.print(f"  right on {right} of {count} {split} images ({right / count:.1%})")
        if right / count <= 1.5 / len(record.class_names):
            errors.print(
                "[yellow]That is hardly better than guessing: check the order of --classes, the input size "
                "and the normalisation.[/]"
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
    from flows.progress import step
    from inspection.defect_log import write_defect_log
    from inspection.evaluation import score
    from inspection.image_sets import read_image_set
    from inspection.store import Store

    site = _workspace(workspace)
    record = Store(site.store_path).model(model)
    labelled = read_image_set(images, where, split)
    with step("Scoring", len(labelled)) as advance:
        rows = score(site, record, labelled, advance)
    wrong = [row for row in rows if row["predicted_label"] != row["true_label"]]
    write_defect_log(log, rows if every else wrong)
    console.print(
        f"{len(rows) - len(wrong)} of {len(rows)} images right ({1 - len(wrong) / len(rows):.1%}); "
        f"{len(rows) if every else len(wrong)} rows written to {log}"
    )


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
    last finished step, or shows what it found. Bad rows are set aside with the reason.
    """
    from inspection.nights import check_start, open_site, summary
    from inspection.store import Store

    site = _workspace(workspace)
    check_start(open_site(site.root), log, model)
    with _flows(site):
        from flows.night import night as night_flow

        night_id = night_flow(str(site.root), str(log.absolute()), model, query, again)
    done = Store(site.store_path).night(night_id)
    if as_json:
        typer.echo(json.dumps(summary(done, site), ensure_ascii=False, indent=2))
    else:
        from inspection.summaries import print_night

        print_night(console, done, site)


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

    from inspection.store import Store
    from inspection.summaries import newest_mode, print_retraining

    site = _workspace(workspace)
    store = Store(site.store_path)
    chosen = mode or newest_mode(store)
    with _flows(site):
        from flows.retrain import retrain as retrain_flow

        done_id = retrain_flow(
            str(site.root), chosen, str(holdout.absolute()) if holdout else None, where, split, logged_images
        )
    done = next(each for each in store.retrainings(chosen) if each.retraining_id == done_id)
    if as_json:
        typer.echo(json.dumps(asdict(done), ensure_ascii=False, indent=2, default=str))
    else:
        print_retraining(console, done)


@app.command()
def invert(
    filters: Annotated[
        list[str],
        typer.Argument(
            help="layer2:17 is one filter, layer2:3,17,40 are three, layer2 are the 8 with the highest "
            "energy on the images. A name that is none lists those that exist."
        ),
    ],
    image: Annotated[
        list[Path],
        typer.Option(
            "--image",
            "-i",
            help="A real image to start from, or a folder; may be given several times. At most 300 images of "
            "a folder are looked through.",
        ),
    ],
    out: SheetOption = Path("sheet.png"),
    preset: PresetOption = "default",
    sources: Annotated[int, typer.Option(min=1, help="Images of a folder to start from.")] = 2,
    seeds: Annotated[int, typer.Option(min=1, max=16, help="Pictures from each image.")] = 2,
    what: Annotated[
        str,
        typer.Option(
            help="isolate moves all energy of the layer onto a filter; plain inverts the code of a layer "
            "unchanged; random shares its energy out at random."
        ),
    ] = "isolate",
    draw: Annotated[
        str | None, typer.Option(help="Of --what random: dirichlet, the default, or paper.")
    ] = None,
    together: Annotated[
        bool,
        typer.Option("--together", help="Isolate the channels of one argument jointly, in one picture."),
    ] = False,
    layout: Annotated[
        str,
        typer.Option(
            help="Where the energy lies: source, as in the image; shuffled or constant, its controls."
        ),
    ] = "source",
    show_withheld: Annotated[
        bool,
        typer.Option("--show-withheld", help="Show pictures that failed the trust test too, marked as such."),
    ] = False,
    pictures: Annotated[
        Path | None, typer.Option(help="A folder that takes every picture as a PNG file of its own too.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="A folder that keeps pictures of single filters, so that they are made once; "
            "default: cache/primitives of the workspace."
        ),
    ] = None,
    as_json: JsonOption = False,
    device: DeviceOption = "",
    model: ModelOption = None,
    workspace: WorkspaceOption = None,
    architecture: ArchitectureOption = "",
    checkpoint: CheckpointOption = None,
    classes: ClassesOption = "",
    input_size: SizeOption = "",
    channels: ChannelsOption = 0,
    mean: NormalisationOption = "",
    std: NormalisationOption = "",
) -> None:
    """Draw what filters see: their texture primitives, on a contact sheet beside real crops.

    In a workspace its model is asked, and what fails the trust test is withheld:

    fmi invert layer3:17,40 --image images/scratch --out layer3.png

    Without a workspace a checkpoint will do; its pictures cannot be tested:

    fmi invert layer3 -i part.png -a resnet18 --checkpoint w.pt --classes ok,ng
    """
    from flows.progress import step
    from inspection import pictures as drawing

    wish = drawing.Wish(
        tuple(filters),
        tuple(image),
        out,
        preset,
        sources,
        seeds,
        what,
        draw,
        together,
        layout,
        show_withheld,
        pictures,
    )
    drawing.check_wish(wish)
    description = (architecture, checkpoint, classes, input_size, channels, mean, std)
    asked = _asked(workspace, model, device, cache, description)
    drawn = drawing.invert_wish(asked, wish, step)
    if as_json:
        typer.echo(json.dumps(drawing.drawn_json(drawn), ensure_ascii=False, indent=2))
    else:
        drawing.print_drawn(console, drawn)


@app.command()
def style(
    content: Annotated[Path, typer.Argument(help="The image whose layout is kept.")],
    style_image: Annotated[
        Path, typer.Argument(metavar="STYLE", help="The image whose texture it is drawn in.")
    ],
    method: Annotated[
        str,
        typer.Option(
            help="What is matched to the style's: rank, the energies of the filters by rank; sums, the sums "
            "of their maps; gram, their Gram matrices; all compares the three."
        ),
    ] = "all",
    layer: Annotated[
        str | None,
        typer.Option(help="Where the content is kept; default: the last layer of the second resolution."),
    ] = None,
    content_weight: Annotated[
        float, typer.Option(min=0, help="How much the content counts beside the style, for sums and gram.")
    ] = 10.0,
    preset: PresetOption = "default",
    seeds: Annotated[int, typer.Option(min=1, max=8, help="Pictures of each method.")] = 1,
    out: SheetOption = Path("style.png"),
    as_json: JsonOption = False,
    device: DeviceOption = "",
    model: ModelOption = None,
    workspace: WorkspaceOption = None,
    architecture: ArchitectureOption = "",
    checkpoint: CheckpointOption = None,
    classes: ClassesOption = "",
    input_size: SizeOption = "",
    channels: ChannelsOption = 0,
    mean: NormalisationOption = "",
    std: NormalisationOption = "",
) -> None:
    """Draw one image in the style of another, and measure why a Gram matrix carries style.

    If style is how energy is shared out among the filters, then matching only
    the sums of their maps brings the Gram matrices near too. The table gives
    both distances, before and after:

    fmi style good/0001.png scratch/0001.png --out style.png

    Without a workspace, add --architecture, --checkpoint and --classes.
    """
    from flows.progress import step
    from inspection import pictures as drawing

    wish = drawing.StyleWish(content, style_image, out, method, layer, content_weight, preset, seeds)
    drawing.check_style(wish)
    description = (architecture, checkpoint, classes, input_size, channels, mean, std)
    asked = _asked(workspace, model, device, None, description)
    styled = drawing.style_wish(asked, wish, step)
    if as_json:
        typer.echo(json.dumps(drawing.styled_json(styled), ensure_ascii=False, indent=2))
    else:
        drawing.print_styled(console, styled)


def _asked(
    workspace: Path | None,
    model_hash: str | None,
    device: str,
    cache: Path | None,
    description: tuple[str, Path | None, str, str, int, str, str],
) -> "Model":
    """The model that a command asks: the one described, or else the workspace's."""
    from fmi_engine.classifier import Preprocessing
    from inspection import pictures
    from inspection.models import ModelSpec

    if cache is not None:
        pictures.check_folder("--cache", cache)
    architecture, checkpoint, classes, input_size, channels, mean, std = description
    if not any(description):
        return pictures.registered(_workspace(workspace), model_hash, device, cache)
    needed = {"--architecture": architecture, "--checkpoint": checkpoint, "--classes": classes}
    missing = [option for option, given in needed.items() if not given]
    if missing:
        raise InspectionError(
            f"{' and '.join(missing)} missing: a model in no workspace is described by --architecture, "
            "--checkpoint and --classes; without any of these the workspace's model is asked"
        )
    if workspace is not None or model_hash is not None:
        raise InspectionError(
            "--workspace and --model name a registered model, and --architecture describes another: "
            "give the one or the other"
        )
    height, width = _size(input_size or "224")
    means, stds = _normalisation(channels or 3, mean, std)
    preprocessing = Preprocessing(height, width, channels or 3, means, stds)
    spec = ModelSpec(architecture, _names(classes), (), preprocessing)
    assert checkpoint is not None
    return pictures.described(spec, checkpoint, device, cache)


@app.command()
def serve(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the dashboard on 127.0.0.1; 0 takes the setting.")
    ] = 0,
    workspace: WorkspaceOption = None,
) -> None:
    """Open the dashboard on this machine: nights, findings, verdicts and retraining.

    Starts a Prefect server and a worker for the retraining button, or uses the server that
    PREFECT_API_URL names.
    """
    from inspection.store import Store

    site = _workspace(workspace)
    Store(site.store_path).models()  # a store that cannot be read is told now, not on every page
    with _flows(site, own_server=False), ExitStack() as running:
        from dashboards.serve import serve as run_dashboard
        from flows.server import prefect_server, worker

        url = os.environ.get("PREFECT_API_URL")
        if not url:
            errors.print("Starting Prefect (up to half a minute the first time) ...")
            url = running.enter_context(prefect_server(site.prefect_home, site.settings.serve.prefect_port))
        running.enter_context(worker(site.prefect_home, site.root, url))
        chosen = port or site.settings.serve.port
        console.print(f"The dashboard is at http://127.0.0.1:{chosen} - end it with Ctrl+C")
        run_dashboard(site, chosen, url)


@app.command()
def worker(workspace: WorkspaceOption = None) -> None:
    """Execute nights and retrainings that the dashboard or a schedule starts (fmi serve does it for you)."""
    site = _workspace(workspace)
    with _flows(site, own_server=False):
        from flows.worker import work

        work()


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="A SELECT on the store; try: SHOW TABLES")],
    workspace: WorkspaceOption = None,
) -> None:
    """Ask the DuckDB store of the findings anything, read-only."""
    from inspection.store import Store

    columns, rows = Store(_workspace(workspace).store_path).query(query)
    table = Table(*columns)
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row))
    console.print(table)


@app.command()
def doctor() -> None:
    """Check this installation: the parts, their versions, the device, and known clashes."""
    from inspection.doctor import examine

    findings = examine()
    for finding in findings:
        mark = "[green]ok[/]  " if finding.fine else "[red]bad[/] "
        console.print(f"{mark} {escape(finding.subject)}: {escape(finding.detail)}", soft_wrap=True)
    if not all(finding.fine for finding in findings):
        raise typer.Exit(1)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where the demo's workspace and images go.")] = Path(
        "fmi-demo"
    ),
    quick: Annotated[bool, typer.Option(help="Smaller images and fewer of them: under 150 seconds.")] = False,
) -> None:
    """Show the main job on a rendered production line with a known cause: no data of yours is needed.

    Trains a small model, ages the lamp and changes the finish, logs the errors, runs the nights,
    retrains, and prints what was found, before and after, and the report's path.
    """
    workspace = create_workspace(folder)
    with _flows(workspace):
        from flows.demo import run_demo

        run_demo(console, workspace, quick)


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
    from inspection import recipe_sheet

    path = recipe_sheet.find_recipe(name, lambda: _workspace(workspace))
    wish = recipe_sheet.RecipeWish(path, out, images, where, count, draws, strengths)
    drawn, _ = recipe_sheet.show_recipe(wish)
    recipe_sheet.print_shown(console, wish, drawn)


@recipe.command()
def check(name: RecipeArgument, workspace: WorkspaceOption = None) -> None:
    """Check that a recipe and its textures are whole and unchanged, and say in words what it does.

    Exit code 0: it can be used. Exit code 2: it cannot, and the message says why. Example:

    fmi recipe check recipes/recipe-20260102-1a2b3c4d-1.yaml
    """
    from inspection import recipe_sheet

    recipe_sheet.print_check(console, recipe_sheet.find_recipe(name, lambda: _workspace(workspace)))


@bench.command()
def paper(
    images: Annotated[Path, typer.Option(help="Labelled images: folders per class, or a table.")],
    json_path: Annotated[Path, typer.Option("--json", help="Where to write the results.")],
    folder: Annotated[
        Path | None,
        typer.Option(
            help="For networks, pictures and plots: a stopped run goes on there; default: beside --json."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option(help="Smaller and fewer of everything: some minutes.")] = False,
    network: Annotated[
        list[str] | None, typer.Option(help="vgg or resnet; both where none is named. May be repeated.")
    ] = None,
    size: Annotated[int, typer.Option(min=0, help="Pixels, both sides; 0: 128, or 96 with --quick.")] = 0,
    epochs: Annotated[int, typer.Option(min=0, help="Of training; 0: 10, or 6 with --quick.")] = 0,
    filters: Annotated[int, typer.Option(min=0, help="Live filters of a stage; 0: 16, or 6.")] = 0,
    preset: Annotated[
        str, typer.Option(help="How the descent runs: default, paper or mahendran.")
    ] = "default",
    where: WhereOption = None,
) -> None:
    """Does every filter extract a specific texture? The paper's claims, measured on your images.

    Trains a VGG and a ResNet, inverts filters of every convolutional stage from several source images,
    and tests the primitives beside an untrained network and dead filters: the same-filter-same-texture
    score, the trust test, the hierarchy by depth, seeds, and noisy, dim and blurred sources. About half
    an hour on two cores (--quick: some minutes). Example:

    fmi bench paper --images ../parts --json paper.json
    """
    from dataclasses import replace

    from flows.progress import step
    from fmi_engine.presets import find_preset
    from inspection import paper as claims
    from inspection.paper_plots import draw
    from inspection.summaries import print_paper

    find_preset(preset)
    unknown = sorted(set(network or ()) - set(claims.NETWORKS))
    if unknown:
        raise InspectionError(f"no network {', '.join(unknown)}; these exist: {', '.join(claims.NETWORKS)}")
    place = folder or json_path.with_suffix("")
    plan = claims.Plan(images, place, tuple(network or claims.NETWORKS), preset=preset, where=where)
    plan = claims.quick(plan) if quick else plan
    plan = replace(
        plan, size=size or plan.size, epochs=epochs or plan.epochs, filters=filters or plan.filters
    )
    claims.check_writable(plan, json_path)
    results = claims.measure(plan, step)
    claims.write_json(json_path, results)
    print_paper(console, results)
    for path in draw(results, place):
        console.print(f"Plot: {path}", soft_wrap=True)
    console.print(f"Results: {json_path}", soft_wrap=True)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise InspectionError(f"--input-size is {text!r}; expected pixels such as 224, or HEIGHTxWIDTH")
    sizes = [int(part) for part in parts]
    return sizes[0], sizes[-1]


def _normalisation(channels: int, mean: str, std: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    usual_mean = (0.485, 0.456, 0.406) if channels == 3 else (0.5,) * channels
    usual_std = (0.229, 0.224, 0.225) if channels == 3 else (0.5,) * channels
    return _numbers("--mean", mean, usual_mean), _numbers("--std", std, usual_std)


def _numbers(option: str, text: str, usual: tuple[float, ...]) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else usual
    except ValueError:
        raise InspectionError(
            f"{option} is {text!r}; expected numbers by comma, e.g. 0.485,0.456,0.406"
        ) from None


if __name__ == "__main__":
    main()
