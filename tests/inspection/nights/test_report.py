"""The night's report: its numbers, its words, what it must not show, and how it is written."""

import base64
import csv
import hashlib
import html
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from inspection.errors import WorkspaceError
from inspection.findings import (
    Cause,
    ErrorKind,
    FilterName,
    Judgement,
    LogContext,
    LoggedError,
    Night,
    NightState,
    OperationMatch,
    SetAside,
    Trend,
    Verdict,
)
from inspection.models.promotion import promote
from inspection.nights import phrases
from inspection.nights.decisions import Decided, nights_of_models
from inspection.nights.report import picture_file, rewrite_report, write_report
from inspection.nights.review import how_sure
from inspection.workspace.folder import Workspace
from inspection.workspace.settings import Settings
from inspection.workspace.store import Store
from tests.dashboards.hand_made import (
    GONE,
    HOSTILE,
    LINEAGE,
    MODE_ID,
    MODEL,
    NIGHT_ID,
    STARTED,
    WITHHELD_ID,
    make_night,
)
from tests.inspection.workspace.records import a_retraining

HOUR = timedelta(hours=1)


@pytest.fixture
def night(workspace: Workspace) -> Night:
    return make_night(workspace)


def written(night: Night, workspace: Workspace) -> str:
    return write_report(night, workspace, MODEL).read_text(encoding="utf-8")


def words(page: str) -> str:
    """What a person reads: no style, no tags, single spaces."""
    without_style = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", without_style)).split())


def embedded(workspace: Workspace, name: str) -> str:
    content = (workspace.night_folder(NIGHT_ID) / f"{name}.png").read_bytes()
    return "data:image/png;base64," + base64.b64encode(content).decode()


def test_textures_are_called_what_experts_called_them(night: Night, workspace: Workspace) -> None:
    name = FilterName(MODEL.model_hash, "layer2", 17, "roller marks", "Sato", STARTED)
    page = words(
        write_report(night, workspace, MODEL, Decided(names={"layer2:17": (name,)})).read_text(
            encoding="utf-8"
        )
    )
    assert "roller marks layer2:17" in page
    assert "Named by Sato, 2026-07-04 02:00 UTC." in page


# --- what was decided since ---


@pytest.fixture
def store(workspace: Workspace, night: Night) -> Store:
    store = Store(workspace.store_path)
    store.create()
    store.add_model(MODEL, [])
    store.finish_night(night)
    return store


def rewritten(workspace: Workspace, store: Store) -> str:
    rewrite_report(workspace, lambda: store, NIGHT_ID)
    return words(workspace.report_path(NIGHT_ID).read_text(encoding="utf-8"))


def test_a_report_tells_what_was_decided_since(workspace: Workspace, store: Store) -> None:
    assert "What was decided Nobody has given a verdict yet." in rewritten(workspace, store)
    for judgement, comment in ((Judgement.CONFIRM, "ours"), (Judgement.OTHER_CAUSE, "<b>the lens</b>")):
        store.add_verdict(Verdict(MODE_ID, judgement, comment, "Sato", STARTED, "dust"))
    done = replace(a_retraining("r-1", MODE_ID), model_hash=MODEL.model_hash, candidate_hash="9f" * 32)
    store.add_retraining(done, replace(MODEL, model_hash="9f" * 32, parent_hash=MODEL.model_hash))
    page = rewritten(workspace, store)
    assert "What was decided other cause dust Sato 2026-07-04 02:00 UTC <b>the lens</b>" in page
    assert "accepted model v2 (candidate) errors fell" in page
    assert "94 % 85 % 57 % yes other cause" in page  # in the table at the top
    promote(store, "v2", "Sato", "mends the lamp")
    assert nights_of_models(store, "9f" * 32, None) == [NIGHT_ID]
    assert "accepted model v2 (deployed)" in rewritten(workspace, store)


def test_two_writers_of_a_report_take_turns_and_the_last_knows_all(
    workspace: Workspace, store: Store
) -> None:
    """No reader ever sees less than a whole report, and no writer that was slow puts an older one back."""
    path = write_report(store.night(NIGHT_ID), workspace, MODEL)

    def decide(number: int) -> None:
        store.add_verdict(Verdict(MODE_ID, Judgement.CONFIRM, "", f"<{number}>", STARTED + number * HOUR))
        rewrite_report(workspace, lambda: store, NIGHT_ID)

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(decide, number) for number in range(8)]
        while not all(each.done() for each in running):
            assert path.read_text(encoding="utf-8").endswith("</html>")
        for each in running:
            each.result()
    assert "confirmed <7> 2026-07-04 09:00" in words(path.read_text(encoding="utf-8"))
    assert [each.name for each in path.parent.iterdir() if each.name.startswith(".")] == []


def test_a_night_that_runs_has_no_report_to_write_again(workspace: Workspace, store: Store) -> None:
    night = store.night(NIGHT_ID)
    store.start_night(replace(night, night_id="now", state=NightState.RUNNING, modes=(), finished_at=None))
    rewrite_report(workspace, lambda: store, "now")
    assert not workspace.report_path("now").exists()


@pytest.mark.parametrize("share", [0.998, 0.9996, 0.002, 0.94])
def test_one_share_is_one_number_wherever_it_stands(night: Night, workspace: Workspace, share: float) -> None:
    """In the sentence, the figures, the bars and the signs: 99.8 % of one thing is nowhere 100 %."""
    mode = night.modes[0]
    best = replace(mode.diagnosis.matches[0], share=share)
    found = replace(
        mode.diagnosis, share=share, matches=(best, *mode.diagnosis.matches[1:]), meaning="the light is less"
    )
    found = replace(found, sentence="as an earlier version wrote it: 100%")
    page = words(written(replace(night, modes=(replace(mode, diagnosis=found),)), workspace))
    number = phrases.percent(share).replace("\u00a0", " ")
    assert f"explains {number} of what moved the blamed filters" in page
    assert f"explained share {number} of the errors' energy shift" in page
    assert "100%" not in page
    signs = [sign.text.replace("\u00a0", " ") for sign in how_sure(replace(mode, diagnosis=found)).signs]
    assert signs[0].startswith(f"Explains {number} of what moved")


# --- numbers ---


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.85, "85 %"),
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.002, "0.2 %"),
        (0.0004, "< 0.1 %"),
        (0.996, "99.6 %"),
        (0.9996, "> 99.9 %"),
        (-0.2, "−20 %"),
        (-0.0, "0 %"),
        (float("nan"), "–"),
    ],
)
def test_percent(share: float, expected: str) -> None:
    assert phrases.percent(share).replace("\u00a0", " ") == expected


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.0004, "p < 0.001"), (0.001, "p = 0.001"), (0.0123, "p = 0.012"), (0.774, "p = 0.77")],
)
def test_p_value(p: float, expected: str) -> None:
    assert phrases.p_value(p).replace("\u00a0", " ") == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.84, "0.8 s"), (9.96, "10 s"), (42.2, "42 s"), (185.0, "3 min 05 s"), (3719.6, "1 h 02 min")],
)
def test_duration(seconds: float, expected: str) -> None:
    assert phrases.duration(seconds).replace("\u00a0", " ") == expected


@pytest.mark.parametrize(
    ("change", "expected"), [(0.12, "+12"), (-0.06, "−6"), (-0.0033, "−0.3"), (0.0, "0.0"), (0.0002, "0.0")]
)
def test_points(change: float, expected: str) -> None:
    assert phrases.points(change) == expected


@pytest.mark.parametrize(
    ("share", "expected"), [(0.94, "94.0%"), (-0.2, "0.0%"), (1.3, "100.0%"), (0.123, "12.3%")]
)
def test_a_bar_stays_on_its_track(share: float, expected: str) -> None:
    assert phrases.reach(share) == expected


def test_what_is_not_a_number_is_a_dash() -> None:
    assert [phrases.number(float("nan")), phrases.signed(float("nan"))] == ["–", "–"]
    assert phrases.reach(float("nan")) == "0.0%"


def test_settings_become_dotted_rows() -> None:
    settings: dict[str, object] = {"blame": {"filters": 20, "deep": {"er": False}}, "columns": {}, "root": ""}
    assert list(phrases.setting_rows(settings)) == [
        ("blame.filters", "20"),
        ("blame.deep.er", "False"),
        ("columns", "none"),
        ("root", "none"),
    ]


def test_messages_keep_their_markup_to_themselves() -> None:
    assert phrases.prose("run `fmi <b>` now") == "run <code>fmi &lt;b&gt;</code> now"


# --- what the report says ---


def test_the_report_begins_with_counts_and_cause(night: Night, workspace: Workspace) -> None:
    text = words(written(night, workspace))
    assert "10 errors: 4 escapes, 2 overkills and 4 confusions." in text
    assert "6 errors: low contrast (0.55 x); 3 errors: check the labels; 1 error by itself." in text


def test_it_says_what_was_set_aside_and_why(night: Night, workspace: Workspace) -> None:
    text = words(written(night, workspace))
    assert (
        "3 rows of the defect log could not be used. Reason Rows the image is not there missing_image 2 "
        "no verdict by an operator yet not_verified 1" in text
    )
    assert "17 the image is not there there is no file /plant/line3/17.png" in text
    assert "31 no verdict by an operator yet no label by an operator –" in text


def test_an_error_shows_its_labels_kind_and_margin(night: Night, workspace: Workspace) -> None:
    page = written(night, workspace)
    assert "true scratch predicted good escape +2.50 logits" in words(page)
    assert page.count(embedded(workspace, "escape-0")) == 1


def test_shares_are_drawn_to_scale_beside_their_control(night: Night, workspace: Workspace) -> None:
    page = written(night, workspace)
    bars = re.findall(
        r'aria-label="(low contrast|gamma|noise): ([^"]+)">.*?class="fill".*?width="([\d.]+%)"', page, re.S
    )
    assert [(name, value.replace("\u00a0", " "), width) for name, value, width in bars] == [
        ("low contrast", "94 %", "94.0%"),
        ("gamma", "91 %", "91.0%"),
        ("noise", "−20 %", "0.0%"),
        ("noise", "21 %", "21.0%"),
    ]
    assert page.count('<line class="marker" x1="12.0%" x2="12.0%"') == 6
    assert "gamma 1.6 · alternative" in words(page)
    assert "low contrast 0.55 x 94 %" in words(page)
    assert "control: 12 %" in words(page)


def test_flip_rates_stand_beside_both_controls(night: Night, workspace: Workspace) -> None:
    page = written(night, workspace)
    assert "layer2 20 of 128 85 % 57 % 31 % +28 (+12 to +41) 3 % 1.42 holds" in words(page)
    assert "layer3 20 of 256 44 % 41 % 8 % +3 (−6 to +13) 0.2 % 0.61 withheld" in words(page)
    # The whisker starts at the better control: 0.57 + 0.12 to 0.57 + 0.41.
    assert '<line class="whisker" x1="69.0%" x2="98.0%"' in page


def test_a_withheld_finding_says_so_and_why(night: Night, workspace: Workspace) -> None:
    text = words(written(night, workspace))
    assert "Withheld: the filters of layer1. They are not claimed as a cause:" in text
    assert (
        "patching the 16 most blamed filters of layer1 turns 33 % of the errors right, "
        "the better control 29 %; the 95 % interval of the gain, −4 to +9 points, does not lie above zero."
    ) in text


def test_a_filter_card_has_its_numbers_and_pictures(night: Night, workspace: Workspace) -> None:
    page = written(night, workspace)
    text = words(page)
    assert (
        "layer2:17 rank 1 of its layer blame +1.00 logits energy shift −2.3 σ margin fall alone 0.37 logits"
        in text
    )
    assert "Texture primitives 2 of 3 passed the trust test" in text
    assert "rank 1, +4.2 σ · agreement 0.93" in text
    assert "residual" not in text.partition("How to read a texture primitive")[0]
    for name in ("primitive-17-1", "primitive-17-2", "patch-17-0", "patch-17-3"):
        assert embedded(workspace, name) in page


def test_filters_of_a_withheld_layer_get_numbers_but_no_card(night: Night, workspace: Workspace) -> None:
    page = written(night, workspace)
    assert page.count('class="card filter"') == 2
    assert 'aria-label="filter layer1:5"' not in page
    assert "layer1:5 1 +0.20 +1.1 0.05" in words(page)


def test_a_primitive_that_failed_the_trust_test_is_not_shown(night: Night, workspace: Workspace) -> None:
    page = written(night, workspace)
    assert embedded(workspace, "withheld-17-3") not in page
    assert embedded(workspace, "withheld-93-3") not in page
    text = words(page)
    assert (
        text.count("Withheld It failed the trust test: fed back, its filter ranks 9 of 128 (needed: 1);") == 2
    )


def test_the_recipe_and_the_lack_of_one(night: Night, workspace: Workspace) -> None:
    page = written(night, workspace)
    text = words(page)
    assert "One of RandomBrightnessContrast (contrast 0.42 to 0.91)" in text
    assert f"file artifacts/{NIGHT_ID}/recipe-1.json SHA-256 {'ef56' * 16}" in text
    assert embedded(workspace, "before-1") in page
    assert embedded(workspace, "after-1") in page
    assert "No recipe. No cause is claimed, so there is nothing to make the model immune to: the best" in text


# --- from night to night, labels and pairs ---


def test_a_trend_is_told_with_what_it_rests_on(night: Night, workspace: Workspace) -> None:
    text = words(written(night, workspace))
    assert (
        "from night to night growing 2 errors on the last night that had it, 6 now: its share of the night’s "
        f"errors has changed beyond chance; first found as {LINEAGE}"
    ) in text
    assert "from night to night new no earlier night of this model is known to have it" in text
    assert f"Gone since the last night: {GONE} . The model’s last night had this failure mode" in text
    assert "Gone since" not in words(written(replace(night, gone=()), workspace))


@pytest.mark.parametrize(
    ("trend", "before", "short", "changed"),
    [
        (Trend.SHRINKING, 31, "shrinking from 31 to 6", "6 now: its share of the night’s errors has changed"),
        (Trend.STEADY, 7, "steady", "6 now: its share of the night’s errors has not changed"),
    ],
)
def test_other_trends(night: Night, trend: Trend, before: int, short: str, changed: str) -> None:
    mode = replace(night.modes[0], trend=trend, previous_errors=before)
    assert phrases.trend_in_short(mode) == short
    assert changed in phrases.trend_in_words(mode)


def test_suspect_labels_stand_with_their_pictures(night: Night, workspace: Workspace) -> None:
    page = written(night, workspace)
    text = words(page)
    assert text.count("Labels to check first") == 1
    assert "Cause: the labels, most likely." in text
    assert "label pit model says scratch score 0.91" in text
    assert text.index("score 0.91") < text.index("score 0.40")
    assert page.count(embedded(workspace, "confusion-2")) == 2  # among the errors and among the suspects


def test_suspect_labels_stand_whatever_the_cause_with_how_many_are_expected_to_be_wrong(
    night: Night, workspace: Workspace
) -> None:
    mode = night.modes[1]
    likely = tuple(
        replace(each, score=score) for each, score in zip(mode.suspects, (0.97, 0.86), strict=True)
    )
    changed = replace(mode, diagnosis=replace(mode.diagnosis, cause=Cause.APPEARANCE), suspects=likely)
    text = words(written(replace(night, modes=(changed,)), workspace))
    assert "Labels to check first" in text
    assert f"2 of {len(mode.errors)} labels listed, the most suspect first" in text
    assert "At least 86 % of them are expected to be wrong" in text
    none = replace(changed, suspects=())
    assert "Labels to check first" not in written(replace(night, modes=(none,)), workspace)


def test_of_suspect_labels_from_before_the_signs_no_share_is_promised(night: Night) -> None:
    assert phrases.suspects_in_words(night.modes[1]) == phrases.SUSPECTS_UNTESTED


def test_a_pair_is_told_as_two_changes(night: Night, workspace: Workspace) -> None:
    pair = (
        OperationMatch("dimmer lamp", "darker", 1.25, "stops", 0.96, 0.9, 0.85),
        OperationMatch("defocus", "defocus", 1.5, "pixels", 0.96, 0.9, 0.85),
    )
    mode = replace(night.modes[0], diagnosis=replace(night.modes[0].diagnosis, pair=pair, share=0.96))
    text = words(written(replace(night, modes=(mode,)), workspace))
    assert "6 errors: dimmer lamp (42 % of the light) and defocus (over 1.5 pixels)" in text
    assert (
        "Two changes, one after the other: dimmer lamp, 1.25 stops; then defocus, 1.5 pixels. Together they "
        "explain 96 % of the shift of the filters, weighted by blame, 90 % of the shift of all filters alike "
        "and 85 % of how the images themselves changed; low contrast, the best alone, explains 94 %, 94 % "
        "and 94 %."
    ) in text
    assert "Three checks" not in text
    assert "Two changes" not in words(written(night, workspace))


def test_what_was_measured_on_the_errors_is_named_under_its_family(
    night: Night, workspace: Workspace
) -> None:
    found = replace(
        night.modes[0].diagnosis, family="texture", measured="fixed pattern", operation="fixed pattern"
    )
    text = words(written(replace(night, modes=(replace(night.modes[0], diagnosis=found),)), workspace))
    assert "cause texture measured on the errors: fixed pattern" in text
    assert "Three checks of low contrast, the nearest operation of the catalogue: it explains 94 %" in text


def test_errors_outside_every_failure_mode_are_pictured(night: Night, workspace: Workspace) -> None:
    page = written(night, workspace)
    section = page[page.index("Errors outside every failure mode") :]
    assert embedded(workspace, "lone-0") in section
    assert "true pit predicted scratch confusion +2.50 logits" in words(section)


def test_provenance_names_hashes_settings_and_times(night: Night, workspace: Workspace) -> None:
    text = words(written(night, workspace))
    assert f"log SHA-256 {'cd34' * 16} model SHA-256 {'ab12' * 16}" in text
    assert "read the defect log 0.8 s blame 42 s invert 3 min 05 s together 3 min 48 s" in text
    assert "blame.filters 20 compute.device auto defect_log.columns none" in text


# --- safety ---


def test_a_hostile_class_name_stays_text(night: Night, workspace: Workspace) -> None:
    page = written(night, workspace)
    assert "<script" not in page
    assert html.escape(HOSTILE).replace("&quot;", "&#34;") in page


def test_the_report_needs_nothing_from_anywhere(night: Night, workspace: Workspace) -> None:
    page = written(night, workspace)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(source.startswith(("data:", "#")) for source in sources)
    # 10 errors, 2 suspect labels, 2 filters with 4 patches, 2 trusted primitives and their 2 sources, and
    # 4 pictures of the recipe.
    assert len([source for source in sources if source.startswith("data:image/png")]) == 10 + 2 + 2 * 8
    assert "url(" not in page
    assert "@import" not in page


def test_the_policy_allows_exactly_the_style_inside(night: Night, workspace: Workspace) -> None:
    page = written(night, workspace)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'" in page


def test_a_missing_picture_leaves_a_placeholder(night: Night, workspace: Workspace) -> None:
    whole = written(night, workspace)
    (workspace.night_folder(NIGHT_ID) / "escape-0.png").unlink()
    page = written(night, workspace)
    assert whole.count("picture missing") == 0
    assert 'aria-label="true scratch, predicted good, row 100: picture missing"' in page


@pytest.mark.parametrize(
    "path", ["../outside.png", "/etc/hostname", "fmi.toml", "a\0b.png", "x" * 5000 + ".png"]
)
def test_only_pictures_of_the_workspace_are_found(workspace: Workspace, path: str) -> None:
    (workspace.root.parent / "outside.png").write_bytes(b"not ours")
    assert picture_file(workspace.root, path) is None


def test_a_link_out_of_the_workspace_is_not_followed(workspace: Workspace) -> None:
    outside = workspace.root.parent / "outside.png"
    outside.write_bytes(b"not ours")
    (workspace.root / "artifacts" / "link.png").symlink_to(outside)
    assert picture_file(workspace.root, "artifacts/link.png") is None


# --- nights that are not as planned ---


def test_a_failed_night_says_why(night: Night, workspace: Workspace) -> None:
    failed = replace(
        night,
        state=NightState.FAILED,
        message="no GPU: set `device`",
        modes=(),
        unclustered=(),
        errors_read=0,
    )
    page = written(failed, workspace)
    assert "The night failed before it was done." in words(page)
    assert "This night failed:</b> no GPU: set <code>device</code>" in page
    assert "appearance cause" not in page


def test_a_night_without_errors_says_so(night: Night, workspace: Workspace) -> None:
    quiet = replace(night, modes=(), unclustered=(), errors_read=0, set_aside=(), finished_at=None)
    text = words(written(quiet, workspace))
    assert "No errors: the registered model reproduces none from this defect log." in text
    assert "This night has no failure modes." in text
    assert "Nothing was set aside" in text
    assert "finished not finished" in text


def test_a_night_that_could_read_nothing_says_so(night: Night, workspace: Workspace) -> None:
    lost = replace(
        night,
        state=NightState.UNREADABLE,
        message="mount the folder",
        modes=(),
        unclustered=(),
        errors_read=0,
        gone=(),
    )
    page = written(lost, workspace)
    assert "This night knows nothing: no error of its defect log could be used." in words(page)
    assert '<p class="notice bad"><b>This night knows nothing:</b> mount the folder</p>' in page
    assert "appearance cause" not in page


def test_a_log_without_rows_is_told_from_one_without_errors(night: Night, workspace: Workspace) -> None:
    quiet = replace(night, modes=(), unclustered=(), rows_read=0, errors_read=0, set_aside=())
    assert "No errors: the defect log has no rows." in words(written(quiet, workspace))


def test_what_the_log_says_of_the_errors_is_shown(night: Night, workspace: Workspace) -> None:
    lots = [LogContext(line="L3", lot=f"<{lot}>", serial=f"S{lot}") for lot in (7, 7, 8, 9, 10)]
    taken = LogContext(captured_at=datetime(2026, 7, 1, 22, 5, tzinfo=UTC), part_number="P-9")
    errors = tuple(
        replace(night.unclustered[0], row=row, context=context)
        for row, context in enumerate([*lots, taken], 1)
    )
    page = written(replace(night, modes=(), unclustered=errors), workspace)
    assert (
        "Logged: line L3 (5); part number P-9 (1); lot &lt;7&gt; (2), &lt;8&gt; (1), &lt;9&gt; (1), ..."
        in page
    )
    assert "<td>line L3, lot &lt;7&gt;, serial S7</td>" in page
    assert "<td>2026-07-01 22:05\N{NO-BREAK SPACE}UTC, part number P-9</td>" in page
    without = written(replace(night, modes=()), workspace)
    assert "Logged" not in without


def test_whom_a_failure_mode_affects_is_told_and_what_it_was_compared_with(
    night: Night, workspace: Workspace
) -> None:
    text = words(written(night, workspace))
    assert (
        "Affected: all from camera <2>, since 03:10 +09:00; 5 of 6 from lot B7 (other errors: 1 of 5)" in text
    )
    assert "camera <2> 6 of 6 1 of 5 p = 0.015 yes" in text
    assert "shift late 4 of 6 2 of 5 p = 1.00 no" in text
    assert text.count("Affected: nothing stands out (camera)") == 1
    assert "Affected" not in words(written(replace(night, modes=()), workspace))


def test_parts_whose_verdict_was_right_are_not_called_unused(night: Night, workspace: Workspace) -> None:
    right = SetAside(9, "not_an_error", "both labels are 'good'", "/plant/line3/right.png")
    page = written(replace(night, set_aside=(*night.set_aside, right)), workspace)
    assert (
        "3 rows of the defect log could not be used; 1 row whose verdict was right says which parts were "
        "inspected. Reason Rows" in words(page)
    )
    assert "right.png" not in page


def test_errors_without_a_failure_mode_claim_nothing(night: Night, workspace: Workspace) -> None:
    lone = replace(night, modes=(), errors_read=1)
    text = words(written(lone, workspace))
    assert "1 error: 0 escapes, 0 overkills and 1 confusion. 1 error by itself." in text
    assert "1 error: too few shifted the same filters to form a failure mode" in text


def test_a_failure_mode_that_was_only_listed(night: Night, workspace: Workspace) -> None:
    diagnosis = replace(night.modes[1].diagnosis, matches=(), share=0.0, reasons=("fewer than 5 errors",))
    listed = replace(night.modes[1], flip_rates=(), filters=(), diagnosis=diagnosis)
    text = words(written(replace(night, modes=(listed,)), workspace))
    assert "No layer was verified for this failure mode." in text
    assert "No filter was put on the shortlist of this failure mode." in text
    assert "nothing to make the model immune to: fewer than 5 errors." in text


def test_of_many_errors_the_largest_margins_are_pictured(night: Night, workspace: Workspace) -> None:
    picture = night.unclustered[0].picture
    many = tuple(
        LoggedError(row, f"L3-{row}", "/plant/x.png", "pit", "scratch", ErrorKind.CONFUSION, row / 8, picture)
        for row in range(1, 31)
    )
    page = written(replace(night, modes=(), unclustered=many, errors_read=30), workspace)
    assert page.count('<figure class="error">') == 24
    assert "The 24 largest margins are pictured; all 30 errors as a table" in words(page)
    assert re.findall(r", row (\d+)\"", page) == [str(row) for row in range(30, 6, -1)]


# --- the file ---


def test_nothing_but_the_report_is_left(night: Night, workspace: Workspace) -> None:
    path = write_report(night, workspace, MODEL)
    write_report(night, workspace, MODEL)
    assert path == workspace.report_path(NIGHT_ID)
    assert {file.name for file in path.parent.iterdir()} == {f"{NIGHT_ID}.html", f"{NIGHT_ID}.csv"}


def test_a_report_that_cannot_be_written_says_what_to_do(night: Night, workspace: Workspace) -> None:
    workspace.report_path(NIGHT_ID).mkdir()
    with pytest.raises(WorkspaceError, match="cannot be written: Is a directory"):
        write_report(night, workspace, MODEL)
    left = {file.name for file in (workspace.root / "reports").iterdir()}
    assert left == {f"{NIGHT_ID}.html", f"{NIGHT_ID}.csv"}


def test_the_report_loads_no_heavy_part() -> None:
    heavy = "('torch', 'albumentations', 'duckdb')"
    code = f"import sys, inspection.nights.report; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_report_speaks_the_language_of_the_settings(workspace: Workspace) -> None:
    settings = Settings(report={"language": "ja"})
    page = write_report(make_night(workspace), replace(workspace, settings=settings), MODEL)
    text = page.read_text(encoding="utf-8")
    assert '<html lang="ja">' in text
    assert "誤判定10件" in text
    assert "errors:" not in text
    assert "ファイル/plant/line3/17.pngがありません" in text
    assert "no label by an operator" not in text


def test_all_errors_stand_beside_the_report_and_the_first_in_it(workspace: Workspace) -> None:
    night = make_night(workspace)
    mode = night.modes[0]
    many = tuple(replace(mode.errors[0], row=1000 + i, inspection_id=f"=SUM({i})") for i in range(250))
    night = replace(night, modes=(replace(mode, errors=many), night.modes[1]))
    path = write_report(night, workspace, MODEL)
    page = path.read_text(encoding="utf-8")
    assert len(re.findall(r'<td class="number">1\d\d\d</td>', page)) == 200
    assert "The first 200 are listed; all stand in the CSV file beside the report." in page
    rows = list(csv.DictReader(path.with_suffix(".csv").read_text(encoding="utf-8-sig").splitlines()))
    assert len(rows) == 250 + 3 + 1
    assert rows[0]["inspection_id"] == "'=SUM(0)"  # which no spreadsheet runs
    assert [row["failure_mode"] for row in rows] == [MODE_ID] * 250 + [WITHHELD_ID] * 3 + [""]
    assert rows[0]["true_label"] == many[0].true_label
