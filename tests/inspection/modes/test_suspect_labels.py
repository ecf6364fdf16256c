"""Suspect labels: exchanged labels are listed, and real errors under right labels are not."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.evidence.reproduced import error_kind
from inspection.evidence.wrong_labels import any_suspicious
from inspection.findings import LoggedError
from inspection.inputs.image_sets import read_image_set
from inspection.inputs.labelled import load_images
from inspection.inputs.sample_line import Camera, SampleLine, write_images
from inspection.modes.suspect_labels import suspect_labels
from tests.inspection.conftest import SIZE

if TYPE_CHECKING:
    from inspection.evidence.case import Case
    from inspection.evidence.responses import Responses
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


def mixed(
    subject: "Subject", responses: "Responses", line: SampleLine, folder: Path
) -> tuple["Case", NDArray[np.bool_]]:
    """Real errors of a line, then correct images whose labels were exchanged; which are the latter."""
    from inspection.evidence.blame import screen
    from inspection.evidence.case import Case

    images, labels, wrong = rendered(subject, line, folder / "line", 9)
    clean, right, missed = rendered(subject, LINE, folder / "clean", 7)
    rng = np.random.default_rng(0)
    few = rng.permutation(np.flatnonzero(~missed))[:EXCHANGED]
    classes = len(subject.model.class_names)
    exchanged = (right[few] + rng.integers(1, classes, len(few))) % classes
    images = np.concatenate([images[wrong], clean[few]])
    true = np.concatenate([labels[wrong], exchanged])
    case = Case(subject, responses, screen(subject, images, true), images)
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
def test_exchanged_labels_are_listed_and_real_errors_are_not(
    subject: "Subject", lamp_responses: "Responses", line: SampleLine, tmp_path: Path
) -> None:
    case, exchanged = mixed(subject, lamp_responses, line, tmp_path)
    errors = logged(case)
    listed = suspect_labels(case, errors)
    rows = [int(each.inspection_id.removeprefix("i-")) for each in listed]
    assert len(rows) > 5
    assert exchanged[rows].mean() > 0.8
    scores = [each.score for each in listed]
    assert scores == sorted(scores, reverse=True)
    assert 0.8 <= scores[-1] <= scores[0] <= 1
    first, error = listed[0], errors[rows[0]]
    assert (first.picture, first.image_path) == (error.picture, error.image_path)
    assert (first.true_label, first.suggested_label) == (error.true_label, error.predicted_label)
    right = case.part(np.flatnonzero(~exchanged))
    assert suspect_labels(right, logged(right)) == ()


def test_no_classifier_is_asked_where_the_other_signs_let_nothing_be_listed(
    subject: "Subject", lamp_responses: "Responses", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, _ = mixed(subject, lamp_responses, LINE, tmp_path)
    alone = [any_suspicious(case.part(np.array([i]))) for i in range(len(case))]
    listed = [int(each.inspection_id.removeprefix("i-")) for each in suspect_labels(case, logged(case))]
    assert all(alone[i] for i in listed)
    monkeypatch.delattr("inspection.evidence.wrong_labels.out_of_sample")
    quiet = case.part(np.flatnonzero(~np.array(alone)))
    assert len(quiet) > 5
    assert suspect_labels(quiet, logged(quiet)) == ()
