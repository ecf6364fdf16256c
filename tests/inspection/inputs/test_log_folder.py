"""Which files of a plant's folder are defect logs."""

from pathlib import Path

import pytest

from inspection.inputs.log_folder import find_logs
from inspection.workspace.settings import Settings

AS_USUAL = Settings()
LOG = "image_path,predicted_label,true_label\na.png,good,pit\n"


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def names(folder: Path, settings: Settings = AS_USUAL) -> list[str]:
    return [log.path.relative_to(folder).as_posix() for log in find_logs((folder,), settings).logs]


def test_logs_are_found_by_their_columns_and_each_content_counts_once(tmp_path: Path) -> None:
    written(tmp_path / "2026-07-02.csv", LOG)
    written(tmp_path / "2026-07-01" / "log.csv", LOG.replace("a.png", "b.png"))
    written(tmp_path / "copy" / "log.csv", LOG)
    written(tmp_path / "parts.csv", "image,label\na.png,pit\n")
    written(tmp_path / "empty.csv", "")
    written(tmp_path / "a.png", "no picture")
    written(tmp_path / "notes.json", "{}")
    found = find_logs((tmp_path,), Settings())
    assert names(tmp_path) == ["2026-07-02.csv", "2026-07-01/log.csv"]
    passed = {path.name: why for path, why in found.passed_over}
    assert set(passed) == {"parts.csv", "empty.csv"}
    assert "has no column image_path, predicted_label, true_label" in passed["parts.csv"]


def test_what_fmi_wrote_is_no_log_of_the_plant(tmp_path: Path) -> None:
    """Beside each report stands a table of its errors, which has a log's columns."""
    written(tmp_path / "line1" / "fmi.toml", "")
    written(tmp_path / "line1" / "reports" / "night.csv", LOG)
    written(tmp_path / ".hidden" / "log.csv", LOG)
    written(tmp_path / ".log.csv.123.tmp.csv", LOG)
    assert names(tmp_path) == []


def test_a_plants_own_columns_are_those_of_the_settings(tmp_path: Path) -> None:
    written(tmp_path / "log.csv", "File,Machine,Operator\na.png,good,pit\n")
    assert names(tmp_path) == []
    theirs = {"image_path": "File", "predicted_label": "Machine", "true_label": "Operator"}
    assert names(tmp_path, Settings(defect_log={"columns": theirs})) == ["log.csv"]


def test_a_log_that_changes_is_another_one(tmp_path: Path) -> None:
    path = written(tmp_path / "log.csv", LOG)
    (before,) = find_logs((tmp_path,), Settings()).logs
    written(path, LOG + "b.png,good,pit\n")
    (after,) = find_logs((tmp_path,), Settings()).logs
    assert before.path == after.path
    assert before.sha256 != after.sha256


@pytest.mark.parametrize(("place", "found"), [("nothing", 0), ("log.csv", 1)])
def test_where_there_is_no_folder_there_is_no_log_and_a_file_is_one(
    tmp_path: Path, place: str, found: int
) -> None:
    written(tmp_path / "log.csv", LOG)
    assert len(find_logs((tmp_path / place,), Settings()).logs) == found
