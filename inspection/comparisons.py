"""Errors beside reference images under the claimed cause: the proof that a person can look at."""

from functools import partial

import numpy as np

from fmi_engine.types import Screening
from inspection.admission import Admitted
from inspection.findings import Comparison, Diagnosis
from inspection.images import write_image
from inspection.lookalikes import Change, seek_lookalikes
from inspection.matching import gather
from inspection.responses import Responses, apply_steps
from inspection.subject import Subject
from inspection.textures import PARTS, measure_change, relive

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
    folder = subject.workspace.night_folder(night_id) / f"comparisons-{mode_id}"
    drawn = []
    for i, example in enumerate(lookalikes.examples(_cause(subject, errors, found), DRAWN)):
        pictures = (errors.images[example.error], example.reference, example.changed)
        paths = [folder / f"{i}-{name}.png" for name in ("error", "reference", "changed")]
        for path, picture in zip(paths, pictures, strict=True):
            write_image(path, np.ascontiguousarray(picture))
        error, reference, changed = map(subject.workspace.relative, paths)
        drawn.append(Comparison(error, reference, changed, example.distance))
    return tuple(drawn)


def _cause(subject: Subject, errors: Admitted, found: Diagnosis) -> Change:
    """The claimed cause as a change of images."""
    if found.measured_alone:
        change = measure_change(errors.images, errors.true, subject.correct)
        return partial(relive, change=change, parts=PARTS[str(found.measured)])
    named = found.pair or found.matches[:1]
    return partial(apply_steps, steps=[(each.operation, each.strength) for each in named])
