"""Response matching: which change of the world moves the filters as the errors moved them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fmi_engine.classifier import Classifier
from fmi_engine.reference import Reference, measure_energies
from fmi_engine.types import FloatArray, Match, Screening

LITTLE = 1e-12  # in place of a length of 0
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
    shifts = np.stack([np.zeros_like(induced[0]), *induced])
    products = (weights * shifts) @ observed.T  # (strengths + 1, rows): of a row with the shift at a strength
    between = (weights * shifts) @ shifts.T
    for i, (weaker, stronger) in enumerate(pairwise((0.0, *strengths))):
        length = between[i + 1, i + 1] - 2 * between[i, i + 1] + between[i, i]
        along_step = (products[i + 1] - products[i]) - (between[i, i + 1] - between[i, i])
        along = np.clip(along_step / length, 0, 1) if length > 0 else np.zeros_like(best)
        left = total - 2 * products[i] + between[i, i] - 2 * along * along_step + along**2 * length
        share = 1 - left / total
        better = moved & (share > most)
        best[better] = weaker + along[better] * (stronger - weaker)
        most[better] = share[better]
    return best, most


def shift_at(strength: float, strengths: Sequence[float], induced: Sequence[FloatArray]) -> FloatArray:
    """The induced shift at any strength, linear between the measured ones (0 at strength 0)."""
    knots = np.array([0.0, *strengths])
    shifts = np.stack([np.zeros_like(induced[0]), *induced])
    upper = min(max(int(np.searchsorted(knots, strength)), 1), len(knots) - 1)
    along = (min(strength, knots[upper]) - knots[upper - 1]) / (knots[upper] - knots[upper - 1])
    return np.asarray((1 - along) * shifts[upper - 1] + along * shifts[upper], np.float32)


def slope_at(strength: float, strengths: Sequence[float], induced: Sequence[FloatArray]) -> FloatArray:
    """How fast the induced shift grows with the strength about one, in sigma per unit of strength.

    Measured over a tenth of the strength to either side, where two measured pieces may meet.
    """
    weaker = 0.9 * min(strength, strengths[-1])
    stronger = min(1.1 * strength, strengths[-1])
    rise = shift_at(stronger, strengths, induced) - shift_at(weaker, strengths, induced)
    return np.asarray(rise / np.float32(stronger - weaker), np.float32)


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


def shares_of_pairs(
    observed: FloatArray, paths: Sequence[ShiftPath], offsets: FloatArray, most: float, weights: FloatArray
) -> FloatArray:
    """What every two changes explain together (changes, changes) at the best two of their measured strengths.

    Shifts are taken to add up, and with those of a row goes its own offset (changes, filters), by a factor
    of 0 to `most` that is fitted. Closer than `fit_together` it is not; but of changes that work against
    each other, such as blur and noise, neither need explain anything alone, and so all pairs have to be
    looked at: three products of matrices for all of them.
    """
    shifts = np.concatenate([np.stack(induced) for _, induced in paths])
    counts = np.array([len(strengths) for strengths, _ in paths])
    total = max(float(weights @ observed**2), LITTLE)
    weighted, own = shifts * weights, np.repeat(np.arange(len(paths)), counts)
    with_observed, between = weighted @ observed, weighted @ shifts.T
    with_offset, squares = weighted @ offsets.T, (weights * offsets**2).sum(1)
    alone = np.diag(between) - 2 * with_observed
    along = (offsets @ (weights * observed))[own, None] - with_offset[:, own].T
    along -= with_offset[np.arange(len(own)), own][:, None]  # of what a pair leaves, with the row's offset
    factors = np.clip(along / np.maximum(squares[own], LITTLE)[:, None], 0, most)
    left = alone[:, None] + alone + 2 * between - factors * (2 * along - factors * squares[own, None])
    starts = np.cumsum(counts) - counts
    least = np.minimum.reduceat(np.minimum.reduceat(left, starts, axis=0), starts, axis=1)
    return np.asarray(-least / total, np.float32)


def fit_beside(
    observed: FloatArray, path: ShiftPath, others: FloatArray, most: float, weights: FloatArray
) -> tuple[float, int, float]:
    """The strength of a change that explains most beside one of several other shifts; which; the share.

    Of `others` (shifts, filters) one goes along, by a factor of 0 to `most` that is fitted with it. Between
    two measured strengths what is left is a quadratic in strength and factor, whose least value within
    bounds lies inside or on one of four edges, each in closed form.
    """
    strengths, induced = path
    scale = np.sqrt(weights, dtype=np.float64)
    total = float(((observed * scale) ** 2).sum())
    if total <= 0:
        return 0.0, 0, 0.0
    knots = np.array([0.0, *strengths])
    ends = np.stack([np.zeros_like(observed), *induced]) * scale
    left, steps, along = observed * scale - ends[:-1], np.diff(ends, axis=0), others * scale
    left_left, left_step, step_step = (left**2).sum(1), (left * steps).sum(1), (steps**2).sum(1)
    left_along, step_along, along_along = left @ along.T, steps @ along.T, (along**2).sum(1)
    ll, ls, ss = (each[:, None] for each in (left_left, left_step, step_step))  # a row for each step
    aa = np.maximum(along_along, LITTLE)[None]  # a column for each other shift
    ss = np.maximum(ss, LITTLE)
    by_factor = {factor: (ls - factor * step_along) / ss for factor in (0.0, most)}
    by_place = {place: (left_along - place * step_along) / aa for place in (0.0, 1.0)}
    determinant = np.maximum(ss * aa - step_along**2, LITTLE * ss * aa)
    inside = (
        (ls * aa - left_along * step_along) / determinant,
        (left_along * ss - ls * step_along) / determinant,
    )
    places = np.stack([inside[0], *(by_factor.values()), *(np.full_like(step_along, p) for p in by_place)])
    factors = np.stack([inside[1], *(np.full_like(step_along, f) for f in by_factor), *(by_place.values())])
    places, factors = np.clip(places, 0, 1), np.clip(factors, 0, most)
    unexplained = (
        ll
        - 2 * places * ls
        - 2 * factors * left_along
        + places**2 * ss
        + 2 * places * factors * step_along
        + factors**2 * aa
    )
    best, step, which = np.unravel_index(int(unexplained.argmin()), unexplained.shape)
    strength = knots[step] + places[best, step, which] * (knots[step + 1] - knots[step])
    return float(strength), int(which), 1 - float(unexplained[best, step, which]) / total


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
