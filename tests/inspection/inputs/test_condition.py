"""A condition compares exactly: no text is read as a number, and no number rounded."""

import pytest

from inspection.inputs.condition import ConditionError, rows_that_meet
from inspection.inputs.tables import Table

LOTS = ["0", "9", "12.7", "0013", "13", ""]
TABLE = Table(
    ("lot", "n", "x", "Flag", ""),  # text, whole numbers, numbers, true or false, and a trailing delimiter
    [
        (i + 1, (f" {lot} ", str(3 * i), f"{i / 2}", "True" if i % 2 else "FALSE", ""))
        for i, lot in enumerate(LOTS)
    ],
    [],
)


@pytest.mark.parametrize(
    ("where", "lots"),
    [
        ("lot = 13", ["13"]),
        ("13 = lot", ["13"]),
        ("lot = 12 + 1", ["13"]),
        ("trim(lot) = 13", ["13"]),
        ("lot = '0013'", ["0013"]),
        ("lot IN (13, 14)", ["13"]),
        ("lot NOT IN (13)", ["0", "9", "12.7", "0013"]),
        ("NOT (lot = 13)", ["0", "9", "12.7", "0013"]),
        ("lot <> 13 AND n > 5", ["12.7", "0013"]),
        ("lot IS NOT DISTINCT FROM 13", ["13"]),
        ("CASE lot WHEN 13 THEN true END", ["13"]),
        ("nullif(lot, 13) IS NULL", ["13", ""]),
        ("lot = n", ["0"]),
        ("lot IS NULL", [""]),
        ("lot BETWEEN '12' AND '13'", ["12.7", "13"]),
        ("lot IN (SELECT lot FROM images WHERE n > 9)", ["13"]),
        ("n = '3'", ["9"]),
        ("n = '03'", []),
        ("n = '3.2'", []),
        ("n > 3.2", ["12.7", "0013", "13", ""]),
        ("n > (SELECT avg(n) FROM images)", ["0013", "13", ""]),
        ("x = 0.5", ["9"]),
        ("x > '1.9'", ["13", ""]),
        ("flag", ["9", "0013", ""]),
        ("flag = 'True'", ["9", "0013", ""]),
    ],
)
def test_a_condition_is_met_by(where: str, lots: list[str]) -> None:
    assert [LOTS[row] for row in rows_that_meet(TABLE, where)] == lots


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("lot > 10", r"(?s)Cannot compare.*compared with a value in quotes: lot \(one value .* 0013"),
        ("lot BETWEEN 10 AND 13", "(?s)Cannot mix.*compared with a value in quotes: lot"),
        ("n > '3.2'", "compares text with what is no text by <, > or BETWEEN"),
        ("n BETWEEN '1' AND 5", "compares text with what is no text by <, > or BETWEEN|Cannot mix"),
        ("lot IN (SELECT n FROM images)", "Cannot compare values of type VARCHAR and BIGINT"),
        (
            "EXISTS (SELECT 1 FROM (VALUES (13)) v(other) WHERE other = lot)",
            "a comparison in it cannot be checked by itself .* without a subquery",
        ),
    ],
)
def test_a_condition_that_would_compare_loosely(where: str, says: str) -> None:
    with pytest.raises(ConditionError, match=says):
        rows_that_meet(TABLE, where)


@pytest.mark.parametrize(
    ("values", "where", "rows"),
    [
        (["7", "-3", "0"], "v < 1", [1, 2]),
        (["007", "7"], "v = 7", [1]),  # 007 makes the column text
        (["1e3", "1000"], "v = 1000", [1]),
        (["1e-05", "0.5"], "v < 0.1", [0]),  # as pandas writes it
        (["1234567890123456789012", "1234567890123456789013"], "v = 1234567890123456789012", [0]),
        (["+5", "5"], "v = 5", [1]),
        (["5.0", "5"], "v = 5", [0, 1]),
        (["yes", "true"], "v = 'true'", [1]),
    ],
)
def test_a_column_is_a_number_only_where_all_of_it_is_written_as_one(
    values: list[str], where: str, rows: list[int]
) -> None:
    table = Table(("v",), [(i + 1, (value,)) for i, value in enumerate(values)], [])
    assert rows_that_meet(table, where) == rows


def test_a_column_that_stands_twice_cannot_be_asked() -> None:
    table = Table(("lot", "Lot "), [(1, ("1", "2"))], [])
    with pytest.raises(ConditionError, match="same column several times: 'lot', 'Lot '"):
        rows_that_meet(table, "lot = 1")


def test_a_column_may_have_the_name_that_rows_are_counted_by() -> None:
    table = Table(("position", "rowid"), [(1, ("1", "a")), (2, ("0", "b"))], [])
    assert rows_that_meet(table, "position = 0 AND rowid = 'b'") == [1]
