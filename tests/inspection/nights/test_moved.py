"""A folder of images that lies elsewhere now."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from inspection.errors import ImageError, WorkspaceError
from inspection.evidence.subject import open_subject
from inspection.nights import night as nights
from inspection.nights.moved import move_images
from tests.inspection.conftest import FinishedNight


def test_a_folder_that_was_renamed_is_read_where_it_lies(finished: FinishedNight, tmp_path: Path) -> None:
    mine = finished.copied(tmp_path / "workspace").plant
    site = nights.open_site(mine.workspace.root)
    before = site.store.night()
    shutil.copytree(mine.images, tmp_path / "new place")
    moved = replace(mine.references[0], image_path="/gone/1.png")
    with pytest.raises(
        ImageError, match=r"1 of 1 reference images of model v1 are gone, such as /gone.*fmi move"
    ):
        open_subject(mine.workspace, mine.model, [moved])
    done = move_images(site, mine.images, tmp_path / "new place" / "..." / "..")
    assert done.absent == ()
    references = site.store.references(mine.model.model_hash)
    assert [each.image_path for each in references] == [
        each.image_path.replace(f"{mine.images}", f"{tmp_path / 'new place'}") for each in mine.references
    ]
    night = site.store.night()
    assert {Path(each.image_path).parents[2] for each in night.modes[0].errors} == {tmp_path / "new place"}
    assert [each.title for each in night.modes] == [each.title for each in before.modes]
    assert open_subject(mine.workspace, mine.model, references).labelled.images.any()


def test_what_is_not_there_is_told_and_changes_nothing(finished: FinishedNight, tmp_path: Path) -> None:
    mine = finished.copied(tmp_path / "workspace").plant
    site = nights.open_site(mine.workspace.root)
    with pytest.raises(WorkspaceError, match=r"names no image below /nowhere; its images lie in .*/aged/"):
        move_images(site, Path("/nowhere"), tmp_path)
    with pytest.raises(
        WorkspaceError, match=r"none of the \d+ images below .* is there below /nowhere, such as"
    ):
        move_images(site, mine.images, Path("/nowhere"))
    assert site.store.references(mine.model.model_hash) == mine.references
    for folder in ("aged", "commissioned"):
        shutil.copytree(mine.images / folder, tmp_path / "new" / folder)
    lost = tmp_path / "new" / Path(mine.references[0].image_path).relative_to(mine.images)
    lost.unlink()
    assert move_images(site, mine.images, tmp_path / "new").absent == (str(lost),)


def test_a_folder_is_compared_as_a_whole(finished: FinishedNight, tmp_path: Path) -> None:
    mine = finished.copied(tmp_path / "workspace").plant
    with pytest.raises(WorkspaceError, match="names no image below"):
        move_images(nights.open_site(mine.workspace.root), Path(f"{mine.images}"[:-1]), tmp_path)
