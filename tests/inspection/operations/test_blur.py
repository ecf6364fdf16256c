"""Defocus and motion blur, by hand or written again slowly."""

import math

import cv2
import numpy as np
import pytest

from inspection.operations.blur import DiscBlur, LineBlur, SpinBlur, TiltedFocus, disc_kernel, line_kernel
from inspection.operations.catalogue import find_operation
from tests.inspection.operations.trial_images import applied, between, constant, distance, middles, textured


def test_line_kernel_by_hand() -> None:
    assert line_kernel(1.0, 0.0) == pytest.approx(np.array([[0, 0, 0], [1 / 8, 3 / 4, 1 / 8], [0, 0, 0]]))
    # A way of 3 pixels covers the middle pixel whole, its neighbours to 7/8, the ones beyond to 1/8.
    upright = line_kernel(3.0, 90.0)
    assert upright[:, 2] == pytest.approx(np.array([1, 7, 8, 7, 1]) / 24, abs=5e-4)
    assert upright.sum() == pytest.approx(1)


@pytest.mark.parametrize(("length", "angle"), [(0.0, 17.0), (2.5, 17.0), (7.0, 69.0), (12.0, 160.0)])
def test_line_kernel_has_the_length_and_direction(length: float, angle: float) -> None:
    kernel = line_kernel(length, angle).astype(float)
    half = len(kernel) // 2
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    turn = math.radians(angle)
    along = x * math.cos(turn) + y * math.sin(turn)
    across = y * math.cos(turn) - x * math.sin(turn)
    # A line of a length has the variance length^2 / 12; sharing among pixels adds up to a quarter.
    assert 0 <= (kernel * along**2).sum() - length**2 / 12 < 0.26
    assert (kernel * across**2).sum() < 0.26


def test_a_fading_line_has_the_variance_of_a_triangle() -> None:
    kernel = line_kernel(12.0, 0.0, fading=True).astype(float)
    half = len(kernel) // 2
    along = np.arange(-half, half + 1)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert 0 <= (kernel.sum(0) * along**2).sum() - 12.0**2 / 24 < 0.26
    assert kernel[half, half + 3] == pytest.approx(kernel[half, half] / 2, rel=0.1)


def test_line_blur_draws_its_angle_from_its_range() -> None:
    blur = LineBlur((3.0, 5.0), (20.0, 40.0), p=1.0)
    drawn = [applied(blur, constant(9), seed)[1] for seed in range(50)]
    assert all(20 <= each["angle"] <= 40 and 3 <= each["length"] <= 5 for each in drawn)
    assert max(each["angle"] for each in drawn) - min(each["angle"] for each in drawn) > 15


def test_disc_kernel_by_hand() -> None:
    for point in (0.0, 0.03, 0.5):
        assert disc_kernel(point).tolist() == [[1.0]]
    # A disc of 1.5 pixels covers the middle pixel and its neighbours whole, the ones at the corners in part.
    kernel = disc_kernel(1.5).astype(float)
    assert kernel.shape == (3, 3)
    assert kernel[1] == pytest.approx(kernel[:, 1])
    assert kernel[1, 1] == pytest.approx(1 / (math.pi * 1.5**2), rel=0.02)
    assert 0.4 < kernel[0, 0] / kernel[1, 1] < 0.6


@pytest.mark.parametrize("radius", [1.0, 2.3, 5.0, 9.4])
def test_disc_kernel_has_the_radius(radius: float) -> None:
    kernel = disc_kernel(radius).astype(float)
    half = len(kernel) // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    # A disc of radius r has the variance r^2 / 4 along each axis; sharing among pixels adds up to a sixth.
    for along in (x, y):
        assert 0 <= (kernel * along**2).sum() - radius**2 / 4 < 1 / 6
    assert (kernel[np.hypot(x, y) > radius + 0.71] == 0).all()


def test_disc_blur_draws_its_radius_from_its_range() -> None:
    drawn = [applied(DiscBlur((2.0, 3.0), p=1.0), constant(9), seed)[1]["radius"] for seed in range(50)]
    assert 2 <= min(drawn) < 2.2 < 2.8 < max(drawn) <= 3


def test_spin_blur_written_again_slowly() -> None:
    image = textured(3)[:21, :16]
    changed = SpinBlur(p=1.0).apply(image, sweep=20.0)
    wanted = np.zeros(image.shape)
    # The corners lie 13.2 pixels from the middle; 20 degrees of that are 4.6 pixels, so 5 turns of 4 degrees.
    for y, x, down, across in middles(21, 16):
        for degrees in (-8, -4, 0, 4, 8):
            turned = complex(across, down) * np.exp(1j * math.radians(degrees))
            wanted[y, x] += between(image, turned.imag + 10, turned.real + 7.5) / 5
    assert np.abs(changed - wanted).max() < 1.2  # OpenCV counts places in 32nds of a pixel


def test_spin_blur_sweeps_its_angle() -> None:
    image = constant(0, 101, 101)
    image[48:53, 88:93] = 255
    changed = SpinBlur(p=1.0).apply(image, sweep=30.0)[:, :, 0].astype(float)
    y, x = np.nonzero(changed > 10)
    angles = np.degrees(np.arctan2(y - 50, x - 50))
    # The spot itself is 5 pixels high at a distance of 40: 7 degrees, and less where it fades.
    assert 30 < angles.max() - angles.min() < 37
    assert angles.max() == pytest.approx(-angles.min(), abs=0.5)
    assert np.all(np.abs(np.hypot(y - 50, x - 50) - 40) < 4)
    assert changed.sum() == pytest.approx(255 * 25, rel=0.03)


def test_spin_blur_leaves_even_light_alone() -> None:
    image = constant(93, 20, 31, 3)
    assert np.array_equal(SpinBlur(p=1.0).apply(image, sweep=9.0), image)


def test_a_tilted_focus_is_sharp_on_one_side_and_blurred_by_sigma_on_the_other() -> None:
    image = np.random.default_rng(0).integers(0, 256, (65, 65, 1), dtype=np.uint8)
    changed = TiltedFocus(p=1.0).apply(image, sigma=3.0, angle=0.0)  # grows to the right
    whole = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 3.0, borderType=cv2.BORDER_REFLECT_101)
    half = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.5, borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_array_equal(changed[:, 0], image[:, 0])
    np.testing.assert_allclose(changed[:, 64, 0], whole.reshape(image.shape)[:, 64, 0], atol=0.51)
    np.testing.assert_allclose(changed[:, 32, 0], half.reshape(image.shape)[:, 32, 0], atol=0.51)
    other = TiltedFocus(p=1.0).apply(image, sigma=3.0, angle=180.0)
    np.testing.assert_array_equal(other[:, 64], image[:, 64])
    assert len({applied(TiltedFocus((3.0, 3.0), p=1.0), image, seed)[0].tobytes() for seed in range(5)}) == 5


def test_defocus_spreads_a_point_into_a_gaussian() -> None:
    image = constant(0, 15, 15)
    image[7, 7] = 255
    changed = find_operation("defocus").apply(image, 1.0, 0)[:, :, 0].astype(float)
    total = sum(math.exp(-(x**2) / 2) for x in range(-3, 4))
    for dx, dy in [(0, 0), (1, 0), (1, 1), (0, 2), (2, 2)]:
        wanted = 255 * math.exp(-(dx**2 + dy**2) / 2) / total**2
        assert abs(changed[7 + dy, 7 + dx] - wanted) <= 0.51


def test_disc_defocus_spreads_a_point_into_a_disc() -> None:
    image = constant(0, 15, 15)
    image[7, 7] = 255
    changed = find_operation("disc defocus").apply(image, 3.0, 0)[:, :, 0].astype(float)
    for dx, dy, share in [(0, 0, 1), (2, 0, 1), (1, 1, 1), (2, 2, 0.5), (4, 0, 0), (3, 3, 0)]:
        assert changed[7 + dy, 7 + dx] == pytest.approx(share * 255 / (math.pi * 9), abs=2)


def test_motion_blur_leaves_even_light_alone() -> None:
    changed = find_operation("motion blur").apply(constant(93, channels=3), 8.0, 0)
    assert np.array_equal(changed, constant(93, channels=3))


def test_each_motion_blur_keeps_what_is_even_along_its_way() -> None:
    rows = np.repeat(textured(1)[:, :1], 96, axis=1)
    columns = rows.transpose(1, 0, 2)
    across, down = find_operation("horizontal motion blur"), find_operation("vertical motion blur")
    assert np.array_equal(across.apply(rows, 6.0, 0), rows)
    assert np.array_equal(down.apply(columns, 6.0, 0), columns)
    assert distance(across.apply(columns, 6.0, 0), columns) > 5
    assert distance(down.apply(rows, 6.0, 0), rows) > 5
