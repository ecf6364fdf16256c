"""The diagnosis of a failure mode: the operation that explains its shift, or why none is claimed."""

from dataclasses import replace
from functools import partial

from inspection import tuning
from inspection.causes.claim import claim, doubt_of_measured
from inspection.causes.measured_change import PARTS, apply_measured
from inspection.causes.measured_family import family_of
from inspection.causes.measured_match import MeasuredMatch, match_measured, measured_on
from inspection.causes.ranking import control_share, rank, shares_of, steps_of
from inspection.causes.unclaimed import cause_without_claim
from inspection.evidence.case import Case
from inspection.findings import Cause, Diagnosis
from inspection.operations.catalogue import Change

LOCAL = ("shadow", "hot spot")  # families of operations that change one place of an image
OF_DEFECTS = ("defect contrast", "defect edges", "defect size")  # of operations that leave the background


def diagnose(case: Case) -> Diagnosis:
    """Name the operation that explains most of the errors' shift, or say why none is claimed.

    Three explained shares have to be high: that of the shift weighted by blame, that of all filters alike,
    and that of the images' own look; the operation has to explain enough of what is left by explanations in
    which no image changed; and most errors have to be nearer to a changed reference image of their class
    than to any as it was, patch by patch as well. Where nothing is claimed, and the defects can be seen, the
    change is measured on the errors themselves, one half against the other.
    """
    ranking = rank(case)
    found = claim(case, ranking, control_share(case))
    if found.claimed:
        enough = bool(ranking.pair) or ranking.shares.mean + case.settings.pair_gain > 1
        return found if enough else _with_measured(case, found)
    if len(case) < case.settings.fewest_errors:
        return found
    cause = cause_without_claim(case, ranking)
    if cause is Cause.INVISIBLE:  # what is measured then is that the defects are gone, and teaches nothing
        return replace(found, cause=cause)
    best = match_measured(case, case.settings.measured_share)
    doubt = doubt_of_measured(case.settings, best)
    if doubt:
        return replace(found, cause=cause, doubts=(*found.doubts, doubt))
    return _measured(best, _family(case, best, found), found)


def _with_measured(case: Case, found: Diagnosis) -> Diagnosis:
    """Put one measured change beside a claimed operation, where it explains other errors as well as that.

    Where it takes half of what the operation leaves unexplained, and is of another family, the measured
    change is the cause, and the operation only the nearest of the catalogue. So it is where the operation is
    a shadow or a hot spot and the measured change has the shape of specks or drops: a band that may lie
    anywhere explains a good deal of them.
    A tone curve stands neither beside an operation that changes defects alone nor in its place: defects have
    grey levels of their own, and so it says the same of the levels, and explains it better. A lamp raised
    over the rendered line, 66 errors: the recipe of fainter bright defects (explained share .86) made 129 of
    180 unseen images right, that of the curve (.95) 119, where the model as it was made 113.
    Dust lies where it lies: drawn anew on every training image it teaches less than its measured pattern
    and it in turn. Steel, 10 logged images, accuracy under dust: .46 with the operation alone, .55 with the
    pattern alone, .63 with both.
    """
    alone = shares_of(found.matches[0])
    of_defects = found.family in OF_DEFECTS
    single = [name for name, p in PARTS.items() if sum(p) == 1 and not (p.tones and of_defects)]
    best = match_measured(case, alone.mean, single)
    shares = best.nearest.shares
    if shares.mean < alone.mean or doubt_of_measured(case.settings, best):
        return found
    takes_half = shares.mean > alone.mean + case.settings.pair_gain and shares.beyond(alone) >= tuning.MOSTLY
    if takes_half or found.family in LOCAL:
        family = _family(case, best, found)
        if family != found.family and (takes_half or family == "dust"):
            return _measured(best, family, found)
    return replace(found, measured=best.name)


def _measured(best: MeasuredMatch, family: str, found: Diagnosis) -> Diagnosis:
    """Claim what was read off the errors themselves, which explains others of them."""
    return replace(
        found,
        claimed=True,
        cause=Cause.APPEARANCE,
        family=family,
        operation=best.name,
        strength=1.0,
        unit="times as found",
        share=best.nearest.shares.blamed,
        nearest_operation_share=found.share,
        nearer_share=best.nearest.nearer_share,
        measured=best.name,
        doubts=(),
        pair=(),
    )


def _family(case: Case, best: MeasuredMatch, found: Diagnosis) -> str:
    return family_of(measured_on(case, best.name), best.name, found.matches[0].family)


def change_of(case: Case, found: Diagnosis) -> Change:
    """The claimed cause of a case as a change of images; where none is claimed, the nearest operation."""
    if found.measured_alone:
        name = str(found.measured)
        return partial(apply_measured, change=measured_on(case, name), parts=PARTS[name])
    return steps_of(found.pair or found.matches[:1])
