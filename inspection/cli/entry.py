"""Running one command: every error a user can cause ends in one message and an exit code."""

import atexit
import os
import signal
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.text import Text

from fmi_engine.errors import EngineError
from inspection.cli.app import INTERRUPTED, app, errors
from inspection.errors import InspectionError, interrupted
from inspection.garbage import collect_seldom

RESUMED = {"night", "retrain", "train", "poc"}  # commands that go on where they were ended


def main() -> None:
    """Run the command line and leave with its exit code."""
    _quiet_parts()
    code = run()
    if "prefect" in sys.modules:
        _leave(code)
    sys.exit(code)


def run() -> int:
    """Run one command; every error a user can cause ends in one message and exit code 2."""
    try:
        left = app(standalone_mode=False)
    except (InspectionError, EngineError) as error:
        _complain(str(error))
        return 2
    except (typer.Abort, KeyboardInterrupt):
        left = INTERRUPTED
    except Exception as error:  # the last net: a usage error of the command line, or a fault of ours
        if not interrupted(error):
            return _usage_or_crash(error)
        left = INTERRUPTED
    if left == INTERRUPTED:  # typer, too, turns Ctrl+C into this exit code
        resumed = "; what was finished is kept, and the same command goes on from there"
        errors.print(f"fmi: interrupted{resumed if set(sys.argv[1:2]) & RESUMED else ''}")
    return left if isinstance(left, int) else 0


def _leave(code: int) -> None:
    """Leave after what Prefect registered for the exit has run, without tearing the interpreter down.

    Prefect's threads outlive the exit and hold DuckDB's classes, whose teardown would then print pages
    of warnings about leaks to the user.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl+C would break off the cleaning up
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _usage_or_crash(error: Exception) -> int:
    show = getattr(error, "show", None)  # click's own usage errors know how to print themselves
    if show is not None:
        show()
        return 2
    path = _crash_file()
    _complain(
        f"something went wrong that this software did not expect: {type(error).__name__}: {error}. "
        f"Details are in {path}; nothing that was finished is lost."
    )
    return 1


def _complain(message: str) -> None:
    errors.print(Text.assemble(("fmi:", "bold red"), f" {message}"))


def _crash_file() -> str:
    name = f"fmi-crash-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.txt"
    for folder in (Path.cwd(), Path(os.environ.get("TMPDIR", "/tmp"))):
        try:
            (folder / name).write_text(traceback.format_exc(), encoding="utf-8")
        except OSError:
            continue
        return str(folder / name)
    return "no file, because none could be written"


def _quiet_parts() -> None:
    """Settings that the parts read from the environment, before any of them is imported."""
    collect_seldom()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # busy waiting starves whatever else runs here
