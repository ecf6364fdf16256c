"""What keeps the pages to this machine's reviewer: headers, and forms that no other site can send."""

import re
import secrets
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from inspection.language import gettext as _

HOSTS = ("127.0.0.1", "localhost")
COOKIE = "fmi_csrf"
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

Next = Callable[[Request], Awaitable[Response]]


def guard(app: FastAPI) -> None:
    """Answer only to this machine's names, refuse oversized forms and set the headers of every answer."""
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS))

    @app.middleware("http")
    async def _guarded(request: Request, call_next: Next) -> Response:
        if request.method == "POST" and _oversized(request):
            return secured(PlainTextResponse("This form is larger than any page here sends.", 413))
        return secured(await call_next(request))


def secured(response: Response) -> Response:
    """Add the headers that a response does not set itself."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def form_token(request: Request) -> str:
    """Return the token that a page's forms carry: the browser's own, or a new one."""
    known = request.cookies.get(COOKIE, "")
    return known if re.fullmatch(r"[\w-]{43}", known) else secrets.token_urlsafe(32)


def remember_token(response: Response, token: str) -> None:
    """Leave the token with the browser, for no other site to use."""
    response.set_cookie(COOKIE, token, httponly=True, samesite="strict", path="/")


def from_another_site(request: Request) -> bool:
    """Whether a browser says that a page of another site sends a request."""
    origin = request.headers.get("origin")
    return origin is not None and origin != f"{request.url.scheme}://{request.headers.get('host')}"


async def own_form(request: Request) -> None:
    """Let only forms of our own pages through: same origin, and the token twice (cookie and field)."""
    if from_another_site(request):
        raise HTTPException(403, _("This form came from another site, so nothing was changed."))
    sent = str((await request.form()).get(FIELD, ""))
    known = request.cookies.get(COOKIE, "")
    if not known or not secrets.compare_digest(sent.encode(), known.encode()):
        raise HTTPException(
            403, _("This form is out of date, so nothing was changed. Reload its page and send again.")
        )


def _oversized(request: Request) -> bool:
    length = request.headers.get("content-length", "")
    return not length.isdecimal() or int(length) > LARGEST_FORM
