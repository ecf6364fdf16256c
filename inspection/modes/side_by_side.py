"""Errors beside reference images under the cause: the proof, or what speaks against it, to look at."""

from pathlib import Path

import numpy as np

from inspection.causes.diagnosis import change_of
from inspection.evidence.case import Case
from inspection.evidence.nearest import NearestExample
from inspection.findings import Comparison, Diagnosis, night_of
from inspection.inputs.heat import heated
from inspection.inputs.images import write_image

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
    (error,) = case.images[case.examined[[example.error]]]
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
