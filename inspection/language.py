"""The language in which people are spoken to: gettext catalogues, read through Babel.

English stands in the code; the others are `locales/<language>.po`. Each request and each report has a
language of its own, so the present one is a context variable. What the store and log files keep for programs
stays as it is.
"""

import gettext as catalogues
import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import resources

LANGUAGES = {"en": "English", "ja": "日本語"}
ENGLISH = "en"

_language: ContextVar[str] = ContextVar("language", default=ENGLISH)


def language() -> str:
    """The present language's code."""
    return _language.get()


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Speak a language for the block; one that there is no catalogue of is English."""
    token = _language.set(code if code in LANGUAGES else ENGLISH)
    try:
        yield
    finally:
        _language.reset(token)


def gettext(text: str) -> str:
    """A text of the code in the present language."""
    return _catalogue(language()).gettext(text) if text else ""


def ngettext(one: str, many: str, count: int) -> str:
    """The form of a text that goes with a count, in the present language."""
    return _catalogue(language()).ngettext(one, many, count)


def preferred(accepted: str) -> str:
    """The language of ours that a browser's Accept-Language asks for first, or English."""
    wishes = []
    for number, wish in enumerate(accepted.split(",")):
        name, _, weight = wish.strip().partition(";q=")
        try:
            wishes.append((-float(weight or 1), number, name.partition("-")[0].lower()))
        except ValueError:
            continue
    return next((name for _, _, name in sorted(wishes) if name in LANGUAGES), ENGLISH)


def of_terminal() -> str:
    """The language of ours that the environment asks for (LC_ALL, LC_MESSAGES, LANG), or English."""
    from babel.core import default_locale, negotiate_locale

    return negotiate_locale([default_locale("LC_MESSAGES") or ENGLISH], LANGUAGES) or ENGLISH


@cache
def _catalogue(code: str) -> catalogues.NullTranslations:
    if code == ENGLISH:
        return catalogues.NullTranslations()
    from babel.messages.mofile import (
        write_mo,
    )  # a tenth of a second, which no English command should wait for
    from babel.messages.pofile import read_po

    text = resources.files("inspection").joinpath("locales", f"{code}.po").read_bytes()
    compiled = io.BytesIO()
    write_mo(compiled, read_po(io.BytesIO(text), code))
    compiled.seek(0)
    return catalogues.GNUTranslations(compiled)
