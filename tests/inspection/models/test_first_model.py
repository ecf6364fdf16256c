"""A first model: what is planned from labelled images, and a real training of a small one."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fmi_engine.classifier import Classifier, hash_weights
from inspection.errors import ModelError
from inspection.findings import ReferenceImage
from inspection.inputs.image_sets import LabelledImage, read_image_set
from inspection.inputs.images import write_image
from inspection.models import first_model
from inspection.models.comparison import right
from inspection.models.first_model import FirstModelRequest, TrainingPlan
from inspection.models.registry import ModelSpec, reference_images
from inspection.workspace.settings import Settings, TrainingSettings

TINY = "tests.inspection.tiny_network:tiny_network"
SETTINGS = Settings(
    training=TrainingSettings(architecture=TINY, input_size=16, epochs=3, learning_rate=0.01, batch_size=8)
)
Image = NDArray[np.uint8]


def level(value: int, shape: tuple[int, ...] = (16, 16, 1)) -> Image:
    return np.full(shape, value, np.uint8)


def drawn(folder: Path, images: dict[str, Image]) -> Path:
    for name, image in images.items():
        write_image(folder / f"{name}.png", image)
    return folder


def dark_and_bright(folder: Path, count: int = 20) -> Path:
    """Noise around 60 and around 180, in folders by class."""
    rng = np.random.default_rng(0)
    return drawn(
        folder,
        {
            f"{name}/{i:02d}": np.clip(rng.normal(mean, 20, (16, 16, 1)), 0, 255).astype(np.uint8)
            for name, mean in (("dark", 60), ("bright", 180))
            for i in range(count)
        },
    )


def planned(
    folder: Path,
    good: tuple[str, ...] = (),
    architecture: str = "",
    size: tuple[int, int] | None = None,
    channels: int = 0,
    epochs: int = 0,
) -> TrainingPlan:
    request = FirstModelRequest(good, architecture, size, channels, epochs)
    return first_model.plan_training(SETTINGS, read_image_set(folder), request)


# --- the plan ---


def test_what_is_not_given_is_taken_from_the_settings(tmp_path: Path) -> None:
    plan = planned(dark_and_bright(tmp_path), ("bright",))
    assert (plan.architecture, plan.height, plan.width, plan.epochs) == (TINY, 16, 16, 3)
    assert (plan.class_names, plan.good_classes) == (("bright", "dark"), ("bright",))


def test_what_is_given_wins(tmp_path: Path) -> None:
    plan = planned(dark_and_bright(tmp_path), architecture="resnet18", size=(24, 40), channels=3, epochs=9)
    assert (plan.architecture, plan.height, plan.width, plan.channels, plan.epochs) == (
        "resnet18",
        24,
        40,
        3,
        9,
    )


def test_splits_are_respected_and_test_images_are_left_out(tmp_path: Path) -> None:
    names = ["train/good/a", "train/pit/b", "train/pit/c", "val/good/d", "test/good/e", "test/pit/f"]
    plan = planned(drawn(tmp_path, {name: level(9) for name in names}))

    def image(name: str, split: str) -> ReferenceImage:
        path = tmp_path / f"{name}.png"
        return ReferenceImage(str(path), path.parent.name, split)

    assert plan.train == [image(name, "train") for name in names[:3]]
    assert plan.validation == [image(names[3], "val")]
    assert plan.references == [*plan.train, *plan.validation]


def test_without_splits_they_are_drawn_as_at_registration(tmp_path: Path) -> None:
    folder = dark_and_bright(tmp_path)
    plan = planned(folder)
    assert plan.references == reference_images(read_image_set(folder))
    assert len(plan.train) + len(plan.validation) == 40
    assert plan.validation


def test_a_class_without_a_training_image_is_named(tmp_path: Path) -> None:
    names = ["train/good/a", "train/pit/b", "val/rust/c", "test/burr/d", "val/good/e"]
    with pytest.raises(ModelError, match=r"no training image of class burr, rust; .*train split"):
        planned(drawn(tmp_path, {name: level(9) for name in names}))


@pytest.mark.parametrize(
    ("good", "words"), [(("fine",), "good classes fine"), (("dark", "fine", "ok"), "good classes fine, ok")]
)
def test_an_unknown_good_class_is_refused(tmp_path: Path, good: tuple[str, ...], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        planned(dark_and_bright(tmp_path, 2), good)


def test_one_class_is_no_task(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="only good"):
        planned(drawn(tmp_path, {"good/a": level(9), "good/b": level(9)}))


# --- grey or colour ---


def coloured(image: Image) -> Image:
    """The same image with one pixel a grey level off in blue."""
    changed = np.repeat(image, 3, axis=2)
    changed[3, 5, 2] += 1
    return changed


@pytest.mark.parametrize(
    ("odd", "channels"),
    [
        pytest.param(level(9), 1, id="grey files"),
        pytest.param(level(9, (16, 16, 3)), 1, id="a colour file that shows grey"),
        pytest.param(coloured(level(9)), 3, id="one pixel in colour"),
    ],
)
def test_a_set_is_grey_where_every_image_looked_at_is(tmp_path: Path, odd: Image, channels: int) -> None:
    images = {f"train/{name}/{i}": level(9, (64, 64, 1)) for name in ("good", "pit") for i in range(4)}
    # The looking happens at 64 x 64 pixels, where a 64-pixel image keeps its pixels.
    odd = np.repeat(np.repeat(odd, 4, axis=0), 4, axis=1)
    assert planned(drawn(tmp_path, {**images, "train/pit/3": odd})).channels == channels


def test_of_many_images_sixteen_or_more_are_looked_at_all_over_the_set(tmp_path: Path) -> None:
    images = {f"train/{'good' if i < 20 else 'pit'}/{i:02d}": level(9, (64, 64, 1)) for i in range(40)}
    colour = np.repeat(np.arange(64, dtype=np.uint8)[:, None, None], 64, axis=1) * np.array(
        [1, 2, 3], np.uint8
    )
    looked_at = {
        name: colour if i % 2 == 0 and i > 30 else image for i, (name, image) in enumerate(images.items())
    }
    assert planned(drawn(tmp_path / "a", images)).channels == 1
    assert planned(drawn(tmp_path / "b", looked_at)).channels == 3


# --- decoded and trained ---


def test_the_images_are_decoded_with_their_class_indices(tmp_path: Path) -> None:
    folder = drawn(
        tmp_path,
        {
            "train/pit/a": level(10, (8, 8, 1)),
            "train/good/b": level(20, (40, 24, 1)),
            "val/pit/c": level(30),
            "test/pit/d": level(40),
        },
    )
    counted: list[int] = []
    train, validation = first_model.load_splits(planned(folder), counted.append)
    np.testing.assert_array_equal(train.images, np.stack([level(20), level(10)]))  # good before pit
    assert train.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(validation.images, level(30)[None])
    assert validation.labels.tolist() == [1]
    assert sum(counted) == 3


@pytest.mark.usefixtures("one_thread")
def test_a_model_is_trained_and_described(tmp_path: Path) -> None:
    plan = planned(dark_and_bright(tmp_path), ("bright",), epochs=6)
    data = first_model.load_splits(plan)
    counted: list[int] = []
    network, spec = first_model.train(SETTINGS, plan, data, counted.append)
    pixels = np.concatenate([image.reshape(-1) for image in data[0].images]).astype(float) / 255
    assert spec.preprocessing.mean == pytest.approx((pixels.sum() / pixels.size,))
    assert spec.preprocessing.std == pytest.approx((float(np.sqrt(((pixels - pixels.mean()) ** 2).mean())),))
    assert spec == ModelSpec(TINY, ("bright", "dark"), ("bright",), spec.preprocessing)
    classifier = Classifier(network, spec.class_names, spec.preprocessing)
    assert right(classifier, data[1], 8).all()
    steps = len(plan.train) // 8  # the last, smaller batch of an epoch is left out
    assert counted == [8] * steps * 6


@pytest.mark.usefixtures("one_thread")
def test_each_colour_has_its_own_mean_and_spread(tmp_path: Path) -> None:
    rgb = level(0, (16, 16, 3))
    rgb[:8] = (255, 100, 0)
    rgb[8:] = (0, 100, 51)
    plan = planned(drawn(tmp_path, {"train/good/a": rgb, "train/pit/b": rgb}), epochs=1)
    _, spec = first_model.train(SETTINGS, plan, first_model.load_splits(plan))
    assert spec.preprocessing.mean == pytest.approx((0.5, 100 / 255, 0.1))
    # Half of the rows 1 and half 0; no spread, where a thousandth stands in; half 0.2, half 0.
    assert spec.preprocessing.std == pytest.approx((0.5, 0.001, 0.1))


@pytest.mark.usefixtures("one_thread")
def test_the_same_seed_trains_the_same_model(tmp_path: Path) -> None:
    plan = planned(dark_and_bright(tmp_path))
    data = first_model.load_splits(plan)
    other = SETTINGS.model_copy(update={"compute": SETTINGS.compute.model_copy(update={"seed": 1})})
    hashes = [
        hash_weights(first_model.train(settings, plan, data)[0].state_dict())
        for settings in (SETTINGS, SETTINGS, other)
    ]
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def test_an_image_of_no_split_that_is_asked_for_is_not_trained_on(tmp_path: Path) -> None:
    images = [
        LabelledImage(drawn(tmp_path, {f"{i}": level(9)}) / f"{i}.png", label, split)
        for i, (label, split) in enumerate(
            [("good", "train"), ("pit", "train"), ("good", "holdout"), ("pit", "val")]
        )
    ]
    plan = first_model.plan_training(SETTINGS, images, FirstModelRequest(channels=1, epochs=1))
    assert [Path(each.image_path).stem for each in plan.references] == ["0", "1", "3"]
