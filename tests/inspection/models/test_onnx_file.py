"""An ONNX file as a model: registered, loaded again, trained further, exported, and refused with a reason."""

import runpy
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from fmi_engine.classifier import build_network
from fmi_engine.errors import ClassifierError
from inspection.findings import RegisteredModel
from inspection.inputs.labelled import load_images
from inspection.models import registry as models
from inspection.models.export import LOADER, WEIGHTS, export
from inspection.models.registry import examined, load_model, spec_of
from inspection.retraining.arms import fine_tune
from tests.inspection.conftest import SIZE, Plant
from tests.inspection.models.test_training import PLAIN, grey_set

pytestmark = [
    pytest.mark.numeric,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of torch.onnx, and of ONNX in onnx2torch
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # of torch within torch.onnx
]


def written(network: nn.Module, path: Path, batch: bool = True) -> Path:
    """A file as torch writes it today."""
    torch.onnx.export(
        network.eval(),
        (torch.zeros(2 if batch else 1, 1, SIZE, SIZE),),
        path,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},) if batch else None,
        external_data=False,
        verbose=False,
    )
    return path


def deployed(plant: Plant) -> nn.Module:
    return load_model(plant.workspace.root, plant.model, "cpu").network


@pytest.fixture(scope="module")
def mine(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return plant.copied(tmp_path_factory.mktemp("onnx") / "workspace")


@pytest.fixture(scope="module")
def file(mine: Plant, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(deployed(mine), tmp_path_factory.mktemp("theirs") / "line.onnx")


@pytest.fixture(scope="module")
def registered(mine: Plant, file: Path) -> RegisteredModel:
    record = models.register(mine.workspace, of_file(mine), file, mine.references)
    return mine.store.add_model(record, mine.references)


def of_file(plant: Plant) -> models.ModelSpec:
    return replace(spec_of(plant.model), architecture="onnx")


def pictures(plant: Plant) -> np.ndarray:
    paths = [Path(each.image_path) for each in plant.references[:6]]
    return load_images(paths, spec_of(plant.model).preprocessing)


def test_it_answers_as_the_network_that_it_was_written_of(mine: Plant, registered: RegisteredModel) -> None:
    assert registered.architecture.startswith("onnx:models/")
    load_model.cache_clear()
    found = load_model(mine.workspace.root, registered, "cpu").predict(pictures(mine))
    expected = load_model(mine.workspace.root, mine.model, "cpu").predict(pictures(mine))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(examined(mine.workspace, registered, mine.references)) == 3


def test_it_can_be_trained_further(mine: Plant, registered: RegisteredModel) -> None:
    classifier = load_model(mine.workspace.root, registered, "cpu")
    data = replace(grey_set(16), images=np.resize(pictures(mine), (16, SIZE, SIZE, 1)))
    candidate = fine_tune(registered, classifier, data, PLAIN)
    before, after = classifier.network.state_dict(), candidate.network.state_dict()
    assert before.keys() == after.keys()
    assert all((before[name] != after[name]).any() for name in before if name.endswith("weight"))
    assert models.keep(mine.workspace, candidate.network, spec_of(registered)).architecture == (
        registered.architecture
    )


def test_it_can_be_exported(
    mine: Plant, registered: RegisteredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = export(mine.workspace, mine.store, registered, tmp_path)
    assert done.difference is not None
    monkeypatch.chdir(tmp_path)
    loaded = runpy.run_path(LOADER)
    image = pictures(mine)[0]
    classifier = load_model(mine.workspace.root, registered, "cpu")
    with torch.no_grad():
        found = loaded["load"](WEIGHTS)(loaded["prepare"](image))
    torch.testing.assert_close(found, classifier.logits(classifier.prepare(image[None])))


class Softmaxed(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits.softmax(1)


def test_a_softmax_at_the_end_is_left_out(mine: Plant, tmp_path: Path) -> None:
    path = written(Softmaxed(deployed(mine)), tmp_path / "softmax.onnx")
    record = models.register(mine.workspace, of_file(mine), path, mine.references)
    found = load_model(mine.workspace.root, record, "cpu")
    expected = load_model(mine.workspace.root, mine.model, "cpu")
    x = expected.prepare(pictures(mine))
    torch.testing.assert_close(found.logits(x), expected.logits(x), rtol=1e-3, atol=1e-4)


# --- what is refused ---


def grown(path: Path) -> None:
    """With an input more."""
    graph = onnx.load(path)
    graph.graph.input.append(onnx.helper.make_tensor_value_info("mask", onnx.TensorProto.FLOAT, [1]))
    onnx.save(graph, path)


def strange(path: Path) -> None:
    """With an operation that is not known."""
    graph = onnx.load(path)
    next(node for node in graph.graph.node if node.op_type == "Relu").op_type = "Shrink"
    onnx.save(graph, path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (grown, r"line.onnx takes \(.*\), \(1\); expected one input of \(batch, 1, height, width\)"),
        (strange, r"cannot be turned into a network of torch: .*Shrink.*opset_version=17"),
        (lambda path: path.write_bytes(b"no protobuf"), "is no readable ONNX file"),
    ],
)
def test_a_file_that_is_none_is_told(
    mine: Plant, file: Path, tmp_path: Path, damage: Callable[[Path], Any], words: str
) -> None:
    path = Path(shutil.copy(file, tmp_path))
    damage(path)
    held = sorted((mine.workspace.root / "models").iterdir())
    with pytest.raises(ClassifierError, match=words):
        models.register(mine.workspace, of_file(mine), path, mine.references)
    assert sorted((mine.workspace.root / "models").iterdir()) == held


def test_a_file_for_other_classes_or_channels_is_told(mine: Plant, file: Path) -> None:
    spec = of_file(mine)
    with pytest.raises(ClassifierError, match=r"shape \(1, 5\); expected one logit for each of the 2"):
        models.register(mine.workspace, replace(spec, class_names=("good", "pit")), file, [])
    with pytest.raises(ClassifierError, match=r"takes \(.*, 1, .*\); expected one input of \(batch, 3, "):
        build_network(f"onnx:{file}", 3, 3)


def test_one_for_a_batch_of_one_is_told(mine: Plant, tmp_path: Path) -> None:
    class Fixed(Softmaxed):
        def forward(self, x: Tensor) -> Tensor:
            return self.network(x.reshape(1, 1, SIZE, SIZE))  # type: ignore[no-any-return]

    path = written(Fixed(deployed(mine)), tmp_path / "one.onnx", batch=False)
    record = models.register(mine.workspace, of_file(mine), path, [])
    with pytest.raises(ClassifierError, match="accepts one image and not 4 at once"):
        examined(mine.workspace, record, mine.references)


def test_a_file_that_is_gone_is_told() -> None:
    with pytest.raises(ClassifierError, match=r"no ONNX file models/gone\.onnx; it is looked for"):
        build_network("onnx:models/gone.onnx", 3, 1)
