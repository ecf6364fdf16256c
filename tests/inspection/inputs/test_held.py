"""What a night holds of its errors on disk: read as it was kept, whole or not there, and gone at the end."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from fmi_engine.types import Screening
from inspection.errors import ImageError
from inspection.inputs import held
from inspection.inputs.held import HeldErrors, HeldImages, hold, let_go
from inspection.workspace.folder import Workspace, create_workspace

SHAPE = (5, 4, 3)
ERRORS = 11
IMAGES = np.random.default_rng(0).integers(0, 256, (ERRORS, *SHAPE), np.uint8)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return create_workspace(tmp_path / "line")


@pytest.fixture
def mine(workspace: Workspace) -> HeldErrors:
    with hold(workspace, "20260704-0123abcd", SHAPE) as file:
        places = [file.keep(image) for image in IMAGES]
    return HeldErrors(HeldImages(file.path, SHAPE, np.array(places)))


def screening_of(first: int, count: int) -> Screening:
    """Values that tell which error and which filter they are of."""
    numbers = np.arange(first, first + count, dtype=np.float32)[:, None]
    two, one = (np.array(each, np.float32) for each in ([0.1, 0.2], [0.3]))
    return Screening(
        {"a.b": numbers + two, "c": numbers + one},
        {"a.b": -numbers - two, "c": -numbers - one},
        np.square(numbers[:, 0]),
        np.arange(first, first + count) % 3,
        np.arange(first, first + count) % 2,
    )


def test_images_are_read_as_they_were_held(mine: HeldErrors) -> None:
    rows = np.array([7, 0, 10, 7])
    some = pickle.loads(pickle.dumps(mine.images(rows)))
    assert len(some) == 4
    np.testing.assert_array_equal(some[:], IMAGES[rows])
    np.testing.assert_array_equal(some[1:3], IMAGES[[0, 10]])
    np.testing.assert_array_equal(some.part(np.array([2, 0]))[:], IMAGES[[10, 7]])
    assert some[np.array([], np.int64)].shape == (0, *SHAPE)
    assert type(some[:]) is np.ndarray  # in memory: the file may go


def test_a_screening_is_read_across_batches_in_the_order_asked(
    mine: HeldErrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "BATCH", 4)
    for first in range(0, ERRORS, 4):
        mine.keep_screening(first, screening_of(first, min(4, ERRORS - first)))
    rows = np.array([9, 0, 3, 4, 10])
    found, expected = mine.screening(rows), screening_of(0, ERRORS).subset(rows)
    assert [*found.blame] == [*found.energy] == ["a.b", "c"]
    for layer in found.blame:
        np.testing.assert_array_equal(found.blame[layer], expected.blame[layer])
        np.testing.assert_array_equal(found.energy[layer], expected.energy[layer])
    for name in ("margin", "predicted", "true"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert getattr(found, name).dtype == getattr(expected, name).dtype


def test_what_was_not_written_to_its_end_is_not_there(workspace: Workspace) -> None:
    def half() -> None:
        with hold(workspace, "n-1", SHAPE) as file:
            file.keep(IMAGES[0])
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        half()
    assert list(workspace.held_errors.iterdir()) == []


def test_what_somebody_removed_is_told(workspace: Workspace, mine: HeldErrors) -> None:
    let_go(workspace, {"20260704-0123abcd"})
    rows = np.array([0])
    with pytest.raises(ImageError, match=r"images\.raw is gone.*--again"):
        mine.images(rows)[:]
    with pytest.raises(ImageError, match=r"screening-00000000\.npy is gone"):
        mine.screening(rows)


def test_a_night_that_is_read_anew_holds_its_errors_once(workspace: Workspace, mine: HeldErrors) -> None:
    with hold(workspace, "20260704-0123abcd-2", SHAPE) as another:
        pass
    with hold(workspace, "20260704-0123abcd", SHAPE) as again:
        pass
    assert again.path.parent != mine.folder
    folders = [another.path.parent, again.path.parent]
    assert sorted(workspace.held_errors.iterdir()) == sorted(folders)
    let_go(workspace, {"20260704-0123abcd"})
    assert [*workspace.held_errors.iterdir()] == folders[:1]
