"""The chunks of a PNG file, checked here because libpng complains on the terminal, past every program.

What reaches the decoder is made anew of what it needs, so that there is nothing left to complain about.
"""

import zlib
from dataclasses import dataclass
from struct import unpack

from inspection.inputs.headers import PNG

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> values of a pixel
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # -> bits of a value
_TRANSPARENT = {0: 2, 2: 6}  # colour type -> bytes of the colour that is transparent
# First column and row, and the steps between columns and between rows, of the passes of an interlaced file.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_WHOLE = ((0, 0, 1, 1),)
_PALETTE = 3  # the colour type
_FILTERS = bytes(range(5))


@dataclass(frozen=True, slots=True)
class Png:
    """A PNG file in its parts."""

    width: int  # pixels
    height: int  # pixels
    depth: int  # bits of a value
    colour: int  # the colour type
    interlaced: bool
    header: bytes
    palette: bytes
    transparency: bytes
    pixels: bytes  # compressed


def read_png(data: bytes) -> Png | None:
    """Take a PNG file apart; None where it is damaged: cut short, a checksum that is wrong, bad values."""
    parts = _chunks(data)
    if parts is None or len(parts.get(b"IHDR", b"")) != 13 or any(not _is_known(kind) for kind in parts):
        return None
    width, height, depth, colour, *methods, interlaced = unpack(">IIBBBBB", parts[b"IHDR"])
    palette = parts.get(b"PLTE", b"")
    if not (width and height) or depth not in _DEPTHS.get(colour, ()) or any(methods) or interlaced > 1:
        return None
    if colour == _PALETTE and not (0 < len(palette) <= 768 and len(palette) % 3 == 0):
        return None
    return Png(
        width,
        height,
        depth,
        colour,
        bool(interlaced),
        parts[b"IHDR"],
        palette,
        parts.get(b"tRNS", b""),
        parts.get(b"IDAT", b""),
    )


def remade(png: Png) -> bytes | None:
    """The file with what a decoder needs and no more; None where its pixels are not all there."""
    passes = _rows(png)
    size = sum(rows * length for rows, length in passes)
    stream = zlib.decompressobj()
    try:
        values = stream.decompress(png.pixels, size + 1)
    except zlib.error:
        return None
    if (
        len(values) < size
        or (len(values) == size and not stream.eof)
        or not _filters_are_known(values, passes)
    ):
        return None
    is_exact = len(values) == size and not stream.unused_data
    parts = [(b"IHDR", png.header)]
    if png.colour == _PALETTE:  # an entry that is missing is black
        parts.append((b"PLTE", png.palette[: 3 << png.depth].ljust(3 << png.depth, b"\0")))
    if png.transparency and (png.colour == _PALETTE or len(png.transparency) == _TRANSPARENT.get(png.colour)):
        parts.append((b"tRNS", png.transparency[: 1 << png.depth]))
    parts += [(b"IDAT", png.pixels if is_exact else zlib.compress(values[:size], 1)), (b"IEND", b"")]
    return PNG + b"".join(_chunk(kind, body) for kind, body in parts)


def _chunks(data: bytes) -> dict[bytes, bytes] | None:
    """The bodies of the chunks, several of a kind joined; None without an end, or for a wrong checksum."""
    bodies: dict[bytes, list[bytes]] = {}
    start = len(PNG)
    while start + 12 <= len(data):
        # Length of the body, kind, body, CRC of kind and body. The last is IEND.
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        kind = data[start + 4 : start + 8]
        if zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return None
        bodies.setdefault(kind, []).append(data[start + 8 : end - 4])
        if kind == b"IEND":
            return {kind: b"".join(each) for kind, each in bodies.items()}
        start = end
    return None


def _is_known(kind: bytes) -> bool:
    return kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND") or bool(
        kind[0] & 0x20
    )  # a small letter: may be left out


def _rows(png: Png) -> list[tuple[int, int]]:
    """How many rows each pass has, and their length in bytes: one of the filter, then the values."""
    found = []
    for column, row, across, down in _PASSES if png.interlaced else _WHOLE:
        columns, rows = -(-(png.width - column) // across), -(-(png.height - row) // down)
        if columns > 0 and rows > 0:
            found.append((rows, 1 + -(-columns * png.depth * _SAMPLES[png.colour] // 8)))
    return found


def _filters_are_known(values: bytes, passes: list[tuple[int, int]]) -> bool:
    start = 0
    for rows, length in passes:
        end = start + rows * length
        if values[start:end:length].translate(None, _FILTERS):
            return False
        start = end
    return True


def _chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
