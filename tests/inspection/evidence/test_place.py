"""Where images differ: lines and bands laid on reference images, so that it is known where."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.evidence.place import (
    FEW,
    LITTLE,
    PlaceMatch,
    Places,
    describe_patches,
    nearest_apart,
    spreads,
    there_and_back,
)
from inspection.evidence.subject import Subject

Images = NDArray[np.uint8]


def lined(images: Images) -> Images:
    """A dark line, three pixels high, on every image."""
    changed = images.copy()
    changed[:, 20:23, 8:40] //= 4
    return changed


def shaded(images: Images) -> Images:
    """A band of shadow over a third of every image."""
    changed = images.copy()
    changed[:, 20:36] //= 2
    return changed


def dimmed(images: Images) -> Images:
    return images // 2


@pytest.fixture(scope="module")
def parts(subject: Subject) -> tuple[Images, NDArray[np.int64], Images]:
    """Eight correct images of one class with that class, and eight others of it."""
    label = int(np.bincount(subject.correct.labels).argmax())
    images = subject.correct.images[subject.correct.labels == label][:16]
    assert len(images) == 16
    return images[:8], np.full(8, label), images[8:]


@pytest.fixture(scope="module")
def line(subject: Subject, parts: tuple[Images, NDArray[np.int64], Images]) -> Places:
    """Errors on which nothing has changed but that a dark line lies on them."""
    images, true, others = parts
    return Places(subject, lined(images), true, others)


def test_what_takes_the_change_away_is_told_from_what_lies_elsewhere(line: Places) -> None:
    others = line.unchanged
    right, band, lamp = (line.under(change(others)) for change in (lined, shaded, dimmed))
    assert right.share > 0.1
    assert right.least > 0
    assert band.share < right.share
    assert lamp.least < -0.1  # the background kept its light


def test_of_images_that_nothing_changed_nothing_is_taken_away(line: Places) -> None:
    match = line.under(line.unchanged)
    assert match.share == pytest.approx(0, abs=1e-5)
    assert match.in_times == pytest.approx(np.ones(8), abs=1e-5)


def test_shares_are_one_less_what_is_left() -> None:
    match = PlaceMatch(np.array([[0.2, 0.4], [0.5, 0.9]], np.float32), np.ones(2, np.float32))
    assert [match.share, match.least] == pytest.approx([0.5, 0.3])


def test_a_map_shows_the_place_and_the_cause_takes_it_away(line: Places) -> None:
    before, after = line.where(lined(line.unchanged))
    assert before.shape == after.shape
    height = line.errors.shape[1]
    rows = (np.arange(before.shape[1]) + 0.5) * height / before.shape[1]
    on_line = (rows > 17) & (rows < 26)
    assert before[:, on_line].mean() > 2 * before[:, ~on_line].mean()
    assert after[:, on_line].mean() < 0.7 * before[:, on_line].mean()


def test_patches_are_sought_among_those_of_the_same_class(subject: Subject, line: Places) -> None:
    """A line on the reference images of another class explains none on these."""
    half = line.true.copy()
    half[4:] = (half[0] + 1) % len(subject.model.class_names)
    split = replace(line, true=half)
    changed = line.unchanged.copy()
    changed[4:] = lined(changed[4:])
    left = split.under(changed).left.mean(0)
    assert left[4:].mean() < left[:4].mean()


def test_patches_are_the_same_whatever_images_are_beside_them(subject: Subject, line: Places) -> None:
    for one, all_of_them in zip(
        describe_patches(subject, line.errors[:1]), describe_patches(subject, line.errors), strict=True
    ):
        assert one[0] == pytest.approx(all_of_them[0], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("entries", [FEW, FEW + 1])
def test_the_nearest_patch_of_any_image_is_found(entries: int) -> None:
    """Patch by patch, also where most are equal, as those of a flat background are."""
    rng = np.random.default_rng(entries)
    ours, theirs = (rng.normal(size=(5, 40, entries)).astype(np.float32) for _ in range(2))
    theirs[:, 5:] = theirs[0, 0]
    there, back = (
        np.array([np.linalg.norm(many.reshape(-1, entries) - one, axis=1).min() for one in ones])
        for ones, many in ((ours.reshape(-1, entries), theirs), (theirs.reshape(-1, entries), ours))
    )
    np.testing.assert_allclose(nearest_apart(ours, theirs).ravel(), there, rtol=1e-4)
    np.testing.assert_allclose(nearest_apart(theirs, ours).ravel(), back, rtol=1e-4)
    both = there.reshape(5, 40).mean(1) + back.reshape(5, 40).mean(1)
    np.testing.assert_allclose(there_and_back(ours, theirs), both, rtol=1e-4)


def test_an_entry_that_hardly_varies_does_not_rule_a_distance() -> None:
    """The second filter is silent on these patches: it counts as if it varied by a hundredth of the first."""
    rng = np.random.default_rng(0)
    view = np.zeros((4, 9, 2), np.float32)
    view[..., 0] = rng.normal(0, 3, (4, 9))
    assert spreads(view) == pytest.approx([view[..., 0].std(), view[..., 0].std() / 100])
    assert spreads(np.zeros((2, 2, 2), np.float32)) == pytest.approx([LITTLE, LITTLE])
