"""Blame as findings: which filters of which layer caused a failure mode, beside the controls."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmi_engine import blame as engine
from fmi_engine.probe import find_layer
from fmi_engine.types import FloatArray, Images, Layer, Screening, Verification
from inspection.evidence.case import Case
from inspection.evidence.subject import Subject
from inspection.findings import BlamedFilter, FlipRate
from inspection.inputs.labelled import sample
from inspection.progress import Progress
from inspection.workspace.settings import Settings


def screen(subject: Subject, images: Images, true: NDArray[np.int64], progress: Progress = None) -> Screening:
    """Blame every filter of every layer for a batch of errors."""
    return engine.screen(
        subject.classifier,
        subject.layers,
        subject.reference,
        images,
        true,
        subject.settings.compute.batch_size,
        progress,
    )


@dataclass(frozen=True, slots=True)
class LayerProbe:
    """The blame of one layer's filters, halfway to the normal, on a sample of the errors: it chooses them."""

    layer: str
    blame: FloatArray  # (sampled errors, channels), in logits


def probe_layers(case: Case) -> tuple[LayerProbe, ...]:
    """Probe the layers whose blamed filters, patched on a sample of the errors, flip most beyond the control.

    The layers are chosen by the screen's blame; the filters of those that are chosen are blamed anew.
    """
    few = case.part(_choosing(case))
    scores, run = [], {}
    for layer in case.subject.layers:
        k = _k(case.subject, layer)
        sets = [
            engine.most_blamed(few.screening.blame[layer.name], k),
            engine.most_deviating(few.screening, case.subject.reference, layer.name, k),
        ]
        run[layer.name] = run_up_to(few, layer)
        patched = engine.patched_margins(
            _patching(case.subject, layer), run[layer.name], few.true, sets, few.screening.predicted
        )
        blamed, deviating = (float(rate) for rate in patched.right.mean(1))
        scores.append((blamed - deviating, float(-patched.margin[0].mean()), layer.name))
    best = sorted(scores, reverse=True)[: case.subject.settings.blame.verified_layers]
    return tuple(probe_layer(few, find_layer(case.subject.layers, name), run[name]) for *_, name in best)


def probe_layer(case: Case, layer: Layer, begun: Sequence[engine.Begun]) -> LayerProbe:
    """Blame the filters of one layer halfway to the normal.

    `begun` are the errors of the case, in order, run up to the layer.
    """
    subject = case.subject
    blame = engine.blame_midway(subject.cut(layer.name), layer, subject.reference, case.screening, begun)
    return LayerProbe(layer.name, blame)


def run_up_to(case: Case, layer: Layer) -> list[engine.Begun]:
    """Run the errors up to a layer, for what goes on from there."""
    subject = case.subject
    batch_size = subject.settings.compute.batch_size
    return engine.run_up_to(subject.classifier, subject.cut(layer.name), case.images, batch_size)


def _patching(subject: Subject, layer: Layer) -> engine.Patching:
    batch_size = subject.settings.compute.batch_size
    return engine.Patching(subject.classifier, layer, subject.reference, subject.cut(layer.name), batch_size)


def _choosing(case: Case) -> NDArray[np.int64]:
    """Positions of the errors on which filters are chosen."""
    settings = case.subject.settings
    return sample(len(case), settings.blame.choosing_errors, settings.compute.seed)


def verify(case: Case, probe: LayerProbe, progress: Progress = None) -> FlipRate:
    """Patch the most blamed filters of one layer exactly, beside both controls.

    Where there are errors enough, the filters are chosen on some of them and the flips counted on others.
    """
    subject, settings = case.subject, case.subject.settings
    layer = find_layer(subject.layers, probe.layer)
    chosen = _choosing(case)
    rest = np.setdiff1d(np.arange(len(case)), chosen)
    rest = rest if len(rest) >= len(chosen) else np.arange(len(case))
    judged = case.part(rest[sample(len(rest), settings.blame.most_errors, settings.compute.seed)])
    filters = engine.most_blamed(probe.blame, _k(subject, layer))
    harmless = sample(len(subject.correct), settings.blame.collateral_images, settings.compute.seed)
    correct = subject.correct.subset(harmless)
    beside = (correct.images, correct.labels)
    trial = engine.Trial(filters, beside, settings.blame.random_draws, settings.compute.seed)
    verification = engine.verify(_patching(subject, layer), judged.screening, judged.images, trial, progress)
    return _flip_rate(verification, layer, settings)


def _flip_rate(verification: Verification, layer: Layer, settings: Settings) -> FlipRate:
    lower, upper = engine.bootstrap_gain(verification, settings.blame.bootstrap, settings.compute.seed)
    return FlipRate(
        layer=layer.name,
        k=len(verification.filters),
        channels=layer.channels,
        blame=verification.flip_rate,
        deviation=verification.deviation_rate,
        random=verification.random_rate,
        gain_lower=lower,
        gain_upper=upper,
        collateral=verification.collateral,
        margin_fall=float(verification.margin_fall.mean()),
    )


def shortlist(case: Case, probe: LayerProbe) -> tuple[BlamedFilter, ...]:
    """The most blamed filters of a layer, first among those that `verify` patches, each patched alone too."""
    subject, screening, name = case.subject, case.screening, probe.layer
    layer = find_layer(subject.layers, name)
    few = case.part(_choosing(case))
    filters = engine.most_blamed(probe.blame, min(subject.settings.inversion.filters, layer.channels))
    patched = engine.patched_margins(
        _patching(subject, layer),
        run_up_to(few, layer),
        few.true,
        [[channel] for channel in filters],
        few.screening.predicted,
    )
    falls = (few.screening.margin - patched.margin).mean(1)
    shift = subject.reference.standardise(name, screening.energy[name], screening.true).mean(0)
    blame = probe.blame.mean(0)
    return tuple(
        BlamedFilter(
            name, channel, rank, float(blame[channel]), float(shift[channel]), float(falls[rank - 1])
        )
        for rank, channel in enumerate(filters, 1)
    )


def _k(subject: Subject, layer: Layer) -> int:
    settings = subject.settings.blame
    return engine.patch_count(layer.channels, settings.filters, settings.largest_share)
