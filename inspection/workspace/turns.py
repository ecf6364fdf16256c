"""Whose turn it is among the threads of one process: one alone, or several that share."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Lends one thing to one thread alone or to several that share it; who waits to be alone goes first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sharing = 0  # threads
        self._taken = False  # by one that is alone
        self._waiting = 0  # threads that want to be alone

    @contextmanager
    def take(self, wait: float, *, alone: bool) -> Iterator[None]:
        """Hold a turn, once it has come. Raises TimeoutError where it does not come in so many seconds."""
        with self._changed:
            self._waiting += alone
            try:
                if not self._changed.wait_for(lambda: self._free(alone), wait):
                    raise TimeoutError
                self._hold(alone, 1)
            finally:
                self._waiting -= alone
                self._changed.notify_all()  # one that gave up lets those go on that waited behind it
        try:
            yield
        finally:
            with self._changed:
                self._hold(alone, -1)
                self._changed.notify_all()

    def _free(self, alone: bool) -> bool:
        return not self._taken and not (self._sharing if alone else self._waiting)

    def _hold(self, alone: bool, change: int) -> None:
        if alone:
            self._taken = change > 0
        else:
            self._sharing += change
