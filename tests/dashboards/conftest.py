"""A served dashboard over a hand-made night in a real store."""

import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from dashboards.app import create_app
from dashboards.retraining import RetrainingRun
from inspection.errors import FlowError
from inspection.nights.report import write_report
from inspection.workspace.folder import Workspace, create_workspace
from inspection.workspace.store import Store
from tests.dashboards.hand_made import MODEL, make_night

BEGUN = datetime(2026, 7, 4, 8, 15, tzinfo=UTC)


@dataclass
class Workbench:
    """Retraining that only notes what was asked: every run is Running until it is told otherwise."""

    started: dict[str, list[RetrainingRun]] = field(default_factory=dict)
    unreachable: str = ""

    def start(self, mode_id: str) -> str:
        runs = self.started.setdefault(mode_id, [])
        runs.insert(0, RetrainingRun(f"run-{len(runs) + 1}", "Running", BEGUN, ""))
        return runs[0].flow_run_id

    def runs(self, mode_id: str) -> list[RetrainingRun]:
        if self.unreachable:
            raise FlowError(self.unreachable)
        return list(self.started.get(mode_id, []))

    def cancel(self, flow_run_id: str) -> None:
        for mode_id, runs in self.started.items():
            if any(run.flow_run_id == flow_run_id for run in runs):
                self.end(mode_id, "Cancelled", "")

    def end(self, mode_id: str, state: str, message: str) -> None:
        run = self.started[mode_id][0]
        self.started[mode_id][0] = RetrainingRun(run.flow_run_id, state, run.started_at, message)


@dataclass
class Visitor:
    """A browser's way with the pages: keeps cookies, reads the token of a form, sends where it came from."""

    client: httpx.Client

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def token(self, path: str) -> str:
        (token,) = set(re.findall(r'name="csrf" value="([^"]+)"', self.get(path).text))
        return str(token)

    def post(self, path: str, **form: str) -> httpx.Response:
        return self.client.post(path, data=form, headers={"Origin": str(self.client.base_url).rstrip("/")})


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve on a free port of this machine; yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener, running(app, listener):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def running(app: FastAPI, listener: socket.socket, **https: Path) -> Iterator[None]:
    """Serve for the block, where a socket listens."""
    config = uvicorn.Config(app, log_level="critical", ws="none", proxy_headers=False, **https)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def one_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace after one night, with its report; made once, to be copied."""
    workspace = create_workspace(tmp_path_factory.mktemp("one_night"))
    store = Store(workspace.store_path)
    store.create()
    night = make_night(workspace)
    store.add_model(MODEL, [])
    store.finish_night(night)
    write_report(night, workspace, MODEL)
    return workspace.root


@pytest.fixture
def reviewed(one_night: Path, workspace: Workspace) -> Store:
    """The store after one night."""
    shutil.copytree(one_night, workspace.root, dirs_exist_ok=True)
    return Store(workspace.store_path)


@pytest.fixture
def workbench() -> Workbench:
    return Workbench()


@pytest.fixture
def address(workspace: Workspace, workbench: Workbench) -> Iterator[str]:
    with served(create_app(workspace, Store(workspace.store_path), workbench)) as address:
        yield address


@pytest.fixture
def visitor(address: str) -> Iterator[Visitor]:
    with httpx.Client(base_url=address) as client:
        yield Visitor(client)
