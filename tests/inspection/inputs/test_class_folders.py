"""What is read in folders of images, and what is told of the rest."""

from pathlib import Path

import pytest

from inspection.errors import ImageSetError
from inspection.inputs.image_sets import read_image_set


def placed(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"not looked into")
    return folder


def listed(folder: Path, said: list[str]) -> list[tuple[str, str, str | None]]:
    images = read_image_set(folder, tell=said.append)
    return [(image.path.relative_to(folder).as_posix(), image.label, image.split) for image in images]


def test_folders_inside_a_class_folder_belong_to_the_class(tmp_path: Path) -> None:
    names = ["good/1.png", "good/lot7/2.JPE", "good/lot7/cam1/3.jfif", "ng/lot7/4.dib", "ng/lot8/5.pbm"]
    said: list[str] = []
    found = listed(placed(tmp_path, *names), said)
    assert found == [(name, name.split("/")[0], None) for name in names]
    assert said == []


@pytest.mark.parametrize(
    ("others", "told"),
    [
        (
            ["good/notes.txt", "good/Thumbs.db", "a.json"],
            r"files that are no images by their names: 3 (.db, .json, .txt)",
        ),
        (["good/.DS_Store", ".cache/x.png", "good/._1.png"], "hidden files or folders: 3"),
        (["2.png", "3.png"], "images in no folder of a class: 2"),
        (["masks/1.png", "ground_truth/good/1_mask.png"], "masks: 2"),
        (["good_mask/1.png", "good/masks/1.png", "good/1_mask_1.png", "good/1-GT.png"], "masks: 4"),
        (
            ["notes/a.gif"],
            "files that are no images by their names: 1 (.gif); folders without an image: notes",
        ),
    ],
)
def test_what_is_passed_over_is_counted(tmp_path: Path, others: list[str], told: str) -> None:
    said: list[str] = []
    assert listed(placed(tmp_path, "good/1.png", *others), said) == [("good/1.png", "good", None)]
    assert said == [f"{tmp_path}: not read: {told}"]


def test_a_class_may_be_named_after_masks(tmp_path: Path) -> None:
    said: list[str] = []
    found = listed(placed(tmp_path, "with_mask/1.png", "without_mask/2.png", "good/3_label.png"), said)
    assert [label for _, label, _ in found] == ["good", "with_mask", "without_mask"]
    assert said == []


@pytest.mark.parametrize("words", [("training", "testing"), ("TRN", "Tst"), ("train", "test")])
def test_split_folders_by_their_usual_words(tmp_path: Path, words: tuple[str, str]) -> None:
    train, test = words
    said: list[str] = []
    placed(
        tmp_path,
        f"{train}/good/lot7/1.png",
        f"{test}/bad/2.png",
        f"{train}/3.png",
        "masks/good/1.png",
        "x/4.png",
    )
    assert {split: (name, label) for name, label, split in listed(tmp_path, said)} == {
        "train": (f"{train}/good/lot7/1.png", "good"),
        "test": (f"{test}/bad/2.png", "bad"),
    }
    assert said == [
        f"{tmp_path}: not read: images beside the folders of the splits: 2; images in no folder of a class: 1"
    ]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            ["train/good/1.png", "holdout/good/2.png"],
            "holdout: a split by its name, but not one that is known",
        ),
        (["eval/good/1.png", "Dev/good/2.png"], r"Dev, eval: .* \(train, training, trn, val, "),
        (
            ["test/lot7/1.png", "good/2.png"],
            "test may be a split .* or a class beside good; rename it",
        ),
        (
            ["train/1.png", "test/2.png"],
            "test, train: splits by their names, but they hold no folder for each class",
        ),
        (
            ["good/1.gif", "2.png"],
            r"no images found; .* What is there: images in no folder of a class: 1; files",
        ),
    ],
)
def test_folders_that_cannot_be_told_apart(tmp_path: Path, names: list[str], says: str) -> None:
    with pytest.raises(ImageSetError, match=says):
        read_image_set(placed(tmp_path, *names))


def test_a_folder_that_links_to_itself_is_read_once(tmp_path: Path) -> None:
    placed(tmp_path, "good/1.png")
    (tmp_path / "good" / "again").symlink_to(tmp_path / "good")
    assert listed(tmp_path, []) == [("good/1.png", "good", None)]
