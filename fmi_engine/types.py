"""The engine's frozen records, in NumPy: importable without torch."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fmi_engine.errors import UnknownLayerError

ABLATION_SIGNIFICANCE = 0.01  # of a p-value: below it, chance is ruled out
FloatArray = NDArray[np.float32]
Layout = Literal["source", "shuffled", "constant"]
"""Where a target's energy lies: as in the source image, permuted, or spread evenly."""


class Images(Protocol):
    """8-bit images (images, height, width, channel): an array, or what reads some of them where asked."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: slice | NDArray[np.int64], /) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, slots=True, order=True)
class FilterRef:
    """One filter: a layer by its dotted module name and a channel of its output."""

    layer: str
    channel: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.channel}"

    @classmethod
    def parse(cls, text: str) -> "FilterRef":
        """Read the shorthand `layer:channel`. Raises UnknownLayerError where it is no such thing."""
        layer, _, channel = text.rpartition(":")
        if not layer or not channel.isdecimal():
            raise UnknownLayerError(f"{text!r} is no filter; expected layer:channel, for example layer2:17")
        return cls(layer, int(channel))


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer whose output is a code: maps of positions by filter."""

    name: str  # dotted module name
    channels: int
    height: int  # positions
    width: int  # positions
    nonnegative: bool  # post-ReLU: an energy patch is cut at zero


@dataclass(frozen=True, slots=True)
class Screening:
    """The first-order blame of every filter for each error, one forward and one backward per batch."""

    blame: dict[str, FloatArray]  # layer -> (errors, channels), logits
    energy: dict[str, FloatArray]  # layer -> (errors, channels)
    margin: FloatArray  # (errors,), logits, predicted minus true
    predicted: NDArray[np.int64]  # (errors,), class index
    true: NDArray[np.int64]  # (errors,), class index

    def subset(self, index: NDArray[np.int64]) -> "Screening":
        """The screening of some of the errors, by position."""
        return Screening(
            {layer: values[index] for layer, values in self.blame.items()},
            {layer: values[index] for layer, values in self.energy.items()},
            self.margin[index],
            self.predicted[index],
            self.true[index],
        )


@dataclass(frozen=True, slots=True)
class Verification:
    """What exact energy patches of one layer achieve for a group of errors, with both controls."""

    layer: str
    filters: tuple[int, ...]  # the K most blamed, most blamed first
    flips: NDArray[np.bool_]  # (errors,): turned right by the blame patch
    deviation_flips: NDArray[np.bool_]  # (errors,): by the K most deviating filters
    random_flips: FloatArray  # (errors,): share of the random draws that turned it right
    margin_fall: FloatArray  # (errors,), logits
    collateral: float  # share of correct images that the blame patch breaks

    @property
    def flip_rate(self) -> float:
        """Share of the errors that the blame patch turns right."""
        return float(self.flips.mean())

    @property
    def deviation_rate(self) -> float:
        """The same for the K most deviating filters."""
        return float(self.deviation_flips.mean())

    @property
    def random_rate(self) -> float:
        """The same for K filters drawn at random, mean over draws."""
        return float(self.random_flips.mean())


@dataclass(frozen=True, slots=True)
class Inversion:
    """The outcome of one descent: an image whose code approaches a target."""

    filter: FilterRef
    source: int  # position of the source image
    seed: int
    image: FloatArray  # (channels, height, width), 0 to 1
    residual: float  # ||code - target||^2 / ||target||^2
    layout: Layout = "source"


class TrustPart(StrEnum):
    """A part of the trust test, in the order in which they are judged."""

    ABLATION = "ablation"  # the network's right answers need the layer's codes
    ALIVE = "alive"  # the filter's maps vary on the reference images
    RANK = "rank"  # fed back, the filter leads its layer
    ENERGY = "energy"  # fed back, the filter is above normal
    AGREEMENT = "agreement"  # its pictures resemble each other
    LAYOUT = "layout"  # so do those from shuffled and constant maps
    READABLE = "readable"  # somebody who sees its pictures knows the real crops that excite the filter
    COPY = "copy"  # it is like no place of a real image


@dataclass(frozen=True, slots=True)
class Failure:
    """A part of the trust test that a primitive fails: what was found, and the bound that it misses.

    A p-value (ablation), the largest spread of the filter's maps over the classes (alive), a rank, an
    energy in sigma, an AUROC (agreement, layout, readable), or a correlation (copy); agreement and readable
    are NaN where there is nothing to compare.
    """

    part: TrustPart
    found: float
    needed: float


@dataclass(frozen=True, slots=True)
class AblationCheck:
    """How many right answers a network keeps when the codes of one layer are exchanged between images."""

    layer: str
    images: int
    right: int
    exchanged: int  # right with the code of another image
    p_value: float  # that the exchange costs no right answers, one-sided
    guessed: int  # right where the most frequent class is always answered
    guess_p_value: float  # that the network is right no oftener than that, one-sided

    @property
    def chance(self) -> float:
        """The larger of the two p-values."""
        return max(self.p_value, self.guess_p_value)

    @property
    def holds(self) -> bool:
        """Whether there are right answers that guessing does not give, and they depend on the layer."""
        return self.chance < ABLATION_SIGNIFICANCE


@dataclass(frozen=True, slots=True)
class Readable:
    """How surely an observer tells the real crops that excite a filter from those that excite others.

    Both are AUROCs over real crops of images that took no part in making the pictures: 0.5 is chance.
    """

    auroc: float  # where the filter's primitives are shown
    ceiling: float  # where as many other real crops of the filter are shown in their place
    chance: float = 0.5  # that pictures which tell nothing exceed in one of twenty filters

    @property
    def needed(self) -> float:
        """What the primitives have to exceed: half the way to the ceiling, and what chance reaches."""
        return max(self.chance, (0.5 + self.ceiling) / 2)

    @property
    def share(self) -> float:
        """The share of the way from chance to the ceiling; NaN where real crops tell nothing either."""
        way = self.ceiling - 0.5
        return (self.auroc - 0.5) / way if way > 0 else float("nan")


@dataclass(frozen=True, slots=True)
class Trust:
    """The trust test of one texture primitive; `reasons` (of wording.py) puts what failed into words."""

    rank: int  # of the filter's standardised energy within its layer when fed back; 1 is best
    channels: int  # of the layer, among which it ranks
    energy: float  # that energy, in sigma
    residual: float
    agreement: float  # AUROC: nearer to primitives of the same filter than to those of others
    failed: tuple[Failure, ...] = ()  # in the order of the parts
    layout: float | None = None  # AUROC of its pictures from shuffled and constant maps; None: not made
    ablation: AblationCheck | None = None  # of the layer; None: not made
    readable: Readable | None = None  # of all pictures of the filter; None: there was no jury
    copy: float | None = None  # highest correlation with a place of a real image; None: likewise

    @property
    def trusted(self) -> bool:
        """Whether every part passed."""
        return not self.failed

    def fails(self, part: TrustPart) -> bool:
        """Whether this part is among those that failed."""
        return any(each.part is part for each in self.failed)


@dataclass(frozen=True, slots=True)
class Match:
    """An operation at the strength that explains most of an observed shift."""

    operation: str
    strength: float
    share: float  # explained share, at most 1
