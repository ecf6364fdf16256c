"""Which errors of a defect log a night works on: those that the registered model reproduces."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inspection.evidence import mismatch
from inspection.evidence.subject import Subject
from inspection.findings import ErrorKind, LoggedError, RegisteredModel, SetAside
from inspection.inputs.defect_log import DefectLog, LogRow
from inspection.inputs.held import HeldErrors, HeldImages
from inspection.inputs.images import shrunk, write_image
from inspection.progress import Progress

THUMBNAIL = 96  # pixels, the longer side
OF_ANOTHER = (
    "logged as {label}, but model {model} says {predicted}: the row speaks of another model or another image"
)
"""Why an error that the model does not make again is set aside."""


@dataclass(frozen=True, slots=True)
class ReproducedErrors:
    """The errors a night works on, where they are held, and what was set aside."""

    errors: tuple[LoggedError, ...]
    held: HeldErrors  # in the same order
    true: NDArray[np.int64]  # (errors,), class index
    set_aside: tuple[SetAside, ...]
    notes: tuple[str, ...] = ()  # why many of them may not be made again

    @property
    def images(self) -> HeldImages:
        """Of the errors, in order."""
        return self.held.every


def reproduce_errors(
    subject: Subject, night_id: str, log: DefectLog, progress: Progress = None
) -> ReproducedErrors:
    """Keep the errors of a log, whose images are held, that the model makes again.

    A row whose error the model does not reproduce speaks of another model: it is set aside and counted. One
    batch of images is in memory at a time.
    """
    images, size = held_of(log), subject.settings.compute.batch_size
    batches = (
        (log.rows[i : i + size], images.part(slice(i, i + size))) for i in range(0, len(log.rows), size)
    )
    return put_together(subject, log, (judge(subject, night_id, *batch) for batch in batches), progress)


def held_of(log: DefectLog) -> HeldImages:
    """Where the images of a log's errors are held."""
    assert log.images is not None, "the images of the log's errors are held"
    return log.images


@dataclass(frozen=True, slots=True)
class Judged:
    """What the model says of some rows of a log, in order."""

    errors: list[LoggedError]  # that it makes again
    odd: list[SetAside]  # that it does not
    said: list[mismatch.Row]  # of every row
    again: NDArray[np.bool_]  # (rows,): which of them it makes again


def judge(subject: Subject, night_id: str, rows: Sequence[LogRow], images: HeldImages) -> Judged:
    """Ask the model for rows of a log; one batch of their images is in memory at a time."""
    judging, size = _Judging(subject, night_id), subject.settings.compute.batch_size
    again = [
        judging.take(rows[first : first + size], images[first : first + size])
        for first in range(0, len(rows), size)
    ]
    return Judged(judging.errors, judging.odd, judging.said, np.concatenate(again))


def put_together(
    subject: Subject, log: DefectLog, judged: Iterable[Judged], progress: Progress = None
) -> ReproducedErrors:
    """The errors of a log of those rows that were judged, in order; `progress` is told of each."""
    errors, odd, said, again = (
        list[LoggedError](),
        list(log.set_aside),
        list[mismatch.Row](),
        [np.zeros(0, bool)],
    )
    for part in judged:
        errors += part.errors
        odd += part.odd
        said += part.said
        again.append(part.again)
        if progress:
            progress(len(part.said))
    names = subject.classifier.class_names
    return ReproducedErrors(
        tuple(errors),
        HeldErrors(held_of(log).part(np.flatnonzero(np.concatenate(again)))),
        np.array([names.index(error.true_label) for error in errors], np.int64),
        tuple(odd),
        tuple(filter(None, [mismatch.reason(subject, said)])),
    )


@dataclass(frozen=True, slots=True)
class _Judging:
    """What the model says of the rows of a log, batch after batch."""

    subject: Subject
    night_id: str
    errors: list[LoggedError] = field(default_factory=list)
    odd: list[SetAside] = field(default_factory=list)  # that it does not make again
    said: list[mismatch.Row] = field(default_factory=list)  # of every row

    def take(self, rows: Sequence[LogRow], images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Judge a batch; returns which of its errors (errors,) the model makes again."""
        classifier = self.subject.classifier
        logits = classifier.logits(classifier.prepare(images)).cpu().numpy()
        return np.array([self._judge(*each) for each in zip(rows, images, logits, strict=True)], bool)

    def _judge(self, row: LogRow, image: NDArray[np.uint8], logits: NDArray[np.float32]) -> bool:
        workspace, model, names = (
            self.subject.workspace,
            self.subject.model,
            self.subject.classifier.class_names,
        )
        predicted = names[int(logits.argmax())]
        behind = float(logits.max() - logits[names.index(row.predicted_label)])
        self.said.append(mismatch.Row(row, predicted, behind))
        if predicted != row.predicted_label:
            self.odd.append(_not_reproduced(row, predicted, model))
            return False
        picture = workspace.night_folder(self.night_id) / "errors" / f"{row.row:06d}.png"
        write_image(picture, thumbnail(image))
        self.errors.append(_logged_error(row, model, names, logits, workspace.relative(picture)))
        return True


def _logged_error(
    row: LogRow, model: RegisteredModel, names: Sequence[str], logits: NDArray[np.float32], picture: str
) -> LoggedError:
    margin = logits[names.index(row.predicted_label)] - logits[names.index(row.true_label)]
    return LoggedError(
        row=row.row,
        inspection_id=row.inspection_id,
        image_path=str(row.image_path),
        true_label=row.true_label,
        predicted_label=row.predicted_label,
        kind=error_kind(row.true_label, row.predicted_label, model.good_classes),
        margin=float(margin),
        picture=picture,
        context=row.said,
    )


def error_kind(true_label: str, predicted_label: str, good_classes: Sequence[str]) -> ErrorKind:
    """Escape, overkill or confusion, by which of the two labels means a good part."""
    passed, good = predicted_label in good_classes, true_label in good_classes
    if passed == good:
        return ErrorKind.CONFUSION
    return ErrorKind.ESCAPE if passed else ErrorKind.OVERKILL


def _not_reproduced(row: LogRow, predicted: str, model: RegisteredModel) -> SetAside:
    return SetAside(
        row=row.row,
        reason="not_reproduced",
        detail=OF_ANOTHER.format(label=row.predicted_label, model=model.model_hash[:12], predicted=predicted),
        image_path=str(row.image_path),
    )


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image shrunk to at most 96 pixels on its longer side."""
    return shrunk(image, THUMBNAIL)
