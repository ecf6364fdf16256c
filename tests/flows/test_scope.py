"""What the night's tasks hand to each other: parts of a night, with names of their own, and errors."""

import pickle

import numpy as np
import pytest

from flows.scope import Errors, Scope
from fmi_engine.types import Screening
from inspection.evidence.reproduced import ReproducedErrors
from tests.inspection.conftest import Plant

NIGHT = Scope("/line1", "20260704-0123abcd", "ab" * 32)


def assert_equal(one: Errors, other: Errors) -> None:
    assert one.logged == other.logged
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.screening.true, other.screening.true)
    np.testing.assert_array_equal(one.screening.predicted, other.screening.predicted)
    np.testing.assert_array_equal(one.screening.margin, other.screening.margin)
    for name in ("energy", "blame"):
        mine, others = getattr(one.screening, name), getattr(other.screening, name)
        assert list(mine) == list(others)
        for layer in mine:
            np.testing.assert_array_equal(mine[layer], others[layer])


@pytest.fixture
def errors(reproduced_errors: ReproducedErrors, screening: Screening) -> Errors:
    return Errors(reproduced_errors.errors, reproduced_errors.images, screening)


@pytest.mark.parametrize("scope", [NIGHT, NIGHT.mode(2), NIGHT.part("256"), NIGHT.mode(2).part("layer3")])
def test_a_scope_survives_pickling(scope: Scope) -> None:
    assert pickle.loads(pickle.dumps(scope)) == scope


def test_errors_survive_pickling(errors: Errors) -> None:
    assert_equal(pickle.loads(pickle.dumps(errors)), errors)
    part = errors.part(np.arange(3))
    assert_equal(pickle.loads(pickle.dumps(part)), part)


def test_every_part_of_a_night_has_a_place_of_its_own() -> None:
    parts = [
        *(NIGHT, NIGHT.mode(1), NIGHT.mode(11), NIGHT.part("1"), NIGHT.part("11")),
        *(NIGHT.mode(1).part("1"), NIGHT.mode(1).part("layer1"), NIGHT.mode(2).part("layer1")),
    ]
    assert len({each.place for each in parts}) == len(parts)
    assert NIGHT.mode(2).part("layer1").mode_id == f"{NIGHT.night_id}-2"
    assert {each.night_id for each in parts} == {NIGHT.night_id}


def test_some_errors_are_told_with_their_images_and_their_screening(errors: Errors) -> None:
    rows = np.array([4, 0, 2])
    found = errors.part(rows)
    assert found.logged == tuple(errors.logged[i] for i in rows)
    np.testing.assert_array_equal(found.images, errors.images[rows])
    np.testing.assert_array_equal(found.screening.true, errors.screening.true[rows])
    nobody = errors.part(rows[:0])
    assert (nobody.logged, len(nobody.images)) == ((), 0)


def test_errors_become_a_case_of_the_nights_model(
    plant: Plant, tmp_path_factory: pytest.TempPathFactory, errors: Errors
) -> None:
    mine = plant.copied(tmp_path_factory.mktemp("scope") / "workspace", "matching.reference_images = 5")
    scope = Scope(str(mine.workspace.root), "n", mine.model.model_hash)
    case = scope.case(errors)
    assert case.subject is scope.subject()
    assert case.subject.model == mine.model
    assert case.screening is errors.screening
    assert case.images is errors.images
    assert case.responses is scope.case(errors.part(np.arange(2))).responses
