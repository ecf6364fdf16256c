import pytest
import torch

from fmi_engine.parametrization import PARAMETRIZATIONS, pixels, spectrum


def start(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 + 0.8 * torch.rand(2, 3, height, width, generator=generator)


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 9), (6, 5)])
def test_the_first_picture_is_the_start(name: str, height: int, width: int) -> None:
    begun = start(height, width)
    written = PARAMETRIZATIONS[name](begun)
    assert torch.allclose(written.picture(), begun, atol=1e-5)


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_black_and_white_begin_where_a_gradient_still_flows(name: str) -> None:
    half = torch.arange(16).reshape(1, 1, 4, 4).remainder(2).float()
    assert torch.allclose(PARAMETRIZATIONS[name](half).picture(), 0.02 + 0.96 * half, atol=1e-5)


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_pictures_stay_within_zero_and_one_whatever_the_parameters(name: str) -> None:
    written = PARAMETRIZATIONS[name](start(8, 8))
    with torch.no_grad():
        written.parameters[0].mul_(100)
        picture = written.picture()
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert picture.std() > 0.3


def test_a_pixel_moves_by_the_slope_of_the_sigmoid() -> None:
    written = pixels(torch.tensor([[[[0.5, 0.2]]]]))
    written.picture().sum().backward()  # type: ignore[no-untyped-call]
    assert written.parameters[0].grad is not None
    assert written.parameters[0].grad.flatten().tolist() == pytest.approx([0.25, 0.16])


def moved(row: int, column: int) -> float:
    """How far (greatest change of the logit) a picture moves when one coefficient grows by 1."""
    written = spectrum(torch.full((1, 1, 16, 16), 0.5))
    with torch.no_grad():
        written.parameters[0][0, 0, row, column] += 1
        return float(torch.logit(written.picture()).abs().max())


def test_the_same_step_moves_coarse_structure_by_one_over_its_frequency() -> None:
    assert moved(0, 1) / moved(0, 2) == pytest.approx(2, rel=1e-3)
    assert moved(0, 1) / moved(0, 4) == pytest.approx(4, rel=1e-3)
    assert moved(3, 4) / moved(0, 5) == pytest.approx(1, rel=1e-3)  # hypot(3, 4) = 5
    assert moved(4, 1) == pytest.approx(moved(12, 1), rel=1e-3)  # as far down as up


def test_the_mean_moves_as_the_coarsest_structure_does() -> None:
    # A wave of one coefficient and its mirror image is twice as high as the mean's own.
    assert moved(0, 0) == pytest.approx(moved(0, 1) / 2, rel=1e-3)


def test_each_picture_of_a_batch_has_parameters_of_its_own() -> None:
    for write in PARAMETRIZATIONS.values():
        written = write(start(8, 8))
        before = written.picture().detach()
        with torch.no_grad():
            written.parameters[0][0] *= 1.5
        after = written.picture().detach()
        assert not torch.allclose(after[0], before[0])
        assert torch.allclose(after[1], before[1], atol=1e-6)
