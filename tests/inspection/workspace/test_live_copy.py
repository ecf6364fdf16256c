"""The copy that readers read: beside writers of other processes, after an own verdict, after any change."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from inspection.errors import StoreBusyError, StoreError, UnknownIdError
from inspection.findings import Judgement, Verdict
from inspection.workspace import live_copy as live_copy_module
from inspection.workspace.live_copy import LiveCopy
from inspection.workspace.store import Store
from tests.inspection.workspace.processes import WRITE, expect, held, python, writing
from tests.inspection.workspace.records import STARTED, a_model, a_night, a_retraining, as_started

MODE = "2026-03-01-1"
MINE = Verdict(MODE, Judgement.CONFIRM, "mine", "Aoki", STARTED)


@pytest.fixture
def live(store: Store) -> LiveCopy:
    store.add_model(a_model(), [])
    store.finish_night(a_night())
    return LiveCopy(store)


def test_the_copy_holds_what_the_store_holds(live: LiveCopy) -> None:
    store = live.store
    store.add_verdict(MINE)
    store.add_retraining(a_retraining("r1", MODE), a_model("cd" * 32))
    copy = live.newest()

    assert copy.nights() == store.nights()
    assert copy.night() == a_night()
    assert copy.mode(MODE) == store.mode(MODE)
    assert copy.models() == store.models()
    assert copy.verdicts(MODE) == [MINE]
    assert copy.judgements("2026-03-01") == {MODE: Judgement.CONFIRM}
    assert copy.retrainings(MODE) == [a_retraining("r1", MODE)]
    with pytest.raises(UnknownIdError, match="no failure mode 'x'; the store has: 2026-03-01-2"):
        copy.mode("x")


def test_only_a_change_renews_the_copy(live: LiveCopy) -> None:
    first = live.newest()
    assert live.newest() is first
    live.store.start_night(as_started(a_night("later")))
    assert live.newest() is not first
    assert [night.night_id for night in live.newest().nights()] == ["later", "2026-03-01"]
    assert [night.night_id for night in first.nights()] == ["2026-03-01"]  # a page goes on with what it has


def test_a_copy_reads_a_failure_mode_once_and_its_verdicts_always(live: LiveCopy) -> None:
    copy = live.newest()
    assert copy.mode(MODE) is copy.mode(MODE)
    assert copy.night("2026") is copy.night("2026")
    live.add_verdict(MINE)
    assert live.newest().verdicts(MODE) == [MINE]
    live.store.finish_night(replace(a_night(), errors_read=1234))
    assert live.newest().night("2026").errors_read == 1234


def test_readers_wait_for_no_writer(live: LiveCopy) -> None:
    live.newest()
    with writing(live.store.path, MODE), ThreadPoolExecutor(20) as threads:
        begun = time.monotonic()
        copies = list(threads.map(lambda _: live.newest().verdicts(MODE), range(100)))
        assert time.monotonic() - begun < 8  # one after the other it would be 100 times the patience
        assert copies == [[]] * 100
        assert "This is the store of " in live.behind
        assert "is held by" in live.behind
    assert [verdict.comment for verdict in live.newest().verdicts(MODE)] == ["its"]
    assert live.behind == ""


def test_an_own_verdict_is_seen_at_once(live: LiveCopy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_copy_module, "PATIENCE", 0.0)
    live.newest()
    live.add_verdict(MINE)
    with held(live.store.path):  # so that the copy cannot be renewed
        assert live.newest().verdicts(MODE) == [MINE]
    assert live.newest().verdicts(MODE) == live.store.verdicts(MODE) == [MINE]


def test_a_refused_verdict_is_not_shown(live: LiveCopy) -> None:
    live.newest()
    with pytest.raises(UnknownIdError):
        live.add_verdict(Verdict("x-1", Judgement.CONFIRM, "", "Aoki", STARTED))
    assert live.newest().verdicts("x-1") == []


def test_before_the_first_copy_a_held_file_is_waited_for(
    live: LiveCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_copy_module, "WAIT_SECONDS", 0.2)
    with (
        held(live.store.path) as holder,
        pytest.raises(StoreBusyError, match=rf"\(PID {holder.pid}\) and did not come free within 0\.2 s"),
    ):
        live.newest()
    assert live.newest().night() == a_night()


def test_who_waited_for_the_first_copy_takes_it_where_a_writer_came_between(live: LiveCopy) -> None:
    with ThreadPoolExecutor(1) as threads, ExitStack() as running:
        with live._turn(0):
            waiting = threads.submit(live.newest)
            time.sleep(0.1)  # it has seen that there is no copy
            first = live._renewed()
            running.enter_context(writing(live.store.path, MODE))
        assert waiting.result() is first


def test_what_a_killed_writer_committed_is_seen(live: LiveCopy) -> None:
    assert live.newest().verdicts(MODE) == []
    with python(WRITE, live.store.path, MODE) as writer:
        expect(writer, "written")
        writer.kill()
        writer.wait()
    assert live.store.path.with_name("fmi.duckdb.wal").is_file()
    assert [verdict.comment for verdict in live.newest().verdicts(MODE)] == ["its"]


def test_a_store_put_in_the_place_of_another_is_seen(live: LiveCopy, tmp_path: Path) -> None:
    live.store.snapshot(tmp_path / "older.duckdb")
    live.store.add_verdict(MINE)
    assert live.newest().verdicts(MODE) == [MINE]
    (tmp_path / "older.duckdb").replace(live.store.path)
    assert live.newest().verdicts(MODE) == []


def test_a_store_that_is_gone_or_no_store_is_said(live: LiveCopy) -> None:
    live.newest()
    live.store.path.write_bytes(b"hello")
    with pytest.raises(StoreError, match="not a valid DuckDB database"):
        live.newest()
    live.store.path.unlink()
    with pytest.raises(StoreError, match="Make one with `fmi init`"):
        live.newest()


def test_renewing_leaves_the_file_to_others(live: LiveCopy) -> None:
    live.newest()
    with held(live.store.path):  # would fail if the copy held the file
        pass
