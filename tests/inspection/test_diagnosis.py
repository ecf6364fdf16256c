"""The diagnosis: the aged lamp is named, and what no operation explains is not."""

from dataclasses import replace

import numpy as np
import pytest

from fmi_engine.response import blame_weights, explained_share, observed_shift
from fmi_engine.types import Screening
from inspection.admission import Admitted
from inspection.blame import screen
from inspection.diagnosis import diagnose
from inspection.operations import find_operation
from inspection.responses import Responses, measure_responses
from inspection.subject import Subject, open_subject
from tests.inspection.conftest import Plant


@pytest.fixture(scope="module")
def here(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """The plant's model in a workspace that may be written to."""
    mine = plant.copied(tmp_path_factory.mktemp("diagnosis") / "workspace")
    return open_subject(mine.workspace, mine.model, mine.references)


@pytest.fixture(scope="module")
def responses(here: Subject) -> Responses:
    return measure_responses(here)


def test_an_aged_lamp_is_named_as_darker_with_its_strength(
    here: Subject, responses: Responses, screening: Screening, admitted: Admitted
) -> None:
    found = diagnose(here, screening, admitted.images, responses)
    assert found.claimed, found.reasons
    assert found.family == "darker"
    lamp = next(each for each in found.matches if each.operation == "dimmer lamp")
    assert lamp.strength == pytest.approx(-np.log2(0.4), rel=0.2)  # the lamp's true age, in stops
    assert found.sentence.endswith(".")
    assert f"{found.share:.0%}" in found.sentence


def test_the_shares_are_those_of_the_formula_at_the_fitted_strength(
    here: Subject, responses: Responses, screening: Screening, admitted: Admitted
) -> None:
    """Written again: interpolate the measured shifts by hand, then 1 - sum w (o - d)^2 / sum w o^2."""
    found = diagnose(here, screening, admitted.images, responses)
    observed = observed_shift(screening, here.reference, here.layer_names)
    weights = blame_weights(screening, here.layer_names)
    look = here.looks.standardise(admitted.images, screening.true).mean(0)
    for each in found.matches[:4]:
        knots = [0.0, *find_operation(each.operation).grid]

        def at(rows: list[np.ndarray], strength: float, knots: list[float] = knots) -> np.ndarray:
            shifts = np.stack([np.zeros_like(rows[0]), *rows])
            return np.array([np.interp(strength, knots, column) for column in shifts.T])

        filters = at(responses.of_filters(screening.true)[each.operation][1], each.strength)
        looks = at(responses.of_looks(screening.true)[each.operation][1], each.strength)
        assert each.share == pytest.approx(explained_share(observed, filters, weights), abs=1e-4)
        assert each.overall_share == pytest.approx(
            explained_share(observed, filters, np.ones_like(weights)), abs=1e-4
        )
        assert each.look_share == pytest.approx(explained_share(look, looks, np.ones_like(look)), abs=1e-4)


def test_alternatives_are_near_the_best_in_the_filters_and_in_the_look(
    here: Subject, responses: Responses, screening: Screening, admitted: Admitted
) -> None:
    settings = here.settings.matching
    found = diagnose(here, screening, admitted.images, responses)
    top = max(each.share for each in found.matches)
    for each in found.matches[1:]:
        near = each.share >= top - settings.alternative_margin
        alike = each.look_share >= found.matches[0].look_share - settings.look_margin
        assert each.alternative == (near and alike)


def test_wrong_labels_on_images_without_a_fault_are_no_appearance_cause(
    here: Subject, responses: Responses
) -> None:
    data = here.correct
    wrong = (data.labels + 1) % len(here.model.class_names)
    blamed = screen(here, data.images, wrong)
    found = diagnose(here, blamed, data.images, responses)
    assert not found.claimed
    assert found.operation is None
    assert found.reasons


def test_too_few_errors_are_not_diagnosed(
    here: Subject, responses: Responses, screening: Screening, admitted: Admitted
) -> None:
    few = np.arange(2)
    found = diagnose(here, screening.subset(few), admitted.images[few], responses)
    assert not found.claimed
    assert "2 errors are too few: 5 are needed" in found.reasons


def test_a_share_that_faultless_logs_reach_by_chance_is_not_claimed(
    here: Subject, responses: Responses, screening: Screening, admitted: Admitted
) -> None:
    dark = responses.of_filters(screening.true)["dimmer lamp"][1][2]
    pool = np.repeat(dark[None], len(responses.labels), 0)  # every "faultless" image shifted as if dimmed
    found = diagnose(here, screening, admitted.images, replace(responses, energies=pool))
    assert found.control_share == pytest.approx(1.0, abs=1e-3)
    assert any("by chance" in reason for reason in found.reasons)
