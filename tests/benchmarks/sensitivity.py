"""How much every constant of the diagnosis matters: each halved and doubled, on nights with planted faults.

    python -m tests.benchmarks.sensitivity --images DIR --json OUT
    python -m tests.benchmarks.sensitivity --images DIR --json OUT --only TRIED_MARGIN matching.pair_gain

The nights are those of `python -m tests.benchmarks.faults --quick`: with one cause, with two, with none, and
with wrong labels. What is printed for each constant is in how many nights other causes are claimed, and the
scores beside those of the constant as it is. A constant that changes nothing on any set has no reason to be.

A share above a half is not doubled: it goes half the way to 1. Every constant's nights are kept in the cache
folder as they come; a stopped run goes on there, and a change of the code starts afresh. A night that never
reads a constant cannot change with it, and is not run again.
"""

import argparse
import json
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from cachetools import LRUCache

from fmi_engine.types import Screening
from inspection import tuning
from inspection.console import Console, Table
from inspection.evidence import blame, look, nearest, newness, place, responses
from inspection.evidence.case import Case
from inspection.evidence.subject import Subject
from inspection.workspace.files import write_whole
from inspection.workspace.settings import MatchingSettings
from tests.benchmarks.diagnosing import describe, modes_of
from tests.benchmarks.faults import __main__ as faults
from tests.benchmarks.faults import nights, scores
from tests.benchmarks.kept import code, exit_code
from tests.benchmarks.world import Log, World, open_world

console = Console(stderr=True)
Result = dict[str, Any]
Value = float | int | tuple[float, ...]
SETTINGS = tuple(
    f"matching.{name}" for name in MatchingSettings.model_fields if name not in ("reference_images",)
)
AS_IT_IS = "as it is"
KINDS = ("single", "double", "clean", "labels")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return exit_code("sensitivity", _options(arguments), _run, _show, console)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.sensitivity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--images", type=Path, required=True, help="labelled images, as `fmi train` takes them"
    )
    parser.add_argument("--json", type=Path, required=True, help="where to write the answer")
    parser.add_argument("--only", nargs="+", help="constants; default: all")
    parser.add_argument("--faults", type=Path, help="a FILE.py with faults of your own, in place of ours")
    parser.add_argument("--plant", nargs="+", help="names of the faults; default: those of --quick there")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="of nights; default: all")
    parser.add_argument("--size", type=int, default=64, help="pixels; default: 64")
    parser.add_argument("--epochs", type=int, default=20, help="of the base model; default: 20")
    parser.add_argument(
        "--controls", type=int, default=6, help="nights without a fault, and with wrong labels"
    )
    parser.add_argument("--architecture", default="", help="as `fmi train` takes it; default: its own")
    parser.add_argument("--processes", type=int, default=1, help="constants that run at once; default: 1")
    parser.add_argument("--cache", type=Path, help="default: sensitivity-cache beside --json")
    options = parser.parse_args(arguments)
    options.cache = options.cache or options.json.absolute().parent / "sensitivity-cache"
    unknown = sorted(set(options.only or ()) - set(constants()))
    if unknown:
        parser.error(f"no constant {', '.join(unknown)}; there are: {', '.join(constants())}")
    return options


# --- the constants ---


def constants() -> dict[str, Value]:
    """Every constant that decides a diagnosis, by name: those of `inspection.tuning`, then the settings."""
    own = {name: value for name, value in vars(tuning).items() if name.isupper()}
    defaults = MatchingSettings()
    return own | {name: getattr(defaults, name.partition(".")[2]) for name in SETTINGS}


def half(value: Value) -> Value:
    """Half of a constant; of several, of each."""
    if isinstance(value, tuple):
        return tuple(each / 2 for each in value)
    return max(1, value // 2) if isinstance(value, int) else value / 2


def double(value: Value) -> Value:
    """Twice a constant, or each of several; of a share above a half, half the way to 1."""
    if isinstance(value, tuple):
        return tuple(2 * each for each in value)
    return (1 + value) / 2 if isinstance(value, float) and 0.5 < value < 1 else 2 * value


# --- the nights, prepared once ---


@dataclass(frozen=True)
class _Night:
    """A night of the benchmark with what no constant changes."""

    kind: str
    about: Result
    log: Log
    screening: Screening | None  # None: too few errors


def _night(kind: str, about: Result, log_of: Callable[..., Log], *given: Any) -> tuple[str, Result, Log]:
    return kind, about, log_of(*given)


@dataclass
class _Bench:
    """A world with its nights, and what was measured in it."""

    world: World
    controls: int
    kinds: tuple[str, ...]
    faults: Path | None  # a FILE.py
    plant: Sequence[str] | None  # names of the faults
    memo: LRUCache[bytes, Any] = field(default_factory=lambda: LRUCache(4000))

    @cached_property
    def nights(self) -> dict[str, _Night]:
        """The nights of the quick benchmark of faults, screened."""
        return {key: self._screened(*made()) for key, made in self._logs() if made.args[0] in self.kinds}

    def _logs(self) -> Iterator[tuple[str, "partial[tuple[str, Result, Log]]"]]:
        """The nights by name, made when called: their kind, what is planted, and the log."""
        world = self.world
        known = faults.chosen_faults(self.faults, self.plant, True, world.model.channels)
        for name, fault in known.items():
            about = {"fault": name, "family": fault.family, "strength": 1.0}
            about["side"] = min(world.model.height, world.model.width)
            yield (
                f"single-{name}",
                partial(_night, "single", about, nights.planted_log, world, [fault], 1.0, 5),
            )
        for one, other in faults.pairs(known, faults.QUICK_PAIRS, world.seed):
            pair = [known[one], known[other]]
            about = {"faults": [one, other], "families": [fault.family for fault in pair]}
            yield (
                f"double-{one}-{other}",
                partial(_night, "double", about, nights.planted_log, world, pair, 1.0, 6),
            )
        for i in range(self.controls):
            yield f"clean-{i}", partial(_night, "clean", {}, nights.clean_log, world, i)
            yield f"labels-{i}", partial(_night, "labels", {}, nights.mislabelled_log, world, i)

    def _screened(self, kind: str, about: Result, log: Log) -> _Night:
        few = len(log.errors) < 2
        subject = self.world.subject
        screening = None if few else blame.screen(subject, log.errors.images, log.errors.labels)
        return _Night(kind, about, log, screening)

    def run(self, key: str, changes: Mapping[str, Value]) -> tuple[Result, list[str]]:
        """One night with some constants changed: what is claimed, and which constants were read."""
        night = self.nights[key]
        with changed(changes, self.world.subject) as subject, _remembering(self.memo), _reading() as read:
            modes = []
            if night.screening is not None:
                case = Case(
                    subject, responses.measure_responses(subject), night.screening, night.log.errors.images
                )
                modes = modes_of(case)
            found = describe(self.world, night.log, modes)
        return {"kind": night.kind, "seed": self.world.seed, **night.about, **found}, sorted(read)


@contextmanager
def changed(changes: Mapping[str, Value], subject: Subject) -> Iterator[Subject]:
    """Have constants other values while the block lasts; gives the subject with the changed settings."""
    settings = {name.partition(".")[2]: value for name, value in changes.items() if "." in name}
    own = {name: value for name, value in changes.items() if "." not in name}
    before = {name: getattr(tuning, name) for name in own}
    matching = subject.settings.matching.model_copy(update=settings)
    workspace = replace(
        subject.workspace, settings=subject.settings.model_copy(update={"matching": matching})
    )
    for name, value in own.items():
        setattr(tuning, name, value)
    looks_else = any(name.startswith("LOOK_") for name in own)
    if looks_else:
        look.forget()
    try:
        looks = subject.looks
        if looks_else:
            classes, fewest = len(subject.model.class_names), subject.settings.reference.minimum_per_class
            looks = look.normal_looks(subject.correct, classes, fewest)
        yield replace(subject, workspace=workspace, looks=looks)
    finally:
        for name, value in before.items():
            setattr(tuning, name, value)
        if looks_else:
            look.forget()


@contextmanager
def _remembering(memo: LRUCache[bytes, Any]) -> Iterator[None]:
    """Measure the same images of the same subject, and the same patches, once, whatever constant asks."""

    def once(measure: Callable[..., Any]) -> Callable[..., Any]:
        def remembered(*given: Any) -> Any:
            arrays = b"".join(each.tobytes() for each in given if isinstance(each, np.ndarray))
            looks = [getattr(tuning, name) for name in dir(tuning) if name.startswith("LOOK_")]
            asked = repr([measure.__name__, looks, tuning.RESOLUTION])
            key = blake2b(arrays + asked.encode()).digest()
            if key not in memo:
                memo[key] = measure(*given)
            return memo[key]

        return remembered

    with ExitStack() as stack:
        for module, name in (
            (responses, "standardised"),
            (nearest, "standardised"),
            (place, "there_and_back"),
            (newness, "nearest_apart"),
        ):
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, once(getattr(module, name)))
        yield


@contextmanager
def _reading() -> Iterator[set[str]]:
    """Note which constants of `tuning`, and which settings, are read while the block lasts."""
    read = set(SETTINGS)  # settings are read through a model: taken to be read always

    class Noted(types.ModuleType):
        def __getattribute__(self, name: str) -> Any:
            if name.isupper():
                read.add(name)
            return super().__getattribute__(name)

    plain = tuning.__class__
    tuning.__class__ = Noted
    try:
        yield read
    finally:
        tuning.__class__ = plain


# --- running ---


def _run(options: argparse.Namespace) -> Result:
    names = list(options.only or constants())
    bench = _open(options)
    kept = _kept(options, bench)
    baseline = _variant(bench, kept, AS_IT_IS, {}, None)
    jobs = [(name, way) for name in names for way in ("half", "double")]
    if options.processes > 1:
        # Of the module as it is imported, not of the program: what this process holds is not sent along.
        run = import_module("tests.benchmarks.sensitivity")._elsewhere
        parallel = joblib.Parallel(options.processes, return_as="generator_unordered", batch_size=1)
        done = parallel(joblib.delayed(run)(options, *job) for job in jobs)
    else:
        done = (_elsewhere(options, *job) for job in jobs)
    for number, (name, way) in enumerate(done, 1):
        console.print(f"{number} of {len(jobs)}: {name} {way}")
    return {
        "images": str(options.images),
        "settings": {"size": options.size, "epochs": options.epochs, "controls": options.controls},
        "baseline": _scores(baseline),
        "constants": [_compared(bench, kept, baseline, name) for name in names],
    }


_OPENED: dict[str, _Bench] = {}  # of this process


def _open(options: argparse.Namespace) -> _Bench:
    key = f"{options.images} {options.size} {options.epochs} {options.kinds} {options.plant}"
    if key not in _OPENED:
        world = open_world(
            options.images, 0, options.size, options.epochs, options.cache, None, options.architecture
        )
        _OPENED[key] = _Bench(world, options.controls, tuple(options.kinds), options.faults, options.plant)
    return _OPENED[key]


def _kept(options: argparse.Namespace, bench: _Bench) -> Path:
    cache: Path = options.cache
    asked = repr([bench.world.name, options.controls, options.kinds, options.faults, options.plant])
    return cache / f"sensitivity-{code()}" / blake2b(asked.encode(), digest_size=5).hexdigest()


def _elsewhere(options: argparse.Namespace, name: str, way: str) -> tuple[str, str]:
    """Run all nights with one constant changed, in whatever process this is."""
    bench = _open(options)
    kept = _kept(options, bench)
    baseline = _variant(bench, kept, AS_IT_IS, {}, None)
    value = {"half": half, "double": double}[way](constants()[name])
    _variant(bench, kept, f"{name}-{way}", {name: value}, baseline)
    return name, way


def _variant(
    bench: _Bench, kept: Path, label: str, changes: Mapping[str, Value], baseline: Result | None
) -> Result:
    """The nights with some constants changed, as kept or run now; those that never read them are the same."""
    path = kept / f"{label}.json"
    if path.is_file():
        held: Result = json.loads(path.read_text(encoding="utf-8"))
        return held
    found = {}
    for key in bench.nights:
        before = baseline["nights"].get(key) if baseline else None
        if before and not set(changes) & set(before["read"]):
            found[key] = before
        else:
            night, read = bench.run(key, changes)
            found[key] = {"night": night, "read": read}
    result: Result = {"changes": dict(changes), "nights": found}
    write_whole(path, json.dumps(result).encode())
    return result


# --- what changes ---


def _compared(bench: _Bench, kept: Path, baseline: Result, name: str) -> Result:
    """A constant as it is, halved and doubled."""
    value = constants()[name]
    result: Result = {"name": name, "value": value}
    for way, change in (("half", half), ("double", double)):
        found = _variant(bench, kept, f"{name}-{way}", {name: change(value)}, baseline)
        result[way] = {
            "value": change(value),
            "read": sum(name in night["read"] for night in baseline["nights"].values()),
            "changed": sorted(key for key in bench.nights if _claims(found, key) != _claims(baseline, key)),
            **_scores(found),
        }
    return result


def _claims(result: Result, key: str) -> list[tuple[Any, ...]]:
    """What a night claims: of every failure mode its size and cause."""
    modes = result["nights"][key]["night"]["modes"]
    return [
        (mode["errors"], mode["claimed"], mode["cause"], mode["family"], mode["operation"], *mode["pair"])
        if mode["claimed"]
        else (mode["errors"], False, mode["cause"])
        for mode in modes
    ]


def _scores(result: Result) -> Result:
    found = [each["night"] for each in result["nights"].values()]
    single, double, none = (
        score([night for night in found if night["kind"] in kinds])
        for score, kinds in (
            (scores.single, ("single",)),
            (scores.double, ("double",)),
            (scores.clean, ("clean", "labels")),
        )
    )
    return {
        "one_cause": _count(single, "top1"),
        "wrong_claims": _count(single, "wrong_claim"),
        "two_causes": _count(double, "both"),
        "purity": round(double["purity"], 3) if double["nights"] else None,
        "false_causes": _count(none, "false_cause"),
        "nights": len(found),
    }


def _count(found: Result, name: str) -> int:
    """How many nights a share of them is."""
    return round(found[name] * found["nights"]) if found["nights"] else 0


def _show(answer: Result) -> None:
    def said(found: Result) -> str:
        return " / ".join(
            str(found[name]) for name in ("one_cause", "wrong_claims", "two_causes", "false_causes")
        )

    table = Table(
        "constant",
        "value",
        "half: nights changed",
        "scores",
        "double: nights changed",
        "scores",
        title=f"one cause right / wrong / two causes / false causes; as it is: {said(answer['baseline'])}",
    )
    for each in answer["constants"]:
        row = [each["name"], str(each["value"])]
        for way in ("half", "double"):
            row += [str(len(each[way]["changed"])), said(each[way])]
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main())
