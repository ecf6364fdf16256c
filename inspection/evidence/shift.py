"""Evidence: what moved, seen by the blamed filters, by all filters and by the images themselves, in one row.

Three explained shares have to agree before a cause is claimed. They are fitted together, so that a strength
is the one that all three can live with. Parts that fail under a change differ from the normal already without
it: a multiple of that offset, fitted between 0 and `MOST_OFFSET`, is added to the change's shift.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fmi_engine.response import (
    ShiftPath,
    explained_share,
    fit_beside,
    fit_strength,
    fit_together,
    shares_of_pairs,
    shift_at,
)
from fmi_engine.types import FloatArray
from inspection import tuning
from inspection.evidence.responses import Induced, ResponsePath, ResponsePaths
from inspection.workspace.settings import MatchingSettings

LITTLE = 1e-12  # in place of a division by 0


@dataclass(frozen=True, slots=True)
class Shares:
    """Explained shares, at most 1; below 0 is worse than nothing."""

    blamed: float  # of the filters' shift, weighted by blame
    overall: float  # of the filters' shift, every filter counting alike
    look: float  # of the images' own look

    @property
    def mean(self) -> float:
        """What the fit of a strength makes as high as it can."""
        return (self.blamed + self.overall + self.look) / 3

    def beyond(self, other: "Shares") -> float:
        """How much of what the other leaves unexplained (mean share) is explained here."""
        return (self.mean - other.mean) / max(1 - other.mean, LITTLE)

    def short_of(self, settings: MatchingSettings) -> dict[str, tuple[float, float]]:
        """The views that explain less than a claim needs: by name, the share and what is needed."""
        needed = {
            "blamed": settings.claim_share,
            "overall": settings.overall_share,
            "look": settings.look_share,
        }
        found = {view: (float(getattr(self, view)), least) for view, least in needed.items()}
        return {view: (share, least) for view, (share, least) in found.items() if share < least}

    @property
    def unexplained(self) -> float:
        """The product of what the views leave over, the two of the network and, twice, that of the images."""
        views = (self.blamed, self.overall, self.look, self.look)
        return float(np.prod([max(1 - share, tuning.RESOLUTION) for share in views]))


@dataclass(frozen=True, slots=True)
class Evidence:
    """The observed shift of a group of errors: filters of all layers, then the look, in sigma."""

    observed: FloatArray  # (filters + entries of the look,)
    blame: FloatArray  # (filters,), weights
    look: FloatArray  # (entries of the look,), weights

    @property
    def weights(self) -> FloatArray:
        """Weights (filters + entries,) under which the explained share is the mean of the three."""
        filters = len(self.blame)
        squares = self.observed**2
        blamed = self.blame / max(float((self.blame * squares[:filters]).sum()), LITTLE)
        overall = 1 / max(float(squares[:filters].sum()), LITTLE)
        look = self.look / max(float((self.look * squares[filters:]).sum()), LITTLE)
        return np.concatenate([blamed + np.float32(overall), look]).astype(np.float32)

    def fit(self, path: ResponsePath) -> "Fit":
        """The strength of a change that explains most.

        A fitted multiple of an offset goes with it: of the images that one of its strengths makes fail.
        """
        strengths, induced = path
        offsets = np.stack([each.offset for each in induced])
        shifts = [each.shift for each in induced]
        strength, which, share = fit_beside(
            self.observed, (strengths, shifts), offsets, tuning.MOST_OFFSET, self.weights
        )
        return Fit((strength,), share, offsets[which])

    def fit_each(self, catalogue: ResponsePaths) -> dict[str, "Fit"]:
        """The fit of every operation by itself."""
        return {name: self.fit(path) for name, path in catalogue.items()}

    def fit_pair(self, one: ResponsePath, other: ResponsePath, offset: FloatArray) -> "Fit":
        """The strengths of two changes that explain most together with a fitted multiple of an offset."""
        shifts: list[ShiftPath] = [
            (strengths, [each.shift for each in induced]) for strengths, induced in (one, other)
        ]
        strengths, share = fit_together(self.observed, [*shifts, _scaled(offset)], self.weights)
        return Fit(strengths[:-1], share, offset)

    def shares_of_pairs(self, paths: Sequence[ResponsePath], offsets: Sequence[FloatArray]) -> FloatArray:
        """How much every two changes explain at measured strengths, with the offset of the row's."""
        shifts = [(strengths, [each.shift for each in induced]) for strengths, induced in paths]
        return shares_of_pairs(self.observed, shifts, np.stack(offsets), tuning.MOST_OFFSET, self.weights)

    def shares(self, induced: Induced) -> Shares:
        """How much of each view a change explains with a fitted multiple of its offset."""
        some, _ = fit_strength(self.observed - induced.shift, *_scaled(induced.offset), self.weights)
        return self.shares_alone(induced.shift + np.float32(some) * induced.offset)

    def unexplained_each(self, observed: FloatArray, shifts: FloatArray) -> FloatArray:
        """What `Shares.unexplained` is for several shifts, each against an observed one of its own.

        Both are (number, filters + entries); the result is (number,).
        """
        of_filters, of_look = slice(None, len(self.blame)), slice(len(self.blame), None)
        views = ((of_filters, self.blame), (of_filters, np.ones_like(self.blame)), (of_look, self.look))
        left = np.ones(len(observed), np.float32)
        for (where, weights), power in zip(views, (1, 1, 2), strict=True):
            away = (weights * (observed[:, where] - shifts[:, where]) ** 2).sum(1)
            total = (weights * observed[:, where] ** 2).sum(1)
            left *= np.maximum(away / np.maximum(total, LITTLE), tuning.RESOLUTION) ** power
        return left

    def shares_alone(self, shift: FloatArray) -> Shares:
        """The same for a shift by itself."""
        filters = len(self.blame)
        moved = self.observed[:filters]
        return Shares(
            explained_share(moved, shift[:filters], self.blame),
            explained_share(moved, shift[:filters], np.ones_like(moved)),
            explained_share(self.observed[filters:], shift[filters:], self.look),
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """How changes explain most together."""

    strengths: tuple[float, ...]
    share: float  # mean of the three
    offset: FloatArray  # of the images that fail under them, without them

    def at(self, path: ResponsePath) -> Induced:
        """What the first change induces at its strength."""
        strengths, induced = path
        shift = shift_at(self.strengths[0], strengths, [each.shift for each in induced])
        return Induced(shift, self.offset)


def leading(fitted: Mapping[str, Fit], most: int, margin: float) -> list[str]:
    """The changes that explain most, at most so many, from at most so far behind the best; best first."""
    ordered = sorted(fitted, key=lambda name: -fitted[name].share)[:most]
    return [name for name in ordered if fitted[name].share >= fitted[ordered[0]].share - margin]


def _scaled(offset: FloatArray) -> ShiftPath:
    return (tuning.MOST_OFFSET,), [np.float32(tuning.MOST_OFFSET) * offset]
