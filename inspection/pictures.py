"""What `fmi invert` and `fmi style` do: pictures of filters and of styles, tested, told and drawn."""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from fmi_engine.cache import PrimitiveCache
from fmi_engine.classifier import Classifier, choose_device, load_classifier
from fmi_engine.energy import DRAWS, flatten_maps, isolate, reallocate_at_random, shuffle_maps
from fmi_engine.inversion import BATCH, Job, invert, invert_codes, source_code
from fmi_engine.patches import Patch, exciting_patches
from fmi_engine.presets import find_preset
from fmi_engine.probe import check_filter, find_layer, find_layers
from fmi_engine.reference import measure_energies
from fmi_engine.style import METHODS, Restyled, restyle
from fmi_engine.trust import hinges_on, trust_test
from fmi_engine.types import FilterRef, FloatArray, Hinge, Inversion, Layer, Layout, Trust
from inspection.errors import ImageError, ImageSetError, InspectionError
from inspection.findings import RegisteredModel
from inspection.images import IMAGE_SUFFIXES, write_image
from inspection.models import ModelSpec, check_classes, load
from inspection.primitives import CONTROLS, HINGE_IMAGES, SOURCE, stretched
from inspection.sheets import Cell, Column, Line, Row, Sheet, Tone, draw
from inspection.store import Store
from inspection.subject import Subject, open_subject, sample
from inspection.training import load_images
from inspection.workspace import Workspace

Step = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""Shows the progress of one step of the work: its name and how much there is to do."""

Which = tuple[FilterRef, int, int]
"""A primitive of the sheet: its filter, its source (by position) and its seed."""

WHATS = ("isolate", "plain", "random")
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
BUSIEST = 8  # filters of a layer that is named alone: those with the highest energy
PATCHES = 4  # real crops beside a filter's primitives
MOST_ROWS = 40  # of a sheet
MOST_SOURCES = 8  # images that pictures are made from
MOST_IMAGES = 300  # of a folder; they are looked through for crops and for the filters with most energy
HARDLY = 0.75  # of a distance: where more than this is left, little was gained
CPU_BATCH = 4  # pictures of one descent, so that the bar moves


# --- the model ---


@dataclass(frozen=True, slots=True)
class Model:
    """The network whose filters are drawn, and what its workspace knows of it, where it has one."""

    classifier: Classifier
    layers: tuple[Layer, ...]
    cache: Path | None  # where primitives are kept
    home: tuple[Workspace, RegisteredModel] | None = None
    subject: Subject | None = None  # with what is normal for each filter, once that is measured

    @property
    def name(self) -> str:
        """The beginning of the hash of its weights."""
        return self.classifier.weights_hash[:12]


def registered(workspace: Workspace, model_hash: str | None, device: str, cache: Path | None) -> Model:
    """A workspace's model, on the device given or on that of the settings.

    Raises StoreError, ModelError or EngineError.
    """
    if device:
        compute = workspace.settings.compute.model_copy(update={"device": device})
        workspace = replace(workspace, settings=workspace.settings.model_copy(update={"compute": compute}))
    record = Store(workspace.store_path).model(model_hash)
    classifier = load(workspace.root, record, workspace.settings.compute.device)
    return _opened(classifier, cache or workspace.primitive_cache, (workspace, record))


def described(spec: ModelSpec, checkpoint: Path, device: str, cache: Path | None) -> Model:
    """A model without a workspace: a checkpoint and what it is. Raises ModelError or EngineError."""
    check_classes(spec.class_names, spec.good_classes)
    found = choose_device(device or "auto")
    return _opened(
        load_classifier(spec.architecture, checkpoint, spec.class_names, spec.preprocessing, found), cache
    )


def _opened(
    classifier: Classifier, cache: Path | None, home: tuple[Workspace, RegisteredModel] | None = None
) -> Model:
    p = classifier.preprocessing
    probe = torch.randn(1, p.channels, p.height, p.width, generator=torch.Generator().manual_seed(0))
    return Model(classifier, find_layers(classifier.network, probe.to(classifier.device)), cache, home)


def _measured(model: Model, step: Step) -> Model:
    """The same with what is normal for its filters on its reference images, where it has a workspace."""
    if model.home is None:
        return model
    workspace, record = model.home
    references = Store(workspace.store_path).references(record.model_hash)
    with step("Learning what is normal", None) as advance:
        return replace(model, subject=open_subject(workspace, record, references, advance))


# --- the images, and where pictures go ---


@dataclass(frozen=True, slots=True)
class Given:
    """The real images at hand, and which of them pictures are made from."""

    paths: tuple[Path, ...]
    sources: tuple[int, ...]  # positions
    pixels: NDArray[np.uint8]  # (images, height, width, channel)

    @property
    def source_pixels(self) -> NDArray[np.uint8]:
        """The images that pictures are made from."""
        return self.pixels[list(self.sources)]

    def source_path(self, source: int) -> Path:
        """The file of a source, by its position among the sources."""
        return self.paths[self.sources[source]]


def find_images(given: Sequence[Path], per_folder: int) -> tuple[list[Path], list[int]]:
    """The image files named and those in the folders named, and the positions of the sources among them.

    Every file named is a source; of a folder, `per_folder` are, spread evenly over its images, those in
    folders below it included. Raises ImageError or ImageSetError.
    """
    sources: dict[Path, None] = {}
    paths: dict[Path, None] = {}
    for each in given:
        files = _files_of(each) if each.is_dir() else [_file(each)]
        chosen = _evenly(files, per_folder) if each.is_dir() else files
        sources |= dict.fromkeys(chosen)
        paths |= dict.fromkeys([*chosen, *_evenly(files, MOST_IMAGES)])
    if len(sources) > MOST_SOURCES:
        raise ImageSetError(
            f"{len(sources)} images to make pictures from; at most {MOST_SOURCES} fit on a sheet. Name fewer "
            "files, or a folder with --sources 2"
        )
    ordered = [*paths]
    return ordered, [ordered.index(source) for source in sources]


def _file(path: Path) -> Path:
    if not path.exists():
        raise ImageError(f"{path}: there is no such image file or folder")
    return path


def _files_of(folder: Path) -> list[Path]:
    try:
        files = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
    except OSError as error:
        raise ImageSetError(f"{folder}: the images cannot be listed: {error.strerror}") from error
    if not files:
        raise ImageSetError(
            f"{folder}: no images in this folder or below it; expected files in {', '.join(IMAGE_SUFFIXES)}"
        )
    return files


def _evenly(files: Sequence[Path], count: int) -> list[Path]:
    if len(files) <= count:
        return [*files]
    return [files[int((i + 0.5) * len(files) / count)] for i in range(count)]


def check_sheet(path: Path) -> None:
    """Raise ImageError where a sheet cannot be written to `path`: told before the work, not after it."""
    if path.suffix.lower() != ".png":
        raise ImageError(f"--out {path}: a sheet is a PNG file; give a name that ends in .png")
    if path.is_dir():
        raise ImageError(f"--out {path}: this is a folder; give the name of a file in it")
    check_folder("--out", path.parent)


def check_folder(option: str, folder: Path) -> None:
    """Make a folder where it is missing. Raises ImageError where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ImageError(f"{option}: {folder} cannot be written to: {error.strerror}") from None


# --- fmi invert: what is asked ---


@dataclass(frozen=True, slots=True)
class Wish:
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


def check_wish(wish: Wish) -> None:
    """Raise InspectionError, or EngineError of a preset, where the options do not go together."""
    find_preset(wish.preset)
    _one_of("--what", wish.what, WHATS)
    _one_of("--draw", wish.draw or "dirichlet", DRAWS)
    _one_of("--layout", wish.layout, LAYOUTS)
    if wish.draw is not None and wish.what != "random":
        raise InspectionError(
            f"--draw {wish.draw} says how energy is shared out at random: it goes with --what random, and "
            f"--what is {wish.what}"
        )
    if wish.together and wish.what != "isolate":
        raise InspectionError(
            f"--together isolates several filters jointly: it goes with --what isolate, and --what is "
            f"{wish.what}"
        )
    find_images(wish.images, wish.sources)
    check_sheet(wish.out)
    if wish.pictures:
        check_folder("--pictures", wish.pictures)


def _one_of(option: str, given: str, known: Iterable[str]) -> None:
    if given not in known:
        raise InspectionError(f"{option} is {given!r}; expected one of: {', '.join(known)}")


def read_targets(
    wish: Wish, layers: Sequence[Layer], busiest: Callable[[Layer], Sequence[int]]
) -> list[Target]:
    """The rows that the filters as written ask for; `busiest` names the filters of a layer given alone.

    Raises UnknownLayerError naming the layers or the channels that exist, and InspectionError for what is
    no filter, or too many of them.
    """
    targets = []
    for text in wish.filters:
        layer = find_layer(layers, text.partition(":")[0])
        channels = _channels(wish, text, layer, layers)
        if not channels and wish.what == "isolate":
            channels = tuple(busiest(layer))
        alone = wish.one_filter_each
        targets += [Target(layer, (each,)) for each in channels] if alone else [Target(layer, channels)]
    targets = [*dict.fromkeys(targets)]
    if len(targets) > MOST_ROWS:
        what = "filters" if wish.one_filter_each else "rows"
        raise InspectionError(
            f"{len(targets)} {what} asked for; at most {MOST_ROWS} fit on a sheet. Name fewer, or draw "
            "several sheets"
        )
    return targets


def _any_few(layer: Layer) -> Sequence[int]:
    """As many filters as a layer given alone stands for: to check what is written before images are read."""
    return range(min(BUSIEST, layer.channels))


def _channels(wish: Wish, text: str, layer: Layer, layers: Sequence[Layer]) -> tuple[int, ...]:
    """The channels written after a layer's name; none where it stands alone."""
    _, colon, written = text.partition(":")
    if not colon:
        return ()
    if wish.what != "isolate":
        raise InspectionError(
            f"--what {wish.what} takes the code of a layer as a whole: give {layer.name}, not {text}"
        )
    parts = [part.strip() for part in written.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InspectionError(
            f"{text!r} is no filter; expected a layer, or its channels as in {layer.name}:3 or "
            f"{layer.name}:3,17,40"
        )
    found = [check_filter(layers, FilterRef(layer.name, int(part))).channel for part in parts]
    return tuple(dict.fromkeys(found))


def _busiest(model: Model, layer: Layer, images: NDArray[np.uint8], step: Step) -> list[int]:
    """The filters of a layer with the highest mean energy on the images, highest first."""
    total = np.zeros(layer.channels)
    with step(f"Choosing filters of {layer.name}"[:34], len(images)) as advance:
        for i in range(0, len(images), 32):
            batch = images[i : i + 32]
            total += measure_energies(model.classifier, [layer.name], batch, with_spread=False)[0][
                layer.name
            ].sum(0)
            advance(len(batch))
    return [int(channel) for channel in np.argsort(-total, kind="stable")[:BUSIEST]]


# --- fmi invert: what is made ---


@dataclass(frozen=True, slots=True)
class Made:
    """One picture of a target, from a source (by its position) and a seed."""

    target: Target
    source: int
    seed: int
    image: FloatArray  # (channels, height, width), 0 to 1
    residual: float
    trust: Trust | None = None  # None: not put to the test
    picture: Path | None = None  # its own file

    @property
    def withheld(self) -> bool:
        """Whether it was tested and not trusted."""
        return self.trust is not None and not self.trust.trusted


@dataclass(frozen=True, slots=True)
class Drawn:
    """Everything that `fmi invert` made."""

    wish: Wish
    model: Model
    given: Given
    targets: tuple[Target, ...]
    made: tuple[Made, ...]
    patches: dict[Target, tuple[Patch, ...]]
    untested: dict[str, str]  # layer -> why its pictures were not put to the trust test
    hinges: dict[str, Hinge]  # layer -> whether right answers hinge on it

    def row(self, target: Target) -> list[Made]:
        """The pictures of one target."""
        return [each for each in self.made if each.target == target]

    @property
    def layers(self) -> list[Layer]:
        """The layers of the targets, each once."""
        return [*dict.fromkeys(target.layer for target in self.targets)]


def invert_wish(model: Model, wish: Wish, step: Step) -> Drawn:
    """Make, test and save the pictures that are wished for, and the sheet. `check_wish` comes before."""
    paths, sources = find_images(wish.images, wish.sources)
    read_targets(wish, model.layers, _any_few)  # what is misspelt is told before images are read
    with step("Reading the images", len(paths)) as advance:
        pixels = load_images(paths, model.classifier.preprocessing, advance)
    given = Given(tuple(paths), tuple(sources), pixels)
    targets = read_targets(wish, model.layers, lambda layer: _busiest(model, layer, pixels, step))
    if wish.one_filter_each:
        model = _measured(model, step)
    untested = _untested(model, wish, targets, len(sources) * wish.seeds)
    if wish.one_filter_each:
        made, hinges = _isolated(model, wish, targets, given, untested, step)
    else:
        made, hinges = _by_code(model, wish, targets, given, step), {}
    patches = _patches(model, targets, given, step)
    if wish.pictures:
        made = [_kept(each, wish) for each in made]
    drawn = Drawn(wish, model, given, tuple(targets), tuple(made), patches, untested, hinges)
    write_image(wish.out, draw(sheet_of(drawn)))
    return drawn


def _untested(model: Model, wish: Wish, targets: Sequence[Target], pictures: int) -> dict[str, str]:
    """Why the pictures of a layer cannot be put to the trust test, for each layer where they cannot."""
    reasons = {}
    for layer in dict.fromkeys(target.layer.name for target in targets):
        filters = sum(target.layer.name == layer for target in targets)
        if not wish.one_filter_each:
            reasons[layer] = "it judges pictures of single filters"
        elif wish.layout != SOURCE:
            reasons[layer] = f"it judges pictures laid out as their source, and these ({wish.layout}) control"
        elif model.subject is None:
            reasons[layer] = "no workspace's reference images say what is normal for a filter"
        elif filters < 2:
            reasons[layer] = "it compares filters, and this is the only one of its layer: name another"
        elif pictures < 2:
            reasons[layer] = (
                "it compares pictures, and this is a filter's only one: ask for 2 seeds or images"
            )
    return reasons


def _isolated(
    model: Model,
    wish: Wish,
    targets: Sequence[Target],
    given: Given,
    untested: dict[str, str],
    step: Step,
) -> tuple[list[Made], dict[str, Hinge]]:
    """One filter a picture, through the cache and, where possible, the trust test."""
    refs = {FilterRef(target.layer.name, target.channels[0]): target for target in targets}
    layout = next(each for each in LAYOUTS if each == wish.layout)
    jobs = [
        *(Job(r, s, n, layout) for r in refs for s in range(len(given.sources)) for n in range(wish.seeds)),
        *(Job(r, 0, 0, each) for r in refs if r.layer not in untested for each in CONTROLS),
    ]
    on_cpu = model.classifier.device.type == "cpu"
    with step("Inverting filters", len(jobs)) as advance:
        found = invert(
            model.classifier,
            jobs,
            given.source_pixels,
            find_preset(wish.preset),
            CPU_BATCH if on_cpu else BATCH,
            advance,
            model.subject.reference if model.subject else None,
            PrimitiveCache(model.cache) if model.cache else None,
        )
    trusts: dict[Which, Trust] = {}
    hinges: dict[str, Hinge] = {}
    for layer in dict.fromkeys(target.layer for target in targets if target.layer.name not in untested):
        assert model.subject is not None
        with step("Testing the primitives", None):
            hinges[layer.name] = _hinge(model.subject, layer)
            trusts |= _trusts(model.subject, layer, found, hinges[layer.name])
    shown = [each for each in found if each.layout == layout]
    return [
        Made(refs[each.filter], each.source, each.seed, each.image, each.residual, trusts.get(_which(each)))
        for each in shown
    ], hinges


def _which(inversion: Inversion) -> Which:
    return inversion.filter, inversion.source, inversion.seed


def _hinge(subject: Subject, layer: Layer) -> Hinge:
    few = sample(len(subject.labelled), HINGE_IMAGES, subject.settings.compute.seed)
    chosen = subject.labelled.subset(few)
    return hinges_on(subject.classifier, layer, chosen.images, chosen.labels)


def _trusts(subject: Subject, layer: Layer, found: Sequence[Inversion], hinge: Hinge) -> dict[Which, Trust]:
    mine = [each for each in found if each.filter.layer == layer.name]
    rules = subject.settings.inversion
    verdicts = trust_test(
        subject.classifier,
        layer,
        subject.reference,
        mine,
        rules.top_share,
        rules.agreement,
        hinge=hinge,
    )
    tested = [_which(each) for each in mine if each.layout == SOURCE]
    return dict(zip(tested, verdicts, strict=True))


def _by_code(model: Model, wish: Wish, targets: Sequence[Target], given: Given, step: Step) -> list[Made]:
    """Codes that are no single filter's: unchanged, shared out at random, or on several filters."""
    preset = find_preset(wish.preset)
    asked = [(t, s, n) for t in targets for s in range(len(given.sources)) for n in range(wish.seeds)]
    batches = [
        mine[i : i + BATCH]
        for layer in dict.fromkeys(target.layer for target in targets)
        for mine in [[each for each in asked if each[0].layer == layer]]
        for i in range(0, len(mine), BATCH)
    ]
    made = []
    with step("Inverting codes", len(batches) * (preset.steps + preset.fine_steps)) as advance:
        for batch in batches:
            name, seeds = batch[0][0].layer.name, [seed for _, _, seed in batch]
            code = source_code(
                model.classifier, name, given.source_pixels[[source for _, source, _ in batch]], preset
            )
            goal = _changed(wish, code, [target for target, _, _ in batch], seeds)
            images, residuals = invert_codes(
                model.classifier, name, goal, seeds, preset, given.source_pixels, advance
            )
            pictures = images.cpu().numpy()
            made += [Made(*each, pictures[i], float(residuals[i])) for i, each in enumerate(batch)]
    return made


def _changed(wish: Wish, code: Tensor, targets: Sequence[Target], seeds: Sequence[int]) -> Tensor:
    if wish.what == "isolate":
        code = isolate(code, [target.channels for target in targets])
    elif wish.what == "random":
        code = reallocate_at_random(code, seeds, wish.draw or "dirichlet")
    if wish.layout == "shuffled":
        return shuffle_maps(code, seeds)
    return flatten_maps(code) if wish.layout == "constant" else code


def _patches(
    model: Model, targets: Sequence[Target], given: Given, step: Step
) -> dict[Target, tuple[Patch, ...]]:
    """The real crops that excite each target most; of several filters together, the best of each."""
    found: dict[Target, tuple[Patch, ...]] = {}
    for layer in dict.fromkeys(target.layer for target in targets if target.channels):
        mine = [target for target in targets if target.layer == layer]
        channels = [*dict.fromkeys(channel for target in mine for channel in target.channels)]
        with step("Finding real crops", None):
            best = exciting_patches(model.classifier, layer, channels, given.pixels, PATCHES)
        for target in mine:
            alone = len(target.channels) == 1
            rows = [best[channel] for channel in target.channels]
            found[target] = tuple(rows[0] if alone else _one_of_each(rows))
    return found


def _one_of_each(rows: Sequence[Sequence[Patch]]) -> list[Patch]:
    """The best crop of each of some filters, none of an image that is there already."""
    chosen: dict[int, Patch] = {}
    for row in rows:
        fresh = next((patch for patch in row if patch.image not in chosen), None)
        if fresh is not None and len(chosen) < PATCHES:
            chosen[fresh.image] = fresh
    return [*chosen.values()]


def _kept(made: Made, wish: Wish) -> Made:
    """Save a picture in a file of its own; one that is withheld is not."""
    assert wish.pictures is not None
    if made.withheld and not wish.show_withheld:
        return made
    target = str(made.target).replace(":", "-").replace(",", "+")
    path = wish.pictures / f"{target}-source{made.source}-seed{made.seed}.png"
    write_image(path, stretched(made.image))
    return replace(made, picture=path.absolute())


# --- fmi invert: what is told ---


def sheet_of(drawn: Drawn) -> Sheet:
    """The contact sheet: real crops, sources and pictures of each target."""
    p = drawn.model.classifier.preprocessing
    crops = max((len(each) for each in drawn.patches.values()), default=0)
    seeds = range(drawn.wish.seeds)
    columns = [Column("real crops that excite it most" if crops > 1 else "real crop")] * crops
    for source in range(len(drawn.given.sources)):
        group = f"from {drawn.given.source_path(source).name}"
        columns += [Column(group, "source"), *(Column(group, f"seed {seed}") for seed in seeds)]
    return Sheet(
        _title(drawn),
        _subtitle(drawn),
        (p.height, p.width),
        tuple(columns),
        tuple(_row(drawn, target, crops) for target in drawn.targets),
        tuple(_notes(drawn)),
    )


def _title(drawn: Drawn) -> str:
    names = [layer.name for layer in drawn.layers]
    layers = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    wish = drawn.wish
    titles = {
        "isolate": "Texture primitives of several filters together"
        if wish.together
        else "Texture primitives",
        "plain": "Codes inverted unchanged",
        "random": "Energy shared out at random",
    }
    return f"{titles[wish.what]}: {layers}"


def _subtitle(drawn: Drawn) -> str:
    layer, wish = drawn.layers[0], drawn.wish
    parts = [f"model {drawn.model.name}"]
    if len(drawn.layers) == 1:
        parts.append(f"{layer.name}: {layer.channels} filters of {layer.height} x {layer.width} positions")
    parts.append(f"preset {wish.preset}")
    if wish.what == "random":
        parts.append(f"draw {wish.draw or 'dirichlet'}")
    if wish.layout != SOURCE:
        parts.append(f"layout {wish.layout}")
    return "   |   ".join(parts)


def _notes(drawn: Drawn) -> list[str]:
    notes = [_meaning(drawn.wish), *untested_sentences(drawn)]
    if any(each.withheld for each in drawn.made):
        shown = "are shown all the same" if drawn.wish.show_withheld else "are withheld"
        notes.append(f"Pictures that failed the trust test {shown}; what failed is red.")
    return notes


def _meaning(wish: Wish) -> str:
    """What the pictures are, in a sentence."""
    if wish.what == "plain":
        said = "Each picture has the code of its source: what it keeps of the source is what the layer keeps"
    elif wish.what == "random":
        said = "Each picture has its source's energy, shared out anew among the layer's filters by its seed"
    elif wish.together:
        said = "Each picture has a code that holds all energy of the layer on a few filters, in equal shares"
    else:
        said = (
            "A primitive is a picture whose code holds all energy of the layer on one filter: what it "
            "repeats is the texture that the filter stands for"
        )
    laid = {
        "source": "as in the source",
        "shuffled": "at shuffled positions",
        "constant": "evenly at all positions",
    }
    return f"{said}. The energy lies {laid[wish.layout]}. Contrast is stretched."


def untested_sentences(drawn: Drawn) -> list[str]:
    """For each reason why pictures were not put to the trust test, one line."""
    sentences = []
    for reason in dict.fromkeys(drawn.untested.values()):
        layers = [layer for layer, why in drawn.untested.items() if why == reason]
        where = "" if len(layers) == len(drawn.layers) else f" to {', '.join(layers)}"
        sentences.append(f"The trust test is not applied{where}: {reason}.")
    return sentences


def _row(drawn: Drawn, target: Target, crops: int) -> Row:
    patches = drawn.patches.get(target, ())
    cells: list[Cell | None] = [Cell(patch.pixels) for patch in patches]
    cells += [None] * (crops - len(cells))
    row = drawn.row(target)
    for source, pixels in enumerate(drawn.given.source_pixels):
        cells.append(Cell(pixels))
        cells += [_cell(drawn, made) for made in row if made.source == source]
    label = str(target) if len(target.channels) <= 1 else f"{target.layer.name}, together"
    return Row(label, tuple(_details(drawn, target, row[0], patches)), tuple(cells))


def _cell(drawn: Drawn, made: Made) -> Cell:
    hidden = made.withheld and not drawn.wish.show_withheld
    lines = [Line(f"residual {made.residual:.2f}")]
    if made.trust is not None:
        failed, trust = _failed(drawn, made), made.trust
        lines = [
            Line("trusted", "good") if trust.trusted else Line("not trusted", "bad"),
            *lines,
            Line(f"rank {trust.rank} of {made.target.layer.channels}", _tone("rank" not in failed)),
            Line(f"{trust.energy:+.1f} sigma", _tone("energy" not in failed)),
        ]
    return Cell(stretched(made.image), tuple(lines), hidden)


def _tone(fine: bool) -> Tone:
    return "quiet" if fine else "bad"


def _failed(drawn: Drawn, made: Made) -> list[str]:
    """Which parts of the trust test a picture fails, in a word each; `Trust.failed` has the sentences."""
    trust, layer = made.trust, made.target.layer
    if trust is None or trust.trusted or drawn.model.subject is None:
        return []
    rules = drawn.model.subject.settings.inversion
    parts = {
        "rank": trust.rank > max(1, int(rules.top_share * layer.channels)),
        "energy": trust.energy <= 0,
        "agreement": not trust.agreement >= rules.agreement,
        "controls": trust.layout is not None and trust.layout < rules.agreement,
        "dead": not drawn.model.subject.reference.layers[layer.name].live[made.target.channels[0]],
        "layer": not drawn.hinges[layer.name].holds,
    }
    return [part for part, fails in parts.items() if fails]


def _details(drawn: Drawn, target: Target, first: Made, patches: Sequence[Patch]) -> list[Line]:
    """What is said of a row: its filters, its crops, and what the trust test says of it as a whole."""
    channels = [*map(str, target.channels)] if len(target.channels) > 1 else []
    details = [Line(", ".join(channels[i : i + 5])) for i in range(0, len(channels), 5)]
    if len(drawn.layers) > 1:
        layer = target.layer
        details.append(Line(f"{layer.channels} filters, {layer.height} x {layer.width}"))
    if patches:
        details.append(Line(f"crops of {len(patches[0].pixels)} pixels"))
    if first.trust is not None:
        details += _of_filter(first.trust, _failed(drawn, first))
    return details


def _of_filter(trust: Trust, failed: Sequence[str]) -> list[Line]:
    """What the trust test says of all pictures of a filter alike."""
    lines = [Line(f"agreement {trust.agreement:.2f}", _tone("agreement" not in failed))]
    if trust.layout is not None:
        lines.append(Line(f"controls {trust.layout:.2f}", _tone("controls" not in failed)))
    meanings = {"dead": "a dead filter", "layer": "answers do not hinge on it"}
    return [*lines, *(Line(meaning, "bad") for part, meaning in meanings.items() if part in failed)]


def print_drawn(console: Console, drawn: Drawn) -> None:
    """Print what was made, what the trust test says of it, and where the sheet is."""
    wish = drawn.wish
    console.print(f"{escape(_title(drawn))}; model {drawn.model.name}, preset {wish.preset}", soft_wrap=True)
    console.print(_table(drawn))
    for sentence in _verdicts(drawn):
        console.print(escape(sentence), soft_wrap=True)
    if wish.pictures:
        count = sum(each.picture is not None for each in drawn.made)
        console.print(f"Pictures: {count} in {escape(str(wish.pictures))}", soft_wrap=True)
    console.print(f"Sheet: {escape(str(wish.out))}", soft_wrap=True)


def _table(drawn: Drawn) -> Table:
    tested = any(each.trust for each in drawn.made)
    table = Table(box=None, collapse_padding=True, pad_edge=False)
    table.add_column("filter", no_wrap=len(drawn.targets[0].channels) <= 1)
    table.add_column("source", overflow="fold")
    for name in ("seed", "residual", *(("rank", "sigma", "agree", "controls") if tested else ())):
        table.add_column(name, justify="right", no_wrap=True)
    if tested:
        table.add_column("trusted")
    for each in drawn.made:
        source = drawn.given.source_path(each.source).name
        cells = (str(each.target), source, str(each.seed), f"{each.residual:.3f}")
        table.add_row(*map(escape, cells), *(_tested(drawn, each) if tested else ()))
    return table


def _tested(drawn: Drawn, made: Made) -> tuple[str, ...]:
    trust = made.trust
    if trust is None:
        return ("", "", "", "", "untested")
    parts = ",\n".join(_failed(drawn, made)) or "; ".join(trust.failed)
    return (
        str(trust.rank),
        f"{trust.energy:+.1f}",
        f"{trust.agreement:.2f}",
        "" if trust.layout is None else f"{trust.layout:.2f}",
        "[green]yes[/]" if trust.trusted else f"[red]no: {escape(parts)}[/]",
    )


def _verdicts(drawn: Drawn) -> list[str]:
    """What the trust test says as a whole, and why, where it is not applied."""
    judged = [each for each in drawn.made if each.trust is not None]
    sentences = [hinge.complaint for hinge in drawn.hinges.values() if not hinge.holds]
    if judged:
        trusted = sum(not each.withheld for each in judged)
        sentences.append(f"{trusted} of {len(judged)} pictures are trusted{_needed(drawn)}.")
    return [*sentences, *untested_sentences(drawn)]


def _needed(drawn: Drawn) -> str:
    """What the trust test asks for, where something failed it."""
    if not any(each.withheld for each in drawn.made) or drawn.model.subject is None:
        return ""
    rules = drawn.model.subject.settings.inversion
    return (
        f"; needed: first or in the top {rules.top_share:.0%} of the layer's filters, above 0 sigma, and "
        f"agreement and controls of {rules.agreement:.2f}"
    )


def drawn_json(drawn: Drawn) -> dict[str, Any]:
    """The same for a script."""
    wish = drawn.wish
    return {
        "model": drawn.model.classifier.weights_hash,
        "preset": wish.preset,
        "what": wish.what,
        "draw": (wish.draw or "dirichlet") if wish.what == "random" else None,
        "layout": wish.layout,
        "sheet": str(wish.out.absolute()),
        "sources": [str(drawn.given.source_path(i)) for i in range(len(drawn.given.sources))],
        "not_tested": drawn.untested,
        "filters": [_target_json(drawn, target) for target in drawn.targets],
    }


def _target_json(drawn: Drawn, target: Target) -> dict[str, Any]:
    return {
        "filter": str(target),
        "layer": target.layer.name,
        "channels": list(target.channels),
        "crops": [
            {"image": str(drawn.given.paths[patch.image]), "activation": patch.activation}
            for patch in drawn.patches.get(target, ())
        ],
        "pictures": [_made_json(drawn, made) for made in drawn.row(target)],
    }


def _made_json(drawn: Drawn, made: Made) -> dict[str, Any]:
    trust = made.trust
    return {
        "source": str(drawn.given.source_path(made.source)),
        "seed": made.seed,
        "residual": made.residual,
        "trust": None if trust is None else {**asdict(trust), "trusted": trust.trusted},
        "picture": str(made.picture) if made.picture else None,
    }


# --- fmi style ---


@dataclass(frozen=True, slots=True)
class StyleWish:
    """What `fmi style` is asked for."""

    content: Path
    style: Path
    out: Path
    method: str = "all"
    layer: str | None = None
    content_weight: float = 10.0
    preset: str = "default"
    seeds: int = 1

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that are compared."""
        return METHODS if self.method == "all" else (self.method,)


@dataclass(frozen=True, slots=True)
class Styled:
    """Everything that `fmi style` made."""

    wish: StyleWish
    model: Model
    pixels: NDArray[np.uint8]  # (2, height, width, channel): content and style
    results: tuple[Restyled, ...]  # one for each method


def check_style(wish: StyleWish) -> None:
    """Raise InspectionError, or EngineError of a preset, where the options do not go together."""
    find_preset(wish.preset)
    _one_of("--method", wish.method, (*METHODS, "all"))
    for path in (wish.content, wish.style):
        if path.is_dir():
            raise ImageError(f"{path}: this is a folder; expected an image file")
    check_sheet(wish.out)


def style_wish(model: Model, wish: StyleWish, step: Step) -> Styled:
    """Draw the content in the style by each method, and the sheet. `check_style` comes before."""
    if wish.layer is not None:
        find_layer(model.layers, wish.layer)
    pixels = load_images([wish.content, wish.style], model.classifier.preprocessing)
    preset, results = find_preset(wish.preset), []
    with step("Restyling", len(wish.methods) * (preset.steps + preset.fine_steps)) as advance:
        for method in wish.methods:
            results.append(
                restyle(
                    model.classifier,
                    pixels[0],
                    pixels[1],
                    method,
                    wish.layer,
                    range(wish.seeds),
                    preset,
                    wish.content_weight,
                    advance,
                )
            )
    styled = Styled(wish, model, pixels, tuple(results))
    write_image(wish.out, draw(style_sheet(styled)))
    return styled


@dataclass(frozen=True, slots=True)
class Distances:
    """Distances to the style before (the content image) and after, means over the style layers."""

    sums_before: float
    sums_after: float
    gram_before: float
    gram_after: float
    sums_nearer: int  # style layers at which the sums came nearer
    gram_nearer: int
    layers: int

    @classmethod
    def of(cls, result: Restyled, picture: int | None = None) -> "Distances":
        """Of one picture of a result, or of their mean."""
        chosen = slice(None) if picture is None else slice(picture, picture + 1)
        sums = [(each.sums_before, float(each.sums_after[chosen].mean())) for each in result.styles]
        gram = [(each.gram_before, float(each.gram_after[chosen].mean())) for each in result.styles]
        return cls(*_means(sums), *_means(gram), _nearer(sums), _nearer(gram), len(result.styles))


def _means(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    before, after = np.mean(pairs, axis=0)
    return float(before), float(after)


def _nearer(pairs: Sequence[tuple[float, float]]) -> int:
    return sum(after < before for before, after in pairs)


def style_sentence(results: Sequence[Restyled]) -> str:
    """What the distances say of why a Gram matrix carries style, in one plain sentence."""
    found = {each.method: Distances.of(each) for each in results}
    if "sums" in found:
        return _of_sums(found["sums"], found.get("gram"))
    if "gram" in found:
        d = found["gram"]
        return (
            f"With nothing but the Gram matrices matched, the sums of the filters' maps "
            f"{_came(d.sums_before, d.sums_after)} (nearer at {d.sums_nearer} of {d.layers} style layers)."
        )
    d = found["rank"]
    return (
        f"With the energies of the maps matched by rank at {results[0].layer}, the sums of the filters' maps "
        f"{_came(d.sums_before, d.sums_after)}, and the Gram matrices {_came(d.gram_before, d.gram_after)}."
    )


def _of_sums(sums: Distances, gram: Distances | None) -> str:
    said = (
        f"With nothing but the sums of the filters' maps matched, the Gram matrices "
        f"{_came(sums.gram_before, sums.gram_after)} (nearer at {sums.gram_nearer} of {sums.layers} style "
        "layers)"
    )
    fall = sums.gram_before - sums.gram_after
    if gram is None or fall <= 0 or gram.gram_after >= gram.gram_before:
        return f"{said}."
    if gram.gram_after > HARDLY * gram.gram_before:
        return (
            f"{said}; matched directly they hardly came nearer either (to {gram.gram_after:.2f}), so that "
            "this says little: a lower --content-weight leaves the style more room."
        )
    share = fall / (gram.gram_before - gram.gram_after)
    carried = "most" if share > 0.5 else "the smaller part"
    return (
        f"{said}, {share:.0%} of the way that matching them directly goes (to {gram.gram_after:.2f}): here "
        f"the sums carry {carried} of what a Gram matrix carries."
    )


def _came(before: float, after: float) -> str:
    came = "came nearer to the style's" if after < before else "did not come nearer to the style's"
    return f"{came}, their distance from {before:.2f} to {after:.2f}"


METHOD_NAMES = {"rank": "ranks", "sums": "sums", "gram": "Gram matrices"}


def style_sheet(styled: Styled) -> Sheet:
    """The contact sheet: content, style, and the result of each method, a row for each seed."""
    wish, p = styled.wish, styled.model.classifier.preprocessing
    group = "the content drawn in the style, by matching"
    results = [Column(group, METHOD_NAMES[method]) for method in wish.methods]
    names = ", ".join(each.layer for each in styled.results[0].styles)
    return Sheet(
        "Style as reallocated energy",
        f"model {styled.model.name}   |   content at {styled.results[0].layer}   |   preset {wish.preset}",
        (p.height, p.width),
        (Column("given", "content"), Column("given", "style"), *results),
        tuple(_style_row(styled, i) for i in range(wish.seeds)),
        (
            style_sentence(styled.results),
            f"Distances are relative, and means over the style layers {names}: of the content image, and of "
            "the picture.",
        ),
    )


def _style_row(styled: Styled, seed: int) -> Row:
    wish = styled.wish
    names = (wish.content.name, wish.style.name)
    given = [Cell(each, (Line(name),)) for each, name in zip(styled.pixels, names, strict=True)]
    label = f"seed {seed}" if wish.seeds > 1 else ""
    first: list[Cell | None] = [*given] if seed == 0 else [None, None]
    return Row(label, (), (*first, *(_style_cell(each, seed) for each in styled.results)))


def _style_cell(result: Restyled, seed: int) -> Cell:
    picture = np.round(result.images[seed].transpose(1, 2, 0) * 255).astype(np.uint8)
    d = Distances.of(result, seed)
    lines = (
        Line(f"sums {d.sums_before:.2f} to {d.sums_after:.2f}", _fell(d.sums_before, d.sums_after)),
        Line(f"Gram {d.gram_before:.2f} to {d.gram_after:.2f}", _fell(d.gram_before, d.gram_after)),
        Line(f"content {float(result.content[seed]):.2f}"),
    )
    return Cell(picture, lines)


def _fell(before: float, after: float) -> Tone:
    return "good" if after < before else "bad"


def print_styled(console: Console, styled: Styled) -> None:
    """Print the distances before and after, what they show, and where the sheet is."""
    table = Table("matched", "style layer", box=None)
    for name in ("sums before", "after", "Gram before", "after", "content"):
        table.add_column(name, justify="right")
    for result in styled.results:
        for i, each in enumerate(result.styles):
            table.add_row(
                *(METHOD_NAMES[result.method] if i == 0 else "", escape(each.layer)),
                *(f"{each.sums_before:.3f}", f"{each.sums_after.mean():.3f}"),
                *(f"{each.gram_before:.3f}", f"{each.gram_after.mean():.3f}"),
                f"{result.content.mean():.3f}" if i == 0 else "",
            )
    console.print(table)
    console.print(escape(style_sentence(styled.results)), soft_wrap=True)
    console.print(f"Sheet: {escape(str(styled.wish.out))}", soft_wrap=True)


def styled_json(styled: Styled) -> dict[str, Any]:
    """The same for a script."""
    wish = styled.wish
    return {
        "model": styled.model.classifier.weights_hash,
        "preset": wish.preset,
        "content": str(wish.content.absolute()),
        "style": str(wish.style.absolute()),
        "content_weight": wish.content_weight,
        "sheet": str(wish.out.absolute()),
        "sentence": style_sentence(styled.results),
        "methods": [_result_json(each) for each in styled.results],
    }


def _result_json(result: Restyled) -> dict[str, Any]:
    return {
        "method": result.method,
        "content_layer": result.layer,
        "seeds": list(result.seeds),
        "loss": result.loss.tolist(),
        "content_distance": result.content.tolist(),
        "style_layers": [
            {
                "layer": each.layer,
                "sums_before": each.sums_before,
                "sums_after": each.sums_after.tolist(),
                "gram_before": each.gram_before,
                "gram_after": each.gram_after.tolist(),
            }
            for each in result.styles
        ],
    }
