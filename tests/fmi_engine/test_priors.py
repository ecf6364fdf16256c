import numpy as np
import pytest
import torch
from skimage.restoration import denoise_tv_chambolle

from fmi_engine.priors import alpha_norm, denoise, total_variation
from fmi_engine.types import FloatArray

pytestmark = pytest.mark.numeric


def slow_total_variation(picture: FloatArray, beta: float) -> float:
    """Equation 4 of arXiv 1412.0035, one position at a time, as a mean."""
    channels, height, width = picture.shape
    total: float = 0.0
    for c in range(channels):
        for i in range(height - 1):
            for j in range(width - 1):
                dx = picture[c, i, j + 1] - picture[c, i, j]
                dy = picture[c, i + 1, j] - picture[c, i, j]
                total += float(dx**2 + dy**2) ** (beta / 2)
    return float(total / (channels * (height - 1) * (width - 1)))


def test_one_position_worked_out_on_paper() -> None:
    picture = torch.tensor([[[[0.25, 0.75], [0.5, 99.0]]]])  # dx 0.5, dy 0.25; the far corner plays no part
    assert total_variation(picture).tolist() == [0.3125]
    assert total_variation(picture, beta=1.0).tolist() == pytest.approx([0.3125**0.5])


def test_a_flat_picture_costs_nothing() -> None:
    assert total_variation(torch.full((2, 3, 4, 5), 0.7)).tolist() == [0, 0]


def test_a_ramp_costs_its_slope_squared() -> None:
    ramp = torch.linspace(0, 1, 5).expand(1, 1, 4, 5)  # steps of 0.25
    assert total_variation(ramp).tolist() == pytest.approx([0.0625])


@pytest.mark.parametrize("beta", [1.0, 2.0, 3.0])
def test_each_picture_has_its_own_value(beta: float) -> None:
    pictures = np.random.default_rng(0).random((3, 2, 5, 4), dtype=np.float32)
    expected = [slow_total_variation(picture, beta) for picture in pictures]
    assert total_variation(torch.from_numpy(pictures), beta).tolist() == pytest.approx(expected, rel=1e-5)


def test_its_gradient_pulls_neighbours_together() -> None:
    picture = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]], requires_grad=True)  # dx 1, dy 0
    total_variation(picture).sum().backward()  # type: ignore[no-untyped-call]
    assert picture.grad is not None
    assert picture.grad.tolist() == [[[[-2, 2], [0, 0]]]]


# The alpha-norm


def test_the_alpha_norm_worked_out_on_paper() -> None:
    x = torch.tensor([[[[1.0, -2.0]], [[0.0, 0.5]]], [[[0.0, 0.0]], [[0.0, -2.0]]]])
    # (1 + 64 + 0 + 1/64) / 4 and 64 / 4
    assert alpha_norm(x).tolist() == pytest.approx([16.25390625, 16])
    assert alpha_norm(x, alpha=1.0).tolist() == [0.875, 0.5]
    assert alpha_norm(x, alpha=2.0).tolist() == [1.3125, 1]


def test_the_alpha_norm_holds_back_large_values_and_hardly_small_ones() -> None:
    x = torch.tensor([[[[0.5, -2.0]]]], requires_grad=True)
    alpha_norm(x).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.flatten().tolist() == pytest.approx([6 * 0.5**5 / 2, -6 * 2.0**5 / 2])


# Denoising


def halves(low: float, high: float) -> torch.Tensor:
    """The left half at one level, the right half at another: (1, 1, 6, 8)."""
    return torch.tensor([low] * 4 + [high] * 4).expand(1, 1, 6, 8).clone()


def test_no_weight_changes_nothing() -> None:
    picture = halves(0.2, 0.4)
    assert denoise(picture, 0.0) is picture


@pytest.mark.parametrize("weight", [0.1, 0.2, 0.4])
def test_two_halves_come_nearer_by_the_weight_over_their_width(weight: float) -> None:
    """Min over a, b of weight * |b - a| + (4 a^2 + 4 (1 - b)^2) / 2 for each row: a = 1 - b = weight / 4.

    The problem of Rudin, Osher and Fatemi, of which Chambolle gives the solution, in the picture's range.
    """
    smooth = denoise(halves(0.2, 0.6), weight)
    assert smooth.numpy() == pytest.approx(
        halves(0.2 + 0.4 * weight / 4, 0.6 - 0.4 * weight / 4).numpy(), abs=2e-3
    )


def test_each_picture_is_denoised_by_itself_as_scikit_image_does_each_channel() -> None:
    pictures = np.random.default_rng(0).random((2, 3, 9, 7), dtype=np.float32)
    pictures[0] = 0.3 + 0.05 * pictures[0]
    found = denoise(torch.from_numpy(pictures), 0.2).numpy()
    for picture, smooth in zip(pictures, found, strict=True):
        low, high = picture.min(), picture.max()
        for channel, one in zip(picture, smooth, strict=True):
            alone = denoise_tv_chambolle((channel - low) / (high - low), 0.2) * (high - low) + low
            assert one == pytest.approx(alone, abs=1e-5)
        assert smooth.std() < 0.8 * picture.std()


def test_a_faint_pattern_is_denoised_no_more_than_a_strong_one() -> None:
    strong = torch.rand(1, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    faint = 0.4 + 0.02 * strong
    expected = 0.4 + 0.02 * denoise(strong, 0.2)
    assert denoise(faint, 0.2).numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def test_a_flat_picture_stays_flat() -> None:
    flat = torch.full((2, 1, 5, 6), 0.7)
    assert denoise(flat, 0.2).numpy() == pytest.approx(flat.numpy(), abs=1e-6)
