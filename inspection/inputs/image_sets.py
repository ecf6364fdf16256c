"""Labelled images: a folder for each class, or a table that names images and labels."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from inspection.errors import ImageSetError
from inspection.inputs.formulas import as_meant
from inspection.inputs.images import IMAGE_SUFFIXES, is_file, is_image_name, locate_image
from inspection.inputs.tables import CSV, JSON_LINES, PARQUET, decode_text

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_IMAGE_COLUMNS = ("image", "image_path", "path", "file", "filename")
_LABEL_COLUMNS = ("true_label", "label", "class", "class_name", "target")
_SPLIT_COLUMN = "split"
_TEXT_COLUMNS = (*_IMAGE_COLUMNS, *_LABEL_COLUMNS, _SPLIT_COLUMN)
_READERS = {
    **dict.fromkeys(CSV, "read_csv(?, header=true)"),
    **dict.fromkeys(PARQUET, "read_parquet(?)"),
    ".json": "read_json(?)",
    **dict.fromkeys(JSON_LINES, "read_json(?, format='newline_delimited')"),
}
_MANIFEST = "manifest.csv"
_NAMED = 5  # missing files that an error names


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image file and the class it belongs to."""

    path: Path  # absolute
    label: str
    split: str | None  # train, val or test, or the table's own word; None where the set has no splits


def read_image_set(source: Path, where: str | None = None, split: str | None = None) -> list[LabelledImage]:
    """List the labelled images of a folder or table, sorted by path.

    ``source``: a folder with one folder for each class; a folder with train, val (valid, validation) and test
    folders, each with one folder for each class (other folders beside them are not read); or a table (CSV,
    Parquet, JSON, JSON lines) with an image column (image, image_path, path, file or filename), a label
    column (true_label, label, class, class_name or target) and perhaps a split column. Images are taken
    relative to the table's folder. ``where`` is an SQL condition on the table's columns, such as
    ``cell_type = 'mono'``; of a folder it filters the manifest.csv inside. ``split`` keeps one split.

    Errors: ImageSetError for a source that is missing or of another kind, a condition that DuckDB refuses, a
    split that does not exist, images that do not exist, and for no image at all.
    """
    try:
        images = _of_split(source, _labelled_images(source, where), split)
    except OSError as error:
        raise ImageSetError(f"{source}: the images cannot be listed: {error.strerror}") from error
    return sorted(images, key=lambda image: image.path)


def class_names(images: Iterable[LabelledImage]) -> list[str]:
    """Return the labels that occur, each once, sorted."""
    return sorted({image.label for image in images})


def _labelled_images(source: Path, where: str | None) -> list[LabelledImage]:
    if where is not None and source.is_dir():
        source = _manifest(source)
    if source.is_dir():
        return _folder_images(source)
    if source.is_file():
        return _table_images(source, where)
    raise ImageSetError(
        f"{source}: there is no such folder or table; give a folder of images or a table file"
    )


def _of_split(source: Path, images: Sequence[LabelledImage], split: str | None) -> Sequence[LabelledImage]:
    if split is None:
        return images
    wanted = _split_name(split)
    existing = sorted({image.split for image in images if image.split is not None})
    if wanted not in existing:
        raise ImageSetError(
            f"{source}: no split '{split}'; this set has: {', '.join(existing) or 'no splits'}"
        )
    return [image for image in images if image.split == wanted]


def _split_name(name: str) -> str:
    return _SPLITS.get(name.casefold(), name)


def _folder_images(source: Path) -> list[LabelledImage]:
    splits = [folder for folder in _folders(source) if folder.name.casefold() in _SPLITS and _folders(folder)]
    if splits:
        images = [image for folder in splits for image in _class_folders(folder, _split_name(folder.name))]
    else:
        images = list(_class_folders(source, None))
    if not images:
        raise ImageSetError(
            f"{source}: no images found; expected one folder for each class with files in "
            f"{', '.join(IMAGE_SUFFIXES)}, directly or inside train, val and test"
        )
    return images


def _class_folders(source: Path, split: str | None) -> Iterator[LabelledImage]:
    for folder in _folders(source):
        for file in folder.iterdir():
            if is_image_name(file) and file.is_file():
                yield LabelledImage(file.absolute(), folder.name, split)


def _folders(source: Path) -> list[Path]:
    return [entry for entry in source.iterdir() if entry.is_dir() and not entry.name.startswith(".")]


def _manifest(folder: Path) -> Path:
    table = folder / _MANIFEST
    if not table.is_file():
        raise ImageSetError(
            f"{folder}: a where condition needs a table, and this folder holds no {_MANIFEST}; "
            "give a table file, or leave the condition out"
        )
    return table


def _table_images(table: Path, where: str | None) -> list[LabelledImage]:
    meant = as_meant if table.suffix.lower() in CSV else str
    rows = [[meant(cell) if cell else cell for cell in row] for row in _selected(table, where)]
    if not rows:
        matching = " that meets the condition" if where else ""
        raise ImageSetError(f"{table}: the table names no image{matching}")
    complete = [(image, label, split) for image, label, split in rows if image and label]
    if len(complete) < len(rows):
        raise ImageSetError(
            f"{table}: {len(rows) - len(complete)} of {len(rows)} rows lack an image or a label; "
            "fill them in, or leave them out with a condition"
        )
    unique = {
        LabelledImage(locate_image(table.parent, image), label, _split_name(split) if split else None): None
        for image, label, split in complete
    }
    images = list(unique)  # a row that is written twice counts once
    _check_images(table, images)
    return images


def _check_images(table: Path, images: Sequence[LabelledImage]) -> None:
    missing = [image.path for image in images if not is_file(image.path)]
    if missing:
        named = ", ".join(str(path) for path in missing[:_NAMED])
        raise ImageSetError(
            f"{table}: {len(missing)} of {len(images)} images do not exist, such as {named}; "
            "paths count from the table's folder"
        )
    seen: set[Path] = set()
    for image in images:
        if image.path in seen:
            raise ImageSetError(f"{table}: {image.path} stands there twice, with two labels or in two splits")
        seen.add(image.path)


def _selected(table: Path, where: str | None) -> list[tuple[str | None, str | None, str | None]]:
    """Read image, label and split of the rows that meet the condition, as texts."""
    with _loaded(table) as images:
        chosen = _chosen(table, images.columns)
        texts = ", ".join(f"trim(CAST({_quoted(name)} AS VARCHAR))" if name else "NULL" for name in chosen)
        try:
            kept = images if where is None else images.filter(_condition(table, where))
            return kept.project(texts).fetchall()
        except duckdb.Error as error:
            raise ImageSetError(
                f"{table}: DuckDB refuses the condition {where!r}: {error}\n"
                f"columns of this table: {', '.join(images.columns)}"
            ) from error


def _condition(table: Path, where: str) -> str:
    if ";" in where:
        raise ImageSetError(
            f"{table}: the condition {where!r} holds a ';'; give one SQL condition, no statement"
        )
    return where


@contextmanager
def _loaded(table: Path) -> Iterator[duckdb.DuckDBPyRelation]:
    """Load a table file into memory; what is asked of it can reach no other file and no Python variable."""
    suffix = table.suffix.lower()
    if suffix not in _READERS:
        raise ImageSetError(f"{table}: a table of images ends in {', '.join(_READERS)}, not in '{suffix}'")
    with tempfile.TemporaryDirectory() as folder:
        # A copy under a plain path: DuckDB reads UTF-8 only, and takes [, * and ? for a pattern.
        copy = Path(folder) / f"images{suffix}"
        copy.write_bytes(_utf8(table))
        with duckdb.connect() as connection:
            try:
                _load(connection, copy)
            except duckdb.Error as error:
                reason = str(error).split("\n")[0].replace(str(copy), table.name)
                raise ImageSetError(f"{table}: the table cannot be read: {reason}") from error
            connection.execute("SET enable_external_access=false")
            connection.execute("SET lock_configuration=true")
            yield connection.table("images")


def _utf8(table: Path) -> bytes:
    data = table.read_bytes()
    if table.suffix.lower() in PARQUET:
        return data
    try:
        return decode_text(data).encode()
    except UnicodeError as error:
        raise ImageSetError(
            f"{table}: not UTF-8, UTF-16 or cp932 text ({error}); export it as UTF-8"
        ) from error


def _load(connection: duckdb.DuckDBPyConnection, copy: Path) -> None:
    reader = _READERS[copy.suffix]
    columns = [row[0] for row in connection.execute(f"DESCRIBE FROM {reader}", [str(copy)]).fetchall()]
    if copy.suffix in CSV:
        # Types are guessed for the condition's sake, but class 007 must not become class 7.
        texts = {name: "VARCHAR" for name in columns if name.casefold() in _TEXT_COLUMNS}
        connection.execute(
            "CREATE TABLE images AS FROM read_csv(?, header=true, types=?)", [str(copy), texts]
        )
    else:
        connection.execute(f"CREATE TABLE images AS FROM {reader}", [str(copy)])


def _chosen(table: Path, columns: Sequence[str]) -> tuple[str, str, str | None]:
    """Find the image, label and split column of a table."""
    folded = {name.casefold(): name for name in columns}
    found = []
    for what, names in (("image", _IMAGE_COLUMNS), ("label", _LABEL_COLUMNS)):
        name = next((folded[name] for name in names if name in folded), None)
        if name is None:
            raise ImageSetError(
                f"{table}: no {what} column; expected one of {', '.join(names)}, found {', '.join(columns)}"
            )
        found.append(name)
    return found[0], found[1], folded.get(_SPLIT_COLUMN)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
