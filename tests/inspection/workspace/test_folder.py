"""A workspace on a real disk: made, found, and refused where it cannot be written to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inspection.errors import WorkspaceError
from inspection.workspace.folder import FOLDERS, create_workspace, find_workspace, open_workspace
from inspection.workspace.settings import default_toml
from inspection.workspace.store import Store

root_writes_anywhere = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user"
)


def test_a_new_workspace_has_its_folders_and_the_default_settings(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "plant" / "line 3")
    assert workspace.root == tmp_path / "plant" / "line 3"
    assert sorted(path.name for path in workspace.root.iterdir()) == [
        "artifacts",
        "fmi.toml",
        "models",
        "reports",
    ]
    assert (workspace.root / "fmi.toml").read_text(encoding="utf-8") == default_toml()


def test_a_new_workspace_may_be_given_its_settings_and_keeps_those_it_has(tmp_path: Path) -> None:
    text = "[inversion]\nsources = 2\n"
    workspace = create_workspace(tmp_path / "plant", text)
    assert workspace.settings.inversion.sources == 2
    assert create_workspace(tmp_path / "plant").settings.inversion.sources == 2
    assert (workspace.root / "fmi.toml").read_text(encoding="utf-8") == text


def test_making_it_again_keeps_what_is_there(tmp_path: Path) -> None:
    first = create_workspace(tmp_path)
    (tmp_path / "fmi.toml").write_text("[blame]\nfilters = 7\n", encoding="utf-8")
    (tmp_path / "reports" / "old.html").write_text("kept", encoding="utf-8")
    (tmp_path / "models").rmdir()
    second = create_workspace(tmp_path)
    assert (first.settings.blame.filters, second.settings.blame.filters) == (20, 7)
    assert (tmp_path / "reports" / "old.html").read_text(encoding="utf-8") == "kept"
    assert (tmp_path / "models").is_dir()


def test_its_paths(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path)
    assert workspace.store_path == tmp_path / "fmi.duckdb"
    assert workspace.prefect_home == tmp_path / ".prefect"
    assert workspace.night_folder("n-1") == tmp_path / "artifacts" / "n-1"
    assert workspace.report_path("n-1") == tmp_path / "reports" / "n-1.html"
    assert workspace.model_folder("0123456789abcdef" + "f" * 48) == tmp_path / "models" / "0123456789abcdef"


def test_a_file_of_it_is_named_relative_to_it_with_forward_slashes(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path)
    assert workspace.relative(tmp_path / "artifacts" / "n-1" / "a b.png") == "artifacts/n-1/a b.png"


def test_a_relative_root_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert create_workspace(Path("plant")).root == tmp_path / "plant"
    monkeypatch.chdir(tmp_path / "plant")
    assert open_workspace(Path()).root == tmp_path / "plant"


def test_the_nearest_workspace_above_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_workspace(tmp_path)
    create_workspace(tmp_path / "inner")
    deep = tmp_path / "inner" / "logs" / "july"
    deep.mkdir(parents=True)
    assert find_workspace(tmp_path / "inner").root == tmp_path / "inner"
    assert find_workspace(deep).root == tmp_path / "inner"
    assert find_workspace(tmp_path / "artifacts").root == tmp_path
    monkeypatch.chdir(deep)
    assert find_workspace(Path()).root == tmp_path / "inner"


def test_a_folder_beside_a_workspace_is_not_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`../b` of workspace a is no folder of a, although a's name stands in the way to it."""
    create_workspace(tmp_path / "a")
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    with pytest.raises(WorkspaceError, match="fmi init"):
        find_workspace(Path("../b"))


def test_no_workspace_far_and_wide(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError) as refused:
        find_workspace(tmp_path)
    for words in (str(tmp_path), "fmi.toml", "fmi init", "--workspace"):
        assert words in str(refused.value)


def test_a_folder_that_is_no_workspace_is_not_opened(tmp_path: Path) -> None:
    create_workspace(tmp_path)
    with pytest.raises(WorkspaceError, match=r"artifacts is no workspace.*fmi init"):
        open_workspace(tmp_path / "artifacts")


def test_a_file_that_stands_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("not a folder", encoding="utf-8")
    with pytest.raises(WorkspaceError, match=r"cannot be made a workspace: File exists"):
        create_workspace(tmp_path)
    (tmp_path / "plant").write_text("not a folder", encoding="utf-8")
    with pytest.raises(WorkspaceError, match=r"plant cannot be made a workspace"):
        create_workspace(tmp_path / "plant")


def test_writing_is_tried_in_every_folder_and_leaves_nothing(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path)
    workspace.check_writable()
    assert [path for name in FOLDERS for path in (tmp_path / name).iterdir()] == []
    for name in FOLDERS:
        (tmp_path / name).rmdir()
        (tmp_path / name).write_text("in the way", encoding="utf-8")
        with pytest.raises(WorkspaceError) as refused:
            workspace.check_writable()
        assert str(refused.value).startswith(f"{tmp_path / name} is a file")
        (tmp_path / name).unlink()


def test_a_folder_that_went_missing_is_made_again(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path)
    (tmp_path / "reports").rmdir()
    workspace.check_writable()
    assert (tmp_path / "reports").is_dir()


@root_writes_anywhere
def test_a_read_only_workspace_is_refused(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path)
    (tmp_path / "reports").chmod(0o555)
    try:
        with pytest.raises(WorkspaceError, match=r"reports cannot be written to"):
            workspace.check_writable()
    finally:
        (tmp_path / "reports").chmod(0o755)


@pytest.mark.parametrize("name", ["a?b", "what?/plant"])
def test_a_path_that_duckdb_would_read_otherwise_is_refused_before_anything_is_made(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(WorkspaceError, match="its path holds '\\?'"):
        create_workspace(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["c%41d", "e#f", "g*h", "i'j", "k[l]m", "n o", "ü日", "a;b", "$HOME", "{x}"])
def test_other_names_are_as_good_as_any(tmp_path: Path, name: str) -> None:
    root = create_workspace(tmp_path / name).root
    Store(root / "fmi.duckdb").create()
    assert Store(open_workspace(root).store_path).models() == []
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_module_in_the_workspace_comes_after_everything_installed(tmp_path: Path) -> None:
    """`module:function` is looked for there; a duckdb.py beside it, or in the current folder, is not run."""
    create_workspace(tmp_path / "site")
    for folder in (tmp_path / "site", tmp_path):
        (folder / "duckdb.py").write_text("raise SystemExit('taken over')", encoding="utf-8")
    (tmp_path / "site" / "own_network.py").write_text("made = 'in the workspace'", encoding="utf-8")
    (tmp_path / "elsewhere.py").write_text("", encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from inspection.workspace.folder import open_workspace;"
        "open_workspace(Path(sys.argv[1])); import duckdb, own_network; print(own_network.made);"
        "import importlib.util as u; print(u.find_spec('elsewhere'))"
    )
    command = [sys.executable, "-P", "-c", code, str(tmp_path / "site")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["in the workspace", "None"]
