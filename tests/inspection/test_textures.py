"""What failing images hold beside the normal: planted patterns and textures are found, and nothing else."""

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fmi_engine.types import FloatArray
from inspection import operations
from inspection.blame import screen
from inspection.operations import find_operation
from inspection.overlays import FIXED_PATTERN, RESIDUAL_TEXTURE
from inspection.responses import Responses, measure_responses
from inspection.subject import Subject, open_subject
from inspection.textures import (
    BOTH,
    PARTS,
    MeasuredChange,
    MeasuredMatch,
    fixed_pattern,
    match_measured,
    measure_change,
    relive,
    residual_textures,
)
from inspection.training import Labelled
from tests.inspection.conftest import Plant

SIDE = 32
DOWN, ACROSS = np.mgrid[:SIDE, :SIDE]
TRUE = np.array([0, 1] * 5)


def parts(count: int, seed: int) -> NDArray[np.uint8]:
    """Mottled parts, no two alike, of varying brightness and with a little noise."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        mottle = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)), (0, 0), 2)
        images.append(120 + 20 * mottle / mottle.std() + rng.normal(0, 3, (SIDE, SIDE)) + rng.normal(0, 6))
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)[..., None]


@pytest.fixture(scope="module")
def correct() -> Labelled:
    return Labelled(parts(60, 1), np.repeat(np.array([0, 1]), 30))


def alike(one: FloatArray, other: FloatArray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def power(fields: FloatArray) -> FloatArray:
    spectra = np.abs(np.fft.fft2(fields[..., 0])) ** 2
    return np.asarray(spectra.mean(0), np.float32)


# --- the fixed pattern ---


def speckled() -> FloatArray:
    field = cv2.GaussianBlur(np.random.default_rng(5).normal(size=(SIDE, SIDE)).astype(np.float32), (0, 0), 1)
    return np.asarray(field / np.abs(field).max(), np.float32)


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(0.6 * speckled(), id="specks all over"),
        pytest.param((ACROSS / (SIDE - 1) - 0.5).astype(np.float32), id="a lamp that failed on one side"),
        pytest.param(0.2 * np.sin(2 * np.pi * ACROSS / 4).astype(np.float32), id="columns"),
    ],
)
def test_a_planted_pattern_is_found_on_ten_images_of_other_parts(
    planted: FloatArray, correct: Labelled
) -> None:
    light = (parts(10, 2) + 8.0) * np.exp(planted[..., None]) - 8.0
    found = fixed_pattern(np.clip(np.rint(light), 0, 255).astype(np.uint8), TRUE, correct)
    assert found.shape == (SIDE, SIDE, 1)
    assert alike(found, planted) > 0.9
    assert float(found.std()) == pytest.approx(float(planted.std()), rel=0.15)


def test_without_a_pattern_next_to_nothing_is_found(correct: Labelled) -> None:
    for seed in range(3, 8):
        found = fixed_pattern(parts(10, seed), TRUE, correct)
        assert float(np.abs(found).max()) < 0.06  # of the light; the planted ones make up to 0.6
        assert float(found.std()) < 0.015  # 0.14 and more


# --- residual textures ---


def stripes(rng: np.random.Generator) -> FloatArray:
    return np.asarray(25 * np.sin(2 * np.pi * ACROSS / 5 + rng.uniform(0, 6.3)), np.float32)


def test_planted_stripes_are_found_wherever_they_lie(correct: Labelled) -> None:
    rng = np.random.default_rng(4)
    planted = np.stack([stripes(rng) for _ in range(10)])[..., None]
    found = residual_textures(np.clip(parts(10, 2) + planted, 0, 255), TRUE, correct)
    assert alike(power(found), power(planted)) > 0.95
    assert all(alike(one, other) > 0.9 for one, other in zip(found, planted, strict=True))  # phases, too
    assert float(found.std()) == pytest.approx(float(planted.std()), rel=0.15)


def test_clean_images_hold_no_residual_texture(correct: Labelled) -> None:
    for seed in range(3, 8):
        assert float(residual_textures(parts(10, seed).astype(np.float32), TRUE, correct).std()) < 1


def test_the_pattern_is_undone_before_the_textures_are_read(correct: Labelled) -> None:
    pattern = 0.2 * np.sin(2 * np.pi * ACROSS / 4)[..., None]
    light = (parts(10, 2) + 8.0) * np.exp(pattern) - 8.0
    change = measure_change(np.clip(np.rint(light), 0, 255).astype(np.uint8), TRUE, correct)
    assert alike(change.pattern, pattern) > 0.9
    assert float(change.residuals.std()) < 2  # of 17 grey levels that the pattern makes


# --- lived again ---


def test_a_change_is_lived_again_part_by_part() -> None:
    """The light doubles (with black at -8), and one residual of two lies anywhere on every image.

    A residual is as strong as the light: of 40 on mid-grey 40 * 58 / 136 is left on 50.
    """
    dots = np.zeros((2, SIDE, SIDE, 1), np.float32)
    dots[0, 3, 5], dots[1, 3, 5] = 40, 60
    change = MeasuredChange(np.full((SIDE, SIDE, 1), math.log(2), np.float32), dots)
    images = np.full((4, SIDE, SIDE, 1), 50, np.uint8)
    assert np.unique(relive(images, change, PARTS[FIXED_PATTERN])).tolist() == [108]  # (50 + 8) * 2 - 8
    moved = relive(images, change, PARTS[RESIDUAL_TEXTURE])
    assert [sorted(np.unique(image).tolist()) for image in moved] == [[50, 67], [50, 76]] * 2
    assert len({int(image.argmax()) for image in moved}) == 4
    both = relive(images, change, PARTS[BOTH])
    assert [sorted(np.unique(image).tolist()) for image in both] == [[108, 142], [108, 159]] * 2
    assert [int(image.argmax()) for image in both] == [int(image.argmax()) for image in moved]
    np.testing.assert_array_equal(relive(images, change, PARTS[BOTH]), both)


# --- judged on other errors ---


@pytest.fixture(scope="module")
def here(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    mine = plant.copied(tmp_path_factory.mktemp("textures") / "workspace")
    return open_subject(mine.workspace, mine.model, mine.references)


@pytest.fixture(scope="module")
def responses(here: Subject) -> Responses:
    """Of one operation: what is measured needs only the reference images from it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "CATALOGUE", (find_operation("dimmer lamp"),))
        return measure_responses(here)


def matched(
    here: Subject, responses: Responses, images: NDArray[np.uint8], true: NDArray[np.int64]
) -> list[MeasuredMatch]:
    wrong = here.classifier.predict(images).argmax(1) != true
    assert wrong.sum() >= 20
    images, true = images[wrong], true[wrong]
    return match_measured(here, screen(here, images, true), images, responses)


def test_stripes_measured_on_some_errors_explain_others_of_them(here: Subject, responses: Responses) -> None:
    rng = np.random.default_rng(0)
    striped = [np.clip(image + stripes(rng)[..., None], 0, 255) for image in here.labelled.images]
    images = np.rint(striped).astype(np.uint8)
    best, *others = matched(here, responses, images, here.labelled.labels)
    assert best.name in (RESIDUAL_TEXTURE, BOTH)
    assert min(best.shares.blamed, best.shares.overall, best.shares.look) > 0.7
    alone = next(each for each in others if each.name == FIXED_PATTERN)
    assert alone.shares.mean < 0.5  # the stripes lie elsewhere on every image


def test_a_pattern_measured_on_some_errors_explains_others_of_them(
    here: Subject, responses: Responses
) -> None:
    pattern = 0.7 * np.sin(2 * np.pi * ACROSS / SIDE)[..., None]
    images = np.clip(np.rint(here.labelled.images * np.exp(pattern)), 0, 255).astype(np.uint8)
    best, *others = matched(here, responses, images, here.labelled.labels)
    assert best.name in (FIXED_PATTERN, BOTH)
    assert min(best.shares.blamed, best.shares.overall, best.shares.look) > 0.7
    assert next(each for each in others if each.name == RESIDUAL_TEXTURE).shares.mean < 0.3


def test_errors_without_a_fault_explain_no_others(plant: Plant, here: Subject, responses: Responses) -> None:
    """What the model gets wrong of parts that it never saw, under the lamp as commissioned."""
    from inspection.sample_line import DEFECTS, SampleLine

    line = SampleLine(finish="brushed", size=SIDE)
    names = [name for name in here.model.class_names for _ in range(24)]
    rendered = [line.render(name, np.random.default_rng(i)) for i, name in enumerate(names, start=900)]
    true = np.array([here.model.class_names.index(name) for name in names])
    assert set(names) == set(DEFECTS)
    for each in matched(here, responses, np.stack(rendered)[..., None], true):
        assert each.shares.beyond(each.any_day) < 0.3
