"""`fmi serve` for real: Prefect, a worker and the dashboard as processes, and the button that retrains."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from flows.environment import AUTH, URL
from inspection.findings import Arm
from tests.conftest import Diagnosed, free_port, started
from tests.dashboards.conftest import Visitor


@pytest.fixture
def site(diagnosed: Diagnosed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Diagnosed:
    """A workspace of its own, where no Prefect server is named."""
    for name in (URL, AUTH, "PREFECT_HOME"):
        monkeypatch.delenv(name, raising=False)
    return diagnosed.copied(tmp_path / "workspace")


@pytest.mark.slow
def test_the_button_retrains_and_ctrl_c_ends_every_process(site: Diagnosed) -> None:
    """A reviewer presses it in the page; the page shows the run, and then what the candidate achieves."""
    shutil.rmtree(site.root / ".prefect")  # the first start of all
    port, page = free_port(), f"/modes/{site.night_id}-1"
    with (
        started("serve", "--port", port, "--workspace", site.root) as serve,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        reviewer = Visitor(client)
        until(lambda: answers(client))
        # The worker makes the deployment known some seconds after the dashboard answers.
        until(lambda: reviewer.post(f"{page}/retraining", csrf=reviewer.token(page)).status_code == 303)
        again = reviewer.post(f"{page}/retraining", csrf=reviewer.token(page))
        assert again.status_code == 409  # one at a time
        until(lambda: "Completed" in reviewer.get(f"{page}/history").text)
        (done,) = site.store.retrainings()
        assert [each.arm for each in done.arms] == list(Arm)
        shown = (done.candidate_hash or "no candidate")[:12]  # a network as small may mend nothing
        assert shown in reviewer.get(f"{page}/history").text
        serve.send_signal(signal.SIGINT)
        assert serve.wait(timeout=30) == 0
        until(lambda: nobody_left(serve.pid), 10)


@pytest.mark.slow
def test_a_retraining_is_cancelled_from_its_page(site: Diagnosed) -> None:
    """Its process ends; what it has trained so far is kept, and the next one can start."""
    port, page = free_port(), f"/modes/{site.night_id}-1"
    with (
        started("serve", "--port", port, "--workspace", site.root),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        reviewer = Visitor(client)
        until(lambda: answers(client))
        until(lambda: reviewer.post(f"{page}/retraining", csrf=reviewer.token(page)).status_code == 303)
        until(lambda: list((site.root / "cache" / "training").rglob("*.pt")))
        assert "of this step" in reviewer.get(page).text or "Trying" in reviewer.get(page).text
        assert reviewer.post(f"{page}/retraining/stop", csrf=reviewer.token(page)).status_code == 303
        until(lambda: "Cancelled" in reviewer.get(f"{page}/history").text)
        until(lambda: "Nothing runs now." in reviewer.get("/jobs").text)
        assert site.store.retrainings() == []
        assert list((site.root / "cache" / "training").rglob("*.pt"))
        until(lambda: reviewer.post(f"{page}/retraining", csrf=reviewer.token(page)).status_code == 303)


@pytest.mark.slow
def test_a_retraining_that_was_killed_with_everything_goes_on_when_it_is_served_again(
    site: Diagnosed,
) -> None:
    port, page = free_port(), f"/modes/{site.night_id}-1"
    serving = ("serve", "--port", port, "--workspace", site.root)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        reviewer = Visitor(client)
        with started(*serving):  # kill -9 at the end of the block
            until(lambda: answers(client))
            until(lambda: reviewer.post(f"{page}/retraining", csrf=reviewer.token(page)).status_code == 303)
            until(lambda: list((site.root / "cache" / "training").rglob("*.pt")))
        assert site.store.retrainings() == []
        until(lambda: not running(site.root), 40)  # nothing that it had started goes on
        with started(*serving):
            until(lambda: answers(client))
            until(lambda: site.store.retrainings())
            until(lambda: "Completed" in reviewer.get(f"{page}/history").text)
    assert len(site.store.retrainings()) == 1
    assert list((site.root / "cache" / "training").iterdir()) == []


def running(workspace: Path) -> list[str]:
    """The processes that have this workspace in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().decode(errors="replace"))
    return [command for command in found if str(workspace) in command]


def nobody_left(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.ConnectError:
        return False


def until(holds: Callable[[], object], seconds: float = 90) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)
