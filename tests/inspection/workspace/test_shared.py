"""What machines that share a folder tell each other."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from inspection.findings import ErrorKind, ReferenceImage
from inspection.workspace.shared import HERE, Registered, Shared
from tests.inspection.conftest import Plant

SHARED = Shared("/srv/plant", "/mnt/share")


@dataclass(frozen=True)
class Said:
    path: Path
    more: tuple[object, ...]
    kind: ErrorKind = ErrorKind.ESCAPE
    seen: list[str] = field(default_factory=list, init=False)


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("/srv/plant", "/mnt/share"),
        ("/srv/plant/images/1.png", "/mnt/share/images/1.png"),
        (Path("/srv/plant/a"), Path("/mnt/share/a")),
        ("/srv/plants/a", "/srv/plants/a"),
        ("see /srv/plant/a", "see /srv/plant/a"),
        (7, 7),
    ],
    ids=["the folder", "in it", "a path", "beside it", "a sentence", "a number"],
)
def test_paths_beneath_the_folder_are_moved_there_and_back(there: object, here: object) -> None:
    assert SHARED.moved(there) == here
    assert SHARED.back(here) == there


def test_those_in_records_and_lists_are_too() -> None:
    said = Said(Path("/srv/plant/a"), ("/srv/plant/b", [Said(Path("/c"), ())]))
    moved = Said(Path("/mnt/share/a"), ("/mnt/share/b", [Said(Path("/c"), ())]))
    assert SHARED.moved(said) == moved


def test_a_machine_names_the_folder_where_it_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Shared.found("/srv/plant") == Shared("/srv/plant", "/srv/plant")
    monkeypatch.setenv(HERE, "/mnt/share")
    assert Shared.found("/srv/plant") == SHARED
    assert Shared.found("") == Shared()  # the paths are the same


def test_a_model_is_handed_over_with_its_references_where_they_lie_here(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed = Registered(tmp_path / "folder" / "model")
    handed.write(plant.model, [ReferenceImage("/srv/plant/a.png", "good", "val")], "hash", "/srv/plant")
    assert handed.stamp()[0] is not None
    monkeypatch.setenv(HERE, "/mnt/share")
    assert handed.read() == (plant.model, [ReferenceImage("/mnt/share/a.png", "good", "val")], "hash")
