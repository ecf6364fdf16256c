"""The reading guide of texture primitives: both languages, once a page, in the words of the project."""

import html
import re
from html.parser import HTMLParser

import httpx
import pytest

from dashboards.app import create_app
from inspection.nights.report import environment, stylesheet, write_report
from inspection.workspace.folder import Workspace
from inspection.workspace.store import Store
from tests.dashboards.conftest import Workbench, served
from tests.dashboards.hand_made import MODE_ID, MODEL, WITHHELD_ID, make_night

GUIDE = re.compile(r'<details class="primer" id="reading-primitives".*?</details>', re.S)
VOID = {"br", "hr", "img", "input", "link", "meta"}


class Outline(HTMLParser):
    """Follows the nesting of a page: complaints about tags that do not match, and its ids and links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.complaints: list[str] = []
        self.ids: list[str] = []
        self.anchors: list[str] = []
        self.feed(page)
        self.close()
        self.complaints += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if len(named) != len(attrs):
            self.complaints.append(f"<{tag}> has an attribute twice")
        self.ids += [value for value in [named.get("id")] if value]
        self.anchors += [value[1:] for value in [named.get("href")] if value and value.startswith("#")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Pass over what opens and closes at once."""

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.complaints.append(f"</{tag}> closes {self.open[-1:] or 'nothing'} at {self.getpos()}")


@pytest.fixture
def report(workspace: Workspace) -> str:
    return write_report(make_night(workspace), workspace, MODEL).read_text(encoding="utf-8")


@pytest.fixture
def pages(workspace: Workspace) -> dict[str, str]:
    """The dashboard's pages of a night and of its failure modes, by address."""
    store = Store(workspace.store_path)
    store.create()
    store.add_model(MODEL, [])
    store.finish_night(make_night(workspace))
    paths = (f"/modes/{MODE_ID}/evidence", f"/modes/{WITHHELD_ID}/evidence")
    with served(create_app(workspace, store, Workbench())) as address:
        return {path: httpx.get(address + path).raise_for_status().text for path in paths}


def rendered() -> str:
    page = environment(lambda path: None).from_string(
        '{% import "reading_guide.html" as guide %}{{ guide.primitives() }}'
    )
    return page.render()


def in_language(language: str) -> str:
    (part,) = re.findall(rf'<dl class="text" lang="{language}">.*?</dl>', rendered(), re.S)
    return str(part)


def words(part: str) -> str:
    """What a person reads: no tags, single spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", part)).split())


def without_state(guide: str) -> str:
    return guide.replace('id="reading-primitives" open>', 'id="reading-primitives">')


# --- what it says ---


ENGLISH = """
filter, code, energy, blame, flip rate, texture primitive, trust test, readable, errors, rank, agreement,
withheld, response matching, source image, patches, layout control, untrained control, ablation check,
dead filter, σ, 92 %, 82 %, arXiv 2010.12606, arXiv 2306.04719"""
JAPANESE = """
フィルタ（filter）, 特徴マップ, コード（code）, エネルギー（energy）, 寄与（blame）, 反転率（flip rate）,
テクスチャプリミティブ（texture primitive）, 信頼性テスト（trust test）, 読みやすさ（readable）, 順位（rank）,
一致度（agreement）, 保留（withheld）, 応答照合（response matching）, 元画像, パッチ, 見逃し, 過検出,
配置の対照, 未学習ネットワークとの対照, 不活性フィルタ（dead filter）, σ, 92%, 82%,
arXiv 2010.12606, arXiv 2306.04719"""


@pytest.mark.parametrize("word", [word.strip() for word in ENGLISH.split(",")])
def test_english_uses_the_words_of_the_project(word: str) -> None:
    assert word in words(in_language("en")).lower().replace("arxiv", "arXiv")


@pytest.mark.parametrize("word", [word.strip() for word in JAPANESE.split(",")])
def test_japanese_names_the_words_on_the_screen(word: str) -> None:
    assert word in words(in_language("ja"))


def test_english_stays_brief() -> None:
    assert 300 <= len(words(in_language("en")).split()) <= 530


def test_no_space_shows_within_japanese() -> None:
    """A line that the template breaks between two Japanese characters would show a space there."""
    shown = re.sub(r"</?b>", "", in_language("ja"))
    assert re.findall(r"[぀-ヿ一-鿿、。（）：「」]\s+[぀-ヿ一-鿿、。（）：「」]", shown) == []


def test_both_languages_are_built_alike() -> None:
    """The same headings, points and paragraphs, in the same order: what one says, the other says too."""
    marks = re.compile(r"</?(?:div|dl|dt|dd|ul|li|b|p)\b")
    assert marks.findall(in_language("en")) == marks.findall(in_language("ja"))


# --- where it stands ---


def test_the_report_holds_it_once_in_both_languages(report: str) -> None:
    assert report.count('class="card filter"') == 2  # several filters, one guide
    (guide,) = GUIDE.findall(report)
    assert re.findall(r'<dl class="text" lang="(\w+)">', guide) == ["en", "ja"]
    assert re.findall(r'<(\w+) lang="ja">', guide) == ["span", "label"]
    assert report.count("2010.12606") == 2  # once a language, and nowhere else
    assert report.count("What the picture is") == report.count("この画像は何か") == 1


def test_the_dashboard_shows_the_same_guide(report: str, pages: dict[str, str]) -> None:
    (guide,) = GUIDE.findall(report)
    (here,) = GUIDE.findall(pages[f"/modes/{MODE_ID}/evidence"])
    assert without_state(here) == without_state(guide)


def test_a_failure_mode_without_primitives_needs_no_guide(pages: dict[str, str]) -> None:
    assert "reading-primitives" not in pages[f"/modes/{WITHHELD_ID}/evidence"]


def test_the_pictures_of_a_failure_mode_lead_to_it(report: str) -> None:
    claimed, withheld = re.findall(r'<article class="mode".*?</article>', report, re.S)
    assert claimed.count('href="#reading-primitives"') == 1
    assert withheld.count('href="#reading-primitives"') == 0


# --- how it is built ---


def test_every_page_is_well_formed(report: str, pages: dict[str, str]) -> None:
    for page in (report, *pages.values()):
        outline = Outline(page)
        assert outline.complaints == []
        assert len(set(outline.ids)) == len(outline.ids)
        assert set(outline.anchors) <= set(outline.ids)


def test_a_page_that_is_not_well_formed_is_noticed() -> None:
    assert Outline('<p><b>x</p></b><i a="1" a="2">').complaints != []
    assert Outline('<p>a<br><img src="x"/></p>').complaints == []


def test_one_language_hides_the_other_without_a_script(report: str) -> None:
    (guide,) = GUIDE.findall(report)
    assert re.findall(r'value="(\w+)" checked', guide) == ["en"]
    assert "<script" not in report
    assert " style=" not in report  # the policy would refuse it
    for chosen, hidden in (("en", "ja"), ("ja", "en")):
        assert f".primer:has([value={chosen}]:checked) .text[lang={hidden}]" in stylesheet()
