"""Whether a network can be asked what a night asks: layers, one gradient, and the same answer every time."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fmi_engine.classifier import Classifier
from fmi_engine.errors import ClassifierError, first_line, some
from fmi_engine.probe import layers_of, recorded
from fmi_engine.types import Layer

# Of the largest logit: what answers to one image alone and in a batch may differ by. Rounding makes 8e-7 at
# most (nine torchvision networks and ours, 96 px, on a CPU), statistics of the batch .011 or more.
APART = 1e-3
FEW = 3  # layers: with fewer, blame says little about where in the network an error arises


def examine(classifier: Classifier, images: NDArray[np.uint8]) -> tuple[Layer, ...]:
    """Try on a few images (n, height, width, channel) all that a night needs; returns the layers.

    Raises ClassifierError saying what a network cannot do, and what to do about it: weights in half
    precision, answers that differ for the same image or with the other images of a batch, that are no finite
    numbers, or through which no gradient flows.
    """
    _check_kind(classifier.network)
    _check_weights(classifier.network)
    x = classifier.prepare(images)
    together, again = _answer(classifier, x), _answer(classifier, x)
    if not together.isfinite().all():
        raise ClassifierError(
            "the network answers reference images with values that are no finite numbers; check --mean and "
            "--std, and that the checkpoint is from before its training diverged"
        )
    allowed = APART * max(1.0, float(together.abs().max()))
    if (together - again).abs().max() > allowed:
        raise ClassifierError(
            "the network answers the same image differently when it is asked twice: dropout or noise is on "
            "although it is evaluated. Let its module heed eval()"
        )
    alone = torch.cat([_answer(classifier, x[i : i + 1]) for i in range(len(x))])
    if (together - alone).abs().max() > allowed:
        raise ClassifierError(
            "the network's answer to an image depends on the other images of its batch: a normalisation "
            "takes their statistics. Let it keep running statistics, as eval() expects"
        )
    layers = layers_of(classifier)
    _check_gradient(classifier, x, [layer.name for layer in layers])
    return layers


def _check_kind(network: nn.Module) -> None:
    """Raise ClassifierError for a network into which nobody can look while it answers."""
    compiled = type(network).__name__ == "OptimizedModule"  # of torch.compile, whose import takes seconds
    if compiled or isinstance(network, torch.jit.ScriptModule):
        kind = "compiled by torch.compile" if compiled else "a TorchScript program"
        raise ClassifierError(
            f"the network is {kind}, into whose layers nobody can look; let the module return the network "
            "before that"
        )


def _check_weights(network: nn.Module) -> None:
    halves = {str(weight.dtype) for weight in network.parameters() if weight.dtype.itemsize < 4}
    if halves:
        raise ClassifierError(
            f"the network's weights are {' and '.join(sorted(halves))}, too coarse for gradients; let the "
            "module build it in float32 (network.float()): half precision is chosen where it helps"
        )


def _answer(classifier: Classifier, x: Tensor) -> Tensor:
    try:
        return classifier.logits(x)
    except Exception as error:  # a user's network may raise anything
        raise ClassifierError(
            f"the network accepts one image and not {len(x)} at once: {first_line(error)}. A night asks for "
            "batches; let its forward pass take (batch, channel, height, width) for any batch"
            if len(x) > 1
            else f"the network accepts several images at once and not one: {first_line(error)}"
        ) from None


def _check_gradient(classifier: Classifier, x: Tensor, layers: Sequence[str]) -> None:
    """One backward pass of the largest logit to every layer: blame is what comes back."""
    network = classifier.network
    why = "operations that have no gradient, torch.no_grad() or detach() lie on the way"
    try:
        with torch.enable_grad(), recorded(network, layers) as codes:
            logits = classifier(x.detach().requires_grad_())
            gradients = torch.autograd.grad(logits.amax(1).sum(), list(codes.values()), allow_unused=True)
    except Exception as error:  # the user's forward pass, or autograd on what it did
        raise ClassifierError(f"no gradient flows through the network: {first_line(error)}; {why}") from None
    without = [name for name, gradient in zip(codes, gradients, strict=True) if gradient is None]
    if len(without) == len(codes):
        raise ClassifierError(f"no gradient reaches any layer ({some(without)}): {why}")
    if not any(bool(gradient.any()) for gradient in gradients if gradient is not None):
        raise ClassifierError(
            "the gradient is 0 in every layer, so nothing in them can be blamed: the weights of the last "
            "layer are 0, or a softmax at the end is sure of every image; let the forward pass end before it"
        )
