"""Overlays: what a texture's file holds, what is laid over an image, and which files are refused."""

import hashlib
import math
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.errors import RecipeError
from inspection.recipes.overlays import (
    BLACK,
    FIXED_PATTERN,
    LEVELS,
    RESIDUAL_TEXTURE,
    TONE_CURVE,
    FixedPattern,
    TextureFile,
    TextureOverlay,
    ToneCurve,
    light_around,
    overlay,
    retone,
    textures_in,
    write_pattern,
    write_texture,
    write_tones,
)
from inspection.recipes.recipe import (
    Coverage,
    Ingredient,
    Recipe,
    RecipeTransform,
    build_recipe,
    load_recipe,
    sample_generators,
    summarise,
    write_recipe,
)

Image = NDArray[np.uint8]
Overlay = TextureOverlay | FixedPattern | ToneCurve


def field(channels: int = 1, height: int = 32, width: int = 32, seed: int = 0) -> NDArray[np.float32]:
    """Grey levels between -40 and 40, none of them whole."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-40, 40, (height, width, channels)).astype(np.float32)


def stops(channels: int = 1) -> NDArray[np.float32]:
    """Natural logarithms of light: up to a stop and a quarter darker or lighter."""
    return field(channels) * np.float32(math.log(2) / 32)


def curve(channels: int = 1) -> NDArray[np.float32]:
    """A bent response that takes much of the middle, more in every further channel; black and white stay."""
    bend = np.sin(np.pi * LEVELS / 255) * (60 + 10 * np.arange(channels))
    return (LEVELS - bend).astype(np.float32)


def grey(level: int = 128, channels: int = 1) -> Image:
    return np.full((32, 32, channels), level, np.uint8)


def texture_overlay(
    folder: Path, *files: TextureFile, amplitude: tuple[float, float] = (1, 1)
) -> TextureOverlay:
    with textures_in(folder):
        return TextureOverlay([(each.path, each.sha256) for each in files], amplitude, p=1.0)


def fixed_pattern(folder: Path, file: TextureFile, amplitude: tuple[float, float] = (1, 1)) -> FixedPattern:
    with textures_in(folder):
        return FixedPattern((file.path, file.sha256), amplitude, p=1.0)


def tone_curve(folder: Path, file: TextureFile, amplitude: tuple[float, float] = (1, 1)) -> ToneCurve:
    with textures_in(folder):
        return ToneCurve((file.path, file.sha256), amplitude, p=1.0)


def laid(overlay: A.BasicTransform, image: Image, index: int = 0) -> Image:
    overlay.set_random_state(*sample_generators(7, 0, index))
    return np.asarray(overlay(image=image)["image"], np.uint8)


def unmoved(overlay: TextureOverlay, image: Image) -> NDArray[np.int64]:
    """What the overlay adds to an image where it neither mirrors nor moves the texture."""
    changed = overlay.apply(image, which=0, mirrored=(False, False), moved=(0, 0), amplitude=1.0)
    return changed.astype(np.int64) - image


def in_place(overlay: FixedPattern, image: Image, amplitude: float = 1.0) -> Image:
    return overlay.apply(image, amplitude=amplitude, mirrored=(False, False), moved=(0, 0))


# --- the files ---


@pytest.mark.parametrize("channels", [1, 3])
def test_a_texture_is_kept_to_half_a_grey_level(tmp_path: Path, channels: int) -> None:
    file = write_texture(field(channels), tmp_path, "a/one.png")
    assert file == TextureFile("a/one.png", hashlib.sha256((tmp_path / "a/one.png").read_bytes()).hexdigest())
    added = unmoved(texture_overlay(tmp_path, file), grey(128, channels))
    assert np.abs(added - field(channels)).max() <= 0.5
    assert np.abs(added).max() > 30


@pytest.mark.parametrize("channels", [1, 3])
def test_a_pattern_is_kept_to_a_64th_of_a_stop(tmp_path: Path, channels: int) -> None:
    """By the file's own definition: value 128 is nothing, 32 steps are a stop."""
    file = write_pattern(stops(channels), tmp_path, "pattern.png")
    held = cv2.imread(str(tmp_path / file.path), cv2.IMREAD_UNCHANGED)
    assert held is not None
    read = (held.reshape(32, 32, channels)[..., ::-1].astype(np.float64) - 128) / 32
    assert np.abs(read - stops(channels) / math.log(2)).max() <= 1 / 64 + 1e-6
    image = grey(70, channels)
    expected = np.clip((image + 8.0) * 2**read - 8.0, 0, 255)
    found = in_place(fixed_pattern(tmp_path, file), image)
    assert np.abs(found - expected).max() <= 0.5 + 1e-3
    assert BLACK == 8


@pytest.mark.parametrize("channels", [1, 3])
def test_a_curve_is_kept_as_a_wedge_to_look_at(tmp_path: Path, channels: int) -> None:
    file = write_tones(curve(channels), tmp_path, "a/tones.png")
    assert file == TextureFile("a/tones.png", hashlib.sha256((tmp_path / file.path).read_bytes()).hexdigest())
    held = cv2.imread(str(tmp_path / file.path), cv2.IMREAD_UNCHANGED)
    assert held is not None
    assert held.shape[:2] == (32, 256)
    wedge = held.reshape(32, 256, channels)[..., ::-1]
    np.testing.assert_array_equal(wedge, np.broadcast_to(np.rint(curve(channels)), wedge.shape))


def test_what_is_too_strong_for_a_file_is_cut_off(tmp_path: Path) -> None:
    file = write_texture(np.full((32, 32, 1), 300, np.float32), tmp_path, "strong.png")
    assert np.unique(unmoved(texture_overlay(tmp_path, file), grey(100))).tolist() == [101]  # 127 * 108 / 136


def test_a_texture_is_as_strong_as_the_light_around() -> None:
    """Black takes 8 of 136 of what mid-grey takes, a part twice as light as grey (with black at -8) twice."""
    image = np.full((64, 64, 3), 120, np.uint8)
    image[:, :32] = 0
    around = light_around(image)
    assert around[:, 5] == pytest.approx(8 / 136, rel=1e-3)
    assert around[:, 60] == pytest.approx(128 / 136, rel=1e-3)
    middle = float(around[0, 31:33, 0].mean())
    assert middle == pytest.approx((8 + 128) / 2 / 136, rel=0.02)
    laid_over = overlay(image, np.full((64, 64, 1), 34, np.float32))
    assert np.unique(laid_over[:, 5]).tolist() == [2]  # 34 * 8 / 136
    assert np.unique(laid_over[:, 60]).tolist() == [152]  # 120 + 34 * 128 / 136
    assert overlay(image, np.full((64, 64, 1), -200, np.float32)).max() <= 11  # cut off at black


# --- laid over ---


def test_a_texture_meets_every_channel_and_a_colour_texture_its_own(tmp_path: Path) -> None:
    one = texture_overlay(tmp_path, write_texture(field(1), tmp_path, "grey.png"))
    added = unmoved(one, grey(128, 3))
    for channel in range(3):
        np.testing.assert_array_equal(added[..., channel], np.rint(field(1))[..., 0])
    three = texture_overlay(tmp_path, write_texture(field(3), tmp_path, "colour.png"))
    np.testing.assert_array_equal(unmoved(three, grey(128, 3)), np.rint(field(3)))


def test_a_smaller_texture_is_repeated_and_a_larger_one_cut(tmp_path: Path) -> None:
    small, large = field(1, 8, 20), field(1, 40, 50)
    added = unmoved(texture_overlay(tmp_path, write_texture(small, tmp_path, "small.png")), grey())
    np.testing.assert_array_equal(added, np.rint(np.tile(small, (4, 2, 1))[:32, :32]))
    added = unmoved(texture_overlay(tmp_path, write_texture(large, tmp_path, "large.png")), grey())
    np.testing.assert_array_equal(added, np.rint(large[:32, :32]))


def test_a_texture_is_mirrored_and_moved_by_shares_of_its_sides(tmp_path: Path) -> None:
    overlay = texture_overlay(tmp_path, write_texture(field(), tmp_path, "a.png"))
    changed = overlay.apply(grey(), which=0, mirrored=(True, False), moved=(0.25, 0.5), amplitude=1.0)
    by_hand = [
        [128 + np.rint(field()[31 - (i + 8) % 32, (j + 16) % 32, 0]) for j in range(32)] for i in range(32)
    ]
    np.testing.assert_array_equal(changed[..., 0], by_hand)


def test_every_texture_mirroring_and_amplitude_of_the_range_is_drawn(tmp_path: Path) -> None:
    files = [
        write_texture(np.full((4, 4, 1), 10.0 * (i + 1), np.float32), tmp_path, f"{i}.png") for i in range(3)
    ]
    overlay = texture_overlay(tmp_path, *files, amplitude=(0.2, 1.3))
    overlay.set_random_state(*sample_generators(7, 0, 0))
    drawn = [overlay.get_params() for _ in range(600)]
    for which in range(3):
        assert sum(each["which"] == which for each in drawn) == pytest.approx(200, abs=50)
    for axis in (0, 1):
        assert sum(each["mirrored"][axis] for each in drawn) == pytest.approx(300, abs=50)
        places = [each["moved"][axis] for each in drawn]
        assert np.all(np.abs(np.histogram(places, 4, (0, 1))[0] - 150) < 45)
    amplitudes = [each["amplitude"] for each in drawn]
    assert np.all(np.abs(np.histogram(amplitudes, 4, (0.2, 1.3))[0] - 150) < 45)


def test_a_pattern_is_moved_by_shares_of_its_sides_and_mirrored_at_the_border(tmp_path: Path) -> None:
    overlay = fixed_pattern(tmp_path, write_pattern(stops(), tmp_path, "p.png"))
    still = in_place(overlay, grey(70))[..., 0]
    turned = overlay.apply(grey(70), amplitude=1.0, mirrored=(True, False), moved=(0.25, -0.125))[..., 0]
    down = [*range(8, 0, -1), *range(24)]  # 8 rows down: those that come in are mirrored
    across = [*range(4, 32), *range(31, 27, -1)]  # 4 columns to the left
    np.testing.assert_array_equal(turned, still[::-1][down][:, across])


def test_a_pattern_stays_near_its_place_half_of_the_time_and_lies_anywhere_else(tmp_path: Path) -> None:
    overlay = fixed_pattern(tmp_path, write_pattern(stops(), tmp_path, "p.png"), (0.2, 1.3))
    overlay.set_random_state(*sample_generators(7, 0, 0))
    drawn = [overlay.get_params() for _ in range(800)]
    near = [each for each in drawn if max(map(abs, each["moved"])) <= 0.02]
    assert len(near) == pytest.approx(400, abs=60)
    assert sum(any(each["mirrored"]) for each in near) <= 3  # one in 600 that lie anywhere lies near, too
    far = [each for each in drawn if max(map(abs, each["moved"])) > 0.02]
    for axis in (0, 1):
        assert sum(each["mirrored"][axis] for each in far) == pytest.approx(len(far) / 2, abs=50)
        places = np.histogram([each["moved"][axis] for each in far], 4, (-0.5, 0.5))[0]
        assert np.all(np.abs(places - len(far) / 4) < 40)
    amplitudes = np.histogram([each["amplitude"] for each in drawn], 4, (0.2, 1.3))[0]
    assert np.all(np.abs(amplitudes - 200) < 55)


def test_twice_the_amplitude_is_twice_the_stops(tmp_path: Path) -> None:
    half = np.full((32, 32, 1), 0.5 * math.log(2), np.float32)
    overlay = fixed_pattern(tmp_path, write_pattern(half, tmp_path, "p.png"))
    levels = [int(in_place(overlay, grey(42), amplitude)[0, 0, 0]) for amplitude in (1, 2, 4)]
    assert levels == [round(50 * 2**0.5 - 8), 92, 192]  # (42 + 8) * 2 ** (amplitude / 2) - 8


def test_a_grey_level_goes_the_amplitude_times_the_way(tmp_path: Path) -> None:
    """100 became 140, and 200 became 180: on the way there, there, and beyond as far as white."""
    tones = LEVELS.copy()
    tones[100], tones[200] = 140, 180
    overlay = tone_curve(tmp_path, write_tones(tones, tmp_path, "tones.png"))
    image = np.repeat(np.array([[100, 150, 200]], np.uint8), 3, axis=0)[..., None]
    for amplitude, expected in ((0, (100, 200)), (0.25, (110, 195)), (1, (140, 180)), (4, (255, 120))):
        dark, middle, light = overlay.apply(image, amplitude=amplitude)[1, :, 0].tolist()
        assert ((dark, light), middle) == (expected, 150)
        np.testing.assert_array_equal(overlay.apply(image, amplitude), retone(image, tones, amplitude))
    np.testing.assert_array_equal(overlay.apply(image[..., 0], amplitude=1), retone(image, tones)[..., 0])
    assert retone(grey(200), tones, 20).max() == 0


def test_a_level_is_rounded_once_and_halves_are_even() -> None:
    assert int(retone(grey(100), LEVELS + np.float32(0.4), 2.0)[0, 0, 0]) == 101  # 100.8, not 100 + 2 * 0
    assert [int(retone(grey(v), LEVELS + 1, 0.5)[0, 0, 0]) for v in (100, 101)] == [100, 102]


def test_a_grey_curve_meets_every_channel_and_a_colour_curve_its_own(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    one = tone_curve(tmp_path, write_tones(curve(), tmp_path, "grey.png")).apply(image, amplitude=1)
    three = tone_curve(tmp_path, write_tones(curve(3), tmp_path, "colour.png")).apply(image, amplitude=1)
    for channel in range(3):
        np.testing.assert_array_equal(one[..., channel], np.rint(curve())[image[..., channel], 0])
        np.testing.assert_array_equal(three[..., channel], np.rint(curve(3))[image[..., channel], channel])
    assert not np.array_equal(one[..., 2], three[..., 2])
    turned = image[:, ::-1]  # whose bytes do not lie in order
    np.testing.assert_array_equal(retone(turned, curve(3)), retone(image, curve(3))[:, ::-1])


def test_amplitudes_of_a_curve_are_drawn_evenly(tmp_path: Path) -> None:
    overlay = tone_curve(tmp_path, write_tones(curve(), tmp_path, "tones.png"), (0.2, 1.3))
    overlay.set_random_state(*sample_generators(7, 0, 0))
    drawn = [overlay.get_params() for _ in range(600)]
    assert np.all(np.abs(np.histogram([each["amplitude"] for each in drawn], 4, (0.2, 1.3))[0] - 150) < 45)


def each_kind(folder: Path, amplitude: tuple[float, float]) -> list[Overlay]:
    texture, pattern = write_texture(field(), folder, "t.png"), write_pattern(stops(), folder, "p.png")
    return [
        texture_overlay(folder, texture, amplitude=amplitude),
        fixed_pattern(folder, pattern, amplitude),
        tone_curve(folder, write_tones(curve(), folder, "c.png"), amplitude),
    ]


def test_amplitude_zero_changes_nothing(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 1), dtype=np.uint8)
    for each in each_kind(tmp_path, (0, 0)):
        np.testing.assert_array_equal(laid(each, image), image)


def test_the_same_generators_give_the_same_image_and_others_another(tmp_path: Path) -> None:
    image = (np.arange(32 * 32) // 4).astype(np.uint8).reshape(32, 32, 1)  # every grey level
    for each in each_kind(tmp_path, (0.2, 1.3)):
        first = [laid(each, image, index).tobytes() for index in range(6)]
        assert [laid(each, image, index).tobytes() for index in reversed(range(6))] == first[::-1]
        assert len(set(first)) == 6


def test_a_round_trip_through_albumentations_own_file(tmp_path: Path) -> None:
    for each in each_kind(tmp_path, (0.2, 1.3)):
        with textures_in(tmp_path):
            again = A.from_dict(A.to_dict(each))
        assert type(again) is type(each)
        assert A.to_dict(again) == A.to_dict(each)
        assert "_fields" not in str(A.to_dict(each))
        assert "_curve" not in str(A.to_dict(each))
        for index in range(4):
            np.testing.assert_array_equal(laid(again, grey(), index), laid(each, grey(), index))


def test_the_folder_holds_for_the_block_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_texture(field(), tmp_path / "a", "t.png")
    monkeypatch.chdir(tmp_path)
    texture_overlay(tmp_path / "a", file)
    with pytest.raises(RecipeError, match=r"t\.png cannot be read"):
        TextureOverlay([(file.path, file.sha256)])
    with pytest.raises(RuntimeError, match="stopped"), textures_in(tmp_path / "a"):
        raise RuntimeError("stopped")
    with pytest.raises(RecipeError, match="cannot be read"):
        FixedPattern((file.path, file.sha256))


# --- files that are refused ---


def _gone(path: Path) -> None:
    path.unlink()


def _changed(path: Path) -> None:
    write_texture(field(seed=1), path.parent, path.name)


def test_a_texture_outside_the_folder_is_refused_where_a_link_leads_there_too(tmp_path: Path) -> None:
    file = write_texture(field(), tmp_path / "elsewhere", "t.png")
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "t.png").symlink_to(tmp_path / "elsewhere" / "t.png")
    with pytest.raises(RecipeError, match=r"'t\.png' lies outside the recipe's folder"):
        texture_overlay(tmp_path / "recipe", file)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")  # the folder itself may lie anywhere
    texture_overlay(tmp_path / "link", file)


def test_a_texture_that_is_too_large_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """A PNG of 20,000 x 20,000 pixels, of which a few bytes are there."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "t.png").write_bytes(data)
    file = TextureFile("t.png", hashlib.sha256(data).hexdigest())
    with pytest.raises(RecipeError, match="20000 x 20000 pixels, and at most 100 megapixels are read"):
        texture_overlay(tmp_path, file)


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        pytest.param(
            _gone, r"t\.png cannot be read \(.*no such image file\); keep it beside the recipe", id="gone"
        ),
        pytest.param(_changed, r"t\.png was changed or damaged .*; restore it", id="changed"),
    ],
)
@pytest.mark.parametrize("kind", [TextureOverlay, FixedPattern, ToneCurve])
def test_a_texture_that_is_gone_or_changed_is_refused(
    tmp_path: Path, kind: type[Overlay], harm: Callable[[Path], None], complaint: str
) -> None:
    file = write_texture(field(), tmp_path, "t.png")
    harm(tmp_path / "t.png")
    with textures_in(tmp_path), pytest.raises(RecipeError, match=complaint):
        _build(kind, file.path, file.sha256)


@pytest.mark.parametrize("outside", ["../t.png", "a/../../t.png", "{folder}/t.png"])
@pytest.mark.parametrize("kind", [TextureOverlay, FixedPattern, ToneCurve])
def test_a_texture_outside_the_recipes_folder_is_refused(
    tmp_path: Path, kind: type[Overlay], outside: str
) -> None:
    file = write_texture(field(), tmp_path, "t.png")
    (tmp_path / "mine" / "a").mkdir(parents=True)
    with (
        textures_in(tmp_path / "mine"),
        pytest.raises(RecipeError, match=r"outside the recipe's folder; a recipe names its own files"),
    ):
        _build(kind, outside.format(folder=tmp_path), file.sha256)


def test_a_texture_that_is_no_image_is_refused(tmp_path: Path) -> None:
    data = b"grey, mostly"
    (tmp_path / "t.png").write_bytes(data)
    for kind in (TextureOverlay, FixedPattern, ToneCurve):
        with textures_in(tmp_path), pytest.raises(RecipeError, match=r"t\.png is no image"):
            _build(kind, "t.png", hashlib.sha256(data).hexdigest())


def test_a_curve_that_is_not_256_levels_wide_is_refused(tmp_path: Path) -> None:
    file = write_texture(field(), tmp_path, "t.png")
    with pytest.raises(RecipeError, match=r"t\.png is 32 pixels wide; expected 256, a column for each grey"):
        tone_curve(tmp_path, file)


@pytest.mark.parametrize("amplitude", [(-0.1, 1.0), (1.0, 0.5)])
def test_amplitudes_that_are_no_range_are_refused(tmp_path: Path, amplitude: tuple[float, float]) -> None:
    file = write_texture(field(), tmp_path, "t.png")
    with pytest.raises(ValueError, match="amplitude_range"):
        texture_overlay(tmp_path, file, amplitude=amplitude)


def _build(kind: type[Overlay], path: str, digest: str) -> Any:
    return kind([(path, digest)] if kind is TextureOverlay else (path, digest))  # type: ignore[arg-type]


# --- in a recipe ---


def overlaid(folder: Path) -> Recipe:
    pattern = write_pattern(stops(), folder, "r-textures/pattern.png")
    textures = tuple(write_texture(field(seed=i), folder, f"r-textures/residual-{i}.png") for i in range(2))
    groups = [
        [Ingredient(FIXED_PATTERN, 0.2, 1.3, (pattern,))],
        [Ingredient(RESIDUAL_TEXTURE, 0.2, 1.3, textures)],
        [Ingredient(TONE_CURVE, 0.2, 1.3, (write_tones(curve(), folder, "r-textures/tones.png"),))],
        [Ingredient("dimmer lamp", 0.2, 1.0)],
    ]
    return build_recipe(groups, Coverage(1.0, 7, (32, 32), 1), {}, folder)


@pytest.mark.parametrize("relative", [False, True])
def test_a_recipe_with_overlays_works_from_another_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    folder, elsewhere = tmp_path / "night" / "recipes", tmp_path / "elsewhere"
    elsewhere.mkdir()
    recipe = overlaid(folder)
    write_recipe(recipe, folder / "r.yaml")
    before = [RecipeTransform(recipe, folder)(grey(), epoch=1, index=i) for i in range(5)]
    monkeypatch.chdir(elsewhere)
    at = Path("..") / "night" / "recipes" if relative else folder
    loaded = load_recipe(at / "r.yaml")
    assert loaded == recipe
    change = RecipeTransform(loaded, at)
    for i, image in enumerate(before):
        np.testing.assert_array_equal(change(grey(), epoch=1, index=i), image)
    assert len({image.tobytes() for image in before}) == 5
    found = "0.2 to 1.3 times as found"
    assert summarise(loaded).startswith(
        f"fixed pattern {found}, then residual texture {found}, then tone curve {found}, then dimmer"
    )


def test_a_recipe_moves_with_its_textures_and_not_without(tmp_path: Path) -> None:
    write_recipe(overlaid(tmp_path / "a"), tmp_path / "a" / "r.yaml")
    (tmp_path / "a").rename(tmp_path / "b")
    load_recipe(tmp_path / "b" / "r.yaml")
    (tmp_path / "b" / "r.yaml").rename(tmp_path / "r.yaml")
    with pytest.raises(
        RecipeError, match=r"r\.yaml is no recipe .*pattern\.png cannot be read .*keep it beside"
    ):
        load_recipe(tmp_path / "r.yaml")


def test_the_lines_of_the_header_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = overlaid(tmp_path)
    write_recipe(recipe, tmp_path / "r.yaml")
    monkeypatch.chdir(tmp_path)
    lines = [line[6:] for line in (tmp_path / "r.yaml").read_text().splitlines() if line.startswith("#     ")]
    names: dict[str, Any] = {"image": grey(), "epoch": 2, "index": 4}
    exec("\n".join(lines), names)
    expected = RecipeTransform(recipe, tmp_path)(grey(), epoch=2, index=4)
    np.testing.assert_array_equal(names["image"], expected)


@pytest.mark.parametrize(
    ("operation", "count", "complaint"),
    [
        (FIXED_PATTERN, 0, "fixed pattern was given 0 textures; it takes exactly one"),
        (FIXED_PATTERN, 2, "fixed pattern was given 2 textures; it takes exactly one"),
        (TONE_CURVE, 0, "tone curve was given 0 textures; it takes exactly one"),
        (TONE_CURVE, 2, "tone curve was given 2 textures; it takes exactly one"),
        (RESIDUAL_TEXTURE, 0, "residual texture was given 0 textures; it takes at least one"),
    ],
)
def test_an_overlay_without_its_textures_is_no_recipe(
    tmp_path: Path, operation: str, count: int, complaint: str
) -> None:
    file = write_texture(field(), tmp_path, "t.png")
    with pytest.raises(RecipeError, match=complaint):
        build_recipe(
            [[Ingredient(operation, 0.2, 1.3, (file,) * count)]], Coverage(0.5, 0, (32, 32), 1), {}, tmp_path
        )
