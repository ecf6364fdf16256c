"""A dashboard that others reach: who is let in, to what, and under which name it is written down."""

import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest

from dashboards.access import BY_ROLE, FOR_ALL
from dashboards.app import create_app
from inspection.access.accounts import change_password, change_role, remove_account
from inspection.access.keys import remove_key
from inspection.access.roles import Role
from inspection.access.trail import Event, entries
from inspection.access.tries import OF_AN_ACCOUNT
from inspection.findings import Decision
from inspection.workspace.folder import Workspace
from inspection.workspace.store import Store
from tests.dashboards.conftest import Visitor, Workbench, served
from tests.dashboards.for_others import (
    PASSWORD,
    Certified,
    ForOthers,
    addresses_of,
    certified,
    filled_in,
    let_in,
    served_for_others,
)
from tests.dashboards.hand_made import MODE_ID, MODEL
from tests.inspection.workspace.records import a_retraining

pytestmark = pytest.mark.usefixtures("cheap_passwords")
VERDICTS = f"/modes/{MODE_ID}/verdicts"
VERDICT = {"answer": "yes", "reviewer": "somebody else"}
OURS = {"X-Fmi-Client": "mes"}


@pytest.fixture(scope="session")
def https(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return certified(tmp_path_factory.mktemp("https"))


@pytest.fixture
def dashboard(
    reviewed: Store, workspace: Workspace, workbench: Workbench, https: Certified
) -> Iterator[ForOthers]:
    with served_for_others(workspace, workbench, https) as dashboard:
        yield dashboard


@pytest.fixture
def browser(dashboard: ForOthers) -> Iterator[httpx.Client]:
    with dashboard.browser() as client:
        yield client


def token(browser: httpx.Client, path: str) -> str:
    (found,) = set(re.findall(r'name="csrf" value="([^"]+)"', browser.get(path).text))
    return str(found)


def log_in(browser: httpx.Client, name: str, password: str = PASSWORD, next: str = "/") -> httpx.Response:
    form = {"csrf": token(browser, "/login"), "name": name, "password": password, "next": next}
    return browser.post("/login", data=form)


def as_role(dashboard: ForOthers, role: Role) -> "httpx.Client":
    return httpx.Client(
        base_url=dashboard.url,
        verify=dashboard.trusted,
        cookies=dashboard.session(role.value),
        headers={"Origin": dashboard.url},
    )


# --- every address, every role ---


def test_every_address_has_a_role_and_every_role_an_address_that_there_is(dashboard: ForOthers) -> None:
    """Where this fails: `dashboards/access.py` says which role a new address takes, or nobody gets it."""
    told = [*FOR_ALL, *(address for addresses in BY_ROLE.values() for address in addresses)]
    assert addresses_of(dashboard.app) - set(told) == {
        "GET /static/findings.css"
    }  # of GET /static/{path:path}
    assert set(told) - addresses_of(dashboard.app) == set()
    assert len(told) == len(set(told))


def test_nobody_is_let_in_anywhere_without_logging_in(dashboard: ForOthers, browser: httpx.Client) -> None:
    asked = {address: browser.request(*filled_in(address)) for address in addresses_of(dashboard.app)}
    assert {address for address, answer in asked.items() if let_in(answer)} == {
        *FOR_ALL,
        "GET /static/findings.css",
    }
    changing = {answer.status_code for address, answer in asked.items() if address.startswith("POST /modes")}
    programs = {answer.status_code for address, answer in asked.items() if " /api/" in address}
    assert (changing, programs) == ({401}, {401})


@pytest.mark.parametrize("by_key", [False, True], ids=["a session", "a key"])
@pytest.mark.parametrize("role", list(Role))
def test_each_role_is_let_in_to_what_it_may(dashboard: ForOthers, role: Role, by_key: bool) -> None:
    """By every address, asked with nothing in it, so that nothing changes."""
    key = {"Authorization": f"Bearer {dashboard.keys[role]}"}
    wanted = {*FOR_ALL, "GET /static/findings.css"}
    for each, addresses in BY_ROLE.items():
        if role.includes(each):
            wanted |= {address for address in addresses if " /api/" in address or not by_key}
    with dashboard.browser({} if by_key else dashboard.session(role.value)) as client:
        asked = {
            address: client.request(*filled_in(address), headers=key if by_key else {})
            for address in addresses_of(dashboard.app) - {"POST /logout"}
        }
    found = {address for address, answer in asked.items() if let_in(answer)}
    assert found == wanted - {"POST /logout"}
    assert [address for address, answer in asked.items() if answer.is_server_error] == []


@pytest.mark.parametrize("path", ["/nope", "/docs", "/api/nope", "/models/", "/login/", "/access%2f"])
def test_an_address_without_a_role_is_not_there(
    dashboard: ForOthers, browser: httpx.Client, path: str
) -> None:
    assert not let_in(browser.get(path))
    with as_role(dashboard, Role.ENGINEER) as engineer:
        answer = engineer.get(path)
        assert answer.status_code == 404
        assert "There is no page" in answer.text
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            assert engineer.request(method, "/models").status_code == 404


# --- logging in ---


def test_a_browser_logs_in_and_is_where_it_wanted_to_be(browser: httpx.Client) -> None:
    asked = browser.get(f"/modes/{MODE_ID}/pictures?kind=escape&page=2")
    assert asked.status_code == 303
    page = browser.get(asked.headers["location"])
    assert "Running now" not in page.text
    back = re.findall(r'name="next" value="([^"]+)"', page.text)[0].replace("&amp;", "&")
    assert back == f"/modes/{MODE_ID}/pictures?kind=escape&page=2"
    answer = log_in(browser, "Viewer", next=back)
    assert (answer.status_code, answer.headers["location"]) == (303, back)
    assert browser.get(back).status_code == 200


def test_the_cookies_are_for_this_very_dashboard_by_https(browser: httpx.Client) -> None:
    answer = log_in(browser, "viewer")
    session, form = answer.headers.get_list("set-cookie")
    assert session.startswith("__Host-fmi_session=")
    assert form.startswith("__Host-fmi_csrf=")
    for cookie in (session, form):
        assert {"HttpOnly", "Secure", "Path=/"} <= set(cookie.split("; "))
        assert "domain" not in cookie.lower()
    assert "SameSite=lax" in session  # a link in a mail leads to its page
    assert "SameSite=strict" in form


@pytest.mark.parametrize(("name", "password"), [("viewer", "wrong password"), ("nobody", PASSWORD)])
def test_a_wrong_password_is_told_and_nothing_else(browser: httpx.Client, name: str, password: str) -> None:
    answer = log_in(browser, name, password)
    assert answer.status_code == 401
    assert "Name or password is wrong." in answer.text
    assert password not in answer.text
    assert "set-cookie" in answer.headers
    assert "fmi_session" not in answer.headers["set-cookie"]


def test_too_many_tries_are_told(dashboard: ForOthers, browser: httpx.Client) -> None:
    found = [log_in(browser, "viewer", "wrong password").status_code for _ in range(OF_AN_ACCOUNT + 1)]
    assert found == [401] * OF_AN_ACCOUNT + [429]
    assert log_in(browser, "viewer").status_code == 429
    assert log_in(browser, "engineer").status_code == 303


@pytest.mark.parametrize(
    "next",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "", "/a\r\nb: c"],
)
def test_logging_in_leads_to_no_other_site(browser: httpx.Client, next: str) -> None:
    assert log_in(browser, "viewer", next=next).headers["location"] == "/"
    assert 'name="next" value="/"' in browser.get("/login", params={"next": next}).text


def test_a_login_form_of_another_site_is_refused(dashboard: ForOthers, browser: httpx.Client) -> None:
    form = {"csrf": token(browser, "/login"), "name": "viewer", "password": PASSWORD}
    answer = browser.post("/login", data=form, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert f"This dashboard is at {dashboard.url}." in answer.text
    assert browser.post("/login", data=form | {"csrf": "x"}).status_code == 403


# --- until when ---


@pytest.mark.parametrize("end", ["log out", "account removed", "password changed", "never begun"])
def test_a_session_that_has_ended_is_none(dashboard: ForOthers, end: str) -> None:
    with as_role(dashboard, Role.VIEWER) as viewer:
        assert viewer.get("/nights").status_code == 200
        if end == "log out":
            assert (
                viewer.post("/logout", data={"csrf": token(viewer, "/account")}).headers["location"]
                == "/login"
            )
        elif end == "account removed":
            remove_account(dashboard.book, "viewer", "root")
        elif end == "password changed":
            change_password(dashboard.book, "viewer", PASSWORD + "!", "root")
        else:
            viewer.cookies.set("__Host-fmi_session", "x" * 43)
        assert viewer.get("/nights").headers["location"] == "/login?next=/nights"


def test_a_cookie_that_was_kept_is_worth_nothing_after_logging_out(dashboard: ForOthers) -> None:
    cookies = dashboard.session("viewer")
    with dashboard.browser(cookies) as viewer:
        viewer.post("/logout", data={"csrf": token(viewer, "/account")})
    with dashboard.browser(cookies) as thief:
        assert not let_in(thief.get("/nights"))


def test_another_role_counts_at_the_next_request(dashboard: ForOthers) -> None:
    with as_role(dashboard, Role.ENGINEER) as engineer:
        assert engineer.get("/access").status_code == 200
        change_role(dashboard.book, "engineer", Role.VIEWER, "root")
        assert engineer.get("/access").status_code == 403


def test_a_key_that_was_taken_back_is_none(dashboard: ForOthers, browser: httpx.Client) -> None:
    key = {"Authorization": f"Bearer {dashboard.keys[Role.VIEWER]}"}
    assert browser.get("/api/nights", headers=key).status_code == 200
    remove_key(dashboard.book, "viewer", "root")
    answer = browser.get("/api/nights", headers=key)
    assert (answer.status_code, answer.json()["title"]) == (401, "Not logged in")


@pytest.mark.parametrize("given", ["Basic {key}", "{key}", "Bearer", "Bearer {key}x", "Bearer ÿ"])
def test_a_header_that_is_no_key(dashboard: ForOthers, given: str) -> None:
    """Nor does the session count where a program gives a key that is none."""
    header = given.format(key=dashboard.keys[Role.ENGINEER]).encode("latin-1")
    with as_role(dashboard, Role.ENGINEER) as engineer:
        answer = engineer.get("/api/nights", headers=[(b"Authorization", header)])
    assert answer.status_code == 401


# --- under whose name ---


def test_what_is_changed_is_written_down_under_who_is_logged_in(
    dashboard: ForOthers, reviewed: Store, workbench: Workbench
) -> None:
    done = replace(a_retraining("r-1", MODE_ID), model_hash=MODEL.model_hash, candidate_hash="9f" * 32)
    candidate = replace(MODEL, model_hash="9f" * 32, parent_hash=MODEL.model_hash)
    reviewed.add_retraining(replace(done, decision=Decision.ACCEPTED), candidate)
    with as_role(dashboard, Role.ENGINEER) as engineer:
        page = engineer.get(f"/modes/{MODE_ID}").text
        assert "Your name" not in page
        csrf = token(engineer, f"/modes/{MODE_ID}")
        assert engineer.post(VERDICTS, data=VERDICT | {"csrf": csrf, "then": "retrain"}).status_code == 303
        assert len(workbench.started[MODE_ID]) == 1
        form = {"csrf": csrf, "reason": "mends the lamp", "reviewer": "somebody else"}
        assert engineer.post(f"/models/{'9f' * 32}/promotion", data=form).status_code == 303
        row = str(reviewed.mode(MODE_ID).errors[0].row)
        labels = {"csrf": csrf, "rows": row, "label": "pit", "reviewer": "somebody else"}
        assert engineer.post(f"/modes/{MODE_ID}/labels", data=labels).status_code == 303
    assert [verdict.reviewer for verdict in reviewed.verdicts(MODE_ID)] == ["engineer"]
    assert [entry.author for entry in reviewed.promotions()][1:] == ["engineer"]
    assert [word.reviewer for word in reviewed.relabels([MODE_ID]).values()] == ["engineer"]
    told = [(each.who, each.what) for each in entries(dashboard.book, 9) if each.event is Event.CHANGED]
    assert told == [
        ("engineer", f"POST /modes/{MODE_ID}/labels"),
        ("engineer", f"POST /models/{'9f' * 32}/promotion"),
        ("engineer", f"POST /modes/{MODE_ID}/verdicts"),
    ]


def test_a_program_is_written_down_by_its_key(
    dashboard: ForOthers, browser: httpx.Client, reviewed: Store
) -> None:
    headers = OURS | {"Authorization": f"Bearer {dashboard.keys[Role.REVIEWER]}"}
    verdict = {"judgement": "confirm", "reviewer": "somebody else"}
    answer = browser.post(f"/api/modes/{MODE_ID}/verdicts", json=verdict, headers=headers)
    assert (answer.status_code, answer.json()["reviewer"]) == (201, "reviewer (key)")
    assert [each.reviewer for each in reviewed.verdicts(MODE_ID)] == ["reviewer (key)"]
    assert entries(dashboard.book, 1)[0].who == "reviewer (key)"


def test_a_session_changes_nothing_by_the_programs_door_from_another_site(
    dashboard: ForOthers, reviewed: Store
) -> None:
    verdict = {"judgement": "confirm"}
    with as_role(dashboard, Role.REVIEWER) as reviewer:
        path = f"/api/modes/{MODE_ID}/verdicts"
        assert reviewer.post(path, json=verdict).status_code == 422
        evil = OURS | {"Origin": "https://evil.example"}
        assert reviewer.post(path, json=verdict, headers=evil).status_code == 403
    assert reviewed.verdicts(MODE_ID) == []


def test_a_reviewer_starts_no_retraining_with_a_verdict(
    dashboard: ForOthers, reviewed: Store, workbench: Workbench
) -> None:
    with as_role(dashboard, Role.REVIEWER) as reviewer:
        page = reviewer.get(f"/modes/{MODE_ID}").text
        assert "Save, and retrain" not in page
        csrf = token(reviewer, f"/modes/{MODE_ID}")
        answer = reviewer.post(VERDICTS, data=VERDICT | {"csrf": csrf, "then": "retrain"})
        assert answer.status_code == 403
        assert "This takes the role “engineer”, and yours is “reviewer”. Nothing was changed." in answer.text
        assert (reviewed.verdicts(MODE_ID), workbench.started) == ([], {})
        assert reviewer.post(VERDICTS, data=VERDICT | {"csrf": csrf}).status_code == 303


def test_what_a_role_does_not_allow_is_on_record_and_offered_nowhere(dashboard: ForOthers) -> None:
    with as_role(dashboard, Role.VIEWER) as viewer:
        page = viewer.get(f"/modes/{MODE_ID}").text
        assert 'method="post"' not in page.replace('action="/logout"', "")
        assert "A reviewer answers that; you may read." in page
        assert 'type="checkbox"' not in viewer.get(f"/modes/{MODE_ID}/pictures").text
        assert 'method="post"' not in viewer.get("/models").text
        assert 'href="/access"' not in page
        viewer.post(VERDICTS, data=VERDICT)
    (entry,) = entries(dashboard.book, 1)
    assert (entry.event, entry.who, entry.what) == (Event.REFUSED, "viewer", f"POST {VERDICTS}")


# --- one's own account, and the record ---


def test_a_password_is_changed(dashboard: ForOthers) -> None:
    elsewhere = dashboard.session("viewer")
    with as_role(dashboard, Role.VIEWER) as viewer:

        def sent(**form: str) -> httpx.Response:
            given = {"csrf": token(viewer, "/account"), "password": PASSWORD, "new": "a new password", **form}
            return viewer.post("/account/password", data={"again": given["new"], **given})

        refused = [sent(password="wrong password"), sent(again="another password"), sent(new="short")]
        assert [answer.status_code for answer in refused] == [422] * 3
        assert "Name or password is wrong." in refused[0].text
        assert "The new password was not the same twice" in refused[1].text
        assert "12 to 256 characters; this one has 5." in refused[2].text
        answer = sent()
        assert answer.headers["location"] == "/account?saved=password"
        assert "Your password is changed." in viewer.get("/account?saved=password").text
        assert log_in(viewer, "viewer", "a new password").status_code == 303
    with dashboard.browser(elsewhere) as other:
        assert not let_in(other.get("/nights"))


def test_engineers_read_the_record(dashboard: ForOthers) -> None:
    with as_role(dashboard, Role.ENGINEER) as engineer:
        log_in(engineer, "viewer", "wrong password")
        page = engineer.get("/access").text
        assert page.index("wrong password") < page.index("logged in") < page.index("key added")
        assert "engineer: engineer" in page
        (last,) = (
            entry
            for entry in entries(dashboard.book, 99)
            if entry.what == "viewer: viewer" and "key" in entry.event
        )
        older = engineer.get(f"/access?before={last.entry_id}").text
        assert "wrong password" not in older
        assert "account added" in older
    assert [secret for secret in (PASSWORD, *dashboard.keys.values()) if secret in page] == []


# --- which requests are answered at all ---


def test_only_names_of_ours_are_answered(dashboard: ForOthers, browser: httpx.Client) -> None:
    assert browser.get("/healthz", headers={"Host": "evil.example"}).status_code == 400
    assert browser.get("/healthz", headers={"Host": "localhost"}).status_code == 200


def test_without_https_there_is_no_answer(dashboard: ForOthers) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{dashboard.url.replace('https', 'http')}/healthz")


def test_an_old_tls_is_refused(dashboard: ForOthers) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    where = urlsplit(dashboard.url)
    with (
        socket.create_connection((str(where.hostname), int(where.port or 0))) as plain,
        pytest.raises(ssl.SSLError),
    ):
        old.wrap_socket(plain)


def test_a_proxy_on_this_machine_speaks_https_for_it(
    workspace: Workspace, workbench: Workbench, reviewed: Store, dashboard: ForOthers
) -> None:
    """The proxy is known by its address; what it says of who asks is what the record has."""
    url = "https://fmi.plant.example"
    with served(create_app(workspace, reviewed, workbench, url)) as address:
        passed_on = {"Host": "fmi.plant.example", "X-Forwarded-For": "1.2.3.4, 10.0.0.9"}
        with httpx.Client(base_url=address, headers=passed_on) as proxy:
            page = proxy.get("/login")
            cookies = {"Cookie": f"__Host-fmi_csrf={page.cookies['__Host-fmi_csrf']}"}
            csrf = re.findall(r'name="csrf" value="([^"]+)"', page.text)[0]
            form = {"csrf": csrf, "name": "viewer", "password": PASSWORD}
            answer = proxy.post("/login", data=form, headers=cookies | {"Origin": url})
            assert answer.status_code == 303
            assert proxy.post("/login", data=form, headers=cookies | {"Origin": address}).status_code == 403
    assert [(each.event, each.address) for each in entries(dashboard.book, 1)] == [
        (Event.LOGGED_IN, "10.0.0.9")
    ]


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Forwarded-Host"])
def test_without_accounts_no_proxy_is_answered(visitor: Visitor, reviewed: Store, header: str) -> None:
    answer = visitor.client.get("/", headers={header: "10.0.0.9"})
    assert answer.status_code == 403
    assert "served for its own machine alone" in answer.text
    assert visitor.get("/").status_code == 200
    assert visitor.get("/login").status_code == 404


def test_a_file_of_accounts_that_cannot_be_read_lets_nobody_in(dashboard: ForOthers) -> None:
    with as_role(dashboard, Role.ENGINEER) as engineer:
        dashboard.book.path.write_bytes(b"no database" * 99)
        answer = engineer.get("/nights")
        assert answer.status_code == 503
        assert "cannot be used" in answer.text
        assert engineer.get("/healthz").status_code == 200


def test_headers_are_on_every_answer(browser: httpx.Client) -> None:
    for path in ("/login", "/nights", "/api/nights", "/static/dashboard.css"):
        headers = browser.get(path).headers
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"


def test_a_path_is_taken_as_it_is_routed(dashboard: ForOthers) -> None:
    """What looks like an open address and is none stays shut."""
    for path in (
        "//nights",
        "/login%3f/../nights",
        "/static/..%2f..%2fnights",
        "/healthz%23/nights",
        "/login%0a",
    ):
        where = urlsplit(dashboard.url)
        connection = http.client.HTTPSConnection(str(where.hostname), where.port, context=dashboard.trusted)
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status in (303, 404), path
        assert b"Nights" not in answer.read()
        connection.close()
