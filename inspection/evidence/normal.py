"""What is normal for a model, before any change: its energies and its images' look, kept with the model."""

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from fmi_engine.classifier import Classifier
from fmi_engine.reference import LayerReference, Reference, build_reference, measure_energies
from fmi_engine.types import FloatArray, Layer
from inspection.evidence.look import Looks, normal_looks
from inspection.findings import RegisteredModel
from inspection.inputs.labelled import Labelled
from inspection.progress import Progress
from inspection.provenance import measured_by
from inspection.workspace.files import replacing
from inspection.workspace.folder import Workspace

MEASURING = (
    "fmi_engine.classifier",
    "fmi_engine.energy",
    "fmi_engine.probe",
    "fmi_engine.reference",
    "fmi_engine.texture",
    "inspection.evidence.look",
    "inspection.evidence.normal",
)  # modules that say what is normal
ASKED_AGAIN = 8  # images on which the network has to answer as it did


@dataclass(frozen=True, slots=True)
class Normal:
    """The energies and the look of a model's reference images."""

    reference: Reference
    looks: Looks
    rests_on: str = ""  # hash of all that it depends on: images, settings, software and the network's answers


@dataclass(frozen=True, slots=True)
class _Measuring:
    """A model with the labelled images on which it is measured."""

    workspace: Workspace
    model: RegisteredModel
    classifier: Classifier
    layers: Sequence[Layer]
    labelled: Labelled

    @property
    def path(self) -> Path:
        """Where it is kept: one for a model, the latest."""
        return self.workspace.model_folder(self.model.model_hash) / "normal.npz"

    def key(self) -> str:
        """The images, what is asked of them, and the software."""
        held, settings = self.labelled.digest.hex(), self.workspace.settings
        asked = [settings.reference.minimum_per_class, settings.compute.batch_size, self.model.class_names]
        text = json.dumps([measured_by(*MEASURING), held, asked, asdict(self.classifier.preprocessing)])
        return hashlib.sha256(text.encode()).hexdigest()

    def answers(self) -> FloatArray:
        """The energies and logits of a few images (images, filters + classes)."""
        few = self.labelled.images[:ASKED_AGAIN]
        names = [layer.name for layer in self.layers]
        energy, _, logits = measure_energies(self.classifier, names, few, len(few), with_spread=False)
        return np.concatenate([*energy.values(), logits], axis=1)

    def measure(self, progress: Progress) -> Normal:
        """Measure it, whatever is kept."""
        settings, labelled = self.workspace.settings, self.labelled
        size, fewest = settings.compute.batch_size, settings.reference.minimum_per_class
        batches = (
            (labelled.images[i : i + size], labelled.labels[i : i + size])
            for i in range(0, len(labelled), size)
        )
        reference = build_reference(self.classifier, self.layers, batches, fewest, progress)
        correct = labelled.subset(reference.correct)
        return Normal(reference, normal_looks(correct, len(self.model.class_names), fewest))


def learn_normal(
    workspace: Workspace,
    model: RegisteredModel,
    classifier: Classifier,
    layers: Sequence[Layer],
    labelled: Labelled,
    progress: Progress = None,
) -> Normal:
    """Measure what is normal on labelled reference images, or read what was kept.

    What was kept counts for the same images, settings and software, and only while the network answers a few
    of the images as it did, to the last bit: a model's code may be the plant's own, and change.
    Raises EngineError where too few of them are classified correctly.
    """
    measuring = _Measuring(workspace, model, classifier, layers, labelled)
    if not len(labelled):
        return measuring.measure(progress)
    key, answers = measuring.key(), measuring.answers()
    kept = _read(measuring.path, key, answers)
    if kept is None:
        kept = measuring.measure(progress)
        _write(measuring.path, kept, key, answers)
    return replace(kept, rests_on=hashlib.sha256(key.encode() + answers.tobytes()).hexdigest())


def _write(path: Path, normal: Normal, key: str, answers: FloatArray) -> None:
    reference, looks = normal.reference, normal.looks
    arrays = {
        f"{part}/{name}": getattr(layer, part)
        for name, layer in reference.layers.items()
        for part in ("energy", "spread", "sigma")
    }
    arrays |= {f"look/{part}": getattr(looks, part) for part in ("mean", "sigma", "weights")}
    with replacing(path, durable=False) as partial, partial.open("wb") as file:
        np.savez(
            file,
            key=np.array(key),
            answers=answers,
            names=np.array(list(reference.layers)),
            counts=reference.counts,
            correct=reference.correct,
            ahead=reference.ahead,
            **arrays,
        )


def _read(path: Path, key: str, answers: FloatArray) -> Normal | None:
    """What was kept; None where nothing was, the file is damaged, or it is of something else."""
    try:
        with path.open("rb") as file, np.load(file) as held:
            if held["key"] != key or not np.array_equal(held["answers"], answers):
                return None
            layers = {
                str(name): LayerReference(
                    held[f"energy/{name}"], held[f"spread/{name}"], held[f"sigma/{name}"]
                )
                for name in held["names"]
            }
            looks = Looks(held["look/mean"], held["look/sigma"], held["look/weights"])
            return Normal(Reference(layers, held["counts"], held["correct"], held["ahead"]), looks)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
