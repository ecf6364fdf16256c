"""Image files, decoded by OpenCV into 8-bit arrays.

To add a format that OpenCV reads, add its suffix to IMAGE_SUFFIXES, by which images are found in folders, and
its signature to `headers`; where OpenCV accepts a file of it that was cut short, add a check to `integrity`.
"""

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.errors import ImageError
from inspection.inputs.fitting import STRETCHED, Fitting
from inspection.inputs.headers import Header, maybe_deep, read_header
from inspection.inputs.integrity import decodable
from inspection.inputs.tiff import tiff_values
from inspection.progress import Progress
from inspection.workspace.files import file_bytes, write_whole
from inspection.workspace.settings import BIT_DEPTHS, ImageSettings

IMAGE_SUFFIXES = (
    *(".bmp", ".dib", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)
DECODERS = 4  # images decoded at a time: so many times the largest that is allowed are in memory
DIM = 8  # times below white, the brightest of all images of floating-point numbers: told
AHEAD = 4 * DECODERS  # images decoded before their turn, at most: bounds the memory
LONGEST_SIDE = 1_000_000  # pixels that the libraries below OpenCV take without a word on the terminal

# Why an image is not read.
_SEVERAL = (
    "{path}: the file holds {pictures} pictures of one size; expected one. Which of them shows the part is "
    "not known: write each to a file of its own, and log those"
)
_DAMAGED = "{path}: the image file is cut short or damaged; copy it again from its source"
_OF_A_KIND = (
    "{path}: the image file is cut short or damaged, or of a kind that is not read ({kind}). Copy it again "
    "from its source; if it is whole, save it without compression, or with LZW or Deflate"
)
_NO_IMAGE = (
    "{path}: not an image, or one that is cut short or damaged; copy it again from its source, or give one "
    "of {suffixes} that another program can open"
)
_OTHER_VALUES = (
    "{path}: its values are {values}; expected whole numbers of 8 or 16 bits, grey or colour, or "
    "floating-point numbers. How bright such values should look is not known: convert the image before "
    "logging it"
)
_TOO_LARGE = (
    "{path}: the image is {width} x {height} pixels, and at most {most} megapixels are read; if it is meant "
    "to be so large, raise most_megapixels under [images] in fmi.toml"
)
_TOO_LONG = (
    "{path}: the image is {width} x {height} pixels, and no side may be longer than {most:,}: cut it into "
    "parts"
)
_ABOVE_WHITE = "{path}: its brightest value is {brightest}, above {white}, which is white; "
_ABOVE_DEPTH = (
    f"{_ABOVE_WHITE}the line's bit depth is {{depth}}: if its camera uses more bits, set bit_depth under "
    "[images] in fmi.toml, which then holds for all its images"
)
_ABOVE_OWN = f"{_ABOVE_WHITE}so says the file itself, and is wrong: write it anew"
_UNKNOWN_DEPTH = (
    "{path}: its values have 16 bits, and how many of these the camera uses is not known: none of the images "
    "that the model was registered with has 16 bits, or an earlier version did not measure it. Set bit_depth "
    "under [images] in fmi.toml (12 for most cameras), or register the model again with images as the camera "
    "writes them"
)
_NOT_FINITE = (
    "{path}: some of its values are no finite numbers (NaN or infinity), which have no brightness; write 0, "
    "or what stands for a missing measurement, before logging the image"
)
_OUTSIDE = (
    "{path}: its values are floating-point numbers from {low:g} to {high:g}; 0 is black and {white:g} is "
    "white. Where another value is white in this line's images (255, 4095, 65535), set float_white under "
    "[images] in fmi.toml, which then holds for all of them; where values lie below 0, convert the images "
    "before logging them"
)
SAID = (
    *(_SEVERAL, _DAMAGED, _OF_A_KIND, _NO_IMAGE, _OTHER_VALUES, _TOO_LARGE, _TOO_LONG, _ABOVE_DEPTH),
    *(_ABOVE_OWN, _UNKNOWN_DEPTH, _NOT_FINITE, _OUTSIDE),
)

# A bad file gets one message, ours; OpenCV would print its own to stderr (5.0 moved the switch).
getattr(cv2.utils, "logging", cv2).setLogLevel(0)

Named = TypeVar("Named")
Found = TypeVar("Found")
Values = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reading:
    """How the image files of one line are read: one decision for all of them."""

    bit_depth: int | None  # that 16-bit files use which do not say it themselves; None: never measured
    float_white: float  # of files of floating-point numbers; 0 is black
    most_megapixels: int  # of an image
    most_megabytes: int  # of a file
    fitting: Fitting = STRETCHED  # to the size that is asked for


def reading(settings: ImageSettings, measured: int | None, prepared: str = "") -> Reading:
    """As the settings say, with the bit depth that was measured where they leave it open.

    `prepared` is what the plant says of how an image fills the input (`Fitting.parse`).
    """
    depth, fitting = settings.bit_depth or measured, Fitting.parse(prepared)
    limits = settings.most_megapixels, settings.most_megabytes
    return Reading(depth, settings.float_white, *limits, fitting)


AS_STORED = reading(ImageSettings(), 16)  # 16-bit files by the whole range of their format


def read_image(
    path: Path, size: tuple[int, int] | None, channels: int, how: Reading = AS_STORED
) -> NDArray[np.uint8]:
    """Decode one image file into 8 bits per channel.

    Returns (height, width, channels): RGB for 3 channels, grey for 1; a grey file is repeated over 3
    channels, a colour file turned grey by OpenCV's weights. ``size`` is (height, width) in pixels, None the
    file's own; ``how.fitting`` says how the picture fills it.

    White becomes 255. Which value is white a file may say itself: the maxval of PGM and PPM, BitsPerSample,
    MaxSampleValue or SMaxSampleValue of TIFF, sBIT of PNG. In any other 16-bit file it is the highest value
    of the line's bit depth, and of floating-point numbers what the settings say, never the file's own
    brightest: that would brighten a dim image of the same camera and hide that it is dim. A TIFF whose 0 is
    white is turned around. Alpha is composited over black, so an opaque one changes nothing. EXIF
    orientation is ignored; of a TIFF with previews or masks the picture is read.

    Errors: ImageError for a file that is missing, empty, cut short, damaged, larger than ``how`` allows, of
    several pictures, brighter than white, darker than black, not an image, or of other numbers than whole
    ones of 8 or 16 bits and floating-point ones of 32 or 64.
    """
    if channels not in (1, 3):
        raise ImageError(f"an image cannot be read with {channels} channels: ask for 1 (grey) or 3 (RGB)")
    return _read(path, file_bytes(path, how.most_megabytes), size, channels, how)


def read_checked(
    path: Path, size: tuple[int, int], channels: int, how: Reading = AS_STORED
) -> tuple[str, NDArray[np.uint8]]:
    """What `check_image` and `read_image` return, of a file that is read and decoded once."""
    data = file_bytes(path, how.most_megabytes)
    return hashlib.sha256(data).hexdigest(), _read(path, data, size, channels, how)


def _read(
    path: Path, data: bytes, size: tuple[int, int] | None, channels: int, how: Reading
) -> NDArray[np.uint8]:
    values, header = decoded(path, data, how)
    image = _with_channels(_colour(values, _white(path, values, header, how), header), channels)
    return image if size is None else how.fitting(image, size)


def check_image(path: Path, how: Reading = AS_STORED) -> str:
    """Return the SHA-256 of an image file that ``read_image`` can read; it is read and decoded once.

    Errors: ImageError as ``read_image``.
    """
    data = file_bytes(path, how.most_megabytes)
    values, header = decoded(path, data, how)
    _white(path, values, header, how)
    return hashlib.sha256(data).hexdigest()


def measured_bit_depth(
    paths: Iterable[Path], settings: ImageSettings, tell: Callable[[str], None] | None = None
) -> int | None:
    """The bit depth that the images of one line use: the smallest usual one that holds their brightest value.

    Only 16-bit files that do not say it themselves are decoded, and those of floating-point numbers, to
    ``tell`` where all are so dark that another value will be white. None where no 16-bit file is there:
    nothing is known of what such a file would mean. What the settings say is not measured. Raises ImageError.
    """
    if settings.bit_depth:
        return settings.bit_depth
    whole = reading(settings, 16)
    found = [*filter(None, each_read(lambda path: _brightest(path, whole), paths))]
    floats = [value for value, floating in found if floating]
    if tell and floats and DIM * max(floats) < whole.float_white:
        tell(
            f"the brightest value of {len(floats)} images of floating-point numbers is {max(floats):g}, and "
            f"{whole.float_white:g} is white: they look nearly black. Unless the model was trained on such, "
            "set float_white under [images] in fmi.toml to the value that is white, and register it again"
        )
    most = max((value for value, floating in found if not floating), default=None)
    return None if most is None else next(depth for depth in BIT_DEPTHS if most < 2**depth)


def _brightest(path: Path, how: Reading) -> tuple[float, bool] | None:
    """The brightest value of a file that does not say its white, and whether it is of floating point."""
    if not maybe_deep(path):
        return None
    values, header = decoded(path, file_bytes(path, how.most_megabytes), how)
    if header.floating:
        _white(path, values, header, how)
    elif not header.is_open:
        return None
    return float(values[:, :, :3].max()), header.floating


def each_read(
    read: Callable[[Named], Found], named: Iterable[Named], progress: Progress = None
) -> Iterator[Found]:
    """What `read` makes of each image that is named, in order; several are decoded at a time.

    What it raises is raised when that image's turn comes. However many are named, few are held at a time.
    """
    with ThreadPoolExecutor(DECODERS) as pool:
        left = iter(named)
        coming = deque(pool.submit(read, each) for each in islice(left, AHEAD))
        while coming:
            found = coming.popleft().result()
            coming.extend(pool.submit(read, each) for each in islice(left, 1))
            if progress:
                progress(1)
            yield found


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
    try:
        write_whole(path, as_png(image))
    except OSError as error:
        raise ImageError(f"{path}: the image cannot be written: {error.strerror}") from error


def as_png(image: NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG file of an image that `write_image` takes."""
    in_file_order = image[:, :, ::-1] if image.shape[2:] == (3,) else image
    return cv2.imencode(".png", np.ascontiguousarray(in_file_order))[1].tobytes()


def shrunk(image: NDArray[np.uint8], longer: int) -> NDArray[np.uint8]:
    """An image (height, width, channel) whose longer side has at most so many pixels."""
    scale = longer / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return image if scale >= 1 else STRETCHED.resized(image, (height, width))


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


def decoded(path: Path, data: bytes, how: Reading) -> tuple[Values, Header]:
    """Decode to (height, width, 1, 3 or 4) in OpenCV's order: grey, BGR, BGR with alpha.

    The values are as the file holds them. Errors: ImageError as ``read_image``, but for what is too bright.
    """
    header = read_header(data)
    if header is None:
        raise _no_image(path, "")
    _check_size(path, header, how)
    if header.pictures > 1:
        raise ImageError(_SEVERAL.format(path=path, pictures=header.pictures))
    whole = decodable(data)
    if whole is None:
        raise ImageError(_DAMAGED.format(path=path))
    image = _values(path, whole, header)
    if image is None or image.size == 0:
        raise _no_image(path, header.kind)
    if image.dtype not in _READ or (image.dtype == np.uint8 and header.bits > 8):
        values = f"{image.dtype}{header.kind and f' ({header.kind})'}"
        raise ImageError(_OTHER_VALUES.format(path=path, values=values))
    channels = image.reshape(*image.shape[:2], -1)
    return channels[:, :, :3] if header.opaque else channels, header


def _values(path: Path, data: bytes, header: Header) -> NDArray[Any] | None:
    """What OpenCV makes of a file, or tifffile of a TIFF that OpenCV does not know; None: nothing."""
    if header.planes:
        return tiff_values(data)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"{path}: OpenCV cannot decode this image: {error.err}") from error
    return tiff_values(data) if image is None and header.kind else image


_READ = (np.uint8, np.uint16, np.float32, np.float64)


def _no_image(path: Path, kind: str) -> ImageError:
    if kind:
        return ImageError(_OF_A_KIND.format(path=path, kind=kind))
    return ImageError(_NO_IMAGE.format(path=path, suffixes=", ".join(IMAGE_SUFFIXES)))


def _check_size(path: Path, header: Header, how: Reading) -> None:
    """Raise ImageError where an image is larger than allowed: before it is decoded, not after."""
    size = {"path": path, "width": header.width, "height": header.height}
    if header.width * header.height > how.most_megapixels * 1_000_000:
        raise ImageError(_TOO_LARGE.format(**size, most=how.most_megapixels))
    if max(header.width, header.height) > LONGEST_SIDE:
        raise ImageError(_TOO_LONG.format(**size, most=LONGEST_SIDE))


def _white(path: Path, values: Values, header: Header, how: Reading) -> float:
    """The value that is white. Raises ImageError where it is not known, or where a value lies above it."""
    if header.floating:
        _check_range(path, values, how.float_white)
        return how.float_white
    white, brightest = _whole_white(path, values, header, how), int(values[:, :, :3].max())
    if brightest > white:
        said = _ABOVE_DEPTH if header.is_open else _ABOVE_OWN
        raise ImageError(said.format(path=path, brightest=brightest, white=white, depth=how.bit_depth))
    return white


def _whole_white(path: Path, values: Values, header: Header, how: Reading) -> int:
    """The value that is white, of whole numbers."""
    if header.is_open:
        if how.bit_depth is None and not _fills(values, 8):  # 8 bits spread over 16 say it by themselves
            raise ImageError(_UNKNOWN_DEPTH.format(path=path))
        return (1 << (how.bit_depth or 16)) - 1
    if header.white is not None:
        return header.white
    if header.significant is not None and not _fills(values, header.significant):
        return (1 << header.significant) - 1
    return 255 if values.dtype == np.uint8 else 65535


def _check_range(path: Path, values: Values, white: float) -> None:
    """Raise ImageError where floating-point values lie outside black and white, or are no numbers."""
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ImageError(_NOT_FINITE.format(path=path))
    if low < 0 or high > white:
        raise ImageError(_OUTSIDE.format(path=path, low=low, high=high, white=white))


def _fills(values: Values, bits: int) -> bool:
    """Whether values of so many bits were spread over 16, as PNG wants it: zeros fill the rest, or a copy."""
    levels = np.unique(values).astype(np.int64)
    low, top = levels & (2 ** (16 - bits) - 1), levels >> (16 - bits)
    copied = np.abs(low - (top >> (2 * bits - 16))).max() <= 1  # or scaled and rounded
    return not low.any() or bool(copied)


def _colour(values: Values, white: float, header: Header) -> NDArray[np.uint8]:
    """Bring the values to 8 bits and composite alpha over black: (height, width, 1 or 3)."""
    colour = _eight_bit(values[:, :, :3], white)
    if header.negative:
        colour = cv2.bitwise_not(colour).reshape(colour.shape)
    alpha, opaque = values[:, :, 3:], white if header.floating else 2 ** (8 * values.itemsize) - 1
    if alpha.size and alpha.min() < opaque:
        plane = np.ascontiguousarray(alpha[:, :, 0])
        planes = (np.ascontiguousarray(colour[:, :, i]) for i in range(3))
        colour = cv2.merge([cv2.multiply(each, plane, scale=1 / opaque, dtype=cv2.CV_8U) for each in planes])
    return colour


def _eight_bit(values: Values, white: float) -> NDArray[np.uint8]:
    if values.dtype == np.uint8 and white == 255:
        return values.astype(np.uint8, copy=False)
    # One pass without copies in floating point: 16 bits of an image of the largest size take room enough.
    eight_bit: NDArray[np.uint8] = cv2.convertScaleAbs(np.ascontiguousarray(values), alpha=255 / white)
    return eight_bit.reshape(values.shape)


def _with_channels(image: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    if image.shape[2] == channels:
        return np.ascontiguousarray(image[:, :, ::-1])  # BGR to RGB; one channel stays
    conversion = cv2.COLOR_GRAY2RGB if channels == 3 else cv2.COLOR_BGR2GRAY
    converted: NDArray[np.uint8] = cv2.cvtColor(np.ascontiguousarray(image), conversion)
    return np.reshape(converted, (*image.shape[:2], channels))
