"""`fmi doctor`: the parts of this installation, their versions, the device, and known clashes."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

import typer
from rich.text import Text

from inspection.cli.app import app, console


@app.command()
def doctor() -> None:
    """Check this installation: the parts, their versions, the device, and known clashes."""
    findings = examine()
    for finding in findings:
        mark = ("ok  ", "green") if finding.fine else ("bad ", "red")
        console.print(Text.assemble(mark, f" {finding.subject}: {finding.detail}"))
    if not all(finding.fine for finding in findings):
        raise typer.Exit(1)


PARTS = ("torch", "torchvision", "prefect", "opencv-python-headless", "albumentations", "duckdb", "fastapi")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    subject: str
    detail: str
    fine: bool


def examine() -> list[Finding]:
    """Look at everything that is known to go wrong."""
    return [
        Finding("python", platform.python_version(), True),
        *(_version(part) for part in PARTS),
        _opencv_clash(),
        _tried("torchvision imports", _torchvision),
        _tried("compute device", _device),
        _tried("albumentations", _albumentations),
    ]


def _version(part: str) -> Finding:
    try:
        version: str | None = metadata.version(part)  # None where a broken removal left an empty folder
    except metadata.PackageNotFoundError:
        version = None
    if version:
        return Finding(part, version, True)
    return Finding(part, "not installed: install this project again with pip", False)


def _opencv_clash() -> Finding:
    names = ("opencv-python", "opencv-contrib-python", "opencv-python-headless")
    installed = [name for name in names if _version(name).fine]
    if len(installed) <= 1:
        return Finding("opencv builds", "one, as it should be", True)
    return Finding(
        "opencv builds",
        f"{' and '.join(installed)} install into the same folder, and chance decides which one runs. "
        f"Uninstall all of them, then install opencv-python-headless alone.",
        False,
    )


def _tried(subject: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, attempt(), True)
    except Exception as error:  # whatever is wrong with a part is what this is here to tell
        return Finding(subject, f"{type(error).__name__}: {error}", False)


def _torchvision() -> str:
    from fmi_engine.vision import torchvision

    return f"{len(torchvision().models.list_models())} architectures"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"processor, {torch.get_num_threads()} threads"


def _albumentations() -> str:
    from inspection.operations.catalogue import CATALOGUE

    return f"{len(CATALOGUE)} operations in the catalogue"
