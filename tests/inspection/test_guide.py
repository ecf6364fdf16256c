"""The guide: the same in every language, and true of the code."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
from markdown_it import MarkdownIt
from markdown_it.token import Token

from inspection.cli.app import app
from inspection.errors import UnknownTopicError
from inspection.guide import LINK, TOPICS, topic, topics
from inspection.language import ENGLISH, LANGUAGES, speaking
from inspection.workspace.settings import settings_rows, settings_table
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "inspection" / "guide"
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
OTHERS = [code for code in LANGUAGES if code != ENGLISH]
JAPANESE = re.compile("[ぁ-んァ-ン一-龥]")
PLACES = re.compile(r"(?:(?:inspection|fmi_engine|flows|dashboards|tests)/|\.ci/)[\w/.]*")
MODULES = re.compile(r"python -m (tests[\w.]+)")


def text_of(code: str, name: str) -> str:
    return (FOLDER / code / f"{name}.md").read_text(encoding="utf-8")


def everything() -> str:
    """The README and all topics, as they are written."""
    return "\n".join([README, *(text_of(code, name) for code in LANGUAGES for name in TOPICS)])


def parsed(text: str) -> list[Token]:
    return MarkdownIt("commonmark", {"html": False}).enable("table").parse(text)


def shape(text: str) -> list[Any]:
    """What a translation leaves as it is: headings, lists, tables, code blocks, code, links; in this order.

    Within a part (a paragraph, a heading), code and links may stand in another order.
    """
    found: list[Any] = []
    for token in parsed(text):
        if token.type == "fence":
            found.append((token.info, token.content))
        elif token.type == "inline":
            children = token.children or []
            code = sorted(each.content for each in children if each.type == "code_inline")
            strong = sum(each.type == "strong_open" for each in children)
            links = sorted(str(each.attrGet("href")) for each in children if each.type == "link_open")
            found.append((code, strong, links))
        else:
            found.append((token.type, token.tag))
    return found


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_language_has_the_topics_and_no_others(code: str) -> None:
    assert sorted(path.name for path in (FOLDER / code).iterdir()) == sorted(f"{name}.md" for name in TOPICS)


@pytest.mark.parametrize("name", TOPICS)
@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_has_the_same_parts(code: str, name: str) -> None:
    assert shape(text_of(code, name)) == shape(text_of(ENGLISH, name))


@pytest.mark.parametrize("name", TOPICS)
def test_japanese_is_japanese(name: str) -> None:
    with speaking("ja"):
        shown = topic(name)
    headings = re.findall(r"^#+ (.*)", shown.text, re.M)
    for line in (shown.title, shown.summary, *headings):
        assert JAPANESE.search(line), line


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_topic_begins_with_its_title_and_one_line_of_what_it_is_about(code: str) -> None:
    with speaking(code):
        for each in topics():
            assert each.text.startswith(f"# {each.title}\n\n{each.summary}\n\n")
            assert 20 < len(each.summary) < 120
            assert each.text.endswith("\n")
            assert re.search(r"^#+ .*[`*\[]", each.text, re.M) is None  # headings are shown as lists, too
            assert not any("**" in token.content for token in parsed(each.text) if token.type == "text")


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("name", TOPICS)
def test_links_lead_to_topics(code: str, name: str) -> None:
    text = text_of(code, name)
    targets = [target for _, target in LINK.findall(text)]
    assert set(targets) <= set(TOPICS) - {name}
    assert text.count("](") == len(targets)  # there is no other link


def test_the_table_of_settings_is_the_codes_in_the_readers_language() -> None:
    meanings = [meaning for _, _, _, meaning in settings_rows()]
    assert settings_table() in topic("settings").text
    assert f"| `blame.filters` | `20` | {meanings[0]} |" not in settings_table()
    with speaking("ja"):
        table = topic("settings").text
    assert "| 設定項目 | 既定値 | 意味 |" in table
    assert "| `compute.batch_size` | `32` | 順伝播1回あたりの画像数 |" in table
    assert not any(f" {meaning} |" in table for meaning in meanings)


def test_an_unknown_topic_names_the_nearest() -> None:
    with pytest.raises(
        UnknownTopicError, match=r"'Retrainin' in the guide\. Did you mean 'retraining'\? There"
    ):
        topic("Retrainin")
    with pytest.raises(UnknownTopicError, match=r"'xyzzy' in the guide\. There are: night, logs, "):
        topic("xyzzy")
    with speaking("ja"), pytest.raises(UnknownTopicError, match="「night」のことですか？次の項目があります"):
        topic("nigth")


# --- what README and guide name exists ---


def commands() -> dict[str, Any]:
    """Every command by its words: `recipe show`, `night`, ..."""
    found = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for name, each in list(found.items()):
        found |= {f"{name} {inner}": it for inner, it in getattr(each, "commands", {}).items()}
    return found


def called() -> list[str]:
    """Every call of the command line that stands in a code span or a block of bash, a line each."""
    text = everything().replace("\\\n", " ")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S)
    spans = re.findall(r"`(fmi [^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    lines = [call for block in blocks for line in block.splitlines() for call in line.split(" && ")]
    return [
        line.removeprefix(".venv/bin/") for line in (*lines, *spans) if re.match(r"(\.venv/bin/)?fmi ", line)
    ]


def test_every_command_exists_and_takes_what_is_given() -> None:
    known, named = commands(), set()
    for line in called():
        words = line.split()
        name = " ".join(words[1:3]) if " ".join(words[1:3]) in known else words[1]
        if name == "COMMAND":
            continue
        assert name in known, line
        named.add(name)
        options = {option for parameter in known[name].params for option in parameter.opts} | {"--help"}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", line)) <= options, line
    assert {"demo", "init", "register", "night", "serve", "retrain", "sql", "recipe show"} <= named


def test_every_topic_that_is_named_exists() -> None:
    named = re.findall(r"`fmi help ([a-z]+)`", everything())
    assert set(named) <= set(TOPICS)


def test_the_readme_lists_every_topic() -> None:
    assert re.findall(r"^\| `fmi help ([a-z]+)` \|", README, re.M) == list(TOPICS)


def test_every_place_in_the_code_exists() -> None:
    places = {place.rstrip(".") for place in PLACES.findall(everything())}
    assert {"inspection/operations/", "tests/benchmarks/second_opinion.py"} <= places
    assert [place for place in places if not (REPOSITORY / place).exists()] == []
    table = text_of(ENGLISH, "code").split("| --- | --- |")[1]
    for row in re.findall(r"^\| (.*?) \|", table, re.M):
        places_of_row = re.findall("`([^`]+)`", row)
        folder = Path(places_of_row[0]).parent  # `inspection/causes/`, `pictures/`: the second, beside it
        for place in places_of_row:
            assert (REPOSITORY / place).exists() or (REPOSITORY / folder / place).exists(), place


def test_every_module_that_is_run_exists() -> None:
    modules = set(MODULES.findall(everything()))
    assert "tests.benchmarks.faults" in modules
    assert [module for module in modules if find_spec(module) is None] == []


def test_every_setting_that_is_named_exists() -> None:
    known = {f"{table}.{key}" for table, key, _, _ in settings_rows()}
    tables = {name.partition(".")[0] for name in known}
    named = {
        name for name in re.findall(r"`([a-z_]+\.[a-z_]+)`", everything()) if name.split(".")[0] in tables
    }
    assert {"images.bit_depth", "mlflow.tracking_uri", "matching.fewest_errors"} <= named
    assert named - known - {"fmi.toml"} == set()
    assert set(re.findall(r"`\[([a-z_]+)\]`", everything())) <= tables


def test_the_pictures_of_the_readme_are_there_and_small() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert len(pictures) == 2
    for picture in pictures:
        assert 10_000 < (REPOSITORY / picture).stat().st_size < 150_000
