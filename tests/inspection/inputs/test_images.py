import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from inspection.errors import ImageError
from inspection.inputs.images import (
    AS_STORED,
    IMAGE_SUFFIXES,
    Reading,
    check_image,
    locate_image,
    measured_bit_depth,
    read_image,
    write_image,
)
from inspection.workspace.settings import ImageSettings
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
    ],
)
def test_lossy_files_keep_the_colour_of_a_flat_picture(tmp_path: Path, suffix: str, written_as: str) -> None:
    flat = np.full((64, 64, 3), (200, 100, 50), np.uint8)
    image = read_image(saved(tmp_path / f"a{suffix}", encoded(written_as, flat[:, :, ::-1])), None, 3)
    assert image.shape == (64, 64, 3)
    assert np.abs(image.astype(int) - flat).max() <= 3


def test_every_suffix_of_the_list_is_tried_here() -> None:
    exact = {".png", ".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pnm", ".pgm", ".pbm"}
    assert set(IMAGE_SUFFIXES) == exact | {".jpg", ".jpeg", ".jpe", ".jfif", ".webp"}


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
    ("bits", "values", "expected"),
    [
        (16, [0, 257, 4096, 65535], [0, 1, 16, 255]),  # / 257; 4096 / 257 = 15.94
        (12, [0, 1023, 2048, 4095], [0, 64, 128, 255]),  # * 255 / 4095: 63.70, 127.53
        (12, [0, 10, 100, 1000], [0, 1, 6, 62]),  # a dim image stays dim: 0.62, 6.23, 62.27
        (16, [0, 10, 100, 1000], [0, 0, 0, 4]),  # 3.89
        (10, [0, 10, 100, 1000], [0, 2, 25, 249]),  # * 255 / 1023: 2.49, 24.93, 249.27
    ],
    ids=["16-bit", "12-bit", "dim 12-bit", "dim 16-bit", "10-bit"],
)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_16_bit_files(tmp_path: Path, suffix: str, bits: int, values: list[int], expected: list[int]) -> None:
    path = saved(tmp_path / f"a{suffix}", encoded(suffix, np.array([values], np.uint16)))
    assert read_image(path, None, 1, of_bits(bits))[0, :, 0].tolist() == expected


def of_bits(bit_depth: int | None) -> Reading:
    return replace(AS_STORED, bit_depth=bit_depth)


def test_one_grey_level_more_changes_no_other_pixel(tmp_path: Path) -> None:
    values = np.arange(0, 4096, 64, dtype=np.uint16)[None]
    pictures = []
    for brightest in (4095, 4096):
        values[0, 0] = brightest
        path = saved(tmp_path / "a.png", encoded(".png", values))
        pictures.append(read_image(path, None, 1, of_bits(14))[0, 1:])
    np.testing.assert_array_equal(pictures[0], pictures[1])


def test_a_file_brighter_than_the_line_can_be_is_told_not_clipped(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", encoded(".png", np.array([[0, 4096]], np.uint16)))
    for read in (lambda how: read_image(path, None, 1, how), lambda how: check_image(path, how)):
        with pytest.raises(ImageError, match=r"a\.png: its brightest value is 4096, above 4095") as caught:
            read(of_bits(12))
        assert "the line's bit depth is 12: if its camera uses more bits, set bit_depth" in str(caught.value)


def test_where_no_bit_depth_was_ever_measured_a_16_bit_file_is_not_guessed_at(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", encoded(".tif", np.array([[0, 4095]], np.uint16)))
    with pytest.raises(ImageError, match="how many of these the camera uses is not known"):
        read_image(path, None, 1, of_bits(None))
    eight = saved(tmp_path / "b.tif", encoded(".tif", np.array([[0, 255]], np.uint8)))
    assert read_image(eight, None, 1, of_bits(None)).tolist() == [[[0], [255]]]


# --- a file that says its own white ---


def pgm(white: int, values: list[int], kind: str = "P5") -> bytes:
    data = np.array(values, ">u2" if white > 255 else "u1").tobytes()
    return f"{kind}\n# a camera\n{len(values)} 1\n{white}\n".encode() + data


def with_significant(png: bytes, *bits: int) -> bytes:
    """A PNG with the chunk sBIT behind its header."""
    body = b"sBIT" + bytes(bits)
    chunk = struct.pack(">I", len(bits)) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunk + png[33:]


def tiff(values: NDArray[np.uint16], tag: int, white: int) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, values, extratags=[(tag, "H", 1, white, True)])
    return file.getvalue()


DEEP = np.array([[0, 1024, 2049, 4095]], np.uint16)  # 12 bits; * 255 / 4095: 63.77, 127.59


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.pgm", pgm(1023, [0, 250, 500, 1023]), [0, 62, 125, 255]),  # 62.3, 124.6
        ("a.pgm", pgm(1000, [0, 250, 500, 1000]), [0, 64, 128, 255]),  # 63.75, 127.5
        ("a.pgm", pgm(100, [0, 10, 50, 100]), [0, 26, 128, 255]),  # 25.5, 127.5
        ("a.pgm", b"P2\n4 1\n1023\n0 250 500 1023\n", [0, 62, 125, 255]),
        ("a.pgm", b"P2\n4 1\n100\n0 10 50 100\n", [0, 25, 127, 255]),  # OpenCV's own, rounded down
        ("a.tif", tiff(DEEP, 281, 4095), [0, 64, 128, 255]),
        ("a.tif", tiff(DEEP, 341, 4095), [0, 64, 128, 255]),
        ("a.png", with_significant(encoded(".png", DEEP), 12), [0, 64, 128, 255]),
        ("a.png", with_significant(encoded(".png", DEEP << 4), 12), [0, 64, 128, 255]),
        ("a.png", with_significant(encoded(".png", DEEP << 4 | DEEP >> 8), 12), [0, 64, 128, 255]),
    ],
)
@pytest.mark.parametrize("bits", [None, 10, 16])
def test_a_file_that_says_its_white_needs_no_bit_depth(
    tmp_path: Path, name: str, data: bytes, expected: list[int], bits: int | None
) -> None:
    path = saved(tmp_path / name, data)
    assert read_image(path, None, 1, of_bits(bits))[0, :, 0].tolist() == expected


def test_the_brightest_value_of_one_picture_is_not_white(tmp_path: Path) -> None:
    """MaxSampleValue = 3000: a statistic of this picture, which another camera's tag 4095 is not."""
    path = saved(tmp_path / "a.tif", tiff(np.array([[0, 3000]], np.uint16), 281, 3000))
    assert read_image(path, None, 1, of_bits(12)).tolist() == [[[0], [187]]]  # 3000 * 255 / 4095 = 186.8


def test_packed_bits_of_a_tiff_are_a_white_too(tmp_path: Path) -> None:
    # Tags: width 2, height 1, 12 bits, not compressed, grey, strip at 122, 1 value, 1 row, 3 bytes.
    tags = [(256, 2), (257, 1), (258, 12), (259, 1), (262, 1), (273, 122), (277, 1), (278, 1), (279, 3)]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + bytes([0x80, 0x0F, 0xFF])
    path = saved(tmp_path / "a.tif", data)
    assert read_image(path, None, 1, of_bits(None)).tolist() == [[[128], [255]]]  # 2048, 4095


def test_a_file_brighter_than_its_own_white_is_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pgm", pgm(1023, [0, 2000]))
    with pytest.raises(ImageError, match=r"brightest value is 2000, above 1023.*so says the file itself"):
        read_image(path, None, 1)


@pytest.mark.parametrize(
    ("brightest", "bits"), [(1023, 10), (1024, 12), (4095, 12), (4096, 14), (16384, 16), (65535, 16)]
)
def test_the_bit_depth_of_a_line_is_measured_on_all_its_images(
    tmp_path: Path, brightest: int, bits: int
) -> None:
    dim, bright = np.array([[5, 300]], np.uint16), np.array([[0, brightest]], np.uint16)
    paths = [
        saved(tmp_path / "dim.png", encoded(".png", dim)),
        saved(tmp_path / "bright.tif", encoded(".tif", bright)),
        saved(tmp_path / "says.pgm", pgm(60000, [60000])),
        saved(tmp_path / "eight.jpg", encoded(".jpg", NOISE)),
    ]
    assert measured_bit_depth(paths, ImageSettings()) == bits
    assert measured_bit_depth(paths, ImageSettings(bit_depth=12)) == 12  # not measured
    assert measured_bit_depth(paths[2:], ImageSettings()) is None  # nothing says what such a file would mean


# --- limits ---


def test_an_image_that_is_too_large_is_told_before_it_is_decoded(tmp_path: Path) -> None:
    values = zlib.compress(bytes(5001 * 5000), 9)
    header = struct.pack(">IIBBBBB", 5000, 5000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", values), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    path = saved(tmp_path / "a.png", data)
    assert len(data) < 100_000
    assert read_image(path, (2, 2), 1, replace(AS_STORED, most_megapixels=25)).max() == 0
    tracemalloc.start()
    with pytest.raises(ImageError, match=r"5000 x 5000 pixels, and at most 24 megapixels are read"):
        read_image(path, (2, 2), 1, replace(AS_STORED, most_megapixels=24))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("suffix", [".bmp", ".jpg", ".png", ".ppm", ".tif", ".webp"])
def test_the_size_of_every_kind_is_known_before_it_is_decoded(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a{suffix}", encoded(suffix, np.zeros((1000, 1001, 3), np.uint8)))
    with pytest.raises(ImageError, match="the image is 1001 x 1000 pixels, and at most 1 megapixels"):
        read_image(path, None, 3, replace(AS_STORED, most_megapixels=1))


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(200_000_000_000)  # takes no room on the disk
    with pytest.raises(ImageError, match="has 200,000 MB, and at most 400 MB are read"):
        read_image(path, None, 1)


def test_alpha_is_composited_over_black(tmp_path: Path) -> None:
    colour = [50, 100, 200]  # BGR
    pixels = np.array([[[*colour, 255], [*colour, 128], [*colour, 0]]], np.uint8)
    path = saved(tmp_path / "a.png", encoded(".png", pixels))
    # 200 * 128 / 255 = 100.39, 100 * 128 / 255 = 50.20, 50 * 128 / 255 = 25.10
    assert read_image(path, None, 3).tolist() == [[[200, 100, 50], [100, 50, 25], [0, 0, 0]]]


def test_opaque_16_bit_alpha_does_not_hide_12_bit_colour(tmp_path: Path) -> None:
    pixels = np.array([[[0, 2048, 4095, 65535], [0, 2048, 4095, 0]]], np.uint16)
    path = saved(tmp_path / "a.png", encoded(".png", pixels))
    assert read_image(path, None, 3, of_bits(12)).tolist() == [[[255, 128, 0], [0, 0, 0]]]


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
        (lambda path: path.write_bytes(b"P5\n2000000 2000000\n255\n\0\0"), "at most 100 megapixels"),
        (lambda path: path.write_bytes(b"P5\n2000000 1\n255\n\0\0"), "no side may be longer"),
        (lambda path: path.write_bytes(b"GIF89a" + bytes(50)), "not an image"),
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
