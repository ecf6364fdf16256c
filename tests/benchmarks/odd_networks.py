"""Networks as somebody's `module:function` may make them: plain ones, odd ones, and those of transformers."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn


class Small(nn.Module):
    """Three convolutions and a linear layer."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        widths = (channels, 8, 16, 16)
        self.stages = nn.Sequential(*(stage(*each) for each in pairwise(widths)))
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.stages(x).mean((2, 3)))


def stage(before: int, after: int) -> nn.Module:
    convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


def plain(classes: int, channels: int) -> nn.Module:
    return Small(classes, channels)


class _Answering(Small):
    def __init__(self, classes: int, channels: int, kind: str) -> None:
        super().__init__(classes, channels)
        self.kind = kind

    def forward(self, x: Tensor) -> Any:
        features = self.stages(x).mean((2, 3))
        logits = self.head(features)
        said: dict[str, Any] = {
            "tuple": (logits, features),
            "features_first": (features, logits),
            "logits": SimpleNamespace(logits=logits, hidden_states=features),
            "dict": {"scores": logits, "features": features},
            "two_heads": {"fine": logits, "coarse": 2 * logits},
            "auxiliary": (logits, logits) if self.training else logits,
            "four_axes": logits[:, :, None, None],
            "probabilities": logits.softmax(1),
            "not_finite": logits / 0,
            "text": "scratch",
        }
        return said[self.kind]


def answers_tuple(classes: int, channels: int) -> nn.Module:
    return _Answering(classes, channels, "tuple")


def answers_features_first(classes: int, channels: int) -> nn.Module:
    return _Answering(classes, channels, "features_first")


def answers_logits(classes: int, channels: int) -> nn.Module:
    return _Answering(classes, channels, "logits")


def answers_dict(classes: int, channels: int) -> nn.Module:
    return _Answering(classes, channels, "dict")


def answers_two_heads(classes: int, channels: int) -> nn.Module:
    return _Answering(classes, channels, "two_heads")


def answers_auxiliary(classes: int, channels: int) -> nn.Module:
    return _Answering(classes, channels, "auxiliary")


def answers_four_axes(classes: int, channels: int) -> nn.Module:
    return _Answering(classes, channels, "four_axes")


def answers_probabilities(classes: int, channels: int) -> nn.Module:
    return _Answering(classes, channels, "probabilities")


def answers_not_finite(classes: int, channels: int) -> nn.Module:
    return _Answering(classes, channels, "not_finite")


def answers_text(classes: int, channels: int) -> nn.Module:
    return _Answering(classes, channels, "text")


def compiled(classes: int, channels: int) -> nn.Module:
    return torch.compile(Small(classes, channels))  # type: ignore[return-value]


def scripted(classes: int, channels: int) -> nn.Module:
    example = torch.zeros(1, channels, 32, 32)
    return torch.jit.trace(Small(classes, channels).eval(), example)  # type: ignore[no-any-return,no-untyped-call]


def parallel(classes: int, channels: int) -> nn.Module:
    return nn.DataParallel(Small(classes, channels))


def in_half(classes: int, channels: int) -> nn.Module:
    return Small(classes, channels).to(torch.bfloat16)


class _Halved(Small):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x.to(torch.bfloat16)).float()


def half_within(classes: int, channels: int) -> nn.Module:
    return _Halved(classes, channels).to(torch.bfloat16)


class _Ungraded(Small):
    def forward(self, x: Tensor) -> Any:
        with torch.no_grad():
            return super().forward(x)


def without_gradient(classes: int, channels: int) -> nn.Module:
    return _Ungraded(classes, channels)


class _Dropping(Small):
    def forward(self, x: Tensor) -> Any:
        return self.head(nn.functional.dropout(self.stages(x).mean((2, 3)), 0.5, training=True))


def dropping(classes: int, channels: int) -> nn.Module:
    return _Dropping(classes, channels)


class _Alone(Small):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x.reshape(1, 3, 32, 32))


def one_at_a_time(classes: int, channels: int) -> nn.Module:
    return _Alone(classes, channels)


class _InPlace(Small):
    def forward(self, x: Tensor) -> Any:
        code = self.stages[0](x)
        code.mul_(2).add_(1)
        code += self.stages[0](x)
        return self.head(self.stages[2](self.stages[1](code)).mean((2, 3)))


def in_place(classes: int, channels: int) -> nn.Module:
    return _InPlace(classes, channels)


class _Deciding(Small):
    def forward(self, x: Tensor) -> Any:
        code = self.stages[0](x)
        if code.mean() > 0.2:
            code = code * 2
        return self.head(self.stages[2](self.stages[1](code)).mean((2, 3)))


def data_dependent(classes: int, channels: int) -> nn.Module:
    return _Deciding(classes, channels)


def normalised_by_batch(classes: int, channels: int) -> nn.Module:
    network = Small(classes, channels)
    for each in network.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.track_running_stats, each.running_mean, each.running_var = False, None, None
            each.num_batches_tracked = None
    return network


class _Functional(nn.Module):
    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, 8, 3), nn.Conv2d(8, 16, 3)
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Any:
        code = nn.functional.relu(self.second(nn.functional.relu(self.first(x))))
        return self.head(code.mean((2, 3)))


def functional(classes: int, channels: int) -> nn.Module:
    return _Functional(classes, channels)


def without_maps(classes: int, channels: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 32 * 32, 16), nn.ReLU(), nn.Linear(16, classes))


def no_module(classes: int, channels: int) -> str:
    return "a network"


def raising(classes: int, channels: int) -> nn.Module:
    raise FileNotFoundError("weights/backbone.pt")


# --- of transformers ---


def hf_resnet(classes: int, channels: int) -> nn.Module:
    from transformers import ResNetConfig, ResNetForImageClassification

    return ResNetForImageClassification(  # type: ignore[no-any-return]
        ResNetConfig(
            num_labels=classes,
            num_channels=channels,
            embedding_size=16,
            hidden_sizes=[16, 32],
            depths=[1, 1],
            layer_type="basic",
        )
    )


def hf_vit(classes: int, channels: int) -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(  # type: ignore[no-any-return]
        ViTConfig(
            num_labels=classes,
            num_channels=channels,
            image_size=64,
            hidden_size=48,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=96,
        )
    )


def hf_convnext(classes: int, channels: int) -> nn.Module:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    return ConvNextForImageClassification(  # type: ignore[no-any-return]
        ConvNextConfig(
            num_labels=classes, num_channels=channels, hidden_sizes=[16, 32], depths=[2, 2], num_stages=2
        )
    )


def hf_swin(classes: int, channels: int) -> nn.Module:
    from transformers import SwinConfig, SwinForImageClassification

    return SwinForImageClassification(  # type: ignore[no-any-return]
        SwinConfig(
            num_labels=classes,
            num_channels=channels,
            image_size=64,
            embed_dim=24,
            depths=[2, 2],
            num_heads=[2, 4],
            window_size=4,
        )
    )
