"""What a night takes as it grows: memory, disk and time, beside bare passes over the same images.

    python -m tests.benchmarks.scale --errors 1000 3000 10000

A line of RGB images is rendered, a small network trained on it, and the lamp dimmed; what it then gets wrong
is copied with noise until there are as many errors as are asked for, as JPEG files in a log with times,
cameras and lots. A first night of a few errors measures the model. Then each night is a process of its own,
of which the memory is read while it runs: all that it holds (as the system counts it, mapped files among
it), and what of it is no file's (anonymous). One thread. 10,000 errors take about 3 GB of disk.

    python -m tests.benchmarks.scale --errors 1000 --workers 0 2 3

With --workers the same is done in a copy of the workspace for each number of Dask workers on this machine, 0
for none. The memory is that of the night's own process. The processor's cores bound what workers gain.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fmi_engine.classifier import Classifier
from inspection.inputs.defect_log import write_defect_log
from inspection.inputs.images import write_image
from inspection.inputs.sample_line import DEFECTS, SampleLine
from inspection.models.registry import load_model
from inspection.workspace.files import bytes_of
from inspection.workspace.folder import open_workspace
from inspection.workspace.store import Store

FIRST = 100  # errors of the night that measures the model
TINT = np.array([1.0, 0.92, 0.8])  # of the light, red first
BARE = 256  # images over which bare passes are timed
EVERY = 0.2  # seconds between two looks at a night's memory
SETTINGS = """
[compute]
batch_size = 32
[inversion]
filters = 1
sources = 2
[matching]
reference_images = 20
[training]
architecture = "three_layers:network"
"""
NETWORK = '''"""Three layers, for a CPU."""
from torch import nn


def network(classes, channels):
    """16, 32 and 64 filters."""
    parts, before = [], channels
    for width in (16, 32, 64):
        parts += [nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        before = width
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))
'''


@dataclass(frozen=True, slots=True)
class Error:
    """An image that the model gets wrong, and what it says."""

    image: NDArray[np.uint8]
    predicted: str
    true: str


@dataclass(frozen=True, slots=True)
class Run:
    """What a night took."""

    errors: int  # that the model made again
    seconds: float  # of the process, start and end among them
    steps: dict[str, float]  # seconds
    peak: int  # bytes
    anonymous: int  # bytes
    held: int  # bytes on disk while it ran
    modes: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--errors", type=int, nargs="+", default=[1000, 3000, 10000])
    parser.add_argument("--workers", type=int, nargs="+", default=[0], help="Dask's; 0: none")
    parser.add_argument("--size", type=int, default=224, help="pixels of a side")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="fmi-scale-") as folder:
        site = _line(Path(folder), options.size)
        errors, bare = _errors(site, options.size)
        print(f"{len(errors)} different errors; bare passes take {1000 * bare:.1f} ms an image", flush=True)
        for workers in options.workers:
            mine = _with_workers(site, workers)
            print(f"{workers or 'no'} workers, {os.cpu_count()} cores", flush=True)
            for count in (FIRST, *options.errors):
                print(_told(_night(mine, errors, count), bare), flush=True)


def _with_workers(site: Path, workers: int) -> Path:
    """A copy of a workspace whose nights have so many workers of their own."""
    mine = site.with_name(f"{site.name}-{workers}")
    shutil.copytree(site, mine)
    with (mine / "fmi.toml").open("a", encoding="utf-8") as settings:
        settings.write(f'[spread]\nrunner = "dask"\nprocesses = {workers}\n' if workers else "")
    return mine


def _line(root: Path, size: int) -> Path:
    site, rng = root / "site", np.random.default_rng(1)
    for defect in DEFECTS:
        for i in range(40):
            write_image(
                root / "commissioned" / defect / f"{i}.png", _rendered(SampleLine(size=size), defect, rng)
            )
    site.mkdir()
    (site / "fmi.toml").write_text(SETTINGS, encoding="utf-8")
    (site / "three_layers.py").write_text(NETWORK, encoding="utf-8")
    _fmi("init", site)
    _fmi("train", root / "commissioned", "--input-size", size, "--channels", 3, "-w", site)
    return site


def _rendered(line: SampleLine, defect: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    grey = line.render(defect, rng).reshape(line.size, line.size, 1)
    return np.asarray(np.rint(grey * TINT), np.uint8)


def _errors(site: Path, size: int) -> tuple[list[Error], float]:
    """The surer half of what the model gets wrong under a dimmer lamp; seconds of bare passes an image."""
    workspace = open_workspace(site)
    model = Store(workspace.store_path).model(None)
    classifier, rng = load_model(site, model, "cpu"), np.random.default_rng(2)
    line = SampleLine(size=size).aged(0.4)
    labels = [defect for defect in DEFECTS for _ in range(60)]
    images = np.stack([_rendered(line, defect, rng) for defect in labels])
    probability = classifier.predict(images)
    wrong = [i for i, row in enumerate(probability) if model.class_names[row.argmax()] != labels[i]]
    wrong.sort(key=lambda i: -float(np.ptp(np.sort(probability[i])[-2:])))
    found = [
        Error(images[i], model.class_names[probability[i].argmax()], labels[i])
        for i in wrong[: len(wrong) // 2]
    ]
    return found, _bare(classifier, images[:BARE])


def _bare(classifier: Classifier, images: NDArray[np.uint8]) -> float:
    """Seconds that a forward and a backward pass take, for each image."""

    def run() -> None:
        for i in range(0, len(images), 32):
            x = classifier.prepare(images[i : i + 32]).requires_grad_(True)
            with torch.enable_grad():
                classifier.network(x).sum().backward()

    run()
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) / len(images)


def _night(site: Path, errors: Sequence[Error], count: int) -> Run:
    with tempfile.TemporaryDirectory(prefix="fmi-scale-log-", dir=site.parent) as folder:
        log = Path(folder) / "log.csv"
        write_defect_log(log, _rows(errors, count, Path(folder)))
        return _watched(site, log)


def _rows(errors: Sequence[Error], count: int, folder: Path) -> Iterator[dict[str, object]]:
    rng, began = np.random.default_rng(count), datetime(2026, 7, 4, tzinfo=UTC)
    for i in range(count):
        error, path = errors[i % len(errors)], folder / f"{i:06d}.jpg"
        noise = rng.integers(-2, 3, error.image.shape)
        noisy = np.clip(error.image + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(path), noisy[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        yield {
            "image_path": path,
            "predicted_label": error.predicted,
            "true_label": error.true,
            "captured_at": began + timedelta(days=i / count),
            "camera": int(rng.integers(1, 5)),
            "lot": f"L{rng.integers(40):02d}",
        }


def _watched(site: Path, log: Path) -> Run:
    """Run a night in a process of its own and look at its memory until it has ended."""
    start = time.perf_counter()
    with (log.parent / "said").open("w+") as said:
        process = _started("night", log, "-w", site, "--json", said=said)
        peak = anonymous = held = 0
        while process.poll() is None:
            memory = _memory(process.pid)
            peak, anonymous = max(peak, memory.get("VmHWM", 0)), max(anonymous, memory.get("RssAnon", 0))
            held = max(held, _held(site))
            time.sleep(EVERY)
        seconds = time.perf_counter() - start
        said.seek(0)
        text = said.read()
    if process.returncode:
        raise SystemExit(f"{process.args!r} left with {process.returncode}: {text}")
    night = Store(open_workspace(site).store_path).night(json.loads(text)["night_id"])
    return Run(night.errors_read, seconds, night.seconds, peak, anonymous, held, len(night.modes))


def _memory(pid: int) -> dict[str, int]:
    """Bytes, by what the system calls them; nothing where the process has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): 1024 * int(number) for name, number, _ in pairs}


def _held(site: Path) -> int:
    try:
        return bytes_of(site / ".prefect" / "errors") + bytes_of(site / ".prefect" / "results")
    except OSError:  # removed meanwhile
        return 0


def _told(run: Run, bare: float) -> str:
    steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in run.steps.items())
    return (
        f"{run.errors:6d} errors: {run.seconds:7.1f} s ({run.seconds / (bare * run.errors):.2f} times bare), "
        f"memory {run.peak / 1e6:6.0f} MB, of it anonymous {run.anonymous / 1e6:6.0f} MB, "
        f"held on disk {run.held / 1e6:6.0f} MB, {run.modes} modes; seconds: {steps}"
    )


def _started(*command: object, said: IO[str] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "inspection.cli", *map(str, command)],
        stdout=said or subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def _fmi(*command: object) -> None:
    process = _started(*command)
    if process.wait():
        raise SystemExit(f"{process.args!r} left with {process.returncode}")


if __name__ == "__main__":
    main()
