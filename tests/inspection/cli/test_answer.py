"""What `fmi sql` answers, on terminals of several widths, into a pipe, as CSV and as JSON."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any
from uuid import UUID

import duckdb
import pytest

from inspection.cli import answer, workspace
from inspection.console import Console
from inspection.workspace.folder import create_workspace
from inspection.workspace.store import Store
from tests.conftest import Answer, started

Fmi = Callable[..., Answer]
Show = Callable[..., tuple[str, str]]
WIDE = [f"column_number_{i}" for i in range(20)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    site = create_workspace(tmp_path / "plant")
    Store(site.store_path).create()
    return site.root


def shown(columns: list[str], rows: list[tuple[Any, ...]], width: int = 80) -> tuple[str, str]:
    """What a terminal of so many cells shows, without colours, and what stands beside it on stderr."""
    out, err = StringIO(), StringIO()
    terminal = {"force_terminal": True, "no_color": True, "color_system": None, "legacy_windows": False}
    answer.show(
        Console(file=out, width=width, **terminal),
        Console(file=err, width=width, **terminal),
        columns,
        rows,
    )
    return out.getvalue(), err.getvalue()


def table(text: str) -> list[list[str]]:
    """The cells of a printed table, line by line."""
    lines = [line for line in text.splitlines() if line[0] in "┃│"]
    return [[cell.strip() for cell in re.split("[┃│]", line)[1:-1]] for line in lines]


# --- on a terminal ---


def test_a_narrow_result_is_a_table_as_wide_as_it_needs() -> None:
    out, err = shown(["true_label", "n"], [("傷", 3), ("scratch", None)])
    assert table(out) == [["true_label", "n"], ["傷", "3"], ["scratch", "NULL"]]
    assert max(len(line) for line in out.splitlines()) == len("true_label") + len("NULL") + 7
    assert err == ""


def test_wide_columns_are_narrowed_to_what_fits_and_narrow_ones_are_not() -> None:
    path = "/plant/line3/station2/2026-07-01/part-000123.png and more of it"
    out, _ = shown(["row", "image_path", "true_label"], [(1, path, "scratch")], width=60)
    assert max(len(line) for line in out.splitlines()) == 60
    head, *lines = table(out)
    assert head == ["row", "image_path", "true_label"]
    assert [line[0] for line in lines] == ["1", ""]
    assert [line[2] for line in lines] == ["scratch", ""]
    assert "".join(line[1] for line in lines).replace(" ", "") == path.replace(" ", "")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_what_no_table_can_hold_is_one_record_below_the_other(width: int) -> None:
    rows = [tuple(f"{row}.{i}" for i in range(20)) for row in (1, 2)]
    out, err = shown(WIDE, rows, width)
    lines = out.splitlines()
    assert max(len(line) for line in lines) <= width
    assert [i for i, line in enumerate(lines) if line.startswith("row ")] == [0, len(lines) // 2]
    assert re.match("row 1 of 2 ─+$", lines[0])
    assert re.match("row 2 of 2 ─+$", lines[len(lines) // 2])
    if width > 40:  # on 40 cells the names break
        values = [re.split(r":\s+", line.rstrip()) for line in lines if not line.startswith("row ")]
        assert values == [[name, f"{row}.{i}"] for row in (1, 2) for i, name in enumerate(WIDE)]
    assert err == ""


def test_a_long_text_makes_records_in_which_it_wraps_beside_its_name() -> None:
    settings = json.dumps({f"setting_{i}": i for i in range(40)})
    out, _ = shown(["night_id", "settings"], [("20260701", settings)])
    head, first, *rest = out.splitlines()
    assert head.startswith("row 1 of 1 ")
    assert first.split() == ["night_id:", "20260701"]
    assert rest[0].startswith("settings:  {")
    assert all(line.startswith(" " * len("settings:  ")) for line in rest[1:])
    assert "".join(line[len("settings:  ") :] for line in rest).replace(" ", "") == settings.replace(" ", "")


@pytest.mark.parametrize("columns", [["text"], WIDE], ids=["table", "records"])
def test_markup_and_control_characters_are_shown_as_they_are(columns: list[str]) -> None:
    out, _ = shown(columns, [tuple("[red]x[/] \x1b[31mx\x07" for _ in columns)])
    assert out.count("[red]x[/] \\x1b[31mx\\x07") == len(columns)
    assert "\x1b" not in out
    head, _ = shown(["[bold]n"], [(1,)])
    assert table(head)[0] == ["[bold]n"]


def test_lines_of_a_text_stay_lines() -> None:
    out, _ = shown(["detail", "n"], [("first\r\nsecond", 1)])
    assert table(out)[1:] == [["first", "1"], ["second", ""]]


def test_lists_structs_and_times_can_be_read() -> None:
    when = datetime(2026, 7, 1, 22, 15, tzinfo=UTC)
    values = (
        [1, 2.5, None],
        {"at": when, "鍵": "傷"},
        when,
        date(2026, 7, 1),
        timedelta(hours=1),
        True,
        b"\x01",
    )
    out, _ = shown([*"abcdefg"], [values], width=160)
    assert table(out)[1] == [
        "[1, 2.5, null]",
        '{"at": "2026-07-01T22:15:00+00:00", "鍵": "傷"}',
        "2026-07-01 22:15:00+00:00",
        "2026-07-01",
        "1:00:00",
        "True",
        "01",
    ]


def test_the_rows_that_are_not_shown_are_counted() -> None:
    rows = [(i,) for i in range(answer.MOST_ROWS + 1000)]
    out, err = shown(["n"], rows)
    assert [cells[0] for cells in table(out)[1:]] == [str(i) for i in range(answer.MOST_ROWS)]
    assert err == "only 200 rows are shown; --csv or a pipe gives all of them\n"
    assert shown(["n"], rows[: answer.MOST_ROWS])[1] == ""


def test_an_empty_result_shows_its_columns_and_says_so() -> None:
    out, err = shown(["night_id", "state"], [])
    assert table(out) == [["night_id", "state"]]
    assert err == "no rows\n"
    assert shown([], []) == ("", "no rows\n")


# --- for programs ---

QUERY = """
SELECT * FROM (VALUES
    (1, '[red]"quoted", x', NULL, [1, 2], TIMESTAMPTZ '2026-07-01 22:15:00+00', 0.5::DOUBLE),
    (2, '', 'line' || chr(10) || 'break', NULL, NULL, 'nan'::DOUBLE)
) AS t(n, text, note, parts, logged_at, share) ORDER BY n
"""


@pytest.mark.parametrize("options", [(), ("--csv",)], ids=["piped", "asked for"])
def test_a_pipe_gets_csv(fmi: Fmi, root: Path, options: tuple[str, ...]) -> None:
    said = fmi("sql", QUERY, "-w", root, *options)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout == (
        "n,text,note,parts,logged_at,share\n"
        '1,"[red]""quoted"", x",,"[1, 2]",2026-07-01 22:15:00+00:00,0.5\n'
        '2,,"line\nbreak",,,nan\n'
    )


def test_csv_holds_every_row_however_many(fmi: Fmi, root: Path) -> None:
    said = fmi("sql", "SELECT range AS i FROM range(5000)", "-w", root)
    assert [*csv.reader(said.stdout.splitlines())] == [["i"], *([str(i)] for i in range(5000))]
    assert said.stderr == ""


def test_json_has_an_object_for_each_row(fmi: Fmi, root: Path) -> None:
    said = fmi("sql", QUERY, "-w", root, "--json")
    assert (said.returncode, said.stderr) == (0, "")
    at = "2026-07-01T22:15:00+00:00"
    assert json.loads(said.stdout) == [
        {"n": 1, "text": '[red]"quoted", x', "note": None, "parts": [1, 2], "logged_at": at, "share": 0.5},
        {"n": 2, "text": "", "note": "line\nbreak", "parts": None, "logged_at": None, "share": None},
    ]


@pytest.mark.parametrize("count", [0, 1, 2048, 2049, 5000])
def test_json_of_several_batches_is_one_array(fmi: Fmi, root: Path, count: int) -> None:
    said = fmi("sql", f"SELECT range AS n FROM range({count})", "-w", root, "--json")
    assert said.stdout == json.dumps([{"n": n} for n in range(count)], indent=2) + "\n"


def test_a_large_answer_is_never_held_as_a_whole(root: Path) -> None:
    """400,000 rows of 3 texts of 100 characters: 120 MB of text, which took some 400 MB of rows."""
    code = (
        "import resource, sys; from inspection.cli.entry import run; run(); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    text = "repeat(left(range::VARCHAR, 1), 100)"
    peaks = []
    for rows in (4_000, 400_000):
        query = f"SELECT {text} AS a, {text} AS b, {text} AS c FROM range({rows})"
        command = [sys.executable, "-c", code, "sql", query, "-w", str(root)]
        said = subprocess.run(command, capture_output=True, check=True, timeout=60)
        assert said.stdout.count(b"\n") == rows + 1
        peaks.append(int(said.stderr) / 1024)
    assert peaks[1] - peaks[0] < 100  # MB


def test_duckdb_draws_no_bar_into_an_answer(root: Path) -> None:
    """As it does after two seconds in a program that was not started from a file."""
    code = "from inspection.cli.entry import run; run()"
    query = "SELECT value FROM duckdb_settings() WHERE name = 'enable_progress_bar'"
    command = [sys.executable, "-c", code, "sql", query, "-w", str(root)]
    said = subprocess.run(command, capture_output=True, check=True, timeout=60, text=True)
    assert said.stdout == "value\nfalse\n"


def test_who_reads_slowly_does_not_hold_the_store(root: Path) -> None:
    """The answer is larger than a pipe, and nobody reads it: a night writes all the same."""
    with started("sql", "SELECT repeat('x', 1000) AS x FROM range(20000)", "-w", root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "x\n"
        Store(root / "fmi.duckdb").create()
        assert process.poll() is None  # it is still to be read
        assert process.stdout.read().count("\n") == 20000


def test_an_answer_that_the_disk_cannot_hold_is_told(
    fmi: Fmi, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SpooledTemporaryFile, "write", full)
    said = fmi("sql", "FROM nights", "-w", root)
    assert (said.returncode, said.stdout) == (2, "")
    assert "larger than the folder" in said.stderr
    assert "No space left on device" in said.stderr


def test_an_answer_that_breaks_off_says_nothing_of_it(fmi: Fmi, root: Path) -> None:
    said = fmi(
        "sql",
        "SELECT CASE WHEN range = 9000 THEN error('bad row') ELSE range END FROM range(9999)",
        "-w",
        root,
    )
    assert (said.returncode, said.stdout) == (2, "")
    assert "bad row" in said.stderr


def test_an_empty_result_for_programs(fmi: Fmi, root: Path) -> None:
    query = ("sql", "SELECT night_id, state FROM nights", "-w", root)
    assert fmi(*query).stdout == "night_id,state\n"
    assert fmi(*query, "--json").stdout == "[]\n"


def test_columns_of_one_name_are_told_apart_in_json() -> None:
    assert json.loads("".join(answer.as_json(["n", "n", "n_1"], [[(1, 2, 3)]]))) == [
        {"n": 1, "n_1": 2, "n_1_1": 3}
    ]


def test_values_that_json_has_no_kind_of() -> None:
    name = UUID("12345678123456781234567812345678")
    row = (Decimal("1.5"), name, timedelta(minutes=1), b"\xff", {1: float("inf")}, True)
    assert json.loads("".join(answer.as_json([*"abcdef"], [[row]]))) == [
        {"a": 1.5, "b": str(name), "c": "0:01:00", "d": "ff", "e": {"1": None}, "f": True}
    ]


def test_two_forms_at_once_are_refused(fmi: Fmi, root: Path) -> None:
    said = fmi("sql", "FROM nights", "-w", root, "--csv", "--json")
    assert (said.returncode, said.stdout) == (2, "")
    assert "--csv and --json are two forms of one answer; give one of them" in said.stderr


def test_a_terminal_gets_a_table(fmi: Fmi, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = StringIO()
    terminal = Console(file=screen, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(workspace, "console", terminal)
    assert fmi("sql", "SELECT '[red]' AS text, NULL AS note", "-w", root).stdout == ""
    assert table(screen.getvalue()) == [["text", "note"], ["[red]", "NULL"]]
    assert fmi("sql", "SELECT 1 AS n", "-w", root, "--csv").stdout == "n\n1\n"  # asked for, even there


# --- nothing but the store ---


@pytest.mark.parametrize(
    "sql",
    ["COPY nights TO '{file}'", "FROM read_text('/etc/passwd')", "ATTACH '{file}' AS x", "SET threads = 1"],
)
def test_sql_is_kept_to_the_store(fmi: Fmi, root: Path, tmp_path: Path, sql: str) -> None:
    file = tmp_path / "new.csv"
    said = fmi("sql", sql.format(file=file), "-w", root)
    assert (said.returncode, said.stdout) == (2, "")
    assert "`fmi sql` reads the store and nothing else." in said.stderr
    assert "give --files." in said.stderr
    assert not file.exists()


def test_sql_may_be_given_files(fmi: Fmi, root: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.csv"
    assert fmi("sql", f"COPY (SELECT 7 AS n) TO '{file}'", "--files", "-w", root).returncode == 0
    assert file.read_text() == "n\n7\n"
    assert fmi("sql", f"FROM '{file}'", "--files", "-w", root).stdout == "n\n7\n"


@pytest.mark.parametrize(
    "sql",
    ["SELECT count(*) FROM range(10000000) AS a, range(10000000) AS b", "FROM range(3000000000)"],
    ids=["while DuckDB works", "while rows come"],
)
def test_ctrl_c_ends_a_query_at_once(root: Path, sql: str) -> None:
    with started("sql", sql, "-w", root) as process:
        _wait_until_held(root / "fmi.duckdb")
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        _, said = process.communicate(timeout=30)
    assert time.monotonic() - begun < 10
    assert process.returncode == 130
    assert said.startswith("fmi: interrupted")


def _wait_until_held(file: Path) -> None:
    deadline = time.monotonic() + 30
    with suppress(duckdb.IOException):
        while True:
            duckdb.connect(file).close()
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_the_help_teaches_by_an_example_that_runs(fmi: Fmi, root: Path) -> None:
    text = " ".join(fmi("sql", "--help").stdout.split())
    examples = re.findall(r'fmi sql "([^"]+)"', text.replace("│", ""))
    assert len(examples) == 2
    for example in examples:
        said = fmi("sql", " ".join(example.split()), "-w", root)
        assert (said.returncode, said.stderr) == (0, "")
