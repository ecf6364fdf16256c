"""A night's errors as tables: what stands in them, and that each tool really reads its own.

The tools are no part of the project, and some do not go with its dependencies. Their tests run where the tool
can be imported, or where a variable such as FMI_TEST_FIFTYONE names a Python that has it.
"""

import csv
import io
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from inspection.errors import InspectionError, UnknownIdError
from inspection.findings import Judgement, LoggedError, Night, Relabel, SuspectLabel, Verdict
from inspection.nights.tables import FOUND, REVIEWED, Errors, Tool, errors_csv, write_table, zipped
from inspection.workspace.folder import Workspace
from inspection.workspace.store import Store
from tests.dashboards.hand_made import HOSTILE, MODE_ID, MODEL, NIGHT_ID, WITHHELD_ID, make_night

NOW = datetime(2026, 7, 5, 8, tzinfo=UTC)
GONE_ROW = 1  # position of the error whose image is no longer there


@pytest.fixture
def store(workspace: Workspace, store: Store) -> Store:
    """A night over images that are there, all but one, with a verdict, a label, and a suspect."""
    store.add_model(MODEL, [])
    night = _logged_beside_its_pictures(make_night(workspace), workspace)
    store.finish_night(night)
    store.add_verdict(Verdict(MODE_ID, Judgement.CONFIRM, "", "Mori", NOW))
    first, second = night.modes[0].errors[:2]
    store.add_relabels(
        [
            Relabel(MODE_ID, first.row, "pit", "Mori", NOW),
            Relabel(MODE_ID, second.row, None, "Mori", NOW),
        ]
    )
    return store


def _logged_beside_its_pictures(night: Night, workspace: Workspace) -> Night:
    """The same night, whose images are its own pictures."""

    def there(error: LoggedError) -> LoggedError:
        return replace(error, image_path=str(workspace.root / error.picture))

    first, *others = night.modes
    errors = [there(error) for error in first.errors]
    errors[0] = replace(errors[0], inspection_id="=SUM(0)")
    errors[GONE_ROW] = replace(errors[GONE_ROW], image_path="/plant/line3/gone.png")
    suspect = SuspectLabel("", errors[0].image_path, errors[0].picture, "scratch", "good", 0.9)
    return replace(
        night,
        modes=(
            replace(first, errors=tuple(errors), suspects=(suspect,)),
            *(replace(mode, errors=tuple(map(there, mode.errors))) for mode in others),
        ),
        unclustered=tuple(map(there, night.unclustered)),
    )


def rows_of(content: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content)))


def test_a_night_with_what_reviewers_said(store: Store, workspace: Workspace) -> None:
    found = Errors.of(store, workspace, NIGHT_ID)
    night = store.night(NIGHT_ID)
    assert len(found.records) == night.errors_read
    assert all(set(record) == {*FOUND, *REVIEWED} for record in found.records)
    first, second, *_ = found.records
    error = night.modes[0].errors[0]
    assert (first["true_label"], first["relabelled"], first["suggested_label"]) == ("scratch", "pit", "good")
    assert second["relabelled"] == "removed"
    assert (first["verdict"], first["cause"], first["how_sure"]) == ("confirm", "low contrast", "fair")
    assert first["picture"] == str(workspace.root / error.picture)
    assert [record["failure_mode"] for record in found.records[-2:]] == [WITHHELD_ID, None]
    assert found.records[-1]["verdict"] is None


def test_a_failure_mode_alone(store: Store, workspace: Workspace) -> None:
    found = Errors.of(store, workspace, MODE_ID)
    assert {record["failure_mode"] for record in found.records} == {MODE_ID}
    assert len(found.records) == len(store.mode(MODE_ID).errors)
    with pytest.raises(UnknownIdError, match="no failure mode 'nothing'"):
        Errors.of(store, workspace, "nothing")


def test_the_table_of_a_report_holds_what_the_night_found(store: Store) -> None:
    rows = rows_of(errors_csv(store.night(NIGHT_ID)))
    assert tuple(rows[0]) == FOUND
    assert (rows[0]["inspection_id"], rows[0]["cause"]) == ("'=SUM(0)", "low contrast")
    assert (rows[-1]["failure_mode"], rows[-1]["cause"]) == ("", "")


def test_no_spreadsheet_runs_a_cell_and_programs_read_what_was_logged(
    store: Store, workspace: Workspace, tmp_path: Path
) -> None:
    found = Errors.of(store, workspace, NIGHT_ID)
    write_table(found, Tool.CLEANVISION, tmp_path / "clean")
    write_table(found, Tool.SPOTLIGHT, tmp_path / "spot")
    rows = rows_of((tmp_path / "clean" / "errors.csv").read_text(encoding="utf-8"))
    assert rows[0]["inspection_id"] == "'=SUM(0)"
    held = parquet.read_table(tmp_path / "spot" / "errors.parquet").to_pylist()
    assert held == found.records
    assert [type(held[0][name]) for name in ("row", "margin", "inspection_id")] == [int, float, str]


def test_fiftyones_samples_are_labels_and_fields(store: Store, workspace: Workspace, tmp_path: Path) -> None:
    found = Errors.of(store, workspace, MODE_ID)
    write_table(found, Tool.FIFTYONE, tmp_path / "table")
    samples = json.loads((tmp_path / "table" / "samples.json").read_text(encoding="utf-8"))["samples"]
    assert samples[0]["filepath"] == found.records[0]["image_path"]
    assert samples[0]["ground_truth"] == {"_cls": "Classification", "label": "scratch"}
    assert samples[0]["prediction"]["label"] == "good"
    assert (samples[0]["tags"], samples[0]["failure_mode"]) == (["escape"], MODE_ID)
    assert samples[-1]["prediction"]["label"] == HOSTILE
    assert samples[-1]["relabelled"] is None


def test_copies_go_along_and_are_named_from_the_folder(
    store: Store, workspace: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "table"
    done = write_table(Errors.of(store, workspace, NIGHT_ID), Tool.SPOTLIGHT, folder, copies=True)
    assert (done.errors, done.missing) == (10, 1)
    folder = folder.rename(tmp_path / "moved")
    records = parquet.read_table(folder / "errors.parquet").to_pylist()
    assert records[GONE_ROW]["image_path"] == "/plant/line3/gone.png"
    for number, record in enumerate(records):
        assert not Path(record["picture"]).is_absolute()
        assert (folder / record["picture"]).is_file()
        assert number == GONE_ROW or (folder / record["image_path"]).is_file()
    assert len({record["image_path"] for record in records}) == len(records)


def test_nothing_is_half_written(
    store: Store, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up while the table is written again: the earlier one stays, and nothing else."""
    found, folder = Errors.of(store, workspace, NIGHT_ID), tmp_path / "table"
    write_table(found, Tool.CLEANVISION, folder)
    before = (folder / "errors.csv").read_bytes()

    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InspectionError, match=r"written to .*: No space left on device\. Make room"):
        write_table(found, Tool.CLEANVISION, folder)
    assert (folder / "errors.csv").read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {"open.py", "errors.csv"}


def test_a_folder_that_is_a_file_is_told(store: Store, workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "table").write_text("")
    with pytest.raises(InspectionError, match=r"cannot be written to .*: File exists"):
        write_table(Errors.of(store, workspace, NIGHT_ID), Tool.FIFTYONE, tmp_path / "table")


@pytest.mark.parametrize("tool", Tool)
def test_an_archive_holds_the_same_files(
    store: Store, workspace: Workspace, tmp_path: Path, tool: Tool
) -> None:
    found = Errors.of(store, workspace, NIGHT_ID)
    files = write_table(found, tool, tmp_path / "table").files
    with zipfile.ZipFile(io.BytesIO(zipped(found, tool))) as archive:
        held = {Path(name).name: archive.read(name) for name in archive.namelist()}
    assert held == {path.name: path.read_bytes() for path in files}


# --- the tools themselves ---


def read_by(tool: str, code: str, folder: Path) -> str:
    """What a Python that has a tool prints of code; the test is skipped where there is none."""
    python = os.environ.get(f"FMI_TEST_{tool.upper()}", sys.executable)
    module = {"spotlight": "renumics"}.get(tool, tool)
    quiet = {**os.environ, "FIFTYONE_DO_NOT_TRACK": "true", "SPOTLIGHT_OPT_OUT": "true", "PYTHONPATH": ""}
    quiet |= {"MPLBACKEND": "agg", "HOME": str(folder.parent)}

    def run(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-c", text], cwd=folder, capture_output=True, text=True, check=False, env=quiet
        )

    if run(f"import importlib.util, sys; sys.exit(importlib.util.find_spec('{module}') is None)").returncode:
        pytest.skip(f"no {module} here: name a Python that has it in FMI_TEST_{tool.upper()}")
    done = run(code)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("copies", [False, True])
def test_cleanvision_joins_its_issues_to_the_errors(
    store: Store, workspace: Workspace, tmp_path: Path, copies: bool
) -> None:
    folder = tmp_path / "table"
    found = Errors.of(store, workspace, NIGHT_ID)
    write_table(found, Tool.CLEANVISION, folder, copies)
    script = "import runpy; runpy.run_path('open.py', run_name='__main__')"
    read_by("cleanvision", script, folder)
    rows = rows_of((folder / "issues.csv").read_text(encoding="utf-8"))
    assert [row["row"] for row in rows] == [str(record["row"]) for record in found.records]
    told = [row["is_dark_issue"] for row in rows]
    assert told[GONE_ROW] == ""
    assert set(told[:GONE_ROW] + told[GONE_ROW + 1 :]) == {"False"}


@pytest.mark.slow
@pytest.mark.parametrize("copies", [False, True])
def test_spotlight_shows_the_images(store: Store, workspace: Workspace, tmp_path: Path, copies: bool) -> None:
    folder = tmp_path / "table"
    found = Errors.of(store, workspace, NIGHT_ID)
    write_table(found, Tool.SPOTLIGHT, folder, copies)
    code = """
import runpy
from renumics import spotlight
from renumics.spotlight.data_store import DataStore
from renumics.spotlight_plugins.core.pandas_data_source import PandasDataSource
errors = runpy.run_path("open.py", run_name="read")["errors"]
image = spotlight.dtypes.create_dtype(spotlight.Image)
store = DataStore(PandasDataSource(errors), {"image_path": image, "picture": image})
print([str(store.dtypes[name]) for name in ("row", "true_label", "image_path")])
print([len(store.get_converted_value("picture", i) or b"") > 100 for i in range(len(store))])
print(len(store.get_converted_value("image_path", 0)) > 100)
"""
    dtypes, pictures, first = read_by("spotlight", code, folder).strip().splitlines()[-3:]
    assert dtypes == "['int', 'str', 'Image']"
    assert pictures == str([True] * len(found.records))
    assert first == "True"


@pytest.mark.slow
@pytest.mark.parametrize("copies", [False, True])
def test_fiftyone_reads_samples(store: Store, workspace: Workspace, tmp_path: Path, copies: bool) -> None:
    """Its importer by itself: a data set would need its database."""
    folder = tmp_path / "table"
    found = Errors.of(store, workspace, NIGHT_ID)
    write_table(found, Tool.FIFTYONE, folder, copies)
    code = """
import os
from fiftyone.utils.data.importers import FiftyOneDatasetImporter
importer = FiftyOneDatasetImporter(os.getcwd())
assert importer._is_legacy_format_data()
with importer._to_legacy_importer() as samples:
    for each in samples:
        print(each.row, each.ground_truth.label, each.prediction.margin, os.path.isfile(each.filepath))
"""
    lines = read_by("fiftyone", code, folder).strip().splitlines()
    assert len(lines) == len(found.records)
    first = found.records[0]
    assert lines[0] == f"{first['row']} {first['true_label']} {first['margin']} True"
    assert lines[GONE_ROW].endswith("False")
