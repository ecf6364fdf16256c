"""Lines: which logs wait and are due, and the clock, on the days on which it changes, too."""

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from cronsim import CronSim

from inspection.errors import StoreError, WorkspaceError
from inspection.findings import Night, NightState
from inspection.nights import lines
from inspection.nights.lines import due, last_firing, next_firing, shifted, state_of, waiting, whole
from inspection.nights.night import Site, open_site
from inspection.workspace.files import sha256_of
from inspection.workspace.folder import Workspace
from inspection.workspace.settings import LineSettings
from inspection.workspace.store import Store
from tests.inspection.workspace.records import a_model, a_night

HEADER = "image_path,predicted_label,true_label\n"
ROW = "a.png,good,pit\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "logs of the front"
    folder.mkdir()
    return folder


@pytest.fixture
def site(workspace: Workspace, store: Store, folder: Path) -> Site:
    return of_line(workspace, folder)


@pytest.fixture(autouse=True)
def _model(store: Store) -> None:
    store.add_model(a_model(), [])


def of_line(workspace: Workspace, folder: Path, more: str = "") -> Site:
    text = f"[schedule]\nquiet_seconds = 0.4\n[lines.front]\nlogs = '{folder}'\n{more}"
    (workspace.root / "fmi.toml").write_text(text, encoding="utf-8")
    return open_site(workspace.root, "front")


def dropped(path: Path, rows: int = 1, minutes_ago: float = 0) -> Path:
    path.write_text(HEADER + ROW * rows, encoding="utf-8")
    then = time.time() - 60 * minutes_ago
    os.utime(path, (then, then))
    return path


def read(log: Path, **more: object) -> Night:
    said = {"log_sha256": sha256_of(log), "of_line": "front"} | more
    return replace(a_night(), **said)  # type: ignore[arg-type]


def names(logs: list[lines.WaitingLog]) -> list[str]:
    return [log.path.name for log in logs]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- logs ---


def test_logs_wait_in_the_order_in_which_they_came_and_each_content_once(site: Site, folder: Path) -> None:
    dropped(folder / "b.csv", 1)
    time.sleep(0.05)
    dropped(folder / "a.csv", 2)
    dropped(folder / "copy of a.csv", 2)
    assert names(waiting(site)) == ["b.csv", "a.csv"]


def test_what_a_night_of_the_line_finished_is_not_read_again(site: Site, folder: Path) -> None:
    log = dropped(folder / "a.csv")
    for state in (NightState.RUNNING, NightState.FAILED, NightState.UNREADABLE):
        site.store.finish_night(read(log, state=state))
        assert names(waiting(site)) == ["a.csv"]
    site.store.finish_night(read(log, of_line="rear"))
    assert names(waiting(site)) == ["a.csv"]
    site.store.finish_night(read(log, of_line=""))  # by hand, without a line
    assert waiting(site) == []
    dropped(folder / "a.csv", 2)
    assert names(waiting(site)) == ["a.csv"]


def test_what_was_set_aside_waits_no_more_until_it_is_taken_up(site: Site, folder: Path) -> None:
    dropped(folder / "a.csv")
    (log,) = waiting(site)
    lines.set_aside(site, log, "no reason")
    assert waiting(site) == []
    (refused,) = state_of(site).set_aside
    assert (refused.log_path, refused.reason) == (str(folder / "a.csv"), "no reason")
    site.store.take_up_logs("front")
    assert waiting(site) == [log]


def test_a_log_whose_night_was_removed_is_not_read_again(site: Site, folder: Path) -> None:
    log = dropped(folder / "a.csv")
    site.store.finish_night(read(log, modes=()))
    site.store.finish_night(read(log, night_id="later", started_at=a_night().started_at + timedelta(days=1)))
    assert site.store.prune(["2026-03-01"], datetime.now(UTC)) == ["2026-03-01"]
    assert waiting(site) == []


def test_a_table_that_is_no_log_waits_with_the_reason_and_an_empty_file_waits_not(
    site: Site, folder: Path
) -> None:
    (folder / "parts.csv").write_text("part,price\n1,2\n", encoding="utf-8")
    (folder / "begun.csv").touch()
    (log,) = waiting(site)
    assert log.path.name == "parts.csv"
    assert "has no column image_path" in log.why


def test_a_folder_that_is_not_there_is_told(workspace: Workspace, store: Store, tmp_path: Path) -> None:
    site = of_line(workspace, tmp_path / "unmounted")
    with pytest.raises(WorkspaceError, match=r"line 'front': .*unmounted is not there; mount it"):
        waiting(site)


def test_a_model_that_is_not_there_is_told_of_the_line_and_costs_no_log(
    workspace: Workspace, folder: Path
) -> None:
    site = of_line(workspace, folder, "model = 'rear'\n")
    dropped(folder / "a.csv")
    with pytest.raises(StoreError, match="no model 'rear'"):
        waiting(site)
    state = state_of(site)
    assert (state.trouble.split(";")[0], state.waiting, state.due) == ("no model 'rear'", (), 0)


def test_a_log_that_is_being_copied_is_waited_for(site: Site, folder: Path) -> None:
    dropped(folder / "done.csv")
    growing = folder / "growing.csv"
    growing.write_text(HEADER, encoding="utf-8")

    def copy() -> None:
        for _ in range(8):
            time.sleep(0.1)
            with growing.open("a", encoding="utf-8") as file:
                file.write(ROW)

    copying = Thread(target=copy)
    copying.start()
    assert names(whole(site)) == ["done.csv"]
    copying.join()
    assert names(whole(site)) == ["done.csv", "growing.csv"]


# --- the clock ---


def test_a_log_is_due_once_its_cron_came_after_it(workspace: Workspace, store: Store, folder: Path) -> None:
    site = of_line(workspace, folder, 'cron = "30 2 * * *"\ntimezone = "Europe/Berlin"\n')
    dropped(folder / "a.csv")
    (log,) = waiting(site)
    firing = next_firing(site.workspace.line_settings, log.arrived)
    assert firing is not None
    assert due(site, firing - timedelta(seconds=1)) == []
    assert due(site, firing) == [log]
    assert due(site, firing + timedelta(days=9, hours=5)) == [log]  # nine nights were missed: one catches up


def berlin(cron: str = "30 2 * * *") -> LineSettings:
    return LineSettings(logs="x", cron=cron, timezone="Europe/Berlin")


def test_the_next_and_the_last_time_are_those_of_the_lines_zone() -> None:
    now = at("2026-07-01T00:29:30+00:00")
    assert next_firing(berlin(), now) == at("2026-07-01T02:30:00+02:00")
    assert last_firing(berlin(), now) == at("2026-06-30T02:30:00+02:00")
    assert last_firing(berlin(), at("2026-07-01T00:30:00+00:00")) == at("2026-07-01T02:30:00+02:00")
    assert next_firing(LineSettings(logs="x"), now) is None
    assert last_firing(LineSettings(logs="x"), now) is None


def test_a_night_whose_time_is_skipped_runs_at_the_change_and_one_that_comes_twice_runs_once() -> None:
    """By hand, of the calendar of 2026: on March 29 at 2:00 it is 3:00, on October 25 at 3:00 it is 2:00."""
    spring, autumn = shifted(berlin(), at("2026-01-01T00:00:00+00:00"))
    assert (spring.day, spring.usually, spring.skipped) == ("2026-03-29", "02:30", True)
    assert spring.runs.isoformat() == "2026-03-29T03:00:00+02:00"
    assert (autumn.day, autumn.usually, autumn.skipped) == ("2026-10-25", "02:30", False)
    assert autumn.runs.isoformat() == "2026-10-25T02:30:00+02:00"


@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        ("30 1 * * *", "Europe/Berlin"),
        ("0 3 * * *", "Europe/Berlin"),
        ("*/30 * * * *", "Europe/Berlin"),
        ("30 2 * * *", "Asia/Tokyo"),
        ("30 2 * * 1", "Europe/Berlin"),
        ("", "Europe/Berlin"),
    ],
)
def test_other_nights_are_not_moved(cron: str, zone: str) -> None:
    line = LineSettings(logs="x", cron=cron, timezone=zone)
    assert shifted(line, at("2026-01-01T00:00:00+00:00")) == []


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("hour", range(4))
def test_every_day_of_a_year_has_one_night(zone: str, hour: int) -> None:
    """Counted by the library that fires: what is said of the days of a change is what it does."""
    line = LineSettings(logs="x", cron=f"30 {hour} * * *", timezone=zone)
    start = datetime(2026, 1, 1, tzinfo=line.zone)
    firing = CronSim(line.cron, start)
    times = [next(firing) for _ in range(365)]
    assert [time.date() for time in times] == [(start + timedelta(days=day)).date() for day in range(365)]
    usual = {f"{time:%Y-%m-%d}" for time in times if f"{time:%H:%M}" != f"0{hour}:30"}
    told = {each.day: each.runs for each in shifted(line, start)}
    assert usual <= set(told)
    assert {day: runs for day, runs in told.items() if runs not in times} == {}


def test_a_cron_expression_and_a_zone_are_checked(workspace: Workspace, folder: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"lines\.front\.cron = '61 2 \* \* \*': .*not a cron"):
        of_line(workspace, folder, 'cron = "61 2 * * *"\n')
    with pytest.raises(WorkspaceError, match=r"lines\.front\.timezone = 'Mars/Base': .*no such time zone"):
        of_line(workspace, folder, 'timezone = "Mars/Base"\n')


# --- the settings of a line ---


def test_a_table_beneath_a_line_is_for_it_alone(workspace: Workspace, folder: Path) -> None:
    more = "[lines.rear]\nlogs = 'x'\n[lines.front.defect_log.labels]\nNG = 'pit'\n[blame]\nfilters = 7\n"
    front = of_line(workspace, folder, more).workspace.settings
    rear = open_site(workspace.root, "rear").workspace.settings
    assert (front.defect_log.labels, rear.defect_log.labels) == ({"NG": "pit"}, {})
    assert (front.blame.filters, rear.blame.filters) == (7, 7)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("[lines.front.blame]\nfilters = 0\n", r"lines\.front\.blame\.filters = 0: Input should be greater"),
        ("[lines.front.blame]\nfilter = 9\n", r"lines\.front\.blame\.filter = 9: there is no such name here"),
        (
            "[lines.front.serve]\nport = 9\n",
            r"lines\.front\.serve = .*no such name here; there are: logs, mod",
        ),
        (
            "crom = 'x'\n",
            r"lines\.front\.crom = 'x': there is no such name here; there are: logs, model, cron",
        ),
        ("[lines.'a/b']\nlogs = 'x'\n", r"lines\.a/b"),
    ],
)
def test_what_a_line_cannot_hold_is_told(
    workspace: Workspace, folder: Path, more: str, complaint: str
) -> None:
    with pytest.raises(WorkspaceError, match=complaint):
        of_line(workspace, folder, more)


def test_a_line_that_there_is_not_names_those_that_there_are(workspace: Workspace, folder: Path) -> None:
    of_line(workspace, folder)
    with pytest.raises(WorkspaceError, match=r"there is no line 'frnt' in fmi\.toml; there are: front"):
        open_site(workspace.root, "frnt")
