"""The real parts: the server process, and Prefect that is not there."""

import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from dashboards.address import Address
from dashboards.retraining import PrefectRetraining
from dashboards.serve import serve
from inspection.errors import FlowError, WorkspaceError
from inspection.workspace.folder import Workspace
from inspection.workspace.store import Store
from tests.conftest import free_port
from tests.dashboards.for_others import certified
from tests.dashboards.hand_made import MODE_ID

HERE = "127.0.0.1"
NOWHERE = "http://127.0.0.1:9/api"  # the discard port: nothing listens


def test_a_taken_port_says_what_to_do(workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(WorkspaceError, match=f"port {port} of 127.0.0.1 cannot be used: Address already"):
            serve(workspace, Address(HERE, port, "", None, None), NOWHERE)


@pytest.mark.parametrize("by_https", [False, True], ids=["http", "https"])
def test_it_serves_until_interrupted(
    workspace: Workspace, store: Store, tmp_path: Path, by_https: bool
) -> None:
    """For this machine; and by https for others, at all its addresses."""
    port, pem = free_port(), certified(tmp_path)
    where = f"'0.0.0.0', {port}, 'https://localhost:{port}', Path(sys.argv[3]), Path(sys.argv[4])"
    code = (
        "import sys; from pathlib import Path; from dashboards.address import Address; "
        "from dashboards.serve import serve; from inspection.workspace.folder import open_workspace; "
        "serve(open_workspace(Path(sys.argv[1])), "
        f"Address({where if by_https else f'{HERE!r}, {port}, {str()!r}, None, None'}), sys.argv[2])"
    )
    command = [sys.executable, "-c", code, str(workspace.root), NOWHERE, str(pem.certificate), str(pem.key)]
    url = f"https://localhost:{port}" if by_https else f"http://{HERE}:{port}"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert health(url, pem.trusted) == {"status": "ok"}
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def health(url: str, trusted: ssl.SSLContext) -> object:
    deadline = time.monotonic() + 20
    while True:
        try:
            return httpx.get(f"{url}/healthz", verify=trusted).json()
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
