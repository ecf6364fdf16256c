"""Files that hold a table, each read as a defect log: CSV, JSON lines, Parquet, a query on a DuckDB file."""

import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from inspection.errors import LogError
from inspection.inputs.defect_log import LogRow
from inspection.workspace.settings import TableSettings
from tests.inspection.inputs.logs import HEADER, kept, logged, read, reasons


def test_blank_rows_count_but_are_no_rows(plant: Path) -> None:
    log = read(logged(plant, f"\n{HEADER}\n1.png,good,stain\n\n,,\n   \n2.png,good\n3.png,good,stain\n\n\n"))
    assert kept(log) == [(1, "1.png"), (6, "3.png")]
    assert reasons(log) == [(5, "malformed")]


def test_a_quoted_cell_may_hold_delimiters_quotes_and_line_ends(plant: Path) -> None:
    text = f'{HEADER},lot\n1.png,good,stain,"a, ""b""\n\nc"\n2.png,good\n3.png,good,stain,"d"\n'
    log = read(logged(plant, text))
    assert kept(log) == [(1, "1.png"), (3, "3.png")]
    assert reasons(log) == [(2, "malformed")]
    assert [row.context["lot"] for row in log.rows] == ['a, "b"\n\nc', "d"]


@pytest.mark.parametrize("rows", [1, 3000])
def test_an_unclosed_quotation_mark_costs_one_row_and_no_other(plant: Path, rows: int) -> None:
    bulk = "日本.png,good,good\n" * rows
    text = f'{HEADER}\n{bulk}"1.png,good,stain\n2.png,good,stain\n"3.png,good,stain\n4.png,good,"stain"\n'
    log = read(logged(plant, text + '5.png,"good,stain\n6.png,good,stain\n7.png,good,stain'))
    assert kept(log) == [(rows + 2, "2.png"), (rows + 4, "4.png"), (rows + 6, "6.png"), (rows + 7, "7.png")]
    assert reasons(log)[rows:] == [(rows + 1, "malformed"), (rows + 3, "malformed"), (rows + 5, "malformed")]
    assert log.set_aside[rows].detail == 'a quotation mark is not closed in this line: "1.png,good,stain'


def test_a_log_whose_copying_broke_off(plant: Path) -> None:
    for end in ("2.png,go", '2.png,"go', "2"):
        log = read(logged(plant, f"{HEADER}\n1.png,good,stain\n{end}"))
        assert kept(log) == [(1, "1.png")]
        assert reasons(log) == [(2, "malformed")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends(plant: Path, delimiter: str, line_end: str) -> None:
    text = f"{HEADER},lot\n1.png,good,stain,\n2.png,good\n3.png,good,stain,\n"
    log = read(logged(plant, text.replace(",", delimiter).replace("\n", line_end)))
    assert kept(log) == [(1, "1.png"), (3, "3.png")]
    assert reasons(log) == [(2, "malformed")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "utf-16"])
def test_a_japanese_log(plant: Path, encoding: str) -> None:
    (plant / "傷ソ.png").write_bytes(
        (plant / "1.png").read_bytes()
    )  # the last byte of ソ in cp932 is a backslash
    text = "ファイル,判定,目視,ロット\r\n傷ソ.png,良品,傷,春①\r\n"
    log = read(
        logged(plant, text.encode(encoding)),
        column_map={
            "image_path": "ファイル",
            "predicted_label": "判定",
            "true_label": "目視",
            "lot": "ロット",
        },
        label_map={"良品": "good", "傷": "scratch"},
    )
    assert log.set_aside == ()
    assert log.rows == (
        LogRow(1, "row-1-傷ソ.png", plant / "傷ソ.png", "good", "scratch", None, None, {"lot": "春①"}),
    )


@pytest.mark.parametrize(
    "bad", [b"2.png,good,\xe3\x82", b"2.png,good,st\xffain", b"2.png,go\0d,stain", b"\0" * 4096]
)
def test_a_line_that_is_no_text_costs_one_row(plant: Path, bad: bytes) -> None:
    log = read(
        logged(plant, f"{HEADER},lot\n1.png,good,stain,ロット\n".encode() + bad + b"\n3.png,good,stain,L\n")
    )
    assert kept(log) == [(1, "1.png"), (3, "3.png")]
    assert reasons(log) == [(2, "malformed")]
    assert log.rows[0].context == {"lot": "ロット"}


def test_a_line_of_json_that_is_no_text_costs_one_row(plant: Path) -> None:
    line = '{"image_path": "%d.png", "predicted_label": "good", "true_label": "stain", "lot": "春"}\n'
    rows = [(line % number).encode() for number in (1, 2, 3)]
    log = read(logged(plant, rows[0] + rows[1].replace("春".encode(), b"\xe6\x98") + rows[2], "log.jsonl"))
    assert kept(log) == [(1, "1.png"), (3, "3.png")]
    assert reasons(log) == [(2, "malformed")]
    array = b"[" + b",".join([rows[0], rows[1].replace(b"good", b"g\xff")]) + b"]"
    with pytest.raises(LogError, match="line 2 of its JSON array: bytes that are no UTF-8 text"):
        read(logged(plant, array, "log.json"))


def test_a_key_that_stands_twice_in_an_object_costs_its_row(plant: Path) -> None:
    line = '{"image_path": "1.png", "predicted_label": "good", "true_label": "stain"}'
    twice = line.replace("}", ', "true_label": "good"}')
    log = read(logged(plant, f"{twice}\n{line}\n", "log.jsonl"))
    assert kept(log) == [(2, "1.png")]
    assert log.set_aside[0].detail.startswith("a key stands in it twice: {")


def test_western_excel(plant: Path) -> None:
    text = f"{HEADER};lot\n1.png;good;stain;Größe 5\n".replace(",", ";").encode("cp1252")
    assert read(logged(plant, text)).rows[0].context == {"lot": "Größe 5"}


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nimage_path;predicted_label;true_label\n1.png;good;stain\n",
        '"sep=|"\r\nimage_path|predicted_label|true_label\r\n1.png|good|stain\r\n',
        "SEP=\t\nimage_path\tpredicted_label\ttrue_label\n1.png\tgood\tstain\n",
        "image_path|predicted_label|true_label\n1.png|good|stain\n",
        f"# camera export\n\n# line 7\n{HEADER}\n1.png,good,stain\n",
        f'"a, b";{HEADER.replace(",", ";")}\nx;1.png;good;stain\n',
        f"{HEADER},\n1.png,good,stain\n",
        f"{HEADER}\n1.png,good,stain,,\n",
        f"{HEADER},line,lot\n1.png,good,stain\n",
        f"{HEADER},line,lot\n1.png,good,stain,\n",
        "lot,true_label,verdict,image_path,predicted_label,x\n7,stain,,1.png,good\n",
    ],
)
def test_habits_of_excel_and_cameras(plant: Path, text: str) -> None:
    log = read(logged(plant, text))
    assert kept(log) == [(1, "1.png")]
    assert log.set_aside == ()


def test_the_short_row_is_no_row_where_it_lacks_what_is_needed(plant: Path) -> None:
    log = read(logged(plant, "image_path,predicted_label,verdict,lot\n1.png,good\n2.png,good,stain\n"))
    assert kept(log) == [(2, "2.png")]
    assert reasons(log) == [(1, "malformed")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            f"Export,XG\n{HEADER}\n1.png,good,stain\n",
            "line 2 names the columns, but line 1 above it is 'Export,XG'",
        ),
        (
            f"1.png,good,stain\n{HEADER}\n2.png,good,stain\n",
            "line 2 names the columns, but line 1 .* '1.png,good,",
        ),
        ("sep=;\n", "nothing stands below line 1, 'sep=;'"),
        (f'"{HEADER}\n1.png,good,stain\n', "(?s)names no columns: a quotation mark in it is not closed"),
        ("camera 7\n1.png,good,stain\n", "(?s)no column image_path.*found: camera 7"),
    ],
)
def test_what_stands_above_the_header_may_be_rows(plant: Path, text: str, says: str) -> None:
    with pytest.raises(LogError, match=says):
        read(logged(plant, text))


@pytest.mark.parametrize("again", ["true_label", "True_Label ", "LOT", "lot"])
def test_a_column_that_stands_twice_is_refused(plant: Path, again: str) -> None:
    with pytest.raises(LogError, match=f"same column stands there 2 times: .*'{again}'"):
        read(logged(plant, f"{HEADER},lot,{again}\n1.png,good,stain,7,x\n"))


def test_columns_that_are_not_used_may_stand_twice(plant: Path) -> None:
    assert kept(read(logged(plant, f"{HEADER},note,note,,\n1.png,good,stain,a,b,,\n"))) == [(1, "1.png")]


def test_an_unclosed_quotation_mark_in_a_free_text_hides_no_row(plant: Path) -> None:
    text = (
        f'{HEADER},note\n1.png,good,stain,"a\n2.png,good,stain,b\n3.png,good,stain,c"\n4.png,good,stain,d\n'
    )
    log = read(logged(plant, text))
    assert kept(log) == [(2, "2.png"), (3, "3.png"), (4, "4.png")]
    assert reasons(log) == [(1, "malformed")]


def test_a_table_that_is_too_large_is_refused_at_once(plant: Path) -> None:
    names = ",".join(f"c{number}" for number in range(100_000))
    row = json.dumps(dict.fromkeys(names.split(","), 1))
    for text, name in ((f"{HEADER},{names}\n1.png,good,stain\n", "log.csv"), (row, "log.jsonl")):
        with pytest.raises(LogError, match=r"has 100,00\d columns; at most 2,000 are read"):
            read(logged(plant, text, name))
    path = plant / "log.parquet"
    with duckdb.connect() as connection:
        connection.query("SELECT 'x' AS a, 'y' AS b FROM range(3)").write_parquet(str(path))
    with duckdb.connect() as connection:
        connection.query("SELECT 'x' AS a, 'y' AS b FROM range(500_001)").write_parquet(str(path))
    with pytest.raises(
        LogError, match=r"more than 500,000 rows of 2 columns.*raise most_million_cells under"
    ):
        read(path, tables=TableSettings(most_million_cells=1))
    path.write_bytes(bytes(1_000_001))
    with pytest.raises(LogError, match="has 1 MB; at most 1 are read: split it, or raise most_megabytes"):
        read(path, tables=TableSettings(most_megabytes=1))


def test_the_settings_say_how_much_of_a_table_is_read(plant: Path) -> None:
    row, limits = "1.png,good,stain", TableSettings(most_columns=4, longest_cell=20)
    path = logged(plant, f"{HEADER},note\n{row},{'x' * 20}\n{row},{'x' * 21}\n{row},y\n")
    log = read(path, tables=limits)
    assert [(each.row, each.reason) for each in log.set_aside][:1] == [(2, "malformed")]
    assert "field larger than field limit (20)" in log.set_aside[0].detail
    assert (2, "malformed") not in [(each.row, each.reason) for each in read(path).set_aside]
    wide = logged(plant, f"{HEADER},a,b\n{row},1,2\n")
    with pytest.raises(LogError, match=r"has 5 columns; at most 4 are read.*most_columns under .tables."):
        read(wide, tables=limits)


def test_json_lines_with_a_broken_line(plant: Path) -> None:
    lines = [
        '{"image_path": "1.png", "predicted_label": "good", "true_label": "stain", "score": 0.25, "lot": 7}',
        '{"image_path": "2.png", "predicted_label": "good", "true_la',
        "",
        '{"true_label": "stain", "predicted_label": "good", "image_path": "4.png", "note": {"a": [1]}}',
        '["5.png", "good", "stain"]',
        '{"image_path": "6.png", "predicted_label": "good", "true_label": null}',
        '{"image_path": "7.png"}',
        '{"image_path": "a\\u0000b", "predicted_label": "good", "true_label": "stain"}',
    ]
    log = read(logged(plant, "\n".join(lines), "log.jsonl"))
    assert kept(log) == [(1, "1.png"), (4, "4.png")]
    assert (log.rows[0].score, log.rows[0].context) == (0.25, {"lot": "7"})
    assert reasons(log) == [
        (2, "malformed"),
        (5, "malformed"),
        (6, "not_verified"),
        (7, "malformed"),
        (8, "missing_image"),
    ]
    assert log.set_aside[0].detail == f"not a JSON object: {lines[1]}"


def test_keys_that_need_escaping(plant: Path) -> None:
    line = json.dumps({"a/b~c": "1.png", 'd"e': "good", "$.f": "stain"})
    columns = {"image_path": "a/b~c", "predicted_label": 'd"e', "true_label": "$.f"}
    assert kept(read(logged(plant, line, "log.ndjson"), column_map=columns)) == [(1, "1.png")]


def test_a_json_array(plant: Path) -> None:
    rows = [{"image_path": "1.png", "predicted_label": "good", "true_label": "stain"}, 5]
    log = read(logged(plant, json.dumps(rows, indent=1), "log.json"))
    assert kept(log) == [(1, "1.png")]
    assert reasons(log) == [(2, "malformed")]


def test_parquet_with_real_types(plant: Path) -> None:
    path = plant / "log[1]*.parquet"  # characters that DuckDB takes for a pattern
    (plant / "log1.parquet").write_text("not this one")
    with duckdb.connect() as connection:
        connection.query(
            "SELECT '1.png' AS image_path, 'good' AS predicted_label, 'stain' AS true_label, "
            "0.5::FLOAT AS score, TIMESTAMP '2026-07-01 22:15:00' AS captured_at, 7 AS lot, NULL AS line "
            "UNION ALL SELECT NULL, 'good', 'stain', NULL, NULL, NULL, NULL"
        ).write_parquet(str(path))
    log = read(path)
    assert log.rows == (
        LogRow(
            *(1, "row-1-1.png", plant / "1.png", "good", "stain", 0.5),
            datetime(2026, 7, 1, 22, 15, tzinfo=UTC),
            {"lot": "7"},
        ),
    )
    assert reasons(log) == [(2, "malformed")]


@pytest.fixture
def database(plant: Path) -> Path:
    path = plant / "line.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE checks (file VARCHAR, said VARCHAR, told VARCHAR, taken TIMESTAMPTZ)"
        )
        connection.execute("INSERT INTO checks VALUES ('1.png', 'good', 'stain', '2026-07-01 22:15:00+09')")
        connection.execute("INSERT INTO checks VALUES ('2.png', 'good', 'good', NULL)")
    return path


def test_a_query_on_a_duckdb_file(database: Path) -> None:
    log = read(
        database,
        query="SELECT * FROM checks -- of the night\n;",
        column_map={
            "image_path": "file",
            "predicted_label": "said",
            "true_label": "told",
            "captured_at": "taken",
        },
    )
    assert kept(log) == [(1, "1.png")]
    assert log.rows[0].captured_at == datetime(2026, 7, 1, 13, 15, tzinfo=UTC)
    assert reasons(log) == [(2, "not_an_error")]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (None, "a DuckDB file needs a query"),
        (
            "SELECT * FROM nights",
            "(?s)the query gives no defect log: .*nights does not exist.*Expected one SELECT",
        ),
        ("DROP TABLE checks", "Parser Error"),
        ("SELECT 1; SELECT 2", "Parser Error"),
        ("FROM read_csv('LOG')", "Permission Error"),
        ("SELECT 1 AS one", "(?s)no column image_path, predicted_label, true_label.*found: one"),
    ],
)
def test_a_query_that_is_refused(database: Path, query: str | None, says: str) -> None:
    path = logged(database.parent, f"{HEADER}\n1.png,good,stain\n")
    with pytest.raises(LogError, match=says):
        read(database, query=query and query.replace("LOG", str(path)))


def test_a_query_needs_a_duckdb_file(plant: Path) -> None:
    with pytest.raises(LogError, match=r"log\.csv: a query needs a DuckDB file"):
        read(logged(plant, f"{HEADER}\n1.png,good,stain\n"), query="SELECT 1")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("log.csv", b"", r"the defect log is empty \(0 bytes\)"),
        ("log.csv", b"\r\n \r\n", "holds nothing but blank lines"),
        ("log.csv", b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8, UTF-16, cp932 or cp1252 text"),
        ("log.csv", b"a,b\n1,\x81", "not UTF-8, UTF-16, cp932 or cp1252 text .line 2"),
        (
            "log.csv",
            b"a" * 200_000,
            "cannot be read: line 1 names no columns: .* field larger than the field limit",
        ),
        ("log.parquet", b"PAR1 nonsense PAR1", r"the defect log cannot be read: .*log\.parquet"),
        ("log.jsonl", b'{"image_path"\n', "(?s)no column image_path.*found: none"),
        ("log.json", b'[{"image_path": "1.png"},', "cut short: its JSON array has no end"),
        ("log.json", b'[{"image_path" "1.png"}]', r"cannot be read: .*log\.json"),
        ("log.json", b"[]", "(?s)no column image_path.*found: none"),
        ("log.xlsx", b"PK", r"a defect log ends in \.csv, .*not in '\.xlsx'; export it as CSV"),
        ("line.db", b"nonsense" * 1000, "not a valid DuckDB database"),
    ],
)
def test_a_log_that_cannot_be_read(plant: Path, name: str, content: bytes, says: str) -> None:
    with pytest.raises(LogError, match=says) as caught:
        read(logged(plant, content, name), query="SELECT 1" if name == "line.db" else None)
    assert str(plant / name) in str(caught.value)


def test_a_log_that_does_not_exist(tmp_path: Path) -> None:
    for path in (tmp_path / "no.csv", tmp_path):
        with pytest.raises(LogError, match="there is no such file"):
            read(path)
