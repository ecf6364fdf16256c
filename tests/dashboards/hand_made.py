"""A hand-made night with everything filled, over small real pictures: what the report and pages are shown."""

from datetime import UTC, datetime

import cv2
import numpy as np

from inspection.findings import (
    Affected,
    BlamedFilter,
    Cause,
    Diagnosis,
    ErrorKind,
    FailureMode,
    FlipRate,
    LoggedError,
    Night,
    NightState,
    OperationMatch,
    Primitive,
    RecipeFile,
    RegisteredModel,
    SetAside,
    SuspectLabel,
    Trend,
)
from inspection.workspace.folder import Workspace

NIGHT_ID = "2026-07-04-0200"
MODE_ID = f"{NIGHT_ID}-1"
WITHHELD_ID = f"{NIGHT_ID}-2"
LINEAGE = "2026-06-28-0200-1"
GONE = "2026-07-01-0200-2"
HOSTILE = '<script>alert("x")</script>'
FAILED = ("fed back, its filter ranks 9 of 128 (needed: 1)", "its pictures agree by 0.55 (needed: 0.80)")
STARTED = datetime(2026, 7, 4, 2, 0, tzinfo=UTC)

MODEL = RegisteredModel(
    model_hash="ab12" * 16,
    architecture="resnet18",
    class_names=("good", "scratch", "pit", HOSTILE),
    good_classes=("good",),
    channels=3,
    height=96,
    width=96,
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
    weights_path="models/ab12/weights.safetensors",
    registered_at=datetime(2026, 6, 1, 9, 30, tzinfo=UTC),
)


class Pictures:
    """Draws small textures into a night's folder, each of its own seed."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.drawn = 0

    def draw(self, name: str, angle: float = 0.0, gain: float = 40.0, level: float = 128.0) -> str:
        """Draw noise that is smooth along one direction; return its path relative to the workspace."""
        self.drawn += 1
        noise = np.random.default_rng(self.drawn).normal(0, gain, (140, 140)).astype(np.float32)
        smooth = cv2.GaussianBlur(noise, (0, 0), sigmaX=6, sigmaY=0.8) * 4
        turn = cv2.getRotationMatrix2D((70, 70), angle, 1.0)
        turned = cv2.warpAffine(smooth, turn, (140, 140), borderMode=cv2.BORDER_REFLECT)[22:118, 22:118]
        return self.save(name, turned[..., None] * (0.9, 1.0, 1.1) + level)

    def save(self, name: str, image: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> str:
        """Write one picture; return its path relative to the workspace."""
        path = self.workspace.night_folder(NIGHT_ID) / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8))
        return self.workspace.relative(path)


def make_night(workspace: Workspace) -> Night:
    """Draw the pictures into the workspace and return the night that names them."""
    pictures = Pictures(workspace)
    return Night(
        night_id=NIGHT_ID,
        model_hash=MODEL.model_hash,
        log_path="/plant/line3/defects.csv",
        log_sha256="cd34" * 16,
        started_at=STARTED,
        finished_at=STARTED.replace(minute=14),
        state=NightState.FINISHED,
        rows_read=1351,
        errors_read=10,
        settings={"blame": {"filters": 20}, "compute": {"device": "auto"}, "defect_log": {"columns": {}}},
        seconds={"read the defect log": 0.84, "blame": 42.2, "invert": 185.0},
        set_aside=(
            SetAside(17, "missing_image", "there is no file /plant/line3/17.png", "/plant/line3/17.png"),
            SetAside(23, "missing_image", "there is no file /plant/line3/23.png", "/plant/line3/23.png"),
            SetAside(31, "not_verified", "no label by an operator"),
        ),
        modes=(_claimed_mode(pictures), _withheld_mode(pictures)),
        unclustered=_errors(pictures, "lone", 1, "pit", "scratch", ErrorKind.CONFUSION, 90.0),
        gone=(GONE,),
    )


def _errors(
    pictures: Pictures, name: str, count: int, true: str, predicted: str, kind: ErrorKind, level: float
) -> tuple[LoggedError, ...]:
    return tuple(
        LoggedError(
            row=100 + pictures.drawn,
            inspection_id=f"L3-{pictures.drawn:05d}",
            image_path=f"/plant/line3/{name}-{number}.png",
            true_label=true,
            predicted_label=predicted,
            kind=kind,
            margin=2.5 - 0.25 * number,
            picture=pictures.draw(f"{name}-{number}", 15 * number, 18, level),
        )
        for number in range(count)
    )


def _claimed_mode(pictures: Pictures) -> FailureMode:
    return FailureMode(
        mode_id=MODE_ID,
        title="low contrast on scratch",
        errors=_errors(pictures, "escape", 4, "scratch", "good", ErrorKind.ESCAPE, 150)
        + _errors(pictures, "overkill", 2, "good", HOSTILE, ErrorKind.OVERKILL, 170),
        flip_rates=(
            FlipRate("layer2", 20, 128, 0.85, 0.57, 0.31, 0.12, 0.41, 0.03, 1.42),
            FlipRate("layer3", 20, 256, 0.44, 0.41, 0.08, -0.06, 0.13, 0.002, 0.61),
        ),
        filters=(_filter(pictures, 17, 1, 30), _filter(pictures, 93, 2, 75)),
        diagnosis=Diagnosis(
            claimed=True,
            sentence="Less contrast: low contrast by 0.55 x explains 94% of what moved the blamed filters.",
            family="contrast",
            operation="low contrast",
            strength=0.55,
            unit="x",
            share=0.94,
            matches=_matches(),
            control_share=0.12,
            cause=Cause.APPEARANCE,
        ),
        lineage=LINEAGE,
        trend=Trend.GROWING,
        previous_errors=2,
        signature=(0.6, 0.8),
        affected=(
            Affected("camera", "<2>", 6, 6, 1, 5, 0, 0.015, True),
            Affected("lot", "B7", 5, 6, 1, 5, 0, 0.04, True),
            Affected("shift", "late", 4, 6, 2, 5, 0, 1.0, False),
            Affected(
                *("captured_at", "", 6, 6, 1, 5, 0, 0.021, True),
                since=STARTED.replace(day=3, hour=18, minute=10),
                until=STARTED.replace(day=3, hour=21),
                utc_offset=540,
            ),
        ),
        recipe=RecipeFile(
            path=f"artifacts/{NIGHT_ID}/recipe-1.json",
            sha256="ef56" * 16,
            summary="One of RandomBrightnessContrast (contrast 0.42 to 0.91) or RandomGamma (112 to 168).",
            examples=tuple(
                (
                    pictures.draw(f"before-{n}", 40 * n, 40),
                    pictures.draw(f"after-{n}", 40 * n, 15, 150),
                )
                for n in range(2)
            ),
        ),
    )


def _matches() -> tuple[OperationMatch, ...]:
    return (
        OperationMatch("low contrast", "contrast", 0.55, "x", 0.94, 0.94, 0.94, True),
        OperationMatch("gamma", "gamma", 1.6, "", 0.91, 0.91, 0.91, True),
        OperationMatch("dimming", "brightness", 0.7, "x", 0.62, 0.62, 0.62),
        OperationMatch("defocus", "blur", 2.5, "px", 0.31, 0.31, 0.31),
        OperationMatch("hot spot", "side light", 0.4, "", 0.18, 0.18, 0.18),
        OperationMatch("noise", "noise", 12.0, "grey levels", -0.2, -0.2, -0.2),
    )


def _filter(pictures: Pictures, channel: int, rank: int, angle: float) -> BlamedFilter:
    return BlamedFilter(
        layer="layer2",
        channel=channel,
        rank=rank,
        blame=1.0 / rank,
        energy_shift=-2.34,
        margin_fall=0.37,
        primitives=(
            _primitive(pictures, channel, 1, angle, 0.93),
            _primitive(pictures, channel, 2, angle + 8, 0.91),
            _primitive(pictures, channel, 3, angle + 60, 0.55, FAILED),
        ),
        patches=tuple(pictures.draw(f"patch-{channel}-{n}", angle + 3 * n) for n in range(4)),
    )


def _primitive(
    pictures: Pictures, channel: int, seed: int, angle: float, agreement: float, failed: tuple[str, ...] = ()
) -> Primitive:
    return Primitive(
        picture=pictures.draw(f"{'withheld' if failed else 'primitive'}-{channel}-{seed}", angle, 80),
        source_picture=pictures.draw(f"source-{channel}-{seed}", 10 * seed),
        seed=seed,
        residual=0.08,
        rank=9 if failed else 1,
        energy=4.2,
        agreement=agreement,
        trusted=not failed,
        failed=failed,
    )


def _withheld_mode(pictures: Pictures) -> FailureMode:
    errors = _errors(pictures, "confusion", 3, "pit", "scratch", ErrorKind.CONFUSION, 100)
    return FailureMode(
        mode_id=WITHHELD_ID,
        title="pit taken for scratch",
        errors=errors,
        flip_rates=(FlipRate("layer1", 16, 64, 0.33, 0.29, 0.05, -0.04, 0.09, 0.06, 0.2),),
        filters=(BlamedFilter("layer1", 5, 1, 0.2, 1.1, 0.05),),
        diagnosis=Diagnosis(
            claimed=False,
            sentence="No appearance cause is claimed. Check these labels.",
            family=None,
            operation=None,
            strength=None,
            unit=None,
            share=0.21,
            matches=(OperationMatch("noise", "noise", 6.0, "grey levels", 0.21, 0.21, 0.21),),
            reasons=("the best operation, noise, explains 21% of the shift; 60% is needed",),
            cause=Cause.LABELS,
        ),
        recipe=None,
        lineage=WITHHELD_ID,
        affected=(Affected("camera", "<1>", 2, 3, 4, 8, 0, 0.9, False),),
        suspects=(_suspect(errors[2], 0.91), _suspect(errors[0], 0.4)),
    )


def _suspect(error: LoggedError, score: float) -> SuspectLabel:
    return SuspectLabel(
        inspection_id=error.inspection_id,
        image_path=error.image_path,
        picture=error.picture,
        true_label=error.true_label,
        suggested_label=error.predicted_label,
        score=score,
    )
