"""Heat maps of single errors: which filter, where it answers, and how many there are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fmi_engine.probe import truncated
from inspection.evidence import heat_maps
from inspection.evidence.case import Case
from inspection.evidence.heat_maps import draw_heat_maps, in_grey
from inspection.findings import ErrorKind, LoggedError
from inspection.inputs.images import read_image
from tests.inspection.conftest import Plant


@pytest.fixture
def mine(plant: Plant, lamp_case: Case, tmp_path: Path) -> Case:
    here = replace(lamp_case.subject, workspace=plant.copied(tmp_path / "workspace").workspace)
    return replace(lamp_case, subject=here).part(np.arange(5))


@pytest.fixture
def logged(mine: Case) -> list[LoggedError]:
    margins = mine.screening.margin
    return [
        LoggedError(10 + i, f"{i}", f"/{i}.png", "a", "b", ErrorKind.CONFUSION, float(margin), "p.png")
        for i, margin in enumerate(margins)
    ]


def test_each_error_gets_the_answer_of_the_filter_most_to_blame_for_it(
    mine: Case, logged: list[LoggedError]
) -> None:
    drawn = draw_heat_maps(mine, logged, "n-1-1", "stage2")
    with torch.no_grad(), truncated(mine.subject.classifier.network, "stage2") as code:
        maps = code(mine.subject.classifier.prepare(mine.images[:])).numpy()
    for i, (before, after) in enumerate(zip(logged, drawn, strict=True)):
        blame = mine.screening.blame["stage2"][i]
        if blame.max() <= 0:
            assert after == before
            continue
        worst = int(blame.argmax())
        assert (after.heat, after.heat_filter) == (
            f"artifacts/n-1/heat-n-1-1/{10 + i:06d}.png",
            f"stage2:{worst}",
        )
        kept = read_image(mine.subject.workspace.root / after.heat, None, 1)[:, :, 0]
        answer = np.maximum(maps[i, worst], 0)
        assert np.abs(kept / 255 - answer / max(answer.max(), 1e-12)).max() <= 0.5 / 255 + 1e-6
    assert any(each.heat for each in drawn)


def test_only_the_largest_margins_get_one(
    mine: Case, logged: list[LoggedError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heat_maps, "MOST", 2)
    mine.screening.blame["stage2"][:] = 1.0
    told: list[int] = []
    rows = heat_maps.which_get_one(logged)
    largest = sorted(logged, key=lambda error: -error.margin)[:2]
    assert {logged[i].row for i in rows} == {each.row for each in largest}
    drawn = draw_heat_maps(mine.part(rows), [logged[i] for i in rows], "n-1-1", "stage2", told.append)
    assert {each.row for each in drawn if each.heat} == {each.row for each in largest}
    assert sum(told) == 2


def test_a_map_is_small_and_its_strongest_answer_is_white() -> None:
    answer = np.zeros((40, 200), np.float32)
    answer[20:, :100] = 3.0
    answer[0, 0] = -5.0
    grey = in_grey(answer)
    assert grey.shape == (13, 64)
    assert (grey.max(), grey[-1, 0], grey[-1, -1], grey[0, 0]) == (255, 255, 0, 0)
    assert in_grey(np.zeros((4, 4), np.float32)).max() == 0
