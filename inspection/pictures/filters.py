"""What `fmi invert` makes: pictures of filters, tested."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from fmi_engine.cache import PrimitiveCache
from fmi_engine.energy import flatten_maps, isolate, reallocate_at_random, shuffle_maps
from fmi_engine.inversion import BATCH, Descent, Job, Run, invert, invert_codes, source_code
from fmi_engine.natural import Examples
from fmi_engine.patches import Patch, exciting_patches
from fmi_engine.presets import Preset, find_preset
from fmi_engine.types import AblationCheck, FilterRef, FloatArray, Inversion, Layer, Trust
from inspection.evidence import surface
from inspection.evidence.layer_facts import check_ablation
from inspection.evidence.primitives import CONTROLS, SOURCE, made_of, stretched, trust_test
from inspection.evidence.subject import Subject
from inspection.inputs.images import write_image
from inspection.inputs.labelled import load_images
from inspection.pictures.model import Model, measured
from inspection.pictures.request import LAYOUTS, FilterRequest, Target, any_few, busiest, read_targets
from inspection.pictures.sources import Given, Step, find_images

Which = tuple[FilterRef, int, int]
"""A primitive of the sheet: its filter, its source (by position) and its seed."""
PATCHES = 4  # real crops beside a filter's primitives
HARDLY = 0.75  # of a distance: where more than this is left, little was gained
CPU_BATCH = 4  # pictures of one descent, so that the bar moves


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

    request: FilterRequest
    model: Model
    given: Given
    targets: tuple[Target, ...]
    made: tuple[Made, ...]
    patches: dict[Target, tuple[Patch, ...]]
    untested: dict[str, str]  # layer -> why its pictures were not put to the trust test
    ablations: dict[str, AblationCheck]  # layer -> whether right answers depend on it

    def row(self, target: Target) -> list[Made]:
        """The pictures of one target."""
        return [each for each in self.made if each.target == target]

    @property
    def layers(self) -> list[Layer]:
        """The layers of the targets, each once."""
        return [*dict.fromkeys(target.layer for target in self.targets)]


@dataclass(frozen=True, slots=True)
class _Work:
    """What is made of which images, once the request is resolved."""

    request: FilterRequest
    model: Model
    given: Given
    targets: tuple[Target, ...]

    @property
    def begun(self) -> list[tuple[Target, int, int]]:
        """Every target from every source (by position), with every seed."""
        sources, seeds = range(len(self.given.sources)), range(self.request.seeds)
        return [(target, source, seed) for target in self.targets for source in sources for seed in seeds]

    def of_layers(self, without: Container[str] = ()) -> list[Layer]:
        """The layers of the targets, each once."""
        return [*dict.fromkeys(each.layer for each in self.targets if each.layer.name not in without)]


def draw_filters(model: Model, request: FilterRequest, step: Step) -> Drawn:
    """Make, test and save the pictures that are asked for. `check_request` comes before."""
    paths, sources = find_images(request.images, request.sources)
    read_targets(request, model.layers, any_few)  # what is misspelt is told before images are read
    with step("Reading the images", len(paths)) as advance:
        pixels = load_images(paths, model.classifier.preprocessing, advance, model.reading_of(paths))
    given = Given(tuple(paths), tuple(sources), pixels)
    targets = read_targets(request, model.layers, lambda layer: busiest(model, layer, pixels, step))
    if request.one_filter_each:
        model = measured(model, step)
    work = _Work(request, model, given, tuple(targets))
    untested = _untested(work)
    if request.one_filter_each:
        made, ablations = _isolated(work, untested, step)
    else:
        made, ablations = _by_code(work, step), {}
    patches = _patches(work, step)
    if request.pictures:
        made = [_kept(each, request) for each in made]
    return Drawn(request, model, given, work.targets, tuple(made), patches, untested, ablations)


def _untested(work: _Work) -> dict[str, str]:
    """Why the pictures of a layer cannot be put to the trust test, for each layer where they cannot."""
    return {layer.name: reason for layer in work.of_layers() if (reason := _why_untested(work, layer))}


def _why_untested(work: _Work, layer: Layer) -> str | None:
    request = work.request
    if not request.one_filter_each:
        return "it judges pictures of single filters"
    if request.layout != SOURCE:
        return f"it judges pictures laid out as their source, and these ({request.layout}) control"
    if work.model.subject is None:
        return "no workspace's reference images say what is normal for a filter"
    if sum(target.layer == layer for target in work.targets) < 2:
        return "it compares filters, and this is the only one of its layer: name another"
    if len(work.given.sources) * request.seeds < 2:
        return "it compares pictures, and this is a filter's only one: ask for 2 seeds or images"
    return None


def _isolated(
    work: _Work, untested: Container[str], step: Step
) -> tuple[list[Made], dict[str, AblationCheck]]:
    """One filter a picture, through the cache and, where possible, the trust test."""
    found, subject = _inverted(work, untested, step), work.model.subject
    trusts: dict[Which, Trust] = {}
    ablations: dict[str, AblationCheck] = {}
    for layer in work.of_layers(untested):
        assert subject is not None
        with step("Testing the primitives", None):
            ablations[layer.name] = check_ablation(subject, layer)
            trusts |= _trusts(subject, layer, found, ablations[layer.name])
    refs = {_ref(target): target for target in work.targets}
    shown = [each for each in found if each.layout == work.request.layout]
    return [
        Made(refs[each.filter], each.source, each.seed, each.image, each.residual, trusts.get(_which(each)))
        for each in shown
    ], ablations


def _ref(target: Target) -> FilterRef:
    return FilterRef(target.layer.name, target.channels[0])


def _inverted(work: _Work, untested: Container[str], step: Step) -> list[Inversion]:
    """The inversions that are asked for, and the controls of those that are tested."""
    model, request = work.model, work.request
    layout = next(each for each in LAYOUTS if each == request.layout)
    refs = [_ref(target) for target in work.targets]
    jobs = [
        *(Job(_ref(target), source, seed, layout) for target, source, seed in work.begun),
        *(Job(ref, 0, 0, each) for ref in refs if ref.layer not in untested for each in CONTROLS),
    ]
    size = CPU_BATCH if model.classifier.device.type == "cpu" else BATCH
    cache = PrimitiveCache(model.cache) if model.cache else None
    reference = model.subject.reference if model.subject else None
    preset = find_preset(request.preset)
    if model.subject:
        with step("Learning the surfaces", surface.steps_of(model.subject, preset)) as advance:
            surface.learn_surfaces(model.subject, preset, advance)
    examples = {layer.name: _examples(work, layer, preset) for layer in work.of_layers()}
    found: list[Inversion] = []
    with step("Inverting filters", len(jobs)) as advance:
        run = Run(size, advance, cache)
        for name, real in examples.items():
            mine = [job for job in jobs if job.filter.layer == name]
            found += invert(model.classifier, mine, work.given.source_pixels, preset, reference, real, run)
    return found


def _examples(work: _Work, layer: Layer, preset: Preset) -> Examples:
    """The real images that pictures are made of: those of a workspace's references that do not judge them.

    Without a workspace those that were given.
    """
    subject = work.model.subject
    return made_of(subject, layer, preset) if subject else Examples(work.given.pixels, {})


def _which(inversion: Inversion) -> Which:
    return inversion.filter, inversion.source, inversion.seed


def _trusts(
    subject: Subject, layer: Layer, found: Sequence[Inversion], ablation: AblationCheck
) -> dict[Which, Trust]:
    """The verdicts on the primitives of the layer that was checked."""
    mine = [each for each in found if each.filter.layer == layer.name]
    tested = [_which(each) for each in mine if each.layout == SOURCE]
    return dict(zip(tested, trust_test(subject, layer, mine, ablation), strict=True))


def _by_code(work: _Work, step: Step) -> list[Made]:
    """Codes that are no single filter's: unchanged, shared out at random, or on several filters."""
    preset, classifier = find_preset(work.request.preset), work.model.classifier
    sources = work.given.source_pixels
    batches = [
        mine[i : i + BATCH]
        for layer in work.of_layers()
        for mine in [[each for each in work.begun if each[0].layer == layer]]
        for i in range(0, len(mine), BATCH)
    ]
    made = []
    with step("Inverting codes", len(batches) * (preset.steps + preset.fine_steps)) as advance:
        for batch in batches:
            name, seeds = batch[0][0].layer.name, [seed for _, _, seed in batch]
            code = source_code(classifier, name, sources[[source for _, source, _ in batch]], preset)
            goal = _changed(work.request, code, [target for target, _, _ in batch], seeds)
            images, residuals = invert_codes(classifier, name, goal, Descent(seeds, preset, sources), advance)
            pictures = images.cpu().numpy()
            made += [Made(*each, pictures[i], float(residuals[i])) for i, each in enumerate(batch)]
    return made


def _changed(request: FilterRequest, code: Tensor, targets: Sequence[Target], seeds: Sequence[int]) -> Tensor:
    if request.what == "isolate":
        code = isolate(code, [target.channels for target in targets])
    elif request.what == "random":
        code = reallocate_at_random(code, seeds, request.draw or "dirichlet")
    if request.layout == "shuffled":
        return shuffle_maps(code, seeds)
    return flatten_maps(code) if request.layout == "constant" else code


def _patches(work: _Work, step: Step) -> dict[Target, tuple[Patch, ...]]:
    """The real crops that excite each target most; of several filters together, the best of each."""
    found: dict[Target, tuple[Patch, ...]] = {}
    model, pixels = work.model, work.given.pixels
    for layer in dict.fromkeys(target.layer for target in work.targets if target.channels):
        mine = [target for target in work.targets if target.layer == layer]
        channels = [*dict.fromkeys(channel for target in mine for channel in target.channels)]
        with step("Finding real crops", None):
            best = exciting_patches(model.classifier, layer, channels, pixels, PATCHES, model.batch_size)
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


def _kept(made: Made, request: FilterRequest) -> Made:
    """Save a picture in a file of its own; one that is withheld is not."""
    assert request.pictures is not None
    if made.withheld and not request.show_withheld:
        return made
    target = str(made.target).replace(":", "-").replace(",", "+")
    path = request.pictures / f"{target}-source{made.source}-seed{made.seed}.png"
    write_image(path, stretched(made.image))
    return replace(made, picture=path.absolute())
