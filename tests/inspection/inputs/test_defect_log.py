from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.errors import LogError
from inspection.findings import LogContext, SetAside
from inspection.inputs.defect_log import (
    COLUMNS,
    REASONS,
    LogRow,
    read_defect_log,
    write_defect_log,
)
from inspection.language import retold, speaking
from inspection.workspace.files import sha256_of
from tests.inspection.inputs.files import looked_at
from tests.inspection.inputs.logs import HEADER, kept, logged, read, reasons


def test_a_row_with_every_column(plant: Path) -> None:
    path = logged(
        plant,
        "inspection_id,captured_at,line,station,camera,part_number,lot,shift,serial,image_path,image_sha256,"
        "model_version,predicted_label,score,verdict,true_label,verified_by,verified_at,lighting,exposure\n"
        f"I-1,2026-07-01T22:15:00+09:00,L3,S2,C1,P-9,LOT7,late,"
        f"S0001,1.png,{sha256_of(plant / '1.png').upper()},v4,good,0.875,"
        "escape,scratch,sato,2026-07-02T08:00:00+09:00,ring,1/500\n",
    )
    log = read(path)
    assert log.rows == (
        LogRow(
            row=1,
            inspection_id="I-1",
            image_path=plant / "1.png",
            predicted_label="good",
            true_label="scratch",
            score=0.875,
            captured_at=datetime(2026, 7, 1, 22, 15, tzinfo=timezone(timedelta(hours=9))),
            context={
                "line": "L3",
                "station": "S2",
                "camera": "C1",
                "part_number": "P-9",
                "lot": "LOT7",
                "shift": "late",
                "serial": "S0001",
                "model_version": "v4",
                "verified_by": "sato",
                "lighting": "ring",
                "exposure": "1/500",
            },
            verified_at=datetime(2026, 7, 2, 8, 0, tzinfo=timezone(timedelta(hours=9))),
            more={"verdict": "escape", "image_sha256": sha256_of(plant / "1.png").upper()},
        ),
    )
    assert log.rows[0].captured_at is not None
    assert log.rows[0].captured_at.utcoffset() == timedelta(hours=9)
    assert (log.set_aside, log.path, log.sha256) == ((), path, sha256_of(path))


def test_only_three_columns_are_needed(plant: Path) -> None:
    (row,) = read(logged(plant, f"{HEADER}\n1.png,good,stain\n")).rows
    assert row == LogRow(1, "row-1-1.png", plant / "1.png", "good", "stain", None, None, {})


def test_the_columns_are_the_design_s() -> None:
    names = (
        "inspection_id captured_at line station camera part_number lot shift serial image_path image_sha256 "
        "model_version predicted_label score verdict true_label verified_by verified_at lighting exposure "
        "parts_inspected"
    )
    assert sorted(column.name for column in COLUMNS) == sorted(names.split())
    assert [column.name for column in COLUMNS if column.required] == HEADER.split(",")
    assert all(column.meaning for column in COLUMNS)


ROWS = [
    ("1.png,good,scratch", None),
    ("2.png,good", "malformed"),
    ("2.png,good,scratch,9", "malformed"),
    ('"2.png"x,good,scratch', "malformed"),
    (",good,scratch", "malformed"),
    ("2.png,,scratch", "malformed"),
    ("2.png,good,", "not_verified"),
    ("2.png,good,  ", "not_verified"),
    ("2.png,good,NG", "unknown_class"),
    ("2.png,NG,good", "unknown_class"),
    ("2.png,good,Good", "unknown_class"),
    ("2.png,stain,stain", "not_an_error"),
    ("no.png,good,stain", "missing_image"),
    ("folder,good,stain", "missing_image"),
    ("cut.png,good,stain", "unreadable_image"),
    ("cut.jpg,good,stain", "unreadable_image"),
    ("text.png,good,stain", "unreadable_image"),
    ("empty.png,good,stain", "unreadable_image"),
    (" 3.png , good , stain ", None),
    ('"4.png","good","stain"', None),
]


def bad_images(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for suffix in (".png", ".jpg"):
        data = bytes(cv2.imencode(suffix, noise)[1])
        (folder / f"cut{suffix}").write_bytes(data[: len(data) // 2])
    (folder / "text.png").write_text("not a picture")
    (folder / "empty.png").touch()
    (folder / "folder").mkdir()


@pytest.mark.parametrize(("row", "reason"), ROWS)
def test_a_bad_row_alone(plant: Path, row: str, reason: str | None) -> None:
    bad_images(plant)
    log = read(logged(plant, f"{HEADER}\n{row}\n"))
    assert reasons(log) == ([(1, reason)] if reason else [])
    assert len(log.rows) == (0 if reason else 1)


def test_bad_rows_together_keep_their_numbers(plant: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad_images(plant)
    log = read(logged(plant, "\n".join([HEADER, *(row for row, _ in ROWS)])))
    assert reasons(log) == [(number, reason) for number, (_, reason) in enumerate(ROWS, 1) if reason]
    assert [row.row for row in log.rows] == [
        number for number, (_, reason) in enumerate(ROWS, 1) if not reason
    ]
    assert {aside.reason for aside in log.set_aside} < set(REASONS)
    with speaking("ja"):
        assert [a.detail for a in log.set_aside if retold(a.detail) == a.detail] == []
    assert capfd.readouterr().err == ""


def test_what_a_set_aside_row_says(plant: Path) -> None:
    bad_images(plant)
    log = read(
        logged(
            plant,
            f"{HEADER}\n1.png,good\n,good,stain\n2.png,good,\n3.png,good,NG\n4.png,good,good\nno.png,good,stain\n"
            "cut.png,good,stain\n",
        )
    )
    assert log.set_aside == (
        SetAside(1, "malformed", "Expected Number of Columns: 3 Found: 2: 1.png,good", None),
        SetAside(2, "malformed", "image_path is empty", None),
        SetAside(3, "not_verified", "no label by an operator", "2.png"),
        SetAside(
            4,
            "unknown_class",
            "true_label 'NG' is no class of the model (good, scratch, stain); "
            "if it is the plant's word for one, map it in fmi.toml under [defect_log.labels]; "
            "if it stands for several, register the model with a decision that says so (fmi help decisions)",
            "3.png",
        ),
        SetAside(5, "not_an_error", "both labels are 'good'", "4.png"),
        SetAside(6, "missing_image", f"there is no file {plant / 'no.png'}", "no.png"),
        SetAside(
            7,
            "unreadable_image",
            f"{plant / 'cut.png'}: the image file is cut short or damaged; copy it again from its source",
            "cut.png",
        ),
    )


def test_column_names_ignore_case_and_blanks_around(plant: Path) -> None:
    log = read(
        logged(plant, " IMAGE_PATH ,Predicted_Label,Operator\n1.png,good,stain\n"),
        column_map={"true_label": "operator "},
    )
    assert kept(log) == [(1, "1.png")]


def test_the_verdict_stands_in_for_an_absent_true_label(plant: Path) -> None:
    log = read(logged(plant, "image_path,predicted_label,verdict\n1.png,good,stain\n2.png,good,\n"))
    assert [row.true_label for row in log.rows] == ["stain"]
    assert reasons(log) == [(2, "not_verified")]
    both = read(logged(plant, "image_path,predicted_label,verdict,true_label\n1.png,good,stain,\n"))
    assert reasons(both) == [(1, "not_verified")]
    with pytest.raises(LogError, match=r"no column true_label \(as 'Sato'\)"):
        read(plant / "log.csv", column_map={"true_label": "Sato"})


def test_image_paths(plant: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("logs")
    (plant / "lot").mkdir()
    (plant / "1.png").rename(plant / "lot" / "1.png")
    path = logged(
        elsewhere, f"{HEADER}\nlot\\1.png,good,stain\n{plant / '2.png'},good,stain\nlot/3.png,good,stain\n"
    )
    log = read(path, images_root=plant)
    assert [row.image_path for row in log.rows] == [plant / "lot" / "1.png", plant / "2.png"]
    assert reasons(log) == [(3, "missing_image")]


def test_the_image_of_an_error_is_read_and_decoded_once_and_no_other(
    plant: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = f"{HEADER},image_sha256\n"
    rows = [
        f"1.png,good,scratch,{sha256_of(plant / '1.png')}",
        "1.png,good,scratch,",  # a duplicate
        f"2.png,good,stain,{'0' * 64}",  # of another content
        "3.png,good,good,",  # no error
        "4.png,good,,",  # not verified
        "gone.png,good,stain,",
    ]
    path = logged(plant, hashed + "\n".join(rows))
    with looked_at(monkeypatch) as (read_files, decoded):
        log = read(path)
    assert kept(log) == [(1, "1.png")]
    pictures = [each for each in read_files if each.suffix == ".png"]
    assert sorted(pictures) == [plant / "1.png", plant / "2.png"]
    assert len(decoded) == 2


def test_half_the_images_missing(plant: Path) -> None:
    rows = "".join(f"{number}.png,good,stain\n" for number in range(1, 19))
    log = read(logged(plant, f"{HEADER}\n{rows}"))
    assert kept(log) == [(number, f"{number}.png") for number in range(1, 10)]
    assert reasons(log) == [(number, "missing_image") for number in range(10, 19)]


def test_every_row_may_be_set_aside(plant: Path) -> None:
    log = read(logged(plant, f"{HEADER}\n1.png,good,good\n2.png\n"))
    assert log.rows == ()
    assert reasons(log) == [(1, "not_an_error"), (2, "malformed")]


def test_the_hash_of_the_image_is_checked(plant: Path) -> None:
    right, wrong = sha256_of(plant / "1.png"), sha256_of(plant / "2.png")
    log = read(logged(plant, f"{HEADER},image_sha256\n1.png,good,stain,{right}\n3.png,good,stain,{wrong}\n"))
    assert kept(log) == [(1, "1.png")]
    assert log.set_aside == (
        SetAside(
            2,
            "hash_mismatch",
            f"image_sha256 is {wrong}, the file's is {sha256_of(plant / '3.png')}",
            "3.png",
        ),
    )


def test_duplicates(plant: Path) -> None:
    (plant / "copy of 1.png").write_bytes((plant / "1.png").read_bytes())
    log = read(
        logged(
            plant,
            f"inspection_id,{HEADER}\n"
            "A,1.png,good,stain\n"
            "A,2.png,good,stain\n"  # another camera of the same inspection
            "B,1.png,good,stain\n"  # the same image
            "C,copy of 1.png,good,stain\n"  # the same content
            "D,1.png,scratch,stain\n"  # another prediction: the caller asks the model which one it makes
            "E,no.png,good,stain\n"
            "E,3.png,good,stain\n"  # the row with this inspection_id was set aside
            ",4.png,good,stain\n"
            ",5.png,good,stain\n",  # no inspection_id is no common inspection_id
        )
    )
    names = [(1, "1.png"), (2, "2.png"), (5, "1.png"), (7, "3.png"), (8, "4.png"), (9, "5.png")]
    assert kept(log) == names
    assert reasons(log) == [(3, "duplicate"), (4, "duplicate"), (6, "missing_image")]
    assert [row.inspection_id for row in log.rows] == ["A", "A", "D", "E", "row-8-4.png", "row-9-5.png"]
    assert log.set_aside[0].detail == "row 1 has the same image and labels"


def test_conflicts_cost_every_row_of_the_image(plant: Path) -> None:
    (plant / "copy of 1.png").write_bytes((plant / "1.png").read_bytes())
    log = read(
        logged(
            plant,
            f"{HEADER}\n"
            "1.png,good,stain\n"
            "2.png,good,stain\n"
            "copy of 1.png,good,scratch\n"
            "1.png,good,stain\n"
            "3.png,good,stain\n"
            "3.png,good,good\n"  # not an error, and yet another word on the same image
            "4.png,good,stain\n"
            "4.png,good,\n"  # nobody's word
            "4.png,good,NG\n",
        )
    )
    assert kept(log) == [(2, "2.png"), (7, "4.png")]
    assert reasons(log) == [
        *((number, "conflicting") for number in (1, 3, 4, 5, 6)),
        (8, "not_verified"),
        (9, "unknown_class"),
    ]
    assert log.set_aside[0].detail == (
        "the same image has different true labels (row: label): 1: 'stain', 3: 'scratch', 4: 'stain'"
    )


DATED = f"{HEADER},verified_at"


@pytest.mark.parametrize(
    ("rows", "numbers", "aside"),
    [
        pytest.param(
            ["1.png,good,scratch,2026-07-01", "1.png,good,stain,2026-07-02"],
            [2],
            [(1, "superseded")],
            id="later",
        ),
        pytest.param(
            ["1.png,good,stain,2026-07-02T01:00+09:00", "1.png,good,scratch,2026-07-01T20:00Z"],
            [2],
            [(1, "superseded")],
            id="later by the clock of another zone",
        ),
        pytest.param(
            ["1.png,good,good,2026-07-01", "1.png,good,stain,2026-07-02"],
            [2],
            [(1, "superseded")],
            id="an error after all",
        ),
        pytest.param(
            ["1.png,good,stain,2026-07-01", "1.png,good,good,2026-07-02"],
            [],
            [(1, "superseded"), (2, "not_an_error")],
            id="no error after all",
        ),
        pytest.param(
            ["1.png,good,scratch,2026-07-01", "1.png,good,stain,2026-07-02", "1.png,good,stain,"],
            [2],
            [(1, "superseded"), (3, "duplicate")],
            id="an undated row agrees with the later one",
        ),
        pytest.param(
            ["1.png,good,scratch,", "1.png,good,stain,2026-07-02"],
            [],
            [(1, "conflicting"), (2, "conflicting")],
            id="an undated row contradicts it",
        ),
        pytest.param(
            ["1.png,good,scratch,2026-07-02", "1.png,good,stain,2026-07-02"],
            [],
            [(1, "conflicting"), (2, "conflicting")],
            id="at the same time",
        ),
        pytest.param(
            ["1.png,good,scratch,monday", "1.png,good,stain,2026-07-02"],
            [],
            [(1, "conflicting"), (2, "conflicting")],
            id="a date that is none",
        ),
    ],
)
def test_the_later_verdict_counts(
    plant: Path, rows: list[str], numbers: list[int], aside: list[tuple[int, str]]
) -> None:
    log = read(logged(plant, "\n".join([DATED, *rows])))
    assert [row.row for row in log.rows] == numbers
    assert reasons(log) == aside


def test_a_superseded_row_says_by_which(plant: Path) -> None:
    log = read(logged(plant, f"{DATED}\n1.png,good,scratch,2026-07-01\n1.png,good,stain,2026-07-02\n"))
    assert log.set_aside[0].detail == (
        "says 'scratch'; of the same image row 2 says 'stain', and was verified later"
    )


def test_a_conflict_of_many_rows_counts_them(plant: Path) -> None:
    """A camera that overwrites its file: every row of the night names one image."""
    rows = [f"1.png,good,{('stain', 'good', 'good')[i % 3]}" for i in range(6000)]
    log = read(logged(plant, "\n".join([HEADER, *rows])))
    assert len(log.set_aside) == 6000
    assert {each.detail for each in log.set_aside} == {
        "the same image has different true labels in 6000 rows (label: rows, the first of them): "
        "'good': 4000 (2), 'stain': 2000 (1)"
    }


def test_two_cameras_of_one_inspection_are_two_errors(plant: Path) -> None:
    log = read(
        logged(plant, f"inspection_id,camera,{HEADER}\nP,front,1.png,good,stain\nP,back,2.png,good,stain\n")
    )
    assert [(row.inspection_id, row.context["camera"]) for row in log.rows] == [("P", "front"), ("P", "back")]


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (f"{HEADER},true_label", "'true_label', 'true_label'"),
        ("image_path,Line,predicted_label,true_label, line ", "'Line', ' line '"),
        ("image_path,verdict,predicted_label,VERDICT", "'verdict', 'VERDICT'"),
    ],
)
def test_a_column_that_stands_twice_is_refused(plant: Path, header: str, names: str) -> None:
    path = logged(plant, f"{header}\n{','.join(['1.png'] * (header.count(',') + 1))}\n")
    with pytest.raises(LogError) as caught:
        read(path)
    assert "the same column stands there 2 times" in str(caught.value)
    assert names in str(caught.value)


def test_a_column_that_is_not_ours_may_stand_twice(plant: Path) -> None:
    (row,) = read(logged(plant, f"{HEADER},note,note\n1.png,good,stain,a,b\n")).rows
    assert row.more == {"note": "a", "note (column 5)": "b"}


def test_nothing_that_a_log_says_is_lost(plant: Path) -> None:
    (row,) = read(
        logged(
            plant,
            f"{HEADER},score,captured_at,verdict,Tool,empty,lot\n1.png,good,stain,97%,monday,NG, t3 ,,7\n",
        )
    ).rows
    assert (row.score, row.captured_at, row.context) == (None, None, {"lot": "7"})
    assert row.more == {"score": "97%", "captured_at": "monday", "verdict": "NG", "Tool": "t3"}


def test_rows_that_are_no_error_say_which_parts_were_inspected_each_image_once(plant: Path) -> None:
    log = read(
        logged(
            plant,
            f"{HEADER},camera,shift\n"
            "1.png,good,stain,1,early\n"
            "gone.png,good,good,2,early\n"
            "gone.png,good,good,2,early\n"
            "2.png,good,,3,late\n"
            "3.png,good,good,3,late\n"
            "3.png,good,scratch,3,late\n",
        )
    )
    assert reasons(log) == [
        *((2, "not_an_error"), (3, "not_an_error"), (4, "not_verified")),
        *((5, "conflicting"), (6, "conflicting")),
    ]
    (right,) = log.right
    assert (right.row, right.true_label) == (3, "good")
    assert right.said == LogContext(camera="2", shift="early")
    assert log.rows[0].said == LogContext(camera="1", shift="early")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("2026-07-01T22:15:00", "no offset"),
        ("2026/7/1 22:15", "no offset"),
        ("2026-07-01T22:15:00Z", "UTC"),
        ("2026-07-01T22:15:00+09:00", "UTC+09:00"),
    ],
)
def test_a_time_says_whether_it_was_logged_with_an_offset(plant: Path, text: str, name: str) -> None:
    (row,) = read(logged(plant, f"{HEADER},captured_at\n1.png,good,stain,{text}\n")).rows
    assert row.captured_at is not None
    assert row.captured_at.tzname() == name


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+09:00", "9999-12-31T23:59:59-09:00"])
def test_a_date_beyond_all_calendars_is_none(plant: Path, text: str) -> None:
    (row,) = read(logged(plant, f"{HEADER},captured_at\n1.png,good,stain,{text}\n")).rows
    assert (row.captured_at, row.more) == (None, {"captured_at": text})


@pytest.mark.parametrize("rows", ["", ",,\n\n"])
def test_a_log_without_rows_is_that_of_a_night_without_errors(plant: Path, rows: str) -> None:
    """`fmi evaluate` writes a header alone where the model makes no error."""
    log = read(logged(plant, f"{HEADER}\n{rows}"))
    assert (log.rows, log.set_aside, log.notes) == ((), (), ())


def test_labels_that_a_program_wrote_otherwise_are_taken_and_told(plant: Path) -> None:
    path = logged(plant, f"{HEADER}\n1.png,0.0,1.0\n2.png,0,1.0\n3.png,0,1\n4.png,0,2.0\n")
    log = read_defect_log(path, {}, ["0", "1"])
    assert [(row.predicted_label, row.true_label) for row in log.rows] == [("0", "1")] * 3
    assert reasons(log) == [(4, "unknown_class")]
    assert log.notes == (
        "label '1.0' was taken for class '1' in 2 rows",
        "label '0.0' was taken for class '0' in 1 row",
    )


def test_paths_of_another_machine(plant: Path) -> None:
    rows = ["Z:\\images\\1.png", "z:/IMAGES/2.png", "\\\\nas\\lot\\3.png", (plant / "4.png").as_uri(),
            "C:\\lot\\5.png"]  # fmt: skip
    path = logged(plant, "\n".join([HEADER, *(f"{row},good,stain" for row in rows)]))
    log = read(path, paths={"Z:\\images": str(plant), "\\\\nas\\lot": str(plant)})
    assert kept(log) == [(number, f"{number}.png") for number in (1, 2, 3, 4)]
    assert [row.image_path.parent for row in log.rows] == [plant] * 4
    (aside,) = log.set_aside
    assert (aside.reason, aside.image_path) == ("missing_image", "C:\\lot\\5.png")
    assert aside.detail.endswith(
        "in the map [defect_log.paths] of fmi.toml: paths = { 'C:\\lot' = '/folder/here' }"
    )


def test_a_log_that_changed_is_told(plant: Path) -> None:
    path = logged(plant, f"{HEADER}\n1.png,good,stain\n")
    before = sha256_of(path)
    assert len(read(path, sha256=before).rows) == 1
    with path.open("a") as file:
        file.write("2.png,good,stain\n")
    with pytest.raises(LogError, match="the defect log changed after the night began"):
        read(path, sha256=before)


def test_a_correct_row_conflicts_by_the_hash_it_brings(plant: Path) -> None:
    digest = sha256_of(plant / "1.png")
    log = read(logged(plant, f"{HEADER},image_sha256\n1.png,good,stain,\nold name.png,good,good,{digest}\n"))
    assert reasons(log) == [(1, "conflicting"), (2, "conflicting")]


def test_the_image_of_a_correct_row_is_not_needed(plant: Path) -> None:
    assert reasons(read(logged(plant, f"{HEADER}\nno.png,good,good\n"))) == [(1, "not_an_error")]


@pytest.mark.parametrize(
    ("text", "score"),
    [("0.5", 0.5), ("", None), ("high", None), ("nan", None), ("1e999", None), ("97%", None), ("1", 1.0)],
)
def test_a_score_that_is_no_number_does_not_cost_the_row(plant: Path, text: str, score: float | None) -> None:
    (row,) = read(logged(plant, f"{HEADER},score\n1.png,good,stain,{text}\n")).rows
    assert row.score == score


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-07-01 22:15:30+09:00", datetime(2026, 7, 1, 13, 15, 30, tzinfo=UTC)),
        ("2026-07-01T22:15:30Z", datetime(2026, 7, 1, 22, 15, 30, tzinfo=UTC)),
        ("2026-07-01 22:15:30", datetime(2026, 7, 1, 22, 15, 30, tzinfo=UTC)),
        ("2026/7/1 9:05", datetime(2026, 7, 1, 9, 5, tzinfo=UTC)),
        ("2026/7/1 9:05:07", datetime(2026, 7, 1, 9, 5, 7, tzinfo=UTC)),
        ("yesterday", None),
        ("2026-02-30", None),
        ("", None),
    ],
)
def test_times(plant: Path, text: str, expected: datetime | None) -> None:
    (row,) = read(logged(plant, f"{HEADER},captured_at\n1.png,good,stain,{text}\n")).rows
    assert row.captured_at == expected


def test_missing_columns_are_explained(plant: Path) -> None:
    with pytest.raises(LogError) as caught:
        read(
            logged(plant, "File;predicted_label;Operator\n1.png;good;stain\n"),
            column_map={"true_label": "Sato"},
        )
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("log.csv: the defect log has no column image_path, true_label (as 'Sato')")
    assert lines[1] == "found: File, predicted_label, Operator"
    assert lines[2].startswith(
        "expected: image_path, predicted_label and true_label (or verdict); optional: "
    )
    assert lines[-3:] == [
        "[defect_log.columns]",
        'image_path = "the log\'s own name for it"',
        'true_label = "the log\'s own name for it"',
    ]


def test_a_column_map_of_unknown_columns(plant: Path) -> None:
    with pytest.raises(
        LogError, match=r"\[defect_log.columns\] maps picture; a defect log has: image_path, "
    ):
        read(logged(plant, f"{HEADER}\n1.png,good,stain\n"), column_map={"picture": "File"})


def test_a_label_map_to_an_unknown_class(plant: Path) -> None:
    with pytest.raises(LogError, match=r"\[defect_log.labels\] maps 'NG' to 'dent'; .*good, scratch, stain"):
        read(logged(plant, f"{HEADER}\n1.png,good,NG\n"), label_map={"OK": "good", "NG": "dent"})


def test_progress_adds_up_to_the_rows(plant: Path) -> None:
    told: list[int] = []
    rows = (
        "1.png,good,stain\n1.png,good,stain\n\n2.png,good,stain\n3.png,good,good\nno.png,good,stain\n4.png\n"
    )
    read(logged(plant, f"{HEADER}\n{rows}"), progress=told.append)
    assert told == [2, 2, 1, 1]  # without an image to read; 1.png in two rows; 2.png; no.png


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl", ".ndjson", ".CSV"])
def test_what_is_written_is_read_back(plant: Path, suffix: str) -> None:
    path = plant / f"it's log[1]{suffix}"
    captured = datetime(2026, 7, 1, 22, 15, tzinfo=timezone(timedelta(hours=9)))
    write_defect_log(
        path,
        [
            {
                "lot": '春, "7"\nx',
                "true_label": "stain",
                "predicted_label": "good",
                "image_path": plant / "1.png",
            },
            {"image_path": "2.png", "predicted_label": "good", "true_label": "scratch", "score": 0.1},
            {"image_path": "3.png", "predicted_label": "good", "true_label": None, "captured_at": captured},
            {
                "image_path": "4.png",
                "predicted_label": "good",
                "true_label": "stain",
                "captured_at": captured,
            },
        ],
    )
    log = read(path)
    assert [(row.row, row.image_path, row.true_label, row.score) for row in log.rows] == [
        (1, plant / "1.png", "stain", None),
        (2, plant / "2.png", "scratch", 0.1),
        (4, plant / "4.png", "stain", None),
    ]
    assert [row.context for row in log.rows] == [{"lot": '春, "7"\nx'}, {}, {}]
    assert log.rows[2].captured_at == captured
    assert reasons(log) == [(3, "not_verified")]


def test_the_written_csv_to_the_letter(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    rows: list[dict[str, object]] = [
        {"score": 0.5, "true_label": "傷", "image_path": "a.png", "predicted_label": "good"},
        {"true_label": "x,y", "image_path": "b.png", "predicted_label": "good"},
    ]
    write_defect_log(path, rows)
    assert path.read_text(encoding="utf-8") == (
        'image_path,predicted_label,true_label,score\na.png,good,傷,0.5\nb.png,good,"x,y",\n'
    )
    write_defect_log(path, [])
    assert path.read_text() == "image_path,predicted_label,true_label\n"
    assert [file.name for file in tmp_path.iterdir()] == ["log.csv"]


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (
            lambda folder: write_defect_log(folder / "log.xlsx", []),
            r"written as \.csv, \.parquet, \.jsonl, \.ndjson",
        ),
        (
            lambda folder: write_defect_log(folder / "log.csv", [{"photo": 1}]),
            "no such columns: photo; .*image_path",
        ),
        (lambda folder: write_defect_log(folder / "no" / "log.csv", []), "the defect log cannot be written"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, write: Callable[[Path], None], says: str) -> None:
    with pytest.raises(LogError, match=says):
        write(tmp_path)
    assert list(tmp_path.iterdir()) == []
