"""Which logged errors belong together, and the folds over them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inspection.findings import ErrorKind, LogContext, LoggedError
from inspection.retraining.groups import FOLDS, folds_of, groups_of

RNG = np.random.default_rng(0)


def errors(contexts: Sequence[LogContext]) -> list[LoggedError]:
    return [
        LoggedError(i, f"{i}", f"/{i}.png", "pit", "good", ErrorKind.ESCAPE, 1.0, "", context)
        for i, context in enumerate(contexts)
    ]


def textures(count: int) -> NDArray[np.uint8]:
    """Images of which none is like another."""
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 1), np.uint8)


def together(groups: NDArray[np.int64]) -> set[tuple[int, ...]]:
    return {tuple(np.flatnonzero(groups == group).tolist()) for group in np.unique(groups)}


def test_errors_of_one_part_belong_together() -> None:
    serials = ["a", None, "b", "a", None]
    found = groups_of(errors([LogContext(serial=each) for each in serials]), textures(5))
    assert together(found) == {(0, 3), (1,), (2,), (4,)}


def test_lots_count_where_there_are_enough_to_judge_by() -> None:
    few = [LogContext(lot=each) for each in ("x", "x", "y", "y")]
    assert together(groups_of(errors(few), textures(4))) == {(0,), (1,), (2,), (3,)}
    enough = [LogContext(lot=each) for each in ("x", "x", "y", "z")]
    assert together(groups_of(errors(enough), textures(4))) == {(0, 1), (2,), (3,)}
    unknown = [LogContext(lot=each) for each in ("x", "x", "y", "z", None)]
    assert len(together(groups_of(errors(unknown), textures(5)))) == 5


def test_near_duplicates_belong_together_whatever_the_log_says() -> None:
    images = textures(3)
    again = np.clip(images[1].astype(int) + RNG.normal(0, 3, images[1].shape), 0, 255).astype(np.uint8)
    found = groups_of(errors([LogContext()] * 4), np.concatenate([images, again[None]]))
    assert together(found) == {(0,), (1, 3), (2,)}


def test_of_images_beside_the_errors_only_the_pictures_tell() -> None:
    images, logged = textures(3), errors([LogContext(serial="a")] * 2)
    found = groups_of(logged, np.concatenate([images, images[:1]]))
    assert together(found) == {(0, 1, 3), (2,)}


def test_one_group_leads_to_another() -> None:
    """0 and 1 are one part, 1 and 2 one picture: none of the three may judge another."""
    images = textures(3)
    images[2] = images[1]
    contexts = [LogContext(serial="a"), LogContext(serial="a"), LogContext(serial="b")]
    assert together(groups_of(errors(contexts), images)) == {(0, 1, 2)}


def test_every_error_is_judged_once_and_never_by_its_own_group() -> None:
    groups = RNG.integers(0, 20, 60)
    labels = RNG.integers(0, 3, 60)
    folds = folds_of(labels, groups, seed=0)
    assert len(folds) == FOLDS
    assert sorted(np.concatenate(folds).tolist()) == list(range(60))
    for judged in folds:
        rest = np.setdiff1d(np.arange(60), judged)
        assert not set(groups[judged]) & set(groups[rest])
    again = folds_of(labels, groups, seed=0)
    assert all((one == other).all() for one, other in zip(folds, again, strict=True))


def test_classes_are_spread_over_the_folds() -> None:
    labels = np.repeat([0, 1, 2], [30, 9, 1])  # one of a class is in one fold, and no reason to complain
    for judged in folds_of(labels, np.arange(40), seed=0):
        counts = np.bincount(labels[judged], minlength=3)
        assert counts[0] in (9, 10, 11)
        assert counts[1] == 3


def test_few_groups_make_few_folds_and_one_group_none() -> None:
    assert len(folds_of(np.zeros(4, np.int64), np.array([0, 0, 1, 1]), seed=0)) == 2
    assert folds_of(np.zeros(4, np.int64), np.zeros(4, np.int64), seed=0) == []
    assert folds_of(np.zeros(0, np.int64), np.zeros(0, np.int64), seed=0) == []
