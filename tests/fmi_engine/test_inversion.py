from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fmi_engine.classifier import Classifier, Preprocessing
from fmi_engine.errors import UnknownLayerError
from fmi_engine.inversion import Job, Run, invert, normal_of
from fmi_engine.natural import Examples, distributions
from fmi_engine.presets import PRESETS, Preset
from fmi_engine.probe import find_layer, layers_of, tapped
from fmi_engine.types import FilterRef, FloatArray
from tests.fmi_engine.tiny import Readout, deep, hooks, plain, seeded, unit, varied

pytestmark = pytest.mark.numeric

SHORT = Preset("pixels", steps=20, learning_rate=0.1, total_variation=10.0, contrast=0.02)
SIDE = 12
SOURCES = varied(4, SIDE, 3, seed=2)


def jobs_at(layer: str, count: int = 6) -> list[Job]:
    return [Job(FilterRef(layer, k % 4), source=k % 4, seed=k) for k in range(count)]


def residual_by_hand(classifier: Classifier, job: Job, image: FloatArray) -> float:
    """||code - F*||^2 / ||F*||^2 with F* the sum over filters on one of them, in NumPy."""
    stage = {"first": 0, "third": 2}[job.filter.layer]
    network = classifier.network

    def code(x: FloatArray) -> FloatArray:
        maps = network.get_submodule("first")(classifier.preprocessing.normalise(torch.from_numpy(x[None])))
        if stage == 2:
            both = network.get_submodule("second")(maps) - 0.5 * maps
            maps = network.get_submodule("third")(both)
        return np.asarray(maps[0].numpy())

    source = code(unit(SOURCES[job.source][None])[0])
    target = np.zeros_like(source)
    target[job.filter.channel] = source.sum(0)
    return float(((code(image) - target) ** 2).sum() / (target**2).sum())


@pytest.mark.parametrize(
    "preset", [SHORT, replace(SHORT, parametrization="spectrum")], ids=["pixels", "spectrum"]
)
def test_a_job_gives_the_same_picture_alone_and_among_others(preset: Preset) -> None:
    """To a quarter of an 8-bit step: batches of other sizes are summed in another order."""
    classifier, jobs = deep(SIDE), jobs_at("third")
    together = invert(classifier, jobs, SOURCES, preset)
    for job, among_others in zip(jobs, together, strict=True):
        (alone,) = invert(classifier, [job], SOURCES, preset)
        assert np.abs(alone.image - among_others.image).max() < 0.25 / 255
        assert alone.residual == pytest.approx(among_others.residual, rel=1e-3)
    differences = [np.abs(each.image - together[0].image).max() for each in together[1:]]
    assert min(differences) > 0.05  # the jobs themselves differ


def test_a_job_does_not_depend_on_how_jobs_are_batched() -> None:
    classifier, jobs = deep(SIDE), jobs_at("third", 5)
    done: list[int] = []
    whole = invert(classifier, jobs, SOURCES, SHORT)
    parts = invert(classifier, jobs, SOURCES, SHORT, run=Run(2, done.append))
    for one, other in zip(whole, parts, strict=True):
        assert np.abs(one.image - other.image).max() < 0.25 / 255
    assert done == [2, 2, 1]


@pytest.mark.parametrize(
    "preset", [SHORT, replace(SHORT, parametrization="spectrum")], ids=["pixels", "spectrum"]
)
@pytest.mark.parametrize("layer", ["first", "third"])
def test_the_residual_falls_from_the_start(preset: Preset, layer: str) -> None:
    classifier, jobs = deep(SIDE), jobs_at(layer, 4)
    before = invert(classifier, jobs, SOURCES, replace(preset, steps=0))
    after = invert(classifier, jobs, SOURCES, preset)
    longer = invert(classifier, jobs, SOURCES, replace(preset, steps=60, total_variation=0.0))
    for i in range(4):
        assert longer[i].residual < after[i].residual < before[i].residual


def test_the_residual_is_that_of_the_picture_returned() -> None:
    classifier = deep(SIDE)
    jobs = [
        Job(FilterRef("first", 1), 3, 0),
        Job(FilterRef("third", 4), 2, 1),
        Job(FilterRef("first", 0), 0, 2),
    ]
    for job, found in zip(jobs, invert(classifier, jobs, SOURCES, SHORT), strict=True):
        assert found.residual == pytest.approx(residual_by_hand(classifier, job, found.image), rel=1e-4)


def test_pictures_have_values_from_zero_to_one_in_the_networks_own_size() -> None:
    violent = replace(SHORT, learning_rate=5.0, total_variation=0.0)
    for found in invert(deep(SIDE), jobs_at("third", 4), SOURCES, violent):
        assert found.image.shape == (3, SIDE, SIDE)
        assert found.image.dtype == np.float32
        assert found.image.min() >= 0
        assert found.image.max() <= 1
        assert found.image.max() - found.image.min() > 0.9  # it went to the walls


def grey() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(51, 204, (2, 8, 8, 1), dtype=np.uint8)


@pytest.mark.parametrize("parametrization", ["pixels", "spectrum"])
def test_where_the_target_is_in_reach_the_source_itself_is_found(parametrization: str) -> None:
    """With one filter, x, isolating it changes nothing: the picture with that code is the source."""
    classifier = Classifier(Readout([[1.0]], [[1], [2]]), ["a", "b"], plain(8, 1))
    preset = Preset(parametrization, steps=200, learning_rate=0.1, total_variation=0.0, contrast=0.02)
    for source in (0, 1):
        (found,) = invert(classifier, [Job(FilterRef("act", 0), source, 0)], grey(), preset)
        assert found.residual < 1e-8
        assert np.abs(found.image - unit(grey())[source]).max() < 1e-3


def test_an_isolated_filter_takes_over_the_energy_of_the_other() -> None:
    """Red and green filters: all energy on the red one is a picture of their sum in red, and no green."""
    classifier = Classifier(Readout([[1.0, 0, 0], [0, 1.0, 0]], [[1, 0], [0, 1]]), ["a", "b"], plain(8, 3))
    sources = np.zeros((1, 8, 8, 3), np.uint8)
    sources[..., 0], sources[..., 1] = 51, 102
    preset = Preset("pixels", steps=300, learning_rate=0.1, total_variation=0.0, contrast=0.02)
    (found,) = invert(classifier, [Job(FilterRef("act", 0), 0, 0)], sources, preset)
    assert found.image[0] == pytest.approx(np.full((8, 8), 0.6), abs=0.01)
    assert found.image[1].max() < 0.03


def test_preprocessing_is_part_of_the_descent() -> None:
    """The picture is what a camera would see, not the network's standardised input."""
    preprocessing = Preprocessing(8, 8, 1, (0.5,), (0.25,))
    classifier = Classifier(Readout([[1.0]], [[1], [2]], rectify=False), ["a", "b"], preprocessing)
    preset = Preset("pixels", steps=200, learning_rate=0.1, total_variation=0.0, contrast=0.02)
    (found,) = invert(classifier, [Job(FilterRef("conv", 0), 1, 0)], grey(), preset)
    assert np.abs(found.image - unit(grey())[1]).max() < 1e-3


def test_a_stronger_prior_leaves_a_smoother_picture() -> None:
    def roughness(total_variation: float) -> float:
        preset = replace(SHORT, steps=40, total_variation=total_variation)
        (found,) = invert(deep(SIDE), jobs_at("first", 1), SOURCES, preset)
        return float(np.abs(np.diff(found.image, axis=2)).mean())

    assert roughness(100.0) < 0.7 * roughness(0.0)


def test_the_start_is_grey_with_the_noise_of_the_seed() -> None:
    job = Job(FilterRef("first", 0), source=0, seed=11)
    (found,) = invert(deep(SIDE), [job], SOURCES, replace(SHORT, steps=0))
    noise = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(11)).numpy()
    assert np.allclose(found.image, 0.5 + 0.02 * noise, atol=1e-6)


def test_a_seed_gives_its_picture_again_and_another_seed_another() -> None:
    job = Job(FilterRef("first", 0), source=0, seed=1)
    again = invert(deep(SIDE), [job, replace(job, seed=2)], SOURCES, SHORT)
    (once,) = invert(deep(SIDE), [job], SOURCES, SHORT)
    assert np.abs(once.image - again[0].image).max() < 0.25 / 255
    assert np.abs(once.image - again[1].image).max() > 0.01


def test_jobs_of_several_layers_keep_their_order() -> None:
    jobs = [
        Job(FilterRef("third", 5), 0, 0),
        Job(FilterRef("first", 1), 1, 1),
        Job(FilterRef("third", 2), 2, 2),
        Job(FilterRef("first", 3), 3, 3),
        Job(FilterRef("third", 5), 0, 0),  # the first once more
    ]
    found = invert(deep(SIDE), jobs, SOURCES, SHORT, run=Run(2))
    assert [(each.filter, each.source, each.seed) for each in found] == [
        (job.filter, job.source, job.seed) for job in jobs
    ]
    assert np.array_equal(found[0].image, found[4].image)
    for job, each in zip(jobs, found, strict=True):
        (alone,) = invert(deep(SIDE), [job], SOURCES, SHORT)
        assert np.abs(alone.image - each.image).max() < 0.25 / 255


def test_no_jobs_are_no_pictures() -> None:
    assert invert(deep(SIDE), [], SOURCES, SHORT) == []


def test_only_the_layers_up_to_the_target_run() -> None:
    classifier, ran = deep(SIDE), []
    for name in ("first", "second", "third", "head"):
        classifier.network.get_submodule(name).register_forward_hook(lambda *_, name=name: ran.append(name))
    invert(classifier, jobs_at("first", 1), SOURCES, replace(SHORT, steps=3))
    # The target, three steps, the residual. Hooks that were there first run before the one that stops.
    assert ran == ["first"] * 5


def test_a_descent_leaves_weights_without_gradient_and_no_hook() -> None:
    classifier = deep(SIDE)
    before = classifier.weights_hash
    invert(classifier, jobs_at("third", 2), SOURCES, SHORT)
    assert all(weight.grad is None for weight in classifier.network.parameters())
    assert hooks(classifier.network) == 0
    again = Classifier(classifier.network, classifier.class_names, classifier.preprocessing)
    assert again.weights_hash == before


def test_the_sources_are_left_as_they_were() -> None:
    before = SOURCES.copy()
    invert(deep(SIDE), jobs_at("first", 2), SOURCES, SHORT)
    assert np.array_equal(SOURCES, before)


@pytest.mark.parametrize("wanted", [FilterRef("first", 4), FilterRef("layer9", 0)])
def test_a_filter_that_does_not_exist_is_refused_and_leaves_no_hook(wanted: FilterRef) -> None:
    classifier = deep(SIDE)
    with pytest.raises(UnknownLayerError):
        invert(classifier, [Job(wanted, 0, 0)], SOURCES, SHORT)
    assert hooks(classifier.network) == 0


def test_normalisation_layers_do_not_mix_the_pictures_of_a_batch() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    classifier = Classifier(seeded(network), ["a", "b"], plain(SIDE, 3))
    jobs = [Job(FilterRef("2", k), k, k) for k in range(3)]
    together = invert(classifier, jobs, SOURCES, SHORT)
    (alone,) = invert(classifier, jobs[1:2], SOURCES, SHORT)
    assert np.abs(alone.image - together[1].image).max() < 0.25 / 255


def test_the_default_preset_comes_nearer_to_what_it_weighs() -> None:
    """To its target least, and most to the codes of the crops that excite the filter: here the sources'."""
    classifier, job = deep(SIDE), jobs_at("first", 1)[0]
    layer = find_layer(layers_of(classifier), "first")
    normal = normal_of(classifier, "first", SOURCES, PRESETS["default"])
    usual, examples = (normal.energy, normal.sigma), Examples(SOURCES, {})
    goal = distributions(classifier, layer, [0], examples, usual, PRESETS["default"])
    distance, residual = [], []
    for steps in (0, PRESETS["default"].steps):
        (found,) = invert(classifier, [job], SOURCES, replace(PRESETS["default"], steps=steps))
        picture = torch.from_numpy(found.image[None])
        with torch.no_grad(), tapped(classifier.network, ["first"]) as codes:
            (left,) = goal.distance(codes(classifier.preprocessing.normalise(picture)), picture, 0)
        distance.append(float(left))
        residual.append(found.residual)
    assert distance[1] < 0.3 * distance[0]
    assert residual[1] < residual[0]
