"""Answers that are no tensor: what is read of them, and that the network stays the same otherwise."""

import sys
from collections import namedtuple
from collections.abc import Callable
from copy import deepcopy
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fmi_engine.answer import answering, logits_of, settled
from fmi_engine.classifier import Classifier, build_network, hash_weights
from fmi_engine.errors import ClassifierError
from fmi_engine.probe import layers_of, resumption
from tests.fmi_engine.tiny import noise, plain, seeded

Both = namedtuple("Both", ["logits", "aux"])
LOGITS, FEATURES, OTHERS = torch.ones(2, 3), torch.ones(2, 4), torch.zeros(2, 3)


class Telling(nn.Module):
    """A small network that says more than its logits."""

    def __init__(self, say: Callable[[Tensor, Tensor, bool], Any]) -> None:
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Linear(4, 3)
        self.say = say

    def forward(self, x: Tensor) -> Any:
        features = self.act(self.conv(x)).mean((2, 3))
        return self.say(self.head(features), features, self.training)


def first(logits: Tensor, features: Tensor, training: bool) -> Any:
    return logits, features


def second(logits: Tensor, features: Tensor, training: bool) -> Any:
    return [features, logits]


def keyed(logits: Tensor, features: Tensor, training: bool) -> Any:
    return {"scores": logits, "features": features}


def spoken(logits: Tensor, features: Tensor, training: bool) -> Any:
    return SimpleNamespace(logits=logits, hidden=features)


def auxiliary(logits: Tensor, features: Tensor, training: bool) -> Any:
    return (logits, logits * 2) if training else logits


def two(logits: Tensor, features: Tensor, training: bool) -> Any:
    return {"fine": logits, "coarse": logits * 2}


def plainly(logits: Tensor, features: Tensor, training: bool) -> Any:
    return logits


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("telling")
    for say in (first, second, keyed, spoken, auxiliary, two, plainly):
        vars(module)[say.__name__] = lambda _classes, _channels, say=say: Telling(say)
    monkeypatch.setitem(sys.modules, "telling", module)


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        (LOGITS, ""),
        ((LOGITS, FEATURES), "0"),
        ((LOGITS, OTHERS), "0"),
        ([FEATURES, LOGITS], "1"),
        ({"scores": LOGITS, "features": FEATURES}, "scores"),
        ({"logits": LOGITS, "aux": OTHERS}, "logits"),
        (Both(LOGITS, OTHERS), "logits"),
        (SimpleNamespace(logits=LOGITS, hidden=FEATURES), "logits"),
    ],
)
def test_the_logits_are_found_where_one_thing_can_be_meant(answer: object, part: str) -> None:
    assert logits_of(answer, 3) == part


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            {"fine": LOGITS, "coarse": OTHERS},
            r"a dict of fine \(2, 3\), coarse \(2, 3\); several .*--answer fine",
        ),
        (
            (FEATURES, FEATURES),
            r"a tuple of 0 \(2, 4\), 1 \(2, 4\); none is a tensor of logits \(batch, 3\)",
        ),
        ({}, "a dict of nothing; none is"),
        ("text", "a str of nothing; none"),
    ],
)
def test_where_nothing_tells_the_parts_are_listed(answer: object, said: str) -> None:
    with pytest.raises(ClassifierError, match=said):
        logits_of(answer, 3)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("first", "#0"),
        ("second", "#1"),
        ("keyed", "#scores"),
        ("spoken", "#logits"),
        ("auxiliary", "#0"),
        ("plainly", ""),
    ],
)
def test_a_network_answers_with_its_logits_wherever_it_is_built_again(name: str, part: str) -> None:
    network = seeded(build_network(f"telling:{name}", 3, 1))
    before = hash_weights(network.state_dict())
    settled_as = settled(f"telling:{name}", network, torch.zeros(2, 1, 8, 8), 3)
    assert settled_as == f"telling:{name}{part}"
    again = build_network(settled_as, 3, 1)
    again.load_state_dict(network.state_dict())
    classifier = Classifier(again, ("a", "b", "c"), plain(8, 1))
    assert classifier.weights_hash == before
    assert [layer.name for layer in layers_of(classifier)] == ["act"]
    x = classifier.prepare(noise(2, 8, 1))
    code = again.get_submodule("act")(again.get_submodule("conv")(x))
    expected = again.get_submodule("head")(code.mean((2, 3)))
    torch.testing.assert_close(classifier(x), expected, rtol=0, atol=0)
    torch.testing.assert_close(deepcopy(again).train()(x), expected, rtol=0, atol=0)
    cut = resumption(again, "act")
    torch.testing.assert_close(cut.tail(*cut.head(x)), expected, rtol=0, atol=0)


@pytest.mark.usefixtures("own")
def test_a_part_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ClassifierError, match=r"no part 'logits'; it has fine \(1, 3\), coarse \(1, 3\)"):
        Classifier(build_network("telling:two#logits", 3, 1), ("a", "b", "c"), plain(8, 1))
    chosen = Classifier(build_network("telling:two#coarse", 3, 1), ("a", "b", "c"), plain(8, 1))
    assert chosen.predict(noise(2, 8, 1)).shape == (2, 3)


def test_one_that_fails_is_left_to_the_classifier() -> None:
    network = seeded(Telling(plainly))
    assert settled("name", network, torch.zeros(2, 5, 8, 8), 3) == "name"


def test_the_class_keeps_its_name_and_its_kind() -> None:
    network = answering(Telling(first), "0")
    assert isinstance(network, Telling)
    assert repr(network) == repr(Telling(first))
