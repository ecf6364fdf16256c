"""Image files, decoded by OpenCV into 8-bit arrays.

To add a format that OpenCV reads, add its suffix to IMAGE_SUFFIXES, by which images are found in folders;
where OpenCV accepts a file of it that was cut short, add a check to `integrity` as well.
"""

import hashlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.errors import ImageError
from inspection.inputs.integrity import is_whole
from inspection.workspace.files import file_bytes, write_whole

IMAGE_SUFFIXES = (
    *(".bmp", ".dib", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)

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
    image = _with_channels(_colour(_decoded(path, file_bytes(path))), channels)
    return image if size is None else _resized(image, size)


def check_image(path: Path) -> str:
    """Return the SHA-256 of an image file that ``read_image`` can read; it is read and decoded once.

    Errors: ImageError as ``read_image``.
    """
    data = file_bytes(path)
    _decoded(path, data)
    return hashlib.sha256(data).hexdigest()


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
        write_whole(path, encoded)
    except OSError as error:
        raise ImageError(f"{path}: the image cannot be written: {error.strerror}") from error


_WRITABLE = ((), (1,), (3,))  # what may follow (height, width)


def locate_image(folder: Path, spelt: str) -> Path:
    r"""Return the absolute path of an image named in a table, taken relative to ``folder``.

    Windows spelling (``lot7\a.png``) counts where no file exists under the name as spelt. The file need not
    exist.
    """
    path = (folder / spelt).absolute()
    windows = (folder / spelt.replace("\\", "/")).absolute()
    return windows if is_file(windows) and not is_file(path) else path


def is_image_name(path: Path) -> bool:
    """Say whether a file in a folder of images is taken for one: by its suffix, and hidden files are not."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def is_file(path: Path) -> bool:
    """Say whether ``path`` is a file; a name no file system takes (too long) is none, and no error."""
    try:
        return path.is_file()
    except OSError:
        return False


def _decoded(path: Path, data: bytes) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode to (height, width, 1, 3 or 4) in OpenCV's order: grey, BGR, BGR with alpha."""
    if not is_whole(data):
        raise ImageError(f"{path}: the image file is cut short or damaged; copy it again from its source")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"{path}: OpenCV cannot decode this image: {error.err}") from error
    if image is None or image.size == 0:
        raise ImageError(
            f"{path}: not an image, or one that is cut short or damaged; copy it again from its source, or "
            f"give one of {', '.join(IMAGE_SUFFIXES)} that another program can open"
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
