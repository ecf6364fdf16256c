"""Errors beside reference images under the claimed cause: the proof that a person can look at."""

import numpy as np

from fmi_engine.types import Screening
from inspection.causes.diagnosis import change_of
from inspection.causes.lookalikes import seek_lookalikes
from inspection.evidence.reproduced import Admitted
from inspection.evidence.responses import Responses
from inspection.evidence.shift import gather
from inspection.evidence.subject import Subject
from inspection.findings import Comparison, Diagnosis
from inspection.inputs.images import write_image

DRAWN = 4  # errors, spread from the nearest to the farthest


def compare(
    subject: Subject,
    night_id: str,
    mode_id: str,
    screening: Screening,
    errors: Admitted,
    found: Diagnosis,
    responses: Responses,
) -> tuple[Comparison, ...]:
    """Draw some errors of a failure mode into the night's folder, where a cause is claimed.

    Each stands beside the reference image of its own class that is most like it once the cause is on it.
    """
    if not found.claimed:
        return ()
    evidence = gather(subject, screening, errors.images)
    lookalikes = seek_lookalikes(subject, screening, errors.images, responses, evidence)
    change = change_of(subject, errors.images, errors.true, found)
    folder = subject.workspace.night_folder(night_id) / f"comparisons-{mode_id}"
    drawn = []
    for i, example in enumerate(lookalikes.examples(change, DRAWN)):
        pictures = (errors.images[example.error], example.reference, example.changed)
        paths = [folder / f"{i}-{name}.png" for name in ("error", "reference", "changed")]
        for path, picture in zip(paths, pictures, strict=True):
            write_image(path, np.ascontiguousarray(picture))
        error, reference, changed = map(subject.workspace.relative, paths)
        drawn.append(Comparison(error, reference, changed, example.distance))
    return tuple(drawn)
