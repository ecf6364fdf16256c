"""A finished night to retrain for, and one retraining of it in which all arms competed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from inspection.findings import Arm, FailureMode
from inspection.inputs.image_sets import LabelledImage
from inspection.retraining.arms import Workshop
from inspection.retraining.material import Material, RetrainingRequest, gather_material
from inspection.retraining.retrain import Done, retrain
from tests.inspection.conftest import FinishedNight, Plant

# Margins that a tiny network can keep, and steps enough for it to learn.
GENEROUS = """acceptance.clean_margin = 0.3
acceptance.class_margin = 0.9
training.batch_size = 32
training.fine_tune_steps = 250"""
QUICK = "training.fine_tune_steps = 10"


@dataclass
class Steps:
    """What a retraining tells of its progress."""

    told: dict[str, tuple[int, list[int]]] = field(
        default_factory=dict
    )  # by name: the total, and every advance

    @contextmanager
    def __call__(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        self.told[name] = total, []
        yield self.told[name][1].append


@dataclass(frozen=True)
class Retrained:
    """A retraining with all that it was made of."""

    night: FinishedNight
    workshop: Workshop
    done: Done
    steps: Steps

    @property
    def plant(self) -> Plant:
        return self.night.plant


def mode_of(night: FinishedNight) -> FailureMode:
    return night.night.modes[0]


def gathered(
    night: FinishedNight,
    holdout: list[LabelledImage] | None = None,
    arm: Arm | None = None,
    targets: tuple[str, ...] = (),
) -> Material:
    plant = night.plant
    request = RetrainingRequest(targets or (mode_of(night).mode_id,), holdout or [], arm)
    return gather_material(plant.workspace, plant.store, request)


def retrained_of(night: FinishedNight, material: Material, run: str = "a run") -> Retrained:
    workshop, steps = Workshop.opened(night.plant.workspace, material), Steps()
    return Retrained(night, workshop, retrain(workshop, run, steps), steps)


@pytest.fixture
def mine(finished: FinishedNight, tmp_path: Path) -> FinishedNight:
    return finished.copied(tmp_path / "workspace")


@pytest.fixture
def quick(finished: FinishedNight, tmp_path: Path) -> FinishedNight:
    """With trainings so short that nothing is learnt."""
    return finished.copied(tmp_path / "quick", QUICK)


@pytest.fixture(scope="package")
def retrained(finished: FinishedNight, tmp_path_factory: pytest.TempPathFactory) -> Retrained:
    """All arms competed; unseen images under the aged lamp judge.

    But for the pits: the deployed model takes every part for one, so that no candidate can keep them.
    """
    night = finished.copied(tmp_path_factory.mktemp("retrained") / "workspace", GENEROUS)
    unseen = [each for each in night.plant.labelled("unseen") if each.label != "pit"]
    return retrained_of(night, gathered(night, unseen))
