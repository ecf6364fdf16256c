"""The benchmark of readers: a small whole run, and its sums."""

import pytest

from tests.benchmarks import readers
from tests.benchmarks.readers import Measured, Read


def test_a_run_beside_a_writer_has_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert readers.main(["--nights", "2", "--readers", "4", "--reads", "24"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("inbox ")
    assert "\nreads    24 in " in said
    assert "\nfailed   0\n" in said


def test_every_kind_of_page_is_asked_for() -> None:
    assert set(readers.pages(1)) == {
        "/",
        "/models",
        "/nights/night-0000",
        "/modes/night-0000-2",
        "/modes/night-0000-2/pictures",
        "/modes/night-0000-1/history",
    }


def test_what_failed_is_counted_by_kind() -> None:
    reads = [Read("/", 200, 0.5), Read("/", 503, 10.0), Read("/", "ReadTimeout", 120.0), Read("/", 503, 9.0)]
    assert Measured(reads, 140.0, 3).lines() == [
        "inbox    9500 ms",
        "reads    4 in 140.0 s",
        "failed   3 {'503': 2, 'ReadTimeout': 1}",
        "median   9500 ms",
        "95 %     10000 ms",
        "worst    120000 ms",
        "behind   0 said that they are older than the store",
        "written  3 nights with their verdicts meanwhile",
    ]
