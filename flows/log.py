"""What a process that is started for ourselves says: a file that is kept in bounds, and its last lines."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import BinaryIO

from inspection.workspace.files import write_whole

LARGEST = 1_000_000  # bytes: beyond it a log begins anew
MEASURING = 1.0  # seconds between two looks at its size
LAST_LINES = 5  # of what a process said before it stopped


class Log:
    """A log that several processes, of several starts too, append to; from now on it is of interest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before = path.with_name(f"{path.name}.1")  # the end of what stood in it before
        self._begins_at = 0

    @contextmanager
    def appended(self) -> Iterator[BinaryIO]:
        """Lend it for appending, and keep it in bounds while the block lasts."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as output:
            self.begin_anew_if_large()
            self._begins_at = self.path.stat().st_size
            ended = Event()
            watcher = Thread(target=self._watch, args=(ended,), daemon=True)
            watcher.start()
            try:
                yield output
            finally:
                ended.set()
                watcher.join()

    def _watch(self, ended: Event) -> None:
        while not ended.wait(MEASURING):
            with suppress(OSError):  # of a full disk, which may come free
                self.begin_anew_if_large()

    def begin_anew_if_large(self) -> None:
        """Empty it where it has grown large, and keep its end beside it, in place of the one before.

        Who appends to it goes on in the same file. What is written at that very moment may be lost.
        """
        if self.path.stat().st_size > LARGEST:
            end = _end_of(self.path, LARGEST)
            if len(end) == LARGEST:  # else another start was faster
                write_whole(self.before, end, durable=False)
                os.truncate(self.path, 0)

    def last_words(self) -> str:
        """The last lines that were written since it is of interest."""
        size = self.path.stat().st_size
        began_anew = size < self._begins_at
        said = _end_of(self.path, size if began_anew else min(size - self._begins_at, LARGEST))
        if began_anew:
            said = _end_of(self.before, LARGEST) + b"\n" + said
        lines = [line.rstrip() for line in said.decode("utf-8", "replace").split("\n") if line.strip()]
        return "\n".join(lines[-LAST_LINES:]) or "(nothing)"


def _end_of(path: Path, most: int) -> bytes:
    """The last bytes of a file, so many or all."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - most))
        return file.read(most)
