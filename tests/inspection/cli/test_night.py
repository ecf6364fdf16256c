"""night and retrain: what each does, says and leaves behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from inspection.findings import NightState
from tests.conftest import Answer, Diagnosed, fmi_process, started

Fmi = Callable[..., Answer]


def test_night_json_is_for_a_script_and_again_begins_anew(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    log = site.log(tmp_path / "log.csv", site.rows[:12])
    answer = fmi("night", log, "--json", "--workspace", site.root)
    assert (answer.returncode, answer.stderr) == (0, "")
    told = json.loads(answer.stdout)
    assert told["night_id"] == site.store.night().night_id
    assert (told["state"], told["rows_read"], told["errors_read"]) == ("finished", 12, 12)
    assert Path(told["report"]).is_file()
    assert fmi("night", log, "--json", "--workspace", site.root).stdout == answer.stdout
    anew = json.loads(fmi("night", log, "--again", "--json", "--workspace", site.root).stdout)
    assert anew["night_id"] == f"{told['night_id']}-2"
    assert anew["failure_modes"][0]["sentence"] == told["failure_modes"][0]["sentence"]


def test_a_night_that_could_read_nothing_leaves_with_a_code_of_its_own_and_reads_again(
    fmi: Fmi, site: Diagnosed, tmp_path: Path
) -> None:
    """The share of the images is mounted only later."""
    path, labels = site.rows[0].split(",", 1)
    log = site.log(tmp_path / "log.csv", [f"pics/{Path(path).name},{labels}"])
    answer = fmi("night", log, "--json", "--workspace", site.root)
    told = json.loads(answer.stdout)
    assert (answer.returncode, told["state"], told["gone"]) == (3, "unreadable", [])
    assert "mount the folder of the images" in told["message"]
    shown = fmi("night", log, "--workspace", site.root)
    assert shown.returncode == 3
    assert "this is not a night without errors" in " ".join(shown.stdout.split())
    (tmp_path / "pics").mkdir()
    shutil.copy(path, tmp_path / "pics")
    answer = fmi("night", log, "--json", "--workspace", site.root)
    told = json.loads(answer.stdout)
    assert (answer.returncode, told["state"], told["errors_read"]) == (0, "finished", 1)


def test_a_log_without_rows_is_a_good_night(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    answer = fmi("night", site.log(tmp_path / "log.csv", []), "--json", "--workspace", site.root)
    told = json.loads(answer.stdout)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert (told["state"], told["errors_read"], told["gone"]) == ("finished", 0, [f"{site.night_id}-1"])


def test_night_tells_a_person_the_cause_with_its_controls(fmi: Fmi, site: Diagnosed) -> None:
    answer = fmi("night", site.plant.log, "--workspace", site.root)  # finished already: told from the store
    (mode,) = site.store.night(site.night_id).modes
    assert mode.recipe is not None
    assert (answer.returncode, answer.stderr) == (0, "")
    for line in (
        f"Night {site.night_id}: {len(site.rows)} errors of {len(site.rows)} rows, 0 set aside",
        mode.diagnosis.sentence,
        f"Recipe: {site.root / mode.recipe.path}",
        f"Report: {site.root / 'reports' / site.night_id}.html",
    ):
        assert line in answer.stdout.splitlines()
    assert "deviation" in answer.stdout
    assert "random" in answer.stdout


def test_retrain_json_is_the_retraining_of_the_newest_night(fmi: Fmi, site: Diagnosed) -> None:
    unseen = site.plant.images / "unseen"
    answer = fmi("retrain", "--holdout", unseen, "--json", "--workspace", site.root)
    assert (answer.returncode, answer.stderr) == (0, "")
    told = json.loads(answer.stdout)
    (done,) = site.store.retrainings()
    assert told["mode_ids"] == [f"{site.night_id}-1"]
    assert [each["arm"] for each in told["arms"]] == [
        "first aid",
        "recipes",
        "logged images",
        "recipes and logged images",
    ]
    assert told["candidate_hash"] == done.candidate_hash
    images = len(list(unseen.rglob("*.png")))
    if done.candidate_hash:  # a network as small may mend nothing on some processor
        assert [each["images"] for each in told["accuracies"]] == [images, len(site.rows), 25, 25]
    assert [each["after"] for each in told["accuracies"]] == [each.after for each in done.accuracies]
    assert site.store.model().model_hash == site.plant.model.model_hash  # the candidate is not deployed


def test_table_writes_a_night_a_mode_or_a_logs_night_for_a_tool(
    fmi: Fmi, site: Diagnosed, tmp_path: Path
) -> None:
    out, mode = tmp_path / "errors", f"{site.night_id}-1"
    for target in ([], [site.night_id], [mode], [site.plant.log]):
        answer = fmi("table", *target, "--format", "fiftyone", "--out", out, "--workspace", site.root)
        assert (answer.returncode, answer.stderr) == (0, "")
        assert f"Open it with: python {out / 'open.py'}" in answer.stdout
        samples = json.loads((out / "samples.json").read_text(encoding="utf-8"))["samples"]
        expected = len(site.store.mode(mode).errors) if target == [mode] else len(site.rows)
        assert len(samples) == expected


def test_table_says_which_images_are_gone_and_what_it_cannot_find(
    fmi: Fmi, site: Diagnosed, tmp_path: Path
) -> None:
    shutil.copy(site.rows[0].split(",")[0], tmp_path / "gone.png")
    log = site.log(tmp_path / "log.csv", [f"gone.png,{site.rows[0].split(',', 1)[1]}"])
    assert fmi("night", log, "--workspace", site.root).returncode == 0
    (tmp_path / "gone.png").unlink()
    asked = ("--format", "cleanvision", "--out", tmp_path / "out", "--workspace", site.root)
    answer = fmi("table", site.store.night().night_id, *asked)
    assert (answer.returncode, " ".join(answer.stderr.split())[:56]) == (
        0,
        "1 of their images are no longer where the log says; the ",
    )
    answer = fmi("table", "nothing", *asked)
    assert answer.returncode == 2
    assert "no failure mode 'nothing'; the store has: " in answer.stderr


@pytest.mark.slow
def test_a_night_needs_no_prefect_server(
    site: Diagnosed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a plant starts it first: from the workspace's folder, with nothing running and nothing set."""
    shutil.rmtree(site.root / ".prefect")
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.delenv("PREFECT_API_AUTH_STRING")
    monkeypatch.delenv("PREFECT_HOME")
    monkeypatch.chdir(site.root)
    answer = fmi_process("night", site.log(tmp_path / "log.csv", site.rows[:12]), "--json")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert json.loads(answer.stdout)["errors_read"] == 12
    assert list((site.root / ".prefect/results").iterdir()) == []  # of a finished night nothing is kept
    assert (site.root / ".prefect").stat().st_mode & 0o77 == 0


def test_a_finished_night_is_shown_without_prefect_and_torch(site: Diagnosed) -> None:
    code = (
        "import sys; from inspection.cli.entry import run; sys.argv = ['fmi', *sys.argv[1:]]; run();"
        "print(sorted({'prefect', 'torch', 'albumentations'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "night", str(site.plant.log), "--workspace", str(site.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Night {site.night_id}: ")
    assert done.stdout.endswith("[]\n")


@pytest.mark.slow
def test_ctrl_c_leaves_at_once_and_says_that_nothing_is_lost(
    site: Diagnosed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal sends Ctrl+C to Prefect's temporary server too, and so to both of them here."""
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.delenv("PREFECT_API_AUTH_STRING")
    log = site.log(tmp_path / "log.csv", site.rows[:16])
    pictures = set(site.root.glob("artifacts/*/errors/000016.png"))
    with started("night", log, "--workspace", site.root) as process:
        while set(site.root.glob("artifacts/*/errors/000016.png")) == pictures:
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    said = "fmi: interrupted; what was finished is kept, and the same command goes on from there"
    assert " ".join(err.split()) == said
    assert process.returncode == 130
    assert site.store.night().state is NightState.RUNNING
