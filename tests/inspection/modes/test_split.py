"""A group of errors in which two causes lie: split by both, and whole where one is enough."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection import tuning
from inspection.causes.diagnosis import diagnose
from inspection.evidence.blame import screen
from inspection.evidence.case import Case
from inspection.evidence.responses import Responses
from inspection.evidence.subject import Subject
from inspection.findings import LogContext
from inspection.inputs.labelled import Labelled, evenly
from inspection.modes import grouping as failure_modes
from inspection.modes.grouping import Whole
from inspection.modes.split import split
from inspection.nights.affected import Origins
from inspection.operations.catalogue import Steps
from tests.inspection.conftest import Plant, responses_of

pytestmark = pytest.mark.numeric

LAMP, CONTRAST, VIGNETTE = ("dimmer lamp", 1.3), ("lower contrast", 0.5), ("vignette", 0.6)
NOISE, ROTATION = ("sensor noise", 0.08), ("rotation", 12.0)


@pytest.fixture(scope="module")
def responses(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Responses:
    names = [name for name, _ in (LAMP, CONTRAST, VIGNETTE, NOISE, ROTATION)]
    return responses_of(plant, tmp_path_factory.mktemp("division"), *names)


def errors_under(subject: Subject, *causes: tuple[str, float]) -> tuple[Labelled, NDArray[np.int64]]:
    """The errors that the model makes on its reference images under each cause, and of which each is."""
    data, found, which = subject.labelled, list[Labelled](), list[NDArray[np.int64]]()
    for number, cause in enumerate(causes):
        changed = Labelled(Steps((cause,))(data.images), data.labels)
        wrong = changed.subset(subject.classifier.predict(changed.images).argmax(1) != data.labels)
        found.append(wrong)
        which.append(np.full(len(wrong), number))
    images, labels = (
        np.concatenate([getattr(each, name) for each in found]) for name in ("images", "labels")
    )
    return Labelled(images, labels), np.concatenate(which)


def case_of(subject: Subject, responses: Responses, errors: Labelled) -> Case:
    return Case(subject, responses, screen(subject, errors.images, errors.labels), errors.images)


@pytest.mark.parametrize(
    ("one", "other"),
    [(LAMP, VIGNETTE), (LAMP, ROTATION), (LAMP, NOISE), (CONTRAST, ROTATION)],
    ids=lambda cause: str(cause[0]),
)
def test_two_causes_are_parted(
    subject: Subject, responses: Responses, one: tuple[str, float], other: tuple[str, float]
) -> None:
    """Also where both have as many errors, so that neither is claimed for all of them."""
    errors, which = errors_under(subject, one, other)
    case = case_of(subject, responses, errors)
    first = split(case).first
    assert first is not None
    agree = float((first == (which[case.examined] == 0)).mean())
    assert max(agree, 1 - agree) > 0.95


@pytest.mark.parametrize("cause", [LAMP, VIGNETTE, ROTATION], ids=lambda cause: str(cause[0]))
def test_one_cause_is_whole(subject: Subject, responses: Responses, cause: tuple[str, float]) -> None:
    errors, _ = errors_under(subject, cause)
    assert split(case_of(subject, responses, errors)).first is None


def test_errors_without_a_cause_are_whole(subject: Subject, responses: Responses) -> None:
    """Labels at random on images as they are."""
    data = subject.correct
    wrong = (data.labels + 1) % len(subject.model.class_names)
    assert split(case_of(subject, responses, Labelled(data.images, wrong))).first is None


def test_a_part_of_few_errors_is_none(subject: Subject, responses: Responses) -> None:
    """Nine errors of another cause among many are not diagnosed by themselves; ten are."""
    errors, which = errors_under(subject, LAMP, ROTATION)
    assert np.count_nonzero(which == 1) >= 10
    for count in (9, 10):
        kept = np.sort(np.concatenate([np.flatnonzero(which == 0)[:80], np.flatnonzero(which == 1)[:count]]))
        found = split(case_of(subject, responses, errors.subset(kept)))
        assert (found.first is None) == (count < 10)


def test_a_night_is_parted_errors_that_were_not_looked_at_included(
    subject: Subject, responses: Responses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what the clustering holds for one group: every second error is seen, the rest go with their like."""
    errors, which = errors_under(subject, LAMP, ROTATION)
    everybody = np.arange(len(errors))
    monkeypatch.setattr(failure_modes, "_clusters", lambda *_: np.zeros(len(errors), np.int64))
    monkeypatch.setattr(tuning, "EXAMINED_ERRORS", len(errors) // 2)
    grouping = failure_modes.group_errors(case_of(subject, responses, errors))
    groups = [group.rows for group in grouping.modes]
    assert len(groups) == 2
    assert not len(grouping.unclustered)
    assert sorted(np.concatenate(groups)) == everybody.tolist()
    assert [len(rows) for rows in groups] == sorted(map(len, groups), reverse=True)
    for rows in groups:
        assert max(np.bincount(which[rows])) > 0.9 * len(rows)


def every_second(case: Case) -> tuple[Case, Whole]:
    """A sample of a night's errors, and where it stands among them."""
    drawn = np.arange(0, len(case), 2)
    return case.part(drawn), Whole(len(case), drawn, case.screening.subset)


def test_the_others_join_the_groups_of_a_sample(
    subject: Subject, responses: Responses, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, which = errors_under(subject, LAMP, ROTATION)
    few, whole = every_second(case_of(subject, responses, errors))
    monkeypatch.setattr(failure_modes, "_clusters", lambda shifts, _: np.zeros(len(shifts), np.int64))
    monkeypatch.setattr(failure_modes, "BATCH", 40)
    assert len(list(whole.batches)) == -(-(len(errors) - len(few)) // 40)
    grouping = failure_modes.group_errors(few, None, whole)
    groups = [group.rows for group in grouping.modes]
    assert len(groups) == 2
    held = np.concatenate([*groups, grouping.unclustered])
    assert sorted(held) == list(range(len(errors)))
    assert len(grouping.unclustered) < 0.1 * len(errors)
    for rows in groups:
        assert (rows % 2 == 0).mean() == pytest.approx(0.5, abs=0.1)
        assert max(np.bincount(which[rows])) > 0.9 * len(rows)


def test_a_class_that_has_a_cause_alone_holds_those_that_are_not_in_the_sample(
    subject: Subject, responses: Responses, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, lit, said = one_class_dimmed(subject)
    few, whole = every_second(case_of(subject, responses, errors))
    monkeypatch.setattr(failure_modes, "_clusters", lambda shifts, _: np.zeros(len(shifts), int))
    grouping = failure_modes.group_errors(few, None, whole)
    assert [set(errors.labels[each.rows]) for each in grouping.modes] == [{lit}, {said}]
    assert len(grouping.unclustered) < 0.1 * len(errors)


def test_what_was_diagnosed_on_the_way_is_kept(subject: Subject, responses: Responses) -> None:
    """Ten errors of another cause and many of one that is claimed for all: its diagnosis goes along."""
    errors, which = errors_under(subject, LAMP, ROTATION)
    some = np.sort(np.concatenate([np.flatnonzero(which == 0)[:80], np.flatnonzero(which == 1)[:10]]))
    case = case_of(subject, responses, errors.subset(some))
    found = split(case)
    assert found.whole == diagnose(case)
    alone = case_of(subject, responses, errors_under(subject, LAMP)[0])
    assert split(alone).whole is None  # nothing was left over to diagnose by itself
    (group,) = failure_modes.group_errors(alone).modes
    assert group.diagnosis is not None
    assert (group.diagnosis.claimed, group.diagnosis.operation) == (True, LAMP[0])


def one_class_dimmed(subject: Subject) -> tuple[Labelled, int, int]:
    """One class under a dimmer lamp, with parts of another class whose labels are wrong; both labels."""
    correct, (dimmed, _) = subject.correct, errors_under(subject, LAMP)
    lit = int(np.bincount(dimmed.labels).argmax())
    dimmed = dimmed.subset(dimmed.labels == lit)
    said, true = [each for each in range(len(subject.model.class_names)) if each != lit][:2]
    exchanged = correct.subset(np.flatnonzero(correct.labels == true)[: len(dimmed)])
    errors = Labelled(
        np.concatenate([dimmed.images, exchanged.images]),
        np.concatenate([dimmed.labels, np.full(len(exchanged), said)]),
    )
    return errors, lit, said


def test_a_class_that_has_a_cause_alone_is_a_mode_of_its_own(
    subject: Subject, responses: Responses, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, lit, said = one_class_dimmed(subject)
    monkeypatch.setattr(failure_modes, "_clusters", lambda shifts, _: np.zeros(len(shifts), int))
    found = failure_modes.group_errors(case_of(subject, responses, errors)).modes
    assert [None if each.diagnosis is None else each.diagnosis.family for each in found] == ["darker", None]
    assert [set(errors.labels[each.rows]) for each in found] == [{lit}, {said}]


def test_a_station_that_alone_has_a_cause_is_a_mode_of_its_own(
    subject: Subject, responses: Responses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two stations on one line the lamp of one is dimmer; at the other, labels are wrong.

    Where the log says from which station a part comes, and which were right, the dimmer one is looked at by
    itself; where it does not, all errors are one failure mode without a claim.
    """
    correct, (dimmed, _) = subject.correct, errors_under(subject, LAMP)
    exchanged = correct.subset(evenly(correct.labels, len(dimmed)))
    said = (exchanged.labels + 1) % len(subject.model.class_names)
    errors = Labelled(
        np.concatenate([dimmed.images, exchanged.images]), np.concatenate([dimmed.labels, said])
    )
    monkeypatch.setattr(failure_modes, "_clusters", lambda shifts, _: np.zeros(len(shifts), int))
    case, at = case_of(subject, responses, errors), [LogContext(station=name) for name in "AB"]
    contexts = [*[at[1]] * len(dimmed), *[at[0]] * len(exchanged)]
    (unknown,) = failure_modes.group_errors(case).modes
    assert unknown.diagnosis is not None
    assert not unknown.diagnosis.claimed
    right = [*[at[0]] * 3 * len(errors), *[at[1]] * len(errors)]
    found = failure_modes.group_errors(case, Origins(tuple(contexts), tuple(right))).modes
    parts = {
        each.diagnosis.family if each.diagnosis else None: {contexts[row].station for row in each.rows}
        for each in found
    }
    assert parts == {"darker": {"B"}, None: {"A"}}
