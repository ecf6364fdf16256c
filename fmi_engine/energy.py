"""Energies of a code, and the modifications of a code that inversion starts from.

After Xia et al., Every Filter Extracts A Specific Texture In Convolutional Neural Networks,
arXiv 1608.04170. Every modification returns a new code and leaves the one given as it was; what is
drawn comes from a seed for each code, on the CPU, so that neither the batch nor the device matters.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from fmi_engine.errors import EngineError, UnknownLayerError

FLAT = 1e-5  # a map whose spread is below this share of its energy is flat: the rest is rounding
PAPER_MEAN, PAPER_VARIANCE = 3.0, 1000.0  # of the paper's draw of shares


def energies(code: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel"]:
    """The energy of each filter: the mean of its map."""
    return code.mean((2, 3))


def spreads(code: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel"]:
    """The spread of each filter: the (population) standard deviation of its map."""
    layout = code - code.mean((2, 3), keepdim=True)
    return layout.square().mean((2, 3)).sqrt()  # six times as fast as torch's std on a CPU


def isolate(
    code: Float[Tensor, "batch channel height width"], channels: Sequence[int | Sequence[int]]
) -> Float[Tensor, "batch channel height width"]:
    """Move all energy of the layer, position by position, onto one filter, or a few, for each code.

    F*_k(p) = sum over c of F_c(p), every other map 0 (arXiv 1608.04170). `channels[i]` is the filter of
    code i, or the set of its filters, which then hold equal shares of that sum. Raises
    UnknownLayerError where a set is empty or names a channel twice or one that does not exist.
    """
    _check_one_for_each(code, "channels", channels, UnknownLayerError)
    shares = code.new_zeros(code.shape[:2])
    for share, given in zip(shares, channels, strict=True):
        chosen = [*given] if isinstance(given, Sequence) else [given]
        _check_channels(chosen, code.shape[1])
        share[chosen] = 1 / len(chosen)
    return rearrange(shares, "b c -> b c 1 1") * code.sum(1, keepdim=True)


def _check_one_for_each(
    code: Tensor, name: str, given: Sequence[object], error: type[EngineError] = EngineError
) -> None:
    if len(given) != len(code):
        raise error(f"{len(given)} {name} given for {len(code)} codes; expected one for each")


def _check_channels(channels: list[int], existing: int) -> None:
    if not channels or len({*channels}) != len(channels):
        raise UnknownLayerError(f"channels {channels} given; expected at least one, and none twice")
    if any(not 0 <= channel < existing for channel in channels):
        raise UnknownLayerError(f"no such filter among channels {channels}; 0 to {existing - 1} exist")


def shuffle_maps(
    code: Float[Tensor, "batch channel height width"], seeds: Sequence[int]
) -> Float[Tensor, "batch channel height width"]:
    """Permute the positions of a code, all its maps alike: a control that has no layout left.

    Each position keeps its answers of all filters, each map its values. `seeds[i]` is that of code i.
    """
    _check_one_for_each(code, "seeds", seeds)
    orders = [torch.randperm(code[0, 0].numel(), generator=_generator(seed)) for seed in seeds]
    order = repeat(torch.stack(orders).to(code.device), "b p -> b c p", c=code.shape[1])
    shuffled = rearrange(code, "b c h w -> b c (h w)").gather(2, order)
    return rearrange(shuffled, "b c (h w) -> b c h w", h=code.shape[2])


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flatten_maps(
    code: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch channel height width"]:
    """Make every map its mean everywhere: a control that has each filter's energy and no pattern."""
    _, _, height, width = code.shape
    return repeat(energies(code), "b c -> b c h w", h=height, w=width).clone()


def reallocate_at_random(
    code: Float[Tensor, "batch channel height width"],
    seeds: Sequence[int],
    draw: str = "dirichlet",
    concentration: float = 1.0,
) -> Float[Tensor, "batch channel height width"]:
    """Share out the energy of a code anew among its filters, each map keeping its layout.

    F*_c(p) = (sum of F) * r_c * F_c(p) / (sum over p of F_c), sum over c of r_c = 1 (arXiv 1608.04170).
    The shares r come from the draw of that name in DRAWS, with `seeds[i]` for code i. A dead map, whose
    sum is 0, has no layout to keep and stays 0; the shares of the others are scaled up so that the total
    stays. `concentration`, above 0, is of the Dirichlet draw only: small ones favour few filters, large
    ones share equally. Raises EngineError where there is no such draw.
    """
    _check_one_for_each(code, "seeds", seeds)
    if draw not in DRAWS:
        raise EngineError(f"no draw {draw!r}; these exist: {', '.join(DRAWS)}")
    if not 0 < concentration < np.inf:
        raise EngineError(f"concentration is {concentration}; expected a number above 0")
    sums = reduce(code, "b c h w -> b c 1 1", "sum")
    live = rearrange(sums != 0, "b c 1 1 -> b c").cpu().numpy()
    drawn = [_shares(draw, seed, alive, concentration) for seed, alive in zip(seeds, live, strict=True)]
    shares = rearrange(code.new_tensor(np.stack(drawn)), "b c -> b c 1 1")
    layout = (code / sums).where(sums != 0, 0.0)
    return sums.sum(1, keepdim=True) * shares * layout


def _shares(draw: str, seed: int, live: NDArray[np.bool_], concentration: float) -> NDArray[np.float64]:
    shares = np.zeros(live.size)
    if live.any():
        drawn = DRAWS[draw](np.random.default_rng(seed), live, concentration)
        shares[live] = drawn / drawn.sum()
    return shares


def _dirichlet(
    rng: np.random.Generator, live: NDArray[np.bool_], concentration: float
) -> NDArray[np.float64]:
    """Shares at random, none below 0: with concentration 1 every sharing is as likely as any other.

    Gamma(a) is Gamma(a + 1) * U^(1/a), in logarithms: of a small a the numbers are too small to be held.
    """
    gamma = np.log(rng.standard_gamma(concentration + 1, live.size))
    power = np.log1p(-rng.random(live.size)) / concentration
    log = (gamma + power)[live]
    return np.asarray(np.exp(log - log.max()))


def _paper(rng: np.random.Generator, live: NDArray[np.bool_], _concentration: float) -> NDArray[np.float64]:
    """The paper's shares: r ~ N(3, 1000), normalised to sum 1; some are below 0, out of a ReLU's reach.

    1000 is read as the variance, which is what the second place of N(., .) stands for. As a standard
    deviation it would drown the mean: of 512 such numbers the sum, 1,536 +- 22,627, is nearly as often
    below 0 as above, and normalising turns those draws upside down; as a variance it is 1,536 +- 716.
    """
    return rng.normal(PAPER_MEAN, PAPER_VARIANCE**0.5, live.size)[live]


Draw = Callable[[np.random.Generator, NDArray[np.bool_], float], NDArray[np.float64]]
DRAWS: dict[str, Draw] = {"dirichlet": _dirichlet, "paper": _paper}


def rank_match(
    code: Float[Tensor, "batch channel height width"],
    style: Float[Tensor, "styles channel rows columns"],
    nonnegative: bool = True,
) -> Float[Tensor, "batch channel height width"]:
    """Give each map of a code the energy of the style's map of equal rank, and keep its layout.

    Both codes' maps are ordered by energy; F*_c = relu(F_c - e_c + e'_c), where e'_c is the energy of
    the style's map that stands where c stands among its own (arXiv 1608.04170, as read here: the mean is
    shifted and nothing scaled, so the maps keep their spread). Without `nonnegative` the energies are
    the style's exactly; cutting at zero raises those of maps whose values fall below. A dead map becomes
    flat. Of maps with equal energy the one of the lower channel is the lower. `style` holds one code for
    each of the batch, or one for all. Raises EngineError where the two do not go together.
    """
    if style.shape[1] != code.shape[1] or len(style) not in (1, len(code)):
        raise EngineError(
            f"{len(style)} style codes of {style.shape[1]} filters given for {len(code)} codes of "
            f"{code.shape[1]}; expected one for each or one for all, of as many filters"
        )
    energy = energies(code)
    order = energy.argsort(dim=1, stable=True)
    ranked = energies(style).sort(1).values.expand_as(energy)
    shift = energy.scatter(1, order, ranked) - energy
    matched = code + rearrange(shift, "b c -> b c 1 1")
    return matched.clamp_min(0) if nonnegative else matched


def patch_energy(
    code: Float[Tensor, "batch channel height width"],
    channels: Sequence[int] | NDArray[np.int64],
    energy: Float[Tensor, "batch picked"],
    spread: Float[Tensor, "batch picked"],
    nonnegative: bool = True,
) -> Float[Tensor, "batch channel height width"]:
    """Restore the normal energy and spread of some filters while keeping the layout of their maps.

    As `patch_every_energy` does it. Returns a new code; `channels` are the filters of every image, or
    (batch, picked) those of each, and `energy` and `spread` hold their normal values.
    """
    where = (
        torch.arange(len(code), device=code.device)[:, None],
        torch.as_tensor(channels, device=code.device),
    )
    patched = code.clone()
    patched[where] = patch_every_energy(code[where], energy, spread, nonnegative)
    return patched


def patch_every_energy(
    code: Float[Tensor, "batch channel height width"],
    energy: Float[Tensor, "batch channel"],
    spread: Float[Tensor, "batch channel"],
    nonnegative: bool = True,
) -> Float[Tensor, "batch channel height width"]:
    """Restore the normal energy and spread of all filters while keeping the layout of their maps.

    a_c <- relu((a_c - e_c) / s_c * sd[t,c] + mu[t,c]); a flat map becomes mu[t,c] everywhere. Returns a
    new code; `energy` and `spread` hold the normal values for each image.
    """
    mean = code.mean((2, 3), keepdim=True)
    layout = code - mean
    std = torch.linalg.vector_norm(layout, dim=(2, 3), keepdim=True) / (code.shape[2] * code.shape[3]) ** 0.5
    varies = std > FLAT * mean.abs()
    scale = (spread[..., None, None] / std).where(varies, 0.0)
    restored = layout.mul_(scale).add_(energy[..., None, None])  # in place: a code is large
    return restored.clamp_min_(0) if nonnegative else restored
