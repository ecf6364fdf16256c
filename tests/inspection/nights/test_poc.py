"""A plant's first month: what its plan and its paper say at each turn, from a real store."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from inspection.errors import WorkspaceError
from inspection.findings import (
    Accuracy,
    Decision,
    GateCheck,
    Judgement,
    NightState,
    Promotion,
    PromotionKind,
    Retraining,
    Verdict,
)
from inspection.language import speaking
from inspection.nights.paper import write_paper
from inspection.nights.poc import (
    Ask,
    Begun,
    Poc,
    State,
    ask_in_words,
    asked_for,
    begin,
    begun_in,
    command_for,
    look,
    steps,
)
from inspection.workspace.files import sha256_of
from inspection.workspace.folder import Workspace
from inspection.workspace.settings import Settings
from inspection.workspace.store import Store
from tests.dashboards.hand_made import MODE_ID, MODEL, NIGHT_ID, STARTED, WITHHELD_ID, make_night
from tests.inspection.nights.test_report import words

FIRST = date(2026, 7, 4)
NOW = datetime(2026, 7, 10, 9, tzinfo=UTC)
CANDIDATE = replace(MODEL, model_hash="cd" * 32, parent_hash=MODEL.model_hash)
LOGGED = Accuracy(
    "logged errors, by models that were not shown their group", 100, 0, 80, 80, 0, 1e-9, 0.7, 0.87
)
CLEAN = Accuracy("clean validation images", 200, 200, 200, 0, 0, 1.0, -0.01, 0.01)
Stand = Callable[..., Poc]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The plant's folder, with one defect log."""
    (tmp_path / "line3").mkdir()
    log = tmp_path / "line3" / "defects.csv"
    log.write_text("image_path,predicted_label,true_label\na.png,good,pit\n", encoding="utf-8")
    return tmp_path / "line3"


@pytest.fixture
def stand(workspace: Workspace, store: Store, folder: Path) -> Stand:
    """Where the month stands, some days after it began."""

    def at(days: int = 0) -> Poc:
        return look(workspace, store, Begun(started=FIRST, folder=folder), FIRST + timedelta(days=days))

    return at


def read(workspace: Workspace, store: Store, folder: Path, **changes: object) -> None:
    """A night over the plant's log."""
    log = folder / "defects.csv"
    store.add_model(MODEL, [])
    night = replace(make_night(workspace), log_path=str(log), log_sha256=sha256_of(log))
    store.finish_night(replace(night, **changes))  # type: ignore[arg-type]


def reviewed(store: Store, first: Judgement, second: Judgement = Judgement.OTHER_CAUSE) -> None:
    store.add_verdict(Verdict(MODE_ID, first, "lamp 3", "Mori", NOW))
    store.add_verdict(Verdict(WITHHELD_ID, second, "", "Mori", NOW))


def retrained(store: Store, decision: Decision, checks: tuple[GateCheck, ...] = ()) -> None:
    made = CANDIDATE if decision is not Decision.REJECTED else None
    done = Retraining(
        "r-1",
        (MODE_ID,),
        MODEL.model_hash,
        made.model_hash if made else None,
        NOW,
        NOW,
        decision,
        ("said",),
        accuracies=(LOGGED, CLEAN),
        checks=checks,
    )
    store.add_retraining(done, made)


def states(poc: Poc) -> list[str]:
    return [each.state.value for each in steps(poc)]


def test_the_plan_from_the_first_day_to_a_promoted_model(
    workspace: Workspace, store: Store, folder: Path, stand: Stand
) -> None:
    assert asked_for(stand()) is Ask.REGISTER
    assert states(stand()) == ["due now", "due now", "later", "later", "later"]
    store.add_model(MODEL, [])
    assert (asked_for(stand()), stand().unread) == (Ask.READ, [folder / "defects.csv"])
    read(workspace, store, folder)
    assert (asked_for(stand()), stand().unread) == (Ask.CONFIRM, [])
    assert states(stand()) == ["done", "done", "due now", "later", "later"]
    assert "2 findings are right" in ask_in_words(stand())
    reviewed(store, Judgement.CONFIRM)
    assert command_for(stand()) == f"fmi retrain {MODE_ID}"
    assert states(stand()) == ["done", "done", "done", "due now", "later"]
    retrained(store, Decision.ACCEPTED)
    assert (asked_for(stand()), command_for(stand())) == (Ask.TRY_OUT, "fmi export cdcdcdcdcdcd")
    assert states(stand()) == ["done", "done", "done", "done", "due now"]
    store.promote(
        Promotion(CANDIDATE.model_hash, MODEL.model_hash, PromotionKind.PROMOTED, "Mori", "mends it", NOW)
    )
    assert (asked_for(stand()), states(stand())) == (Ask.WATCH, ["done"] * 5)


def test_what_is_not_done_in_its_week_is_late(
    workspace: Workspace, store: Store, folder: Path, stand: Stand
) -> None:
    read(workspace, store, folder)
    assert [each.until - FIRST for each in steps(stand())] == [timedelta(days) for days in (6, 6, 13, 20, 27)]
    assert states(stand(13)) == ["done", "done", "due now", "later", "later"]
    assert states(stand(14)) == ["done", "done", "late", "due now", "later"]
    assert states(stand(28)) == ["done", "done", "late", "late", "late"]
    assert [stand(days).week for days in (0, 6, 7, 27, 28)] == [1, 1, 2, 4, 5]


def test_what_was_found_and_not_confirmed_is_not_retrained_for(
    workspace: Workspace, store: Store, folder: Path, stand: Stand
) -> None:
    read(workspace, store, folder)
    reviewed(store, Judgement.OTHER_CAUSE)
    assert asked_for(stand()) is Ask.INVESTIGATE
    assert states(stand())[2:] == ["done", State.NOTHING, State.NOTHING]
    reviewed(store, Judgement.INVESTIGATE)  # cannot be said yet
    assert (asked_for(stand()), len(stand().open)) == (Ask.CONFIRM, 1)


def test_a_plant_without_a_failure_mode_is_asked_for_more_logs(
    workspace: Workspace, store: Store, folder: Path, stand: Stand
) -> None:
    read(workspace, store, folder, modes=())
    assert asked_for(stand()) is Ask.MORE_LOGS
    assert states(stand())[2:] == [State.NOTHING] * 3


def test_logs_that_are_missing_or_unreadable_are_asked_for(
    workspace: Workspace, store: Store, folder: Path, stand: Stand
) -> None:
    read(workspace, store, folder, state=NightState.UNREADABLE, modes=(), unclustered=())
    assert (asked_for(stand()), len(stand().unread)) == (Ask.MOUNT, 1)
    assert steps(stand())[1].told == "0 of 1 logs read: 0\u00a0errors; 1 could not be read"
    (folder / "defects.csv").unlink()
    assert asked_for(stand()) is Ask.LOGS


@pytest.mark.parametrize(
    ("decision", "asked"), [(Decision.REJECTED, Ask.KEEP), (Decision.UNDECIDED, Ask.MORE_IMAGES)]
)
def test_a_candidate_that_is_not_accepted(
    workspace: Workspace, store: Store, folder: Path, stand: Stand, decision: Decision, asked: Ask
) -> None:
    read(workspace, store, folder)
    reviewed(store, Judgement.CONFIRM)
    retrained(store, decision)
    assert asked_for(stand()) is asked
    assert states(stand())[4] == ("done" if decision is Decision.REJECTED else "due now")


def test_the_trial_is_asked_for_with_what_was_measured_and_no_more(
    workspace: Workspace, store: Store, folder: Path, stand: Stand
) -> None:
    read(workspace, store, folder)
    reviewed(store, Judgement.CONFIRM)
    retrained(store, Decision.ACCEPTED)
    assert stand().trial is None
    assert "cannot be reckoned: the logs do not hold the parts that went right" in ask_in_words(stand())
    again = replace(store.night(NIGHT_ID), night_id="2026-07-04-0200-2", right_read=1990, modes=())
    store.finish_night(replace(again, unclustered=store.night(NIGHT_ID).unclustered))
    trial = stand().trial
    assert trial is not None
    assert (trial.errors, trial.parts, trial.judged_right) == (10, 2000, 200)
    assert f"for {trial.size:,} parts" in ask_in_words(stand())


def test_what_was_said_is_kept_once(workspace: Workspace, folder: Path, tmp_path: Path) -> None:
    assert begun_in(workspace) is None
    said = Begun(started=FIRST, folder=folder, asked='Why do "pits" pass?\nSince when?')
    begin(workspace, said)
    assert begun_in(workspace) == said
    begin(workspace, Begun(started=date(2027, 1, 1), folder=folder))  # the same command again
    assert begun_in(workspace) == said
    with pytest.raises(WorkspaceError, match=r"began on 2026-07-04 with .*line3: `fmi poc` goes on there"):
        begin(workspace, Begun(started=FIRST, folder=tmp_path))


@pytest.mark.parametrize(
    "text", ["started = 1", "folder = '/x'", "[", "started = 2026-07-04\nfolder = '/x'\nx = 1"]
)
def test_a_file_that_cannot_be_used_says_what_is_expected(workspace: Workspace, text: str) -> None:
    (workspace.root / "poc.toml").write_text(text, encoding="utf-8")
    with pytest.raises(
        WorkspaceError, match=r"poc\.toml cannot be read: .*[\s\S]*Expected: started = 2026-12-01"
    ):
        begun_in(workspace)


def test_a_night_before_the_first_day_counts_where_it_read_the_folders_log(
    workspace: Workspace, store: Store, folder: Path
) -> None:
    read(workspace, store, folder)
    late = Begun(started=STARTED.date() + timedelta(days=90), folder=folder)
    assert len(look(workspace, store, late, late.started).month.nights) == 1


# --- the paper ---


def test_the_paper_holds_what_was_measured(
    workspace: Workspace, store: Store, folder: Path, stand: Stand
) -> None:
    read(workspace, store, folder)
    reviewed(store, Judgement.CONFIRM)
    retrained(store, Decision.ACCEPTED)
    path = write_paper(stand(), workspace)
    page = path.read_text(encoding="utf-8")
    text = words(page)
    assert path == workspace.root / "reports" / "poc.html"
    assert "Since 2026-07-04, week 1 of 4" in text
    assert "Low contrast: 0.55 x 6 errors (4 escapes, 2 overkills and 0 confusions)" in text.replace(
        "\u00a0", " "
    )
    assert "confirm Mori, 2026-07-10 09:00 UTC: lamp 3" in text.replace("\u00a0", " ")
    assert "100 0 80 +70 to +87 points" in text.replace("\u00a0", " ")
    assert "No price is set." in text
    assert "EUR" not in text
    assert "data:image/png;base64," in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "<script" not in page


def test_a_paper_without_figures_says_so(stand: Stand, workspace: Workspace) -> None:
    text = words(write_paper(stand(), workspace).read_text(encoding="utf-8"))
    assert text.count("No figures yet.") >= 5
    assert "No log has been read yet." in text
    assert not re.search(r"\d %", text)


def test_prices_stand_with_their_assumptions(
    workspace: Workspace, store: Store, folder: Path, stand: Stand
) -> None:
    read(workspace, store, folder)
    priced = replace(workspace, settings=Settings(worth={"escape_price": 200, "overkill_price": 3}))
    begun = Begun(started=FIRST, folder=folder)
    text = words(write_paper(look(priced, store, begun, FIRST), priced).read_text(encoding="utf-8"))
    assert (
        "The errors above cost EUR 806. Assumed: 200 for a defect passed as good and 3 for a good part"
        in text
    )


def test_the_paper_speaks_japanese(workspace: Workspace, store: Store, folder: Path, stand: Stand) -> None:
    read(workspace, store, folder)
    reviewed(store, Judgement.CONFIRM)
    retrained(store, Decision.ACCEPTED)
    spoken = replace(workspace, settings=Settings(report={"language": "ja"}))
    text = words(write_paper(stand(), spoken).read_text(encoding="utf-8"))
    assert "今お願いしたいこと" in text
    assert "4週間の計画" in text
    with speaking("ja"):
        assert ask_in_words(stand()) in text
