"""Codes of blocks whose filters come last: read as maps, and written back where they came from."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fmi_engine.blame import screen
from fmi_engine.classifier import Classifier, freeze
from fmi_engine.errors import ClassifierError
from fmi_engine.layout import MAPS, UNCLEAR, First, MapsLast, Tokens, layout_of
from fmi_engine.probe import (
    find_layers,
    layers_of,
    measured,
    recorded,
    resumption,
    silenced,
    stages_of,
    tapped,
    truncated,
)
from fmi_engine.reference import build_reference
from fmi_engine.types import Layer
from tests.fmi_engine.tiny import Deep, noise, plain, seeded

pytestmark = pytest.mark.numeric


class Block(nn.Module):
    """What a transformer's block does to the filters, with the tokens mixed by their mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.inner, self.act = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU()
        self.outer = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.outer(self.act(self.inner(self.norm(x))))
        mixed: Tensor = y + 0.1 * y.flatten(1, -2).mean(1).view(len(y), *[1] * (y.ndim - 2), -1)
        return mixed


class Vit(nn.Module):
    """Patches as tokens behind one of the class, by which it decides with all others."""

    def __init__(self, extra: int = 1, order: list[int] | None = None) -> None:
        super().__init__()
        self.extra, self.order = extra, order
        self.embed = nn.Conv2d(3, 5, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, extra, 5))
        self.blocks = nn.Sequential(Block(5), Block(5))
        self.norm, self.head = nn.LayerNorm(5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        if self.order is not None:
            patches = patches[:, self.order]
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), patches], 1)
        tokens = self.norm(self.blocks(tokens))
        return self.head(tokens[:, 0] + tokens.mean(1))  # type: ignore[no-any-return]


class Swin(nn.Module):
    """Maps whose filters come last."""

    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, width, 4, stride=4)
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.embed(x).permute(0, 2, 3, 1)).mean((1, 2)))  # type: ignore[no-any-return]


class Answering(Block):
    """A block that answers what it made and something beside it."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x), x.mean()


class Merging(nn.Module):
    """Tokens of positions, four of which become one after the first stage; blocks answer in tuples."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 5, 4, stride=4)
        self.first, self.second = nn.ModuleList([Answering(5)]), nn.ModuleList([Answering(5)])
        self.merge, self.head = nn.Linear(20, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.embed(x)
        tokens, _ = self.first[0](maps.flatten(2).transpose(1, 2))
        windows = tokens.view(len(x), maps.shape[2] // 2, 2, maps.shape[3] // 2, 2, 5).transpose(2, 3)
        tokens, _ = self.second[0](self.merge(windows.flatten(3).flatten(1, 2)))
        return self.head(tokens.mean(1))  # type: ignore[no-any-return]


def picture(height: int = 8, width: int = 16, count: int = 2) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def drawn(network: nn.Module) -> nn.Module:
    """With weights around zero, so that no code happens to be a rectified one."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.5)
    return freeze(network)


def made(kind: type[nn.Module], **given: Any) -> nn.Module:
    network = drawn(kind(**given))
    find_layers(network, picture(count=1))
    return network


def as_maps(kind: type[nn.Module], output: Tensor) -> Tensor:
    if kind is Swin:
        return output.permute(0, 3, 1, 2)
    return output[:, 1:].transpose(1, 2).reshape(len(output), -1, 2, 4)


KINDS = pytest.mark.parametrize("kind", [Vit, Swin])


# --- what is found ---


@KINDS
def test_blocks_are_layers_beside_the_patches(kind: type[nn.Module]) -> None:
    assert find_layers(drawn(kind()), picture(count=1)) == (
        Layer("embed", 5, 2, 4, nonnegative=False),
        Layer("blocks.0", 5, 2, 4, nonnegative=False),
        Layer("blocks", 5, 2, 4, nonnegative=False),
    )


@pytest.mark.parametrize("extra", [0, 1, 5])
def test_tokens_of_no_position_come_first(extra: int) -> None:
    network = made(Vit, extra=extra)
    assert layout_of(network.get_submodule("blocks")) == Tokens(height=2, extra=extra)
    with truncated(network, "blocks.0") as code:
        assert code(picture()).shape == (2, 5, 2, 4)


def test_a_classifier_knows_the_layouts_before_anybody_asks_for_layers() -> None:
    classifier = Classifier(drawn(Swin()), ("a", "b", "c"), plain(8, 3, 16))
    assert layout_of(classifier.network.get_submodule("blocks.1")) == MapsLast()
    assert layout_of(classifier.network.get_submodule("embed")) == MAPS
    assert [layer.name for layer in stages_of(layers_of(classifier))] == ["blocks"]


def test_maps_that_fit_either_way_are_no_layers() -> None:
    network = drawn(Swin(4))
    assert [layer.name for layer in find_layers(network, picture(16, 16, 1))] == ["embed"]
    assert layout_of(network.get_submodule("blocks.0")) == UNCLEAR


def test_tokens_in_another_order_are_no_layers() -> None:
    order = [7, 6, 5, 4, 3, 2, 1, 0]
    network = drawn(Vit(order=order))
    assert [layer.name for layer in find_layers(network, picture(count=1))] == ["embed"]


def test_convolutions_are_what_they_were() -> None:
    network = freeze(seeded(Deep()))
    assert [layer.name for layer in find_layers(network, picture(4, 4, 1))] == ["first", "second", "third"]
    assert {layout_of(module) for module in network.modules()} == {MAPS}  # 4 filters of 4 x 4


def test_the_first_of_a_tuple_is_a_code_and_merged_patches_are_positions() -> None:
    network = drawn(Merging())
    assert find_layers(network, picture(16, 32, 1)) == (
        Layer("embed", 5, 4, 8, nonnegative=False),
        Layer("first.0", 5, 4, 8, nonnegative=False),
        Layer("second.0", 5, 2, 4, nonnegative=False),
    )
    assert layout_of(network.get_submodule("first.0")) == First(laid_out=Tokens(height=4))


def test_a_network_of_tokens_alone_is_refused() -> None:
    class Alone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks, self.head = nn.Sequential(Block(3)), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.blocks(x.flatten(2).transpose(1, 2)).mean(1))  # type: ignore[no-any-return]

    with pytest.raises(ClassifierError, match="no layer with feature maps"):
        find_layers(freeze(Alone()), picture(count=1))


# --- what is read ---


@KINDS
def test_every_way_of_reading_gives_the_same_maps(kind: type[nn.Module]) -> None:
    network, x, held = made(kind), picture(), list[Tensor]()
    handle = network.get_submodule("blocks.0").register_forward_hook(lambda *given: held.append(given[2]))
    answer = network(x)
    handle.remove()
    expected = as_maps(kind, held[0])
    with recorded(network, ["blocks.0"]) as codes:
        torch.testing.assert_close(network(x), answer, rtol=0, atol=0)
    with tapped(network, ["embed", "blocks.0"]) as read:
        tapped_code = read(x)["blocks.0"]
    with measured(network, ["blocks.0"], torch.clone) as found:
        network(x)
    for code in (codes["blocks.0"], tapped_code, found["blocks.0"]):
        torch.testing.assert_close(code, expected, rtol=0, atol=0)


@KINDS
def test_the_gradient_is_that_of_the_maps(kind: type[nn.Module]) -> None:
    """A small step along the gradient of one logit, at one position of one filter, moves it as it says."""
    network, x = made(kind).double(), picture().double()
    with recorded(network, ["blocks.0"]) as codes:
        logit = network(x.requires_grad_())[:, 1].sum()
        (gradient,) = torch.autograd.grad(logit, codes["blocks.0"])
    code, *values = resumption(network, "blocks.0").head(x)
    moved = code.detach().clone()
    moved[0, 3, 1, 2] += 1e-5
    cut = resumption(network, "blocks.0")
    cut.head(x)
    change = (cut.tail(moved, *values)[:, 1].sum() - logit) / 1e-5
    torch.testing.assert_close(change, gradient[0, 3, 1, 2], rtol=1e-3, atol=1e-6)


# --- what is written ---


@KINDS
@pytest.mark.parametrize("traced", [True, False])
def test_a_changed_code_goes_where_it_came_from(
    kind: type[nn.Module], traced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, x = made(kind), picture()
    if not traced:
        monkeypatch.setattr("fmi_engine.probe._LeafTracer.trace", lambda *_: 1 / 0)
    cut = resumption(network, "blocks.0")
    code, *values = cut.head(x)
    torch.testing.assert_close(cut.tail(code, *values), network(x))
    changed = code * 2 + torch.arange(8.0).view(2, 4)

    def change(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        if kind is Swin:
            return changed.permute(0, 2, 3, 1)
        return torch.cat([output[:, :1], changed.flatten(2).transpose(1, 2)], 1)

    handle = network.get_submodule("blocks.0").register_forward_hook(change)
    expected = network(x)
    handle.remove()
    torch.testing.assert_close(cut.tail(changed, *values), expected)


@KINDS
def test_silenced_filters_are_those_of_the_maps(kind: type[nn.Module]) -> None:
    network, x = made(kind), picture()
    with truncated(network, "blocks.0") as code:
        before = code(x)
    with silenced(network, "blocks.0", [1, 3]), truncated(network, "blocks.0") as code:
        after = code(x)
    assert (after[:, [1, 3]] == 0).all()
    torch.testing.assert_close(after[:, [0, 2, 4]], before[:, [0, 2, 4]], rtol=0, atol=0)


@KINDS
def test_filters_are_blamed(kind: type[nn.Module]) -> None:
    classifier = Classifier(drawn(kind()), ("a", "b", "c"), plain(16, 3))
    images = noise(12, 16, 3)
    classes = classifier.predict(images).argmax(1)
    layers = layers_of(classifier)
    reference = build_reference(classifier, layers, [(images, classes)], 1)
    found = screen(classifier, layers, reference, images[:4], (classes[:4] + 1) % 3)
    assert {name: blame.shape for name, blame in found.blame.items()} == {
        "embed": (4, 5), "blocks.0": (4, 5), "blocks": (4, 5),
    }  # fmt: skip
    assert all(abs(blame).max() > 0 for blame in found.blame.values())


def test_the_first_of_a_tuple_is_read_changed_and_silenced() -> None:
    network, x = drawn(Merging()), picture(16, 32)
    find_layers(network, x[:1])
    answer = network(x)
    for name in ("first.0", "second.0"):
        with recorded(network, [name]) as codes:
            torch.testing.assert_close(network(x), answer, rtol=0, atol=0)
        with tapped(network, ["embed", name]) as read:
            torch.testing.assert_close(read(x)[name], codes[name], rtol=0, atol=0)
        cut = resumption(network, name)
        code, *values = cut.head(x)
        torch.testing.assert_close(cut.tail(code, *values), answer)
        with silenced(network, name, [1]):
            silent = network(x)
        code[:, 1] = 0
        torch.testing.assert_close(cut.tail(code, *values), silent)
        assert not torch.allclose(silent, answer)
