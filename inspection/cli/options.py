"""Options and arguments that several commands share, and how their text is read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inspection.cli.app import errors
from inspection.errors import InspectionError, WorkspaceError
from inspection.workspace.folder import SETTINGS_FILE, Workspace, find_workspace
from inspection.workspace.settings import LARGEST_INPUT, Settings

if TYPE_CHECKING:  # it loads DuckDB
    from inspection.workspace.store import Store

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
# Of a model that is registered.
OwnArchitectureOption = Annotated[
    str,
    typer.Option(
        "--architecture", "-a", help="A torchvision name such as resnet18, or your own module:function."
    ),
]
OwnClassesOption = Annotated[
    str, typer.Option("--classes", help="Class names by comma, in the order of the logits.")
]
OwnSizeOption = Annotated[str, typer.Option("--input-size", help="Pixels: one number, or HEIGHTxWIDTH.")]
OwnChannelsOption = Annotated[int, typer.Option("--channels", help="1 for grey images, 3 for RGB.")]
REFERENCE = typer.Option(
    "--reference",
    help="Labelled images the model was trained or validated on: folders per class, or a table.",
)
MeanOption = Annotated[
    str,
    typer.Option(help="Normalisation by comma, of values in 0 to 1. Default: ImageNet's, or 0.5 for grey."),
]
StdOption = Annotated[str, typer.Option(help="Normalisation by comma. Default: ImageNet's; grey: 0.5.")]
DecisionOption = Annotated[
    str,
    typer.Option(
        help="How the line decides, where it is not by the largest logit: 'defect > 0.2' (a probability), "
        "'sigmoid(defect) > 0.3' (a network with one output), 'NG = scratch + dent > 0.3' (classes that mean "
        "one), 'unknown = 0.3 < defect < 0.7' (between them a person decides). See fmi help decisions.",
        show_default=False,
    ),
]
PreprocessOption = Annotated[
    str,
    typer.Option(
        help="How the line brings an image into the input, by comma: stretch (default), 'crop 256' or "
        "letterbox; area, linear, cubic, nearest, lanczos, pillow (as torchvision resizes); BGR; or your own "
        "module:function. See fmi help preprocessing.",
        show_default=False,
    ),
]
WeightsOption = Annotated[
    str,
    typer.Option(
        help="Which of several sets of weights in the checkpoint, by its key: state_dict, ema, ...",
        show_default=False,
    ),
]
NameOption = Annotated[
    str, typer.Option(help="What the line's models are called, with a version: line1 v1. Default: model.")
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


def open_given(given: Path | None) -> Workspace:
    """The workspace given, or the nearest above this folder. Raises WorkspaceError."""
    if given and not given.is_dir():
        raise WorkspaceError(f"--workspace {given}: there is no such folder; make it with `fmi init {given}`")
    return find_workspace(given or Path.cwd())


def store_made(workspace: Workspace) -> "Store":
    """The workspace's store, made or brought up to date; says where it lies as it was before."""
    from inspection.workspace.store import Store

    store = Store(workspace.store_path)
    backup = store.create()
    if backup:
        errors.print(
            f"The store is brought up to date. As it was before it is kept: {backup}", style="yellow"
        )
    return store


def settings_at_hand(given: Path | None) -> Settings:
    """The settings of the workspace given or of the nearest above this folder; without one the defaults.

    Environment variables win over either. Raises WorkspaceError.
    """
    try:
        return open_given(given).settings
    except WorkspaceError:
        if given or any((folder / SETTINGS_FILE).exists() for folder in (Path.cwd(), *Path.cwd().parents)):
            raise
        return Settings()


def names_of(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def size_of(text: str) -> tuple[int, int]:
    """Height and width from `224` or `HEIGHTxWIDTH`. Raises InspectionError."""
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise InspectionError(f"--input-size is {text!r}; expected pixels such as 224, or HEIGHTxWIDTH")
    sizes = [int(part) for part in parts]
    if max(sizes) > LARGEST_INPUT:
        raise InspectionError(
            f"--input-size is {text!r}; a side has at most {LARGEST_INPUT} pixels. Give the size that the "
            "network takes, to which images are resized, not that of the camera's images"
        )
    return sizes[0], sizes[-1]


def normalisation_of(channels: int, mean: str, std: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel: those given, else ImageNet's, or 0.5 for grey."""
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
