"""Which class of the model a label of the log means."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from inspection.workspace.settings import toml_text

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_BOOLEANS = ("true", "false")


@dataclass(frozen=True, slots=True)
class Meaning:
    """The class that a label means, or what to say where it means none."""

    class_name: str | None
    as_spelt: bool = True  # the label is the class's name or a word of the label map
    complaint: str = ""


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
    return Meaning(None, complaint=_complaint(label, sorted(alike), class_names))


def _complaint(label: str, alike: Sequence[str], class_names: Sequence[str]) -> str:
    no_class = f"'{label}' is no class of the model ({', '.join(class_names)})"
    if not alike:
        return (
            f"{no_class}; if it is the plant's word for one, map it in fmi.toml under [defect_log.labels]; "
            "if it stands for several, register the model with a decision that says so (fmi help decisions)"
        )
    meant = " or ".join(f"'{name}'" for name in alike)
    line = f"labels = {{ {toml_text(label)} = {toml_text(alike[0])} }}"
    return f"{no_class}; if it means {meant}, add it to the map [defect_log.labels] in fmi.toml: {line}"


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _as_typed(text: str) -> Decimal | str:
    """What stays the same where a program writes a label again: a number, a Boolean, or letters."""
    plain = " ".join(unicodedata.normalize("NFKC", text).split())
    if _NUMBER.fullmatch(plain):
        return Decimal(plain)
    return plain.lower() if plain.lower() in _BOOLEANS else plain
