"""Contact sheets: pictures in rows and columns with their labels, drawn as one image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.errors import ImageError

Tone = Literal["ink", "quiet", "good", "bad"]
Picture = NDArray[np.uint8]  # (height, width, 1) grey or (height, width, 3) RGB

SMALLEST = 96  # pixels: pictures with a shorter side are enlarged by a whole number
MOST_PIXELS = 2**26  # of a sheet; what is larger, few programs open
MARGIN, GAP, GROUP_GAP, ROW_GAP = 28, 12, 30, 22  # pixels
NARROWEST = 560  # pixels: a title needs room

_PAPER, _RULE = (252, 251, 249), (214, 211, 206)
_TONES: dict[Tone, tuple[int, int, int]] = {
    "ink": (28, 30, 34),
    "quiet": (104, 106, 112),
    "good": (22, 118, 66),
    "bad": (190, 38, 34),
}
_FONT = cv2.FONT_HERSHEY_SIMPLEX  # in OpenCV 4 strokes of a pen, ASCII only: labels keep to it
_SMALLEST_BOLD = 0.6 if cv2.__version__.startswith("4.") else 0.0  # bolder, small strokes run together
_LINE = 17  # pixels from one small line to the next
_HEADER, _HEADINGS = 76, 52  # pixels of the title's band, and of the columns' headings


@dataclass(frozen=True, slots=True)
class _Type:
    """How large text is written, in OpenCV's unit, and how heavy."""

    size: float
    bold: bool = False

    @property
    def weight(self) -> int:
        return 2 if self.bold and self.size >= _SMALLEST_BOLD else 1


_TITLE, _HEADING, _LABEL = _Type(0.7, bold=True), _Type(0.46), _Type(0.5, bold=True)
_SMALL, _STAMP = _Type(0.4), _Type(0.44, bold=True)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, such as those under a picture."""

    text: str
    tone: Tone = "quiet"


@dataclass(frozen=True, slots=True)
class Cell:
    """A picture with what is said of it."""

    picture: Picture
    lines: tuple[Line, ...] = ()
    withheld: bool = False  # greyed and crossed out


@dataclass(frozen=True, slots=True)
class Column:
    """The heading of a column; columns side by side of one group stand under the group's."""

    group: str
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """The label of a row and its cells, one for each column; None leaves a place empty."""

    label: str
    details: tuple[Line, ...]
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What stands on a contact sheet."""

    title: str
    subtitle: str
    size: tuple[int, int]  # (height, width) of the pictures in pixels; one of another size is fitted in
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()  # sentences at the foot


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything on a sheet stands, in pixels from its top left corner."""

    factor: int  # by which pictures are enlarged
    cell: tuple[int, int]  # (height, width) of a picture as drawn
    lefts: tuple[int, ...]  # of each column
    tops: tuple[int, ...]  # of the pictures of each row
    notes_top: int
    size: tuple[int, int]  # (height, width) of the sheet


def enlargement(size: tuple[int, int]) -> int:
    """The whole number by which pictures (height, width) are enlarged to be seen well."""
    return max(1, ceil(SMALLEST / min(size)))


def plan(sheet: Sheet) -> Plan:
    """Lay a sheet out. Raises ImageError where it would be larger than programs open."""
    factor = enlargement(sheet.size)
    height, width = (side * factor for side in sheet.size)
    lefts = _lefts(sheet, width)
    right = max(lefts[-1] + width + MARGIN, NARROWEST, _width(sheet.title, _TITLE) + 2 * MARGIN)
    top, tops = _HEADER + _HEADINGS, []
    for row in sheet.rows:
        tops.append(top)
        top += height + _LINE * _lines(row) + ROW_GAP
    foot = len(_wrapped(sheet.notes, right - 2 * MARGIN)) * _LINE
    bottom = top + foot + (MARGIN if foot else 0)
    if bottom * right > MOST_PIXELS:
        raise ImageError(
            f"a sheet of {len(sheet.rows)} rows by {len(sheet.columns)} columns would be {right} x {bottom} "
            "pixels, more than most programs open: ask for fewer rows, sources or seeds"
        )
    return Plan(factor, (height, width), lefts, tuple(tops), top, (bottom, right))


def _lefts(sheet: Sheet, width: int) -> tuple[int, ...]:
    left = MARGIN + _label_width(sheet)
    lefts = []
    for before, column in zip((None, *sheet.columns), sheet.columns, strict=False):
        if before is not None:
            left += width + (GAP if before.group == column.group else GROUP_GAP)
        lefts.append(left)
    return tuple(lefts)


def _label_width(sheet: Sheet) -> int:
    texts = [(row.label, _LABEL) for row in sheet.rows]
    texts += [(detail.text, _SMALL) for row in sheet.rows for detail in row.details]
    widest = max((_width(*text) for text in texts if text[0]), default=0)
    return widest + GROUP_GAP if widest else 0


def _lines(row: Row) -> int:
    return max((len(cell.lines) for cell in row.cells if cell), default=0)


def draw(sheet: Sheet) -> Picture:
    """Draw a sheet as an RGB image (height, width, 3)."""
    laid = plan(sheet)
    canvas = np.full((*laid.size, 3), _PAPER, np.uint8)
    most = laid.size[1] - 2 * MARGIN
    _write(canvas, Line(sheet.title, "ink"), (MARGIN, 38), _TITLE, most)
    _write(canvas, Line(sheet.subtitle), (MARGIN, 60), _HEADING, most)
    _draw_headings(canvas, sheet, laid)
    for row, top in zip(sheet.rows, laid.tops, strict=True):
        _draw_row(canvas, row, top, laid)
    for i, note in enumerate(_wrapped(sheet.notes, most)):
        _write(canvas, Line(note), (MARGIN, laid.notes_top + 10 + i * _LINE), _SMALL)
    return canvas


def _draw_headings(canvas: Picture, sheet: Sheet, laid: Plan) -> None:
    width = laid.cell[1]
    for group, members in groupby(zip(sheet.columns, laid.lefts, strict=True), lambda each: each[0].group):
        columns = list(members)
        left, right = columns[0][1], columns[-1][1] + width
        _write(canvas, Line(group, "ink"), (left, _HEADER + 16), _HEADING, right - left)
        canvas[_HEADER + 24, left:right] = _RULE
        for column, at in columns:
            _write(canvas, Line(column.heading), (at, _HEADER + 41), _SMALL, width + GAP // 2)


def _draw_row(canvas: Picture, row: Row, top: int, laid: Plan) -> None:
    height, width = laid.cell
    _write(canvas, Line(row.label, "ink"), (MARGIN, top + 14), _LABEL)
    for i, detail in enumerate(row.details):
        _write(canvas, detail, (MARGIN, top + 16 + (i + 1) * _LINE), _SMALL)
    for cell, left in zip(row.cells, laid.lefts, strict=True):
        if cell is not None:
            picture = _fitted(cell.picture, laid.cell)
            canvas[top : top + height, left : left + width] = _withheld(picture) if cell.withheld else picture
            for i, line in enumerate(cell.lines):
                at = (left, top + height + (i + 1) * _LINE)
                _write(canvas, line, at, _SMALL, width + GAP // 2)


def _fitted(picture: Picture, cell: tuple[int, int]) -> Picture:
    """A picture as RGB in the middle of a cell: each pixel repeated where a whole number of times fits."""
    height, width = picture.shape[:2]
    factor = min(cell[0] / height, cell[1] / width)
    if factor == int(factor):
        larger = picture.repeat(int(factor), 0).repeat(int(factor), 1)
    else:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        method = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
        larger = np.atleast_3d(cv2.resize(np.ascontiguousarray(picture), size, interpolation=method))
    placed = np.full((*cell, 3), _PAPER, np.uint8)
    top, left = (cell[0] - larger.shape[0]) // 2, (cell[1] - larger.shape[1]) // 2
    placed[top : top + larger.shape[0], left : left + larger.shape[1]] = larger  # grey is repeated
    return placed


def _withheld(picture: Picture) -> Picture:
    """The picture washed out, a red cross over it, and the word."""
    height, width = picture.shape[:2]
    grey = picture.mean(2, keepdims=True)
    washed = np.repeat(np.round(214 + (grey - 128) * 0.16), 3, axis=2).clip(0, 255).astype(np.uint8)
    corners = (((6, 6), (width - 7, height - 7)), ((6, height - 7), (width - 7, 6)))
    for start, end in corners:
        cv2.line(washed, start, end, _TONES["bad"], max(2, min(height, width) // 56), cv2.LINE_AA)
    across = _width("withheld", _STAMP)
    left, middle = (width - across) // 2, height // 2
    washed[middle - 12 : middle + 12, max(left - 7, 0) : left + across + 7] = _PAPER
    _write(washed, Line("withheld", "bad"), (left, middle + 5), _STAMP)
    return washed


def _write(canvas: Picture, line: Line, at: tuple[int, int], face: _Type, most: int | None = None) -> None:
    """Write text on its baseline at (left, down), in smaller type or cut where it is wider than `most`."""
    text, face = (line.text, face) if most is None else _cut(line.text, face, most)
    cv2.putText(canvas, text, at, _FONT, face.size, _TONES[line.tone], face.weight, cv2.LINE_AA)


def _cut(text: str, face: _Type, most: int) -> tuple[str, _Type]:
    for share in (1, 0.93, 0.86):
        smaller = _Type(share * face.size, face.bold)
        if _width(text, smaller) <= most:
            return text, smaller
    while text and _width(f"{text}...", smaller) > most:
        text = text[:-1]
    return f"{text}...", smaller


def _width(text: str, face: _Type) -> int:
    return int(cv2.getTextSize(text, _FONT, face.size, face.weight)[0][0])


def _wrapped(sentences: Sequence[str], most: int) -> list[str]:
    """The sentences in lines of at most that many pixels; each begins a line."""
    return [line for sentence in sentences for line in _broken(sentence, most)]


def _broken(sentence: str, most: int) -> Iterator[str]:
    line = ""
    for word in sentence.split():
        if line and _width(f"{line} {word}", _SMALL) > most:
            yield line
            line = ""
        line = f"{line} {word}".strip()
    if line:
        yield line
