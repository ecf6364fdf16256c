"""What every operation of the catalogue does to a model's filters: measured once, kept with the model."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmi_engine.reference import measure_energies
from fmi_engine.types import FloatArray
from inspection.images import replacing
from inspection.operations import Operation, find_operation, operations_for
from inspection.subject import Progress, Subject, evenly


@dataclass(frozen=True, slots=True)
class Responses:
    """What every operation does to the filters of a model, per class, measured once and kept."""

    shifts: dict[str, FloatArray]  # operation -> (strengths, classes, filters of all layers), in sigma
    classes: NDArray[np.bool_]  # (classes,): measured
    energies: FloatArray  # (images, filters), standardised: the correct images themselves
    labels: NDArray[np.int64]  # (images,)

    def weighted(self, true: NDArray[np.int64]) -> dict[str, tuple[Sequence[float], list[FloatArray]]]:
        """The strengths and shifts of every operation, for errors of these true classes."""
        weight = np.bincount(true, minlength=len(self.classes)).astype(np.float32)
        weight = np.where(self.classes, weight, 0)
        weight = weight / weight.sum() if weight.sum() else self.classes / self.classes.sum()
        return {
            name: (find_operation(name).grid, list(np.einsum("stf,t->sf", shift, weight).astype(np.float32)))
            for name, shift in self.shifts.items()
        }


def measure_responses(subject: Subject, progress: Progress = None) -> Responses:
    """Measure every operation of the catalogue on correct reference images, or read what was kept.

    The responses depend on the model, its references, the catalogue and the settings; a second night of
    the same model reads them from the model's folder.
    """
    path = (
        subject.workspace.model_folder(subject.model.model_hash) / f"responses-{_response_key(subject)}.npz"
    )
    if path.is_file():
        return _read_responses(path)
    responses = _measure(subject, progress)
    _write_responses(path, responses)
    return responses


def _measure(subject: Subject, progress: Progress) -> Responses:
    settings = subject.settings
    chosen = subject.correct.subset(evenly(subject.correct.labels, settings.matching.reference_images))
    before = _standardised(subject, chosen.images, chosen.labels)
    present = [label for label in range(len(subject.model.class_names)) if (chosen.labels == label).any()]
    shifts = {}
    for operation in operations_for(subject.model.channels):
        rows = np.zeros((len(operation.grid), len(subject.model.class_names), before.shape[1]), np.float32)
        for i, strength in enumerate(operation.grid):
            changed = _standardised(subject, _changed(operation, chosen.images, strength), chosen.labels)
            for label in present:
                mine = chosen.labels == label
                rows[i, label] = (changed[mine] - before[mine]).mean(0)
            if progress:
                progress(1)
        shifts[operation.name] = rows
    classes = np.isin(np.arange(len(subject.model.class_names)), present)
    pool = subject.correct
    return Responses(shifts, classes, _standardised(subject, pool.images, pool.labels), pool.labels)


def count_measurements(subject: Subject) -> int:
    """How many strengths `measure_responses` measures, for a progress bar."""
    return sum(len(operation.grid) for operation in operations_for(subject.model.channels))


def _changed(operation: Operation, images: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    return np.stack([operation.apply(image, strength, seed) for seed, image in enumerate(images)])


def _standardised(subject: Subject, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> FloatArray:
    energy, _, _ = measure_energies(
        subject.classifier, subject.layer_names, images, subject.settings.compute.batch_size
    )
    return np.concatenate(
        [subject.reference.standardise(name, energy[name], labels) for name in subject.layer_names], axis=1
    )


def _response_key(subject: Subject) -> str:
    catalogue = [(op.name, op.grid, op.unit) for op in operations_for(subject.model.channels)]
    held = hashlib.sha256(subject.correct.images.tobytes() + subject.correct.labels.tobytes()).hexdigest()
    settings = [subject.settings.matching.reference_images, subject.settings.compute.seed]
    return hashlib.sha256(json.dumps([catalogue, held, settings]).encode()).hexdigest()[:12]


def _write_responses(path: Path, responses: Responses) -> None:
    arrays = {f"shift/{name}": shift for name, shift in responses.shifts.items()}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            classes=responses.classes,
            energies=responses.energies,
            labels=responses.labels,
            **arrays,  # type: ignore[arg-type]  # NumPy's stub takes keyword arrays for its own flags
        )


def _read_responses(path: Path) -> Responses:
    with np.load(path) as held:
        shifts = {name.removeprefix("shift/"): held[name] for name in held if name.startswith("shift/")}
        return Responses(shifts, held["classes"], held["energies"], held["labels"])
