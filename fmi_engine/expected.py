"""The input that a library's own weights expect, where that differs from what is given."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fmi_engine.classifier import Preprocessing

SAME = 1e-3  # of a mean or a spread, which people round
# What torchvision's transform_input takes its input for, channel by channel, and what it makes of it.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CENTRE = SPREAD = 0.5


def remarks(network: nn.Module, given: Preprocessing) -> tuple[str, ...]:
    """What to look at where weights began as those of timm or torchvision, in sentences."""
    found = (_of_timm(network, given), _transformed(network, given), _softmaxed(network, given))
    return tuple(told for told in found if told)


def _softmaxed(network: nn.Module, given: Preprocessing) -> str:
    """Networks that answer with probabilities, though decisions and training take logits."""
    x = torch.randn(1, given.channels, given.height, given.width, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            answer = network.eval()(x)
    except Exception:  # a user's network may raise anything; the classifier says what
        return ""
    if not isinstance(answer, Tensor) or answer.ndim != 2 or answer.shape[1] < 2 or answer.min() < 0:
        return ""
    if abs(float(answer.sum()) - 1) > SAME:
        return ""
    return (
        "the network answers with probabilities: they add up to 1. Margins, blame and training take logits, "
        "and of a softmax's answers they see little where it is sure: let its forward pass end before that"
    )


def _of_timm(network: nn.Module, given: Preprocessing) -> str:
    """Networks of timm carry how their own weights were trained."""
    usual = getattr(network, "pretrained_cfg", None)
    if not isinstance(usual, dict) or not {"mean", "std", "input_size"} <= set(usual):
        return ""
    mean, std, (_, height, width) = usual["mean"], usual["std"], usual["input_size"]
    same = given.channels == 1 or (_near(mean, given.mean) and _near(std, given.std))
    if same and (height, width) == (given.height, given.width):
        return ""
    return (
        f"timm's own weights of this network expect --mean {_joined(mean)} --std {_joined(std)} --input-size "
        f"{height}x{width}; given are mean {_joined(given.mean)}, std {_joined(given.std)} and "
        f"{given.height}x{given.width}. Check that the line prepares its images as given"
    )


def _transformed(network: nn.Module, given: Preprocessing) -> str:
    """Inception and GoogLeNet change their input where they were made with torchvision's own weights."""
    if getattr(network, "transform_input", True) or given.channels != 3 or _near(given.mean, (CENTRE,) * 3):
        return ""
    std = [s * SPREAD / usual for s, usual in zip(given.std, IMAGENET_STD, strict=True)]
    moved = [(CENTRE - usual) / SPREAD for usual in IMAGENET_MEAN]
    mean = [m + by * s for m, by, s in zip(given.mean, moved, std, strict=True)]
    return (
        "this network is built with transform_input=False, as torchvision does without its own weights. If "
        "yours was made with weights=..., it changes its input (transform_input=True), which is the same as "
        f"--mean {_joined(mean)} --std {_joined(std)}: give these then. The share of right answers tells"
    )


def _near(some: Sequence[float], others: Sequence[float]) -> bool:
    return all(abs(a - b) < SAME for a, b in zip(some, others, strict=True))


def _joined(values: Sequence[float]) -> str:
    return ",".join(f"{value:.4g}" for value in values)
