"""Networks so small that their answers can be worked out on paper, and what is needed to ask them."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fmi_engine.classifier import Classifier, Preprocessing
from fmi_engine.types import FloatArray


def plain(side: int, channels: int, width: int | None = None) -> Preprocessing:
    """Preprocessing that only divides by 255."""
    return Preprocessing(side, width or side, channels, (0.0,) * channels, (1.0,) * channels)


def noise(count: int, side: int, channels: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random 8-bit images (count, side, side, channels)."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


def varied(count: int, side: int, channels: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random images of random colour and contrast."""
    rng = np.random.default_rng(seed)
    tint, contrast = rng.random((count, 1, 1, channels)), rng.random((count, 1, 1, 1))
    grain = rng.random((count, side, side, channels))
    return np.round(255 * (contrast * grain + (1 - contrast) * tint)).astype(np.uint8)


def unit(images: NDArray[np.uint8]) -> FloatArray:
    """The network's input under `plain`, as NumPy: (batch, channel, height, width)."""
    return np.asarray(images.transpose(0, 3, 1, 2) / 255, np.float32)


def hooks(network: nn.Module) -> int:
    """How many hooks of any kind hang on a network."""
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        for module in network.modules()
    )


def seeded(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every weight a value that keeps most ReLUs open, the same in every run."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3 + 0.1)
    return network


class Readout(nn.Module):
    """1x1 filters, a ReLU where wanted, the mean of each map, and one linear layer without bias.

    From the code on everything is linear, so a first-order change is the change.
    """

    def __init__(
        self, filters: Sequence[Sequence[float]], head: Sequence[Sequence[float]], rectify: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(len(filters[0]), len(filters), 1, bias=False)
        self.act = nn.ReLU() if rectify else nn.Identity()
        self.head = nn.Linear(len(filters), len(head), bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor(filters)[:, :, None, None])
            self.head.weight.copy_(torch.tensor(head))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.act(self.conv(x)).mean((2, 3)))
        return logits


class Deep(nn.Module):
    """Two stages with a branch that passes the second by: not linear in any code."""

    def __init__(self, channels: int = 3, classes: int = 3) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
        self.third = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU())
        self.head = nn.Linear(6, classes)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        both = self.second(first) - 0.5 * first
        logits: Tensor = self.head(self.third(both).mean((2, 3)))
        return logits


class Unused(Deep):
    """Its second stage runs and nothing comes of it."""

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        self.second(first)
        logits: Tensor = self.head(self.third(first).mean((2, 3)))
        return logits


def deep(side: int = 8, channels: int = 3, classes: int = 3, seed: int = 0) -> Classifier:
    """A classifier around `Deep` with seeded weights, balanced so that each class is predicted at times."""
    network = seeded(Deep(channels, classes), seed)
    with torch.no_grad():
        answers = network(torch.from_numpy(unit(varied(64, side, channels))))
        network.get_parameter("head.bias").sub_(answers.mean(0))
    return Classifier(network, [f"class{i}" for i in range(classes)], plain(side, channels))


def two_layers() -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(1, 2, 1), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), head=nn.Linear(2, 3)
        )
    )


def saved(path: Path, held: object) -> Path:
    torch.save(held, path)
    return path
