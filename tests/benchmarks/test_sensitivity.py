"""The benchmark of constants: what it halves and doubles, that all is put back, and one whole run."""

import json
from pathlib import Path
from typing import Any

import pytest

from inspection import tuning
from inspection.evidence.subject import open_subject
from inspection.inputs.sample_line import SampleLine, write_images
from inspection.workspace.settings import MatchingSettings
from tests.benchmarks import sensitivity
from tests.benchmarks.faults import __main__ as faults
from tests.inspection.conftest import Plant


@pytest.mark.parametrize(
    ("value", "less", "more"),
    [
        (6, 3, 12),
        (1, 1, 2),  # a count stays one
        (5, 2, 10),
        (30.0, 15.0, 60.0),
        (0.25, 0.125, 0.5),
        (0.5, 0.25, 1.0),
        (0.8, 0.4, 0.9),  # a share above a half goes half the way to 1
        (1.5, 0.75, 3.0),
        ((1, 2), (0.5, 1.0), (2, 4)),
    ],
)
def test_a_constant_is_halved_and_doubled(value: Any, less: Any, more: Any) -> None:
    assert sensitivity.half(value) == pytest.approx(less)
    assert sensitivity.double(value) == pytest.approx(more)


def test_every_constant_of_the_tuning_and_every_setting_of_a_claim_is_measured() -> None:
    named = sensitivity.constants()
    assert named["TRIED_MARGIN"] == tuning.TRIED_MARGIN
    assert named["matching.claim_share"] == MatchingSettings().claim_share
    own = [name for name in named if "." not in name]
    assert own == [name for name in vars(tuning) if name.isupper()]
    assert len(named) - len(own) == len(MatchingSettings.model_fields) - 1


def test_a_changed_constant_is_put_back_after_an_exception(plant: Plant) -> None:
    subject = open_subject(plant.workspace, plant.model, plant.references)
    before = sensitivity.constants()
    changes: dict[str, sensitivity.Value] = {"TRIED_MARGIN": 0.3, "matching.pair_gain": 0.4}

    def fail() -> None:
        with sensitivity.changed(changes, subject) as changed:
            assert tuning.TRIED_MARGIN == 0.3
            assert changed.settings.matching.pair_gain == 0.4
            assert changed.looks is subject.looks
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert sensitivity.constants() == before
    assert subject.settings.matching.pair_gain == MatchingSettings().pair_gain


def test_constants_that_are_read_are_noted_and_others_are_not() -> None:
    with sensitivity._reading() as read:
        assert tuning.TRIED_MARGIN > 0
    assert "TRIED_MARGIN" in read
    assert "JOIN_DISTANCE" not in read
    assert type(tuning).__name__ == "module"


def test_an_unknown_constant_names_those_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        sensitivity.main(["--images", "x", "--json", "y", "--only", "FUDGE"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "no constant FUDGE; there are: " in said
    assert "TRIED_MARGIN" in said


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_whole_run_says_what_changes_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than all of the errors are never nearer under any change, so that nothing is claimed."""
    write_images(SampleLine(finish="brushed", size=32), tmp_path / "line", per_class=40, seed=1)
    monkeypatch.setattr(faults, "QUICK", ("dim_lamp",))
    monkeypatch.setattr(faults, "QUICK_PAIRS", 0)
    for name, value in (
        ("MATCHING__REFERENCE_IMAGES", "10"),
        ("REFERENCE__MINIMUM_PER_CLASS", "3"),
        ("TRAINING__BATCH_SIZE", "16"),
        ("TRAINING__LEARNING_RATE", "0.03"),
    ):
        monkeypatch.setenv(f"FMI_{name}", value)
    out = tmp_path / "out.json"
    command = f"--images {tmp_path / 'line'} --json {out} --size 32 --epochs 6 --controls 1 "
    command += "--architecture tests.inspection.tiny_network:tiny_network --only SMOOTH matching.nearer_share"
    assert sensitivity.main(command.split()) == 0
    answer = json.loads(out.read_text(encoding="utf-8"))
    unread, needed = answer["constants"]
    assert answer["baseline"]["nights"] == 3
    assert (unread["name"], unread["half"]["changed"], unread["double"]["changed"]) == ("SMOOTH", [], [])
    assert needed["double"]["value"] == 1.0
    assert needed["double"]["one_cause"] == 0
    assert needed["double"]["changed"] == (["single-dim_lamp"] if answer["baseline"]["one_cause"] else [])

    def not_again(*_: object) -> None:
        raise AssertionError("it was kept, and is run again")

    monkeypatch.setattr(sensitivity._Bench, "run", not_again)
    assert sensitivity.main(command.split()) == 0
    assert json.loads(out.read_text(encoding="utf-8")) == answer
