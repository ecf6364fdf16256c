from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmi_engine.energy import (
    DRAWS,
    energies,
    flatten_maps,
    isolate,
    patch_energy,
    rank_match,
    reallocate_at_random,
    shuffle_maps,
    spreads,
)
from fmi_engine.errors import EngineError, UnknownLayerError
from fmi_engine.types import FloatArray

pytestmark = pytest.mark.numeric


def code_of(*maps: list[list[float]]) -> Tensor:
    return torch.tensor(maps, dtype=torch.float32)[None]


def random_code(batch: int = 3, channels: int = 5, height: int = 4, width: int = 2) -> Tensor:
    """As behind a ReLU: about a third of its values are 0."""
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(batch, channels, height, width, generator=generator) + 0.4).clamp_min(0)


def test_energy_is_the_mean_and_spread_the_population_deviation() -> None:
    code = code_of([[1, 3], [1, 3]], [[0, 0], [0, 4]])
    assert energies(code).tolist() == [[2, 1]]
    assert spreads(code)[0].tolist() == pytest.approx([1, 3**0.5])  # (3 * 1 + 9) / 4 = 3


def test_isolate_moves_the_sum_at_each_position_onto_one_filter() -> None:
    code = code_of([[1, 2]], [[10, 20]], [[100, 200]])
    assert isolate(code, [1])[0].tolist() == [[[0, 0]], [[111, 222]], [[0, 0]]]


def test_isolate_takes_one_filter_for_each_code() -> None:
    code = torch.cat([code_of([[1, 2]], [[3, 4]]), code_of([[5, 6]], [[7, 8]])])
    assert isolate(code, [1, 0]).tolist() == [[[[0, 0]], [[4, 6]]], [[[12, 14]], [[0, 0]]]]


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ([[0]], [[[111, 222]], [[0, 0]], [[0, 0]]]),
        ([[2, 0]], [[[55.5, 111]], [[0, 0]], [[55.5, 111]]]),
        ([(0, 1, 2)], [[[37, 74]], [[37, 74]], [[37, 74]]]),
    ],
    ids=["one", "two", "all"],
)
def test_isolate_shares_the_sum_equally_among_a_set(
    channels: Sequence[Sequence[int]], expected: list[list[list[float]]]
) -> None:
    assert isolate(code_of([[1, 2]], [[10, 20]], [[100, 200]]), channels)[0].tolist() == expected


def test_isolate_takes_a_filter_for_one_code_and_a_set_for_another() -> None:
    code = torch.cat([code_of([[1, 2]], [[3, 4]]), code_of([[5, 6]], [[7, 8]])])
    assert isolate(code, [1, [1, 0]]).tolist() == [[[[0, 0]], [[4, 6]]], [[[6, 7]], [[6, 7]]]]


def test_isolate_is_the_formula() -> None:
    code, channels = random_code(), [[4], [0, 3], [1, 2, 4]]
    expected = np.zeros(code.shape)
    for i, chosen in enumerate(channels):
        for y, x in np.ndindex(4, 2):
            total = sum(float(code[i, c, y, x]) for c in range(5))
            for channel in chosen:
                expected[i, channel, y, x] = total / len(chosen)
    assert np.allclose(isolate(code, channels), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ([2], "no such filter among channels [2]; 0 to 1 exist"),
        ([-1], "no such filter among channels [-1]; 0 to 1 exist"),
        ([[0, 2]], "no such filter among channels [0, 2]; 0 to 1 exist"),
        ([0, 1], "2 channels given for 1 codes; expected one for each"),
        ([], "0 channels given for 1 codes; expected one for each"),
        ([[]], "channels [] given; expected at least one, and none twice"),
        ([[1, 1]], "channels [1, 1] given; expected at least one, and none twice"),
    ],
    ids=["beyond", "below", "in a set", "too many", "none", "empty set", "repeated"],
)
def test_isolate_refuses_channels_that_do_not_fit(
    channels: Sequence[int | Sequence[int]], message: str
) -> None:
    with pytest.raises(UnknownLayerError) as refusal:
        isolate(code_of([[1, 2]], [[3, 4]]), channels)
    assert str(refusal.value) == message


MODIFICATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "isolate": lambda code: isolate(code, [0, [1, 2], 4]),
    "shuffle_maps": lambda code: shuffle_maps(code, [1, 2, 3]),
    "flatten_maps": flatten_maps,
    "dirichlet": lambda code: reallocate_at_random(code, [1, 2, 3]),
    "paper": lambda code: reallocate_at_random(code, [1, 2, 3], draw="paper"),
    "rank_match": lambda code: rank_match(code, code.flip(0)),
}


@pytest.mark.parametrize("name", MODIFICATIONS)
def test_a_modification_leaves_its_operand_and_shares_no_memory_with_it(name: str) -> None:
    code = random_code()
    before = code.clone()
    after = MODIFICATIONS[name](code)
    assert after.shape == code.shape
    assert not torch.equal(after, code)
    again = after.clone()
    after[0, 0, 0, 0] += 1
    assert int((after != again).sum()) == 1  # its own values do not share memory either
    assert torch.equal(code, before)


# The controls of the trust test


def test_a_shuffle_permutes_all_maps_of_a_code_alike() -> None:
    code = torch.arange(12.0).reshape(1, 1, 3, 4) + torch.tensor([0.0, 100.0, 200.0])[None, :, None, None]
    shuffled = shuffle_maps(code, [5])[0]
    order = torch.randperm(12, generator=torch.Generator().manual_seed(5)).tolist()
    assert order != [*range(12)]
    assert shuffled[0].flatten().tolist() == order  # position p of the map was numbered p
    assert shuffled[1].flatten().tolist() == [100 + place for place in order]
    assert shuffled[2].flatten().tolist() == [200 + place for place in order]


def test_a_shuffle_keeps_the_values_of_each_map() -> None:
    code = random_code()
    shuffled = shuffle_maps(code, [0, 1, 2])
    assert torch.equal(shuffled.flatten(2).sort(2).values, code.flatten(2).sort(2).values)


def test_a_map_becomes_its_mean() -> None:
    code = torch.cat([code_of([[1, 3]], [[0, 0]]), code_of([[4, 0]], [[1, 2]])])
    assert flatten_maps(code).tolist() == [[[[2, 2]], [[0, 0]]], [[[2, 2]], [[1.5, 1.5]]]]


SEEDED: dict[str, Callable[[Tensor, list[int]], Tensor]] = {
    "shuffle_maps": shuffle_maps,
    "dirichlet": reallocate_at_random,
    "paper": lambda code, seeds: reallocate_at_random(code, seeds, draw="paper"),
}


@pytest.mark.parametrize("name", SEEDED)
def test_a_seed_gives_the_same_whatever_the_batch_and_another_seed_another(name: str) -> None:
    code, change = random_code(), SEEDED[name]
    together = change(code, [7, 8, 9])
    for i in range(3):
        assert torch.allclose(change(code[i : i + 1], [7 + i])[0], together[i])
    assert torch.allclose(change(code.flip(0), [9, 8, 7]), together.flip(0))
    assert not torch.allclose(change(code, [7, 8, 10])[2], together[2])


@pytest.mark.parametrize("name", SEEDED)
def test_seeds_that_are_not_one_for_each_code_are_refused(name: str) -> None:
    with pytest.raises(EngineError) as refusal:
        SEEDED[name](random_code(), [1, 2])
    assert str(refusal.value) == "2 seeds given for 3 codes; expected one for each"


# Reallocation at random


def slow_reallocation(code: FloatArray, shares: Sequence[FloatArray]) -> NDArray[np.float64]:
    """F*_c(p) = (sum of F) * r_c * F_c(p) / (sum over p of F_c), one number at a time."""
    out = np.zeros(code.shape)
    for i in range(len(code)):
        total = sum(float(value) for value in code[i].flatten())
        for c in range(code.shape[1]):
            own = sum(float(value) for value in code[i, c].flatten())
            for position in np.ndindex(code.shape[2:]):
                out[i, c][position] = total * shares[i][c] * code[i, c][position] / own if own else 0.0
    return out


def test_the_papers_draw_is_its_normal_shared_out_by_the_formula() -> None:
    code, seeds = random_code(), [3, 4, 5]
    drawn = [np.random.default_rng(seed).normal(3, 1000**0.5, 5) for seed in seeds]
    shares = [np.asarray(r / r.sum(), np.float32) for r in drawn]
    after = reallocate_at_random(code, seeds, draw="paper")
    assert np.allclose(after, slow_reallocation(code.numpy(), shares), rtol=1e-4, atol=1e-4)
    assert (after < 0).any()  # out of a ReLU's reach


def share_of(code: Tensor) -> Tensor:
    """Each filter's share of the energy of its code."""
    return code.sum((2, 3)) / code.sum((1, 2, 3))[:, None]


@pytest.mark.parametrize("draw", DRAWS)
def test_reallocation_keeps_the_total_and_each_maps_layout(draw: str) -> None:
    code = random_code(batch=20, channels=6)
    after = reallocate_at_random(code, list(range(20)), draw)
    assert after.sum((1, 2, 3)).tolist() == pytest.approx(code.sum((1, 2, 3)).tolist(), rel=1e-3)
    by_hand = slow_reallocation(code.numpy(), [row.numpy() for row in share_of(after)])
    assert np.allclose(after, by_hand, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(share_of(after), share_of(code), atol=0.1)


@pytest.mark.parametrize("draw", DRAWS)
def test_a_dead_map_stays_dead_and_the_others_share_its_part(draw: str) -> None:
    code = random_code(batch=1, channels=4)
    whole = share_of(reallocate_at_random(code, [2], draw))[0]
    code[0, 1] = 0
    after = reallocate_at_random(code, [2], draw)
    assert (after[0, 1] == 0).all()
    left = share_of(after)[0]
    alive = [0, 2, 3]
    assert left[alive].tolist() == pytest.approx((whole[alive] / whole[alive].sum()).tolist(), rel=1e-3)
    assert float(after.sum()) == pytest.approx(float(code.sum()), rel=1e-3)


@pytest.mark.parametrize("draw", DRAWS)
def test_a_code_without_energy_and_a_single_live_map_stay_as_they_are(draw: str) -> None:
    code = torch.cat([code_of([[0, 0]], [[0, 0]]), code_of([[0, 0]], [[1, 3]])])
    assert reallocate_at_random(code, [0, 1], draw).tolist() == code.tolist()


def dirichlet_shares(concentration: float, channels: int = 4, count: int = 3000) -> Tensor:
    code = torch.ones(count, channels, 1, 2)
    return share_of(reallocate_at_random(code, range(count), concentration=concentration))


@pytest.mark.parametrize("concentration", [0.05, 0.5, 1.0, 8.0])
def test_dirichlet_shares_have_their_mean_and_variance(concentration: float) -> None:
    """Of k shares with concentration a: mean 1/k, variance (k - 1) / (k^2 (k a + 1))."""
    shares = dirichlet_shares(concentration)
    assert float(shares.min()) >= 0
    assert shares.mean(0).tolist() == pytest.approx([0.25] * 4, abs=0.03)
    variance = 3 / (16 * (4 * concentration + 1))
    assert shares.var(0).tolist() == pytest.approx([variance] * 4, rel=0.15)


def test_every_sharing_is_as_likely_as_any_other_by_default() -> None:
    """Of two such shares each is uniform in 0 to 1, so every tenth holds a tenth."""
    first = dirichlet_shares(1.0, channels=2)[:, 0]
    assert torch.equal(first, share_of(reallocate_at_random(torch.ones(3000, 2, 1, 2), range(3000)))[:, 0])
    assert np.histogram(first, 10, (0, 1))[0] == pytest.approx([300] * 10, abs=60)


def test_a_tiny_concentration_gives_all_to_one_live_filter() -> None:
    code = random_code(batch=30, channels=8)
    code[:, ::2] = 0
    shares = share_of(reallocate_at_random(code, range(30), concentration=1e-5))
    assert shares.max(1).values.tolist() == pytest.approx([1] * 30)
    assert {*shares.argmax(1).tolist()} == {1, 3, 5, 7}


def test_an_unknown_draw_is_refused_with_those_that_exist() -> None:
    with pytest.raises(EngineError) as refusal:
        reallocate_at_random(random_code(), [1, 2, 3], draw="poisson")
    assert str(refusal.value) == "no draw 'poisson'; these exist: dirichlet, paper"


@pytest.mark.parametrize("concentration", [0.0, -1.0, float("nan"), float("inf")])
def test_a_concentration_out_of_range_is_refused(concentration: float) -> None:
    with pytest.raises(EngineError) as refusal:
        reallocate_at_random(random_code(), [1, 2, 3], concentration=concentration)
    assert str(refusal.value) == f"concentration is {concentration}; expected a number above 0"


# Reallocation on purpose


def test_rank_matching_gives_each_map_the_energy_of_the_styles_map_of_equal_rank() -> None:
    code = code_of([[4, 6]], [[0, 2]], [[2, 4]])  # energies 5, 1, 3: ranks 2, 0, 1
    style = code_of([[7, 7]], [[9, 13]], [[2, 0]])  # energies 7, 11, 1: by rank 1, 7, 11
    assert rank_match(code, style)[0].tolist() == [[[10, 12]], [[0, 2]], [[6, 8]]]


def test_rank_matching_is_cut_at_zero_after_a_relu_only() -> None:
    code, style = code_of([[0, 4]], [[4, 6]]), code_of([[1, 1]], [[3, 3]])
    assert rank_match(code, style)[0].tolist() == [[[0, 3]], [[2, 4]]]
    assert rank_match(code, style, nonnegative=False)[0].tolist() == [[[-1, 3]], [[2, 4]]]


def test_rank_matching_takes_one_style_for_all_or_one_for_each() -> None:
    code, style = random_code(), random_code().flip(0) * 2
    for i in range(3):
        alone = rank_match(code[i : i + 1], style[:1])[0]
        assert torch.allclose(rank_match(code, style[:1])[i], alone)
        assert torch.allclose(rank_match(code, style)[i], rank_match(code[i : i + 1], style[i : i + 1])[0])


def test_of_equal_energies_the_lower_channel_is_the_lower_rank() -> None:
    code = code_of([[1, 1]], [[0, 2]], [[0, 0]], [[0, 0]])
    style = code_of([[4, 4]], [[3, 3]], [[2, 2]], [[1, 1]])
    assert energies(rank_match(code, style)).tolist() == [[3, 4, 1, 2]]


def slow_rank_match(code: FloatArray, style: FloatArray) -> NDArray[np.float64]:
    out = np.zeros(code.shape)
    for i in range(len(code)):
        own = [float(maps.mean()) for maps in code[i]]
        others = sorted(float(maps.mean()) for maps in style[i])
        for c in range(code.shape[1]):
            rank = sum(energy < own[c] for energy in own)
            for position in np.ndindex(code.shape[2:]):
                out[i, c][position] = max(code[i, c][position] - own[c] + others[rank], 0)
    return out


def test_rank_matching_is_the_formula_also_for_a_style_of_another_size() -> None:
    code, style = random_code(), 3 * random_code(height=3, width=7)
    after = rank_match(code, style)
    assert np.allclose(after, slow_rank_match(code.numpy(), style.numpy()), atol=1e-5)
    exact = rank_match(code, style, nonnegative=False)
    assert energies(exact).sort().values.flatten().tolist() == pytest.approx(
        energies(style).sort().values.flatten().tolist(), abs=1e-5
    )


@pytest.mark.parametrize(("styles", "filters"), [(1, 4), (2, 5)], ids=["filters", "codes"])
def test_a_style_that_does_not_go_with_the_code_is_refused(styles: int, filters: int) -> None:
    with pytest.raises(EngineError) as refusal:
        rank_match(random_code(), random_code(styles, filters))
    assert str(refusal.value) == (
        f"{styles} style codes of {filters} filters given for 3 codes of 5; "
        "expected one for each or one for all, of as many filters"
    )


# The energy patch


def patched(code: Tensor, energy: float, spread: float, nonnegative: bool = True, channel: int = 0) -> Tensor:
    return patch_energy(
        code, [channel], torch.tensor([[energy]]).float(), torch.tensor([[spread]]).float(), nonnegative
    )


def test_a_patch_restores_energy_and_spread_and_keeps_the_layout() -> None:
    code = code_of([[1, 3], [3, 1]])  # energy 2, spread 1
    assert patched(code, energy=5, spread=0.5)[0, 0].tolist() == [[4.5, 5.5], [5.5, 4.5]]


def test_a_patch_is_cut_at_zero_after_a_relu_only() -> None:
    code = code_of([[1, 3]])
    assert patched(code, 0.25, 1)[0, 0].tolist() == [[0, 1.25]]
    assert patched(code, 0.25, 1, nonnegative=False)[0, 0].tolist() == [[-0.75, 1.25]]


@pytest.mark.parametrize("level", [0.0, 0.1, 3.0, -0.7])
def test_a_flat_map_becomes_the_normal_energy_everywhere(level: float) -> None:
    code = code_of([[level] * 7] * 3)
    assert patched(code, 0.6, 2.0, nonnegative=False)[0, 0].flatten().tolist() == pytest.approx([0.6] * 21)


def test_rounding_on_a_flat_map_is_not_blown_up() -> None:
    code = code_of([[1.0, 1.0 + 2e-7], [1.0, 1.0]])
    assert patched(code, 0.5, 4.0)[0, 0].flatten().tolist() == pytest.approx([0.5] * 4)


def test_a_faint_pattern_is_no_flat_map() -> None:
    code = code_of([[1.0, 1.002]])  # spread 0.001
    assert patched(code, 0.5, 0.25)[0, 0, 0].tolist() == pytest.approx([0.25, 0.75], abs=1e-3)


def test_a_patch_leaves_the_other_filters_and_its_operand() -> None:
    code = code_of([[1, 3]], [[5, 9]], [[2, 2]])
    before = code.clone()
    after = patched(code, 7, 1, channel=1)
    assert after[0].tolist() == [[[1, 3]], [[6, 8]], [[2, 2]]]
    assert torch.equal(code, before)


def slow_patch(code: FloatArray, channels: list[int], energy: FloatArray, spread: FloatArray) -> FloatArray:
    """DESIGN's formula, one number at a time."""
    out = code.copy()
    for i in range(len(code)):
        for which, channel in enumerate(channels):
            values = code[i, channel]
            e, s = values.mean(), values.std()
            for position in np.ndindex(values.shape):
                out[i, channel][position] = max(
                    (values[position] - e) / s * spread[i, which] + energy[i, which], 0
                )
    return out


def test_a_patch_of_many_filters_and_images_is_the_formula() -> None:
    rng = np.random.default_rng(0)
    code = rng.random((3, 5, 4, 2), dtype=np.float32)
    energy, spread = rng.random((3, 3), dtype=np.float32), rng.random((3, 3), dtype=np.float32)
    after = patch_energy(
        torch.from_numpy(code), [4, 0, 2], torch.from_numpy(energy), torch.from_numpy(spread)
    )
    assert np.allclose(after, slow_patch(code, [4, 0, 2], energy, spread), atol=1e-6)
    assert (after == 0).any()  # some values were cut


def test_every_image_may_have_filters_of_its_own() -> None:
    rng = np.random.default_rng(1)
    code = rng.random((3, 5, 4, 2), dtype=np.float32)
    energy, spread = rng.random((3, 2), dtype=np.float32), rng.random((3, 2), dtype=np.float32)
    channels = np.array([[0, 1], [4, 2], [3, 0]])
    normal = torch.from_numpy(energy), torch.from_numpy(spread)
    after = patch_energy(torch.from_numpy(code), channels, *normal)
    for i, own in enumerate(channels.tolist()):
        rows = slice(i, i + 1)
        assert np.allclose(after[rows], slow_patch(code[rows], own, energy[rows], spread[rows]), atol=1e-6)
