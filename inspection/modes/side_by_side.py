"""Errors beside reference images under the cause: the proof, or what speaks against it, to look at."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fmi_engine.types import FloatArray
from inspection.causes.diagnosis import change_of
from inspection.evidence.case import Case
from inspection.evidence.nearest import NearestExample
from inspection.evidence.shift import LITTLE
from inspection.findings import Comparison, Diagnosis, night_of
from inspection.inputs.images import write_image

RED = np.array([214, 39, 40], np.float32)
DRAWN = 4  # errors, spread from the nearest to the farthest


def compare(case: Case, mode_id: str, found: Diagnosis) -> tuple[Comparison, ...]:
    """Draw some errors of a failure mode into the night's folder.

    Each stands beside the reference image of its own class that is most like it once the cause is on it, or,
    where none is claimed, the operation that came nearest.
    """
    if not found.matches:
        return ()
    folder = case.subject.workspace.night_folder(night_of(mode_id)) / f"comparisons-{mode_id}"
    examples = case.nearest.examples(change_of(case, found), DRAWN)
    return tuple(_drawn(case, example, folder, i) for i, example in enumerate(examples))


def _drawn(case: Case, example: NearestExample, folder: Path, number: int) -> Comparison:
    error = case.images[case.examined[example.error]]
    most = float(example.before.max())
    pictures = {
        "error": error,
        "reference": example.reference,
        "changed": example.changed,
        "before": heated(error, example.before, most),
        "after": heated(error, example.after, most),
    }
    names = {}
    for name, picture in pictures.items():
        path = folder / f"{number}-{name}.png"
        write_image(path, np.ascontiguousarray(picture))
        names[name] = case.subject.workspace.relative(path)
    return Comparison(**names, distance=example.distance)


def heated(image: NDArray[np.uint8], apart: FloatArray, most: float) -> NDArray[np.uint8]:
    """An image (height, width, channel), grey, with what differs laid over it in red: (height, width, 3).

    `apart` (rows, columns) is as much as it differs, and `most` is drawn in full.
    """
    height, width = image.shape[:2]
    shares = cv2.resize(apart / max(most, LITTLE), (width, height), interpolation=cv2.INTER_LINEAR)
    opaque = np.clip(shares, 0, 1)[:, :, None]
    grey = np.repeat(image.mean(2, keepdims=True), 3, axis=2)
    return np.asarray(np.rint((1 - opaque) * grey + opaque * RED), np.uint8)
