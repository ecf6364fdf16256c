"""A case: the errors of a group with every view of them, against the same measured by itself."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inspection import tuning
from inspection.evidence import case as module
from inspection.evidence.blame import screen
from inspection.evidence.case import Case
from inspection.evidence.responses import Responses, coarse_strengths, measure_change_of, measure_in_full
from inspection.evidence.shift import leading
from inspection.evidence.subject import open_subject
from inspection.inputs.labelled import sample
from inspection.operations.catalogue import Steps, find_operation
from tests.inspection.conftest import Plant, responses_of

VIEWS = ("examined", "observed", "evidence", "effects", "fitted", "near", "nearest")
MIXED = ("dimmer lamp", "gamma darker", "lower contrast", "defocus", "sensor noise", "JPEG compression")


def test_a_part_is_a_case_of_those_errors_alone(lamp_case: Case) -> None:
    """As if only they had been logged: screened by themselves, with nothing left over from the whole."""
    rows = np.arange(1, len(lamp_case), 3)
    part = lamp_case.part(rows)
    images, true = lamp_case.images[rows], lamp_case.true[rows]
    alone = replace(lamp_case, screening=screen(lamp_case.subject, images, true), images=images)
    assert len(part) == len(alone) == len(rows)
    assert part.subject is lamp_case.subject
    assert part.responses is lamp_case.responses
    assert part.settings is lamp_case.settings
    np.testing.assert_array_equal(part.images, images)
    np.testing.assert_array_equal(part.true, true)
    np.testing.assert_array_equal(part.screening.predicted, alone.screening.predicted)
    np.testing.assert_array_equal(part.examined, np.arange(len(rows)))
    np.testing.assert_allclose(part.observed, alone.observed, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(part.evidence.blame, alone.evidence.blame, rtol=1e-3, atol=1e-6)
    assert part.fitted["dimmer lamp"].share == pytest.approx(alone.fitted["dimmer lamp"].share, abs=1e-4)
    assert part.nearest.baselines.unchanged.mean == pytest.approx(
        alone.nearest.baselines.unchanged.mean, abs=1e-4
    )
    assert not np.allclose(part.observed, lamp_case.observed)


def test_each_view_is_measured_once_and_only_when_it_is_asked(
    lamp_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counter[str]()

    def counting(name: str, measure: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*given: Any) -> Any:
            counted[name] += 1
            return measure(*given)

        return measured

    for name in ("sample", "observed_shift", "blame_weights", "find_nearest", "measure_in_full"):
        monkeypatch.setattr(module, name, counting(name, getattr(module, name)))
    monkeypatch.setattr(Responses, "paths", counting("paths", Responses.paths))
    case = replace(lamp_case)
    assert not counted
    for _ in range(2):
        for view in VIEWS:
            assert getattr(case, view) is getattr(case, view)
    each = ("sample", "observed_shift", "blame_weights", "find_nearest", "paths", "measure_in_full")
    assert counted == dict.fromkeys(each, 1)
    assert case.part(np.arange(len(case))).evidence is not case.evidence


def test_of_many_errors_a_sample_is_looked_at_one_by_one(
    lamp_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their filters count all the same; the look, and what is nearest, is of the sample."""
    subject = lamp_case.subject
    np.testing.assert_array_equal(lamp_case.examined, np.arange(len(lamp_case)))
    monkeypatch.setattr(tuning, "EXAMINED_ERRORS", 7)
    case = replace(lamp_case)
    np.testing.assert_array_equal(case.examined, sample(len(case), 7, subject.settings.compute.seed))
    assert len(set(case.examined.tolist())) == 7 < len(case)
    assert set(case.examined.tolist()) <= set(range(len(case)))
    looks = subject.looks.standardise(case.images[case.examined], case.true[case.examined]).mean(0)
    filters = len(case.observed) - len(looks)
    np.testing.assert_allclose(case.observed[filters:], looks, rtol=1e-5)
    np.testing.assert_array_equal(case.observed[:filters], lamp_case.observed[:filters])
    np.testing.assert_array_equal(case.nearest.true, case.true[case.examined])
    assert len(case.nearest.rows) == len(case.nearest.distances) == 7
    np.testing.assert_allclose(case.nearest.rows[:, filters:].mean(0), looks, rtol=1e-4, atol=1e-5)


def test_a_change_is_measured_for_errors_of_the_same_classes(lamp_case: Case) -> None:
    change, part = Steps((("dimmer lamp", 1.0),)), lamp_case.part(np.flatnonzero(lamp_case.true == 1))
    found = part.induced_by(change)
    expected = measure_change_of(lamp_case.subject, lamp_case.responses, change, np.array([1]))
    np.testing.assert_allclose(found.shift, expected.shift, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.offset, expected.offset, rtol=1e-4, atol=1e-4)
    assert not np.allclose(found.shift, lamp_case.induced_by(change).shift)


# --- operations near the errors, and those far from them ---


@pytest.fixture
def mixed_case(plant: Plant, tmp_path: Path, lamp_case: Case) -> Case:
    """The errors of the plant's log, beside a few operations in a workspace of its own."""
    responses = responses_of(plant, tmp_path, *MIXED)
    mine = plant.copied(tmp_path / "mine")
    subject = open_subject(mine.workspace, mine.model, mine.references)
    return replace(lamp_case, subject=subject, responses=responses)


def test_operations_near_the_errors_are_measured_in_full_and_the_others_coarsely(
    mixed_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "TRIED_ACCOUNTS", 1)
    counted = list[int]()
    case = replace(mixed_case, progress=counted.append)
    first = leading(case.fitted, 2, 0.2)
    assert "dimmer lamp" in case.near
    assert set(first) <= set(case.near) < set(MIXED)
    assert sum(counted) == sum(len(find_operation(name).grid) for name in case.near)
    for name in MIXED:
        operation = find_operation(name)
        in_full = name in case.near
        assert case.effects[name][0] == (operation.grid if in_full else coarse_strengths(operation))
        fit = case.evidence.fit(case.effects[name])
        assert case.fitted[name].share == fit.share


def test_what_is_near_the_errors_does_not_rest_on_what_other_nights_left(mixed_case: Case) -> None:
    before = replace(mixed_case)
    alone = {name: (fit.strengths, fit.share) for name, fit in before.fitted.items()}
    for name in MIXED:
        measure_in_full(mixed_case.subject, mixed_case.responses, name)
    after = replace(mixed_case)
    assert {name: (fit.strengths, fit.share) for name, fit in after.fitted.items()} == alone
    assert after.near == before.near


def test_what_comes_near_other_errors_is_measured_in_full_beside_these_too(
    mixed_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "TRIED_ACCOUNTS", 1)
    far = next(name for name in MIXED if name not in mixed_case.near)
    shares = mixed_case.shares_beside({far})
    assert shares[far] == mixed_case.evidence.fit(mixed_case.in_full([far])[far]).share
    assert shares[far] != mixed_case.fitted[far].share
    others = [name for name in MIXED if name != far]
    assert [shares[name] for name in others] == [mixed_case.fitted[name].share for name in others]
