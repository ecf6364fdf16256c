"""The Prefect API runs code for whoever it answers: it answers the start that made it, and nobody else."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from flows.environment import AUTH, SECRET, URL, environment
from flows.server import prefect_server
from inspection.errors import FlowError

ATTACK = """
import httpx, sys
url, script = sys.argv[1], {"prefect.deployments.steps.run_shell_script": {"script": "touch taken-over"}}
for method, path, body in (
    ("POST", "/flows/", {"name": "night"}),
    ("POST", "/deployments/filter", {}),
    ("PATCH", "/deployments/0", {"pull_steps": [script]}),
    ("POST", "/deployments/0/create_flow_run", {}),
):
    print(httpx.request(method, url + path, json=body, trust_env=False).status_code)
"""
ASKED = (
    ("GET", "/health"),
    ("GET", "/version"),
    ("GET", "/admin/settings"),
    ("POST", "/flow_runs/filter"),
    ("POST", "/deployments/filter"),
    ("OPTIONS", "/flows/"),
)
FOREIGN = (
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:8321"},
    {"Host": "evil.example"},
    {"Host": "localhost"},
    {"Host": "127.0.0.1"},
)


@pytest.fixture(scope="module", params=["of a night", "of the dashboard"])
def reached(
    request: pytest.FixtureRequest,
    started_before: Callable[[Path], object],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, str]]:
    """How a server is reached: one of a night by itself, and one of `fmi serve`."""
    home = tmp_path_factory.mktemp("a home % 41? #") / ".prefect"
    started_before(home)
    with prefect_server(home, services=request.param == "of the dashboard"):
        yield reached_now()


def reached_now() -> dict[str, str]:
    return {name: os.environ[name] for name in (URL, AUTH)}


def ask(
    reached: Mapping[str, str], method: str, path: str, secret: str | None, **headers: str
) -> httpx.Response:
    if secret is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    body: dict[str, str] | None = {} if method in ("POST", "PATCH") else None
    return httpx.request(method, reached[URL] + path, headers=headers, json=body, trust_env=False, timeout=30)


@pytest.mark.parametrize(("method", "path"), ASKED)
@pytest.mark.parametrize("secret", [None, "fmi:", "admin:pass"])
def test_nobody_without_the_secret_is_answered(
    reached: Mapping[str, str], method: str, path: str, secret: str | None
) -> None:
    answer = ask(reached, method, path, secret)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(("method", "path"), ASKED)
def test_no_web_page_is_answered_even_with_the_secret(
    reached: Mapping[str, str], method: str, path: str, headers: dict[str, str]
) -> None:
    answer = ask(reached, method, path, reached[AUTH], **headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_those_that_it_was_started_for_are_answered(reached: Mapping[str, str]) -> None:
    assert ask(reached, "GET", "/health", reached[AUTH]).json() is True
    assert ask(reached, "POST", "/flow_runs/filter", reached[AUTH]).json() == []


@pytest.mark.parametrize("path", ["/events/in", "/events/out", "/logs/out"])
def test_no_socket_opens_for_a_page_or_without_the_secret(reached: Mapping[str, str], path: str) -> None:
    address = reached[URL].replace("http", "ws") + path
    with pytest.raises(InvalidStatus, match="403"):
        connect(address, origin="http://evil.example", subprotocols=["prefect"], proxy=None)  # type: ignore[arg-type, list-item]
    for protocols in (None, ["other"]):
        with pytest.raises(InvalidStatus, match="403"):
            connect(address, subprotocols=protocols, proxy=None)  # type: ignore[arg-type]
    for first in (
        '{"type": "auth", "token": "guessed"}',
        "[1]",
        "hello",
        '{"token": 5}',
        '{"token": "é"}',
        b"x",
    ):
        with opened(address) as socket:
            socket.send(first)
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=10)


def opened(address: str) -> ClientConnection:
    return connect(address, subprotocols=["prefect"], proxy=None)  # type: ignore[list-item]


def test_a_socket_opens_for_who_knows_the_secret(reached: Mapping[str, str]) -> None:
    with opened(reached[URL].replace("http", "ws") + "/events/out") as socket:
        socket.send(json.dumps({"type": "auth", "token": reached[AUTH]}))
        assert json.loads(socket.recv(timeout=30)) == {"type": "auth_success"}


def test_sockets_that_say_nothing_hold_nobody_up(reached: Mapping[str, str]) -> None:
    """More than Prefect takes requests at once."""
    with ExitStack() as held:
        address = reached[URL].replace("http", "ws") + "/events/out"
        sockets = [held.enter_context(opened(address)) for _ in range(120)]
        assert ask(reached, "GET", "/health", reached[AUTH]).json() is True
        with pytest.raises(ConnectionClosed):
            sockets[0].recv(timeout=30)


def test_another_process_cannot_have_the_worker_run_a_script(
    reached: Mapping[str, str], tmp_path: Path
) -> None:
    """The attack that worked: a deployment with a step that runs a shell script, started by anyone."""
    left = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", ATTACK, reached[URL]],
        env=left,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["403"] * 4


def test_each_start_has_a_secret_of_its_own(
    reached: Mapping[str, str], started_before: Callable[[Path], object], tmp_path: Path
) -> None:
    started_before(tmp_path)
    with prefect_server(tmp_path, services=False):
        other = reached_now()
        assert other[AUTH] != reached[AUTH]
        assert len(other[AUTH]) > 40
        assert ask(other, "GET", "/health", reached[AUTH]).status_code == 403


def test_a_night_leaves_no_database_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with prefect_server(tmp_path / ".prefect", services=False):
        assert list((tmp_path / "temporary").iterdir())
    assert not list((tmp_path / "temporary").iterdir())


def test_a_server_that_cannot_start_says_its_last_words(tmp_path: Path) -> None:
    """Its database is a folder here; what is wrong is told, not guessed."""
    (tmp_path / "prefect.db").mkdir()
    with (
        pytest.raises(
            FlowError, match=r"(?s)stopped while starting.*unable to open database file.*server.log"
        ),
        prefect_server(tmp_path),
    ):
        pass


def test_the_plants_own_prefect_and_proxy_stay_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("PREFECT_HOME", "/nowhere"),
        ("PREFECT_API_DATABASE_CONNECTION_URL", "sqlite:////nowhere/x.db"),
        (SECRET, "known to all"),
        ("PREFECT_PROFILE", "plant"),
        ("http_proxy", "http://127.0.0.1:9"),
        ("NO_PROXY", "intranet"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(URL, raising=False)
    own = environment(tmp_path)
    assert own["PREFECT_HOME"] == str(tmp_path)
    assert own["no_proxy"] == own["NO_PROXY"] == "intranet,127.0.0.1,localhost,::1"
    assert {SECRET, "PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_PROFILE", AUTH} & set(own) == set()


def test_how_the_plants_own_server_is_reached_counts_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, "https://prefect.plant.example/api")
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_1")
    monkeypatch.setenv("PREFECT_SERVER_LOGGING_LEVEL", "DEBUG")
    own = environment(tmp_path)
    assert own[URL] == "https://prefect.plant.example/api"
    assert own["PREFECT_API_KEY"] == "pnu_1"
    assert "PREFECT_SERVER_LOGGING_LEVEL" not in own
