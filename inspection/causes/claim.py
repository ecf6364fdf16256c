"""The claim: whether the best account is enough to name a cause, and what is missing where it is not.

What is decided here is said in words by `inspection.nights.phrases`.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from inspection import tuning
from inspection.causes.measured_change import PARTS
from inspection.causes.measured_match import MeasuredMatch
from inspection.causes.ranking import Ranking, steps_of
from inspection.evidence.case import Case
from inspection.evidence.nearest import Baselines, NearestMatch
from inspection.evidence.newness import most
from inspection.findings import Cause, Diagnosis, Doubt, DoubtKind
from inspection.operations.catalogue import find_operation
from inspection.workspace.settings import MatchingSettings

DRAWN_ANEW = ("texture", "dust")  # families of operations that lay something else on every part
SHORT = {
    "blamed": DoubtKind.BLAMED_SHARE,
    "overall": DoubtKind.OVERALL_SHARE,
    "look": DoubtKind.LOOK_SHARE,
}


def claim(case: Case, ranking: Ranking, control: float) -> Diagnosis:
    """The diagnosis by the catalogue: the best account, where nothing speaks against it.

    `control` is the explained share that chance reaches.
    """
    lead = ranking.lead
    doubts = tuple(_doubts(case, ranking, control)) or tuple(_last_doubts(case, ranking))
    return Diagnosis(
        claimed=not doubts,
        cause=Cause.UNKNOWN if doubts else Cause.APPEARANCE,
        family=None if doubts else lead.family,
        operation=None if doubts else lead.operation,
        strength=None if doubts else lead.strength,
        unit=None if doubts else lead.unit,
        share=ranking.best.share if doubts else ranking.shares.blamed,
        matches=ranking.matches,
        control_share=control,
        unchanged_share=case.nearest.baselines.unchanged.blamed,
        nearer_share=ranking.nearest.nearer_share if ranking.nearest else None,
        doubts=doubts,
        pair=() if doubts else ranking.pair,
        meaning="" if doubts else find_operation(lead.operation).meaning,
    )


def _doubts(case: Case, ranking: Ranking, control: float) -> Iterator[Doubt]:
    settings, shares, best = case.settings, ranking.shares, ranking.best
    named = tuple(each.operation for each in ranking.account)
    if len(case) < settings.fewest_errors:
        yield Doubt(DoubtKind.TOO_FEW_ERRORS, (), len(case), settings.fewest_errors)
    anew = any(each.family in DRAWN_ANEW for each in ranking.account)
    yield from _doubts_beside(settings, named, ranking.nearest, case.nearest.baselines, anew)
    for view, (share, needed) in shares.short_of(settings).items():
        yield Doubt(SHORT[view], named, share, needed)
    if shares.blamed <= control:
        yield Doubt(DoubtKind.CHANCE, named, shares.blamed, control)
    smallest = find_operation(best.operation).grid[0]
    if not ranking.pair and best.strength < smallest:
        yield Doubt(DoubtKind.FAINT, named, best.strength, smallest, unit=best.unit)


def _last_doubts(case: Case, ranking: Ranking) -> Iterator[Doubt]:
    """What speaks against an account that nothing else speaks against; at most one doubt."""
    account, spread = ranking.account, (1.0, 1 - tuning.SPREAD, 1 + tuning.SPREAD)
    changes = [steps_of(account, times) for times in spread]
    named = tuple(each.operation for each in account)
    misclassified = case.nearest.misclassified(changes[0])
    yield from _doubt_of_images(named, misclassified, lambda: case.new_beside(*changes))


def _doubt_of_images(
    named: tuple[str, ...],
    misclassified: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    new: Callable[[], NDArray[np.bool_]],
    measured: bool = False,
) -> Iterator[Doubt]:
    """What the reference images most like the errors, and their patches, hold against a change; at most one.

    A change that explains errors makes the model fail, on most of those images and on more than it does
    without, and leaves nothing on the errors that no image has under it.
    """
    count = len(misclassified[0])
    right_before, right = (int((~each).sum()) for each in misclassified)
    enough = min(count * tuning.MOSTLY, right_before)
    if right >= enough:
        yield Doubt(DoubtKind.HARMLESS, named, right, enough, errors=count, measured=measured)
    elif most(held := new()):
        yield Doubt(DoubtKind.NEW, named, int(held.sum()), tuning.MOSTLY, errors=count, measured=measured)


def _doubts_beside(
    settings: MatchingSettings,
    named: tuple[str, ...],
    nearest: NearestMatch | None,
    baselines: Baselines,
    anew: bool,
    measured: bool = False,
) -> Iterator[Doubt]:
    """What speaks against an account beside explanations in which no image changed; at most one doubt.

    `anew` tells whether the account lays something on every part that is never the same twice.
    """
    if nearest is None:
        yield Doubt(DoubtKind.NO_STRENGTH, named, 0.0, 0.0, measured=measured)
        return
    for kind, baseline, needed in (
        (DoubtKind.UNCHANGED, baselines.unchanged, settings.beyond_unchanged),
        (DoubtKind.BASELINE_ERRORS, baselines.baseline_errors, settings.beyond_baseline),
    ):
        share = nearest.shares.beyond(baseline)
        if share < needed:
            yield Doubt(kind, named, share, needed, measured=measured)
            return
    needed = tuning.ELSEWHERE if anew else 0.0
    if nearest.place.least <= needed:
        yield Doubt(DoubtKind.PLACE, named, nearest.place.least, needed, measured=measured)
        return
    if not nearest.exceeds(settings.nearer_share):
        yield Doubt(
            DoubtKind.NOT_NEARER,
            named,
            nearest.nearer,
            settings.nearer_share,
            errors=nearest.errors,
            measured=measured,
        )


def doubt_of_measured(settings: MatchingSettings, best: MeasuredMatch) -> Doubt | None:
    """What speaks against a change that was measured on the errors; None where nothing does."""
    shares, named = best.nearest.shares, (best.name,)
    least = min(shares.blamed, shares.overall, shares.look)
    if shares.mean < settings.measured_share:
        return Doubt(DoubtKind.MEASURED_SHARE, named, shares.mean, settings.measured_share, measured=True)
    if least < settings.look_share:
        return Doubt(DoubtKind.MEASURED_VIEW, named, least, settings.look_share, measured=True)
    parts = PARTS[best.name]
    anew = parts.residual or parts.primitive
    for doubt in _doubts_beside(settings, named, best.nearest, best.baselines, anew, measured=True):
        return doubt
    return next(_doubt_of_images(named, best.misclassified, lambda: best.new, measured=True), None)
