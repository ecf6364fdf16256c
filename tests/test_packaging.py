"""What a checkout holds and what an installation gets."""

import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path, PurePosixPath

import pytest

from tests.conftest import REPOSITORY

PACKAGES = ("flows", "fmi_engine", "inspection", "dashboards")
TOP_LEVEL = {*PACKAGES, "tests", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"}
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))

# Written with brackets, so that this file does not hold what it looks for.
NOT_FOR_OTHERS = {
    "a package registry": r"(py[p]i|python[h]osted|py[t]orch|np[m]js|an[a]conda)\.(org|com)",
    "a path of one machine": r"(?<![\w./])/(wor[k]|hom[e]|roo[t]|User[s])/",
}


@cache
def tracked() -> tuple[PurePosixPath, ...]:
    """The files that git tracks or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip(f"this is no git checkout: {listed.stderr.strip()}")
    names = sorted({name for name in listed.stdout.split("\0") if name})
    return tuple(PurePosixPath(name) for name in names if (REPOSITORY / name).is_file())


def test_the_top_level_holds_nothing_else() -> None:
    top = {path.parts[0] for path in tracked()}
    assert {name for name in top if not name.startswith(".")} - TOP_LEVEL == set()
    assert set(PACKAGES) <= top


def test_every_package_is_installed_with_all_that_is_in_it() -> None:
    inits = [path for path in tracked() if path.name == "__init__.py"]
    packages = {path.parent for path in inits if path.parts[0] in PACKAGES}
    assert {path.parts[0] for path in packages} == set(PACKAGES)
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(
        ".".join(path.parts) for path in packages
    )
    globs = {
        f"{package.replace('.', '/')}/{pattern}"
        for package, patterns in PROJECT["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
    }
    packaged = [path for path in tracked() if path.parts[0] in PACKAGES]
    modules = [path for path in packaged if path.suffix == ".py"]
    assert [path for path in modules if path.parent not in packages] == []
    data = [path for path in packaged if path.suffix != ".py"]
    assert data != []
    assert [path for path in data if not any(path.match(pattern) for pattern in globs)] == []


def test_the_command_is_installed() -> None:
    (command,) = entry_points(group="console_scripts", name="fmi")
    assert command.value == "inspection.cli:main"
    installed = Path(sys.executable).with_name("fmi")
    said = subprocess.run([installed, "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert "Learn every night why" in said.stdout


def test_the_readme_begins_with_two_commands_of_one_line() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    run, check = re.findall(r"^```\w*\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)[:2]
    for block in (run, check):
        assert block.count("\n") == 1
        assert "\\" not in block
    assert "fmi demo" in run
    assert "pytest" in check


def test_imports_run_one_way() -> None:
    """The contracts of pyproject.toml, kept."""
    linter = Path(sys.executable).with_name("lint-imports")
    said = subprocess.run([linter, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout
    kept = len(PROJECT["tool"]["importlinter"]["contracts"])
    assert f"Contracts: {kept} kept, 0 broken." in said.stdout


@pytest.mark.parametrize("what", NOT_FOR_OTHERS)
def test_no_file_names(what: str) -> None:
    found = [
        f"{path}: {hit[0]}"
        for path in tracked()
        for hit in re.finditer(NOT_FOR_OTHERS[what], (REPOSITORY / path).read_text("utf-8", "replace"))
    ]
    assert found == []
