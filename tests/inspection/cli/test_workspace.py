"""init, register, train, evaluate, sql and prune: what each does, says and leaves behind."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import torch

from fmi_engine.classifier import build_network
from inspection.workspace.schema import MIGRATIONS, migrate
from inspection.workspace.settings import default_toml
from inspection.workspace.store import Store
from tests.conftest import Answer, Diagnosed
from tests.inspection.conftest import SIZE, Plant

Fmi = Callable[..., Answer]


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


def test_a_part_of_the_answer_can_be_named(fmi: Fmi, fresh: Path, plant: Plant, tmp_path: Path) -> None:
    name = "tests.inspection.tiny_network:tiny_telling"
    path = tmp_path / "theirs.pt"
    torch.save(build_network(name, len(plant.model.class_names), 1).state_dict(), path)
    described = (
        *("register", path, "--workspace", fresh, "--architecture", name, "--input-size", SIZE),
        *("--classes", ",".join(plant.model.class_names), "--reference", plant.images / "commissioned"),
        *("--channels", 1),
    )
    assert fmi(*described, "--answer", "likely").returncode == 0
    assert Store(fresh / "fmi.duckdb").model().architecture == f"{name}#likely"
    answer = fmi(*described, "--answer", "certain")
    assert answer.returncode != 0
    assert "no part 'certain'; it has likely (1, 5), logits (1, 5)" in " ".join(answer.stderr.split())
    assert fmi(*described).returncode == 0
    assert Store(fresh / "fmi.duckdb").model().architecture == f"{name}#logits"


def test_what_a_folder_of_images_holds_besides_is_told(
    fmi: Fmi, fresh: Path, plant: Plant, tmp_path: Path
) -> None:
    images = shutil.copytree(plant.images / "commissioned", tmp_path / "images")
    (images / "good" / "notes[1].txt").touch()
    (images / "good_mask").mkdir()
    shutil.copy(next((images / "good").glob("*.png")), images / "good_mask" / "1.png")
    answer = fmi("train", images, "--epochs", 1, "--workspace", fresh)
    assert answer.returncode == 0
    assert f"{images}: not read: masks: 1; files that are no images by their names: 1 (.txt)" in answer.stderr
    assert "registered with 120 reference images" in answer.stdout


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


def test_sql_answers_of_a_real_night(fmi: Fmi, site: Diagnosed) -> None:
    answer = fmi("sql", "SELECT count(*) AS wrong, '[x]' AS text FROM errors", "--workspace", site.root)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == f"wrong,text\n{len(site.rows)},[x]\n"


def test_sql_without_a_select_says_what_to_give_or_writes_everything_as_parquet(
    fmi: Fmi, site: Diagnosed, tmp_path: Path
) -> None:
    answer = fmi("sql", "--workspace", site.root)
    assert answer.returncode == 2
    assert "give a SELECT" in answer.stderr
    folder = tmp_path / "for others"
    answer = fmi("sql", "--parquet", folder, "--workspace", site.root)
    assert f"{folder / 'errors.parquet'}: {len(site.rows)} rows" in answer.stdout
    assert (folder / "modes_by_week.parquet").is_file()
    one = fmi("sql", "FROM nights", "--parquet", tmp_path / "nights.parquet", "--workspace", site.root)
    assert one.stdout == f"{tmp_path / 'nights.parquet'}: 1 rows\n"


def test_prune_says_what_would_go_and_does_it(fmi: Fmi, site: Diagnosed) -> None:
    night = site.store.night(site.night_id)
    old = replace(night, night_id="20250101-0a0b0c0d", started_at=datetime(2025, 1, 1, tzinfo=UTC), modes=())
    site.store.finish_night(old)
    report = site.plant.workspace.report_path(old.night_id)
    report.write_bytes(b"r" * 1_500_000)
    dry = fmi("prune", "--older-than", 100, "--dry-run", "--workspace", site.root)
    assert dry.stdout.splitlines() == [
        f"20250101-0a0b0c0d: 1.5 MB, {old.log_path}",
        "1 nights and 1.5 MB of files would go",
    ]
    assert report.is_file()
    told = json.loads(fmi("prune", "--older-than", 100, "--json", "--workspace", site.root).stdout)
    assert ([each["night_id"] for each in told["goes"]], told["bytes"]) == ([old.night_id], 1_500_000)
    assert not report.exists()
    assert set(site.store.states()) == {site.night_id}


def test_an_older_store_is_brought_up_to_date_and_its_copy_is_named(fmi: Fmi, tmp_path: Path) -> None:
    root = tmp_path / "plant"
    fmi("init", root)
    (root / "fmi.duckdb").unlink()
    with duckdb.connect(root / "fmi.duckdb") as connection:
        migrate(connection, MIGRATIONS[:17])
    answer = fmi("init", root)
    (backup,) = (root / "backups").iterdir()
    assert answer.stderr.replace("\n", "") == (
        f"The store is brought up to date. As it was before it is kept: {backup}"
    )


def test_move_says_where_images_lie_now(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    new = tmp_path / "mounted elsewhere"
    shutil.copytree(site.plant.images, new)
    answer = fmi("move", site.plant.images, new, "--workspace", site.root)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "images are read from" in answer.stdout
    again = fmi("move", site.plant.images, new, "--workspace", site.root)
    assert again.returncode == 2
    assert "the store names no image below" in again.stderr.replace("\n", " ")
