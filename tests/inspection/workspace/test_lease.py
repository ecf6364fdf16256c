"""Leases between real processes: held by one, waited for by others, and gone with the process."""

import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from inspection.workspace.lease import holder, lease

HOLDING = """
import sys
from pathlib import Path
from inspection.workspace.lease import lease
with lease(Path(sys.argv[1]), "night"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holding(folder: Path) -> subprocess.Popen[str]:
    """A process that has the lease `night` until its input ends."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(folder)], stdin=pipe, stdout=pipe, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_nobody_has_it_before_and_after(tmp_path: Path) -> None:
    assert holder(tmp_path, "night") is None
    with lease(tmp_path, "night"):
        pass
    assert holder(tmp_path, "night") is None


def test_who_has_it_is_told_and_a_killed_process_has_it_no_more(tmp_path: Path) -> None:
    with holding(tmp_path) as process:
        said = holder(tmp_path, "night")
        assert said is not None
        assert said.startswith(f"process {process.pid} on ")
        assert holder(tmp_path, "another") is None
        process.kill()
        process.wait()
        assert holder(tmp_path, "night") is None


def test_another_waits_and_is_told_for_whom(tmp_path: Path) -> None:
    told: list[str] = []
    got: list[bool] = []

    def work() -> None:
        with lease(tmp_path, "night", told.append):
            got.append(True)

    with holding(tmp_path) as process:
        worker = Thread(target=work)
        worker.start()
        worker.join(2)
        assert not got
        assert told == [holder(tmp_path, "night")]
        process.communicate()
        worker.join(10)
    assert got == [True]


def test_a_lease_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lease(tmp_path, "night"):
        raise ZeroDivisionError
    assert holder(tmp_path, "night") is None
