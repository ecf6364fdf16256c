"""What is known of a layer before any error, kept with the model: it depends on nothing else.

Whether the model's right answers depend on the layer, which the trust test asks, and where the reference
images excite its filters most. A night looks both up that an earlier night of the same model measured.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from urllib.parse import quote

import numpy as np

from fmi_engine import trust
from fmi_engine.classifier import Classifier
from fmi_engine.patches import Peaks
from fmi_engine.patches import find_peaks as engine_peaks
from fmi_engine.types import AblationCheck, Layer
from inspection.evidence.kept import Arrays, kept
from inspection.evidence.subject import Subject
from inspection.inputs.labelled import Labelled, sample
from inspection.provenance import measured_by
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
    name = f"{fact}-{quote(layer.name, safe='')}"  # a plant may name its modules as it likes
    return kept(subject, name, [measured_by(*MEASURING), fact, asdict(layer), asked], measure)
