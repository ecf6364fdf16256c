"""What is known of a model before the first error: its references, drawn and measured."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fmi_engine.errors import TooFewReferencesError
from inspection.evidence.subject import Subject, draw_references, open_subject, subject_of
from inspection.findings import ReferenceImage
from inspection.inputs.images import read_image
from tests.inspection.conftest import Plant, rewrite_settings

# --- drawing ---


def references(counts: dict[tuple[str, str], int]) -> list[ReferenceImage]:
    return [
        ReferenceImage(f"/{label}/{split}/{i}.png", label, split)
        for (label, split), count in counts.items()
        for i in range(count)
    ]


MANY = references({("pit", "train"): 30, ("pit", "val"): 4, ("good", "train"): 20, ("good", "val"): 12})


def test_validation_images_are_drawn_first() -> None:
    drawn = draw_references(MANY, 10, 0)
    assert Counter((each.label, each.split) for each in drawn) == {
        ("good", "val"): 10,
        ("pit", "val"): 4,
        ("pit", "train"): 6,
    }
    assert [each.label for each in drawn] == ["good"] * 10 + ["pit"] * 10
    assert [each.split for each in drawn[10:]] == ["val"] * 4 + ["train"] * 6


def test_a_class_with_fewer_images_gives_all_it_has() -> None:
    drawn = draw_references(MANY, 1000, 0)
    assert sorted(drawn, key=repr) == sorted(MANY, key=repr)


def test_the_same_seed_draws_the_same_and_another_draws_others() -> None:
    assert draw_references(MANY, 10, 5) == draw_references(MANY, 10, 5)
    assert set(draw_references(MANY, 10, 5)) != set(draw_references(MANY, 10, 6))


def test_nothing_is_drawn_from_nothing() -> None:
    assert draw_references([], 10, 0) == []


# --- opened ---


def test_the_layers_of_the_model(subject: Subject) -> None:
    assert subject.layer_names == ["stage1", "stage2", "stage3"]
    assert [(layer.channels, layer.height) for layer in subject.layers] == [(8, 32), (16, 16), (16, 8)]
    assert subject.settings is subject.workspace.settings


def test_correct_images_are_those_that_the_model_gets_right_alone(plant: Plant, subject: Subject) -> None:
    drawn = draw_references(plant.references, 200, 0)
    names = plant.model.class_names
    images, labels = [], []
    for each in drawn:
        image = read_image(Path(each.image_path), (32, 32), 1)
        answer = int(subject.classifier.logits(subject.classifier.prepare(image[None]))[0].argmax())
        if names[answer] == each.label:
            images.append(image)
            labels.append(answer)
    assert 0 < len(images) < len(drawn)
    np.testing.assert_array_equal(subject.correct.images, np.stack(images))
    assert subject.correct.labels.tolist() == labels
    assert subject.reference.counts.tolist() == np.bincount(labels, minlength=5).tolist()


def energies_of(subject: Subject, label: int) -> NDArray[np.float64]:
    """The energies (images, filters) of stage 2 on the correct images of a class, one image at a time."""
    stage1, stage2 = (subject.classifier.network.get_submodule(name) for name in ("stage1", "stage2"))
    rows = []
    for image in subject.correct.images[subject.correct.labels == label]:
        with torch.no_grad():
            code = stage2(stage1(subject.classifier.prepare(image[None])))[0]
        rows.append([float(channel.mean()) for channel in code])
    return np.array(rows)


def test_normal_energies_are_the_means_of_the_correct_images(subject: Subject) -> None:
    normal = subject.reference.layers["stage2"]
    variances = []
    for label in range(5):
        energies = energies_of(subject, label)
        np.testing.assert_allclose(normal.energy[label], energies.mean(0), rtol=1e-4, atol=1e-5)
        variances.append(energies.var(0))
    sigma = np.sqrt(np.mean(variances, axis=0))
    np.testing.assert_allclose(
        normal.sigma, np.maximum(sigma, 0.05 * np.median(sigma[sigma > 0])), rtol=1e-3, atol=1e-6
    )


def test_every_class_gives_at_most_the_number_in_the_settings(plant: Plant, tmp_path: Path) -> None:
    few = plant.copied(tmp_path / "few", "reference.images_per_class = 3\nreference.minimum_per_class = 1")
    counted: list[int] = []
    subject = open_subject(few.workspace, few.model, few.references, counted.append)
    assert (subject.reference.counts <= 3).all()
    assert len(subject.correct) == subject.reference.counts.sum()
    assert sum(counted) == 2 * 15  # each image is read, and measured


def test_too_few_correct_references_are_refused(plant: Plant) -> None:
    wrong = [
        ReferenceImage(each.image_path, "pit" if each.label == "good" else "good", each.split)
        for each in plant.references
        if each.label in ("good", "pit")
    ]
    with pytest.raises(TooFewReferencesError, match=r"at least 4 are needed.*class names"):
        open_subject(plant.workspace, plant.model, wrong[:30])
    with pytest.raises(TooFewReferencesError, match=r"^0 reference images are classified correctly"):
        open_subject(plant.workspace, plant.model, [])


def test_the_subject_of_a_workspace_is_opened_once(plant: Plant, subject: Subject) -> None:
    opened = subject_of(plant.workspace.root, plant.model.model_hash)
    assert opened is subject_of(plant.workspace.root, plant.model.model_hash)
    assert (opened.model, opened.workspace) == (plant.model, plant.workspace)
    np.testing.assert_array_equal(opened.correct.images, subject.correct.images)
    for name in subject.layer_names:
        np.testing.assert_array_equal(
            opened.reference.layers[name].energy, subject.reference.layers[name].energy
        )


def test_changed_settings_and_another_registration_open_it_anew(plant: Plant, tmp_path: Path) -> None:
    """As in a worker that runs for days."""
    mine = plant.copied(tmp_path / "workspace")
    root, model = mine.workspace.root, mine.model
    opened = subject_of(root, model.model_hash)
    rewrite_settings(root, "reference.images_per_class = 3")
    fewer = subject_of(root, model.model_hash)
    assert fewer.settings.reference.images_per_class == 3
    assert len(fewer.labelled) == 15 < len(opened.labelled)
    later = replace(model, registered_at=model.registered_at + timedelta(days=1))
    mine.store.add_model(later, mine.references[:60])
    again = subject_of(root, model.model_hash)
    assert again.model == later
    assert again is subject_of(root, model.model_hash)
