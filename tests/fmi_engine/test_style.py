from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fmi_engine.classifier import Classifier, build_network, freeze
from fmi_engine.errors import ClassifierError, EngineError, UnknownLayerError
from fmi_engine.inversion import Descent
from fmi_engine.presets import Preset
from fmi_engine.probe import find_layers
from fmi_engine.style import (
    METHODS,
    Restyled,
    Styling,
    content_loss,
    gram_loss,
    restyle,
    style_layers,
    sums_loss,
)
from fmi_engine.types import FloatArray, Layer
from fmi_engine.vision import torchvision
from tests.fmi_engine.tiny import Readout, hooks, plain, seeded, unit

pytestmark = pytest.mark.numeric

SHORT = Preset("pixels", steps=40, learning_rate=0.1, total_variation=0.0, contrast=0.02)
SIDE = 8


def layer(name: str, height: int, width: int | None = None) -> Layer:
    return Layer(name, 4, height, width or height, nonnegative=True)


# Which layers


def vgg19() -> nn.Module:
    """The real one, with weights of 0: made without memory first, as 140 million draws take seconds."""
    with torch.device("meta"):
        network: nn.Module = torchvision().models.vgg19(weights=None, init_weights=False)
    network.get_submodule("features").to_empty(device="cpu")
    network.classifier = nn.Flatten()  # what follows the last map
    for weight in network.parameters():
        nn.init.zeros_(weight)
    return network


@pytest.mark.parametrize(
    ("build", "side", "expected"),
    [
        # relu1_1, relu2_1, relu3_1, relu4_1 and relu2_2
        (vgg19, 64, (("features.1", "features.6", "features.11", "features.20"), "features.8")),
        (
            lambda: build_network("resnet18", 3, 3),
            64,
            (("relu", "layer1.0", "layer2.0", "layer3.0"), "layer1"),
        ),
    ],
    ids=["vgg19", "resnet18"],
)
def test_style_and_content_layers_of_real_networks(
    build: Callable[[], nn.Module], side: int, expected: tuple[tuple[str, ...], str]
) -> None:
    layers = find_layers(freeze(build()), torch.zeros(1, 3, side, side))
    assert style_layers(layers) == expected


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([layer("a", 9)], (("a",), "a")),
        ([layer("a", 9), layer("b", 9)], (("a",), "b")),
        ([layer("a", 8), layer("b", 4), layer("c", 4)], (("a", "b"), "c")),
        # Inception's first maps: 149 and 147 are one resolution, so are 73 and 71
        (
            [layer("a", 149), layer("b", 147), layer("c", 73), layer("d", 71), layer("e", 35)],
            (("a", "c", "e"), "d"),
        ),
        ([layer("a", 8), layer("b", 8, 4), layer("c", 8, 2)], (("a", "b", "c"), "b")),
        ([layer(name, side) for name, side in zip("abcde", (64, 32, 16, 8, 4), strict=True)], None),
    ],
    ids=["one layer", "one resolution", "two", "borders", "one side halved", "five"],
)
def test_a_resolution_begins_where_half_the_positions_are_left(
    layers: list[Layer], expected: tuple[tuple[str, ...], str] | None
) -> None:
    assert style_layers(layers) == (expected or (("a", "b", "c", "d"), "b"))


def test_no_layers_are_refused() -> None:
    with pytest.raises(ClassifierError, match="no layers given"):
        style_layers([])


# The losses


def codes(batch: int, seed: int) -> Tensor:
    return torch.rand(batch, 3, 2, 4, generator=torch.Generator().manual_seed(seed)) + seed


def slow_sums(code: FloatArray) -> list[float]:
    return [sum(float(value) for value in maps.flatten()) for maps in code]


def slow_gram(code: FloatArray) -> list[float]:
    flat = [maps.flatten() for maps in code]
    return [sum(float(a * b) for a, b in zip(one, other, strict=True)) for one in flat for other in flat]


def slow_content(code: FloatArray) -> list[float]:
    return [float(value) for value in code.flatten()]


def relative(found: list[float], wanted: list[float]) -> float:
    """||a - b||^2 / ||b||^2."""
    return sum((a - b) ** 2 for a, b in zip(found, wanted, strict=True)) / sum(b**2 for b in wanted)


SLOW: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[FloatArray], list[float]]]] = {
    "sums": (sums_loss, slow_sums),
    "gram": (gram_loss, slow_gram),
    "content": (content_loss, slow_content),
}


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("styles", [1, 3], ids=["one for all", "one for each"])
def test_a_loss_is_its_formula_for_each_picture(name: str, styles: int) -> None:
    loss, slow = SLOW[name]
    code, style = codes(3, 1), codes(styles, 2)
    expected = [
        relative(slow(code[i].numpy()), slow(style[i % styles].numpy())) for i in range(3)
    ]  # one number for each picture
    assert loss(code, style).tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (sums_loss, ((3 - 4) ** 2 + (1 - 0) ** 2) / 4**2),
        # Gram matrices [[5, 1], [1, 1]] and [[8, 0], [0, 0]]
        (gram_loss, ((5 - 8) ** 2 + 2 * 1**2 + 1**2) / 8**2),
        (content_loss, ((1 - 2) ** 2 + (2 - 2) ** 2 + 1**2 + 0) / (2**2 + 2**2)),
    ],
    ids=["sums", "gram", "content"],
)
def test_a_loss_counted_by_hand(loss: Callable[[Tensor, Tensor], Tensor], expected: float) -> None:
    code = torch.tensor([[[[1.0, 2.0]], [[1.0, 0.0]]]])
    style = torch.tensor([[[[2.0, 2.0]], [[0.0, 0.0]]]])
    assert loss(code, style).tolist() == pytest.approx([expected])
    assert loss(style, style).tolist() == [0]


def test_sums_and_grams_are_blind_to_where_things_lie_and_content_is_not() -> None:
    code = codes(2, 1)
    moved = code.roll((1, 1), (2, 3))
    assert sums_loss(moved, code).tolist() == pytest.approx([0, 0], abs=1e-10)
    assert gram_loss(moved, code).tolist() == pytest.approx([0, 0], abs=1e-10)
    assert content_loss(moved, code).min() > 0.01


# Restyling


class Pyramid(nn.Module):
    """Two resolutions: the style layers are `first` and `third`, the content layer is `fourth`."""

    def __init__(self, pool: nn.Module | None = None) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
        self.pool = pool or nn.AvgPool2d(2)
        self.third = nn.Sequential(nn.Conv2d(4, 5, 3, padding=1), nn.ReLU())
        self.fourth = nn.Sequential(nn.Conv2d(5, 5, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.fourth(self.third(self.pool(self.second(self.first(x)))))
        logits: Tensor = self.head(maps.mean((2, 3)))
        return logits


def pyramid(pool: nn.Module | None = None) -> Classifier:
    return Classifier(seeded(Pyramid(pool), seed=3), ["a", "b"], plain(SIDE, 3))


def picture(mean: tuple[int, int, int], grain: int, seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(-grain, grain + 1, (SIDE, SIDE, 3))
    return (np.array(mean) + noise).clip(0, 255).astype(np.uint8)


CONTENT = picture((90, 130, 90), 40, seed=1)
STYLE = picture((190, 60, 120), 20, seed=2)


def run(
    method: str, classifier: Classifier | None = None, layer: str | None = None, preset: Preset = SHORT
) -> Restyled:
    return restyle(classifier or pyramid(), Styling(CONTENT, STYLE, method, layer), Descent([1, 2], preset))


@torch.no_grad()
def codes_of(network: nn.Module, x: FloatArray) -> dict[str, FloatArray]:
    """The slow way: stage by stage."""
    found, maps = {}, torch.from_numpy(x)
    for name in ("first", "second", "pool", "third", "fourth"):
        maps = network.get_submodule(name)(maps)
        found[name] = maps.numpy()
    return found


@pytest.mark.parametrize("method", METHODS)
def test_the_numbers_are_those_of_the_pictures_returned(method: str) -> None:
    classifier = pyramid()
    found = run(method, classifier)
    network = classifier.network
    before = codes_of(network, unit(CONTENT[None]))
    goal, after = codes_of(network, unit(STYLE[None])), codes_of(network, found.images)
    assert [each.layer for each in found.styles] == ["first", "third"]
    for each in found.styles:
        name = each.layer
        sums, gram = slow_sums(goal[name][0]), slow_gram(goal[name][0])
        assert each.sums_before == pytest.approx(relative(slow_sums(before[name][0]), sums) ** 0.5, rel=1e-3)
        assert each.gram_before == pytest.approx(relative(slow_gram(before[name][0]), gram) ** 0.5, rel=1e-3)
        for i in range(2):
            mine = after[name][i]
            assert each.sums_after[i] == pytest.approx(relative(slow_sums(mine), sums) ** 0.5, rel=1e-3)
            assert each.gram_after[i] == pytest.approx(relative(slow_gram(mine), gram) ** 0.5, rel=1e-3)
    content = slow_content(before["fourth"][0])
    expected = [relative(slow_content(after["fourth"][i]), content) ** 0.5 for i in range(2)]
    assert found.content == pytest.approx(expected, rel=1e-3)
    assert (found.method, found.layer, found.seeds) == (method, "fourth", (1, 2))


def test_the_loss_of_sums_and_grams_is_one_for_each_style_layer_and_ten_for_the_content() -> None:
    for method in ("sums", "gram"):
        found = run(method)
        left = [each.sums_after if method == "sums" else each.gram_after for each in found.styles]
        by_hand = left[0] ** 2 + left[1] ** 2 + 10 * found.content**2
        assert found.loss == pytest.approx(by_hand, rel=1e-3)


def test_the_loss_of_ranks_is_the_residual_to_the_matched_code() -> None:
    classifier = pyramid()
    found = run("rank", classifier)
    network = classifier.network
    code, style = (codes_of(network, unit(each[None]))["fourth"][0] for each in (CONTENT, STYLE))
    ranks = code.mean((1, 2)).argsort().argsort()
    matched = code - code.mean((1, 2))[:, None, None] + np.sort(style.mean((1, 2)))[ranks][:, None, None]
    goal = slow_content(matched.clip(0))
    after = codes_of(network, found.images)["fourth"]
    expected = [relative(slow_content(after[i]), goal) for i in range(2)]
    assert found.loss == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("method", ["sums", "gram"])
def test_pictures_come_near_the_style_in_what_is_matched(method: str) -> None:
    found = restyle(pyramid(), Styling(CONTENT, STYLE, method, content_weight=0.05), Descent([1, 2], SHORT))
    for each in found.styles:
        before, after = {
            "sums": (each.sums_before, each.sums_after),
            "gram": (each.gram_before, each.gram_after),
        }[method]
        assert after.max() < 0.5 * before


@pytest.mark.parametrize("method", ["sums", "gram"])
def test_pictures_keep_the_content(method: str) -> None:
    classifier = pyramid()
    content, style = (
        slow_content(codes_of(classifier.network, unit(each[None]))["fourth"][0]) for each in (CONTENT, STYLE)
    )
    assert run(method, classifier).content.max() < 0.5 * relative(style, content) ** 0.5


def test_a_style_is_at_no_distance_from_itself() -> None:
    (first, third) = restyle(
        pyramid(), Styling(STYLE, STYLE, "sums"), Descent([1], replace(SHORT, steps=0))
    ).styles
    assert (first.sums_before, first.gram_before, third.sums_before, third.gram_before) == (0, 0, 0, 0)


def test_a_greater_content_weight_stays_nearer_to_the_content() -> None:
    def distances(weight: float) -> tuple[float, float]:
        found = restyle(
            pyramid(), Styling(CONTENT, STYLE, "sums", content_weight=weight), Descent([1], SHORT)
        )
        return float(found.content[0]), float(found.styles[0].sums_after[0])

    faithful, stylish = distances(100.0), distances(0.01)
    assert faithful[0] < stylish[0]
    assert faithful[1] > stylish[1]


def test_matching_ranks_shifts_a_map_to_the_style_and_keeps_its_layout() -> None:
    """Red, green and blue filters that read the picture itself, so the answer can be told beforehand."""
    network = Readout(np.eye(3).tolist(), [[1, 0, 0], [0, 1, 0]])
    classifier = Classifier(network, ["a", "b"], plain(SIDE, 3))
    content, style = np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, SIDE, 3), np.uint8)
    content[:, ::2] = (102, 0, 153)  # columns in turn; energies 0.5, 0.2, 0.7
    content[:, 1::2] = (153, 102, 204)
    style[:] = (51, 204, 102)  # 0.2, 0.8, 0.4: the least to green, the middle to red, the most to blue
    style[:, :6, 0] = 0  # 0.05
    found = restyle(classifier, Styling(content, style, "rank"), Descent([0], replace(SHORT, steps=200)))
    columns = found.images[0].mean(1).reshape(3, 4, 2).mean(1)
    # Green would be -0.15 and 0.25, and is cut at 0 as the layer is rectified: so nothing is left.
    assert columns == pytest.approx(np.array([[0.3, 0.5], [0.0, 0.25], [0.7, 0.9]]), abs=0.03)
    assert np.ptp(found.images[0], axis=1).max() < 0.03  # rows alike
    assert found.loss[0] < 2e-3


def test_matching_sums_moves_each_filter_to_the_styles_own() -> None:
    """The same filters: here red goes to the style's red, as the sums are matched filter by filter."""
    classifier = Classifier(Readout(np.eye(3).tolist(), [[1, 0, 0], [0, 1, 0]]), ["a", "b"], plain(SIDE, 3))
    style = np.zeros((SIDE, SIDE, 3), np.uint8)
    style[:] = (51, 204, 102)
    preset = replace(SHORT, steps=200)
    found = restyle(classifier, Styling(CONTENT, style, "sums", content_weight=0.001), Descent([0], preset))
    assert found.images[0].mean((1, 2)) == pytest.approx([0.2, 0.8, 0.4], abs=0.01)
    assert found.styles[0].sums_after[0] < 0.01


@pytest.mark.parametrize("method", METHODS)
def test_a_layer_of_ones_own_holds_the_content(method: str) -> None:
    classifier = pyramid()
    found = run(method, classifier, "second")
    before = codes_of(classifier.network, unit(CONTENT[None]))["second"][0]
    after = codes_of(classifier.network, found.images)["second"]
    expected = [relative(slow_content(each), slow_content(before)) ** 0.5 for each in after]
    assert found.layer == "second"
    assert found.content == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_gives_its_picture_alone_and_among_others(method: str) -> None:
    together = run(method)
    alone = restyle(pyramid(), Styling(CONTENT, STYLE, method), Descent([2], SHORT))
    assert np.abs(alone.images[0] - together.images[1]).max() < 0.25 / 255
    assert np.abs(together.images[0] - together.images[1]).max() > 0.01


@pytest.mark.parametrize("method", METHODS)
def test_pictures_have_values_from_zero_to_one_and_progress_is_told(method: str) -> None:
    done: list[int] = []
    preset = replace(SHORT, steps=3, learning_rate=5.0)
    found = restyle(pyramid(), Styling(CONTENT, STYLE, method), Descent([1, 2], preset), done.append)
    assert found.images.shape == (2, 3, SIDE, SIDE)
    assert found.images.dtype == np.float32
    assert 0 <= found.images.min() < found.images.max() <= 1
    assert done == [1, 1, 1]


@pytest.mark.parametrize("method", METHODS)
def test_numbers_and_descent_see_the_pooling_of_the_preset(method: str) -> None:
    """With average pooling in place of maximum pooling, a network is the one that has it."""
    preset = replace(SHORT, steps=10, average_pooling=True)
    one = run(method, pyramid(nn.MaxPool2d(2)), preset=preset)
    other = run(method, pyramid(nn.AvgPool2d(2)), preset=replace(preset, average_pooling=False))
    assert np.abs(one.images - other.images).max() < 0.25 / 255
    assert one.styles[1].gram_before == pytest.approx(other.styles[1].gram_before)
    assert one.loss == pytest.approx(other.loss, rel=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_restyling_leaves_no_hook_no_gradient_and_its_operands(method: str) -> None:
    classifier, content, style = pyramid(), CONTENT.copy(), STYLE.copy()
    run(method, classifier, preset=replace(SHORT, steps=2))
    assert hooks(classifier.network) == 0
    assert all(weight.grad is None for weight in classifier.network.parameters())
    assert np.array_equal(CONTENT, content)
    assert np.array_equal(STYLE, style)


class Stop(Exception):  # noqa: N818
    pass


def stop(_step: int) -> None:
    raise Stop


@pytest.mark.parametrize("method", METHODS)
def test_no_hook_is_left_where_a_restyling_is_stopped(method: str) -> None:
    classifier = pyramid(nn.MaxPool2d(2))
    preset = replace(SHORT, average_pooling=True)
    with pytest.raises(Stop):
        restyle(classifier, Styling(CONTENT, STYLE, method), Descent([1], preset), stop)
    assert hooks(classifier.network) == 0


def test_an_unknown_method_is_refused_with_those_that_exist() -> None:
    with pytest.raises(EngineError) as refusal:
        run("wavelets")
    assert str(refusal.value) == "no method 'wavelets'; these exist: rank, sums, gram"


def test_an_unknown_layer_is_refused_with_those_that_exist() -> None:
    classifier = pyramid()
    with pytest.raises(UnknownLayerError) as refusal:
        run("sums", classifier, "layer9")
    assert str(refusal.value) == "no layer 'layer9'; this network has: first, second, third, fourth"
    assert hooks(classifier.network) == 0


@pytest.mark.parametrize(
    ("content", "style", "message"),
    [
        (CONTENT[:4], STYLE, "the content image has shape (4, 8, 3)"),
        (CONTENT, STYLE[..., :1], "the style image has shape (8, 8, 1)"),
    ],
    ids=["content", "style"],
)
def test_images_of_another_size_are_refused(
    content: NDArray[np.uint8], style: NDArray[np.uint8], message: str
) -> None:
    with pytest.raises(ClassifierError) as refusal:
        restyle(pyramid(), Styling(content, style, "sums"), Descent([1], SHORT))
    assert str(refusal.value) == f"{message}; the classifier takes (8, 8, 3): height, width, channels"
