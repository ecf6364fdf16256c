"""Runs the dashboard on this machine, for this machine."""

import socket
from contextlib import suppress

import uvicorn

from dashboards.app import create_app
from dashboards.retraining import PrefectRetraining
from inspection.errors import WorkspaceError
from inspection.workspace.folder import Workspace
from inspection.workspace.store import Store

HOST = "127.0.0.1"


def serve(workspace: Workspace, port: int, prefect_url: str) -> None:
    """Serve the dashboard on 127.0.0.1 until interrupted. Raises WorkspaceError where the port is taken."""
    app = create_app(workspace, Store(workspace.store_path), PrefectRetraining(workspace.root, prefect_url))
    config = uvicorn.Config(app, log_level="error", server_header=False, proxy_headers=False, ws="none")
    with _listening(port) as listener, suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise WorkspaceError(
            f"port {port} of {HOST} cannot be used: {error.strerror}. End what runs there, or give "
            "another with --port."
        ) from None
    return listener
