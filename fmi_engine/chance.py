"""What chance alone does: exact tests of a count of successes.

By the distribution function itself: `scipy.stats` takes as long to import as a small model to answer.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import bdtr, bdtrc, betaincinv, gammaln, xlogy


def at_least(successes: int, trials: int, probability: float) -> float:
    """The p-value of so many successes or more, each of this probability (binomial test, one-sided)."""
    return float(bdtrc(successes - 1, trials, probability)) if successes > 0 else 1.0


def as_uneven(one: int, other: int, share: float = 0.5) -> float:
    """The p-value of two counts as uneven as these, where the first is to have this share of both.

    An exact binomial test, two-sided: twice the smaller tail. Of 0.5 it is the sign test.
    """
    fewer = float(bdtr(one, one + other, share))
    return min(1.0, 2 * min(fewer, at_least(one, one + other, share)))


def share_interval(successes: int, trials: int) -> tuple[float, float]:
    """The exact 95 % interval of a share, of which so many trials succeeded (Clopper and Pearson, 1934)."""
    failures = trials - successes
    lower = float(betaincinv(successes, failures + 1, 0.025)) if successes else 0.0
    return lower, float(betaincinv(successes + 1, failures, 0.975)) if failures else 1.0


def pairs_to_show(share: float, significance: float, power: float, most: int) -> float | None:
    """How many pairs it takes on average until the sign test shows which kind is the more frequent one.

    `share` of the pairs are of the first kind. How many there will be is a matter of chance, too (Poisson).
    With so many the test shows the first kind as the more frequent one with this power, below this p-value.
    None where it takes more than `most`.
    """
    from scipy.optimize import bisect  # a second, which hardly anybody here should wait for

    counts = np.arange(most + math.ceil(6 * math.sqrt(most)) + 1)
    shown = np.array(_shown_of(len(counts), share, significance))

    def power_at(mean: float) -> float:
        return float(np.exp(xlogy(counts, mean) - mean - gammaln(counts + 1)) @ shown)

    if power_at(most) < power:
        return None
    return float(bisect(lambda mean: power_at(mean) - power, 0.0, most, xtol=1e-3))


def _shown_of(pairs: int, share: float, significance: float) -> list[float]:
    """Of 0, 1, 2, ... pairs: how probably the sign test shows the first kind as the more frequent one."""
    shown, others = list[float](), -1  # so many of the other kind at most
    for count in range(pairs):
        while others + 1 < count / 2 and 2 * bdtr(others + 1, count, 0.5) <= significance:
            others += 1
        shown.append(float(bdtr(others, count, 1 - share)) if others >= 0 else 0.0)
    return shown


class Changes(NamedTuple):
    """How many images of a group were called something only after, only before, and how many there are."""

    gained: int
    lost: int
    of: int

    @property
    def share(self) -> float:
        """By how much the share that is called so grew."""
        return (self.gained - self.lost) / self.of


def as_fallen(own: Changes, others: Changes) -> float:
    """The p-value that the share of `own` did not fall beside the share of `others`, one-sided.

    Exact: were there no difference, before and after could be swapped on any image, so that each of those
    that changed is a toss of a coin (Fisher's randomisation test, on the difference of the mean changes).
    """
    tosses, against = own.gained + own.lost, others.gained + others.lost
    found = own.share - others.share
    heads = np.arange(tosses + 1)
    fallen = (2 * heads - tosses) / own.of - found  # what the others have to grow by, at least
    needed = np.ceil((against + others.of * fallen) / 2 - 1e-9)
    probable = np.exp(
        gammaln(tosses + 1) - gammaln(heads + 1) - gammaln(tosses - heads + 1) - tosses * math.log(2)
    )
    grown = bdtrc(np.clip(needed - 1, 0, against), against, 0.5)  # at least so many heads of theirs
    return min(1.0, float(probable @ np.where(needed > 0, grown, 1.0)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number: any is below a level by chance no more often than that.

    Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(factors * np.asarray(p_values, float)[order]), 1.0)
    return [float(p) for p in corrected]
