"""What a texture primitive costs: ours, the paper's and Lucent's, and one step against its floor.

In an environment of its own, because Lucent asks for libraries that no user should meet:

    python3 -m venv .venv-bench && .venv-bench/bin/pip install -e '.[bench]'
    .venv-bench/bin/python -m tests.benchmarks.inversion --json inversion.json

Everybody inverts the same filters of the same network at the same image size, on one machine, and
everybody's pictures go through the same trust test, which asks for readability and that they are no
copies. What ours learns of the images, once for a model, stands apart (`learning_seconds`). Each
measurement is kept in the cache folder under what it answers, so a stopped run goes on where it stopped;
remove the folder to measure anew.

The peers:

- `default`: `PRESETS["default"]`, in batches.
- `paper`: `PRESETS["paper"]`, in the same batches.
- `lucent`: Lucent as it comes: 512 steps of Adam at 0.05, its transforms, its decorrelated spectrum, one
  channel, one picture at a time. It enlarges what is smaller than 224 pixels before the network sees it,
  so its textures are made for another scale than that of the picture it hands out.
- `lucent_own_view`: the same pictures, enlarged before they are fed back as Lucent enlarged them.
- `lucent_at_size`: Lucent told (`fixed_image_size`) to keep to the network's own size: quicker, and fed
  back at the scale for which it was made.

Lucent gets the network behind the network's own normalisation, frozen (which spares it the gradients of
the weights), and a fresh copy for every picture, because it never removes the hooks it sets.
"""

import argparse
import hashlib
import importlib
import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn

import fmi_engine
from fmi_engine.classifier import (
    Classifier,
    Preprocessing,
    build_network,
    choose_device,
    load_classifier,
)
from fmi_engine.denoiser import Denoiser, learn_denoiser, weights_of, with_weights
from fmi_engine.errors import EngineError
from fmi_engine.inversion import Job, Run, invert
from fmi_engine.jury import parted, summon
from fmi_engine.natural import Examples
from fmi_engine.presets import PRESETS, Preset
from fmi_engine.probe import find_layer, find_layers, truncated
from fmi_engine.reference import Reference, build_reference, measure_energies
from fmi_engine.trust import trust_test
from fmi_engine.types import FilterRef, FloatArray, Inversion, Layer
from fmi_engine.vision import torchvision
from inspection.console import Console, Table
from inspection.errors import InspectionError
from inspection.evidence.subject import draw_references
from inspection.inputs.image_sets import read_image_set
from inspection.inputs.labelled import Labelled, evenly, load_images
from inspection.inputs.sample_line import DEFECTS, SampleLine, write_images
from inspection.models import first_model
from inspection.workspace.files import replacing, write_whole
from inspection.workspace.settings import ComputeSettings, Settings

ARCHITECTURE = "resnet18"
OURS = ("default", "paper")  # presets
LUCENT = ("lucent", "lucent_at_size")
RIVALS = ("lucent", "lucent_own_view", "lucent_at_size")
LUCENT_STEPS = 512  # the default of its render_vis
LUCENT_SIZE = 224  # pixels: it enlarges what is smaller, unless told otherwise
PEER_LAYERS = ("layer2", "layer3")
STEP_LAYERS = ("relu", "layer1", "layer2", "layer3", "layer4")
SEEDS = 2  # pictures of a filter: each from a seed and, ours, a source image of its own
REFERENCES = 40  # reference images of a class
SHORT, LONG = 1, 5  # steps of the two descents whose difference is the time of a step
GPU_ARCHITECTURE, GPU_LAYER, GPU_SIZE, GPU_BATCH = "resnet50", "layer3", 224, 128
VERSIONED = ("torch", "torchvision", "torch-lucent", "kornia", "numpy", "scipy")
INSTALL = "python3 -m venv .venv-bench && .venv-bench/bin/pip install -e '.[bench]'"

Advance = Callable[[int], None]
Json = dict[str, Any]
T = TypeVar("T")


class BenchmarkError(Exception):
    """The benchmark cannot run: says what to do."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a run is, where the command line does not say."""

    size: int  # pixels, both sides
    filters: int  # of a layer
    lucent_filters: int  # the first of them: Lucent takes minutes a picture
    batch: int  # pictures, ours
    layers: int  # of the peers' layers
    per_class: int  # rendered images, without --images
    epochs: int
    repeats: int  # of the timing of a step


FULL = Scale(size=128, filters=8, lucent_filters=3, batch=16, layers=2, per_class=100, epochs=10, repeats=5)
QUICK = Scale(size=64, filters=4, lucent_filters=2, batch=8, layers=1, per_class=80, epochs=10, repeats=3)


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    json: Path
    images: Path | None
    cache: Path
    size: int
    filters: int
    lucent_filters: int
    peer_layers: tuple[str, ...]
    step_layers: tuple[str, ...]
    batch: int
    per_class: int
    epochs: int
    repeats: int
    device: str


@dataclass(frozen=True, slots=True)
class Bench:
    """The network that everybody inverts, and what is normal for it."""

    options: Options
    folder: Path  # of the network's weights
    classifier: Classifier
    layers: Mapping[str, Layer]  # those measured
    reference: Reference
    sources: NDArray[np.uint8]  # correct images (SEEDS, height, width, channel)
    examples: Examples  # all correct images, with a denoiser that has learnt every second one
    learning_seconds: float  # that this took, once for the network
    filters: Mapping[str, tuple[int, ...]]  # by layer
    accuracy: float  # on the images kept for validation


@dataclass(frozen=True, slots=True)
class Taken:
    """One picture and its share of the time of its batch."""

    filter: FilterRef
    seed: int
    image: FloatArray  # (channel, height, width), 0 to 1
    seconds: float  # of wall clock
    cpu_seconds: float  # of all threads


@dataclass(frozen=True, slots=True)
class Judged:
    """A picture fed back."""

    trusted: bool
    rank: int  # 1 is best
    energy: float  # sigma


# --- what is kept -----------------------------------------------------------------------------------------


class Kept:
    """Measurements on disk, each under the hash of its question: asked again, it is not measured again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record(self, question: Json, measure: Callable[[], Json]) -> Json:
        """The kept answer to a question, or the one measured and kept now."""
        path = self._path(question, "json")
        if not path.is_file():
            write_json(path, measure())
        answer: Json = json.loads(path.read_text(encoding="utf-8"))
        return answer

    def pictures(self, question: Json, measure: Callable[[], dict[str, NDArray[Any]]]) -> dict[str, Any]:
        """The same for arrays."""
        path = self._path(question, "npz")
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            answer = measure()
            with replacing(path) as partial, partial.open("wb") as file:
                np.savez(file, **answer)  # type: ignore[arg-type]
        with np.load(path) as held:
            return {name: held[name] for name in held}

    def _path(self, question: Json, suffix: str) -> Path:
        text = json.dumps(question, sort_keys=True, default=str)
        return self.folder / f"{question['of']}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.{suffix}"


def write_json(path: Path, value: Json) -> None:
    """Write a file as a whole or not at all. Raises BenchmarkError where it cannot be written."""
    try:
        write_whole(path, f"{json.dumps(value, indent=2, allow_nan=False)}\n".encode())
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be written: {error.strerror}") from None


def check_writable(path: Path) -> None:
    """Raise BenchmarkError now, not after the long run, where the answer could not be written."""
    if path.is_dir():
        raise BenchmarkError(f"{path} is a folder; --json takes the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be written: {error.strerror}") from None


def machine(device: torch.device) -> Json:
    """What the timings depend on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> Json:
    """The versions of what is measured, and a hash of the engine's own source."""
    found: Json = {"python": platform.python_version(), "fmi_engine": engine_hash()}
    for name in VERSIONED:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


@cache
def engine_hash() -> str:
    """Of the engine's source files: measurements of another engine do not count as ours."""
    folder = Path(fmi_engine.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


# --- time -------------------------------------------------------------------------------------------------


def timed(device: torch.device, work: Callable[[], T]) -> tuple[T, float, float]:
    """Do the work; returns its result, the seconds of wall clock and those of all threads."""
    _wait(device)
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    _wait(device)
    return result, time.perf_counter() - wall, time.process_time() - cpu


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def step(name: str, total: int) -> Iterator[Advance]:
    """Show a bar on the terminal for one part of the run; nothing where there is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<34}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task(name, total=total)
        yield lambda count: bars.advance(bar, count)


# --- the network ------------------------------------------------------------------------------------------


def prepare(options: Options) -> Bench:
    """Train the network, or take it from the cache, and measure what is normal for it."""
    device = choose_device(options.device)
    _layers(options, build_network(ARCHITECTURE, 2, 3).eval())  # before the training: a name may be wrong
    settings = Settings(compute=ComputeSettings(device=str(device)))
    images = read_image_set(options.images or _rendered(options))
    request = first_model.FirstModelRequest((), ARCHITECTURE, (options.size, options.size), 3, options.epochs)
    plan = first_model.plan_training(settings, images, request)
    folder = _trained(options, settings, plan)
    classifier = load_network(folder, str(device))
    layers = _layers(options, classifier.network)
    reference, correct, accuracy = _normal(classifier, plan, [*layers.values()])
    sources = correct.images[evenly(correct.labels, SEEDS)]
    filters = {name: draw_filters(reference.layers[name].energy.mean(0), options.filters) for name in layers}
    denoiser, seconds = _learnt(folder, classifier, correct, settings.inversion.denoiser_steps)
    examples = Examples(correct.images, {}, denoiser)
    for name in options.peer_layers:
        examples = examples.at(classifier, layers[name])
    return Bench(
        options, folder, classifier, layers, reference, sources, examples, seconds, filters, accuracy
    )


def _learnt(folder: Path, classifier: Classifier, correct: Labelled, steps: int) -> tuple[Denoiser, float]:
    """A denoiser of the images that pictures are made of, and the seconds that learning it took; kept."""
    images = parted(Examples(correct.images, {}))[0].images
    path = folder / f"denoiser-{steps}-{engine_hash()[:16]}.npz"
    if not path.is_file():
        with step("Learning the surfaces", steps) as advance:
            denoiser, seconds, _ = timed(
                classifier.device,
                lambda: learn_denoiser(images, steps, classifier.device, progress=advance),
            )
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, seconds=np.array(seconds), **weights_of(denoiser))  # type: ignore[arg-type]
    with np.load(path) as held:
        kept = dict(held)
    seconds = float(kept.pop("seconds"))
    return with_weights(kept), seconds


def _layers(options: Options, network: nn.Module) -> dict[str, Layer]:
    device = next(network.parameters()).device
    x = torch.randn(1, 3, options.size, options.size, generator=torch.Generator().manual_seed(0))
    existing = find_layers(network, x.to(device))
    names = dict.fromkeys((*options.peer_layers, *options.step_layers))
    return {name: find_layer(existing, name) for name in names}


def _rendered(options: Options) -> Path:
    folder = options.cache / f"rendered-{options.size}-{options.per_class}"
    done = 0
    with step("Rendering the line", options.per_class * len(DEFECTS)) as advance:

        def tell(count: int) -> None:
            nonlocal done
            advance(count - done)
            done = count

        write_images(SampleLine(size=options.size), folder, options.per_class, 1, tell)
    return folder


def _trained(options: Options, settings: Settings, plan: first_model.TrainingPlan) -> Path:
    """The folder that holds the network of a plan; trained where it is not there yet."""
    seen = [f"{each.label}/{Path(each.image_path).name} {each.split}" for each in plan.references]
    asked = [ARCHITECTURE, plan.height, plan.epochs, settings.training.model_dump(), seen]
    key = hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()[:16]
    folder = options.cache / f"network-{key}"
    if not (folder / "network.json").is_file():
        with step("Reading images", len(plan.references)) as advance:
            data = first_model.load_splits(plan, advance)
        with step(f"Training {ARCHITECTURE}", len(plan.train) * plan.epochs) as advance:
            network, spec = first_model.train(settings, plan, data, advance)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / "weights.pt") as partial:
            torch.save({name: value.cpu() for name, value in network.state_dict().items()}, partial)
        described = {"class_names": spec.class_names, "preprocessing": asdict(spec.preprocessing)}
        write_json(folder / "network.json", described)
    return folder


def load_network(folder: Path, device: str) -> Classifier:
    """The trained network of a folder, always from its file: so the first run times what later ones do."""
    held = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    p = held["preprocessing"]
    preprocessing = Preprocessing(**{**p, "mean": tuple(p["mean"]), "std": tuple(p["std"])})
    return load_classifier(ARCHITECTURE, folder / "weights.pt", held["class_names"], preprocessing, device)


def _normal(
    classifier: Classifier, plan: first_model.TrainingPlan, layers: Sequence[Layer]
) -> tuple[Reference, Labelled, float]:
    chosen = draw_references(plan.references, REFERENCES, seed=0)
    with step("Measuring what is normal", 2 * len(chosen)) as advance:
        paths = [Path(each.image_path) for each in chosen]
        images = load_images(paths, classifier.preprocessing, advance, plan.how)
        labels = np.array([plan.class_names.index(each.label) for each in chosen], np.int64)
        batches = ((images[i : i + 32], labels[i : i + 32]) for i in range(0, len(images), 32))
        reference = build_reference(classifier, layers, batches, progress=advance)
    kept_back = np.array([each.split == "val" for each in chosen])
    accuracy = float(reference.correct[kept_back].mean()) if kept_back.any() else math.nan
    return reference, Labelled(images, labels).subset(reference.correct), accuracy


def draw_filters(energy: FloatArray, count: int) -> tuple[int, ...]:
    """Draw the filters that everybody inverts, among those that answer to real images at all."""
    alive = np.flatnonzero(energy > 0)
    if len(alive) < count:
        raise BenchmarkError(f"{count} filters asked for, and {len(alive)} of this layer answer to anything")
    return tuple(int(each) for each in np.random.default_rng(0).permutation(alive)[:count])


# --- the peers --------------------------------------------------------------------------------------------


def question(bench: Bench, of: str, **more: Any) -> Json:
    """What identifies a measurement of this network on this machine."""
    return {
        "of": of,
        "weights": bench.classifier.weights_hash,
        "size": bench.options.size,
        "machine": machine(bench.classifier.device),
        "torch": torch.__version__,
        **more,
    }


def take_ours(bench: Bench, kept: Kept, name: str, layer: str) -> list[Taken]:
    """Invert the layer's filters with one of our presets, in batches."""
    jobs = jobs_of(layer, bench.filters[layer])
    taken: list[Taken] = []
    with step(f"{name}, {layer}", len(jobs)) as advance:
        for i in range(0, len(jobs), bench.options.batch):
            taken += _our_batch(bench, kept, name, jobs[i : i + bench.options.batch])
            advance(min(bench.options.batch, len(jobs) - i))
    return taken


def jobs_of(layer: str, channels: Sequence[int]) -> list[Job]:
    """Every filter from every source image, with a seed of its own for each."""
    return [Job(FilterRef(layer, channel), seed, seed) for channel in channels for seed in range(SEEDS)]


def _our_batch(bench: Bench, kept: Kept, name: str, jobs: Sequence[Job]) -> list[Taken]:
    preset = PRESETS[name]

    def measure() -> dict[str, NDArray[Any]]:
        def made(asked: Preset) -> list[Inversion]:
            examples, run = parted(bench.examples)[0], Run(len(jobs))
            return invert(bench.classifier, jobs, bench.sources, asked, bench.reference, examples, run)

        made(brief(preset, 1))  # warm
        done, wall, cpu = timed(bench.classifier.device, lambda: made(preset))
        return {"images": np.stack([each.image for each in done]), "spent": np.array([wall, cpu])}

    held = kept.pictures(
        question(
            bench, name, engine=engine_hash(), preset=asdict(preset), jobs=[asdict(job) for job in jobs]
        ),
        measure,
    )
    wall, cpu = (float(value) / len(jobs) for value in held["spent"])
    return [
        Taken(job.filter, job.seed, image, wall, cpu) for job, image in zip(jobs, held["images"], strict=True)
    ]


def brief(preset: Preset, steps: int) -> Preset:
    """The preset with so many steps and no others, none of which is spared by stopping early."""
    return replace(preset, steps=steps, fine_steps=0, tolerance=min(preset.tolerance, 1e-30))


def take_lucent(bench: Bench, kept: Kept, name: str, layer: str) -> list[Taken]:
    """Invert the first of the layer's filters with Lucent, one picture at a time, as it does."""
    jobs = jobs_of(layer, bench.filters[layer][: bench.options.lucent_filters])
    with step(f"{name}, {layer} (steps)", len(jobs) * LUCENT_STEPS) as advance:
        return [_lucent_picture(bench, kept, name, job, advance) for job in jobs]


def _lucent_picture(bench: Bench, kept: Kept, name: str, job: Job, advance: Advance) -> Taken:
    own_size = name == "lucent_at_size"

    def measure() -> dict[str, NDArray[Any]]:
        render_lucent(bench.classifier, job, own_size, steps=1)  # warm
        image, wall, cpu = render_lucent(bench.classifier, job, own_size, advance=advance)
        return {"image": image, "spent": np.array([wall, cpu])}

    asked = question(bench, name, lucent=metadata.version("torch-lucent"), job=asdict(job))
    held = kept.pictures(asked, measure)
    wall, cpu = (float(value) for value in held["spent"])
    return Taken(job.filter, job.seed, held["image"], wall, cpu)


class Fed(nn.Module):
    """A copy of the network that takes pictures in 0 to 1, by its own normalisation, and counts passes."""

    def __init__(self, classifier: Classifier, advance: Advance | None = None) -> None:
        super().__init__()
        self.network = deepcopy(classifier.network)
        self.preprocessing = classifier.preprocessing
        self.advance = advance
        self.passes = 0

    def forward(self, picture: Tensor) -> Tensor:
        """Run the network."""
        self.passes += 1
        if self.advance:
            self.advance(1)
        answer: Tensor = self.network(self.preprocessing.normalise(picture))
        return answer


def render_lucent(
    classifier: Classifier,
    job: Job,
    own_size: bool,
    steps: int = LUCENT_STEPS,
    advance: Advance | None = None,
) -> tuple[FloatArray, float, float]:
    """One picture (channel, height, width) by Lucent with its defaults, and the seconds it took.

    Lucent ends quietly when it is interrupted, with the picture as it stands; here that is an interrupt.
    """
    render, param = (importlib.import_module(f"lucent.optvis.{name}") for name in ("render", "param"))
    network = Fed(classifier, advance)
    size = classifier.preprocessing.height
    torch.manual_seed(job.seed)
    np.random.seed(job.seed)  # noqa: NPY002  (Lucent's transforms draw from it)

    def work() -> list[FloatArray]:
        pictures: list[FloatArray] = render.render_vis(
            network,
            f"network_{job.filter.layer.replace('.', '_')}:{job.filter.channel}",
            param_f=lambda: param.image(size),
            thresholds=(steps,),
            preprocess=False,  # it knows ImageNet's normalisation only
            progress=False,
            show_image=False,
            fixed_image_size=size if own_size else None,
        )
        return pictures

    pictures, wall, cpu = timed(classifier.device, work)
    if network.passes < steps:
        raise KeyboardInterrupt
    return pictures[0][0].transpose(2, 0, 1), wall, cpu


def enlarged(taken: Taken) -> Taken:
    """The picture as Lucent enlarged it before its network saw it."""
    size = max(taken.image.shape[-1], LUCENT_SIZE)
    enlarge = nn.Upsample(size=size, mode="bilinear", align_corners=True)
    return replace(taken, image=enlarge(torch.from_numpy(taken.image)[None])[0].numpy())


def load_lucent() -> None:
    """Import Lucent, after torchvision in the way that works beside a CPU torch.

    Raises BenchmarkError with the two commands where it is not installed.
    """
    torchvision()
    try:
        metadata.version("torch-lucent")
        importlib.import_module("lucent.optvis.render")
    except ImportError as error:  # PackageNotFoundError is one
        raise BenchmarkError(
            f"the peers are not installed here ({error}). In the project's folder: {INSTALL} and then "
            ".venv-bench/bin/python -m tests.benchmarks.inversion ..."
        ) from None


def judge(bench: Bench, layer: str, taken: Sequence[Taken]) -> list[Judged]:
    """The project's trust test of pictures of one layer, whoever made them, all of one maker."""
    inversions = [Inversion(each.filter, each.seed, each.seed, each.image, math.nan) for each in taken]
    channels = [*dict.fromkeys(each.filter.channel for each in taken)]
    live = np.flatnonzero(bench.reference.layers[layer].live).tolist()
    jury = summon(bench.classifier, bench.layers[layer], channels, live, bench.examples)
    trusts = trust_test(bench.classifier, bench.reference, inversions, jury=jury)
    energies = fed_back(bench, layer, taken)
    return [Judged(trust.trusted, trust.rank, energy) for trust, energy in zip(trusts, energies, strict=True)]


def fed_back(bench: Bench, layer: str, taken: Sequence[Taken]) -> list[float]:
    """The standardised energy of each picture's own filter when it is fed back."""
    pictures = np.stack([each.image for each in taken]).transpose(0, 2, 3, 1)
    energy, _, _ = measure_energies(bench.classifier, [layer], np.round(pictures * 255).astype(np.uint8))
    normal = bench.reference.layers[layer]
    standardised = (energy[layer] - normal.energy.mean(0)) / normal.sigma
    return [float(row[each.filter.channel]) for row, each in zip(standardised, taken, strict=True)]


# --- one step against its floor ---------------------------------------------------------------------------


def time_steps(bench: Bench, layer: str, advance: Advance) -> Json:
    """Time our descent at two lengths, and the bare passes, in turns; seconds of each repetition."""
    classifier, batch = bench.classifier, bench.options.batch
    sources = bench.sources[np.arange(batch) % len(bench.sources)]
    examples = parted(bench.examples.at(classifier, bench.layers[layer]))[0]
    channels = [bench.filters[layer][i % len(bench.filters[layer])] for i in range(batch)]
    preset = PRESETS["default"]
    raw: dict[str, list[float]] = {"short": [], "long": [], "floor": []}
    descend(classifier, layer, channels, sources, brief(preset, SHORT), examples)  # warm
    bare_pass(classifier, layer, sources, 1)
    for _ in range(bench.options.repeats):
        raw["floor"].append(bare_pass(classifier, layer, sources, LONG - SHORT))
        raw["short"].append(descend(classifier, layer, channels, sources, brief(preset, SHORT), examples)[0])
        raw["long"].append(descend(classifier, layer, channels, sources, brief(preset, LONG), examples)[0])
        advance(1)
    return {**raw, "steps": LONG - SHORT}


def descend(
    classifier: Classifier,
    layer: str,
    channels: Sequence[int],
    sources: NDArray[np.uint8],
    preset: Preset,
    examples: Examples | None = None,
) -> tuple[float, int]:
    """One batch of ours from source images to pictures: the seconds and the number of steps."""
    jobs = [Job(FilterRef(layer, channel), i, i) for i, channel in enumerate(channels)]
    _, wall, _ = timed(
        classifier.device,
        lambda: invert(classifier, jobs, sources, preset, examples=examples, run=Run(len(jobs))),
    )
    return wall, preset.steps


def bare_pass(classifier: Classifier, layer: str, sources: NDArray[np.uint8], count: int) -> float:
    """Seconds of one forward pass up to the layer and one backward pass to the input, and nothing else."""
    x = classifier.prepare(sources).requires_grad_(True)
    with truncated(classifier.network, layer) as code:
        ones = torch.ones_like(code(x))

        def work() -> None:
            for _ in range(count):
                torch.autograd.grad(code(x), x, ones)

        return timed(classifier.device, work)[1] / count


def step_figures(raw: Json) -> Json:
    """Seconds of a step and of its floor: by the least disturbed repetition, and by the median one.

    A step is the difference of the long and the short descent over the difference of their steps, so
    what comes before the first step does not count; it stands apart as `setup_seconds`.
    """
    step_min = (min(raw["long"]) - min(raw["short"])) / raw["steps"]
    each = [(long - short) / raw["steps"] for long, short in zip(raw["long"], raw["short"], strict=True)]
    floor_min, floor_median = min(raw["floor"]), statistics.median(raw["floor"])
    return {
        "step_seconds": {"minimum": step_min, "median": statistics.median(each)},
        "floor_seconds": {"minimum": floor_min, "median": floor_median},
        "setup_seconds": min(raw["short"]) - SHORT * step_min,
        "vs_floor": step_min / floor_min,
        "vs_floor_by_medians": statistics.median(each) / floor_median,
        "raw": raw,
    }


# --- memory and GPU ---------------------------------------------------------------------------------------


def measure_memory(bench: Bench) -> Json:
    """How much memory one batch of ours takes at its peak, in a process that has done nothing else."""
    layer = bench.options.peer_layers[-1]
    channels = [bench.filters[layer][i % len(bench.filters[layer])] for i in range(bench.options.batch)]
    sources = bench.sources[np.arange(bench.options.batch) % len(bench.sources)]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        asked = (bench.folder, str(bench.classifier.device), layer, channels, sources)
        return {"layer": layer, "batch": len(channels), **pool.submit(memory_of_batch, *asked).result()}


def memory_of_batch(
    folder: Path, device: str, layer: str, channels: Sequence[int], sources: NDArray[np.uint8]
) -> Json:
    """The growth of this process's peak by one batch, in MiB; on a GPU also what torch held there."""
    classifier = load_network(folder, device)
    on_gpu = classifier.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(classifier.device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak becomes what is held now
    before = _peak()
    descend(classifier, layer, channels, sources, brief(PRESETS["default"], 2))
    grown = (_peak() - before) / 2**20
    gpu = torch.cuda.max_memory_allocated(classifier.device) / 2**20 if on_gpu else None
    return {"resident_growth_mib": grown, "gpu_peak_mib": gpu}


def _peak() -> int:
    """The largest resident set of this process so far, in bytes."""
    with suppress(OSError):  # getrusage would inherit the peak of the process that started this one
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    import resource  # no part of Python on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure_gpu(
    device: torch.device,
    architecture: str = GPU_ARCHITECTURE,
    size: int = GPU_SIZE,
    batch: int = GPU_BATCH,
    repeats: int = 5,
) -> Json:
    """Primitives per second of a large network at a large batch, and the share of what bare passes allow.

    Untrained weights: only the time is looked at. The batch is halved until it fits into memory.
    """
    p = Preprocessing(size, size, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    torch.manual_seed(0)
    classifier = Classifier(build_network(architecture, 1000, 3), [f"{i}" for i in range(1000)], p, device)
    while True:
        try:
            raw = _gpu_batch(classifier, batch, repeats)
            return {"architecture": architecture, "size": size, "layer": GPU_LAYER, **raw}
        except torch.cuda.OutOfMemoryError:
            if batch == 1:
                raise BenchmarkError(f"{architecture} does not fit into the memory of {device}") from None
            batch //= 2
            torch.cuda.empty_cache()


def _gpu_batch(classifier: Classifier, batch: int, repeats: int) -> Json:
    p, preset = classifier.preprocessing, PRESETS["default"]
    sources = np.random.default_rng(0).integers(0, 256, (batch, p.height, p.width, 3), np.uint8)
    channels = list(range(batch))
    descend(classifier, GPU_LAYER, channels, sources, brief(preset, 2))  # warm
    floor = min(bare_pass(classifier, GPU_LAYER, sources, LONG) for _ in range(repeats))
    seconds, steps = descend(classifier, GPU_LAYER, channels, sources, preset)
    return gpu_figures(batch, seconds, steps, floor)


def gpu_figures(batch: int, seconds: float, steps: int, floor: float) -> Json:
    """Primitives per second, the most that bare passes would allow, and the share that is reached."""
    return {
        "batch": batch,
        "steps": steps,
        "floor_seconds": floor,
        "primitives_per_second": batch / seconds,
        "bound_primitives_per_second": batch / (steps * floor),
        "share_of_bound": steps * floor / seconds,
    }


# --- the figures ------------------------------------------------------------------------------------------


def cost_figures(seconds: Sequence[float], judged: Sequence[Judged]) -> Json:
    """What a primitive costs, and a trusted one: the seconds of all pictures over the trusted ones.

    `seconds` may be of more pictures than were judged: their mean counts.
    """
    share = sum(each.trusted for each in judged) / len(judged)
    each_takes = statistics.fmean(seconds)
    return {
        "pictures": len(judged),
        "seconds_per_primitive": each_takes,
        "share_trusted": share,
        "seconds_per_trusted": each_takes / share if share else None,
        "share_rank_1": sum(each.rank == 1 for each in judged) / len(judged),
        "median_energy": statistics.median(each.energy for each in judged),
    }


def peer_figures(bench: Bench, by_layer: Mapping[str, Sequence[Taken]]) -> Json:
    """The figures of one peer: over all its pictures, over the filters that everybody did, by layer."""
    common = {
        layer: {FilterRef(layer, channel) for channel in bench.filters[layer][: bench.options.lucent_filters]}
        for layer in by_layer
    }
    verdicts = {layer: judge(bench, layer, taken) for layer, taken in by_layer.items()}
    shared = [
        verdict
        for layer, taken in by_layer.items()
        for verdict in judge(bench, layer, [each for each in taken if each.filter in common[layer]])
    ]
    seconds = [each.seconds for taken in by_layer.values() for each in taken]
    return {
        **cost_figures(seconds, [verdict for each in verdicts.values() for verdict in each]),
        "cpu_seconds_per_primitive": statistics.fmean(
            each.cpu_seconds for taken in by_layer.values() for each in taken
        ),
        "common": cost_figures(seconds, shared),
        "by_layer": {
            layer: cost_figures([each.seconds for each in taken], verdicts[layer])
            for layer, taken in by_layer.items()
        },
    }


def cost_ratio(theirs: Json | None, ours: Json | None, name: str) -> tuple[float | None, str | None]:
    """How many times as much a trusted primitive costs with a peer; or why that is no number."""
    if theirs is None or ours is None:
        return None, "not measured yet"
    for who, figures in (("ours", ours), (name, theirs)):
        if figures["seconds_per_trusted"] is None:
            return None, f"{who}: none of {figures['pictures']} primitives is trusted, the cost is infinite"
    return theirs["seconds_per_trusted"] / ours["seconds_per_trusted"], None


def cost_bound(theirs: Json | None, ours: Json | None) -> float | None:
    """The least that the ratio is, with 95 % confidence, where a peer has not one trusted primitive.

    Of n pictures none is trusted: the share is below 1 - 0.05^(1/n) (Clopper and Pearson, 1934). Pictures
    of one filter are taken as independent, which they are not: read it as an order of magnitude.
    """
    if theirs is None or ours is None or theirs["share_trusted"] or not ours["share_trusted"]:
        return None
    share = 1 - 0.05 ** (1 / theirs["pictures"])
    bound: float = theirs["seconds_per_primitive"] / share / ours["seconds_per_trusted"]
    return bound


def assemble(peers: Json, steps: Json, memory: Json | None, gpu: Json | None, about: Json) -> Json:
    """The whole answer, as far as it is known; what is null has its reason under `reasons`.

    Where a peer has not one trusted primitive its cost has no finite figure: the least that it is, with
    95 % confidence, stands in its place, is repeated under `bounds`, and has its reason too.
    """
    common = {name: figures["common"] for name, figures in peers.items()}
    compared = {
        **{name: (common.get(name), common.get("default")) for name in RIVALS},
        "paper": (peers.get("paper"), peers.get("default")),
    }
    bounds = {f"cost_vs_{name}": cost_bound(*pair) for name, pair in compared.items()}
    over_floor = [figures["vs_floor"] for figures in steps.values()]
    later = None if over_floor else "not measured yet"
    answers: dict[str, tuple[Any, str | None]] = {
        **{f"cost_vs_{name}": cost_ratio(*pair, name) for name, pair in compared.items()},
        "step_vs_floor": (statistics.median(over_floor) if over_floor else None, later),
        "step_vs_floor_worst": (max(over_floor) if over_floor else None, later),
        "memory": (memory, None if memory else "not measured yet"),
        "gpu": (gpu, None if gpu else about["gpu_reason"]),
    }
    return {
        **{name: bounds.get(name) if value is None else value for name, (value, _) in answers.items()},
        "peers": peers,
        "steps": steps,
        "reasons": {name: reason for name, (_, reason) in answers.items() if reason},
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
        "versions": about["versions"],
        "settings": about["settings"],
    }


# --- the run ----------------------------------------------------------------------------------------------


def run(options: Options, console: Console) -> None:
    """Measure everything, writing the answer anew after every part, and print it."""
    check_writable(options.json)
    load_lucent()
    bench = prepare(options)
    console.print(
        f"{ARCHITECTURE} at {options.size} px, {bench.accuracy:.0%} right on the validation images; Lucent: "
        f"{options.lucent_filters} filters x {SEEDS} seeds on {len(options.peer_layers)} layers, "
        f"ours: {options.filters} filters x {SEEDS} seeds in batches of {options.batch}",
    )
    answer: Json = {}
    parts: Json = {"peers": {}, "steps": {}, "memory": None, "gpu": None}
    for name, value in measured(bench, Kept(options.cache / "measured")):
        parts[name] = value
        answer = assemble(**parts, about=about(bench))
        write_json(options.json, answer)
    for table in tables(answer):
        console.print(table)
    for name, reason in answer["reasons"].items():
        bound = answer["bounds"].get(name)
        least = "none" if bound is None else f"at least {bound:.3g}, with 95 % confidence"
        console.print(f"{name}: {least} ({reason})")
    console.print(f"Written: {options.json}")


def measured(bench: Bench, kept: Kept) -> Iterator[tuple[str, Json]]:
    """The parts of the answer as they grow: name and value."""
    steps: Json = {}
    for layer in bench.options.step_layers:
        steps[layer] = step_figures(_kept_steps(bench, kept, layer))
        yield "steps", steps
    asked = question(bench, "memory", engine=engine_hash(), preset=asdict(PRESETS["default"]))
    asked |= {"batch": bench.options.batch, "layer": bench.options.peer_layers[-1]}
    yield "memory", kept.record(asked, lambda: measure_memory(bench))
    if bench.classifier.device.type == "cuda":
        yield "gpu", _kept_gpu(bench, kept)
    yield from _measured_peers(bench, kept)


def _kept_steps(bench: Bench, kept: Kept, layer: str) -> Json:
    asked = question(bench, "steps", engine=engine_hash(), preset=asdict(PRESETS["default"]), layer=layer)
    asked |= {"batch": bench.options.batch, "repeats": bench.options.repeats, "steps": [SHORT, LONG]}
    with step(f"A step at {layer}", bench.options.repeats) as advance:
        return kept.record(asked, lambda: time_steps(bench, layer, advance))


def _kept_gpu(bench: Bench, kept: Kept) -> Json:
    asked = question(bench, "gpu", engine=engine_hash(), preset=asdict(PRESETS["default"]))
    asked |= {"architecture": GPU_ARCHITECTURE, "layer": GPU_LAYER, "px": GPU_SIZE, "batch": GPU_BATCH}
    return kept.record(asked, lambda: measure_gpu(bench.classifier.device))


def _measured_peers(bench: Bench, kept: Kept) -> Iterator[tuple[str, Json]]:
    taken: dict[str, dict[str, list[Taken]]] = {}
    peers: Json = {}
    for layer in bench.options.peer_layers:
        for name in (*OURS, *LUCENT):
            take = take_ours if name in OURS else take_lucent
            taken.setdefault(name, {})[layer] = take(bench, kept, name, layer)
            peers[name] = peer_figures(bench, taken[name])
            if name == "lucent":
                viewed = {each: [*map(enlarged, pictures)] for each, pictures in taken[name].items()}
                peers["lucent_own_view"] = peer_figures(bench, viewed)
            yield "peers", peers


def about(bench: Bench) -> Json:
    """What was run, where, and how."""
    options, device = bench.options, bench.classifier.device
    return {
        "versions": versions(),
        "settings": {
            "network": f"torchvision {ARCHITECTURE}, {options.epochs} epochs, {options.size} px",
            "images": str(options.images) if options.images else f"rendered, {options.per_class} a class",
            "validation_accuracy": None if math.isnan(bench.accuracy) else bench.accuracy,
            "weights": bench.classifier.weights_hash[:12],
            "filters": {layer: list(bench.filters[layer]) for layer in options.peer_layers},
            "seeds": SEEDS,
            "learning_seconds": round(bench.learning_seconds, 1),
            "batch": options.batch,
            "step_repeats": options.repeats,
            "presets": {name: asdict(PRESETS[name]) for name in OURS},
            "lucent": {
                "filters_per_layer": options.lucent_filters,
                "note": "the first of the filters, because it takes so long: cost_vs_lucent compares "
                "trusted shares over these alone, ours too; our seconds are those of full batches",
                "steps": LUCENT_STEPS,
                "network_size": {"lucent": max(options.size, LUCENT_SIZE), "lucent_at_size": options.size},
            },
            "machine": machine(device),
        },
        "gpu_reason": "not measured yet" if device.type == "cuda" else "no GPU in this run",
    }


def tables(answer: Json) -> Iterator[Table]:
    """The answer, readable."""
    costs = Table("maker", "s each", "trusted", "s/trusted", "rank 1", "sigma", "of")
    for name, figures in answer["peers"].items():
        costs.add_row(*_cost_row(name, figures))
    for name, figures in answer["peers"].items():
        if name in OURS:
            costs.add_row(*_cost_row(f"{name} (common)", figures["common"]))
    yield costs
    steps = Table("layer", "step (ms)", "floor (ms)", "step / floor", "by medians", "set-up (ms)")
    for layer, figures in answer["steps"].items():
        steps.add_row(layer, *_step_row(figures))
    yield steps
    headlines = Table("figure", "value")
    for name, value in answer.items():
        if name.startswith(("cost_vs_", "step_vs_")):
            headlines.add_row(name, _figure(value, ".4g"))
    for part in ("memory", "gpu"):
        for name, value in (answer[part] or {}).items():
            headlines.add_row(f"{part}: {name.replace('_', ' ')}", _figure(value, ".4g"))
    yield headlines


def _cost_row(name: str, figures: Json) -> list[str]:
    return [
        name,
        _figure(figures["seconds_per_primitive"], ".2f"),
        _figure(figures["share_trusted"], ".0%"),
        _figure(figures["seconds_per_trusted"], ".2f"),
        _figure(figures["share_rank_1"], ".0%"),
        _figure(figures["median_energy"], ".1f"),
        str(figures["pictures"]),
    ]


def _step_row(figures: Json) -> list[str]:
    return [
        _figure(1000 * figures["step_seconds"]["minimum"], ".1f"),
        _figure(1000 * figures["floor_seconds"]["minimum"], ".1f"),
        _figure(figures["vs_floor"], ".3f"),
        _figure(figures["vs_floor_by_medians"], ".3f"),
        _figure(1000 * figures["setup_seconds"], ".1f"),
    ]


def _figure(value: float | str | None, form: str) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else format(value, form)


# --- the command line -------------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; what it leaves open follows --quick. Raises BenchmarkError."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.inversion", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", type=Path, required=True, help="where the answer is written")
    parser.add_argument("--images", type=Path, help="a folder per class; without: the rendered line")
    parser.add_argument("--cache", type=Path, help="what is kept; without: a folder beside the JSON")
    parser.add_argument("--size", type=int, help="pixels, both sides (128: Lucent's default)")
    parser.add_argument("--filters", type=int, help="of each layer (8)")
    parser.add_argument("--lucent-filters", type=int, help="of those, how many Lucent inverts (3)")
    parser.add_argument("--layer", nargs="+", help="layers to measure (layer2 layer3; a step at five)")
    parser.add_argument("--batch", type=int, help="of ours (16)")
    parser.add_argument("--epochs", type=int, help="of the training (10)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--quick", action="store_true", help="everything smaller: minutes")
    return _options(parser.parse_args(arguments))


def _options(given: argparse.Namespace) -> Options:
    scale = QUICK if given.quick else FULL
    asked = {
        name: value if (value := getattr(given, name)) is not None else getattr(scale, name)
        for name in ("size", "filters", "lucent_filters", "batch", "epochs")
    }
    asked["lucent_filters"] = min(asked["lucent_filters"], asked["filters"])
    for name, least in {"size": 32, "filters": 2, "lucent_filters": 2, "batch": 1, "epochs": 1}.items():
        if asked[name] < least:
            raise BenchmarkError(f"--{name.replace('_', '-')} is {asked[name]}; at least {least} is needed")
    if given.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Lucent takes a GPU wherever it sees one
    return Options(
        json=given.json,
        images=given.images,
        cache=given.cache or given.json.with_name(f"{given.json.stem}-cache"),
        peer_layers=tuple(given.layer or PEER_LAYERS[: scale.layers]),
        step_layers=tuple(given.layer or (PEER_LAYERS if given.quick else STEP_LAYERS)),
        per_class=scale.per_class,
        repeats=scale.repeats,
        device=given.device,
        **asked,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; what a user can cause is said in one line."""
    try:
        run(parse(arguments), Console())
    except (BenchmarkError, InspectionError, EngineError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. What is measured is kept: the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
