"""Whether the bytes of an image file are all there: decoders hand out half a picture without a word."""

import struct
import zlib

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TIFF_SIZES = {3: "H", 4: "I"}  # TIFF field type -> struct code (SHORT, LONG)
_TIFF_EXTENTS = ((273, 279), (324, 325))  # tags: strip offsets and byte counts, tile offsets and byte counts


def is_whole(data: bytes) -> bool:
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
