"""The networks of `fmi bench paper`: trained ones, untrained controls, and what is normal in each."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fmi_engine.cache import PrimitiveCache, hash_images
from fmi_engine.classifier import Classifier, Preprocessing, build_network, choose_device
from fmi_engine.denoiser import Denoiser, learn_denoiser, weights_of, with_weights
from fmi_engine.errors import TooFewReferencesError
from fmi_engine.jury import parted
from fmi_engine.natural import Examples
from fmi_engine.presets import find_preset
from fmi_engine.probe import layers_of, stages_of
from fmi_engine.reference import Reference, build_reference
from fmi_engine.types import Layer
from inspection.errors import InspectionError
from inspection.inputs.image_sets import read_image_set
from inspection.inputs.labelled import Labelled
from inspection.models import first_model
from inspection.pictures.sources import Step
from inspection.workspace.files import replacing
from inspection.workspace.settings import ComputeSettings, Settings

NETWORKS = {"vgg": "inspection.networks:small_vgg", "resnet": "inspection.networks:small_resnet"}
MOST_REFERENCES = 400  # images on which normal energies rest


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    images: Path
    folder: Path  # of the networks, the pictures and the partial results
    networks: tuple[str, ...] = tuple(NETWORKS)
    size: int = 128  # pixels, both sides
    epochs: int = 10
    filters: int = 16  # live filters of a stage
    sources: int = 3  # source images of a filter
    dead: int = 4  # filters of a stage that are silenced
    probed: int = 4  # filters of a stage for changed sources and for seeds
    seeds: int = 8
    preset: str = "default"
    denoiser_steps: int = 1500  # in which a denoiser learns the images
    rivals: tuple[str, ...] = ("paper", "mahendran", "phase")  # presets that it is set beside
    seed: int = 0
    where: str | None = None
    settings: Settings = field(default_factory=Settings)

    @property
    def compared(self) -> tuple[str, ...]:
        """The presets that are made beside the one measured."""
        return tuple(name for name in self.rivals if name != self.preset)


def quick(plan: Plan) -> Plan:
    """The same in a tenth of the time: fewer filters, seeds and epochs."""
    return replace(
        plan,
        size=96,
        epochs=6,
        filters=6,
        sources=2,
        dead=2,
        probed=2,
        seeds=3,
        denoiser_steps=400,
        rivals=("phase",),
    )


@dataclass(frozen=True, slots=True)
class Net:
    """A network under measurement: its convolutional stages, and what is normal there."""

    name: str
    classifier: Classifier
    stages: tuple[Layer, ...]
    reference: Reference
    labelled: Labelled


@dataclass(frozen=True, slots=True)
class Nets:
    """The networks of one architecture: the one measured, and those beside it."""

    trained: Net
    untrained: Net
    second: Net  # trained from another seed


def load(plan: Plan, step: Step) -> tuple[Labelled, Labelled]:
    """The training and validation images. Raises InspectionError where they are too few."""
    made = _model_plan(plan, next(iter(NETWORKS)))
    with step("Reading the images", len(made.train) + len(made.validation)) as advance:
        train, validation = first_model.load_splits(made, advance)
    if len(validation) < plan.sources:
        raise InspectionError(
            f"{plan.images} leaves {len(validation)} validation images; {plan.sources} are needed as sources"
        )
    return train, validation


def _model_plan(plan: Plan, name: str) -> first_model.TrainingPlan:
    labelled = read_image_set(plan.images, plan.where, limits=plan.settings.tables)
    size = (plan.size, plan.size)
    request = first_model.FirstModelRequest((), NETWORKS[name], size, 0, plan.epochs)
    return first_model.plan_training(plan.settings, labelled, request)


def trained(plan: Plan, name: str, data: tuple[Labelled, Labelled], step: Step, seed: int = 0) -> Classifier:
    """A network of that name, trained on the images; kept in a file, and not trained again."""
    made = _model_plan(plan, name)
    kept = plan.folder / f"{name}-{seed}-{_fingerprint(plan, data[0])}.pt"
    if kept.is_file():
        network, preprocessing = _read(kept, name, len(made.class_names))
    else:
        with step(f"Training the {name}", len(made.train) * made.epochs) as advance:
            settings = Settings(compute=ComputeSettings(seed=seed))
            network, spec = first_model.train(settings, made, data, advance)
        preprocessing = spec.preprocessing
        _keep(kept, network, preprocessing)
    return Classifier(network, made.class_names, preprocessing, choose_device("auto"))


def surfaces(plan: Plan, data: Labelled, step: Step) -> Denoiser | None:
    """A denoiser that has learnt the images pictures are made of, where the preset asks; kept in a file."""
    if not find_preset(plan.preset).learnt:
        return None
    images = parted(Examples(data.images, {}))[0].images
    kept = plan.folder / f"denoiser-{plan.denoiser_steps}-{_fingerprint(plan, data)}.npz"
    if not kept.is_file():
        with step("Learning the surfaces", plan.denoiser_steps) as advance:
            learnt = learn_denoiser(images, plan.denoiser_steps, choose_device("auto"), progress=advance)
        with replacing(kept) as partial, partial.open("wb") as file:
            np.savez(file, **weights_of(learnt))  # type: ignore[arg-type]  # NumPy's stub, as elsewhere
    with np.load(kept) as held:
        return with_weights(dict(held))


def _read(kept: Path, name: str, classes: int) -> tuple[nn.Module, Preprocessing]:
    held = torch.load(kept, map_location="cpu", weights_only=True)
    preprocessing = Preprocessing(
        held["height"], held["width"], held["channels"], tuple(held["mean"]), tuple(held["std"])
    )
    network = build_network(NETWORKS[name], classes, preprocessing.channels)
    network.load_state_dict(held["state"])
    return network, preprocessing


def _keep(path: Path, network: nn.Module, preprocessing: Preprocessing) -> None:
    p = preprocessing
    shape = {"height": p.height, "width": p.width, "channels": p.channels}
    with replacing(path) as partial:
        state = {"state": network.state_dict(), **shape, "mean": list(p.mean), "std": list(p.std)}
        torch.save(state, partial)


def _fingerprint(plan: Plan, data: Labelled) -> str:
    words = (hash_images(data.images[None])[0], hash_images(data.labels[None])[0], plan.epochs, plan.size)
    return PrimitiveCache.key(*map(str, words))[:12]


def untrained(plan: Plan, trained: Classifier, name: str, data: Labelled) -> Classifier:
    """The same architecture as it was before training, its normalisation fitted to the images.

    With running statistics of real images it is a stronger control than one fresh from its constructor.
    """
    torch.manual_seed(plan.seed + 1)
    preprocessing, batch_size = trained.preprocessing, Settings().compute.batch_size
    network = build_network(NETWORKS[name], len(trained.class_names), preprocessing.channels)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    network.eval()
    for norm in norms:
        norm.momentum = None  # a plain average over the batches
        norm.train()
    with torch.no_grad():
        for i in range(0, min(len(data), MOST_REFERENCES), batch_size):
            network(preprocessing(data.images[i : i + batch_size]))
    return Classifier(network, trained.class_names, preprocessing, choose_device("auto"))


def net_of(name: str, classifier: Classifier, data: Labelled, *, own_labels: bool) -> Net:
    """A network with what is normal in it, by the labels of the images or by its own answers."""
    chosen = data.subset(np.random.default_rng(0).permutation(len(data))[:MOST_REFERENCES])
    layers = layers_of(classifier)
    # By its own answers every image is "correct": an untrained network has hardly any that are.
    labels = _answers(classifier, chosen) if own_labels else chosen.labels
    reference = _reference(classifier, layers, chosen.images, labels)
    return Net(name, classifier, stages_of(layers), reference, chosen)


def by_its_own_answers(net: Net, layer: Layer) -> Net:
    """The same network with one layer's normal measured anew."""
    labels = _answers(net.classifier, net.labelled)
    return replace(net, reference=_reference(net.classifier, [layer], net.labelled.images, labels))


def _answers(classifier: Classifier, data: Labelled) -> NDArray[np.int64]:
    return np.asarray(classifier.predict(data.images, Settings().compute.batch_size).argmax(1))


def _reference(
    classifier: Classifier, layers: Sequence[Layer], images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> Reference:
    size = Settings().compute.batch_size
    batches = ((images[i : i + size], labels[i : i + size]) for i in range(0, len(images), size))
    try:
        return build_reference(classifier, layers, batches)
    except TooFewReferencesError as error:
        raise InspectionError(
            f"the network that was trained here is no better than guessing: {error}"
        ) from None
