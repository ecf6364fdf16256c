"""Lines, stripes and textures, by hand or written again slowly."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.operations.operation import Image
from inspection.operations.surface import Along, BrushedGrain, Lines, Mottle, ObliqueStripes, Stripes
from tests.inspection.operations.trial_images import applied, close, constant, middles, stark


@pytest.mark.parametrize("along", ["horizontal", "vertical"])
def test_lines_are_even_along_and_random_across(along: Along) -> None:
    changed, _ = applied(Lines((0.1, 0.1), along, p=1.0), constant(128, 200, 300, 3))
    lines = changed if along == "horizontal" else changed.transpose(1, 0, 2)
    assert all(np.ptp(line) == 0 for line in lines)
    amounts = lines[:, 0, 0].astype(float) - 128
    assert amounts.std() == pytest.approx(25.5, rel=0.01)
    assert abs(amounts.mean()) < 0.1
    assert abs(np.corrcoef(amounts[1:], amounts[:-1])[0, 1]) < 0.25


@pytest.mark.parametrize("along", ["horizontal", "vertical"])
def test_stripes_written_again_slowly(along: Along) -> None:
    image = stark(14, 11)
    changed, drawn = applied(Stripes((0.1, 0.2), along, p=1.0), image)
    assert 4 <= drawn["period"] <= 16
    wanted = image.astype(float)
    for y, x, _, _ in middles(14, 11):
        step = y if along == "horizontal" else x
        wave = math.sin(2 * math.pi * step / drawn["period"] + drawn["phase"])
        wanted[y, x] += 255 * drawn["amplitude"] * wave
    assert close(changed, wanted)


def test_oblique_stripes_written_again_slowly() -> None:
    image = stark(14, 11)
    for seed in range(4):
        changed, drawn = applied(ObliqueStripes((0.1, 0.2), p=1.0), image, seed)
        assert 4 <= drawn["period"] <= 16
        turn = math.radians(drawn["angle"])
        wanted = image.astype(float)
        for y, x, down, across in middles(14, 11):
            beside = down * math.cos(turn) - across * math.sin(turn)
            wave = math.sin(2 * math.pi * beside / drawn["period"] + drawn["phase"])
            wanted[y, x] += 255 * drawn["amplitude"] * wave
        assert close(changed, wanted)


def test_oblique_stripes_by_hand() -> None:
    stripes = ObliqueStripes(p=1.0)
    changed = stripes.apply(constant(100, 41, 41), 0.2, 135.0, 4 * math.sqrt(2), 0.0)[:, :, 0]
    # Along the rising diagonal; 8 rows, or columns, from one stripe to the next.
    assert all(np.ptp(np.diag(changed[:, ::-1], offset)) <= 1 for offset in range(-40, 41))
    wave = np.array([0, 36, 51, 36, 0, -36, -51, -36, 0])  # 51 sin(45 degrees) = 36
    assert np.array_equal(changed[20, 16:25], 100 + wave)


def power(image: Image) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The power of a square image's frequencies, and these along the columns and the rows (per pixel)."""
    spectrum = np.abs(np.fft.fft2(image[:, :, 0] - image.mean())) ** 2
    down, across = np.meshgrid(*[np.fft.fftfreq(len(image))] * 2, indexing="ij")
    return spectrum, down, across


@pytest.mark.parametrize(
    ("wavelengths", "relative", "pixels"), [((3.0, 3.0), False, 3.0), ((0.0625, 0.0625), True, 16.0)]
)
def test_mottle_has_its_deviation_and_its_wavelength(
    wavelengths: tuple[float, float], relative: bool, pixels: float
) -> None:
    changed, _ = applied(Mottle((0.08, 0.08), wavelengths, relative, p=1.0), constant(128, 256, 256))
    assert changed.std() == pytest.approx(255 * 0.08, rel=0.01)
    assert changed.mean() == pytest.approx(128, abs=0.1)
    spectrum, down, across = power(changed)
    octaves = np.log2(np.maximum(np.hypot(down, across), 1e-9) * pixels)
    rings = np.array([spectrum[np.abs(octaves - o) < 0.1].mean() for o in (-1.0, -0.5, 0.0, 0.5)])
    low, *half = (rings / rings[2]).tolist()
    # A gain of exp(-2 octaves^2), squared: 1 in the middle, e^-1 half an octave, e^-4 an octave away.
    assert half == pytest.approx([math.exp(-1), 1, math.exp(-1)], rel=0.3)
    assert low < 0.06
    assert 0.8 < (spectrum * down**2).sum() / (spectrum * across**2).sum() < 1.25  # no direction


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0])
def test_brushed_grain_runs_along_its_angle(angle: float) -> None:
    changed, _ = applied(BrushedGrain((0.08, 0.08), (angle, angle), p=1.0), constant(128, 128, 128))
    assert changed.std() == pytest.approx(255 * 0.08, rel=0.01)
    assert changed.mean() == pytest.approx(128, abs=0.1)
    spectrum, down, across = power(changed)
    turn = math.radians(angle)
    along = (spectrum * (across * math.cos(turn) + down * math.sin(turn)) ** 2).sum() / spectrum.sum()
    beside = (spectrum * (down * math.cos(turn) - across * math.sin(turn)) ** 2).sum() / spectrum.sum()
    assert beside > 4 * along  # it changes quickly beside the streaks and slowly along them
    low = np.hypot(down, across) < 0.02
    assert spectrum[low].sum() / spectrum.sum() < 0.3 * low.mean()  # no clouds
