"""The store on real DuckDB files, with real processes beside it."""

import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from inspection.errors import StoreError, UnknownIdError
from inspection.findings import (
    Cause,
    Decision,
    FilterName,
    Judgement,
    KnownMode,
    Night,
    NightState,
    Relabel,
    SetAside,
    Trend,
    Verdict,
)
from inspection.workspace import reader as reader_module
from inspection.workspace import store as store_module
from inspection.workspace.live_copy import LiveCopy
from inspection.workspace.reader import ModeOverview, NightOverview
from inspection.workspace.store import Store
from tests.inspection.workspace.processes import expect, python, tell
from tests.inspection.workspace.records import (
    CONTEXT,
    HOUR,
    STARTED,
    a_bare_mode,
    a_mode,
    a_model,
    a_night,
    a_rate,
    a_retraining,
    an_error,
    as_started,
)

# Verdicts.


def test_verdicts_are_only_added(store: Store) -> None:
    store.finish_night(a_night())
    confirm = Verdict("2026-03-01-1", Judgement.CONFIRM, "the lamp, yes", "Aoki", STARTED)
    reject = Verdict("2026-03-01-1", Judgement.OTHER_CAUSE, "", "Berg", STARTED + HOUR)
    same_moment = replace(confirm, given_at=STARTED + HOUR)
    for verdict in (confirm, reject, same_moment, replace(confirm, mode_id="2026-03-01-2")):
        store.add_verdict(verdict)

    assert store.verdicts("2026-03-01-1") == [same_moment, reject, confirm]
    assert isinstance(store.verdicts("2026-03-01-1")[0].judgement, Judgement)
    assert store.query("SELECT judgement FROM latest_verdicts ORDER BY mode_id")[1] == [
        ("confirm",),
        ("confirm",),
    ]


# How a night goes.


def test_a_night_is_running_until_it_is_finished(store: Store) -> None:
    running = as_started(a_night())

    store.start_night(running)

    assert store.night() == running


def test_a_second_attempt_replaces_what_the_first_left(store: Store) -> None:
    other = a_night("2026-02-28", STARTED - 24 * HOUR)
    store.finish_night(other)
    store.finish_night(replace(a_night(), state=NightState.FAILED))
    store.start_night(as_started(a_night()))
    assert store.night() == as_started(a_night())
    again = replace(a_night(), modes=a_night().modes[:1], set_aside=())

    store.finish_night(again)
    store.finish_night(again)

    assert store.night() == again
    assert store.night(other.night_id) == other
    assert len(store.nights()) == 2


def test_a_finished_night_is_not_started_again(store: Store) -> None:
    store.finish_night(a_night())

    with pytest.raises(StoreError, match="night '2026-03-01' is finished"):
        store.start_night(as_started(a_night()))

    assert store.night() == a_night()


def test_a_night_can_fail(store: Store) -> None:
    store.start_night(as_started(a_night()))

    store.fail_night("2026-03-01", "no image could be read")

    failed = store.night()
    assert failed.finished_at is not None
    assert timedelta(0) <= datetime.now(UTC) - failed.finished_at < timedelta(minutes=1)
    expected = replace(as_started(a_night()), state=NightState.FAILED, message="no image could be read")
    assert replace(failed, finished_at=None) == expected


# Lists.


def test_the_list_of_nights_says_what_a_page_needs(store: Store) -> None:
    mode_id = "2026-03-01-2"
    store.finish_night(a_night())
    store.start_night(as_started(a_night("2026-03-02", STARTED + 24 * HOUR)))
    store.add_verdict(Verdict(mode_id, Judgement.CONFIRM, "", "Aoki", STARTED))
    store.add_verdict(Verdict(mode_id, Judgement.OTHER_CAUSE, "", "Aoki", STARTED + HOUR))
    store.add_retraining(a_retraining("r1", mode_id), a_model())
    store.add_retraining(replace(a_retraining("r2", mode_id), decision=Decision.UNDECIDED), a_model())

    newest, night = store.nights()

    # By hand from _mode: errors 9, 3, 4, 5, of which 3 and 5 escaped; 2/3 is the better of 1/3 and 2/3.
    busy = ModeOverview(
        mode_id, "mode 2", 4, 2, 1, "lighting", 0.9, 0.85, 2 / 3, False, Judgement.OTHER_CAUSE, 2, 1,
        "first-2", Trend.GROWING, 2, Cause.LABELS,
    )  # fmt: skip
    quiet = replace(
        busy, mode_id="2026-03-01-1", title="mode 1", judgement=None, retrainings=0, accepted=0,
        lineage="first-1",
    )  # fmt: skip
    bare = ModeOverview(
        "2026-03-01-10", "too few", 1, 1, 0, None, -0.25, None, None, None, None, 0, 0,
        "", Trend.NEW, None, Cause.UNKNOWN,
    )  # fmt: skip
    assert night == NightOverview(
        night_id="2026-03-01", started_at=STARTED, finished_at=STARTED + HOUR, state=NightState.FINISHED,
        message="two rows set aside", log_path="/logs/夜.csv", model_hash="ab" * 32, rows_read=120,
        errors_read=9, set_aside=2, modes=(busy, quiet, bare), retrainings=2, accepted=1, of_line="front",
        parts=12_000,
    )  # fmt: skip
    assert (newest.night_id, newest.state, newest.modes) == ("2026-03-02", NightState.RUNNING, ())


@pytest.mark.parametrize(("gain_lower", "withheld"), [(-0.1, True), (0.0, True), (0.01, False)])
def test_the_list_withholds_what_the_record_withholds(
    store: Store, gain_lower: float, withheld: bool
) -> None:
    mode = replace(a_mode("2026-03-01", 1), flip_rates=(a_rate("layer2", 0.85, gain_lower),))
    store.finish_night(replace(a_night(), modes=(mode,)))

    (night,) = store.nights()

    assert mode.best is not None
    assert night.modes[0].withheld is withheld is mode.best.withheld
    assert night.modes[0].better_control == mode.best.better_control


def test_without_an_id_the_newest_night_is_meant(store: Store) -> None:
    for night_id, days in (("b", 2), ("c", 3), ("a", 1)):
        store.start_night(as_started(a_night(night_id, STARTED + days * 24 * HOUR)))

    assert store.night().night_id == "c"
    assert [night.night_id for night in store.nights()] == ["c", "b", "a"]


def test_a_list_of_nights_can_be_read_page_by_page(store: Store) -> None:
    for night_id, days in (("b", 2), ("c", 3), ("a", 1), ("d", 3)):
        store.start_night(as_started(a_night(night_id, STARTED + days * 24 * HOUR)))
    store.finish_night(a_night())

    def listed(most: int | None, before: str | None = None) -> list[str]:
        return [night.night_id for night in store.nights(most, before)]

    assert listed(2) == ["d", "c"]
    assert listed(2, "d") == ["c", "b"]  # of one moment the id decides
    assert listed(2, "b") == ["a", "2026-03-01"]
    assert listed(None, "c") == ["b", "a", "2026-03-01"]
    assert listed(2, "2026-03-01") == []
    assert [len(night.modes) for night in store.nights(1, "a")] == [3]
    with pytest.raises(UnknownIdError, match="no night 'x'; the store has: d, c, b, a, 2026-03-01"):
        store.nights(2, "x")


# What a page asks by an id.


def test_a_page_finds_by_id_what_belongs_to_it(store: Store) -> None:
    store.finish_night(a_night())
    store.finish_night(a_night("2026-03-02", STARTED + 24 * HOUR))
    for mode_id, judgement, hours in (
        ("2026-03-01-1", Judgement.CONFIRM, 1),
        ("2026-03-01-1", Judgement.OTHER_CAUSE, 2),
        ("2026-03-01-2", Judgement.CONFIRM, 1),
        ("2026-03-02-1", Judgement.CONFIRM, 1),
    ):
        store.add_verdict(Verdict(mode_id, judgement, "", "Aoki", STARTED + hours * HOUR))
    for retraining_id, mode_id in (("r1", "2026-03-01-1"), ("r2", "2026-03-02-1"), ("r3", "2026-03-01-1")):
        store.add_retraining(a_retraining(retraining_id, mode_id), a_model())

    assert store.judgements("2026-03-01") == {
        "2026-03-01-1": Judgement.OTHER_CAUSE,
        "2026-03-01-2": Judgement.CONFIRM,
    }
    assert store.judgements("x") == {}
    assert [each.retraining_id for each in store.retrainings("2026-03-01-1")] == ["r3", "r1"]
    assert [each.retraining_id for each in store.retrainings()] == ["r3", "r2", "r1"]
    (newest, *_) = store.retrainings()
    assert store.last_retraining_took() == (newest.finished_at - newest.started_at).total_seconds()
    assert store.overview("2026-03-02") in store.nights()
    assert store.overview("2026-03-02").started_at == STARTED + 24 * HOUR
    with pytest.raises(UnknownIdError, match="no night '2026-03'"):
        store.overview("2026-03")


# Failure modes from night to night.


def _found(night_id: str, days: int, *lineages: str, **more: Any) -> Night:
    """A finished night with a failure mode of each lineage, signed by the day."""
    modes = tuple(
        replace(
            a_bare_mode(night_id, number), lineage=lineage, signature=(float(days), 1 / 3),
            errors=tuple(an_error(row) for row in range(number)),
        )
        for number, lineage in enumerate(lineages, 1)
    )  # fmt: skip
    night = replace(a_night(night_id, STARTED + days * 24 * HOUR), of_line="", parts=None)
    return replace(night, modes=modes, unclustered=(), **more)


def test_a_known_mode_is_as_its_latest_night_saw_it(store: Store) -> None:
    store.finish_night(_found("a", 1, "lamp", "blur"))
    store.finish_night(_found("b", 2, "dust", "lamp", errors_read=7))
    store.finish_night(_found("c", 3))

    known = store.known_modes("ab" * 32, STARTED + 4 * 24 * HOUR)

    monday, tuesday = STARTED + 24 * HOUR, STARTED + 48 * HOUR
    assert known == [
        KnownMode("dust", (2.0, 1 / 3), 1, tuesday, 2),
        KnownMode("lamp", (2.0, 1 / 3), 2, tuesday, 2),
        KnownMode("blur", (1.0, 1 / 3), 2, monday, 3),
    ]
    assert store.known_modes("ab" * 32, tuesday)[0] == KnownMode("lamp", (1.0, 1 / 3), 1, monday, 1)
    assert store.known_modes("ab" * 32, monday) == []


def test_a_model_knows_the_modes_of_those_before_and_after_it(store: Store) -> None:
    """Promoted or rolled back, what returns is recognised."""
    for name, parent in (("aa", None), ("bb", "aa"), ("cc", "bb"), ("dd", "aa"), ("ee", None)):
        store.add_model(a_model(name * 32, parent_hash=parent and parent * 32), [])
        store.finish_night(_found(name, 1, f"of {name}", model_hash=name * 32))
    later = STARTED + 9 * 24 * HOUR
    for name in ("aa", "bb", "cc", "dd"):
        known = {each.lineage for each in store.known_modes(name * 32, later)}
        assert known == {"of aa", "of bb", "of cc", "of dd"}
    assert [each.lineage for each in store.known_modes("ee" * 32, later)] == ["of ee"]


def test_what_waits_is_the_newest_night_of_each_lineage(store: Store) -> None:
    store.finish_night(_found("a", 1, "lamp", "blur"))
    store.finish_night(_found("b", 2, "dust", "lamp"))
    store.finish_night(replace(_found("c", 3, "failed"), state=NightState.FAILED))
    store.add_verdict(Verdict("b-2", Judgement.CONFIRM, "", "Aoki", STARTED))

    waiting = store.newest_of_lineages()

    assert [(each.overview.mode_id, each.overview.lineage) for each in waiting] == [
        *(("b-2", "lamp"), ("a-2", "blur"), ("b-1", "dust"))
    ]
    assert [each.overview.judgement for each in waiting] == [Judgement.CONFIRM, None, None]
    lamp = waiting[0]
    assert lamp.diagnosis == store.mode("b-2").diagnosis
    assert lamp.confusion == (an_error(1).true_label, an_error(1).predicted_label)
    assert (lamp.started_at, lamp.model_hash) == (STARTED + 48 * HOUR, "ab" * 32)


def test_errors_of_a_lineage_night_by_night(store: Store) -> None:
    for night in (_found("a", 1, "lamp", "blur"), _found("b", 2, "dust"), _found("c", 3, "dust", "lamp")):
        store.finish_night(replace(night, errors_read=9))
    store.finish_night(_found("other", 4, "lamp", model_hash="cd" * 32))

    found = store.errors_of_nights("ab" * 32, "lamp")

    assert [(each.night_id, each.errors, each.errors_read, each.mode_id) for each in found] == [
        *(("c", 2, 9, "c-2"), ("b", 0, 9, None), ("a", 1, 9, "a-1"))
    ]
    assert [each.night_id for each in store.errors_of_nights("ab" * 32, "lamp", most=1)] == ["c"]


def test_other_models_unfinished_nights_and_modes_without_signature_are_not_known(store: Store) -> None:
    store.finish_night(_found("a", 1, "other model", model_hash="cd" * 32))
    store.finish_night(_found("b", 2, "failed", state=NightState.FAILED))
    unsigned = _found("c", 3, "unsigned")
    store.finish_night(replace(unsigned, modes=(replace(unsigned.modes[0], signature=()),)))

    assert store.known_modes("ab" * 32, STARTED + 9 * 24 * HOUR) == []


def test_a_mode_that_a_night_could_not_call_gone_is_missed_until_one_does(store: Store) -> None:
    lost = (SetAside(1, "missing_image", "..."), SetAside(2, "not_verified", "..."))
    store.finish_night(_found("a", 1, "lamp", "blur"))
    store.finish_night(_found("b", 2, set_aside=lost))
    store.finish_night(_found("c", 3, "dust", gone=("blur",), set_aside=()))

    assert [
        (each.lineage, each.nights_ago, each.lost, each.missed)
        for each in store.known_modes("ab" * 32, STARTED + 9 * 24 * HOUR)
    ] == [("dust", 1, 0, False), ("lamp", 3, 0, True), ("blur", 3, 0, False)]
    (known, _) = store.known_modes("ab" * 32, STARTED + 2 * 24 * HOUR)
    assert (known.lineage, known.nights_ago, known.missed) == ("lamp", 1, False)


def test_a_night_that_could_read_nothing_is_no_night_before(store: Store) -> None:
    store.finish_night(_found("a", 1, "lamp"))
    store.finish_night(_found("b", 2, state=NightState.UNREADABLE))

    (lamp,) = store.known_modes("ab" * 32, STARTED + 9 * 24 * HOUR)
    assert (lamp.lineage, lamp.nights_ago) == ("lamp", 1)
    assert [night.state for night in store.nights()] == [NightState.UNREADABLE, NightState.FINISHED]


def test_what_the_log_says_of_an_error_is_asked_for_in_sql(store: Store) -> None:
    store.finish_night(a_night())

    columns, rows = store.query(
        "SELECT DISTINCT line, lot, shift, captured_at, score, more->>'$.tool' AS tool FROM errors"
    )

    assert columns == ["line", "lot", "shift", "captured_at", "score", "tool"]
    assert rows == [("L3", "7", "night", STARTED - HOUR, 1 / 3, "t3")]


def test_thirty_nights_are_remembered(store: Store) -> None:
    for day in range(31):
        store.finish_night(_found(f"n{day:02}", day, *([f"m{day}"] if day < 2 else [])))

    assert [each.lineage for each in store.known_modes("ab" * 32, STARTED + 99 * 24 * HOUR)] == ["m1"]


# What a retraining must not break: the errors of other failure modes.


def _imaged(night: Night, *images: tuple[str, ...]) -> Night:
    """The same night with these images in its failure modes, one after the other."""
    modes = tuple(
        replace(mode, errors=tuple(replace(an_error(i), image_path=path) for i, path in enumerate(paths)))
        for mode, paths in zip(night.modes, images, strict=True)
    )
    return replace(night, modes=modes)


def test_other_errors_are_of_other_lineages_of_the_model_and_of_those_before_it(store: Store) -> None:
    for name, parent in (("aa" * 32, None), ("bb" * 32, "aa" * 32), ("cc" * 32, None)):
        store.add_model(replace(a_model(name), parent_hash=parent), [])
    before = _imaged(_found("before", 1, "blur", model_hash="aa" * 32), ("1.png", "2.png"))
    first = _imaged(_found("first", 2, "lamp", "dust", model_hash="bb" * 32), ("3.png",), ("2.png", "4.png"))
    again = _imaged(_found("again", 3, "lamp", model_hash="bb" * 32), ("1.png", "5.png"))
    stranger = _imaged(_found("stranger", 4, "dust", model_hash="cc" * 32), ("6.png",))
    failed = _imaged(_found("failed", 5, "dust", model_hash="bb" * 32, state=NightState.FAILED), ("7.png",))
    for night in (before, first, again, stranger, failed):
        store.finish_night(night)

    def others(mode_id: str) -> list[str]:
        return [error.image_path for error in store.other_errors(mode_id)]

    assert others("again-1") == ["2.png", "4.png"]  # 1.png is the lamp's own, too; 2.png counts once
    assert others("first-2") == ["1.png", "5.png", "3.png"]  # newest night first
    assert others("before-1") == []  # what came after it is not its concern
    assert store.other_errors("again-1")[0] == replace(an_error(0), image_path="2.png")
    with pytest.raises(StoreError, match="no failure mode 'nobody'"):
        store.other_errors("nobody")


def test_other_errors_have_the_labels_of_who_has_looked_at_them(store: Store) -> None:
    store.finish_night(_imaged(_found("first", 1, "lamp", "dust"), ("1.png",), ("2.png", "3.png", "4.png")))
    for row, label, hour in ((0, "pit", 1), (1, None, 1), (0, "good", 2)):
        store.add_relabels([Relabel("first-2", an_error(row).row, label, "Aoki", STARTED + hour * HOUR)])
    found = {error.image_path: error.true_label for error in store.other_errors("first-1")}
    assert found == {"2.png": "good", "4.png": an_error(2).true_label}


# What is said about ids that are not there.


def test_an_id_may_be_shortened_until_it_is_ambiguous(store: Store) -> None:
    for night_id in ("2026-03-01", "2026-03-01b", "2026-04-01"):
        store.start_night(as_started(a_night(night_id)))

    assert store.night("2026-04").night_id == "2026-04-01"
    assert store.night("2026-03-01").night_id == "2026-03-01"
    with pytest.raises(
        StoreError, match=r"night '2026-03' is ambiguous; so begin: 2026-03-01b, 2026-03-01\."
    ):
        store.night("2026-03")
    with pytest.raises(
        StoreError, match=r"no night '2025'; the store has: 2026-04-01, 2026-03-01b, 2026-03-01$"
    ):
        store.night("2025")
    with pytest.raises(StoreError, match="no night '2026-04'"):
        store.fail_night("2026-04", "not the whole id")


def test_an_unknown_model_names_those_that_exist(store: Store) -> None:
    store.add_retraining(a_retraining("r1", "n-1"), a_model("aa11"))
    store.add_retraining(a_retraining("r2", "n-1"), a_model("aa22", STARTED + HOUR))

    with pytest.raises(StoreError, match=r"no model 'cc'; the store has: aa22, aa11$"):
        store.model("cc")
    with pytest.raises(StoreError, match="model 'aa' is ambiguous; so begin: aa22, aa11"):
        store.model("aa")
    with pytest.raises(StoreError, match="no deployed model"):  # both are candidates
        store.model()


def test_the_newest_word_on_an_image_counts(store: Store) -> None:
    store.finish_night(a_night())
    first = Relabel("2026-03-01-1", 4, "scratch", "Aoki", STARTED)
    later = replace(first, label=None, reviewer="Berg", given_at=STARTED + HOUR)
    other = replace(first, mode_id="2026-03-01-2", row=4)
    for given in ([first, replace(first, row=5)], [later], [other]):
        store.add_relabels(given)
    assert store.relabels(["2026-03-01-1"]) == {
        ("2026-03-01-1", 4): later,
        ("2026-03-01-1", 5): replace(first, row=5),
    }
    assert store.query("SELECT count(*) FROM relabels")[1] == [(4,)]
    with pytest.raises(UnknownIdError, match="no failure mode 'nope'"):
        store.add_relabels([replace(first, mode_id="nope")])


def test_names_of_textures_go_with_the_filters_of_models_that_were_retrained_from_one_another(
    store: Store,
) -> None:
    for model_hash, parent in (("aa", None), ("bb", "aa"), ("cc", "bb"), ("dd", None)):
        store.add_model(a_model(model_hash, parent_hash=parent), [])
    first = FilterName("aa", "layer2", 17, "oil film", "Aoki", STARTED)
    later = replace(first, model_hash="bb", name="roller marks", author="Berg", given_at=STARTED + HOUR)
    other = replace(first, model_hash="dd", name="another model's")
    same_moment = replace(first, channel=3, name="")
    for given in (later, first, other, replace(same_moment, name="before"), same_moment):
        store.add_filter_name(given)
    known = {"layer2:17": (later, first), "layer2:3": (same_moment, replace(same_moment, name="before"))}
    for model_hash in ("aa", "bb", "cc"):
        assert store.filter_names(model_hash) == known
    assert store.filter_names("dd") == {"layer2:17": (other,)}
    assert LiveCopy(store).newest().filter_names("cc") == known
    with pytest.raises(UnknownIdError, match="no model 'nope'"):
        store.add_filter_name(replace(first, model_hash="nope"))


def test_a_search_finds_errors_by_what_is_logged_modes_by_their_cause_and_nights_by_their_day(
    store: Store,
) -> None:
    store.add_model(a_model("aa", parent_hash=None), [])
    store.add_model(a_model("bb", parent_hash="aa"), [])
    for day, model in ((1, "aa"), (2, "bb")):
        night = a_night(f"2026030{day}-0a1b2c3d", STARTED + 24 * day * HOUR)
        store.finish_night(replace(night, model_hash=model))
    store.finish_night(replace(a_night("20260309-ffffffff"), state=NightState.FAILED))
    newest, older = "20260302-0a1b2c3d", "20260301-0a1b2c3d"

    def errors(text: str) -> list[tuple[str, str]]:
        return [(each.night_id, each.error.inspection_id) for each in store.search(text, []).errors]

    assert errors("id 9") == [(newest, "id 9"), (newest, "id 9"), (older, "id 9"), (older, "id 9")]
    assert len(errors("p-9")) == 22  # the part number, of every error of both nights
    assert len(errors("表")) == 22  # the camera: two characters and less have to be all of it
    assert errors("d 9") == errors("id 9")
    assert errors("9") == errors("%") == errors("p_9") == errors("scratch") == []
    found = store.search("id 8", [])
    assert {(each.mode, each.night_id) for each in found.errors} == {(None, newest), (None, older)}
    assert (found.all_errors, found.all_modes) == (2, 0)

    few = store.search("p-9", [], most=3)
    assert (len(few.errors), few.all_errors) == (3, 22)

    def modes(text: str, *causes: str) -> list[str]:
        return [each.overview.mode_id for each in store.search(text, causes).modes]

    both = [f"{night}-{number}" for night in (newest, older) for number in (2, 1)]
    assert modes("nothing", "lighting") == both
    assert modes("nothing", "unknown") == [f"{newest}-10", f"{older}-10"]  # where no cause is claimed
    assert modes("first-2") == [f"{newest}-2", f"{older}-2"]  # the lineage
    store.add_verdict(Verdict(f"{older}-10", Judgement.OTHER_CAUSE, "", "Sato", STARTED, "dust"))
    assert modes("nothing", "dust") == [f"{older}-10"]
    assert set(store.causes()) >= {"lighting", "dim", "fixed pattern", "暗い", "dust"}
    store.add_filter_name(FilterName("aa", "layer2", 17, "Roller marks", "Sato", STARTED))
    assert modes("roller") == both  # of the model and of the one that was retrained from it
    store.add_filter_name(FilterName("bb", "layer2", 17, "oil film", "Sato", STARTED + HOUR))
    assert (modes("roller"), modes("oil film")) == ([], both)

    def nights(text: str) -> list[str]:
        return [each.night_id for each in store.search(text, []).nights]

    assert nights("2026-03-02") == nights("20260302") == [newest]
    assert nights("夜.csv") == [newest, older, "20260309-ffffffff"]
    assert nights("-") == nights("2026030")


def test_a_search_of_many_errors_takes_no_time(store: Store) -> None:
    night = a_night()
    errors = tuple(
        replace(an_error(row), inspection_id=f"L3-{row:06d}", context=replace(CONTEXT, more={}))
        for row in range(20_000)
    )
    store.finish_night(replace(night, modes=(), unclustered=errors))
    copy = LiveCopy(store).newest()
    started = time.perf_counter()
    (found,) = copy.search("l3-012345", []).errors
    assert found.error.row == 12345
    assert time.perf_counter() - started < 2  # seconds; five times as many took 0.6 on a busy machine


def test_a_verdict_needs_its_failure_mode(store: Store) -> None:
    store.finish_night(a_night())
    stray = Verdict("2026-03-01-9", Judgement.CONFIRM, "", "Aoki", STARTED)

    with pytest.raises(StoreError, match=r"no failure mode '2026-03-01-9'; the store has: 2026-03-01-2, "):
        store.add_verdict(stray)
    with pytest.raises(StoreError, match=r"no failure mode '2026-03-01'"):
        store.mode("2026-03-01")

    assert store.verdicts("2026-03-01-9") == []


def test_an_empty_store_says_so(store: Store) -> None:
    assert store.nights() == []
    assert store.models() == []
    assert store.retrainings() == []
    with pytest.raises(StoreError, match="no night in the store"):
        store.night()
    with pytest.raises(StoreError, match="no model 'aa'; the store has: none yet"):
        store.model("aa")


def test_a_long_list_of_ids_is_cut(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "MOST_LISTED", 2)
    for number in range(5):
        store.add_model(a_model(f"m{number}", STARTED + number * HOUR), [])

    with pytest.raises(StoreError, match=r"the store has: m4, m3 and 3 more$"):
        store.model("x")


# The file.


def test_create_keeps_what_is_there(store: Store) -> None:
    store.finish_night(a_night())

    store.create()

    assert store.night() == a_night()


def test_create_says_that_the_folder_is_read_only() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        with _unprivileged(), pytest.raises(StoreError, match=f"folder {folder} is read-only"):
            Store(Path(folder) / "fmi.duckdb").create()
        assert list(Path(folder).iterdir()) == []


def test_create_says_that_the_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no folder .*nowhere"):
        Store(tmp_path / "nowhere" / "fmi.duckdb").create()


def test_a_missing_store_is_not_made_by_accident(tmp_path: Path) -> None:
    missing = Store(tmp_path / "fmi.duckdb")

    with pytest.raises(StoreError, match=r"no store .*fmi\.duckdb\. Make one with `fmi init`"):
        missing.nights()
    with pytest.raises(StoreError, match="no store"):
        missing.finish_night(a_night())

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" * 5000])
def test_a_file_that_is_no_duckdb_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fmi.duckdb"
    path.write_bytes(content)

    with pytest.raises(StoreError, match=r"fmi\.duckdb cannot be opened: .*not a valid DuckDB database"):
        Store(path).nights()

    assert path.read_bytes() == content


def test_a_database_without_findings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    duckdb.connect(path).close()

    with pytest.raises(StoreError, match="has schema 0"):
        Store(path).nights()


def test_a_newer_store_is_refused_for_reading_and_writing(store: Store) -> None:
    with duckdb.connect(store.path) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99, 'from the future', now())")

    for using in (store.nights, store.create, lambda: store.finish_night(a_night())):
        with pytest.raises(StoreError, match="made by a newer fmi"):
            using()


# SQL for a person.


def test_a_query_returns_names_and_rows(store: Store) -> None:
    store.finish_night(a_night())

    names, rows = store.query(
        "SELECT kind, count(*) AS n, max(margin) AS most FROM errors WHERE mode_id = '2026-03-01-1' "
        "GROUP BY kind ORDER BY kind"
    )

    assert names == ["kind", "n", "most"]
    assert rows == [("confusion", 1, 0.1 + 4 / 3), ("escape", 2, 0.1 + 5 / 3), ("overkill", 1, 0.1 + 9 / 3)]
    night = store.query("SELECT settings->>'$.blame.filters', started_at, started_at::VARCHAR FROM nights")[1]
    assert night == [("20", STARTED, "2026-03-01 22:00:00.123456+00")]


@pytest.mark.parametrize(
    ("sql", "said"),
    [("SELEC 1", "syntax error"), ("FROM nowhere", "nowhere"), ("DELETE FROM nights", "read-only mode")],
)
def test_a_query_that_duckdb_refuses_is_explained(store: Store, sql: str, said: str) -> None:
    store.finish_night(a_night())

    with pytest.raises(StoreError, match=f"(?s)refused: .*{said}"):
        store.query(sql)

    assert store.night() == a_night()


OUTSIDE = (
    "FROM read_text('{file}')",
    "FROM read_blob('{file}')",
    "FROM read_csv('{file}')",
    "FROM read_json('{file}')",
    "FROM '{file}'",
    "FROM sniff_csv('{file}')",
    "FROM glob('{folder}/*')",
    "WITH t AS (FROM read_text('{file}')) SELECT count(*) FROM t",
    "SELECT 1; FROM read_text('{file}')",
    "EXPLAIN ANALYZE COPY nights TO '{folder}/new.csv'",
    "COPY nights TO '{folder}/new.csv'",
    "COPY (SELECT 1) TO '{folder}/new.parquet'",
    "COPY verdicts FROM '{file}'",
    "EXPORT DATABASE '{folder}/new'",
    "IMPORT DATABASE '{folder}'",
    "ATTACH '{folder}/new.duckdb' AS other",
    "ATTACH '{folder}/other.duckdb' AS other (READ_ONLY)",
    "ATTACH ':memory:' AS other",
    "CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "INSTALL httpfs",
    "FORCE INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{file}'",
    "CALL start_ui()",
    "FROM 'https://example.com/t.csv'",
    "SET enable_external_access = true",
    "RESET enable_external_access",
    "SET lock_configuration = false",
    "SET temp_directory = '{folder}'",
    "SET python_enable_replacements = true",
    "PRAGMA profiling_output = '{folder}/new.json'",
    "PRAGMA enable_profiling = 'json'",
    "CALL enable_logging(storage = 'file', storage_path = '{folder}')",
    "SELECT getenv('HOME')",
    "FROM sql",
    "CREATE TABLE own (n INTEGER)",
    "UPDATE errors SET margin = 0",
)


@pytest.mark.parametrize("sql", OUTSIDE)
def test_sql_reaches_nothing_but_the_store(store: Store, tmp_path: Path, sql: str) -> None:
    file, folder = tmp_path / "given.csv", tmp_path
    file.write_text("n\n1\n")
    duckdb.connect(tmp_path / "other.duckdb").close()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(StoreError):
        store.query(sql.format(file=file, folder=folder))

    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "sql", ["FROM read_text('/etc/passwd')", "COPY nights TO 'x.csv'", "SET threads = 1"]
)
def test_sql_that_wants_more_than_the_store_is_told_the_way(store: Store, sql: str) -> None:
    with pytest.raises(StoreError, match=r"(?s)wants more than the store: .*nothing else.*give --files\.$"):
        store.query(sql)


def test_sql_with_files_reads_and_writes_them_and_leaves_the_store(store: Store, tmp_path: Path) -> None:
    store.finish_night(a_night())
    target = tmp_path / "new.csv"

    store.query(f"COPY (SELECT night_id FROM nights) TO '{target}'", files=True)

    assert target.read_text() == "night_id\n2026-03-01\n"
    assert store.query(f"FROM '{target}'", files=True)[1] == [(date(2026, 3, 1),)]
    with pytest.raises(StoreError, match="read-only mode"):
        store.query("DELETE FROM nights", files=True)


@pytest.mark.parametrize("files", [False, True])
def test_no_answer_is_lost_to_a_later_one(store: Store, files: bool) -> None:
    with pytest.raises(StoreError, match="2 statements, and only the last would be answered, not 'SELECT 1"):
        store.query("SELECT 1; SELECT 2", files=files)
    assert store.query("SET VARIABLE n = 1; SELECT getvariable('n')")[1] == [(1,)]
    assert store.query("SELECT 1;")[1] == [(1,)]


@pytest.mark.parametrize("sql", ["CALL enable_logging()", "CALL truncate_duckdb_logs()"])
def test_a_call_is_refused(store: Store, sql: str) -> None:
    with pytest.raises(StoreError, match="wants more than the store: CALL changes"):
        store.query(sql)
    store.query("CALL pragma_version()", files=True)


def test_of_rows_without_end_some_are_fetched(store: Store) -> None:
    columns, rows = store.query("SELECT range AS n, 0 AS m FROM range(1_000_000_000_000)", most=10_000)
    assert columns == ["n", "m"]
    assert [row[0] for row in rows] == list(range(len(rows)))
    assert 5_000 < len(rows) < 10_000


@pytest.mark.parametrize("sql", ["", ";", "SET VARIABLE n = 1"])
def test_sql_that_answers_nothing_has_no_columns(store: Store, sql: str) -> None:
    assert store.query(sql)[1] == []


def test_what_a_killed_writer_committed_is_read(store: Store) -> None:
    store.finish_night(a_night())
    code = "c = duckdb.connect(sys.argv[1]); c.execute('DELETE FROM nights'); say('ok'); hear()"
    with python(code, store.path) as writer:
        expect(writer, "ok")
        writer.kill()
        writer.wait()

    assert store.query("SELECT count(*) FROM nights")[1] == [(0,)]


def test_a_snapshot_holds_everything_and_can_be_renewed_while_it_is_read(
    store: Store, tmp_path: Path
) -> None:
    target = tmp_path / "it's a snapshot.duckdb"
    store.finish_night(a_night())
    store.snapshot(target)
    with python("c = duckdb.connect(sys.argv[1], read_only=True); say('open'); hear()", target) as reader:
        expect(reader, "open")
        store.add_verdict(Verdict("2026-03-01-1", Judgement.CONFIRM, "", "Aoki", STARTED))

        store.snapshot(target)

        copy = Store(target)
        assert copy.night() == a_night()
        assert len(copy.verdicts("2026-03-01-1")) == 1
        assert copy.nights() == store.nights()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fmi.duckdb", "it's a snapshot.duckdb"]


def test_a_snapshot_that_cannot_be_written_leaves_nothing(store: Store, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(StoreError, match="folder cannot be written"):
        store.snapshot(tmp_path / "folder")
    with pytest.raises(StoreError, match="No such file"):
        store.snapshot(tmp_path / "nowhere" / "snapshot.duckdb")
    with pytest.raises(StoreError, match="is the store itself"):
        store.snapshot(tmp_path / "folder" / ".." / "fmi.duckdb")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["fmi.duckdb", "folder"]


# Other processes and threads.


def _fail_after(_: object) -> None:
    raise ZeroDivisionError


def test_after_an_exception_the_file_is_free_and_unchanged(store: Store) -> None:
    store.finish_night(a_night())
    with pytest.raises(ZeroDivisionError), store._transaction() as connection:
        _fail_after(connection.execute("DELETE FROM errors"))

    with python(
        "c = duckdb.connect(sys.argv[1]); say(c.execute('SELECT count(*) FROM errors').fetchall()[0][0])",
        store.path,
    ) as other:
        expect(other, "11")

    assert store.night() == a_night()


def test_after_a_refused_statement_the_file_is_free(store: Store) -> None:
    with pytest.raises(StoreError):
        store.query("FROM nowhere")

    with python("c = duckdb.connect(sys.argv[1]); say('mine')", store.path) as other:
        expect(other, "mine")


def test_a_killed_writer_leaves_the_earlier_state(store: Store) -> None:
    store.finish_night(a_night())
    writing = """
        with Store(Path(sys.argv[1]))._transaction() as connection:
            connection.execute("DELETE FROM nights")
            connection.execute("UPDATE errors SET margin = 0")
            connection.execute("INSERT INTO verdicts VALUES ('2026-03-01-1', 'confirm', '', '', 'x', now())")
            say('written')
            hear()
    """
    with python(writing, store.path) as writer:
        expect(writer, "written")
        writer.kill()
        assert writer.wait() == -9

    assert store.night() == a_night()
    assert store.verdicts("2026-03-01-1") == []
    store.start_night(as_started(a_night("later")))  # and it can be written again


def test_two_processes_write_at_the_same_time(store: Store) -> None:
    store.finish_night(a_night())
    writing = """
        store = Store(Path(sys.argv[1]))
        say('ready')
        hear()
        for number in range(10):
            now = datetime.now(UTC)
            store.add_verdict(Verdict('2026-03-01-1', Judgement.CONFIRM, str(number), sys.argv[2], now))
        say('done')
    """
    with python(writing, store.path, "Aoki") as one, python(writing, store.path, "Berg") as other:
        for process in (one, other):
            expect(process, "ready")
        for process in (one, other):
            tell(process)
        for process in (one, other):
            expect(process, "done")

    given = {(verdict.reviewer, int(verdict.comment)) for verdict in store.verdicts("2026-03-01-1")}
    assert given == {(reviewer, number) for reviewer in ("Aoki", "Berg") for number in range(10)}
    assert len(store.verdicts("2026-03-01-1")) == 20


def test_threads_of_one_process_take_turns(store: Store) -> None:
    store.finish_night(a_night())

    def write_and_read(number: int) -> int:
        store.add_verdict(Verdict("2026-03-01-1", Judgement.CONFIRM, "", str(number), STARTED))
        return len(store.verdicts("2026-03-01-1"))

    with ThreadPoolExecutor(4) as threads:
        seen = list(threads.map(write_and_read, range(8)))

    assert max(seen) == 8
    assert len({verdict.reviewer for verdict in store.verdicts("2026-03-01-1")}) == 8


def test_readers_of_one_process_read_together_and_keep_the_file(store: Store) -> None:
    store.finish_night(a_night())
    with store._transaction(read_only=True), ThreadPoolExecutor(8) as threads:
        nights = list(threads.map(lambda _: store.night(), range(40)))

        assert nights == [a_night()] * 40
        try_writing = """
            try: duckdb.connect(sys.argv[1]); say('mine')
            except duckdb.IOException: say('held')
        """
        with python(try_writing, store.path) as other:  # what the others closed has not let go of it
            expect(other, "held")


def test_a_held_file_is_waited_for(store: Store) -> None:
    with python(
        "c = duckdb.connect(sys.argv[1]); say('held'); time.sleep(0.5); c.close(); hear()", store.path
    ) as holder:
        expect(holder, "held")

        assert store.nights() == []


def test_a_file_held_too_long_names_its_holder(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "WAIT_SECONDS", 0.2)
    with python("c = duckdb.connect(sys.argv[1], read_only=True); say('held'); hear()", store.path) as holder:
        expect(holder, "held")

        assert store.nights() == []  # readers do not shut out readers
        with pytest.raises(StoreError, match=rf"held by .*\(PID {holder.pid}\) and did not .* 0\.2 s"):
            store.finish_night(a_night())


def test_a_thread_that_waits_too_long_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "WAIT_SECONDS", 0.2)
    inside, finish = threading.Event(), threading.Event()

    def hold() -> None:
        with store._transaction():
            inside.set()
            finish.wait(10)

    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(hold)
        assert inside.wait(10)
        with pytest.raises(StoreError, match="held by another thread"):
            store.nights()
        finish.set()
        holding.result()

    assert store.nights() == []


def test_waiting_draws_nothing_from_the_global_generator(store: Store) -> None:
    random.seed(5)
    expected = random.random()
    random.seed(5)
    with python(
        "c = duckdb.connect(sys.argv[1]); say('held'); time.sleep(0.2); c.close(); hear()", store.path
    ) as holder:
        expect(holder, "held")
        store.nights()

    assert random.random() == expected


@contextmanager
def _unprivileged() -> Iterator[None]:
    """Be a user whom the permissions of files bind, also where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
