"""Division: a group of errors in which two causes lie, parted by which of them each error resembles.

Causes that move the same filters are one group to any clustering of shifts. One after the other they are
not: the errors that no reference image resembles under one cause are diagnosed by themselves, and where
another is claimed for those, too, there were two.
"""

import numpy as np
from numpy.typing import NDArray

from fmi_engine.types import Screening
from inspection.causes.diagnosis import change_of, diagnose
from inspection.causes.lookalikes import Change, seek_lookalikes
from inspection.evidence.responses import Responses
from inspection.evidence.shift import Evidence, gather, paths
from inspection.evidence.subject import Subject
from inspection.findings import Diagnosis
from inspection.operations.catalogue import Steps

LEFT = 0.1  # of a group's errors, at least, are those of a cause


def divide(
    subject: Subject, screening: Screening, images: NDArray[np.uint8], responses: Responses
) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """Part a group with two causes: some of its errors (a sample of many), and which are of the first cause.

    `images` are the errors of the screening, in order. None where there are no two causes of different
    families. The second is claimed for the errors that are not nearer under the first, the first for all or
    for those not nearer under the second: neither for errors that were chosen because they resemble it.
    Then every error is of the cause under which it is nearer.
    """
    evidence = gather(subject, screening, images)
    lookalikes = seek_lookalikes(subject, screening, images, responses, evidence)
    seen = lookalikes.seen
    few = max(2 * subject.settings.matching.fewest_errors, round(LEFT * len(seen)))

    def claimed(rows: NDArray[np.int64]) -> tuple[Diagnosis, Change] | None:
        if len(rows) < few:
            return None
        part, mine = screening.subset(rows), images[rows]
        found = diagnose(subject, part, mine, responses)
        return (found, change_of(subject, mine, part.true, found)) if found.claimed else None

    leading = lookalikes.ratios(_leading(evidence, responses, screening))
    second = claimed(seen[leading >= 1])
    if second is None:
        return None
    under_second = lookalikes.ratios(second[1])
    first = claimed(seen) or claimed(seen[under_second >= 1])
    if first is None or first[0].family == second[0].family:
        return None
    mine = lookalikes.ratios(first[1]) < under_second
    return (seen, mine) if min(mine.sum(), (~mine).sum()) >= few else None


def _leading(evidence: Evidence, responses: Responses, screening: Screening) -> Change:
    """The operation whose mean shift explains most of the whole group's."""
    fitted = evidence.fit_each(paths(responses, screening.true))
    name = max(fitted, key=lambda each: fitted[each].share)
    return Steps(((name, fitted[name].strengths[0]),))
