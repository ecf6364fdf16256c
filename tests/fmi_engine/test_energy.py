import numpy as np
import pytest
import torch
from torch import Tensor

from fmi_engine.energy import energies, isolate, patch_energy, spreads
from fmi_engine.errors import UnknownLayerError
from fmi_engine.types import FloatArray


def code_of(*maps: list[list[float]]) -> Tensor:
    return torch.tensor(maps, dtype=torch.float32)[None]


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


def test_isolate_leaves_its_operand() -> None:
    code = code_of([[1, 2]], [[3, 4]])
    isolate(code, [0])
    assert code[0].tolist() == [[[1, 2]], [[3, 4]]]


@pytest.mark.parametrize("channels", [[2], [-1], [0, 1], []])
def test_isolate_refuses_channels_that_do_not_fit(channels: list[int]) -> None:
    with pytest.raises(UnknownLayerError) as refusal:
        isolate(code_of([[1, 2]], [[3, 4]]), channels)
    assert str(refusal.value) == f"channels {channels} do not fit 1 codes of 2 filters"


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
