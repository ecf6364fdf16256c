"""Records that come back from the store equal to what was put in."""

import dataclasses
import os
import time
from dataclasses import replace
from datetime import UTC, timezone
from typing import Any

import pytest

from inspection.errors import StoreError
from inspection.findings import (
    Cause,
    Decision,
    ErrorKind,
    NightState,
    Promotion,
    PromotionKind,
    ReferenceImage,
    Trend,
)
from inspection.workspace.store import Store
from tests.inspection.workspace.records import (
    HOUR,
    STARTED,
    a_bare_mode,
    a_mode,
    a_model,
    a_night,
    a_retraining,
    as_started,
)


def _defaults(record: Any) -> list[str]:
    """Names of the fields, at any depth, that hold nothing but their default."""
    names = []
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if value in (None, "", (), {}) or value == field.default:
            names.append(field.name)
        nested = value if isinstance(value, tuple) else (value,)
        names += [name for item in nested if dataclasses.is_dataclass(item) for name in _defaults(item)]
    return names


def test_a_night_with_everything_comes_back_equal(store: Store) -> None:
    full = replace(a_night(), modes=(a_mode("2026-03-01", 1), a_mode("2026-03-01", 2)))
    assert _defaults(full) == []  # else a field that the store forgets would go unnoticed

    store.start_night(as_started(full))
    store.finish_night(full)

    assert store.night("2026-03-01") == full
    assert store.mode("2026-03-01-2") == full.modes[1]


def test_a_night_that_found_little_comes_back_equal(store: Store) -> None:
    mixed, empty = (
        a_night(),
        replace(a_night("2026-03-02"), modes=(), unclustered=(), set_aside=(), seconds={}),
    )
    store.finish_night(mixed)
    store.finish_night(empty)

    assert store.night(mixed.night_id) == mixed
    assert store.night(empty.night_id) == empty
    assert store.mode("2026-03-01-10") == a_bare_mode("2026-03-01", 10)


def test_types_are_restored(store: Store) -> None:
    store.finish_night(a_night(started_at=STARTED.astimezone(timezone(9 * HOUR))))

    night = store.night()

    assert night.started_at == STARTED
    assert night.started_at.tzinfo is UTC
    assert isinstance(night.state, NightState)
    assert isinstance(night.modes[0].errors[0].kind, ErrorKind)
    assert isinstance(night.modes[0].filters[0].primitives[0].trusted, bool)
    assert isinstance(night.modes[0].trend, Trend)
    assert isinstance(night.modes[0].diagnosis.cause, Cause)


def test_models_come_back_equal_newest_first(store: Store) -> None:
    first = a_model("aa11", version=1)
    second = a_model("aa22", STARTED + HOUR, parent_hash=None, version=2)
    candidate = a_model("bb33", STARTED + 2 * HOUR, version=3)
    assert store.add_model(replace(first, version=0), []) == first
    assert store.add_model(replace(second, version=0), []) == second
    store.add_retraining(a_retraining("r1", "n-1"), replace(candidate, version=0))

    assert store.models() == [candidate, second, first]
    assert store.model() == second
    assert store.model("bb") == store.model("line v3") == store.model("V3") == candidate
    assert store.model("aa11") == store.model("v1") == first
    assert store.model_states() == {"aa11": "retired", "aa22": "deployed", "bb33": "candidate"}


def test_versions_count_by_name_and_a_model_keeps_its_own(store: Store) -> None:
    store.add_model(a_model("aa"), [])
    store.add_model(a_model("bb", name=""), [])
    store.add_model(a_model("cc"), [])
    store.add_model(a_model("aa", note="again"), [])
    called = {model.model_hash: model.called for model in store.models()}
    assert called == {"aa": "line v1", "bb": "model v1", "cc": "line v2"}
    with pytest.raises(StoreError, match="no model 'v1'"):  # there are two
        store.model("v1")


def test_the_trail_says_who_deployed_what(store: Store) -> None:
    store.add_model(a_model("aa"), [], author="Aoki")
    store.add_model(a_model("aa", note="the same again"), [], author="Sato")  # it is deployed already
    store.add_retraining(a_retraining("r1", "n-1"), a_model("bb"))
    entry = Promotion("bb", "aa", PromotionKind.PROMOTED, "佐藤", "it's better", STARTED, Decision.ACCEPTED)
    references = [ReferenceImage("/b.png", "good", "val")]
    store.promote(entry, references)
    first, second = store.promotions()
    assert (first.model_hash, first.previous_hash, first.kind) == ("aa", None, PromotionKind.REGISTERED)
    assert (first.author, first.reason) == ("Aoki", "first")
    assert second == entry
    assert store.model().model_hash == "bb"
    assert store.references("bb") == references
    with pytest.raises(StoreError, match="meanwhile model bb was deployed"):
        store.promote(entry)
    assert store.promotions() == [first, second]


def test_registering_again_replaces_the_record_and_the_references(store: Store) -> None:
    other = [ReferenceImage("/z.png", "good", "val")]
    store.add_model(a_model("bb"), other)
    store.add_model(a_model("aa", note="old"), [ReferenceImage("/a.png", "good", "train")] * 2)
    images = [ReferenceImage("/b.png", "scratch", "val"), ReferenceImage("/a.png", "good", "train")]

    store.add_model(a_model("aa", note="new"), images)

    assert [model.note for model in store.models() if model.model_hash == "aa"] == ["new"]
    assert store.references("aa") == images
    assert store.references("bb") == other


def test_a_hundred_thousand_references_take_seconds(store: Store) -> None:
    images = [ReferenceImage(f"/line/{n}.png", f"class {n % 7}", "train") for n in range(100_000)]
    started = time.perf_counter()

    store.add_model(a_model(), images)

    assert time.perf_counter() - started < 5  # one row at a time takes minutes
    assert store.references("ab" * 32) == images


def test_retrainings_come_back_equal_newest_first(store: Store) -> None:
    store.finish_night(a_night())
    old = a_retraining("r1", "2026-03-01-1")
    new = replace(
        a_retraining("r2", "2026-03-01-2", STARTED + HOUR),
        decision=Decision.REJECTED, accuracies=(), candidate_hash=None, arm=None, arms=(), calibration=None,
    )  # fmt: skip
    store.add_retraining(new, None)
    store.add_retraining(old, a_model("12" * 32))

    assert store.retrainings() == [new, old]
    assert store.retrainings("2026-03-01-1") == [old]
    assert [list(accuracy.per_class) for accuracy in store.retrainings()[1].accuracies] == [
        ["scratch", "good"],
        ["good"],
    ]
    assert store.models() == [a_model("12" * 32)]


def test_adding_a_retraining_again_replaces_it(store: Store) -> None:
    again = replace(a_retraining("r1", "2026-03-01-1"), decision=Decision.REJECTED)
    store.add_retraining(a_retraining("r1", "2026-03-01-1"), a_model("12"))

    store.add_retraining(again, a_model("12", note="again"))

    assert store.retrainings() == [again]
    assert store.query("SELECT count(*) FROM class_accuracies WHERE arm = ''")[1] == [(3,)]
    assert [model.note for model in store.models()] == ["again"]


def test_text_that_is_no_unicode_is_refused_by_name(store: Store) -> None:
    name = os.fsdecode("傷.png".encode("cp932"))

    with pytest.raises(StoreError, match=r"\.png' cannot be stored"):
        store.add_model(a_model(), [ReferenceImage(name, "good", "train")])

    assert store.models() == []
