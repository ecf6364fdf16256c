"""Runs the dashboard on this machine."""

import socket
from contextlib import suppress

import uvicorn

from dashboards.address import Address
from dashboards.app import create_app
from dashboards.retraining import PrefectRetraining
from inspection.errors import WorkspaceError
from inspection.workspace.folder import Workspace
from inspection.workspace.store import Store


def serve(workspace: Workspace, address: Address, prefect_url: str) -> None:
    """Serve the dashboard until interrupted. Raises WorkspaceError where the port is taken."""
    retraining = PrefectRetraining(workspace.root, prefect_url)
    app = create_app(workspace, Store(workspace.store_path), retraining, address.url)
    config = uvicorn.Config(
        app,
        log_level="error",
        server_header=False,
        proxy_headers=False,
        ws="none",
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
    )
    with _listening(address.host, address.port) as listener, suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise WorkspaceError(
            f"port {port} of {host} cannot be used: {error.strerror}. End what runs there, or give "
            "another with --port."
        ) from None
    return listener
