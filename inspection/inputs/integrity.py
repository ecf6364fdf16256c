"""Whether the bytes of an image file are all there, where OpenCV does not say so, or says so past us.

OpenCV refuses what is cut short, with two exceptions: a TIFF with one plane for each colour, of which it
fills what is missing, and before 5.0 a JPEG. A JPEG whose end was never written (zeros) it takes to this day.
A damaged PNG it refuses, but libpng prints a line of its own, which names no file, over whatever stands on
the terminal. Values that changed inside a whole file are found in PNG alone, which has checksums.
"""

import logging
import zlib
from io import BytesIO

from tifffile import TiffFile

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # both byte orders, TIFF and BigTIFF

logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)  # a bad file gets one message, ours


def is_whole(data: bytes) -> bool:
    """Say whether a JPEG, PNG or TIFF file reaches its end; any other is left to the decoder."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg_is_whole(data)
    if data.startswith(_PNG_SIGNATURE):
        return _png_is_whole(data)
    if data.startswith(_TIFF_SIGNATURES):
        return _tiff_is_whole(data)
    return True


def _jpeg_is_whole(data: bytes) -> bool:
    # Step over the segments before the scan: a preview in one of them has an end marker of its own.
    start = 2
    while data[start : start + 1] == b"\xff" and data[start + 1 : start + 2] != b"\xda":
        is_padding = data[start + 1 : start + 2] == b"\xff"
        start += 1 if is_padding else 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return data.find(b"\xff\xd9", start) != -1


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


def _tiff_is_whole(data: bytes) -> bool:
    """Say whether every strip and tile of the first page lies inside the file."""
    try:
        with TiffFile(BytesIO(data)) as file:
            page = file.pages.first
            parts = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    except Exception:  # of damaged tags tifffile raises nearly anything; OpenCV refuses those
        return True
    return all(offset + count <= len(data) for offset, count in parts)
