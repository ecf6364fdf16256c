"""The diagnosis of a failure mode: the operation that explains its shift, or why none is claimed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fmi_engine.response import fit_strengths
from fmi_engine.types import Screening
from inspection.config import MatchingSettings
from inspection.families import family_of
from inspection.findings import Cause, Diagnosis, OperationMatch
from inspection.lookalikes import Change, Likeness, Lookalikes, Rivals, Trial, seek_lookalikes
from inspection.matching import Evidence, Fit, Paths, Shares, gather, paths
from inspection.operations import find_operation
from inspection.responses import Responses, Steps
from inspection.subject import Subject, sample
from inspection.textures import MEASURED, PARTS, MeasuredMatch, match_measured, measure_change, relive

CONTROL_LOGS = 200  # logs without a fault, drawn for the control of the explained share
CONTROL_QUANTILE = 0.95
TRIED = 6  # operations that are tried on the reference images most like the errors, at most
NEAR = 0.1  # mean share behind the best, at most, of an operation that is tried
RIVALLING = 30.0  # times what the best operation promises to leave unexplained, at most, of a rival
PAIRED = 5  # of them, the operations that are tried together with every other
PAIRS = 2  # pairs that are measured before one is claimed
LOCAL = ("shadow", "hot spot")  # families of operations that change one place of an image
PATTERNS = ("line pattern", "texture", "dust")  # families of operations that a measured change tells better
PATTERN_GAIN = 0.03  # mean share beyond theirs that it needs, where others need `matching.pair_gain`
TAKES = 0.5  # of what the best operation leaves unexplained: a better account takes at least so much
MISTAKEN = 0.8  # of the errors are most like a reference image of the predicted class: a matter of labels


def diagnose(
    subject: Subject, screening: Screening, images: NDArray[np.uint8], responses: Responses
) -> Diagnosis:
    """Name the operation that explains most of the errors' shift, or say why none is claimed.

    `images` are the errors of the screening, in order. The operations whose mean shift explains most are
    tried on the reference images most like the errors, one by one. Three explained shares have to be high:
    that of the shift weighted by blame, that of all filters alike, and that of the images' own look; the
    operation has to explain enough of what its rivals leave, in which no image changed; and most errors
    have to be nearer to a changed reference image of their class than to any as it was. What no operation
    explains is measured on the errors themselves, one half against the other.
    """
    evidence = gather(subject, screening, images)
    lookalikes = seek_lookalikes(subject, screening, images, responses, evidence)
    catalogue = paths(responses, screening.true)
    fitted = evidence.fit_each(catalogue)
    tried = _tried(catalogue, fitted, lookalikes)
    ranked = _ranked(subject, evidence, catalogue, fitted, tried)
    if _too_few_nearer(subject.settings.matching, ranked[0], tried):
        first = ranked[0].operation
        change = Steps(((first, tried[first].strength),))
        tried[first] = replace(tried[first], likeness=lookalikes.under(change, everywhere=True))
        ranked = _ranked(subject, evidence, catalogue, fitted, tried)
    second, together = _second(subject, evidence, lookalikes, catalogue, fitted, ranked)
    leading = tried.get(ranked[0].operation)
    likeness = together or (leading.likeness if leading else None)
    control = _control_share(subject, screening.true, responses, evidence)
    doubts = _doubts(subject, len(images), ranked[0], second, control, likeness, lookalikes.rivals)
    found = _diagnosis(ranked, second, control, likeness, lookalikes.rivals, doubts)
    settings, shares = subject.settings.matching, shares_of(second[0] if second else ranked[0])
    if found.claimed:
        enough = bool(second) or shares.mean + _gain(settings, found.family) > 1
        return found if enough else _beside(subject, screening, images, responses, found)
    if _explains(settings, shares) or len(images) < settings.fewest_errors:
        return found  # what an operation explains, and is doubted all the same, is too faint to be a cause
    best = match_measured(subject, screening, images, responses, settings.measured_share)
    doubt = _doubt_of_measured(settings, best)
    if doubt:
        text = f"the {best.name} measured on one half of the errors explains {doubt}"
        return replace(found, reasons=(*found.reasons, text))
    return _measured(best, _family(subject, screening, images, best, found), found)


def _beside(
    subject: Subject,
    screening: Screening,
    images: NDArray[np.uint8],
    responses: Responses,
    found: Diagnosis,
) -> Diagnosis:
    """Put one measured change beside a claimed operation, where it explains other errors as well as that.

    Where it takes half of what the operation leaves unexplained, and is of another family, it is the cause,
    and that but the nearest.
    So it is where the operation is a shadow or a hot spot and the shape of the measured change is that of
    specks or drops: a band that lies anywhere explains a good deal of them.
    Dust lies where it lies: drawn anew on every training image it teaches less than its measured pattern
    and it in turn. Steel, 10 logged images, accuracy under dust: .46 with the operation alone, .55 with the
    pattern alone, .63 with both.
    """
    settings, alone = subject.settings.matching, shares_of(found.matches[0])
    single = [name for name, parts in PARTS.items() if sum(parts) == 1]
    best = match_measured(subject, screening, images, responses, alone.mean, single)
    shares = best.likeness.shares
    if shares.mean < alone.mean or _doubt_of_measured(settings, best):
        return found
    gain = _gain(settings, found.family)
    takes_half = shares.mean > alone.mean + gain and shares.beyond(alone) >= TAKES
    if takes_half or found.family in LOCAL:
        family = _family(subject, screening, images, best, found)
        if family != found.family and (takes_half or family == "dust"):
            return _measured(best, family, found)
    return replace(
        found,
        measured=best.name,
        sentence=(
            f"{found.sentence} The {best.name} measured on one half of the errors explains the other half "
            "as well, and goes into the recipe beside it."
        ),
    )


def _gain(settings: MatchingSettings, family: str | None) -> float:
    """How much more, on the mean of the shares, a measured change has to explain than an operation alone.

    Less where the operation is one of patterns: their shapes come near to each other (stripes one way explain
    .95 of waves that cross), and a measured change tells the shape itself.
    """
    return PATTERN_GAIN if family in PATTERNS else settings.pair_gain


def _measured(best: MeasuredMatch, family: str, found: Diagnosis) -> Diagnosis:
    """Claim what was read off the errors themselves, which explains others of them."""
    shares = best.likeness.shares
    return replace(
        found,
        claimed=True,
        cause=Cause.APPEARANCE,
        sentence=(
            f"{family[0].upper()}{family[1:]}, read off the errors themselves: the {best.name} measured on "
            f"one half of them explains {shares.blamed:.0%} of what moved the blamed filters of the other "
            f"half. The nearest operation of the catalogue, {found.matches[0].operation}, explains "
            f"{found.share:.0%}."
            f"{_one_by_one(best.likeness)}"
        ),
        family=family,
        operation=best.name,
        strength=1.0,
        unit="times as found",
        share=shares.blamed,
        nearer_share=best.likeness.nearer_share,
        measured=best.name,
        reasons=(),
    )


def _family(
    subject: Subject,
    screening: Screening,
    images: NDArray[np.uint8],
    best: MeasuredMatch,
    found: Diagnosis,
) -> str:
    few = sample(len(images), MEASURED, subject.settings.compute.seed)
    change = measure_change(images[few], screening.true[few], subject.correct)
    return family_of(change, best.name, found.matches[0].family)


def _doubt_of_measured(settings: MatchingSettings, best: MeasuredMatch) -> str | None:
    """What is missing, in words after "explains"; None where nothing is."""
    shares = best.likeness.shares
    least = min(shares.blamed, shares.overall, shares.look)
    if shares.mean < settings.measured_share:
        return f"{shares.mean:.0%} of the evidence of the other half; {settings.measured_share:.0%} is needed"
    if least < settings.look_share:
        return f"{least:.0%} of it in one of three views; {settings.look_share:.0%} is needed in each"
    return _doubt_of_rivals(settings, best.likeness, best.rivals)


def change_of(
    subject: Subject, images: NDArray[np.uint8], true: NDArray[np.int64], found: Diagnosis
) -> Change:
    """The claimed cause of errors `images`, of classes `true`, as a change of images."""
    if found.measured_alone:
        measured = measure_change(images, true, subject.correct)
        return partial(relive, change=measured, parts=PARTS[str(found.measured)])
    named = found.pair or found.matches[:1]
    return Steps(tuple((each.operation, each.strength) for each in named))


# --- matching ---


def _tried(catalogue: Paths, fitted: Mapping[str, Fit], lookalikes: Lookalikes) -> dict[str, Trial]:
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


def _too_few_nearer(settings: MatchingSettings, best: OperationMatch, tried: Mapping[str, Trial]) -> bool:
    """Whether the best operation explains enough, but has too few errors nearer."""
    trial = tried.get(best.operation)
    return (
        trial is not None
        and _explains(settings, trial.likeness.shares)
        and not trial.likeness.exceeds(settings.nearer_share)
    )


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


def _ranked(
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


def _second(
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


def _control_share(
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


# --- the claim ---


def _doubt_of_rivals(settings: MatchingSettings, likeness: Likeness | None, rivals: Rivals) -> str | None:
    """What a cause explains beside a rival that leaves it too little, after "explains"; else None."""
    if likeness is None:
        return "nothing: it fits at no strength"
    shares = likeness.shares
    tried = (
        (rivals.own, settings.beyond_own, "the reference images most like these errors, as they are,"),
        (rivals.any_day, settings.beyond_any_day, "the errors that the model makes on any day"),
    )
    for rival, needed, what in tried:
        if shares.beyond(rival) < needed:
            return (
                f"{max(shares.mean, 0):.1%} of the evidence; {what} explain {max(rival.mean, 0):.1%}, and a "
                f"cause has to explain {needed:.0%} of what they leave"
            )
    if not likeness.exceeds(settings.nearer_share):
        return (
            f"what sets {likeness.nearer} of {likeness.errors} errors apart from the reference images as "
            "they are, of their own classes and of those they were taken for; more than "
            f"{settings.nearer_share:.0%}, beyond chance, are needed"
        )
    return None


def _explains(settings: MatchingSettings, shares: Shares) -> bool:
    return (
        shares.blamed >= settings.claim_share
        and shares.overall >= settings.overall_share
        and shares.look >= settings.look_share
    )


def _doubts(
    subject: Subject,
    errors: int,
    best: OperationMatch,
    second: Sequence[OperationMatch],
    control: float,
    likeness: Likeness | None,
    rivals: Rivals,
) -> tuple[str, ...]:
    settings = subject.settings.matching
    named = " and ".join(each.operation for each in second) or best.operation
    shares = shares_of(second[0] if second else best)
    smallest = find_operation(best.operation).grid[0]
    doubts = []
    if errors < settings.fewest_errors:
        doubts.append(f"{errors} errors are too few: {settings.fewest_errors} are needed")
    rivalled = _doubt_of_rivals(settings, likeness, rivals)
    if rivalled:
        doubts.append(f"{named} explains {rivalled}")
    if shares.blamed < settings.claim_share:
        doubts.append(
            f"the best that was found, {named}, explains {shares.blamed:.0%} of the shift; "
            f"{settings.claim_share:.0%} is needed"
        )
    if shares.overall < settings.overall_share:
        doubts.append(
            f"over all filters alike {named} explains only {shares.overall:.0%}, and "
            f"{settings.overall_share:.0%} is needed: a change of the image moves every filter, not only "
            "those that fooled the model"
        )
    if shares.look < settings.look_share:
        doubts.append(
            f"{named} explains {max(shares.look, 0):.0%} of how the images themselves look "
            f"(brightness, its place, spectrum, tones, lines); {settings.look_share:.0%} is needed"
        )
    if shares.blamed <= control:
        doubts.append(f"logs without a fault reach {control:.0%} by chance")
    if not second and best.strength < smallest:
        doubts.append(
            f"the fitted strength, {best.amount}, is below {smallest:g}, the least that "
            "is told from the parts' own variation"
        )
    return tuple(doubts)


def _diagnosis(
    matches: tuple[OperationMatch, ...],
    second: tuple[OperationMatch, ...],
    control: float,
    likeness: Likeness | None,
    rivals: Rivals,
    doubts: tuple[str, ...],
) -> Diagnosis:
    best = matches[0]
    suspect = rivals.mistaken >= MISTAKEN and rivals.either.mean >= shares_of(best).mean
    if doubts:
        return Diagnosis(
            claimed=False,
            cause=Cause.LABELS if suspect else Cause.UNKNOWN,
            sentence=SUSPECT_LABELS if suspect else NO_CAUSE,
            family=None,
            operation=None,
            strength=None,
            unit=None,
            share=best.share,
            matches=matches,
            control_share=control,
            alike_share=rivals.own.blamed,
            nearer_share=likeness.nearer_share if likeness else None,
            reasons=doubts,
        )
    return Diagnosis(
        claimed=True,
        cause=Cause.APPEARANCE,
        sentence=_sentence(matches, second, likeness),
        family=best.family,
        operation=best.operation,
        strength=best.strength,
        unit=best.unit,
        share=second[0].share if second else best.share,
        matches=matches,
        control_share=control,
        alike_share=rivals.own.blamed,
        nearer_share=likeness.nearer_share if likeness else None,
        pair=second,
    )


NO_CAUSE = (
    "No appearance cause is claimed: no operation of the catalogue explains these errors. Check "
    "the labels; if they are right, look for a texture that the catalogue does not hold, a new kind "
    "of defect, or parts that are simply hard."
)
SUSPECT_LABELS = (
    "No appearance cause is claimed: these parts look as parts of the predicted class do. Check the labels "
    "first, the most suspect of which are listed."
)


def _sentence(
    matches: Sequence[OperationMatch], second: Sequence[OperationMatch], likeness: Likeness | None
) -> str:
    best = matches[0]
    if second:
        both = " and ".join(f"{each.operation} by {each.amount}" for each in second)
        return (
            f"Two changes at once: {both} together explain {second[0].share:.0%} of what moved the blamed "
            f"filters; {best.operation} alone {best.share:.0%}.{_one_by_one(likeness)}"
        )
    meaning = find_operation(best.operation).meaning
    text = (
        f"{meaning[0].upper()}{meaning[1:]}: {best.operation} by {best.amount} explains "
        f"{best.share:.0%} of what moved the blamed filters.{_one_by_one(likeness)}"
    )
    others = [each.operation for each in matches if each.alternative]
    return f"{text} It cannot be told apart from: {', '.join(others)}." if others else text


def _one_by_one(likeness: Likeness | None) -> str:
    if likeness is None:
        return ""
    return (
        f" {likeness.nearer_share:.0%} of the errors look more like a reference image of their class under "
        "this change than like any as it is."
    )
