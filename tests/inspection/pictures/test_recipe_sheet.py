"""A recipe drawn and told: what stands in which cell, whose recipe it is, and what is refused."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.guide import topic
from inspection.inputs.images import read_image, write_image
from inspection.operations.operation import Image
from inspection.pictures.recipe_sheet import (
    Example,
    RecipeRequest,
    check_lines,
    find_examples,
    recipe_sheet,
    show_recipe,
)
from inspection.pictures.sheet import draw, plan
from inspection.recipes.overlays import (
    FIXED_PATTERN,
    LEVELS,
    RESIDUAL_TEXTURE,
    TONE_CURVE,
    TextureFile,
    write_pattern,
    write_texture,
    write_tones,
)
from inspection.recipes.recipe import (
    Coverage,
    Ingredient,
    RecipeTransform,
    build_recipe,
    load_recipe,
    write_recipe,
)
from inspection.workspace.folder import create_workspace
from inspection.workspace.store import Store
from tests.benchmarks.planted import load_faults
from tests.conftest import Answer
from tests.dashboards.hand_made import MODE_ID, MODEL, WITHHELD_ID, make_night

Fmi = Callable[..., Answer]
SIZE = 32
LAMP = Ingredient("dimmer lamp", 0.5, 1.5)
OFFSET = Ingredient("offset darker", 0.1, 0.2)


def grey(value: int, channels: int = 1) -> Image:
    return np.full((SIZE, SIZE, channels), value, np.uint8)


def recipe_of(folder: Path, *groups: list[Ingredient], share: float = 0.5, channels: int = 1) -> Path:
    """A recipe file of its own name, with the failure mode m-1 in it."""
    findings = {"failure_mode": "m-1", "diagnosis": "The light is dimmer."}
    recipe = build_recipe(groups, Coverage(share, 0, (SIZE, SIZE), channels), findings, folder)
    write_recipe(recipe, folder / "recipe-m-1.yaml")
    return folder / "recipe-m-1.yaml"


def textured(folder: Path) -> Path:
    """A recipe with a pattern that doubles the light on the left, and three residual textures."""
    left = np.zeros((SIZE, SIZE, 1), np.float32)
    left[:, : SIZE // 2] = np.log(2.0)
    pattern = write_pattern(left, folder, "t/pattern.png")
    stripes = [np.full((SIZE, SIZE, 1), value, np.float32) for value in (-20, 10, 30)]
    residuals = tuple(write_texture(each, folder, f"t/residual-{i}.png") for i, each in enumerate(stripes))
    return recipe_of(
        folder,
        [Ingredient(FIXED_PATTERN, 1.0, 1.0, (pattern,))],
        [Ingredient(RESIDUAL_TEXTURE, 0.5, 1.0, residuals)],
    )


def darker(folder: Path, name: str = "t/tones.png") -> TextureFile:
    """A curve that takes half of every grey level."""
    return write_tones(LEVELS * np.float32(0.5), folder, name)


def request_of(path: Path, **more: object) -> RecipeRequest:
    return replace(RecipeRequest(path, path.with_name("sheet.png")), **more)  # type: ignore[arg-type]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Eight images in two classes, of another size than the recipe's."""
    for label, level in (("good", 100), ("pit", 180)):
        for i in range(4):
            write_image(tmp_path / "images" / label / f"{i}.png", np.full((50, 40), level + i, np.uint8))
    return tmp_path / "images"


def examples_of(*levels: int) -> list[Example]:
    return [Example(f"{level}.png", "good", grey(level)) for level in levels]


# --- what stands on a sheet ---


def test_a_row_is_the_image_and_draws_that_differ(tmp_path: Path) -> None:
    path = recipe_of(tmp_path, [LAMP], share=0.1)
    sheet = recipe_sheet(load_recipe(path), request_of(path, draws=4), examples_of(100, 200))
    assert sheet.title == "Dimmer lamp 0.5 to 1.5 stops, on 10 % of the images"
    assert [row.label for row in sheet.rows] == ["100.png", "200.png"]
    for row, level in zip(sheet.rows, (100, 200), strict=True):
        first, *drawn = (cell.picture for cell in row.cells if cell)
        assert np.unique(first).tolist() == [level]
        levels = [int(picture[0, 0, 0]) for picture in drawn]
        assert len(set(levels)) == 4
        assert all(level / 2**1.5 - 1 <= each <= level / 2**0.5 + 1 for each in levels)  # all are changed


def test_strengths_go_in_even_steps_from_the_lowest_to_the_highest(tmp_path: Path) -> None:
    path = recipe_of(tmp_path, [LAMP])
    sheet = recipe_sheet(load_recipe(path), request_of(path, draws=3, strengths=True), examples_of(160))
    (row,) = sheet.rows
    assert [line.text for line in row.details] == ["good", "dimmer lamp, stops"]
    cells = [cell for cell in row.cells[1:] if cell]
    assert [cell.lines[0].text for cell in cells] == ["0.5", "1", "1.5"]
    for cell, stops in zip(cells, (0.5, 1.0, 1.5), strict=True):
        assert int(cell.picture[0, 0, 0]) == pytest.approx(160 / 2**stops, abs=1)


def test_strengths_show_every_choice_however_few_the_images(tmp_path: Path) -> None:
    path = recipe_of(tmp_path, [LAMP, OFFSET], [Ingredient("defocus", 0.0, 2.0)])
    request = request_of(path, draws=2, strengths=True)
    sheet = recipe_sheet(load_recipe(path), request, examples_of(160))
    assert [[line.text for line in row.details] for row in sheet.rows] == [
        ["good", "dimmer lamp, stops", "defocus, pixels (sigma)"],
        ["good", "offset darker, of full scale", "defocus, pixels (sigma)"],
    ]
    texts = [[cell.lines[0].text for cell in row.cells[1:] if cell] for row in sheet.rows]
    assert texts == [["0.5 and 0.02", "1.5 and 2"], ["0.1 and 0.02", "0.2 and 2"]]
    darker = [int(cell.picture[0, 0, 0]) for cell in sheet.rows[1].cells[1:] if cell]
    assert darker == [pytest.approx(160 - 255 * by, abs=1) for by in (0.1, 0.2)]


def test_one_step_alone_is_the_highest(tmp_path: Path) -> None:
    path = recipe_of(tmp_path, [LAMP])
    sheet = recipe_sheet(load_recipe(path), request_of(path, draws=1, strengths=True), examples_of(160))
    assert [cell.lines[0].text for cell in sheet.rows[0].cells[1:] if cell] == ["1.5"]


def test_textures_stand_in_the_first_rows_as_their_files_hold_them(tmp_path: Path) -> None:
    path = textured(tmp_path)
    sheet = recipe_sheet(load_recipe(path), request_of(path, draws=2), examples_of(60))
    pattern, residuals, image = sheet.rows
    assert (pattern.label, residuals.label, image.label) == (FIXED_PATTERN, RESIDUAL_TEXTURE, "60.png")
    assert [row.details[0].text for row in (pattern, residuals)] == ["1 texture", "2 of 3 textures"]
    assert pattern.cells[0] is None
    assert pattern.cells[1] is not None
    assert pattern.cells[2] is None  # there is but one
    assert np.array_equal(pattern.cells[1].picture, read_image(tmp_path / "t/pattern.png", None, 1))
    assert [np.unique(cell.picture).tolist() for cell in residuals.cells if cell] == [[108], [138]]
    changed = [cell.picture for cell in image.cells[1:] if cell]
    for picture in changed:  # (60 + 8) * 2 - 8 in place of 60, and on it twice as much of the texture
        assert 68 - 20 / 2 <= np.ptp(picture) <= 68 + 30 / 2
    assert any("middle grey is no change" in note for note in sheet.notes)
    assert "its textures; below, as the recipe changes it" in {column.group for column in sheet.columns}


def test_a_curve_stands_in_the_first_row_and_is_read_as_one(tmp_path: Path) -> None:
    path = recipe_of(tmp_path, [Ingredient(TONE_CURVE, 1.0, 1.0, (darker(tmp_path),))], channels=3)
    sheet = recipe_sheet(
        load_recipe(path), request_of(path, draws=2), [Example("a.png", "good", grey(60, 3))]
    )
    curve, image = sheet.rows
    assert (curve.label, curve.details[0].text) == (TONE_CURVE, "1 curve")
    assert curve.cells[1] is not None
    halves = np.rint(LEVELS / 2)
    assert np.array_equal(curve.cells[1].picture, np.broadcast_to(halves, (32, 256, 3)))
    assert [np.unique(cell.picture).tolist() for cell in image.cells if cell] == [[60], [30], [30]]
    (note,) = sheet.notes
    assert note.startswith("Of a curve, the place from left to right is a grey level from black to white")
    assert "middle grey" not in note
    assert {column.group for column in sheet.columns[1:]} == {"its curves; below, as the recipe changes it"}
    assert draw(sheet).shape[2] == 3


def test_strengths_of_a_curve_go_that_much_of_the_way(tmp_path: Path) -> None:
    path = recipe_of(tmp_path, [Ingredient(TONE_CURVE, 0.5, 1.5, (darker(tmp_path),))])
    request = request_of(path, draws=3, strengths=True)
    _, row = recipe_sheet(load_recipe(path), request, examples_of(100)).rows
    assert row.details[1].text == "tone curve, times as found"
    assert [int(cell.picture[0, 0, 0]) for cell in row.cells if cell] == [100, 75, 50, 25]


def test_a_title_too_long_stands_whole_at_the_foot(tmp_path: Path) -> None:
    path = recipe_of(tmp_path, [LAMP, OFFSET], [Ingredient("defocus", 0.2, 2.0)], [OFFSET, LAMP])
    sheet = recipe_sheet(load_recipe(path), request_of(path, draws=1), examples_of(60))
    assert sheet.title.endswith("...")
    assert sheet.notes[0].startswith("The recipe: dimmer lamp 0.5 to 1.5 stops or offset darker")
    assert sheet.notes[0].endswith("on 50 % of the images.")


def test_the_sheet_is_written_as_it_was_laid_out(tmp_path: Path, images: Path) -> None:
    path = recipe_of(tmp_path, [LAMP], channels=3)
    request = request_of(path, images=images, count=3, draws=2, out=tmp_path / "new" / "sheet.png")
    recipe, sheet = show_recipe(request)
    assert recipe == load_recipe(path)
    drawn = read_image(request.out, None, 3)
    assert np.array_equal(drawn, draw(sheet))
    laid = plan(sheet)
    top, left = laid.tops[0], laid.lefts[0]
    assert np.unique(drawn[top : top + laid.cell[0], left : left + laid.cell[1]]).tolist() == [100]


# --- which images, and which recipe ---


def test_images_are_even_over_the_classes_and_resized(tmp_path: Path, images: Path) -> None:
    path = recipe_of(tmp_path, [LAMP])
    found = find_examples(load_recipe(path), request_of(path, images=images, count=4))
    assert [(each.label, each.name) for each in found] == [
        ("good", "0.png"), ("good", "1.png"), ("pit", "0.png"), ("pit", "1.png"),
    ]  # fmt: skip
    assert {each.pixels.shape for each in found} == {(SIZE, SIZE, 1)}
    table = tmp_path / "images.csv"
    table.write_text("image,label,line\nimages/good/0.png,good,A\nimages/pit/3.png,pit,B\n", encoding="utf-8")
    (chosen,) = find_examples(load_recipe(path), request_of(path, images=table, where="line = 'B'"))
    assert (chosen.name, int(chosen.pixels[0, 0, 0])) == ("3.png", 183)


def test_without_images_those_of_the_night_are_taken(tmp_path: Path) -> None:
    path = recipe_of(tmp_path, [LAMP])
    for i in range(3):
        write_image(tmp_path / "examples-m-1" / f"{i}-before.png", grey(50 + i))
        write_image(tmp_path / "examples-m-1" / f"{i}-after.png", grey(9))
    found = find_examples(load_recipe(path), request_of(path, count=2))
    assert [(each.name, int(each.pixels.mean())) for each in found] == [
        ("0-before.png", 50), ("1-before.png", 51),
    ]  # fmt: skip


def test_a_failure_mode_stands_for_its_recipe(fmi: Fmi, tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "site")
    store = Store(workspace.store_path)
    store.create()
    store.add_model(MODEL, [])
    night = make_night(workspace)
    store.start_night(night)
    store.finish_night(night)
    recipe = store.mode(MODE_ID).recipe
    assert recipe is not None
    path = workspace.root / recipe.path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recipe(build_recipe([[LAMP]], Coverage(0.5, 0, (SIZE, SIZE), 1), {}), path)
    answer = fmi("recipe", "check", MODE_ID, "--workspace", workspace.root)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith(f"{path} is sound")
    refused(fmi("recipe", "check", WITHHELD_ID, "-w", workspace.root), WITHHELD_ID, "has no recipe")
    refused(fmi("recipe", "show", "nothing", "-w", workspace.root), "nothing: no such file", MODE_ID)


# --- what is told ---


def test_check_says_in_words_what_a_recipe_does(fmi: Fmi, tmp_path: Path) -> None:
    path = recipe_of(tmp_path, [LAMP], [Ingredient("defocus", 0.2, 2.0)])
    answer = fmi("recipe", "check", path)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines() == [
        f"{path} is sound: whole and unchanged.",
        "What it does: dimmer lamp 0.5 to 1.5 stops, then defocus 0.2 to 2 pixels (sigma), on 50 % of the "
        "images.",
        "  dimmer lamp: the light is dimmer",
        "  defocus: the image is out of focus",
        "Made for uint8 images of 32 x 32 pixels (height x width) and 1 channel, with albumentations 2.0.8.",
        "Written for failure mode m-1: The light is dimmer.",
    ]  # fmt: skip


def test_check_counts_the_textures(tmp_path: Path) -> None:
    path = textured(tmp_path)
    told = check_lines(path, load_recipe(path))
    assert told[0] == f"{path} is sound: whole and unchanged, and its 4 textures as they were written."
    assert "  fixed pattern: what lies at the same place on all the failing images (1 texture)" in told


def test_check_speaks_of_a_curve(tmp_path: Path) -> None:
    curve = Ingredient(TONE_CURVE, 0.2, 1.3, (darker(tmp_path),))
    path = recipe_of(tmp_path, [curve])
    told = check_lines(path, load_recipe(path))
    assert told[:3] == [
        f"{path} is sound: whole and unchanged, and its 1 curve as they were written.",
        "What it does: tone curve 0.2 to 1.3 times as found, on 50 % of the images.",
        "  tone curve: what every grey level of the failing images became (1 curve)",
    ]
    groups = [list(group) for group in load_recipe(textured(tmp_path)).ingredients]
    path = recipe_of(tmp_path, *groups, [curve])
    recipe = load_recipe(path)
    assert "and its 4 textures and 1 curve as they were written" in check_lines(path, recipe)[0]
    sheet = recipe_sheet(recipe, request_of(path, draws=1), examples_of(60))
    assert [note[:9] for note in sheet.notes[-2:]] == ["Of a text", "Of a curv"]
    assert sheet.columns[1].group == "its textures and curves; below, as the recipe changes it"


def test_show_says_where_the_sheet_is(fmi: Fmi, tmp_path: Path, images: Path) -> None:
    path, out = textured(tmp_path), tmp_path / "out.png"
    answer = fmi("recipe", "show", path, "--images", images, "--out", out, "--count", 1, "--draws", 1)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines()[0].startswith("The recipe: fixed pattern 1 times as found, then")
    assert answer.stdout.splitlines()[1] == f"Sheet: {out}"
    assert cv2.imread(str(out)) is not None


# --- what is refused ---


def refused(answer: Answer, *words: str) -> None:
    """One line that holds the words, exit code 2, and no traceback."""
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.startswith("fmi: ")
    assert answer.stderr.count("\n") == 1
    assert "Traceback" not in answer.stdout + answer.stderr
    assert [word for word in words if word not in answer.stderr] == []


def test_a_recipe_that_cannot_be_used(fmi: Fmi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = textured(tmp_path)
    for command in ("check", "show"):
        refused(fmi("recipe", command, "gone.yaml"), "gone.yaml: there is no such file", "give a recipe")
        refused(fmi("recipe", command, "x" * 300), "no such file", "fmi.toml", "--workspace")
        refused(fmi("recipe", command, tmp_path), str(tmp_path), "there is no such file")
    texture = tmp_path / "t" / "residual-1.png"
    kept = texture.read_bytes()
    write_image(texture, grey(128))
    refused(fmi("recipe", "check", path), str(path), str(texture), "was changed or damaged", "restore it")
    texture.unlink()
    refused(fmi("recipe", "check", path), str(texture), "cannot be read", "keep it beside the recipe")
    texture.write_bytes(kept)
    assert fmi("recipe", "check", path).returncode == 0
    path.write_text(path.read_text(encoding="utf-8").replace("share: 0.5", "share: 0.9"), encoding="utf-8")
    refused(fmi("recipe", "check", path), str(path), "was changed or damaged since it was written")
    path.write_bytes(b"\0\1")
    refused(fmi("recipe", "show", path), str(path), "cannot be read")


def test_images_and_sheets_that_cannot_be_used(fmi: Fmi, tmp_path: Path, images: Path) -> None:
    path = recipe_of(tmp_path, [LAMP])
    out = tmp_path / "sheet.png"
    show = ("recipe", "show", path, "--out", out)
    refused(fmi(*show), str(path), "examples-m-1/*-before.png", "--images DIR")
    refused(fmi(*show, "--where", "x = 1"), "--where 'x = 1'", "--images")
    refused(
        fmi(*show, "--images", tmp_path / "gone"), f"{tmp_path / 'gone'}: there is no such folder or table"
    )
    (images / "good" / "0.png").write_bytes(b"no image")
    refused(fmi(*show, "--images", images), str(images / "good" / "0.png"), "not an image")
    shutil.rmtree(images / "good")
    given = ("recipe", "show", path, "--images", images, "--out")
    refused(fmi(*given, tmp_path / "sheet.jpg"), "--out", "sheet.jpg", "ends in .png")
    (tmp_path / "file").touch()
    refused(
        fmi(*given, tmp_path / "file" / "sheet.png"), "--out", str(tmp_path / "file"), "cannot be written"
    )
    assert not out.exists()
    assert fmi(*given, out).returncode == 0


# --- the guide's examples ---


def example(name: str, of: str) -> str:
    """The one code block of a topic that holds some words."""
    blocks = re.findall(r"^```python\n(.*?)^```", topic(name).text, re.M | re.S)
    (block,) = (each for each in blocks if of in each)
    return str(block)


def test_the_data_set_of_the_guide_changes_what_the_recipe_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    block = example("recipes", "torch.utils.data.Dataset")
    (name,) = re.findall(r'Path\("(.+?)"\)', block)
    textured(tmp_path).rename(tmp_path / name)
    held: dict[str, type] = {}
    exec(block, held)
    images, labels = np.stack([grey(60 + i) for i in range(8)]), np.arange(8)
    data = held["Changed"](images, labels)
    data.epoch = 3
    change = RecipeTransform(load_recipe(name))
    for index in range(8):
        pixels, label = data[index]
        expected = change(images[index], epoch=3, index=index).transpose(2, 0, 1) / np.float32(255)
        assert np.allclose(pixels.numpy(), expected)
        assert label == index
    assert len(data) == 8


def test_the_fault_of_the_guide_can_be_planted(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(example("benchmarks", ".family = "), encoding="utf-8")
    ((_, fault),) = load_faults(path).items()
    dark, darker = (fault(grey(200), np.random.default_rng(0), strength).mean() for strength in (1.0, 2.0))
    assert 200 > dark > darker > 0
