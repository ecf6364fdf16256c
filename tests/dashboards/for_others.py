"""A dashboard that others reach: by https, with an account and a key of each role, and all its addresses."""

import re
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trustme
from fastapi import FastAPI

from dashboards.app import create_app
from dashboards.guard import SESSION
from dashboards.retraining import RetrainingStarter
from inspection.access.accounts import add_account
from inspection.access.book import AccessBook
from inspection.access.keys import add_key
from inspection.access.roles import Role
from inspection.access.sessions import log_in
from inspection.workspace.folder import Workspace
from inspection.workspace.store import Store
from tests.dashboards.conftest import running
from tests.dashboards.hand_made import MODE_ID, MODEL, NIGHT_ID

PASSWORD = "correct horse 電池"
FILLED_IN = {
    "{night_id}": NIGHT_ID,
    "{mode_id}": MODE_ID,
    "{row}": "1",
    "{name}": "night",
    "{tool}": "cleanvision",
    "{model_hash}": MODEL.model_hash,
    "{path:path}": "dashboard.css",
}


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate of 127.0.0.1, and who vouches for it."""

    certificate: Path
    key: Path
    trusted: ssl.SSLContext


def certified(folder: Path) -> Certified:
    """Make a certificate."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    certificate, key, trusted = folder / "cert.pem", folder / "key.pem", ssl.create_default_context()
    certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    authority.configure_trust(trusted)
    return Certified(certificate, key, trusted)


@dataclass(frozen=True, slots=True)
class ForOthers:
    """A dashboard that others reach."""

    url: str
    app: FastAPI
    book: AccessBook
    trusted: ssl.SSLContext
    keys: dict[Role, str]

    @contextmanager
    def browser(self, cookies: dict[str, str] | None = None) -> Iterator[httpx.Client]:
        """A browser, which may be logged in already."""
        with httpx.Client(
            base_url=self.url, verify=self.trusted, cookies=cookies, headers={"Origin": self.url}
        ) as client:
            yield client

    def session(self, name: str) -> dict[str, str]:
        """The cookies of a new session."""
        return {f"__Host-{SESSION}": log_in(self.book, name, PASSWORD, "127.0.0.1")}


@contextmanager
def served_for_others(
    workspace: Workspace, retraining: RetrainingStarter, certified: Certified
) -> Iterator[ForOthers]:
    """Serve a workspace by https, where each role has an account and a key that are called by it."""
    book = AccessBook(workspace.access_path)
    keys = {}
    for role in Role:
        add_account(book, role.value, role, PASSWORD, "root")
        keys[role] = add_key(book, role.value, role, "root")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        app = create_app(workspace, Store(workspace.store_path), retraining, url)
        https = {"ssl_certfile": certified.certificate, "ssl_keyfile": certified.key}
        with running(app, listener, **https):
            yield ForOthers(url, app, book, certified.trusted, keys)


def addresses_of(app: FastAPI) -> set[str]:
    """Every address that an app answers, as in `GET /nights/{night_id}`."""
    return set(_addresses(app.routes))


def _addresses(routes: Iterable[Any]) -> Iterator[str]:
    for route in routes:
        inner = getattr(route, "original_router", None)  # of a router that was included, in newer versions
        if inner is not None:
            yield from _addresses(inner.routes)
        elif hasattr(route, "methods"):
            yield from (f"{method} {route.path}" for method in route.methods - {"HEAD"})
        else:  # a folder of files
            yield f"GET {route.path}/{{path:path}}"


def filled_in(address: str) -> tuple[str, str]:
    """Method and path of an address, with ids that there are."""
    method, path = address.split(" ", 1)
    return method, re.sub(r"\{[^}]+\}", lambda found: FILLED_IN[found[0]], path)


def let_in(answer: httpx.Response) -> bool:
    """Whether an answer came from behind the door, whatever it is."""
    if answer.is_redirect:
        return not answer.headers["location"].startswith("/login?next=")
    return answer.status_code != 401 and not (
        answer.status_code == 403 and "This takes the role" in answer.text
    )
