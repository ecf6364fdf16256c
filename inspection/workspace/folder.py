"""A workspace: the folder that holds the settings, the store, artifacts, reports and models."""

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from inspection.errors import WorkspaceError
from inspection.workspace.files import write_whole
from inspection.workspace.settings import LineSettings, Settings, default_toml, load_settings

SETTINGS_FILE = "fmi.toml"
FOLDERS = ("artifacts", "reports", "models")


@dataclass(frozen=True, slots=True)
class Workspace:
    """The paths of one workspace and its settings."""

    root: Path
    settings: Settings  # those of the line, where it is opened for one
    line: str = ""  # of [lines] in fmi.toml; empty: none in particular

    @property
    def line_settings(self) -> LineSettings:
        """What is set of the line that it is opened for."""
        return self.settings.lines[self.line]

    @property
    def lines_model(self) -> str | None:
        """The model that the line names; None: the deployed one."""
        return (self.line_settings.model if self.line else "") or None

    def of_line(self, line: str) -> "Workspace":
        """The same with the settings of a line, or with the common ones where fmi.toml has none of it."""
        known = line in self.settings.lines
        return replace(self, settings=self.settings.of_line(line), line=line) if known else self

    @property
    def store_path(self) -> Path:
        """The DuckDB file of the findings."""
        return self.root / "fmi.duckdb"

    @property
    def access_path(self) -> Path:
        """The file of the accounts, where others may use the dashboard."""
        return self.root / "access.sqlite"

    @property
    def prefect_home(self) -> Path:
        """Where Prefect keeps its own database and results for this workspace."""
        return self.root / ".prefect"

    @property
    def leases(self) -> Path:
        """Where it is noted which process does what."""
        return self.prefect_home / "leases"

    @property
    def held_errors(self) -> Path:
        """Where the images and the screening of nights' errors lie while they run."""
        return self.prefect_home / "errors"

    def held_of(self, nights: Collection[str]) -> list[Path]:
        """The folders in which errors of nights lie; of one that was killed on the way it may be several."""
        return [path for path in self.held_errors.glob("*-*") if path.name.rpartition("-")[0] in nights]

    @property
    def primitive_cache(self) -> Path:
        """Where inverted pictures are kept: a filter that is known costs nothing a second night."""
        return self.root / "cache" / "primitives"

    @property
    def unfinished(self) -> Path:
        """Where trainings stand that have not ended yet."""
        return self.root / "cache" / "training"

    @property
    def copies(self) -> Path:
        """Where copies of logged images lie that have an address."""
        return self.root / "copies"

    def night_folder(self, night_id: str) -> Path:
        """The folder of a night's pictures and recipe."""
        return self.root / "artifacts" / night_id

    def report_path(self, night_id: str) -> Path:
        """The self-contained HTML report of a night."""
        return self.root / "reports" / f"{night_id}.html"

    def model_folder(self, model_hash: str) -> Path:
        """The folder of a model's weights."""
        return self.root / "models" / model_hash[:16]

    def relative(self, path: Path) -> str:
        """Name a file of the workspace relative to it, with forward slashes."""
        return path.relative_to(self.root).as_posix()

    def check_writable(self) -> None:
        """Raise WorkspaceError where the workspace cannot be written to."""
        for folder in (self.root, *(self.root / name for name in FOLDERS)):
            _try_writing(folder)


def create_workspace(root: Path, settings_text: str | None = None) -> Workspace:
    """Make fmi.toml and the folders; what is there already is kept.

    A new fmi.toml has the text given, or every setting with its default. Raises WorkspaceError.
    """
    root = root.absolute()
    _check_name(root)
    try:
        for name in FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)
        settings = root / SETTINGS_FILE
        if not settings.exists():
            write_whole(settings, (settings_text or default_toml()).encode())
    except OSError as error:
        raise WorkspaceError(
            f"{root} cannot be made a workspace: {error.strerror}. Give a folder that you may write to."
        ) from None
    return open_workspace(root)


def open_workspace(root: Path, line: str = "") -> Workspace:
    """Open the workspace at `root`, for one of its lines where one is named.

    Raises WorkspaceError where there is none.

    A workspace is code: the `module:function` of its models is looked for in its folder, after everything
    that is installed.
    """
    root = root.absolute()
    _check_name(root)
    settings = root / SETTINGS_FILE
    if not settings.is_file():
        raise WorkspaceError(
            f"{root} is no workspace: it has no {SETTINGS_FILE}. Make one with `fmi init {root}`."
        )
    if str(root) not in sys.path:
        sys.path.append(str(root))
    loaded = load_settings(settings)
    return Workspace(root, loaded.of_line(line) if line else loaded, line)


def find_workspace(start: Path) -> Workspace:
    """Open the workspace at `start` or the nearest above it. Raises WorkspaceError where there is none."""
    start = Path(os.path.abspath(start))  # noqa: PTH100  (no `..`, but symbolic links stay as named)
    for folder in (start, *start.parents):
        if (folder / SETTINGS_FILE).is_file():
            return open_workspace(folder)
    raise WorkspaceError(
        f"neither {start} nor a folder above it holds {SETTINGS_FILE}. "
        "Make a workspace with `fmi init DIR`, or name one with --workspace DIR."
    )


def _check_name(root: Path) -> None:
    """DuckDB takes what follows a `?` for options of the file."""
    if "?" in str(root):
        raise WorkspaceError(f"{root} cannot be a workspace: its path holds '?'. Give one without.")


def _try_writing(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise WorkspaceError(f"{folder} is a file, and fmi needs a folder there: move the file away.")
    probe = folder / f".fmi-write-check-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise WorkspaceError(
            f"{folder} cannot be written to: {error.strerror}. "
            "Give the workspace to the user who runs fmi, or name another with --workspace."
        ) from None
