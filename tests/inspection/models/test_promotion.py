"""Promoted for a reason, rolled back, and all of it on record."""

from dataclasses import replace
from pathlib import Path

import pytest

from inspection.errors import ModelError
from inspection.findings import CLEAN, LINE, LOGGED, Arm, Decision, PromotionKind, ReferenceImage
from inspection.models.promotion import deployed_in_turn, promote, roll_back
from inspection.workspace.store import Store
from tests.inspection.workspace.records import HOUR, STARTED, a_judged_image, a_model, a_retraining

OLD = [ReferenceImage("/old.png", "good", "train"), ReferenceImage("/x/1.png", "scratch", "val")]


@pytest.fixture
def plant(tmp_path: Path) -> Store:
    """A deployed model, and two candidates: one that the gate accepted, and a later one that it did not."""
    store = Store(tmp_path / "fmi.duckdb")
    store.create()
    store.add_model(a_model("aa", parent_hash=None), OLD, author="Aoki")
    accepted = replace(a_retraining("r1", "n-1"), candidate_hash="bb")
    pictures = [
        *(replace(a_judged_image(number), images_of=LOGGED) for number in (1, 2)),
        replace(a_judged_image(3), images_of=CLEAN),
        replace(a_judged_image(4), images_of=LINE, mode_id=None),
    ]
    store.add_retraining(accepted, a_model("bb", parent_hash="aa"), pictures)
    rejected = replace(
        a_retraining("r2", "n-1", STARTED + HOUR),
        candidate_hash="cc",
        decision=Decision.REJECTED,
        reasons=("clean: pits fall",),
        arm=Arm.RECIPES,
    )
    store.add_retraining(rejected, a_model("cc", parent_hash="aa"), pictures)
    return store


def trail(store: Store) -> list[tuple[str, str | None, PromotionKind, str]]:
    return [(each.model_hash, each.previous_hash, each.kind, each.author) for each in store.promotions()]


def test_the_newest_accepted_candidate_is_promoted_with_author_and_reason(plant: Store) -> None:
    entry = promote(plant, None, "佐藤", "  mends the lamp ")
    assert (entry.model_hash, entry.reason, entry.decision) == ("bb", "mends the lamp", Decision.ACCEPTED)
    assert plant.model().model_hash == "bb"
    assert plant.promotions()[-1] == entry
    assert trail(plant) == [
        ("aa", None, PromotionKind.REGISTERED, "Aoki"),
        ("bb", "aa", PromotionKind.PROMOTED, "佐藤"),
    ]
    with pytest.raises(ModelError, match="no accepted candidate waits"):
        promote(plant, None, "佐藤", "again")


def test_it_takes_its_parents_references_and_the_logged_images_that_it_was_shown(plant: Store) -> None:
    promote(plant, "bb", "", "better")
    shown = [ReferenceImage(f"/x/{i}.png", "good", "train") for i in (2, 4)]
    assert plant.references("bb") == [*OLD, *shown]  # /x/1.png is there already, /x/3.png it was not shown
    promote(plant, "cc", "", "recipes alone", anyway=True)
    assert plant.references("cc") == OLD  # it was shown none


def test_a_candidate_that_the_gate_did_not_accept_is_promoted_only_with_open_eyes(plant: Store) -> None:
    with pytest.raises(ModelError, match=r"line v3 \(cc\): rejected\. clean: pits fall\. .* --anyway"):
        promote(plant, "v3", "", "I know better")
    assert plant.model().model_hash == "aa"
    assert promote(plant, "v3", "", "I know better", anyway=True).decision is Decision.REJECTED


@pytest.mark.parametrize("reason", ["", "   "])
def test_without_a_reason_nothing_changes(plant: Store, reason: str) -> None:
    with pytest.raises(ModelError, match="promoted for a reason"):
        promote(plant, "bb", "", reason)
    with pytest.raises(ModelError, match="rolled back for a reason"):
        roll_back(plant, "", reason)
    assert len(plant.promotions()) == 1


def test_the_deployed_model_is_not_promoted_again(plant: Store) -> None:
    with pytest.raises(ModelError, match=r"line v1 \(aa\) is the deployed model already"):
        promote(plant, "aa", "", "why not")


def test_back_and_further_back(plant: Store) -> None:
    promote(plant, "bb", "", "better")
    promote(plant, "cc", "", "better still", anyway=True)
    assert roll_back(plant, "Sato", "it was not").model_hash == "bb"
    assert roll_back(plant, "Sato", "nor that").model_hash == "aa"
    with pytest.raises(ModelError, match="nothing to roll back to"):
        roll_back(plant, "Sato", "and on")
    promote(plant, "bb", "", "after all")
    assert roll_back(plant, "Sato", "no").model_hash == "aa"
    kinds = [each.kind for each in plant.promotions()]
    assert kinds.count(PromotionKind.ROLLED_BACK) == 3
    assert deployed_in_turn(plant) == {"line": ["aa"]}


def test_a_registered_model_is_deployed_and_can_be_rolled_back(plant: Store) -> None:
    plant.add_model(a_model("dd", parent_hash=None), [], author="Aoki")
    assert plant.model().model_hash == "dd"
    assert roll_back(plant, "", "the wrong file").model_hash == "aa"


def test_each_line_goes_back_by_itself(plant: Store) -> None:
    """All models of a line share a name; the last promotion was of another line."""
    for number, name in enumerate(("rear", "front", "rear", "front")):
        plant.add_model(a_model(f"r{number}", parent_hash=None, name=name), [])
    assert deployed_in_turn(plant) == {"line": ["aa"], "rear": ["r0", "r2"], "front": ["r1", "r3"]}
    with pytest.raises(
        ModelError, match=r"several names are deployed \(line v1, rear v2, front v2\): say by --name"
    ):
        roll_back(plant, "", "the wrong file")
    with pytest.raises(
        ModelError, match="no model called 'side' is deployed; deployed are: line v1, rear v2"
    ):
        roll_back(plant, "", "the wrong file", name="side")
    entry = roll_back(plant, "", "the wrong file", name="Rear")
    assert (entry.model_hash, entry.previous_hash) == ("r0", "r2")
    assert [plant.model(name).model_hash for name in ("rear", "front", "line")] == ["r0", "r3", "aa"]
    with pytest.raises(ModelError, match="no model called 'rear' was deployed before rear v1"):
        roll_back(plant, "", "further", name="rear")
    assert roll_back(plant, "", "as the page shows it", expected="r3").model_hash == "r1"
    states = plant.model_states()
    assert {each for each, state in states.items() if state == "deployed"} == {"aa", "r0", "r1"}
    assert promote(plant, "r2", "", "it was fine").previous_hash == "r0"
    with pytest.raises(ModelError, match="meanwhile rear v2 was deployed"):
        roll_back(plant, "", "too late", expected="r0")
