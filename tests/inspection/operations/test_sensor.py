"""Noise and compression, by hand."""

import math

import cv2
import numpy as np
import pytest

from inspection.operations.catalogue import find_operation
from inspection.operations.sensor import PhotonNoise, Posterising
from tests.inspection.operations.trial_images import applied, constant, textured


@pytest.mark.parametrize(("grey", "share"), [(0, 0.0), (64, 0.501), (128, 0.7085)])
def test_photon_noise_grows_with_the_root_of_the_light(grey: int, share: float) -> None:
    changed, _ = applied(PhotonNoise((0.06, 0.06), p=1.0), constant(grey, 128, 128, 3))
    assert changed.std() == pytest.approx(255 * 0.06 * share, rel=0.02)
    assert changed.mean() == pytest.approx(grey, abs=0.2)
    assert grey == 0 or abs(np.corrcoef(changed[..., 0].ravel(), changed[..., 1].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize(
    ("bits", "after"),
    [
        (0.0, [0, 1, 7, 8, 100, 128, 200, 255]),
        (1.0, [0, 2, 8, 8, 100, 128, 200, 255]),  # 256 is clipped
        (4.0, [0, 0, 0, 16, 96, 128, 208, 255]),  # 100 / 16 = 6.25, 200 / 16 = 12.5
        (6.0, [0, 0, 0, 0, 128, 128, 192, 255]),
        (8.0, [0, 0, 0, 0, 0, 255, 255, 255]),
        (math.log2(10), [0, 0, 10, 10, 100, 130, 200, 255]),
    ],
)
def test_posterising_by_hand(bits: float, after: list[int]) -> None:
    image = np.array([[0, 1, 7, 8, 100, 128, 200, 255]], np.uint8)
    assert Posterising(p=1.0).apply(image, bits=bits).tolist() == [after]


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
