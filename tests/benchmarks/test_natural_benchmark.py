"""The natural benchmark: its scores and arms by hand, its errors, and one whole run on a rendered line."""

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inspection.errors import ImageSetError
from inspection.findings import LogContext
from inspection.inputs.image_sets import LabelledImage
from inspection.inputs.images import write_image
from inspection.inputs.sample_line import Lamp, SampleLine, write_images
from inspection.models import first_model
from tests.benchmarks.natural import __main__ as benchmark
from tests.benchmarks.natural import scores
from tests.benchmarks.natural.arms import ARMS, Arm, arms_of, generic_augmentation
from tests.benchmarks.natural.conditions import Question, read_conditions
from tests.benchmarks.world import key_of

Json = dict[str, Any]


def hits(right: int, of: int) -> scores.Hits:
    """The first so many images right."""
    return np.arange(of) < right


# --- scores ---


def test_an_interval_is_that_of_a_share_and_seeds_that_agree_do_not_narrow_it() -> None:
    one = scores.interval(hits(80, 100)[None])
    half = 1.96 * math.sqrt(0.8 * 0.2 / 100)
    assert one["mean"] == 0.8
    assert (one["low"], one["high"]) == pytest.approx((0.8 - half, 0.8 + half), abs=0.02)
    three = scores.interval(np.stack([hits(80, 100)] * 3))
    assert three["high"] - three["low"] == pytest.approx(one["high"] - one["low"], abs=0.02)
    apart = scores.interval(np.stack([hits(n, 100) for n in (50, 80, 98)]))
    assert apart["high"] - apart["low"] > 1.5 * (one["high"] - one["low"])
    assert math.isnan(scores.interval(np.zeros((0, 5)))["mean"])


def test_accuracy_is_told_by_class() -> None:
    labels = np.array([0, 0, 0, 1])
    found = scores.accuracy(np.array([[1, 1, 0, 0], [1, 0, 0, 1]], bool), labels, ("good", "pit"))
    assert found["mean"] == pytest.approx(4 / 8)
    means = {name: each["mean"] for name, each in found["classes"].items()}
    assert means == pytest.approx({"good": 3 / 6, "pit": 1 / 2})


@pytest.mark.parametrize(
    ("fixed", "broken", "better", "p"),
    [
        (6, 0, True, 2 / 2**6),
        (5, 0, False, 2 / 2**5),
        (8, 1, True, 2 * 10 / 2**9),
        (1, 8, False, 2 * 10 / 2**9),  # significant, the other way
        (0, 0, False, 1.0),
    ],
)
def test_more_is_right_by_an_exact_paired_test(fixed: int, broken: int, better: bool, p: float) -> None:
    mine = np.r_[np.ones(fixed), np.zeros(broken), np.ones(20)].astype(bool)
    rival = np.r_[np.zeros(fixed), np.ones(broken), np.ones(20)].astype(bool)
    assert scores.beats(mine, rival) == pytest.approx((better, p))


def mode(operation: str, *, recipe: str | None = None, errors: int = 10) -> Json:
    """A failure mode; with a recipe it is claimed."""
    return {
        "errors": errors,
        "claimed": recipe is not None,
        "family": "brighter",
        "operation": operation,
        "strength": 0.5,
        "explained": 0.9,
        "recipe": recipe,
    }


def night(*modes: Json, forced: tuple[str, ...] = (), errors: int = 50) -> Json:
    return {
        "seed": 0,
        "errors": errors,
        "modes": list(modes),
        "forced": {name: f"{name}.yaml" for name in forced},
    }


@pytest.mark.parametrize(
    ("claim", "generic", "rival", "right", "beats", "best"),
    [
        (80, 70, 90, True, True, False),
        (80, 78, 80, True, False, True),
        (80, 78, 81, False, False, False),
        (60, 78, 50, True, False, True),  # by the rule of the best of those forced
    ],
)
def test_a_claim_is_right_by_either_rule(
    claim: int, generic: int, rival: int, right: bool, beats: bool, best: bool
) -> None:
    found = scores.claims_of(
        night(mode("noise"), mode("gamma", recipe="gamma.yaml", errors=7), forced=("lamp",)),
        {
            "before": hits(50, 100),
            "generic": hits(generic, 100),
            "claim 2": hits(claim, 100),
            "forced lamp": hits(rival, 100),
        },
        lambda number: (number == 2, ("why",)),
    )
    (only,) = found
    assert (only["accepted"], only["gate"]) == (True, ["why"])
    expected = {"mode": 2, "errors": 7, "family": "brighter", "operation": "gamma", "strength": 0.5}
    assert {name: only[name] for name in expected} == expected
    assert (only["right"], only["beats_generic"], only["best_of_forced"]) == (right, beats, best)
    assert only["images_right"] == {"before": 50, "generic": generic, "claim": claim, "forced lamp": rival}


def test_operations_that_would_have_been_right() -> None:
    new = {"generic": hits(70, 100), "forced lamp": hits(75, 100), "forced gamma": hits(76, 100)}
    assert scores.right_forced(night(forced=("lamp", "gamma")), new) == ["gamma"]  # 5 of 5 is not enough


def test_a_drop_is_real_where_its_interval_lies_above_0() -> None:
    def of(old: int, new: int) -> Any:
        return [{"before": {"old": hits(old, 100), "new": hits(new, 100)}}] * 3

    large, small = scores.drop(of(98, 80)), scores.drop(of(98, 97))
    assert large["fall"] == pytest.approx(0.18)
    assert large["low"] < 0.18 < large["high"]
    assert (large["real"], small["real"]) == (True, False)


def measured(**new: float) -> Json:
    """Every arm with 0.5 under the new condition, but for those given, and 0.9 under the old."""
    return {name: {"new": {"mean": new.get(name, 0.5)}, "old": {"mean": 0.9}} for name in ARMS}


def test_the_way_closed_and_the_summary_by_hand() -> None:
    arms = measured(recipe_logged=0.75, logged_35=0.8, ceiling=0.9)
    closed = scores.closed(arms)
    assert closed["recipe_logged"] == pytest.approx(0.25 / 0.4)
    assert (closed["nothing"], closed["ceiling"]) == pytest.approx((0, 1))
    assert math.isnan(scores.closed(measured())["recipe"])  # the ceiling gains nothing
    answer = {
        "claims": [{"seed": 0, "right": True}, {"seed": 1, "right": False}, {"seed": 2, "right": True}],
        "nights": [{"seed": i, "right_forced": found} for i, found in enumerate((["a"], ["a"], []))],
        "arms": arms,
        "closed": closed,
        "falls": [
            {"arm": "recipe_logged", "condition": "old"},
            {"arm": "recipe_logged", "condition": "new"},
            {"arm": "logged_10", "condition": "old"},
        ],
    }
    assert scores.summary(answer) == pytest.approx(
        {
            "claims": 3,
            "right_claims": 2,
            "nights_with_a_right_forced_operation": 2,
            "of_these_rightly_claimed": 1,
            "closed_by_recipe_logged": 0.625,
            "recipe_logged_beyond_best_logged": -0.05,
            "old_changed_by_recipe_logged": 0.0,
            "classes_that_recipe_logged_harms": 1,
        }
    )


def test_a_class_that_falls_is_told() -> None:
    labels = np.repeat([0, 1], 20)
    before, after = np.ones(40, bool), np.ones(40, bool)
    after[:6] = False  # of the first class
    after[20:25] = False  # five of five are not significant
    judges = {"new": labels, "old": labels, "classes": ("good", "pit")}
    found = scores.falls(
        {"before": {"new": before, "old": before}, "recipe": {"new": before, "old": after}}, judges, 1
    )
    assert [(each["arm"], each["condition"], each["class"]) for each in found] == [("recipe", "old", "good")]
    assert (found[0]["images"], found[0]["before"], found[0]["after"]) == (20, 20, 14)


# --- arms ---


def test_without_a_claim_the_recipe_does_nothing_and_the_log_stands_alone() -> None:
    found = arms_of(night(mode("noise"), forced=("lamp", "gamma")), 0.1)
    assert found["recipe"] == found["nothing"] == Arm()
    assert found["recipe_logged"] == found["logged_all"] == Arm(logged=50, share=0.2)
    assert (found["logged_10"].logged, found["logged_35"].logged) == (10, 35)
    assert found["forced lamp"] == Arm((("lamp.yaml", 1),))
    assert {*ARMS} - {"before"} == {name for name in found if not name.startswith("forced ")}


def test_every_claim_has_a_training_of_its_own_and_all_go_into_the_nights_recipe() -> None:
    modes = mode("gamma", recipe="a.yaml", errors=30), mode("noise"), mode("lamp", recipe="b.yaml", errors=5)
    found = arms_of(night(*modes, errors=35), 0.1)
    assert found["recipe"] == Arm((("a.yaml", 30), ("b.yaml", 5)))
    assert found["recipe_logged"].recipes == (("a.yaml", 30), ("b.yaml", 5))
    assert found["recipe_logged"].logged == 35
    assert found["recipe_logged"].share == pytest.approx(0.15)
    assert (found["claim 1"], found["claim 3"]) == (Arm((("a.yaml", 1),)), Arm((("b.yaml", 1),)))
    assert "claim 2" not in found
    assert found["logged_35"] == found["logged_all"]  # the log holds no more


def test_a_night_without_errors_has_nothing_to_train_with() -> None:
    found = arms_of(night(errors=0), 0.1)
    assert {name for name, arm in found.items() if arm != Arm()} == {"generic", "ceiling"}


@pytest.mark.parametrize("channels", [1, 3])
def test_generic_augmentation_changes_most_images_the_same_for_the_same_seed(channels: int) -> None:
    image = np.random.default_rng(0).integers(60, 190, (32, 32, channels)).astype(np.uint8)
    one, again = ([generic_augmentation(1)(image, 0, i) for i in range(60)] for _ in range(2))
    np.testing.assert_array_equal(one, again)
    changed = sum((each != image).any() for each in one)
    assert changed == pytest.approx(60 * (1 - 0.5 * 0.7 * 0.7), abs=10)
    assert all(each.shape == image.shape and each.dtype == np.uint8 for each in one)


# --- the conditions of a table ---


def table(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    """A manifest of (split, class, light), an image for each row, numbered."""
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "split", "true_label", "light"))
        for number, row in enumerate(rows):
            write_image(folder / f"{number}.png", np.full((8, 8, 1), number, np.uint8))
            writer.writerow((f"{number}.png", *row))
    return folder / "manifest.csv"


ROWS = [
    (split, label, light)
    for light in ("ring", "dome", "bar")
    for split in ("train", "val", "test")
    for label in ("good", "pit")
]


def numbers(images: Any) -> list[int]:
    return sorted(int(each.path.stem) for each in images)


def test_every_image_is_for_one_thing(tmp_path: Path) -> None:
    found = read_conditions(Question(table(tmp_path, ROWS), "light", ("ring", "dome"), ("bar",)))
    assert numbers(found.references) == [0, 1, 2, 3, 6, 7, 8, 9]
    assert numbers(found.judge_old) == [4, 5, 10, 11]
    assert numbers(found.line) == [12, 13, 14, 15]
    assert numbers(found.judge_new) == [16, 17]
    few = read_conditions(Question(tmp_path, "light", ("ring",), ("bar",), "split <> 'val' OR light = 'bar'"))
    assert numbers(few.references) == [0, 1]


def test_where_images_come_from_is_known(tmp_path: Path) -> None:
    """By their paths; a column that says nothing of it, and an empty cell, are left out."""
    path = table(tmp_path, ROWS)
    lines = path.read_text(encoding="utf-8").splitlines()
    written = [f"{lines[0]},Station,paper", *(f"{line},{'AB '[i % 3]},x" for i, line in enumerate(lines[1:]))]
    path.write_text("\n".join(written), encoding="utf-8")
    origins = read_conditions(Question(path, "light", ("ring", "dome"), ("bar",))).origins
    assert [origins[tmp_path / f"{number}.png"] for number in (12, 13, 14)] == [
        LogContext(station="A"),
        LogContext(station="B"),
        LogContext(),
    ]


def test_one_part_under_two_lamps_makes_two_models_and_two_questions(tmp_path: Path) -> None:
    """Whatever their files are called: what one question found is not the answer to another."""
    paths = [tmp_path / lamp / "part-1.png" for lamp in ("ring", "bar")]
    for path, grey in zip(paths, (40, 80), strict=True):
        write_image(path, np.full((8, 8, 1), grey, np.uint8))
    images = [LabelledImage(path, "good", "train") for path in paths]
    assert len({key_of([each], 8, 1, "", good) for each in images for good in ((), ("good",))}) == 4
    asked = [
        Question(tmp_path, "lamp", ("ring",), (new,), where)
        for new in ("bar", "dome")
        for where in (None, "lot = 7")
    ]
    assert len({each.key for each in asked}) == 4


@pytest.mark.parametrize(
    ("old", "new"), [("1", "2"), ("0.5", "1.25"), ("true", "false"), ("it's", 'a "b"'), ("007", "7")]
)
def test_values_are_compared_as_they_are_written(tmp_path: Path, old: str, new: str) -> None:
    rows = [
        (split, label, {"ring": old, "bar": new}[light]) for split, label, light in ROWS if light != "dome"
    ]
    found = read_conditions(Question(table(tmp_path, rows), "Light", (old,), (new,)))
    assert numbers(found.references) == [0, 1, 2, 3]
    assert numbers(found.line) == [6, 7, 8, 9]


@pytest.mark.parametrize(
    ("rows", "column", "old", "new", "words"),
    [
        (
            ROWS,
            "lamp",
            "ring",
            "bar",
            "no column lamp; --domain is the column that tells the conditions apart",
        ),
        (
            ROWS,
            "light",
            "ring",
            "laser",
            "no row has light = laser; its values and how many rows have each: ",
        ),
        (ROWS, "light", "ring", "ring", "ring stands in --from and in --to"),
        (
            [row for row in ROWS if row != ("test", "pit", "bar")],
            "light",
            "ring",
            "bar",
            "light = bar, split test: no image of class pit; every class is needed there",
        ),
        (
            [row for row in ROWS if row[0] != "train"],
            "light",
            "ring",
            "bar",
            "light = ring, split train: no image of class good, pit",
        ),
    ],
    ids=["no column", "no value", "on both sides", "no class", "no split"],
)
def test_a_question_that_the_table_cannot_answer_ends_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rows: list[tuple[str, str, str]],
    column: str,
    old: str,
    new: str,
    words: str,
) -> None:
    path, out = table(tmp_path, rows), tmp_path / "out.json"
    with pytest.raises(ImageSetError):
        read_conditions(Question(path, column, (old,), (new,)))
    command = f"--images {path} --domain {column} --from {old} --to {new} --json {out}"
    assert benchmark.main(command.split()) == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "natural:" in line]
    assert words in said
    assert not out.exists()


def test_help_says_what_the_arms_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--help"])
    said = capsys.readouterr().out
    assert [arm for arm in ("before", "nothing", "generic", "recipe_logged", "ceiling") if arm in said] == [
        "before",
        "nothing",
        "generic",
        "recipe_logged",
        "ceiling",
    ]


# --- a whole run ---


def line_under_two_lamps(folder: Path) -> Path:
    """Parts under the lamp as commissioned, and others under one that has aged."""
    splits = ("train", "train", "train", "val", "test")
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "split", "true_label", "lamp"))
        for seed, (lamp, strength) in enumerate({"new": 1.0, "aged": 0.45}.items()):
            line = SampleLine(finish="brushed", size=32, lamp=Lamp(strength=strength))
            for i, path in enumerate(write_images(line, folder / lamp, per_class=20, seed=seed)):
                row = (path.relative_to(folder).as_posix(), splits[i % 5], path.parent.name, lamp)
                writer.writerow(row)
    return folder / "manifest.csv"


def not_again(*_: object) -> None:
    raise AssertionError("it was kept, and is made again")


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_whole_run_writes_its_answer_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("MATCHING__REFERENCE_IMAGES", "10"),
        ("REFERENCE__MINIMUM_PER_CLASS", "3"),
        ("TRAINING__BATCH_SIZE", "16"),
        ("TRAINING__LEARNING_RATE", "0.03"),
    ):
        monkeypatch.setenv(f"FMI_{name}", value)
    images, out = line_under_two_lamps(tmp_path), tmp_path / "out.json"
    command = f"--images {images} --domain lamp --from new --to aged --json {out} --seeds 1 --size 32 "
    command += "--epochs 6 --steps 8 --architecture tests.inspection.tiny_network:tiny_network"

    assert benchmark.main([*command.split(), "--stop-after", "diagnosis"]) == 0
    first = json.loads(out.read_text(encoding="utf-8"))
    (found,) = first["nights"]
    assert "arms" not in first
    assert found["errors"] >= 5
    assert all(len(each["nearest"]) == 5 for each in found["modes"])
    folder = Path(found["folder"])
    drawn = [f"mode-{n}{what}.png" for n in range(1, len(found["modes"]) + 1) for what in ("", "-errors")]
    assert sorted(path.name for path in folder.glob("*.png")) == sorted(drawn)
    assert json.loads((folder / "diagnosis.json").read_text(encoding="utf-8"))["modes"] == found["modes"]
    named = [Path(path) for each in found["modes"] for path in each["images"]]
    assert all(path.is_file() and path.parts[-3] == "aged" for path in named)

    monkeypatch.setattr(first_model, "train", not_again)  # the model of the first run serves
    monkeypatch.setattr(benchmark, "diagnosed", not_again)  # so does its night
    assert benchmark.main(command.split()) == 0
    answer = json.loads(out.read_text(encoding="utf-8"))
    assert [*answer["arms"]] == [*ARMS, "forced"]
    assert [*answer["arms"]["forced"]] == [*found["forced"]]
    assert answer["unseen_images"] == {"new": 20, "old": 20}
    before = answer["arms"]["before"]
    assert before["old"]["mean"] - before["new"]["mean"] == pytest.approx(answer["drop"]["fall"])
    assert set(before["new"]["classes"]) == {"dent", "good", "pit", "scratch", "stain"}
    assert len(answer["claims"]) == sum(each["claimed"] for each in found["modes"])
    assert answer["summary"]["claims"] == len(answer["claims"])

    monkeypatch.setattr(benchmark, "trained", not_again)
    assert benchmark.main(command.split()) == 0
    again = json.loads(out.read_text(encoding="utf-8"))
    assert {**again, "seconds": 0} == {**answer, "seconds": 0}

    shutil.rmtree(next((tmp_path / "natural-cache").glob("trainings-*")))
    assert benchmark.main([*command.split(), "--processes", "2"]) == 0  # in processes that patch nothing
    elsewhere = json.loads(out.read_text(encoding="utf-8"))
    assert [*elsewhere["arms"]] == [*answer["arms"]]
    assert elsewhere["arms"]["before"] == answer["arms"]["before"]
