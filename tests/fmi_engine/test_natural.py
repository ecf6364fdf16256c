"""Distributions of codes, by hand and against slow rewrites."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from fmi_engine.classifier import Classifier
from fmi_engine.inversion import normal_of
from fmi_engine.natural import (
    PIXELS,
    SCALES,
    Distribution,
    Examples,
    _behind,
    _inside,
    _typical,
    _unit,
    _windows,
    distributions,
    layers_up_to,
    look,
)
from fmi_engine.patches import Box, Peaks, boxes, find_peaks
from fmi_engine.presets import Preset
from fmi_engine.probe import find_layer, layers_of, tapped
from fmi_engine.types import FloatArray, Layer
from tests.fmi_engine.tiny import Readout, deep, hooks, plain, unit, varied

pytestmark = pytest.mark.numeric

SIDE = 16
IMAGES = varied(6, SIDE, 3, seed=8)


# A typical crop


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (4, [1, 2, 3, 4]),  # as many as there are: themselves
        (2, [1.5, 3.5]),
        (1, [2.5]),
        (8, [1, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4]),  # the ends are the lowest and the highest
    ],
)
def test_a_crop_alone_is_typical_at_equal_shares_of_its_distribution(
    points: int, expected: list[float]
) -> None:
    values = torch.tensor([[[3.0, 1.0, 4.0, 2.0]], [[30.0, 10.0, 40.0, 20.0]]])
    found = _typical(values, points)
    assert found.tolist() == [pytest.approx(expected), pytest.approx([10 * each for each in expected])]


def test_of_several_crops_the_sorted_values_are_averaged() -> None:
    values = torch.tensor([[[5.0, 1.0], [2.0, 8.0]]])
    assert _typical(values, 2).tolist() == [[1.5, 6.5]]  # not 1 and 8, as of all their values together


def test_a_single_value_is_typical_everywhere() -> None:
    assert _typical(torch.tensor([[[7.0]]]), 3).tolist() == [[7, 7, 7]]


# The unit of comparison


def test_the_unit_of_a_filter_is_its_spread_and_at_least_a_quarter_of_the_median() -> None:
    steps = torch.tensor([-1.0, 1.0, -1.0, 1.0])  # a spread of 1
    values = torch.stack([0.0 * steps, 0.1 * steps, 2 * steps, 8 * steps, 9 * steps])[:, None]
    assert _unit("layer1", values).tolist() == pytest.approx([0.5, 0.5, 2, 8, 9])
    for name in (PIXELS, "differences at 4"):
        assert _unit(name, values).tolist() == pytest.approx([1 / 255, 0.1, 2, 8, 9])


def test_where_every_filter_is_silent_the_unit_is_no_zero() -> None:
    assert (_unit("layer1", torch.zeros(3, 1, 5)) > 0).all()


# What is looked at in a step


def test_a_window_as_large_as_a_small_code_holds_all_of_it() -> None:
    small = torch.arange(2 * 3 * 16 * 16.0).view(2, 3, 16, 16)
    assert torch.equal(_windows(small, (1.0, 1.0), 5), small.flatten(2)[:, :, None])


def test_of_a_large_window_every_so_many_rows_and_columns_are_looked_at_from_starts_that_change() -> None:
    large = torch.arange(48 * 48.0).view(1, 1, 48, 48)
    starts = set()
    for step in range(60):
        found = _windows(large, (1.0, 1.0), step)[0, 0, 0].view(24, 24)
        first = int(found[0, 0])
        starts.add(divmod(first, 48))
        expected = first + 48 * 2 * torch.arange(24)[:, None] + 2 * torch.arange(24)
        assert torch.equal(found.long(), expected)
        assert torch.equal(_windows(large, (1.0, 1.0), step)[0, 0, 0], found.flatten())
    assert starts == {(down, right) for down in range(2) for right in range(2)}


def test_windows_lie_anywhere_whole_and_as_many_as_cover_the_code() -> None:
    code = torch.arange(12 * 16.0).view(1, 1, 12, 16)
    seen = torch.zeros(12 * 16)
    for step in range(40):
        found = _windows(code, (1 / 3, 1 / 4), step)
        assert found.shape == (1, 1, 12, 16)  # 3 by 4 windows of 4 by 4
        for window in found[0, 0].long():
            first = int(window[0])
            assert torch.equal(window.view(4, 4), first + 16 * torch.arange(4)[:, None] + torch.arange(4))
            seen[window] += 1
    assert float(seen.min()) > 0  # the borders as well


def test_a_window_of_a_coarse_code_is_one_position_at_least_and_never_thinned_below_three_across() -> None:
    assert _windows(torch.zeros(2, 5, 3, 3), (0.1, 0.1), 0).shape == (2, 5, 100, 1)
    assert _windows(torch.zeros(1, 1, 96, 96), (0.05, 0.05), 0).shape == (1, 1, 400, 25)  # 5 of 5 across
    assert _windows(torch.zeros(1, 1, 96, 96), (0.1, 0.1), 0).shape == (1, 1, 100, 9)  # 3 of 10


# The look of a picture without a network


def slow_look(picture: FloatArray, scale: int) -> FloatArray:
    """Differences to the right, then downwards, of the means of squares of so many pixels."""
    channels, height, width = (picture.shape[0], *(length // scale for length in picture.shape[1:]))
    coarse = np.zeros((channels, height, width))
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                block = picture[c, i * scale : (i + 1) * scale, j * scale : (j + 1) * scale]
                coarse[c, i, j] = block.astype(np.float64).mean()
    found = np.zeros((2 * channels, height - 1, width - 1))
    for c in range(channels):
        for i in range(height - 1):
            for j in range(width - 1):
                found[c, i, j] = coarse[c, i, j + 1] - coarse[c, i, j]
                found[channels + c, i, j] = coarse[c, i + 1, j] - coarse[c, i, j]
    return found


def test_the_look_is_the_pixels_and_their_differences_at_every_scale() -> None:
    pictures = unit(varied(2, 19, 3, seed=1))
    found = look(torch.from_numpy(pictures))
    assert list(found) == [PIXELS, *(f"differences at {scale}" for scale in SCALES)]
    assert np.array_equal(found[PIXELS].numpy(), pictures)
    for scale in SCALES:
        seen = found[f"differences at {scale}"].numpy()
        for i in range(2):
            assert seen[i] == pytest.approx(slow_look(pictures[i], scale), abs=1e-6)


def test_what_is_smaller_than_two_pixels_at_a_scale_has_no_differences() -> None:
    assert list(look(torch.zeros(1, 1, 7, 20))) == [PIXELS, "differences at 1", "differences at 2"]


# Layers


def test_the_layers_up_to_one_are_the_last_of_each_resolution_and_itself() -> None:
    classifier = deep(SIDE)
    names = [each.name for each in layers_of(classifier)]
    assert names == ["first", "second", "third"]
    assert [each.name for each in layers_up_to(classifier, "third")] == ["second", "third"]
    assert [each.name for each in layers_up_to(classifier, "second")] == ["second"]
    assert [each.name for each in layers_up_to(classifier, "first")] == ["first"]


# Examples


def test_examples_know_their_peaks_or_look_for_them() -> None:
    classifier = deep(SIDE)
    layer = find_layer(layers_of(classifier), "third")
    plainly = Examples(IMAGES, {})
    known = plainly.at(classifier, layer)
    expected = find_peaks(classifier, layer, range(6), IMAGES)
    assert np.array_equal(known.peaks["third"].values, expected.values)
    assert np.array_equal(known.peaks["third"].places, expected.places)
    assert known.at(classifier, layer) is known
    assert plainly.peaks == {}
    for examples in (plainly, known):
        few = examples.of(classifier, layer, [4, 1])
        assert few.values == pytest.approx(expected.values[:, [4, 1]], abs=1e-6)
        assert np.array_equal(few.places, expected.places[:, [4, 1]])
    assert hooks(classifier.network) == 0


def test_peaks_that_are_known_are_not_looked_for_again() -> None:
    classifier = deep(SIDE)
    layer = find_layer(layers_of(classifier), "third")
    told = Peaks(np.full((6, 6), 3, np.float32), np.zeros((6, 6), np.int64))
    assert (Examples(IMAGES, {"third": told}).of(classifier, layer, [2]).values == 3).all()


# Behind


ENERGY, SIGMA = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([0.5, 0.25, 2.0])


def shifts(values: Tensor) -> list[float]:
    return [float(each) for each in (values.mean((1, 2)) - ENERGY) / SIGMA]


def test_filters_that_are_ahead_are_scaled_until_they_lie_the_lead_behind() -> None:
    """At 1, 3 and -1 sigma: of filter 0 with a lead of 0.5 the second goes down to 0.5, the third stays."""
    layout = torch.tensor([0.0, 2.0, 1.0, 1.0])  # its mean is 1
    positive = torch.stack([1.5 * layout, 2.75 * layout, 0.25 * layout]).view(3, 2, 2)
    assert shifts(positive) == pytest.approx([1, 3, -0.125])
    found = _behind(positive, 0, ENERGY, SIGMA, 0.5)
    assert shifts(found) == pytest.approx([1, 0.5, -0.125])
    assert torch.allclose(found[1].flatten(), 2.125 * layout)  # scaled: what is 0 stays 0
    assert torch.equal(found[[0, 2]], positive[[0, 2]])


def test_codes_with_a_sign_are_shifted_and_keep_their_spread() -> None:
    layout = torch.tensor([-2.0, 2.0, 1.0, -1.0])
    values = (torch.tensor([1.5, 2.75, 0.25])[:, None] + layout).view(3, 2, 2)
    found = _behind(values, 0, ENERGY, SIGMA, 0.5)
    assert shifts(found) == pytest.approx([1, 0.5, -0.125])
    assert torch.allclose(found[1].flatten(), 2.125 + layout)
    assert torch.equal(found[[0, 2]], values[[0, 2]])


def test_a_filter_that_cannot_be_as_far_behind_is_silent() -> None:
    """To lie 9 sigma behind one at 1 the second had to answer 0 at the most: a code without a sign is 0."""
    found = _behind(torch.tensor([[[1.5]], [[2.75]], [[0.25]]]), 0, ENERGY, SIGMA, 11.0)
    assert found.flatten().tolist() == [1.5, 0.0, 0.0]


def test_of_the_filter_itself_nothing_changes_however_far_behind_it_is() -> None:
    values = torch.tensor([[0.1, 0.2], [9.0, 9.0], [9.0, 9.0]])[:, None]
    found = _behind(values, 0, ENERGY, SIGMA, 0.3)
    assert torch.equal(found[0], values[0])
    own = shifts(values)[0]
    assert shifts(found) == pytest.approx([own, own - 0.3, max(own - 0.3, -0.25)], abs=1e-4)


# Inside a crop


@pytest.mark.parametrize(
    ("top", "left", "side", "rows", "columns"),
    [
        (0, 0, 8, (0, 2), (0, 4)),
        (8, 16, 8, (2, 4), (8, 12)),
        (10, 10, 8, (2, 4), (5, 9)),
        (24, 24, 8, (6, 8), (12, 16)),
        (31, 31, 1, (7, 8), (15, 16)),  # one position at least
    ],
)
def test_what_a_crop_holds_is_what_its_positions_answer(
    top: int, left: int, side: int, rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    code = torch.arange(2 * 8 * 16.0).view(2, 8, 16)
    found = _inside(code, Box(0, top, left, side, 1.0), (32, 32))
    assert torch.equal(found, code[:, slice(*rows), slice(*columns)].flatten(1))


# The distance


def colours(side: int = SIDE) -> Classifier:
    """Three filters, the colours themselves: the codes are the pixels."""
    return Classifier(
        Readout([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], [[1, 0, 0], [0, 1, 0]]), ["a", "b"], plain(side, 3)
    )


def codes_of(classifier: Classifier, names: Sequence[str], picture: Tensor) -> dict[str, Tensor]:
    with torch.no_grad(), tapped(classifier.network, names) as codes:
        return {**codes(classifier.preprocessing.normalise(picture))}


def test_the_distance_is_the_mean_squared_difference_of_sorted_values_in_spreads() -> None:
    """Written again, layer by layer and filter by filter, in NumPy."""
    rng = np.random.default_rng(2)
    picture = torch.from_numpy(rng.random((1, 1, 6, 6), dtype=np.float32))
    codes = {"a": torch.from_numpy(rng.random((1, 3, 5, 4), dtype=np.float32))}
    held = {
        name: torch.from_numpy(rng.random((each.shape[1], 1, 11), dtype=np.float32))
        for name, each in {**codes, **look(picture)}.items()
    }

    def slow(name: str, code: Tensor) -> float:
        found, wanted = (
            code[0].flatten(1).numpy().astype(np.float64),
            held[name][:, 0].numpy().astype(np.float64),
        )
        spread = wanted.std(1)
        least = 0.25 * np.sort(spread)[(len(spread) - 1) // 2] if name == "a" else 1 / 255
        total = 0.0
        for c in range(len(found)):
            count = found.shape[1]
            places = ((np.arange(count) + 0.5) / count * 11 - 0.5).clip(0, 10)
            goal = np.interp(places, np.arange(11), np.sort(wanted[c]))
            total += float((((np.sort(found[c]) - goal) / max(spread[c], least)) ** 2).mean())
        return total / len(found)

    seen = look(picture)
    expected = slow("a", codes["a"]) + np.mean([slow(name, code) for name, code in seen.items()])
    (distance,) = Distribution([held]).distance(codes, picture, 0)
    assert float(distance) == pytest.approx(expected, rel=1e-4)


def test_the_crops_of_a_filter_are_at_no_distance_from_their_own_distribution() -> None:
    """One image, cut whole: every position of it is in the distribution, and no other filter is ahead."""
    classifier = colours()
    layer = Layer("act", 3, SIDE, SIDE, nonnegative=True)
    image = IMAGES[:1]
    usual = torch.tensor([0.0, 100.0, 100.0]), torch.ones(3)  # the others are far behind as it is
    (box,) = boxes(layer, [0], image, 1, find_peaks(classifier, layer, [0], image))[0]
    assert box.side == SIDE
    goal = distributions(
        classifier, layer, [0], Examples(image, {}), usual, Preset(lead=0.3, selectivity=1.0)
    )
    picture = torch.from_numpy(unit(image))
    names = [each.name for each in layers_up_to(classifier, "act")]
    (near,) = goal.distance(codes_of(classifier, names, picture), picture, 0)
    assert float(near) == pytest.approx(0, abs=1e-9)
    for other in (0.5 * picture, picture.flip(3), picture[:, [1, 0, 2]]):
        (far,) = goal.distance(codes_of(classifier, names, other), other, 0)
        assert float(far) > 0.01


def test_a_pictures_distance_does_not_depend_on_its_batch() -> None:
    classifier = deep(SIDE)
    layer = find_layer(layers_of(classifier), "third")
    normal = normal_of(classifier, "third", IMAGES, Preset())
    channels, preset = [4, 0, 4, 2], Preset(crops=3)
    usual, examples = (normal.energy, normal.sigma), Examples(IMAGES, {})
    names = [each.name for each in layers_up_to(classifier, "third")]
    pictures = torch.from_numpy(unit(varied(4, SIDE, 3, seed=3)))
    together = distributions(classifier, layer, channels, examples, usual, preset)
    found = together.distance(codes_of(classifier, names, pictures), pictures, 7)
    for i, channel in enumerate(channels):
        alone = distributions(classifier, layer, [channel], examples, usual, preset)
        mine = pictures[i : i + 1]
        (distance,) = alone.distance(codes_of(classifier, names, mine), mine, 7)
        assert float(distance) == pytest.approx(float(found[i]), rel=1e-4)
    assert float(found[0]) != pytest.approx(float(found[2]), rel=1e-2)  # one filter, two pictures
    again = together.distance(codes_of(classifier, names, pictures), pictures, 7)
    assert torch.equal(again, found)  # what is held from the first time is the same
    assert hooks(classifier.network) == 0


def test_the_distribution_is_that_of_the_crops_of_whole_images_with_others_behind() -> None:
    """The colours are the codes: cut out by hand and sorted, they are what is asked for."""
    classifier, side = colours(32), 32
    images = varied(4, side, 3, seed=5)
    layer = Layer("act", 3, side, side, nonnegative=True)
    usual = torch.tensor([0.1, 0.3, 0.5]), torch.tensor([0.2, 0.1, 0.3])
    preset = Preset(crops=2, lead=0.4, selectivity=1.0)
    goal = distributions(classifier, layer, [1], Examples(images, {}), usual, preset)
    peaks = find_peaks(classifier, layer, [1], images)
    cut = boxes(layer, [1], images, 2, peaks)[1]
    assert (len(cut), cut[0].side) == (2, 24)
    pixels = np.stack([box.of(images).reshape(-1, 3) for box in cut]).transpose(2, 0, 1) / 255
    (held,) = goal._found
    assert held[PIXELS].numpy() == pytest.approx(pixels, abs=1e-6)
    expected = _behind(torch.from_numpy(pixels).float(), 1, *usual, 0.4)
    assert held["act"].numpy() == pytest.approx(expected.numpy(), abs=1e-5)
    assert held["differences at 8"].shape == (6, 2, 2 * 2)  # 24 of 32 pixels of three differences are two
    whole = distributions(classifier, layer, [1], Examples(images, {}), usual, Preset(crops=2, lead=0.4))
    assert whole._found[0]["act"].numpy() == pytest.approx(pixels, abs=1e-6)  # nothing is made to lead
