"""The benchmark's arithmetic on hand-made timings, its JSON and its errors; no peer is needed."""

import json
from collections import OrderedDict
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from fmi_engine.classifier import Classifier
from fmi_engine.presets import PRESETS
from fmi_engine.types import FilterRef
from tests.benchmarks import inversion
from tests.benchmarks.inversion import BenchmarkError, Judged, Taken
from tests.fmi_engine.tiny import hooks, noise, plain

ABOUT = {"versions": {}, "settings": {}, "gpu_reason": "no GPU in this run"}
GOOD, BAD = Judged(True, 1, 4.0), Judged(False, 7, 1.0)


def figures(seconds: float, *judged: Judged) -> inversion.Json:
    """The figures of a peer all of whose filters are common."""
    costs = inversion.cost_figures([seconds], judged)
    return {**costs, "common": costs}


def test_a_step_is_the_difference_of_two_descents() -> None:
    raw = {"short": [3.0, 2.0, 9.0], "long": [7.0, 6.4, 8.0], "floor": [1.0, 0.8, 4.0], "steps": 4}
    found = inversion.step_figures(raw)
    assert found["step_seconds"]["minimum"] == pytest.approx((6.4 - 2.0) / 4)
    assert found["step_seconds"]["median"] == pytest.approx((7.0 - 3.0) / 4)  # of 1.0, 1.1 and -0.25
    assert found["setup_seconds"] == pytest.approx(2.0 - 1.1)  # the short descent less its one step
    assert found["vs_floor"] == pytest.approx(1.1 / 0.8)
    assert found["vs_floor_by_medians"] == pytest.approx(1.0 / 1.0)


def test_a_trusted_primitive_costs_the_seconds_of_all() -> None:
    found = inversion.cost_figures([2.0, 4.0, 3.0], [GOOD, BAD, BAD])
    assert found == {
        "pictures": 3,
        "seconds_per_primitive": 3.0,
        "share_trusted": pytest.approx(1 / 3),
        "seconds_per_trusted": pytest.approx(9.0),
        "share_rank_1": pytest.approx(1 / 3),
        "median_energy": 1.0,
    }


def test_a_cost_is_theirs_over_ours_and_an_infinite_one_is_none_with_its_reason() -> None:
    ours, theirs, nobody = figures(2.0, GOOD), figures(6.0, GOOD, BAD), figures(1.0, BAD)
    assert inversion.cost_ratio(theirs, ours, "lucent") == (6.0, None)
    for pair, who in (((nobody, ours), "lucent"), ((theirs, nobody), "ours")):
        reason = f"{who}: none of 1 primitives is trusted, the cost is infinite"
        assert inversion.cost_ratio(*pair, "lucent") == (None, reason)
    assert inversion.cost_ratio(None, ours, "lucent") == (None, "not measured yet")


def test_a_peer_without_a_trusted_primitive_has_a_least_cost() -> None:
    ours, nobody = figures(2.0, GOOD), figures(6.0, BAD, BAD)
    share = 1 - 0.05**0.5  # no success in two tries happens with 5 % at this share
    assert (1 - share) ** 2 == pytest.approx(0.05)
    assert inversion.cost_bound(nobody, ours) == pytest.approx(6.0 / share / 2.0)
    for pair in ((ours, ours), (nobody, nobody), (None, ours)):
        assert inversion.cost_bound(*pair) is None


def test_the_gpu_share_is_the_time_of_bare_passes_over_ours() -> None:
    found = inversion.gpu_figures(batch=100, seconds=8.0, steps=50, floor=0.08)
    assert found["primitives_per_second"] == 12.5
    assert found["bound_primitives_per_second"] == pytest.approx(25.0)
    assert found["share_of_bound"] == pytest.approx(0.5)


def test_the_answer_has_every_key_and_takes_the_median_layer(tmp_path: Path) -> None:
    peers = {"default": figures(1.0, GOOD), "paper": figures(5.0, GOOD), "lucent": figures(9.0, BAD)}
    raw = {"short": [1.0], "long": [2.0], "floor": [1.0], "steps": 1}
    steps = {
        layer: inversion.step_figures({**raw, "floor": [floor]})
        for layer, floor in (("layer1", 1.0), ("layer2", 0.5), ("layer3", 0.8))
    }
    inversion.write_json(tmp_path / "new" / "a.json", inversion.assemble(peers, steps, None, None, ABOUT))
    answer = json.loads((tmp_path / "new" / "a.json").read_text(encoding="utf-8"))
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["a.json"]
    assert set(answer) >= {"peers", "steps", "memory", "gpu", "versions", "settings", "cost_vs_lucent"}
    assert (answer["cost_vs_paper"], answer["step_vs_floor"], answer["step_vs_floor_worst"]) == (5, 1.25, 2)
    nothing = {name for name, value in answer.items() if value is None}
    assert nothing == set(answer["reasons"]) - {"cost_vs_lucent"}
    assert answer["bounds"] == {"cost_vs_lucent": pytest.approx(9 / 0.95)}
    assert answer["cost_vs_lucent"] == answer["bounds"]["cost_vs_lucent"]  # the least that it is
    assert answer["reasons"]["cost_vs_lucent"].startswith("lucent: none of 1 primitives is trusted")


def test_the_answer_of_a_run_that_has_just_begun() -> None:
    answer = inversion.assemble({}, {}, None, None, ABOUT)
    assert answer["step_vs_floor"] is None
    assert answer["reasons"]["step_vs_floor"] == "not measured yet"
    assert [table.row_count for table in inversion.tables(answer)] == [0, 0, 6]


def test_what_is_measured_is_kept_under_its_question(tmp_path: Path) -> None:
    kept, asked = inversion.Kept(tmp_path / "kept"), []

    def measure(value: float) -> inversion.Json:
        asked.append(value)
        return {"value": value}

    answers = [
        kept.record({"of": "steps", "layer": layer}, lambda value=value: measure(value))  # type: ignore[misc]
        for layer, value in (("layer1", 1.0), ("layer1", 2.0), ("layer2", 3.0))
    ]
    assert answers == [{"value": 1.0}, {"value": 1.0}, {"value": 3.0}]
    assert asked == [1.0, 3.0]
    for value in (1.0, 2.0):
        held = kept.pictures({"of": "ours"}, lambda value=value: {"spent": np.array([value])})  # type: ignore[misc]
        assert held["spent"].tolist() == [1.0]


def test_a_descent_takes_the_steps_of_its_preset() -> None:
    network = nn.Sequential(OrderedDict(layer=nn.Conv2d(3, 2, 1), relu=nn.ReLU(), flat=nn.Flatten()))
    classifier = Classifier(network, [f"{i}" for i in range(2 * 8 * 8)], plain(8, 3))
    for steps in (1, 4):
        preset = inversion.brief(PRESETS["default"], steps)
        seconds, taken = inversion.descend(classifier, "relu", [0, 1], noise(2, 8, 3), preset)
        assert taken == steps
        assert seconds > 0
    assert hooks(network) == 0


def test_a_brief_preset_takes_its_steps_and_never_stops_early() -> None:
    for preset in PRESETS.values():
        short = inversion.brief(preset, 2)
        assert (short.steps, short.fine_steps) == (2, 0)
        assert short.tolerance < 1e-29
        assert short.parametrization == preset.parametrization


def test_filters_are_drawn_among_those_that_answer() -> None:
    energy = np.array([0.0, 1.0, 2.0, 0.0, 3.0], np.float32)
    assert sorted(inversion.draw_filters(energy, 3)) == [1, 2, 4]
    assert inversion.draw_filters(energy, 2) == inversion.draw_filters(energy, 3)[:2]
    with pytest.raises(BenchmarkError, match="4 filters asked for, and 3"):
        inversion.draw_filters(energy, 4)


def test_a_picture_is_enlarged_as_lucent_does_it() -> None:
    corners = np.array([[[0.0, 1.0], [2.0, 3.0]]], np.float32)
    large = inversion.enlarged(Taken(FilterRef("layer1", 0), 0, corners, 1.0, 1.0)).image
    assert large.shape == (1, 224, 224)
    assert large[0, 0, 111:113].mean() == pytest.approx(0.5)
    assert (large[0, ::223, ::223] == corners[0]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--filters", "1"], "--filters is 1; at least 2 is needed"),
        (["--batch", "0"], "--batch is 0; at least 1 is needed"),
    ],
)
def test_too_little_is_said_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inversion.main(["--json", str(tmp_path / "a.json"), *arguments]) == 2
    assert capsys.readouterr().err == f"Error: {message}\n"


def test_without_the_peers_the_two_commands_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    assert inversion.main(["--json", str(tmp_path / "a.json")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "python3 -m venv .venv-bench && .venv-bench/bin/pip install -e '.[bench]'" in said


def test_an_answer_that_cannot_be_written_is_said_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for path in (tmp_path, tmp_path / "file" / "a.json"):
        assert inversion.main(["--json", str(path)]) == 2
        assert capsys.readouterr().err.startswith(f"Error: {path} ")
