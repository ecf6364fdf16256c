"""A copy of the store in memory for many readers at once, who wait for no writer."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from cachetools import LRUCache, cachedmethod
from duckdb import DuckDBPyConnection

from inspection.errors import StoreBusyError, StoreError
from inspection.findings import FailureMode, FilterName, Night, Relabel, Verdict
from inspection.workspace.reader import Reader
from inspection.workspace.rows import insert, row_of, rows_of
from inspection.workspace.store import WAIT_SECONDS, Stamp, Store

PATIENCE = 1.0  # seconds that one reader waits for a file that others hold before it takes the older copy

KEPT = 16  # failure modes, and nights, that a copy keeps as read: one of 5000 errors takes some 10 MB


@dataclass(frozen=True, slots=True)
class Copy(Reader):
    """The findings as they were at one moment, with the verdicts that were given through this copy since.

    Nights and failure modes stay as they were, so that one who turns its pages reads it once.
    """

    path: Path  # of the store
    taken_at: datetime  # UTC
    stamp: Stamp
    connection: DuckDBPyConnection
    modes_read: LRUCache[str, FailureMode] = field(default_factory=lambda: LRUCache(KEPT), init=False)
    nights_read: LRUCache[str, Night] = field(default_factory=lambda: LRUCache(KEPT), init=False)
    turn: threading.RLock = field(default_factory=threading.RLock, init=False)

    @contextmanager
    def _reading(self) -> Iterator[DuckDBPyConnection]:
        try:
            with closing(self.connection.cursor()) as cursor:
                yield cursor
        except duckdb.Error as error:
            raise StoreError(f"the copy of the store {self.path} in memory refused: {error}") from error

    @cachedmethod(lambda self: self.modes_read, key=lambda _, mode_id: mode_id, lock=lambda self: self.turn)
    def mode(self, mode_id: str) -> FailureMode:
        """Return one failure mode with everything found about it."""
        return Reader.mode(self, mode_id)

    @cachedmethod(
        lambda self: self.nights_read, key=lambda _, night_id=None: f"{night_id}", lock=lambda self: self.turn
    )
    def night(self, night_id: str | None = None) -> Night:
        """Return the night whose id begins so, with everything found; None: the newest started."""
        return Reader.night(self, night_id)

    def add_verdict(self, verdict: Verdict) -> None:
        """Add a verdict that the store has accepted."""
        with self._reading() as connection:
            insert(connection, "verdicts", [row_of(verdict)])

    def add_relabels(self, relabels: Sequence[Relabel]) -> None:
        """The same of images that were relabelled."""
        with self._reading() as connection:
            insert(connection, "relabels", rows_of(relabels))

    def add_filter_name(self, name: FilterName) -> None:
        """The same of the name of a texture."""
        with self._reading() as connection:
            insert(connection, "filter_names", [row_of(name)])


class LiveCopy:
    """The newest copy of a store: renewed by the reader who finds that the store has changed.

    While one reader renews the copy, the others read the one before. Where another program holds the file,
    that one goes on being read, and `behind` says so.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.behind = ""  # why the copy is older than the store; empty where it is not
        self._copy: Copy | None = None
        self._renewing = threading.Lock()

    def newest(self) -> Copy:
        """Return the newest copy that can be had now. Only before the first one the file is waited for."""
        kept = self._copy
        if kept and kept.stamp == self.store.stamp():
            return kept
        try:
            with self._turn(0 if kept else WAIT_SECONDS):
                return self._renewed()
        except StoreBusyError:
            if self._copy is None:
                raise
            return self._copy

    def add_verdict(self, verdict: Verdict) -> None:
        """Add a verdict to the store; whoever reads the copy next sees it."""
        with self._turn(WAIT_SECONDS):
            self.store.add_verdict(verdict)
            if self._copy:
                self._copy.add_verdict(verdict)

    def add_relabels(self, relabels: Sequence[Relabel]) -> None:
        """The same of images that were relabelled."""
        with self._turn(WAIT_SECONDS):
            self.store.add_relabels(relabels)
            if self._copy:
                self._copy.add_relabels(relabels)

    def add_filter_name(self, name: FilterName) -> None:
        """The same of the name of a texture."""
        with self._turn(WAIT_SECONDS):
            self.store.add_filter_name(name)
            if self._copy:
                self._copy.add_filter_name(name)

    @contextmanager
    def _turn(self, wait: float) -> Iterator[None]:
        """Hold the right to change the copy. Raises StoreBusyError after so many seconds."""
        if not self._renewing.acquire(timeout=wait):
            raise StoreBusyError(
                f"the store {self.store.path} is waited for by earlier requests of this dashboard. "
                "Try again in some seconds."
            )
        try:
            yield
        finally:
            self._renewing.release()

    def _renewed(self) -> Copy:
        kept = self._copy
        if kept and kept.stamp == self.store.stamp():  # another reader was faster
            return kept
        try:
            connection, stamp = self.store.load(PATIENCE if kept else WAIT_SECONDS)
        except StoreBusyError as error:
            if kept:
                taken_at = f"{kept.taken_at:%Y-%m-%d %H:%M:%S} UTC"
                self.behind = f"This is the store of {taken_at}, without what came since: {error}"
            raise
        self.behind = ""
        self._copy = Copy(self.store.path, datetime.now(UTC), stamp, connection)
        return self._copy
