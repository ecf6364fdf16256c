"""Telling people what unattended nights come to: by a command or a webhook of the plant's."""

import json
import shlex
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException

from inspection.findings import LogSetAside, Night
from inspection.language import gettext as _
from inspection.language import speaking
from inspection.nights.lines import WaitingLog, set_aside
from inspection.nights.night import Site
from inspection.nights.phrases import said
from inspection.workspace.settings import NotifySettings

PAUSES = (0.0, 2.0, 10.0)  # seconds before each try to tell
PATIENCE = 60  # seconds that a command may take
ANSWERING = 15  # seconds until a webhook has answered


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told."""

    events: tuple[str, ...]  # of findings, failure, return
    text: str  # in words
    facts: dict[str, object]  # for a program

    @property
    def message(self) -> dict[str, object]:
        """What is sent; chat programs show its `text`."""
        return {"events": list(self.events), "text": self.text, **self.facts}


def of_night(site: Site, night: Night) -> Notice:
    """What there is to tell of a night that has ended."""
    with speaking(site.workspace.settings.report.language):
        return _in_words(site, night, site.store.returned(night))


def _in_words(site: Site, night: Night, returned: Sequence[str]) -> Notice:
    modes = [
        {
            "mode_id": mode.mode_id,
            "title": mode.title,
            "errors": len(mode.errors),
            "trend": mode.trend.value,
            "returned": mode.mode_id in returned,
            "said": said(mode.diagnosis),
        }
        for mode in night.modes
    ]
    facts = {
        "line": night.of_line,
        "night_id": night.night_id,
        "log": night.log_path,
        "errors": night.errors_read,
        "modes": modes,
        "report": str(site.workspace.root / night.report_path) if night.report_path else None,
    }
    events = [*(["findings"] if night.modes else []), *(["return"] if returned else [])]
    return Notice(tuple(events), _night_in_words(night, returned), facts)


def _night_in_words(night: Night, returned: Sequence[str]) -> str:
    told = _("Line {line}: {errors} errors in {log}")
    lines = [told.format(line=night.of_line, errors=night.errors_read, log=night.log_path)]
    for mode in night.modes:
        back = _(" - it was gone, and is back") if mode.mode_id in returned else ""
        lines.append(f"{mode.title}, {_(mode.trend.value)}{back}: {said(mode.diagnosis)}")
    return "\n".join(lines)


def of_failure(site: Site, log: LogSetAside) -> Notice:
    """What there is to tell of a log that no night could read."""
    with speaking(site.workspace.settings.report.language):
        told = _("Line {line}: {log} could not be read and is set aside: {reason}")
        text = told.format(line=log.line, log=log.log_path, reason=log.reason)
    return Notice(("failure",), text, {"line": log.line, "log": log.log_path, "reason": log.reason})


def refuse(site: Site, log: WaitingLog, reason: str, remark: Callable[[str], None]) -> None:
    """Set a log of a site's line aside, and tell it."""
    remark(f"{log.path} is set aside: {reason}")
    tell(site.workspace.settings.notify, of_failure(site, set_aside(site, log, reason)), remark)


def tell(settings: NotifySettings, notice: Notice, remark: Callable[[str], None]) -> None:
    """Tell it to those who are to be told of any of its events; where they cannot be reached, `remark` it."""
    if not set(notice.events) & set(settings.on):
        return
    sent = json.dumps(notice.message, ensure_ascii=False).encode()
    if settings.command:
        _try(lambda: _run(settings.command, sent), settings.command, remark)
    if settings.webhook:
        _try(lambda: _post(settings.webhook, sent), settings.webhook, remark)


def _try(send: Callable[[], None], to: str, remark: Callable[[str], None]) -> None:
    why = ""
    for pause in PAUSES:
        time.sleep(pause)
        try:
            send()
            return
        except (OSError, ValueError, HTTPException, subprocess.SubprocessError) as error:
            why = f"{error}" or type(error).__name__  # ValueError: of an address that is none
    remark(f"{to} could not be told ({why}); see [notify] in fmi.toml. The findings stand all the same.")


def _run(command: str, sent: bytes) -> None:
    subprocess.run(shlex.split(command), input=sent, check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)


def _post(address: str, sent: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    question = urllib.request.Request(address, data=sent, headers=headers)
    with urllib.request.urlopen(question, timeout=ANSWERING):
        pass
