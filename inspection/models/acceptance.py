"""The measurements that accept or refuse a candidate model."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fmi_engine.chance import as_uneven
from fmi_engine.classifier import Classifier
from inspection.findings import Accuracy
from inspection.inputs.labelled import Labelled
from inspection.workspace.settings import AcceptanceSettings


def right(classifier: Classifier, data: Labelled, batch_size: int) -> NDArray[np.bool_]:
    """Which images the model classifies correctly."""
    return np.asarray(classifier.predict(data.images, batch_size).argmax(1) == data.labels)


def compare_models(
    name: str, data: Labelled, deployed: Classifier, candidate: Classifier, batch_size: int
) -> Accuracy:
    """What the deployed model and a candidate make of the same images."""
    answers = right(deployed, data, batch_size), right(candidate, data, batch_size)
    return compare_answers(name, data.labels, deployed.class_names, *answers)


def compare_answers(
    name: str,
    labels: NDArray[np.int64],
    class_names: Sequence[str],
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
) -> Accuracy:
    """Set the right answers before and after side by side: exact McNemar test, paired 95 % interval.

    McNemar, Note on the sampling error of the difference between correlated proportions, 1947; the
    interval is Agresti and Min's adjusted Wald interval for paired proportions, 2005.
    """
    fixed, broken = int((after & ~before).sum()), int((before & ~after).sum())
    n = len(labels)
    lower, upper = paired_interval(fixed, broken, n)
    return Accuracy(
        name=name,
        images=n,
        before=int(before.sum()),
        after=int(after.sum()),
        fixed=fixed,
        broken=broken,
        p_value=mcnemar(fixed, broken),
        gain_lower=lower,
        gain_upper=upper,
        per_class={
            class_name: (
                int((labels == i).sum()),
                int(before[labels == i].sum()),
                int(after[labels == i].sum()),
            )
            for i, class_name in enumerate(class_names)
            if (labels == i).any()
        },
    )


def mcnemar(fixed: int, broken: int) -> float:
    """Two-sided exact p-value that as many images were fixed as broken; 1 where none changed."""
    return as_uneven(fixed, broken)


def paired_interval(fixed: int, broken: int, n: int) -> tuple[float, float]:
    """95 % interval of (fixed - broken) / n with Agresti and Min's half observation in each cell."""
    if n == 0:
        return 0.0, 0.0
    up, down, total = fixed + 0.5, broken + 0.5, n + 2
    change = (up - down) / total
    half = 1.959964 * float(np.sqrt(up + down - (up - down) ** 2 / total)) / total
    return max(change - half, -1.0), min(change + half, 1.0)


def judge(
    failing: Accuracy, clean: Accuracy, settings: AcceptanceSettings, others: Accuracy | None = None
) -> tuple[bool, tuple[str, ...]]:
    """Accept a candidate only if it repairs the mode and harms nothing else; the reasons in words.

    `others` are errors of other failure modes: what an earlier retraining mended has to stay mended.
    """
    complaints = [*_repair_complaints(failing, settings), *_harm_complaints(clean, settings)]
    if others is not None and _harmed(others.images, others.before, others.after, settings.class_margin):
        complaints.append(
            f"{others.name}: {others.before} of {others.images} right before, {others.after} after; at most "
            f"{settings.class_margin:.1%} may be lost"
        )
    if complaints:
        return False, tuple(complaints)
    return True, (
        f"{failing.name}: {failing.before} of {failing.images} right before, {failing.after} after "
        f"(p = {failing.p_value:.2g})",
        f"{clean.name}: {clean.before} of {clean.images} right before, {clean.after} after",
    )


def _repair_complaints(failing: Accuracy, settings: AcceptanceSettings) -> Iterable[str]:
    if failing.images == 0:
        yield f"{failing.name}: no image to measure the repair on"
    elif failing.fixed <= failing.broken or failing.p_value > settings.significance:
        yield (
            f"{failing.name}: {failing.fixed} fixed and {failing.broken} broken of {failing.images}; "
            f"not a significant repair (p = {failing.p_value:.2g}, needed {settings.significance:g})"
        )


def _harm_complaints(clean: Accuracy, settings: AcceptanceSettings) -> Iterable[str]:
    if clean.images == 0:
        yield f"{clean.name}: no clean image to measure harm on"
        return
    if _harmed(clean.images, clean.before, clean.after, settings.clean_margin):
        fall = (clean.before - clean.after) / clean.images
        yield f"{clean.name}: accuracy falls by {fall:.1%}; at most {settings.clean_margin:.1%} is accepted"
    for name, (images, before, after) in clean.per_class.items():
        if _harmed(images, before, after, settings.class_margin):
            yield (
                f"{clean.name}, class {name}: {before} of {images} right before, {after} after; "
                f"at most {settings.class_margin:.1%} may be lost"
            )


def _harmed(images: int, before: int, after: int, margin: float) -> bool:
    """Whether more images are lost than the margin allows; one image alone is no evidence of harm."""
    return before - after > max(1.0, margin * images)
