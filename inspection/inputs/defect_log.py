"""The defect log: a night's table of corrected verdicts, read through DuckDB, every row checked."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path

import duckdb
import pyarrow as pa

from inspection.errors import ImageError, LogError
from inspection.findings import SetAside
from inspection.inputs.formulas import as_text
from inspection.inputs.images import AS_STORED, DECODERS, Reading, check_image, is_file, locate_image
from inspection.inputs.tables import CSV, JSON_LINES, PARQUET, Table, Use, check_once, folded, read_table
from inspection.workspace.files import replacing, sha256_of

REASONS = (
    "malformed",  # a line that is no row, or a row without an image path or a predicted label
    "not_verified",  # no label by an operator; 'not yet verified' is not 'correct'
    "unknown_class",  # a label that is no class of the model
    "missing_image",
    "unreadable_image",
    "hash_mismatch",  # the image is not the one that was inspected
    "conflicting",  # one image, two true labels: every such row
    "not_an_error",  # the predicted label is the true label
    "duplicate",  # an earlier row says the same
    "not_reproduced",  # the model does not repeat the error (found by the caller, which has the model)
)


@dataclass(frozen=True, slots=True)
class LogColumn:
    """One column of a defect log."""

    name: str
    required: bool
    meaning: str


COLUMNS = (
    LogColumn("image_path", True, "image file; a relative path is taken from the images root"),
    LogColumn("predicted_label", True, "class the model said"),
    LogColumn("true_label", True, "class the operator said; empty: not yet verified"),
    LogColumn("verdict", False, "stands in for true_label where the log has no such column"),
    LogColumn("inspection_id", False, "name of this inspection; made from row and image where absent"),
    LogColumn("captured_at", False, "date and time with offset; without one it is taken as UTC"),
    LogColumn("line", False, "production line"),
    LogColumn("station", False, "station of the line"),
    LogColumn("camera", False, "camera of the station"),
    LogColumn("part_number", False, "kind of part"),
    LogColumn("lot", False, "lot of the part or its material"),
    LogColumn("serial", False, "this very part"),
    LogColumn("image_sha256", False, "SHA-256 of the image file; a file that differs is set aside"),
    LogColumn("model_version", False, "version of the model that said predicted_label"),
    LogColumn("score", False, "confidence of predicted_label, a number"),
    LogColumn("verified_by", False, "operator who gave the label"),
    LogColumn("verified_at", False, "date and time of the operator's label"),
    LogColumn("lighting", False, "lighting in use"),
    LogColumn("exposure", False, "exposure in use"),
)
_NAMES = tuple(column.name for column in COLUMNS)
_CONTEXT = (
    *("line", "station", "camera", "part_number", "lot", "serial"),
    *("model_version", "lighting", "exposure"),
)
_WRITERS = {
    ".csv": "FORMAT csv, HEADER",
    **dict.fromkeys(PARQUET, "FORMAT parquet"),
    **dict.fromkeys(JSON_LINES, "FORMAT json"),
}


@dataclass(frozen=True, slots=True)
class LogRow:
    """One error of the night: an image the model took for another class than the operator did."""

    row: int  # data row in the file, from 1; blank rows count, the header does not
    inspection_id: str
    image_path: Path  # absolute
    predicted_label: str
    true_label: str
    score: float | None  # as logged; None where absent or no finite number
    captured_at: datetime | None  # with its offset; None where absent or no date
    context: Mapping[str, str]  # line, station, camera, ... where given


@dataclass(frozen=True, slots=True)
class DefectLog:
    """The usable errors of one log, and the rows set aside, both in the log's order."""

    rows: tuple[LogRow, ...]
    set_aside: tuple[SetAside, ...]
    sha256: str  # of the file
    path: Path


def read_defect_log(
    path: Path,
    column_map: Mapping[str, str],
    class_names: Sequence[str],
    images_root: Path | None = None,
    label_map: Mapping[str, str] | None = None,
    query: str | None = None,
    progress: Callable[[int], None] | None = None,
    how: Reading = AS_STORED,
) -> DefectLog:
    """Read a defect log and check every row; a bad row is set aside with its reason, never dropped.

    CSV (UTF-8, UTF-16 with a byte order mark, cp932 or cp1252), Parquet, JSON lines (a
    .json file may hold one array), or ``query`` on a DuckDB file (.duckdb, .db), which is opened read-only.
    ``column_map``: our column -> the plant's; ``label_map``: the plant's word -> class name. Relative image
    paths start at ``images_root``, else at the log's folder. ``progress`` receives after every step how many
    more rows are done.

    Only errors have their image looked at, read as ``how`` says and decoded once. One image (same path or
    same content) with two true labels is conflicting in all its rows; a row that is not an error takes part
    in that by its path or image_sha256. A duplicate repeats the inspection_id of a row that is kept, or its
    image and both labels. A score that is no number and a captured_at that is no date are left out of the
    row, which stays.

    Errors: LogError for a log that cannot be read as a whole, or is empty.
    """
    _check_label_map(label_map or {}, class_names)
    table = read_table(path, query, Use(needed=_needed(column_map)))
    cells = _ours(path, table, column_map)
    root = images_root or path.absolute().parent
    labelled, set_aside = _split(
        _labelled(row, own, root, class_names, label_map or {}) for row, own in cells
    )
    tell = progress or (lambda _: None)
    tell(len(table.rows) + len(table.malformed) - sum(entry.is_error for entry in labelled))
    checked, bad_images = _split(_with_pictures(labelled, how, tell))
    kept, repeated = _split(_settled(checked))
    return DefectLog(
        rows=tuple(entry.row for entry in kept),
        set_aside=tuple(
            sorted([*table.malformed, *set_aside, *bad_images, *repeated], key=lambda aside: aside.row)
        ),
        sha256=sha256_of(path),
        path=path.absolute(),
    )


def write_defect_log(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write a defect log as a whole or not at all: CSV, Parquet or JSON lines by the suffix.

    ``rows``: our column names -> values. The columns stand in the order of COLUMNS: the required ones and
    those that a row has. Times are written in ISO 8601; in CSV a text that a spreadsheet would run gets the
    apostrophe that reading takes away again. Errors: LogError for another suffix, an unknown
    column, or a folder that cannot be written.
    """
    if path.suffix.lower() not in _WRITERS:
        raise LogError(
            f"{path}: a defect log is written as {', '.join(_WRITERS)}; give a name with such a suffix"
        )
    written = as_text if path.suffix.lower() in CSV else str
    records = [{name: _writable(name, value, written) for name, value in row.items()} for row in rows]
    used = {name for record in records for name in record}
    if not used <= set(_NAMES):
        raise LogError(
            f"{path}: no such columns: {', '.join(sorted(used - set(_NAMES)))}; "
            f"a defect log has: {', '.join(_NAMES)}"
        )
    columns = [column.name for column in COLUMNS if column.required or column.name in used]
    types = {name: pa.float64() if name == "score" else pa.string() for name in columns}
    table = pa.Table.from_pylist(records, schema=pa.schema(list(types.items())))
    try:
        with replacing(path) as temporary, duckdb.connect() as connection:
            connection.register("defect_log", table)
            quoted = str(temporary).replace("'", "''")
            connection.execute(f"COPY defect_log TO '{quoted}' ({_WRITERS[path.suffix.lower()]})")
    except (duckdb.Error, OSError) as error:
        raise LogError(f"{path}: the defect log cannot be written: {error}") from error


def _writable(name: str, value: object, written: Callable[[str], str]) -> object:
    if value is None or name == "score":
        return value
    return written(value.isoformat() if isinstance(value, datetime) else str(value))


# --- the rows, checked ---


@dataclass(frozen=True, slots=True)
class _Entry:
    row: LogRow
    spelt: str  # the image path as in the log
    logged: str  # image_sha256 as logged, or empty
    picture: str = ""  # what tells this image from others: SHA-256 of its file, else as logged, else its path

    @property
    def is_error(self) -> bool:
        return self.row.predicted_label != self.row.true_label

    def aside(self, reason: str, detail: str) -> SetAside:
        return SetAside(self.row.row, reason, detail, self.spelt)


_Checked = _Entry | SetAside
_Failure = tuple[str, str]  # reason, detail


def _split(checked: Iterable[_Checked]) -> tuple[list[_Entry], list[SetAside]]:
    good: list[_Entry] = []
    bad: list[SetAside] = []
    for each in checked:
        if isinstance(each, _Entry):
            good.append(each)
        else:
            bad.append(each)
    return good, bad


def _ours(path: Path, table: Table, column_map: Mapping[str, str]) -> list[tuple[int, dict[str, str]]]:
    """Name the cells by our columns; an absent cell is an empty text."""
    if not set(column_map) <= set(_NAMES):
        raise LogError(
            f"[defect_log.columns] maps {', '.join(sorted(set(column_map) - set(_NAMES)))}; "
            f"a defect log has: {', '.join(_NAMES)}"
        )
    theirs = [folded(name) for name in table.columns]
    wanted = {name: folded(column_map.get(name, name)) for name in _NAMES}
    check_once(path, table.columns, wanted.values(), LogError)
    places = {
        name: theirs.index(theirs_name) for name, theirs_name in wanted.items() if theirs_name in theirs
    }
    if "true_label" not in places and "true_label" not in column_map and "verdict" in places:
        places["true_label"] = places["verdict"]
    missing = [column.name for column in COLUMNS if column.required and column.name not in places]
    if missing:
        raise LogError(_missing_columns(path, missing, table.columns, column_map))
    if not table.rows and not table.malformed:
        raise LogError(f"{path}: the defect log is empty: a header without a row")
    return [
        (number, {name: (row[place] or "").strip() for name, place in places.items()})
        for number, row in table.rows
    ]


def _needed(column_map: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """The columns without which a line of the log is no row, each with what may stand in for it."""
    names = {name: folded(column_map.get(name, name)) for name in _NAMES}
    told = (names["true_label"], *(() if "true_label" in column_map else (names["verdict"],)))
    return (names["image_path"],), (names["predicted_label"],), told


def _missing_columns(
    path: Path, missing: Sequence[str], found: Sequence[str], column_map: Mapping[str, str]
) -> str:
    sought = ", ".join(
        f"{name} (as '{column_map[name]}')" if name in column_map else name for name in missing
    )
    example = "\n".join(f'{name} = "the log\'s own name for it"' for name in missing)
    return (
        f"{path}: the defect log has no column {sought}\n"
        f"found: {', '.join(found) or 'none'}\n"
        "expected: image_path, predicted_label and true_label (or verdict); optional: "
        f"{', '.join(column.name for column in COLUMNS if not column.required)}\n"
        f"Where the log names them otherwise, say so in fmi.toml:\n[defect_log.columns]\n{example}"
    )


def _check_label_map(label_map: Mapping[str, str], class_names: Sequence[str]) -> None:
    wrong = {word: name for word, name in label_map.items() if name not in class_names}
    if wrong:
        pairs = ", ".join(f"'{word}' to '{name}'" for word, name in wrong.items())
        raise LogError(f"[defect_log.labels] maps {pairs}; the model's classes are: {', '.join(class_names)}")


def _labelled(
    number: int,
    cells: Mapping[str, str],
    root: Path,
    class_names: Sequence[str],
    label_map: Mapping[str, str],
) -> _Checked:
    """Make a row of cells that name an image and two classes of the model."""
    spelt = cells["image_path"]
    for name in ("image_path", "predicted_label"):
        if not cells[name]:
            return SetAside(number, "malformed", f"{name} is empty", spelt or None)
    if not cells["true_label"]:
        return SetAside(number, "not_verified", "no label by an operator", spelt)
    labels = {name: label_map.get(cells[name], cells[name]) for name in ("predicted_label", "true_label")}
    for name, label in labels.items():
        if label not in class_names:
            return SetAside(number, "unknown_class", _unknown_class(name, label, class_names), spelt)
    path = locate_image(root, spelt)
    row = LogRow(
        row=number,
        inspection_id=cells.get("inspection_id") or f"row-{number}-{path.name}",
        image_path=path,
        score=_number(cells.get("score", "")),
        captured_at=_instant(cells.get("captured_at", "")),
        context={name: cells[name] for name in _CONTEXT if cells.get(name)},
        **labels,
    )
    return _Entry(row, spelt, cells.get("image_sha256", "").lower())


def _unknown_class(name: str, label: str, class_names: Sequence[str]) -> str:
    return (
        f"{name} '{label}' is no class of the model ({', '.join(class_names)}); "
        "if it is the plant's word for one, map it in fmi.toml under [defect_log.labels]"
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _instant(text: str) -> datetime | None:
    """Read ISO 8601, or the spelling of Japanese Excel (2026/7/1 9:05)."""
    for read in (
        datetime.fromisoformat,
        lambda text: datetime.strptime(text, "%Y/%m/%d %H:%M:%S"),
        lambda text: datetime.strptime(text, "%Y/%m/%d %H:%M"),
    ):
        try:
            instant = read(text)
        except ValueError:
            continue
        return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return None


def _with_pictures(
    entries: Sequence[_Entry], how: Reading, tell: Callable[[int], None]
) -> Iterator[_Checked]:
    """Decode the image of every error once, and let the content of the file say which image it is."""
    rows_of = defaultdict(list)
    for entry in entries:
        if entry.is_error:
            rows_of[entry.row.image_path].append(entry)
    pictures: dict[Path, str | _Failure] = {}
    with ThreadPoolExecutor(DECODERS) as pool:
        for path, picture in zip(rows_of, pool.map(_picture, rows_of, repeat(how)), strict=False):
            pictures[path] = picture
            tell(len(rows_of[path]))
    for entry in entries:
        yield _with_picture(entry, pictures.get(entry.row.image_path))


def _picture(path: Path, how: Reading) -> str | _Failure:
    """Return the SHA-256 of an image that can be read, else why it cannot."""
    if not is_file(path):
        return "missing_image", f"there is no file {path}"
    try:
        return check_image(path, how)
    except ImageError as error:
        return "unreadable_image", str(error)


def _with_picture(entry: _Entry, picture: str | _Failure | None) -> _Checked:
    if isinstance(picture, tuple):
        return entry.aside(*picture)
    if picture and entry.logged and picture != entry.logged:
        return entry.aside("hash_mismatch", f"image_sha256 is {entry.logged}, the file's is {picture}")
    return replace(entry, picture=picture or entry.logged or str(entry.row.image_path))


def _settled(entries: Sequence[_Entry]) -> Iterator[_Checked]:
    """Set aside what contradicts another row, is no error, or repeats a row that is kept."""
    said = defaultdict(list)
    for entry in entries:
        said[entry.picture].append(entry.row)
    kept: dict[tuple[str, ...], int] = {}  # what a row says -> its number
    for entry in entries:
        row, same = entry.row, said[entry.picture]
        keys = [(row.inspection_id,), (entry.picture, row.predicted_label, row.true_label)]
        earlier = [kept[key] for key in keys if key in kept]
        if len({each.true_label for each in same}) > 1:
            yield entry.aside("conflicting", _contradiction(same))
        elif not entry.is_error:
            yield entry.aside("not_an_error", f"both labels are '{row.true_label}'")
        elif earlier:
            yield entry.aside("duplicate", f"row {earlier[0]} has the same inspection_id or image and labels")
        else:
            kept.update(dict.fromkeys(keys, row.row))
            yield entry


def _contradiction(rows: Sequence[LogRow]) -> str:
    return "the same image has different true labels: " + ", ".join(
        f"row {row.row} says '{row.true_label}'" for row in rows
    )
