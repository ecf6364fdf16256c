"""Whom a failure mode affects: tables whose answer is known, nights where nothing is, and the words."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pytest
from scipy.stats import fisher_exact

from inspection.findings import (
    NO_OFFSET,
    Affected,
    Diagnosis,
    ErrorKind,
    FailureMode,
    LogContext,
    LoggedError,
)
from inspection.nights.affected import (
    NOWHERE,
    Origins,
    scan,
    shared_origins,
    tell_affected,
    upper_tails,
)
from inspection.nights.phrases import affected_in_words, origins_in_words

TOKYO = timezone(timedelta(hours=9))
NOTHING = Diagnosis(False, None, None, None, None, 0.0)
Rows = Sequence[LogContext]


def at(minute: float, zone: tzinfo = TOKYO) -> datetime:
    """A time of the night by the plant's clock, in minutes from ten in the evening."""
    return datetime(2026, 7, 1, 22, tzinfo=zone) + timedelta(minutes=minute)


def a_mode(rows: Rows, number: int = 1) -> FailureMode:
    return FailureMode(f"n-{number}", "", errors(rows), (), (), NOTHING, None)


def errors(rows: Rows) -> tuple[LoggedError, ...]:
    return tuple(
        LoggedError(row, f"i{row}", "/x.png", "pit", "good", ErrorKind.ESCAPE, 1.0, "x.png", context)
        for row, context in enumerate(rows, 1)
    )


def told(mine: Rows, others: Rows = (), right: Rows = (), lost: int = 0) -> tuple[Affected, ...]:
    return tell_affected([a_mode(mine)], errors(others), right, lost)[0].affected


def in_words(mine: Rows, others: Rows = (), right: Rows = (), lost: int = 0) -> str:
    return affected_in_words(told(mine, others, right, lost)).replace("\u00a0", " ")


def cameras(**counts: int) -> list[LogContext]:
    return [LogContext(camera=name.lstrip("c")) for name, count in counts.items() for _ in range(count)]


# --- the tests, by hand and against others ---


@pytest.mark.parametrize(
    ("mine", "of_mine", "others", "of_others"), [(9, 12, 3, 40), (5, 5, 1, 9), (0, 3, 4, 9)]
)
def test_a_tail_is_fisher_s_exact_test(mine: int, of_mine: int, others: int, of_others: int) -> None:
    table = np.array([[mine, of_mine - mine], [others, of_others - others]])
    tails = upper_tails(of_mine + of_others, of_mine, np.array([0, mine + others]))
    assert tails[1, mine] == pytest.approx(fisher_exact(table, alternative="greater").pvalue)
    assert tails[0].tolist() == [1.0] + [0.0] * of_mine


@pytest.mark.parametrize(
    ("mine", "others"),
    [
        pytest.param([5, 6, 9], [1, 2, 3, 4, 7, 8], id="apart"),
        pytest.param([5, 5, 6], [1, 5, 2, 6, 6, 3], id="ties"),
        pytest.param([1, 2], [3, 4, 5], id="first"),
        pytest.param([3, 3], [3, 3, 3], id="one minute"),
    ],
)
def test_the_scan_is_exact(mine: list[int], others: list[int]) -> None:
    """Every way in which the errors may fall on the rows, tried one by one."""
    rows = np.array(mine + others)

    def least(chosen: Sequence[int]) -> float:
        taken = rows[list(chosen)]
        tables = [
            (int((taken >= minute).sum()), int((rows >= minute).sum())) for minute in set(rows.tolist())
        ]
        return min(
            sum(comb(after, k) * comb(len(rows) - after, len(mine) - k) for k in range(hits, len(mine) + 1))
            / comb(len(rows), len(mine))
            for hits, after in tables
        )

    ways = [least(chosen) for chosen in combinations(range(len(rows)), len(mine))]
    observed = least(range(len(mine)))
    _, p_value = scan(np.array(mine), np.array(others))
    assert p_value == pytest.approx(np.mean([way <= observed * (1 + 1e-9) for way in ways]))


@pytest.mark.filterwarnings("error")
def test_the_scan_of_many_errors_says_nothing_on_the_terminal() -> None:
    """Chances of less than any number above 0."""
    since, p_value = scan(np.arange(3000) % 700 + 700, np.arange(3000) % 700)
    assert since == 700
    assert p_value < 1e-300


def test_the_scan_comes_to_the_same_some_minutes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of all minutes and errors at once would take gigabytes on a large night."""
    mine, others = np.array([20, *range(310, 340, 3)]), np.arange(0, 480, 8)
    at_once = scan(mine, others, 2)
    monkeypatch.setattr("inspection.nights.affected.TOGETHER", 50)
    assert scan(mine, others, 2) == at_once


def test_the_scan_finds_the_minute_and_may_meet_strays() -> None:
    others = np.arange(0, 480, 8)
    assert scan(np.arange(310, 340, 3), others)[0] == 310
    since, p_value = scan(np.array([20, *range(310, 340, 3)]), others)
    assert (since, p_value < 0.01) == (310, True)


# --- what is claimed ---


def test_all_from_one_camera_and_since_one_minute() -> None:
    mine = [LogContext(camera="2", line="L1", captured_at=at(310 + 9.5 * i)) for i in range(12)]
    others = [LogContext(camera=f"{i % 4}", line="L1", captured_at=at(8 * i)) for i in range(40)]
    camera, time = told(mine, others)
    assert (camera.origin, camera.value, camera.errors, camera.of_mode) == ("camera", "2", 12, 12)
    assert (camera.others, camera.of_others, camera.right_parts, camera.claimed) == (10, 40, 0, True)
    assert camera.p_value < 0.001
    assert (time.origin, time.value, time.errors, time.of_mode, time.others) == ("captured_at", "", 12, 12, 1)
    assert (time.since, time.until) == (at(310), at(414))
    assert time.utc_offset == 540
    assert in_words(mine, others) == "all from camera 2, since 03:10 +09:00"


def test_a_share_is_told_with_what_it_is_compared_with() -> None:
    lots = [LogContext(lot="B7")] * 9 + [LogContext(lot="B1")] * 3
    others = [LogContext(lot="B7")] * 3 + [LogContext(lot=f"B{i % 5}") for i in range(37)]
    assert in_words(lots, others) == "9 of 12 from lot B7 (other errors: 3 of 40)"
    (row,) = told(lots, others)
    # Each of the six lots has rows enough to be beyond chance, were they all of this mode.
    single = fisher_exact(np.array([[9, 3], [3, 37]]), alternative="greater").pvalue
    assert row.p_value == pytest.approx(6 * single)


def test_the_errors_that_share_an_origin_are_told_by_position() -> None:
    """A camera that stands at one station is one claim with it; a group alone shares nothing."""
    ours, theirs = LogContext(station="B", camera="2"), LogContext(station="A", camera="1")
    rows = (theirs, *[ours] * 11, *[theirs, ours] * 2, *[theirs] * 9)
    groups = np.array([0] * 12 + [1] * 4 + [NOWHERE] * 9)
    first, second = shared_origins(Origins(rows), groups, 2)
    assert [mask.tolist() for mask in first] == [[row == ours for row in rows]]
    assert second == []
    assert shared_origins(Origins(rows[:12]), groups[:12], 1) == [[]]


def test_parts_that_were_right_are_compared_with_too() -> None:
    mine, right = cameras(c2=8), cameras(c1=100, c2=50, c3=100)
    (row,) = told(mine, (), right)
    assert (row.others, row.of_others, row.right_parts, row.claimed) == (50, 250, 250, True)
    partly = cameras(c1=4, c2=16)
    assert in_words(partly, cameras(c1=2), right) == (
        "16 of 20 from camera 2 (other parts inspected: 50 of 252)"
    )
    # The other errors all come from camera 1, and yet this mode comes from wherever parts do.
    assert in_words(cameras(c1=8, c2=4, c3=8), cameras(c1=4), right) == "nothing stands out (camera)"


@pytest.mark.parametrize(
    ("mine", "others"),
    [
        pytest.param([LogContext()] * 9, [LogContext()] * 9, id="an empty log"),
        pytest.param(cameras(c2=9), cameras(c2=30), id="one camera"),
        pytest.param(cameras(c2=9), [], id="no other error"),
        pytest.param([LogContext(captured_at=at(i)) for i in range(9)], [], id="no other time"),
        pytest.param(cameras(c2=1), cameras(c1=99), id="one error"),
        pytest.param([], cameras(c1=9, c2=9), id="none"),
        pytest.param([LogContext(serial=f"{i}") for i in range(9)], cameras(c1=9), id="nothing in common"),
    ],
)
def test_what_the_log_cannot_tell_is_not_told(mine: Rows, others: Rows) -> None:
    assert told(mine, others) == ()
    assert in_words(mine, others) == ""


def test_what_the_log_says_of_some_is_compared_among_those() -> None:
    mine = [*cameras(c2=8), *[LogContext()] * 4]
    (row,) = told(mine, [*cameras(c1=20, c2=4), LogContext()])
    assert (row.errors, row.of_mode, row.others, row.of_others) == (8, 8, 4, 24)


def test_lost_errors_count_against_a_claim_as_long_as_parts_that_were_right_take_part() -> None:
    mine, right = cameras(c2=8), cameras(c1=100, c2=100)
    told_of = [told(mine, cameras(c1=4), right, lost) for lost in (0, 1, 11, 12)]
    assert [(row.claimed, row.right_parts) for (row,) in told_of] == [
        (True, 200),
        (True, 200),
        (False, 200),  # eight of nineteen from camera 2, were all the lost of this mode and from elsewhere
        (True, 0),  # as many lost as read: compared with errors alone
    ]


# --- one claim and what comes with it ---


def test_what_another_column_explains_is_not_told() -> None:
    """Camera 2 sees mostly part P9, so that its errors do, too."""
    mine = [LogContext(camera="2", part_number="P9" if i % 4 else "P1") for i in range(24)]
    others = [
        *(LogContext(camera="2", part_number="P9" if i % 4 else "P1") for i in range(8)),
        *(LogContext(camera="1", part_number="P1" if i % 4 else "P9") for i in range(40)),
    ]
    assert in_words(mine, others) == "all from camera 2"
    _, part = told(mine, others)
    assert (part.value, part.errors, part.claimed) == ("P9", 18, False)
    assert part.p_value > 0.5


def test_what_cannot_be_told_apart_is_told_together() -> None:
    mine = [LogContext(camera="2", lot="B7", lighting="ring")] * 9
    others = [LogContext(camera="1", lot="B6", lighting="bar")] * 9
    assert in_words(mine, others) == "all from camera 2, lot B7, with lighting ring"


def test_several_values_of_one_column_are_told() -> None:
    mine = [LogContext(lot=f"B{i % 2}") for i in range(20)]
    others = [LogContext(lot=f"B{i % 20}") for i in range(80)]
    assert in_words(mine, others) == (
        "10 of 20 from lot B0 (other errors: 4 of 80); 10 of 20 from lot B1 (other errors: 4 of 80)"
    )


def test_a_mode_of_one_camera_is_no_measure_for_another_mode() -> None:
    lamp, plain = a_mode(cameras(c1=60), 1), a_mode(cameras(c1=6, c2=8, c3=6), 2)
    affected = tell_affected([lamp, plain], errors(cameras(c1=3, c2=3, c3=2)))
    assert affected_in_words(affected[0].affected) == "all from camera 1"
    assert affected_in_words(affected[1].affected) == "nothing stands out (camera)"


def test_two_modes_of_a_camera_each() -> None:
    found = tell_affected([a_mode(cameras(c1=12), 1), a_mode(cameras(c2=12), 2)], ())
    assert [affected_in_words(mode.affected) for mode in found] == ["all from camera 1", "all from camera 2"]


# --- times ---


def since(mine: Sequence[datetime | None], others: Sequence[datetime | None]) -> str:
    late, always = ([LogContext(captured_at=time) for time in times] for times in (mine, others))
    return in_words(late, always)


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        (TOKYO, "all since 03:10 +09:00"),
        (timezone(-timedelta(hours=3, minutes=30)), "all since 03:10 \N{MINUS SIGN}03:30"),
        (UTC, "all since 03:10 UTC"),
        (NO_OFFSET, "all since 03:10"),
    ],
)
def test_times_are_those_of_the_log_s_clock(zone: tzinfo, words: str) -> None:
    late, always = [at(310 + i, zone) for i in range(9)], [at(12 * i, zone) for i in range(30)]
    assert since(late, always) == words


def test_times_with_and_without_offset_cannot_be_compared() -> None:
    assert since([at(310 + i) for i in range(9)], [at(12 * i, NO_OFFSET) for i in range(30)]) == ""


def test_an_hour_that_comes_twice_is_told_apart_by_its_offset() -> None:
    """The clocks go back at three: 02:30 at +02:00 is an hour before 02:30 at +01:00."""
    summer, winter = timezone(timedelta(hours=2)), timezone(timedelta(hours=1))
    before = [datetime(2026, 10, 25, 2, i, tzinfo=summer) for i in range(0, 60, 4)]
    after = [datetime(2026, 10, 25, 2, i, tzinfo=winter) for i in range(0, 60, 4)]
    assert since(after, before) == "all since 02:00 +01:00"


def test_a_log_of_days_tells_the_day() -> None:
    late, always = [at(1800 + 60 * i) for i in range(30)], [at(60 * i) for i in range(60)]
    assert since(late, always) == "all since 2026-07-03 04:00 +09:00"


def test_errors_of_one_minute_and_rows_without_a_time() -> None:
    assert since([at(310)] * 9, [*(at(12 * i) for i in range(25)), *[None] * 9]) == "all since 03:10 +09:00"
    assert since([at(310)] * 9, [at(310)] * 9) == "nothing stands out (time)"


# --- how often nothing is told of nothing ---


def a_row(rng: np.random.Generator, **known: Any) -> LogContext:
    row = LogContext(
        captured_at=at(float(rng.uniform(0, 480))),
        line=f"L{rng.integers(3)}",
        station=f"S{rng.integers(2)}",
        camera=f"{rng.integers(4)}",
        part_number=f"P{rng.choice(5, p=[0.5, 0.2, 0.1, 0.1, 0.1])}",
        lot=f"B{rng.integers(20)}",
        shift=f"{rng.integers(2)}",
    )
    return replace(row, **known)


@pytest.mark.parametrize("right", [0, 200])
def test_of_nights_where_nothing_is_affected_at_most_5_percent_claim_something(right: int) -> None:
    rng, nights, false = np.random.default_rng(right), 120, 0
    for _ in range(nights):
        sizes = rng.integers(2, 40, rng.integers(1, 4))
        modes = [a_mode([a_row(rng) for _ in range(size)]) for size in sizes]
        lone = errors([a_row(rng) for _ in range(rng.integers(0, 60))])
        found = tell_affected(modes, lone, [a_row(rng) for _ in range(right)])
        false += any(each.claimed for mode in found for each in mode.affected)
    assert false / nights <= 0.05


def test_a_camera_and_a_minute_are_found_in_most_nights() -> None:
    rng, nights, hits = np.random.default_rng(0), 40, 0
    for _ in range(nights):
        mine = [a_row(rng, camera="2", captured_at=at(float(rng.uniform(310, 480)))) for _ in range(12)]
        found = told(mine, [a_row(rng) for _ in range(40)])
        hits += {each.origin for each in found if each.claimed} == {"camera", "captured_at"}
    assert hits / nights >= 0.9


# --- words ---


def test_what_is_claimed_is_not_listed_again() -> None:
    mine = errors([LogContext(camera="2", lot="B7")] * 9)
    affected = told([each.context for each in mine], [LogContext(camera="1", lot="B7")] * 9)
    assert origins_in_words(mine) == "camera 2 (9); lot B7 (9)"
    assert origins_in_words(mine, affected) == "lot B7 (9)"


def test_of_many_values_the_first_are_told() -> None:
    row = Affected("lot", "B1", 9, 40, 1, 90, 0, 0.001, True)
    words = affected_in_words([replace(row, value=f"B{i}") for i in range(5)])
    assert (words.count("from lot"), words.endswith("; ...")) == (3, True)
