"""What keeps the pages to their readers: names that are answered, headers, forms no other site can send."""

import re
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from inspection.language import gettext as _

HOSTS = ("127.0.0.1", "localhost")
COOKIE = "fmi_csrf"
SESSION = "fmi_session"  # the cookie of who is logged in
FIELD = "csrf"
LARGEST_FORM = 64 * 1024  # bytes

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The report is one file: its style and pictures are inside it, and it has no script.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: with it, browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

NO_PROXY = (
    "This dashboard is served for its own machine alone, so it answers no proxy. For others set serve.url in "
    "fmi.toml; fmi serve --help says how."
)
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host")  # that proxies add to a request

Next = Callable[[Request], Awaitable[Response]]


def guard(app: FastAPI, url: str) -> None:
    """Answer only to our names, refuse oversized forms and set the headers of every answer.

    `url`: what others type; empty where there are none, and then what a proxy passes on is refused.
    """
    app.state.url = url
    names = [*HOSTS, urlsplit(url).hostname or ""] if url else HOSTS
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*names], www_redirect=False)

    @app.middleware("http")
    async def _guarded(request: Request, call_next: Next) -> Response:
        if request.method == "POST" and _oversized(request):
            return secured(PlainTextResponse(_("This form is larger than any page here sends."), 413))
        if not url and any(name in request.headers for name in FORWARDED):
            return secured(PlainTextResponse(_(NO_PROXY), 403))
        return secured(await call_next(request))


def secured(response: Response) -> Response:
    """Add the headers that a response does not set itself."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def kept(request: Request, cookie: str) -> str:
    """What a browser has kept under a cookie of ours; empty where there is none."""
    return request.cookies.get(_called(request, cookie), "")


def keep(request: Request, response: Response, cookie: str, value: str, *, links: bool = False) -> None:
    """Leave a cookie with the browser, for no script to read and no other site to send; empty takes it back.

    `links`: it is sent, too, where a link of another site or of a mail is followed.
    """
    response.set_cookie(
        _called(request, cookie),
        value,
        max_age=None if value else 0,
        httponly=True,
        secure=bool(request.app.state.url),
        samesite="lax" if links else "strict",
        path="/",
    )


def _called(request: Request, cookie: str) -> str:
    """With this prefix, a browser takes the cookie from this very name alone, and only by https."""
    return f"__Host-{cookie}" if request.app.state.url else cookie


def form_token(request: Request) -> str:
    """Return the token that a page's forms carry: the browser's own, or a new one."""
    known = kept(request, COOKIE)
    return known if re.fullmatch(r"[\w-]{43}", known) else new_token()


def new_token() -> str:
    """A token that no form has carried."""
    return secrets.token_urlsafe(32)


def from_another_site(request: Request) -> bool:
    """Whether a browser says that a page of another site sends a request."""
    origin = request.headers.get("origin")
    return origin is not None and origin != _own(request)


def _own(request: Request) -> str:
    """What browsers call our own pages' site."""
    return str(request.app.state.url) or f"{request.url.scheme}://{request.headers.get('host')}"


def another_site(request: Request) -> str:
    """What is said to it."""
    said = _("This came from another site ({origin}), so nothing was changed. This dashboard is at {own}.")
    return said.format(origin=request.headers.get("origin"), own=_own(request))


async def own_form(request: Request) -> None:
    """Let only forms of our own pages through: same origin, and the token twice (cookie and field)."""
    if from_another_site(request):
        raise HTTPException(403, another_site(request))
    sent = str((await request.form()).get(FIELD, ""))
    known = kept(request, COOKIE)
    if not known or not secrets.compare_digest(sent.encode(), known.encode()):
        raise HTTPException(
            403, _("This form is out of date, so nothing was changed. Reload its page and send again.")
        )


def _oversized(request: Request) -> bool:
    length = request.headers.get("content-length", "")
    return not length.isdecimal() or int(length) > LARGEST_FORM
