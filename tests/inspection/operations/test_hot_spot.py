"""Reflections, by hand or written again slowly."""

import math
from typing import Any

import numpy as np
import pytest

from inspection.operations.catalogue import find_operation
from inspection.operations.hot_spot import Glint, HotSpot, WindowReflection
from tests.inspection.operations.trial_images import applied, close, constant, middles, textured


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


def along_and_across(drawn: dict[str, Any], height: int, width: int) -> list[tuple[int, int, float, float]]:
    """Row and column of every pixel, and how far it lies along the drawn direction and across it."""
    turn, (right, down) = math.radians(drawn["angle"]), drawn["middle"]
    middle = complex(right * (width - 1), down * (height - 1))
    turned = [(y, x, (complex(x, y) - middle) * np.exp(-1j * turn)) for y, x, _, _ in middles(height, width)]
    return [(y, x, place.real, place.imag) for y, x, place in turned]


@pytest.mark.parametrize("channels", [1, 3])
def test_glint_written_again_slowly(channels: int) -> None:
    image = textured(channels)[:20, :26]
    for seed in range(4):
        changed, drawn = applied(Glint((0.5, 2.0), p=1.0), image, seed)
        assert 0.3 <= drawn["length"] <= 0.6
        assert 0.02 <= drawn["radius"] <= 0.05
        wanted = image.astype(float)
        mean = wanted.mean()
        for y, x, along, across in along_and_across(drawn, 20, 26):
            streak = 0.5 ** ((2 * along / (drawn["length"] * 20)) ** 2)  # a half at half of the length
            streak *= math.exp(-(across**2) / (2 * max(drawn["radius"] * 20, 0.5) ** 2))
            wanted[y, x] += drawn["gain"] * streak * (wanted[y, x] + mean) / 2
        assert close(changed, wanted)


def test_glint_is_thin_and_half_as_bright_at_its_ends() -> None:
    glint = Glint(p=1.0)
    lit = glint.apply(constant(80, 101, 101), gain=1.0, length=0.4, radius=0.03, angle=0.0, middle=(0.5, 0.5))
    # Its ends lie 20.2 pixels from its middle; after 20 there is 0.5 ** (20 / 20.2) ** 2 = 0.507 left.
    assert lit[50, [30, 50, 70], 0].tolist() == [121, 160, 121]
    # Three pixels across it, sigma is 3.03: exp(-(3 / 3.03) ** 2 / 2) = 0.613.
    assert lit[[47, 53], 50, 0].tolist() == [129, 129]
    assert np.ptp(lit[:38]) == np.ptp(lit[63:]) == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_window_reflection_written_again_slowly(channels: int) -> None:
    image = textured(channels)[:30, :24]
    for seed in range(4):
        changed, drawn = applied(WindowReflection((0.5, 2.0), p=1.0), image, seed)
        assert all(0.12 <= side <= 0.3 for side in drawn["sides"])
        wanted, edge = image.astype(float), max(drawn["softness"] * 24, 1)
        mean = wanted.mean()
        for y, x, *places in along_and_across(drawn, 30, 24):
            pane = drawn["gain"]
            for place, side in zip(places, drawn["sides"], strict=True):
                pane *= min(max((side * 24 / 2 - abs(place)) / edge + 0.5, 0), 1)
            wanted[y, x] += pane * (wanted[y, x] + mean) / 2
        assert close(changed, wanted)


def test_window_reflection_by_hand() -> None:
    sides, middle = (0.1, 0.3), (0.5, 0.5)
    lit = WindowReflection(p=1.0).apply(constant(80, 100, 100), 0.5, sides, 0.0, 90.0, middle)[:, :, 0]
    # 10 x 30 pixels, turned upright: 30 columns wide; a gain of a half on 80 is 120.
    assert np.array_equal(lit == 120, np.pad(np.ones((10, 30), bool), ((45, 45), (35, 35))))
    assert np.unique(lit).tolist() == [80, 120]


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
