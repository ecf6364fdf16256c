"""Findings that the tests keep: every field filled, floats that no short decimal equals."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from inspection.findings import (
    Accuracy,
    Affected,
    Arm,
    ArmResult,
    BlamedFilter,
    Cause,
    CheckKind,
    Comparison,
    Decision,
    Diagnosis,
    Doubt,
    DoubtKind,
    ErrorKind,
    FailureMode,
    FilterAfter,
    FlipRate,
    GateCheck,
    JudgedImage,
    LogContext,
    LoggedError,
    Night,
    NightState,
    OperationMatch,
    Pattern,
    Primitive,
    RecipeFile,
    RecipeStep,
    RegisteredModel,
    Retraining,
    RightPart,
    SetAside,
    SuspectLabel,
    Trend,
)

STARTED = datetime(2026, 3, 1, 22, 0, 0, 123456, tzinfo=UTC)


HOUR = timedelta(hours=1)


CONTEXT = LogContext(
    captured_at=STARTED - HOUR,
    score=1 / 3,
    line="L3",
    station="S2",
    camera="表",
    part_number="P-9",
    lot="7",
    shift="night",
    serial="S0001",
    model_version="v4",
    verified_by="佐藤",
    verified_at=STARTED - HOUR / 2,
    lighting="ring",
    exposure="1/500",
    more={"tool": "t3", "名": "it's"},
)


def an_error(row: int, kind: ErrorKind = ErrorKind.ESCAPE) -> LoggedError:
    return LoggedError(
        *(row, f"id {row}", f"/画像/{row}.png", "scratch", "good", kind, 0.1 + row / 3, "t.webp"),
        context=CONTEXT,
        heat=f"h{row}.png",
        heat_filter="layer2:17",
    )


def a_rate(layer: str, blame: float, gain_lower: float) -> FlipRate:
    return FlipRate(layer, 20, 128, blame, 1 / 3, 2 / 3, gain_lower, 0.4, 0.05, 1e-300)


def _primitive(seed: int) -> Primitive:
    failed = ("rank", "agreement")
    judged = (0.83, 0.1 + 0.2, 2 / 3, 0.7)
    return Primitive("p.png", "s.png", seed, 0.1 + 0.2, 2, 7.7, 0.91, True, failed, *judged, "c.png")


def _filter(layer: str, channel: int) -> BlamedFilter:
    primitives = (_primitive(2**40), _primitive(1))
    pattern = Pattern(0.1 + 0.2, 1 / 3, 0.4, 0.5, -0.6, 3.7, 0.05)
    patches = ("b.png", "a.png", "b.png")
    seen = (primitives, patches, pattern, "e.png", "w.png")
    return BlamedFilter(layer, channel, 1, 1.25, 1e17 + 2, -0.5, *seen)


DOUBTS = (
    Doubt(DoubtKind.UNCHANGED, ("dim", "blur"), 0.1 + 0.2, 1 / 3, 20, "x", True),
    Doubt(DoubtKind.FAINT, ("暗い; it's",), 1e-17, 0.25, 3, "stops", True),
)


def a_mode(night_id: str, number: int) -> FailureMode:
    matches = (
        OperationMatch("gamma", "lighting", 0.7, "exponent", 0.84, 0.7, 0.6, True),
        OperationMatch("blur", "focus", 2.5, "pixels", -3.5, -4.0, -5.0, True),
    )
    pair = (
        OperationMatch("dim", "lighting", 0.1 + 0.2, "x", 0.95, 1 / 3, 0.7, True),
        OperationMatch("blur", "focus", 1.5, "pixels", 0.95, 1 / 3, 0.7, True),
    )
    diagnosis = Diagnosis(
        True, "lighting", "dim", 0.4, "x", 0.9, matches, 0.12, 1 / 7, 0.77, DOUBTS,
        cause=Cause.LABELS, measured="fixed pattern", pair=pair, nearest_operation_share=1 / 9,
        meaning="暗い", sentence="It's the lamp; 「暗い」", reasons=("a", "b"),
    )  # fmt: skip
    suspects = (_suspect("b", 1 / 3), _suspect("a", 0.9))
    return FailureMode(
        mode_id=f"{night_id}-{number}",
        title=f"mode {number}",
        errors=(an_error(9, ErrorKind.OVERKILL), an_error(3), an_error(4, ErrorKind.CONFUSION), an_error(5)),
        flip_rates=(a_rate("layer2", 0.85, 0.1), a_rate("layer3", 0.5, -0.1)),
        filters=(_filter("layer2", 17), _filter("layer1", 17), _filter("layer2", 3)),
        diagnosis=diagnosis,
        recipe=RecipeFile(
            *("artifacts/r.yaml", "f" * 64, "dim, 0.08 to 0.52", (("a", "b"), ("c", "d"))),
            *(((RecipeStep("dim", 0.1 + 0.2, 1 / 3, "x"),), (_texture_step(), _texture_step())), 1 / 7),
        ),
        lineage=f"first-{number}",
        trend=Trend.GROWING,
        previous_errors=2,
        signature=(1 / 3, -((8 / 9) ** 0.5)),
        suspects=suspects,
        comparisons=(
            Comparison("e.png", "r.png", "c.png", 1 / 3, "b.png", "a.png"),
            Comparison("f.png", "r.png", "d.png", 2.5, "g.png", "h.png"),
        ),
        affected=(
            Affected("camera", "表", 9, 12, 3, 40, 0, 1 / 3, False, STARTED, STARTED + HOUR, 540),
            Affected("captured_at", "v", 9, 12, 3, 99, 59, 1e-9, True, STARTED - HOUR, STARTED, -210),
        ),
    )


def _texture_step() -> RecipeStep:
    return RecipeStep("texture primitive", 0.2, 1.6, "", ("layer2:17", "層:3"))


def _suspect(name: str, score: float) -> SuspectLabel:
    return SuspectLabel(f"id {name}", f"/画像/{name}.png", f"{name}.png", "scratch", "good", score)


def a_bare_mode(night_id: str, number: int) -> FailureMode:
    nothing = Diagnosis(False, None, None, None, None, -0.25, sentence="not an appearance change")
    return FailureMode(f"{night_id}-{number}", "too few", (an_error(1),), (), (), nothing, None)


def a_night(night_id: str = "2026-03-01", started_at: datetime = STARTED) -> Night:
    return Night(
        night_id=night_id,
        model_hash="ab" * 32,
        log_path="/logs/夜.csv",
        log_sha256="cd" * 32,
        started_at=started_at,
        finished_at=started_at + HOUR,
        state=NightState.FINISHED,
        message="two rows set aside",
        rows_read=120,
        errors_read=9,
        right_read=600,
        settings={"blame": {"filters": 20, "share": 0.1}, "columns": ["a", None, True], "日": "本"},
        seconds={"screen": 0.1 + 0.2, "invert": 12.0},
        report_path="reports/x.html",
        set_aside=(
            SetAside(7, "unreadable", "no such file", "/x.png"),
            SetAside(2, "label", "NG?", "/y.png"),
        ),
        modes=(a_mode(night_id, 2), a_mode(night_id, 1), a_bare_mode(night_id, 10)),
        unclustered=(an_error(8), an_error(6)),
        gone=("2026-02-27-3", "2026-02-28-1"),
        of_line="front",
        parts=12_000,
        right=(RightPart(12, "/z.png", "good"), RightPart(3, "/傷.png", "傷")),
    )


def as_started(night: Night) -> Night:
    """The night as it is when it starts."""
    bare = Night(night.night_id, night.model_hash, night.log_path, night.log_sha256, night.started_at, None,
                 NightState.RUNNING)  # fmt: skip
    return replace(bare, settings=night.settings)


def a_model(model_hash: str = "ab" * 32, registered_at: datetime = STARTED, **more: Any) -> RegisteredModel:
    model = RegisteredModel(
        model_hash, "resnet18", ("good", "scratch", "傷"), ("good",), 3, 96, 128, (0.1, 0.2, 0.3), (1 / 3,),
        "models/x/weights.pt", registered_at, "ef" * 32, "first", 12, "line", 1,
        "NG = scratch + 傷 > 0.3", ("good", "scratch", "傷"), "crop 256, BGR",
    )  # fmt: skip
    return replace(model, **more)


def a_retraining(retraining_id: str, mode_id: str, started_at: datetime = STARTED) -> Retraining:
    per_class = {"scratch": (20, 5, 19), "good": (80, 80, 79)}
    accuracies = (
        Accuracy("the mode's errors", 100, 85, 98, 14, 1, 1 / 7, 0.05, 0.2, per_class, (3, 1), (0, 2)),
        Accuracy("clean validation", 50, 49, 49, 1, 1, 0.99, -0.01, 0.01, {"good": (50, 49, 49)}),
    )
    return Retraining(
        retraining_id, (mode_id, "another-1"), "ab" * 32, "12" * 32, started_at, started_at + HOUR,
        Decision.ACCEPTED, ("errors fell",), accuracies, {"epochs": 4, "rate": 0.0003}, 12, Arm.LOGGED,
        (
            ArmResult(Arm.RECIPES, 0, 1, 2 / 3, (accuracies[1],), (_check(None),), 1 / 30),
            ArmResult(Arm.LOGGED, 12, 3, 7 / 3, accuracies, (_check(False), _check(True))),
        ),
        (_check(True), _check(None)),
        (FilterAfter(mode_id, "layer1", 3, 7 / 3, -1 / 3),),
        (1 / 30, 1 / 70), ("two are left out", "注"), "cd" * 32,
    )  # fmt: skip


def _check(passed: bool | None) -> GateCheck:
    return GateCheck(CheckKind.CLASS, "clean validation", 50, 49, 48, passed, "傷", 1 / 3, True, 0.05, 7)


def a_judged_image(number: int, after: str = "good") -> JudgedImage:
    return JudgedImage("errors", f"/x/{number}.png", "ef" * 32, "good", "scratch", after, "2026-03-01-1")
