"""The command line, `fmi`: what each command does, says and leaves behind."""

import csv
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from flows.night import software
from inspection.cli.app import app
from inspection.findings import NightState
from inspection.workspace.settings import default_toml
from inspection.workspace.store import Store
from tests.conftest import Answer, Diagnosed, fmi_process, started
from tests.inspection.conftest import SETTINGS, SIZE, Plant

Fmi = Callable[..., Answer]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.fixture
def fresh(fmi: Fmi, tmp_path: Path) -> Path:
    """A workspace without a model."""
    root = tmp_path / "plant"
    root.mkdir()
    (root / "fmi.toml").write_text(SETTINGS, encoding="utf-8")
    assert fmi("init", root).returncode == 0
    return root


@pytest.fixture
def site(diagnosed: Diagnosed, tmp_path: Path, prefect: str) -> Diagnosed:
    return diagnosed.copied(tmp_path / "workspace")


def test_init_makes_a_workspace_and_keeps_one_that_is_there(fmi: Fmi, tmp_path: Path) -> None:
    root = tmp_path / "new" / "plant"
    answer = fmi("init", root)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert f"Workspace {root} is ready" in answer.stdout
    assert (root / "fmi.toml").read_text(encoding="utf-8") == default_toml()
    assert sorted(path.name for path in root.iterdir()) == [
        "artifacts", "fmi.duckdb", "fmi.toml", "models", "reports",
    ]  # fmt: skip
    (root / "fmi.toml").write_text("[blame]\nfilters = 7\n", encoding="utf-8")
    assert fmi("init", root).returncode == 0
    assert (root / "fmi.toml").read_text(encoding="utf-8") == "[blame]\nfilters = 7\n"


def numbers(values: tuple[float, ...]) -> str:
    return ",".join(map(str, values))


def test_register_says_how_often_the_model_is_right(fmi: Fmi, fresh: Path, plant: Plant) -> None:
    """The weights, described as they were trained, are the model of the plant; described wrongly, a guess."""
    model = plant.model
    described = (
        *("register", plant.workspace.root / model.weights_path, "--workspace", fresh),
        *("--architecture", model.architecture, "--classes", ",".join(model.class_names), "--good", "good"),
        *("--reference", plant.images / "commissioned", "--input-size", SIZE, "--channels", 1),
    )
    answer = fmi(*described, "--mean", numbers(model.mean), "--std", numbers(model.std))
    assert (answer.returncode, answer.stderr) == (0, "")
    shares = re.findall(r"right on (\d+) of (\d+) (train|val) images", answer.stdout)
    counts = {split: (int(right), int(images)) for right, images, split in shares}
    assert {split: images for split, (_, images) in counts.items()} == {"train": 95, "val": 25}
    assert all(right / images > 0.8 for right, images in counts.values())
    known = Store(fresh / "fmi.duckdb").model()
    assert (known.model_hash, known.mean, known.good_classes) == (model.model_hash, model.mean, ("good",))
    assert (fresh / known.weights_path).is_file()

    answer = fmi(*described, "--mean", "0.9", "--std", "0.01")
    assert answer.returncode == 0
    assert "hardly better than guessing: check the order of --classes" in answer.stderr


def test_train_registers_a_model_of_what_it_saw(fmi: Fmi, fresh: Path, plant: Plant) -> None:
    answer = fmi(
        "train", plant.images / "commissioned", "--good", "good", "--epochs", 2, "--workspace", fresh
    )
    assert answer.returncode == 0
    model = Store(fresh / "fmi.duckdb").model()
    assert (model.class_names, model.good_classes) == (plant.model.class_names, ("good",))
    assert (model.channels, model.height, model.width) == (1, SIZE, SIZE)  # the images are grey
    assert f"Model {model.model_hash[:12]} is registered with 120 reference images" in answer.stdout


def test_evaluate_writes_the_errors_as_a_log(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    images, log = site.plant.images / "aged", tmp_path / "log.csv"
    answer = fmi("evaluate", images, "--log", log, "--workspace", site.root)
    wrong = len(site.rows)
    assert answer.returncode == 0
    assert answer.stdout.startswith(f"{60 - wrong} of 60 images right ({1 - wrong / 60:.1%}); {wrong} rows")
    columns = ("inspection_id", "image_path", "predicted_label", "true_label", "score")
    written, known = (
        [[row[name] for name in columns] for row in csv.DictReader(path.read_text("utf-8").splitlines())]
        for path in (log, site.plant.log)
    )
    assert written == known
    assert fmi("evaluate", images, "--log", log, "--all", "--workspace", site.root).returncode == 0
    assert len(log.read_text(encoding="utf-8").splitlines()) == 61


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


def test_retrain_json_is_the_retraining_of_the_newest_mode(fmi: Fmi, site: Diagnosed) -> None:
    unseen = site.plant.images / "unseen"
    answer = fmi("retrain", "--holdout", unseen, "--json", "--workspace", site.root)
    assert (answer.returncode, answer.stderr) == (0, "")
    told = json.loads(answer.stdout)
    (done,) = site.store.retrainings()
    assert told["mode_id"] == f"{site.night_id}-1"
    assert told["candidate_hash"] == done.candidate_hash
    images = len(list(unseen.rglob("*.png")))
    assert [each["images"] for each in told["accuracies"]] == [images, 25]
    assert [each["after"] for each in told["accuracies"]] == [each.after for each in done.accuracies]
    assert site.store.model().model_hash == site.plant.model.model_hash  # the candidate is not deployed


def test_sql_shows_a_table(fmi: Fmi, site: Diagnosed) -> None:
    answer = fmi("sql", "SELECT count(*) AS wrong, '[x]' AS text FROM errors", "--workspace", site.root)
    assert answer.returncode == 0
    assert re.search(r"wrong +┃ +text", answer.stdout)
    assert re.search(rf"{len(site.rows)} +│ +\[x\]", answer.stdout)


def test_doctor_finds_this_installation_fine(fmi: Fmi) -> None:
    answer = fmi("doctor")
    assert answer.returncode == 0
    assert "bad" not in answer.stdout
    for part in ("torch", "prefect", "duckdb", "opencv builds", "compute device"):
        assert re.search(rf"^ok +{part}: ", answer.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_every_option_has_its_help(fmi: Fmi, name: str) -> None:
    answer = fmi(name, "--help")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert COMMANDS[name].help.split("\n")[0][:40] in answer.stdout
    undescribed = [each.name for each in COMMANDS[name].params if not (each.help or "").strip()]
    assert undescribed == []


def test_without_a_command_the_help_is_shown() -> None:
    answer = fmi_process()
    assert answer.returncode == 2
    assert "First steps: fmi demo" in re.sub(r"[│\s]+", " ", answer.stdout + answer.stderr)


def test_a_fault_of_ours_leaves_its_details_in_a_file(
    fmi: Fmi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("of [ours]")

    faulty = typer.models.CommandInfo("broken", callback=broken)
    monkeypatch.setattr(app, "registered_commands", [*app.registered_commands, faulty])
    monkeypatch.chdir(tmp_path)
    answer = fmi("broken")
    (details,) = tmp_path.glob("fmi-crash-*.txt")
    assert answer.returncode == 1
    assert "ZeroDivisionError: of [ours]" in answer.stderr
    assert str(details) in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "Traceback" in details.read_text(encoding="utf-8")


def test_an_interruption_that_fails_at_clearing_up_is_an_interruption(
    fmi: Fmi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Prefect does where Ctrl+C comes while it sets up a task: "Task run is not set"."""

    def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise ValueError("Task run is not set")

    halting = typer.models.CommandInfo("halt", callback=interrupted)
    monkeypatch.setattr(app, "registered_commands", [*app.registered_commands, halting])
    monkeypatch.chdir(tmp_path)
    answer = fmi("halt")
    assert answer.returncode == 130
    assert answer.stderr.startswith("fmi: interrupted; what was finished is kept")
    assert not list(tmp_path.glob("fmi-crash-*.txt"))


@pytest.mark.slow
def test_a_night_needs_no_prefect_server(
    site: Diagnosed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a plant starts it: from the workspace's folder, with nothing running and nothing set."""
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.delenv("PREFECT_HOME")
    monkeypatch.chdir(site.root)
    answer = fmi_process("night", site.log(tmp_path / "log.csv", site.rows[:12]), "--json")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert json.loads(answer.stdout)["errors_read"] == 12
    results = {path.name for path in (site.root / ".prefect/results").iterdir()}
    assert f"{site.store.night().night_id}-diagnose-1--{software()}" in results


@pytest.mark.slow
def test_ctrl_c_leaves_at_once_and_says_that_nothing_is_lost(
    site: Diagnosed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal sends Ctrl+C to Prefect's temporary server too, and so to both of them here."""
    monkeypatch.delenv("PREFECT_API_URL")
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
