"""Blame: which filters pushed an image to the wrong class. Screened by gradient, verified by patching."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from fmi_engine.classifier import Classifier
from fmi_engine.energy import energies, patch_energy, patch_every_energy
from fmi_engine.probe import Resumption, cut_at, recorded
from fmi_engine.reference import Batch, Reference
from fmi_engine.types import FloatArray, Images, Layer, Screening, Verification

Progress = Callable[[int], None] | None
Begun = tuple[Tensor, ...]
"""A batch run up to a layer: its code there, and the values that pass the layer by."""


def margins(logits: Float[Tensor, "batch label"], predicted: Tensor, true: Tensor) -> Float[Tensor, " batch"]:
    """m(x) = logit(predicted) - logit(true), above 0 for an error."""
    rows = torch.arange(len(logits), device=logits.device)
    return logits[rows, predicted] - logits[rows, true]


def screen(
    classifier: Classifier,
    layers: Sequence[Layer],
    reference: Reference,
    images: Images,
    true: NDArray[np.int64],
    batch_size: int = 32,
    progress: Progress = None,
) -> Screening:
    """Blame every filter of every layer with one forward and one backward pass per batch.

    B_c = sum over positions of (a_c - patch(a_c)) * dm/da_c, in logits: the first-order change of the
    margin that the filter's departure from normal caused, energy and spread alike. With the shift of
    the mean alone, (e_c - mu[t,c]) in place of the patch, the same filters flip fewer errors at the same
    cost. `images` is (errors, height, width, channel).
    """
    parts = [
        _screen_batch(classifier, layers, reference, images[i : i + batch_size], true[i : i + batch_size])
        for i in _steps(len(images), batch_size, progress)
    ]
    return join(parts)


def _screen_batch(
    classifier: Classifier,
    layers: Sequence[Layer],
    reference: Reference,
    images: NDArray[np.uint8],
    true: NDArray[np.int64],
) -> Screening:
    names = [layer.name for layer in layers]
    with torch.enable_grad(), recorded(classifier.network, names) as codes:
        x = classifier.prepare(images).requires_grad_(True)  # the weights are frozen: the graph starts here
        logits = classifier(x)
        predicted = logits.argmax(1)
        margin = margins(logits, predicted, torch.from_numpy(true).to(logits.device))
        # A layer that the margin does not depend on has no blame.
        gradients = torch.autograd.grad(
            margin.sum(), [codes[name] for name in names], allow_unused=True, materialize_grads=True
        )
    detached = {name: codes[name].detach() for name in names}
    blame = {
        layer.name: _patch_effect(detached[layer.name], gradient, layer, reference, true)
        for layer, gradient in zip(layers, gradients, strict=True)
    }
    energy = {name: energies(code).cpu().numpy() for name, code in detached.items()}
    return Screening(blame, energy, margin.detach().cpu().numpy(), predicted.cpu().numpy(), true)


@torch.no_grad()
def _patch_effect(
    code: Tensor, gradient: Tensor, layer: Layer, reference: Reference, true: NDArray[np.int64]
) -> FloatArray:
    patched = _all_patched(code, layer, reference, true)
    effect: FloatArray = patched.neg_().add_(code).mul_(gradient).sum((2, 3)).cpu().numpy()
    return effect


def _all_patched(code: Tensor, layer: Layer, reference: Reference, true: NDArray[np.int64]) -> Tensor:
    normal = reference.layers[layer.name]
    energy, spread = (torch.from_numpy(each[true]).to(code.device) for each in (normal.energy, normal.spread))
    return patch_every_energy(code, energy, spread, layer.nonnegative)


def join(parts: Sequence[Screening]) -> Screening:
    """The screenings of several batches as one, in order."""
    layers = parts[0].blame
    return Screening(
        {layer: np.concatenate([part.blame[layer] for part in parts]) for layer in layers},
        {layer: np.concatenate([part.energy[layer] for part in parts]) for layer in layers},
        np.concatenate([part.margin for part in parts]),
        np.concatenate([part.predicted for part in parts]),
        np.concatenate([part.true for part in parts]),
    )


def most_blamed(blame: FloatArray, k: int) -> list[int]:
    """The K filters with the highest mean blame over the errors (errors, channels), most blamed first."""
    return [int(c) for c in np.argsort(-blame.mean(0), kind="stable")[:k]]


def run_up_to(classifier: Classifier, cut: Resumption, images: Images, batch_size: int = 32) -> list[Begun]:
    """Run 8-bit images (images, height, width, channel) up to a layer, for what goes on from there."""
    with torch.no_grad():
        batches = range(0, len(images), batch_size)
        return [cut.head(classifier.prepare(images[i : i + batch_size])) for i in batches]


def blame_midway(
    cut: Resumption, layer: Layer, reference: Reference, screening: Screening, begun: Sequence[Begun]
) -> FloatArray:
    """Blame (errors, channels) of one layer with the gradient halfway to the code with every filter patched.

    B_c = sum over positions of (a_c - patch(a_c)) * dm/da_c, in logits, at the middle of the straight path
    from the code to the patched code: the midpoint rule of integrated gradients (Sundararajan, Taly, Yan,
    Axiomatic Attribution for Deep Networks, arXiv 1703.01365). The screen's gradient, at the code itself,
    misjudges filters whose change is far from small (a lamp at half its light). Only the layers after
    `layer` are run forward and backward: `cut` is the network cut there, and `begun` are the errors of
    `screening`, in order, run up to it.
    """
    parts = []
    for rows, (code, *values) in _batches(begun):
        true, predicted = screening.true[rows], screening.predicted[rows]
        with torch.no_grad():
            patched = _all_patched(code, layer, reference, true)
        with torch.enable_grad():
            midway = ((code + patched) / 2).requires_grad_(True)
            logits = cut.tail(midway, *values)
            margin = margins(logits, *(torch.from_numpy(each).to(code.device) for each in (predicted, true)))
            (gradient,) = torch.autograd.grad(margin.sum(), midway)
        parts.append(((code - patched) * gradient).sum((2, 3)).cpu().numpy())
    return np.concatenate(parts)


def most_deviating(screening: Screening, reference: Reference, layer: str, k: int) -> list[int]:
    """The control: the K filters whose mean energy shift is largest in either direction, in sigma."""
    shift = reference.standardise(layer, screening.energy[layer], screening.true).mean(0)
    return [int(c) for c in np.argsort(-np.abs(shift), kind="stable")[:k]]


def patch_count(channels: int, wanted: int, largest_share: float) -> int:
    """K for a layer: as many filters as wanted, but never more than a share of the layer."""
    return max(1, min(wanted, int(channels * largest_share)))


@dataclass(frozen=True, slots=True)
class Patching:
    """A layer whose filters are patched to normal, and the network cut there to go on from it."""

    classifier: Classifier
    layer: Layer
    reference: Reference
    cut: Resumption
    batch_size: int = 32

    @classmethod
    def at(
        cls, classifier: Classifier, layer: Layer, reference: Reference, batch_size: int = 32
    ) -> "Patching":
        """Cut the network at a layer."""
        return cls(classifier, layer, reference, cut_at(classifier, layer.name), batch_size)

    def run_up(self, images: Images) -> list[Begun]:
        """Run 8-bit images (images, height, width, channel) up to the layer."""
        return run_up_to(self.classifier, self.cut, images, self.batch_size)


@dataclass(frozen=True, slots=True)
class Trial:
    """The filters that are patched, and what the patch is held against."""

    filters: Sequence[int]
    correct: Batch  # images that the network tells rightly: those that the patch breaks are its collateral
    random_draws: int = 1  # sets of random filters for each error
    seed: int = 0


def verify(
    patching: Patching,
    screening: Screening,
    images: Images,
    trial: Trial,
    progress: Progress = None,
) -> Verification:
    """Patch the blamed filters of one layer exactly, beside as many of both controls; count the flips.

    `images` are the errors of `screening` in the same order. The random filters are drawn anew for every
    error, so that one draw for each is still as many sets as there are errors. Only the layers after the
    patched one are run again.
    """
    rng, layer = np.random.default_rng(trial.seed), patching.layer
    blamed, k = list(trial.filters), len(trial.filters)
    deviating = most_deviating(screening, patching.reference, layer.name, k)
    flips, margin = [], []
    for i in _steps(len(images), patching.batch_size, progress):
        rows = slice(i, i + patching.batch_size)
        true, predicted = screening.true[rows], screening.predicted[rows]
        drawn = [_drawn(rng, layer.channels, k, len(true)) for _ in range(trial.random_draws)]
        sets: list[Sequence[int] | NDArray[np.int64]] = [blamed, deviating, *drawn]
        patched = patched_margins(patching, patching.run_up(images[rows]), true, sets, predicted)
        flips.append(patched.right)
        margin.append(patched.margin[0])
    right = np.concatenate(flips, axis=1)
    return Verification(
        layer=layer.name,
        filters=tuple(blamed),
        flips=right[0],
        deviation_flips=right[1],
        random_flips=right[2:].mean(0, dtype=np.float32),
        margin_fall=np.asarray(screening.margin - np.concatenate(margin), np.float32),
        collateral=_collateral(patching, trial.correct, blamed),
    )


def _drawn(rng: np.random.Generator, channels: int, k: int, errors: int) -> NDArray[np.int64]:
    """K channels of a layer (errors, k), drawn for each error."""
    return np.stack([rng.choice(channels, k, replace=False) for _ in range(errors)])


class Patched:
    """The verdicts and margins (sets, images) after patching several sets of filters."""

    def __init__(self, right: NDArray[np.bool_], margin: FloatArray) -> None:
        self.right = right
        self.margin = margin


@torch.no_grad()
def patched_margins(
    patching: Patching,
    begun: Sequence[Begun],
    true: NDArray[np.int64],
    sets: Sequence[Sequence[int] | NDArray[np.int64]],
    predicted: NDArray[np.int64],
) -> Patched:
    """Run images, begun up to the layer, on from there once for each set of patched filters.

    A set holds the filters that are patched in every image, or (images, filters) those of each. The margin
    is measured against `predicted`, the classes that the unpatched network chose.
    """
    layer, normal = patching.layer, patching.reference.layers[patching.layer.name]
    right = np.zeros((len(sets), len(true)), bool)
    margin = np.zeros((len(sets), len(true)), np.float32)
    for rows, (code, *values) in _batches(begun):
        labels, wrong = (torch.from_numpy(each[rows]).to(code.device) for each in (true, predicted))
        for which, channels in enumerate(sets):
            picked = channels[rows] if isinstance(channels, np.ndarray) else np.tile(channels, (len(code), 1))
            energy, spread = (
                torch.from_numpy(each[true[rows][:, None], picked]).to(code.device)
                for each in (normal.energy, normal.spread)
            )
            patched = patch_energy(code, picked, energy, spread, layer.nonnegative)
            logits = patching.cut.tail(patched, *values)
            right[which, rows] = (logits.argmax(1) == labels).cpu().numpy()
            margin[which, rows] = margins(logits, wrong, labels).cpu().numpy()
    return Patched(right, margin)


def _collateral(patching: Patching, correct: Batch, filters: list[int]) -> float:
    images, true = correct
    if not len(images):
        return 0.0
    patched = patched_margins(patching, patching.run_up(images), true, [filters], true)
    return float(1 - patched.right[0].mean())


def _batches(begun: Sequence[Begun]) -> Iterator[tuple[slice, Begun]]:
    start = 0
    for each in begun:
        yield slice(start, start + len(each[0])), each
        start += len(each[0])


def _steps(count: int, batch_size: int, progress: Progress) -> Iterator[int]:
    for i in range(0, count, batch_size):
        yield i
        if progress:
            progress(min(batch_size, count - i))


def bootstrap_gain(verification: Verification, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the flip rate's gain over the better control, resampling errors in pairs.

    In every resample the better control is chosen anew, so the interval pays for the choice.
    """
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(verification.flips), (resamples, len(verification.flips)))
    blame = verification.flips[draws].mean(1)
    control = np.maximum(
        verification.deviation_flips[draws].mean(1), verification.random_flips[draws].mean(1)
    )
    lower, upper = np.quantile(blame - control, (0.025, 0.975))
    return float(lower), float(upper)
