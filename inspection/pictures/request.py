"""What `fmi invert` is asked for: read, checked and resolved to filters."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from fmi_engine.energy import DRAWS
from fmi_engine.presets import find_preset
from fmi_engine.probe import check_filter, find_layer
from fmi_engine.reference import measure_energies
from fmi_engine.types import FilterRef, Layer, Layout
from inspection.errors import InspectionError
from inspection.pictures.model import Model
from inspection.pictures.sources import Step, check_folder, check_sheet, find_images

WHATS = ("isolate", "plain", "random")
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
MOST_ROWS = 40  # of a sheet
BUSIEST = 8  # filters of a layer that is named alone: those with the highest energy


# --- fmi invert: what is asked ---


@dataclass(frozen=True, slots=True)
class FilterRequest:
    """What `fmi invert` is asked for."""

    filters: tuple[str, ...]  # as written
    images: tuple[Path, ...]  # files and folders
    out: Path
    preset: str = "default"
    sources: int = 2  # of a folder
    seeds: int = 2
    what: str = "isolate"
    draw: str | None = None  # of `random`; None is dirichlet
    together: bool = False
    layout: str = "source"
    show_withheld: bool = False
    pictures: Path | None = None

    @property
    def one_filter_each(self) -> bool:
        """Whether every picture isolates a single filter."""
        return self.what == "isolate" and not self.together


@dataclass(frozen=True, slots=True)
class Target:
    """A row of the sheet: the filters that are isolated in a layer; none is the code as a whole."""

    layer: Layer
    channels: tuple[int, ...]

    def __str__(self) -> str:
        channels = ",".join(map(str, self.channels))
        return f"{self.layer.name}:{channels}" if channels else self.layer.name


def check_request(request: FilterRequest) -> None:
    """Raise InspectionError, or EngineError of a preset, where the options do not go together."""
    find_preset(request.preset)
    one_of("--what", request.what, WHATS)
    one_of("--draw", request.draw or "dirichlet", DRAWS)
    one_of("--layout", request.layout, LAYOUTS)
    if request.draw is not None and request.what != "random":
        raise InspectionError(
            f"--draw {request.draw} says how energy is shared out at random: it goes with --what random, and "
            f"--what is {request.what}"
        )
    if request.together and request.what != "isolate":
        raise InspectionError(
            f"--together isolates several filters jointly: it goes with --what isolate, and --what is "
            f"{request.what}"
        )
    find_images(request.images, request.sources)
    check_sheet(request.out)
    if request.pictures:
        check_folder("--pictures", request.pictures)


def one_of(option: str, given: str, known: Iterable[str]) -> None:
    """Raise InspectionError where an option is none of the known words."""
    if given not in known:
        raise InspectionError(f"{option} is {given!r}; expected one of: {', '.join(known)}")


def read_targets(
    request: FilterRequest, layers: Sequence[Layer], busiest: Callable[[Layer], Sequence[int]]
) -> list[Target]:
    """The rows that the filters as written ask for; `busiest` names the filters of a layer given alone.

    Raises UnknownLayerError naming the layers or the channels that exist, and InspectionError for what is
    no filter, or too many of them.
    """
    targets = []
    for text in request.filters:
        layer = find_layer(layers, text.partition(":")[0])
        channels = _channels(request, text, layer, layers)
        if not channels and request.what == "isolate":
            channels = tuple(busiest(layer))
        alone = request.one_filter_each
        targets += [Target(layer, (each,)) for each in channels] if alone else [Target(layer, channels)]
    targets = [*dict.fromkeys(targets)]
    if len(targets) > MOST_ROWS:
        what = "filters" if request.one_filter_each else "rows"
        raise InspectionError(
            f"{len(targets)} {what} asked for; at most {MOST_ROWS} fit on a sheet. Name fewer, or draw "
            "several sheets"
        )
    return targets


def any_few(layer: Layer) -> Sequence[int]:
    """As many filters as a layer given alone stands for: to check what is written before images are read."""
    return range(min(BUSIEST, layer.channels))


def _channels(request: FilterRequest, text: str, layer: Layer, layers: Sequence[Layer]) -> tuple[int, ...]:
    """The channels written after a layer's name; none where it stands alone."""
    _, colon, written = text.partition(":")
    if not colon:
        return ()
    if request.what != "isolate":
        raise InspectionError(
            f"--what {request.what} takes the code of a layer as a whole: give {layer.name}, not {text}"
        )
    parts = [part.strip() for part in written.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InspectionError(
            f"{text!r} is no filter; expected a layer, or its channels as in {layer.name}:3 or "
            f"{layer.name}:3,17,40"
        )
    found = [check_filter(layers, FilterRef(layer.name, int(part))).channel for part in parts]
    return tuple(dict.fromkeys(found))


def busiest(model: Model, layer: Layer, images: NDArray[np.uint8], step: Step) -> list[int]:
    """The filters of a layer with the highest mean energy on the images, highest first."""
    total = np.zeros(layer.channels)
    with step(f"Choosing filters of {layer.name}"[:34], len(images)) as advance:
        for i in range(0, len(images), model.batch_size):
            batch = images[i : i + model.batch_size]
            energy, _, _ = measure_energies(
                model.classifier, [layer.name], batch, model.batch_size, with_spread=False
            )
            total += energy[layer.name].sum(0)
            advance(len(batch))
    return [int(channel) for channel in np.argsort(-total, kind="stable")[:BUSIEST]]
