"""Files written whole or not at all, whatever breaks off."""

import os
from pathlib import Path

import pytest

from inspection.errors import ImageError
from inspection.workspace.files import replacing, sha256_of, write_whole
from tests.inspection.inputs.files import saved


def test_a_broken_off_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.txt", b"old")

    def break_off() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"ne")
            assert temporary.parent == tmp_path
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_a_finished_write_takes_the_place_of_the_old_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.txt", b"old")
    with replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_sha256(tmp_path: Path) -> None:
    # FIPS 180-2, example B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(saved(tmp_path / "abc", b"abc")) == expected
    with pytest.raises(ImageError, match="there is no such"):
        sha256_of(tmp_path / "none")


def test_a_block_that_writes_nothing_leaves_the_old_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.txt", b"old")
    for durable in (True, False):
        with pytest.raises(FileNotFoundError), replacing(path, durable=durable):
            pass
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_a_whole_file_makes_its_folder_and_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "er" / "a.txt"
    for data in (b"first", b"second"):
        write_whole(path, data)
        assert path.read_bytes() == data
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("broken", ["write_bytes", "replace"])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.txt", b"old")

    def fail(temporary: Path, *_: object) -> None:
        temporary.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, broken, fail)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_is_a_file_says_so_itself(tmp_path: Path) -> None:
    saved(tmp_path / "folder", b"a file")
    with pytest.raises(NotADirectoryError), replacing(tmp_path / "folder" / "a.txt") as temporary:
        temporary.write_bytes(b"new")


@pytest.mark.parametrize("durable", [True, False])
def test_the_bytes_lie_on_the_disk_before_the_name_does(
    tmp_path: Path, durable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.txt", b"old")
    seen: list[tuple[int, bytes]] = []
    monkeypatch.setattr(os, "fsync", lambda file: seen.append((os.fstat(file).st_size, path.read_bytes())))
    write_whole(path, b"longer", durable=durable)
    assert seen == ([(6, b"old")] if durable else [])
    assert path.read_bytes() == b"longer"
