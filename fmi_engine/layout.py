"""How a layer lays out its code: maps, maps whose filters come last, or tokens; read and written as maps."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

MOST_EXTRA = 16  # tokens that are no position of the image: of the class, of distillation, registers
MIXING = (nn.Linear, nn.LayerNorm)  # what works along the last axis
SPATIAL = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm, nn.MaxPool2d, nn.AvgPool2d)  # filters come first
NOTE = "_fmi_layout"  # the attribute of a module that holds its layout, where it is not that of maps


@dataclass(frozen=True, slots=True)
class Maps:
    """(batch, filter, height, width), as convolutions have it."""

    clear: bool = True  # False: it may as well be another, and is read by nobody

    def read(self, output: Any) -> Float[Tensor, "batch channel height width"]:
        """A layer's output as maps."""
        return cast(Tensor, output)

    def write(self, code: Float[Tensor, "batch channel height width"], output: Any) -> Any:
        """Maps, changed, as the layer's output; what are no positions stay as they are in `output`."""
        return code


@dataclass(frozen=True, slots=True)
class MapsLast(Maps):
    """(batch, height, width, filter), as Swin has it."""

    def read(self, output: Tensor) -> Float[Tensor, "batch channel height width"]:
        """A layer's output as maps."""
        return rearrange(output, "b h w c -> b c h w")

    def write(self, code: Float[Tensor, "batch channel height width"], output: Tensor) -> Tensor:
        """Maps, changed, as the layer's output."""
        return rearrange(code, "b c h w -> b h w c")


@dataclass(frozen=True, slots=True)
class Tokens(Maps):
    """(batch, token, filter), as ViT has it: some extra tokens, then a map's positions row by row."""

    height: int = 1  # positions
    extra: int = 0  # tokens before them

    def read(self, output: Tensor) -> Float[Tensor, "batch channel height width"]:
        """The tokens of positions as maps."""
        return rearrange(output[:, self.extra :], "b (h w) c -> b c h w", h=self.height)

    def write(self, code: Float[Tensor, "batch channel height width"], output: Tensor) -> Tensor:
        """Maps, changed, among the extra tokens of `output`."""
        return torch.cat([output[:, : self.extra], rearrange(code, "b c h w -> b (h w) c")], 1)


@dataclass(frozen=True, slots=True)
class First(Maps):
    """The first of a tuple, as blocks of transformers' answer; what comes after it stays as it is."""

    laid_out: Maps = Maps()  # what the first is

    def read(self, output: tuple[Tensor, ...]) -> Float[Tensor, "batch channel height width"]:
        """The first as maps."""
        return self.laid_out.read(output[0])

    def write(
        self, code: Float[Tensor, "batch channel height width"], output: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Maps, changed, as the first of the tuple."""
        return self.laid_out.write(code, output[0]), *output[1:]


MAPS, UNCLEAR = Maps(), Maps(clear=False)


def first_of(output: Any) -> Any:
    """What a module answers, or the first of it where that is a tuple."""
    return output[0] if isinstance(output, tuple) and output else output


def layout_of(module: nn.Module) -> Maps:
    """The layout of a module's output, as it was noted."""
    found: Maps = getattr(module, NOTE, MAPS)
    return found


@contextmanager
def noted(network: nn.Module, size: tuple[int, int]) -> Iterator[None]:
    """Within the block, a forward pass of images of that height and width notes each module's layout.

    Maps have the image's proportions. Where those of a module fit either way it counts what worked before
    it; tokens are positions where there are as many as in a map before them, or a few more, or a quarter:
    what merges patches (Swin) halves both sides.
    """
    seen = _Seen(size)
    for module in network.modules():
        vars(module).pop(NOTE, None)
    handles = [module.register_forward_hook(seen.look) for module in network.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Seen:
    """What a pass has shown so far."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.grids: list[tuple[int, int]] = []  # of maps, the last one at the end
        self.mixed = False  # whether anything has worked along the last axis of more than a row

    def look(self, module: nn.Module, _inputs: Any, output: Any) -> None:
        """Note the layout of what a module answers."""
        first = first_of(output)
        if not isinstance(first, Tensor) or first.ndim not in (3, 4):
            return
        self.mixed = self.mixed or isinstance(module, MIXING)
        found = self._of_maps(module, first) if first.ndim == 4 else self._of_tokens(first)
        if first is not output:
            found = First(found.clear, found)
        if found != MAPS:
            setattr(module, NOTE, found)

    def _of_maps(self, module: nn.Module, output: Tensor) -> Maps:
        _, first, second, third = output.shape
        usual, last = self._fits(second, third), self._fits(first, second)
        if usual or last:
            self.grids.append((second, third) if usual else (first, second))
        if isinstance(module, SPATIAL):
            return MAPS
        if last and not usual:
            return MapsLast()
        return UNCLEAR if self.mixed and usual == last else MAPS

    def _of_tokens(self, output: Tensor) -> Maps:
        for height, width in reversed(self.grids):
            extra = output.shape[1] - height * width
            if height * width > 1 and 0 <= extra <= MOST_EXTRA:
                return Tokens(height=height, extra=extra)
        return self._of_merged(output.shape[1])

    def _of_merged(self, tokens: int) -> Maps:
        height, width = (side // 2 for side in self.grids[-1]) if self.grids else (0, 0)
        if not 1 < tokens == height * width:
            return UNCLEAR
        self.grids.append((height, width))
        return Tokens(height=height)

    def _fits(self, height: int, width: int) -> bool:
        """Whether a map of the image has these sides, to a position."""
        tall, wide = self.size
        return height <= tall and width <= wide and abs(height * wide - width * tall) < max(tall, wide)
