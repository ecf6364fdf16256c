"""Whether a network can be asked what a night asks."""

from typing import cast

import pytest
import torch
from torch import Tensor, nn

from fmi_engine.classifier import Classifier
from fmi_engine.errors import ClassifierError
from fmi_engine.fitness import examine
from tests.fmi_engine.tiny import noise, plain, seeded


class Odd(nn.Module):
    """A small network with one oddity."""

    def __init__(self, oddity: str = "") -> None:
        super().__init__()
        self.oddity = oddity
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.norm = nn.BatchNorm2d(4, track_running_stats=oddity != "normalised by its batch")
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.oddity == "one at a time":
            x = x.view(1, 1, 8, 8)
        code = self.relu(self.conv(x))
        code = self.norm(code)
        if self.oddity == "dropout":
            code = nn.functional.dropout(code, 0.5, training=True)
        if self.oddity == "infinite":
            code = code / 0
        pooled = code.mean((2, 3))
        if self.oddity == "detached":
            pooled = pooled.detach()
        logits: Tensor = self.head(pooled)
        return logits


def asked(oddity: str) -> tuple[str, ...]:
    classifier = Classifier(seeded(Odd(oddity)), ("good", "bad"), plain(8, 1))
    return tuple(layer.name for layer in examine(classifier, noise(3, 8, 1)))


def test_a_plain_network_passes_and_its_layers_are_returned() -> None:
    assert asked("") == ("relu",)


@pytest.mark.parametrize(
    ("oddity", "said"),
    [
        ("one at a time", r"accepts one image and not 3 at once: shape .* for any batch"),
        ("dropout", "answers the same image differently when it is asked twice: dropout"),
        ("infinite", "no finite numbers"),
        ("detached", "no gradient"),
        ("normalised by its batch", "depends on the other images of its batch"),
    ],
)
def test_what_it_cannot_do_is_said_with_what_to_do(oddity: str, said: str) -> None:
    with pytest.raises(ClassifierError, match=said):
        asked(oddity)


def test_half_precision_is_refused() -> None:
    classifier = Classifier(seeded(Odd()), ("good", "bad"), plain(8, 1))
    classifier.network.to(torch.bfloat16)
    with pytest.raises(ClassifierError, match=r"weights are torch\.bfloat16, too coarse for gradients"):
        examine(classifier, noise(2, 8, 1))


def test_one_that_nothing_moves_is_refused() -> None:
    network = seeded(Odd())
    torch.nn.init.zeros_(network.get_parameter("head.weight"))
    with pytest.raises(ClassifierError, match="the gradient is 0 in every layer"):
        examine(Classifier(network, ("good", "bad"), plain(8, 1)), noise(2, 8, 1))


@pytest.mark.filterwarnings("ignore:.* is deprecated:DeprecationWarning")  # plants have them nevertheless
def test_programs_are_refused() -> None:
    scripted = torch.jit.trace(seeded(Odd()).eval(), torch.zeros(1, 1, 8, 8))  # type: ignore[no-untyped-call]
    for network, kind in ((scripted, "a TorchScript program"), (torch.compile(Odd()), "compiled by torch")):
        classifier = Classifier(seeded(Odd()), ("good", "bad"), plain(8, 1))
        classifier.network = cast(nn.Module, network)
        with pytest.raises(ClassifierError, match=f"the network is {kind}"):
            examine(classifier, noise(2, 8, 1))


def test_what_lies_in_no_gradient_is_refused() -> None:
    class Frozen(Odd):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                return super().forward(x)

    classifier = Classifier(seeded(Frozen()), ("good", "bad"), plain(8, 1))
    with pytest.raises(ClassifierError, match="no gradient flows through the network"):
        examine(classifier, noise(2, 8, 1))
