"""Scoring images with the registered model, against one image at a time."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from inspection.errors import ModelError
from inspection.inputs.defect_log import read_defect_log, write_defect_log
from inspection.inputs.image_sets import LabelledImage, read_image_set
from inspection.inputs.images import read_image
from inspection.models.registry import load_model
from inspection.models.scoring import score
from tests.inspection.conftest import Plant


@pytest.fixture(scope="module")
def images(plant: Plant) -> list[LabelledImage]:
    return read_image_set(plant.images / "aged")


def one_by_one(plant: Plant, image: LabelledImage) -> tuple[str, float]:
    """Predicted label and its probability, from the logits of this image alone."""
    classifier = load_model(plant.workspace.root, plant.model, "cpu")
    logits = classifier.logits(classifier.prepare(read_image(image.path, (32, 32), 1)[None]))[0].double()
    exponents = np.exp(logits.numpy() - logits.numpy().max())
    best = int(exponents.argmax())
    return plant.model.class_names[best], float(exponents[best] / exponents.sum())


def test_a_row_for_each_image_in_order(plant: Plant, images: list[LabelledImage]) -> None:
    chosen = [*images[::7], *read_image_set(plant.images / "commissioned")[::11]]
    before = datetime.now(UTC).replace(microsecond=0)
    counted: list[int] = []
    rows = score(plant.workspace, plant.model, chosen, counted.append)
    assert sum(counted) == len(chosen) == len(rows)
    for number, (row, image) in enumerate(zip(rows, chosen, strict=True), 1):
        label, probability = one_by_one(plant, image)
        assert row == {
            "inspection_id": f"{number:06d}",
            "captured_at": row["captured_at"],
            "image_path": str(image.path),
            "model_version": plant.model.model_hash[:12],
            "predicted_label": label,
            "score": pytest.approx(probability, abs=2e-6),
            "true_label": image.label,
        }
        assert before <= datetime.fromisoformat(str(row["captured_at"])) <= datetime.now(UTC)


def test_under_the_aged_lamp_the_model_is_wrong_far_more_often(
    plant: Plant, images: list[LabelledImage]
) -> None:
    def share_right(labelled: list[LabelledImage]) -> float:
        rows = score(plant.workspace, plant.model, labelled)
        return sum(row["predicted_label"] == row["true_label"] for row in rows) / len(rows)

    assert share_right(images) < share_right(read_image_set(plant.images / "commissioned")) - 0.3


def test_the_rows_are_a_defect_log(plant: Plant, images: list[LabelledImage], tmp_path: Path) -> None:
    rows = score(plant.workspace, plant.model, images)
    wrong = [row for row in rows if row["predicted_label"] != row["true_label"]]
    write_defect_log(tmp_path / "log.csv", rows)
    log = read_defect_log(tmp_path / "log.csv", {}, plant.model.class_names)
    assert [(row.inspection_id, str(row.image_path), row.predicted_label, row.score) for row in log.rows] == [
        (row["inspection_id"], row["image_path"], row["predicted_label"], row["score"]) for row in wrong
    ]
    assert {aside.reason for aside in log.set_aside} <= {"not_an_error"}
    assert len(log.rows) + len(log.set_aside) == len(images)
    assert wrong


def test_no_images_are_no_rows(plant: Plant) -> None:
    assert score(plant.workspace, plant.model, []) == []


def test_images_of_a_class_that_the_model_does_not_know(plant: Plant, images: list[LabelledImage]) -> None:
    odd = LabelledImage(images[0].path, "rust", None)
    with pytest.raises(ModelError, match=r"does not know: rust.* are: dent, good, pit, scratch, stain"):
        score(plant.workspace, plant.model, [images[0], odd])
