"""How a picture is written down for the descent: as pixels, or as a spectrum."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Parametrization:
    """What the descent changes, and the picture that it stands for.

    The picture is (batch, channel, height, width) with values in 0 to 1.
    """

    parameters: list[Tensor]
    picture: Callable[[], Tensor]


def pixels(start: Float[Tensor, "batch channel height width"]) -> Parametrization:
    """Every pixel is a parameter, squashed into 0 to 1 by a sigmoid."""
    logit = _logit(start).requires_grad_(True)
    return Parametrization([logit], lambda: logit.sigmoid())


def spectrum(start: Float[Tensor, "batch channel height width"]) -> Parametrization:
    """Fourier coefficients scaled by 1/f are the parameters, so coarse and fine structure move alike.

    Olah et al., Feature Visualization, Distill 2017; Mordvintsev et al., Differentiable Image
    Parameterizations, Distill 2018.
    """
    height, width = start.shape[-2:]
    scale = _one_over_f(height, width, start.device)
    coefficients = (torch.fft.rfft2(_logit(start), norm="ortho") / scale).requires_grad_(True)

    def picture() -> Tensor:
        field: Tensor = torch.fft.irfft2(coefficients * scale, s=(height, width), norm="ortho")
        return field.sigmoid()

    return Parametrization([coefficients], picture)


def _one_over_f(height: int, width: int, device: torch.device) -> Tensor:
    fy = torch.fft.fftfreq(height, device=device)[:, None]
    fx = torch.fft.rfftfreq(width, device=device)[None]
    scale: Tensor = torch.hypot(fy, fx).clamp_min(1 / max(height, width)).reciprocal()
    return scale.div(scale.mean())


def _logit(image: Tensor) -> Tensor:
    return torch.logit(image.clamp(0.02, 0.98))


PARAMETRIZATIONS: dict[str, Callable[[Tensor], Parametrization]] = {"pixels": pixels, "spectrum": spectrum}
