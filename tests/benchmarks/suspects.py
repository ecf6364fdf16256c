"""Are the labels wrong that a night lists as suspect? Exchanged labels among planted faults, real images.

    python -m tests.benchmarks.suspects --images DIR --json OUT
    python -m tests.benchmarks.suspects --images DIR --where "lighting = 'transmitted'" \
        --to "lighting = 'reflected'" --json OUT

Nights of six kinds: labels that were exchanged alone (`wrong`), a tenth and three tenths of them among the
errors of each planted fault (`mixed`) and among parts that the model gets wrong anyway (`among hard`); and,
with right labels alone, those parts (`hard`), planted faults (`visible`), and faults that wipe the defect out
of the image (`invisible`). With --to, the model is trained on the images of --where, and the errors that it
makes on the others are a night of their own (`natural`), whose labels are taken for right.

With --vary every night is judged once more with each of the constants named, of `inspection.tuning`, halved
and doubled.

Every night is kept in the cache folder as it comes; a stopped run goes on there, and a change of the code
starts afresh.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fmi_engine.reference import measure_energies
from fmi_engine.types import Screening
from inspection import tuning
from inspection.console import Console, Table
from inspection.evidence.case import Case
from inspection.evidence.responses import Responses, standardised
from inspection.evidence.subject import Subject
from inspection.evidence.wrong_labels import find_evidence
from inspection.inputs.image_sets import read_image_set
from inspection.inputs.images import reading
from inspection.inputs.labelled import Labelled, evenly, load_images, sample
from inspection.models.registry import spec_of
from tests.benchmarks import planted
from tests.benchmarks.faults import nights, scores
from tests.benchmarks.kept import Kept, code, exit_code
from tests.benchmarks.planted import Fault, Image
from tests.benchmarks.sensitivity import Value, changed, double, half
from tests.benchmarks.world import Log, World, logged_rows, open_world

console = Console(stderr=True)
SHARES = (0.1, 0.3)  # of wrong labels in a mixed night
WRONG = 10  # nights with wrong labels alone
Result = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return exit_code("suspects", _options(arguments), _run, _show, console)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.suspects",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--images", type=Path, required=True, help="labelled images, as `fmi train` takes them"
    )
    parser.add_argument("--json", type=Path, required=True, help="where to write the answer")
    parser.add_argument("--where", help="an SQL condition on the columns of the images' table")
    parser.add_argument("--to", help="the same of images under another condition, which are a natural night")
    parser.add_argument(
        "--faults", type=Path, help="a FILE.py with faults of your own; default: tests.benchmarks.planted"
    )
    parser.add_argument("--only", nargs="+", help="names of the faults to plant; default: all")
    parser.add_argument("--vary", nargs="+", default=[], help="constants to halve and to double")
    parser.add_argument("--seeds", type=int, default=1, help="default: 1")
    parser.add_argument("--size", type=int, default=64, help="pixels; default: 64")
    parser.add_argument("--epochs", type=int, default=20, help="of the base model; default: 20")
    parser.add_argument("--cache", type=Path, help="default: suspects-cache beside --json")
    options = parser.parse_args(arguments)
    options.cache = options.cache or options.json.absolute().parent / "suspects-cache"
    options.nights = options.cache / f"nights-{code()}"  # once: a run's code is that of its start
    return options


def _run(options: argparse.Namespace) -> Result:
    found: list[Result] = []
    for seed in range(options.seeds):
        world = open_world(options.images, seed, options.size, options.epochs, options.cache, options.where)
        known = references_alone(world.subject)
        kept = Kept(options.nights, world)
        for job in _jobs(options, world):
            found += _judged(world, known, kept, job, options.vary)
            console.print(f"{world.name}, seed {seed}: {job[0]}")
    return {"images": str(options.images), "kinds": scored(found), "nights": found}


def _judged(
    world: World, known: Responses, kept: Kept, job: "Job", varied: Sequence[str]
) -> Iterator[Result]:
    """A night as it is, and with each constant named halved and doubled."""
    (key, kind, log_of), made = job, None
    for label, changes in variants(varied):
        night = kept.get(f"{key}{label}")
        if night is None:
            made = made or _made(world, known, *log_of())
            with changed(changes, world.subject):
                night = kept.put(f"{key}{label}", {"night": key, "kind": f"{kind}{label}", **judge(*made)})
        yield night


def variants(names: Sequence[str]) -> Iterator[tuple[str, dict[str, Value]]]:
    """What each variant is called, and its constants."""
    yield "", {}
    for name, (way, change) in product(names, (("half", half), ("double", double))):
        yield f", {name} {way}", {name: change(getattr(tuning, name))}


# --- the nights ---

Nightly = tuple[Log, NDArray[np.bool_]]  # a log, and which of its labels are wrong
Job = tuple[str, str, Callable[[], Nightly]]  # a key, a kind and a night


def _jobs(options: argparse.Namespace, world: World) -> Iterator[Job]:
    """The nights, one by one."""
    known = (
        planted.load_faults(options.faults) if options.faults else planted.faults(None, world.model.channels)
    )
    faults = {
        name: fault
        for name, fault in known.items()
        if planted.suits(fault, world.model.channels) and name in (options.only or known)
    }
    for i in range(WRONG):
        yield f"wrong-{i}", "wrong", partial(_wrong, world, i)
    yield "hard", "hard", lambda: all_right(nights.clean_log(world, 0))
    for name, fault in faults.items():
        yield f"visible-{name}", "visible", partial(_rightly_under, world, fault)
    for name, fault in INVISIBLE.items():
        yield f"invisible-{name}", "invisible", partial(_rightly_under, world, fault)
    for share, (i, (name, fault)) in product(SHARES, enumerate(faults.items())):
        yield f"mixed-{share}-{name}", f"mixed {share:.0%}", partial(_mixed, world, fault, share, i)
    for share, i in product(SHARES, range(WRONG)):
        yield f"among-hard-{share}-{i}", f"among hard {share:.0%}", partial(_mixed, world, None, share, i)
    if options.to:
        yield "natural", "natural", lambda: all_right(_natural(world, options.images, options.to))


def all_right(log: Log) -> Nightly:
    """A night without a wrong label."""
    return log, np.zeros(len(log.errors), bool)


def _rightly_under(world: World, fault: Fault) -> Nightly:
    return all_right(_under(world, fault))


def _under(world: World, fault: Fault) -> Log:
    return nights.planted_log(world, [fault], 1.0, 5)


def _wrong(world: World, seed: int) -> Nightly:
    log = nights.mislabelled_log(world, seed)
    return log, np.ones(len(log.errors), bool)


def _mixed(world: World, fault: Fault | None, share: float, seed: int) -> Nightly:
    """Errors under right labels, and as many exchanged labels as are to be `share` of all."""
    right = nights.clean_log(world, seed) if fault is None else _under(world, fault)
    wrong = nights.mislabelled_log(world, seed)
    return mix(right, wrong, share, seed)


def mix(right: Log, wrong: Log, share: float, seed: int) -> Nightly:
    """As many of two logs as go together so that `share` of the labels are wrong; at least one is."""
    odds = share / (1 - share)
    bad = min(len(wrong.errors), max(1, round(len(right.errors) * odds)))
    good = min(len(right.errors), round(bad / odds))
    few = right.errors.subset(sample(len(right.errors), good, seed))
    others = wrong.errors.subset(sample(len(wrong.errors), bad, seed))
    errors = Labelled(
        np.concatenate([few.images, others.images]), np.concatenate([few.labels, others.labels])
    )
    return Log(errors, np.full(len(errors), -1)), np.arange(len(errors)) >= len(few)


def _natural(world: World, source: Path, where: str) -> Log:
    """What the model gets wrong of the images of another condition, none of which it has seen."""
    names, preprocessing = world.model.class_names, spec_of(world.model).preprocessing
    images = [each for each in read_image_set(source, where) if each.label in names]
    how = reading(world.subject.settings.images, world.model.bit_depth, world.model.prepared)
    labels = np.array([names.index(each.label) for each in images], np.int64)
    line = Labelled(load_images([each.path for each in images], preprocessing, how=how), labels)
    wrong, accuracy = logged_rows(world, line)
    return Log(line.subset(wrong), np.full(len(wrong), -1), accuracy)


# --- faults that wipe the defect out, and leave the label right ---


def faded(image: Image, rng: Generator, strength: float = 1.0) -> Image:
    """A tenth of the contrast of all that stands out from its surroundings."""
    ground = _ground(image)
    return _levels(ground + 0.1 * (image - ground))


def smeared(image: Image, rng: Generator, strength: float = 1.0) -> Image:
    """A blur whose sigma is 6 % of the side."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.06 * image.shape[0]), np.uint8).reshape(image.shape)


def wiped(image: Image, rng: Generator, strength: float = 1.0) -> Image:
    """Every pixel is the median of its surroundings."""
    return _levels(_ground(image, 0.15))


def levelled(image: Image, rng: Generator, strength: float = 1.0) -> Image:
    """What stands out is cut to the spread of the surface, whose grain stays."""
    ground = _ground(image)
    grain = 1.5 * 1.4826 * np.median(np.abs(image - ground)) + 1.5
    return _levels(ground + np.clip(image - ground, -grain, grain))


def _ground(image: Image, side: float = 0.25) -> NDArray[np.float64]:
    """The local median over a window of that share of the image's side."""
    window = max(3, int(side * min(image.shape[:2])) // 2 * 2 + 1)
    planes = [cv2.medianBlur(np.ascontiguousarray(plane), window) for plane in image.transpose(2, 0, 1)]
    return np.stack(planes, axis=2).astype(np.float64)


def _levels(grey: NDArray[np.float64]) -> Image:
    return np.asarray(np.clip(np.rint(grey), 0, 255), np.uint8)


INVISIBLE: Mapping[str, Fault] = {
    each.__name__: cast("Fault", each) for each in (faded, smeared, wiped, levelled)
}


# --- what is listed ---


def references_alone(subject: Subject) -> Responses:
    """What is known of the reference images: no operation is measured, for none tells of labels."""
    drawn = evenly(subject.labelled.labels, tuning.REFERENCE_POOL)
    pool = subject.labelled.subset(drawn)
    rows, _ = standardised(subject, pool.images, pool.labels)
    layers = [subject.reference.layers[name] for name in subject.layer_names]
    filters = [layer.energy / layer.sigma for layer in layers]
    normal = np.concatenate([*filters, subject.looks.mean / subject.looks.sigma], axis=1)
    classes, none = len(normal), np.zeros((0, rows.shape[1]), np.float32)
    return Responses(
        name="no operation",
        coarse={},
        positions=np.zeros(0, np.int64),
        unchanged=none,
        baseline=np.zeros((classes, rows.shape[1]), np.float32),
        drawn=drawn,
        references=rows,
        labels=pool.labels,
        right=subject.reference.correct[drawn],
        normal=normal.astype(np.float32),
    )


def _unblamed(subject: Subject, errors: Labelled) -> Screening:
    """The errors as filters see them, without blame: half of the time, and nothing of labels."""
    energy, _, logits = measure_energies(
        subject.classifier, subject.layer_names, errors.images, with_spread=False
    )
    predicted, rows = logits.argmax(1), np.arange(len(errors))
    margin = logits.max(1) - logits[rows, errors.labels]
    return Screening({}, energy, margin, predicted, errors.labels)


def _made(
    world: World, known: Responses, log: Log, wrong: NDArray[np.bool_]
) -> tuple[Case | None, NDArray[np.bool_]]:
    """A night as one failure mode, and which labels are wrong; None where it has too few errors."""
    if len(log.errors) < world.subject.settings.matching.fewest_errors:
        return None, wrong
    return Case(world.subject, known, _unblamed(world.subject, log.errors), log.errors.images), wrong


def judge(case: Case | None, wrong: NDArray[np.bool_]) -> Result:
    """What is listed of a night as one failure mode, beside the truth."""
    if case is None:
        return {"errors": 0, "wrong": 0, "listed": 0, "listed_wrong": 0}
    evidence = find_evidence(case)
    return {
        "errors": len(case),
        "wrong": int(wrong.sum()),
        "listed": len(evidence.listed),
        "listed_wrong": int(wrong[evidence.listed].sum()),
        "expected": float(evidence.expected[-1]) if len(evidence.listed) else None,
    }


def scored(found: Sequence[Mapping[str, Any]]) -> Result:
    """Each kind of night: precision of the lists, recall, and the share of the right labels listed."""
    kinds: Result = {}
    for kind in dict.fromkeys(night["kind"] for night in found):
        some = [night for night in found if night["kind"] == kind and night["errors"]]
        errors, wrong, listed, hits = (
            sum(night[name] for night in some) for name in ("errors", "wrong", "listed", "listed_wrong")
        )
        kinds[kind] = {
            "nights": len(some),
            "errors": errors,
            "wrong": wrong,
            "listed": listed,
            **_share("precision", hits, listed),
            **_share("recall", hits, wrong),
            **_share("right_listed", listed - hits, errors - wrong),
            "worst": max(((n["listed"] - n["listed_wrong"]) / n["errors"] for n in some), default=0.0),
        }
    return kinds


def _share(name: str, hits: int, of: int) -> Result:
    """A share with its interval; nothing where there is none to speak of."""
    return scores.share(name, [True] * hits + [False] * (of - hits)) if of else {}


SHARES_SHOWN = {"precision": "precision", "recall": "recall", "right_listed": "right labels listed"}


def _show(answer: Result) -> None:
    counts = ("nights", "errors", "wrong", "listed")
    table = Table("kind", *counts, *SHARES_SHOWN.values(), "worst night")
    for kind, each in answer["kinds"].items():
        shares = [f"{each[name]:.1%}" if name in each else "" for name in SHARES_SHOWN]
        table.add_row(kind, *(str(each[name]) for name in counts), *shares, f"{each['worst']:.1%}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
