"""Training on real pixels: what is shown, what is learnt, and what a teacher holds to."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fmi_engine.classifier import Classifier, Preprocessing, build_network, hash_weights
from inspection.inputs.labelled import Labelled
from inspection.models.comparison import right
from inspection.models.training import (
    Augmentation,
    Teacher,
    Training,
    fit,
    forget_unfinished,
    mixed,
    plain_augmentation,
    unfinished_training,
)
from inspection.workspace.files import temporary_name

pytestmark = pytest.mark.numeric

PREPROCESSING = Preprocessing(16, 16, 1, (0.5,), (0.25,))


# --- the images ---


def grey_set(count: int, seed: int = 0) -> Labelled:
    """Dark noise of class 0 and bright noise of class 1, alternating."""
    labels = np.arange(count, dtype=np.int64) % 2
    noise = np.random.default_rng(seed).integers(0, 100, (count, 16, 16, 1))
    return Labelled((noise + 100 * labels[:, None, None, None]).astype(np.uint8), labels)


# --- augmentation ---


def picture() -> NDArray[np.uint8]:
    """Noise of 96 pixels a side, where a shift of 4 % is up to three pixels."""
    return np.random.default_rng(0).integers(0, 256, (96, 96, 1), dtype=np.uint8)


def test_plain_augmentation_is_the_same_for_the_same_seed_epoch_and_index() -> None:
    image = picture()
    first, again = plain_augmentation(3), plain_augmentation(3)
    calls = [(epoch, index) for epoch in range(3) for index in range(8)]
    forward = {call: first(image, *call) for call in calls}
    backward = {call: again(image, *call) for call in reversed(calls)}
    for call in calls:
        np.testing.assert_array_equal(forward[call], backward[call])


def test_plain_augmentation_differs_by_seed_epoch_and_index() -> None:
    image = picture()

    def pictures(seed: int, epoch: int) -> bytes:
        augment = plain_augmentation(seed)
        return b"".join(augment(image, epoch, index).tobytes() for index in range(8))

    assert len({pictures(0, 0), pictures(0, 1), pictures(1, 0)}) == 3
    augment = plain_augmentation(0)
    assert len({augment(image, 0, index).tobytes() for index in range(32)}) > 8


def test_plain_augmentation_flips_and_shifts_and_leaves_some_as_they_are() -> None:
    image = picture()
    before = image.copy()
    augment = plain_augmentation(0)
    pictures = Counter(augment(image, 0, index).tobytes() for index in range(400))
    # Two flips and a shift, each on half of the images: an eighth of 400 for each flip without a shift,
    # and a few shifts of less than half a pixel.
    flips = [image, image[:, ::-1], image[::-1], image[::-1, ::-1]]
    for flipped in flips:
        assert 25 <= pictures[np.ascontiguousarray(flipped).tobytes()] <= 80
    np.testing.assert_array_equal(image, before)


def test_augmented_images_keep_type_and_size() -> None:
    changed = plain_augmentation(0)(picture(), 0, 1)
    assert changed.shape == (96, 96, 1)
    assert changed.dtype == np.uint8


# --- fitting ---


def tiny(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build_network("tests.inspection.tiny_network:tiny_network", 2, 1)


PLAIN = Training(
    epochs=2, learning_rate=0.01, weight_decay=0.01, batch_size=8, seed=0, device=torch.device("cpu")
)


def fitted(
    data: Labelled, network: nn.Module | None = None, counted: list[int] | None = None, **changed: Any
) -> nn.Module:
    """A network trained as above, but for what is given."""
    progress = None if counted is None else counted.append
    return fit(network or tiny(7), PREPROCESSING, data, replace(PLAIN, **changed), progress)


def loss(network: nn.Module, data: Labelled) -> float:
    with torch.no_grad():
        logits = network.eval()(PREPROCESSING(data.images))
    return float(nn.functional.cross_entropy(logits, torch.from_numpy(data.labels)))


@pytest.mark.usefixtures("one_thread")
def test_fitting_lowers_the_loss_and_learns_images_with_their_labels() -> None:
    data, fresh = grey_set(40), grey_set(20, seed=1)
    before = loss(tiny(7), data)
    network = fitted(data, epochs=6, augmentations=(plain_augmentation(0),))
    assert loss(network, data) < 0.5 * before
    classifier = Classifier(network, ("dark", "bright"), PREPROCESSING)
    assert right(classifier, fresh, 8).all()
    swapped = Labelled(fresh.images, 1 - fresh.labels)
    assert not right(classifier, swapped, 8).any()


class EndedError(Exception):
    """The process ends here."""


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("after", [0, 3, 4, 7, 11])
def test_a_training_that_was_ended_goes_on_to_the_same_weights(tmp_path: Path, after: int) -> None:
    """Of 4 epochs of 3 steps: ended before the first was over, at its end, and in the last."""
    data, unfinished = grey_set(24), tmp_path / "unfinished.pt"
    steps: list[int] = []
    changed = replace(PLAIN, epochs=4, augmentations=(plain_augmentation(0),))

    def ends(images: int) -> None:
        steps.append(images)
        if len(steps) > after:
            raise EndedError

    with pytest.raises(EndedError):
        fit(tiny(7), PREPROCESSING, data, changed, ends, unfinished)
    assert unfinished.exists() == (after >= 3)
    told: list[int] = []
    torch.rand(5)  # another process has drawn other numbers
    done = fit(tiny(8 if after >= 3 else 7), PREPROCESSING, data, changed, told.append, unfinished)
    undisturbed = fit(tiny(7), PREPROCESSING, data, changed)
    assert hash_weights(done.state_dict()) == hash_weights(undisturbed.state_dict())
    assert sum(told) == 4 * 24
    assert told[0] == (24 * (after // 3) or 8)  # what was done before counts at once
    again = fit(tiny(9), PREPROCESSING, data, changed, None, unfinished)  # ended before it was kept
    assert hash_weights(again.state_dict()) == hash_weights(undisturbed.state_dict())


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_a_damaged_unfinished_training_begins_anew(tmp_path: Path, content: bytes) -> None:
    data, unfinished = grey_set(24), tmp_path / "unfinished.pt"
    unfinished.write_bytes(content)
    done = fit(tiny(7), PREPROCESSING, data, PLAIN, None, unfinished)
    assert hash_weights(done.state_dict()) == hash_weights(fitted(data).state_dict())


def test_an_unfinished_training_is_taken_up_by_the_same_only(tmp_path: Path) -> None:
    data = grey_set(24)
    mine = unfinished_training(tmp_path, "mode-1", data, PLAIN, ["model", "recipe"])
    mine.touch()
    other = tmp_path / "mode-1-2-0123456789ab.pt"  # of mode 2 of a night whose name begins alike
    other.touch()
    assert unfinished_training(tmp_path, "mode-1", data, PLAIN, ["model", "recipe"]) == mine
    assert mine.exists()
    for changed, data_now, made_of in (
        ({"epochs": 3}, data, ["model", "recipe"]),
        ({"seed": 1}, data, ["model", "recipe"]),
        ({}, grey_set(24, seed=1), ["model", "recipe"]),
        ({}, data, ["model", "another"]),
    ):
        mine.touch()
        found = unfinished_training(tmp_path, "mode-1", data_now, replace(PLAIN, **changed), made_of)  # type: ignore[arg-type]
        assert found != mine
        assert not mine.exists()
    mine.touch()
    (tmp_path / temporary_name(mine.name, "8967d1")).touch()  # a process was killed while it wrote
    forget_unfinished(tmp_path, "mode-1")
    assert list(tmp_path.iterdir()) == [other]


@pytest.mark.usefixtures("one_thread")
def test_the_same_seed_trains_to_the_same_weights() -> None:
    data = grey_set(24)
    weights = [
        hash_weights(fitted(data, seed=seed, augmentations=(plain_augmentation(seed),)).state_dict())
        for seed in (0, 0, 1)
    ]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


@pytest.mark.usefixtures("one_thread")
def test_every_epoch_augments_every_image_once_and_changes_nothing_of_the_set() -> None:
    data = grey_set(16)
    images, labels = data.images.copy(), data.labels.copy()
    seen: list[tuple[int, int]] = []

    def note(image: NDArray[np.uint8], epoch: int, index: int) -> NDArray[np.uint8]:
        np.testing.assert_array_equal(image, images[index])
        seen.append((epoch, index))
        return image

    fitted(data, epochs=3, augmentations=(note, plain_augmentation(0)))
    assert sorted(seen) == [(epoch, index) for epoch in range(3) for index in range(16)]
    assert seen[:16] != sorted(seen[:16])  # shuffled
    np.testing.assert_array_equal(data.images, images)
    np.testing.assert_array_equal(data.labels, labels)


@pytest.mark.usefixtures("one_thread")
def test_augmentations_follow_each_other() -> None:
    order: list[str] = []

    def step(name: str) -> Augmentation:
        def augment(image: NDArray[np.uint8], epoch: int, index: int) -> NDArray[np.uint8]:
            order.append(name)
            return image

        return augment

    fitted(grey_set(8), epochs=1, augmentations=(step("plain"), step("tilt")), changes=(step("recipe"),))
    assert order == ["plain", "tilt", "recipe"] * 8


# --- images as they are, beside the changed ones ---


def blank(image: NDArray[np.uint8], epoch: int, index: int) -> NDArray[np.uint8]:
    return np.zeros_like(image)


def blank_every_other(image: NDArray[np.uint8], epoch: int, index: int) -> NDArray[np.uint8]:
    return image if index % 2 else np.zeros_like(image)


class Watched(nn.Module):
    """Keeps what it is given, and answers as a line through the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 2)
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x)
        answer: torch.Tensor = self.line(x.mean((1, 2, 3))[:, None])
        return answer


@pytest.mark.usefixtures("one_thread")
def test_a_step_shows_every_image_as_it_is_and_those_that_were_touched_changed_too() -> None:
    data, network = grey_set(16), Watched()
    counted: list[int] = []
    fitted(data, epochs=2, changes=(blank_every_other,), network=network, counted=counted)
    assert counted == [8] * 4  # images, not views of them
    for epoch in (network.seen[:2], network.seen[2:]):
        fed = sorted(torch.cat([batch[:8] for batch in epoch]).flatten(1).mean(1).tolist())
        assert fed == pytest.approx(sorted(PREPROCESSING(data.images).flatten(1).mean(1).tolist()))
        changed = torch.cat([batch[8:] for batch in epoch])
        assert len(changed) == 8
        assert (changed == PREPROCESSING(np.zeros_like(data.images[:1]))).all()


@pytest.mark.usefixtures("one_thread")
def test_without_a_change_an_image_is_shown_once() -> None:
    network = Watched()
    fitted(grey_set(16), epochs=1, network=network)
    assert [len(batch) for batch in network.seen] == [8, 8]


@pytest.mark.usefixtures("one_thread")
def test_changed_images_are_learnt_with_the_labels_of_those_they_were_made_of() -> None:
    """Inverted, dark parts are bright ones: only with the right labels are both views learnt."""
    invert: Augmentation = lambda image, epoch, index: image if index % 3 else 255 - image  # noqa: E731
    data, fresh = grey_set(60), grey_set(20, seed=1)
    classifier = Classifier(
        fitted(data, epochs=1, changes=(invert,), unchanged_weight=1e-6),
        ("dark", "bright"),
        PREPROCESSING,
    )
    assert right(classifier, Labelled(255 - fresh.images, fresh.labels), 8).mean() > 0.9


@pytest.mark.usefixtures("one_thread")
def test_the_weight_of_unchanged_images_says_what_they_count_beside_changed_ones() -> None:
    """Every image is shown blanked, too: a step descends the weighted mean of both."""
    data = grey_set(16)
    dark = Labelled(data.images, np.zeros_like(data.labels))

    def gradient(unchanged_weight: float) -> torch.Tensor:
        torch.manual_seed(0)
        network = Watched()
        before = network.line.weight.detach().clone()
        (x, y) = (
            PREPROCESSING(np.concatenate([dark.images, np.zeros_like(dark.images)])),
            torch.zeros(32).long(),
        )
        losses = nn.functional.cross_entropy(network(x), y, reduction="none")
        weights = torch.cat([torch.full((16,), unchanged_weight), torch.ones(16)])
        torch.autograd.backward((losses * weights).sum() / weights.sum())
        expected = network.line.weight.grad
        assert expected is not None
        network.zero_grad()
        caught: list[torch.Tensor] = []
        network.line.weight.register_hook(lambda grad: caught.append(grad.clone()))  # type: ignore[no-untyped-call]
        fitted(
            dark,
            epochs=1,
            batch_size=16,
            changes=(blank,),
            network=network,
            unchanged_weight=unchanged_weight,
        )
        assert not torch.equal(before, network.line.weight)
        torch.testing.assert_close(caught[0], expected)
        return caught[0]

    assert not torch.allclose(gradient(1.0), gradient(3.0))


# --- a teacher ---


def test_the_loss_of_a_teacher_is_the_formula_where_it_is_right() -> None:
    """Written again, one image after the other; the second, which it gets wrong, counts nothing."""
    taught = np.array([[3.0, 1.0, -1.0], [0.5, 2.0, 0.0], [-1.0, 0.0, 4.0]])
    logits = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.5], [2.0, 0.0, 0.5]])
    labels = np.array([0, 0, 2])
    rows = [0, 1, 2, 2]  # the third was changed, too, and learns from the same answer
    expected = []
    for own, row in zip(logits, rows, strict=True):
        p, q = (np.exp(each / 4) / np.exp(each / 4).sum() for each in (taught[row], own))
        right_there = taught[row].argmax() == labels[row]
        expected.append(0.5 * 16 * float((p * np.log(p / q)).sum()) if right_there else 0.0)
    found = Teacher(nn.Identity(), 0.5).losses(
        torch.from_numpy(logits), torch.from_numpy(taught), torch.tensor(rows), torch.from_numpy(labels[rows])
    )
    assert found.tolist() == pytest.approx(expected)
    assert found[1] == 0


@pytest.mark.usefixtures("one_thread")
def test_a_teacher_sees_every_image_as_it_was_before_the_changes() -> None:
    data, teacher = grey_set(16), Watched()
    fitted(data, epochs=1, changes=(blank,), teacher=Teacher(teacher, 1.0))
    fed = sorted(torch.cat(teacher.seen).flatten(1).mean(1).tolist())
    assert fed == pytest.approx(sorted(PREPROCESSING(data.images).flatten(1).mean(1).tolist()))


@pytest.mark.usefixtures("one_thread")
def test_a_teacher_holds_the_network_to_its_answers() -> None:
    """The labels alone would make it surer than the teacher is."""
    data, fresh = grey_set(40), grey_set(20, seed=1)
    unsure = fitted(data, epochs=3)
    free, held = (fitted(data, epochs=12, teacher=each) for each in (None, Teacher(unsure, 5.0)))
    with torch.no_grad():
        before, alone, taught = (net(PREPROCESSING(fresh.images)).diff(dim=1) for net in (unsure, free, held))
    assert (taught - before).abs().mean() < 0.2 * (alone - before).abs().mean()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("images", "expected"),
    [
        pytest.param(17, [8, 8], id="a last batch of one is dropped"),
        pytest.param(5, [5], id="fewer than a batch are one"),
        pytest.param(8, [8], id="a single whole batch"),
    ],
)
def test_the_batches_of_an_epoch(images: int, expected: list[int]) -> None:
    counted: list[int] = []
    fitted(grey_set(images), epochs=1, counted=counted)
    assert counted == expected


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("steps", range(1, 13))
def test_a_training_of_few_steps_ends(steps: int) -> None:
    counted: list[int] = []
    fitted(grey_set(8), epochs=steps, counted=counted)
    assert counted == [8] * steps


@pytest.mark.usefixtures("one_thread")
def test_a_fitted_network_is_frozen() -> None:
    network = fitted(grey_set(8), epochs=1)
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())


# --- logged images among the training images ---


def numbered(labels: list[int], start: int = 0) -> Labelled:
    """Images of one pixel that hold their number."""
    numbers = np.arange(start, start + len(labels), dtype=np.uint8)
    return Labelled(numbers[:, None, None, None], np.array(labels, np.int64))


def test_logged_images_take_the_places_of_their_own_class() -> None:
    train, logged = numbered([0] * 20 + [1] * 10 + [2] * 10), numbered([0, 0, 0, 1], 100)
    found = mixed(train, logged, 0.2, seed=0)
    assert np.bincount(found.labels).tolist() == [20, 10, 10]
    numbers = found.images.ravel().tolist()
    joined = sorted(number for number in numbers if number >= 100)
    assert joined[4:] == [103] * 4  # 8 of 40, of each class as many
    assert set(joined[:4]) == {100, 101, 102}
    kept = [number for number in numbers if number < 100]
    assert len(set(kept)) == 32
    assert [sum(low <= n < high for n in kept) for low, high in ((0, 20), (20, 30), (30, 40))] == [16, 6, 10]
    labels = dict(zip(numbers, found.labels.tolist(), strict=True))
    assert all(label == (train, logged)[n >= 100].labels[n % 100] for n, label in labels.items())


def test_each_class_of_logged_images_fills_as_much_of_the_share() -> None:
    """Nine of ten errors are of one class: drawn as they lie, a new light would mean that class."""
    train, logged = numbered([0] * 40 + [1] * 40), numbered([0] * 18 + [1] * 2, 100)
    found = mixed(train, logged, 0.2, seed=0)
    joined = found.images[found.images >= 100]
    assert np.bincount(found.labels[found.images.ravel() >= 100]).tolist() == [8, 8]
    assert len(np.unique(joined[joined < 118])) == 8  # none twice while others wait
    assert np.bincount(joined)[118:].tolist() == [4, 4]


def test_at_most_half_of_a_class_is_replaced() -> None:
    """A log of one rare class: 12 of 40 would be the share, and there are 6 of it."""
    found = mixed(numbered([0] * 34 + [1] * 6), numbered([1, 1], 100), 0.3, seed=0)
    assert np.bincount(found.labels).tolist() == [34, 6]
    assert sorted(found.images.ravel().tolist())[-3:] == [100, 100, 101] or sorted(
        found.images.ravel().tolist()
    )[-3:] == [100, 101, 101]
    assert (found.images >= 100).sum() == 3


def test_no_logged_image_or_no_share_leaves_the_training_images_alone() -> None:
    train = numbered([0, 1, 1])
    assert mixed(train, numbered([]), 0.5, seed=0) is train
    assert mixed(train, numbered([1], 100), 0.0, seed=0) is train


def test_the_same_seed_mixes_alike() -> None:
    train, logged = numbered([0] * 20 + [1] * 20), numbered([0] * 5 + [1] * 5, 100)
    one, same, other = (mixed(train, logged, 0.2, seed).images.tolist() for seed in (0, 0, 1))
    assert one == same
    assert one != other


def test_a_network_that_answers_with_more_than_logits_is_trained_by_these() -> None:
    torch.manual_seed(0)
    network = build_network("tests.inspection.tiny_network:tiny_telling#logits", 2, 1)
    torch.manual_seed(0)
    plainly = build_network("tests.inspection.tiny_network:tiny_network", 2, 1)
    told, plain = (fitted(grey_set(32), each) for each in (network, plainly))
    of_both = zip(told.parameters(), plain.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in of_both)
