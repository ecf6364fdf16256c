import hashlib
import json
import math
import multiprocessing
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from inspection.errors import InspectionError, RecipeError
from inspection.operations.catalogue import operations_for
from inspection.pictures.recipe_sheet import check_lines
from inspection.recipes.recipe import (
    Coverage,
    Ingredient,
    Recipe,
    RecipeTransform,
    build_recipe,
    draw_examples,
    is_as_built,
    load_recipe,
    summarise,
    write_recipe,
)

Image = NDArray[np.uint8]
Values = dict[str, Any]

DIMMER = Ingredient("dimmer lamp", 0.2, 1.5)
GAMMA = Ingredient("gamma darker", 0.2, 1.0)
SIDE = Ingredient("side light from the left", 0.5, 2.0)
FINDINGS = {"night": "night-1", "filters": ["layer2:17"], "flip_rate": 0.85, "claimed": True, "draws": (1, 2)}


class Stranger(A.ImageOnlyTransform):  # type: ignore[misc]
    """A transform that albumentations would build, because every subclass registers itself."""


def recipe_of(
    *groups: list[Ingredient], share: float = 0.5, seed: int = 7, channels: int = 1, size: int = 32
) -> Recipe:
    return build_recipe(
        groups or [[DIMMER, GAMMA], [SIDE]], Coverage(share, seed, (size, size), channels), FINDINGS
    )


def constant(value: int, size: int = 32) -> Image:
    return np.full((size, size, 1), value, np.uint8)


def textured(channels: int = 1, size: int = 32) -> Image:
    return np.random.default_rng(1).integers(60, 180, (size, size, channels), dtype=np.uint8)


def draw(recipe: Recipe, image: Image, count: int, epoch: int = 0) -> list[Image]:
    change = RecipeTransform(recipe)
    return [change(image, epoch=epoch, index=index) for index in range(count)]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    write_recipe(recipe_of(), path)
    return path


# --- the file ---------------------------------------------------------------------------------------------


def test_round_trip(tmp_path: Path) -> None:
    recipe, path = recipe_of(), tmp_path / "recipes" / "night-1.yaml"
    sha256 = write_recipe(recipe, path)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_recipe(path) == recipe
    assert recipe.findings == {**FINDINGS, "draws": [1, 2]}
    assert write_recipe(load_recipe(path), path) == sha256
    assert [each.name for each in path.parent.iterdir()] == ["night-1.yaml"]


def test_a_loaded_recipe_gives_the_same_images(written: Path) -> None:
    image = textured()
    pairs = zip(draw(recipe_of(), image, 20), draw(load_recipe(written), image, 20), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_the_three_lines_of_the_header_run(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(written.parent)
    lines = [line[6:] for line in written.read_text().splitlines() if line.startswith("#     ")]
    assert len(lines) == 3
    image = textured()
    names: Values = {"image": image, "epoch": 2, "index": 4}
    exec("\n".join(lines), names)
    assert np.array_equal(names["image"], RecipeTransform(recipe_of())(image, epoch=2, index=4))
    assert not np.array_equal(names["image"], image)


def test_albumentations_alone_reads_the_pipeline(written: Path) -> None:
    values = yaml.safe_load(written.read_text())
    pipeline = A.from_dict(values["pipeline"])
    assert json.loads(json.dumps(pipeline.to_dict())) == values["pipeline"]
    assert pipeline.p == 0.5
    assert values["libraries"]["albumentations"] == A.__version__


def test_summary_and_header_say_what_it_does(written: Path) -> None:
    assert summarise(recipe_of()) == (
        "dimmer lamp 0.2 to 1.5 stops or gamma darker 0.2 to 1 doublings of gamma, "
        "then side light from the left 0.5 to 2 stops, on 50 % of the images"
    )
    exact = recipe_of([Ingredient("JPEG compression", 40, 40)], share=0.125)
    assert summarise(exact) == "JPEG compression 40 points of quality below 100, on 12.5 % of the images"
    header = " ".join(line[2:] for line in written.read_text().splitlines() if line.startswith("# "))
    assert summarise(recipe_of()) in header


def test_writing_over_a_file_where_a_folder_should_be_is_refused(written: Path) -> None:
    with pytest.raises(RecipeError, match="cannot write"):
        write_recipe(recipe_of(), written / "recipe.yaml")
    assert load_recipe(written) == recipe_of()


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    taken = tmp_path / "recipe.yaml"
    (taken / "inside").mkdir(parents=True)
    with pytest.raises(RecipeError, match="cannot write"):
        write_recipe(recipe_of(), taken)
    assert [each.name for each in tmp_path.iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("highest: 1.5", "highest: 2.5"),
        ("contrast_limit: [", "contrast_limit: [-0.9, -0.8, "),
        ("seed: 7", "seed: 8"),
        ("night: night-1", "night: night-2"),
        ("share: 0.5", "share: 0.5\nnote: mine"),
    ],
)
def test_a_file_changed_by_hand_is_refused(written: Path, before: str, after: str) -> None:
    text = written.read_text()
    assert text.count(before) == 1
    written.write_text(text.replace(before, after))
    with pytest.raises(RecipeError, match=r"recipe\.yaml .*changed or damaged"):
        load_recipe(written)


# Nine lists of nine of the list before: 3.5 billion entries in 300 bytes.
BILLION = b"a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (i, i, b",".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 10)
)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "holds NoneType"),
        (b"- 1\n- 2\n", "holds list"),
        (b"version: [1", "cannot be read"),
        (b"\xff\xfe\x00\x01\x02", "cannot be read"),
        (b"version: 2024-13-45", "cannot be read"),
        (b"[" * 3000, "cannot be read"),
        (b"version: 1\nseed: .nan\n", "text, numbers"),
        (b"a: &a [1, 2]\nb: *a\n", "holds an alias"),
        (BILLION, "holds an alias"),
    ],
)
def test_a_damaged_file_is_refused(written: Path, content: bytes, complaint: str) -> None:
    written.write_bytes(content)
    with pytest.raises(RecipeError, match=complaint):
        load_recipe(written)


def test_a_file_cut_short_is_refused(written: Path) -> None:
    text = written.read_text()
    written.write_text(text[: text.index("sha256")])
    with pytest.raises(RecipeError, match="changed or damaged"):
        load_recipe(written)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.yaml.*No such file"):
        load_recipe(tmp_path / "nowhere.yaml")


def test_python_objects_in_a_file_are_not_made(written: Path) -> None:
    spy = written.parent / "made"
    written.write_text(
        f"version: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{spy}]]"
    )
    with pytest.raises(RecipeError, match="could not determine a constructor"):
        load_recipe(written)
    assert not spy.exists()


# --- files that carry the right digest and are still refused ----------------------------------------------


def forge(path: Path, change: Callable[[Values], object]) -> Path:
    """Change the values of a written recipe and give them the digest that fits."""
    values = yaml.safe_load(path.read_text())
    del values["sha256"]
    change(values)
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    path.write_text(yaml.safe_dump({**values, "sha256": digest}))
    return path


def first_transform(values: Values) -> Values:
    transform: Values = values["pipeline"]["transform"]["transforms"][0]["transforms"][0]
    return transform


def test_a_pipeline_of_other_ingredients_is_told_from_the_ingredients_own(written: Path) -> None:
    assert is_as_built(load_recipe(written), written.parent)
    forge(written, lambda values: values["ingredients"][0][0].update(highest=2.5))
    assert not is_as_built(load_recipe(written), written.parent)
    (line,) = [each for each in check_lines(written, load_recipe(written)) if "ingredients" in each]
    assert line.startswith("Its pipeline is not what this version builds of these ingredients")


def test_forge_itself_is_accepted(written: Path) -> None:
    assert load_recipe(forge(written, lambda values: values.update(seed=8))).seed == 8


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "subprocess.Popen",
        "Nonsense",
        "Lambda",
        "BboxParams",
        "albumentations.core.composition.Compose",
        f"{__name__}.Stranger",
        None,
        7,
    ],
)
def test_a_foreign_class_is_refused(written: Path, name: object) -> None:
    forge(written, lambda values: first_transform(values).update(__class_fullname__=name))
    with pytest.raises(RecipeError, match=f"'{name}', which is no transform"):
        load_recipe(written)


def test_the_foreign_class_would_have_been_built() -> None:
    assert isinstance(A.from_dict(Stranger(p=1.0).to_dict()), Stranger)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda values: values.update(version=3), "version 3, and this software reads 1 to 2"),
        (lambda values: values.pop("version"), "version None"),
        (lambda values: values["libraries"].update(albumentations="1.4.24"), r"albumentations 1\.4\.24"),
        (lambda values: values["libraries"].update(albumentations="2.1.0"), r"albumentations 2\.1\.0"),
        (lambda values: values["libraries"].pop("albumentations"), "albumentations none"),
        (lambda values: values.update(note="mine"), "note = 'mine'"),
        (lambda values: values.pop("seed"), "seed = "),
        (lambda values: values.update(share=1.5), r"share = 1\.5"),
        (lambda values: values.update(share=0.4), r"the share of 0\.4"),
        (lambda values: values.update(input_size=[32]), "input_size"),
        (lambda values: values.update(pipeline="Compose"), "pipeline = 'Compose'"),
        (lambda values: values.update(pipeline={}), "the pipeline holds None"),
        (lambda values: values["ingredients"][0][0].update(unit="stops"), "ingredients.0.0.unit"),
        (lambda values: values["ingredients"][0][0].update(operation="fog"), "no operation 'fog'"),
        (lambda values: first_transform(values).update(gamma=2), "'gamma' are not valid"),
        (lambda values: first_transform(values).update(contrast_limit="high"), "contrast_limit"),
        (lambda values: first_transform(values).pop("p"), "its p"),
        (lambda values: values["pipeline"]["transform"].update(transforms=3), "expected a list"),
        (lambda values: values["pipeline"]["transform"].update(transforms=["x"]), "holds 'x'"),
        (lambda values: values["pipeline"]["transform"].update(colour=3), "colour"),
        (lambda values: values["pipeline"].update(transform=first_transform(values)), "one Compose"),
    ],
)
def test_what_does_not_fit_is_refused(
    written: Path, change: Callable[[Values], object], complaint: str
) -> None:
    with pytest.raises(RecipeError, match=complaint):
        load_recipe(forge(written, change))


def test_a_file_of_version_1_which_had_no_textures_is_read(written: Path) -> None:
    def older(values: Values) -> None:
        values["version"] = 1
        for group in values["ingredients"]:
            for each in group:
                del each["textures"]

    forge(written, older)
    assert load_recipe(written) == replace(recipe_of(), version=1)
    image = textured()
    for index in range(5):
        old, new = (RecipeTransform(each) for each in (load_recipe(written), recipe_of()))
        np.testing.assert_array_equal(old(image, epoch=0, index=index), new(image, epoch=0, index=index))


def test_another_patch_version_of_albumentations_is_fine(written: Path) -> None:
    forge(written, lambda values: values["libraries"].update(albumentations="2.0.5"))
    assert load_recipe(written).libraries["albumentations"] == "2.0.5"


# --- building ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "complaint"),
    [
        ([], "at least one ingredient"),
        ([[DIMMER], []], "at least one ingredient"),
        ([[Ingredient("dimmer lamp", 1.5, 0.2)]], r"1\.5 to 0\.2"),
        ([[Ingredient("dimmer lamp", -0.1, 0.2)]], r"-0\.1 to 0\.2"),
        ([[Ingredient("dimmer lamp", 0, 0)]], r"0\.0 to 0\.0"),
        ([[Ingredient("dimmer lamp", 0, math.inf)]], "0.0 to inf"),
        ([[Ingredient("dimmer lamp", math.nan, 1)]], "nan to 1"),
        ([[Ingredient("colour noise", 0.1, 0.2)]], "for images of 3 channels, not of 1"),
    ],
)
def test_groups_that_are_no_recipe_are_refused(groups: list[list[Ingredient]], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        build_recipe(groups, Coverage(0.5, 0, (32, 32), 1), {})


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"share": 1.2}, r"share = 1\.2"),
        ({"seed": -1}, "seed = -1"),
        ({"input_size": (0, 32)}, r"input_size\.0 = 0"),
        ({"findings": {"when": object()}}, "text, numbers, booleans"),
        ({"findings": {"share": math.nan}}, "text, numbers, booleans"),
    ],
)
def test_other_arguments_that_are_no_recipe_are_refused(arguments: Values, complaint: str) -> None:
    given: Values = {"share": 0.5, "seed": 0, "input_size": (32, 32), "channels": 1, "findings": {}}
    given |= arguments
    findings = given.pop("findings")
    with pytest.raises(RecipeError, match=complaint):
        build_recipe([[DIMMER]], Coverage(**given), findings)


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(InspectionError, match="no operation 'fog'"):
        recipe_of([Ingredient("fog", 0.1, 0.2)])


def test_strengths_stop_at_the_limit() -> None:
    recipe = recipe_of([Ingredient("lower contrast", 0.2, 1.3)], share=1.0)
    assert recipe.ingredients == ((Ingredient("lower contrast", 0.2, 1.0),),)
    image = np.concatenate([constant(80)[:16], constant(120)[:16]])
    spans = [np.ptp(each) for each in draw(recipe, image, 200)]
    assert 0 <= min(spans) < 5
    assert 28 < max(spans) <= 33  # 40 grey levels less a fifth, and one that is cut off


@pytest.mark.parametrize("channels", [1, 3])
def test_every_operation_works_in_a_recipe(channels: int, tmp_path: Path) -> None:
    group = [Ingredient(each.name, each.grid[0], each.grid[1]) for each in operations_for(channels)]
    recipe = recipe_of(group, group, share=1.0, channels=channels)
    write_recipe(recipe, tmp_path / "all.yaml")
    images = draw(load_recipe(tmp_path / "all.yaml"), textured(channels), 100)
    assert all(image.shape == (32, 32, channels) and image.dtype == np.uint8 for image in images)
    assert len({image.tobytes() for image in images}) > 95


# --- at work ----------------------------------------------------------------------------------------------


def test_the_share_is_observed() -> None:
    image = textured()
    changed = sum(not np.array_equal(each, image) for each in draw(recipe_of(share=0.3), image, 2000))
    assert abs(changed - 600) < 4 * math.sqrt(2000 * 0.3 * 0.7)


def test_strengths_of_the_changed_images_cover_their_whole_range() -> None:
    # Where every transform is seeded alike, the draw that decides the share also sets the strength, and
    # with a share of a half only the lower half of the strengths ever occurs.
    recipe = recipe_of([Ingredient("offset brighter", 0.0, 0.4)], share=0.5)
    added = [int(each[0, 0, 0]) - 100 for each in draw(recipe, constant(100), 2000)]
    quarters = np.histogram([each for each in added if each > 0], bins=4, range=(0, 102))[0]
    assert np.all(np.abs(quarters - 250) < 65)


def test_alternatives_are_drawn_equally_often() -> None:
    darker, brighter = Ingredient("offset darker", 0.1, 0.3), Ingredient("offset brighter", 0.1, 0.3)
    grey = np.array(
        [each[0, 0, 0] for each in draw(recipe_of([darker, brighter], share=1.0), constant(100), 1000)]
    )
    assert np.all((grey < 80) | (grey > 120))
    assert abs(int((grey < 80).sum()) - 500) < 64


def test_groups_follow_each_other_with_strengths_of_their_own() -> None:
    lamp, side = Ingredient("dimmer lamp", 0.0, 1.0), Ingredient("side light from the left", 0.5, 1.5)
    images = [each.astype(float) for each in draw(recipe_of([lamp], [side], share=1.0), constant(150), 500)]
    level = np.array([image.mean() / 150 for image in images])
    ratio = np.array([image[0, 0, 0] / image[0, -1, 0] for image in images])
    assert 0.48 < level.min() < 0.52
    assert 0.98 < level.max() < 1.01
    assert np.all((ratio > 2**0.5 - 0.05) & (ratio < 2**1.5 + 0.1))
    assert abs(np.corrcoef(level, ratio)[0, 1]) < 0.15


def test_order_does_not_matter() -> None:
    change, image = RecipeTransform(recipe_of()), textured()
    forwards = [change(image, epoch=1, index=index) for index in range(20)]
    backwards = [change(image, epoch=1, index=index) for index in reversed(range(20))]
    assert all(np.array_equal(one, other) for one, other in zip(forwards, reversed(backwards), strict=True))


def test_epochs_samples_and_seeds_differ() -> None:
    image, recipe = textured(), recipe_of(share=1.0)
    change = RecipeTransform(recipe)
    images = [change(image, epoch=epoch, index=index) for epoch in range(5) for index in range(5)]
    images.append(RecipeTransform(recipe_of(share=1.0, seed=8))(image, epoch=0, index=0))
    assert len({each.tobytes() for each in images}) == 26


def _images_of(change: RecipeTransform) -> list[bytes]:
    return [change(textured(), epoch=3, index=index).tobytes() for index in (4, 2, 9)]


def test_a_worker_process_gives_the_same_images() -> None:
    noise, spot = Ingredient("sensor noise", 0.01, 0.1), Ingredient("hot spot", 0.5, 2.0)
    change = RecipeTransform(recipe_of([noise, spot], [SIDE], share=1.0))
    here = _images_of(change)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_images_of, (change,)) == here


def test_a_pickled_transform_goes_on_alike() -> None:
    change = RecipeTransform(recipe_of())
    change(textured(), epoch=0, index=0)
    assert _images_of(pickle.loads(pickle.dumps(change))) == _images_of(change)


def test_an_image_outside_the_share_is_itself() -> None:
    image = textured()
    assert all(np.array_equal(each, image) for each in draw(recipe_of(share=0.0), image, 20))


@pytest.mark.parametrize(
    "image", [constant(9, size=24), constant(9)[:, :, 0], textured(3), constant(9).astype(np.float32)]
)
def test_another_kind_of_image_is_refused(image: Image) -> None:
    with pytest.raises(RecipeError, match=r"shape \(32, 32, 1\)"):
        RecipeTransform(recipe_of())(image, epoch=0, index=0)


@pytest.mark.parametrize(("epoch", "index"), [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(epoch: int, index: int) -> None:
    with pytest.raises(RecipeError, match="count from 0"):
        RecipeTransform(recipe_of())(textured(), epoch=epoch, index=index)


def test_a_recipe_made_by_hand_is_checked_before_it_works() -> None:
    foreign = {"transform": {"__class_fullname__": f"{__name__}.Stranger", "p": 1.0}}
    with pytest.raises(RecipeError, match="Stranger"):
        RecipeTransform(replace(recipe_of(), pipeline=foreign))


def test_examples_are_all_changed_and_the_recipe_stays() -> None:
    recipe = recipe_of([Ingredient("dimmer lamp", 1.0, 1.0)], share=0.01)
    examples = draw_examples(recipe, [constant(value) for value in (100, 60, 40)])
    assert [np.unique(each).tolist() for each in examples] == [[50], [30], [20]]
    assert recipe.pipeline["transform"]["p"] == 0.01
