"""Who may ask for what where others reach the dashboard: every address by its role, and no other address.

Whoever sits at the machine may do everything, where it is served for this machine alone.
"""

import ipaddress
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.routing import compile_path

from dashboards.guard import SESSION, kept
from inspection.access.book import AccessBook
from inspection.access.keys import key_of
from inspection.access.roles import Role
from inspection.access.sessions import session_of
from inspection.language import gettext as _

# Without logging in.
FOR_ALL = ("GET /login", "POST /login", "GET /static/{path:path}", "GET /healthz")
BY_ROLE = {
    Role.VIEWER: (
        *("GET /", "GET /jobs", "GET /manager", "GET /candidates", "GET /models"),
        *("GET /nights", "GET /nights/{night_id}", "GET /nights/{night_id}/errors.csv"),
        *("GET /modes/{mode_id}", "GET /modes/{mode_id}/next", "GET /modes/{mode_id}/pictures"),
        *("GET /modes/{mode_id}/evidence", "GET /modes/{mode_id}/recipe", "GET /modes/{mode_id}/recipe.yaml"),
        *("GET /modes/{mode_id}/history", "GET /artifacts/{path:path}", "GET /reports/{night_id}"),
        *("GET /guide", "GET /guide/{name}", "GET /poc", "GET /search", "GET /api/search"),
        *("GET /modes/{mode_id}/errors/{row}/original.png", "GET /modes/{mode_id}/errors/{row}/heat.png"),
        "GET /api/modes/{mode_id}/names",
        *("GET /nights/{night_id}/tables/{tool}.zip", "GET /modes/{mode_id}/tables/{tool}.zip"),
        *("GET /api/nights/{night_id}/tables/{tool}", "GET /api/modes/{mode_id}/tables/{tool}"),
        *("GET /account", "POST /account/password", "POST /logout"),
        *("GET /api/openapi.json", "GET /api/inbox", "GET /api/jobs", "GET /api/nights"),
        *("GET /api/nights/{night_id}", "GET /api/modes/{mode_id}", "GET /api/modes/{mode_id}/verdicts"),
        *("GET /api/modes/{mode_id}/retrainings", "GET /api/models", "GET /api/promotions"),
    ),
    Role.REVIEWER: (
        *("POST /modes/{mode_id}/verdicts", "POST /modes/{mode_id}/labels", "POST /modes/{mode_id}/names"),
        "POST /api/modes/{mode_id}/names",
        *("POST /api/modes/{mode_id}/verdicts", "POST /api/modes/{mode_id}/labels"),
    ),
    Role.ENGINEER: (
        *("POST /modes/{mode_id}/retraining", "POST /modes/{mode_id}/retraining/stop"),
        *("POST /models/{model_hash}/promotion", "POST /models/rollback", "GET /access"),
        *("POST /api/modes/{mode_id}/retraining", "POST /api/models/{model_hash}/promotion"),
        "POST /api/models/rollback",
    ),
}
FOR_KEYS = "/api/"  # where a key counts; what pages take comes from a browser


@dataclass(frozen=True, slots=True)
class Who:
    """Whoever asks."""

    name: str  # under which it is written down; empty: nobody logs in here, or nobody has
    role: Role | None  # None: none

    def may(self, role: Role) -> bool:
        """Whether the role is theirs, or theirs holds it."""
        return self.role is not None and self.role.includes(role)


AT_THIS_MACHINE = Who("", Role.ENGINEER)
NOBODY = Who("", None)

_asker: ContextVar[Who] = ContextVar("asker", default=AT_THIS_MACHINE)


def asker() -> Who:
    """Who has asked for what is answered now."""
    return _asker.get()


@contextmanager
def asking(who: Who) -> Iterator[None]:
    """Answer somebody for the block."""
    token = _asker.set(who)
    try:
        yield
    finally:
        _asker.reset(token)


# --- which role an address takes ---


def _patterns(addresses: tuple[str, ...]) -> list[tuple[str, re.Pattern[str]]]:
    split = [address.split(" ", 1) for address in addresses]
    return [(method, compile_path(path)[0]) for method, path in split]


_FOR_ALL = _patterns(FOR_ALL)
_BY_ROLE = [(role, _patterns(addresses)) for role, addresses in BY_ROLE.items()]


def open_to_all(method: str, path: str) -> bool:
    """Whether an address needs no logging in."""
    return _any(_FOR_ALL, method, path)


def role_for(method: str, path: str) -> Role | None:
    """The role that an address takes, the highest where several rows hold it; None: nobody gets it."""
    return next((role for role, rows in reversed(_BY_ROLE) if _any(rows, method, path)), None)


def check_allowed(method: str, path: str) -> None:
    """Answer 403 where whoever asks may not ask for this as well."""
    needed = role_for(method, path)
    if needed is None or not asker().may(needed):
        raise HTTPException(403, not_allowed(needed))


def not_allowed(needed: Role | None) -> str:
    """What somebody is told whose role is too low."""
    said = _("This takes the role “{needed}”, and yours is “{role}”. Nothing was changed.")
    role = asker().role
    return said.format(needed=_(needed.value) if needed else "–", role=_(role.value) if role else "–")


def _any(rows: list[tuple[str, re.Pattern[str]]], method: str, path: str) -> bool:
    asked = "GET" if method == "HEAD" else method
    return any(asked == each and pattern.fullmatch(path) for each, pattern in rows)


# --- who asks ---


def known(book: AccessBook, request: Request) -> Who:
    """Who sends a request, by the key of a program or the session of a browser.

    Raises AccessError where the accounts cannot be read, TooManyTriesError.
    """
    given = request.headers.get("authorization", "")
    if given and request.scope["path"].startswith(FOR_KEYS):
        kind, _space, secret = given.partition(" ")
        key = key_of(book, secret.strip(), address_of(request)) if kind.lower() == "bearer" else None
        return Who(f"{key.name} (key)", key.role) if key else NOBODY
    account = session_of(book, kept(request, SESSION))
    return Who(account.name, account.role) if account else NOBODY


def address_of(request: Request) -> str:
    """The address that a request comes from; what a reverse proxy on this machine says of it counts."""
    peer = request.client.host if request.client else ""
    passed_on = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    if passed_on and _is_address(passed_on) and _is_address(peer) and ipaddress.ip_address(peer).is_loopback:
        return passed_on
    return peer


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
