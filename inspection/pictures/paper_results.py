"""The results of `fmi bench paper`: as JSON, and the paper's claims against the figures in sentences."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fmi_engine.descriptors import hierarchy
from inspection.errors import InspectionError
from inspection.pictures.paper_networks import Plan
from inspection.pictures.paper_stage import PICTURES, Stage
from inspection.workspace.files import replacing, write_whole

LEAST_SHARE = 0.6  # of the way from chance to real crops, at each stage


def results_of(plan: Plan, stages: Sequence[Stage], accuracy: dict[str, float]) -> dict[str, object]:
    """What goes into the JSON."""
    rows = [_row(stage) for stage in stages]
    return {
        "images": plan.images.name,
        "settings": {
            key: value for key, value in asdict(plan).items() if key not in ("images", "folder", "settings")
        },
        "accuracy": accuracy,  # on the validation images
        "layers": rows,
        "verdicts": list(verdicts(rows)),
        "hierarchy": {name: _hierarchy(stages, name) for name in plan.networks},
    }


def _row(stage: Stage) -> dict[str, Any]:
    row = {key: value for key, value in asdict(stage).items() if key != "readability"}
    presets = {each.preset: {**asdict(each), "share": each.share} for each in stage.readability}
    return {**row, "presets": presets}


def _hierarchy(stages: Sequence[Stage], network: str) -> list[dict[str, object]]:
    mine = [stage for stage in stages if stage.network == network]
    rows = hierarchy({stage.layer: stage.textures for stage in mine}, [stage.layer for stage in mine])
    return [asdict(row) for row in rows]


def check_writable(plan: Plan, json_path: Path) -> None:
    """Raise InspectionError before the work begins where its results could not be kept."""
    for folder in (plan.folder, json_path.parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / ".fmi-write-check") as partial:
                partial.touch()
            (folder / ".fmi-write-check").unlink()
        except OSError as error:
            raise InspectionError(f"{folder} cannot be written to: {error.strerror}") from None
    if json_path.is_dir():
        raise InspectionError(f"{json_path} is a folder; expected the name of a JSON file")


def write_json(path: Path, results: dict[str, object]) -> None:
    """Write the results as a whole or not at all. Raises InspectionError where that cannot be."""
    try:
        text = json.dumps(_plain(results), indent=1, allow_nan=False)
        write_whole(path, f"{text}\n".encode())
    except OSError as error:
        raise InspectionError(f"{path} cannot be written: {error.strerror}") from None


def _plain(value: object) -> object:
    """What JSON can hold: NumPy's numbers as Python's, and what is not a number as null."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def verdicts(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The paper's claims against the figures, in sentences; what does not hold is said as plainly."""
    for name in {row["network"]: None for row in rows}:
        mine = [row for row in rows if row["network"] == name]
        weak = [row["layer"] for row in mine if row["auroc"] < 0.95]
        few = [row["layer"] for row in mine if row["trusted_share"] < 0.9]
        loose = [row["layer"] for row in mine if row["untrained_parts"][PICTURES] >= 0.05]
        hidden = [row["layer"] for row in mine if ours(row)["share"] < LEAST_SHARE]
        second = [row["layer"] for row in mine if ours(row)["first_rank"] < 0.9]
        copied = [row["layer"] for row in mine if ours(row)["nearest_copy"] > ours(row)["copy_bound"]]
        yield _sentence(
            name, "its primitives tell its filters' real crops, 0.6 of the way to other real crops", hidden
        )
        yield _sentence(name, "nine in ten of its primitives rank first", second)
        yield _sentence(name, "its primitives are no copies", copied)
        yield _sentence(
            name, "every filter has a texture of its own over different images (AUROC 0.95)", weak
        )
        yield _sentence(name, "nine in ten live filters pass the trust test", few)
        yield _sentence(name, "pictures alone tell a trained network from an untrained one", loose)


def ours(row: dict[str, Any]) -> dict[str, Any]:
    """The readability of the preset that a row is measured with: the first of its presets."""
    first: dict[str, Any] = next(iter(row["presets"].values()))
    return first


def _sentence(network: str, claim: str, failing: Sequence[str]) -> str:
    if not failing:
        return f"{network}: {claim}: holds at every stage"
    return f"{network}: {claim}: does not hold at {', '.join(failing)}"
