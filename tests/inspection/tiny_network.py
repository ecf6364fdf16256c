"""A network that learns the rendered line in a second: the smallest on which a whole night makes sense."""

from collections import OrderedDict

from torch import Tensor, nn


def tiny_network(classes: int, channels: int) -> nn.Module:
    """Three stages of 8, 16 and 16 filters, the mean of each map, and one linear layer."""
    return nn.Sequential(
        OrderedDict(
            stage1=_stage(channels, 8, stride=1),
            stage2=_stage(8, 16, stride=2),
            stage3=_stage(16, 16, stride=2),
            mean=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
            head=nn.Linear(16, classes),
        )
    )


class Telling(nn.Module):
    """The same, which answers with more than its logits."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.body = tiny_network(classes, channels)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        logits = self.body(x)
        return {"likely": logits.softmax(1), "logits": logits}


def tiny_telling(classes: int, channels: int) -> nn.Module:
    """A network of the plant's own whose answer is a dictionary."""
    return Telling(classes, channels)


def _stage(inputs: int, filters: int, stride: int) -> nn.Module:
    convolution = nn.Conv2d(inputs, filters, kernel_size=3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(filters), nn.ReLU())
