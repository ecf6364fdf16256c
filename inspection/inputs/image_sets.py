"""Labelled images: a folder for each class, or a table that names images and labels."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fmi_engine.errors import some
from inspection.errors import ImageSetError
from inspection.inputs.class_folders import KNOWN_SPLITS, UnclearFolderError, read_class_folders, split_name
from inspection.inputs.condition import ConditionError, rows_that_meet
from inspection.inputs.images import IMAGE_SUFFIXES, is_file, locate_image
from inspection.inputs.tables import CSV, JSON, PARQUET, Table, Use, check_once, folded, read_table
from inspection.workspace.settings import DEFAULT_TABLES, TableSettings

IMAGE_COLUMNS = ("image", "image_path", "path", "file", "filename")
_LABEL_COLUMNS = ("true_label", "label", "class", "class_name", "target")
_SPLIT_COLUMN = "split"
_USE = Use("table", ImageSetError, (*CSV, *PARQUET, *JSON), (IMAGE_COLUMNS, _LABEL_COLUMNS))
_MANIFEST = "manifest.csv"


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image file and the class it belongs to."""

    path: Path  # absolute
    label: str
    split: str | None  # train, val or test; None where the set has no splits


def read_image_set(
    source: Path,
    where: str | None = None,
    split: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
    limits: TableSettings = DEFAULT_TABLES,
) -> list[LabelledImage]:
    """List the labelled images of a folder or table, sorted by path.

    ``source``: a folder with one folder for each class, read with the folders below it; a folder with train,
    val and test folders (or training, trn, valid, validation, testing, tst), each with one folder for each
    class; or a table (CSV, Parquet, JSON, JSON lines) with an image column (image, image_path, path, file or
    filename), a label column (true_label, label, class, class_name or target) and perhaps a split column.
    Images are taken relative to the table's folder. ``where`` is an SQL condition on the table's columns,
    such as ``cell_type = 'mono'``; of a folder it filters the manifest.csv inside. ``split`` keeps one split.
    ``tell`` receives a sentence on what a folder holds beside the images that are read; ``limits`` are those
    of a table.

    Errors: ImageSetError for a source that is missing or of another kind, a table with a row that is
    malformed or lacks a cell, a condition that DuckDB refuses or that compares text with numbers, a split
    that is not known or does not exist, images that do not exist, and for no image at all.
    """
    try:
        images = _of_split(source, _labelled_images(source, where, tell, limits), split)
    except OSError as error:
        raise ImageSetError(f"{source}: the images cannot be listed: {error.strerror}") from error
    return sorted(images, key=lambda image: image.path)


def class_names(images: Iterable[LabelledImage]) -> list[str]:
    """Return the labels that occur, each once, sorted."""
    return sorted({image.label for image in images})


def _labelled_images(
    source: Path, where: str | None, tell: Callable[[str], None], limits: TableSettings
) -> list[LabelledImage]:
    if where is not None and source.is_dir():
        source = _manifest(source)
    if source.is_dir():
        return _folder_images(source, tell)
    if source.is_file():
        return _table_images(source, where, limits)
    raise ImageSetError(
        f"{source}: there is no such folder or table; give a folder of images or a table file"
    )


def _of_split(source: Path, images: Sequence[LabelledImage], split: str | None) -> Sequence[LabelledImage]:
    if split is None:
        return images
    wanted = split_name(split)
    existing = sorted({image.split for image in images if image.split is not None})
    if wanted not in existing:
        raise ImageSetError(
            f"{source}: no split '{split}'; this set has: {', '.join(existing) or 'no splits'}"
        )
    return [image for image in images if image.split == wanted]


def _folder_images(source: Path, tell: Callable[[str], None]) -> list[LabelledImage]:
    try:
        found = read_class_folders(source)
    except UnclearFolderError as error:
        raise ImageSetError(f"{source}: {error}") from error
    passed = found.passed_over()
    if not found.images:
        raise ImageSetError(
            f"{source}: no images found; expected one folder for each class with files in "
            f"{', '.join(IMAGE_SUFFIXES)}, directly or inside train, val and test"
            + (f". What is there: {passed}" if passed else "")
        )
    if passed:
        tell(f"{source}: not read: {passed}")
    return [LabelledImage(image.path, image.label, image.split) for image in found.images]


def _manifest(folder: Path) -> Path:
    table = folder / _MANIFEST
    if not table.is_file():
        raise ImageSetError(
            f"{folder}: a where condition needs a table, and this folder holds no {_MANIFEST}; "
            "give a table file, or leave the condition out"
        )
    return table


# --- a table that names images ---


@dataclass(frozen=True, slots=True)
class _Row:
    place: str  # line 7, in words
    image: str
    label: str
    split: str


def _table_images(path: Path, where: str | None, limits: TableSettings) -> list[LabelledImage]:
    table = read_table(path, None, replace(_USE, limits=limits))
    rows = _selected(path, table, _chosen(path, table.columns), where)
    if not rows:
        matching = " that meets the condition" if where is not None else ""
        raise ImageSetError(f"{path}: the table names no image{matching}")
    _check_rows(path, rows)
    unique = {
        LabelledImage(locate_image(path.parent, row.image), row.label, split_name(row.split)): None
        for row in rows
    }
    images = list(unique)  # a row that is written twice counts once
    _check_images(path, images)
    return images


def _chosen(path: Path, columns: Sequence[str]) -> list[int | None]:
    """Find the places of the image, label and split column; a table may have no split column."""
    names = [folded(name) for name in columns]
    for what, sought in (("image", IMAGE_COLUMNS), ("label", _LABEL_COLUMNS)):
        if not set(sought) & set(names):
            raise ImageSetError(
                f"{path}: no {what} column; expected one of {', '.join(sought)}, "
                f"found {', '.join(columns) or 'none'}"
            )
    split = names.index(_SPLIT_COLUMN) if _SPLIT_COLUMN in names else None
    places = [*(_USE.places(columns) or ()), split]
    check_once(path, columns, [names[place] for place in places if place is not None], ImageSetError)
    return places


def _selected(path: Path, table: Table, places: Sequence[int | None], where: str | None) -> list[_Row]:
    """The rows that meet the condition. A row that is malformed cannot be asked, so there must be none."""
    if table.malformed:
        bad = [f"{table.place_of(aside.row)} ({aside.detail})" for aside in table.malformed]
        raise ImageSetError(
            f"{path}: these lines are no rows of the table: {some(bad)}. No image may be lost unseen: mend "
            "the lines, or remove them"
        )
    try:
        kept = range(len(table.rows)) if where is None else rows_that_meet(table, where)
    except ConditionError as error:
        raise ImageSetError(f"{path}: DuckDB refuses the condition {where!r}: {error}") from error
    chosen = (table.rows[position] for position in kept)
    return [
        _Row(
            table.place_of(number), *("" if place is None else (row[place] or "").strip() for place in places)
        )
        for number, row in chosen
    ]


def _check_rows(path: Path, rows: Sequence[_Row]) -> None:
    """Raise ImageSetError where a row lacks an image, a label or a split, or its split is not known."""
    lacking = [row.place for row in rows if not (row.image and row.label)]
    if lacking:
        raise ImageSetError(
            f"{path}: {len(lacking)} of {len(rows)} rows lack an image or a label: "
            f"{some(lacking)}; "
            "fill them in, or leave them out with a condition"
        )
    unknown = sorted({row.split for row in rows if row.split and split_name(row.split) is None})
    if unknown:
        raise ImageSetError(
            f"{path}: the split column holds {some([*map(repr, unknown)])}; known are: "
            f"{KNOWN_SPLITS}. Write one of them, or leave these rows out with a condition"
        )
    without = [row.place for row in rows if not row.split]
    if 0 < len(without) < len(rows):
        raise ImageSetError(
            f"{path}: {len(without)} of {len(rows)} rows have no split: {some(without)}; "
            "fill it in, or leave them out with a condition"
        )


def _check_images(table: Path, images: Sequence[LabelledImage]) -> None:
    missing = [image.path for image in images if not is_file(image.path)]
    if missing:
        raise ImageSetError(
            f"{table}: {len(missing)} of {len(images)} images do not exist: {some(missing)}; "
            "paths count from the table's folder"
        )
    seen: set[Path] = set()
    for image in images:
        if image.path in seen:
            raise ImageSetError(f"{table}: {image.path} stands there twice, with two labels or in two splits")
        seen.add(image.path)
