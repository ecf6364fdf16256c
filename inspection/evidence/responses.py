"""What operations do to a model's filters: every one coarsely, those near a night's errors in full.

What was measured is kept with the model. What a night says rests on its own errors and on nothing that other
nights left: whatever is kept, the same operations are taken as measured in full.
"""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fmi_engine.reference import measure_energies
from fmi_engine.types import FloatArray
from inspection import tuning
from inspection.evidence.subject import Subject
from inspection.inputs.labelled import Labelled, evenly
from inspection.operations.catalogue import Change, Steps, find_operation, operations_for
from inspection.operations.operation import Operation
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


Helpers = Callable[[Sequence[str]], None]
"""Have other processes measure operations; what they keep is read."""
ResponsePath = tuple[Sequence[float], Sequence[Induced]]  # measured strengths, and what each induces
ResponsePaths = Mapping[str, ResponsePath]


@dataclass(frozen=True, slots=True)
class Response:
    """What one operation does to the filters of a model and to the look of its images, per class."""

    strengths: tuple[float, ...]  # measured, ascending
    classes: NDArray[np.bool_]  # (classes,): measured; of the others, perhaps a thousand, no row is kept
    shifts: FloatArray  # (strengths, measured classes, filters + entries of the look), in sigma
    offsets: FloatArray  # the same shape: how far from normal those images are without it that it makes fail

    def path(self, true: NDArray[np.int64]) -> ResponsePath:
        """Its strengths and what they induce, for errors of these true classes."""
        counts = np.bincount(true, minlength=len(self.classes))[self.classes].astype(np.float32)
        weight = counts / counts.sum() if counts.sum() else np.full_like(counts, 1 / len(counts))
        shifts, offsets = (
            np.einsum("stf,t->sf", rows, weight).astype(np.float32) for rows in (self.shifts, self.offsets)
        )
        return self.strengths, [Induced(*each) for each in zip(shifts, offsets, strict=True)]


@dataclass(frozen=True, slots=True)
class Responses:
    """What every operation does, measured coarsely, and the images on which it is measured.

    Whichever comes near the errors of a night is measured in full, by `measure_in_full`.
    """

    name: str  # tells them from those of other images, settings, operations and software
    coarse: Mapping[str, Response]  # operation -> at few strengths, on few of the images
    positions: NDArray[np.int64]  # among the subject's correct images: those that are changed
    unchanged: FloatArray  # (positions, filters + entries of the look), in sigma: the same images as they are
    baseline: FloatArray  # (classes, filters + entries of the look), in sigma: errors without any change
    drawn: NDArray[np.int64]  # (images,), among the subject's labelled images: those of the next three
    references: FloatArray  # (images, filters + entries), in sigma: reference images, right and wrong
    labels: NDArray[np.int64]  # (images,) of them
    right: NDArray[np.bool_]  # (images,): the model classifies them correctly
    normal: FloatArray  # (classes, filters + entries): what is normal for each class, in sigma

    def paths(self, true: NDArray[np.int64]) -> ResponsePaths:
        """Every operation's strengths and what they induce, for errors of these true classes, coarsely."""
        return {name: response.path(true) for name, response in self.coarse.items()}

    def baseline_shift(self, true: NDArray[np.int64]) -> FloatArray:
        """The shift (filters + entries of the look,) of errors of these classes that no change caused."""
        return np.asarray(self.baseline[true].mean(0), np.float32)


# --- coarsely, once for a model ---


def measure_responses(
    subject: Subject, progress: Progress = None, helpers: Helpers | None = None
) -> Responses:
    """Measure every operation of the catalogue coarsely on correct reference images, or read what was kept.

    The responses depend on the model, its references, the catalogue and the settings; a second night of
    the same model reads them from the model's folder. Every operation is kept as it is measured: a run that
    ends on the way goes on there. Of several processes one measures, and the others wait for it. `helpers`
    are given the operations that are not kept before this process measures what they leave.
    """
    folder, name = subject.workspace.model_folder(subject.model.model_hash), _response_key(subject)
    path, unfinished = folder / f"responses-{name}.npz", folder / f"measuring-{name}"
    kept = _read_responses(path, name)
    if kept is not None and not unfinished.exists():
        return kept
    with lease(subject.workspace.leases, f"responses-{name}"):
        kept = _read_responses(path, name)
        if kept is None:
            unfinished.mkdir(parents=True, exist_ok=True)
            if helpers:
                helpers(_not_kept(subject, unfinished))
            kept = _measure(subject, name, unfinished, progress)
            _write_responses(path, kept)
        shutil.rmtree(unfinished, ignore_errors=True)
    return kept


def coarse_strengths(operation: Operation) -> tuple[float, ...]:
    """The strengths at which an operation is measured coarsely: the second, or the first of two; the last."""
    grid = operation.grid
    return tuple(dict.fromkeys((grid[len(grid) > 2], grid[-1])))


def count_measurements(subject: Subject) -> int:
    """How many strengths `measure_responses` measures, for a progress bar."""
    return sum(len(coarse_strengths(operation)) for operation in operations_for(subject.model.channels))


def help_coarsely(subject: Subject, operations: Sequence[str]) -> None:
    """Measure some operations coarsely, as a helper of the process that runs `measure_responses`."""
    folder = subject.workspace.model_folder(subject.model.model_hash)
    unfinished, chosen = folder / f"measuring-{_response_key(subject)}", _Chosen.of(subject)
    for number, operation in enumerate(operations_for(subject.model.channels)):
        if operation.name in operations:
            path = unfinished / f"{number}.npy"
            chosen.few.kept(path, operation.name, coarse_strengths(operation))


def _not_kept(subject: Subject, unfinished: Path) -> list[str]:
    """The operations that the folder `unfinished` does not hold yet."""
    numbered = enumerate(operations_for(subject.model.channels))
    return [each.name for number, each in numbered if _read_rows(unfinished / f"{number}.npy") is None]


def _measure(subject: Subject, name: str, unfinished: Path, progress: Progress) -> Responses:
    """Measure what the folder `unfinished` does not hold yet, and keep it there."""
    chosen = _Chosen.of(subject)
    coarse = {}
    for number, operation in enumerate(operations_for(subject.model.channels)):
        strengths = coarse_strengths(operation)
        rows = chosen.few.kept(unfinished / f"{number}.npy", operation.name, strengths)
        coarse[operation.name] = chosen.few.response(strengths, rows)
        if progress:
            progress(len(strengths))
    drawn = evenly(subject.labelled.labels, tuning.REFERENCE_POOL)
    pool = subject.labelled.subset(drawn)
    references, _ = standardised(subject, pool.images, pool.labels)
    return Responses(
        name,
        coarse,
        chosen.positions,
        chosen.before,
        _baseline_errors(subject),
        drawn,
        references,
        pool.labels,
        subject.reference.correct[drawn],
        _normal(subject),
    )


# --- in full, where an operation comes near the errors ---


def measure_in_full(
    subject: Subject, responses: Responses, operation: str, progress: Progress = None
) -> Response:
    """Measure one operation at every strength of its grid on all images chosen, or read what was kept.

    It is kept with the model, for every night of it. What is measured does not depend on what is kept.
    """
    grid, changed = find_operation(operation).grid, _in_full(subject, responses)
    folder = _folder_in_full(subject, responses)
    path = folder / f"{operation}.npy"
    rows = _read_rows(path)
    if rows is None:
        with lease(subject.workspace.leases, f"responses-{responses.name}"):
            folder.mkdir(parents=True, exist_ok=True)
            rows = changed.kept(path, operation, grid, durable=True)
        if progress:
            progress(len(grid))
    return changed.response(grid, rows)


def left_to_measure(subject: Subject, responses: Responses, operations: Iterable[str]) -> list[str]:
    """Those of some operations that `measure_in_full` would measure."""
    folder = _folder_in_full(subject, responses)
    return [name for name in operations if _read_rows(folder / f"{name}.npy") is None]


def help_in_full(subject: Subject, responses: Responses, operation: str) -> None:
    """Measure one operation in full, as a helper of the process that runs `measure_in_full`."""
    folder = _folder_in_full(subject, responses)
    folder.mkdir(parents=True, exist_ok=True)
    grid, path = find_operation(operation).grid, folder / f"{operation}.npy"
    _in_full(subject, responses).kept(path, operation, grid, durable=True)


def _in_full(subject: Subject, responses: Responses) -> "_Changed":
    chosen = subject.correct.subset(responses.positions)
    return _Changed(subject, chosen, responses.unchanged)


def _folder_in_full(subject: Subject, responses: Responses) -> Path:
    """Where it is kept what was measured in full."""
    return subject.workspace.model_folder(subject.model.model_hash) / f"in-full-{responses.name}"


# --- one operation at one strength ---


@dataclass(frozen=True, slots=True)
class _Changed:
    """Correct reference images that operations are to change."""

    subject: Subject
    chosen: Labelled
    before: FloatArray  # (images, filters + entries of the look), in sigma, as they are

    @property
    def classes(self) -> NDArray[np.bool_]:
        """Which classes they stand for (classes,)."""
        return np.isin(np.arange(len(self.subject.model.class_names)), self.chosen.labels)

    def kept(
        self, path: Path, operation: str, strengths: Sequence[float], *, durable: bool = False
    ) -> FloatArray:
        """Shifts and offsets (strengths, 2, measured classes, filters + entries): read, or measured."""
        rows = _read_rows(path)
        if rows is None:
            rows = np.stack([self._induced(operation, strength) for strength in strengths])
            with replacing(path, durable=durable) as partial, partial.open("wb") as file:
                np.save(file, rows)
        return rows

    def response(self, strengths: tuple[float, ...], rows: FloatArray) -> Response:
        """What was measured of an operation at these strengths."""
        return Response(strengths, self.classes, rows[:, 0], rows[:, 1])

    def _induced(self, operation: str, strength: float) -> FloatArray:
        """Shift and offset (2, measured classes, filters + entries) of one operation at one strength."""
        chosen, classes = self.chosen, self.classes
        images = Steps(((operation, strength),))(chosen.images)
        after, failing = standardised(self.subject, images, chosen.labels)
        return np.stack(
            [
                _by_class(values, chosen.labels, classes, failing)[classes]
                for values in (after - self.before, self.before)
            ]
        )


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The reference images on which operations are measured: those in full, and of these a few."""

    positions: NDArray[np.int64]  # among the subject's correct images
    before: FloatArray  # (positions, filters + entries of the look), in sigma, as they are
    few: _Changed

    @classmethod
    def of(cls, subject: Subject) -> "_Chosen":
        """Choose them, evenly over the classes."""
        positions = evenly(subject.correct.labels, subject.settings.matching.reference_images)
        chosen = subject.correct.subset(positions)
        before, _ = standardised(subject, chosen.images, chosen.labels)
        few = evenly(chosen.labels, tuning.COARSE_IMAGES)
        return cls(positions, before, _Changed(subject, chosen.subset(few), before[few]))


def _read_rows(path: Path) -> FloatArray | None:
    """What was measured of one operation, or None where nothing was or the file is damaged."""
    try:
        rows: FloatArray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return rows


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
    pool, ahead = subject.labelled, subject.reference.ahead
    fewest = subject.settings.reference.minimum_per_class
    classes_here = np.unique(pool.labels)
    chosen = np.concatenate([_hardest(ahead, pool.labels == label, fewest) for label in classes_here])
    hard = pool.subset(chosen)
    classes = np.isin(np.arange(len(subject.model.class_names)), hard.labels)
    shifts, _ = standardised(subject, hard.images, hard.labels)
    rows = _by_class(shifts, hard.labels, classes)
    rows[~classes] = rows[classes].mean(0)
    return rows


def _hardest(ahead: FloatArray, among: NDArray[np.bool_], fewest: int) -> NDArray[np.int64]:
    """Positions of the images of which another class is likelier: the wrong ones, and at least `fewest`."""
    ordered = np.flatnonzero(among)[np.argsort(-ahead[among], kind="stable")]
    return ordered[: max(fewest, int((ahead[among] > 0).sum()))]


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
    constants = [tuning.REFERENCE_POOL, tuning.RESOLUTION, subject.settings.reference.minimum_per_class]
    constants += [tuning.COARSE_IMAGES]
    constants += [tuning.DEFECT_WINDOW, tuning.DEFECT_QUIET, tuning.DEFECT_LOUD]
    held = subject.labelled.digest.hex()
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
    arrays = {
        f"coarse/{name}/{part}": getattr(response, part)
        for name, response in responses.coarse.items()
        for part in ("strengths", "classes", "shifts", "offsets")
    }
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            positions=responses.positions,
            unchanged=responses.unchanged,
            baseline=responses.baseline,
            drawn=responses.drawn,
            references=responses.references,
            labels=responses.labels,
            right=responses.right,
            normal=responses.normal,
            **arrays,
        )


def _read_responses(path: Path, name: str) -> Responses | None:
    """What was kept, or None where nothing was or the file is damaged: then it is measured again."""
    try:
        with path.open("rb") as file, np.load(file) as held:
            names = [each.split("/")[1] for each in held if each.endswith("/strengths")]
            return Responses(
                name,
                {each: _read_response(held, f"coarse/{each}") for each in names},
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


def _read_response(held: Mapping[str, NDArray[Any]], place: str) -> Response:
    strengths = tuple(held[f"{place}/strengths"].tolist())
    return Response(strengths, *(held[f"{place}/{part}"] for part in ("classes", "shifts", "offsets")))
