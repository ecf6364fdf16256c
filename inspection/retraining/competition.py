"""The arms compete: each is judged by logged errors that it was not shown, and by images it has to keep."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmi_engine.classifier import Classifier
from inspection.findings import (
    CHANGED,
    CLEAN,
    HOLDOUT,
    LINE,
    LOGGED,
    OTHERS,
    RIGHT,
    Accuracy,
    Arm,
    ArmResult,
    GateCheck,
)
from inspection.inputs.labelled import Labelled
from inspection.models.comparison import Judged, accuracy_of, answers
from inspection.retraining.arms import Workshop
from inspection.retraining.gate import Gate
from inspection.retraining.groups import folds_of
from inspection.workspace.files import write_whole

Answers = dict[str, NDArray[np.int64]]  # of a set's images, by its name: the class that each is taken for
Step = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]  # a bar, of its name and total


@dataclass(frozen=True, slots=True)
class Tried:
    """What one arm gave, and the answers that it rests on."""

    result: ArmResult
    judged: dict[str, Judged]
    right_read: int = 0  # parts that the logs say went right, of which some have judged


@dataclass(frozen=True)
class Competition:
    """The sets of images that judge the arms, and what the deployed model makes of them."""

    workshop: Workshop
    sets: dict[str, Labelled]
    before: Answers

    @classmethod
    def opened(cls, workshop: Workshop) -> "Competition":
        """With the answers of the deployed model."""
        material = workshop.material
        sets = {LOGGED: material.logged, CLEAN: material.clean}
        if material.recipes and len(material.clean):
            sets[CHANGED] = workshop.changed(material.clean)
        if len(material.others):
            sets[OTHERS] = material.others
        if len(material.right):
            sets[RIGHT] = material.right
        if len(material.holdout):
            sets[HOLDOUT] = material.holdout
        return cls(workshop, sets, _answers(workshop, workshop.deployed, sets))

    @property
    def gate(self) -> Gate:
        """What is asked of every arm, and of the candidate."""
        model = self.workshop.material.model
        return Gate(model.class_names, model.good_classes, self.workshop.settings.acceptance)

    def run(self, arms: Sequence[Arm], step: Step) -> list[Tried]:
        """What each arm makes of images that it was not shown, in order.

        An arm is left out where nothing would be left to judge it by: all logged errors are of one group.
        """
        found = []
        for arm in arms:
            folds = self._folds(arm)
            if folds:
                with step(f"Trying {arm.value}", len(folds) * self.workshop.images_to_train(arm)) as advance:
                    found.append(self._tried(arm, folds, advance))
        return found

    def judged_by(self, candidate: Classifier, tried: Tried) -> dict[str, Judged]:
        """What a candidate makes of every set but the line's, all of which it may have been shown.

        Of the line stands what models of the same arm made of it that were not shown the part's group.
        """
        sets = {name: data for name, data in self.sets.items() if name not in (LOGGED, RIGHT)}
        line = {name: judged for name, judged in tried.judged.items() if name == LINE}
        return self._judged(_answers(self.workshop, candidate, sets)) | line

    def _with_line(self, judged: dict[str, Judged], logged: Judged) -> dict[str, Judged]:
        """With the line as the log holds it: its right parts, and of its errors as large a share of them.

        Right parts alone would call every way of mending harm: on ball screws 9 of 77 pits were lost for 22
        of 24 good parts that had been taken for pits, and of unseen parts 94 % were right, before 89 %.
        """
        if RIGHT not in judged:
            return judged
        right, read = judged.pop(RIGHT), self.workshop.material.right_read
        share = min(1.0, len(right) / max(read, 1))
        rows = np.linspace(0, len(logged) - 1, round(share * len(logged))).round().astype(np.int64)
        return judged | {LINE: right.beside(logged.subset(rows), LINE)}

    def accuracies(self, judged: Iterable[Judged]) -> tuple[Accuracy, ...]:
        """The sets in numbers."""
        model = self.workshop.material.model
        return tuple(accuracy_of(each, model.class_names, model.good_classes) for each in judged)

    def checks(
        self, arm: Arm, failing: Judged, control: Answers, judged: dict[str, Judged]
    ) -> tuple[GateCheck, ...]:
        """Everything that the gate asks of a candidate: repair, then harm.

        Who was shown logged images is accepted only where parts that go right on the line judge, too.
        """
        repair = self.gate.repair(failing), self.gate.beyond_control(failing, control[failing.name])
        line = [judged[name] for name in (HOLDOUT, LINE) if name in judged]
        seen = [self.gate.enough_went_right(each) for each in line or [_nothing(RIGHT)]]
        unseen = None if arm is Arm.RECIPES or None in seen else seen[0]
        return (*repair, *self.harm(judged), *([unseen] if unseen else []))

    def harm(self, judged: dict[str, Judged]) -> tuple[GateCheck, ...]:
        """The checks of harm over the sets there are."""
        shifted = [judged[name] for name in (CHANGED, LINE, HOLDOUT) if name in judged]
        return self.gate.harm(judged[CLEAN], judged.get(OTHERS), shifted)

    def _judged(self, after: Answers) -> dict[str, Judged]:
        return {
            name: Judged(name, self.sets[name].labels, self.before[name], found)
            for name, found in after.items()
        }

    def _folds(self, arm: Arm) -> list[NDArray[np.int64]]:
        """The rows of the line that each training of an arm is not shown; all where it is shown none."""
        material = self.workshop.material
        if arm is Arm.RECIPES:
            return [np.arange(len(material.line))]
        if len(np.unique(material.groups[: len(material.logged)])) < 2:
            return []
        return folds_of(material.kinds, material.groups, self.workshop.settings.compute.seed)

    def _tried(self, arm: Arm, folds: Sequence[NDArray[np.int64]], advance: Callable[[int], None]) -> Tried:
        """Judge an arm: of the sets but the logged errors, one training judges every image, in turn.

        The holdout is left for the candidate: what has chosen among the arms would flatter it.
        """
        started, material = time.monotonic(), self.workshop.material
        sets = {name: data for name, data in self.sets.items() if name != HOLDOUT}
        after = {name: np.zeros(len(data), np.int64) for name, data in sets.items()}
        errors = len(material.logged)
        for number, unseen in enumerate(folds):
            found = self._fold(arm, unseen, sets, advance)
            of_line = {LOGGED: unseen[unseen < errors], RIGHT: unseen[unseen >= errors] - errors}
            for name, data in sets.items():
                rows = of_line.get(name, np.arange(number, len(data), len(folds)))
                after[name][rows] = found[name][rows]
        judged = self._judged(after)
        judged = self._with_line(judged, judged[LOGGED])
        result = ArmResult(
            arm=arm,
            logged_images=self.workshop.shown(arm),
            folds=len(folds),
            seconds=time.monotonic() - started,
            accuracies=self.accuracies(judged.values()),
            checks=self.harm(judged),
            significance=self.workshop.settings.acceptance.significance,
        )
        return Tried(result, judged, material.right_read)

    def _fold(
        self, arm: Arm, unseen: NDArray[np.int64], sets: dict[str, Labelled], advance: Callable[[int], None]
    ) -> Answers:
        """What one training makes of the sets."""
        shown = np.setdiff1d(np.arange(len(self.workshop.material.line)), unseen)
        key = hashlib.sha256(self.workshop.identity([arm]).encode() + shown.tobytes()).hexdigest()[:12]

        def answer() -> Answers:
            return _answers(self.workshop, self.workshop.candidate(arm, shown, advance), sets)

        return self._once(f"{arm.name.lower()}-{key}", answer, arm, advance)

    def control(self, step: Step) -> Answers:
        """What further training alone makes of the sets."""
        workshop = self.workshop
        key = hashlib.sha256(f"{workshop.identity(list(Arm))} control".encode()).hexdigest()[:12]
        with step("Training further, as a control", workshop.images_to_train(Arm.RECIPES)) as advance:
            return self._once(
                f"control-{key}",
                lambda: _answers(workshop, workshop.control(advance), self.sets),
                Arm.RECIPES,
                advance,
            )

    def _once(
        self, name: str, answer: Callable[[], Answers], arm: Arm, advance: Callable[[int], None]
    ) -> Answers:
        """The answers of a training, or those that an earlier run that was killed has kept."""
        kept = self.workshop.unfinished / f"{name}.json"
        found = _read(kept)
        if found is None:
            found = answer()
            _write(kept, found)
        else:
            advance(self.workshop.images_to_train(arm))
        return found


def _nothing(name: str) -> Judged:
    none = np.zeros(0, np.int64)
    return Judged(name, none, none, none)


def best(tried: Sequence[Tried]) -> Tried | None:
    """The arm that is expected to be most often right on the line as it is now, and harms nothing.

    Of equals the first, and of those that mend a logged error: None where there is none. Harm counts beyond
    chance; the gate asks more of the candidate.
    """
    mending = [each for each in tried if not each.result.harm and each.judged[LOGGED].fixed]
    return max(mending, key=_expected, default=None)


def _expected(tried: Tried) -> float:
    """The share of the line's parts that an arm is expected to have right.

    Of the parts that went right those that the log holds tell: how large a part of the line they are, and
    how many of them stay right. Where it holds none, clean images under the recipes do. Without a recipe
    nothing is known of them.
    """
    logged = tried.judged[LOGGED]
    mended = logged.fixed / len(logged)
    line, changed = (tried.judged.get(name) for name in (LINE, CHANGED))
    if line is not None and line.right[0]:
        return _weighed(mended, line, tried.right_read / (tried.right_read + len(logged)))
    if changed is not None and changed.right[0]:
        return _weighed(mended, changed, changed.right[0] / len(changed))
    return mended


def _weighed(mended: float, went_right: Judged, right: float) -> float:
    """The share right after, where a share `right` of the line was right before."""
    kept = 1 - went_right.broken / went_right.right[0]
    return (1 - right) * mended + right * kept


def _answers(workshop: Workshop, classifier: Classifier, sets: dict[str, Labelled]) -> Answers:
    size = workshop.settings.compute.batch_size
    return {name: answers(classifier, data, size) for name, data in sets.items()}


def _read(path: Path) -> Answers | None:
    if not path.is_file():
        return None
    held = json.loads(path.read_text(encoding="utf-8"))
    return {name: np.array(found, np.int64) for name, found in held.items()}


def _write(path: Path, found: Answers) -> None:
    held = {name: answer.tolist() for name, answer in found.items()}
    write_whole(path, json.dumps(held).encode(), durable=False)
