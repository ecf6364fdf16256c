"""A night's errors as tables: CSV for people, and what FiftyOne, Renumics Spotlight and CleanVision read.

Each of these tools gets a folder with the table, a script `open.py` that opens it there, and the images where
they are copied. Without copies the table names images by absolute paths, as CleanVision's results do, so that
both join by path.
"""

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from inspection.errors import InspectionError
from inspection.findings import ORIGINS, FailureMode, Judgement, LoggedError, Night, Relabel
from inspection.inputs.formulas import as_text
from inspection.nights.review import how_sure
from inspection.workspace.files import replacing, write_whole
from inspection.workspace.folder import Workspace

if TYPE_CHECKING:  # it loads DuckDB, with which a report has nothing to do
    from inspection.workspace.reader import Reader

Record = dict[str, str | int | float | None]
"""One error by the columns of a table; None: not known."""

FOUND = (
    *("row", "inspection_id", "failure_mode", "cause", "true_label", "predicted_label", "kind", "margin"),
    *("image_path", "captured_at", *ORIGINS, "serial"),
)  # what the night says; all that a report's table holds
REVIEWED = ("how_sure", "trend", "verdict", "relabelled", "suggested_label", "score", "picture")
REMOVED = "removed"  # in place of a label: a reviewer takes the image for nothing to train on
COPIED = ("image_path", "picture")  # columns that name files


class Tool(StrEnum):
    """Who reads a table."""

    FIFTYONE = "fiftyone"
    SPOTLIGHT = "spotlight"
    CLEANVISION = "cleanvision"


# --- the rows ---


def errors_csv(night: Night) -> str:
    """Every error of a night as CSV: where it stands, what was said of it, and its failure mode."""
    return _csv(FOUND, (_found(mode, error) for mode, error in _with_modes(night)))


@dataclass(frozen=True, slots=True)
class Errors:
    """The errors of a night, or of one of its failure modes, with what reviewers said of them."""

    name: str  # of the night or of the failure mode
    records: list[Record]

    @classmethod
    def of(cls, findings: "Reader", workspace: Workspace, wanted: str) -> "Errors":
        """Of a night or a failure mode. Raises UnknownIdError where there is neither."""
        alone = None if wanted in findings.states() else findings.mode(wanted)
        night = findings.night(alone.night_id if alone else wanted)
        said = _Said(
            workspace.root,
            findings.judgements(night.night_id),
            findings.relabels([mode.mode_id for mode in night.modes]),
        )
        records = [
            said.of(mode, error)
            for mode, error in _with_modes(night)
            if alone is None or (mode and mode.mode_id == alone.mode_id)
        ]
        return cls(wanted, records)


@dataclass(frozen=True, slots=True)
class _Said:
    """What reviewers said of a night, and where its pictures lie."""

    root: Path  # of the workspace
    judgements: Mapping[str, Judgement]  # by failure mode
    relabels: Mapping[tuple[str, int], Relabel]  # by failure mode and row

    def of(self, mode: FailureMode | None, error: LoggedError) -> Record:
        suggested = {each.image_path: each.suggested_label for each in mode.suspects} if mode else {}
        word = self.relabels.get((mode.mode_id, error.row)) if mode else None
        judgement = self.judgements.get(mode.mode_id) if mode else None
        return _found(mode, error) | {
            "how_sure": how_sure(mode).grade.value if mode else None,
            "trend": mode.trend.value if mode else None,
            "verdict": judgement.value if judgement else None,
            "relabelled": (word.label or REMOVED) if word else None,
            "suggested_label": suggested.get(error.image_path),
            "score": error.context.score,
            "picture": str(self.root / error.picture),
        }


def _found(mode: FailureMode | None, error: LoggedError) -> Record:
    said = error.context
    return {
        "row": error.row,
        "inspection_id": error.inspection_id,
        "failure_mode": mode.mode_id if mode else None,
        "cause": (mode.diagnosis.operation or mode.diagnosis.cause.value) if mode else None,
        "true_label": error.true_label,
        "predicted_label": error.predicted_label,
        "kind": error.kind.value,
        "margin": float(f"{error.margin:.4g}"),
        "image_path": error.image_path,
        "captured_at": said.captured_at.isoformat() if said.captured_at else None,
        **{name: getattr(said, name) for name in (*ORIGINS, "serial")},
    }


def _with_modes(night: Night) -> Iterator[tuple[FailureMode | None, LoggedError]]:
    for mode in night.modes:
        yield from ((mode, error) for error in mode.errors)
    yield from ((None, error) for error in night.unclustered)


# --- as a tool reads them ---


@dataclass(frozen=True, slots=True)
class Written:
    """What a table's folder holds."""

    errors: int
    missing: int  # images that are no longer where the log says
    files: tuple[Path, ...]  # open.py first


def write_table(errors: Errors, tool: Tool, folder: Path, copies: bool = False) -> Written:
    """Write a table into a folder, which is made where it is missing; what else is in it stays.

    With `copies` the images go along, and the table names them relative to the folder, which can then be
    moved to another machine. Each file is written whole or not at all, and the table last: after a crash the
    folder holds the earlier table or none. Raises InspectionError where the folder cannot be written to.
    """
    missing = sum(not Path(str(record["image_path"])).is_file() for record in errors.records)
    try:
        records = [_copied(record, folder) for record in errors.records] if copies else errors.records
        files = files_of(Errors(errors.name, records), tool)
        for name, content in files.items():
            write_whole(folder / name, content)
    except OSError as error:
        raise InspectionError(
            f"the table cannot be written to {folder}: {error.strerror}. Make room, or name with --out a "
            "folder that you may write to"
        ) from None
    return Written(len(records), missing, tuple(folder / name for name in files))


def zipped(errors: Errors, tool: Tool) -> bytes:
    """The same files as one archive; images stay where they are."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files_of(errors, tool).items():
            archive.writestr(f"{errors.name}-{tool.value}/{name}", content)
    return packed.getvalue()


def files_of(errors: Errors, tool: Tool) -> dict[str, bytes]:
    """The files of a tool's folder by their names, the table last."""
    table = {
        Tool.FIFTYONE: ("samples.json", _samples),
        Tool.SPOTLIGHT: ("errors.parquet", _parquet),
        Tool.CLEANVISION: ("errors.csv", _csv_file),
    }
    name, content = table[tool]
    return {"open.py": SCRIPTS[tool].encode(), name: content(errors.records)}


def _copied(record: Record, folder: Path) -> Record:
    """A record whose files lie in the folder, named relative to it; what is missing is named as before."""
    return record | {column: _copy(record, column, folder) for column in COPIED}


def _copy(record: Record, column: str, folder: Path) -> str:
    source = Path(str(record[column]))
    if not source.is_file():
        return str(source)
    kept = "data" if column == "image_path" else "pictures"
    target = folder / kept / f"{record['row']:06d}-{source.name}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target, durable=False) as temporary:
        shutil.copyfile(source, temporary)
    return target.relative_to(folder).as_posix()


def _csv_file(records: Iterable[Record]) -> bytes:
    return _csv((*FOUND, *REVIEWED), records).encode()


def _csv(columns: tuple[str, ...], records: Iterable[Record]) -> str:
    """CSV in which no spreadsheet runs a text."""
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(columns)
    for record in records:
        cells = (record[column] for column in columns)
        rows.writerow(["" if cell is None else as_text(str(cell)) for cell in cells])
    return written.getvalue()


def _parquet(records: list[Record]) -> bytes:
    import pyarrow as pa  # a third of a second, which no page should wait for
    from pyarrow import parquet

    kinds = {"row": pa.int64(), "margin": pa.float64(), "score": pa.float64()}
    schema = pa.schema([(column, kinds.get(column, pa.string())) for column in (*FOUND, *REVIEWED)])
    written = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(records, schema=schema), written)
    return written.getvalue()


def _samples(records: Iterable[Record]) -> bytes:
    """FiftyOne's own format of samples: labels are classifications, all else are fields of the sample."""
    samples = [_sample(record) for record in records]
    return json.dumps({"samples": samples}, ensure_ascii=False, indent=1, allow_nan=False).encode()


def _sample(record: Record) -> dict[str, object]:
    labels = {
        "ground_truth": _classification(record["true_label"]),
        "prediction": _classification(record["predicted_label"])
        | {"confidence": record["score"], "margin": record["margin"]},
        "relabelled": _classification(record["relabelled"]) if record["relabelled"] else None,
    }
    own = {"image_path", "true_label", "predicted_label", "score", "margin", "relabelled"}
    return {
        "filepath": record["image_path"],
        "tags": [record["kind"]],
        "metadata": None,
        "_media_type": "image",
        **labels,
        **{name: value for name, value in record.items() if name not in own},
    }


def _classification(label: object) -> dict[str, object]:
    return {"_cls": "Classification", "label": label}


SCRIPTS = {
    Tool.FIFTYONE: '''\
"""Opens the errors in FiftyOne: python open.py. Needs: pip install fiftyone"""

from pathlib import Path

import fiftyone

if __name__ == "__main__":
    errors = fiftyone.Dataset.from_dir(
        dataset_dir=str(Path(__file__).resolve().parent), dataset_type=fiftyone.types.FiftyOneDataset
    )
    fiftyone.launch_app(errors).wait()
''',
    Tool.SPOTLIGHT: '''\
"""Opens the errors in Renumics Spotlight: python open.py. Needs: pip install renumics-spotlight"""

from pathlib import Path

import pandas
from renumics import spotlight

here = Path(__file__).resolve().parent
errors = pandas.read_parquet(here / "errors.parquet")
for column in ("image_path", "picture"):
    errors[column] = [str(here / path) for path in errors[column]]  # absolute ones stay as they are
if __name__ == "__main__":
    spotlight.show(errors, dtype={"image_path": spotlight.Image, "picture": spotlight.Image})
''',
    Tool.CLEANVISION: '''\
"""Looks for issues of the images with CleanVision: python open.py. Needs: pip install cleanvision

Writes issues.csv: the errors with CleanVision's scores beside them, joined by path.
"""

from pathlib import Path

import pandas
from cleanvision import Imagelab

here = Path(__file__).resolve().parent
errors = pandas.read_csv(here / "errors.csv", keep_default_na=False)  # a class may be called NA
errors["image_path"] = [str(here / path) for path in errors["image_path"]]  # absolute ones stay as they are
there = errors[[Path(path).is_file() for path in errors["image_path"]]]
if __name__ == "__main__":
    lab = Imagelab(filepaths=list(there["image_path"].unique()))
    lab.find_issues()
    print(lab.issue_summary)
    errors.join(lab.issues, on="image_path").to_csv(here / "issues.csv", index=False)
''',
}
