"""Who is told of unattended nights: a real command, a real webhook, and what is told."""

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from inspection.errors import WorkspaceError
from inspection.findings import LogSetAside
from inspection.nights import notify
from inspection.nights.night import Site
from inspection.nights.notify import Notice, of_failure, of_night, tell
from inspection.workspace.folder import Workspace
from inspection.workspace.settings import NotifySettings, load_settings
from inspection.workspace.store import Store
from tests.inspection.workspace.records import STARTED, a_mode, a_night

FOUND = Notice(("findings",), "a mode", {"line": "front"})
KEEP = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "PAUSES", (0.0, 0.01))


@contextmanager
def webhook(status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    """A server of our own; gives its address and what it was sent."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", got
        server.shutdown()


def test_a_command_gets_it_on_its_input_and_a_webhook_by_post(tmp_path: Path) -> None:
    kept = tmp_path / "told here.json"
    command = shlex.join([sys.executable, "-c", KEEP, str(kept)])
    with webhook() as (address, got):
        tell(NotifySettings(command=command, webhook=address), FOUND, pytest.fail)
    assert got == [json.loads(kept.read_text())]
    assert got == [{"events": ["findings"], "text": "a mode", "line": "front"}]


def test_only_what_is_asked_for_is_told() -> None:
    with webhook() as (address, got):
        asked = NotifySettings(webhook=address, on=("return", "failure"))
        tell(asked, FOUND, pytest.fail)
        tell(asked, replace(FOUND, events=("findings", "return")), pytest.fail)
    assert [each["events"] for each in got] == [["findings", "return"]]


@pytest.mark.parametrize(
    ("webhook", "says"),
    [
        ("ftp://chat/hook", "URL scheme should be 'http' or 'https'"),
        ("chat.plant.example/hook", "relative URL without a base"),
        ("http://", "empty host"),
        ("http://chat:99999/hook", "invalid port number"),
        ("http://chat:port/hook", "invalid port number"),
        ("http://ch at/hook", "invalid international domain name"),
        ("http://[::1/hook", "invalid IPv6 address"),
    ],
)
def test_an_address_that_is_none_is_refused_where_it_is_set(tmp_path: Path, webhook: str, says: str) -> None:
    path = tmp_path / "fmi.toml"
    path.write_text(f"[notify]\nwebhook = {json.dumps(webhook)}\n", encoding="utf-8")
    with pytest.raises(
        WorkspaceError, match=rf"notify.webhook = .*{says}; expected an address such as https://"
    ):
        load_settings(path)


def test_an_address_of_any_script_is_sent_to() -> None:
    assert NotifySettings(webhook="https://検査.example/通知 1").webhook == (
        "https://xn--5vvzy.example/%E9%80%9A%E7%9F%A5%201"
    )
    with webhook() as (address, got):
        tell(NotifySettings(webhook=f"{address}/通知 1"), FOUND, pytest.fail)
    assert len(got) == 1


@pytest.mark.parametrize(
    "address", ["http://chat:port/hook", "http://chat/\x00", "http://検 査/", "nonsense"]
)
def test_an_address_that_is_none_ends_no_night(address: str) -> None:
    """Of settings that were never checked, as an earlier version kept them."""
    remarks: list[str] = []
    tell(NotifySettings.model_construct(webhook=address, command="", on=("findings",)), FOUND, remarks.append)
    assert len(remarks) == 1
    assert remarks[0].startswith(f"{address} could not be told (")


def test_who_cannot_be_reached_is_tried_again_and_costs_nothing_else() -> None:
    remarks: list[str] = []
    with webhook(status=503) as (address, got):
        tell(NotifySettings(webhook=address, command="no-such-program"), FOUND, remarks.append)
    assert len(got) == 2
    assert [remark.split(" could")[0] for remark in remarks] == ["no-such-program", address]
    assert "503" in remarks[1]


def test_a_failure_mode_that_was_gone_and_is_back_is_told(workspace: Workspace, store: Store) -> None:
    nights = [
        replace(
            a_night(f"n{day}", STARTED + timedelta(days=day)),
            of_line="front",
            modes=tuple(replace(a_mode(f"n{day}", 1), lineage=each) for each in here),
            gone=gone,
        )
        for day, (here, gone) in enumerate([(["lamp"], ()), ([], ("lamp",)), (["lamp"], ()), (["lamp"], ())])
    ]
    for night in nights:
        store.finish_night(night)
    told = [of_night(Site(workspace, store), night) for night in nights]
    assert [each.events for each in told] == [("findings",), (), ("findings", "return"), ("findings",)]
    assert "it was gone, and is back" in told[2].text
    modes = told[2].facts["modes"]
    assert isinstance(modes, list)
    assert [mode["returned"] for mode in modes] == [True]


def test_a_return_on_another_line_is_none_here(workspace: Workspace, store: Store) -> None:
    gone = replace(a_night("n1"), of_line="rear", gone=("lamp",), modes=())
    here = replace(a_night("n2", STARTED + timedelta(days=1)), of_line="front")
    here = replace(here, modes=(replace(a_mode("n2", 1), lineage="lamp"),))
    store.finish_night(gone)
    store.finish_night(here)
    assert of_night(Site(workspace, store), here).events == ("findings",)


def test_a_failure_is_told_in_the_language_of_the_reports(workspace: Workspace, store: Store) -> None:
    log = LogSetAside("front", "cd" * 32, "/logs/a.csv", "no column image_path", STARTED)
    assert of_failure(Site(workspace, store), log).text == (
        "Line front: /logs/a.csv could not be read and is set aside: no column image_path"
    )
    (workspace.root / "fmi.toml").write_text('[report]\nlanguage = "ja"\n')
    from inspection.nights.night import open_site

    told = of_failure(open_site(workspace.root), log)
    assert told.events == ("failure",)
    assert "除外しました" in told.text
