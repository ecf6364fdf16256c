"""The reference images most like the errors, as they are and under a change: one image after the other."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fmi_engine.response import explained_share, slope_at
from fmi_engine.types import Screening
from inspection import tuning
from inspection.evidence.case import Case
from inspection.evidence.nearest import (
    NearestMatch,
    NearestReferences,
    PatchEvidence,
    Pool,
    nearest_in,
    order_candidates,
)
from inspection.evidence.place import PlaceMatch, Places
from inspection.evidence.reproduced import ReproducedErrors
from inspection.evidence.responses import Induced, ResponsePath, measure_in_full, standardised
from inspection.evidence.shift import Shares
from inspection.evidence.subject import Subject
from inspection.operations.catalogue import Steps
from tests.inspection.evidence.test_shift import empty_responses

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize("seed", range(3))
def test_the_image_of_a_pool_most_like_an_error_is_found(seed: int) -> None:
    """One error and one reference image after the other, from energies as they are."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(4, 6)).astype(np.float32)
    plain, labels = rng.normal(size=(20, 6)), rng.integers(0, 3, 20)  # no reference image of class 3
    errors, weights = rng.normal(size=(12, 6)), rng.random(6).astype(np.float32)
    true, other = rng.integers(0, 4, 12), rng.integers(0, 4, 12)
    pool = (plain - normal[labels]).astype(np.float32)
    rows = (errors - normal[true]).astype(np.float32)
    found, positions, distances = nearest_in(Pool(pool, labels, normal), rows, weights, (true, other))
    for i, (t, o) in enumerate(zip(true, other, strict=True)):
        among = [j for j in range(20) if labels[j] in (t, o)] or list(range(20))
        apart = {j: float((weights * (plain[j] - errors[i]) ** 2).sum()) for j in among}
        best = min(among, key=lambda j: apart[j])
        assert positions[i] == best
        assert distances[i] == pytest.approx(apart[best], rel=1e-3, abs=1e-3)
        np.testing.assert_allclose(found[i], plain[best] - normal[t], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("most", [1, 5, 9, 40])
@pytest.mark.parametrize("seed", range(3))
def test_a_change_is_tried_on_the_images_that_the_errors_may_have_been(
    most: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of each error, then the second of each, one after the other; no class but the errors' own."""
    monkeypatch.setattr(tuning, "TRIED_REFERENCES", most)
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(4, 6)).astype(np.float32)
    plain, labels = rng.normal(size=(30, 6)), rng.integers(0, 3, 30)
    before, weights, true = rng.normal(size=(4, 6)), rng.random(6).astype(np.float32), rng.integers(1, 3, 4)
    orders = [
        sorted(
            np.flatnonzero(labels == t).tolist(),
            key=lambda j: float((weights * (plain[j] - row) ** 2).sum()),
        )
        for row, t in zip(before, true, strict=True)
    ]
    pool = Pool((plain - normal[labels]).astype(np.float32), labels, normal)
    ordered, tried = order_candidates(pool, (before - normal[true]).astype(np.float32), weights, true)
    found = ordered[:tried]
    assert sorted(ordered) == np.flatnonzero(np.isin(labels, true)).tolist()
    places = [{order[place] for order in orders if place < len(order)} for place in range(30)]
    everybody = set().union(*places)
    assert len(found) == min(max(most, len(places[0])), len(everybody))
    assert places[0] <= {*found.tolist()} <= everybody
    full = [set().union(*places[: place + 1]) for place in range(30)]
    last = next(place for place in range(30) if len(full[place]) >= len(found))
    assert {*found.tolist()} <= full[last]
    assert last == 0 or full[last - 1] <= {*found.tolist()}


def test_of_a_class_without_reference_images_those_of_all_are_tried() -> None:
    pool = np.arange(3, dtype=np.float32)[:, None]
    everything = Pool(pool, np.zeros(3, np.int64), np.zeros((2, 1), np.float32))
    ordered, tried = order_candidates(everything, pool[:1], np.ones(1, np.float32), np.array([1]))
    assert (ordered.tolist(), tried) == ([0, 1, 2], 3)


def rows_of(case: Case) -> NDArray[np.float32]:
    subject = case.subject
    filters = [
        subject.reference.standardise(name, case.screening.energy[name], case.true)
        for name in subject.layer_names
    ]
    return np.concatenate([*filters, subject.looks.standardise(case.images, case.true)], axis=1)


def test_the_reference_image_most_like_an_error_is_sought_in_both_its_classes(
    lamp_case: Case,
) -> None:
    """The errors themselves are the reference images, a third of them under the class they were taken for."""
    subject, screening, rows = lamp_case.subject, lamp_case.screening, rows_of(lamp_case)
    moved = np.arange(len(rows)) % 3 == 0
    responses = replace(
        empty_responses(),
        references=rows,
        labels=np.where(moved, screening.predicted, screening.true),
        right=np.zeros(len(rows), bool),
        drawn=np.arange(len(rows)),
        normal=np.zeros((len(subject.model.class_names), rows.shape[1]), np.float32),
        baseline=np.ones((len(subject.model.class_names), rows.shape[1]), np.float32),
    )
    case = replace(lamp_case, responses=responses)
    evidence, sought = case.evidence, case.nearest
    found, observed = sought.baselines, evidence.observed
    assert found.baseline_errors == evidence.shares(Induced(0 * observed, np.ones_like(observed)))
    assert found.like_predicted == pytest.approx(moved.mean())
    assert found.either_class.mean == pytest.approx(1, abs=1e-4)
    assert found.unchanged.mean < found.either_class.mean
    np.testing.assert_allclose(sought.distances, 0, atol=1e-3)
    own = np.stack(
        [
            min(
                (rows[j] for j in range(len(rows)) if responses.labels[j] == t),
                key=lambda part: float((evidence.weights * (part - row) ** 2).sum()),
            )
            for row, t in zip(rows, screening.true, strict=True)
        ]
    ).mean(0)
    assert found.unchanged.mean == pytest.approx(
        explained_share(evidence.observed, own, evidence.weights), abs=1e-3
    )


@pytest.fixture(scope="module")
def found(lamp_case: Case) -> NearestReferences:
    """Of the errors under the aged lamp."""
    return lamp_case.nearest


def dimmed(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return (images * 0.4).astype(np.uint8)


@pytest.mark.parametrize("everywhere", [False, True])
def test_errors_are_nearer_to_reference_images_of_their_classes_that_are_changed_alike(
    found: NearestReferences, lamp_case: Case, everywhere: bool
) -> None:
    """The lamp's own age against one image and one error after the other."""
    match, subject, weights = found.under(dimmed, everywhere), found.subject, found.evidence.weights
    data, responses = subject.labelled, found.responses
    changed, _ = standardised(subject, dimmed(data.images), data.labels)
    rows, normal, screening = rows_of(lamp_case), responses.normal, lamp_case.screening
    nearest, nearer = [], 0
    for row, t, p in zip(rows, screening.true.tolist(), screening.predicted.tolist(), strict=True):
        own = [changed[i] for i in range(len(data)) if data.labels[i] == t]
        apart = [float((weights * (part - row) ** 2).sum()) for part in own]
        as_they_are = [
            float((weights * (part + normal[label] - normal[t] - row) ** 2).sum())
            for part, label in zip(responses.references, responses.labels.tolist(), strict=True)
            if label in (t, p)
        ]
        nearest.append(own[int(np.argmin(apart))])
        nearer += min(apart) < min(as_they_are)
    assert (match.nearer, match.errors) == (nearer, len(rows))
    assert match.nearer_share > 0.9
    share = explained_share(found.evidence.observed, np.mean(nearest, 0), weights)
    assert match.shares.mean == pytest.approx(share, abs=1e-3)
    assert match.shares.mean > 0.9


def test_everywhere_is_every_image_of_the_errors_classes(
    found: NearestReferences, screening: Screening
) -> None:
    labelled, counted = found.subject.labelled, list[int]()

    def counting(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        counted.append(len(images))
        return images

    every = int(np.isin(labelled.labels, screening.true).sum())
    for everywhere, count in ((False, found.tried), (True, every)):
        match = found.under(counting, everywhere)
        assert counted == [count]  # their filters and look
        assert (match.nearer >= 0, match.place.least <= 1, len(match.resampled) > 0) == (True, True, True)
        assert counted == [count, count]  # their patches, once something was asked of them, and once only
        counted.clear()


def test_errors_of_a_class_without_reference_images_are_looked_for_in_all(
    lamp_case: Case,
) -> None:
    """Everywhere, too: the reference images are all of one class, and the errors of others."""
    label, lamp_responses = int(lamp_case.true[0]), lamp_case.responses
    mine = np.flatnonzero(lamp_case.true != label)
    known = lamp_responses.labels == label
    only = replace(
        lamp_responses,
        drawn=lamp_responses.drawn[known],
        references=lamp_responses.references[known],
        labels=lamp_responses.labels[known],
        right=lamp_responses.right[known],
    )
    sought = replace(lamp_case, responses=only).part(mine).nearest
    lamp = Steps((("dimmer lamp", 1.3),))
    assert sought.under(lamp).errors == sought.under(lamp, everywhere=True).errors == len(mine)


def test_examples_go_from_the_nearest_to_the_farthest(
    found: NearestReferences, reproduced_errors: ReproducedErrors
) -> None:
    """Each with a reference image of its class, and the distance by hand."""
    examples, subject = found.examples(dimmed, 4), found.subject
    assert [each.distance for each in examples] == sorted(each.distance for each in examples)
    assert len({each.error for each in examples}) == 4
    for each in examples:
        label = reproduced_errors.true[each.error]
        own = subject.labelled.images[subject.labelled.labels == label]
        assert any(np.array_equal(each.reference, image) for image in own)
        np.testing.assert_array_equal(each.changed, dimmed(each.reference))
        row, _ = standardised(subject, each.changed[None], np.array([label]))
        apart = float((found.evidence.weights * (row[0] - found.rows[each.error]) ** 2).sum())
        assert each.distance == pytest.approx((apart / found.distances[each.error]) ** 0.5, rel=1e-2)
    assert len(found.examples(dimmed, 10**6)) == len(found.rows)


def test_images_under_an_operation_are_measured_once_for_a_subject(
    found: NearestReferences, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another strength, other images or another model are measured, and so is any other change, each time."""
    measured: list[int] = []

    def counted(subject: Subject, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> object:
        measured.append(len(images))
        return standardised(subject, images, labels)

    monkeypatch.setattr("inspection.evidence.nearest.standardised", counted)
    fresh = replace(found, subject=replace(found.subject))
    lamp, weaker = Steps((("dimmer lamp", 1.3),)), Steps((("dimmer lamp", 0.7),))
    first = fresh.under(lamp)
    again = fresh.under(Steps((("dimmer lamp", 1.3),)))
    assert (again, again.nearer) == (first, first.nearer)
    assert (fresh.ratios(lamp) > 0).all()
    assert len(measured) == 1
    for once in (weaker, dimmed, dimmed):
        fresh.under(once)
    replace(fresh, tried=5).under(lamp)
    replace(fresh, subject=replace(found.subject)).under(lamp)
    assert len(measured) == 6


def test_the_images_whose_patches_are_looked_at_and_shown_are_those_found_nearest(
    found: NearestReferences, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shadow lies elsewhere on every image: another draw of it is another image."""
    shadow = Steps((("shadow band", 2.0),))
    looked_at: list[NDArray[np.uint8]] = []
    under = Places.under

    def seen(places: Places, changed: NDArray[np.uint8]) -> PlaceMatch:
        looked_at.append(changed)
        return under(places, changed)

    monkeypatch.setattr(Places, "under", seen)
    assert found.under(shadow).nearer >= 0
    _, _, distances = found._nearest(shadow, found.tried)
    rows, _ = standardised(found.subject, looked_at[0], found.true[found.placed])
    apart = (found.evidence.weights * (rows - found.rows[found.placed]) ** 2).sum(1)
    assert apart == pytest.approx(distances[found.placed], rel=1e-3, abs=1e-3)
    for example in found.examples(shadow, 4):
        place = found.placed.tolist().index(example.error)
        assert (example.changed == looked_at[0][place]).all()


def dimmer(found: NearestReferences, screening: Screening) -> ResponsePath:
    """What a dimmer lamp does, measured in full, as it is wherever it is refined."""
    return measure_in_full(found.subject, found.responses, "dimmer lamp").path(screening.true)


@pytest.mark.parametrize("start", [0.8, 2.2])
def test_a_strength_is_refined_on_the_nearest_reference_images(
    found: NearestReferences, screening: Screening, start: float
) -> None:
    effects = {"dimmer lamp": dimmer(found, screening)}
    first = found.at(Steps((("dimmer lamp", start),)), effects)
    refined = found.refined(first, effects)
    for trial in (first, refined):
        again = found.under(trial.steps)
        assert (trial.match, trial.match.nearer) == (again, again.nearer)
    assert refined.match.unexplained < first.match.unexplained / 10
    best = min(
        np.arange(0.8, 2.3, 0.1),
        key=lambda each: found.under(Steps((("dimmer lamp", float(each)),))).unexplained,
    )
    assert refined.strength == pytest.approx(best, abs=0.15)
    assert (first.missing > 0) == (best > start)


def test_the_strength_that_is_missing_is_the_one_that_leaves_least_along_the_path(
    found: NearestReferences, screening: Screening
) -> None:
    path = dimmer(found, screening)
    trial, observed, weights = (
        found.at(Steps((("dimmer lamp", 1.0),)), {"dimmer lamp": path}),
        found.evidence.observed,
        found.evidence.weights,
    )
    _, which, _ = found._nearest(Steps((("dimmer lamp", 1.0),)), found.tried)
    data, positions = found.subject.labelled, found._positions(found.tried)[which]
    rows, _ = standardised(
        found.subject, Steps((("dimmer lamp", 1.0),))(data.images[positions]), data.labels[positions]
    )
    slope = slope_at(1.0, path[0], [each.shift for each in path[1]])
    explained = [
        explained_share(observed, rows.mean(0) + np.float32(missing) * slope, weights)
        for missing in (float(trial.missing[0]) + more for more in (-0.1, 0.0, 0.1))
    ]
    assert explained[1] == max(explained)


def test_the_strengths_of_two_are_refined_together(found: NearestReferences, screening: Screening) -> None:
    """Of a dimmer lamp alone the second, a slight blur, goes back while the lamp goes on."""
    effects = {
        name: measure_in_full(found.subject, found.responses, name).path(screening.true)
        for name in ("dimmer lamp", "defocus")
    }
    first = found.at(Steps((("dimmer lamp", 0.8), ("defocus", 0.8))), effects)
    refined = found.refined(first, effects)
    (_, lamp), (_, blur) = refined.steps.named
    assert (lamp > 1.0, blur < 0.7) == (True, True)
    assert refined.match.unexplained < first.match.unexplained / 2


def test_a_refined_strength_does_not_go_far(
    found: NearestReferences, screening: Screening, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects = {"dimmer lamp": dimmer(found, screening)}
    for times, start, end in ((2.0, 0.3, 0.6), (1.5, 6.0, 4.0)):
        monkeypatch.setattr(tuning, "REFINED_RANGE", times)
        refined = found.refined(found.at(Steps((("dimmer lamp", start),)), effects), effects)
        assert refined.strength == pytest.approx(end)


def test_no_error_is_nearer_to_reference_images_that_nothing_changed(found: NearestReferences) -> None:
    match = found.under(lambda images: images)
    assert match.nearer == 0
    assert match.shares.mean == pytest.approx(found.baselines.unchanged.mean, abs=1e-3)


PLACE = PlaceMatch(np.array([[0.2, 0.2], [0.4, 0.4]], np.float32), np.full(2, 0.3, np.float32))


def match_of(shares: Shares, nearer: int, errors: int) -> NearestMatch:
    return NearestMatch(shares, errors, lambda: PatchEvidence(nearer, PLACE))


@pytest.mark.parametrize(
    ("nearer", "errors", "beyond"),
    [(4, 4, True), (3, 3, False), (7, 10, False), (8, 10, True), (100, 200, False), (110, 200, True)],
)
def test_most_errors_are_nearer_only_beyond_chance(nearer: int, errors: int, beyond: bool) -> None:
    """Of ten coins eight or more fall heads in 5.5 of 100 throws, seven or more in 17."""
    assert match_of(Shares(1, 1, 1), nearer, errors).exceeds(0.5) == beyond


def test_what_is_unexplained_falls_with_the_errors_that_are_nearer() -> None:
    """The shares leave 0.1 * 0.2 * 0.5 * 0.5, the patches 0.3; of ten errors four are not nearer, or none."""
    shares = Shares(0.9, 0.8, 0.5)
    assert match_of(shares, 6, 10).unexplained == pytest.approx(0.005 * 0.3 * 0.4)
    assert match_of(shares, 10, 10).unexplained == pytest.approx(0.005 * 0.3 * 0.01)
