"""An SQL condition on a table of text: what it compares is compared exactly, or the condition is refused.

DuckDB by itself rounds text that is compared with a whole number: '12.7' = 13 and '0013' = 13 are true for
it. So a column is a number only where every value in it is written as one, and where a text is set equal to
something else, the other side is compared as text as well.
"""

import json
import re
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from inspection.inputs.tables import Table, folded

# Numbers in the one way in which programs write them: 007 is a name, and so is 1E4.
_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}")
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,17})?(e[-+]\d{2,3})?")
_EQUALITIES = ("COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_DISTINCT_FROM", "COMPARE_NOT_DISTINCT_FROM")
_TEXT = "VARCHAR"
_READS_TEXT_AS_IT_IS = ("DOUBLE", "BOOLEAN")  # DuckDB turns a constant into these without loss, or refuses
_Slot = tuple[Any, Any]  # where an expression stands: its holder and the key in it


class ConditionError(Exception):
    """A condition that cannot be used: says why."""


def rows_that_meet(table: Table, where: str) -> list[int]:
    """Return the positions of the rows that meet a condition, in their order.

    The condition sees the table as ``images``, its columns without blanks around their values, empty ones as
    NULL, and no file or variable. Raises ConditionError.
    """
    if ";" in where:
        raise ConditionError("it holds a ';'; give one SQL condition, no statement")
    with duckdb.connect() as connection:
        position = _load(connection, table)
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            connection.table("images").filter(where)  # one condition, and nothing beside it
            exact = _exact(connection, f"SELECT {position} FROM images WHERE\n{where}\n")
            return sorted(row for (row,) in connection.execute(exact).fetchall())
        except duckdb.Error as error:
            raise ConditionError(f"{error}\n{_described(connection)}") from error


def _described(connection: duckdb.DuckDBPyConnection) -> str:
    kinds = {row[0]: row[1] for row in connection.execute("DESCRIBE images").fetchall()[:-1]}
    texts = [name for name, kind in kinds.items() if kind == _TEXT]
    return (
        f"columns of this table: {', '.join(kinds)}; text, which is compared with a value in quotes: "
        f"{', '.join(texts) or 'none'} (one value not written as a number, such as 0013, makes a column text)"
    )


def _load(connection: duckdb.DuckDBPyConnection, table: Table) -> str:
    """Load the columns that have a name; returns that of the column of positions, which stands last."""
    seen = [folded(name) for name in table.columns]
    twice = [name for name in table.columns if name.strip() and seen.count(folded(name)) > 1]
    if twice:
        raise ConditionError(
            f"the table has the same column several times: {', '.join(map(repr, twice))}; "
            "rename or remove all but one"
        )
    columns = {
        name.strip(): _column([(row[place] or "").strip() or None for _, row in table.rows])
        for place, name in enumerate(table.columns)
        if name.strip()
    }
    position = "position"
    while position in seen:
        position += "_"
    columns[position] = pa.array(range(len(table.rows)), pa.int64())
    connection.register("loaded", pa.table(columns))
    connection.execute("CREATE TABLE images AS FROM loaded")
    connection.unregister("loaded")
    return position


def _column(texts: Sequence[str | None]) -> Any:
    """A column of numbers, or of true and false, where every value is written as one; else of text."""
    values = [text for text in texts if text]
    if values and all(map(_WHOLE.fullmatch, values)):
        return pa.array([None if text is None else int(text) for text in texts], pa.int64())
    if values and all(map(_NUMBER.fullmatch, values)):
        return pa.array([None if text is None else float(text) for text in texts], pa.float64())
    if values and {text.casefold() for text in values} <= {"true", "false"}:
        return pa.array([None if text is None else text.casefold() == "true" for text in texts], pa.bool_())
    return pa.array(texts, pa.string())


# --- comparisons, made exact in the condition's syntax tree ---


def _exact(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Write a query again, so that no text is read as a number."""
    tree = _tree(connection, query)
    for node in list(_nodes(tree)):
        slots = _compared(node)
        if slots:
            _compare_exactly(connection, slots, equality=node["type"] not in _ORDERS)
    return _query(connection, tree)


_ORDERS = (
    *("COMPARE_LESSTHAN", "COMPARE_GREATERTHAN", "COMPARE_LESSTHANOREQUALTO", "COMPARE_GREATERTHANOREQUALTO"),
    *("COMPARE_BETWEEN", "COMPARE_NOT_BETWEEN"),
)


def _nodes(tree: Any) -> Iterator[MutableMapping[str, Any]]:
    """Walk the tree, what is inside first."""
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    for part in parts:
        yield from _nodes(part)
    if isinstance(tree, dict):
        yield tree


def _compared(node: MutableMapping[str, Any]) -> list[_Slot]:
    """The places of the expressions that a comparison sets against each other."""
    if node.get("class") == "COMPARISON":
        return [(node, "left"), (node, "right")]
    if node.get("class") == "BETWEEN":
        return [(node, "input"), (node, "lower"), (node, "upper")]
    if node.get("type") in ("COMPARE_IN", "COMPARE_NOT_IN"):
        return [(node["children"], i) for i in range(len(node["children"]))]
    if node.get("class") == "FUNCTION" and node.get("function_name") == "nullif":
        arguments = node.get("arguments")  # DuckDB 2; 1.5 calls them children
        if arguments is not None:
            return [(each, "expression") for each in arguments]
        return [(node["children"], i) for i in range(len(node["children"]))]
    return []


def _compare_exactly(
    connection: duckdb.DuckDBPyConnection, slots: Sequence[_Slot], *, equality: bool
) -> None:
    kinds = _kinds(connection, [holder[key] for holder, key in slots])
    others = [slot for slot, kind in zip(slots, kinds, strict=True) if kind != _TEXT]
    texts = [holder[key] for (holder, key), kind in zip(slots, kinds, strict=True) if kind == _TEXT]
    if not texts or not others:
        return
    only_constants = all(text["class"] == "CONSTANT" for text in texts)
    if only_constants and {kind for kind in kinds if kind != _TEXT} <= {*_READS_TEXT_AS_IT_IS}:
        return
    if not equality:
        raise ConditionError(
            "it compares text with what is no text by <, > or BETWEEN; compare a column of numbers with a "
            f"number, without quotes, and one of text with a value in quotes\n{_described(connection)}"
        )
    for holder, key in others:
        holder[key] = _as_text(connection, holder[key])


def _kinds(connection: duckdb.DuckDBPyConnection, expressions: Sequence[Any]) -> list[str]:
    tree = _tree(connection, "SELECT 1 FROM images")
    tree["statements"][0]["node"]["select_list"] = [*expressions]
    try:
        described = connection.execute(f"DESCRIBE {_query(connection, tree)}").fetchall()
    except duckdb.Error as error:
        raise ConditionError(
            f"a comparison in it cannot be checked by itself ({str(error).splitlines()[0]}); write it "
            f"without a subquery that names tables of its own\n{_described(connection)}"
        ) from error
    return [str(row[1]) for row in described]


def _as_text(connection: duckdb.DuckDBPyConnection, expression: Any) -> Any:
    cast = _tree(connection, f"SELECT CAST(NULL AS {_TEXT})")["statements"][0]["node"]["select_list"][0]
    return cast | {"child": expression}


def _tree(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    return json.loads(_first(connection, "SELECT json_serialize_sql(?)", query))


def _query(connection: duckdb.DuckDBPyConnection, tree: Any) -> str:
    return _first(connection, "SELECT json_deserialize_sql(?::JSON)", json.dumps(tree))


def _first(connection: duckdb.DuckDBPyConnection, query: str, value: str) -> str:
    found = connection.execute(query, [value]).fetchone()
    assert found is not None
    return str(found[0])
