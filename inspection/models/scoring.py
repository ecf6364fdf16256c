"""Scoring labelled images with a registered model, as rows of a defect log."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from inspection.findings import RegisteredModel
from inspection.inputs.image_sets import LabelledImage
from inspection.inputs.images import reading
from inspection.inputs.labelled import load_images
from inspection.models.registry import as_decided, load_model
from inspection.progress import Progress
from inspection.workspace.folder import Workspace


def score(
    workspace: Workspace,
    model: RegisteredModel,
    images: Sequence[LabelledImage],
    progress: Progress = None,
) -> list[dict[str, object]]:
    """One row for each image, in order, with the predicted label, its probability and the true label.

    Of a part that is left to a person the probability is that of the likeliest class.
    """
    images = as_decided(images, model.rule)
    settings = workspace.settings.compute
    classifier = load_model(workspace.root, model, settings.device)
    how = reading(workspace.settings.images, model.bit_depth, model.prepared)
    answers, likely = list[int](), list[NDArray[np.float32]]()
    for first in range(0, len(images), settings.batch_size):  # however many there are: a batch in memory
        paths = [image.path for image in images[first : first + settings.batch_size]]
        decoded = load_images(paths, classifier.preprocessing, progress, how)
        answers.extend(classifier.predict(decoded, settings.batch_size).argmax(1).tolist())
        likely.extend(classifier.probabilities(decoded, settings.batch_size))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        {
            "inspection_id": f"{i:06d}",
            "captured_at": now,
            "image_path": str(image.path),
            "model_version": model.model_hash[:12],
            "predicted_label": classifier.class_names[answer],
            "score": round(float(row[answer] if answer < len(row) else row.max()), 6),
            "true_label": image.label,
        }
        for i, (image, answer, row) in enumerate(zip(images, answers, likely, strict=True), 1)
    ]
