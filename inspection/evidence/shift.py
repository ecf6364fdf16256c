"""Evidence: what moved, seen by the blamed filters, by all filters and by the images themselves, in one row.

Three explained shares have to agree before a cause is claimed. They are fitted together, so that a strength
is the one that all three can live with. It is not any part that a fault makes fail: as much as fits of where
those parts stand that a change makes fail, before it comes, is taken along with that change.
"""

from dataclasses import dataclass

import numpy as np

from fmi_engine.response import (
    ShiftPath,
    explained_share,
    fit_beside,
    fit_strength,
    fit_together,
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

    def reach(self, settings: MatchingSettings) -> bool:
        """Whether each is as high as a claim needs."""
        return (
            self.blamed >= settings.claim_share
            and self.overall >= settings.overall_share
            and self.look >= settings.look_share
        )

    @property
    def unexplained(self) -> float:
        """The product of what the views leave over, the two of the network and, twice, that of the images."""
        views = (self.blamed, self.overall, self.look, self.look)
        return float(np.prod([max(1 - share, tuning.UNEXPLAINED_FLOOR) for share in views]))


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

        As much as fits counts along of where the images that fail stand before, at any of its strengths.
        """
        strengths, induced = path
        stood = np.stack([each.before for each in induced])
        shifts = [each.shift for each in induced]
        strength, which, share = fit_beside(
            self.observed, (strengths, shifts), stood, tuning.MOST_STANDING, self.weights
        )
        return Fit((strength,), share, stood[which])

    def fit_each(self, catalogue: ResponsePaths) -> dict[str, "Fit"]:
        """The fit of every operation by itself."""
        return {name: self.fit(path) for name, path in catalogue.items()}

    def fit_pair(self, one: ResponsePath, other: ResponsePath, before: FloatArray) -> "Fit":
        """The strengths of two changes that explain most together, with as much as fits of `before`."""
        shifts: list[ShiftPath] = [
            (strengths, [each.shift for each in induced]) for strengths, induced in (one, other)
        ]
        strengths, share = fit_together(self.observed, [*shifts, _scaled(before)], self.weights)
        return Fit(strengths[:-1], share, before)

    def shares(self, induced: Induced) -> Shares:
        """How much of each view a change explains, with as much as fits of where failing images stand."""
        some, _ = fit_strength(self.observed - induced.shift, *_scaled(induced.before), self.weights)
        return self.shares_alone(induced.shift + np.float32(some) * induced.before)

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
    before: FloatArray  # where the images stand before that fail under them

    def at(self, path: ResponsePath) -> Induced:
        """What the first change induces at its strength."""
        strengths, induced = path
        shift = shift_at(self.strengths[0], strengths, [each.shift for each in induced])
        return Induced(shift, self.before)


def _scaled(before: FloatArray) -> ShiftPath:
    return (tuning.MOST_STANDING,), [np.float32(tuning.MOST_STANDING) * before]
