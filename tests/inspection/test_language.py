"""Every text that people read is spoken in every language, with the same blanks to fill in."""

import re
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fmi_engine.types import AblationCheck
from fmi_engine.wording import REASONS, UNCOMPARED, ablation_reason
from inspection.language import ENGLISH, LANGUAGES, gettext, language, ngettext, preferred, retold, speaking
from inspection.nights.phrases import moment, plural
from tests import catalogue

OTHERS = [code for code in LANGUAGES if code != ENGLISH]
NUMBERS = re.compile(r"\d+\.\d+")
BLANKS = re.compile(r"%\(\w+\)s|%%|\{[^{}]*\}")


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_of_the_code_is_translated_and_nothing_else(code: str) -> None:
    """Where this fails: `python -m tests.catalogue` brings the file up to date; then translate it."""
    known, wanted = catalogue.read(code), catalogue.gathered()
    assert {message.id for message in known if message.id} == {message.id for message in wanted if message.id}
    assert catalogue.untranslated(known) == []
    assert [message.id for message in known if message.id and message.fuzzy] == []


@pytest.mark.parametrize("code", OTHERS)
def test_translations_have_the_same_blanks(code: str) -> None:
    for message in catalogue.read(code):
        if message.id:
            source = message.id if isinstance(message.id, str) else message.id[-1]
            forms = message.string if isinstance(message.string, tuple | list) else (message.string,)
            for form in forms:
                assert Counter(BLANKS.findall(str(form))) == Counter(BLANKS.findall(source)), source


def test_a_language_is_spoken_for_a_block() -> None:
    assert (language(), gettext("Inbox"), plural(2, "error")) == ("en", "Inbox", "2\u00a0errors")
    with speaking("ja"):
        assert language() == "ja"
        assert gettext("Inbox") == "受信箱"
        assert "errors" not in plural(2, "error")
        assert gettext("a text that nobody translated") == "a text that nobody translated"
        with speaking("xx"):
            assert gettext("Inbox") == "Inbox"
    assert ngettext("one", "many", 1) == "one"


@pytest.mark.parametrize(
    ("accepted", "code"),
    [("", "en"), ("ja", "ja"), ("ja-JP,en;q=0.7", "ja"), ("fr,en;q=0.2,ja;q=0.9", "ja"), ("fr;q=x,de", "en")],
)
def test_the_language_that_a_browser_asks_for(accepted: str, code: str) -> None:
    assert preferred(accepted) == code


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system has one time zone for a process")
def test_times_are_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    when = datetime(2026, 7, 4, 18, 5, tzinfo=UTC)
    assert moment(when) == "2026-07-04 18:05\u00a0UTC"
    with monkeypatch.context() as plant:
        plant.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert moment(when) == "2026-07-05 03:05\u00a0JST"
    time.tzset()


RANKS = "fed back, its filter ranks 3 of 64 (needed: 1)"
LOST = "2 of 30 rows that are or may be errors could not be used"


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (RANKS, "画像を戻し入れたとき、フィルタの順位は64個中3位です（必要：1位以内）"),
        (
            f"{LOST}; once they are mended, run the night with --again",
            "誤判定である、またはその可能性がある30行のうち、2行は使えませんでした；"
            "修正したら、--again を付けて夜間診断を実行してください",
        ),
        (
            "2\N{NO-BREAK SPACE}logged images not trained on: their labels are suspect; review them",
            "記録画像2枚は学習に使いません：ラベルが疑わしいため。確認してください",
        ),
        ("what no version has said", "what no version has said"),
        (
            "there is no file /a/b; c.png",
            "ファイル/a/b; c.pngがありません",
        ),
        (
            "there is no file C:/a.png; mount the drive, or where it is a path of another machine, say where "
            "its folder lies here, in the map [defect_log.paths] of fmi.toml: "
            "paths = { 'C:/' = '/folder/here' }",
            "ファイルC:/a.pngがありません。ドライブをマウントするか、別のマシンのパスであれば、そのフォルダがこのマシンの"
            "どこにあるかをfmi.tomlの[defect_log.paths]に記してください： paths = { 'C:/' = '/folder/here' }",
        ),
        (
            "Expected Number of Columns: 3 Found: 2: 1.png;good",
            "列の数が3であるべきところ、2です： 1.png;good",
        ),
    ],
)
def test_sentences_of_the_store_are_told_again(kept: str, told: str) -> None:
    assert retold(kept) == kept
    with speaking("ja"):
        assert retold(kept) == told


def test_whatever_a_trust_test_finds_is_told_again() -> None:
    """In every case of its wording, with the numbers as they were written."""
    found = {"found": 0.5, "needed": 0.8, "channels": 64, "ceiling": 0.7}
    made = [text.format(**found) for text in (*REASONS.values(), *UNCOMPARED.values())]
    check = AblationCheck("layer1.0", 9, 3, 4, 0.2, 4, 0.3)
    made += [ablation_reason(check), ablation_reason(replace(check, guess_p_value=0.0))]
    with speaking("ja"):
        for sentence in made:
            told = retold(sentence)
            assert told != sentence
            assert set(NUMBERS.findall(sentence)) <= set(NUMBERS.findall(told))
