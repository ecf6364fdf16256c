"""The network for those who bring none, counted by hand."""

import math

import pytest
import torch
from torch import nn

from fmi_engine.classifier import build_network, freeze
from fmi_engine.probe import find_layers
from inspection.networks import small_resnet

NORM = 2  # weights of a batch normalisation, for each filter


def block(inputs: int, filters: int) -> int:
    """Weights of one residual block: two 3 x 3 convolutions, and a 1 x 1 one where the width changes."""
    convolutions = 9 * inputs * filters + 9 * filters * filters
    shortcut = inputs * filters + NORM * filters if inputs != filters else 0
    return convolutions + 2 * NORM * filters + shortcut


@pytest.mark.parametrize(("classes", "channels"), [(5, 1), (3, 3)])
def test_its_weights_are_those_of_four_blocks(classes: int, channels: int) -> None:
    first = 49 * channels * 64 + NORM * 64
    blocks = block(64, 64) + block(64, 128) + block(128, 256) + block(256, 512)
    network = small_resnet(classes, channels)
    assert sum(weight.numel() for weight in network.parameters()) == first + blocks + 512 * classes + classes


def test_its_layers_and_filters() -> None:
    image = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    layers = find_layers(freeze(small_resnet(2, 1)), image)
    # 64 pixels: halved by the first convolution, by the pooling, and by every block but the first.
    assert [(layer.name, layer.channels, layer.height) for layer in layers] == [
        ("relu", 64, 32),
        ("layer1", 64, 16),
        ("layer2", 128, 8),
        ("layer3", 256, 4),
        ("layer4", 512, 2),
    ]


def test_the_first_convolution_starts_as_he_proposed() -> None:
    torch.manual_seed(0)
    first = small_resnet(2, 3).get_submodule("conv1")
    assert isinstance(first, nn.Conv2d)
    assert first.bias is None
    # fan-out: 64 filters of 7 x 7
    assert float(first.weight.detach().std()) == pytest.approx(math.sqrt(2 / (64 * 49)), rel=0.05)


def test_it_is_found_by_its_name_and_the_same_seed_makes_the_same_network() -> None:
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        network = build_network("inspection.networks:small_resnet", 2, 1)
        weights.append(torch.cat([weight.flatten() for weight in network.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
