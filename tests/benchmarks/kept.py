"""Results that are kept as they come, so that a stopped run goes on there."""

import argparse
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

import fmi_engine
import inspection
from fmi_engine.classifier import Classifier
from inspection.console import Console
from inspection.errors import InspectionError
from inspection.workspace.files import replacing, write_whole
from tests.benchmarks.world import World

Result = dict[str, Any]


class Kept:
    """The nights of one world, kept as they come."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder = folder / f"{world.name}-{world.model.model_hash[:10]}"
        self.world = world

    def get(self, key: str) -> Result | None:
        """A night that was kept."""
        path = self.folder / f"{key}.json"
        if not path.is_file():
            return None
        held: Result = json.loads(path.read_text(encoding="utf-8"))
        return held

    def put(self, key: str, result: Result) -> Result:
        """Keep a night."""
        path = self.folder / f"{key}.json"
        result = {"seed": self.world.seed, **result}
        write_whole(path, json.dumps(result, indent=1).encode())
        return result

    def candidate(self, key: str, train: Callable[[], Classifier]) -> Classifier:
        """A candidate that serves several faults: trained once."""
        path, deployed = self.folder / f"{key}.pt", self.world.subject.classifier
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as partial_file:
                torch.save(train().network.state_dict(), partial_file)
        network = deepcopy(deployed.network)
        network.load_state_dict(torch.load(path, weights_only=True))
        return Classifier(network, deployed.class_names, deployed.preprocessing, deployed.device)


def code() -> str:
    """The hash of everything that a night's result rests on."""
    folders = [Path(package.__file__ or "").parent for package in (fmi_engine, inspection)]
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    files += sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:10]


def exit_code(
    name: str,
    options: argparse.Namespace,
    run: Callable[[argparse.Namespace], Result],
    show: Callable[[Result], None],
    console: Console,
) -> int:
    """Run a benchmark as a command: what it answers is written to `options.json` and shown.

    0, or 2 for what a user can mend and 130 for an interruption, told in one line each.
    """
    try:
        answer = run(options)
    except (InspectionError, ValueError) as error:
        console.print(f"{name}: {error}")
        return 2
    except BrokenExecutor:
        console.print(
            f"{name}: one of {options.processes} processes was ended before it was done, as a machine does "
            "that runs out of memory; what is finished is kept: run the same command with fewer --processes"
        )
        return 2
    except KeyboardInterrupt:
        console.print("interrupted; what is finished is kept, and the same command goes on from there")
        return 130
    write_whole(options.json, json.dumps(without_nan(answer), indent=1, allow_nan=False).encode())
    show(answer)
    return 0


def without_nan(value: Any) -> Any:
    """The same with null for what is not a number, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


@contextmanager
def bar(console: Console, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar that shows how far a run has come."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console) as bars:
        task = bars.add_task(name, total=total)
        yield lambda count: bars.advance(task, count)
