"""A model as files for another system: what they hold, and that they answer as the model does."""

import importlib.util
import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from fmi_engine.classifier import Preprocessing, build_network
from inspection.errors import ModelError
from inspection.inputs.images import read_image
from inspection.models import export as exports
from inspection.models.export import AGREES, LOADER, ONNX, WEIGHTS, Exported, export
from inspection.models.model_card import CARD, model_card
from inspection.models.promotion import promote
from inspection.models.registry import ModelSpec, keep, load_model, spec_of
from tests.inspection.conftest import Plant
from tests.inspection.workspace.records import a_retraining

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def mine(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return plant.copied(tmp_path_factory.mktemp("exported") / "workspace")


@pytest.fixture(scope="module")
def exported(mine: Plant, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(mine.workspace, mine.store, mine.model, tmp_path_factory.mktemp("out") / "new" / "folder")


def images(plant: Plant, count: int = 7) -> np.ndarray:
    paths = [Path(each.image_path) for each in plant.references[:count]]
    return np.stack([read_image(path, (32, 32), 1) for path in paths])


def logits(plant: Plant, pixels: np.ndarray) -> np.ndarray:
    classifier = load_model(plant.workspace.root, plant.model, "cpu")
    with torch.no_grad():
        return np.asarray(classifier.logits(classifier.prepare(pixels)).numpy())


def test_the_files_are_there_and_nothing_else(exported: Exported) -> None:
    folder = exported.files[0].parent
    assert {path.name for path in folder.iterdir()} == {WEIGHTS, LOADER, ONNX, CARD}
    assert {path.name for path in exported.files} == {WEIGHTS, LOADER, ONNX, CARD}
    assert exported.difference is not None
    assert exported.difference <= AGREES
    assert exported.note == ""


def test_onnx_answers_as_the_model_does_for_any_batch(mine: Plant, exported: Exported) -> None:
    session = onnxruntime.InferenceSession(
        exported.files[0].parent / ONNX, providers=["CPUExecutionProvider"]
    )
    for count in (1, 3, 7):
        pixels = images(mine, count)
        x = load_model(mine.workspace.root, mine.model, "cpu").prepare(pixels).numpy()
        (found,) = session.run(["logits"], {"images": x})
        np.testing.assert_allclose(found, logits(mine, pixels), atol=AGREES)


def test_onnx_says_how_it_decides_and_what_it_takes(mine: Plant, exported: Exported) -> None:
    graph = onnx.load(exported.files[0].parent / ONNX)
    onnx.checker.check_model(graph)
    said = {each.key: each.value for each in graph.metadata_props}
    assert json.loads(said["class_names"]) == list(mine.model.class_names)
    assert json.loads(said["good_classes"]) == ["good"]
    assert said["model_hash"] == mine.model.model_hash
    assert said["decision"] == "the class of the largest logit"
    prepared = json.loads(said["preprocessing"])
    assert (prepared["colour"], prepared["resize"]) == ("grey", [32, 32])
    assert prepared["mean"] == list(mine.model.mean)


def test_the_loader_is_ten_lines_and_gives_the_same_verdicts(mine: Plant, exported: Exported) -> None:
    path = exported.files[0].parent / LOADER
    lines = [line for line in path.read_text(encoding="utf-8").splitlines()[1:] if line.strip()]
    assert len(lines) == 10
    loaded = runpy.run_path(f"{path}")
    network = loaded["load"](path.parent / WEIGHTS)
    pixels = images(mine)
    with torch.no_grad():
        found = [network(loaded["prepare"](image))[0].numpy() for image in pixels]
    np.testing.assert_allclose(found, logits(mine, pixels), atol=1e-5)
    verdicts = [loaded["CLASSES"][each.argmax()] for each in found]
    assert verdicts == [mine.model.class_names[each] for each in logits(mine, pixels).argmax(1)]


def test_a_rule_goes_along(mine: Plant, tmp_path: Path) -> None:
    """Into the loader, which then decides as the plant does, the card, and beside ONNX's bare outputs."""
    spec = replace(
        spec_of(mine.model), decision="NG = pit + dent > 0.3", prepared="crop", good_classes=("good",)
    )
    network = load_model(mine.workspace.root, mine.model, "cpu").network
    model = mine.store.add_model(keep(mine.workspace, network, spec), [])
    done = export(mine.workspace, mine.store, model, tmp_path / "out")
    assert done.difference is not None
    loaded = runpy.run_path(f"{tmp_path / 'out' / LOADER}")
    pixels = images(mine, len(mine.references))
    with torch.no_grad():
        outputs = [loaded["load"](tmp_path / "out" / WEIGHTS)(loaded["prepare"](image)) for image in pixels]
    found = [loaded["RULE"].names[loaded["decide"](loaded["RULE"], each).argmax()] for each in outputs]
    classifier = load_model(mine.workspace.root, model, "cpu")
    assert found == [classifier.class_names[i] for i in classifier.predict(pixels).argmax(1)]
    assert set(found) >= {"NG", "good"}
    said = {each.key: each.value for each in onnx.load(tmp_path / "out" / ONNX).metadata_props}
    assert said["decision"] == spec.decision
    assert json.loads(said["outputs"]) == list(mine.model.class_names)
    assert json.loads(said["class_names"]) == list(model.class_names)
    assert json.loads(said["preprocessing"])["how"] == "crop"
    card = (tmp_path / "out" / CARD).read_text(encoding="utf-8")
    assert f"- **Decision**: {spec.decision}" in card
    assert "32 x 32 pixels (crop)" in card


@pytest.mark.parametrize(
    ("name", "channels"), [("resnet18", 1), ("resnet18", 3), ("timm:resnet18", 1), ("timm:resnet18", 3)]
)
def test_the_loader_of_a_network_by_name(plant: Plant, tmp_path: Path, name: str, channels: int) -> None:
    if name.startswith("timm"):
        pytest.importorskip("timm", reason="the extra timm is not installed")
    mine = plant.copied(tmp_path / "workspace")
    torch.manual_seed(0)
    network = build_network(name, 2, channels).eval()
    spec = ModelSpec(
        name,
        ("good", "pit"),
        ("good",),
        Preprocessing(32, 32, channels, (0.5,) * channels, (0.2,) * channels),
    )
    model = mine.store.add_model(keep(mine.workspace, network, spec), [])
    done = export(mine.workspace, mine.store, model, tmp_path / "out")
    loaded = runpy.run_path(f"{tmp_path / 'out' / LOADER}")
    image = np.random.default_rng(0).integers(0, 256, (32, 32, channels), np.uint8)
    classifier = load_model(mine.workspace.root, model, "cpu")
    with torch.no_grad():
        found = loaded["load"](tmp_path / "out" / WEIGHTS)(loaded["prepare"](image))
        expected = classifier.logits(classifier.prepare(image[None]))
    torch.testing.assert_close(found, expected)
    assert done.difference is not None


def test_a_network_that_answers_with_more_than_logits(plant: Plant, tmp_path: Path) -> None:
    mine = plant.copied(tmp_path / "workspace")
    torch.manual_seed(0)
    name = "tests.inspection.tiny_network:tiny_telling#logits"
    spec = replace(spec_of(mine.model), architecture=name)
    network = build_network(name, len(spec.class_names), 1)
    model = mine.store.add_model(keep(mine.workspace, network, spec), [])
    done = export(mine.workspace, mine.store, model, tmp_path / "out")
    assert done.difference is not None
    assert done.difference <= AGREES
    loaded = runpy.run_path(f"{tmp_path / 'out' / LOADER}")
    image = images(mine, 1)[0]
    classifier = load_model(mine.workspace.root, model, "cpu")
    with torch.no_grad():
        found = loaded["load"](tmp_path / "out" / WEIGHTS)(loaded["prepare"](image))
        torch.testing.assert_close(found, classifier.logits(classifier.prepare(image[None])))


def test_the_card_says_what_it_is_where_it_comes_from_and_how_it_was_judged(
    plant: Plant, tmp_path: Path
) -> None:
    mine = plant.copied(tmp_path / "workspace")
    candidate = replace(
        mine.model, model_hash="bb" * 32, parent_hash=mine.model.model_hash, version=0, note=""
    )
    done = replace(a_retraining("r1", "n-1"), model_hash=mine.model.model_hash, candidate_hash="bb" * 32)
    mine.store.add_retraining(done, candidate)
    promote(mine.store, "v2", "Aoki", "mends the lamp")
    card = model_card(mine.store, mine.store.model("v2")).replace("\u00a0", " ")
    for words in (
        "# model v2",
        "- model v2 (`bbbbbbbbbbbb`): logged images, accepted",
        f"- model v1 (`{mine.model.model_hash[:12]}`)",
        "by Aoki: mends the lamp",
        "| good | 20 | 4 |",
        "Retraining r1 of 2026-03-01 23:00 UTC: **accepted**.",
        "| clean validation | 50 | 49 | 49 |",
        "- two are left out",
        "Expected calibration error on clean images: 0.033 before, 0.014 after.",
    ):
        assert words in card, words
    own = model_card(mine.store, mine.store.model("v1"))
    assert "no gate has judged it" in own


def test_without_the_extra_all_else_is_written(
    mine: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else real(name))
    done = export(mine.workspace, mine.store, mine.model, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {WEIGHTS, LOADER, CARD}
    assert done.difference is None
    assert done.note.startswith("ONNX is left out: it needs onnx. Install")


class Odd(nn.Module):
    """Decides by the values of its input, which no graph holds."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.network(x)
        return answer if float(x.mean()) > 0 else -answer


def test_a_network_that_onnx_cannot_hold_is_refused_and_leaves_no_onnx(
    mine: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = load_model(mine.workspace.root, mine.model, "cpu")
    odd = replace_network(real, Odd(real.network))
    monkeypatch.setattr(exports, "load_model", lambda *_: odd)
    with pytest.raises(ModelError, match=r"cannot export this network to ONNX|answers otherwise than torch"):
        export(mine.workspace, mine.store, mine.model, tmp_path)
    assert not (tmp_path / ONNX).exists()


def replace_network(classifier: object, network: nn.Module) -> object:
    from copy import copy

    other = copy(classifier)
    other.network = network  # type: ignore[attr-defined]
    return other


def test_a_folder_that_cannot_be_written_is_told(mine: Plant, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match=r"cannot be written: .*; give another --out"):
        export(mine.workspace, mine.store, mine.model, tmp_path / "file")
