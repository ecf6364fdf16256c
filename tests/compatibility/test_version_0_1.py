"""What version 0.1.0 wrote still loads, works and means the same; the package says how it was made."""

import csv
import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import duckdb
import httpx
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from dashboards.app import create_app
from inspection.recipes import RecipeTransform, load_recipe
from inspection.workspace.folder import open_workspace
from inspection.workspace.settings import RETIRED, load_settings
from inspection.workspace.store import Store
from tests.compatibility.workspace import FINISHED, INTERRUPTED, old_nights, relocate, unpack
from tests.conftest import Answer
from tests.dashboards.conftest import Workbench, served

Fmi = Callable[..., Answer]
Image = NDArray[np.uint8]

VERSION_0_1 = Path(__file__).with_name("version_0_1")
RECIPES = VERSION_0_1 / "recipes"
DRAWS: dict[str, list[tuple[int, int]]] = json.loads((RECIPES / "draws.json").read_text(encoding="utf-8"))
KINDS = [name for name in DRAWS if "-family-" not in name]

# Dotted names as old recipes hold them, whatever the modules are called now.
NAMES = {
    *(f"inspection.overlays.{name}" for name in ("FixedPattern", "TextureOverlay", "ToneCurve")),
    *(
        f"inspection.transforms.{name}"
        for name in (
            *("BrushedGrain", "ColourCast", "DiscBlur", "Displacement", "Droplets", "Dust", "Glint", "Hairs"),
            *("HotSpot", "Keystone", "LineBlur", "Lines", "Mottle", "ObliqueStripes", "PhotonNoise"),
            *("Posterising", "ShadowBand", "ShadowEdge", "SideLight", "SpinBlur", "Stripes", "TiltedFocus"),
            *("Veil", "Vignette", "WindowReflection"),
        )
    ),
    *("Affine", "ColorJitter", "Compose", "Downscale", "GaussNoise", "GaussianBlur", "ImageCompression"),
    *("OneOf", "RandomBrightnessContrast", "RandomGamma", "SaltAndPepper", "Sharpen"),
}


def picture(path: Path) -> Image:
    """A PNG as (height, width, channel), red first."""
    image: Image | None = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    image = np.atleast_3d(image)
    return np.ascontiguousarray(image[..., ::-1] if image.shape[2] == 3 else image)


def given(name: str) -> Image:
    """The image that a recipe was given."""
    return picture(RECIPES / f"{name.rpartition('-')[2]}.png")


def drawn(name: str) -> list[Image]:
    """What the recipe made of it when it was written."""
    return np.split(picture(RECIPES / f"{name}.drawn.png"), len(DRAWS[name]), axis=1)


def assert_same_picture(image: Image, expected: Image, what: str) -> None:
    """Equal, but for what the last digit of a float may do to what is rounded.

    Another processor sums and takes exponents in another order or width, so that a value that lies next to
    the half between two grey levels may go to either.
    """
    assert (image.dtype, image.shape) == (expected.dtype, expected.shape)
    away = np.abs(image.astype(np.int16) - expected)
    assert away.max() <= 1, what
    assert np.mean(away > 0) <= 0.01, what


def code_of(path: Path) -> str:
    """The lines of Python in the comments at the top of a recipe."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line[6:] for line in lines if line.startswith("#     "))


def class_names(node: dict[str, Any]) -> Iterator[str]:
    yield node["__class_fullname__"]
    for child in node.get("transforms", []):
        yield from class_names(child)


# --- recipes ----------------------------------------------------------------------------------------------


def test_the_recipes_hold_every_name_that_an_old_one_can() -> None:
    held = {name: yaml.safe_load((RECIPES / f"{name}.yaml").read_text(encoding="utf-8")) for name in DRAWS}
    assert {path.stem for path in RECIPES.glob("*.yaml")} == set(held)
    assert {
        each for values in held.values() for each in class_names(values["pipeline"]["transform"])
    } == NAMES
    assert {(values["version"], values["channels"]) for values in held.values()} == {(1, 1), (2, 1), (2, 3)}


@pytest.mark.parametrize("name", DRAWS)
def test_a_recipe_draws_the_same_images(name: str) -> None:
    change = RecipeTransform(load_recipe(RECIPES / f"{name}.yaml"), RECIPES)
    for (epoch, index), expected in zip(DRAWS[name], drawn(name), strict=True):
        image = change(given(name), epoch=epoch, index=index)
        assert_same_picture(image, expected, f"epoch {epoch}, index {index}")


@pytest.mark.parametrize("name", KINDS)
def test_the_code_at_the_top_of_a_recipe_runs_as_it_stands(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(RECIPES)
    code = code_of(RECIPES / f"{name}.yaml")
    assert "from inspection.recipes import RecipeTransform, load_recipe" in code
    for (epoch, index), expected in zip(DRAWS[name], drawn(name), strict=True):
        names: dict[str, Any] = {"image": given(name), "epoch": epoch, "index": index}
        exec(code, names)
        assert_same_picture(names["image"], expected, f"epoch {epoch}, index {index}")


def test_recipe_check_says_that_each_can_be_used(fmi: Fmi) -> None:
    for name in KINDS:
        answer = fmi("recipe", "check", RECIPES / f"{name}.yaml")
        assert (answer.returncode, answer.stderr) == (0, ""), name
        assert "on 50 % of the images" in answer.stdout, name


@pytest.mark.parametrize("name", KINDS)
def test_recipe_show_draws_a_sheet(fmi: Fmi, tmp_path: Path, name: str) -> None:
    """On copies of the old image, in a folder by class."""
    (tmp_path / "parts" / "good").mkdir(parents=True)
    shutil.copy(RECIPES / f"{name.rpartition('-')[2]}.png", tmp_path / "parts" / "good" / "part.png")
    about = ("recipe", "show", RECIPES / f"{name}.yaml", "--images", tmp_path / "parts")
    answer = fmi(*about, "--out", tmp_path / "sheet.png", "--count", 1, "--draws", 2)
    assert (answer.returncode, answer.stderr) == (0, "")
    sheet = picture(tmp_path / "sheet.png")
    assert min(sheet.shape[:2]) > 32
    assert sheet.std() > 0


# --- settings ---------------------------------------------------------------------------------------------


# Settings of then that have another name now: what a file or a night holds under the old one still counts.
RENAMED = {
    ("matching", "beyond_any_day"): "beyond_baseline",
    ("matching", "beyond_own"): "beyond_unchanged",
}


def test_a_file_with_every_setting_of_then_loads_as_it_reads() -> None:
    """Those that stood in it and were retired since are passed over."""
    path = VERSION_0_1 / "fmi.toml"
    read, written = load_settings(path).model_dump(), tomllib.loads(path.read_text(encoding="utf-8"))
    for table, key in (
        ("blame", "sounding_errors"),
        ("matching", "rival_margin"),
        ("matching", "beyond_either"),
        ("matching", "look_margin"),
        ("matching", "alternative_margin"),
        ("serve", "prefect_port"),
    ):
        assert key not in read[table]
        written[table].pop(key)
    assert {
        table: {key: read[table][RENAMED.get((table, key), key)] for key in values}
        for table, values in written.items()
    } == written


# --- a workspace ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Old:
    """The old workspace at a place of its own, brought up to date as a user does it."""

    root: Path
    finished: str  # the id that the finished night has here
    interrupted: str

    @property
    def mode_id(self) -> str:
        return f"{self.finished}-1"

    def ask(self, sql: str) -> list[Any]:
        """Ask the store, without the product."""
        with duckdb.connect(self.root / "fmi.duckdb", read_only=True) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("version_0_1"))


@pytest.fixture
def old(unpacked: Path, tmp_path: Path, fmi: Fmi) -> Old:
    """Weights are linked, for nobody writes into them."""

    def kept(source: str, target: str) -> None:
        if source.endswith(".pt"):
            os.link(source, target)
        else:
            shutil.copy2(source, target)

    root = tmp_path / "line1"
    shutil.copytree(unpacked, root, copy_function=kept)
    ids = relocate(root)
    assert fmi("init", root).returncode == 0
    return Old(root, ids[FINISHED], ids[INTERRUPTED])


def test_a_night_is_known_by_the_same_mark(unpacked: Path) -> None:
    """By the log, the model and the settings of then: else an update would make every night a new one."""
    nights = old_nights(unpacked)
    assert [night.night_id for night in nights] == [FINISHED, INTERRUPTED]
    assert [night.mark(night.log, night.settings) for night in nights] == ["e3114408", "17e173a9"]
    now = load_settings(unpacked / "fmi.toml").model_dump(mode="json")
    for night in nights:
        for table, values in night.settings.items():
            assert isinstance(values, dict)
            names = {key: RENAMED.get((table, key), key) for key in values if (table, key) not in RETIRED}
            assert {key: now[table][name] for key, name in names.items()} == {
                key: values[key] for key in names
            }


@pytest.mark.usefixtures("prefect")
def test_the_finished_night_is_shown_at_once(old: Old, fmi: Fmi) -> None:
    before = old.ask("SELECT night_id, state, finished_at, seconds FROM nights ORDER BY started_at")
    answer = fmi("night", old.root / "logs" / "monday.csv", "--json", "--workspace", old.root)
    assert (answer.returncode, answer.stderr) == (0, "")
    told = json.loads(answer.stdout)
    assert (told["night_id"], told["state"], told["errors_read"]) == (old.finished, "finished", 27)
    (mode,) = told["failure_modes"]
    assert (mode["mode_id"], mode["claimed"], mode["operation"]) == (old.mode_id, True, "dimmer lamp")
    assert (mode["family"], mode["alternatives"], mode["errors"]) == ("darker", ["gamma darker"], 27)
    assert mode["strength"] == pytest.approx(1.1422, abs=1e-4)
    assert Path(mode["recipe"]).is_file()
    assert Path(told["report"]).is_file()
    assert before == old.ask("SELECT night_id, state, finished_at, seconds FROM nights ORDER BY started_at")

    shown = fmi("night", old.root / "logs" / "monday.csv", "--workspace", old.root)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "dimmer lamp by 1.14 stops" in " ".join(shown.stdout.split())


def test_the_recipe_of_the_night_is_shown_on_its_examples(
    unpacked: Path, tmp_path: Path, fmi: Fmi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was written, at its old name; in a workspace the failure mode's id will do."""
    path, sheet = unpacked / "artifacts" / FINISHED / f"recipe-{FINISHED}-1.yaml", tmp_path / "sheet.png"
    assert fmi("init", unpacked).returncode == 0
    for name in (path, f"{FINISHED}-1"):
        about = (name, "--workspace", unpacked)
        checked = fmi("recipe", "check", *about)
        assert (checked.returncode, checked.stderr) == (0, "")
        assert "dimmer lamp 0.228 to 1.83 stops or gamma darker" in " ".join(checked.stdout.split())
        shown = fmi("recipe", "show", *about, "--strengths", "--out", sheet)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert picture(sheet).std() > 0
    monkeypatch.chdir(path.parent)
    names: dict[str, Any] = {"image": given("grey"), "epoch": 0, "index": 1}
    exec(code_of(path), names)
    assert_same_picture(
        names["image"],
        RecipeTransform(load_recipe(path), path.parent)(given("grey"), epoch=0, index=1),
        "epoch 0, index 1",
    )


@pytest.mark.slow
@pytest.mark.usefixtures("prefect")
def test_the_interrupted_night_goes_on_to_its_end(old: Old, fmi: Fmi) -> None:
    """Started again, as after every update; it finds the failure mode of the night before again."""
    answer = fmi("night", old.root / "logs" / "tuesday.csv", "--json", "--workspace", old.root)
    assert (answer.returncode, answer.stderr) == (0, "")
    told = json.loads(answer.stdout)
    assert (told["night_id"], told["state"], told["errors_read"]) == (old.interrupted, "finished", 13)
    (mode,) = told["failure_modes"]
    assert (mode["claimed"], mode["family"]) == (True, "darker")
    assert (mode["lineage"], mode["trend"], mode["previous_errors"]) == (old.mode_id, "shrinking", 27)
    assert Path(told["report"]).is_file()
    assert len(old.ask("FROM nights")) == 2


@pytest.mark.usefixtures("prefect")
def test_it_retrains_with_the_recipe_of_then(old: Old, fmi: Fmi) -> None:
    about = (old.mode_id, "--arm", "recipes", "--holdout", old.root / "images" / "unseen")
    answer = fmi("retrain", *about, "--json", "--workspace", old.root)
    assert (answer.returncode, answer.stderr) == (0, "")
    done = json.loads(answer.stdout)
    assert done["mode_ids"] == [old.mode_id]
    by_name = {each["name"]: each for each in done["accuracies"]}
    assert by_name["images not in the log"]["images"] == 36
    assert by_name["images not in the log"]["before"] == 12
    assert by_name["clean validation images"]["before"] == 20
    assert len(old.ask("FROM retrainings")) == 2
    ((parent,),) = old.ask(f"SELECT parent_hash FROM models WHERE model_hash = '{done['candidate_hash']}'")
    assert parent == done["model_hash"]


def test_the_models_of_then_judge_as_they_did(old: Old, fmi: Fmi, tmp_path: Path) -> None:
    """The deployed one errs on what both logs hold, the accepted candidate on fewer images."""
    logged = [row for name in ("monday", "tuesday") for row in rows(old.root / "logs" / f"{name}.csv")]
    about = ("evaluate", old.root / "images" / "aged", "--workspace", old.root)
    assert fmi(*about, "--log", tmp_path / "now.csv").returncode == 0
    judged = {(Path(row["image_path"]).parts[-2:], row["predicted_label"]) for row in logged}
    assert len(judged) == 40
    assert judged == {
        (Path(row["image_path"]).parts[-2:], row["predicted_label"]) for row in rows(tmp_path / "now.csv")
    }
    ((candidate,),) = old.ask("SELECT candidate_hash FROM retrainings WHERE decision = 'accepted'")
    assert fmi(*about, "--model", candidate, "--log", tmp_path / "mended.csv").returncode == 0
    assert len(rows(tmp_path / "mended.csv")) < 20


def rows(log: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(log.read_text(encoding="utf-8").splitlines()))


def test_sql_answers(old: Old, fmi: Fmi) -> None:
    asked = "SELECT night_id, state, modes, retrainings, accepted FROM night_overview ORDER BY started_at"
    answer = fmi("sql", asked, "--workspace", old.root)
    assert (answer.returncode, answer.stderr) == (0, "")
    _, *rows = csv.reader(answer.stdout.splitlines())
    assert rows == [[old.finished, "finished", "1", "1", "1"], [old.interrupted, "running", "0", "0", "0"]]


def test_the_dashboard_serves_it(old: Old) -> None:
    workspace = open_workspace(old.root)
    app = create_app(workspace, Store(workspace.store_path), Workbench())
    with served(app) as address, httpx.Client(base_url=address) as client:
        pages = {
            "/": (old.interrupted, "its process was ended"),
            "/nights": (old.finished, old.interrupted, "its process was ended", "darker"),
            f"/nights/{old.finished}": ("Dimmer lamp: ", old.mode_id),
            f"/nights/{old.interrupted}": ("tuesday.csv",),
            f"/modes/{old.mode_id}": ("layer1", "Sato", "26"),
            f"/modes/{old.mode_id}/evidence": ("layer1", "dimmer lamp by 1.14 stops"),
            f"/modes/{old.mode_id}/history": (
                *("The lamp of station 2 was replaced.", "images not in the log", "12", "26", "36"),
            ),
            "/models": ("small_resnet", "candidate", "deployed", "model v2"),
            f"/reports/{old.finished}": ("dimmer lamp by 1.14 stops", "data:image/png;base64,"),
        }
        for path, words in pages.items():
            answer = client.get(path)
            assert answer.status_code == 200, path
            assert [word for word in words if word not in answer.text] == [], path
        page = client.get(f"/modes/{old.mode_id}/evidence").text
        pictures = set(re.findall(r'(?:src|href)="(/artifacts/[^"]+)"', page))
        assert len(pictures) > 30
        assert {client.get(picture).status_code for picture in pictures} == {200}


@pytest.mark.parametrize("name", ["small_resnet", "small_vgg"])
def test_an_architecture_is_found_by_the_name_that_stands_in_old_stores(name: str) -> None:
    from fmi_engine.classifier import build_network  # with torch

    network = build_network(f"inspection.networks:{name}", 3, 1)
    assert sum(each.numel() for each in network.parameters()) > 1_000_000
