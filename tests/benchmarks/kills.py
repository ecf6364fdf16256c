"""Nights and retrainings that are killed at random moments, and what is left of that when they are run again.

    python -m tests.benchmarks.kills --nights 20 --retrainings 10 --seed 0

A line is rendered, a model trained, and one night and one retraining run undisturbed. Then each is started
again in a fresh copy of the workspace, killed (kill -9) at a random moment, and started once more. What the
store holds after that has to be what it holds undisturbed, row for row but for times, and nothing may be left
over: no process, no half-written file, nothing that was kept between steps.
"""

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from inspection.console import Console
from inspection.inputs.sample_line import SampleLine, write_images

console = Console(stderr=True)

SIZE = 48  # pixels
LEAVING = 20  # seconds in which a Prefect server whose parent was killed has left
SETTINGS = """
[compute]
batch_size = 16
[inversion]
filters = 1
sources = 2
[matching]
reference_images = 12
[training]
input_size = 48
epochs = 6
fine_tune_epochs = 6
fine_tune_steps = 100
"""
TIMES = {
    "nights": ("started_at", "finished_at", "seconds", "message"),
    "models": ("registered_at",),
    "retrainings": ("retraining_id", "started_at", "finished_at"),
    "retrained_modes": ("retraining_id",),
    "arms": ("retraining_id", "seconds"),
    "accuracies": ("retraining_id",),
    "class_accuracies": ("retraining_id",),
    "gate_checks": ("retraining_id",),
    "judged_images": ("retraining_id",),
    "filters_after": ("retraining_id",),
}  # columns that no two runs share


@dataclass(frozen=True, slots=True)
class Line:
    """What the runs begin with: a workspace with a model, and where its log and its images lie."""

    base: Path
    log: Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 1 where anything differs or is left over."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nights", type=int, default=20)
    parser.add_argument("--retrainings", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(arguments)
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="fmi-kills-") as folder:
        root = Path(folder)
        os.environ["TMPDIR"] = str(root / "temporary")
        (root / "temporary").mkdir()
        line = _line(root)
        night = _tried(root, line, ("night", line.log), options.nights, moments)
        diagnosed = Line(root / "undisturbed-night", line.log)
        retraining = _tried(root, diagnosed, ("retrain",), options.retrainings, moments)
    print(f"{options.nights} killed nights: {night} differ or leave something")
    print(f"{options.retrainings} killed retrainings: {retraining} differ or leave something")
    return 1 if night or retraining else 0


def _line(root: Path) -> Line:
    line = SampleLine(finish="brushed", size=SIZE)
    write_images(line, root / "commissioned", per_class=24, seed=1)
    write_images(line.aged(0.4), root / "aged", per_class=16, seed=2)
    base = root / "base"
    base.mkdir()
    (base / "fmi.toml").write_text(SETTINGS, encoding="utf-8")
    for command in (
        ("init", base),
        ("train", root / "commissioned", "-w", base),
        ("evaluate", root / "aged", "--log", root / "log.csv", "-w", base),
    ):
        _finish(_started(*command))
    return Line(base, root / "log.csv")


def _tried(root: Path, line: Line, command: tuple[object, ...], count: int, moments: random.Random) -> int:
    """How many of so many killed runs of a command came to something else, or left something."""
    undisturbed = root / f"undisturbed-{command[0]}"
    shutil.copytree(line.base, undisturbed)
    began = time.monotonic()
    _finish(_started(*command, "-w", undisturbed))
    seconds = time.monotonic() - began
    expected, wrong = _rows(undisturbed), 0
    console.print(f"{command[0]}: {seconds:.1f} s undisturbed")
    for number in range(1, count + 1):
        site, moment = root / "killed", moments.uniform(0.2, seconds)
        shutil.copytree(line.base, site)
        process = _started(*command, "-w", site)
        time.sleep(moment)
        over = process.poll() is not None
        process.kill()
        process.wait()
        _finish(_started(*command, "-w", site))
        found = [*_differences(expected, _rows(site)), *_left_over(root, site)]
        wrong += bool(found)
        when = "after its end" if over else f"after {moment:.1f} s"
        console.print(f"{command[0]} {number} of {count}, killed {when}: {'; '.join(found) or 'the same'}")
        shutil.rmtree(site)
    return wrong


def _started(*command: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "inspection.cli", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def _finish(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(f"{process.args!r} left with {process.returncode}: {said}")


def _rows(site: Path) -> dict[str, list[str]]:
    """The rows of every table without times, and the hashes of the files that they name."""
    found: dict[str, list[str]] = {}
    with duckdb.connect(str(site / "fmi.duckdb"), read_only=True) as connection:
        for (table,) in connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
        ).fetchall():
            columns = [row[0] for row in connection.execute(f'DESCRIBE "{table}"').fetchall()]
            kept = ", ".join(f'"{name}"' for name in columns if name not in TIMES.get(table, ()))
            rows = connection.execute(f'SELECT {kept} FROM "{table}"').fetchall()
            found[table] = sorted(map(repr, rows))  # as text: NaN is no NaN's equal
    files = [path for path in (site / "artifacts").rglob("*") if path.is_file()]
    found["files"] = sorted(
        f"{path.relative_to(site)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files
    )
    return found


def _differences(expected: dict[str, list[str]], found: dict[str, list[str]]) -> list[str]:
    return [
        f"{table} differs ({len(expected.get(table, []))} rows undisturbed, {len(found.get(table, []))} now)"
        for table in sorted({*expected, *found})
        if expected.get(table) != found.get(table)
    ]


def _left_over(root: Path, site: Path) -> list[str]:
    """Files and processes that nobody needs any more."""
    left = [str(path.relative_to(site)) for path in site.rglob("*") if re.fullmatch(r"\..*\.tmp", path.name)]
    left += [path.name for path in site.glob("models/*/measuring-*")]
    left += [path.name for path in site.glob("cache/training/*")]
    left += [path.name for kept in ("results", "errors") for path in site.glob(f".prefect/{kept}/*")]
    deadline = time.monotonic() + LEAVING
    while _processes(str(site)) and time.monotonic() < deadline:
        time.sleep(0.5)
    left += [path.name for path in (root / "temporary").glob("fmi-*")]
    left += [f"process {name}" for name in _processes(str(site))]
    return [f"{name} is left" for name in left]


def _processes(words: str) -> list[str]:
    """Processes with these words in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in said and path.parent.name != str(os.getpid()):
            found.append(f"{path.parent.name}: {said[:80]}")
    return found


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
