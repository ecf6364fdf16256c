"""Who judges a layer's primitives by real images, on a plant of two textures."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fmi_engine.classifier import Classifier
from fmi_engine.copies import Copies
from fmi_engine.jury import COMPARED, SHOWN, Jury, parted, shown_windows, summon, unit_crops
from fmi_engine.natural import Examples
from fmi_engine.patches import Peaks, boxes, find_peaks
from fmi_engine.readability import windows
from fmi_engine.reference import LayerReference, Reference
from fmi_engine.trust import trust_test
from fmi_engine.types import Failure, FilterRef, FloatArray, Inversion, Layer, Trust, TrustPart
from fmi_engine.wording import reasons
from tests.fmi_engine.tiny import hooks, plain, unit

pytestmark = pytest.mark.numeric

SIDE = 32
WAVELENGTH = 6.0
LAYER = Layer("act", 3, SIDE, SIDE, nonnegative=True)


class Textures(nn.Module):
    """Filter 0 answers upright stripes of 6 pixels, filter 1 bright points, filter 2 nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 7, padding=3, padding_mode="reflect", bias=False)
        self.act = nn.ReLU()
        wave = torch.cos(2 * torch.pi * (torch.arange(7) - 3) / WAVELENGTH)
        point = torch.full((7, 7), -1 / 8)
        point[:2], point[5:], point[:, :2], point[:, 5:], point[3, 3] = 0, 0, 0, 0, 1
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[0, 0] = (wave - wave.mean()).expand(7, 7) / 14
            self.conv.weight[1, 0] = point

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.act(self.conv(x)).mean((2, 3))
        return logits


def stripes(seed: int, width: int = SIDE) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    wave = np.cos(2 * np.pi * np.arange(width) / WAVELENGTH + rng.uniform(0, 6))
    return np.asarray(0.5 + 0.2 * wave + 0.03 * rng.standard_normal((SIDE, width)))


def specks(seed: int, width: int = SIDE) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    field = 0.5 + 0.03 * rng.standard_normal((SIDE, width))
    field[rng.random((SIDE, width)) < 0.04] = 1.0
    return field


def scene(seed: int) -> NDArray[np.uint8]:
    """Stripes on one half of an image, specks on the other."""
    halves = [stripes(seed, 16), specks(seed + 1000, 16)]
    field = np.concatenate(halves[:: 1 if seed % 3 else -1], 1)
    return np.round(255 * field.clip(0, 1)).astype(np.uint8)[..., None]


IMAGES = np.stack([scene(seed) for seed in range(30)])


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(Textures(), ["stripes", "specks", "nothing"], plain(SIDE, 1))


@pytest.fixture(scope="module")
def jury(classifier: Classifier) -> Jury:
    return summon(classifier, LAYER, [0, 1], [0, 1], Examples(IMAGES, {}))


def picture(channel: int, field: NDArray[np.float64] | FloatArray, seed: int = 0) -> Inversion:
    image = np.asarray(field, np.float32).reshape(1, SIDE, SIDE).clip(0, 1)
    return Inversion(FilterRef("act", channel), 0, seed, image, 0.5)


# Halves


def test_pictures_are_made_of_every_second_image_and_judged_by_the_others() -> None:
    peaks = Peaks(np.arange(10, dtype=np.float32).reshape(5, 2), np.arange(10).reshape(5, 2))
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    made_of, others = parted(Examples(images, {"a": peaks}))
    assert made_of.images.ravel().tolist() == [0, 2, 4]
    assert others.images.ravel().tolist() == [1, 3]
    assert made_of.peaks["a"].values.tolist() == [[0, 1], [4, 5], [8, 9]]
    assert made_of.peaks["a"].places.tolist() == [[0, 1], [4, 5], [8, 9]]
    assert others.peaks["a"].values.tolist() == [[2, 3], [6, 7]]
    assert others.peaks["a"].places.tolist() == [[2, 3], [6, 7]]


def test_the_peaks_of_a_half_are_those_found_on_it(classifier: Classifier) -> None:
    for half in parted(Examples(IMAGES, {}).at(classifier, LAYER)):
        found = find_peaks(classifier, LAYER, range(3), half.images)
        assert half.peaks["act"].values == pytest.approx(found.values, abs=1e-6)
        assert np.array_equal(half.peaks["act"].places, found.places)


def test_a_jury_shows_crops_of_the_images_pictures_are_made_of_and_has_seen_the_others(
    classifier: Classifier, jury: Jury
) -> None:
    made_of, others = parted(Examples(IMAGES, {}))
    shown = unit_crops(classifier, LAYER, [0, 1], made_of, SHOWN, 12)
    seen = unit_crops(classifier, LAYER, [0, 1], others, 40, 12)
    for channel in (0, 1):
        assert len(jury.real[channel]) == len(jury.observer.own[channel]) == 15  # one of each image
        assert np.array_equal(np.stack(jury.real[channel]), np.stack(shown[channel]))
        described = np.stack([np.concatenate(jury.observer.describe(each)) for each in seen[channel]])
        expected = (described - jury.observer.scale[0]) * jury.observer.scale[1]
        assert jury.observer.own[channel] == pytest.approx(expected, abs=1e-5)
    assert (jury.side, jury.copies.side, len(jury.copies)) == (12, 24, 30)


def test_unit_crops_are_those_of_the_boxes_in_0_to_1(classifier: Classifier) -> None:
    peaks = find_peaks(classifier, LAYER, [1], IMAGES)
    cut = boxes(LAYER, [1], IMAGES, 4, peaks, 12)[1]
    found = unit_crops(classifier, LAYER, [1], Examples(IMAGES, {}), 4, 12)[1]
    for box, crop in zip(cut, found, strict=True):
        assert crop == pytest.approx(box.of(IMAGES) / 255)
        assert crop.dtype == np.float32


def test_of_a_large_layer_some_others_are_told_from_those_that_are_asked(classifier: Classifier) -> None:
    few = summon(classifier, LAYER, [1], [0, 1], Examples(IMAGES, {}))
    assert [*few.observer.own] == [1, 0]
    assert [*few.real] == [1]


# Readable


def test_pictures_of_a_filters_texture_are_read_and_those_of_anothers_are_not(
    classifier: Classifier, jury: Jury
) -> None:
    made = {0: stripes, 1: specks}
    for channel in (0, 1):
        own = jury.readable(classifier, [picture(channel, made[channel](seed)) for seed in (70, 71)])
        assert own.ceiling > 0.9
        assert own.share > 0.8
        other = jury.readable(classifier, [picture(channel, made[1 - channel](seed)) for seed in (70, 71)])
        assert other.auroc < 0.3
        assert other.ceiling == pytest.approx(own.ceiling, abs=0.05)
    assert hooks(classifier.network) == 0


def test_noise_is_read_as_neither(classifier: Classifier, jury: Jury) -> None:
    grain = [np.random.default_rng(seed).random((SIDE, SIDE)) for seed in range(2)]
    found = [jury.readable(classifier, [picture(k, each) for each in grain]).auroc for k in (0, 1)]
    # What one gains the other loses, but for the windows, which lie where each filter answers most.
    assert sum(found) == pytest.approx(1, abs=0.25)


def test_no_more_is_shown_than_there_are_real_crops_to_be_set_beside(
    classifier: Classifier, jury: Jury
) -> None:
    """Five pictures have four windows each, and the filter 15 real crops: the ceiling is of all of them."""
    pictures = [picture(0, stripes(seed), seed) for seed in range(70, 75)]
    assert len(shown_windows(classifier, LAYER, pictures, 12)) > 15
    found = jury.readable(classifier, pictures)
    assert found.ceiling > 0.9
    assert found.share > 0.8


def test_what_is_shown_are_the_windows_where_each_pictures_own_filter_answers(classifier: Classifier) -> None:
    pictures = [picture(0, scene(5) / 255), picture(1, scene(5) / 255)]
    with torch.no_grad():
        maps = torch.relu(classifier.network.get_submodule("conv")(torch.from_numpy(unit(scene(5)[None]))))
    expected = [each for k in (0, 1) for each in windows(pictures[k].image, 12, maps[0, k].numpy())]
    found = shown_windows(classifier, LAYER, pictures, 12)
    assert len(found) == len(expected) > 2
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    many = shown_windows(classifier, LAYER, pictures * 10, 12)
    assert len(many) == SHOWN


def test_the_only_live_filter_of_a_layer_is_not_read(classifier: Classifier) -> None:
    alone = summon(classifier, LAYER, [0], [0], Examples(IMAGES, {}))
    trusts = judged(classifier, alone, [picture(0, stripes(seed), seed) for seed in (70, 71)])
    assert [trust.fails(TrustPart.READABLE) for trust in trusts] == [True, True]
    assert "no other filter of its layer is alive" in " ".join(reasons(trusts[0]))


# Copies


def test_a_picture_that_is_a_real_image_is_a_copy_and_one_of_its_texture_is_none(
    classifier: Classifier, jury: Jury
) -> None:
    for image in (4, 7):  # of both halves
        copied = picture(1, unit(IMAGES[image][None])[0])
        assert jury.copy(classifier, copied) == pytest.approx(1, abs=1e-3)
        assert jury.copy(classifier, copied) > jury.bound
    assert jury.copy(classifier, picture(1, specks(90))) < jury.bound
    assert hooks(classifier.network) == 0


def test_the_bound_is_the_highest_that_a_real_crop_reaches_in_another_image(
    classifier: Classifier, jury: Jury
) -> None:
    made_of, _ = parted(Examples(IMAGES, {}))
    peaks = find_peaks(classifier, LAYER, [0, 1], made_of.images)
    among = []
    for mine in boxes(LAYER, [0, 1], made_of.images, COMPARED, peaks).values():
        for box in mine:
            rest = np.delete(IMAGES, 2 * box.image, 0)
            among.append(Copies(rest, 24).nearest(np.asarray(box.of(made_of.images) / 255, np.float32)))
    assert jury.bound == pytest.approx(max(among), abs=1e-4)
    assert 0 < jury.bound < 0.99


def test_a_flat_picture_is_a_copy_of_nothing(classifier: Classifier, jury: Jury) -> None:
    assert jury.copy(classifier, picture(0, np.full((SIDE, SIDE), 0.5))) == -1


# In the trust test


def judged(classifier: Classifier, jury: Jury, pictures: list[Inversion]) -> list[Trust]:
    rows = np.zeros((3, 3), np.float32)
    normal = LayerReference(rows, rows + 1, np.full(3, 0.01, np.float32))
    return trust_test(classifier, Reference({"act": normal}, np.array([8] * 3)), pictures, jury=jury)


def test_pictures_that_are_read_and_no_copies_are_trusted(classifier: Classifier, jury: Jury) -> None:
    pictures = [picture(0, stripes(seed), seed) for seed in (70, 71)]
    pictures += [picture(1, specks(seed), seed) for seed in (72, 73)]
    trusts = judged(classifier, jury, pictures)
    assert [trust.failed for trust in trusts] == [()] * 4
    for trust, each in zip(trusts, pictures, strict=True):
        mine = [p for p in pictures if p.filter == each.filter]
        assert trust.readable == jury.readable(classifier, mine)
        assert trust.copy == jury.copy(classifier, each)


def test_a_copy_fails_by_its_correlation_and_alone(classifier: Classifier, jury: Jury) -> None:
    pictures = [picture(1, specks(72)), picture(1, unit(IMAGES[7][None])[0], 1)]
    pictures += [picture(0, stripes(seed), seed) for seed in (70, 71)]
    trusts = judged(classifier, jury, pictures)
    assert [trust.fails(TrustPart.COPY) for trust in trusts] == [False, True, False, False]
    (failure,) = (each for each in trusts[1].failed if each.part is TrustPart.COPY)
    assert trusts[1].copy is not None
    assert failure == Failure(TrustPart.COPY, trusts[1].copy, jury.bound)
    assert reasons(trusts[1])[-1] == (
        f"it is like a place of a real image by 1.00, where real images of different parts are alike by "
        f"{jury.bound:.2f} at most"
    )


def test_pictures_that_nobody_reads_fail_as_a_filter_and_say_by_how_much(
    classifier: Classifier, jury: Jury
) -> None:
    pictures = [picture(0, specks(seed), seed) for seed in (72, 73)]
    pictures += [picture(1, specks(seed), seed) for seed in (74, 75)]
    trusts = judged(classifier, jury, pictures)
    assert [trust.fails(TrustPart.READABLE) for trust in trusts] == [True, True, False, False]
    readable = trusts[0].readable
    assert readable is not None
    needed = (0.5 + readable.ceiling) / 2  # half as surely as from other real crops
    (failure,) = (each for each in trusts[0].failed if each.part is TrustPart.READABLE)
    assert (failure.part, failure.found) == (TrustPart.READABLE, readable.auroc)
    assert failure.needed == pytest.approx(needed)
    assert (
        f"real crops are told by {readable.auroc:.2f} (needed: {needed:.2f}; by other real crops: "
        f"{readable.ceiling:.2f})"
    ) in reasons(trusts[0])[-1]


def test_without_a_jury_neither_is_judged(classifier: Classifier) -> None:
    rows = np.zeros((3, 3), np.float32)
    normal = LayerReference(rows, rows + 1, np.full(3, 0.01, np.float32))
    pictures = [picture(k, specks(seed), seed) for k in (0, 1) for seed in (72, 73)]
    trusts = trust_test(classifier, Reference({"act": normal}, np.array([8] * 3)), pictures)
    assert [(trust.readable, trust.copy) for trust in trusts] == [(None, None)] * 4
    assert not any(trust.fails(part) for trust in trusts for part in (TrustPart.READABLE, TrustPart.COPY))
