"""How a picture is written down for the descent: as pixels, as the network's input, or as a spectrum."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from fmi_engine.classifier import Classifier, Preprocessing
from fmi_engine.errors import EngineError


@dataclass(frozen=True, slots=True)
class Parametrization:
    """What the descent changes, and the picture that it stands for.

    The picture is (batch, channel, height, width) with values in 0 to 1, those of an 8-bit image.
    """

    parameter: Tensor  # its first axis is the batch
    picture: Callable[[Tensor], Tensor]  # of any value of the parameter

    def now(self) -> Tensor:
        """The picture that the parameter stands for at this moment."""
        return self.picture(self.parameter)


def pixels(start: Float[Tensor, "batch channel height width"]) -> Parametrization:
    """Every pixel is a parameter, squashed into 0 to 1 by a sigmoid."""
    return Parametrization(_logit(start).requires_grad_(True), torch.sigmoid)


def network_input(
    start: Float[Tensor, "batch channel height width"], preprocessing: Preprocessing
) -> Parametrization:
    """The standardised input itself, without bounds, as in arXiv 1608.04170 and arXiv 1412.0035.

    A value that no 8-bit image has stays possible during the descent.
    """
    return Parametrization(preprocessing.normalise(start).requires_grad_(True), preprocessing.restore)


def spectrum(start: Float[Tensor, "batch channel height width"]) -> Parametrization:
    """Fourier coefficients scaled by 1/f are the parameters, so coarse and fine structure move alike.

    Olah et al., Feature Visualization, Distill 2017; Mordvintsev et al., Differentiable Image
    Parameterizations, Distill 2018.
    """
    return _scaled_spectrum(start, _one_over_f(start.shape[-2], start.shape[-1], start.device))


def plant_spectrum(
    start: Float[Tensor, "batch channel height width"],
    images: Float[Tensor, "image channel height width"],
) -> Parametrization:
    """As `spectrum`, but scaled by the mean amplitude spectrum of real images in place of 1/f.

    After MACO, Fel et al., Unlocking Feature Visualization for Deeper Networks with MAgnitude
    Constrained Optimization, arXiv 2306.06805, which also holds the amplitudes fixed; here they are free.
    """
    return _scaled_spectrum(start, _mean_amplitude(images))


def phase(
    start: Float[Tensor, "batch channel height width"],
    images: Float[Tensor, "image channel height width"],
) -> Parametrization:
    """Only the phases are parameters; the amplitudes are the mean ones of real images (MACO, ibid.).

    They are scaled alike, so that the logit of the picture has the mean contrast of those of the images.
    """
    field = _logit(images)
    level = field.mean((0, 2, 3), keepdim=True)
    amplitude, size = _mean_amplitude(images), start.shape[-2:]
    contrast = torch.fft.irfft2(amplitude, s=size, norm="ortho").square().mean().sqrt()  # of any phases
    amplitude = amplitude * field.std((2, 3), correction=0).mean() / contrast
    angle = torch.fft.rfft2(start - start.mean((2, 3), keepdim=True)).angle().requires_grad_(True)

    def picture(parameter: Tensor) -> Tensor:
        waves = torch.polar(amplitude.expand_as(parameter), parameter)
        drawn: Tensor = torch.fft.irfft2(waves, s=size, norm="ortho")
        return (drawn + level).sigmoid()

    return Parametrization(angle, picture)


def _scaled_spectrum(start: Tensor, scale: Tensor) -> Parametrization:
    height, width = start.shape[-2:]
    coefficients = (torch.fft.rfft2(_logit(start), norm="ortho") / scale).requires_grad_(True)

    def picture(parameter: Tensor) -> Tensor:
        field: Tensor = torch.fft.irfft2(parameter * scale, s=(height, width), norm="ortho")
        return field.sigmoid()

    return Parametrization(coefficients, picture)


def _one_over_f(height: int, width: int, device: torch.device) -> Tensor:
    fy = torch.fft.fftfreq(height, device=device)[:, None]
    fx = torch.fft.rfftfreq(width, device=device)[None]
    scale: Tensor = torch.hypot(fy, fx).clamp_min(1 / max(height, width)).reciprocal()
    return scale.div(scale.mean())


def _mean_amplitude(images: Tensor) -> Tensor:
    """Mean over images and channels of |FFT| with the mean level taken out, scaled to a mean of 1."""
    field = _logit(images)
    amplitude = torch.fft.rfft2(field - field.mean((2, 3), keepdim=True), norm="ortho").abs().mean((0, 1))
    floored: Tensor = amplitude.clamp_min(1e-3 * amplitude.mean().clamp_min(1e-6))
    return floored / floored.mean()


def _logit(image: Tensor) -> Tensor:
    return torch.logit(image.clamp(0.02, 0.98))


def write_down(
    name: str,
    start: Float[Tensor, "batch channel height width"],
    classifier: Classifier,
    images: NDArray[np.uint8] | None,
) -> Parametrization:
    """The parametrisation of a name, at a start in 0 to 1.

    `images` are real 8-bit ones (image, height, width, channel). Raises EngineError where the
    parametrisation needs them and there are none.
    """
    if name == "pixels":
        return pixels(start)
    if name == "input":
        return network_input(start, classifier.preprocessing)
    if name == "spectrum":
        return spectrum(start)
    if images is None or not len(images):
        raise EngineError(f"the parametrisation {name!r} takes its spectrum from real images; none are given")
    real = rearrange(torch.from_numpy(np.ascontiguousarray(images)), "n h w c -> n c h w").to(start) / 255
    return plant_spectrum(start, real) if name == "plant" else phase(start, real)
