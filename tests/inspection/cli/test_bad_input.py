"""Bad input: one clear message, exit code 2 for misuse, no traceback, and nothing lost."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch

from inspection.findings import NightState
from inspection.workspace.folder import create_workspace
from inspection.workspace.lease import lease
from inspection.workspace.store import Store
from tests.conftest import Answer, Diagnosed, fmi_process
from tests.inspection.conftest import SIZE, rewrite_settings

Fmi = Callable[..., Answer]
TINY = "tests.inspection.tiny_network:tiny_network"
CLASSES = "dent,good,pit,scratch,stain"


def refused(answer: Answer, *words: str) -> None:
    """One message that holds the words, exit code 2, and no traceback anywhere."""
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.startswith("fmi: ")
    assert answer.stderr.count("fmi: ") == 1
    assert "Traceback" not in answer.stdout + answer.stderr
    assert [word for word in words if word not in answer.stderr] == []


def unharmed(site: Diagnosed) -> None:
    """The finished night is still there with its findings, its report and every picture."""
    night = site.store.night(site.night_id)
    assert (night.state, len(night.modes), night.errors_read) == (NightState.FINISHED, 1, len(site.rows))
    pictures = [error.picture for mode in night.modes for error in mode.errors]
    assert all((site.root / name).is_file() for name in [*pictures, night.report_path or ""])


# --- the defect log ---


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("log.csv", b"", ("the defect log is empty (0 bytes)",)),
        ("log.csv", b"\n\n", ("the defect log is empty", "blank lines")),
        (
            "log.csv",
            b"File,Label\na.png,pit\n",
            (
                "no column image_path, predicted_label, true_label",
                "found: File, Label",
                "[defect_log.columns]",
            ),
        ),
        ("log.csv", b"\0\1\2\3", ("not a text file", "export it as UTF-8")),
        ("log.xlsx", b"PK\3\4", ("a defect log ends in .csv", "not in '.xlsx'", "export it as CSV")),
        ("log.parquet", b"PAR?", ("the defect log cannot be read",)),
        ("log.duckdb", b"not a database", ("a DuckDB file needs a query",)),
    ],
    ids=["0 bytes", "blank", "wrong columns", "binary", "Excel", "bad Parquet", "no query"],
)
def test_a_log_that_cannot_be_read(
    fmi: Fmi, site: Diagnosed, tmp_path: Path, name: str, content: bytes, words: tuple[str, ...]
) -> None:
    log = tmp_path / name
    log.write_bytes(content)
    refused(fmi("night", log, "-w", site.root), str(log), *words)
    unharmed(site)


def test_a_log_that_is_a_folder_or_not_there(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    for log in (tmp_path, tmp_path / "none.csv"):
        refused(fmi("night", log, "-w", site.root), f"no defect log at {log}", "give a CSV")
    assert [night.night_id for night in site.store.nights()] == [site.night_id]


def test_a_renamed_log_is_read_under_its_new_name(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    wrong = site.log(tmp_path / "log.xlsx", site.rows[:10])
    refused(fmi("night", wrong, "-w", site.root), "log.xlsx")
    answer = fmi("night", wrong.rename(tmp_path / "log.csv"), "-w", site.root)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "10 errors of 10 rows" in answer.stdout


def test_the_same_log_beside_other_images_is_another_night(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    """Yesterday's folder and today's hold images and a log of the same names."""
    for day, source in (("monday", "aged"), ("tuesday", "commissioned")):
        shutil.copytree(site.plant.images / source / "good", tmp_path / day)
        (tmp_path / day / "log.csv").write_text(
            "image_path,predicted_label,true_label\ngood-0001.png,pit,good\n", encoding="utf-8"
        )
    fmi("night", tmp_path / "monday/log.csv", "-w", site.root)
    answer = fmi("night", tmp_path / "tuesday/log.csv", "-w", site.root)
    assert site.store.night().log_path == str(tmp_path / "tuesday/log.csv")
    assert "set aside: 1 not_reproduced" in answer.stdout


def test_a_class_that_the_model_does_not_know_is_set_aside(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    bolts = [row.replace(",pit,", ",bolt,") for row in site.rows[:3]]
    log = site.log(tmp_path / "log.csv", [*bolts, *site.rows[3:8]])
    answer = fmi("night", log, "-w", site.root)
    assert answer.returncode == 0
    night = site.store.night()
    assert (night.rows_read, night.errors_read) == (8, 5)
    assert {each.reason for each in night.set_aside} == {"unknown_class"}
    assert "'bolt' is no class of the model (dent, good, pit, scratch, stain)" in night.set_aside[0].detail


# --- images ---


def test_bad_images_are_set_aside_and_odd_ones_are_used(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    """Half of the images missing, one cut short; 16 bit, colour and transparency are no fault."""
    folder = tmp_path / "images"
    folder.mkdir()
    rows = []
    for number, row in enumerate(site.rows[:16]):
        path, labels = row.split(",", 1)
        grey = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        assert grey is not None
        assert grey.shape == (SIZE, SIZE)
        as_was = folder / f"{number:02d}.png"
        saved = {
            1: grey.astype("uint16") * 257,
            3: cv2.cvtColor(grey, cv2.COLOR_GRAY2BGRA),
            5: cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR),
        }.get(number, grey)
        if number % 2:
            assert cv2.imwrite(str(as_was), saved)
        rows.append(f"{as_was},{labels}")
    cut = folder / "07.png"
    cut.write_bytes(cut.read_bytes()[:-40])
    answer = fmi("night", site.log(tmp_path / "log.csv", rows), "-w", site.root)
    assert (answer.returncode, answer.stderr) == (0, "")
    night = site.store.night()
    assert {error.image_path for mode in night.modes for error in mode.errors} == {
        str(folder / f"{number:02d}.png") for number in (1, 3, 5, 9, 11, 13, 15)
    }
    reasons = {each.row: each.reason for each in night.set_aside}
    assert reasons == dict.fromkeys(range(1, 17, 2), "missing_image") | {8: "unreadable_image"}
    assert "7 errors of 16 rows, 9 set aside" in answer.stdout


def test_training_images_that_cannot_be_read(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    images = shutil.copytree(site.plant.images / "aged", tmp_path / "images")
    damaged = images / "pit" / "pit-0001.png"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    refused(fmi("train", images, "--epochs", 1, "-w", site.root), str(damaged), "cut short")
    refused(fmi("train", tmp_path / "none", "-w", site.root), f"{tmp_path / 'none'}: there is no such folder")
    (tmp_path / "empty").mkdir()
    refused(fmi("train", tmp_path / "empty", "-w", site.root), "no images found")
    assert [model.model_hash for model in site.store.models()] == [site.plant.model.model_hash]


# --- the model ---


def register(fmi: Fmi, site: Diagnosed, checkpoint: Path, *options: object, **changed: object) -> Answer:
    given = {
        "architecture": TINY,
        "classes": CLASSES,
        "reference": site.plant.images / "commissioned",
        "channels": 1,
        "input-size": SIZE,
        "workspace": site.root,
    } | changed
    named = [part for name, value in given.items() for part in (f"--{name}", value)]
    return fmi("register", checkpoint, *named, *options)


@pytest.fixture
def weights(site: Diagnosed) -> Path:
    return site.root / site.plant.model.weights_path


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("architecture", "resnet18", ("does not fit the architecture", "122 weights missing")),
        ("architecture", "resnet19", ("no architecture 'resnet19' in torchvision", "resnet18")),
        ("architecture", "nowhere:net", ("'nowhere:net' cannot be imported", "module:function")),
        ("classes", "dent,good", ("classes that the model does not know: pit, scratch, stain",)),
        ("classes", f"{CLASSES},bolt", ("head.weight is (5, 16), expected (6, 16)",)),
        ("classes", "dent,good,good", ("good twice",)),
        ("good", "fine", ("good classes fine are no classes of the model", "dent, good, pit")),
        ("input-size", "abc", ("--input-size is 'abc'", "224, or HEIGHTxWIDTH")),
        ("input-size", "32x32x3", ("--input-size is '32x32x3'",)),
        ("input-size", "0", ("--input-size is '0'",)),
        ("channels", 2, ("2 channels given", "expected 1 (grey) or 3 (RGB)")),
        ("channels", 3, ("stage1.0.weight is (8, 1, 3, 3), expected (8, 3, 3, 3)",)),
        ("mean", "0.5,0.5", ("mean has 2 values for 1 channels",)),
        ("mean", "half", ("--mean is 'half'", "expected numbers by comma")),
        ("mean", "nan", ("mean", "nan")),
        ("std", "0", ("std is (0.0,)", "above 0")),
        ("where", "split = 'val'", ("a where condition needs a table", "manifest.csv")),
    ],
)
def test_a_description_that_does_not_fit(
    fmi: Fmi, site: Diagnosed, weights: Path, option: str, value: object, words: tuple[str, ...]
) -> None:
    known = site.store.models()
    refused(register(fmi, site, weights, **{option: value}), *words)
    assert site.store.models() == known


def test_images_without_one_to_compare_with(fmi: Fmi, site: Diagnosed, weights: Path, tmp_path: Path) -> None:
    known = site.store.models()
    images = sorted((site.plant.images / "commissioned").rglob("*.png"))
    for word, says in (("testing", f"({len(images)} of split test)"), ("eval", "known are: train, training")):
        table = tmp_path / "images.csv"
        table.write_text("image,label,split\n" + "".join(f"{p},{p.parent.name},{word}\n" for p in images))
        refused(register(fmi, site, weights, reference=table), says)
        refused(fmi("train", table, "--epochs", 1, "-w", site.root), says)
    assert site.store.models() == known


def test_a_checkpoint_that_is_none(fmi: Fmi, site: Diagnosed, weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights, weights_only=True)
    given = tmp_path / "weights.pt"
    refused(register(fmi, site, given), f"no checkpoint at {given}")
    for save in (
        lambda: given.write_bytes(b""),
        lambda: given.write_bytes(b"hello"),
        lambda: given.write_bytes(weights.read_bytes()[:2000]),
        lambda: torch.save(torch.nn.Linear(2, 2), given),  # a whole network: its code would have to run
        lambda: torch.save([*state.values()], given),
        lambda: torch.save({"epoch": 3}, given),
    ):
        save()
        answer = register(fmi, site, given)
        refused(answer, str(given), "state dict")
        assert "weights_only" not in answer.stderr  # torch's own advice is to run the file's code
    refused(register(fmi, site, tmp_path), str(tmp_path), "Is a directory")
    assert [model.model_hash for model in site.store.models()] == [site.plant.model.model_hash]


def test_a_condition_that_duckdb_refuses(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    table = tmp_path / "images.csv"
    table.write_text(
        "image,label,cell\n"
        + "".join(f"{path},{path.parent.name},mono\n" for path in (site.plant.images / "aged").rglob("*.png"))
    )
    log = tmp_path / "log.csv"
    for where, words in {
        "cel = 'mono'": (f"{table}: DuckDB refuses the condition", "image, label, cell"),
        "cell = 'poly'": ("the table names no image that meets the condition",),
        "true; DROP TABLE models": ("holds a ';'",),
    }.items():
        refused(fmi("evaluate", table, "--log", log, "--where", where, "-w", site.root), *words)
    refused(fmi("evaluate", table, "--log", log, "--split", "test", "-w", site.root), "no split 'test'")
    assert not log.exists()


def test_labels_of_another_model(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    bolts = shutil.copytree(site.plant.images / "aged" / "pit", tmp_path / "images" / "bolt").parent
    log = tmp_path / "log.csv"
    refused(fmi("evaluate", bolts, "--log", log, "-w", site.root), "does not know: bolt", "dent, good, pit")
    refused(fmi("evaluate", bolts, "--log", tmp_path / "log.doc", "-w", site.root), "bolt")
    refused(fmi("night", site.plant.log, "--model", "ffff", "-w", site.root), "no model 'ffff'")
    refused(fmi("retrain", "--holdout", bolts, "-w", site.root), "does not know: bolt", "dent, good, pit")
    assert site.store.retrainings() == []


def test_weights_that_vanished_or_changed(fmi: Fmi, site: Diagnosed, weights: Path, tmp_path: Path) -> None:
    kept = weights.read_bytes()
    commands = (
        ("night", site.plant.log, "--again", "-w", site.root),
        ("evaluate", site.plant.images / "aged", "--log", tmp_path / "log.csv", "-w", site.root),
        ("retrain", "-w", site.root),
    )
    state = torch.load(weights, weights_only=True)
    weights.unlink()
    for command in commands:
        refused(fmi(*command), str(weights), "register")
    torch.save({name: value + 1 for name, value in state.items()}, weights)
    for command in commands:
        refused(fmi(*command), str(weights), "The file was changed: register the model again")
    weights.write_bytes(kept)
    assert fmi(*commands[0]).returncode == 0
    unharmed(site)


def test_measurements_that_were_damaged_are_made_again(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    (kept,) = site.root.glob("models/*/responses-*.npz")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:1000])
    assert fmi("night", site.log(tmp_path / "log.csv", site.rows[:10]), "-w", site.root).returncode == 0
    assert kept.stat().st_size == len(whole)


# --- the workspace ---


def every_command(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> dict[str, Answer]:
    """Every command that works in a workspace, where each would do something."""
    images, root = site.plant.images / "aged", site.root
    return {
        "night": fmi("night", site.plant.log, "--again", "-w", root),
        "evaluate": fmi("evaluate", images, "--log", tmp_path / "log.csv", "-w", root),
        "retrain": fmi("retrain", "-w", root),
        "register": register(fmi, site, site.root / site.plant.model.weights_path),
        "train": fmi("train", images, "--epochs", 1, "-w", root),
        "sql": fmi("sql", "FROM nights", "-w", root),
        "serve": fmi_process("serve", "-w", root, seconds=20),  # where nothing stops it, it never ends
    }


def test_a_workspace_that_cannot_be_written(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    """A file stands where a folder belongs: as root, whom no permission binds, the same as read-only."""
    shutil.move(site.root / "artifacts", tmp_path / "artifacts")
    (site.root / "artifacts").write_text("")
    answers = every_command(fmi, site, tmp_path)
    for name, answer in answers.items():
        if name in ("evaluate", "sql"):  # these only read
            assert answer.returncode == 0
        else:
            refused(answer, f"{site.root / 'artifacts'} is a file", "move the file away")
    (site.root / "artifacts").unlink()
    shutil.move(tmp_path / "artifacts", site.root / "artifacts")
    unharmed(site)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[blame\n", ("cannot be read", "line 1")),
        (b"\xff\xfe\x00", ("cannot be read", "can't decode")),
        (b"[blame]\nfliters = 3\n", ("blame.fliters = 3",)),
        (b"[blame]\nfilters = 0\n", ("blame.filters = 0", "greater than or equal to 1")),
    ],
    ids=["syntax", "binary", "unknown key", "out of range"],
)
def test_settings_that_cannot_be_read(
    fmi: Fmi, site: Diagnosed, tmp_path: Path, text: bytes, words: tuple[str, ...]
) -> None:
    settings = site.root / "fmi.toml"
    kept = settings.read_bytes()
    settings.write_bytes(text)
    for answer in every_command(fmi, site, tmp_path).values():
        refused(answer, str(settings), *words)
    settings.write_bytes(kept)
    unharmed(site)


def test_the_advice_for_broken_settings_works(fmi: Fmi, site: Diagnosed) -> None:
    settings = site.root / "fmi.toml"
    settings.write_text("[blame", encoding="utf-8")
    refused(fmi("init", site.root), str(settings), "remove it")
    settings.unlink()
    assert fmi("init", site.root).returncode == 0
    unharmed(site)


@pytest.mark.parametrize("content", [b"garbage" * 1000, b""], ids=["garbage", "0 bytes"])
def test_a_store_that_is_none(fmi: Fmi, site: Diagnosed, tmp_path: Path, content: bytes) -> None:
    kept = site.store.path.read_bytes()
    site.store.path.write_bytes(content)
    answers = every_command(fmi, site, tmp_path)
    for answer in answers.values():
        refused(answer, str(site.store.path), "not a valid DuckDB database")
    assert site.store.path.read_bytes() == content  # whoever can mend it finds it as it was
    site.store.path.write_bytes(kept)
    unharmed(site)


def test_no_workspace_and_no_store(fmi: Fmi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused(fmi("sql", "SHOW TABLES"), f"neither {tmp_path} nor a folder above it", "fmi init")
    create_workspace(tmp_path)
    refused(fmi("sql", "SHOW TABLES"), f"no store {tmp_path / 'fmi.duckdb'}", "fmi init")


# --- retraining, and the rest ---


def test_retraining_before_any_night(fmi: Fmi, tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path)
    Store(workspace.store_path).create()
    refused(fmi("retrain", "-w", tmp_path), "no night has found a failure mode yet", "fmi night LOG")
    refused(fmi("night", __file__, "-w", tmp_path), "no deployed model", "Register one first")


def test_retraining_for_what_is_not_there(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    mode = f"{site.night_id}-1"
    refused(fmi("retrain", "nothing", "-w", site.root), "no failure mode 'nothing'", mode)
    refused(fmi("retrain", "none.csv", "-w", site.root), "none.csv: there is no such defect log")
    refused(fmi("retrain", __file__, "-w", site.root), f"no night over {__file__} has found a failure mode")
    nowhere = tmp_path / "none"
    refused(fmi("retrain", "--holdout", nowhere, "-w", site.root), f"{nowhere}: there is no such folder")
    (recipe,) = site.root.glob("artifacts/*/recipe-*.yaml")
    recipe.write_text(recipe.read_text().replace("share: 0.5", "share: 0.9"))
    refused(fmi("retrain", mode, "-w", site.root), str(recipe))
    recipe.unlink()
    refused(fmi("retrain", mode, "-w", site.root), str(recipe))
    assert site.store.retrainings() == []


def test_prefect_that_does_not_answer(fmi: Fmi, site: Diagnosed, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("http://127.0.0.1:9/api", "http://server:port/api"):
        monkeypatch.setenv("PREFECT_API_URL", address)
        answer = fmi("night", site.plant.log, "--again", "-w", site.root)
        refused(answer, f"no Prefect server answers at {address}", "prefect server start", "unset")
    unharmed(site)


def test_a_device_that_is_not_there(fmi: Fmi, site: Diagnosed) -> None:
    rewrite_settings(site.root, 'compute.device = "cuda:9"')
    refused(fmi("night", site.plant.log, "-w", site.root), "device 'cuda:9' cannot be used", "auto, cpu")


def test_sql_that_duckdb_refuses(fmi: Fmi, site: Diagnosed) -> None:
    refused(fmi("sql", "SELECT nothing FROM nowhere", "-w", site.root), "nowhere")
    refused(fmi("sql", "DELETE FROM nights", "-w", site.root), "read-only")
    unharmed(site)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("nihgt", "No such command 'nihgt'"),
        ("night", "Missing argument"),
        ("night log.csv --agian", "No such option: --agian"),
        ("train {images} --epochs many", "Invalid value for '--epochs'"),
        ("train {images} --epochs -1", "Invalid value for '--epochs'"),
        ("retrain --arm everything", "Invalid value for '--arm'"),
        ("serve --port 123456", "Invalid value for '--port'"),
    ],
)
def test_a_command_that_is_mistyped(
    site: Diagnosed, monkeypatch: pytest.MonkeyPatch, command: str, words: str
) -> None:
    monkeypatch.chdir(site.root)
    answer = fmi_process(*command.format(images=site.plant.images / "aged").split(), seconds=20)
    assert answer.returncode == 2
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr
    assert site.store.retrainings() == []


def test_a_workspace_is_served_once(fmi: Fmi, site: Diagnosed) -> None:
    with lease(site.plant.workspace.leases, "serve"):
        answer = fmi("serve", "-w", site.root)
    assert answer.returncode == 2
    assert f"is served already, by process {os.getpid()} on " in " ".join(answer.stderr.split())
