import numpy as np
import pytest

from fmi_engine.classifier import Classifier
from fmi_engine.reference import LayerReference, Reference
from fmi_engine.response import (
    blame_weights,
    explained_share,
    fit_beside,
    fit_strength,
    fit_strengths,
    fit_together,
    induced_shift,
    match,
    observed_shift,
    shares_of_pairs,
    shift_at,
    slope_at,
)
from fmi_engine.types import FloatArray, Screening
from tests.fmi_engine.tiny import Readout, deep, noise, plain

pytestmark = pytest.mark.numeric


def row(*values: float) -> FloatArray:
    return np.array(values, np.float32)


def screening(blame: dict[str, FloatArray], energy: dict[str, FloatArray], true: list[int]) -> Screening:
    count = len(true)
    return Screening(blame, energy, np.ones(count, np.float32), np.zeros(count, np.int64), np.array(true))


def normal(energy: list[list[float]], sigma: list[float]) -> LayerReference:
    mu = np.array(energy, np.float32)
    return LayerReference(mu, np.zeros_like(mu), row(*sigma))


# Shifts


def test_the_observed_shift_is_the_mean_over_errors_layer_after_layer() -> None:
    reference = Reference(
        {"a": normal([[1, 2], [3, 4]], [0.5, 2]), "b": normal([[0], [10]], [5])}, np.array([8, 8])
    )
    errors = screening(
        {},
        {"a": np.array([[2, 2], [4, 8]], np.float32), "b": np.array([[5], [5]], np.float32)},
        true=[0, 1],
    )
    # a: (2, 0) and (2, 2); b: 1 and -1
    assert observed_shift(errors, reference, ["a", "b"]).tolist() == [2, 1, 0]
    assert observed_shift(errors, reference, ["b", "a"]).tolist() == [0, 2, 1]


def test_an_operation_shifts_each_filter_by_its_weights_in_sigma() -> None:
    """Brighter by 51 (0.2): filters x, 2x and 1 - x after a ReLU, of pictures between 0.2 and 0.6."""
    network = Readout([[1.0], [2.0], [-1.0]], [[1, 0, 0], [0, 1, 1]])
    classifier = Classifier(network, ["a", "b"], plain(4, 1))
    reference = Reference({"act": normal([[9, 9, 9]], [0.1, 0.1, 0.5])}, np.array([8]))
    before = np.random.default_rng(0).integers(51, 153, (5, 4, 4, 1), dtype=np.uint8)
    shift = induced_shift(classifier, reference, ["act"], before, before + 51, batch_size=2)
    assert shift == pytest.approx([2, 4, 0], abs=1e-5)  # the third filter is shut before and after


def test_an_operation_that_changes_nothing_shifts_nothing() -> None:
    classifier, images = deep(), noise(3, 8, 3)
    reference = Reference({"first": normal([[1, 1, 1, 1]], [1, 1, 1, 1])}, np.array([8]))
    assert induced_shift(classifier, reference, ["first"], images, images).tolist() == [0, 0, 0, 0]


# Weights


def test_weights_are_positive_blame_with_the_same_total_for_each_layer() -> None:
    errors = screening(
        {
            "a": np.array([[1, -5, 2], [3, 1, 0]], np.float32),
            "b": np.array([[100, 0], [100, 200]], np.float32),
        },
        {},
        true=[0, 0],
    )
    # means: a 2, -2, 1; b 100, 100
    weights = blame_weights(errors, ["a", "b"])
    assert weights == pytest.approx([1 / 3, 0, 1 / 6, 1 / 4, 1 / 4])
    assert weights.sum() == pytest.approx(1)


def test_a_layer_without_positive_blame_weighs_nothing() -> None:
    errors = screening(
        {"a": np.array([[-1, -2]], np.float32), "b": np.array([[3, 1]], np.float32)}, {}, true=[0]
    )
    assert blame_weights(errors, ["a", "b"]).tolist() == [0, 0, 0.375, 0.125]


# The explained share


@pytest.mark.parametrize(
    ("induced", "share"),
    [
        (row(2, 1), 1.0),  # everything
        (row(0, 0), 0.0),  # nothing
        (row(1, 1), 1 - 3 / 13),  # w o^2 = 3 * 4 + 1 = 13, what is left 3 * 1
        (row(-2, -1), 1 - 4),  # the opposite
        (row(2, 9), 1 - 64 / 13),
    ],
)
def test_the_explained_share_is_one_minus_what_is_left(induced: FloatArray, share: float) -> None:
    assert explained_share(row(2, 1), induced, row(3, 1)) == pytest.approx(share, abs=1e-6)


def test_a_filter_without_weight_does_not_count() -> None:
    assert explained_share(row(2, 7), row(2, -100), row(1, 0)) == 1


def test_where_nothing_shifted_nothing_is_explained() -> None:
    assert explained_share(row(0, 0), row(1, 1), row(1, 1)) == 0
    assert explained_share(row(1, 1), row(1, 1), row(0, 0)) == 0


# The strength


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.75, 1.3, 2.0])
def test_on_a_linear_path_the_strength_is_recovered_exactly(strength: float) -> None:
    direction = row(1, -2, 0.5)
    strengths = [0.5, 1.0, 2.0]
    found, share = fit_strength(
        direction * strength, strengths, [direction * s for s in strengths], row(1, 2, 3)
    )
    assert found == pytest.approx(strength, abs=1e-6)
    assert share == pytest.approx(1, abs=1e-6)


def test_a_shift_beyond_the_strongest_measured_is_fitted_by_the_strongest() -> None:
    found, share = fit_strength(row(3), [1.0, 2.0], [row(1), row(2)], row(1))
    assert found == 2
    assert share == pytest.approx(1 - 1 / 9)


def test_an_operation_in_the_other_direction_explains_nothing_at_strength_zero() -> None:
    assert fit_strength(row(-1, 0), [1.0, 2.0], [row(1, 0), row(2, 0)], row(1, 1)) == (0, 0)


def test_strengths_that_change_nothing_are_passed_over() -> None:
    found, share = fit_strength(row(1.0), [1.0, 2.0, 3.0], [row(0), row(0), row(2)], row(1))
    assert (found, share) == (2.5, 1)


@pytest.mark.parametrize("seed", range(6))
def test_on_a_bent_path_the_strength_is_that_of_a_fine_grid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    strengths = [0.3, 1.0, 1.5, 4.0]
    induced = [row(*shift) for shift in np.cumsum(rng.normal(0.3, 1, (4, 5)), 0)]
    observed = row(*(induced[1 + seed % 3] * 0.8 + rng.normal(0, 0.3, 5)))
    weights = row(*rng.random(5))
    grid = np.linspace(0, 4, 20001)
    knots = np.array([0.0, *strengths])
    path = np.stack([np.interp(grid, knots, [0, *[shift[c] for shift in induced]]) for c in range(5)], 1)
    shares = 1 - (weights * (observed - path) ** 2).sum(1) / (weights * observed**2).sum()
    found, share = fit_strength(observed, strengths, induced, weights)
    assert share == pytest.approx(shares.max(), abs=1e-5)
    assert found == pytest.approx(grid[shares.argmax()], abs=2e-3)
    assert share > 0.2  # the case is not the trivial one


@pytest.mark.parametrize(
    ("strength", "shift"),
    [(0, [0, 0]), (0.25, [1, -0.5]), (0.5, [2, -1]), (1.0, [3, 1]), (1.5, [4, 3]), (9.0, [4, 3])],
)
def test_the_shift_at_a_strength_lies_on_the_path(strength: float, shift: list[float]) -> None:
    assert shift_at(strength, [0.5, 1.5], [row(2, -1), row(4, 3)]).tolist() == pytest.approx(shift)


@pytest.mark.parametrize(
    ("strength", "slope"),
    [(0.2, [4, -2]), (1.0, [2, 4]), (1.5, [2, 4]), (7.0, [2, 4]), (0.5, [3, 1])],
    ids=["before the first", "between", "at the last", "beyond the last", "where two pieces meet"],
)
def test_the_slope_is_that_of_the_path(strength: float, slope: list[float]) -> None:
    assert slope_at(strength, [0.5, 1.5], [row(2, -1), row(4, 3)]).tolist() == pytest.approx(slope)


def test_the_shift_at_the_fitted_strength_explains_the_fitted_share() -> None:
    strengths, induced = [0.5, 1.0, 2.0], [row(1, 0), row(1, 2), row(4, 2)]
    observed, weights = row(1.7, 2.4), row(1, 0.5)
    strength, share = fit_strength(observed, strengths, induced, weights)
    assert explained_share(observed, shift_at(strength, strengths, induced), weights) == pytest.approx(
        share, abs=1e-6
    )


def test_matches_come_best_first_with_their_strengths() -> None:
    responses = {
        "dim": ([1.0], [row(-1, 0)]),
        "blur": ([2.0, 4.0], [row(0, 1), row(0, 2)]),
        "glare": ([1.0, 3.0], [row(1, 1), row(3, 3)]),
    }
    found = match(row(2, 2), responses, row(1, 1))
    assert [(each.operation, each.strength, each.share) for each in found] == [
        ("glare", 2, 1),
        ("blur", 4, 0.5),
        ("dim", 0, 0),
    ]


def test_several_shifts_at_once_are_fitted_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    strengths, shifts = [0.5, 1.0, 2.0], [row(*rng.normal(0, 1 + i, 12)) for i in range(3)]
    weights, observed = row(*rng.random(12)), np.stack([row(*rng.normal(0, 2, 12)) for _ in range(9)])
    found = fit_strengths(observed, strengths, shifts, weights)
    for each, strength, share in zip(observed, *found, strict=True):
        grid = np.linspace(0, 2, 2001)
        by_hand = [explained_share(each, shift_at(s, strengths, shifts), weights) for s in grid]
        assert share == pytest.approx(max(0, *by_hand), abs=1e-4)
        assert explained_share(each, shift_at(strength, strengths, shifts), weights) == pytest.approx(
            share, abs=1e-4
        )


def test_of_what_did_not_move_nothing_is_explained() -> None:
    found = fit_strengths(
        np.zeros((2, 3), np.float32), [1.0, 2.0], [row(0, 0, 0), row(1, 0, 0)], row(1, 1, 1)
    )
    assert [each.tolist() for each in found] == [[0, 0], [0, 0]]


# Two operations


def path(seed: int, strengths: list[float], filters: int = 60) -> tuple[list[float], list[FloatArray]]:
    """A bent path: the shift of every stretch has a direction of its own beside a common one."""
    rng = np.random.default_rng(seed)
    steps = np.diff([0.0, *strengths])[:, None] * (
        rng.normal(size=filters) + rng.normal(0, 0.3, (len(strengths), filters))
    )
    return strengths, [row(*shift) for shift in np.cumsum(steps, 0)]


@pytest.mark.parametrize(("one", "other"), [(0.4, 2.5), (1.0, 0.2), (1.7, 1.6), (0.25, 0.6)])
def test_two_planted_strengths_are_recovered_where_shifts_add_up(one: float, other: float) -> None:
    first, second = path(1, [0.5, 1.0, 2.0]), path(2, [0.2, 1.5, 3.0])
    weights = np.random.default_rng(3).random(60).astype(np.float32)
    observed = shift_at(one, *first) + shift_at(other, *second)
    found, share = fit_together(observed, [first, second], weights)
    assert found == pytest.approx((one, other), abs=0.01)
    assert share == pytest.approx(1, abs=1e-4)


def test_three_planted_strengths_are_recovered_where_shifts_add_up() -> None:
    paths = [path(1, [0.5, 1.0, 2.0]), path(2, [0.2, 1.5, 3.0]), path(3, [1.0, 2.0, 4.0])]
    planted = (0.7, 1.2, 2.5)
    observed = np.sum(
        [shift_at(strength, *each) for strength, each in zip(planted, paths, strict=True)], axis=0
    )
    found, share = fit_together(observed, paths, np.ones(60, np.float32), rounds=8)
    assert found == pytest.approx(planted, abs=0.02)
    assert share == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_the_share_of_a_pair_is_that_of_the_sum_and_above_either_alone(seed: int) -> None:
    first, second = path(10 + seed, [0.5, 1.0, 2.0]), path(20 + seed, [0.2, 1.5, 3.0])
    rng = np.random.default_rng(seed)
    weights = row(*rng.random(60))
    observed = shift_at(1.2, *first) + shift_at(0.7, *second) + row(*rng.normal(0, 0.3, 60))
    (one, other), share = fit_together(observed, [first, second], weights)
    both = sum(
        np.array([np.interp(strength, [0, *knots], [0, *column]) for column in np.stack(shifts).T])
        for strength, (knots, shifts) in ((one, first), (other, second))
    )
    assert share == pytest.approx(explained_share(observed, row(*np.asarray(both)), weights), abs=1e-5)
    alone = [fit_strength(observed, *each, weights)[1] for each in (first, second)]
    assert 1 > share > max(alone) + 0.1


def test_a_second_operation_that_points_the_other_way_stays_at_zero() -> None:
    first, second = ([1.0], [row(1, 0)]), ([1.0], [row(0, -1)])
    found, share = fit_together(row(0.5, 0.5), [first, second], row(1, 1))
    assert found == pytest.approx((0.5, 0.0))
    assert share == pytest.approx(0.5)


def test_no_change_at_all_explains_nothing() -> None:
    assert fit_together(row(0.5, 0.5), [], row(1, 1)) == ((), 0.0)


# Every two of many


def test_every_two_explain_what_the_best_two_of_their_strengths_do_with_an_offset() -> None:
    """By hand: all measured strengths of both, and a fine grid of how much of the row's offset goes along."""
    rng = np.random.default_rng(7)
    paths = [path(seed, strengths) for seed, strengths in ((1, [1.0]), (2, [0.5, 1.0]), (3, [1.0, 2.0, 3.0]))]
    offsets, weights = row(*rng.normal(size=180)).reshape(3, 60), row(*rng.random(60))
    for times in (-1.0, 0.7, 5.0):  # none of the offset, some, more than is allowed
        observed = (
            paths[0][1][0] + paths[2][1][1] + np.float32(times) * offsets[0] + row(*rng.normal(0, 0.3, 60))
        )
        found = shares_of_pairs(observed, paths, offsets, 2.0, weights)
        for one, (_, first) in enumerate(paths):
            for other, (_, second) in enumerate(paths):
                best = max(
                    explained_share(observed, a + b + np.float32(factor) * offsets[one], weights)
                    for a in first
                    for b in second
                    for factor in np.linspace(0, 2, 201)
                )
                assert found[one, other] == pytest.approx(best, abs=1e-3)


def test_two_that_work_against_each_other_explain_what_neither_does() -> None:
    """A blur takes what noise brings, all but a tenth of both."""
    blur, grain = row(-1, -1, 0.1, 0), row(1, 1, 0, 0.1)
    observed, ones = blur + grain, row(1, 1, 1, 1)
    none = np.zeros((2, 4), np.float32)
    alone = [fit_strength(observed, [1.0], [each], ones)[1] for each in (blur, grain)]
    assert max(alone) < 0.02
    both = shares_of_pairs(observed, [([1.0], [blur]), ([1.0], [grain])], none, 2.0, ones)
    assert both[0, 1] == pytest.approx(1.0, abs=1e-5)


# Beside one of several other shifts


@pytest.mark.parametrize("seed", range(6))
def test_no_strength_and_no_amount_of_another_shift_explain_more(seed: int) -> None:
    """Of a fine grid of both, for each of three others."""
    rng = np.random.default_rng(seed)
    strengths, induced = path(30 + seed, [0.5, 1.0, 2.0])
    others, weights = row(*rng.normal(size=180)).reshape(3, 60), row(*rng.random(60))
    observed = shift_at(1.3, strengths, induced) + row(*rng.normal(0, 0.4, 60))
    observed = observed + np.float32(seed - 1) * others[seed % 3]  # none of it, some, more than allowed
    strength, which, share = fit_beside(observed, (strengths, induced), others, 2.0, weights)
    shares = [
        explained_share(
            observed, shift_at(t, strengths, induced) + np.float32(factor) * others[which], weights
        )
        for t in (strength,)
        for factor in np.linspace(0, 2, 401)
    ]
    assert share == pytest.approx(max(shares), abs=1e-4)
    best = max(
        explained_share(observed, shift_at(t, strengths, induced) + np.float32(factor) * other, weights)
        for other in others
        for t in np.linspace(0, 2, 41)
        for factor in np.linspace(0, 2, 41)
    )
    assert share >= best - 1e-5
    if 1 <= seed <= 3:
        assert strength == pytest.approx(1.3, abs=0.25)
    if 2 <= seed <= 3:
        assert which == seed % 3


def test_beside_nothing_the_strength_is_that_of_the_change_alone() -> None:
    strengths, induced = path(3, [0.5, 1.0, 2.0])
    observed, weights = path(4, [1.0, 2.0, 3.0])[1][0] + induced[1], row(*np.linspace(0, 1, 60))
    found = fit_beside(observed, (strengths, induced), np.zeros((2, 60), np.float32), 2.0, weights)
    strength, share = fit_strength(observed, strengths, induced, weights)
    assert found[0] == pytest.approx(strength, abs=1e-4)
    assert found[2] == pytest.approx(share, abs=1e-5)


def test_where_nothing_shifted_nothing_is_fitted_beside_it() -> None:
    strengths, induced = path(3, [0.5, 1.0, 2.0])
    nothing = np.zeros(60, np.float32)
    assert fit_beside(nothing, (strengths, induced), nothing[None], 2.0, nothing + 1) == (0.0, 0, 0.0)


def test_a_change_that_moves_nothing_has_the_strength_at_which_it_is_first_measured_or_less() -> None:
    nothing, observed = np.zeros(2, np.float32), row(1, 1)
    strength, which, share = fit_beside(observed, ([1.0], [nothing]), row(1, 0)[None], 2.0, row(1, 1))
    assert 0 <= strength <= 1
    assert which == 0
    assert share == pytest.approx(0.5)
