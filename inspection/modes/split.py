"""A group of errors in which two causes lie, split by which of them each error resembles.

Causes that move the same filters are one group to any clustering of shifts. One after the other they are
not: the errors that no reference image resembles under one cause are diagnosed by themselves, and where
another is claimed for those, too, there were two.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection import tuning
from inspection.causes.diagnosis import change_of, diagnose
from inspection.evidence.case import Case
from inspection.findings import Diagnosis
from inspection.operations.catalogue import Change, Steps


@dataclass(frozen=True, slots=True)
class Split:
    """Whether a group holds two causes, and what was diagnosed on the way."""

    first: (
        NDArray[np.bool_] | None
    )  # (errors looked at one by one,): those of the first cause; None: one cause
    whole: Diagnosis | None = None  # of the group as it is, where that was asked


def split(case: Case) -> Split:
    """Split a group with two causes of different families, if it is one.

    The second is claimed for the errors that are not nearer under the first, the first for all or for those
    not nearer under the second: neither for errors that were chosen because they resemble it. Then every
    error is of the cause under which it is nearer.
    """
    examined, nearest, few = case.examined, case.nearest, fewest_of_split(case)

    def claimed(rows: NDArray[np.int64]) -> tuple[Diagnosis, Change] | None:
        if len(rows) < few:
            return None
        part = case.part(rows)
        found = diagnose(part)
        return (found, change_of(part, found)) if found.claimed else None

    second = claimed(examined[nearest.ratios(_leading(case)) >= 1])
    if second is None:
        return Split(None)
    under_second = nearest.ratios(second[1])
    whole = diagnose(case)
    first = (whole, change_of(case, whole)) if whole.claimed else claimed(examined[under_second >= 1])
    if first is None or first[0].family == second[0].family:
        return Split(None, whole)
    mine = nearest.ratios(first[1]) < under_second
    return Split(mine if min(mine.sum(), (~mine).sum()) >= few else None, whole)


def fewest_of_split(case: Case) -> int:
    """How many errors a part of a group has, at least."""
    return max(2 * case.settings.fewest_errors, round(tuning.SMALLEST_GROUP * len(case.examined)))


def _leading(case: Case) -> Change:
    """The operation whose mean shift explains most of the whole group's."""
    name = max(case.fitted, key=lambda each: case.fitted[each].share)
    return Steps(((name, case.fitted[name].strengths[0]),))
