"""The diagnosis of a failure mode: the operation that explains its shift, or why none is claimed."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fmi_engine.response import blame_weights, explained_share, match, observed_shift, shift_at
from fmi_engine.types import FloatArray, Screening
from inspection.findings import Diagnosis, OperationMatch
from inspection.operations import find_operation
from inspection.responses import ResponsePath, Responses
from inspection.subject import Subject

CONTROL_LOGS = 200  # logs without a fault, drawn for the control of the explained share
CONTROL_QUANTILE = 0.95
NOISE = 0.005  # shares are not told apart more finely


def diagnose(
    subject: Subject, screening: Screening, images: NDArray[np.uint8], responses: Responses
) -> Diagnosis:
    """Name the operation that explains most of the errors' shift, or say why none is claimed.

    `images` are the errors of the screening, in order. Three explained shares have to be high: that of
    the shift weighted by blame, that of all filters alike, and that of the images' own look.
    """
    weights = blame_weights(screening, subject.layer_names)
    matches = _ranked(subject, _matches(subject, screening, images, responses, weights))
    control = _control_share(subject, screening.true, responses, weights)
    return _diagnosis(matches, control, _doubts(subject, len(images), matches[0], control))


def _matches(
    subject: Subject,
    screening: Screening,
    images: NDArray[np.uint8],
    responses: Responses,
    weights: FloatArray,
) -> list[OperationMatch]:
    observed = observed_shift(screening, subject.reference, subject.layer_names)
    look = subject.looks.standardise(images, screening.true).mean(0)
    filters, looks = responses.of_filters(screening.true), responses.of_looks(screening.true)
    return [
        OperationMatch(
            operation=each.operation,
            family=find_operation(each.operation).family,
            strength=each.strength,
            unit=find_operation(each.operation).unit,
            share=each.share,
            overall_share=_share_at(each.strength, observed, filters[each.operation]),
            look_share=_share_at(each.strength, look, looks[each.operation]),
        )
        for each in match(observed, filters, weights)
    ]


def _share_at(strength: float, observed: FloatArray, path: ResponsePath) -> float:
    return explained_share(observed, shift_at(strength, *path), np.ones_like(observed))


def _ranked(subject: Subject, matches: list[OperationMatch]) -> tuple[OperationMatch, ...]:
    """Best first; among those that the blamed filters cannot tell apart, all three shares decide.

    Alternatives are those that neither the filters nor the look of the images tell from the best.
    """
    settings = subject.settings.matching
    near = [each for each in matches if each.share >= matches[0].share - settings.alternative_margin]
    best = min(near, key=_unexplained)
    alike = [
        replace(each, alternative=each.look_share >= best.look_share - settings.look_margin)
        for each in sorted(near, key=_unexplained)
        if each is not best
    ]
    return best, *alike, *matches[len(near) :]


def _unexplained(match: OperationMatch) -> float:
    """The product of what the three shares leave over; differences below half a percent are noise."""
    left = [max(1 - share, NOISE) for share in (match.share, match.overall_share, match.look_share)]
    return left[0] * left[1] * left[2]


def _control_share(
    subject: Subject, true: NDArray[np.int64], responses: Responses, weights: FloatArray
) -> float:
    """The explained share that logs of as many correct images, without any fault, reach by chance."""
    rng = np.random.default_rng(subject.settings.compute.seed)
    induced = responses.of_filters(true)
    draws = rng.integers(0, len(responses.labels), (CONTROL_LOGS, min(len(true), 1000)))
    shares = [match(responses.energies[draw].mean(0), induced, weights)[0].share for draw in draws]
    return float(np.quantile(shares, CONTROL_QUANTILE))


def _doubts(subject: Subject, errors: int, best: OperationMatch, control: float) -> tuple[str, ...]:
    settings = subject.settings.matching
    smallest = find_operation(best.operation).grid[0]
    doubts = []
    if errors < settings.fewest_errors:
        doubts.append(f"{errors} errors are too few: {settings.fewest_errors} are needed")
    if best.share < settings.claim_share:
        doubts.append(
            f"the best operation, {best.operation}, explains {best.share:.0%} of the shift; "
            f"{settings.claim_share:.0%} is needed"
        )
    if best.overall_share < settings.overall_share:
        doubts.append(
            f"over all filters alike {best.operation} explains only {best.overall_share:.0%}, and "
            f"{settings.overall_share:.0%} is needed: a change of the image moves every filter, not only "
            "those that fooled the model"
        )
    if best.look_share < settings.look_share:
        doubts.append(
            f"{best.operation} explains {max(best.look_share, 0):.0%} of how the images themselves look "
            f"(brightness, spectrum by scale and direction); {settings.look_share:.0%} is needed"
        )
    if best.share <= control:
        doubts.append(f"logs without a fault reach {control:.0%} by chance")
    if best.strength < smallest:
        doubts.append(
            f"the fitted strength, {best.strength:.2g} {best.unit}, is below {smallest:g}, the least that "
            "is told from the parts' own variation"
        )
    return tuple(doubts)


def _diagnosis(matches: tuple[OperationMatch, ...], control: float, reasons: tuple[str, ...]) -> Diagnosis:
    best = matches[0]
    if reasons:
        sentence = (
            "No appearance cause is claimed: no operation of the catalogue explains these errors. Check "
            "the labels; if they are right, look for a texture that the catalogue does not hold, a new kind "
            "of defect, or parts that are simply hard."
        )
        return Diagnosis(False, sentence, None, None, None, None, best.share, matches, control, reasons)
    return Diagnosis(
        True,
        _sentence(matches),
        best.family,
        best.operation,
        best.strength,
        best.unit,
        best.share,
        matches,
        control,
    )


def _sentence(matches: tuple[OperationMatch, ...]) -> str:
    best = matches[0]
    meaning = find_operation(best.operation).meaning
    text = (
        f"{meaning[0].upper()}{meaning[1:]}: {best.operation} by {best.strength:.2g} {best.unit} explains "
        f"{best.share:.0%} of what moved the blamed filters."
    )
    others = [each.operation for each in matches if each.alternative]
    return f"{text} It cannot be told apart from: {', '.join(others)}." if others else text
