"""Side light and vignette, by hand or written again slowly."""

import math

import numpy as np
import pytest

from inspection.operations.catalogue import find_operation
from inspection.operations.light import SideLight, Vignette
from tests.inspection.operations.trial_images import applied, constant


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


def test_vignette_by_hand() -> None:
    changed, _ = applied(Vignette((1.0, 1.0), p=1.0), constant(200, 41, 41))
    assert [changed[y, x, 0] for y, x in [(20, 20), (0, 0), (0, 40), (40, 0), (40, 40)]] == [200] + [100] * 4
    assert {changed[y, x, 0] for y, x in [(0, 20), (20, 0), (40, 20), (20, 40)]} == {141}  # half of r^2
    assert changed[10, 10, 0] == 168  # a quarter of r^2: 200 / 2 ** 0.25


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
