"""Plants that do not decide by the largest logit: from the log over the night and the retraining to the gate.

All on the rendered line, whose lamp has lost a tenth of its light. What a plant's rule says is computed here
from the network's bare outputs, one image at a time.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from fmi_engine.checkpoint import load_checkpoint
from fmi_engine.classifier import Preprocessing, build_network, freeze
from fmi_engine.decision_rule import DecisionRule
from inspection.evidence import blame
from inspection.evidence.case import Case
from inspection.evidence.reproduced import error_kind, reproduce_errors
from inspection.evidence.subject import open_subject
from inspection.findings import HOLDOUT, Arm, FailureMode, Night, ReferenceImage, RegisteredModel
from inspection.inputs.defect_log import DefectLog, write_defect_log
from inspection.inputs.image_sets import LabelledImage
from inspection.inputs.labelled import Labelled, load_images
from inspection.inputs.sample_line import SampleLine, write_images
from inspection.models import registry as models
from inspection.models.scoring import score
from inspection.models.training import Training, fit, plain_augmentation
from inspection.nights import night as nights
from inspection.retraining.arms import Workshop
from inspection.retraining.material import RetrainingRequest, gather_material
from inspection.retraining.retrain import Done, retrain
from tests.inspection.conftest import DIMMED, SIZE, WEIGHTS, Plant, responses_of
from tests.inspection.retraining.conftest import Steps

pytestmark = [pytest.mark.numeric, pytest.mark.slow]

TINY = "tests.inspection.tiny_network:tiny_network"
STEPS = "training.batch_size = 32\ntraining.fine_tune_steps = 120"
Said = Callable[[Mapping[str, float]], str]  # of an image's probabilities, by output: the decision


def most(p: Mapping[str, float], but: str = "") -> str:
    return max((name for name in p if name != but), key=lambda name: p[name])


def odds(p: float) -> float:
    return p / (1 - p) if p < 1 else math.inf


def by_class(p: Mapping[str, float]) -> str:
    above = {name: odds(p[name]) / odds(t) for name, t in {"pit": 0.7, "dent": 0.1}.items() if p[name] > t}
    rest = {name: p[name] for name in p if name not in ("pit", "dent")}
    return most(above) if above else most(rest)


def in_doubt(p: Mapping[str, float]) -> str:
    return "pit" if p["pit"] > 0.9 else "unknown" if p["pit"] > 0.3 else most(p, but="pit")


RULES: dict[str, Said] = {
    "pit > 0.2": lambda p: "pit" if p["pit"] > 0.2 else most(p, but="pit"),
    "pit > 0.7, dent > 0.1": by_class,
    "NG = dent + pit + scratch + stain > 0.9, OK = good": lambda p: "NG" if 1 - p["good"] > 0.9 else "OK",
    "unknown = 0.3 < pit < 0.9": in_doubt,
    "sigmoid(NG) > 0.6": lambda p: "NG" if p["NG"] > 0.6 else "good",
}


@dataclass(frozen=True)
class Line:
    """A plant with a model that decides by a rule, its night and one retraining."""

    plant: Plant
    said: Said
    log: DefectLog
    night: Night
    done: Done

    @property
    def rule(self) -> DecisionRule:
        return self.plant.model.rule

    def answers(self, model: RegisteredModel, paths: Sequence[Path]) -> list[str]:
        """What the plant decides of images, from the bare outputs of a model's weights."""
        network = build_network(TINY, len(self.rule.outputs), 1)
        load_checkpoint(network, self.plant.workspace.root / model.weights_path)
        classifier = models.load_model(self.plant.workspace.root, self.plant.model, "cpu")
        with torch.no_grad():
            outputs = freeze(network)(classifier.preprocessing(load_images(paths, classifier.preprocessing)))
        likely = outputs.double().softmax(1) if self.rule.exclusive else outputs.double().sigmoid()
        return [self.said(dict(zip(self.rule.outputs, each.tolist(), strict=True))) for each in likely]


@pytest.fixture(scope="module")
def dimmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of the line under its lamp as it is now: of the log, and others."""
    images, line = tmp_path_factory.mktemp("dimmed"), SampleLine(finish="brushed", size=SIZE)
    write_images(line.aged(0.9), images / "aged", per_class=24, seed=2)
    write_images(line.aged(0.9), images / "unseen", per_class=24, seed=3)
    return images


@pytest.fixture(scope="module", params=RULES)
def line(
    request: pytest.FixtureRequest, plant: Plant, dimmed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Line:
    text = cast(str, request.param)
    folder = tmp_path_factory.mktemp("decisions")
    mine = decided(replace(plant.copied(folder / "workspace", STEPS), images=dimmed), text, folder)
    seen = score(mine.workspace, mine.model, as_labelled(mine, "aged"))
    write_defect_log(mine.log, seen)
    site = nights.open_site(mine.workspace.root)
    night = nights.begin(site, mine.log, mine.model.model_hash, None, again=False)
    log = nights.read_log(site, night, None)
    night = nights.finish(site, night, found(mine, night, log, folder))
    asked = RetrainingRequest((night.night_id,), as_labelled(mine, "unseen"), Arm.LOGGED)
    workshop = Workshop.opened(mine.workspace, gather_material(mine.workspace, mine.store, asked))
    return Line(mine, RULES[text], log, night, retrain(workshop, "a run", Steps()))


def decided(mine: Plant, text: str, folder: Path) -> Plant:
    """The plant with a model that decides so: its own one, or one of a single output that is trained here."""
    given = DecisionRule.parse(text, ("good", "NG") if "sigmoid" in text else mine.model.class_names)
    own = models.spec_of(mine.model)
    good = tuple(name for name in given.classes if given.class_of("good") == name)
    spec = models.ModelSpec(TINY, given.described, good, own.preprocessing, own.bit_depth, text)
    references = [
        ReferenceImage(each.image_path, as_told(given, each.label), each.split) for each in mine.references
    ]
    network = build_network(TINY, len(given.outputs), 1)
    if given.exclusive:
        load_checkpoint(network, WEIGHTS)
    else:
        fit(network, own.preprocessing, data_of(references, given, own.preprocessing), commissioning(given))
    record = mine.store.add_model(models.keep(mine.workspace, freeze(network), spec), references)
    return Plant(mine.workspace, mine.images, folder / "log.csv", record, references)


def as_told(rule: DecisionRule, label: str) -> str:
    """An image's class as the plant with this rule has it in its folders."""
    return rule.class_of(label) or "NG"


def as_labelled(mine: Plant, name: str) -> list[LabelledImage]:
    return [LabelledImage(i.path, as_told(mine.model.rule, i.label), i.split) for i in mine.labelled(name)]


def data_of(images: Sequence[ReferenceImage], rule: DecisionRule, how: Preprocessing) -> Labelled:
    labels = np.array([rule.classes.index(each.label) for each in images], np.int64)
    return Labelled(load_images([Path(each.image_path) for each in images], how), labels)


def commissioning(rule: DecisionRule) -> Training:
    augmentations = (plain_augmentation(0),)
    return Training(30, 0.03, 1e-4, 16, 0, torch.device("cpu"), augmentations, rule=rule)


def found(mine: Plant, night: Night, log: DefectLog, folder: Path) -> nights.Results:
    """One failure mode of all errors, with blame and no diagnosis of its own."""
    subject = open_subject(mine.workspace, mine.model, mine.references)
    errors = reproduce_errors(subject, night.night_id, log)
    responses = responses_of(mine, folder / "responses", "dimmer lamp")
    case = Case(subject, responses, blame.screen(subject, errors.images, errors.true), errors.images)
    rates = nights.best_first([blame.verify(case, each) for each in blame.probe_layers(case)])
    mode = FailureMode(nights.mode_id(night.night_id, 1), "", errors.errors, tuple(rates), (), DIMMED, None)
    return nights.Results(
        len(log.rows), len(errors.errors), errors.set_aside, (nights.complete(mode),), right=log.right
    )


def test_the_log_holds_what_the_plants_words_decide(line: Line) -> None:
    paths = [each.path for each in line.plant.labelled("aged")]
    said = dict(zip(map(str, paths), line.answers(line.plant.model, paths), strict=True))
    rows = {str(row.image_path): row.predicted_label for row in (*line.log.rows, *line.log.right)}
    assert rows == {path: name for path, name in said.items() if name != "unknown"}
    left = [each for each in line.night.set_aside if each.reason == "undecided"]
    assert {each.image_path for each in left} == {path for path, name in said.items() if name == "unknown"}
    assert bool(left) == bool(line.rule.band)


def test_the_night_works_on_the_errors_of_the_rule(line: Line) -> None:
    errors = line.night.modes[0].errors
    assert len(errors) == len(line.log.rows) > 10
    assert not [each for each in line.night.set_aside if each.reason == "not_reproduced"]
    assert all(each.margin > 0 for each in errors)
    assert {each.true_label for each in errors} <= {*line.rule.classes}
    for each in errors:
        expected = error_kind(each.true_label, each.predicted_label, line.plant.model.good_classes)
        assert each.kind is expected


def test_the_gate_counts_by_the_rule_before_and_after(line: Line) -> None:
    candidate = cast(RegisteredModel, line.done.candidate)
    judged = next(each for each in line.done.retraining.accuracies if each.name == HOLDOUT)
    unseen = as_labelled(line.plant, "unseen")
    true, good = [each.label for each in unseen], line.plant.model.good_classes
    for model, right, escapes, overkills in zip(
        (line.plant.model, candidate),
        (judged.before, judged.after),
        cast(tuple[int, int], judged.escapes),
        cast(tuple[int, int], judged.overkills),
        strict=True,
    ):
        pairs = list(zip(true, line.answers(model, [each.path for each in unseen]), strict=True))
        assert right == sum(one == other for one, other in pairs)
        assert escapes == sum(one not in good and other in good for one, other in pairs)
        assert overkills == sum(
            one in good and other not in good and other != "unknown" for one, other in pairs
        )
    assert judged.after > judged.before


def test_the_candidate_decides_as_the_deployed_model_does(line: Line) -> None:
    candidate, deployed = cast(RegisteredModel, line.done.candidate), line.plant.model
    assert (candidate.rule, candidate.good_classes) == (deployed.rule, deployed.good_classes)
    loaded = models.load_model(line.plant.workspace.root, candidate, "cpu")
    assert loaded.identity == candidate.model_hash != loaded.weights_hash
    words = {each.after for each in line.done.pictures if each.images_of == HOLDOUT}
    assert words <= {*line.rule.names}
