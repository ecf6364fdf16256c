"""Files that hold a table, read as text: CSV, JSON lines, Parquet, or a query on a DuckDB file."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from inspection.errors import InspectionError, LogError
from inspection.findings import SetAside
from inspection.inputs import delimited
from inspection.inputs import text as texts
from inspection.inputs.delimited import HeaderError, find_header, longest_cell, records
from inspection.inputs.formulas import as_meant
from inspection.inputs.images import is_file
from inspection.inputs.text import Text, read_text
from inspection.workspace.settings import DEFAULT_TABLES, TableSettings

CSV = (".csv", ".tsv", ".txt")
PARQUET = (".parquet",)
JSON_LINES = (".jsonl", ".ndjson")
JSON = (".json", *JSON_LINES)  # a .json file may hold one array
DATABASE = (".duckdb", ".db")
_TWICE, _NO_OBJECT = "a key stands in it twice", "not a JSON object"
SAID = tuple(f"{why}: {{line}}" for why in (*delimited.SAID, *texts.SAID, _TWICE, _NO_OBJECT))
"""What is said of lines that are no rows."""


def folded(name: str) -> str:
    """A column's name as it is compared with others."""
    return name.strip().casefold()


def check_once(path: Path, columns: Sequence[str], used: Iterable[str], error: type[InspectionError]) -> None:
    """Raise ``error`` where a column that is used, by its folded name, stands in the table twice."""
    for name in used:
        same = [column for column in columns if folded(column) == name]
        if len(same) > 1:
            raise error(
                f"{path}: the same column stands there {len(same)} times: "
                f"{', '.join(map(repr, same))}; which one counts is not known: rename or remove the others"
            )


# --- the file as a table of text ---


@dataclass(frozen=True, slots=True)
class Use:
    """What a table is read for."""

    noun: str = "defect log"  # in messages
    error: type[InspectionError] = LogError
    suffixes: tuple[str, ...] = (*CSV, *PARQUET, *JSON, *DATABASE)
    needed: tuple[tuple[str, ...], ...] = ()  # what every row has: its column's folded names, best first
    limits: TableSettings = DEFAULT_TABLES

    def places(self, columns: Sequence[str]) -> list[int] | None:
        """Where the needed columns stand; None where one is missing."""
        names = [folded(column) for column in columns]
        chosen = [next((name for name in each if name in names), None) for each in self.needed]
        return None if None in chosen else [names.index(name) for name in chosen if name]


@dataclass(frozen=True, slots=True)
class Table:
    """What a file holds: its columns, its rows as text, and the lines that are no rows."""

    columns: tuple[str, ...]  # the plant's names
    rows: list[tuple[int, Sequence[str | None]]]  # row number, one text for each column
    malformed: list[SetAside]
    lines: Sequence[int] = field(default=(), repr=False)  # of a text file: where row 1, 2, ... starts

    def place_of(self, row: int) -> str:
        """Where a row stands, in words."""
        return f"line {self.lines[row - 1]}" if self.lines else f"row {row}"


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    use: Use

    def fault(self, says: str) -> InspectionError:
        return self.use.error(f"{self.path}: {says}")

    def unreadable(self, reason: object) -> InspectionError:
        return self.fault(f"the {self.use.noun} cannot be read: {reason}")

    def check_size(self, rows: int, columns: int) -> None:
        most = self.use.limits.most_columns
        if columns > most:
            raise self.fault(
                f"the {self.use.noun} has {columns:,} columns; at most {most:,} are read. "
                "Export the columns that are needed, or raise most_columns under [tables] in fmi.toml"
            )
        if rows > self.most_rows(columns):
            raise self.fault(
                f"the {self.use.noun} has more than {self.most_rows(columns):,} rows of {columns} columns, "
                "more than are read at once; split it, export fewer columns, or raise most_million_cells "
                "under [tables] in fmi.toml"
            )

    def most_rows(self, columns: int) -> int:
        """How many rows of so many columns are read."""
        return self.use.limits.most_million_cells * 1_000_000 // max(columns, 1)


def read_table(path: Path, query: str | None, use: Use = Use()) -> Table:
    """Read a file by its suffix. Raises the use's error where it cannot be read as a whole.

    A row of CSV that lacks only cells at its end which are not needed is a row; a line that is no text, or
    no row, is malformed.
    """
    file, suffix = _File(path, use), path.suffix.lower()
    if not is_file(path):
        raise file.fault(f"there is no such file; give the path of a {use.noun}")
    if suffix not in use.suffixes:
        raise file.fault(
            f"a {use.noun} ends in {', '.join(use.suffixes)}, not in '{suffix}'; export it as CSV"
        )
    size = path.stat().st_size
    if size == 0:
        raise file.fault(f"the {use.noun} is empty (0 bytes)")
    if suffix in DATABASE:
        return _read_query(file, query)
    if query is not None:
        raise file.fault(f"a query needs a DuckDB file ({', '.join(DATABASE)})")
    if size > use.limits.most_megabytes * 1_000_000:
        raise file.fault(
            f"the {use.noun} has {size / 1e6:,.0f} MB; at most {use.limits.most_megabytes} are read: "
            "split it, or raise most_megabytes under [tables] in fmi.toml"
        )
    try:
        return _read_parquet(file) if suffix in PARQUET else _read_lines(file, suffix)
    except OSError as error:
        raise file.unreadable(error) from error


def _read_lines(file: _File, suffix: str) -> Table:
    text = read_text(file.path.read_bytes())
    if not any(line.strip() for line in text.lines):
        raise file.fault(f"the {file.use.noun} is empty: it holds nothing but blank lines")
    return _read_csv(file, text) if suffix in CSV else _read_json(file, text)


def _read_csv(file: _File, text: Text) -> Table:
    with longest_cell(file.use.limits.longest_cell):
        return _read_records(file, text)


def _read_records(file: _File, text: Text) -> Table:
    try:
        header = find_header(text.lines, file.use.places)
    except HeaderError as error:
        raise file.unreadable(error) from error
    width = len(header.columns)
    file.check_size(0, width)
    if header.needed is None and text.bad:
        raise file.fault(f"{text.no_text()}, and no line names its columns; export it as UTF-8")
    starts: list[int] = []
    table = Table(header.columns, [], [], starts)
    for number, (line, ends, cells, misfit) in enumerate(records(text.lines, header), start=1):
        starts.append(line + 1)
        why = text.why_bad(line, ends) or misfit
        if why:
            table.malformed.append(_malformed(number, why, text.lines[line]))
        elif any(map(str.strip, cells)):
            meant = [*map(as_meant, cells[:width]), *[""] * (width - len(cells))]
            table.rows.append((number, meant))
    file.check_size(len(table.rows), width)
    return table


def _malformed(row: int, why: str, line: str) -> SetAside:
    return SetAside(row, "malformed", f"{why.rstrip('.')}: {line.strip()[:200]}", None)


# --- JSON, Parquet and DuckDB files ---


@contextmanager
def _copied(file: _File, data: bytes) -> Iterator[Path]:
    """Lend a copy under a plain path: DuckDB reads UTF-8 only, and takes [, * and ? for a pattern."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"table{file.path.suffix.lower()}"
        copy.write_bytes(data)
        try:
            yield copy
        except duckdb.Error as error:
            reason = str(error).split("\n")[0].replace(str(copy), file.path.name)
            raise file.unreadable(reason) from error


def _read_json(file: _File, text: Text) -> Table:
    whole = "".join(text.lines)
    if file.path.suffix.lower() == ".json" and whole.lstrip().startswith("["):
        if text.bad:
            line, why = next(iter(text.bad.items()))
            raise file.fault(f"line {line + 1} of its JSON array: {why}; export it as UTF-8")
        if not whole.rstrip().endswith("]"):
            raise file.fault(f"the {file.use.noun} is cut short: its JSON array has no end")
        return _read_objects(file, whole, "format='array'", [])
    lines = [
        "null\n" if i in text.bad or not line.strip() else line.rstrip("\n") + "\n"
        for i, line in enumerate(text.lines)
    ]
    table = _read_objects(file, "".join(lines), "format='newline_delimited', ignore_errors=true", lines)
    table.malformed.extend(_malformed(i + 1, why, text.lines[i]) for i, why in text.bad.items())
    table.malformed.sort(key=lambda aside: aside.row)
    return table


def _read_objects(file: _File, text: str, how: str, lines: Sequence[str]) -> Table:
    source = f"read_json_objects(?, {how})"
    with _copied(file, text.encode()) as copy, duckdb.connect() as connection:
        kinds = connection.execute(
            f"SELECT json_type(json), json_keys(json) FROM {source}", [str(copy)]
        ).fetchall()
        columns = tuple(dict.fromkeys(key for kind, keys in kinds if kind == "OBJECT" for key in keys))
        file.check_size(len(kinds), len(columns))
        pointers = ["/" + name.replace("~", "~0").replace("/", "~1") for name in columns]
        values = connection.execute(
            f"SELECT json_extract_string(json, ?::VARCHAR[]) FROM {source}", [pointers, str(copy)]
        ).fetchall()
    table = Table(columns, [], [], range(1, len(kinds) + 1) if lines else ())
    for number, ((kind, keys), (cells,)) in enumerate(zip(kinds, values, strict=True), start=1):
        line = lines[number - 1] if lines else f"element {number}"
        if kind == "OBJECT" and len(set(keys)) < len(keys):
            table.malformed.append(_malformed(number, _TWICE, line))
        elif kind == "OBJECT":
            table.rows.append((number, cells))
        elif kind != "NULL":
            table.malformed.append(_malformed(number, _NO_OBJECT, line))
    return table


def _read_parquet(file: _File) -> Table:
    with _copied(file, file.path.read_bytes()) as copy, duckdb.connect() as connection:
        return _result(file, connection, "SELECT * FROM read_parquet(?)", [str(copy)])


def _read_query(file: _File, query: str | None) -> Table:
    if query is None:
        raise file.fault("a DuckDB file needs a query, for example SELECT * FROM the_table_of_your_log")
    # Locked: the query sees the tables of this file and nothing else of the machine.
    locks: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "lock_configuration": "true",
    }
    try:
        with duckdb.connect(str(file.path), read_only=True, config=locks) as connection:
            return _result(file, connection, query.strip().rstrip(";"), [])
    except duckdb.Error as error:
        raise file.fault(
            f"the query gives no {file.use.noun}: {error}\n"
            "Expected one SELECT on the tables of this file, which no other process has open for writing"
        ) from error


def _result(
    file: _File, connection: duckdb.DuckDBPyConnection, query: str, values: Sequence[object]
) -> Table:
    """Fetch a query's rows as text, and no more than are read."""
    described = connection.execute(f"SELECT * FROM (\n{query}\n) AS source LIMIT 0", values).description or ()
    columns = tuple(column[0] for column in described)
    file.check_size(0, len(columns))
    most = file.most_rows(len(columns))
    rows = connection.execute(
        f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (\n{query}\n) AS source LIMIT {most + 1}", values
    ).fetchall()
    file.check_size(len(rows), len(columns))
    return Table(columns, list(enumerate(rows, start=1)), [])
