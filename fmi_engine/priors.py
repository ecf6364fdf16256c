"""Penalties that keep an inverted picture natural; one each, one value per picture."""

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
