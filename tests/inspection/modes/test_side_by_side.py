"""Errors beside reference images under the claimed cause: which change is drawn, and the pictures."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fmi_engine.types import Screening
from inspection.causes.measured_change import PARTS, measure_change, apply_measured
from inspection.evidence.reproduced import Admitted
from inspection.evidence.responses import Responses
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


NOISE = OperationMatch("sensor noise", "noise", 0.05, "of full scale", 0.9, 0.9, 0.9)


@pytest.mark.parametrize("cause", ["an operation", "two operations", "a measured change"])
def test_errors_stand_beside_reference_images_under_the_claimed_cause(
    here: Subject, lamp_responses: Responses, screening: Screening, admitted: Admitted, cause: str
) -> None:
    found = {
        "an operation": DIMMED,
        "two operations": replace(DIMMED, pair=(DIMMED.matches[0], NOISE)),
        "a measured change": replace(DIMMED, operation=TONE_CURVE, measured=TONE_CURVE),
    }[cause]
    drawn = compare(here, "n-1", "n-1-1", screening, admitted, found, lamp_responses)
    assert len(drawn) == DRAWN
    assert [each.distance for each in drawn] == sorted(each.distance for each in drawn)
    errors = [picture(here, each.error) for each in drawn]
    assert all(any(np.array_equal(error, image) for image in admitted.images) for error in errors)
    assert all(not Path(each.changed).is_absolute() for each in drawn)
    references = np.stack([picture(here, each.reference) for each in drawn])
    expected = np.stack(
        [find_operation("dimmer lamp").apply(image, 1.25, seed) for seed, image in enumerate(references)]
    )
    if cause == "two operations":
        noise = find_operation("sensor noise")
        expected = np.stack([noise.apply(image, 0.05, seed) for seed, image in enumerate(expected)])
    if cause == "a measured change":
        change = measure_change(admitted.images, admitted.true, here.correct)
        expected = apply_measured(references, change, PARTS[TONE_CURVE])
    for each, image in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(picture(here, each.changed), image)


def picture(here: Subject, path: str) -> NDArray[np.uint8]:
    found = cv2.imread(str(here.workspace.root / path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return np.asarray(found[..., None] if found.ndim == 2 else found, np.uint8)


def test_without_a_cause_nothing_is_drawn(
    here: Subject, lamp_responses: Responses, screening: Screening, admitted: Admitted
) -> None:
    nothing = Diagnosis(False, "none", None, None, None, None, 0.0)
    assert compare(here, "n-2", "n-2-1", screening, admitted, nothing, lamp_responses) == ()
    assert not here.workspace.night_folder("n-2").exists()
