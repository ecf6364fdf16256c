"""Failure modes: errors grouped by what moved their filters, so that every group has one cause.

A failure mode is followed from night to night by the direction of its shift.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import HDBSCAN
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from fmi_engine.response import blame_weights
from fmi_engine.types import FloatArray, Screening
from inspection.evidence.responses import Responses
from inspection.evidence.shift import Evidence, gather, observe, paths
from inspection.evidence.subject import Subject
from inspection.modes.division import divide
from inspection.nights.lineage import signature

COMPONENTS = 12  # of the shifts, in which groups are looked for
NEIGHBOURS = 3  # HDBSCAN's min_samples: how dense a group's middle has to be

EXPLAINED = 0.5  # mean explained share from which an operation speaks for a group
SAME_DIRECTION = 0.7  # cosine from which the shifts of two groups without an operation are one
LOSS = 0.15  # of the mean explained share, at most, where one operation is to explain two groups
MINOR = 0.2  # of a night's errors: a smaller group has to lose twice as much to stand by itself
KIN = 1.5  # times as far from a group as nearly all its members may an error lie that joins it

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grouping:
    """The failure modes of a night, largest first, and the errors that belong to none."""

    modes: tuple[Rows, ...]  # positions of errors
    unclustered: Rows


def group_errors(
    subject: Subject, screening: Screening, images: NDArray[np.uint8], responses: Responses
) -> Grouping:
    """Group errors by their blame-weighted energy shifts; one cause is one group.

    HDBSCAN (Campello, Moulavi, Sander, Density-based clustering based on hierarchical density estimates,
    2013) parts what lies apart, classes under one cause included: groups that one operation explains
    nearly as well as each by itself, or whose shifts point the same way, are joined again. Errors that
    no group holds join the one that they resemble as much as its own members do. A group in which two causes
    are claimed one after the other is parted by them.
    """
    everybody = np.arange(len(images))
    settings = subject.settings.matching
    if len(images) < 2 * settings.fewest_errors:
        return Grouping((everybody,), everybody[:0])
    shifts = _weighted_shifts(subject, screening)
    labels = _clusters(shifts, max(2 * settings.fewest_errors, len(images) // 10))
    groups = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
    if not groups:
        return Grouping((everybody,), everybody[:0])
    groups = _joined(subject, screening, images, responses, groups)
    groups = _absorbed(shifts, groups)
    groups = [
        part for rows in groups for part in _divided(subject, screening, images, responses, shifts, rows)
    ]
    groups.sort(key=lambda rows: -len(rows))
    held = np.concatenate(groups)
    return Grouping(tuple(groups), np.setdiff1d(everybody, held))


def _weighted_shifts(subject: Subject, screening: Screening) -> FloatArray:
    """The errors (errors, components) in the few directions in which their blamed filters differ most."""
    shifts = subject.standardise(screening.energy, screening.true)
    weighted = shifts * np.sqrt(blame_weights(screening, subject.layer_names))
    components = min(COMPONENTS, len(weighted) - 1, weighted.shape[1])
    return np.asarray(PCA(components, random_state=0).fit_transform(weighted), np.float32)


def _clusters(shifts: FloatArray, smallest: int) -> NDArray[np.int64]:
    found = HDBSCAN(min_cluster_size=smallest, min_samples=NEIGHBOURS, copy=True).fit_predict(shifts)
    return np.asarray(found, np.int64)


def _joined(
    subject: Subject,
    screening: Screening,
    images: NDArray[np.uint8],
    responses: Responses,
    groups: Sequence[Rows],
) -> list[Rows]:
    """Join the two groups that are most alike until no two are alike enough."""
    if len(groups) == 1:
        return list(groups)
    left = [_Group.of(subject, screening, images, responses, rows) for rows in groups]
    while len(left) > 1:
        losses = {(i, j): left[i].loss(left[j]) for j in range(len(left)) for i in range(j)}
        (i, j), least = min(losses.items(), key=lambda item: item[1])
        smaller = min(len(left[i].rows), len(left[j].rows))
        if least > (LOSS if smaller >= MINOR * len(images) else 2 * LOSS):
            break
        rows = np.sort(np.concatenate([left[i].rows, left[j].rows]))
        left[i] = _Group.of(subject, screening, images, responses, rows)
        del left[j]
    return [group.rows for group in left]


@dataclass(frozen=True, slots=True)
class _Group:
    rows: Rows
    evidence: Evidence
    shares: dict[str, float]  # operation -> mean explained share at its best strength

    @classmethod
    def of(
        cls,
        subject: Subject,
        screening: Screening,
        images: NDArray[np.uint8],
        responses: Responses,
        rows: Rows,
    ) -> "_Group":
        """What is known of a group of errors."""
        part = screening.subset(rows)
        evidence = gather(subject, part, images[rows])
        fitted = evidence.fit_each(paths(responses, part.true))
        shares = {name: fit.share for name, fit in fitted.items()}
        return cls(rows, evidence, shares)

    def loss(self, other: "_Group") -> float:
        """How much the better explained of two groups loses where one operation has to explain both.

        Of groups that no operation explains: 0 where their shifts point the same way, else 1.
        """
        mine, others = max(self.shares.values()), max(other.shares.values())
        if min(mine, others) >= EXPLAINED:
            return min(max(mine - self.shares[name], others - other.shares[name]) for name in self.shares)
        return 0.0 if _cosine(self.evidence, other.evidence) >= SAME_DIRECTION else 1.0


def _cosine(one: Evidence, other: Evidence) -> float:
    weights = one.weights + other.weights
    dot, length, length_other = (
        float((weights * first * second).sum())
        for first, second in (
            (one.observed, other.observed),
            (one.observed, one.observed),
            (other.observed, other.observed),
        )
    )
    return float(dot / max((length * length_other) ** 0.5, 1e-12))


def _absorbed(shifts: FloatArray, groups: Sequence[Rows]) -> list[Rows]:
    """Add to every group the errors without one that lie nearly as close as its own members do."""
    outside = np.setdiff1d(np.arange(len(shifts)), np.concatenate(groups))
    if not len(outside):
        return list(groups)
    distances, reaches = [], []
    for rows in groups:
        count = min(NEIGHBOURS, len(rows) - 1)
        near = NearestNeighbors(n_neighbors=count).fit(shifts[rows])
        reaches.append(float(np.quantile(near.kneighbors()[0][:, -1], 0.95)))
        distances.append(near.kneighbors(shifts[outside])[0][:, -1])
    relative = np.stack(distances) / np.maximum(np.array(reaches)[:, None], 1e-12)
    nearest = relative.argmin(0)
    joins = relative.min(0) <= KIN
    return [
        np.sort(np.concatenate([rows, outside[joins & (nearest == which)]]))
        for which, rows in enumerate(groups)
    ]


def _divided(
    subject: Subject,
    screening: Screening,
    images: NDArray[np.uint8],
    responses: Responses,
    shifts: FloatArray,
    rows: Rows,
) -> list[Rows]:
    """A group, or its two parts where two causes lie in it."""
    found = divide(subject, screening.subset(rows), images[rows], responses)
    if found is None:
        return [rows]
    seen, first = found
    alike = KNeighborsClassifier(NEIGHBOURS).fit(shifts[rows[seen]], first)
    mine = np.asarray(alike.predict(shifts[rows]), bool)
    mine[seen] = first
    return [rows[mine], rows[~mine]]


# --- from night to night ---


def sign(subject: Subject, screening: Screening, images: NDArray[np.uint8]) -> tuple[float, ...]:
    """The signature of a failure mode; `images` are those of its errors, in the screening's order.

    All filters together count as much as the look. Blame has no say, for it changes from night to night.
    """
    shift, looks = observe(subject, screening, images), subject.looks.weights
    filters = len(shift) - len(looks)
    scale = np.concatenate([np.full(filters, filters**-0.5), np.sqrt(looks)])
    return signature(shift * scale)
