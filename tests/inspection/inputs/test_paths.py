"""Image paths as another machine wrote them."""

import pytest

from inspection.errors import LogError
from inspection.inputs.paths import path_map

FOLDERS = path_map(
    {
        "Z:\\": "/mnt/z",
        "Z:\\images": "/mnt/images/",
        "\\\\nas\\lot": "/mnt/nas",
        "~": "/mnt/line3",
        "/data": "/mnt/data",
        "http://cam/pics/": "/mnt/cam",
    }
)


@pytest.mark.parametrize(
    ("spelt", "here"),
    [
        ("Z:\\images\\a b\\1.png", "/mnt/images/a b/1.png"),  # the longest wins
        ("z:/Images/1.png", "/mnt/images/1.png"),  # a drive knows no case
        ("Z:\\imagesofold\\1.png", "/mnt/z/imagesofold/1.png"),  # a folder is compared as a whole
        ("\\\\NAS\\lot\\1.png", "/mnt/nas/1.png"),
        ("//nas/lot/1.png", "/mnt/nas/1.png"),
        ("file://nas/lot/1%20a.png", "/mnt/nas/1 a.png"),
        ("file:///Z:/images/1.png", "/mnt/images/1.png"),
        ("FILE://localhost/data/1.png", "/mnt/data/1.png"),
        ("~/1.png", "/mnt/line3/1.png"),
        ("/data/1.png", "/mnt/data/1.png"),
        ("/DATA/1.png", "/DATA/1.png"),
        ("/database/1.png", "/database/1.png"),
        ("http://cam/pics/1.png", "/mnt/cam/1.png"),
        ("file:///lot/a#1.png", "/lot/a#1.png"),
        ("C:\\images\\1.png", "C:\\images\\1.png"),
        ("lot7\\1.png", "lot7\\1.png"),
        ("~1.png", "~1.png"),
    ],
)
def test_a_path_is_found_in_its_folder_here(spelt: str, here: str) -> None:
    assert FOLDERS.here(spelt) == here


@pytest.mark.parametrize(
    ("spelt", "folder"),
    [
        ("C:\\lot\\1.png", "'C:\\lot'"),
        ("\\\\srv\\share\\1.png", "'\\\\srv\\share'"),
        ("/it's/1.png", '"/it\'s"'),
        ("ftp://cam/1.png", "'ftp://cam'"),
    ],
)
def test_what_to_write_for_a_folder_that_is_not_mapped(spelt: str, folder: str) -> None:
    assert FOLDERS.advice(spelt).endswith(f"fmi.toml: paths = {{ {folder} = '/folder/here' }}")


@pytest.mark.parametrize("spelt", ["1.png", "lot\\1.png", "Z:\\images\\1.png", "~1.png"])
def test_a_relative_path_or_a_mapped_one_needs_no_advice(spelt: str) -> None:
    assert FOLDERS.advice(spelt) == ""


@pytest.mark.parametrize("folders", [{"": "/mnt"}, {"Z:": " "}])
def test_a_map_of_nothing_is_refused(folders: dict[str, str]) -> None:
    with pytest.raises(LogError, match=r"\[defect_log.paths\] maps an empty path.*images_root"):
        path_map(folders)
