"""Failure modes: errors grouped by what moved their filters, so that every group has one cause.

scikit-learn is imported where it groups: a night of few errors is one group, and spares the time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fmi_engine.response import blame_weights
from fmi_engine.types import FloatArray, Screening
from inspection import tuning
from inspection.causes.diagnosis import diagnose
from inspection.evidence.case import Case
from inspection.evidence.shift import Evidence
from inspection.findings import Diagnosis
from inspection.inputs.held import BATCH
from inspection.modes.split import fewest_of_split, split
from inspection.nights.affected import NOWHERE, Origins, shared_origins
from inspection.nights.lineage import signature

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Group:
    """The errors of one failure mode, by position."""

    rows: Rows
    diagnosis: Diagnosis | None = None  # where it was made on the way


@dataclass(frozen=True, slots=True)
class Grouping:
    """The failure modes of a night, largest first, and the errors that belong to none."""

    modes: tuple[Group, ...]
    unclustered: Rows


@dataclass(frozen=True, slots=True)
class Whole:
    """All errors of a night, where those of a case are a sample of them."""

    count: int
    drawn: Rows  # positions of those of the case, ascending
    read: Callable[[Rows], Screening]  # the screening of some others

    @classmethod
    def of(cls, case: Case) -> "Whole":
        """All of them are in the case."""
        return cls(len(case), np.arange(len(case)), case.screening.subset)

    @property
    def batches(self) -> Iterator[Rows]:
        """Positions of those that are not in the case, so many at a time."""
        others = np.setdiff1d(np.arange(self.count), self.drawn)
        return (others[first : first + BATCH] for first in range(0, len(others), BATCH))


def group_errors(case: Case, origins: Origins | None = None, whole: Whole | None = None) -> Grouping:
    """Group the errors of a night by their blame-weighted energy shifts; one cause is one group.

    HDBSCAN (Campello, Moulavi, Sander, Density-based clustering based on hierarchical density estimates,
    2013) separates what lies apart, classes under one cause included: groups that one operation explains
    nearly as well as each by itself, or whose shifts point the same way, are joined again. Errors that
    no group holds join the one that they resemble as much as its own members do. A group in which two causes
    are claimed one after the other is split by them. Of one without a claim, the errors from an origin that
    is affected, such as one camera, are a group of their own where they have a cause by themselves, and
    otherwise a class that has one. `origins` are those of the errors; None: nothing is known of them.

    Where the errors of the case are a sample of `whole`, groups and their causes are found in it, and the
    others join them by the same rules. `origins` and the result are of the whole.
    """
    whole = whole or Whole.of(case)
    everybody = np.arange(whole.count)
    fewest = 2 * case.settings.fewest_errors
    if len(case) < fewest:
        return Grouping((Group(everybody),), everybody[:0])
    night = _placed(case, whole)
    labels = _clusters(night.shifts[whole.drawn], max(fewest, int(tuning.SMALLEST_GROUP * len(case))))
    groups = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
    if not groups:
        return Grouping((Group(everybody),), everybody[:0])
    groups = _absorbed(night.shifts, [whole.drawn[rows] for rows in _joined(case, groups)])
    affected = _Affected(groups, origins)
    modes = [part for number, rows in enumerate(groups) for part in _parts(night, rows, affected.of(number))]
    modes.sort(key=lambda mode: -len(mode.rows))
    held = np.concatenate([mode.rows for mode in modes])
    return Grouping(tuple(modes), np.setdiff1d(everybody, held))


@dataclass(frozen=True, slots=True)
class _Placed:
    """All errors of a night, placed by what moved their filters, and those of them that are looked at."""

    case: Case
    drawn: Rows  # positions of the errors of the case
    shifts: FloatArray  # (errors, components), in the few directions in which blamed filters differ most
    true: NDArray[np.int64]  # (errors,), classes

    def looked_at(self, rows: Rows) -> Rows:
        """Which of some errors are in the case, by position among these."""
        return np.flatnonzero(np.isin(rows, self.drawn))

    def case_of(self, rows: Rows) -> Case:
        """Those of some errors that are looked at, as a case of their own."""
        return self.case.part(np.searchsorted(self.drawn, rows[self.looked_at(rows)]))


def _placed(case: Case, whole: Whole) -> _Placed:
    from sklearn.decomposition import PCA

    subject = case.subject
    weights = np.sqrt(blame_weights(case.screening, subject.layer_names))
    weighted = subject.standardise(case.screening.energy, case.true) * weights
    components = min(tuning.COMPONENTS, len(weighted) - 1, weighted.shape[1])
    directions = PCA(components, random_state=0)
    shifts, true = np.zeros((whole.count, components), np.float32), np.zeros(whole.count, np.int64)
    shifts[whole.drawn], true[whole.drawn] = directions.fit_transform(weighted), case.true
    for rows in whole.batches:
        some = whole.read(rows)
        shifts[rows] = directions.transform(subject.standardise(some.energy, some.true) * weights)
        true[rows] = some.true
    return _Placed(case, whole.drawn, shifts, true)


def _clusters(shifts: FloatArray, smallest: int) -> NDArray[np.int64]:
    from sklearn.cluster import HDBSCAN

    found = HDBSCAN(min_cluster_size=smallest, min_samples=tuning.NEIGHBOURS, copy=True).fit_predict(shifts)
    return np.asarray(found, np.int64)


def _joined(case: Case, groups: Sequence[Rows]) -> list[Rows]:
    """Join the two groups that are most alike until no two are alike enough."""
    if len(groups) == 1:
        return list(groups)
    left = [_Candidate.of(case, rows) for rows in groups]
    while len(left) > 1:
        losses = {(i, j): left[i].loss(left[j]) for j in range(len(left)) for i in range(j)}
        (i, j), least = min(losses.items(), key=lambda item: item[1])
        minor = min(len(left[i].rows), len(left[j].rows)) < 2 * tuning.SMALLEST_GROUP * len(case)
        if least > (2 * tuning.JOIN_LOSS if minor else tuning.JOIN_LOSS):
            break
        left[i] = _Candidate.of(case, np.sort(np.concatenate([left[i].rows, left[j].rows])))
        del left[j]
    return [candidate.rows for candidate in left]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A group that may be joined with another."""

    rows: Rows
    case: Case  # of these errors

    @classmethod
    def of(cls, case: Case, rows: Rows) -> "_Candidate":
        """A group of a night's errors."""
        return cls(rows, case.part(rows))

    def loss(self, other: "_Candidate") -> float:
        """How much the better explained of two groups loses where one operation has to explain both.

        Of groups that no operation explains: 0 where their shifts point the same way, else 1. An operation
        that comes near one of them is measured in full for both: coarsely it may seem to explain less.
        """
        near = self.case.near | other.case.near
        here, there = (each.case.shares_beside(near) for each in (self, other))
        mine, others = max(here.values()), max(there.values())
        if min(mine, others) >= tuning.MOSTLY:
            return min(max(mine - here[name], others - there[name]) for name in here)
        return 0.0 if _cosine(self.case.evidence, other.case.evidence) >= tuning.SAME_SHIFT else 1.0


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
    from sklearn.neighbors import NearestNeighbors

    distances, reaches = [], []
    for rows in groups:
        count = min(tuning.NEIGHBOURS, len(rows) - 1)
        near = NearestNeighbors(n_neighbors=count).fit(shifts[rows])
        reaches.append(float(np.quantile(near.kneighbors()[0][:, -1], 1 - tuning.SIGNIFICANCE)))
        distances.append(near.kneighbors(shifts[outside])[0][:, -1])
    relative = np.stack(distances) / np.maximum(np.array(reaches)[:, None], 1e-12)
    nearest = relative.argmin(0)
    joins = relative.min(0) <= tuning.JOIN_DISTANCE
    return [
        np.sort(np.concatenate([rows, outside[joins & (nearest == which)]]))
        for which, rows in enumerate(groups)
    ]


@dataclass(frozen=True)
class _Affected:
    """Which origins the groups of a night share more than the rest of its log does, found when asked."""

    groups: Sequence[Rows]
    origins: Origins | None

    def of(self, number: int) -> Iterator[NDArray[np.bool_]]:
        """For every origin that a group shares which of its errors (errors,) have it, the surest first."""
        for inside in self._shared[number] if self.origins else ():
            yield inside[self.groups[number]]

    @cached_property
    def _shared(self) -> list[list[NDArray[np.bool_]]]:
        assert self.origins is not None
        numbers = np.full(len(self.origins.errors), NOWHERE)
        for number, rows in enumerate(self.groups):
            numbers[rows] = number
        return shared_origins(self.origins, numbers, len(self.groups))


def _parts(night: _Placed, rows: Rows, affected: Iterator[NDArray[np.bool_]]) -> list[Group]:
    """A group, or its two parts where two causes lie in it, or its parts that have a cause alone.

    A change may be of one camera, and errors that the model makes anyway come from all. It may show on one
    class of defects only: another light turns scratches bright, and leaves dents as they are, which fail for
    other reasons.
    """
    part = night.case_of(rows)
    found = split(part)
    if found.first is None:
        whole = found.whole or diagnose(part)
        if whole.claimed:
            return [Group(rows, whole)]
        true = night.true[rows]
        classes = (true == label for label in np.unique(true))
        return _alone(night, rows, affected) or _alone(night, rows, classes) or [Group(rows, whole)]
    from sklearn.neighbors import KNeighborsClassifier

    seen = night.looked_at(rows)[part.examined]
    alike = KNeighborsClassifier(tuning.NEIGHBOURS).fit(night.shifts[rows[seen]], found.first)
    mine = np.asarray(alike.predict(night.shifts[rows]), bool)
    mine[seen] = found.first
    return [Group(rows[mine]), Group(rows[~mine])]


def _alone(night: _Placed, rows: Rows, parts: Iterable[NDArray[np.bool_]]) -> list[Group]:
    """The parts (errors,) of a group that have a cause alone, and the rest; nothing where none has."""
    groups, left, seen = list[Group](), np.ones(len(rows), bool), night.looked_at(rows)
    fewest = fewest_of_split(night.case_of(rows))
    for part in parts:
        mine = part & left
        if fewest <= mine[seen].sum() < len(seen):
            found = diagnose(night.case_of(rows[mine]))
            if found.claimed:
                groups.append(Group(rows[mine], found))
                left &= ~mine
    rest = [Group(rows[left])] if left[seen].sum() >= night.case.settings.fewest_errors else []
    return [*groups, *rest] if groups else []


def sign(case: Case) -> tuple[float, ...]:
    """The signature of a failure mode, by which other nights recognise it.

    All filters together count as much as the look. Blame has no say, for it changes from night to night.
    """
    looks = case.subject.looks.weights
    filters = len(case.observed) - len(looks)
    scale = np.concatenate([np.full(filters, filters**-0.5), np.sqrt(looks)])
    return signature(case.observed * scale)
