"""Files that hold a table, read as text: CSV, JSON lines, Parquet, or a query on a DuckDB file."""

import csv
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import duckdb

from inspection.errors import LogError
from inspection.findings import SetAside
from inspection.inputs.images import is_file

CSV = (".csv", ".tsv", ".txt")
PARQUET = (".parquet",)
JSON_LINES = (".jsonl", ".ndjson")
JSON = (".json", *JSON_LINES)  # a .json file may hold one array
DATABASE = (".duckdb", ".db")


def decode_text(data: bytes) -> str:
    """Decode a table file: UTF-16 with a byte order mark, UTF-8 with or without, else cp932 (Japanese Excel).

    Lines end in a bare line feed. Errors: UnicodeError where it is none of these.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16")
    elif b"\0" in data:
        raise UnicodeError("it holds NUL bytes: not a text file")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp932")
    return text.replace("\r\n", "\n").replace("\r", "\n")


# --- the file as a table of text ---


@dataclass(frozen=True, slots=True)
class Table:
    """What a file holds: its columns, its rows as text, and the lines that are no rows."""

    columns: tuple[str, ...]  # the plant's names
    rows: list[tuple[int, Sequence[str | None]]]  # row number, one text for each column
    malformed: list[SetAside]


@dataclass(frozen=True, slots=True)
class _Reject:
    row: int
    starts_at: int  # bytes from the start of the file
    message: str
    text: str

    @property
    def swallows_rows(self) -> bool:
        """Whether a quotation mark that is not closed hid the following rows in this one."""
        return "\n" in self.text.rstrip("\n")


def read_table(path: Path, query: str | None) -> Table:
    """Read a file by its suffix. Raises LogError where it cannot be read as a whole."""
    suffix = path.suffix.lower()
    if not is_file(path):
        raise LogError(f"{path}: there is no such file; give the path of a defect log")
    if path.stat().st_size == 0:
        raise LogError(f"{path}: the defect log is empty (0 bytes)")
    if suffix in DATABASE:
        return _read_query(path, query)
    if query is not None:
        raise LogError(f"{path}: a query needs a DuckDB file ({', '.join(DATABASE)})")
    try:
        if suffix in CSV:
            return _read_csv(path, _text(path))
        if suffix in JSON:
            return _read_json(path, _text(path))
        if suffix in PARQUET:
            return _read_parquet(path)
    except (OSError, csv.Error) as error:
        raise LogError(f"{path}: the defect log cannot be read: {error}") from error
    raise LogError(
        f"{path}: a defect log ends in {', '.join((*CSV, *PARQUET, *JSON, *DATABASE))}, "
        f"not in '{suffix}'; export it as CSV"
    )


def _text(path: Path) -> str:
    try:
        text = decode_text(path.read_bytes())
    except UnicodeError as error:
        raise LogError(f"{path}: not UTF-8, UTF-16 or cp932 text ({error}); export it as UTF-8") from error
    if not text.strip():
        raise LogError(f"{path}: the defect log is empty: it holds nothing but blank lines")
    return text.rstrip("\n")


@contextmanager
def _copied(path: Path, data: bytes) -> Iterator[Path]:
    """Lend a copy under a plain path: DuckDB reads UTF-8 only, and takes [, * and ? for a pattern."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"log{path.suffix.lower()}"
        copy.write_bytes(data)
        try:
            yield copy
        except duckdb.Error as error:
            reason = str(error).split("\n")[0].replace(str(copy), path.name)
            raise LogError(f"{path}: the defect log cannot be read: {reason}") from error


def _read_csv(path: Path, text: str) -> Table:
    lines = text.lstrip("\n").split("\n")
    delimiter = max(",;\t", key=lines[0].count)
    columns = tuple(next(csv.reader(lines[:1], delimiter=delimiter), ()))
    lines = lines[1:]
    unclosed: dict[str, str] = {}  # the line put in place of a row -> the row
    while True:
        data = "\n".join(_blanks_filled(lines, delimiter * (len(columns) - 1))).encode()
        rows, rejects = _parse_csv(path, data, len(columns), delimiter)
        starts = [data.count(b"\n", 0, reject.starts_at) for reject in rejects if reject.swallows_rows]
        swallowing = [start for start in starts if '"' in lines[start]]
        if not swallowing:
            malformed = [_malformed(reject, unclosed) for reject in rejects]
            return Table(columns, _numbered(rows, rejects), malformed)
        for line in swallowing:
            stand_in = f"row {len(unclosed)} with an unclosed quotation mark"
            unclosed[stand_in], lines[line] = lines[line], stand_in


def _blanks_filled(lines: Sequence[str], empty_row: str) -> Iterator[str]:
    """Make blank lines rows of empty cells: DuckDB would skip them, and the row numbers with them."""
    in_quotes = False
    for line in lines:
        yield line if in_quotes or line.strip() else empty_row
        in_quotes ^= line.count('"') % 2 == 1


def _parse_csv(
    path: Path, data: bytes, columns: int, delimiter: str
) -> tuple[list[tuple[str | None, ...]], list[_Reject]]:
    """Parse lines without a header: the good rows in order, and the others, each with its row number."""
    with _copied(path, data) as copy, duckdb.connect() as connection:
        # Never parallel=false: DuckDB 1.5 and 2.0 then drop all after an unclosed quotation mark, silently.
        rows = connection.execute(
            "SELECT * FROM read_csv(?, auto_detect=false, header=false, columns=?, delim=?, "
            "quote='\"', escape='\"', store_rejects=true)",
            [str(copy), {f"c{i}": "VARCHAR" for i in range(columns)}, delimiter],
        ).fetchall()
        rejects = connection.execute(
            "SELECT line, min(line_byte_position) - 1, first(error_message ORDER BY column_idx DESC), "
            "first(csv_line) FROM reject_errors GROUP BY line ORDER BY line"
        ).fetchall()
    return rows, [_Reject(*reject) for reject in rejects]


def _numbered(
    rows: Sequence[tuple[str | None, ...]], rejects: Sequence[_Reject]
) -> list[tuple[int, Sequence[str | None]]]:
    """Give the good rows the numbers that the rejected ones leave, and leave out the blank ones."""
    taken = {reject.row for reject in rejects}
    free = (number for number in count(1) if number not in taken)
    return [(number, row) for number, row in zip(free, rows, strict=False) if any(row)]


def _malformed(reject: _Reject, unclosed: Mapping[str, str]) -> SetAside:
    if reject.text in unclosed:
        return _malformed_line(
            reject.row, "a quotation mark is not closed in this line", unclosed[reject.text]
        )
    return _malformed_line(reject.row, reject.message, reject.text)


def _malformed_line(row: int, why: str, line: str) -> SetAside:
    return SetAside(row, "malformed", f"{why.rstrip('.')}: {line.strip()[:200]}", None)


def _read_json(path: Path, text: str) -> Table:
    is_array = path.suffix.lower() == ".json" and text.lstrip().startswith("[")
    if is_array and not text.rstrip().endswith("]"):
        raise LogError(f"{path}: the defect log is cut short: its JSON array has no end")
    lines = [] if is_array else [line if line.strip() else "null" for line in text.split("\n")]
    data = text if is_array else "\n".join(lines)
    source = (
        "read_json_objects(?, format='array')"
        if is_array
        else "read_json_objects(?, format='newline_delimited', ignore_errors=true)"
    )
    with _copied(path, data.encode()) as copy, duckdb.connect() as connection:
        kinds = connection.execute(
            f"SELECT json_type(json), json_keys(json) FROM {source}", [str(copy)]
        ).fetchall()
        columns = tuple(dict.fromkeys(key for kind, keys in kinds if kind == "OBJECT" for key in keys))
        pointers = ["/" + name.replace("~", "~0").replace("/", "~1") for name in columns]
        values = connection.execute(
            f"SELECT json_extract_string(json, ?::VARCHAR[]) FROM {source}", [pointers, str(copy)]
        ).fetchall()
    rows, malformed = [], []
    for number, ((kind, _), (cells,)) in enumerate(zip(kinds, values, strict=True), start=1):
        if kind == "OBJECT":
            rows.append((number, cells))
        elif kind != "NULL":
            line = f"element {number}" if is_array else lines[number - 1]
            malformed.append(_malformed_line(number, "not a JSON object", line))
    return Table(columns, rows, malformed)


def _read_parquet(path: Path) -> Table:
    with _copied(path, path.read_bytes()) as copy, duckdb.connect() as connection:
        return _result(
            connection.execute("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM read_parquet(?)", [str(copy)])
        )


def _read_query(path: Path, query: str | None) -> Table:
    if query is None:
        raise LogError(
            f"{path}: a DuckDB file needs a query, for example SELECT * FROM the_table_of_your_log"
        )
    # Locked: the query sees the tables of this file and nothing else of the machine.
    locks: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "lock_configuration": "true",
    }
    try:
        with duckdb.connect(str(path), read_only=True, config=locks) as connection:
            inner = query.strip().rstrip(";")
            return _result(
                connection.execute(f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (\n{inner}\n) AS log")
            )
    except duckdb.Error as error:
        raise LogError(
            f"{path}: the query gives no defect log: {error}\n"
            "Expected one SELECT on the tables of this file, which no other process has open for writing"
        ) from error


def _result(connection: duckdb.DuckDBPyConnection) -> Table:
    columns = tuple(column[0] for column in connection.description or ())
    return Table(columns, list(enumerate(connection.fetchall(), start=1)), [])
