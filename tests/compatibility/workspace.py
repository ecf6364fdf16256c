"""The old workspace at a new place: unpacked, its paths and the ids of its nights as they would be there.

A night is known by the place of its log (and by the log, the model and the settings), so a workspace that was
moved has other nights. A user who updates moves nothing; a test has to.
"""

import json
import tarfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from inspection.nights.night import fingerprint

ARCHIVE = Path(__file__).with_name("version_0_1") / "workspace.tar.xz"
MADE_AT = "/tmp/line1"  # where version 0.1.0 made it
FINISHED, INTERRUPTED = "20261128-e3114408", "20261128-17e173a9"  # the ids that it gave


@dataclass(frozen=True)
class OldNight:
    """A night as the old store holds it, in plain columns."""

    night_id: str
    log: Path
    log_sha256: str
    model_hash: str
    registered_at: datetime
    settings: dict[str, object]

    def mark(self, log: Path, settings: dict[str, object]) -> str:
        """What the night is known by where its log lies elsewhere, or the settings are others."""
        registration = f"{self.model_hash} {self.registered_at.isoformat()}"
        return fingerprint(log, self.log_sha256, registration, settings, None)


def unpack(folder: Path) -> Path:
    """The workspace as it was archived; returns its root."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "line1"


def old_nights(root: Path) -> list[OldNight]:
    """The nights of a store, the earliest first."""
    with duckdb.connect(root / "fmi.duckdb", read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute(
            "SELECT night_id, log_path, log_sha256, model_hash, registered_at, settings "
            "FROM nights JOIN models USING (model_hash) ORDER BY started_at"
        ).fetchall()
    return [
        OldNight(night_id, Path(log), sha256, model_hash, registered_at, json.loads(settings))
        for night_id, log, sha256, model_hash, registered_at, settings in rows
    ]


def relocate(root: Path) -> dict[str, str]:
    """Give the workspace at `root` the paths and the ids that it would have there; returns old id: new id."""
    ids, changes = {}, {MADE_AT: str(root)}
    for night in old_nights(root):
        mark = night.mark(root / night.log.relative_to(MADE_AT), night.settings)
        ids[night.night_id] = f"{night.night_id.partition('-')[0]}-{mark}"
    changes |= ids
    _change_store(root / "fmi.duckdb", changes)
    for old, new in ids.items():
        for path in sorted(root.rglob(f"*{old}*"), reverse=True):  # what lies in a folder before the folder
            path.rename(path.with_name(path.name.replace(old, new)))
    for report in (root / "reports").glob("*.html"):
        report.write_text(_changed(report.read_text(encoding="utf-8"), changes), encoding="utf-8")
    return ids


def _changed(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def _change_store(path: Path, changes: dict[str, str]) -> None:
    """Replace texts in every column of every table that holds any, in lists and structs, too."""
    with duckdb.connect(path) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() JOIN duckdb_tables() "
            "USING (database_name, schema_name, table_name) WHERE data_type LIKE '%VARCHAR%'"
        ).fetchall()
        for table, column, kind in columns:
            text = f'"{column}"' if kind == "VARCHAR" else f'to_json("{column}")::VARCHAR'
            for _ in changes:
                text = f"replace({text}, ?, ?)"
            value = text if kind == "VARCHAR" else f"{text}::JSON::{kind}"
            pairs = [each for pair in changes.items() for each in pair]
            connection.execute(f'UPDATE "{table}" SET "{column}" = {value}', pairs)
