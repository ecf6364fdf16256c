r"""Measure the night on a change that the world made: a model of one condition meets another.

    python -m tests.benchmarks.natural --images TABLE --domain COLUMN --from VALUE --to VALUE --json OUT
    python -m tests.benchmarks.natural --images ../parts/manifest.csv --domain lighting --from ring \
        --to dome --json lighting.json --seeds 1 --stop-after diagnosis

TABLE names images, labels and splits, as `fmi train` takes it, and COLUMN tells the conditions apart: light,
station, camera, product, lot. The model is trained under the values of --from (split train; val validates).
What it gets wrong under those of --to (splits train and val) is the log of a night, which is diagnosed as
every night is. Then the model is retrained in several ways, the arms, all with as many steps, and each is
judged on the test split of both conditions, which nobody trained on and no log holds:

  before         the model as it is
  nothing        further training on its own images
  generic        flips, brightness, contrast, blur and noise: what one puts in who does not know the cause
  logged_10 ...  10, 35 or all errors of the log among the training images, with their labels
  recipe         the recipes of the night's claims; without a claim the same as nothing
  recipe_logged  both; without a claim the same as logged_all
  forced         the recipes of the three operations nearest to the largest failure mode, one by one
  ceiling        every image of the line under the new condition among the training images

A claim is right where its recipe alone makes significantly more of the unseen images right than generic
augmentation (exact McNemar test within the claim's own seed), or where none of the forced ones does better.
Beside it stands whether the gate of `fmi retrain` accepts that candidate, by log and validation images.

Read `drop` first: where the model is as accurate under the new condition, there was nothing to repair. Every
night's folder (`nights`, `folder`) holds the diagnosis, the recipes, and for each failure mode a picture with
errors, the reference images most like them, and these under the claimed or nearest cause. Trainings are kept
in the cache folder until the code of training or of an operation changes, whatever diagnosis asked for them;
nights until any code changes. A stopped run goes on.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from inspection.console import Console, Table
from inspection.findings import CLEAN, LOGGED, Decision
from inspection.inputs.image_sets import class_names
from inspection.models.comparison import Judged
from inspection.models.first_model import FirstModelRequest
from inspection.nights.phrases import check_in_words
from inspection.retraining.gate import Gate, decide
from tests.benchmarks.kept import Kept, Result, bar, code, exit_code, without_nan
from tests.benchmarks.natural import scores
from tests.benchmarks.natural.arms import (
    ARMS,
    Answers,
    Arm,
    answers_of,
    arms_of,
    judging,
    kept_at,
    read_answers,
    trained,
    training_code,
)
from tests.benchmarks.natural.conditions import Question, read_conditions
from tests.benchmarks.natural.night import Shift, diagnosed, open_shift

console = Console(stderr=True)
STAGES = ("diagnosis", "retraining")
GOOD = "good"
NO_DROP = "no real drop: nothing to repair"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return exit_code("natural", _options(arguments), _run, _show, console)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.natural",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--images", type=Path, required=True, help="the table, or a folder that holds manifest.csv"
    )
    parser.add_argument("--domain", required=True, help="the column that tells the conditions apart")
    parser.add_argument("--from", dest="old", nargs="+", required=True, help="its values to train under")
    parser.add_argument("--to", dest="new", nargs="+", required=True, help="its values to be tried under")
    parser.add_argument("--json", type=Path, required=True, help="where to write the answer")
    parser.add_argument(
        "--good", nargs="+", help=f"its classes without a defect; default: {GOOD}, where there is one"
    )
    parser.add_argument("--where", help="an SQL condition on the table's columns that all images meet")
    parser.add_argument("--stop-after", choices=STAGES, default="retraining", help="default: retraining")
    parser.add_argument("--seeds", type=int, default=3, help="models, each with its night; default: 3")
    parser.add_argument("--size", type=int, default=96, help="pixels; default: 96")
    parser.add_argument("--epochs", type=int, default=20, help="of the first model; default: 20")
    parser.add_argument(
        "--steps", type=int, default=250, help="of every arm, at least (whole epochs); default: 250"
    )
    parser.add_argument("--architecture", default="", help="as `fmi train` takes it; default: its own")
    parser.add_argument("--processes", type=int, default=1, help="nights or trainings at once; default: 1")
    parser.add_argument("--cache", type=Path, help="default: natural-cache beside --json")
    options = parser.parse_args(arguments)
    for name in ("seeds", "size", "epochs", "steps", "processes"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} is {getattr(options, name)}; expected 1 or more")
    options.cache = (options.cache or options.json.absolute().parent / "natural-cache").absolute()
    options.nights = options.cache / f"nights-{code()}"  # once: a run's code is that of its start
    options.trainings = options.cache / f"trainings-{training_code()}"
    return options


def _question(options: argparse.Namespace) -> Question:
    return Question(options.images, options.domain, tuple(options.old), tuple(options.new), options.where)


# --- the run ---


def _run(options: argparse.Namespace) -> Result:
    started = time.perf_counter()
    read_conditions(_question(options))  # what is wrong with the question is told before anything is trained
    seeds = range(options.seeds)
    with bar(console, "Training and diagnosing", options.seeds) as advance:
        _spread(options, _night, [(seed,) for seed in seeds], advance)
    if options.stop_after == "retraining":
        jobs = [(seed, name) for seed in seeds for name in _open(options, seed).left()]
        with bar(console, "Retraining", len(jobs)) as advance:
            _spread(options, _train, jobs, advance)
    return _answer(options, [_open(options, seed) for seed in seeds], time.perf_counter() - started)


def _spread(
    options: argparse.Namespace,
    job: Callable[..., None],
    each: Sequence[tuple[Any, ...]],
    advance: Callable[[int], None],
) -> None:
    """Do a job for each of several arguments, in as many processes as were asked for."""
    if options.processes == 1 or len(each) < 2:
        for arguments in each:
            job(options, *arguments)
            advance(1)
        return
    parallel = joblib.Parallel(options.processes, return_as="generator_unordered", batch_size=1)
    for _ in parallel(joblib.delayed(job)(options, *arguments) for arguments in each):
        advance(1)


def _night(options: argparse.Namespace, seed: int) -> None:
    work = _open(options, seed)
    console.print(f"seed {seed}: the model is there; diagnosing what it gets wrong")
    work.night()


def _train(options: argparse.Namespace, seed: int, name: str) -> None:
    work = _open(options, seed)
    trained(work.shift, work.arms()[name], options.steps, options.trainings)


_OPENED: dict[str, "_Work"] = {}  # of this process; the last seed only


class _Work:
    """A seed: its model, its night and its arms."""

    def __init__(self, options: argparse.Namespace, seed: int) -> None:
        self.options, self.seed = options, seed
        question = _question(options)
        conditions = read_conditions(question)
        good = options.good or [name for name in class_names(conditions.references) if name == GOOD]
        size = (options.size, options.size)
        request = FirstModelRequest(tuple(good), options.architecture, size, 0, options.epochs)
        self.shift: Shift = open_shift(question.key, conditions, seed, request, options.cache)
        self.kept = Kept(options.nights, self.shift.world)

    def night(self) -> Result:
        """The night, diagnosed once."""
        return self.kept.get("night") or self.kept.put("night", diagnosed(self.shift, self.kept))

    def arms(self) -> dict[str, Arm]:
        """The arms that train."""
        return arms_of(self.night(), self.shift.world.subject.settings.recipe.logged_share)

    def left(self) -> list[str]:
        """The arms whose training is not kept; of those that are the same training, one."""
        paths = {self._kept_at(arm): name for name, arm in self.arms().items()}
        return [name for path, name in paths.items() if not path.is_file()]

    @cached_property
    def answers(self) -> dict[str, Answers]:
        """What every arm takes the unseen images for."""
        found: dict[str, Answers] = {"before": answers_of(self.shift, self.shift.world.subject.classifier)}
        if self.options.stop_after == "retraining":
            for name, arm in self.arms().items():
                answers = read_answers(self._kept_at(arm))
                assert answers is not None, f"the training of {name} was kept"
                found[name] = answers
        return found

    @cached_property
    def hits(self) -> dict[str, dict[str, scores.Hits]]:
        """Which unseen images are right, by arm and condition."""
        labels = {name: data.labels for name, data in judging(self.shift).items()}
        return {
            arm: {name: np.array(said) == labels[name] for name, said in answers.items()}
            for arm, answers in self.answers.items()
        }

    def gate(self, number: int) -> tuple[bool, tuple[str, ...]]:
        """Whether `fmi retrain` accepts the candidate of a claim, by the number of its mode, and why."""
        world = self.shift.world
        before, after = self.answers["before"], self.answers[f"claim {number}"]
        images = {Path(path) for path in self.night()["modes"][number - 1]["images"]}
        logged = np.array([path in images for path in self.shift.paths])
        model = world.model
        gate = Gate(model.class_names, model.good_classes, world.subject.settings.acceptance)
        line = Judged(LOGGED, world.logs.labels, np.array(before["line"]), np.array(after["line"]))
        clean = Judged(CLEAN, world.clean.labels, np.array(before["clean"]), np.array(after["clean"]))
        checks = (gate.repair(line.subset(logged)), *gate.harm(clean))
        return decide(checks) is Decision.ACCEPTED, tuple(
            check_in_words(each) for each in checks if not each.passed
        )

    def judges(self) -> dict[str, Any]:
        """The labels of the unseen images, by condition, and the names of the classes."""
        world = self.shift.world
        return {
            "new": world.judge.labels,
            "old": self.shift.old.labels,
            "classes": world.model.class_names,
        }

    def _kept_at(self, arm: Arm) -> Path:
        return kept_at(self.shift, arm, self.options.steps, self.options.trainings)


def _open(options: argparse.Namespace, seed: int) -> _Work:
    key = repr((options, seed))
    if key not in _OPENED:
        _OPENED.clear()
        _OPENED[key] = _Work(options, seed)
    return _OPENED[key]


# --- the answer ---


def _answer(options: argparse.Namespace, works: Sequence[_Work], seconds: float) -> Result:
    judges, nights, hits = works[0].judges(), [each.night() for each in works], [each.hits for each in works]
    answer: Result = {
        "question": {key: str(value) for key, value in asdict(_question(options)).items()},
        "settings": {name: getattr(options, name) for name in ("size", "seeds", "epochs", "steps")},
        "unseen_images": {name: len(judges[name]) for name in scores.CONDITIONS},
        "seconds": round(seconds, 1),
        "drop": scores.drop(hits),
    }
    if not answer["drop"]["real"]:
        answer["drop"]["words"] = NO_DROP
    if options.stop_after == "diagnosis":
        return answer | {"nights": nights}
    news = [{arm: each["new"] for arm, each in of_seed.items()} for of_seed in hits]
    measured = scores.arms(hits, judges)
    for night, new in zip(nights, news, strict=True):
        night["right_forced"] = scores.right_forced(night, new)
    answer |= {
        "claims": [
            claim
            for work, new in zip(works, news, strict=True)
            for claim in scores.claims_of(work.night(), new, work.gate)
        ],
        "arms": measured,
        "closed": scores.closed(measured),
        "falls": [
            fall
            for each, of_seed in zip(works, hits, strict=True)
            for fall in scores.falls(of_seed, judges, each.seed)
        ],
        "nights": nights,
    }
    return {**answer, "summary": scores.summary(answer)}


def _show(answer: Mapping[str, Any]) -> None:
    drop, unseen = answer["drop"], answer["unseen_images"]
    console.print(
        f"under the new condition {drop['fall']:.1%} less right ({drop['low']:.1%} to {drop['high']:.1%}), "
        f"of {unseen['new']} unseen images, {unseen['old']} under the old"
        + ("" if drop["real"] else f"; {NO_DROP}")
    )
    for night in answer["nights"]:
        _show_night(night)
    if "arms" in answer:
        _show_arms(answer)


def _show_night(night: Mapping[str, Any]) -> None:
    console.print(f"\nseed {night['seed']}: {night['errors']} errors; pictures in {night['folder']}")
    for number, mode in enumerate(night["modes"], 1):
        said = f"claimed: {mode['family']}, {mode['operation']}" if mode["claimed"] else "nothing claimed"
        table = Table("operation", "strength", "blamed", "all filters", "look", title=None)
        for each in mode["nearest"]:
            shares = (each["share"], each["overall_share"], each["look_share"])
            table.add_row(
                each["operation"], f"{each['strength']:.3g} {each['unit']}", *(f"{s:.0%}" for s in shares)
            )
        affected = f"; {mode['affected']}" if mode["affected"] else ""
        console.print(f"  mode {number}, {mode['errors']} errors: {said}{affected}")
        for reason in () if mode["claimed"] else mode["reasons"]:
            console.print(f"    {reason}")
        console.print(table)


def _show_arms(answer: Mapping[str, Any]) -> None:
    table = Table("arm", "new", "old", "closed", title="accuracy on unseen images")
    arms, closed = answer["arms"], without_nan(answer["closed"])
    named = {name: arms[name] for name in ARMS}
    named |= {f"forced: {name}": each for name, each in arms["forced"].items()}
    for name, each in named.items():
        way = closed.get(name)
        table.add_row(name, _said(each["new"]), _said(each["old"]), "" if way is None else f"{way:.0%}")
    console.print(table)
    for claim in answer["claims"]:
        judged = "right" if claim["right"] else "NOT right"
        console.print(
            f"seed {claim['seed']}, mode {claim['mode']}: {claim['operation']} is {judged}: "
            f"{claim['images_right']}; {'accepted' if claim['accepted'] else 'refused'}: "
            f"{'; '.join(claim['gate'])}"
        )
    for fall in answer["falls"]:
        console.print(
            f"seed {fall['seed']}, {fall['arm']}: class {fall['class']}, {fall['condition']} condition, "
            f"falls from {fall['before']} to {fall['after']} of {fall['images']}"
        )
    for name, value in answer["summary"].items():
        console.print(f"{name.replace('_', ' ')}: {value if isinstance(value, int) else f'{value:.1%}'}")


def _said(found: Mapping[str, float]) -> str:
    return f"{found['mean']:.1%} ({found['low']:.0%} to {found['high']:.0%})"


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main())
