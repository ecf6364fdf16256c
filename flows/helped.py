"""Pieces of a night's steps that Dask workers do: what they leave in files, the steps find as their own.

Where the process of the night is alone, nothing is done here, and the steps do all of it themselves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from flows import steps
from flows.crew import crew
from flows.progress import step
from flows.scope import Errors, Scope
from inspection.evidence.blame import LayerProbe
from inspection.evidence.reproduced import Judged, held_of
from inspection.evidence.responses import Helpers
from inspection.evidence.subject import Subject, hand_over
from inspection.inputs.defect_log import CheckedImage, Decoding, DefectLog, Failure, LogReading, decode_some
from inspection.inputs.held import BATCH

OPERATIONS = 4  # measured coarsely in one piece


def handed_over(scope: Scope) -> Scope:
    """The same for workers, which do not open the store: a file holds the model and what is normal."""
    if not crew().has_workers:
        return scope
    with step("Learning what is normal", None) as advance:
        subject = scope.subject(advance)
    folder = subject.workspace.held_errors / f"{scope.night_id}-workers"
    hand_over(subject, folder / "model", subject.settings.spread.share)
    return replace(scope, registered=str(folder / "model"))


def decoding() -> Decoding | None:
    """How workers decode a log's images."""
    return _decode if crew().has_workers else None


def _decode(sources: Sequence[Path | str], how: LogReading) -> Iterator[CheckedImage | Failure]:
    kept_in = how.kept_in
    assert kept_in is not None, "a night holds the images of its log"
    file = kept_in.make_room(len(sources))
    pieces = (
        (sources[i : i + BATCH], i, file, kept_in.shape, how.images, how.copies)
        for i in range(0, len(sources), BATCH)
    )
    for done in crew().each(decode_some, pieces):
        yield from done


def judged(scope: Scope, subject: Subject, log: DefectLog) -> Iterator[Judged]:
    """Have workers ask the model for the rows of a log, whole batches at a time."""
    size, images = subject.settings.compute.batch_size, held_of(log)
    some = size * max(1, BATCH // size)
    pieces = (
        (scope, log.rows[i : i + some], images.part(slice(i, i + some)))
        for i in range(0, len(log.rows), some)
    )
    return crew().each(steps.judge_errors, pieces)


def measuring_coarsely(scope: Scope) -> Helpers | None:
    """How workers measure operations coarsely."""

    def measure(names: Sequence[str]) -> None:
        pieces = ((scope, names[i : i + OPERATIONS]) for i in range(0, len(names), OPERATIONS))
        for _ in crew().each(steps.measure_coarsely, pieces):
            pass

    return measure if crew().has_workers else None


def measuring_in_full(scope: Scope) -> Helpers | None:
    """How workers measure operations in full."""

    def measure(names: Sequence[str]) -> None:
        for _ in crew().each(steps.measure_in_full, ((scope, name) for name in names)):
            pass

    return measure if crew().has_workers else None


def make_pictures(modes: Sequence[tuple[Scope, LayerProbe, Errors]]) -> None:
    """Have workers invert the filters of all failure modes, in the batches in which one process would."""
    if not modes or not crew().has_workers:
        return
    shortlists = [*crew().each(steps.shortlist_filters, modes)]
    batches = crew().do(steps.plan_pictures, modes[0][0], shortlists)
    with step("Inverting filters", sum(map(len, batches))) as advance:
        pieces = ((modes[0][0], batch) for batch in batches)
        for batch, _ in zip(batches, crew().each(steps.invert_batch, pieces), strict=True):
            advance(len(batch))
