"""Defect logs written in a test, and what is read of them in short."""

from pathlib import Path

from inspection.inputs.defect_log import DefectLog, LogReading, read_defect_log

CLASSES = ["good", "scratch", "stain"]


HEADER = "image_path,predicted_label,true_label"


def logged(folder: Path, text: str | bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(path: Path, **more: object) -> DefectLog:
    columns, progress = more.pop("column_map", {}), more.pop("progress", None)
    return read_defect_log(path, columns, CLASSES, LogReading(**more), progress)  # type: ignore[arg-type]


def kept(log: DefectLog) -> list[tuple[int, str]]:
    return [(row.row, row.image_path.name) for row in log.rows]


def reasons(log: DefectLog) -> list[tuple[int, str]]:
    return [(aside.row, aside.reason) for aside in log.set_aside]
