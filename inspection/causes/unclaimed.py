"""What errors are put down to where no cause is claimed: a new look, a defect that cannot be seen, labels.

Each asks for something else of a plant, and none has a recipe.
"""

import numpy as np
from numpy.typing import NDArray

from fmi_engine.chance import at_least
from fmi_engine.types import FloatArray
from inspection import tuning
from inspection.causes.ranking import Ranking
from inspection.evidence.case import Case
from inspection.evidence.place import Newness
from inspection.findings import Cause
from inspection.inputs.labelled import Labelled, evenly

KNOWN = 256  # reference images, at most, whose patches are known; half of them say what is normal


def cause_without_claim(case: Case, ranking: Ranking) -> Cause:
    """What errors are put down to that no change of images explains.

    A new look where most of them hold patches that are newer than those of nearly all reference images, of
    any class. A defect that cannot be seen where most show nothing that images of the predicted class do not
    show, that class is a good one, and reference images of their own class do show it. A matter of labels
    where they look like parts of the predicted class, as they are.
    """
    if len(case) < case.settings.fewest_errors:
        return Cause.UNKNOWN
    if _look_new(case):
        return Cause.NEW_LOOK
    if _show_nothing(case):
        return Cause.INVISIBLE
    baselines = case.nearest.baselines
    like_predicted = baselines.like_predicted >= tuning.LIKE_PREDICTED
    as_well = baselines.either_class.mean >= ranking.best.mean_share
    return Cause.LABELS if like_predicted and as_well else Cause.UNKNOWN


def _look_new(case: Case) -> bool:
    """Whether most errors hold patches that are newer than those of nearly all reference images."""
    known, normal = _halves(case.subject.correct)
    newness = Newness(case.subject, known.images)
    errors = newness.of(case.nearest.places.errors)
    return _most(errors > _highest(newness.of(normal.images)))


def _show_nothing(case: Case) -> bool:
    """Whether most errors that passed as good show nothing that good parts do not show."""
    names, good = case.subject.model.class_names, case.subject.model.good_classes
    passed = np.isin(case.screening.predicted, [names.index(name) for name in good])
    if not passed.all() or np.isin(case.true, case.screening.predicted).any():
        return False
    correct = case.subject.correct
    known, normal = _halves(correct.subset(np.flatnonzero(np.isin(correct.labels, case.screening.predicted))))
    defective = correct.subset(np.flatnonzero(np.isin(correct.labels, case.true)))
    if not len(known) or not len(normal) or not len(defective):
        return False
    newness = Newness(case.subject, known.images)
    least = _highest(newness.of(normal.images))
    seen = newness.of(defective.subset(evenly(defective.labels, KNOWN // 2)).images) > least
    return _most(seen) and _most(newness.of(case.nearest.places.errors) <= least)


def _halves(images: Labelled) -> tuple[Labelled, Labelled]:
    """Two halves of some images, even over the classes."""
    chosen = evenly(images.labels, KNOWN)
    return images.subset(chosen[::2]), images.subset(chosen[1::2])


def _highest(values: FloatArray) -> float:
    """The value that all but few stay below."""
    return float(np.quantile(values, 1 - tuning.SIGNIFICANCE))


def _most(are: NDArray[np.bool_]) -> bool:
    """Whether more than half are, beyond chance."""
    return at_least(int(are.sum()), len(are), 0.5) < tuning.SIGNIFICANCE
