"""The claim: whether what was found is enough to name a cause, and what is missing where it is not."""

from collections.abc import Sequence

from inspection.causes.lookalikes import Likeness, Rivals
from inspection.causes.measured_match import MeasuredMatch
from inspection.causes.ranking import shares_of
from inspection.evidence.shift import Shares
from inspection.evidence.subject import Subject
from inspection.findings import Cause, Diagnosis, OperationMatch
from inspection.operations.catalogue import find_operation
from inspection.workspace.settings import MatchingSettings

MISTAKEN = 0.8  # of the errors are most like a reference image of the predicted class: a matter of labels


def doubt_of_measured(settings: MatchingSettings, best: MeasuredMatch) -> str | None:
    """What is missing, in words after "explains"; None where nothing is."""
    shares = best.likeness.shares
    least = min(shares.blamed, shares.overall, shares.look)
    if shares.mean < settings.measured_share:
        return f"{shares.mean:.0%} of the evidence of the other half; {settings.measured_share:.0%} is needed"
    if least < settings.look_share:
        return f"{least:.0%} of it in one of three views; {settings.look_share:.0%} is needed in each"
    return doubt_of_rivals(settings, best.likeness, best.rivals)


# --- the claim ---


def doubt_of_rivals(settings: MatchingSettings, likeness: Likeness | None, rivals: Rivals) -> str | None:
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


def explains(settings: MatchingSettings, shares: Shares) -> bool:
    """Whether the shares are as high as a claim needs."""
    return (
        shares.blamed >= settings.claim_share
        and shares.overall >= settings.overall_share
        and shares.look >= settings.look_share
    )


def doubts_of(
    subject: Subject,
    errors: int,
    best: OperationMatch,
    second: Sequence[OperationMatch],
    control: float,
    likeness: Likeness | None,
    rivals: Rivals,
) -> tuple[str, ...]:
    """What speaks against the best account of the errors, in words; nothing where it is a cause."""
    settings = subject.settings.matching
    named = " and ".join(each.operation for each in second) or best.operation
    shares = shares_of(second[0] if second else best)
    smallest = find_operation(best.operation).grid[0]
    doubts = []
    if errors < settings.fewest_errors:
        doubts.append(f"{errors} errors are too few: {settings.fewest_errors} are needed")
    rivalled = doubt_of_rivals(settings, likeness, rivals)
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


def decide(
    matches: tuple[OperationMatch, ...],
    second: tuple[OperationMatch, ...],
    control: float,
    likeness: Likeness | None,
    rivals: Rivals,
    doubts: tuple[str, ...],
) -> Diagnosis:
    """The diagnosis: the best account where nothing speaks against it."""
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
            f"filters; {best.operation} alone {best.share:.0%}.{one_by_one(likeness)}"
        )
    meaning = find_operation(best.operation).meaning
    text = (
        f"{meaning[0].upper()}{meaning[1:]}: {best.operation} by {best.amount} explains "
        f"{best.share:.0%} of what moved the blamed filters.{one_by_one(likeness)}"
    )
    others = [each.operation for each in matches if each.alternative]
    return f"{text} It cannot be told apart from: {', '.join(others)}." if others else text


def one_by_one(likeness: Likeness | None) -> str:
    """How many errors look more like a part under the change, as a sentence."""
    if likeness is None:
        return ""
    return (
        f" {likeness.nearer_share:.0%} of the errors look more like a reference image of their class under "
        "this change than like any as it is."
    )
