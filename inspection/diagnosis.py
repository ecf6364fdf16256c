"""The diagnosis of a failure mode: the operation that explains its shift, or why none is claimed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fmi_engine.response import blame_weights, explained_share, match, observed_shift, shift_at
from fmi_engine.types import FloatArray, Screening
from inspection.findings import Diagnosis, OperationMatch
from inspection.operations import find_operation
from inspection.responses import Responses
from inspection.subject import Subject

CONTROL_LOGS = 200  # logs without a fault, drawn for the control of the explained share
CONTROL_QUANTILE = 0.95


def diagnose(subject: Subject, screening: Screening, responses: Responses) -> Diagnosis:
    """Name the operation that explains most of the errors' shift, or say why none is claimed."""
    settings = subject.settings.matching
    names = subject.layer_names
    weights = blame_weights(screening, names)
    observed = observed_shift(screening, subject.reference, names)
    induced = responses.weighted(screening.true)
    found = match(observed, induced, weights)
    best = found[0].share
    matches = tuple(
        OperationMatch(
            operation=each.operation,
            family=find_operation(each.operation).family,
            strength=each.strength,
            unit=find_operation(each.operation).unit,
            share=each.share,
            overall_share=_overall_share(observed, induced[each.operation], each.strength),
            alternative=rank > 0 and each.share >= best - settings.alternative_margin,
        )
        for rank, each in enumerate(found)
    )
    control = _control_share(subject, screening.true, responses, weights)
    reasons = _doubts(subject, len(screening.true), matches[0], control)
    return _diagnosis(matches, control, reasons)


def _overall_share(
    observed: FloatArray, path: tuple[Sequence[float], Sequence[FloatArray]], strength: float
) -> float:
    return explained_share(observed, shift_at(strength, *path), np.ones_like(observed))


def _control_share(
    subject: Subject, true: NDArray[np.int64], responses: Responses, weights: FloatArray
) -> float:
    """The explained share that logs of as many correct images, without any fault, reach by chance."""
    rng = np.random.default_rng(subject.settings.compute.seed)
    induced = responses.weighted(true)
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
