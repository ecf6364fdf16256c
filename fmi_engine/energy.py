"""Energies of a code, and the modifications of a code that inversion starts from.

After Xia et al., Every Filter Extracts A Specific Texture In Convolutional Neural Networks,
arXiv 1608.04170.
"""

from jaxtyping import Float
from torch import Tensor

from fmi_engine.errors import UnknownLayerError

FLAT = 1e-5  # a map whose spread is below this share of its energy is flat: the rest is rounding


def energies(code: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel"]:
    """The energy of each filter: the mean of its map."""
    return code.mean((2, 3))


def spreads(code: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel"]:
    """The spread of each filter: the (population) standard deviation of its map."""
    return code.std((2, 3), correction=0)


def isolate(
    code: Float[Tensor, "batch channel height width"], channels: list[int]
) -> Float[Tensor, "batch channel height width"]:
    """Move all energy of the layer, position by position, onto one filter for each code of the batch.

    F*_k(p) = sum over c of F_c(p), every other map 0 (arXiv 1608.04170). `channels[i]` is the filter of
    code i. Raises UnknownLayerError where a channel does not exist.
    """
    outside = [channel for channel in channels if not 0 <= channel < code.shape[1]]
    if outside or len(channels) != len(code):
        raise UnknownLayerError(
            f"channels {channels} do not fit {len(code)} codes of {code.shape[1]} filters"
        )
    target = code.new_zeros(code.shape)
    target[range(len(code)), channels] = code.sum(1)
    return target


def patch_energy(
    code: Float[Tensor, "batch channel height width"],
    channels: list[int],
    energy: Float[Tensor, "batch picked"],
    spread: Float[Tensor, "batch picked"],
    nonnegative: bool = True,
) -> Float[Tensor, "batch channel height width"]:
    """Restore the normal energy and spread of some filters while keeping the layout of their maps.

    a_c <- relu((a_c - e_c) / s_c * sd[t,c] + mu[t,c]); a flat map becomes mu[t,c] everywhere. Returns a
    new code; `energy` and `spread` hold the normal values of `channels` for each image.
    """
    maps = code[:, channels]
    mean = maps.mean((2, 3), keepdim=True)
    std = maps.std((2, 3), correction=0, keepdim=True)
    varies = std > FLAT * mean.abs()
    scale = (spread[..., None, None] / std).where(varies, 0.0)
    restored = (maps - mean) * scale + energy[..., None, None]
    patched = code.clone()
    patched[:, channels] = restored.clamp_min(0) if nonnegative else restored
    return patched
