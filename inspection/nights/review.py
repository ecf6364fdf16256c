"""A failure mode as its reviewer meets it: the cause as a title, what to check, and how sure that is."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from inspection.findings import Cause, Diagnosis, FailureMode, LoggedError
from inspection.language import gettext as _
from inspection.nights.phrases import capital, cause_in_a_word, percent, reasons, strength_in_words


class Sureness(StrEnum):
    """How sure a claimed cause is, by the signs that were looked for."""

    STRONG = "strong"  # every sign speaks for it, and nothing else explains as much
    FAIR = "fair"  # all but one
    WEAK = "weak"
    NONE = "none"  # nothing is claimed


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that speaks for a claim, or fails to."""

    holds: bool
    text: str


@dataclass(frozen=True, slots=True)
class HowSure:
    """How sure a finding is, and why."""

    grade: Sureness
    signs: tuple[Sign, ...]


def title(mode: FailureMode) -> str:
    """The cause as a title: `The light is dimmer: 45 % of the light`."""
    found = mode.diagnosis
    return cause_title(found) if found.claimed else unclaimed_title(found, confusions(mode.errors)[0][:2])


def cause_title(found: Diagnosis) -> str:
    """The same of a claimed cause."""
    if found.measured_alone or not found.matches:
        named = found.family or found.operation
        return capital(_(named)) if named else ""
    if found.pair:
        first, second = (_(each.operation) for each in found.pair)
        return _("Two changes at once: {first} and {second}").format(first=first, second=second)
    meaning = _(found.meaning) if found.meaning else _(found.matches[0].operation)
    return f"{capital(meaning)}: {strength_in_words(found.matches[0])}"


def unclaimed_title(found: Diagnosis, confusion: tuple[str, str]) -> str:
    """The title where no cause is claimed: `No cause claimed: scratch taken for good`."""
    return f"{capital(unclaimed(found))}: {confusion_in_words(*confusion)}"


def unclaimed(found: Diagnosis) -> str:
    """What errors are put down to where no cause is claimed."""
    return _("no cause claimed") if found.cause is Cause.UNKNOWN else _(cause_in_a_word(found.cause))


def confusions(errors: Sequence[LoggedError]) -> list[tuple[str, str, int]]:
    """What was taken for what: (true label, predicted label, errors), the most frequent first."""
    counted = Counter((error.true_label, error.predicted_label) for error in errors)
    return [(true, said, count) for (true, said), count in counted.most_common()]


def confusion_in_words(true: str, said: str) -> str:
    """`scratch taken for good`."""
    return _("{true} taken for {said}").format(true=true, said=said)


def to_check(diagnosis: Diagnosis) -> str:
    """What to look at on the line first; empty where the pictures say it better."""
    if not diagnosis.claimed:
        return _(UNCLAIMED[diagnosis.cause]) if diagnosis.cause in UNCLAIMED else ""
    return _(CHECKS[diagnosis.family]) if diagnosis.family in CHECKS else ""


# By family: where on the line such a change comes from.
CHECKS = {
    "darker": "Check the lamp, its supply and its window, then exposure, gain and gamma of the camera.",
    "brighter": "Check exposure, gain and gamma of the camera, then stray light and a replaced lamp.",
    "contrast": "Check for haze, stray light and a dirty lens, then the camera's contrast and sharpening.",
    "side light": "Check whether a lamp has moved, or one of several is out.",
    "vignette": "Check the lens hood, the aperture and the lamp's alignment.",
    "hot spot": "Check for a reflection: a bare lamp, a window, a wet or oily part.",
    "shadow": "Check what stands between lamp and part: a cable, a beam, a gripper.",
    "colour": "Check the lamp's colour and the camera's white balance.",
    "defocus": "Check focus and working distance, then the lens for dirt.",
    "motion blur": "Check exposure time and strobe against the speed of the line, then for vibration.",
    "noise": "Check the light first, then gain and temperature of the camera.",
    "compression": "Check how images are stored and sent: JPEG quality, resolution, bit depth.",
    "line pattern": "Check the camera's cable and supply for interference, and a line camera's calibration.",
    "dust": "Clean the lens and the part, and look for oil or coolant.",
    "texture": "Check material, supplier and lot: another finish, another roll, another tool.",
    "geometry": "Check the fixture and the trigger: where parts lie, and the camera's mount.",
    "defect contrast": "Check the lamp's angle and kind: defects stand out otherwise than before.",
    "defect edges": "Check focus and etching or cleaning: edges of defects look otherwise than before.",
    "defect size": "Check working distance and magnification, then whether defects really changed in size.",
    "background": "Check material and finish: the ground has changed, the defects have not.",
}
UNCLAIMED = {
    Cause.LABELS: "Look at these parts again: their labels are likely wrong.",
    Cause.INVISIBLE: "Check light, optics and focus: in most of these images the defect cannot be seen.",
    Cause.NEW_LOOK: "Look for a new kind of defect, material or product where the pictures are red.",
    Cause.UNKNOWN: "Look at the errors beside the reference images: the catalogue holds no change like this.",
}


def how_sure(mode: FailureMode) -> HowSure:
    """How sure a claim is: one sign for each question that was asked of it.

    Strong: all signs hold. Fair: one does not. Weak: more do not. What is claimed has passed its own tests
    (`inspection.causes.claim`); what may still fail is whether patching its filters mends more than patching
    others, and whether anything else explains these errors as well.
    """
    found = mode.diagnosis
    if not found.claimed:
        return HowSure(Sureness.NONE, tuple(Sign(False, reason) for reason in reasons(found)[:3]))
    signs = [_explains(found), *_looks_like(found), *_patched(mode), *_equals(found)]
    missing = sum(not sign.holds for sign in signs)
    grade = Sureness.STRONG if not missing else Sureness.FAIR if missing == 1 else Sureness.WEAK
    return HowSure(grade, tuple(signs))


def _explains(found: Diagnosis) -> Sign:
    explains = _("Explains {share} of what moved the blamed filters").format(share=percent(found.share))
    if found.control_share is None:
        return Sign(True, explains)
    control = _("logs without a change reach {share} by chance").format(
        share=percent(max(found.control_share, 0))
    )
    return Sign(found.share > found.control_share, f"{explains}; {control}")


def _looks_like(found: Diagnosis) -> list[Sign]:
    if found.nearer_share is None:
        return []
    text = _("{share} of the errors look more like a normal part under this change than like any as it is")
    return [Sign(True, text.format(share=percent(found.nearer_share)))]


def _patched(mode: FailureMode) -> list[Sign]:
    best = mode.best
    if best is None:
        return []
    text = _("Setting back {k} filters of {layer} mends {share}; the better control {control}")
    said = text.format(
        k=best.k, layer=best.layer, share=percent(best.blame), control=percent(best.better_control)
    )
    return [Sign(not best.withheld, said)]


def _equals(found: Diagnosis) -> list[Sign]:
    equals = [_(each.operation) for each in found.matches[1:] if each.alternative]
    if not equals or found.pair or found.measured_alone:
        return []
    named = _(", ").join([_(found.matches[0].operation), *equals[:2]])
    return [Sign(False, _("Open: these errors do not tell {named} apart").format(named=named))]


REVIEW: dict[str, Callable[..., object]] = {
    "cause_title": cause_title,
    "confusion": confusion_in_words,
    "confusions": confusions,
    "how_sure": how_sure,
    "to_check": to_check,
    "title_of": title,
    "unclaimed": unclaimed,
}
"""What templates may use of this, beside `phrases.FILTERS`."""
