"""`fmi bench paper`: does every filter extract a specific texture? The paper's claims, measured.

Xia et al., Every Filter Extracts A Specific Texture In Convolutional Neural Networks, arXiv 1608.04170.
A VGG and a ResNet are trained on the images given; at every convolutional stage filters are inverted
from several sources and tested, beside an untrained network of the same architecture and dead filters.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fmi_engine.cache import PrimitiveCache, hash_images
from fmi_engine.classifier import Classifier, Preprocessing, build_network, choose_device
from fmi_engine.descriptors import Texture, hierarchy, measure_texture, texture_vector
from fmi_engine.errors import TooFewReferencesError
from fmi_engine.inversion import Job, invert
from fmi_engine.presets import find_preset
from fmi_engine.probe import layers_of, silenced
from fmi_engine.reference import Reference, build_reference
from fmi_engine.texture import auroc, describe, distances, filter_statistics, spectral_statistics
from fmi_engine.trust import trust_test
from fmi_engine.types import AblationCheck, FilterRef, FloatArray, Inversion, Layer, Layout, Trust, TrustPart
from inspection.errors import InspectionError
from inspection.evidence.primitives import CONTROLS, ablation_on
from inspection.inputs.image_sets import read_image_set
from inspection.inputs.labelled import Labelled, evenly
from inspection.models import first_model
from inspection.models.acceptance import right
from inspection.workspace.files import replacing
from inspection.workspace.settings import Settings

NETWORKS = {"vgg": "inspection.networks:small_vgg", "resnet": "inspection.networks:small_resnet"}
PICTURES = "pictures"  # the trust test without the ablation check: what the pictures alone tell
MOST_REFERENCES = 400  # images on which normal energies rest
SOURCE_CHANGES: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "noise, 4 levels": lambda x: x + np.random.default_rng(0).normal(0, 4, x.shape).astype(np.float32),
    "noise, 16 levels": lambda x: x + np.random.default_rng(0).normal(0, 16, x.shape).astype(np.float32),
    "lighting, x 0.7": lambda x: 0.7 * x,
    "lighting, x 0.4": lambda x: 0.4 * x,
    "blur, 1 px": lambda x: _blurred(x, 1.0),
    "blur, 3 px": lambda x: _blurred(x, 3.0),
}


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
    seed: int = 0
    where: str | None = None


def quick(plan: Plan) -> Plan:
    """The same in a tenth of the time: fewer filters, seeds and epochs."""
    return replace(plan, size=96, epochs=6, filters=6, sources=2, dead=2, probed=2, seeds=3)


Step = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""A progress bar of a name and a total, as a context that lends its advance."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What was measured at one convolutional stage of one network."""

    network: str
    layer: str
    channels: int
    positions: tuple[int, int]
    live_share: float  # of the layer's filters
    filters: int  # live ones that were inverted
    auroc: float  # same-filter against different-filter pairs over different source images
    trusted_share: float  # of the live filters: most of their primitives pass the whole trust test
    untrained_trusted_share: float  # the same in the untrained network
    dead_trusted_share: float  # the same of silenced filters
    ablation: AblationCheck
    parts: dict[str, float]  # share of live filters that pass each part by itself
    untrained_parts: dict[str, float]
    untrained_auroc: float
    residual: float  # median
    energy: float  # median standardised energy of the filter when fed back, in sigma
    distances: dict[str, float]  # the same AUROC by each texture distance
    changed_sources: dict[str, dict[str, float]]  # change -> likeness, and auroc of telling the filter still
    seeds: dict[str, float]  # stability over seeds
    textures: tuple[Texture, ...]  # one for each filter


@dataclass(frozen=True, slots=True)
class _Net:
    name: str
    classifier: Classifier
    stages: tuple[Layer, ...]
    reference: Reference
    labelled: Labelled


def measure(plan: Plan, step: Step) -> dict[str, object]:
    """Train, invert and test; returns what goes into the JSON. What is finished is kept and not done again.

    Raises InspectionError and EngineError for images that cannot be used.
    """
    stages: list[Stage] = []
    accuracy: dict[str, float] = {}
    for name in plan.networks:
        data = _load(plan, step)
        network, pre, classes, accuracy[name] = _trained(plan, name, data, step)
        trained = _net(name, network, pre, classes, data[0], own_labels=False)
        control = _net(
            name, _untrained(plan, name, pre, classes, data[0]), pre, classes, data[0], own_labels=True
        )
        sources = data[1].images[evenly(data[1].labels, plan.sources)]
        for layer in trained.stages:
            stages.append(_stage(plan, trained, control, layer, sources, step))
    return _results(plan, stages, accuracy)


def _load(plan: Plan, step: Step) -> tuple[Labelled, Labelled]:
    made = _model_plan(plan, next(iter(NETWORKS)))
    with step("Reading the images", len(made.train) + len(made.validation)) as advance:
        train, validation = first_model.load_splits(made, advance)
    if len(validation) < plan.sources:
        raise InspectionError(
            f"{plan.images} leaves {len(validation)} validation images; {plan.sources} are needed as sources"
        )
    return train, validation


def _model_plan(plan: Plan, name: str) -> first_model.TrainingPlan:
    labelled = read_image_set(plan.images, plan.where)
    request = first_model.FirstModelRequest((), NETWORKS[name], (plan.size, plan.size), 0, plan.epochs)
    return first_model.plan_training(Settings(), labelled, request)


def _trained(
    plan: Plan, name: str, data: tuple[Labelled, Labelled], step: Step
) -> tuple[nn.Module, Preprocessing, tuple[str, ...], float]:
    made = _model_plan(plan, name)
    kept = plan.folder / f"{name}-{_fingerprint(plan, data[0])}.pt"
    if kept.is_file():
        held = torch.load(kept, map_location="cpu", weights_only=True)
        preprocessing = Preprocessing(
            held["height"], held["width"], held["channels"], tuple(held["mean"]), tuple(held["std"])
        )
        network = build_network(NETWORKS[name], len(made.class_names), preprocessing.channels)
        network.load_state_dict(held["state"])
    else:
        with step(f"Training the {name}", len(made.train) * made.epochs) as advance:
            network, spec = first_model.train(Settings(), made, data, advance)
        preprocessing = spec.preprocessing
        p = preprocessing
        with replacing(kept) as partial:
            torch.save(
                {
                    "state": network.state_dict(),
                    "height": p.height,
                    "width": p.width,
                    "channels": p.channels,
                    "mean": list(p.mean),
                    "std": list(p.std),
                },
                partial,
            )
    classifier = Classifier(network, made.class_names, preprocessing, choose_device("auto"))
    hits = right(classifier, data[1], Settings().compute.batch_size)
    return network, preprocessing, made.class_names, float(hits.mean())


def _fingerprint(plan: Plan, data: Labelled) -> str:
    words = (hash_images(data.images[None])[0], hash_images(data.labels[None])[0], plan.epochs, plan.size)
    return PrimitiveCache.key(*map(str, words))[:12]


def _untrained(
    plan: Plan, name: str, preprocessing: Preprocessing, classes: Sequence[str], data: Labelled
) -> nn.Module:
    """The same architecture as it was before training, its normalisation fitted to the images.

    With running statistics of real images it is a stronger control than one fresh from its constructor.
    """
    torch.manual_seed(plan.seed + 1)
    network = build_network(NETWORKS[name], len(classes), preprocessing.channels)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    network.eval()
    for norm in norms:
        norm.momentum = None  # a plain average over the batches
        norm.train()
    with torch.no_grad():
        for i in range(0, min(len(data), MOST_REFERENCES), 32):
            network(preprocessing(data.images[i : i + 32]))
    return network


def _net(
    name: str,
    network: nn.Module,
    preprocessing: Preprocessing,
    classes: Sequence[str],
    data: Labelled,
    *,
    own_labels: bool,
) -> _Net:
    classifier = Classifier(network, classes, preprocessing, choose_device("auto"))
    chosen = data.subset(np.random.default_rng(0).permutation(len(data))[:MOST_REFERENCES])
    layers = layers_of(classifier)
    # By its own answers every image is "correct": an untrained network has hardly any that are.
    labels = classifier.predict(chosen.images).argmax(1) if own_labels else chosen.labels
    return _Net(
        name, classifier, stages_of(layers), _reference(classifier, layers, chosen.images, labels), chosen
    )


def _reference(
    classifier: Classifier, layers: Sequence[Layer], images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> Reference:
    batches = ((images[i : i + 32], labels[i : i + 32]) for i in range(0, len(images), 32))
    try:
        return build_reference(classifier, layers, batches)
    except TooFewReferencesError as error:
        raise InspectionError(
            f"the network that was trained here is no better than guessing: {error}"
        ) from None


def stages_of(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The last layer of each resolution: the convolutional stages."""
    return tuple({(layer.height, layer.width): layer for layer in layers}.values())


# --- one stage ---


def _stage(
    plan: Plan, trained: _Net, control: _Net, layer: Layer, sources: NDArray[np.uint8], step: Step
) -> Stage:
    live = np.flatnonzero(trained.reference.layers[layer.name].live)
    chosen = _drawn(live, plan.filters, plan.seed)
    cache = PrimitiveCache(plan.folder / "primitives")
    work = _Work(plan, sources, cache)
    pictures = 2 * len(chosen) * (plan.sources + len(CONTROLS)) + 2 * plan.dead * plan.sources
    probed = chosen[: plan.probed]
    pictures += len(probed) * (len(SOURCE_CHANGES) + plan.seeds)
    with step(f"{trained.name}, {layer.name}", pictures) as advance:
        ablation = _ablation(trained, layer)
        made = work.primitives(trained, layer, chosen, advance)
        trusts = trust_test(trained.classifier, trained.reference, made, ablation=ablation)
        living = _drawn(np.flatnonzero(control.reference.layers[layer.name].live), len(chosen), plan.seed)
        plain = work.primitives(control, layer, living, advance)
        doubted = trust_test(control.classifier, control.reference, plain, ablation=_ablation(control, layer))
        dead = work.dead(trained, layer, chosen, ablation, advance)
        changed = work.changed_sources(trained, layer, probed, made, advance)
        seeds = work.seeds(trained, layer, probed, advance)
    own = [each for each in made if each.layout == "source"]
    firsts = {each.filter.channel: each for each in reversed(own)}
    return Stage(
        network=trained.name,
        layer=layer.name,
        channels=layer.channels,
        positions=(layer.height, layer.width),
        live_share=len(live) / layer.channels,
        filters=len(chosen),
        auroc=pair_auroc(own),
        trusted_share=_share(made, trusts, lambda trust: trust.trusted),
        untrained_trusted_share=_share(plain, doubted, lambda trust: trust.trusted),
        dead_trusted_share=dead,
        ablation=ablation,
        parts=_parts(made, trusts),
        untrained_parts=_parts(plain, doubted),
        untrained_auroc=pair_auroc([each for each in plain if each.layout == "source"]),
        residual=float(np.median([each.residual for each in own])),
        energy=float(np.median([trust.energy for trust in trusts])),
        distances={
            "spectral statistics": pair_auroc(own, spectral_statistics),
            "random-filter statistics": pair_auroc(own, filter_statistics),
            "both": pair_auroc(own),
            "descriptors": pair_auroc(own, _descriptor_vector),
        },
        changed_sources=changed,
        seeds=seeds,
        textures=tuple(measure_texture(firsts[int(k)].image) for k in chosen),
    )


def _drawn(live: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(seed).permutation(live)[:count])


def _ablation(net: _Net, layer: Layer) -> AblationCheck:
    return ablation_on(net.classifier, layer, net.labelled, Settings().compute)


@dataclass(frozen=True, slots=True)
class _Work:
    """The inversions of one stage."""

    plan: Plan
    sources: NDArray[np.uint8]
    cache: PrimitiveCache

    def primitives(
        self, net: _Net, layer: Layer, channels: NDArray[np.int64], advance: Callable[[int], None]
    ) -> list[Inversion]:
        """Every filter from every source, and from a shuffled and a constant map."""
        jobs = [self._job(layer, k, source) for k in channels for source in range(len(self.sources))]
        jobs += [self._job(layer, k, 0, layout) for k in channels for layout in CONTROLS]
        return self._invert(net, jobs, advance)

    def dead(
        self,
        net: _Net,
        layer: Layer,
        channels: NDArray[np.int64],
        ablation: AblationCheck,
        advance: Callable[[int], None],
    ) -> float:
        """Silence some filters, measure what is normal anew, and test them beside as many live ones."""
        silent, beside = channels[: self.plan.dead], channels[self.plan.dead : 2 * self.plan.dead]
        tested = [*silent, *beside]
        jobs = [self._job(layer, k, source) for k in tested for source in range(len(self.sources))]
        with silenced(net.classifier.network, layer.name, [int(k) for k in silent]):
            # The weights are the same, so the cache must not answer.
            reference = _own_reference(net, layer)
            made = self._invert(net, jobs, advance, reference, cached=False)
            trusts = trust_test(net.classifier, reference, made, ablation=ablation)
        mine = [i for i, each in enumerate(made) if each.filter.channel in silent]
        return _share([made[i] for i in mine], [trusts[i] for i in mine], lambda trust: trust.trusted)

    def changed_sources(
        self,
        net: _Net,
        layer: Layer,
        channels: NDArray[np.int64],
        made: Sequence[Inversion],
        advance: Callable[[int], None],
    ) -> dict[str, dict[str, float]]:
        """How the primitive changes with noise, lighting and blur of its source.

        `auroc`: how surely the primitive from the changed source is still nearer to those of its filter
        from the other, unchanged sources than to those of other filters.
        """
        source = self.sources[0].astype(np.float32)
        changed = np.stack([change(source) for change in SOURCE_CHANGES.values()])
        images = np.concatenate([self.sources, np.clip(np.round(changed), 0, 255).astype(np.uint8)])
        jobs = [
            replace(self._job(layer, k, len(self.sources) + i), seed=_seed(self.plan, int(k), 0))
            for i in range(len(changed))
            for k in channels
        ]
        found = self._invert(net, jobs, advance, sources=images)
        others = [each for each in made if each.layout == "source" and each.source != 0]
        per = len(channels)
        return {
            name: _still_told(found[i * per : (i + 1) * per], others) for i, name in enumerate(SOURCE_CHANGES)
        }

    def seeds(
        self,
        net: _Net,
        layer: Layer,
        channels: NDArray[np.int64],
        advance: Callable[[int], None],
    ) -> dict[str, float]:
        """One source, several seeds: AUROC of same-filter pairs, and their distance beside others'."""
        jobs = [
            replace(self._job(layer, k, 0), seed=_seed(self.plan, int(k), 100 + i))
            for k in channels
            for i in range(self.plan.seeds)
        ]
        found = self._invert(net, jobs, advance)
        distance = distances(np.stack([describe(each.image) for each in found]))
        same, other = _pairs(found, across_sources=False)
        near, far = distance[same].mean(), distance[other].mean()
        return {
            "seeds": float(self.plan.seeds),
            "auroc": auroc(-distance[same], -distance[other]),
            "distance_ratio": float(near / max(far, 1e-12)),
        }

    def _job(self, layer: Layer, channel: np.integer, source: int, layout: Layout = "source") -> Job:
        ref = FilterRef(layer.name, int(channel))
        return Job(ref, source, _seed(self.plan, int(channel), source), layout)

    def _invert(
        self,
        net: _Net,
        jobs: Sequence[Job],
        advance: Callable[[int], None],
        reference: Reference | None = None,
        sources: NDArray[np.uint8] | None = None,
        *,
        cached: bool = True,
    ) -> list[Inversion]:
        return invert(
            net.classifier,
            jobs,
            self.sources if sources is None else sources,
            find_preset(self.plan.preset),
            progress=advance,
            reference=reference or net.reference,
            cache=self.cache if cached else None,
        )


def _seed(plan: Plan, channel: int, draw: int) -> int:
    return (plan.seed * 1000 + draw) * 100_000 + channel


def _own_reference(net: _Net, layer: Layer) -> Reference:
    labels = net.classifier.predict(net.labelled.images).argmax(1)
    return _reference(net.classifier, [layer], net.labelled.images, labels)


def _share(
    inversions: Sequence[Inversion], trusts: Sequence[Trust], passes: Callable[[Trust], bool]
) -> float:
    """The share of filters of whose primitives more than half pass."""
    owners = np.array([each.filter.channel for each in inversions if each.layout == "source"])
    good = np.array([passes(trust) for trust in trusts])
    return float(np.mean([good[owners == owner].mean() > 0.5 for owner in np.unique(owners)]))


def _parts(inversions: Sequence[Inversion], trusts: Sequence[Trust]) -> dict[str, float]:
    """The share of filters that pass each part of the trust test by itself, and all but the ablation."""

    def passing(part: TrustPart) -> float:
        return _share(inversions, trusts, lambda trust: not trust.fails(part))

    shares = {part.value: passing(part) for part in TrustPart}
    return {**shares, PICTURES: _share(inversions, trusts, _by_pictures_alone)}


def _by_pictures_alone(trust: Trust) -> bool:
    return all(each.part is TrustPart.ABLATION for each in trust.failed)


def pair_auroc(
    inversions: Sequence[Inversion], described_by: Callable[[FloatArray], FloatArray] = describe
) -> float:
    """AUROC of same-filter against different-filter pairs, over pairs from different source images."""
    distance = distances(np.stack([described_by(each.image) for each in inversions]))
    same, other = _pairs(inversions, across_sources=True)
    return auroc(-distance[same], -distance[other])


def _pairs(
    inversions: Sequence[Inversion], *, across_sources: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    owner = np.array([each.filter.channel for each in inversions])
    source = np.array([each.source for each in inversions])
    upper = np.triu(np.ones((len(owner), len(owner)), bool), 1)
    if across_sources:
        upper &= source[:, None] != source[None]
    alike = owner[:, None] == owner[None]
    return upper & alike, upper & ~alike


def _still_told(found: Sequence[Inversion], others: Sequence[Inversion]) -> dict[str, float]:
    distance = distances(np.stack([describe(each.image) for each in (*found, *others)]))
    owners = np.array([each.filter.channel for each in others])
    near, far = [], []
    for row, each in zip(distance[: len(found), len(found) :], found, strict=True):
        near.append(row[owners == each.filter.channel])
        far.append(row[owners != each.filter.channel])
    mine, theirs = np.concatenate(near), np.concatenate(far)
    return {
        "auroc": auroc(-mine, -theirs),
        "distance_ratio": float(mine.mean() / max(theirs.mean(), 1e-12)),
    }


def _descriptor_vector(image: FloatArray) -> FloatArray:
    return texture_vector(measure_texture(image))


def _blurred(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    blurred: NDArray[np.float32] = cv2.GaussianBlur(image, (0, 0), sigma)
    return blurred.reshape(image.shape)


# --- results ---


def _results(plan: Plan, stages: Sequence[Stage], accuracy: dict[str, float]) -> dict[str, object]:
    rows = [_row(stage) for stage in stages]
    return {
        "images": plan.images.name,
        "settings": {key: value for key, value in asdict(plan).items() if key not in ("images", "folder")},
        "accuracy": accuracy,  # on the validation images
        "layers": rows,
        "verdicts": list(verdicts(rows)),
        "hierarchy": {name: _hierarchy(stages, name) for name in plan.networks},
    }


def _row(stage: Stage) -> dict[str, Any]:
    row: dict[str, Any] = {key: value for key, value in asdict(stage).items() if key != "textures"}
    return {**row, "textures": [asdict(texture) for texture in stage.textures]}


def _hierarchy(stages: Sequence[Stage], network: str) -> list[dict[str, object]]:
    mine = [stage for stage in stages if stage.network == network]
    rows = hierarchy({stage.layer: stage.textures for stage in mine}, [stage.layer for stage in mine])
    return [asdict(row) for row in rows]


def check_writable(plan: Plan, json_path: Path) -> None:
    """Raise InspectionError before the work begins where its results could not be kept."""
    for folder in (plan.folder, json_path.parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / ".fmi-write-check") as partial:
                partial.touch()
            (folder / ".fmi-write-check").unlink()
        except OSError as error:
            raise InspectionError(f"{folder} cannot be written to: {error.strerror}") from None
    if json_path.is_dir():
        raise InspectionError(f"{json_path} is a folder; expected the name of a JSON file")


def write_json(path: Path, results: dict[str, object]) -> None:
    """Write the results as a whole or not at all. Raises InspectionError where that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            text = json.dumps(_plain(results), indent=1, allow_nan=False)
            partial.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InspectionError(f"{path} cannot be written: {error.strerror}") from None


def _plain(value: object) -> object:
    """What JSON can hold: NumPy's numbers as Python's, and what is not a number as null."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def verdicts(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The paper's claims against the figures, in sentences; what does not hold is said as plainly."""
    for name in {row["network"]: None for row in rows}:
        mine = [row for row in rows if row["network"] == name]
        weak = [row["layer"] for row in mine if row["auroc"] < 0.95]
        few = [row["layer"] for row in mine if row["trusted_share"] < 0.9]
        loose = [row["layer"] for row in mine if row["untrained_parts"][PICTURES] >= 0.05]
        yield _sentence(
            name, "every filter has a texture of its own over different images (AUROC 0.95)", weak
        )
        yield _sentence(name, "nine in ten live filters pass the trust test", few)
        yield _sentence(name, "pictures alone tell a trained network from an untrained one", loose)


def _sentence(network: str, claim: str, failing: Sequence[str]) -> str:
    if not failing:
        return f"{network}: {claim}: holds at every stage"
    return f"{network}: {claim}: does not hold at {', '.join(failing)}"
