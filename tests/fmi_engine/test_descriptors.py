import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict, fields, replace
from math import atan2, exp, hypot, isfinite, isnan, log, log2, pi, sin, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fmi_engine.descriptors import (
    DESCRIPTOR_UNITS,
    ORDERED,
    DepthTrend,
    Texture,
    _autocorrelation,
    hierarchy,
    measure_texture,
    texture_vector,
)
from fmi_engine.errors import EngineError, TextureError, UnknownLayerError
from fmi_engine.types import FloatArray

pytestmark = pytest.mark.numeric

SIDE = 32
NAMES = [field.name for field in fields(Texture)]


def picture(field: NDArray[np.floating]) -> FloatArray:
    """A grey picture (1, height, width)."""
    return np.asarray(field[None], np.float32)


def wave(
    across: float,
    down: float,
    amplitude: float = 0.2,
    height: int = SIDE,
    width: int = SIDE,
    phase: float = 0,
) -> FloatArray:
    """A grey cosine with so many periods across and down the picture."""
    y, x = np.mgrid[:height, :width]
    return picture(0.5 + amplitude * np.cos(2 * pi * (across * x / width + down * y / height) + phase))


def tilted(wavelength: float, degrees: float, side: int = 48, phase: float = 0.7) -> FloatArray:
    """A grey cosine of this wavelength in pixels, varying in this direction, x to the right and y down."""
    y, x = np.mgrid[:side, :side]
    along = x * np.cos(np.radians(degrees)) + y * np.sin(np.radians(degrees))
    return picture(0.5 + 0.2 * np.cos(2 * pi * along / wavelength + phase))


def checks(cell: int, side: int = SIDE) -> FloatArray:
    y, x = np.mgrid[:side, :side]
    return picture((x // cell + y // cell) % 2)


def grain(channels: int = 1, height: int = SIDE, width: int = SIDE, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).random((channels, height, width), dtype=np.float32)


def power_law(beta: float, side: int = 96, seed: int = 0, amplitude: float = 0.49) -> FloatArray:
    """Noise whose power falls as 1 / frequency^beta."""
    fy, fx = np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij")
    radius = np.hypot(fx, fy)
    radius[0, 0] = np.inf
    white = np.random.default_rng(seed).standard_normal((side, side))
    field = np.fft.ifft2(np.fft.fft2(white) * radius ** (-beta / 2)).real
    return picture(0.5 + amplitude * field / np.abs(field).max())


def flat(level: float = 0.3, channels: int = 3) -> FloatArray:
    return np.full((channels, 24, 24), level, np.float32)


def coloured(red: float, green: float, blue: float) -> FloatArray:
    return np.broadcast_to(np.array([red, green, blue], np.float32)[:, None, None], (3, 24, 24)).copy()


def others(texture: Texture, *names: str) -> dict[str, float]:
    """All descriptors but these."""
    return {name: value for name, value in asdict(texture).items() if name not in names}


def slow_spectrum(image: FloatArray) -> list[tuple[float, float, float]]:
    """(across, down, power) of each frequency of the windowed picture, one at a time; cycles per pixel."""
    _, height, width = image.shape
    window = np.array(
        [
            [sin(pi * (y + 0.5) / height) ** 2 * sin(pi * (x + 0.5) / width) ** 2 for x in range(width)]
            for y in range(height)
        ]
    )
    y, x = np.mgrid[:height, :width]
    found = []
    for v in range(-(height // 2), (height + 1) // 2):
        for u in range(-(width // 2), (width + 1) // 2):
            powers = []
            for channel in image.astype(np.float64):
                field = window * (channel - (window * channel).sum() / window.sum())
                powers.append(abs((field * np.exp(-2j * pi * (u * x / width + v * y / height))).sum()) ** 2)
            if u or v:
                scale = height * width * (window**2).sum()
                found.append((u / width, v / height, float(np.mean(powers)) / scale))
    return found


SIZES = [(1, 16, 16), (3, 12, 15), (1, 13, 10), (3, 8, 8)]


# Wavelength


@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 118, 160])
@pytest.mark.parametrize("wavelength", [3.2, 5.0, 8.0, 12.7, 19.0])
def test_a_wave_has_its_own_wavelength_and_direction(wavelength: float, degrees: float) -> None:
    found = measure_texture(tilted(wavelength, degrees))
    assert found.wavelength == pytest.approx(wavelength, rel=0.01)
    assert (found.orientation - degrees + 90) % 180 - 90 == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize(
    ("across", "down", "height", "width", "wavelength"),
    [
        (4, 0, 24, 24, 6.0),
        (0, 3, 24, 24, 8.0),
        (2, 0, 24, 24, 12.0),  # two periods are enough
        (2, 0, 8, 8, 4.0),
        (0, 3, 24, 40, 8.0),
        (5, 0, 24, 40, 8.0),
        (3, 4, 24, 24, 24 / 5),  # 3-4-5
        (5, 3, 24, 40, 8 / sqrt(2)),  # eight pixels across and eight down
        (20, 0, 24, 80, 4.0),
    ],
)
def test_whole_periods_across_and_down_make_the_wavelength(
    across: int, down: int, height: int, width: int, wavelength: float
) -> None:
    found = measure_texture(wave(across, down, height=height, width=width))
    assert found.wavelength == pytest.approx(wavelength, rel=0.01)


@pytest.mark.parametrize("cell", [2, 3, 4, 6])
def test_checks_vary_along_their_diagonals(cell: int) -> None:
    """The ground wave of checks is diagonal: twice the cell over the root of two."""
    assert measure_texture(checks(cell, 48)).wavelength == pytest.approx(cell * sqrt(2), rel=0.01)


def test_the_finest_patterns_reach_the_ends_of_the_range() -> None:
    assert measure_texture(checks(1, 96)).wavelength == pytest.approx(sqrt(2), rel=0.01)
    assert measure_texture(wave(48, 0, 0.4, 96, 96)).wavelength == pytest.approx(2, rel=0.01)


@pytest.mark.parametrize(("height", "width"), [(24, 24), (24, 40), (40, 24)])
def test_a_slow_change_of_light_is_no_shorter_and_no_longer_than_the_picture(height: int, width: int) -> None:
    y, _ = np.mgrid[:height, :width]
    found = measure_texture(picture(y / height)).wavelength
    assert height <= found <= max(height, width)


def slow_wavelength(image: FloatArray) -> float:
    """The peak of the power per octave, then the mean squared frequency near it less the window's."""
    height, width = image.shape[1:]
    spectrum = [(hypot(fx, fy), power) for fx, fy, power in slow_spectrum(image)]
    best, peak = 0.0, 0.0
    octave = -log2(max(height, width))
    while octave < log2(max(radius for radius, _ in spectrum)):
        density = sum(
            power * exp(-((log2(radius) - octave) ** 2) / 2 / 0.25**2) for radius, power in spectrum
        )
        if density > best:
            best, peak = density, octave
        octave += 1 / 8
    near = [
        (radius, power)
        for radius, power in spectrum
        if abs(log2(radius) - peak) <= 0.5 or abs(radius - 2**peak) <= 2 / min(height, width)
    ]
    mean = sum(power * radius**2 for radius, power in near) / sum(power for _, power in near)
    return 1 / sqrt(mean - (1 / height**2 + 1 / width**2) / 3)


@pytest.mark.parametrize("beta", [0.0, 2.0])
@pytest.mark.parametrize(("channels", "height", "width"), SIZES)
def test_wavelength_is_read_at_the_peak_of_power_per_octave(
    channels: int, height: int, width: int, beta: float
) -> None:
    image = 0.5 * grain(channels, height, width) + 0.5 * power_law(beta, 16)[:, :height, :width]
    assert measure_texture(image).wavelength == pytest.approx(slow_wavelength(image), rel=1e-6)


@pytest.mark.parametrize(
    ("coarse", "fine", "wavelength"), [(0.1, 0.2, 3.2), (0.2, 0.1, 32 / 3), (0.15, 0.16, 3.2)]
)
def test_the_stronger_of_two_waves_is_dominant(coarse: float, fine: float, wavelength: float) -> None:
    both = wave(3, 0, coarse)[0] + wave(0, 10, fine)[0] - 0.5
    assert measure_texture(picture(both)).wavelength == pytest.approx(wavelength, rel=0.01)


def test_noise_hardly_moves_the_wavelength() -> None:
    noisy = picture(wave(4, 0, 0.2)[0] + 0.2 * (grain()[0] - 0.5))
    assert measure_texture(noisy).wavelength == pytest.approx(8, rel=0.02)


def test_noise_is_finest_grain() -> None:
    """Power per octave grows up to half a cycle per pixel and falls in the corners beyond."""
    assert measure_texture(grain(1, 96, 96)).wavelength == pytest.approx(2.2, abs=0.2)


# Orientation


@pytest.mark.parametrize(("channels", "height", "width"), SIZES)
def test_orientation_is_the_first_axis_of_the_structure_tensor(
    channels: int, height: int, width: int
) -> None:
    """The tensor of unit frequencies; a wave at half a cycle per pixel has a mirror image as strong."""
    y, x = np.mgrid[:height, :width]
    image = 0.5 * grain(channels, height, width) + 0.25 * (1 + np.cos(x + 0.5 * y)).astype(np.float32)
    tensor = np.zeros((2, 2))
    for fx, fy, power in slow_spectrum(image):
        unit = np.array([fx, fy]) / hypot(fx, fy)
        mirrored = unit * [1, -1] if -0.5 in (fx, fy) else unit
        tensor += power * (np.outer(unit, unit) + np.outer(mirrored, mirrored)) / 2
    values, axes = np.linalg.eigh(tensor)
    found = measure_texture(image)
    assert found.orientation_strength == pytest.approx((values[1] - values[0]) / values.sum(), abs=1e-6)
    assert found.orientation_strength > 0.1
    assert found.orientation == pytest.approx(np.degrees(atan2(axes[1, 1], axes[0, 1])) % 180, abs=1e-3)


@pytest.mark.parametrize("periods", [4, 8])
def test_a_single_wave_keeps_to_its_direction_but_for_the_window(periods: int) -> None:
    """The window puts a third of the power one bin up or down; cos(2 angle) there is 1 - 2 sin^2."""
    aside = sum(
        share * (1 - 2 / (1 + across**2))
        for across, share in [(periods - 1, 1 / 6), (periods, 4 / 6), (periods + 1, 1 / 6)]
    )
    found = measure_texture(wave(periods, 0, height=64, width=64)).orientation_strength
    assert found == pytest.approx(2 / 3 + aside / 3, abs=1e-5)
    assert found == pytest.approx(1 - 2 / (3 * periods**2), abs=2e-3)


@pytest.mark.parametrize("weak", [0.0, 0.05, 0.1])
def test_two_crossed_waves_keep_the_difference_of_their_powers(weak: float) -> None:
    strong, crossed = wave(8, 8, 0.2) - 0.5, wave(8, -8, weak) - 0.5
    alone = measure_texture(0.5 + strong).orientation_strength
    both = measure_texture(0.5 + strong + crossed)
    assert both.orientation_strength == pytest.approx(
        alone * (0.2**2 - weak**2) / (0.2**2 + weak**2), abs=1e-4
    )
    assert both.orientation == pytest.approx(45, abs=1e-3)


@pytest.mark.parametrize("image", [checks(1), checks(3, 24), checks(4), 0.5 * (wave(8, 8) + wave(8, -8))])
def test_a_pattern_without_direction_says_so(image: FloatArray) -> None:
    found = measure_texture(image)
    assert found.orientation_strength == pytest.approx(0, abs=1e-3)
    assert isnan(found.orientation)


def test_noise_has_hardly_a_direction() -> None:
    found = [measure_texture(grain(1, 96, 96, seed)) for seed in range(5)]
    assert max(texture.orientation_strength for texture in found) < 0.1
    assert min(texture.orientation_entropy for texture in found) > 0.98


def test_upright_stripes_vary_from_left_to_right() -> None:
    assert measure_texture(wave(8, 0)).orientation == pytest.approx(0, abs=1e-6)
    assert measure_texture(wave(0, 8)).orientation == pytest.approx(90)
    assert measure_texture(wave(8, 8)).orientation == pytest.approx(45)  # towards the lower right
    assert measure_texture(wave(8, -8)).orientation == pytest.approx(135)
    assert 0 <= measure_texture(wave(12, 0, phase=0.3)).orientation < 180


@pytest.mark.parametrize("seed", range(3))
def test_a_quarter_turn_turns_the_orientation_and_nothing_else(seed: int) -> None:
    """A mirror image as well: up to rounding, the spectrum is the same one."""
    image = 0.5 * grain(3, 24, 32, seed) + 0.5 * wave(5, 3, height=24)
    before = measure_texture(image)
    turned = measure_texture(np.rot90(image, axes=(1, 2)))
    flipped = measure_texture(image[:, ::-1])
    assert turned.orientation == pytest.approx((before.orientation + 90) % 180)
    assert flipped.orientation == pytest.approx(180 - before.orientation)
    assert others(turned, "orientation") == pytest.approx(others(before, "orientation"), rel=1e-6)
    assert others(flipped, "orientation") == pytest.approx(others(before, "orientation"), rel=1e-6)


@pytest.mark.parametrize(
    ("waves", "share"),
    [
        ([(8, 8)], 0.0),
        ([(8, 8), (8, -8)], log(2) / log(12)),
        ([(8, 8), (8, -8), (0, 11)], log(3) / log(12)),
    ],
)
def test_entropy_counts_the_directions(waves: list[tuple[int, int]], share: float) -> None:
    image = 0.5 + sum((wave(across, down, 0.1) - 0.5 for across, down in waves), np.zeros((1, SIDE, SIDE)))
    assert measure_texture(picture(image[0])).orientation_entropy == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize(("channels", "height", "width"), SIZES)
def test_entropy_is_that_of_the_power_in_twelve_directions(channels: int, height: int, width: int) -> None:
    image = grain(channels, height, width)
    shares = [0.0] * 12
    for fx, fy, power in slow_spectrum(image):
        mirror = (fx, -fy) if -0.5 in (fx, fy) else (fx, fy)
        for across, down in ((fx, fy), mirror):
            degrees = np.degrees(atan2(down, across))
            shares[int((degrees + 7.5 + 1e-9) // 15) % 12] += power / 2
    total = sum(shares)
    expected = -sum(share / total * log(share / total) for share in shares) / log(12)
    assert measure_texture(image).orientation_entropy == pytest.approx(expected, abs=1e-6)


# Colour and contrast


def slow_colourfulness(image: FloatArray) -> float:
    """Hasler and Suesstrunk's M3, one pixel at a time."""
    _, height, width = image.shape
    rg, yb = [], []
    for y in range(height):
        for x in range(width):
            red, green, blue = (255 * float(image[channel, y, x]) for channel in range(3))
            rg.append(red - green)
            yb.append(0.5 * (red + green) - blue)
    means = [sum(values) / len(values) for values in (rg, yb)]
    variances = [
        sum((value - mean) ** 2 for value in values) / len(values)
        for values, mean in zip((rg, yb), means, strict=True)
    ]
    return sqrt(sum(variances)) + 0.3 * hypot(*means)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 14)])
def test_colourfulness_is_m3(height: int, width: int) -> None:
    image = grain(3, height, width) * np.array([1, 0.5, 0.2], np.float32)[:, None, None]
    assert measure_texture(image).colourfulness == pytest.approx(slow_colourfulness(image), rel=1e-6)


@pytest.mark.parametrize(
    ("red", "green", "blue", "expected"),
    [
        (0, 0, 0, 0),
        (1, 1, 1, 0),
        (0.25, 0.25, 0.25, 0),
        (1, 0, 0, 0.3 * hypot(255, 127.5)),
        (0, 1, 0, 0.3 * hypot(255, 127.5)),
        (0, 0, 1, 0.3 * 255),
        (1, 1, 0, 0.3 * 255),
        (0.5, 0, 0, 0.15 * hypot(255, 127.5)),
    ],
)
def test_a_pure_colour_is_as_colourful_as_its_distance_from_grey(
    red: float, green: float, blue: float, expected: float
) -> None:
    assert measure_texture(coloured(red, green, blue)).colourfulness == pytest.approx(expected, abs=1e-4)


def test_red_and_green_halves_add_their_spread() -> None:
    """R - G is +255 or -255, mean 0; yellow less blue 127.5 throughout."""
    image = coloured(1, 0, 0)
    image[:, :12] = coloured(0, 1, 0)[:, :12]
    found = measure_texture(image)
    assert found.colourfulness == pytest.approx(255 + 0.3 * 127.5)
    assert found.contrast == pytest.approx((0.587 - 0.299) / 2)  # the luminances of green and red


def test_one_channel_has_no_colour_and_three_alike_are_the_same_picture() -> None:
    grey = grain(1)
    one, three = measure_texture(grey), measure_texture(np.repeat(grey, 3, 0))
    assert one.colourfulness == 0
    assert asdict(three) == pytest.approx(asdict(one), abs=1e-6)


def test_a_pattern_of_colour_alone_has_wavelength_and_direction_without_contrast() -> None:
    stripes = wave(0, 4, 0.2)[0] - 0.5
    image = 0.5 + np.stack([stripes, -0.299 / 0.587 * stripes, 0 * stripes])
    found = measure_texture(image.astype(np.float32))
    assert found.contrast == pytest.approx(0, abs=1e-6)
    assert found.wavelength == pytest.approx(8, rel=0.01)
    assert found.orientation == pytest.approx(90)
    assert found.regularity == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("amplitude", [0.01, 0.1, 0.5])
def test_the_contrast_of_a_wave_is_its_amplitude_over_root_two(amplitude: float) -> None:
    assert measure_texture(wave(4, 2, amplitude)).contrast == pytest.approx(amplitude / sqrt(2), rel=1e-5)


def test_checks_of_black_and_white_have_the_greatest_contrast() -> None:
    assert measure_texture(checks(4)).contrast == 0.5


@pytest.mark.parametrize("scale", [0.5, 0.1])
def test_contrast_scales_and_the_pattern_stays(scale: float) -> None:
    image = power_law(1.0, side=48)
    before, after = measure_texture(image), measure_texture(0.5 + scale * (image - 0.5))
    assert after.contrast == pytest.approx(scale * before.contrast, rel=1e-4)
    assert others(after, "contrast") == pytest.approx(others(before, "contrast"), abs=1e-3)


# Slope


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0, 3.0])
def test_the_slope_of_noise_is_its_exponent(beta: float) -> None:
    found = [measure_texture(power_law(beta, 128, seed)).slope for seed in range(5)]
    assert np.mean(found) == pytest.approx(beta, abs=0.1)
    assert max(found) - min(found) < 0.6


def slow_slope(image: FloatArray, floor: float) -> float:
    """The line through the rings, none of which counts less than the floor."""
    lowest = 2 / min(image.shape[1:])
    rings: dict[int, list[tuple[float, float]]] = {}
    for fx, fy, power in slow_spectrum(image):
        radius = hypot(fx, fy)
        if lowest - 1e-9 <= radius < 0.5 - 1e-9:
            ring = int(4 * log(radius / lowest) / log(2) + 1e-9)
            rings.setdefault(ring, []).append((log(radius), power))
    x = [float(np.mean([place for place, _ in ring])) for ring in rings.values()]
    y = [log(max(float(np.mean([power for _, power in ring])), floor)) for ring in rings.values()]
    return -float(np.polyfit(x, y, 1)[0])


@pytest.mark.parametrize(("channels", "height", "width"), SIZES)
def test_slope_is_the_least_squares_line_through_the_rings(channels: int, height: int, width: int) -> None:
    image = grain(channels, height, width)
    assert measure_texture(image).slope == pytest.approx(slow_slope(image, floor=1e-30), abs=1e-5)


@pytest.mark.parametrize(("across", "down"), [(2, 0), (4, 0), (3, 5)])
def test_an_empty_ring_counts_as_8_bit_rounding(across: int, down: int) -> None:
    """Rounding to steps of 1 / 255 has a variance of a twelfth of their square, alike in every frequency."""
    image = wave(across, down, 0.4, 16, 16)
    found = measure_texture(image).slope
    assert found == pytest.approx(slow_slope(image, floor=1 / 255**2 / 12 / 16**2), abs=1e-5)
    assert abs(found - slow_slope(image, floor=1e-30)) > 2  # else the noise of floating point decides


# Regularity


def slow_correlation(image: FloatArray, down: int, across: int) -> float:
    """The correlation at one lag, over the overlap of the picture and its shifted self."""
    height, width = int(image.shape[1]), int(image.shape[2])
    field = image.astype(np.float64)
    field -= field.mean((1, 2), keepdims=True)
    product, here, there, count = 0.0, 0.0, 0.0, 0
    for y in range(height):
        for x in range(width):
            if 0 <= y + down < height and 0 <= x + across < width:
                a, b = field[:, y, x], field[:, y + down, x + across]
                product += float(a @ b)
                here += float(a @ a)
                there += float(b @ b)
                count += 1
    mean_energy = float((field**2).sum()) / (height * width)
    return product / max(here, there, count * mean_energy)


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 9, 8), (1, 11, 9)])
def test_the_autocorrelation_is_that_of_the_overlap(channels: int, height: int, width: int) -> None:
    image = grain(channels, height, width) ** 2
    found = _autocorrelation(image.astype(np.float64))
    rows, columns = height // 2 + 1, width // 2 + 1
    assert found.shape == (2 * rows + 1, 2 * columns + 1)
    expected = [
        [slow_correlation(image, down, across) for across in range(-columns, columns + 1)]
        for down in range(-rows, rows + 1)
    ]
    assert found == pytest.approx(np.array(expected), abs=1e-9)
    assert found[rows, columns] == pytest.approx(1)
    assert np.abs(found).max() <= 1 + 1e-9


@pytest.mark.parametrize(
    "image",
    [
        wave(4, 0),
        wave(0, 2),
        wave(3, 7),
        wave(8, 8),
        wave(3, 0, height=24, width=24),
        checks(1),
        checks(3, 24),
        checks(4),
        checks(6, 48),
        0.5 * (wave(8, 0) + wave(0, 4)),
    ],
)
def test_what_is_periodic_is_regular(image: FloatArray) -> None:
    assert measure_texture(image).regularity == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("wavelength", [5.3, 7.7, 13.1])
def test_periods_need_not_be_whole_pixels(wavelength: float) -> None:
    assert measure_texture(tilted(wavelength, 30, side=64)).regularity > 0.9


def test_what_does_not_come_again_is_not_regular() -> None:
    y, x = np.mgrid[:48, :48]
    disc = picture(0.8 * (np.hypot(x - 20, y - 30) < 8))
    step, ramp = picture(1.0 * (x > 20)), picture((x + y) / 94)
    once = wave(1, 0, height=48, width=48)
    assert [measure_texture(each).regularity for each in (disc, step, ramp, once)] == [0, 0, 0, 0]


def test_a_disc_in_a_corner_and_plain_ground_are_not_regular() -> None:
    """Two stretches of plain ground overlap, each alike in every pixel: no repetition of the disc."""
    y, x = np.mgrid[:48, :48]
    assert measure_texture(picture(0.8 * (np.hypot(x - 5, y - 5) < 5))).regularity < 0.05


@pytest.mark.parametrize(("side", "most"), [(24, 0.3), (48, 0.17), (96, 0.1)])
def test_noise_is_hardly_regular(side: int, most: float) -> None:
    found = [measure_texture(grain(1, side, side, seed)).regularity for seed in range(8)]
    assert 0 < max(found) < most
    assert np.mean(found) == pytest.approx({24: 0.17, 48: 0.10, 96: 0.06}[side], abs=0.03)


@pytest.mark.parametrize(("amplitude", "noise"), [(0.2, 0.1), (0.15, 0.15), (0.1, 0.2)])
def test_regularity_is_the_share_of_the_pattern_that_repeats(amplitude: float, noise: float) -> None:
    image = wave(8, 0, amplitude, 64, 64) + noise * sqrt(12) * (grain(1, 64, 64) - 0.5) * 0.5
    share = amplitude**2 / 2 / (amplitude**2 / 2 + noise**2 / 4)
    assert measure_texture(image.clip(0, 1)).regularity == pytest.approx(share, abs=0.08)


def test_slow_light_lowers_but_does_not_hide_a_repetition() -> None:
    """Dots on a slow change as strong as themselves: their lobes never fall below zero near lag 0."""
    dots = 0.5 * (wave(12, 0, 0.1, 96, 96) + wave(0, 12, 0.1, 96, 96)) - 0.5
    light = power_law(4.0, 96) - 0.5
    light *= dots.std() / light.std()
    assert measure_texture(0.5 + dots).regularity == pytest.approx(1, abs=1e-5)
    assert 0.3 < measure_texture(0.5 + dots + light).regularity < 0.8
    assert measure_texture(0.5 + light).regularity < 0.1


# Complexity


@pytest.mark.parametrize(
    "waves", [[(8, 8)], [(8, 8), (8, -8)], [(8, 8), (8, -8), (0, 4)], [(4, 0), (12, 0), (0, 4), (0, 12)]]
)
@pytest.mark.parametrize("side", [32, 64])
def test_complexity_counts_waves(waves: list[tuple[int, int]], side: int) -> None:
    """It is log (number of waves), over log (frequencies) less the entropy of one wave's two lobes."""
    lobe = -(4 / 6 * log(4 / 6) + 2 / 6 * log(1 / 6))
    fields_ = [wave(across, down, 0.1, side, side)[0] - 0.5 for across, down in waves]
    found = measure_texture(picture(0.5 + np.sum(fields_, 0))).complexity
    assert found == pytest.approx(log(len(waves)) / (log(side**2 - 1) - log(2) - 2 * lobe), abs=1e-4)


@pytest.mark.parametrize("side", [24, 96])
def test_noise_is_nearly_as_complex_as_can_be(side: int) -> None:
    """The entropy of exponential shares is short of the greatest by 1 - Euler's constant = 0.42 nats."""
    lobe = -(4 / 6 * log(4 / 6) + 2 / 6 * log(1 / 6))
    found = np.mean([measure_texture(grain(1, side, side, seed)).complexity for seed in range(5)])
    expected = 1 - (1 - 0.5772) / (log(side**2 - 1) - log(2) - 2 * lobe)
    assert found == pytest.approx(expected, abs=0.01)


def test_a_point_has_all_frequencies_alike() -> None:
    image = np.zeros((1, 33, 33), np.float32)
    image[0, 16, 16] = 1
    assert measure_texture(image).complexity == pytest.approx(1, abs=0.005)


def test_complexity_orders_waves_checks_clouds_and_grain() -> None:
    pictures = [wave(8, 0, height=96, width=96), checks(6, 96), power_law(2), power_law(1), grain(1, 96, 96)]
    found = [measure_texture(each).complexity for each in pictures]
    assert found == sorted(found)
    assert min(np.diff(found)) > 0.02


# Any picture


@pytest.mark.parametrize(("down", "across"), [(1, 0), (5, 9), (31, 16)])
def test_a_cyclic_shift_leaves_colour_and_contrast(down: int, across: int) -> None:
    image = grain(3)
    before, after = measure_texture(image), measure_texture(np.roll(image, (down, across), (1, 2)))
    assert after.colourfulness == pytest.approx(before.colourfulness, rel=1e-9)
    assert after.contrast == pytest.approx(before.contrast, rel=1e-9)


@pytest.mark.parametrize(("down", "across"), [(1, 0), (5, 9), (31, 16)])
def test_a_cyclic_shift_of_whole_periods_leaves_everything(down: int, across: int) -> None:
    """Waves wider apart than the window's lobes do not see their phase."""
    image = 0.5 + (wave(8, 3, 0.2) - 0.5) + (wave(-4, 10, 0.1) - 0.5)
    before, after = measure_texture(image), measure_texture(np.roll(image, (down, across), (1, 2)))
    assert asdict(after) == pytest.approx(asdict(before), abs=1e-3)


@pytest.mark.parametrize(("channels", "height", "width"), [*SIZES, (1, 24, 24), (3, 24, 61), (3, 96, 25)])
@pytest.mark.parametrize("seed", range(3))
def test_every_number_lies_within_its_range(channels: int, height: int, width: int, seed: int) -> None:
    image = grain(channels, height, width, seed) ** (1 + 3 * seed)
    found = measure_texture(image)
    assert sqrt(2) - 1e-9 <= found.wavelength <= max(height, width)
    assert isnan(found.orientation) or 0 <= found.orientation < 180
    for share in (
        found.orientation_strength,
        found.orientation_entropy,
        found.regularity,
        found.complexity,
    ):
        assert 0 < share < 1
    assert 0 < found.contrast <= 0.5
    assert (found.colourfulness > 0) == (channels == 3)
    assert isfinite(found.slope)


@pytest.mark.parametrize("image", [flat(0), flat(1), flat(0.3, channels=1), coloured(0.9, 0.2, 0.1)])
def test_a_flat_picture_has_colour_alone(image: FloatArray) -> None:
    found = measure_texture(image)
    unsaid = {"wavelength", "orientation", "orientation_entropy", "slope"}
    assert {name for name in NAMES if isnan(getattr(found, name))} == unsaid
    assert (found.orientation_strength, found.regularity, found.complexity) == (0, 0, 0)
    assert found.contrast == pytest.approx(0, abs=1e-6)


def test_a_hundredth_of_an_8_bit_level_is_flat_and_one_level_is_not() -> None:
    assert isnan(measure_texture(wave(4, 0, 0.01 / 255)).wavelength)
    assert measure_texture(wave(4, 0, 1 / 255)).wavelength == pytest.approx(8, rel=0.01)


def test_measuring_leaves_the_picture_and_the_record_as_they_are() -> None:
    image = grain(3)
    kept = image.copy()
    found = measure_texture(image)
    assert np.array_equal(image, kept)
    assert measure_texture(image) == found
    with pytest.raises(FrozenInstanceError):
        found.contrast = 0.1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((24, 24), np.float32), "shape (24, 24)"),
        (np.zeros((2, 24, 24), np.float32), "1 or 3 channels"),
        (np.zeros((24, 24, 3), np.float32), "shape (24, 24, 3)"),
        (np.zeros((1, 7, 24), np.float32), "at least 8 pixels"),
        (np.zeros((3, 24, 0), np.float32), "shape (3, 24, 0)"),
        (np.zeros((1, 24, 24), np.uint8), "a picture of uint8"),
        (np.where(np.eye(24) > 0, np.nan, 0.5)[None], "24 values that are not finite"),
        (np.full((1, 24, 24), np.inf), "not finite"),
        (np.full((1, 24, 24), 1.5), "from 1.5 to 1.5; expected 0 to 1"),
        (np.linspace(-0.25, 1, 576).reshape(1, 24, 24), "from -0.25 to 1"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_was_given(image: FloatArray, words: str) -> None:
    with pytest.raises(TextureError) as refusal:
        measure_texture(image)
    assert words in str(refusal.value)
    assert isinstance(refusal.value, EngineError)


def test_every_descriptor_has_a_unit_and_a_sentence() -> None:
    assert list(DESCRIPTOR_UNITS) == NAMES
    assert [name for name in NAMES if name not in ORDERED] == ["orientation"]
    assert DESCRIPTOR_UNITS["wavelength"][0] == "px"
    assert all(unit and sentence.endswith(".") for unit, sentence in DESCRIPTOR_UNITS.values())


# The vector

MIDDLE = Texture(
    wavelength=32,
    orientation=30,
    orientation_strength=0.5,
    orientation_entropy=0.75,
    colourfulness=54.5,
    contrast=0.25,
    slope=2,
    regularity=0.4,
    complexity=0.6,
)


def test_the_vector_holds_like_sizes() -> None:
    assert texture_vector(MIDDLE).tolist() == pytest.approx(
        [0.5, 0.25, 0.25 * sqrt(3), 0.75, 0.5, 0.5, 0.5, 0.4, 0.6]
    )
    assert texture_vector(replace(MIDDLE, wavelength=4, slope=-9))[[0, 6]].tolist() == [-0.25, -1]


def test_in_the_vector_179_degrees_lie_beside_1() -> None:
    near = texture_vector(replace(MIDDLE, orientation=179)) - texture_vector(replace(MIDDLE, orientation=1))
    far = texture_vector(replace(MIDDLE, orientation=91)) - texture_vector(replace(MIDDLE, orientation=1))
    assert np.linalg.norm(near) == pytest.approx(2 * 0.5 * sin(np.radians(2)), abs=1e-6)
    assert np.linalg.norm(far) == pytest.approx(1)  # twice the strength


def test_what_cannot_be_said_is_nought_in_the_vector() -> None:
    image = coloured(0, 0, 1)
    assert texture_vector(measure_texture(image)).tolist() == pytest.approx(
        [0, 0, 0, 0, 76.5 / 109, 0, 0, 0, 0], abs=1e-6
    )


def test_turned_stripes_are_further_apart_than_shifted_ones() -> None:
    upright, lying, shifted = (
        texture_vector(measure_texture(each)) for each in (wave(4, 0), wave(0, 4), wave(4, 0, phase=1))
    )
    assert np.linalg.norm(upright - shifted) == pytest.approx(0, abs=1e-3)
    assert np.linalg.norm(upright - lying) == pytest.approx(2 * 0.958, abs=0.01)


# Hierarchy


def row(name: str, values: dict[str, list[float]], order: list[str]) -> DepthTrend:
    """The row of one descriptor, of textures that have these values of it and are alike otherwise."""
    textures = {
        layer: [replace(MIDDLE, **{name: value}) for value in given] for layer, given in values.items()
    }
    found = next(trend for trend in hierarchy(textures, order) if trend.descriptor == name)
    assert found.layers == tuple(order)
    return found


def slow_spearman(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """Pearson's correlation of the ranks, ties sharing the mean rank; p from Student's t."""
    ranks = []
    for column in zip(*pairs, strict=True):
        ranks.append(
            [
                sum(other < own for other in column) + (sum(other == own for other in column) + 1) / 2
                for own in column
            ]
        )
    rho = float(np.corrcoef(ranks)[0, 1])
    t = rho * sqrt((len(pairs) - 2) / (1 - rho**2))
    return rho, 2 * float(stats.t.sf(abs(t), len(pairs) - 2))


def test_a_layer_is_told_by_its_median_and_quartiles() -> None:
    found = row("colourfulness", {"conv1": [1, 2, 3, 4, 100], "conv2": [10, 20]}, ["conv1", "conv2"])
    assert found.lower_quartile == (2, 12.5)
    assert found.median == (3, 15)
    assert found.upper_quartile == (4, 17.5)
    assert found.spread == (2, 5)
    assert found.counted == (5, 2)
    assert found.left_out == (0, 0)


@pytest.mark.parametrize("name", ORDERED)
def test_the_correlation_is_spearmans_over_all_primitives(name: str) -> None:
    values: dict[str, list[float]] = {"c": [9, 4, 7, 8], "a": [3, 1, 4, 1, 5], "b": [9, 2, 6, 5]}
    order = ["a", "b", "c"]
    pairs = [(depth, value) for depth, layer in enumerate(order) for value in values[layer]]
    rho, p = slow_spearman([(float(depth), value) for depth, value in pairs])
    assert 0.5 < rho < 0.9
    found = row(name, values, order)
    assert found.correlation == pytest.approx(rho)
    assert found.p_value == pytest.approx(p)
    assert row(name, values, order[::-1]).correlation == pytest.approx(-rho)


def test_values_that_cannot_be_said_are_left_out_and_counted() -> None:
    nan = float("nan")
    values = {"a": [8, nan, 4], "b": [nan, nan], "c": [16, 32, nan, 64]}
    found = row("wavelength", values, ["a", "b", "c"])
    assert found.counted == (2, 0, 3)
    assert found.left_out == (1, 2, 1)
    assert (found.median[0], found.median[2]) == (6, 32)
    of_b = (found.lower_quartile[1], found.median[1], found.upper_quartile[1], found.spread[1])
    assert np.isnan(of_b).all()
    rho, _ = slow_spearman([(0, 8), (0, 4), (2, 16), (2, 32), (2, 64)])
    assert found.correlation == pytest.approx(rho)


@pytest.mark.parametrize(
    "values",
    [
        {"a": [1, 2, 3]},  # one depth
        {"a": [5, 5], "b": [5, 5]},  # one value
        {"a": [1], "b": [2]},  # two primitives always correlate
        {"a": [], "b": []},
    ],
)
def test_where_nothing_varies_there_is_no_correlation(values: dict[str, list[float]]) -> None:
    found = row("slope", values, sorted(values))
    assert isnan(found.correlation)
    assert isnan(found.p_value)


def test_the_papers_claim_shows_in_pictures_made_to_bear_it_out() -> None:
    """Grey waves, then coloured plaids, then coloured grain: more colours, more intricate."""
    tint = np.array([1, 0.5, 0.2], np.float32)[:, None, None]
    pictures: dict[str, list[NDArray[np.floating]]] = {
        "deep": [0.5 + tint * (grain(3, seed=seed) - 0.5) for seed in range(4)],
        "shallow": [np.repeat(wave(4 + 2 * k, 0), 3, 0) for k in range(4)],
        "middle": [0.5 + 0.4 * tint * (wave(4 + 2 * k, 3) + wave(-3, 6 + k) - 1) for k in range(4)],
    }
    textures = {
        layer: [measure_texture(each.astype(np.float32)) for each in given]
        for layer, given in pictures.items()
    }
    trends = {trend.descriptor: trend for trend in hierarchy(textures, ["shallow", "middle", "deep"])}
    assert list(trends) == list(ORDERED)
    for name in ("colourfulness", "complexity"):
        medians = trends[name].median
        assert medians[0] < medians[1] < medians[2]
        # Twelve values in three groups of four that do not overlap have at least this.
        assert trends[name].correlation >= sqrt(1 - 3 * (4**3 - 4) / (12**3 - 12)) - 1e-9
        assert trends[name].p_value < 1e-5
    assert trends["regularity"].correlation < -0.9


@pytest.mark.parametrize("order", [["a"], ["a", "b", "c"], ["a", "a"], []])
def test_an_order_of_other_layers_is_refused(order: list[str]) -> None:
    with pytest.raises(UnknownLayerError) as refusal:
        hierarchy({"a": [MIDDLE], "b": [MIDDLE]}, order)
    assert "expected each of these once: a, b" in str(refusal.value)


def test_descriptors_load_without_torch() -> None:
    script = "import sys, fmi_engine.descriptors; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
