"""What is found, in words and in numbers as people write them: for report, dashboard and terminal alike."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from markupsafe import Markup, escape

from inspection import tuning
from inspection.findings import (
    LEAST_KEPT,
    ORIGINS,
    Affected,
    ArmResult,
    Cause,
    CheckKind,
    Diagnosis,
    Doubt,
    DoubtKind,
    ErrorKind,
    FailureMode,
    FilterAfter,
    FlipRate,
    GateCheck,
    LoggedError,
    Night,
    NightState,
    OperationMatch,
    Pattern,
    Trend,
)

# --- the night in sentences ---


def headline(night: Night) -> str:
    """Say in one sentence how many errors of which kind the night found."""
    if night.state is NightState.RUNNING:
        return "The night is still running."
    if night.state is NightState.FAILED:
        return "The night failed before it was done."
    if night.state is NightState.UNREADABLE:
        return "This night knows nothing: no error of its defect log could be used."
    if not night.rows_read:
        return "No errors: the defect log has no rows."
    if not night.errors_read:
        return "No errors: the registered model reproduces none from this defect log."
    return f"{plural(night.errors_read, 'error')}: {kinds(all_errors(night))}."


def causes(night: Night) -> str:
    """Say in one sentence what becomes of every error: the causes claimed, what is not explained, the rest.

    Empty where the night looked for none.
    """
    if night.state is not NightState.FINISHED or not night.errors_read:
        return ""
    parts = [_cause_of_mode(mode) for mode in night.modes]
    if night.unclustered:
        alone = "by itself" if len(night.unclustered) == 1 else "by themselves"
        parts.append(f"{plural(len(night.unclustered), 'error')} {alone}")
    return f"{capital('; '.join(parts))}."


def _cause_of_mode(mode: FailureMode) -> str:
    found, count = mode.diagnosis, plural(len(mode.errors), "error")
    if found.claimed:
        return f"{count}: {cause_in_short(found)}"
    if found.cause is not Cause.UNKNOWN:
        return f"{count}: {cause_named(found)}"
    nearest = f", nearest {found.matches[0].operation}" if found.matches else ""
    return f"{count}: no cause claimed{nearest}"


def cause_in_short(diagnosis: Diagnosis) -> str:
    """Name a claimed cause with its strength: `dimmer lamp (45 % of the light)`."""
    if diagnosis.measured_alone:
        return f"{diagnosis.family} ({diagnosis.operation})"
    named = diagnosis.pair or diagnosis.matches[:1]
    return " and ".join(f"{each.operation} ({strength_in_words(each)})" for each in named)


def together(diagnosis: Diagnosis) -> str:
    """Name the two operations of a pair; empty where there is none."""
    return " and ".join(each.operation for each in diagnosis.pair)


def cause_named(diagnosis: Diagnosis) -> str:
    """Name the cause in a word or two."""
    if not diagnosis.claimed:
        return cause_in_a_word(diagnosis.cause)
    return together(diagnosis) or diagnosis.family or diagnosis.operation or "claimed"


def cause_in_a_word(cause: Cause) -> str:
    """Name what errors are put down to where no cause is claimed."""
    return NAMED_CAUSES.get(cause, "none claimed")


NAMED_CAUSES = {
    Cause.LABELS: "check the labels",
    Cause.INVISIBLE: "the defect cannot be seen",
    Cause.NEW_LOOK: "a look that no reference part has",
}


def worded(diagnosis: Diagnosis) -> Diagnosis:
    """The same with its sentence and its reasons in words."""
    return replace(
        diagnosis,
        sentence=sentence(diagnosis),
        reasons=tuple(doubt_in_words(each) for each in diagnosis.doubts),
    )


def sentence(diagnosis: Diagnosis) -> str:
    """Say what a diagnosis claims, and by how much; or that it claims nothing, and what to do."""
    if not diagnosis.claimed:
        return _unclaimed_sentence(diagnosis)
    if diagnosis.measured_alone:
        return _measured_sentence(diagnosis)
    if diagnosis.pair:
        return _pair_sentence(diagnosis)
    return _operation_sentence(diagnosis)


def _unclaimed_sentence(diagnosis: Diagnosis) -> str:
    """Say what came nearest, what spoke against it, and what to look at next."""
    said = ["No cause is claimed."]
    if diagnosis.matches and diagnosis.doubts:
        best = diagnosis.matches[0]
        how = f" ({strength_in_words(best)})" if best.strength else ""
        said.append(f"The nearest operation is {best.operation}{how}, but {_against(diagnosis)}.")
    said.append(_advice(diagnosis))
    return " ".join(said)


def _against(diagnosis: Diagnosis) -> str:
    """What speaks most against the nearest account, without numbers: they stand among the reasons."""
    return AGAINST[diagnosis.doubts[0].kind]


def _advice(diagnosis: Diagnosis) -> str:
    return ADVICE.get(diagnosis.cause, ADVICE_UNKNOWN)


ADVICE = {
    Cause.INVISIBLE: "In most of these images the defect cannot be seen: they show nothing that good parts "
    "do not show. Check the light, the optics and the focus; no training makes a model see it.",
    Cause.NEW_LOOK: "Most of these images hold patches that no reference part has: look for a new kind of "
    "defect, material or product where they differ most, and add such parts to the training images.",
    Cause.LABELS: "These parts look like parts of the predicted class: check the operators’ verdicts first.",
}
ADVICE_UNKNOWN = (
    "Look at the errors beside the reference images: a change that the catalogue does not hold, a new kind "
    "of defect, material or product, wrong labels, or parts that are simply hard."
)


def _operation_sentence(diagnosis: Diagnosis) -> str:
    best = diagnosis.matches[0]
    equals = [
        f"{each.operation} ({strength_in_words(each)})" for each in diagnosis.matches if each.alternative
    ]
    *others, last = [f"{best.operation} ({strength_in_words(best)})", *equals]
    named = f"{', '.join(others)} or {last}" if others else last
    first = "The first" if equals else "It"
    said = [
        f"{capital(diagnosis.meaning)}: {named}. {first} explains {best.share:.0%} of what moved the blamed "
        f"filters.{_nearer_sentence(diagnosis)}"
    ]
    if equals:
        said.append("These errors do not tell which of them it is; the recipe holds each.")
    if diagnosis.measured:
        said.append(
            f"The {diagnosis.measured} measured on one half of the errors explains the other half "
            "as well, and goes into the recipe beside it."
        )
    return " ".join(said)


def _pair_sentence(diagnosis: Diagnosis) -> str:
    best = diagnosis.matches[0]
    both = " and ".join(f"{each.operation} ({strength_in_words(each)})" for each in diagnosis.pair)
    return (
        f"Two changes at once: {both} together explain {diagnosis.share:.0%} of what moved the blamed "
        f"filters; {best.operation} alone {best.share:.0%}.{_nearer_sentence(diagnosis)}"
    )


def _measured_sentence(diagnosis: Diagnosis) -> str:
    return (
        f"{capital(diagnosis.family or '')}, measured on the errors themselves: the {diagnosis.measured} "
        f"measured on one half of them explains {diagnosis.share:.0%} of what moved the blamed filters of "
        f"the other half. The best operation of the catalogue, {diagnosis.matches[0].operation}, explains "
        f"{diagnosis.nearest_operation_share or 0:.0%}.{_nearer_sentence(diagnosis)}"
    )


def _nearer_sentence(diagnosis: Diagnosis) -> str:
    if diagnosis.nearer_share is None:
        return ""
    return (
        f" {diagnosis.nearer_share:.0%} of the errors look more like a reference image of their class under "
        "this change than like any as it is."
    )


def capital(text: str) -> str:
    """The text as a sentence begins."""
    return text[:1].upper() + text[1:]


def doubt_in_words(doubt: Doubt) -> str:
    """Say what speaks against an account, with what was found and what is needed."""
    two = len(doubt.named) > 1
    subject = " and ".join(f"“{name}”" for name in doubt.named) + (" together" if two else "")
    if doubt.measured:
        subject = f"the {' and '.join(doubt.named)} measured on one half of the errors"
    return _DOUBTS[doubt.kind].format(
        subject=subject,
        s="" if two else "s",
        found=doubt.found,
        floored=max(doubt.found, 0),
        needed=doubt.needed,
        errors=doubt.errors,
        amount=f"{doubt.found:.3g} {doubt.unit}".rstrip(),
    )


_DOUBTS = {
    DoubtKind.TOO_FEW_ERRORS: "{found} errors are too few: {needed} are needed",
    DoubtKind.NO_STRENGTH: "{subject} explain{s} nothing at any strength",
    DoubtKind.UNCHANGED: "of what the reference images nearest to these errors, as they are, leave "
    "unexplained, {subject} explain{s} {floored:.0%}; {needed:.0%} is needed",
    DoubtKind.BASELINE_ERRORS: "of what the errors that the model makes without any change leave "
    "unexplained, {subject} explain{s} {floored:.0%}; {needed:.0%} is needed",
    DoubtKind.PLACE: "{subject} change{s} other places of an image than those that changed on these errors: "
    "patch by patch, reference images under it are no nearer to them than reference images as they are",
    DoubtKind.NOT_NEARER: "{subject} explain{s} what sets {found} of {errors} errors apart from the "
    "reference images as they are, of their own classes and of those they were taken for; more than "
    "{needed:.0%}, beyond chance, are needed",
    DoubtKind.HARMLESS: "under {subject} the model gets {found} of {errors} reference images right, those "
    "most like these errors: most have to fail, and more than do as they are",
    DoubtKind.NEW: "{found} of {errors} errors hold patches that no reference image has under {subject} "
    "either, of any class: they differ in something else, too",
    DoubtKind.BLAMED_SHARE: "{subject} explain{s} {found:.0%} of what moved the blamed filters; "
    "{needed:.0%} is needed",
    DoubtKind.OVERALL_SHARE: "over all filters alike {subject} explain{s} only {found:.0%}, and {needed:.0%} "
    "is needed: a change of the image moves every filter, not only those that fooled the model",
    DoubtKind.LOOK_SHARE: "{subject} explain{s} {floored:.0%} of how the images themselves look (brightness, "
    "its place, spectrum, tones, lines); {needed:.0%} is needed",
    DoubtKind.CHANCE: "logs without a change reach {needed:.0%} by chance",
    DoubtKind.FAINT: "the fitted strength, {amount}, is below {needed:g}, the least that can be "
    "distinguished from the parts' own variation",
    DoubtKind.MEASURED_SHARE: "{subject} explain{s} {found:.0%} of the evidence of the other half; "
    "{needed:.0%} is needed",
    DoubtKind.MEASURED_VIEW: "{subject} explain{s} {found:.0%} of it in one of three views; {needed:.0%} is "
    "needed in each",
}


AGAINST = {
    DoubtKind.TOO_FEW_ERRORS: "there are too few errors to tell",
    DoubtKind.NO_STRENGTH: "it fits at no strength",
    DoubtKind.UNCHANGED: "reference images as they are explain these errors nearly as well",
    DoubtKind.BASELINE_ERRORS: "the errors that the model makes without any change are like these",
    DoubtKind.PLACE: "it changes other places of an image than those that changed on these errors",
    DoubtKind.NOT_NEARER: "too many of these errors look like reference images as they are",
    DoubtKind.HARMLESS: "the model does not fail on most reference images under it",
    DoubtKind.NEW: "most of these errors hold what no reference image has under it either",
    DoubtKind.BLAMED_SHARE: "it explains too little of what moved the blamed filters",
    DoubtKind.OVERALL_SHARE: "it explains too little of what moved the other filters",
    DoubtKind.LOOK_SHARE: "it explains too little of how the images look",
    DoubtKind.CHANCE: "logs without a change get as far by chance",
    DoubtKind.FAINT: "it is too faint to be told apart from the parts' own variation",
    DoubtKind.MEASURED_SHARE: "what was measured on one half of the errors does not hold for the other",
    DoubtKind.MEASURED_VIEW: "what was measured on one half of the errors does not hold for the other",
}


CAUSES = {
    Cause.APPEARANCE: "the images changed.",
    Cause.LABELS: "the labels, most likely. The parts look like the class that the model took them for, so "
    "check the operators’ verdicts first.",
    Cause.INVISIBLE: "the defect cannot be seen in these images: check the light, the optics and the focus.",
    Cause.NEW_LOOK: "a look that no reference part has: a new kind of defect, material or product.",
    Cause.UNKNOWN: "unknown. No change of the images explains these errors: a new kind of defect, wrong "
    "labels, or parts that are simply hard.",
}


def check_in_words(check: GateCheck) -> str:
    """Say what a check of the gate found, and what it would take."""
    of = f"{check.images_of}, class {check.class_name}" if check.class_name else check.images_of
    if check.passed is None and not check.images:
        more = f"; about {check.more_images:,} would be enough" if check.more_images else ""
        return f"{of}: no image to judge by{more}"
    if check.kind is CheckKind.ESCAPES:
        found = (
            f"{check.before} of {plural(check.images, 'defect')} passed as good before, {check.after} after"
        )
    elif check.kind is CheckKind.CONTROL:
        found = f"{check.before} of {check.images} right by further training alone, {check.after} after this"
    else:
        found = f"{check.before} of {check.images} right before, {check.after} after"
    if check.by_chance and check.kind is not CheckKind.ESCAPES:
        found += f" ({p_value(check.p_value)})"
    return f"{of}: {found}{_what_it_takes(check)}"


def _what_it_takes(check: GateCheck) -> str:
    if check.passed:
        return ""
    more = f"; about {check.more_images:,} more such images would tell" if check.more_images else ""
    if check.kind in (CheckKind.REPAIR, CheckKind.CONTROL):
        unlike = "too few to tell a repair from chance" if check.passed is None else "no repair beyond chance"
        return f"; {unlike} (p of {check.needed:g} is needed){more}"
    escapes = check.kind is CheckKind.ESCAPES
    if check.by_chance and escapes:
        return f"; that is beyond the {percent(check.needed)} that pass as it is, and beyond chance"
    if check.by_chance and check.after < LEAST_KEPT * check.before:
        return "; more than half of this class is lost"
    if check.by_chance:
        return "; this class is told from the others less surely than before, beyond chance"
    accepted = f"at most {percent(check.needed)} may {'come to pass' if escapes else 'be lost'}"
    return f"; {accepted}" + (f", which may be chance{more}" if check.passed is None else "")


def harm_in_words(result: ArmResult) -> str:
    """Say what an arm harms beyond chance: the first of it, and how much more; empty where it is none."""
    against = [check_in_words(check) for check in result.harm]
    more = f" (and {len(against) - 1} more)" if len(against) > 1 else ""
    return f"{against[0]}{more}" if against else ""


def filters_in_words(filters: Sequence[FilterAfter]) -> str:
    """Say whether the energies of the blamed filters came back towards normal."""
    back = [each for each in filters if abs(each.after) < abs(each.before)]
    before, after = (
        sum(abs(shift) for shift in shifts) / len(filters)
        for shifts in ([each.before for each in filters], [each.after for each in filters])
    )
    return (
        f"Blamed filters: {len(back)} of {len(filters)} came nearer to normal on these errors "
        f"(mean distance {before:.1f} sigma before, {after:.1f} after)"
    )


def suspects_in_words(mode: FailureMode) -> str:
    """Say how many labels of a failure mode are suspect, by which signs, and how many will be wrong."""
    expected = min((each.score for each in mode.suspects), default=0.0)
    if expected < tuning.SUSPECT_PRECISION:
        return SUSPECTS_UNTESTED
    count = f"{len(mode.suspects):,} of {plural(len(mode.errors), 'label')}"
    return SUSPECTS.format(count=count, expected=percent(expected))


SUSPECTS = (
    "{count} listed, the most suspect first: look at these parts again. On each of them three signs agree, "
    "for what the model sees and for the look of the image alike: confident learning finds the label wrong, "
    "the nearest reference images are of the class that the model says, and the part is a usual one of that "
    "class. At least {expected} of them are expected to be wrong, as counted on reference images that are "
    "hard to tell and rightly labelled; the score is the same of those down to each. Wrong labels that lack "
    "a sign are not listed."
)
SUSPECTS_UNTESTED = (
    "Listed by an earlier version, the most suspect first, without a test whether any label is wrong."
)


def cause_in_words(cause: Cause) -> str:
    """Say in plain words what a failure mode is put down to."""
    return CAUSES[cause]


def trend_in_short(mode: FailureMode) -> str:
    """Say in a few words how a failure mode goes from night to night: `growing from 12 to 31`."""
    if mode.trend in (Trend.NEW, Trend.STEADY):
        return mode.trend.value
    return f"{mode.trend.value} from {mode.previous_errors} to {len(mode.errors)}"


def trend_in_words(mode: FailureMode) -> str:
    """Say against which night that is, and what it rests on."""
    if mode.trend is Trend.NEW or mode.previous_errors is None:
        return "no earlier night of this model is known to have it"
    counts = f"{plural(mode.previous_errors, 'error')} on the last night that had it, {len(mode.errors)} now"
    changed = "has not changed" if mode.trend is Trend.STEADY else "has changed"
    first = f"; first found as {mode.lineage}" if mode.lineage else ""
    return f"{counts}: its share of the night’s errors {changed} beyond chance{first}"


def all_errors(night: Night) -> tuple[LoggedError, ...]:
    """Return every error of the night, those of its failure modes first."""
    return tuple(error for mode in night.modes for error in mode.errors) + night.unclustered


def kinds(errors: Iterable[LoggedError]) -> str:
    """Count errors by kind, in words: `21 escapes, 1 overkill and 0 confusions`."""
    counted = Counter(error.kind for error in errors)
    escapes, overkills, confusions = (plural(counted[kind], kind.value) for kind in ErrorKind)
    return f"{escapes}, {overkills} and {confusions}"


SETTINGS = ("model_version", "lighting", "exposure")  # those of them that an inspection is made with
MOST_ORIGINS = 3  # values of each that are listed


def origins(errors: Sequence[LoggedError]) -> dict[str, dict[str, int]]:
    """Where errors come from by their log: of each column that it has the most frequent values, counted."""
    counted = {name: Counter(getattr(each.context, name) or "" for each in errors) for name in ORIGINS}
    return {
        name: {value: count for value, count in values.most_common() if value}
        for name, values in counted.items()
        if any(values)
    }


def origins_in_words(errors: Sequence[LoggedError], affected: Sequence[Affected] = ()) -> str:
    """The same in words: `line L3 (12), L1 (3); lot 7 (15)`; empty where the log says nothing more.

    What is claimed of `affected` is told there. One model version of all tells nothing: they are errors that
    the registered model makes.
    """
    told = {each.origin for each in affected if each.claimed}
    return "; ".join(
        f"{name.replace('_', ' ')} " + ", ".join(listed) + (", ..." if len(values) > MOST_ORIGINS else "")
        for name, values in origins(errors).items()
        if name not in told
        and (name != "model_version" or len(values) > 1)
        and (listed := [f"{value} ({count})" for value, count in list(values.items())[:MOST_ORIGINS]])
    )


def affected_in_words(affected: Sequence[Affected]) -> str:
    """Say what the errors of a failure mode share: `all from camera 2, since 03:10`.

    Or that nothing of what was compared stands out; empty where nothing could be compared.
    """
    claims = [each for each in affected if each.claimed]
    if not claims:
        compared = ", ".join(dict.fromkeys(origin_named(each) for each in affected))
        return f"nothing stands out ({compared})" if compared else ""
    everywhere = [each for each in claims if each.all_of_mode]
    partly = [_partly_shared(each) for each in claims if not each.all_of_mode]
    told = [f"all {_shared(everywhere)}"] if everywhere else []
    return "; ".join([*told, *partly[:MOST_ORIGINS], *(["..."] if len(partly) > MOST_ORIGINS else [])])


def _shared(claims: Sequence[Affected]) -> str:
    """`from line L3, camera 2, with lighting ring, since 03:10`, in the order given."""
    links = ["" if each.since else "with" if each.origin in SETTINGS else "from" for each in claims]
    before = ["", *links]
    names = [
        affected_value(each) if each.since else f"{origin_named(each)} {affected_value(each)}"
        for each in claims
    ]
    return ", ".join(
        name if link in ("", last) else f"{link} {name}"
        for link, last, name in zip(links, before, names, strict=False)
    )


def _partly_shared(claim: Affected) -> str:
    return (
        f"{claim.errors} of {claim.of_mode} {_shared([claim])} "
        f"({_others_named(claim)}: {claim.others} of {claim.of_others})"
    )


def origin_named(affected: Affected) -> str:
    """Name what was compared: `part number`, `time`."""
    return "time" if affected.since else affected.origin.replace("_", " ")


def affected_value(affected: Affected) -> str:
    """Name the value that errors share: `2`, or `since 03:10` by the log's own clock.

    The day is told where the time may be meant of more than one.
    """
    if affected.since is None:
        return affected.value
    zone = timezone(timedelta(minutes=affected.utc_offset or 0))
    day = "" if affected.until and affected.until - affected.since < timedelta(days=1) else "%Y-%m-%d "
    return f"since {affected.since.astimezone(zone):{day}%H:%M}{_clock(affected.utc_offset)}"


def _clock(offset: int | None) -> str:
    """Name a clock by its offset in minutes: ` UTC`, ` +09:00`; empty where the log gives none."""
    if not offset:
        return "" if offset is None else f"{NBSP}UTC"
    hours, minutes = divmod(abs(offset), 60)
    return f"{NBSP}{'+' if offset > 0 else MINUS}{hours:02d}:{minutes:02d}"


def _others_named(affected: Affected) -> str:
    return "other parts inspected" if affected.right_parts else "other errors"


def context_in_words(error: LoggedError) -> str:
    """What the log says of one error beside its labels, in a line."""
    context = error.context
    named = [(name.replace("_", " "), getattr(context, name)) for name in (*ORIGINS, "serial")]
    told = [f"{name} {value}" for name, value in named if value]
    return ", ".join([moment(context.captured_at), *told] if context.captured_at else told)


def withheld_reason(rate: FlipRate) -> str:
    """Say why a layer's finding is withheld."""
    gain = interval(rate.gain_lower, rate.gain_upper)
    return (
        f"patching the {rate.k} most blamed filters of {rate.layer} turns {percent(rate.blame)} "
        f"of the errors right, the better control {percent(rate.better_control)}; "
        f"the 95{NBSP}% interval of the gain, {gain}, does not lie above zero"
    )


def no_recipe_reason(mode: FailureMode) -> str:
    """Say why a failure mode has no recipe."""
    if mode.diagnosis.claimed:
        return "A cause is claimed, but the night wrote no recipe for it."
    why = "; ".join(mode.diagnosis.reasons) or "the night gives no reason"
    return f"No cause is claimed, so there is nothing to make the model immune to: {why}."


def prose(text: str) -> Markup:
    """Set what stands between backticks in a message as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def setting_rows(settings: Mapping[str, object], table: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted key, value) of nested settings, in their order."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from setting_rows(value, f"{table}{key}.")
        else:
            yield f"{table}{key}", "none" if value in ({}, [], "", None) else str(value)


# --- strengths as people say them ---

FRACTIONS = {
    0.0: "none",
    0.25: "a quarter",
    0.33: "a third",
    0.5: "half",
    0.67: "two thirds",
    0.75: "three quarters",
}
NEAR = 0.03  # of a whole: how far a share may be from the fraction that it is called


def strength_in_words(match: OperationMatch) -> str:
    """Say how strong an operation is, as one person would tell another: `45 % of the light`."""
    said = SAID.get((match.family, match.unit)) or SAID.get(("", match.unit))
    return said(match.strength) if said else match.amount


def _part(share: float) -> str:
    """A share as a fraction with a name, or as a percentage."""
    near = [name for value, name in FRACTIONS.items() if abs(share - value) <= NEAR]
    return near[0] if near else percent(share)


def _defect_contrast(lost: float) -> str:
    left = 1 - lost
    if abs(left) <= NEAR:
        return "nothing of the defect's contrast left"
    return (
        f"{_part(left)} of the defect's contrast"
        if left > 0
        else f"reversed, at {_part(-left)} of the contrast"
    )


def _counted(amount: float, word: str) -> str:
    """`1 stop`, `0.5 stops`."""
    written = f"{amount:.2g}"
    return f"{written} {word}{'' if written == '1' else 's'}"


def _grey_levels(share: float) -> str:
    levels = 255 * share
    return f"{levels:.0f}" if levels >= 10 else f"{levels:.2g}"


SAID: dict[tuple[str, str], Callable[[float], str]] = {
    ("darker", "stops"): lambda s: f"{percent(2**-s)} of the light",
    ("brighter", "stops"): lambda s: f"{2**s:.3g} times the light",
    ("side light", "stops"): lambda s: f"{percent(2**-s)} of the light on the far side",
    ("vignette", "stops"): lambda s: f"{percent(2**-s)} of the light in the corners",
    ("shadow", "stops"): lambda s: f"{percent(2**-s)} of the light in the shade",
    ("background", "stops"): lambda s: f"by {_counted(s, 'stop')}",
    ("defect edges", "pixels (sigma)"): lambda s: f"over {_counted(s, 'pixel')}",
    ("", "doublings of gamma"): lambda s: f"a gamma of {2**s:.3g}",
    ("", "halvings of gamma"): lambda s: f"a gamma of {2**-s:.2g}",
    ("", "of the contrast lost"): lambda s: f"{_part(1 - s)} of the contrast",
    ("", "of the contrast added"): lambda s: f"{1 + s:.2g} times the contrast",
    ("", "of the defect's contrast lost"): _defect_contrast,
    ("", "of the defect's contrast added"): lambda s: f"{1 + s:.2g} times the defect's contrast",
    ("", "of the saturation lost"): lambda s: f"{_part(1 - s)} of the saturation",
    ("", "of the light that shows nothing"): lambda s: f"{percent(s)} of the light shows nothing",
    ("", "of full scale"): lambda s: f"{_grey_levels(s)} of 255 grey levels",
    ("", "of full scale on white"): lambda s: f"{_grey_levels(s)} of 255 grey levels on white",
    ("", "of the area"): lambda s: f"{percent(s)} of the area",
    ("", "of the pixels"): lambda s: f"{percent(s)} of the pixels",
    ("", "of the shorter side"): lambda s: f"by {percent(s)} of the image",
    ("", "of the size added"): lambda s: f"{percent(s)} larger",
    ("", "of the size lost"): lambda s: f"{percent(s)} smaller",
    ("", "of the pixels along a side lost"): lambda s: f"{percent(1 - s)} of the resolution",
    ("", "points of quality below 100"): lambda s: f"a quality of {100 - s:.0f}",
    ("", "times the normal light"): lambda s: f"{s:.2g} times the normal light on top",
    ("", "pixels (sigma) at the far side"): lambda s: f"a blur of {_counted(s, 'pixel')} at the far side",
    ("", "pixels (sigma)"): lambda s: f"a blur of {_counted(s, 'pixel')}",
    ("", "pixels (radius)"): lambda s: f"a blur of {_counted(s, 'pixel')}",
    ("", "pixels"): lambda s: f"over {_counted(s, 'pixel')}",
}


# --- numbers as people write them ---

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


def percent(share: float) -> str:
    """Write a share: 0.85 as 85 %; more exactly where whole numbers would claim none or all."""
    if math.isnan(share):
        return "–"
    value = 100 * share
    if 99.9 < value < 100:
        return f">{NBSP}99.9{NBSP}%"
    if 0 < value < 0.1:
        return f"<{NBSP}0.1{NBSP}%"
    digits = 1 if 0 < abs(value) < 1 or 99 < value < 100 else 0
    return f"{_minus(f'{value:.{digits}f}')}{NBSP}%"


def points(change: float) -> str:
    """Write a change of a share in signed percentage points, without the unit: 0.12 as +12."""
    return signed(100 * change, 0 if abs(change) >= 0.02 else 1)


def interval(lower: float, upper: float) -> str:
    """Write an interval of changes of a share: `+12 to +31 points`."""
    return f"{points(lower)} to {points(upper)}{NBSP}points"


def signed(value: float, digits: int = 2) -> str:
    """Write a number with its sign; zero has none."""
    text = f"{value:+.{digits}f}"
    return _minus(text.lstrip("+-") if float(text) == 0 else text)


def number(value: float, digits: int = 2) -> str:
    """Write a number with a fixed count of decimals."""
    return _minus(f"{value:.{digits}f}")


def p_value(p: float) -> str:
    """Write a p-value: `p < 0.001`, `p = 0.012`."""
    return f"p{NBSP}<{NBSP}0.001" if p < 0.001 else f"p{NBSP}={NBSP}{p:.{3 if p < 0.1 else 2}f}"


def plural(count: int, word: str) -> str:
    """Write a count with its noun: `1 error`, `1,351 errors`."""
    return f"{count:,}{NBSP}{word}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Write a wall time: `0.8 s`, `42 s`, `3 min 05 s`, `1 h 02 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_rest = divmod(minutes, 60)
    if hours:
        return f"{hours}{NBSP}h {minutes_rest:02d}{NBSP}min"
    return f"{minutes}{NBSP}min {rest:02d}{NBSP}s" if minutes else f"{rest}{NBSP}s"


def moment(when: datetime) -> str:
    """Write a time in UTC, to the minute."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}{NBSP}UTC"


def reach(share: float) -> str:
    """Write a share as the length of a bar, 0 to 100 %."""
    return f"{100 * min(max(0.0, share), 1.0):.1f}%"


def _minus(text: str) -> str:
    """Set a true minus sign, none before a zero, and a dash for what is not a number."""
    if "nan" in text:
        return "–"
    text = text.lstrip("-") if not text.strip("-0.") else text
    return text.replace("-", MINUS)


# --- what a filter's primitives show ---


def pattern_words(pattern: Pattern) -> str:
    """The pattern of a filter's primitives: "fine bright lines, 4 px apart, 60 degrees".

    Fine is up to 4 pixels, coarse 10 and more, of the model's input; bright or dark where the brightness is
    skewed by a half or more; lines keep to one direction by 0.4 and more, marks are fewer and stronger than
    noise has them (a kurtosis of 4 and more).
    """
    size = _size(pattern.wavelength)
    tone = "bright" if pattern.polarity >= 0.5 else "dark" if pattern.polarity <= -0.5 else ""
    lines = pattern.directedness >= 0.4
    form = (
        "lines" if lines else "specks" if pattern.peakedness >= 4 else "grain" if size == "fine" else "mottle"
    )
    words = [" ".join(each for each in (size, tone, form) if each)]
    if not math.isnan(pattern.wavelength):
        millimetres = pattern.wavelength * pattern.mm_per_pixel
        length = f"{pattern.wavelength:.0f} px" + (f" ({millimetres:.2g} mm)" if millimetres else "")
        words.append(f"{length} apart" if lines or pattern.regularity >= 0.2 else f"about {length} in size")
    if lines and not math.isnan(pattern.direction):
        words.append(f"{pattern.direction:.0f} degrees")
    return ", ".join(words)


def _size(wavelength: float) -> str:
    if math.isnan(wavelength):
        return "flat"
    return "fine" if wavelength <= 4 else "coarse" if wavelength >= 10 else ""


FILTERS: dict[str, Callable[..., object]] = {
    "affected_in_words": affected_in_words,
    "affected_value": affected_value,
    "all_errors": all_errors,
    "came_back": filters_in_words,
    "cause_in_a_word": cause_in_a_word,
    "cause_in_words": cause_in_words,
    "cause_named": cause_named,
    "causes": causes,
    "context_in_words": context_in_words,
    "duration": duration,
    "headline": headline,
    "interval": interval,
    "harm": harm_in_words,
    "kinds": kinds,
    "moment": moment,
    "no_recipe_reason": no_recipe_reason,
    "number": number,
    "origin_named": origin_named,
    "origins_in_words": origins_in_words,
    "p_value": p_value,
    "pattern": pattern_words,
    "percent": percent,
    "plural": plural,
    "points": points,
    "prose": prose,
    "reach": reach,
    "setting_rows": setting_rows,
    "signed": signed,
    "strength_in_words": strength_in_words,
    "suspects_in_words": suspects_in_words,
    "together": together,
    "trend_in_short": trend_in_short,
    "trend_in_words": trend_in_words,
    "withheld_reason": withheld_reason,
}
