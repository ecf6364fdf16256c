"""What errors are put down to where no cause is claimed: a new look, a defect that cannot be seen, labels.

Each asks for something else of a plant, and none has a recipe.
"""

import numpy as np

from inspection import tuning
from inspection.causes.ranking import Ranking
from inspection.evidence.case import Case
from inspection.evidence.newness import most, unchanged
from inspection.evidence.wrong_labels import find_evidence
from inspection.findings import Cause
from inspection.inputs.labelled import evenly


def cause_without_claim(case: Case, ranking: Ranking) -> Cause:
    """What errors are put down to that no change of images explains.

    A new look where most of them hold patches that are newer than those of nearly all reference images, of
    any class. A defect that cannot be seen where most passed as good and show nothing that good parts do not
    show, while reference images of their own class do show it. A matter of labels where they look like parts
    of the predicted class, as they are, and some labels are suspect.
    """
    if len(case) < case.settings.fewest_errors:
        return Cause.UNKNOWN
    if most(case.new_beside()):
        return Cause.NEW_LOOK
    if _show_nothing(case):
        return Cause.INVISIBLE
    baselines = case.nearest.baselines
    like_predicted = baselines.like_predicted >= tuning.LIKE_PREDICTED
    as_well = baselines.either_class.mean >= ranking.best.mean_share
    return Cause.LABELS if like_predicted and as_well and len(find_evidence(case).listed) else Cause.UNKNOWN


def _show_nothing(case: Case) -> bool:
    """Whether most errors are defects that passed as good, and show nothing that good parts do not show."""
    good = case.subject.good
    passed = np.isin(case.screening.predicted, good) & ~np.isin(case.true, good)
    if not most(passed):
        return False
    correct = case.subject.correct
    own = correct.subset(np.flatnonzero(np.isin(correct.labels, np.setdiff1d(case.true, good))))
    newness = unchanged(case.subject, good)
    if newness is None or not len(own):
        return False
    shown = own.subset(evenly(own.labels, tuning.KNOWN_IMAGES // 2)).images
    return most(newness.tells(shown)) and most(~newness.tells(case.nearest.places.errors))
