"""Which model is deployed: promoted by a person for a reason, rolled back, and all of it on record."""

from collections import defaultdict
from datetime import UTC, datetime

from inspection.errors import ModelError
from inspection.findings import (
    LINE,
    LOGGED,
    Arm,
    Promotion,
    PromotionKind,
    ReferenceImage,
    RegisteredModel,
    Retraining,
)
from inspection.workspace.reader import Reader
from inspection.workspace.store import Store, user

SHOWN_THE_LINE = (Arm.LOGGED, Arm.BOTH)  # arms whose candidates were shown logged images with their labels


def promote(store: Store, wanted: str | None, author: str, reason: str, anyway: bool = False) -> Promotion:
    """Make a candidate the deployed model; None: the newest that was accepted.

    It takes the labelled images of the model that it was retrained from, and those of the log that it was
    retrained with, errors and parts that went right: they say what is normal for it. Raises ModelError
    without a reason, for the model that is deployed already, and for a candidate that the gate did not
    accept, unless `anyway`.
    """
    reason = _given(reason, "promoted")
    model = store.model(wanted) if wanted else _newest_accepted(store)
    deployed = store.model().model_hash
    if model.model_hash == deployed:
        raise ModelError(f"{model.called} ({model.model_hash[:12]}) is the deployed model already")
    judged = judged_by(store, model)
    if judged and not judged.accepted and not anyway:
        raise ModelError(
            f"the gate says of {model.called} ({model.model_hash[:12]}): {judged.decision.value}. "
            f"{judged.reasons[0]}. Retrain with more images, or promote it --anyway: that stays on record"
        )
    before = deployed_in_turn(store).get(model.name, [deployed])[-1]
    entry = Promotion(
        model.model_hash,
        before if before != model.model_hash else deployed,
        PromotionKind.PROMOTED,
        author or user(),
        reason,
        datetime.now(UTC),
        judged.decision if judged else None,
    )
    store.promote(entry, _references(store, model, judged))
    return entry


def roll_back(store: Store, author: str, reason: str, expected: str = "", name: str = "") -> Promotion:
    """Make the model of a name that was deployed before its present one the deployed one again.

    All models of a line share a name, so no other line's model changes. A second time goes back one further.
    The name may be left out where the deployed model that is `expected` is given by its hash, or where there
    is one name. Raises ModelError without a reason, where it is not told which of several is meant, where no
    model was deployed before, and where another model is deployed than the one expected.
    """
    reason = _given(reason, "rolled back")
    turns = deployed_in_turn(store)
    if expected:
        name = next((each.name for each in store.models() if each.model_hash == expected), name)
    mine = turns[_which(store, turns, name)]
    now = store.model(mine[-1])
    if expected and expected != now.model_hash:
        raise ModelError(f"meanwhile {now.called} was deployed; look at the models and decide again")
    if len(mine) < 2:
        raise ModelError(
            f"no model called '{now.name}' was deployed before {now.called}, so there is nothing to roll "
            "back to; `fmi promote` deploys any other"
        )
    entry = Promotion(
        mine[-2], mine[-1], PromotionKind.ROLLED_BACK, author or user(), reason, datetime.now(UTC)
    )
    store.promote(entry)
    return entry


def _which(store: Store, turns: dict[str, list[str]], name: str) -> str:
    """The name of the models that are meant. Raises ModelError where it is not told, or there is none."""
    found = [each for each in turns if not name or each.casefold() == name.casefold()]
    if len(found) == 1:
        return found[0]
    deployed = ", ".join(store.model(each[-1]).called for each in turns.values()) or "none"
    if name:
        raise ModelError(f"no model called '{name}' is deployed; deployed are: {deployed}")
    raise ModelError(
        f"models of several names are deployed ({deployed}): say by --name which of them is to go back"
        if turns
        else "no model is deployed, so there is nothing to roll back to"
    )


def deployed_in_turn(findings: Reader) -> dict[str, list[str]]:
    """Of every name the models deployed one after the other, by their hashes; the last one is now.

    Without those that were rolled back.
    """
    names = {model.model_hash: model.name for model in findings.models()}
    turns: dict[str, list[str]] = defaultdict(list)
    for entry in findings.promotions():
        mine = turns[names[entry.model_hash]]
        if entry.kind is PromotionKind.ROLLED_BACK and entry.previous_hash:
            turns[names[entry.previous_hash]].pop()
        elif mine[-1:] != [entry.model_hash]:
            mine.append(entry.model_hash)
    return {name: hashes for name, hashes in turns.items() if hashes}


def judged_by(store: Reader, model: RegisteredModel) -> Retraining | None:
    """The newest retraining that made a model; None: a plant's own."""
    return next(iter(store.retrainings(candidate=model.model_hash)), None)


def references_of(store: Reader, model: RegisteredModel) -> list[ReferenceImage]:
    """The labelled images of a model, or of a candidate without its own those of the model before it."""
    own = store.references(model.model_hash)
    return own if own or not model.parent_hash else store.references(model.parent_hash)


def _newest_accepted(store: Store) -> RegisteredModel:
    promoted = {entry.model_hash for entry in store.promotions()}
    for each in store.retrainings():
        if each.accepted and each.candidate_hash and each.candidate_hash not in promoted:
            return store.model(each.candidate_hash)
    raise ModelError(
        "no accepted candidate waits to be promoted: `fmi retrain` makes one, `fmi models` lists all"
    )


def _given(reason: str, what: str) -> str:
    if not reason.strip():
        raise ModelError(
            f"a model is {what} for a reason, which stays on record: give --reason in a sentence"
        )
    return reason.strip()


def _references(
    store: Store, model: RegisteredModel, judged: Retraining | None
) -> list[ReferenceImage] | None:
    """The labelled images of a model that has none of its own yet; None: it has."""
    if store.references(model.model_hash) or not model.parent_hash:
        return None
    found = {each.image_path: each for each in references_of(store, model)}
    if judged and judged.arm in SHOWN_THE_LINE:
        for image in store.judged_images(judged.retraining_id):
            if image.images_of in (LOGGED, LINE):
                shown = ReferenceImage(image.image_path, image.true_label, "train")
                found.setdefault(image.image_path, shown)
    return list(found.values())
