r"""Measure how `fmi retrain` chooses: what cross-validation took, and what would have been best.

    python -m tests.benchmarks.competition --images ../parts --json planted.json --faults dim_lamp zoomed
    python -m tests.benchmarks.competition --images ../parts/manifest.csv --json lighting.json \
        --domain lighting --from ring --to dome

Without --domain faults are planted: a model is trained, the line's parts are taken under the fault, and
what the model gets wrong is a night's log. With --domain the world made the change: see
`tests.benchmarks.natural`. The night is diagnosed as every night is. Then its arms compete as in
`fmi retrain`, every arm is trained in full, not only the one that was chosen, and each is judged on images
that neither training nor gate saw, under the new condition and under the old.

  chosen    the arm that cross-validation took; "none" where no arm mends anything without harm
  best      the arm that is most often right under the new condition, of those that harm nothing there
  regret    points of accuracy under the new condition between the two; "none" has the accuracy of before
  beyond    points by which the chosen is better than the logged images alone
  falls     classes that the chosen makes worse beyond chance, under either condition
  decision  the gate's on the chosen

With --poisoned every night is also retrained with what should never pass the gate: the operators' labels
drawn at random, one class called by another's name, a log that holds one class only, the recipe of another
cause, and the night's own operation as strong as it can be. Each is forced, without a competition.

Trainings go on where a stopped run left them.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmi_engine.classifier import Classifier
from inspection.console import Console, Table
from inspection.findings import CHANGED, CLEAN, LINE, LOGGED, Arm, ErrorKind, LogContext, LoggedError
from inspection.inputs.image_sets import class_names
from inspection.inputs.labelled import Labelled
from inspection.models.comparison import Judged, answers, mcnemar
from inspection.models.first_model import FirstModelRequest
from inspection.nights.phrases import check_in_words
from inspection.operations.catalogue import CATALOGUE, find_operation
from inspection.operations.operation import Operation
from inspection.recipes.recipe import Coverage, Ingredient, build_recipe, load_recipe, write_recipe
from inspection.retraining.arms import Workshop
from inspection.retraining.competition import Competition, Tried, best
from inspection.retraining.gate import decide
from inspection.retraining.material import Material, ModeRecipe
from inspection.workspace.files import sha256_of
from inspection.workspace.settings import Settings
from tests.benchmarks.diagnosing import describe, explained, find_modes, recipe_of
from tests.benchmarks.faults.__main__ import QUICK, chosen_faults
from tests.benchmarks.faults.nights import planted_log, under
from tests.benchmarks.kept import Kept, Result, bar, code, exit_code
from tests.benchmarks.natural.conditions import Question, read_conditions
from tests.benchmarks.natural.night import diagnosed, log_of, open_shift
from tests.benchmarks.world import Log, World, open_world

console = Console(stderr=True)
JUDGING, LOGGING = 99, 3  # seeds of the faults on the images that judge, and on the log
FEWEST = 6  # errors: fewer are no night to retrain for
NONE = "none"
STRANGE = ("defocus", "dimmer lamp", "sensor noise")  # of which one is another cause than the night's


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return exit_code("competition", _options(arguments), _run, _show, console)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.competition",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=Path, required=True, help="labelled images: a folder, or a table")
    parser.add_argument("--json", type=Path, required=True, help="where to write the answer")
    parser.add_argument(
        "--faults",
        nargs="+",
        default=[],
        metavar="FAULT",
        help="default: those of the quick benchmark of faults",
    )
    parser.add_argument(
        "--domain", help="the column that tells the conditions apart; goes with --from and --to"
    )
    parser.add_argument("--from", dest="old", nargs="+", default=[], help="its values to train under")
    parser.add_argument("--to", dest="new", nargs="+", default=[], help="its values to be tried under")
    parser.add_argument("--good", nargs="+", default=[], help="the classes without a defect")
    parser.add_argument("--where", help="an SQL condition on the table's columns that all images meet")
    parser.add_argument("--logged", type=int, default=0, help="errors of the log, at most; default: all")
    parser.add_argument("--right", action="store_true", help="the log holds parts that went right, too")
    parser.add_argument("--poisoned", action="store_true", help="retrain with poisoned logs and recipes, too")
    parser.add_argument("--seeds", type=int, default=1, help="models; default: 1")
    parser.add_argument("--size", type=int, default=64, help="pixels; default: 64")
    parser.add_argument("--epochs", type=int, default=20, help="of the first model; default: 20")
    parser.add_argument("--steps", type=int, default=120, help="of every training; default: 120")
    parser.add_argument("--cache", type=Path, help="default: competition-cache beside --json")
    options = parser.parse_args(arguments)
    if bool(options.domain) != bool(options.old and options.new):
        parser.error("--domain goes with --from and --to")
    options.cache = (options.cache or options.json.absolute().parent / "competition-cache").absolute()
    options.nights = options.cache / f"competitions-{code()}"
    return options


# --- the nights ---


@dataclass(frozen=True, slots=True)
class Case:
    """A night's log, its recipes with the errors that each is for, and the images that nobody saw."""

    name: str
    world: World
    log: Log
    recipes: Sequence[tuple[Path, int]]
    unseen: Mapping[str, Labelled]  # new and old
    described: Result


def _run(options: argparse.Namespace) -> Result:
    nights = []
    names = [options.domain] if options.domain else options.faults or list(QUICK)
    with bar(console, "Nights", options.seeds * len(names)) as advance:
        for seed in range(options.seeds):
            for name in names:
                nights.append(_night(options, seed, name))
                advance(1)
    return {"options": {**vars(options)} | _paths(options), "nights": nights, "over_all": _over_all(nights)}


def _paths(options: argparse.Namespace) -> dict[str, str]:
    return {name: str(getattr(options, name)) for name in ("images", "json", "cache", "nights")}


def _night(options: argparse.Namespace, seed: int, name: str) -> Result:
    case = _natural(options, seed) if options.domain else _planted(options, seed, name)
    kept = Kept(options.nights, case.world)
    key = f"{case.name}-{options.steps}-{options.logged}{'-right' * options.right}".replace(" ", "-")
    night = kept.get(key) or kept.put(key, _competed(options, case))
    if options.poisoned and "skipped" not in night:
        poisoned = kept.get(f"{key}-poisoned") or kept.put(f"{key}-poisoned", _poisoned(options, case, kept))
        night |= {"poisoned": poisoned}
    return night


def _natural(options: argparse.Namespace, seed: int) -> Case:
    question = Question(options.images, options.domain, tuple(options.old), tuple(options.new), options.where)
    conditions = read_conditions(question)
    good = options.good or [name for name in class_names(conditions.references) if name == "good"]
    request = FirstModelRequest(tuple(good), "", (options.size, options.size), 0, options.epochs)
    shift = open_shift(question.key, conditions, seed, request, options.cache)
    kept = Kept(options.nights, shift.world)
    night = kept.get("night") or kept.put("night", diagnosed(shift, kept))
    recipes = [(Path(each["recipe"]), each["errors"]) for each in night["modes"] if each["recipe"]]
    log, _ = log_of(shift)
    return Case(question.key, shift.world, log, recipes, {"new": shift.world.judge, "old": shift.old}, night)


def _planted(options: argparse.Namespace, seed: int, name: str) -> Case:
    world = open_world(
        options.images, seed, options.size, options.epochs, options.cache, options.where or None
    )
    fault = chosen_faults(None, [name], quick=False, channels=world.model.channels)[name]
    kept = Kept(options.nights, world)
    log = planted_log(world, [fault], 1.0, LOGGING)
    rng = np.random.default_rng([seed, JUDGING])
    new = under(world.judge.images, [fault] * len(world.judge), 1.0, rng)
    unseen = {"new": Labelled(new, world.judge.labels), "old": world.judge}
    night = kept.get(f"night-{name}")
    if night is None:
        modes = find_modes(world, log) if len(log.errors) >= FEWEST else []
        night = describe(world, log, modes)
        for number, (mode, said) in enumerate(zip(modes, night["modes"], strict=True), 1):
            path = recipe_of(world, mode, kept.folder / name / f"recipe-{number}" / "recipe.yaml")
            said["recipe"] = str(path) if path else None
        kept.put(f"night-{name}", night)
    recipes = [(Path(each["recipe"]), each["errors"]) for each in night["modes"] if each["recipe"]]
    return Case(name, world, log, recipes, unseen, night)


# --- one competition ---


def material_of(case: Case, most: int, right: bool) -> Material:
    """What `fmi retrain` would be given for a night; `right`: its log holds parts that went right, too."""
    world, logged = case.world, case.log.errors
    if most:
        rows = np.random.default_rng([world.seed, 8]).permutation(len(logged))[:most]
        logged = logged.subset(np.sort(rows))
    none = Labelled(logged.images[:0], logged.labels[:0])
    errors = tuple(
        LoggedError(i, f"{i}", "", "", "", ErrorKind.CONFUSION, 1.0, "", LogContext())
        for i in range(len(logged))
    )
    return Material(
        name=case.name,
        modes=(),
        model=world.model,
        recipes=tuple(
            ModeRecipe(load_recipe(path), path.parent, sha256_of(path), count) for path, count in case.recipes
        ),
        train=world.train,
        errors=errors,
        logged=logged,
        clean=world.clean,
        holdout=none,
        others=none,
        right=case.log.right if right and case.log.right else none,
        right_read=len(case.log.right) if right and case.log.right else 0,
        paths={},
        explained=explained(case.described),
    )


def _competed(options: argparse.Namespace, case: Case) -> Result:
    if len(case.log.errors) < FEWEST:
        return {"case": case.name, "errors": len(case.log.errors), "skipped": "too few errors"}
    workshop = _workshop(options, case, material_of(case, options.logged, options.right))
    tried, arms = _arms_of(workshop, workshop.arms(), case)
    before = {name: _answers(workshop, workshop.deployed, data) for name, data in case.unseen.items()}
    chosen = best(tried)
    named = chosen.result.arm.value if chosen else NONE
    return {
        "case": case.name,
        "errors": len(case.log.errors),
        "modes": [
            {name: each.get(name) for name in ("errors", "claimed", "family", "operation", "recipe")}
            for each in case.described["modes"]
        ],
        "before": {name: float((before[name] == data.labels).mean()) for name, data in case.unseen.items()},
        "arms": arms,
        **_scored(arms, named, before, case.unseen),
    }


def _workshop(options: argparse.Namespace, case: Case, material: Material) -> Workshop:
    settings = case.world.subject.settings.model_dump(mode="json")
    settings["training"] |= {"fine_tune_epochs": 1, "fine_tune_steps": options.steps}
    workspace = replace(case.world.subject.workspace, settings=Settings(**settings))
    return Workshop.opened(workspace, material)


def _answers(workshop: Workshop, classifier: Classifier, data: Labelled) -> NDArray[np.int64]:
    return answers(classifier, data, workshop.settings.compute.batch_size)


def _arms_of(workshop: Workshop, arms: Sequence[Arm], case: Case) -> tuple[list[Tried], dict[str, Result]]:
    """What cross-validation makes of arms, and what each is when it is trained in full."""
    competition = Competition.opened(workshop)
    tried = competition.run(arms, _silent)
    control = competition.control(_silent)
    found: dict[str, Result] = {}
    for each in tried:
        candidate = workshop.candidate(each.result.arm, np.arange(len(workshop.material.line)))
        judged = {
            name: Judged(
                name,
                data.labels,
                _answers(workshop, workshop.deployed, data),
                _answers(workshop, candidate, data),
            )
            for name, data in case.unseen.items()
        }
        arm, failing = each.result.arm, each.judged[LOGGED]
        checks = competition.checks(arm, failing, control, competition.judged_by(candidate, each))
        found[each.result.arm.value] = _described(workshop, each, judged) | {
            "decision": decide(checks).value,
            "against": [check_in_words(check) for check in checks if check.passed is not True],
        }
    return tried, found


def _poisoned(options: argparse.Namespace, case: Case, kept: Kept) -> Result:
    """What the gate says of what should never pass it."""
    found = {}
    for name, arm, material in _poisons(case, material_of(case, options.logged, options.right), kept.folder):
        _, arms = _arms_of(_workshop(options, case, material), [arm], case)
        found[name] = arms.get(arm.value, {"decision": "not trained"})
    return found


def _poisons(case: Case, material: Material, folder: Path) -> Iterator[tuple[str, Arm, Material]]:
    rng, logged, classes = np.random.default_rng([case.world.seed, 7]), material.logged, case.world.classes
    most = int(np.bincount(logged.labels).argmax())
    other = (logged.labels + rng.integers(1, classes, len(logged))) % classes
    labels = {
        "labels at random": other,
        "one class called by another's name": np.where(
            logged.labels == most, (most + 1) % classes, logged.labels
        ),
    }
    for name, wrong in labels.items():
        yield name, Arm.LOGGED, replace(material, name=name, logged=replace(logged, labels=wrong))
    rows = np.flatnonzero(logged.labels == most)
    one = replace(material, logged=logged.subset(rows), errors=tuple(material.errors[row] for row in rows))
    yield "one class only", Arm.LOGGED, replace(one, name="one class only")
    claimed = {each["family"] for each in case.described["modes"]}
    strange = next(each for each in map(find_operation, STRANGE) if each.family not in claimed)
    yield "the recipe of another cause", Arm.RECIPES, _with_recipe(case, material, strange, folder)
    named = next((each["operation"] for each in case.described["modes"] if each["claimed"]), STRANGE[0])
    if named in {each.name for each in CATALOGUE}:
        yield "far too strong", Arm.RECIPES, _with_recipe(case, material, find_operation(named), folder)


def _with_recipe(case: Case, material: Material, operation: Operation, folder: Path) -> Material:
    """The material with the recipe of an operation as strong as it can be, and no other."""
    model, settings = case.world.model, case.world.subject.settings
    scope = Coverage(settings.recipe.share, 0, (model.height, model.width), model.channels)
    path = folder / f"strong-{operation.name}".replace(" ", "-") / "recipe.yaml"
    strongest = operation.grid[-1]
    ingredient = Ingredient(operation.name, strongest, min(2 * strongest, operation.limit))
    recipe = build_recipe([[ingredient]], scope, {}, path.parent)
    write_recipe(recipe, path)
    given = ModeRecipe(load_recipe(path), path.parent, sha256_of(path), len(material.logged))
    return replace(material, name=operation.name, recipes=(given,))


def _described(workshop: Workshop, tried: Tried, judged: Mapping[str, Judged]) -> Result:
    """What cross-validation says of an arm, and what it is on the unseen images."""
    names = workshop.material.model.class_names
    return {
        "harmless": not tried.result.harm,
        "harm": [check_in_words(check) for check in tried.result.harm],
        "seconds": tried.result.seconds,
        "folds": tried.result.folds,
        "cross_validated": {
            each.name: {
                "images": each.images,
                "before": each.before,
                "after": each.after,
                "broken": each.broken,
                "classes": each.per_class,
            }
            for each in tried.result.accuracies
            if each.name in (LOGGED, CLEAN, CHANGED, LINE)
        },
        "unseen": {name: float((each.after == each.labels).mean()) for name, each in judged.items()},
        "falls": [
            {"condition": name, "class": names[i], "before": mine.right[0], "after": mine.right[1]}
            for name, each in judged.items()
            for i in range(len(names))
            if (mine := each.subset(each.labels == i)).broken > mine.fixed
            and mcnemar(mine.fixed, mine.broken) <= Settings().acceptance.significance
        ],
    }


def _scored(
    arms: Mapping[str, Result], chosen: str, before: Mapping[str, Any], unseen: Mapping[str, Labelled]
) -> Result:
    """The choice beside the best of the arms that harm nothing on the unseen images; points of accuracy."""
    was = float((before["new"] == unseen["new"].labels).mean())
    new = {NONE: was} | {name: arm["unseen"]["new"] for name, arm in arms.items()}
    sound = [name for name in new if name == NONE or not arms[name]["falls"]]
    top = max(sound, key=lambda name: new[name])
    highest = max(new, key=lambda name: new[name])
    alone = new.get(Arm.LOGGED.value, was)
    return {
        "chosen": chosen,
        "best": top,
        "highest": highest,
        "regret": 100 * (new[top] - new[chosen]),
        "regret_beside_all": 100 * (new[highest] - new[chosen]),
        "beyond": 100 * (new[chosen] - alone),
        "falls": arms[chosen]["falls"] if chosen != NONE else [],
        "decision": arms[chosen]["decision"] if chosen != NONE else NONE,
    }


@contextmanager
def _silent(_name: str, _total: int) -> Any:
    yield lambda count: None


# --- the answer ---


def _over_all(nights: Sequence[Result]) -> Result:
    done = [night for night in nights if "skipped" not in night]
    accepted = [night for night in done if night["decision"] == "accepted"]
    return {
        "nights": len(done),
        "regret": float(np.mean([night["regret"] for night in done])) if done else None,
        "regret_beside_all": float(np.mean([night["regret_beside_all"] for night in done])) if done else None,
        "worse_than_logged_alone": sum(night["beyond"] < -1 for night in done),
        "accepted": len(accepted),
        "accepted_that_harm_a_class": sum(bool(night["falls"]) for night in accepted),
        "poisoned": sum(len(_poisons_of(night)) for night in done),
        "poisoned_that_pass": sum(
            each["decision"] == "accepted" for night in done for each in _poisons_of(night).values()
        ),
    }


def _poisons_of(night: Result) -> Mapping[str, Result]:
    return {name: each for name, each in night.get("poisoned", {}).items() if isinstance(each, dict)}


def _show(answer: Result) -> None:
    arms = [arm.value for arm in Arm]
    table = Table("night", "errors", "before", *arms, "chosen", "best", "regret", "beyond", "gate", box=None)
    for night in answer["nights"]:
        if "skipped" in night:
            table.add_row(night["case"], str(night["errors"]), night["skipped"])
            continue
        cells = [_arm_cell(night["arms"].get(arm)) for arm in arms]
        ends = night["chosen"], night["best"], f"{night['regret']:+.1f}", f"{night['beyond']:+.1f}"
        before = f"{night['before']['new']:.3f}"
        table.add_row(night["case"], str(night["errors"]), before, *cells, *ends, night["decision"])
    console.print(table)
    for night in answer["nights"]:
        for name, each in _poisons_of(night).items():
            console.print(
                f"{night['case']}, {name}: {each['decision']}; {'; '.join(each.get('against', ()))[:200]}"
            )
    console.print(answer["over_all"])


def _arm_cell(arm: Result | None) -> str:
    if arm is None:
        return "-"
    marks = ("" if arm["harmless"] else " h") + (" f" if arm["falls"] else "")
    return f"{arm['unseen']['new']:.3f}{marks}"


if __name__ == "__main__":
    sys.exit(main())
