"""Forms that only our own pages can send, files that stay inside their folder, and the headers of answers."""

import http.client
from urllib.parse import urlsplit

import httpx
import pytest

from inspection.findings import Judgement
from inspection.workspace.folder import Workspace
from inspection.workspace.store import Store
from tests.dashboards.conftest import Visitor, Workbench
from tests.dashboards.hand_made import MODE_ID, NIGHT_ID, WITHHELD_ID

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
        VERDICTS, csrf=token, judgement="reject", reviewer="  Sato 佐藤 ", comment="<b>labels\nswapped</b>"
    )
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"/modes/{MODE_ID}?saved=verdict#verdicts",
    )
    (verdict,) = reviewed.verdicts(MODE_ID)
    assert (verdict.judgement, verdict.reviewer) == (Judgement.OTHER_CAUSE, "Sato 佐藤")
    page = visitor.get(answer.headers["location"]).text
    assert "Your verdict is saved." in page
    assert "&lt;b&gt;labels\r\nswapped&lt;/b&gt;" in page or "&lt;b&gt;labels\nswapped&lt;/b&gt;" in page
    assert "A reviewer rejected this failure mode" in page


@pytest.mark.parametrize(
    "form",
    [
        {"judgement": "perhaps", "reviewer": "Sato"},
        {"judgement": "confirm", "reviewer": "   "},
        {"judgement": "confirm", "reviewer": "S" * 81},
        {"judgement": "confirm", "reviewer": "Sato", "comment": "c" * 2001},
        {"reviewer": "Sato"},
    ],
    ids=["unknown judgement", "no name", "long name", "long comment", "no judgement"],
)
def test_an_unusable_form_changes_nothing(visitor: Visitor, reviewed: Store, form: dict[str, str]) -> None:
    answer = visitor.post(VERDICTS, csrf=visitor.token(f"/modes/{MODE_ID}"), **form)
    assert answer.status_code == 422
    assert "Nothing was changed. Go back and mend it." in answer.text
    assert reviewed.verdicts(MODE_ID) == []


def test_a_form_larger_than_ours_is_refused(visitor: Visitor, reviewed: Store) -> None:
    token = visitor.token(f"/modes/{MODE_ID}")
    answer = visitor.post(VERDICTS, csrf=token, judgement="confirm", reviewer="Sato", comment="c" * 70_000)
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
    answer = visitor.post(VERDICTS, csrf=given, judgement="confirm", reviewer="Sato")
    assert answer.status_code == 403
    assert "out of date" in answer.text
    assert reviewed.verdicts(MODE_ID) == []


def test_a_form_without_the_cookie_is_refused(visitor: Visitor, reviewed: Store) -> None:
    token = visitor.token(f"/modes/{MODE_ID}")
    visitor.client.cookies.clear()
    assert visitor.post(VERDICTS, csrf=token, judgement="confirm", reviewer="Sato").status_code == 403
    assert visitor.post(VERDICTS, csrf="", judgement="confirm", reviewer="Sato").status_code == 403
    assert reviewed.verdicts(MODE_ID) == []


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_form_of_another_site_is_refused(visitor: Visitor, reviewed: Store, origin: str) -> None:
    form = {"csrf": visitor.token(f"/modes/{MODE_ID}"), "judgement": "confirm", "reviewer": "Sato"}
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
    assert "is running already" in again.text
    assert "<code>fmi serve</code> with Ctrl+C, which cancels it" in again.text
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
    page = visitor.get(f"/modes/{WITHHELD_ID}").text
    answer = visitor.post(f"/modes/{WITHHELD_ID}/retraining", csrf=visitor.token(f"/modes/{WITHHELD_ID}"))
    assert "The filters of this failure mode are withheld" in page
    assert answer.status_code == 303
    assert len(workbench.started[WITHHELD_ID]) == 1


def test_without_prefect_the_form_says_what_to_start(
    visitor: Visitor, reviewed: Store, workbench: Workbench
) -> None:
    token = visitor.token(f"/modes/{MODE_ID}")
    workbench.unreachable = "start `fmi serve`"
    answer = visitor.post(RETRAINING, csrf=token)
    assert answer.status_code == 503
    assert "start <code>fmi serve</code>" in answer.text


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
