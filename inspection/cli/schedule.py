"""The command of nights that nobody starts: schedule."""

import json
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from inspection.cli.app import INTERRUPTED, app, console, errors
from inspection.cli.options import JsonOption, WorkspaceOption, open_given
from inspection.cli.serving import prefect_at_hand
from inspection.errors import InspectionError, WorkspaceError
from inspection.workspace.folder import Workspace
from inspection.workspace.lease import holder, lease

if TYPE_CHECKING:
    from inspection.nights.lines import WaitingLog
    from inspection.nights.night import Site

SLOWLY = 10.0  # times as long as a look through the folders takes: the pause after it
SHORT_PAUSE = 5.0  # seconds between looks where a line has trouble
LONG_PAUSE = 60.0  # seconds after trouble that is no log's
USERS_ERROR = 2  # exit code


@app.command()
def schedule(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="LINE", help="Of those in fmi.toml; default: all.", show_default=False),
    ] = None,
    only_show: Annotated[
        bool, typer.Option("--show", help="Read no log; only show when what is read, and what waits.")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Read what is due now, and leave: for a clock of the system.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Take up again what was set aside.")] = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Read the defect logs of lines unattended: by the clock, or as they come.

    A line is a table of its own in fmi.toml: the folder of its logs and, where they are read by the clock, a
    cron expression with its time zone (fmi help schedule).

    Without cron a log is read as soon as it is whole. Every content is read once, also after a restart. A log
    that cannot be read is set aside, and the next is read. What was missed is caught up once. Who is told of
    it stands in fmi.toml, too.

    It needs no Prefect server of yours. Where PREFECT_API_URL names one, the lines become deployments there
    (line/NAME), which fire by its clock and are executed here; so they do under fmi serve and fmi worker.
    """
    site = open_given(workspace)
    chosen = _chosen(site, names)
    if retry:
        _take_up(site, chosen)
    if only_show:
        _show(site, chosen, as_json)
    elif once:
        _read_due(site, chosen)
    else:
        _watch(site, chosen)


def _chosen(site: Workspace, names: list[str] | None) -> list[str]:
    chosen = names or list(site.settings.lines)
    if not chosen:
        raise WorkspaceError(
            f"{site.root / 'fmi.toml'} names no line: write a table [lines.NAME] with logs = 'FOLDER' into "
            "it, and with cron where its logs are not to be read as they come"
        )
    for name in chosen:
        site.settings.of_line(name)  # says which there are
    return chosen


def _take_up(site: Workspace, names: list[str]) -> None:
    from inspection.workspace.store import Store

    for name in names:
        Store(site.store_path).take_up_logs(name)


# --- reading ---


def _read_due(site: Workspace, names: list[str]) -> None:
    """Read what is due of some lines. Prefect is started only where something is."""
    from inspection.nights.lines import due
    from inspection.nights.night import open_site

    ready = [name for name in names if due(open_site(site.root, name))]
    with prefect_at_hand(site) if ready else nullcontext():
        for name in ready:
            from flows.line import line

            for night_id in line(str(site.root), name):
                console.print(f"Line {name}: night {night_id}")


def _watch(site: Workspace, names: list[str]) -> None:
    """Read logs until interrupted, by our own clock or by that of the plant's Prefect."""
    from flows.environment import URL
    from inspection.workspace.store import Store

    Store(site.store_path).models()  # a store that cannot be read is told now
    if others := holder(site.leases, "schedule"):
        raise WorkspaceError(f"the lines of {site.root} are watched already, by {others}: end that first")
    if os.environ.get(URL):
        with prefect_at_hand(site, own_server=False):
            from flows.worker import work

            work(site.root)
        return
    with lease(site.leases, "schedule"):
        _show(site, names, as_json=False)
        console.print("Watching - end it with Ctrl+C")
        _Watch(site, names).run()


class _Watch:
    """Looks at the lines again and again; where logs are to be read, a process of its own reads them.

    So this process stays small, and what ends a night, be it the lack of memory, does not end the watch.
    """

    def __init__(self, site: Workspace, names: list[str]) -> None:
        self.root, self.names = site.root, names
        self.seen: dict[str, set[str]] = {}  # by line: contents that were due at the last look
        self.trouble = dict[str, str]()  # by line: as it was told last
        self.looked = 0.0  # seconds that the last looks took
        self.pause = 0.0  # seconds before the next look

    def run(self) -> None:
        """Watch until interrupted."""
        while True:
            self.looked, self.pause = 0.0, 0.0
            for name in self.names:
                self._look(name)
            time.sleep(max(self.pause, SLOWLY * self.looked))

    def _look(self, name: str) -> None:
        """Read a line's logs where one of them was due at the last look, too, just as it is now."""
        from inspection.nights.night import open_site

        try:
            site = open_site(self.root, name)  # anew: fmi.toml may have changed
            self.pause = max(self.pause, site.workspace.settings.schedule.quiet_seconds)
            before = self.seen.get(name, set())
            self.seen[name] = {log.sha256 for log in self._due(site)}
            if before & self.seen[name]:
                self._read(site)
            self.trouble.pop(name, None)
        except (InspectionError, OSError) as error:  # a share that is away, a store that is busy: it may pass
            self.pause = max(self.pause, SHORT_PAUSE)
            if f"{error}" != self.trouble.get(name):
                self.trouble[name] = f"{error}"
                errors.print(f"{error}. It is looked for again and again.", style="yellow")

    def _due(self, site: "Site") -> "list[WaitingLog]":
        from inspection.nights.lines import due

        begun = time.monotonic()
        found = due(site)
        self.looked += time.monotonic() - begun
        return found

    def _read(self, site: "Site") -> None:
        """Have a process read what is due. Where it fails as a whole, it has said why."""
        command = ["inspection.cli", "schedule", site.workspace.line, "--once", "--workspace", str(self.root)]
        if subprocess.run([sys.executable, "-P", "-m", *command]).returncode in (USERS_ERROR, INTERRUPTED):
            self.pause = LONG_PAUSE


# --- showing ---


def _show(site: Workspace, names: list[str], as_json: bool) -> None:
    """Say of every line when it is read, what waits, and what was set aside."""
    from inspection.nights.lines import state_of
    from inspection.nights.night import open_site
    from inspection.nights.terminal import print_line

    states = [state_of(open_site(site.root, name)) for name in names]
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in states], ensure_ascii=False, indent=2, default=str))
        return
    for state in states:
        print_line(console, state)
