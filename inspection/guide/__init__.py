"""The guide: what the software does and how, a topic a file, in every language.

The dashboard serves it (`/guide`), and `fmi help TOPIC` prints it. A topic is Markdown: its first line is the
title, its second paragraph, one line, says what it is about, and links name other topics.

- en/, ja/: the texts
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from inspection.errors import UnknownTopicError
from inspection.language import gettext as _
from inspection.language import language
from inspection.workspace.settings import settings_table

# In the order in which they are listed: the work first, then what stands behind it.
TOPICS = (
    *("night", "logs", "images", "models", "decisions", "preprocessing", "recipes", "retraining"),
    *("dashboard", "schedule", "machines", "poc", "scripts", "store", "settings", "trust", "limits"),
    *("primitives", "benchmarks", "parts", "code"),
)
LINK = re.compile(r"\[([^\]]+)\]\(([a-z]+)\)")  # its text, and the topic that it leads to


def _schema() -> str:
    from inspection.workspace.schema import schema_table  # it loads DuckDB, which one topic needs

    return schema_table()


_TABLES = {"{settings}": settings_table, "{schema}": _schema}  # where a generated table stands in a text


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the guide, in one language."""

    name: str  # as addresses and commands spell it
    title: str
    summary: str  # one line
    text: str  # Markdown, all of it

    @property
    def body(self) -> str:
        """What stands below title and summary."""
        return self.text.split("\n", 3)[3]


def topics() -> Iterator[Topic]:
    """Every topic, in the present language."""
    return map(topic, TOPICS)


def topic(name: str) -> Topic:
    """One topic in the present language. Raises UnknownTopicError, which names the nearest."""
    if name not in TOPICS:
        near = difflib.get_close_matches(name.lower(), TOPICS, 1)
        hint = _(" Did you mean '{topic}'?").format(topic=near[0]) if near else ""
        raise UnknownTopicError(
            _("There is no topic '{name}' in the guide.{hint} There are: {topics}.").format(
                name=name, hint=hint, topics=", ".join(TOPICS)
            )
        )
    text = _text(language(), name)
    for place, table in _TABLES.items():
        text = text.replace(place, table()) if place in text else text
    title, _blank, summary = text.split("\n", 3)[:3]
    return Topic(name, title.removeprefix("# "), summary, text)


@cache
def _text(code: str, name: str) -> str:
    return resources.files("inspection.guide").joinpath(code, f"{name}.md").read_text(encoding="utf-8")
