"""What `fmi bench paper` measures of readability, on tiny networks whose answers can be worked out."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fmi_engine.classifier import Classifier
from fmi_engine.jury import parted, shown_windows, unit_crops
from fmi_engine.natural import Examples
from fmi_engine.probe import layers_of, stages_of
from fmi_engine.readability import observer
from fmi_engine.reference import LayerReference, Reference
from fmi_engine.types import FilterRef, FloatArray, Inversion, Layer, Readable, Trust
from inspection.inputs.labelled import Labelled
from inspection.pictures import paper_readable
from inspection.pictures.paper_networks import Net
from inspection.pictures.paper_readable import (
    LEAST_INPUT,
    RIVALS,
    Onlooker,
    Readability,
    measure_readability,
    onlooker,
)
from tests.fmi_engine.tiny import Readout, deep, hooks, plain, varied

pytestmark = pytest.mark.numeric

SIDE = 32
COLOURS = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
LAYER = Layer("act", 3, SIDE, SIDE, nonnegative=True)


def net(order: Sequence[int], images: NDArray[np.uint8], energy: float = 0.5) -> Net:
    """A network whose filters are colours, in some order."""
    filters = [COLOURS[k] for k in order]
    classifier = Classifier(Readout(filters, [[1, 0, 0], [0, 1, 0]]), ["a", "b"], plain(SIDE, 3))
    layer = replace(LAYER, channels=len(filters))
    rows = np.ones((2, len(filters)), np.float32)
    normal = LayerReference(energy * rows, rows, np.full(len(filters), 0.1, np.float32))
    reference = Reference({"act": normal}, np.array([8, 8]))
    return Net("tiny", classifier, (layer,), reference, Labelled(images, np.zeros(len(images), np.int64)))


def tinted(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Images of colours that have nothing to do with each other, with a spot of one colour."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 120, (count, 1, 1, 3)) + rng.integers(0, 30, (count, SIDE, SIDE, 3))
    for i in range(count):
        for channel in range(3):
            top, left = rng.integers(0, SIDE - 12, 2)
            images[i, top : top + 12, left : left + 12, channel] += 60
    return images.astype(np.uint8)


IMAGES = tinted(20)


def picture(channel: int, colour: Sequence[float], source: int = 0) -> Inversion:
    image = np.broadcast_to(np.array(colour, np.float32)[:, None, None], (3, SIDE, SIDE))
    grain = np.random.default_rng(10 * channel + source).random((3, SIDE, SIDE), dtype=np.float32)
    return Inversion(FilterRef("act", channel), source, 0, (image + 0.05 * grain).clip(0, 1), 0.5)


def test_the_counterpart_of_a_filter_is_the_one_that_answers_real_images_most_alike() -> None:
    found = onlooker(net([0, 1, 2], IMAGES), net([2, 0, 1], IMAGES), LAYER)
    assert found.counterpart.tolist() == [1, 2, 0]
    assert found.layer == "act"
    assert onlooker(net([1, 1, 0], IMAGES), net([0, 2, 1], IMAGES), LAYER).counterpart.tolist() == [2, 2, 0]


def test_a_filter_that_never_varies_is_no_counterpart() -> None:
    """Its correlation with anything is no number, and counts as the least."""
    flat = IMAGES.copy()
    flat[..., 2] = 77
    with np.errstate(invalid="ignore", divide="ignore"):
        found = onlooker(net([0, 1, 2], flat), net([2, 1, 0], flat), LAYER)
    assert found.counterpart[:2].tolist() == [2, 1]


def test_transfer_is_the_share_of_the_other_networks_filters_that_the_counterpart_exceeds() -> None:
    """Red pictures of filter 0: its counterpart leads both others. Green-most ones of it: one of them."""
    beside = Onlooker(net([2, 0, 1], IMAGES), "act", np.array([1, 2, 0]))
    red, green = picture(0, (0.9, 0.5, 0.1)), picture(0, (0.5, 0.9, 0.1), 1)
    assert paper_readable._transfer(beside, [red]) == 1
    assert paper_readable._transfer(beside, [green]) == pytest.approx(1 / 2)
    assert paper_readable._transfer(beside, [picture(2, (0.9, 0.5, 0.1))]) == 0
    assert paper_readable._transfer(beside, [red, green]) == pytest.approx(3 / 4)


def test_what_is_seen_through_a_network_are_the_energies_of_its_stages() -> None:
    classifier = deep(SIDE)
    seen = paper_readable._seen_through(classifier)
    crop = np.asarray(varied(1, SIDE, 3)[0] / 255, np.float32)
    x = torch.from_numpy(crop.transpose(2, 0, 1)[None].copy())
    with torch.no_grad():
        first = classifier.network.get_submodule("first")(x)
        second = classifier.network.get_submodule("second")(first)
        third = classifier.network.get_submodule("third")(second - 0.5 * first)
    assert [each.name for each in stages_of(layers_of(classifier))] == ["second", "third"]
    found = seen(crop)
    assert len(found) == 2
    for part, code in zip(found, (second, third), strict=True):
        assert part == pytest.approx(code.mean((2, 3))[0].numpy(), abs=1e-5)
    assert hooks(classifier.network) == 0


@pytest.mark.parametrize(("height", "width"), [(12, 12), (20, 32), (32, 20)])
def test_a_crop_too_small_for_a_network_is_mirrored_at_its_lower_and_right_border(
    height: int, width: int
) -> None:
    seen = paper_readable._seen_through(deep(SIDE))
    crop = np.asarray(varied(1, 32, 3)[0, :height, :width] / 255, np.float32)
    rows = [i if i < height else 2 * height - 1 - i for i in range(LEAST_INPUT)]
    columns = [i if i < width else 2 * width - 1 - i for i in range(LEAST_INPUT)]
    rows = [i % (2 * height) if i >= 0 else -1 - i for i in rows]
    columns = [i % (2 * width) if i >= 0 else -1 - i for i in columns]
    mirrored = crop[rows][:, columns]
    for one, other in zip(seen(crop), seen(np.ascontiguousarray(mirrored)), strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def trust(rank: int, copy: float | None, readable: Readable | None) -> Trust:
    return Trust(rank, 3, 2.0, 0.5, 0.9, readable=readable, copy=copy)


def test_the_figures_are_means_over_filters_shares_of_pictures_and_a_median() -> None:
    """Filters are judged once each, whatever the number of their pictures; ranks and copies by picture."""
    mine, other = net([0, 1, 2], IMAGES), net([2, 0, 1], IMAGES)
    beside = onlooker(mine, other, LAYER)
    pictures = [
        picture(0, (0.9, 0.1, 0.1)),
        picture(0, (0.9, 0.2, 0.1), 1),
        picture(0, (0.8, 0.1, 0.2), 2),
        picture(2, (0.9, 0.1, 0.5)),
    ]
    first, last = Readable(0.9, 0.95), Readable(0.6, 0.75)
    trusts = [trust(1, 0.1, first), trust(1, 0.3, first), trust(2, None, first), trust(1, 0.8, last)]
    real = Examples(IMAGES, {})
    found = measure_readability("ours", mine, beside, LAYER, pictures, trusts, real, bound=0.7)
    assert (found.preset, found.filters, found.copy_bound) == ("ours", 2, 0.7)
    assert found.readable == pytest.approx(0.75)
    assert found.readable_ceiling == pytest.approx(0.85)
    assert found.share == pytest.approx(0.25 / 0.35)
    assert found.first_rank == pytest.approx(3 / 4)
    assert found.nearest_copy == pytest.approx(0.3)
    assert found.transfer == pytest.approx((1 + 1 + 1 + 1 / 2) / 4)


def test_the_second_observer_looks_through_the_other_network() -> None:
    """Its colours are the same, so it tells a filter's crops from a picture of the filter's colour."""
    mine, other = net([0, 1, 2], IMAGES), net([2, 0, 1], IMAGES)
    beside, real = onlooker(mine, other, LAYER), Examples(IMAGES, {})
    made_of, others = parted(real)
    own = unit_crops(mine.classifier, LAYER, [0, 1], others, 40, 12)
    shown = unit_crops(mine.classifier, LAYER, [0, 1], made_of, 27, 12)

    def seen(crop: FloatArray) -> tuple[FloatArray]:
        missing = [(0, LEAST_INPUT - length) for length in crop.shape[:2]]
        mirrored = np.pad(crop, [*missing, (0, 0)], "symmetric")
        return (np.asarray(mirrored[..., [2, 0, 1]].mean((0, 1)), np.float32),)

    looking = observer(own, seen)
    pictures = [picture(0, (0.6, 0.2, 0.2)), picture(1, (0.2, 0.6, 0.2))]
    told = [trust(1, 0.1, Readable(0.9, 0.95))] * 2
    found = measure_readability("ours", mine, beside, LAYER, pictures, told, real, 0.7)
    by_hand = [
        looking.readable(k, shown_windows(mine.classifier, LAYER, [pictures[k]], 12), shown[k])
        for k in (0, 1)
    ]
    assert found.by_network == pytest.approx(np.mean([each.auroc for each in by_hand]), abs=5e-3)
    assert found.by_network_ceiling == pytest.approx(np.mean([each.ceiling for each in by_hand]), abs=5e-3)
    assert found.by_network > 0.6


def test_where_real_crops_tell_hardly_more_than_chance_there_is_no_share() -> None:
    nothing = Readability("ours", 1, 0.5, 0.54, 0.5, 0.5, 0.5, 1.0, 0.1, 0.5)
    assert math.isnan(nothing.share)
    assert replace(nothing, readable=0.7, readable_ceiling=0.75).share == pytest.approx(0.8)


def test_the_rivals_are_published_presets_without_ours() -> None:
    assert [*RIVALS] == ["paper", "mahendran", "phase"]
    assert {name: (each.natural, each.target) for name, each in RIVALS.items()} == dict.fromkeys(
        RIVALS, (0, 1)
    )


def test_a_network_that_looks_on_is_not_changed() -> None:
    classifier = deep(SIDE)
    before = {name: each.clone() for name, each in classifier.network.state_dict().items()}
    paper_readable._seen_through(classifier)(np.zeros((12, 12, 3), np.float32))
    assert not any(
        isinstance(each, nn.BatchNorm2d) and each.training for each in classifier.network.modules()
    )
    assert all(torch.equal(each, before[name]) for name, each in classifier.network.state_dict().items())
