"""Texture primitives of failing images: what the over-active blamed filters see on the errors themselves."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fmi_engine.cache import PrimitiveCache
from fmi_engine.inversion import Job, Run, invert
from fmi_engine.natural import Examples
from fmi_engine.presets import PRESETS
from fmi_engine.trust import fed_back
from fmi_engine.types import FilterRef, FloatArray, Inversion, Layer
from inspection.evidence.case import Case
from inspection.evidence.layer_facts import check_ablation

FILTERS = 4  # of one layer
PICTURES = 2  # of each filter, from two seeds
LEAST_GRID = 8  # positions across of a layer: what a coarser one sees is shape, and no texture
LEAST_RESPONSE = 0.5  # of the filter's shift on the errors that a picture of it has to reach, fed back


@dataclass(frozen=True, slots=True)
class FailingTextures:
    """Pictures of what filters see on failing images; none where no filter answers too much."""

    pictures: FloatArray = field(default_factory=lambda: np.zeros((0, 1, 1, 1), np.float32))
    """(pictures, height, width, channel), grey levels."""
    filters: tuple[str, ...] = ()  # behind each picture, as layer:channel


def failing_textures(case: Case) -> FailingTextures:
    """Invert the blamed filters that answer too much on the errors, from the crops that excite them most.

    Of the layer whose few weigh most: blame times the part of the observed shift that is above normal. Two
    things are asked of a picture before it is used: that right answers depend on its layer, and that, fed
    back, its filter is at least half as far above normal as on the errors. That it is the texture that made
    the model fail is for the errors that took no part to show.
    """
    found = _over_active(case)
    if found is None or not check_ablation(case.subject, found[0]).holds:
        return FailingTextures()
    layer, shifts = found
    pictures = _invert(case, layer, [*shifts])
    answers = fed_back(case.subject.classifier, layer.name, case.subject.reference, pictures)
    kept = [
        each
        for each, answer in zip(pictures, answers, strict=True)
        if answer[each.filter.channel] >= LEAST_RESPONSE * shifts[each.filter.channel]
    ]
    if not kept:
        return FailingTextures()
    grey = np.stack([each.image.transpose(1, 2, 0) for each in kept]) * np.float32(255)
    return FailingTextures(grey, tuple(str(each.filter) for each in kept))


def _over_active(case: Case) -> tuple[Layer, dict[int, float]] | None:
    """The layer, and how far above normal its filters that matter most are on the errors, in sigma."""
    weights = case.evidence.weights
    shift = np.maximum(case.observed[: len(weights)], 0)
    best: tuple[float, Layer, dict[int, float]] | None = None
    first = 0
    for layer in case.subject.layers:
        mine = slice(first, first + layer.channels)
        first += layer.channels
        if min(layer.height, layer.width) < LEAST_GRID:
            continue
        matter = weights[mine] * shift[mine]
        few = [int(each) for each in np.argsort(-matter, kind="stable")[:FILTERS] if matter[each] > 0]
        total = float(matter[few].sum())
        if few and (best is None or total > best[0]):
            best = total, layer, {each: float(shift[mine][each]) for each in few}
    return best[1:] if best else None


def _invert(case: Case, layer: Layer, channels: Sequence[int]) -> list[Inversion]:
    subject, images = case.subject, case.images[:]
    seed = subject.settings.compute.seed * PICTURES
    jobs = [Job(FilterRef(layer.name, k), 0, seed + i) for k in channels for i in range(PICTURES)]
    return invert(
        subject.classifier,
        jobs,
        images,
        PRESETS["texture"],
        subject.reference,
        Examples(images, {}),
        Run(cache=PrimitiveCache(subject.workspace.primitive_cache)),
    )
