"""The texts that people read, gathered from the code, and the catalogues of their translations.

    python -m tests.catalogue

brings `inspection/locales/*.po` up to date after a text was added or changed: what is new has no translation
yet, and a test fails until somebody writes it.
"""

import io
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from dashboards import app, guard
from dashboards import modes as pages
from flows import night
from fmi_engine import wording
from inspection import findings
from inspection.access.roles import Role
from inspection.access.trail import Event
from inspection.evidence import reproduced
from inspection.inputs import addresses, defect_log, images, labels, tables
from inspection.language import ENGLISH, LANGUAGES, STORED
from inspection.nights import night as nights
from inspection.nights import phrases, poc, review
from inspection.operations.catalogue import CATALOGUE
from inspection.operations.operation import FAMILIES
from inspection.retraining import material, retrain
from inspection.workspace import files
from inspection.workspace.settings import line_rows, settings_rows
from tests.conftest import REPOSITORY

LOCALES = REPOSITORY / "inspection" / "locales"
METHODS = [("**.py", "python"), ("**.html", "jinja2")]
OPTIONS = {"**.html": {"trim_blocks": "true", "lstrip_blocks": "true"}}
SPOKEN = ("dashboards", "inspection", "flows")
# Enumerations whose words stand on pages.
WORDS: tuple[type[StrEnum], ...] = (
    findings.Arm,
    findings.Decision,
    findings.ErrorKind,
    findings.Judgement,
    findings.NightState,
    findings.Trend,
    findings.PromotionKind,
    review.Sureness,
    Role,
    Event,
    poc.State,
)
RUN_STATES = (
    *("Scheduled", "Late", "Pending", "Running", "Paused", "Cancelling", "Retrying", "AwaitingRetry"),
    *("Completed", "Cached", "Failed", "TimedOut", "Crashed", "Cancelled", "RolledBack"),
)


# Steps of a night and of a retraining, as they are told while they run.
STEPS = (
    *("Checking the log", "Learning what is normal", "Reading the images", "Blaming filters"),
    *("Measuring operations", "Finding the causes", "Learning the surfaces", "Inverting filters"),
    *("Drawing heat maps", "Training the best in full"),
    *("Training further, as a control", *(f"Trying {arm.value}" for arm in findings.Arm)),
)
# What is read off the errors themselves.
MEASURED = (
    *("fixed pattern", "residual texture", "fixed pattern and residual texture", "tone curve"),
    *("texture primitive", "residual texture and texture primitive"),
)


Message = tuple[str | tuple[str, ...], str]  # one or, of a count, two forms; where it stands


def gathered() -> Catalog:
    """Every text that can be translated, as gettext knows it."""
    found = Catalog(project="fmi", charset="utf-8")
    for text, place in [*_in_code(), *((text, "tables") for text in _in_tables())]:
        if text:
            found.add(text, locations=[(place, 0)])
    for text in _in_the_store():
        found.add(text, context=STORED, locations=[("store", 0)])
    return found


def _in_code() -> Iterator[Message]:
    for package in SPOKEN:
        folder = REPOSITORY / package
        for file, _, text, _, _ in extract_from_dir(folder, METHODS, OPTIONS):
            yield text, f"{package}/{file}"


def _in_tables() -> Iterable[str | tuple[str, ...]]:
    """Texts that stand in tables of the code and are looked up when they are shown."""
    for operation in CATALOGUE:
        yield from (operation.name, operation.meaning, operation.unit)
    yield from FAMILIES
    yield from review.CHECKS.values()
    yield from review.UNCLAIMED.values()
    for table in (phrases.NAMED_CAUSES, phrases.CAUSES, phrases.ADVICE, phrases.AGAINST, phrases.FRACTIONS):
        yield from table.values()
    yield from (*phrases.NOUNS.values(), *phrases.COUNTED.values())
    yield from (*phrases.DOUBTS.values(), *phrases.SET_ASIDE.values())
    yield from (text for text, _ in phrases.SAID.values())
    yield from (meaning for _, _, _, meaning in (*settings_rows(), *line_rows()))
    yield from (phrases.ADVICE_UNKNOWN, phrases.SUSPECTS, phrases.SUSPECTS_UNTESTED)
    yield from (name.replace("_", " ") for name in (*findings.ORIGINS, "serial"))
    yield from MEASURED
    yield from ("deployed", "retired", "candidate", "none claimed", "claimed")
    yield from (word.value for words in WORDS for word in words)
    yield from app.TITLES.values()
    yield from ("Not possible", guard.NO_PROXY)
    yield from RUN_STATES
    yield from STEPS
    yield from pages.SORTED
    yield from (
        *(findings.LOGGED, findings.CLEAN, findings.CHANGED),
        *(findings.OTHERS, findings.RIGHT, findings.LINE, findings.HOLDOUT),
    )


def _in_the_store() -> Iterable[str]:
    """Sentences that the store keeps, which are told again on pages."""
    yield from (*wording.REASONS.values(), *wording.UNCOMPARED.values(), wording.GUESSED, wording.INDEPENDENT)
    for part in (addresses, defect_log, files, images, labels, tables):
        yield from part.SAID
    yield reproduced.OF_ANOTHER
    yield from (*nights.SAID, night.MADE_AGAIN, night.NOT_MADE_AGAIN)
    yield from (*material.SAID, *retrain.SAID)
    yield from ("{count}\N{NO-BREAK SPACE}logged image", "{count}\N{NO-BREAK SPACE}logged images")


def path_of(language: str) -> Path:
    """The catalogue of a language."""
    return LOCALES / f"{language}.po"


def read(language: str) -> Catalog:
    """The translations of a language; an empty catalogue where there is none yet."""
    path = path_of(language)
    return read_po(io.BytesIO(path.read_bytes()), language) if path.is_file() else Catalog(language)


def update(language: str) -> int:
    """Bring a language's catalogue up to date; return how many texts lack a translation."""
    catalogue = read(language)
    catalogue.update(gathered(), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    written = io.BytesIO()
    write_po(written, catalogue, width=110, sort_output=True, no_location=True, include_previous=False)
    text = "\n".join(line for line in written.getvalue().decode().splitlines() if "-Date:" not in line)
    path_of(language).write_text(text + "\n", encoding="utf-8")
    return len(untranslated(catalogue))


def untranslated(catalogue: Catalog) -> list[str]:
    """The texts of a catalogue that lack a translation, or a form of one."""
    found = []
    for message in catalogue:
        forms = message.string if isinstance(message.string, tuple | list) else (message.string,)
        if message.id and not all(forms):
            found.append(message.id if isinstance(message.id, str) else message.id[0])
    return found


if __name__ == "__main__":
    for code in LANGUAGES:
        if code != ENGLISH:
            print(f"{path_of(code).relative_to(REPOSITORY)}: {update(code)} texts without a translation")
