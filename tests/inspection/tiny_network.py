"""A network that learns the rendered line in seconds: the smallest on which the whole night makes sense."""

from torch import Tensor, nn


class _Stage(nn.Module):
    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, filters, 3, stride=1, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(filters)
        self.act = nn.ReLU()
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pool(self.act(self.norm(self.conv(x))))
        return y


def tiny_network(classes: int, channels: int) -> nn.Module:
    """Three stages of 8, 16 and 16 filters, the mean of each map, and one linear layer."""
    return nn.Sequential(
        _Stage(channels, 8),
        _Stage(8, 16),
        _Stage(16, 16),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, classes),
    )
