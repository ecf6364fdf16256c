"""The guide's pages: every topic, in every language, with links that lead somewhere."""

import html
import re

import pytest

from dashboards.guide import _rendered
from inspection.guide import TOPICS, topic, topics
from inspection.language import LANGUAGES, speaking
from tests.dashboards.conftest import Visitor

pytestmark = pytest.mark.usefixtures("store")


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_guide_lists_every_topic(visitor: Visitor, code: str) -> None:
    page = html.unescape(visitor.get(f"/guide?lang={code}").text)
    with speaking(code):
        listed = [
            f'<a href="/guide/{each.name}">{each.title}</a></dt><dd>{each.summary}' for each in topics()
        ]
    places = [page.index(entry) for entry in listed]
    assert places == sorted(places)


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_topic_has_a_page_and_its_links_lead_somewhere(visitor: Visitor, code: str) -> None:
    targets = set()
    for name in TOPICS:
        answer = visitor.get(f"/guide/{name}?lang={code}")
        assert answer.status_code == 200
        with speaking(code):
            shown = topic(name)
        article = answer.text.partition("<article")[2].partition("</article>")[0]
        assert f"<h1>{shown.title}</h1>" in html.unescape(article)
        assert f'href="/guide/{name}" aria-current="page"' in answer.text
        targets |= set(re.findall(r'<a href="([^"#]+)"', article))
        ids = re.findall(r'<h2 id="([^"]+)"', article)
        assert len(ids) == len(re.findall("^## ", shown.text, re.M))
        assert set(re.findall(r'href="#([^"]+)"', article)) in (set(ids), set())
    assert {"logs", "settings", "primitives"} <= targets <= set(TOPICS)  # beside each other under /guide/


def test_every_page_leads_to_the_guide(visitor: Visitor) -> None:
    for path in ("/", "/models", "/nope"):
        assert '<a href="/guide">Guide</a>' in visitor.get(path).text


def test_what_is_html_in_a_text_stays_text() -> None:
    text, questions = _rendered("# A\n\n## `x` <b>\n\n<script>alert(1)</script> [a](javascript:alert(1))\n")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "href" not in text
    assert questions == ["`x` <b>"]


def test_an_unknown_topic_names_the_nearest(visitor: Visitor) -> None:
    answer = visitor.get("/guide/retrainin")
    assert answer.status_code == 404
    assert (
        "There is no topic &#39;retrainin&#39; in the guide. Did you mean &#39;retraining&#39;?"
        in answer.text
    )
    assert visitor.get("/guide/..%2Fen%2Fnight").status_code == 404
