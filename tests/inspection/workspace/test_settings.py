"""The settings: their defaults, the file that holds them, and what is said about a bad one."""

import os
import re
import tomllib
from copy import deepcopy
from pathlib import Path

import pytest
from pydantic import ValidationError

from inspection.errors import WorkspaceError
from inspection.workspace.settings import (
    RENAMED,
    RETIRED,
    LineSettings,
    Settings,
    current_names,
    default_toml,
    load_settings,
    settings_rows,
)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("FMI_")]:
        monkeypatch.delenv(name)


def held(folder: Path, text: str) -> Path:
    path = folder / "fmi.toml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(path: Path) -> str:
    with pytest.raises(WorkspaceError) as refused:
        load_settings(path)
    return str(refused.value)


def test_the_default_file_holds_the_defaults(tmp_path: Path) -> None:
    assert load_settings(held(tmp_path, default_toml())) == Settings()


def test_the_default_file_writes_out_every_setting() -> None:
    maps_too = re.sub(r"(?m)^# (\w+ = )", r"\1", default_toml())  # they stand there as comments
    assert tomllib.loads(maps_too) == Settings().model_dump(mode="json", exclude={"lines"})
    line = re.sub(r"(?m)^#(\w+ = |\[)", r"\1", default_toml())
    assert tomllib.loads(line)["lines"] == {"NAME": LineSettings(logs="").model_dump()}
    assert default_toml().count("\n# ") - maps_too.count("\n# ") == len(("columns", "labels", "paths"))


@pytest.mark.parametrize("place", ["below", "at the end"])
def test_a_map_may_be_a_table_of_its_own(tmp_path: Path, place: str) -> None:
    """As a person adds it to the file that `fmi init` wrote."""
    table, line = '\n[defect_log.labels]\nNG = "pit"\n', "# labels = {}"
    edited = default_toml() + table
    if place == "below":
        lines = default_toml().splitlines(keepends=True)
        ends = next(i for i, each in enumerate(lines) if each.startswith("# How image files"))
        edited = "".join([*lines[:ends], table, *lines[ends:]])
    assert line in edited
    assert load_settings(held(tmp_path, edited)).defect_log.labels == {"NG": "pit"}


def test_a_name_that_stands_twice_is_told_with_the_repair(tmp_path: Path) -> None:
    """In a file of an earlier version, which wrote the empty map out."""
    text = '[defect_log]\nlabels = {}\n\n[defect_log.labels]\nNG = "pit"\n'
    assert "there may be no line `labels = {}`. Remove that line." in complaint(held(tmp_path, text))
    assert "Remove that line" not in complaint(held(tmp_path, "[defect_log\n"))


def test_every_setting_has_a_line_that_explains_it() -> None:
    rows = list(settings_rows())
    sections = Settings().model_dump()
    assert [(table, key) for table, key, _, _ in rows] == [
        (table, key) for table, section in sections.items() for key in section
    ]
    assert [(table, key) for table, key, _, meaning in rows if not meaning.strip()] == []
    lines = default_toml().splitlines()
    for table, key, _, meaning in rows:
        after_header = lines[lines.index(f"[{table}]") :]
        line = next(line for line in after_header if line.removeprefix("# ").startswith(f"{key} = "))
        assert line.endswith(f"  # {meaning}")


def test_every_table_says_what_it_is_about() -> None:
    lines = default_toml().splitlines()
    for table, field in Settings.model_fields.items():
        if table == "lines":
            assert lines[lines.index("#[lines.NAME]") - 1] == f"# {(LineSettings.__doc__ or '').strip()}"
            continue
        assert lines[lines.index(f"[{table}]") - 1] == f"# {(field.annotation.__doc__ or '').strip()}"


def test_the_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    settings = load_settings(held(tmp_path, '[blame]\nfilters = 7\n[defect_log]\nlabels = { NG = "pit" }\n'))
    expected = Settings().model_dump()
    expected["blame"]["filters"] = 7
    expected["defect_log"]["labels"] = {"NG": "pit"}
    assert settings.model_dump() == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("[blame]\nfilterz = 5", ("blame.filterz", "= 5"), id="unknown key"),
        pytest.param("[blam]\nfilters = 5", ("blam", "{'filters': 5}"), id="unknown table"),
        pytest.param("[blame]\nfilters = 0", ("blame.filters = 0", "greater than or equal to 1"), id="zero"),
        pytest.param(
            '[blame]\nfilters = "many"', ("blame.filters = 'many'", "valid integer"), id="another type"
        ),
        pytest.param(
            "[recipe]\nshare = 1.5", ("recipe.share = 1.5", "less than or equal to 1"), id="above its limit"
        ),
        pytest.param(
            "[training]\ninput_size = 100000",
            ("training.input_size = 100000", "less than or equal to 4096"),
            id="an input beyond any network",
        ),
        pytest.param(
            "[training]\nlearning_rate = nan", ("training.learning_rate = nan", "greater than 0"), id="nan"
        ),
        pytest.param(
            '[inversion]\npreset = "papers"', ("inversion.preset = 'papers'", "'default'"), id="name"
        ),
        pytest.param(
            "[recipe]\nweakest = 2.0\nstrongest = 1.0", ("weakest", "2", "strongest", "1"), id="upside down"
        ),
        pytest.param("blame = 3", ("blame = 3", "dictionary"), id="a number for a table"),
    ],
)
def test_a_bad_setting_is_named_with_what_it_holds_and_what_it_takes(
    tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    path = held(tmp_path, text)
    message = complaint(path)
    assert str(path) in message
    for word in words:
        assert word in message


def test_every_bad_setting_is_told_at_once(tmp_path: Path) -> None:
    message = complaint(held(tmp_path, "[blame]\nfilters = 0\n[serve]\nport = 70000\n"))
    assert "blame.filters = 0" in message
    assert "serve.port = 70000" in message


@pytest.mark.parametrize(
    ("text", "exists"),
    [("[blame]\nfilterz = 5\n", "random_draws"), ("[blam]\nfilters = 5\n", "defect_log")],
    ids=["key", "table"],
)
def test_an_unknown_name_is_answered_with_those_that_exist(tmp_path: Path, text: str, exists: str) -> None:
    assert exists in complaint(held(tmp_path, text))


def test_what_every_file_of_an_earlier_version_held_is_passed_over(tmp_path: Path) -> None:
    path = held(tmp_path, "[blame]\nsounding_errors = 32\nfilters = 7\n")
    assert load_settings(path).blame.filters == 7


def test_values_under_earlier_names_count(tmp_path: Path) -> None:
    text = "[matching]\nbeyond_any_day = 0.37\nbeyond_own = 0.21\nrival_margin = 0.05\nclaim_share = 0.7\n"
    found = load_settings(held(tmp_path, text)).matching
    assert (found.beyond_baseline, found.beyond_unchanged, found.claim_share) == (0.37, 0.21, 0.7)


def test_beside_an_earlier_name_the_present_one_wins(tmp_path: Path) -> None:
    for text in (
        "beyond_own = 0.21\nbeyond_unchanged = 0.3\n",
        "beyond_unchanged = 0.3\nbeyond_own = 0.21\n",
    ):
        assert load_settings(held(tmp_path, f"[matching]\n{text}")).matching.beyond_unchanged == 0.3


def test_a_bad_value_under_an_earlier_name_is_refused(tmp_path: Path) -> None:
    assert "matching.beyond_baseline = 7.0" in complaint(held(tmp_path, "[matching]\nbeyond_any_day = 7.0\n"))


def test_every_earlier_name_stands_for_a_present_setting_and_no_fresh_file_has_it() -> None:
    present = {(table, key) for table, key, _, _ in settings_rows()}
    assert {(table, name) for (table, _), name in RENAMED.items()} <= present
    assert not present & {*RETIRED, *RENAMED}


def test_settings_of_an_earlier_version_are_told_by_their_present_names() -> None:
    """As a store or a file holds them, which stay as they are; what is no table is left to be refused."""
    held = {
        "blame": {"sounding_errors": 32, "filters": 7},
        "matching": {"beyond_either": 0.2, "beyond_own": 0.21, "claim_share": 0.7},
        "recipe": "not a table",
    }
    before = deepcopy(held)
    assert current_names(held) == {
        "blame": {"filters": 7},
        "matching": {"beyond_unchanged": 0.21, "claim_share": 0.7},
        "recipe": "not a table",
    }
    assert held == before
    now = Settings().model_dump(mode="json")
    assert current_names(now) == now


def test_a_file_that_is_no_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    path = held(tmp_path, "[blame]\nfilters = 5\n[blame\n")
    message = complaint(path)
    assert str(path) in message
    assert "line 3" in message
    assert "fmi init" in message


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fmi.toml"
    path.write_bytes("# 設定".encode("cp932"))
    assert str(path) in complaint(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert str(tmp_path / "fmi.toml") in complaint(tmp_path / "fmi.toml")


def test_the_environment_wins_over_the_file_for_the_key_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = held(tmp_path, "[blame]\nfilters = 9\nrandom_draws = 3\n")
    monkeypatch.setenv("FMI_BLAME__FILTERS", "7")
    monkeypatch.setenv("FMI_COMPUTE__DEVICE", "cpu")
    settings = load_settings(path)
    assert (settings.blame.filters, settings.blame.random_draws, settings.compute.device) == (7, 3, "cpu")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("FMI_BLAME__FILTERS", "many", ("blame.filters", "many")),
        ("FMI_BLAME__FILTERZ", "3", ("blame.filterz", "3")),
        ("FMI_BLAME", "7", ("blame", "7")),
        ("FMI_BLAME", "seven", ("blame",)),
    ],
)
def test_a_bad_environment_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: tuple[str, ...]
) -> None:
    path = held(tmp_path, "")
    monkeypatch.setenv(name, value)
    message = complaint(path).lower()
    for word in words:
        assert word in message


def test_settings_do_not_change_under_a_night() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.blame.filters = 3  # type: ignore[misc]
    assert settings.blame.filters == 20
