"""Rules of decision: each against the plant's own words, computed one image at a time from probabilities."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch

from fmi_engine.blame import margins
from fmi_engine.classifier import Classifier
from fmi_engine.decision import decide, log_likelihood
from fmi_engine.decision_rule import DecisionRule
from fmi_engine.errors import ClassifierError
from fmi_engine.probe import cut_at
from tests.fmi_engine.tiny import Readout, plain

TWO, THREE = ("good", "defect"), ("good", "scratch", "dent")
Rule = Callable[[Mapping[str, float]], str]


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def furthest(thresholds: Mapping[str, float]) -> Rule:
    def rule(p: Mapping[str, float]) -> str:
        above = {k: logit(p[k]) - logit(t) for k, t in thresholds.items() if p[k] > t}
        return max(above, key=lambda name: above[name]) if above else "good"

    return rule


def most(p: Mapping[str, float], *names: str) -> str:
    return max(names or p, key=lambda name: p[name])


RULES: dict[str, tuple[tuple[str, ...], Rule]] = {
    "defect > 0.2": (TWO, lambda p: "defect" if p["defect"] > 0.2 else "good"),
    "scratch > 0.2, dent > 0.4": (THREE, furthest({"scratch": 0.2, "dent": 0.4})),
    "sigmoid(defect) > 0.3": (TWO, lambda p: "defect" if p["defect"] > 0.3 else "good"),
    "logit(defect) > -1.2": (TWO, lambda p: "defect" if logit(p["defect"]) > -1.2 else "good"),
    "sigmoid(scratch) > .3, sigmoid(dent) > .5": (THREE, furthest({"scratch": 0.3, "dent": 0.5})),
    "NG = scratch + dent": (THREE, lambda p: "good" if most(p) == "good" else "NG"),
    "NG = scratch + dent > 0.3, OK = good": (
        THREE,
        lambda p: "NG" if p["scratch"] + p["dent"] > 0.3 else "OK",
    ),
    "unknown = 0.3 < dent < 0.7": (
        THREE,
        lambda p: "dent" if p["dent"] > 0.7 else "unknown" if p["dent"] > 0.3 else most(p, "good", "scratch"),
    ),
    "unknown = 0.3 < sigmoid(defect) < 0.7": (
        TWO,
        lambda p: "defect" if p["defect"] > 0.7 else "unknown" if p["defect"] > 0.3 else "good",
    ),
    "look = 0.2 < NG < 0.9, NG = scratch + dent": (
        THREE,
        lambda p: "good" if p["good"] > 0.8 else "look" if p["good"] > 0.1 else "NG",
    ),
    "unknown = largest < 0.8": (THREE, lambda p: most(p) if p[most(p)] > 0.8 else "unknown"),
}


@pytest.mark.parametrize("text", RULES)
def test_the_largest_logit_is_what_the_plants_words_say(text: str) -> None:
    described, said = RULES[text]
    rule = DecisionRule.parse(text, described)
    outputs = 3 * torch.randn(1000, len(rule.outputs), generator=torch.Generator().manual_seed(0)).double()
    likely = outputs.softmax(1) if rule.exclusive else outputs.sigmoid()
    found = [rule.names[i] for i in decide(rule, outputs).argmax(1)]
    assert found == [said(dict(zip(rule.outputs, each.tolist(), strict=True))) for each in likely]
    assert set(found) == set(rule.names)


def test_without_a_rule_the_networks_logits_decide_as_they_are() -> None:
    rule, outputs = DecisionRule.parse("  ", THREE), torch.randn(5, 3)
    assert decide(rule, outputs) is outputs
    assert rule == DecisionRule.plain(THREE)
    assert rule.names == rule.classes == rule.outputs == THREE


@pytest.mark.parametrize("text", ["defect > 0.2", "sigmoid(defect) > 0.2"])
def test_margins_are_the_distance_from_the_threshold_in_logits(text: str) -> None:
    expected = [logit(0.2) - logit(p) for p in (0.05, 0.1, 0.19)]
    assert missed_by(text, [0.05, 0.1, 0.19]) == pytest.approx(expected, rel=1e-5)


def test_with_a_band_the_margin_is_as_far_from_one_end_as_from_the_other() -> None:
    expected = [logit(0.2) - logit(p) - (logit(p) - logit(0.6)) for p in (0.05, 0.1)]
    assert missed_by("unknown = 0.2 < defect < 0.6", [0.05, 0.1]) == pytest.approx(expected, rel=1e-5)


def missed_by(text: str, probabilities: list[float]) -> list[float]:
    """The margins of defects of these probabilities that are called good."""
    rule = DecisionRule.parse(text, TWO)
    defect = torch.tensor(probabilities).logit()[:, None]
    outputs = torch.cat([torch.zeros_like(defect), defect], 1) if rule.exclusive else defect
    good = torch.zeros(len(probabilities), dtype=torch.int64)
    found: list[float] = margins(decide(rule, outputs), good, good + 1).tolist()
    return found


def test_no_probability_is_too_near_one_to_be_told_from_its_threshold() -> None:
    rule = DecisionRule.parse("unknown = largest < 0.9999", TWO)
    outputs = torch.tensor([[0.0, 9.0], [0.0, 9.3], [0.0, 40.0], [0.0, 80.0]])
    decided = decide(rule, outputs)
    assert decided.argmax(1).tolist() == [2, 1, 1, 1]
    assert (decided[2:, 1] - decided[2:, 2]).tolist() == pytest.approx(
        [40 - logit(0.9999), 80 - logit(0.9999)]
    )


@pytest.mark.parametrize("text", RULES)
def test_what_is_likely_knows_no_thresholds(text: str) -> None:
    rule = DecisionRule.parse(text, RULES[text][0])
    outputs = torch.randn(50, len(rule.outputs), generator=torch.Generator().manual_seed(1))
    likely = log_likelihood(rule, outputs).exp()
    assert likely.shape == (50, len(rule.classes))
    if rule.exclusive or len(rule.outputs) == 1:
        torch.testing.assert_close(likely.sum(1), torch.ones(50))
    alone = outputs.softmax(1) if rule.exclusive else outputs.sigmoid()
    for name, mine in zip(rule.classes, rule.members, strict=True):
        if rule.exclusive or (len(rule.outputs) == 1 and mine):
            torch.testing.assert_close(likely[:, rule.classes.index(name)], alone[:, list(mine)].sum(1))


def test_of_sigmoids_it_is_likely_that_one_says_yes_and_the_others_no() -> None:
    rule = DecisionRule.parse("sigmoid(scratch) > .3, sigmoid(dent) > .5", THREE)
    p = torch.tensor([[0.2, 0.9]])
    expected = torch.tensor([[0.8 * 0.1, 0.2 * 0.1, 0.8 * 0.9]])
    torch.testing.assert_close(log_likelihood(rule, p.logit()).exp(), expected)


def test_a_label_of_a_group_is_its_class() -> None:
    rule = DecisionRule.parse("NG = scratch + dent > 0.3, OK = good", THREE)
    assert rule.classes == ("OK", "NG")
    assert [rule.class_of(each) for each in ("good", "dent", "NG", "OK", "crack")] == [
        "OK",
        "NG",
        "NG",
        "OK",
        None,
    ]


WRONG = {
    "foo": "'foo' cannot be read",
    "scratch => 0.2": "cannot be read",
    "crack > 0.2": "'crack' is no class",
    "scratch > 1.2": "1.2 is no probability between 0 and 1",
    "scratch > .2, dent > .3, good > .4": "every class has a threshold",
    "dent > .2, dent > .3": "'dent' has two thresholds",
    "NG = scratch + crack": "'crack' is no class",
    "A = scratch + dent, B = dent + good": "'dent' stands in two groups",
    "good = scratch + dent": "name of 'good'",
    "A = dent, dent = scratch": "name of 'dent'",
    "logit(scratch) > 1e999, logit(dent) > 0": "1e999 is no probability",
    "unknown = largest < 0.3": "the largest is never below 0.3",
    "all = good + scratch + dent": "nothing is left to decide",
    "unknown = .7 < dent < .3": "is empty",
    "good = .2 < dent < .3": "the band has the name of the class 'good'",
    "unknown = .2 < dent < .3, scratch > .2": "a band stands alone",
    "sigmoid(dent) > .3": "it leaves good, scratch",
    "sigmoid(dent) > .3, scratch > .2": "a network has one kind",
    "sigmoid(dent) > .3, NG = scratch + good": "groups and 'largest' go by softmax",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_with_a_rule_is_said_with_the_classes_and_examples(text: str) -> None:
    with pytest.raises(ClassifierError) as raised:
        DecisionRule.parse(text, THREE)
    said = str(raised.value)
    assert WRONG[text] in said
    assert f"the decision '{text}'" in said
    assert "good, scratch, dent" in said
    assert '"defect > 0.2"' in said


def test_a_classifier_decides_everywhere_by_its_rule() -> None:
    network = Readout([[1.0], [3.0]], [[1, 0], [0, 1]])
    images = np.array([40, 80], np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    bare = Classifier(network, TWO, plain(2, 1))
    decided = Classifier(network, DecisionRule.parse("defect > 0.7", TWO), plain(2, 1))
    assert bare.predict(images).argmax(1).tolist() == [1, 1]
    assert decided.predict(images).argmax(1).tolist() == [0, 0]
    np.testing.assert_allclose(decided.probabilities(images), bare.predict(images), rtol=1e-6)
    assert decided.weights_hash == bare.weights_hash == bare.identity != decided.identity
    x = decided.prepare(images)
    layer = next(name for name, _ in network.named_children())
    cut = cut_at(decided, layer)
    torch.testing.assert_close(cut.tail(*cut.head(x)), decided(x))


def test_a_network_of_one_output_is_no_network_of_two_classes() -> None:
    one = Readout([[1.0]], [[1.0]])
    assert Classifier(one, DecisionRule.parse("sigmoid(defect) > 0.5", TWO), plain(2, 1)).class_names == TWO
    with pytest.raises(ClassifierError, match="expected one logit for each of the 2 classes"):
        Classifier(one, TWO, plain(2, 1))


@pytest.mark.parametrize("text", ["defect>=.2", " defect ＞ 0.2 ", "defect > 2e-1"])
def test_a_rule_may_be_spelt_otherwise(text: str) -> None:
    assert DecisionRule.parse(text, TWO).thresholds == DecisionRule.parse("defect > 0.2", TWO).thresholds


def test_a_class_name_that_holds_a_sign_is_told_as_the_reason() -> None:
    with pytest.raises(ClassifierError, match=r"\( and \) in a class name is read as a sign"):
        DecisionRule.parse("crack (deep) > 0.2", ("good", "crack (deep)"))
