import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fmi_engine.classifier import Classifier
from fmi_engine.patches import Box, Peaks, boxes, exciting_patches, side_of
from fmi_engine.types import FilterRef, Layer
from tests.fmi_engine.tiny import hooks, plain

pytestmark = pytest.mark.numeric


class Mosaic(nn.Module):
    """Filter 0 is the mean of each tile, filter 1 the tile's darkness (1 - mean), after a ReLU."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.tiles = nn.Sequential(nn.Conv2d(1, 2, stride, stride=stride), nn.ReLU())
        share = 1 / stride**2
        with torch.no_grad():
            self.get_parameter("tiles.0.weight").copy_(torch.tensor([share, -share])[:, None, None, None])
            self.get_parameter("tiles.0.bias").copy_(torch.tensor([0.0, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.tiles(x).mean((2, 3))
        return logits


def mosaic(side: int, stride: int) -> tuple[Classifier, Layer]:
    classifier = Classifier(Mosaic(stride), ["bright", "dark"], plain(side, 1))
    return classifier, Layer("tiles", 2, side // stride, side // stride, nonnegative=True)


def spots(side: int, *planted: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Dim images, numbered by their background, each with 4 x 4 spots (image, row, column, level)."""
    count = 1 + max(image for image, *_ in planted)
    images = (
        np.zeros((count, side, side, 1), np.uint8) + np.arange(count, dtype=np.uint8)[:, None, None, None]
    )
    for image, row, column, level in planted:
        images[image, row : row + 4, column : column + 4] = level
    return images


def test_the_crop_is_centred_on_the_planted_spot_and_tells_its_strength() -> None:
    classifier, layer = mosaic(64, 4)
    images = spots(64, (0, 40, 28, 204))  # tile (10, 7): centre 42, 30; 24 pixels, the smallest crop
    (patch,) = exciting_patches(classifier, layer, [0], images, count=3)[0]
    assert patch.filter == FilterRef("tiles", 0)
    assert patch.image == 0
    assert patch.activation == pytest.approx(0.8)
    assert np.array_equal(patch.pixels, images[0, 30:54, 18:42])
    assert (patch.pixels[10:14, 10:14] == 204).all()


def test_images_come_strongest_first_and_no_more_than_asked_for() -> None:
    classifier, layer = mosaic(64, 4)
    images = spots(64, (0, 8, 8, 100), (1, 20, 20, 250), (2, 40, 40, 30), (3, 12, 48, 200), (4, 0, 0, 150))
    for batch_size in (2, 32):
        patches = exciting_patches(classifier, layer, [0], images, 3, batch_size)[0]
        assert [patch.image for patch in patches] == [1, 3, 4]
        assert [patch.activation * 255 for patch in patches] == pytest.approx([250, 200, 150], rel=1e-5)


def test_an_image_gives_one_crop_however_many_spots_it_has() -> None:
    classifier, layer = mosaic(64, 4)
    images = spots(64, (0, 8, 8, 250), (0, 40, 40, 240), (1, 20, 20, 60))
    patches = exciting_patches(classifier, layer, [0], images, 5)[0]
    assert [patch.image for patch in patches] == [0, 1]
    assert np.array_equal(patches[0].pixels, images[0, 0:24, 0:24])  # around the stronger spot


def test_equal_images_keep_their_order() -> None:
    classifier, layer = mosaic(64, 4)
    images = np.zeros((3, 64, 64, 1), np.uint8)
    images[:, 8:12, 8:12] = 99
    assert [p.image for p in exciting_patches(classifier, layer, [0], images, 3)[0]] == [0, 1, 2]


def test_each_filter_has_patches_of_its_own() -> None:
    classifier, layer = mosaic(64, 4)
    images = np.full((2, 64, 64, 1), 128, np.uint8)
    images[0, 8:12, 8:12], images[1, 40:44, 40:44] = 255, 0
    found = exciting_patches(classifier, layer, [1, 0], images, 1)
    assert list(found) == [1, 0]
    for channel, image in ((0, 0), (1, 1)):
        (patch,) = found[channel]
        assert (patch.filter, patch.image) == (FilterRef("tiles", channel), image)
        assert patch.activation == pytest.approx(1)


@pytest.mark.parametrize(
    ("row", "column", "top", "left"), [(0, 0, 0, 0), (60, 60, 40, 40), (0, 60, 0, 40), (32, 0, 22, 0)]
)
def test_at_the_border_the_crop_keeps_its_size(row: int, column: int, top: int, left: int) -> None:
    classifier, layer = mosaic(64, 4)
    images = spots(64, (0, row, column, 255))
    (patch,) = exciting_patches(classifier, layer, [0], images, 1)[0]
    assert np.array_equal(patch.pixels, images[0, top : top + 24, left : left + 24])
    assert (patch.pixels == 255).sum() == 16


def test_a_crop_spans_five_positions_where_they_are_coarse() -> None:
    classifier, layer = mosaic(96, 8)
    images = spots(96, (0, 48, 48, 255))  # tile (6, 6): centre 52, 52; 40 pixels
    (patch,) = exciting_patches(classifier, layer, [0], images, 1)[0]
    assert np.array_equal(patch.pixels, images[0, 32:72, 32:72])


def test_a_crop_is_never_larger_than_the_image() -> None:
    classifier, layer = mosaic(16, 4)
    images = spots(16, (0, 0, 0, 255))
    (patch,) = exciting_patches(classifier, layer, [0], images, 1)[0]
    assert np.array_equal(patch.pixels, images[0])


@pytest.mark.parametrize(
    ("row", "column", "top", "left"),
    [(4, 5, 4, 6), (0, 9, 0, 10), (9, 0, 10, 0), (1, 2, 0, 0), (8, 7, 10, 10)],
)
def test_a_crop_is_centred_as_nearly_as_the_border_allows(row: int, column: int, top: int, left: int) -> None:
    """The middles of positions of two pixels are at 1, 3, ..., 19, and a crop of five is 10 pixels."""
    image, layer = np.arange(400).astype(np.uint8).reshape(1, 20, 20, 1), Layer("l", 1, 10, 10, True)
    peaks = Peaks(np.array([[0.5]], np.float32), np.array([[10 * row + column]]))
    (box,) = boxes(layer, [3], image, 1, peaks, smallest=8)[3]
    assert (box.side, box.image, box.activation) == (10, 0, 0.5)  # five positions of two pixels
    assert (box.top, box.left) == (top, left)
    assert np.array_equal(box.of(image), image[0, top : top + 10, left : left + 10])


def test_a_box_cuts_its_own_image() -> None:
    images = np.arange(2 * 10 * 10, dtype=np.uint8).reshape(2, 10, 10, 1)
    assert np.array_equal(Box(1, 6, 5, 4, 0.0).of(images), images[1, 6:10, 5:9])


def test_boxes_come_strongest_first_column_by_column_of_the_peaks() -> None:
    images, layer = np.zeros((3, 32, 32, 1), np.uint8), Layer("l", 9, 32, 32, True)
    peaks = Peaks(
        np.array([[1, 5], [3, 5], [2, 7]], np.float32),
        np.array([[0, 0], [32 * 16 + 20, 0], [32 * 31 + 31, 0]]),
    )
    found = boxes(layer, [8, 2], images, 2, peaks, smallest=12)
    assert [(b.image, b.top, b.left, b.activation) for b in found[8]] == [(1, 10, 14, 3), (2, 20, 20, 2)]
    assert [b.image for b in found[2]] == [2, 0]  # of equals the first
    assert {b.side for mine in found.values() for b in mine} == {12}


@pytest.mark.parametrize(
    ("side", "grid", "smallest", "expected"),
    [(64, 16, 24, 24), (64, 16, 12, 20), (64, 32, 12, 12), (64, 4, 12, 64), (16, 16, 24, 16)],
)
def test_the_side_of_a_crop_is_five_positions_within_its_bounds(
    side: int, grid: int, smallest: int, expected: int
) -> None:
    layer = Layer("l", 1, grid, grid, True)
    assert side_of(np.zeros((side, side, 1), np.uint8), layer, smallest) == expected


def test_looking_leaves_no_hook() -> None:
    classifier, layer = mosaic(16, 4)
    exciting_patches(classifier, layer, [0, 1], spots(16, (0, 0, 0, 255)), 1)
    assert hooks(classifier.network) == 0
