"""What a long command says while it works: progress, on a terminal and to who looks on, and remarks."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from inspection.console import Console
from inspection.workspace.jobs import begin_step

_console = Console(stderr=True)
_silent = ContextVar("silent", default=False)


def remark(sentence: str) -> None:
    """Say what the user should know and what stops nothing."""
    _console.print(sentence, style="yellow")


@contextmanager
def silent() -> Iterator[None]:
    """Show no steps for the block: another process, whose work this is, tells how far it is."""
    before = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(before)


@contextmanager
def step(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar for one step, on a terminal; the function given advances it by a number of images or steps.

    With the total it tells the time left. Where that is not known beforehand (None) the bar only shows that
    something moves, and the count.
    """
    if _silent.get():
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description:<34}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *([] if total is None else [TextColumn("left"), TimeRemainingColumn()]),
    )
    with (
        _followed(name, total) as follow,
        Progress(*columns, console=_console, disable=not _console.is_terminal) as bars,
    ):
        bar, tell = bars.add_task(name, total=total), begin_step(name, total)

        def advance(count: int) -> None:
            bars.advance(bar, count)
            tell(count)
            follow(count)

        yield advance
        if total is not None:
            bars.update(bar, completed=total)


def _followed(name: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
    """Show a step in Prefect where it is part of a run: Prefect is loaded then, and is not loaded for it."""
    if "prefect" not in sys.modules:
        return nullcontext(lambda _: None)
    from flows.followed import shown

    return shown(name, total)
