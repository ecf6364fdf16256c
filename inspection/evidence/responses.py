"""What every operation of the catalogue does to a model's filters: measured once, kept with the model."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fmi_engine.reference import measure_energies
from fmi_engine.response import ShiftPath
from fmi_engine.types import FloatArray
from inspection import tuning
from inspection.evidence.subject import Subject
from inspection.inputs.labelled import Labelled, evenly
from inspection.operations.catalogue import Change, Steps, find_operation, operations_for
from inspection.progress import Progress
from inspection.provenance import measured_by
from inspection.workspace.files import replacing
from inspection.workspace.lease import lease

MEASURING = (
    "inspection.operations",
    "fmi_engine.energy",
    "fmi_engine.probe",
    "fmi_engine.reference",
    "fmi_engine.texture",
    "inspection.evidence.look",
    "inspection.evidence.responses",
)  # modules that say what a response is


@dataclass(frozen=True, slots=True)
class Induced:
    """What a change does to the images that it makes fail: those are what a log holds.

    The parts of a class are not all alike, and a fault makes only some of them fail. Every image counts by
    how unsure of its class the model is when it is changed: 1 - p(class).
    """

    shift: FloatArray  # (filters + entries of the look,), in sigma: how far they move
    offset: FloatArray  # (filters + entries,), in sigma: how far from normal they are without it


ResponsePath = tuple[Sequence[float], Sequence[Induced]]  # measured strengths, and what each induces
ResponsePaths = Mapping[str, ResponsePath]


@dataclass(frozen=True, slots=True)
class Responses:
    """What every operation does to the filters of a model and to the look of its images, per class."""

    shifts: dict[str, FloatArray]  # operation -> (strengths, measured classes, filters), in sigma
    looks: dict[str, FloatArray]  # operation -> (strengths, measured classes, entries of the look), in sigma
    offsets: dict[str, FloatArray]  # operation -> (strengths, measured classes, filters + entries)
    classes: NDArray[np.bool_]  # (classes,): measured; of the others, perhaps a thousand, no row is kept
    positions: NDArray[np.int64]  # among the subject's correct images: those that were changed
    unchanged: FloatArray  # (positions, filters + entries of the look), in sigma: the same images as they are
    baseline: FloatArray  # (classes, filters + entries of the look), in sigma: errors without any change
    drawn: NDArray[np.int64]  # (images,), among the subject's labelled images: those of the next three
    references: FloatArray  # (images, filters + entries), in sigma: reference images, right and wrong
    labels: NDArray[np.int64]  # (images,) of them
    right: NDArray[np.bool_]  # (images,): the model classifies them correctly
    normal: FloatArray  # (classes, filters + entries): what is normal for each class, in sigma

    def of_filters(self, true: NDArray[np.int64]) -> dict[str, ShiftPath]:
        """The strengths and the filters' shifts of every operation, for errors of these true classes."""
        return {
            name: (find_operation(name).grid, self._mixed(rows, true)) for name, rows in self.shifts.items()
        }

    def of_looks(self, true: NDArray[np.int64]) -> dict[str, ShiftPath]:
        """The same for the look of the images."""
        return {
            name: (find_operation(name).grid, self._mixed(rows, true)) for name, rows in self.looks.items()
        }

    def of_offsets(self, true: NDArray[np.int64]) -> dict[str, list[FloatArray]]:
        """How far from normal the images are without a change that each strength of it makes fail."""
        return {name: self._mixed(rows, true) for name, rows in self.offsets.items()}

    def paths(self, true: NDArray[np.int64]) -> ResponsePaths:
        """Every operation's strengths and what they induce, for errors of these true classes."""
        looks, offsets = self.of_looks(true), self.of_offsets(true)
        return {
            name: (
                strengths,
                [
                    Induced(np.concatenate([filters, look]), offset)
                    for filters, look, offset in zip(shifts, looks[name][1], offsets[name], strict=True)
                ],
            )
            for name, (strengths, shifts) in self.of_filters(true).items()
        }

    def baseline_shift(self, true: NDArray[np.int64]) -> FloatArray:
        """The shift (filters + entries of the look,) of errors of these classes that no change caused."""
        return np.asarray(self.baseline[true].mean(0), np.float32)

    def _mixed(self, rows: FloatArray, true: NDArray[np.int64]) -> list[FloatArray]:
        counts = np.bincount(true, minlength=len(self.classes))[self.classes].astype(np.float32)
        weight = counts / counts.sum() if counts.sum() else np.full_like(counts, 1 / len(counts))
        return list(np.einsum("stf,t->sf", rows, weight).astype(np.float32))


def measure_responses(subject: Subject, progress: Progress = None) -> Responses:
    """Measure every operation of the catalogue on correct reference images, or read what was kept.

    The responses depend on the model, its references, the catalogue and the settings; a second night of
    the same model reads them from the model's folder. Every operation is kept as it is measured: a run that
    ends on the way goes on there. Of several processes one measures, and the others wait for it.
    """
    folder, name = subject.workspace.model_folder(subject.model.model_hash), _response_key(subject)
    path, unfinished = folder / f"responses-{name}.npz", folder / f"measuring-{name}"
    kept = _read_responses(path)
    if kept is not None and not unfinished.exists():
        return kept
    with lease(subject.workspace.leases, f"responses-{name}"):
        kept = _read_responses(path)
        if kept is None:
            kept = _measure(subject, unfinished, progress)
            _write_responses(path, kept)
        shutil.rmtree(unfinished, ignore_errors=True)
    return kept


def _measure(subject: Subject, unfinished: Path, progress: Progress) -> Responses:
    """Measure what the folder `unfinished` does not hold yet, and keep it there."""
    unfinished.mkdir(parents=True, exist_ok=True)
    count = subject.settings.matching.reference_images
    positions = evenly(subject.correct.labels, count)
    chosen = subject.correct.subset(positions)
    classes = np.isin(np.arange(len(subject.model.class_names)), chosen.labels)
    before, _ = standardised(subject, chosen.images, chosen.labels)
    filters = sum(layer.channels for layer in subject.layers)
    shifts, looks, offsets = {}, {}, {}
    for number, operation in enumerate(operations_for(subject.model.channels)):
        path = unfinished / f"{number}.npy"
        rows = _read_rows(path)
        if rows is None:
            rows = np.stack(
                [_induced(subject, chosen, before, operation.name, each, classes) for each in operation.grid]
            )
            with replacing(path, durable=False) as partial, partial.open("wb") as file:
                np.save(file, rows)
        if progress:
            progress(len(operation.grid))
        moved, offsets[operation.name] = rows[:, 0], rows[:, 1]
        shifts[operation.name], looks[operation.name] = moved[..., :filters], moved[..., filters:]
    drawn = evenly(subject.labelled.labels, tuning.REFERENCE_POOL)
    pool = subject.labelled.subset(drawn)
    references, _ = standardised(subject, pool.images, pool.labels)
    return Responses(
        shifts,
        looks,
        offsets,
        classes,
        positions,
        before,
        _baseline_errors(subject),
        drawn,
        references,
        pool.labels,
        subject.reference.correct[drawn],
        _normal(subject),
    )


def _read_rows(path: Path) -> FloatArray | None:
    """What was measured of one operation, or None where nothing was or the file is damaged."""
    try:
        rows: FloatArray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return rows


def _induced(
    subject: Subject,
    chosen: Labelled,
    before: FloatArray,
    operation: str,
    strength: float,
    classes: NDArray[np.bool_],
) -> FloatArray:
    """Shift and offset, (2, measured classes, filters + entries), of one operation at one strength."""
    after, failing = standardised(subject, Steps(((operation, strength),))(chosen.images), chosen.labels)
    return np.stack(
        [_by_class(values, chosen.labels, classes, failing)[classes] for values in (after - before, before)]
    )


def measure_change_of(
    subject: Subject,
    responses: Responses,
    change: Change,
    true: NDArray[np.int64],
) -> Induced:
    """What any change of images (n, height, width, channel) does, for errors of these true classes.

    Measured on the same reference images as the catalogue.
    """
    chosen = subject.correct.subset(responses.positions)
    after, failing = standardised(subject, change(chosen.images), chosen.labels)
    counts = np.bincount(true, minlength=len(subject.model.class_names)).astype(np.float32)
    counts = counts if counts[chosen.labels].any() else np.ones_like(counts)
    weight = counts[chosen.labels] * failing / np.bincount(chosen.labels, failing)[chosen.labels]
    weight /= weight.sum()
    shift = weight @ (after - responses.unchanged)
    return Induced(shift.astype(np.float32), (weight @ responses.unchanged).astype(np.float32))


def _baseline_errors(subject: Subject) -> FloatArray:
    """How the parts that the model gets wrong with no change on them differ from the normal, by class.

    Of every class the reference images that it gets wrong, or, where these are fewer than say what is normal
    for a class (`minimum_per_class`), those that it is least sure of. A class without reference images takes
    the mean of the others.
    """
    pool = subject.labelled
    probability = subject.classifier.predict(pool.images, subject.settings.compute.batch_size)
    own = np.eye(probability.shape[1], dtype=bool)[pool.labels]
    margin = np.where(own, -1, probability).max(1) - probability[own]
    fewest = subject.settings.reference.minimum_per_class
    classes_here = np.unique(pool.labels)
    chosen = np.concatenate([_hardest(margin, pool.labels == label, fewest) for label in classes_here])
    hard = pool.subset(chosen)
    classes = np.isin(np.arange(len(subject.model.class_names)), hard.labels)
    shifts, _ = standardised(subject, hard.images, hard.labels)
    rows = _by_class(shifts, hard.labels, classes)
    rows[~classes] = rows[classes].mean(0)
    return rows


def _hardest(margin: FloatArray, among: NDArray[np.bool_], fewest: int) -> NDArray[np.int64]:
    """Positions of the images with the highest margin: the wrong ones, and at least `fewest`."""
    ordered = np.flatnonzero(among)[np.argsort(-margin[among], kind="stable")]
    return ordered[: max(fewest, int((margin[among] > 0).sum()))]


def _by_class(
    shift: FloatArray,
    labels: NDArray[np.int64],
    classes: NDArray[np.bool_],
    weights: FloatArray | None = None,
) -> FloatArray:
    rows = np.zeros((len(classes), shift.shape[1]), np.float32)
    for label in np.flatnonzero(classes):
        mine = labels == label
        rows[label] = np.average(shift[mine], axis=0, weights=None if weights is None else weights[mine])
    return rows


def count_measurements(subject: Subject) -> int:
    """How many strengths `measure_responses` measures, for a progress bar."""
    return sum(len(operation.grid) for operation in operations_for(subject.model.channels))


def standardised(
    subject: Subject, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """How far images are from normal (images, filters + entries of the look), and how much each fails."""
    energy, _, logits = measure_energies(
        subject.classifier,
        subject.layer_names,
        images,
        subject.settings.compute.batch_size,
        with_spread=False,
    )
    rows = [subject.standardise(energy, labels), subject.looks.standardise(images, labels)]
    failing = 1 - softmax(logits, axis=1)[np.arange(len(labels)), labels] + tuning.RESOLUTION
    return np.concatenate(rows, axis=1), failing


def _response_key(subject: Subject) -> str:
    catalogue = [(op.name, op.grid, op.unit) for op in operations_for(subject.model.channels)]
    pool = subject.labelled
    constants = [tuning.REFERENCE_POOL, tuning.RESOLUTION, subject.settings.reference.minimum_per_class]
    constants += [tuning.DEFECT_WINDOW, tuning.DEFECT_QUIET, tuning.DEFECT_LOUD]
    held = hashlib.sha256(pool.images.tobytes() + pool.labels.tobytes()).hexdigest()
    settings = [subject.settings.matching.reference_images, subject.settings.compute.seed]
    text = json.dumps([measured_by(*MEASURING), catalogue, held, _normal_hash(subject), settings, constants])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _normal(subject: Subject) -> FloatArray:
    """What is normal for each class (classes, filters + entries of the look), in sigma."""
    layers = [subject.reference.layers[name] for name in subject.layer_names]
    parts = [layer.energy / layer.sigma for layer in layers]
    return np.concatenate([*parts, subject.looks.mean / subject.looks.sigma], axis=1).astype(np.float32)


def _normal_hash(subject: Subject) -> str:
    """The hash of what is normal, which also rests on the normalisation and on `minimum_per_class`."""
    layers = subject.reference.layers.values()
    parts = [part for layer in layers for part in (layer.energy, layer.sigma)]
    parts += [subject.looks.mean, subject.looks.sigma]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def _write_responses(path: Path, responses: Responses) -> None:
    arrays = {f"shift/{name}": rows for name, rows in responses.shifts.items()}
    arrays |= {f"look/{name}": rows for name, rows in responses.looks.items()}
    arrays |= {f"offsets/{name}": rows for name, rows in responses.offsets.items()}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            classes=responses.classes,
            positions=responses.positions,
            unchanged=responses.unchanged,
            baseline=responses.baseline,
            drawn=responses.drawn,
            references=responses.references,
            labels=responses.labels,
            right=responses.right,
            normal=responses.normal,
            **arrays,  # type: ignore[arg-type]  # NumPy's stub takes keyword arrays for its own flags
        )


def _read_responses(path: Path) -> Responses | None:
    """What was kept, or None where nothing was or the file is damaged: then it is measured again."""
    try:
        with path.open("rb") as file, np.load(file) as held:
            shifts, looks, offsets = (
                {name.removeprefix(kind): held[name] for name in held if name.startswith(kind)}
                for kind in ("shift/", "look/", "offsets/")
            )
            return Responses(
                shifts,
                looks,
                offsets,
                held["classes"],
                held["positions"],
                held["unchanged"],
                held["baseline"],
                held["drawn"],
                held["references"],
                held["labels"],
                held["right"],
                held["normal"],
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
