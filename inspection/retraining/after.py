"""What became of the failures: picture by picture, and whether the blamed filters' energies came back."""

from collections.abc import Sequence

import numpy as np

from fmi_engine.classifier import Classifier
from fmi_engine.probe import layers_of
from fmi_engine.reference import build_reference, measure_energies
from fmi_engine.types import FloatArray
from inspection.findings import CLEAN, HOLDOUT, LINE, LOGGED, OTHERS, FilterAfter, JudgedImage
from inspection.inputs.labelled import sample
from inspection.models.comparison import Judged
from inspection.retraining.arms import Workshop
from inspection.workspace.files import sha256_of

# Of the material's paths.
FIELDS = {LOGGED: "logged", CLEAN: "clean", LINE: "right", HOLDOUT: "holdout", OTHERS: "others"}
NORMAL_IMAGES = 512  # training images that say what is normal for a model


def judged_images(workshop: Workshop, judged: Sequence[Judged]) -> tuple[JudgedImage, ...]:
    """Every image that judged a candidate, with the hash of its file and the labels before and after.

    Of sets that are no files, as clean images that recipes changed, there are none; of the line those that
    went right, for its errors stand among the logged ones.
    """
    material, names = workshop.material, workshop.material.model.rule.names
    found = []
    for each in judged:
        for row, path in enumerate(material.paths[FIELDS[each.name]] if each.name in FIELDS else ()):
            true, before, after = (names[which[row]] for which in (each.labels, each.before, each.after))
            mode = material.mode_of.get(row) if each.name == LOGGED else None
            found.append(JudgedImage(each.name, str(path), sha256_of(path), true, before, after, mode))
    return tuple(found)


def filters_after(workshop: Workshop, candidate: Classifier) -> tuple[FilterAfter, ...]:
    """How far the energies of every mode's blamed filters lie from normal on its errors, before and after.

    Each model's own normal counts: the candidate's filters may have moved on unchanged images, too.
    """
    modes = {mode.mode_id: mode for mode in workshop.material.modes if mode.filters}
    names = {each.layer for mode in modes.values() for each in mode.filters}
    rows = {mode: [row for row, of in workshop.material.mode_of.items() if of == mode] for mode in modes}
    if not any(rows.values()):
        return ()
    before, after = (_shifts(workshop, each, names) for each in (workshop.deployed, candidate))
    return tuple(
        FilterAfter(
            mode_id,
            each.layer,
            each.channel,
            *(float(shift[each.layer][rows[mode_id], each.channel].mean()) for shift in (before, after)),
        )
        for mode_id, mode in modes.items()
        for each in mode.filters
        if rows[mode_id]
    )


def _shifts(workshop: Workshop, classifier: Classifier, names: set[str]) -> dict[str, FloatArray]:
    """(errors, channels) of every layer: energies of the logged errors, from normal, in sigma."""
    material, settings = workshop.material, workshop.settings
    layers = [layer for layer in layers_of(classifier) if layer.name in names]
    normal = material.train.subset(sample(len(material.train), NORMAL_IMAGES, settings.compute.seed))
    size = settings.compute.batch_size
    parts = [normal.subset(np.arange(i, min(i + size, len(normal)))) for i in range(0, len(normal), size)]
    batches = [(part.images, part.labels) for part in parts]
    reference = build_reference(classifier, layers, batches, settings.reference.minimum_per_class)
    ordered = [layer.name for layer in layers]
    energy, _, _ = measure_energies(classifier, ordered, material.logged.images, size)
    return {name: reference.standardise(name, energy[name], material.logged.labels) for name in ordered}
