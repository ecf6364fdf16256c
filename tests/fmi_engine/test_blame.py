from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fmi_engine.blame import (
    Patching,
    Trial,
    blame_midway,
    bootstrap_gain,
    join,
    margins,
    most_blamed,
    most_deviating,
    patch_count,
    run_up_to,
    screen,
    verify,
)
from fmi_engine.classifier import Classifier
from fmi_engine.probe import find_layers, resumption
from fmi_engine.reference import LayerReference, Reference, build_reference
from fmi_engine.types import FloatArray, Layer, Screening, Verification
from tests.fmi_engine.tiny import Readout, Unused, deep, hooks, noise, plain, seeded, unit, varied

pytestmark = pytest.mark.numeric

Hook = Callable[[object, object, torch.Tensor], torch.Tensor]

FILTERS = [[1.0, -1.0, 0.0], [0.0, 1.0, 0.5], [-0.5, 0.0, 1.0], [1.0, 1.0, 1.0]]
HEAD = [[1.0, 0.0, 0.0, 0.1], [0.0, 1.0, 0.0, -0.1], [0.3, -0.2, 1.0, 0.0]]


def rows(*values: list[float]) -> FloatArray:
    return np.array(values, np.float32)


def slow_patch(maps: FloatArray, energy: float, spread: float, nonnegative: bool) -> FloatArray:
    """DESIGN's energy patch of one map, in NumPy."""
    if maps.std() < 1e-5 * abs(maps.mean()) or maps.std() == 0:
        return np.full_like(maps, energy)
    restored = (maps - maps.mean()) / maps.std() * spread + energy
    return np.asarray(np.maximum(restored, 0) if nonnegative else restored)


# Margins and the screen


def test_a_margin_is_the_predicted_logit_minus_the_true_one() -> None:
    logits = torch.tensor([[1.0, 5.0, 2.0], [4.0, 0.0, -3.0]])
    assert margins(logits, torch.tensor([1, 0]), torch.tensor([2, 2])).tolist() == [3, 7]


def test_blame_worked_out_on_paper() -> None:
    """Two grey filters, x and 2x; logits are their energies. A picture of 0, 0.4, 0.8, 0.4 (mean 0.4)."""
    classifier = Classifier(Readout([[1.0], [2.0]], [[1, 0], [0, 1]]), ["a", "b"], plain(2, 1))
    picture = np.array([[0, 102], [204, 102]], np.uint8)[None, ..., None]
    normal = LayerReference(rows([0.5, 0.3], [9, 9]), rows([0, 0], [9, 9]), rows([1, 1])[0])
    screening = screen(
        classifier, [Layer("act", 2, 2, 2, True)], Reference({"act": normal}, np.array([8, 8])),
        picture, np.array([0]),
    )  # fmt: skip
    assert screening.predicted.tolist() == [1]
    assert screening.margin.tolist() == pytest.approx([0.8 - 0.4])
    assert screening.energy["act"].tolist() == [pytest.approx([0.4, 0.8])]
    # m = e_1 - e_0; a spread of 0 patches each map flat to 0.5 and 0.3
    assert screening.blame["act"].tolist() == [pytest.approx([-(0.4 - 0.5), 0.8 - 0.3])]


def linear(rectify: bool) -> tuple[Classifier, Layer]:
    classifier = Classifier(Readout(FILTERS, HEAD, rectify), ["a", "b", "c"], plain(6, 3))
    (layer,) = find_layers(classifier.network, torch.rand(1, 3, 6, 6))
    return classifier, layer


def code_of(images: NDArray[np.uint8], rectify: bool) -> FloatArray:
    code = np.einsum("fc,nchw->nfhw", np.array(FILTERS), unit(images))
    return np.asarray(np.maximum(code, 0) if rectify else code, np.float32)


def made_up(channels: int, classes: int, layer: str) -> Reference:
    """A reference of numbers that no image has."""
    rng = np.random.default_rng(5)
    energy, spread = rng.random((2, classes, channels), dtype=np.float32)
    return Reference(
        {layer: LayerReference(energy, spread, np.ones(channels, np.float32))}, np.full(classes, 9)
    )


def runner_up(classifier: Classifier, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Labels that make an error of every image: its second most probable class."""
    return classifier.predict(images).argsort(1)[:, -2]


@pytest.mark.parametrize("rectify", [True, False])
def test_where_all_after_the_layer_is_linear_blame_is_the_true_fall_of_the_margin(rectify: bool) -> None:
    classifier, layer = linear(rectify)
    assert (layer.name, layer.nonnegative) == ("act" if rectify else "conv", rectify)
    images = noise(9, 6, 3, seed=1)
    true = runner_up(classifier, images)
    reference = made_up(4, 3, layer.name)
    screening = screen(classifier, [layer], reference, images, true)
    code, normal = code_of(images, rectify), reference.layers[layer.name]
    for i, (right, wrong) in enumerate(zip(true, screening.predicted, strict=True)):
        pull = np.array(HEAD)[wrong] - np.array(HEAD)[right]  # of each energy on the margin
        assert screening.margin[i] == pytest.approx(float(code[i].mean((1, 2)) @ pull), abs=1e-5)
        for c in range(4):
            patched = slow_patch(code[i, c], normal.energy[right, c], normal.spread[right, c], rectify)
            fall = pull[c] * (code[i, c].mean() - patched.mean())
            assert screening.blame[layer.name][i, c] == pytest.approx(fall, abs=1e-5)
    assert (screening.margin > 0).all()


def all_layers(classifier: Classifier) -> tuple[Layer, ...]:
    return find_layers(classifier.network, torch.rand(1, 3, 8, 8))


def references(classifier: Classifier, layers: tuple[Layer, ...]) -> Reference:
    images = varied(48, 8, 3, seed=7)
    return build_reference(classifier, layers, [(images, classifier.predict(images).argmax(1))], 4)


def towards(layer: Layer, reference: Reference, true: NDArray[np.int64], channel: int, step: float) -> Hook:
    """A hook that moves one filter a small step from its map towards its energy patch."""
    normal = reference.layers[layer.name]

    def move(_module: object, _inputs: object, code: torch.Tensor) -> torch.Tensor:
        moved = code.clone()
        for i, label in enumerate(true):
            energy, spread = normal.energy[label, channel], normal.spread[label, channel]
            patched = slow_patch(code[i, channel].numpy(), energy, spread, layer.nonnegative)
            moved[i, channel] += step * (torch.from_numpy(patched) - code[i, channel])
        return moved

    return move


def test_blame_is_the_slope_of_the_margin_along_the_patch() -> None:
    """In a network that is not linear: a short step towards the patch lowers the margin by its share."""
    classifier = deep()
    layers = all_layers(classifier)
    reference, images = references(classifier, layers), varied(3, 8, 3, seed=8)
    true = runner_up(classifier, images)
    screening = screen(classifier, layers, reference, images, true)
    network, step, index = classifier.network.double(), 1e-6, np.arange(3)
    x = torch.from_numpy(unit(images)).double()
    before = network(x).numpy()
    for layer in layers:
        for channel in range(layer.channels):
            hook = towards(layer, reference, true, channel, step)
            handle = network.get_submodule(layer.name).register_forward_hook(hook)
            fall = before - network(x).numpy()
            handle.remove()
            slope = (fall[index, screening.predicted] - fall[index, true]) / step
            assert screening.blame[layer.name][:, channel] == pytest.approx(slope, abs=2e-4)


def test_blame_does_not_depend_on_the_order_or_the_batches() -> None:
    classifier = deep()
    layers = all_layers(classifier)
    reference, images = references(classifier, layers), varied(7, 8, 3, seed=8)
    true = runner_up(classifier, images)
    whole = screen(classifier, layers, reference, images, true)
    order = np.random.default_rng(0).permutation(7)
    done: list[int] = []
    shuffled = screen(
        classifier, layers, reference, images[order], true[order], batch_size=3, progress=done.append
    )
    for name in whole.blame:
        assert np.allclose(shuffled.blame[name], whole.blame[name][order], atol=1e-5)
        assert np.allclose(shuffled.energy[name], whole.energy[name][order], atol=1e-6)
    assert np.allclose(shuffled.margin, whole.margin[order], atol=1e-5)
    assert shuffled.predicted.tolist() == whole.predicted[order].tolist()
    assert shuffled.true.tolist() == true[order].tolist()
    assert done == [3, 3, 1]


def test_a_screen_leaves_no_gradient_and_no_hook() -> None:
    classifier = deep()
    layers = all_layers(classifier)
    images = varied(2, 8, 3)
    screen(classifier, layers, references(classifier, layers), images, runner_up(classifier, images))
    assert all(weight.grad is None for weight in classifier.network.parameters())
    assert hooks(classifier.network) == 0


def test_a_layer_that_the_answer_does_not_depend_on_has_no_blame() -> None:
    classifier = Classifier(seeded(Unused()), ["a", "b", "c"], plain(8, 3))
    layers, images = all_layers(classifier), varied(3, 8, 3)
    assert [layer.name for layer in layers] == ["first", "second", "third"]
    labels = runner_up(classifier, images)
    screening = screen(classifier, layers, references(classifier, layers), images, labels)
    assert screening.blame["second"].tolist() == [[0] * 4] * 3
    assert np.abs(screening.blame["first"]).max() > 0


def a_screening(blame: FloatArray, energy: FloatArray, true: list[int]) -> Screening:
    count = len(true)
    return Screening(
        {"act": blame}, {"act": energy}, np.ones(count, np.float32), np.zeros(count, np.int64), np.array(true)
    )


def test_joined_screenings_follow_each_other() -> None:
    one = a_screening(rows([1, 2]), rows([3, 4]), [1])
    two = a_screening(rows([5, 6], [7, 8]), rows([9, 10], [11, 12]), [2, 1])
    both = join([one, two])
    assert both.blame["act"].tolist() == [[1, 2], [5, 6], [7, 8]]
    assert both.energy["act"].tolist() == [[3, 4], [9, 10], [11, 12]]
    assert both.true.tolist() == [1, 2, 1]


def test_the_most_blamed_filters_have_the_highest_mean_ties_in_order() -> None:
    screening = a_screening(rows([1, -9, 4, 2, 2], [1, 3, 0, 2, 2]), rows([0] * 5, [0] * 5), [0, 0])
    assert most_blamed(screening.blame["act"], 4) == [2, 3, 4, 0]  # means 1, -3, 2, 2, 2


def test_the_most_deviating_filters_shift_most_in_either_direction() -> None:
    normal = LayerReference(rows([0, 0, 0, 0], [1, 1, 1, 1]), rows([0] * 4, [0] * 4), rows([1, 2, 0.5, 1])[0])
    reference = Reference({"act": normal}, np.array([8, 8]))
    screening = a_screening(rows([0] * 4, [0] * 4), rows([3, 4, -2, 9], [4, 5, -1, -7]), [0, 1])
    # shifts: (3, 3), (2, 2), (-4, -4), (9, -8): means 3, 2, -4, 0.5
    assert most_deviating(screening, reference, "act", 3) == [2, 0, 1]


@pytest.mark.parametrize(
    ("channels", "wanted", "share", "count"),
    [
        (64, 20, 0.25, 16),
        (512, 20, 0.25, 20),
        (16, 20, 0.5, 8),
        (3, 20, 0.25, 1),
        (7, 5, 0.5, 3),
        (8, 1, 1.0, 1),
    ],
)
def test_k_is_what_is_wanted_but_never_more_than_a_share_of_the_layer(
    channels: int, wanted: int, share: float, count: int
) -> None:
    assert patch_count(channels, wanted, share) == count


# Verification


def brute_force(
    classifier: Classifier,
    layer: Layer,
    reference: Reference,
    images: NDArray[np.uint8],
    true: NDArray[np.int64],
    filters: list[int],
) -> FloatArray:
    """Logits after patching: one image at a time through the whole network, with a hook and NumPy."""
    normal, logits = reference.layers[layer.name], []
    for image, label in zip(images, true, strict=True):

        def patch(_module: object, _inputs: object, code: torch.Tensor, label: int = label) -> torch.Tensor:
            out = code.clone()
            for c in filters:
                out[0, c] = torch.from_numpy(
                    slow_patch(
                        code[0, c].numpy(),
                        normal.energy[label, c],
                        normal.spread[label, c],
                        layer.nonnegative,
                    )
                )
            return out

        handle = classifier.network.get_submodule(layer.name).register_forward_hook(patch)
        logits.append(classifier.logits(torch.from_numpy(unit(image[None])))[0].numpy())
        handle.remove()
    return np.stack(logits)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_flips_margins_and_collateral_are_those_of_the_whole_network(which: int) -> None:
    classifier = deep(seed=4)
    layers = all_layers(classifier)
    layer, reference = layers[which], references(classifier, layers)
    images = varied(12, 8, 3, seed=9)
    true = runner_up(classifier, images)
    correct = varied(10, 8, 3, seed=10)
    labels = classifier.predict(correct).argmax(1)
    screening = screen(classifier, layers, reference, images, true)
    blamed, done = most_blamed(screening.blame[layer.name], 2), list[int]()
    found = verify(
        Patching.at(classifier, layer, reference, batch_size=5), screening, images,
        Trial(blamed, (correct, labels), random_draws=3, seed=6), done.append,
    )  # fmt: skip

    def logits(filters: list[int]) -> FloatArray:
        return brute_force(classifier, layer, reference, images, true, filters)

    deviating = most_deviating(screening, reference, layer.name, 2)
    rng = np.random.default_rng(6)
    draws = [  # three sets for every error, batch by batch
        [
            [[int(c) for c in rng.choice(layer.channels, 2, replace=False)] for _ in range(size)]
            for _ in range(3)
        ]
        for size in done
    ]
    after, index = logits(blamed), np.arange(12)
    assert found.filters == tuple(blamed)
    assert found.flips.tolist() == (after.argmax(1) == true).tolist()
    assert found.deviation_flips.tolist() == (logits(deviating).argmax(1) == true).tolist()
    for i in index:
        sets = [drawn[i % 5] for drawn in draws[i // 5]]  # of five errors each
        turned = np.mean([logits(filters)[i].argmax() == true[i] for filters in sets])
        assert found.random_flips[i] == pytest.approx(turned, abs=1e-6)
    margin = after[index, screening.predicted] - after[index, true]
    assert found.margin_fall == pytest.approx(screening.margin - margin, abs=1e-4)
    broken = brute_force(classifier, layer, reference, correct, labels, blamed).argmax(1) != labels
    assert found.collateral == pytest.approx(broken.mean(), abs=1e-6)
    assert done == [5, 5, 2]
    assert 0 < found.flip_rate < 1  # the case tells a patch that flips from one that does not


@pytest.mark.parametrize("which", [0, 1, 2])
def test_blame_midway_is_the_slope_at_the_middle_of_the_way_to_the_patched_code(which: int) -> None:
    """Through the whole network, one image and one filter at a time, by a small step either way."""
    classifier = deep(seed=4)
    layers = all_layers(classifier)
    layer, reference = layers[which], references(classifier, layers)
    images = varied(5, 8, 3, seed=9)
    true = runner_up(classifier, images)
    screening = screen(classifier, layers, reference, images, true)
    cut = resumption(classifier.network, layer.name)
    begun = run_up_to(classifier, cut, images, batch_size=2)
    found = blame_midway(cut, layer, reference, screening, begun)
    module = classifier.network.get_submodule(layer.name)
    normal = reference.layers[layer.name]

    def margin(i: int, code: FloatArray) -> float:
        handle = module.register_forward_hook(lambda *_: torch.from_numpy(code[None]))
        with torch.no_grad():
            logits = classifier.network(classifier.prepare(images[i : i + 1]).double().float())[0]
        handle.remove()
        return float(logits[screening.predicted[i]] - logits[true[i]])

    for i in range(5):
        held: list[torch.Tensor] = []
        handle = module.register_forward_hook(lambda *args, held=held: held.append(args[2]))
        with torch.no_grad():
            classifier.network(classifier.prepare(images[i : i + 1]))
        handle.remove()
        code = held[0][0].numpy()
        patched = np.stack(
            [
                slow_patch(maps, normal.energy[true[i], c], normal.spread[true[i], c], layer.nonnegative)
                for c, maps in enumerate(code)
            ]
        )
        midway = (code + patched) / 2
        for c in range(len(code)):
            step = np.zeros_like(code)
            step[c] = 0.01 * (code[c] - patched[c])
            slope = (margin(i, midway + step) - margin(i, midway - step)) / 0.02
            assert found[i, c] == pytest.approx(slope, abs=float(0.02 * abs(found[i]).max() + 1e-4))


def one_cause(random_draws: int, seed: int) -> Verification:
    """Filter 0 alone decides and is too strong; K = 1, so a random draw flips where it hits filter 0."""
    network = Readout([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [[1, 0, 0], [0, 1, 0]])
    classifier, layer = Classifier(network, ["a", "b"], plain(4, 3)), Layer("act", 3, 4, 4, True)
    images = np.zeros((5, 4, 4, 3), np.uint8)
    images[..., 0], images[..., 1] = 204, 102  # energies 0.8, 0.4, 0; normal are 0.2, 0.4, 0
    normal = LayerReference(rows([9, 9, 9], [0.2, 0.4, 0]), np.zeros((2, 3), np.float32), rows([1, 1, 1])[0])
    reference, true = Reference({"act": normal}, np.array([8, 8])), np.ones(5, np.int64)
    screening = screen(classifier, [layer], reference, images, true)
    nothing = (images[:0], true[:0])
    trial = Trial([0], nothing, random_draws, seed)
    return verify(Patching.at(classifier, layer, reference), screening, images, trial)


def test_patching_the_cause_flips_and_random_filters_flip_as_often_as_they_hit_it() -> None:
    found = one_cause(random_draws=60, seed=0)  # for each of five errors
    assert found.filters == (0,)
    assert found.flip_rate == found.deviation_rate == 1
    assert found.margin_fall == pytest.approx([0.6] * 5, abs=1e-6)  # from 0.8 - 0.4 to 0.2 - 0.4
    assert found.random_flips == pytest.approx([1 / 3] * 5, abs=0.2)  # all five errors are alike, ...
    assert len({*found.random_flips}) > 1  # ... but what is patched is not
    assert found.random_rate == pytest.approx(1 / 3, abs=0.15)
    assert found.collateral == 0


def test_a_seed_fixes_the_random_draws() -> None:
    assert one_cause(4, seed=1).random_rate == one_cause(4, seed=1).random_rate
    assert len({one_cause(4, seed).random_rate for seed in range(6)}) > 1


def test_verifying_leaves_no_hook() -> None:
    classifier = deep()
    layers = all_layers(classifier)
    reference, images = references(classifier, layers), varied(3, 8, 3)
    true = runner_up(classifier, images)
    screening = screen(classifier, layers, reference, images, true)
    patching = Patching.at(classifier, layers[1], reference)
    verify(patching, screening, images, Trial([1], (images, 1 - true)))
    assert hooks(classifier.network) == 0


# The interval of the gain


def verification(flips: list[bool], deviation: list[bool], random: list[float]) -> Verification:
    return Verification(
        "act", (0,), np.array(flips), np.array(deviation), np.array(random, np.float32),
        np.zeros(len(flips), np.float32), 0.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("flips", "deviation", "random", "gain"),
    [
        ([True] * 9, [False] * 9, [0.0] * 9, 1.0),
        ([False] * 9, [False] * 9, [0.0] * 9, 0.0),
        ([True] * 9, [True] * 9, [0.5] * 9, 0.0),
        ([False] * 9, [True] * 9, [0.0] * 9, -1.0),
        ([True] * 9, [False] * 9, [0.25] * 9, 0.75),
        ([True, False] * 9, [True, False] * 9, [0.0] * 18, 0.0),  # in pairs: they flip the same errors
    ],
)
def test_where_every_resample_agrees_the_interval_is_one_point(
    flips: list[bool], deviation: list[bool], random: list[float], gain: float
) -> None:
    assert bootstrap_gain(verification(flips, deviation, random)) == pytest.approx((gain, gain))


def test_the_interval_of_a_half_is_that_of_the_binomial() -> None:
    """100 errors, half of them flipped: the binomial's 2.5 and 97.5 % points are 40 and 60."""
    lower, upper = bootstrap_gain(verification([True, False] * 50, [False] * 100, [0.0] * 100), 4000)
    assert lower == pytest.approx(0.40, abs=0.015)
    assert upper == pytest.approx(0.60, abs=0.015)


def test_the_better_control_is_chosen_anew_in_every_resample() -> None:
    """Two controls that each flip half, never the same: together they always do at least half."""
    deviation, random = [True, False] * 50, [0.0, 1.0] * 50
    lower, upper = bootstrap_gain(verification([True, False] * 50, deviation, random), 2000)
    assert upper == 0  # the blame patch flips what the first control flips, and never more
    assert lower == pytest.approx(-0.20, abs=0.03)  # 1.96 * sqrt(1 / 100)


def test_a_seed_fixes_the_interval() -> None:
    mixed = verification([True, False, False] * 10, [False, False, True] * 10, [0.1] * 30)
    assert bootstrap_gain(mixed, seed=1) == bootstrap_gain(mixed, seed=1)
    assert bootstrap_gain(replace(mixed, layer="other"), seed=1) == bootstrap_gain(mixed, seed=1)
