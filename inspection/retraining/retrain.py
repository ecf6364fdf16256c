"""One retraining: the arms compete, the best is trained in full, and the gate judges the candidate."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from fmi_engine.classifier import Classifier
from inspection.errors import RecipeError
from inspection.findings import (
    CLEAN,
    HOLDOUT,
    LINE,
    LOGGED,
    Arm,
    CheckKind,
    Decision,
    JudgedImage,
    RegisteredModel,
    Retraining,
)
from inspection.models.comparison import Judged, calibration_error
from inspection.models.registry import Origin, keep, spec_of
from inspection.nights.phrases import check_in_words
from inspection.retraining.after import filters_after, judged_images
from inspection.retraining.arms import Workshop
from inspection.retraining.competition import Competition, Step, Tried, best
from inspection.retraining.gate import decide
from inspection.workspace.store import Store

NO_ARM = "no arm mends logged errors without harm, so none was trained in full"
NOTHING_TO_JUDGE_BY = (
    "all logged errors are of one part or lot, so nothing is left to judge logged images by; log errors of "
    "more parts, or give --holdout with labelled images like them"
)
CROSS_VALIDATED = (
    "the logged errors were judged by models of the same arm that were not shown their group; the candidate "
    "itself was shown them all"
)
REPAIRS = (CheckKind.REPAIR, CheckKind.CONTROL)
ONLY_ERRORS = (
    "the logged images are all errors of the deployed model: they show the repair, not what it may break on "
    "the line; a log that also holds parts that went right, or --holdout with labelled images of the line, "
    "shows both"
)
OTHER_FILES = (
    "{others} of {clean} clean validation images are other files than those that judged on {day}: the "
    "accuracies of then and now do not compare one to one"
)
SAID = (NO_ARM, NOTHING_TO_JUDGE_BY, CROSS_VALIDATED, ONLY_ERRORS, OTHER_FILES)
"""Reasons and notes of a retraining."""


@dataclass(frozen=True, slots=True)
class Done:
    """A retraining with its candidate's record and the images that judged it; the caller stores them."""

    retraining: Retraining
    candidate: RegisteredModel | None
    pictures: tuple[JudgedImage, ...]

    def noted(self, note: str) -> "Done":
        """The same with one more note."""
        notes = (*self.retraining.notes, note)
        return replace(self, retraining=replace(self.retraining, notes=notes))


def retraining_id(name: str, run: str) -> str:
    """The id of the retraining that a run makes: the same for the same run."""
    return f"{name.split('+')[0]}-{hashlib.sha256(run.encode()).hexdigest()[:8]}"


def made_before(store: Store, workshop: Workshop) -> Retraining | None:
    """The retraining with the same material, settings and software; None: there was none."""
    identity = workshop.identity(_arms(workshop))
    return next((each for each in store.retrainings() if each.identity == identity), None)


def changed_files(store: Store, done: Done) -> str:
    """What to note where clean images are not the files that judged before; empty where they are the same."""
    clean = {each.image_path: each.image_sha256 for each in done.pictures if each.images_of == CLEAN}
    for earlier in store.retrainings():
        judged = store.judged_images(earlier.retraining_id)
        before = [each for each in judged if each.images_of == CLEAN and each.image_path in clean]
        others = sum(clean[each.image_path] != each.image_sha256 for each in before)
        if others:
            return OTHER_FILES.format(others=others, clean=len(clean), day=f"{earlier.finished_at:%Y-%m-%d}")
        if before:
            break
    return ""


def forget_unfinished(workshop: Workshop) -> None:
    """Remove what the trainings of a retraining have left: it is stored."""
    shutil.rmtree(workshop.unfinished, ignore_errors=True)


def retrain(workshop: Workshop, run: str, step: Step) -> Done:
    """Let the arms compete, train the best in full, and judge it; the deployed model is not touched.

    Of a single arm that was asked for, cross-validation is its measurement, and it is trained in any case.
    """
    started, arms = datetime.now(UTC), _arms(workshop)
    competition = Competition.opened(workshop)
    tried = competition.run(arms, step)
    chosen = best(tried)
    if workshop.material.arm:
        chosen = next(iter(tried), None)
    done = _without_candidate(workshop, run, started, tried)
    if chosen is None:
        return Done(done, None, ())
    arm, control = chosen.result.arm, competition.control(step)
    shown = np.arange(len(workshop.material.line))
    with step("Training the best in full", workshop.images_to_train(arm)) as advance:
        candidate = workshop.candidate(arm, shown, advance)
    judged = competition.judged_by(candidate, chosen)
    failing = judged.get(HOLDOUT, chosen.judged[LOGGED])
    checks = competition.checks(arm, failing, control, judged)
    record = _kept(workshop, candidate, arm)
    sets = [failing, *(each for each in (chosen.judged[LOGGED], *judged.values()) if each is not failing)]
    done = replace(
        done,
        candidate_hash=record.model_hash,
        finished_at=datetime.now(UTC),
        decision=decide(checks),
        reasons=tuple(check_in_words(check) for check in checks if check.passed is not True)
        or tuple(check_in_words(check) for check in checks if check.kind in REPAIRS),
        accuracies=competition.accuracies(sets),
        logged_images=workshop.shown(arm),
        arm=arm,
        checks=checks,
        filters=filters_after(workshop, candidate),
        calibration=_calibration(workshop, candidate),
        notes=(*done.notes, *_notes(failing, arm, LINE in judged)),
    )
    return Done(done, record, judged_images(workshop, sets))


def _arms(workshop: Workshop) -> tuple[Arm, ...]:
    """Those that compete. Raises RecipeError where the one asked for cannot."""
    arms, asked = workshop.arms(), workshop.material.arm
    if asked is None:
        return arms
    if asked not in arms:
        possible = ", ".join(f"'{arm.value}'" for arm in arms)
        raise RecipeError(
            f"there is nothing for the arm '{asked.value}' here; there is for {possible}. It takes a recipe "
            "of a claimed failure mode, logged images, or for first aid a model with batch normalisation"
        )
    return (asked,)


def _without_candidate(workshop: Workshop, run: str, started: datetime, tried: Sequence[Tried]) -> Retraining:
    """A retraining before an arm is trained in full, or where none is: what each would have given."""
    material = workshop.material
    judged = any(each.result.arm is not Arm.RECIPES for each in tried)
    return Retraining(
        mode_ids=tuple(mode.mode_id for mode in material.modes),
        retraining_id=retraining_id(material.name, run),
        model_hash=material.model.model_hash,
        candidate_hash=None,
        started_at=started,
        finished_at=datetime.now(UTC),
        decision=Decision.REJECTED if judged else Decision.UNDECIDED,
        reasons=(NO_ARM,) if judged else (NO_ARM, NOTHING_TO_JUDGE_BY),
        accuracies=(),
        settings=workshop.settings.model_dump(mode="json"),
        arms=tuple(each.result for each in tried),
        notes=material.notes,
        identity=workshop.identity(_arms(workshop)),
    )


def _kept(workshop: Workshop, candidate: Classifier, arm: Arm) -> RegisteredModel:
    model, name = workshop.material.model, workshop.material.name
    origin = Origin(model.model_hash, f"{arm.value}, for {name}", model.name)
    return keep(workshop.workspace, candidate.network, spec_of(model), origin)


def _calibration(workshop: Workshop, candidate: Classifier) -> tuple[float, float] | None:
    clean, size = workshop.material.clean, workshop.settings.compute.batch_size
    if not len(clean):
        return None
    before, after = (
        calibration_error(each.probabilities(clean.images, size), clean.labels)
        for each in (workshop.deployed, candidate)
    )
    return before, after


def _notes(failing: Judged, arm: Arm, line: bool) -> list[str]:
    """What the images that judged do not show; `line`: parts that went right judged, too."""
    if failing.name != LOGGED:
        return []
    return [*([] if arm is Arm.RECIPES else [CROSS_VALIDATED]), *([] if line else [ONLY_ERRORS])]
