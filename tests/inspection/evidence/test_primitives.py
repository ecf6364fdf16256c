"""Texture primitives as findings: real descents on a tiny model, their pictures and patches."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fmi_engine.natural import Examples
from fmi_engine.patches import find_peaks
from fmi_engine.probe import find_layer
from inspection.evidence import primitives
from inspection.evidence.blame import probe_layers, shortlist
from inspection.evidence.case import Case
from inspection.evidence.layer_facts import check_ablation
from inspection.evidence.primitives import count_pictures, invert_filters, pattern_of, stretched
from inspection.evidence.subject import Subject, open_subject
from inspection.findings import BlamedFilter
from inspection.inputs.images import read_image
from inspection.inputs.labelled import evenly
from tests.inspection.conftest import Plant


@pytest.fixture(scope="module")
def mine(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    copy = plant.copied(tmp_path_factory.mktemp("primitives") / "workspace")
    return open_subject(copy.workspace, copy.model, copy.references)


@pytest.fixture(scope="module")
def case(mine: Subject, lamp_case: Case) -> Case:
    return replace(lamp_case, subject=mine)


@pytest.fixture(scope="module")
def blamed(mine: Subject, lamp_case: Case) -> tuple[BlamedFilter, ...]:
    stage2 = replace(mine, layers=(find_layer(mine.layers, "stage2"),))
    probe = probe_layers(replace(lamp_case, subject=stage2))[0]
    return shortlist(replace(lamp_case, subject=mine), probe)


@pytest.fixture(scope="module")
def inverted(case: Case, blamed: tuple[BlamedFilter, ...]) -> tuple[BlamedFilter, ...]:
    return invert_filters(case, "n1-1", blamed)


def test_every_filter_gets_a_primitive_from_every_source(
    mine: Subject, blamed: tuple[BlamedFilter, ...], inverted: tuple[BlamedFilter, ...]
) -> None:
    assert [(each.channel, each.rank, each.blame) for each in inverted] == [
        (each.channel, each.rank, each.blame) for each in blamed
    ]
    for each in inverted:
        assert [primitive.picture for primitive in each.primitives] == [
            f"artifacts/n1/primitives/stage2-{each.channel}-{source}.png" for source in (0, 1)
        ]
        for primitive in each.primitives:
            picture = read_image(mine.workspace.root / primitive.picture, None, 1)
            assert picture.shape == (32, 32, 1)
            assert (picture.min(), picture.max()) == (0, 255)
            assert primitive.trusted == (primitive.failed == ())
            assert 1 <= primitive.rank <= 16
    seeds = [primitive.seed for each in inverted for primitive in each.primitives]
    assert len(set(seeds)) == 4


def test_the_sources_are_correct_images_shown_beside(
    mine: Subject, inverted: tuple[BlamedFilter, ...]
) -> None:
    sources = mine.correct.images[evenly(mine.correct.labels, 2)]
    for each in inverted:
        for i, primitive in enumerate(each.primitives):
            assert primitive.source_picture == f"artifacts/n1/primitives/source-{i}.png"
            shown = read_image(mine.workspace.root / primitive.source_picture, None, 1)
            np.testing.assert_array_equal(shown, sources[i])


def test_real_patches_are_cut_where_the_filter_answers_most(
    mine: Subject, inverted: tuple[BlamedFilter, ...]
) -> None:
    """Five positions of stage 2, which halves 32 pixels once, are 10 pixels: 24, the least, is shown."""
    stage1, stage2 = (mine.classifier.network.get_submodule(name) for name in ("stage1", "stage2"))
    with torch.no_grad():
        codes = stage2(stage1(mine.classifier.prepare(mine.correct.images))).numpy()
    for each in inverted:
        assert each.patches == tuple(
            f"artifacts/n1/primitives/stage2-{each.channel}-patch-{i}.png" for i in range(3)
        )
        peaks = codes[:, each.channel].max((1, 2))
        strongest = sorted(range(len(peaks)), key=lambda i: -peaks[i])[:3]
        for name, i in zip(each.patches, strongest, strict=True):
            row, column = divmod(int(codes[i, each.channel].argmax()), 16)
            top, left = (min(max(round(2 * (place + 0.5)) - 12, 0), 8) for place in (row, column))
            shown = read_image(mine.workspace.root / name, None, 1)
            np.testing.assert_array_equal(shown, mine.correct.images[i][top : top + 24, left : left + 24])


def picture_bytes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_same_seed_draws_the_same_bytes_and_another_seed_others(
    case: Case,
    blamed: tuple[BlamedFilter, ...],
    inverted: tuple[BlamedFilter, ...],
    plant: Plant,
    tmp_path: Path,
) -> None:
    invert_filters(case, "n2-1", blamed)
    first = picture_bytes(case.subject.workspace.night_folder("n1") / "primitives")
    assert picture_bytes(case.subject.workspace.night_folder("n2") / "primitives") == first
    assert len(first) == 2 + 2 * 2 * 2 + 2 * 3  # sources, primitives and their close-ups, patches
    copy = plant.copied(tmp_path / "other", "compute.seed = 1")
    other = open_subject(copy.workspace, copy.model, copy.references)
    invert_filters(replace(case, subject=other), "n1-1", blamed)
    others = picture_bytes(other.workspace.night_folder("n1") / "primitives")
    for each in inverted:
        for primitive in each.primitives:
            name = Path(primitive.picture).name
            assert others[name] != first[name]


def test_progress_counts_the_pictures(mine: Subject, case: Case, blamed: tuple[BlamedFilter, ...]) -> None:
    counted: list[int] = []
    invert_filters(case, "n3-1", blamed[:1], counted.append)
    assert sum(counted) == count_pictures(mine, blamed[:1]) == 4  # two sources, two controls


class _CaughtError(Exception):
    pass


def test_pictures_are_made_of_every_second_reference_image_and_judged_by_the_others(
    mine: Subject, case: Case, blamed: tuple[BlamedFilter, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = find_layer(mine.layers, "stage2")
    given: list[Examples] = []

    def caught(*arguments: object) -> None:
        given.extend(each for each in arguments if isinstance(each, Examples))
        raise _CaughtError

    monkeypatch.setattr(primitives, "invert", caught)
    with pytest.raises(_CaughtError):
        invert_filters(case, "n5-1", blamed)
    monkeypatch.setattr(primitives, "summon", caught)
    with pytest.raises(_CaughtError):
        primitives.trust_test(mine, layer, [], check_ablation(mine, layer))
    made_of, judged_by = given
    assert np.array_equal(made_of.images, mine.correct.images[::2])
    assert np.array_equal(judged_by.images, mine.correct.images)  # a jury parts them the same way
    found = find_peaks(mine.classifier, layer, range(layer.channels), mine.correct.images)
    assert np.array_equal(made_of.peaks["stage2"].places, found.places[::2])
    assert np.array_equal(judged_by.peaks["stage2"].places, found.places)


def test_without_filters_nothing_is_inverted(case: Case) -> None:
    assert invert_filters(case, "n4-1", ()) == ()
    assert not case.subject.workspace.night_folder("n4").exists()


def test_a_filter_is_drawn_at_work_on_the_error_that_excites_it_most(
    case: Case, inverted: tuple[BlamedFilter, ...]
) -> None:
    root, images = case.subject.workspace.root, case.images[case.examined]
    layer = find_layer(case.subject.layers, "stage2")
    for each in inverted:
        peaks = find_peaks(case.subject.classifier, layer, [each.channel], images)
        shown = read_image(root / each.excited, None, images.shape[3])
        assert np.array_equal(shown, images[int(peaks.values[:, 0].argmax())])
        answers = read_image(root / each.answers, None, 3).astype(int)
        red = answers[..., 0] - answers[..., 1]
        row, column = np.unravel_index(int(red.argmax()), red.shape)
        place = int(peaks.places[peaks.values[:, 0].argmax(), 0])
        stride = len(red) / layer.height
        assert abs(row - (place // layer.width + 0.5) * stride) <= stride
        assert abs(column - (place % layer.width + 0.5) * stride) <= stride


def test_the_pattern_of_stripes_is_lines_that_run_along_them() -> None:
    rows = np.arange(48)[:, None] + 0 * np.arange(48)
    pattern = pattern_of((0.5 + 0.3 * np.sin(2 * np.pi * rows / 6)).astype(np.float32)[None], 0.1)
    assert pattern.wavelength == pytest.approx(6, rel=0.05)
    assert min(pattern.direction, 180 - pattern.direction) < 2  # lines across
    assert pattern.directedness > 0.9
    assert pattern.mm_per_pixel == 0.1
    flat = pattern_of(np.full((1, 16, 16), 0.5, np.float32))
    assert math.isnan(flat.wavelength)
    assert math.isnan(flat.polarity)


# --- stretched ---


def test_the_1st_and_99th_percentile_become_black_and_white() -> None:
    # 0, 1, ..., 100 hundredths: the percentiles are 0.01 and 0.99, 98 steps apart.
    image = np.linspace(0, 1, 101, dtype=np.float32)[None, None, :]
    shown = stretched(image)[0, :, 0]
    expected = np.array([255 * min(max((value - 1) / 98, 0.0), 1.0) for value in range(101)])
    assert np.abs(shown - expected).max() < 0.51  # rounded; a half goes either way
    assert (shown[0], shown[1], shown[2], shown[98], shown[99], shown[100]) == (0, 0, 3, 252, 255, 255)


def test_a_faint_picture_gets_full_contrast_and_keeps_its_layout() -> None:
    image = np.array([[[0.5, 0.501], [0.502, 0.503]]], np.float32)
    shown = stretched(image)
    assert shown.shape == (2, 2, 1)
    assert shown.dtype == np.uint8
    assert (shown[0, 0, 0], shown[1, 1, 0]) == (0, 255)
    assert 75 <= shown[0, 1, 0] < shown[1, 0, 0] <= 180


def test_channels_become_the_last_axis_and_share_one_stretch() -> None:
    image = np.zeros((3, 1, 2), np.float32)
    image[0], image[1], image[2] = 0.2, 0.3, 0.4
    assert stretched(image)[0].tolist() == [[0, 128, 255], [0, 128, 255]]


def test_a_flat_picture_stays_flat() -> None:
    assert len(np.unique(stretched(np.full((1, 4, 4), 0.7, np.float32)))) == 1
