"""Forms that only our own pages can send, files that stay inside their folder, and the headers of answers."""

import http.client
import re
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest

from inspection.findings import Decision, Judgement
from inspection.models.promotion import promote
from inspection.workspace.folder import Workspace
from inspection.workspace.store import Store
from tests.dashboards.conftest import Visitor, Workbench
from tests.dashboards.hand_made import MODE_ID, MODEL, NIGHT_ID, WITHHELD_ID
from tests.dashboards.test_pages import words
from tests.inspection.workspace.records import a_retraining

VERDICTS = f"/modes/{MODE_ID}/verdicts"
RETRAINING = f"/modes/{MODE_ID}/retraining"
PATHS_OUTSIDE = (
    "/artifacts/../fmi.toml",
    "/artifacts/%2e%2e/secret.png",
    "/artifacts/..%2fsecret.png",
    "/artifacts/..%5csecret.png",
    "/artifacts//etc/hostname",
    "/artifacts/link.png",
    "/artifacts/note.txt",
    "/artifacts/a%00.png",
    "/artifacts/",
    "/reports/..%2ffmi",
    "/reports/%2e%2e",
    "/static/../app.py",
    "/static/%2e%2e/app.py",
)


def raw(address: str, path: str) -> tuple[int, bytes]:
    """Ask for a path as it stands, without a client tidying it up."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


# --- verdicts ---


def test_a_verdict_is_kept_and_shown(visitor: Visitor, reviewed: Store) -> None:
    token = visitor.token(f"/modes/{MODE_ID}")
    answer = visitor.post(
        VERDICTS, csrf=token, answer="no", no="dust", reviewer="  Sato 佐藤 ", comment="<b>oil\nmist</b>"
    )
    assert (answer.status_code, answer.headers["location"]) == (303, f"/modes/{MODE_ID}?saved=verdict")
    (verdict,) = reviewed.verdicts(MODE_ID)
    assert (verdict.judgement, verdict.cause) == (Judgement.OTHER_CAUSE, "dust")
    assert verdict.reviewer == "Sato 佐藤"
    page = visitor.get(answer.headers["location"]).text
    assert "Your verdict is saved." in page
    assert "By the newest verdict the recipe of this failure mode is left out" in page
    history = visitor.get(f"/modes/{MODE_ID}/history").text.replace("\r", "")
    assert "&lt;b&gt;oil\nmist&lt;/b&gt;" in history


@pytest.mark.parametrize(
    ("mode_id", "form", "judgement", "cause"),
    [
        (MODE_ID, {"answer": "yes"}, Judgement.CONFIRM, ""),
        (MODE_ID, {"answer": "but", "but": "gamma"}, Judgement.CONFIRM, "gamma"),
        (MODE_ID, {"answer": "no", "no": ""}, Judgement.OTHER_CAUSE, ""),
        (MODE_ID, {"answer": "no", "no": "relabel"}, Judgement.RELABEL, ""),
        (MODE_ID, {"answer": "no", "no": "new kind of defect"}, Judgement.NEW_DEFECT, ""),
        (MODE_ID, {"answer": "no", "no": "remove"}, Judgement.REMOVE, ""),
        (MODE_ID, {"answer": "unsure", "no": "dust"}, Judgement.INVESTIGATE, ""),
        (WITHHELD_ID, {"answer": "yes"}, Judgement.RELABEL, ""),  # yes, the labels are wrong
    ],
)
def test_what_an_answer_means(
    visitor: Visitor, reviewed: Store, mode_id: str, form: dict[str, str], judgement: Judgement, cause: str
) -> None:
    token = visitor.token(f"/modes/{mode_id}")
    assert visitor.post(f"/modes/{mode_id}/verdicts", csrf=token, reviewer="Sato", **form).status_code == 303
    (verdict,) = reviewed.verdicts(mode_id)
    assert (verdict.judgement, verdict.cause) == (judgement, cause)


@pytest.mark.parametrize(
    "form",
    [
        {"answer": "perhaps", "reviewer": "Sato"},
        {"answer": "yes", "reviewer": "   "},
        {"answer": "yes", "reviewer": "S" * 81},
        {"answer": "yes", "reviewer": "Sato", "comment": "c" * 2001},
        {"reviewer": "Sato"},
    ],
    ids=["unknown answer", "no name", "long name", "long comment", "no answer"],
)
def test_an_unusable_form_changes_nothing(visitor: Visitor, reviewed: Store, form: dict[str, str]) -> None:
    answer = visitor.post(VERDICTS, csrf=visitor.token(f"/modes/{MODE_ID}"), **form)
    assert answer.status_code == 422
    assert re.search("Nothing was changed. Go back and mend it.|it can be yes, but, no, unsure", answer.text)
    assert reviewed.verdicts(MODE_ID) == []


def test_a_form_larger_than_ours_is_refused(visitor: Visitor, reviewed: Store) -> None:
    token = visitor.token(f"/modes/{MODE_ID}")
    answer = visitor.post(VERDICTS, csrf=token, answer="yes", reviewer="Sato", comment="c" * 70_000)
    assert answer.status_code == 413
    assert reviewed.verdicts(MODE_ID) == []


# --- who may send forms ---


def test_the_token_is_left_for_no_other_site(visitor: Visitor, reviewed: Store) -> None:
    cookie = visitor.get(f"/modes/{MODE_ID}").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


@pytest.mark.parametrize("given", ["", "wrong", "佐藤"])
def test_a_form_without_the_token_is_refused(visitor: Visitor, reviewed: Store, given: str) -> None:
    visitor.get(f"/modes/{MODE_ID}")
    answer = visitor.post(VERDICTS, csrf=given, answer="yes", reviewer="Sato")
    assert answer.status_code == 403
    assert "out of date" in answer.text
    assert reviewed.verdicts(MODE_ID) == []


def test_a_form_without_the_cookie_is_refused(visitor: Visitor, reviewed: Store) -> None:
    token = visitor.token(f"/modes/{MODE_ID}")
    visitor.client.cookies.clear()
    assert visitor.post(VERDICTS, csrf=token, answer="yes", reviewer="Sato").status_code == 403
    assert visitor.post(VERDICTS, csrf="", answer="yes", reviewer="Sato").status_code == 403
    assert reviewed.verdicts(MODE_ID) == []


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_form_of_another_site_is_refused(visitor: Visitor, reviewed: Store, origin: str) -> None:
    form = {"csrf": visitor.token(f"/modes/{MODE_ID}"), "answer": "yes", "reviewer": "Sato"}
    answer = visitor.client.post(VERDICTS, data=form, headers={"Origin": origin})
    assert answer.status_code == 403
    assert "came from another site" in answer.text
    assert reviewed.verdicts(MODE_ID) == []


def test_only_names_of_this_machine_are_answered(address: str) -> None:
    answer = httpx.get(f"{address}/healthz", headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert httpx.get(f"{address}/healthz", headers={"Host": "localhost:8321"}).json() == {"status": "ok"}


# --- retraining ---


def test_retraining_starts_once(visitor: Visitor, reviewed: Store, workbench: Workbench) -> None:
    token = visitor.token(f"/modes/{MODE_ID}")
    first = visitor.post(RETRAINING, csrf=token)
    again = visitor.post(RETRAINING, csrf=token)
    assert (first.status_code, again.status_code) == (303, 409)
    assert "A retraining of this failure mode is on its way already." in again.text
    assert [run.flow_run_id for run in workbench.runs(MODE_ID)] == ["run-1"]


def test_retraining_starts_again_after_the_end(
    visitor: Visitor, reviewed: Store, workbench: Workbench
) -> None:
    token = visitor.token(f"/modes/{MODE_ID}")
    visitor.post(RETRAINING, csrf=token)
    workbench.end(MODE_ID, "Cancelled", "")
    assert visitor.post(RETRAINING, csrf=token).status_code == 303
    assert [run.flow_run_id for run in workbench.runs(MODE_ID)] == ["run-2", "run-1"]


def test_without_a_recipe_the_logged_images_compete(
    visitor: Visitor, reviewed: Store, workbench: Workbench
) -> None:
    path = f"/modes/{WITHHELD_ID}"
    answer = visitor.post(f"{path}/retraining", csrf=visitor.token(path))
    assert answer.status_code == 303
    assert len(workbench.started[WITHHELD_ID]) == 1
    workbench.end(WITHHELD_ID, "Failed", "no memory left")
    visitor.post(f"{path}/verdicts", csrf=visitor.token(path), answer="unsure", reviewer="Sato")
    page = visitor.get(path).text
    assert "The filters of this failure mode are withheld" in page
    assert "no memory left" in page


def test_a_verdict_and_a_retraining_are_one_click(
    visitor: Visitor, reviewed: Store, workbench: Workbench
) -> None:
    form = {"answer": "yes", "reviewer": "Sato", "then": "retrain"}
    first = visitor.post(VERDICTS, csrf=visitor.token(f"/modes/{MODE_ID}"), **form)
    assert first.headers["location"] == f"/modes/{MODE_ID}?saved=retraining"
    assert len(workbench.started[MODE_ID]) == 1
    again = visitor.post(VERDICTS, csrf=visitor.token(f"/modes/{MODE_ID}"), **form)
    assert again.headers["location"] == f"/modes/{MODE_ID}?saved=verdictonly"
    page = words(visitor.get(again.headers["location"]).text)
    assert "Your verdict is saved. No retraining was started: A retraining of this" in page
    assert (len(workbench.started[MODE_ID]), len(reviewed.verdicts(MODE_ID))) == (1, 2)


def test_a_retraining_is_cancelled_from_its_page(
    visitor: Visitor, reviewed: Store, workbench: Workbench
) -> None:
    token = visitor.token(f"/modes/{MODE_ID}")
    assert visitor.post(f"{RETRAINING}/stop", csrf=token).status_code == 409
    visitor.post(RETRAINING, csrf=token)
    stopped = visitor.post(f"{RETRAINING}/stop", csrf=token)
    assert stopped.headers["location"] == f"/modes/{MODE_ID}?saved=stopped"
    assert workbench.runs(MODE_ID)[0].state == "Cancelled"


def test_without_prefect_the_form_says_what_to_start(
    visitor: Visitor, reviewed: Store, workbench: Workbench
) -> None:
    token = visitor.token(f"/modes/{MODE_ID}")
    workbench.unreachable = "start `fmi serve`"
    answer = visitor.post(RETRAINING, csrf=token)
    assert answer.status_code == 409
    assert "start <code>fmi serve</code>" in answer.text


# --- promotion ---


@pytest.fixture
def judged(reviewed: Store) -> Store:
    """The store after a retraining whose candidate the gate accepted, and one that it rejected."""
    done = replace(a_retraining("r-1", MODE_ID), model_hash=MODEL.model_hash, candidate_hash="9f" * 32)
    candidate = replace(MODEL, model_hash="9f" * 32, parent_hash=MODEL.model_hash)
    reviewed.add_retraining(replace(done, decision=Decision.ACCEPTED), candidate)
    worse = replace(done, retraining_id="r-0", candidate_hash="77" * 32, decision=Decision.REJECTED)
    worse = replace(worse, started_at=done.started_at - timedelta(days=1))
    reviewed.add_retraining(worse, replace(candidate, model_hash="77" * 32))
    return reviewed


def test_a_candidate_is_promoted_and_rolled_back_for_a_reason(visitor: Visitor, judged: Store) -> None:
    path = f"/modes/{MODE_ID}"
    assert "Why promote it, in a sentence" in visitor.get(path).text
    form = {"reason": "mends the lamp", "reviewer": "Sato", "back": MODE_ID}
    sent = visitor.post(f"/models/{'9f' * 32}/promotion", csrf=visitor.token(path), **form)
    assert sent.headers["location"] == f"{path}?saved=promoted"
    assert judged.model().model_hash == "9f" * 32
    page = words(visitor.get(sent.headers["location"]).text)
    assert "model v2 is deployed" in page
    assert "Sato: mends the lamp" in page
    back = visitor.post(
        "/models/rollback", csrf=visitor.token(path), reason="worse", reviewer="Aoki", deployed="9f" * 32
    )
    assert back.headers["location"] == "/models?saved=rolledback"
    assert judged.model().model_hash == MODEL.model_hash
    assert [entry.author for entry in judged.promotions()][1:] == ["Sato", "Aoki"]


def test_a_rollback_is_of_the_model_that_the_page_has_shown(visitor: Visitor, judged: Store) -> None:
    """Somebody else promoted another meanwhile, or was faster."""
    promote(judged, "v2", "Sato", "mends the lamp")
    form = {"reason": "worse", "reviewer": "Aoki", "deployed": MODEL.model_hash}
    late = visitor.post("/models/rollback", csrf=visitor.token("/models"), **form)
    assert late.status_code == 409
    assert "meanwhile model v2 was deployed" in late.text
    assert judged.model().model_hash == "9f" * 32


@pytest.mark.parametrize("cause", ["50% darker", "<form action=/x>", "x" * 99])
def test_a_cause_is_one_that_there_is(visitor: Visitor, reviewed: Store, cause: str) -> None:
    for form in ({"answer": "no", "no": cause}, {"answer": "but", "but": cause}):
        sent = visitor.post(VERDICTS, csrf=visitor.token(f"/modes/{MODE_ID}"), reviewer="Sato", **form)
        assert sent.status_code == 422
    assert reviewed.verdicts(MODE_ID) == []


def test_what_the_gate_rejected_is_promoted_anyway_or_not_at_all(visitor: Visitor, judged: Store) -> None:
    path, form = f"/models/{'77' * 32}/promotion", {"reason": "we know better", "reviewer": "Sato"}
    refused = visitor.post(path, csrf=visitor.token("/models"), **form)
    assert refused.status_code == 409
    assert "the gate says of" in refused.text
    assert judged.model().model_hash == MODEL.model_hash
    assert visitor.post(path, csrf=visitor.token("/models"), anyway="true", **form).status_code == 303
    assert judged.model().model_hash == "77" * 32


@pytest.mark.parametrize("form", [{"reason": "  ", "reviewer": "Sato"}, {"reason": "so", "reviewer": " "}])
def test_no_promotion_without_a_reason_and_a_name(
    visitor: Visitor, judged: Store, form: dict[str, str]
) -> None:
    sent = visitor.post(f"/models/{'9f' * 32}/promotion", csrf=visitor.token("/models"), **form)
    assert sent.status_code == 422
    assert judged.model().model_hash == MODEL.model_hash


@pytest.mark.parametrize("path", [f"/models/{'9f' * 32}/promotion", "/models/rollback", f"{RETRAINING}/stop"])
def test_these_need_the_token_too(visitor: Visitor, judged: Store, path: str) -> None:
    assert visitor.post(path, csrf="", reason="x", reviewer="y").status_code == 403
    assert judged.model().model_hash == MODEL.model_hash


# --- labels ---


def test_ticked_pictures_are_relabelled(visitor: Visitor, reviewed: Store) -> None:
    path = f"/modes/{MODE_ID}/pictures"
    rows = [int(row) for row in re.findall(r'name="rows" value="(\d+)"', visitor.get(path).text)]
    assert len(rows) == 6
    form = {
        "csrf": visitor.token(path),
        "rows": [f"{row}" for row in rows[:2]],
        "label": "pit",
        "reviewer": "S",
    }
    origin = {"Origin": str(visitor.client.base_url).rstrip("/")}
    sent = visitor.client.post(f"/modes/{MODE_ID}/labels", data=form, headers=origin)
    assert sent.headers["location"].startswith(f"{path}?saved=labels")
    assert {key: word.label for key, word in reviewed.relabels([MODE_ID]).items()} == {
        (MODE_ID, row): "pit" for row in rows[:2]
    }
    assert words(visitor.get(sent.headers["location"]).text).count("relabelled: pit") == 2


@pytest.mark.parametrize("form", [{"rows": "9999", "label": "pit"}, {"label": "crack"}, {"label": "pit"}])
def test_labels_that_cannot_be_are_refused(visitor: Visitor, reviewed: Store, form: dict[str, str]) -> None:
    path = f"/modes/{MODE_ID}/pictures"
    row = re.findall(r'name="rows" value="(\d+)"', visitor.get(path).text)[0]
    given = ({"rows": row} if form == {"label": "crack"} else {}) | form
    sent = visitor.post(f"/modes/{MODE_ID}/labels", csrf=visitor.token(path), reviewer="S", **given)
    assert sent.status_code == 422
    assert reviewed.relabels([MODE_ID]) == {}


def test_retraining_needs_the_token_too(visitor: Visitor, reviewed: Store, workbench: Workbench) -> None:
    assert visitor.post(RETRAINING, csrf="").status_code == 403
    assert workbench.started == {}


# --- files ---


def test_no_path_leads_out_of_its_folder(address: str, workspace: Workspace) -> None:
    secret = workspace.root / "secret.png"
    secret.write_bytes(b"secret")
    (workspace.root / "fmi.html").write_bytes(b"secret")
    (workspace.root / "artifacts" / "note.txt").write_bytes(b"secret")
    (workspace.root / "artifacts" / "link.png").symlink_to(secret)
    answers = {path: raw(address, path) for path in PATHS_OUTSIDE}
    assert {path: status for path, (status, _) in answers.items() if status != 404} == {}
    assert [path for path, (_, content) in answers.items() if content == b"secret"] == []


def test_the_report_is_served_with_its_own_policy(visitor: Visitor, reviewed: Store) -> None:
    answer = visitor.get(f"/reports/{NIGHT_ID}")
    assert answer.status_code == 200
    assert "10 errors:" in answer.text.replace("\u00a0", " ")
    assert answer.headers["content-security-policy"].startswith(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:;"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_allow_no_inline_script_or_style(visitor: Visitor, reviewed: Store) -> None:
    answer = visitor.get(f"/modes/{MODE_ID}")
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "style=" not in answer.text
    assert "<style" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


def test_the_styles_and_script_are_served(visitor: Visitor) -> None:
    assert visitor.get("/static/findings.css").headers["content-type"].startswith("text/css")
    assert ".review {" in visitor.get("/static/dashboard.css").text
    assert "data-refresh" in visitor.get("/static/dashboard.js").text
