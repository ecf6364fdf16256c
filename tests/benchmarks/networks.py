"""Models as plants have them: whether each can be registered and blamed, or what is said instead.

    python -m tests.benchmarks.networks --json networks.json --only torchvision,timm

Networks of torchvision, timm and transformers (the last where it is installed), ONNX files, forms of
checkpoints and odd networks, with random weights on small images. Each is registered in a workspace, shows
that a night can ask it, is loaded again and answers as before, and four images are screened for blame. It
leaves with exit code 1 where anything but a message for the user came out.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fmi_engine.blame import screen
from fmi_engine.classifier import Preprocessing, build_network
from fmi_engine.errors import EngineError
from fmi_engine.fitness import FEW
from fmi_engine.reference import build_reference
from fmi_engine.types import Layer
from inspection.console import Console
from inspection.errors import InspectionError
from inspection.findings import ReferenceImage
from inspection.inputs.images import write_image
from inspection.models import registry
from inspection.models.registry import ModelSpec
from inspection.workspace.folder import Workspace, create_workspace

CLASSES = ("good", "pit", "scratch")
ODD = "tests.benchmarks.odd_networks:"
PLAIN = f"{ODD}plain"
SMALL = 32  # pixels: input of the plain network, and of the odd ones
BLAMED = 4  # images
SAME = 1e-4  # of the largest logit: what a model that is loaded again may answer otherwise

TORCHVISION = {
    **dict.fromkeys(("alexnet", "vgg11", "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"), 64),
    **dict.fromkeys(("densenet121", "squeezenet1_1", "googlenet", "mobilenet_v2", "mobilenet_v3_small"), 64),
    **dict.fromkeys(("mnasnet0_5", "shufflenet_v2_x0_5", "efficientnet_b0", "efficientnet_v2_s"), 64),
    **dict.fromkeys(("regnet_y_400mf", "convnext_tiny", "swin_t", "swin_v2_t"), 64),
    "inception_v3": 96,
    "vit_b_16": 224,
    "maxvit_t": 224,
}
TIMM = {
    **dict.fromkeys(("resnet18", "convnext_atto", "tf_efficientnet_lite0", "ghostnet_100"), 64),
    **dict.fromkeys(("mobilevit_xxs", "pvt_v2_b0", "poolformer_s12", "regnety_002"), 64),
    **dict.fromkeys(("vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"), 224),
    **dict.fromkeys(("swin_tiny_patch4_window7_224", "mixer_s16_224", "hiera_tiny_224"), 224),
    "resnett18": 64,
}
TRANSFORMERS = {"hf_resnet": 64, "hf_vit": 64, "hf_convnext": 64, "hf_swin": 64}
ODDITIES = (
    *("plain", "functional", "in_place", "data_dependent", "parallel", "answers_tuple"),
    *("answers_features_first", "answers_logits", "answers_dict", "answers_two_heads", "answers_auxiliary"),
    *("answers_four_axes", "answers_probabilities", "answers_not_finite", "answers_text", "compiled"),
    *("scripted", "in_half", "half_within", "without_gradient", "dropping", "one_at_a_time"),
    *("normalised_by_batch", "without_maps", "no_module", "raising", "missing"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A model, as a plant would describe it."""

    kind: str
    name: str
    architecture: str
    size: int  # pixels
    write: Callable[[nn.Module, Path], Path]  # its checkpoint; returns where it lies
    weights: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it."""

    kind: str
    name: str
    works: bool
    told: str  # layers and what was remarked, or the message
    unexpected: bool  # neither registered as it is, nor refused with a message
    seconds: float


# --- the cases ---


def state_dict(network: nn.Module, path: Path) -> Path:
    torch.save(network.state_dict(), path)
    return path


def cases() -> Iterator[Case]:
    """All of them."""
    for name, size in TORCHVISION.items():
        yield Case("torchvision", name, name, size, state_dict)
    for name, size in TIMM.items():
        yield Case("timm", name, f"timm:{name}", size, state_dict)
    for name, size in TRANSFORMERS.items():
        yield Case("transformers", name, f"{ODD}{name}", size, state_dict)
    for name in ODDITIES:
        yield Case("odd network", name, f"{ODD}{name}", SMALL, state_dict)
    for form in FORMS:
        yield Case("checkpoint", form.__name__.replace("_", " "), PLAIN, SMALL, form)
    yield Case("checkpoint", "an average that is named", PLAIN, SMALL, beside_an_average, "ema")
    yield Case("ONNX", "as a file, plain", "onnx", SMALL, as_onnx)
    yield Case("ONNX", "as a file, for one image", "onnx", SMALL, as_onnx_for_one)
    yield Case("ONNX", "as weights", PLAIN, SMALL, as_onnx)


def _saved(held: object, path: Path) -> Path:
    torch.save(held, path)
    return path


def _renamed(network: nn.Module, before: str) -> dict[str, Tensor]:
    return {f"{before}{name}": value for name, value in network.state_dict().items()}


def within_a_training(network: nn.Module, path: Path) -> Path:
    return _saved({"state_dict": network.state_dict(), "epoch": 3, "best": np.float64(0.9)}, path)


def of_lightning(network: nn.Module, path: Path) -> Path:
    held = {"state_dict": _renamed(network, "model."), "hyper_parameters": Namespace(lr=0.1), "epoch": 1}
    return _saved(held, path)


def of_data_parallel(network: nn.Module, path: Path) -> Path:
    return _saved(_renamed(network, "module."), path)


def of_a_compiled_network(network: nn.Module, path: Path) -> Path:
    return _saved(_renamed(network, "_orig_mod."), path)


def of_an_averaged_model(network: nn.Module, path: Path) -> Path:
    return _saved(torch.optim.swa_utils.AveragedModel(network).state_dict(), path)


def beside_an_average(network: nn.Module, path: Path) -> Path:
    last = {name: value + 1 for name, value in network.state_dict().items()}
    return _saved({"model": last, "ema": network.state_dict()}, path)


def without_counts(network: nn.Module, path: Path) -> Path:
    state = network.state_dict()
    return _saved({name: state[name] for name in state if not name.endswith("tracked")}, path)


def as_safetensors(network: nn.Module, path: Path) -> Path:
    path = path.with_suffix(".safetensors")
    save_file(network.state_dict(), path)
    return path


def a_whole_network(network: nn.Module, path: Path) -> Path:
    return _saved(network, path)


def a_program_of_torchscript(network: nn.Module, path: Path) -> Path:
    traced = torch.jit.trace(network.eval(), torch.zeros(1, 3, SMALL, SMALL))  # type: ignore[no-untyped-call]
    torch.jit.save(traced, path)
    return path


def a_program_of_export(network: nn.Module, path: Path) -> Path:
    path = path.with_suffix(".pt2")
    torch.export.save(torch.export.export(network.eval(), (torch.zeros(2, 3, SMALL, SMALL),)), path)
    return path


def for_other_classes(network: nn.Module, path: Path) -> Path:
    return _saved(build_network(PLAIN, len(CLASSES) + 1, 3).state_dict(), path)


def of_another_network(network: nn.Module, path: Path) -> Path:
    return _saved(build_network("squeezenet1_1", len(CLASSES), 3).state_dict(), path)


def in_half_precision(network: nn.Module, path: Path) -> Path:
    return _saved({name: value.half() for name, value in network.state_dict().items()}, path)


def with_numbers_that_are_none(network: nn.Module, path: Path) -> Path:
    return _saved({name: value * float("nan") for name, value in network.state_dict().items()}, path)


def without_weights(_network: nn.Module, path: Path) -> Path:
    return _saved({"epoch": 3, "accuracy": 0.9}, path)


def cut_off(network: nn.Module, path: Path) -> Path:
    state_dict(network, path).write_bytes(path.read_bytes()[:1000])
    return path


def an_empty_file(_network: nn.Module, path: Path) -> Path:
    path.write_bytes(b"")
    return path


def no_file(_network: nn.Module, path: Path) -> Path:
    return path.with_name("gone.pt")


FORMS = (
    *(state_dict, within_a_training, of_lightning, of_data_parallel, of_a_compiled_network),
    *(of_an_averaged_model, beside_an_average, without_counts, as_safetensors, in_half_precision),
    *(a_whole_network, a_program_of_torchscript, a_program_of_export, for_other_classes, of_another_network),
    *(with_numbers_that_are_none, without_weights, cut_off, an_empty_file, no_file),
)


def as_onnx(network: nn.Module, path: Path, images: int = 2) -> Path:
    path = path.with_suffix(".onnx")
    torch.onnx.export(
        network.eval(),
        (torch.zeros(images, 3, SMALL, SMALL),),
        path,
        dynamic_shapes=({0: torch.export.Dim("batch")},) if images > 1 else None,
        external_data=False,
        verbose=False,
    )
    return path


def as_onnx_for_one(network: nn.Module, path: Path) -> Path:
    return as_onnx(network, path, images=1)


# --- what becomes of them ---


def tried(case: Case, workspace: Workspace, references: Sequence[ReferenceImage]) -> Outcome:
    """Register a model, look at it and blame its filters, or hear why not."""
    begun = time.perf_counter()
    told: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            layers = _through(case, workspace, references, told.append)
        few = " (few, which is told)" if len(layers) < FEW else ""
        said = f"{len(layers)} layers{few}, {layers[0].name} to {layers[-1].name}"
        works, text, unexpected = True, "; ".join([said, *told]), False
    except (EngineError, InspectionError) as error:
        works, text, unexpected = False, str(error), False
    except Exception as error:  # what a user must never see
        works, text, unexpected = False, f"{type(error).__name__}: {error}", True
    seconds = round(time.perf_counter() - begun, 1)
    text = text.replace(str(workspace.root.parent), "...")
    return Outcome(case.kind, case.name, works, text, unexpected, seconds)


def _through(
    case: Case, workspace: Workspace, references: Sequence[ReferenceImage], tell: Callable[[str], None]
) -> tuple[Layer, ...]:
    torch.manual_seed(0)
    p = Preprocessing(case.size, case.size, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    network = build_network(PLAIN if case.architecture == "onnx" else case.architecture, len(CLASSES), 3)
    for weight in network.parameters():
        if not weight.any():  # torchvision's ViT begins with a last layer of zeros
            nn.init.normal_(weight, 0, 0.02)
    path = case.write(network, workspace.root.parent / "theirs.pt")
    spec = ModelSpec(case.architecture, CLASSES, CLASSES[:1], p)
    model = registry.register(workspace, spec, path, references, weights=case.weights, tell=tell)
    layers = registry.examined(workspace, model, references)
    classifier = registry.load_model(workspace.root, model, "cpu")
    images = np.random.default_rng(0).integers(0, 256, (2 * BLAMED, case.size, case.size, 3), np.uint8)
    _check_same(network, classifier.logits(classifier.prepare(images)), classifier.prepare(images))
    chosen = classifier.logits(classifier.prepare(images)).argmax(1).numpy()
    normal = build_reference(classifier, layers, [(images[BLAMED:], chosen[BLAMED:])], 1)
    found = screen(classifier, layers, normal, images[:BLAMED], (chosen[:BLAMED] + 1) % len(CLASSES))
    blame = np.concatenate([each.ravel() for each in found.blame.values()])
    if not np.isfinite(blame).all() or not (blame != 0).any():
        raise AssertionError(f"blame of {np.abs(blame).max()}")
    return layers


def _check_same(network: nn.Module, found: Tensor, x: Tensor) -> None:
    """Raise AssertionError where the registered model answers otherwise than the plant's network."""
    with torch.no_grad():
        answer: Any = network.eval()(x)
    if isinstance(answer, Tensor):
        apart, size = float((answer - found).abs().max()), float(answer.abs().max())
        if not apart <= SAME * max(1.0, size):
            raise AssertionError(f"answers otherwise, by {apart:.2g}")


def drawn_references(folder: Path) -> list[ReferenceImage]:
    """Images of noise, as many of each class."""
    rng, references = np.random.default_rng(1), []
    for i in range(4 * len(CLASSES)):
        write_image(folder / f"{i}.png", rng.integers(0, 256, (64, 64, 3), np.uint8))
        references.append(ReferenceImage(f"{folder / f'{i}.png'}", CLASSES[i % 3], "train"))
    return references


def outcomes(chosen: Sequence[Case]) -> Iterator[Outcome]:
    """Try each in one workspace."""
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        workspace = create_workspace(folder / "line")
        (folder / "images").mkdir()
        references = drawn_references(folder / "images")
        for case in chosen:
            yield tried(case, workspace, references)
            registry.load_model.cache_clear()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--only", default="", help="kinds by comma: torchvision,timm,transformers,...")
    options.add_argument("--json", type=Path, help="where to write the outcomes")
    given = options.parse_args(arguments)
    kinds = [kind for kind in given.only.split(",") if kind]
    found = []
    console = Console()
    for outcome in outcomes([case for case in cases() if not kinds or case.kind in kinds]):
        found.append(outcome)
        state = "WRONG" if outcome.unexpected else "works" if outcome.works else "refused"
        console.print(f"{outcome.kind}  {outcome.name}  {state}  {outcome.told}", markup=False)
        if given.json:
            given.json.write_text(json.dumps([asdict(each) for each in found], indent=1))
    wrong = sum(each.unexpected for each in found)
    works = sum(each.works for each in found)
    console.print(f"{len(found)} models: {works} work, {len(found) - works - wrong} refused, {wrong} WRONG")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
