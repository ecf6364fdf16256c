from collections.abc import Callable

import numpy as np
import pytest
import torch

from fmi_engine.classifier import Classifier, Preprocessing
from fmi_engine.errors import EngineError
from fmi_engine.parametrization import (
    Parametrization,
    network_input,
    phase,
    pixels,
    plant_spectrum,
    spectrum,
    write_down,
)
from tests.fmi_engine.tiny import Readout

pytestmark = pytest.mark.numeric

PREPROCESSING = Preprocessing(8, 8, 3, (0.5, 0.4, 0.3), (0.2, 0.25, 0.5))
REAL = 0.1 + 0.8 * torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(5))
WRITTEN: dict[str, Callable[[torch.Tensor], Parametrization]] = {
    "pixels": pixels,
    "spectrum": spectrum,
    "plant": lambda begun: plant_spectrum(begun, sized(begun)),
    "input": lambda begun: network_input(begun, PREPROCESSING),
}
BOUNDED = ["pixels", "spectrum", "plant"]


def sized(begun: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.interpolate(REAL, begun.shape[-2:]).repeat(1, 1, 1, 1)[:, : begun.shape[1]]


def start(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 + 0.8 * torch.rand(2, 3, height, width, generator=generator)


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 9), (6, 5)])
def test_the_first_picture_is_the_start(name: str, height: int, width: int) -> None:
    begun = start(height, width)
    written = WRITTEN[name](begun)
    assert torch.allclose(written.now(), begun, atol=1e-5)


@pytest.mark.parametrize("name", BOUNDED)
def test_black_and_white_begin_where_a_gradient_still_flows(name: str) -> None:
    half = torch.arange(16).reshape(1, 1, 4, 4).remainder(2).float()
    assert torch.allclose(WRITTEN[name](half).now(), 0.02 + 0.96 * half, atol=1e-5)


@pytest.mark.parametrize("name", BOUNDED)
def test_pictures_stay_within_zero_and_one_whatever_the_parameters(name: str) -> None:
    written = WRITTEN[name](start(8, 8))
    with torch.no_grad():
        written.parameter.mul_(100)
        picture = written.now()
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert picture.std() > 0.3


def test_a_pixel_moves_by_the_slope_of_the_sigmoid() -> None:
    written = pixels(torch.tensor([[[[0.5, 0.2]]]]))
    written.now().sum().backward()  # type: ignore[no-untyped-call]
    assert written.parameter.grad is not None
    assert written.parameter.grad.flatten().tolist() == pytest.approx([0.25, 0.16])


def moved(row: int, column: int) -> float:
    """How far (greatest change of the logit) a picture moves when one coefficient grows by 1."""
    written: Parametrization = spectrum(torch.full((1, 1, 16, 16), 0.5))
    with torch.no_grad():
        written.parameter[0, 0, row, column] += 1
        return float(torch.logit(written.now()).abs().max())


def test_the_same_step_moves_coarse_structure_by_one_over_its_frequency() -> None:
    assert moved(0, 1) / moved(0, 2) == pytest.approx(2, rel=1e-3)
    assert moved(0, 1) / moved(0, 4) == pytest.approx(4, rel=1e-3)
    assert moved(3, 4) / moved(0, 5) == pytest.approx(1, rel=1e-3)  # hypot(3, 4) = 5
    assert moved(4, 1) == pytest.approx(moved(12, 1), rel=1e-3)  # as far down as up


def test_the_mean_moves_as_the_coarsest_structure_does() -> None:
    # A wave of one coefficient and its mirror image is twice as high as the mean's own.
    assert moved(0, 0) == pytest.approx(moved(0, 1) / 2, rel=1e-3)


def test_each_picture_of_a_batch_has_parameters_of_its_own() -> None:
    for write in WRITTEN.values():
        written = write(start(8, 8))
        before = written.now().detach()
        with torch.no_grad():
            written.parameter[0] *= 1.5
        after = written.now().detach()
        assert not torch.allclose(after[0], before[0])
        assert torch.allclose(after[1], before[1], atol=1e-6)


def test_the_plants_spectrum_is_the_mean_amplitude_of_its_images() -> None:
    """A coefficient grown by 1 moves the picture in proportion to the amplitude of its frequency."""
    logit = torch.logit(REAL.clamp(0.02, 0.98)).numpy()
    amplitude = np.zeros((8, 5))
    for image in logit.reshape(9, 8, 8):
        for v in range(8):
            for u in range(5):
                y, x = np.mgrid[:8, :8]
                wave = np.exp(-2j * np.pi * (u * x + v * y) / 8)
                amplitude[v, u] += abs(((image - image.mean()) * wave).sum()) / 8 / 9

    def moved_by(row: int, column: int) -> float:
        written = plant_spectrum(torch.full((1, 3, 8, 8), 0.5), REAL)
        with torch.no_grad():
            written.parameter[0, 0, row, column] += 1
            return float(torch.logit(written.now()[0, 0]).abs().max())

    ratio = moved_by(1, 2) / moved_by(3, 1)
    assert ratio == pytest.approx(amplitude[1, 2] / amplitude[3, 1], rel=1e-3)


def test_only_the_phases_move_and_the_amplitudes_are_those_of_the_plant() -> None:
    written = phase(start(8, 8), REAL)
    angle = written.parameter

    def amplitudes() -> torch.Tensor:
        field = torch.logit(written.now().detach())
        waves = torch.fft.rfft2(field - field.mean((2, 3), keepdim=True), norm="ortho")
        found: torch.Tensor = waves.abs()[:, :, 1:, 1:4]
        return found

    before, picture = amplitudes(), written.now().detach()
    with torch.no_grad():
        angle += torch.rand(angle.shape, generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(written.now(), picture, atol=0.05)
    # Within rows 1.. and columns 1..3 no coefficient is bound to be real.
    assert torch.allclose(amplitudes(), before, rtol=1e-3, atol=1e-4)


def test_a_spectrum_of_real_images_cannot_be_had_without_them() -> None:
    classifier = Classifier(Readout([[1.0, 0, 0]], [[1], [2]]), ["a", "b"], PREPROCESSING)
    for name in ("plant", "phase"):
        with pytest.raises(
            EngineError, match=f"'{name}' takes its spectrum from real images; none are given"
        ):
            write_down(name, start(8, 8), classifier, None)


def test_parametrisations_are_found_by_their_names() -> None:
    classifier = Classifier(Readout([[1.0, 0, 0]], [[1], [2]]), ["a", "b"], PREPROCESSING)
    real = (REAL * 255).round().byte().permute(0, 2, 3, 1).numpy()
    begun = start(8, 8)
    for name, write in WRITTEN.items():
        written = write_down(name, begun, classifier, real)
        assert written.parameter.shape == write(begun).parameter.shape
        assert torch.allclose(written.now(), begun, atol=1e-5)


def test_an_input_is_the_standardised_picture_without_bounds() -> None:
    written = network_input(torch.full((1, 3, 1, 1), 0.9), PREPROCESSING)
    assert written.parameter.flatten().tolist() == pytest.approx([2, 2, 1.2])  # (0.9 - mean) / std
    written.now().sum().backward()  # type: ignore[no-untyped-call]
    assert written.parameter.grad is not None
    assert written.parameter.grad.flatten().tolist() == pytest.approx([0.2, 0.25, 0.5])
    with torch.no_grad():
        written.parameter.fill_(5.0)
    assert written.now().flatten().tolist() == pytest.approx([1.5, 1.65, 2.8])


def slow_amplitudes(images: torch.Tensor) -> np.ndarray:
    """Mean over images and channels of |DFT| of the logit less its mean: 8 rows and 5 columns, ortho."""
    logit = np.log((held := images.double().numpy().clip(0.02, 0.98)) / (1 - held))
    y, x = np.mgrid[:8, :8]
    found = np.zeros((8, 5))
    for image in logit.reshape(-1, 8, 8):
        for v in range(8):
            for u in range(5):
                wave = np.exp(-2j * np.pi * (u * x + v * y) / 8)
                found[v, u] += abs(((image - image.mean()) * wave).sum()) / 8
    return found / len(logit.reshape(-1, 8, 8))


def test_the_scale_of_the_plants_spectrum_is_a_slow_dfts_mean_amplitude() -> None:
    """Of mean 1 over the coefficients; a grown one adds a wave of twice its scale over sqrt(64)."""
    scale = slow_amplitudes(REAL)
    scale /= scale.mean()
    for row, column in ((0, 1), (0, 2), (1, 1), (2, 3), (3, 2), (5, 1), (7, 3)):
        written = plant_spectrum(torch.full((1, 1, 8, 8), 0.5), REAL)
        with torch.no_grad():
            written.parameter[0, 0, row, column] += 1
            field = torch.logit(written.now()[0, 0]).numpy()
        y, x = np.mgrid[:8, :8]
        wave = np.cos(2 * np.pi * (column * x + row * y) / 8)
        assert field == pytest.approx(2 * scale[row, column] / 8 * wave, abs=1e-5)


def test_of_flat_images_every_frequency_is_alike() -> None:
    """A frequency that no image has is not lost: it moves a thousandth as far as the mean one."""
    flat = torch.full((2, 1, 8, 8), 0.5)
    for images, expected in ((flat, 1.0), (flat + 0.2 * torch.cos(torch.arange(8) * torch.pi / 2), None)):
        written = plant_spectrum(torch.full((1, 1, 8, 8), 0.5), images)
        with torch.no_grad():
            written.parameter[0, 0, 1, 1] += 1
            height = float(torch.logit(written.now()).abs().max()) * 4
        amplitude = slow_amplitudes(images)
        floored = amplitude.clip(1e-3 * max(amplitude.mean(), 1e-6))
        assert height == pytest.approx(expected or floored[1, 1] / floored.mean(), rel=1e-3)


def test_a_picture_by_phase_has_the_plants_amplitudes_at_the_plants_contrast_and_level() -> None:
    written = phase(start(8, 8), REAL)
    field = torch.logit(written.now().detach()).double().numpy()
    real = torch.logit(REAL.clamp(0.02, 0.98)).double().numpy()
    assert field.mean((2, 3)) == pytest.approx(np.tile(real.mean((0, 2, 3)), (2, 1)), abs=0.01)
    contrast = real.std((2, 3)).mean()
    assert field.std((2, 3)) == pytest.approx(np.full((2, 3), contrast), rel=1e-3)
    drawn = np.abs(np.fft.rfft2(field, norm="ortho"))[:, :, 1:, 1:4]
    ratio = drawn / slow_amplitudes(REAL)[1:, 1:4]
    assert ratio == pytest.approx(np.full_like(ratio, ratio.mean()), rel=1e-3)
    begun = np.angle(np.fft.rfft2(start(8, 8).numpy()))[:, :, 1:, 1:4]
    assert np.angle(np.fft.rfft2(field))[:, :, 1:, 1:4] == pytest.approx(begun, abs=1e-3)
