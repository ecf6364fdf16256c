"""The diagnosis of a failure mode: the operation that explains its shift, or why none is claimed."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fmi_engine.types import Screening
from inspection.causes.claim import decide, doubt_of_measured, doubts_of, explains, one_by_one
from inspection.causes.lookalikes import Change, Trial, seek_lookalikes
from inspection.causes.measured_change import PARTS, measure_change, relive
from inspection.causes.measured_family import family_of
from inspection.causes.measured_match import MEASURED, MeasuredMatch, match_measured
from inspection.causes.ranking import TAKES, control_share_of, find_second, rank, shares_of, try_leading
from inspection.evidence.responses import Responses
from inspection.evidence.shift import gather, paths
from inspection.evidence.subject import Subject
from inspection.findings import Cause, Diagnosis, OperationMatch
from inspection.inputs.labelled import sample
from inspection.operations.catalogue import Steps
from inspection.workspace.settings import MatchingSettings

LOCAL = ("shadow", "hot spot")  # families of operations that change one place of an image
PATTERNS = ("line pattern", "texture", "dust")  # families of operations that a measured change tells better
PATTERN_GAIN = 0.03  # mean share beyond theirs that it needs, where others need `matching.pair_gain`


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
    tried = try_leading(catalogue, fitted, lookalikes)
    ranked = rank(subject, evidence, catalogue, fitted, tried)
    if _too_few_nearer(subject.settings.matching, ranked[0], tried):
        first = ranked[0].operation
        change = Steps(((first, tried[first].strength),))
        tried[first] = replace(tried[first], likeness=lookalikes.under(change, everywhere=True))
        ranked = rank(subject, evidence, catalogue, fitted, tried)
    second, together = find_second(subject, evidence, lookalikes, catalogue, fitted, ranked)
    leading = tried.get(ranked[0].operation)
    likeness = together or (leading.likeness if leading else None)
    control = control_share_of(subject, screening.true, responses, evidence)
    doubts = doubts_of(subject, len(images), ranked[0], second, control, likeness, lookalikes.rivals)
    found = decide(ranked, second, control, likeness, lookalikes.rivals, doubts)
    settings, shares = subject.settings.matching, shares_of(second[0] if second else ranked[0])
    if found.claimed:
        enough = bool(second) or shares.mean + _gain(settings, found.family) > 1
        return found if enough else _beside(subject, screening, images, responses, found)
    if explains(settings, shares) or len(images) < settings.fewest_errors:
        return found  # what an operation explains, and is doubted all the same, is too faint to be a cause
    best = match_measured(subject, screening, images, responses, settings.measured_share)
    doubt = doubt_of_measured(settings, best)
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
    if shares.mean < alone.mean or doubt_of_measured(settings, best):
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
            f"{one_by_one(best.likeness)}"
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


def change_of(
    subject: Subject, images: NDArray[np.uint8], true: NDArray[np.int64], found: Diagnosis
) -> Change:
    """The claimed cause of errors `images`, of classes `true`, as a change of images."""
    if found.measured_alone:
        measured = measure_change(images, true, subject.correct)
        return partial(relive, change=measured, parts=PARTS[str(found.measured)])
    named = found.pair or found.matches[:1]
    return Steps(tuple((each.operation, each.strength) for each in named))


def _too_few_nearer(settings: MatchingSettings, best: OperationMatch, tried: Mapping[str, Trial]) -> bool:
    """Whether the best operation explains enough, but has too few errors nearer."""
    trial = tried.get(best.operation)
    return (
        trial is not None
        and explains(settings, trial.likeness.shares)
        and not trial.likeness.exceeds(settings.nearer_share)
    )
