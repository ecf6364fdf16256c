"""The model card: what a model is, where it comes from, what it was judged on, and where it may be wrong.

After Mitchell et al., Model Cards for Model Reporting, arXiv 1810.03993.
"""

from collections import Counter

from inspection.findings import CheckKind, RegisteredModel, Retraining
from inspection.inputs.fitting import Fitting
from inspection.models.promotion import judged_by, references_of
from inspection.nights.phrases import check_in_words, moment, percent
from inspection.workspace.reader import Reader

LARGEST_LOGIT = "the class of the largest logit"
CARD = "MODEL_CARD.md"  # the file


def model_card(store: Reader, model: RegisteredModel) -> str:
    """The card as Markdown."""
    judged = judged_by(store, model)
    parts = [_what(model), _lineage(store, model), _data(store, model)]
    parts += [_judged(judged), _limits(judged)] if judged else [_never_judged()]
    return "\n\n".join(parts) + "\n"


def _what(model: RegisteredModel) -> str:
    good = ", ".join(model.good_classes) or "none is named"
    fitting = Fitting.parse(model.prepared)
    told = " and its decision" if model.decision else ""
    colour = "grey" if model.channels == 1 else "BGR" if fitting.blue_first else "RGB"
    normalisation = f"mean {list(model.mean)}, standard deviation {list(model.std)}"
    return "\n".join(
        [
            f"# {model.called}",
            "",
            f"- **Network**: {model.architecture}; SHA-256 of its weights{told} `{model.model_hash}`",
            f"- **Task**: classifies images of parts as {', '.join(model.class_names)}; good: {good}",
            f"- **Input**: {colour}, {model.height} x {model.width} pixels ({fitting}), values in 0 to 1, "
            f"then {normalisation}",
            f"- **Decision**: {model.decision or LARGEST_LOGIT}",
            f"- **Registered**: {moment(model.registered_at)}" + (f"; {model.note}" if model.note else ""),
        ]
    )


def _lineage(store: Reader, model: RegisteredModel) -> str:
    known = {each.model_hash: each for each in store.models()}
    lines, now = ["## Lineage", ""], model
    while True:
        made = judged_by(store, now)
        how = f": {made.arm.value}, {made.decision.value}" if made and made.arm else ""
        lines.append(f"- {now.called} (`{now.model_hash[:12]}`){how}")
        if now.parent_hash not in known:
            break
        now = known[now.parent_hash]
    trail = [entry for entry in store.promotions() if entry.model_hash == model.model_hash]
    lines += [
        f"- {entry.kind.value} on {moment(entry.decided_at)} by {entry.author}: {entry.reason}"
        for entry in trail
    ]
    return "\n".join(lines)


def _data(store: Reader, model: RegisteredModel) -> str:
    counts = Counter((each.label, each.split) for each in references_of(store, model))
    rows = [f"| {name} | {counts[name, 'train']} | {counts[name, 'val']} |" for name in model.class_names]
    return "\n".join(["## Images", "", "| class | trained on | validated on |", "| --- | --- | --- |", *rows])


def _judged(judged: Retraining) -> str:
    lines = [
        "## Judged",
        "",
        f"Retraining {judged.retraining_id} of {moment(judged.finished_at)}: **{judged.decision.value}**.",
        "",
        "| images it never saw | count | right before | right after | change, 95 % interval |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {each.name} | {each.images} | {each.before} | {each.after} | "
        f"{percent(each.gain_lower)} to {percent(each.gain_upper)} |"
        for each in judged.accuracies
    ]
    against = [check_in_words(check) for check in judged.checks if check.passed is not True]
    lines += ["", *(f"- {said}" for said in against)] if against else []
    if judged.calibration:
        before, after = judged.calibration
        lines += ["", f"Expected calibration error on clean images: {before:.3f} before, {after:.3f} after."]
    return "\n".join(lines)


def _limits(judged: Retraining) -> str:
    lines = ["## Where it may be wrong", ""]
    lines += [f"- {note}" for note in judged.notes]
    few = [
        check.class_name
        for check in judged.checks
        if check.kind is CheckKind.CLASS and not check.by_chance and check.images * check.needed < 1
    ]
    if few:
        lines.append(
            f"- of {', '.join(few)} there are so few clean images that a fall by one is all that can be seen"
        )
    lines.append("- on parts, light and cameras of which none of these images is")
    return "\n".join(lines)


def _never_judged() -> str:
    return (
        "## Judged\n\nThis model was registered by the plant, and no gate has judged it. `fmi evaluate` "
        "tells how often it is right on labelled images."
    )
