"""What runs now, as another process sees it."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inspection.workspace import jobs
from inspection.workspace.jobs import Job, announced, begin_step, jobs_now
from inspection.workspace.lease import lease
from tests.inspection.workspace.processes import expect, python

NOON = datetime(2026, 7, 4, 12, tzinfo=UTC)


def test_a_job_is_seen_with_its_step_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "EVERY", 0.0)
    with lease(tmp_path, "retrain-1"), announced(tmp_path, "retrain-1", "retrain", ["n-1", "n-2"], "run"):
        (begun,) = jobs_now(tmp_path)
        assert (begun.kind, begun.of, begun.run_id, begun.step) == ("retrain", ("n-1", "n-2"), "run", "")
        advance = begin_step("Trying recipes", 40)
        advance(4)
        advance(6)
        (job,) = jobs_now(tmp_path)
        assert (job.step, job.done, job.total) == ("Trying recipes", 10, 40)
        assert job.holder.startswith("process ")
        begin_step("Training", None)
        (job,) = jobs_now(tmp_path)
        assert (job.step, job.done, job.total) == ("Training", 0, None)
    assert jobs_now(tmp_path) == []
    assert not list(tmp_path.glob("*.job"))


def test_progress_is_told_once_a_second(tmp_path: Path) -> None:
    with lease(tmp_path, "n"), announced(tmp_path, "n", "night", ["n"]):
        advance = begin_step("Blaming filters", 100)
        for _ in range(50):
            advance(1)
        (job,) = jobs_now(tmp_path)
        assert job.done < 50
        time.sleep(jobs.EVERY)
        advance(1)
        (job,) = jobs_now(tmp_path)
        assert job.done == 51


def test_a_job_whose_process_was_killed_is_not_seen(tmp_path: Path) -> None:
    running = """
        from pathlib import Path
        from inspection.workspace.jobs import announced
        from inspection.workspace.lease import lease
        folder = Path(sys.argv[1])
        with lease(folder, "n"), announced(folder, "n", "night", ["n"]):
            say('running')
            hear()
    """
    with python(running, tmp_path) as process:
        expect(process, "running")
        (job,) = jobs_now(tmp_path)
        assert job.holder.startswith(f"process {process.pid} on ")
        process.kill()
        process.wait()
    assert jobs_now(tmp_path) == []
    assert (tmp_path / "n.job").is_file()


def test_a_file_that_is_no_job_is_passed_over(tmp_path: Path) -> None:
    with lease(tmp_path, "n"):
        for text in ("", "{", json.dumps([1])):
            (tmp_path / "n.job").write_text(text)
            assert jobs_now(tmp_path) == []


@pytest.mark.parametrize(
    ("done", "total", "left"), [(10, 40, 90.0), (40, 40, 0.0), (0, 40, None), (5, None, None), (0, 0, None)]
)
def test_the_time_left_by_hand(done: int, total: int | None, left: float | None) -> None:
    job = Job("night", ("n",), "", NOON, "step", NOON, done, total)
    assert job.left(NOON + timedelta(seconds=30)) == left


def test_without_a_job_a_step_tells_nobody(tmp_path: Path) -> None:
    begin_step("Reading the images", 3)(1)
    assert not list(tmp_path.iterdir())
