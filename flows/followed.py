"""What a plant sees of a night in its own Prefect: artifacts of its progress and of its findings."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.context import FlowRunContext, TaskRunContext

from inspection.findings import Night
from inspection.nights.phrases import said
from inspection.workspace.folder import Workspace
from inspection.workspace.jobs import EVERY

ROUNDED = 1  # decimals of a percentage


def show_night(workspace: Workspace, night: Night) -> None:
    """Show a night's failure modes and where its report lies; it stands without them."""
    with suppress(Exception):  # whatever it is: nobody's findings are to hinge on what is shown of them
        name = f"night {night.night_id}"
        create_table_artifact(_rows(night), key="failure-modes", description=f"Failure modes of {name}")
        if night.report_path:
            served, file = workspace.settings.serve.url, workspace.root / night.report_path
            report = f"{served.rstrip('/')}/nights/{night.night_id}" if served else file.as_uri()
            create_link_artifact(report, "report", key="report", description=f"Report of {name}: {report}")


def _rows(night: Night) -> list[dict[str, Any]]:
    return [
        {
            "failure mode": mode.mode_id,
            "errors": len(mode.errors),
            "trend": mode.trend.value,
            "what": mode.title,
            "cause": said(mode.diagnosis),
        }
        for mode in night.modes
    ]


@contextmanager
def shown(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how far a step is, for the block; nothing where no run is, or where its length is not known."""
    runs = FlowRunContext.get() or TaskRunContext.get()
    progress = _Progress(name, total) if runs and total else None
    yield progress.advance if progress else lambda _: None
    if progress:
        progress.tell(100.0)


class _Progress:
    """An artifact that says how far a step is."""

    def __init__(self, name: str, total: int) -> None:
        self.total, self.done, self.told = total, 0, time.monotonic()
        self.artifact: UUID | None = None
        with suppress(Exception):  # the work goes on without it
            made = create_progress_artifact(0.0, key="progress", description=name)
            self.artifact = made if isinstance(made, UUID) else None

    def advance(self, count: int) -> None:
        self.done += count
        if time.monotonic() - self.told >= EVERY:
            self.tell(min(100.0, round(100 * self.done / self.total, ROUNDED)))

    def tell(self, percent: float) -> None:
        if self.artifact:
            with suppress(Exception):
                update_progress_artifact(self.artifact, progress=percent)
        self.told = time.monotonic()
