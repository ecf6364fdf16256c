"""The observer that knows no network: what it sees of a crop, and what it tells apart."""

import warnings
from collections.abc import Callable, Sequence
from math import log, pi

import numpy as np
import pytest
from scipy import stats

from fmi_engine.readability import DIRECTIONS, FAINT, TONES, WAVELENGTHS, describe_crop, observer, windows
from fmi_engine.texture import auroc
from fmi_engine.types import FloatArray, Readable

pytestmark = pytest.mark.numeric

SIDE = 24


def stripes(seed: int, wavelength: float = 6.0, direction: float = 0.0, side: int = SIDE) -> FloatArray:
    """A grey wave of some direction, with a phase and some grain of the seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    along = x * np.cos(direction) + y * np.sin(direction)
    field = 0.5 + 0.25 * np.cos(2 * pi * along / wavelength + rng.uniform(0, 2 * pi))
    return np.asarray((field + 0.02 * rng.standard_normal((side, side)))[..., None].clip(0, 1), np.float32)


def specks(seed: int, count: int = 12, side: int = SIDE) -> FloatArray:
    """Bright points on grey."""
    rng = np.random.default_rng(seed)
    field = 0.5 + 0.02 * rng.standard_normal((side, side))
    field[rng.integers(0, side, count), rng.integers(0, side, count)] = 1.0
    return np.asarray(field[..., None].clip(0, 1), np.float32)


def grain(seed: int, side: int = SIDE) -> FloatArray:
    return np.random.default_rng(seed).random((side, side, 1), dtype=np.float32)


# What it sees


def energy_of(crop: FloatArray) -> FloatArray:
    """Of every wavelength (rows) in every direction (columns)."""
    return np.asarray(describe_crop(crop)[0].reshape(-1, DIRECTIONS))


@pytest.mark.parametrize(("wavelength", "which"), [(2.5, 0), (4.0, 1), (6.5, 2), (10.0, 3), (16.0, 4)])
@pytest.mark.parametrize(("direction", "way"), [(0.0, 0), (pi / 2, 3)])
def test_a_wave_has_most_energy_at_its_own_wavelength_and_direction(
    wavelength: float, which: int, direction: float, way: int
) -> None:
    found = energy_of(stripes(0, wavelength, direction, side=48))
    assert divmod(int(found.argmax()), DIRECTIONS) == (which, way)


def test_energy_grows_with_contrast_and_its_logarithm_by_that_of_the_factor() -> None:
    crop = stripes(0) - 0.5
    one, half = (energy_of(0.5 + share * crop).max() for share in (1.0, 0.5))
    assert np.exp(one) - FAINT == pytest.approx(2 * (np.exp(half) - FAINT), rel=1e-3)


def test_specks_have_more_kurtosis_than_grain_and_a_wave_least() -> None:
    means = [describe_crop(crop)[1].mean() for crop in (stripes(0), grain(0), specks(0))]
    assert means[0] < means[1] < means[2]


def test_the_tones_are_quantiles_contrast_skewness_and_kurtosis_of_every_channel() -> None:
    crop = np.random.default_rng(3).random((16, 16, 3), dtype=np.float32) ** np.array([1, 2, 4], np.float32)
    tones = describe_crop(crop)[2].reshape(3, -1)
    for c in range(3):
        values = crop[..., c].ravel().astype(np.float64)
        expected = [3 * float(np.quantile(values, share)) for share in TONES]
        expected += [log(values.std() + FAINT), float(stats.skew(values)), log(stats.kurtosis(values) + 3)]
        assert tones[c] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_crop_is_described_by_the_wavelengths_that_fit_into_its_mirror_image() -> None:
    for side in (12, 16, 24, 48):
        fitting = sum(wavelength <= 0.75 * 2 * side for wavelength in WAVELENGTHS)
        assert [len(part) for part in describe_crop(grain(0, side))] == [6 * fitting, 6 * fitting, 10]


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_flat_crop_is_described_by_finite_numbers_and_without_a_warning(
    level: float, channels: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        energies, kurtosis, tones = describe_crop(np.full((12, 12, channels), level, np.float32))
    assert energies == pytest.approx(np.full(len(energies), log(FAINT)), abs=1e-3)
    assert np.isfinite(kurtosis).all()
    assert tones.reshape(channels, -1)[0, :7] == pytest.approx(np.full(7, 3 * level))


# What it tells apart


def crops(kind: str, seeds: Sequence[int]) -> list[FloatArray]:
    kinds: dict[str, Callable[[int], FloatArray]] = {"stripes": stripes, "specks": specks, "grain": grain}
    made = kinds[kind]
    return [made(seed) for seed in seeds]


SEEN = {0: crops("stripes", range(12)), 1: crops("specks", range(12)), 2: crops("grain", range(12))}


@pytest.mark.parametrize(("channel", "kind"), [(0, "stripes"), (1, "specks"), (2, "grain")])
def test_shown_its_texture_an_observer_tells_a_filters_crops_from_all_others(channel: int, kind: str) -> None:
    shown, real = crops(kind, range(50, 53)), crops(kind, range(70, 79))
    found = observer(SEEN).readable(channel, shown, real)
    assert (found.auroc, found.ceiling) == (1.0, 1.0)


def test_shown_another_texture_it_tells_them_as_others() -> None:
    found = observer(SEEN).readable(0, crops("specks", range(50, 53)), crops("stripes", range(70, 73)))
    assert found.auroc <= 0.5  # the specks before all stripes, and these before the grain
    assert found.ceiling == 1
    assert found.share <= 0


def test_shown_what_has_nothing_to_do_with_any_it_is_near_chance() -> None:
    """Stripes of two filters that differ by nothing, and noise: one is as like to it as the other."""
    alike = {0: crops("stripes", range(30)), 1: crops("stripes", range(100, 130))}
    found = observer(alike).readable(0, crops("grain", range(9)), crops("stripes", range(200, 227)))
    assert found.auroc == pytest.approx(0.5, abs=0.2)
    assert found.ceiling == pytest.approx(0.5, abs=0.15)


def test_auroc_and_ceiling_are_by_the_nearest_of_what_is_shown() -> None:
    """Crops are seen as their mean: worked out on paper.

    Filter 0 answers 0.1 and 0.4, filter 1 0.2 and 0.9. Shown 0.1 the distances are 0, 0.3 and 0.1, 0.8:
    of four pairs three are right. Shown 0.2 they are 0.1, 0.2 and 0, 0.7: two. Shown 0.2 and 0.5 they are
    0.1, 0.1 and 0, 0.4: two. Shown 0.1 and 0.2 they are 0, 0.2 and 0, 0.7: two and a tie.
    """

    def level(value: float) -> FloatArray:
        return np.full((4, 4, 1), value, np.float32)

    looking = observer(
        {0: [level(0.1), level(0.4)], 1: [level(0.2), level(0.9)]}, lambda crop: (crop.mean((0, 1)),)
    )
    real = [level(0.1), level(0.2), level(0.1)]
    found = looking.readable(0, [level(0.1)], real)
    assert found.auroc == pytest.approx(3 / 4)
    assert found.ceiling == pytest.approx((3 + 2 + 3) / 12)
    both = looking.readable(0, [level(0.2), level(0.5)], real)  # the third is left over
    assert both.auroc == pytest.approx(2 / 4)
    assert both.ceiling == pytest.approx(2.5 / 4)


def test_of_more_windows_than_there_are_real_crops_no_more_count() -> None:
    """Else there were no ceiling at all: a plant of few images has few crops of a filter."""
    shown, real = crops("stripes", range(50, 54)), crops("stripes", range(70, 73))
    looking = observer(SEEN)
    assert looking.readable(0, shown, real) == looking.readable(0, shown[:3], real)
    last = [*crops("specks", range(3)), *shown]
    assert looking.readable(0, last, real).auroc <= 0.5


def test_of_a_filter_alone_nothing_can_be_told() -> None:
    found = observer({0: SEEN[0]}).readable(0, crops("stripes", range(3)), crops("stripes", range(3, 6)))
    assert np.isnan([found.auroc, found.ceiling, found.share]).all()


def test_every_part_of_a_description_counts_alike_and_what_never_varies_nothing() -> None:
    """One entry, and a hundred of which none tells anything: both are one part of two."""

    def seen(crop: FloatArray) -> tuple[FloatArray, ...]:
        return crop[0, :1, 0], np.full(100, 7.0, np.float32)

    def level(value: float) -> FloatArray:
        return np.full((4, 4, 1), value, np.float32)

    looking = observer({0: [level(0.1), level(0.2)], 1: [level(0.8), level(0.9)]}, seen)
    found = looking.readable(0, [level(0.15)], [level(0.15)])
    assert (found.auroc, found.ceiling) == (1.0, 1.0)
    weights = looking.scale[1]
    assert weights[0] == pytest.approx(1 / np.std([0.1, 0.2, 0.8, 0.9]), rel=1e-4)
    assert weights[1:] == pytest.approx(np.full(100, 0.1))


def test_the_share_is_of_the_way_from_chance_to_other_real_crops() -> None:
    assert Readable(0.65, 0.75).share == pytest.approx(0.6)
    assert Readable(0.5, 0.75).share == 0
    assert Readable(0.8, 0.75).share == pytest.approx(1.2)
    assert np.isnan(Readable(0.6, 0.5).share)


# What it is shown of a picture


def numbered(height: int = 32, width: int = 32) -> FloatArray:
    return np.arange(height * width, dtype=np.float32).reshape(1, height, width)


def corners(found: Sequence[FloatArray], width: int = 32) -> list[tuple[int, int]]:
    return [divmod(int(each[0, 0, 0]), width) for each in found]


def test_windows_lie_where_the_filter_answers_most_strongest_first() -> None:
    answers = np.zeros((8, 8), np.float32)
    answers[2, 3], answers[6, 6], answers[0, 7] = 5, 9, 7  # middles at 10, 14; 26, 26; 2, 30
    found = windows(numbered(), 10, answers)
    assert corners(found)[:3] == [(21, 21), (0, 22), (5, 9)]
    assert {each.shape for each in found} == {(10, 10, 1)}
    assert np.array_equal(found[0][..., 0], numbered()[0, 21:31, 21:31])


def test_of_windows_that_overlap_by_half_the_stronger_is_taken() -> None:
    answers = np.zeros((32, 32), np.float32)
    answers[16, 16], answers[18, 14], answers[16, 22] = 9, 8, 7
    assert corners(windows(numbered(), 12, answers))[:2] == [(10, 10), (10, 16)]


def test_at_the_border_no_part_is_shown_twice() -> None:
    """The parts around rows 0 and 6 would be the same one: neither can be centred on its row."""
    answers = np.zeros((32, 32), np.float32)
    answers[0, 10], answers[6, 10], answers[1, 0] = 9, 8, 7
    found = corners(windows(numbered(), 12, answers))
    assert found[0] == (0, 4)
    for i, one in enumerate(found):
        for other in found[:i]:
            assert max(abs(a - b) for a, b in zip(one, other, strict=True)) >= 6


@pytest.mark.parametrize(
    ("height", "width", "side", "most"), [(32, 32, 12, 4), (64, 64, 12, 9), (12, 40, 12, 3), (20, 20, 12, 1)]
)
def test_no_more_windows_than_have_room_and_nine_at_most(
    height: int, width: int, side: int, most: int
) -> None:
    answers = np.random.default_rng(0).random((height // 2, width // 2), dtype=np.float32)
    picture = np.random.default_rng(1).random((3, height, width), dtype=np.float32)
    found = windows(picture, side, answers)
    assert 1 <= len(found) <= most
    assert {each.shape for each in found} == {(side, side, 3)}


def test_a_picture_as_large_as_a_window_is_shown_whole_and_a_coarse_map_will_do() -> None:
    picture = np.random.default_rng(1).random((3, 16, 16), dtype=np.float32)
    for answers in (np.ones((1, 1), np.float32), np.random.default_rng(0).random((4, 4), dtype=np.float32)):
        (found,) = windows(picture, 16, answers)
        assert np.array_equal(found, picture.transpose(1, 2, 0))


def test_answers_are_left_as_they_are() -> None:
    answers = np.random.default_rng(0).random((8, 8), dtype=np.float32)
    before = answers.copy()
    windows(numbered(), 12, answers)
    assert np.array_equal(answers, before)


def test_chance_is_what_crops_of_one_kind_exceed_in_one_of_twenty_cases() -> None:
    """Drawn from one normal distribution, 40 and 190 crops: Mann and Whitney's bound holds."""
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((4000, 230))
    found = np.array([auroc(each[:40], each[40:]) for each in drawn])
    alike = {0: crops("grain", range(40)), 1: crops("grain", range(40, 230))}
    chance = observer(alike).readable(0, crops("grain", [300]), crops("grain", [301])).chance
    assert np.mean(found > chance) == pytest.approx(0.05, abs=0.01)


def test_more_than_chance_is_needed_where_real_crops_tell_little() -> None:
    assert Readable(0.57, 0.6, 0.58).needed == 0.58
    assert Readable(0.7, 0.8, 0.58).needed == pytest.approx(0.65)
