"""Dust, hairs and droplets, written again slowly."""

import math

import numpy as np
import pytest

from inspection.operations.dirt import Droplets, Dust, Hairs
from tests.inspection.operations.trial_images import (
    applied,
    close,
    constant,
    distance,
    middles,
    stark,
    textured,
)


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


def fibres(rng: np.random.Generator, share: float) -> list[tuple[float, float, list[tuple[float, float]]]]:
    """Width, light lost, and points half a pixel apart of the fibres on an image of 24 x 30 pixels."""
    left, drawn = share * 24 * 30, []
    while left > 0:
        width, steps = rng.uniform(0.03, 0.08) * 24, math.ceil(rng.uniform(0.3, 0.6) * 24 * 2)
        y, x = rng.uniform(-0.5, 23.5), rng.uniform(-0.5, 29.5)
        first, turn, curl, phase = (
            math.radians(rng.uniform(*each)) for each in [(0, 360), (-200, 200), (-60, 60), (0, 360)]
        )
        points = []
        for step in range(steps):
            if -0.5 <= y < 23.5 and -0.5 <= x < 29.5:
                points.append((y, x))
            way = step / steps
            heading = first + turn * way + curl * math.sin(2 * math.pi * way + phase)
            y, x = y + math.sin(heading) / 2, x + math.cos(heading) / 2
        drawn.append((width, rng.uniform(0.5, 0.9), points[: math.ceil(left / (width / 2))]))
        left -= width / 2 * len(points)
    return drawn


def test_hairs_written_again_slowly() -> None:
    image = stark(24, 30, 3)
    for seed in range(3):
        changed, drawn = applied(Hairs((0.1, 0.15), (0.3, 0.6), (0.03, 0.08), p=1.0), image, seed)
        hairs = fibres(np.random.default_rng(drawn["seed"]), drawn["share"])
        assert len(hairs) > 3
        wanted = image.astype(float)
        for y, x, _, _ in middles(24, 30):
            for width, lost, points in hairs:
                near = min(math.hypot(y - row, x - column) for row, column in points)
                wanted[y, x] *= 1 - lost * min(max(width / 2 + 0.5 - near, 0), width, 1)
        assert close(changed, wanted)


@pytest.mark.parametrize("share", [0.005, 0.02, 0.05])
@pytest.mark.parametrize("side", [64, 192])
def test_hairs_cover_their_share(share: float, side: int) -> None:
    hairs, image = Hairs((share, share), p=1.0), constant(200, side, side)
    lost = [1 - applied(hairs, image, seed)[0].mean() / 200 for seed in range(40)]
    # 0.7 of the light under a fibre; less where they cross and curl in, more for their ends.
    assert np.mean(lost) == pytest.approx(0.7 * share, rel=0.1)


def test_more_hairs_are_added_to_the_same_ones() -> None:
    some, more = (
        applied(Hairs((share, share), p=1.0), constant(200, 96, 96), 5)[0] for share in (0.01, 0.03)
    )
    assert np.all(more <= some)
    assert np.mean(some < 200) * 2 < np.mean(more < 200) < 0.3


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
