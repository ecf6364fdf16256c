"""Which errors of a defect log a night works on: those that the registered model reproduces."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fmi_engine.classifier import Preprocessing
from inspection.errors import ImageError
from inspection.evidence import mismatch
from inspection.evidence.held import HeldErrors, HeldImages, hold
from inspection.evidence.subject import Subject
from inspection.findings import ErrorKind, LoggedError, RegisteredModel, SetAside
from inspection.inputs.defect_log import DefectLog, LogRow, is_as_checked, why_not_read
from inspection.inputs.images import Reading, each_read, read_image, reading, shrunk, write_image
from inspection.progress import Progress

THUMBNAIL = 96  # pixels, the longer side


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
        return self.held.images(np.arange(len(self.errors)))


def reproduce_errors(
    subject: Subject, night_id: str, log: DefectLog, progress: Progress = None
) -> ReproducedErrors:
    """Read and decode the log's images, once each, and hold the errors that the model makes again.

    A row whose error the model does not reproduce speaks of another model: it is set aside and counted. So is
    one whose image vanished or changed since the log was checked. One batch of images is in memory at a time.
    """
    model, p = subject.model, subject.classifier.preprocessing
    how = reading(subject.settings.images, model.bit_depth, model.prepared)
    read = zip(log.rows, _read(log.rows, p, how, progress), strict=True)
    judged, unread = _Judged(subject, night_id), list[SetAside]()
    with hold(subject.workspace, night_id, (p.height, p.width, p.channels)) as (held, file):
        for rows, images in _batches(read, unread, subject.settings.compute.batch_size):
            file.write(judged.take(rows, images).tobytes())
    names = subject.classifier.class_names
    return ReproducedErrors(
        tuple(judged.errors),
        held,
        np.array([names.index(error.true_label) for error in judged.errors], np.int64),
        (*log.set_aside, *unread, *judged.odd),
        tuple(filter(None, [mismatch.reason(subject, judged.said)])),
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """What the model says of the rows of a log, batch after batch."""

    subject: Subject
    night_id: str
    errors: list[LoggedError] = field(default_factory=list)
    odd: list[SetAside] = field(default_factory=list)  # that it does not make again
    said: list[mismatch.Row] = field(default_factory=list)  # of every row

    def take(self, rows: Sequence[LogRow], images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Judge a batch; returns the images of its errors that the model makes again."""
        classifier, kept = self.subject.classifier, np.zeros(len(rows), bool)
        logits = classifier.logits(classifier.prepare(images)).cpu().numpy()
        for i, row in enumerate(rows):
            kept[i] = self._judge(row, images[i], logits[i])
        return images[kept]

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


def _batches(
    read: Iterable[tuple[LogRow, NDArray[np.uint8] | SetAside]], unread: list[SetAside], size: int
) -> Iterator[tuple[list[LogRow], NDArray[np.uint8]]]:
    """Rows with their images, so many at a time; those that cannot be read are added to `unread`."""
    rows, images = list[LogRow](), list[NDArray[np.uint8]]()
    for row, image in read:
        if isinstance(image, SetAside):
            unread.append(image)
            continue
        rows.append(row)
        images.append(image)
        if len(rows) == size:
            yield rows, np.stack(images)
            rows, images = [], []
    if rows:
        yield rows, np.stack(images)


def _read(
    rows: Sequence[LogRow], preprocessing: Preprocessing, how: Reading, progress: Progress
) -> Iterator[NDArray[np.uint8] | SetAside]:
    """The images of the rows in the network's size, in order, or why one cannot be read any more."""
    size = (preprocessing.height, preprocessing.width)

    def read(row: LogRow) -> NDArray[np.uint8] | SetAside:
        try:
            image = read_image(row.image_path, size, preprocessing.channels, how)
            if is_as_checked(row):
                return image
            reason, detail = "hash_mismatch", f"{row.image_path}: the image is another one now"
        except (ImageError, OSError) as error:
            reason, detail = why_not_read(row.image_path, error)
        since = f"{detail}; the log was checked before that"
        return SetAside(row.row, reason, since, str(row.image_path))

    return each_read(read, rows, progress)


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
        detail=(
            f"logged as {row.predicted_label}, but model {model.model_hash[:12]} says {predicted}: "
            "the row speaks of another model or another image"
        ),
        image_path=str(row.image_path),
    )


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image shrunk to at most 96 pixels on its longer side."""
    return shrunk(image, THUMBNAIL)
