"""Requests that nobody may send, to a dashboard that others reach: each kind, and what it is answered.

    python -m tests.benchmarks.refused

A hand-made night is served by https, with an account and a key of each role. Every address is asked as
everybody, and then every other kind of request is sent. It leaves with exit code 1 where one of them is
let in, or where anything has changed after all.
"""

import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from dashboards.access import FOR_ALL, open_to_all, role_for
from dashboards.address import address_of
from dashboards.app import create_app
from inspection.access.accounts import add_account, change_password, remove_account
from inspection.access.keys import add_key, remove_key
from inspection.access.roles import Role
from inspection.access.sessions import log_in, log_out
from inspection.access.tries import FROM_AN_ADDRESS, OF_AN_ACCOUNT
from inspection.console import Console, Table
from inspection.errors import InspectionError
from inspection.workspace.folder import Workspace, create_workspace
from inspection.workspace.store import Store
from tests.benchmarks.readers import NoRuns
from tests.dashboards.conftest import served
from tests.dashboards.for_others import (
    PASSWORD,
    ForOthers,
    addresses_of,
    certified,
    filled_in,
    let_in,
    served_for_others,
)
from tests.dashboards.hand_made import MODE_ID, MODEL, make_night

VERDICTS = f"/modes/{MODE_ID}/verdicts"
VERDICT = {"answer": "yes", "reviewer": "Sato"}
HERE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A kind of request, and how it was met."""

    kind: str
    answer: str
    refused: bool


def refusals(dashboard: ForOthers, workspace: Workspace) -> Iterator[Refusal]:
    """Send every kind of request that is to be refused."""
    yield from _addresses_as_everybody(dashboard)
    yield from _sessions_that_ended(dashboard)
    yield from _keys(dashboard)
    yield from _other_sites(dashboard)
    yield from _names(dashboard, workspace)
    yield from _more_than_the_role(dashboard)
    yield from _guesses(dashboard)
    yield from _starts(workspace)


def _addresses_as_everybody(dashboard: ForOthers) -> Iterator[Refusal]:
    addresses = addresses_of(dashboard.app) - {"GET /static/findings.css", *FOR_ALL}
    yield _all_of("no login", addresses, dashboard)
    for role in Role:
        above = {address for address in addresses if not role.includes(_role(address))}
        if above:
            yield _all_of(f"{role}, by a session", above, dashboard, cookies=dashboard.session(role.value))
        yield _all_of(
            f"{role}, by a key",
            {address for address in addresses if address in above or " /api/" not in address},
            dashboard,
            headers={"Authorization": f"Bearer {dashboard.keys[role]}"},
        )
    unknown = {
        f"{method} {path}" for method in ("GET", "PUT", "DELETE") for path in ("/nope", "/docs", "/models/x")
    }
    yield _all_of(
        "engineer, at no address of ours", unknown, dashboard, cookies=dashboard.session("engineer")
    )


def _role(address: str) -> Role:
    role = role_for(*filled_in(address))
    assert role is not None
    assert not open_to_all(*filled_in(address))
    return role


def _all_of(
    who: str,
    addresses: set[str],
    dashboard: ForOthers,
    cookies: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> Refusal:
    with dashboard.browser(cookies) as client:
        answers = [client.request(*filled_in(address), headers=headers) for address in sorted(addresses)]
    told = Counter(_said(answer) for answer in answers)
    kept_out = all(not let_in(answer) or answer.status_code == 404 for answer in answers)
    said = ", ".join(f"{count} x {answer}" for answer, count in told.most_common())
    return Refusal(f"{who}: {len(addresses)} addresses", said, kept_out)


def _said(answer: httpx.Response) -> str:
    where = f" to {answer.headers['location'].partition('?')[0]}" if answer.is_redirect else ""
    return f"{answer.status_code}{where}"


def _one(kind: str, answer: httpx.Response) -> Refusal:
    refused = not let_in(answer) or answer.is_client_error
    return Refusal(kind, _said(answer), refused)


def _sessions_that_ended(dashboard: ForOthers) -> Iterator[Refusal]:
    book, cookie = dashboard.book, next(iter(dashboard.session("viewer")))
    secrets = {"a session that never was": "x" * 43, "no session at all": ""}
    secrets["a session after logging out"] = log_in(book, "viewer", PASSWORD, HERE)
    log_out(book, secrets["a session after logging out"], HERE)
    for kind in ("a session of an account that was removed", "a session from before another password"):
        add_account(book, "Sato", Role.ENGINEER, PASSWORD, "root")
        secrets[kind] = log_in(book, "Sato", PASSWORD, HERE)
        if "password" in kind:
            change_password(book, "Sato", PASSWORD + "!", "root")
        else:
            remove_account(book, "Sato", "root")
    for kind, secret in secrets.items():
        with dashboard.browser({cookie: secret}) as client:
            yield _one(kind, client.get("/models"))
    with dashboard.browser({cookie.removeprefix("__Host-"): dashboard.session("engineer")[cookie]}) as client:
        yield _one("a session under a cookie that another site may plant", client.get("/models"))


def _keys(dashboard: ForOthers) -> Iterator[Refusal]:
    taken_back = add_key(dashboard.book, "mes", Role.ENGINEER, "root")
    remove_key(dashboard.book, "mes", "root")
    good = dashboard.keys[Role.ENGINEER]
    given = {
        "a key that was taken back": ("/api/models", f"Bearer {taken_back}"),
        "a key that never was": ("/api/models", f"Bearer {good}x"),
        "a key as a password": ("/api/models", f"Basic {good}"),
        "a key at a page": ("/models", f"Bearer {good}"),
    }
    with dashboard.browser() as client:
        for kind, (path, header) in given.items():
            yield _one(kind, client.get(path, headers={"Authorization": header}))


def _other_sites(dashboard: ForOthers) -> Iterator[Refusal]:
    with dashboard.browser(dashboard.session("reviewer")) as client:
        token = _token(client, f"/modes/{MODE_ID}")
        forms = {
            "a form without the token": (VERDICT, {}),
            "a form with another token": (VERDICT | {"csrf": "x" * 43}, {}),
            "a form of another site": (VERDICT | {"csrf": token}, {"Origin": "https://evil.example"}),
            "a form of our name by http": (
                VERDICT | {"csrf": token},
                {"Origin": dashboard.url.replace("https", "http")},
            ),
            "a form of a page in a frame without origin": (VERDICT | {"csrf": token}, {"Origin": "null"}),
        }
        for kind, (form, headers) in forms.items():
            yield _one(kind, client.post(VERDICTS, data=form, headers=headers))
        path, verdict = f"/api/modes/{MODE_ID}/verdicts", {"judgement": "confirm"}
        yield _one("a program's change without X-Fmi-Client", client.post(path, json=verdict))
        evil = {"X-Fmi-Client": "x", "Origin": "https://evil.example"}
        yield _one("a program's change from another site", client.post(path, json=verdict, headers=evil))
        large = VERDICT | {"csrf": token, "comment": "c" * 70_000}
        yield _one("a form that is too large", client.post(VERDICTS, data=large))
    with dashboard.browser() as client:
        login = {"csrf": "x", "name": "viewer", "password": PASSWORD}
        yield _one("a login form without the token", client.post("/login", data=login))
        login["csrf"] = _token(client, "/login")
        answer = client.post("/login", data=login | {"next": "//evil.example"})
        where = answer.headers["location"]
        yield Refusal("a login that leads to another site", f"leads to {where}", where == "/")


def _token(client: httpx.Client, path: str) -> str:
    return str(re.findall(r'name="csrf" value="([^"]+)"', client.get(path).text)[0])


def _names(dashboard: ForOthers, workspace: Workspace) -> Iterator[Refusal]:
    with dashboard.browser(dashboard.session("engineer")) as client:
        yield _one("another host's name", client.get("/models", headers={"Host": "evil.example"}))
    try:
        answer = httpx.get(f"{dashboard.url.replace('https', 'http')}/healthz")
        yield Refusal("without https", _said(answer), False)
    except httpx.RemoteProtocolError:
        yield Refusal("without https", "no answer", True)
    with served(create_app(workspace, Store(workspace.store_path), NoRuns())) as url:
        passed_on = {"X-Forwarded-For": "10.0.0.9"}
        yield _one("through a proxy, where nobody logs in", httpx.get(url, headers=passed_on))


def _more_than_the_role(dashboard: ForOthers) -> Iterator[Refusal]:
    with dashboard.browser(dashboard.session("reviewer")) as client:
        form = VERDICT | {"csrf": _token(client, f"/modes/{MODE_ID}"), "then": "retrain"}
        yield _one("a reviewer's verdict that starts a retraining", client.post(VERDICTS, data=form))
    for path in ("/artifacts/..%2ffmi.toml", "/artifacts/..%2faccess.sqlite", "/reports/..%2ffmi"):
        with dashboard.browser(dashboard.session("viewer")) as client:
            yield _one(f"a viewer, out of a folder: {path}", client.get(path))


def _guesses(dashboard: ForOthers) -> Iterator[Refusal]:
    """Last, for no more passwords are taken from this address then."""
    with dashboard.browser() as client:

        def tried(name: str) -> int:
            form = {"csrf": _token(client, "/login"), "name": name, "password": "a wrong password"}
            return client.post("/login", data=form).status_code

        begun = time.monotonic()
        of_one = Counter(tried("engineer") for _ in range(OF_AN_ACCOUNT + 5))
        of_many = Counter(tried(f"name {number}") for number in range(FROM_AN_ADDRESS))
    for kind, told in (("guesses at one account", of_one), ("guesses at many, from one address", of_many)):
        said = ", ".join(f"{count} x {status}" for status, count in told.items())
        yield Refusal(f"{kind} ({time.monotonic() - begun:.0f} s)", said, set(told) == {401, 429})


def _starts(workspace: Workspace) -> Iterator[Refusal]:
    """What is not served at all."""
    bare = create_workspace(workspace.root.with_name("bare"))
    for kind, site, host, url in (
        ("fmi serve --host 0.0.0.0, unencrypted", workspace, "0.0.0.0", ""),
        ("fmi serve --url http://..., unencrypted", workspace, "", "http://fmi.plant.example"),
        ("fmi serve --url https://..., without an account", bare, "", "https://fmi.plant.example"),
    ):
        try:
            address_of(site, 0, host, url, None, None)
            yield Refusal(kind, "served", False)
        except InspectionError as error:
            yield Refusal(kind, f"not served: {str(error).partition(': ')[0]}", True)


def _held(workspace: Workspace) -> tuple[object, ...]:
    """What a request could have changed."""
    store = Store(workspace.store_path)
    return store.verdicts(MODE_ID), store.promotions(), store.relabels([MODE_ID])


def measure(folder: Path) -> list[Refusal]:
    """Every kind, and whether anything has changed after all."""
    workspace = create_workspace(folder / "plant")
    store = Store(workspace.store_path)
    store.create()
    night = make_night(workspace)
    store.add_model(MODEL, [])
    store.finish_night(night)
    before = _held(workspace)
    with served_for_others(workspace, NoRuns(), certified(folder)) as dashboard:
        found = list(refusals(dashboard, workspace))
    same = _held(workspace) == before
    return [
        *found,
        Refusal("verdicts, labels, promotions afterwards", "as before" if same else "changed", same),
    ]


def main() -> int:
    """Print every kind; 1 where one was let in."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    table = Table("request", "answer", "", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for each in found:
        table.add_row(each.kind, each.answer, "ok" if each.refused else "LET IN")
    Console().print(table)
    return 0 if all(each.refused for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
