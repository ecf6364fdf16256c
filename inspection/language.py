"""The language in which people are spoken to: gettext catalogues, read through Babel.

English stands in the code; the others are `locales/<language>.po`. Each request and each report has a
language of its own, so the present one is a context variable. What the store and log files keep for programs
stays as it is; sentences among it are told again on pages (`retold`).
"""

import gettext as catalogues
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import resources
from string import Formatter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog

LANGUAGES = {"en": "English", "ja": "日本語"}
ENGLISH = "en"
STORED = "stored"  # the context, in catalogues, of sentences that the store keeps

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


def retold(kept: str) -> str:
    """Sentences that the store keeps, which are English, in the present language.

    Each is recognised by the text with blanks that made it; what no catalogue knows stays as it is. Several
    are parted by semicolons.
    """
    whole = _retold(kept)
    return whole or gettext("; ").join(_retold(part) or part for part in kept.split("; "))


class _Verbatim(str):
    """What stood in a blank: it goes into that of another language as it is, whatever the blank asks."""

    __slots__ = ()

    def __format__(self, _asked: str) -> str:
        return str(self)


def _retold(sentence: str) -> str:
    """One sentence in the present language; empty where no catalogue knows it."""
    for pattern, text in _stored(language()):
        if found := pattern.fullmatch(sentence):
            held = found.groupdict()
            return text.format(**{name: _Verbatim(_retold(value) or value) for name, value in held.items()})
    return ""


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

    compiled = io.BytesIO()
    write_mo(compiled, _read(code))
    compiled.seek(0)
    return catalogues.GNUTranslations(compiled)


@cache
def _stored(code: str) -> list[tuple[re.Pattern[str], str]]:
    """What the sentences of the store look like, those of most words first, and what they become."""
    if code == ENGLISH:
        return []
    texts = [(str(each.id), str(each.string)) for each in _read(code) if each.context == STORED]
    texts.sort(key=lambda both: -sum(len(words) for words, *_ in Formatter().parse(both[0])))
    return [(re.compile(_pattern(english), re.DOTALL), text) for english, text in texts]


def _pattern(text: str) -> str:
    """A regular expression for what a text with blanks may have become."""
    known, found = set[str](), ""
    for words, name, _, _ in Formatter().parse(text):
        found += re.escape(words)
        if name:
            found += f"(?P={name})" if name in known else f"(?P<{name}>.+?)"
            known.add(name)
    return found


@cache
def _read(code: str) -> "Catalog":
    from babel.messages.pofile import read_po

    text = resources.files("inspection").joinpath("locales", f"{code}.po").read_bytes()
    return read_po(io.BytesIO(text), code)
