"""The schema of the store, as numbered migrations that are never changed once released, only added to.

There are no keys: the store replaces a record by deleting and inserting it, and it alone writes. Every
nested row carries the night_id and mode_id it belongs to, so that a query needs few joins, and `position`
(from 1), its place in the order found.
"""

from collections.abc import Sequence
from functools import cache

import duckdb

from inspection.errors import StoreError

Migration = tuple[int, str, tuple[str, ...]]  # number, name, SQL statements

_TABLES = (
    """CREATE TABLE models (
        model_hash VARCHAR NOT NULL,
        architecture VARCHAR NOT NULL,
        class_names VARCHAR[] NOT NULL,
        good_classes VARCHAR[] NOT NULL,
        channels INTEGER NOT NULL CHECK (channels IN (1, 3)),
        height INTEGER NOT NULL,
        width INTEGER NOT NULL,
        mean DOUBLE[] NOT NULL,
        std DOUBLE[] NOT NULL,
        weights_path VARCHAR NOT NULL,
        registered_at TIMESTAMPTZ NOT NULL,
        role VARCHAR NOT NULL CHECK (role IN ('deployed', 'candidate')),
        parent_hash VARCHAR,
        note VARCHAR NOT NULL
    )""",
    """CREATE TABLE reference_images (
        model_hash VARCHAR NOT NULL,
        image_path VARCHAR NOT NULL,
        label VARCHAR NOT NULL,
        split VARCHAR NOT NULL CHECK (split IN ('train', 'val'))
    )""",
    """CREATE TABLE nights (
        night_id VARCHAR NOT NULL,
        model_hash VARCHAR NOT NULL,
        log_path VARCHAR NOT NULL,
        log_sha256 VARCHAR NOT NULL,
        started_at TIMESTAMPTZ NOT NULL,
        finished_at TIMESTAMPTZ,
        state VARCHAR NOT NULL CHECK (state IN ('running', 'finished', 'failed')),
        message VARCHAR NOT NULL,
        rows_read INTEGER NOT NULL,
        errors_read INTEGER NOT NULL,
        settings VARCHAR NOT NULL,
        seconds VARCHAR NOT NULL,
        report_path VARCHAR
    )""",
    """CREATE TABLE set_aside (
        night_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        row INTEGER NOT NULL,
        reason VARCHAR NOT NULL,
        detail VARCHAR NOT NULL,
        image_path VARCHAR
    )""",
    """CREATE TABLE failure_modes (
        night_id VARCHAR NOT NULL,
        mode_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        title VARCHAR NOT NULL,
        claimed BOOLEAN NOT NULL,
        sentence VARCHAR NOT NULL,
        family VARCHAR,
        operation VARCHAR,
        strength DOUBLE,
        unit VARCHAR,
        share DOUBLE NOT NULL,
        control_share DOUBLE,
        reasons VARCHAR[] NOT NULL
    )""",
    """CREATE TABLE errors (
        night_id VARCHAR NOT NULL,
        mode_id VARCHAR,
        position INTEGER NOT NULL,
        row INTEGER NOT NULL,
        inspection_id VARCHAR NOT NULL,
        image_path VARCHAR NOT NULL,
        true_label VARCHAR NOT NULL,
        predicted_label VARCHAR NOT NULL,
        kind VARCHAR NOT NULL CHECK (kind IN ('escape', 'overkill', 'confusion')),
        margin DOUBLE NOT NULL,
        picture VARCHAR NOT NULL
    )""",
    """CREATE TABLE flip_rates (
        night_id VARCHAR NOT NULL,
        mode_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        layer VARCHAR NOT NULL,
        k INTEGER NOT NULL,
        channels INTEGER NOT NULL,
        blame DOUBLE NOT NULL,
        deviation DOUBLE NOT NULL,
        random DOUBLE NOT NULL,
        gain_lower DOUBLE NOT NULL,
        gain_upper DOUBLE NOT NULL,
        collateral DOUBLE NOT NULL,
        margin_fall DOUBLE NOT NULL
    )""",
    """CREATE TABLE blamed_filters (
        night_id VARCHAR NOT NULL,
        mode_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        layer VARCHAR NOT NULL,
        channel INTEGER NOT NULL,
        rank INTEGER NOT NULL,
        blame DOUBLE NOT NULL,
        energy_shift DOUBLE NOT NULL,
        margin_fall DOUBLE NOT NULL
    )""",
    """CREATE TABLE primitives (
        night_id VARCHAR NOT NULL,
        mode_id VARCHAR NOT NULL,
        layer VARCHAR NOT NULL,
        channel INTEGER NOT NULL,
        position INTEGER NOT NULL,
        picture VARCHAR NOT NULL,
        source_picture VARCHAR NOT NULL,
        seed BIGINT NOT NULL,
        residual DOUBLE NOT NULL,
        rank INTEGER NOT NULL,
        energy DOUBLE NOT NULL,
        agreement DOUBLE NOT NULL,
        trusted BOOLEAN NOT NULL,
        failed VARCHAR[] NOT NULL
    )""",
    """CREATE TABLE patches (
        night_id VARCHAR NOT NULL,
        mode_id VARCHAR NOT NULL,
        layer VARCHAR NOT NULL,
        channel INTEGER NOT NULL,
        position INTEGER NOT NULL,
        picture VARCHAR NOT NULL
    )""",
    """CREATE TABLE matches (
        night_id VARCHAR NOT NULL,
        mode_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        operation VARCHAR NOT NULL,
        family VARCHAR NOT NULL,
        strength DOUBLE NOT NULL,
        unit VARCHAR NOT NULL,
        share DOUBLE NOT NULL,
        overall_share DOUBLE NOT NULL,
        look_share DOUBLE NOT NULL,
        alternative BOOLEAN NOT NULL
    )""",
    """CREATE TABLE recipes (
        night_id VARCHAR NOT NULL,
        mode_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        path VARCHAR NOT NULL,
        sha256 VARCHAR NOT NULL,
        summary VARCHAR NOT NULL,
        examples STRUCT(before VARCHAR, after VARCHAR)[] NOT NULL
    )""",
    """CREATE TABLE verdicts (
        mode_id VARCHAR NOT NULL,
        judgement VARCHAR NOT NULL CHECK (judgement IN ('confirm', 'reject')),
        comment VARCHAR NOT NULL,
        reviewer VARCHAR NOT NULL,
        given_at TIMESTAMPTZ NOT NULL
    )""",
    """CREATE TABLE retrainings (
        retraining_id VARCHAR NOT NULL,
        mode_id VARCHAR NOT NULL,
        model_hash VARCHAR NOT NULL,
        candidate_hash VARCHAR NOT NULL,
        started_at TIMESTAMPTZ NOT NULL,
        finished_at TIMESTAMPTZ NOT NULL,
        accepted BOOLEAN NOT NULL,
        reasons VARCHAR[] NOT NULL,
        settings VARCHAR NOT NULL,
        logged_images INTEGER NOT NULL
    )""",
    """CREATE TABLE accuracies (
        retraining_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        name VARCHAR NOT NULL,
        images INTEGER NOT NULL,
        before INTEGER NOT NULL,
        after INTEGER NOT NULL,
        fixed INTEGER NOT NULL,
        broken INTEGER NOT NULL,
        p_value DOUBLE NOT NULL,
        gain_lower DOUBLE NOT NULL,
        gain_upper DOUBLE NOT NULL
    )""",
    """CREATE TABLE class_accuracies (
        retraining_id VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        class_name VARCHAR NOT NULL,
        images INTEGER NOT NULL,
        before INTEGER NOT NULL,
        after INTEGER NOT NULL
    )""",
)

_VIEWS = (
    """CREATE VIEW latest_verdicts AS
    SELECT mode_id, judgement, comment, reviewer, given_at
    FROM verdicts
    QUALIFY row_number() OVER (PARTITION BY mode_id ORDER BY given_at DESC, rowid DESC) = 1""",
    """CREATE VIEW mode_overview AS
    SELECT
        mode.night_id,
        mode.mode_id,
        mode.position,
        mode.title,
        (SELECT count(*) FROM errors AS e WHERE e.mode_id = mode.mode_id) AS errors,
        (SELECT count(*) FROM errors AS e WHERE e.mode_id = mode.mode_id AND kind = 'escape') AS escapes,
        (SELECT count(*) FROM errors AS e WHERE e.mode_id = mode.mode_id AND kind = 'overkill') AS overkills,
        mode.family,
        mode.share,
        best.blame AS flip_rate,
        greatest(best.deviation, best.random) AS better_control,
        best.gain_lower <= 0 AS withheld,
        latest.judgement,
        (SELECT count(*) FROM retrainings AS r WHERE r.mode_id = mode.mode_id) AS retrainings,
        (SELECT count(*) FROM retrainings AS r WHERE r.mode_id = mode.mode_id AND accepted) AS accepted
    FROM failure_modes AS mode
    LEFT JOIN flip_rates AS best ON best.mode_id = mode.mode_id AND best.position = 1
    LEFT JOIN latest_verdicts AS latest ON latest.mode_id = mode.mode_id""",
    """CREATE VIEW night_overview AS
    SELECT
        night.night_id,
        night.started_at,
        night.finished_at,
        night.state,
        night.message,
        night.log_path,
        night.model_hash,
        night.rows_read,
        night.errors_read,
        (SELECT count(*) FROM set_aside AS s WHERE s.night_id = night.night_id) AS set_aside,
        coalesce(total.modes, 0) AS modes,
        coalesce(total.retrainings, 0) AS retrainings,
        coalesce(total.accepted, 0) AS accepted
    FROM nights AS night
    LEFT JOIN (
        SELECT
            night_id,
            count(*) AS modes,
            sum(retrainings)::BIGINT AS retrainings,
            sum(accepted)::BIGINT AS accepted
        FROM mode_overview
        GROUP BY night_id
    ) AS total ON total.night_id = night.night_id""",
)

_COMMENTS = {
    "TABLE models": "models that the workspace knows, by the SHA-256 of their weights",
    "COLUMN models.good_classes": "classes that mean: this part is good",
    "COLUMN models.height": "pixels",
    "COLUMN models.width": "pixels",
    "COLUMN models.mean": "per channel, of values in 0 to 1",
    "COLUMN models.std": "per channel, of values in 0 to 1",
    "COLUMN models.weights_path": "relative to the workspace",
    "TABLE reference_images": "labelled images that a model was trained or validated on",
    "TABLE nights": "runs over a defect log",
    "COLUMN nights.errors_read": "errors that the registered model reproduces",
    "COLUMN nights.settings": "JSON: every setting of the run, for example settings->>'$.blame.filters'",
    "COLUMN nights.seconds": "JSON: wall time by step, seconds",
    "COLUMN nights.report_path": "relative to the workspace",
    "TABLE set_aside": "rows of the defect log that a night could not use, and why",
    "COLUMN set_aside.row": "data row of the log, from 1",
    "TABLE failure_modes": "groups of a night's errors with one cause, and the cause claimed",
    "COLUMN failure_modes.strength": "of the best operation, in unit",
    "COLUMN failure_modes.share": "explained share of the best operation, at most 1",
    "COLUMN failure_modes.control_share": "best explained share on correct images without the fault",
    "COLUMN failure_modes.reasons": "why nothing is claimed",
    "TABLE errors": "misclassified images that the registered model reproduces",
    "COLUMN errors.mode_id": "NULL where the error belongs to no failure mode",
    "COLUMN errors.row": "data row of the log, from 1",
    "COLUMN errors.kind": "escape: a defect passed; overkill: a good part rejected; confusion: the rest",
    "COLUMN errors.margin": "logits: predicted minus true, above 0",
    "COLUMN errors.picture": "thumbnail, relative to the workspace",
    "TABLE flip_rates": "shares of a mode's errors that turn right when K filters of a layer are patched",
    "COLUMN flip_rates.k": "filters patched",
    "COLUMN flip_rates.channels": "filters the layer has",
    "COLUMN flip_rates.blame": "share, the K most blamed filters",
    "COLUMN flip_rates.deviation": "share, control: the K filters whose energy deviates most",
    "COLUMN flip_rates.random": "share, control: K filters drawn at random, mean over draws",
    "COLUMN flip_rates.gain_lower": "share: 95 % bootstrap interval of blame minus the better control",
    "COLUMN flip_rates.gain_upper": "share: 95 % bootstrap interval of blame minus the better control",
    "COLUMN flip_rates.collateral": "share of correct reference images that the blame patch breaks",
    "COLUMN flip_rates.margin_fall": "logits, mean under the blame patch",
    "TABLE blamed_filters": "filters on the shortlist of a failure mode",
    "COLUMN blamed_filters.rank": "within its layer, 1 is the most blamed",
    "COLUMN blamed_filters.blame": "logits, mean over the mode's errors",
    "COLUMN blamed_filters.energy_shift": "sigma, mean over the mode's errors",
    "COLUMN blamed_filters.margin_fall": "logits, when this filter alone is patched",
    "TABLE primitives": "texture primitives of filters with the outcome of their trust test",
    "COLUMN primitives.picture": "relative to the workspace",
    "COLUMN primitives.residual": "||code - target||^2 / ||target||^2 at the end",
    "COLUMN primitives.rank": "of the filter's energy within its layer when fed back, 1 is best",
    "COLUMN primitives.energy": "that energy, in sigma",
    "COLUMN primitives.agreement": "AUROC: alike those of the same filter, unlike those of others",
    "TABLE patches": "real image patches that excite a filter most, strongest first",
    "COLUMN patches.picture": "relative to the workspace",
    "TABLE matches": "how much of a mode's observed shift each operation explains, best first",
    "COLUMN matches.share": "explained share, at most 1; below 0 it is worse than nothing",
    "COLUMN matches.overall_share": "the same with every filter counting alike",
    "COLUMN matches.look_share": "the same of the images' own brightness and spectrum, without the network",
    "COLUMN matches.alternative": "cannot be told apart from the best",
    "TABLE recipes": "augmentation recipes written for failure modes",
    "COLUMN recipes.path": "relative to the workspace",
    "COLUMN recipes.examples": "pictures, relative to the workspace",
    "TABLE verdicts": "reviewers' verdicts on failure modes, only ever added to",
    "TABLE retrainings": "targeted retrainings, each with its candidate model",
    "COLUMN retrainings.settings": "JSON: every setting of the retraining",
    "COLUMN retrainings.logged_images": "logged images that joined the training set",
    "TABLE accuracies": "images a model gets right before and after a retraining",
    "COLUMN accuracies.fixed": "wrong before, right after",
    "COLUMN accuracies.broken": "right before, wrong after",
    "COLUMN accuracies.p_value": "exact McNemar test, two-sided",
    "COLUMN accuracies.gain_lower": "share: 95 % interval of the change in accuracy",
    "COLUMN accuracies.gain_upper": "share: 95 % interval of the change in accuracy",
    "TABLE class_accuracies": "the same by class, for one name of accuracies",
    "VIEW latest_verdicts": "the newest verdict on each failure mode",
    "VIEW mode_overview": "one line per failure mode; flip_rate and its control are those of the best layer",
    "VIEW night_overview": "one line per night",
}

# DuckDB adds no column with a CHECK to a table, so failure_modes is made anew and filled from the old one.
# A night of before has no signature: no later night can recognise its failure modes, and each is its own
# lineage.
_FROM_NIGHT_TO_NIGHT = (
    "DROP VIEW night_overview",
    "DROP VIEW mode_overview",
    """CREATE TABLE failure_modes_followed (
        night_id VARCHAR NOT NULL,
        mode_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        title VARCHAR NOT NULL,
        lineage VARCHAR NOT NULL,
        trend VARCHAR NOT NULL CHECK (trend IN ('new', 'growing', 'steady', 'shrinking')),
        previous_errors INTEGER,
        signature DOUBLE[] NOT NULL,
        cause VARCHAR NOT NULL CHECK (cause IN ('appearance', 'labels', 'unknown')),
        claimed BOOLEAN NOT NULL,
        sentence VARCHAR NOT NULL,
        family VARCHAR,
        operation VARCHAR,
        strength DOUBLE,
        unit VARCHAR,
        share DOUBLE NOT NULL,
        control_share DOUBLE,
        reasons VARCHAR[] NOT NULL,
        measured VARCHAR
    )""",
    """INSERT INTO failure_modes_followed BY NAME
    SELECT
        *,
        mode_id AS lineage,
        'new' AS trend,
        NULL AS previous_errors,
        [] AS signature,
        NULL AS measured,
        CASE WHEN claimed THEN 'appearance' ELSE 'unknown' END AS cause
    FROM failure_modes""",
    "DROP TABLE failure_modes",
    "ALTER TABLE failure_modes_followed RENAME TO failure_modes",
    """CREATE TABLE pairs (
        night_id VARCHAR NOT NULL,
        mode_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        operation VARCHAR NOT NULL,
        family VARCHAR NOT NULL,
        strength DOUBLE NOT NULL,
        unit VARCHAR NOT NULL,
        share DOUBLE NOT NULL,
        overall_share DOUBLE NOT NULL,
        look_share DOUBLE NOT NULL,
        alternative BOOLEAN NOT NULL
    )""",
    """CREATE TABLE suspect_labels (
        night_id VARCHAR NOT NULL,
        mode_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        inspection_id VARCHAR NOT NULL,
        image_path VARCHAR NOT NULL,
        picture VARCHAR NOT NULL,
        true_label VARCHAR NOT NULL,
        suggested_label VARCHAR NOT NULL,
        score DOUBLE NOT NULL
    )""",
    "ALTER TABLE nights ADD COLUMN gone VARCHAR[] DEFAULT []",
    "ALTER TABLE nights ALTER COLUMN gone SET NOT NULL",
    """CREATE VIEW mode_overview AS
    SELECT
        mode.night_id,
        mode.mode_id,
        mode.position,
        mode.title,
        mode.lineage,
        mode.trend,
        mode.previous_errors,
        (SELECT count(*) FROM errors AS e WHERE e.mode_id = mode.mode_id) AS errors,
        (SELECT count(*) FROM errors AS e WHERE e.mode_id = mode.mode_id AND kind = 'escape') AS escapes,
        (SELECT count(*) FROM errors AS e WHERE e.mode_id = mode.mode_id AND kind = 'overkill') AS overkills,
        mode.cause,
        mode.family,
        mode.share,
        best.blame AS flip_rate,
        greatest(best.deviation, best.random) AS better_control,
        best.gain_lower <= 0 AS withheld,
        latest.judgement,
        (SELECT count(*) FROM retrainings AS r WHERE r.mode_id = mode.mode_id) AS retrainings,
        (SELECT count(*) FROM retrainings AS r WHERE r.mode_id = mode.mode_id AND accepted) AS accepted
    FROM failure_modes AS mode
    LEFT JOIN flip_rates AS best ON best.mode_id = mode.mode_id AND best.position = 1
    LEFT JOIN latest_verdicts AS latest ON latest.mode_id = mode.mode_id""",
    _VIEWS[2],  # night_overview, as it was
)

# What was said of the table and of the views went with the old ones.
_REMADE = ("failure_modes", "mode_overview", "night_overview")
_COMMENTS_FROM_NIGHT_TO_NIGHT = {
    target: text for target, text in _COMMENTS.items() if target.split()[1].partition(".")[0] in _REMADE
} | {
    "COLUMN failure_modes.lineage": "its name from night to night: the mode_id that the first night gave it",
    "COLUMN failure_modes.trend": "of its share of the errors, against the night before that has it",
    "COLUMN failure_modes.previous_errors": "its errors on that night; NULL: no earlier night has it",
    "COLUMN failure_modes.signature": "direction of its shift, of unit length: it is recognised by this",
    "COLUMN failure_modes.cause": "appearance: the images changed; labels: check these; unknown: neither",
    "COLUMN failure_modes.measured": "what was read off the errors where no operation explains them",
    "TABLE pairs": "two operations, one after the other, that explain clearly more than the best alone",
    "COLUMN pairs.share": "explained share of the two together, at most 1; so for the next two",
    "TABLE suspect_labels": "errors whose label, rather than the model, may be wrong, most suspect first",
    "COLUMN suspect_labels.picture": "thumbnail, relative to the workspace",
    "COLUMN suspect_labels.true_label": "the operator's",
    "COLUMN suspect_labels.suggested_label": "the model's",
    "COLUMN suspect_labels.score": "0 to 1, higher is more suspect",
    "COLUMN nights.gone": "lineages that the model's last finished night had and this one has not",
}

# DuckDB changes no CHECK, so nights is made anew and filled from the old one.
_UNREADABLE_NIGHTS = (
    "DROP VIEW night_overview",
    """CREATE TABLE nights_told_apart (
        night_id VARCHAR NOT NULL,
        model_hash VARCHAR NOT NULL,
        log_path VARCHAR NOT NULL,
        log_sha256 VARCHAR NOT NULL,
        started_at TIMESTAMPTZ NOT NULL,
        finished_at TIMESTAMPTZ,
        state VARCHAR NOT NULL CHECK (state IN ('running', 'finished', 'failed', 'unreadable')),
        message VARCHAR NOT NULL,
        rows_read INTEGER NOT NULL,
        errors_read INTEGER NOT NULL,
        settings VARCHAR NOT NULL,
        seconds VARCHAR NOT NULL,
        report_path VARCHAR,
        gone VARCHAR[] NOT NULL DEFAULT []
    )""",
    "INSERT INTO nights_told_apart BY NAME FROM nights ORDER BY rowid",
    "DROP TABLE nights",
    "ALTER TABLE nights_told_apart RENAME TO nights",
    _VIEWS[2],  # night_overview, as it was
)
_LOG_CONTEXT = {
    "captured_at": ("TIMESTAMPTZ", "when the image was taken, as logged; NULL: the log does not say"),
    "score": ("DOUBLE", "confidence of the predicted label, as logged"),
    "line": ("VARCHAR", "production line, as logged"),
    "station": ("VARCHAR", "station of the line, as logged"),
    "camera": ("VARCHAR", "camera of the station, as logged"),
    "part_number": ("VARCHAR", "kind of part, as logged"),
    "lot": ("VARCHAR", "lot of the part or its material, as logged"),
    "serial": ("VARCHAR", "this very part, as logged"),
    "model_version": ("VARCHAR", "version of the model that said predicted_label, as logged"),
    "verified_by": ("VARCHAR", "operator who gave the label, as logged"),
    "verified_at": ("TIMESTAMPTZ", "when the operator gave the label, as logged"),
    "lighting": ("VARCHAR", "lighting in use, as logged"),
    "exposure": ("VARCHAR", "exposure in use, as logged"),
    "more": ("VARCHAR", "JSON: the log's other columns, for example more->>'$.shift'; NULL: not kept then"),
}
_COMMENTS_WHAT_A_LOG_SAYS = {
    target: text
    for target, text in {**_COMMENTS, **_COMMENTS_FROM_NIGHT_TO_NIGHT}.items()
    if target.split()[1].partition(".")[0] in ("nights", "night_overview")
} | {
    "COLUMN nights.state": "unreadable: the log may name errors, and none of them could be read",
    **{f"COLUMN errors.{name}": text for name, (_, text) in _LOG_CONTEXT.items()},
}


_AFFECTED = (
    """CREATE TABLE affected (
        night_id VARCHAR NOT NULL,
        mode_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        origin VARCHAR NOT NULL,
        value VARCHAR NOT NULL,
        errors INTEGER NOT NULL,
        of_mode INTEGER NOT NULL,
        others INTEGER NOT NULL,
        of_others INTEGER NOT NULL,
        right_parts INTEGER NOT NULL,
        p_value DOUBLE NOT NULL,
        claimed BOOLEAN NOT NULL,
        since TIMESTAMPTZ,
        until TIMESTAMPTZ,
        utc_offset INTEGER
    )""",
    "ALTER TABLE errors ADD COLUMN shift VARCHAR",
    "UPDATE errors SET shift = more->>'$.shift'",
)
_COMMENTS_AFFECTED = {
    "TABLE affected": "where and when a failure mode's errors come from, beside the rest of the log",
    "COLUMN affected.origin": "column of the log, for example camera; captured_at: since a time",
    "COLUMN affected.errors": "of the failure mode, that have the value",
    "COLUMN affected.of_mode": "its errors of which the log says it",
    "COLUMN affected.others": "other rows that have the value",
    "COLUMN affected.of_others": "other rows of which the log says it: errors, and parts that were right",
    "COLUMN affected.right_parts": "of of_others: parts whose verdict was right",
    "COLUMN affected.p_value": "of chance, corrected for every test of the night; or of a stronger claim "
    "explaining it",
    "COLUMN affected.since": "the first of errors, to the minute; NULL: the column is no time",
    "COLUMN affected.until": "the last time that the log knows of, where since is told",
    "COLUMN affected.utc_offset": "minutes, of the log's clock then; NULL: it gives none",
    "COLUMN errors.shift": "shift that worked, as logged",
}


# DuckDB changes no CHECK of a table: for the causes that there are now, failure_modes is made anew once more.
_WHERE_ERRORS_DIFFER = (
    "ALTER TABLE comparisons ADD COLUMN before VARCHAR DEFAULT ''",
    "ALTER TABLE comparisons ADD COLUMN after VARCHAR DEFAULT ''",
    """CREATE TABLE failure_modes_located (
        night_id VARCHAR NOT NULL,
        mode_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        title VARCHAR NOT NULL,
        lineage VARCHAR NOT NULL,
        trend VARCHAR NOT NULL CHECK (trend IN ('new', 'growing', 'steady', 'shrinking')),
        previous_errors INTEGER,
        signature DOUBLE[] NOT NULL,
        cause VARCHAR NOT NULL CHECK (cause IN ('appearance', 'new look', 'invisible', 'labels', 'unknown')),
        claimed BOOLEAN NOT NULL,
        sentence VARCHAR NOT NULL,
        family VARCHAR,
        operation VARCHAR,
        strength DOUBLE,
        unit VARCHAR,
        share DOUBLE NOT NULL,
        control_share DOUBLE,
        reasons VARCHAR[] NOT NULL,
        measured VARCHAR,
        unchanged_share DOUBLE,
        nearer_share DOUBLE,
        nearest_operation_share DOUBLE,
        meaning VARCHAR DEFAULT '',
        doubts VARCHAR DEFAULT '[]'
    )""",
    "INSERT INTO failure_modes_located BY NAME SELECT * FROM failure_modes",
    "DROP TABLE failure_modes",
    "ALTER TABLE failure_modes_located RENAME TO failure_modes",
)
# What was said of the table went with the old one.
_COMMENTS_WHERE_ERRORS_DIFFER = {
    target: text
    for target, text in _COMMENTS_FROM_NIGHT_TO_NIGHT.items()
    if target.split()[1].partition(".")[0] == "failure_modes"
} | {
    "COLUMN comparisons.before": "picture: where the error differs from reference images as they are",
    "COLUMN comparisons.after": "the same: from reference images under the cause",
    "COLUMN failure_modes.cause": "appearance: the images changed; new look: they hold what no reference "
    "image holds; invisible: they show nothing that good parts do not; labels: check these; unknown: none",
    "COLUMN failure_modes.measured": "what was read off the errors: the cause where it is the operation, "
    "else beside that",
    "COLUMN failure_modes.unchanged_share": "explained share of the unchanged reference images of the "
    "same classes nearest to the errors; NULL: not measured",
    "COLUMN failure_modes.nearer_share": "of the errors: nearer to a reference image of their class under "
    "the best account than to any as it is; NULL: not measured",
    "COLUMN failure_modes.nearest_operation_share": "explained share of the best operation, where the "
    "cause was measured on the errors instead",
    "COLUMN failure_modes.meaning": "what the operation means, in plain words",
    "COLUMN failure_modes.doubts": "JSON: what speaks against a claim, each with its kind, what was found "
    "and what is needed",
}


def _comment(target: str, text: str) -> str:
    quoted = text.replace("'", "''")
    return f"COMMENT ON {target} IS '{quoted}'"


_READABLE = {
    "readable": "AUROC: who sees the filter's pictures tells the real crops that excite it; NULL: not judged",
    "readable_ceiling": "the same where other real crops of the filter are shown; NULL: not judged",
    "copy": "highest correlation with a place of a real image; NULL: not judged",
}

# The candidate is judged, and may be promoted: models have names and versions, a trail says which is
# deployed, and a retraining says what every arm would have given. DuckDB changes no CHECK, so tables are made
# anew.
_PROMOTED = (
    "DROP VIEW night_overview",
    "DROP VIEW mode_overview",
    """CREATE TABLE promotions (
        model_hash VARCHAR NOT NULL,
        previous_hash VARCHAR,
        kind VARCHAR NOT NULL CHECK (kind IN ('registered', 'promoted', 'rolled back')),
        author VARCHAR NOT NULL,
        reason VARCHAR NOT NULL,
        decided_at TIMESTAMPTZ NOT NULL,
        decision VARCHAR CHECK (decision IN ('accepted', 'rejected', 'undecided'))
    )""",
    """INSERT INTO promotions
    SELECT
        model_hash,
        lag(model_hash) OVER (ORDER BY registered_at, rowid),
        'registered',
        'unknown',
        note,
        registered_at,
        NULL
    FROM models
    WHERE role = 'deployed'
    ORDER BY registered_at, rowid""",
    """CREATE TABLE models_versioned (
        model_hash VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        version INTEGER NOT NULL,
        architecture VARCHAR NOT NULL,
        class_names VARCHAR[] NOT NULL,
        good_classes VARCHAR[] NOT NULL,
        channels INTEGER NOT NULL CHECK (channels IN (1, 3)),
        height INTEGER NOT NULL,
        width INTEGER NOT NULL,
        mean DOUBLE[] NOT NULL,
        std DOUBLE[] NOT NULL,
        weights_path VARCHAR NOT NULL,
        registered_at TIMESTAMPTZ NOT NULL,
        parent_hash VARCHAR,
        note VARCHAR NOT NULL,
        bit_depth INTEGER
    )""",
    """INSERT INTO models_versioned BY NAME
    SELECT
        * EXCLUDE (role),
        'model' AS name,
        row_number() OVER (ORDER BY registered_at, rowid) AS version
    FROM models
    ORDER BY registered_at, rowid""",
    "DROP TABLE models",
    "ALTER TABLE models_versioned RENAME TO models",
    """CREATE TABLE retrained_modes (
        retraining_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        mode_id VARCHAR NOT NULL
    )""",
    "INSERT INTO retrained_modes SELECT retraining_id, 1, mode_id FROM retrainings ORDER BY rowid",
    """CREATE TABLE retrainings_judged (
        retraining_id VARCHAR NOT NULL,
        model_hash VARCHAR NOT NULL,
        candidate_hash VARCHAR,
        started_at TIMESTAMPTZ NOT NULL,
        finished_at TIMESTAMPTZ NOT NULL,
        decision VARCHAR NOT NULL CHECK (decision IN ('accepted', 'rejected', 'undecided')),
        arm VARCHAR,
        reasons VARCHAR[] NOT NULL,
        notes VARCHAR[] NOT NULL,
        calibration DOUBLE[],
        logged_images INTEGER NOT NULL,
        settings VARCHAR NOT NULL,
        identity VARCHAR NOT NULL
    )""",
    """INSERT INTO retrainings_judged BY NAME
    SELECT
        * EXCLUDE (mode_id, accepted),
        CASE WHEN accepted THEN 'accepted' ELSE 'rejected' END AS decision,
        [] AS notes,
        '' AS identity
    FROM retrainings
    ORDER BY rowid""",
    "DROP TABLE retrainings",
    "ALTER TABLE retrainings_judged RENAME TO retrainings",
    """CREATE TABLE arms (
        retraining_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        arm VARCHAR NOT NULL,
        logged_images INTEGER NOT NULL,
        folds INTEGER NOT NULL,
        seconds DOUBLE NOT NULL,
        significance DOUBLE NOT NULL
    )""",
    "ALTER TABLE accuracies ADD COLUMN arm VARCHAR DEFAULT ''",
    "ALTER TABLE accuracies ADD COLUMN escapes INTEGER[]",
    "ALTER TABLE accuracies ADD COLUMN overkills INTEGER[]",
    "ALTER TABLE class_accuracies ADD COLUMN arm VARCHAR DEFAULT ''",
    """CREATE TABLE gate_checks (
        retraining_id VARCHAR NOT NULL,
        arm VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        kind VARCHAR NOT NULL CHECK (kind IN ('repair', 'control', 'accuracy', 'class', 'escapes')),
        images_of VARCHAR NOT NULL,
        class_name VARCHAR NOT NULL,
        images INTEGER NOT NULL,
        before INTEGER NOT NULL,
        after INTEGER NOT NULL,
        passed BOOLEAN,
        p_value DOUBLE NOT NULL,
        by_chance BOOLEAN NOT NULL,
        needed DOUBLE NOT NULL,
        more_images INTEGER
    )""",
    """CREATE TABLE judged_images (
        retraining_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        images_of VARCHAR NOT NULL,
        image_path VARCHAR NOT NULL,
        image_sha256 VARCHAR NOT NULL,
        true_label VARCHAR NOT NULL,
        before VARCHAR NOT NULL,
        after VARCHAR NOT NULL,
        outcome VARCHAR NOT NULL CHECK (outcome IN ('fixed', 'unchanged', 'regressed')),
        mode_id VARCHAR
    )""",
    """CREATE TABLE filters_after (
        retraining_id VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        mode_id VARCHAR NOT NULL,
        layer VARCHAR NOT NULL,
        channel INTEGER NOT NULL,
        before DOUBLE NOT NULL,
        after DOUBLE NOT NULL
    )""",
    """CREATE VIEW mode_overview AS
    SELECT
        mode.night_id,
        mode.mode_id,
        mode.position,
        mode.title,
        mode.lineage,
        mode.trend,
        mode.previous_errors,
        (SELECT count(*) FROM errors AS e WHERE e.mode_id = mode.mode_id) AS errors,
        (SELECT count(*) FROM errors AS e WHERE e.mode_id = mode.mode_id AND kind = 'escape') AS escapes,
        (SELECT count(*) FROM errors AS e WHERE e.mode_id = mode.mode_id AND kind = 'overkill') AS overkills,
        mode.cause,
        mode.family,
        mode.share,
        best.blame AS flip_rate,
        greatest(best.deviation, best.random) AS better_control,
        best.gain_lower <= 0 AS withheld,
        latest.judgement,
        (SELECT count(*) FROM retrained_modes AS r WHERE r.mode_id = mode.mode_id) AS retrainings,
        (
            SELECT count(*) FROM retrained_modes AS r JOIN retrainings USING (retraining_id)
            WHERE r.mode_id = mode.mode_id AND decision = 'accepted'
        ) AS accepted
    FROM failure_modes AS mode
    LEFT JOIN flip_rates AS best ON best.mode_id = mode.mode_id AND best.position = 1
    LEFT JOIN latest_verdicts AS latest ON latest.mode_id = mode.mode_id""",
    _VIEWS[2],  # night_overview, as it was
    """CREATE VIEW model_overview AS
    SELECT
        model.model_hash,
        model.name || ' v' || model.version AS called,
        CASE
            WHEN model.model_hash = (SELECT last(model_hash ORDER BY rowid) FROM promotions) THEN 'deployed'
            WHEN model.model_hash IN (SELECT model_hash FROM promotions) THEN 'retired'
            ELSE 'candidate'
        END AS state,
        model.parent_hash,
        judged.decision,
        judged.retraining_id,
        model.registered_at,
        model.note
    FROM models AS model
    LEFT JOIN (
        FROM retrainings QUALIFY row_number() OVER (PARTITION BY candidate_hash ORDER BY finished_at DESC) = 1
    ) AS judged ON judged.candidate_hash = model.model_hash""",
)
_COMMENTS_PROMOTED = {
    target: text
    for target, text in {**_COMMENTS, **_COMMENTS_FROM_NIGHT_TO_NIGHT}.items()
    if target.split()[1].partition(".")[0] in ("models", "retrainings", "mode_overview", "night_overview")
} | {
    "COLUMN models.name": "that all models of a line share",
    "COLUMN models.version": "among the models of that name, from 1",
    "COLUMN models.parent_hash": "of the model that it was retrained from; NULL: a plant's own",
    "COLUMN models.bit_depth": "that its 16-bit images use where these do not say it; NULL: not measured",
    "TABLE promotions": "which model is deployed since when, who decided it and why; only ever added to",
    "COLUMN promotions.previous_hash": "the model deployed until then",
    "COLUMN promotions.decision": "the gate's on the model then; NULL: it was not judged",
    "TABLE retrained_modes": "the failure modes that a retraining is to mend",
    "COLUMN retrainings.candidate_hash": "NULL: no arm mended anything without harm",
    "COLUMN retrainings.arm": "the one trained in full; NULL: none, or an earlier version's retraining",
    "COLUMN retrainings.notes": "what was left out, and what else a reader should know",
    "COLUMN retrainings.calibration": "expected calibration error on clean images, before and after",
    "COLUMN retrainings.identity": "hash of all that decides it: the same training twice has the same",
    "TABLE arms": "ways of mending that competed in a retraining, by cross-validation, the cheapest first",
    "COLUMN arms.folds": "trainings; 1: it was shown no logged image",
    "COLUMN arms.significance": "p-value at which harm is more than chance",
    "COLUMN accuracies.arm": "empty: of the candidate model; else of an arm that competed",
    "COLUMN accuracies.escapes": "defects passed as good, before and after; NULL: not counted",
    "COLUMN accuracies.overkills": "good parts rejected, before and after; NULL: not counted",
    "COLUMN class_accuracies.arm": "likewise",
    "TABLE gate_checks": "what the gate asks of a candidate model, and of every arm",
    "COLUMN gate_checks.arm": "empty: of the candidate model; else of an arm that competed",
    "COLUMN gate_checks.passed": "NULL: cannot be told of so few images",
    "COLUMN gate_checks.before": "images right; of escapes: defects passed as good; of control: right by "
    "further training alone",
    "COLUMN gate_checks.p_value": "exact McNemar test, two-sided",
    "COLUMN gate_checks.by_chance": "the p-value decides; else a margin",
    "COLUMN gate_checks.needed": "the p-value to reach, or the share that may be lost; of escapes: may pass",
    "COLUMN gate_checks.more_images": "that would decide it, were they as these",
    "TABLE judged_images": "images that judged a candidate model, with the labels before and after",
    "COLUMN judged_images.image_sha256": "of the file, by which later retrainings know the image again",
    "COLUMN judged_images.after": "the candidate's label; of a cross-validated set that of the model that "
    "was not shown the image's group",
    "TABLE filters_after": "how far a blamed filter's energy lies from normal on the mode's errors, sigma",
    "COLUMN filters_after.before": "of the deployed model",
    "COLUMN filters_after.after": "of the candidate model",
    "VIEW model_overview": "one line per model: deployed, retired, or a candidate that was never promoted",
}


# What a reviewer may say of a failure mode, and of single images. "reject" said that another cause is right.
_FIELD_VERDICTS = (
    """CREATE TABLE verdicts_in_words (
        mode_id VARCHAR NOT NULL,
        judgement VARCHAR NOT NULL CHECK (judgement IN (
            'confirm', 'other cause', 'relabel', 'new kind of defect', 'remove', 'investigate'
        )),
        cause VARCHAR NOT NULL DEFAULT '',
        comment VARCHAR NOT NULL,
        reviewer VARCHAR NOT NULL,
        given_at TIMESTAMPTZ NOT NULL
    )""",
    """INSERT INTO verdicts_in_words BY NAME
    SELECT * REPLACE (CASE judgement WHEN 'reject' THEN 'other cause' ELSE judgement END AS judgement)
    FROM verdicts
    ORDER BY rowid""",
    "DROP TABLE verdicts",
    "ALTER TABLE verdicts_in_words RENAME TO verdicts",
    """CREATE TABLE relabels (
        mode_id VARCHAR NOT NULL,
        row INTEGER NOT NULL,
        label VARCHAR,
        reviewer VARCHAR NOT NULL,
        given_at TIMESTAMPTZ NOT NULL
    )""",
)
_COMMENTS_FIELD_VERDICTS = {
    "TABLE verdicts": "what reviewers say of failure modes; only ever added to",
    "COLUMN verdicts.cause": "the operation or family that the reviewer names; empty: the one found, or none",
    "TABLE relabels": "what reviewers say that logged images show; the newest on an image counts",
    "COLUMN relabels.row": "data row of the log, from 1",
    "COLUMN relabels.label": "a class of the model; NULL: nothing to train on",
}

# What experts call textures, recipes in parts, of which every language makes its own sentence, and maps of
# where a filter answers on single errors.
_NAMED = (
    """CREATE TABLE filter_names (
        model_hash VARCHAR NOT NULL,
        layer VARCHAR NOT NULL,
        channel INTEGER NOT NULL,
        name VARCHAR NOT NULL,
        author VARCHAR NOT NULL,
        given_at TIMESTAMPTZ NOT NULL
    )""",
    "ALTER TABLE errors ADD COLUMN heat VARCHAR DEFAULT ''",
    "ALTER TABLE errors ADD COLUMN heat_filter VARCHAR DEFAULT ''",
    "ALTER TABLE recipes ADD COLUMN steps VARCHAR DEFAULT '[]'",
    "ALTER TABLE recipes ADD COLUMN share DOUBLE",
)
_COMMENTS_NAMED = {
    "TABLE filter_names": "what experts call the textures that filters answer to; only ever added to",
    "COLUMN filter_names.model_hash": "of the model on whose failure mode it was given; models that were "
    "retrained from another share its filters",
    "COLUMN filter_names.name": "the newest counts; empty: what it was called before is taken back",
    "COLUMN errors.heat": "map of where the filter most to blame for it answers, grey levels as PNG, "
    "relative to the workspace; empty: not drawn",
    "COLUMN errors.heat_filter": "that filter, layer:channel",
    "COLUMN recipes.steps": "JSON: groups of operations with their ranges, group after group, one of each "
    "is drawn; empty: made by an earlier version",
    "COLUMN recipes.share": "of the training images that it changes; NULL: made by an earlier version",
}

# Nights that nobody starts: of which line each is, what became of logs that none could read, and nights that
# were removed, whose logs are not to be read again.
_LINES = (
    "DROP VIEW night_overview",
    "ALTER TABLE nights ADD COLUMN of_line VARCHAR DEFAULT ''",
    "ALTER TABLE nights ADD COLUMN parts BIGINT",
    """CREATE TABLE logs_set_aside (
        line VARCHAR NOT NULL,
        log_sha256 VARCHAR NOT NULL,
        log_path VARCHAR NOT NULL,
        reason VARCHAR NOT NULL,
        set_aside_at TIMESTAMPTZ NOT NULL
    )""",
    """CREATE TABLE pruned_nights (
        night_id VARCHAR NOT NULL,
        model_hash VARCHAR NOT NULL,
        line VARCHAR NOT NULL,
        log_path VARCHAR NOT NULL,
        log_sha256 VARCHAR NOT NULL,
        started_at TIMESTAMPTZ NOT NULL,
        pruned_at TIMESTAMPTZ NOT NULL
    )""",
    """CREATE VIEW night_overview AS
    SELECT
        night.night_id,
        night.started_at,
        night.finished_at,
        night.state,
        night.message,
        night.of_line,
        night.log_path,
        night.model_hash,
        night.rows_read,
        night.errors_read,
        night.parts,
        (SELECT count(*) FROM set_aside AS s WHERE s.night_id = night.night_id) AS set_aside,
        coalesce(total.modes, 0) AS modes,
        coalesce(total.retrainings, 0) AS retrainings,
        coalesce(total.accepted, 0) AS accepted
    FROM nights AS night
    LEFT JOIN (
        SELECT
            night_id,
            count(*) AS modes,
            sum(retrainings)::BIGINT AS retrainings,
            sum(accepted)::BIGINT AS accepted
        FROM mode_overview
        GROUP BY night_id
    ) AS total ON total.night_id = night.night_id""",
)
_COMMENTS_LINES = {
    "COLUMN nights.of_line": "the line of fmi.toml whose settings it has; empty: none in particular",
    "COLUMN nights.parts": "inspected for its log, as the log or the line's setting says; NULL: not known",
    "TABLE logs_set_aside": "logs of lines that no night could read, and why",
    "TABLE pruned_nights": "nights that `fmi prune` removed: their logs are not read again",
    "VIEW night_overview": "one line per night",
}


def _by(column: str) -> str:
    """A view of the failure modes by what is said of each of their errors."""
    return f"""CREATE VIEW modes_by_{column} AS
    SELECT
        {column},
        lineage,
        last(cause ORDER BY started_at) AS cause,
        count(*) AS errors,
        count(*) FILTER (kind = 'escape') AS escapes,
        count(*) FILTER (kind = 'overkill') AS overkills,
        count(*) / sum(count(*)) OVER (PARTITION BY {column}) AS share,
        count(DISTINCT night_id) AS nights,
        min(started_at) AS first_night,
        max(started_at) AS last_night
    FROM counted_errors
    WHERE {column} IS NOT NULL
    GROUP BY {column}, lineage
    ORDER BY {column}, errors DESC, lineage"""


# What is asked of the store day by day. A log that was run again counts once, by its newest night.
_DAILY = (
    """CREATE VIEW counted_errors AS
    WITH counted AS (
        SELECT * FROM nights WHERE state = 'finished'
        QUALIFY row_number() OVER (PARTITION BY log_sha256 ORDER BY started_at DESC, night_id DESC) = 1
    )
    SELECT
        error.night_id,
        counted.started_at,
        CAST(
            date_trunc('week', coalesce(error.captured_at, counted.started_at) AT TIME ZONE 'UTC') AS DATE
        ) AS week,
        coalesce(nullif(error.line, ''), nullif(counted.of_line, '')) AS line,
        nullif(error.camera, '') AS camera,
        nullif(error.lot, '') AS lot,
        error.kind,
        error.true_label,
        error.predicted_label,
        error.mode_id,
        mode.lineage,
        CASE WHEN mode.claimed THEN coalesce(mode.operation, mode.measured, mode.family) ELSE mode.cause END
            AS cause,
        error.row
    FROM errors AS error
    JOIN counted USING (night_id)
    LEFT JOIN failure_modes AS mode USING (mode_id)""",
    *(_by(column) for column in ("week", "line", "camera", "lot")),
    """CREATE VIEW recurring_filters AS
    WITH RECURSIVE rooted AS (
        SELECT model_hash, model_hash AS root FROM models
        WHERE parent_hash IS NULL OR parent_hash NOT IN (SELECT model_hash FROM models)
        UNION ALL
        SELECT model.model_hash, rooted.root
        FROM models AS model JOIN rooted ON model.parent_hash = rooted.model_hash
    ), called AS (
        SELECT root, layer, channel, name FROM filter_names JOIN rooted USING (model_hash)
        QUALIFY row_number() OVER (
            PARTITION BY root, layer, channel ORDER BY given_at DESC, filter_names.rowid DESC
        ) = 1
    )
    SELECT
        rooted.root AS family,
        blamed.layer,
        blamed.channel,
        any_value(nullif(called.name, '')) AS name,
        count(DISTINCT blamed.night_id) AS nights,
        count(DISTINCT mode.lineage) AS lineages,
        avg(blamed.blame) AS blame,
        min(night.started_at) AS first_night,
        max(night.started_at) AS last_night
    FROM blamed_filters AS blamed
    JOIN nights AS night USING (night_id)
    JOIN failure_modes AS mode USING (mode_id)
    JOIN rooted ON rooted.model_hash = night.model_hash
    LEFT JOIN called
        ON called.root = rooted.root AND called.layer = blamed.layer AND called.channel = blamed.channel
    WHERE night.state = 'finished'
    GROUP BY rooted.root, blamed.layer, blamed.channel
    HAVING count(DISTINCT blamed.night_id) > 1
    ORDER BY nights DESC, blame DESC""",
    """CREATE VIEW recipe_outcomes AS
    SELECT
        recipe.mode_id,
        night.started_at AS written_at,
        mode.lineage,
        recipe.summary,
        recipe.path,
        verdict.judgement,
        retrained.retraining_id,
        retrained.decision,
        retrained.arm,
        model.called AS candidate,
        model.state AS candidate_is,
        promoted.decided_at AS promoted_at,
        CASE WHEN promoted.decided_at IS NOT NULL THEN (
            SELECT count(*) FROM failure_modes AS later JOIN nights AS seen USING (night_id)
            WHERE later.lineage = mode.lineage AND seen.state = 'finished'
                AND seen.started_at > promoted.decided_at
        ) END AS nights_with_it_since
    FROM recipes AS recipe
    JOIN failure_modes AS mode USING (mode_id)
    JOIN nights AS night ON night.night_id = mode.night_id
    LEFT JOIN latest_verdicts AS verdict ON verdict.mode_id = recipe.mode_id
    LEFT JOIN (
        SELECT of_mode.mode_id, retraining.*
        FROM retrained_modes AS of_mode JOIN retrainings AS retraining USING (retraining_id)
        QUALIFY row_number() OVER (
            PARTITION BY of_mode.mode_id ORDER BY retraining.finished_at DESC, retraining.rowid DESC
        ) = 1
    ) AS retrained ON retrained.mode_id = recipe.mode_id
    LEFT JOIN model_overview AS model ON model.model_hash = retrained.candidate_hash
    LEFT JOIN (
        SELECT model_hash, min(decided_at) AS decided_at FROM promotions GROUP BY model_hash
    ) AS promoted ON promoted.model_hash = retrained.candidate_hash
    WHERE night.state = 'finished'
    ORDER BY written_at DESC, recipe.mode_id""",
)
# All models of a line share a name, so of each name one is deployed: the last that was and that was not left
# by a rollback since.
_DEPLOYED = (
    """CREATE VIEW deployed_models AS
    SELECT model.name, entry.model_hash, entry.decided_at AS since
    FROM promotions AS entry JOIN models AS model USING (model_hash)
    WHERE NOT EXISTS (
        FROM promotions AS later
        WHERE later.kind = 'rolled back' AND later.previous_hash = entry.model_hash
            AND later.rowid > entry.rowid
    )
    QUALIFY row_number() OVER (PARTITION BY lower(model.name) ORDER BY entry.rowid DESC) = 1""",
    """CREATE OR REPLACE VIEW model_overview AS
    SELECT
        model.model_hash,
        model.name || ' v' || model.version AS called,
        CASE
            WHEN model.model_hash IN (SELECT model_hash FROM deployed_models) THEN 'deployed'
            WHEN model.model_hash IN (SELECT model_hash FROM promotions) THEN 'retired'
            ELSE 'candidate'
        END AS state,
        model.parent_hash,
        judged.decision,
        judged.retraining_id,
        model.registered_at,
        model.note
    FROM models AS model
    LEFT JOIN (
        FROM retrainings QUALIFY row_number() OVER (PARTITION BY candidate_hash ORDER BY finished_at DESC) = 1
    ) AS judged ON judged.candidate_hash = model.model_hash""",
)
_COMMENTS_DEPLOYED = {
    "VIEW deployed_models": "the deployed model of each name; all models of a line share one",
    "VIEW model_overview": "one line per model: deployed, retired, or a candidate that was never promoted",
    "COLUMN promotions.previous_hash": "the model of its name deployed until then, or of another",
}

# The gate asks for overkills, too.
_OVERKILLS = (
    """CREATE TABLE gate_checks_of_overkills (
        retraining_id VARCHAR NOT NULL,
        arm VARCHAR NOT NULL,
        position INTEGER NOT NULL,
        kind VARCHAR NOT NULL CHECK (kind IN (
            'repair', 'control', 'accuracy', 'class', 'escapes', 'overkills'
        )),
        images_of VARCHAR NOT NULL,
        class_name VARCHAR NOT NULL,
        images INTEGER NOT NULL,
        before INTEGER NOT NULL,
        after INTEGER NOT NULL,
        passed BOOLEAN,
        p_value DOUBLE NOT NULL,
        by_chance BOOLEAN NOT NULL,
        needed DOUBLE NOT NULL,
        more_images INTEGER
    )""",
    "INSERT INTO gate_checks_of_overkills BY NAME SELECT * FROM gate_checks ORDER BY rowid",
    "DROP TABLE gate_checks",
    "ALTER TABLE gate_checks_of_overkills RENAME TO gate_checks",
)
_COMMENTS_OVERKILLS = {
    "TABLE gate_checks": "what the gate asks of a candidate model, and of every arm",
    "COLUMN gate_checks.arm": "empty: of the candidate model; else of an arm that competed",
    "COLUMN gate_checks.passed": "NULL: cannot be told of so few images",
    "COLUMN gate_checks.before": "images right; of escapes: defects passed as good; of overkills: good parts "
    "rejected; of control: right by further training alone",
    "COLUMN gate_checks.p_value": "of an exact test; of a class under the new condition corrected for the "
    "number of classes",
    "COLUMN gate_checks.by_chance": "the p-value decides; else a margin",
    "COLUMN gate_checks.needed": "the p-value to reach, or the share that may be lost; of escapes: may pass; "
    "of overkills: may be rejected",
    "COLUMN gate_checks.more_images": "that would decide it, were they as these",
}

_COMMENTS_DAILY = {
    "VIEW counted_errors": "every error once, with its failure mode's lineage and cause: of a log that was "
    "run again the newest night counts",
    "VIEW modes_by_week": "failure modes by the week (its Monday, UTC) in which images were taken or read; "
    "share: of that week's errors; lineage NULL: errors of no failure mode",
    "VIEW modes_by_line": "the same by production line, as logged, or as the night was read for it",
    "VIEW modes_by_camera": "the same by camera, as logged",
    "VIEW modes_by_lot": "the same by lot, as logged",
    "VIEW recurring_filters": "filters that were to blame on more than one night, of a model and all that "
    "were retrained from it; family: the hash of the first; name: what experts call its texture",
    "VIEW recipe_outcomes": "every recipe and what became of it: its newest retraining, whether that was "
    "promoted, and how many nights found the failure mode since",
}

MIGRATIONS: tuple[Migration, ...] = (
    (1, "findings", _TABLES),
    (2, "overviews and comments", _VIEWS + tuple(_comment(*item) for item in _COMMENTS.items())),
    (
        3,
        "layout control of primitives",
        (
            "ALTER TABLE primitives ADD COLUMN layout DOUBLE",
            _comment(
                "COLUMN primitives.layout",
                "AUROC: its pictures from shuffled and constant maps still tell the filter; NULL: not tested",
            ),
        ),
    ),
    (
        4,
        "failure modes from night to night",
        _FROM_NIGHT_TO_NIGHT + tuple(_comment(*item) for item in _COMMENTS_FROM_NIGHT_TO_NIGHT.items()),
    ),
    (
        5,
        "errors of any day",
        (
            "ALTER TABLE failure_modes ADD COLUMN any_day_share DOUBLE",
            _comment(
                "COLUMN failure_modes.any_day_share",
                "explained share of the errors that the model makes without a fault; NULL: not measured",
            ),
            _comment(
                "COLUMN failure_modes.measured",
                "what was read off the errors: the cause where it is the operation, else beside that",
            ),
        ),
    ),
    (
        6,
        "reference images most like the errors",
        (
            "ALTER TABLE failure_modes DROP COLUMN any_day_share",
            "ALTER TABLE failure_modes ADD COLUMN alike_share DOUBLE",
            _comment(
                "COLUMN failure_modes.alike_share",
                "explained share of the reference images of the same classes that look most like the "
                "errors; NULL: not measured",
            ),
        ),
    ),
    (
        7,
        "errors beside reference images under the cause",
        (
            "ALTER TABLE failure_modes ADD COLUMN nearer_share DOUBLE",
            _comment(
                "COLUMN failure_modes.nearer_share",
                "of the errors: nearer to a reference image of their class under the best account than to "
                "any as it is; NULL: not measured",
            ),
            """CREATE TABLE comparisons (
                night_id VARCHAR NOT NULL,
                mode_id VARCHAR NOT NULL,
                position INTEGER NOT NULL,
                error VARCHAR NOT NULL,
                reference VARCHAR NOT NULL,
                changed VARCHAR NOT NULL,
                distance DOUBLE NOT NULL
            )""",
            *(
                _comment(*each)
                for each in (
                    (
                        "TABLE comparisons",
                        "some errors beside the reference image most like each under the claimed cause",
                    ),
                    ("COLUMN comparisons.error", "picture, relative to the workspace"),
                    ("COLUMN comparisons.reference", "the same of the reference image as it is"),
                    ("COLUMN comparisons.changed", "the same under the cause"),
                    (
                        "COLUMN comparisons.distance",
                        "from error to changed, in times that to the nearest reference image as it is",
                    ),
                )
            ),
        ),
    ),
    (
        8,
        "doubts in numbers",
        (
            "ALTER TABLE failure_modes RENAME COLUMN alike_share TO unchanged_share",
            "ALTER TABLE failure_modes ADD COLUMN nearest_operation_share DOUBLE",
            "ALTER TABLE failure_modes ADD COLUMN meaning VARCHAR DEFAULT ''",
            "ALTER TABLE failure_modes ADD COLUMN doubts VARCHAR DEFAULT '[]'",
            _comment(
                "COLUMN failure_modes.unchanged_share",
                "explained share of the unchanged reference images of the same classes nearest to the "
                "errors; NULL: not measured",
            ),
            _comment(
                "COLUMN failure_modes.nearest_operation_share",
                "explained share of the best operation, where the cause was measured on the errors instead",
            ),
            _comment("COLUMN failure_modes.meaning", "what the operation means, in plain words"),
            _comment(
                "COLUMN failure_modes.doubts",
                "JSON: what speaks against a claim, each with its kind, what was found and what is needed",
            ),
        ),
    ),
    (
        9,
        "bit depth of a model's images",
        (
            "ALTER TABLE models ADD COLUMN bit_depth INTEGER",
            _comment(
                "COLUMN models.bit_depth",
                "that its 16-bit images use where these do not say it; NULL: never measured",
            ),
        ),
    ),
    (
        10,
        "what a log says of an error, and nights that could read none",
        (
            *_UNREADABLE_NIGHTS,
            *(f"ALTER TABLE errors ADD COLUMN {name} {kind}" for name, (kind, _) in _LOG_CONTEXT.items()),
            *(_comment(*item) for item in _COMMENTS_WHAT_A_LOG_SAYS.items()),
        ),
    ),
    (11, "who is affected", _AFFECTED + tuple(_comment(*item) for item in _COMMENTS_AFFECTED.items())),
    (
        12,
        "where errors differ",
        (
            *_WHERE_ERRORS_DIFFER,
            *(_comment(*item) for item in _COMMENTS_WHERE_ERRORS_DIFFER.items()),
        ),
    ),
    (
        13,
        "primitives that a person can read",
        (
            *(f"ALTER TABLE primitives ADD COLUMN {name} DOUBLE" for name in _READABLE),
            "ALTER TABLE primitives ADD COLUMN close VARCHAR DEFAULT ''",
            "ALTER TABLE blamed_filters ADD COLUMN pattern VARCHAR",
            "ALTER TABLE blamed_filters ADD COLUMN excited VARCHAR DEFAULT ''",
            "ALTER TABLE blamed_filters ADD COLUMN answers VARCHAR DEFAULT ''",
            *(_comment(f"COLUMN primitives.{name}", text) for name, text in _READABLE.items()),
            _comment(
                "COLUMN primitives.close",
                "picture of where the filter answers it most, at the scale of the real patches; empty: none",
            ),
            _comment(
                "COLUMN blamed_filters.pattern",
                "JSON: the pattern of its first trusted primitive in numbers, lengths in pixels of the "
                "model's input; NULL: none is trusted",
            ),
            _comment(
                "COLUMN blamed_filters.excited",
                "picture of the error that excites the filter most, relative to the workspace; empty: none",
            ),
            _comment("COLUMN blamed_filters.answers", "picture of where the filter answers it; likewise"),
        ),
    ),
    (
        14,
        "arms that compete, and models that are promoted",
        _PROMOTED + tuple(_comment(*item) for item in _COMMENTS_PROMOTED.items()),
    ),
    (
        15,
        "parts of a log that went right",
        (
            "ALTER TABLE nights ADD COLUMN right_read INTEGER DEFAULT 0",
            """CREATE TABLE right_parts (
                night_id VARCHAR NOT NULL,
                position INTEGER NOT NULL,
                row INTEGER NOT NULL,
                image_path VARCHAR NOT NULL,
                label VARCHAR NOT NULL
            )""",
            _comment("COLUMN nights.right_read", "parts of the log whose verdict was right, each image once"),
            _comment("TABLE right_parts", "some of these parts: they judge candidates of a retraining"),
            _comment("COLUMN right_parts.row", "data row of the log, from 1"),
            _comment("COLUMN right_parts.label", "the operator's, which is the model's"),
        ),
    ),
    (
        16,
        "verdicts in the field's words, and images that a reviewer relabels",
        _FIELD_VERDICTS + tuple(_comment(*item) for item in _COMMENTS_FIELD_VERDICTS.items()),
    ),
    (
        17,
        "names of textures, recipes in parts, heat maps of errors",
        _NAMED + tuple(_comment(*item) for item in _COMMENTS_NAMED.items()),
    ),
    (
        18,
        "models that decide and prepare images as the plant does",
        (
            "ALTER TABLE models ADD COLUMN decision VARCHAR DEFAULT ''",
            "ALTER TABLE models ADD COLUMN described VARCHAR[] DEFAULT []",
            "ALTER TABLE models ADD COLUMN prepared VARCHAR DEFAULT ''",
            _comment("COLUMN models.prepared", "how an image fills the input; empty: stretched to its size"),
            _comment(
                "COLUMN models.decision", "the plant's rule, such as defect > 0.2; empty: the largest logit"
            ),
            _comment(
                "COLUMN models.described",
                "the class names that the rule speaks of; empty: class_names, of which it makes no others",
            ),
        ),
    ),
    (
        19,
        "lines, logs set aside, nights removed",
        _LINES + tuple(_comment(*item) for item in _COMMENTS_LINES.items()),
    ),
    (20, "daily questions", _DAILY + tuple(_comment(*item) for item in _COMMENTS_DAILY.items())),
    (
        21,
        "a deployed model of each name",
        _DEPLOYED + tuple(_comment(*item) for item in _COMMENTS_DEPLOYED.items()),
    ),
    (
        22,
        "overkills in the gate",
        _OVERKILLS + tuple(_comment(*item) for item in _COMMENTS_OVERKILLS.items()),
    ),
)

LATEST = MIGRATIONS[-1][0]  # the schema's number

_VERSION_TABLE = """CREATE TABLE IF NOT EXISTS schema_version (
    number INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL
)"""


def migrate(connection: duckdb.DuckDBPyConnection, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Apply the migrations that the store lacks, each in one transaction; return the schema's number.

    Raises StoreError where the store is newer than the migrations known. After any other error close the
    connection: what the migration had done goes with it.
    """
    _refuse_newer(applied(connection), migrations)
    for migration in migrations:
        if migration[0] > applied(connection):
            _apply(connection, migration)
    return applied(connection)


def applied(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the number of the last migration applied; 0 for a database without findings."""
    try:
        row = connection.execute("SELECT coalesce(max(number), 0) FROM schema_version").fetchone()
    except duckdb.CatalogException:  # no such table
        return 0
    return int(row[0]) if row else 0


def check_schema(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise StoreError where the store's schema is not the one that this version works with."""
    found, known = applied(connection), LATEST
    _refuse_newer(found, MIGRATIONS)
    if found < known:
        raise StoreError(
            f"the store has schema {found}, and this version of fmi works with {known}. "
            "Run `fmi init` on the workspace: it brings the store up to date and keeps what is in it."
        )


def _refuse_newer(found: int, migrations: Sequence[Migration]) -> None:
    known = migrations[-1][0]
    if found > known:
        raise StoreError(
            f"the store has schema {found}, made by a newer fmi; this version knows schemas up to {known}. "
            "Update fmi, or name another workspace."
        )


def _apply(connection: duckdb.DuckDBPyConnection, migration: Migration) -> None:
    number, name, statements = migration
    connection.begin()
    connection.execute(_VERSION_TABLE)
    for statement in statements:
        connection.execute(statement)
    connection.execute("INSERT INTO schema_version VALUES (?, ?, now())", [number, name])
    connection.commit()


_DESCRIBED = """
SELECT name, kind, meaning FROM (
    SELECT table_name AS name, 'table' AS kind, comment AS meaning, table_name, -1 AS place, false AS view
    FROM duckdb_tables() WHERE NOT internal
    UNION ALL
    SELECT view_name, 'view', comment, view_name, -1, true FROM duckdb_views() WHERE NOT internal
    UNION ALL
    SELECT
        c.table_name || '.' || c.column_name, c.data_type, c.comment, c.table_name, c.column_index,
        c.table_name IN (SELECT view_name FROM duckdb_views() WHERE NOT internal)
    FROM duckdb_columns() AS c WHERE NOT c.internal
)
ORDER BY view, table_name, place
"""


@cache
def schema_table() -> str:
    """Every table, view and column with its type and meaning, as the table that stands in the guide."""
    with duckdb.connect() as connection:
        migrate(connection)
        found = connection.execute(_DESCRIBED).fetchall()
    rows = [f"| `{name}` | {kind} | {_cell(meaning)} |" for name, kind, meaning in found]
    return "\n".join(("| name | type | meaning |", "| --- | --- | --- |", *rows))


def _cell(meaning: str | None) -> str:
    return (meaning or "").replace("|", "\\|")
