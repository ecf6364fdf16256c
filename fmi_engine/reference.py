"""What is normal: the energies of correctly classified reference images, per class and layer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from fmi_engine.classifier import Classifier
from fmi_engine.energy import energies, spreads
from fmi_engine.errors import TooFewReferencesError
from fmi_engine.probe import measured
from fmi_engine.types import FloatArray, Layer

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]  # images (n, height, width, channel), class indices
DEAD = 1e-3  # of the median spread of its layer: a filter whose maps vary less is dead
SIGMA_FLOOR = 0.05  # of the layer's median sigma: a filter that never varies must not divide by nothing


@dataclass(frozen=True, slots=True)
class LayerReference:
    """The normal energies of one layer."""

    energy: FloatArray  # (classes, channels): mu, mean energy
    spread: FloatArray  # (classes, channels): sd, mean spread
    sigma: FloatArray  # (channels,): spread of energies between images of one class

    @property
    def varies(self) -> FloatArray:
        """How much the maps of each filter vary (channels,): the largest mean spread of a class."""
        return np.asarray(self.spread.max(0))

    @property
    def dead_below(self) -> float:
        """The spread at or below which a filter is dead."""
        return DEAD * max(float(np.median(self.varies)), 1e-12)

    @property
    def live(self) -> NDArray[np.bool_]:
        """Which filters are alive (channels,): their maps vary on the images of some class."""
        return np.asarray(self.varies > self.dead_below)


@dataclass(frozen=True, slots=True)
class Reference:
    """The normal energies of every layer, and how many correct images of each class they rest on."""

    layers: Mapping[str, LayerReference]
    counts: NDArray[np.int64]  # (classes,)
    correct: NDArray[np.bool_] = field(  # (images,): which of those given it rests on, in their order
        default_factory=lambda: np.zeros(0, bool)
    )
    ahead: FloatArray = field(  # (images,): by how much another decision is likelier than the right one
        default_factory=lambda: np.zeros(0, np.float32)
    )

    def standardise(self, layer: str, energy: FloatArray, true: NDArray[np.int64]) -> FloatArray:
        """The energy shift (images, channels) of images against their true class, in sigma."""
        normal = self.layers[layer]
        return np.asarray((energy - normal.energy[true]) / normal.sigma, np.float32)


def measure_energies(
    classifier: Classifier,
    layers: Sequence[str],
    images: NDArray[np.uint8],
    batch_size: int = 32,
    *,
    with_spread: bool = True,
) -> tuple[dict[str, FloatArray], dict[str, FloatArray], FloatArray]:
    """Energies and spreads (images, channels) by layer, and the logits (images, classes).

    Spreads take a quarter of the time; without them their dictionary is empty.
    """
    energy, spread, logits = dict[str, FloatArray](), dict[str, FloatArray](), dict[str, FloatArray]()
    statistics = (energies, spreads) if with_spread else (energies,)
    with measured(classifier.network, layers, lambda code: [each(code) for each in statistics]) as found:
        for i in range(0, len(images), batch_size):
            rows = slice(i, i + batch_size)
            answers = classifier.logits(classifier.prepare(images[rows]))
            _put(logits, "", answers, rows, len(images))
            for name in layers:
                for kept, values in zip((energy, spread), found[name], strict=False):
                    _put(kept, name, values, rows, len(images))
    return energy, spread, logits[""]


def _put(kept: dict[str, FloatArray], name: str, values: torch.Tensor, rows: slice, count: int) -> None:
    """Put a batch's values (batch, columns) in their rows of the array of that name, of `count` rows.

    In place: small arrays that stay among the large ones of a pass keep these from being used again.
    ResNet-18, 64 pixels, 1,000 classes: the process grew by 0.15 GB for every 1,000 images, now by nothing.
    """
    if name not in kept:
        kept[name] = np.empty((count, *values.shape[1:]), np.float32)
    kept[name][rows] = values.cpu().numpy()


def build_reference(
    classifier: Classifier,
    layers: Sequence[Layer],
    batches: Iterable[Batch],
    minimum_per_class: int = 8,
    progress: Callable[[int], None] | None = None,
) -> Reference:
    """Measure the energies of the correctly classified images of `batches`.

    A class with fewer than `minimum_per_class` correct images takes the mean over all classes, weighted
    by their images. Raises TooFewReferencesError where fewer than that many are correct in all.
    """
    names = [layer.name for layer in layers]
    energy: dict[str, list[FloatArray]] = {name: [] for name in names}
    spread: dict[str, list[FloatArray]] = {name: [] for name in names}
    classes: list[NDArray[np.int64]] = []
    rights: list[NDArray[np.bool_]] = []
    aheads: list[FloatArray] = []
    for images, labels in batches:
        batch_energy, batch_spread, logits = measure_energies(classifier, names, images, len(images))
        # By the likeliest class: a part that is left to a person may be as normal as any.
        correct = logits[:, : len(classifier.decision.classes)].argmax(1) == labels
        classes.append(labels[correct])
        rights.append(correct)
        aheads.append(_ahead(softmax(logits, axis=1), labels))
        for name in names:
            energy[name].append(batch_energy[name][correct])
            spread[name].append(batch_spread[name][correct])
        if progress:
            progress(len(images))
    true = np.concatenate(classes) if classes else np.zeros(0, np.int64)
    _check_enough(len(true), minimum_per_class)
    return Reference(
        {
            name: summarise(
                np.concatenate(energy[name]),
                np.concatenate(spread[name]),
                true,
                len(classifier.decision.classes),
                minimum_per_class,
            )
            for name in names
        },
        np.bincount(true, minlength=len(classifier.decision.classes)),
        np.concatenate(rights),
        np.concatenate(aheads),
    )


def _ahead(probability: FloatArray, labels: NDArray[np.int64]) -> FloatArray:
    """By how much the likeliest other decision is likelier (images,) than the right one; below 0: less."""
    own = np.eye(probability.shape[1], dtype=bool)[labels]
    return np.asarray(np.where(own, -1, probability).max(1) - probability[own], np.float32)


def _check_enough(correct: int, minimum: int) -> None:
    if correct < minimum:
        raise TooFewReferencesError(
            f"{correct} reference images are classified correctly; at least {minimum} are needed. "
            "Check that class names, input size and normalisation are those the model was trained with."
        )


def summarise(
    energy: FloatArray, spread: FloatArray, true: NDArray[np.int64], classes: int, minimum: int
) -> LayerReference:
    """Mean energy and spread by class, and sigma: the root of the mean within-class variance."""
    mu = np.repeat(energy.mean(0, keepdims=True), classes, 0)
    sd = np.repeat(spread.mean(0, keepdims=True), classes, 0)
    variances = []
    for label in range(classes):
        mine = true == label
        if mine.sum() >= minimum:
            mu[label], sd[label] = energy[mine].mean(0), spread[mine].mean(0)
            variances.append(energy[mine].var(0))
    sigma = np.sqrt(np.mean(variances or [energy.var(0)], axis=0))
    floor = SIGMA_FLOOR * float(np.median(sigma[sigma > 0])) if (sigma > 0).any() else 1.0
    return LayerReference(
        mu.astype(np.float32), sd.astype(np.float32), np.maximum(sigma, floor).astype(np.float32)
    )
