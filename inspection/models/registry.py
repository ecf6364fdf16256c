"""Models of a workspace: registered by the hash of their weights, loaded, and added as candidates."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from fmi_engine.answer import settled
from fmi_engine.checkpoint import load_checkpoint
from fmi_engine.classifier import (
    Classifier,
    Preprocessing,
    build_network,
    choose_device,
    load_classifier,
)
from fmi_engine.decision_rule import DecisionRule
from fmi_engine.expected import remarks
from fmi_engine.fitness import examine
from fmi_engine.types import Layer
from inspection.errors import ModelError
from inspection.findings import ReferenceImage, RegisteredModel
from inspection.inputs.fitting import Fitting
from inspection.inputs.image_sets import LabelledImage
from inspection.inputs.images import measured_bit_depth, reading
from inspection.inputs.labelled import load_images, sample
from inspection.models import onnx_file
from inspection.workspace.files import replacing
from inspection.workspace.folder import Workspace

MOST_NAMED = 5  # tensors that an error names
EXAMINED = 4  # reference images on which a model shows that a night can ask it
VALIDATION_SHARE = 5  # one reference image in five, where the reference set has no split


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a plant says of its model."""

    architecture: str  # as `build_network` takes it, or onnx: the file is the network, too
    class_names: tuple[str, ...]  # with a rule: that the rule speaks of
    good_classes: tuple[str, ...]
    preprocessing: Preprocessing
    bit_depth: int | None = None  # that its 16-bit images use; None: not known
    decision: str = ""  # the plant's rule, as `DecisionRule.parse` reads it; empty: the largest logit
    prepared: str = ""  # how an image fills the input, as `Fitting.parse` reads it; empty: stretched

    @property
    def rule(self) -> DecisionRule:
        """How it decides. Raises ClassifierError for a rule that cannot be read."""
        return DecisionRule.parse(self.decision, self.class_names)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a model comes from, and what for."""

    parent_hash: str | None = None  # of the model that a candidate was retrained from
    note: str = ""
    name: str = ""  # that all models of a line share; empty: as the store calls models without one


A_PLANTS_OWN = Origin()
Labels = TypeVar("Labels", LabelledImage, ReferenceImage)  # an image with its label


def check_classes(class_names: Sequence[str], good_classes: Sequence[str]) -> None:
    """Raise ModelError for repeated, too few or indistinct classes, or an unknown good class."""
    repeated = sorted({name for name in class_names if list(class_names).count(name) > 1})
    _check_distinct(class_names)
    if len(class_names) < 2 or repeated:
        detail = f"{', '.join(repeated)} twice" if repeated else f"only {', '.join(class_names) or 'none'}"
        raise ModelError(
            f"class names: {detail}; expected two or more, each once, in the order of the logits"
        )
    unknown = sorted(set(good_classes) - set(class_names))
    if unknown:
        raise ModelError(
            f"good classes {', '.join(unknown)} are no classes of the model; it has: {', '.join(class_names)}"
        )


def _check_distinct(class_names: Sequence[str]) -> None:
    """Raise ModelError for two names that people and programs would take for one."""
    alike: dict[str, list[str]] = {}
    for name in dict.fromkeys(class_names):
        alike.setdefault(" ".join(unicodedata.normalize("NFKC", name).casefold().split()), []).append(name)
    confused = [" and ".join(map(repr, names)) for names in alike.values() if len(names) > 1]
    if confused:
        raise ModelError(
            f"class names that differ only by a blank, by capitals or by how a character is encoded: "
            f"{'; '.join(confused)}. A defect log cannot tell them apart: rename one of them, or put their "
            "images under one name"
        )


def as_decided(images: Sequence[Labels], rule: DecisionRule) -> list[Labels]:
    """Labelled images under the classes of the decision: those of a group's members under the group's.

    Raises ModelError for labels that are none.
    """
    unknown = sorted({each.label for each in images if rule.class_of(each.label) is None})
    if unknown:
        raise ModelError(
            f"the labelled images hold classes that the model does not know: {', '.join(unknown)}. "
            f"The model's classes are: {', '.join(dict.fromkeys([*rule.classes, *rule.outputs]))}"
        )
    return [replace(each, label=rule.class_of(each.label) or each.label) for each in images]


def reference_images(images: Sequence[LabelledImage]) -> list[ReferenceImage]:
    """The images a model was trained ('train') or validated ('val') on; test images are left out.

    Where the set has no splits, one image in five is taken as validation, chosen by the hash of its name
    so that the choice survives a second registration. Raises ModelError where no image is left.
    """
    references = [
        ReferenceImage(str(image.path), image.label, split)
        for image in images
        if (split := image.split or _drawn_split(image)) in ("train", "val")
    ]
    if not references:
        splits = Counter(image.split for image in images)
        found = ", ".join(f"{count} of split {split}" for split, count in splits.items())
        raise ModelError(
            f"no reference image among the labelled images ({found or 'none at all'}); errors are compared "
            "with images that the model was trained or validated on: give some of split train or val, or a "
            "set without splits"
        )
    return references


def _drawn_split(image: LabelledImage) -> str:
    name = f"{image.label}/{image.path.name}".encode()
    return "train" if hashlib.sha256(name).digest()[0] % VALIDATION_SHARE else "val"


def register(
    workspace: Workspace,
    spec: ModelSpec,
    checkpoint: Path,
    references: Sequence[ReferenceImage],
    origin: Origin = A_PLANTS_OWN,
    weights: str = "",
    tell: Callable[[str], None] | None = None,
) -> RegisteredModel:
    """Check a plant's checkpoint, or ONNX file, against its description and copy it into the workspace.

    `weights` says which of several sets in the checkpoint, by its key; `tell` hears what was adapted to fit.
    Returns the record; the caller stores it with its references. Raises ModelError or EngineError.
    """
    rule = spec.rule
    check_classes(spec.class_names, ())
    check_classes(rule.classes, spec.good_classes)
    _check_distinct(rule.names)
    as_decided(references, rule)
    whole = spec.architecture == onnx_file.FILE  # the network and its weights
    if whole:
        spec = replace(spec, architecture=onnx_file.named(checkpoint))
    network = build_network(spec.architecture, len(rule.outputs), spec.preprocessing.channels)
    for note in () if whole else load_checkpoint(network, checkpoint, weights):
        if tell:
            tell(note)
    spec = with_answer(network, spec, len(rule.outputs), tell)
    if whole:
        p = spec.preprocessing
        onnx_file.checked(network, checkpoint, torch.rand(1, p.channels, p.height, p.width), tell)
    paths = (Path(each.image_path) for each in references)
    bit_depth = measured_bit_depth(paths, workspace.settings.images, tell)
    if whole:
        lies = onnx_file.kept_file(workspace, checkpoint)
        spec = replace(spec, architecture=spec.architecture.replace(str(checkpoint.absolute()), lies))
    return keep(workspace, network, replace(spec, bit_depth=bit_depth), origin)


def with_answer(
    network: nn.Module, spec: ModelSpec, outputs: int, tell: Callable[[str], None] | None = None
) -> ModelSpec:
    """The description with the part of the network's answer that is read; `tell` hears what to look at."""
    p = spec.preprocessing
    x = torch.zeros(2, p.channels, p.height, p.width)  # batch normalisation is trained on two at least
    architecture = settled(spec.architecture, network, x, outputs)
    if tell and architecture != spec.architecture:
        tell(f"the network's answer holds more than the logits; what is read of it is kept as {architecture}")
    if tell:
        for remark in remarks(network, p):
            tell(remark)
    return replace(spec, architecture=architecture)


def keep(
    workspace: Workspace, network: nn.Module, spec: ModelSpec, origin: Origin = A_PLANTS_OWN
) -> RegisteredModel:
    """Save a network's weights in the workspace under their hash; returns its record.

    Raises ModelError for weights that are no numbers.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    _check_finite(state)
    rule = spec.rule
    model_hash = Classifier(network, rule, spec.preprocessing).identity
    path = workspace.model_folder(model_hash) / "weights.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        torch.save(state, partial)
    p = spec.preprocessing
    return RegisteredModel(
        model_hash=model_hash,
        architecture=spec.architecture,
        class_names=rule.classes,
        good_classes=spec.good_classes,
        channels=p.channels,
        height=p.height,
        width=p.width,
        mean=p.mean,
        std=p.std,
        weights_path=workspace.relative(path),
        registered_at=datetime.now(UTC),
        parent_hash=origin.parent_hash,
        note=origin.note,
        name=origin.name,
        bit_depth=spec.bit_depth,
        decision=rule.text,
        described=rule.described if rule.classes != rule.described else (),
        prepared=spec.prepared,
    )


def _check_finite(state: Mapping[str, Tensor]) -> None:
    broken = [
        f"{name} ({int((~value.isfinite()).sum())} of {value.numel()})"
        for name, value in state.items()
        if not value.isfinite().all()
    ]
    if broken:
        more = f" and {len(broken) - MOST_NAMED} more" if len(broken) > MOST_NAMED else ""
        raise ModelError(
            f"the weights hold values that are no finite numbers (NaN or infinity), in "
            f"{', '.join(broken[:MOST_NAMED])}{more}. Such a network answers the same to every image: its "
            "training has diverged, or the file is damaged. Take a checkpoint from before that, or train "
            "again with a lower learning rate"
        )


def spec_of(model: RegisteredModel) -> ModelSpec:
    """The description of a registered model."""
    preprocessing = Preprocessing(
        model.height,
        model.width,
        model.channels,
        model.mean,
        model.std,
        Fitting.parse(model.prepared).blue_first,
    )
    return ModelSpec(
        model.architecture,
        model.described or model.class_names,
        model.good_classes,
        preprocessing,
        model.bit_depth,
        model.decision,
        model.prepared,
    )


@lru_cache(maxsize=4)
def load_model(workspace: Path, model: RegisteredModel, device: str) -> Classifier:
    """Load a registered model. Raises ModelError where its weights are not those that were registered."""
    spec, path = spec_of(model), workspace / model.weights_path
    if not path.is_file():
        raise ModelError(
            f"the weights of model {model.model_hash[:12]} are gone: no {path}. Restore the file, or "
            "register the model again with `fmi register`."
        )
    classifier = load_classifier(
        spec.architecture,
        path,
        spec.rule,
        spec.preprocessing,
        choose_device(device),
    )
    if classifier.identity != model.model_hash:
        raise ModelError(
            f"the weights in {path} have hash {classifier.identity[:16]}; "
            f"{model.model_hash[:16]} was registered. The file was changed: register the model again."
        )
    return classifier


def examined(
    workspace: Workspace, model: RegisteredModel, references: Sequence[ReferenceImage]
) -> tuple[Layer, ...]:
    """The layers of a model, once it has shown on reference images that a night can ask it.

    Raises ClassifierError saying what it cannot do.
    """
    classifier = load_model(workspace.root, model, workspace.settings.compute.device)
    some = sample(len(references), EXAMINED, workspace.settings.compute.seed)
    paths = [Path(references[row].image_path) for row in some]
    how = reading(workspace.settings.images, model.bit_depth, model.prepared)
    return examine(classifier, load_images(paths, classifier.preprocessing, how=how))


class Answered(NamedTuple):
    """How a model answers labelled images."""

    right: int
    images: int
    undecided: int  # left to a person


def reference_accuracy(
    workspace: Workspace, model: RegisteredModel, references: Sequence[ReferenceImage], most: int = 500
) -> dict[str, Answered]:
    """How a model answers its references, by split, on at most `most` images of each."""
    classifier = load_model(workspace.root, model, workspace.settings.compute.device)
    counts = {}
    for split in ("train", "val"):
        mine = [each for each in references if each.split == split]
        mine = mine[:: max(1, len(mine) // most)][:most]
        if mine:
            images = load_images(
                [Path(each.image_path) for each in mine],
                classifier.preprocessing,
                how=reading(workspace.settings.images, model.bit_depth, model.prepared),
            )
            answers = classifier.predict(images, workspace.settings.compute.batch_size)
            if not np.isfinite(answers).all():
                raise ModelError(
                    f"model {model.model_hash[:12]} answers {split} images with values that are no finite "
                    "numbers: its weights are too large, or --mean and --std are not those of its training"
                )
            chosen = answers.argmax(1)
            names = [classifier.class_names[i] for i in chosen]
            right = sum(name == each.label for name, each in zip(names, mine, strict=True))
            counts[split] = Answered(right, len(mine), names.count(model.rule.undecided))
    return counts
