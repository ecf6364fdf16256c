import numpy as np
import pytest
from numpy.typing import NDArray

from fmi_engine.classifier import Classifier
from fmi_engine.errors import TooFewReferencesError
from fmi_engine.reference import LayerReference, Reference, build_reference, measure_energies, summarise
from fmi_engine.types import FloatArray, Layer
from tests.fmi_engine.tiny import Readout, deep, hooks, noise, plain, unit

pytestmark = pytest.mark.numeric

FILTERS = [[1.0, -1.0, 0.0], [0.0, 1.0, 0.5], [-0.5, 0.0, 1.0], [1.0, 1.0, 1.0]]
HEAD = [[1.0, 0.0, 0.0, 0.1], [0.0, 1.0, 0.0, -0.1]]
ACT = Layer("act", 4, 6, 6, nonnegative=True)


def two_classes() -> Classifier:
    return Classifier(Readout(FILTERS, HEAD), ["scratch", "dent"], plain(6, 3))


def mixed(count: int) -> NDArray[np.uint8]:
    """Noise, every other image reddish, so that both classes are predicted."""
    images = noise(count, 6, 3, seed=3)
    images[::2, ..., 1:] //= 4
    return images


def by_hand(images: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Energies, spreads and predicted classes of `two_classes`, in NumPy."""
    code = np.maximum(np.einsum("fc,nchw->nfhw", np.array(FILTERS), unit(images)), 0)
    energy, spread = code.mean((2, 3)), code.std((2, 3))
    return energy, spread, (energy @ np.array(HEAD).T).argmax(1)


def rows(*values: list[float]) -> FloatArray:
    return np.array(values, np.float32)


def test_energies_spreads_and_logits_are_measured_over_any_batches() -> None:
    images = mixed(7)
    energy, spread, predicted = by_hand(images)
    for batch_size in (1, 3, 32):
        measured, varied, answered = measure_energies(two_classes(), ["act"], images, batch_size)
        assert np.allclose(measured["act"], energy, atol=1e-6)
        assert np.allclose(varied["act"], spread, atol=1e-6)
        assert np.allclose(answered, energy @ np.array(HEAD).T, atol=1e-5)
    assert 0 < predicted.mean() < 1  # both classes are there


def test_several_layers_are_measured_in_one_pass() -> None:
    classifier, images = deep(), noise(3, 8, 3)
    together, _, _ = measure_energies(classifier, ["third", "first"], images)
    for name in ("first", "third"):
        alone, _, _ = measure_energies(classifier, [name], images)
        assert np.array_equal(together[name], alone[name])
    assert hooks(classifier.network) == 0


def test_mean_energy_and_spread_are_those_of_a_class_and_sigma_is_within_classes() -> None:
    energy = rows([1, 10], [3, 10], [2, 20], [8, 24])
    spread = rows([0.1, 1], [0.3, 1], [0.5, 2], [0.7, 4])
    summary = summarise(energy, spread, np.array([0, 0, 1, 1]), classes=2, minimum=2)
    assert summary.energy.tolist() == [[2, 10], [5, 22]]
    assert np.allclose(summary.spread, [[0.2, 1], [0.6, 3]])
    assert np.allclose(
        summary.sigma, [np.sqrt((1 + 9) / 2), np.sqrt((0 + 4) / 2)]
    )  # not the 3 of all at once


def test_a_class_with_too_few_images_takes_the_mean_over_all_images() -> None:
    energy, spread = rows([1], [3], [8]), rows([0.1], [0.3], [0.8])
    summary = summarise(energy, spread, np.array([0, 0, 1]), classes=3, minimum=2)
    assert summary.energy[:, 0].tolist() == [2, 4, 4]
    assert np.allclose(summary.spread[:, 0], [0.2, 0.4, 0.4])
    assert summary.sigma.tolist() == [1]  # of class 0 alone


def test_where_no_class_has_enough_sigma_is_that_of_all_images() -> None:
    summary = summarise(rows([1], [3]), rows([0], [0]), np.array([0, 1]), classes=2, minimum=2)
    assert summary.energy[:, 0].tolist() == [2, 2]
    assert summary.sigma.tolist() == [1]


def test_sigma_does_not_fall_below_a_twentieth_of_the_layers_median() -> None:
    energy = rows([0, 0, 0, 5], [2, 4, 0.02, 5])  # sigmas 1, 2, 0.01 and 0
    summary = summarise(energy, energy, np.array([0, 0]), classes=1, minimum=2)
    assert np.allclose(summary.sigma, [1, 2, 0.05, 0.05])  # the median of those above 0 is 1


def test_a_layer_that_never_varies_has_sigma_one() -> None:
    energy = rows([4, 0], [4, 0])
    assert summarise(energy, energy, np.array([0, 0]), classes=1, minimum=2).sigma.tolist() == [1, 1]


def test_a_shift_is_taken_against_the_true_class_in_sigma() -> None:
    normal = LayerReference(rows([1, 2], [3, 4]), rows([0, 0], [0, 0]), np.array([0.5, 2], np.float32))
    reference = Reference({"act": normal}, np.array([8, 8]))
    shift = reference.standardise("act", rows([2, 2], [2, 2]), np.array([0, 1]))
    assert shift.tolist() == [[2, 0], [-2, -1]]


def test_a_reference_rests_on_the_correct_images_of_all_batches() -> None:
    images = mixed(40)
    energy, spread, predicted = by_hand(images)
    labels = np.where(np.arange(40) % 4 < 1, 1 - predicted, predicted)  # every fourth is misclassified
    done: list[int] = []
    batches = [(images[:15], labels[:15]), (images[15:], labels[15:])]
    reference = build_reference(two_classes(), [ACT], batches, minimum_per_class=4, progress=done.append)
    normal = reference.layers["act"]
    correct = labels == predicted
    for label in (0, 1):
        mine = correct & (labels == label)
        assert np.allclose(normal.energy[label], energy[mine].mean(0), atol=1e-6)
        assert np.allclose(normal.spread[label], spread[mine].mean(0), atol=1e-6)
    variances = [energy[correct & (labels == label)].var(0) for label in (0, 1)]
    assert np.allclose(normal.sigma, np.sqrt(np.mean(variances, 0)), atol=1e-6)
    assert reference.counts.tolist() == [int((correct & (labels == label)).sum()) for label in (0, 1)]
    assert reference.counts.sum() == 30
    assert done == [15, 25]


def test_an_outlier_that_is_misclassified_changes_nothing() -> None:
    images = mixed(20)
    _, _, predicted = by_hand(images)
    without = build_reference(two_classes(), [ACT], [(images, predicted)], 2)
    white = np.full((1, 6, 6, 3), 255, np.uint8)
    wrong = 1 - by_hand(white)[2]
    both = [(np.concatenate([images, white]), np.concatenate([predicted, wrong]))]
    reference = build_reference(two_classes(), [ACT], both, 2)
    assert np.allclose(reference.layers["act"].energy, without.layers["act"].energy, atol=1e-6)
    assert reference.counts.tolist() == without.counts.tolist()


def test_a_class_without_images_is_counted_as_none() -> None:
    images = mixed(30)
    _, _, predicted = by_hand(images)
    mine = images[predicted == 0]
    reference = build_reference(two_classes(), [ACT], [(mine, np.zeros(len(mine), np.int64))], 4)
    assert reference.counts.tolist() == [len(mine), 0]
    assert np.allclose(reference.layers["act"].energy[1], reference.layers["act"].energy[0])


def test_too_few_correct_images_are_refused_with_what_to_check() -> None:
    images = mixed(20)
    _, _, predicted = by_hand(images)
    labels = 1 - predicted
    labels[:7] = predicted[:7]
    with pytest.raises(TooFewReferencesError) as refusal:
        build_reference(two_classes(), [ACT], [(images, labels)], minimum_per_class=8)
    assert str(refusal.value) == (
        "7 reference images are classified correctly; at least 8 are needed. "
        "Check that class names, input size and normalisation are those the model was trained with."
    )
    assert build_reference(two_classes(), [ACT], [(images, labels)], 7).counts.sum() == 7


def test_no_images_at_all_are_refused() -> None:
    with pytest.raises(TooFewReferencesError, match="0 reference images"):
        build_reference(two_classes(), [ACT], [], 8)


# Live filters


def normal_of_spreads(*spreads: list[float]) -> LayerReference:
    """The reference of a layer with these spreads, one row for each class."""
    return LayerReference(np.zeros_like(rows(*spreads)), rows(*spreads), np.ones(len(spreads[0]), np.float32))


def test_a_filter_is_alive_whose_maps_vary_by_a_thousandth_of_the_layers_median() -> None:
    # The median is 2, so 0.002 is the limit, which a live filter exceeds.
    assert normal_of_spreads([2, 4, 0.0019, 0, 2]).live.tolist() == [True, True, False, False, True]
    assert normal_of_spreads([2, 4, 0.0021, 0, 2]).live.tolist() == [True, True, True, False, True]


def test_a_filter_that_answers_one_class_alone_is_alive() -> None:
    # Over the classes the greatest are 3, 1, 0.001: the median is 1, and 0.001 does not exceed 0.001.
    assert normal_of_spreads([3, 0, 0.001], [0, 1, 0]).live.tolist() == [True, True, False]
    # 0.003 exceeds 0.002 although the mean over the classes, 0.0015, does not.
    assert normal_of_spreads([2, 2, 0.003], [2, 2, 0]).live.tolist() == [True, True, True]


def test_where_most_filters_are_dead_the_others_are_alive_and_a_dead_layer_has_none() -> None:
    assert normal_of_spreads([0, 0, 0, 1e-4]).live.tolist() == [False, False, False, True]
    assert normal_of_spreads([0, 0, 0]).live.tolist() == [False] * 3


def test_a_reference_tells_which_filters_of_a_network_are_dead() -> None:
    """A filter of negative weights answers nothing behind a ReLU, one of 0 only the same everywhere."""
    filters = [[1.0, 0.0, 0.0], [-1.0, -1.0, -1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    classifier = Classifier(Readout(filters, HEAD), ["scratch", "dent"], plain(6, 3))
    images = mixed(20)
    labels = classifier.predict(images).argmax(1)
    reference = build_reference(classifier, [ACT], [(images, labels)], 2)
    assert reference.layers["act"].live.tolist() == [True, False, True, False]


def test_a_reference_remembers_which_images_it_rests_on() -> None:
    images = mixed(12)
    _, _, predicted = by_hand(images)
    labels = np.where(np.arange(12) % 3 == 1, 1 - predicted, predicted)
    batches = [(images[:5], labels[:5]), (images[5:], labels[5:])]
    reference = build_reference(two_classes(), [ACT], batches, 2)
    assert reference.correct.tolist() == [i % 3 != 1 for i in range(12)]
    assert reference.correct.sum() == reference.counts.sum() == 8


def test_a_reference_tells_how_sure_the_network_is_of_each_image() -> None:
    images = mixed(12)
    probability, labels = two_classes().predict(images), np.arange(12) % 2
    reference = build_reference(two_classes(), [ACT], [(images[:5], labels[:5]), (images[5:], labels[5:])], 1)
    expected = [row[1 - label] - row[label] for row, label in zip(probability, labels, strict=True)]
    np.testing.assert_allclose(reference.ahead, expected, atol=1e-6)
    assert ((reference.ahead < 0) == reference.correct).all()
