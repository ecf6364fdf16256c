"""Image files: OpenCV decoding into 8-bit arrays, and the checks that a picture is whole."""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.errors import ImageError

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TIFF_SIZES = {3: "H", 4: "I"}  # TIFF field type -> struct code (SHORT, LONG)
_TIFF_EXTENTS = ((273, 279), (324, 325))  # tags: strip offsets and byte counts, tile offsets and byte counts

# A bad file gets one message, ours; OpenCV would print its own to stderr (5.0 moved the switch).
getattr(cv2.utils, "logging", cv2).setLogLevel(0)


def read_image(path: Path, size: tuple[int, int] | None, channels: int) -> NDArray[np.uint8]:
    """Decode one image file into 8 bits per channel.

    Returns (height, width, channels): RGB for 3 channels, grey for 1; a grey file is repeated over 3
    channels, a colour file turned grey by OpenCV's weights. ``size`` is (height, width) in pixels, None the
    file's own; area averaging where the picture shrinks, linear interpolation where it grows.

    16-bit files: where the brightest value is at most 4095 they hold the 12-bit data of an industrial camera
    and are scaled by 255 / 4095, otherwise by 255 / 65535 (divided by 257). Only these two: a finer guess
    from the maximum would brighten a dim image of the same camera and hide that it is dim. Alpha is
    composited over black, so an opaque one changes nothing. EXIF orientation is ignored; of several pages
    the first is read.

    Errors: ImageError for a file that is missing, empty, cut short, not an image, or not of 8 or 16 bit
    whole numbers.
    """
    if channels not in (1, 3):
        raise ImageError(f"an image cannot be read with {channels} channels: ask for 1 (grey) or 3 (RGB)")
    data = _file_bytes(path)
    if not _is_whole(data):
        raise ImageError(f"{path}: the image file is cut short or damaged; copy it again from its source")
    image = _with_channels(_colour(_decoded(path, data)), channels)
    return image if size is None else _resized(image, size)


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a PNG file as a whole or not at all, in a folder that is made where it is missing.

    ``image`` is (height, width, 3) RGB, or (height, width) or (height, width, 1) grey, uint8.
    Errors: ImageError for another suffix than .png, another shape or type, a folder that cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise ImageError(f"{path}: images are written as PNG; give a name that ends in .png")
    if (
        image.dtype != np.uint8
        or image.ndim not in (2, 3)
        or image.size == 0
        or image.shape[2:] not in _WRITABLE
    ):
        raise ImageError(
            f"{path}: cannot write an array of shape {image.shape} and type {image.dtype}; "
            "expected uint8 of shape (height, width), (height, width, 1) or (height, width, 3)"
        )
    in_file_order = image[:, :, ::-1] if image.shape[2:] == (3,) else image
    encoded = cv2.imencode(".png", np.ascontiguousarray(in_file_order))[1].tobytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(encoded)
    except OSError as error:
        raise ImageError(f"{path}: the image cannot be written: {error.strerror}") from error


_WRITABLE = ((), (1,), (3,))  # what may follow (height, width)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal; ImageError where it cannot be read."""
    return hashlib.sha256(_file_bytes(path)).hexdigest()


def locate_image(folder: Path, spelt: str) -> Path:
    r"""Return the absolute path of an image named in a table, taken relative to ``folder``.

    Windows spelling (``lot7\a.png``) counts where no file exists under the name as spelt. The file need not
    exist.
    """
    path = (folder / spelt).absolute()
    windows = (folder / spelt.replace("\\", "/")).absolute()
    return windows if is_file(windows) and not is_file(path) else path


def is_file(path: Path) -> bool:
    """Say whether ``path`` is a file; a name no file system takes (too long) is none, and no error."""
    try:
        return path.is_file()
    except OSError:
        return False


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lend a temporary path in the same folder, and put it in the place of ``path`` when the block succeeds.

    After an exception ``path`` is as it was and the temporary file is gone.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _file_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such image file") from None
    except IsADirectoryError:
        raise ImageError(f"{path}: this is a folder; expected an image file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise ImageError(f"{path}: the image file cannot be opened: {error}") from error
    if not data:
        raise ImageError(f"{path}: the image file is empty (0 bytes); copy it again from its source")
    return data


def _is_whole(data: bytes) -> bool:
    """Say whether a PNG, JPEG or TIFF file reaches its end; the decoder itself refuses other cut formats."""
    if data.startswith(_PNG_SIGNATURE):
        return _png_is_whole(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg_is_whole(data)
    if data.startswith((b"II*\0", b"MM\0*")):
        return _tiff_is_whole(data)
    return True


def _png_is_whole(data: bytes) -> bool:
    # Chunk: length of the body, kind, body, CRC of kind and body. The last is IEND.
    start = len(_PNG_SIGNATURE)
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        if zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return False
        if data[start + 4 : start + 8] == b"IEND":
            return True
        start = end
    return False


def _jpeg_is_whole(data: bytes) -> bool:
    # Step over the segments before the scan: a preview in one of them has an end marker of its own.
    start = 2
    while data[start : start + 1] == b"\xff" and data[start + 1 : start + 2] != b"\xda":
        is_padding = data[start + 1 : start + 2] == b"\xff"
        start += 1 if is_padding else 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return data.find(b"\xff\xd9", start) != -1


def _tiff_is_whole(data: bytes) -> bool:
    """Say whether every strip and tile of the first page lies inside the file (TIFF 6.0, section 2)."""
    order = "<" if data.startswith(b"II") else ">"
    try:
        fields = _tiff_fields(data, order)
    except struct.error:
        return False
    return all(
        offset + count <= len(data)
        for offsets, counts in _TIFF_EXTENTS
        for offset, count in zip(fields.get(offsets, ()), fields.get(counts, ()), strict=False)
    )


def _tiff_fields(data: bytes, order: str) -> dict[int, tuple[int, ...]]:
    """Read the whole-number fields of the first page: tag -> values."""
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    (entries,) = struct.unpack_from(f"{order}H", data, directory)
    fields = {}
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(f"{order}HHI", data, entry)
        if kind in _TIFF_SIZES:
            code = f"{order}{count}{_TIFF_SIZES[kind]}"
            fits = struct.calcsize(code) <= 4  # short values stand in the entry itself
            values_at = entry + 8 if fits else struct.unpack_from(f"{order}I", data, entry + 8)[0]
            fields[tag] = struct.unpack_from(code, data, values_at)
    return fields


def _decoded(path: Path, data: bytes) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode to (height, width, 1, 3 or 4) in OpenCV's order: grey, BGR, BGR with alpha."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"{path}: OpenCV cannot decode this image: {error.err}") from error
    if image is None or image.size == 0:
        raise ImageError(
            f"{path}: not an image, or a damaged one; expected one of {', '.join(IMAGE_SUFFIXES)} "
            "that another program can open"
        )
    if image.dtype not in (np.uint8, np.uint16):
        raise ImageError(
            f"{path}: its values are {image.dtype}; expected 8 or 16 bit whole numbers. "
            "How bright such values should look is not known: convert the image before logging it"
        )
    decoded: NDArray[np.uint8] | NDArray[np.uint16] = image.reshape(*image.shape[:2], -1)
    return decoded


def _colour(image: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Bring the values to 8 bits and composite alpha over black: (height, width, 1 or 3)."""
    colour = _eight_bit(image[:, :, :3])
    alpha = image[:, :, 3:] / np.float32(np.iinfo(image.dtype).max)
    return np.rint(colour * alpha).astype(np.uint8) if alpha.size else colour


def _eight_bit(image: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    eight_bit: NDArray[np.uint8]
    if image.dtype == np.uint8:
        eight_bit = image.astype(np.uint8, copy=False)
    else:
        full_scale = 4095 if image.max() <= 4095 else 65535
        eight_bit = np.rint(image * np.float32(255 / full_scale)).astype(np.uint8)
    return eight_bit


def _with_channels(image: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    if image.shape[2] == channels:
        return np.ascontiguousarray(image[:, :, ::-1])  # BGR to RGB; one channel stays
    conversion = cv2.COLOR_GRAY2RGB if channels == 3 else cv2.COLOR_BGR2GRAY
    converted: NDArray[np.uint8] = cv2.cvtColor(np.ascontiguousarray(image), conversion)
    return np.reshape(converted, (*image.shape[:2], channels))


def _resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = size
    shrinks = height * width < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized: NDArray[np.uint8] = cv2.resize(image, (width, height), interpolation=method)
    return np.reshape(resized, (height, width, image.shape[2]))
