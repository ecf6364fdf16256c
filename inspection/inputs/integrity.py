"""Whether the pixels of an image file are all there, asked of what says so without a word on the terminal.

OpenCV refuses what is cut short, with two exceptions: of a TIFF with one plane for each colour it fills what
is missing, and of a JPEG that lost blocks libjpeg fills the rest with grey, which it tells on the terminal
alone. There libpng, too, says what it thinks of a PNG. So a JPEG is read for libjpeg's warnings first, a PNG
is checked and made anew (see ``png``), and the strips and tiles of a TIFF are looked for. Values that changed
inside a whole file are found in PNG and in TIFF with ZIP compression, which have checksums.
"""

import logging
import zlib
from io import BytesIO

import simplejpeg
from tifffile import TiffFile

from inspection.inputs.headers import JPEG, PNG, TIFFS, jpeg_scan
from inspection.inputs.png import read_png, remade

_ZIP = (8, 32946)  # TIFF's compressions that zlib reads

logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)  # a bad file gets one message, ours


def decodable(data: bytes) -> bytes | None:
    """The bytes that OpenCV decodes without a complaint; None where pixels are missing.

    Of a JPEG, PNG or TIFF; any other is left to the decoder.
    """
    if data.startswith(PNG):
        png = read_png(data)
        return remade(png) if png else None
    if data.startswith(JPEG):
        return data if _jpeg_is_whole(data) else None
    if data.startswith(TIFFS):
        return data if _tiff_is_whole(data) else None
    return data


def _jpeg_is_whole(data: bytes) -> bool:
    _, scan = jpeg_scan(data)
    if data.find(b"\xff\xd9", scan) == -1:
        return False
    try:
        # All blocks are read, of which an eighth of the size makes the least work; strict: warnings count.
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, strict=True)
    except ValueError as error:
        return "subsampling" in str(error)  # a kind that it does not know is left to the decoder
    return True


def _tiff_is_whole(data: bytes) -> bool:
    """Say whether every strip and tile of the first page lies inside the file, as it was compressed."""
    try:
        with TiffFile(BytesIO(data)) as file:
            page = file.pages.first
            parts = list(zip(page.dataoffsets, page.databytecounts, strict=False))
            is_zipped = page.compression in _ZIP
    except Exception:  # of damaged tags tifffile raises nearly anything; OpenCV refuses those
        return True
    if any(offset + count > len(data) for offset, count in parts):
        return False
    return not is_zipped or all(_inflates(data[offset : offset + count]) for offset, count in parts)


def _inflates(part: bytes) -> bool:
    try:
        zlib.decompress(part)
    except zlib.error:
        return False
    return True
