"""The images that pictures start from, and the files that they go to."""

from pathlib import Path

import numpy as np
import pytest

from inspection.inputs.images import write_image
from inspection.pictures import filters
from inspection.pictures.sources import find_images
from tests.inspection.conftest import Plant
from tests.inspection.pictures.command import Fmi, refused, sources


def test_sources_are_every_file_named_and_some_of_a_folder(tmp_path: Path) -> None:
    grey = np.zeros((4, 4, 1), np.uint8)
    for name in ("a/1.png", "a/2.png", "b/3.png", "b/.4.png", "5.png"):
        write_image(tmp_path / name, grey)
    (tmp_path / "notes.txt").write_text("no image")
    paths, found = find_images([tmp_path / "b/3.png", tmp_path], 2)
    assert {path.name for path in paths} == {"1.png", "2.png", "3.png", "5.png"}
    # In order the folder is 5, 1, 2, 3: the middles of its two halves are 1 and 3; 3 is named already.
    assert [paths[i].name for i in found] == ["3.png", "1.png"]
    assert find_images([tmp_path / "a/1.png"], 2) == ([tmp_path / "a/1.png"], [0])


def test_images_that_cannot_be_used(fmi: Fmi, site: Plant, tmp_path: Path, images: list[Path]) -> None:
    damaged, empty, many = tmp_path / "cut.png", tmp_path / "empty", tmp_path / "many"
    damaged.write_bytes(images[0].read_bytes()[:-40])
    empty.mkdir()
    for i in range(9):
        write_image(many / f"{i}.png", np.zeros((4, 4, 1), np.uint8))
    for given, words in {
        damaged: (str(damaged), "cut short"),
        empty: (f"{empty}: no images in this folder or below it", ".png"),
        tmp_path / "none.png": (f"{tmp_path / 'none.png'}: there is no such image file or folder",),
    }.items():
        command = ("invert", "stage2:3", "--image", given, "--out", tmp_path / "s.png")
        refused(fmi(*command, "-w", site.workspace.root), *words)
    every = ("invert", "stage2:3", *sources(sorted(many.iterdir())), "-w", site.workspace.root)
    refused(fmi(*every), "9 images to make pictures from; at most 8 fit on a sheet")
    assert not (tmp_path / "s.png").exists()


def test_a_sheet_that_cannot_be_written_is_told_before_the_work(
    fmi: Fmi, site: Plant, tmp_path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "draw_filters", None)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    command = ("invert", "stage2:3", *sources(images), "-w", site.workspace.root)
    refused(fmi(*command, "--out", tmp_path / "file" / "s.png"), f"{tmp_path / 'file'} cannot be written to")
    refused(fmi(*command, "--out", tmp_path / "folder.png"), "this is a folder")
    fine = (*command, "--out", tmp_path / "s.png")
    refused(fmi(*fine, "--pictures", tmp_path / "file"), f"--pictures: {tmp_path / 'file'} cannot be written")
    refused(fmi(*fine, "--cache", tmp_path / "file"), f"--cache: {tmp_path / 'file'} cannot be written")
