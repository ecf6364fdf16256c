"""A failure mode from night to night, followed by the direction of its shift."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fmi_engine.chance import as_uneven
from inspection import tuning
from inspection.findings import FailureMode, KnownMode, Trend

DIMENSIONS = 64  # of a signature, as every store holds it


def signature(shift: NDArray[np.floating], dimensions: int = DIMENSIONS, seed: int = 0) -> tuple[float, ...]:
    """The direction of a shift in a fixed number of dimensions, of unit length; () where nothing moved.

    A random projection, which keeps angles nearly as they are (Johnson and Lindenstrauss, Extensions of
    Lipschitz mappings into a Hilbert space, 1984), onto random signs (Achlioptas, Database-friendly random
    projections, 2003). The signs are raw bits, which stay the same from one version of NumPy to the next.
    """
    count = dimensions * len(shift)
    bits = np.unpackbits(np.random.PCG64(seed).random_raw(-(-count // 64)).astype("<u8").view(np.uint8))
    signs = bits[:count].reshape(dimensions, len(shift)) * 2.0 - 1.0
    projected = signs @ shift
    length = float(np.linalg.norm(projected))
    return tuple(float(value) for value in projected / length) if length > 0 else ()


def recognise(
    known: Sequence[KnownMode], signatures: Sequence[tuple[float, ...]]
) -> tuple[KnownMode | None, ...]:
    """Which known failure mode each signature is, at most one each, so that the cosines add up highest.

    Known modes have to be of the same model, or of one that was retrained from it: another has other filters.
    """
    cosines = np.array([[_alike(each.signature, mine) for each in known] for mine in signatures])
    found: list[KnownMode | None] = [None] * len(signatures)
    if known and signatures:
        from scipy.optimize import linear_sum_assignment  # as slow to import as a finished night to show

        # What may not be matched earns nothing, so that it cannot push out a pair that may.
        allowed = np.where(cosines >= tuning.SAME_SHIFT, cosines, 0)
        rows, columns = linear_sum_assignment(allowed, maximize=True)
        for mine, other in zip(rows.tolist(), columns.tolist(), strict=True):
            if allowed[mine, other] > 0:
                found[mine] = known[other]
    return tuple(found)


def _alike(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The cosine of two signatures; none, or one of another length, resembles nothing."""
    return float(np.dot(one, other)) if len(one) == len(other) > 0 else 0.0


def trend(now: int, before: int, lost: int = 0, lost_before: int = 0, share: float = 0.5) -> Trend:
    """Whether a night finds more or fewer errors of a failure mode than the night before, beyond chance.

    Where nothing changed, each of the now + before errors falls on this night with its `share` of the parts
    that both inspected: an exact two-sided binomial test (Przyborowski and Wilenski, Homogeneity of results
    in testing samples from Poisson series, 1940). Where that is not known, nights are taken to inspect about
    as many. `lost` rows of a night could not be read and may all be errors of the mode: it shrinks, or grows,
    only where it does so with all those of the night with fewer counted to it.
    """
    times = share / (1 - share)  # as many parts as the night before
    if now > times * (before + lost_before) and _beyond_chance(now, before + lost_before, share):
        return Trend.GROWING
    if now + lost < times * before and _beyond_chance(now + lost, before, share):
        return Trend.SHRINKING
    return Trend.STEADY


def _beyond_chance(one: int, other: int, share: float) -> bool:
    return as_uneven(one, other, share) < tuning.SIGNIFICANCE


def share_of(parts: int | None, before: int | None) -> float:
    """A night's share of the parts that it and the night before inspected; a half where that is not known."""
    return parts / (parts + before) if parts and before else 0.5


def follow(
    modes: Sequence[FailureMode],
    known: Sequence[KnownMode],
    lost: int = 0,
    errors: int = 0,
    parts: int | None = None,
) -> tuple[tuple[FailureMode, ...], tuple[str, ...]]:
    """Give every failure mode of a night its lineage and trend; name the last night's that are gone.

    `lost` rows of the night could not be read; it read `errors`, of `parts` inspected where that is known. A
    mode that it does not have is gone where
    nothing was lost, or where fewer rows were lost than read and it had shrunk beyond chance with all of
    them. Until then it is called neither; a later night may call it gone.
    """
    earlier = recognise(known, [mode.signature for mode in modes])
    followed = tuple(_followed(mode, each, lost, parts) for mode, each in zip(modes, earlier, strict=True))
    here = {mode.lineage for mode in followed}
    return followed, tuple(
        each.lineage
        for each in known
        if (each.nights_ago == 1 or each.missed)
        and each.lineage not in here
        and (not lost or (lost < errors and _fewer(each, lost, parts)))
    )


def _fewer(earlier: KnownMode, lost: int, parts: int | None) -> bool:
    """Whether a mode that was not found has shrunk, were all that was lost its errors."""
    return trend(0, earlier.errors, lost, share=share_of(parts, earlier.parts)) is Trend.SHRINKING


def _followed(mode: FailureMode, earlier: KnownMode | None, lost: int, parts: int | None) -> FailureMode:
    if earlier is None:
        return replace(mode, lineage=mode.mode_id, trend=Trend.NEW, previous_errors=None)
    return replace(
        mode,
        lineage=earlier.lineage,
        trend=trend(len(mode.errors), earlier.errors, lost, earlier.lost, share_of(parts, earlier.parts)),
        previous_errors=earlier.errors,
    )
