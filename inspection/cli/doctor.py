"""`fmi doctor`: this installation's parts, device and known clashes; what a workspace holds and waits for."""

import platform
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata

import typer
from rich.text import Text

from inspection.cli.app import app, console
from inspection.cli.options import WorkspaceOption, open_given
from inspection.console import bytes_in_words
from inspection.errors import InspectionError, WorkspaceError
from inspection.findings import NightState
from inspection.inputs.addresses import look
from inspection.models.promotion import deployed_in_turn
from inspection.nights.lines import state_of
from inspection.nights.night import INTERRUPTED, Site, copies, open_site, runs_now
from inspection.workspace.files import bytes_of
from inspection.workspace.folder import Workspace


@app.command()
def doctor(workspace: WorkspaceOption = None) -> None:
    """Check this installation: the parts, their versions, the device, and known clashes.

    Of the workspace, where there is one: what takes its space, and which nights were ended on the way.
    """
    findings = examine()
    with suppress(WorkspaceError) if workspace is None else nullcontext():
        findings += examine_workspace(open_given(workspace))
    for finding in findings:
        mark = ("ok  ", "green") if finding.fine else ("bad ", "red")
        console.print(Text.assemble(mark, f" {finding.subject}: {finding.detail}"))
    if not all(finding.fine for finding in findings):
        raise typer.Exit(1)


MOST_FOLDERS = 6  # the largest, that are named
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


def examine_workspace(workspace: Workspace) -> list[Finding]:
    """What takes a workspace's space, and which nights it says run."""
    sizes = {path.name: bytes_of(path) for path in workspace.root.iterdir()}
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:MOST_FOLDERS]
    told = ", ".join(f"{name} {bytes_in_words(size)}" for name, size in largest)
    space = f"{workspace.root} takes {bytes_in_words(sum(sizes.values()))}: {told}"
    running = _running(open_site(workspace.root))
    workers = _tried("work of a night", partial(_workers, workspace))
    return [Finding("workspace", space, True), workers, *running, *_stores(workspace), *_lines(workspace)]


def _stores(workspace: Workspace) -> Iterator[Finding]:
    """The object stores and servers that the settings name, each once."""
    of_lines = [workspace.of_line(name) for name in workspace.settings.lines]
    for address in dict.fromkeys(store for each in (workspace, *of_lines) for store in copies(each).stores):
        yield _tried(f"images at {address}", partial(_answers, address))


def _answers(address: str) -> str:
    look(address)
    return "can be seen"


def _lines(workspace: Workspace) -> Iterator[Finding]:
    for name in workspace.settings.lines:
        state = state_of(open_site(workspace.root, name))
        told = f"{state.read} logs read, {len(state.waiting)} wait, {len(state.set_aside)} set aside"
        detail = state.trouble or f"{told}; fmi schedule --show tells more"
        yield Finding(f"line {name}", detail, not state.trouble and not state.set_aside)
    yield from _unclear_models(open_site(workspace.root))


def _unclear_models(site: Site) -> Iterator[Finding]:
    """Lines that name no model, although models of several names are deployed."""
    turns = deployed_in_turn(site.store)
    unclear = [name for name, line in site.workspace.settings.lines.items() if not line.model]
    for name in unclear if len(turns) > 1 else ():
        detail = (
            "names no model, so its nights take the one that was deployed last "
            f"({site.store.model().called}); deployed are those called {', '.join(turns)}: write "
            f"model = 'NAME' under [lines.{name}]"
        )
        yield Finding(f"line {name}", detail, False)


def _running(site: Site) -> Iterator[Finding]:
    for night_id, state in site.store.states().items():
        if state is NightState.RUNNING:
            night = site.store.night(night_id)
            process = runs_now(site.workspace, night)
            line = f" --line {night.of_line}" if night.of_line else ""
            again = f"{INTERRUPTED}: fmi night {night.log_path}{line}"
            detail = f"is being run by {process}" if process else again
            yield Finding(f"night {night_id}", detail, process is not None)


def _version(part: str) -> Finding:
    try:
        # Of an empty folder that a broken removal left it is None, or the file is not found.
        version: str | None = metadata.version(part)
    except (metadata.PackageNotFoundError, FileNotFoundError):
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
        said = f"{error}" if isinstance(error, InspectionError) else f"{type(error).__name__}: {error}"
        return Finding(subject, said, False)


def _torchvision() -> str:
    from fmi_engine.vision import torchvision

    return f"{len(torchvision().models.list_models())} architectures"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"processor, {torch.get_num_threads()} threads"


def _workers(workspace: Workspace) -> str:
    from flows.crew import look

    return f"done by {look(workspace.settings.spread)}"


def _albumentations() -> str:
    from inspection.operations.catalogue import CATALOGUE

    return f"{len(CATALOGUE)} operations in the catalogue"
