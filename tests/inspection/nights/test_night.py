"""A night's identity, how it goes on after a stop, and the summary that a script reads."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from time import sleep
from typing import Any, cast

import pytest

from inspection.errors import LogError, StoreError, WorkspaceError
from inspection.findings import (
    ErrorKind,
    FailureMode,
    FlipRate,
    LogContext,
    LoggedError,
    Night,
    NightState,
    RightPart,
    SetAside,
    Trend,
)
from inspection.inputs.defect_log import REASONS, LogRow
from inspection.nights import night as nights
from inspection.nights import summary as night_summary
from inspection.nights.night import Results, Site
from inspection.nights.phrases import worded
from inspection.nights.review import title
from inspection.workspace.files import sha256_of
from inspection.workspace.settings import of_a_night
from tests.inspection.conftest import DIMMED, FinishedNight, Plant, rewrite_settings
from tests.inspection.workspace.records import a_retraining


@pytest.fixture
def mine(plant: Plant, tmp_path: Path) -> Plant:
    copy = plant.copied(tmp_path / "workspace")
    return replace(copy, log=Path(shutil.copy(plant.log, tmp_path / "log.csv")))


@pytest.fixture
def site(mine: Plant) -> Site:
    return nights.open_site(str(mine.workspace.root))


def begun(site: Site, log: Path, query: str | None = None, again: bool = False) -> Night:
    return nights.begin(site, log, None, query, again)


def finished_of(site: Site, night: Night) -> Night:
    return nights.finish(site, night, Results(3, 0, (SetAside(1, "not_an_error", "fine"),)))


def unreadable_of(site: Site, night: Night) -> Night:
    return nights.finish(site, night, Results(1, 0, (SetAside(1, "missing_image", "gone"),)))


# --- what makes a night the same night ---

LOG = Path("/logs/a.csv")
SETTINGS: dict[str, object] = {"blame": {"filters": 20}, "compute": {"seed": 0}}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param({}, True, id="nothing"),
        pytest.param(
            {"settings": {"compute": {"seed": 0}, "blame": {"filters": 20}}}, True, id="the order of settings"
        ),
        pytest.param({"log_sha256": "b" * 64}, False, id="the log"),
        pytest.param({"place": Path("/logs/b.csv")}, False, id="the log's place"),
        pytest.param({"registration": "d" * 64}, False, id="the model"),
        pytest.param({"settings": {"blame": {"filters": 21}, "compute": {"seed": 0}}}, False, id="a setting"),
        pytest.param({"query": "SELECT 1"}, False, id="the query"),
    ],
)
def test_the_fingerprint_changes_with_its_parts_and_only_then(change: dict[str, object], same: bool) -> None:
    parts: dict[str, object] = {
        "place": LOG,
        "log_sha256": "a" * 64,
        "registration": "c" * 64,
        "settings": SETTINGS,
        "query": None,
    }
    before, after = (nights.fingerprint(**each) for each in (parts, {**parts, **change}))  # type: ignore[arg-type]
    assert (before == after) is same
    assert len(before) == 8
    assert set(before) <= set("0123456789abcdef")


def test_a_night_begins_with_all_that_it_is_known_by(site: Site, mine: Plant) -> None:
    before = datetime.now(UTC)
    night = begun(site, mine.log)
    day = datetime.now().astimezone().strftime("%Y%m%d")
    registration = f"{mine.model.model_hash} {mine.model.registered_at.isoformat()}"
    settings = of_a_night(mine.settings)
    mark = nights.fingerprint(mine.log, sha256_of(mine.log), registration, settings, None)
    assert night.night_id == f"{day}-{mark}"
    assert (night.state, night.message, night.finished_at) == (NightState.RUNNING, "", None)
    assert (night.model_hash, night.log_path) == (mine.model.model_hash, str(mine.log))
    assert night.log_sha256 == sha256_of(mine.log)
    assert night.settings == of_a_night(mine.settings)
    assert before <= night.started_at <= datetime.now(UTC)
    assert site.store.night() == night


def test_another_log_model_setting_or_query_is_another_night(site: Site, mine: Plant, tmp_path: Path) -> None:
    first = begun(site, mine.log)
    shorter = tmp_path / "shorter.csv"
    shorter.write_text("\n".join(mine.log.read_text().splitlines()[:-1]) + "\n", encoding="utf-8")
    site.store.add_model(replace(mine.model, model_hash="0" * 64, registered_at=datetime.now(UTC)), [])
    stricter = nights.open_site(mine.copied(tmp_path / "other", "blame.filters = 3").workspace.root)
    others = [
        begun(site, shorter),
        nights.begin(site, mine.log, "0" * 16, None, again=False),
        begun(stricter, mine.log),
        begun(site, mine.log, query="SELECT 1"),
    ]
    marks = [night.night_id.split("-")[1] for night in (first, *others)]
    assert len(set(marks)) == 5


def test_the_model_is_the_newest_deployed_or_the_one_that_is_named(site: Site, mine: Plant) -> None:
    newer = replace(mine.model, model_hash="1" * 64, registered_at=mine.model.registered_at + timedelta(1))
    candidate = replace(newer, model_hash="2" * 64)
    site.store.add_model(newer, [])
    site.store.add_retraining(a_retraining("r1", "m-1"), candidate)
    assert begun(site, mine.log).model_hash == "1" * 64
    assert nights.begin(site, mine.log, mine.model.model_hash[:10], None, False).model_hash == (
        mine.model.model_hash
    )


# --- where images lie ---


def test_where_images_lie_makes_no_other_night(site: Site, mine: Plant, tmp_path: Path) -> None:
    """The root of a log's images is renamed, and mounted elsewhere; the log moves along."""
    done, ids = list[Night](), set[str]()
    for root in ("/mnt/a", "/mnt/b"):
        log = Path(shutil.copy(mine.log, tmp_path / root.replace("/", "-")))
        rewrite_settings(mine.workspace.root, f'defect_log.images_root = "{root}"')
        rewrite_settings(mine.workspace.root, f"defect_log.paths = {{ 'Z:' = '{root}' }}")
        here = nights.open_site(mine.workspace.root)
        found = nights.finished(here, log, None, None)
        done.append(finished_of(here, begun(here, log)) if found is None else found)
        ids.add(begun(here, log).night_id)
    assert len(ids) == 1
    assert done[0] == done[1]


def test_a_night_from_before_is_known_although_where_images_lie_counted_then(site: Site, mine: Plant) -> None:
    rewrite_settings(mine.workspace.root, 'defect_log.images_root = "/mnt/a"')
    here = nights.open_site(mine.workspace.root)
    before = of_before(here, replace(mine, workspace=here.workspace), NightState.FINISHED)
    assert begun(here, mine.log).night_id == before.night_id


@pytest.mark.parametrize("state", [NightState.FINISHED, NightState.FAILED])
def test_a_night_that_missed_images_or_has_not_ended_looks_anew_where_they_lie_now(
    site: Site, mine: Plant, state: NightState
) -> None:
    first = begun(site, mine.log)
    if state is NightState.FINISHED:
        nights.finish(site, first, Results(3, 2, (SetAside(1, "missing_image", "gone"),)))
    else:
        site.store.fail_night(first.night_id, "the share went away")
    assert begun(site, mine.log).night_id == first.night_id
    rewrite_settings(mine.workspace.root, 'defect_log.images_root = "/mnt/b"')
    assert begun(nights.open_site(mine.workspace.root), mine.log).night_id != first.night_id


def test_a_relative_root_starts_in_the_workspace(site: Site, mine: Plant, tmp_path: Path) -> None:
    shutil.copytree(mine.images, mine.workspace.root / "pictures")
    log = tmp_path / "relative.csv"
    text = mine.log.read_text(encoding="utf-8").replace(f"{mine.images}/", "").replace("/", "\\")
    log.write_text(text, encoding="utf-8")
    rewrite_settings(mine.workspace.root, 'defect_log.images_root = "pictures"')
    here = nights.open_site(mine.workspace.root)
    found = nights.read_log(here, begun(here, log), None)
    assert {row.image_path.parents[2] for row in found.rows} == {mine.workspace.root / "pictures"}
    assert found.set_aside == ()


# --- begun again ---


def test_a_night_that_was_interrupted_goes_on_under_its_name(site: Site, mine: Plant) -> None:
    first = begun(site, mine.log)
    assert begun(site, mine.log) == first
    assert len(site.store.nights()) == 1


def test_a_night_that_failed_goes_on_under_its_name(site: Site, mine: Plant) -> None:
    first = begun(site, mine.log)
    site.store.fail_night(first.night_id, "the disk was full")
    failed = site.store.night(first.night_id)
    assert (failed.state, failed.message) == (NightState.FAILED, "the disk was full")
    resumed = begun(site, mine.log)
    assert resumed == first
    assert site.store.night(first.night_id) == first


def test_a_finished_night_is_returned_as_it_is(site: Site, mine: Plant) -> None:
    done = finished_of(site, begun(site, mine.log))
    again = begun(site, mine.log)
    assert again == done
    assert again.state is NightState.FINISHED
    assert site.store.night() == done


def with_names_of_before(settings: dict[str, Any]) -> dict[str, object]:
    """Settings as earlier versions stored them: two by other names, three that are no more, one not yet."""
    blame, matching = dict(settings["blame"]), dict(settings["matching"])
    log = {name: value for name, value in settings["defect_log"].items() if name != "paths"}
    matching["beyond_own"] = matching.pop("beyond_unchanged")
    matching["beyond_any_day"] = matching.pop("beyond_baseline")
    more = {"rival_margin": 0.05, "beyond_either": 0.2}
    return {
        **settings,
        "defect_log": log,
        "blame": {**blame, "sounding_errors": 32},
        "matching": {**matching, **more},
        "serve": {"port": 8000},  # which was kept with a night, and decided nothing of it
    }


def of_before(site: Site, mine: Plant, state: NightState) -> Night:
    """A night over the plant's log as an earlier version stored it, under the mark that it then had."""
    settings = with_names_of_before(of_a_night(mine.settings))
    registration = f"{mine.model.model_hash} {mine.model.registered_at.isoformat()}"
    mark = nights.fingerprint(mine.log, sha256_of(mine.log), registration, settings, None)
    begun_then = Night(
        night_id=f"20260704-{mark}",
        model_hash=mine.model.model_hash,
        log_path=str(mine.log),
        log_sha256=sha256_of(mine.log),
        started_at=datetime(2026, 7, 4, 2, 0, tzinfo=UTC),
        finished_at=None,
        state=NightState.RUNNING,
        settings=settings,
    )
    site.store.start_night(begun_then)
    return finished_of(site, begun_then) if state is NightState.FINISHED else begun_then


@pytest.mark.parametrize("state", [NightState.FINISHED, NightState.RUNNING])
def test_a_night_whose_settings_had_other_names_is_the_same_night(
    site: Site, mine: Plant, state: NightState
) -> None:
    earlier = of_before(site, mine, state)
    found = begun(site, mine.log)
    assert found == earlier
    assert found.state is state
    assert [each.night_id for each in site.store.nights()] == [earlier.night_id]
    anew = begun(site, mine.log, again=True)
    assert anew.night_id.endswith("-2")
    assert anew.settings == of_a_night(mine.settings)


def test_a_night_of_before_with_other_values_is_another_night(
    site: Site, mine: Plant, tmp_path: Path
) -> None:
    """One of a setting that has another name now, another of one that has not."""
    earlier = of_before(site, mine, NightState.FINISHED)
    for i, change in enumerate(("matching.beyond_unchanged = 0.3", "blame.filters = 3")):
        other = nights.open_site(mine.copied(tmp_path / f"other-{i}", change).workspace.root)
        night = begun(other, mine.log)
        assert (night.night_id == earlier.night_id, night.state) == (False, NightState.RUNNING)
        assert len(other.store.nights()) == 2
    assert begun(site, mine.log, query="SELECT 1").night_id != earlier.night_id


def test_after_a_night_that_could_read_nothing_the_same_command_begins_anew(site: Site, mine: Plant) -> None:
    first = unreadable_of(site, begun(site, mine.log))
    assert first.state is NightState.UNREADABLE
    second = begun(site, mine.log)
    assert (second.night_id, second.state) == (f"{first.night_id}-2", NightState.RUNNING)
    assert begun(site, mine.log) == second  # interrupted, it goes on
    done = finished_of(site, second)
    assert begun(site, mine.log) == done
    assert site.store.night(first.night_id) == first


def test_a_log_is_one_however_its_path_is_spelt(
    site: Site, mine: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = begun(site, mine.log)
    (tmp_path / "link.csv").symlink_to(mine.log)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    monkeypatch.chdir(tmp_path / "folder")
    for spelt in ("../log.csv", "../folder/../log.csv", "../link.csv", f"{tmp_path}/link/log.csv"):
        assert begun(site, Path(spelt)) == first
    assert first.log_path == str(mine.log.resolve())


def test_a_night_of_before_is_found_by_the_path_that_it_was_begun_with(
    site: Site, mine: Plant, tmp_path: Path
) -> None:
    (tmp_path / "link.csv").symlink_to(mine.log)
    earlier = of_before(site, replace(mine, log=tmp_path / "link.csv"), NightState.FINISHED)
    assert begun(site, tmp_path / "link.csv") == earlier
    assert begun(site, mine.log).night_id != earlier.night_id


def test_asked_for_again_it_is_a_new_night(site: Site, mine: Plant) -> None:
    first = finished_of(site, begun(site, mine.log))
    second = begun(site, mine.log, again=True)
    assert second.night_id == f"{first.night_id}-2"
    assert second.state is NightState.RUNNING
    finished_of(site, second)
    third = begun(site, mine.log, again=True)
    assert third.night_id == f"{first.night_id}-3"
    assert {night.night_id for night in site.store.nights()} == {
        first.night_id,
        second.night_id,
        third.night_id,
    }
    assert begun(site, mine.log) == third  # the newest of them is the one that goes on


def test_the_first_time_again_is_the_first_time(site: Site, mine: Plant) -> None:
    assert begun(site, mine.log, again=True).night_id.count("-") == 1


# --- refused before it begins ---


def test_a_log_that_is_not_there(site: Site, tmp_path: Path) -> None:
    for path in (tmp_path / "gone.csv", tmp_path):
        with pytest.raises(LogError, match="no defect log at"):
            begun(site, path)
    (tmp_path / "empty.csv").touch()
    with pytest.raises(LogError, match=r"empty\.csv.*empty \(0 bytes\)"):
        begun(site, tmp_path / "empty.csv")
    assert site.store.nights() == []


def test_a_model_that_is_not_there(site: Site, mine: Plant) -> None:
    with pytest.raises(StoreError, match=f"no model 'ffff'; the store has: {mine.model.model_hash}"):
        nights.begin(site, mine.log, "ffff", None, again=False)
    assert site.store.nights() == []


def test_a_workspace_that_cannot_be_written_to(site: Site, mine: Plant) -> None:
    (mine.workspace.root / "reports").rmdir()
    (mine.workspace.root / "reports").write_text("in the way", encoding="utf-8")
    with pytest.raises(WorkspaceError, match="reports"):
        begun(site, mine.log)
    assert site.store.nights() == []


# --- reading its log ---


def test_the_log_is_read_with_the_maps_of_the_settings(plant: Plant, tmp_path: Path) -> None:
    images = plant.labelled("aged")
    log = tmp_path / "log.csv"
    lines = [f"{each.path.relative_to(plant.images).as_posix()},NG,fine" for each in images[:1]]
    log.write_text("\n".join(["File,Model,Operator", *lines]) + "\n", encoding="utf-8")
    mine = plant.copied(
        tmp_path / "workspace",
        'defect_log.columns = { image_path = "File", predicted_label = "Model", true_label = "Operator" }\n'
        'defect_log.labels = { NG = "scratch", fine = "good" }\n'
        f'defect_log.images_root = "{plant.images.as_posix()}"',
    )
    site = nights.open_site(mine.workspace.root)
    counted: list[int] = []
    (row,) = nights.read_log(site, begun(site, log), None, counted.append).rows
    assert (row.image_path, row.predicted_label, row.true_label) == (images[0].path, "scratch", "good")
    assert sum(counted) == 1


def test_the_images_of_a_log_may_lie_in_a_store(plant: Plant, tmp_path: Path) -> None:
    """A folder of this machine by its address, as fsspec has it: what is read is a copy."""
    aged, log = plant.labelled("aged"), tmp_path / "log.csv"
    store = f"local://{plant.images.as_posix()}"
    spelt = [each.path.relative_to(plant.images).as_posix() for each in aged[:3]]
    rows = [f"{spelt[0]},pit,good", f"{spelt[1]}.gone,pit,good", f"{spelt[2]},good,good"]
    log.write_text("\n".join(["image_path,predicted_label,true_label", *rows]) + "\n", encoding="utf-8")
    mine = plant.copied(tmp_path / "workspace", f'defect_log.images_root = "{store}"')
    site = nights.open_site(mine.workspace.root)
    found = nights.read_log(site, begun(site, log), None)
    (row,) = found.rows
    assert row.image_path.is_relative_to(mine.workspace.copies)
    assert row.image_path.read_bytes() == aged[0].path.read_bytes()
    assert row.said.more == {"image_address": f"{store}/{spelt[0]}"}
    assert {each.row: each.reason for each in found.set_aside} == {2: "missing_image", 3: "not_an_error"}
    assert [each.source for each in found.right] == [f"{store}/{spelt[2]}"]
    done = nights.finish(site, begun(site, log), Results(3, 1, found.set_aside, right=found.right))
    assert [part.image_path for part in done.right] == [f"{store}/{spelt[2]}"]


def test_a_log_that_grew_since_the_night_began_is_not_read(site: Site, mine: Plant) -> None:
    night = begun(site, mine.log)
    with mine.log.open("a", encoding="utf-8") as log:
        log.write("x.png,pit,good\n")
    with pytest.raises(
        LogError, match=r"log\.csv: the defect log changed after the night began.*run the same"
    ):
        nights.read_log(site, night, None)
    anew = begun(site, mine.log)
    assert anew.night_id != night.night_id
    assert len(nights.read_log(site, anew, None).set_aside) == 1


def test_images_of_another_machine_are_found_by_the_map_of_paths(plant: Plant, tmp_path: Path) -> None:
    image = plant.labelled("aged")[0].path
    mine = plant.copied(tmp_path / "workspace", f"defect_log.paths = {{ 'Z:\\aged' = '{image.parent}' }}")
    log = tmp_path / "log.csv"
    log.write_text(
        f"image_path,predicted_label,true_label\nz:\\Aged\\{image.name},pit,good\n", encoding="utf-8"
    )
    site = nights.open_site(mine.workspace.root)
    (row,) = nights.read_log(site, begun(site, log), None).rows
    assert row.image_path == image


def test_relative_images_start_at_the_logs_folder(site: Site, plant: Plant, mine: Plant) -> None:
    image = plant.labelled("aged")[0].path
    shutil.copy(image, mine.log.parent / "x.png")
    mine.log.write_text("image_path,predicted_label,true_label\nx.png,pit,good\n", encoding="utf-8")
    (row,) = nights.read_log(site, begun(site, mine.log), None).rows
    assert row.image_path == mine.log.parent / "x.png"


# --- put together ---


def error(row: int, true: str, predicted: str, kind: ErrorKind = ErrorKind.CONFUSION) -> LoggedError:
    return LoggedError(row, f"i-{row}", f"/{row}.png", true, predicted, kind, 1.0, f"{row}.png")


def rate(layer: str, blame: float, deviation: float, random: float, gain_lower: float) -> FlipRate:
    return FlipRate(layer, 4, 16, blame, deviation, random, gain_lower, 0.5, 0.01, 1.0)


RATES = [
    rate("a", blame=0.9, deviation=0.85, random=0.1, gain_lower=-0.1),  # withheld, gain 0.05
    rate("b", blame=0.5, deviation=0.1, random=0.3, gain_lower=0.1),  # gain 0.2
    rate("c", blame=0.6, deviation=0.3, random=0.1, gain_lower=0.01),  # gain 0.3
    rate("d", blame=0.3, deviation=0.0, random=0.0, gain_lower=0.0),  # withheld, gain 0.3
]


def test_layers_that_beat_their_controls_come_first_by_their_gain() -> None:
    assert [each.layer for each in nights.best_first(RATES)] == ["c", "b", "d", "a"]
    assert [each.layer for each in nights.best_first(RATES[::-1])] == ["c", "b", "d", "a"]


def test_a_mode_is_named_after_its_most_frequent_confusion() -> None:
    errors = [error(1, "pit", "good"), error(2, "dent", "stain"), error(3, "dent", "stain")]
    mode = nights.complete(
        FailureMode("n-1", "", tuple(errors), (RATES[0],), (), DIMMED, None, signature=(0.6, 0.8))
    )
    assert mode.title == "dent taken for stain (2 of 3 errors)"
    assert (mode.mode_id, mode.errors, mode.flip_rates) == ("n-1", tuple(errors), (RATES[0],))
    assert (mode.diagnosis, mode.recipe) == (worded(DIMMED), None)
    assert mode.diagnosis.sentence.startswith(
        "The light is dimmer: dimmer lamp (42\N{NO-BREAK SPACE}% of the light)"
    )
    assert (mode.lineage, mode.signature, mode.suspects) == ("n-1", (0.6, 0.8), ())


def _fail_after(seconds: float) -> None:
    sleep(seconds)
    raise LogError("cut short")


def test_times_of_a_step_add_up_also_where_it_fails() -> None:
    seconds: dict[str, float] = {"images": 1.0}
    for _ in range(2):
        with nights.timed(seconds, "blame"):
            sleep(0.03)
    assert 0.06 <= seconds["blame"] < 1.0
    with pytest.raises(LogError), nights.timed(seconds, "images"):
        _fail_after(0.02)
    assert 1.02 <= seconds["images"] < 2.0
    assert list(seconds) == ["images", "blame"]


# --- finished ---


def test_a_finished_night_stands_in_the_store_with_its_report(finished: FinishedNight) -> None:
    night, plant = finished.night, finished.plant
    assert plant.store.night(night.night_id) == night
    assert night.state is NightState.FINISHED
    assert night.finished_at is not None
    assert night.started_at < night.finished_at
    assert night.report_path == f"reports/{night.night_id}.html"
    report = (plant.workspace.root / night.report_path).read_text(encoding="utf-8")
    assert worded(DIMMED).sentence in report
    assert title(night.modes[0]) in report
    assert (night.rows_read, night.errors_read, night.message) == (
        len(plant.read_log().rows),
        len(night.modes[0].errors),
        "",
    )


def test_the_seconds_of_several_runs_are_kept(site: Site, mine: Plant) -> None:
    night = replace(begun(site, mine.log), seconds={"log": 1.0, "blame": 2.0})
    assert nights.finish(site, night, Results(1, 1, seconds={"blame": 3.0, "recipe": 4.0})).seconds == {
        "log": 1.0,
        "blame": 3.0,
        "recipe": 4.0,
    }


def test_a_night_without_an_error_says_what_became_of_the_rows(site: Site, mine: Plant) -> None:
    asides = tuple(SetAside(i, REASONS[3] if i < 3 else "not_reproduced", "...") for i in range(1, 6))
    night = nights.finish(site, begun(site, mine.log), Results(5, 0, asides))
    assert night.message == (
        "no error is left to diagnose: of 5 rows 5 were set aside (3 not_reproduced, 2 missing_image); "
        "this is not a night without errors; register the model that the line runs, or name it with --model; "
        "mount the folder of the images, or say where they lie, by defect_log.images_root or "
        "[defect_log.paths] in fmi.toml; then run the same command: it reads again"
    )
    assert site.store.night(night.night_id) == night


@pytest.mark.parametrize(
    ("errors", "asides", "state"),
    [
        pytest.param(0, {}, NightState.FINISHED, id="a log without rows"),
        pytest.param(0, {"not_an_error": 9}, NightState.FINISHED, id="right answers"),
        pytest.param(0, {"not_an_error": 9, "malformed": 1}, NightState.FINISHED, id="and a broken line"),
        pytest.param(0, {"not_an_error": 9, "not_verified": 90}, NightState.FINISHED, id="some verified"),
        pytest.param(0, {"superseded": 1, "not_an_error": 1}, NightState.FINISHED, id="corrected"),
        pytest.param(0, {"not_verified": 9}, NightState.UNREADABLE, id="nothing verified"),
        pytest.param(0, {"malformed": 9}, NightState.UNREADABLE, id="no row"),
        pytest.param(0, {"unknown_class": 9, "not_verified": 1}, NightState.UNREADABLE, id="no class"),
        pytest.param(0, {"missing_image": 1}, NightState.UNREADABLE, id="no image"),
        pytest.param(0, {"unreadable_image": 1, "hash_mismatch": 1}, NightState.UNREADABLE, id="bad images"),
        pytest.param(0, {"not_an_error": 99, "missing_image": 1}, NightState.UNREADABLE, id="no error"),
        pytest.param(0, {"not_reproduced": 9}, NightState.UNREADABLE, id="another model's errors"),
        pytest.param(0, {"conflicting": 2}, NightState.UNREADABLE, id="contradictions"),
        pytest.param(1, {"missing_image": 99}, NightState.FINISHED, id="one error read"),
    ],
)
def test_what_a_night_without_an_error_means(errors: int, asides: dict[str, int], state: NightState) -> None:
    listed = [reason for reason, count in asides.items() for _ in range(count)]
    assert set(asides) <= set(REASONS)
    set_aside = tuple(SetAside(i, reason, "...") for i, reason in enumerate(listed, 1))
    assert Results(errors + len(listed), errors, set_aside).state is state


def test_a_log_without_rows_ends_a_failure_mode(site: Site, mine: Plant) -> None:
    a_night(site, mine, 1, a=(12, (1.0, 0.0)))
    night = nights.finish(site, begun(site, mine.log, again=True), Results(0, 0))
    assert (night.state, night.gone) == (NightState.FINISHED, ("a-1",))
    assert night.message == "the defect log has no rows: a night without errors"


def test_a_night_that_could_read_nothing_ends_none(site: Site, mine: Plant) -> None:
    a_night(site, mine, 1, a=(12, (1.0, 0.0)))
    lost = unreadable_of(site, replace(begun(site, mine.log, again=True), started_at=july(2)))
    assert (lost.state, lost.gone) == (NightState.UNREADABLE, ())
    after = a_night(site, mine, 3, b=(31, (1.0, 0.0)))
    assert [(each.lineage, each.trend, each.previous_errors) for each in after.modes] == [
        ("a-1", Trend.GROWING, 12)
    ]


def test_a_night_that_lost_much_calls_nothing_gone_and_the_next_does(site: Site, mine: Plant) -> None:
    a_night(site, mine, 1, a=(12, (1.0, 0.0)))
    lost = tuple(SetAside(i, "missing_image", "...") for i in range(1, 11))
    night = replace(begun(site, mine.log, again=True), started_at=july(2))
    second = nights.finish(site, night, Results(40, 30, lost, unclustered=errors_of(30)))
    assert (second.state, second.gone) == (NightState.FINISHED, ())
    assert second.message.startswith("10 of 40 rows that are or may be errors could not be used")
    assert "--again" in second.message
    assert a_night(site, mine, 3, b=(9, (0.0, 1.0))).gone == ("a-1",)
    assert a_night(site, mine, 4, c=(9, (0.0, 1.0))).gone == ()


def july(day: int) -> datetime:
    return datetime(2026, 7, day, tzinfo=UTC)


def test_what_was_understood_otherwise_is_told(site: Site, mine: Plant) -> None:
    note = "label '1.0' was taken for class '1' in 3 rows"
    night = nights.finish(site, begun(site, mine.log), Results(3, 3, notes=(note,)))
    assert night.message == note


# --- the files that a night made ---


def test_the_missing_files_of_a_night(finished: FinishedNight, tmp_path: Path) -> None:
    mine = finished.copied(tmp_path / "workspace")
    site, night = nights.open_site(mine.plant.workspace.root), finished.night
    assert nights.missing_files(site, night) == ()
    (mode,) = night.modes
    assert mode.recipe is not None
    lost = (night.report_path or "", mode.errors[3].picture, mode.filters[0].patches[0],
            mode.filters[0].primitives[0].picture, mode.recipe.path, mode.recipe.examples[0][1])  # fmt: skip
    for path in lost:
        (site.workspace.root / path).unlink()
    assert nights.missing_files(site, night) == lost


def test_a_texture_that_a_recipe_names_is_a_file_of_the_night(
    finished: FinishedNight, tmp_path: Path
) -> None:
    mine = finished.copied(tmp_path / "workspace")
    site, (mode,) = nights.open_site(mine.plant.workspace.root), finished.night.modes
    assert mode.recipe is not None
    recipe = site.workspace.root / mode.recipe.path
    with recipe.open("a", encoding="utf-8") as file:
        file.write(f"# {recipe.stem}-textures/residual-3.png {recipe.stem}-textures/pattern.png\n")
    folder = recipe.parent / f"{recipe.stem}-textures"
    folder.mkdir()
    (folder / "pattern.png").touch()
    assert nights.missing_files(site, finished.night) == (
        f"{site.workspace.relative(folder)}/residual-3.png",
    )


def test_a_report_is_written_again_with_a_note_and_all_else_stays(
    finished: FinishedNight, tmp_path: Path
) -> None:
    mine = finished.copied(tmp_path / "workspace")
    site, night = nights.open_site(mine.plant.workspace.root), finished.night
    report = site.workspace.root / (night.report_path or "")
    report.unlink()
    kept = nights.keep(site, night, "made again")
    assert kept == replace(night, message="made again")
    assert site.store.night(night.night_id) == kept
    assert "made again" in report.read_text(encoding="utf-8")
    assert nights.keep(site, kept, "made again") == kept  # told once


# --- from night to night ---


def a_night(site: Site, mine: Plant, day: int, **signed: tuple[int, tuple[float, ...]]) -> Night:
    """A night of 40 errors; each failure mode is given by its errors and its signature."""
    night = replace(begun(site, mine.log, again=True), started_at=datetime(2026, 7, day, tzinfo=UTC))
    modes = tuple(
        nights.complete(
            FailureMode(f"{name}-{number}", "", errors_of(count), (), (), DIMMED, None, signature=signature)
        )
        for number, (name, (count, signature)) in enumerate(signed.items(), 1)
    )
    lone = tuple(error(i, "dent", "stain", ErrorKind.CONFUSION) for i in range(2))
    return nights.finish(site, night, Results(50, 40, modes=modes, unclustered=lone))


def errors_of(count: int) -> tuple[LoggedError, ...]:
    return tuple(error(i, "pit", "good") for i in range(count))


def test_a_failure_mode_is_followed_from_night_to_night(site: Site, mine: Plant) -> None:
    lamp, blur, dust = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
    first = a_night(site, mine, 1, a=(12, lamp), b=(9, blur))
    assert [(each.lineage, each.trend, each.previous_errors) for each in first.modes] == [
        ("a-1", Trend.NEW, None),
        ("b-2", Trend.NEW, None),
    ]
    assert first.gone == ()

    second = a_night(site, mine, 2, c=(31, (0.9, 0.19**0.5, 0.0)), d=(3, dust))
    assert [(each.lineage, each.trend, each.previous_errors) for each in second.modes] == [
        ("a-1", Trend.GROWING, 12),
        ("d-2", Trend.NEW, None),
    ]
    assert second.gone == ("b-2",)
    assert site.store.night(second.night_id) == second

    third = a_night(site, mine, 3, e=(8, blur))  # it skipped a night
    assert [(each.lineage, each.trend, each.previous_errors) for each in third.modes] == [
        ("b-2", Trend.STEADY, 9)
    ]
    assert third.gone == ("a-1", "d-2")
    assert third.report_path is not None
    report = (site.workspace.root / third.report_path).read_text(encoding="utf-8")
    assert "Gone since the last night:" in report

    summary = night_summary.summary(third, site.workspace)
    assert (summary["unclustered"], summary["gone"]) == (2, ["a-1", "d-2"])
    assert summary["errors_by_kind"] == {"escape": 0, "overkill": 0, "confusion": 10}


def right_row(number: int, camera: str = "1", at: datetime | None = None, label: str = "good") -> LogRow:
    path = Path(f"/line/{number}.png")
    return LogRow(number, f"{number}", path, label, label, None, at, {"camera": camera})


def test_some_of_the_parts_that_went_right_are_kept_every_class_by_its_share(site: Site, mine: Plant) -> None:
    """They judge the candidates of a retraining; a large plant logs more of them than it needs."""
    labels = ["pit" if number % 10 == 0 else "good" for number in range(1, 2001)]
    right = tuple(right_row(number, label=label) for number, label in enumerate(labels, 1))
    night = nights.finish(site, begun(site, mine.log), Results(2000, 0, right=right))
    assert night.right_read == 2000
    assert Counter(part.label for part in night.right) == {"good": 450, "pit": 50}
    assert night.right[0] == RightPart(1, "/line/1.png", "good")
    assert site.store.night(night.night_id) == night


def test_a_night_tells_whom_its_failure_modes_affect(site: Site, mine: Plant) -> None:
    late = LogContext(
        captured_at=datetime(2026, 7, 2, 3, 10, tzinfo=timezone(timedelta(hours=9))), camera="2"
    )
    early = replace(late, captured_at=datetime(2026, 7, 2, 1, tzinfo=timezone(timedelta(hours=9))))
    errors = tuple(replace(each, context=late) for each in errors_of(8))
    mode = nights.complete(FailureMode("a-1", "", errors, (), (), DIMMED, None))
    lone = (replace(error(9, "pit", "good"), context=early),)
    right = tuple(right_row(i, f"{i % 4}", early.captured_at) for i in range(40))
    results = Results(60, 9, (SetAside(10, "missing_image", "gone"),), (mode,), lone, right=right)
    night = nights.finish(site, begun(site, mine.log), results)
    assert site.store.night(night.night_id) == night
    camera, time = night.modes[0].affected
    assert (camera.others, camera.of_others, camera.right_parts, camera.claimed) == (11, 41, 40, True)
    assert (time.others, time.of_others, time.claimed) == (0, 41, True)
    (told,) = cast(list[dict[str, object]], night_summary.summary(night, site.workspace)["failure_modes"])
    assert cast(list[dict[str, object]], told["affected"])[1] == {
        **{"origin": "captured_at", "value": "", "errors": 8, "of_mode": 8, "others": 0, "of_others": 41},
        **{"right_parts": 40, "p_value": time.p_value, "claimed": True},
        **{"since": "2026-07-01T18:10:00+00:00", "until": "2026-07-01T18:10:00+00:00", "utc_offset": 540},
    }


def test_another_model_knows_none_of_them(site: Site, mine: Plant) -> None:
    a_night(site, mine, 1, a=(12, (1.0, 0.0)))
    site.store.add_model(replace(mine.model, model_hash="0" * 64, registered_at=datetime.now(UTC)), [])
    other = a_night(site, mine, 2, b=(12, (1.0, 0.0)))
    assert other.model_hash == "0" * 64
    assert (other.modes[0].lineage, other.modes[0].trend, other.gone) == ("b-1", Trend.NEW, ())


def test_a_promoted_model_knows_those_of_the_model_before_it(site: Site, mine: Plant) -> None:
    a_night(site, mine, 1, a=(12, (1.0, 0.0)))
    promoted = replace(
        mine.model,
        model_hash="0" * 64,
        parent_hash=mine.model.model_hash,
        registered_at=datetime.now(UTC),
    )
    site.store.add_model(promoted, [])
    gone = a_night(site, mine, 2)
    assert (gone.model_hash, gone.gone) == ("0" * 64, ("a-1",))
    back = a_night(site, mine, 3, b=(12, (1.0, 0.0)))
    assert (back.modes[0].lineage, back.modes[0].previous_errors) == ("a-1", 12)


# --- the summary for scripts ---


def test_the_summary_of_a_night(finished: FinishedNight) -> None:
    night, root = finished.night, finished.plant.workspace.root
    mode = night.modes[0]
    summary = night_summary.summary(night, finished.plant.workspace)
    assert json.loads(json.dumps(summary)) == summary
    kinds = [each.kind.value for each in mode.errors]
    modes = summary.pop("failure_modes")
    assert summary == {
        "night_id": night.night_id,
        "state": "finished",
        "message": "",
        "model": finished.plant.model.model_hash,
        "rows_read": night.rows_read,
        "errors_read": len(mode.errors),
        "errors_by_kind": {kind: kinds.count(kind) for kind in ("escape", "overkill", "confusion")},
        "unclustered": 0,
        "gone": [],
        "rows_set_aside": 0,
        "set_aside_reasons": {},
        "report": str(root / "reports" / f"{night.night_id}.html"),
        "seconds": {"blame": 1.5},
    }
    assert isinstance(modes, list)
    (found,) = modes
    best = mode.flip_rates[0]
    assert found["flip_rates"][0] == {
        "layer": best.layer,
        "k": best.k,
        "flip_rate": best.blame,
        "control_deviation": best.deviation,
        "control_random": best.random,
        "gain_interval": [best.gain_lower, best.gain_upper],
        "collateral": best.collateral,
        "withheld": best.gain_lower <= 0,
    }
    assert len(found["flip_rates"]) == 2
    assert [each["filter"] for each in found["filters"]] == [each.name for each in mode.filters]
    assert [(each["primitives"], each["trusted_primitives"]) for each in found["filters"]] == [
        (2, sum(primitive.trusted for primitive in each.primitives)) for each in mode.filters
    ]
    expected = {
        "mode_id": f"{night.night_id}-1",
        "title": mode.title,
        "errors": len(mode.errors),
        "affected": [],
        "logged": {"model_version": {finished.plant.model.model_hash[:12]: len(mode.errors)}},
        "lineage": f"{night.night_id}-1",
        "trend": "new",
        "previous_errors": None,
        "cause": "appearance",
        "pair": [],
        "measured": None,
        "suspects": 0,
        "claimed": True,
        "family": "darker",
        "operation": "dimmer lamp",
        "strength": 1.25,
        "unit": "stops",
        "explained_share": 0.97,
        "overall_share": 0.9,
        "look_share": 0.8,
        "control_share": 0.2,
        "unchanged_share": 0.1,
        "nearer_share": 0.8,
        "alternatives": ["offset darker"],
        "sentence": worded(DIMMED).sentence,
        "reasons": [],
        "recipe": str(root / "artifacts" / night.night_id / f"recipe-{night.night_id}-1.yaml"),
    }
    assert {key: found[key] for key in expected} == expected
    assert set(found) == {*expected, "filters", "flip_rates"}


def test_the_summary_of_a_night_without_findings(site: Site, mine: Plant) -> None:
    night = begun(site, mine.log)
    asides = (SetAside(1, "missing_image", "gone"), SetAside(2, "duplicate", "twice"),
              SetAside(4, "missing_image", "gone"))  # fmt: skip
    summary = night_summary.summary(replace(night, set_aside=asides, message="why"), mine.workspace)
    assert summary["rows_set_aside"] == 3
    assert summary["set_aside_reasons"] == {"missing_image": 2, "duplicate": 1}
    assert (summary["failure_modes"], summary["report"], summary["message"]) == ([], None, "why")
