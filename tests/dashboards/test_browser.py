"""One walk through the dashboard in a real browser."""

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from inspection.access.trail import Event, entries
from inspection.findings import Decision, Judgement, LoggedError
from inspection.guide import TOPICS
from inspection.inputs.images import write_image
from inspection.nights.poc import Begun, begin
from inspection.workspace.folder import Workspace, open_workspace
from inspection.workspace.store import Store
from tests.dashboards.conftest import Workbench
from tests.dashboards.for_others import PASSWORD, certified, served_for_others
from tests.dashboards.hand_made import MODE_ID, MODEL, NIGHT_ID, WITHHELD_ID
from tests.inspection.workspace.records import a_retraining

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
expect.set_options(timeout=20_000)  # milliseconds, for other tests take the processor meanwhile

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no `chromium` on the PATH: install it to run the browser tests"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all tests: nothing that a page keeps reaches the next, for each has a context of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test when its console or a script complains."""
    complaints: list[str] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
    assert complaints == []


def test_from_the_inbox_to_a_promoted_model_and_back(
    address: str, page: Page, reviewed: Store, workbench: Workbench
) -> None:
    page.goto(address)
    page.get_by_role("link", name="Low contrast: 0.55 x").click()
    expect(page).to_have_url(re.compile(f"/modes/{MODE_ID}$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Low contrast: 0.55 x")
    page.wait_for_load_state("load")
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")

    rail = page.get_by_role("complementary", name="What to do next")
    page.keyboard.press("1")
    expect(rail.get_by_role("radio", name="Yes Low contrast")).to_be_checked()
    rail.get_by_label("Comment").fill("Lamp 3 was replaced. 照明を交換")
    rail.get_by_label("Your name").fill("Sato")
    rail.get_by_role("button", name="Save, and retrain").click()
    expect(page.get_by_role("status")).to_contain_text("The retraining is on its way")
    (verdict,) = reviewed.verdicts(MODE_ID)
    assert (verdict.judgement, verdict.comment) == (Judgement.CONFIRM, "Lamp 3 was replaced. 照明を交換")
    expect(rail.get_by_role("region", name="Retraining")).to_contain_text("Running")

    page.evaluate("window.notReloaded = true")
    done = replace(a_retraining("r-1", MODE_ID), model_hash=MODEL.model_hash, candidate_hash="9f" * 32)
    candidate = replace(MODEL, model_hash="9f" * 32, parent_hash=MODEL.model_hash)
    reviewed.add_retraining(replace(done, decision=Decision.ACCEPTED), candidate)
    workbench.end(MODE_ID, "Completed", "All states completed.")
    offer = rail.get_by_role("region", name="Candidate")
    expect(offer).to_contain_text("model v2", timeout=10_000)
    expect(offer.get_by_label("Your name")).to_have_value("Sato")  # remembered
    assert page.evaluate("window.notReloaded")
    offer.get_by_label("Why promote it").fill("mends the lamp")
    offer.get_by_role("button", name="Promote").click()
    expect(page.get_by_role("status")).to_contain_text("The candidate is the deployed model now")
    assert reviewed.model().model_hash == "9f" * 32

    rail.get_by_text("Roll back").click()
    rail.get_by_label("Why, in a sentence").fill("worse on line 2")
    rail.get_by_role("button", name="Go back to the model before").click()
    expect(page.get_by_role("status")).to_contain_text("The model before is deployed again.")
    assert reviewed.model().model_hash == MODEL.model_hash


def test_what_counts_is_on_the_first_screen(address: str, page: Page, reviewed: Store) -> None:
    """Cause, pictures, verdict and start, without scrolling: on a desk, and on a tablet."""
    for width, height in ((1280, 800), (820, 1180)):
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{address}/modes/{MODE_ID}")
        seen = [
            page.get_by_role("heading", level=1),
            page.locator(".triptych img").first,
            page.get_by_role("radio").first,
            page.get_by_role("button", name="Save, and retrain"),
        ]
        for each in seen:
            box = each.bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= height
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_guide_is_a_click_away_and_fits_a_phone(address: str, page: Page, store: Store) -> None:
    page.goto(address)
    page.get_by_role("link", name="Guide").click()
    page.get_by_role("link", name="Retraining and the gate").click()
    page.get_by_role("link", name="What does the gate ask?").click()
    expect(page.get_by_role("heading", name="What does the gate ask?")).to_be_in_viewport()
    page.get_by_role("article").get_by_role("link", name="models").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Models")
    page.set_viewport_size({"width": 420, "height": 800})
    for name in TOPICS:
        page.goto(f"{address}/guide/{name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 420, name


def test_a_choice_of_another_cause_is_the_answer(address: str, page: Page, reviewed: Store) -> None:
    page.goto(f"{address}/modes/{MODE_ID}")
    page.get_by_label("what it is").select_option("dust")
    page.get_by_label("Your name").fill("Sato")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Your verdict is saved.")
    (verdict,) = reviewed.verdicts(MODE_ID)
    assert (verdict.judgement, verdict.cause) == (Judgement.OTHER_CAUSE, "dust")


@pytest.mark.parametrize("slow", [False, True])
def test_a_picture_is_zoomed_with_its_original_and_its_heat_map(
    address: str, page: Page, reviewed: Store, workspace: Workspace, slow: bool
) -> None:
    """By mouse and by keys alone, under the page's policy; also where the program is there last."""
    if slow:
        page.route("**/photoswipe.esm.min.js", arrive_late)
    first, second, *_ = sorted(with_originals(reviewed, workspace), key=lambda error: -error.margin)
    page.goto(f"{address}/modes/{MODE_ID}/pictures")
    link = page.locator("a[data-original]").first
    link.focus()
    page.keyboard.press("Enter")
    shown = page.locator(".pswp__item[aria-hidden=false] img.pswp__img:not(.pswp__img--placeholder)")
    caption = page.locator(".pswp__caption")
    expect(link).to_have_attribute("data-width", "320")  # known once it is loaded; it is laid out anew then
    expect(shown).to_have_js_property("naturalWidth", 320)
    expect(shown).to_have_attribute("src", f"/modes/{MODE_ID}/errors/{first.row}/original.png")
    expect(caption).to_contain_text(f"row {first.row}: {first.true_label} taken for {first.predicted_label}")
    box = shown.bounding_box()
    assert box is not None
    assert round(box["width"] / box["height"], 1) == 1.6  # as the original is, not as the model sees it
    page.keyboard.press("h")
    expect(shown).to_have_attribute("src", f"/modes/{MODE_ID}/errors/{first.row}/heat.png")
    expect(caption).to_contain_text("red: where filter layer2:17 answers")
    expect(page.get_by_role("button", name="Heat map (h)")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowRight")
    expect(caption).to_contain_text(f"row {second.row}")
    expect(shown).to_have_attribute("src", f"/modes/{MODE_ID}/errors/{second.row}/heat.png")
    page.get_by_role("button", name="Heat map (h)").click()
    expect(shown).to_have_attribute("src", f"/modes/{MODE_ID}/errors/{second.row}/original.png")
    page.keyboard.press("Escape")
    expect(page.locator(".pswp")).to_have_count(0)


def arrive_late(route: Route) -> None:
    time.sleep(1)
    route.continue_()


def with_originals(store: Store, workspace: Workspace) -> list[LoggedError]:
    """Give the errors of the first failure mode images of 320 x 200 pixels and heat maps; return them."""
    night = store.night(NIGHT_ID)
    image = np.random.default_rng(0).integers(0, 255, (200, 320, 3)).astype(np.uint8)
    answer = np.zeros((12, 12), np.uint8)
    answer[4:8, 2:9] = 255
    errors = []
    for error in night.modes[0].errors:
        original = workspace.root / "logged" / f"{error.row}.png"
        write_image(original, image)
        heat = workspace.night_folder(NIGHT_ID) / "heat" / f"{error.row}.png"
        write_image(heat, answer)
        where = workspace.relative(heat)
        errors.append(replace(error, image_path=str(original), heat=where, heat_filter="layer2:17"))
    modes = (replace(night.modes[0], errors=tuple(errors)), *night.modes[1:])
    store.finish_night(replace(night, modes=modes))
    return errors


def test_the_report_opens_under_both_policies(address: str, page: Page, reviewed: Store) -> None:
    page.goto(f"{address}/nights")
    page.get_by_role("link", name="Report").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("10 errors")
    page.wait_for_load_state("load")
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    # The style inside the file is in force, so the hash in its policy is right.
    assert page.evaluate("getComputedStyle(document.querySelector('.gallery')).display") == "grid"


PATHS = (
    *("/", "/nights", f"/nights/{NIGHT_ID}", "/models", "/candidates", "/manager", "/poc", "/nope"),
    "/search?q=contrast",
    *(f"/modes/{MODE_ID}{tab}" for tab in ("", "/pictures", "/evidence", "/recipe", "/history")),
    *(f"/modes/{WITHHELD_ID}", "/guide", "/guide/night", "/guide/settings", "/guide/recipes"),
)


@pytest.mark.parametrize(("width", "scheme", "language"), [(1280, "light", "en"), (820, "dark", "ja")])
def test_no_page_keeps_anybody_out(
    address: str,
    browser: Browser,
    reviewed: Store,
    width: int,
    scheme: Literal["light", "dark"],
    language: str,
) -> None:
    """By axe-core's rules: contrast, names, order, roles."""
    plant = open_workspace(reviewed.path.parent)
    begin(plant, Begun(started=date(2026, 7, 1), folder=plant.root))
    found: dict[tuple[str, str], str] = {}
    with browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        locale=language,
        bypass_csp=True,  # which keeps axe's script out, too
    ) as context:
        page = context.new_page()
        for path in PATHS:
            page.goto(address + path)
            violations = Axe().run(page).response["violations"]
            found |= {(path, each["id"]): each["nodes"][0]["html"] for each in violations}
    assert found == {}


@pytest.mark.parametrize(("width", "scheme", "language"), [(1280, "light", "en"), (820, "dark", "ja")])
def test_somebody_logs_in_and_nobody_is_kept_out_by_the_page(
    browser: Browser,
    workspace: Workspace,
    workbench: Workbench,
    reviewed: Store,
    tmp_path: Path,
    cheap_passwords: None,
    width: int,
    scheme: Literal["light", "dark"],
    language: str,
) -> None:
    """By https, with the keyboard alone, from a link to the page that it names; axe-core looks on."""
    complaints: list[str] = []
    with (
        served_for_others(workspace, workbench, certified(tmp_path)) as dashboard,
        browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            locale=language,
            ignore_https_errors=True,
        ) as context,
        browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            locale=language,
            ignore_https_errors=True,
            bypass_csp=True,  # which keeps axe's script out, too
        ) as looked_at,
    ):
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(f"{dashboard.url}/modes/{MODE_ID}/pictures?kind=escape")
        page.keyboard.type("Reviewer")
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{dashboard.url}/modes/{MODE_ID}/pictures?kind=escape")
        page.goto(f"{dashboard.url}/modes/{MODE_ID}")
        page.keyboard.press("1")
        page.locator("form[data-keys] button").click()
        expect(page.get_by_role("status")).to_be_visible()
        page.goto(f"{dashboard.url}/account")
        page.locator("form[action='/logout'] button").click()
        expect(page).to_have_url(f"{dashboard.url}/login")
        page.go_back()
        page.reload()
        expect(page.locator("#password")).to_be_visible()
        found = _violations(looked_at.new_page(), dashboard.url)
    assert [verdict.reviewer for verdict in reviewed.verdicts(MODE_ID)] == ["reviewer"]
    assert Event.LOGGED_OUT in [entry.event for entry in entries(dashboard.book, 9)]
    assert complaints == []
    assert found == {}


def _violations(page: Page, url: str) -> dict[tuple[str, str], str]:
    """What axe-core finds on the pages that only those see who log in."""
    found: dict[tuple[str, str], str] = {}
    for path in ("/login?next=/access", "/access", "/account", f"/modes/{MODE_ID}", "/nope"):
        page.goto(url + path)
        violations = Axe().run(page).response["violations"]
        found |= {(path, each["id"]): each["nodes"][0]["html"] for each in violations}
        if "/login" in path:
            page.fill("#name", "engineer")
            page.fill("#password", PASSWORD)
            page.keyboard.press("Enter")
            page.wait_for_url(f"{url}/access")
    return found
