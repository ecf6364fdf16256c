"""The real parts: the server process, and Prefect that is not there."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from dashboards.retraining import PrefectRetraining
from dashboards.serve import serve
from inspection.errors import FlowError, WorkspaceError
from inspection.workspace.folder import Workspace
from inspection.workspace.store import Store
from tests.conftest import free_port
from tests.dashboards.hand_made import MODE_ID

NOWHERE = "http://127.0.0.1:9/api"  # the discard port: nothing listens


def test_a_taken_port_says_what_to_do(workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(WorkspaceError, match=f"port {port} of 127.0.0.1 cannot be used: Address already"):
            serve(workspace, port, NOWHERE)


def test_it_serves_until_interrupted(workspace: Workspace, store: Store) -> None:
    port = free_port()
    code = (
        "import sys; from pathlib import Path; from dashboards.serve import serve; "
        "from inspection.workspace.folder import open_workspace; "
        "serve(open_workspace(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3])"
    )
    command = [sys.executable, "-c", code, str(workspace.root), str(port), NOWHERE]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert health(port) == {"status": "ok"}
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def health(port: int) -> object:
    deadline = time.monotonic() + 10
    while True:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz").json()
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_an_unreachable_prefect_says_what_to_start(tmp_path: Path) -> None:
    retraining = PrefectRetraining(tmp_path, NOWHERE)
    expected = "start `fmi serve`, which starts Prefect too, or set PREFECT_API_URL"
    with pytest.raises(FlowError, match=expected):
        retraining.runs(MODE_ID)
    with pytest.raises(FlowError, match=expected):
        retraining.start(MODE_ID)
