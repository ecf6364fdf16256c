"""Commands that run until they are ended: serve, worker; and Prefect around a command."""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer

from inspection.cli.app import app, console, errors
from inspection.cli.options import WorkspaceOption, open_given
from inspection.errors import FlowError
from inspection.workspace.folder import Workspace


@contextmanager
def prefect_at_hand(workspace: Workspace, *, own_server: bool = True) -> Iterator[None]:
    """Run Prefect at home in the workspace, or against the server that PREFECT_API_URL names.

    With `own_server`, a server of this command's own keeps book while the block lasts. It ends with the
    command, killed or not, which the temporary one that Prefect would start by itself does not.
    """
    workspace.check_writable()
    os.environ.setdefault("PREFECT_HOME", str(workspace.prefect_home))
    os.environ.setdefault("PREFECT_LOCAL_STORAGE_PATH", str(workspace.prefect_home / "results"))
    url = os.environ.get("PREFECT_API_URL")
    if url:
        from flows.server import answers

        if not answers(url):
            raise FlowError(
                f"no Prefect server answers at {url} (PREFECT_API_URL). "
                "Start it with `prefect server start`, or unset PREFECT_API_URL: "
                "fmi then runs a server of its own."
            )
    logging.getLogger("prefect").setLevel(logging.CRITICAL)
    if url or not own_server:
        yield
        return
    from flows.server import free_port, prefect_server

    with ExitStack() as running:
        with errors.status("Starting Prefect ..."):
            own = prefect_server(workspace.prefect_home, free_port(), services=False)
            os.environ["PREFECT_API_URL"] = running.enter_context(own)
        running.callback(os.environ.pop, "PREFECT_API_URL")
        yield


@app.command()
def serve(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the dashboard on 127.0.0.1; 0 takes the setting.")
    ] = 0,
    workspace: WorkspaceOption = None,
) -> None:
    """Open the dashboard on this machine: nights, findings, verdicts and retraining.

    Starts a Prefect server and a worker for the retraining button, or uses the server that
    PREFECT_API_URL names.
    """
    from inspection.workspace.store import Store

    site = open_given(workspace)
    Store(site.store_path).models()  # a store that cannot be read is told now, not on every page
    with prefect_at_hand(site, own_server=False), ExitStack() as running:
        from dashboards.serve import serve as run_dashboard
        from flows.server import prefect_server, worker

        url = os.environ.get("PREFECT_API_URL")
        if not url:
            errors.print("Starting Prefect (up to half a minute the first time) ...")
            url = running.enter_context(prefect_server(site.prefect_home, site.settings.serve.prefect_port))
        running.enter_context(worker(site.prefect_home, site.root, url))
        chosen = port or site.settings.serve.port
        console.print(f"The dashboard is at http://127.0.0.1:{chosen} - end it with Ctrl+C")
        run_dashboard(site, chosen, url)


@app.command()
def worker(workspace: WorkspaceOption = None) -> None:
    """Execute nights and retrainings that the dashboard or a schedule starts (fmi serve does it for you)."""
    site = open_given(workspace)
    with prefect_at_hand(site, own_server=False):
        from flows.worker import work

        work()
