"""What every page works with: the workspace, its findings of one moment, and who starts retrainings."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Form, HTTPException, Request
from pydantic import StringConstraints

from dashboards.access import asker
from dashboards.pages import Pages
from dashboards.reports import Reports
from dashboards.retraining import RetrainingStarter
from inspection.errors import InspectionError, StoreBusyError, UnknownIdError
from inspection.findings import FailureMode, Night, NightState, Promotion
from inspection.language import gettext as _
from inspection.models.tracking import track
from inspection.nights.decisions import nights_of_models
from inspection.nights.night import Site, runs_now, settle
from inspection.workspace.folder import Workspace
from inspection.workspace.live_copy import LiveCopy
from inspection.workspace.reader import Reader

LONGEST_NAME = 80  # characters of a reviewer's name, or of a texture's
LONGEST_COMMENT = 2000  # characters


@dataclass(frozen=True, slots=True)
class Desk:
    """What the pages of one workspace work with."""

    workspace: Workspace
    live: LiveCopy
    retraining: RetrainingStarter
    pages: Pages
    written: Reports

    def reports(self) -> set[str]:
        """Name the nights whose report is there."""
        return {path.stem for path in (self.workspace.root / "reports").glob("*.html")}

    def promoted(self, findings: Reader, entry: Promotion) -> None:
        """Have the reports written again that tell what became of the models of a promotion or a rollback.

        Before that the copy is renewed, so that whoever decided reads it on the next page.
        """
        self.live.newest()
        self.written.again(nights_of_models(findings, entry.model_hash, entry.previous_hash))

    def track(self) -> None:
        """Log a decision to MLflow, where the settings name one; what it misses is logged the next time."""
        with suppress(InspectionError):
            track(self.workspace, self.live.store)

    def settled(self, findings: Reader) -> Reader:
        """The findings, after nights that were ended on the way have been marked as such."""
        running = [
            findings.night(name) for name, state in findings.states().items() if state is NightState.RUNNING
        ]
        if any(runs_now(self.workspace, night) is None for night in running):
            with suppress(StoreBusyError):  # then the next reader does it
                settle(Site(self.workspace, self.live.store))
            return self.live.newest()
        return findings


def _desk(request: Request) -> Desk:
    return cast(Desk, request.app.state.desk)


def _findings(request: Request) -> Reader:
    """The findings of one moment for all of one page."""
    return _desk(request).live.newest()


AtDesk = Annotated[Desk, Depends(_desk)]
Findings = Annotated[Reader, Depends(_findings)]
SomeText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_COMMENT)]
AnyName = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_NAME)]
AnyText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_COMMENT)]
Reason = Annotated[SomeText, Form()]
Comment = Annotated[AnyText, Form()]


def signed(typed: str) -> str:
    """Who a change is written down under: whoever is logged in; the name typed only where nobody logs in.

    Answers 422 where neither is there.
    """
    name = asker().name or typed
    if not name:
        raise HTTPException(422, _("No name was given. Nothing was changed. Go back and mend it."))
    return name


def _signed_form(reviewer: Annotated[AnyName, Form()] = "") -> str:
    return signed(reviewer)


Name = Annotated[str, Depends(_signed_form)]


@contextmanager
def known(what: str) -> Iterator[None]:
    """Answer 404 where the store has no such thing."""
    try:
        yield
    except UnknownIdError:
        raise HTTPException(404, _("There is no {what} in this workspace.").format(what=what)) from None


def the_night(findings: Reader, night_id: str) -> Night:
    """The night of an address, which holds its whole id."""
    with known(_("night {id}").format(id=night_id)):
        night = findings.night(night_id)
        if night.night_id != night_id:  # short ids are for the command line
            raise UnknownIdError(night_id)
        return night


def the_mode(findings: Reader, mode_id: str) -> FailureMode:
    """The failure mode of an address."""
    with known(_("failure mode {id}").format(id=mode_id)):
        return findings.mode(mode_id)
