"""Which operations explain a group of errors most: alone, two together, and what chance explains."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fmi_engine.response import fit_strengths
from inspection import tuning
from inspection.evidence.case import Case
from inspection.evidence.nearest import NearestMatch, Tried
from inspection.evidence.responses import ResponsePaths
from inspection.evidence.shift import Shares, leading
from inspection.findings import OperationMatch
from inspection.operations.catalogue import Steps, find_operation
from inspection.operations.operation import FAMILIES

TriedOperations = Mapping[str, Tried]
BLURS, NOISE = {"defocus", "motion blur"}, "noise"  # families


@dataclass(frozen=True, slots=True)
class Ranking:
    """How much every operation explains, and two together."""

    matches: tuple[OperationMatch, ...]  # best first
    nearest: NearestMatch | None  # how the best account does on the nearest reference images; None: not tried
    pair: tuple[OperationMatch, ...] = ()  # two operations that explain clearly more than the best alone

    @property
    def best(self) -> OperationMatch:
        """The operation that explains most alone."""
        return self.matches[0]

    @property
    def account(self) -> tuple[OperationMatch, ...]:
        """The best account: two operations, or one."""
        return self.pair or self.matches[:1]

    @property
    def lead(self) -> OperationMatch:
        """Of the best account the operation that explains most alone, at its strength there."""
        named = {each.operation: each for each in self.account}
        return next(named[each.operation] for each in self.matches if each.operation in named)

    @property
    def shares(self) -> Shares:
        """The explained shares of the best account."""
        return shares_of(self.account[0])


def rank(case: Case) -> Ranking:
    """Rank the catalogue by what each operation explains of the errors.

    The operations whose mean shift explains most are tried on the nearest reference images, one by one.
    Where the best explains enough with too few errors nearer, every reference image is looked at.
    """
    trials = try_leading(case)
    matches = _in_order(case, trials)
    if _too_few_nearer(case, matches[0], trials):
        name = matches[0].operation
        match = case.nearest.under(trials[name].steps, everywhere=True)
        trials[name] = replace(trials[name], match=match)
        matches = _in_order(case, trials)
    pair, together = _best_pair(case, matches[0])
    first = trials.get(matches[0].operation)
    return Ranking(matches, together or (first.match if first else None), pair)


def try_leading(case: Case) -> dict[str, Tried]:
    """Try the operations whose mean shift explains most on the nearest reference images.

    Each is judged at its own best strength there.
    """
    names = leading(case.fitted, tuning.TRIED_ACCOUNTS, tuning.TRIED_MARGIN)
    strengths = {name: case.fitted[name].strengths[0] for name in names}
    first = [Steps(((name, strength),)) for name, strength in strengths.items() if strength > 0]
    trials = [case.nearest.refined(case.nearest.at(each, case.effects), case.effects) for each in first]
    return {each.steps.named[0][0]: each for each in trials}


def _too_few_nearer(case: Case, best: OperationMatch, trials: TriedOperations) -> bool:
    """Whether the best operation explains enough, but has too few errors nearer."""
    trial = trials.get(best.operation)
    return (
        trial is not None
        and not trial.match.shares.short_of(case.settings)
        and not trial.match.exceeds(case.settings.nearer_share)
    )


def match_of(name: str, strength: float, shares: Shares) -> OperationMatch:
    """An operation at a strength with what it explains."""
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


def steps_of(account: Sequence[OperationMatch], times: float = 1.0) -> Steps:
    """An account as a change of images, at a multiple of its strengths, as far as each operation goes."""
    return Steps(tuple((each.operation, times * each.strength) for each in account))


def _in_order(case: Case, trials: TriedOperations) -> tuple[OperationMatch, ...]:
    """Those tried first, the least unexplained first.

    Alternatives are those that resampled errors cannot tell from the first; of such equals the one that
    explains most is named first.

    Of those tried, what they leave of the nearest reference images counts: it sees which part each error is,
    where what their mean shift leaves rests on all parts. An operation at less than its least measured
    strength, which cannot be distinguished from the parts' own variation, comes after those that were tried
    and have more.
    """
    fitted, effects = case.fitted, case.effects
    shares = {name: case.evidence.shares(fitted[name].at(effects[name])) for name in effects}
    left = {name: each.unexplained for name, each in shares.items()}
    left |= {name: trial.match.unexplained for name, trial in trials.items()}
    shares |= {name: trial.match.shares for name, trial in trials.items()}
    strengths = {name: fit.strengths[0] for name, fit in fitted.items()}
    strengths |= {name: trial.strength for name, trial in trials.items()}
    faint = {name for name in trials if strengths[name] < find_operation(name).grid[0]}
    order = sorted(effects, key=lambda name: (name not in trials, name in faint, left[name]))
    equals = _equals([name for name in order if name in trials and name not in faint], trials)
    order = [*equals, *(name for name in order if name not in equals)]
    matches = [match_of(name, strengths[name], shares[name]) for name in order]
    return tuple(replace(each, alternative=each.operation in equals[1:]) for each in matches)


def _equals(order: list[str], trials: TriedOperations) -> list[str]:
    """The best, and at most two that these errors cannot tell from it: the one that explains most first."""
    best = [trials[name].match for name in order[:1]]
    equals = [name for name in order if trials[name].match.explains_as_much(best[0])][: tuning.EQUALS + 1]
    explained = {name: trials[name].match.shares.mean + trials[name].match.place.share for name in equals}
    return sorted(equals, key=lambda name: -explained[name])


def _best_pair(case: Case, best: OperationMatch) -> tuple[tuple[OperationMatch, ...], NearestMatch | None]:
    """The two operations, one after the other, that explain clearly more than the best alone, if any.

    Whatever the best leaves over, some second operation takes a little of it: it has to take half.
    """
    alone, gain = shares_of(best), case.settings.pair_gain
    if alone.mean + gain > 1:
        return (), None
    found, (pairs, effects) = [], _promising_pairs(case)
    for steps in pairs:
        first = case.nearest.at(steps, effects)
        if first.match.shares.mean <= alone.mean:
            continue  # no strength near it takes half of what that leaves
        trial = case.nearest.refined(first, effects)
        shares = trial.match.shares
        faint = any(strength < find_operation(name).grid[0] for name, strength in trial.steps.named)
        if not faint and shares.mean > alone.mean + gain and shares.beyond(alone) >= tuning.MOSTLY:
            found.append(trial)
    if not found:
        return (), None
    best_pair = min(found, key=lambda each: each.match.unexplained)
    match = best_pair.match
    return tuple(match_of(*step, match.shares) for step in best_pair.steps.named), match


def _defocus_before_noise(case: Case) -> list[Steps]:
    """The two that explain most of a defocus before the noise that does so alone, or more of it.

    Their shifts do not add up: what the defocus takes of fine detail the noise brings in any case. Alone the
    noise has to make up for that, too, and so less of it explains most.
    """
    noises = [name for name in case.effects if find_operation(name).family == NOISE]
    if not noises or "defocus" not in case.effects:
        return []
    noise = max(noises, key=lambda name: case.fitted[name].share)
    strength = max(case.fitted[noise].strengths[0], find_operation(noise).grid[0])
    tried = [
        Steps((("defocus", blur), (noise, times * strength)))
        for blur in find_operation("defocus").grid
        for times in (1.0, tuning.HIDDEN_NOISE)
    ]
    return sorted(tried, key=lambda steps: case.nearest.under(steps).shares.unexplained)[:2]


def _promising_pairs(case: Case) -> tuple[list[Steps], ResponsePaths]:
    """The pairs whose mean shift explains clearly more than that of any one, best first.

    Where noise comes near the errors, or blur and noise together, a defocus before noise as well. Their
    operations are measured in full, as those near the errors are; with the effects of all.
    """
    effects, full = dict(case.effects), set(case.near)
    by_themselves: list[Steps] | None = None
    while True:
        pairs = _leading_pairs(case, effects)
        if by_themselves is None and (
            NOISE in _families(case.near) or any(map(_blurs_and_is_noisier, pairs))
        ):
            by_themselves = _defocus_before_noise(case)
        pairs += by_themselves or []
        more = {name for pair in pairs for name, _ in pair.named} - full
        if not more:
            return pairs, effects
        effects |= case.in_full(sorted(more))
        full |= more


def _families(names: Iterable[str]) -> set[str]:
    return {find_operation(name).family for name in names}


def _blurs_and_is_noisier(pair: Steps) -> bool:
    families = _families(name for name, _ in pair.named)
    return NOISE in families and bool(BLURS & families)


def _leading_pairs(case: Case, effects: ResponsePaths) -> list[Steps]:
    """Of pairs as many as of single operations, from as little behind the best; one of every two families.

    The order of the two is that in which an image comes about. Neither need explain anything alone: a worse
    camera blurs and is noisier, and each hides in the other.
    """
    evidence, fitted = case.evidence, case.fitted
    order = {name: FAMILIES.index(find_operation(name).family) for name in effects}
    names = sorted(effects, key=order.__getitem__)
    families = np.array([order[name] for name in names])
    offsets = [fitted[name].offset for name in names]
    shares = evidence.shares_of_pairs([effects[name] for name in names], offsets)
    ahead = shares >= shares.T  # with whose offset they explain more
    ones, others = np.nonzero(families[:, None] < families)
    most = np.argsort(-np.maximum(shares, shares.T)[ones, others], kind="stable")[: tuning.SCREENED_PAIRS]
    together: dict[tuple[int, int], tuple[float, Steps]] = {}  # the best of every two families
    for one, other in zip(ones[most], others[most], strict=True):
        both, offset = (names[one], names[other]), offsets[one if ahead[one, other] else other]
        fit = evidence.fit_pair(effects[both[0]], effects[both[1]], offset)
        of = families[one], families[other]
        if of not in together or fit.share > together[of][0]:
            together[of] = fit.share, Steps(tuple(zip(both, fit.strengths, strict=True)))
    enough = max(fit.share for fit in fitted.values()) + case.settings.pair_gain
    first = sorted(together.values(), key=lambda each: -each[0])[: tuning.TRIED_ACCOUNTS]
    return [steps for share, steps in first if share > enough and share >= first[0][0] - tuning.TRIED_MARGIN]


def control_share(case: Case) -> float:
    """The explained share that logs of as many correct images, without any change, reach by chance."""
    rng = np.random.default_rng(case.subject.settings.compute.seed)
    blame = case.evidence.blame
    unchanged = case.responses.references[case.responses.right, : len(blame)]
    alike = np.full(len(unchanged), 1 / len(unchanged))
    drawn = rng.multinomial(len(case), alike, tuning.CONTROL_LOGS)
    logs = np.asarray(drawn @ unchanged / len(case), np.float32)
    shares = [
        fit_strengths(logs, strengths, [each.shift[: len(blame)] for each in induced], blame)[1]
        for strengths, induced in case.effects.values()
    ]
    return float(np.quantile(np.max(shares, axis=0), 1 - tuning.SIGNIFICANCE))
