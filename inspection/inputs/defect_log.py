"""The defect log: a night's table of corrected verdicts, read through DuckDB, every row checked."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from inspection.errors import ImageError, LogError
from inspection.findings import NO_OFFSET, LogContext, SetAside
from inspection.inputs.addresses import Copies, NotThereError, is_address, joined
from inspection.inputs.formulas import as_text
from inspection.inputs.held import HeldImages, ImageFile
from inspection.inputs.images import (
    AS_STORED,
    Reading,
    check_image,
    each_read,
    is_file,
    locate_image,
    read_checked,
)
from inspection.inputs.labels import Meaning, meaning
from inspection.inputs.paths import ADVICE, PathMap, path_map
from inspection.inputs.tables import CSV, JSON_LINES, PARQUET, Table, Use, check_once, folded, read_table
from inspection.workspace.files import replacing, sha256_of
from inspection.workspace.settings import DEFAULT_TABLES, TableSettings

TAKEN_FOR = (  # of one row, of several
    "label '{label}' was taken for class '{name}' in {rows} row",
    "label '{label}' was taken for class '{name}' in {rows} rows",
)
# Why a row is set aside.
EMPTY = "{column} is empty"
UNVERIFIED = "no label by an operator"
LEFT_TO_A_PERSON = "the model left the part to a person ('{undecided}'), who said {label}"
NO_FILE = "there is no file {path}"
OTHER_FILE = "image_sha256 is {logged}, the file's is {found}"
SUPERSEDED = "says '{label}'; of the same image row {row} says '{other}', and was verified later"
NO_ERROR = "both labels are '{label}'"
DUPLICATE = "row {row} has the same image and labels"
CONFLICT = "the same image has different true labels (row: label): {said}"
MANY_CONFLICT = (
    "the same image has different true labels in {rows} rows (label: rows, the first of them): {said}"
)
MORE_CONFLICT = f"{MANY_CONFLICT} and {{more}} more labels"
SAID = (
    *(EMPTY, UNVERIFIED, LEFT_TO_A_PERSON, NO_FILE, f"{NO_FILE}{ADVICE}", OTHER_FILE, SUPERSEDED),
    *(NO_ERROR, DUPLICATE, CONFLICT, MANY_CONFLICT, MORE_CONFLICT, *TAKEN_FOR),
)
REASONS = (
    "malformed",  # a line that is no row, or a row without an image path or a predicted label
    "not_verified",  # no label by an operator; 'not yet verified' is not 'correct'
    "unknown_class",  # a label that is no class of the model
    "missing_image",
    "unreadable_image",
    "hash_mismatch",  # the image is not the one that was inspected
    "conflicting",  # one image, two true labels, and none is the later one: every such row
    "superseded",  # a later verdict on the same image says otherwise
    "not_an_error",  # the predicted label is the true label
    "undecided",  # the model left the part to a person: neither right nor wrong
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
    LogColumn("shift", False, "shift that worked, as the plant calls it"),
    LogColumn("serial", False, "this very part"),
    LogColumn("image_sha256", False, "SHA-256 of the image file; a file that differs is set aside"),
    LogColumn("model_version", False, "version of the model that said predicted_label"),
    LogColumn("score", False, "confidence of predicted_label, a number"),
    LogColumn("verified_by", False, "operator who gave the label"),
    LogColumn("verified_at", False, "date and time of the operator's label"),
    LogColumn("lighting", False, "lighting in use"),
    LogColumn("exposure", False, "exposure in use"),
    LogColumn("parts_inspected", False, "parts inspected for this log, right ones too: the same in each row"),
)
_NAMES = tuple(column.name for column in COLUMNS)
_CONTEXT = (
    *("line", "station", "camera", "part_number", "lot", "shift", "serial"),
    *("model_version", "verified_by", "lighting", "exposure"),
)
_MEANT = ("image_path", "predicted_label", "true_label", "inspection_id", *_CONTEXT)  # each has its own field
NAMED_ROWS = 4  # rows of one image that a message names one by one; more are counted
_WRITERS = {
    ".csv": "FORMAT csv, HEADER",
    **dict.fromkeys(PARQUET, "FORMAT parquet"),
    **dict.fromkeys(JSON_LINES, "FORMAT json"),
}


@dataclass(frozen=True, slots=True)
class CheckedImage:
    """An image file as the log's check found it."""

    sha256: str
    place: int | None = None  # among the images that were kept
    copy: Path | None = None  # of an image that has an address


@dataclass(frozen=True, slots=True)
class LogRow:
    """One error of the night: an image the model took for another class than the operator did."""

    row: int  # data row in the file, from 1; blank rows count, the header does not
    inspection_id: str
    image_path: Path  # absolute; of an error whose image has an address that of its copy
    predicted_label: str
    true_label: str
    score: float | None  # as logged; None where absent or no finite number
    captured_at: datetime | None  # with its offset or NO_OFFSET; None where absent or no date
    context: Mapping[str, str]  # line, station, camera, ... where given
    verified_at: datetime | None = None  # as captured_at
    more: Mapping[str, str] = field(default_factory=dict)  # what the log says beside, by its own column names
    image: CheckedImage | None = field(default=None, compare=False)  # of an error
    address: str = ""  # of the image, where it lies in an object store or on a server

    @property
    def source(self) -> Path | str:
        """Where the image is read from."""
        return self.address or self.image_path

    @property
    def said(self) -> LogContext:
        """What the log says beside the image and the labels, and the address of its image."""
        return LogContext(
            captured_at=self.captured_at,
            score=self.score,
            verified_at=self.verified_at,
            more=dict(self.more) | ({"image_address": self.address} if self.address else {}),
            **self.context,
        )


@dataclass(frozen=True, slots=True)
class DefectLog:
    """The usable errors of one log, and the rows set aside, both in the log's order."""

    rows: tuple[LogRow, ...]
    set_aside: tuple[SetAside, ...]
    sha256: str  # of the file
    path: Path
    notes: tuple[str, ...] = ()  # what was understood otherwise than it is spelt
    right: tuple[LogRow, ...] = ()  # parts whose verdict was right, each image once; not looked at
    images: HeldImages | None = field(default=None, compare=False)  # of `rows`, in order, where they are kept


Failure = tuple[str, str]
"""Of an image that cannot be read: reason, detail."""
Decoding = Callable[[Sequence[Path | str], "LogReading"], Iterable[CheckedImage | Failure]]
"""Decodes images and keeps them; gives what each is, or why it cannot be read, in order."""


@dataclass(frozen=True, slots=True)
class LogReading:
    """How a plant's log is read, beside the names of its columns."""

    images_root: Path | str | None = None  # folder or address where relative paths start; None: the log's
    copies: Copies | None = None  # of images that have an address; None: none is read
    label_map: Mapping[str, str] = field(default_factory=dict)  # the plant's word -> class name
    paths: Mapping[str, str] = field(default_factory=dict)  # a folder as the log spells it -> where it lies
    query: str | None = None  # on a DuckDB file: the SELECT that gives the log
    images: Reading = AS_STORED
    kept_in: ImageFile | None = None  # the images of errors as the network takes them; None: they are not
    decoded: Decoding | None = None  # has others decode them, and keep them there; None: it is done here
    tables: TableSettings = DEFAULT_TABLES
    sha256: str | None = None  # the content that the log has to have
    undecided: str = ""  # the predicted label of a part that the model leaves to a person; empty: none is


def read_defect_log(
    path: Path,
    column_map: Mapping[str, str],
    class_names: Sequence[str],
    how: LogReading = LogReading(),
    progress: Callable[[int], None] | None = None,
) -> DefectLog:
    """Read a defect log and check every row; a bad row is set aside with its reason, never dropped.

    CSV (UTF-8, UTF-16 with a byte order mark, cp932 or cp1252), Parquet, JSON lines (a
    .json file may hold one array), or a query on a DuckDB file (.duckdb, .db), which is opened read-only.
    ``column_map``: our column -> the plant's. ``progress`` receives after every step how many more rows are
    done.

    Only errors have their image looked at, read and decoded once. Of one image (same path or
    same content) with two true labels the verdict with the latest verified_at counts, and the others are
    superseded; without a latest one all its rows are conflicting. A row that is not an error takes part in
    that by its path or image_sha256. A duplicate repeats the image and both labels of a row that is kept.
    Rows that are no error say which parts were inspected.
    What a row says beside is kept with it; a score that is no number and a date that is none are kept as
    text. A log without rows is that of a night without errors.

    Errors: LogError for a log that cannot be read as a whole, or that has another content than asked for.
    """
    _check_label_map(how.label_map, [*class_names, *([how.undecided] if how.undecided else [])])
    folders = path_map(how.paths)
    table = read_table(path, how.query, Use(needed=_needed(column_map), limits=how.tables))
    found = sha256_of(path)
    if how.sha256 not in (None, found):
        raise LogError(_changed(path))
    root = how.images_root or path.absolute().parent
    words = _Words(class_names, how.label_map, how.undecided)
    labelled, set_aside = _split(
        _labelled(row, cells, root, words, folders) for row, cells in _ours(path, table, column_map)
    )
    tell = progress or (lambda _: None)
    tell(len(table.rows) + len(table.malformed) - sum(entry.is_error for entry in labelled))
    checked, bad_images = _split(_with_pictures(labelled, folders, how, tell))
    kept, repeated = _split(_settled(checked))
    return DefectLog(
        rows=tuple(entry.row for entry in kept),
        set_aside=tuple(
            sorted([*table.malformed, *set_aside, *bad_images, *repeated], key=lambda aside: aside.row)
        ),
        sha256=found,
        path=path.absolute(),
        notes=words.notes(),
        right=_right(checked, repeated),
        images=_images([entry.row for entry in kept], how.kept_in) if how.kept_in else None,
    )


def _images(rows: Sequence[LogRow], file: ImageFile) -> HeldImages:
    places = [row.image.place for row in rows if row.image]
    return HeldImages(file.path, file.shape, np.array(places, np.int64))


def check_columns(path: Path, column_map: Mapping[str, str], limits: TableSettings) -> None:
    """Raise LogError where a file is no table, or lacks a column that a defect log has."""
    table = read_table(path, None, Use(limits=limits))
    for _ in _ours(path, replace(table, rows=[]), column_map):
        pass


def _changed(path: Path) -> str:
    return (
        f"{path}: the defect log changed after the night began: it was replaced, or something still writes "
        "to it. Wait until it is complete, and run the same command again: it reads what is there then"
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
    logged: str  # image_sha256 as logged, in small letters, or empty
    picture: str = ""  # what tells this image from others: SHA-256 of its file, else as logged, else its path

    @property
    def is_error(self) -> bool:
        return self.row.predicted_label != self.row.true_label

    def aside(self, reason: str, detail: str) -> SetAside:
        return SetAside(self.row.row, reason, detail, self.spelt)


_Checked = _Entry | SetAside


def _right(checked: Iterable[_Entry], aside: Iterable[SetAside]) -> tuple[LogRow, ...]:
    """The rows of parts whose verdict was right, each image once."""
    rows = {each.row for each in aside if each.reason == "not_an_error"}
    return tuple({entry.picture: entry.row for entry in checked if entry.row.row in rows}.values())


def _split(checked: Iterable[_Checked]) -> tuple[list[_Entry], list[SetAside]]:
    good: list[_Entry] = []
    bad: list[SetAside] = []
    for each in checked:
        if isinstance(each, _Entry):
            good.append(each)
        else:
            bad.append(each)
    return good, bad


@dataclass(frozen=True, slots=True)
class _Cells:
    """A row's cells by our columns, and by the plant's names those that are none of ours."""

    ours: Mapping[str, str]  # an absent cell is an empty text
    more: dict[str, str]  # the cells that hold something


def _ours(path: Path, table: Table, column_map: Mapping[str, str]) -> Iterator[tuple[int, _Cells]]:
    """Name the cells by our columns."""
    if not set(column_map) <= set(_NAMES):
        raise LogError(
            f"[defect_log.columns] maps {', '.join(sorted(set(column_map) - set(_NAMES)))}; "
            f"a defect log has: {', '.join(_NAMES)}"
        )
    places = _places(path, table.columns, column_map)
    missing = [column.name for column in COLUMNS if column.required and column.name not in places]
    if missing:
        raise LogError(_missing_columns(path, missing, table.columns, column_map))
    used = set(places.values())
    others = {name: place for place, name in _named_once(table.columns) if place not in used}
    for number, row in table.rows:
        cells = {name: (row[place] or "").strip() for name, place in places.items()}
        more = {name: text for name, place in others.items() if (text := (row[place] or "").strip())}
        yield number, _Cells(cells, more)


def _places(path: Path, columns: Sequence[str], column_map: Mapping[str, str]) -> dict[str, int]:
    """Which column of the log is which of ours. Raises LogError where two are the same one."""
    theirs = [folded(name) for name in columns]
    wanted = {name: folded(column_map.get(name, name)) for name in _NAMES}
    check_once(path, columns, wanted.values(), LogError)
    found = {name: theirs.index(sought) for name, sought in wanted.items() if sought in theirs}
    if "true_label" not in found and "true_label" not in column_map and "verdict" in found:
        found["true_label"] = found.pop("verdict")
    return found


def _named_once(columns: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Columns with their names, those that repeat an earlier name with their number."""
    for place, name in enumerate(columns):
        yield place, f"{name} (column {place + 1})" if name in columns[:place] else name


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


@dataclass(frozen=True, slots=True)
class _Words:
    """What the labels of the log mean, and in how many rows they are spelt otherwise than the classes."""

    class_names: Sequence[str]
    label_map: Mapping[str, str]
    undecided: str = ""
    known: dict[str, Meaning] = field(default_factory=dict)
    otherwise: Counter[str] = field(default_factory=Counter)  # label -> rows

    def meaning(self, label: str) -> Meaning:
        """What a label means."""
        if label not in self.known:
            self.known[label] = meaning(label, self.class_names, self.label_map)
        return self.known[label]

    def predicted(self, label: str) -> Meaning:
        """What a predicted label means: a class, or that a person has to decide."""
        if not self.undecided:
            return self.meaning(label)
        return meaning(label, [*self.class_names, self.undecided], self.label_map)

    def count(self, labels: Iterable[str]) -> None:
        """Note the labels of a row that is used."""
        self.otherwise.update({label for label in labels if not self.meaning(label).as_spelt})

    def notes(self) -> tuple[str, ...]:
        """Which labels were taken for which class, and in how many rows."""
        return tuple(
            TAKEN_FOR[rows != 1].format(label=label, name=self.meaning(label).class_name, rows=rows)
            for label, rows in self.otherwise.most_common()
        )


def _labelled(number: int, cells: _Cells, root: Path | str, words: _Words, folders: PathMap) -> _Checked:
    """Make a row of cells that name an image and two classes of the model."""
    ours = cells.ours
    spelt = ours["image_path"]
    for name in ("image_path", "predicted_label"):
        if not ours[name]:
            return SetAside(number, "malformed", EMPTY.format(column=name), spelt or None)
    if not ours["true_label"]:
        return SetAside(number, "not_verified", UNVERIFIED, spelt)
    said = words.predicted(ours["predicted_label"])
    if words.undecided and said.class_name == words.undecided:
        detail = LEFT_TO_A_PERSON.format(undecided=words.undecided, label=ours["true_label"])
        return SetAside(number, "undecided", detail, spelt)
    labels = {}
    for name, meant in (("predicted_label", said), ("true_label", words.meaning(ours["true_label"]))):
        if meant.class_name is None:
            detail = meant.complaint(name, ours[name], words.class_names)
            return SetAside(number, "unknown_class", detail, spelt)
        labels[name] = meant.class_name
    words.count((ours["predicted_label"], ours["true_label"]))
    address, path = _located(root, folders.here(spelt))
    score, captured_at = _number(ours.get("score", "")), _instant(ours.get("captured_at", ""))
    verified_at = _instant(ours.get("verified_at", ""))
    read = {"score": score, "captured_at": captured_at, "verified_at": verified_at}
    as_text = {name: text for name, text in ours.items() if name not in _MEANT and read.get(name) is None}
    row = LogRow(
        row=number,
        inspection_id=ours.get("inspection_id") or f"row-{number}-{path.name}",
        image_path=path,
        predicted_label=labels["predicted_label"],
        true_label=labels["true_label"],
        score=score,
        captured_at=captured_at,
        context={name: ours[name] for name in _CONTEXT if ours.get(name)},
        verified_at=verified_at,
        more=cells.more | {name: text for name, text in as_text.items() if text},
        address=address,
    )
    return _Entry(row, spelt, ours.get("image_sha256", "").lower())


def _located(root: Path | str, spelt: str) -> tuple[str, Path]:
    """The address of an image, empty where it has none, and its path."""
    if is_address(spelt):
        return spelt, Path(spelt)
    if isinstance(root, Path):
        return "", locate_image(root, spelt)
    if Path(spelt).is_absolute():
        return "", Path(spelt)
    return joined(root, spelt), Path(spelt)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _instant(text: str) -> datetime | None:
    """Read ISO 8601, or the spelling of Japanese Excel (2026/7/1 9:05); without an offset in NO_OFFSET."""
    for read in (
        datetime.fromisoformat,
        lambda text: datetime.strptime(text, "%Y/%m/%d %H:%M:%S"),
        lambda text: datetime.strptime(text, "%Y/%m/%d %H:%M"),
    ):
        try:
            instant = read(text)
        except ValueError:
            continue
        return _in_reach(instant if instant.tzinfo else instant.replace(tzinfo=NO_OFFSET))
    return None


def _in_reach(instant: datetime) -> datetime | None:
    """None for a date that UTC does not have: 0001-01-01 at +09:00, as programs write `no date`."""
    try:
        instant.astimezone(UTC)
    except OverflowError:
        return None
    return instant


def _with_pictures(
    entries: Sequence[_Entry], folders: PathMap, how: LogReading, tell: Callable[[int], None]
) -> Iterator[_Checked]:
    """Decode the image of every error once, and let the content of the file say which image it is.

    It is kept on the way where that is asked for.
    """
    rows_of = defaultdict(list)
    for entry in entries:
        if entry.is_error:
            rows_of[entry.row.source].append(entry)
    pictures: dict[Path | str, CheckedImage | Failure] = {}
    found = how.decoded([*rows_of], how) if how.decoded else _decoded(rows_of, how)
    for source, picture in zip(rows_of, found, strict=True):
        pictures[source] = picture
        tell(len(rows_of[source]))
    for entry in entries:
        yield _with_picture(entry, pictures.get(entry.row.source), folders)


def _decoded(sources: Iterable[Path | str], how: LogReading) -> Iterator[CheckedImage | Failure]:
    for picture, image in each_read(lambda source: _picture(source, how), sources):
        if how.kept_in and image is not None and isinstance(picture, CheckedImage):
            yield replace(picture, place=how.kept_in.keep(image))
        else:
            yield picture


def decode_some(
    sources: Sequence[Path | str],
    first: int,
    file: Path,
    shape: tuple[int, int, int],
    images: Reading,
    copies: Copies | None,
) -> list[CheckedImage | Failure]:
    """Decode some of a log's images into a file with room for all; their places begin at `first` in it."""
    with file.open("r+b") as opened:
        kept_in = ImageFile(file, shape, opened)
        kept_in.go_to(first)
        return [*_decoded(sources, LogReading(images=images, kept_in=kept_in, copies=copies))]


def _picture(source: Path | str, how: LogReading) -> tuple[CheckedImage | Failure, NDArray[np.uint8] | None]:
    """Return what an image that can be read is, else why it cannot; and the image, where it is to be kept."""
    try:
        path, copy = _at_hand(source, how)
        if how.kept_in is None:
            return CheckedImage(check_image(path, how.images), copy=copy), None
        *size, channels = how.kept_in.shape
        sha256, image = read_checked(path, (size[0], size[1]), channels, how.images)
        return CheckedImage(sha256, copy=copy), image
    except (ImageError, OSError, ValueError) as error:
        return _why_not_read(source, error), None


def _at_hand(source: Path | str, how: LogReading) -> tuple[Path, Path | None]:
    """The path of an image, and the same where it is a copy's."""
    if isinstance(source, Path):
        return source, None
    if how.copies is None:
        raise NotThereError(NO_FILE.format(path=source))
    copy = how.copies.fetch(source, how.images.most_megabytes)
    return copy, copy


def _why_not_read(source: Path | str, error: Exception) -> Failure:
    """The reason and the detail for setting aside a row whose image gave this error."""
    if isinstance(error, NotThereError):
        return "missing_image", f"{error}"
    if isinstance(source, str) or is_file(source):
        return "unreadable_image", f"{error}"
    return "missing_image", NO_FILE.format(path=source)


def _with_picture(entry: _Entry, picture: CheckedImage | Failure | None, folders: PathMap) -> _Checked:
    if picture is None:
        return replace(entry, picture=entry.logged or str(entry.row.source))
    if isinstance(picture, tuple):
        reason, detail = picture
        mapped = reason == "missing_image" and not entry.row.address
        return entry.aside(reason, detail + folders.advice(entry.spelt) if mapped else detail)
    if entry.logged not in ("", picture.sha256):
        detail = OTHER_FILE.format(logged=entry.logged, found=picture.sha256)
        return entry.aside("hash_mismatch", detail)
    row = replace(entry.row, image=picture, image_path=picture.copy or entry.row.image_path)
    return replace(entry, row=row, picture=picture.sha256)


def _settled(entries: Sequence[_Entry]) -> Iterator[_Checked]:
    """Set aside what contradicts another row, is no error, or repeats a row that is kept."""
    said = defaultdict(list)
    for entry in entries:
        said[entry.picture].append(entry.row)
    verdicts = {picture: _verdict(rows) for picture, rows in said.items()}
    kept: dict[tuple[str, str], int] = {}  # image and predicted label -> number of the row
    for entry in entries:
        row, verdict = entry.row, verdicts[entry.picture]
        says = entry.picture, row.predicted_label
        if verdict.conflict:
            yield entry.aside("conflicting", verdict.conflict)
        elif row.true_label != verdict.true_label:
            detail = SUPERSEDED.format(label=row.true_label, row=verdict.row, other=verdict.true_label)
            yield entry.aside("superseded", detail)
        elif not entry.is_error:
            yield entry.aside("not_an_error", NO_ERROR.format(label=row.true_label))
        elif says in kept:
            yield entry.aside("duplicate", DUPLICATE.format(row=kept[says]))
        else:
            kept[says] = row.row
            yield entry


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What all rows of one image come to: a true label and the row that gives it, or a contradiction."""

    true_label: str
    row: int
    conflict: str = ""


def _verdict(rows: Sequence[LogRow]) -> _Verdict:
    """The later verdict counts; what contradicts it without a date, or with the same one, conflicts."""
    last = max(rows, key=lambda row: row.verified_at or _NO_DATE)
    others = [row for row in rows if row.true_label != last.true_label]
    if all(row.verified_at and last.verified_at and row.verified_at < last.verified_at for row in others):
        return _Verdict(last.true_label, last.row)
    return _Verdict(last.true_label, last.row, _contradiction(rows))


_NO_DATE = datetime.min.replace(tzinfo=UTC)


def _contradiction(rows: Sequence[LogRow]) -> str:
    if len(rows) <= NAMED_ROWS:
        return CONFLICT.format(said=", ".join(f"{row.row}: '{row.true_label}'" for row in rows))
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(row.true_label, row.row)
    counts = Counter(row.true_label for row in rows).most_common()
    said = ", ".join(f"'{label}': {count} ({first[label]})" for label, count in counts[:NAMED_ROWS])
    more = len(counts) - NAMED_ROWS
    return (MORE_CONFLICT if more > 0 else MANY_CONFLICT).format(rows=len(rows), said=said, more=more)
