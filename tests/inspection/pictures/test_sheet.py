"""Contact sheets, pixel by pixel where a picture stands, and within their bounds where text does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.errors import ImageError
from inspection.pictures.sheet import Cell, Column, Line, Picture, Row, Sheet, draw, enlargement, plan

PAPER = (252, 251, 249)
RNG = np.random.default_rng(3)
GREY: Picture = RNG.integers(0, 256, (32, 32, 1), dtype=np.uint8)
COLOUR: Picture = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)


def sheet(*cells: Cell | None, **changes: Any) -> Sheet:
    """One row without a label, every cell in a column of one group."""
    columns = tuple(Column("group", f"column {i}") for i in range(len(cells)))
    plain = Sheet("title", "subtitle", (32, 32), columns, (Row("", (), cells),))
    return replace(plain, **changes)


def at(drawn: NDArray[np.uint8], made: Sheet, row: int, column: int) -> NDArray[np.uint8]:
    """What stands in one cell of a drawn sheet."""
    laid = plan(made)
    top, left = laid.tops[row], laid.lefts[column]
    return drawn[top : top + laid.cell[0], left : left + laid.cell[1]]


def three_times(picture: Picture) -> Picture:
    return np.kron(picture, np.ones((3, 3, 1), np.uint8))


# --- where things stand ---


@pytest.mark.parametrize(
    ("size", "factor"),
    [((32, 32), 3), ((95, 200), 2), ((96, 96), 1), ((224, 224), 1), ((128, 33), 3), ((1, 1), 96)],
)
def test_pictures_under_96_pixels_are_enlarged_by_a_whole_number(size: tuple[int, int], factor: int) -> None:
    assert enlargement(size) == factor


def test_columns_stand_12_pixels_apart_and_groups_30() -> None:
    columns = (Column("crops"), Column("crops"), Column("from a.png"), Column("from a.png"))
    laid = plan(sheet(*[Cell(GREY)] * 4, columns=columns))
    assert laid.cell == (96, 96)
    assert laid.lefts == (28, 28 + 108, 28 + 108 + 126, 28 + 108 + 126 + 108)
    assert laid.size[1] == max(laid.lefts[-1] + 96 + 28, 560)


def test_a_row_leaves_room_for_the_longest_text_under_its_pictures() -> None:
    said = Cell(GREY, (Line("one"), Line("two"), Line("three")))
    rows = (
        Row("a", (), (said, Cell(GREY))),
        Row("b", (), (Cell(GREY), Cell(GREY))),
        Row("c", (), (said, None)),
    )
    laid = plan(sheet(Cell(GREY), Cell(GREY), rows=rows))
    assert laid.tops == (128, 128 + 96 + 3 * 17 + 22, 128 + 2 * 96 + 3 * 17 + 2 * 22)
    assert laid.size[0] == laid.tops[2] + 96 + 3 * 17 + 22


def test_a_long_title_widens_the_sheet_and_a_long_note_does_not() -> None:
    narrow = sheet(Cell(GREY), Cell(GREY))
    titled = replace(narrow, title="a title that goes on " * 8)
    noted = replace(narrow, notes=("a note that goes on and on " * 20,))
    assert plan(narrow).size[1] == 560
    assert plan(titled).size[1] > 1000
    assert plan(noted).size[1] == 560
    assert plan(noted).size[0] > plan(narrow).size[0] + 3 * 17


def test_a_sheet_larger_than_programs_open_is_refused() -> None:
    big = sheet(*[Cell(GREY)] * 90, size=(800, 800))
    with pytest.raises(ImageError, match=r"1 rows by 90 columns would be \d+ x \d+ pixels.* fewer rows"):
        plan(big)


# --- pictures ---


def test_grey_and_colour_stand_where_the_plan_says_pixel_by_pixel() -> None:
    made = sheet(Cell(GREY), Cell(COLOUR), Cell(GREY[:, ::-1]))
    drawn = draw(made)
    assert drawn.shape == (*plan(made).size, 3)
    np.testing.assert_array_equal(at(drawn, made, 0, 0), np.repeat(three_times(GREY), 3, axis=2))
    np.testing.assert_array_equal(at(drawn, made, 0, 1), three_times(COLOUR))
    np.testing.assert_array_equal(at(drawn, made, 0, 2), np.repeat(three_times(GREY[:, ::-1]), 3, axis=2))


def test_an_empty_place_is_left_as_paper() -> None:
    made = sheet(Cell(GREY), None, Cell(GREY))
    assert (at(draw(made), made, 0, 1) == PAPER).all()


def test_a_smaller_picture_fills_the_cell_and_stays_in_its_middle() -> None:
    """48 x 48 fit into 96 x 96 twice, exactly; 24 x 48 twice, with paper above and below."""
    half, flat = COLOUR.repeat(2, 0)[:48].repeat(2, 1)[:, :48], COLOUR[:24].repeat(2, 1)[:, :48]
    made = sheet(Cell(half), Cell(flat))
    drawn = draw(made)
    np.testing.assert_array_equal(at(drawn, made, 0, 0), half.repeat(2, 0).repeat(2, 1))
    shown = at(drawn, made, 0, 1)
    np.testing.assert_array_equal(shown[24:72], flat.repeat(2, 0).repeat(2, 1))
    assert (shown[:24] == PAPER).all()
    assert (shown[72:] == PAPER).all()


def test_a_picture_that_fits_no_whole_number_of_times_is_resampled() -> None:
    ramp = np.tile(np.linspace(20, 220, 40).astype(np.uint8)[None, :, None], (40, 1, 1))
    made = sheet(Cell(ramp), Cell(np.full((200, 200, 1), 80, np.uint8)))
    drawn = draw(made)
    across = at(drawn, made, 0, 0)[48, :, 0].astype(float)
    assert np.abs(across - (20 + 200 * ((np.arange(96) + 0.5) * 40 / 96 - 0.5) / 39).clip(20, 220)).max() < 4
    assert (at(drawn, made, 0, 1) == 80).all()


def test_a_withheld_picture_is_greyed_and_crossed_out_in_red() -> None:
    black_and_white = np.zeros((96, 96, 3), np.uint8)
    black_and_white[:, 48:] = 255
    made = sheet(Cell(black_and_white, withheld=True), Cell(black_and_white), size=(96, 96))
    drawn = draw(made)
    shown = at(drawn, made, 0, 0)
    # 214 + (0 - 128) * 0.16 and 214 + (255 - 128) * 0.16, away from the cross and the word
    assert (shown[20, 40] == 194).all()
    assert (shown[20, 60] == 234).all()
    for place in ((12, 12), (80, 80), (12, 83), (80, 15)):
        red, green, blue = map(int, shown[place])
        assert red > 150
        assert max(green, blue) < 90
    reddish = (shown[38:58, :, 0].astype(int) - shown[38:58, :, 1]) > 60
    assert reddish[:, 25:70].sum() > 60  # the word
    np.testing.assert_array_equal(at(drawn, made, 0, 1), black_and_white)


# --- text ---


def ink(drawn: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels are no paper."""
    return np.asarray((drawn != PAPER).any(2))


def test_every_text_leaves_ink_where_it_belongs() -> None:
    bare = sheet(Cell(GREY), title="", subtitle="", columns=(Column(""),))
    laid = plan(bare)
    left, top = laid.lefts[0], laid.tops[0]
    for changes, (rows, columns) in {
        "title": ({"title": "Primitives"}, (slice(20, 44), slice(28, 200))),
        "subtitle": ({"subtitle": "model 0123"}, (slice(46, 66), slice(28, 200))),
        "group": ({"columns": (Column("crops"),)}, (slice(80, 98), slice(left, left + 96))),
        "heading": ({"columns": (Column("", "seed 0"),)}, (slice(104, 122), slice(left, left + 96))),
        "caption": (
            {"rows": (Row("", (), (Cell(GREY, (Line("rank 1"),)),)),)},
            (slice(top + 96, top + 116), slice(left, left + 96)),
        ),
        "note": ({"notes": ("what it means",)}, (slice(top + 96 + 22, top + 96 + 40), slice(28, 200))),
    }.values():
        assert not ink(draw(bare))[rows, columns].any()
        assert ink(draw(replace(bare, **changes)))[rows, columns].sum() > 30  # type: ignore[arg-type]


def test_labels_stand_left_of_the_pictures_which_make_room_for_them() -> None:
    short = sheet(Cell(GREY), rows=(Row("a:1", (), (Cell(GREY),)),))
    longer = replace(
        short, rows=(Row("a.much.longer.layer:127", (Line("crops of 24 pixels"),), (Cell(GREY),)),)
    )
    assert plan(longer).lefts[0] > plan(short).lefts[0] > 28
    drawn, laid = draw(longer), plan(longer)
    assert ink(drawn)[128:165, 28 : laid.lefts[0] - 8].sum() > 200
    assert not ink(drawn)[128:224, laid.lefts[0] - 8 : laid.lefts[0]].any()


def test_a_text_that_is_too_long_is_cut_before_the_next_column() -> None:
    long = "a-name-of-a-file-that-goes-on-and-on-and-on.png"
    cells = (Cell(GREY, (Line(long),)), Cell(GREY))
    made = sheet(*cells, columns=(Column(f"from {long}", long), Column("other", "source")))
    short = sheet(Cell(GREY, (Line("a"),)), cells[1], columns=(Column("a", "a"), made.columns[1]))
    beside = plan(made).lefts[1]
    assert plan(short) == plan(made)
    np.testing.assert_array_equal(draw(made)[76:, beside:], draw(short)[76:, beside:])
    assert (draw(made)[:, :beside] != draw(short)[:, :beside]).any()


@pytest.mark.parametrize(("tone", "strongest"), [("bad", 0), ("good", 1)])
def test_verdicts_are_red_and_green(tone: Any, strongest: int) -> None:
    made = sheet(Cell(np.full((32, 32, 1), 128, np.uint8), (Line("not trusted", tone),)))
    laid = plan(made)
    under = draw(made)[laid.tops[0] + 96 : laid.tops[0] + 116, laid.lefts[0] : laid.lefts[0] + 96].astype(int)
    darkest = under.reshape(-1, 3)[under.sum(2).argmin()]
    assert darkest.argmax() == strongest
    assert darkest[strongest] > darkest[1 - strongest] + 60


def test_the_same_sheet_is_drawn_the_same() -> None:
    made = sheet(Cell(COLOUR, (Line("rank 1"),), withheld=True), Cell(GREY), notes=("a note",))
    np.testing.assert_array_equal(draw(made), draw(made))
