import subprocess
import sys

import pytest
import torch

from fmi_engine.vision import torchvision


@pytest.mark.parametrize(
    ("name", "weights"),  # as published beside the pretrained weights, for 1,000 classes
    [
        ("resnet18", 11_689_512),
        ("vgg11", 132_863_336),
        ("mobilenet_v3_small", 2_542_856),
        ("efficientnet_b0", 5_288_548),
        ("densenet121", 7_978_856),
        ("convnext_tiny", 28_589_128),
    ],
)
def test_architectures_build_with_their_published_number_of_weights(name: str, weights: int) -> None:
    with torch.device("meta"):  # shapes without memory: nothing is initialised
        network = torchvision().models.get_model(name, weights=None).eval()
        answer = network(torch.zeros(2, 3, 64, 64))
    assert sum(weight.numel() for weight in network.parameters()) == weights
    assert answer.shape == (2, 1000)


def test_googlenet_builds_without_its_auxiliary_heads() -> None:
    with torch.device("meta"):
        network = torchvision().models.get_model(
            "googlenet", weights=None, aux_logits=False, init_weights=False
        )
    assert sum(weight.numel() for weight in network.parameters()) == 6_624_904


def test_torchvision_is_imported_once() -> None:
    assert torchvision() is torchvision()
    assert sys.modules["torchvision"] is torchvision()


def test_torchs_compiler_is_not_imported_with_it() -> None:
    """It takes as long to import as torch; the operator that asks it a question still gets its answer."""
    code = (
        "import sys; from fmi_engine.vision import torchvision; torchvision(); "
        "assert 'torch._dynamo' not in sys.modules and 'torch._dynamo.utils' not in sys.modules; "
        "from torchvision.ops.roi_align import is_compile_supported as here; "
        "from torch._dynamo.utils import is_compile_supported as there; "
        "assert here('cpu') == there('cpu')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_feature_extraction_and_transforms_work() -> None:
    torchvision()
    from torchvision.models.feature_extraction import create_feature_extractor
    from torchvision.transforms import v2

    network = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Flatten())
    picked = create_feature_extractor(network, ["0"])(torch.tensor([[-1.0, 2.0]]))
    assert picked["0"].tolist() == [[0.0, 2.0]]
    assert v2.functional.hflip(torch.tensor([[[1.0, 2.0]]])).tolist() == [[[2.0, 1.0]]]
