"""Run the benchmark: nights with planted faults, and the retraining comparison.

    python -m tests.benchmarks.faults --images DIR --json OUT
    python -m tests.benchmarks.faults --images DIR --faults FILE.py --json OUT --quick

DIR is any set of labelled images that `fmi train` takes: a folder for each class, with or without train,
val and test folders above them. The images are split anew: 60 % train and validate the model, 40 % are the
line's, of which one half is logged under the faults and the other judges the candidates. Every night is
kept in the cache folder as it comes; a stopped run goes on there, and a change of the code starts afresh.
With --processes, several nights run at once, which uses the cores of a machine better than one night does.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from inspection.console import Console, Table
from inspection.evidence.responses import measure_responses
from tests.benchmarks import planted
from tests.benchmarks.candidates import epochs_of
from tests.benchmarks.diagnosing import describe, find_modes, flip_rate, recipe_of
from tests.benchmarks.faults import nights, scores, speed
from tests.benchmarks.faults.rehearsal import rehearse
from tests.benchmarks.faults.retraining import ARMS, MEASURES, Material, judging_images, measure, train_arm
from tests.benchmarks.kept import Kept, Result, bar, code, exit_code
from tests.benchmarks.planted import Fault
from tests.benchmarks.world import Log, World, open_world, some_images

console = Console(stderr=True)
QUICK = ("dim_lamp", "defocus_disc", "gain_noise", "mains_flicker", "dust_on_lens", "brushed_grain")
QUICK_FAULTS = 6  # of a FILE.py
PAIRS = 12  # nights with two faults, per seed
QUICK_PAIRS = 4
CONTROLS = 20  # nights without a fault, and as many with wrong labels, per seed
QUICK_CONTROLS = 6
COMPARED = 3  # faults on which blame is compared with its peers
PARTS = ("single", "double", "clean", "retraining", "speed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return exit_code("faults", _options(arguments), _run, _show, console)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=Path, required=True, help="labelled images")
    parser.add_argument("--json", type=Path, required=True, help="where to write the answer")
    parser.add_argument(
        "--faults", type=Path, help="a FILE.py with faults of your own, in place of those planted here"
    )
    parser.add_argument("--quick", action="store_true", help="six faults, one seed, ten logged images")
    parser.add_argument("--seeds", type=int, default=0, help="default: 3, or 1 with --quick")
    parser.add_argument("--size", type=int, default=0, help="pixels; default: 96, or 64 with --quick")
    parser.add_argument("--epochs", type=int, default=20, help="of the base model")
    parser.add_argument(
        "--steps",
        type=int,
        default=0,
        help="of every arm's fine-tuning, at least (whole epochs); default: 250, or 150 with --quick",
    )
    parser.add_argument("--strengths", type=float, nargs="+", help="default: 0.6 1 1.5, or 1 with --quick")
    parser.add_argument("--logged", type=int, nargs="+", help="default: 5 10 20 60, or 10 with --quick")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to run")
    parser.add_argument("--only", nargs="+", help="names of the faults to plant; default: all")
    parser.add_argument("--architecture", default="", help="as `fmi train` takes it; default: its own")
    parser.add_argument("--where", help="an SQL condition on the columns of the images' table")
    parser.add_argument("--processes", type=int, default=1, help="nights that run at once; default: 1")
    parser.add_argument("--cache", type=Path, help="default: faults-cache beside --json")
    options = parser.parse_args(arguments)
    quick = options.quick
    options.seeds = options.seeds or (1 if quick else 3)
    options.size = options.size or (64 if quick else 96)
    options.steps = options.steps or (150 if quick else 250)
    options.strengths = options.strengths or ([1.0] if quick else [0.6, 1.0, 1.5])
    options.logged = options.logged or ([10] if quick else [5, 10, 20, 60])
    options.cache = options.cache or options.json.absolute().parent / "faults-cache"
    options.results = options.cache / f"results-{code()}"  # once: a run's code is that of its start
    return options


def _run(options: argparse.Namespace) -> Result:
    started = time.perf_counter()
    found: list[Result] = []
    _rehearse(options)  # what is wrong with a fault is told before anything is trained
    for seed in range(options.seeds):
        with bar(console, "Training the base model") as advance:
            work = _open(options, seed, advance)
        with bar(console, f"{work.kept.world.name}, seed {seed}", len(work.jobs)) as advance:
            for _ in _finished(options, work):
                advance(1)
        found += [work.result(key) for key in work.jobs]
    return _answer(options, found, time.perf_counter() - started)


@dataclass(frozen=True, slots=True)
class _Work:
    """The jobs of one seed, by their keys, and where their results are kept."""

    jobs: Mapping[str, Callable[[], Result]]
    kept: Kept

    def result(self, key: str) -> Result:
        """What was kept of a job, or what it gives, which is kept from then on."""
        return self.kept.get(key) or self.kept.put(key, self.jobs[key]())


def _open(options: argparse.Namespace, seed: int, progress: Callable[[int], None] | None = None) -> _Work:
    world = open_world(
        options.images,
        seed,
        options.size,
        options.epochs,
        options.cache,
        options.where,
        options.architecture,
        progress,
    )
    faults = chosen_faults(options.faults, options.only, options.quick, world.model.channels)
    kept = Kept(options.results, world)
    return _Work(dict(_jobs(options, world, faults, kept)), kept)


def _finished(options: argparse.Namespace, work: _Work) -> Iterator[str]:
    """Finish every job and yield its key; what is timed runs alone, before the others."""
    several = options.processes > 1
    spread = [key for key in work.jobs if several and key != "speed" and work.kept.get(key) is None]
    for key in work.jobs:
        if key not in spread:
            work.result(key)
            yield key
    if spread:
        measure_responses(work.kept.world.subject)  # once, not in every process
        parallel = joblib.Parallel(options.processes, return_as="generator_unordered", batch_size=1)
        yield from parallel(joblib.delayed(_elsewhere)(options, work.kept.world.seed, key) for key in spread)


_OPENED: dict[int, _Work] = {}  # of a process beside the first


def _elsewhere(options: argparse.Namespace, seed: int, key: str) -> str:
    """Finish one job in a process beside the first, which opens the world once; joblib shares out threads."""
    if seed not in _OPENED:
        _OPENED.clear()
        _OPENED[seed] = _open(options, seed)
    _OPENED[seed].result(key)
    return key


def _rehearse(options: argparse.Namespace) -> None:
    if options.faults:
        planted.load_faults(options.faults)  # a file that holds none is told before the images are read
    images = some_images(options.images, options.size, options.where, options.architecture)
    faults = chosen_faults(options.faults, options.only, options.quick, images.shape[3])
    rehearse(faults, images, options.strengths)


def chosen_faults(
    file: Path | None, only: Sequence[str] | None, quick: bool, channels: int
) -> dict[str, Fault]:
    """The faults to plant, of a FILE.py or of ours: those named, the quick ones, or all.

    Raises ValueError for a name that is none.
    """
    known = planted.load_faults(file) if file else planted.faults(None, channels)
    known = {name: fault for name, fault in known.items() if planted.suits(fault, channels)}
    if only:
        missing = sorted(set(only) - set(known))
        if missing:
            raise ValueError(f"no fault {', '.join(missing)}; there are: {', '.join(known)}")
        return {name: known[name] for name in only}
    if quick and not file:
        return {name: known[name] for name in QUICK}
    if quick:
        first = {fault.family: name for name, fault in reversed(known.items())}
        return {name: known[name] for name in sorted(first.values(), key=list(known).index)[:QUICK_FAULTS]}
    return known


Job = tuple[str, Callable[[], Result]]


def _jobs(
    options: argparse.Namespace, world: World, faults: Mapping[str, Fault], kept: Kept
) -> Iterator[Job]:
    if "single" in options.parts:
        for name, strength in product(faults, options.strengths):
            yield f"single-{name}-{strength}", partial(_single, world, faults, name, strength)
    if "double" in options.parts:
        for one, other in pairs(faults, QUICK_PAIRS if options.quick else PAIRS, world.seed):
            yield f"double-{one}-{other}", partial(_double, world, faults, one, other)
    if "clean" in options.parts:
        for i in range(QUICK_CONTROLS if options.quick else CONTROLS):
            yield f"clean-{i}", partial(_control, world, "clean", nights.clean_log, i)
            yield f"labels-{i}", partial(_control, world, "labels", nights.mislabelled_log, i)
    if "speed" in options.parts and world.seed == 0:
        yield "speed", partial(_speed, world, faults)
    if "retraining" in options.parts:
        for name, count in product(faults, options.logged):
            job = partial(_retraining, world, faults[name], name, count, options.steps, kept)
            yield f"retraining-{name}-{count}-{options.steps}", job


def pairs(faults: Mapping[str, Fault], count: int, seed: int) -> list[tuple[str, str]]:
    """Pairs of faults of different families, every fault as often as every other."""
    rng = np.random.default_rng([seed, 2])
    names = list(faults)
    found: dict[tuple[str, str], None] = {}
    for _ in range(50):
        order = [names[i] for i in rng.permutation(len(names))]
        for one, other in zip(order[::2], order[1::2], strict=False):
            if faults[one].family != faults[other].family:
                found.setdefault((min(one, other), max(one, other)))
    return list(found)[:count]


# --- the nights ---


def _single(world: World, faults: Mapping[str, Fault], name: str, strength: float) -> Result:
    log = nights.planted_log(world, [faults[name]], strength, 5)
    night: Result = {"kind": "single", "fault": name, "family": faults[name].family, "strength": strength}
    night["side"] = min(world.model.height, world.model.width)
    night["accuracy"] = log.accuracy
    if len(log.errors) < world.subject.settings.matching.fewest_errors:
        return {**night, "errors": len(log.errors), "modes": []}
    modes = find_modes(world, log)
    night |= describe(world, log, modes)
    if strength == 1.0:
        best = flip_rate(modes[0])
        night["flip"] = {
            "layer": best.layer,
            "k": best.k,
            "blame": best.blame,
            "deviation": best.deviation,
            "random": best.random,
            "collateral": best.collateral,
        }
    return night


def _double(world: World, faults: Mapping[str, Fault], one: str, other: str) -> Result:
    log = nights.planted_log(world, [faults[one], faults[other]], 1.0, 6)
    families = [faults[one].family, faults[other].family]
    night: Result = {"kind": "double", "faults": [one, other], "families": families}
    return night | describe(world, log, find_modes(world, log))


def _speed(world: World, faults: Mapping[str, Fault]) -> Result:
    logs = [nights.planted_log(world, [fault], 1.0, 5) for fault in list(faults.values())[:COMPARED]]
    errors = [log.errors for log in logs if len(log.errors) >= world.subject.settings.matching.fewest_errors]
    if not errors:
        return {"kind": "speed"}
    return {"kind": "speed", **speed.compare(world, errors), "night": speed.night_cost(world, errors[0])}


def _control(world: World, kind: str, log_of: Callable[[World, int], Log], seed: int) -> Result:
    log = log_of(world, seed)
    few = len(log.errors) < 2
    return {"kind": kind} | describe(world, log, [] if few else find_modes(world, log))


def _retraining(world: World, fault: Fault, name: str, count: int, steps: int, kept: Kept) -> Result:
    epochs = epochs_of(world, world.train, steps)
    whole = nights.planted_log(world, [fault], 1.0, 5)
    logged, classes = nights.lopsided(world, whole, count, 8)
    log = Log(logged, np.zeros(len(logged), np.int64))
    modes = find_modes(world, log) if len(logged) > 1 else []
    path = kept.folder / f"recipe-{name}-{count}" / "recipe.yaml"
    recipe = recipe_of(world, modes[0], path) if modes else None
    rng = np.random.default_rng([world.seed, 4])
    unlabelled = nights.under(world.logs.images, [fault] * len(world.logs), 1.0, rng)
    judging = judging_images(world, fault, 1.0)
    explained = modes[0].found.mean_share if recipe else 0.0
    material = Material(fault, 1.0, logged, classes, unlabelled, judging, recipe, explained)
    arms = {"before": measure(material, world.subject.classifier)}
    for arm in ARMS:
        train = partial(train_arm, world, material, arm, epochs)
        shared = arm in ("plain", "generic")  # the same whatever the fault
        arms[arm] = measure(material, kept.candidate(f"{arm}-{epochs}", train) if shared else train())
    return {
        "kind": "retraining",
        "fault": name,
        "family": fault.family,
        "logged": count,
        "logged_images": len(logged),
        "recipe": None if recipe is None else str(path),
        "diagnosis": describe(world, log, modes),
        "arms": arms,
    }


# --- keeping and showing ---


def _answer(options: argparse.Namespace, found: Sequence[Result], seconds: float) -> Result:
    of_kind = {
        kind: [night for night in found if night["kind"] == kind]
        for kind in ("single", "double", "clean", "labels", "retraining", "speed")
    }
    return {
        "images": str(options.images),
        "settings": {
            "size": options.size,
            "seeds": options.seeds,
            "epochs": options.epochs,
            "steps": options.steps,
            "strengths": options.strengths,
            "logged": options.logged,
            "faults": str(options.faults) if options.faults else "tests.benchmarks.planted",
        },
        "seconds": round(seconds, 1),
        "single": scores.single(of_kind["single"]),
        "double": scores.double(of_kind["double"]),
        "clean": scores.clean([*of_kind["clean"], *of_kind["labels"]]),
        "flip": scores.flip(of_kind["single"]),
        "speed": next(iter(of_kind["speed"]), {}),
        "retraining": scores.retraining(of_kind["retraining"]),
        "gains": scores.gains(of_kind["retraining"]),
        "nights": list(found),
    }


def _show(answer: Result) -> None:
    one, two, none, flips = (answer[part] for part in ("single", "double", "clean", "flip"))
    console.print(
        f"one cause: claimed and right {_share(one, 'top1')}, ranked first {_share(one, 'ranked_first')}, "
        f"wrong claims {_share(one, 'wrong_claim')} of {one['nights']} nights\n"
        f"its operation, where the catalogue holds it: {_share(one, 'operation')}, its strength within 20 % "
        f"{_share(one, 'strength')}, of {one['operations_known']} nights\n"
        f"two causes: both claimed {_share(two, 'both')}, purity {two['purity']:.2f}, of {two['nights']} "
        "nights\n"
        f"no cause: one claimed all the same {_share(none, 'false_cause')} of {none['nights']} nights\n"
        f"flip rate: blame {flips['blame']:.2f}, deviation {flips['deviation']:.2f}, random "
        f"{flips['random']:.2f}"
    )
    for count, arms in answer["retraining"].items():
        table = Table("arm", *MEASURES, title=f"accuracy after retraining with {count} logged images")
        for arm, found in arms.items():
            table.add_row(arm, *(_share(found, measure) for measure in MEASURES))
        console.print(table)


def _share(found: Mapping[str, Any], name: str) -> str:
    lower, upper = found[f"{name}_interval"]
    return f"{found[name]:.1%} ({lower:.0%} to {upper:.0%})"


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main())
