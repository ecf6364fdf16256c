"""Why a model does not make the errors of its log again: the line may prepare images, or decide, otherwise.

A log is of another model, or the model was registered otherwise than it runs. The second is tried: the usual
ways of preparing an image, each on some rows, against what the log says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmi_engine.chance import as_uneven
from fmi_engine.classifier import Classifier
from inspection.errors import ImageError
from inspection.evidence.subject import Subject
from inspection.inputs.defect_log import LogRow
from inspection.inputs.fitting import Fitting
from inspection.inputs.images import each_read, read_image, reading
from inspection.inputs.labelled import sample

FEWEST = 5  # rows that the model does not make again: fewer need no reason
SHARE = 0.2  # of the rows that could be read: likewise
TRIED = 64  # rows on which other ways are tried
SIGNIFICANCE = 0.01  # of the exact McNemar test that another way says more of them as the log does
WORSE = 0.05  # of the same test that by another way fewer reference images are right
NEAR = 0.1  # quantile of the margins of reference images that the model has right: closer is near
WIDER = 256 / 224  # of the input: what torchvision's pictures are brought to before they are cropped


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the log, and what the model says of its image as the model was registered."""

    logged: LogRow
    predicted: str
    behind: float  # logits by which the logged class is behind the predicted one; 0 where it is that


def reason(subject: Subject, rows: Sequence[Row]) -> str:
    """What to tell of the rows that the model does not make again; empty where they are few."""
    odd = [row for row in rows if row.predicted != row.logged.predicted_label]
    if len(odd) < max(FEWEST, SHARE * len(rows)):
        return ""
    begins = f"{len(odd)} of {len(rows)} errors of the log are not made again by the model as registered."
    asked = [rows[i] for i in sample(len(rows), TRIED, subject.settings.compute.seed)]
    better = _better(subject, asked)
    if better:
        return f"{begins} {better}"
    closest = _near(subject)
    near = sum(row.behind < closest for row in odd)
    if 2 * near > len(odd):
        return (
            f"{begins} Of {near} the logged class is close behind: the likely reason is a threshold (fmi "
            "help decisions), images that the line prepares a little otherwise (fmi help preprocessing), or "
            "another version of the model"
        )
    return f"{begins} The log is of another model, or the order of --classes is another than the line's"


def _better(subject: Subject, asked: Sequence[Row]) -> str:
    """What another way of preparing the images makes of the rows, where it is beyond chance; else empty.

    Errors alone do not tell: of a model that sees worse some would be as the log says by any distortion. So
    the model must have as many of its reference images right by that way as by its own.
    """
    logged = [row.logged.predicted_label for row in asked]
    now = np.array([row.predicted == name for row, name in zip(asked, logged, strict=True)])
    ways = list(_ways(subject))
    found = _says(subject, [row.logged.image_path for row in asked], logged, ways)
    best = max(ways, key=lambda way: int(found[way].sum()))
    if not _beyond_chance(found[best], now, SIGNIFICANCE / len(ways)):
        return ""
    rows = sample(len(subject.labelled), TRIED, subject.settings.compute.seed)
    names = [subject.classifier.class_names[i] for i in subject.labelled.labels[rows]]
    known = _says(subject, [subject.paths[row] for row in rows], names, [best])[best]
    if _beyond_chance(subject.reference.correct[rows], known, WORSE):
        return ""
    return (
        f"Prepared by '{best}' it says what the log says of {int(found[best].sum())} of {len(asked)} rows, "
        f"as registered of {int(now.sum())}: if the line prepares images so, register the model again with "
        f'the same options and --preprocess "{best}"'
    )


def _beyond_chance(more: NDArray[np.bool_], fewer: NDArray[np.bool_], significance: float) -> bool:
    """Whether more of one than of the other are true: exact McNemar test."""
    won, lost = int((more & ~fewer).sum()), int((fewer & ~more).sum())
    return won > lost and as_uneven(won, lost) <= significance


def _ways(subject: Subject) -> Iterator[Fitting]:
    """The usual ways to prepare an image, but for the model's own."""
    own = Fitting.parse(subject.model.prepared)
    wider = round(min(subject.model.height, subject.model.width) * WIDER)
    ways = [Fitting("stretch"), Fitting("crop"), Fitting("crop", wider), Fitting("letterbox")]
    methods = ("", "linear", "pillow", "cubic")
    orders = (False, True) if subject.model.channels == 3 else (False,)
    for way in ways:
        for method in methods:
            for blue_first in orders:
                found = replace(way, method=method, blue_first=blue_first)
                if found != own:
                    yield found


def _says(
    subject: Subject, paths: Sequence[Path], names: Sequence[str], ways: Sequence[Fitting]
) -> dict[Fitting, NDArray[np.bool_]]:
    """By each way of preparing them: of which images the model says the name. Each file is read once."""
    model, known = subject.model, subject.classifier
    how = reading(subject.settings.images, model.bit_depth)
    size = (model.height, model.width)

    def read(path: Path) -> list[NDArray[np.uint8] | None]:
        try:
            image = read_image(path, None, model.channels, how)
        except (ImageError, OSError):  # gone since
            return [None] * len(ways)
        return [_fitted(image, size, way) for way in ways]

    images = list(zip(*each_read(read, paths), strict=True))
    asked = {}  # by the order of colours: one hashes all its weights
    for blue_first in {way.blue_first for way in ways}:
        preprocessing = replace(known.preprocessing, blue_first=blue_first)
        asked[blue_first] = Classifier(known.network, known.decision, preprocessing, known.device)
    size_of_batch = subject.settings.compute.batch_size
    return {
        way: _named(asked[way.blue_first], held, names, size_of_batch)
        for way, held in zip(ways, images, strict=True)
    }


def _fitted(image: NDArray[np.uint8], size: tuple[int, int], way: Fitting) -> NDArray[np.uint8] | None:
    try:
        return way(image, size)
    except ImageError:  # smaller than the crop
        return None


def _named(
    classifier: Classifier, images: Sequence[NDArray[np.uint8] | None], names: Sequence[str], batch_size: int
) -> NDArray[np.bool_]:
    """Of which images a classifier says the name; of those that are none it says nothing."""
    there = [i for i, image in enumerate(images) if image is not None]
    says = np.zeros(len(images), bool)
    if there:
        held = np.stack([image for image in images if image is not None])
        answers = classifier.predict(held, batch_size).argmax(1)
        says[there] = [classifier.class_names[a] == names[i] for a, i in zip(answers, there, strict=True)]
    return says


def _near(subject: Subject) -> float:
    """Logits: a margin that is less than those of most reference images that the model has right."""
    correct = subject.correct
    size = subject.settings.compute.batch_size
    likely = np.log(np.maximum(subject.classifier.predict(correct.images, size), np.finfo(np.float32).tiny))
    own = np.eye(likely.shape[1], dtype=bool)[correct.labels]
    return float(np.quantile(likely[own] - np.where(own, -np.inf, likely).max(1), NEAR))
