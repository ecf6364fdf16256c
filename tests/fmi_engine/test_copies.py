"""The likest place of real images, against a slow loop."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fmi_engine.copies import FINEST, LEAST, Copies
from fmi_engine.types import FloatArray
from tests.fmi_engine.tiny import noise


def slow(images: NDArray[np.uint8], window: FloatArray) -> list[float]:
    """The highest correlation with any place of each image, one place at a time."""
    pattern = window.mean(2).astype(np.float64)
    pattern = pattern - pattern.mean()
    side, found = len(pattern), []
    for image in images.mean(3) / 255:
        best = -1.0
        for top in range(image.shape[0] - side + 1):
            for left in range(image.shape[1] - side + 1):
                place = image[top : top + side, left : left + side]
                place = place - place.mean()
                if place.std() > 0.01:
                    best = max(best, (place * pattern).mean() / place.std() / pattern.std())
        found.append(float(best))
    return found


def cut(images: NDArray[np.uint8], image: int, top: int, left: int, side: int) -> FloatArray:
    return np.asarray(images[image, top : top + side, left : left + side] / 255, np.float32)


@pytest.mark.parametrize(("channels", "side"), [(1, 12), (3, 12), (3, 23)])
def test_the_nearest_place_is_that_of_a_slow_loop(channels: int, side: int) -> None:
    images, copies = noise(3, 30, channels, seed=1), Copies(noise(3, 30, channels, seed=1), side)
    for seed in range(3):
        window = noise(1, side, channels, seed=10 + seed)[0] / np.float32(255)
        places = slow(images, window)
        assert copies.nearest(window) == pytest.approx(max(places), abs=1e-4)
        for without in range(3):
            rest = [each for i, each in enumerate(places) if i != without]
            assert copies.nearest(window, without) == pytest.approx(max(rest), abs=1e-4)
    assert len(copies) == 3


def test_the_nearest_place_is_that_of_opencv() -> None:
    images, copies = noise(5, 40, 1, seed=2), Copies(noise(5, 40, 1, seed=2), 14)
    window = noise(1, 14, 1, seed=9)[0] / np.float32(255)
    found = [
        cv2.matchTemplate(image[..., 0].astype(np.float32) / 255, window[..., 0], cv2.TM_CCOEFF_NORMED).max()
        for image in images
    ]
    assert copies.nearest(window) == pytest.approx(max(found), abs=1e-4)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (28, 28), (7, 19)])
def test_a_part_of_an_image_is_a_copy_wherever_it_lies_and_however_lit(top: int, left: int) -> None:
    images = noise(4, 40, 3, seed=3)
    copies, window = Copies(images, 12), cut(images, 2, top, left, 12)
    assert copies.nearest(window) == pytest.approx(1, abs=1e-3)
    assert copies.nearest(0.3 * window + 0.2) == pytest.approx(1, abs=1e-3)
    assert copies.nearest(1 - window) < 0.7  # a negative is none
    assert copies.nearest(window, without=2) < 0.7


def test_of_more_images_than_are_compared_at_a_time_the_right_one_does_not_count() -> None:
    images = noise(67, 16, 1, seed=4)
    copies = Copies(images, 12)
    assert len(copies) == 67
    for image in (0, 63, 64, 66):
        window = cut(images, image, 3, 1, 12)
        assert copies.nearest(window) == pytest.approx(1, abs=1e-3)
        assert copies.nearest(window, without=image) < 0.7


def test_a_flat_window_is_like_nothing_and_a_flat_place_is_none() -> None:
    images = noise(2, 24, 1, seed=5)
    assert Copies(images, 12).nearest(np.full((12, 12, 1), 0.4, np.float32)) == -1
    faint = 0.4 + 0.001 * cut(images, 0, 0, 0, 12)
    assert Copies(images, 12).nearest(faint) == -1
    flat = np.full((2, 24, 24, 1), 90, np.uint8)
    window = cut(images, 0, 2, 3, 12)
    assert Copies(flat, 12).nearest(window) == 0  # nothing there to be like
    flat[1, 4:16, 5:17] = images[0, 2:14, 3:15]
    assert Copies(flat, 12).nearest(window) == pytest.approx(1, abs=1e-3)


def test_an_image_no_larger_than_the_window_is_one_place() -> None:
    images = noise(1, 12, 1, seed=6)
    assert Copies(images, 12).nearest(cut(images, 0, 0, 0, 12)) == pytest.approx(1, abs=1e-4)


def test_large_images_are_compared_at_a_coarser_scale() -> None:
    """Of 192 pixels a side two are one, and the window has 16 of them."""
    images = noise(2, 2 * FINEST, 1, seed=7)
    copies = Copies(images, 32)
    halves = images.reshape(2, FINEST, 2, FINEST, 2, 1).mean((2, 4))
    window = noise(1, 32, 1, seed=8)[0] / np.float32(255)
    coarse = window.reshape(16, 2, 16, 2, 1).mean((1, 3))
    found = [
        cv2.matchTemplate(
            (image[..., 0] / 255).astype(np.float32), coarse[..., 0], cv2.TM_CCOEFF_NORMED
        ).max()
        for image in halves
    ]
    assert copies.nearest(window) == pytest.approx(max(found), abs=1e-3)
    assert copies.nearest(cut(images, 1, 64, 100, 32)) == pytest.approx(1, abs=1e-3)


def test_a_small_window_is_never_made_coarser_than_it_can_be_told() -> None:
    """Of 960 pixels ten would be one, and a window of 30 would have three: it has 15 of two."""
    images = np.zeros((1, 10 * FINEST, 40, 1), np.uint8)
    images[0, 100:130, 4:34] = noise(1, 30, 1, seed=9)[0]
    copies = Copies(images, 30)
    assert 30 // LEAST == 2
    assert copies.nearest(cut(images, 0, 100, 4, 30)) == pytest.approx(1, abs=1e-3)
    other = noise(1, 30, 1, seed=10)[0] / np.float32(255)
    assert copies.nearest(other) < 0.9  # at 3 x 3 much would be alike
