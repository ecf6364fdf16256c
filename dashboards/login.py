"""Logging in and out, one's own account, and the record of who did what; where others reach the dashboard."""

import re
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from dashboards.access import address_of, asker
from dashboards.desk import AtDesk, Desk
from dashboards.guard import COOKIE, SESSION, keep, kept, new_token, own_form
from inspection.access import sessions, trail
from inspection.access.accounts import LONGEST_NAME, accounts, change_password
from inspection.access.book import AccessBook
from inspection.access.keys import keys
from inspection.access.passwords import LONGEST, SHORTEST
from inspection.errors import AccessError, TooManyTriesError
from inspection.language import gettext as _

ENTRIES_LISTED = 200  # of the record, on one page
_OWN_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20]*")  # of this dashboard: a browser takes // for another site

router = APIRouter(default_response_class=HTMLResponse)


def _book(request: Request) -> AccessBook:
    return cast(AccessBook, request.app.state.book)


Book = Annotated[AccessBook, Depends(_book)]
Password = Annotated[str, Form(max_length=LONGEST)]


@router.get("/login")
def login_page(request: Request, desk: AtDesk, next: str = "/") -> Response:
    """Ask for name and password."""
    return _asked(request, desk, next)


@router.post("/login", dependencies=[Depends(own_form)])
def log_in(
    request: Request,
    desk: AtDesk,
    book: Book,
    name: Annotated[str, Form(max_length=LONGEST_NAME)],
    password: Password,
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Begin a session, and show the page that was asked for."""
    try:
        secret = sessions.log_in(book, name, password, address_of(request))
    except AccessError as error:
        return _asked(request, desk, next, name, str(error), _status(error, 401))
    return _begun(request, RedirectResponse(_own(next), 303), secret)


def _asked(
    request: Request, desk: Desk, back: str, name: str = "", wrong: str = "", status: int = 200
) -> Response:
    form = {"back": _own(back), "name": name, "wrong": wrong, "longest_name": LONGEST_NAME}
    return desk.pages.form_page(request, "login.html", status=status, form=form)


@router.post("/logout", dependencies=[Depends(own_form)])
def log_out(request: Request, book: Book) -> Response:
    """End the session."""
    sessions.log_out(book, kept(request, SESSION), address_of(request))
    return _begun(request, RedirectResponse("/login", 303), "")


@router.get("/account")
def account_page(request: Request, desk: AtDesk, saved: str = "") -> Response:
    """Show who is logged in, and let them change their password."""
    return _own_account(request, desk, saved)


@router.post("/account/password", dependencies=[Depends(own_form)])
def new_password(
    request: Request, desk: AtDesk, book: Book, password: Password, new: Password, again: Password
) -> Response:
    """Change one's own password; all other sessions of the account end."""
    who, address = asker().name, address_of(request)
    try:
        sessions.check_password(book, who, password, address)
        if new != again:
            raise AccessError(_("The new password was not the same twice, so nothing was changed."))
        change_password(book, who, new, who, address)
    except AccessError as error:
        return _own_account(request, desk, wrong=str(error), status=_status(error, 422))
    secret = sessions.log_in(book, who, new, address)
    return _begun(request, RedirectResponse("/account?saved=password", 303), secret)


def _own_account(
    request: Request, desk: Desk, saved: str = "", wrong: str = "", status: int = 200
) -> Response:
    form = {"saved": saved, "wrong": wrong, "shortest": SHORTEST, "longest": LONGEST}
    return desk.pages.form_page(request, "account.html", status=status, form=form)


@router.get("/access")
def access_page(desk: AtDesk, book: Book, before: int | None = None) -> Response:
    """List accounts and keys, and who did what, the newest first."""
    entries = trail.entries(book, ENTRIES_LISTED + 1, before)
    return desk.pages.page(
        "access.html",
        accounts=accounts(book),
        keys=keys(book),
        entries=entries[:ENTRIES_LISTED],
        older=len(entries) > ENTRIES_LISTED,
    )


def _begun(request: Request, answer: Response, secret: str) -> Response:
    """Leave a session with the browser, or take it back, and let no form of before be sent again."""
    keep(request, answer, SESSION, secret, links=True)
    keep(request, answer, COOKIE, new_token())
    return answer


def _own(path: str) -> str:
    """An address of this dashboard, to go on to after logging in."""
    return path if _OWN_PATH.fullmatch(path) else "/"


def _status(error: AccessError, otherwise: int) -> int:
    return 429 if isinstance(error, TooManyTriesError) else otherwise
