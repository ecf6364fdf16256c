"""What no reference image has: rings laid on reference images, and these under a change."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.evidence.newness import Newness, most
from inspection.evidence.place import LITTLE
from inspection.evidence.subject import Subject

Images = NDArray[np.uint8]


def ringed(images: Images) -> Images:
    """White rings on every image, that no part has."""
    changed = images.copy()
    rows, columns = np.mgrid[: images.shape[1], : images.shape[2]]
    from_middle = np.hypot(rows - 20, columns - 20).astype(int)
    changed[:, (from_middle < 20) & (from_middle // 3 % 2 == 0)] = 255
    return changed


def dimmed(images: Images) -> Images:
    return images // 2


def few(subject: Subject) -> Images:
    return np.asarray(subject.correct.images[::10])


def test_known_patches_are_not_new(subject: Subject) -> None:
    newness = Newness.among(subject, subject.correct)
    assert newness.of(newness.known) == pytest.approx(np.zeros(len(newness.known)), abs=10 * LITTLE)
    assert newness.tells(few(subject)).mean() < 0.5
    assert newness.tells(ringed(few(subject))).all()


def test_what_a_change_makes_is_not_new_under_it(subject: Subject) -> None:
    """Of a change that explains them, errors hold nothing new; of one that is only a part of it they do."""
    images = few(subject)
    under = Newness.among(subject, subject.correct, [dimmed])
    assert not most(under.tells(dimmed(images)))
    assert most(under.tells(ringed(dimmed(images))))
    assert not most(Newness.among(subject, subject.correct, [ringed]).tells(ringed(images)))


@pytest.mark.parametrize(
    ("count", "of", "is_most"), [(0, 0, False), (4, 4, False), (5, 5, True), (14, 20, False), (15, 20, True)]
)
def test_most_are_more_than_half_beyond_chance(count: int, of: int, is_most: bool) -> None:
    assert most(np.arange(of) < count) is is_most
