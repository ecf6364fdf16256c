"""The worker: executes nights and retrainings that somebody else starts, and lines, one at a time."""

import os
import signal
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import cast

import prefect
from prefect.deployments import run_deployment
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron

from flows.line import line
from flows.night import night
from flows.progress import remark
from flows.retrain import retrain
from inspection.errors import InspectionError
from inspection.nights.lines import due
from inspection.nights.night import open_site
from inspection.workspace.lease import holder, lease
from inspection.workspace.settings import LineSettings, Settings

LEAVING = 10  # seconds in which a worker whose parent has ended may clear up
AGAIN = 600.0  # seconds after which a line is started again whose logs are still due
LOOKING = 10.0  # seconds between two looks at logs that are read as they come


@dataclass(frozen=True, slots=True)
class _Started:
    """The last start of a line."""

    logs: set[str]  # contents that were due
    at: float  # monotonic seconds

    def asks_again(self, logs: set[str]) -> bool:
        """Whether there is one of these that it knew nothing of, or that it has not read for long."""
        return bool(logs - self.logs or (logs and time.monotonic() - self.at > AGAIN))


def work(workspace: Path, parent: int | None = None) -> None:
    """Serve the deployments `night/fmi`, `retrain/fmi` and `line/NAME` of every line until interrupted.

    With a `parent`, which made this process the leader of a group, the whole group ends soon after that
    process: Prefect would go on asking a server that is gone.
    """
    if parent:
        Thread(target=_end_after, args=(parent,), daemon=True).start()
    site = open_site(workspace).workspace
    deployments = [cast(RunnerDeployment, each.to_deployment("fmi")) for each in (night, retrain)]
    mine = site.settings.lines and holder(site.leases, "schedule") is None  # else others read the lines
    with lease(site.leases, "schedule") if mine else nullcontext():
        if mine:
            deployments += [_deployment(workspace, name, each) for name, each in site.settings.lines.items()]
            Thread(target=_watch, args=(workspace, site.settings), daemon=True).start()
        prefect.serve(*deployments, limit=1)  # one at a time: a night and a retraining share the processor


def _deployment(workspace: Path, name: str, settings: LineSettings) -> RunnerDeployment:
    """The deployment of a line, which Prefect fires by the line's clock where it has one."""
    schedules = [Cron(settings.cron, timezone=f"{settings.zone}")] if settings.cron else []
    parameters = {"workspace": str(workspace), "name": name}
    return cast(RunnerDeployment, line.to_deployment(name, schedules=schedules, parameters=parameters))


def _watch(workspace: Path, settings: Settings) -> None:
    """Start the lines whose logs are due: those without a clock as they come, the others once, now.

    What is due of the others now was missed. Later their clock sees to them.
    """
    names, started = list(settings.lines), dict[str, _Started]()
    while True:
        time.sleep(LOOKING)
        for name in names:
            with suppress(InspectionError, OSError):  # a share that is away, a store that is busy
                site = open_site(workspace, name)
                logs = {log.sha256 for log in due(site)}
                wanted = started.get(name, _Started(set(), -AGAIN)).asks_again(logs)
                if wanted and holder(site.workspace.leases, f"line-{name}") is None:
                    _start(name)
                    started[name] = _Started(logs, time.monotonic())
        names = [name for name in names if not settings.lines[name].cron]


def _start(name: str) -> None:
    try:
        run_deployment(f"line/{name}", timeout=0, as_subflow=False)
    except Exception as error:  # whatever it is, it may pass; the log is still due
        remark(f"line '{name}' could not be started: {error}")


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    time.sleep(LEAVING)
    os.killpg(os.getpgrp(), signal.SIGKILL)
