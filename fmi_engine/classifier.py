"""A classifier: network, class names, preprocessing and the hash of its weights; how one is loaded."""

import hashlib
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from fmi_engine.checkpoint import load_checkpoint
from fmi_engine.decision import decide, log_likelihood
from fmi_engine.decision_rule import DecisionRule
from fmi_engine.errors import ClassifierError, first_line
from fmi_engine.memory import keep_freed_memory
from fmi_engine.vision import torchvision


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an 8-bit image becomes the network's input."""

    height: int  # pixels
    width: int  # pixels
    channels: int  # 1 or 3
    mean: tuple[float, ...]  # per channel, of values in 0 to 1
    std: tuple[float, ...]
    blue_first: bool = False  # the network takes colours as BGR, and so are mean and std; images stay RGB

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise ClassifierError(f"{self.channels} channels given; expected 1 (grey) or 3 (RGB)")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise ClassifierError(f"{name} has {len(values)} values for {self.channels} channels")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)):
            raise ClassifierError(f"mean is {self.mean} and std {self.std}; expected finite numbers")
        if min(self.std) <= 0:
            raise ClassifierError(f"std is {self.std}; every value must be above 0")

    def normalise(self, images: Float[Tensor, "batch channel height width"]) -> Tensor:
        """Standardise images in 0 to 1."""
        mean = images.new_tensor(self.mean)[:, None, None]
        return (self._turned(images) - mean) / images.new_tensor(self.std)[:, None, None]

    def restore(self, x: Float[Tensor, "batch channel height width"]) -> Tensor:
        """Undo `normalise`: the network's input as images in 0 to 1 (beyond them where it is beyond)."""
        return self._turned(
            x * x.new_tensor(self.std)[:, None, None] + x.new_tensor(self.mean)[:, None, None]
        )

    def _turned(self, images: Tensor) -> Tensor:
        """RGB from BGR and back, where the network takes blue first."""
        return images.flip(1) if self.blue_first else images

    def __call__(self, images: NDArray[np.uint8]) -> Float[Tensor, "batch channel height width"]:
        """Turn 8-bit images (batch, height, width, channel) into the network's input."""
        batch = rearrange(torch.from_numpy(np.ascontiguousarray(images)), "b h w c -> b c h w")
        return self.normalise(batch.float() / 255)


class Classifier:
    """A network in inference mode with what is needed to feed it and read it.

    What it answers are the logits of the plant's decision, which names the classes between which the network
    decides (`class_names`, with the band of parts that nobody has decided where there is one); names alone
    mean the largest of the network's own logits. The network is frozen: no gradient is stored for its
    weights, and its in-place activations are made ordinary ones, for an in-place operation would overwrite
    the code that a probe has just read.
    """

    def __init__(
        self,
        network: nn.Module,
        decision: DecisionRule | Sequence[str],
        preprocessing: Preprocessing,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = freeze(network).to(device)
        self.decision = decision if isinstance(decision, DecisionRule) else DecisionRule.plain(decision)
        self.class_names = self.decision.names
        self.preprocessing = preprocessing
        self.device = torch.device(device)
        self.weights_hash = hash_weights(network.state_dict())
        self._check_output()

    def _check_output(self) -> None:
        p = self.preprocessing
        try:
            with torch.no_grad():
                logits = self.network(torch.zeros(1, p.channels, p.height, p.width, device=self.device))
        except Exception as error:  # a user's network, or an assertion about the size, may raise anything
            size = f"{p.channels} x {p.height} x {p.width}"
            raise ClassifierError(
                f"the network does not accept a {size} image: {first_line(error)}"
            ) from None
        if not isinstance(logits, Tensor):
            raise ClassifierError(
                f"the network answers with a {type(logits).__name__}; expected one tensor of logits"
            )
        names = self.decision.outputs
        if logits.ndim != 2 or logits.shape[1] != len(names):
            raise ClassifierError(
                f"the network answers with shape {tuple(logits.shape)}; expected one logit for each of the "
                f"{len(names)} classes: {', '.join(names)}"
            )

    @property
    def identity(self) -> str:
        """The hash of the weights and, where it is not the largest logit, of how they decide."""
        rule = self.decision
        if not rule.text:
            return self.weights_hash
        said = (rule.classes, rule.outputs, rule.members, rule.thresholds, rule.exclusive, rule.band)
        return hashlib.sha256(f"{self.weights_hash}|{said!r}".encode()).hexdigest()

    def prepare(self, images: NDArray[np.uint8]) -> Float[Tensor, "batch channel height width"]:
        """Preprocess 8-bit images (batch, height, width, channel) onto the network's device."""
        return self.preprocessing(images).to(self.device)

    def __call__(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch label"]:
        """Run the whole network, and decide: logits of which the largest is the decision."""
        return decide(self.decision, cast(Tensor, self.network(x)))

    @torch.no_grad()
    def logits(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch label"]:
        """The same without a gradient."""
        return self(x)

    def predict(self, images: NDArray[np.uint8], batch_size: int = 32) -> NDArray[np.float32]:
        """The softmax of the decision's logits (images, class names) of 8-bit images.

        `images` is (images, height, width, channel). The largest is the decision; under the plain rule these
        are the classes' probabilities (else see `probabilities`).
        """
        return self._of_batches(lambda x: self(x).softmax(1), images, batch_size, len(self.class_names))

    def probabilities(self, images: NDArray[np.uint8], batch_size: int = 32) -> NDArray[np.float32]:
        """How likely the network takes each class to be (images, classes), whatever the thresholds."""

        def likely(x: Tensor) -> Tensor:
            return log_likelihood(self.decision, self.network(x)).exp()

        return self._of_batches(likely, images, batch_size, len(self.decision.classes))

    @torch.no_grad()
    def _of_batches(
        self, answer: Callable[[Tensor], Tensor], images: NDArray[np.uint8], batch_size: int, columns: int
    ) -> NDArray[np.float32]:
        batches = [
            answer(self.prepare(images[i : i + batch_size])).cpu().numpy()
            for i in range(0, len(images), batch_size)
        ]
        return np.concatenate(batches) if batches else np.zeros((0, columns), np.float32)


def freeze(network: nn.Module) -> nn.Module:
    """Put a network into inference mode: no weight gradients, no in-place activations."""
    for module in network.modules():
        if getattr(module, "inplace", False):
            setattr(module, "inplace", False)  # noqa: B010  (a plain flag, unknown to nn.Module's types)
    return network.eval().requires_grad_(False)


def hash_weights(state: Mapping[str, Any]) -> str:
    """SHA-256 of a state dict: names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        if isinstance(value, Tensor):
            array = value.detach().cpu().contiguous()
            digest.update(f"{name}|{array.dtype}|{tuple(array.shape)}|".encode())
            digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def build_network(architecture: str, classes: int, channels: int) -> nn.Module:
    """Make an untrained network from a torchvision name or a `module:function` factory.

    `classes` are its outputs. A factory is called with (classes, channels). A torchvision network for grey
    images gets a first convolution with one input channel. Raises ClassifierError saying what exists.
    """
    keep_freed_memory()
    if ":" in architecture:
        return _from_factory(architecture, classes, channels)
    models = torchvision().models
    names = models.list_models(module=models)
    if architecture not in names:
        raise ClassifierError(
            f"no architecture {architecture!r} in torchvision; it has: {', '.join(names)}. "
            "For your own network give module:function."
        )
    network: nn.Module = models.get_model(
        architecture, weights=None, num_classes=classes, **_plain(architecture)
    )
    return network if channels == 3 else _accept_grey(network)


def _plain(architecture: str) -> dict[str, bool]:
    """Leave out the auxiliary heads, which exist for training from scratch only."""
    if architecture in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}
    return {}


def _from_factory(architecture: str, classes: int, channels: int) -> nn.Module:
    module_name, _, function_name = architecture.partition(":")
    if not module_name.startswith("inspection."):  # ours do without; a plant's own may import it anywhere
        torchvision()
    try:
        factory = getattr(importlib.import_module(module_name), function_name)
    except Exception as error:  # importing runs the user's module: anything may be raised
        raise ClassifierError(
            f"{architecture!r} cannot be imported: {first_line(error)}. Expected module:function, with the "
            "module installed, or in the workspace's folder (the current one, where none is used)."
        ) from None
    network = _call_factory(architecture, factory, classes, channels)
    if not isinstance(network, nn.Module):
        raise ClassifierError(
            f"{architecture} returned a {type(network).__name__}; expected a torch.nn.Module"
        )
    return network


def _call_factory(name: str, factory: Callable[..., object], classes: int, channels: int) -> object:
    try:
        return factory(classes, channels)
    except Exception as error:  # whatever the user's own function raises is theirs to read, in one line
        raise ClassifierError(
            f"{name}(classes={classes}, channels={channels}) failed: "
            f"{type(error).__name__}: {first_line(error)}. "
            "The function is called with the number of classes and the number of channels."
        ) from None


def _accept_grey(network: nn.Module) -> nn.Module:
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            parent = network.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], _one_channel(module))
            return network
    raise ClassifierError("the network has no convolution that could take a grey image")


def _one_channel(conv: nn.Conv2d) -> nn.Conv2d:
    return nn.Conv2d(
        1,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        conv.dilation,  # type: ignore[arg-type]
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
    )


def load_classifier(
    architecture: str,
    checkpoint: Path,
    decision: DecisionRule | Sequence[str],
    preprocessing: Preprocessing,
    device: torch.device | str = "cpu",
) -> Classifier:
    """Build a network, load its weights and check that it answers for every class."""
    rule = decision if isinstance(decision, DecisionRule) else DecisionRule.plain(decision)
    network = build_network(architecture, len(rule.outputs), preprocessing.channels)
    load_checkpoint(network, checkpoint)
    return Classifier(network, rule, preprocessing, device)


def choose_device(name: str) -> torch.device:
    """Turn 'auto', 'cpu' or 'cuda[:n]' into a device. Raises ClassifierError where it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ClassifierError(
            f"device {name!r} cannot be used: {first_line(error)}. Expected auto, cpu or cuda"
        ) from None
    return device
