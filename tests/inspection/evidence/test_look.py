"""The look of images: numbers by hand, and what a change of light does to them."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fmi_engine.texture import ANGULAR_BINS, RADIAL_BINS, spectral_statistics
from inspection.evidence.look import describe_images, normal_looks
from inspection.inputs.labelled import Labelled


def striped(period: int, brightness: int, count: int) -> NDArray[np.uint8]:
    rows = np.where(np.arange(32) % period < period // 2, brightness + 20, brightness - 20)
    image = np.repeat(rows[:, None], 32, 1)[None, :, :, None]
    noise = np.random.default_rng(period).integers(0, 12, (count, 32, 32, 1))
    gain = 5 * np.arange(count)[:, None, None, None]  # brightness varies between images, too
    return np.asarray(image + noise + gain, np.uint8)


def test_descriptors_of_a_small_image_by_hand() -> None:
    """Columns of 40 and 80 in turn, a bright corner, 32 x 32: every group of entries counted anew."""
    image = np.tile(np.array([40, 80], np.uint8), (32, 16))
    image[:8, :8] = 255
    grey = image / 255
    spectrum = spectral_statistics(grey[None].astype(np.float32))
    rings = spectrum[:-1].reshape(RADIAL_BINS, ANGULAR_BINS)

    def blocks(count: int) -> NDArray[np.float64]:
        side = 32 // count
        means = [
            [grey[side * i :, side * j :][:side, :side].mean() for j in range(count)] for i in range(count)
        ]
        return np.array(means)

    stops = np.log((blocks(8) + 1 / 255) / (np.median(blocks(8)) + 1 / 255))
    padded = np.pad(grey, 1, "reflect")  # OpenCV's border, which does not repeat the edge
    edges = (
        sum(padded[1 + i : 33 + i, 1 + j : 33 + j] for i, j in ((0, 1), (1, 0), (0, -1), (-1, 0))) - 4 * grey
    )[4:-4, 4:-4]  # but for half a window of 9
    spread, middle = edges.std() + 1e-3, np.median(np.abs(edges)) + 1e-3
    across, down = np.abs(np.diff(grey, axis=1)), np.abs(np.diff(grey, axis=0))
    seams = [7, 15, 23]
    rest = [i for i in range(31) if i not in seams]
    lines = []
    for means in (grey.mean(1), grey.mean(0)):
        around = np.pad(means, 4, "reflect")
        lines.append(np.std([m - around[i : i + 9].mean() for i, m in enumerate(means)]))
    expected = [
        *spectrum,
        *rings[RADIAL_BINS // 2 :].std(1),
        *np.log((blocks(4).ravel() + 1 / 255) / (grey.mean() + 1 / 255)),
        *(stops.std(), stops.max(), stops.min()),
        *(4 * np.quantile(grey, (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99))),
        *np.log([64 / 1024 + 1 / 255, 1 / 255]),  # a corner of 8 x 8 is burnt out, nothing is black
        *np.log([spread, middle, spread / middle, ((edges / spread) ** 4).mean() + 1e-3]),
        np.clip(((edges / spread) ** 3).mean(), -3, 3),
        np.log((across[:, seams].mean() + 1 / 255) / (across[:, rest].mean() + 1 / 255)),
        np.log((down[seams].mean() + 1 / 255) / (down[rest].mean() + 1 / 255)),
        *np.log([across.mean() + 1 / 255, down.mean() + 1 / 255]),
        np.log((across < 1 / 255).mean() + 1 / 255),
        *np.log(np.array(lines) + 1e-3),
    ]
    np.testing.assert_allclose(describe_images(image[None, ..., None])[0], expected, rtol=1e-3, atol=1e-3)


def test_colour_is_described_against_green() -> None:
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 102, 51, 204  # 0.4, 0.2 and 0.8 of full scale
    one = 1 / 255
    by_hand = np.log([(0.4 + one) / (0.2 + one), (0.8 + one) / (0.2 + one), 0.6 + one])
    np.testing.assert_allclose(describe_images(image)[0, -3:], by_hand, rtol=1e-4)


def test_every_group_of_entries_weighs_alike() -> None:
    grey = normal_looks(Labelled(striped(4, 100, 9), np.zeros(9, np.int64)), 1, 3)
    sizes = [RADIAL_BINS * ANGULAR_BINS, 1, RADIAL_BINS // 2, 16, 3, 9, 5, 5, 2]
    totals = [part.sum() for part in np.split(grey.weights, np.cumsum(sizes)[:-1])]
    np.testing.assert_allclose(totals, 1 / 9, rtol=1e-5)
    assert len(grey.weights) == sum(sizes)


def test_the_normal_look_of_each_class_has_mean_zero_and_spread_one() -> None:
    images = np.concatenate([striped(4, 100, 9), striped(8, 60, 9)])
    labels = np.repeat(np.array([0, 1]), 9)
    looks = normal_looks(Labelled(images, labels), 2, minimum_per_class=3)
    shift = looks.standardise(images, labels)
    np.testing.assert_allclose([shift[labels == t].mean(0) for t in (0, 1)], 0, atol=1e-3)
    varying = shift[:, looks.sigma > looks.sigma.min()]  # the others stand at the floor of sigma
    np.testing.assert_allclose(varying.var(0), 1, atol=1e-3)  # sigma is the spread within the classes


def test_a_darker_image_shifts_brightness_by_as_many_sigmas_as_by_hand() -> None:
    images = striped(4, 100, 9)
    labels = np.zeros(9, np.int64)
    looks = normal_looks(Labelled(images, labels), 1, minimum_per_class=3)
    means = images.reshape(9, -1).mean(1) / 255
    darker = (images // 2).astype(np.uint8)
    by_hand = (darker.reshape(9, -1).mean(1) / 255 - means.mean()) / means.std()
    np.testing.assert_allclose(
        looks.standardise(darker, labels)[:, RADIAL_BINS * ANGULAR_BINS], by_hand, rtol=1e-3
    )


def test_what_a_blur_takes_to_lie_beyond_the_border_is_no_look() -> None:
    """The entries of the Laplacian: a mirror with the last pixel doubled, one without, and a black frame."""
    images = np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8)
    images[:, :, :2] = 20
    borders = (cv2.BORDER_REFLECT, cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT)
    looks = [
        describe_images(
            np.stack([cv2.GaussianBlur(each, (5, 5), 1, borderType=border) for each in images])[..., None]
        )
        for border in borders
    ]
    start = RADIAL_BINS * ANGULAR_BINS + 1 + RADIAL_BINS // 2 + 16 + 3 + 9
    specks = np.stack(looks)[:, :, start : start + 5]
    assert np.abs(specks - specks[0]).max() < 1e-6


def test_a_class_with_too_few_images_takes_the_look_of_all() -> None:
    images = np.concatenate([striped(4, 100, 9), striped(8, 60, 1)])
    labels = np.array([0] * 9 + [1])
    looks = normal_looks(Labelled(images, labels), 2, minimum_per_class=3)
    np.testing.assert_allclose(looks.mean[1], describe_images(images).mean(0), rtol=1e-5)


@pytest.mark.parametrize("shape", [(24, 32, 3), (64, 64, 1), (33, 35, 1)])
def test_an_image_is_described_the_same_alone_and_among_others(shape: tuple[int, int, int]) -> None:
    """To the last bit, for what is measured is kept under a hash of it; one twice, some known from before."""
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (40, *shape), np.uint8)
    images[7] = images[30]
    alone = [describe_images(image[None])[0] for image in images[:10]]
    together = describe_images(images)
    np.testing.assert_array_equal(together[:10], alone)
    np.testing.assert_array_equal(together[7], together[30])
    again = describe_images(images[::-1])
    np.testing.assert_array_equal(again[::-1], together)
