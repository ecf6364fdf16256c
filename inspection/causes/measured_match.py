"""How well a change that was measured on one half of the errors explains the other half."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fmi_engine.types import Screening
from inspection.causes.lookalikes import Likeness, Lookalikes, Rivals, seek_lookalikes
from inspection.causes.measured_change import PARTS, MeasuredChange, measure_change, relive
from inspection.evidence.responses import Responses, measure_change_of
from inspection.evidence.shift import Shares, gather
from inspection.evidence.subject import Subject
from inspection.inputs.labelled import sample

MEASURED = 400  # errors, at most, that a change is measured and judged on
MAKES_UP = 0.05  # of the mean share: what the second half, beyond the first, does not make up for


@dataclass(frozen=True, slots=True)
class MeasuredMatch:
    """The measured change that explains most of the evidence of errors that it was not measured on."""

    name: str  # of PARTS
    likeness: Likeness
    rivals: Rivals
    tried: dict[str, Shares]  # what the mean shift of every measured change explains, by which one was chosen


def match_measured(
    subject: Subject,
    screening: Screening,
    images: NDArray[np.uint8],
    responses: Responses,
    least: float = -np.inf,
    names: Collection[str] = PARTS.keys(),
) -> MeasuredMatch:
    """Find the measured change that explains most: measured on half of the errors, judged on the other half.

    A change that is read off images explains those images whatever they hold; that it explains others of
    the same mode is what makes it their cause. Where a change explains less of the first half than `least`
    (mean of three shares), or than another, by so much that the second would not make up for it, it is not
    tried on the second.
    """
    few = sample(len(images), MEASURED, subject.settings.compute.seed)
    screening, images = screening.subset(few), images[few]
    halves: list[_Half] = []
    for one, other in _halves(screening.true):
        change = measure_change(images[one], screening.true[one], subject.correct)
        half = (subject, screening.subset(other), images[other])
        evidence = gather(*half)
        tried = {}
        for name in names:
            relived = partial(relive, change=change, parts=PARTS[name])
            tried[name] = evidence.shares(
                measure_change_of(subject, responses, relived, screening.true[other])
            )
        halves.append(_Half(tried, change, seek_lookalikes(*half, responses, evidence)))
        found = _together(halves)
        if found.likeness.shares.mean < least - MAKES_UP:
            break
        most = max(shares.mean for shares in tried.values())
        names = [name for name in names if tried[name].mean >= most - 2 * MAKES_UP]
    return found


@dataclass(frozen=True, slots=True)
class _Half:
    """What was measured on one half of the errors, and how it explains the other."""

    tried: dict[str, Shares]  # by the mean shift
    change: MeasuredChange
    lookalikes: Lookalikes
    known: dict[str, Likeness] = field(default_factory=dict)

    def likeness(self, name: str) -> Likeness:
        """The same on lookalikes, of one measured change."""
        if name not in self.known:
            relived = partial(relive, change=self.change, parts=PARTS[name])
            self.known[name] = self.lookalikes.under(relived)
        return self.known[name]


def _together(halves: Sequence[_Half]) -> MeasuredMatch:
    means = {
        name: _mean([half.tried[name] for half in halves if name in half.tried]) for name in halves[0].tried
    }
    best = max(means, key=lambda name: means[name].mean)
    found, rivals = [half.likeness(best) for half in halves], [half.lookalikes.rivals for half in halves]
    return MeasuredMatch(
        best,
        Likeness(
            _mean([each.shares for each in found]),
            sum(each.nearer for each in found),
            sum(each.errors for each in found),
        ),
        Rivals(
            _mean([each.any_day for each in rivals]),
            _mean([each.own for each in rivals]),
            _mean([each.either for each in rivals]),
            float(np.mean([each.mistaken for each in rivals])),
        ),
        means,
    )


def _mean(shares: Sequence[Shares]) -> Shares:
    return Shares(*np.mean([(each.blamed, each.overall, each.look) for each in shares], axis=0).tolist())


def _halves(true: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Every second error of each class against the rest, both ways round."""
    order = np.argsort(true, kind="stable")
    yield order[::2], order[1::2]
    yield order[1::2], order[::2]
