"""Suspect labels: exchanged labels come before real errors."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from inspection.evidence.reproduced import ReproducedErrors, error_kind
from inspection.findings import Cause, LoggedError
from inspection.inputs.image_sets import read_image_set
from inspection.inputs.labelled import load_images
from inspection.inputs.sample_line import Camera, SampleLine, write_images
from inspection.modes.suspect_labels import MOST, suspect_labels, suspicion
from tests.inspection.conftest import DIMMED, SIZE

if TYPE_CHECKING:
    from inspection.evidence.case import Case
    from inspection.evidence.subject import Subject

pytestmark = pytest.mark.numeric

LINE = SampleLine(finish="brushed", size=SIZE)
EXCHANGED = 30


def rendered(
    subject: "Subject", line: SampleLine, folder: Path, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    """Images the model never saw, their labels, and which of them it gets wrong."""
    write_images(line, folder, per_class=16, seed=seed)
    found = read_image_set(folder)
    images = load_images([each.path for each in found], subject.classifier.preprocessing)
    labels = np.array([subject.model.class_names.index(each.label) for each in found])
    return images, labels, subject.classifier.predict(images).argmax(1) != labels


def mixed(subject: "Subject", line: SampleLine, folder: Path) -> tuple["Case", NDArray[np.bool_]]:
    """Real errors of a line, then correct images whose labels were exchanged; which are the latter."""
    from inspection.evidence.blame import screen
    from inspection.evidence.case import Case
    from tests.inspection.evidence.test_shift import empty_responses

    images, labels, wrong = rendered(subject, line, folder / "line", 9)
    clean, right, missed = rendered(subject, LINE, folder / "clean", 7)
    rng = np.random.default_rng(0)
    few = rng.permutation(np.flatnonzero(~missed))[:EXCHANGED]
    classes = len(subject.model.class_names)
    exchanged = (right[few] + rng.integers(1, classes, len(few))) % classes
    images = np.concatenate([images[wrong], clean[few]])
    true = np.concatenate([labels[wrong], exchanged])
    case = Case(subject, empty_responses(), screen(subject, images, true), images)
    return case, np.arange(len(true)) >= wrong.sum()


def logged(case: "Case") -> list[LoggedError]:
    """The errors as a log has them."""
    model, errors = case.subject.model, []
    for i, (true, predicted) in enumerate(zip(case.true, case.screening.predicted, strict=True)):
        label, said = model.class_names[true], model.class_names[predicted]
        kind = error_kind(label, said, model.good_classes)
        errors.append(LoggedError(i, f"i-{i}", f"/{i}.png", label, said, kind, 1.0, f"{i}.png"))
    return errors


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(LINE, id="hard parts"),
        pytest.param(LINE.aged(0.4), id="an aged lamp"),
        pytest.param(replace(LINE, camera=Camera(defocus=1.0)), id="defocus"),
        pytest.param(replace(LINE, camera=Camera(noise=0.08)), id="noise"),
        pytest.param(LINE.turned(180), id="a turned lamp"),
    ],
)
def test_exchanged_labels_come_before_real_errors(
    subject: "Subject", line: SampleLine, tmp_path: Path
) -> None:
    case, exchanged = mixed(subject, line, tmp_path)
    scores = suspicion(case)
    assert 0 <= scores.min() <= scores.max() <= 1
    assert roc_auc_score(exchanged, scores) > 0.8


def test_the_most_suspect_are_listed_with_what_the_model_suggests(subject: "Subject", tmp_path: Path) -> None:
    case, exchanged = mixed(subject, LINE.aged(0.4), tmp_path)
    errors = logged(case)
    listed = suspect_labels(case, errors, replace(DIMMED, cause=Cause.UNKNOWN))
    scores = suspicion(case)
    assert len(listed) == MOST == 20
    assert [each.score for each in listed] == sorted(scores.tolist(), reverse=True)[:20]
    rows = [int(each.inspection_id.removeprefix("i-")) for each in listed]
    assert exchanged[rows].mean() > 0.9
    first, error = listed[0], errors[rows[0]]
    assert (first.picture, first.image_path) == (error.picture, error.image_path)
    assert (first.true_label, first.suggested_label) == (error.true_label, error.predicted_label)


def test_where_the_images_changed_no_label_is_suspected(
    lamp_case: "Case", reproduced_errors: ReproducedErrors
) -> None:
    assert suspect_labels(lamp_case, reproduced_errors.errors, DIMMED) == ()
    labels = replace(DIMMED, claimed=False, cause=Cause.LABELS)
    assert len(suspect_labels(lamp_case.part(np.arange(3)), reproduced_errors.errors[:3], labels)) == 3
