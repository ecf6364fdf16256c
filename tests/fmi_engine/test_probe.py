import operator
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fmi_engine.classifier import build_network, freeze
from fmi_engine.errors import ClassifierError, UnknownLayerError
from fmi_engine.probe import (
    average_pooled,
    check_filter,
    find_layer,
    find_layers,
    find_module,
    layers_of,
    measured,
    recorded,
    resumption,
    silenced,
    stages_of,
    tapped,
    truncated,
)
from fmi_engine.types import FilterRef, Layer
from fmi_engine.vision import torchvision
from tests.fmi_engine.tiny import Deep, Unused, deep, hooks, seeded

pytestmark = pytest.mark.numeric


def picture(side: int = 8, channels: int = 3, count: int = 2, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


def names(network: nn.Module, x: Tensor) -> list[str]:
    return [layer.name for layer in find_layers(network, x)]


class Vgg(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 5, 3, padding=1),
            nn.LeakyReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x))
        return logits


class Shared(nn.Module):
    """One ReLU used twice, in the open."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.act = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.two(self.act(self.one(x)))).mean((2, 3))  # type: ignore[no-any-return]


class SharedBlock(Shared):
    """The same, inside a block that returns what the ReLU gave last."""

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.two(self.act(self.one(x))))  # type: ignore[no-any-return]


class Tokens(nn.Module):
    """A transformer's block without feature maps: patches as rows from the start."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.act, self.mix = nn.Linear(48, 8), nn.GELU(), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        patches = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
        return self.mix(self.act(self.embed(patches))).mean(1)  # type: ignore[no-any-return]


class Channelled(nn.Module):
    """An activation behind a linear layer on maps whose filters come last: no code of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear, self.act = nn.Conv2d(3, 4, 1), nn.Linear(4, 6), nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.linear(self.conv(x).permute(0, 2, 3, 1))).mean((1, 2))  # type: ignore[no-any-return]


class Raising(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("this module must not run")


# Finding layers


def test_a_vgg_has_a_layer_at_each_activation_with_maps() -> None:
    assert find_layers(freeze(seeded(Vgg())), picture() - 0.9) == (
        Layer("features.1", 4, 8, 8, nonnegative=True),
        Layer("features.4", 5, 4, 4, nonnegative=False),
    )


def test_a_resnet_has_its_first_activation_and_the_end_of_each_block_and_stage() -> None:
    torch.manual_seed(0)
    layers = find_layers(freeze(build_network("resnet18", 3, 3)), picture(64, count=1))
    assert [(each.name, each.channels, each.height, each.width) for each in layers] == [
        ("relu", 64, 32, 32),
        ("layer1.0", 64, 16, 16),
        ("layer1", 64, 16, 16),
        ("layer2.0", 128, 8, 8),
        ("layer2", 128, 8, 8),
        ("layer3.0", 256, 4, 4),
        ("layer3", 256, 4, 4),
        ("layer4.0", 512, 2, 2),
        ("layer4", 512, 2, 2),
    ]
    assert all(each.nonnegative for each in layers)


def small_densenet() -> nn.Module:
    models = torchvision().models
    network: nn.Module = models.DenseNet(
        growth_rate=4, block_config=(2, 2), num_init_features=8, num_classes=3
    )
    return network


def mobilenet() -> nn.Module:
    return build_network("mobilenet_v3_small", 3, 3)


@pytest.mark.parametrize("build", [small_densenet, mobilenet])
def test_layers_are_unique_run_once_and_are_what_their_modules_return(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network, x = freeze(build()), picture(64, count=1)
    layers = find_layers(network, x)
    calls: Counter[str] = Counter()
    shapes: dict[str, torch.Size] = {}

    def count(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            calls[name] += 1
            shapes[name] = output.shape

        return hook

    for layer in layers:
        network.get_submodule(layer.name).register_forward_hook(count(layer.name))
    network(x)
    assert len(layers) > 3
    assert calls == {layer.name: 1 for layer in layers}
    assert [tuple(shapes[each.name]) for each in layers] == [
        (1, each.channels, each.height, each.width) for each in layers
    ]


def test_densenet_layers_are_its_relus() -> None:
    assert names(freeze(small_densenet()), picture(64, count=1)) == [
        "features.relu0",
        "features.denseblock1.denselayer1.relu1",
        "features.denseblock1.denselayer1.relu2",
        "features.denseblock1.denselayer2.relu1",
        "features.denseblock1.denselayer2.relu2",
        "features.transition1.relu",
        "features.denseblock2.denselayer1.relu1",
        "features.denseblock2.denselayer1.relu2",
        "features.denseblock2.denselayer2.relu1",
        "features.denseblock2.denselayer2.relu2",
    ]


def test_a_map_of_one_position_is_no_layer() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 5, 1), nn.ReLU()
    )
    assert names(freeze(network), picture()) == ["1"]


def test_a_reused_activation_is_named_by_the_block_that_runs_once() -> None:
    network = nn.Sequential(SharedBlock(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert names(freeze(network), picture()) == ["0"]


def test_a_network_whose_only_activation_is_reused_falls_back_to_its_convolutions() -> None:
    assert find_layers(freeze(Shared()), picture()) == (
        Layer("one", 4, 8, 8, nonnegative=False),
        Layer("two", 5, 8, 8, nonnegative=False),
    )


def test_a_network_without_activations_falls_back_to_its_convolutions() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert find_layers(freeze(network), picture()) == (
        Layer("0", 4, 6, 6, nonnegative=False),
        Layer("1", 5, 4, 4, nonnegative=False),
    )


class InPlaceBlock(nn.Module):
    """As GoogLeNet's blocks do, it rectifies in place, so its convolution's output becomes its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.conv(x), inplace=True)


def test_a_block_that_rectifies_in_place_is_a_layer_after_its_activation() -> None:
    network = nn.Sequential(InPlaceBlock(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert find_layers(freeze(network), picture()) == (Layer("0", 4, 8, 8, nonnegative=True),)


def test_an_activation_behind_a_linear_layer_is_passed_over() -> None:
    assert names(freeze(Channelled()), picture()) == ["conv"]


def test_a_network_without_feature_maps_is_refused() -> None:
    with pytest.raises(ClassifierError) as refusal:
        find_layers(freeze(Tokens()), picture())
    assert str(refusal.value).startswith(
        "the network has no layer with feature maps of more than one position, in which a night looks"
    )


def test_finding_layers_leaves_no_hook_even_where_the_network_fails() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), Raising())
    with pytest.raises(AssertionError, match="must not run"):
        find_layers(network, picture())
    assert hooks(network) == 0
    whole = freeze(Vgg())
    find_layers(whole, picture())
    assert hooks(whole) == 0


LAYERS = (Layer("layer1", 4, 8, 8, True), Layer("layer2", 6, 4, 4, True))


def test_an_unknown_layer_is_refused_with_those_that_exist() -> None:
    assert find_layer(LAYERS, "layer2") is LAYERS[1]
    with pytest.raises(UnknownLayerError) as refusal:
        find_layer(LAYERS, "layer9")
    assert str(refusal.value) == "no layer 'layer9'; this network has: layer1, layer2"


def test_an_unknown_channel_is_refused_with_those_that_exist() -> None:
    assert check_filter(LAYERS, FilterRef("layer2", 5)) == FilterRef("layer2", 5)
    for channel in (6, -1):
        with pytest.raises(UnknownLayerError) as refusal:
            check_filter(LAYERS, FilterRef("layer2", channel))
        assert str(refusal.value) == f"layer 'layer2' has no channel {channel}; it has 0 to 5"


@pytest.mark.parametrize("name", ["", "first.9", "layer9"])
def test_an_unknown_module_is_refused_with_those_that_exist(name: str) -> None:
    network = Deep()
    assert find_module(network, "first.1") is network.first[1]
    with pytest.raises(UnknownLayerError, match=r"this network has: first, first\.0, first\.1, second, "):
        find_module(network, name)


# Reading codes


def test_codes_are_what_the_layers_returned() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    with torch.no_grad():
        network.get_parameter("0.weight").copy_(torch.tensor([2.0, -1.0])[:, None, None, None])
    with recorded(freeze(network), ["1", "0"]) as codes:
        network(torch.tensor([[[[1.0, -3.0]]]]))
    assert codes["0"].tolist() == [[[[2, -6]], [[-1, 3]]]]
    assert codes["1"].tolist() == [[[[2, 0]], [[0, 3]]]]


def test_every_forward_pass_leaves_its_own_codes() -> None:
    network = freeze(Deep())
    with recorded(network, ["first"]) as codes:
        network(picture(seed=1))
        network(x := picture(seed=2))
    assert torch.equal(codes["first"], network.get_submodule("first")(x))


def test_recorded_hooks_are_gone_afterwards() -> None:
    network = freeze(Deep())
    with recorded(network, ["first", "third"]):
        assert hooks(network) == 2
    assert hooks(network) == 0


def test_recorded_hooks_are_gone_after_an_exception() -> None:
    network = freeze(Deep())
    with pytest.raises(RuntimeError), recorded(network, ["first", "third"]):
        network(picture(channels=1))
    assert hooks(network) == 0


def test_recorded_hooks_are_gone_where_a_later_layer_does_not_exist() -> None:
    network = freeze(Deep())
    with pytest.raises(UnknownLayerError), recorded(network, ["first", "layer9"]):
        pass
    assert hooks(network) == 0


class AddsInPlace(Deep):
    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        first += self.second(first)
        logits: Tensor = self.head(self.third(first).mean((2, 3)))
        return logits


def test_a_code_that_the_network_overwrites_is_recorded_as_it_was() -> None:
    network, x = freeze(seeded(AddsInPlace())), picture()
    with truncated(network, "first") as code:
        expected = code(x).clone()
    with recorded(network, ["first"]) as codes:
        network(x)
    assert torch.equal(codes["first"], expected)


def test_a_code_that_the_network_overwrites_is_measured_as_it_was() -> None:
    """And the network answers as it does alone: what it is given is its own."""
    network, x = freeze(seeded(AddsInPlace())), picture()
    with truncated(network, "first") as code:
        expected = code(x).sum()
    alone = network(x)
    with measured(network, ["first", "second"], torch.sum) as found:
        assert torch.equal(network(x), alone)
    assert torch.equal(found["first"], expected)
    assert hooks(network) == 0


def test_a_truncated_pass_returns_the_code_and_runs_nothing_after_it() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), Raising())
    expected = network[0](picture()).clamp_min(0)
    with truncated(network, "1") as code:
        assert torch.equal(code(picture()), expected)
        assert hooks(network) == 1
    assert hooks(network) == 0


def test_truncated_hooks_are_gone_after_an_exception() -> None:
    network = freeze(Deep())
    with pytest.raises(RuntimeError), truncated(network, "third") as code:
        code(picture(channels=1))
    assert hooks(network) == 0


def test_a_layer_that_the_pass_never_reaches_is_named() -> None:
    network = Deep()
    network.spare = nn.ReLU()
    with truncated(network, "spare") as code, pytest.raises(ClassifierError) as refusal:
        code(picture())
    assert str(refusal.value) == "layer 'spare' was not reached by the forward pass"


def test_gradients_flow_through_a_truncated_pass() -> None:
    network = freeze(nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), Raising()))
    with torch.no_grad():
        network.get_parameter("0.weight").fill_(3.0)
    x = torch.tensor([[[[2.0, -1.0]]]], requires_grad=True)
    with truncated(network, "1") as code:
        (gradient,) = torch.autograd.grad(code(x).sum(), [x])
    assert gradient.tolist() == [[[[3.0, 0.0]]]]


def one_to_three() -> nn.Sequential:
    """x, then 2x, then relu(2x), then a module that must not run."""
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), nn.AvgPool2d(2), Raising())
    with torch.no_grad():
        network.get_parameter("0.weight").fill_(2.0)
    return network


SQUARE = [[[[1.0, -3.0], [5.0, 2.0]]]]


@pytest.mark.parametrize(
    "layers", [["0", "2"], ["2", "0"], ["2", "0", "2"]], ids=["in turn", "back", "twice"]
)
def test_a_tap_returns_the_codes_by_name_and_runs_nothing_after_the_last(layers: list[str]) -> None:
    network = one_to_three()
    with tapped(network, layers) as codes:
        found = codes(torch.tensor(SQUARE))
        assert hooks(network) == 2
    assert [*found] == [*dict.fromkeys(layers)]
    assert found["0"].tolist() == [[[[2, -6], [10, 4]]]]
    assert found["2"].tolist() == [[[[4]]]]
    assert hooks(network) == 0


def test_every_pass_through_a_tap_is_its_own() -> None:
    network = one_to_three()
    with tapped(network, ["0", "1"]) as codes:
        first, second = codes(torch.tensor(SQUARE)), codes(-torch.tensor(SQUARE))
    assert first["1"].tolist() == [[[[2, 0], [10, 4]]]]
    assert second["1"].tolist() == [[[[0, 6], [0, 0]]]]


def test_gradients_flow_from_every_code_of_a_tap() -> None:
    x = torch.tensor(SQUARE, requires_grad=True)
    with tapped(freeze(one_to_three()), ["0", "1", "2"]) as codes:
        found = codes(x)
        # 2x with weight 1, relu(2x) with weight 10, and the mean of the four relu(2x) with weight 100
        total = found["0"].sum() + 10 * found["1"].sum() + 100 * found["2"].sum()
        (gradient,) = torch.autograd.grad(total, [x])
    assert gradient.tolist() == [[[[2 + 20 + 50, 2], [2 + 20 + 50, 2 + 20 + 50]]]]


def test_a_tap_holds_the_outermost_and_the_inner_module_that_return_one_code() -> None:
    network, x = freeze(seeded(Deep())), picture()
    with tapped(network, ["first", "first.1", "third"]) as codes:
        found = codes(x)
    assert torch.equal(found["first"], network.get_submodule("first")(x))
    assert torch.equal(found["first.1"], found["first"])
    assert set(found) == {"first", "first.1", "third"}


def test_a_tap_keeps_a_code_that_the_network_overwrites_and_the_network_its_answer() -> None:
    network, x = freeze(seeded(AddsInPlace())), picture()
    with recorded(network, ["third"]) as untapped:
        network(x)
    with tapped(network, ["first", "third"]) as codes:
        found = codes(x)
    assert torch.equal(found["first"], network.get_submodule("first")(x))
    assert torch.equal(found["third"], untapped["third"])


def test_of_a_module_that_runs_twice_a_tap_gives_the_first_code() -> None:
    act, x = nn.ReLU(), picture()
    network = nn.Sequential(nn.Conv2d(3, 4, 1), act, nn.Conv2d(4, 5, 1), act, nn.AvgPool2d(2), Raising())
    seeded(network)
    with tapped(network, ["1", "4"]) as codes:
        found = codes(x)
    first = network[0](x).clamp_min(0)
    assert torch.equal(found["1"], first)
    assert torch.equal(found["4"], nn.functional.avg_pool2d(network[2](first).clamp_min(0), 2))
    with truncated(network, "1") as code:
        assert torch.equal(code(x), first)


class Fussy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if float(x.min()) < 0:
            raise ValueError("below 0")
        return x


def test_a_tap_is_gone_after_an_exception_and_works_again_after_one() -> None:
    network, x = nn.Sequential(nn.AvgPool2d(2), Fussy(), nn.AvgPool2d(2)), picture()
    with pytest.raises(ValueError, match="below 0"), tapped(network, ["0", "2"]) as codes:
        codes(-x)
    assert hooks(network) == 0
    with tapped(network, ["0", "2"]) as codes:
        with pytest.raises(ValueError, match="below 0"):
            codes(-x)
        assert torch.equal(codes(x)["0"], network[0](x))


def test_a_tap_of_a_layer_that_does_not_exist_leaves_no_hook() -> None:
    network = freeze(Deep())
    with pytest.raises(UnknownLayerError, match=r"has: first, "), tapped(network, ["first", "layer9"]):
        pass
    assert hooks(network) == 0


def test_a_tapped_layer_that_the_pass_never_reaches_is_named() -> None:
    network = Deep()
    network.spare = nn.ReLU()
    with tapped(network, ["first", "spare"]) as codes, pytest.raises(ClassifierError) as refusal:
        codes(picture())
    assert str(refusal.value) == "layer 'spare' was not reached by the forward pass"
    assert hooks(network) == 0


# Cutting a network in two


def replaced(network: nn.Module, layer: str, code: Tensor, x: Tensor) -> Tensor:
    """The slow way: the whole network, with the layer's output replaced."""
    handle = network.get_submodule(layer).register_forward_hook(lambda *_: code.clone())
    try:
        return network(x)  # type: ignore[no-any-return]
    finally:
        handle.remove()


def assert_cut_is_right(network: nn.Module, layer: str, x: Tensor, full: Tensor) -> None:
    with torch.no_grad(), truncated(network, layer) as reach:
        expected = reach(x).clone()
    with torch.no_grad():
        cut = resumption(network, layer)
        code, *values = cut.head(x)
        assert torch.equal(code, expected), layer
        assert torch.equal(cut.tail(code, *values), full), layer
        changed = code.flip(1) * 1.5
        assert torch.equal(cut.tail(changed, *values), replaced(network, layer, changed, x)), layer
        assert torch.equal(cut.tail(code, *values), full), f"{layer}: the second pass differs"
    assert hooks(network) == 0


@torch.no_grad()
def answer(network: nn.Module, x: Tensor) -> Tensor:
    return network(x)  # type: ignore[no-any-return]


def test_a_resnet_is_cut_exactly_at_each_of_its_layers() -> None:
    torch.manual_seed(0)
    network, x = freeze(build_network("resnet18", 3, 3)), picture(64, count=1)
    full = answer(network, x)
    for layer in find_layers(network, x):
        assert_cut_is_right(network, layer.name, x, full)


@pytest.mark.parametrize(
    ("architecture", "layers"),
    [
        ("googlenet", ["inception3a", "inception4c", "inception5b"]),
        (
            "densenet121",
            ["features.relu0", "features.denseblock2.denselayer3.relu2", "features.transition3.relu"],
        ),
        ("mobilenet_v3_small", ["features.0", "features.4.block.1", "features.9.block.0", "features"]),
    ],
)
def test_a_torchvision_network_is_cut_exactly(architecture: str, layers: list[str]) -> None:
    torch.manual_seed(0)
    network, x = freeze(build_network(architecture, 3, 3)), picture(64, count=1)
    full = answer(network, x)
    assert {*layers} <= {layer.name for layer in find_layers(network, x)}
    for layer in layers:
        assert_cut_is_right(network, layer, x, full)


@pytest.mark.parametrize("layer", ["first", "second", "third", "first.0", "second.1"])
def test_a_network_with_a_branch_around_the_layer_is_cut_exactly(layer: str) -> None:
    network, x = freeze(seeded(Deep())), picture()
    assert_cut_is_right(network, layer, x, answer(network, x))


def test_a_head_hands_on_the_code_and_what_passes_it_by() -> None:
    network, x = freeze(seeded(Deep())), picture()
    with torch.no_grad():
        code, *values = resumption(network, "second").head(x)
        first = network.get_submodule("first")(x)
        assert torch.equal(code, network.get_submodule("second")(first))
        passing = [value for value in values if torch.equal(value, first) or torch.equal(value, 0.5 * first)]
    assert len(values) == len(passing) == 1
    assert len(resumption(network, "third").head(x)) == 1


def test_a_tail_runs_the_layers_after_the_cut_only_and_a_head_those_before() -> None:
    network, x = freeze(seeded(Deep())), picture()
    ran: list[str] = []
    for name, module in network.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    cut = resumption(network, "second")
    cut.head(x)  # the first time the cut may be compared with the whole network
    ran.clear()
    code, *values = cut.head(x)
    assert ran == ["first.0", "first.1", "second.0", "second.1"]
    ran.clear()
    cut.tail(code, *values)
    assert ran == ["third.0", "third.1", "head"]


class Deciding(Deep):
    """Its way depends on what it sees, so no one graph describes it."""

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        both = self.second(first) if x.mean() > 0.5 else first - self.second(first)
        logits: Tensor = self.head(self.third(both).mean((2, 3)))
        return logits


@pytest.mark.parametrize("brightness", [-0.2, 0.2])
@pytest.mark.parametrize("layer", ["first", "second", "third"])
def test_a_network_that_decides_by_what_it_sees_is_cut_exactly(layer: str, brightness: float) -> None:
    network, x = freeze(seeded(Deciding())), picture() + brightness
    assert_cut_is_right(network, layer, x, answer(network, x))


class AsksForTensors(Deep):
    """A stand-in is no tensor, so a tracer takes the wrong way without noticing."""

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        both = self.second(first) if isinstance(first, Tensor) else first
        logits: Tensor = self.head(self.third(both).mean((2, 3)))
        return logits


def test_a_network_that_a_tracer_misreads_is_cut_exactly() -> None:
    network, x = freeze(seeded(AsksForTensors())), picture()
    assert_cut_is_right(network, "first", x, answer(network, x))


class Assigns(Deep):
    """Works with one of the operators that assign."""

    def __init__(self, change: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        both = self.change(self.second(first), first + 1)
        logits: Tensor = self.head(self.third(both).mean((2, 3)))
        return logits


@pytest.mark.parametrize("change", [operator.iadd, operator.isub, operator.imul, operator.itruediv])
@pytest.mark.parametrize("layer", ["first", "second"])
def test_an_operator_that_assigns_is_cut_exactly(
    layer: str, change: Callable[[Tensor, Tensor], Tensor]
) -> None:
    network, x = freeze(seeded(Assigns(change))), picture()
    assert_cut_is_right(network, layer, x, answer(network, x))


class AddsByMethod(Deep):
    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        second = self.second(first)
        first.add_(second)
        logits: Tensor = self.head(self.third(first).mean((2, 3)))
        return logits


class WritesAMap(Deep):
    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        second = self.second(first)
        second[:, 0] = first[:, 0]
        logits: Tensor = self.head(self.third(second).mean((2, 3)))
        return logits


@pytest.mark.parametrize("build", [AddsInPlace, AddsByMethod, WritesAMap])
@pytest.mark.parametrize("layer", ["first", "second", "third"])
def test_a_network_that_works_in_place_is_cut_exactly(build: type[Deep], layer: str) -> None:
    network, x = freeze(seeded(build())), picture()
    assert_cut_is_right(network, layer, x, answer(network, x))


def test_a_layer_that_the_answer_does_not_depend_on_is_cut_exactly() -> None:
    network, x = freeze(seeded(Unused())), picture()
    assert_cut_is_right(network, "second", x, answer(network, x))


def test_a_changed_code_is_not_changed_further_by_a_tail() -> None:
    network, x = freeze(seeded(AddsInPlace())), picture()
    with torch.no_grad():
        cut = resumption(network, "first")
        code, *values = cut.head(x)
        before = code.clone()
        cut.tail(code, *values)
    assert torch.equal(code, before)


def test_cutting_at_an_unknown_layer_is_refused() -> None:
    with pytest.raises(UnknownLayerError, match="no layer 'layer9'; this network has: first, "):
        resumption(Deep(), "layer9")


def test_cutting_leaves_the_network_as_it_was() -> None:
    network, x = freeze(seeded(Deep())), picture()
    before = answer(network, x)
    cut = resumption(network, "second")
    cut.tail(*cut.head(x))
    assert torch.equal(answer(network, x), before)
    assert [name for name, _ in network.named_children()] == ["first", "second", "third", "head"]


# Average pooling and silenced filters


@pytest.mark.parametrize(("ceil_mode", "padding"), [(False, 0), (True, 0), (False, 1)])
def test_within_the_block_pools_take_the_average(ceil_mode: bool, padding: int) -> None:
    network = nn.Sequential(nn.MaxPool2d(3, 2, padding=padding, ceil_mode=ceil_mode), nn.Flatten())
    x = torch.randn(2, 3, 7, 6, generator=torch.Generator().manual_seed(0))
    usual = network(x)
    with average_pooled(network):
        pooled = network(x)
    expected = nn.functional.avg_pool2d(x, 3, 2, padding, ceil_mode, count_include_pad=False)
    assert torch.allclose(pooled, expected.flatten(1))
    assert torch.equal(network(x), usual)
    assert hooks(network) == 0


def test_a_pool_takes_the_mean_of_the_positions_within_the_picture() -> None:
    """Windows of 2 every 2 positions over 3 x 3, with a border: 1; 2 3; 4 7; and 5, 6, 8, 9."""
    x = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    network = nn.Sequential(nn.MaxPool2d(2, 2, padding=1))
    with average_pooled(network):
        assert network(x).tolist() == [[[[1, 2.5], [5.5, 7]]]]
    assert network(x).tolist() == [[[[1, 3], [7, 9]]]]
    # Without the border the last window of each row and column is cut off by the edge, or left out.
    for ceil_mode, expected in ((True, [[3, 4.5], [7.5, 9]]), (False, [[3]])):
        cut = nn.Sequential(nn.MaxPool2d(2, ceil_mode=ceil_mode))
        with average_pooled(cut):
            assert cut(x).tolist() == [[expected]]


def test_a_tapped_pool_gives_its_average_and_its_gradient_reaches_every_position() -> None:
    network = nn.Sequential(nn.MaxPool2d(2), Raising())
    x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]], requires_grad=True)
    with average_pooled(network), truncated(network, "0") as code:
        pooled = code(x)
        (gradient,) = torch.autograd.grad(pooled.sum(), [x])
        assert hooks(network) == 2
    assert pooled.tolist() == [[[[3]]]]
    assert gradient.tolist() == [[[[0.25, 0.25], [0.25, 0.25]]]]
    assert hooks(network) == 0


def test_every_pool_of_a_network_averages_and_nothing_else_changes() -> None:
    network, x = freeze(seeded(Vgg())), picture()
    with average_pooled(network):
        pooled = network(x)
    averaging = freeze(seeded(Vgg()))
    features = averaging.get_submodule("features")
    assert isinstance(features, nn.Sequential)
    features[2] = features[5] = nn.AvgPool2d(2)
    assert torch.allclose(pooled, averaging(x))
    assert not torch.allclose(pooled, network(x), rtol=0.01)


def test_pools_are_restored_after_a_pass_that_fails() -> None:
    network = nn.Sequential(nn.MaxPool2d(2), Fussy())
    with pytest.raises(ValueError, match="below 0"), average_pooled(network):
        network(-picture())
    assert hooks(network) == 0
    assert torch.equal(network(picture()), nn.functional.max_pool2d(picture(), 2))


def test_pools_are_restored_after_an_exception() -> None:
    network = nn.Sequential(nn.MaxPool2d(2))
    with pytest.raises(ValueError, match="stop"), average_pooled(network):
        raise ValueError("stop")
    assert hooks(network) == 0


def test_silenced_filters_answer_nothing_and_the_others_as_before() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    x = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    usual = network(x)
    with silenced(network, "1", [0, 2]), truncated(network, "1") as code:
        quiet = code(x)
    assert quiet[:, [0, 2]].abs().max() == 0
    assert torch.equal(quiet[:, 1], usual[:, 1])
    assert hooks(network) == 0
    with pytest.raises(ValueError, match="stop"), silenced(network, "1", [0]):
        raise ValueError("stop")
    assert hooks(network) == 0


def test_silencing_a_layer_that_does_not_exist_leaves_no_hook() -> None:
    network = freeze(Deep())
    with pytest.raises(UnknownLayerError, match="no layer 'layer9'"), silenced(network, "layer9", [0]):
        pass
    assert hooks(network) == 0


def test_what_follows_a_silenced_filter_sees_its_silence() -> None:
    network, x = freeze(seeded(Deep())), picture()
    with torch.no_grad(), silenced(network, "third", [1, 4]):
        quiet = network(x)
        code = network.get_submodule("third")  # its own hook silences it too
        first = network.get_submodule("first")(x)
        maps = code(network.get_submodule("second")(first) - 0.5 * first)
    assert maps[:, [1, 4]].abs().max() == 0
    assert torch.allclose(quiet, network.get_submodule("head")(maps.mean((2, 3))))
    assert not torch.allclose(quiet, answer(network, x))


def test_a_classifiers_layers_are_found_by_one_image_of_noise_in_its_size() -> None:
    classifier = deep(8)
    found = layers_of(classifier)
    assert [(layer.name, layer.channels, layer.height) for layer in found] == [
        *(("first", 4, 8), ("second", 4, 8), ("third", 6, 4))
    ]
    assert found == find_layers(classifier.network, torch.randn(1, 3, 8, 8))
    assert hooks(classifier.network) == 0


def test_a_stage_is_the_last_layer_of_a_resolution() -> None:
    sizes = (("a", 32), ("b", 32), ("c", 16), ("d", 8), ("e", 8))
    layers = [Layer(name, 4, side, side, nonnegative=True) for name, side in sizes]
    assert [layer.name for layer in stages_of(layers)] == ["b", "c", "e"]
