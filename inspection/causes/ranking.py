"""Which operations explain a group of errors most, alone and two together, and what chance explains."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fmi_engine.response import fit_strengths
from inspection.causes.lookalikes import Likeness, Lookalikes, Trial
from inspection.evidence.responses import Responses
from inspection.evidence.shift import Evidence, Fit, Paths, Shares
from inspection.evidence.subject import Subject
from inspection.findings import OperationMatch
from inspection.operations.catalogue import Steps, find_operation

CONTROL_LOGS = 200  # logs without a fault, drawn for the control of the explained share
CONTROL_QUANTILE = 0.95
TRIED = 6  # operations that are tried on the reference images most like the errors, at most
NEAR = 0.1  # mean share behind the best, at most, of an operation that is tried
RIVALLING = 30.0  # times what the best operation promises to leave unexplained, at most, of a rival
PAIRED = 5  # of them, the operations that are tried together with every other
PAIRS = 2  # pairs that are measured before one is claimed
TAKES = 0.5  # of what the best operation leaves unexplained: a better account takes at least so much


# --- matching ---


def try_leading(catalogue: Paths, fitted: Mapping[str, Fit], lookalikes: Lookalikes) -> dict[str, Trial]:
    """The operations whose mean shift explains most, on lookalikes: at the strengths that it tells.

    Where another family promises to explain about as much as the best, or does explain more before the best
    is refined, strengths are refined there, so that each family is judged at its own best.
    """
    leading = sorted(fitted, key=lambda name: -fitted[name].share)[:TRIED]
    near = [name for name in leading if fitted[name].share >= fitted[leading[0]].share - NEAR]
    found = {
        name: lookalikes.at(name, fitted[name].strengths[0], catalogue[name])
        for name in near
        if fitted[name].strengths[0] > 0
    }
    promising = sorted(found, key=lambda name: found[name].promise.unexplained)
    family = {name: find_operation(name).family for name in promising}

    def rivals(name: str, best: str, left: float) -> bool:
        return family[name] != family[best] and found[name].promise.unexplained <= RIVALLING * left

    def is_ahead(name: str, best: str) -> bool:
        left = found[best].likeness.unexplained
        return family[name] != family[best] and found[name].likeness.unexplained < left

    if not promising:
        return found
    best, *others = promising
    promised = found[best].promise.unexplained
    if any(rivals(name, best, promised) or is_ahead(name, best) for name in others):
        found[best] = lookalikes.refined(best, catalogue[best], found[best])
        for name in others:
            if rivals(name, best, found[best].likeness.unexplained):
                found[name] = lookalikes.refined(name, catalogue[name], found[name])
                best = min(best, name, key=lambda each: found[each].likeness.unexplained)
    return found


def _match(name: str, strength: float, shares: Shares) -> OperationMatch:
    operation = find_operation(name)
    return OperationMatch(
        operation=name,
        family=operation.family,
        strength=strength,
        unit=operation.unit,
        share=shares.blamed,
        overall_share=shares.overall,
        look_share=shares.look,
    )


def shares_of(match: OperationMatch) -> Shares:
    """The three explained shares of an operation."""
    return Shares(match.share, match.overall_share, match.look_share)


def rank(
    subject: Subject,
    evidence: Evidence,
    known: Paths,
    fitted: Mapping[str, Fit],
    tried: Mapping[str, Trial],
) -> tuple[OperationMatch, ...]:
    """Those tried on lookalikes first, the least unexplained first; alternatives no view tells from it.

    Of those tried, what they leave of lookalikes counts: it sees which part each error is, where what their
    mean shift leaves rests on all parts.
    An operation at less than its least measured strength, which is not told from the parts' own variation,
    comes after those that were tried and have more.
    """
    settings = subject.settings.matching
    shares = {name: evidence.shares(fitted[name].at(known[name])) for name in known}
    left = {name: each.unexplained for name, each in shares.items()}
    left |= {name: trial.likeness.unexplained for name, trial in tried.items()}
    shares |= {name: trial.likeness.shares for name, trial in tried.items()}
    strengths = {name: fit.strengths[0] for name, fit in fitted.items()}
    strengths |= {name: trial.strength for name, trial in tried.items()}
    faint = {name for name in tried if strengths[name] < find_operation(name).grid[0]}
    order = sorted(known, key=lambda name: (name not in tried, name in faint, left[name]))
    best, *others = [_match(name, strengths[name], shares[name]) for name in order]
    top = shares_of(best)
    return (
        best,
        *(
            replace(
                each,
                alternative=shares_of(each).mean >= top.mean - settings.alternative_margin
                and each.look_share >= top.look - settings.look_margin,
            )
            for each in others
        ),
    )


def find_second(
    subject: Subject,
    evidence: Evidence,
    lookalikes: Lookalikes,
    known: Paths,
    fitted: Mapping[str, Fit],
    ranked: Sequence[OperationMatch],
) -> tuple[tuple[OperationMatch, ...], Likeness | None]:
    """The two operations, one after the other, that explain clearly more than the best alone, if any.

    Whatever the best leaves over, some second operation takes a little of it: it has to take half. Pairs
    whose mean shift already explains clearly more than that of any one are measured.
    """
    alone = shares_of(ranked[0])
    margin = subject.settings.matching.pair_gain
    if alone.mean + margin > 1:
        return (), None
    leading = [each.operation for each in ranked[:PAIRED]]
    pairs = {(one, other) for one in leading for other in known if one != other}
    together = []
    for one, other in sorted(pairs):
        if other in leading and other < one:
            continue  # the same two, the other way round
        if find_operation(one).family != find_operation(other).family:
            fit = evidence.fit_pair(known[one], known[other], fitted[one].before)
            together.append((fit.share, tuple(zip((one, other), fit.strengths, strict=True))))
    enough = max(fit.share for fit in fitted.values()) + margin
    found = []
    for _, steps in sorted((each for each in together if each[0] > enough), reverse=True)[:PAIRS]:
        if all(strength >= find_operation(name).grid[0] for name, strength in steps):
            likeness = lookalikes.under(Steps(steps))
            shares = likeness.shares
            if shares.mean > alone.mean + margin and shares.beyond(alone) >= TAKES:
                found.append((likeness, steps))
    if not found:
        return (), None
    likeness, steps = max(found, key=lambda each: each[0].shares.mean)
    return tuple(_match(name, strength, likeness.shares) for name, strength in steps), likeness


# --- controls ---


def control_share_of(
    subject: Subject, true: NDArray[np.int64], responses: Responses, evidence: Evidence
) -> float:
    """The explained share that logs of as many correct images, without any fault, reach by chance."""
    rng = np.random.default_rng(subject.settings.compute.seed)
    induced = responses.of_filters(true)
    faultless = responses.known[responses.right, : len(evidence.blame)]
    draws = rng.integers(0, len(faultless), (CONTROL_LOGS, min(len(true), 1000)))
    drawn = np.stack([np.bincount(draw, minlength=len(faultless)) for draw in draws])
    logs = np.asarray(drawn @ faultless / draws.shape[1], np.float32)
    shares = [fit_strengths(logs, *path, evidence.blame)[1] for path in induced.values()]
    return float(np.quantile(np.max(shares, axis=0), CONTROL_QUANTILE))
