"""What blame costs and achieves beside its peers, at equal K, and what a night's diagnosis costs."""

import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmi_engine import blame as engine
from fmi_engine.probe import find_layer, find_module
from fmi_engine.types import Layer, Screening
from inspection.causes.diagnosis import diagnose
from inspection.evidence import blame
from inspection.evidence.case import Case
from inspection.evidence.responses import measure_in_full, measure_responses
from inspection.inputs.labelled import Labelled
from inspection.modes.grouping import group_errors
from tests.benchmarks.diagnosing import case_of
from tests.benchmarks.world import World

ERRORS = 32  # attributed by every method
CHOSEN = "blame, then probe"  # how a night chooses the filters of a layer
NIGHT = 1000  # errors of the night whose cost is measured
Attribution = Callable[[], NDArray[np.float32]]  # -> (errors, channels), summed over positions


def compare(world: World, nights: Sequence[Labelled]) -> dict[str, Any]:
    """Seconds per image and flip rate of each method at equal K, over the errors of several nights.

    `vs_conductance` is how many times as long LayerConductance takes per image as both steps of blame; None
    where Captum is not installed. A method that refused a night is left out, with its error.
    """
    found = [_compare(world, errors) for errors in nights]
    failures = {method: error for each in found for method, error in each["failures"].items()}
    methods = {
        method: {
            what: float(np.mean([each["methods"][method][what] for each in found]))
            for what in ("seconds_per_image", "flip_rate")
        }
        for method in found[0]["methods"]
        if method not in failures
    }
    conductance = methods.get("layer conductance")
    return {
        "methods": methods,
        "failures": failures,
        "vs_conductance": None
        if conductance is None
        else conductance["seconds_per_image"] / methods[CHOSEN]["seconds_per_image"],
        "compared": found,
    }


def _compare(world: World, errors: Labelled) -> dict[str, Any]:
    """The same for one night, at the layer that blame flips most with.

    Captum's methods run with their defaults, one layer, on all errors in one batch; blame screens every
    layer, and then chooses a layer's filters as a night does, on the network cut there as a night has it:
    traced once for a model. Filters are chosen on one half of the errors and patched on the other.
    """
    subject = world.subject
    few = errors.subset(np.arange(min(2 * ERRORS, len(errors))))
    chosen, judged = few.subset(np.arange(0, len(few), 2)), few.subset(np.arange(1, len(few), 2))
    screening, seconds = _timed(lambda: blame.screen(subject, chosen.images, chosen.labels))
    case = Case(subject, measure_responses(subject), screening, chosen.images)
    name = blame.probe_layers(case)[0].layer
    layer = find_layer(subject.layers, name)
    k = engine.patch_count(layer.channels, 20, 0.25)
    rankings: dict[str, tuple[list[int], float]] = {
        "blame": (engine.most_blamed(screening.blame[name], k), seconds),
        "deviation": (engine.most_deviating(screening, subject.reference, name, k), seconds),
    }
    probe, more = _timed(lambda: blame.probe_layer(case, layer, blame.run_up_to(case, layer)))
    rankings[CHOSEN] = (engine.most_blamed(probe.blame, k), seconds + more)
    failures = {}
    for method, attribute in _peers(world, layer, chosen, screening).items():
        try:
            values, took = _timed(attribute)
        except Exception as error:  # a peer may refuse a network: that is its result
            failures[method] = f"{type(error).__name__}: {error}"
            continue
        order = np.argsort(-values.mean(0), kind="stable")[:k]
        rankings[method] = ([int(c) for c in order], took)
    rates = _flip_rates(world, layer, judged, {name: chosen for name, (chosen, _) in rankings.items()})
    found = {
        method: {"seconds_per_image": took / len(chosen), "flip_rate": rates[method]}
        for method, (_, took) in rankings.items()
    }
    return {"layer": name, "k": k, "images": len(chosen), "methods": found, "failures": failures}


def night_cost(world: World, errors: Labelled) -> dict[str, float]:
    """What diagnosing 1,000 errors costs, inversions apart, beside 1,000 bare forward and backward passes.

    The bare passes are timed before and after the night, once: it would know its own images again.
    """
    subject = world.subject
    many = errors.subset(np.resize(np.arange(len(errors)), NIGHT))
    known = measure_responses(subject)
    for name in known.coarse:  # once for a model, whatever the night
        measure_in_full(subject, known, name)

    def bare() -> None:
        for i in range(0, NIGHT, 32):
            x = subject.classifier.prepare(many.images[i : i + 32]).requires_grad_(True)
            with torch.enable_grad():
                subject.classifier.network(x).sum().backward()

    def diagnosed() -> None:
        case = case_of(world, many)
        for group in group_errors(case).modes:
            part = case.part(group.rows)
            for probe in blame.probe_layers(part):
                blame.verify(part, probe)
            if group.diagnosis is None:
                diagnose(part)

    _, before = _timed(bare)
    _, night = _timed(diagnosed)
    _, after = _timed(bare)
    floor = (before + after) / 2
    return {"seconds": night, "bare_seconds": floor, "times_bare": night / floor}


def _peers(world: World, layer: Layer, errors: Labelled, screening: Screening) -> dict[str, Attribution]:
    try:
        attr = importlib.import_module("captum.attr")
    except ImportError:
        return {}
    classifier = world.subject.classifier
    module = find_module(classifier.network, layer.name)
    x = classifier.prepare(errors.images)
    predicted, true = torch.from_numpy(screening.predicted), torch.from_numpy(errors.labels)

    def margin(images: Tensor, one: Tensor, other: Tensor) -> Tensor:
        return engine.margins(classifier.network(images), one, other)

    def attribution(method: Any, **options: Any) -> Attribution:
        def run() -> NDArray[np.float32]:
            with torch.enable_grad():
                values = method(margin, module).attribute(
                    x, additional_forward_args=(predicted, true), **options
                )
            return np.asarray(values.detach().sum((2, 3)).numpy(), np.float32)

        return run

    def relevance() -> NDArray[np.float32]:
        values = attr.LayerLRP(classifier.network, module).attribute(x, target=predicted)
        return np.asarray(values.detach().sum((2, 3)).numpy(), np.float32)

    return {
        "gradient x activation": attribution(attr.LayerGradientXActivation),
        "layer conductance": attribution(attr.LayerConductance),
        "relevance propagation": relevance,
    }


def _flip_rates(
    world: World, layer: Layer, errors: Labelled, rankings: dict[str, list[int]]
) -> dict[str, float]:
    subject = world.subject
    sets = list(rankings.values())
    patching = engine.Patching(subject.classifier, layer, subject.reference, subject.cut(layer.name))
    begun = patching.run_up(errors.images)
    predicted = subject.classifier.predict(errors.images).argmax(1)
    patched = engine.patched_margins(patching, begun, errors.labels, sets, predicted)
    return {name: float(rate) for name, rate in zip(rankings, patched.right.mean(1), strict=True)}


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return run(), time.perf_counter() - start
