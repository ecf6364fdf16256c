"""Texture in numbers a person can read: the size, direction, colour and order of a picture's pattern.

What `texture.describe` is for machines (a code for distances), these are for tables and plots: each number
has a unit and a meaning of its own. They serve the paper's claim that higher layers have "more colours and
more intricate structures" (Xia et al., arXiv 1608.04170), which `hierarchy` puts to the test.

Wavelength, direction, slope and complexity are read from one power spectrum: of the picture under a Hann
window (a primitive does not repeat cyclically, and its border would draw a cross into the spectrum), each
channel less its windowed mean, averaged over the channels, so that a pattern of colour alone counts too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from fmi_engine.errors import TextureError, UnknownLayerError
from fmi_engine.types import FloatArray

Real = NDArray[np.float64]

SMALLEST: Final = 8  # pixels a side: below, the window leaves no frequency to tell from the next
FLAT: Final = 0.01 / 255  # RMS in 0 to 1; a hundredth of an 8-bit level is no pattern
LEAST_STRENGTH: Final = 0.01  # below, no direction is stronger than the others
LUMA: Final = np.array([0.299, 0.587, 0.114])  # red, green, blue; ITU-R BT.601
DIRECTIONS: Final = 12  # bins of 15 degrees, the first centred on 0
OCTAVE_STEPS: Final = 8  # where the power per octave is read
OCTAVE_BLUR: Final = 0.25  # octaves, standard deviation of its Gaussian
RINGS_PER_OCTAVE: Final = 4  # of the slope
ROUNDING_POWER: Final = 1 / 255**2 / 12  # variance of 8-bit rounding, white over all frequencies
HANN_LOBE: Final = np.array([1, 4, 1]) / 6  # share of a wave's power in the bin before, its own, the next
LEVELS: Final = np.arange(0, 1, 0.05)  # floods of the autocorrelation
EXTREMELY_COLOURFUL: Final = 109.0  # Hasler and Suesstrunk's highest category
MIDDLE_WAVELENGTH: Final = 8.0  # pixels; the zero of the vector


@dataclass(frozen=True, slots=True)
class Texture:
    """The pattern of one picture; `DESCRIPTOR_UNITS` has a sentence on each number.

    NaN is "cannot be said": wavelength, orientation, its entropy and the slope of a flat picture, and the
    orientation of one without a direction.
    """

    wavelength: float  # pixels, sqrt(2) to the longer side, see `_wavelength`
    orientation: float  # degrees, 0 to below 180, see `_orientation`
    orientation_strength: float  # 0 no direction to 1 one direction, see `_orientation`
    orientation_entropy: float  # 0 one direction to 1 all alike, see `_orientation_entropy`
    colourfulness: float  # M3 in 8-bit units, 0 grey, 109 extremely colourful, see `_colourfulness`
    contrast: float  # RMS of luminance, 0 to 0.5, see `_contrast`
    slope: float  # beta of power ~ 1 / frequency^beta, see `_slope`
    regularity: float  # 0 nothing repeats to 1 periodic, see `_regularity`
    complexity: float  # 0 one wave to 1 all frequencies alike, see `_complexity`


DESCRIPTOR_UNITS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "wavelength": ("px", "Distance at which the strongest part of the pattern comes again."),
        "orientation": (
            "degrees",
            "Direction in which the pattern varies: 0 from left to right, 90 from top to bottom, "
            "45 towards the lower right.",
        ),
        "orientation_strength": ("0-1", "How far the pattern keeps to one direction: stripes 1, grain 0."),
        "orientation_entropy": ("0-1", "How evenly the pattern spreads over all directions."),
        "colourfulness": ("8-bit levels", "How many and how strong colours: 0 is grey, 109 extreme."),
        "contrast": ("0-0.5", "Standard deviation of the luminance."),
        "slope": ("exponent", "How fast fine detail fades: noise 0, natural images about 2."),
        "regularity": ("0-1", "Share of the pattern that repeats at a fixed distance."),
        "complexity": ("0-1", "How many waves it takes to draw the pattern: one 0, noise nearly 1."),
    }
)

ORDERED: Final = tuple(field.name for field in fields(Texture) if field.name != "orientation")


@dataclass(frozen=True, slots=True)
class _Spectrum:
    """The windowed power spectrum of a picture, averaged over its channels; each (height, width)."""

    power: Real  # squared intensity in 0 to 1; sums to the windowed variance, none at frequency 0
    frequency: Real  # cycles per pixel
    angle: Real  # radians, x to the right, y down

    @property
    def bin_width(self) -> tuple[float, float]:
        """The distance of two frequencies down and across, cycles per pixel."""
        height, width = self.power.shape
        return 1 / height, 1 / width


def measure_texture(image: FloatArray) -> Texture:
    """The texture of a picture (channel, height, width) in 0 to 1, of one channel or red, green, blue.

    Raises TextureError for another shape, a side below 8 pixels, or values that are no such intensities.
    """
    _check(image)
    pixels = image.astype(np.float64)
    colourfulness, contrast = _colourfulness(pixels), _contrast(pixels)
    spectrum = _power_spectrum(pixels)
    if spectrum.power.sum() < FLAT**2:
        nan = float("nan")
        return Texture(nan, nan, 0.0, nan, colourfulness, contrast, nan, 0.0, 0.0)
    orientation, strength = _orientation(spectrum)
    return Texture(
        _wavelength(spectrum),
        orientation,
        strength,
        _orientation_entropy(spectrum),
        colourfulness,
        contrast,
        _slope(spectrum),
        _regularity(_autocorrelation(pixels)),
        _complexity(spectrum),
    )


def _check(image: FloatArray) -> None:
    if image.ndim != 3 or image.shape[0] not in (1, 3) or min(image.shape[1:]) < SMALLEST:
        raise TextureError(
            f"a picture of shape {image.shape}; expected (channel, height, width) with 1 or 3 channels "
            f"and sides of at least {SMALLEST} pixels"
        )
    if not np.issubdtype(image.dtype, np.floating):
        raise TextureError(f"a picture of {image.dtype}; expected floating-point values from 0 to 1")
    if not np.isfinite(image).all():
        raise TextureError(f"a picture with {int((~np.isfinite(image)).sum())} values that are not finite")
    if image.min() < 0 or image.max() > 1:
        raise TextureError(f"a picture with values from {image.min():g} to {image.max():g}; expected 0 to 1")


# Colour and contrast


def _colourfulness(pixels: Real) -> float:
    """M3 of Hasler and Suesstrunk, Measuring colourfulness in natural images, SPIE 5007, 2003.

    sigma + 0.3 mu on 8-bit units, where sigma and mu are the lengths of the standard deviations and of
    the means of rg = R - G and yb = (R + G) / 2 - B. 0 for one channel.
    """
    if len(pixels) == 1:
        return 0.0
    red, green, blue = 255 * pixels
    opponent = np.stack([red - green, (red + green) / 2 - blue])
    return float(np.hypot(*opponent.std((1, 2))) + 0.3 * np.hypot(*opponent.mean((1, 2))))


def _contrast(pixels: Real) -> float:
    """RMS contrast (Peli, J. Opt. Soc. Am. A 7, 1990): standard deviation of the BT.601 luminance."""
    luminance = pixels[0] if len(pixels) == 1 else np.tensordot(LUMA, pixels, 1)
    return float(luminance.std())


# From the power spectrum


def _power_spectrum(pixels: Real) -> _Spectrum:
    """The spectrum under a Hann window w: mean over channels of |FFT(w (I - mean))|^2 / (N sum w^2).

    The mean is the windowed one, so that nothing leaks from frequency 0; N is the number of pixels.
    """
    height, width = pixels.shape[1:]
    window = np.outer(_hann(height), _hann(width))
    mean = (window * pixels).sum((1, 2), keepdims=True) / window.sum()
    power = (np.abs(np.fft.fft2(window * (pixels - mean))) ** 2).mean(0)
    power[0, 0] = 0
    fy, fx = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    return _Spectrum(power / (window.size * (window**2).sum()), np.hypot(fx, fy), np.arctan2(fy, fx))


def _hann(length: int) -> Real:
    """The window with its zeros half a pixel outside the picture: a wave fills exactly three bins."""
    return np.asarray(np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2)


def _wavelength(spectrum: _Spectrum) -> float:
    """The dominant wavelength in pixels: 1 / frequency, sqrt(2) (the diagonal) to the longer side.

    The peak of the power per octave (all the power of a ring, read through a Gaussian of a quarter
    octave; power per frequency would nearly always be greatest at the lowest one), refined to the root
    of the mean squared frequency of the power near it (half an octave, or the window's lobe of two
    bins), less the spread that the window adds. A single wave of two periods or more is exact to about
    1%; beyond half the side nothing comes again, and the number says only "large".
    """
    frequency, power = spectrum.frequency.ravel()[1:], spectrum.power.ravel()[1:]
    octave = np.log2(frequency)
    steps = np.arange(octave.min(), octave.max(), 1 / OCTAVE_STEPS)
    density = np.exp(-(((steps[:, None] - octave) / OCTAVE_BLUR) ** 2) / 2) @ power
    peak = float(steps[density.argmax()])
    near = np.abs(octave - peak) <= 0.5
    near |= np.abs(frequency - 2**peak) <= 2 * max(spectrum.bin_width)
    squared = float((power * frequency**2)[near].sum() / power[near].sum()) - _window_spread(spectrum)
    longest = max(spectrum.power.shape)
    return float(np.clip(squared, 1 / longest**2, 0.5) ** -0.5)


def _window_spread(spectrum: _Spectrum) -> float:
    """The variance that the window adds to a wave's frequency: a third of a squared bin along each axis."""
    down, across = spectrum.bin_width
    return float(HANN_LOBE[0] + HANN_LOBE[2]) * (down**2 + across**2)


def _orientation(spectrum: _Spectrum) -> tuple[float, float]:
    """The direction in which the pattern varies, in degrees, and how far it keeps to it, 0 to 1.

    Doubled angles, so that a wave and its mirror image in the origin are one: with z = sum P e^(2i angle)
    / sum P, half the argument of z and its length. The length is the coherence (l1 - l2) / (l1 + l2) of
    the structure tensor sum P n n^T over unit frequencies n (Bigun and Granlund, ICCV 1987; unit, as in
    Felsberg and Sommer's Riesz transform, 2001, lest fine noise drown the pattern as it does in
    gradients). x runs to the right, y down: 45 varies towards the lower right. A single wave of k
    periods keeps about 1 - 2 / (3 k^2), because of the window. NaN below a strength of 0.01.
    """
    angle, power = _directed_power(spectrum)
    z = complex((power * np.exp(2j * angle)).sum() / power.sum())
    strength = min(abs(z), 1.0)
    if strength < LEAST_STRENGTH:
        return float("nan"), strength
    # Twice: -1e-17 is 180.0 after the first.
    return float(np.degrees(np.angle(z)) / 2) % 180 % 180, strength


def _orientation_entropy(spectrum: _Spectrum) -> float:
    """Entropy of the shares of power in 12 directions of 15 degrees, over log 12: 0 to 1.

    The first is centred on 0. A wave half-way between two counts for both, log 2 / log 12 = 0.28, and the
    window spreads one of few periods: 0.10 for eight across, 0.35 for four.
    """
    angle, power = _directed_power(spectrum)
    direction = np.round(angle / np.pi * DIRECTIONS).astype(int) % DIRECTIONS
    shares = np.asarray(np.bincount(direction, power, DIRECTIONS), np.float64)
    return _entropy(shares) / float(np.log(DIRECTIONS))


def _directed_power(spectrum: _Spectrum) -> tuple[Real, Real]:
    """The angles of all frequencies and the power in them, (2 n,) each: all twice, with half their power.

    Half a cycle per pixel both down and across, checks of one pixel, varies along both diagonals and is
    found at one frequency only: its second half belongs to the other diagonal.
    """
    height, width = spectrum.power.shape
    mirrored = spectrum.angle.copy()
    if height % 2 == 0 and width % 2 == 0:
        mirrored[height // 2, width // 2] *= -1
    angle = np.concatenate([spectrum.angle.ravel(), mirrored.ravel()])
    return angle, np.tile(spectrum.power.ravel() / 2, 2)


def _entropy(power: Real) -> float:
    """Shannon's entropy of the shares of a total, in nats."""
    return float(stats.entropy(power.ravel()))


def _slope(spectrum: _Spectrum) -> float:
    """The exponent beta of power ~ 1 / frequency^beta (Field, J. Opt. Soc. Am. A 4, 1987).

    Least squares of the log of the mean power per frequency over rings, a quarter octave each, from two
    periods on the shorter side to half a cycle per pixel; every ring counts alike, at the geometric mean
    of its frequencies. A ring weaker than 8-bit rounding counts as that, so that no picture is measured by
    the noise of floating point. It describes a broad spectrum; of a pure wave it says only where it lies.
    """
    lowest = 2 * max(spectrum.bin_width)
    ring = np.floor(RINGS_PER_OCTAVE * np.log2(np.maximum(spectrum.frequency, 1e-9) / lowest) + 1e-9)
    inside = (ring >= 0) & (spectrum.frequency < 0.5)
    found, cell = np.unique(ring[inside], return_inverse=True)
    count = np.bincount(cell, minlength=len(found))
    log_frequency = np.bincount(cell, np.log(spectrum.frequency[inside])) / count
    power = np.bincount(cell, spectrum.power[inside]) / count
    log_power = np.log(np.maximum(power, ROUNDING_POWER / spectrum.power.size))
    return -float(stats.linregress(log_frequency, log_power).slope)


def _complexity(spectrum: _Spectrum) -> float:
    """Spectral entropy (Powell and Percival, J. Phys. A 12, 1979), 0 one wave to 1 all frequencies alike.

    The entropy of the power's shares, whose exponential is the number of waves that the pattern is made
    of, less that of a single wave under the window, over the most it can be, log (N - 1), less the same.
    White noise has about 1 - 0.42 / (log (N - 1) - 2.43). Chosen because it says in one parameter-free
    number how much must be told to draw the pattern; block-averaging complexity (Bagrov et al., PNAS
    2020) telescopes to the contrast on such pictures. It knows no phase, and noise scores highest: read
    it beside slope and regularity.
    """
    one_wave = float(np.log(2)) + 2 * _entropy(HANN_LOBE)
    most = float(np.log(spectrum.power.size - 1))
    return float(np.clip((_entropy(spectrum.power) - one_wave) / (most - one_wave), 0, 1))


# From the autocorrelation


def _autocorrelation(pixels: Real) -> Real:
    """The correlation of a picture with itself, shifted by up to half its height and width and one more.

    Not cyclic, channels summed: sum a(x) a(x + lag) over the overlap, over the greatest of both parts'
    energies and the energy to be expected of so many pixels. So it lies in -1 to 1, a repetition scores
    1, and two overlapping stretches of plain ground do not. Zero lag is in the middle.
    """
    _, height, width = pixels.shape
    padded = (2 * height, 2 * width)
    centred = pixels - pixels.mean((1, 2), keepdims=True)
    squares = (centred**2).sum(0)
    picture, energy, inside = (
        np.fft.rfft2(field, padded) for field in (centred, squares, np.ones((height, width)))
    )
    product, here, there, overlap = (
        np.fft.irfft2(field, padded)
        for field in (
            (np.abs(picture) ** 2).sum(0),
            energy.conj() * inside,
            energy * inside.conj(),
            np.abs(inside) ** 2,
        )
    )
    lags = np.ix_(*(np.arange(-(side // 2) - 1, side // 2 + 2) for side in (height, width)))
    scale = np.maximum(np.maximum(here, there)[lags], overlap[lags] * squares.mean())
    return np.asarray(product[lags] / scale)


def _regularity(correlation: Real) -> float:
    """How high the highest secondary peak of the autocorrelation stands, 0 to 1.

    A peak is a local maximum outside the central lobe, the lags above a level that hang together with
    lag 0; its height is counted from that level, the best of 0, 0.05, ... 0.95, so that a repetition on
    top of a slow change of lighting is found (a peak's topological prominence, but none below 0). The
    ridge of stripes is part of the central lobe: that an edge goes on is no repetition. Periods up to half
    the side can be found. The best of so many lags is not 0 by chance alone: of white noise 0.17 at 24
    pixels a side, 0.06 at 96; of a barcode or a few large blobs sometimes 0.3. After Lin, Wang and Yang,
    Pattern Recognition Letters 18, 1997.
    """
    middle = tuple(side // 2 for side in correlation.shape)
    peaks = correlation >= ndimage.maximum_filter(correlation, 3) - 1e-9
    peaks[[0, -1]] = peaks[:, [0, -1]] = False
    heights = []
    for level in LEVELS:
        lobes, _ = ndimage.label(correlation > level)  # joined by sides: checks touch at their corners
        apart = peaks & (lobes > 0) & (lobes != lobes[middle])
        heights.append(correlation[apart].max(initial=level) - level)
    return float(np.clip(max(heights), 0, 1))


# Comparing textures


def texture_vector(texture: Texture) -> FloatArray:
    """A texture as nine numbers (9,) of like size, for Euclidean distances; finite for any picture.

    Wavelength in octaves from 8 pixels over 4; cosine and sine of the doubled orientation times its
    strength; orientation entropy; colourfulness over 109; contrast over 0.5; slope over 4, cut at
    -1 and 1; regularity; complexity. What cannot be said counts as 0.
    """
    doubled = np.radians(2 * texture.orientation)
    entries = [
        np.log2(texture.wavelength / MIDDLE_WAVELENGTH) / 4,
        texture.orientation_strength * np.cos(doubled),
        texture.orientation_strength * np.sin(doubled),
        texture.orientation_entropy,
        texture.colourfulness / EXTREMELY_COLOURFUL,
        texture.contrast / 0.5,
        np.clip(texture.slope / 4, -1, 1),
        texture.regularity,
        texture.complexity,
    ]
    return np.nan_to_num(np.array(entries, np.float32), nan=0.0)


@dataclass(frozen=True, slots=True)
class DepthTrend:
    """How one descriptor changes with depth; the tuples run over the layers, from first to last."""

    descriptor: str  # a field of Texture; its unit is DESCRIPTOR_UNITS'
    layers: tuple[str, ...]
    median: tuple[float, ...]  # in the descriptor's unit; NaN for a layer without a value
    lower_quartile: tuple[float, ...]  # likewise
    upper_quartile: tuple[float, ...]  # likewise
    counted: tuple[int, ...]  # primitives that have a value
    left_out: tuple[int, ...]  # primitives whose value is NaN
    correlation: float  # Spearman's, -1 to 1, over all counted primitives; NaN where nothing varies
    p_value: float  # two-sided, that a correlation as large comes by chance

    @property
    def spread(self) -> tuple[float, ...]:
        """The interquartile range of each layer, in the descriptor's unit."""
        pairs = zip(self.lower_quartile, self.upper_quartile, strict=True)
        return tuple(upper - lower for lower, upper in pairs)


def hierarchy(
    textures_by_layer: Mapping[str, Sequence[Texture]], depth_order: Sequence[str]
) -> list[DepthTrend]:
    """The paper's hierarchy in numbers: a row for each descriptor that has an order.

    `depth_order` names each layer once, the first of the network first. Orientation has no row: of angles
    there is no median and no rank. Spearman's correlation is with the layer's position, over primitives,
    not layer medians; its p-value takes each primitive for a witness of its own, so give one picture a
    filter. Raises UnknownLayerError where order and textures name other layers.
    """
    if sorted(depth_order) != sorted(textures_by_layer):
        raise UnknownLayerError(
            f"an order of {', '.join(depth_order)}; expected each of these once: "
            f"{', '.join(textures_by_layer)}"
        )
    return [_trend(name, textures_by_layer, depth_order) for name in ORDERED]


def _trend(
    descriptor: str, textures_by_layer: Mapping[str, Sequence[Texture]], depth_order: Sequence[str]
) -> DepthTrend:
    given = [
        np.array([getattr(texture, descriptor) for texture in textures_by_layer[layer]], np.float64)
        for layer in depth_order
    ]
    values = [layer[~np.isnan(layer)] for layer in given]
    quartiles = np.array([_quartiles(layer) for layer in values]).reshape(-1, 3)
    correlation, p_value = _rank_correlation(values)
    return DepthTrend(
        descriptor,
        tuple(depth_order),
        tuple(quartiles[:, 1].tolist()),
        tuple(quartiles[:, 0].tolist()),
        tuple(quartiles[:, 2].tolist()),
        tuple(len(layer) for layer in values),
        tuple(len(before) - len(after) for before, after in zip(given, values, strict=True)),
        correlation,
        p_value,
    )


def _quartiles(values: Real) -> Real:
    return np.quantile(values, [0.25, 0.5, 0.75]) if len(values) else np.full(3, np.nan)


def _rank_correlation(values: Sequence[Real]) -> tuple[float, float]:
    """Spearman's correlation of the values with the position of their layer, and its p-value."""
    pooled = np.concatenate([*values, np.empty(0)])
    depth = np.repeat(np.arange(len(values)), [len(layer) for layer in values])
    if len(pooled) < 3 or np.ptp(pooled) == 0 or np.ptp(depth) == 0:
        return float("nan"), float("nan")
    found = stats.spearmanr(depth, pooled)
    return float(found.statistic), float(found.pvalue)
