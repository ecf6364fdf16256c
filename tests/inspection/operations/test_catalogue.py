"""The catalogue as a whole: what holds for every operation."""

import importlib
import itertools
import json
import math
import pkgutil
from types import ModuleType

import albumentations as A
import cv2
import numpy as np
import pytest

from inspection import operations
from inspection.errors import InspectionError
from inspection.operations import defect
from inspection.operations.catalogue import CATALOGUE, find_operation, operations_for
from inspection.operations.operation import FAMILIES, Operation
from tests.inspection.operations.trial_images import (
    distance,
    scratched,
    textured,
)

every = pytest.mark.parametrize(
    ("operation", "channels"),
    [
        pytest.param(operation, channels, id=f"{operation.name}-{channels}")
        for operation in CATALOGUE
        for channels in operation.channels
    ],
)


def test_catalogue_is_well_formed() -> None:
    assert len({operation.name for operation in CATALOGUE}) == len(CATALOGUE)
    assert {operation.family for operation in operations_for(3)} == set(FAMILIES)
    assert {operation.family for operation in operations_for(1)} == set(FAMILIES) - {"colour"}
    for operation in CATALOGUE:
        assert len(operation.grid) in (3, 4, 5)
        assert list(operation.grid) == sorted(set(operation.grid))
        assert 0 < operation.grid[0] < operation.grid[-1] <= operation.limit


def kinds() -> dict[str, ModuleType]:
    """The modules of the package that have operations."""
    names = [each.name for each in pkgutil.iter_modules(operations.__path__)]
    modules = {name: importlib.import_module(f"{operations.__name__}.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "OPERATIONS")}


def test_an_operation_is_added_by_one_entry_in_one_file() -> None:
    entries = [operation for module in kinds().values() for operation in module.OPERATIONS]
    assert len({operation.name for operation in entries}) == len(entries)
    assert {operation.family for operation in entries} == set(FAMILIES)
    assert {id(operation) for operation in entries} == set(map(id, CATALOGUE))
    assert len(entries) == len(CATALOGUE)


@pytest.mark.parametrize("name", kinds())
def test_a_file_of_operations_says_on_top_which_families_it_holds(name: str) -> None:
    module, contents = kinds()[name], operations.__doc__ or ""
    families = list(dict.fromkeys(operation.family for operation in module.OPERATIONS))
    families.sort(key=FAMILIES.index)
    told = (module.__doc__ or "").splitlines()[0].partition(": ")[2].removesuffix(".").split(", ")
    assert sorted(told, key=FAMILIES.index) == families
    assert f"\n- {name}: {', '.join(told)}\n" in contents


@every
def test_every_step_of_the_grid_moves_the_image_further(operation: Operation, channels: int) -> None:
    image = scratched(channels) if operation in defect.OPERATIONS else textured(channels)
    moved = [distance(operation.apply(image, strength, 3), image) for strength in operation.grid]
    assert moved[0] > 0.25  # grey levels
    assert all(weaker < stronger for weaker, stronger in itertools.pairwise(moved))


SIZED = (
    "glint",
    "window reflection",
    "shadow band",
    "spin blur",
    "posterising",
    "disc defocus",
    "tilted focus",
    "veil of stray light",
    "oblique stripes",
    "hairs",
    "rotation over a dark background",
    "shift off the frame",
    "perspective",
)


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("side", [64, 224])
def test_every_step_moves_images_of_other_sizes_further(name: str, side: int) -> None:
    operation, image = find_operation(name), cv2.resize(textured(1), (side, side))
    for seed in range(6):
        moved = [distance(operation.apply(image, strength, seed), image) for strength in operation.grid]
        assert moved[0] > 0.1
        assert all(weaker < stronger for weaker, stronger in itertools.pairwise(moved))


@pytest.mark.parametrize("name", SIZED)
def test_next_to_no_strength_changes_next_to_nothing(name: str) -> None:
    operation, image = find_operation(name), textured(3)
    for seed in range(6):
        assert distance(operation.apply(image, operation.grid[0] / 1000, seed), image) < 0.02


@every
def test_same_seed_same_image_and_the_original_stays(operation: Operation, channels: int) -> None:
    image, before = textured(channels), textured(channels)
    first = operation.apply(image, operation.grid[1], 11)
    assert np.array_equal(operation.apply(image, operation.grid[1], 11), first)
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert np.array_equal(image, before)


@pytest.mark.parametrize(
    "name",
    [
        "hot spot",
        "shadow edge",
        "motion blur",
        "sensor noise",
        "shot noise",
        "horizontal lines",
        "vertical stripes",
        "dust",
        "droplets",
        "fine grain",
        "cloudy texture",
        "brushed grain",
        "brushed grain along the rows",
        "rotation",
        "shift",
        "glint",
        "window reflection",
        "shadow band",
        "oblique stripes",
        "hairs",
        "rotation over a dark background",
        "shift off the frame",
        "perspective",
    ],
)
def test_another_seed_another_image(name: str) -> None:
    operation, image = find_operation(name), textured(1)
    assert (
        distance(operation.apply(image, operation.grid[1], 0), operation.apply(image, operation.grid[1], 1))
        > 1
    )


@every
def test_strength_zero_changes_nothing(operation: Operation, channels: int) -> None:
    image = textured(channels)
    same = operation.apply(image, 0.0, 0)
    assert np.array_equal(same, image)
    assert same is not image


@pytest.mark.parametrize("operation", operations_for(1), ids=lambda operation: operation.name)
def test_images_without_a_channel_axis_change_alike(operation: Operation) -> None:
    image = textured(1)
    flat = operation.apply(image[:, :, 0], operation.grid[2], 4)
    assert np.array_equal(flat, operation.apply(image, operation.grid[2], 4)[:, :, 0])


@every
def test_serialises_and_comes_back_equal_in_effect(operation: Operation, channels: int) -> None:
    transform = operation.transform(operation.grid[0], operation.grid[-1])
    returned = A.from_dict(json.loads(json.dumps(transform.to_dict())))
    image = textured(channels)
    for each in (transform, returned):
        each.set_random_seed(8)
    drawn = [(transform(image=image)["image"], returned(image=image)["image"]) for _ in range(5)]
    assert all(np.array_equal(one, other) for one, other in drawn)
    assert any(distance(one, drawn[0][0]) > 0 for one, _ in drawn[1:])  # it does draw


@every
def test_a_range_from_zero_is_accepted(operation: Operation, channels: int) -> None:
    transform = operation.transform(0.0, operation.grid[0])
    transform.set_random_seed(0)
    image = textured(channels)
    assert distance(transform(image=image)["image"], image) < 30


@pytest.mark.parametrize(
    "operation", [each for each in CATALOGUE if each.limit < math.inf], ids=lambda operation: operation.name
)
def test_the_limit_itself_works(operation: Operation) -> None:
    image = textured(operation.channels[0])
    weakest = operation.apply(image, operation.grid[0], 0)
    assert distance(operation.apply(image, operation.limit, 0), image) > distance(weakest, image)


def test_operations_for_channels() -> None:
    grey, colour = operations_for(1), operations_for(3)
    tints = {"warmer light", "cooler light", "green tint", "magenta tint", "lower saturation"}
    others = {"colour noise", "light scattered by the lens"}
    assert {each.name for each in colour} - {each.name for each in grey} == tints | others
    assert {each.name for each in grey} < {each.name for each in colour}
    with pytest.raises(InspectionError, match="4 channels"):
        operations_for(4)


def test_find_operation() -> None:
    assert find_operation("hot spot").family == "hot spot"
    first = "dimmer lamp, dimmer lamp at the camera's noise, brighter"
    with pytest.raises(InspectionError, match=f"no operation 'fog'; the catalogue has: {first}"):
        find_operation("fog")
