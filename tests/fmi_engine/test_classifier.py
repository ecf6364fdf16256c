import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fmi_engine.classifier import (
    Classifier,
    Preprocessing,
    build_network,
    choose_device,
    hash_weights,
    load_classifier,
)
from fmi_engine.errors import ClassifierError
from fmi_engine.vision import torchvision
from tests.conftest import REPOSITORY
from tests.fmi_engine.tiny import Readout, deep, noise, plain, saved, seeded, two_layers

Write = Callable[[str], str]

FACTORY = """
from torch import nn

def make(classes, channels):
    pooled = nn.Sequential(nn.Conv2d(channels, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*pooled, nn.Linear(2, classes))
"""


@pytest.fixture
def write_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a user's own module onto the Python path and return its name, used by no other test."""

    def write(source: str) -> str:
        name = "factory_" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]
        (tmp_path / f"{name}.py").write_text(source)
        return name

    monkeypatch.syspath_prepend(str(tmp_path))
    return write


def message(refusal: pytest.ExceptionInfo[ClassifierError]) -> str:
    return str(refusal.value)


# Preprocessing


def test_an_image_is_scaled_to_one_standardised_by_channel_and_its_channels_come_first() -> None:
    preprocessing = Preprocessing(2, 3, 3, mean=(0.2, 0.1, 0.5), std=(0.5, 0.25, 0.1))
    images = np.zeros((1, 2, 3, 3), np.uint8)
    images[0, 1, 2] = (51, 102, 255)  # 0.2, 0.4, 1.0
    x = preprocessing(images)
    assert x.shape == (1, 3, 2, 3)
    assert x[0, :, 1, 2].tolist() == pytest.approx([0, 1.2, 5])
    assert x[0, :, 0, 0].tolist() == pytest.approx([-0.4, -0.4, -5])


def test_preprocessing_leaves_its_image_as_it_was() -> None:
    images = noise(2, 4, 1)
    before = images.copy()
    Preprocessing(4, 4, 1, (0.5,), (0.5,))(images)
    assert np.array_equal(images, before)


def test_a_flipped_view_of_an_image_is_read_as_it_looks() -> None:
    images = noise(1, 4, 1)
    assert np.allclose(plain(4, 1)(images[:, :, ::-1]), plain(4, 1)(images).numpy()[..., ::-1])


@pytest.mark.parametrize(
    ("channels", "mean", "std", "words"),
    [
        (2, (0.5, 0.5), (0.5, 0.5), "2 channels given; expected 1 (grey) or 3 (RGB)"),
        (3, (0.5,), (0.5, 0.5, 0.5), "mean has 1 values for 3 channels"),
        (1, (0.5,), (0.5, 0.5), "std has 2 values for 1 channels"),
        (1, (0.5,), (0.0,), "std is (0.0,); every value must be above 0"),
        (1, (float("nan"),), (1.0,), "mean is (nan,) and std (1.0,); expected finite numbers"),
    ],
)
def test_preprocessing_that_does_not_fit_is_refused(
    channels: int, mean: tuple[float, ...], std: tuple[float, ...], words: str
) -> None:
    with pytest.raises(ClassifierError) as refusal:
        Preprocessing(8, 8, channels, mean, std)
    assert message(refusal) == words


# Networks


def test_a_grey_network_differs_in_its_first_convolution_only() -> None:
    grey, colour = build_network("resnet18", 3, 1), build_network("resnet18", 3, 3)
    shapes = {name: value.shape for name, value in colour.state_dict().items()}
    shapes["conv1.weight"] = torch.Size([64, 1, 7, 7])
    assert {name: value.shape for name, value in grey.state_dict().items()} == shapes
    assert isinstance(grey.conv1, nn.Conv2d)
    assert (grey.conv1.stride, grey.conv1.padding, grey.conv1.bias) == ((2, 2), (3, 3), None)


def test_a_grey_network_answers_as_the_colour_network_does_to_grey() -> None:
    torch.manual_seed(0)
    colour = build_network("mobilenet_v3_small", 3, 3).eval()
    grey = build_network("mobilenet_v3_small", 3, 1).eval()
    state = colour.state_dict()
    state["features.0.0.weight"] = state["features.0.0.weight"].sum(1, keepdim=True)
    grey.load_state_dict(state)
    x = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.allclose(grey(x), colour(x.expand(2, 3, 32, 32)), atol=1e-5)


def test_the_answer_has_one_logit_for_each_class() -> None:
    network = build_network("mobilenet_v3_small", 7, 3)
    assert network.state_dict()["classifier.3.weight"].shape[0] == 7


def test_an_unknown_architecture_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ClassifierError) as refusal:
        build_network("resnet19", 2, 3)
    assert message(refusal).startswith("no architecture 'resnet19' in torchvision; it has: alexnet, ")
    assert " resnet18, " in message(refusal)
    assert message(refusal).endswith("For your own network give module:function.")


def test_a_factory_is_called_with_classes_and_channels(write_factory: Write) -> None:
    network = build_network(f"{write_factory(FACTORY)}:make", 5, 1)
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == {
        "0.weight": (2, 1, 1, 1),
        "0.bias": (2,),
        "3.weight": (5, 2),
        "3.bias": (5,),
    }


@pytest.mark.parametrize("where", ["module", "function"])
def test_a_factory_may_use_torchvision_whatever_build_it_is(tmp_path: Path, where: str) -> None:
    """In a process of its own, where nobody has imported it before."""
    imported = "from torchvision.models import resnet18"
    function = "def make(classes, channels):\n    {}\n    return resnet18(num_classes=classes)\n"
    source = f"{imported}\n{function.format('')}" if where == "module" else function.format(imported)
    (tmp_path / "plants_own.py").write_text(source)
    asked = (
        "from fmi_engine.classifier import build_network; print(build_network('plants_own:make', 3, 3).fc)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(REPOSITORY)])}
    done = subprocess.run(
        [sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (
        0,
        "Linear(in_features=512, out_features=3, bias=True)",
    ), done.stderr


def test_a_factory_that_raises_is_quoted_in_one_line(write_factory: Write) -> None:
    source = "def make(classes, channels):\n    raise KeyError('width')\n"
    name = f"{write_factory(source)}:make"
    with pytest.raises(ClassifierError) as refusal:
        build_network(name, 5, 1)
    assert message(refusal) == (
        f"{name}(classes=5, channels=1) failed: KeyError: 'width'. "
        "The function is called with the number of classes and the number of channels."
    )


def test_a_factory_that_returns_no_network_is_refused(write_factory: Write) -> None:
    name = f"{write_factory('def make(classes, channels): return 3')}:make"
    with pytest.raises(ClassifierError) as refusal:
        build_network(name, 5, 1)
    assert message(refusal) == f"{name} returned a int; expected a torch.nn.Module"


@pytest.mark.parametrize("architecture", ["no_such_module_here:make", "os:no_such_function", ":make", "os:"])
def test_a_factory_that_cannot_be_imported_is_refused(architecture: str) -> None:
    with pytest.raises(ClassifierError) as refusal:
        build_network(architecture, 2, 3)
    assert message(refusal).startswith(f"{architecture!r} cannot be imported: ")
    assert "Expected module:function" in message(refusal)


@pytest.mark.parametrize("source", ["width = 1 / 0", "def make(classes, channels) return 3"])
def test_a_module_that_fails_while_it_is_imported_is_refused(write_factory: Write, source: str) -> None:
    name = f"{write_factory(source)}:make"
    with pytest.raises(ClassifierError, match="cannot be imported"):
        build_network(name, 2, 3)


def test_a_relative_module_name_is_refused() -> None:
    with pytest.raises(ClassifierError, match="cannot be imported"):
        build_network(".mine:make", 2, 3)


# Checkpoints


def test_a_loaded_classifier_answers_as_the_network_that_was_saved(
    tmp_path: Path, write_factory: Write
) -> None:
    name = f"{write_factory(FACTORY)}:make"
    network = seeded(build_network(name, 2, 3))
    checkpoint = saved(tmp_path / "weights.pt", network.state_dict())
    loaded = load_classifier(name, checkpoint, ["good", "bad"], plain(4, 3))
    x = torch.rand(3, 3, 4, 4)
    assert torch.equal(loaded.logits(x), network.eval()(x).detach())
    assert loaded.weights_hash == hash_weights(network.state_dict())
    assert loaded.class_names == ("good", "bad")


def test_a_torchvision_classifier_is_loaded_from_its_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = torchvision().models.mobilenet_v3_small(weights=None, num_classes=2)
    checkpoint = saved(tmp_path / "weights.pt", {"state_dict": network.state_dict()})
    loaded = load_classifier("mobilenet_v3_small", checkpoint, ["good", "bad"], plain(32, 3))
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(loaded.logits(x), network.eval()(x), atol=1e-6)


# The hash


def test_the_hash_is_sha_256_over_names_types_shapes_and_bytes_in_the_order_of_names() -> None:
    state = {"b": torch.tensor([[1.0, 2.0]]), "a": torch.tensor(7)}
    told = b"a|torch.int64|()|" + np.int64(7).tobytes()
    told += b"b|torch.float32|(1, 2)|" + np.array([1, 2], np.float32).tobytes()
    assert hash_weights(state) == hashlib.sha256(told).hexdigest()
    assert hash_weights(dict(reversed(state.items()))) == hash_weights(state)


def test_the_hash_changes_with_one_weight() -> None:
    network = seeded(two_layers())
    before = hash_weights(network.state_dict())
    with torch.no_grad():
        network.get_parameter("head.bias")[1] += 1e-6
    assert hash_weights(network.state_dict()) != before


@pytest.mark.parametrize(
    "other",
    [
        {"b": torch.tensor([1.0, 2.0])},
        {"a": torch.tensor([[1.0, 2.0]])},
        {"a": torch.tensor([1.0, 2.0]).double()},
        {"a": torch.tensor([2.0, 1.0])},
        {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(True)},
    ],
)
def test_the_hash_tells_names_shapes_types_and_values_apart(other: dict[str, Tensor]) -> None:
    assert hash_weights(other) != hash_weights({"a": torch.tensor([1.0, 2.0])})


def test_the_hash_reads_a_transposed_weight_by_its_values() -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    assert hash_weights({"a": weight.T}) == hash_weights({"a": weight.T.contiguous()})


# The classifier


def test_probabilities_are_the_softmax_of_the_logits_over_any_batches() -> None:
    classifier = Classifier(Readout([[1.0], [3.0]], [[1, 0], [0, 1]]), ["a", "b"], plain(2, 1))
    images = np.repeat(np.array([0, 51, 255], np.uint8), 4).reshape(3, 2, 2, 1)
    gap = 2 * np.array([0, 0.2, 1])  # logit of b minus logit of a
    expected = np.stack([1 / (1 + np.exp(gap)), 1 / (1 + np.exp(-gap))], 1)
    assert np.allclose(classifier.predict(images), expected, atol=1e-6)
    assert np.allclose(classifier.predict(images, batch_size=2), expected, atol=1e-6)


def test_no_images_have_no_probabilities() -> None:
    assert deep().predict(noise(0, 8, 3)).shape == (0, 3)


def test_an_answer_for_another_number_of_classes_is_refused() -> None:
    with pytest.raises(ClassifierError) as refusal:
        Classifier(Readout([[1.0]], [[1], [2]]), ["scratch", "dent", "good"], plain(4, 1))
    assert message(refusal) == (
        "the network answers with shape (1, 2); expected one logit for each of the 3 classes: "
        "scratch, dent, good"
    )


def test_an_answer_by_position_is_refused() -> None:
    with pytest.raises(ClassifierError, match=r"answers with shape \(1, 2, 4, 4\)"):
        Classifier(nn.Conv2d(1, 2, 1), ["a", "b"], plain(4, 1))


def test_an_image_that_the_network_cannot_take_is_refused() -> None:
    with pytest.raises(ClassifierError, match="the network does not accept a 3 x 4 x 4 image: "):
        Classifier(Readout([[1.0]], [[1], [2]]), ["a", "b"], plain(4, 3))


class _Picky(nn.Module):
    """As torchvision's vision transformers do, it asserts its image size."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2] == 224, f"Wrong image height! Expected 224 but got {x.shape[2]}!"
        return x.mean((2, 3))


def test_an_assertion_about_the_image_is_quoted() -> None:
    with pytest.raises(ClassifierError, match="does not accept a 3 x 8 x 8 image: Wrong image height!"):
        Classifier(_Picky(), ["a", "b", "c"], plain(8, 3))


class _Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean((2, 3)), x


def test_an_answer_that_is_no_tensor_is_refused() -> None:
    with pytest.raises(ClassifierError, match="tuple"):
        Classifier(_Pair(), ["a", "b", "c"], plain(8, 3))


def test_the_network_is_frozen_and_its_activations_work_on_copies() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 2, 1),
        nn.BatchNorm2d(2),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.Hardswish(inplace=True), nn.Dropout(0.5, inplace=True)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    classifier = Classifier(network, ["a", "b"], plain(4, 1))
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    assert not any(module.training for module in network.modules())
    assert not any(weight.requires_grad for weight in network.parameters())
    x = torch.tensor([[[[-1.0, 2.0]]]])
    assert network[2](x).tolist() == [[[[0.0, 2.0]]]]
    assert x.tolist() == [[[[-1.0, 2.0]]]]
    assert not classifier.logits(torch.rand(1, 1, 4, 4)).requires_grad


# Devices


def test_the_processor_can_always_be_chosen() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["cuda:97", "quantum", ""])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ClassifierError, match=r"cannot be used: .* Expected auto, cpu or cuda") as refusal:
        choose_device(name)
    assert message(refusal).startswith(f"device {name!r} ")
