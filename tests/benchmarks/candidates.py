"""Candidate models: copies of the deployed one, fine-tuned as `fmi retrain` does it."""

import math
from collections.abc import Sequence

from fmi_engine.classifier import Classifier
from inspection.inputs.labelled import Labelled
from inspection.models.training import Augmentation, Training
from inspection.progress import Progress
from inspection.retraining import arms
from tests.benchmarks.world import World


def epochs_of(world: World, data: Labelled, steps: int) -> int:
    """Whole passes over the images that take at least so many steps."""
    a_pass = max(1, len(data) // world.subject.settings.training.batch_size)
    return math.ceil(steps / a_pass)


def fine_tune(
    world: World,
    changes: Sequence[Augmentation],
    data: Labelled,
    epochs: int,
    progress: Progress = None,
) -> Classifier:
    """Fine-tune a copy of the deployed model, as `fmi retrain` does."""
    deployed = world.subject.classifier
    training = Training.fine_tuning(world.subject.settings, epochs, deployed, changes)
    return arms.fine_tune(world.model, deployed, data, training, progress)
