"""Labelled images in memory: decoded in order, drawn the same for the same seed."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from fmi_engine.classifier import Preprocessing
from inspection.errors import ImageError
from inspection.inputs.images import write_image
from inspection.inputs.labelled import Labelled, evenly, load_images, sample

PREPROCESSING = Preprocessing(16, 16, 1, (0.5,), (0.25,))


def test_images_are_decoded_in_order_at_the_networks_size(tmp_path: Path) -> None:
    for level in range(20):
        write_image(tmp_path / f"{level}.png", np.full((8, 4, 1), 10 * level, np.uint8))
    counted: list[int] = []
    images = load_images([tmp_path / f"{level}.png" for level in range(20)], PREPROCESSING, counted.append)
    expected = np.broadcast_to(10 * np.arange(20, dtype=np.uint8)[:, None, None, None], (20, 16, 16, 1))
    np.testing.assert_array_equal(images, expected)
    assert sum(counted) == 20


def test_no_images_are_an_empty_set() -> None:
    assert load_images([], PREPROCESSING).shape == (0, 16, 16, 1)


def test_an_image_that_is_missing_stops_the_loading(tmp_path: Path) -> None:
    write_image(tmp_path / "0.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(ImageError, match=r"1\.png"):
        load_images([tmp_path / "0.png", tmp_path / "1.png"], PREPROCESSING)


def test_labelled_images_stay_with_their_labels() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 1), dtype=np.uint8)
    data = Labelled(noise, np.arange(6) % 2)
    some = data.subset(np.array([4, 1]))
    assert some.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(some.images, data.images[[4, 1]])
    masked = data.subset(data.labels == 1)
    np.testing.assert_array_equal(masked.images, data.images[1::2])


def test_few_things_are_taken_whole() -> None:
    assert sample(5, 5, 0).tolist() == [0, 1, 2, 3, 4]
    assert sample(3, 5, 0).tolist() == [0, 1, 2]
    assert sample(0, 5, 0).tolist() == []


def test_of_many_things_a_sorted_sample_without_repeats() -> None:
    drawn = sample(100, 7, 1).tolist()
    assert len(set(drawn)) == 7
    assert drawn == sorted(drawn)
    assert set(drawn) <= set(range(100))
    assert drawn == sample(100, 7, 1).tolist()
    assert drawn != sample(100, 7, 2).tolist()
    seen = {i for seed in range(100) for i in sample(100, 7, seed).tolist()}
    assert len(seen) > 95  # no position is out of reach


@pytest.mark.parametrize(
    ("labels", "count", "expected"),
    [
        pytest.param([0, 0, 0, 1, 1, 2], 3, [0, 3, 5], id="one of each class"),
        pytest.param([0, 0, 0, 1, 1, 2], 4, [0, 1, 3, 5], id="then a second of the first"),
        pytest.param([0, 0, 0, 1, 1, 2], 5, [0, 1, 3, 4, 5], id="a class that is used up gives no more"),
        pytest.param([0, 0, 0, 1, 1, 2], 9, [0, 1, 2, 3, 4, 5], id="all there are"),
        pytest.param([2, 1, 0], 2, [0, 1], id="the first ones where there are too few"),
        pytest.param([], 3, [], id="none"),
    ],
)
def test_evenly_over_the_classes(labels: list[int], count: int, expected: list[int]) -> None:
    assert evenly(np.array(labels, np.int64), count).tolist() == expected


def test_images_are_known_by_what_they_and_their_labels_hold() -> None:
    images = np.arange(4 * 3 * 2, dtype=np.uint8).reshape(4, 3, 2, 1)
    labels = np.array([0, 1, 1, 0])
    whole = Labelled(images, labels)
    assert whole.digest == sha256(images.tobytes() + labels.tobytes()).digest()
    every_second = Labelled(images[::2], labels[::2])  # no copy: its bytes do not lie side by side
    assert every_second.digest == whole.subset(np.array([0, 2])).digest
    assert Labelled(images, 1 - labels).digest != whole.digest
