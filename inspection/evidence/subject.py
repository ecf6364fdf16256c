"""The subject of a diagnosis: a registered model with what is normal for it, before the first error."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname
from threading import Lock

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from fmi_engine.classifier import Classifier
from fmi_engine.probe import Resumption, cut_at, layers_of
from fmi_engine.reference import Reference
from fmi_engine.types import FloatArray, Layer
from inspection.errors import ImageError, ModelError
from inspection.evidence.look import Looks
from inspection.evidence.normal import learn_normal
from inspection.evidence.room import room_for, within
from inspection.findings import ReferenceImage, RegisteredModel
from inspection.inputs.images import is_file, reading
from inspection.inputs.labelled import Labelled, load_images
from inspection.models.registry import load_model
from inspection.progress import Progress
from inspection.workspace.folder import Workspace, open_workspace
from inspection.workspace.settings import Settings
from inspection.workspace.shared import Registered
from inspection.workspace.store import Stamp, Store

RECENT = 16  # changes under which labelled images are kept


@dataclass(frozen=True, slots=True, eq=False)  # one is another where it was opened another time
class Subject:
    """A model under diagnosis with everything that is known of it before the first error."""

    workspace: Workspace
    model: RegisteredModel
    classifier: Classifier
    layers: tuple[Layer, ...]
    reference: Reference
    looks: Looks  # the normal look of each class
    rests_on: str  # hash of all that what is normal depends on
    labelled: Labelled  # the reference images drawn, evenly over the classes, right and wrong
    correct: Labelled  # those of them that the model classifies correctly
    paths: tuple[Path, ...] = ()  # of the labelled images
    # By layer, as they are asked for. Not of the constructor: a copy with another classifier starts anew.
    cuts: dict[str, Resumption] = field(default_factory=dict, init=False, compare=False)
    # By change and positions: labelled images under the last few changes, for the search of the nearest.
    changed: LRUCache[tuple[Hashable, bytes], FloatArray] = field(
        default_factory=lambda: LRUCache(RECENT), init=False, compare=False
    )
    # The same as pixels, which take more memory: under the last change alone.
    pixels: LRUCache[tuple[Hashable, bytes], NDArray[np.uint8]] = field(
        default_factory=lambda: LRUCache(1), init=False, compare=False
    )

    @property
    def settings(self) -> Settings:
        """The settings of the workspace."""
        return self.workspace.settings

    @property
    def good(self) -> tuple[int, ...]:
        """The classes of parts without a defect, as far as they are known."""
        return tuple(self.model.class_names.index(name) for name in self.model.good_classes)

    def cut(self, layer: str) -> Resumption:
        """The network cut at a layer; traced and checked once."""
        if layer not in self.cuts:
            self.cuts[layer] = cut_at(self.classifier, layer)
        return self.cuts[layer]

    @property
    def layer_names(self) -> list[str]:
        """The names of the layers, in the order of the forward pass."""
        return [layer.name for layer in self.layers]

    def standardise(self, energy: Mapping[str, FloatArray], labels: NDArray[np.int64]) -> FloatArray:
        """The energies (images, filters) of every layer in one row an image: from normal, in sigma."""
        rows = [self.reference.standardise(name, energy[name], labels) for name in self.layer_names]
        return np.concatenate(rows, axis=1)


def open_subject(
    workspace: Workspace,
    model: RegisteredModel,
    references: Sequence[ReferenceImage],
    progress: Progress = None,
) -> Subject:
    """Load a model with what is normal for it, which is measured on its reference images once.

    Raises EngineError where too few of them are classified correctly.
    """
    settings = workspace.settings
    classifier = load_model(workspace.root, model, settings.compute.device)
    room = room_for(settings, classifier, references)
    workspace = within(workspace, room)
    layers = layers_of(classifier)
    chosen = draw_references(references, room.per_class, settings.compute.seed)
    paths = [Path(each.image_path) for each in chosen]
    how = reading(settings.images, model.bit_depth, model.prepared)
    _check_there(model, paths)
    images = load_images(paths, classifier.preprocessing, progress, how)
    labels = np.array([model.class_names.index(each.label) for each in chosen], np.int64)
    labelled = Labelled(images, labels)
    normal = learn_normal(workspace, model, classifier, layers, labelled, progress)
    correct = labelled.subset(normal.reference.correct)
    return Subject(
        workspace,
        model,
        classifier,
        layers,
        normal.reference,
        normal.looks,
        normal.rests_on,
        labelled,
        correct,
        tuple(paths),
    )


def _check_there(model: RegisteredModel, paths: Sequence[Path]) -> None:
    """Raise ImageError where reference images are gone."""
    gone = [path for path in paths if not is_file(path)]
    if gone:
        raise ImageError(
            f"{len(gone)} of {len(paths)} reference images of {model.called} are gone, such as {gone[0]}: "
            "there is no such image file; where their folder was moved, say so by `fmi move OLD NEW`"
        )


def draw_references(references: Sequence[ReferenceImage], per_class: int, seed: int) -> list[ReferenceImage]:
    """At most `per_class` images of each class, validation images first, the same for the same seed."""
    rng = np.random.default_rng(seed)
    shuffled = [references[i] for i in rng.permutation(len(references))]
    shuffled.sort(key=lambda each: each.split != "val")  # stable: the draw within a split stays
    taken: dict[str, list[ReferenceImage]] = {}
    for each in shuffled:
        taken.setdefault(each.label, []).append(each)
    return [each for label in sorted(taken) for each in taken[label][:per_class]]


_opened: dict[str, Subject] = {}  # of this process; a second task needs not measure again
_found: dict[tuple[str, Stamp], Subject] = {}  # the same, by what was asked for and the state of the store
_OPENING = Lock()  # several steps of a night may run in threads


def subject_of(
    root: Path, model_hash: str, progress: Progress = None, line: str = "", registered: str = ""
) -> Subject:
    """The subject of a workspace's model; opened once in a process for the same settings and registration.

    `registered` is the file in which a process that has the store handed the model over; empty: the store
    says. Raises ModelError where what is normal for it is other numbers here than there.
    """
    workspace = open_workspace(root, line)
    store, handed = Store(workspace.store_path), Registered(Path(registered))
    stamp = handed.stamp() if registered else store.stamp()
    seen = (repr((root, model_hash, workspace.settings)), stamp)
    with _OPENING:
        if seen in _found:  # nobody wrote to the store since: it need not be asked again
            return _found[seen]
        if registered:
            model, references, rests_on = handed.read()
        else:
            model, references, rests_on = store.model(model_hash), None, ""
        key = repr((root, model, workspace.settings))
        if key not in _opened:
            _opened.clear()  # one at a time: its reference images stay in memory
            references = store.references(model_hash) if references is None else references
            _opened[key] = open_subject(workspace, model, references, progress)
        _check_same(_opened[key], rests_on)
        _found.clear()
        _found[seen] = _opened[key]
        return _opened[key]


def hand_over(subject: Subject, file: Path, share: str) -> None:
    """Write a model into a file for processes that do not open the store, which reach the folder `share`."""
    store = Store(subject.workspace.store_path)
    references = store.references(subject.model.model_hash)
    Registered(file).write(subject.model, references, subject.rests_on, share)


def _check_same(subject: Subject, rests_on: str) -> None:
    """Raise ModelError where another process, which handed the model over, has other numbers."""
    if rests_on not in ("", subject.rests_on):
        raise ModelError(
            f"on {gethostname()} {subject.model.called} answers its reference images with other numbers than "
            "where the night was started: another kind of processor, another device, or other versions of "
            "libraries. Take workers that are alike, or run the night with runner = 'local' under [spread]"
        )
