"""Cells of CSV that a spreadsheet would run as a formula, and the apostrophe that keeps them text."""

import re

# With the apostrophes that were there before, so that reading undoes exactly what writing did.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def as_text(value: str) -> str:
    """A text as a cell that no spreadsheet runs: with an apostrophe before = + - @, tab or carriage return.

    A number stays a number.
    """
    return f"'{value}" if _is_formula(value) else value


def as_meant(cell: str) -> str:
    """The text that ``as_text`` made a cell of."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell[1:]) else cell


def _is_formula(text: str) -> bool:
    return bool(_FORMULA.match(text)) and not _NUMBER.fullmatch(text)
