"""Registered models: real checkpoints copied in, loaded again, and refused where they were changed."""

import hashlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fmi_engine.classifier import Classifier, Preprocessing, build_network
from fmi_engine.decision_rule import DecisionRule
from fmi_engine.errors import ClassifierError
from inspection.errors import ImageError, ModelError
from inspection.findings import ReferenceImage, RegisteredModel
from inspection.inputs.image_sets import LabelledImage
from inspection.inputs.images import read_image, write_image
from inspection.models import registry as models
from inspection.models.registry import ModelSpec, as_decided, check_classes, reference_images
from inspection.workspace.folder import Workspace
from inspection.workspace.settings import Settings
from inspection.workspace.store import Store
from tests.inspection.conftest import Plant

TINY = "tests.inspection.tiny_network:tiny_network"
SPEC = ModelSpec(TINY, ("good", "pit", "stain"), ("good",), Preprocessing(32, 32, 1, (0.4,), (0.2,)))


def network_of(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build_network(TINY, 3, 1)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "theirs.pt"
    torch.save({"state_dict": network_of(1).state_dict(), "epoch": 3}, path)
    return path


def pictures(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 1), dtype=np.uint8)


def logits(classifier: Classifier) -> torch.Tensor:
    return classifier.logits(classifier.prepare(pictures(4)))


def test_the_part_of_an_answer_that_is_read_is_told_and_kept(workspace: Workspace, tmp_path: Path) -> None:
    torch.manual_seed(1)
    telling = build_network("tests.inspection.tiny_network:tiny_telling", 3, 1)
    path, told = tmp_path / "theirs.pt", list[str]()
    torch.save(telling.state_dict(), path)
    spec = replace(SPEC, architecture="tests.inspection.tiny_network:tiny_telling")
    record = models.register(workspace, spec, path, [], tell=told.append)
    assert record.architecture == "tests.inspection.tiny_network:tiny_telling#logits"
    assert told == [
        "the network's answer holds more than the logits; what is read of it is kept as "
        "tests.inspection.tiny_network:tiny_telling#logits"
    ]
    classifier = models.load_model(workspace.root, record, "cpu")
    x = classifier.prepare(pictures(4))
    torch.testing.assert_close(logits(classifier), telling.eval()(x)["logits"])


# --- what is refused ---


@pytest.mark.parametrize(
    ("class_names", "good_classes", "words"),
    [
        (("good", "pit", "good"), (), "good twice"),
        (("pit", "good", "pit", "good"), (), "good, pit twice"),
        (("good",), (), "only good"),
        ((), (), "only none"),
        (("good", "pit", "Pit"), (), "'pit' and 'Pit'. A defect log cannot tell them apart"),
        (("good", "iron ash", "iron  ash "), (), "'iron ash' and 'iron  ash '"),
        (("good", "ＮＧ", "NG", "ng"), (), "'ＮＧ' and 'NG' and 'ng'"),
        (
            ("good", "é", "e\u0301"),
            (),
            "only by a blank, by capitals or by how a character is encoded",
        ),
        (("good", "pit"), ("fine", "good", "ok"), "good classes fine, ok are no classes of the model"),
    ],
)
def test_class_names_that_cannot_be(
    class_names: tuple[str, ...], good_classes: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ModelError) as refused:
        check_classes(class_names, good_classes)
    assert words in str(refused.value)


def test_an_unknown_good_class_is_answered_with_the_classes_there_are() -> None:
    with pytest.raises(ModelError, match="it has: good, pit"):
        check_classes(("good", "pit"), ("fine",))
    check_classes(("good", "pit"), ())


def test_a_reference_of_an_unknown_class() -> None:
    images = [LabelledImage(Path(f"/{label}.png"), label, None) for label in ("rust", "good", "burr", "rust")]
    with pytest.raises(ModelError, match=r"does not know: burr, rust\. .* are: good, pit"):
        as_decided(images, DecisionRule.plain(("good", "pit")))
    assert as_decided(images[1:2], DecisionRule.plain(("good", "pit"))) == images[1:2]


def test_references_of_a_group_count_as_the_group() -> None:
    rule = DecisionRule.parse("NG = rust + burr, OK = good", ("good", "rust", "burr"))
    images = [ReferenceImage(f"/{label}.png", label, "train") for label in ("rust", "good", "burr", "NG")]
    assert [each.label for each in as_decided(images, rule)] == ["NG", "OK", "NG", "NG"]
    with pytest.raises(ModelError, match=r"does not know: pit\. .* are: OK, NG, good, rust, burr"):
        as_decided([ReferenceImage("/a.png", "pit", "val")], rule)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"class_names": ("good", "pit", "pit")}, "pit twice"),
        ({"good_classes": ("fine",)}, "good classes fine"),
    ],
)
def test_a_bad_description_registers_nothing(
    workspace: Workspace, checkpoint: Path, change: dict[str, tuple[str, ...]], words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        models.register(workspace, replace(SPEC, **change), checkpoint, [])  # type: ignore[arg-type]
    assert list((workspace.root / "models").iterdir()) == []


def test_a_reference_set_of_other_classes_registers_nothing(workspace: Workspace, checkpoint: Path) -> None:
    with pytest.raises(ModelError, match="does not know: rust"):
        models.register(workspace, SPEC, checkpoint, [ReferenceImage("/a.png", "rust", "train")])
    assert list((workspace.root / "models").iterdir()) == []


def test_a_checkpoint_of_another_network_registers_nothing(workspace: Workspace, checkpoint: Path) -> None:
    with pytest.raises(ClassifierError, match=r"head\.bias is \(3,\), expected \(2,\)"):
        models.register(workspace, replace(SPEC, class_names=("good", "pit")), checkpoint, [])
    assert list((workspace.root / "models").iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_register_nothing(
    workspace: Workspace, checkpoint: Path, value: float
) -> None:
    state = network_of(1).state_dict()
    state["head.bias"][1:] = value
    torch.save(state, checkpoint)
    with pytest.raises(ModelError, match=r"NaN or infinity\), in head\.bias \(2 of 3\)\. "):
        models.register(workspace, SPEC, checkpoint, [])
    assert list((workspace.root / "models").iterdir()) == []


def test_answers_that_are_no_numbers_are_told(workspace: Workspace, checkpoint: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", pictures(1)[0])
    references = [ReferenceImage(str(tmp_path / "a.png"), "good", "train")]
    tiny_std = Preprocessing(32, 32, 1, (0.4,), (1e-40,))
    record = models.register(workspace, replace(SPEC, preprocessing=tiny_std), checkpoint, references)
    with pytest.raises(ModelError, match="answers train images with values that are no finite numbers"):
        models.reference_accuracy(workspace, record, references)


# --- the bit depth of its images ---


def deep(folder: Path, name: str, *values: int) -> ReferenceImage:
    path = folder / name
    assert cv2.imwrite(str(path), np.resize(np.array(values, np.uint16), (32, 32)))
    return ReferenceImage(str(path), "good", "train")


def test_the_bit_depth_is_measured_once_on_the_references_and_kept(
    workspace: Workspace, checkpoint: Path, tmp_path: Path
) -> None:
    references = [deep(tmp_path, "a.png", 5, 900), deep(tmp_path, "b.tif", 3, 4000)]
    record = models.register(workspace, SPEC, checkpoint, references)
    assert record.bit_depth == models.spec_of(record).bit_depth == 12
    store = Store(workspace.store_path)
    store.create()
    store.add_model(record, references)
    assert store.model().bit_depth == 12
    assert models.register(workspace, SPEC, checkpoint, []).bit_depth is None


def test_the_setting_decides_the_bit_depth(workspace: Workspace, checkpoint: Path, tmp_path: Path) -> None:
    reference = deep(tmp_path, "a.png", 5, 900)
    decided = replace(workspace, settings=Settings(images={"bit_depth": 14}))
    assert models.register(decided, SPEC, checkpoint, [reference]).bit_depth == 14
    record = models.register(workspace, SPEC, checkpoint, [reference])
    assert record.bit_depth == 10
    path = deep(tmp_path, "bright.png", 5, 5000).image_path
    with pytest.raises(ImageError, match="brightest value is 5000, above 1023"):
        models.reference_accuracy(workspace, record, [replace(reference, image_path=path)])
    counts = models.reference_accuracy(decided, record, [replace(reference, image_path=path)])
    assert counts["train"][1] == 1


# --- which images a model was trained on ---


def test_splits_are_kept_and_the_test_split_is_left_out() -> None:
    images = [
        LabelledImage(Path(f"/{i}.png"), "good", split) for i, split in enumerate(["train", "test", "val"])
    ]
    assert reference_images(images) == [
        ReferenceImage("/0.png", "good", "train"),
        ReferenceImage("/2.png", "good", "val"),
    ]


def test_a_set_of_test_images_holds_no_reference() -> None:
    images = [LabelledImage(Path(f"/{i}.png"), "good", "test") for i in range(3)]
    with pytest.raises(ModelError, match=r"no reference image among the labelled images \(3 of split test\)"):
        reference_images(images)


def test_without_splits_the_hash_of_label_and_name_draws_one_in_five() -> None:
    images = [LabelledImage(Path(f"/a/{i:04d}.png"), "pit", None) for i in range(1000)]
    drawn = reference_images(images)
    expected = [
        "val" if hashlib.sha256(b"pit/%04d.png" % i).digest()[0] % 5 == 0 else "train" for i in range(1000)
    ]
    assert [each.split for each in drawn] == expected
    assert 150 <= expected.count("val") <= 250


def test_the_drawn_split_survives_another_folder_another_order_and_more_images() -> None:
    def drawn(folder: str, names: list[int]) -> dict[str, str]:
        images = [LabelledImage(Path(folder) / f"{i}.png", "pit", None) for i in names]
        return {Path(each.image_path).name: each.split for each in reference_images(images)}

    first = drawn("/a", list(range(50)))
    assert first.items() <= drawn("/elsewhere/b", list(range(80))[::-1]).items()
    assert set(first.values()) == {"train", "val"}


# --- registered, loaded, changed ---


def test_registering_copies_the_weights_and_loading_gives_the_same_answers(
    workspace: Workspace, checkpoint: Path
) -> None:
    original = Classifier(network_of(1), SPEC.class_names, SPEC.preprocessing)
    record = models.register(workspace, SPEC, checkpoint, [ReferenceImage("/a.png", "pit", "val")])
    checkpoint.unlink()
    loaded = models.load_model(workspace.root, record, "cpu")
    assert torch.equal(logits(loaded), logits(original))
    assert record.model_hash == original.weights_hash
    assert record.weights_path == f"models/{original.weights_hash[:16]}/weights.pt"
    assert (record.parent_hash, record.note) == (None, "")
    assert (record.height, record.width, record.channels, record.mean, record.std) == (
        32,
        32,
        1,
        (0.4,),
        (0.2,),
    )
    assert models.spec_of(record) == SPEC


def test_the_folder_of_a_model_holds_its_weights_and_no_leftovers(
    workspace: Workspace, checkpoint: Path
) -> None:
    record = models.register(workspace, SPEC, checkpoint, [])
    again = models.register(workspace, SPEC, checkpoint, [])
    assert [path.relative_to(workspace.root).as_posix() for path in workspace.root.glob("models/*/*")] == [
        record.weights_path
    ]
    assert again.model_hash == record.model_hash


def changed(workspace: Workspace, record: RegisteredModel) -> str:
    """Move one weight of the registered file a little; the hash of what it holds then."""
    path = workspace.root / record.weights_path
    state = torch.load(path, weights_only=True)
    state["head.bias"][0] += 1e-4
    torch.save(state, path)
    network = network_of(0)
    network.load_state_dict(state)
    return Classifier(network, SPEC.class_names, SPEC.preprocessing).weights_hash


def test_weights_that_were_changed_are_refused(workspace: Workspace, checkpoint: Path) -> None:
    record = models.register(workspace, SPEC, checkpoint, [])
    new_hash = changed(workspace, record)
    with pytest.raises(ModelError) as refused:
        models.load_model(workspace.root, record, "cpu")
    for words in (str(workspace.root / record.weights_path), record.model_hash[:16], new_hash[:16]):
        assert words in str(refused.value)
    assert "register the model again" in str(refused.value)


def test_registering_again_mends_changed_weights(workspace: Workspace, checkpoint: Path) -> None:
    record = models.register(workspace, SPEC, checkpoint, [])
    changed(workspace, record)
    record = models.register(workspace, SPEC, checkpoint, [])
    assert models.load_model(workspace.root, record, "cpu").weights_hash == record.model_hash


def test_damaged_and_missing_weights_are_refused(workspace: Workspace, checkpoint: Path) -> None:
    record = models.register(workspace, SPEC, checkpoint, [])
    path = workspace.root / record.weights_path
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ClassifierError, match="no readable checkpoint"):
        models.load_model(workspace.root, record, "cpu")
    path.unlink()
    with pytest.raises(
        ModelError, match=f"weights of model {record.model_hash[:12]} are gone: no .*register"
    ):
        models.load_model(workspace.root, record, "cpu")


def test_a_candidate_keeps_its_parent_beside_the_deployed_model(
    workspace: Workspace, checkpoint: Path
) -> None:
    deployed = models.register(workspace, SPEC, checkpoint, [])
    candidate = models.keep(
        workspace, network_of(2), SPEC, models.Origin(deployed.model_hash, "recipe of n-1", "line")
    )
    assert (candidate.name, candidate.parent_hash, candidate.note) == (
        "line",
        deployed.model_hash,
        "recipe of n-1",
    )
    assert candidate.model_hash != deployed.model_hash
    answers = [logits(models.load_model(workspace.root, model, "cpu")) for model in (deployed, candidate)]
    assert not torch.equal(answers[0], answers[1])


# --- how right it is on its references ---


def right_one_by_one(plant: Plant, references: list[ReferenceImage]) -> tuple[int, int]:
    classifier = models.load_model(plant.workspace.root, plant.model, "cpu")
    count = 0
    for each in references:
        image = read_image(Path(each.image_path), (32, 32), 1)
        answer = classifier.logits(classifier.prepare(image[None]))[0]
        count += plant.model.class_names[int(answer.argmax())] == each.label
    return count, len(references)


def test_accuracy_on_the_references_by_split(plant: Plant) -> None:
    by_split = {
        split: [each for each in plant.references if each.split == split] for split in ("train", "val")
    }
    assert models.reference_accuracy(plant.workspace, plant.model, plant.references) == {
        split: models.Answered(*right_one_by_one(plant, references), 0)
        for split, references in by_split.items()
    }


def test_the_plant_of_these_tests_is_clearly_better_than_chance(plant: Plant) -> None:
    right, count, _ = models.reference_accuracy(plant.workspace, plant.model, plant.references)["val"]
    assert count >= 20
    assert right / count >= 0.6  # of five classes: chance is 0.2


def test_of_many_references_every_so_many_is_measured(plant: Plant) -> None:
    validation = [each for each in plant.references if each.split == "val"]
    step = len(validation) // 4
    measured = models.reference_accuracy(plant.workspace, plant.model, validation, most=4)
    assert measured == {"val": models.Answered(*right_one_by_one(plant, validation[::step][:4]), 0)}


def test_a_band_that_a_person_would_take_for_a_class_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    spec = replace(SPEC, decision="GOOD = 0.5 < pit < 0.9")
    with pytest.raises(ModelError, match="'good' and 'GOOD'"):
        models.register(workspace, spec, tmp_path / "none.pt", [ReferenceImage("/a.png", "good", "train")])


def test_a_rule_spelt_otherwise_is_the_same_model() -> None:
    first, same, other = (
        Classifier(network_of(1), replace(SPEC, decision=text).rule, SPEC.preprocessing).identity
        for text in ("pit > 0.9", "pit>.90", "pit > 0.8")
    )
    assert first == same != other
