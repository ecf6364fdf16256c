"""What OpenCV does not decode of TIFF, or decodes wrongly, decoded by tifffile.

OpenCV takes several planes of more than 8 bits for one, and shows noise without a word; half precision and
very small tiles of 8 bits it refuses. tifffile decodes them without compression and with Deflate.
"""

from io import BytesIO
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import PHOTOMETRIC, PLANARCONFIG, TiffFile, TiffPage

_CHANNELS = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}  # samples of a pixel -> their places, in OpenCV's order
_KNOWN = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.RGB)


def tiff_values(data: bytes) -> NDArray[Any] | None:
    """The values of a TIFF's first page, (height, width, 1, 3 or 4), in OpenCV's order; None: not decoded.

    As OpenCV gives them: half precision as single, and of 8 bits 0 is black.
    """
    try:
        with TiffFile(BytesIO(data)) as file:
            page = file.pages.first
            if not isinstance(page, TiffPage) or not _is_simple(page):
                return None
            values: NDArray[Any] = page.asarray(maxworkers=1)
    except Exception:  # of damaged files, and of compressions that it does not know, tifffile raises anything
        return None
    if _has_planes(page):
        values = np.moveaxis(values, 0, -1)
    values = values.reshape(page.imagelength, page.imagewidth, -1)[:, :, _CHANNELS[page.samplesperpixel]]
    if values.dtype == np.uint8 and page.photometric == PHOTOMETRIC.MINISWHITE:
        values = np.invert(values)
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _is_simple(page: TiffPage) -> bool:
    """Whether it is a grey or colour picture whose values are all there."""
    size = page.imagelength * page.imagewidth * page.samplesperpixel * page.bitspersample // 8
    is_whole = len(page.databytecounts) >= prod(page.chunked) and all(page.databytecounts)
    return (
        page.samplesperpixel in _CHANNELS
        and page.photometric in _KNOWN
        and is_whole
        and (page.compression != 1 or sum(page.databytecounts) >= size)
    )


def _has_planes(page: TiffPage) -> bool:
    return bool(page.samplesperpixel > 1 and page.planarconfig == PLANARCONFIG.SEPARATE)
