"""The family of a measured change, from fields whose family a person can tell."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from fmi_engine.types import FloatArray
from inspection.causes.measured_change import MeasuredChange
from inspection.causes.measured_family import describe, family_of
from inspection.recipes.overlays import FIXED_PATTERN, LEVELS, RESIDUAL_TEXTURE, TONE_CURVE

SIDE = 64
DOWN, ACROSS = np.mgrid[:SIDE, :SIDE]
Draw = Callable[[np.random.Generator], FloatArray]


def field(values: object) -> FloatArray:
    return np.asarray(values, np.float32)


def specks(rng: np.random.Generator) -> FloatArray:
    found = np.zeros((SIDE, SIDE), np.float32)
    for row, column in rng.integers(2, SIDE - 5, (12, 2)):
        found[row : row + 4, column : column + 4] = -60
    return found


def hair(rng: np.random.Generator) -> FloatArray:
    found = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(3):
        points = rng.integers(0, SIDE, (3, 2)).astype(np.int32)
        cv2.polylines(found, [points], False, -60.0, 1)
    return found


def wave(rng: np.random.Generator, degrees: float, length: float = 6) -> FloatArray:
    turn = np.deg2rad(degrees)
    way = np.cos(turn) * ACROSS + np.sin(turn) * DOWN
    return field(15 * np.sin(2 * np.pi * way / length + rng.uniform(0, 6.3)))


def upright(rng: np.random.Generator) -> FloatArray:
    return wave(rng, 0)


def oblique(rng: np.random.Generator) -> FloatArray:
    return wave(rng, 33)


def crossing(rng: np.random.Generator) -> FloatArray:
    return wave(rng, 33) + wave(rng, 123)


def rows(rng: np.random.Generator) -> FloatArray:
    return np.repeat(rng.normal(0, 15, (SIDE, 1)), SIDE, 1).astype(np.float32)


def white(rng: np.random.Generator) -> FloatArray:
    return field(rng.normal(0, 15, (SIDE, SIDE)))


def grain(rng: np.random.Generator) -> FloatArray:
    return field(cv2.GaussianBlur(white(rng), (0, 0), 1.0))


def brushed(rng: np.random.Generator) -> FloatArray:
    turned = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), 30, 1)
    streaks = cv2.blur(field(rng.normal(0, 40, (2 * SIDE, 2 * SIDE))), (11, 1))[:SIDE, :SIDE]
    return field(cv2.warpAffine(streaks, turned, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT_101))


def spot(rng: np.random.Generator, sign: int = 1) -> FloatArray:
    row, column = rng.integers(16, 48, 2)
    away = np.hypot(DOWN - row, ACROSS - column)
    soft = 80 * np.exp(-((away / 5) ** 2) / 2)
    return field(sign * (soft - cv2.GaussianBlur(soft, (0, 0), 9)))  # as much as is finer than lighting


def drop(rng: np.random.Generator) -> FloatArray:
    return spot(rng, -1)


def band(rng: np.random.Generator) -> FloatArray:
    turn, middle = np.deg2rad(rng.uniform(0, 180)), rng.uniform(-10, 10)
    away = np.cos(turn) * (ACROSS - 32) + np.sin(turn) * (DOWN - 32) - middle
    soft = -80 * np.exp(-((away / 3) ** 2) / 2)
    return field(soft - cv2.GaussianBlur(soft, (0, 0), 8))


def smooth(rng: np.random.Generator) -> FloatArray:
    return field(20 * np.cos(np.pi * (ACROSS + 0.5) / SIDE) + rng.normal())


BRIGHTER, DARKER = np.full((SIDE, SIDE, 1), 0.1, np.float32), np.full((SIDE, SIDE, 1), -0.1, np.float32)


@pytest.mark.parametrize(
    ("texture", "pattern", "family"),
    [
        (specks, DARKER, "dust"),
        (hair, DARKER, "dust"),
        (drop, DARKER, "dust"),
        (spot, BRIGHTER, "hot spot"),
        (band, DARKER, "shadow"),
        (upright, 0 * DARKER, "line pattern"),
        (oblique, 0 * DARKER, "line pattern"),
        (rows, 0 * DARKER, "line pattern"),
        (white, 0 * DARKER, "noise"),
        (crossing, 0 * DARKER, "texture"),
        (grain, 0 * DARKER, "texture"),
        (brushed, 0 * DARKER, "texture"),
        (smooth, DARKER, "vignette"),  # of the nearest operation
    ],
)
def test_the_family_is_told_by_the_shape(texture: Draw, pattern: FloatArray, family: str) -> None:
    rng = np.random.default_rng(0)
    fields = np.stack([texture(rng) for _ in range(6)])[..., None]
    change = MeasuredChange(LEVELS, pattern, fields)
    assert family_of(change, RESIDUAL_TEXTURE, nearest="vignette") == family


@pytest.mark.parametrize(
    ("texture", "family"),
    [(specks, "dust"), (oblique, "line pattern"), (rows, "line pattern"), (smooth, "vignette")],
)
def test_a_fixed_pattern_is_told_by_its_own_shape(texture: Draw, family: str) -> None:
    rng = np.random.default_rng(0)
    fields = np.stack([white(rng) for _ in range(6)])[..., None]
    change = MeasuredChange(LEVELS, field(texture(rng)[..., None] / 100), fields)
    assert family_of(change, FIXED_PATTERN, nearest="vignette") == family


def ring(sign: float) -> FloatArray:
    return field(sign * (np.hypot(DOWN - 31.5, ACROSS - 31.5) > 26))


def ramp(degrees: float) -> FloatArray:
    turn = np.deg2rad(degrees)
    return field((np.cos(turn) * ACROSS + np.sin(turn) * DOWN) / SIDE)


def blob(sign: float) -> FloatArray:
    return field(sign * np.exp(-(np.hypot(DOWN - 16, ACROSS - 20) ** 2) / 200))


def test_lines_are_told_beside_as_much_light() -> None:
    """The columns of a camera that lost its flat field: some of their gains change slowly."""
    rng = np.random.default_rng(0)
    columns = 0.1 * rng.normal(size=(1, SIDE))
    slow = np.cos(2 * np.pi * (np.arange(SIDE) + 0.5) / SIDE)[None]
    gains = columns + slow * (1.2 * columns.std() / slow.std())
    pattern = field(np.repeat(gains, SIDE, 0))[..., None]
    assert describe(pattern[None]).coarse > 0.5
    change = MeasuredChange(LEVELS, pattern, np.zeros((2, SIDE, SIDE, 1), np.float32))
    assert family_of(change, FIXED_PATTERN, "texture") == "line pattern"


@pytest.mark.parametrize("nearest", ["geometry", "dust", "texture"])
@pytest.mark.parametrize(
    ("light", "family"),
    [
        (ring(-3), "vignette"),
        (ring(0.3), "hot spot"),
        (ramp(0), "side light"),
        (ramp(215), "side light"),
        (blob(1), "hot spot"),
        (blob(-1), "shadow"),
    ],
)
def test_light_is_told_by_its_shape_where_the_nearest_operation_is_none_of_light(
    light: FloatArray, family: str, nearest: str
) -> None:
    change = MeasuredChange(LEVELS, light[..., None], np.zeros((2, SIDE, SIDE, 1), np.float32))
    assert family_of(change, FIXED_PATTERN, nearest) == family
    assert family_of(change, FIXED_PATTERN, "contrast") == "contrast"
    assert family_of(change, FIXED_PATTERN, "colour") == "colour"


def test_a_pattern_that_brightens_and_darkens_is_of_parts_that_lie_elsewhere() -> None:
    """Where the nearest operation is of geometry; specks, which only darken, are dust all the same."""
    rng = np.random.default_rng(0)
    dark = field(specks(rng)[..., None] / 100)
    moved = MeasuredChange(
        LEVELS, field(dark - np.roll(dark, 3, 1)), np.zeros((2, SIDE, SIDE, 1), np.float32)
    )
    assert family_of(moved, FIXED_PATTERN, "geometry") == "geometry"
    assert family_of(moved, FIXED_PATTERN, "texture") == "dust"
    assert family_of(MeasuredChange(LEVELS, dark, moved.residuals), FIXED_PATTERN, "geometry") == "dust"


def gamma(exponent: float) -> FloatArray:
    return field(255 * (LEVELS / 255) ** exponent)


def steeper(middle: float) -> FloatArray:
    """Twice the contrast about a grey level."""
    return field(np.clip(2 * (LEVELS - middle) + middle, 0, 255))


OUTSIDE = LEVELS + 60 * ((LEVELS < 32) | (LEVELS > 223))


@pytest.mark.parametrize(
    ("tones", "nearest", "family"),
    [
        pytest.param(gamma(2), "contrast", "contrast", id="the nearest is of tones: contrast"),
        pytest.param(gamma(2), "brighter", "brighter", id="the nearest is of tones: brighter"),
        pytest.param(gamma(0.5), "darker", "darker", id="the nearest is of tones: darker"),
        pytest.param(
            field(LEVELS + np.array([-8, 2, 12])), "colour", "colour", id="the nearest is of tones: colour"
        ),
        pytest.param(gamma(2), "vignette", "darker", id="gamma down"),
        pytest.param(gamma(0.5), "vignette", "brighter", id="gamma up"),
        pytest.param(LEVELS + 7, "noise", "brighter", id="a veil"),
        pytest.param(LEVELS - 7, "noise", "darker", id="a black level"),
        pytest.param(steeper(127.5), "noise", "contrast", id="steeper about the middle"),
        pytest.param(LEVELS, "noise", "contrast", id="no change at all"),
        pytest.param(field(OUTSIDE), "noise", "contrast", id="a change of levels that few parts have"),
        pytest.param(
            field(LEVELS + np.array([-8, 2, 12])), "noise", "brighter", id="the mean of the channels"
        ),
    ],
)
def test_a_curve_is_told_by_the_nearest_operation_or_its_own_differences(
    tones: FloatArray, nearest: str, family: str
) -> None:
    """Specks in the residuals and the pattern say nothing of it."""
    dots = specks(np.random.default_rng(0))[None, ..., None]
    assert family_of(MeasuredChange(tones, dots[0], dots), TONE_CURVE, nearest) == family


@pytest.mark.parametrize(("mean", "family"), [(0.32, "contrast"), (0.34, "brighter"), (-0.34, "darker")])
def test_a_curve_moves_one_way_where_four_fifths_of_its_squares_do(mean: float, family: str) -> None:
    """Every second level is 10 higher, the others 10 lower; a third of that more: (4/3)^2 beside (2/3)^2."""
    tones = field(LEVELS + 10 * (-1) ** np.arange(256)[:, None] + 10 * mean)
    nothing = np.zeros((1, SIDE, SIDE, 1), np.float32)
    assert family_of(MeasuredChange(tones, nothing[0], nothing), TONE_CURVE, nearest="dust") == family


def test_a_wave_has_one_direction_and_one_length() -> None:
    shape = describe(upright(np.random.default_rng(0))[None, ..., None])
    # Ten and two thirds waves across are 21.3 half periods of a side of 64: a third of white noise's band.
    assert shape.wave_number == pytest.approx(21.3 / 64, abs=0.02)
    assert (shape.straight, shape.one_way, shape.one_wave) == pytest.approx((1, 1, 1), abs=0.02)
    assert shape.coarse < 0.01


def test_white_noise_has_no_direction() -> None:
    shape = describe(white(np.random.default_rng(0))[None, ..., None])
    assert shape.wave_number == pytest.approx(0.765, abs=0.02)  # the mean distance of a unit square's corner
    assert shape.one_way == pytest.approx(3 / 36, abs=0.05)
    assert shape.dense == pytest.approx(0.2, abs=0.05)


def test_nothing_has_no_shape() -> None:
    shape = describe(np.zeros((2, 8, 8, 1), np.float32))
    assert (shape.coarse, shape.dense, shape.straight, shape.one_way, shape.wave_number) == (0, 0, 0, 0, 0)
