import itertools
import json
import math
import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.errors import InspectionError
from inspection.operations.catalogue import CATALOGUE, find_operation, operations_for
from inspection.operations.operation import FAMILIES, Operation

Image = NDArray[np.uint8]


def constant(value: int, height: int = 24, width: int = 24, channels: int = 1) -> Image:
    return np.full((height, width, channels), value, np.uint8)


def textured(channels: int) -> Image:
    """A picture with coarse and fine structure, coloured where it has three channels."""
    rng = np.random.default_rng(5)
    noise = [rng.standard_normal((96, 96, channels)) for _ in range(2)]
    coarse, fine = (
        cv2.GaussianBlur(each, (0, 0), sigma) for each, sigma in zip(noise, (6, 0.8), strict=True)
    )
    grey = [field.reshape(96, 96, channels).mean(axis=2, keepdims=True) for field in (coarse, fine)]
    tint = fine.reshape(96, 96, channels) - grey[1]
    light = 115 + 25 * grey[0] / grey[0].std() + 12 * grey[1] / grey[1].std() + 12 * tint
    return np.asarray(np.clip(light, 0, 255), np.uint8)


every = pytest.mark.parametrize(
    ("operation", "channels"),
    [
        pytest.param(operation, channels, id=f"{operation.name}-{channels}")
        for operation in CATALOGUE
        for channels in operation.channels
    ],
)


def distance(one: Image, other: Image) -> float:
    return float(np.abs(one.astype(float) - other).mean())


# --- the catalogue as a whole -----------------------------------------------------------------------------


def test_catalogue_is_well_formed() -> None:
    assert len({operation.name for operation in CATALOGUE}) == len(CATALOGUE)
    assert {operation.family for operation in operations_for(3)} == set(FAMILIES)
    assert {operation.family for operation in operations_for(1)} == set(FAMILIES) - {"colour"}
    for operation in CATALOGUE:
        assert len(operation.grid) in (4, 5)
        assert list(operation.grid) == sorted(set(operation.grid))
        assert 0 < operation.grid[0] < operation.grid[-1] <= operation.limit


@every
def test_every_step_of_the_grid_moves_the_image_further(operation: Operation, channels: int) -> None:
    image = textured(channels)
    moved = [distance(operation.apply(image, strength, 3), image) for strength in operation.grid]
    assert moved[0] > 0.25  # grey levels
    assert all(weaker < stronger for weaker, stronger in itertools.pairwise(moved))


SIZED = (
    "glint",
    "window reflection",
    "shadow band",
    "spin blur",
    "posterising",
    "disc defocus",
    "tilted focus",
    "veil of stray light",
    "oblique stripes",
    "hairs",
    "rotation over a dark background",
    "shift off the frame",
    "perspective",
)


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("side", [64, 224])
def test_every_step_moves_images_of_other_sizes_further(name: str, side: int) -> None:
    operation, image = find_operation(name), cv2.resize(textured(1), (side, side))
    for seed in range(6):
        moved = [distance(operation.apply(image, strength, seed), image) for strength in operation.grid]
        assert moved[0] > 0.1
        assert all(weaker < stronger for weaker, stronger in itertools.pairwise(moved))


@pytest.mark.parametrize("name", SIZED)
def test_next_to_no_strength_changes_next_to_nothing(name: str) -> None:
    operation, image = find_operation(name), textured(3)
    for seed in range(6):
        assert distance(operation.apply(image, operation.grid[0] / 1000, seed), image) < 0.02


@every
def test_same_seed_same_image_and_the_original_stays(operation: Operation, channels: int) -> None:
    image, before = textured(channels), textured(channels)
    first = operation.apply(image, operation.grid[1], 11)
    assert np.array_equal(operation.apply(image, operation.grid[1], 11), first)
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert np.array_equal(image, before)


@pytest.mark.parametrize(
    "name",
    [
        "hot spot",
        "shadow edge",
        "motion blur",
        "sensor noise",
        "shot noise",
        "horizontal lines",
        "vertical stripes",
        "dust",
        "droplets",
        "fine grain",
        "cloudy texture",
        "brushed grain",
        "brushed grain along the rows",
        "rotation",
        "shift",
        "glint",
        "window reflection",
        "shadow band",
        "oblique stripes",
        "hairs",
        "rotation over a dark background",
        "shift off the frame",
        "perspective",
    ],
)
def test_another_seed_another_image(name: str) -> None:
    operation, image = find_operation(name), textured(1)
    assert (
        distance(operation.apply(image, operation.grid[1], 0), operation.apply(image, operation.grid[1], 1))
        > 1
    )


@every
def test_strength_zero_changes_nothing(operation: Operation, channels: int) -> None:
    image = textured(channels)
    same = operation.apply(image, 0.0, 0)
    assert np.array_equal(same, image)
    assert same is not image


@pytest.mark.parametrize("operation", operations_for(1), ids=lambda operation: operation.name)
def test_images_without_a_channel_axis_change_alike(operation: Operation) -> None:
    image = textured(1)
    flat = operation.apply(image[:, :, 0], operation.grid[2], 4)
    assert np.array_equal(flat, operation.apply(image, operation.grid[2], 4)[:, :, 0])


@every
def test_serialises_and_comes_back_equal_in_effect(operation: Operation, channels: int) -> None:
    transform = operation.transform(operation.grid[0], operation.grid[-1])
    returned = A.from_dict(json.loads(json.dumps(transform.to_dict())))
    image = textured(channels)
    for each in (transform, returned):
        each.set_random_seed(8)
    drawn = [(transform(image=image)["image"], returned(image=image)["image"]) for _ in range(5)]
    assert all(np.array_equal(one, other) for one, other in drawn)
    assert any(distance(one, drawn[0][0]) > 0 for one, _ in drawn[1:])  # it does draw


@every
def test_a_range_from_zero_is_accepted(operation: Operation, channels: int) -> None:
    transform = operation.transform(0.0, operation.grid[0])
    transform.set_random_seed(0)
    image = textured(channels)
    assert distance(transform(image=image)["image"], image) < 30


@pytest.mark.parametrize(
    "operation", [each for each in CATALOGUE if each.limit < math.inf], ids=lambda operation: operation.name
)
def test_the_limit_itself_works(operation: Operation) -> None:
    image = textured(operation.channels[0])
    weakest = operation.apply(image, operation.grid[0], 0)
    assert distance(operation.apply(image, operation.limit, 0), image) > distance(weakest, image)


@pytest.mark.parametrize(
    ("strength", "image"),
    [
        (-0.1, constant(9)),
        (1.1, constant(9)),
        (math.nan, constant(9)),
        (0.5, constant(9, channels=2)),
        (0.5, constant(9).astype(np.float32)),
        (0.5, constant(9)[None]),
    ],
)
def test_what_it_cannot_do_is_refused(strength: float, image: Image) -> None:
    with pytest.raises(InspectionError, match="lower contrast"):
        find_operation("lower contrast").apply(image, strength, 0)


def test_an_infinite_strength_is_refused() -> None:
    with pytest.raises(InspectionError, match="inf stops"):
        find_operation("dimmer lamp").apply(constant(9), math.inf, 0)


def test_operations_for_channels() -> None:
    grey, colour = operations_for(1), operations_for(3)
    tints = {"warmer light", "cooler light", "green tint", "magenta tint", "lower saturation"}
    others = {"colour noise", "light scattered by the lens"}
    assert {each.name for each in colour} - {each.name for each in grey} == tints | others
    assert {each.name for each in grey} < {each.name for each in colour}
    with pytest.raises(InspectionError, match="4 channels"):
        operations_for(4)


def test_find_operation() -> None:
    assert find_operation("hot spot").family == "hot spot"
    with pytest.raises(InspectionError, match="no operation 'fog'; the catalogue has: dimmer lamp, brighter"):
        find_operation("fog")


# --- numbers worked out by hand ---------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "strength", "before", "after"),
    [
        ("dimmer lamp", 1.0, 100, 50),
        ("dimmer lamp", 2.0, 100, 25),
        ("brighter lamp", 1.0, 60, 120),
        ("brighter lamp", 1.0, 200, 255),
        ("gamma darker", 1.0, 128, 64),  # 255 * (128 / 255) ** 2 = 64.25
        ("gamma brighter", 1.0, 64, 127),  # 255 * (64 / 255) ** 0.5 = 127.75, cut off
        ("gamma darker", 1.0, 255, 255),
        ("offset darker", 0.2, 100, 49),
        ("offset darker", 0.2, 30, 0),
        ("offset brighter", 0.2, 100, 151),
        ("offset brighter", 0.2, 230, 255),
        ("lower contrast", 0.5, 100, 100),
        ("higher contrast", 1.0, 100, 100),
    ],
)
def test_a_constant_image(name: str, strength: float, before: int, after: int, channels: int) -> None:
    changed = find_operation(name).apply(constant(before, channels=channels), strength, 0)
    assert np.array_equal(changed, constant(after, channels=channels))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "strength", "after"),
    [
        ("lower contrast", 0.5, (90, 110)),
        ("lower contrast", 1.0, (100, 100)),
        ("higher contrast", 1.0, (60, 140)),
    ],
)
def test_contrast_turns_about_the_mean(
    name: str, strength: float, after: tuple[int, int], channels: int
) -> None:
    image = np.concatenate([constant(80, channels=channels), constant(120, channels=channels)])
    changed = find_operation(name).apply(image, strength, 0)
    assert np.unique(changed[:24]).tolist() == [after[0]]
    assert np.unique(changed[24:]).tolist() == [after[1]]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_side_light_keeps_the_mean_and_has_the_stated_ratio(side: str, channels: int) -> None:
    changed = find_operation(f"side light from the {side}").apply(constant(120, 41, 41, channels), 1.0, 0)
    lines = changed if side in ("top", "bottom") else changed.transpose(1, 0, 2)
    assert all(np.ptp(line) == 0 for line in lines)  # the light changes along one axis only
    ramp = lines[:, 0, 0].astype(float)
    ramp = ramp if side in ("left", "top") else ramp[::-1]
    # (1 + a) / (1 - a) = 2 gives a = 1/3.
    assert (ramp[0], ramp[20], ramp[-1]) == (160, 120, 80)
    assert np.all(np.diff(ramp) <= -1)
    assert changed.mean() == pytest.approx(120, abs=0.1)


@pytest.mark.parametrize(
    ("corner", "row", "column"),
    [("top left", 0, 0), ("top right", 0, -1), ("bottom right", -1, -1), ("bottom left", -1, 0)],
)
def test_side_light_from_a_corner(corner: str, row: int, column: int) -> None:
    image = constant(120, 41, 41)
    changed = find_operation(f"side light from the {corner}").apply(image, 1.0, 0)[:, :, 0]
    across = changed[-1 - row, -1 - column]
    assert (changed[row, column], changed[20, 20], across) == (160, 120, 80)
    assert changed[row, -1 - column] == changed[-1 - row, column] == 120  # the other two corners
    assert changed.mean() == pytest.approx(120, abs=0.1)


def test_hot_spot_doubles_the_light_in_its_middle() -> None:
    for seed in range(5):
        changed = find_operation("hot spot").apply(constant(60, 96, 96), 1.0, seed)
        assert changed.max() in (119, 120)
        assert changed.min() < 62  # far away nothing happens


@pytest.mark.parametrize("name", ["glint", "window reflection"])
def test_other_reflections_double_the_light_in_their_middle(name: str) -> None:
    for seed in range(5):
        changed = find_operation(name).apply(constant(60, 96, 96), 1.0, seed)
        assert 114 <= changed.max() <= 120  # the middle of a thin streak lies between pixels
        assert np.mean(changed == 60) > 0.6


def test_shadow_band_is_as_dark_as_its_stops() -> None:
    for seed in range(8):
        changed = find_operation("shadow band").apply(constant(120, 96, 96), 1.0, seed)
        assert changed.min() == 60
        assert np.mean(changed == 120) > 0.4


@pytest.mark.parametrize("name", ["rotation over a dark background", "shift off the frame"])
def test_what_enters_is_dark_and_the_part_stays_as_it_was(name: str) -> None:
    image = constant(200, 96, 96, 3)
    for seed in range(8):
        changed = find_operation(name).apply(image, find_operation(name).grid[-1], seed)
        entered = changed == changed.min()
        assert changed.min() <= 40
        assert 0.05 < entered.mean() < 0.4
        assert np.mean((changed == 200) | entered) > 0.94  # and a line between the two


def test_defocus_spreads_a_point_into_a_gaussian() -> None:
    image = constant(0, 15, 15)
    image[7, 7] = 255
    changed = find_operation("defocus").apply(image, 1.0, 0)[:, :, 0].astype(float)
    total = sum(math.exp(-(x**2) / 2) for x in range(-3, 4))
    for dx, dy in [(0, 0), (1, 0), (1, 1), (0, 2), (2, 2)]:
        wanted = 255 * math.exp(-(dx**2 + dy**2) / 2) / total**2
        assert abs(changed[7 + dy, 7 + dx] - wanted) <= 0.51


def test_disc_defocus_spreads_a_point_into_a_disc() -> None:
    image = constant(0, 15, 15)
    image[7, 7] = 255
    changed = find_operation("disc defocus").apply(image, 3.0, 0)[:, :, 0].astype(float)
    for dx, dy, share in [(0, 0, 1), (2, 0, 1), (1, 1, 1), (2, 2, 0.5), (4, 0, 0), (3, 3, 0)]:
        assert changed[7 + dy, 7 + dx] == pytest.approx(share * 255 / (math.pi * 9), abs=2)


def test_motion_blur_leaves_even_light_alone() -> None:
    changed = find_operation("motion blur").apply(constant(93, channels=3), 8.0, 0)
    assert np.array_equal(changed, constant(93, channels=3))


@pytest.mark.parametrize("name", ["sensor noise", "colour noise"])
@pytest.mark.parametrize("strength", [0.01, 0.02, 0.04, 0.08])
def test_noise_has_its_standard_deviation(name: str, strength: float) -> None:
    changed = find_operation(name).apply(constant(128, 256, 256, 3), strength, 1).astype(float)
    assert changed.std() / 255 == pytest.approx(strength, rel=0.015)
    assert changed.mean() == pytest.approx(128, abs=0.2)


def test_only_colour_noise_has_colours() -> None:
    image = constant(128, channels=3)
    assert np.ptp(find_operation("sensor noise").apply(image, 0.05, 0), axis=2).max() == 0
    assert np.ptp(find_operation("colour noise").apply(image, 0.05, 0), axis=2).mean() > 5


def test_each_motion_blur_keeps_what_is_even_along_its_way() -> None:
    rows = np.repeat(textured(1)[:, :1], 96, axis=1)
    columns = rows.transpose(1, 0, 2)
    across, down = find_operation("horizontal motion blur"), find_operation("vertical motion blur")
    assert np.array_equal(across.apply(rows, 6.0, 0), rows)
    assert np.array_equal(down.apply(columns, 6.0, 0), columns)
    assert distance(across.apply(columns, 6.0, 0), columns) > 5
    assert distance(down.apply(rows, 6.0, 0), rows) > 5


@pytest.mark.parametrize(
    ("name", "gains"),
    [
        ("warmer light", (2**0.5, 1, 2**-0.5)),
        ("cooler light", (2**-0.5, 1, 2**0.5)),
        ("green tint", (1, 2, 1)),
        ("magenta tint", (2, 1, 2)),
    ],
)
def test_one_stop_of_another_colour_keeps_the_luminance(name: str, gains: tuple[float, ...]) -> None:
    changed = find_operation(name).apply(constant(100, channels=3), 1.0, 0)[0, 0]
    luminance = 0.299 * gains[0] + 0.587 * gains[1] + 0.114 * gains[2]
    assert changed.tolist() == [round(100 * gain / luminance) for gain in gains]


def test_no_saturation_leaves_the_luminance() -> None:
    image = np.full((4, 4, 3), (200, 100, 50), np.uint8)
    changed = find_operation("lower saturation").apply(image, 1.0, 0)
    assert np.unique(changed).tolist() == [124]  # 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2
    half = find_operation("lower saturation").apply(image, 0.5, 0)[0, 0]
    assert half.tolist() == [162, 112, 87]


def test_sharpening_by_hand() -> None:
    image = constant(90, 5, 5)
    image[2, 2] = 100
    changed = find_operation("sharpening").apply(image, 0.1, 0)[:, :, 0]
    # 0.1 of eight times the pixel less its eight neighbours: + 8 in the middle, - 1 around it.
    wanted = np.pad(np.pad([[108]], 1, constant_values=89), 1, constant_values=90)
    assert np.array_equal(changed, wanted)


@pytest.mark.parametrize(("strength", "quality"), [(60.0, 40), (60.4, 40), (89.6, 10), (99.0, 1)])
def test_jpeg_strength_is_the_quality_lost(strength: float, quality: int) -> None:
    image = textured(1)
    _, file = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    wanted = cv2.imdecode(file, cv2.IMREAD_GRAYSCALE)
    changed = find_operation("JPEG compression").apply(image, strength, 0)
    assert np.array_equal(changed[:, :, 0], np.asarray(wanted).reshape(96, 96))


def test_downscaling_by_hand() -> None:
    image = np.array([[10, 20, 0, 0], [30, 40, 0, 8], [0, 0, 100, 100], [0, 0, 200, 200]], np.uint8)
    changed = find_operation("downscaling").apply(image, 0.5, 0)
    wanted = np.array([[25, 2], [0, 150]])
    assert np.array_equal(changed, wanted.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize(("name", "strength", "factor"), [("scale up", 0.3, 1.3), ("scale down", 0.3, 0.7)])
def test_a_disc_grows_or_shrinks_about_the_middle(name: str, strength: float, factor: float) -> None:
    image = cv2.circle(np.zeros((101, 101), np.uint8), (50, 50), 25, 200, -1)
    changed = find_operation(name).apply(image, strength, 0)
    assert changed.sum() / image.sum() == pytest.approx(factor**2, rel=0.02)
    assert np.array_equal(changed, changed[::-1]) or distance(changed, changed[::-1]) < 0.3
