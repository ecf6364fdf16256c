from math import atan2, hypot, log, pi

import numpy as np
import pytest

from fmi_engine.texture import (
    FAINT,
    _bank,
    agreement,
    auroc,
    describe,
    distances,
    filter_statistics,
    spectral_statistics,
)
from fmi_engine.types import FloatArray

pytestmark = pytest.mark.numeric

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
    assert spectral_statistics(image) == pytest.approx(slow_description(image), abs=2e-3)


@pytest.mark.parametrize(("down", "across"), [(1, 0), (5, 9), (31, 16)])
def test_a_shift_of_the_pattern_changes_nothing(down: int, across: int) -> None:
    image = random()
    assert spectral_statistics(np.roll(image, (down, across), (1, 2))) == pytest.approx(
        spectral_statistics(image), abs=1e-3
    )


def test_turned_stripes_are_another_texture_of_the_same_colour() -> None:
    upright = wave(across=4, down=0)
    lying = np.rot90(upright, axes=(1, 2))
    before, after = spectral_statistics(upright), spectral_statistics(lying)
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
    cells = spectral_statistics(wave(across, down))[:64].reshape(8, 8)
    assert divmod(int(cells.argmax()), 8) == (ring, sector)
    assert np.sort(cells.ravel())[-2] < cells.max() - 10  # nothing else stands out


def test_twice_the_contrast_is_four_times_the_power() -> None:
    faint, strong = (
        spectral_statistics(wave(8, 0, contrast=0.1)),
        spectral_statistics(wave(8, 0, contrast=0.2)),
    )
    assert strong[:64].max() - faint[:64].max() == pytest.approx(log(4), abs=1e-3)


def test_a_flat_picture_is_its_colour_alone() -> None:
    image = np.stack([np.full((8, 8), level, np.float32) for level in (0.25, 0.5, 1.0)])
    description = spectral_statistics(image)
    assert description[:64] == pytest.approx([log(1e-6)] * 64, abs=1e-2)
    assert description[64:].tolist() == [1, 2, 4]


# The statistics of the random bank


def slow_statistics(image: FloatArray) -> list[float]:
    """All three stages, one position at a time, in the order in which they are listed."""
    x = (image - image.mean((1, 2), keepdims=True)).astype(np.float64)
    x = x / max(float(x.std()), 0.02)
    found: list[float] = []
    for kernels in _bank(image.shape[0]):
        weights = kernels.double().numpy()
        side, (_, height, width) = weights.shape[-1], x.shape
        padded = np.pad(x, ((0, 0), (side // 2, side // 2), (side // 2, side // 2)))
        answers = np.zeros((len(weights), height, width))
        for i in range(height):
            for j in range(width):
                window = padded[:, i : i + side, j : j + side]
                answers[:, i, j] = np.maximum((weights * window).sum((1, 2, 3)), 0)
        found += [*answers.mean((1, 2)), *answers.std((1, 2))]
        halved = np.zeros((len(weights), (height + 1) // 2, (width + 1) // 2))
        for i in range(halved.shape[1]):
            for j in range(halved.shape[2]):
                halved[:, i, j] = answers[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max((1, 2))
        x = halved / max(float(halved.std()), 1e-3)
    return [log(value + 0.01) for value in found]


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 7, 10), (3, 5, 3), (1, 1, 6)])
def test_the_bank_is_three_stages_of_answers_each_halved_by_its_maxima(
    channels: int, height: int, width: int
) -> None:
    image = random(channels, height, width)
    assert filter_statistics(image) == pytest.approx(slow_statistics(image), abs=2e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_first_kernels_are_blind_to_the_level_and_all_are_drawn_alike(channels: int) -> None:
    """A kernel's answer to noise of contrast 1 has variance 1: its weights' squares sum to 1."""
    first, second, third = _bank(channels)
    assert [tuple(kernels.shape) for kernels in (first, second, third)] == [
        (32, channels, 7, 7),
        (64, 32, 3, 3),
        (64, 64, 3, 3),
    ]
    assert first.sum((1, 2, 3)).abs().max() < 1e-5
    for kernels in (first, second, third):
        assert float(kernels.square().sum((1, 2, 3)).mean()) == pytest.approx(1, rel=0.1)
    assert _bank(channels)[0] is first  # the same for every picture


@pytest.mark.parametrize("channels", [1, 3])
def test_brightness_and_contrast_do_not_count_for_the_bank(channels: int) -> None:
    faint = np.repeat(wave(4, 2, contrast=0.05), channels, 0) + np.float32(0.05) * random(channels)
    usual = filter_statistics(faint)
    for contrast, level in ((1.0, 0.2), (4.0, 0.0), (0.6, 0.4)):
        changed = np.asarray(contrast * faint + level, np.float32)
        assert filter_statistics(changed) == pytest.approx(usual, abs=1e-3)
    tint = np.linspace(0, 0.3, channels, dtype=np.float32)[:, None, None]
    assert filter_statistics(faint + tint) == pytest.approx(usual, abs=1e-3)  # nor does a tint
    assert spectral_statistics(faint + np.float32(0.2)) != pytest.approx(spectral_statistics(faint), abs=0.1)


def test_what_is_fainter_than_a_fiftieth_is_not_stretched_to_full_contrast() -> None:
    noise = random(1) - random(1).mean()
    faintest, faint = 0.001 * noise / noise.std(), 0.005 * noise / noise.std()
    shares = [np.exp(filter_statistics(each)[:32]) - FAINT for each in (faintest, faint)]
    assert shares[1] / shares[0] == pytest.approx(np.full(32, 5), rel=2e-2)  # as faint as it is


@pytest.mark.parametrize("channels", [1, 3])
def test_a_flat_picture_is_nothing_to_the_bank(channels: int) -> None:
    flat = np.full((channels, 9, 6), 0.3, np.float32)
    assert filter_statistics(flat) == pytest.approx(np.full(320, log(FAINT)), abs=0.01)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (3, 3), (1, 9), (4, 2)])
def test_tiny_pictures_are_described_too(channels: int, height: int, width: int) -> None:
    image = random(channels, height, width)
    description = describe(image)
    assert description.shape == (64 + channels + 320,)
    assert description.dtype == np.float32
    assert np.isfinite(description).all()
    assert description[64 : 64 + channels] == pytest.approx(4 * image.mean((1, 2)))
    assert description[64 + channels :] == pytest.approx(slow_statistics(image), abs=2e-3)


def test_colours_that_change_places_are_another_texture_to_the_bank() -> None:
    """The spectrum is that of the channels' mean, so only the bank tells a red pattern from a blue one."""
    red = np.full((3, SIDE, SIDE), 0.5, np.float32)
    red[0] = wave(4, 0)
    blue = red[::-1].copy()
    assert spectral_statistics(red)[:64] == pytest.approx(spectral_statistics(blue)[:64], abs=1e-4)
    assert np.abs(filter_statistics(red) - filter_statistics(blue)).max() > 1


def test_the_bank_tells_what_has_the_same_spectrum() -> None:
    """Dots and the noise of the same spectrum differ in their phases alone."""
    dots = np.zeros((1, 32, 32), np.float32)
    dots[0, ::8, ::8] = 1.0
    waves = np.fft.rfft2(dots[0])
    phases = np.angle(np.fft.rfft2(random(1)[0]))
    noise = np.fft.irfft2(np.abs(waves) * np.exp(1j * phases), s=(32, 32)).astype(np.float32)[None]
    shifted = np.roll(dots, (8, 16), (1, 2))
    near = np.linalg.norm(filter_statistics(dots) - filter_statistics(shifted))
    far = np.linalg.norm(filter_statistics(dots) - filter_statistics(noise))
    assert far > 5 * near


def test_a_description_is_both() -> None:
    image = random()
    assert describe(image).tolist() == [*spectral_statistics(image), *filter_statistics(image)]


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
