"""What commands print goes through here: a path, a class name, an operator's comment as it is written."""

from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions
from rich.rule import Rule
from rich.table import Table as RichTable

UNBOUNDED = 10_000  # cells: the width of a pipe or a file
_RULE = 80  # cells, in a pipe or a file


class Console(RichConsole):
    """A console that takes no text for markup or emoji, colours no numbers, and cuts nothing.

    Style is given beside a text (`style=`, or rich's Text), never inside it. A line is not broken, and what
    is printed into a pipe or a file is as wide as it needs to be.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, soft_wrap=True, **options)
        self._has_width = options.get("width") is not None

    @property
    def options(self) -> ConsoleOptions:
        """How things are drawn: where no terminal sets a width, without one."""
        found = super().options
        return found if self.is_terminal or self._has_width else found.update_width(UNBOUNDED)

    def rule(self, title: Any = "", **options: Any) -> None:
        """Draw a line with a title across the terminal; of a common width where there is none."""
        self.print(Rule(title, **options), width=None if self.is_terminal else _RULE)


class Table(RichTable):
    """A table whose cells are folded where the terminal is too narrow, and not cut."""

    def add_column(self, *header: Any, **options: Any) -> None:
        """Add a column, as rich does."""
        super().add_column(*header, **{"overflow": "fold", **options})


def bytes_in_words(size: float) -> str:
    """A number of bytes as people read it: 830 bytes, 12 kB, 3 MB, 1.4 GB."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
