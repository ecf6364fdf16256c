"""poc: what begins a plant's first month, what it reads by itself, and what it says of bad input."""

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from inspection.findings import NightState
from inspection.nights.poc import begun_in
from inspection.workspace.folder import open_workspace
from inspection.workspace.store import Store
from tests.conftest import Answer, Diagnosed

Fmi = Callable[..., Answer]


@pytest.fixture
def logs(site: Diagnosed, tmp_path: Path) -> Path:
    """A plant's folder: the log that a night has read, a new one, and tables that are none."""
    folder = tmp_path / "line1"
    folder.mkdir()
    shutil.copy(site.plant.log, folder / "0701.csv")
    site.log(folder / "0702.csv", site.rows[:12])
    (folder / "parts.csv").write_text("part,weight\n1,2\n", encoding="utf-8")
    return folder


@pytest.mark.slow
def test_it_reads_what_is_new_and_nothing_twice(fmi: Fmi, site: Diagnosed, logs: Path) -> None:
    here = ("--workspace", site.root)
    begun = fmi("poc", logs, "--show", "--start", "2026-07-01", "--asked", "Why?", "--json", *here)
    assert (begun.returncode, begun.stderr) == (0, "")
    told = json.loads(begun.stdout)
    assert (told["unread"], told["logs"]) == ([str(logs / "0702.csv")], [str(logs / n) for n in _names(logs)])
    answer = fmi("poc", *here)
    assert answer.returncode == 0
    assert answer.stderr.splitlines()[0] == f"Log 1 of 1: {logs / '0702.csv'}"
    assert f"Not read: {logs / 'parts.csv'}: the defect log has no column" in answer.stdout
    assert "To type: fmi serve" in answer.stdout
    assert "Why?" in (site.root / "reports" / "poc.html").read_text(encoding="utf-8")
    assert list(site.store.states().values()) == [NightState.FINISHED] * 2
    again = fmi("poc", *here)
    assert (again.returncode, again.stderr) == (0, "")
    assert len(site.store.states()) == 2


def _names(folder: Path) -> list[str]:
    return [path.name for path in sorted(folder.glob("07*.csv"))]


@pytest.mark.slow
def test_a_night_that_fails_stops_no_other(fmi: Fmi, site: Diagnosed, logs: Path) -> None:
    site.log(logs / "0703.csv", site.rows[12:20])
    (site.root / site.store.model().weights_path).unlink()
    answer = fmi("poc", logs, "--workspace", site.root)
    assert answer.returncode == 2
    for name in ("0702.csv", "0703.csv"):
        assert f"{logs / name} could not be read: the weights of model" in answer.stderr
    assert "1 of 3 logs read" in answer.stdout
    assert "2 could not be read" in answer.stdout


@pytest.mark.slow
def test_a_model_and_a_folder_make_a_workspace(
    fmi: Fmi, site: Diagnosed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a log: the folder's labelled images are looked at, but those of the model."""
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    folder = site.plant.images / "commissioned"
    model = site.plant.model
    described = (
        *("-a", model.architecture, "--classes", ",".join(model.class_names), "--good", "good"),
        *("--reference", folder, "--channels", "1", "--input-size", "32"),
    )
    answer = fmi("poc", site.root / model.weights_path, folder, *described, "--start", "2026-07-01")
    assert answer.returncode == 0, answer.stderr
    root = tmp_path / "desk" / "fmi-poc"
    assert "labelled images are the model's own" in answer.stderr
    assert f"or with --workspace {root}" in answer.stdout
    begun = begun_in(open_workspace(root))
    assert begun is not None
    assert (begun.started, begun.folder) == (date(2026, 7, 1), folder.resolve())
    assert Store(root / "fmi.duckdb").model().class_names == model.class_names
    assert "Next: Give us the defect logs of some nights" in answer.stdout


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("nowhere",), "nowhere does not exist; expected the folder that holds the plant's defect logs"),
        (("fmi.toml",), "fmi.toml is a file; expected the folder"),
        (("a.pt", "."), "to register a.pt, give --architecture, --classes and --reference"),
        (("a", "b", "c"), "fmi poc takes a model and a folder, or a folder; 3 were given"),
        ((), "no first month has begun in"),
        ((".",), "no deployed model in the store"),
        ((".", "--start", "tomorrow"), "--start is 'tomorrow'; expected a day such as 2026-12-01"),
    ],
)
def test_what_cannot_begin_says_what_is_missing(
    fmi: Fmi, fresh: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(fresh)
    answer = fmi("poc", *given)
    assert answer.returncode == 2
    assert said in " ".join(answer.stderr.split())
    assert not (fresh / "poc.toml").exists()
