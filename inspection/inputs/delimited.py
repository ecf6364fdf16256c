"""Delimited text (CSV), with nothing left to a guess: where its header stands, and its lines as records."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

_DELIMITERS = ",;\t|"
_STATED = re.compile(r'"?sep=([,;\t|:])"?[,;\t|:]*\n', re.IGNORECASE)  # Excel's first line
_SEARCHED = 20  # lines in which the header is sought, below the preamble of a camera or an export
_UNCLOSED = "a quotation mark is not closed in this line"
_MISFIT = "Expected Number of Columns: {columns} Found: {found}"
_AFTER = "'{delimiter}' expected after '\"'"  # the words of Python's csv
SAID = (_UNCLOSED, _MISFIT, _AFTER)
"""Why a line is no row."""

Places = Callable[[Sequence[str]], list[int] | None]
"""Where the columns stand that every row needs; None where one of them is missing."""
Record = tuple[int, int, list[str], str]
"""Its first line and the line after it, both from 0; its cells; and why it is no row (empty: it is one)."""


class HeaderError(Exception):
    """A table whose columns are not named in a line of their own: says what stands there."""


@dataclass(frozen=True, slots=True)
class Header:
    """The line that names the columns."""

    ends: int  # the line after it, from 0
    columns: tuple[str, ...]
    delimiter: str
    needed: tuple[int, ...] | None  # places of the columns that every row needs

    @property
    def least(self) -> int:
        """How many cells a row has at least: what is missing at its end is not needed."""
        return max(self.needed, default=-1) + 1 if self.needed else len(self.columns)


@contextmanager
def longest_cell(characters: int) -> Iterator[None]:
    """Have cells of at most so many characters read in the block."""
    before = csv.field_size_limit(characters)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def find_header(lines: Sequence[str], places: Places) -> Header:
    """Find the line that names the columns: the first that is not blank, or that below ``sep=;``.

    Lines above it that name nothing and hold no delimiter are the preamble of a camera or an export, and no
    rows. Where no line names all columns that are needed, the first is returned. Errors: HeaderError where
    rows may stand above the header, and where the first line is no line of CSV.
    """
    first = next(i for i, line in enumerate(lines) if line.strip())
    stated = _STATED.fullmatch(lines[first])
    delimiters, first = (stated[1], first + 1) if stated else (_DELIMITERS, first)
    sought = [i for i in range(first, min(first + _SEARCHED, len(lines))) if lines[i].strip()]
    if not sought:
        raise HeaderError(f"nothing stands below line {first}, {lines[first - 1].strip()!r}")
    for i in sought:
        header = _header_at(lines, i, delimiters, places)
        if header and header.needed is not None:
            _check_above(lines, [j for j in sought if j < i], i, header)
            return header
    header = _header_at(lines, sought[0], delimiters, places)
    if header is None:
        raise HeaderError(
            f"line {sought[0] + 1} names no columns: a quotation mark in it is not closed, or it has a field "
            f"larger than the field limit of {csv.field_size_limit():,} characters, which is longest_cell "
            "under [tables] in fmi.toml"
        )
    return header


def _header_at(lines: Sequence[str], line: int, delimiters: str, places: Places) -> Header | None:
    """Read a line as the header, by the delimiter that parts it best; None where it is no line of CSV."""
    headers = []
    for delimiter in delimiters:
        reader = csv.reader(lines[line : line + _SEARCHED], delimiter=delimiter, strict=True)
        try:
            columns = tuple(next(reader))
        except csv.Error:
            continue
        needed = places(columns)
        found = None if needed is None else tuple(needed)
        headers.append(Header(line + reader.line_num, columns, delimiter, found))
    return max(headers, key=lambda each: (each.needed is not None, len(each.columns)), default=None)


def _check_above(lines: Sequence[str], above: Sequence[int], line: int, header: Header) -> None:
    if any(header.delimiter in lines[i] for i in above):
        raise HeaderError(
            f"line {line + 1} names the columns, but line {above[0] + 1} above it is "
            f"{lines[above[0]].strip()[:200]!r}; remove what stands above the line of the columns"
        )


def records(lines: Sequence[str], header: Header) -> Iterator[Record]:
    """Part the lines below the header into records, blank ones too.

    A quotation mark that is not closed costs its own line, and hides none of those that follow. A row may
    lack cells at its end that are not needed, and have empty ones beyond its columns.
    """
    start = header.ends
    while start < len(lines):
        following = map(lines.__getitem__, range(start, len(lines)))
        reader = csv.reader(following, delimiter=header.delimiter, strict=True)
        line, why = start, ""
        try:
            for cells in reader:
                ends = start + reader.line_num
                if ends > line + 1 and _hides_rows(cells, lines[line + 1 : ends], header):
                    why = _UNCLOSED
                    break
                if len(cells) != len(header.columns):
                    why = _misfit(cells, header)
                yield line, ends, cells, why
                line, why = ends, ""
            else:
                return
        except csv.Error as error:
            ran_on = start + reader.line_num > line + 1 or "unexpected end" in str(error)
            why = _UNCLOSED if ran_on else str(error)
        yield line, line + 1, [], why
        start = line + 1


def _hides_rows(cells: Sequence[str], further: Sequence[str], header: Header) -> bool:
    """Whether a cell over several lines swallowed rows: a quotation mark before it was not closed."""
    needed = header.needed or ()
    if len(cells) != len(header.columns) or any("\n" in cells[place] for place in needed):
        return True
    parted = (line.split(header.delimiter) for line in further)
    return any(
        len(each) == len(header.columns) > 1
        and all(each[place].strip() for place in needed)
        and '"' not in each[0]  # which would end a cell of the first column
        for each in parted
    )


def _misfit(cells: Sequence[str], header: Header) -> str:
    """Say why cells are no row of the table; empty where they are one, or all blank."""
    columns = len(header.columns)
    lacks = len(cells) < header.least and any(map(str.strip, cells))
    if lacks or any(map(str.strip, cells[columns:])):
        return _MISFIT.format(columns=columns, found=len(cells))
    return ""
