"""The two conditions of a set: which images train and judge the model, and which are the line's."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inspection.errors import ImageSetError
from inspection.findings import ORIGINS, LogContext
from inspection.inputs.image_sets import IMAGE_COLUMNS, LabelledImage, class_names, read_image_set
from inspection.inputs.images import locate_image
from inspection.inputs.tables import CSV, JSON, PARQUET, Table, Use, folded, read_table

NAMED = 20  # values of a column that an error names
_USE = Use("table", ImageSetError, (*CSV, *PARQUET, *JSON), (IMAGE_COLUMNS,))


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a set: from which condition to which."""

    table: Path
    column: str
    old: tuple[str, ...]  # values of the column: the model is trained under them
    new: tuple[str, ...]  # it is tried under them
    where: str | None = None  # an SQL condition that all images meet

    @property
    def key(self) -> str:
        """The set, and what tells this question from others that are asked of it."""
        name = self.table.parent.name if self.table.suffix else self.table.name
        asked = json.dumps([self.column, self.old, self.new, self.where])
        return f"{name}-{hashlib.sha256(asked.encode()).hexdigest()[:6]}"


@dataclass(frozen=True, slots=True)
class Conditions:
    """The images of both conditions by what they are for; no image is for two things."""

    references: list[LabelledImage]  # old, train and val: the model is trained and validated on them
    line: list[LabelledImage]  # new, train and val: what the model gets wrong of them is logged
    judge_new: list[LabelledImage]  # new, test
    judge_old: list[LabelledImage]  # old, test
    origins: dict[Path, LogContext] = field(default_factory=dict)  # where the images come from


def read_conditions(question: Question) -> Conditions:
    """Read the images of both conditions.

    Raises ImageSetError for a column or a value that the table does not have, for a value that stands on both
    sides, and where a class is missing of what is trained on, logged or judged.
    """
    table = question.table / "manifest.csv" if question.table.is_dir() else question.table
    known = read_table(table, None, _USE)
    _check_values(table, known, question)
    old, new = (
        read_image_set(table, _condition(question, values)) for values in (question.old, question.new)
    )
    found = Conditions(
        references=_of(old, "train", "val"),
        line=_of(new, "train", "val"),
        judge_new=_of(new, "test"),
        judge_old=_of(old, "test"),
        origins=_origins(table, known),
    )
    _check_classes(question, found)
    return found


def _condition(question: Question, values: Sequence[str]) -> str:
    column = question.column.replace('"', '""')
    listed = ", ".join("'{}'".format(value.replace("'", "''")) for value in values)
    among = f'"{column}" IN ({listed})'
    return f"({question.where}\n) AND {among}" if question.where else among


def _of(images: Sequence[LabelledImage], *splits: str) -> list[LabelledImage]:
    return [each for each in images if each.split in splits]


def _origins(path: Path, table: Table) -> dict[Path, LogContext]:
    """What the table says of where each of its images comes from: line, station, camera and the like."""
    names = [folded(each) for each in table.columns]
    places = {name: names.index(name) for name in ORIGINS if name in names}
    image = (_USE.places(table.columns) or [0])[0]

    def of(row: Sequence[str | None]) -> LogContext:
        held: dict[str, Any] = {name: (row[place] or "").strip() or None for name, place in places.items()}
        return LogContext(**held)

    return {locate_image(path.parent, row[image] or ""): of(row) for _, row in table.rows}


def _check_values(path: Path, table: Table, question: Question) -> None:
    both = sorted(set(question.old) & set(question.new))
    if both:
        raise ImageSetError(f"{', '.join(both)} stands in --from and in --to; give each value to one of them")
    known = _values(path, table, question.column)
    missing = [value for value in (*question.old, *question.new) if value not in known]
    if missing:
        more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
        there = ", ".join(f"{value} ({count})" for value, count in known.most_common(NAMED))
        raise ImageSetError(
            f"{path}: no row has {question.column} = {' or '.join(missing)}; its values and how many rows "
            f"have each: {there}{more}"
        )


def _values(path: Path, table: Table, column: str) -> Counter[str]:
    names = [folded(each) for each in table.columns]
    if folded(column) not in names:
        raise ImageSetError(
            f"{path}: no column {column}; --domain is the column that tells the conditions apart, one of: "
            f"{', '.join(table.columns)}"
        )
    place = names.index(folded(column))
    return Counter(text for _, row in table.rows if (text := (row[place] or "").strip()))


def _check_classes(question: Question, found: Conditions) -> None:
    """Every class has to be trained on, logged and judged: or a change cannot be told from it."""
    names = class_names([*found.references, *found.line, *found.judge_new, *found.judge_old])
    old, new = " ".join(question.old), " ".join(question.new)
    parts = {
        f"{old}, split train": _of(found.references, "train"),
        f"{new}, splits train and val": found.line,
        f"{new}, split test": found.judge_new,
        f"{old}, split test": found.judge_old,
    }
    for part, images in parts.items():
        lacking = sorted(set(names) - set(class_names(images)))
        if lacking:
            raise ImageSetError(
                f"{question.table}: {question.column} = {part}: no image of class {', '.join(lacking)}; "
                "every class is needed there. Choose other values, or leave the class out with --where"
            )
