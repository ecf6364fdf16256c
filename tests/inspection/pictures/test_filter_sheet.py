"""What `fmi invert` tells: the sheet pixel by pixel, its numbers, and the words for a person."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.console import Console
from inspection.evidence.primitives import stretched
from inspection.inputs.images import read_image
from inspection.pictures import filters
from inspection.pictures.filter_sheet import print_drawn, sheet_of, write_sheet
from inspection.pictures.filters import Drawn
from inspection.pictures.sheet import plan
from tests.inspection.pictures.command import (
    silent,
    three_times,
)
from tests.inspection.pictures.conftest import DEAD


def cell(drawn: Drawn, row: int, column: int) -> NDArray[np.uint8]:
    """What the sheet's file shows at one place."""
    laid = plan(sheet_of(drawn))
    top, left = laid.tops[row], laid.lefts[column]
    shown = read_image(drawn.request.out, None, 3)
    return shown[top : top + laid.cell[0], left : left + laid.cell[1]]


def test_the_sheet_shows_sources_and_primitives_pixel_by_pixel(
    drawn: Drawn, decoded: NDArray[np.uint8]
) -> None:
    """Columns: a crop of each of the two images, then twice a source and its two seeds."""
    headings = [(column.group, column.heading) for column in sheet_of(drawn).columns]
    names = [path.name for path in drawn.given.paths]
    assert headings == [
        *[("real crops that excite it most", "")] * 2,
        *((f"from {name}", heading) for name in names for heading in ("source", "seed 0", "seed 1")),
    ]
    for row in range(4):
        np.testing.assert_array_equal(cell(drawn, row, 2), three_times(decoded[0]))
        np.testing.assert_array_equal(cell(drawn, row, 5), three_times(decoded[1]))
    for row, target in enumerate(drawn.targets):
        for made, column in zip(drawn.row(target), (3, 4, 6, 7), strict=True):
            shown = cell(drawn, row, column)
            same = np.array_equal(shown, three_times(stretched(made.image)))
            assert same is not made.withheld
            assert bool((np.ptp(shown.astype(int), axis=2) > 100).any()) is made.withheld  # the red cross


def test_the_crops_are_cut_around_the_strongest_answer(drawn: Drawn) -> None:
    for row, target in enumerate(drawn.targets):
        for column, patch in enumerate(drawn.patches[target]):
            assert patch.pixels.shape[:2] in ((24, 24), (32, 32))  # 4 times into 96, and 3 times
            factor = 96 // len(patch.pixels)
            expected = np.repeat(patch.pixels.repeat(factor, 0).repeat(factor, 1), 3, axis=2)
            np.testing.assert_array_equal(cell(drawn, row, column), expected)


def test_a_dead_filter_is_withheld_and_a_filter_alone_in_its_layer_is_not_tested(drawn: Drawn) -> None:
    dead = drawn.row(drawn.targets[2])
    assert str(drawn.targets[2]) == f"stage2:{DEAD}"
    assert all(made.withheld for made in dead)
    row = sheet_of(drawn).rows[2]
    assert row.label == f"stage2:{DEAD}"
    assert ("a dead filter", "bad") in [(line.text, line.tone) for line in row.details]
    shown = [each for each in row.cells if each is not None and each.withheld]
    assert len(shown) == 4
    assert all((each.lines[0].text, each.lines[0].tone) == ("not trusted", "bad") for each in shown)
    assert {made.trust for made in drawn.row(drawn.targets[3])} == {None}
    assert [*drawn.untested] == ["stage3"]
    notes = " ".join(sheet_of(drawn).notes)
    assert "The trust test is not applied to stage3: it compares filters" in notes
    assert "Pictures that failed the trust test are withheld; what failed is red." in notes


def test_every_number_under_a_picture_is_that_of_the_trust_test(drawn: Drawn) -> None:
    for row, target in zip(sheet_of(drawn).rows[:3], drawn.targets[:3], strict=True):
        cells = [row.cells[column] for column in (3, 4, 6, 7)]
        for each, made in zip(cells, drawn.row(target), strict=True):
            assert each is not None
            assert made.trust is not None
            lines = {line.text: line.tone for line in each.lines}
            ranks, sigma = f"rank {made.trust.rank} of 16", f"{made.trust.energy:+.1f} sigma"
            assert lines[ranks] == ("quiet" if made.trust.rank == 1 else "bad")
            assert lines[sigma] == ("quiet" if made.trust.energy > 0 else "bad")
            assert f"residual {made.residual:.2f}" in lines
        agreement = drawn.row(target)[0].trust.agreement  # type: ignore[union-attr]
        found = {line.text: line.tone for line in row.details}
        assert found[f"agreement {agreement:.2f}"] == ("quiet" if agreement >= 0.8 else "bad")


def test_the_title_names_model_layers_and_preset(drawn: Drawn) -> None:
    sheet = sheet_of(drawn)
    assert sheet.title == "Texture primitives: stage2, stage3"
    assert drawn.model.name in sheet.subtitle
    assert "preset default" in sheet.subtitle
    alone = replace(drawn, targets=drawn.targets[:3])
    assert "stage2: 16 filters of 16 x 16 positions" in sheet_of(alone).subtitle


def test_show_withheld_shows_and_saves_them_and_still_says_so(drawn: Drawn, tmp_path: Path) -> None:
    request = replace(drawn.request, out=tmp_path / "s.png", pictures=tmp_path / "single", show_withheld=True)
    shown = filters.draw_filters(drawn.model, request, silent)
    write_sheet(shown)
    dead = shown.row(shown.targets[2])
    assert all(made.withheld and made.picture is not None and made.picture.is_file() for made in dead)
    np.testing.assert_array_equal(cell(shown, 2, 3), three_times(stretched(dead[0].image)))
    notes = sheet_of(shown).notes
    assert "Pictures that failed the trust test are shown all the same; what failed is red." in notes
    assert len([*(tmp_path / "single").iterdir()]) == 16


def test_a_person_is_told_what_failed(drawn: Drawn, capsys: pytest.CaptureFixture[str]) -> None:
    print_drawn(Console(width=100), drawn)
    said = capsys.readouterr().out
    (line, *_) = [line for line in said.splitlines() if f"stage2:{DEAD} " in line]
    assert "no: " in line
    assert "dead" in said
    trusted = sum(made.trust is not None and made.trust.trusted for made in drawn.made)
    assert f"{trusted} of 12 pictures are trusted; needed: first or in the top 1%" in said
    assert re.search(r"stage3:1 .* untested", said)
