"""What is known of a layer before any error, kept with the model: it depends on nothing else.

Whether the model's right answers depend on the layer, which the trust test asks, and where the reference
images excite its filters most. A night looks both up that an earlier night of the same model measured.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from fmi_engine import trust
from fmi_engine.classifier import Classifier
from fmi_engine.patches import Peaks
from fmi_engine.patches import find_peaks as engine_peaks
from fmi_engine.types import AblationCheck, Layer
from inspection.evidence.subject import Subject
from inspection.inputs.labelled import Labelled, sample
from inspection.provenance import measured_by
from inspection.workspace.files import replacing
from inspection.workspace.settings import ComputeSettings

ABLATION_IMAGES = 200  # labelled images that an ablation check runs on
MEASURING = (
    "fmi_engine.chance",
    "fmi_engine.classifier",
    "fmi_engine.patches",
    "fmi_engine.probe",
    "fmi_engine.trust",
    "inspection.evidence.layer_facts",
)  # modules that say what these facts are

Arrays = Mapping[str, NDArray[Any]]


def check_ablation(subject: Subject, layer: Layer) -> AblationCheck:
    """Whether the model's right answers depend on a layer, on some of the labelled reference images."""

    def measure() -> Arrays:
        check = ablation_on(subject.classifier, layer, subject.labelled, subject.settings.compute)
        return {"check": np.array(json.dumps(asdict(check)))}

    asked = [ABLATION_IMAGES, subject.settings.compute.seed]
    return AblationCheck(**json.loads(str(_kept(subject, layer, "ablation", asked, measure)["check"])))


def ablation_on(
    classifier: Classifier, layer: Layer, labelled: Labelled, compute: ComputeSettings
) -> AblationCheck:
    """The same on some of any labelled images."""
    few = labelled.subset(sample(len(labelled), ABLATION_IMAGES, compute.seed))
    return trust.check_ablation(classifier, layer, (few.images, few.labels), compute.batch_size)


def find_peaks(subject: Subject, layer: Layer) -> Peaks:
    """Where the reference images that the model classifies correctly excite each filter of a layer most."""

    def measure() -> Arrays:
        images, size = subject.correct.images, subject.settings.compute.batch_size
        found = engine_peaks(subject.classifier, layer, range(layer.channels), images, size)
        return {"values": found.values, "places": found.places}

    held = _kept(subject, layer, "peaks", [], measure)
    return Peaks(held["values"], held["places"])


def _kept(
    subject: Subject, layer: Layer, fact: str, asked: list[int], measure: Callable[[], Arrays]
) -> Arrays:
    """What was measured of a layer with the same software, of what the same is normal for; or measure it."""
    folder = subject.workspace.model_folder(subject.model.model_hash)
    path = folder / f"{fact}-{quote(layer.name, safe='')}.npz"  # a plant may name its modules as it likes
    text = json.dumps([measured_by(*MEASURING), subject.rests_on, fact, asdict(layer), asked])
    key = hashlib.sha256(text.encode()).hexdigest()
    try:
        with path.open("rb") as kept, np.load(kept) as held:
            if held["key"] == key:
                return dict(held)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # nothing was kept, or the file is damaged
    found = measure()
    with replacing(path, durable=False) as partial, partial.open("wb") as file:
        np.savez(file, key=np.array(key), **found)  # type: ignore[arg-type]  # NumPy's stub, as elsewhere
    return found
