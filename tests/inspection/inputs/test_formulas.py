"""Texts in CSV that a spreadsheet would run: written so that it does not, and read back as they were."""

from pathlib import Path

import pytest

from inspection.inputs.defect_log import read_defect_log, write_defect_log
from inspection.inputs.formulas import as_meant, as_text
from inspection.inputs.image_sets import read_image_set
from tests.inspection.inputs.files import NOISE, encoded, saved

PAIRS = [
    ("=1+1", "'=1+1"),
    ("+NG", "'+NG"),
    ("-", "'-"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("\t=1", "'\t=1"),
    ("\r=1", "'\r=1"),
    ("'=1", "''=1"),  # a text of one's own that begins so is told apart
    ("-1.5e3", "-1.5e3"),
    ("+7", "+7"),
    ("'-5", "''-5"),
    ("scratch", "scratch"),
    ("'quoted'", "'quoted'"),
    ("a=b", "a=b"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "cell"), PAIRS)
def test_a_formula_becomes_a_text_and_comes_back(text: str, cell: str) -> None:
    assert as_text(text) == cell
    assert as_meant(cell) == text


def test_a_log_of_such_classes_reads_back_as_it_was(tmp_path: Path) -> None:
    image = saved(tmp_path / "a.png", encoded(".png", NOISE))
    classes = ["=scratch", "-NG", "'=scratch"]
    rows = [
        {"image_path": str(image), "predicted_label": classes[i], "true_label": "good", "score": -0.5}
        for i in range(3)
    ]
    for name in ("log.csv", "log.parquet", "log.jsonl"):
        write_defect_log(tmp_path / name, rows)
        read = read_defect_log(tmp_path / name, {}, [*classes, "good"])
        assert [(row.predicted_label, row.score) for row in read.rows] == [(name, -0.5) for name in classes]
    cells = (tmp_path / "log.csv").read_text().splitlines()[1:]
    assert [cell.split(",")[1] for cell in cells] == ["'=scratch", "'-NG", "''=scratch"]


def test_a_table_of_images_reads_back_as_it_was(tmp_path: Path) -> None:
    saved(tmp_path / "-a.png", encoded(".png", NOISE))
    saved(tmp_path / "t.csv", b"image,label\n'-a.png,'=scratch\n")
    (image,) = read_image_set(tmp_path / "t.csv")
    assert (image.path.name, image.label) == ("-a.png", "=scratch")
