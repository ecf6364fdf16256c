"""Migrations on real DuckDB files."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from inspection.errors import StoreError
from inspection.findings import Decision, Diagnosis, LogContext
from inspection.workspace.rows import fetch, read_modes, read_night, read_retraining
from inspection.workspace.schema import MIGRATIONS, applied, check_schema, migrate

LAST = MIGRATIONS[-1][0]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(tmp_path / "fmi.duckdb") as connection:
        yield connection


def _tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    return {row[0] for row in connection.execute("SHOW TABLES").fetchall()}


def test_numbers_count_up_from_one() -> None:
    assert [number for number, _, _ in MIGRATIONS] == list(range(1, LAST + 1))


def test_a_fresh_database_gets_everything(connection: duckdb.DuckDBPyConnection) -> None:
    assert applied(connection) == 0

    assert migrate(connection) == LAST

    assert _tables(connection) == {
        *("models", "reference_images", "nights", "set_aside", "failure_modes", "errors", "flip_rates"),
        *("blamed_filters", "primitives", "patches", "matches", "recipes", "verdicts", "retrainings"),
        *("accuracies", "class_accuracies", "pairs", "suspect_labels", "comparisons", "affected"),
        *("promotions", "retrained_modes", "arms", "gate_checks", "judged_images", "filters_after"),
        *(
            "right_parts",
            "relabels",
            "filter_names",
            "schema_version",
            "latest_verdicts",
            "mode_overview",
            "night_overview",
            "model_overview",
        ),
        *(
            "logs_set_aside",
            "pruned_nights",
            "counted_errors",
            "recurring_filters",
            "recipe_outcomes",
            "deployed_models",
        ),
        *("modes_by_week", "modes_by_line", "modes_by_camera", "modes_by_lot"),
    }
    rows = connection.execute("SELECT number, name FROM schema_version ORDER BY number").fetchall()
    assert rows == [
        (1, "findings"),
        (2, "overviews and comments"),
        (3, "layout control of primitives"),
        (4, "failure modes from night to night"),
        (5, "errors of any day"),
        (6, "reference images most like the errors"),
        (7, "errors beside reference images under the cause"),
        (8, "doubts in numbers"),
        (9, "bit depth of a model's images"),
        (10, "what a log says of an error, and nights that could read none"),
        (11, "who is affected"),
        (12, "where errors differ"),
        (13, "primitives that a person can read"),
        (14, "arms that compete, and models that are promoted"),
        (15, "parts of a log that went right"),
        (16, "verdicts in the field's words, and images that a reviewer relabels"),
        (17, "names of textures, recipes in parts, heat maps of errors"),
        (18, "models that decide and prepare images as the plant does"),
        (19, "lines, logs set aside, nights removed"),
        (20, "daily questions"),
        (21, "a deployed model of each name"),
        (22, "overkills in the gate"),
    ]


def test_units_can_be_read_in_sql(connection: duckdb.DuckDBPyConnection) -> None:
    migrate(connection)

    unit = connection.execute(
        "SELECT comment FROM duckdb_columns() WHERE table_name = 'errors' AND column_name = 'margin'"
    ).fetchone()

    assert unit == ("logits: predicted minus true, above 0",)


def test_an_older_store_is_migrated_once_and_keeps_its_rows(connection: duckdb.DuckDBPyConnection) -> None:
    assert migrate(connection, MIGRATIONS[:1]) == 1
    connection.execute("INSERT INTO verdicts VALUES ('n-1', 'confirm', 'yes', 'Aoki', now())")
    connection.execute("INSERT INTO verdicts VALUES ('n-2', 'reject', 'no', 'Berg', now())")
    assert "latest_verdicts" not in _tables(connection)
    with pytest.raises(StoreError, match=f"has schema 1, and .* works with {LAST}.*`fmi init`"):
        check_schema(connection)

    assert migrate(connection) == LAST
    once = connection.execute("FROM schema_version").fetchall()
    assert migrate(connection) == LAST

    assert connection.execute("FROM schema_version").fetchall() == once
    assert connection.execute(
        "SELECT mode_id, judgement, comment FROM latest_verdicts ORDER BY ALL"
    ).fetchall() == [
        ("n-1", "confirm", "yes"),
        ("n-2", "other cause", "no"),
    ]
    check_schema(connection)


def test_models_and_retrainings_of_before_get_versions_a_trail_and_decisions(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    migrate(connection, MIGRATIONS[:13])
    connection.execute(
        """
        INSERT INTO models VALUES
            ('aa', 'a', ['x'], [], 3, 1, 1, [], [], 'w', '2026-01-01', 'deployed', NULL, 'ours', NULL),
            ('bb', 'a', ['x'], [], 3, 1, 1, [], [], 'w', '2026-01-02', 'candidate', 'aa', 'n-1', NULL),
            ('cc', 'a', ['x'], [], 3, 1, 1, [], [], 'w', '2026-01-03', 'deployed', NULL, 'new', 12);
        INSERT INTO retrainings BY NAME SELECT
            'r' AS retraining_id, 'n-1' AS mode_id, 'aa' AS model_hash, 'bb' AS candidate_hash,
            now() AS started_at, now() AS finished_at, true AS accepted, ['fell'] AS reasons,
            '{}' AS settings, 3 AS logged_images;
        INSERT INTO accuracies VALUES ('r', 1, 'clean', 9, 8, 8, 0, 0, 1, 0, 0);
        """
    )

    migrate(connection)

    asked = "SELECT called, state, decision FROM model_overview ORDER BY called"
    assert connection.execute(asked).fetchall() == [
        ("model v1", "retired", None),
        ("model v2", "candidate", "accepted"),
        ("model v3", "deployed", None),
    ]
    asked = "SELECT model_hash, previous_hash, kind, author, reason FROM promotions ORDER BY rowid"
    assert connection.execute(asked).fetchall() == [
        ("aa", None, "registered", "unknown", "ours"),
        ("cc", "aa", "registered", "unknown", "new"),
    ]
    row = fetch(connection, "FROM retrainings")[0]
    found = read_retraining(connection, row)
    assert (found.mode_ids, found.decision, found.arm, found.arms) == (("n-1",), Decision.ACCEPTED, None, ())
    assert (found.accuracies[0].images, found.accuracies[0].escapes) == (9, None)


def test_failure_modes_of_before_keep_their_values_and_get_sensible_ones(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    migrate(connection, MIGRATIONS[:3])
    connection.execute(
        """
        INSERT INTO nights VALUES ('n', 'm', 'l', 'h', now(), NULL, 'finished', '', 9, 9, '{}', '{}', NULL);
        INSERT INTO failure_modes VALUES
            ('n', 'n-1', 1, 'dark', true, 'the lamp', 'darker', 'dim', 0.4, 'x', 0.9, 0.1, []),
            ('n', 'n-2', 2, 'odd', false, 'nothing', NULL, NULL, NULL, NULL, -0.2, NULL, ['few', 'weak']);
        """
    )

    migrate(connection)

    assert connection.execute(
        "SELECT mode_id, cause, lineage, trend, previous_errors, signature FROM failure_modes "
        "ORDER BY position"
    ).fetchall() == [
        ("n-1", "appearance", "n-1", "new", None, []),
        ("n-2", "unknown", "n-2", "new", None, []),
    ]
    assert connection.execute(
        "SELECT title, family, strength, share, control_share, reasons FROM failure_modes ORDER BY position"
    ).fetchall() == [("dark", "darker", 0.4, 0.9, 0.1, []), ("odd", None, None, -0.2, None, ["few", "weak"])]
    assert connection.execute("SELECT gone FROM nights").fetchall() == [([],)]
    assert connection.execute("SELECT modes FROM night_overview").fetchall() == [(2,)]
    assert connection.execute("SELECT lineage, trend, cause, errors FROM mode_overview").fetchall() == [
        ("n-1", "new", "appearance", 0),
        ("n-2", "new", "unknown", 0),
    ]


def test_diagnoses_of_before_keep_their_shares_and_have_no_doubts_in_numbers(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """What spoke against a claim was kept in words alone; the words stay."""
    migrate(connection, MIGRATIONS[:7])
    connection.execute(
        """
        INSERT INTO nights VALUES
            ('n', 'm', 'l', 'h', now(), NULL, 'finished', '', 9, 9, '{}', '{}', NULL, []);
        INSERT INTO failure_modes BY NAME SELECT
            'n' AS night_id, 'n-1' AS mode_id, 1 AS position, 'odd' AS title, 'n-1' AS lineage,
            'new' AS trend, [] AS signature, 'unknown' AS cause, false AS claimed,
            'nothing' AS sentence, 0.4 AS share,
            ['few', 'weak'] AS reasons, 0.3 AS alike_share, 0.8 AS nearer_share;
        """
    )

    migrate(connection)

    assert connection.execute(
        "SELECT sentence, share, reasons, unchanged_share, nearer_share, nearest_operation_share, meaning, "
        "doubts FROM failure_modes"
    ).fetchall() == [("nothing", 0.4, ["few", "weak"], 0.3, 0.8, None, "", "[]")]
    (mode,) = read_modes(connection, "night_id", "n")
    assert mode.diagnosis == Diagnosis(
        False, None, None, None, None, 0.4, unchanged_share=0.3, nearer_share=0.8,
        sentence="nothing", reasons=("few", "weak"),
    )  # fmt: skip


def test_errors_of_before_have_no_context_and_nights_of_before_keep_all(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    migrate(connection, MIGRATIONS[:8])
    connection.execute(
        """
        INSERT INTO nights VALUES
            ('n', 'm', 'l', 'h', '2026-07-01 22:00+00', NULL, 'failed', '', 9, 8, '{}', '{}', 'r', ['x']),
            ('o', 'm', 'l', 'h', '2026-07-02 22:00+00', NULL, 'running', '', 0, 0, '{}', '{}', NULL, []);
        INSERT INTO errors VALUES ('n', NULL, 1, 1, 'i', 'p', 'a', 'b', 'escape', 1, 't');
        """
    )
    before = connection.execute("FROM nights").fetchall()
    comments = "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'nights'"
    said = dict(connection.execute(comments).fetchall())

    migrate(connection)

    assert (
        connection.execute("SELECT * EXCLUDE (right_read, of_line, parts) FROM nights").fetchall() == before
    )
    assert connection.execute("SELECT right_read FROM nights").fetchall() == [(0,), (0,)]
    assert dict(connection.execute(comments).fetchall()) == said | {
        "state": "unreadable: the log may name errors, and none of them could be read",
        "right_read": "parts of the log whose verdict was right, each image once",
        "of_line": "the line of fmi.toml whose settings it has; empty: none in particular",
        "parts": "inspected for its log, as the log or the line's setting says; NULL: not known",
    }
    (error,) = read_night(connection, "n").unclustered
    assert (error.inspection_id, error.context) == ("i", LogContext())
    connection.execute("UPDATE nights SET state = 'unreadable'")
    assert connection.execute("SELECT count(*) FROM night_overview").fetchall() == [(2,)]


def test_the_shift_of_errors_of_before_is_found_beside_the_lot(connection: duckdb.DuckDBPyConnection) -> None:
    migrate(connection, MIGRATIONS[:10])
    connection.execute(
        """
        INSERT INTO errors BY NAME
        SELECT 'n' AS night_id, 'n-1' AS mode_id, unnest([1, 2, 3]) AS position, 1 AS row,
            'i' AS inspection_id, 'p' AS image_path, 'a' AS true_label, 'b' AS predicted_label,
            'escape' AS kind, 1 AS margin, 't' AS picture,
            unnest(['{"shift": "late", "tool": "t3"}', '{}', NULL]) AS more;
        """
    )

    assert migrate(connection) == LAST

    assert connection.execute("SELECT shift FROM errors ORDER BY position").fetchall() == [
        *(("late",), (None,), (None,))
    ]
    assert connection.execute("FROM affected").fetchall() == []


def test_causes_of_before_stay_and_what_columns_mean_is_still_told(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    migrate(connection, MIGRATIONS[:11])
    connection.execute(
        """
        INSERT INTO failure_modes VALUES ('n', 'n-1', 1, 't', 'n-1', 'new', NULL, [1], 'labels', false, 's',
            NULL, NULL, NULL, NULL, 0.5, NULL, ['few'], NULL, NULL, NULL, NULL, '', '[]');
        INSERT INTO comparisons VALUES ('n', 'n-1', 1, 'e.png', 'r.png', 'c.png', 0.5);
        """
    )
    told = "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'failure_modes' ORDER BY ALL"
    before, said = connection.execute("FROM failure_modes").fetchall(), connection.execute(told).fetchall()

    assert migrate(connection) == LAST

    assert connection.execute("FROM failure_modes").fetchall() == before
    assert connection.execute("SELECT cause FROM mode_overview").fetchall() == [("labels",)]
    assert connection.execute("SELECT before, after FROM comparisons").fetchall() == [("", "")]
    changed = {name for name, comment in set(connection.execute(told).fetchall()) - set(said)}
    assert changed == {"cause"}


def test_every_table_and_view_says_what_it_is(connection: duckdb.DuckDBPyConnection) -> None:
    migrate(connection)

    silent = connection.execute(
        """
        SELECT table_name FROM duckdb_tables() WHERE comment IS NULL
        UNION SELECT view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL
        """
    ).fetchall()

    assert silent == [("schema_version",)]


def test_a_newer_store_is_refused(connection: duckdb.DuckDBPyConnection) -> None:
    migrate(connection)
    connection.execute("INSERT INTO schema_version VALUES (99, 'from the future', now())")

    for refusing in (migrate, check_schema):
        with pytest.raises(StoreError, match=f"schema 99, made by a newer fmi; .* up to {LAST}"):
            refusing(connection)


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    broken = (1, "broken", ("CREATE TABLE half (a INTEGER)", "INSERT INTO half VALUES ('no number')"))
    with (
        duckdb.connect(tmp_path / "fmi.duckdb") as connection,
        pytest.raises(duckdb.ConversionException),
    ):
        migrate(connection, [broken])

    with duckdb.connect(tmp_path / "fmi.duckdb") as connection:
        assert _tables(connection) == set()
        assert applied(connection) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE nights SET state = 'paused'",
        "UPDATE errors SET kind = 'mistake'",
        "UPDATE failure_modes SET trend = 'exploding'",
        "UPDATE failure_modes SET cause = 'weather'",
        "UPDATE verdicts SET judgement = 'maybe'",
        "UPDATE promotions SET kind = 'stolen'",
        "UPDATE promotions SET decision = 'perhaps'",
        "UPDATE reference_images SET split = 'spare'",
    ],
)
def test_words_outside_the_vocabulary_are_refused(
    connection: duckdb.DuckDBPyConnection, statement: str
) -> None:
    migrate(connection)
    connection.execute(
        """
        INSERT INTO nights VALUES
            ('n', 'm', 'l', 'h', now(), NULL, 'running', '', 0, 0, '{}', '{}', NULL, [], 0, '', NULL);
        INSERT INTO failure_modes VALUES ('n', 'n-1', 1, 't', 'n-1', 'new', NULL, [], 'unknown', false, 's',
            NULL, NULL, NULL, NULL, 0, NULL, [], NULL, NULL, NULL, NULL, '', '[]');
        INSERT INTO errors BY NAME SELECT
            'n' AS night_id, 1 AS position, 1 AS row, 'i' AS inspection_id, 'p' AS image_path,
            'a' AS true_label, 'b' AS predicted_label, 'escape' AS kind, 1 AS margin, 't' AS picture;
        INSERT INTO verdicts VALUES ('n-1', 'confirm', '', '', 'Aoki', now());
        INSERT INTO promotions VALUES ('m', NULL, 'registered', 'Aoki', '', now(), NULL);
        INSERT INTO reference_images VALUES ('m', 'p', 'a', 'val');
        """
    )

    with pytest.raises(duckdb.ConstraintException, match="CHECK"):
        connection.execute(statement)
