"""The recipe of a diagnosis: what goes in, how strong, and where it says it comes from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from inspection.causes import measured_match
from inspection.causes.measured_change import EITHER
from inspection.evidence.blame import screen
from inspection.evidence.case import Case
from inspection.evidence.failing_textures import FailingTextures
from inspection.findings import BlamedFilter, Diagnosis, Doubt, DoubtKind, FlipRate
from inspection.inputs.images import read_image
from inspection.inputs.labelled import evenly
from inspection.modes.mode_recipe import indistinguishable, ingredient, write_mode_recipe
from inspection.nights.phrases import recipe_in_words, sentence
from inspection.recipes.overlays import (
    FIXED_PATTERN,
    RESIDUAL_TEXTURE,
    TEXTURE_PRIMITIVE,
    TONE_CURVE,
)
from inspection.recipes.recipe import Ingredient, RecipeTransform, draw_examples, load_recipe, summarise
from inspection.workspace.files import sha256_of
from inspection.workspace.settings import RecipeSettings
from tests.inspection.conftest import DIMMED, Plant

RATES = (
    FlipRate("stage2", 4, 16, 0.85, 0.57, 0.31, 0.12, 0.41, 0.03, 1.4),
    FlipRate("stage1", 2, 8, 0.4, 0.4, 0.1, -0.06, 0.13, 0.0, 0.6),
)
FILTERS = (BlamedFilter("stage2", 7, 1, 1.0, -2.0, 0.5), BlamedFilter("stage2", 3, 2, 0.5, 1.0, 0.2))


@pytest.fixture
def mine(plant: Plant, lamp_case: Case, tmp_path: Path) -> Case:
    changes = "recipe.weakest = 0.2\nrecipe.strongest = 1.3"
    here = replace(lamp_case.subject, workspace=plant.copied(tmp_path / "workspace", changes).workspace)
    return replace(lamp_case, subject=here)


def test_strengths_are_drawn_from_around_the_fitted_one() -> None:
    lamp = ingredient(DIMMED.matches[0], RecipeSettings(weakest=0.2, strongest=1.3))
    assert lamp == Ingredient("dimmer lamp", 0.25, 1.625)
    offset = ingredient(DIMMED.matches[1], RecipeSettings(weakest=0.5, strongest=2.0))
    assert offset == Ingredient("offset darker", 0.125, 0.5)


def test_the_best_goes_in_with_its_alternatives_only() -> None:
    assert indistinguishable(DIMMED) == [list(DIMMED.matches[:2])]
    alone = replace(DIMMED, matches=(DIMMED.matches[0], DIMMED.matches[2]))
    assert indistinguishable(alone) == [[DIMMED.matches[0]]]


def test_the_recipe_file_draws_one_of_them_for_its_share_of_the_images(mine: Case) -> None:
    found = write_mode_recipe(mine, "n-1-1", DIMMED, RATES, FILTERS)
    assert found is not None
    assert found.path == "artifacts/n-1/recipe-n-1-1.yaml"
    path = mine.subject.workspace.root / found.path
    recipe = load_recipe(path)
    assert found.sha256 == sha256_of(path)
    assert recipe.ingredients == (
        (
            Ingredient("dimmer lamp", 0.25, 1.625),
            Ingredient("offset darker", 0.05, 0.325),
        ),
    )
    (group,) = recipe.pipeline["transform"]["transforms"]
    assert group["__class_fullname__"] == "OneOf"
    assert len(group["transforms"]) == 2
    assert (recipe.share, recipe.seed, recipe.input_size, recipe.channels) == (0.5, 0, (32, 32), 1)
    assert found.summary == summarise(recipe)
    assert recipe_in_words(found, {}).replace("\u00a0", " ") == found.summary
    assert found.summary == (
        "dimmer lamp 0.25 to 1.62 stops or offset darker 0.05 to 0.325 of full scale, on 50 % of the images"
    )


def test_the_file_says_where_it_comes_from(mine: Case) -> None:
    found = write_mode_recipe(mine, "n-1-1", DIMMED, RATES, FILTERS)
    assert found is not None
    held = yaml.safe_load((mine.subject.workspace.root / found.path).read_text(encoding="utf-8"))
    assert held["findings"] == {
        "night": "n-1",
        "failure_mode": "n-1-1",
        "model": mine.subject.model.model_hash,
        "diagnosis": sentence(DIMMED),
        "explained_shares": {"dimmer lamp": 0.97, "offset darker": 0.95},
        "fitted_strengths": {"dimmer lamp": 1.25, "offset darker": 0.25},
        "control_share": 0.2,
        "flip_rates": [
            {
                "layer": "stage2",
                "filters": 4,
                "blame": 0.85,
                "deviation": 0.57,
                "random": 0.31,
                "withheld": False,
            },
            {
                "layer": "stage1",
                "filters": 2,
                "blame": 0.4,
                "deviation": 0.4,
                "random": 0.1,
                "withheld": True,
            },
        ],
        "blamed_filters": ["stage2:7", "stage2:3"],
    }
    assert held["seed"] == 0
    assert set(held["libraries"]) >= {"albumentations", "numpy", "opencv"}


def test_the_examples_are_correct_images_before_and_after(mine: Case) -> None:
    found = write_mode_recipe(mine, "n-1-1", DIMMED, RATES, FILTERS)
    assert found is not None
    chosen = mine.subject.correct.images[evenly(mine.subject.correct.labels, 2)]
    assert len(found.examples) == 2
    for i, ((before, after), image) in enumerate(zip(found.examples, chosen, strict=True)):
        assert (Path(before).name, Path(after).name) == (f"{i}-before.png", f"{i}-after.png")
        shown, changed = (read_image(mine.subject.workspace.root / path, None, 1) for path in (before, after))
        np.testing.assert_array_equal(shown, image)
        assert changed.mean() < shown.mean() - 5  # both operations darken


def test_only_the_share_of_the_training_images_is_changed(mine: Case) -> None:
    found = write_mode_recipe(mine, "n-1-1", DIMMED, RATES, FILTERS)
    assert found is not None
    change = RecipeTransform(load_recipe(mine.subject.workspace.root / found.path))
    image = mine.subject.correct.images[0]
    changed = sum(not np.array_equal(change(image, epoch=0, index=i), image) for i in range(200))
    assert 70 <= changed <= 130  # half of 200


def test_two_modes_of_a_night_have_a_recipe_each(mine: Case) -> None:
    paths = [write_mode_recipe(mine, f"n-1-{i}", DIMMED, RATES, FILTERS) for i in (1, 2)]
    recipes = [load_recipe(mine.subject.workspace.root / found.path) for found in paths if found]
    assert [recipe.findings["failure_mode"] for recipe in recipes] == ["n-1-1", "n-1-2"]


def test_two_modes_of_a_night_keep_their_own_examples(mine: Case) -> None:
    first = write_mode_recipe(mine, "n-1-1", DIMMED, RATES, FILTERS)
    assert first is not None
    before = [sha256_of(mine.subject.workspace.root / path) for pair in first.examples for path in pair]
    blurred = replace(DIMMED, matches=DIMMED.matches[2:])
    write_mode_recipe(mine, "n-1-2", blurred, RATES, FILTERS)
    assert [
        sha256_of(mine.subject.workspace.root / path) for pair in first.examples for path in pair
    ] == before


def test_where_nothing_is_claimed_there_is_no_recipe_and_no_file(mine: Case) -> None:
    doubted: Diagnosis = replace(
        DIMMED,
        claimed=False,
        family=None,
        operation=None,
        doubts=(Doubt(DoubtKind.TOO_FEW_ERRORS, (), 4, 5),),
    )
    assert write_mode_recipe(mine, "n-1-1", doubted, RATES, FILTERS) is None
    assert not mine.subject.workspace.night_folder("n-1").exists()


def test_two_operations_at_once_follow_each_other(mine: Case) -> None:
    both = replace(DIMMED, pair=(DIMMED.matches[0], DIMMED.matches[2]))
    assert indistinguishable(both) == [[DIMMED.matches[0]], [DIMMED.matches[2]]]
    found = write_mode_recipe(mine, "n-1-1", both, RATES, FILTERS)
    assert found is not None
    recipe = load_recipe(mine.subject.workspace.root / found.path)
    assert recipe.ingredients == (
        (Ingredient("dimmer lamp", 0.25, 1.625),),
        (Ingredient("defocus", 0.4, 2.6),),
    )
    assert recipe.findings["fitted_strengths"] == {"dimmer lamp": 1.25, "defocus": 2.0}


@pytest.mark.parametrize(
    ("measured", "textures"),
    [
        (FIXED_PATTERN, [["pattern.png"]]),
        (RESIDUAL_TEXTURE, [[f"residual-{i}.png" for i in (0, 1, 2)]]),
        (f"{FIXED_PATTERN} and {RESIDUAL_TEXTURE}", [["pattern.png"], ["residual-0.png", "residual-1.png"]]),
        (TONE_CURVE, [["tones.png"]]),
        (TEXTURE_PRIMITIVE, [["stage1-3-0.png", "stage1-3-1.png", "a%2Fb-7-2.png"]]),
    ],
)
def test_what_was_measured_lies_as_textures_beside_the_recipe(
    mine: Case, measured: str, textures: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three errors, or of two, every residual goes along; a primitive's file is named by its filter."""
    pictures = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 1)).astype(np.float32)
    made = FailingTextures(pictures, ("stage1:3", "stage1:3", "a/b:7"))
    monkeypatch.setattr(measured_match, "failing_textures", lambda _: made)
    few = mine.part(np.arange(max(2, len(textures[-1]))))
    found_on_them = replace(DIMMED, measured=measured, operation=measured, strength=1.0, share=0.9)
    found = write_mode_recipe(few, "n-1-1", found_on_them, RATES, FILTERS)
    assert found is not None
    path = mine.subject.workspace.root / found.path
    recipe = load_recipe(path)
    assert [[each.path for each in group[0].textures] for group in recipe.ingredients] == [
        [f"recipe-n-1-1-textures/{name}" for name in names] for names in textures
    ]
    assert [[sorted({*each.filters}) for each in group] for group in found.steps] == [
        [["a/b:7", "stage1:3"]] if measured == TEXTURE_PRIMITIVE else [[]] for _ in textures
    ]
    assert recipe_in_words(replace(found, summary="none"), {}).startswith(
        f"{found.steps[0][0].operation} 0.2"
    )
    for (each,) in recipe.ingredients:
        assert (each.lowest, each.highest) == (0.2, 1.3)
        assert each.operation in measured
        for texture in each.textures:
            assert sha256_of(path.parent / texture.path) == texture.sha256
    assert "dimmer lamp" not in found.summary
    # What the file says of shares and strengths is said of what is in it.
    assert recipe.findings["explained_shares"] == {measured: 0.9}
    assert recipe.findings["fitted_strengths"] == {measured: 1.0}
    image = mine.subject.correct.images[0]
    change = RecipeTransform(recipe, path.parent)
    assert any(not np.array_equal(change(image, epoch=0, index=i), image) for i in range(10))


def test_a_recipe_of_either_texture_draws_one_of_both(mine: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 1)).astype(np.float32)
    made = FailingTextures(pictures, ("stage1:3", "stage1:4"))
    monkeypatch.setattr(measured_match, "failing_textures", lambda _: made)
    claimed = replace(DIMMED, measured=EITHER, operation=EITHER, strength=1.0)
    found = write_mode_recipe(mine.part(np.arange(2)), "n-1-1", claimed, RATES, FILTERS)
    assert found is not None
    (group,) = load_recipe(mine.subject.workspace.root / found.path).ingredients
    assert [each.operation for each in group] == [RESIDUAL_TEXTURE, TEXTURE_PRIMITIVE]
    assert [len(each.textures) for each in group] == [2, 2]
    beside = replace(DIMMED, measured=TEXTURE_PRIMITIVE)
    found = write_mode_recipe(mine.part(np.arange(2)), "n-1-2", beside, RATES, FILTERS)
    assert found is not None
    (group,) = load_recipe(mine.subject.workspace.root / found.path).ingredients
    assert group[-1].operation == TEXTURE_PRIMITIVE


def test_residual_textures_stand_for_primitives_that_could_not_be_made(
    mine: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured_match, "failing_textures", lambda _: FailingTextures())
    claimed = replace(DIMMED, measured=TEXTURE_PRIMITIVE, operation=TEXTURE_PRIMITIVE, strength=1.0)
    found = write_mode_recipe(mine.part(np.arange(2)), "n-1-1", claimed, RATES, FILTERS)
    assert found is not None
    ((laid,),) = load_recipe(mine.subject.workspace.root / found.path).ingredients
    assert laid.operation == RESIDUAL_TEXTURE
    assert len(laid.textures) == 2


def test_the_recipe_of_a_tone_curve_bends_a_grey_ramp(mine: Case) -> None:
    """The errors have half of the light and 30 grey levels of a veil; the recipe goes there and back.

    At the strength as found it gives 30 + v / 2, at another goes that much of the way, on all pixels alike.
    """
    veiled = (30 + mine.subject.correct.images // 2).astype(np.uint8)
    errors = replace(mine, images=veiled, screening=screen(mine.subject, veiled, mine.subject.correct.labels))
    claimed = replace(DIMMED, measured=TONE_CURVE, operation=TONE_CURVE, strength=1.0)
    found = write_mode_recipe(errors, "n-1-1", claimed, RATES, FILTERS)
    assert found is not None
    assert found.summary == "tone curve 0.2 to 1.3 times as found, on 50 % of the images"
    path = mine.subject.workspace.root / found.path
    ramp = np.arange(96, 160, 2, dtype=np.uint8).reshape(1, 32, 1).repeat(32, 0)
    for index, changed in enumerate(draw_examples(load_recipe(path), [ramp] * 6, path.parent)):
        moved = changed.astype(float)[0, :, 0] - ramp[0, :, 0]
        strength = float(np.polyfit(30 - ramp[0, :, 0] / 2, moved, 1)[0])
        assert 0.2 - 0.05 <= strength <= 1.3 + 0.05, index
        assert moved == pytest.approx(strength * (30 - ramp[0, :, 0] / 2), abs=2), index
        assert np.all(changed == changed[:1])


def test_what_was_measured_beside_an_operation_takes_turns_with_it(mine: Case) -> None:
    beside = replace(DIMMED, measured=FIXED_PATTERN)
    found = write_mode_recipe(mine, "n-1-1", beside, RATES, FILTERS)
    alone = write_mode_recipe(mine, "n-1-2", DIMMED, RATES, FILTERS)
    assert found is not None
    assert alone is not None
    both, one = (load_recipe(mine.subject.workspace.root / each.path) for each in (found, alone))
    (group,), (named,) = both.ingredients, one.ingredients
    assert group[:-1] == named
    assert group[-1].operation == FIXED_PATTERN
    assert [texture.path for texture in group[-1].textures] == ["recipe-n-1-1-textures/pattern.png"]
    assert both.findings["explained_shares"] == one.findings["explained_shares"]


def test_more_residual_textures_than_are_wanted_do_not_go_along(mine: Case) -> None:
    settings = mine.subject.settings.model_copy(update={"recipe": RecipeSettings(textures=3)})
    here = replace(mine.subject, workspace=replace(mine.subject.workspace, settings=settings))
    few = replace(mine, subject=here)
    found_on_them = replace(DIMMED, measured=RESIDUAL_TEXTURE, operation=RESIDUAL_TEXTURE)
    found = write_mode_recipe(few, "n-1-1", found_on_them, RATES, FILTERS)
    assert found is not None
    ((each,),) = load_recipe(mine.subject.workspace.root / found.path).ingredients
    assert len(each.textures) == len(set(each.textures)) == 3
    folder = mine.subject.workspace.night_folder("n-1") / "recipe-n-1-1-textures"
    assert sorted(path.name for path in folder.iterdir()) == sorted(Path(t.path).name for t in each.textures)
