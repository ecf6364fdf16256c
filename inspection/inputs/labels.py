"""Which class of the model a label of the log means."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from inspection.workspace.settings import toml_text

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_BOOLEANS = ("true", "false")


# What is said of a label that means no class.
_NO_CLASS = "{column} '{label}' is no class of the model ({classes}); if it "
PLANTS_WORD = (
    f"{_NO_CLASS}is the plant's word for one, map it in fmi.toml under [defect_log.labels]; if it stands for "
    "several, register the model with a decision that says so (fmi help decisions)"
)
ALIKE = f"{_NO_CLASS}means {{meant}}, add it to the map [defect_log.labels] in fmi.toml: {{line}}"
SAID = (PLANTS_WORD, ALIKE)


@dataclass(frozen=True, slots=True)
class Meaning:
    """The class that a label means, or what it may have been meant for."""

    class_name: str | None
    as_spelt: bool = True  # the label is the class's name or a word of the label map
    alike: tuple[str, ...] = ()  # classes that it may mean, where it means none

    def complaint(self, column: str, label: str, class_names: Sequence[str]) -> str:
        """What to say of a label that means none of the classes."""
        known = {"column": column, "label": label, "classes": ", ".join(class_names)}
        if not self.alike:
            return PLANTS_WORD.format(**known)
        meant = " / ".join(f"'{name}'" for name in self.alike)
        line = f"labels = {{ {toml_text(label)} = {toml_text(self.alike[0])} }}"
        return ALIKE.format(**known, meant=meant, line=line)


def meaning(label: str, class_names: Sequence[str], label_map: Mapping[str, str]) -> Meaning:
    """The class that a label means: a word of the map or a class as spelt, else what only a program changed.

    A program may write class 1 as 1.0, True as TRUE, and the same letters in another Unicode form or with
    other blanks. That is accepted where exactly one class can be meant. Another case is a person's: the row
    is set aside, and told how to map it.
    """
    words = {**{name: name for name in class_names}, **label_map}
    if label in words:
        return Meaning(words[label])
    same = {name for word, name in words.items() if _as_typed(word) == _as_typed(label)}
    if len(same) == 1:
        return Meaning(same.pop(), as_spelt=False)
    alike = same or {name for word, name in words.items() if _folded(word) == _folded(label)}
    return Meaning(None, alike=tuple(sorted(alike)))


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _as_typed(text: str) -> Decimal | str:
    """What stays the same where a program writes a label again: a number, a Boolean, or letters."""
    plain = " ".join(unicodedata.normalize("NFKC", text).split())
    if _NUMBER.fullmatch(plain):
        return Decimal(plain)
    return plain.lower() if plain.lower() in _BOOLEANS else plain
