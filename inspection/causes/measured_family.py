"""In which family of operations a measured change falls, by its own shape."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from fmi_engine.types import FloatArray
from inspection import tuning
from inspection.causes.measured_change import MeasuredChange
from inspection.recipes.overlays import FIXED_PATTERN, LEVELS, TEXTURE_PRIMITIVE, TONE_CURVE

SECTORS = 36  # of 5 degrees each
LEAST_PERIODS = 1.5  # across the image: what is coarser has no direction
RINGS = 8  # of equal width, from the middle of an image to its corners
OF_TONES = ("darker", "brighter", "contrast", "colour")  # the families of operations that are a tone curve
OF_LIGHT = (*OF_TONES, "side light", "hot spot", "shadow", "vignette")
MIDDLE_TONES = slice(32, 224)  # grey levels that most parts have


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of fields (n, height, width, channel), all shares of their energy but the wave number."""

    coarse: float  # in waves coarser than texture
    dense: float  # on the densest tenth of the area
    straight: float  # in waves along one axis of the image, of those that are not coarse
    one_way: float  # in waves of the strongest direction, image by image
    one_wave: float  # around the strongest wave, image by image
    wave_number: float  # mean, in sides of the image: 0 is flat, white noise has 0.77


def family_of(change: MeasuredChange, name: str, nearest: str) -> str:
    """The family of the part `name` (of PARTS) of a measured change.

    Lines hold their energy in waves of one direction, either along an axis or of one length; noise in waves
    of all directions and lengths alike; specks and drops on a tenth of the area, where a bright and soft one
    is a reflection and a dark and long one a shadow. What is coarser than texture is light: of the family
    `nearest`, that of the operation that explains most, where that is one of light, and else of the one that
    its own shape tells; the rest is texture. A pattern that brightens as well as darkens, and to which an
    operation of geometry is nearest, is what parts hold that lie elsewhere. A tone curve is of the family
    `nearest` where that is darker, brighter, contrast or colour, and else of the one that its own differences
    tell.
    """
    if name == TONE_CURVE:
        return nearest if nearest in OF_TONES else _tones(change.tones)
    shape = describe(_fields(change, name))
    if shape.coarse < tuning.NEARLY_ALL <= shape.straight:
        return "line pattern"
    if shape.coarse >= tuning.MOSTLY:
        return nearest if name != FIXED_PATTERN or nearest in OF_LIGHT else _light(change.pattern.sum(2))
    if shape.one_way >= tuning.NEARLY_ALL and shape.one_wave >= tuning.MOSTLY:
        return "line pattern"
    if name == FIXED_PATTERN and nearest == "geometry" and _has_both_signs(change.pattern):
        return "geometry"
    if shape.wave_number >= tuning.WHITE and shape.one_way < 1 - tuning.NEARLY_ALL:
        return "noise"
    if shape.dense >= tuning.MOSTLY:
        return _specks(shape, change.pattern)
    return "texture"


def _fields(change: MeasuredChange, name: str) -> FloatArray:
    if name == TEXTURE_PRIMITIVE and change.primitives is not None:
        return change.primitives
    return change.pattern[None] if name == FIXED_PATTERN else change.residuals


def _tones(tones: FloatArray) -> str:
    """Brighter or darker, or, where the levels do not go one way, contrast.

    One way go nearly all squares of curve(v) - v over the grey levels v from 32 to 223, the mean of the
    channels.
    """
    moved = (tones - LEVELS).mean(1)[MIDDLE_TONES]
    if not moved.any() or _has_both_signs(moved):
        return "contrast"
    return "brighter" if _brighter(moved) >= tuning.NEARLY_ALL else "darker"


def _light(field: FloatArray) -> str:
    """A vignette where a field (height, width) falls from its middle to its corners and depends on how far.

    Side light where it is a ramp; else a hot spot or a shadow, by which of the two is further from 0.
    """
    away = field - field.mean()
    total = max(float((away**2).sum()), 1e-12)
    rows, columns = (np.linspace(-1, 1, side) for side in field.shape)
    rings = np.minimum(np.hypot(rows[:, None], columns) / np.sqrt(2) * RINGS, RINGS - 1).astype(int)
    counts = np.bincount(rings.ravel(), minlength=RINGS)
    profile = np.bincount(rings.ravel(), away.ravel(), RINGS) / np.maximum(counts, 1)
    if float((counts * profile**2).sum()) >= tuning.MOSTLY * total and profile[-1] < profile[0]:
        return "vignette"
    ramps = (np.broadcast_to(rows[:, None], field.shape), np.broadcast_to(columns, field.shape))
    if (
        sum(float((away * ramp).sum()) ** 2 / float((ramp**2).sum()) for ramp in ramps)
        >= tuning.MOSTLY * total
    ):
        return "side light"
    return "hot spot" if field.max() > -field.min() else "shadow"


def _specks(shape: Shape, pattern: FloatArray) -> str:
    if shape.wave_number < tuning.SMOOTH:
        brighter = _brighter(pattern)
        if brighter >= tuning.NEARLY_ALL:
            return "hot spot"
        if brighter <= 1 - tuning.NEARLY_ALL and shape.one_way >= tuning.MOSTLY:
            return "shadow"
    return "dust"


def _has_both_signs(pattern: FloatArray) -> bool:
    return 1 - tuning.NEARLY_ALL < _brighter(pattern) < tuning.NEARLY_ALL


def _brighter(pattern: FloatArray) -> float:
    """The share of a pattern's energy where it brightens."""
    energy = pattern**2
    return float(energy[pattern > 0].sum()) / max(float(energy.sum()), 1e-12)


def describe(fields: FloatArray) -> Shape:
    """Measure the shape of fields (n, height, width, channel); fields without any energy are all zero."""
    waves = (fft.dctn(fields, axes=(1, 2), norm="ortho") ** 2).sum((0, 3))
    total = float(waves.sum())
    if total <= 0:
        return Shape(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    down, across = (np.arange(side) for side in waves.shape)
    radius = np.hypot(down[:, None], across)
    fine = np.where(radius < tuning.COARSEST, 0, waves)
    relative = np.hypot(down[:, None] / len(down), across / len(across))
    ways = [_ways(field.sum(2)) for field in fields if field.any()]
    return Shape(
        coarse=float(waves[radius < tuning.COARSEST].sum()) / total,
        dense=_dense(fields),
        straight=max(float(fine[0].sum()), float(fine[:, 0].sum())) / max(float(fine.sum()), 1e-12 * total),
        one_way=float(np.mean([one_way for one_way, _ in ways])),
        one_wave=float(np.mean([one_wave for _, one_wave in ways])),
        wave_number=float((waves * relative).sum()) / total,
    )


def _dense(fields: FloatArray) -> float:
    energy = np.stack([cv2.blur((field**2).sum(2), (3, 3)) for field in fields]).reshape(len(fields), -1)
    densest = np.sort(energy, axis=1)[:, ::-1][:, : max(1, energy.shape[1] // 10)]
    return float(densest.sum()) / float(energy.sum())


def _ways(field: FloatArray) -> tuple[float, float]:
    """The shares of one field's energy (height, width) in its strongest direction and wave."""
    window = np.outer(np.hanning(field.shape[0] + 2)[1:-1], np.hanning(field.shape[1] + 2)[1:-1])
    power = np.abs(np.fft.fft2(field * window)) ** 2
    down, across = (np.fft.fftfreq(side) * side for side in field.shape)
    power[np.hypot(down[:, None], across) < LEAST_PERIODS] = 0.0
    total = max(float(power.sum()), 1e-12)
    sector = np.rint(np.arctan2(down[:, None], across) / np.pi * SECTORS).astype(int) % SECTORS
    sums = np.bincount(sector.ravel(), power.ravel(), SECTORS)
    around = sums + np.roll(sums, 1) + np.roll(sums, -1)
    return float(around.max()) / total, float(power[_near(power)].sum()) / total


def _near(power: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which waves lie within two periods of the strongest, or of the same wave counted the other way."""
    found = np.zeros(power.shape, bool)
    row, column = np.unravel_index(int(power.argmax()), power.shape)
    for sign in (1, -1):
        rows = np.arange(sign * row - 2, sign * row + 3) % power.shape[0]
        columns = np.arange(sign * column - 2, sign * column + 3) % power.shape[1]
        found[np.ix_(rows, columns)] = True
    return found
