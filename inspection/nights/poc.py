"""A plant's first month: look, confirm, retrain, judge; where that stands, and what is asked for now.

All that the store knows is read from it, at every look anew. Kept beside it, in `poc.toml`, is only what it
does not know: the first day, the plant's folder, and the plant's question.
"""

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from inspection.errors import StoreError, WorkspaceError
from inspection.findings import (
    Decision,
    FailureMode,
    Judgement,
    NightState,
    RegisteredModel,
    Retraining,
    Verdict,
)
from inspection.inputs.log_folder import LogFolder, find_logs
from inspection.language import gettext as _
from inspection.language import ngettext
from inspection.nights.month import Month, month_of
from inspection.nights.phrases import plural
from inspection.nights.trial import Trial, trial_of
from inspection.workspace.files import write_whole
from inspection.workspace.folder import Workspace
from inspection.workspace.settings import toml_text

if TYPE_CHECKING:  # it loads DuckDB, which reads the findings
    from inspection.workspace.reader import Reader, ReadLog, WaitingMode

FILE = "poc.toml"
WEEK = timedelta(days=7)
WEEKS = 4
SHOWN = 3  # findings with their pictures: what two or three sheets hold
OWN_LOGS = "logs"  # folder of the workspace, where a log stands that was made of labelled images
# Verdicts with which a retraining trains.
TRAINED_ON = (Judgement.CONFIRM, Judgement.RELABEL)


class Begun(BaseModel, extra="forbid", frozen=True):
    """What was said when the month began."""

    started: date  # the first day, by the plant's calendar
    folder: Path  # absolute: where the plant's logs and images lie
    asked: str = ""  # the plant's question in its own words


class State(StrEnum):
    """Where a step stands."""

    DONE = "done"
    DUE = "due now"
    LATE = "late"
    LATER = "later"
    NOTHING = "nothing to do"


class Ask(StrEnum):
    """What is asked for now."""

    REGISTER = "register"
    LOGS = "logs"
    READ = "read"
    MOUNT = "mount"
    MORE_LOGS = "more logs"
    CONFIRM = "confirm"
    INVESTIGATE = "investigate"
    RETRAIN = "retrain"
    MORE_IMAGES = "more images"
    KEEP = "keep"
    TRY_OUT = "try out"
    WATCH = "watch"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the plan."""

    week: int  # 1 is the first
    title: str
    needs: str
    who: str
    told: str  # figures so far; empty: none
    state: State
    until: date  # its last day
    command: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A failure mode with what its reviewers said."""

    waits: "WaitingMode"
    verdict: Verdict | None  # the newest
    mode: FailureMode | None  # with its pictures; None beyond the first few

    @property
    def judgement(self) -> Judgement | None:
        """The newest verdict's."""
        return self.verdict.judgement if self.verdict else None

    @property
    def settled(self) -> bool:
        """Whether a reviewer has said what it is."""
        return self.judgement not in (None, Judgement.INVESTIGATE)

    @property
    def trained_on(self) -> bool:
        """Whether a retraining has something of it."""
        return self.judgement in TRAINED_ON


@dataclass(frozen=True)
class Poc:
    """Where the month stands, with the figures measured so far."""

    begun: Begun
    today: date
    model: RegisteredModel | None  # the deployed one
    references: int  # labelled images of it
    logs: LogFolder
    read: "dict[str, ReadLog]"  # what became of logs, by their content
    month: Month
    findings: tuple[Finding, ...]  # by consequence
    counted: tuple[int, int]  # errors, and parts that went right, of logs that hold both
    state: str = ""  # of the newest retraining's candidate: deployed, retired or candidate
    called: str = ""  # its name
    significance: float = 0.05  # p-value that a trial has to reach

    @property
    def week(self) -> int:
        """The week that runs, from 1; beyond 4 the month is over."""
        return max(0, (self.today - self.begun.started).days) // 7 + 1

    @property
    def judged(self) -> Retraining | None:
        """The newest retraining."""
        return self.month.retrainings[0] if self.month.retrainings else None

    @cached_property
    def trial(self) -> Trial | None:
        """The candidate beside the deployed model on a line; None where that cannot be reckoned."""
        return trial_of(self.judged, self.counted, self.significance) if self.judged else None

    def logs_in(self, *states: NightState) -> int:
        """How many of the folder's logs are in one of these states."""
        found = (self.read.get(log.sha256) for log in self.logs.logs)
        return sum(each is not None and each.state in states for each in found)

    @property
    def unread(self) -> list[Path]:
        """The folder's logs that no night has read to its end."""
        return [
            log.path
            for log in self.logs.logs
            if log.sha256 not in self.read or self.read[log.sha256].state is not NightState.FINISHED
        ]

    @property
    def open(self) -> list[Finding]:
        """Findings that a reviewer has yet to settle."""
        return [each for each in self.findings if not each.settled]

    @property
    def mendable(self) -> list[Finding]:
        """Findings that a retraining can start from."""
        return [each for each in self.findings if each.trained_on]


# --- its beginning, and a look at it ---


def begin(workspace: Workspace, begun: Begun) -> None:
    """Keep what was said. Raises WorkspaceError where the month has begun over another folder."""
    earlier = begun_in(workspace)
    if earlier is not None and earlier.folder != begun.folder:
        raise WorkspaceError(
            f"the first month of {workspace.root} began on {earlier.started} with {earlier.folder}: `fmi "
            "poc` goes on there. For another folder take another workspace, or change `folder` in "
            f"{workspace.root / FILE}"
        )
    lines = [f"started = {begun.started.isoformat()}", f"folder = {toml_text(str(begun.folder))}"]
    text = "\n".join(["# The first month with fmi: see `fmi poc --help`.", *lines]) + "\n"
    if begun.asked:
        text += f"asked = {toml_text(begun.asked)}\n"
    if earlier is None:
        write_whole(workspace.root / FILE, text.encode())


def begun_in(workspace: Workspace) -> Begun | None:
    """What was said when the month began; None where none has. Raises WorkspaceError."""
    path = workspace.root / FILE
    if not path.is_file():
        return None
    try:
        return Begun(**tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise WorkspaceError(
            f"{path} cannot be read: {error}. Expected: started = 2026-12-01, folder = '/mnt/line1' and "
            "perhaps asked = '...'. Mend it, or remove it and start with `fmi poc FOLDER`"
        ) from None


def look(workspace: Workspace, findings: "Reader", begun: Begun, today: date) -> Poc:
    """See where the month stands."""
    logs = find_logs((begun.folder, workspace.root / OWN_LOGS), workspace.settings)
    read = findings.logs()
    since = _since(begun, [read[log.sha256].started_at for log in logs.logs if log.sha256 in read])
    month = month_of(findings, workspace.settings.worth, since)
    try:
        model = findings.model()
    except StoreError:
        model = None
    candidate = month.retrainings[0].candidate_hash if month.retrainings else None
    return Poc(
        begun,
        today,
        model,
        len(findings.references(model.model_hash)) if model else 0,
        logs,
        read,
        month,
        tuple(_finding(findings, waits, number < SHOWN) for number, waits in enumerate(month.modes)),
        findings.parts_since(since),
        findings.model_states().get(candidate, "") if candidate else "",
        findings.model(candidate).called if candidate else "",
        workspace.settings.acceptance.significance,
    )


def _since(begun: Begun, read_at: list[datetime]) -> datetime:
    """The first moment that counts: nights over the folder's logs count, whenever they ran."""
    first = datetime.combine(begun.started, time.min).astimezone(UTC)
    return min([first, *read_at])


def _finding(findings: "Reader", waits: "WaitingMode", whole: bool) -> Finding:
    mode_id = waits.overview.mode_id
    verdicts = findings.verdicts(mode_id)
    return Finding(waits, verdicts[0] if verdicts else None, findings.mode(mode_id) if whole else None)


# --- what is asked for now ---


def asked_for(poc: Poc) -> Ask:
    """The next step that takes a person."""
    if poc.model is None:
        return Ask.REGISTER
    if not poc.month.nights:
        return _no_night(poc)
    if poc.judged and not (poc.open and poc.judged.decision is not Decision.ACCEPTED):
        return _after_retraining(poc, poc.judged)
    if not poc.findings:
        return Ask.MORE_LOGS
    if poc.open:
        return Ask.CONFIRM
    return Ask.RETRAIN if poc.mendable else Ask.INVESTIGATE


def _no_night(poc: Poc) -> Ask:
    if poc.logs_in(NightState.UNREADABLE):
        return Ask.MOUNT
    return Ask.READ if poc.logs.logs else Ask.LOGS


def _after_retraining(poc: Poc, done: Retraining) -> Ask:
    if poc.state == "deployed":
        return Ask.CONFIRM if poc.open else Ask.WATCH
    if done.decision is Decision.ACCEPTED and poc.state == "candidate":
        return Ask.TRY_OUT
    return Ask.MORE_IMAGES if done.decision is Decision.UNDECIDED else Ask.KEEP


def ask_in_words(poc: Poc) -> str:
    """Say it to those who decide."""
    said = {
        Ask.REGISTER: _("Register the model that the line runs, with images that it was validated on."),
        Ask.LOGS: _("Give us the defect logs of some nights, with their images, in the folder above."),
        Ask.READ: _("Let fmi read the logs in the folder above."),
        Ask.MOUNT: _("Make the images of the logs readable on this machine: no error of them could be read."),
        Ask.MORE_LOGS: _(
            "Give us the logs of more nights: these hold no group of errors that is large enough."
        ),
        Ask.INVESTIGATE: _(
            "Look at these parts on the line: no finding was confirmed, so there is no retraining."
        ),
        Ask.RETRAIN: ngettext(
            "Allow a retraining for the confirmed finding. The line's model stays as it is.",
            "Allow a retraining for the {count} confirmed findings. The line's model stays as it is.",
            len(poc.mendable),
        ).format(count=len(poc.mendable)),
        Ask.KEEP: _(
            "Keep the model that the line runs: no candidate came out that is better and harms nothing."
        ),
        Ask.WATCH: _("Let the nights go on: they show whether these errors stay away."),
    }
    asked = asked_for(poc)
    if asked is Ask.CONFIRM:
        return ngettext(
            "Say whether {count} finding is right: someone who knows the parts looks at its pictures.",
            "Say whether {count} findings are right: someone who knows the parts looks at their pictures.",
            len(poc.open),
        ).format(count=len(poc.open))
    if asked is Ask.MORE_IMAGES:
        return _more_images(poc)
    return _trial_in_words(poc) if asked is Ask.TRY_OUT else said[asked]


def _more_images(poc: Poc) -> str:
    missing = [check.more_images for check in poc.judged.checks if check.more_images] if poc.judged else []
    if not missing:
        return _("Give us labelled images of the line as it is now: the gate cannot tell yet.")
    more = _("Give us about {count} more labelled images of the line as it is now: the gate cannot tell yet.")
    return more.format(count=max(missing))


def _trial_in_words(poc: Poc) -> str:
    trial = poc.trial
    if trial is None:
        open_end = _(
            "Put {model} on one line beside the present model, which goes on deciding. For how many parts "
            "cannot be reckoned: the logs do not hold the parts that went right."
        )
        return open_end.format(model=poc.called)
    if trial.size is None:
        hidden = _(
            "Judge more parts with labels before {model} goes on a line: by what was measured, a trial "
            "would not show the difference."
        )
        return hidden.format(model=poc.called)
    put = _("Put {model} on one line beside the present model, which goes on deciding, for {parts:,} parts")
    return put.format(model=poc.called, parts=trial.size) + _reach(trial)


def _reach(trial: Trial) -> str:
    if trial.size_upper is None:
        return _(" (at least {lower:,}; the measured intervals leave the upper end open).").format(
            lower=trial.size_lower or trial.size or 0
        )
    return _(" ({lower:,} to {upper:,}, by the intervals of what was measured).").format(
        lower=trial.size_lower or trial.size or 0, upper=trial.size_upper
    )


def command_for(poc: Poc) -> str:
    """What to type for it; empty: nothing."""
    modes = " ".join(each.waits.overview.mode_id for each in poc.mendable)
    candidate = (poc.judged.candidate_hash or "")[:12] if poc.judged else ""
    return {
        Ask.REGISTER: "fmi poc MODEL FOLDER --architecture NAME --classes good,scratch --reference IMAGES",
        Ask.LOGS: "fmi poc",
        Ask.READ: "fmi poc",
        Ask.MOUNT: "fmi poc",
        Ask.MORE_LOGS: "fmi poc",
        Ask.CONFIRM: "fmi serve",
        Ask.INVESTIGATE: "fmi serve",
        Ask.RETRAIN: f"fmi retrain {modes}",
        Ask.MORE_IMAGES: f"fmi retrain {modes} --holdout IMAGES".replace("  ", " "),
        Ask.KEEP: "fmi poc",
        Ask.TRY_OUT: f"fmi export {candidate}",
        Ask.WATCH: "fmi night LOG",
    }[asked_for(poc)]


# --- the plan ---


def steps(poc: Poc) -> list[Step]:
    """The plan of the four weeks, each step as the store tells it."""
    read = not poc.unread and bool(poc.month.nights)
    nothing_found = read and not poc.findings
    settled = bool(poc.findings) and not poc.open
    decided = poc.judged is not None and (
        poc.judged.decision is Decision.REJECTED or poc.state in ("deployed", "retired")
    )
    no_mending = nothing_found or (settled and not poc.mendable)
    engineer, quality, manager = _("application engineer"), _("quality engineer"), _("plant manager")
    rows = (
        (1, _("Register the model"), _("weights, class names in order, validated images"), engineer,
         _registered(poc), poc.model is not None, False),
        (1, _("Look: read the logs"), _("defect logs of some nights with their images"), engineer,
         _looked(poc), read, False),
        (2, _("Confirm what was found"), _("half an hour of someone who knows the parts"), quality,
         _confirmed(poc), settled, nothing_found),
        (3, _("Retrain for what was confirmed"), _("consent, and some hours of a machine"), engineer,
         _retrained(poc), poc.judged is not None, no_mending),
        (4, _("Judge the candidate"), _("the gate's word, and a decision"), f"{quality}, {manager}",
         _decided(poc), decided, no_mending),
    )  # fmt: skip
    commands = ("fmi poc", "fmi poc", "fmi serve", "fmi retrain", "fmi promote")
    told, first = list[Step](), True
    for (week, title, needs, who, figures, done, nothing), command in zip(rows, commands, strict=True):
        until = poc.begun.started + week * WEEK - timedelta(days=1)
        state = State.DONE if done else State.NOTHING if nothing else _waits(poc, until, first)
        first = first and state in (State.DONE, State.NOTHING)
        told.append(Step(week, title, needs, who, figures, state, until, command))
    return told


def _waits(poc: Poc, until: date, first: bool) -> State:
    """The state of a step that is not done; `first`: all before it are."""
    if poc.today > until:
        return State.LATE
    return State.DUE if first or poc.today > until - WEEK else State.LATER


def _registered(poc: Poc) -> str:
    if poc.model is None:
        return ""
    told = _("{model}, {images:,} labelled images")
    return told.format(model=poc.model.called, images=poc.references)


def _looked(poc: Poc) -> str:
    if not poc.read and not poc.logs.logs:
        return ""
    finished = poc.logs_in(NightState.FINISHED)
    told = _("{read} of {logs} logs read: {errors}").format(
        read=finished, logs=len(poc.logs.logs), errors=plural(poc.month.errors, "error")
    )
    lost = poc.logs_in(NightState.UNREADABLE, NightState.FAILED)
    return told + (_("; {count} could not be read").format(count=lost) if lost else "")


def _confirmed(poc: Poc) -> str:
    if not poc.findings:
        return ""
    right = sum(each.judgement is Judgement.CONFIRM for each in poc.findings)
    told = _("{settled} of {findings} findings judged, {right} confirmed")
    return told.format(settled=len(poc.findings) - len(poc.open), findings=len(poc.findings), right=right)


def _retrained(poc: Poc) -> str:
    if poc.judged is None:
        return ""
    return poc.called or _("no candidate came out")


def _decided(poc: Poc) -> str:
    if poc.judged is None:
        return ""
    gate = _("gate: {decision}").format(decision=_(poc.judged.decision.value))
    return f"{gate}, {_(poc.state)}" if poc.state else gate
