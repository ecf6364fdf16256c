"""Images by address: in an object store, here one in the memory of this process."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from inspection.errors import ImageError
from inspection.inputs.addresses import Copies, NotThereError, is_address, joined
from inspection.inputs.defect_log import DefectLog, LogReading, read_defect_log
from inspection.language import retold, speaking
from tests.inspection.inputs.logs import HEADER, logged

CLASSES = ["good", "scratch", "stain"]
STORE = "memory://line3"


@pytest.fixture
def store(plant: Path) -> Iterator[None]:
    """The plant's images in a store."""
    memory = fsspec.filesystem("memory")
    for path in plant.glob("*.png"):
        memory.pipe_file(f"/line3/lot 7/{path.name}", path.read_bytes())
    yield
    memory.rm("/line3", recursive=True)


def read(log: Path, copies: Copies, root: str | None = None, **paths: str) -> DefectLog:
    how = LogReading(images_root=root, copies=copies, paths=paths)
    return read_defect_log(log, {}, CLASSES, how)


@pytest.mark.parametrize(
    ("spelt", "address"),
    [
        ("s3://plant/a.png", True),
        ("HTTPS://plant/a.png", True),
        ("file:///plant/a.png", False),
        ("C://plant/a.png", False),
        ("/plant/s3://a.png", False),
        ("lot/a.png", False),
    ],
)
def test_an_address_names_its_kind(spelt: str, address: bool) -> None:
    assert is_address(spelt) == address


def test_a_path_is_relative_to_an_address_as_to_a_folder() -> None:
    assert joined("s3://plant/line3/", r".\lot 7\a.png".replace(".\\", "")) == "s3://plant/line3/lot 7/a.png"
    assert joined("s3://plant/line3", "./a.png") == "s3://plant/line3/a.png"


def test_images_of_a_store_are_copied_and_their_address_stays_with_them(
    plant: Path, tmp_path: Path, store: None
) -> None:
    copies = Copies(tmp_path / "copies", (STORE,))
    rows = ("lot 7/1.png,good,stain", rf"{STORE}/lot 7/2.png,good,scratch", r"lot 7\4.png,good,good")
    log = read(logged(plant, "\n".join([HEADER, *rows])), copies, STORE)
    assert [each.row for each in log.rows] == [1, 2]
    for row in log.rows:
        assert row.image_path.is_relative_to(tmp_path / "copies")
        assert row.image_path.read_bytes() == (plant / row.image_path.name).read_bytes()
        assert row.said.more["image_address"] == f"{STORE}/lot 7/{row.image_path.name}"
    (right,) = log.right
    assert right.source == f"{STORE}/lot 7/4.png"


def test_a_folder_of_the_log_may_lie_in_a_store(plant: Path, tmp_path: Path, store: None) -> None:
    theirs = {r"D:\cam": f"{STORE}/lot 7/"}
    how = LogReading(copies=Copies(tmp_path / "copies", (f"{STORE}/lot 7",)), paths=theirs)
    log = read_defect_log(logged(plant, HEADER + "\nD:\\cam\\1.png,good,stain\n"), {}, CLASSES, how)
    assert [row.address for row in log.rows] == [f"{STORE}/lot 7/1.png"]


def test_what_is_written_to_an_address_later_changes_no_copy(
    plant: Path, tmp_path: Path, store: None
) -> None:
    copies, address = Copies(tmp_path / "copies", (STORE,)), f"{STORE}/lot 7/1.png"
    first = copies.fetch(address, 1)
    held = first.read_bytes()
    fsspec.filesystem("memory").pipe_file("/line3/lot 7/1.png", (plant / "2.png").read_bytes())
    second = copies.fetch(address, 1)
    assert (first.read_bytes(), second.read_bytes()) == (held, (plant / "2.png").read_bytes())
    assert first != second
    assert copies.fetch(address, 1) == second


def test_rows_whose_image_is_not_there_are_set_aside_and_the_others_are_read(
    plant: Path, tmp_path: Path, store: None
) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/line3/cut.png", (plant / "1.png").read_bytes()[:-12])
    named = (STORE, "nowhere://x", "memory://other")
    rows = [
        "lot 7/1.png,good,stain",
        "lot 7/no.png,good,stain",
        "nowhere://x/a.png,good,stain",
        "s3://else/a.png,good,stain",
        "memory://line3b/1.png,good,stain",
        "../other/1.png,good,stain",
        "lot 7/1.png::local:///etc/hostname,good,stain",
        "cut.png,good,stain",
    ]
    log = read(logged(plant, "\n".join([HEADER, *rows])), Copies(tmp_path / "copies", named), STORE)
    assert [row.row for row in log.rows] == [1]
    found = {each.row: (each.reason, each.detail) for each in log.set_aside}
    assert [found[row][0] for row in range(2, 9)] == ["missing_image"] * 6 + ["unreadable_image"]
    said = [found[row][1] for row in range(2, 9)]
    assert said[0] == f"{STORE}/lot 7/no.png: there is no such image"
    assert "need a package that is not installed" in said[1]
    assert said[2].endswith("under [defect_log] in fmi.toml: paths = { 's3://else' = 's3://else' }")
    assert all("the settings name no such store" in each for each in said[3:6])
    assert "cut short or damaged" in said[6]
    with speaking("ja"):
        assert all(retold(each) != each for each in said)


def test_a_store_that_does_not_answer_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def no_answer(_: object, path: str) -> None:
        asked.append(path)
        raise TimeoutError("no answer in 60 s")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "size", no_answer)
    copies = Copies(tmp_path / "copies", ("memory://plant", "memory://other"))
    for name in "ab":
        with pytest.raises(NotThereError, match=r"TimeoutError: no answer in 60 s\); check the connection"):
            copies.fetch(f"memory://plant/{name}.png", 1)
    with pytest.raises(NotThereError):
        copies.fetch("memory://other/a.png", 1)
    assert asked == ["/plant/a.png", "/other/a.png"]


def test_an_image_that_is_too_large_is_not_fetched(tmp_path: Path, store: None) -> None:
    fsspec.filesystem("memory").pipe_file("/line3/large.png", bytes(2_000_001))
    with pytest.raises(ImageError, match="has 2 MB, and at most 1 MB are read"):
        Copies(tmp_path / "copies", (STORE,)).fetch(f"{STORE}/large.png", 1)
    assert not (tmp_path / "copies").exists()
