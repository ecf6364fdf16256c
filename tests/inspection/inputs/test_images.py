import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.errors import ImageError
from inspection.inputs.images import IMAGE_SUFFIXES, locate_image, read_image, write_image
from tests.conftest import REPOSITORY
from tests.inspection.inputs.files import NOISE, encoded, saved


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pnm"])
def test_colours_come_in_rgb_order(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a{suffix}", encoded(suffix, NOISE[:, :, ::-1]))
    image = read_image(path, None, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, NOISE)


@pytest.mark.parametrize(
    ("suffix", "written_as"),
    [
        (".jpg", ".jpg"),
        (".jpeg", ".jpeg"),
        (".jpe", ".jpg"),
        (".jfif", ".jpg"),
        (".webp", ".webp"),
        (".jp2", ".jp2"),
    ],
)
def test_lossy_files_keep_the_colour_of_a_flat_picture(tmp_path: Path, suffix: str, written_as: str) -> None:
    flat = np.full((64, 64, 3), (200, 100, 50), np.uint8)
    image = read_image(saved(tmp_path / f"a{suffix}", encoded(written_as, flat[:, :, ::-1])), None, 3)
    assert image.shape == (64, 64, 3)
    assert np.abs(image.astype(int) - flat).max() <= 3


def test_every_suffix_of_the_list_is_tried_here() -> None:
    exact = {".png", ".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pnm", ".pgm", ".pbm"}
    assert set(IMAGE_SUFFIXES) == exact | {".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".jp2"}


def test_a_bitmap_of_two_values(tmp_path: Path) -> None:
    values = np.where(NOISE[:, :, 0] > 99, 255, 0).astype(np.uint8)
    path = saved(tmp_path / "a.pbm", encoded(".pbm", values))
    np.testing.assert_array_equal(read_image(path, None, 1)[:, :, 0], values)


def test_a_grey_file_is_repeated_over_three_channels(tmp_path: Path) -> None:
    grey = NOISE[:, :, 0]
    path = saved(tmp_path / "grey.pgm", encoded(".pgm", grey))
    np.testing.assert_array_equal(read_image(path, None, 1), grey[:, :, None])
    np.testing.assert_array_equal(read_image(path, None, 3), np.stack([grey] * 3, axis=2))


def test_colour_turns_grey_by_the_weights_of_luma(tmp_path: Path) -> None:
    pure = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    path = saved(tmp_path / "pure.png", encoded(".png", pure[:, :, ::-1]))
    # 0.299, 0.587 and 0.114 of 255
    assert read_image(path, None, 1).tolist() == [[[76], [150], [29]]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 257, 4096, 65535], [0, 1, 16, 255]),  # / 257; 4096 / 257 = 15.94
        ([0, 1023, 2048, 4095], [0, 64, 128, 255]),  # * 255 / 4095: 63.70, 127.53
        ([0, 10, 100, 1000], [0, 1, 6, 62]),  # a dim 12-bit image stays dim: 0.62, 6.23, 62.27
    ],
    ids=["16-bit", "12-bit", "dim 12-bit"],
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_files(tmp_path: Path, suffix: str, values: list[int], expected: list[int]) -> None:
    path = saved(tmp_path / f"a{suffix}", encoded(suffix, np.array([values], np.uint16)))
    assert read_image(path, None, 1)[0, :, 0].tolist() == expected


def test_alpha_is_composited_over_black(tmp_path: Path) -> None:
    colour = [50, 100, 200]  # BGR
    pixels = np.array([[[*colour, 255], [*colour, 128], [*colour, 0]]], np.uint8)
    path = saved(tmp_path / "a.png", encoded(".png", pixels))
    # 200 * 128 / 255 = 100.39, 100 * 128 / 255 = 50.20, 50 * 128 / 255 = 25.10
    assert read_image(path, None, 3).tolist() == [[[200, 100, 50], [100, 50, 25], [0, 0, 0]]]


def test_opaque_16_bit_alpha_does_not_hide_12_bit_colour(tmp_path: Path) -> None:
    pixels = np.array([[[0, 2048, 4095, 65535], [0, 2048, 4095, 0]]], np.uint16)
    path = saved(tmp_path / "a.png", encoded(".png", pixels))
    assert read_image(path, None, 3).tolist() == [[[255, 128, 0], [0, 0, 0]]]


def test_shrinking_averages_areas(tmp_path: Path) -> None:
    grey = np.array([[80, 0, 0, 0, 90, 100, 100, 110]] * 4, np.uint8)
    path = saved(tmp_path / "a.png", encoded(".png", grey))
    assert read_image(path, (1, 2), 1).tolist() == [[[20], [100]]]
    assert read_image(path, (2, 2), 3).tolist() == [[[20] * 3, [100] * 3]] * 2


def test_growing_interpolates_between_pixel_centres(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", encoded(".png", np.array([[0, 100]], np.uint8)))
    # The new centres lie at -0.25, 0.25, 0.75 and 1.25 old pixels.
    assert read_image(path, (2, 4), 1)[:, :, 0].tolist() == [[0, 25, 75, 100]] * 2


def test_a_size_is_height_and_width(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", encoded(".png", np.zeros((6, 4), np.uint8)))
    assert read_image(path, (3, 2), 3).shape == (3, 2, 3)


def test_a_path_of_any_script(tmp_path: Path) -> None:
    path = tmp_path / "第3ライン" / "傷 é.png"
    path.parent.mkdir()
    write_image(path, NOISE)
    np.testing.assert_array_equal(read_image(path, None, 3), NOISE)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "there is no such image file"),
        (lambda path: path.mkdir(), "this is a folder"),
        (lambda path: path.write_bytes(b""), "the image file is empty"),
        (lambda path: path.write_text("image_path,label\n"), "not an image"),
        (lambda path: path.write_bytes(b"P5\n0 0\n255\n"), "not an image"),
        (lambda path: path.write_bytes(b"P5\n2000000 2000000\n255\n\0\0"), "OpenCV cannot decode"),
        (lambda path: path.write_bytes(encoded(".tif", np.ones((4, 4), np.float32))), "values are float32"),
        (lambda path: path.write_bytes(encoded(".tif", np.ones((4, 4), np.int16))), "values are int16"),
    ],
)
def test_files_that_are_no_image(
    tmp_path: Path, make: Callable[[Path], object], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.png"
    make(path)
    with pytest.raises(ImageError, match=says) as caught:
        read_image(path, (8, 8), 3)
    assert str(path) in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["a\0b.png", "a" * 5000])
def test_impossible_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match="cannot be opened"):
        read_image(tmp_path / name, None, 3)


def test_only_one_or_three_channels(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read with 4 channels: ask for 1"):
        read_image(saved(tmp_path / "a.png", encoded(".png", NOISE)), None, 4)


@pytest.mark.parametrize(
    "image", [NOISE, NOISE[:, :, 0], NOISE[:, :, :1]], ids=["RGB", "grey", "one channel"]
)
def test_what_is_written_is_read_back(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    path = tmp_path / "a.png"
    write_image(path, image)
    channels = 3 if image.shape[2:] == (3,) else 1
    np.testing.assert_array_equal(read_image(path, None, channels), image.reshape(40, 30, channels))
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("name", "image", "says"),
    [
        ("a.jpg", NOISE, "give a name that ends in .png"),
        ("a.png", NOISE[:, :, :2], r"shape \(40, 30, 2\)"),
        ("a.png", NOISE[0, 0], r"shape \(3,\)"),
        ("a.png", NOISE[:0], r"shape \(0, 30, 3\)"),
        ("a.png", NOISE.astype(np.float32), "type float32"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, name: str, image: NDArray[np.uint8], says: str) -> None:
    with pytest.raises(ImageError, match=says):
        write_image(tmp_path / name, image)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    saved(tmp_path / "folder", b"a file")
    with pytest.raises(ImageError, match="the image cannot be written: File exists"):
        write_image(tmp_path / "folder" / "a.png", NOISE)


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    write_image(tmp_path / "new" / "a.png", NOISE)
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png", None, 3), NOISE)


def test_images_are_located_in_either_spelling(tmp_path: Path) -> None:
    (tmp_path / "lot").mkdir()
    (tmp_path / "lot" / "a.png").touch()
    (tmp_path / "odd\\name.png").touch()
    assert locate_image(tmp_path, "lot/a.png") == tmp_path / "lot" / "a.png"
    assert locate_image(tmp_path, "lot\\a.png") == tmp_path / "lot" / "a.png"
    assert locate_image(tmp_path, "odd\\name.png") == tmp_path / "odd\\name.png"
    assert locate_image(tmp_path, "no\\a.png") == tmp_path / "no\\a.png"
    assert locate_image(tmp_path / "other", str(tmp_path / "lot" / "a.png")) == tmp_path / "lot" / "a.png"
    assert locate_image(tmp_path, "a" * 5000) == tmp_path / ("a" * 5000)


def test_reading_images_and_tables_loads_neither_torch_nor_albumentations() -> None:
    code = (
        "import sys, inspection.inputs.images, inspection.inputs.image_sets, inspection.inputs.defect_log; "
        "print(sorted({'torch', 'albumentations'} & set(sys.modules)))"
    )
    root = REPOSITORY
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
