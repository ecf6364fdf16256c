import struct
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from inspection.errors import ImageError
from inspection.inputs.images import read_image
from inspection.inputs.integrity import decodable
from tests.inspection.inputs.files import NOISE, encoded, saved

# A slope under sensor noise: a JPEG of it has many bytes for each block, as a photo's has.
PART = np.clip(
    np.linspace(40, 200, 240)[None, :, None] + np.random.default_rng(3).normal(0, 12, (320, 240, 3)), 0, 255
).astype(np.uint8)


def decoded(data: bytes) -> Any:
    """What OpenCV alone makes of a file: an array or None."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def planar_tiff() -> bytes:
    """A 2 x 2 picture with one strip for each colour, behind the directory: red 10, green 20, blue 30."""
    directory = 8
    behind = directory + 2 + 10 * 12 + 4
    bits, offsets, counts, strips = behind, behind + 6, behind + 18, behind + 30
    entries = [
        (256, 3, 1, 2),  # width
        (257, 3, 1, 2),  # height
        (258, 3, 3, bits),
        (259, 3, 1, 1),  # no compression
        (262, 3, 1, 2),  # RGB
        (273, 4, 3, offsets),
        (277, 3, 1, 3),  # channels
        (278, 3, 1, 2),  # rows in a strip
        (279, 4, 3, counts),
        (284, 3, 1, 2),  # planar
    ]
    return b"".join(
        [
            struct.pack("<2sHI", b"II", 42, directory),
            struct.pack("<H", len(entries)),
            *(struct.pack("<HHII", *entry) for entry in entries),
            struct.pack("<I", 0),
            struct.pack("<3H", 8, 8, 8),
            struct.pack("<3I", strips, strips + 4, strips + 8),
            struct.pack("<3I", 4, 4, 4),
            bytes([10] * 4 + [20] * 4 + [30] * 4),
        ]
    )


def test_a_planar_tiff_reads_and_a_cut_one_does_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = planar_tiff()
    assert read_image(saved(tmp_path / "a.tif", data), None, 3).tolist() == [[[10, 20, 30]] * 2] * 2
    for length in range(1, len(data)):
        with pytest.raises(ImageError):
            read_image(saved(tmp_path / "cut.tif", data[:length]), None, 3)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("share", [0.4, 0.7, 0.99])
def test_a_cut_planar_tiff_is_found_where_opencv_fills_it(
    tmp_path: Path, bigtiff: bool, byteorder: Literal["<", ">"], share: float
) -> None:
    file = BytesIO()
    planes = np.moveaxis(PART, 2, 0)
    tifffile.imwrite(
        file, planes, photometric="rgb", planarconfig="separate", bigtiff=bigtiff, byteorder=byteorder
    )
    whole = file.getvalue()
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.tif", whole), None, 3), PART)
    data = whole[: int(share * len(whole))]
    assert decoded(data) is not None
    with pytest.raises(ImageError, match="cut short or damaged; copy it again"):
        read_image(saved(tmp_path / "cut.tif", data), None, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp", ".ppm"])
def test_a_cut_file_is_refused_wherever_it_is_cut(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = encoded(suffix, NOISE)
    for length in [*np.linspace(1, len(data) - 2, 60).astype(int), len(data) - 1]:
        path = saved(tmp_path / f"cut{suffix}", data[:length])
        with pytest.raises(ImageError, match=r"cut\.\w+: (the image file is cut short|not an image)"):
            read_image(path, None, 3)
    assert capfd.readouterr().err == ""


def test_the_end_of_a_preview_is_not_the_end_of_a_jpeg(tmp_path: Path) -> None:
    data = encoded(".jpg", NOISE)
    preview = b"\xff\xe1" + struct.pack(">H", 2 + 8) + b"\xff\xd8....\xff\xd9"
    whole = data[:2] + b"\xff" + preview + data[2:]  # with a padding byte before it
    assert read_image(saved(tmp_path / "a.jpg", whole), None, 3).shape == (40, 30, 3)
    with pytest.raises(ImageError, match="cut short"):
        read_image(saved(tmp_path / "b.jpg", whole[:-2]), None, 3)


def test_one_flipped_bit_in_a_png_is_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encoded(".png", NOISE))
    data[len(data) // 2] ^= 1
    with pytest.raises(ImageError, match="cut short or damaged"):
        read_image(saved(tmp_path / "a.png", bytes(data)), None, 3)
    assert capfd.readouterr().err == ""


def test_bytes_behind_the_end_of_a_picture_do_no_harm(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg"):
        path = saved(tmp_path / f"a{suffix}", encoded(suffix, NOISE) + b"\0camera note\n")
        assert read_image(path, None, 1).shape == (40, 30, 1)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_jpeg_whose_end_was_never_written_is_found_where_opencv_takes_it(
    tmp_path: Path, share: float
) -> None:
    whole = encoded(".jpg", PART)
    written = int(share * len(whole))
    data = whole[:written] + bytes(len(whole) - written)
    taken, sound = decoded(data), decoded(whole)
    assert taken is not None
    assert taken.shape == sound.shape
    assert (taken != sound).any()
    assert decodable(whole) is not None
    assert decodable(data) is None
    with pytest.raises(ImageError, match="cut short or damaged; copy it again"):
        read_image(saved(tmp_path / "a.jpg", data), None, 3)


@pytest.mark.parametrize("damage", ["cut", "flipped", "zeroed"])
def test_a_damaged_png_is_found_before_libpng_prints_about_it(
    tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = encoded(".png", PART)
    half = len(whole) // 2
    data = {
        "cut": whole[:half],
        "flipped": whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :],
        "zeroed": whole[:half] + bytes(len(whole) - half),
    }[damage]
    assert decoded(data) is None
    assert "libpng error" in capfd.readouterr().err
    with pytest.raises(ImageError, match="cut short or damaged; copy it again"):
        read_image(saved(tmp_path / "a.png", data), None, 3)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize(
    ("suffix", "options", "bits"),
    [
        (".tif", (cv2.IMWRITE_TIFF_COMPRESSION, 1), 8),
        (".tif", (cv2.IMWRITE_TIFF_COMPRESSION, 5), 8),
        (".tif", (cv2.IMWRITE_TIFF_COMPRESSION, 8), 16),
        (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), 8),
        (".jpg", (), 8),
        (".png", (), 16),
        (".bmp", (), 8),
        (".ppm", (), 16),
        (".webp", (), 8),
    ],
)
def test_a_cut_file_of_any_kind_is_refused_and_the_whole_one_is_not(
    tmp_path: Path, suffix: str, options: tuple[int, ...], bits: int, share: float
) -> None:
    data = encoded(suffix, PART if bits == 8 else PART.astype(np.uint16) * 257, *options)
    assert read_image(saved(tmp_path / f"whole{suffix}", data), None, 3).shape == (320, 240, 3)
    with pytest.raises(ImageError, match=r"cut\.\w+: .*cut short or damaged; copy it again"):
        read_image(saved(tmp_path / f"cut{suffix}", data[: int(share * len(data))]), None, 3)


@pytest.mark.parametrize(
    "options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 4)]
)
@pytest.mark.parametrize("lost", ["zeroed", "zeroed inside", "cut"])
def test_a_jpeg_that_lost_blocks_is_found_although_its_end_is_there(
    tmp_path: Path, lost: str, options: tuple[int, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    whole = encoded(".jpg", cv2.GaussianBlur(PART, (5, 5), 1), *options)
    third = len(whole) // 3
    data = {
        "zeroed": whole[:third] + bytes(len(whole) - third - 2) + whole[-2:],
        "zeroed inside": whole[:third] + bytes(third) + whole[2 * third :],
        "cut": whole[:third] + b"\xff\xd9",
    }[lost]
    assert decoded(data) is not None  # OpenCV takes it
    assert "Corrupt JPEG data" in capfd.readouterr().err
    assert decodable(whole) is not None
    with pytest.raises(ImageError, match="cut short or damaged; copy it again"):
        read_image(saved(tmp_path / "a.jpg", data), None, 3)
    assert capfd.readouterr().err == ""


def test_jpegs_of_every_common_kind_are_whole() -> None:
    smooth = cv2.GaussianBlur(PART, (5, 5), 1)
    for sampling in (0x411111, 0x221111, 0x211111, 0x121111, 0x111111):
        assert decodable(encoded(".jpg", smooth, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling)) is not None
    for mode in ("L", "CMYK"):
        file = BytesIO()
        Image.fromarray(smooth).convert(mode).save(file, "JPEG")
        assert decodable(file.getvalue()) is not None


def test_a_tiff_whose_compressed_values_changed_is_found(tmp_path: Path) -> None:
    file = BytesIO()
    tifffile.imwrite(file, NOISE, compression="zlib")
    whole = file.getvalue()
    assert decodable(whole) is not None
    assert decodable(whole[:-200] + bytes(100) + whole[-100:]) is None
