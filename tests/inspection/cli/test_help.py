"""The guide on a terminal."""

import io
import re
from collections.abc import Callable

import pytest

from inspection.cli import help as guide
from inspection.console import Console
from inspection.guide import TOPICS, topic, topics
from inspection.language import speaking
from inspection.workspace.settings import settings_rows
from tests.conftest import Answer, succeeded

Fmi = Callable[..., Answer]


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that speaks English, whoever runs the tests."""
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 80 cells shows."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(guide, "console", console)
    return screen


def test_topics_are_listed_a_line_each(fmi: Fmi) -> None:
    said = succeeded(fmi("help")).stdout
    lines = [line.split(maxsplit=1) for line in said.splitlines()[2:]]
    assert [(name, summary.rstrip()) for name, summary in lines] == [
        (each.name, each.summary) for each in topics()
    ]


def test_a_pipe_gets_markdown(fmi: Fmi) -> None:
    assert succeeded(fmi("help", "night")).stdout == topic("night").text


@pytest.mark.parametrize("name", TOPICS)
@pytest.mark.parametrize("code", ["en", "ja"])
def test_a_terminal_gets_it_drawn(fmi: Fmi, terminal: io.StringIO, name: str, code: str) -> None:
    assert succeeded(fmi("help", name, "--language", code)).stdout == ""
    shown = terminal.getvalue()
    with speaking(code):
        assert topic(name).title in shown
    assert re.search(r"(?<!\w)\*\*|\]\(|```|\| ---|^## ", shown, re.M) is None  # no mark of Markdown


def test_nothing_is_cut_where_the_terminal_is_narrow(fmi: Fmi, terminal: io.StringIO) -> None:
    succeeded(fmi("help", "settings"))
    shown = terminal.getvalue()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    first = "".join(line[:26].strip() for line in shown.splitlines())  # the column of names, as it is folded
    assert all(key in first for _, key, _, _ in settings_rows())


def test_a_link_is_the_command_that_shows_it(fmi: Fmi, terminal: io.StringIO) -> None:
    succeeded(fmi("help", "images"))
    assert "where it is set (fmi help settings)." in " ".join(terminal.getvalue().split())


@pytest.mark.parametrize(
    ("variable", "value", "title"),
    [
        ("LANG", "ja_JP.UTF-8", "画像"),
        ("LC_ALL", "ja", "画像"),
        ("LANG", "C.UTF-8", "Images"),
        ("LANG", "fr_FR.UTF-8", "Images"),
        ("LANG", "?", "Images"),
    ],
)
def test_the_language_is_the_terminals(
    fmi: Fmi, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, title: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert succeeded(fmi("help", "images")).stdout.startswith(f"# {title}\n")
    assert succeeded(fmi("help", "images", "--language", "en")).stdout.startswith("# Images\n")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["nigth"], "fmi: There is no topic 'nigth' in the guide. Did you mean 'night'? There are: night, "),
        (["register"], "code. The command of that name is explained by `fmi register --help`.\n"),
        (["night", "--language", "fr"], "--language is 'fr'; the guide is written in en, ja"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(fmi: Fmi, asked: list[str], said: str) -> None:
    answer = fmi("help", *asked)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert answer.stdout == ""
