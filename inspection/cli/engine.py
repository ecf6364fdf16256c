"""Commands of the inversion engine by itself: invert, style, bench paper."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inspection.cli.app import app, bench, console
from inspection.cli.described import DescribedModel
from inspection.cli.options import (
    ArchitectureOption,
    ChannelsOption,
    CheckpointOption,
    ClassesOption,
    DeviceOption,
    JsonOption,
    ModelOption,
    NormalisationOption,
    PresetOption,
    SheetOption,
    SizeOption,
    WhereOption,
    WorkspaceOption,
    open_given,
    settings_at_hand,
)
from inspection.errors import InspectionError

if TYPE_CHECKING:  # torch takes a second to import, and most commands do without
    from inspection.pictures.model import Model


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
    from inspection.pictures.filter_sheet import drawn_json, print_drawn, write_sheet
    from inspection.pictures.filters import draw_filters
    from inspection.pictures.request import FilterRequest, check_request

    request = FilterRequest(
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
    check_request(request)
    given = DescribedModel(architecture, checkpoint, classes, input_size, channels, mean, std)
    asked = _asked(workspace, model, device, cache, given)
    drawn = draw_filters(asked, request, step)
    write_sheet(drawn)
    if as_json:
        typer.echo(json.dumps(drawn_json(drawn), ensure_ascii=False, indent=2))
    else:
        print_drawn(console, drawn)


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
    from inspection.pictures.styles import StyleRequest, check_style, draw_style, print_styled, styled_json

    request = StyleRequest(content, style_image, out, method, layer, content_weight, preset, seeds)
    check_style(request)
    given = DescribedModel(architecture, checkpoint, classes, input_size, channels, mean, std)
    asked = _asked(workspace, model, device, None, given)
    styled = draw_style(asked, request, step)
    if as_json:
        typer.echo(json.dumps(styled_json(styled), ensure_ascii=False, indent=2))
    else:
        print_styled(console, styled)


def _asked(
    workspace: Path | None, model_hash: str | None, device: str, cache: Path | None, given: DescribedModel
) -> "Model":
    """The model that a command asks: the one described, or else the workspace's."""
    from inspection.pictures.model import described, registered
    from inspection.pictures.sources import check_folder

    if cache is not None:
        check_folder("--cache", cache)
    if not given.given:
        return registered(open_given(workspace), model_hash, device, cache)
    checkpoint = given.weights()
    if workspace is not None or model_hash is not None:
        raise InspectionError(
            "--workspace and --model name a registered model, and --architecture describes another: "
            "give the one or the other"
        )
    return described(given.completed().spec(), checkpoint, device, cache)


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
    from inspection.nights.terminal import print_paper
    from inspection.pictures.paper import measure
    from inspection.pictures.paper_networks import NETWORKS, Plan
    from inspection.pictures.paper_networks import quick as quicker
    from inspection.pictures.paper_plots import draw
    from inspection.pictures.paper_results import check_writable, write_json

    find_preset(preset)
    settings = settings_at_hand(None)
    unknown = sorted(set(network or ()) - set(NETWORKS))
    if unknown:
        raise InspectionError(f"no network {', '.join(unknown)}; these exist: {', '.join(NETWORKS)}")
    place = folder or json_path.with_suffix("")
    plan = Plan(images, place, tuple(network or NETWORKS), preset=preset, where=where, settings=settings)
    plan = quicker(plan) if quick else plan
    plan = replace(
        plan, size=size or plan.size, epochs=epochs or plan.epochs, filters=filters or plan.filters
    )
    check_writable(plan, json_path)
    results = measure(plan, step)
    write_json(json_path, results)
    print_paper(console, results)
    for path in draw(results, place):
        console.print(f"Plot: {path}")
    console.print(f"Results: {json_path}")
