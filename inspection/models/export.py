"""A model as files for another system: plain weights with a loader, ONNX, and a model card."""

import importlib.util
import json
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from fmi_engine.classifier import Classifier
from inspection.errors import ModelError
from inspection.findings import RegisteredModel
from inspection.inputs.fitting import Fitting
from inspection.inputs.images import reading
from inspection.inputs.labelled import load_images
from inspection.models.model_card import CARD, LARGEST_LOGIT, model_card
from inspection.models.promotion import references_of
from inspection.models.registry import load_model, spec_of
from inspection.workspace.files import replacing, write_whole
from inspection.workspace.folder import Workspace
from inspection.workspace.store import Store

WEIGHTS, LOADER, ONNX = "weights.pt", "load_model.py", "model.onnx"
AGREES = 1e-4  # logits: the largest difference between ONNX Runtime and torch that is accepted
TRIED = 16  # reference images on which they are compared
NEEDED = ("onnx", "onnxruntime", "onnxscript")
MISSING = "ONNX is left out: it needs {}. Install them with `pip install 'fmi[onnx]'` and export again"


@dataclass(frozen=True, slots=True)
class Exported:
    """The files of an export."""

    files: tuple[Path, ...]
    difference: float | None  # logits, the largest between ONNX Runtime and torch; None: no ONNX
    note: str = ""  # why something is left out


def export(workspace: Workspace, store: Store, model: RegisteredModel, folder: Path) -> Exported:
    """Write a registered model into a folder: weights, a loader of ten lines, ONNX, and a model card.

    The ONNX file is compared with torch on reference images in ONNX Runtime before it is put in its place.
    Raises ModelError where they differ by more than 1e-4 of a logit, and where the folder cannot be written.
    """
    classifier = load_model(workspace.root, model, "cpu")
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / WEIGHTS) as partial:
            shutil.copyfile(workspace.root / model.weights_path, partial)
        write_whole(folder / LOADER, _loader(model).encode())
        write_whole(folder / CARD, model_card(store, model).encode())
        files = [folder / WEIGHTS, folder / LOADER, folder / CARD]
        if lacking:
            return Exported(tuple(files), None, MISSING.format(", ".join(lacking)))
        difference = _write_onnx(classifier, model, _some_images(workspace, store, model), folder / ONNX)
    except OSError as error:
        raise ModelError(f"{folder} cannot be written: {error.strerror}; give another --out") from None
    return Exported((*files, folder / ONNX), difference)


def metadata(model: RegisteredModel) -> dict[str, str]:
    """What an ONNX file says of itself: the classes, how images are prepared, and how it decides."""
    return {
        "model_hash": model.model_hash,
        "name": model.called,
        "class_names": json.dumps(model.class_names, ensure_ascii=False),
        "good_classes": json.dumps(model.good_classes, ensure_ascii=False),
        "input": f"images: float32 (batch, {model.channels}, {model.height}, {model.width})",
        "preprocessing": json.dumps(
            {
                "colour": _colour(model),
                "resize": [model.height, model.width],
                "how": str(Fitting.parse(model.prepared)),
                "scale": "values in 0 to 1",
                "mean": model.mean,
                "std": model.std,
                "then": "(value - mean) / std, per channel",
            }
        ),
        "decision": model.decision or LARGEST_LOGIT,
        "outputs": json.dumps(model.rule.outputs, ensure_ascii=False),
    }


def _colour(model: RegisteredModel) -> str:
    if model.channels == 1:
        return "grey"
    return "BGR" if Fitting.parse(model.prepared).blue_first else "RGB"


def _some_images(workspace: Workspace, store: Store, model: RegisteredModel) -> np.ndarray:
    """Reference images of the model or, of a candidate without its own, of the model before it; or noise."""
    paths = [Path(image.image_path) for image in references_of(store, model)]
    there = [path for path in paths if path.is_file()]
    if there:
        chosen = there[:: max(1, len(there) // TRIED)][:TRIED]
        how = reading(workspace.settings.images, model.bit_depth, model.prepared)
        return load_images(chosen, spec_of(model).preprocessing, how=how)
    shape = (TRIED, model.height, model.width, model.channels)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _write_onnx(classifier: Classifier, model: RegisteredModel, images: np.ndarray, path: Path) -> float:
    """Export, compare and only then put the file in its place; returns the largest difference of a logit."""
    import onnx

    x = classifier.prepare(images)
    with TemporaryDirectory() as held:
        written = Path(held) / ONNX
        _export(classifier, x[:2], written)
        graph = onnx.load(written)
        onnx.helper.set_model_props(graph, metadata(model))
        graph.doc_string = f"{model.called}, exported by fmi"
        onnx.save(graph, written)
        difference = _difference(classifier, x, written)
        if not difference <= AGREES:
            raise ModelError(
                f"ONNX Runtime answers otherwise than torch, by {difference:.2g} of a logit on "
                f"{len(images)} images ({AGREES:g} is accepted): the network holds something that ONNX does "
                "not express; deploy its weights with the loader"
            )
        with replacing(path) as partial:
            shutil.copyfile(written, partial)
    return difference


def _export(classifier: Classifier, x: torch.Tensor, path: Path) -> None:
    batch = torch.export.Dim("batch")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                classifier.network,
                (x,),
                path,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: batch},),
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # whatever a user's network does that torch cannot trace
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelError(
            f"torch cannot export this network to ONNX ({why}); deploy its weights with the loader"
        ) from None


def _difference(classifier: Classifier, x: torch.Tensor, path: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(["logits"], {"images": x.numpy()})[0]
    with torch.no_grad():
        return float(np.abs(found - classifier.network(x).numpy()).max())


def _loader(model: RegisteredModel) -> str:
    """Ten lines of Python that load the weights and prepare an image."""
    module, colon, function = model.architecture.partition(":")
    count = len(model.rule.outputs)
    if colon:
        wanted, network = f"from {module} import {function}", f"{function}({count}, {model.channels})"
    elif model.channels == 3:
        wanted = "import torchvision"
        network = f'torchvision.models.get_model("{model.architecture}", num_classes={count})'
    else:
        wanted = "from fmi_engine.classifier import build_network  # torchvision's, with a grey input"
        network = f'build_network("{model.architecture}", {count}, {model.channels})'
    told, names = "CLASSES[load()(prepare(image)).argmax()]", f"CLASSES = {list(model.class_names)!r}"
    if model.decision:
        told = "RULE.names[decide(RULE, load()(prepare(image))).argmax()]"
        wanted += (
            "\nfrom fmi_engine.decision import decide\nfrom fmi_engine.decision_rule import DecisionRule"
        )
        names = f"RULE = DecisionRule.parse({model.decision!r}, {list(model.rule.described)!r})"
    kind, fitting = _colour(model), Fitting.parse(model.prepared)
    mean, std = (f"torch.tensor({list(each)!r})[:, None, None]" for each in (model.mean, model.std))
    return f'''"""{model.called}, {model.model_hash[:12]}: {told} tells."""
import torch
{wanted}

{names}

def load(path="{WEIGHTS}"):
    network = {network}
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()

def prepare(image):  # uint8 ({model.height}, {model.width}, {model.channels}), {kind}; by {fitting}
    x = torch.as_tensor(image).permute(2, 0, 1)[None] / 255
    return (x - {mean}) / {std}
'''
