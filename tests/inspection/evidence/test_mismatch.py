"""A log that the model does not make again: what is told of the likely reason, on real images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fmi_engine.classifier import Classifier
from fmi_engine.decision_rule import DecisionRule
from inspection.evidence.reproduced import ReproducedErrors, reproduce_errors
from inspection.evidence.subject import Subject
from inspection.inputs.defect_log import write_defect_log
from inspection.inputs.fitting import Fitting
from inspection.inputs.image_sets import read_image_set
from inspection.inputs.images import read_image, write_image
from inspection.inputs.labelled import load_images
from inspection.inputs.sample_line import SampleLine, write_images
from tests.inspection.conftest import SIZE, Plant

pytestmark = pytest.mark.numeric


@pytest.fixture
def mine(plant: Plant, tmp_path: Path) -> Plant:
    return plant.copied(tmp_path / "workspace")


def said_of(mine: Plant, subject: Subject, rows: list[tuple[Path, str]]) -> ReproducedErrors:
    """What a night makes of a log in which the line said this of its images, and operators otherwise."""
    names = mine.model.class_names
    table = [
        {"image_path": path, "predicted_label": said, "true_label": names[names.index(said) - 1]}
        for path, said in rows
    ]
    log = mine.workspace.root / "log.csv"
    write_defect_log(log, table)
    return reproduce_errors(
        replace(subject, workspace=mine.workspace), "n-1", replace(mine, model=subject.model).read_log(log)
    )


def answers(classifier: Classifier, paths: list[Path]) -> list[str]:
    images = load_images(paths, classifier.preprocessing)
    return [classifier.class_names[i] for i in classifier.predict(images).argmax(1)]


def answered(subject: Subject, paths: list[Path]) -> list[tuple[Path, str]]:
    return list(zip(paths, answers(subject.classifier, paths), strict=True))


@pytest.fixture
def parts(mine: Plant) -> list[Path]:
    return [each.path for each in read_image_set(mine.images / "commissioned")][::3]


def framed(path: Path, folder: Path) -> Path:
    """The image of a wider field: the part in the middle, the bright conveyor on both sides."""
    image = read_image(path, None, 1)
    sides = np.full((SIZE, SIZE, 1), 250, np.uint8)
    write_image(folder / f"{path.parent.name}-{path.name}", np.concatenate([sides, image, sides], axis=1))
    return folder / f"{path.parent.name}-{path.name}"


def test_another_way_of_preparing_images_is_found(
    mine: Plant, subject: Subject, parts: list[Path], tmp_path: Path
) -> None:
    """The line crops; the model was registered as if it stretched."""
    rows = [
        (framed(path, tmp_path), said)
        for path, said in zip(parts, answers(subject.classifier, parts), strict=True)
    ]
    found = said_of(mine, subject, rows)
    (note,) = found.notes
    assert f"{len(rows) - len(found.errors)} of {len(rows)} errors of the log are not made again" in note
    assert f"Prepared by 'crop' it says what the log says of {len(rows)} of {len(rows)} rows" in note
    assert note.endswith('--preprocess "crop"')


def test_prepared_as_the_line_does_the_errors_are_made_again(
    mine: Plant, subject: Subject, parts: list[Path], tmp_path: Path
) -> None:
    rows = [
        (framed(path, tmp_path), said)
        for path, said in zip(parts, answers(subject.classifier, parts), strict=True)
    ]
    cropping = replace(subject, model=replace(subject.model, prepared="crop"))
    found = said_of(mine, cropping, rows)
    assert (len(found.errors), found.notes, found.set_aside) == (len(rows), (), ())


def test_a_threshold_is_the_likely_reason_where_the_logged_class_is_close_behind(
    mine: Plant, subject: Subject, tmp_path: Path
) -> None:
    """The line calls a pit at .2; the model was registered as if it took the largest logit."""
    write_images(
        SampleLine(finish="brushed", size=SIZE).aged(0.95), tmp_path / "dimmed", per_class=40, seed=5
    )
    paths = [each.path for each in read_image_set(tmp_path / "dimmed")]
    plain = subject.classifier
    rule = DecisionRule.parse("pit > 0.2", mine.model.class_names)
    deciding = Classifier(plain.network, rule, plain.preprocessing)
    both = list(zip(paths, answers(plain, paths), answers(deciding, paths), strict=True))
    other = [(path, said) for path, usual, said in both if usual != said]
    same = [(path, said) for path, usual, said in both if usual == said][: 2 * len(other)]
    assert len(other) >= 8
    (note,) = said_of(mine, subject, other + same).notes
    assert "the logged class is close behind: the likely reason is a threshold" in note


def test_a_log_of_another_model_is_told_as_that(mine: Plant, subject: Subject, parts: list[Path]) -> None:
    names = mine.model.class_names
    rows = [
        (path, names[names.index(said) - 2])
        for path, said in zip(parts, answers(subject.classifier, parts), strict=True)
    ]
    (note,) = said_of(mine, subject, rows).notes
    assert note.endswith("The log is of another model, or the order of --classes is another than the line's")


def test_a_few_rows_need_no_reason(mine: Plant, subject: Subject, parts: list[Path]) -> None:
    names = mine.model.class_names
    rows = answered(subject, parts)
    few = [(path, names[names.index(said) - 2]) for path, said in rows[:4]]
    found = said_of(mine, subject, few + rows[4:])
    assert len(found.set_aside) == 4
    assert found.notes == ()


def test_a_way_by_which_the_model_knows_its_own_images_less_is_no_reason(
    mine: Plant, subject: Subject, tmp_path: Path
) -> None:
    """Any distortion makes some errors: the log's answers are those of a letterbox that no line uses."""
    wide = [stretched(Path(each.image_path), tmp_path / "wide") for each in mine.references]
    own = replace(subject, paths=tuple(wide), model=replace(subject.model, prepared="stretch, linear"))
    parts, way = wide[::2], Fitting.parse("letterbox")
    images = np.stack([way(read_image(path, None, 1), (SIZE, SIZE)) for path in parts])
    names = [subject.classifier.class_names[i] for i in subject.classifier.predict(images).argmax(1)]
    notes = said_of(mine, own, list(zip(parts, names, strict=True))).notes
    assert "Prepared by" not in "".join(notes)


def stretched(path: Path, folder: Path) -> Path:
    """The image twice as wide: stretched to the input it is what it was."""
    image = read_image(path, None, 1)
    write_image(folder / f"{path.parent.name}-{path.name}", np.repeat(image, 2, axis=1))
    return folder / f"{path.parent.name}-{path.name}"
