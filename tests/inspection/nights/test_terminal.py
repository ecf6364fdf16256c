"""What the command line prints of a night and of a retraining, read as a person reads it."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inspection.console import Console
from inspection.errors import StoreError
from inspection.findings import (
    Accuracy,
    Affected,
    BlamedFilter,
    Decision,
    ErrorKind,
    FailureMode,
    FlipRate,
    LogContext,
    LoggedError,
    Night,
    NightState,
    Primitive,
    RecipeFile,
    Retraining,
    SetAside,
)
from inspection.nights.terminal import newest_night, print_mode, print_night, print_paper, print_retraining
from inspection.workspace.folder import Workspace, create_workspace
from inspection.workspace.store import Store
from tests.inspection.conftest import DIMMED

STARTED = datetime(2026, 7, 4, 2, 0, tzinfo=UTC)


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=120)


def lines(console: Console) -> list[str]:
    """The printed lines, their runs of blanks made single."""
    assert isinstance(console.file, io.StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def primitive(trusted: bool) -> Primitive:
    return Primitive("p.png", "s.png", 1, 0.1, 1, 4.0, 0.9, trusted, () if trusted else ("rank",))


def errors(*kinds: ErrorKind) -> tuple[LoggedError, ...]:
    return tuple(
        LoggedError(i, f"i-{i}", f"/{i}.png", "pit", "good", kind, 1.0, f"{i}.png")
        for i, kind in enumerate(kinds, 1)
    )


MODE = FailureMode(
    mode_id="n-1",
    title="pit [small] taken for good (2 of 3 errors)",
    errors=errors(ErrorKind.ESCAPE, ErrorKind.ESCAPE, ErrorKind.OVERKILL),
    flip_rates=(
        FlipRate("layer2", 20, 128, 0.854, 0.57, 0.31, 0.12, 0.41, 0.034, 1.4),
        FlipRate("layer3", 16, 64, 0.4, 0.41, 0.08, -0.06, 0.13, 0.0, 0.6),
    ),
    filters=(
        BlamedFilter("layer2", 17, 1, 1.0, 2.0, 0.5, (primitive(True), primitive(False)), ()),
        BlamedFilter("layer2", 3, 2, 0.9, 1.0, 0.2, (primitive(True),), ()),
    ),
    diagnosis=replace(DIMMED, meaning="", sentence="The light is dimmer."),  # as an earlier version kept it
    recipe=RecipeFile("artifacts/n/recipe-n-1.yaml", "f" * 64, "dimmer lamp 0.25 to 1.62 stops [p = 0.5]"),
)
NIGHT = Night(
    night_id="n",
    model_hash="ab" * 32,
    log_path="/logs/a.csv",
    log_sha256="cd" * 32,
    started_at=STARTED,
    finished_at=STARTED + timedelta(minutes=5),
    state=NightState.FINISHED,
    rows_read=8,
    errors_read=3,
    report_path="reports/n.html",
    set_aside=(
        SetAside(2, "duplicate", "..."),
        SetAside(3, "missing_image", "..."),
        SetAside(7, "missing_image", "..."),
    ),
    modes=(MODE,),
)
CANDIDATE = Retraining(
    retraining_id="n-1-aa",
    mode_ids=("n-1",),
    model_hash="ab" * 32,
    candidate_hash="0123456789abcdef" * 4,
    started_at=STARTED,
    finished_at=STARTED,
    decision=Decision.ACCEPTED,
    reasons=("holdout: 3 of 30 right before, 24 after (p = 1e-06)",),
    accuracies=(
        Accuracy("holdout", 30, 3, 24, 21, 0, 1e-6, 0.5123, 0.85),
        Accuracy("clean", 200, 190, 189, 1, 2, 1.0, -0.025, 0.0149),
        Accuracy("none", 0, 0, 0, 0, 0, 1.0, 0.0, 0.0),
    ),
)


# --- a failure mode ---


def test_a_mode_is_told_with_where_its_errors_come_from(console: Console) -> None:
    lots = [replace(error, context=LogContext(line="L3", lot="[7]")) for error in MODE.errors]
    with console.capture() as capture:
        print_mode(console, replace(MODE, errors=(*lots[:2], *MODE.errors[2:])))
    assert "Logged: line L3 (2); lot [7] (2)\n" in capture.get()


def test_whom_a_mode_affects_is_told_once(console: Console) -> None:
    lots = tuple(replace(error, context=LogContext(line="L3", lot="[7]")) for error in MODE.errors)
    affected = (Affected("lot", "[7]", 3, 3, 1, 40, 0, 0.001, True),)
    with console.capture() as capture:
        print_mode(console, replace(MODE, errors=lots, affected=affected))
    assert "Affected: all from lot [7]\nLogged: line L3 (3)\n" in capture.get()


@pytest.mark.parametrize(
    ("versions", "told"), [(("v1", "v1"), ""), (("v1", "v2"), "Logged: model version v1 (1), v2 (1)\n")]
)
def test_a_model_version_is_told_where_there_are_several(
    console: Console, versions: tuple[str, str], told: str
) -> None:
    """One alone is the registered model's own, whose errors these are."""
    errors = tuple(
        replace(error, context=LogContext(model_version=version))
        for error, version in zip(MODE.errors, versions, strict=False)
    )
    with console.capture() as capture:
        print_mode(console, replace(MODE, errors=errors))
    said = capture.get()
    assert told in said
    assert ("Logged" in said) is bool(told)


def test_a_mode_is_told_with_its_errors_and_its_cause(console: Console) -> None:
    print_mode(console, MODE)
    said = lines(console)
    assert "Failure mode n-1: pit [small] taken for good (2 of 3 errors) (2 escape, 1 overkill)" in said
    assert "The light is dimmer." in said
    assert "Most blamed: layer2:17, layer2:3; 2 of 3 primitives trusted" in said


def test_flip_rates_stand_beside_their_controls(console: Console) -> None:
    print_mode(console, MODE)
    said = lines(console)
    assert "layer filters flip rate deviation random collateral" in said
    assert "layer2 20 of 128 85 % 57 % 31 % 3 %" in said
    assert "layer3 16 of 64 40 % 41 % 8 % 0 % withheld: does not beat its controls" in said


def test_why_nothing_is_claimed_is_said(console: Console) -> None:
    reasons = ("defocus explains 30%; 60% is needed", "3 errors are too few [of 5]")
    doubted = replace(DIMMED, claimed=False, sentence="No cause is claimed [yet].", reasons=reasons)
    print_mode(console, replace(MODE, diagnosis=doubted))
    said = lines(console)
    assert "No cause is claimed [yet]." in said
    assert [line for line in said if line.startswith("because")] == [
        f"because {reason}" for reason in reasons
    ]


# --- a night ---


def test_a_night_is_told_with_its_counts_and_files(console: Console, workspace: Workspace) -> None:
    print_night(console, NIGHT, workspace)
    said = lines(console)
    assert said[0] == "Night n: 3 errors of 8 rows, 3 set aside"
    assert said[1:3] == ["set aside: 2 missing_image", "set aside: 1 duplicate"]
    assert f"Recipe: {workspace.root}/artifacts/n/recipe-n-1.yaml" in said
    assert "dimmer lamp 0.25 to 1.62 stops [p = 0.5]" in said
    assert said[-1] == f"Report: {workspace.root}/reports/n.html"


def test_a_night_without_findings_says_why(console: Console, workspace: Workspace) -> None:
    print_night(
        console, replace(NIGHT, modes=(), report_path=None, message="no error is left [at all]"), workspace
    )
    assert lines(console)[3:] == ["no error is left [at all]"]


def test_a_folder_with_brackets_in_its_name_is_printed_as_it_is(console: Console, tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "[red]line[3]")
    print_night(console, NIGHT, workspace)
    said = lines(console)
    assert f"Recipe: {workspace.root}/artifacts/n/recipe-n-1.yaml" in said
    assert f"Report: {workspace.root}/reports/n.html" in said


# --- a retraining ---


def test_a_retraining_is_told_with_its_change(console: Console) -> None:
    print_retraining(console, CANDIDATE)
    said = lines(console)
    assert said[0] == "Candidate model 0123456789ab: accepted"
    assert said[1] == "holdout: 3 of 30 right before, 24 after (p = 1e-06)"
    assert "holdout 30 10.0% 80.0% +70.0% (+51.2% to +85.0%)" in said
    assert "clean 200 95.0% 94.5% -0.5% (-2.5% to +1.5%)" in said


def test_a_set_without_images_has_no_percentages(console: Console) -> None:
    print_retraining(console, CANDIDATE)
    assert "none 0 - - -" in lines(console)


def test_a_refused_candidate_is_told_why(console: Console) -> None:
    print_retraining(console, replace(CANDIDATE, decision=Decision.REJECTED, reasons=("too few [images]",)))
    assert lines(console)[:2] == ["Candidate model 0123456789ab: rejected", "too few [images]"]


# --- the paper's claims ---


READ = {
    "readable": 0.679,
    "readable_ceiling": 0.717,
    "share": 0.825,
    "by_network": 0.61,
    "by_network_ceiling": 0.7,
    "transfer": 0.93,
    "first_rank": 1.0,
    "nearest_copy": 0.44,
    "copy_bound": 0.81,
}
STAGE = {
    "network": "vgg",
    "layer": "4",
    "filters": 6,
    "channels": 16,
    "auroc": 0.9876,
    "trusted_share": 0.5,
    "parts": {"rank": 0.9, "agreement": 0.8, "layout": 0.7},
    "untrained_trusted_share": 0.0,
    "untrained_parts": {"pictures": 0.25},
    "dead_trusted_share": 0.1,
    "presets": {"default": READ, "paper": {**READ, "readable": 0.554, "share": 0.249, "nearest_copy": -1.0}},
}


def test_the_papers_claims_are_told_by_stage_and_readability_by_preset(console: Console) -> None:
    print_paper(console, {"images": "steel", "layers": [STAGE], "verdicts": ["vgg: it holds"]})
    said = lines(console)
    assert "vgg 4 6/16 0.988 50% 90% 80% 70% 0% 25% 10%" in said
    title = said.index("Readability, by preset")
    assert said[title + 1 : title + 4] == [
        "stage preset readable real way network real transfer first copy bound",
        "vgg 4 default 0.68 0.72 0.82 0.61 0.70 0.93 1.00 0.44 0.81",
        "vgg 4 paper 0.55 0.72 0.25 0.61 0.70 0.93 1.00 -1.00 0.81",
    ]
    assert said[-1] == "- vgg: it holds"


# --- the newest mode ---


@pytest.fixture
def store(workspace: Workspace) -> Store:
    store = Store(workspace.store_path)
    store.create()
    return store


def night(name: str, days: int, *modes: FailureMode) -> Night:
    return replace(
        NIGHT,
        night_id=name,
        started_at=STARTED + timedelta(days),
        modes=tuple(
            replace(mode, mode_id=f"{name}-{i}", filters=(), flip_rates=()) for i, mode in enumerate(modes, 1)
        ),
    )


def test_the_first_mode_of_the_newest_night_that_found_one_is_taken(store: Store) -> None:
    store.finish_night(night("tuesday", 1, replace(MODE, recipe=None), MODE))
    store.finish_night(night("monday", 0, MODE))
    store.finish_night(night("wednesday", 2))
    assert newest_night(store) == "tuesday"


def test_before_the_first_finding_there_is_no_newest_night(store: Store) -> None:
    with pytest.raises(StoreError, match="fmi night"):
        newest_night(store)
    store.finish_night(night("monday", 0))
    with pytest.raises(StoreError, match="no night has found a failure mode yet"):
        newest_night(store)
