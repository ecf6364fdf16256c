"""What `fmi bench paper` measures at one convolutional stage of one network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fmi_engine.cache import PrimitiveCache
from fmi_engine.denoiser import Denoiser
from fmi_engine.descriptors import Texture, measure_texture, texture_vector
from fmi_engine.inversion import Job, Run, invert
from fmi_engine.jury import Jury, parted, summon
from fmi_engine.natural import Examples
from fmi_engine.presets import Preset, find_preset
from fmi_engine.probe import silenced
from fmi_engine.texture import auroc, describe, distances, filter_statistics, spectral_statistics
from fmi_engine.trust import trust_test
from fmi_engine.types import AblationCheck, FilterRef, FloatArray, Inversion, Layer, Layout, Trust, TrustPart
from inspection.evidence.layer_facts import ablation_on
from inspection.evidence.primitives import CONTROLS
from inspection.pictures.paper_networks import Net, Nets, Plan, by_its_own_answers
from inspection.pictures.paper_readable import RIVALS, Onlooker, Readability, measure_readability, onlooker
from inspection.pictures.sources import Step
from inspection.workspace.settings import Settings

PICTURES = "pictures"  # the trust test without the ablation check: what the pictures alone tell
SOURCE_CHANGES: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "noise, 4 levels": lambda x: x + np.random.default_rng(0).normal(0, 4, x.shape).astype(np.float32),
    "noise, 16 levels": lambda x: x + np.random.default_rng(0).normal(0, 16, x.shape).astype(np.float32),
    "lighting, x 0.7": lambda x: 0.7 * x,
    "lighting, x 0.4": lambda x: 0.4 * x,
    "blur, 1 px": lambda x: _blurred(x, 1.0),
    "blur, 3 px": lambda x: _blurred(x, 3.0),
}


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
    readability: tuple[Readability, ...]  # our preset on all of them, the published ones on those probed


@dataclass(frozen=True, slots=True)
class Work:
    """The inversions of one stage."""

    plan: Plan
    sources: NDArray[np.uint8]
    cache: PrimitiveCache | None
    denoiser: Denoiser | None  # that has learnt the images of which pictures are made

    def primitives(
        self,
        net: Net,
        layer: Layer,
        channels: NDArray[np.int64],
        real: Examples,
        advance: Callable[[int], None],
    ) -> list[Inversion]:
        """Every filter from every source, and from a shuffled and a constant map."""
        jobs = [self._job(layer, k, source) for k in channels for source in range(len(self.sources))]
        jobs += [self._job(layer, k, 0, layout) for k in channels for layout in CONTROLS]
        return self._invert(net, jobs, real, advance)

    def dead(
        self,
        net: Net,
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
            quiet = by_its_own_answers(net, layer)
            real = Examples(net.labelled.images, {}, self.denoiser).at(net.classifier, layer)
            made = replace(self, cache=None)._invert(quiet, jobs, real, advance)
            trusts = trust_test(net.classifier, quiet.reference, made, ablation=ablation)
        mine = [i for i, each in enumerate(made) if each.filter.channel in silent]
        return _share([made[i] for i in mine], [trusts[i] for i in mine], lambda trust: trust.trusted)

    def changed_sources(
        self,
        net: Net,
        layer: Layer,
        channels: NDArray[np.int64],
        made: Sequence[Inversion],
        real: Examples,
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
        found = replace(self, sources=images)._invert(net, jobs, real, advance)
        others = [each for each in made if each.layout == "source" and each.source != 0]
        per = len(channels)
        return {
            name: _still_told(found[i * per : (i + 1) * per], others) for i, name in enumerate(SOURCE_CHANGES)
        }

    def seeds(
        self,
        net: Net,
        layer: Layer,
        channels: NDArray[np.int64],
        real: Examples,
        advance: Callable[[int], None],
    ) -> dict[str, float]:
        """One source, several seeds: AUROC of same-filter pairs, and their distance beside others'."""
        jobs = [
            replace(self._job(layer, k, 0), seed=_seed(self.plan, int(k), 100 + i))
            for k in channels
            for i in range(self.plan.seeds)
        ]
        found = self._invert(net, jobs, real, advance)
        distance = distances(np.stack([describe(each.image) for each in found]))
        same, other = _pairs(found, across_sources=False)
        near, far = distance[same].mean(), distance[other].mean()
        return {
            "seeds": float(self.plan.seeds),
            "auroc": auroc(-distance[same], -distance[other]),
            "distance_ratio": float(near / max(far, 1e-12)),
        }

    def rivals(
        self,
        net: Net,
        layer: Layer,
        channels: NDArray[np.int64],
        real: Examples,
        advance: Callable[[int], None],
    ) -> dict[str, list[Inversion]]:
        """The same filters by the presets that ours is set beside."""
        jobs = [self._job(layer, k, source) for k in channels for source in range(len(self.sources))]
        return {
            name: self._invert(net, jobs, real, advance, preset)
            for name, preset in RIVALS.items()
            if name in self.plan.compared
        }

    def _job(self, layer: Layer, channel: np.integer, source: int, layout: Layout = "source") -> Job:
        ref = FilterRef(layer.name, int(channel))
        return Job(ref, source, _seed(self.plan, int(channel), source), layout)

    def _invert(
        self,
        net: Net,
        jobs: Sequence[Job],
        real: Examples,
        advance: Callable[[int], None],
        preset: Preset | None = None,
    ) -> list[Inversion]:
        return invert(
            net.classifier,
            jobs,
            self.sources,
            preset or find_preset(self.plan.preset),
            net.reference,
            parted(real)[0],
            Run(progress=advance, cache=self.cache),
        )


def measure_stage(work: Work, nets: Nets, layer: Layer, step: Step) -> Stage:
    """Invert filters of a stage, and test them beside an untrained network and dead filters."""
    trained, control = nets.trained, nets.untrained
    plan = work.plan
    live = np.flatnonzero(trained.reference.layers[layer.name].live)
    chosen = _drawn(live, plan.filters, plan.seed)
    pictures = 2 * len(chosen) * (plan.sources + len(CONTROLS)) + 2 * plan.dead * plan.sources
    probed = chosen[: plan.probed]
    pictures += len(probed) * (len(SOURCE_CHANGES) + plan.seeds + len(plan.compared) * plan.sources)
    with step(f"{trained.name}, {layer.name}", pictures) as advance:
        ablation = _ablation(trained, layer)
        real = Examples(trained.labelled.images, {}, work.denoiser).at(trained.classifier, layer)
        made = work.primitives(trained, layer, chosen, real, advance)
        jury = _jury(trained, layer, chosen, real)
        trusts = trust_test(trained.classifier, trained.reference, made, ablation=ablation, jury=jury)
        living = _drawn(np.flatnonzero(control.reference.layers[layer.name].live), len(chosen), plan.seed)
        unreal = Examples(control.labelled.images, {}, work.denoiser).at(control.classifier, layer)
        plain = work.primitives(control, layer, living, unreal, advance)
        doubted = trust_test(
            control.classifier,
            control.reference,
            plain,
            ablation=_ablation(control, layer),
            jury=_jury(control, layer, living, unreal),
        )
        dead = work.dead(trained, layer, chosen, ablation, advance)
        changed = work.changed_sources(trained, layer, probed, made, real, advance)
        seeds = work.seeds(trained, layer, probed, real, advance)
        beside = onlooker(trained, nets.second, layer)
        readability = [
            _readability(name, rivals, trained, beside, layer, real, ablation)
            for name, rivals in {
                plan.preset: [each for each in made if each.layout == "source"],
                **work.rivals(trained, layer, probed, real, advance),
            }.items()
        ]
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
        readability=tuple(readability),
    )


def _jury(net: Net, layer: Layer, channels: NDArray[np.int64], real: Examples) -> Jury:
    live = np.flatnonzero(net.reference.layers[layer.name].live).tolist()
    return summon(net.classifier, layer, channels.tolist(), live, real)


def _readability(
    preset: str,
    made: Sequence[Inversion],
    net: Net,
    beside: Onlooker,
    layer: Layer,
    real: Examples,
    ablation: AblationCheck,
) -> Readability:
    jury = _jury(net, layer, np.unique([each.filter.channel for each in made]), real)
    trusts = trust_test(net.classifier, net.reference, made, ablation=ablation, jury=jury)
    return measure_readability(preset, net, beside, layer, made, trusts, real, jury.bound)


def _drawn(live: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(seed).permutation(live)[:count])


def _ablation(net: Net, layer: Layer) -> AblationCheck:
    return ablation_on(net.classifier, layer, net.labelled, Settings().compute)


def _seed(plan: Plan, channel: int, draw: int) -> int:
    return (plan.seed * 1000 + draw) * 100_000 + channel


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
