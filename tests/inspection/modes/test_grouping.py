"""Failure modes from night to night: the signature, who is recognised, and what counts as a trend."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.findings import Cause, Diagnosis, FailureMode, KnownMode, LoggedError, Trend
from inspection.findings import ErrorKind as Kind
from inspection.inputs.image_sets import read_image_set
from inspection.inputs.labelled import load_images
from inspection.inputs.sample_line import Camera, SampleLine, write_images
from inspection.modes.grouping import sign
from inspection.nights.lineage import follow, recognise, share_of, signature, trend
from tests.inspection.conftest import SIZE

if TYPE_CHECKING:
    from inspection.evidence.subject import Subject

pytestmark = pytest.mark.numeric

STARTED = datetime(2026, 7, 4, 2, 0, tzinfo=UTC)


# --- the signature ---


def test_a_signature_is_the_direction_alone() -> None:
    shift = np.random.default_rng(1).normal(size=500)
    one = signature(shift)
    assert len(one) == 64
    assert np.linalg.norm(one) == pytest.approx(1)
    assert signature(3.5 * shift) == pytest.approx(one)
    assert signature(-shift) == pytest.approx(tuple(-value for value in one))
    assert signature(np.zeros(500)) == ()


def test_a_signature_is_a_sum_with_fixed_signs() -> None:
    """Of one entry it is the signs themselves, the raw bits of the generator, most significant first."""
    (word,) = np.random.PCG64(0).random_raw(1).tolist()
    low_byte_first = word.to_bytes(8, "little")
    bits = "".join(f"{byte:08b}" for byte in low_byte_first)
    assert signature(np.array([2.0])) == pytest.approx([1 / 8 if bit == "1" else -1 / 8 for bit in bits])


@pytest.mark.parametrize("cosine", [0.0, 0.5, 0.8, 0.95])
def test_angles_are_kept(cosine: float) -> None:
    """The error of a projected cosine has a standard deviation of (1 - cosine^2) / sqrt(dimensions)."""
    rng = np.random.default_rng(2)
    errors = []
    for _ in range(50):
        one, other = np.linalg.qr(rng.normal(size=(800, 2)))[0].T
        between = cosine * one + (1 - cosine**2) ** 0.5 * other
        errors.append(np.dot(signature(one), signature(between)) - cosine)
    assert np.std(errors) == pytest.approx((1 - cosine**2) / 8, rel=0.35)
    assert abs(np.mean(errors)) < 0.05


def errors_of(subject: "Subject", line: SampleLine, folder: Path, seed: int) -> tuple[float, ...]:
    """The signature of what the model gets wrong on a line."""
    from inspection.evidence.blame import screen
    from inspection.evidence.case import Case
    from tests.inspection.evidence.test_shift import empty_responses

    write_images(line, folder, per_class=16, seed=seed)
    found = read_image_set(folder)
    images = load_images([each.path for each in found], subject.classifier.preprocessing)
    true: NDArray[np.int64] = np.array([subject.model.class_names.index(each.label) for each in found])
    wrong = subject.classifier.predict(images).argmax(1) != true
    assert wrong.sum() >= 10
    screening = screen(subject, images[wrong], true[wrong])
    return sign(Case(subject, empty_responses(), screening, images[wrong]))


def test_a_fault_is_recognised_at_another_strength_and_told_from_others(
    subject: "Subject", tmp_path: Path
) -> None:
    line = SampleLine(finish="brushed", size=SIZE)
    blurred, noisy = (replace(line, camera=camera) for camera in (Camera(defocus=1.0), Camera(noise=0.08)))
    blurred_more = replace(line, camera=Camera(defocus=2.0))
    first = [
        KnownMode(name, errors_of(subject, each, tmp_path / name, 5), 20, STARTED, 1)
        for name, each in {"lamp": line.aged(0.6), "blur": blurred, "noise": noisy}.items()
    ]
    second = [
        errors_of(subject, each, tmp_path / f"{number}", 6)
        for number, each in enumerate(
            (blurred_more, line.aged(0.3), replace(line, camera=Camera(exposure=2.0)))
        )
    ]
    assert [each.lineage if each else None for each in recognise(first, second)] == ["blur", "lamp", None]


# --- recognised ---


def known(lineage: str, *signature: float, errors: int = 10, nights_ago: int = 1) -> KnownMode:
    return KnownMode(lineage, signature, errors, STARTED, nights_ago)


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        pytest.param([(1.0, 0.0)], ["a"], id="the same"),
        pytest.param([(0.81, 0.5864)], ["a"], id="near enough"),
        pytest.param([(0.79, 0.6131)], [None], id="not near enough"),
        pytest.param([(-1.0, 0.0)], [None], id="the opposite"),
        pytest.param([(0.9, 0.4359), (1.0, 0.0)], [None, "a"], id="two like one: the nearer"),
        pytest.param([()], [None], id="nothing moved"),
        pytest.param([(1.0, 0.0, 0.0)], [None], id="of another length"),
        pytest.param([], [], id="a night without modes"),
    ],
)
def test_recognition(modes: list[tuple[float, ...]], expected: list[str | None]) -> None:
    found = recognise([known("a", 1.0, 0.0), known("b", 0.0, -1.0)], modes)
    assert [each.lineage if each else None for each in found] == expected


def test_each_is_recognised_once_so_that_all_together_fit_best() -> None:
    """The first mode is nearest to a, but b is its only other, and the second can be a alone."""
    at = [(float(np.cos(angle)), float(np.sin(angle))) for angle in np.deg2rad([0, 40, 15, -20])]
    found = recognise([known("a", *at[0]), known("b", *at[1])], [at[2], at[3]])
    assert [each.lineage if each else None for each in found] == ["b", "a"]


def test_without_earlier_nights_nothing_is_recognised() -> None:
    assert recognise([], [(1.0, 0.0)]) == (None,)


# --- trends ---


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        # Of 5 on equal nights all fall on one with 2 / 2^5 = 0.0625; of 6 with 2 / 2^6 = 0.031.
        pytest.param(5, 0, Trend.STEADY, id="five from nothing"),
        pytest.param(6, 0, Trend.GROWING, id="six from nothing"),
        pytest.param(0, 6, Trend.SHRINKING, id="six to nothing"),
        pytest.param(31, 12, Trend.GROWING, id="12 to 31"),
        pytest.param(12, 31, Trend.SHRINKING, id="31 to 12"),
        pytest.param(12, 15, Trend.STEADY, id="within chance"),
    ],
)
def test_a_trend_is_said_beyond_chance_only(now: int, before: int, expected: Trend) -> None:
    assert trend(now, before) is expected


@pytest.mark.parametrize(
    ("now", "before", "lost", "lost_before", "expected"),
    [
        pytest.param(12, 31, 3, 0, Trend.SHRINKING, id="15 of 31 at most"),
        pytest.param(12, 31, 10, 0, Trend.STEADY, id="22 of 31 at most"),
        pytest.param(12, 31, 300, 0, Trend.STEADY, id="more lost than there were"),
        pytest.param(31, 12, 100, 0, Trend.GROWING, id="what is lost tonight does not hinder growth"),
        pytest.param(31, 12, 0, 3, Trend.GROWING, id="from 15 at most"),
        pytest.param(31, 12, 0, 10, Trend.STEADY, id="from 22 at most"),
    ],
)
def test_lost_rows_may_all_be_errors_of_the_mode(
    now: int, before: int, lost: int, lost_before: int, expected: Trend
) -> None:
    assert trend(now, before, lost, lost_before) is expected


@pytest.mark.parametrize(
    ("now", "before", "parts", "parts_before", "expected"),
    [
        pytest.param(31, 12, 1000, 1000, Trend.GROWING, id="of as many parts"),
        pytest.param(31, 12, 2600, 1000, Trend.STEADY, id="as their parts grew"),
        pytest.param(12, 12, 300, 1000, Trend.GROWING, id="as many of fewer parts"),
        pytest.param(12, 12, 3000, 1000, Trend.SHRINKING, id="as many of more parts"),
        pytest.param(31, 12, 2600, None, Trend.GROWING, id="not known of the night before"),
        pytest.param(31, 12, None, 1000, Trend.GROWING, id="not known of this night"),
    ],
)
def test_a_trend_is_by_the_parts_inspected_where_both_nights_know_them(
    now: int, before: int, parts: int | None, parts_before: int | None, expected: Trend
) -> None:
    assert trend(now, before, share=share_of(parts, parts_before)) is expected


@pytest.mark.parametrize(
    ("lost", "errors", "gone"),
    [
        pytest.param(0, 0, ("lamp", "dust", "missed"), id="nothing lost"),
        pytest.param(2, 90, ("lamp", "missed"), id="dust had too few"),
        pytest.param(90, 90, (), id="as many lost as read"),
    ],
)
def test_a_mode_is_gone_where_lost_rows_cannot_hide_it(lost: int, errors: int, gone: tuple[str, ...]) -> None:
    earlier = [
        known("lamp", 1.0, 0.0, errors=200),
        known("dust", 0.0, 1.0, errors=3),
        replace(known("missed", 0.0, -1.0, errors=200, nights_ago=2), missed=True),
    ]
    assert follow([], earlier, lost, errors) == ((), gone)


def mode(mode_id: str, errors: int, *signature: float) -> FailureMode:
    nothing = Diagnosis(False, None, None, None, None, 0.0, cause=Cause.UNKNOWN)
    logged = tuple(LoggedError(i, f"{i}", "/x", "a", "b", Kind.ESCAPE, 1.0, "x.png") for i in range(errors))
    return FailureMode(mode_id, "", logged, (), (), nothing, None, signature=signature)


def test_a_night_is_followed() -> None:
    earlier = [
        known("lamp", 1.0, 0.0),
        known("blur", 0.0, 1.0, nights_ago=2),
        known("dust", -1.0, 0.0),
        known("old dust", -0.6, -0.8, nights_ago=3),
    ]
    modes, gone = follow([mode("n-1", 30, 0.0, 1.0), mode("n-2", 3, 0.7071, -0.7071)], earlier)
    assert [(each.lineage, each.trend, each.previous_errors) for each in modes] == [
        ("blur", Trend.GROWING, 10),
        ("n-2", Trend.NEW, None),
    ]
    assert gone == ("lamp", "dust")
