import ast
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from fmi_engine.errors import EngineError
from fmi_engine.presets import PRESETS, Preset, describe_preset, find_preset


@pytest.mark.parametrize(
    ("field", "exist"),
    [
        ("parametrization", "pixels, input, spectrum, plant, phase"),
        ("optimiser", "adam, sgd, lbfgs"),
        ("start", "normal, uniform"),
    ],
)
def test_a_word_that_is_none_is_refused_with_those_that_exist(field: str, exist: str) -> None:
    with pytest.raises(EngineError) as refusal:
        Preset(**{field: "fourier"})  # type: ignore[arg-type]
    assert str(refusal.value) == f"no {field} 'fourier'; these exist: {exist}"
    for word in exist.split(", "):
        assert getattr(Preset(**{field: word}), field) == word  # type: ignore[arg-type]


def test_a_preset_is_found_by_its_name() -> None:
    assert {name: find_preset(name) for name in PRESETS} == PRESETS
    with pytest.raises(EngineError) as refusal:
        find_preset("papers")
    assert str(refusal.value) == "no preset 'papers'; these exist: default, paper, mahendran, texture"


def test_a_preset_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        PRESETS["default"].steps = 3  # type: ignore[misc]


def test_the_papers_preset_is_its_published_run() -> None:
    """ArXiv 1608.04170: SGD at 0.1 with momentum, decay, clip, start, end and denoising as stated there."""
    paper = PRESETS["paper"]
    assert (paper.optimiser, paper.learning_rate, paper.momentum) == ("sgd", 0.1, 0.9)
    assert (paper.decay, paper.decay_every, paper.clip, paper.weight_decay) == (0.9, 10, 10, 5e-4)
    assert (paper.parametrization, paper.start, paper.contrast) == ("input", "uniform", 0.1)
    assert (paper.steps, paper.fine_steps, paper.tolerance, paper.denoise) == (1000, 0, 0.005, 0.2)
    assert paper.average_pooling
    assert (paper.total_variation, paper.alpha_norm, paper.jitter, paper.source_jitter) == (0, 0, 0, 0)
    assert (paper.standardised, paper.target, paper.natural, paper.selectivity) == (False, 1, 0, 0)


def test_mahendrans_preset_has_their_priors_jitter_and_fine_steps() -> None:
    """ArXiv 1412.0035 and IJCV 2016: TV^beta with beta 2, the 6-norm, jitter by a quarter of the stride."""
    theirs = PRESETS["mahendran"]
    assert (theirs.beta, theirs.alpha, theirs.jitter) == (2, 6, 0.25)
    assert (theirs.steps, theirs.fine_steps) == (300, 50)
    assert theirs.total_variation > 0
    assert theirs.alpha_norm > 0
    assert (theirs.tolerance, theirs.denoise, theirs.average_pooling) == (0, 0, False)
    assert (theirs.standardised, theirs.target, theirs.natural, theirs.selectivity) == (False, 1, 0, 0)


def test_the_presets_of_others_differ_from_a_plain_descent_as_they_always_did() -> None:
    assert describe_preset(PRESETS["paper"]) == (
        "parametrization=input loss_scale=100000.0 weight_decay=0.0005 optimiser=sgd steps=1000 momentum=0.9 "
        "decay=0.9 decay_every=10 clip=10.0 start=uniform contrast=0.1 tolerance=0.005 patience=10 "
        "denoise=0.2 average_pooling=True"
    )
    assert describe_preset(PRESETS["mahendran"]) == (
        "parametrization=input total_variation=1.0 alpha_norm=0.0001 jitter=0.25 steps=300 "
        "learning_rate=0.05 fine_steps=50"
    )


def test_the_default_preset_weighs_naturalness_most_and_asks_for_a_lead() -> None:
    ours = PRESETS["default"]
    assert ours.natural >= ours.selectivity > ours.target > 0
    assert ours.lead > 0
    assert ours.standardised
    assert (ours.parametrization, ours.optimiser, ours.average_pooling) == ("spectrum", "adam", False)


def test_a_description_names_what_differs_from_a_plain_descent() -> None:
    assert describe_preset(Preset()) == "plain"
    changed = Preset(steps=7, optimiser="sgd", momentum=0.5, average_pooling=True)
    assert describe_preset(changed) == "optimiser=sgd steps=7 momentum=0.5 average_pooling=True"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_made_again_from_its_description(name: str) -> None:
    words = {field.name for field in fields(Preset) if field.type in (str, "str")}
    said = dict(word.split("=") for word in describe_preset(PRESETS[name]).split())
    again: dict[str, Any] = {
        key: value if key in words else ast.literal_eval(value) for key, value in said.items()
    }
    assert Preset(**again) == PRESETS[name]
