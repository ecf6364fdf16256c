"""Where the part lies, by hand or written again slowly."""

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.operations.catalogue import find_operation
from inspection.operations.geometry import Displacement, Keystone, keystone
from tests.inspection.operations.trial_images import applied, between, constant, distance, middles, textured


def test_displacement_by_hand() -> None:
    image, move = textured(3)[:16, :16], Displacement(p=1.0)
    right = move.apply(image, turn=0.0, way=0.25, towards=0.0)
    assert np.array_equal(right[:, 4:], image[:, :-4])
    assert np.array_equal(right[:, :4], image[:, 3::-1])  # mirrored
    down = move.apply(image, turn=0.0, way=0.25, towards=90.0)
    assert np.array_equal(down[4:], image[:-4])
    assert np.array_equal(move.apply(image, turn=90.0, way=0.0, towards=0.0), np.rot90(image, -1))


def test_displacement_over_a_dark_background_by_hand() -> None:
    image, move = textured(3)[:16, :16], Displacement(p=1.0)
    right = move.apply(image, turn=0.0, way=0.25, towards=0.0, fill=7)
    assert np.array_equal(right[:, 4:], image[:, :-4])
    assert np.unique(right[:, :4]).tolist() == [7]
    half = move.apply(constant(107, 16, 16), turn=0.0, way=1 / 32, towards=90.0, fill=7)
    assert np.array_equal(half, np.pad(constant(107, 15, 16), ((1, 0), (0, 0), (0, 0)), constant_values=57))
    turned = move.apply(constant(200, 101, 101), turn=45.0, way=0.0, towards=0.0, fill=7)
    # Two squares of side 1, one of them turned by half a right angle, share an octagon of 2 (sqrt(2) - 1).
    assert {int(turned[y, x, 0]) for y in (0, -1) for x in (0, -1)} == {7}
    assert (turned.mean() - 7) / 193 == pytest.approx(2 * (math.sqrt(2) - 1), abs=0.003)


def test_displacement_draws_what_enters_and_nothing_else_differs() -> None:
    moves = [Displacement((5.0, 6.0), (0.1, 0.2), fill, p=1.0) for fill in (None, (0.0, 40.0))]
    drawn = [[applied(move, constant(9), seed)[1] for move in moves] for seed in range(200)]
    fills = [one.pop("fill") for _, one in drawn]
    assert {one.pop("fill") for one, _ in drawn} == {None}
    assert all(one == other for one, other in drawn)
    assert np.histogram(fills, bins=4, range=(0, 40))[0].min() > 25
    assert 0 <= min(fills) < max(fills) <= 40


def mapped(matrix: NDArray[np.float64], across: float, down: float) -> tuple[float, float]:
    """Where a homography takes a place of a 40 x 40 image, both counted from the image's middle."""
    x, y, scale = (matrix @ (across + 19.5, down + 19.5, 1.0)).tolist()
    return x / scale - 19.5, y / scale - 19.5


def test_keystone_by_hand() -> None:
    right = keystone(40, 40, 0.2, 0.0)
    pulled = 20 - 0.2 * 40 / math.sqrt(2)  # 8 pixels along the diagonal
    assert mapped(right, 20, 20) == pytest.approx((pulled, pulled))
    assert mapped(right, 20, -20) == pytest.approx((pulled, -pulled))
    assert mapped(right, -20, 20) == pytest.approx((-20, 20))
    assert mapped(right, -20, -20) == pytest.approx((-20, -20))
    assert mapped(right, 0, 0) == pytest.approx((0, 0))
    up = keystone(40, 40, 0.2, 270.0)
    assert mapped(up, 20, -20) == pytest.approx((pulled, -pulled))
    assert mapped(up, 20, 20) == pytest.approx((20, 20))
    aslant = keystone(40, 40, 0.2, 45.0)
    assert mapped(aslant, 20, 20) == pytest.approx((pulled, pulled))
    assert mapped(aslant, -20, -20) == pytest.approx((-20, -20))
    # 8 of the 28.3 pixels to the corner are 0.2828, so k = 0.2828 / 1.7172 = 0.1647; 20 (1 - k) = 16.7057.
    assert mapped(aslant, 20, -20) == pytest.approx((16.7057, -16.7057), abs=1e-4)
    assert keystone(30, 50, 0.0, 77.0) == pytest.approx(np.eye(3))


@pytest.mark.parametrize(("pull", "angle"), [(0.1, 25.0), (0.25, 200.0)])
def test_keystone_written_again_slowly(pull: float, angle: float) -> None:
    image = textured(3)[:20, :28]
    changed = Keystone(p=1.0).apply(image, pull=pull, angle=angle)
    turn = math.radians(angle)
    reach = max(across * math.cos(turn) + down * math.sin(turn) for across in (-14, 14) for down in (-10, 10))
    lost = pull * 20 / math.hypot(10, 14)
    slant = lost / (2 - lost)
    wanted = np.zeros(image.shape)
    for y, x, down, across in middles(20, 28):
        # The way back: x' = x (1 - k) / (1 + k t), t = <x, u> / reach, solved for x.
        t = (across * math.cos(turn) + down * math.sin(turn)) / reach
        back = 1 / (1 - slant - slant * t)
        wanted[y, x] = between(image, down * back + 9.5, across * back + 13.5)
    assert np.abs(changed - wanted).max() < 2.1  # OpenCV counts places in 32nds of a pixel
    assert np.abs(changed - wanted).mean() < 0.5


def test_keystone_comes_from_every_direction() -> None:
    drawn = [applied(Keystone((0.1, 0.2), p=1.0), constant(9), seed)[1] for seed in range(200)]
    assert all(0.1 <= each["pull"] <= 0.2 for each in drawn)
    assert np.histogram([each["angle"] for each in drawn], bins=4, range=(0, 360))[0].min() > 25


def test_displacement_goes_to_every_side() -> None:
    move = Displacement((5.0, 6.0), (0.1, 0.2), p=1.0)
    drawn = [applied(move, constant(9), seed)[1] for seed in range(200)]
    assert all(5 <= abs(each["turn"]) <= 6 and 0.1 <= each["way"] <= 0.2 for each in drawn)
    assert 70 < sum(each["turn"] > 0 for each in drawn) < 130
    quarters = np.histogram([each["towards"] for each in drawn], bins=4, range=(0, 360))[0]
    assert quarters.min() > 25


@pytest.mark.parametrize("name", ["rotation over a dark background", "shift off the frame"])
def test_what_enters_is_dark_and_the_part_stays_as_it_was(name: str) -> None:
    image = constant(200, 96, 96, 3)
    for seed in range(8):
        changed = find_operation(name).apply(image, find_operation(name).grid[-1], seed)
        entered = changed == changed.min()
        assert changed.min() <= 40
        assert 0.05 < entered.mean() < 0.4
        assert np.mean((changed == 200) | entered) > 0.94  # and a line between the two


@pytest.mark.parametrize(("name", "strength", "factor"), [("scale up", 0.3, 1.3), ("scale down", 0.3, 0.7)])
def test_a_disc_grows_or_shrinks_about_the_middle(name: str, strength: float, factor: float) -> None:
    image = cv2.circle(np.zeros((101, 101), np.uint8), (50, 50), 25, 200, -1)
    changed = find_operation(name).apply(image, strength, 0)
    assert changed.sum() / image.sum() == pytest.approx(factor**2, rel=0.02)
    assert np.array_equal(changed, changed[::-1]) or distance(changed, changed[::-1]) < 0.3
