"""What version 0.1.0 wrote still loads, works and means the same; the package says how it was made."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from inspection.recipes import RecipeTransform, load_recipe
from tests.conftest import Answer

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
    text = (RECIPES / f"{name}.yaml").read_text(encoding="utf-8")
    code = "\n".join(line[6:] for line in text.splitlines() if line.startswith("#     "))
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
