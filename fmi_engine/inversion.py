"""The descent: find the images whose code is the one asked for, many filters and sources at once."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from fmi_engine.cache import PrimitiveCache, hash_images
from fmi_engine.classifier import Classifier
from fmi_engine.denoiser import Denoiser, Pull
from fmi_engine.energy import energies, flatten_maps, isolate, shuffle_maps, spreads
from fmi_engine.errors import EngineError
from fmi_engine.natural import Codes, Distribution, Examples, distributions, layers_up_to
from fmi_engine.parametrization import Parametrization, write_down
from fmi_engine.presets import PRESETS, Preset
from fmi_engine.priors import alpha_norm, denoise, total_variation
from fmi_engine.probe import average_pooled, find_layer, layers_of, tapped
from fmi_engine.reference import Reference
from fmi_engine.types import FilterRef, FloatArray, Inversion, Layout

Progress = Callable[[int], None] | None
Loss = Callable[[Float[Tensor, "batch channel height width"], int], Float[Tensor, " batch"]]
"""Of the standardised picture and the number of the step."""

OFFSETS = 8  # rolls of the source that a descent cycles through
SHARPNESS = 4.0  # per sigma, of the soft maximum over the filters that a filter has to lead
BATCH = 16  # pictures of one descent


@dataclass(frozen=True, slots=True)
class Job:
    """One inversion to do: a filter, a source image (by position), a seed, and the layout of the target."""

    filter: FilterRef
    source: int
    seed: int
    layout: Layout = "source"


@dataclass(frozen=True, slots=True)
class Descent:
    """What pictures descend from, and how; the same seed starts from the same noise."""

    seeds: Sequence[int]  # one for each picture
    preset: Preset = PRESETS["default"]
    images: NDArray[np.uint8] | None = None  # real ones, for a parametrisation by their spectrum
    stride: float = 1.0  # pixels: of the layer, for jitter of the picture alone
    denoiser: Denoiser | None = None  # for presets that draw pictures towards what it has learnt


@dataclass(frozen=True, slots=True)
class Run:
    """How inversions are gone about; nothing in it changes a picture."""

    batch_size: int = BATCH  # pictures of one descent
    progress: Progress = None  # receives the number of pictures done
    cache: PrimitiveCache | None = None  # pictures that it holds are not made again
    anew: bool = False  # but are: for jobs of which all or none were held, and some may be since


def invert(
    classifier: Classifier,
    jobs: Sequence[Job],
    sources: NDArray[np.uint8],
    preset: Preset = PRESETS["default"],
    reference: Reference | None = None,
    examples: Examples | None = None,
    run: Run = Run(),
) -> list[Inversion]:
    """Isolate each job's filter in the code of its source image and find the image with that code.

    Minimises ||code(x) - F*||^2 / ||F*||^2 and what else the preset weighs, for every job by itself; only
    the layers up to the target run. `sources` is (images, height, width, channel), 8-bit. The same job
    gives the same picture in the same batch, and nearly the same in another: where values are sorted, a
    rounding may swap two, and the descent goes on from there. `reference` says what is normal for each
    filter, for presets that weigh filters by it; without one the sources themselves do. `examples` are the
    real images whose crops a picture is to be like, for presets that ask for it; without any the sources are.
    """
    wanted, cache, progress = list(dict.fromkeys(jobs)), run.cache, run.progress
    given = _Given(classifier, sources, preset, reference, examples or Examples(sources, {}))
    keys = _keys(given, wanted) if cache else {}
    done = {} if run.anew else _held(cache, keys)
    if progress and done:
        progress(len(done))
    for layer in dict.fromkeys(job.filter.layer for job in wanted):
        mine = [job for job in wanted if job.filter.layer == layer and job not in done]
        normal = given.normal(layer) if mine and given.by_sigma else None
        if mine and preset.natural:
            known = given.examples.at(classifier, find_layer(layers_of(classifier), layer))
            given = replace(given, examples=known)
        for i in range(0, len(mine), run.batch_size):
            batch = mine[i : i + run.batch_size]
            done |= zip(batch, _invert_batch(given, batch, normal), strict=True)
            for job in batch:
                if cache:
                    cache.write(keys[job], done[job])
            if progress:
                progress(len(batch))
    return [done[job] for job in jobs]


def left_to_invert(
    classifier: Classifier,
    jobs: Sequence[Job],
    sources: NDArray[np.uint8],
    preset: Preset,
    reference: Reference | None,
    examples: Examples,
    cache: PrimitiveCache,
) -> list[Job]:
    """Those of some jobs whose pictures the cache does not hold, in order."""
    wanted = list(dict.fromkeys(jobs))
    keys = _keys(_Given(classifier, sources, preset, reference, examples), wanted)
    held = _held(cache, keys)
    return [job for job in wanted if job not in held]


def _held(cache: PrimitiveCache | None, keys: Mapping[Job, str]) -> dict[Job, Inversion]:
    if cache is None:
        return {}
    return {job: held for job, key in keys.items() if (held := cache.read(key, job)) is not None}


@dataclass(frozen=True, slots=True)
class _Given:
    """What all pictures of a call are made from."""

    classifier: Classifier
    sources: NDArray[np.uint8]
    preset: Preset
    reference: Reference | None
    examples: Examples

    @property
    def by_sigma(self) -> bool:
        """Whether the preset asks what is normal for a filter."""
        return self.preset.standardised or self.preset.selectivity > 0 or self.preset.natural > 0

    def normal(self, layer: str) -> "Normal":
        """What is normal for the filters of a layer."""
        return normal_of(self.classifier, layer, self.sources, self.preset, self.reference)


def _keys(given: _Given, jobs: Sequence[Job]) -> dict[Job, str]:
    hashes = hash_images(given.sources)
    setting = repr(sorted(asdict(given.preset).items()))
    classifier, reference = given.classifier, given.reference
    network = repr(classifier.network)  # the same weights under other activations are another network
    # Every source says what is normal and what a plant's spectrum is, where no reference does.
    shared = "|".join(hashes)
    normal = {
        layer: "|".join(hash_images(np.stack([part.energy.mean(0), part.sigma])))
        for layer in {job.filter.layer for job in jobs}
        if reference and (part := reference.layers.get(layer))
    }
    examples = hash_images(given.examples.images[None])[0] if given.preset.natural else ""
    denoiser = given.examples.denoiser
    learnt = denoiser.weights_hash if given.preset.learnt and denoiser else ""
    return {
        job: PrimitiveCache.key(
            classifier.weights_hash,
            network,
            repr(classifier.preprocessing),
            str(job.filter),
            hashes[job.source],
            shared,
            normal.get(job.filter.layer, ""),
            examples,
            learnt,
            setting,
            str(job.seed),
            job.layout,
        )
        for job in jobs
    }


@dataclass(frozen=True, slots=True)
class Normal:
    """The usual energy of each filter of a layer, and how much it varies."""

    energy: Float[Tensor, " channel"]
    sigma: Float[Tensor, " channel"]  # above 0


def normal_of(
    classifier: Classifier,
    layer: str,
    sources: NDArray[np.uint8],
    preset: Preset,
    reference: Reference | None = None,
) -> Normal:
    """What is normal at a layer by the reference, or else by the source images (their maps' spread)."""
    if reference is not None and layer in reference.layers:
        held = reference.layers[layer]
        return Normal(_tensor(held.energy.mean(0), classifier), _tensor(held.sigma, classifier))
    code = source_code(classifier, layer, sources, preset)
    spread = spreads(code).mean(0)
    return Normal(energies(code).mean(0), spread.clamp_min(0.05 * spread.median().clamp_min(1e-6)))


def _tensor(values: FloatArray, classifier: Classifier) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(classifier.device)


def _invert_batch(given: _Given, jobs: Sequence[Job], normal: Normal | None) -> list[Inversion]:
    classifier, preset = given.classifier, given.preset
    goal = _isolated(given, jobs, normal)
    names = goal.layers(classifier)
    with _looking_at(classifier, names, preset) as codes:
        stride = classifier.preprocessing.height / goal.targets[0].shape[2]
        seeds = [job.seed for job in jobs]
        descent = Descent(seeds, preset, given.sources, stride, given.examples.denoiser)
        picture = descend(classifier, goal.loss(codes), descent)
        left = goal.residual(codes, classifier.preprocessing.normalise(picture))
    return [
        Inversion(job.filter, job.source, job.seed, picture[i].cpu().numpy(), float(left[i]), job.layout)
        for i, job in enumerate(jobs)
    ]


@dataclass(frozen=True, slots=True)
class _Leading:
    """How far the filter of each picture is from leading its layer."""

    channels: Tensor  # the filter of each picture
    normal: Normal
    lead: float  # sigma

    def lacks(self, found: Float[Tensor, "batch channel height width"]) -> Float[Tensor, " batch"]:
        """What it lacks, in sigma, of being `lead` above every other filter, and above normal; 0 is nothing.

        The highest of the others is a soft one: (1 / s) log sum exp(s z), s = 4.
        """
        z = (energies(found) - self.normal.energy) / self.normal.sigma
        own = self.channels[:, None]
        rivals = z.scatter(1, own, 0.0) - z.gather(1, own)  # in the place of its own: normal
        highest = torch.logsumexp(SHARPNESS * rivals, 1) / SHARPNESS
        return (highest + self.lead).relu()


@dataclass(frozen=True, slots=True)
class _Goal:
    """The codes that a batch of pictures is to have, for every roll of picture and source together."""

    layer: str
    offsets: Sequence[tuple[int, int]]  # pixels down and right, (0, 0) first
    targets: Sequence[Float[Tensor, "batch channel height width"]]  # one for each offset
    scale: Float[Tensor, "channel 1 1"]  # what each map is divided by before it is compared
    preset: Preset = field(default_factory=Preset)
    leading: _Leading | None = None  # where the preset asks for selectivity
    natural: Distribution | None = None  # where it asks for naturalness
    restore: Callable[[Tensor], Tensor] = field(default=lambda x: x)  # the picture of a standardised one

    def layers(self, classifier: Classifier) -> list[str]:
        """The layers that are looked at, in the order of the pass."""
        if self.natural is None:
            return [self.layer]
        return [each.name for each in layers_up_to(classifier, self.layer)]

    def loss(self, codes: Callable[[Tensor], Codes]) -> Loss:
        """What the preset weighs of the codes, at the roll of the step."""
        preset = self.preset

        def loss(x: Tensor, step: int) -> Tensor:
            which = step % len(self.offsets)
            rolled = _roll(x, self.offsets[which])
            every = codes(rolled)
            found = every[self.layer]
            total = preset.target * residuals(found / self.scale, self.targets[which])
            if self.natural is not None:
                total = total + preset.natural * self.natural.distance(every, self.restore(rolled), step)
            if self.leading is not None:
                total = total + preset.selectivity * self.leading.lacks(found)
            return total

        return loss

    @torch.no_grad()
    def residual(self, codes: Callable[[Tensor], Codes], x: Tensor) -> Float[Tensor, " batch"]:
        """||code - F*||^2 / ||F*||^2 of the pictures as they are, in plain units."""
        return residuals(codes(x)[self.layer], self.targets[0] * self.scale)


def _isolated(given: _Given, jobs: Sequence[Job], normal: Normal | None) -> _Goal:
    classifier, preset = given.classifier, given.preset
    layer, images = jobs[0].filter.layer, given.sources[[job.source for job in jobs]]
    channels = [job.filter.channel for job in jobs]
    code = source_code(classifier, layer, images, preset)
    scale = code.new_ones(code.shape[1])
    leading = natural = None
    if normal is not None:
        scale = normal.sigma if preset.standardised else scale
        picked = torch.tensor(channels, device=classifier.device)
        leading = _Leading(picked, normal, preset.lead) if preset.selectivity else None
        if preset.natural:
            place = find_layer(layers_of(classifier), layer)
            usual = normal.energy, normal.sigma
            natural = distributions(classifier, place, channels, given.examples, usual, preset)
    scale = scale[:, None, None]
    offsets = _offsets(classifier, code, preset)
    rolled = [source_code(classifier, layer, np.roll(images, by, (1, 2)), preset) for by in offsets[1:]]
    targets = [_laid_out(isolate(each / scale, channels), jobs) for each in (code, *rolled)]
    restore = classifier.preprocessing.restore
    return _Goal(layer, offsets, targets, scale, preset, leading, natural, restore)


def _laid_out(target: Tensor, jobs: Sequence[Job]) -> Tensor:
    changed = {"shuffled": shuffle_maps(target, [job.seed for job in jobs]), "constant": flatten_maps(target)}
    return torch.stack([changed.get(job.layout, target)[i] for i, job in enumerate(jobs)])


def _offsets(classifier: Classifier, code: Tensor, preset: Preset) -> list[tuple[int, int]]:
    """The rolls of picture and source together: the same for every picture, so for every batch."""
    most = int(preset.source_jitter * classifier.preprocessing.height / code.shape[2])
    if not most:
        return [(0, 0)]
    drawn = np.random.default_rng(0).integers(-most, most + 1, (OFFSETS - 1, 2))
    return [(0, 0), *((int(down), int(right)) for down, right in drawn)]


def _roll(x: Tensor, offset: tuple[int, int]) -> Tensor:
    return x if offset == (0, 0) else x.roll(offset, (2, 3))


def pooling(classifier: Classifier, preset: Preset) -> AbstractContextManager[None]:
    """Within the block the network pools as the preset says."""
    return average_pooled(classifier.network) if preset.average_pooling else nullcontext()


class _looking_at:  # noqa: N801  (a context manager, read as a verb)
    """Within the block, the function given returns the codes at some layers, pooled as the preset pools."""

    def __init__(self, classifier: Classifier, layers: Sequence[str], preset: Preset) -> None:
        self.pools = pooling(classifier, preset)
        self.codes = tapped(classifier.network, layers)

    def __enter__(self) -> Callable[[Tensor], Codes]:
        self.pools.__enter__()
        try:
            return self.codes.__enter__()
        except BaseException:
            self.pools.__exit__(None, None, None)
            raise

    def __exit__(self, *failure: object) -> None:
        self.codes.__exit__(None, None, None)
        self.pools.__exit__(None, None, None)


@torch.no_grad()
def source_code(
    classifier: Classifier, layer: str, images: NDArray[np.uint8], preset: Preset = PRESETS["default"]
) -> Float[Tensor, "batch channel height width"]:
    """The code of 8-bit images (batch, height, width, channel) at a layer, pooled as the preset pools."""
    with _looking_at(classifier, [layer], preset) as codes:
        return codes(classifier.prepare(images))[layer].clone()


def invert_codes(
    classifier: Classifier,
    layer: str,
    target: Float[Tensor, "batch channel height width"],
    descent: Descent,
    progress: Progress = None,
) -> tuple[Float[Tensor, "batch channel height width"], Float[Tensor, " batch"]]:
    """Find the pictures, in 0 to 1, whose codes at `layer` are the targets; returns them with residuals.

    A target is not of a single filter: nothing of the preset counts but its residual and its priors. The
    stride of the descent is that of the layer. `progress` receives 1 after every step. Raises EngineError
    where the target does not fit the layer.
    """
    goal = _Goal(layer, [(0, 0)], [target], target.new_ones(1, 1, 1))
    descent = replace(descent, stride=classifier.preprocessing.height / target.shape[2])
    with _looking_at(classifier, [layer], descent.preset) as codes:
        picture = descend(classifier, goal.loss(codes), descent, progress)
        return picture, goal.residual(codes, classifier.preprocessing.normalise(picture))


def residuals(
    code: Float[Tensor, "batch channel height width"], target: Float[Tensor, "batch channel height width"]
) -> Float[Tensor, " batch"]:
    """||code - F*||^2 / ||F*||^2 of each picture (arXiv 1412.0035, equation 2)."""
    if code.shape[1:] != target.shape[1:]:
        raise EngineError(
            f"a target of shape {tuple(target.shape[1:])} given for a code of {tuple(code.shape[1:])}: "
            "filters, height, width"
        )
    return (code - target).square().sum((1, 2, 3)) / target.square().sum((1, 2, 3)).clamp_min(1e-12)


def descend(
    classifier: Classifier, loss: Loss, descent: Descent, progress: Progress = None
) -> Float[Tensor, "batch channel height width"]:
    """Minimise `loss` of the standardised picture plus the preset's priors, each picture by itself.

    Starts from noise of the seeds. Returns pictures in 0 to 1. L-BFGS searches along a line for one picture
    at a time.
    """
    preset, seeds = descent.preset, descent.seeds
    if preset.optimiser == "lbfgs" and len(seeds) > 1:
        raise EngineError(
            f"{len(seeds)} pictures given to L-BFGS, which takes one at a time: use a batch size of 1"
        )
    start = _start(classifier, seeds, preset)
    written = write_down(preset.parametrization, start, classifier, descent.images)
    pull = None
    if preset.learnt and descent.denoiser is not None:
        pull = Pull(descent.denoiser, preset.steps + preset.fine_steps, classifier.device)
    objective = _Objective(classifier, loss, preset, written, pull)
    optimiser = _optimiser(written.parameter, preset)
    rolls = [torch.Generator().manual_seed(seed) for seed in seeds] if preset.jitter else []
    most = max(round(preset.jitter * descent.stride), 1)
    stopping = _Stopping(preset, written)
    for step in range(preset.steps + preset.fine_steps):
        for group in optimiser.param_groups:
            group["lr"] = _rate(preset, step)
        jitter = [_drawn_offset(roll, most) for roll in rolls] if step < preset.steps else []
        losses = _step(objective, optimiser, jitter, step)
        if progress:
            progress(1)
        if stopping.all_stopped(losses):
            break
    return denoise(stopping.picture(), preset.denoise)


@dataclass(frozen=True, slots=True)
class _Objective:
    """What a descent minimises, as a function of what its pictures are written down in."""

    classifier: Classifier
    loss: Loss
    preset: Preset
    written: Parametrization
    pull: Pull | None  # of what a denoiser has learnt

    def losses(self, jitter: Sequence[tuple[int, int]], step: int) -> Float[Tensor, " batch"]:
        """The loss of each picture, rolled by its jitter, and its priors."""
        picture = self.written.now()
        x = self.classifier.preprocessing.normalise(_rolled(picture, jitter))
        total = self.loss(x, step) * self.preset.loss_scale + priors(picture, x, self.preset)
        return total if self.pull is None else total + self.preset.learnt * self.pull.distance(picture, step)


def _step(
    objective: _Objective, optimiser: torch.optim.Optimizer, jitter: Sequence[tuple[int, int]], step: int
) -> Float[Tensor, " batch"]:
    seen: list[Tensor] = []
    preset, parameter = objective.preset, objective.written.parameter

    def closure() -> float:
        each = objective.losses(jitter, step)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(each.sum())  # each picture's loss stands alone: the sum mixes nothing
        _clip(parameter, preset.clip)
        seen.append(each.detach())
        return float(seen[-1].sum()) if preset.optimiser == "lbfgs" else 0.0

    optimiser.step(closure)
    return seen[0]


def priors(picture: Tensor, x: Tensor, preset: Preset) -> Float[Tensor, " batch"] | float:
    """The penalties of a preset; 0 where it has none."""
    total: Tensor | float = 0.0
    if preset.total_variation:
        total = total + preset.total_variation * total_variation(picture, preset.beta)
    if preset.alpha_norm:
        total = total + preset.alpha_norm * alpha_norm(x, preset.alpha)
    if preset.weight_decay:
        total = total + preset.weight_decay / 2 * x.square().sum((1, 2, 3))
    return total


def _optimiser(parameter: Tensor, preset: Preset) -> torch.optim.Optimizer:
    if preset.optimiser == "sgd":
        return torch.optim.SGD([parameter], preset.learning_rate, preset.momentum)
    if preset.optimiser == "lbfgs":
        return torch.optim.LBFGS([parameter], preset.learning_rate, max_iter=1, line_search_fn="strong_wolfe")
    return torch.optim.Adam([parameter], preset.learning_rate)


def _rate(preset: Preset, step: int) -> float:
    rate = preset.learning_rate * preset.decay ** (step // preset.decay_every)
    return float(rate if step < preset.steps else rate / 10)


def _drawn_offset(generator: torch.Generator, most: int) -> tuple[int, int]:
    down, right = torch.randint(-most, most + 1, (2,), generator=generator).tolist()
    return down, right


def _rolled(picture: Tensor, jitter: Sequence[tuple[int, int]]) -> Tensor:
    if not jitter:
        return picture
    return torch.stack([each.roll(by, (1, 2)) for each, by in zip(picture, jitter, strict=True)])


def _clip(parameter: Tensor, most: float) -> None:
    if most and parameter.grad is not None:
        norm = torch.linalg.vector_norm(parameter.grad, dim=(1, 2, 3), keepdim=True)
        parameter.grad.mul_((most / norm.clamp_min(1e-12)).clamp_max(1))


class _Stopping:
    """Which pictures of a batch have stopped, and what they were then."""

    def __init__(self, preset: Preset, written: Parametrization) -> None:
        self.preset, self.written = preset, written
        self.history: list[Tensor] = []
        self.stopped = torch.zeros(len(written.parameter), dtype=torch.bool, device=written.parameter.device)
        self.kept = written.parameter.detach().clone()

    @torch.no_grad()
    def all_stopped(self, loss: Float[Tensor, " batch"]) -> bool:
        """Take note of a step's losses; a picture that changed too little keeps what it is now."""
        if not self.preset.tolerance:
            return False
        self.history = [*self.history[-self.preset.patience :], loss]
        self._keep()
        if len(self.history) > self.preset.patience:
            before = self.history[0]
            self.stopped = self.stopped | ((before - loss).abs() < self.preset.tolerance * before.abs())
        return bool(self.stopped.all())

    def _keep(self) -> None:
        running = ~self.stopped.view(-1, *[1] * (self.kept.ndim - 1))
        self.kept = torch.where(running, self.written.parameter.detach(), self.kept)

    @torch.no_grad()
    def picture(self) -> Float[Tensor, "batch channel height width"]:
        """The pictures as they stopped, or as they are now."""
        self._keep()
        return self.written.picture(self.kept).clamp(0, 1)


def _start(
    classifier: Classifier, seeds: Sequence[int], preset: Preset
) -> Float[Tensor, "batch channel height width"]:
    p = classifier.preprocessing
    shape = (p.channels, p.height, p.width)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    if preset.start == "uniform":
        noise = torch.stack([torch.rand(shape, generator=each) * 2 - 1 for each in generators])
        return p.restore(preset.contrast * noise.to(classifier.device))
    noise = torch.stack([torch.randn(shape, generator=each) for each in generators])
    return 0.5 + preset.contrast * noise.to(classifier.device)
