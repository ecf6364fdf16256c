"""What is found, in words and in numbers as people write them: for report, dashboard and terminal alike."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from markupsafe import Markup, escape

from inspection.findings import (
    Cause,
    Diagnosis,
    Doubt,
    DoubtKind,
    ErrorKind,
    FailureMode,
    FlipRate,
    LoggedError,
    Night,
    NightState,
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
    """Say in one sentence which causes the night claims; empty where it looked for none."""
    claims = [_claim(mode) for mode in night.modes if mode.diagnosis.claimed]
    if claims:
        return f"{'Cause' if len(claims) == 1 else 'Causes'} claimed: {'; '.join(claims)}."
    looked = night.state is NightState.FINISHED and night.errors_read
    return "No appearance cause claimed." if looked else ""


def _claim(mode: FailureMode) -> str:
    family, operation = mode.diagnosis.family, mode.diagnosis.operation
    both = together(mode.diagnosis)
    exactly = f"{operation}, " if operation != family and not both else ""
    share = percent(mode.diagnosis.share)
    return f"{both or family} ({exactly}{plural(len(mode.errors), 'error')}, explained share {share})"


def together(diagnosis: Diagnosis) -> str:
    """Name the two operations of a pair; empty where there is none."""
    return " and ".join(each.operation for each in diagnosis.pair)


def cause_named(diagnosis: Diagnosis) -> str:
    """Name the cause in a word or two."""
    if not diagnosis.claimed:
        return "check the labels" if diagnosis.cause is Cause.LABELS else "none claimed"
    return together(diagnosis) or diagnosis.family or diagnosis.operation or "claimed"


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
        return CHECK_LABELS if diagnosis.cause is Cause.LABELS else NO_CAUSE
    if diagnosis.measured_alone:
        return _measured_sentence(diagnosis)
    if diagnosis.pair:
        return _pair_sentence(diagnosis)
    return _operation_sentence(diagnosis)


NO_CAUSE = (
    "No appearance cause is claimed: no operation of the catalogue explains these errors. Check "
    "the labels; if they are right, look for a texture that the catalogue does not hold, a new kind "
    "of defect, or parts that are simply hard."
)
CHECK_LABELS = (
    "No appearance cause is claimed: these parts look as parts of the predicted class do. Check the labels "
    "first, the most suspect of which are listed."
)


def _operation_sentence(diagnosis: Diagnosis) -> str:
    best = diagnosis.matches[0]
    said = [
        f"{_capital(diagnosis.meaning)}: {best.operation} by {best.amount} explains "
        f"{best.share:.0%} of what moved the blamed filters.{_nearer_sentence(diagnosis)}"
    ]
    others = [each.operation for each in diagnosis.matches if each.alternative]
    if others:
        said.append(f"It cannot be distinguished from: {', '.join(others)}.")
    if diagnosis.measured:
        said.append(
            f"The {diagnosis.measured} measured on one half of the errors explains the other half "
            "as well, and goes into the recipe beside it."
        )
    return " ".join(said)


def _pair_sentence(diagnosis: Diagnosis) -> str:
    best = diagnosis.matches[0]
    both = " and ".join(f"{each.operation} by {each.amount}" for each in diagnosis.pair)
    return (
        f"Two changes at once: {both} together explain {diagnosis.share:.0%} of what moved the blamed "
        f"filters; {best.operation} alone {best.share:.0%}.{_nearer_sentence(diagnosis)}"
    )


def _measured_sentence(diagnosis: Diagnosis) -> str:
    return (
        f"{_capital(diagnosis.family or '')}, measured on the errors themselves: the {diagnosis.measured} "
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


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def doubt_in_words(doubt: Doubt) -> str:
    """Say what speaks against an account, with what was found and what is needed."""
    named = " and ".join(doubt.named)
    subject = f"the {named} measured on one half of the errors" if doubt.measured else named
    return _DOUBTS[doubt.kind].format(
        named=named,
        subject=subject,
        found=doubt.found,
        floored=max(doubt.found, 0),
        needed=doubt.needed,
        baseline=max(doubt.baseline or 0, 0),
        errors=doubt.errors,
        amount=f"{doubt.found:.3g} {doubt.unit}".rstrip(),
    )


_DOUBTS = {
    DoubtKind.TOO_FEW_ERRORS: "{found} errors are too few: {needed} are needed",
    DoubtKind.NO_STRENGTH: "{subject} explains nothing: it fits at no strength",
    DoubtKind.UNCHANGED: "{subject} explains {floored:.1%} of the evidence; the reference images nearest to "
    "these errors, as they are, explain {baseline:.1%}, and a cause has to explain {needed:.0%} of what they "
    "leave unexplained",
    DoubtKind.BASELINE_ERRORS: "{subject} explains {floored:.1%} of the evidence; the errors that the model "
    "makes without any change explain {baseline:.1%}, and a cause has to explain {needed:.0%} of what they "
    "leave unexplained",
    DoubtKind.NOT_NEARER: "{subject} explains what sets {found} of {errors} errors apart from the reference "
    "images as they are, of their own classes and of those they were taken for; more than {needed:.0%}, "
    "beyond chance, are needed",
    DoubtKind.BLAMED_SHARE: "the best that was found, {named}, explains {found:.0%} of the shift; "
    "{needed:.0%} is needed",
    DoubtKind.OVERALL_SHARE: "over all filters alike {named} explains only {found:.0%}, and {needed:.0%} is "
    "needed: a change of the image moves every filter, not only those that fooled the model",
    DoubtKind.LOOK_SHARE: "{named} explains {floored:.0%} of how the images themselves look (brightness, its "
    "place, spectrum, tones, lines); {needed:.0%} is needed",
    DoubtKind.CHANCE: "logs without a change reach {needed:.0%} by chance",
    DoubtKind.FAINT: "the fitted strength, {amount}, is below {needed:g}, the least that can be "
    "distinguished from the parts' own variation",
    DoubtKind.MEASURED_SHARE: "{subject} explains {found:.0%} of the evidence of the other half; "
    "{needed:.0%} is needed",
    DoubtKind.MEASURED_VIEW: "{subject} explains {found:.0%} of it in one of three views; {needed:.0%} is "
    "needed in each",
}


CAUSES = {
    Cause.APPEARANCE: "the images changed.",
    Cause.LABELS: "the labels, most likely. The parts look like the class that the model took them for, so "
    "check the operators’ verdicts first.",
    Cause.UNKNOWN: "unknown. No change of the images explains these errors: a new kind of defect, wrong "
    "labels, or parts that are simply hard.",
}


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


ORIGINS = ("line", "station", "camera", "part_number", "lot", "model_version", "lighting", "exposure")
MOST_ORIGINS = 3  # values of each that are listed


def origins(errors: Sequence[LoggedError]) -> dict[str, dict[str, int]]:
    """Where errors come from by their log: of each column that it has the most frequent values, counted."""
    counted = {name: Counter(getattr(each.context, name) or "" for each in errors) for name in ORIGINS}
    return {
        name: {value: count for value, count in values.most_common() if value}
        for name, values in counted.items()
        if any(values)
    }


def origins_in_words(errors: Sequence[LoggedError]) -> str:
    """The same in words: `line L3 (12), L1 (3); lot 7 (15)`; empty where the log says nothing.

    One model version of all tells nothing: they are errors that the registered model makes.
    """
    return "; ".join(
        f"{name.replace('_', ' ')} " + ", ".join(listed) + (", ..." if len(values) > MOST_ORIGINS else "")
        for name, values in origins(errors).items()
        if (name != "model_version" or len(values) > 1)
        and (listed := [f"{value} ({count})" for value, count in list(values.items())[:MOST_ORIGINS]])
    )


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


FILTERS: dict[str, Callable[..., object]] = {
    "all_errors": all_errors,
    "cause_in_words": cause_in_words,
    "cause_named": cause_named,
    "causes": causes,
    "context_in_words": context_in_words,
    "duration": duration,
    "headline": headline,
    "interval": interval,
    "kinds": kinds,
    "moment": moment,
    "no_recipe_reason": no_recipe_reason,
    "number": number,
    "origins_in_words": origins_in_words,
    "p_value": p_value,
    "percent": percent,
    "plural": plural,
    "points": points,
    "prose": prose,
    "reach": reach,
    "setting_rows": setting_rows,
    "signed": signed,
    "together": together,
    "trend_in_short": trend_in_short,
    "trend_in_words": trend_in_words,
    "withheld_reason": withheld_reason,
}
