"""What the night's tasks hand to each other: parts of a night, with names of their own, and errors."""

import pickle

import numpy as np
import pytest

from flows.scope import Errors, Scope
from fmi_engine.types import Screening
from inspection.evidence.reproduced import ReproducedErrors
from tests.inspection.conftest import Plant

NIGHT = Scope("/line1", "20260704-0123abcd", "ab" * 32)


@pytest.fixture
def errors(reproduced_errors: ReproducedErrors, screening: Screening) -> Errors:
    reproduced_errors.held.keep_screening(0, screening)
    return Errors(reproduced_errors.held, np.arange(len(reproduced_errors.errors)))


@pytest.mark.parametrize("scope", [NIGHT, NIGHT.mode(2), NIGHT.part("256"), NIGHT.mode(2).part("layer3")])
def test_a_scope_survives_pickling(scope: Scope) -> None:
    assert pickle.loads(pickle.dumps(scope)) == scope


def test_errors_are_handed_on_by_position(errors: Errors) -> None:
    handed = pickle.dumps(errors)
    assert len(handed) < 1000 + 2 * errors.rows.nbytes
    again = pickle.loads(handed)
    assert again.held.folder == errors.held.folder
    part = again.part(np.array([4, 0, 2]))
    assert (part.rows.tolist(), len(part)) == ([4, 0, 2], 3)
    assert part.part(np.array([2])).rows.tolist() == [2]


def test_every_part_of_a_night_has_a_place_of_its_own() -> None:
    parts = [
        *(NIGHT, NIGHT.mode(1), NIGHT.mode(11), NIGHT.part("1"), NIGHT.part("11")),
        *(NIGHT.mode(1).part("1"), NIGHT.mode(1).part("layer1"), NIGHT.mode(2).part("layer1")),
    ]
    assert len({each.place for each in parts}) == len(parts)
    assert NIGHT.mode(2).part("layer1").mode_id == f"{NIGHT.night_id}-2"
    assert {each.night_id for each in parts} == {NIGHT.night_id}


def test_errors_become_a_case_of_the_nights_model(
    plant: Plant, tmp_path_factory: pytest.TempPathFactory, errors: Errors, screening: Screening
) -> None:
    mine = plant.copied(tmp_path_factory.mktemp("scope") / "workspace", "matching.reference_images = 5")
    scope = Scope(str(mine.workspace.root), "n", mine.model.model_hash)
    rows = np.array([4, 0, 2])
    case = scope.case(errors.part(rows))
    assert case.subject is scope.subject()
    assert case.subject.model == mine.model
    np.testing.assert_array_equal(case.images[:], errors.held.images(rows)[:])
    np.testing.assert_array_equal(case.true, screening.true[rows])
    part = case.part(np.array([1]))
    np.testing.assert_array_equal(part.images[:], errors.held.images(np.array([0]))[:])
    assert case.responses is scope.case(errors).responses
