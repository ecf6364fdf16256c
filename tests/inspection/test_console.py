"""The console of the commands: values as they are, whole, on terminals and in pipes."""

from io import StringIO

import pytest

from inspection.console import Console, Table

TEXTS = ["log[line1].csv", "a:ok:b", "[/red]", "[bold]x[/bold]", "x" * 300, "a b " * 60]


def printed(*things: object, **options: object) -> str:
    out = StringIO()
    console = Console(file=out, **options)
    for thing in things:
        console.print(thing)
    return out.getvalue()


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("options", [{}, {"force_terminal": True, "width": 60, "color_system": None}])
def test_a_text_is_printed_as_it_is(text: str, options: dict[str, object]) -> None:
    assert printed(text, f"written to {text}", **options) == f"{text}\nwritten to {text}\n"


@pytest.mark.parametrize("text", TEXTS)
def test_a_table_in_a_pipe_is_as_wide_as_it_needs_to_be(text: str) -> None:
    table = Table("name", "more", box=None, title="[t]:ok:")
    table.add_row(text, text)
    assert [each.rstrip() for each in printed(table).splitlines()][-1].split("  ")[0].strip() == text.strip()
    assert "[t]:ok:" in printed(table)
    assert "…" not in printed(table)


def test_a_table_on_a_narrow_terminal_is_folded_not_cut() -> None:
    table = Table("name", "more", box=None)
    table.add_row("n" * 70, "m" * 70)
    shown = printed(table, force_terminal=True, width=40, color_system=None)
    assert (shown.count("n"), shown.count("m"), "…" in shown) == (71, 72, False)  # with the two headings


def test_a_rule_in_a_pipe_has_a_common_width() -> None:
    out = StringIO()
    Console(file=out).rule("[1] :ok:")
    (line,) = out.getvalue().splitlines()
    assert len(line) == 80
    assert "[1] :ok:" in line
