"""Which errors of a log a night works on, from real logs over real images."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.evidence.reproduced import ReproducedErrors, error_kind, reproduce_errors, thumbnail
from inspection.evidence.subject import Subject
from inspection.findings import ErrorKind, LogContext, SetAside
from inspection.inputs.defect_log import DefectLog, write_defect_log
from inspection.inputs.images import read_image
from tests.inspection.conftest import Plant
from tests.inspection.inputs.files import looked_at


@pytest.fixture
def mine(plant: Plant, tmp_path: Path) -> Plant:
    return plant.copied(tmp_path / "workspace")


def reproduced_from(plant: Plant, subject: Subject, log: DefectLog) -> ReproducedErrors:
    return reproduce_errors(replace(subject, workspace=plant.workspace), "n-1", log)


def logged(plant: Plant, folder: Path, rows: list[tuple[Path, str, str]]) -> DefectLog:
    """Write rows of (image, predicted label, true label) as a log and read it again."""
    write_defect_log(
        folder / "log.csv",
        [
            {"image_path": path, "predicted_label": predicted, "true_label": true}
            for path, predicted, true in rows
        ],
    )
    return plant.read_log(folder / "log.csv", "n-1")


def rows_of(plant: Plant) -> list[tuple[Path, str, str]]:
    return [(row.image_path, row.predicted_label, row.true_label) for row in plant.read_log().rows]


def test_every_error_that_the_model_makes_again_is_admitted(
    plant: Plant, reproduced_errors: ReproducedErrors
) -> None:
    log = plant.read_log()
    assert len(log.rows) >= 20
    assert [
        (each.row, each.inspection_id, each.image_path, each.true_label, each.predicted_label)
        for each in reproduced_errors.errors
    ] == [
        (row.row, row.inspection_id, str(row.image_path), row.true_label, row.predicted_label)
        for row in log.rows
    ]
    assert reproduced_errors.set_aside == ()


def test_the_images_and_classes_stand_in_the_order_of_the_errors(
    mine: Plant, subject: Subject, tmp_path: Path
) -> None:
    rows = rows_of(mine)[::-3]
    found = reproduced_from(mine, subject, logged(mine, tmp_path, rows))
    assert [error.image_path for error in found.errors] == [str(path) for path, _, _ in rows]
    np.testing.assert_array_equal(
        found.images[:], np.stack([read_image(path, (32, 32), 1) for path, _, _ in rows])
    )
    assert [mine.model.class_names[i] for i in found.true] == [true for _, _, true in rows]


def test_the_margin_is_how_far_the_wrong_logit_leads(
    plant: Plant, subject: Subject, reproduced_errors: ReproducedErrors
) -> None:
    names = plant.model.class_names
    for i in range(0, len(reproduced_errors.errors), 5):
        error = reproduced_errors.errors[i]
        logits = subject.classifier.logits(subject.classifier.prepare(reproduced_errors.images[i : i + 1]))[0]
        leads = float(logits[names.index(error.predicted_label)] - logits[names.index(error.true_label)])
        assert error.margin == pytest.approx(leads, rel=1e-4)
        assert error.margin > 0


def test_an_error_that_the_model_does_not_make_is_set_aside(
    mine: Plant, subject: Subject, tmp_path: Path
) -> None:
    names = mine.model.class_names
    rows = rows_of(mine)[:6]
    path, predicted, true = rows[2]
    other = next(name for name in names if name not in (predicted, true))
    rows[2] = (path, other, true)
    found = reproduced_from(mine, subject, logged(mine, tmp_path, rows))
    assert [error.row for error in found.errors] == [1, 2, 4, 5, 6]
    np.testing.assert_array_equal(found.images[2:3][0], read_image(rows[3][0], (32, 32), 1))
    assert found.set_aside == (
        SetAside(
            row=3,
            reason="not_reproduced",
            detail=f"logged as {other}, but model {mine.model.model_hash[:12]} says {predicted}: "
            "the row speaks of another model or another image",
            image_path=str(path),
        ),
    )


def test_an_image_that_vanished_or_changed_since_the_check_counts_as_it_was_checked(
    mine: Plant, subject: Subject, tmp_path: Path
) -> None:
    rows = [
        (Path(shutil.copy(path, tmp_path / f"{i}.png")), predicted, true)
        for i, (path, predicted, true) in enumerate(rows_of(mine)[:4], 1)
    ]
    images = np.stack([read_image(path, (32, 32), 1) for path, _, _ in rows])
    log = logged(mine, tmp_path, rows)
    (tmp_path / "2.png").unlink()
    shutil.copy(tmp_path / "1.png", tmp_path / "3.png")
    found = reproduced_from(mine, subject, log)
    assert [error.row for error in found.errors] == [1, 2, 3, 4]
    np.testing.assert_array_equal(found.images[:], images)
    assert found.set_aside == ()


def test_what_the_log_says_of_an_error_stays_with_it(mine: Plant, subject: Subject, tmp_path: Path) -> None:
    path, predicted, true = rows_of(mine)[0]
    (tmp_path / "log.csv").write_text(
        "image_path,predicted_label,true_label,captured_at,score,line,serial,verified_by,verified_at,shift,tool\n"
        f"{path},{predicted},{true},2026-07-01T22:00+09:00,0.75,L3,S1,sato,2026-07-02,night,t3\n",
        encoding="utf-8",
    )
    log = mine.read_log(tmp_path / "log.csv")
    (error,) = reproduced_from(mine, subject, log).errors
    assert error.context == LogContext(
        captured_at=datetime(2026, 7, 1, 13, tzinfo=UTC),
        score=0.75,
        line="L3",
        shift="night",
        serial="S1",
        verified_by="sato",
        verified_at=datetime(2026, 7, 2, tzinfo=UTC),
        more={"tool": "t3"},
    )


def test_rows_that_the_log_set_aside_stay_set_aside(mine: Plant, subject: Subject, tmp_path: Path) -> None:
    rows = rows_of(mine)[:3]
    log = logged(mine, tmp_path, [*rows, (tmp_path / "gone.png", rows[0][1], rows[0][2])])
    found = reproduced_from(mine, subject, log)
    assert [error.row for error in found.errors] == [1, 2, 3]
    assert found.set_aside == log.set_aside
    assert [(aside.row, aside.reason) for aside in found.set_aside] == [(4, "missing_image")]


def test_a_log_of_another_model_leaves_nothing(mine: Plant, subject: Subject, tmp_path: Path) -> None:
    names = mine.model.class_names
    rows = [
        (path, next(name for name in names if name not in (predicted, true)), true)
        for path, predicted, true in rows_of(mine)[:4]
    ]
    found = reproduced_from(mine, subject, logged(mine, tmp_path, rows))
    assert (found.errors, found.images[:].shape, found.true.tolist()) == ((), (0, 32, 32, 1), [])
    assert [aside.reason for aside in found.set_aside] == ["not_reproduced"] * 4


def test_a_log_without_a_usable_row_leaves_nothing(mine: Plant, subject: Subject, tmp_path: Path) -> None:
    names = mine.model.class_names
    found = reproduced_from(
        mine, subject, logged(mine, tmp_path, [(tmp_path / "gone.png", names[0], names[1])])
    )
    assert (found.errors, found.images[:].shape) == ((), (0, 32, 32, 1))
    assert [aside.reason for aside in found.set_aside] == ["missing_image"]


def test_every_error_has_a_picture_of_its_image(mine: Plant, subject: Subject) -> None:
    found = reproduced_from(mine, subject, mine.read_log())
    pictures = [error.picture for error in found.errors]
    assert pictures[0] == f"artifacts/n-1/errors/{found.errors[0].row:06d}.png"
    assert len(set(pictures)) == len(pictures)
    for picture, image in zip(pictures, found.images[:], strict=True):
        np.testing.assert_array_equal(read_image(mine.workspace.root / picture, None, 1), image)


def test_progress_counts_every_row(mine: Plant, subject: Subject) -> None:
    counted: list[int] = []
    log = mine.read_log()
    reproduce_errors(replace(subject, workspace=mine.workspace), "n-1", log, counted.append)
    assert sum(counted) == len(log.rows)


def test_every_image_is_read_and_decoded_once(
    mine: Plant, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    with looked_at(monkeypatch) as (read, decoded):
        log = mine.read_log()
        reproduce_errors(replace(subject, workspace=mine.workspace), "n-1", log)
    images = [path for path in read if path != mine.log]
    assert sorted(images) == sorted(row.image_path for row in log.rows)
    assert len(decoded) == len(log.rows)


def test_the_network_sees_as_many_images_at_once_as_the_setting_says(
    plant: Plant, subject: Subject, tmp_path: Path
) -> None:
    small = plant.copied(tmp_path / "small", "compute.batch_size = 7")
    log, seen = small.read_log(), list[int]()
    with subject.classifier.network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0]))):
        reproduced_from(small, subject, log)
    assert seen == [7] * (len(log.rows) // 7) + [len(log.rows) % 7] * (len(log.rows) % 7 > 0)


@pytest.mark.parametrize(
    ("true", "predicted", "good", "kind"),
    [
        ("pit", "good", ("good",), ErrorKind.ESCAPE),
        ("good", "pit", ("good",), ErrorKind.OVERKILL),
        ("pit", "stain", ("good",), ErrorKind.CONFUSION),
        ("pit", "fine", ("good", "fine"), ErrorKind.ESCAPE),
        ("fine", "pit", ("good", "fine"), ErrorKind.OVERKILL),
        ("good", "fine", ("good", "fine"), ErrorKind.CONFUSION),
        ("pit", "good", (), ErrorKind.CONFUSION),
        ("good", "pit", (), ErrorKind.CONFUSION),
    ],
)
def test_error_kind(true: str, predicted: str, good: tuple[str, ...], kind: ErrorKind) -> None:
    assert error_kind(true, predicted, good) is kind


def test_the_kinds_of_the_plants_errors(plant: Plant, reproduced_errors: ReproducedErrors) -> None:
    for error in reproduced_errors.errors:
        expected = {"good": ErrorKind.OVERKILL}.get(error.true_label, ErrorKind.CONFUSION)
        expected = ErrorKind.ESCAPE if error.predicted_label == "good" else expected
        assert error.kind is expected
    assert any(error.kind is not ErrorKind.CONFUSION for error in reproduced_errors.errors)


def checkered(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Blocks of 2 x 2 pixels holding 0, 40, 80 and 120: each block's mean is 60."""
    block = np.array([[0, 40], [80, 120]], np.uint8)
    return np.repeat(np.tile(block, (height // 2, width // 2))[..., None], channels, axis=2)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((192, 192, 1), (96, 96, 1)), ((96, 192, 3), (48, 96, 3))],
    ids=["grey", "wide rgb"],
)
def test_a_large_image_is_shrunk_by_averaging(
    shape: tuple[int, int, int], expected: tuple[int, int, int]
) -> None:
    np.testing.assert_array_equal(thumbnail(checkered(*shape)), np.full(expected, 60, np.uint8))


def test_a_small_image_is_its_own_thumbnail() -> None:
    image = checkered(96, 32, 1)
    np.testing.assert_array_equal(thumbnail(image), image)


def test_a_thin_image_keeps_a_pixel() -> None:
    assert thumbnail(np.full((4000, 2, 1), 7, np.uint8)).tolist() == np.full((96, 1, 1), 7).tolist()
