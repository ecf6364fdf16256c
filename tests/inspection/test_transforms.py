"""The catalogue's own transforms, each against a count by hand or written again slowly."""

import itertools
import math
import os
from typing import Any

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A
import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.transforms import (
    Along,
    BrushedGrain,
    ColourCast,
    Displacement,
    Droplets,
    Dust,
    HotSpot,
    LineBlur,
    Lines,
    Mottle,
    PhotonNoise,
    ShadowEdge,
    SideLight,
    Stripes,
    Vignette,
    line_kernel,
)
from tests.inspection.test_operations import constant, distance, textured

Image = NDArray[np.uint8]


def applied(transform: A.BasicTransform, image: Image, seed: int = 2) -> tuple[Image, dict[str, Any]]:
    """The changed image, and what the transform drew for it."""
    transform.set_random_seed(seed)
    return transform(image=image)["image"], transform.get_applied_params()


def stark(height: int, width: int, channels: int = 1) -> Image:
    """Grey values from black to white, so that whatever is added runs into both ends."""
    rng = np.random.default_rng(4)
    return rng.choice(np.array([0, 3, 90, 200, 252, 255], np.uint8), (height, width, channels))


def middles(height: int, width: int) -> list[tuple[int, int, float, float]]:
    """Row and column of every pixel, and the same counted from the middle."""
    places = itertools.product(range(height), range(width))
    return [(y, x, y - (height - 1) / 2, x - (width - 1) / 2) for y, x in places]


def close(changed: Image, wanted: NDArray[np.float64]) -> bool:
    return bool(np.abs(changed - np.clip(wanted, 0, 255)).max() < 0.51)


# --- any image --------------------------------------------------------------------------------------------

OURS = [
    BrushedGrain(p=1.0),
    Displacement((2.0, 9.0), (0.1, 0.2), p=1.0),
    Droplets(p=1.0),
    Dust(p=1.0),
    HotSpot(p=1.0),
    LineBlur(p=1.0),
    Lines(p=1.0),
    Mottle(p=1.0),
    ShadowEdge(p=1.0),
    SideLight(30.0, p=1.0),
    Stripes(p=1.0),
    Vignette(p=1.0),
]


@pytest.mark.parametrize("transform", OURS, ids=lambda transform: type(transform).__name__)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (5, 3), (33, 20)])
def test_all_channels_change_alike_at_any_size(transform: A.BasicTransform, height: int, width: int) -> None:
    image = stark(height, width)
    grey, _ = applied(transform, image)
    colour, _ = applied(transform, image.repeat(3, axis=2))
    assert grey.dtype == np.uint8
    assert grey.shape == image.shape
    assert np.array_equal(applied(transform, image[:, :, 0])[0], grey[:, :, 0])
    assert np.abs(colour - grey.astype(float)).max() <= 1  # OpenCV's filters round otherwise on 3 channels


# --- light ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(0.0, 2.0), (1.0, 1.5)])
def test_side_light_draws_its_stops_uniformly(low: float, high: float) -> None:
    light = SideLight(angle=0.0, stops_range=(low, high), p=1.0)
    light.set_random_seed(0)
    images = [light(image=constant(100, 3, 64))["image"].astype(float) for _ in range(600)]
    stops = np.array([math.log2(image[0, 0, 0] / image[0, -1, 0]) for image in images])
    assert stops.min() > low - 0.03
    assert stops.max() < high + 0.03
    quarters = np.histogram(stops, bins=4, range=(low, high))[0]
    assert np.all(np.abs(quarters - 150) < 45)  # four standard deviations are 42


@pytest.mark.parametrize("channels", [1, 3])
def test_hot_spot_written_again_slowly(channels: int) -> None:
    spot = HotSpot(gain_range=(1.5, 1.5), radius_range=(0.2, 0.3), p=1.0)
    spot.set_random_seed(2)
    image = textured(channels)[:10, :14]
    changed = spot(image=image)["image"]
    drawn = spot.get_applied_params()
    assert 0.2 <= drawn["radius"] <= 0.3
    x0, y0, sigma = drawn["middle"][0] * 13, drawn["middle"][1] * 9, drawn["radius"] * 10
    mean = image.astype(float).mean()
    for y in range(10):
        for x in range(14):
            bright = math.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * sigma**2))
            for channel in range(channels):
                light = float(image[y, x, channel])
                wanted = min(light + 1.5 * bright * (light + mean) / 2, 255)
                assert abs(float(changed[y, x, channel]) - wanted) <= 0.51


def test_shadow_edge_written_again_slowly() -> None:
    image = stark(12, 17, 3)
    for seed in range(4):
        changed, drawn = applied(ShadowEdge((1.0, 2.0), (0.0, 0.5), p=1.0), image, seed)
        wanted = image.astype(float)
        for y, x, down, across in middles(12, 17):
            turn = math.radians(drawn["angle"])
            beyond = across * math.cos(turn) + down * math.sin(turn) - drawn["place"] * 12
            shade = min(max(beyond / max(drawn["softness"] * 12, 1) + 0.5, 0), 1)
            wanted[y, x] *= 1 - shade + shade * 2 ** -drawn["stops"]
        assert close(changed, wanted)


def test_shadow_is_as_dark_as_its_stops_and_leaves_the_rest() -> None:
    for seed in range(8):
        changed, _ = applied(ShadowEdge((1.0, 1.0), p=1.0), constant(120, 96, 96), seed)
        dark, light = np.mean(changed == 60), np.mean(changed == 120)
        assert 0.1 < dark < 0.9
        assert 0.1 < light < 0.9
        assert dark + light > 0.6


def test_vignette_by_hand() -> None:
    changed, _ = applied(Vignette((1.0, 1.0), p=1.0), constant(200, 41, 41))
    assert [changed[y, x, 0] for y, x in [(20, 20), (0, 0), (0, 40), (40, 0), (40, 40)]] == [200] + [100] * 4
    assert {changed[y, x, 0] for y, x in [(0, 20), (20, 0), (40, 20), (20, 40)]} == {141}  # half of r^2
    assert changed[10, 10, 0] == 168  # a quarter of r^2: 200 / 2 ** 0.25


# --- sharpness and place ----------------------------------------------------------------------------------


def test_line_kernel_by_hand() -> None:
    assert line_kernel(1.0, 0.0) == pytest.approx(np.array([[0, 0, 0], [1 / 8, 3 / 4, 1 / 8], [0, 0, 0]]))
    # A way of 3 pixels covers the middle pixel whole, its neighbours to 7/8, the ones beyond to 1/8.
    upright = line_kernel(3.0, 90.0)
    assert upright[:, 2] == pytest.approx(np.array([1, 7, 8, 7, 1]) / 24, abs=5e-4)
    assert upright.sum() == pytest.approx(1)


@pytest.mark.parametrize(("length", "angle"), [(0.0, 17.0), (2.5, 17.0), (7.0, 69.0), (12.0, 160.0)])
def test_line_kernel_has_the_length_and_direction(length: float, angle: float) -> None:
    kernel = line_kernel(length, angle).astype(float)
    half = len(kernel) // 2
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    turn = math.radians(angle)
    along = x * math.cos(turn) + y * math.sin(turn)
    across = y * math.cos(turn) - x * math.sin(turn)
    # A line of a length has the variance length^2 / 12; sharing among pixels adds up to a quarter.
    assert 0 <= (kernel * along**2).sum() - length**2 / 12 < 0.26
    assert (kernel * across**2).sum() < 0.26


def test_line_blur_draws_its_angle_from_its_range() -> None:
    blur = LineBlur((3.0, 5.0), (20.0, 40.0), p=1.0)
    drawn = [applied(blur, constant(9), seed)[1] for seed in range(50)]
    assert all(20 <= each["angle"] <= 40 and 3 <= each["length"] <= 5 for each in drawn)
    assert max(each["angle"] for each in drawn) - min(each["angle"] for each in drawn) > 15


def test_displacement_by_hand() -> None:
    image, move = textured(3)[:16, :16], Displacement(p=1.0)
    right = move.apply(image, turn=0.0, way=0.25, towards=0.0)
    assert np.array_equal(right[:, 4:], image[:, :-4])
    assert np.array_equal(right[:, :4], image[:, 3::-1])  # mirrored
    down = move.apply(image, turn=0.0, way=0.25, towards=90.0)
    assert np.array_equal(down[4:], image[:-4])
    assert np.array_equal(move.apply(image, turn=90.0, way=0.0, towards=0.0), np.rot90(image, -1))


def test_displacement_goes_to_every_side() -> None:
    move = Displacement((5.0, 6.0), (0.1, 0.2), p=1.0)
    drawn = [applied(move, constant(9), seed)[1] for seed in range(200)]
    assert all(5 <= abs(each["turn"]) <= 6 and 0.1 <= each["way"] <= 0.2 for each in drawn)
    assert 70 < sum(each["turn"] > 0 for each in drawn) < 130
    quarters = np.histogram([each["towards"] for each in drawn], bins=4, range=(0, 360))[0]
    assert quarters.min() > 25


# --- noise, lines and textures ----------------------------------------------------------------------------


@pytest.mark.parametrize(("grey", "share"), [(0, 0.0), (64, 0.501), (128, 0.7085)])
def test_photon_noise_grows_with_the_root_of_the_light(grey: int, share: float) -> None:
    changed, _ = applied(PhotonNoise((0.06, 0.06), p=1.0), constant(grey, 128, 128, 3))
    assert changed.std() == pytest.approx(255 * 0.06 * share, rel=0.02)
    assert changed.mean() == pytest.approx(grey, abs=0.2)
    assert grey == 0 or abs(np.corrcoef(changed[..., 0].ravel(), changed[..., 1].ravel())[0, 1]) < 0.05


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


# --- what lies on the part or the lens --------------------------------------------------------------------


def blobs(
    rng: np.random.Generator, share: float, radii: tuple[float, float], lost: bool
) -> list[tuple[float, float, float, float]]:
    """Radius, row, column (and the light that is lost) of the discs on an image of 24 x 30 pixels."""
    left, drawn = share * 24 * 30, []
    while left > 0:
        radius = rng.uniform(*radii) * 24
        place = (rng.uniform(-0.5, 23.5), rng.uniform(-0.5, 29.5))
        drawn.append((min(radius, math.sqrt(left / math.pi)), *place, rng.uniform(0.5, 0.9) if lost else 0.0))
        left -= math.pi * radius**2
    return drawn


def test_dust_written_again_slowly() -> None:
    image = stark(24, 30, 3)
    changed, drawn = applied(Dust((0.1, 0.2), (0.02, 0.1), p=1.0), image)
    specks = blobs(np.random.default_rng(drawn["seed"]), drawn["share"], (0.02, 0.1), lost=True)
    assert len(specks) > 5
    wanted = image.astype(float)
    for y, x, _, _ in middles(24, 30):
        for radius, row, column, lost in specks:
            edge = max(radius / 2, 1)
            cover = min(max((radius - math.hypot(y - row, x - column)) / edge + 0.5, 0), 1)
            wanted[y, x] *= 1 - lost * cover
    assert close(changed, wanted)


@pytest.mark.parametrize("share", [0.005, 0.02, 0.05])
def test_dust_covers_its_share(share: float) -> None:
    image = constant(200, 192, 192)
    lost = [1 - applied(Dust((share, share), p=1.0), image, seed)[0].mean() / 200 for seed in range(40)]
    # 0.7 of the light in a speck; less what lies outside the image, more for the soft edge.
    assert np.mean(lost) == pytest.approx(0.7 * share, rel=0.1)


def test_droplets_written_again_slowly() -> None:
    image = textured(1)[:24, :30]
    changed, drawn = applied(Droplets((0.2, 0.3), (0.1, 0.2), p=1.0), image)
    drops = blobs(np.random.default_rng(drawn["seed"]), drawn["share"], (0.1, 0.2), lost=False)
    assert len(drops) > 1
    weights = [math.exp(-(d**2) / (2 * 0.5**2)) for d in range(-3, 4)]
    padded = np.pad(image[:, :, 0].astype(float), 3, mode="reflect")
    wanted = np.zeros((24, 30, 1))
    for y, x, _, _ in middles(24, 30):
        window = padded[y : y + 7, x : x + 7] * np.outer(weights, weights) / sum(weights) ** 2
        inside = rim = 0.0
        for radius, row, column, _ in drops:
            away = math.hypot(y - row, x - column)
            within = min(max(radius - away + 0.5, 0), 1)
            inside = max(inside, within)
            rim = max(rim, within * min(max(4 * away / radius - 3, 0), 1))
        light = (1 - inside) * float(image[y, x, 0]) + inside * 1.2 * window.sum()
        wanted[y, x] = light * (1 - rim / 2)
    assert close(changed, wanted)
    assert distance(changed, image) > 4


# --- what they refuse -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (SideLight, {"angle": "above"}),
        (SideLight, {"stops_range": (2.0, 1.0)}),
        (HotSpot, {"gain_range": (-1.0, 1.0)}),
        (HotSpot, {"radius_range": (0.0, 0.2)}),
        (LineBlur, {"length_range": (-2.0, 1.0)}),
        (LineBlur, {"angle_range": (0.0, 400.0)}),
        (LineBlur, {"p": 2.0}),
        (ShadowEdge, {"softness_range": (-0.1, 0.1)}),
        (Vignette, {"stops_range": (-1.0, 1.0)}),
        (ColourCast, {"direction": (1.0, 0.0)}),
        (Displacement, {"shift_range": (0.2, 0.1)}),
        (PhotonNoise, {"deviation_range": (0.1, 1.1)}),
        (Lines, {"along": "diagonal"}),
        (Stripes, {"period_range": (0.0, 4.0)}),
        (Mottle, {"wavelength_range": (0.0, 4.0)}),
        (BrushedGrain, {"length_range": (-0.1, 0.1)}),
        (Dust, {"share_range": (0.5, 1.5)}),
        (Droplets, {"radius_range": (0.0, 0.1)}),
    ],
)
def test_bad_arguments_are_refused(make: type, arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        make(**arguments)


def test_an_unknown_argument_warns_as_everywhere_in_albumentations() -> None:
    with pytest.warns(UserWarning, match="side"):
        SideLight(side="left")  # type: ignore[call-arg]


def test_a_colour_cast_needs_three_channels() -> None:
    with pytest.raises(ValueError, match=r"\(9, 9, 1\); give three channels"):
        ColourCast(p=1.0)(image=np.zeros((9, 9, 1), np.uint8))
