"""Networks from ONNX files: the operations of the graph as modules of torch, by onnx2torch."""

import operator
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from fmi_engine.errors import ClassifierError, first_line
from fmi_engine.vision import torchvision

ONNX = "onnx:"  # before the file of a network
NEWEST = 17  # operator set: onnx2torch knows all of it, and little of what came after it
AGREES = 1e-3  # of the largest answer: what torch and ONNX Runtime may differ by
INSTALL = "Install it with `pip install 'fmi[onnx]'`"


def from_onnx(architecture: str, channels: int) -> nn.Module:
    """The network of `onnx:FILE`, with its weights; looked for as modules are, in the folders of sys.path.

    A softmax at its end is left out, for what decides and is trained are logits. Raises ClassifierError for
    a file that is not there, or whose operations cannot be had.
    """
    path = _found(architecture.removeprefix(ONNX))
    graph = _read(path)
    _check_input(path, graph, channels)
    try:
        network = _with_fixed_shapes(_converter()(_without_softmax(_of_known_operators(graph))))
    except ClassifierError:
        raise
    except Exception as error:  # of an operation that it does not know, or knows otherwise
        raise ClassifierError(
            f"{path} cannot be turned into a network of torch: {first_line(error)}. Export it with "
            f"operator set {NEWEST} (opset_version={NEWEST}), or register its weights with --architecture"
        ) from None
    return network


def check_answers(network: nn.Module, path: Path, x: Float[Tensor, "batch channel height width"]) -> None:
    """Raise ClassifierError where a network answers otherwise than ONNX Runtime answers by its file.

    Where the file's last softmax was left out, it is put back for this.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        own = network.eval()(x[:1])
    if _ends_in_softmax(_read(path)):
        own = own.softmax(1)
    try:
        expected = session.run(None, {session.get_inputs()[0].name: x[:1].numpy()})[0]
        apart = float(np.abs(own.numpy() - expected).max() / max(1.0, float(np.abs(expected).max())))
    except Exception as error:  # of an input that does not fit
        raise ClassifierError(f"ONNX Runtime cannot ask {path}: {first_line(error)}") from None
    if not apart <= AGREES:
        raise ClassifierError(
            f"{path} answers otherwise in torch than in ONNX Runtime, by {apart:.2g} of its largest answer: "
            "onnx2torch takes one of its operations for another. Register the network's weights with "
            "--architecture"
        )


def trainable(network: nn.Module) -> tuple[int, int]:
    """How many of a network's weights training can change, and how many there are.

    Of ONNX files those of matrix products, of which transformers consist, come as constants.
    """
    own = sum(each.numel() for each in network.parameters())
    return own, own + sum(each.numel() for each in network.buffers() if each.is_floating_point())


def _found(name: str) -> Path:
    for folder in ("", *sys.path):
        if (path := Path(folder) / name).is_file():
            return path
    raise ClassifierError(
        f"no ONNX file {name}; it is looked for in the workspace's folder (in the current one, where "
        "none is used)"
    )


def _read(path: Path) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ClassifierError(f"{path}: onnx cannot be imported ({first_line(error)}). {INSTALL}") from None
    try:
        return onnx.load(path)
    except Exception as error:  # the parser of protobuf on bytes that are none
        raise ClassifierError(f"{path} is no readable ONNX file: {first_line(error)}") from None


def _converter() -> Any:
    torchvision()  # first, in a way that works beside every build of torch
    try:
        from onnx2torch import convert
    except ImportError as error:
        raise ClassifierError(f"onnx2torch cannot be imported ({first_line(error)}). {INSTALL}") from None
    warnings.filterwarnings("ignore", module="onnx2torch")  # of what is to come in torch: see check_answers
    return convert


def _check_input(path: Path, model: Any, channels: int) -> None:
    weights = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in weights]
    shapes = [tuple(d.dim_value or d.dim_param or "?" for d in i.type.tensor_type.shape.dim) for i in inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (channels, "?"):
        told = ", ".join(f"({', '.join(map(str, shape))})" for shape in shapes)
        raise ClassifierError(
            f"{path} takes {told or 'nothing'}; expected one input of (batch, {channels}, height, width)"
        )


def _of_known_operators(model: Any) -> Any:
    """Of the newest operator set that onnx2torch knows, without a flag for shapes with a 0."""
    from onnx import version_converter

    if max(each.version for each in model.opset_import if not each.domain) > NEWEST:
        model = version_converter.convert_version(model, NEWEST)
    for node in model.graph.node:
        if node.op_type == "Reshape":
            kept = [each for each in node.attribute if each.name != "allowzero"]
            del node.attribute[:]
            node.attribute.extend(kept)
    return model


def _with_fixed_shapes(network: fx.GraphModule) -> nn.Module:
    """With the shapes that the file holds as numbers, for a look at them at run time hinders an export."""
    for node in list(network.graph.nodes):
        if node.op == "call_module" and type(network.get_submodule(node.target)).__name__ == "OnnxReshape":
            given, shape = node.args
            wanted = operator.attrgetter(shape.target)(network).tolist() if shape.op == "get_attr" else [0]
            if 0 not in wanted:  # which stands for a size of the input
                with network.graph.inserting_before(node):
                    fixed = network.graph.call_function(torch.reshape, (given, tuple(wanted)))
                node.replace_all_uses_with(fixed)
    network.graph.eliminate_dead_code()
    network.recompile()
    return network


def _ends_in_softmax(model: Any) -> bool:
    outputs = {each.name for each in model.graph.output}
    return any(node.op_type == "Softmax" and set(node.output) & outputs for node in model.graph.node)


def _without_softmax(model: Any) -> Any:
    if _ends_in_softmax(model):
        (last,) = [node for node in model.graph.node if model.graph.output[0].name in node.output]
        model.graph.output[0].name = last.input[0]
        model.graph.node.remove(last)
    return model
