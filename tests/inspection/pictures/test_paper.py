"""`fmi bench paper`: the arithmetic by hand, and one run of it on the command line, small but whole."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fmi_engine.types import Failure, FilterRef, FloatArray, Inversion, Trust, TrustPart
from inspection.errors import InspectionError
from inspection.inputs.images import read_image
from inspection.pictures import paper_networks, paper_results, paper_stage
from tests.conftest import Answer
from tests.inspection.conftest import Plant


def made(channel: int, source: int, level: float) -> Inversion:
    return Inversion(FilterRef("l", channel), source, 0, np.full((1, 2, 2), level, np.float32), 0.5)


def level_of(image: FloatArray) -> FloatArray:
    return np.asarray(image.mean(axis=(1, 2)), np.float32)


def test_pairs_of_one_source_do_not_count() -> None:
    """Filter 0 at levels 0.0 and 0.1, filter 1 at 0.3 and 0.9, each from two sources."""
    inversions = [made(0, 0, 0.0), made(0, 1, 0.1), made(1, 0, 0.3), made(1, 1, 0.9)]
    # Same filter: 0.1 and 0.6 apart. Different filters, different sources: 0.9 and 0.2.
    # In order: 0.1 before both, 0.6 before 0.9 alone: three pairs of four.
    assert paper_stage.pair_auroc(inversions, level_of) == pytest.approx(3 / 4)


def trust(*failed: TrustPart) -> Trust:
    return Trust(1, 3, 2.0, 0.5, 0.9, tuple(Failure(part, 0.0, 1.0) for part in failed))


def test_a_filter_passes_where_most_of_its_primitives_do() -> None:
    inversions = [made(k, source, 0.0) for k in range(3) for source in range(3)]
    fine, bad = trust(), trust(TrustPart.RANK)
    trusts = [fine, fine, bad, fine, bad, bad, fine, fine, fine]
    assert paper_stage._share(inversions, trusts, lambda each: each.trusted) == pytest.approx(2 / 3)
    parts = paper_stage._parts(inversions, trusts)
    assert parts["rank"] == pytest.approx(2 / 3)
    assert (parts["agreement"], parts["ablation"], parts["layout"]) == (1, 1, 1)


def test_the_pictures_alone_are_all_but_the_ablation_check() -> None:
    inversions = [made(k, source, 0.0) for k in range(2) for source in range(2)]
    loose = trust(TrustPart.ABLATION)
    both = trust(TrustPart.ABLATION, TrustPart.AGREEMENT)
    parts = paper_stage._parts(inversions, [loose, loose, both, both])
    assert (parts["ablation"], parts["pictures"], parts["agreement"]) == (0, 0.5, 0.5)


def readability(**changed: float) -> dict[str, float]:
    """What is told of a preset that holds all that is asked of it."""
    fine = {"share": 0.8, "first_rank": 1.0, "nearest_copy": 0.6, "copy_bound": 0.9}
    return {**fine, **changed}


def row(layer: str, auroc: float, trusted: float, control: float, **changed: float) -> dict[str, object]:
    """A stage; what rival presets do decides nothing."""
    presets = {"default": readability(**changed), "paper": readability(share=0.0, first_rank=0.0)}
    values = {"auroc": auroc, "trusted_share": trusted, "untrained_parts": {"pictures": control}}
    return {"network": "vgg", "layer": layer, "presets": presets, **values}


def test_what_does_not_hold_is_said_with_its_stages() -> None:
    said = list(paper_results.verdicts([row("first", 0.99, 0.5, 0.8), row("last", 0.96, 0.95, 0.0)]))
    assert len(said) == 6
    assert [each.endswith("holds at every stage") for each in said] == [True] * 4 + [False] * 2
    assert said[4].endswith("nine in ten live filters pass the trust test: does not hold at first")
    assert said[5].endswith("does not hold at first")


@pytest.mark.parametrize(
    ("changed", "which", "claim"),
    [
        (
            {"share": 0.59},
            0,
            "its primitives tell its filters' real crops, 0.6 of the way to other real crops",
        ),
        ({"first_rank": 0.89}, 1, "nine in ten of its primitives rank first"),
        ({"nearest_copy": 0.91}, 2, "its primitives are no copies"),
    ],
)
def test_what_cannot_be_read_ranks_second_or_is_a_copy_is_said(
    changed: dict[str, float], which: int, claim: str
) -> None:
    at_the_bound = row("first", 0.99, 0.95, 0.0, share=0.6, first_rank=0.9, nearest_copy=0.9)
    said = list(paper_results.verdicts([at_the_bound, row("last", 0.99, 0.95, 0.0, **changed)]))
    assert said[which] == f"vgg: {claim}: does not hold at last"
    assert sum(each.endswith("holds at every stage") for each in said) == 5


def test_json_holds_no_nan_and_a_folder_in_its_place_is_told(tmp_path: Path) -> None:
    paper_results.write_json(tmp_path / "a" / "b.json", {"x": (float("nan"), np.float32(0.5), np.int64(3))})
    assert json.loads((tmp_path / "a" / "b.json").read_text()) == {"x": [None, 0.5, 3]}
    plan = paper_networks.Plan(tmp_path, tmp_path / "work")
    with pytest.raises(InspectionError, match="is a folder; expected the name of a JSON file"):
        paper_results.check_writable(plan, tmp_path / "a")
    (tmp_path / "file").write_text("")
    with pytest.raises(InspectionError, match="cannot be written to"):
        paper_results.check_writable(plan, tmp_path / "file" / "x.json")


@pytest.mark.slow
def test_the_claims_are_measured_on_ones_own_images_and_a_second_run_trains_nothing(
    plant: Plant, tmp_path: Path, fmi: Callable[..., Answer]
) -> None:
    target = tmp_path / "paper.json"
    command: tuple[object, ...] = ("bench", "paper", "--images", plant.images / "commissioned")
    command += ("--json", target, "--quick")
    command += ("--network", "vgg", "--size", 32, "--epochs", 8, "--filters", 2)
    answer = fmi(*command)
    assert answer.returncode == 0, answer.stderr
    results = json.loads(target.read_text(encoding="utf-8"))
    rows = results["layers"]
    assert [(row["channels"], row["positions"][0]) for row in rows] == [
        *((16, 32), (32, 16), (64, 8), (128, 4), (256, 2))
    ]
    for row in rows:
        for share in ("auroc", "trusted_share", "untrained_trusted_share", "dead_trusted_share"):
            assert 0 <= row[share] <= 1
        assert row["dead_trusted_share"] == 0
        assert row["trusted_share"] <= min(row["parts"].values())
        assert len(row["textures"]) == row["filters"]
        assert set(row["changed_sources"]) == set(paper_stage.SOURCE_CHANGES)
        assert [*row["presets"]] == ["default", "phase"]
        assert [each["filters"] for each in row["presets"].values()] == [row["filters"], 2]
        for each in row["presets"].values():
            for figure in ("readable", "readable_ceiling", "by_network", "by_network_ceiling", "transfer"):
                assert 0 <= each[figure] <= 1
            assert 0 <= each["first_rank"] <= 1
            assert -1 <= each["nearest_copy"] <= 1
            assert -1 <= each["copy_bound"] <= 1
    assert {row["descriptor"] for row in results["hierarchy"]["vgg"]} >= {"wavelength", "complexity"}
    assert "AUROC" in answer.stdout
    assert "Readability, by preset" in answer.stdout
    for name in ("trust.png", "hierarchy.png", "sources.png"):
        assert read_image(tmp_path / "paper" / name, None, 3).std() > 10
    networks = sorted((tmp_path / "paper").glob("vgg-*.pt"))
    assert [each.name[:6] for each in networks] == ["vgg-0-", "vgg-1-"]  # and the one that looks on
    before = [each.stat().st_mtime_ns for each in networks]
    assert fmi(*command).returncode == 0
    assert [each.stat().st_mtime_ns for each in networks] == before
    again = json.loads(target.read_text(encoding="utf-8"))
    assert [row["auroc"] for row in again["layers"]] == [row["auroc"] for row in rows]


def test_an_unknown_network_or_preset_is_told(
    plant: Plant, tmp_path: Path, fmi: Callable[..., Answer]
) -> None:
    command = ("bench", "paper", "--images", plant.images / "commissioned", "--json", tmp_path / "p.json")
    wrong = fmi(*command, "--network", "alexnet")
    assert (wrong.returncode, "no network alexnet; these exist: vgg, resnet" in wrong.stderr) == (2, True)
    wrong = fmi(*command, "--preset", "lucid")
    assert (wrong.returncode, "no preset 'lucid'" in wrong.stderr) == (2, True)
