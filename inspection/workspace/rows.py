"""Records as rows of the store and back: one way to write and read each."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from functools import cache
from math import isnan, nan
from typing import Any, TypeVar

import pyarrow as pa
from duckdb import DuckDBPyConnection

from inspection.errors import StoreError
from inspection.findings import (
    Accuracy,
    Affected,
    Arm,
    ArmResult,
    BlamedFilter,
    Cause,
    CheckKind,
    Comparison,
    Decision,
    Diagnosis,
    Doubt,
    DoubtKind,
    ErrorKind,
    FailureMode,
    FilterAfter,
    FlipRate,
    GateCheck,
    JudgedImage,
    LogContext,
    LoggedError,
    Night,
    NightState,
    OperationMatch,
    Pattern,
    Primitive,
    Promotion,
    PromotionKind,
    RecipeFile,
    RecipeStep,
    RegisteredModel,
    Retraining,
    RightPart,
    SetAside,
    SuspectLabel,
    Trend,
)

# What hangs on a failure mode, and the columns by which a reader finds it again.
_MODE_DETAILS: dict[str, tuple[str, ...]] = {
    "errors": ("mode_id",),
    "flip_rates": ("mode_id",),
    "blamed_filters": ("mode_id",),
    "primitives": ("mode_id", "layer", "channel"),
    "patches": ("mode_id", "layer", "channel"),
    "matches": ("mode_id",),
    "pairs": ("mode_id",),
    "suspect_labels": ("mode_id",),
    "comparisons": ("mode_id",),
    "affected": ("mode_id",),
    "recipes": ("mode_id",),
}
MODEL_NAME = "model"  # of models that nobody gave a name
NIGHT_TABLES = ("nights", "set_aside", "right_parts", "failure_modes", *_MODE_DETAILS)
# Those that name image files, with their absolute paths.
IMAGE_TABLES = ("reference_images", "errors", "suspect_labels", "right_parts", "judged_images")
RETRAINING_TABLES = (
    "retrainings",
    "retrained_modes",
    "arms",
    "accuracies",
    "class_accuracies",
    "gate_checks",
    "judged_images",
    "filters_after",
)

Row = dict[str, Any]
Groups = Mapping[tuple[Any, ...], list[Row]]
Record = TypeVar("Record")


# Between records and rows: a record's fields and a table's columns have the same names.


def row_of(record: Any, /, **more: Any) -> Row:
    """A record as a row, with columns that the record does not have."""
    return {field.name: getattr(record, field.name) for field in fields(record)} | more


def rows_of(records: Sequence[Any], **keys: Any) -> list[Row]:
    """Records as rows, numbered from 1."""
    return [row_of(record, position=position, **keys) for position, record in enumerate(records, 1)]


def record_of(kind: type[Record], row: Row, /, **more: Any) -> Record:
    """A row as a record of this kind."""
    names = _names(kind)  # type: ignore[arg-type]
    values = {name: value_of(row[name]) for name in names if name in row}
    return kind(**(values | more))


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def value_of(value: Any) -> Any:
    """A column's value as a record holds it: lists as tuples, instants in UTC."""
    if value is None or isinstance(value, str | int | float):  # most are
        return value
    if isinstance(value, list):
        return tuple(value)
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def fetch(connection: DuckDBPyConnection, sql: str, *values: Any) -> list[Row]:
    """The rows of a query."""
    return _fetched(connection, sql, values)


def fetch_named(connection: DuckDBPyConnection, sql: str, values: Mapping[str, Any]) -> list[Row]:
    """The same of a query whose parameters have names."""
    return _fetched(connection, sql, values)


def _fetched(connection: DuckDBPyConnection, sql: str, values: object) -> list[Row]:
    connection.execute(sql, values)
    names = [column[0] for column in connection.description or ()]
    return [dict(zip(names, row, strict=True)) for row in connection.fetchall()]


def select(
    connection: DuckDBPyConnection, table: str, column: str, value: str, order: str = "position"
) -> list[Row]:
    """The rows of a table where a column has this value, in order."""
    return fetch(connection, f"FROM {table} WHERE {column} = ? ORDER BY {order}", value)


def insert(connection: DuckDBPyConnection, table: str, rows: list[Row]) -> None:
    """Insert rows through Arrow; what the table has no column for is kept in tables of its own."""
    if not rows:
        return
    schema = connection.sql(f"FROM {table} LIMIT 0").to_arrow_table().schema
    try:
        connection.register("incoming", pa.Table.from_pylist(rows, schema=schema))
    except UnicodeEncodeError as error:  # a file name on Linux may be any bytes
        raise StoreError(f"{error.object!r} cannot be stored: it is no valid Unicode. Rename it.") from None
    connection.execute(f"INSERT INTO {table} BY NAME FROM incoming")
    connection.unregister("incoming")


def delete(connection: DuckDBPyConnection, tables: Sequence[str], column: str, value: str) -> None:
    """Delete what hangs on a value from several tables."""
    for table in tables:
        connection.execute(f"DELETE FROM {table} WHERE {column} = ?", [value])


def grouped(rows: Sequence[Row], columns: Sequence[str]) -> Groups:
    """Rows by the values of some columns."""
    groups: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[column] for column in columns)].append(row)
    return groups


# Models and retrainings.


def write_model(connection: DuckDBPyConnection, model: RegisteredModel) -> None:
    """Write a model, in place of an earlier record of it, whose name and version it keeps."""
    earlier = select(connection, "models", "model_hash", model.model_hash, order="rowid")
    if earlier and not model.parent_hash:  # registered again, a candidate stays one of its family
        model = replace(model, parent_hash=earlier[0]["parent_hash"], note=model.note or earlier[0]["note"])
    name = earlier[0]["name"] if earlier else model.name or MODEL_NAME
    version = earlier[0]["version"] if earlier else _next_version(connection, name)
    delete(connection, ("models",), "model_hash", model.model_hash)
    insert(connection, "models", [row_of(model, name=name, version=version)])


def _next_version(connection: DuckDBPyConnection, name: str) -> int:
    sql = "SELECT coalesce(max(version), 0) + 1 AS version FROM models WHERE name = ?"
    return int(fetch(connection, sql, name)[0]["version"])


def write_promotion(connection: DuckDBPyConnection, promotion: Promotion) -> None:
    """Add an entry to the audit trail."""
    insert(connection, "promotions", [row_of(promotion)])


def read_deployed(connection: DuckDBPyConnection) -> str | None:
    """The hash of the model that was deployed last, of whatever name; None: there is none yet."""
    rows = fetch(connection, "SELECT model_hash FROM promotions ORDER BY rowid DESC LIMIT 1")
    return rows[0]["model_hash"] if rows else None


def read_deployed_as(connection: DuckDBPyConnection, name: str) -> str | None:
    """The hash of the deployed model of a name; None: none is deployed."""
    rows = fetch(connection, "SELECT model_hash FROM deployed_models WHERE lower(name) = lower(?)", name)
    return rows[0]["model_hash"] if rows else None


def read_promotions(connection: DuckDBPyConnection) -> list[Promotion]:
    """The audit trail, oldest first."""
    return [
        record_of(
            Promotion,
            row,
            kind=PromotionKind(row["kind"]),
            decision=Decision(row["decision"]) if row["decision"] else None,
        )
        for row in fetch(connection, "FROM promotions ORDER BY rowid")
    ]


def write_retraining(
    connection: DuckDBPyConnection, retraining: Retraining, pictures: Sequence[JudgedImage]
) -> None:
    """Write a retraining with everything that was measured, and the images that judged its candidate."""
    key = {"retraining_id": retraining.retraining_id}
    delete(connection, RETRAINING_TABLES, "retraining_id", retraining.retraining_id)
    insert(connection, "retrainings", [row_of(retraining, settings=json.dumps(retraining.settings))])
    modes = [{**key, "position": i, "mode_id": mode} for i, mode in enumerate(retraining.mode_ids, 1)]
    insert(connection, "retrained_modes", modes)
    insert(connection, "arms", rows_of(retraining.arms, **key))
    measured = [("", retraining.accuracies, retraining.checks)]
    measured += [(each.arm.value, each.accuracies, each.checks) for each in retraining.arms]
    for arm, accuracies, checks in measured:
        insert(connection, "accuracies", rows_of(accuracies, arm=arm, **key))
        insert(connection, "gate_checks", rows_of(checks, arm=arm, **key))
        for accuracy in accuracies:
            insert(connection, "class_accuracies", _class_rows({**key, "arm": arm}, accuracy))
    judged = [row | {"outcome": each.outcome} for row, each in _numbered(pictures, **key)]
    insert(connection, "judged_images", judged)
    insert(connection, "filters_after", rows_of(retraining.filters, **key))


def _numbered(records: Sequence[Record], **keys: Any) -> Iterator[tuple[Row, Record]]:
    return zip(rows_of(records, **keys), records, strict=True)


def _class_rows(key: Row, accuracy: Accuracy) -> list[Row]:
    key = {**key, "name": accuracy.name}
    return [
        {**key, "position": position, "class_name": name, "images": images, "before": before, "after": after}
        for position, (name, (images, before, after)) in enumerate(accuracy.per_class.items(), 1)
    ]


def read_retraining(connection: DuckDBPyConnection, row: Row) -> Retraining:
    """A retraining with everything that was measured."""
    found = {
        table: select(connection, table, "retraining_id", row["retraining_id"])
        for table in RETRAINING_TABLES
        if table not in ("retrainings", "judged_images")
    }
    classes = grouped(found["class_accuracies"], ("arm", "name"))
    accuracies: defaultdict[str, list[Accuracy]] = defaultdict(list)
    for each in found["accuracies"]:
        per_class = _per_class(classes[each["arm"], each["name"]])
        accuracies[each["arm"]].append(record_of(Accuracy, each, per_class=per_class))
    checks: defaultdict[str, list[GateCheck]] = defaultdict(list)
    for each in found["gate_checks"]:
        checks[each["arm"]].append(record_of(GateCheck, each, kind=CheckKind(each["kind"])))
    arms = tuple(
        record_of(
            ArmResult,
            each,
            arm=Arm(each["arm"]),
            accuracies=tuple(accuracies[each["arm"]]),
            checks=tuple(checks[each["arm"]]),
        )
        for each in found["arms"]
    )
    return record_of(
        Retraining,
        row,
        mode_ids=tuple(each["mode_id"] for each in found["retrained_modes"]),
        decision=Decision(row["decision"]),
        arm=Arm(row["arm"]) if row["arm"] else None,
        settings=json.loads(row["settings"]),
        accuracies=tuple(accuracies[""]),
        checks=tuple(checks[""]),
        arms=arms,
        filters=tuple(record_of(FilterAfter, each) for each in found["filters_after"]),
    )


def _per_class(rows: Sequence[Row]) -> dict[str, tuple[int, int, int]]:
    return {row["class_name"]: (row["images"], row["before"], row["after"]) for row in rows}


# Nights.


def write_night(connection: DuckDBPyConnection, night: Night) -> None:
    """Write a night with everything it found, in place of what was there."""
    delete(connection, NIGHT_TABLES, "night_id", night.night_id)
    for table, rows in _night_rows(night).items():
        insert(connection, table, rows)


def _night_rows(night: Night) -> dict[str, list[Row]]:
    """Spread a night over the tables."""
    key = {"night_id": night.night_id}
    tables: dict[str, list[Row]] = defaultdict(list)
    settings, seconds = json.dumps(night.settings), json.dumps(night.seconds)
    tables["nights"] = [row_of(night, settings=settings, seconds=seconds)]
    tables["set_aside"] = rows_of(night.set_aside, **key)
    tables["right_parts"] = rows_of(night.right, **key)
    tables["errors"] = _error_rows(night.unclustered, mode_id=None, **key)
    for position, mode in enumerate(night.modes, 1):
        for table, rows in _mode_rows(mode, position).items():
            tables[table] += [row | key for row in rows]
    return tables


def _mode_rows(mode: FailureMode, position: int) -> dict[str, list[Row]]:
    key = {"mode_id": mode.mode_id}
    return {
        "failure_modes": [row_of(mode, position=position) | _diagnosis_row(mode.diagnosis)],
        "errors": _error_rows(mode.errors, **key),
        "flip_rates": rows_of(mode.flip_rates, **key),
        "blamed_filters": [row | _pattern_row(row["pattern"]) | key for row in rows_of(mode.filters)],
        "primitives": [row | key for blamed in mode.filters for row in _primitive_rows(blamed)],
        "patches": [row | key for blamed in mode.filters for row in _patch_rows(blamed)],
        "matches": rows_of(mode.diagnosis.matches, **key),
        "pairs": rows_of(mode.diagnosis.pair, **key),
        "suspect_labels": rows_of(mode.suspects, **key),
        "comparisons": rows_of(mode.comparisons, **key),
        "affected": rows_of(mode.affected, **key),
        "recipes": [_recipe_row(mode.recipe) | key] if mode.recipe else [],
    }


def _error_rows(errors: Sequence[LoggedError], **keys: Any) -> list[Row]:
    return [
        row | row_of(error.context, more=json.dumps(error.context.more, ensure_ascii=False))
        for row, error in zip(rows_of(errors, **keys), errors, strict=True)
    ]


def _pattern_row(pattern: Pattern | None) -> Row:
    if pattern is None:
        return {"pattern": None}
    values = {name: None if isnan(value) else value for name, value in asdict(pattern).items()}
    return {"pattern": json.dumps(values)}


def _pattern(text: str | None) -> Pattern | None:
    if text is None:
        return None
    return Pattern(**{name: nan if value is None else value for name, value in json.loads(text).items()})


def _primitive_rows(blamed: BlamedFilter) -> list[Row]:
    return rows_of(blamed.primitives, layer=blamed.layer, channel=blamed.channel)


def _patch_rows(blamed: BlamedFilter) -> list[Row]:
    key = {"layer": blamed.layer, "channel": blamed.channel}
    return [{**key, "position": position, "picture": path} for position, path in enumerate(blamed.patches, 1)]


def _recipe_row(recipe: RecipeFile) -> Row:
    examples = [{"before": before, "after": after} for before, after in recipe.examples]
    steps = json.dumps([[asdict(step) for step in group] for group in recipe.steps])
    return row_of(recipe, position=1, examples=examples, steps=steps)


def read_night(connection: DuckDBPyConnection, night_id: str) -> Night:
    """A night with everything it found."""
    (row,) = select(connection, "nights", "night_id", night_id, order="rowid")
    set_aside = select(connection, "set_aside", "night_id", night_id)
    right = select(connection, "right_parts", "night_id", night_id)
    errors = select(connection, "errors", "night_id", night_id)
    return record_of(
        Night,
        row,
        state=NightState(row["state"]),
        settings=json.loads(row["settings"]),
        seconds=json.loads(row["seconds"]),
        set_aside=tuple(record_of(SetAside, aside) for aside in set_aside),
        right=tuple(record_of(RightPart, part) for part in right),
        modes=read_modes(connection, "night_id", night_id),
        unclustered=tuple(error_of(error) for error in errors if error["mode_id"] is None),
    )


def read_modes(connection: DuckDBPyConnection, column: str, value: str) -> tuple[FailureMode, ...]:
    """Read the failure modes whose `column`, night_id or mode_id, has this value."""
    details = {
        table: grouped(select(connection, table, column, value), columns)
        for table, columns in _MODE_DETAILS.items()
    }
    return tuple(_mode(row, details) for row in select(connection, "failure_modes", column, value))


def read_diagnoses(connection: DuckDBPyConnection, mode_ids: Sequence[str]) -> dict[str, Diagnosis]:
    """The diagnoses of failure modes, without the rest of them."""

    def of_modes(table: str) -> list[Row]:
        wanted = f"FROM {table} WHERE list_contains(?, mode_id) ORDER BY position"
        return fetch(connection, wanted, list(mode_ids))

    details = {table: grouped(of_modes(table), _MODE_DETAILS[table]) for table in ("matches", "pairs")}
    return {row["mode_id"]: _diagnosis(row, details) for row in of_modes("failure_modes")}


def _mode(row: Row, details: Mapping[str, Groups]) -> FailureMode:
    key = (row["mode_id"],)
    recipes = [_recipe(recipe) for recipe in details["recipes"][key]]
    return record_of(
        FailureMode,
        row,
        errors=tuple(error_of(error) for error in details["errors"][key]),
        flip_rates=tuple(record_of(FlipRate, rate) for rate in details["flip_rates"][key]),
        filters=tuple(_filter(blamed, details) for blamed in details["blamed_filters"][key]),
        diagnosis=_diagnosis(row, details),
        recipe=recipes[0] if recipes else None,
        trend=Trend(row["trend"]),
        suspects=tuple(record_of(SuspectLabel, suspect) for suspect in details["suspect_labels"][key]),
        comparisons=tuple(record_of(Comparison, each) for each in details["comparisons"][key]),
        affected=tuple(record_of(Affected, each) for each in details["affected"][key]),
    )


def _diagnosis_row(diagnosis: Diagnosis) -> Row:
    return row_of(diagnosis, doubts=json.dumps([asdict(each) for each in diagnosis.doubts]))


def _diagnosis(row: Row, details: Mapping[str, Groups]) -> Diagnosis:
    matches, pair = (
        tuple(record_of(OperationMatch, match) for match in details[table][row["mode_id"],])
        for table in ("matches", "pairs")
    )
    doubts = tuple(_doubt(each) for each in json.loads(row["doubts"] or "[]"))
    return record_of(Diagnosis, row, matches=matches, cause=Cause(row["cause"]), pair=pair, doubts=doubts)


def _doubt(values: dict[str, Any]) -> Doubt:
    """A doubt; an earlier version told two explained shares, this one how far one goes beyond the other."""
    baseline = values.pop("baseline", None)
    if baseline is not None:
        values["found"] = (values["found"] - baseline) / max(1 - baseline, 1e-12)
    return Doubt(**{**values, "kind": DoubtKind(values["kind"]), "named": tuple(values["named"])})


def error_of(row: Row) -> LoggedError:
    """A row as a logged error."""
    more = row["more"] or "{}"
    context = record_of(LogContext, row, more={} if more == "{}" else json.loads(more))
    return record_of(LoggedError, row, kind=ErrorKind(row["kind"]), context=context)


def _filter(row: Row, details: Mapping[str, Groups]) -> BlamedFilter:
    key = (row["mode_id"], row["layer"], row["channel"])
    primitives = tuple(record_of(Primitive, primitive) for primitive in details["primitives"][key])
    patches = tuple(patch["picture"] for patch in details["patches"][key])
    pattern = _pattern(row["pattern"])
    return record_of(BlamedFilter, row, primitives=primitives, patches=patches, pattern=pattern)


def _recipe(row: Row) -> RecipeFile:
    examples = tuple((example["before"], example["after"]) for example in row["examples"])
    groups = json.loads(row["steps"] or "[]")
    steps = tuple(tuple(_step(step) for step in group) for group in groups)
    return record_of(RecipeFile, row, examples=examples, steps=steps)


def _step(values: dict[str, Any]) -> RecipeStep:
    return RecipeStep(**{**values, "filters": tuple(values["filters"])})
