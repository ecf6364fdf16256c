"""The search: nights, failure modes and errors by what is on a part, a camera or a page."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from dashboards.desk import LONGEST_NAME, AtDesk, Findings
from inspection.findings import Cause
from inspection.language import gettext as _
from inspection.nights.phrases import cause_in_a_word
from inspection.workspace.reader import Found, Reader

router = APIRouter(default_response_class=HTMLResponse)


@router.get("/search")
def search_page(desk: AtDesk, findings: Findings, q: str = "") -> Response:
    """Show what is found of a text."""
    text = wanted(q)
    return desk.pages.page("search.html", searched=text, found=found_of(findings, text))


def wanted(asked: str) -> str:
    """What is searched for: on one line, without blanks around it, no longer than any name."""
    return " ".join(asked.replace("\0", " ").split())[:LONGEST_NAME]


def found_of(findings: Reader, text: str) -> Found:
    """What is found of a text; causes are searched for in the reader's language, too."""
    return findings.search(text.lower(), _causes(findings, text.lower())) if text else Found()


def _causes(findings: Reader, text: str) -> list[str]:
    """The causes of the store whose name or meaning holds a text."""
    named = [each for each in findings.causes() if text in each.lower() or text in _(each).lower()]
    return [*named, *(each.value for each in Cause if text in cause_in_a_word(each).lower())]
