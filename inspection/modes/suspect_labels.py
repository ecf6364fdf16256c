"""Suspect labels: errors where the operator's label, rather than the model, is wrong by several signs."""

from collections.abc import Sequence

from inspection.evidence.case import Case
from inspection.evidence.wrong_labels import any_suspicious, find_evidence
from inspection.findings import LoggedError, SuspectLabel


def suspect_labels(case: Case, errors: Sequence[LoggedError]) -> tuple[SuspectLabel, ...]:
    """The suspect labels of a failure mode, most suspect first; often none.

    `errors` are those of the case, in order.

    Whether a cause is claimed for the errors does not matter: among those of a fault some may be mislabelled.
    The score is the share expected to be wrong of the errors down to this one.
    """
    if not any_suspicious(case):
        return ()
    evidence = find_evidence(case)
    return tuple(
        SuspectLabel(
            inspection_id=errors[row].inspection_id,
            image_path=errors[row].image_path,
            picture=errors[row].picture,
            true_label=errors[row].true_label,
            suggested_label=errors[row].predicted_label,
            score=float(expected),
        )
        for row, expected in zip(evidence.listed, evidence.expected, strict=True)
    )
