"""Codes, truncated and resumed forward passes: with `layout` the only module that hooks a network.

A code is (batch, channel, height, width), however its layer lays it out (`fmi_engine.layout`).
"""

import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from fmi_engine.classifier import Classifier
from fmi_engine.decision import decide
from fmi_engine.errors import ClassifierError, UnknownLayerError
from fmi_engine.layout import MAPS, First, Maps, Tokens, first_of, layout_of, noted
from fmi_engine.types import FilterRef, Layer

Measured = TypeVar("Measured")
ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Softplus,
    nn.Hardswish,
)
ROWS = (nn.Sequential, nn.ModuleList)  # of blocks
OUT_OF_PLACE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


@contextmanager
def measured(
    network: nn.Module, layers: Sequence[str], measure: Callable[[Tensor], Measured]
) -> Iterator[dict[str, Measured]]:
    """Within the block, every forward pass leaves what is measured of the codes of `layers` in a dictionary.

    A code is measured when the layer has it, before the network may overwrite it, and need not be copied.
    """
    found: dict[str, Measured] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            found[name] = measure(layout_of(module).read(output))

        return hook

    with hooked(network, {name: keep(name) for name in layers}):
        yield found


@contextmanager
def hooked(network: nn.Module, hooks: Mapping[str, Callable[[nn.Module, Any, Any], Any]]) -> Iterator[None]:
    """Within the block, every forward pass calls the hooks of some layers, by name."""
    modules = {name: find_module(network, name) for name in hooks}  # before any hook: it may raise
    handles = [module.register_forward_hook(hooks[name]) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def recorded(network: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Within the block, every forward pass leaves the codes of `layers` in the dictionary given."""
    codes: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> Any:
            layout = layout_of(module)
            codes[name] = layout.read(output)
            return layout.write(codes[name].clone(), output)  # the network may overwrite its own copy

        return hook

    with hooked(network, {name: keep(name) for name in layers}):
        yield codes


class _Reached(Exception):  # noqa: N818  (not an error: it ends a truncated pass)
    pass


@contextmanager
def tapped(
    network: nn.Module, layers: Sequence[str]
) -> Iterator[Callable[[Float[Tensor, "batch channel height width"]], dict[str, Tensor]]]:
    """Within the block, the function given returns the codes of `layers`, by name in their order.

    The pass ends at the last of them to be reached; nothing after it runs. Of a module that runs several
    times the code is that of the first. Raises UnknownLayerError where a layer does not exist, and, when
    called, ClassifierError where the pass never reaches one.
    """
    codes: dict[str, Tensor] = {}
    modules = {name: find_module(network, name) for name in layers}  # before any hook: it may raise

    def keep(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> Any:
            layout = layout_of(module)
            code = layout.read(output)
            codes.setdefault(name, code)
            if len(codes) == len(modules):
                raise _Reached
            return layout.write(code.clone(), output)  # the network may go on to overwrite its own copy

        return hook

    def read(x: Tensor) -> dict[str, Tensor]:
        codes.clear()
        with suppress(_Reached):
            network(x)
        for name in modules:
            if name not in codes:
                raise ClassifierError(f"layer {name!r} was not reached by the forward pass")
        return {name: codes.pop(name) for name in modules}

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield read
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def truncated(
    network: nn.Module, layer: str
) -> Iterator[Callable[[Float[Tensor, "batch channel height width"]], Tensor]]:
    """Within the block, the function given returns the code of `layer` and runs nothing after it."""
    with tapped(network, [layer]) as codes:
        yield lambda x: codes(x)[layer]


@contextmanager
def average_pooled(network: nn.Module) -> Iterator[None]:
    """Within the block, every maximum pooling module answers with the average instead (arXiv 1608.04170)."""

    def average(module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> Tensor:
        assert isinstance(module, nn.MaxPool2d)
        size, stride, padding = module.kernel_size, module.stride, module.padding
        return nn.functional.avg_pool2d(inputs[0], size, stride, padding, module.ceil_mode, False)

    pools = [module for module in network.modules() if isinstance(module, nn.MaxPool2d)]
    handles = [pool.register_forward_hook(average) for pool in pools]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def silenced(network: nn.Module, layer: str, channels: Sequence[int]) -> Iterator[None]:
    """Within the block, some filters of a layer answer nothing: the dead filters of a control.

    Enter it before the layer is tapped: hooks run in the order in which they came.
    """

    def silence(module: nn.Module, _inputs: Any, output: Any) -> Any:
        layout = layout_of(module)
        quiet = layout.read(output).clone()
        quiet[:, list(channels)] = 0
        return layout.write(quiet, output)

    handle = find_module(network, layer).register_forward_hook(silence)
    try:
        yield
    finally:
        handle.remove()


def find_module(network: nn.Module, name: str) -> nn.Module:
    """The module of a dotted name. Raises UnknownLayerError naming those that exist."""
    modules: dict[str, nn.Module] = dict(network.named_modules())
    if not name or name not in modules:
        raise UnknownLayerError(
            f"no layer {name!r}; this network has: {', '.join(key for key in modules if key)}"
        )
    return modules[name]


@dataclass(frozen=True, slots=True)
class _Output:
    names: list[str]  # modules that returned this tensor, or a tuple that begins with it, innermost first
    module: nn.Module  # the innermost
    before: nn.Module | None  # the leaf that ran before it
    answer: Any  # the innermost's: the tensor, or the tuple

    @property
    def tensor(self) -> Tensor:
        return cast(Tensor, first_of(self.answer))


def layers_of(classifier: Classifier) -> tuple[Layer, ...]:
    """The layers of a classifier, found as by `find_layers` on one image of noise, always the same."""
    p = classifier.preprocessing
    noise = torch.randn(1, p.channels, p.height, p.width, generator=torch.Generator().manual_seed(0))
    return find_layers(classifier.network, noise.to(classifier.device))


def find_layers(network: nn.Module, x: Float[Tensor, "batch channel height width"]) -> tuple[Layer, ...]:
    """The layers whose output is a post-activation code, in the order of the forward pass.

    A layer is named by the outermost module that returns the code and runs once in a pass: `layer2` of a
    ResNet, `features.3` of a VGG. Where a network has no such layer, its convolutions serve, and the blocks
    whose filters come last (of tokens, or of maps) beside either. Raises ClassifierError where it has none.
    """
    outputs, calls = _trace_outputs(network, x)
    active = any(_as_layer(output, calls) for output in outputs)
    as_code = _as_layer if active else _as_convolution
    found = [as_code(output, calls) or _as_block(output, calls, network) for output in outputs]
    layers = _in_order(network, x, [layer for layer in found if layer is not None])
    if not layers:
        raise ClassifierError(
            "the network has no layer with feature maps of more than one position, in which a night looks "
            "for what went wrong. Register one with convolutions, or a transformer of blocks in a row"
        )
    return layers


def _in_order(network: nn.Module, x: Tensor, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Without the layers whose tokens are not the image's positions row by row (Hiera sorts them).

    One patch of the image is changed at a time: of the tokens, its own or a neighbour has to change most. The
    first layer of each number of tokens stands for those after it.
    """
    tokens = {layer: layout for layer in layers if isinstance(layout := _layout(network, layer), Tokens)}
    first = {layout: layer for layer, layout in reversed(tokens.items())}
    kept = {layout for layout, layer in first.items() if _is_in_order(network, x, layer)}
    return tuple(layer for layer in layers if layer not in tokens or tokens[layer] in kept)


def _layout(network: nn.Module, layer: Layer) -> Maps:
    found = layout_of(network.get_submodule(layer.name))
    return found.laid_out if isinstance(found, First) else found


@torch.no_grad()
def _is_in_order(network: nn.Module, x: Tensor, layer: Layer) -> bool:
    high, wide = x.shape[2] // layer.height, x.shape[3] // layer.width
    with truncated(network, layer.name) as code:
        before = code(x)
        for row, column in ((0, layer.width - 1), (layer.height // 2, layer.width // 4)):
            changed = x.clone()
            changed[:, :, row * high : (row + 1) * high, column * wide : (column + 1) * wide] += 1
            most = (code(changed) - before).abs().sum((0, 1)).argmax().item()
            found_row, found_column = divmod(int(most), layer.width)
            if max(abs(found_row - row), abs(found_column - column)) > 1:
                return False
    return True


def _trace_outputs(network: nn.Module, x: Tensor) -> tuple[list[_Output], Counter[str]]:
    # By identity and version; the tensors are kept, so identities stay distinct, and an activation in
    # place (GoogLeNet's blocks) makes a new version of the same tensor.
    found: dict[tuple[int, int], _Output] = {}
    calls: Counter[str] = Counter()
    last_leaf: list[nn.Module | None] = [None]

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            calls[name] += 1
            tensor = first_of(output)
            if isinstance(tensor, Tensor):
                key = (id(tensor), tensor._version)
                if key not in found:
                    found[key] = _Output([], module, last_leaf[0], output)
                found[key].names.append(name)
            if not any(True for _ in module.children()):
                last_leaf[0] = module

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in network.named_modules() if name]
    try:
        with torch.no_grad(), noted(network, (x.shape[2], x.shape[3])):
            network(x)
    finally:
        for handle in handles:
            handle.remove()
    return list(found.values()), calls


def _as_layer(output: _Output, calls: Counter[str]) -> Layer | None:
    is_leaf = not any(True for _ in output.module.children())
    if is_leaf and (not isinstance(output.module, ACTIVATIONS) or isinstance(output.before, nn.Linear)):
        return None
    nonnegative = _is_code(output) and bool(output.tensor.min() >= 0)
    return _named(output, calls, nonnegative) if is_leaf or nonnegative else None


def _as_convolution(output: _Output, calls: Counter[str]) -> Layer | None:
    return _named(output, calls, nonnegative=False) if isinstance(output.module, nn.Conv2d) else None


def _as_block(output: _Output, calls: Counter[str], network: nn.Module) -> Layer | None:
    """One of a row of blocks whose filters come last, as transformers have them."""
    blocks = [name for name in output.names if _is_block(network, name)]
    last = layout_of(output.module) != MAPS
    return _named(output, calls, nonnegative=False) if blocks and last else None


def _is_block(network: nn.Module, name: str) -> bool:
    module, row = network.get_submodule(name), network.get_submodule(name.rpartition(".")[0])
    return any(True for _ in module.children()) and isinstance(row, ROWS) and not isinstance(module, ROWS)


def _named(output: _Output, calls: Counter[str], nonnegative: bool) -> Layer | None:
    names = [name for name in output.names if calls[name] == 1]
    if not names or not _is_code(output):
        return None
    _, channels, height, width = _read(output).shape
    return Layer(min(names, key=lambda name: name.count(".")), channels, height, width, nonnegative)


def _is_code(output: _Output) -> bool:
    if output.tensor.ndim not in (3, 4) or not layout_of(output.module).clear:
        return False
    code = _read(output)
    return code.ndim == 4 and code.shape[2] * code.shape[3] > 1


def _read(output: _Output) -> Tensor:
    return layout_of(output.module).read(output.answer)


def stages_of(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The last layer of each resolution: the convolutional stages."""
    return tuple({(layer.height, layer.width): layer for layer in layers}.values())


def find_layer(layers: Sequence[Layer], name: str) -> Layer:
    """The layer of a name. Raises UnknownLayerError naming those that exist."""
    for layer in layers:
        if layer.name == name:
            return layer
    raise UnknownLayerError(f"no layer {name!r}; this network has: {', '.join(each.name for each in layers)}")


def check_filter(layers: Sequence[Layer], wanted: FilterRef) -> FilterRef:
    """Return a filter that exists. Raises UnknownLayerError naming the layers or the channels that do."""
    layer = find_layer(layers, wanted.layer)
    if not 0 <= wanted.channel < layer.channels:
        raise UnknownLayerError(
            f"layer {layer.name!r} has no channel {wanted.channel}; it has 0 to {layer.channels - 1}"
        )
    return wanted


@dataclass(frozen=True, slots=True)
class Resumption:
    """A network cut at one layer: `head` up to its code, `tail` from a (changed) code to the logits.

    `head(x)` returns the code, then the values that pass the layer by (a residual branch, say);
    `tail(code, *values)` runs only what depends on the code.
    """

    head: Callable[[Tensor], tuple[Tensor, ...]]
    tail: Callable[..., Tensor]


def cut_at(classifier: Classifier, layer: str) -> Resumption:
    """A classifier's network cut at `layer`, whose tail decides as the classifier does."""
    cut = resumption(classifier.network, layer)
    return Resumption(cut.head, lambda *values: decide(classifier.decision, cut.tail(*values)))


def resumption(network: nn.Module, layer: str) -> Resumption:
    """Cut a network at `layer`, by its graph where it can be traced.

    A network with data-dependent control flow cannot be traced; there the tail runs the whole network
    and puts the changed code in place: the same answer, at the price of a full pass.
    """
    layout = layout_of(find_module(network, layer))
    if isinstance(layout, First):  # values that pass a cut by are tensors
        return _replaying(network, layer)
    try:
        graph = _trace_with_leaf(network, layer)
        cut = _laid_out(_cut(network, graph, layer), layout)
        return _checked(network, cut, layer)
    except _CannotCut:
        return _replaying(network, layer)


def _laid_out(cut: Resumption, layout: Maps) -> Resumption:
    """A cut at what a layer answers, as a cut at its maps."""
    if layout == MAPS:
        return cut

    def head(x: Tensor) -> tuple[Tensor, ...]:
        output, *values = cut.head(x)
        return layout.read(output), output, *values

    def tail(code: Tensor, output: Tensor, *values: Tensor) -> Tensor:
        return cut.tail(layout.write(code, output), *values)

    return Resumption(head, tail)


def _checked(network: nn.Module, cut: Resumption, layer: str) -> Resumption:
    """Compare the cut with the network on the first batch: a tracer can take a wrong way unnoticed."""
    chosen: list[Resumption] = []

    def head(x: Tensor) -> tuple[Tensor, ...]:
        if not chosen:
            same = torch.allclose(cut.tail(*cut.head(x)), network(x), rtol=1e-3, atol=1e-4)
            chosen.append(cut if same else _replaying(network, layer))
        return chosen[0].head(x)

    return Resumption(head, lambda *values: chosen[0].tail(*values))


class _CannotCut(Exception):  # noqa: N818  (internal: choose the slower way)
    pass


class _LeafTracer(fx.Tracer):
    def __init__(self, leaf: str) -> None:
        super().__init__()
        self.leaf = leaf

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name == self.leaf or super().is_leaf_module(m, module_qualified_name)


def _trace_with_leaf(network: nn.Module, layer: str) -> fx.Graph:
    try:
        graph = _LeafTracer(layer).trace(network)
    except Exception as error:  # tracing runs the user's forward with stand-ins: anything may be raised
        raise _CannotCut from error
    for node in graph.nodes:
        if node.op == "call_function" and node.target in OUT_OF_PLACE:
            node.target = OUT_OF_PLACE[node.target]
        if node.kwargs.get("inplace"):
            node.kwargs = {**node.kwargs, "inplace": False}
        if _works_in_place(node):
            raise _CannotCut
    return graph


def _works_in_place(node: fx.Node) -> bool:
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("call_method", "call_function") and name.endswith("_") and not name.endswith("__")


def _cut(network: nn.Module, graph: fx.Graph, layer: str) -> Resumption:
    nodes = list(graph.nodes)
    targets = [node for node in nodes if node.op == "call_module" and node.target == layer]
    if len(targets) != 1 or sum(node.op == "placeholder" for node in nodes) != 1:
        raise _CannotCut
    after = _descendants(nodes, targets[0])
    if nodes[-1] not in after:  # the answer does not depend on the layer
        raise _CannotCut
    passing = _passing(nodes, after, targets[0])
    head = _head_graph(nodes, [targets[0], *passing])
    tail = _tail_graph(nodes, after, [targets[0], *passing])
    return Resumption(
        cast(Callable[[Tensor], tuple[Tensor, ...]], fx.GraphModule(network, head)),
        fx.GraphModule(network, tail),
    )


def _descendants(nodes: list[fx.Node], target: fx.Node) -> set[fx.Node]:
    after: set[fx.Node] = set()
    for node in nodes:
        if any(source is target or source in after for source in node.all_input_nodes):
            after.add(node)
    return after


def _passing(nodes: list[fx.Node], after: set[fx.Node], target: fx.Node) -> list[fx.Node]:
    used = {source for node in after for source in node.all_input_nodes}
    return [node for node in nodes if node in used and node not in after and node is not target]


def _head_graph(nodes: list[fx.Node], outputs: list[fx.Node]) -> fx.Graph:
    needed = set(outputs)
    for node in reversed(nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        if node in needed or node.op == "placeholder":
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(tuple(copies[node] for node in outputs))
    return graph


def _tail_graph(nodes: list[fx.Node], after: set[fx.Node], inputs: list[fx.Node]) -> fx.Graph:
    graph = fx.Graph()
    copies = {node: graph.placeholder(f"value_{i}") for i, node in enumerate(inputs)}
    for node in nodes:
        if node in after:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    return graph


def _replaying(network: nn.Module, layer: str) -> Resumption:
    def head(x: Tensor) -> tuple[Tensor, ...]:
        with truncated(network, layer) as code:
            return code(x), x

    def tail(code: Tensor, x: Tensor) -> Tensor:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> Any:
            return layout_of(module).write(code.clone(), output)

        handle = find_module(network, layer).register_forward_hook(hook)
        try:
            return cast(Tensor, network(x))
        finally:
            handle.remove()

    return Resumption(head, tail)
