"""What the first bytes of an image file say: its kind, its size, and how its values are meant.

The size is known before anything is decoded, so that a file of 100 kB cannot ask for gigabytes of memory.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from io import BytesIO
from pathlib import Path
from struct import error as BadStruct
from struct import unpack_from

from tifffile import COMPRESSION, PHOTOMETRIC, PLANARCONFIG, SAMPLEFORMAT, TiffFile, TiffPage

JPEG = b"\xff\xd8"
PNG = b"\x89PNG\r\n\x1a\n"
TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # both byte orders, TIFF and BigTIFF

# Kind, width, height and the value of white, which bitmaps (P1, P4) leave out; comments run from # to the end
# of their line.
_GAP = rb"(?:\s|#[^\n\r]*[\n\r])+"
_NETPBM = re.compile(rb"P([1-6])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})(?:" + _GAP + rb"(\d{1,5}))?\s")
_START = 4096  # bytes that hold the header of a file, of a TIFF not always
_FULL_SCALES = tuple((1 << bits) - 1 for bits in range(8, 16))
_MAX_SAMPLE_VALUE, _SMAX_SAMPLE_VALUE = 281, 341  # tags of TIFF
_DERIVED = 1 | 4  # NewSubfileType of a TIFF: at a lower resolution, or a mask
_BITMAP_WITH_ALPHA = 56  # bytes of a bitmap's header that has room for the mask of alpha


@dataclass(frozen=True, slots=True)
class Header:
    """The size of an image, and the values that its file holds once decoded."""

    height: int  # pixels
    width: int  # pixels
    bits: int = 8  # of the values as decoded: 8, or more
    white: int | None = None  # the value that the file itself calls white; None: it does not say
    significant: int | None = None  # bits of the values that count, where a PNG says so
    floating: bool = False  # the values are floating-point numbers
    negative: bool = False  # 0 is white, and OpenCV leaves it so
    opaque: bool = False  # the fourth value of a pixel says nothing, although OpenCV takes it for alpha
    planes: bool = False  # a TIFF of more than 8 bits that keeps each colour by itself
    pictures: int = 1  # that are as large and no preview or mask of another: the pages of a TIFF
    kind: str = ""  # of a TIFF, in words: what a decoder may not know

    @property
    def is_open(self) -> bool:
        """Whether the values are whole numbers of more than 8 bits, and the file does not say its white."""
        return self.bits > 8 and not self.floating and self.white is None and self.significant is None


def read_header(data: bytes) -> Header | None:
    """Read the header of a BMP, JPEG, netpbm, PNG, TIFF or WebP file; None for any other, or damaged, one."""
    for signatures, read in _READERS.items():
        if data.startswith(signatures):
            try:
                return read(data)
            except (BadStruct, IndexError):  # the file ends inside its header
                return None
    return None


def maybe_deep(path: Path) -> bool:
    """Whether the values of an image file may take more than 8 bits, by its first bytes alone."""
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except (OSError, ValueError):  # told where it is read
        return False
    if start.startswith(TIFFS):  # its tags may stand at its end
        return True
    header = read_header(start)
    return header is not None and header.bits > 8


def jpeg_scan(data: bytes) -> tuple[int, int]:
    """Where the frame of a JPEG starts (0: nowhere), and its first scan; previews before them are passed."""
    frame, start = 0, 2
    while data[start : start + 1] == b"\xff" and data[start + 1 : start + 2] != b"\xda":
        kind = data[start + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):  # tables and an extension
            frame = start
        start += 1 if kind == 0xFF else 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return frame, start


def _jpeg(data: bytes) -> Header | None:
    frame, _ = jpeg_scan(data)
    height, width = unpack_from(">HH", data, frame + 5)
    return Header(height, width) if frame else None


def _png(data: bytes) -> Header:
    width, height, bits = unpack_from(">IIB", data, 16)
    return Header(height, width, bits, significant=_significant(data) if bits == 16 else None)


def _significant(data: bytes) -> int | None:
    """The bits of a PNG's values that count, by its chunk sBIT; None: all of them, or it does not say."""
    start = len(PNG)
    while (kind := data[start + 4 : start + 8]) not in (b"", b"IDAT", b"sBIT"):
        start += 12 + int.from_bytes(data[start : start + 4], "big")
    said = data[start + 8] if kind == b"sBIT" else 0
    return said if 8 <= said < 16 else None


def _bitmap(data: bytes) -> Header:
    (size,) = unpack_from("<I", data, 14)
    if size == 12:  # the header of OS/2
        width, height = unpack_from("<HH", data, 18)
        return Header(height, width)
    width, height = unpack_from("<ii", data, 18)
    has_alpha = size >= _BITMAP_WITH_ALPHA and unpack_from("<I", data, 66)[0] != 0
    return Header(abs(height), abs(width), opaque=not has_alpha)  # height below 0: from the top down


def _webp(data: bytes) -> Header | None:
    kind = data[8:16]
    if kind == b"WEBPVP8 ":
        width, height = unpack_from("<HH", data, 26)
        return Header(height & 0x3FFF, width & 0x3FFF)
    if kind == b"WEBPVP8L":
        (packed,) = unpack_from("<I", data, 21)
        return Header((packed >> 14 & 0x3FFF) + 1, (packed & 0x3FFF) + 1)
    if kind == b"WEBPVP8X":
        return Header(int.from_bytes(data[27:30], "little") + 1, int.from_bytes(data[24:27], "little") + 1)
    return None


def _netpbm(data: bytes) -> Header | None:
    found = _NETPBM.match(data)
    if found is None:
        return None
    kind, width, height = (int(found[i]) for i in (1, 2, 3))
    if kind in (1, 4):
        return Header(height, width)
    white = int(found[4] or 0)
    if not 0 < white < 65536:
        return None
    if white > 255:
        return Header(height, width, 16, _unless_full(white))
    return Header(height, width, 8, white if kind > 3 else None)  # OpenCV scales text to 255 by itself


def _tiff(data: bytes) -> Header | None:
    try:
        with TiffFile(BytesIO(data)) as file:
            page = file.pages.first
            if not isinstance(page, TiffPage):
                return None
            return replace(_of_page(page), pictures=_pictures(file, page))
    except Exception:  # of damaged tags tifffile raises nearly anything
        return None


def _pictures(file: TiffFile, first: TiffPage) -> int:
    """How many pages are pictures of their own: smaller ones are previews, and of others it may be said."""
    size = first.imagelength, first.imagewidth
    others = (file.pages.get(i) for i in range(1, len(file.pages)))
    return 1 + sum((p.imagelength, p.imagewidth) == size and not p.subfiletype & _DERIVED for p in others)


def _of_page(page: TiffPage) -> Header:
    bits, floating = int(page.bitspersample), page.sampleformat == SAMPLEFORMAT.IEEEFP
    return Header(
        page.imagelength,
        page.imagewidth,
        bits,
        _white_of(page),
        floating=floating,
        negative=bits > 8 and page.photometric == PHOTOMETRIC.MINISWHITE,
        planes=bits > 8 and page.samplesperpixel > 1 and page.planarconfig == PLANARCONFIG.SEPARATE,
        kind=f"a TIFF of {page.samplesperpixel} x {bits} bits ({_name(SAMPLEFORMAT, page.sampleformat)}, "
        f"{_name(PHOTOMETRIC, page.photometric)}) with compression {_name(COMPRESSION, page.compression)}",
    )


def _name(names: type[IntEnum], value: int) -> str:
    return names(value).name if value in {*names} else f"{value}"


def _white_of(page: TiffPage) -> int | None:
    bits = int(page.bitspersample)
    if 8 < bits < 16:
        return ((1 << bits) - 1) << (16 - bits)  # packed; OpenCV fills 16 bits with them from the top
    for tag in (_SMAX_SAMPLE_VALUE, _MAX_SAMPLE_VALUE):
        stated = page.tags.valueof(tag)
        value = stated[0] if isinstance(stated, tuple) else stated
        # Any other than 1023, 2047, ... is the brightest of this one picture, which says nothing of white.
        if bits == 16 and value in _FULL_SCALES:
            return int(value)
    return None


def _unless_full(white: int) -> int | None:
    """A white of 65535 is what every program writes that knows only the file's 16 bits: it says nothing."""
    return white if white < 65535 else None


_READERS: dict[bytes | tuple[bytes, ...], Callable[[bytes], Header | None]] = {
    JPEG: _jpeg,
    PNG: _png,
    TIFFS: _tiff,
    b"BM": _bitmap,
    b"RIFF": _webp,
    tuple(b"P%d" % kind for kind in range(1, 7)): _netpbm,
}
