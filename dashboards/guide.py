"""The guide: its topics as pages, from the text that `fmi help TOPIC` prints."""

from itertools import pairwise

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse, Response
from markdown_it import MarkdownIt
from markupsafe import Markup

from dashboards.desk import AtDesk
from inspection.errors import UnknownTopicError
from inspection.guide import topic, topics

router = APIRouter(default_response_class=HTMLResponse)
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")  # what is HTML in a text stays text


@router.get("/guide")
def guide_page(desk: AtDesk) -> Response:
    """List the topics."""
    return desk.pages.page("guide.html", topics=list(topics()))


@router.get("/guide/{name}")
def topic_page(name: str, desk: AtDesk) -> Response:
    """Show one topic, beside all others."""
    try:
        shown = topic(name)
    except UnknownTopicError as error:
        raise HTTPException(404, str(error)) from None
    body, questions = _rendered(shown.body)
    return desk.pages.page(
        "guide_topic.html", topics=list(topics()), shown=shown, body=body, questions=questions
    )


def _rendered(text: str) -> tuple[Markup, list[str]]:
    """Markdown as HTML, and its second-level headings: the n-th has the id `qn`, from 1, to link to."""
    tokens, questions = MARKDOWN.parse(text), []
    for opening, content in pairwise(tokens):
        if opening.type == "heading_open" and opening.tag == "h2":
            questions.append(content.content)
            opening.attrSet("id", f"q{len(questions)}")
    return Markup(MARKDOWN.renderer.render(tokens, MARKDOWN.options, {})), questions
