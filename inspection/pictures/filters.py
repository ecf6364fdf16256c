"""What `fmi invert` makes: pictures of filters, tested."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from fmi_engine.cache import PrimitiveCache
from fmi_engine.energy import flatten_maps, isolate, reallocate_at_random, shuffle_maps
from fmi_engine.inversion import BATCH, Job, invert, invert_codes, source_code
from fmi_engine.patches import Patch, exciting_patches
from fmi_engine.presets import find_preset
from fmi_engine.types import AblationCheck, FilterRef, FloatArray, Inversion, Layer, Trust
from inspection.evidence.primitives import CONTROLS, SOURCE, check_ablation, stretched, trust_test
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


def draw_filters(model: Model, request: FilterRequest, step: Step) -> Drawn:
    """Make, test and save the pictures that are asked for. `check_request` comes before."""
    paths, sources = find_images(request.images, request.sources)
    read_targets(request, model.layers, any_few)  # what is misspelt is told before images are read
    with step("Reading the images", len(paths)) as advance:
        pixels = load_images(paths, model.classifier.preprocessing, advance)
    given = Given(tuple(paths), tuple(sources), pixels)
    targets = read_targets(request, model.layers, lambda layer: busiest(model, layer, pixels, step))
    if request.one_filter_each:
        model = measured(model, step)
    untested = _untested(model, request, targets, len(sources) * request.seeds)
    if request.one_filter_each:
        made, ablations = _isolated(model, request, targets, given, untested, step)
    else:
        made, ablations = _by_code(model, request, targets, given, step), {}
    patches = _patches(model, targets, given, step)
    if request.pictures:
        made = [_kept(each, request) for each in made]
    return Drawn(request, model, given, tuple(targets), tuple(made), patches, untested, ablations)


def _untested(
    model: Model, request: FilterRequest, targets: Sequence[Target], pictures: int
) -> dict[str, str]:
    """Why the pictures of a layer cannot be put to the trust test, for each layer where they cannot."""
    reasons = {}
    for layer in dict.fromkeys(target.layer.name for target in targets):
        filters = sum(target.layer.name == layer for target in targets)
        if not request.one_filter_each:
            reasons[layer] = "it judges pictures of single filters"
        elif request.layout != SOURCE:
            reasons[layer] = (
                f"it judges pictures laid out as their source, and these ({request.layout}) control"
            )
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
    request: FilterRequest,
    targets: Sequence[Target],
    given: Given,
    untested: dict[str, str],
    step: Step,
) -> tuple[list[Made], dict[str, AblationCheck]]:
    """One filter a picture, through the cache and, where possible, the trust test."""
    refs = {FilterRef(target.layer.name, target.channels[0]): target for target in targets}
    layout = next(each for each in LAYOUTS if each == request.layout)
    jobs = [
        *(
            Job(r, s, n, layout)
            for r in refs
            for s in range(len(given.sources))
            for n in range(request.seeds)
        ),
        *(Job(r, 0, 0, each) for r in refs if r.layer not in untested for each in CONTROLS),
    ]
    on_cpu = model.classifier.device.type == "cpu"
    with step("Inverting filters", len(jobs)) as advance:
        found = invert(
            model.classifier,
            jobs,
            given.source_pixels,
            find_preset(request.preset),
            CPU_BATCH if on_cpu else BATCH,
            advance,
            model.subject.reference if model.subject else None,
            PrimitiveCache(model.cache) if model.cache else None,
        )
    trusts: dict[Which, Trust] = {}
    ablations: dict[str, AblationCheck] = {}
    for layer in dict.fromkeys(target.layer for target in targets if target.layer.name not in untested):
        assert model.subject is not None
        with step("Testing the primitives", None):
            ablations[layer.name] = check_ablation(model.subject, layer)
            trusts |= _trusts(model.subject, found, ablations[layer.name])
    shown = [each for each in found if each.layout == layout]
    return [
        Made(refs[each.filter], each.source, each.seed, each.image, each.residual, trusts.get(_which(each)))
        for each in shown
    ], ablations


def _which(inversion: Inversion) -> Which:
    return inversion.filter, inversion.source, inversion.seed


def _trusts(subject: Subject, found: Sequence[Inversion], ablation: AblationCheck) -> dict[Which, Trust]:
    """The verdicts on the primitives of the layer that was checked."""
    mine = [each for each in found if each.filter.layer == ablation.layer]
    tested = [_which(each) for each in mine if each.layout == SOURCE]
    return dict(zip(tested, trust_test(subject, mine, ablation), strict=True))


def _by_code(
    model: Model, request: FilterRequest, targets: Sequence[Target], given: Given, step: Step
) -> list[Made]:
    """Codes that are no single filter's: unchanged, shared out at random, or on several filters."""
    preset = find_preset(request.preset)
    asked = [(t, s, n) for t in targets for s in range(len(given.sources)) for n in range(request.seeds)]
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
            goal = _changed(request, code, [target for target, _, _ in batch], seeds)
            images, residuals = invert_codes(
                model.classifier, name, goal, seeds, preset, given.source_pixels, advance
            )
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


def _kept(made: Made, request: FilterRequest) -> Made:
    """Save a picture in a file of its own; one that is withheld is not."""
    assert request.pictures is not None
    if made.withheld and not request.show_withheld:
        return made
    target = str(made.target).replace(":", "-").replace(",", "+")
    path = request.pictures / f"{target}-source{made.source}-seed{made.seed}.png"
    write_image(path, stretched(made.image))
    return replace(made, picture=path.absolute())
