"""Retention: what stays, what goes, and what a process that was ended in between has left."""

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inspection.errors import UnknownIdError
from inspection.findings import Judgement, NightState, Relabel, Verdict
from inspection.nights import prune as retention
from inspection.nights.night import Site, open_site
from inspection.workspace.folder import Workspace
from inspection.workspace.store import Store
from tests.inspection.workspace.records import STARTED, a_mode, a_model, a_night, a_retraining

NOW = STARTED + timedelta(days=100)


@pytest.fixture
def site(workspace: Workspace, store: Store) -> Site:
    """Six nights a day apart, with files."""
    for day in range(6):
        found(Site(workspace, store), f"n{day}", day)
    return open_site(workspace.root)


def found(site: Site, name: str, day: float, **more: object) -> None:
    night = replace(
        a_night(name, STARTED + timedelta(days=day)), modes=(a_mode(name, 1),), log_sha256=name, of_line=""
    )
    site.store.finish_night(replace(night, **more))  # type: ignore[arg-type]
    site.workspace.report_path(name).write_bytes(b"r" * 100)
    site.workspace.report_path(name).with_suffix(".csv").write_bytes(b"c" * 10)
    folder = site.workspace.night_folder(name) / "errors"
    folder.mkdir(parents=True)
    (folder / "1.png").write_bytes(b"p" * 1000)


def files_of(site: Site, name: str) -> list[Path]:
    return [
        path for path in site.workspace.root.rglob("*") if name in f"{path.relative_to(site.workspace.root)}"
    ]


def test_a_night_goes_with_its_files_and_what_rests_on_one_stays(site: Site) -> None:
    site.store.add_verdict(Verdict("n0-1", Judgement.CONFIRM, "", "Ada", NOW))
    site.store.add_relabels([Relabel("n1-1", 1, "good", "Ada", NOW)])
    site.store.add_retraining(a_retraining("r", "n2-1"), a_model("cc" * 32))
    dry = retention.plan(site, NOW)
    assert [each.night_id for each in dry.goes] == ["n3", "n4"]
    assert dry.bytes == 2 * 1110
    assert {each.night_id: each.rests for each in dry.stays} == {
        "n0": "a reviewer gave a verdict",
        "n1": "a reviewer relabelled its images",
        "n2": "a model was retrained for it",
        "n5": "it is the last of its model: the next is compared with it",
    }
    assert files_of(site, "n3") != []

    assert retention.prune(site, NOW) == dry
    assert set(site.store.states()) == {"n0", "n1", "n2", "n5"}
    assert files_of(site, "n3") == files_of(site, "n4") == []
    assert len(files_of(site, "n0")) == 5
    with pytest.raises(UnknownIdError):
        site.store.mode("n3-1")
    _, rows = site.store.query("SELECT count(*) FROM errors WHERE night_id = 'n3'")
    assert rows == [(0,)]


def test_only_nights_before_the_moment_go(site: Site) -> None:
    assert [each.night_id for each in retention.prune(site, STARTED + timedelta(days=1.5)).goes] == [
        "n0",
        "n1",
    ]


def test_what_runs_and_the_last_night_of_every_line_stay(site: Site) -> None:
    found(site, "rear", 2.5, of_line="rear")
    found(site, "runs", 2.6, state=NightState.RUNNING)
    found(site, "failed", 2.7, state=NightState.FAILED)
    held = site.workspace.held_errors / "failed-0123abcd"  # the images of its errors
    held.mkdir(parents=True)
    (held / "images.raw").write_bytes(b"i" * 5000)
    assert retention.plan(site, NOW).bytes == 6 * 1110 + 5000
    assert [each.night_id for each in retention.prune(site, NOW).goes] == [
        "n0",
        "n1",
        "n2",
        "failed",
        "n3",
        "n4",
    ]
    assert set(site.store.states()) == {"n5", "rear", "runs"}
    assert files_of(site, "failed") == []


def test_what_a_killed_process_left_goes_the_next_time(site: Site) -> None:
    """Killed right after the store: the night is gone as a whole, and its files follow."""
    assert site.store.prune(["n0"], NOW) == ["n0"]
    assert files_of(site, "n0") != []
    dry = retention.plan(site, STARTED)
    assert (dry.goes, dry.left, dry.bytes) == ((), ("n0",), 1110)
    retention.prune(site, STARTED)
    assert files_of(site, "n0") == []
    assert retention.plan(site, STARTED).left == ()


def test_a_night_that_was_made_again_since_keeps_its_files(site: Site) -> None:
    site.store.prune(["n0"], NOW)
    night = replace(a_night("n0", STARTED), modes=(), of_line="")
    site.store.finish_night(night)
    assert retention.plan(site, STARTED).left == ()


def test_a_verdict_that_came_meanwhile_keeps_its_night(site: Site) -> None:
    site.store.add_verdict(Verdict("n0-1", Judgement.CONFIRM, "", "Ada", NOW))
    assert site.store.prune(["n0", "n1"], NOW) == ["n1"]


def test_what_was_removed_is_noted(site: Site) -> None:
    before = datetime.now(UTC)
    retention.prune(site, NOW)
    assert site.store.pruned_nights() == ["n0", "n1", "n2", "n3", "n4"]
    assert site.store.pruned_logs("front") == {"n0", "n1", "n2", "n3", "n4"}
    _, rows = site.store.query("SELECT min(pruned_at) FROM pruned_nights")
    assert rows[0][0] >= before


def test_copies_from_an_object_store_go_with_the_last_night_that_names_them(site: Site) -> None:
    old, recent = NOW.timestamp() - 10**9, time.time()
    copies = {name: site.workspace.copies / name / name / "1.png" for name in ("known", "gone", "new")}
    for name, path in copies.items():
        path.parent.mkdir(parents=True)
        path.write_bytes(b"p")
        os.utime(path, (old, recent if name == "new" else old))
    mode = a_mode("n9", 1)
    errors = tuple(replace(each, image_path=str(copies["known"])) for each in mode.errors)
    found(site, "n9", 9, modes=(replace(mode, errors=errors),))
    retention.prune(site, STARTED + timedelta(days=1.5))
    assert {name for name, path in copies.items() if path.exists()} == {"known", "new"}
    assert not copies["gone"].parent.parent.exists()
