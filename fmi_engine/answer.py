"""Which part of a network's answer are the logits, and a network that answers with these alone.

What answers with a tuple, a dictionary or an object (`.logits`) is named `module:function#PART`, so that
whatever builds the network again reads the same part.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from fmi_engine.errors import ClassifierError

MARK = "#"  # between the name of an architecture and the part of its answer that is read
LOGITS = "logits"  # as the usual libraries call them


def settled(
    architecture: str, network: nn.Module, x: Float[Tensor, "batch channel height width"], outputs: int
) -> str:
    """The name of an architecture with the part of the answer that its network is made to give, if any.

    Asked are the network as it decides and as it is trained, where auxiliary heads answer, too. Raises
    ClassifierError where several parts could be the logits, or none.
    """
    if MARK in architecture:
        return architecture
    for answer in _answers(network, x):
        part = logits_of(answer, outputs)
        if part:
            answering(network, part)
            return f"{architecture}{MARK}{part}"
    return architecture


def logits_of(answer: object, outputs: int) -> str:
    """The part of an answer that are the logits, (batch, outputs); empty: the answer itself.

    That is `logits` where there is one, the first of a tuple or list, or the only tensor of that shape.
    Raises ClassifierError listing the parts where nothing tells.
    """
    if isinstance(answer, Tensor):
        return ""
    parts = _parts(answer)
    fitting = [name for name, part in parts.items() if _shape(part)[1:] == (outputs,)]
    preferred = [name for name in fitting if name in (LOGITS, "0")]
    said = f"the network answers with a {type(answer).__name__} of {_listed(parts)}"
    if not fitting:
        raise ClassifierError(
            f"{said}; none is a tensor of logits (batch, {outputs}). Check the number of --classes, or let "
            "its forward pass return one"
        )
    if len(chosen := preferred or fitting) > 1:
        raise ClassifierError(
            f"{said}; several could be logits for {outputs} classes. Say which part to read: --answer "
            f"{chosen[0]}"
        )
    return chosen[0]


def answering(network: nn.Module, part: str) -> nn.Module:
    """Make a network answer with one part of what it answers, in place.

    Its class is exchanged for a subclass of it, as torch.nn.utils.parametrize does: a module around it would
    rename its layers and its weights.
    """
    kind = type(network)

    def forward(self: nn.Module, x: Tensor) -> Any:
        return _picked(kind.forward(self, x), part)

    network.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})
    return network


def _picked(answer: Any, part: str) -> Any:
    if isinstance(answer, Tensor):  # a network may answer plainly in one of its modes
        return answer
    if isinstance(answer, fx.Proxy):  # what it stands for is not known: the network is not cut by its graph
        raise TypeError(f"nothing tells how to read {part!r} of a {type(answer).__name__}")
    parts = _parts(answer)
    if part not in parts:
        raise ClassifierError(
            f"the network's answer has no part {part!r}; it has {_listed(parts)}. Name one of these "
            "with --answer"
        )
    return parts[part]


def _answers(network: nn.Module, x: Tensor) -> list[object]:
    """What it answers as it decides and as it is trained; nothing of a pass that fails."""
    found: list[object] = []
    for asked in (network.eval(), deepcopy(network).train()):  # a copy: its statistics would move
        try:
            with torch.no_grad():
                found.append(asked(x))
        except Exception:  # a user's network may raise anything; the classifier says what
            continue
    return found


def _parts(answer: object) -> dict[str, Any]:
    if isinstance(answer, Mapping):
        return {str(name): part for name, part in answer.items()}
    if isinstance(answer, tuple) and hasattr(answer, "_asdict"):
        return dict(answer._asdict())
    if isinstance(answer, tuple | list):
        return {str(i): part for i, part in enumerate(answer)}
    return dict(getattr(answer, "__dict__", {}))


def _shape(part: object) -> tuple[int, ...]:
    return tuple(part.shape) if isinstance(part, Tensor) else ()


def _listed(parts: Mapping[str, object]) -> str:
    told = [
        f"{name} {_shape(part)}" if isinstance(part, Tensor) else f"{name} ({type(part).__name__})"
        for name, part in parts.items()
    ]
    return ", ".join(told) or "nothing"
