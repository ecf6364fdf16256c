"""What operations do to a model's filters, against one image and one filter at a time."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fmi_engine.texture import ANGULAR_BINS, RADIAL_BINS
from inspection import provenance, tuning
from inspection.evidence import responses
from inspection.evidence.responses import (
    Induced,
    Response,
    Responses,
    coarse_strengths,
    count_measurements,
    measure_change_of,
    measure_in_full,
    measure_responses,
    standardised,
)
from inspection.evidence.subject import Subject, open_subject
from inspection.inputs.labelled import evenly
from inspection.operations import catalogue as operations
from inspection.operations.catalogue import Steps, find_operation, operations_for
from tests.inspection.conftest import Plant

FEW = ("dimmer lamp", "sensor noise", "JPEG compression")


@pytest.fixture
def few_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue of three operations, each as in ours, so that measuring is quick."""
    monkeypatch.setattr(operations, "CATALOGUE", tuple(find_operation(name) for name in FEW))


def opened(plant: Plant, folder: Path, changes: str = "") -> Subject:
    mine = plant.copied(folder, changes)
    return open_subject(mine.workspace, mine.model, mine.references)


def kept(subject: Subject) -> list[Path]:
    return sorted(subject.workspace.model_folder(subject.model.model_hash).glob("responses-*.npz"))


def in_full(subject: Subject, known: Responses) -> list[Path]:
    return sorted(subject.workspace.model_folder(subject.model.model_hash).glob(f"in-full-{known.name}/*"))


def same(one: Responses, other: Responses) -> None:
    assert list(one.coarse) == list(other.coarse)
    for name, response in one.coarse.items():
        assert response.strengths == other.coarse[name].strengths
        for part in ("classes", "shifts", "offsets"):
            np.testing.assert_array_equal(getattr(response, part), getattr(other.coarse[name], part))


def energies(subject: Subject, image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The energy of every filter, all stages in a row, for one image."""
    rows: list[float] = []
    with torch.no_grad():
        x = subject.classifier.prepare(image[None])
        for name in ("stage1", "stage2", "stage3"):
            x = subject.classifier.network.get_submodule(name)(x)
            rows += [float(channel.mean()) for channel in x[0]]
    return np.array(rows)


def sigmas(subject: Subject) -> NDArray[np.float32]:
    return np.concatenate([subject.reference.layers[name].sigma for name in ("stage1", "stage2", "stage3")])


# --- measured ---


@pytest.mark.usefixtures("few_operations")
@pytest.mark.parametrize(("name", "step", "label"), [("dimmer lamp", 2, 1), ("sensor noise", 3, 4)])
def test_a_shift_is_the_mean_change_of_energy_of_the_images_that_fail(
    plant: Plant, tmp_path: Path, name: str, step: int, label: int
) -> None:
    subject = opened(plant, tmp_path / "mine")
    found = measure_in_full(subject, measure_responses(subject), name)
    chosen = evenly(subject.correct.labels, 10)
    assert np.bincount(subject.correct.labels[chosen]).tolist() == [2] * 5
    operation = find_operation(name)
    normal = np.concatenate([subject.reference.layers[each].energy[label] for each in subject.layer_names])
    changes, offsets, failing = [], [], []
    for seed, i in enumerate(chosen):
        image = subject.correct.images[i]
        if subject.correct.labels[i] == label:
            changed = operation.apply(image, operation.grid[step], seed)
            changes.append((energies(subject, changed) - energies(subject, image)) / sigmas(subject))
            offsets.append((energies(subject, image) - normal) / sigmas(subject))
            failing.append(1.01 - subject.classifier.predict(changed[None])[0, label])
    assert len(changes) == 2
    for rows, expected in ((found.shifts, changes), (found.offsets, offsets)):
        mean = sum(w * row for w, row in zip(failing, expected, strict=True)) / sum(failing)
        np.testing.assert_allclose(rows[step, label, :40], mean, rtol=5e-3, atol=5e-3)


@pytest.mark.usefixtures("few_operations")
def test_the_look_of_the_images_changes_too(plant: Plant, tmp_path: Path) -> None:
    """Only one entry is looked at here, the first after the spectrum: four times the mean brightness."""
    subject = opened(plant, tmp_path / "mine")
    found = measure_in_full(subject, measure_responses(subject), "dimmer lamp")
    operation, label = find_operation("dimmer lamp"), 1
    chosen = [i for i in evenly(subject.correct.labels, 10) if subject.correct.labels[i] == label]
    images = [subject.correct.images[i] for i in chosen]
    levels = np.array([[image.mean(), operation.apply(image, 1.0, 0).mean()] for image in images]) / 255
    brightness = [4 * image.mean() / 255 for image in subject.correct.images]
    classes = [np.array(brightness)[subject.correct.labels == t] for t in range(5)]
    sigma = np.sqrt(np.mean([values.var() for values in classes]))
    expected = 4 * (levels[:, 1] - levels[:, 0]).mean() / sigma
    assert operation.grid[2] == 1.0
    level = 40 + RADIAL_BINS * ANGULAR_BINS
    assert found.shifts[2, label, level] == pytest.approx(expected, rel=1e-3)


@pytest.mark.usefixtures("few_operations")
def test_the_reference_images_themselves_are_kept_in_sigma(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right and wrong, and of many as even a choice over the classes as may be."""
    monkeypatch.setattr(tuning, "REFERENCE_POOL", 30)
    subject = opened(plant, tmp_path / "mine")
    found = measure_responses(subject)
    pool, chosen = subject.labelled, evenly(subject.labelled.labels, 30)
    looks = subject.looks
    assert found.references.shape == (30, 8 + 16 + 16 + len(looks.sigma))
    np.testing.assert_array_equal(found.labels, pool.labels[chosen])
    assert set(np.bincount(found.labels)) == {6}
    for row, i in enumerate(chosen):
        label, image = pool.labels[i], pool.images[i]
        assert found.right[row] == (subject.classifier.predict(image[None])[0].argmax() == label)
        layers = [subject.reference.layers[f"stage{n}"].energy[label] for n in (1, 2, 3)]
        sigma = sigmas(subject)
        expected = (energies(subject, image) - np.concatenate(layers)) / sigma
        np.testing.assert_allclose(found.references[row, :40], expected, rtol=2e-3, atol=2e-3)
        look = looks.standardise(image[None], pool.labels[i : i + 1])[0]
        np.testing.assert_allclose(found.references[row, 40:], look, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.normal[label, :40], np.concatenate(layers) / sigma, rtol=1e-4)
        np.testing.assert_allclose(found.normal[label, 40:], looks.mean[label] / looks.sigma, rtol=1e-4)


def test_every_operation_for_grey_images_is_measured_at_two_strengths(plant: Plant, tmp_path: Path) -> None:
    subject = opened(plant, tmp_path / "mine", "matching.reference_images = 5")
    counted: list[int] = []
    found = measure_responses(subject, counted.append)
    expected = {operation.name: coarse_strengths(operation) for operation in operations_for(1)}
    assert {name: response.strengths for name, response in found.coarse.items()} == expected
    assert "colour noise" not in found.coarse
    assert sum(counted) == count_measurements(subject) == sum(map(len, expected.values()))
    for name, response in found.coarse.items():
        assert response.classes.tolist() == [True] * 5
        assert np.isfinite(response.shifts).all(), name
        if "turned" in name or "reversed" in name:
            continue  # the mirror image of a defect, at twice its contrast lost, may move less than none
        weak, strong = np.abs(response.shifts).mean((1, 2))
        assert strong > weak, name  # stronger moves the filters more


@pytest.mark.parametrize(
    ("grid", "expected"),
    [((0.5,), (0.5,)), ((0.5, 1.0), (0.5, 1.0)), ((0.1, 0.5, 1.0), (0.5, 1.0)), ((1, 2, 3, 4, 5), (2, 5))],
)
def test_coarsely_is_the_second_strength_and_the_last(
    grid: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    assert coarse_strengths(replace(find_operation("defocus"), grid=grid)) == expected


@pytest.mark.usefixtures("few_operations")
def test_coarsely_is_on_few_images_and_in_full_on_all_chosen(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The few are drawn evenly of the chosen; without seeds a dimmer lamp tells which they are."""
    monkeypatch.setattr(tuning, "COARSE_IMAGES", 5)
    subject = opened(plant, tmp_path / "mine")
    responses = measure_responses(subject)
    chosen = subject.correct.subset(evenly(subject.correct.labels, 10))
    full = measure_in_full(subject, responses, "dimmer lamp")
    assert full.strengths == find_operation("dimmer lamp").grid
    for response, images in (
        (responses.coarse["dimmer lamp"], chosen.subset(evenly(chosen.labels, 5))),
        (full, chosen),
    ):
        strength = response.strengths[-1]
        changed = Steps((("dimmer lamp", strength),))(images.images)
        after, failing = standardised(subject, changed, images.labels)
        before, _ = standardised(subject, images.images, images.labels)
        for label in range(5):
            mine = images.labels == label
            mean = np.average((after - before)[mine], axis=0, weights=failing[mine])
            np.testing.assert_allclose(response.shifts[-1, label], mean, rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("few_operations")
def test_a_class_that_no_correct_image_stands_for_is_not_measured(plant: Plant, tmp_path: Path) -> None:
    subject = opened(plant, tmp_path / "mine", "matching.reference_images = 3")
    found = measure_responses(subject).coarse["dimmer lamp"]
    assert found.classes.tolist() == [True, True, True, False, False]
    assert found.shifts.shape[1] == found.offsets.shape[1] == 3  # no row is kept of the others
    assert found.shifts.any()


# --- operations one after the other ---


def measured_under(
    subject: Subject, responses: Responses, steps: Sequence[tuple[str, float]], true: NDArray[np.int64]
) -> Induced:
    return measure_change_of(subject, responses, Steps(tuple(steps)), true)


@pytest.mark.usefixtures("few_operations")
def test_operations_one_after_the_other_weighted_by_the_classes_of_the_errors(
    plant: Plant, tmp_path: Path
) -> None:
    """Each reference image is changed and measured by itself; class means of those that fail."""
    subject = opened(plant, tmp_path / "mine")
    responses = measure_responses(subject)
    true = np.array([1, 1, 1, 4])
    found = measured_under(subject, responses, [("dimmer lamp", 0.7), ("sensor noise", 0.05)], true)
    chosen = evenly(subject.correct.labels, 10)
    np.testing.assert_array_equal(responses.positions, chosen)
    filters: dict[int, list[NDArray[np.float64]]] = {1: [], 4: []}
    looks: dict[int, list[NDArray[np.float32]]] = {1: [], 4: []}
    failing: dict[int, list[float]] = {1: [], 4: []}
    for seed, i in enumerate(chosen):
        image, label = subject.correct.images[i], int(subject.correct.labels[i])
        if label in filters:
            changed = find_operation("dimmer lamp").apply(image, 0.7, seed)
            changed = find_operation("sensor noise").apply(changed, 0.05, seed)
            filters[label].append((energies(subject, changed) - energies(subject, image)) / sigmas(subject))
            both = subject.looks.standardise(np.stack([image, changed]), np.array([label, label]))
            looks[label].append(both[1] - both[0])
            failing[label].append(1.01 - float(subject.classifier.predict(changed[None])[0, label]))
    for part, rows in ((found.shift[:40], filters), (found.shift[40:], looks)):
        one, other = (np.average(rows[t], axis=0, weights=failing[t]) for t in (1, 4))
        expected = (3 * one + other) / 4
        np.testing.assert_allclose(part, expected, rtol=5e-3, atol=5e-3)


@pytest.mark.usefixtures("few_operations")
def test_one_step_is_what_the_catalogue_measured(plant: Plant, tmp_path: Path) -> None:
    subject = opened(plant, tmp_path / "mine")
    responses, true = measure_responses(subject), np.array([0, 2, 2, 3])
    found = measured_under(subject, responses, [("dimmer lamp", 1.0)], true)
    strengths, induced = measure_in_full(subject, responses, "dimmer lamp").path(true)
    held = induced[strengths.index(1.0)]
    np.testing.assert_allclose(found.shift, held.shift, atol=1e-4)
    np.testing.assert_allclose(found.offset, held.offset, atol=1e-4)


@pytest.mark.usefixtures("few_operations")
def test_a_strength_above_the_limit_is_the_limit(plant: Plant, tmp_path: Path) -> None:
    subject = opened(plant, tmp_path / "mine")
    responses, true = measure_responses(subject), np.array([0])
    limit = find_operation("JPEG compression").limit
    found = measured_under(subject, responses, [("JPEG compression", limit + 50)], true)
    expected = measured_under(subject, responses, [("JPEG compression", limit)], true)
    np.testing.assert_array_equal(found.shift, expected.shift)


@pytest.mark.usefixtures("few_operations")
def test_errors_of_a_class_without_references_are_judged_by_all_others(plant: Plant, tmp_path: Path) -> None:
    subject = opened(plant, tmp_path / "mine", "matching.reference_images = 3")
    responses = measure_responses(subject)
    only, nobody = (
        measure_change_of(subject, responses, lambda images: images // 2, np.array(true))
        for true in ([3, 4], [0, 1, 2])
    )
    np.testing.assert_allclose(only.shift, nobody.shift, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(only.offset, nobody.offset, rtol=1e-5, atol=1e-5)
    assert np.abs(only.shift).max() > 1


# --- kept ---


@pytest.mark.usefixtures("few_operations")
def test_the_second_night_reads_what_the_first_measured(plant: Plant, tmp_path: Path) -> None:
    subject = opened(plant, tmp_path / "mine")
    first = measure_responses(subject)
    (path,) = kept(subject)
    assert [each.name for each in path.parent.iterdir() if each.suffix == ".tmp"] == []
    read = measure_responses(subject)
    same(read, first)
    np.testing.assert_array_equal(read.positions, first.positions)
    np.testing.assert_array_equal(read.unchanged, first.unchanged)
    for name in ("references", "labels", "right", "normal"):
        np.testing.assert_array_equal(getattr(read, name), getattr(first, name))
    # A file with other numbers in it is what is read: nothing is measured anew.
    with np.load(path) as held:
        arrays = {name: held[name] for name in held}
    np.savez(path, **{**arrays, "coarse/dimmer lamp/shifts": arrays["coarse/dimmer lamp/shifts"] + 1})
    counted: list[int] = []
    again = measure_responses(subject, counted.append)
    expected = first.coarse["dimmer lamp"].shifts + 1
    np.testing.assert_array_equal(again.coarse["dimmer lamp"].shifts, expected)
    assert counted == []


@pytest.mark.usefixtures("few_operations")
def test_what_was_measured_in_full_is_read_by_every_later_night(plant: Plant, tmp_path: Path) -> None:
    subject, counted = opened(plant, tmp_path / "mine"), list[int]()
    known = measure_responses(subject)
    first = measure_in_full(subject, known, "sensor noise", counted.append)
    again = measure_in_full(subject, measure_responses(subject), "sensor noise", counted.append)
    assert counted == [len(find_operation("sensor noise").grid)]
    np.testing.assert_array_equal(again.shifts, first.shifts)
    np.testing.assert_array_equal(again.offsets, first.offsets)
    (path,) = in_full(subject, known)
    path.write_bytes(path.read_bytes()[:1000])
    mended = measure_in_full(subject, known, "sensor noise", counted.append)
    assert len(counted) == 2
    np.testing.assert_array_equal(mended.shifts, first.shifts)


@pytest.mark.usefixtures("few_operations")
def test_of_two_nights_at_once_one_measures_an_operation_in_full(plant: Plant, tmp_path: Path) -> None:
    subject = opened(plant, tmp_path / "mine")
    known, measured = measure_responses(subject), list[float]()
    induced = responses._Changed._induced

    def counted(self: Any, operation: str, strength: float) -> NDArray[np.float32]:
        measured.append(strength)
        return induced(self, operation, strength)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(responses._Changed, "_induced", counted)
        one, other = pool.map(lambda _: measure_in_full(subject, known, "dimmer lamp"), range(2))
    assert tuple(measured) == find_operation("dimmer lamp").grid
    np.testing.assert_array_equal(one.shifts, other.shifts)


@pytest.mark.usefixtures("few_operations")
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive"], ids=["empty", "cut short", "other"])
def test_a_damaged_file_is_measured_again(plant: Plant, tmp_path: Path, content: bytes) -> None:
    subject = opened(plant, tmp_path / "mine")
    first = measure_responses(subject)
    (path,) = kept(subject)
    path.write_bytes(content)
    same(measure_responses(subject), first)
    counted: list[int] = []
    measure_responses(subject, counted.append)
    assert counted == []


class EndedError(Exception):
    """The process ends here."""


@pytest.mark.usefixtures("few_operations")
def test_measuring_that_was_ended_goes_on_after_the_last_operation(plant: Plant, tmp_path: Path) -> None:
    subject, undisturbed = (
        opened(plant, tmp_path / "mine"),
        measure_responses(opened(plant, tmp_path / "other")),
    )

    def ends(_measured: int) -> None:
        raise EndedError

    for _ in range(2):  # each time one operation further
        with pytest.raises(EndedError):
            measure_responses(subject, ends)
    (unfinished,) = subject.workspace.model_folder(subject.model.model_hash).glob("measuring-*")
    assert len(list(unfinished.glob("*.npy"))) == 1
    (unfinished / "0.npy").write_bytes(b"cut short")
    found = measure_responses(subject)
    same(found, undisturbed)
    assert not unfinished.exists()


@pytest.mark.usefixtures("few_operations")
def test_what_was_measured_before_the_end_is_not_measured_again(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, measured, again = opened(plant, tmp_path / "mine"), list[str](), list[bool]()
    induced = responses._Changed._induced

    def counted(self: Any, operation: str, strength: float) -> NDArray[np.float32]:
        measured.append(operation)
        if operation == FEW[2] and not again:
            raise EndedError
        return induced(self, operation, strength)

    monkeypatch.setattr(responses._Changed, "_induced", counted)
    with pytest.raises(EndedError):
        measure_responses(subject)
    assert set(measured) == set(FEW)
    again.append(True)
    measured.clear()
    measure_responses(subject)
    assert set(measured) == {FEW[2]}


@pytest.mark.usefixtures("few_operations")
def test_of_two_at_once_one_measures_and_the_other_waits(plant: Plant, tmp_path: Path) -> None:
    subject = opened(plant, tmp_path / "mine")
    other = open_subject(subject.workspace, subject.model, plant.references)
    counted: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda each: measure_responses(each, counted.append), (subject, other)))
    assert sum(counted) == count_measurements(subject)
    same(*both)


@pytest.mark.usefixtures("few_operations")
def test_another_process_of_the_same_workspace_finds_it(plant: Plant, tmp_path: Path) -> None:
    subject = opened(plant, tmp_path / "mine")
    measure_responses(subject)
    counted: list[int] = []
    reopened = open_subject(subject.workspace, subject.model, plant.references)
    measure_responses(reopened, counted.append)
    assert (counted, len(kept(subject))) == ([], 1)


@pytest.mark.usefixtures("few_operations")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param("matching.reference_images = 5", id="images measured"),
        pytest.param("compute.seed = 1", id="seed"),
        pytest.param("reference.images_per_class = 6", id="reference images drawn"),
        # Each class has 16 to 24 correct images: with 40 needed, all are judged by the mean of all classes.
        pytest.param("reference.minimum_per_class = 40", id="what is normal"),
    ],
)
def test_what_was_measured_under_other_settings_is_not_used(
    plant: Plant, tmp_path: Path, change: str
) -> None:
    mine = plant.copied(tmp_path / "mine")
    one = open_subject(mine.workspace, mine.model, mine.references)
    first = measure_responses(one)
    other = opened(mine, tmp_path / "other", change)
    found = measure_responses(other)
    assert len(kept(other)) == 2
    new = opened(plant, tmp_path / "fresh", change)
    fresh = measure_responses(new)
    same(found, fresh)
    np.testing.assert_array_equal(found.references, fresh.references)
    mine_full, other_full, fresh_full = (
        measure_in_full(subject, known, "sensor noise").shifts
        for subject, known in ((one, first), (other, found), (new, fresh))
    )
    np.testing.assert_array_equal(other_full, fresh_full)
    assert not np.array_equal(other_full, mine_full)


def test_what_was_measured_with_another_catalogue_is_not_used(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = opened(plant, tmp_path / "mine", "matching.reference_images = 5")
    for names in (FEW, FEW[:2]):
        monkeypatch.setattr(operations, "CATALOGUE", tuple(find_operation(name) for name in names))
        assert list(measure_responses(subject).coarse) == list(names)
    assert len(kept(subject)) == 2


# --- mixed by the classes of the errors ---


def by_hand(classes: Sequence[bool]) -> Responses:
    """Two strengths, three classes, one filter: class t moves by 10^t, twice that at the second strength.

    The look moves by three times as much. The images that fail lie half as far from normal without it.
    """
    shift = np.array([[[1.0, 3.0], [10.0, 30.0], [100.0, 300.0]]], np.float32)
    shift = np.concatenate([shift, 2 * shift])[:, np.array(classes)]
    return Responses(
        name="by hand",
        coarse={"lower contrast": Response((0.4, 0.8), np.array(classes), shift, 0.5 * shift)},
        positions=np.zeros(0, np.int64),
        unchanged=np.zeros((0, 2), np.float32),
        baseline=np.array([[1, 3], [10, 30], [100, 300]], np.float32),
        drawn=np.zeros(0, np.int64),
        references=np.zeros((0, 2), np.float32),
        labels=np.zeros(0, np.int64),
        right=np.zeros(0, bool),
        normal=np.zeros((3, 2), np.float32),
    )


@pytest.mark.parametrize(
    ("classes", "true", "expected"),
    [
        pytest.param((True, True, True), [1, 1, 1], 10.0, id="errors of one class"),
        pytest.param((True, True, True), [0, 2, 2, 2], (1 + 3 * 100) / 4, id="by their number"),
        pytest.param((True, True, False), [0, 2, 2, 2], 1.0, id="a class without references counts nothing"),
        pytest.param((True, True, False), [0, 1, 1, 2], (1 + 2 * 10) / 3, id="the others share its weight"),
        pytest.param((True, True, False), [2, 2], (1 + 10) / 2, id="only such a class: all others alike"),
    ],
)
def test_errors_are_explained_by_the_shifts_of_their_classes(
    classes: tuple[bool, ...], true: list[int], expected: float
) -> None:
    paths = by_hand(classes).paths(np.array(true))
    assert list(paths) == ["lower contrast"]
    strengths, induced = paths["lower contrast"]
    assert tuple(strengths) == (0.4, 0.8)
    for times, each in zip((1, 2), induced, strict=True):
        np.testing.assert_allclose(each.shift, times * expected * np.array([1, 3]), rtol=1e-6)
        np.testing.assert_allclose(each.offset, times * expected * np.array([0.5, 1.5]), rtol=1e-6)


def test_the_errors_of_any_day_are_mixed_alike() -> None:
    responses = by_hand((True, True, True))
    np.testing.assert_allclose(responses.baseline_shift(np.array([0, 2, 2, 2])), [301 / 4, 903 / 4])
    np.testing.assert_allclose(responses.baseline_shift(np.array([1])), [10, 30])


@pytest.mark.usefixtures("few_operations")
@pytest.mark.parametrize("fewest", [4, 8])
def test_baseline_errors_are_the_wrong_ones_and_at_least_as_many_as_say_what_is_normal(
    plant: Plant, tmp_path: Path, fewest: int
) -> None:
    subject = opened(plant, tmp_path / "mine", f"reference.minimum_per_class = {fewest}")
    found = measure_responses(subject).baseline
    pool = subject.labelled
    for label in range(len(subject.model.class_names)):
        ranked = []
        for image in pool.images[pool.labels == label]:
            chances = subject.classifier.predict(image[None])[0].tolist()
            own = chances.pop(label)
            ranked.append((max(chances) - own, image))
        ranked.sort(key=lambda each: -each[0])
        wrong = sum(margin > 0 for margin, _ in ranked)
        hardest = np.stack([image for _, image in ranked[: max(fewest, wrong)]])
        filters = np.mean(
            [
                (
                    energies(subject, image)
                    - np.concatenate(
                        [subject.reference.layers[name].energy[label] for name in subject.layer_names]
                    )
                )
                / sigmas(subject)
                for image in hardest
            ],
            axis=0,
        )
        look = subject.looks.standardise(hardest, np.full(len(hardest), label)).mean(0)
        np.testing.assert_allclose(found[label], [*filters, *look], atol=2e-3)


@pytest.mark.parametrize(
    "changed", ["inspection/operations/exposure.py", "inspection/evidence/look.py", "fmi_engine/reference.py"]
)
@pytest.mark.usefixtures("few_operations")
def test_what_an_operation_does_is_measured_again_where_its_source_has_changed(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """Its name, its strengths and its unit stay as they were."""
    subject = opened(plant, tmp_path / "workspace")
    measure_responses(subject)
    (before,) = kept(subject)
    read = Path.read_bytes

    def edited(path: Path) -> bytes:
        return read(path) + (b"\n# mended" if path.as_posix().endswith(changed) else b"")

    monkeypatch.setattr(Path, "read_bytes", edited)
    provenance.measured_by.cache_clear()
    measure_responses(subject)
    monkeypatch.undo()
    provenance.measured_by.cache_clear()
    assert len(kept(subject)) == 2
    assert before in kept(subject)


@pytest.mark.parametrize("name", ["DEFECT_WINDOW", "DEFECT_QUIET", "DEFECT_LOUD", "COARSE_IMAGES"])
def test_a_constant_of_what_stands_out_is_part_of_what_a_response_is_kept_under(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    subject = opened(plant, tmp_path / "mine")
    before = responses._response_key(subject)
    monkeypatch.setattr(tuning, name, 2 * getattr(tuning, name))
    assert responses._response_key(subject) != before
