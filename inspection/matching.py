"""Evidence: what moved, seen by the blamed filters, by all filters and by the images themselves, in one row.

Three explained shares have to agree before a cause is claimed. They are fitted together, so that a strength
is the one that all three can live with.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmi_engine.response import blame_weights, explained_share, observed_shift
from fmi_engine.types import FloatArray, Screening
from inspection.responses import ResponsePath, Responses
from inspection.subject import Subject, sample

LITTLE = 1e-12
LOOKED_AT = 200  # images of a group
Paths = Mapping[str, ResponsePath]


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

    def shares(self, induced: FloatArray) -> Shares:
        """How much of each view a shift (filters + entries,) explains."""
        filters = len(self.blame)
        moved, shift = self.observed[:filters], induced[:filters]
        return Shares(
            explained_share(moved, shift, self.blame),
            explained_share(moved, shift, np.ones_like(moved)),
            explained_share(self.observed[filters:], induced[filters:], self.look),
        )


def gather(subject: Subject, screening: Screening, images: NDArray[np.uint8]) -> Evidence:
    """The evidence of a group of errors; `images` are theirs, in the screening's order.

    The look is taken from a sample of the images, which is plenty for a mean.
    """
    seen = sample(len(images), LOOKED_AT, subject.settings.compute.seed)
    return Evidence(
        np.concatenate(
            [
                observed_shift(screening, subject.reference, subject.layer_names),
                subject.looks.standardise(images[seen], screening.true[seen]).mean(0),
            ]
        ),
        blame_weights(screening, subject.layer_names),
        subject.looks.weights,
    )


def paths(responses: Responses, true: NDArray[np.int64]) -> Paths:
    """Every operation's strengths and shifts (filters + entries,), for errors of these true classes."""
    filters, looks = responses.of_filters(true), responses.of_looks(true)
    return {
        name: (strengths, [np.concatenate(both) for both in zip(shifts, looks[name][1], strict=True)])
        for name, (strengths, shifts) in filters.items()
    }
