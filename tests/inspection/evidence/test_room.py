"""What a night takes of the machine, and what it holds less of where that would not fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fmi_engine import memory
from fmi_engine.classifier import Classifier, Preprocessing, build_network
from fmi_engine.memory import OF_A_PASS, bytes_of_an_image, images_at_once
from inspection.evidence import room
from inspection.evidence.room import room_for, within
from inspection.evidence.subject import open_subject
from inspection.findings import ReferenceImage
from inspection.workspace.settings import Settings
from tests.inspection.conftest import Plant


def classifier_of(size: int, classes: int = 3) -> Classifier:
    network = build_network("tests.inspection.tiny_network:tiny_network", classes, 1)
    preprocessing = Preprocessing(size, size, 1, (0.5,), (0.5,))
    return Classifier(network, [f"class {i}" for i in range(classes)], preprocessing)


def references(classes: int, each: int) -> list[ReferenceImage]:
    return [
        ReferenceImage(f"/{c}/{i}.png", f"class {c}", "train") for c in range(classes) for i in range(each)
    ]


def test_a_pass_takes_what_its_modules_answer() -> None:
    network, x = classifier_of(32).network, torch.zeros(1, 1, 32, 32)
    answers = (
        3 * (8 * 32 * 32 + 16 * 16 * 16 + 16 * 8 * 8) + 16 + 16 + 3
    )  # convolution, norm, ReLU; mean, flat, head
    assert bytes_of_an_image(network, x) == int(OF_A_PASS * 4 * answers)


def test_a_batch_holds_as_many_images_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = classifier_of(32).network, torch.zeros(1, 1, 32, 32)
    one = bytes_of_an_image(network, x)
    for images, expected in ((100, 32), (10.5, 10), (0.1, 1)):
        monkeypatch.setattr(memory, "_memory", lambda _, images=images: images * one / memory.SHARE)
        assert images_at_once(one, x.device, 32) == expected


def test_a_usual_model_takes_what_the_settings_say() -> None:
    found = room_for(Settings(), classifier_of(32), references(3, 250))
    assert (found.batch, found.per_class, found.reference_bytes) == (32, 200, 2 * 3 * 200 * 32 * 32)
    assert found.batch_bytes == 32 * bytes_of_an_image(classifier_of(32).network, torch.zeros(1, 1, 32, 32))


def test_of_a_thousand_classes_each_keeps_fewer_reference_images() -> None:
    classifier = replace_size(classifier_of(32, 4), 224)
    found = room_for(Settings(), classifier, references(1000, 60))
    assert found.per_class == room.MOST_BYTES // (1000 * 224 * 224) == 42
    assert found.reference_bytes <= 2 * room.MOST_BYTES


def test_never_fewer_than_say_what_is_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_BYTES", 1)
    settings = Settings()
    assert (
        room_for(settings, classifier_of(32), references(3, 250)).per_class
        == settings.reference.minimum_per_class
    )


def replace_size(classifier: Classifier, size: int) -> Classifier:
    preprocessing = replace(classifier.preprocessing, height=size, width=size)
    return Classifier(classifier.network, classifier.class_names, preprocessing)


def test_a_subject_works_within_its_room(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = plant.copied(tmp_path / "workspace")
    usual = open_subject(mine.workspace, mine.model, mine.references)
    assert usual.settings.compute.batch_size == mine.settings.compute.batch_size == 16
    one = bytes_of_an_image(usual.classifier.network, torch.zeros(1, 1, 32, 32))
    monkeypatch.setattr(memory, "_memory", lambda _: 3.5 * one / memory.SHARE)
    monkeypatch.setattr(room, "MOST_BYTES", 5 * 6 * 32 * 32)
    small = open_subject(mine.workspace, mine.model, mine.references)
    assert small.settings.compute.batch_size == 3
    assert np.bincount(small.labelled.labels).tolist() == [6] * 5
    assert (
        within(
            mine.workspace, room_for(mine.settings, small.classifier, mine.references)
        ).settings.compute.batch_size
        == 3
    )
