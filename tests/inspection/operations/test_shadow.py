"""Shadows, by hand or written again slowly."""

import math

import numpy as np

from inspection.operations.catalogue import find_operation
from inspection.operations.shadow import ShadowBand, ShadowEdge
from tests.inspection.operations.trial_images import applied, close, constant, middles, stark


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


def test_shadow_band_written_again_slowly() -> None:
    image = stark(31, 27, 3)
    for seed in range(4):
        changed, drawn = applied(ShadowBand((1.0, 2.0), p=1.0), image, seed)
        assert 0.1 <= drawn["width"] <= 0.3
        wanted = image.astype(float)
        for y, x, down, across in middles(31, 27):
            turn = math.radians(drawn["angle"])
            away = down * math.cos(turn) - across * math.sin(turn) - drawn["place"] * 27
            edge = max(drawn["softness"] * 27, 1)
            shade = min(max((drawn["width"] * 27 / 2 - abs(away)) / edge + 0.5, 0), 1)
            wanted[y, x] *= 1 - shade + shade * 2 ** -drawn["stops"]
        assert close(changed, wanted)


def test_shadow_band_by_hand() -> None:
    band = ShadowBand(p=1.0)
    changed = band.apply(constant(120, 20, 20), stops=1.0, width=0.3, softness=0.2, angle=0.0, place=0.025)
    # Its middle is row 10, half a row below the image's; 6 rows wide, with ramps over 4 rows.
    rows = [120] * 6 + [105, 90, 75, 60, 60, 60, 75, 90, 105] + [120] * 5
    assert np.array_equal(changed[:, :, 0], np.repeat(np.array(rows, np.uint8)[:, None], 20, axis=1))


def test_shadow_band_draws_every_direction_and_place() -> None:
    drawn = [applied(ShadowBand(p=1.0), constant(9), seed)[1] for seed in range(200)]
    assert np.histogram([each["angle"] for each in drawn], bins=4, range=(0, 180))[0].min() > 25
    assert np.histogram([each["place"] for each in drawn], bins=4, range=(-0.35, 0.35))[0].min() > 25


def test_shadow_band_is_as_dark_as_its_stops() -> None:
    for seed in range(8):
        changed = find_operation("shadow band").apply(constant(120, 96, 96), 1.0, seed)
        assert changed.min() == 60
        assert np.mean(changed == 120) > 0.4
