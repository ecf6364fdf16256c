"""Damaged inputs of every kind, given to the library and to the command line.

    python -m tests.benchmarks.fuzz --each 400 --seed 0

Logs, tables of images, settings, recipes and images are damaged at random: bytes turned, cut, doubled and
put in, lines exchanged, numbers made enormous, the encoding changed. Whatever comes of it has to be an
answer, or an error of ours that says what is wrong: no traceback, nothing that hangs, and no row of a log
that is neither kept nor set aside. Prints how many of each kind were accepted and refused, the slowest, and
the peak memory.
"""

import argparse
import contextlib
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import cv2
import numpy as np

from fmi_engine.errors import EngineError
from inspection.cli import entry
from inspection.console import Console
from inspection.errors import InspectionError
from inspection.inputs.defect_log import read_defect_log, write_defect_log
from inspection.inputs.image_sets import read_image_set
from inspection.inputs.images import check_image, read_image
from inspection.recipes import load_recipe
from inspection.workspace.folder import create_workspace
from inspection.workspace.settings import default_toml, load_settings
from inspection.workspace.store import Store

console = Console(stderr=True)

HANGS = 30  # seconds that no input may take
CLASSES = ("good", "scratch", "stain")
RECIPES = Path(__file__).parents[1] / "compatibility" / "version_0_1" / "recipes"
NASTY = (
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b",", b";", b"\t", b"\r", b"\n", b"1e999", b"nan"),
    *("ä日\u202e\U0001f600".encode(), b"=cmd|' /C calc'!A0", b"9" * 400, b"[" * 2000, b"{" * 2000, b"&a *a"),
    *(b"../" * 40, b"C:\\x\\y.png", b"file:///etc/passwd", b"~/x", b"a" * 70_000),
    b"!!python/object/apply:os.system [id]",
)
NUMBERS = (b"-1", b"0", b"1e308", b"99999999999999999999", b"nan", b"0.0")


@dataclass
class Tally:
    """What came of the inputs of one kind."""

    came_of: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0  # seconds
    wrong: list[str] = field(default_factory=list)


class HangsError(Exception):
    """An input took too long."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 1 where an input gave anything but an answer or an error of ours."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=400, help="inputs of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGALRM, _hangs)
    with tempfile.TemporaryDirectory(prefix="fmi-fuzz-") as folder:
        root = Path(folder)
        os.chdir(root)
        kinds = _kinds(root)
        tallies = {
            name: _tried(root, name, *kind, options.each, options.seed) for name, kind in kinds.items()
        }
    for name, tally in tallies.items():
        told = ", ".join(f"{count} {what}" for what, count in sorted(tally.came_of.items()))
        print(f"{name}: {told}; slowest {tally.slowest:.1f} s")
        for each in tally.wrong:
            print(f"  {each}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    wrong = sum(len(tally.wrong) for tally in tallies.values())
    print(f"{options.each * len(tallies)} inputs, {wrong} wrong, peak memory {peak:.1f} GB")
    return 1 if wrong else 0


def _hangs(_signal: int, _frame: FrameType | None) -> None:
    raise HangsError


# --- what is tried ---

Attempt = Callable[[Path], str]  # what came of a file: accepted, refused, ...


def _kinds(root: Path) -> dict[str, tuple[list[tuple[str, bytes]], Attempt]]:
    """Sound inputs of every kind, by file name and content, and what is done with the damaged ones."""
    rng = np.random.default_rng(0)
    pictures = root / "pictures"
    for label in CLASSES:
        (pictures / label).mkdir(parents=True)
        for i in range(4):
            picture = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            cv2.imwrite(str(pictures / label / f"{i}.png"), picture)
    logs, tables = _logs(root, pictures), _tables(root)
    workspace = create_workspace(root / "site")
    Store(workspace.store_path).create()
    toml = [("fmi.toml", default_toml().encode())]
    recipes = [(path.name, path.read_bytes()) for path in sorted(RECIPES.rglob("*.yaml"))]
    return {
        "logs, read": (logs, _read_log),
        "tables of images, read": (tables, _read_table),
        "tables of images, by fmi register": (tables, _register),
        "settings, read": (toml, _read_settings),
        "settings, by fmi sql": (toml, _sql),
        "recipes, read": (recipes, _read_recipe),
        "recipes, by fmi recipe check": (recipes, _check_recipe),
        "images, read": (_images(rng), _read_image),
    }


def _logs(root: Path, pictures: Path) -> list[tuple[str, bytes]]:
    rows = [
        {
            "image_path": str(path),
            "predicted_label": CLASSES[i % 3],
            "true_label": path.parent.name,
            "inspection_id": f"i{i}",
            "captured_at": "2026-07-01T09:05:00+09:00",
            "line": "L1",
            "lot": "0013",
            "score": 0.9,
        }
        for i, path in enumerate(sorted(pictures.rglob("*.png")))
    ]
    found = []
    for name in ("log.csv", "log.parquet", "log.jsonl"):
        write_defect_log(root / name, rows)
        found.append((name, (root / name).read_bytes()))
    text = found[0][1].decode()
    found += [("utf16.csv", text.encode("utf-16")), ("semicolons.csv", text.replace(",", ";").encode())]
    array = "[" + ",".join(found[2][1].decode().strip().split("\n")) + "]"
    return [*found, ("log.json", array.encode())]


def _tables(root: Path) -> list[tuple[str, bytes]]:
    lines = ["image,label,split,lot"]
    for label in CLASSES:
        lines += [f"pictures/{label}/{i}.png,{label},{'train' if i else 'val'},00{i}" for i in range(4)]
    text = "\n".join(lines) + "\n"
    records = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    return [
        ("table.csv", text.encode()),
        ("table.tsv", text.replace(",", "\t").encode("cp932")),
        ("table.jsonl", "\n".join(json.dumps(each) for each in records).encode()),
    ]


def _images(rng: np.random.Generator) -> list[tuple[str, bytes]]:
    grey = cv2.GaussianBlur(rng.integers(0, 256, (48, 64), dtype=np.uint8), (5, 5), 1)
    colour = np.dstack([grey, grey[::-1], grey[:, ::-1]])
    deep = grey.astype(np.uint16) * 16
    found = []
    for suffix, picture in (
        *((".png", each) for each in (grey, colour, deep)),
        *((".jpg", each) for each in (grey, colour)),
        *((".tif", each) for each in (grey, colour, deep)),
        *((".bmp", each) for each in (grey, colour)),
        *((".webp", colour), (".pgm", grey), (".ppm", colour), (".pgm", deep)),
    ):
        found.append((f"picture{suffix}", cv2.imencode(suffix, picture)[1].tobytes()))
    return found


def _read_log(path: Path) -> str:
    log = read_defect_log(path, {}, CLASSES)
    numbers = [*(each.row for each in log.rows), *(each.row for each in log.set_aside)]
    if len(numbers) != len(set(numbers)):
        raise AssertionError("a row stands there twice")
    if numbers and path.suffix == ".csv" and max(numbers) > len(numbers) + _blank_lines(path):
        raise AssertionError(f"{max(numbers)} rows, of which {len(numbers)} are kept or set aside")
    return "accepted"


def _blank_lines(path: Path) -> int:
    """Lines that may hold nothing, which are no rows: those without a letter or a digit."""
    data = path.read_bytes().replace(b"\r", b"\n")
    return sum(not any(0x30 <= byte < 0x80 or byte >= 0x80 for byte in line) for line in data.split(b"\n"))


def _read_table(path: Path) -> str:
    read_image_set(path)
    return "accepted"


def _read_settings(path: Path) -> str:
    load_settings(path)
    return "accepted"


def _read_recipe(path: Path) -> str:
    load_recipe(path)
    return "accepted"


def _read_image(path: Path) -> str:
    check_image(path)
    read_image(path, (32, 32), 3)
    return "accepted"


def _register(path: Path) -> str:
    options = (
        "-a",
        "resnet18",
        "--classes",
        ",".join(CLASSES),
        "--reference",
        path,
        "-w",
        path.parent / "site",
    )
    return _command("register", path.parent / "none.pt", *options)


def _sql(path: Path) -> str:
    (path.parent / "site" / "fmi.toml").write_bytes(path.read_bytes())
    return _command("sql", "SELECT count(*) FROM nights", "-w", path.parent / "site")


def _check_recipe(path: Path) -> str:
    return _command("recipe", "check", path)


def _command(*arguments: object) -> str:
    """Run a command in this process; what it prints must hold no traceback, and its exit code be ours."""
    before, argv = set(Path.cwd().glob("fmi-crash-*")), sys.argv
    sys.argv = ["fmi", *map(str, arguments)]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = entry.run()
    finally:
        sys.argv = argv
    if code not in (0, 2) or "Traceback" in said.getvalue() or set(Path.cwd().glob("fmi-crash-*")) - before:
        raise AssertionError(f"exit code {code}: {said.getvalue()[-300:]}")
    return "accepted" if code == 0 else "refused"


# --- how inputs are damaged ---


def _tried(
    root: Path, kind: str, sound: list[tuple[str, bytes]], attempt: Attempt, count: int, seed: int
) -> Tally:
    tally = Tally()
    for number in range(count):
        rng = random.Random(f"{seed} {kind} {number}")
        name, data = rng.choice(sound)
        path = root / name
        path.write_bytes(_damaged(rng, data))
        began = time.monotonic()
        signal.alarm(HANGS)
        try:
            came_of = attempt(path)
        except (InspectionError, EngineError) as error:
            came_of = "refused" if str(error).strip() else "refused without a word"
        except HangsError:
            came_of = "hung"
        except BaseException as error:  # whatever is raised is what this looks for
            came_of = f"{type(error).__name__}"
            tally.wrong.append(f"seed {seed}, number {number} ({name}): {came_of}: {str(error)[:300]}")
        finally:
            signal.alarm(0)
        if came_of in ("hung", "refused without a word"):
            tally.wrong.append(f"seed {seed}, number {number} ({name}): {came_of}")
        tally.came_of[came_of] += 1
        tally.slowest = max(tally.slowest, time.monotonic() - began)
        path.unlink()
    console.print(f"{kind}: done")
    return tally


def _damaged(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        data = rng.choice((_turned, _cut, _doubled, _put_in, _lines_moved, _numbers, _encoded))(rng, data)
    return data


def _place(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 2, 8, 64, 512)))


def _turned(rng: random.Random, data: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 4, 32))):
        if found:
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def _cut(rng: random.Random, data: bytes) -> bytes:
    start, end = _place(rng, data)
    return data[:start] if rng.random() < 0.3 else data[:start] + data[end:]


def _doubled(rng: random.Random, data: bytes) -> bytes:
    start, end = _place(rng, data)
    return data[:end] + data[start:end] * rng.choice((1, 2, 50)) + data[end:]


def _put_in(rng: random.Random, data: bytes) -> bytes:
    start, _ = _place(rng, data)
    return data[:start] + rng.choice(NASTY) + data[start:]


def _lines_moved(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def _numbers(rng: random.Random, data: bytes) -> bytes:
    digits = [i for i, byte in enumerate(data) if 0x30 <= byte <= 0x39]
    if not digits:
        return data
    at = rng.choice(digits)
    return (
        data[:at]
        + rng.choice((b"-1", b"0", b"1e308", b"99999999999999999999", b"nan", b"0.0"))
        + data[at + 1 :]
    )


def _encoded(rng: random.Random, data: bytes) -> bytes:
    text = data.decode("utf-8", "replace")
    return text.encode(rng.choice(("utf-16", "utf-16-be", "cp932", "cp1252", "utf-8-sig")), "replace")


if __name__ == "__main__":
    sys.exit(main())
