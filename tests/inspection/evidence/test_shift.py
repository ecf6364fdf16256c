"""The evidence of a group of errors: three shares in one row, against sums written out."""

from dataclasses import replace

import numpy as np
import pytest

from fmi_engine.response import explained_share, fit_together
from fmi_engine.types import FloatArray
from inspection.evidence.case import Case
from inspection.evidence.responses import Induced, Response, Responses
from inspection.evidence.shift import Evidence, Shares

pytestmark = pytest.mark.numeric

FILTERS, LOOK = 30, 12


def some_evidence(seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    observed = rng.normal(0, [5] * FILTERS + [0.5] * LOOK)  # the network moves ten times as far as the look
    blame, look = rng.random(FILTERS) * (rng.random(FILTERS) > 0.5), rng.random(LOOK)
    return Evidence(*(np.asarray(each, np.float32) for each in (observed, blame, look)))


def row(*values: float) -> FloatArray:
    return np.array(values, np.float32)


def slow_share(observed: FloatArray, induced: FloatArray, weights: FloatArray) -> float:
    left = total = 0.0
    for o, d, w in zip(observed.tolist(), induced.tolist(), weights.tolist(), strict=True):
        left += w * (o - d) ** 2
        total += w * o**2
    return 1 - left / total


@pytest.mark.parametrize("seed", range(5))
def test_the_three_shares_are_those_of_the_filters_by_blame_of_all_filters_and_of_the_look(seed: int) -> None:
    evidence = some_evidence(seed)
    other = some_evidence(seed + 50).observed
    induced = np.asarray(0.8 * evidence.observed + other / 4, np.float32)
    found = evidence.shares_alone(induced)
    moved, look = evidence.observed[:FILTERS], evidence.observed[FILTERS:]
    shift, looks = induced[:FILTERS], induced[FILTERS:]
    assert found.blamed == pytest.approx(slow_share(moved, shift, evidence.blame), abs=1e-5)
    assert found.overall == pytest.approx(slow_share(moved, shift, np.ones_like(moved)), abs=1e-5)
    assert found.look == pytest.approx(slow_share(look, looks, evidence.look), abs=1e-5)
    assert found.mean == pytest.approx((found.blamed + found.overall + found.look) / 3)


@pytest.mark.parametrize("seed", range(5))
def test_the_weights_make_one_explained_share_the_mean_of_the_three(seed: int) -> None:
    """Whatever the scale of a view: a strength fitted under them is one that all three can live with."""
    evidence = some_evidence(seed)
    for induced in (evidence.observed * 0, 0.6 * evidence.observed, some_evidence(seed + 50).observed):
        share = explained_share(evidence.observed, induced, evidence.weights)
        assert share == pytest.approx(evidence.shares_alone(induced).mean, abs=1e-4)


def test_a_view_in_which_nothing_moved_explains_nothing_and_keeps_the_weights_finite() -> None:
    observed = np.array([2, 1, 0, 0], np.float32)
    evidence = Evidence(observed, np.array([1, 0], np.float32), np.ones(2, np.float32))
    assert np.isfinite(evidence.weights).all()
    assert evidence.shares(Induced(observed, 0 * observed)) == Shares(1.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("shares", "left"),
    [
        (Shares(0.9, 0.8, 0.5), 0.1 * 0.2 * 0.5 * 0.5),
        (Shares(1.0, 0.999, 0.5), 0.01 * 0.01 * 0.25),  # less than a hundredth is noise
        (Shares(0.9, -1.0, 0.5), 0.1 * 2 * 0.25),  # worse than nothing
        (Shares(0.0, 0.0, 0.0), 1.0),
    ],
)
def test_what_is_unexplained_is_a_product_in_which_the_look_counts_twice(shares: Shares, left: float) -> None:
    assert shares.unexplained == pytest.approx(left)


def test_the_evidence_of_errors_is_gathered_filter_by_filter(
    lamp_case: Case,
) -> None:
    subject, rows = lamp_case.subject, np.arange(0, len(lamp_case), 3)
    case = lamp_case.part(rows)
    some, images, found = case.screening, case.images, case.evidence
    observed, blame = [], []
    for name in ("stage1", "stage2", "stage3"):
        layer = subject.reference.layers[name]
        means = [
            np.mean(
                [
                    (e[c] - layer.energy[t, c]) / layer.sigma[c]
                    for e, t in zip(some.energy[name], some.true, strict=True)
                ]
            )
            for c in range(len(layer.sigma))
        ]
        positive = [max(float(some.blame[name][:, c].mean()), 0) for c in range(len(layer.sigma))]
        observed += means
        blame += [each / sum(positive) / 3 for each in positive]
    look = np.mean(
        [subject.looks.standardise(images[i : i + 1], some.true[i : i + 1])[0] for i in range(len(rows))], 0
    )
    np.testing.assert_allclose(found.observed, [*observed, *look], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.blame, blame, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(found.look, subject.looks.weights)


def empty_responses() -> Responses:
    """Two classes, two filters, one entry of the look; nothing was measured."""
    nobody = np.zeros(0, np.int64)
    return Responses(
        name="empty",
        coarse={},
        positions=nobody,
        unchanged=np.zeros((0, 3), np.float32),
        baseline=np.zeros((2, 3), np.float32),
        drawn=nobody,
        references=np.zeros((0, 3), np.float32),
        labels=nobody,
        right=np.zeros(0, bool),
        normal=np.zeros((2, 3), np.float32),
    )


def test_a_path_is_the_shift_of_the_filters_then_of_the_look_by_the_classes_of_the_errors() -> None:
    shift = np.array([[[1.0, 2.0], [10.0, 20.0]], [[3.0, 4.0], [30.0, 40.0]]], np.float32)
    moved = np.concatenate([shift, -shift[..., :1]], axis=2)
    before = (0.5 * np.concatenate([shift, shift[..., :1]], axis=2)).astype(np.float32)
    measured = Response((1.0, 2.0), np.array([True, True]), moved, before)
    responses = replace(empty_responses(), coarse={"defocus": measured})
    strengths, induced = responses.paths(np.array([0, 1, 1, 1]))["defocus"]
    weak = [(1 + 3 * 10) / 4, (2 + 3 * 20) / 4, -(1 + 3 * 10) / 4]
    strong = [(3 + 3 * 30) / 4, (4 + 3 * 40) / 4, -(3 + 3 * 30) / 4]
    np.testing.assert_allclose([each.shift for each in induced], [weak, strong])
    halves = [[each[0] / 2, each[1] / 2, -each[2] / 2] for each in (weak, strong)]
    np.testing.assert_allclose([each.offset for each in induced], halves)
    assert strengths[0] < strengths[1]


# --- on top of where the images offsets that fail ---


@pytest.mark.parametrize("seed", range(5))
def test_a_strength_is_recovered_where_the_images_that_fail_were_not_any(seed: int) -> None:
    """Fitted alone it would not be: where they offsets lies partly along the change."""
    rng = np.random.default_rng(seed)
    change = row(*rng.normal(size=FILTERS + LOOK))
    before = np.float32(0.7) * change + row(*rng.normal(size=FILTERS + LOOK))
    evidence = replace(some_evidence(seed), observed=np.float32(1.5) * change + before)
    weak, strong = Induced(change, -before), Induced(2 * change, before)
    path = [1.0, 2.0], [weak, strong]
    fit = evidence.fit(path)
    assert fit.strengths[0] == pytest.approx(1.5, abs=0.15)
    assert fit.share == pytest.approx(1, abs=0.01)
    np.testing.assert_array_equal(fit.offset, before)
    induced = fit.at(path)
    np.testing.assert_allclose(induced.shift, np.float32(fit.strengths[0]) * change, rtol=1e-4)
    assert evidence.shares(induced).mean == pytest.approx(fit.share, abs=0.01)
    (alone, _), _ = fit_together(
        evidence.observed, [([1.0, 2.0], [change, 2 * change])] * 2, evidence.weights
    )
    assert abs(alone - 1.5) > 0.15
    blind = path[0], [Induced(each.shift, 0 * before) for each in path[1]]
    assert evidence.fit(blind).share < 0.95


@pytest.mark.parametrize("seed", range(5))
def test_as_much_counts_of_where_they_stood_as_explains_most(seed: int) -> None:
    """No amount of a fine grid, none and twice among them, explains more."""
    evidence, before = some_evidence(seed), some_evidence(seed + 20).observed
    shift = np.float32(0.5) * some_evidence(seed + 50).observed + np.float32(0.3 * seed - 0.3) * before
    grid = [evidence.shares_alone(shift + np.float32(b) * before).mean for b in np.linspace(0, 2, 401)]
    assert evidence.shares(Induced(shift, before)).mean == pytest.approx(max(grid), abs=1e-3)
    assert evidence.shares(Induced(shift, 0 * before)) == evidence.shares_alone(shift)
