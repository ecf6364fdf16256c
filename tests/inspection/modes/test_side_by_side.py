"""Errors beside reference images under the claimed cause: which change is drawn, and the pictures."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspection import tuning
from inspection.causes.diagnosis import change_of
from inspection.causes.measured_change import PARTS, apply_measured, measure_change
from inspection.evidence.case import Case
from inspection.evidence.subject import Subject, open_subject
from inspection.findings import Diagnosis, OperationMatch
from inspection.modes.side_by_side import DRAWN, compare
from inspection.operations.catalogue import find_operation
from inspection.recipes.overlays import TONE_CURVE
from tests.inspection.conftest import DIMMED, Plant


@pytest.fixture(scope="module")
def here(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    mine = plant.copied(tmp_path_factory.mktemp("comparisons") / "workspace")
    return open_subject(mine.workspace, mine.model, mine.references)


BLUR = OperationMatch("defocus", "defocus", 1.0, "pixels (sigma)", 0.9, 0.9, 0.9)


@pytest.mark.parametrize("cause", ["an operation", "two operations", "a measured change"])
def test_errors_stand_beside_reference_images_under_the_claimed_cause(
    here: Subject, lamp_case: Case, cause: str
) -> None:
    found = {
        "an operation": DIMMED,
        "two operations": replace(DIMMED, pair=(DIMMED.matches[0], BLUR)),
        "a measured change": replace(DIMMED, operation=TONE_CURVE, measured=TONE_CURVE),
    }[cause]
    case = replace(lamp_case, subject=here)
    drawn = compare(case, "n-1-1", found)
    assert len(drawn) == DRAWN
    assert [each.distance for each in drawn] == sorted(each.distance for each in drawn)
    errors = [picture(here, each.error) for each in drawn]
    assert all(any(np.array_equal(error, image) for image in case.images[:]) for error in errors)
    assert all(each.error.startswith("artifacts/n-1/comparisons-n-1-1/") for each in drawn)
    assert all(not Path(each.changed).is_absolute() for each in drawn)
    references = np.stack([picture(here, each.reference) for each in drawn])
    expected = np.stack(
        [find_operation("dimmer lamp").apply(image, 1.25, seed) for seed, image in enumerate(references)]
    )
    if cause == "two operations":
        blur = find_operation("defocus")
        expected = np.stack([blur.apply(image, 1.0, seed) for seed, image in enumerate(expected)])
    if cause == "a measured change":
        change = measure_change(case.images[:], case.true, here.correct)
        expected = apply_measured(references, change, PARTS[TONE_CURVE])
    for each, image in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(picture(here, each.changed), image)


def picture(here: Subject, path: str) -> NDArray[np.uint8]:
    found = cv2.imread(str(here.workspace.root / path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return np.asarray(found[..., None] if found.ndim == 2 else found, np.uint8)


def test_without_a_cause_nothing_is_drawn(here: Subject, lamp_case: Case) -> None:
    nothing = Diagnosis(False, None, None, None, None, 0.0)
    assert compare(replace(lamp_case, subject=here), "n-2-1", nothing) == ()
    assert not here.workspace.night_folder("n-2").exists()


def test_an_error_that_was_looked_at_is_drawn_as_it_is_whatever_its_place(
    here: Subject, lamp_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many errors a sample is looked at: what is drawn are errors of that sample, not others."""
    monkeypatch.setattr(tuning, "EXAMINED_ERRORS", 6)
    case = replace(lamp_case, subject=here)
    drawn = compare(case, "n-3-1", DIMMED)
    examples = case.nearest.examples(change_of(case, DIMMED), DRAWN)
    assert case.examined.tolist() != list(range(6))
    for each, example in zip(drawn, examples, strict=True):
        error = case.images[case.examined[example.error]]
        np.testing.assert_array_equal(picture(here, each.error), error)
