"""The dashboard of one workspace: its pages, put together, and how it says that something is wrong."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException

from dashboards import (
    access,
    api,
    files,
    guide,
    inbox,
    login,
    manager,
    models,
    modes,
    nights,
    pictures,
    poc,
    search,
)
from dashboards.desk import Desk
from dashboards.guard import guard, secured
from dashboards.pages import Pages
from dashboards.reports import Reports
from dashboards.retraining import RetrainingStarter
from inspection.access.book import AccessBook
from inspection.access.roles import Role
from inspection.access.trail import Event, note
from inspection.errors import InspectionError, ModelError, TooManyTriesError
from inspection.language import LANGUAGES, preferred, speaking
from inspection.language import gettext as _
from inspection.workspace.folder import Workspace
from inspection.workspace.live_copy import LiveCopy
from inspection.workspace.store import Store

TITLES = {
    401: "Not logged in",
    403: "Not accepted",
    404: "Not found",
    405: "Not possible",
    409: "Not possible now",
    429: "Not possible now",
}
LANGUAGE = "fmi_language"  # the cookie of the language that was chosen


def create_app(workspace: Workspace, store: Store, retraining: RetrainingStarter, url: str = "") -> FastAPI:
    """Return the dashboard of a workspace: for this machine alone, or at a URL for those who log in."""
    app = FastAPI(title="fmi", docs_url=None, redoc_url=None, openapi_url=f"{api.PREFIX}/openapi.json")
    live = LiveCopy(store)
    pages = Pages(workspace, lambda: live.behind)
    app.state.desk = Desk(workspace, live, retraining, pages, Reports(workspace, live))
    if url:
        _admit(app, AccessBook(workspace.access_path))
        app.include_router(login.router, include_in_schema=False)
    guard(app, url)
    _speak(app)
    _answer_problems(app)
    for kind in (inbox, nights, modes, pictures, models, manager, poc, search, guide, files):
        app.include_router(kind.router, include_in_schema=False)
    app.include_router(api.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")))
    return app


def _speak(app: FastAPI) -> None:
    """Answer in the language that was chosen, else in the browser's."""

    @app.middleware("http")
    async def _spoken(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        asked = request.query_params.get("lang", "")
        with speaking(_spoken_to(request)):
            response = await call_next(request)
        if asked in LANGUAGES:
            kept = 365 * 24 * 3600  # seconds
            response.set_cookie(LANGUAGE, asked, kept, httponly=True, samesite="strict", path="/")
        return response


def _spoken_to(request: Request) -> str:
    """The language in which a request is answered: as its address, its cookie or its browser asks."""
    asked = request.query_params.get("lang", "")
    chosen = asked if asked in LANGUAGES else request.cookies.get(LANGUAGE, "")
    return chosen or preferred(request.headers.get("accept-language", ""))


# --- who is let in ---


def _admit(app: FastAPI, book: AccessBook) -> None:
    """Let those in who are logged in or have a key, to what their role allows."""
    app.state.book = book

    @app.middleware("http")
    async def _admitted(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        method, path = request.method, request.scope["path"]
        with access.asking(access.NOBODY):
            if access.open_to_all(method, path):
                return await call_next(request)
            try:
                who = await run_in_threadpool(access.known, book, request)
            except TooManyTriesError as error:
                return _too_often(request, error)
            except InspectionError as error:
                return _unavailable(request, error)
            if who.role is None:
                return _not_logged_in(request)
        with access.asking(who):
            needed = access.role_for(method, path)
            if needed is None:
                return _problem(request, 404, _(TITLES[404]), _missing(request))
            if not who.may(needed):
                await run_in_threadpool(_on_record, book, Event.REFUSED, request)
                return _problem(request, 403, _(TITLES[403]), access.not_allowed(needed))
            response = await call_next(request)
            if needed is not Role.VIEWER and method == "POST" and response.status_code < 400:
                await run_in_threadpool(_on_record, book, Event.CHANGED, request)
            return response


def _on_record(book: AccessBook, event: Event, request: Request) -> None:
    what = f"{request.method} {request.scope['path']}"
    with book.writing() as connection:
        note(connection, event, access.asker().name, what, access.address_of(request))


def _not_logged_in(request: Request) -> Response:
    """Where to log in; whoever sent something is told that nothing came of it."""
    path = request.scope["path"]
    if request.method == "GET" and not path.startswith(f"{api.PREFIX}/"):
        query = request.scope["query_string"].decode("latin-1")
        back = quote(quote(path) + (f"?{query}" if query else ""))
        return RedirectResponse(f"/login?next={back}", 303)
    message = (
        _("This takes a key: `fmi key add` makes one, and it is sent as `Authorization: Bearer KEY`.")
        if path.startswith(f"{api.PREFIX}/")
        else _("You are not logged in any more, so nothing was changed. Log in, go back and send it again.")
    )
    return _problem(request, 401, _(TITLES[401]), message)


# --- problems, said without tracebacks ---


def _pages(request: Request) -> Pages:
    return cast(Desk, request.app.state.desk).pages


def _answer_problems(app: FastAPI) -> None:
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ModelError, _not_now)
    app.add_exception_handler(TooManyTriesError, _too_often)
    app.add_exception_handler(InspectionError, _unavailable)
    app.add_exception_handler(Exception, _failed)


def _problem(request: Request, status: int, title: str, message: str) -> Response:
    """A page that says what went wrong; for a program the same as JSON."""
    if request.url.path.startswith(f"{api.PREFIX}/"):
        return JSONResponse({"title": title, "detail": message}, status)
    return _pages(request).problem(status, title, message, request.method == "POST")


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    title = _(TITLES.get(error.status_code, "Not possible"))
    unknown = error.status_code == 404 and error.detail == "Not Found"
    return _problem(request, error.status_code, title, _missing(request) if unknown else error.detail)


def _missing(request: Request) -> str:
    return _("There is no page {path} here.").format(path=request.url.path)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    complaints = "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in error.errors())
    message = _("The form could not be used ({complaints}). Nothing was changed. Go back and mend it.")
    return _problem(request, 422, _("Not complete"), message.format(complaints=complaints))


def _not_now(request: Request, error: Exception) -> Response:
    return _problem(request, 409, _(TITLES[409]), str(error))


def _too_often(request: Request, error: Exception) -> Response:
    return _problem(request, 429, _(TITLES[429]), str(error))


def _unavailable(request: Request, error: Exception) -> Response:
    return _problem(request, 503, _("Not available now"), str(error))


def _failed(request: Request, error: Exception) -> Response:
    nobody = access.NOBODY if request.app.state.url else access.AT_THIS_MACHINE
    with speaking(_spoken_to(request)), access.asking(nobody):  # outside of what sets them
        message = _(
            "The dashboard made a mistake. What happened is written where `fmi serve` runs; report it from "
            "there."
        )
        return secured(_problem(request, 500, _("Something went wrong"), message))
