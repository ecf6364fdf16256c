"""Which errors of a defect log a night works on: those that the registered model reproduces."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmi_engine.classifier import Classifier, Preprocessing
from inspection.errors import ImageError
from inspection.evidence import mismatch
from inspection.evidence.subject import Subject
from inspection.findings import ErrorKind, LoggedError, RegisteredModel, SetAside
from inspection.inputs.defect_log import DefectLog, LogRow, is_as_checked, why_not_read
from inspection.inputs.images import Reading, each_read, read_image, reading, shrunk, write_image
from inspection.progress import Progress

THUMBNAIL = 96  # pixels, the longer side


@dataclass(frozen=True, slots=True)
class ReproducedErrors:
    """The errors a night works on, their images in the same order, and what was set aside."""

    errors: tuple[LoggedError, ...]
    images: NDArray[np.uint8]  # (errors, height, width, channel)
    true: NDArray[np.int64]  # (errors,), class index
    set_aside: tuple[SetAside, ...]
    notes: tuple[str, ...] = ()  # why many of them may not be made again


def reproduce_errors(
    subject: Subject, night_id: str, log: DefectLog, progress: Progress = None
) -> ReproducedErrors:
    """Read and decode the log's images, once each, and keep the errors that the model makes again.

    A row whose error the model does not reproduce speaks of another model: it is set aside and counted. So is
    one whose image vanished or changed since the log was checked.
    """
    workspace, model, classifier = subject.workspace, subject.model, subject.classifier
    how = reading(subject.settings.images, model.bit_depth, model.prepared)
    read = tuple(_read(log.rows, classifier.preprocessing, how, progress))
    rows = [row for row, image in zip(log.rows, read, strict=True) if not isinstance(image, SetAside)]
    images = _stacked([image for image in read if not isinstance(image, SetAside)], classifier.preprocessing)
    logits = _logits(classifier, images, subject.settings.compute.batch_size)
    names = classifier.class_names
    errors, kept, odd = [], [], [image for image in read if isinstance(image, SetAside)]
    said = []
    for i, row in enumerate(rows):
        predicted = names[int(logits[i].argmax())]
        behind = float(logits[i].max() - logits[i, names.index(row.predicted_label)])
        said.append(mismatch.Row(row, predicted, behind))
        if predicted == row.predicted_label:
            picture = workspace.night_folder(night_id) / "errors" / f"{row.row:06d}.png"
            write_image(picture, thumbnail(images[i]))
            errors.append(_logged_error(row, model, names, logits[i], workspace.relative(picture)))
            kept.append(i)
        else:
            odd.append(_not_reproduced(row, predicted, model))
    return ReproducedErrors(
        tuple(errors),
        images[kept],
        np.array([names.index(error.true_label) for error in errors], np.int64),
        (*log.set_aside, *odd),
        tuple(filter(None, [mismatch.reason(subject, said)])),
    )


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


def _stacked(images: Sequence[NDArray[np.uint8]], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    none = np.zeros((0, preprocessing.height, preprocessing.width, preprocessing.channels), np.uint8)
    return np.stack(images) if images else none


def _logits(classifier: Classifier, images: NDArray[np.uint8], batch_size: int) -> NDArray[np.float32]:
    parts = [
        classifier.logits(classifier.prepare(images[i : i + batch_size])).cpu().numpy()
        for i in range(0, len(images), batch_size)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, len(classifier.class_names)), np.float32)


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
