"""Brightness, contrast and veils, by hand."""

import numpy as np
import pytest

from inspection.operations.catalogue import find_operation
from inspection.operations.exposure import Veil, noise_of
from tests.inspection.operations.trial_images import (
    constant,
)


@pytest.mark.parametrize(
    ("share", "after"),
    [(0.0, [0, 100, 255]), (0.2, [51, 131, 255]), (0.5, [128, 178, 255]), (1.0, [255] * 3)],
)
def test_a_veil_by_hand(share: float, after: list[int]) -> None:
    image = np.array([[0, 100, 255]], np.uint8)
    assert Veil(p=1.0).apply(image, share=share).tolist() == [after]


def test_light_that_the_lens_scatters_keeps_the_mean_of_each_channel() -> None:
    image = np.array([[[0, 100, 40], [200, 140, 40]]], np.uint8)
    changed = Veil(white=False, p=1.0).apply(image, share=0.25)
    assert changed.tolist() == [[[25, 105, 40], [175, 135, 40]]]
    grey = Veil(white=False, p=1.0).apply(image[:, :, 0], share=1.0)
    assert grey.tolist() == [[100, 100]]


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


def test_sharpening_by_hand() -> None:
    image = constant(90, 5, 5)
    image[2, 2] = 100
    changed = find_operation("sharpening").apply(image, 0.1, 0)[:, :, 0]
    # 0.1 of eight times the pixel less its eight neighbours: + 8 in the middle, - 1 around it.
    wanted = np.pad(np.pad([[108]], 1, constant_values=89), 1, constant_values=90)
    assert np.array_equal(changed, wanted)


def test_a_dimmer_lamp_leaves_the_cameras_noise() -> None:
    """Noise of 6 grey levels on 160: at half the light 80, and still 6; plain scaling would leave 3."""
    image = np.rint(np.random.default_rng(0).normal(160, 6, (96, 96, 1))).astype(np.uint8)
    found = find_operation("dimmer lamp at the camera's noise").apply(image, 1.0, 0)
    plain = find_operation("dimmer lamp").apply(image, 1.0, 0)
    assert found.mean() == pytest.approx(80, abs=0.5)
    assert found.std() == pytest.approx(6, rel=0.08)
    assert plain.std() == pytest.approx(3, rel=0.08)


def test_noise_is_told_from_a_brushed_surface() -> None:
    """Stripes along the rows differ from row to row only."""
    rng = np.random.default_rng(0)
    stripes = 120 + 30 * rng.standard_normal((96, 1, 1))
    image = np.clip(np.rint(stripes + 4 * rng.standard_normal((96, 96, 1))), 0, 255).astype(np.uint8)
    assert noise_of(image) == pytest.approx(4, rel=0.15)
    assert noise_of(np.full((1, 8, 1), 9, np.uint8)) == 0
