"""What chance alone does: exact tests of a count of successes.

By the distribution function itself: `scipy.stats` takes as long to import as a small model to answer.
"""

from scipy.special import bdtr, bdtrc


def at_least(successes: int, trials: int, probability: float) -> float:
    """The p-value of so many successes or more, each of this probability (binomial test, one-sided)."""
    return float(bdtrc(successes - 1, trials, probability)) if successes > 0 else 1.0


def as_uneven(one: int, other: int) -> float:
    """The p-value of two counts as uneven as these, where both are as likely (sign test, two-sided)."""
    return min(1.0, 2 * float(bdtr(min(one, other), one + other, 0.5)))
