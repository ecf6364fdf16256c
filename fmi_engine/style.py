"""Reallocation on purpose: a content image in the style of another, and how near the two then are.

After Xia et al., Every Filter Extracts A Specific Texture In Convolutional Neural Networks,
arXiv 1608.04170: the style of an image is how its energy is shared among the filters, and a Gram matrix
carries style because it carries those sums. The Gram loss is that of Gatys et al., Image Style Transfer
Using Convolutional Neural Networks, CVPR 2016.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from fmi_engine.classifier import Classifier
from fmi_engine.energy import rank_match
from fmi_engine.errors import ClassifierError, EngineError
from fmi_engine.inversion import Descent, Progress, descend, invert_codes, pooling, residuals
from fmi_engine.probe import find_layer, find_layers, tapped
from fmi_engine.types import FloatArray, Layer

STYLE_RESOLUTIONS = 4
Codes = dict[str, Float[Tensor, "batch channel height width"]]


def style_layers(layers: Sequence[Layer]) -> tuple[tuple[str, ...], str]:
    """The layers that hold an image's style, and the one that holds its content.

    The first layer of each of the first four resolutions, and the last layer of the second: relu1_1,
    relu2_1, relu3_1, relu4_1 and relu2_2 of a VGG-19 (arXiv 1608.04170). A resolution begins where at
    most half of the positions are left, so that borders lost without padding do not count. A network
    with fewer has fewer; with a single one, its last layer holds the content.
    """
    resolutions: list[list[Layer]] = []
    for layer in layers:
        if not resolutions or 2 * _positions(layer) <= _positions(resolutions[-1][0]):
            resolutions.append([])
        resolutions[-1].append(layer)
    if not resolutions:
        raise ClassifierError("no layers given; expected those that find_layers returns")
    style = tuple(resolution[0].name for resolution in resolutions[:STYLE_RESOLUTIONS])
    return style, resolutions[:2][-1][-1].name


def _positions(layer: Layer) -> int:
    return layer.height * layer.width


def sums_loss(
    code: Float[Tensor, "batch channel height width"], style: Float[Tensor, "styles channel height width"]
) -> Float[Tensor, " batch"]:
    """How far the sums of the filters' maps are from the style's: ||S - S'||^2 / ||S'||^2.

    S_c = sum over p of F_c(p) (arXiv 1608.04170). `style` holds one code for each of the batch, or one
    for all.
    """
    return residuals(reduce(code, "b c h w -> b c 1 1", "sum"), reduce(style, "b c h w -> b c 1 1", "sum"))


def gram_loss(
    code: Float[Tensor, "batch channel height width"], style: Float[Tensor, "styles channel height width"]
) -> Float[Tensor, " batch"]:
    """How far the Gram matrix is from the style's: ||G - G'||^2 / ||G'||^2.

    G_ij = sum over p of F_i(p) F_j(p) (Gatys et al., equation 3). `style` as in `sums_loss`.
    """
    return residuals(_gram(code), _gram(style))


def _gram(code: Tensor) -> Float[Tensor, "batch 1 row column"]:
    maps = rearrange(code, "b c h w -> b c (h w)")
    return rearrange(einsum(maps, maps, "b i p, b j p -> b i j"), "b i j -> b 1 i j")


def content_loss(
    code: Float[Tensor, "batch channel height width"], content: Float[Tensor, "contents channel height width"]
) -> Float[Tensor, " batch"]:
    """How far a code is from the content's: ||F - F'||^2 / ||F'||^2, position by position."""
    return residuals(code, content)


STYLE_LOSSES = {"sums": sums_loss, "gram": gram_loss}
METHODS = ("rank", *STYLE_LOSSES)


@dataclass(frozen=True, slots=True)
class StyleDistance:
    """How far pictures are from a style image at one layer; 0 is equal.

    The test of why a Gram matrix carries style: where it does so through the sums, pictures brought near
    in the one come near in the other.
    """

    layer: str
    sums_before: float  # of the content image: ||S - S'|| / ||S'||, S the sums of the filters' maps
    sums_after: FloatArray  # (pictures,)
    gram_before: float  # of the content image: ||G - G'|| / ||G'||, G the Gram matrix
    gram_after: FloatArray  # (pictures,)


@dataclass(frozen=True, slots=True)
class Restyled:
    """Pictures of a content image in the style of another, one for each seed."""

    method: str  # rank, sums or gram
    layer: str  # where the content's code was matched (rank) or kept (sums, gram)
    seeds: tuple[int, ...]
    images: FloatArray  # (pictures, channels, height, width), 0 to 1
    loss: FloatArray  # (pictures,), what the method minimised, without the preset's priors
    content: FloatArray  # (pictures,), distance to the content's code at `layer`: ||F - F'|| / ||F'||
    styles: tuple[StyleDistance, ...]  # at each of the style layers


@dataclass(frozen=True, slots=True)
class Styling:
    """A content image, the style that it is drawn in, and how the two are matched.

    Both are 8-bit images (height, width, channel) of the classifier's size. `method`:

    - rank: invert the content's code at `layer`, its maps matched by rank to the style's (`rank_match`);
    - sums: bring the sums of the filters at the style layers to the style's, with weight 1 each, while the
      code at `layer` stays that of the content, with `content_weight`;
    - gram: the same with Gram matrices, to compare.
    """

    content: NDArray[np.uint8]
    style: NDArray[np.uint8]
    method: str
    layer: str | None = None  # None: the content layer of `style_layers`
    content_weight: float = 10.0


def restyle(
    classifier: Classifier, styling: Styling, descent: Descent, progress: Progress = None
) -> Restyled:
    """Draw a content image in the style of another, by reallocating the energy of its code on purpose.

    One picture for each seed of the descent, whose real images are these two. Raises EngineError on an
    unknown method or layer, or an image of another size.
    """
    method = styling.method
    if method not in METHODS:
        raise EngineError(f"no method {method!r}; these exist: {', '.join(METHODS)}")
    both = _both(classifier, styling.content, styling.style)
    descent = replace(descent, images=both)
    with pooling(classifier, descent.preset):
        goal = _goal(classifier, both, styling.layer)
        if method == "rank":
            picture, loss = _by_rank(classifier, goal, descent, progress)
        else:
            style_loss = _style_loss(goal, STYLE_LOSSES[method], styling.content_weight)
            picture, loss = _by_loss(classifier, goal, style_loss, descent, progress)
        found = _codes(classifier, goal.layers, classifier.preprocessing.normalise(picture))
    left = content_loss(found[goal.at.name], goal.content[goal.at.name])
    styles = tuple(_distance(name, goal, found) for name in goal.style_layers)
    return Restyled(
        method, goal.at.name, tuple(descent.seeds), _array(picture), _array(loss), _array(left.sqrt()), styles
    )


@dataclass(frozen=True, slots=True)
class _Goal:
    style_layers: tuple[str, ...]
    at: Layer  # of the content
    content: Codes  # of the content image
    style: Codes  # of the style image

    @property
    def layers(self) -> tuple[str, ...]:
        return (*self.style_layers, self.at.name)


def _both(classifier: Classifier, content: NDArray[np.uint8], style: NDArray[np.uint8]) -> NDArray[np.uint8]:
    p = classifier.preprocessing
    for name, image in (("content", content), ("style", style)):
        if image.shape != (p.height, p.width, p.channels):
            raise ClassifierError(
                f"the {name} image has shape {image.shape}; the classifier takes "
                f"{(p.height, p.width, p.channels)}: height, width, channels"
            )
    return np.stack([content, style])


def _goal(classifier: Classifier, both: NDArray[np.uint8], layer: str | None) -> _Goal:
    x = classifier.prepare(both)
    layers = find_layers(classifier.network, x)
    names, usual = style_layers(layers)
    at = find_layer(layers, usual if layer is None else layer)
    codes = _codes(classifier, (*names, at.name), x)
    content, style = ({name: code[i : i + 1] for name, code in codes.items()} for i in (0, 1))
    return _Goal(names, at, content, style)


@torch.no_grad()
def _codes(classifier: Classifier, layers: Sequence[str], x: Tensor) -> Codes:
    with tapped(classifier.network, layers) as codes:
        return codes(x)


def _by_rank(
    classifier: Classifier, goal: _Goal, descent: Descent, progress: Progress
) -> tuple[Tensor, Tensor]:
    name = goal.at.name
    matched = rank_match(goal.content[name], goal.style[name], goal.at.nonnegative)
    target = repeat(matched, "1 c h w -> s c h w", s=len(descent.seeds))
    return invert_codes(classifier, name, target, descent, progress)


def _style_loss(
    goal: _Goal, distance: Callable[[Tensor, Tensor], Tensor], content_weight: float
) -> Callable[[Codes], Float[Tensor, " batch"]]:
    """The loss of codes at the style layers and at that of the content."""

    def loss(found: Codes) -> Float[Tensor, " batch"]:
        style = [distance(found[name], goal.style[name]) for name in goal.style_layers]
        content = content_loss(found[goal.at.name], goal.content[goal.at.name])
        return torch.stack(style).sum(0) + content_weight * content

    return loss


def _by_loss(
    classifier: Classifier,
    goal: _Goal,
    style_loss: Callable[[Codes], Tensor],
    descent: Descent,
    progress: Progress,
) -> tuple[Tensor, Tensor]:
    with tapped(classifier.network, goal.layers) as codes:
        picture = descend(classifier, lambda x, _: style_loss(codes(x)), descent, progress)
        with torch.no_grad():
            return picture, style_loss(codes(classifier.preprocessing.normalise(picture)))


def _distance(name: str, goal: _Goal, found: Codes) -> StyleDistance:
    before, after, style = goal.content[name], found[name], goal.style[name]
    return StyleDistance(
        name,
        float(sums_loss(before, style).sqrt()),
        _array(sums_loss(after, style).sqrt()),
        float(gram_loss(before, style).sqrt()),
        _array(gram_loss(after, style).sqrt()),
    )


def _array(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.cpu().numpy(), np.float32)
