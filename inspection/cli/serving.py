"""Commands that run until they are ended: serve, worker; and Prefect around a command."""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from inspection.cli.app import app, console, errors
from inspection.cli.options import WorkspaceOption, open_given
from inspection.errors import FlowError, WorkspaceError
from inspection.workspace.folder import Workspace
from inspection.workspace.lease import holder, lease

OTHERS = "For others than this machine"  # a panel of the help


@contextmanager
def prefect_at_hand(workspace: Workspace, *, own_server: bool = True) -> Iterator[None]:
    """Run Prefect at home in the workspace, or against the server that PREFECT_API_URL names.

    With `own_server`, a server of this command's own keeps book while the block lasts. It ends with the
    command, killed or not, which the temporary one that Prefect would start by itself does not. Nothing else
    of the plant's Prefect, and no proxy, stands between; paths have to be absolute before.
    """
    from flows.environment import URL, apart

    workspace.check_writable()
    logging.getLogger("prefect").setLevel(logging.CRITICAL)
    with apart(workspace.prefect_home):
        if URL in os.environ:
            _check_answers()
        if URL in os.environ or not own_server:
            yield
            return
        from flows.server import prefect_server

        with ExitStack() as running:
            with errors.status("Starting Prefect ..."):
                own = prefect_server(workspace.prefect_home, services=False, meanwhile=_import_flows)
                running.enter_context(own)
            yield


def _import_flows() -> None:
    """What takes as long to import as a server to start."""
    import_module("flows.night")


def _check_answers() -> None:
    from httpx import InvalidURL
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.environment import URL

    failure: Exception | None
    try:
        with (
            temporary_settings({PREFECT_API_URL: os.environ[URL]}),
            get_client(sync_client=True) as client,
        ):
            failure = client.api_healthcheck()
    except InvalidURL as error:
        failure = error
    if failure:
        raise FlowError(
            f"no Prefect server answers at {os.environ[URL]} (PREFECT_API_URL): {failure}. "
            "Start it with `prefect server start`, or unset PREFECT_API_URL: "
            "fmi then runs a server of its own."
        )


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the dashboard; 0 takes the setting.")] = 0,
    host: Annotated[
        str,
        typer.Option(help="Address of this machine to listen at, 0.0.0.0 for all.", rich_help_panel=OTHERS),
    ] = "",
    url: Annotated[
        str,
        typer.Option(help="What others type: https://NAME, or https://NAME:PORT.", rich_help_panel=OTHERS),
    ] = "",
    certificate: Annotated[
        Path | None, typer.Option(help="PEM file of the certificate.", rich_help_panel=OTHERS)
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="PEM file of its private key.", rich_help_panel=OTHERS)
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Open the dashboard on this machine: nights, findings, verdicts and retraining.

    Starts a Prefect server and a worker for the retraining button, or uses the server that
    PREFECT_API_URL names.

    As it stands only this machine reaches it, and nobody logs in. For others, first make accounts
    (fmi user add). Then either give --host, --certificate and --key; or leave the host, let a reverse proxy
    on this machine speak https and pass everything on to the port, and give --url. Nothing goes over the
    network unencrypted.
    """
    from dashboards.address import address_of
    from inspection.workspace.store import Store

    site = open_given(workspace)
    address = address_of(site, port, host, url, certificate, key)
    Store(site.store_path).models()  # a store that cannot be read is told now, not on every page
    served = holder(site.leases, "serve")
    if served:
        raise WorkspaceError(f"{site.root} is served already, by {served}: end that, or use its dashboard.")
    with lease(site.leases, "serve"), prefect_at_hand(site, own_server=False), ExitStack() as running:
        from dashboards.serve import serve as run_dashboard
        from flows.environment import URL
        from flows.server import prefect_server, take_up_left_runs, worker

        own = URL not in os.environ
        if own:
            errors.print("Starting Prefect (up to half a minute the first time) ...")
            running.enter_context(prefect_server(site.prefect_home))
            take_up_left_runs()
        # On the plant's own server others may work: what they run is theirs to see to.
        lost = take_up_left_runs if own else lambda: None
        running.enter_context(worker(site.prefect_home, site.root, lost))
        console.print(f"The dashboard is at {address.shown} - end it with Ctrl+C")
        run_dashboard(site, address, os.environ[URL])


@app.command()
def worker(
    workspace: WorkspaceOption = None,
    parent: Annotated[
        int | None, typer.Option(hidden=True, help="The process of fmi serve, with which this one ends.")
    ] = None,
) -> None:
    """Execute nights and retrainings that the dashboard or a schedule starts (fmi serve does it for you)."""
    site = open_given(workspace)
    with prefect_at_hand(site, own_server=False):
        from flows.worker import work

        work(site.root, parent)
