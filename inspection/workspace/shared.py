"""What machines that share a folder tell each other: paths beneath it, and what a registered model is."""

import os
import pickle
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from inspection.findings import ReferenceImage, RegisteredModel
from inspection.workspace.files import write_whole
from inspection.workspace.store import Stamp, stamp_of

HERE = "FMI_SPREAD__SHARE"  # names the folder where this machine has it
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Shared:
    """A folder that several machines reach, each perhaps by another path; empty paths: by the same."""

    there: str = ""  # where the process has it that tells of it
    here: str = ""  # where this one has it

    @classmethod
    def found(cls, there: str) -> "Shared":
        """The folder as this machine has it, by its environment where that says so."""
        return cls(there, os.environ.get(HERE) or there) if there else cls()

    def moved(self, value: Value) -> Value:
        """The same with every path beneath the folder as it is here, those in records and lists as well."""
        return value if self.there == self.here else self._moved(value)

    def back(self, value: Value) -> Value:
        """The same with every path beneath the folder as it is there."""
        return Shared(self.here, self.there).moved(value)

    def _moved(self, value: Any) -> Any:
        if isinstance(value, str | Path):
            return self._path(value)
        if isinstance(value, list | tuple):
            return type(value)(map(self._moved, value))
        if is_dataclass(value) and not isinstance(value, type):
            parts = {each.name: getattr(value, each.name) for each in fields(value) if each.init}
            return replace(value, **{name: self._moved(part) for name, part in parts.items()})
        return value

    def _path(self, value: str | Path) -> str | Path:
        spelt = str(value)
        beneath = spelt == self.there or spelt.startswith(self.there.rstrip(os.sep) + os.sep)
        return type(value)(self.here + spelt[len(self.there) :]) if beneath else value


@dataclass(frozen=True, slots=True)
class Registered:
    """A model with its reference images, in a file for processes that do not open the store."""

    path: Path

    def write(
        self, model: RegisteredModel, references: list[ReferenceImage], rests_on: str, share: str
    ) -> None:
        """Write them, with the hash of what is normal for the model; they lie beneath the folder `share`."""
        write_whole(self.path, pickle.dumps((model, references, rests_on, share)), durable=False)

    def read(self) -> tuple[RegisteredModel, list[ReferenceImage], str]:
        """What was written, with the paths as this machine has them."""
        model, references, rests_on, share = pickle.loads(self.path.read_bytes())
        return model, Shared.found(share).moved(references), rests_on

    def stamp(self) -> Stamp:
        """Return what every write changes."""
        return (stamp_of(self.path),)
