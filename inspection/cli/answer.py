"""What `fmi sql` answers: a table or records for people, CSV or JSON for programs."""

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from io import StringIO
from tempfile import SpooledTemporaryFile, gettempdir
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from inspection.console import Console, Table
from inspection.errors import InspectionError
from inspection.inputs.formulas import as_text

MOST_ROWS = 200  # on a terminal
NARROWEST = 16  # cells: no column is made narrower than this
IN_MEMORY = 16_000_000  # bytes of an answer: what is larger waits for its reader on the disk
READ = 1_000_000  # characters of it at a time
TALLEST = 4  # lines: a row that needs more is no row for the eye
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # all but the line feed
_NULL = "NULL"

Rows = Sequence[tuple[Any, ...]]


def as_csv(columns: Sequence[str], batches: Iterable[Rows]) -> Iterator[str]:
    """CSV with a header line; NULL is an empty cell, and what has parts (a list, a struct) is JSON.

    A text that a spreadsheet would run as a formula has an apostrophe before it.
    """
    yield _csv_lines([[as_text(column) for column in columns]])
    for rows in batches:
        yield _csv_lines([_in_csv(value) for value in row] for row in rows)


def _csv_lines(rows: Iterable[Sequence[str]]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _in_csv(value: object) -> str:
    if value is None:
        return ""
    return text_of(value) if isinstance(value, int | float | Decimal) else as_text(text_of(value))


def as_json(columns: Sequence[str], batches: Iterable[Rows]) -> Iterator[str]:
    """A JSON array of objects, one a row; a second column of one name is called name_1, and so on."""
    names, between = _distinct(columns), ""
    yield "["
    for rows in batches:
        records = [dict(zip(names, map(_plain, row), strict=True)) for row in rows]
        text = json.dumps(records, ensure_ascii=False, indent=2, allow_nan=False)
        yield between + text.removeprefix("[").removesuffix("\n]")
        between = ","
    yield "\n]\n" if between else "]\n"


@contextmanager
def kept(pieces: Iterable[str]) -> Iterator[Iterator[str]]:
    """Take pieces of text as fast as they come, and give them for the block: what is large waits on the disk.

    So whoever reads a pipe slowly, or not at all, holds nothing up. Raises InspectionError where the disk is
    full.
    """
    with SpooledTemporaryFile(IN_MEMORY, "w+", encoding="utf-8", newline="") as file:
        try:
            for piece in pieces:
                file.write(piece)
        except OSError as error:
            raise InspectionError(
                f"the answer is larger than the folder {gettempdir()} can hold ({error.strerror}): "
                "ask for fewer rows with LIMIT, or name another folder in TMPDIR"
            ) from error
        file.seek(0)
        yield iter(lambda: file.read(READ), "")


def show(console: Console, errors: Console, columns: Sequence[str], rows: Rows) -> None:
    """Print the rows on a terminal: as a table where it can be read, else one record below the other."""
    shown = [[_cell(value) for value in row] for row in rows[:MOST_ROWS]]
    names = [_cell(name) for name in columns]
    widths = _widths(names, shown, console.width)
    if widths is None:
        _print_records(console, names, shown)
    else:
        _print_table(console, names, shown, widths)
    if len(shown) < len(rows):
        errors.print(f"only {len(shown)} rows are shown; --csv or a pipe gives all of them")
    elif not rows:
        errors.print("no rows")


def text_of(value: object) -> str:
    """A value of DuckDB as text: times in ISO 8601, what has parts as JSON."""
    if value is None:
        return _NULL
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple | dict):
        return json.dumps(_plain(value), ensure_ascii=False)
    return str(value)


def _plain(value: Any) -> Any:
    """A value as JSON has it: null for what is not a number, text for what JSON has no kind of."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return _plain(float(value))
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | str) else text_of(value)


def _distinct(columns: Sequence[str]) -> list[str]:
    names: list[str] = []
    for column in columns:
        name, count = column, 0
        while name in names:
            count += 1
            name = f"{column}_{count}"
        names.append(name)
    return names


# --- on a terminal ---


def _cell(value: object) -> Text:
    """A value as it stands on a terminal: no markup of its own, no control characters."""
    shown = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text_of(value).replace("\r\n", "\n"))
    return Text(shown, style="dim" if value is None else "")


def _widths(names: Sequence[Text], rows: Sequence[Sequence[Text]], room: int) -> list[int] | None:
    """The columns' widths in cells, the widest narrowed to what fits; None where that cannot be read."""
    natural = [max(_width(cell) for cell in column) for column in zip(names, *rows, strict=True)]
    room -= 3 * len(names) + 1  # the lines between the columns, and a blank on both sides of each
    widest = min(max(natural, default=0), max(room, NARROWEST))
    while widest > NARROWEST and sum(min(width, widest) for width in natural) > room:
        widest -= 1
    widths = [min(width, widest) for width in natural]
    lines = [_lines(cell, width) for row in rows for cell, width in zip(row, widths, strict=True)]
    return widths if sum(widths) <= room and max(lines, default=0) <= TALLEST else None


def _width(cell: Text) -> int:
    return max((cell_len(line) for line in cell.plain.split("\n")), default=0)


def _lines(cell: Text, width: int) -> int:
    return sum(max(1, -(-cell_len(line) // max(1, width))) for line in cell.plain.split("\n"))


def _print_table(
    console: Console, names: Sequence[Text], rows: Sequence[Sequence[Text]], widths: Sequence[int]
) -> None:
    table = Table()
    for name, width in zip(names, widths, strict=True):
        table.add_column(name, width=width)
    for row in rows:
        table.add_row(*row)
    if names:
        console.print(table)


def _print_records(console: Console, names: Sequence[Text], rows: Sequence[Sequence[Text]]) -> None:
    for number, row in enumerate(rows, 1):
        console.rule(f"row {number} of {len(rows)}", align="left")
        record = Table.grid(padding=(0, 2))
        record.add_column(style="bold", max_width=console.width // 3)
        record.add_column(overflow="fold")
        for name, cell in zip(names, row, strict=True):
            record.add_row(Text.assemble(name, ":"), cell)
        console.print(record)
