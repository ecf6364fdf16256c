"""What the night's tasks hand to each other: a part of a night, by name, and its errors, by position."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection.evidence.case import Case
from inspection.evidence.responses import Helpers, Responses, measure_responses
from inspection.evidence.subject import Subject, subject_of
from inspection.inputs.held import HeldErrors
from inspection.nights.night import mode_id
from inspection.progress import Progress


@dataclass(frozen=True, slots=True)
class Scope:
    """A night, one of its failure modes, or a part of either."""

    root: str  # of the workspace
    night_id: str
    model_hash: str
    number: int = 0  # of the failure mode; 0: the whole night
    within: str = ""  # a batch of the night's errors, or a layer of the mode
    making: str = ""  # tells a night that is made again from the first time
    line: str = ""  # whose settings it has; empty: those of the workspace
    seed: int = 0  # of its samples
    registered: str = ""  # the file in which the model is handed to workers; empty: the store says

    def mode(self, number: int) -> "Scope":
        """A failure mode of the night; they count from 1."""
        return replace(self, number=number)

    def part(self, within: str) -> "Scope":
        """A part of the night or of the failure mode."""
        return replace(self, within=within)

    @property
    def place(self) -> str:
        """Distinguishes it from every other part of the night: of mode 1 "1-", of batch 1 "-1"."""
        return f"{self.number or ''}-{self.within}"

    @property
    def mode_id(self) -> str:
        """The name of the failure mode."""
        return mode_id(self.night_id, self.number)

    def subject(self, progress: Progress = None) -> Subject:
        """The model under diagnosis; opened once in a process."""
        return subject_of(Path(self.root), self.model_hash, progress, self.line, self.registered)

    def responses(self) -> Responses:
        """What was measured of the model; read once in a process."""
        return _responses(self.subject())

    def case(self, errors: "Errors", progress: Progress = None, helpers: Helpers | None = None) -> Case:
        """The errors with all that they are compared with.

        `progress` is told of every strength at which an operation is measured for them; `helpers` are given
        those operations.
        """
        held, rows = errors.held, errors.rows
        screening, images = held.screening(rows), held.images(rows)
        return Case(self.subject(), self.responses(), screening, images, progress, helpers)


@lru_cache(maxsize=1)
def _responses(subject: Subject) -> Responses:
    """What was measured of a subject: read once in a process, not by every step."""
    return measure_responses(subject)


@dataclass(frozen=True, slots=True)
class Errors:
    """Some of a night's errors: where those of the night are held, and which are meant."""

    held: HeldErrors
    rows: NDArray[np.int64]  # by position

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, which: NDArray[np.int64]) -> "Errors":
        """Some of them, by position among these."""
        return Errors(self.held, self.rows[which])
