"""What a library says of the input that its own weights expect."""

import pytest
import torch

from fmi_engine.classifier import Preprocessing, build_network
from fmi_engine.expected import remarks
from fmi_engine.vision import torchvision

IMAGENET = Preprocessing(96, 96, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_an_inception_that_changes_its_input_is_one_with_another_normalisation() -> None:
    network = build_network("googlenet", 3, 3)
    (said,) = remarks(network, IMAGENET)
    assert "--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5: give these then" in said
    with_own = torchvision().models.googlenet(
        num_classes=3, aux_logits=False, transform_input=True, init_weights=False
    )
    with_own.load_state_dict(network.state_dict())
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    centred = Preprocessing(96, 96, 3, (0.5,) * 3, (0.5,) * 3)
    with torch.no_grad():
        changed = with_own.eval()(IMAGENET.normalise(images))
        torch.testing.assert_close(network.eval()(centred.normalise(images)), changed, rtol=1e-3, atol=1e-5)


def test_nothing_is_said_where_nothing_can_be_wrong() -> None:
    centred = Preprocessing(96, 96, 3, (0.5,) * 3, (0.5,) * 3)
    assert remarks(build_network("googlenet", 3, 3), centred) == ()
    assert remarks(build_network("resnet18", 3, 3), IMAGENET) == ()


def test_what_timm_expects_is_told_where_it_differs() -> None:
    pytest.importorskip("timm", reason="the extra timm is not installed")
    network = build_network("timm:vit_tiny_patch16_224", 3, 3)
    (said,) = remarks(network, IMAGENET)
    assert "expect --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 --input-size 224x224; given are mean 0.485" in said
    assert remarks(network, Preprocessing(224, 224, 3, (0.5,) * 3, (0.5,) * 3)) == ()
    grey = build_network("timm:vit_tiny_patch16_224", 3, 1)
    assert remarks(grey, Preprocessing(224, 224, 1, (0.4,), (0.2,))) == ()


def test_a_name_that_timm_lacks_is_told_with_the_nearest() -> None:
    pytest.importorskip("timm", reason="the extra timm is not installed")
    with pytest.raises(
        Exception, match=r"no architecture 'resnett18' in timm .*; the nearest are resnet18, "
    ):
        build_network("timm:resnett18", 3, 3)
    assert build_network("timm:resnet18", 3, 1).get_submodule("conv1").in_channels == 1


def test_probabilities_are_told() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 96 * 96, 3))
    assert remarks(network, IMAGENET) == ()
    assert remarks(torch.nn.Sequential(*network, torch.nn.Flatten(0)), IMAGENET) == ()
    (said,) = remarks(torch.nn.Sequential(*network, torch.nn.Softmax(1)), IMAGENET)
    assert "answers with probabilities: they add up to 1" in said
