"""The network whose filters are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fmi_engine.classifier import Classifier, choose_device, load_classifier
from fmi_engine.probe import layers_of
from fmi_engine.types import Layer
from inspection.evidence.subject import Subject, open_subject
from inspection.findings import RegisteredModel
from inspection.inputs.images import Reading, measured_bit_depth, reading
from inspection.models.registry import ModelSpec, check_classes, load_model
from inspection.pictures.sources import Step
from inspection.workspace.folder import Workspace
from inspection.workspace.settings import ComputeSettings, Settings
from inspection.workspace.store import Store

# --- the model ---


@dataclass(frozen=True, slots=True)
class Model:
    """The network whose filters are drawn, and what its workspace knows of it, where it has one."""

    classifier: Classifier
    layers: tuple[Layer, ...]
    cache: Path | None  # where primitives are kept
    home: tuple[Workspace, RegisteredModel] | None = None
    subject: Subject | None = None  # with what is normal for each filter, once that is measured

    @property
    def batch_size(self) -> int:
        """Images per forward pass: by the settings of its workspace, or as they are by default."""
        compute = self.home[0].settings.compute if self.home else ComputeSettings()
        return compute.batch_size

    def reading_of(self, paths: Sequence[Path]) -> Reading:
        """How images are read: as its workspace does; without one they decide together."""
        if self.home:
            workspace, record = self.home
            return reading(workspace.settings.images, record.bit_depth, record.prepared)
        images = Settings().images
        return reading(images, measured_bit_depth(paths, images))

    @property
    def name(self) -> str:
        """The beginning of the hash of its weights."""
        return self.classifier.weights_hash[:12]


def registered(workspace: Workspace, model_hash: str | None, device: str, cache: Path | None) -> Model:
    """A workspace's model, on the device given or on that of the settings.

    Raises StoreError, ModelError or EngineError.
    """
    if device:
        compute = workspace.settings.compute.model_copy(update={"device": device})
        workspace = replace(workspace, settings=workspace.settings.model_copy(update={"compute": compute}))
    record = Store(workspace.store_path).model(model_hash)
    classifier = load_model(workspace.root, record, workspace.settings.compute.device)
    return _opened(classifier, cache or workspace.primitive_cache, (workspace, record))


def described(spec: ModelSpec, checkpoint: Path, device: str, cache: Path | None) -> Model:
    """A model without a workspace: a checkpoint and what it is. Raises ModelError or EngineError."""
    check_classes(spec.class_names, spec.good_classes)
    found = choose_device(device or "auto")
    return _opened(
        load_classifier(spec.architecture, checkpoint, spec.class_names, spec.preprocessing, found), cache
    )


def _opened(
    classifier: Classifier, cache: Path | None, home: tuple[Workspace, RegisteredModel] | None = None
) -> Model:
    return Model(classifier, layers_of(classifier), cache, home)


def measured(model: Model, step: Step) -> Model:
    """The same with what is normal for its filters on its reference images, where it has a workspace."""
    if model.home is None:
        return model
    workspace, record = model.home
    references = Store(workspace.store_path).references(record.model_hash)
    with step("Learning what is normal", None) as advance:
        return replace(model, subject=open_subject(workspace, record, references, advance))
