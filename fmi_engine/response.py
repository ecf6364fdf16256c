"""Response matching: which change of the world moves the filters as the errors moved them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fmi_engine.classifier import Classifier
from fmi_engine.reference import Reference, measure_energies
from fmi_engine.types import FloatArray, Match, Screening

ShiftPath = tuple[Sequence[float], Sequence[FloatArray]]  # measured strengths, and the shift at each


def observed_shift(screening: Screening, reference: Reference, layers: Sequence[str]) -> FloatArray:
    """o[l,c] = mean over the errors of (e_c - mu[t,c]) / sigma_c, all layers in a row, in sigma."""
    return np.concatenate(
        [reference.standardise(name, screening.energy[name], screening.true).mean(0) for name in layers]
    )


def blame_weights(screening: Screening, layers: Sequence[str]) -> FloatArray:
    """w[l,c], proportional to the positive part of the mean blame; every layer has the same total."""
    parts = []
    for name in layers:
        positive = np.maximum(screening.blame[name].mean(0), 0)
        parts.append(positive / max(float(positive.sum()), 1e-12))
    return np.asarray(np.concatenate(parts) / len(parts), np.float32)


def induced_shift(
    classifier: Classifier,
    reference: Reference,
    layers: Sequence[str],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    batch_size: int = 32,
) -> FloatArray:
    """d_op[l,c] = mean((e_c(op(x)) - e_c(x)) / sigma_c), all layers in a row, in sigma."""
    energy_before, _, _ = measure_energies(classifier, layers, before, batch_size, with_spread=False)
    energy_after, _, _ = measure_energies(classifier, layers, after, batch_size, with_spread=False)
    return np.concatenate(
        [
            ((energy_after[name] - energy_before[name]) / reference.layers[name].sigma).mean(0)
            for name in layers
        ]
    )


def explained_share(observed: FloatArray, induced: FloatArray, weights: FloatArray) -> float:
    """1 - sum w (o - d)^2 / sum w o^2: 1 explains everything, 0 nothing, below 0 is worse than nothing."""
    total = float((weights * observed**2).sum())
    return 1 - float((weights * (observed - induced) ** 2).sum()) / total if total > 0 else 0.0


def fit_strength(
    observed: FloatArray, strengths: Sequence[float], induced: Sequence[FloatArray], weights: FloatArray
) -> tuple[float, float]:
    """The strength that explains most, and its share, along the path through the measured strengths.

    Between two measured strengths the induced shift is interpolated linearly (0 at strength 0), where
    the share is a parabola in the strength: its top is found in closed form.
    """
    strength, share = fit_strengths(observed[None], strengths, induced, weights)
    return float(strength[0]), float(share[0])


def fit_strengths(
    observed: FloatArray, strengths: Sequence[float], induced: Sequence[FloatArray], weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The same for several observed shifts (rows, filters) at once: strengths (rows,) and shares (rows,)."""
    total = (observed**2) @ weights
    moved = total > 0  # what did not move is not explained, as in `explained_share`
    total = np.where(moved, total, np.float32(1))
    best, most = np.zeros(len(observed), np.float32), np.zeros(len(observed), np.float32)
    previous_strength, previous = 0.0, np.zeros_like(observed[0])
    for strength, shift in zip(strengths, induced, strict=True):
        step, left = shift - previous, observed - previous
        length = float((weights * step**2).sum())
        along = np.clip(left @ (weights * step) / length, 0, 1) if length > 0 else np.zeros_like(best)
        share = 1 - ((left - along[:, None] * step) ** 2 @ weights) / total
        better = moved & (share > most)
        best[better] = previous_strength + along[better] * (strength - previous_strength)
        most[better] = share[better]
        previous_strength, previous = strength, shift
    return best, most


def shift_at(strength: float, strengths: Sequence[float], induced: Sequence[FloatArray]) -> FloatArray:
    """The induced shift at any strength, linear between the measured ones (0 at strength 0)."""
    knots = np.array([0.0, *strengths])
    shifts = np.stack([np.zeros_like(induced[0]), *induced])
    upper = min(max(int(np.searchsorted(knots, strength)), 1), len(knots) - 1)
    along = (min(strength, knots[upper]) - knots[upper - 1]) / (knots[upper] - knots[upper - 1])
    return np.asarray((1 - along) * shifts[upper - 1] + along * shifts[upper], np.float32)


def fit_together(
    observed: FloatArray, paths: Sequence[ShiftPath], weights: FloatArray, rounds: int = 4
) -> tuple[tuple[float, ...], float]:
    """The strengths of several changes at once that explain most together, and their share.

    Each path is the measured strengths of one change and the shift at each. Shifts are taken to add up, and
    every strength is fitted in turn to what the others leave; measure the changes together before claiming.
    """
    strengths = [0.0] * len(paths)
    shifts = [np.zeros_like(observed) for _ in paths]
    for _ in range(rounds):
        for i, path in enumerate(paths):
            left = observed - sum(shifts[:i] + shifts[i + 1 :], np.zeros_like(observed))
            strengths[i], _ = fit_strength(left, *path, weights)
            shifts[i] = shift_at(strengths[i], *path)
    together = sum(shifts, np.zeros_like(observed))
    return tuple(strengths), explained_share(observed, together, weights)


def match(
    observed: FloatArray,
    responses: Mapping[str, ShiftPath],
    weights: FloatArray,
) -> list[Match]:
    """Fit every operation (its measured strengths and induced shifts), best explained share first."""
    matches = [
        Match(name, *fit_strength(observed, strengths, induced, weights))
        for name, (strengths, induced) in responses.items()
    ]
    return sorted(matches, key=lambda each: -each.share)
