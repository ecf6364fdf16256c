"""A turned lamp: the slopes of bumps under light from one side, and from another."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.operations.catalogue import find_operation
from inspection.operations.operation import Image
from inspection.operations.relief import OPERATIONS, TurnedLamp
from tests.inspection.operations.trial_images import applied, constant, distance

SIDE = 64
Plane = NDArray[np.float64]


def slopes() -> tuple[Plane, Plane]:
    """Of round bumps and hollows of several sizes: downwards and to the right."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(float)
    height = np.zeros((SIDE, SIDE))
    for sign in (1, -1) * 4:
        row, column = rng.uniform(12, SIDE - 12, 2)
        width = rng.uniform(2, 5)
        height += sign * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))
    down, across = np.gradient(height)
    return np.asarray(down), np.asarray(across)


def lit(azimuth: float) -> Image:
    """The bumps under a lamp from there: 0 the left, 90 the top, clockwise."""
    down, across = slopes()
    turn = np.radians(azimuth)
    slope = across * np.cos(turn) + down * np.sin(turn)
    return np.asarray(np.rint(120 + 200 * slope), np.uint8)[:, :, None]


def apart(one: Image, other: Image) -> float:
    """The mean of their squared difference."""
    return float(np.square(one.astype(float) - other).mean())


@pytest.mark.parametrize("turn", [20.0, 45.0, 90.0])
@pytest.mark.parametrize("start", [0.0, 45.0, 90.0, 135.0])
@pytest.mark.parametrize("clockwise", [True, False])
def test_bumps_look_as_under_the_lamp_where_it_stands_now(start: float, turn: float, clockwise: bool) -> None:
    lamp = TurnedLamp(start=start, degrees_range=(turn, turn), clockwise=clockwise, p=1.0)
    found, _ = applied(lamp, lit(start))
    wanted = lit(start + turn if clockwise else start - turn)
    wrong = lit(start - turn if clockwise else start + turn)
    assert apart(found, wanted) < 0.55 * apart(lit(start), wanted)
    assert apart(found, wanted) < 0.35 * apart(found, wrong)


def test_which_of_two_opposite_sides_the_lamp_stood_on_makes_no_difference() -> None:
    one, other = (TurnedLamp(start=start, degrees_range=(60.0, 60.0), p=1.0) for start in (30.0, 210.0))
    assert distance(applied(one, lit(30.0))[0], applied(other, lit(30.0))[0]) < 0.01


def test_what_ran_along_the_light_and_plain_ground_stay() -> None:
    lines = np.repeat(np.tile([100, 140], SIDE // 2), SIDE).reshape(SIDE, SIDE, 1).astype(np.uint8)
    along = TurnedLamp(start=0.0, degrees_range=(30.0, 30.0), p=1.0)  # the lines run across, as the light
    assert distance(applied(along, lines)[0], lines) < 0.01
    assert np.array_equal(applied(along, constant(99, 9, 40, 3))[0], constant(99, 9, 40, 3))


@pytest.mark.parametrize("shape", [(31, 64), (64, 31, 3), (5, 5, 1), (1, 40, 1)])
def test_any_shape_and_every_channel_by_itself(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    lamp = TurnedLamp(start=45.0, degrees_range=(50.0, 50.0), p=1.0)
    found, _ = applied(lamp, image)
    assert found.shape == image.shape
    if len(shape) == 3:
        alone = [applied(lamp, np.ascontiguousarray(image[:, :, i]))[0] for i in range(shape[2])]
        assert np.array_equal(found, np.dstack(alone))


def test_degrees_are_drawn_uniformly() -> None:
    lamp = TurnedLamp(start=0.0, degrees_range=(10.0, 50.0), p=1.0)
    lamp.set_random_seed(0)
    drawn = []
    for _ in range(400):
        lamp(image=constant(100, 3, 3))
        drawn.append(lamp.get_applied_params()["degrees"])
    assert 10 <= min(drawn) < 12
    assert 48 < max(drawn) <= 50
    assert np.mean(drawn) == pytest.approx(30, abs=2.4)  # four standard errors


def test_the_catalogue_names_where_it_stood_and_which_way_it_went() -> None:
    assert len({each.name for each in OPERATIONS}) == 8
    named = find_operation("lamp turned anticlockwise from the left or right")
    lamp = named.transform(40.0, 40.0)
    assert (lamp.start, lamp.clockwise, lamp.degrees_range) == (0.0, False, (40.0, 40.0))
    assert named.meaning == "the lamp that stood at the left or right was turned anticlockwise about the part"
