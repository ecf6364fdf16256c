"""Everything a retraining needs: what to mend, with what, and the images that will judge."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmi_engine.errors import some
from inspection import tuning
from inspection.errors import ImageError, ModelError, RecipeError
from inspection.findings import (
    WITHOUT_RECIPE,
    Arm,
    FailureMode,
    Judgement,
    LoggedError,
    Night,
    ReferenceImage,
    RegisteredModel,
    Relabel,
)
from inspection.inputs.addresses import Copies, is_address
from inspection.inputs.image_sets import LabelledImage
from inspection.inputs.images import Reading, check_image, each_read, reading
from inspection.inputs.labelled import Labelled, load_images, sample
from inspection.models.registry import as_decided, spec_of
from inspection.nights.night import MOST_RIGHT, copies
from inspection.nights.phrases import plural
from inspection.progress import Progress
from inspection.recipes.recipe import Recipe, load_recipe
from inspection.retraining.groups import groups_of
from inspection.workspace.files import sha256_of
from inspection.workspace.folder import Workspace
from inspection.workspace.settings import of_a_night
from inspection.workspace.store import Store

MOST_OTHERS = 500  # errors of other failure modes, the newest, that judge a candidate
# Why logged images are not trained on, by what a reviewer or the search for wrong labels says.
REMOVED = "a reviewer removed them"
WAS_RIGHT = "by a reviewer's label the model was right"
NO_CLASS = "a reviewer labelled them '{label}', which is no class of the model"
SUSPECT = "their labels are suspect; review them"
UNFIT = {
    Judgement.RELABEL: "a reviewer says that their labels are wrong, and nobody has relabelled them",
    Judgement.REMOVE: "a reviewer says that they are no parts of the line",
}
# What a note says.
NOT_TRAINED_ON = "{images} not trained on: {why}"
GONE = "{images} gone, and left out: {names}"
TAKES_PART = "{drawn} of {joining} logged images take part, drawn with seed {seed}"
RECIPE_LEFT_OUT = "the recipe of {mode} is left out: a reviewer's verdict is '{judgement}'"
SEEN_BEFORE = "{seen} of {judging} {called} stand in the log as errors or were trained on, and do not judge"
UNREAD = (
    "{gone} of {parts} parts of the log that went right are gone or cannot be read, and do not judge: {names}"
)
OF_HOLDOUT, OF_LOG = "images of the holdout", "parts of the log that went right"  # what is called so
SAID = (REMOVED, WAS_RIGHT, NO_CLASS, SUSPECT, *UNFIT.values(), NOT_TRAINED_ON, GONE, TAKES_PART)
SAID += (RECIPE_LEFT_OUT, SEEN_BEFORE, UNREAD, OF_HOLDOUT, OF_LOG)


@dataclass(frozen=True, slots=True)
class RetrainingRequest:
    """What is asked of a retraining."""

    targets: tuple[str, ...]  # failure modes, or nights: all of their errors
    holdout: Sequence[LabelledImage] = ()  # judge the candidate beside the logged errors
    arm: Arm | None = None  # alone, without a competition

    @property
    def name(self) -> str:
        """What is asked, in a word: of two that ask the same only one retrains at a time."""
        return "+".join(sorted(self.targets))


@dataclass(frozen=True, slots=True)
class ModeRecipe:
    """The recipe of one failure mode."""

    recipe: Recipe
    folder: Path  # where its textures lie
    sha256: str  # of the file
    errors: int  # of the failure mode: what it counts beside the others
    explained: float = 0.0  # mean share of their shift that the cause explains


@dataclass(frozen=True, slots=True)
class Sources:
    """How images are read that a night has only named."""

    how: Reading
    copies: Copies  # of those that have an address

    def readable(self, spelt: str) -> Path | None:
        """The path of an image, or that of the copy of an address; None where it cannot be read."""
        try:
            most = self.how.most_megabytes
            path = self.copies.fetch(spelt, most) if is_address(spelt) else Path(spelt)
            check_image(path, self.how)
        except (ImageError, OSError):
            return None
        return path


@dataclass(frozen=True)
class Material:
    """Everything a retraining needs, decoded."""

    name: str  # of what is asked
    modes: tuple[FailureMode, ...]
    model: RegisteredModel
    recipes: tuple[ModeRecipe, ...]  # of the claimed modes; none: the logged images alone have to mend it
    train: Labelled
    errors: tuple[LoggedError, ...]  # that may join the training set, in the order of `logged`
    logged: Labelled
    clean: Labelled  # validation images the model was never trained on
    holdout: Labelled  # images like the failing ones that were never seen, where some were given
    others: Labelled  # errors of other failure modes, of this model and of those that it was retrained from
    right: Labelled  # parts of the same logs that went right by the operators' verdicts, where they hold some
    paths: dict[str, tuple[Path, ...]]  # of the images that judge, by the field's name
    notes: tuple[str, ...] = ()
    arm: Arm | None = None  # alone, without a competition
    right_read: int = 0  # parts that the logs say went right, whether or not they judge
    mode_of: dict[int, str] = field(default_factory=dict)  # the failure mode of a logged row; none: by itself
    explained: float = 0.0  # share of the errors' shift that the recipes' causes explain, over all errors

    @cached_property
    def line(self) -> Labelled:
        """The line as the log holds it: the errors, then what went right."""
        return Labelled(
            np.concatenate([self.logged.images, self.right.images]),
            np.concatenate([self.logged.labels, self.right.labels]),
        )

    @cached_property
    def kinds(self) -> NDArray[np.int64]:
        """What every image of the line is: its class, and whether the model went wrong, as one number."""
        return 2 * self.line.labels + (np.arange(len(self.line)) >= len(self.logged))

    def evened(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of some rows of the line those to train with: the errors, evened out by parts that went right.

        Of each class that has fewer errors than another so many of them join. Errors alone teach that parts
        under a new light are of the classes that errors have: of 53 pieces of paper all were soiled, and a
        model that was shown them had 15 of 79 unseen clean ones right (77 before). With as many clean ones
        from the same log it had 79, and 71 of 80 soiled ones (54 before).
        """
        wrong, right = rows[rows < len(self.logged)], rows[rows >= len(self.logged)]
        counts = np.bincount(self.line.labels[wrong], minlength=len(self.model.class_names))
        joining = []
        for label, count in enumerate(counts):
            mine = right[self.line.labels[right] == label]
            wanted = min(len(mine), counts.max() - count)
            joining.append(mine[np.linspace(0, len(mine) - 1, wanted).round().astype(np.int64)])
        return np.concatenate([wrong, *joining])

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """The group of every image of the line: never by image, or one part would judge itself."""
        return groups_of(self.errors, self.line.images)


def gather_material(
    workspace: Workspace, store: Store, request: RetrainingRequest, progress: Progress = None
) -> Material:
    """Load the recipes, the training set, the logged errors and the images that will judge the candidate.

    Left out, and told in the notes: logged images that are gone or whose label is suspect, recipes of failure
    modes that a reviewer rejected, and images of the holdout that stand in the log or were trained on. Raises
    RecipeError where nothing is left to train with.
    """
    notes: list[str] = []
    modes, nights, alone = _targets(store, request.targets)
    model = store.model(nights[0].model_hash)
    holdout = as_decided(request.holdout, model.rule)
    references = store.references(model.model_hash)
    train, clean = (_of_split(references, split) for split in ("train", "val"))
    if not train:
        raise ModelError(
            f"model {model.model_hash[:12]} has no training images among its references; register it with a "
            "reference set that has a train split (or none, and one image in five is kept for validation)"
        )
    joining = _joining(_reviewed(store, modes, model, notes), alone, notes)
    recipes = _recipes(workspace, store, modes, notes)
    if not recipes and not joining:
        why = modes[0].diagnosis.sentence if modes else "no failure mode"
        raise RecipeError(
            f"{' and '.join(request.targets)}: there is no recipe ({why}) and no logged image to train with: "
            "nothing would change. Name another failure mode, or log more of these errors."
        )
    seen = _labelled(joining)
    joining = _sampled(joining, workspace.settings.compute.seed, notes)
    own = _labelled(joining)
    how = reading(workspace.settings.images, model.bit_depth, model.prepared)
    unseen = _unseen(holdout, [*seen, *train], OF_HOLDOUT, notes)
    right = _right(nights, model, Sources(how, copies(workspace)), notes)
    right = _unseen(right, [*seen, *train], OF_LOG, notes)
    others = _others(store, modes, own, model)
    judging = {"logged": own, "clean": clean, "holdout": unseen, "others": others, "right": right}
    decoded = {
        name: _decoded(images, model, how, progress) for name, images in {"train": train, **judging}.items()
    }
    return Material(
        name=request.name,
        modes=modes,
        model=model,
        recipes=recipes,
        errors=tuple(error for error, _ in joining),
        **decoded,
        paths={name: tuple(each.path for each in images) for name, images in judging.items()},
        notes=tuple(notes),
        arm=request.arm,
        right_read=sum(night.right_read for night in nights),
        mode_of={row: mode for row, (_, mode) in enumerate(joining) if mode},
        explained=sum(each.errors * each.explained for each in recipes) / _errors(modes, alone),
    )


def workspace_of(workspace: Workspace, store: Store, targets: Sequence[str]) -> Workspace:
    """The workspace with the settings of the line that failure modes and nights belong to.

    Raises UnknownIdError, and RecipeError where they belong to lines whose settings differ.
    """
    known = store.states()
    nights = [store.overview(each if each in known else store.mode(each).night_id) for each in targets]
    asked = {night.of_line: workspace.of_line(night.of_line) for night in nights}
    if len({repr(of_a_night(each.settings)) for each in asked.values()}) > 1:
        lines = ", ".join(line or "no line" for line in asked)
        raise RecipeError(
            f"{', '.join(targets)} are of lines whose settings differ ({lines}), and one retraining has "
            "one's: name failure modes of one line"
        )
    return next(iter(asked.values()))


def _targets(
    store: Store, targets: Sequence[str]
) -> tuple[tuple[FailureMode, ...], list[Night], list[LoggedError]]:
    """The failure modes asked for, each once, their nights, and errors by themselves.

    Raises UnknownIdError, and RecipeError where they are of several models.
    """
    modes: dict[str, FailureMode] = {}
    nights: dict[str, Night] = {}
    alone: list[LoggedError] = []
    known = store.states()
    for target in targets:
        if target in known:
            night = nights[target] = store.night(target)
            modes |= {mode.mode_id: mode for mode in night.modes}
            alone += night.unclustered
        else:
            mode = modes[target] = store.mode(target)
            nights.setdefault(mode.night_id, store.night(mode.night_id))
    used = {night.model_hash for night in nights.values()}
    if len(used) > 1:
        raise RecipeError(
            f"{', '.join(targets)} are of {len(used)} models "
            f"({', '.join(sorted(each[:12] for each in used))}), and one retraining starts from one model: "
            "name failure modes of one of them"
        )
    return tuple(modes.values()), list(nights.values()), alone


def _reviewed(
    store: Store, modes: Sequence[FailureMode], model: RegisteredModel, notes: list[str]
) -> list[tuple[LoggedError, str]]:
    """The modes' errors that reviewers and the search for wrong labels leave, as reviewers label them.

    A reviewer's word on an image stands above every sign that its label is wrong.
    """
    relabelled = store.relabels([mode.mode_id for mode in modes])
    kept: list[tuple[LoggedError, str]] = []
    left_out: Counter[str] = Counter()
    for mode in modes:
        judgement = store.judgements(mode.night_id).get(mode.mode_id)
        suspects = {suspect.image_path for suspect in mode.suspects}
        for error in mode.errors:
            word = relabelled.get((mode.mode_id, error.row))
            why = _left_out(error, word, judgement, error.image_path in suspects, model)
            if why:
                left_out[why] += 1
            else:
                label = word.label if word and word.label else error.true_label
                kept.append((replace(error, true_label=label), mode.mode_id))
    for why, count in left_out.items():
        notes.append(NOT_TRAINED_ON.format(images=plural(count, "logged image"), why=why))
    return kept


def _left_out(
    error: LoggedError,
    word: Relabel | None,
    judgement: Judgement | None,
    suspect: bool,
    model: RegisteredModel,
) -> str:
    """Why an error does not join the training set; empty where it does."""
    if word and word.label is None:
        return REMOVED
    if word and word.label == error.predicted_label:
        return WAS_RIGHT
    if word and word.label not in model.class_names:
        return NO_CLASS.format(label=word.label)
    if word:
        return ""
    if judgement in UNFIT:
        return UNFIT[judgement]
    return SUSPECT if suspect else ""


def _joining(
    reviewed: Sequence[tuple[LoggedError, str]], alone: Sequence[LoggedError], notes: list[str]
) -> list[tuple[LoggedError, str]]:
    """The logged errors that may join the training set, with their failure modes, every image once."""
    found: dict[str, tuple[LoggedError, str]] = {}
    gone: list[str] = []
    for error, mode in [*reviewed, *((error, "") for error in alone)]:
        if error.image_path in found:
            continue
        if Path(error.image_path).is_file():
            found[error.image_path] = error, mode
        else:
            gone.append(error.image_path)
    if gone:
        notes.append(GONE.format(images=plural(len(gone), "logged image"), names=some(gone)))
    return list(found.values())


def _sampled(
    joining: Sequence[tuple[LoggedError, str]], seed: int, notes: list[str]
) -> list[tuple[LoggedError, str]]:
    """As many of the logged errors as take part, where there are more: all of them are held in memory."""
    drawn = sample(len(joining), tuning.SAMPLED_ERRORS, seed)
    if len(drawn) < len(joining):
        notes.append(TAKES_PART.format(drawn=len(drawn), joining=len(joining), seed=seed))
    return [joining[i] for i in drawn]


def _labelled(joining: Sequence[tuple[LoggedError, str]]) -> list[LabelledImage]:
    return [LabelledImage(Path(error.image_path), error.true_label, None) for error, _ in joining]


def _recipes(
    workspace: Workspace, store: Store, modes: Sequence[FailureMode], notes: list[str]
) -> tuple[ModeRecipe, ...]:
    found = []
    for mode in modes:
        if mode.recipe is None:
            continue
        judgement = store.judgements(mode.night_id).get(mode.mode_id)
        if judgement in WITHOUT_RECIPE:
            notes.append(RECIPE_LEFT_OUT.format(mode=mode.mode_id, judgement=judgement))
            continue
        path = workspace.root / mode.recipe.path
        recipe, explained = load_recipe(path), mode.diagnosis.mean_share
        found.append(ModeRecipe(recipe, path.parent, mode.recipe.sha256, len(mode.errors), explained))
    return tuple(found)


def _errors(modes: Sequence[FailureMode], alone: Sequence[LoggedError]) -> int:
    """How many errors were asked for, at least one."""
    return max(1, sum(len(mode.errors) for mode in modes) + len(alone))


def _unseen(
    judging: Sequence[LabelledImage], seen: Sequence[LabelledImage], called: str, notes: list[str]
) -> list[LabelledImage]:
    """Images that are to judge without those that were seen before, under whatever name."""
    if not judging:
        return []
    known = {sha256_of(each.path) for each in seen}
    rest = [each for each in judging if sha256_of(each.path) not in known]
    if len(rest) < len(judging):
        seen_before = len(judging) - len(rest)
        notes.append(SEEN_BEFORE.format(seen=seen_before, judging=len(judging), called=called))
    return rest


def _right(
    nights: Sequence[Night], model: RegisteredModel, sources: Sources, notes: list[str]
) -> list[LabelledImage]:
    """Parts of the logs that went right, the newest night's first, each once.

    Nobody has looked at their images until now, for a night looks at errors: what cannot be read is told.
    """
    newest = sorted(nights, key=lambda night: night.started_at, reverse=True)
    parts: dict[str, str] = {}
    for part in (part for night in newest for part in night.right):
        parts.setdefault(part.image_path, part.label)
    spelt = list(parts)[:MOST_RIGHT]
    paths = list(each_read(sources.readable, spelt))
    gone = [each for each, path in zip(spelt, paths, strict=True) if path is None]
    if gone:
        notes.append(UNREAD.format(gone=len(gone), parts=len(spelt), names=some(gone)))
    return [
        LabelledImage(path, parts[each], None)
        for each, path in zip(spelt, paths, strict=True)
        if path and parts[each] in model.class_names
    ]


def _others(
    store: Store, modes: Sequence[FailureMode], own: Sequence[LabelledImage], model: RegisteredModel
) -> list[LabelledImage]:
    """The newest of other modes' errors whose images are still there and whose class the model knows."""
    mine = {each.path for each in own} | {Path(each.image_path) for mode in modes for each in mode.errors}
    held: dict[Path, LabelledImage] = {}
    for mode in modes:
        for error in store.other_errors(mode.mode_id):
            path = Path(error.image_path)
            if path not in mine and error.true_label in model.class_names and path.is_file():
                held.setdefault(path, LabelledImage(path, error.true_label, None))
    return list(held.values())[:MOST_OTHERS]


def _of_split(references: Sequence[ReferenceImage], split: str) -> list[LabelledImage]:
    chosen = [each for each in references if each.split == split]
    return [LabelledImage(Path(each.image_path), each.label, split) for each in chosen]


def _decoded(
    images: Sequence[LabelledImage], model: RegisteredModel, how: Reading, progress: Progress
) -> Labelled:
    labels = np.array([model.class_names.index(each.label) for each in images], np.int64)
    pixels = load_images([each.path for each in images], spec_of(model).preprocessing, progress, how)
    return Labelled(pixels, labels)
