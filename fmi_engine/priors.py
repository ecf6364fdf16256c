"""Penalties that keep an inverted picture natural; one each, one value per picture."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def total_variation(
    picture: Float[Tensor, "batch channel height width"], beta: float = 2.0
) -> Float[Tensor, " batch"]:
    """TV^beta: mean over positions of (dx^2 + dy^2)^(beta/2), for 8-bit values scaled to 0 to 1.

    Mahendran and Vedaldi, Understanding Deep Image Representations by Inverting Them, arXiv 1412.0035,
    equation 4.
    """
    dx = picture[..., :-1, 1:] - picture[..., :-1, :-1]
    dy = picture[..., 1:, :-1] - picture[..., :-1, :-1]
    return (dx.square() + dy.square()).pow(beta / 2).mean((1, 2, 3))


def alpha_norm(x: Float[Tensor, "batch channel height width"], alpha: float = 6.0) -> Float[Tensor, " batch"]:
    """Mean |x|^alpha of the standardised input: keeps values in their usual range (equation 3, ibid.)."""
    return x.abs().pow(alpha).mean((1, 2, 3))


def denoise(
    picture: Float[Tensor, "batch channel height width"], weight: float
) -> Float[Tensor, "batch channel height width"]:
    """Total variation denoising at the end of a descent; weight 0 changes nothing.

    Chambolle, An Algorithm for Total Variation Minimization and Applications, 2004, as in scikit-image.
    The weight counts in the picture's own range, from its darkest value to its brightest: a pattern of
    little contrast is not taken for noise.
    """
    if not weight:
        return picture
    from skimage.restoration import denoise_tv_chambolle  # which imports all of SciPy; one preset asks for it

    low, high = picture.amin((1, 2, 3), keepdim=True), picture.amax((1, 2, 3), keepdim=True)
    span = (high - low).clamp_min(1e-6)
    stretched = ((picture - low) / span).cpu().numpy()
    smooth = np.stack([denoise_tv_chambolle(each, weight, channel_axis=0) for each in stretched])
    return torch.from_numpy(smooth).to(picture) * span + low
