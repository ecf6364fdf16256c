"""The faults benchmark: its scores on nights made by hand, its errors, and one whole run on a tiny line."""

import json
import math
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from inspection.inputs.labelled import Labelled
from inspection.inputs.sample_line import SampleLine, write_images
from inspection.models import first_model
from inspection.operations.catalogue import find_operation
from tests.benchmarks import kept, planted
from tests.benchmarks.faults import __main__ as benchmark
from tests.benchmarks.faults import nights, scores
from tests.benchmarks.faults.rehearsal import rehearse
from tests.benchmarks.faults.retraining import ARMS, MEASURES
from tests.benchmarks.faults.truth import TRUTH, named_rightly
from tests.benchmarks.world import Log, World, some_images

Json = dict[str, Any]


def mode(
    family: str | None = None,
    *,
    ranked: tuple[str, ...] = ("darker", "noise"),
    errors: int = 10,
    pair: tuple[str, ...] = (),
    of: dict[int, int] | None = None,
    cause: str = "unknown",
    alternatives: tuple[str, ...] = (),
) -> Json:
    """A failure mode; `family` is what it claims, `of` how many of its errors each planted fault made."""
    return {
        "errors": errors,
        "planted": of or {0: errors},
        "claimed": family is not None,
        "family": family,
        "families": list(ranked),
        "pair_families": list(pair),
        "alternatives": list(alternatives),
        "cause": cause,
        "shares": [0.9, 0.8, 0.7],
    }


# --- one cause, two, none ---


def test_single_nights_by_hand() -> None:
    """Claimed and right, ranked right without a claim, claimed wrong, second, an alternative; one empty."""
    found = [
        ("darker", "a", [mode("darker"), mode("dust")]),  # only the first mode counts
        ("darker", "a", [mode()]),
        ("darker", "b", [mode("dust", ranked=("dust", "noise"))]),
        ("darker", "b", [mode("dust", ranked=("noise", "darker", "dust"))]),  # a claim goes before the rank
        ("darker", "b", [mode("noise", ranked=("noise", "dust", "darker"), alternatives=("darker",))]),
        ("darker", "c", []),
    ]
    counted = scores.single([{"family": f, "fault": name, "modes": modes} for f, name, modes in found])
    means = {
        name: counted[name]
        for name in counted
        if f"{name}_interval" in counted and name not in ("operation", "strength")
    }
    assert (counted["nights"], counted["operations_known"]) == (5, 0)
    assert means == pytest.approx(
        {
            "top1": 1 / 5,
            "ranked_first": 2 / 5,
            "top2": 2 / 5,
            "alternatives": 3 / 5,
            "claimed": 4 / 5,
            "wrong_claim": 3 / 5,
            "one_mode": 4 / 5,
        }
    )
    assert counted["by_fault"] == {"a": 0.5, "b": 0.0}
    assert counted["explained_share"] == pytest.approx(0.9)


def test_operations_and_strengths_by_hand() -> None:
    """Half as strong a lamp is 0.576 stops; a disc of .023 * 64 pixels is 1.472; grain is no operation."""
    named = [
        ("dim_lamp", 0.5, ("dimmer lamp", 0.6), {}, (True, True)),
        ("dim_lamp", 0.5, ("dimmer lamp", 0.7), {}, (True, False)),
        ("dim_lamp", 0.5, ("gamma darker", 0.6), {"dimmer lamp": 0.5}, (True, True)),
        ("dim_lamp", 0.5, ("gamma darker", 0.6), {}, (False, False)),
        ("defocus_disc", 1.0, ("disc defocus", 1.2), {}, (True, True)),
        ("brushed_grain", 1.0, ("brushed grain", 0.1), {}, None),
    ]
    for fault, times, (operation, strength), equals, expected in named:
        found = mode("any") | {"operation": operation, "strength": strength, "equals": equals}
        night = {"fault": fault, "strength": times, "side": 64}
        assert named_rightly(found, night) == expected
        assert named_rightly(found | {"claimed": False}, night) == (expected and (False, False))


def test_every_operation_of_the_truth_is_in_the_catalogue() -> None:
    for fault, (operation, strength) in TRUTH.items():
        assert fault in planted.faults()
        grid = find_operation(operation).grid
        assert grid[0] / 2 < strength(1.0, 96) < 2 * grid[-1]


def test_double_nights_by_hand() -> None:
    """Two modes, a pair in one mode, and one of two; purity is of the errors that the modes hold."""
    families = ["darker", "dust"]
    found = [
        {
            "families": families,
            "modes": [mode("darker", errors=8, of={0: 6, 1: 2}), mode("dust", of={1: 10})],
        },
        {"families": families, "modes": [mode("darker", errors=4, of={0: 2, 1: 2}, pair=("darker", "dust"))]},
        {"families": families, "modes": [mode("darker", errors=5, of={0: 5}), mode(errors=5, of={1: 5})]},
    ]
    counted = scores.double(found)
    assert (counted["nights"], counted["both"]) == (3, pytest.approx(2 / 3))
    assert counted["purity"] == pytest.approx(np.mean([16 / 18, 2 / 4, 1]))


def test_nights_without_a_fault_by_hand() -> None:
    found: list[Json] = [
        {"kind": "clean", "modes": [mode(), mode()]},
        {"kind": "clean", "modes": []},
        {"kind": "clean", "modes": [mode(), mode("dust")]},
        {"kind": "labels", "modes": [mode(cause="labels")]},
        {"kind": "labels", "modes": [mode("noise", cause="appearance")]},
    ]
    counted = scores.clean(found)
    means = {name: counted[name] for name in ("false_cause", "clean", "labels", "labels_suspected")}
    assert means == pytest.approx(
        {"false_cause": 2 / 5, "clean": 1 / 3, "labels": 1 / 2, "labels_suspected": 1 / 2}
    )
    assert counted["nights"] == 5


def test_flip_rates_by_hand() -> None:
    rates = ({"blame": 0.9, "deviation": 0.5, "random": 0.1}, {"blame": 0.7, "deviation": 0.1, "random": 0.3})
    found = scores.flip([{"flip": {**each, "collateral": 0.02}} for each in rates] + [{"modes": []}])
    assert found == pytest.approx(
        {
            "nights": 2,
            "blame": 0.8,
            "deviation": 0.3,
            "random": 0.2,
            "collateral": 0.02,
            "times_better_control": 0.8 / 0.3,
        }
    )


def test_the_interval_of_a_share_is_wilsons() -> None:
    """8 of 10: 0.490 to 0.943 (Newcombe, Two-sided confidence intervals for the single proportion, 1998)."""
    found = scores.share("hits", [True] * 8 + [False] * 2)
    assert found["hits"] == 0.8
    assert found["hits_interval"] == pytest.approx([0.4902, 0.9433], abs=1e-4)
    assert scores.share("hits", [False] * 10)["hits_interval"][0] == 0.0
    assert math.isnan(scores.share("hits", [])["hits"])


def test_an_interval_of_means_is_that_of_a_normal_mean_and_leaves_nan_out() -> None:
    values = np.random.default_rng(0).normal(0.6, 0.1, 200).tolist()
    found = scores.interval("mean", [*values, math.nan])
    half = 1.96 * np.std(values) / math.sqrt(200)
    assert found["mean"] == pytest.approx(np.mean(values))
    expected = [np.mean(values) - half, np.mean(values) + half]
    assert found["mean_interval"] == pytest.approx(expected, abs=0.003)
    assert math.isnan(scores.interval("mean", [math.nan])["mean"])


# --- the retraining comparison ---


def run(count: int, /, **faulted: float) -> Json:
    """Every arm with 0.5 under the fault, but for those given; other measures follow it."""
    arms = {
        arm: {name: faulted.get(arm, 0.5) + 0.1 * i for i, name in enumerate(MEASURES)}
        for arm in ("before", *ARMS)
    }
    return {"logged": count, "arms": arms}


RUNS = [
    run(10, before=0.2, recipe_logged=0.7, logged=0.4, generic_logged=0.6, ceiling=0.8),
    run(10, before=0.4, recipe_logged=0.5, logged=0.6, generic_logged=0.5, ceiling=0.6),
    run(60, before=0.5, recipe_logged=0.9, ceiling=0.9),
]


def test_means_of_every_arm_by_hand() -> None:
    found = scores.retraining(RUNS)
    assert list(found) == ["10", "60"]
    assert list(found["10"]) == ["before", *ARMS]
    assert found["10"]["recipe_logged"]["faulted"] == pytest.approx(0.6)
    assert found["10"]["before"]["drifted"] == pytest.approx(0.4)
    assert found["60"]["recipe_logged"]["clean_interval"] == pytest.approx([1.2, 1.2])
    between = found["10"]["recipe_logged"]["faulted_interval"]
    assert between == pytest.approx([0.5, 0.7])  # of two runs: either alone


def test_gains_are_paired_and_the_recovered_share_is_of_all_runs_together() -> None:
    found = scores.gains(RUNS)
    rivals = [rival for rival in found["10"] if rival != "recovered"]
    gained = {rival: found["10"][rival]["faulted"] for rival in rivals}
    assert gained == pytest.approx({"before": 0.3, "logged": 0.1, "generic_logged": 0.05, "ceiling": -0.1})
    assert found["10"]["recovered"] == pytest.approx((0.5 + 0.1) / (0.6 + 0.2))
    assert found["60"]["recovered"] == pytest.approx(1)
    hopeless = scores.gains([run(5, before=0.6)])
    assert math.isnan(hopeless["5"]["recovered"])  # the true fault itself gains nothing


# --- nights and pairs ---


def of_classes(*counts: int) -> tuple[World, Log]:
    """A log with so many errors of each class, its images numbered."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    world = cast(World, SimpleNamespace(seed=0, classes=len(counts)))
    return world, Log(Labelled(images, labels), np.zeros(len(labels), np.int64))


@pytest.mark.parametrize(
    ("counts", "classes"),
    [
        ((2, 9, 5, 7, 0), [1, 3, 2]),
        ((4, 4, 4, 4), [0, 1, 2]),
        ((3, 8, 6), [1, 2]),  # one class is left that the log does not hold
        ((8, 9), [1]),
    ],
)
def test_a_lopsided_log_holds_the_classes_with_most_errors(
    counts: tuple[int, ...], classes: list[int]
) -> None:
    world, log = of_classes(*counts)
    some, held = nights.lopsided(world, log, 6, seed=1)
    assert held.tolist() == classes
    assert len(some) == 6
    assert set(some.labels.tolist()) <= set(classes)
    rows = some.images.ravel().tolist()
    assert rows == sorted(set(rows))
    assert [log.errors.labels[row] for row in rows] == some.labels.tolist()
    everything, _ = nights.lopsided(world, log, 1000, seed=1)
    assert len(everything) == sum(counts[label] for label in classes)
    again, _ = nights.lopsided(world, log, 6, seed=1)
    np.testing.assert_array_equal(again.images, some.images)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [benchmark.PAIRS, benchmark.QUICK_PAIRS])
def test_pairs_are_of_two_families_and_take_every_fault_alike(channels: int, count: int) -> None:
    known = planted.faults(None, channels)
    for seed in range(3):  # those of a run
        pairs = benchmark.pairs(known, count, seed)
        assert len(set(pairs)) == len(pairs) == count
        assert all(known[one].family != known[other].family for one, other in pairs)
        taken = Counter(name for pair in pairs for name in pair)
        assert max(taken.values()) - min(taken[name] for name in known) <= 1
    assert benchmark.pairs(known, count, 0) != benchmark.pairs(known, count, 1)


def test_faults_of_one_family_make_no_pairs() -> None:
    alike = {name: fault for name, fault in planted.faults().items() if fault.family == "dust"}
    assert len(alike) > 1
    assert benchmark.pairs(alike, 12, 0) == []


# --- the command line ---


@pytest.fixture
def a_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """A world that needs no training: what is wrong with the faults is told without it."""
    world = SimpleNamespace(model=SimpleNamespace(channels=1), name="line", seed=0)
    monkeypatch.setattr(benchmark, "open_world", lambda *_: world)
    monkeypatch.setattr(benchmark, "some_images", lambda *_: np.full((1, 32, 32, 1), 90, np.uint8))


@pytest.mark.usefixtures("a_world")
@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (None, ("--faults", "mine.py"), "mine.py is not a Python file"),
        ("x = 1", ("--faults", "mine.py"), "mine.py holds no fault; expected functions"),
        ("import no_such_module", ("--faults", "mine.py"), "mine.py cannot be imported (ModuleNotFoundError"),
        (None, ("--only", "dim_lamp", "gremlins"), "no fault gremlins; there are: "),
        (None, ("--only", "colour_cast"), "no fault colour_cast; there are: "),  # the images are grey
    ],
    ids=["no file", "no fault", "no import", "unknown", "for colour"],
)
def test_faults_that_are_none_end_in_one_line_of_text(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    options: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("mine.py").write_text(text, encoding="utf-8")
    assert benchmark.main(["--images", "images", "--json", "out.json", *options]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "faults:" in line]
    assert len(said) == 1
    assert words in said[0]
    assert not Path("out.json").exists()


FAULT = """
import numpy as np
count = 0
def dimmer(image, rng, strength=1.0):
    return (image * (1 - 0.4 * strength)).astype(np.uint8)
def mine(image, rng, strength=1.0):
    global count
    {body}
dimmer.family = mine.family = "darker"
"""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return image * 0.5", "returned float64 of shape (40, 40, 1); expected uint8 of shape (40, 40, 1)"),
        (
            "return image[:32, :32]",
            "returned uint8 of shape (32, 32, 1); expected uint8 of shape (40, 40, 1)",
        ),
        ("image[:] //= 2", "returned NoneType; return a uint8 array"),
        (
            "return image[..., [2, 1, 0]]",  # of a colour camera
            "raised IndexError: index 2 is out of bounds for axis 2 with size 1; it was given uint8 of shape",
        ),
        (
            "assert image.shape[:2] == (96, 96), 'for 96'; return image",
            "raised AssertionError: for 96; it was ",
        ),
        ("return image if strength < 2 else image.astype(float)", "returned float64 of shape (40, 40, 1)"),
        (
            "return np.full_like(image, np.random.default_rng().integers(256))",
            "was given the same image uint8 of shape (40, 40, 1), strength 1 and seed twice and returned",
        ),
        ("raise ValueError('[two]\\nlines')", "raised ValueError: [two] lines; it was given"),
        ("count += 1; return np.full_like(image, count % 256)", "images that differ in 1600 of 1600 values"),
    ],
    ids=[
        "float",
        "cropped",
        "nothing",
        "for colour",
        "for 96 pixels",
        "strong",
        "own draws",
        "two lines",
        "a memory",
    ],
)
def test_a_fault_that_fails_on_these_images_is_told_before_anything_is_trained(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    body: str,
    words: str,
) -> None:
    write_images(SampleLine(finish="brushed", size=32), tmp_path / "line", per_class=12, seed=1)
    (tmp_path / "mine.py").write_text(FAULT.format(body=body), encoding="utf-8")
    monkeypatch.setattr(benchmark, "open_world", not_again)
    command = f"--images {tmp_path / 'line'} --json {tmp_path / 'out.json'} --faults {tmp_path / 'mine.py'} "
    assert benchmark.main([*command.split(), "--size", "40", "--strengths", "1", "2"]) == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "faults:" in line]
    assert "the fault mine " in said
    assert words in said


def test_a_rehearsal_takes_images_of_the_worlds_size_and_channels(tmp_path: Path) -> None:
    write_images(SampleLine(finish="brushed", size=32), tmp_path / "line", per_class=12, seed=1)
    images = some_images(tmp_path / "line", 40)
    assert images.shape == (4, 40, 40, 1)
    assert images.dtype == np.uint8
    assert len(np.unique(images, axis=0)) == 4
    rehearse(planted.faults(None, 1), images, [0.6, 1.5])
    rehearse(planted.faults(None, 3), np.repeat(images, 3, axis=3), [1.0])


def test_images_that_are_not_there_end_in_one_line_of_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    assert benchmark.main(["--images", str(tmp_path / "nowhere"), "--json", str(out), "--epochs", "1"]) == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "faults:" in line]
    assert "nowhere" in said
    assert not out.exists()


# --- a whole run ---


def without_time(path: Path) -> Json:
    answer: Json = json.loads(path.read_text(encoding="utf-8"))
    assert answer.pop("seconds") >= 0
    return answer


def found_by(night: Json) -> list[Any]:
    return [night["kind"], night["errors"], *((mode["errors"], mode["families"]) for mode in night["modes"])]


def not_again(*_: object) -> None:
    raise AssertionError("it was kept, and is made again")


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_whole_run_writes_its_answer_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(SampleLine(finish="brushed", size=32), tmp_path / "line", per_class=40, seed=1)
    monkeypatch.setattr(benchmark, "QUICK_CONTROLS", 2)
    for name, value in (
        ("MATCHING__REFERENCE_IMAGES", "10"),
        ("REFERENCE__MINIMUM_PER_CLASS", "3"),
        ("BLAME__BOOTSTRAP", "100"),
        ("TRAINING__BATCH_SIZE", "16"),
        ("TRAINING__LEARNING_RATE", "0.03"),
    ):
        monkeypatch.setenv(f"FMI_{name}", value)
    out = tmp_path / "answers" / "out.json"
    command = f"--images {tmp_path / 'line'} --json {out} --quick --size 32 --epochs 2 --parts single clean "
    command += "--only dim_lamp --architecture tests.inspection.tiny_network:tiny_network"

    made: list[str] = []
    put = kept.Kept.put

    def stopping(self: kept.Kept, key: str, result: Json) -> Json:
        made.append(key)
        if key == "labels-1":
            raise KeyboardInterrupt
        return put(self, key, result)

    monkeypatch.setattr(kept.Kept, "put", stopping)
    assert benchmark.main(command.split()) == 130
    assert made == ["single-dim_lamp-1.0", "clean-0", "labels-0", "clean-1", "labels-1"]
    assert not out.exists()

    monkeypatch.setattr(kept.Kept, "put", put)
    monkeypatch.setattr(first_model, "train", not_again)  # the base model of the first run serves
    monkeypatch.setattr(benchmark, "_single", not_again)  # so does the night that it finished
    assert benchmark.main(command.split()) == 0
    answer = without_time(out)
    assert [night["kind"] for night in answer["nights"]] == ["single", "clean", "labels", "clean", "labels"]
    (single, *_) = answer["nights"]
    assert (single["fault"], single["family"], single["seed"]) == ("dim_lamp", "darker", 0)
    assert single["errors"] >= 5
    assert answer["single"]["nights"] == 1
    right = single["modes"][0]["claimed"] and single["modes"][0]["family"] == "darker"
    assert answer["single"]["top1"] == float(right)
    assert {name: answer["flip"][name] for name in ("blame", "deviation", "random")} == {
        name: single["flip"][name] for name in ("blame", "deviation", "random")
    }
    assert 0 <= answer["flip"]["random"] <= answer["flip"]["blame"] <= 1
    claimed = [any(mode["claimed"] for mode in night["modes"]) for night in answer["nights"][1:]]
    assert answer["clean"]["nights"] == 4
    assert answer["clean"]["false_cause"] == pytest.approx(np.mean(claimed))
    assert answer["double"]["nights"] == 0
    assert answer["double"]["both"] is None

    monkeypatch.setattr(benchmark, "_control", not_again)
    assert benchmark.main(command.split()) == 0
    assert json.dumps(without_time(out)) == json.dumps(answer)

    shutil.rmtree(next(out.parent.glob("faults-cache/results-*")))
    assert benchmark.main([*command.split(), "--processes", "2"]) == 0
    assert [found_by(night) for night in without_time(out)["nights"]] == [
        found_by(night) for night in answer["nights"]
    ]
