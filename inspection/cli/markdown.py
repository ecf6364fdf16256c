"""Markdown as a terminal shows it."""

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, TableElement
from rich.table import Table


class _Folded(TableElement):
    """A table whose cells are folded where the terminal is too narrow, and not cut."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            assert isinstance(table, Table)
            for column in table.columns:
                column.overflow = "fold"
            yield table


class Drawn(Markdown):
    """Markdown whose tables keep all that they hold."""

    elements = Markdown.elements | {"table_open": _Folded}
