from dataclasses import replace
from math import comb

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fmi_engine.classifier import Classifier
from fmi_engine.errors import EngineError
from fmi_engine.reference import LayerReference, Reference
from fmi_engine.texture import describe, distances
from fmi_engine.trust import TrustRules, check_ablation, fed_back, trust_test
from fmi_engine.types import AblationCheck, Failure, FilterRef, Inversion, Layer, Trust, TrustPart
from fmi_engine.wording import ablation_reason, reasons
from tests.fmi_engine.test_texture import SIDE, random, wave
from tests.fmi_engine.tiny import Readout, deep, hooks, plain, varied

pytestmark = pytest.mark.numeric

RGB = Layer("act", 3, SIDE, SIDE, nonnegative=True)
NORMAL = LayerReference(  # over the classes the mean is 0.4, 0.5, 0.3
    energy=np.array([[0.3, 0.5, 0.2], [0.5, 0.5, 0.4]], np.float32),
    spread=np.ones((2, 3), np.float32),
    sigma=np.array([0.1, 0.2, 0.05], np.float32),
)


def judged(
    inversions: list[Inversion],
    top_share: float = 0.01,
    normal: LayerReference = NORMAL,
    ablation: AblationCheck | None = None,
) -> list[Trust]:
    """The trust test in a network whose three filters are red, green and blue."""
    network = Readout([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], [[1, 0, 0], [0, 1, 0]])
    classifier = Classifier(network, ["a", "b"], plain(SIDE, 3))
    reference = Reference({"act": normal}, np.array([8, 8]))
    trusts = trust_test(classifier, reference, inversions, TrustRules(top_share), ablation)
    assert hooks(network) == 0
    return trusts


def primitive(
    channel: int, colour: tuple[float, float, float], across: int, down: int, seed: int
) -> Inversion:
    """Stripes of one colour, shifted by the seed; their mean is the colour."""
    stripes = np.roll(wave(across, down, contrast=0.1) - 0.5, seed, (1, 2))
    image = np.array(colour, np.float32)[:, None, None] + stripes
    return Inversion(FilterRef("act", channel), source=seed, seed=seed, image=image, residual=0.1 * seed)


RED, GREEN = (0.9, 0.4, 0.3), (0.3, 0.9, 0.2)


def test_pictures_that_drive_their_own_filter_and_agree_are_trusted() -> None:
    inversions = [primitive(0, RED, 8, 0, seed) for seed in range(3)]
    inversions += [primitive(1, GREEN, 0, 4, seed) for seed in range(3)]
    trusts = judged(inversions)
    assert all(trust.trusted for trust in trusts)
    assert [trust.rank for trust in trusts] == [1] * 6
    assert [trust.energy for trust in trusts] == pytest.approx([5] * 3 + [2] * 3, abs=0.02)  # 8-bit rounding
    assert [trust.agreement for trust in trusts] == [1] * 6
    assert [trust.residual for trust in trusts] == pytest.approx([0, 0.1, 0.2] * 2)


def test_a_picture_that_drives_another_filter_fails_by_its_rank() -> None:
    """Filter 2 rises by (0.4 - 0.3) / 0.05 = 2 sigma, filter 0 by 5."""
    wrong = (0.9, 0.4, 0.4)
    inversions = [primitive(2, wrong, 8, 0, seed) for seed in range(2)]
    inversions += [primitive(1, GREEN, 0, 4, seed) for seed in range(2)]
    trusts = judged(inversions)
    assert [trust.trusted for trust in trusts] == [False, False, True, True]
    assert trusts[0].rank == 2
    assert trusts[0].energy == pytest.approx(2, abs=0.05)
    assert trusts[0].agreement == 1
    assert reasons(trusts[0]) == ("fed back, its filter ranks 2 of 3 (needed: 1)",)


def test_a_rank_within_the_top_share_of_the_layer_is_enough() -> None:
    inversions = [primitive(2, (0.9, 0.4, 0.4), 8, 0, seed) for seed in range(2)]
    inversions += [primitive(1, GREEN, 0, 4, seed) for seed in range(2)]
    assert all(trust.trusted for trust in judged(inversions, top_share=0.67))


def test_a_dark_picture_fails_although_its_filter_ranks_first_and_says_why() -> None:
    """Every filter falls below normal, by 1, 2 and 4 sigma: being least low is no sign of a texture."""
    dark = (0.3, 0.1, 0.1)
    inversions = [primitive(0, dark, 8, 0, seed) for seed in range(2)]
    inversions += [primitive(1, GREEN, 0, 4, seed) for seed in range(2)]
    trust = judged(inversions)[0]
    assert trust.rank == 1
    assert trust.energy == pytest.approx(-1, abs=0.02)
    # That it ranks 1 of 3 is no reason.
    assert reasons(trust) == ("fed back, its filter stays at or below its normal energy (-1.0 sigma)",)


def test_pictures_of_one_filter_that_do_not_agree_are_not_trusted() -> None:
    """Of each filter one picture of stripes and one of grain: the other filter's is the more alike."""
    inversions = []
    for channel, colour in ((0, RED), (1, GREEN)):
        stripes = primitive(channel, colour, 8, 0, seed=0)
        grain = stripes.image + 0.2 * (random(1) - random(1).mean())
        inversions += [stripes, replace(stripes, seed=1, image=grain.clip(0, 1))]
    distance = distances(np.stack([describe(each.image) for each in inversions]))
    companion, strangers = [1, 0, 3, 2], [(2, 3), (2, 3), (0, 1), (0, 1)]
    nearer = [
        np.mean([row[j] < row[k] for k in others])
        for row, j, others in zip(distance, companion, strangers, strict=True)
    ]
    by_hand = [np.mean(nearer[:2])] * 2 + [np.mean(nearer[2:])] * 2
    assert max(by_hand) <= 0.5
    trusts = judged(inversions)
    assert [trust.rank for trust in trusts] == [1] * 4
    assert [trust.agreement for trust in trusts] == pytest.approx(by_hand)
    for trust in trusts:
        assert reasons(trust) == (f"its pictures agree by {trust.agreement:.2f} (needed: 0.80)",)


def test_a_picture_without_companions_fails_in_words() -> None:
    alone, *_ = judged([primitive(0, RED, 8, 0, 0), *[primitive(1, GREEN, 0, 4, seed) for seed in range(2)]])
    assert np.isnan(alone.agreement)
    assert alone.rank == 1
    assert reasons(alone) == (
        "it has no second picture of its filter, or none of another, to be compared with",
    )


def test_pure_noise_is_not_trusted() -> None:
    """Grey noise rises by 1, 0 and 4 sigma: filters 0 and 1 fail by rank, filter 2 by agreement."""
    inversions = [
        Inversion(FilterRef("act", seed % 3), seed, seed, random(seed=seed), residual=1.0)
        for seed in range(60)
    ]
    trusts = judged(inversions)
    ranks = [{trust.rank for trust in trusts[channel::3]} for channel in range(3)]
    assert ranks == [{2}, {3}, {1}]
    assert np.mean([trust.agreement for trust in trusts]) == pytest.approx(0.5, abs=0.05)
    assert not any(trust.trusted for trust in trusts)


def both() -> list[Inversion]:
    inversions = [primitive(0, RED, 8, 0, seed) for seed in range(2)]
    return inversions + [primitive(1, GREEN, 0, 4, seed) for seed in range(2)]


def test_a_dead_filter_is_not_trusted_whatever_its_picture_does() -> None:
    spread = np.array([[0.0, 0.2, 0.3], [0.0, 0.1, 0.2]], np.float32)
    trusts = judged(both(), normal=replace(NORMAL, spread=spread))
    assert [reasons(trust) for trust in trusts[:2]] == [
        ("its filter is dead: it answers no reference image",)
    ] * 2
    assert all(trust.trusted for trust in trusts[2:])


def test_where_the_right_answers_do_not_depend_on_the_layer_nothing_is_trusted() -> None:
    loose = AblationCheck(
        "act", images=20, right=9, exchanged=10, p_value=0.7, guessed=3, guess_p_value=0.001
    )
    for trust in judged(both(), ablation=loose):
        assert reasons(trust) == (
            "the network's right answers do not depend on act: 9 of 20 are right, and 10 with the codes of "
            "other images (p = 0.7)",
        )
    firm = AblationCheck(
        "act", images=20, right=18, exchanged=9, p_value=0.002, guessed=6, guess_p_value=1e-6
    )
    assert firm.holds
    assert all(trust.trusted for trust in judged(both(), ablation=firm))


def test_pictures_from_shuffled_and_constant_maps_must_tell_the_filter_too() -> None:
    """Filter 0's controls look like filter 1's pictures: its texture was the layout of the source."""
    controls = [
        replace(primitive(1, GREEN, 0, 4, seed), filter=FilterRef("act", 0), layout="shuffled")
        for seed in range(2)
    ]
    controls += [replace(primitive(1, GREEN, 0, 4, 5), layout="constant")]
    trusts = judged([*both(), *controls])
    assert len(trusts) == 4  # the controls are no primitives
    assert [trust.layout for trust in trusts] == [0, 0, 1, 1]
    assert reasons(trusts[0]) == (
        "its texture is the layout of the source: from shuffled and constant maps it agrees by 0.00 "
        "(needed: 0.80)",
    )
    assert trusts[2].trusted


def test_without_such_controls_the_layout_is_not_judged() -> None:
    assert {trust.layout for trust in judged(both())} == {None}


def test_only_the_filter_whose_controls_were_made_is_judged_by_them() -> None:
    control = replace(primitive(1, GREEN, 0, 4, 7), layout="constant")
    trusts = judged([control, *both()])
    assert [trust.layout for trust in trusts] == [None, None, 1, 1]
    assert all(trust.trusted for trust in trusts)


def test_of_one_filter_alone_the_layout_cannot_be_judged() -> None:
    mine = both()[:2]
    trusts = judged([*mine, replace(mine[0], layout="shuffled", seed=9)])
    assert [trust.layout for trust in trusts] == [None, None]
    for trust in trusts:
        assert reasons(trust) == (
            "it has no second picture of its filter, or none of another, to be compared with",
        )


def test_the_layout_is_the_mean_auroc_of_the_controls_against_the_primitives() -> None:
    """Each control is set against the primitives of its filter and those of the others, in NumPy."""
    controls = [
        replace(primitive(0, RED, 8, 0, 3), layout="shuffled"),
        replace(primitive(0, GREEN, 0, 4, 4), layout="shuffled"),
        replace(primitive(0, (0.6, 0.6, 0.3), 3, 3, 5), layout="constant"),
    ]
    inversions = [*both(), *(primitive(2, (0.5, 0.5, 0.8), 3, 3, seed) for seed in range(2))]
    distance = distances(np.stack([describe(each.image) for each in (*inversions, *controls)]))
    owners = np.array([0, 0, 1, 1, 2, 2])
    scores = []
    for row in distance[6:, :6]:
        pairs = [(mine, other) for mine in row[owners == 0] for other in row[owners != 0]]
        scores.append(np.mean([1.0 if mine < other else 0.5 * (mine == other) for mine, other in pairs]))
    mixed = [inversions[0], controls[0], inversions[1], *inversions[2:4], *controls[1:], *inversions[4:]]
    trusts = judged(mixed)
    assert len(trusts) == 6
    assert [trust.layout for trust in trusts[:2]] == pytest.approx([np.mean(scores)] * 2)
    assert 0 < np.mean(scores) < 1
    assert [trust.layout for trust in trusts[2:]] == [None] * 4


def test_verdicts_come_in_the_order_of_the_primitives_whatever_lies_between() -> None:
    controls = [replace(each, layout="shuffled") for each in both()]
    inversions = [*both(), *controls]
    order = [6, 3, 0, 5, 2, 4, 1, 7]
    trusts = judged([inversions[i] for i in order])
    expected = [inversions[i].residual for i in order if i < 4]
    assert expected == [0.1, 0.0, 0.0, 0.1]
    assert [trust.residual for trust in trusts] == expected
    assert [round(trust.energy) for trust in trusts] == [2, 5, 2, 5]  # green, red, green, red


def test_nothing_to_test_has_no_verdicts() -> None:
    assert judged([]) == []
    assert judged([replace(both()[0], layout="constant")]) == []


def test_all_that_failed_is_said_in_the_order_of_the_parts() -> None:
    """Blue pictures of filter 0, with filter 1's stripes, of a dead filter, in a network at chance."""
    blue = (0.3, 0.5, 0.6)  # -1, 0 and 6 sigma
    inversions = [primitive(0, blue, 8, 0, 0), primitive(0, blue, 0, 4, 1)]
    inversions += [primitive(1, blue, 8, 0, 0), primitive(1, blue, 0, 4, 1)]
    controls = [replace(primitive(0, GREEN, 3, 3, seed), layout="shuffled") for seed in range(2)]
    spread = np.array([[0.0, 0.2, 0.3], [0.0, 0.1, 0.2]], np.float32)
    loose = AblationCheck(
        "act", images=20, right=9, exchanged=10, p_value=0.7, guessed=3, guess_p_value=0.001
    )
    first, *_ = judged([*inversions, *controls], normal=replace(NORMAL, spread=spread), ablation=loose)
    assert first.agreement < 0.8
    assert first.layout is not None
    assert first.layout < 0.8
    assert reasons(first) == (
        "the network's right answers do not depend on act: 9 of 20 are right, and 10 with the codes of "
        "other images (p = 0.7)",
        "its filter is dead: it answers no reference image",
        "fed back, its filter ranks 3 of 3 (needed: 1)",
        "fed back, its filter stays at or below its normal energy (-1.0 sigma)",
        f"its pictures agree by {first.agreement:.2f} (needed: 0.80)",
        "its texture is the layout of the source: from shuffled and constant maps it agrees by "
        f"{first.layout:.2f} (needed: 0.80)",
    )
    assert first.failed == (
        Failure(TrustPart.ABLATION, 0.7, 0.01),
        Failure(TrustPart.ALIVE, 0.0, 1e-3 * float(np.float32(0.2))),  # the layer's median is 0.2
        Failure(TrustPart.RANK, 3, 1),
        Failure(TrustPart.ENERGY, first.energy, 0),
        Failure(TrustPart.AGREEMENT, first.agreement, 0.8),
        Failure(TrustPart.LAYOUT, first.layout, 0.8),
    )
    unjudged = {TrustPart.READABLE, TrustPart.COPY}  # without a jury
    assert {part for part in TrustPart if first.fails(part)} == {*TrustPart} - unjudged
    assert not first.trusted


def test_inversions_of_several_layers_are_refused() -> None:
    elsewhere = replace(both()[0], filter=FilterRef("other", 0))
    with pytest.raises(EngineError, match="inversions of the layers act, other given; expected those of one"):
        judged([*both(), elsewhere])


def test_pictures_are_fed_back_as_8_bit_images_and_measured_in_sigma() -> None:
    """To the nearest of 256 levels: 0.4991 is 127, 0.501 is 128 of 255."""
    levels = np.array([[0.4991, 0.501, 0.25], [1.0, 0.0, 0.3333]], np.float32)
    inversions = [
        Inversion(FilterRef("act", 0), 0, seed, np.tile(level[:, None, None], (1, SIDE, SIDE)), 0.0)
        for seed, level in enumerate(levels)
    ]
    network = Readout([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], [[1, 0, 0], [0, 1, 0]])
    classifier = Classifier(network, ["a", "b"], plain(SIDE, 3))
    for batch_size in (1, 32):
        found = fed_back(
            classifier, "act", Reference({"act": NORMAL}, np.array([8, 8])), inversions, batch_size
        )
        eight_bit = np.array([[127, 128, 64], [255, 0, 85]]) / 255
        assert found == pytest.approx((eight_bit - [0.4, 0.5, 0.3]) / [0.1, 0.2, 0.05], abs=1e-4)


@pytest.mark.parametrize(("least", "trusted"), [(1.0, True), (1.01, False)])
def test_how_much_pictures_must_agree_can_be_said(least: float, trusted: bool) -> None:
    network = Readout([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], [[1, 0, 0], [0, 1, 0]])
    classifier = Classifier(network, ["a", "b"], plain(SIDE, 3))
    reference = Reference({"act": NORMAL}, np.array([8, 8]))
    for trust in trust_test(classifier, reference, both(), TrustRules(agreement=least)):
        assert trust.trusted is trusted


# The ablation check: whether right answers depend on a layer


class Level(nn.Module):
    """Says whether a grey image is bright: one filter, its mean, and a threshold at a half."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        level = self.act(x).mean((1, 2, 3))
        return torch.stack([0.5 - self.slope * level, self.slope * level - 0.5 + 1e-6], 1)


GREY = Layer("act", 1, 4, 4, nonnegative=True)


def labelled(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    labels = np.arange(count) % 2
    images = np.where(labels, 230, 25).astype(np.uint8)[:, None, None, None]
    return np.broadcast_to(images, (count, 4, 4, 1)).copy(), labels.astype(np.int64)


def test_right_answers_depend_on_the_only_layer_and_the_count_is_by_hand() -> None:
    classifier = Classifier(Level(1.0), ["dark", "bright"], plain(4, 1))
    images, labels = labelled(24)
    check = check_ablation(classifier, GREY, (images, labels), batch_size=24)
    order = np.random.default_rng(0).permutation(24)
    mine = labels[order]
    lost = int((mine != np.roll(mine, 1)).sum())  # each is given the code of the one before
    assert (check.images, check.right, check.exchanged) == (24, 24, 24 - lost)
    assert check.p_value == pytest.approx(0.5**lost)  # all that changed were lost
    assert check.guessed == 12
    assert check.guess_p_value == pytest.approx(0.5**24)
    assert check.holds
    assert hooks(classifier.network) == 0


def test_a_network_that_ignores_the_layer_does_not_depend_on_it() -> None:
    classifier = Classifier(Level(0.0), ["dark", "bright"], plain(4, 1))
    check = check_ablation(classifier, GREY, labelled(24))
    assert (check.right, check.exchanged, check.p_value) == (12, 12, 1.0)
    assert not check.holds


def test_right_answers_that_guessing_gives_too_are_none() -> None:
    lucky = AblationCheck(
        "act", images=200, right=120, exchanged=70, p_value=1e-9, guessed=116, guess_p_value=0.31
    )
    assert not lucky.holds
    assert ablation_reason(lucky) == (
        "no right answers depend on act: the network is right on 120 of 200 images, and always answering the "
        "most frequent class on 116 (p = 0.31)"
    )


def mcnemar(lost: int, won: int) -> float:
    """The chance of that many losses or more, were a change as likely a loss as a win."""
    return binomial(lost, lost + won, 0.5)


def binomial(least: int, tries: int, share: float) -> float:
    """The chance of that many or more, each try coming off with a chance of `share`."""
    chances = [comb(tries, k) * share**k * (1 - share) ** (tries - k) for k in range(least, tries + 1)]
    return float(sum(chances))


@pytest.mark.parametrize("batch_size", [3, 5, 32])
def test_losses_and_wins_are_counted_image_by_image_and_tested_by_mcnemar(batch_size: int) -> None:
    """Some labels are wrong, so that another image's code can also turn an answer right."""
    classifier = Classifier(Level(1.0), ["dark", "bright"], plain(4, 1))
    images, labels = labelled(20)
    given = labels.copy()
    given[[0, 3, 7, 12]] = 1 - given[[0, 3, 7, 12]]
    order = np.random.default_rng(3).permutation(20)
    batches = -(-20 // batch_size)
    lost = won = 0
    for i in range(batches):  # the first batches are larger by one where 20 cannot be shared out evenly
        larger = 20 % batches
        begin = i * (20 // batches) + min(i, larger)
        rows = order[begin : begin + 20 // batches + (i < larger)]
        for place, row in enumerate(rows):
            before, after = labels[row] == given[row], labels[rows[place - 1]] == given[row]
            lost += bool(before and not after)
            won += bool(after and not before)
    check = check_ablation(classifier, GREY, (images, given), batch_size, seed=3)
    assert min(lost, won) > 0
    assert (check.layer, check.images, check.right, check.exchanged) == ("act", 20, 16, 16 - lost + won)
    assert check.p_value == pytest.approx(mcnemar(lost, won))
    assert np.bincount(given).tolist() == [10, 10]
    assert check.guessed == 10
    assert check.guess_p_value == pytest.approx(binomial(16, 20, 0.5))
    assert check.holds == (max(mcnemar(lost, won), binomial(16, 20, 0.5)) < 0.01)


@pytest.mark.parametrize(
    ("lost", "holds"), [(6, False), (7, True)], ids=["six of six are 1/64", "seven of seven are 1/128"]
)
def test_seven_losses_and_no_win_are_the_fewest_that_hold(lost: int, holds: bool) -> None:
    assert (
        AblationCheck("act", 10, 10, 10 - lost, mcnemar(lost, 0), guessed=5, guess_p_value=0.001).holds
        is holds
    )


class Reader(nn.Module):
    """Reads the class off the level of a grey image: nine classes, one for each step of 28."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        level = self.act(x).mean((1, 2, 3))
        logits: Tensor = -(level[:, None] - torch.arange(9) * 28 / 255).abs()
        return logits


@pytest.mark.parametrize("batch_size", [2, 4, 8, 9])
def test_no_image_keeps_its_own_code(batch_size: int) -> None:
    """Nine images of nine classes: shared out by eights, the last would meet none but itself."""
    classifier = Classifier(Reader(), [f"class{i}" for i in range(9)], plain(4, 1))
    images = np.broadcast_to((np.arange(9) * 28).astype(np.uint8)[:, None, None, None], (9, 4, 4, 1))
    check = check_ablation(classifier, GREY, (images.copy(), np.arange(9)), batch_size)
    kept = 1 if batch_size == 2 else 0  # in twos one of nine is left over
    assert (check.right, check.exchanged) == (9, kept)
    assert check.p_value == pytest.approx(0.5 ** (9 - kept))
    assert check.holds


def test_an_untrained_network_at_chance_does_not_depend_on_any_layer() -> None:
    """Labels that have nothing to do with the pictures are all that such a network has to go by."""
    classifier, images = deep(8), varied(90, 8, 3, seed=5)
    labels = np.random.default_rng(2).integers(0, 3, 90)
    most = int(max((labels == label).sum() for label in range(3)))
    for name, channels in (("first", 4), ("second", 4), ("third", 6)):
        check = check_ablation(classifier, Layer(name, channels, 8, 8, nonnegative=True), (images, labels))
        assert 15 < check.right < 45
        assert 15 < check.exchanged < 45
        assert check.guessed == most
        assert check.guess_p_value == pytest.approx(binomial(check.right, 90, most / 90))
        assert check.p_value > 0.01
        assert not check.holds
        assert ablation_reason(check) == (
            f"no right answers depend on {name}: the network is right on {check.right} of 90 images, and "
            f"always answering the most frequent class on {most} (p = {check.guess_p_value:.2g})"
        )


def test_a_network_that_is_right_depends_on_the_layers_that_it_goes_by() -> None:
    """The labels are its own answers, as those of a trained network nearly are."""
    classifier, images = deep(8), varied(90, 8, 3, seed=5)
    labels = classifier.predict(images).argmax(1)
    assert np.bincount(labels, minlength=3).tolist() == [54, 33, 3]
    check = check_ablation(classifier, Layer("third", 6, 4, 4, nonnegative=True), (images, labels))
    assert check.right == 90
    assert check.exchanged < 60
    assert check.holds


def test_one_image_alone_has_no_other_to_exchange_its_code_with() -> None:
    classifier = Classifier(Level(1.0), ["dark", "bright"], plain(4, 1))
    check = check_ablation(classifier, GREY, labelled(1))
    assert (check.images, check.right, check.exchanged, check.p_value) == (1, 1, 1, 1.0)
    assert not check.holds
