"""What is found, in words and in numbers as people write them: for report, dashboard and terminal alike."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import reduce

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
    FilterName,
    FlipRate,
    GateCheck,
    LoggedError,
    Night,
    NightState,
    OperationMatch,
    Pattern,
    RecipeFile,
    RecipeStep,
    Retraining,
    Trend,
)
from inspection.language import ENGLISH, language, ngettext, retold
from inspection.language import gettext as _

# --- the night in sentences ---


def headline(night: Night) -> str:
    """Say in one sentence how many errors of which kind the night found."""
    if night.state is NightState.RUNNING:
        return _("The night is still running.")
    if night.state is NightState.FAILED:
        return _("The night failed before it was done.")
    if night.state is NightState.UNREADABLE:
        return _("This night knows nothing: no error of its defect log could be used.")
    if not night.rows_read:
        return _("No errors: the defect log has no rows.")
    if not night.errors_read:
        return _("No errors: the registered model reproduces none from this defect log.")
    return _("{errors}: {kinds}.").format(
        errors=plural(night.errors_read, "error"), kinds=kinds(all_errors(night))
    )


def causes(night: Night) -> str:
    """Say in one sentence what becomes of every error: the causes claimed, what is not explained, the rest.

    Empty where the night looked for none.
    """
    if night.state is not NightState.FINISHED or not night.errors_read:
        return ""
    parts = [_cause_of_mode(mode) for mode in night.modes]
    if night.unclustered:
        count = len(night.unclustered)
        alone = ngettext("{errors} by itself", "{errors} by themselves", count)
        parts.append(alone.format(errors=plural(count, "error")))
    return _("{parts}.").format(parts=capital(_("; ").join(parts)))


def _cause_of_mode(mode: FailureMode) -> str:
    found, count = mode.diagnosis, plural(len(mode.errors), "error")
    said = _("{errors}: {cause}")
    if found.claimed:
        return said.format(errors=count, cause=cause_in_short(found))
    if found.cause is not Cause.UNKNOWN:
        return said.format(errors=count, cause=cause_named(found))
    if not found.matches:
        return said.format(errors=count, cause=_("no cause claimed"))
    nearest = _("no cause claimed, nearest {operation}").format(operation=_(found.matches[0].operation))
    return said.format(errors=count, cause=nearest)


def cause_in_short(diagnosis: Diagnosis) -> str:
    """Name a claimed cause with its strength: `dimmer lamp (45 % of the light)`."""
    if diagnosis.measured_alone:
        return f"{_(diagnosis.family or 'claimed')} ({_(diagnosis.operation or 'claimed')})"
    named = diagnosis.pair or diagnosis.matches[:1]
    return _(" and ").join(_with_strength(each) for each in named)


def _with_strength(match: OperationMatch) -> str:
    return f"{_(match.operation)} ({strength_in_words(match)})"


def together(diagnosis: Diagnosis) -> str:
    """Name the two operations of a pair; empty where there is none."""
    return _(" and ").join(_(each.operation) for each in diagnosis.pair)


def cause_named(diagnosis: Diagnosis) -> str:
    """Name the cause in a word or two."""
    if not diagnosis.claimed:
        return cause_in_a_word(diagnosis.cause)
    return together(diagnosis) or _(diagnosis.family or diagnosis.operation or "claimed")


def cause_in_a_word(cause: Cause) -> str:
    """Name what errors are put down to where no cause is claimed."""
    return _(NAMED_CAUSES.get(cause, "none claimed"))


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
    said = [_("No cause is claimed.")]
    if diagnosis.matches and diagnosis.doubts:
        best = diagnosis.matches[0]
        named = _with_strength(best) if best.strength else _(best.operation)
        nearest = _("The nearest operation is {operation}, but {against}.")
        said.append(nearest.format(operation=named, against=_against(diagnosis)))
    said.append(_advice(diagnosis))
    return sentences(said)


def _against(diagnosis: Diagnosis) -> str:
    """What speaks most against the nearest account, without numbers: they stand among the reasons."""
    return _(AGAINST[diagnosis.doubts[0].kind])


def _advice(diagnosis: Diagnosis) -> str:
    return _(ADVICE.get(diagnosis.cause, ADVICE_UNKNOWN))


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
    equals = [_with_strength(each) for each in diagnosis.matches if each.alternative]
    *others, last = [_with_strength(best), *equals]
    named = _("{others} or {last}").format(others=_(", ").join(others), last=last) if others else last
    explains = (
        _("{meaning}: {named}. The first explains {share} of what moved the blamed filters.")
        if equals
        else _("{meaning}: {named}. It explains {share} of what moved the blamed filters.")
    )
    said = [
        explains.format(meaning=capital(_(diagnosis.meaning)), named=named, share=percent(best.share)),
        _nearer_sentence(diagnosis),
    ]
    if equals:
        said.append(_("These errors do not tell which of them it is; the recipe holds each."))
    if diagnosis.measured:
        beside = _(
            "The {measured} measured on one half of the errors explains the other half as well, and goes "
            "into the recipe beside it."
        )
        said.append(beside.format(measured=_(diagnosis.measured)))
    return sentences(said)


def _pair_sentence(diagnosis: Diagnosis) -> str:
    best = diagnosis.matches[0]
    both = _(" and ").join(_with_strength(each) for each in diagnosis.pair)
    said = _(
        "Two changes at once: {both} together explain {share} of what moved the blamed filters; {best}, "
        "which explains most alone, {alone}."
    ).format(both=both, share=percent(diagnosis.share), best=_(best.operation), alone=percent(best.share))
    return sentences([said, _nearer_sentence(diagnosis)])


def _measured_sentence(diagnosis: Diagnosis) -> str:
    said = _(
        "{family}, measured on the errors themselves: the {measured} measured on one half of them explains "
        "{share} of what moved the blamed filters of the other half. The best operation of the catalogue, "
        "{operation}, explains {nearest}."
    ).format(
        family=capital(_(diagnosis.family or "claimed")),
        measured=_(diagnosis.measured or "claimed"),
        share=percent(diagnosis.share),
        operation=_(diagnosis.matches[0].operation),
        nearest=percent(diagnosis.nearest_operation_share or 0),
    )
    return sentences([said, _nearer_sentence(diagnosis)])


def _nearer_sentence(diagnosis: Diagnosis) -> str:
    if diagnosis.nearer_share is None:
        return ""
    return _(
        "{share} of the errors look more like a reference image of their class under this change than like "
        "any as it is."
    ).format(share=percent(diagnosis.nearer_share))


def sentences(said: Iterable[str]) -> str:
    """Sentences one after the other: with a blank between them, where the language has blanks."""
    return _(" ").join(each for each in said if each)


def set_aside_in_words(reason: str) -> str:
    """Why a row is set aside; of a reason that this version does not know its name."""
    return _(SET_ASIDE.get(reason, reason))


def capital(text: str) -> str:
    """The text as a sentence begins."""
    return text[:1].upper() + text[1:]


def said(diagnosis: Diagnosis) -> str:
    """What a diagnosis claims, in the present language.

    In English as an earlier version has written it, where it kept no more than that.
    """
    in_parts = diagnosis.meaning or diagnosis.measured_alone if diagnosis.claimed else diagnosis.doubts
    return sentence(diagnosis) if in_parts or language() != ENGLISH else diagnosis.sentence


def reasons(diagnosis: Diagnosis) -> tuple[str, ...]:
    """Why nothing is claimed, in the present language; as an earlier version has written it likewise."""
    return tuple(doubt_in_words(each) for each in diagnosis.doubts) or diagnosis.reasons


def doubt_in_words(doubt: Doubt) -> str:
    """Say what speaks against an account, with what was found and what is needed."""
    two = len(doubt.named) > 1
    subject = _(" and ").join(_("“{name}”").format(name=_(name)) for name in doubt.named)
    if two:
        subject = _("{both} together").format(both=subject)
    if doubt.measured:
        measured = _(" and ").join(_(name) for name in doubt.named)
        subject = _("the {measured} measured on one half of the errors").format(measured=measured)
    return _(DOUBTS[doubt.kind]).format(
        subject=subject,
        s="s" if language() == ENGLISH and not two else "",  # the verb's ending
        found=doubt.found,
        needed=doubt.needed,
        share=percent(doubt.found),
        floored=percent(max(doubt.found, 0)),
        least=percent(doubt.needed),
        errors=doubt.errors,
        amount=f"{doubt.found:.3g} {_(doubt.unit)}".rstrip(),
    )


SET_ASIDE = {
    "malformed": "no row of the log's table",
    "not_verified": "no verdict by an operator yet",
    "unknown_class": "a label that is no class of the model",
    "missing_image": "the image is not there",
    "unreadable_image": "the image cannot be read",
    "hash_mismatch": "the image is not the one that was inspected",
    "conflicting": "rows of one image contradict each other",
    "superseded": "a later verdict says otherwise",
    "not_an_error": "the model was right",
    "undecided": "the model left the part to a person",
    "duplicate": "a row says the same again",
    "not_reproduced": "the model does not make this error again",
}
"""Why a row is set aside, by `defect_log.REASONS`."""


DOUBTS = {
    DoubtKind.TOO_FEW_ERRORS: "{found} errors are too few: {needed} are needed",
    DoubtKind.NO_STRENGTH: "{subject} explain{s} nothing at any strength",
    DoubtKind.UNCHANGED: "of what the reference images nearest to these errors, as they are, leave "
    "unexplained, {subject} explain{s} {floored}; {least} is needed",
    DoubtKind.BASELINE_ERRORS: "of what the errors that the model makes without any change leave "
    "unexplained, {subject} explain{s} {floored}; {least} is needed",
    DoubtKind.PLACE: "{subject} change{s} other places of an image than those that changed on these errors: "
    "patch by patch, reference images under it are no nearer to them than reference images as they are",
    DoubtKind.NOT_NEARER: "{subject} explain{s} what sets {found} of {errors} errors apart from the "
    "reference images as they are, of their own classes and of those they were taken for; more than "
    "{least}, beyond chance, are needed",
    DoubtKind.HARMLESS: "under {subject} the model gets {found} of {errors} reference images right, those "
    "most like these errors: most have to fail, and more than do as they are",
    DoubtKind.NEW: "{found} of {errors} errors hold patches that no reference image has under {subject} "
    "either, of any class: they differ in something else, too",
    DoubtKind.BLAMED_SHARE: "{subject} explain{s} {share} of what moved the blamed filters; "
    "{least} is needed",
    DoubtKind.OVERALL_SHARE: "over all filters alike {subject} explain{s} only {share}, and {least} "
    "is needed: a change of the image moves every filter, not only those that fooled the model",
    DoubtKind.LOOK_SHARE: "{subject} explain{s} {floored} of how the images themselves look (brightness, "
    "its place, spectrum, tones, lines); {least} is needed",
    DoubtKind.CHANCE: "logs without a change reach {least} by chance",
    DoubtKind.FAINT: "the fitted strength, {amount}, is below {needed:g}, the least that can be "
    "distinguished from the parts' own variation",
    DoubtKind.MEASURED_SHARE: "{subject} explain{s} {share} of the evidence of the other half; "
    "{least} is needed",
    DoubtKind.MEASURED_VIEW: "{subject} explain{s} {share} of it in one of three views; {least} is "
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
    of = _(check.images_of)
    if check.class_name:
        of = _("{images}, class {name}").format(images=of, name=check.class_name)
    if check.passed is None and not check.images:
        more = (
            _("; about {count:,} would be enough").format(count=check.more_images)
            if check.more_images
            else ""
        )
        return _("{images}: no image to judge by").format(images=of) + more
    if check.kind is CheckKind.ESCAPES:
        found = _("{before} of {defects} passed as good before, {after} after").format(
            before=check.before, defects=plural(check.images, "defect"), after=check.after
        )
    elif check.kind is CheckKind.OVERKILLS:
        found = _("{before} of {parts} rejected before, {after} after").format(
            before=check.before, parts=plural(check.images, "good part"), after=check.after
        )
    else:
        said = (
            _("{before} of {count} right by further training alone, {after} after this")
            if check.kind is CheckKind.CONTROL
            else _("{before} of {count} right before, {after} after")
        )
        found = said.format(before=check.before, count=check.images, after=check.after)
    if check.by_chance and check.kind not in (CheckKind.ESCAPES, CheckKind.OVERKILLS):
        found += f" ({p_value(check.p_value)})"
    return _("{images}: {found}").format(images=of, found=found) + _what_it_takes(check)


def _what_it_takes(check: GateCheck) -> str:
    if check.passed:
        return ""
    more = ""
    if check.more_images:
        more = _("; about {count:,} more such images would tell").format(count=check.more_images)
    if check.kind in (CheckKind.REPAIR, CheckKind.CONTROL):
        unlike = (
            _("; too few to tell a repair from chance (p of {needed:g} is needed)")
            if check.passed is None
            else _("; no repair beyond chance (p of {needed:g} is needed)")
        )
        return unlike.format(needed=check.needed) + more
    escapes = check.kind is CheckKind.ESCAPES
    if check.by_chance and escapes:
        beyond = _("; that is beyond the {share} that pass as it is, and beyond chance")
        return beyond.format(share=percent(check.needed))
    if check.kind is CheckKind.OVERKILLS:
        beyond = _("; that is beyond the {share} that are rejected as it is, and beyond chance")
        return beyond.format(share=percent(check.needed))
    if check.by_chance and check.after < LEAST_KEPT * check.before:
        return _("; more than half of this class is lost")
    if check.by_chance and check.passed is None:
        unsure = _("; this class is told from the others less surely than before, which may be chance")
        return unsure + more
    if check.by_chance:
        return _("; this class is told from the others less surely than before, beyond chance")
    accepted = (
        _("; at most {share} may come to pass") if escapes else _("; at most {share} may be lost")
    ).format(share=percent(check.needed))
    return accepted + (_(", which may be chance") + more if check.passed is None else "")


def gate_reasons(done: Retraining) -> tuple[str, ...]:
    """What decided a retraining, in the present language; English as it was written then."""
    if language() == ENGLISH or not done.checks:
        return tuple(retold(reason) for reason in done.reasons)
    against = [check_in_words(check) for check in done.checks if check.passed is not True]
    repair = (CheckKind.REPAIR, CheckKind.CONTROL)
    return tuple(against) or tuple(check_in_words(each) for each in done.checks if each.kind in repair)


def harm_in_words(result: ArmResult) -> str:
    """Say what an arm harms beyond chance: the first of it, and how much more; empty where it is none."""
    against = [check_in_words(check) for check in result.harm]
    more = _(" (and {count} more)").format(count=len(against) - 1) if len(against) > 1 else ""
    return f"{against[0]}{more}" if against else ""


def filters_in_words(filters: Sequence[FilterAfter]) -> str:
    """Say whether the energies of the blamed filters came back towards normal."""
    back = [each for each in filters if abs(each.after) < abs(each.before)]
    before, after = (
        sum(abs(shift) for shift in shifts) / len(filters)
        for shifts in ([each.before for each in filters], [each.after for each in filters])
    )
    return _(
        "Blamed filters: {count} of {filters} came nearer to normal on these errors (mean distance "
        "{before:.1f} sigma before, {after:.1f} after)"
    ).format(count=len(back), filters=len(filters), before=before, after=after)


def suspects_in_words(mode: FailureMode) -> str:
    """Say how many labels of a failure mode are suspect, by which signs, and how many will be wrong."""
    expected = min((each.score for each in mode.suspects), default=0.0)
    if expected < tuning.SUSPECT_PRECISION:
        return _(SUSPECTS_UNTESTED)
    count = _("{listed:,} of {labels}").format(
        listed=len(mode.suspects), labels=plural(len(mode.errors), "label")
    )
    return _(SUSPECTS).format(count=count, expected=percent(expected))


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
    return _(CAUSES[cause])


def trend_in_short(mode: FailureMode) -> str:
    """Say in a few words how a failure mode goes from night to night: `growing from 12 to 31`."""
    if mode.trend in (Trend.NEW, Trend.STEADY):
        return _(mode.trend.value)
    said = _("{trend} from {before} to {now}")
    return said.format(trend=_(mode.trend.value), before=mode.previous_errors, now=len(mode.errors))


def trend_in_words(mode: FailureMode) -> str:
    """Say against which night that is, and what it rests on."""
    if mode.trend is Trend.NEW or mode.previous_errors is None:
        return _("no earlier night of this model is known to have it")
    said = (
        _(
            "{before} on the last night that had it, {now} now: its share of the night’s errors has not "
            "changed beyond chance"
        )
        if mode.trend is Trend.STEADY
        else _(
            "{before} on the last night that had it, {now} now: its share of the night’s errors has changed "
            "beyond chance"
        )
    ).format(before=plural(mode.previous_errors, "error"), now=len(mode.errors))
    return said + (_("; first found as {lineage}").format(lineage=mode.lineage) if mode.lineage else "")


def all_errors(night: Night) -> tuple[LoggedError, ...]:
    """Return every error of the night, those of its failure modes first."""
    return tuple(error for mode in night.modes for error in mode.errors) + night.unclustered


def kinds(errors: Iterable[LoggedError]) -> str:
    """Count errors by kind, in words: `21 escapes, 1 overkill and 0 confusions`."""
    counted = Counter(error.kind for error in errors)
    escapes, overkills, confusions = (plural(counted[kind], kind.value) for kind in ErrorKind)
    said = _("{escapes}, {overkills} and {confusions}")
    return said.format(escapes=escapes, overkills=overkills, confusions=confusions)


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
    return _("; ").join(
        f"{_(name.replace('_', ' '))} "
        + _(", ").join(listed)
        + (", ..." if len(values) > MOST_ORIGINS else "")
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
        compared = _(", ").join(dict.fromkeys(origin_named(each) for each in affected))
        return _("nothing stands out ({compared})").format(compared=compared) if compared else ""
    everywhere = [each for each in claims if each.all_of_mode]
    partly = [_partly_shared(each) for each in claims if not each.all_of_mode]
    told = [_("all {shared}").format(shared=_shared(everywhere))] if everywhere else []
    return _("; ").join([*told, *partly[:MOST_ORIGINS], *(["..."] if len(partly) > MOST_ORIGINS else [])])


def _shared(claims: Sequence[Affected]) -> str:
    """`from line L3, camera 2, with lighting ring, since 03:10`, in the order given."""
    links = ["" if each.since else "with" if each.origin in SETTINGS else "from" for each in claims]
    before = ["", *links]
    said = {"": "{what}", "from": _("from {what}"), "with": _("with {what}")}
    names = [
        affected_value(each) if each.since else f"{origin_named(each)} {affected_value(each)}"
        for each in claims
    ]
    return _(", ").join(
        said["" if link == last else link].format(what=name)
        for link, last, name in zip(links, before, names, strict=False)
    )


def _partly_shared(claim: Affected) -> str:
    others = (
        _("{errors} of {all} {shared} (other parts inspected: {others} of {of})")
        if claim.right_parts
        else _("{errors} of {all} {shared} (other errors: {others} of {of})")
    )
    return others.format(
        errors=claim.errors,
        all=claim.of_mode,
        shared=_shared([claim]),
        others=claim.others,
        of=claim.of_others,
    )


def origin_named(affected: Affected) -> str:
    """Name what was compared: `part number`, `time`."""
    return _("time") if affected.since else _(affected.origin.replace("_", " "))


def affected_value(affected: Affected) -> str:
    """Name the value that errors share: `2`, or `since 03:10` by the log's own clock.

    The day is told where the time may be meant of more than one.
    """
    if affected.since is None:
        return affected.value
    zone = timezone(timedelta(minutes=affected.utc_offset or 0))
    day = "" if affected.until and affected.until - affected.since < timedelta(days=1) else "%Y-%m-%d "
    when = f"{affected.since.astimezone(zone):{day}%H:%M}{_clock(affected.utc_offset)}"
    return _("since {when}").format(when=when)


def _clock(offset: int | None) -> str:
    """Name a clock by its offset in minutes: ` UTC`, ` +09:00`; empty where the log gives none."""
    if not offset:
        return "" if offset is None else f"{NBSP}UTC"
    hours, minutes = divmod(abs(offset), 60)
    return f"{NBSP}{'+' if offset > 0 else MINUS}{hours:02d}:{minutes:02d}"


def context_in_words(error: LoggedError) -> str:
    """What the log says of one error beside its labels, in a line."""
    context = error.context
    named = [(_(name.replace("_", " ")), getattr(context, name)) for name in (*ORIGINS, "serial")]
    told = [f"{name} {value}" for name, value in named if value]
    return _(", ").join([moment(context.captured_at), *told] if context.captured_at else told)


def withheld_reason(rate: FlipRate) -> str:
    """Say why a layer's finding is withheld."""
    gain = interval(rate.gain_lower, rate.gain_upper)
    return _(
        "patching the {k} most blamed filters of {layer} turns {share} of the errors right, the better "
        "control {control}; the 95\u00a0% interval of the gain, {gain}, does not lie above zero"
    ).format(
        k=rate.k,
        layer=rate.layer,
        share=percent(rate.blame),
        control=percent(rate.better_control),
        gain=gain,
    )


def no_recipe_reason(mode: FailureMode) -> str:
    """Say why a failure mode has no recipe."""
    if mode.diagnosis.claimed:
        return _("A cause is claimed, but the night wrote no recipe for it.")
    why = _("; ").join(reasons(mode.diagnosis)) or _("the night gives no reason")
    said = _("No cause is claimed, so there is nothing to make the model immune to: {why}.")
    return said.format(why=why)


def prose(text: str) -> Markup:
    """Set what stands between backticks in a message as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def setting_rows(settings: Mapping[str, object], table: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted key, value) of nested settings, in their order."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from setting_rows(value, f"{table}{key}.")
        else:
            yield f"{table}{key}", _("none") if value in ({}, [], "", None) else str(value)


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
    known = SAID.get((match.family, match.unit)) or SAID.get(("", match.unit))
    if known is None:
        return amount_in_words(match)
    text, amount = known
    return _(text).format(amount=amount(match.strength))


def amount_in_words(match: OperationMatch) -> str:
    """The strength in its unit: `0.5 stops`."""
    if language() == ENGLISH or not match.unit:
        return match.amount
    return f"{match.strength:.3g} {_(match.unit)}"


def _part(share: float) -> str:
    """A share as a fraction with a name, or as a percentage."""
    near = [name for value, name in FRACTIONS.items() if abs(share - value) <= NEAR]
    return _(near[0]) if near else percent(share)


def _defect_contrast(lost: float) -> str:
    left = 1 - lost
    if abs(left) <= NEAR:
        return _("nothing of the defect's contrast left")
    said = _("{part} of the defect's contrast") if left > 0 else _("reversed, at {part} of the contrast")
    return said.format(part=_part(abs(left)))


def _counted(amount: float, word: str) -> str:
    """`1 stop`, `0.5 stops`."""
    written = f"{amount:.2g}"
    one, many = COUNTED[word]
    return ngettext(one, many, 1 if written == "1" else 2).format(count=written)


COUNTED = {"stop": ("{count} stop", "{count} stops"), "pixel": ("{count} pixel", "{count} pixels")}


def _grey_levels(share: float) -> str:
    levels = 255 * share
    return f"{levels:.0f}" if levels >= 10 else f"{levels:.2g}"


SAID: dict[tuple[str, str], tuple[str, Callable[[float], object]]] = {
    ("darker", "stops"): ("{amount} of the light", lambda s: percent(2**-s)),
    ("brighter", "stops"): ("{amount:.3g} times the light", lambda s: 2**s),
    ("side light", "stops"): ("{amount} of the light on the far side", lambda s: percent(2**-s)),
    ("vignette", "stops"): ("{amount} of the light in the corners", lambda s: percent(2**-s)),
    ("shadow", "stops"): ("{amount} of the light in the shade", lambda s: percent(2**-s)),
    ("background", "stops"): ("by {amount}", lambda s: _counted(s, "stop")),
    ("defect edges", "pixels (sigma)"): ("over {amount}", lambda s: _counted(s, "pixel")),
    ("", "doublings of gamma"): ("a gamma of {amount:.3g}", lambda s: 2**s),
    ("", "halvings of gamma"): ("a gamma of {amount:.2g}", lambda s: 2**-s),
    ("", "of the contrast lost"): ("{amount} of the contrast", lambda s: _part(1 - s)),
    ("", "of the contrast added"): ("{amount:.2g} times the contrast", lambda s: 1 + s),
    ("", "of the defect's contrast lost"): ("{amount}", _defect_contrast),
    ("", "of the defect's contrast added"): ("{amount:.2g} times the defect's contrast", lambda s: 1 + s),
    ("", "of the saturation lost"): ("{amount} of the saturation", lambda s: _part(1 - s)),
    ("", "of the light that shows nothing"): ("{amount} of the light shows nothing", lambda s: percent(s)),
    ("", "of full scale"): ("{amount} of 255 grey levels", lambda s: _grey_levels(s)),
    ("", "of full scale on white"): ("{amount} of 255 grey levels on white", lambda s: _grey_levels(s)),
    ("", "of the area"): ("{amount} of the area", lambda s: percent(s)),
    ("", "of the pixels"): ("{amount} of the pixels", lambda s: percent(s)),
    ("", "of the shorter side"): ("by {amount} of the image", lambda s: percent(s)),
    ("", "of the size added"): ("{amount} larger", lambda s: percent(s)),
    ("", "of the size lost"): ("{amount} smaller", lambda s: percent(s)),
    ("", "of the pixels along a side lost"): ("{amount} of the resolution", lambda s: percent(1 - s)),
    ("", "points of quality below 100"): ("a quality of {amount:.0f}", lambda s: 100 - s),
    ("", "times the normal light"): ("{amount:.2g} times the normal light on top", lambda s: s),
    ("", "pixels (sigma) at the far side"): (
        "a blur of {amount} at the far side",
        lambda s: _counted(s, "pixel"),
    ),
    ("", "pixels (sigma)"): ("a blur of {amount}", lambda s: _counted(s, "pixel")),
    ("", "pixels (radius)"): ("a blur of {amount}", lambda s: _counted(s, "pixel")),
    ("", "pixels"): ("over {amount}", lambda s: _counted(s, "pixel")),
}


# --- numbers as people write them ---

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
NOUNS = {
    "error": ("{count}\u00a0error", "{count}\u00a0errors"),
    "escape": ("{count}\u00a0escape", "{count}\u00a0escapes"),
    "overkill": ("{count}\u00a0overkill", "{count}\u00a0overkills"),
    "confusion": ("{count}\u00a0confusion", "{count}\u00a0confusions"),
    "defect": ("{count}\u00a0defect", "{count}\u00a0defects"),
    "good part": ("{count}\u00a0good part", "{count}\u00a0good parts"),
    "filter": ("{count}\u00a0filter", "{count}\u00a0filters"),
    "label": ("{count}\u00a0label", "{count}\u00a0labels"),
    "logged image": ("{count}\u00a0logged image", "{count}\u00a0logged images"),
    "operation": ("{count}\u00a0operation", "{count}\u00a0operations"),
    "row": ("{count}\u00a0row", "{count}\u00a0rows"),
}


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
    return _("{lower} to {upper}\u00a0points").format(lower=points(lower), upper=points(upper))


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
    """Write a count with its noun, one of NOUNS: `1 error`, `1,351 errors`."""
    return ngettext(*NOUNS[word], count).format(count=f"{count:,}")


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
    """Write a time by this machine's clock, to the minute: the plant's, or what TZ says."""
    local = when.astimezone()
    return f"{local:%Y-%m-%d %H:%M}{NBSP}{local:%Z}"


def reach(share: float) -> str:
    """Write a share as the length of a bar, 0 to 100 %."""
    return f"{100 * min(max(0.0, share), 1.0):.1f}%"


def _minus(text: str) -> str:
    """Set a true minus sign, none before a zero, and a dash for what is not a number."""
    if "nan" in text:
        return "–"
    text = text.lstrip("-") if not text.strip("-0.") else text
    return text.replace("-", MINUS)


# --- what experts call textures, and what recipes do ---

Names = Mapping[str, Sequence[FilterName]]
"""What experts have called the textures of filters, by `layer:channel`, newest first."""


def texture_named(filter_: str, names: Names) -> str:
    """What the texture of a filter is called now; empty where nobody has named it."""
    given = names.get(filter_)
    return given[0].name if given else ""


def recipe_in_words(recipe: RecipeFile, names: Names) -> str:
    """Say what a recipe does: its operations, their ranges and the share of images.

    Of an earlier version's recipe as it was written then.
    """
    if not recipe.steps or recipe.share is None:
        return recipe.summary
    changes = _(", then ").join(
        _(" or ").join(_step_in_words(step, names) for step in group) for group in recipe.steps
    )
    share = f"{100 * recipe.share:.4g}{NBSP}%"
    return _("{changes}, on {share} of the images").format(changes=changes, share=share)


def _step_in_words(step: RecipeStep, names: Names) -> str:
    lowest, highest = f"{step.lowest:.3g}", f"{step.highest:.3g}"
    between = (
        lowest if lowest == highest else _("{lowest} to {highest}").format(lowest=lowest, highest=highest)
    )
    unit = _(step.unit) if step.unit else _("times as found")
    said = _("{operation} {range} {unit}").format(operation=_(step.operation), range=between, unit=unit)
    if not step.filters:
        return said
    filters = _(", ").join(filter_in_words(each, names) for each in step.filters)
    return _("{texture} (of {filters})").format(texture=said, filters=filters)


def filter_in_words(filter_: str, names: Names) -> str:
    """Name a filter with what its texture is called: `layer2:17 “roller marks”`."""
    named = texture_named(filter_, names)
    return f"{filter_} {_('“{name}”').format(name=named)}" if named else filter_


# --- what a filter's primitives show ---

FINE, COARSE = 4, 10  # pixels of the model's input, of what comes again


def pattern_words(pattern: Pattern) -> str:
    """The pattern of a filter's primitives: "fine bright lines, 4 px apart, 60 degrees".

    Fine is up to 4 pixels, coarse 10 and more, of the model's input; bright or dark where the brightness is
    skewed by a half or more; lines keep to one direction by 0.4 and more, marks are fewer and stronger than
    noise has them (a kurtosis of 4 and more).
    """
    tone = _("bright") if pattern.polarity >= 0.5 else _("dark") if pattern.polarity <= -0.5 else ""
    lines = pattern.directedness >= 0.4
    form = _("lines") if lines else _form(pattern)
    words = [reduce(_before, filter(None, [_size(pattern.wavelength), tone, form]))]
    if not math.isnan(pattern.wavelength):
        millimetres = pattern.wavelength * pattern.mm_per_pixel
        length = f"{pattern.wavelength:.0f} px" + (f" ({millimetres:.2g} mm)" if millimetres else "")
        repeated = lines or pattern.regularity >= 0.2
        said = _("{length} apart") if repeated else _("about {length} in size")
        words.append(said.format(length=length))
    if lines and not math.isnan(pattern.direction):
        words.append(_("{angle} degrees").format(angle=f"{pattern.direction:.0f}"))
    return _(", ").join(words)


def _form(pattern: Pattern) -> str:
    if pattern.peakedness >= 4:
        return _("specks")
    return _("grain") if pattern.wavelength <= FINE else _("mottle")


def _before(first: str, second: str) -> str:
    return _("{first} {second}").format(first=first, second=second)


def _size(wavelength: float) -> str:
    if math.isnan(wavelength):
        return _("flat")
    return _("fine") if wavelength <= FINE else _("coarse") if wavelength >= COARSE else ""


FILTERS: dict[str, Callable[..., object]] = {
    "affected_in_words": affected_in_words,
    "affected_value": affected_value,
    "all_errors": all_errors,
    "amount": amount_in_words,
    "came_back": filters_in_words,
    "cause_in_a_word": cause_in_a_word,
    "cause_in_words": cause_in_words,
    "cause_named": cause_named,
    "causes": causes,
    "context_in_words": context_in_words,
    "duration": duration,
    "filter_in_words": filter_in_words,
    "gate_reasons": gate_reasons,
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
    "recipe_in_words": recipe_in_words,
    "set_aside_in_words": set_aside_in_words,
    "setting_rows": setting_rows,
    "signed": signed,
    "strength_in_words": strength_in_words,
    "suspects_in_words": suspects_in_words,
    "texture_named": texture_named,
    "together": together,
    "trend_in_short": trend_in_short,
    "reasons": reasons,
    "retold": retold,
    "said": said,
    "trend_in_words": trend_in_words,
    "withheld_reason": withheld_reason,
}
