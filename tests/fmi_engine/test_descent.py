"""The descent, step by step against a slow rewrite, and the presets from end to end."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor, nn

from fmi_engine.classifier import Classifier, Preprocessing
from fmi_engine.energy import isolate
from fmi_engine.errors import EngineError, UnknownLayerError
from fmi_engine.inversion import (
    Descent,
    Job,
    Normal,
    Run,
    _Given,
    _Goal,
    _isolated,
    _Leading,
    _looking_at,
    descend,
    invert,
    invert_codes,
    normal_of,
    residuals,
    source_code,
)
from fmi_engine.natural import Examples
from fmi_engine.presets import PRESETS, Preset
from fmi_engine.priors import denoise
from fmi_engine.reference import LayerReference, Reference
from fmi_engine.types import FilterRef, FloatArray, Inversion
from tests.fmi_engine.tiny import Readout, deep, hooks, plain, seeded, unit, varied

pytestmark = pytest.mark.numeric

Real = NDArray[np.float64]
MEAN, STD = 0.5, 0.25
SIDE = 5
WEIGHTS = (1.0, -0.5)  # of two filters that see a grey pixel each
GREY = varied(3, SIDE, 1, seed=7)


def two_filters() -> Classifier:
    network = Readout([[weight] for weight in WEIGHTS], [[1, 0], [0, 1]])
    return Classifier(network, ["a", "b"], Preprocessing(SIDE, SIDE, 1, (MEAN,), (STD,)))


def slow_code(x: Real) -> Real:
    """The two rectified maps (filter, height, width) of an input (height, width)."""
    return np.stack([np.maximum(weight * x, 0) for weight in WEIGHTS])


def slow_target(source: int, channel: int) -> Real:
    """All energy of the source's code on one filter."""
    code = slow_code((GREY[source, ..., 0] / 255.0 - MEAN) / STD)
    target = np.zeros_like(code)
    target[channel] = code.sum(0)
    return target


@dataclass
class Slow:
    """A descent written again in NumPy, one picture and one position at a time."""

    preset: Preset
    target: Real
    seed: int
    losses: list[float]
    norms: list[float]  # of the gradient before it is clipped

    @classmethod
    def run(cls, preset: Preset, target: Real, seed: int) -> tuple["Slow", Real]:
        """The descent and the picture, in 0 to 1, that it ends with."""
        slow = cls(preset, target, seed, [], [])
        return slow, slow.descend().clip(0, 1)

    def picture(self, parameter: Real) -> Real:
        return 1 / (1 + np.exp(-parameter)) if self.preset.parametrization == "pixels" else parameter

    def start(self) -> Real:
        generator = torch.Generator().manual_seed(self.seed)
        if self.preset.start == "uniform":
            noise = torch.rand(1, SIDE, SIDE, generator=generator)[0].double().numpy() * 2 - 1
            picture = MEAN + STD * self.preset.contrast * noise
        else:
            noise = torch.randn(1, SIDE, SIDE, generator=generator)[0].double().numpy()
            picture = 0.5 + self.preset.contrast * noise
        return picture if self.preset.parametrization == "input" else np.log(picture / (1 - picture))

    def loss(self, parameter: Real) -> tuple[float, Real]:
        """The loss, and its slope by the parameter. The parameter of `input` is kept as a picture here."""
        p, picture = self.preset, self.picture(parameter)
        x = (picture - MEAN) / STD
        loss, by_x = 0.0, np.zeros_like(x)
        total = float((self.target**2).sum())
        for weight, code, wanted in zip(WEIGHTS, slow_code(x), self.target, strict=True):
            loss += p.loss_scale * float(((code - wanted) ** 2).sum()) / total
            by_x += p.loss_scale * 2 * (code - wanted) * weight * (weight * x > 0) / total
        loss += p.weight_decay / 2 * float((x**2).sum())
        by_x += p.weight_decay * x
        loss += p.alpha_norm * float((np.abs(x) ** p.alpha).mean())
        by_x += p.alpha_norm * p.alpha * np.abs(x) ** (p.alpha - 1) * np.sign(x) / x.size
        by_picture = np.zeros_like(x)
        for i in range(SIDE - 1):
            for j in range(SIDE - 1):
                dx, dy = picture[i, j + 1] - picture[i, j], picture[i + 1, j] - picture[i, j]
                share = p.total_variation / (SIDE - 1) ** 2
                slope = share * p.beta / 2 * (dx**2 + dy**2) ** (p.beta / 2 - 1)
                loss += share * (dx**2 + dy**2) ** (p.beta / 2)
                by_picture[i, j + 1] += slope * 2 * dx
                by_picture[i + 1, j] += slope * 2 * dy
                by_picture[i, j] -= slope * 2 * (dx + dy)
        if p.parametrization == "input":
            return loss, by_x + STD * by_picture  # by the network's input
        return loss, (by_x / STD + by_picture) * picture * (1 - picture)

    def descend(self) -> Real:
        p, parameter = self.preset, self.start()
        unit = STD if p.parametrization == "input" else 1.0
        first, second = np.zeros_like(parameter), np.zeros_like(parameter)
        for step in range(p.steps + p.fine_steps):
            rate = p.learning_rate * p.decay ** (step // p.decay_every)
            rate = rate if step < p.steps else rate / 10
            loss, slope = self.loss(parameter)
            norm = float(np.sqrt((slope**2).sum()))
            if p.clip and norm > p.clip:
                slope = slope * p.clip / norm
            if p.optimiser == "sgd":
                first = p.momentum * first + slope
                parameter = parameter - unit * rate * first
            else:
                first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
                mean, square = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
                parameter = parameter - unit * rate * mean / (np.sqrt(square) + 1e-8)
            self.losses.append(loss)
            self.norms.append(norm)
            if self.stops():
                break
        return self.picture(parameter)

    def stops(self) -> bool:
        """Whether the last loss differs by too little from that of `patience` steps before."""
        p = self.preset
        if not p.tolerance or len(self.losses) <= p.patience:
            return False
        before = self.losses[-1 - p.patience]
        return abs(before - self.losses[-1]) < p.tolerance * abs(before)


SGD = Preset(
    "input",
    optimiser="sgd",
    steps=3,
    learning_rate=0.4,
    momentum=0.9,
    loss_scale=2.0,
    start="uniform",
    contrast=0.1,
)
ADAM = Preset("pixels", steps=3, learning_rate=0.1, contrast=0.1)
DESCENTS = {
    "momentum": SGD,
    "no momentum": replace(SGD, momentum=0.0),
    "weight decay": replace(SGD, weight_decay=0.3),
    "alpha-norm": replace(SGD, alpha_norm=0.3, alpha=6.0),
    "total variation": replace(SGD, total_variation=3.0, beta=2.0),
    "total variation, beta 3": replace(SGD, total_variation=3.0, beta=3.0),
    "decay": replace(SGD, decay=0.5, decay_every=2, steps=5),
    "fine steps": replace(SGD, fine_steps=2, decay=0.5),
    "clip": replace(SGD, clip=0.4),
    "everything": replace(
        SGD, weight_decay=0.1, alpha_norm=0.1, total_variation=1.0, decay=0.9, fine_steps=1, clip=0.4
    ),
    "from pixels": replace(SGD, parametrization="pixels", start="normal"),
    "adam": ADAM,
    "adam, loss scaled": replace(ADAM, loss_scale=50.0),  # hardly another descent
    "adam, priors": replace(ADAM, total_variation=2.0, alpha_norm=0.2, weight_decay=0.1, fine_steps=2),
    "adam from the input": replace(ADAM, parametrization="input", start="uniform", decay=0.7),
    "adam, clip": replace(ADAM, loss_scale=2.0, clip=0.05),
}


def goal_of(
    classifier: Classifier,
    jobs: Sequence[Job],
    sources: NDArray[np.uint8],
    preset: Preset,
    reference: Reference | None = None,
) -> _Goal:
    """What a batch of jobs descends to."""
    given = _Given(classifier, sources, preset, reference, Examples(sources, {}))
    return _isolated(given, jobs, given.normal(jobs[0].filter.layer) if given.by_sigma else None)


PAIR = [Job(FilterRef("act", 0), source=0, seed=1), Job(FilterRef("act", 1), source=2, seed=2)]


def plain_residual(picture: Real, target: Real) -> float:
    code = slow_code((picture - MEAN) / STD)
    return float(((code - target) ** 2).sum() / (target**2).sum())


@pytest.mark.parametrize("preset", DESCENTS.values(), ids=DESCENTS)
def test_a_few_steps_are_those_of_a_slow_rewrite(preset: Preset) -> None:
    for job, found in zip(PAIR, invert(two_filters(), PAIR, GREY, preset), strict=True):
        target = slow_target(job.source, job.filter.channel)
        slow, picture = Slow.run(preset, target, job.seed)
        assert len(slow.losses) == preset.steps + preset.fine_steps
        assert found.image[0] == pytest.approx(picture, abs=2e-6)
        assert found.residual == pytest.approx(plain_residual(picture, target), rel=1e-4)
        moved = np.abs(picture - slow.picture(slow.start())).max()
        assert moved > 0.01  # it has gone somewhere


def test_a_gradient_is_clipped_by_the_norm_of_its_own_picture() -> None:
    """The test above compares two pictures of which one is clipped and the other is not."""
    norms = [
        Slow.run(DESCENTS["clip"], slow_target(job.source, job.filter.channel), job.seed)[0].norms[0]
        for job in PAIR
    ]
    assert min(norms) < 0.9 * DESCENTS["clip"].clip < 1.1 * DESCENTS["clip"].clip < max(norms)


# L-BFGS

LBFGS = Preset("input", optimiser="lbfgs", steps=8, learning_rate=1.0, start="uniform", contrast=0.1)


def test_lbfgs_takes_one_picture_at_a_time() -> None:
    classifier = two_filters()
    with pytest.raises(EngineError) as refusal:
        invert(classifier, PAIR, GREY, LBFGS)
    assert str(refusal.value) == (
        "2 pictures given to L-BFGS, which takes one at a time: use a batch size of 1"
    )
    assert hooks(classifier.network) == 0
    for job, found in zip(PAIR, invert(classifier, PAIR, GREY, LBFGS, run=Run(1)), strict=True):
        (alone,) = invert(classifier, [job], GREY, LBFGS)
        assert (found.filter, found.seed) == (job.filter, job.seed)
        assert np.array_equal(found.image, alone.image)


@pytest.mark.parametrize("parametrization", ["input", "pixels", "spectrum"])
def test_lbfgs_finds_a_source_in_reach_in_a_few_steps(parametrization: str) -> None:
    """With one filter, x itself, the error is a bowl: where a first order needs hundreds of steps."""
    classifier = Classifier(Readout([[1.0]], [[1], [2]]), ["a", "b"], plain(SIDE, 1))
    sources = np.random.default_rng(1).integers(51, 204, (1, SIDE, SIDE, 1), dtype=np.uint8)
    preset = replace(LBFGS, parametrization=parametrization, steps=15, start="normal")
    (found,) = invert(classifier, [Job(FilterRef("act", 0), 0, 0)], sources, preset)
    assert found.residual < 1e-8
    assert np.abs(found.image - unit(sources)[0]).max() < 1e-3


# Stopping


STOPPING = replace(SGD, steps=200, learning_rate=0.3, momentum=0.0, tolerance=0.01)


def counted(preset: Preset, target: Real, seeds: Sequence[int]) -> tuple[FloatArray, FloatArray, int]:
    """The pictures and residuals of a descent towards one target from some seeds, and its steps."""
    done: list[int] = []
    wanted = torch.from_numpy(target).float().expand(len(seeds), *target.shape)
    picture, left = invert_codes(two_filters(), "act", wanted, Descent(seeds, preset), done.append)
    return picture.numpy(), left.numpy(), sum(done)


def assert_no_close_call(slow: Slow) -> None:
    """Neither the step that ended the descent nor any before it is a matter of rounding."""
    p = slow.preset
    changes = [abs(a - b) / abs(a) for a, b in zip(slow.losses, slow.losses[p.patience :], strict=False)]
    assert changes[-1] < 0.98 * p.tolerance
    assert min(changes[:-1]) > 1.02 * p.tolerance


@pytest.mark.parametrize(
    "preset",
    [
        STOPPING,
        replace(STOPPING, patience=4),
        replace(STOPPING, momentum=0.5, patience=2, weight_decay=0.02),
        replace(STOPPING, tolerance=0.005, decay=0.9, decay_every=10, patience=10, learning_rate=0.1),
    ],
    ids=["a step", "over 4 steps", "momentum", "as the paper"],
)
def test_a_descent_ends_at_the_step_of_the_first_change_below_the_tolerance(preset: Preset) -> None:
    target = slow_target(0, 0)
    slow, expected = Slow.run(preset, target, seed=0)
    picture, _, steps = counted(preset, target, [0])
    assert_no_close_call(slow)
    assert preset.patience + 3 < steps == len(slow.losses) < preset.steps
    assert picture[0, 0] == pytest.approx(expected, abs=1e-5)


def test_when_a_picture_stops_does_not_depend_on_the_others() -> None:
    """Each keeps what it was when it stopped; the descent ends with the last."""
    targets = np.stack([slow_target(source, channel) for source, channel in ((0, 0), (0, 1), (1, 0))])
    seeds, done = [0, 1, 0], list[int]()
    together, left = invert_codes(
        two_filters(), "act", torch.from_numpy(targets).float(), Descent(seeds, STOPPING), done.append
    )
    ends = []
    for i, seed in enumerate(seeds):
        alone, left_alone, steps = counted(STOPPING, targets[i], [seed])
        ends.append(steps)
        assert together[i].numpy() == pytest.approx(alone[0], abs=1e-6)
        assert float(left[i]) == pytest.approx(float(left_alone[0]), rel=1e-4)
    assert len({*ends}) == 3
    assert sum(done) == max(ends) < STOPPING.steps


def test_without_a_tolerance_every_step_is_made() -> None:
    assert counted(replace(STOPPING, tolerance=0.0, steps=40, fine_steps=3), slow_target(0, 0), [1])[2] == 43


# Jitter of the picture alone


def seen_by_network(classifier: Classifier, run: Callable[[], Any]) -> list[Tensor]:
    """The inputs of every forward pass that a run makes, in their order."""
    seen: list[Tensor] = []
    handle = classifier.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    try:
        run()
    finally:
        handle.remove()
    return seen


def roll_of(rolled: Tensor, picture: Tensor, most: int) -> tuple[int, int]:
    """By how many pixels down and right a picture has been rolled."""
    rolls = [
        (down, right)
        for down in range(-most, most + 1)
        for right in range(-most, most + 1)
        if torch.allclose(picture.roll((down, right), (1, 2)), rolled, atol=1e-6)
    ]
    assert len(rolls) == 1
    return rolls[0]


def pooled(stride: int, side: int = 16) -> Classifier:
    """Two filters that see colours, behind a pooling of some stride."""
    network = nn.Sequential(
        nn.Conv2d(3, 2, 1, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(stride),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2, 2),
    )
    with torch.no_grad():
        seeded(network).get_parameter("0.weight")[:, :, 0, 0] = torch.tensor(
            [[0.8, 0.3, -0.2], [-0.3, 0.6, 0.5]]
        )
    return Classifier(network, ["a", "b"], plain(side, 3))


STILL = {"learning_rate": 0.0, "total_variation": 0.0, "alpha_norm": 0.0}


@pytest.mark.parametrize(("stride", "most"), [(2, 1), (8, 2), (16, 4)])
def test_mahendrans_jitter_is_a_quarter_of_the_layers_stride_and_a_pixel_at_least(
    stride: int, most: int
) -> None:
    """Seen by a network whose picture does not change: the rate is 0."""
    preset = replace(PRESETS["mahendran"], **STILL, steps=60, fine_steps=4)  # type: ignore[arg-type]
    classifier, sources = pooled(stride), varied(2, 16, 3)
    jobs = [Job(FilterRef("2", 0), 0, 5), Job(FilterRef("2", 1), 1, 6)]
    seen = seen_by_network(classifier, lambda: invert(classifier, jobs, sources, preset))
    *_, last = seen
    steps = seen[-65:-1]
    for i in range(2):
        rolls = [roll_of(x[i], last[i], most + 1) for x in steps]
        assert rolls[60:] == [(0, 0)] * 4  # the fine steps
        for way in (0, 1):
            assert {roll[way] for roll in rolls[:60]} == {*range(-most, most + 1)}
        drawn = torch.Generator().manual_seed(jobs[i].seed)
        assert rolls[:60] == [
            tuple(torch.randint(-most, most + 1, (2,), generator=drawn).tolist()) for _ in range(60)
        ]


def test_fine_steps_are_made_at_a_tenth_of_the_rate() -> None:
    """The loss is the mean of the input, whose slope is the same at every step."""
    preset = replace(
        PRESETS["mahendran"],
        optimiser="sgd",
        learning_rate=0.5,
        total_variation=0.0,
        alpha_norm=0.0,
        steps=4,
        fine_steps=3,
    )
    levels: list[float] = []

    def loss(x: Tensor, _step: int) -> Tensor:
        levels.append(float(x.detach().mean()))
        return x.sum((1, 2, 3)) / 10

    picture = descend(two_filters(), loss, Descent([3], preset))
    levels.append((float(picture.mean()) - MEAN) / STD)
    falls = [before - after for before, after in pairwise(levels)]
    assert falls == pytest.approx([0.05] * 4 + [0.005] * 3, rel=1e-3)


def test_jitter_does_not_depend_on_the_batch() -> None:
    preset = replace(PRESETS["mahendran"], steps=12, fine_steps=3, jitter=1.0)
    jobs = [Job(FilterRef("third", k), k % 3, k) for k in range(4)]
    sources = varied(3, 12, 3, seed=2)
    together = invert(deep(12), jobs, sources, preset)
    for job, among_others in zip(jobs, together, strict=True):
        (alone,) = invert(deep(12), [job], sources, preset)
        assert np.abs(alone.image - among_others.image).max() < 0.25 / 255


def test_mahendrans_preset_comes_nearer_to_its_target() -> None:
    jobs = [Job(FilterRef("third", k), k % 3, k) for k in range(4)]
    sources = varied(3, 12, 3, seed=2)
    preset = replace(PRESETS["mahendran"], steps=60, fine_steps=10)
    starts = invert(deep(12), jobs, sources, replace(preset, steps=0, fine_steps=0))
    for start, found in zip(starts, invert(deep(12), jobs, sources, preset), strict=True):
        assert found.residual < 0.97 * start.residual


# Jitter of source and picture together


def test_source_and_picture_are_rolled_together_and_the_offsets_come_round() -> None:
    classifier, sources = pooled(4), varied(2, 16, 3, seed=3)
    preset = Preset(source_jitter=0.5, steps=20, learning_rate=0.0)
    jobs = [Job(FilterRef("2", 1), 1, 5), Job(FilterRef("2", 0), 0, 6)]
    seen = seen_by_network(classifier, lambda: invert(classifier, jobs, sources, preset))
    of_sources, of_pictures, last = seen[:8], seen[8:28], seen[28]
    assert len(seen) == 29
    real = torch.from_numpy(unit(sources[[1, 0]]))
    offsets = [roll_of(x[0], real[0], 3) for x in of_sources]
    assert offsets[0] == (0, 0)
    assert len({*offsets}) > 4
    assert max(abs(way) for offset in offsets for way in offset) == 2  # half of a stride of 4
    for i in range(2):
        assert [roll_of(x[i], real[i], 3) for x in of_sources] == offsets
        assert [roll_of(x[i], last[i], 3) for x in of_pictures] == (3 * offsets)[:20]


def test_the_target_of_each_offset_is_that_of_the_rolled_source() -> None:
    classifier, sources = pooled(4), varied(2, 16, 3, seed=3)
    preset = Preset(source_jitter=0.5)
    jobs = [Job(FilterRef("2", 1), 1, 5), Job(FilterRef("2", 0), 0, 6)]
    goal = goal_of(classifier, jobs, sources, preset)
    weight = classifier.network.get_parameter("0.weight")[:, :, 0, 0].double().numpy()
    assert len(goal.targets) == len(goal.offsets) == 8
    for (down, right), target in zip(goal.offsets, goal.targets, strict=True):
        for i, job in enumerate(jobs):
            x = np.roll(sources[job.source], (down, right), (0, 1)).astype(np.float64) / 255
            maps = np.maximum(np.einsum("fc,hwc->fhw", weight, x), 0)
            code = maps.reshape(2, 4, 4, 4, 4).mean((2, 4))
            expected = np.zeros_like(code)
            expected[job.filter.channel] = code.sum(0)
            assert target[i].numpy() == pytest.approx(expected, abs=1e-5)


def test_the_loss_of_a_step_is_the_residual_at_its_roll_and_the_one_returned_that_of_the_picture() -> None:
    classifier, sources = pooled(4), textured(2, 16)
    preset = Preset(source_jitter=0.5, steps=40)
    job = Job(FilterRef("2", 1), 1, 5)
    goal = goal_of(classifier, [job], sources, preset)
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(2))

    def by_hand(offset: tuple[int, int], x: Tensor) -> float:
        source = np.roll(sources[1:2], offset, (1, 2))
        target = isolate(source_code(classifier, "2", source), [1])
        with torch.no_grad():
            code = classifier.network[:3](x.roll(offset, (2, 3)))  # type: ignore[index]
        return float((code - target).square().sum() / target.square().sum())

    with torch.no_grad(), _looking_at(classifier, ["2"], preset) as code:
        found = [float(goal.loss(code)(x, step)) for step in range(10)]
    expected = [by_hand(goal.offsets[step % 8], x) for step in range(10)]
    assert found == pytest.approx(expected, rel=1e-4)
    assert max(expected) - min(expected) > 1e-3  # the rolls tell apart
    (made,) = invert(classifier, [job], sources, preset)
    left = [by_hand(offset, torch.from_numpy(made.image[None])) for offset in goal.offsets]
    assert made.residual == pytest.approx(left[0], rel=1e-4)
    assert left[0] not in [pytest.approx(other, rel=1e-3) for other in left[1:]]


@pytest.mark.parametrize(("share", "stride"), [(0.0, 8), (0.125, 4), (0.4, 2)])
def test_less_than_a_pixel_of_jitter_is_none(share: float, stride: int) -> None:
    jobs = [Job(FilterRef("2", 0), 0, 0)]
    goal = goal_of(pooled(stride), jobs, varied(1, 16, 3), Preset(source_jitter=share))
    assert goal.offsets == [(0, 0)]
    assert len(goal.targets) == 1


# Standardised codes, and a margin over the other filters

ENERGY, SIGMA = np.array([0.2, 0.1]), np.array([0.5, 0.125])


def measured() -> Reference:
    """Over the classes the mean energies are 0.2 and 0.1."""
    energy = np.array([[0.1, 0.1], [0.3, 0.1]], np.float32)
    return Reference({"act": LayerReference(energy, energy, SIGMA.astype(np.float32))}, np.array([8, 8]))


@pytest.mark.parametrize("standardised", [False, True])
@pytest.mark.parametrize(("target_weight", "selectivity"), [(1.0, 0.0), (1.0, 0.7), (0.05, 0.7)])
def test_the_loss_of_two_filters_worked_out_by_hand(
    standardised: bool, target_weight: float, selectivity: float
) -> None:
    classifier = two_filters()
    preset = Preset(standardised=standardised, target=target_weight, selectivity=selectivity)
    goal = goal_of(classifier, PAIR, GREY, preset, measured())
    x = torch.randn(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(4))
    with torch.no_grad(), _looking_at(classifier, ["act"], preset) as look:
        found, left = goal.loss(look)(x, 0), goal.residual(look, x)
    unit_of = SIGMA[:, None, None] if standardised else np.ones((2, 1, 1))
    for i, job in enumerate(PAIR):
        k = job.filter.channel
        source = slow_code((GREY[job.source, ..., 0] / 255.0 - MEAN) / STD) / unit_of
        target = np.zeros_like(source)
        target[k] = source.sum(0)
        code = slow_code(x[i, 0].double().numpy())
        residual = ((code / unit_of - target) ** 2).sum() / (target**2).sum()
        z = (code.mean((1, 2)) - ENERGY) / SIGMA
        highest = np.log(np.exp(4 * (z[1 - k] - z[k])) + np.exp(-4 * z[k])) / 4
        lacking = max(0.0, highest + 0.3)
        assert float(found[i]) == pytest.approx(target_weight * residual + selectivity * lacking, rel=1e-4)
        plain_target = target * unit_of
        assert float(left[i]) == pytest.approx(
            ((code - plain_target) ** 2).sum() / (plain_target**2).sum(), rel=1e-4
        )


def test_the_loss_weighs_residual_naturalness_and_lead_at_the_roll_of_the_step() -> None:
    """The picture whose look counts is what a camera would see, rolled as the code is."""
    classifier, sources = deep(12), varied(3, 12, 3, seed=2)
    standardising = Preprocessing(12, 12, 3, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    classifier = Classifier(classifier.network, classifier.class_names, standardising)
    jobs = [Job(FilterRef("third", k), k, k) for k in range(2)]
    preset = Preset(target=0.3, natural=0.7, selectivity=0.2, crops=2, source_jitter=1.0)
    goal = goal_of(classifier, jobs, sources, preset)
    assert goal.layers(classifier) == ["second", "third"]
    assert goal.natural is not None
    assert goal.leading is not None
    picture = torch.from_numpy(unit(varied(2, 12, 3, seed=9)))
    x = standardising.normalise(picture)
    with torch.no_grad(), _looking_at(classifier, goal.layers(classifier), preset) as look:
        for step in (0, 3):
            offset = goal.offsets[step]
            codes = look(x.roll(offset, (2, 3)))
            residual = residuals(codes["third"], goal.targets[step])
            distance = goal.natural.distance(codes, picture.roll(offset, (2, 3)), step)
            expected = 0.3 * residual + 0.7 * distance + 0.2 * goal.leading.lacks(codes["third"])
            assert torch.allclose(goal.loss(look)(x, step), expected, rtol=1e-4)
    assert goal.offsets[3] != (0, 0)
    assert float(distance.min()) > 0


def test_where_a_picture_need_not_be_natural_its_layer_alone_is_looked_at() -> None:
    goal = goal_of(deep(12), [Job(FilterRef("third", 0), 0, 0)], varied(1, 12, 3), Preset(selectivity=1.0))
    assert (goal.layers(deep(12)), goal.natural) == (["third"], None)


# Leading


def lacking(*z: float, channel: int = 0, lead: float = 0.3) -> float:
    """What a filter lacks of leading where the filters of the layer are so many sigma above normal."""
    normal = Normal(torch.linspace(0.2, 0.9, len(z)), torch.linspace(0.5, 0.125, len(z)))
    level = normal.energy + torch.tensor(z) * normal.sigma
    layout = torch.tensor([[0.5, 1.5], [1.0, 1.0]])  # its mean is 1
    code = level[None, :, None, None] * layout
    (found,) = _Leading(torch.tensor([channel]), normal, lead).lacks(code).tolist()
    return float(found)


def test_a_filter_ahead_of_all_others_and_of_normal_by_its_lead_lacks_nothing() -> None:
    """Of one rival far ahead of the next the soft highest is that rival to a thousandth."""
    assert lacking(4.0, 3.0) == 0
    assert lacking(4.0, 3.69) == pytest.approx(0, abs=1e-3)
    assert lacking(4.0, 3.71) == pytest.approx(0.01, abs=1e-3)
    assert lacking(4.0, 3.71, lead=0.0) == 0


def test_what_a_filter_lacks_is_the_gap_to_the_highest_of_the_others_and_its_lead() -> None:
    assert lacking(1.0, 5.0) == pytest.approx(4.3, abs=1e-3)
    assert lacking(1.0, 5.0, lead=2.0) == pytest.approx(6.0, abs=1e-3)
    assert lacking(1.0, 5.0, -3.0, 2.0) == pytest.approx(4.3, abs=1e-3)
    assert lacking(5.0, 1.0, -3.0, 2.0, channel=3) == pytest.approx(3.3, abs=1e-3)


def test_a_filter_below_normal_lacks_what_it_is_below_though_it_is_first() -> None:
    assert lacking(-2.0, -7.0, -8.0) == pytest.approx(2.3, abs=1e-3)
    assert lacking(0.0, -7.0) == pytest.approx(0.3, abs=1e-3)  # its own place counts as normal once


def test_rivals_that_are_level_count_as_a_soft_highest() -> None:
    """Of n level rivals the soft one is log(n) / 4 sigma above each."""
    expected = np.log(4) / 4 + 0.3  # three at 1 sigma and normal, at 1 sigma below the filter
    assert lacking(1.0, 1.0, 1.0, 1.0) == pytest.approx(np.log(3 + np.exp(-4)) / 4 + 0.3, rel=1e-4)
    assert lacking(0.0, 0.0, 0.0, 0.0) == pytest.approx(expected, rel=1e-4)


def test_each_picture_of_a_batch_lacks_for_its_own_filter() -> None:
    normal = Normal(torch.tensor([0.2, 0.1]), torch.tensor([0.5, 0.125]))
    code = normal.energy[None, :, None, None] + torch.zeros(2, 2, 3, 3)
    code[:, 0] += 4 * 0.5
    code[:, 1] += 1 * 0.125
    found = _Leading(torch.tensor([0, 1]), normal, 0.3).lacks(code).tolist()
    assert found == pytest.approx([0, 3.3], abs=1e-3)


def test_a_lead_that_is_there_leaves_no_slope() -> None:
    """The hinge: a picture whose filter leads is not driven further."""
    normal = Normal(torch.zeros(2), torch.ones(2))
    for ahead, slope in ((5.0, 0.0), (0.1, -1.0)):
        code = torch.zeros(1, 2, 1, 1)
        code[0, 0], code[0, 1] = 3.0 + ahead, 3.0
        code.requires_grad_()
        (lacks,) = _Leading(torch.tensor([0]), normal, 0.3).lacks(code)
        torch.autograd.backward(lacks)
        assert code.grad is not None
        assert float(code.grad[0, 0]) == pytest.approx(slope, abs=1e-4)
        assert float(code.grad[0, 1]) == pytest.approx(-slope, abs=1e-4)


BYSTANDERS = 2


def twins(side: int = 6) -> tuple[Classifier, NDArray[np.uint8], Reference]:
    """Filter 0, its twin, filter 2 of another colour, and two bystanders; and what is normal for them.

    Of a picture of colour (r, g, b) the first is at 4 r sigma, its twin above it by (g - 1/2) / 2, and each
    bystander below it by g + 1/2.
    """
    filters = [[1.0, 0.0, 0.0], [1.0, 0.125, 0.0], [0.0, 0.0, 1.0], *[[1.0, -0.25, 0.0]] * BYSTANDERS]
    energy = np.array([[0.0, 0.0625, 0.0, *[0.125] * BYSTANDERS]] * 2, np.float32)
    reference = LayerReference(energy, energy, np.full(len(filters), 0.25, np.float32))
    classifier = Classifier(Readout(filters, [[1.0] * len(filters)] * 2), ["a", "b"], plain(side, 3))
    return classifier, varied(2, side, 3, seed=2), Reference({"act": reference}, np.array([8, 8]))


def test_a_filter_is_brought_ahead_of_its_twin_and_no_further_than_its_lead() -> None:
    """Its lead over its twin is (1/2 - g) / 2, a quarter of a sigma at most; left alone, the twin leads."""
    classifier, sources, reference = twins()
    jobs = [Job(FilterRef("act", k), 0, seed) for k, seed in ((0, 3), (2, 4))]
    lead = {}
    for selectivity in (0.0, 4.0):
        preset = Preset(selectivity=selectivity, lead=0.05, steps=120, learning_rate=0.05)
        made = invert(classifier, jobs, sources, preset, reference=reference)
        red, green, blue = np.stack([each.image.mean((1, 2)) for each in made]).T
        z = np.stack([4 * red, 4 * red + (green - 0.5) / 2, 4 * blue, 4 * red - green - 0.5], 1)
        lead[selectivity] = [z[0, 0] - np.delete(z[0], 0).max(), z[1, 2] - np.delete(z[1], 2).max()]
    assert lead[0.0][0] < -0.1
    assert 0.02 < lead[4.0][0] < 0.15
    assert min(lead[0.0][1], lead[4.0][1]) > 1  # filter 2 has no twin


@pytest.mark.parametrize("optimiser", ["adam", "sgd", "lbfgs"])
def test_a_picture_whose_filter_has_to_lead_does_not_depend_on_the_batch(optimiser: str) -> None:
    classifier, sources, reference = twins()
    jobs = [Job(FilterRef("act", k % 3), k % 2, k) for k in range(6)]
    preset = Preset(selectivity=1.0, standardised=True, steps=12, learning_rate=0.1, optimiser=optimiser)
    size = 1 if optimiser == "lbfgs" else 16
    together = invert(classifier, jobs, sources, preset, reference, run=Run(size))
    for job, among_others in zip(jobs, together, strict=True):
        (alone,) = invert(classifier, [job], sources, preset, reference=reference)
        assert np.abs(alone.image - among_others.image).max() < 0.25 / 255


def test_what_is_normal_is_the_references_or_else_the_sources() -> None:
    classifier, preset = two_filters(), Preset(standardised=True)
    given = normal_of(classifier, "act", GREY, preset, measured())
    assert given.energy.numpy() == pytest.approx(ENERGY)
    assert given.sigma.numpy() == pytest.approx(SIGMA)
    codes = np.stack([slow_code((image[..., 0] / 255.0 - MEAN) / STD) for image in GREY])
    for reference in (None, Reference({}, np.array([8, 8]))):
        found = normal_of(classifier, "act", GREY, preset, reference)
        assert found.energy.numpy() == pytest.approx(codes.mean((0, 2, 3)), abs=1e-6)
        assert found.sigma.numpy() == pytest.approx(codes.std((2, 3)).mean(0), abs=1e-6)


def test_a_filter_that_never_varies_is_weighed_by_a_twentieth_of_the_median() -> None:
    network = Readout([[1.0], [0.0], [2.0]], [[1, 0, 0], [0, 1, 0]])
    classifier = Classifier(network, ["a", "b"], plain(SIDE, 1))
    sigma = normal_of(classifier, "act", GREY, Preset()).sigma.numpy()
    spread = float((GREY / 255.0).std((1, 2, 3)).mean())
    assert sigma == pytest.approx([spread, 0.05 * spread, 2 * spread], rel=1e-4)


@pytest.mark.parametrize(("standardised", "level"), [(False, 0.48), (True, 0.24)])
def test_in_sigma_the_error_of_a_steady_filter_counts_more(standardised: bool, level: float) -> None:
    """Filters x and x / 2 cannot be told apart, so the best picture is a compromise, worked out on paper.

    The source is 0.4 everywhere. Plainly the target is 0.4 + 0.2 and 0, and (x - 0.6)^2 + (x / 2)^2 is
    least at 0.6 / 1.25. With sigmas 0.5 and 0.125 it is 0.4 / 0.5 + 0.2 / 0.125 = 2.4 and 0, and
    (x / 0.5 - 2.4)^2 + (x / 2 / 0.125)^2 is least at 2 * 2.4 / (4 + 16).
    """
    classifier = Classifier(Readout([[1.0], [0.5]], [[1, 0], [0, 1]]), ["a", "b"], plain(SIDE, 1))
    source = np.full((1, SIDE, SIDE, 1), 102, np.uint8)
    preset = replace(LBFGS, standardised=standardised, start="normal")
    (found,) = invert(classifier, [PAIR[0]], source, preset, reference=measured())
    assert found.image == pytest.approx(np.full((1, SIDE, SIDE), level), abs=1e-3)


def test_a_filter_that_has_to_lead_lacks_less_of_it() -> None:
    classifier, sources = deep(12), varied(3, 12, 3, seed=2)
    jobs = [Job(FilterRef("first", k), k % 3, k) for k in range(4)]
    lacks = {}
    for weight in (0.0, 3.0):
        preset = Preset(steps=40, standardised=True, selectivity=weight)
        normal = normal_of(classifier, "first", sources, preset)
        made = invert(classifier, jobs, sources, preset)
        leading = _Leading(torch.arange(4), normal, preset.lead)
        with torch.no_grad(), _looking_at(classifier, ["first"], preset) as look:
            codes = look(torch.from_numpy(np.stack([each.image for each in made])))
            lacks[weight] = leading.lacks(codes["first"])
    assert (lacks[3.0] < lacks[0.0] + 0.01).all()
    assert float(lacks[3.0].mean()) < 0.65 * float(lacks[0.0].mean())


# Layouts


def identity(side: int = 6) -> tuple[Classifier, NDArray[np.uint8]]:
    """One filter, x itself, so that a picture is its code; and two sources."""
    classifier = Classifier(Readout([[1.0]], [[1], [2]]), ["a", "b"], plain(side, 1))
    return classifier, np.random.default_rng(3).integers(51, 204, (2, side, side, 1), dtype=np.uint8)


def test_the_layout_of_a_target_is_kept_permuted_or_flat() -> None:
    classifier, sources = identity()
    preset = Preset("input", optimiser="lbfgs", learning_rate=1.0, steps=12)

    def made(layout: str, source: int, seed: int) -> FloatArray:
        job = Job(FilterRef("act", 0), source, seed, layout)  # type: ignore[arg-type]
        (found,) = invert(classifier, [job], sources, preset)
        assert found.layout == layout
        assert found.residual < 1e-6
        return np.asarray(found.image[0])

    for source, seed in ((0, 4), (1, 9)):
        real = unit(sources)[source, 0]
        order = torch.randperm(36, generator=torch.Generator().manual_seed(seed)).numpy()
        assert made("source", source, seed) == pytest.approx(real, abs=2e-3)
        assert made("shuffled", source, seed) == pytest.approx(real.flatten()[order].reshape(6, 6), abs=2e-3)
        assert made("constant", source, seed) == pytest.approx(np.full((6, 6), real.mean()), abs=2e-3)


def test_each_job_of_a_batch_has_the_layout_it_asks_for() -> None:
    classifier, sources = deep(12), varied(3, 12, 3, seed=2)
    layouts = ("shuffled", "source", "constant", "shuffled")
    jobs = [Job(FilterRef("third", i), i % 3, 10 + i, layout) for i, layout in enumerate(layouts)]  # type: ignore[arg-type]
    goal = goal_of(classifier, jobs, sources, Preset())
    code = source_code(classifier, "third", sources)
    for i, job in enumerate(jobs):
        total = code[job.source].sum(0)
        order = torch.randperm(total.numel(), generator=torch.Generator().manual_seed(job.seed))
        expected = {
            "source": total,
            "shuffled": total.flatten()[order].view_as(total),
            "constant": total.mean().expand_as(total),
        }[job.layout]
        assert torch.allclose(goal.targets[0][i, job.filter.channel], expected, rtol=1e-5)
        assert float(goal.targets[0][i].sum()) == pytest.approx(float(total.sum()), rel=1e-5)  # the rest is 0
    together = invert(classifier, jobs, sources, Preset(steps=10))
    assert [each.layout for each in together] == list(layouts)


# The end


def test_a_picture_is_denoised_at_the_end_with_the_weight_of_the_preset() -> None:
    classifier, sources = deep(12), varied(3, 12, 3, seed=2)
    job = Job(FilterRef("third", 1), 1, 3)
    rough = Preset(steps=15)
    (before,) = invert(classifier, [job], sources, rough)
    for weight in (0.05, 0.3):
        (after,) = invert(classifier, [job], sources, replace(rough, denoise=weight))
        expected = denoise(torch.from_numpy(before.image[None]), weight)[0].numpy()
        assert after.image == pytest.approx(expected, abs=1e-6)
        assert np.abs(after.image - before.image).max() > 0.01
        assert after.residual != before.residual  # that of the picture handed out
        goal = goal_of(classifier, [job], sources, rough)
        with _looking_at(classifier, ["third"], rough) as look:
            x = torch.from_numpy(after.image[None])
            assert after.residual == pytest.approx(float(goal.residual(look, x)), rel=1e-4)


def test_a_start_is_noise_of_the_input_or_of_the_picture() -> None:
    classifier = two_filters()
    uniform = descend(
        classifier, lambda x, _: x.sum((1, 2, 3)), Descent([8], replace(SGD, steps=0, contrast=0.3))
    )
    drawn = torch.rand(1, SIDE, SIDE, generator=torch.Generator().manual_seed(8)) * 2 - 1
    assert uniform[0].numpy() == pytest.approx((MEAN + STD * 0.3 * drawn).numpy(), abs=1e-6)
    normal = descend(
        classifier, lambda x, _: x.sum((1, 2, 3)), Descent([8], replace(ADAM, steps=0, contrast=0.05))
    )
    drawn = torch.randn(1, SIDE, SIDE, generator=torch.Generator().manual_seed(8))
    assert normal[0].numpy() == pytest.approx((0.5 + 0.05 * drawn).numpy(), abs=1e-6)


# Parametrisations in a descent


@pytest.mark.parametrize(
    ("parametrization", "rate"),
    [("pixels", 0.1), ("input", 0.05), ("spectrum", 0.1), ("plant", 0.1), ("phase", 0.1)],
)
def test_every_parametrisation_comes_nearer_to_its_target(parametrization: str, rate: float) -> None:
    classifier, sources = deep(12), varied(4, 12, 3, seed=2)
    jobs = [Job(FilterRef("third", k), k, k) for k in range(4)]
    preset = Preset(parametrization, steps=40, learning_rate=rate)
    starts = invert(classifier, jobs, sources, replace(preset, steps=0))
    for start, found in zip(starts, invert(classifier, jobs, sources, preset), strict=True):
        assert found.residual < 0.98 * start.residual
        assert found.image.min() >= 0
        assert found.image.max() <= 1
        assert np.abs(found.image - start.image).max() > 0.05


def test_a_descent_by_phase_keeps_the_amplitudes_of_the_plants_images() -> None:
    """By the spectrum of the picture's logit."""
    classifier, sources = deep(12), varied(4, 12, 3, seed=2)
    (found,) = invert(
        classifier, [Job(FilterRef("third", 2), 1, 3)], sources, Preset("phase", steps=30, learning_rate=0.1)
    )
    real = np.log((held := unit(sources).astype(np.float64).clip(0.02, 0.98)) / (1 - held))
    amplitude = np.abs(np.fft.fft2(real - real.mean((2, 3), keepdims=True))).mean((0, 1))
    drawn = np.log(found.image / (1 - found.image.astype(np.float64)))
    ratio = np.abs(np.fft.fft2(drawn)) / amplitude
    for row, column in ((0, 0), (0, 6), (6, 0), (6, 6)):  # frequencies that are their own mirror images
        ratio[:, row, column] = ratio[:, 1, 1]  # are bound to be real: their phases cannot turn
    assert ratio == pytest.approx(np.full_like(ratio, ratio.mean()), rel=1e-3)
    assert drawn.std((1, 2)) == pytest.approx(np.full(3, real.std((2, 3)).mean()), rel=5e-3)
    assert drawn.mean((1, 2)) == pytest.approx(real.mean((0, 2, 3)), abs=0.01)


# What cannot be done


@pytest.mark.parametrize("parametrization", ["plant", "phase"])
@pytest.mark.parametrize("images", [None, np.zeros((0, 12, 12, 3), np.uint8)], ids=["none", "no image"])
def test_a_spectrum_of_real_images_asks_for_them(
    parametrization: str, images: NDArray[np.uint8] | None
) -> None:
    classifier = deep(12)
    target = source_code(classifier, "third", varied(1, 12, 3))
    with pytest.raises(EngineError) as refusal:
        invert_codes(classifier, "third", target, Descent([0], Preset(parametrization, steps=1), images))
    assert str(refusal.value) == (
        f"the parametrisation {parametrization!r} takes its spectrum from real images; none are given"
    )
    assert hooks(classifier.network) == 0


@pytest.mark.parametrize("shape", [(6, 5, 6), (5, 6, 6), (6, 1, 1), (1, 6, 6)])
def test_a_target_of_another_shape_is_refused(shape: tuple[int, int, int]) -> None:
    classifier = deep(12)
    with pytest.raises(EngineError) as refusal:
        invert_codes(classifier, "third", torch.ones(1, *shape), Descent([0], Preset(steps=1)))
    assert str(refusal.value) == (
        f"a target of shape {shape} given for a code of (6, 6, 6): filters, height, width"
    )
    assert hooks(classifier.network) == 0


@pytest.mark.parametrize("average_pooling", [False, True])
def test_a_layer_that_does_not_exist_leaves_no_hook(average_pooling: bool) -> None:
    classifier = vgg()
    with pytest.raises(UnknownLayerError, match="no layer '77'; this network has: 0, 1, 2, "):
        source_code(classifier, "77", textured(1), Preset(average_pooling=average_pooling))
    assert hooks(classifier.network) == 0


def test_pools_take_the_average_for_the_source_the_descent_and_the_residual() -> None:
    classifier, sources, job = vgg(), textured(2), Job(FilterRef("7", 3), 1, 1)
    preset = Preset(average_pooling=True, steps=3)
    (found,) = invert(classifier, [job], sources, preset)

    def code(x: Tensor) -> Tensor:
        for i in (0, 3, 6):
            x = torch.nn.functional.avg_pool2d(x, 2) if i else x
            weight = classifier.network.get_parameter(f"{i}.weight")
            x = torch.nn.functional.conv2d(x, weight, padding=1).clamp_min(0)
        return x

    target = isolate(code(classifier.prepare(sources[1:])), [3])
    left = code(classifier.preprocessing.normalise(torch.from_numpy(found.image[None]))) - target
    assert found.residual == pytest.approx(float(left.square().sum() / target.square().sum()), rel=1e-4)
    assert hooks(classifier.network) == 0
    (other,) = invert(classifier, [job], sources, replace(preset, average_pooling=False))
    assert other.residual != pytest.approx(found.residual, rel=0.01)


# The presets


def test_the_default_preset_gives_a_seed_its_picture_whatever_the_batch() -> None:
    """To a quarter of an 8-bit step in its first steps; then two values that change places tell."""
    classifier, sources = deep(12), varied(4, 12, 3, seed=2)
    jobs = [Job(FilterRef("third", k), k % 4, k) for k in range(5)]
    preset = replace(PRESETS["default"], steps=6)
    together = invert(classifier, jobs, sources, preset)
    for job, among_others in zip(jobs, together, strict=True):
        (alone,) = invert(classifier, [job], sources, preset)
        assert np.abs(alone.image - among_others.image).max() < 0.25 / 255
        assert alone.residual == pytest.approx(among_others.residual, rel=1e-3)
    pairs = invert(classifier, jobs, sources, preset, run=Run(2))
    for one, other in zip(together, pairs, strict=True):
        assert np.abs(one.image - other.image).max() < 0.25 / 255
    (other_seed,) = invert(classifier, [replace(jobs[0], seed=77)], sources, preset)
    assert np.abs(other_seed.image - together[0].image).max() > 0.01


def test_the_default_preset_gives_the_very_picture_again_and_in_another_batch_one_like_it() -> None:
    classifier, sources = deep(12), varied(4, 12, 3, seed=2)
    jobs = [Job(FilterRef("third", k), k, k) for k in range(2)]
    once, again = (invert(classifier, jobs, sources) for _ in range(2))
    others = invert(classifier, [replace(job, seed=70 + job.seed) for job in jobs], sources)
    for job, one, two, other in zip(jobs, once, again, others, strict=True):
        (alone,) = invert(classifier, [job], sources)
        assert np.array_equal(one.image, two.image)
        by_seed = np.abs(one.image - other.image).mean()
        assert np.abs(one.image - alone.image).mean() < 0.2 * by_seed


def vgg(side: int = 32) -> Classifier:
    """A VGG in small, of random filters with variances as training begins with and maximum pooling."""
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 2),
    )
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.zero_()
            if name.endswith("weight"):
                weight.copy_(torch.randn(weight.shape, generator=generator) * (2 / weight[0].numel()) ** 0.5)
    preprocessing = Preprocessing(side, side, 3, (0.5, 0.4, 0.45), (0.25, 0.2, 0.225))
    return Classifier(network, ["a", "b"], preprocessing)


@pytest.fixture
def double() -> Iterator[None]:
    """Make float64 of what is drawn, and so of networks and descents.

    A rectifier whose answer is 0 but for rounding is open on one processor and shut on another, and from
    there on two descents part: in float32 every few dozen steps of the paper's run, in float64 never.
    """
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@dataclass(frozen=True)
class PaperRun:
    """What the paper's run comes to, by a slow rewrite."""

    target: Tensor
    picture: Real
    steps: int
    errors: list[float]  # the loss at each step, as the paper has it


def paper_code(classifier: Classifier, x: Tensor) -> Tensor:
    """The code of `vgg` at layer "7" with average pooling, written out."""
    for i in (0, 3, 6):
        x = torch.nn.functional.avg_pool2d(x, 2) if i else x
        weight = classifier.network.get_parameter(f"{i}.weight").to(x)
        x = torch.nn.functional.conv2d(x, weight, padding=1).clamp_min(0)
    return x


def paper_error(classifier: Classifier, x: Tensor, target: Tensor, scale: float) -> Tensor:
    error = scale * (paper_code(classifier, x) - target).square().sum() / target.square().sum()
    return error + 5e-4 / 2 * x.square().sum()


def slow_paper(classifier: Classifier, source: NDArray[np.uint8], job: Job, scale: float) -> PaperRun:
    """Section 3 of arXiv 1608.04170 on `vgg` in float64: SGD with everything written out, up to layer "7"."""
    p = classifier.preprocessing
    mean, std = np.array(p.mean)[:, None, None], np.array(p.std)[:, None, None]
    real = torch.from_numpy((source.transpose(2, 0, 1) / 255 - mean) / std)[None]
    target = torch.zeros_like(paper_code(classifier, real))
    target[:, job.filter.channel] = paper_code(classifier, real).sum(1)
    generator = torch.Generator().manual_seed(job.seed)
    x = (torch.rand(real.shape[1:], generator=generator).double()[None] * 2 - 1) * 0.1
    velocity, errors = torch.zeros_like(x), list[float]()
    for step in range(1000):
        x = x.detach().requires_grad_(True)
        error = paper_error(classifier, x, target, scale)
        (slope,) = torch.autograd.grad(error, x)
        slope = slope * min(1.0, 10 / float(slope.norm()))
        velocity = 0.9 * velocity + slope
        errors.append(float(error.detach()))
        x = x.detach() - 0.1 * 0.9 ** (step // 10) * velocity
        if step >= 10 and abs(errors[step - 10] - errors[step]) < 0.005 * errors[step - 10]:
            break
    picture = (x[0].numpy() * std + mean).clip(0, 1)
    low, high = picture.min(), picture.max()
    stretched = (picture - low) / (high - low)
    smooth = np.stack([denoise_tv_chambolle(channel, 0.2) for channel in stretched])
    return PaperRun(target, smooth * (high - low) + low, len(errors), errors)


PAPER = PRESETS["paper"]
PAPER_JOBS = [Job(FilterRef("7", 14), source=0, seed=14), Job(FilterRef("7", 4), source=1, seed=4)]


def textured(count: int, side: int = 32) -> NDArray[np.uint8]:
    """Stripes of several directions and colours under grain."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:side, :side]
    pictures = []
    for _ in range(count):
        down, across = rng.integers(1, 6, 2)
        stripes = np.cos(2 * np.pi * (down * y + across * x) / side)[..., None] * rng.uniform(0.1, 0.3, 3)
        pictures.append(0.45 + stripes + rng.normal(0, 0.05, (side, side, 3)))
    return np.asarray(np.clip(np.stack(pictures), 0, 1) * 255, np.uint8)


def relative_changes(errors: Sequence[float]) -> list[float]:
    """Over ten steps each, as the paper's run ends by them."""
    return [abs(a - b) / a for a, b in zip(errors, errors[10:], strict=False)]


@pytest.mark.parametrize("job", PAPER_JOBS, ids=["first", "second"])
@pytest.mark.usefixtures("double")
def test_the_papers_preset_is_the_papers_run_from_end_to_end(job: Job) -> None:
    """Step by step in float64; that of float32 is another after a while, see `double`."""
    classifier, source, done = vgg(), textured(2)[job.source], list[int]()
    slow = slow_paper(classifier, source, job, PAPER.loss_scale)
    picture, left = invert_codes(classifier, "7", slow.target, Descent([job.seed], PAPER), done.append)
    assert relative_changes(slow.errors)[-1] < 0.99 * 0.005
    assert min(relative_changes(slow.errors)[:-1]) > 1.01 * 0.005
    assert 20 < sum(done) == slow.steps < 1000
    assert picture.dtype == torch.float64
    assert picture[0].numpy() == pytest.approx(slow.picture, abs=1e-7)
    by_hand = paper_code(classifier, classifier.preprocessing.normalise(picture)) - slow.target
    assert float(left) == pytest.approx(float(by_hand.square().sum() / slow.target.square().sum()))


@pytest.mark.parametrize("job", PAPER_JOBS, ids=["first", "second"])
def test_the_papers_run_begins_as_the_paper_has_it_and_ends_by_its_rule(job: Job) -> None:
    """In float32, as pictures are made: whatever it does on the way, its own errors end it."""
    classifier, sources, made = vgg(), textured(2), list[Inversion]()
    slow = slow_paper(classifier, sources[job.source], job, PAPER.loss_scale)
    seen = seen_by_network(classifier, lambda: made.extend(invert(classifier, [job], sources, PAPER)))
    source, *steps, last = seen
    assert paper_code(classifier, source).sum(1) == pytest.approx(slow.target.sum(1), abs=1e-4)
    errors = [float(paper_error(classifier, x.double(), slow.target, PAPER.loss_scale)) for x in steps]
    assert errors[:10] == pytest.approx(slow.errors[:10], rel=1e-4)
    assert 20 < len(errors) < 1000
    assert relative_changes(errors)[-1] < 1.01 * 0.005
    assert min(relative_changes(errors)[:-1]) > 0.99 * 0.005
    target = isolate(source_code(classifier, "7", sources[[job.source]], PAPER), [job.filter.channel])
    picture, left = invert_codes(classifier, "7", target, Descent([job.seed], PAPER))
    assert np.array_equal(made[0].image, picture[0].numpy())
    assert made[0].residual == float(left)
    assert torch.equal(last, classifier.preprocessing.normalise(picture))


def test_the_papers_run_comes_as_near_as_adam_by_an_error_that_is_not_divided() -> None:
    """Divided by ||F*||^2 the error has so small a slope that the picture stays what it was, grey."""
    classifier, sources = vgg(), textured(2)
    jobs = [Job(FilterRef("7", k), k % 2, k) for k in (0, 3, 11, 13)]
    bare = replace(PAPER, denoise=0.0)
    adam = Preset("input", start="uniform", contrast=0.1, average_pooling=True, steps=300, learning_rate=0.05)
    starts = invert(classifier, jobs, sources, replace(bare, steps=0))
    found = invert(classifier, jobs, sources, bare)
    best = invert(classifier, jobs, sources, adam)
    divided = invert(classifier, jobs, sources, replace(bare, loss_scale=1.0))
    for start, end, reached, grey in zip(starts, found, best, divided, strict=True):
        assert end.residual < 0.6 * start.residual
        assert end.residual < reached.residual + 0.1
        assert end.image.std() > 3 * start.image.std()
        assert grey.residual > 0.98 * start.residual
        assert grey.image.std() < 1.1 * start.image.std()


@pytest.mark.usefixtures("double")
def test_one_step_is_no_measure_of_the_change() -> None:
    """Before momentum has built up the error changes little: the rule would end the second step."""
    classifier, job = vgg(), Job(FilterRef("7", 15), 1, 15)
    slow = slow_paper(classifier, textured(2)[1], job, PAPER.loss_scale)
    assert abs(slow.errors[0] - slow.errors[1]) < 0.2 * 0.005 * slow.errors[0]
    assert slow.steps > 40
    for patience, expected in ((1, 2), (PAPER.patience, slow.steps)):
        done: list[int] = []
        preset = replace(PAPER, patience=patience)
        invert_codes(classifier, "7", slow.target, Descent([15], preset), done.append)
        assert sum(done) == expected
