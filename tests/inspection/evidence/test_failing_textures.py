"""Texture primitives of failing images: the texture that was planted, of filters that answer it too much."""

from dataclasses import replace

import numpy as np
import pytest

from fmi_engine.reference import measure_energies
from fmi_engine.types import AblationCheck
from inspection.evidence import failing_textures as module
from inspection.evidence.blame import screen
from inspection.evidence.case import Case
from inspection.evidence.failing_textures import LEAST_RESPONSE, failing_textures
from inspection.evidence.responses import Responses
from inspection.evidence.subject import Subject, open_subject
from tests.inspection.conftest import SIZE, Plant

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def mine(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    copy = plant.copied(tmp_path_factory.mktemp("failing") / "workspace")
    return open_subject(copy.workspace, copy.model, copy.references)


@pytest.fixture(scope="module")
def crossed(mine: Subject, lamp_responses: Responses) -> Case:
    """Two crossing waves of six pixels on every image, their phases at random."""
    rng, data = np.random.default_rng(0), mine.labelled
    down, across = np.mgrid[:SIZE, :SIZE] * (2 * np.pi / 6)
    waves = [
        25 * (np.sin(down + rng.uniform(0, 7)) + np.sin(across + rng.uniform(0, 7)))[..., None]
        for _ in range(len(data))
    ]
    images = np.clip(np.rint(data.images + waves), 0, 255).astype(np.uint8)
    wrong = mine.classifier.predict(images).argmax(1) != data.labels
    screening = screen(mine, images[wrong], data.labels[wrong])
    return Case(mine, lamp_responses, screening, images[wrong])


def test_the_pictures_hold_the_waves_and_their_filters_answer_them(mine: Subject, crossed: Case) -> None:
    found = failing_textures(crossed)
    assert len(found.filters) == len(found.pictures) > 0
    assert found.pictures.shape[1:] == (SIZE, SIZE, 1)
    assert 0 <= found.pictures.min() < found.pictures.max() <= 255
    centred = found.pictures[..., 0] - found.pictures.mean((1, 2, 3))[:, None, None]
    spectrum = (np.abs(np.fft.fft2(centred)) ** 2).mean(0)
    waves = [(0, 5), (0, 27), (5, 0), (27, 0)]  # 32 / 6 is 5.3 periods
    assert sum(spectrum[place] for place in waves) > 20 * spectrum.mean()
    (layer,) = {each.partition(":")[0] for each in found.filters}
    names, first = mine.layer_names, 0
    for name in names[: names.index(layer)]:
        first += next(each.channels for each in mine.layers if each.name == name)
    eight_bit = np.rint(found.pictures).astype(np.uint8)
    energy, _, _ = measure_energies(mine.classifier, [layer], eight_bit, with_spread=False)
    normal = mine.reference.layers[layer]
    for row, name in zip(energy[layer], found.filters, strict=True):
        channel = int(name.partition(":")[2])
        shift = (row[channel] - normal.energy.mean(0)[channel]) / normal.sigma[channel]
        assert shift >= LEAST_RESPONSE * crossed.observed[first + channel] > 0


def test_where_no_right_answer_depends_on_the_layer_there_are_none(
    crossed: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = AblationCheck("any", 20, 10, 10, 1.0, 10, 1.0)
    assert not never.holds
    monkeypatch.setattr(module, "check_ablation", lambda *_: never)
    assert failing_textures(crossed).filters == ()


def test_where_no_filter_answers_too_much_there_are_none(crossed: Case) -> None:
    silent = replace(crossed)
    vars(silent)["observed"] = -np.abs(crossed.observed)
    vars(silent)["evidence"] = crossed.evidence
    assert failing_textures(silent).filters == ()


def test_pictures_that_do_not_excite_their_filter_are_left_out(
    crossed: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAST_RESPONSE", 1e6)
    assert failing_textures(crossed).filters == ()
