"""The examination of this installation, and of one with a clash on its path."""

import os
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from inspection.cli.doctor import PARTS, Finding, examine, examine_workspace
from inspection.nights.night import INTERRUPTED, begin, open_site, turn
from inspection.operations.catalogue import CATALOGUE
from inspection.workspace.folder import Workspace, open_workspace
from inspection.workspace.store import Store
from tests.conftest import Answer, Diagnosed
from tests.inspection.conftest import rewrite_settings
from tests.inspection.workspace.records import a_model

Fmi = Callable[..., Answer]


def found(subject: str) -> Finding:
    (finding,) = [finding for finding in examine() if finding.subject == subject]
    return finding


def distribution(folder: Path, name: str, version: str) -> None:
    """What pip leaves of an installed package: its metadata."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
    )


def test_this_installation_is_fine() -> None:
    findings = examine()
    assert [finding for finding in findings if not finding.fine] == []
    said = [(finding.subject, finding.detail) for finding in findings]
    assert [pair for pair in said if pair[0] in PARTS and pair[1][0].isdigit()][: len(PARTS)] == [
        (part, metadata.version(part)) for part in PARTS
    ]


def test_of_a_workspace_it_tells_the_space_and_the_nights_that_were_ended(
    diagnosed: Diagnosed, tmp_path: Path
) -> None:
    site = diagnosed.copied(tmp_path / "workspace")
    opened = open_site(site.root)
    assert [finding.subject for finding in examine_workspace(opened.workspace)] == [
        "workspace",
        "work of a night",
    ]
    assert examine_workspace(opened.workspace)[1].detail == "done by the night's own process"
    log = site.log(tmp_path / "log.csv", site.rows[:12])
    begun = begin(opened, log, None, None, again=False)
    ended = examine_workspace(opened.workspace)[-1]
    assert (ended.subject, ended.fine) == (f"night {begun.night_id}", False)
    assert ended.detail == f"{INTERRUPTED}: fmi night {log}"
    with turn(opened, log, print):
        running = examine_workspace(opened.workspace)[-1]
    assert running.fine
    assert running.detail.startswith(f"is being run by process {os.getpid()} on ")
    space = examine_workspace(opened.workspace)[0].detail
    assert space.startswith(f"{site.root} takes ")
    assert "fmi.duckdb " in space


def test_the_catalogue_and_the_architectures_are_counted() -> None:
    details = [finding.detail for finding in examine()]
    assert f"{len(CATALOGUE)} operations in the catalogue" in details
    (architectures,) = [detail for detail in details if detail.endswith("architectures")]
    assert int(architectures.split()[0]) > 50


def test_two_builds_of_opencv_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("opencv builds").fine
    distribution(tmp_path, "opencv-python", "4.10.0")
    monkeypatch.syspath_prepend(tmp_path)
    clash = found("opencv builds")
    assert not clash.fine
    assert clash.detail.startswith("opencv-python and opencv-python-headless install into the same folder")
    assert "install opencv-python-headless alone" in clash.detail


def test_a_missing_part_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inspection.cli.doctor.PARTS", ("torch", "no-such-part"))
    findings = {finding.subject: finding for finding in examine()}
    assert findings["torch"].fine
    assert findings["no-such-part"] == Finding(
        "no-such-part", "not installed: install this project again with pip", False
    )


def test_a_part_whose_metadata_lost_its_version_is_not_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken removal leaves the folder of a package without its metadata."""
    (tmp_path / "half_removed-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("inspection.cli.doctor.PARTS", ("half-removed",))
    assert not found("half-removed").fine


def test_doctor_finds_this_installation_fine(fmi: Fmi) -> None:
    answer = fmi("doctor")
    assert answer.returncode == 0
    assert "bad" not in answer.stdout
    for part in ("torch", "prefect", "duckdb", "opencv builds", "compute device"):
        assert re.search(rf"^ok +{part}: ", answer.stdout, re.MULTILINE)


def test_of_a_line_it_tells_what_was_set_aside_and_what_is_not_there(
    diagnosed: Diagnosed, tmp_path: Path
) -> None:
    folder = tmp_path / "logs"
    site = diagnosed.copied(tmp_path / "workspace")
    with (site.root / "fmi.toml").open("a", encoding="utf-8") as settings:
        settings.write(f"[lines.front]\nlogs = '{folder}'\n")
    workspace = open_site(site.root).workspace
    missing = examine_workspace(workspace)[-1]
    assert (missing.subject, missing.fine) == ("line front", False)
    assert f"{folder} is not there; mount it" in missing.detail
    folder.mkdir()
    told = "1 logs read, 0 wait, 0 set aside; fmi schedule --show tells more"
    assert examine_workspace(workspace)[-1] == Finding("line front", told, True)


def test_a_line_without_a_model_is_told_where_several_are_deployed(
    workspace: Workspace, store: Store
) -> None:
    for number, name in enumerate(("front", "rear")):
        store.add_model(a_model(f"{number}{number}", parent_hash=None, name=name), [])
    with (workspace.root / "fmi.toml").open("a", encoding="utf-8") as settings:
        settings.write(f"[lines.front]\nlogs = '{workspace.root}'\nmodel = 'front'\n")
        settings.write(f"[lines.side]\nlogs = '{workspace.root}'\n")
    (told,) = (each for each in examine_workspace(open_workspace(workspace.root)) if not each.fine)
    assert told.subject == "line side"
    assert "the one that was deployed last (rear v1); deployed are those called front, rear" in told.detail


@pytest.mark.usefixtures("store")
def test_it_tells_whether_the_stores_of_the_settings_answer(workspace: Workspace, tmp_path: Path) -> None:
    rewrite_settings(workspace.root, f'defect_log.images_root = "local://{tmp_path}"')
    rewrite_settings(workspace.root, f"defect_log.paths = {{ 'Z:' = 'local://{tmp_path}/gone' }}")
    findings = examine_workspace(open_workspace(workspace.root))
    told = {each.subject: (each.fine, each.detail) for each in findings if each.subject.startswith("images")}
    assert told == {
        f"images at local://{tmp_path}": (True, "can be seen"),
        f"images at local://{tmp_path}/gone": (
            False,
            f"local://{tmp_path}/gone: nothing lies there, or this machine may not see it",
        ),
    }
