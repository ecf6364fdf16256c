"""What real surfaces look like, learnt from a plant's images by a small denoiser, and its pull on pictures.

Statistics of single values say nothing of shape: straight edges on flat ground come out as blotches. A
network that was trained to take noise off real images knows which shapes there are, and the way from a
picture to what it takes the picture for is the gradient of the images' smoothed log density (Vincent, A
Connection Between Score Matching and Denoising Autoencoders, Neural Computation 23, 2011). Regularisation by
denoising: Romano, Elad and Milanfar, SIAM J. Imaging Sciences 10, 2017; with noise that falls as the descent
goes on, and is drawn anew: Mardani et al., RED-diff, arXiv 2305.04391.
"""

import hashlib
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from fmi_engine.types import FloatArray

# Left of the noise on unseen solar cells at a noise of .1, as a share, one thread: .091 after 300 steps of 16
# images (36 s), .061 after 1,000 (115 s); of 8 images .068 after 1,000 (61 s), .057 after 2,000 (137 s).
WIDTH = 16  # filters at full resolution; twice and four times as many at the coarser ones
CROP = 48  # pixels a side that are seen in training
IMAGES = 8  # of a step of training
RATE = 5e-3  # of Adam, at its highest
SPREAD = 0.25  # of full scale: the standard deviation of a surface, for the scaling of inputs and outputs
# Of full scale: noise that is taken off at the beginning and the end of a descent. From .3 in place of .6
# shapes stay blots: .67 of the way from chance to real crops, not .73 (solar cells, one layer).
HIGHEST, LOWEST = 0.6, 0.03
LEAST, MOST = 0.02, 0.7  # noise in training
EVERY = 2  # steps of a descent for which a picture is denoised once


class Denoiser(nn.Module):
    """A U-Net of three resolutions that takes noise off pictures in 0 to 1.

    Inputs and outputs are scaled by the noise as in Karras et al., Elucidating the Design Space of
    Diffusion-Based Generative Models, arXiv 2206.00364.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fine = _block(channels + 1, WIDTH)
        self.middle = _block(WIDTH, 2 * WIDTH)
        self.coarse = _block(2 * WIDTH, 4 * WIDTH)
        self.up_middle = _block(6 * WIDTH, 2 * WIDTH)
        self.up_fine = _block(3 * WIDTH, WIDTH)
        self.out = nn.Conv2d(WIDTH, channels, 3, padding=1, padding_mode="replicate")

    def forward(
        self, noisy: Float[Tensor, "batch channel height width"], sigma: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch channel height width"]:
        """The pictures without noise of these standard deviations, as nearly as the noise lets one know."""
        sigma = sigma[:, None, None, None]
        total = (sigma.square() + SPREAD**2).sqrt()
        level = (sigma.log() / 4).expand(-1, 1, *noisy.shape[2:])
        fine = self.fine(torch.cat([(noisy - 0.5) / total, level], 1))
        middle = self.middle(_half(fine))
        coarse = self.coarse(_half(middle))
        middle = self.up_middle(torch.cat([_double(coarse, middle), middle], 1))
        found: Tensor = self.out(self.up_fine(torch.cat([_double(middle, fine), fine], 1)))
        return 0.5 + (noisy - 0.5) * (SPREAD / total).square() + found * sigma * SPREAD / total

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the weights, hexadecimal."""
        held = b"".join(each.cpu().numpy().tobytes() for each in self.state_dict().values())
        return hashlib.sha256(held).hexdigest()


def _block(inputs: int, filters: int) -> nn.Module:
    layers: list[nn.Module] = []
    for count in (inputs, filters):
        layers += [
            nn.Conv2d(count, filters, 3, padding=1, padding_mode="replicate"),
            nn.GroupNorm(4, filters),
            nn.SiLU(),
        ]
    return nn.Sequential(*layers)


def _half(code: Tensor) -> Tensor:
    return avg_pool2d(code, 2, ceil_mode=True)


def _double(code: Tensor, like: Tensor) -> Tensor:
    return interpolate(code, scale_factor=2)[..., : like.shape[2], : like.shape[3]]


def learn_denoiser(
    images: NDArray[np.uint8],
    steps: int,
    device: torch.device = torch.device("cpu"),  # noqa: B008
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Denoiser:
    """Train a denoiser on crops of images (n, height, width, channel), mirrored both ways.

    The same seed gives the same denoiser on the same machine. `progress` receives 1 after every step.
    """
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser = Denoiser(images.shape[3]).to(device)
    optimiser = torch.optim.Adam(denoiser.parameters(), RATE)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        clean = torch.from_numpy(_crops(images, rng)).to(device)
        sigma = np.exp(rng.uniform(math.log(LEAST), math.log(MOST), len(clean))).astype(np.float32)
        noise = rng.standard_normal(clean.shape, np.float32) * sigma[:, None, None, None]
        level = torch.from_numpy(sigma).to(device)
        found = denoiser(clean + torch.from_numpy(noise).to(device), level)
        weight = level.square().reciprocal() + 1 / SPREAD**2
        loss = ((found - clean).square().mean((1, 2, 3)) * weight).mean()
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        rates.step()
        if progress:
            progress(1)
    return denoiser.eval().requires_grad_(False)


def _crops(images: NDArray[np.uint8], rng: np.random.Generator) -> FloatArray:
    """Crops of some images, at random: (images, channel, height, width) in 0 to 1."""
    height, width = (min(CROP, side) for side in images.shape[1:3])
    found = []
    for row in rng.integers(len(images), size=IMAGES):
        top = int(rng.integers(images.shape[1] - height + 1))
        left = int(rng.integers(images.shape[2] - width + 1))
        down, across = rng.choice((-1, 1), 2)
        found.append(images[row, top : top + height, left : left + width][::down, ::across])
    return np.asarray(np.stack(found).transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def weights_of(denoiser: Denoiser) -> dict[str, FloatArray]:
    """The weights of a denoiser by name."""
    return {name: each.cpu().numpy() for name, each in denoiser.state_dict().items()}


def with_weights(weights: Mapping[str, FloatArray]) -> Denoiser:
    """The denoiser of these weights, on the CPU."""
    denoiser = Denoiser(len(weights["out.bias"]))
    denoiser.load_state_dict({name: torch.from_numpy(each) for name, each in weights.items()})
    return denoiser.eval().requires_grad_(False)


class Pull:
    """Draws the pictures of a descent towards what a denoiser takes them for, coarse shapes first."""

    def __init__(self, denoiser: Denoiser, steps: int, device: torch.device) -> None:
        self._denoiser = denoiser.to(device)
        self._steps = steps
        self._sigma = HIGHEST
        self._clean: Tensor | None = None

    def distance(
        self, picture: Float[Tensor, "batch channel height width"], step: int
    ) -> Float[Tensor, " batch"]:
        """The mean squared distance of each picture from itself denoised, in units of the noise.

        Every picture is given the same noise.
        """
        if self._clean is None or step % EVERY == 0:
            self._sigma = HIGHEST * (LOWEST / HIGHEST) ** (step / self._steps)
            self._clean = self._denoised(picture.detach(), step)
        return ((picture - self._clean) / self._sigma).square().mean((1, 2, 3))

    @torch.no_grad()
    def _denoised(self, picture: Tensor, step: int) -> Tensor:
        noise = np.random.default_rng(step).standard_normal(picture.shape[1:], np.float32)
        noisy = picture + self._sigma * torch.from_numpy(noise).to(picture.device)
        clean: Tensor = self._denoiser(noisy, picture.new_full((len(picture),), self._sigma))
        return clean
