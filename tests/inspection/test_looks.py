"""The look of images: numbers by hand, and what a change of light does to them."""

import numpy as np
from numpy.typing import NDArray

from fmi_engine.texture import spectral_statistics
from inspection.looks import describe_images, normal_looks
from inspection.training import Labelled


def striped(period: int, brightness: int, count: int) -> NDArray[np.uint8]:
    rows = np.where(np.arange(32) % period < period // 2, brightness + 20, brightness - 20)
    image = np.repeat(rows[:, None], 32, 1)[None, :, :, None]
    noise = np.random.default_rng(period).integers(0, 12, (count, 32, 32, 1))
    gain = 5 * np.arange(count)[:, None, None, None]  # brightness varies between images, too
    return np.asarray(image + noise + gain, np.uint8)


def test_descriptors_are_those_of_the_engine_in_order() -> None:
    images = np.concatenate([striped(4, 100, 1), striped(8, 60, 1)])
    by_hand = [spectral_statistics(image[None, ..., 0].astype(np.float32) / 255) for image in images]
    np.testing.assert_allclose(describe_images(images), by_hand)


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
    np.testing.assert_allclose(looks.standardise(darker, labels)[:, -1], by_hand, rtol=1e-3)


def test_a_class_with_too_few_images_takes_the_look_of_all() -> None:
    images = np.concatenate([striped(4, 100, 9), striped(8, 60, 1)])
    labels = np.array([0] * 9 + [1])
    looks = normal_looks(Labelled(images, labels), 2, minimum_per_class=3)
    np.testing.assert_allclose(looks.mean[1], describe_images(images).mean(0), rtol=1e-5)
