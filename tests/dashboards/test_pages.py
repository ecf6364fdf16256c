"""What the pages show, and how they say that something is wrong."""

import html
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from dashboards import manager
from dashboards import modes as modes_pages
from dashboards import nights as nights_pages
from dashboards.app import create_app
from dashboards.retraining import RetrainingRun
from inspection.findings import (
    Accuracy,
    Decision,
    Judgement,
    LogSetAside,
    NightState,
    RecipeStep,
    Retraining,
    Verdict,
)
from inspection.inputs.images import write_image
from inspection.language import gettext, speaking
from inspection.models.promotion import promote
from inspection.nights.night import INTERRUPTED
from inspection.nights.poc import Begun, begin
from inspection.workspace import store as store_module
from inspection.workspace.folder import Workspace
from inspection.workspace.jobs import announced, begin_step
from inspection.workspace.lease import lease
from inspection.workspace.settings import Settings
from inspection.workspace.store import Store
from tests.dashboards.conftest import BEGUN, Visitor, Workbench, served
from tests.dashboards.hand_made import (
    GONE,
    HOSTILE,
    MODE_ID,
    MODEL,
    NIGHT_ID,
    STARTED,
    WITHHELD_ID,
    make_night,
)
from tests.inspection.workspace.processes import held, writing
from tests.inspection.workspace.records import a_retraining


def words(page: str) -> str:
    """What a person reads: no tags, single spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_an_empty_store_teaches_the_next_command(visitor: Visitor, store: Store) -> None:
    assert "No night has run yet" in visitor.get("/").text
    assert "<code>fmi night " in visitor.get("/").text
    assert "No model is registered yet" in visitor.get("/models").text


@pytest.mark.usefixtures("reviewed")
@pytest.mark.parametrize("page", ["/", "/nights", "/nights/20260705-0a1b2c3d"])
def test_a_night_that_was_killed_does_not_stay_running(
    visitor: Visitor, store: Store, workspace: Workspace, page: str
) -> None:
    """One that a process runs does: it holds the lease of its log."""
    night = make_night(workspace)
    begun = replace(night, night_id="20260705-0a1b2c3d", log_sha256="c" * 64, modes=(), set_aside=())
    store.start_night(replace(begun, state=NightState.RUNNING, finished_at=None, unclustered=(), gone=()))
    with lease(workspace.leases, f"night-{'c' * 16}"):
        assert "its process was ended" not in visitor.get(page).text
        assert store.night(begun.night_id).state is NightState.RUNNING
    assert INTERRUPTED in words(visitor.get(page).text)
    assert store.night(begun.night_id).state is NightState.FAILED


@pytest.mark.usefixtures("reviewed")
def test_the_nights_list_causes_beside_controls(visitor: Visitor) -> None:
    text = words(visitor.get("/nights").text)
    assert (
        "2026-07-04 02:00 UTC finished Report 10 errors in 1,351 rows of defects.csv , 3 rows set aside"
        in text
    )
    assert (
        "Low contrast: 0.55 x 6 4 escapes 2 overkills growing from 2 contrast 94 % 85 % 57 % no verdict –"
        in text
    )
    labels = "Check the labels: pit taken for scratch 3 confusions new check the labels 21 % 33 % withheld"
    assert f"{labels} 29 % no verdict –" in text


@pytest.mark.usefixtures("reviewed")
def test_titles_and_refusals_speak_the_readers_language(visitor: Visitor) -> None:
    listed = words(visitor.get("/nights?lang=ja").text)
    assert "ラベルの確認: pitをscratchと誤判定" in listed
    assert "taken for" not in listed
    refused = visitor.post(f"/modes/{MODE_ID}/verdicts", answer="yes", reviewer="佐藤", csrf="old")
    assert "このフォームは古くなっている" in words(refused.text)


def test_the_newest_night_comes_first_and_states_are_told(
    visitor: Visitor, workspace: Workspace, store: Store
) -> None:
    night = replace(make_night(workspace), modes=(), unclustered=())
    later = STARTED + timedelta(days=1)
    store.finish_night(night)
    store.finish_night(
        replace(night, night_id="b", started_at=later, state=NightState.FAILED, message="start `fmi serve`")
    )
    page = visitor.get("/nights").text
    assert page.index("2026-07-05 02:00") < page.index("2026-07-04 02:00")
    assert "start <code>fmi serve</code>" in page
    assert "The night failed before it was done." not in page


def test_many_nights_are_listed_page_by_page(
    visitor: Visitor, workspace: Workspace, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nights_pages, "NIGHTS_LISTED", 2)
    night = replace(make_night(workspace), modes=(), unclustered=(), gone=())
    for day in range(3):
        store.finish_night(replace(night, night_id=f"n{day}", started_at=STARTED + timedelta(days=day)))

    newest = visitor.get("/nights").text
    (older,) = re.findall(r'href="(/nights\?before=[^"]+)">Older nights', newest)
    rest = visitor.get(older).text

    assert re.findall(r'href="/nights/([^"]+)"', newest) == ["n2", "n1"]
    assert re.findall(r'href="/nights/([^"]+)"', rest) == ["n0"]
    assert "Older nights" not in rest
    assert "There is no older night." in visitor.get("/nights?before=n0").text


@pytest.mark.usefixtures("reviewed")
def test_a_night_stands_beside_the_one_before_or_another(
    visitor: Visitor, workspace: Workspace, store: Store
) -> None:
    night = make_night(workspace)
    known = night.modes[0]
    last = replace(known, mode_id="last-1", errors=known.errors[:1] * 3, previous_errors=None)
    strange = replace(known, mode_id="last-2", lineage="strange", errors=known.errors[:1], filters=())
    for name, modes, day in (("oldest", (), 2), ("last", (last, strange), 1)):
        earlier = replace(night, modes=modes, unclustered=(), gone=(), errors_read=7 * day)
        store.finish_night(replace(earlier, night_id=name, started_at=STARTED - timedelta(days=day)))

    def rows(page: str) -> list[str]:
        found = re.search(r'id="beside".*?<tbody>(.*?)</tbody>', page, re.DOTALL)
        assert found
        return [words(row) for row in found[1].split("</tr>") if row.strip()]

    beside = rows(visitor.get(f"/nights/{NIGHT_ID}").text)
    assert len(beside) == 2 + len(night.modes) + 1
    assert {row.rsplit(maxsplit=1)[-1] for row in beside[:-2]} == {"steady", "new", "gone"}
    assert words(f"All errors 7 {night.errors_read}") == beside[-2]
    oldest = rows(visitor.get(f"/nights/{NIGHT_ID}?beside=oldest").text)
    assert [row.rsplit(maxsplit=1)[-1] for row in oldest[:-2]] == ["new"] * len(night.modes)
    assert 'id="beside"' not in visitor.get("/nights/oldest").text
    assert visitor.get(f"/nights/{NIGHT_ID}?beside=nobody").status_code == 404


def test_the_newest_verdict_is_the_badge(visitor: Visitor, reviewed: Store) -> None:
    for judgement, hour in ((Judgement.CONFIRM, 8), (Judgement.OTHER_CAUSE, 9)):
        given_at = datetime(2026, 7, 4, hour, tzinfo=UTC)
        reviewed.add_verdict(Verdict(MODE_ID, judgement, "", "Sato", given_at))
    text = words(visitor.get("/nights").text)
    assert "85 % 57 % other cause –" in text
    assert "other cause cause claimed" in words(visitor.get(f"/nights/{NIGHT_ID}").text)


@pytest.mark.usefixtures("reviewed")
def test_a_night_lists_its_failure_modes_and_each_has_its_evidence(visitor: Visitor) -> None:
    page = visitor.get(f"/nights/{NIGHT_ID}").text
    text = words(page)
    assert "10 errors: 4 escapes, 2 overkills and 4 confusions." in text
    assert text.index("Low contrast: 0.55 x") < text.index("Check the labels: pit taken for scratch")
    assert text.index("Check the labels: pit taken") < text.index("Set aside, and why")
    assert f"Gone since the last night: {GONE}" in text
    assert "1 error: too few shifted the same filters" in text
    assert f'src="/artifacts/{NIGHT_ID}/lone-0.png"' in page
    evidence = visitor.get(f"/modes/{MODE_ID}/evidence").text
    assert "layer2 20 of 128 85 % 57 % 31 % +28 (+12 to +41) 3 % 1.42 holds" in words(evidence)
    assert f'src="/artifacts/{NIGHT_ID}/primitive-17-1.png"' in evidence
    assert "withheld-17-3.png" not in evidence
    assert "data:image" not in page + evidence


@pytest.mark.usefixtures("reviewed")
def test_suspect_labels_are_shown_where_the_labels_are_the_cause(visitor: Visitor) -> None:
    page = visitor.get(f"/modes/{WITHHELD_ID}").text
    section = page[page.index("<h2>Labels to check") :]
    assert re.findall(r'src="([^"]+)"', section)[:2] == [
        f"/artifacts/{NIGHT_ID}/confusion-{number}.png" for number in (2, 0)
    ]
    assert "label pit model says scratch score 0.91" in words(section)
    claimed = words(visitor.get(f"/modes/{MODE_ID}").text)
    assert "Labels to check" not in claimed
    assert "growing from 2 to 6" in claimed


@pytest.mark.usefixtures("reviewed")
def test_every_picture_of_a_page_is_there(visitor: Visitor) -> None:
    expected = {"": 3, "/pictures": 6, "/evidence": 6 + 2 * 8, "/recipe": 4, "/history": 0}
    for tab, count in expected.items():
        sources = set(re.findall(r'src="(/artifacts/[^"]+)"', visitor.get(f"/modes/{MODE_ID}{tab}").text))
        assert len(sources) == count, tab
        for source in sources:
            answer = visitor.get(source)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
            assert answer.content.startswith(b"\x89PNG")


# --- the first screen of a failure mode ---


@pytest.mark.usefixtures("reviewed")
def test_the_first_screen_says_what_how_sure_and_what_to_do(visitor: Visitor) -> None:
    page = visitor.get(f"/modes/{MODE_ID}").text
    text = words(page)
    assert "<h1>Low contrast: 0.55 x</h1>" in page
    assert "6 of the night's 10 errors. Check for haze, stray light and a dirty lens" in text
    assert (
        "How sure fair Explains 94 % of what moved the blamed filters; logs without a change reach 12 %"
        in text
    )
    assert "Open: these errors do not tell low contrast, gamma apart" in text
    assert "scratch → good 4" in text
    assert re.findall(r'<li class="(\w+)"', page)[:5] == ["done", "now", "todo", "todo", "todo"]
    assert '<option value="gamma">' in page
    assert '<option value="contrast">' not in page  # what it is said to be already


@pytest.mark.usefixtures("reviewed")
def test_pictures_are_filtered_sorted_and_paged(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/modes/{MODE_ID}/pictures"

    def rows(query: str) -> list[int]:
        return [int(row) for row in re.findall(r'name="rows" value="(\d+)"', visitor.get(path + query).text)]

    assert len(rows("")) == 6
    assert len(rows("?true=scratch&said=good")) == 4
    assert rows("?kind=overkill&sort=row") == sorted(rows("?kind=overkill"))
    assert rows("?true=nothing") == []
    assert rows("?sort=strange&page=99") == rows("")
    monkeypatch.setattr(modes_pages, "PICTURES_SHOWN", 4)
    assert [len(rows(f"?page={page}")) for page in (1, 2, 3)] == [4, 2, 2]
    assert rows("?page=1") + rows("?page=2") == rows("?page=1") + rows("?page=9")


def test_the_recipe_is_shown_and_sent(visitor: Visitor, reviewed: Store, workspace: Workspace) -> None:
    missing = visitor.get(f"/modes/{MODE_ID}/recipe.yaml")
    assert missing.status_code == 404
    path = workspace.root / "artifacts" / NIGHT_ID / "recipe-1.json"
    path.write_text("transform: <b>", encoding="utf-8")
    assert "transform: &lt;b&gt;" in visitor.get(f"/modes/{MODE_ID}/recipe").text
    sent = visitor.get(f"/modes/{MODE_ID}/recipe.yaml")
    assert (sent.text, sent.headers["content-type"].split(";")[0]) == ("transform: <b>", "application/yaml")
    assert visitor.get(f"/modes/{WITHHELD_ID}/recipe.yaml").status_code == 404


def test_a_texture_gets_a_name_that_shows_where_its_filter_does(
    visitor: Visitor, reviewed: Store, workspace: Workspace
) -> None:
    path = f"/modes/{MODE_ID}/evidence"
    form = {"filter": "layer2:17", "reviewer": "Sato", "csrf": visitor.token(path)}
    answer = visitor.post(f"/modes/{MODE_ID}/names", name=" roller <marks> ", **form)
    assert answer.headers["location"] == f"{path}?saved=name#filter-layer2%3A17"
    page = words(visitor.get(path).text)
    assert "roller <marks> layer2:17" in page
    assert "Named by Sato, " in page
    visitor.post(f"/modes/{MODE_ID}/names", name="oil film", **form)
    assert "oil film layer2:17" in words(visitor.get(path).text)
    assert "Called before: roller <marks>." in words(visitor.get(path).text)
    visitor.post(f"/modes/{MODE_ID}/names", name="", **form)
    assert "Its name was taken back by Sato, " in words(visitor.get(path).text)
    strange = visitor.post(f"/modes/{MODE_ID}/names", name="x", **form | {"filter": "layer9:1"})
    assert strange.status_code == 422
    assert "none of this failure mode's blamed filters" in words(strange.text)
    assert len(reviewed.filter_names(MODEL.model_hash)["layer2:17"]) == 3


def report_once(workspace: Workspace, told: str) -> str:
    """What a person reads in the night's report, once it tells something."""
    path = workspace.report_path(NIGHT_ID)
    deadline = time.monotonic() + 30
    while told not in (page := words(path.read_text(encoding="utf-8"))):
        assert time.monotonic() < deadline, f"{told!r} is not in the report"
        time.sleep(0.05)
    return page


def test_the_report_is_written_again_after_every_decision(
    visitor: Visitor, reviewed: Store, workspace: Workspace
) -> None:
    token = visitor.token(f"/modes/{MODE_ID}/evidence")
    form = {"reviewer": "Sato", "csrf": token}
    assert "Nobody has given a verdict yet." in report_once(workspace, "What was decided")
    visitor.post(f"/modes/{MODE_ID}/verdicts", answer="yes", comment="lamp 3", **form)
    assert "confirmed Sato" in report_once(workspace, "lamp 3")
    visitor.post(f"/modes/{MODE_ID}/names", filter="layer2:17", name="roller marks", **form)
    report_once(workspace, "roller marks layer2:17")
    done = replace(a_retraining("r-1", MODE_ID), model_hash=MODEL.model_hash, candidate_hash="9f" * 32)
    candidate = replace(MODEL, model_hash="9f" * 32, parent_hash=MODEL.model_hash)
    reviewed.add_retraining(replace(done, decision=Decision.ACCEPTED), candidate)
    visitor.post(f"/models/{'9f' * 32}/promotion", reason="mends it", **form)
    assert "lamp 3" in report_once(workspace, "model v2 (deployed)")
    back = {"reason": "no", "author": "Sato", "deployed": "9f" * 32}
    visitor.client.post("/api/models/rollback", json=back, headers={"X-Fmi-Client": "mes"})
    report_once(workspace, "model v2 (retired)")


def test_a_report_that_cannot_be_written_stops_no_decision_and_no_other_report(
    visitor: Visitor, reviewed: Store, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    path = workspace.report_path(NIGHT_ID)
    path.unlink()
    path.mkdir()
    form = {"reviewer": "Sato", "csrf": visitor.token(f"/modes/{MODE_ID}")}
    visitor.post(f"/modes/{MODE_ID}/verdicts", answer="yes", **form)
    deadline = time.monotonic() + 30
    while "could not be written again" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.05)
    assert f"the report of night {NIGHT_ID} could not be written again" in caplog.text
    assert len(reviewed.verdicts(MODE_ID)) == 1
    path.rmdir()
    visitor.post(f"/modes/{MODE_ID}/verdicts", answer="unsure", **form)
    while not path.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    report_once(workspace, "to investigate Sato")


def test_the_recipe_names_the_textures_that_it_lays_over_the_images(
    visitor: Visitor, reviewed: Store
) -> None:
    night = reviewed.night(NIGHT_ID)
    recipe = night.modes[0].recipe
    assert recipe is not None
    step = RecipeStep("texture primitive", 0.2, 1.6, "", ("layer2:17", "layer2:93"))
    mode = replace(night.modes[0], recipe=replace(recipe, steps=((step,),), share=0.125))
    reviewed.finish_night(replace(night, modes=(mode, night.modes[1])))
    token = visitor.token(f"/modes/{MODE_ID}/evidence")
    form = {"filter": "layer2:93", "name": "roller marks", "reviewer": "Sato", "csrf": token}
    visitor.post(f"/modes/{MODE_ID}/names", **form)
    said = "texture primitive 0.2 to 1.6 times as found (of layer2:17, layer2:93 “roller marks”)"
    for tab in ("recipe", "evidence"):
        assert f"{said}, on 12.5 % of the images" in words(visitor.get(f"/modes/{MODE_ID}/{tab}").text)


@pytest.mark.usefixtures("reviewed")
def test_a_picture_as_it_was_logged_and_its_heat_map(
    visitor: Visitor, reviewed: Store, workspace: Workspace
) -> None:
    night = reviewed.night(NIGHT_ID)
    deep = np.full((40, 3000), 2**11, np.uint16)  # of a camera of 12 bits, which the file does not say
    path, heat = workspace.root / "deep.png", workspace.night_folder(NIGHT_ID) / "heat.png"
    assert cv2.imwrite(str(path), deep)
    answer = np.zeros((2, 30), np.uint8)
    answer[:, 20:] = 255
    write_image(heat, answer)
    first, *others = night.modes[0].errors
    drawn = replace(first, heat=workspace.relative(heat), heat_filter="layer2:17", image_path=str(path))
    mode = replace(night.modes[0], errors=(drawn, *others))
    reviewed.finish_night(replace(night, modes=(mode, night.modes[1])))
    reviewed.add_model(replace(MODEL, bit_depth=12), [])

    def sent(name: str) -> np.ndarray:
        answer = visitor.get(f"/modes/{MODE_ID}/errors/{first.row}/{name}.png")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), answer.text
        return np.asarray(cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR))

    image = sent("original")
    assert (image.shape, int(image[0, 0, 0])) == ((21, 1600, 3), 128)  # as bright as the night has read it
    hot = sent("heat")
    assert hot[10, 100].tolist() == [128, 128, 128]
    assert hot[10, 1500].tolist() == [40, 39, 214]  # red, in OpenCV's order
    assert visitor.get(f"/modes/{MODE_ID}/errors/{others[0].row}/heat.png").status_code == 404
    gone = visitor.get(f"/modes/{MODE_ID}/errors/{others[0].row}/original.png")
    assert (gone.status_code, "cannot be read any more" in gone.text) == (404, True)
    for missing in (f"/modes/{MODE_ID}/errors/99999/original.png", "/modes/no/errors/1/heat.png"):
        assert visitor.get(missing).status_code == 404
    assert visitor.get(f"/modes/{MODE_ID}/errors/x/original.png").status_code == 422


def test_a_heat_map_is_read_from_the_artifacts_alone(
    visitor: Visitor, reviewed: Store, workspace: Workspace
) -> None:
    night = reviewed.night(NIGHT_ID)
    write_image(workspace.root.parent / "secret.png", np.zeros((2, 2), np.uint8))
    places = ("../secret.png", "artifacts/../../secret.png", str(workspace.root.parent / "secret.png"))
    for place in places:
        errors = tuple(replace(error, heat=place) for error in night.modes[0].errors)
        reviewed.finish_night(replace(night, modes=(replace(night.modes[0], errors=errors),)))
        answer = visitor.get(f"/modes/{MODE_ID}/errors/{errors[0].row}/heat.png")
        assert (answer.status_code, "no heat map" in answer.text) == (404, True), place


@pytest.mark.usefixtures("reviewed")
def test_one_box_finds_nights_failure_modes_and_errors(visitor: Visitor, reviewed: Store) -> None:
    error = reviewed.mode(MODE_ID).errors[0]
    page = visitor.get(f"/search?q=%20{error.inspection_id.lower()}%20").text
    assert f"Found for “{error.inspection_id.lower()}”" in words(page)
    assert f'src="/artifacts/{NIGHT_ID}/escape-0.png"' in page
    assert f'<a href="/modes/{MODE_ID}">Low contrast: 0.55 x</a>' in page
    assert f'value="{error.inspection_id.lower()}"' in page  # the box still holds it
    assert (
        f'<a href="/modes/{MODE_ID}"><b>Low contrast: 0.55 x</b></a>'
        in visitor.get("/search?q=contrast").text
    )
    assert "pit taken for scratch" in words(visitor.get("/search?q=check the labels").text)
    assert f'href="/nights/{NIGHT_ID}"' in visitor.get("/search?q=2026-07-04").text
    assert "Nothing. " in words(visitor.get("/search?q=nope").text)
    assert "Write an inspection id" in words(visitor.get("/search").text)
    for hostile in ("<script>alert(1)</script>", "' OR 1=1 --", "%", "\\", "x" * 5000, "%00", "\U0001f600"):
        answer = visitor.client.get("/search", params={"q": hostile})
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text


@pytest.mark.usefixtures("reviewed")
def test_causes_are_searched_for_in_the_readers_language(visitor: Visitor) -> None:
    with speaking("ja"):
        name = gettext("contrast")
    assert name != "contrast"
    page = visitor.client.get("/search", params={"q": name, "lang": "ja"}).text
    assert f'href="/modes/{MODE_ID}"' in page


# --- the inbox ---


@pytest.mark.usefixtures("reviewed")
def test_the_inbox_holds_what_waits_by_consequence(visitor: Visitor, reviewed: Store) -> None:
    text = words(visitor.get("/").text)
    assert "Inbox 2 wait for you" in text
    assert text.index("Low contrast: 0.55 x") < text.index("Check the labels: pit taken for scratch")
    assert "6 of 10 errors 4 escapes 2 overkills · growing · 2026-07-04 02:00 UTC · waits for your" in text
    assert "Nothing runs now." in text
    for mode_id in (MODE_ID, WITHHELD_ID):
        reviewed.add_verdict(Verdict(mode_id, Judgement.CONFIRM, "", "Sato", BEGUN))
    assert "Nothing waits for you" in visitor.get("/").text


def test_a_log_that_is_set_aside_waits_until_a_night_has_read_it(visitor: Visitor, reviewed: Store) -> None:
    log = LogSetAside("front", "0c" * 32, "/plant/<b>.csv", "no column image_path", BEGUN)
    reviewed.set_log_aside(log)
    assert "Line front: a log is set aside /plant/<b>.csv" in words(visitor.get("/").text)
    night = replace(reviewed.night(), night_id="20260705-00000000", log_sha256=log.log_sha256, modes=())
    reviewed.finish_night(replace(night, of_line="front"))
    assert "is set aside" not in visitor.get("/").text


def test_the_night_of_another_line_hides_no_failed_one(visitor: Visitor, reviewed: Store) -> None:
    now = reviewed.night()
    failed = replace(now, night_id="20260705-00000000", of_line="rear", modes=(), state=NightState.FAILED)
    reviewed.finish_night(replace(failed, started_at=now.started_at - timedelta(hours=1), message="no disk"))
    inbox = words(visitor.get("/").text)
    assert "Line rear: The night of 2026-07-04" in inbox
    assert "no disk" in inbox
    mended = replace(failed, night_id="20260705-00000001", state=NightState.FINISHED)
    reviewed.finish_night(mended)
    assert "no disk" not in words(visitor.get("/").text)


def test_a_candidate_of_no_failure_mode_waits_too(visitor: Visitor, reviewed: Store) -> None:
    """A night whose errors are all by themselves can be retrained for."""
    done = replace(
        a_retraining("r-1", MODE_ID), mode_ids=(), model_hash=MODEL.model_hash, candidate_hash="9f" * 32,
        notes=("1 logged image gone, and left out: /data/50% light/<b>.png",),
    )  # fmt: skip
    candidate = replace(MODEL, model_hash="9f" * 32, parent_hash=MODEL.model_hash)
    reviewed.add_retraining(replace(done, decision=Decision.ACCEPTED), candidate)
    for path in ("/", "/manager", "/candidates", "/models"):
        assert visitor.get(path).status_code == 200, path
    reviewed.add_retraining(replace(done, mode_ids=(MODE_ID,)), None)
    assert "/data/50% light/&lt;b&gt;.png" in visitor.get(f"/modes/{MODE_ID}/history").text


def test_candidates_wait_until_somebody_decides(visitor: Visitor, reviewed: Store) -> None:
    done = replace(a_retraining("r-1", MODE_ID), model_hash=MODEL.model_hash, candidate_hash="9f" * 32)
    candidate = replace(MODEL, model_hash="9f" * 32, parent_hash=MODEL.model_hash)
    reviewed.add_retraining(replace(done, decision=Decision.ACCEPTED), candidate)
    assert "model v2 waits to be promoted accepted" in words(visitor.get("/").text)
    for number in (1, 2):  # of another line, deployed since
        reviewed.add_model(replace(MODEL, model_hash=f"{number}e" * 32, name="rear", parent_hash=None), [])
    assert "model v2 waits to be promoted accepted" in words(visitor.get("/").text)
    models = words(visitor.get("/models").text)
    assert "Roll rear v2 back to rear v1" in models
    assert "Roll model" not in models
    assert models.count(" deployed registered ") == 2
    assert "Accepted model v2" in words(visitor.get("/candidates").text)
    promote(reviewed, "model v2", "Sato", "mends the lamp")
    assert "waits to be promoted" not in visitor.get("/").text
    assert "Deployed or retired model v2 deployed" in words(visitor.get("/candidates").text)


@pytest.mark.usefixtures("reviewed")
def test_a_job_is_seen_wherever_it_was_started(visitor: Visitor, workspace: Workspace) -> None:
    leases = workspace.leases
    with lease(leases, "retrain-1"), announced(leases, "retrain-1", "retrain", [MODE_ID], "run"):
        begin_step("Trying recipes", 40)
        assert f'href="/modes/{MODE_ID}"' in visitor.get("/jobs").text
        inbox = words(visitor.get("/").text)
        assert f"Retraining {MODE_ID} Trying recipes 0 %" in inbox
        page = words(visitor.get(f"/modes/{MODE_ID}").text)
        assert "3 Retraining Trying recipes" in page
        assert "Is that what happened?" not in page
        token = visitor.token(f"/modes/{WITHHELD_ID}")
        sent = visitor.post(f"/modes/{MODE_ID}/retraining", csrf=token)
        assert sent.status_code == 409
    assert "Nothing runs now." in words(visitor.get("/jobs").text)


@pytest.mark.usefixtures("reviewed")
def test_the_language_is_chosen_or_the_browsers(visitor: Visitor) -> None:
    def spoken(path: str = "/", accepted: str = "") -> str:
        page = visitor.client.get(path, headers={"Accept-Language": accepted}).text
        return str(re.findall(r'<html lang="(\w+)">', page)[0])

    assert [spoken(accepted=each) for each in ("", "ja", "de,ja;q=0.8,en;q=0.5", "de", "x;q=y")] == [
        *("en", "ja", "ja", "en", "en")
    ]
    assert spoken("/?lang=ja") == "ja"
    assert spoken(accepted="en") == "ja"  # it was chosen
    assert spoken("/?lang=en") == "en"
    assert spoken("/?lang=xx") == "en"


@pytest.mark.usefixtures("reviewed")
def test_a_hostile_class_name_stays_text(visitor: Visitor) -> None:
    for path in (f"/nights/{NIGHT_ID}", f"/modes/{MODE_ID}", f"/modes/{MODE_ID}/pictures", "/models"):
        page = visitor.get(path).text
        own = ['<script src="/static/dashboard.js" defer>']
        zoom = ['<script type="module" src="/static/pictures.js">'] if path.endswith("/pictures") else []
        assert re.findall(r"<script[^>]*>", page) == own + zoom
        assert HOSTILE in words(page)


def test_the_models_say_where_they_come_from(visitor: Visitor, reviewed: Store) -> None:
    candidate = replace(MODEL, model_hash="9f" * 32, parent_hash=MODEL.model_hash)
    reviewed.add_retraining(a_retraining("r9", MODE_ID), candidate)
    text = words(visitor.get("/models").text)
    assert "model v2 9f9f9f9f9f9f candidate registered 2026-06-01 09:30 UTC" in text
    assert "model v1 ab12ab12ab12 deployed registered 2026-06-01 09:30 UTC" in text
    assert "model v1 registered" in text  # in the trail
    assert "input 96 × 96 pixels, colour" in text
    assert "fine-tuned from model v1 ab12ab12ab12 SHA-256 " + "9f" * 32 in text


def test_a_retraining_shows_before_after_and_why(visitor: Visitor, reviewed: Store) -> None:
    accuracies = (
        Accuracy("holdout", 60, 4, 51, 48, 1, 1e-9, 0.66, 0.88),
        Accuracy("clean validation", 600, 582, 580, 5, 7, 0.774, -0.012, 0.006, {"pit": (100, 96, 95)}),
    )
    done = BEGUN + timedelta(minutes=7)
    reasons = ("clean accuracy falls by 0.3 points",)
    retraining = Retraining(
        "r1",
        (MODE_ID,),
        MODEL.model_hash,
        "9f" * 32,
        BEGUN,
        done,
        Decision.ACCEPTED,
        reasons,
        accuracies,
        logged_images=20,
    )
    reviewed.add_retraining(retraining, replace(MODEL, model_hash="9f" * 32))
    text = words(visitor.get(f"/modes/{MODE_ID}/history").text)
    assert "2026-07-04 08:22 UTC accepted candidate 9f9f9f9f9f9f from ab12ab12ab12" in text
    assert "20 logged images added, 7 min 00 s clean accuracy falls by 0.3 points" in text
    assert "holdout 60 7 % 85 % +78 (+66 to +88) 48 1 p < 0.001" in text
    assert "clean validation 600 97 % 97 % −0.3 (−1.2 to +0.6) 5 7 p = 0.77" in text
    assert "clean validation pit 100 96 % 95 %" in text
    assert "no verdict accepted" in words(visitor.get("/nights").text)


@pytest.mark.usefixtures("reviewed")
def test_the_fragment_asks_often_only_while_a_run_is_live(visitor: Visitor, workbench: Workbench) -> None:
    workbench.start(MODE_ID)
    live = visitor.get(f"/modes/{MODE_ID}/next").text
    workbench.end(MODE_ID, "Failed", "no memory left")
    ended = visitor.get(f"/modes/{MODE_ID}/next").text
    assert 'data-every="3"' in live
    assert "Running It waits for the worker" in words(live)
    assert 'data-every="20"' in ended
    assert "The last run ended without a result: no memory left" in words(ended)
    history = words(visitor.get(f"/modes/{MODE_ID}/history").text)
    assert "Failed 2026-07-04 08:15 UTC no memory left run-1" in history
    assert "<html" not in ended


@pytest.mark.usefixtures("reviewed")
def test_a_page_stays_readable_without_prefect(visitor: Visitor, workbench: Workbench) -> None:
    workbench.unreachable = "Prefect cannot be reached: start `fmi serve`"
    answer = visitor.get(f"/modes/{MODE_ID}")
    assert answer.status_code == 200
    assert "Prefect cannot be reached: start <code>fmi serve</code>" in answer.text
    assert 'value="retrain" disabled aria-describedby="blocked">' in answer.text


@pytest.mark.parametrize(
    ("state", "live"),
    [("Scheduled", True), ("Late", True), ("Running", True), ("Completed", False), ("Crashed", False)],
)
def test_which_runs_may_still_change(state: str, live: bool) -> None:
    assert RetrainingRun("r", state, None, "").live is live


# --- problems ---


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nope", "There is no page /nope here."),
        ("/nights/2026", "There is no night 2026 in this workspace."),
        ("/nights?before=2026", "There is no night 2026 in this workspace."),
        ("/modes/x-1", "There is no failure mode x-1 in this workspace."),
        ("/reports/x", "There is no report of night x."),
    ],
)
def test_what_is_not_there_is_said_kindly(visitor: Visitor, path: str, message: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 404
    assert message in words(answer.text)
    assert "To the inbox" in answer.text


def test_an_unusable_store_says_what_to_do(visitor: Visitor, store: Store) -> None:
    store.path.unlink()
    answer = visitor.get("/")
    assert answer.status_code == 503
    assert "Make one with <code>fmi init</code>." in answer.text


@pytest.mark.usefixtures("reviewed")
def test_a_short_id_of_a_night_is_no_address(visitor: Visitor) -> None:
    answer = visitor.get("/nights/2026-07")
    assert answer.status_code == 404
    assert "There is no night 2026-07 in this workspace." in words(answer.text)


# --- beside a writer ---

PAGES = ("/", f"/nights/{NIGHT_ID}", f"/modes/{MODE_ID}", f"/modes/{MODE_ID}/history", "/models")


def test_readers_beside_a_writer_get_their_pages(visitor: Visitor, reviewed: Store) -> None:
    expected = {path: visitor.get(path).status_code for path in PAGES}
    with held(reviewed.path), ThreadPoolExecutor(8) as threads:
        begun = time.monotonic()
        answers = list(threads.map(lambda path: visitor.get(path).status_code, PAGES * 4))
        assert time.monotonic() - begun < 10  # today's wait for one page
    assert answers == [expected[path] for path in PAGES * 4] == [200] * 20


def test_a_page_of_an_older_store_says_so(visitor: Visitor, reviewed: Store) -> None:
    assert "This is the store of" not in words(visitor.get("/").text)
    with writing(reviewed.path, MODE_ID):
        late = words(visitor.get(f"/modes/{MODE_ID}/history").text)
    assert re.search(
        r"This is the store of \d{4}-\d\d-\d\d [\d:]+ UTC, without what came since: .* is held by", late
    )
    assert "None yet. Verdicts are only ever added" in late
    soon = words(visitor.get(f"/modes/{MODE_ID}/history").text)
    assert "This is the store of" not in soon
    assert "other cause Berg" in soon


def test_an_own_verdict_is_on_the_next_page_whoever_writes_then(visitor: Visitor, reviewed: Store) -> None:
    path = f"/modes/{MODE_ID}"
    sent = visitor.post(
        f"{path}/verdicts", csrf=visitor.token(path), answer="yes", reviewer="Aoki", comment="lamp 3"
    )
    assert sent.status_code == 303
    with held(reviewed.path):
        assert "2 Reviewed confirm, Aoki" in words(visitor.get(path).text)
        assert "confirmed cause claimed" in words(visitor.get(f"/nights/{NIGHT_ID}").text)
    assert [verdict.comment for verdict in reviewed.verdicts(MODE_ID)] == ["lamp 3"]


def test_a_verdict_that_cannot_be_written_says_why(
    visitor: Visitor, reviewed: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "WAIT_SECONDS", 0.1)
    path = f"/modes/{MODE_ID}"
    token = visitor.token(path)
    with held(reviewed.path) as holder:
        sent = visitor.post(f"{path}/verdicts", csrf=token, answer="yes", reviewer="Aoki", comment="lost?")
    assert sent.status_code == 503
    assert f"(PID {holder.pid}) and did not come free within 0.1 s. Wait for that program" in words(sent.text)
    assert "lost?" not in visitor.get(f"{path}/history").text


@pytest.mark.usefixtures("reviewed")
@pytest.mark.parametrize(("language", "said"), [("en", "Something went wrong"), ("ja", "問題が発生しました")])
def test_a_mistake_of_ours_shows_no_traceback(
    visitor: Visitor, workbench: Workbench, language: str, said: str
) -> None:
    workbench.started = {MODE_ID: None}  # type: ignore[dict-item]
    answer = visitor.get(f"/modes/{MODE_ID}?lang={language}")
    assert answer.status_code == 500
    assert said in answer.text
    assert "TypeError" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_dashboard_loads_no_heavy_part() -> None:
    heavy = "('torch', 'torchvision', 'albumentations', 'prefect')"
    code = f"import sys, dashboards.app, dashboards.serve; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_manager_reads_what_it_cost_and_what_to_do(
    visitor: Visitor, reviewed: Store, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No night has finished in this time." in words(visitor.get("/manager").text)
    monkeypatch.setattr(manager, "DAYS", 36500)
    text = words(visitor.get("/manager").text)
    assert "1 night, 10 errors. Defects passed as good: 4. Good parts rejected: 2." in text
    assert "No price is set." in text
    assert "Low contrast: 0.55 x 6 4 growing no verdict Check for haze" in text
    assert "What we recommend Low contrast: 0.55 x : Check for haze" in text
    priced = Settings(worth={"escape_price": 200, "overkill_price": 3, "currency": "EUR"})
    desk = create_app(replace(workspace, settings=priced), reviewed, Workbench())
    with served(desk) as address:
        page = words(httpx.get(f"{address}/manager").text)
    assert "EUR 806 Assumed: 200 for a defect passed as good and 3 for a good part rejected" in page


def test_the_first_month_is_a_page_once_it_has_begun(
    visitor: Visitor, reviewed: Store, workspace: Workspace, tmp_path: Path
) -> None:
    answer = visitor.get("/poc")
    assert answer.status_code == 404
    assert "<code>fmi poc FOLDER</code> begins one" in answer.text
    assert 'href="/poc"' not in visitor.get("/manager").text
    begin(workspace, Begun(started=date(2026, 7, 1), folder=tmp_path, asked="<b>Why?</b>"))
    page = visitor.get("/poc").text
    assert "&lt;b&gt;Why?&lt;/b&gt;" in page
    assert f'href="/modes/{MODE_ID}"' in page
    assert "2 findings are right" in words(page)
    assert 'href="/poc"' in visitor.get("/manager").text
    reviewed.add_verdict(Verdict(MODE_ID, Judgement.CONFIRM, "", "Mori", datetime.now(UTC)))
    assert "1 finding is right" in words(visitor.get("/poc").text)
    assert "今お願いしたいこと" in visitor.get("/poc?lang=ja").text


@pytest.mark.usefixtures("reviewed")
def test_every_page_speaks_japanese(visitor: Visitor) -> None:
    tabs = [f"/modes/{MODE_ID}{tab}" for tab in ("/pictures", "/evidence", "/recipe", "/history", "/next")]
    for path in (*PAGES, *tabs, f"/modes/{WITHHELD_ID}", "/nights", "/candidates", "/manager", "/nope"):
        answer = visitor.client.get(path, headers={"Accept-Language": "ja"})
        assert answer.status_code == (404 if path == "/nope" else 200), path
        assert re.search("[ぁ-ん]", words(answer.text)), path
