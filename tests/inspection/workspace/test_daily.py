"""What the store answers day by day, its copies before a migration, and what it gives other programs."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyarrow import parquet

from inspection.errors import StoreError
from inspection.findings import (
    Diagnosis,
    FailureMode,
    FilterName,
    LogContext,
    Night,
    NightState,
    Promotion,
    PromotionKind,
)
from inspection.workspace.folder import Workspace
from inspection.workspace.schema import LATEST, MIGRATIONS, applied, migrate, schema_table
from inspection.workspace.store import Store
from tests.inspection.workspace.records import (
    STARTED,
    a_bare_mode,
    a_mode,
    a_model,
    a_night,
    a_retraining,
    an_error,
)

DAY = timedelta(days=1)


def a_mode_of(night_id: str, lineage: str, errors: int, **said: Any) -> FailureMode:
    context = LogContext(**said)
    logged = tuple(replace(an_error(row), context=context) for row in range(errors))
    return replace(a_bare_mode(night_id, len(lineage)), lineage=lineage, errors=logged)


def found(store: Store, night_id: str, started_at: datetime, *modes: FailureMode, **more: Any) -> Night:
    night = replace(
        a_night(night_id, started_at), modes=modes, unclustered=(), log_sha256=night_id, of_line=""
    )
    store.finish_night(replace(night, **more))
    return night


def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    return store.query(sql)[1]


def test_failure_modes_by_week_count_a_log_that_was_run_again_once(store: Store) -> None:
    """March 1, 2026 is a Sunday: the day after is of the next week."""
    sunday = datetime(2026, 3, 1, 22, tzinfo=UTC)
    found(store, "old", sunday, a_mode_of("old", "lamp", 9), log_sha256="same")
    found(store, "a", sunday + timedelta(hours=1), a_mode_of("a", "lamp", 3), log_sha256="same")
    found(store, "b", sunday + DAY, a_mode_of("b", "lamp", 6), a_mode_of("b", "dirt!", 2))
    found(store, "failed", sunday + DAY, a_mode_of("failed", "lamp", 50), state=NightState.FAILED)
    assert rows(store, "SELECT week, lineage, errors, share, nights FROM modes_by_week") == [
        (date(2026, 2, 23), "lamp", 3, 1.0, 1),
        (date(2026, 3, 2), "lamp", 6, 0.75, 1),
        (date(2026, 3, 2), "dirt!", 2, 0.25, 1),
    ]


def test_the_week_is_that_in_which_the_image_was_taken(store: Store) -> None:
    taken = datetime(2026, 2, 20, 3, tzinfo=UTC)
    found(store, "a", STARTED, a_mode_of("a", "lamp", 1, captured_at=taken))
    assert rows(store, "SELECT week FROM modes_by_week") == [(date(2026, 2, 16),)]


def test_failure_modes_by_line_camera_and_lot(store: Store) -> None:
    logged = a_mode_of("a", "lamp", 4, line="L1", camera="c2", lot="x7")
    found(store, "a", STARTED, logged, a_mode_of("a", "dirt!", 1), of_line="front")
    found(store, "b", STARTED + DAY, a_mode_of("b", "lamp", 3, line="L1", camera="c1"))
    assert rows(store, "SELECT line, lineage, errors FROM modes_by_line") == [
        ("L1", "lamp", 7),
        ("front", "dirt!", 1),
    ]
    assert rows(store, "SELECT camera, lineage, errors, nights FROM modes_by_camera") == [
        ("c1", "lamp", 3, 1),
        ("c2", "lamp", 4, 1),
    ]
    assert rows(store, "SELECT lot, errors, escapes, overkills FROM modes_by_lot") == [("x7", 4, 4, 0)]


def test_the_cause_is_the_newest_nights(store: Store) -> None:
    claimed = Diagnosis(True, "darker", "dimmer lamp", 1.0, "stops", 0.9, sentence="It is darker")
    found(store, "a", STARTED, a_mode_of("a", "lamp", 2))
    found(store, "b", STARTED + DAY, replace(a_mode_of("b", "lamp", 2), diagnosis=claimed))
    assert rows(store, "SELECT cause FROM modes_by_week WHERE week = '2026-03-02'") == [("dimmer lamp",)]


def test_filters_recur_in_a_model_and_in_those_retrained_from_it(store: Store) -> None:
    store.add_model(a_model(parent_hash=None), [])
    store.add_retraining(a_retraining("r", "a-1"), a_model("cc" * 32, parent_hash="ab" * 32))
    found(store, "a", STARTED, a_mode("a", 1))
    assert rows(store, "FROM recurring_filters") == []
    found(store, "b", STARTED + DAY, a_mode("b", 1), model_hash="cc" * 32)
    store.add_filter_name(FilterName("ab" * 32, "layer2", 17, "roller marks", "Ada", STARTED))
    asked = "SELECT family, layer, channel, name, nights FROM recurring_filters ORDER BY ALL"
    assert rows(store, asked) == [
        ("ab" * 32, "layer1", 17, None, 2),
        ("ab" * 32, "layer2", 3, None, 2),
        ("ab" * 32, "layer2", 17, "roller marks", 2),
    ]


def test_a_recipe_says_what_became_of_it(store: Store) -> None:
    store.add_model(a_model(parent_hash=None), [])
    found(store, "a", STARTED, replace(a_mode("a", 1), lineage="lamp"))
    outcome = "SELECT mode_id, retraining_id, candidate_is, nights_with_it_since FROM recipe_outcomes"
    assert rows(store, outcome) == [("a-1", None, None, None)]
    candidate = a_model("12" * 32, parent_hash="ab" * 32)
    store.add_retraining(a_retraining("r", "a-1", STARTED + DAY), candidate)
    assert rows(store, outcome) == [("a-1", "r", "candidate", None)]
    kind, at = PromotionKind.PROMOTED, STARTED + 2 * DAY
    store.promote(Promotion("12" * 32, "ab" * 32, kind, "Ada", "it mends", at))
    assert rows(store, outcome) == [("a-1", "r", "deployed", 0)]
    found(store, "b", STARTED + 3 * DAY, replace(a_bare_mode("b", 1), lineage="lamp"))
    assert rows(store, outcome) == [("a-1", "r", "deployed", 1)]


def test_a_name_without_a_version_is_the_newest_deployed_of_that_name(store: Store) -> None:
    for number, (model_hash, name) in enumerate([("a1", "front"), ("b1", "rear"), ("a2", "front")]):
        at = STARTED + number * DAY
        store.add_model(a_model(model_hash * 32, at, name=name, parent_hash=None), [])
    store.add_retraining(a_retraining("r", "x-1"), a_model("a3" * 32, name="front"))
    assert store.model().model_hash == "a2" * 32
    assert store.model("rear").model_hash == "b1" * 32
    assert store.model("Front").model_hash == "a2" * 32  # its v3 is a candidate
    assert store.model("front v1").model_hash == "a1" * 32


# --- its copies, and what others get ---


def test_before_a_migration_the_store_is_copied_as_it_was(workspace: Workspace) -> None:
    path = workspace.store_path
    with duckdb.connect(path) as connection:
        migrate(connection, MIGRATIONS[:-1])
        connection.execute("INSERT INTO relabels VALUES ('n-1', 1, 'good', 'Ada', now())")
        comments = connection.execute("SELECT comment FROM duckdb_columns() ORDER BY ALL").fetchall()
    backup = Store(path).create()
    assert backup is not None
    assert backup.parent == workspace.root / "backups"
    assert backup.name.startswith(f"fmi-schema-{LATEST - 1}-")
    with duckdb.connect(backup, read_only=True) as connection:
        assert applied(connection) == LATEST - 1
        assert connection.execute("SELECT reviewer FROM relabels").fetchall() == [("Ada",)]
        assert connection.execute("SELECT comment FROM duckdb_columns() ORDER BY ALL").fetchall() == comments
    assert rows(Store(path), "SELECT reviewer FROM relabels") == [("Ada",)]
    assert Store(path).create() is None
    assert len([*backup.parent.iterdir()]) == 1


def test_a_new_store_has_no_copy(workspace: Workspace) -> None:
    assert Store(workspace.store_path).create() is None
    assert not (workspace.root / "backups").exists()


def test_an_answer_goes_to_parquet(store: Store, tmp_path: Path) -> None:
    found(store, "a", STARTED, a_mode_of("a", "lamp", 3, camera="c1"))
    target = tmp_path / "errors.parquet"
    assert store.write_parquet("SELECT row, camera FROM errors ORDER BY row", target) == 3
    assert parquet.read_table(target).to_pylist() == [{"row": row, "camera": "c1"} for row in range(3)]
    for name in store.names():
        store.write_parquet(f"FROM {name}", tmp_path / f"{name}.parquet")
    assert {"errors", "modes_by_week", "night_overview"} <= {path.stem for path in tmp_path.glob("*.parquet")}


@pytest.mark.parametrize(
    "sql", ["COPY errors TO '{}'", "FROM read_csv('{}')", "SELECT 1; SELECT 2", "SET threads=1"]
)
def test_parquet_is_written_of_the_store_alone(store: Store, tmp_path: Path, sql: str) -> None:
    with pytest.raises(StoreError):
        store.write_parquet(sql.format(tmp_path / "other.csv"), tmp_path / "answer.parquet")
    assert {path.name for path in tmp_path.iterdir()} == {"fmi.duckdb"}


def test_the_schema_page_holds_every_table_and_column_with_its_meaning(store: Store) -> None:
    page = schema_table()
    columns = "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal"
    for table, column in rows(store, columns):
        assert f"| `{table}.{column}` |" in page
    assert "| `errors.margin` | DOUBLE | logits: predicted minus true, above 0 |" in page
    assert "| `modes_by_camera` | view | the same by camera, as logged |" in page
