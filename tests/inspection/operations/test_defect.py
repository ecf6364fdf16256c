"""How defects show: a scratch and a pit on a smooth ground, counted by hand."""

import numpy as np
import pytest

from inspection.operations.catalogue import find_operation
from inspection.operations.operation import Image

GROUND = 120


def part(channels: int = 1) -> Image:
    """A ground with a little texture, a bright scratch of 3 x 30 pixels and a dark pit of 5 x 5."""
    rng = np.random.default_rng(0)
    image = np.rint(rng.normal(GROUND, 2, (64, 64))).astype(np.uint8)
    image[10:13, 15:45] = 200
    image[40:45, 40:45] = 60
    return np.repeat(image[:, :, None], channels, axis=2)


SCRATCH, PIT, AWAY = (11, 20), (42, 42), (slice(20, 35), slice(0, 10))


def under(name: str, strength: float, channels: int = 1) -> tuple[float, float, Image, Image]:
    """The scratch's and the pit's grey value, the ground away from both, and that ground before."""
    image = part(channels)
    changed = find_operation(name).apply(image, strength, 0)
    assert changed.shape == image.shape
    return float(changed[SCRATCH].mean()), float(changed[PIT].mean()), changed[AWAY], image[AWAY]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "strength", "scratch", "pit"),
    [
        ("fainter defects", 0.5, 160, 90),
        ("fainter defects", 1.0, 120, 120),
        ("fainter bright defects", 0.5, 160, 60),
        ("fainter dark defects", 0.5, 200, 90),
        ("reversed defects", 2.0, 40, 180),
        ("reversed defects", 1.5, 80, 150),
        ("bright defects turned dark", 2.0, 40, 60),
        ("dark defects turned bright", 2.0, 200, 180),
        ("stronger defects", 0.5, 240, 30),
    ],
)
def test_what_stands_out_is_scaled_and_its_ground_is_left(
    name: str, strength: float, scratch: float, pit: float, channels: int
) -> None:
    found = under(name, strength, channels)
    assert list(found[:2]) == pytest.approx([scratch, pit], abs=2)
    assert np.abs(found[2].astype(int) - found[3]).max() <= 8  # its texture's tails at most


@pytest.mark.parametrize(("name", "factor"), [("darker background", 0.5), ("brighter background", 2.0)])
def test_the_background_is_scaled_and_defects_are_left(name: str, factor: float) -> None:
    scratch, pit, ground, before = under(name, 1.0)
    assert [scratch, pit] == pytest.approx([200, 60], abs=3)
    assert np.median(ground) == pytest.approx(np.median(before) * factor, abs=2)


def test_defects_are_widened_and_narrowed_on_every_side() -> None:
    image = part()
    wide = {strength: find_operation("larger defects").apply(image, strength, 0) for strength in (1.0, 0.5)}
    assert wide[1.0][9, 30, 0] == pytest.approx(200, abs=6)
    assert wide[0.5][9, 30, 0] == pytest.approx(160, abs=6)
    narrow = find_operation("smaller defects").apply(image, 1.0, 0)
    assert narrow[10, 30, 0] == pytest.approx(GROUND, abs=6)
    assert narrow[11, 30, 0] == pytest.approx(200, abs=6)
    assert narrow[40, 40, 0] == pytest.approx(GROUND, abs=6)  # a corner of the pit
    assert narrow[42, 42, 0] == pytest.approx(60, abs=6)


def test_edges_of_defects_are_blurred_or_sharpened_and_the_ground_is_left() -> None:
    image = part()
    soft, sharp = (find_operation(f"{word} defects").apply(image, 1.0, 0) for word in ("softer", "sharper"))
    steps = [float(np.abs(np.diff(each[5:18, 30, 0].astype(int))).max()) for each in (soft, image, sharp)]
    assert steps[0] < 0.8 * steps[1]
    assert steps[2] > 1.05 * steps[1]
    for each in (soft, sharp):
        assert np.abs(each[AWAY].astype(int) - image[AWAY]).max() <= 8


def test_an_image_of_one_grey_value_has_nothing_that_stands_out() -> None:
    flat = np.full((32, 32, 1), 90, np.uint8)
    for name in ("reversed defects", "larger defects", "softer defects"):
        assert (find_operation(name).apply(flat, 1.0, 0) == flat).all()
