"""How many parts a candidate judges beside the deployed model until the line itself shows the difference.

Both models judge the same parts, and only those count that one of them gets right and the other wrong. Which
of the two gets more of them right is told by the sign test, as in the gate (McNemar, 1947).
"""

import math
from dataclasses import dataclass

from fmi_engine.chance import pairs_to_show, share_interval
from inspection.findings import Accuracy, Retraining

POWER = 0.8  # probability of showing a difference as large as the one measured: as usual, after Cohen, 1988
ENOUGH = 20  # right parts of a set that say what a candidate loses: as many as the gate asks for
MOST_PAIRS = 2000  # parts on which the models differ; what takes more is no trial on a line


@dataclass(frozen=True, slots=True)
class Measured:
    """A share that was counted, with its 95 % interval."""

    share: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate beside the deployed model on one line, reckoned from what was measured."""

    errors: int  # of the logs that hold the parts that went right, too
    parts: int  # of them, right and wrong
    rate: Measured  # of parts, judged wrong
    mended: Measured  # of logged errors, by models that were not shown them
    lost: Measured  # of parts that went right, lost under the candidate
    judged_right: int  # parts that went right which say so
    size: int | None  # parts to judge; None: no number of parts that a line makes would show it
    size_lower: int | None  # at the favourable ends of the intervals
    size_upper: int | None  # at the unfavourable ends


def trial_of(done: Retraining, counted: tuple[int, int], significance: float) -> Trial | None:
    """Reckon the trial of a retraining's candidate; `counted` are errors and parts that went right.

    None where the logs hold no parts that went right, so that nobody knows how often the line errs, and where
    nothing says how many errors the candidate mends or what becomes of right parts.
    """
    (errors, right), mended, lost = counted, _mended(done), _lost(done)
    if not right or not errors or mended is None or lost is None:
        return None
    parts = errors + right
    rate = Measured(errors / parts, *share_interval(errors, parts))
    broken = Measured(lost.broken / lost.before, *share_interval(lost.broken, lost.before))
    return Trial(
        errors,
        parts,
        rate,
        mended,
        broken,
        lost.before,
        parts_needed(rate.share * mended.share, (1 - rate.share) * broken.share, significance),
        parts_needed(rate.upper * mended.upper, (1 - rate.upper) * broken.lower, significance),
        parts_needed(rate.lower * mended.lower, (1 - rate.lower) * broken.upper, significance),
    )


def parts_needed(fixed: float, broken: float, significance: float) -> int | None:
    """Parts to judge until the sign test shows, with POWER, that more are fixed than broken.

    Both are shares of parts. None where more are broken than fixed, and where it takes more than MOST_PAIRS
    parts on which the models differ.
    """
    if fixed <= broken:
        return None
    differ = fixed + broken
    pairs = pairs_to_show(fixed / differ, significance, POWER, MOST_PAIRS)
    return None if pairs is None else math.ceil(pairs / differ)


def _mended(done: Retraining) -> Measured | None:
    """Of the logged errors, all of which the deployed model gets wrong."""
    logged = next((each for each in done.accuracies if each.images and not each.before), None)
    if logged is None:
        return None
    lower, upper = max(0.0, logged.gain_lower), max(0.0, logged.gain_upper)
    return Measured(logged.after / logged.images, lower, upper)


def _lost(done: Retraining) -> Accuracy | None:
    """The set that says most of right parts: that of which the candidate lost the largest share."""
    right = [each for each in done.accuracies if each.before >= ENOUGH]
    return max(right, key=lambda each: each.broken / each.before, default=None)
