"""The processes that are started for ourselves: what they say is kept in bounds, and none is left behind."""

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from flows import log as log_of_parts
from flows import server
from flows.environment import environment
from flows.server import _Child, _child
from inspection.errors import FlowError

TALKER = "tests.flows.talker"


def child(folder: Path, *arguments: str) -> AbstractContextManager[_Child]:
    return _child("the talker", [TALKER, *arguments], folder / "talker.log", environment(folder))


def test_a_log_that_has_grown_large_begins_anew_and_its_end_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_of_parts, "LARGEST", 100)
    log, before = tmp_path / "talker.log", tmp_path / "talker.log.1"
    for round_ in range(6):
        with child(tmp_path, "say", f"{round_}" * 60) as running:
            running.process.wait(timeout=30)
        assert log.stat().st_size <= 200
        assert running.log.last_words() == f"{round_}" * 60
    assert before.read_text().split() == ["2" * 38, "3" * 60]
    assert log.read_text().split() == ["4" * 60, "5" * 60]


def test_a_log_begins_anew_while_a_part_still_writes_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_of_parts, "MEASURING", 0.01)
    log, before = tmp_path / "talker.log", tmp_path / "talker.log.1"
    log.write_text("of an earlier start\n" * 10_000)
    largest = 0
    with child(tmp_path, "chat", "200000") as running:
        while running.process.poll() is None:
            largest = max(largest, log.stat().st_size)
            time.sleep(0.01)
        lines = running.log.last_words().splitlines()
        assert lines == [f"line {i:>10}" for i in range(199_995, 200_000)]
    assert largest < 2_000_000  # of the 3.2 MB that it said
    assert before.stat().st_size <= log_of_parts.LARGEST
    log.write_bytes(b"one more\n")  # as after it began anew: what was said before is in the other
    assert running.log.last_words().splitlines()[-1] == "one more"
    assert len(running.log.last_words().splitlines()) == log_of_parts.LAST_LINES


def test_last_words_are_its_own_and_few(tmp_path: Path) -> None:
    (tmp_path / "talker.log").write_text("of an earlier start\n")
    said = r"(?s)stopped while starting.*It said:\nc\nd\ne\nf\ng\n"
    with (
        child(tmp_path, "say", "a\nb\nc\nd\ne\nf\ng") as running,
        pytest.raises(FlowError, match=said),
    ):
        running.wait_until(lambda: False, 30)


def test_what_a_killed_part_had_started_ends_with_it(tmp_path: Path) -> None:
    """As the run of a flow whose worker is killed."""
    with child(tmp_path, "start") as running:
        running.wait_until(lambda: running.log.last_words().isdecimal(), 30)
        grandchild = int(running.log.last_words())
        running.process.kill()
        running.process.wait()
        os.kill(grandchild, 0)  # it lives
    deadline = time.monotonic() + 10
    while alive(grandchild):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_worker_that_is_killed_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, lost, child_of = list[int](), list[int](), server._child

    @contextmanager
    def talker(name: str, module: Sequence[str], log: Path, own: Mapping[str, str]) -> Iterator[_Child]:
        with child_of(name, [TALKER, "start"], log, own) as running:
            started.append(running.process.pid)
            yield running

    monkeypatch.setattr(server, "_child", talker)
    monkeypatch.setattr(server, "PAUSE", 0.1)
    with server.worker(tmp_path, tmp_path, lambda: lost.append(len(started))):
        for count in (1, 2):
            deadline = time.monotonic() + 30
            while len(started) < count:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            if count == 1:
                os.kill(started[0], signal.SIGKILL)
    assert lost == [1]
    assert not alive(started[1])


def test_a_worker_that_cannot_be_started_is_told_and_tried_again_in_growing_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk is full; then it ends at once, and what it left cannot be seen to; then it lasts."""
    tried, child_of = list[float](), server._child
    left = iter([FlowError("the server is busy"), None])

    @contextmanager
    def talker(name: str, module: Sequence[str], log: Path, own: Mapping[str, str]) -> Iterator[_Child]:
        tried.append(time.monotonic())
        if len(tried) <= 2:
            raise OSError(28, "No space left on device")
        with child_of(
            name, [TALKER, *(["say", "bye"] if len(tried) == 3 else ["start"])], log, own
        ) as running:
            yield running

    def lost() -> None:
        failure = next(left)
        if failure:
            raise failure

    monkeypatch.setattr(server, "_child", talker)
    monkeypatch.setattr(server, "PAUSE", 0.1)
    with server.worker(tmp_path, tmp_path, lost):
        deadline = time.monotonic() + 30
        while len(tried) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    first, second, third, fourth = tried
    assert second - first >= 0.1
    assert third - second >= 0.2
    assert fourth - third >= 0.4 + 0.8  # it ended, and what it left could not be seen to at once
    told = capsys.readouterr().err
    assert told.count("No space left on device") == 2
    assert "The worker has ended. It said last:\nbye\n" in told
    assert "the server is busy" in told


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
