"""What a night of a model takes of the machine, and how many images it holds so that it fits."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from fmi_engine.classifier import Classifier
from fmi_engine.memory import bytes_of_an_image, images_at_once
from inspection.findings import ReferenceImage
from inspection.workspace.folder import Workspace
from inspection.workspace.settings import Settings

# Of decoded reference images in memory, at most: 200 a class of 224 x 224 RGB are 30 MB a class, of 1,000
# classes 30 GB. At half of it 1,000 classes keep 7 images each, fewer than say what is normal for one.
MOST_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class Room:
    """How many images a night holds of a model: in a batch, and of each class of the reference set."""

    batch: int  # images at once
    batch_bytes: int  # about what a pass over them takes
    per_class: int  # reference images of a class, at most
    reference_bytes: int  # of all of them, decoded, and once more of those that are classified correctly


def room_for(settings: Settings, classifier: Classifier, references: Sequence[ReferenceImage]) -> Room:
    """As many as the settings say, where they fit; else fewer."""
    p = classifier.preprocessing
    one = p.height * p.width * p.channels
    counts = Counter(each.label for each in references)
    fitting = MOST_BYTES // (one * max(1, len(counts)))
    per_class = min(settings.reference.images_per_class, max(settings.reference.minimum_per_class, fitting))
    x = torch.zeros(1, p.channels, p.height, p.width, device=classifier.device)
    taken = bytes_of_an_image(classifier.network, x)
    batch = images_at_once(taken, classifier.device, settings.compute.batch_size)
    held = sum(min(count, per_class) for count in counts.values())
    return Room(batch, batch * taken, per_class, 2 * held * one)


def within(workspace: Workspace, room: Room) -> Workspace:
    """The workspace with batches that fit."""
    settings = workspace.settings
    compute = settings.compute.model_copy(update={"batch_size": room.batch})
    return replace(workspace, settings=settings.model_copy(update={"compute": compute}))
