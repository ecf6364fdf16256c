"""The dashboard of one workspace: its pages, put together, and how it says that something is wrong."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException

from dashboards import api, files, inbox, manager, models, modes, nights, pictures, search
from dashboards.desk import Desk
from dashboards.guard import guard, secured
from dashboards.pages import Pages
from dashboards.reports import Reports
from dashboards.retraining import RetrainingStarter
from inspection.errors import InspectionError, ModelError
from inspection.language import LANGUAGES, preferred, speaking
from inspection.language import gettext as _
from inspection.workspace.folder import Workspace
from inspection.workspace.live_copy import LiveCopy
from inspection.workspace.store import Store

TITLES = {403: "Not accepted", 404: "Not found", 405: "Not possible", 409: "Not possible now"}
LANGUAGE = "fmi_language"  # the cookie of the language that was chosen


def create_app(workspace: Workspace, store: Store, retraining: RetrainingStarter) -> FastAPI:
    """Return the dashboard of a workspace."""
    app = FastAPI(title="fmi", docs_url=None, redoc_url=None, openapi_url=f"{api.PREFIX}/openapi.json")
    live = LiveCopy(store)
    pages = Pages(workspace, lambda: live.behind)
    app.state.desk = Desk(workspace, live, retraining, pages, Reports(workspace, live))
    _speak(app)
    guard(app)
    _answer_problems(app)
    for kind in (inbox, nights, modes, pictures, models, manager, search, files):
        app.include_router(kind.router, include_in_schema=False)
    app.include_router(api.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")))
    return app


def _speak(app: FastAPI) -> None:
    """Answer in the language that was chosen, else in the browser's."""

    @app.middleware("http")
    async def _spoken(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        asked = request.query_params.get("lang", "")
        chosen = asked if asked in LANGUAGES else request.cookies.get(LANGUAGE, "")
        with speaking(chosen or preferred(request.headers.get("accept-language", ""))):
            response = await call_next(request)
        if asked in LANGUAGES:
            kept = 365 * 24 * 3600  # seconds
            response.set_cookie(LANGUAGE, asked, kept, httponly=True, samesite="strict", path="/")
        return response


# --- problems, said without tracebacks ---


def _pages(request: Request) -> Pages:
    return cast(Desk, request.app.state.desk).pages


def _answer_problems(app: FastAPI) -> None:
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ModelError, _not_now)
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
    missing = _("There is no page {path} here.").format(path=request.url.path)
    return _problem(request, error.status_code, title, missing if unknown else error.detail)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    complaints = "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in error.errors())
    message = _("The form could not be used ({complaints}). Nothing was changed. Go back and mend it.")
    return _problem(request, 422, _("Not complete"), message.format(complaints=complaints))


def _not_now(request: Request, error: Exception) -> Response:
    return _problem(request, 409, _(TITLES[409]), str(error))


def _unavailable(request: Request, error: Exception) -> Response:
    return _problem(request, 503, _("Not available now"), str(error))


def _failed(request: Request, error: Exception) -> Response:
    message = (
        "The dashboard made a mistake. What happened is written where `fmi serve` runs; report it from there."
    )
    return secured(_problem(request, 500, "Something went wrong", message))
