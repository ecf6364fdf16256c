"""What is found, in words and in numbers as people write them: for report, dashboard and terminal alike."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime

from markupsafe import Markup, escape

from inspection.findings import (
    Cause,
    Diagnosis,
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
    "duration": duration,
    "headline": headline,
    "interval": interval,
    "kinds": kinds,
    "moment": moment,
    "no_recipe_reason": no_recipe_reason,
    "number": number,
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
