"""The nights' reports, written again in the background after somebody has decided something."""

import logging
import threading
from collections.abc import Iterable

from inspection.nights.report import rewrite_report
from inspection.workspace.folder import Workspace
from inspection.workspace.live_copy import LiveCopy

_log = logging.getLogger(__name__)


class Reports:
    """Writes reports one after the other; what is asked for several times meanwhile is written once.

    No page waits for it. Its thread ends when nothing is left to write, and a dashboard that is ended waits
    for that.
    """

    def __init__(self, workspace: Workspace, live: LiveCopy) -> None:
        self._workspace, self._live = workspace, live
        self._wanted: dict[str, None] = {}  # nights, in the order of asking
        self._changing = threading.Lock()
        self._works = False

    def again(self, night_ids: Iterable[str]) -> None:
        """Have the reports of some nights written again."""
        with self._changing:
            self._wanted |= dict.fromkeys(night_ids)
            if self._wanted and not self._works:
                self._works = True
                threading.Thread(target=self._work, name="reports").start()

    def _work(self) -> None:
        while (night_id := self._next()) is not None:
            try:
                rewrite_report(self._workspace, self._live.newest, night_id)
            except Exception as error:  # the decision stands; the next one writes the report again
                _log.error("the report of night %s could not be written again: %s", night_id, error)

    def _next(self) -> str | None:
        with self._changing:
            night_id = next(iter(self._wanted), None)
            if night_id is None:
                self._works = False
            else:
                del self._wanted[night_id]
            return night_id
