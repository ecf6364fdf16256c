"""PNG files as libpng meets them: checked before, and without a reason left to write to the terminal."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.errors import ImageError
from inspection.inputs.images import read_image
from tests.inspection.inputs.files import NOISE, encoded, saved

GREY = (np.arange(12, dtype=np.uint8) * 20).reshape(3, 4)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    stream: bytes | None = None, *before: bytes, depth: int = 8, colour: int = 0, interlaced: int = 0
) -> bytes:
    """A file of GREY, or of a stream of one's own, with chunks before its pixels."""
    rows = b"".join(b"\0" + row.tobytes() for row in GREY)
    header = struct.pack(">IIBBBBB", 4, 3, depth, colour, 0, 0, interlaced)
    data = zlib.compress(rows) if stream is None else stream
    parts = [chunk(b"IHDR", header), *before, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


ROWS = b"".join(b"\0" + row.tobytes() for row in GREY)


@pytest.mark.parametrize(
    "data",
    [
        png(),
        png(None, chunk(b"iCCP", b"x")),
        png(None, chunk(b"gAMA", b"xxxxx")),
        png(None, chunk(b"tRNS", b"x")),
        png(None, chunk(b"PLTE", b"xxx")),
        png(zlib.compress(ROWS * 2)),
        png(zlib.compress(ROWS) + b"more"),
    ],
    ids=["plain", "profile", "gamma", "transparency", "palette", "too many rows", "more behind"],
)
def test_what_libpng_complains_about_and_takes_is_taken_without_a_word(
    tmp_path: Path, data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", data), None, 1)[..., 0], GREY)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "data",
    [
        png(b"no stream"),
        png(zlib.compress(ROWS[:-3])),
        png(zlib.compress(ROWS)[:-4] + b"1234"),
        png(zlib.compress(b"\7" + ROWS[1:])),
        png(depth=3),
        png(colour=1),
        png(colour=3),
        png(interlaced=7),
        png(None, chunk(b"CgBI", b"")),
    ],
    ids=["stream", "rows", "checksum", "filter", "depth", "colour", "no palette", "interlace", "unknown"],
)
def test_what_libpng_cannot_read_is_refused_without_a_word(
    tmp_path: Path, data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ImageError, match="cut short or damaged"):
        read_image(saved(tmp_path / "a.png", data), None, 1)
    assert capfd.readouterr().err == ""


def test_an_index_beyond_the_palette_is_black(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = b"".join(b"\0" + bytes([0, 1, 1, 9]) for _ in range(3))
    data = png(zlib.compress(rows), chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60])), colour=3)
    image = read_image(saved(tmp_path / "a.png", data), None, 3)
    assert image[0].tolist() == [[10, 20, 30], [40, 50, 60], [40, 50, 60], [0, 0, 0]]
    assert capfd.readouterr().err == ""


def test_an_interlaced_file_is_read(tmp_path: Path) -> None:
    # Of 4 x 3 pixels: pass 1 holds (0,0); 4 (2,0); 5 (0,2) and (2,2); 6 columns 1, 3 of rows 0, 2; 7 row 1.
    passes = [GREY[:1, :1], GREY[:1, 2:3], GREY[2:3, ::2], GREY[::2, 1::2], GREY[1:2]]
    rows = b"".join(b"\0" + row.tobytes() for part in passes for row in part)
    data = png(zlib.compress(rows), interlaced=1)
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", data), None, 1)[..., 0], GREY)
    with pytest.raises(ImageError, match="damaged"):
        read_image(saved(tmp_path / "b.png", png(zlib.compress(rows[:-1]), interlaced=1)), None, 1)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_sound_file_decodes_as_it_did(tmp_path: Path, kind: type, channels: int) -> None:
    shape = (40, 30, channels)
    values: NDArray[np.generic] = np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape).astype(kind)
    values[..., 3:] = np.iinfo(kind).max
    path = saved(tmp_path / "a.png", encoded(".png", values))
    straight = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)).reshape(shape)[..., :3]
    scale = 257 if kind is np.uint16 else 1
    expected = np.rint(straight[..., ::-1] / scale).astype(np.uint8)
    np.testing.assert_array_equal(read_image(path, None, 1 if channels == 1 else 3), expected)


def test_noise_is_noise(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", encoded(".png", NOISE[:, :, ::-1]))
    np.testing.assert_array_equal(read_image(path, None, 3), NOISE)
