"""Other processes beside a store: they run a few lines, say words and wait to be told."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from tests.conftest import REPOSITORY

_PRELUDE = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
import duckdb
from inspection.findings import Judgement, Verdict
from inspection.workspace.store import Store
def say(word): print(word, flush=True)
def hear(): sys.stdin.readline()
"""
HOLD = "c = duckdb.connect(sys.argv[1]); say('held'); hear(); c.close(); say('free')"
WRITE = """
c = duckdb.connect(sys.argv[1])
c.execute("INSERT INTO verdicts VALUES (?, 'other cause', '', 'its', 'Berg', now())", [sys.argv[2]])
say('written'); hear(); c.close(); say('free')
"""


@contextmanager
def python(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run code in a process of its own, which is gone afterwards."""
    command = [sys.executable, "-c", _PRELUDE + textwrap.dedent(code), *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=REPOSITORY) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def held(path: object) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold a store open for writing."""
    with python(HOLD, path) as holder:
        expect(holder, "held")
        yield holder


@contextmanager
def writing(path: object, mode_id: str) -> Iterator[None]:
    """Let another process hold a store after it has written a verdict into it."""
    with python(WRITE, path, mode_id) as writer:
        expect(writer, "written")
        yield
        tell(writer)
        expect(writer, "free")


def expect(process: subprocess.Popen[str], word: str) -> None:
    """Wait until the process says a word."""
    assert process.stdout is not None
    assert process.stdout.readline().strip() == word


def tell(process: subprocess.Popen[str]) -> None:
    """Let the process go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
