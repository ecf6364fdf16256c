"""Where it may be served: for this machine as ever; for others by https, with accounts, and no other way."""

from pathlib import Path
from typing import Any

import pytest

from dashboards.address import Address, address_of
from inspection.access.accounts import add_account
from inspection.access.book import AccessBook
from inspection.access.roles import Role
from inspection.errors import WorkspaceError
from inspection.workspace.folder import Workspace, open_workspace
from tests.dashboards.for_others import PASSWORD, Certified, certified

OWN: dict[str, Any] = {"port": 0, "host": "", "url": "", "certificate": None, "key": None}


@pytest.fixture(scope="session")
def https(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return certified(tmp_path_factory.mktemp("https"))


@pytest.fixture
def with_account(workspace: Workspace, cheap_passwords: None) -> Workspace:
    add_account(AccessBook(workspace.access_path), "Sato", Role.ENGINEER, PASSWORD, "root")
    return workspace


def address(workspace: Workspace, **given: Any) -> Address:
    return address_of(workspace, **OWN | given)


def test_as_it_stands_it_is_this_machines(workspace: Workspace) -> None:
    assert address(workspace) == Address("127.0.0.1", 8321, "", None, None)
    assert address(workspace, port=8000).shown == "http://127.0.0.1:8000"
    assert not workspace.access_path.exists()


def test_with_an_account_and_a_certificate_others_reach_it(with_account: Workspace, https: Certified) -> None:
    pem = {"certificate": https.certificate, "key": https.key}
    assert address(with_account, host="10.0.0.5", **pem).url == "https://10.0.0.5:8321"
    assert address(with_account, host="2001:db8::5", port=443, **pem).url == "https://[2001:db8::5]"
    named = address(with_account, host="0.0.0.0", url="https://FMI.plant.example:443/", **pem)
    assert named.url == "https://fmi.plant.example"
    assert address(with_account, **pem).url == "https://127.0.0.1:8321"


def test_the_settings_say_it_too(with_account: Workspace, https: Certified) -> None:
    (with_account.root / "line.pem").write_bytes(https.certificate.read_bytes())
    text = (
        '[serve]\nhost = "0.0.0.0"\nurl = "https://fmi.plant.example:8321"\n'
        f"certificate = 'line.pem'\nkey = '{https.key}'\n"
    )
    (with_account.root / "fmi.toml").write_text(text, encoding="utf-8")
    found = address(open_workspace(with_account.root))
    assert found == Address(
        "0.0.0.0", 8321, "https://fmi.plant.example:8321", with_account.root / "line.pem", https.key
    )


def test_behind_a_proxy_of_this_machine_it_needs_no_certificate(with_account: Workspace) -> None:
    found = address(with_account, url="https://fmi.plant.example")
    assert (found.host, found.url, found.certificate) == ("127.0.0.1", "https://fmi.plant.example", None)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"host": "0.0.0.0"}, "it needs https: give --certificate and --key"),
        ({"host": "10.0.0.5", "url": "https://fmi.plant.example"}, "it needs https"),
        ({"host": "::", "url": "http://fmi.plant.example"}, "it needs https"),
        ({"host": "localhost"}, "'localhost' is no address"),
        ({"host": "fmi.plant.example"}, "is no address"),
        ({"url": "http://fmi.plant.example"}, "never sent unencrypted"),
        *(
            ({"url": f"https://{url}"}, "give https://, a name")
            for url in ("", "*", "a/b", "a?b", "u@a", "a:x", "a b")
        ),
        ({"certificate": Path("none.pem")}, "a certificate and its key go together"),
        ({"certificate": Path("none.pem"), "key": Path("none.pem")}, "No such file"),
    ],
)
def test_what_is_not_safe_or_cannot_be_is_refused(
    with_account: Workspace, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(WorkspaceError, match=words):
        address(with_account, **given)


def test_at_all_addresses_the_name_has_to_be_said(with_account: Workspace, https: Certified) -> None:
    with pytest.raises(WorkspaceError, match=r"--url https://fmi\.plant\.example:8321"):
        address(with_account, host="0.0.0.0", certificate=https.certificate, key=https.key)


def test_a_key_of_another_certificate_is_refused(
    with_account: Workspace, https: Certified, tmp_path: Path
) -> None:
    other = certified(tmp_path)
    with pytest.raises(WorkspaceError, match="Give PEM files that belong together"):
        address(with_account, certificate=https.certificate, key=other.key)


def test_without_an_account_nobody_is_let_near(workspace: Workspace, https: Certified) -> None:
    for given in ({"url": "https://fmi.plant.example"}, {"certificate": https.certificate, "key": https.key}):
        with pytest.raises(WorkspaceError, match="make the first with `fmi user add NAME --role engineer`"):
            address(workspace, **given)
