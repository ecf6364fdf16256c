"""Who is affected: where a failure mode's errors come from and since when, beside the rest of the log.

A failure mode is compared with all other rows: the other errors and, where the log holds them, the parts
whose verdict was right. Each value of each column is tested by Fisher's exact test (one-sided: the mode has
it more often), the time by an exact scan, and all p-values of a night are corrected together (Holm, A simple
sequentially rejective multiple test procedure, 1979). Where a table's margins alone rule a low p-value out,
no test is made (Tarone, A modified Bonferroni method for discrete data, 1990).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from fmi_engine.chance import holm
from inspection import tuning
from inspection.findings import NO_OFFSET, ORIGINS, Affected, FailureMode, LogContext, LoggedError

TIME = "captured_at"
MINUTE = 60.0  # seconds; times are compared to the minute, as people tell them
FEWEST = 2  # errors of a failure mode that may share something
TOGETHER = 1 << 19  # chances that are worked out at a time, at most: 4 MB, and some copies
NOWHERE = -1  # the group of a row that belongs to no failure mode, and the code of a value that is not logged

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Origins:
    """Where a night's errors come from, and what they are compared with.

    `lost` rows are or may be errors that could not be read. Where fewer were lost than read, the `right`
    parts take part, and every test holds with all those rows counted to the failure mode, as errors from
    elsewhere. Otherwise errors are compared with errors alone: both were lost alike.
    """

    errors: tuple[LogContext, ...]  # in the order of the errors
    right: tuple[LogContext, ...] = ()  # parts inspected whose verdict was right
    lost: int = 0


def tell_affected(
    modes: Sequence[FailureMode],
    unclustered: Sequence[LoggedError],
    right: Sequence[LogContext] = (),
    lost: int = 0,
) -> tuple[FailureMode, ...]:
    """The failure modes, each with what its errors share more than the rest of the log does."""
    members = [(number, error.context) for number, mode in enumerate(modes) for error in mode.errors]
    members += [(NOWHERE, error.context) for error in unclustered]
    origins = Origins(tuple(context for _, context in members), tuple(right), lost)
    affected = affected_groups(origins, np.array([group for group, _ in members], np.int64), len(modes))
    return tuple(replace(mode, affected=each) for mode, each in zip(modes, affected, strict=True))


def affected_groups(origins: Origins, groups: Counts, count: int) -> list[tuple[Affected, ...]]:
    """For each of so many groups of errors, what was compared; `groups` (errors,) are numbers or NOWHERE."""
    log = _log(origins, groups)
    found = _corrected(log, count)
    return [tuple(_affected(log, each) for each in _told(log, found, number)) for number in range(count)]


def shared_origins(origins: Origins, groups: Counts, count: int) -> list[list[Mask]]:
    """For each of so many groups of errors, those of all errors (errors,) that have what is claimed of it.

    The most certain claim comes first, and of claims that hold of the same errors one.
    """
    log = _log(origins, groups)
    found, shared = _corrected(log, count), []
    for number in range(count):
        claims = sorted(filter(_beyond_chance, _told(log, found, number)), key=lambda each: each.p_value)
        masks = [each.inside(log)[: log.errors] for each in claims]
        shared.append(list({mask.tobytes(): mask for mask in masks}.values()))
    return shared


def _corrected(log: "_Log", modes: int) -> list["_Test"]:
    """The tests of so many failure modes, the most certain first, corrected for their number."""
    tests = [test for mode in range(modes) for test in _tests(log, mode)]
    tests.sort(key=lambda test: test.p_value)
    corrected = holm([test.p_value for test in tests])
    return [replace(test, p_value=p) for test, p in zip(tests, corrected, strict=True)]


# --- the log as columns of numbers ---


@dataclass(frozen=True)
class _Log:
    """Every row of the log that takes part: its failure mode, and what is logged of it."""

    rows: tuple[LogContext, ...]
    groups: Counts  # (rows,), the number of the failure mode, or NOWHERE
    errors: int  # of the rows; those after them were right
    lost: int  # rows that count to a failure mode, as errors from elsewhere

    @cached_property
    def values(self) -> dict[str, list[str]]:
        """What each column holds, sorted."""
        return {name: sorted({each for row in self.rows if (each := getattr(row, name))}) for name in ORIGINS}

    @cached_property
    def codes(self) -> dict[str, Counts]:
        """(rows,) for each column: the place of the row's value among `values`, or NOWHERE."""
        places = {name: {each: i for i, each in enumerate(held)} for name, held in self.values.items()}
        return {
            name: np.array([places[name].get(getattr(row, name), NOWHERE) for row in self.rows], np.int64)
            for name in ORIGINS
        }

    @cached_property
    def minutes(self) -> Counts:
        """(rows,): since 1970; below 0 where no time is logged.

        Some with an offset and some without cannot be set in order: then no row has a time.
        """
        times = [row.captured_at for row in self.rows]
        if len({_has_offset(time) for time in times if time}) > 1:
            times = [None] * len(times)
        return np.array([time.timestamp() // MINUTE if time else NOWHERE for time in times], np.int64)

    def mine(self, mode: int) -> Mask:
        """(rows,): the errors of a failure mode."""
        return np.equal(self.groups, mode)


def _log(origins: Origins, groups: Counts) -> _Log:
    counted = origins.right if origins.lost < len(origins.errors) else ()
    everywhere = np.concatenate([groups, np.full(len(counted), NOWHERE)])
    rows = (*origins.errors, *counted)
    return _Log(rows, everywhere, len(origins.errors), origins.lost if counted else 0)


def _has_offset(time: datetime) -> bool:
    return time.tzname() != NO_OFFSET.tzname(None)


# --- the tests ---


@dataclass(frozen=True, slots=True)
class _Test:
    """Whether the errors of a failure mode share a value, or a time from which on they come."""

    mode: int
    origin: str
    place: int  # of the value, or the minute
    p_value: float

    def known(self, log: _Log) -> Mask:
        """(rows,): of which the log says it."""
        return np.greater_equal(log.minutes if self.origin == TIME else log.codes[self.origin], 0)

    def inside(self, log: _Log) -> Mask:
        """(rows,): that have it."""
        if self.origin == TIME:
            return np.greater_equal(log.minutes, self.place)
        return np.equal(log.codes[self.origin], self.place)

    def share(self, log: _Log) -> float:
        """Of the mode's errors of which the log says it: those that have it."""
        mine = log.mine(self.mode)
        return float((mine & self.inside(log)).sum() / (mine & self.known(log)).sum())


def _tests(log: _Log, mode: int) -> Iterator[_Test]:
    for origin in ORIGINS:
        yield from _value_tests(log, mode, origin)
    yield from _time_test(log, mode)


def _value_tests(log: _Log, mode: int, origin: str) -> Iterator[_Test]:
    """One test for each value that may be found; none where the log knows one value only."""
    codes, mine = log.codes[origin], log.mine(mode)
    if mine[codes >= 0].sum() < FEWEST or len(np.unique(codes[codes >= 0])) < 2:
        return
    size = len(log.values[origin])
    having = np.bincount(codes[codes >= 0], minlength=size)
    errors = np.bincount(codes[(codes >= 0) & mine], minlength=size)
    drawn = int(errors.sum()) + log.lost
    sizes, alike = np.unique(having, return_inverse=True)
    tails = upper_tails(int(having.sum()) + log.lost, drawn, sizes)
    least = tails[np.arange(len(sizes)), np.minimum(sizes, drawn)]
    for place in np.flatnonzero(least[alike] <= tuning.SIGNIFICANCE):
        yield _Test(mode, origin, int(place), float(tails[alike[place], errors[place]]))


def _time_test(log: _Log, mode: int) -> Iterator[_Test]:
    """One test for the time from which on the errors come; none where no other row has a time."""
    known, mine = log.minutes >= 0, log.mine(mode)
    if (known & mine).sum() < FEWEST or not (known & ~mine).any():
        return
    since, p_value = scan(log.minutes[known & mine], log.minutes[known & ~mine], log.lost)
    yield _Test(mode, TIME, since, p_value)


def upper_tails(total: int, drawn: int, marked: Counts) -> NDArray[np.float64]:
    """P(X >= j) in row i and column j, for X marked of `drawn` from `total` of which `marked[i]` are marked.

    Column j of the mode's errors that have a value is the p-value of Fisher's exact test, one-sided.
    """
    hits = np.arange(drawn + 1)
    sizes = np.asarray(marked)[:, None]
    possible = (hits <= sizes) & (drawn - hits <= total - sizes)
    with np.errstate(invalid="ignore", divide="ignore"):
        chances = _log_ways(sizes, hits) + _log_ways(total - sizes, drawn - hits) - _log_ways(total, drawn)
    shares = np.exp(np.where(possible, chances, -np.inf))
    tails: NDArray[np.float64] = np.minimum(shares[:, ::-1].cumsum(axis=1)[:, ::-1], 1.0)
    return tails


def _log_ways(of: Counts | int, chosen: Counts | int) -> NDArray[np.float64]:
    ways: NDArray[np.float64] = gammaln(np.add(of, 1)) - gammaln(np.add(chosen, 1))
    return ways - gammaln(np.subtract(of, chosen) + 1)


def scan(mine: Counts, others: Counts, lost: int = 0) -> tuple[int, float]:
    """The minute from which on the mode's errors come, and the exact p-value of there being one.

    Fisher's exact test is made for every minute. The p-value is the chance that some minute does as well as
    the best, where the errors fall on the rows of the log at random: the rows are drawn from the last to the
    first, and what reaches such a table is counted and taken out. The minute told is the earliest with an
    error of the mode that has nearly all the evidence (-log p) of the best. `lost` errors of the mode came
    before all.
    """
    minutes, blocks = np.unique(np.concatenate([mine, others]), return_counts=True)
    minutes, after = minutes[::-1], blocks[::-1].cumsum()
    found = np.searchsorted(np.sort(-mine), -minutes, side="right")  # errors of the mode since each minute
    drawn, total = len(mine) + lost, len(mine) + len(others) + lost
    blocks_of = partial(_tails_in_blocks, total, drawn, after)
    seen = np.concatenate([tails[np.arange(len(tails)), found[rows]] for rows, tails in blocks_of()])
    with np.errstate(divide="ignore"):  # what no number is small enough for is 0
        evidence = -np.log(seen)
    nearly = (evidence >= tuning.NEARLY_ALL * evidence.max()) & np.isin(minutes, mine)
    least = seen.min() * (1 + 1e-7)
    reached = (row for _, tails in blocks_of() for row in tails <= least)
    return int(minutes[nearly].min()), _chance_of(reached, after, drawn, total)


def _tails_in_blocks(total: int, drawn: int, marked: Counts) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """The same as `upper_tails`, some rows at a time: of many minutes and errors all would take gigabytes."""
    most = max(1, TOGETHER // (drawn + 1))
    for first in range(0, len(marked), most):
        rows = slice(first, first + most)
        yield rows, upper_tails(total, drawn, marked[rows])


def _chance_of(reached: Iterable[NDArray[np.bool_]], after: Counts, drawn: int, total: int) -> float:
    """The chance that draws without replacement come, after[i] of them, to a count j where reached[i][j]."""
    chances, counted, hits = np.zeros(drawn + 1), 0.0, np.arange(drawn + 1)
    chances[0] = 1.0
    rows = 0
    for taken, out in zip(after.tolist(), reached, strict=True):
        for row in range(rows, taken):
            moves = chances * ((drawn - hits) / (total - row))
            chances = chances - moves
            chances[1:] += moves[:-1]
        counted += float(chances[out].sum())
        chances[out] = 0.0
        rows = taken
    return min(counted, 1.0)


# --- what is claimed ---


def _told(log: _Log, found: Sequence[_Test], mode: int) -> list[_Test]:
    """Of each column what is claimed, or else what came nearest; in the order of ORIGINS, then the time."""
    claims, nearest = list[_Test](), dict[str, _Test]()
    for test in (each for each in found if each.mode == mode):
        left = replace(test, p_value=_left(log, test, claims, found))
        if _beyond_chance(left):
            claims.append(left)
        else:
            nearest.setdefault(test.origin, left)
    claimed = {each.origin for each in claims}
    told = [*claims, *(each for each in nearest.values() if each.origin not in claimed)]
    return sorted(told, key=lambda test: (*ORIGINS, TIME).index(test.origin))


def _beyond_chance(test: _Test) -> bool:
    return test.p_value < tuning.SIGNIFICANCE


def _left(log: _Log, test: _Test, claims: Sequence[_Test], found: Sequence[_Test]) -> float:
    """The p-value of a test, or of what claims leave of it, corrected for the values of its column."""
    if not _beyond_chance(test):
        return test.p_value
    alike = sum(each.mode == test.mode and each.origin == test.origin for each in found)
    left = max(_left_by(log, test, claims), _left_by_modes(log, test, found))
    return max(test.p_value, min(left * alike, 1.0))


def _left_by(log: _Log, test: _Test, claims: Sequence[_Test]) -> float:
    """The p-value among the rows that have what is claimed of other columns: a weaker claim has to hold so.

    One that holds of as large a share of the errors cannot be told apart from the others, and needs nothing.
    """
    others = [claim for claim in claims if claim.origin != test.origin]
    if all(test.share(log) >= claim.share(log) for claim in others):
        return 0.0
    return _fisher(log, test, np.logical_and.reduce([claim.inside(log) for claim in others]))


def _left_by_modes(log: _Log, test: _Test, found: Sequence[_Test]) -> float:
    """The p-value without the failure modes that are no measure of what is usual in this column.

    Those are the modes of which a larger share than of this one shares another value.
    """
    affected = {
        each.mode
        for each in found
        if _beyond_chance(each)
        and (each.mode != test.mode and each.origin == test.origin and each.place != test.place)
        and each.share(log) > test.share(log)
    }
    return _fisher(log, test, ~np.isin(log.groups, sorted(affected))) if affected else 0.0


def _fisher(log: _Log, test: _Test, among: Mask) -> float:
    """The p-value of a test among some rows."""
    rows = among & test.known(log)
    inside, mine = test.inside(log), log.mine(test.mode)
    tails = upper_tails(int(rows.sum()), int((rows & mine).sum()), np.array([(rows & inside).sum()]))
    return float(tails[0, (rows & inside & mine).sum()])


def _affected(log: _Log, test: _Test) -> Affected:
    known, inside, mine = test.known(log), test.inside(log), log.mine(test.mode)
    counted = Affected(
        origin=test.origin,
        value="" if test.origin == TIME else log.values[test.origin][test.place],
        errors=int((mine & inside).sum()),
        of_mode=int((mine & known).sum()),
        others=int((~mine & inside).sum()),
        of_others=int((~mine & known).sum()),
        right_parts=int(known[log.errors :].sum()),
        p_value=test.p_value,
        claimed=_beyond_chance(test),
    )
    return _timed(log, test, counted) if test.origin == TIME else counted


def _timed(log: _Log, test: _Test, counted: Affected) -> Affected:
    first = log.rows[int(np.flatnonzero(log.minutes == test.place)[0])].captured_at
    offset = first.utcoffset() if first and _has_offset(first) else None
    return replace(
        counted,
        since=_moment(test.place),
        until=_moment(int(log.minutes.max())),
        utc_offset=None if offset is None else round(offset.total_seconds() / MINUTE),
    )


def _moment(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * MINUTE, UTC)
