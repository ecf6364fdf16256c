from dataclasses import replace
from math import atan2, hypot, log, pi

import numpy as np
import pytest

from fmi_engine.classifier import Classifier
from fmi_engine.reference import LayerReference, Reference
from fmi_engine.texture import agreement, auroc, describe, distances, trust_test
from fmi_engine.types import FilterRef, FloatArray, Inversion, Layer, Trust
from tests.fmi_engine.tiny import Readout, hooks, plain

SIDE = 32


def wave(across: int, down: int, contrast: float = 0.2, height: int = SIDE, width: int = SIDE) -> FloatArray:
    """A grey cosine with whole numbers of periods across and down the picture (1, height, width)."""
    y, x = np.mgrid[:height, :width]
    field = 0.5 + contrast * np.cos(2 * pi * (across * x / width + down * y / height))
    return np.asarray(field[None], np.float32)


def random(channels: int = 3, height: int = SIDE, width: int = SIDE, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).random((channels, height, width), dtype=np.float32)


# Descriptors


def slow_description(image: FloatArray) -> list[float]:
    """The 8 rings by 8 directions, one frequency at a time, then the channel means."""
    grey = image.mean(0).astype(np.float64)
    height, width = grey.shape
    y, x = np.mgrid[:height, :width]
    low, high = 1.5 / max(height, width), 0.5  # cycles per pixel
    cells: dict[int, list[float]] = {}
    for v in range(-(height // 2), (height + 1) // 2):
        for u in range(-(width // 2), (width + 1) // 2):
            radius, angle = hypot(u / width, v / height), atan2(v / height, u / width) % pi
            if low <= radius < high:
                ring = int(8 * log(radius / low) / log(high / low) + 1e-9)
                sector = int(8 * angle / pi + 1e-9) % 8
                wave_sum = (grey - grey.mean()) * np.exp(-2j * pi * (u * x / width + v * y / height))
                cells.setdefault(8 * ring + sector, []).append(abs(wave_sum.sum()) ** 2 / grey.size)
    powers = [float(np.mean(cells[cell])) if cell in cells else 0.0 for cell in range(64)]
    return [log(power + 1e-6) for power in powers] + [4 * float(channel.mean()) for channel in image]


@pytest.mark.parametrize(("channels", "height", "width"), [(3, 16, 16), (1, 12, 15), (3, 11, 10)])
def test_a_descriptor_is_the_mean_power_of_each_ring_and_direction(
    channels: int, height: int, width: int
) -> None:
    image = random(channels, height, width)
    assert describe(image) == pytest.approx(slow_description(image), abs=2e-3)


@pytest.mark.parametrize(("down", "across"), [(1, 0), (5, 9), (31, 16)])
def test_a_shift_of_the_pattern_changes_nothing(down: int, across: int) -> None:
    image = random()
    assert describe(np.roll(image, (down, across), (1, 2))) == pytest.approx(describe(image), abs=1e-3)


def test_turned_stripes_are_another_texture_of_the_same_colour() -> None:
    upright = wave(across=4, down=0)
    lying = np.rot90(upright, axes=(1, 2))
    before, after = describe(upright), describe(lying)
    assert np.abs(before[:64] - after[:64]).max() > 5
    assert after[64:] == pytest.approx(before[64:])


@pytest.mark.parametrize(
    ("across", "down", "ring", "sector"),
    [
        # ring = 8 * log(f / (1.5 / 32)) / log(0.5 / (1.5 / 32)) with f in cycles per pixel
        (2, 0, 0, 0),  # f = 0.0625: 0.97
        (4, 0, 3, 0),  # f = 0.125: 3.3
        (8, 0, 5, 0),  # f = 0.25: 5.7
        (15, 0, 7, 0),  # f = 0.469: 7.8
        (0, 8, 5, 4),  # a quarter turn
        (4, 2, 3, 1),  # atan(2 / 4) = 26.6 degrees, in sectors of 22.5
        (-2, 4, 3, 5),  # 116.6 degrees
        (2, -4, 3, 5),  # the same wave
    ],
)
def test_stripes_stand_out_in_the_ring_and_direction_of_their_frequency(
    across: int, down: int, ring: int, sector: int
) -> None:
    cells = describe(wave(across, down))[:64].reshape(8, 8)
    assert divmod(int(cells.argmax()), 8) == (ring, sector)
    assert np.sort(cells.ravel())[-2] < cells.max() - 10  # nothing else stands out


def test_twice_the_contrast_is_four_times_the_power() -> None:
    faint, strong = describe(wave(8, 0, contrast=0.1)), describe(wave(8, 0, contrast=0.2))
    assert strong[:64].max() - faint[:64].max() == pytest.approx(log(4), abs=1e-3)


def test_a_flat_picture_is_its_colour_alone() -> None:
    image = np.stack([np.full((8, 8), level, np.float32) for level in (0.25, 0.5, 1.0)])
    description = describe(image)
    assert description[:64] == pytest.approx([log(1e-6)] * 64, abs=1e-2)
    assert description[64:].tolist() == [1, 2, 4]


# Distances and agreement


def test_distances_weigh_each_entry_by_its_spread() -> None:
    descriptors = np.array([[0, 0, 7], [2, 0, 7], [0, 100, 7], [2, 100, 7]], np.float32)
    # the first two entries become -1 or 1, the third never varies
    assert distances(descriptors) == pytest.approx(
        np.array(
            [[0, 2, 2, 8**0.5], [2, 0, 8**0.5, 2], [2, 8**0.5, 0, 2], [8**0.5, 2, 2, 0]],
        ),
        abs=1e-6,
    )


def test_agreement_counts_how_often_companions_are_nearer_than_strangers() -> None:
    distance = np.array(
        [
            [0, 1, 3, 2, 9],
            [1, 0, 5, 6, 7],
            [3, 5, 0, 4, 5],
            [2, 6, 4, 0, 1],
            [9, 7, 5, 1, 0],
        ],
        np.float32,
    )
    found = agreement(distance, [7, 7, 7, 4, 4])
    assert found.tolist() == pytest.approx(
        [
            3 / 4,  # companions at 1, 3; strangers at 2, 9: three of four pairs in order
            1,  # 1, 5 against 6, 7
            2.5 / 4,  # 3, 5 against 4, 5: 3 before both, 5 level with 5
            1,  # 1 against 2, 6, 4
            1,  # 1 against 9, 7, 5
        ]
    )


def test_a_picture_without_companion_or_stranger_has_no_agreement() -> None:
    distance = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]], np.float32)
    scores = agreement(distance, [0, 0, 1])
    assert scores[:2].tolist() == [1, 1]
    assert np.isnan(scores[2])
    assert np.isnan(agreement(distance, [0, 0, 0])).all()


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_the_share_of_pairs_in_order_ties_counted_half(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.integers(0, 6, 9).astype(np.float32)
    negative = rng.integers(0, 4, 7).astype(np.float32)
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative]
    assert auroc(positive, negative) == pytest.approx(sum(pairs) / len(pairs))
    assert 0.5 in pairs
    assert auroc(negative, positive) == pytest.approx(1 - auroc(positive, negative))


# The trust test

RGB = Layer("act", 3, SIDE, SIDE, nonnegative=True)
NORMAL = LayerReference(  # over the classes the mean is 0.4, 0.5, 0.3
    energy=np.array([[0.3, 0.5, 0.2], [0.5, 0.5, 0.4]], np.float32),
    spread=np.zeros((2, 3), np.float32),
    sigma=np.array([0.1, 0.2, 0.05], np.float32),
)


def judged(inversions: list[Inversion], top_share: float = 0.01) -> list[Trust]:
    """The trust test in a network whose three filters are red, green and blue."""
    network = Readout([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], [[1, 0, 0], [0, 1, 0]])
    classifier = Classifier(network, ["a", "b"], plain(SIDE, 3))
    trusts = trust_test(classifier, RGB, Reference({"act": NORMAL}, np.array([8, 8])), inversions, top_share)
    assert hooks(network) == 0
    return trusts


def primitive(
    channel: int, colour: tuple[float, float, float], across: int, down: int, seed: int
) -> Inversion:
    """Stripes of one colour, shifted by the seed; their mean is the colour."""
    stripes = np.roll(wave(across, down, contrast=0.1) - 0.5, seed, (1, 2))
    image = np.array(colour, np.float32)[:, None, None] + stripes
    return Inversion(FilterRef("act", channel), source=seed, seed=seed, image=image, residual=0.1 * seed)


RED, GREEN = (0.9, 0.4, 0.3), (0.3, 0.9, 0.2)


def test_pictures_that_drive_their_own_filter_and_agree_are_trusted() -> None:
    inversions = [primitive(0, RED, 8, 0, seed) for seed in range(3)]
    inversions += [primitive(1, GREEN, 0, 4, seed) for seed in range(3)]
    trusts = judged(inversions)
    assert all(trust.trusted for trust in trusts)
    assert [trust.rank for trust in trusts] == [1] * 6
    assert [trust.energy for trust in trusts] == pytest.approx([5] * 3 + [2] * 3, abs=0.02)  # 8-bit rounding
    assert [trust.agreement for trust in trusts] == [1] * 6
    assert [trust.residual for trust in trusts] == pytest.approx([0, 0.1, 0.2] * 2)


def test_a_picture_that_drives_another_filter_fails_by_its_rank() -> None:
    """Filter 2 rises by (0.4 - 0.3) / 0.05 = 2 sigma, filter 0 by 5."""
    wrong = (0.9, 0.4, 0.4)
    inversions = [primitive(2, wrong, 8, 0, seed) for seed in range(2)]
    inversions += [primitive(1, GREEN, 0, 4, seed) for seed in range(2)]
    trusts = judged(inversions)
    assert [trust.trusted for trust in trusts] == [False, False, True, True]
    assert trusts[0].rank == 2
    assert trusts[0].energy == pytest.approx(2, abs=0.05)
    assert trusts[0].agreement == 1
    assert trusts[0].failed == ("fed back, its filter ranks 2 of 3 (needed: 1)",)


def test_a_rank_within_the_top_share_of_the_layer_is_enough() -> None:
    inversions = [primitive(2, (0.9, 0.4, 0.4), 8, 0, seed) for seed in range(2)]
    inversions += [primitive(1, GREEN, 0, 4, seed) for seed in range(2)]
    assert all(trust.trusted for trust in judged(inversions, top_share=0.67))


def test_a_dark_picture_fails_although_its_filter_ranks_first_and_says_why() -> None:
    """Every filter falls below normal, by 1, 2 and 4 sigma: being least low is no sign of a texture."""
    dark = (0.3, 0.1, 0.1)
    inversions = [primitive(0, dark, 8, 0, seed) for seed in range(2)]
    inversions += [primitive(1, GREEN, 0, 4, seed) for seed in range(2)]
    trust = judged(inversions)[0]
    assert trust.rank == 1
    assert trust.energy == pytest.approx(-1, abs=0.02)
    assert len(trust.failed) == 1
    assert trust.failed != ("fed back, its filter ranks 1 of 3 (needed: 1)",)  # that is no reason


def test_pictures_of_one_filter_that_do_not_agree_are_not_trusted() -> None:
    """Of each filter one picture of stripes and one of grain: the other filter's is the more alike."""
    inversions = []
    for channel, colour in ((0, RED), (1, GREEN)):
        stripes = primitive(channel, colour, 8, 0, seed=0)
        grain = stripes.image + 0.2 * (random(1) - random(1).mean())
        inversions += [stripes, replace(stripes, seed=1, image=grain.clip(0, 1))]
    for trust in judged(inversions):
        assert trust.rank == 1
        assert trust.agreement == 0.5  # of the two strangers one is nearer than the companion
        assert trust.failed == ("its pictures agree by 0.50 (needed: 0.80)",)


def test_a_picture_without_companions_fails_in_words() -> None:
    alone, *_ = judged([primitive(0, RED, 8, 0, 0), *[primitive(1, GREEN, 0, 4, seed) for seed in range(2)]])
    assert np.isnan(alone.agreement)
    assert alone.rank == 1
    assert len(alone.failed) == 1
    assert "nan" not in alone.failed[0]


def test_pure_noise_is_not_trusted() -> None:
    """Grey noise rises by 1, 0 and 4 sigma: filters 0 and 1 fail by rank, filter 2 by agreement."""
    inversions = [
        Inversion(FilterRef("act", seed % 3), seed, seed, random(seed=seed), residual=1.0)
        for seed in range(60)
    ]
    trusts = judged(inversions)
    ranks = [{trust.rank for trust in trusts[channel::3]} for channel in range(3)]
    assert ranks == [{2}, {3}, {1}]
    assert np.mean([trust.agreement for trust in trusts]) == pytest.approx(0.5, abs=0.05)
    assert not any(trust.trusted for trust in trusts)
