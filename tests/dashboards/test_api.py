"""The interface for programs: what it answers, what it changes, and who may."""

import io
import json
import math
import time
import zipfile
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from inspection.findings import Decision, Judgement, Pattern
from inspection.workspace.store import Store
from tests.dashboards.conftest import Visitor, Workbench
from tests.dashboards.hand_made import MODE_ID, MODEL, NIGHT_ID, WITHHELD_ID
from tests.inspection.workspace.records import a_retraining

OURS = {"X-Fmi-Client": "mes"}
DAY = timedelta(days=1)
VERDICT = {"judgement": "confirm", "reviewer": "Sato", "comment": "lamp 3"}


def get(visitor: Visitor, path: str) -> Any:
    answer = visitor.get(f"/api{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), answer.text
    return answer.json()


def post(visitor: Visitor, path: str, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    return visitor.client.post(f"/api{path}", json=body, headers=OURS if headers is None else headers)


@pytest.mark.usefixtures("reviewed")
def test_it_answers_what_the_pages_show(visitor: Visitor) -> None:
    inbox = get(visitor, "/inbox")
    assert [each["overview"]["mode_id"] for each in inbox["modes"]] == [MODE_ID, WITHHELD_ID]
    (night,) = get(visitor, "/nights")
    assert (night["night_id"], night["errors_read"], len(night["modes"])) == (NIGHT_ID, 10, 2)
    assert len(get(visitor, f"/nights/{NIGHT_ID}")["modes"]) == 2
    mode = get(visitor, f"/modes/{MODE_ID}")
    assert (mode["diagnosis"]["operation"], len(mode["errors"])) == ("low contrast", 6)
    (model,) = get(visitor, "/models")
    assert (model["model"]["model_hash"], model["state"]) == (MODEL.model_hash, "deployed")
    assert [entry["kind"] for entry in get(visitor, "/promotions")] == ["registered"]
    found = get(visitor, "/search?q=low contrast")
    assert [each["overview"]["mode_id"] for each in found["modes"]] == [MODE_ID]
    for path in (f"/modes/{MODE_ID}/verdicts", f"/modes/{MODE_ID}/retrainings", "/jobs"):
        assert get(visitor, path) == []


@pytest.mark.usefixtures("reviewed")
@pytest.mark.parametrize(
    ("of", "errors"), [(f"nights/{NIGHT_ID}", 10), (f"modes/{MODE_ID}", 6), (f"modes/{WITHHELD_ID}", 3)]
)
def test_errors_are_sent_as_tables_of_other_tools(visitor: Visitor, of: str, errors: int) -> None:
    """From the pages' links, too."""
    name = of.partition("/")[2]
    page = visitor.get(f"/{of}" if of.startswith("nights") else f"/{of}/pictures").text
    for tool in ("fiftyone", "spotlight", "cleanvision"):
        sent = visitor.get(f"/{of}/tables/{tool}.zip")
        assert f'href="/{of}/tables/{tool}.zip"' in page
        assert sent.headers["content-type"] == "application/zip"
        assert sent.headers["content-disposition"] == f'attachment; filename="{name}-{tool}.zip"'
        with zipfile.ZipFile(io.BytesIO(sent.content)) as archive:
            assert f"{name}-{tool}/open.py" in archive.namelist()
        assert visitor.get(f"/api/{of}/tables/{tool}").headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(visitor.get(f"/api/{of}/tables/fiftyone").content)) as archive:
        assert len(json.loads(archive.read(f"{name}-fiftyone/samples.json"))["samples"]) == errors
    assert visitor.get(f"/api/{of}/tables/excel").status_code == 422


@pytest.mark.usefixtures("reviewed")
def test_it_is_described_for_programs(visitor: Visitor) -> None:
    described = get(visitor, "/openapi.json")
    assert all(path.startswith("/api/") for path in described["paths"])
    assert {"/api/inbox", "/api/modes/{mode_id}/verdicts", "/api/models/rollback"} <= set(described["paths"])
    assert all(each.get("description") for path in described["paths"].values() for each in path.values())
    assert {"Night", "FailureMode", "Retraining"} <= set(described["components"]["schemas"])


def test_a_program_reviews_retrains_and_promotes(
    visitor: Visitor, reviewed: Store, workbench: Workbench
) -> None:
    given = post(visitor, f"/modes/{MODE_ID}/verdicts", VERDICT)
    assert given.status_code == 201
    (verdict,) = reviewed.verdicts(MODE_ID)
    assert (verdict.judgement, verdict.reviewer, verdict.comment) == (Judgement.CONFIRM, "Sato", "lamp 3")
    row = reviewed.mode(MODE_ID).errors[0].row
    labels = {"rows": [row], "label": "pit", "reviewer": "Sato"}
    assert post(visitor, f"/modes/{MODE_ID}/labels", labels).status_code == 201
    assert reviewed.relabels([MODE_ID])[MODE_ID, row].label == "pit"
    started = post(visitor, f"/modes/{MODE_ID}/retraining", {})
    assert (started.status_code, started.json()) == (202, {"flow_run_id": "run-1"})
    assert post(visitor, f"/modes/{MODE_ID}/retraining", {}).status_code == 409
    done = replace(a_retraining("r-1", MODE_ID), model_hash=MODEL.model_hash, candidate_hash="9f" * 32)
    candidate = replace(MODEL, model_hash="9f" * 32, parent_hash=MODEL.model_hash)
    reviewed.add_retraining(replace(done, decision=Decision.ACCEPTED), candidate)
    assert [each["retraining_id"] for each in get(visitor, f"/modes/{MODE_ID}/retrainings")] == ["r-1"]
    decision = {"reason": "mends the lamp", "author": "Sato"}
    assert post(visitor, f"/models/{'9f' * 32}/promotion", decision).status_code == 201
    assert reviewed.model().model_hash == "9f" * 32
    back = decision | {"deployed": "9f" * 32}
    assert post(visitor, "/models/rollback", back).json()["model_hash"] == MODEL.model_hash


def test_a_texture_is_named_and_keeps_its_name_on_later_nights(visitor: Visitor, reviewed: Store) -> None:
    given = {"filter": "layer2:17", "name": "roller marks", "author": "Sato"}
    assert post(visitor, f"/modes/{MODE_ID}/names", given).status_code == 201
    assert post(visitor, f"/modes/{MODE_ID}/names", given | {"name": "oil film"}).status_code == 201
    night = reviewed.night(NIGHT_ID)
    reviewed.add_retraining(
        replace(a_retraining("r-1", MODE_ID), model_hash=MODEL.model_hash, candidate_hash="9f" * 32),
        replace(MODEL, model_hash="9f" * 32, parent_hash=MODEL.model_hash),
    )
    later = replace(night, night_id="later", model_hash="9f" * 32, started_at=night.started_at + DAY)
    reviewed.finish_night(replace(later, modes=(replace(night.modes[0], mode_id="later-1"),)))
    until = time.monotonic() + 20
    while visitor.get("/api/modes/later-1").status_code == 404 and time.monotonic() < until:
        time.sleep(0.1)  # the report is written again meanwhile, and holds the store
    names = get(visitor, "/modes/later-1/names")
    assert [(each["name"], each["author"]) for each in names] == [
        ("oil film", "Sato"),
        ("roller marks", "Sato"),
    ]
    assert get(visitor, f"/modes/{WITHHELD_ID}/names") == []


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Fmi-Client": ""}, {**OURS, "Origin": "http://evil.example"}, {**OURS, "Origin": "null"}],
    ids=["no name", "an empty name", "another site", "no site"],
)
def test_pages_of_other_sites_change_nothing(
    visitor: Visitor, reviewed: Store, headers: dict[str, str]
) -> None:
    answer = post(visitor, f"/modes/{MODE_ID}/verdicts", VERDICT, headers)
    assert answer.status_code in (403, 422)
    form = visitor.client.post(f"/api/modes/{MODE_ID}/verdicts", data=VERDICT)
    assert form.status_code == 422
    assert reviewed.verdicts(MODE_ID) == []


@pytest.mark.usefixtures("reviewed")
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/modes/nope/verdicts", VERDICT, 404),
        (f"/modes/{MODE_ID}/verdicts", VERDICT | {"judgement": "perhaps"}, 422),
        (f"/modes/{MODE_ID}/verdicts", VERDICT | {"reviewer": " "}, 422),
        (f"/modes/{MODE_ID}/verdicts", VERDICT | {"cause": "50% darker"}, 422),
        (f"/modes/{MODE_ID}/labels", {"rows": [], "reviewer": "S"}, 422),
        (f"/modes/{MODE_ID}/labels", {"rows": [9999], "label": "", "reviewer": "S"}, 422),
        (f"/modes/{MODE_ID}/labels", {"rows": [9999], "reviewer": "S"}, 422),
        (f"/modes/{MODE_ID}/names", {"filter": "layer9:1", "name": "x", "author": "S"}, 422),
        (f"/modes/{MODE_ID}/names", {"filter": "layer2:17", "name": "x" * 81, "author": "S"}, 422),
        (f"/models/{'00' * 32}/promotion", {"reason": "x", "author": "y"}, 404),
        ("/models/rollback", {"reason": "x", "author": "y", "deployed": "00" * 32}, 409),
        ("/models/rollback", {"reason": " ", "author": "y"}, 422),
    ],
)
def test_what_cannot_be_is_said_as_json(visitor: Visitor, path: str, body: Any, status: int) -> None:
    answer = post(visitor, path, body)
    assert answer.status_code == status
    assert answer.json()["title"]
    assert answer.json()["detail"]


@pytest.mark.usefixtures("reviewed")
@pytest.mark.parametrize("path", ["/nights/nope", "/nights?before=nope", "/modes/nope", "/nope"])
def test_what_is_not_there_is_said_as_json(visitor: Visitor, path: str) -> None:
    answer = visitor.get(f"/api{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert "There is no" in answer.json()["detail"]


def test_a_number_that_cannot_be_said_is_null(visitor: Visitor, reviewed: Store) -> None:
    night = reviewed.night(NIGHT_ID)
    flat = Pattern(math.nan, math.nan, 0.1, 0.1, math.nan, math.nan)
    filters = (replace(night.modes[0].filters[0], pattern=flat),)
    changed = replace(night.modes[0], filters=filters)
    reviewed.finish_night(replace(night, night_id="flat", modes=(replace(changed, mode_id="flat-1"),)))
    pattern = get(visitor, "/modes/flat-1")["filters"][0]["pattern"]
    assert (pattern["wavelength"], pattern["directedness"]) == (None, 0.1)
