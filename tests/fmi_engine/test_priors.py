import numpy as np
import pytest
import torch

from fmi_engine.priors import total_variation
from fmi_engine.types import FloatArray


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
