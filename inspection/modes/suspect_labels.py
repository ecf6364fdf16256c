"""Suspect labels: errors where the operator's label, rather than the model, may be wrong."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inspection.evidence.case import Case
from inspection.findings import Cause, Diagnosis, LoggedError, SuspectLabel

MOST = 20  # listed of one failure mode


def suspect_labels(
    case: Case, errors: Sequence[LoggedError], diagnosis: Diagnosis
) -> tuple[SuspectLabel, ...]:
    """The most suspect labels of a failure mode, most suspect first; none where its appearance explains it.

    `errors` are those of the case, in order. Confident learning (Northcutt, Jiang, Chuang, arXiv
    1911.00068; cleanlab) counts label errors from out-of-sample probabilities of all images, the right ones
    included. A night has only errors, so it cannot estimate how often each label is given wrongly: it takes
    the same paper's score for ranking images by themselves, the normalised margin.
    """
    if diagnosis.cause is Cause.APPEARANCE:
        return ()
    scores = suspicion(case)
    worst = np.argsort(-scores, kind="stable")[:MOST]
    return tuple(_suspect(errors[i], float(scores[i])) for i in worst)


def _suspect(error: LoggedError, score: float) -> SuspectLabel:
    return SuspectLabel(
        inspection_id=error.inspection_id,
        image_path=error.image_path,
        picture=error.picture,
        true_label=error.true_label,
        suggested_label=error.predicted_label,
        score=score,
    )


def suspicion(case: Case) -> NDArray[np.float64]:
    """How suspect the label of each error is (errors,), 0 to 1: margin times typicality.

    A network is surest of what lies far from all that it learned (Hein, Andriushchenko, Bitterwolf, arXiv
    1812.05720), so its confidence counts only as far as the image is a normal one of the predicted class.
    """
    return _normalised_margin(case) * _typicality(case)


def _normalised_margin(case: Case) -> NDArray[np.float64]:
    """p(predicted) - p(label): 0 is undecided, 1 is sure that the label is wrong."""
    batch_size = case.subject.settings.compute.batch_size
    probabilities = case.subject.classifier.predict(case.images, batch_size)
    rows = np.arange(len(case))
    margin = probabilities[rows, case.screening.predicted] - probabilities[rows, case.true]
    return np.maximum(margin.astype(np.float64), 0)


def _typicality(case: Case) -> NDArray[np.float64]:
    """How normal each image is among those of its predicted class (errors,): mean over layers and look.

    Of each, 1 / max(1, d), where d is the mean squared distance to the class's normal in sigma: about 1 for
    an image of that class.
    """
    predicted, subject = case.screening.predicted, case.subject
    reference, looks = subject.reference, subject.looks
    squared = [
        (reference.standardise(name, case.screening.energy[name], predicted).astype(np.float64) ** 2).mean(1)
        for name in subject.layer_names
    ]
    squared.append((looks.standardise(case.images, predicted).astype(np.float64) ** 2 * looks.weights).sum(1))
    return np.asarray((1 / np.maximum(squared, 1)).mean(0), np.float64)
