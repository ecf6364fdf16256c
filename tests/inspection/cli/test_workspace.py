"""init, register, train, evaluate and sql: what each does, says and leaves behind."""

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from fmi_engine.classifier import build_network
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
