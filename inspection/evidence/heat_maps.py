"""Heat maps: where on an error the filter answers that is most to blame for it.

A map is kept as the filter has it, a few hundred bytes of grey levels; who shows it lays it over the image.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fmi_engine.probe import find_layer, truncated
from fmi_engine.types import FloatArray
from inspection.evidence.case import Case
from inspection.findings import LoggedError, night_of
from inspection.inputs.images import write_image
from inspection.progress import Progress

MOST = 500  # errors of a failure mode that get one, those with the largest margins: ten pages of pictures
SIDE = 64  # pixels of a map's longer side at most: 500 maps have 2 MB at most, whatever the layer


def which_get_one(logged: Sequence[LoggedError]) -> NDArray[np.int64]:
    """Positions of those errors of a failure mode that get a map: of many those with the largest margins."""
    margins = np.array([error.margin for error in logged])
    return np.sort(np.argsort(-margins, kind="stable")[:MOST])


def draw_heat_maps(
    case: Case, logged: Sequence[LoggedError], mode_id: str, layer: str, progress: Progress = None
) -> tuple[LoggedError, ...]:
    """Errors of a failure mode, in order, with the maps of the filters of a layer most to blame for each.

    Those for which no filter of the layer is to blame are as they were.
    """
    folder = case.subject.workspace.night_folder(night_of(mode_id)) / f"heat-{mode_id}"
    blame, drawn = case.screening.blame[layer], list(logged)
    rows = np.argsort(-case.screening.margin, kind="stable")
    rows = rows[blame[rows].max(1) > 0]
    size = case.subject.settings.compute.batch_size
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        channels = blame[batch].argmax(1)
        for i, channel, answer in zip(batch, channels, _answers(case, layer, batch, channels), strict=True):
            path = folder / f"{logged[i].row:06d}.png"
            write_image(path, in_grey(answer))
            where = case.subject.workspace.relative(path)
            drawn[i] = replace(logged[i], heat=where, heat_filter=f"{layer}:{channel}")
        if progress:
            progress(len(batch))
    return tuple(drawn)


def _answers(case: Case, layer: str, rows: NDArray[np.int64], channels: NDArray[np.int64]) -> FloatArray:
    """The map (errors, rows, columns) of one filter of a layer on each of some errors."""
    classifier, found = case.subject.classifier, find_layer(case.subject.layers, layer)
    with torch.no_grad(), truncated(classifier.network, found.name) as code:
        maps = code(classifier.prepare(case.images[rows])).cpu().numpy()
    return np.asarray(maps[np.arange(len(rows)), channels], np.float32)


def in_grey(answer: FloatArray) -> NDArray[np.uint8]:
    """A map (rows, columns) as grey levels: 0 is no answer, 255 the strongest; at most SIDE a side."""
    positive = np.maximum(answer, 0)
    longer = max(positive.shape)
    if longer > SIDE:
        height, width = (max(1, round(side * SIDE / longer)) for side in positive.shape)
        positive = cv2.resize(positive, (width, height), interpolation=cv2.INTER_AREA)
    most = float(positive.max())
    return np.asarray(np.rint(255 * positive / most) if most > 0 else np.zeros_like(positive), np.uint8)
