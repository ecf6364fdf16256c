import json
from pathlib import Path

import duckdb
import numpy as np
import pytest

from inspection.errors import ImageSetError
from inspection.inputs.image_sets import LabelledImage, class_names, read_image_set
from inspection.inputs.images import write_image

MANIFEST = """image,split,true_label,cell_type,score
mono/1.png,train,good,mono,0.1
mono/2.png,train,bad,mono,0.55
poly/3.png,valid,good,poly,0.6
poly/4.png,test,bad,poly,0.9
"""


def draw(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path.with_suffix(".png"), np.zeros((2, 2, 3), np.uint8))
        path.with_suffix(".png").rename(path)


def listed(folder: Path, images: list[LabelledImage]) -> list[tuple[str, str, str | None]]:
    return [(image.path.relative_to(folder).as_posix(), image.label, image.split) for image in images]


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    """A folder with a manifest.csv of four images: two mono in train, one poly each in val and test."""
    draw(tmp_path, "mono/1.png", "mono/2.png", "poly/3.png", "poly/4.png")
    (tmp_path / "manifest.csv").write_text(MANIFEST)
    return tmp_path


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    draw(tmp_path, "scratch/b.PNG", "good/z.png", "good/a.jpg", "良品/1.tiff")
    images = read_image_set(tmp_path)
    assert listed(tmp_path, images) == [
        ("good/a.jpg", "good", None),
        ("good/z.png", "good", None),
        ("scratch/b.PNG", "scratch", None),
        ("良品/1.tiff", "良品", None),
    ]
    assert all(image.path.is_absolute() for image in images)
    assert class_names(images) == ["good", "scratch", "良品"]


def test_what_is_no_image_is_passed_over(tmp_path: Path) -> None:
    draw(tmp_path, "good/a.png", "good/._a.png", ".cache/b.png", "c.png")
    (tmp_path / "good" / "notes.txt").touch()
    (tmp_path / "good" / "folder.png").mkdir()
    assert listed(tmp_path, read_image_set(tmp_path)) == [("good/a.png", "good", None)]


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Validation"])
def test_split_folders(tmp_path: Path, name: str) -> None:
    draw(
        tmp_path,
        "train/good/1.png",
        "train/bad/2.png",
        f"{name}/good/3.png",
        "test/bad/4.png",
        "masks/x/5.png",
    )
    images = read_image_set(tmp_path)
    assert {(image.path.name, image.label, image.split) for image in images} == {
        ("1.png", "good", "train"),
        ("2.png", "bad", "train"),
        ("3.png", "good", "val"),
        ("4.png", "bad", "test"),
    }
    assert [image.path for image in images] == sorted(image.path for image in images)
    for asked in ("val", name):
        assert listed(tmp_path, read_image_set(tmp_path, split=asked)) == [
            (f"{name}/good/3.png", "good", "val")
        ]


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    draw(tmp_path, "test/1.png", "good/2.png")
    assert listed(tmp_path, read_image_set(tmp_path)) == [
        ("good/2.png", "good", None),
        ("test/1.png", "test", None),
    ]


def test_a_split_that_does_not_exist(plant: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match="no split 'night'; this set has: test, train, val"):
        read_image_set(plant / "manifest.csv", split="night")
    with pytest.raises(ImageSetError, match="no split 'train'; this set has: no splits"):
        read_image_set(plant, split="train")


def test_a_table_names_images_beside_it(plant: Path) -> None:
    assert listed(plant, read_image_set(plant / "manifest.csv")) == [
        ("mono/1.png", "good", "train"),
        ("mono/2.png", "bad", "train"),
        ("poly/3.png", "good", "val"),
        ("poly/4.png", "bad", "test"),
    ]
    assert listed(plant, read_image_set(plant / "manifest.csv", split="validation")) == [
        ("poly/3.png", "good", "val")
    ]


@pytest.mark.parametrize("suffix", [".parquet", ".json", ".jsonl", ".ndjson", ".tsv", ".txt", ".CSV"])
def test_the_same_table_in_another_format(plant: Path, suffix: str) -> None:
    table = plant / f"table[1]*{suffix}"  # characters that DuckDB takes for a pattern
    keys, *rows = [line.split(",") for line in MANIFEST.splitlines()]
    if suffix == ".tsv":
        table.write_text(MANIFEST.replace(",", "\t"))
    elif suffix in (".txt", ".CSV"):
        table.write_text(MANIFEST)
    elif suffix == ".parquet":
        duckdb.from_csv_auto(str(plant / "manifest.csv")).write_parquet(str(table))
    elif suffix == ".json":
        table.write_text(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]))
    else:
        table.write_text("\n".join(json.dumps(dict(zip(keys, row, strict=True))) for row in rows))
    assert read_image_set(table) == read_image_set(plant / "manifest.csv")
    assert listed(plant, read_image_set(table, "cell_type = 'poly'", "test")) == [
        ("poly/4.png", "bad", "test")
    ]


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("cell_type = 'mono'", ["1.png", "2.png"]),
        ("score > 0.5", ["2.png", "3.png", "4.png"]),  # compared as numbers: 0.55 too
        ("cell_type = 'poly' and true_label = 'bad' -- the hard ones", ["4.png"]),
        ("image LIKE '%3.png'", ["3.png"]),
        ("score > (SELECT avg(score) FROM images)", ["2.png", "3.png", "4.png"]),  # average 0.5375
    ],
)
@pytest.mark.parametrize("name", ["", "manifest.csv"])
def test_a_condition_filters(plant: Path, where: str, names: list[str], name: str) -> None:
    assert [image.path.name for image in read_image_set(plant / name, where)] == names


@pytest.mark.parametrize(
    ("where", "says"),
    [
        (
            "kind = 'mono'",
            '(?s)Referenced column "kind" not found.*columns of this table: image, split, true_label',
        ),
        ("cell_type = 'mono'; DROP TABLE images", "holds a ';'; give one SQL condition"),
        ("cell_type = 'mono' AND", "DuckDB refuses the condition .* Parser Error"),
        ("", "DuckDB refuses the condition ''"),
        ("true ORDER BY score", "Parser Error"),
        ("true) UNION ALL (SELECT 'a', 'b', 'c'", "Parser Error"),
        ("true, true", "Expected a single expression"),
        ("cell_type", "Could not convert string 'mono' to BOOL"),
        ("EXISTS (FROM read_csv('SECRET'))", "Permission Error"),
        ("EXISTS (FROM 'SECRET')", "Permission Error"),
        ("EXISTS (FROM glob('/*'))", "Permission Error"),
        ("EXISTS (FROM chosen)", "Table with name chosen does not exist"),  # a variable of the reading code
        ("cell_type = 'thin film'", "the table names no image that meets the condition"),
    ],
)
def test_a_condition_that_is_refused(plant: Path, where: str, says: str) -> None:
    (plant / "secret.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ImageSetError, match=says):
        read_image_set(plant, where.replace("SECRET", str(plant / "secret.csv")))


def test_a_condition_needs_a_table(tmp_path: Path) -> None:
    draw(tmp_path, "good/1.png")
    with pytest.raises(
        ImageSetError, match=r"holds no manifest\.csv; give a table file, or leave the condition"
    ):
        read_image_set(tmp_path, "cell_type = 'mono'")


@pytest.mark.parametrize("image", ["image", "image_path", "path", "file", "filename", "FileName"])
@pytest.mark.parametrize("label", ["true_label", "label", "class", "class_name", "target"])
def test_the_names_of_the_columns(tmp_path: Path, image: str, label: str) -> None:
    draw(tmp_path, "1.png")
    (tmp_path / "t.csv").write_text(f"{label},other,{image}\ngood,x,1.png\n")
    assert listed(tmp_path, read_image_set(tmp_path / "t.csv")) == [("1.png", "good", None)]


def test_the_first_name_wins(tmp_path: Path) -> None:
    draw(tmp_path, "1.png")
    (tmp_path / "t.csv").write_text("file,image_path,target,label\nno,1.png,no,good\n")
    assert listed(tmp_path, read_image_set(tmp_path / "t.csv")) == [("1.png", "good", None)]


def test_labels_and_names_stay_texts(tmp_path: Path) -> None:
    draw(tmp_path, "007", "1.50")
    (tmp_path / "t.csv").write_text("image,Label\n007,TRUE\n1.50,1e3\n")
    assert listed(tmp_path, read_image_set(tmp_path / "t.csv")) == [
        ("007", "TRUE", None),
        ("1.50", "1e3", None),
    ]


def test_a_table_from_japanese_excel_on_windows(tmp_path: Path) -> None:
    draw(tmp_path, "画像/1.png")
    (tmp_path / "t.csv").write_bytes("image,label\r\n画像\\1.png,傷\r\n".encode("cp932"))
    assert listed(tmp_path, read_image_set(tmp_path / "t.csv")) == [("画像/1.png", "傷", None)]


def test_a_row_written_twice_counts_once(tmp_path: Path) -> None:
    draw(tmp_path, "1.png", "2.png")
    (tmp_path / "t.csv").write_text("image,label\n2.png,good\n1.png,good\n2.png,good\n")
    assert listed(tmp_path, read_image_set(tmp_path / "t.csv")) == [
        ("1.png", "good", None),
        ("2.png", "good", None),
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "t.csv",
            "file,tone\n1.png,dark\n",
            "no label column; expected one of true_label.* found file, tone",
        ),
        ("t.csv", "photo,label\n1.png,good\n", "no image column; expected one of image.* found photo, label"),
        ("t.csv", "image,label\n", "the table names no image$"),
        ("t.csv", "image,label\n1.png,good\n1.png,\n,bad\n", "2 of 3 rows lack an image or a label"),
        ("t.csv", "image,label\n1.png,good\n1.png,bad\n", "1.png stands there twice, with two labels"),
        ("t.csv", "image,label,split\n1.png,a,train\n1.png,a,test\n", "stands there twice, .* two splits"),
        (
            "t.csv",
            'image,label\n1.png,good\n"2.png,bad\n"3.png,bad\n',
            r"these lines are no rows of the table: line 3 \(a quotation mark is not closed",
        ),
        ("t.csv", "\0\0", "not UTF-8, UTF-16, cp932 or cp1252 text"),
        ("t.parquet", "nonsense", r"the table cannot be read: .*'t\.parquet'"),
        (
            "t.jsonl",
            '{"image": "1.png", "label"\n',
            "no image column; .* found none",
        ),
        ("t.xlsx", "PK", r"a table ends in \.csv, .*not in '\.xlsx'"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path: Path, name: str, content: str, says: str) -> None:
    draw(tmp_path, "1.png")
    (tmp_path / name).write_text(content)
    with pytest.raises(ImageSetError, match=says):
        read_image_set(tmp_path / name)


def test_no_row_of_a_table_is_lost(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{number}.png" for number in range(1, 41)))
    rows = [f"{number}.png,ok\n" for number in range(1, 21)]
    wider = [f"{number}.png,ng,7\n" for number in range(21, 41)]
    (tmp_path / "t.csv").write_text("".join(["image,label\n", *rows, "image,label,lot\n", *wider]))
    with pytest.raises(
        ImageSetError, match=r"these lines are no rows of the table: line 22 \(.* and 16 more"
    ):
        read_image_set(tmp_path / "t.csv")
    notes = "".join(f"{'#' * (number % 3 == 0)}{number},{number}.png,ok\n" for number in range(1, 21))
    (tmp_path / "t.csv").write_text(f"note,image,label\n{notes}")
    assert len(read_image_set(tmp_path / "t.csv")) == 20


def test_rows_that_lack_something_are_named(tmp_path: Path) -> None:
    draw(tmp_path, "1.png")
    table = tmp_path / "t.csv"
    table.write_text('lot,image,label\n"a\nb",1.png,ok\n\nx,,ok\n')
    with pytest.raises(ImageSetError, match="1 of 2 rows lack an image or a label: line 5;"):
        read_image_set(table)
    assert len(read_image_set(table, "image IS NOT NULL")) == 1
    table.write_text("image,label,split\n1.png,ok,train\n1.png,ok,\n")
    with pytest.raises(ImageSetError, match="1 of 2 rows have no split: line 3;"):
        read_image_set(table)


@pytest.mark.parametrize(
    ("word", "split"),
    [
        ("training", "train"),
        ("TRN", "train"),
        ("valid", "val"),
        (" Testing ", "test"),
        ("tst", "test"),
        ("", None),
    ],
)
def test_the_words_of_the_split_column(tmp_path: Path, word: str, split: str | None) -> None:
    draw(tmp_path, "1.png")
    (tmp_path / "t.csv").write_text(f"image,label,split\n1.png,ok,{word}\n")
    assert listed(tmp_path, read_image_set(tmp_path / "t.csv")) == [("1.png", "ok", split)]


@pytest.mark.parametrize("word", ["eval", "holdout", "2.0", "line A"])
def test_an_unknown_split_is_refused(tmp_path: Path, word: str) -> None:
    draw(tmp_path, "1.png", "2.png")
    (tmp_path / "t.csv").write_text(f"image,label,split\n1.png,ok,{word}\n2.png,ok,train\n")
    with pytest.raises(ImageSetError, match=f"the split column holds '{word}'; known are: train, training, "):
        read_image_set(tmp_path / "t.csv")
    assert len(read_image_set(tmp_path / "t.csv", "split = 'train'")) == 1


@pytest.mark.parametrize("header", ["image,label,Label ", "Image,image,label", "image,label,split,SPLIT"])
def test_a_column_that_stands_twice(tmp_path: Path, header: str) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\na,b,c\n")
    with pytest.raises(ImageSetError, match="the same column stands there 2 times"):
        read_image_set(tmp_path / "t.csv")


def test_a_class_of_another_row_is_not_its_number(tmp_path: Path) -> None:
    draw(tmp_path, "1.png", "2.png")
    (tmp_path / "t.csv").write_text("image,label\n1.png,007\n2.png,7\n")
    assert [image.label for image in read_image_set(tmp_path / "t.csv", "label = 7")] == ["7"]


def test_missing_images_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    draw(tmp_path, "0.png")
    rows = "".join(f"{number}.png,good\n" for number in range(8))
    (tmp_path / "t.csv").write_text("image,label\n" + rows)
    with pytest.raises(ImageSetError, match="7 of 8 images do not exist") as caught:
        read_image_set(tmp_path / "t.csv")
    named = [number for number in range(8) if f"{tmp_path / str(number)}.png" in str(caught.value)]
    assert named == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["none", "a" * 5000])
def test_a_source_that_does_not_exist(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageSetError, match=r"there is no such folder or table|File name too long"):
        read_image_set(tmp_path / name)


@pytest.mark.parametrize("files", [[], ["1.png"], ["masks/1.png"]], ids=["empty", "no class folder", "masks"])
def test_a_folder_without_images_in_class_folders(tmp_path: Path, files: list[str]) -> None:
    draw(tmp_path, *files)
    with pytest.raises(ImageSetError, match="no images found; expected one folder for each class"):
        read_image_set(tmp_path)
