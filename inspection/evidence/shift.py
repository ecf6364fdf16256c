"""Evidence: what moved, seen by the blamed filters, by all filters and by the images themselves, in one row.

Three explained shares have to agree before a cause is claimed. They are fitted together, so that a strength
is the one that all three can live with. It is not any part that a fault makes fail: as much as fits of where
those parts stand that a change makes fail, before it comes, is taken along with that change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmi_engine.response import (
    ShiftPath,
    blame_weights,
    explained_share,
    fit_beside,
    fit_strength,
    fit_together,
    observed_shift,
    shift_at,
)
from fmi_engine.types import FloatArray, Screening
from inspection.evidence.responses import Induced, Responses
from inspection.evidence.subject import Subject
from inspection.inputs.labelled import sample

LITTLE = 1e-12
LOOKED_AT = 200  # images of a group
MOST = 2.0  # times where failing images stand before, at most, in a night's shift
Path = tuple[Sequence[float], Sequence[Induced]]  # measured strengths, and what each induces
Paths = Mapping[str, Path]


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

    @property
    def unexplained(self) -> float:
        """The product of what the views leave over, the two of the network and, twice, that of the images.

        Differences below half a percent are noise.
        """
        left = [max(1 - share, 0.005) for share in (self.blamed, self.overall, self.look, self.look)]
        return float(np.prod(left))


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

    def fit(self, path: Path) -> "Fit":
        """The strength of a change that explains most.

        As much as fits counts along of where the images that fail stand before, at any of its strengths.
        """
        strengths, induced = path
        stood = np.stack([each.before for each in induced])
        shifts = [each.shift for each in induced]
        strength, which, share = fit_beside(self.observed, (strengths, shifts), stood, MOST, self.weights)
        return Fit((strength,), share, stood[which])

    def fit_each(self, catalogue: Paths) -> dict[str, "Fit"]:
        """The fit of every operation by itself."""
        return {name: self.fit(path) for name, path in catalogue.items()}

    def fit_pair(self, one: Path, other: Path, before: FloatArray) -> "Fit":
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

    def at(self, path: Path) -> Induced:
        """What the first change induces at its strength."""
        strengths, induced = path
        shift = shift_at(self.strengths[0], strengths, [each.shift for each in induced])
        return Induced(shift, self.before)


def _scaled(before: FloatArray) -> ShiftPath:
    return (MOST,), [np.float32(MOST) * before]


def looked_at(subject: Subject, errors: int) -> NDArray[np.int64]:
    """Positions of the errors whose look is measured, which are plenty for a mean."""
    return sample(errors, LOOKED_AT, subject.settings.compute.seed)


def gather(subject: Subject, screening: Screening, images: NDArray[np.uint8]) -> Evidence:
    """The evidence of a group of errors; `images` are theirs, in the screening's order."""
    return Evidence(
        observe(subject, screening, images),
        blame_weights(screening, subject.layer_names),
        subject.looks.weights,
    )


def observe(subject: Subject, screening: Screening, images: NDArray[np.uint8]) -> FloatArray:
    """The observed shift (filters + entries of the look,) of a group of errors, in sigma."""
    seen = looked_at(subject, len(images))
    return np.concatenate(
        [
            observed_shift(screening, subject.reference, subject.layer_names),
            subject.looks.standardise(images[seen], screening.true[seen]).mean(0),
        ]
    )


def paths(responses: Responses, true: NDArray[np.int64]) -> Paths:
    """Every operation's strengths and what they induce, for errors of these true classes."""
    looks, stood = responses.of_looks(true), responses.of_standing(true)
    return {
        name: (
            strengths,
            [
                Induced(np.concatenate([filters, look]), before)
                for filters, look, before in zip(shifts, looks[name][1], stood[name], strict=True)
            ],
        )
        for name, (strengths, shifts) in responses.of_filters(true).items()
    }
