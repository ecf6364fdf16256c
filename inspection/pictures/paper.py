"""`fmi bench paper`: does every filter extract a specific texture? The paper's claims, measured.

Xia et al., Every Filter Extracts A Specific Texture In Convolutional Neural Networks, arXiv 1608.04170.
A VGG and a ResNet are trained on the images given; at every convolutional stage filters are inverted
from several sources and tested, beside an untrained network of the same architecture and dead filters.
"""

from fmi_engine.cache import PrimitiveCache
from inspection.inputs.labelled import evenly
from inspection.models.comparison import right
from inspection.pictures.paper_networks import Nets, Plan, load, net_of, surfaces, trained, untrained
from inspection.pictures.paper_results import results_of
from inspection.pictures.paper_stage import Stage, Work, measure_stage
from inspection.pictures.sources import Step
from inspection.workspace.settings import Settings

SECOND_SEED = 1  # of the network that looks on


def measure(plan: Plan, step: Step) -> dict[str, object]:
    """Train, invert and test; returns what goes into the JSON. What is finished is kept and not done again.

    Raises InspectionError and EngineError for images that cannot be used.
    """
    stages: list[Stage] = []
    accuracy: dict[str, float] = {}
    for name in plan.networks:
        train, validation = data = load(plan, step)
        classifier = trained(plan, name, data, step)
        accuracy[name] = float(right(classifier, validation, Settings().compute.batch_size).mean())
        nets = Nets(
            net_of(name, classifier, train, own_labels=False),
            net_of(name, untrained(plan, classifier, name, train), train, own_labels=True),
            net_of(name, trained(plan, name, data, step, SECOND_SEED), train, own_labels=False),
        )
        sources = validation.images[evenly(validation.labels, plan.sources)]
        denoiser = surfaces(plan, nets.trained.labelled, step)
        work = Work(plan, sources, PrimitiveCache(plan.folder / "primitives"), denoiser)
        stages += [measure_stage(work, nets, layer, step) for layer in nets.trained.stages]
    return results_of(plan, stages, accuracy)
