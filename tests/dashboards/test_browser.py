"""One walk through the dashboard in a real browser."""

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from inspection.findings import Judgement
from inspection.workspace.store import Store
from tests.dashboards.conftest import Workbench
from tests.dashboards.hand_made import MODE_ID

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no `chromium` on the PATH: install it to run the browser tests"
    ),
]


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that fails the test when its console or a script complains."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        browser.close()
    assert complaints == []


def test_from_the_list_to_a_verdict_and_a_retraining(
    page: Page, address: str, reviewed: Store, workbench: Workbench
) -> None:
    page.goto(address)
    page.get_by_role("link", name="2026-07-04 02:00 UTC").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "10 errors: 4 escapes, 2 overkills and 4 confusions."
    )
    page.get_by_role("link", name="Review").first.click()
    expect(page).to_have_url(re.compile(f"/modes/{MODE_ID}$"))
    page.wait_for_load_state("load")
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")

    page.get_by_label("Reject").check()
    page.get_by_label("Comment").fill("Lamp 3 was replaced. 照明を交換")
    page.get_by_label("Your name").fill("Sato")
    page.get_by_role("button", name="Save verdict").click()
    expect(page.get_by_role("status")).to_have_text("Your verdict is saved.")
    expect(page.get_by_role("complementary")).to_contain_text("rejected Sato Lamp 3 was replaced. 照明を交換")
    (verdict,) = reviewed.verdicts(MODE_ID)
    assert (verdict.judgement, verdict.comment) == (Judgement.OTHER_CAUSE, "Lamp 3 was replaced. 照明を交換")

    retraining = page.get_by_role("region", name="Targeted retraining")
    expect(retraining).to_contain_text("A reviewer rejected this failure mode")
    retraining.get_by_role("button", name="Start targeted retraining").click()
    expect(retraining.get_by_role("row", name="Running")).to_contain_text("run-1")
    expect(retraining.get_by_role("button")).to_be_disabled()

    page.evaluate("window.notReloaded = true")
    workbench.end(MODE_ID, "Completed", "All states completed.")
    expect(retraining.get_by_role("row", name="Completed")).to_be_visible(timeout=10_000)
    expect(retraining.get_by_role("button")).to_be_enabled()
    assert page.evaluate("window.notReloaded")


def test_the_report_opens_under_both_policies(page: Page, address: str, reviewed: Store) -> None:
    page.goto(address)
    page.get_by_role("link", name="Report").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("10 errors")
    page.wait_for_load_state("load")
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    # The style inside the file is in force, so the hash in its policy is right.
    assert page.evaluate("getComputedStyle(document.querySelector('.gallery')).display") == "grid"
